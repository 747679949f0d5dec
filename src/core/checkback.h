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

// What was learned when the provider was last asked.
enum last_seen { SEEN_NOTHING, SEEN_NO_TRADE, SEEN_UNPAID_TRADE };

// When to ask next, given when the code went out (`from_ms`), how often was asked, and what was seen last.
// INT64_MAX: not before the window ends. Never at or after expires_ms, where the end of the window asks by itself.
int64_t checkback_next(const struct checkback *c, enum policy policy, int64_t from_ms, int64_t now_ms,
                       int64_t expires_ms, uint32_t n_checks, enum last_seen seen);

// What the half message becomes: true = COMMIT (delivered), false = ROLLBACK (dropped).
bool checkback_commits_when_paid(enum policy policy);
bool checkback_commits_when_unpaid(enum policy policy);

#endif
