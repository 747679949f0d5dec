// SPDX-License-Identifier: Apache-2.0
// A store and a channel that do what a test says, and a log of who was called in which order.
#ifndef TILL_TEST_ENGINE_FAKES_H
#define TILL_TEST_ENGINE_FAKES_H

#include "engine/engine.h"

#define FAKE_ORDERS 4096
#define LOG_MAX     4096

struct fake_order {
    struct bundle bundle;
    char subject[32];
};

struct world {
    struct store store; // first: the engine's pointer is ours
    struct channel channel;
    struct engine *engine;
    // the store's rows
    struct fake_order *orders;
    unsigned n_orders;
    int64_t available;
    bool has_cart; // every cart holds one line of A
    bool has_idem;
    struct idem_record idem;
    // what the store is told to do
    enum store_outcome outcome;
    enum apply_result result; // of the first change of the next apply, then APPLY_DONE again
    bool load_fails;
    // what happened
    char log[LOG_MAX]; // A apply, R reply, E events, C call, T turn end
    unsigned n_applied, n_changes;
    struct change last_change;
    struct call last_call;
    unsigned n_calls;
    bool channel_is_full;
    unsigned n_replies;
    int last_status;
    char last_code[64];
    struct request *last_reply;
    struct request *replied[64]; // the first ones, in order
    int64_t now_ms;
};

struct world *world_new(const struct rules *rules);
void world_free(struct world *w);
enum turn_result world_turn(struct world *w, int64_t by_ms); // moves the clock, then one turn
// The engine's callbacks, for a test that makes an engine of its own.
void world_reply(void *ctx, struct request *r);
void world_present(void *ctx, const struct document *d, struct buf *out);
void world_post(struct world *w, struct request *r);
struct fake_order *world_order(struct world *w, unsigned i);

// Requests, on the heap of the test; free() them.
struct request *place_request(enum channel_id channel);
struct request *order_request(enum request_kind kind, uint64_t order_key);
struct answer answer_of(const struct world *w, enum outcome outcome, enum fact fact);

#endif
