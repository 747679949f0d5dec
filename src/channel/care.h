// SPDX-License-Identifier: Apache-2.0
// How hard one provider is asked. Pure: one lane's record, with time as an argument.
//
// Three things keep a call at home, asked in this order:
//
//   breaker   a provider that gives no word at all is left alone:
//
//                       RUN failures, no word between          its time is over, a call comes
//             [closed] -------------------------------> [open] ----------------------------> [half-open]
//                 ^                                      |  ^       a probe failed: twice as long   |
//                 |                       any word       |  +---------------------------------------+
//                 +--------------------------------------+------------------ any word --------------+
//
//             While open nothing is sent; half-open a few calls at a time are, as probes.
//   budget    a retry takes a token. A first ask leaves a fifth of one, a word in answer to a retry brings two, and one
//             comes every second anyhow. So retries cost nothing while they are answered, and while they are not they
//             are a sixth of what is sent, and a trickle.
//   rate      a provider that said "slower" is asked half as often as it was, and then one more a second every second
//             until it says so again; and not at all before the moment it named.
//
// A word is a definite answer: done or refused. An answer that proves nothing (garbage, a wrong signature) is neither a
// word nor a failure.
//
// Time here is a lane's own: it never runs back. See lane_now_ms() in caller.c for which clock that is.
#ifndef TILL_CHANNEL_CARE_H
#define TILL_CHANNEL_CARE_H

#include <stdbool.h>
#include <stdint.h>

#define CARE_RUN           8 // failures in a row that open the breaker
#define CARE_PROBES        3 // under way at once while half-open
#define CARE_OPEN_LEAST_MS 1000
#define CARE_OPEN_MOST_MS  30000
#define CARE_BUDGET        64 // tokens of a full budget
#define CARE_HOLD_MOST_MS  60000

#define BREAKERS(X)                                                                                                    \
    X(BREAKER_CLOSED, "closed")                                                                                        \
    X(BREAKER_OPEN, "open")                                                                                            \
    X(BREAKER_HALF_OPEN, "half_open")
#define X_ENUM(constant, text) constant,
enum breaker { BREAKERS(X_ENUM) };
#undef X_ENUM
#define N_BREAKERS (BREAKER_HALF_OPEN + 1)
const char *breaker_name(enum breaker v);

struct care {
    enum breaker breaker;
    unsigned failures;         // since the last word
    unsigned probes;           // under way
    int64_t word_ms;           // when the last word came
    int64_t half_open_ms;      // since when; what left before is no probe
    int64_t open_until_ms;     // OPEN
    int64_t open_ms;           // how long it was open last; 0: closed since
    int64_t counted_ms;        // up to when tokens and rate were counted
    int64_t budget_mil;        // thousandths of a token
    int64_t rate_mil;          // thousandths of a call a second; 0: no limit
    int64_t tokens_mil;        // thousandths of a call that may leave now
    int64_t cut_ms;            // when the rate was last halved
    int64_t hold_until_ms;     // nothing leaves before
    int64_t second_ms;         // the second being counted
    unsigned n_second, n_last; // calls sent in it, and in the one before
    uint64_t n_opened, n_slowed;
};

void care_init(struct care *c);

enum care_verdict {
    CARE_GO,
    CARE_WAIT,         // for care_wait_ms()
    CARE_BREAKER_OPEN, // not at all
    CARE_OVER_BUDGET,  // not at all
};
// May a call leave now? If it does, care_sent() is told.
enum care_verdict care_ask(struct care *c, int64_t now_ms, bool is_retry);
int64_t care_wait_ms(const struct care *c, int64_t now_ms); // as of the last care_ask()
void care_sent(struct care *c, int64_t now_ms, bool is_retry);

// How a call that was let go ended.
enum care_end {
    CARE_UNSENT,  // it never left after all
    CARE_UNCLEAR, // an answer that proves nothing
    CARE_WORD,    // done or refused
    CARE_SLOWED,  // the provider lives, and says it is asked too often
    CARE_FAILED,  // no answer, or the provider's own fault
};
// `hold_ms`: for how long the provider wants to be left alone; 0: it did not say.
void care_ended(struct care *c, int64_t now_ms, int64_t sent_ms, bool is_retry, enum care_end end, int64_t hold_ms);

// For people.
unsigned care_budget_left(const struct care *c, int64_t now_ms); // retries that may leave at once
double care_rate(const struct care *c, int64_t now_ms);          // calls a second; 0: no limit

// --- Whose turn it is: four classes of calls, the more urgent first, and yet each gets its share.
#define TURN_CLASSES 4
struct turns {
    unsigned left[TURN_CLASSES]; // in this round
};
// The class whose turn it is, of those that wait; TURN_CLASSES when none does. Changes nothing that matters until
// turns_took(). While all wait, of fifteen calls 8, 4, 2 and 1 are theirs.
unsigned turns_next(struct turns *t, const bool waits[TURN_CLASSES]);
void turns_took(struct turns *t, unsigned class);

#endif
