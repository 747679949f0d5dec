// SPDX-License-Identifier: Apache-2.0
// What the order machine's files share: order.c has the order and its money, attempt.c the attempts to be paid,
// refund.c the money on its way back, message.c what is told through the broker.
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
bool order_is_payable(const struct order *o);
struct trace *step_trace(struct run *r, enum trace_kind kind);
void step_say(struct trace *t, struct str verb, struct str note); // what was done and why, in the trace's fixed room
void step_event(struct run *r, enum event_type type, const struct payment *p, const struct refund *f,
                int64_t amount_fen);
struct call *step_call(struct run *r, const struct payment *p, enum call_method method);
void payment_touch(struct run *r, const struct payment *p);
void payment_move(struct run *r, struct payment *p, enum payment_state to);
struct payment *payment_find(struct bundle *b, uint64_t key);
void order_settle(struct run *r); // the stock goes back, when no attempt can take money any more

// --- attempt.c
int64_t backoff_ms(uint64_t key, uint32_t tries);
bool waiting_means_scanned(enum channel_id channel); // a trade that waits: a buyer stands before the cashier
bool payment_is_wanted(const struct payment *p);     // its code is out, or in the making
void payment_owe(struct run *r, struct payment *p, enum call_method method, int64_t due_ms);
void payment_ask(struct run *r, struct payment *p, enum call_method method); // now
struct payment *payment_add(struct run *r, enum channel_id channel, enum product product, struct str payer, bool waits);
void payment_close(struct run *r, struct payment *p, int64_t wait_ms);
void payment_prove(struct run *r, struct payment *p, enum proof proof);
void on_closing_answer(struct run *r, struct payment *p, const struct answer *a);
void on_pay(struct run *r); // EV_PAY

// --- refund.c
struct refund *refund_find(struct bundle *b, uint64_t key);
struct refund *refund_add(struct run *r, struct payment *p, int64_t amount_fen, enum refund_cause cause);
void refund_by_provider(struct run *r, struct payment *p, int64_t amount_fen); // made and done, without our asking
void refund_ask(struct run *r, struct refund *f, const struct payment *p);
bool refunds_hinted(struct run *r, const struct payment *p); // by a notice; false: nothing was to be asked sooner
void refund_answered(struct run *r, struct refund *f, struct payment *p, const struct answer *a);
void refund_end(struct run *r, struct refund *f, struct payment *p, enum refund_state state);

// --- message.c
void messages_open(struct run *r);                         // the order is placed
void messages_moved(struct run *r, enum order_state from); // it has another state
void messages_due(struct run *r);                          // says again what is owed and due
bool messages_delay_closing(const struct run *r);          // the provider is asked when order.cancel comes round
bool half_checked(struct run *r);                          // EV_CHECKBACK; true: undecided, the provider may be asked
void on_sent(struct run *r);                               // EV_SENT
// Whether a broker elsewhere asks back about this order, so that the engine's own check-back only follows when none
// came.
bool order_waits_for_broker(const struct rules *rules, const struct order *o);

#endif
