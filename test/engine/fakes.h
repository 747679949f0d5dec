// SPDX-License-Identifier: Apache-2.0
// A store, a channel and a broker that do what a test says, and a log of who was called in which order.
#ifndef TILL_TEST_ENGINE_FAKES_H
#define TILL_TEST_ENGINE_FAKES_H

#include "engine/engine.h"

#define FAKE_ORDERS 4096
#define LOG_MAX     4096

struct fake_order {
    struct bundle bundle;
    char subject[32];
};

#define FAKE_ACKS   512
#define BATCH_KINDS 300

// Of either kind, as rules.broker says. It only writes down what it is told; what it says a test posts.
struct fake_broker {
    struct broker base;
    bool is_full;     // takes no send over
    uint64_t up_to;   // what it says is consumed
    int64_t next_ms;  // when it wants to be looked at
    unsigned n_sends; // taken over
    struct send last_send;
    unsigned n_shown; // rows of commits
    struct message_row last_shown;
    unsigned n_asked; // receipts it was asked about last
    unsigned n_acks;
    uint64_t acks[FAKE_ACKS]; // receipts in the order they came back in
    bool is_done[FAKE_ACKS];
    uint64_t last_event_key;
};

struct world {
    struct store store; // first: the engine's pointer is ours
    struct channel channel;
    struct fake_broker broker;
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
    // A apply, R reply, K a message acknowledged, G one given back, E events, O events told to the broker, B a message
    // shown or sent to it, C call, T turn end
    char log[LOG_MAX];
    unsigned n_applied, n_changes;
    struct change last_change;
    enum change_kind kinds[BATCH_KINDS]; // of the last apply, in order
    unsigned n_kinds;
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
struct world *world_new_with_broker(const struct rules *rules); // of the kind rules->broker
void world_free(struct world *w);
enum turn_result world_turn(struct world *w, int64_t by_ms); // moves the clock, then one turn
// The engine's callbacks, for a test that makes an engine of its own.
void world_reply(void *ctx, struct request *r);
void world_present(void *ctx, const struct document *d, struct buf *out);
void world_post(struct world *w, struct request *r);
struct fake_order *world_order(struct world *w, unsigned i);
void world_say(struct world *w, struct broker_news n); // the broker has news

// Requests, on the heap of the test; free() them.
struct request *place_request(enum channel_id channel);
struct request *order_request(enum request_kind kind, uint64_t order_key);
struct answer answer_of(const struct world *w, enum outcome outcome, enum fact fact);

#endif
