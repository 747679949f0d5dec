// SPDX-License-Identifier: Apache-2.0
// The four check-back policies: each is a schedule (when is the provider asked about a pending order) and two answers
// (what the half message becomes when the order is paid, and when its window ends unpaid).
#ifndef TILL_CORE_CHECKBACK_H
#define TILL_CORE_CHECKBACK_H

#include <stdbool.h>
#include <stdint.h>

#define POLICIES(X)                                                                                                    \
    X(POLICY_DELAY, "delay")     /* asked once, at the end of the window */                                            \
    X(POLICY_POLL, "poll")       /* asked every interval */                                                            \
    X(POLICY_REVERSE, "reverse") /* half message "cancel this order": paid -> dropped */                               \
    X(POLICY_FORWARD, "forward") /* half message "this order is paid": paid -> delivered */
#define X_ENUM(constant, text) constant,
enum policy { POLICIES(X_ENUM) };
#undef X_ENUM
const char *policy_name(enum policy p);

enum schedule { SCHEDULE_FIXED, SCHEDULE_ADAPTIVE };

struct checkback {
    enum schedule schedule;
    int64_t first_ms, interval_ms;
    uint32_t max; // this many unpaid answers end the window; 0: only time does
};

// What is known of an order that waits. Instants are milliseconds since 1970.
struct watch {
    int64_t code_ms;    // when its code went out
    int64_t scanned_ms; // when a trade, and so a buyer before the cashier, was first seen; 0: not yet
    int64_t asked_ms;   // when the provider was last asked about this code; 0: not yet
    bool answered;      // and whether it answered
    int64_t expires_ms; // the window's end, where it is asked in any case
};

// When to ask next. INT64_MAX: not before the window ends. Never at or after expires_ms.
//
// fixed:    `first` after the code, then every `interval` after an answer.
// adaptive: `first` after the code; then after as long again as it has been quiet, but
//             nobody scanned yet    at least 5/4 interval; quiet since 3/4 interval before the first question
//             a buyer scanned       at least 1/2 interval; quiet since the trade was first seen
//             either                at most first + 2 x interval less 1/8 interval, and once it is there the rest of
//                                   the window in even parts
//           counted from when it last asked. So whenever a payment was made within the window, first + 2 x interval
//           later it has been asked about, if the provider answers within an eighth of an interval.
//           With `max` the answers are what ends the window: then it is as fixed.
int64_t checkback_next(const struct checkback *c, enum policy policy, const struct watch *w, int64_t now_ms);

// What the half message becomes: true = COMMIT (delivered), false = ROLLBACK (dropped).
bool checkback_commits_when_paid(enum policy policy);
bool checkback_commits_when_unpaid(enum policy policy);

#endif
