// SPDX-License-Identifier: Apache-2.0
// Short scripted stories over the simulated world: a few requests, buyers and troubles at given instants, the same ones
// each time. What is tried on them (a power loss in every write, a failure of every call) stands in crash.h.
//
// A request is repeated until it is answered, as a careful client does, unless it is marked BARE: that one is sent
// once, and nobody knows what became of it when the process dies over it.
#ifndef TILL_SIM_FLOWS_H
#define TILL_SIM_FLOWS_H

#include "world.h"

enum verb {
    END_OF_SCRIPT,
    // requests; `who` is the client, and for the first two the article
    SKU,   // n: its stock
    STOCK, // n more or less
    CART,  // n of the first article into the client's cart
    PLACE, // n: the window in seconds
    CANCEL,
    CHECK,
    REFUND,  // n fen, 0: all that is left
    OPEN,    // the page to pay: an attempt is asked for
    RESOLVE, // n: whether the money is accepted
    // buyers; n: which attempt of the client's order, from 0
    SCAN,
    BUY,
    BUY_WRONG, // charged another amount, and a stranger is told of as well
    MUTE,      // no notification of it will arrive
    REPEAT,    // its notification comes again
    // the world
    TROUBLE, // n permille of what is asked of the provider goes wrong
    AWAY,    // n: whether the provider is
    KILL,    // the process, from outside
    TIDY,    // the store's housekeeping
    CLOCK,   // n: how many seconds the node's clock is off
    MQ_AWAY, // n: whether the broker elsewhere is
};

enum how { // how a request is made, how an order is wished; added up with a policy
    POLICY_BITS = 3,
    BARE = 4,
    BY_AMOUNT = 8,
    BY_CART = 16,
    ANY_CHANNEL = 32,
    TWO_LINES = 64,
    NUMBERED = 128,
};

struct deed {
    int64_t at_ms; // after the start
    enum verb verb;
    unsigned who;
    int64_t n;
    unsigned how;
};

#define DEEDS_MAX 24
struct flow {
    const char *name;
    const char *ends; // without any trouble from outside, client by client: see flow_ending()
    enum release release;
    enum late_payment late;
    enum broker_kind broker;
    int64_t lag_ms, code_life_ms; // as in struct config; 0: none, and 110 minutes
    bool is_fresh;                // begins with no database at all
    bool close_kills;
    struct deed deeds[DEEDS_MAX];
};

extern const struct flow FLOWS[];
extern const unsigned N_FLOWS;

// Makes the world of that flow; the disk is ready and the node will start at the first instant. `tells` as in world.h.
void flow_begin(struct world *w, const struct flow *f);
// Runs it to its end, and on until nothing is owed; then everything is judged.
void flow_live(struct world *w);
// How it ended: a letter for each client's order, P paid, C cancelled, O open, followed by l, d, m for late money,
// money that came twice, money of another amount.
void flow_ending(const struct world *w, char out[64]);
void flows_free(void);

#endif
