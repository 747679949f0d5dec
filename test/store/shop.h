// SPDX-License-Identifier: Apache-2.0
// A little shop over any store, for its tests: what the engine does in a turn, one order at a time.
#ifndef TILL_TEST_STORE_SHOP_H
#define TILL_TEST_STORE_SHOP_H

#include "port/store.h"

// How the tests come to a store. `reopen` closes and opens the same one again.
struct store_maker {
    struct store *(*open)(void); // a new, empty one
    struct store *(*reopen)(struct store *s);
    struct reader *(*reader)(void);
};

struct shop {
    struct store *s;
    struct keygen keys;
    struct arena a;
    struct rules rules;
    enum policy policy; // of what is prepared next
    int64_t now_ms;
};

#define SHOP_START_MS INT64_C(1790000000000)

void shop_open(struct shop *shop, struct store *s);
void shop_close(struct shop *shop); // the store with it, if it is still there

// A change and all it points to.
struct placing {
    struct bundle bundle;
    struct step step;
    struct order_text text;
    struct line lines[3];
    unsigned n_lines;
    struct idem_record idem;
    struct change change;
};

// Prepares an order of the given lines ("A", 2 of it, 100 fen each); ends with a NULL sku.
struct placing *shop_prepare(struct shop *shop, enum channel_id channel, const struct line *lines);
enum apply_result shop_apply(struct shop *shop, struct change *c); // alone in its batch; must be durable
uint64_t shop_place(struct shop *shop, enum channel_id channel, const char *sku, int64_t quantity);
void shop_sku(struct shop *shop, const char *sku, int64_t price_fen, int64_t available);
struct sku shop_sku_now(struct shop *shop, const char *sku);
struct bundle *shop_bundle(struct shop *shop, uint64_t order_key); // must be there
// Loads, steps, applies. The answer's payment is the order's newest unless named.
enum apply_result shop_event(struct shop *shop, uint64_t order_key, struct event e);
enum apply_result shop_answer(struct shop *shop, uint64_t order_key, struct answer a);
void shop_code(struct shop *shop, uint64_t order_key);                      // the provider gave a code
void shop_pay(struct shop *shop, uint64_t order_key, int64_t captured_fen); // a notification
void shop_cancel(struct shop *shop, uint64_t order_key);      // to the end: the provider says the trade is closed
void shop_refund_done(struct shop *shop, uint64_t order_key); // the provider did the pending refund

#endif
