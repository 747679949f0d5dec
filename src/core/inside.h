// SPDX-License-Identifier: Apache-2.0
// What the order machine's two files share: order.c has the order and its attempts, refund.c the money on its way back.
#ifndef TILL_CORE_INSIDE_H
#define TILL_CORE_INSIDE_H

#include "core/order.h"

#define BIT(i) (1u << (i))

// One step, as its leaves see it.
struct run {
    const struct rules *rules;
    struct bundle *b;
    struct order *o;
    const struct event *e;
    int64_t now_ms;
    uint64_t next_key;
    struct step *out;
};

// --- order.c
void step_event(struct run *r, enum event_type type, const struct payment *p, const struct refund *f,
                int64_t amount_fen);
struct call *step_call(struct run *r, const struct payment *p, enum call_method method);
void payment_touch(struct run *r, const struct payment *p);
void payment_move(struct run *r, struct payment *p, enum payment_state to);
int64_t backoff_ms(uint64_t key, uint32_t tries);

// --- refund.c
struct refund *refund_find(struct bundle *b, uint64_t key);
struct refund *refund_add(struct run *r, struct payment *p, int64_t amount_fen, enum refund_cause cause);
void refund_by_provider(struct run *r, struct payment *p, int64_t amount_fen); // made and done, without our asking
void refund_ask(struct run *r, struct refund *f, const struct payment *p);
void refund_answered(struct run *r, struct refund *f, struct payment *p, const struct answer *a);
void refund_end(struct run *r, struct refund *f, struct payment *p, enum refund_state state);

#endif
