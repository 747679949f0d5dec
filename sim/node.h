// SPDX-License-Identifier: Apache-2.0
// The one machine that runs the product: engine and store on the simulated disk. It dies and comes back.
#ifndef TILL_SIM_NODE_H
#define TILL_SIM_NODE_H

#include "fault_vfs.h"
#include "world.h"

// How it dies and comes back, where that is not drawn.
struct fall {
    enum disk_end end;
    int64_t away_ms;
    uint64_t again_ops; // the power fails once more so many mutating calls into the next start; 0: it does not
};

struct node {
    struct world *w;
    struct store *store;
    struct broker *broker;
    struct engine *engine;
    bool up;
    unsigned epoch;          // counts its lives
    int64_t offset_ms;       // its clock, against the world's
    int64_t clock_ms;        // the latest instant it has been told in this life, or found in its store
    int64_t turn_ms;         // when it gets to its next turn because something arrived; INT64_MAX: nothing did
    int64_t paused_until_ms; // the whole machine stands still
    bool disk_is_broken;     // a disk fault is to strike or has struck in this life: its end is no surprise
    bool full;
    bool dies_in_recovery; // planned for the next start
    bool recovering;
    const struct fall *fall; // NULL: drawn
    bool may_give_up;        // over all its lives: something is done to it that may end it at any time
};

void node_begin(struct world *w);
void node_end(struct world *w);
bool node_is_up(const struct node *n);
unsigned node_epoch(const struct node *n);
void node_post(struct node *n, struct request *r);
void node_answer(struct node *n, const struct answer *a);
void node_news(struct node *n, const struct broker_news *news);
// When it wants a turn, in the world's time; INT64_MAX: it sleeps until something arrives.
int64_t node_next_ms(const struct node *n);
void node_run(struct world *w);    // its turns, when it is time
void node_tidies(struct world *w); // its store's housekeeping, which it does between turns anyway. It must be up
// How far its clock, as the engine takes it, is ahead of the world's.
int64_t node_ahead_ms(const struct node *n);
void node_dies(struct world *w, enum disk_end end, int64_t away_ms);

// Plans what breaks in this seed: crashes, disk, clock, outages.
void breaks_begin(struct world *w);

#endif
