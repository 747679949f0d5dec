// SPDX-License-Identifier: Apache-2.0
// A shop over any broker, for the contract's tests: a real engine and a real store in a folder of its own, a payment
// provider that answers at once, a clock that a test moves.
#ifndef TILL_TEST_BROKER_SITE_H
#define TILL_TEST_BROKER_SITE_H

#include "engine/engine.h"
#include "store/sqlite.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
// after the above:
#include <cmocka.h>

#define SITE_WINDOW_MS 300000
#define SITE_RECEIVED  64

// A message as a consumer has it.
struct seen {
    char id[64], tags[32], body[256];
};

struct site;

// How the tests come to a broker.
struct adapter {
    const char *name;
    enum broker_kind kind;
    // Opened over the site's store, and begun.
    struct broker *(*open)(struct site *s, const struct news_sink *sink);
    // What consumers of a topic have of an order by now, in the order it came to them, each message once.
    unsigned (*seen)(struct site *s, enum topic topic, uint64_t order_key, struct seen *out, unsigned max);
    // Waits until it is there. NULL: it always is.
    void (*await)(struct site *s);
};

struct site {
    const struct adapter *adapter;
    char dir[64], path[96];
    struct rules rules;
    unsigned n_sites; // that this process made before
    struct store *store;
    struct reader *reader;
    struct broker *broker;
    struct engine *engine;
    struct channel channel;
    struct arena arena;
    int64_t now_ms, real_ms;
    unsigned n_queries; // that the provider was asked
    bool is_cut_off;    // of a broker elsewhere: nobody listens where it should be
    // order.cancel that came, whoever it was for
    pthread_mutex_t lock;
    bool holds_received; // it is not given to the engine: as if this process died, or hung
    struct broker_news received[SITE_RECEIVED];
    unsigned n_received;
};

// Open and close; the folder outlives site_stop(), which nobody is told of: what was under way is lost.
struct site *site_new(const struct adapter *a);
void site_start(struct site *s);
void site_stop(struct site *s);
void site_free(struct site *s);

// One turn, and a moment's wait when there is nothing to do. Fails when `what` cannot come any more, or took too long.
void site_step(struct site *s, const char *what);
#define UNTIL(s, condition)                                                                                            \
    do {                                                                                                               \
        site_begin(s);                                                                                                 \
        while (!(condition))                                                                                           \
            site_step(s, #condition);                                                                                  \
    } while (0)
void site_begin(struct site *s);
void site_advance(struct site *s, int64_t by_ms);

uint64_t site_place(struct site *s, enum policy policy); // until it waits for money; 500 fen
void site_pay(struct site *s, uint64_t key);             // by a notification
struct bundle *site_bundle(struct site *s, uint64_t key);
enum order_state site_state(struct site *s, uint64_t key);
unsigned site_received(struct site *s, uint64_t key); // how often its order.cancel came
// The lines of this kind on its timeline; the last of them in `last`, which may be NULL.
unsigned site_traces(struct site *s, uint64_t key, enum trace_kind kind, struct trace *last);
unsigned site_n_seen(struct site *s, enum topic topic, uint64_t key);

// The contract; the number of cases that failed. contract.c
int broker_contract_run(const struct adapter *a);

#endif
