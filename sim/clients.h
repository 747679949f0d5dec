// SPDX-License-Identifier: Apache-2.0
// Everybody who is not Till and not the provider: shops that place orders, merchants who refund, buyers with wallets.
// They remember what they were told; the checker holds Till to it.
#ifndef TILL_SIM_CLIENTS_H
#define TILL_SIM_CLIENTS_H

#include "provider_model.h"

enum act_kind {
    ACT_PLACE,
    ACT_CANCEL,
    ACT_CHECK,
    ACT_REFUND,
    ACT_SKU_PUT,
    ACT_STOCK_ADD,
    ACT_CART_PUT,
    ACT_PAY,
    ACT_RESOLVE
};

// One thing somebody wants of Till, asked for once or, when it can be repeated safely, until there is an answer.
struct act {
    enum act_kind kind;
    unsigned client, sku;
    bool keyed;      // has an Idempotency-Key
    bool numbered;   // has a merchant_order_no
    bool repeatable; // asked for until answered
    bool planned;    // will be sent (again)
    bool ended;      // answered for good, or given up
    uint64_t order_key;
    int64_t amount_fen, quantity;
    enum channel_id channel; // PAY
    enum product product;    // PAY
    uint64_t payment_key;    // RESOLVE
    bool accepts;            // RESOLVE
    unsigned sent, in_flight;
    unsigned n_unknown; // sent, and never heard of
    unsigned n_good;    // answered 2xx
    int status;         // the last definite one
    uint64_t key;       // of the order placed, the refund or the attempt made
    uint64_t keys[4];   // of all orders placed without key and number
    char answer[128];   // the first 2xx
};

struct shopper { // one order somebody wants
    unsigned n_lines, sku[2];
    int64_t quantity[2];
    int64_t amount_fen, pay_within_ms;
    bool by_amount, by_cart;
    enum channel_id channel;
    unsigned place; // the act
};

#define ACTS_MAX 2048
struct clients {
    struct shopper shoppers[CLIENTS_MAX];
    struct act acts[ACTS_MAX];
    unsigned n_acts;
    struct {
        uint64_t order_key;
        unsigned version;
    } told[SEEN_MAX]; // the newest version of each order that a 2xx answer showed
    unsigned n_told;
    uint64_t money_acked[TRADES_MAX]; // payments whose notification of money was acknowledged
    unsigned n_money_acked;
    char strange_acked[TRADES_MAX][24]; // numbers of nobody's whose notification was acknowledged
    unsigned n_strange_acked;
};

void clients_begin(struct world *w);
void clients_free(void);

// A notification arrives at the node.
void clients_notice(struct world *w, const struct notice *n, enum notice_verdict verdict, uint64_t token);
// The provider made a code.
void clients_code_is_out(struct world *w, const struct trade *t);
// Somebody will pay it then, if it can be paid.
void clients_pay_at(struct world *w, const struct trade *t, int64_t at_ms);
// The checker saw an event of that type.
void clients_saw(struct world *w, struct seen_order *o, int type);

// The node's answers, and its end: whatever it had not answered is never answered.
void clients_replied(struct world *w, struct request *r);
void clients_present(void *ctx, const struct document *d, struct buf *out);
void clients_node_died(struct world *w);

#endif
