// SPDX-License-Identifier: Apache-2.0
// A model of a RocketMQ broker behind the broker port: another machine, which lives on when the node dies. It keeps a
// ledger of every delivery, the truth about what the consumers were told.
//
// What it keeps to (and Till must live with):
//   - Two masters. A half message lies at (master, commit log offset, queue offset).
//   - A round of check-backs every so often asks about each half message that is old enough, in order, and appends a
//     copy of it: the handle before is stale, and ending it delivers but leaves the copy. (A switch keeps the handle,
//     as the newer storage of halves does.) A round counts whether anybody is there to hear the question or not.
//   - After so many rounds it drops the half message. Ending it then is refused, or taken all the same.
//   - It never compares ends: two commits are two deliveries, and one after a rollback delivers as well.
//   - A restart forgets the ends, copies and acknowledgements of the last seconds.
//   - Messages are delivered to the cancel receiver at least once: again when they were not acknowledged in time.
//   - Any send may end unknown, carried out or not, and even be carried out after its caller gave up.
#ifndef TILL_SIM_BROKER_MODEL_H
#define TILL_SIM_BROKER_MODEL_H

#include "world.h"

enum copy_state {
    COPY_PENDING,
    COPY_FOLLOWED, // by a newer one
    COPY_ENDED,
    COPY_DROPPED, // asked about too often
};

struct copy {
    struct message message;
    enum copy_state state;
    uint32_t n_checks;
    int64_t at_ms, changed_ms;
    int64_t asked_ms; // when the node was last asked about this half message, while all is well; 0: it was not
    unsigned asked_epoch;
};

#define MASTERS    2
#define COPIES_MAX 8192
struct master {
    struct copy copies[COPIES_MAX]; // the place in here is the queue offset
    unsigned n_copies, head;        // nothing before the head is pending
    bool down, round_is_planned;
};

struct delivery {
    struct message message;
    unsigned master;
    int64_t at_ms, done_ms;
    uint32_t n_times; // to the cancel receiver
    bool is_done;
};

// What it has heard about an order.
struct hearsay {
    uint64_t order_key;
    unsigned n_ends;
    bool is_refused; // an end of it was
};

#define DELIVERED_MAX 8192
struct broker_model {
    struct broker broker; // the port
    struct world *w;
    struct master masters[MASTERS];
    struct delivery delivered[DELIVERED_MAX];
    unsigned n_delivered;
    struct hearsay heard[SEEN_MAX];
    unsigned n_heard;
    unsigned n_restarts; // right behind an end
};

void broker_model_begin(struct broker_model *b, struct world *w);
void broker_model_heal(struct broker_model *b);

#endif
