// SPDX-License-Identifier: Apache-2.0
// The messages of one order, and what is owed to a broker that keeps them.
//
// An order that waits for money is a half message: the broker keeps it and asks back. In the embedded broker the
// order's own row is the half message, and what is delivered is a row of the same commit: nothing more is owed. A
// broker elsewhere is told by calls that may fail or be lost, so what it must still be told stands in `struct half`
// until it has said that it heard it.
//
//                     the half message is    paid         window over, unpaid
//   delay, poll       none                   -            order.cancel, as a plain message, when closing begins
//   reverse           order.cancel           ROLLBACK     COMMIT, when closing begins
//   forward           order.paid             COMMIT       ROLLBACK and a plain order.cancelled, when cancelled
#ifndef TILL_CORE_MESSAGE_H
#define TILL_CORE_MESSAGE_H

#include "core/checkback.h"

// The numbers are stored: append only.
#define TOPICS(X)                                                                                                      \
    X(TOPIC_CANCEL, "till_order_cancel")                                                                               \
    X(TOPIC_PAID, "till_order_paid")                                                                                   \
    X(TOPIC_EVENTS, "till_order_events") /* facts: every public event */                                               \
    X(TOPIC_DEAD, "%DLQ%till_cancel")    /* what the cancel receiver could not take, however often */
#define MESSAGE_TYPES(X)                                                                                               \
    X(MESSAGE_CANCEL, "order.cancel") /* a command: the window is over, decide */                                      \
    X(MESSAGE_PAID, "order.paid")                                                                                      \
    X(MESSAGE_CANCELLED, "order.cancelled")
#define HALF_STATES(X)                                                                                                 \
    X(HALF_NONE, "none")       /* no half message of this order at a broker elsewhere */                               \
    X(HALF_UNSENT, "unsent")   /* it was not acknowledged yet; it may be there all the same */                         \
    X(HALF_PENDING, "pending") /* kept over there; `at` says where */                                                  \
    X(HALF_ENDED, "ended")     /* the broker acknowledged its end, or does not know it any more */

#define X_ENUM(constant, text) constant,
enum topic { TOPIC_0, TOPICS(X_ENUM) N_TOPICS };
enum message_type { MESSAGE_TYPE_0, MESSAGE_TYPES(X_ENUM) };
enum half_state { HALF_STATES(X_ENUM) };
#undef X_ENUM

const char *topic_name(enum topic v);
const char *message_type_name(enum message_type v);
const char *half_state_name(enum half_state v);

enum message_answer { ANSWER_NONE, ANSWER_UNKNOWN, ANSWER_COMMIT, ANSWER_ROLLBACK };

// Where a half message lies: the newest copy, for the broker writes another at each check-back, and only the newest
// may be ended.
#define BROKER_NAME_SIZE 128
struct half_at {
    char broker[BROKER_NAME_SIZE]; // zeroed behind its end
    int64_t commit_log_offset, queue_offset;
};

// What must still be said to a broker elsewhere. Bits of half.owes.
#define OWES_HALF   1u // the half message
#define OWES_END    2u // half.answer
#define OWES_MAIN   4u // the policy's message, plainly: there is no half message to commit
#define OWES_SECOND 8u // forward's order.cancelled

struct half {
    enum half_state state;
    enum message_answer answer; // what its end says: COMMIT or ROLLBACK; ANSWER_NONE while nothing is decided
    unsigned owes;
    uint32_t n_checks;                       // as the broker counts its check-backs
    uint32_t tries;                          // unanswered or refused in a row
    uint32_t main_sequence, second_sequence; // of the event each tells of, once it is decided; 0: not yet
    int64_t due_ms;                          // when to say it again, or INT64_MAX
    struct half_at at;                       // while HALF_PENDING
};

#endif
