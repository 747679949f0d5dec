// SPDX-License-Identifier: Apache-2.0
// The order machine: the drawing, the table, the switch, in that order.
//
//                       code                      money
//    [placed] ----------------> [awaiting] --------------------> [paid]
//       |  \                        |                             ^ ^
//       |   \_______________________|___money (overtakes code)____| |
//       | cancel, window over,      | cancel, window over           | money that was under way
//       | channel refuses           v                               |
//       +---------------------> [closing] --------------------------+
//                                   |                               |
//                                   | every attempt proven          | late money, and the stock is
//                                   v unpayable                     | there again (late_payment=reopen)
//                              [cancelled] -------------------------+
//
// An attempt to be paid (struct payment, attempt.c) lives on its own: it outlives the order's closing when a code may
// still take money, and everything such money needs (recording it, telling of it, sending it back) is owed by its row.
// How it is sent back stands in refund.c.
#include "core/inside.h"
#include "core/instant.h"
#include <assert.h>

// to:                  placed               awaiting  closing  paid     cancelled
static const unsigned ORDER_EDGES[] = {
    [ORDER_STATE_0] = BIT(ORDER_PLACED),
    [ORDER_PLACED] = BIT(ORDER_AWAITING_PAYMENT) | BIT(ORDER_CLOSING) | BIT(ORDER_PAID),
    [ORDER_AWAITING_PAYMENT] = BIT(ORDER_CLOSING) | BIT(ORDER_PAID),
    [ORDER_CLOSING] = BIT(ORDER_PAID) | BIT(ORDER_CANCELLED),
    [ORDER_PAID] = 0,
    [ORDER_CANCELLED] = BIT(ORDER_PAID),
};

static const enum event_type ORDER_TOLD[] = {
    [ORDER_PLACED] = EVENT_ORDER_PLACED,       [ORDER_AWAITING_PAYMENT] = EVENT_ORDER_AWAITING_PAYMENT,
    [ORDER_CLOSING] = EVENT_ORDER_CLOSING,     [ORDER_PAID] = EVENT_ORDER_PAID,
    [ORDER_CANCELLED] = EVENT_ORDER_CANCELLED,
};

#define MONEY_CAME (BIT(PAYMENT_CAPTURED) | BIT(PAYMENT_REFUNDED) | BIT(PAYMENT_HELD) | BIT(PAYMENT_MISMATCHED))
static const unsigned PAYMENT_EDGES[] = {
    [PAYMENT_STATE_0] = BIT(PAYMENT_CREATING),
    [PAYMENT_CREATING] =
        BIT(PAYMENT_WAITING) | BIT(PAYMENT_CLOSING) | BIT(PAYMENT_CLOSED) | BIT(PAYMENT_FAILED) | MONEY_CAME,
    [PAYMENT_WAITING] = BIT(PAYMENT_CLOSING) | BIT(PAYMENT_CLOSED) | MONEY_CAME,
    [PAYMENT_CAPTURED] = BIT(PAYMENT_REFUNDING),
    [PAYMENT_CLOSING] = BIT(PAYMENT_CLOSED) | MONEY_CAME,
    [PAYMENT_CLOSED] = MONEY_CAME, // a proof that was none, or a provider that forgot: money is never turned away
    [PAYMENT_REFUNDING] = BIT(PAYMENT_REFUNDED) | BIT(PAYMENT_CAPTURED),
    [PAYMENT_REFUNDED] = 0,
    [PAYMENT_FAILED] = MONEY_CAME,
    [PAYMENT_HELD] = BIT(PAYMENT_REFUNDING) | BIT(PAYMENT_CAPTURED),
    [PAYMENT_MISMATCHED] = BIT(PAYMENT_CAPTURED),
};

// --- What goes out

// Whether it shows why it was closed: a paid order was closing once, perhaps, and that is of no interest.
static bool order_is_ending(const struct order *o)
{
    return o->state == ORDER_CLOSING || o->state == ORDER_CANCELLED;
}

void step_event(struct run *r, enum event_type type, const struct payment *p, const struct refund *f,
                int64_t amount_fen)
{
    assert(r->out->n_events < STEP_MAX);
    r->out->events[r->out->n_events++] = (struct public_event){
        .type = type,
        .sequence = ++r->o->sequence,
        .state = r->o->state,
        .reason = order_is_ending(r->o) ? r->o->reason : REASON_NONE,
        .payment_key = p ? p->key : 0,
        .refund_key = f ? f->key : 0,
        .amount_fen = amount_fen,
    };
}

struct trace *step_trace(struct run *r, enum trace_kind kind)
{
    assert(r->out->n_traces < STEP_MAX);
    struct trace *t = &r->out->traces[r->out->n_traces++];
    *t = (struct trace){.kind = kind, .n = r->o->n_checks};
    return t;
}

static size_t say(struct trace *t, size_t at, struct str words)
{
    for (size_t i = 0; i < words.n && at + 1 < sizeof t->detail; i++)
        t->detail[at++] = words.p[i];
    return at;
}

// How many of n bytes are whole characters (UTF-8): a text that was cut may end inside one. It begins with a verb of
// ours, so the way back ends there.
static size_t whole_characters(const char *p, size_t n)
{
    size_t start = n - 1;
    while (((unsigned char)p[start] & 0xc0) == 0x80)
        start--;
    unsigned char lead = (unsigned char)p[start];
    size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    return start + length <= n ? start + length : start;
}

// What a person did and why, in the trace's fixed room.
void step_say(struct trace *t, struct str verb, struct str note)
{
    size_t n = say(t, 0, verb);
    if (note.n > 0) n = whole_characters(t->detail, say(t, say(t, n, STR(": ")), note));
    t->detail[n] = 0;
}

struct call *step_call(struct run *r, const struct payment *p, enum call_method method)
{
    assert(r->out->n_calls < STEP_MAX);
    struct call *c = &r->out->calls[r->out->n_calls++];
    *c = (struct call){
        .channel = p->channel,
        .method = method,
        .product = p->product,
        .payer = p->payer,
        .order_key = r->o->key,
        .payment_key = p->key,
        .amount_fen = p->amount_fen,
        .total_fen = p->amount_fen,
        .expires_ms = p->expires_ms,
    };
    memcpy(c->provider_trade_no, p->provider_trade_no, PROVIDER_NO_SIZE);
    return c;
}

void payment_touch(struct run *r, const struct payment *p)
{
    r->out->payments_changed |= BIT(p - r->b->payment);
}

// --- The movers: nobody else assigns a state

bool order_is_payable(const struct order *o)
{
    return o->state == ORDER_PLACED || o->state == ORDER_AWAITING_PAYMENT;
}

static void order_move(struct run *r, enum order_state to)
{
    struct order *o = r->o;
    assert(ORDER_EDGES[o->state] & BIT(to));
    enum order_state from = o->state;
    enum stock_move stock = STOCK_STAY;
    o->state = to;
    if (to == ORDER_PLACED) {
        o->created_ms = r->now_ms;
        stock = STOCK_HOLD;
    } else if (to == ORDER_CLOSING) {
        o->closing_ms = r->now_ms;
    } else if (to == ORDER_PAID) {
        o->paid_ms = r->now_ms;
        stock = from == ORDER_CANCELLED ? STOCK_RETAKE : STOCK_SELL;
    } else if (to == ORDER_CANCELLED) {
        o->cancelled_ms = r->now_ms;
        stock = STOCK_RELEASE;
    }
    if (!order_is_payable(o)) o->check_ms = TIME_NEVER;
    if (o->holds_stock && stock != STOCK_STAY) r->out->stock = stock;
    step_event(r, ORDER_TOLD[to], NULL, NULL, o->amount_fen);
    messages_moved(r, from);
}

void payment_move(struct run *r, struct payment *p, enum payment_state to)
{
    assert(PAYMENT_EDGES[p->state] & BIT(to));
    p->state = to;
    p->owes = CALL_NONE;
    p->tries = 0;
    p->due_ms = TIME_NEVER;
    payment_touch(r, p);
}

// --- Money

static void order_close(struct run *r, enum cancel_reason reason);

static void money_record(struct run *r, struct payment *p, const struct answer *a)
{
    p->captured_fen = a->captured_fen;
    p->captured_ms = r->now_ms;
    memcpy(p->provider_trade_no, a->provider_trade_no, PROVIDER_NO_SIZE);
}

// The order's own money: what makes it paid, or would have.
static void money_counts(struct run *r, struct payment *p)
{
    p->counts = true;
    r->o->paid_fen = p->captured_fen;
}

static void money_fulfils(struct run *r, struct payment *p)
{
    money_counts(r, p);
    order_move(r, ORDER_PAID);
    for (unsigned i = 0; i < r->b->n_payments; i++) {
        struct payment *other = &r->b->payment[i];
        if (payment_is_wanted(other)) payment_close(r, other, 0);
    }
}

static void money_is_late(struct run *r, struct payment *p)
{
    step_event(r, EVENT_PAYMENT_LATE, p, NULL, p->captured_fen);
    if (r->rules->late_payment == LATE_REOPEN && r->o->reason == REASON_TIMEOUT && !r->e->stock_is_short) {
        payment_move(r, p, PAYMENT_CAPTURED);
        money_fulfils(r, p);
        return;
    }
    money_counts(r, p);
    if (r->rules->late_payment == LATE_HOLD) {
        payment_move(r, p, PAYMENT_HELD);
        p->word = WORD_AWAITED;
        return;
    }
    payment_move(r, p, PAYMENT_CAPTURED);
    refund_add(r, p, p->captured_fen, CAUSE_LATE);
}

// Money of which nobody says how much has gone back pays for nothing, and is not offered back either: that might be
// more than is left. Somebody has to look.
static void money_in(struct run *r, struct payment *p, const struct answer *a)
{
    bool some_left = a->fact == FACT_PAID_SOME_REFUNDED;
    money_record(r, p, a);
    if (p->captured_fen != p->amount_fen || some_left) {
        payment_move(r, p, PAYMENT_MISMATCHED);
        step_event(r, EVENT_PAYMENT_MISMATCH, p, NULL, p->captured_fen);
        if (r->rules->late_payment == LATE_HOLD || some_left)
            p->word = WORD_AWAITED;
        else
            refund_add(r, p, p->captured_fen, CAUSE_MISMATCH);
        order_settle(r);
    } else if (r->o->paid_fen > 0) {
        payment_move(r, p, PAYMENT_CAPTURED);
        step_event(r, EVENT_PAYMENT_DUPLICATE, p, NULL, p->captured_fen);
        refund_add(r, p, p->captured_fen, CAUSE_DUPLICATE);
    } else if (r->o->state == ORDER_CANCELLED) {
        money_is_late(r, p);
    } else {
        payment_move(r, p, PAYMENT_CAPTURED);
        money_fulfils(r, p);
    }
}

// All of the money went back at the provider: by a refund of ours that was not heard of, or by the provider itself
// (a cancel that raced the payment, its console). Entered either way, so that our books equal its ledger.
static void money_came_and_went(struct run *r, struct payment *p, const struct answer *a)
{
    if (p->captured_fen == 0) {
        money_record(r, p, a);
        payment_move(r, p, p->captured_fen == p->amount_fen ? PAYMENT_CAPTURED : PAYMENT_MISMATCHED);
    }
    for (unsigned i = 0; i < r->b->n_refunds; i++) {
        struct refund *f = &r->b->refund[i];
        if (f->payment_key == p->key && f->state == REFUND_PENDING) refund_end(r, f, p, REFUND_SUCCEEDED);
    }
    int64_t rest_fen = p->captured_fen - p->refunded_fen;
    if (rest_fen > 0) refund_by_provider(r, p, rest_fen);
    order_settle(r);
}

// --- The order as a whole

static bool payment_is_open(const struct payment *p)
{
    return p->state == PAYMENT_CREATING || p->state == PAYMENT_WAITING || p->state == PAYMENT_CLOSING;
}

// Stock is given back here and nowhere else: when no attempt can take money any more.
void order_settle(struct run *r)
{
    if (r->o->state != ORDER_CLOSING) return;
    for (unsigned i = 0; i < r->b->n_payments; i++)
        if (payment_is_open(&r->b->payment[i])) return;
    order_move(r, ORDER_CANCELLED);
}

static void order_close(struct run *r, enum cancel_reason reason)
{
    r->o->reason = reason;
    order_move(r, ORDER_CLOSING);
    int64_t wait_ms = messages_delay_closing(r) ? r->rules->cancel_wait_ms : 0;
    for (unsigned i = 0; i < r->b->n_payments; i++)
        if (payment_is_wanted(&r->b->payment[i])) payment_close(r, &r->b->payment[i], wait_ms);
    if (r->rules->release == RELEASE_DEADLINE)
        order_move(r, ORDER_CANCELLED); // the attempts stay watched, and late money goes the way of late money
    else
        order_settle(r);
}

// asked_ms 0: the code is new.
static void order_arm_check(struct run *r, int64_t code_ms, int64_t asked_ms, bool answered)
{
    struct watch w = {.code_ms = code_ms,
                      .scanned_ms = r->o->scanned_ms,
                      .asked_ms = asked_ms,
                      .answered = answered,
                      .expires_ms = r->o->expires_ms};
    r->o->check_ms = checkback_next(&r->rules->checkback, r->o->policy, &w, r->now_ms);
}

// Somebody asked, which puts nothing off; but a buyer seen at the cashier for the first time brings it forward.
static void order_checked_on_demand(struct run *r, const struct payment *p, const struct answer *a, bool scanned)
{
    int64_t planned_ms = r->o->check_ms;
    if (scanned) order_arm_check(r, p->created_ms, a->asked_ms, true);
    r->o->check_ms = earlier(planned_ms, r->o->check_ms);
}

// One check-back has its answer, and it was not "paid". An answer that could not be had counts for nothing, and one
// that somebody asked for ends no window.
static void order_checked(struct run *r, const struct payment *p, const struct answer *a)
{
    const struct checkback *c = &r->rules->checkback;
    if (a->outcome != OUTCOME_DONE) return;
    bool scanned = a->fact == FACT_WAITING && waiting_means_scanned(p->channel) && r->o->scanned_ms == 0;
    if (scanned) r->o->scanned_ms = r->now_ms;
    r->o->n_checks += !a->on_demand;
    step_trace(r, TRACE_CHECKBACK)->answer = ANSWER_UNKNOWN;
    if (a->on_demand)
        order_checked_on_demand(r, p, a, scanned);
    else if (c->max > 0 && r->o->n_checks >= c->max)
        order_close(r, REASON_TIMEOUT);
    else
        order_arm_check(r, p->created_ms, a->asked_ms, true);
}

// --- Answers

// Not asked about yet, and not put off until its code is dead.
static bool payment_waits_for_message(const struct run *r, const struct payment *p)
{
    return p->state == PAYMENT_CLOSING && p->owes == CALL_QUERY && p->tries == 0 && p->due_ms > r->now_ms &&
           p->due_ms <= r->o->closing_ms + r->rules->cancel_wait_ms;
}

// Closing already: the code is never shown, and is watched. Where a code is a trade there is one now to be closed,
// although a question that overtook the request found none, and was to be put again when the code is dead.
static void on_late_code(struct run *r, struct payment *p, const struct answer *a)
{
    bool is_trade = a->fact == FACT_CODE && !waiting_means_scanned(p->channel);
    bool put_off = p->state == PAYMENT_CLOSING && p->tries == 0;
    if (is_trade && put_off && !payment_waits_for_message(r, p)) payment_ask(r, p, CALL_QUERY);
}

static void on_create_answer(struct run *r, struct payment *p, const struct answer *a)
{
    if (p->state != PAYMENT_CREATING)
        on_late_code(r, p, a);
    else if (a->outcome == OUTCOME_DONE && a->fact == FACT_CODE) {
        p->code = a->code;
        payment_move(r, p, PAYMENT_WAITING);
        if (r->o->state == ORDER_PLACED) order_move(r, ORDER_AWAITING_PAYMENT);
        order_arm_check(r, r->now_ms, 0, false);
    } else if (a->outcome == OUTCOME_REFUSED && p->tries <= 1) {
        payment_prove(r, p, PROOF_REFUSED);                               // at the first asking: there is no code
        if (r->o->channel != CHANNEL_ANY) order_close(r, REASON_CHANNEL); // else another wallet may do
    } else if (a->outcome == OUTCOME_REFUSED) {
        payment_close(r, p, 0); // after an unknown one there may be a code, and its number may be what is refused
    } else {
        payment_owe(r, p, CALL_CREATE, r->now_ms + backoff_ms(p->key, p->tries));
    }
}

static void on_waiting_answer(struct run *r, struct payment *p, const struct answer *a)
{
    if (a->method != CALL_QUERY) return;
    if (a->outcome == OUTCOME_DONE && a->fact == FACT_CLOSED) payment_prove(r, p, PROOF_PROVIDER_CLOSED);
    if (order_is_payable(r->o)) order_checked(r, p, a);
}

static bool tells_of_money(const struct answer *a)
{
    return a->outcome == OUTCOME_DONE && a->captured_fen > 0 &&
           (a->fact == FACT_PAID || a->fact == FACT_PAID_AND_REFUNDED || a->fact == FACT_PAID_SOME_REFUNDED);
}

// Whether it says anything about this attempt's money that is not in our books.
static bool is_news(const struct payment *p, const struct answer *a)
{
    return p->captured_fen == 0 || (a->fact == FACT_PAID_AND_REFUNDED && p->refunded_fen < p->captured_fen);
}

static void on_money(struct run *r, struct payment *p, const struct answer *a)
{
    bool by_check = a->method == CALL_QUERY && order_is_payable(r->o);
    if (!is_news(p, a)) return;
    if (a->fact == FACT_PAID_AND_REFUNDED)
        money_came_and_went(r, p, a);
    else
        money_in(r, p, a);
    if (by_check && r->o->state == ORDER_PAID) {
        r->o->n_checks += !a->on_demand;
        step_trace(r, TRACE_CHECKBACK)->answer =
            checkback_commits_when_paid(r->o->policy) ? ANSWER_COMMIT : ANSWER_ROLLBACK;
    }
}

struct payment *payment_find(struct bundle *b, uint64_t key)
{
    for (unsigned i = 0; i < b->n_payments; i++)
        if (b->payment[i].key == key) return &b->payment[i];
    return NULL;
}

static void trace_answer(struct run *r, enum trace_kind kind, const struct answer *a)
{
    struct trace *t = step_trace(r, kind);
    t->channel = a->channel;
    t->method = a->method;
    t->outcome = a->outcome;
    t->fact = a->fact;
    t->took_ms = a->took_ms;
    memcpy(t->detail, a->detail, sizeof t->detail);
}

static void on_answer(struct run *r)
{
    const struct answer *a = &r->e->answer;
    struct payment *p = payment_find(r->b, a->payment_key);
    if (!p) return;
    trace_answer(r, TRACE_PROVIDER, a);
    if (a->method == CALL_REFUND || a->method == CALL_REFUND_QUERY) {
        struct refund *f = refund_find(r->b, a->refund_key);
        if (f && f->payment_key == p->key && f->state == REFUND_PENDING) refund_answered(r, f, p, a);
    } else if (tells_of_money(a)) {
        on_money(r, p, a);
    } else if (a->method == CALL_CREATE) {
        on_create_answer(r, p, a);
    } else if (p->state == PAYMENT_CLOSING) {
        on_closing_answer(r, p, a);
    } else if (p->state == PAYMENT_WAITING || p->state == PAYMENT_CREATING) {
        on_waiting_answer(r, p, a);
    }
}

// A notice of anything but money decides nothing: what matters is asked for.
static void on_notice(struct run *r)
{
    const struct answer *a = &r->e->answer;
    struct payment *p = payment_find(r->b, a->payment_key);
    if (!p) return;
    if (tells_of_money(a) && is_news(p, a)) {
        trace_answer(r, TRACE_NOTIFICATION, a);
        on_money(r, p, a);
    } else if (a->of_refund && refunds_hinted(r, p)) {
        trace_answer(r, TRACE_NOTIFICATION, a);
    }
}

// --- The other events

static void on_place(struct run *r)
{
    assert(r->b->n_payments == 0 && r->b->n_refunds == 0 && r->o->version == 0);
    r->o->check_ms = TIME_NEVER;
    order_move(r, ORDER_PLACED);
    messages_open(r);
    if (r->o->channel == CHANNEL_ANY)
        order_move(r, ORDER_AWAITING_PAYMENT); // its code is Till's own page: nothing is asked of a provider
    else
        payment_add(r, r->o->channel, PRODUCT_QR, STR(""), false);
    assert(r->next_key < r->e->fresh_key - 1 + KEY_OF_MAIN);
}

static void check_back(struct run *r)
{
    r->o->check_ms = TIME_NEVER; // a code that comes arms it
    for (unsigned i = 0; i < r->b->n_payments; i++) {
        if (r->b->payment[i].state != PAYMENT_WAITING) continue;
        (void)step_call(r, &r->b->payment[i], CALL_QUERY);
        order_arm_check(r, r->b->payment[i].created_ms, r->now_ms, false); // should no answer come
    }
}

// A code lives shorter than a long window: when it dies it is asked about until proven, like any other.
static void retire_codes(struct run *r)
{
    for (unsigned i = 0; i < r->b->n_payments; i++) {
        struct payment *p = &r->b->payment[i];
        if (p->state == PAYMENT_WAITING && r->now_ms >= p->expires_ms) payment_close(r, p, 0);
    }
}

// While an order is payable at a channel it has a code that can be paid, or one in the making: a dead one, one that
// was closed over there, or one that brought the wrong amount, is followed by another, if the window leaves it time.
static void order_keep_payable(struct run *r)
{
    if (!order_is_payable(r->o) || r->o->channel == CHANNEL_ANY) return;
    if (r->now_ms + r->rules->code_min_life_ms > r->o->expires_ms || r->b->n_payments >= BUNDLE_PAYMENTS_TO_RENEW)
        return;
    for (unsigned i = 0; i < r->b->n_payments; i++)
        if (payment_is_wanted(&r->b->payment[i])) return;
    payment_add(r, r->o->channel, PRODUCT_QR, STR(""), false);
}

// When the engine asks the provider by itself. Under the fixed schedule a broker's own asking goes on to the provider,
// so the engine waits a while for that; the adaptive one promises a bound, which no broker keeps for us.
static int64_t own_check_ms(const struct rules *rules, const struct order *o)
{
    bool waits = order_waits_for_broker(rules, o) && rules->checkback.schedule == SCHEDULE_FIXED;
    return o->check_ms == TIME_NEVER || !waits ? o->check_ms : o->check_ms + rules->checkback.interval_ms / 2;
}

// The broker asks back. Under the fixed schedule each such question goes on to the provider, under the adaptive one
// those that come when one is due, or will be before the broker asks again.
static void on_checkback(struct run *r)
{
    const struct checkback *c = &r->rules->checkback;
    if (!half_checked(r)) return;
    bool asks = c->schedule == SCHEDULE_FIXED || r->o->check_ms - c->interval_ms / 2 <= r->now_ms;
    if (asks && order_is_payable(r->o)) check_back(r); // the provider's answer says what the check-back's is
    if (r->out->n_calls == 0) step_trace(r, TRACE_CHECKBACK)->answer = ANSWER_UNKNOWN;
}

// The window is over, says the message: the attempts that waited for it are asked about.
static void on_received(struct run *r)
{
    step_say(step_trace(r, TRACE_MESSAGE), STR("order.cancel"), STR("received"));
    if (order_is_payable(r->o) && r->now_ms >= r->o->expires_ms) order_close(r, REASON_TIMEOUT);
    for (unsigned i = 0; i < r->b->n_payments; i++) {
        struct payment *p = &r->b->payment[i];
        if (payment_waits_for_message(r, p)) payment_ask(r, p, CALL_QUERY);
    }
}

static void on_due(struct run *r)
{
    if (order_is_payable(r->o)) {
        if (r->now_ms >= r->o->expires_ms) {
            order_close(r, REASON_TIMEOUT);
        } else {
            if (r->now_ms >= own_check_ms(r->rules, r->o)) check_back(r);
            retire_codes(r);
        }
    }
    messages_due(r);
    for (unsigned i = 0; i < r->b->n_payments; i++) {
        struct payment *p = &r->b->payment[i];
        if (p->owes != CALL_NONE && r->now_ms >= p->due_ms) payment_ask(r, p, p->owes);
    }
    for (unsigned i = 0; i < r->b->n_refunds; i++) {
        struct refund *f = &r->b->refund[i];
        struct payment *p = payment_find(r->b, f->payment_key);
        if (p && f->state == REFUND_PENDING && r->now_ms >= f->due_ms) refund_ask(r, f, p);
    }
}

// What the timers should have done. Nothing of it is left when they did.
static void on_sweep(struct run *r)
{
    if (r->now_ms < r->o->due_ms) return;
    step_say(step_trace(r, TRACE_SWEEP), STR("overdue"), STR(""));
    on_due(r);
    order_keep_payable(r);
}

static void on_cancel(struct run *r)
{
    if (r->o->state == ORDER_PAID) {
        r->out->refusal = REFUSAL_ALREADY_PAID;
    } else if (order_is_payable(r->o)) {
        step_say(step_trace(r, TRACE_OPERATOR), STR("cancel"), r->e->note);
        order_close(r, r->e->cancel.reason);
    }
}

static void on_check(struct run *r)
{
    for (unsigned i = 0; i < r->b->n_payments; i++) {
        const struct payment *p = &r->b->payment[i];
        if (p->state == PAYMENT_WAITING || p->state == PAYMENT_CLOSING) step_call(r, p, CALL_QUERY)->on_demand = true;
    }
}

static void on_refund(struct run *r)
{
    struct payment *p = NULL;
    unsigned pending = 0;
    for (unsigned i = 0; i < r->b->n_payments; i++)
        if (r->b->payment[i].counts) p = &r->b->payment[i];
    for (unsigned i = 0; i < r->b->n_refunds; i++)
        pending += r->b->refund[i].state == REFUND_PENDING;
    if (r->o->state != ORDER_PAID || !p) {
        r->out->refusal = REFUSAL_NOT_PAID;
        return;
    }
    int64_t left_fen = p->captured_fen - p->refunded_fen - p->refunding_fen;
    int64_t amount_fen = r->e->refund.amount_fen ? r->e->refund.amount_fen : left_fen;
    if (amount_fen <= 0 || amount_fen > left_fen) {
        r->out->refusal = REFUSAL_TOO_MUCH;
    } else if (pending >= BUNDLE_MERCHANT_REFUNDS) {
        r->out->refusal = REFUSAL_BUSY;
    } else {
        step_say(step_trace(r, TRACE_OPERATOR), STR("refund"), r->e->note);
        r->out->refund_key = refund_add(r, p, amount_fen, CAUSE_MERCHANT)->key;
    }
}

// --- An operator's word

static void money_accepted(struct run *r, struct payment *p)
{
    step_say(step_trace(r, TRACE_OPERATOR), STR("accept"), r->e->note);
    p->word = WORD_ACCEPTED;
    payment_move(r, p, PAYMENT_CAPTURED);
    money_fulfils(r, p);
}

static void on_resolve(struct run *r)
{
    struct payment *p = payment_find(r->b, r->e->resolve.payment_key);
    if (!p || p->word != WORD_AWAITED) {
        r->out->refusal = REFUSAL_RESOLVED;
    } else if (!r->e->resolve.accepts) {
        step_say(step_trace(r, TRACE_OPERATOR), STR("refund"), r->e->note);
        refund_add(r, p, p->captured_fen, p->state == PAYMENT_HELD ? CAUSE_LATE : CAUSE_MISMATCH);
    } else if (!p->counts && r->o->paid_fen > 0) {
        r->out->refusal = REFUSAL_ALREADY_PAID;
    } else if (r->o->state == ORDER_CANCELLED && r->e->stock_is_short) {
        r->out->refusal = REFUSAL_SHORT;
    } else {
        money_accepted(r, p);
    }
}

static int64_t bundle_due_ms(const struct rules *rules, const struct bundle *b)
{
    int64_t due_ms = own_check_ms(rules, &b->order);
    if (b->half.owes) due_ms = earlier(due_ms, b->half.due_ms);
    if (order_is_payable(&b->order)) due_ms = earlier(due_ms, b->order.expires_ms);
    for (unsigned i = 0; i < b->n_payments; i++) {
        const struct payment *p = &b->payment[i];
        due_ms = earlier(due_ms, p->due_ms);
        if (p->state == PAYMENT_WAITING && order_is_payable(&b->order)) due_ms = earlier(due_ms, p->expires_ms);
    }
    for (unsigned i = 0; i < b->n_refunds; i++)
        due_ms = earlier(due_ms, b->refund[i].due_ms);
    return due_ms;
}

// Whether this is the instant the placing is answered although there is no code yet.
static bool is_answered(const struct event *e)
{
    return e->kind == EV_LATE_REPLY || (e->kind == EV_PLACE && e->place.is_answered);
}

void core_step(const struct rules *rules, struct bundle *b, const struct event *e, struct step *out)
{
    out->refusal = REFUSAL_NONE;
    out->stock = STOCK_STAY;
    out->payments_changed = out->refunds_changed = out->payments_added = out->refunds_added = 0;
    out->refund_key = out->payment_key = 0;
    out->half_changed = false;
    out->n_events = out->n_traces = out->n_calls = out->n_messages = out->n_sends = 0;
    struct order before;
    memcpy(&before, &b->order, sizeof before); // with what lies between its fields
    struct run r = {
        .rules = rules, .b = b, .o = &b->order, .e = e, .now_ms = e->now_ms, .next_key = e->fresh_key, .out = out};
    switch (e->kind) {
    case EV_PLACE: on_place(&r); break;
    case EV_DUE:
        on_due(&r);
        order_keep_payable(&r);
        break;
    case EV_ANSWER:
        on_answer(&r);
        order_keep_payable(&r);
        break;
    case EV_NOTICE:
        on_notice(&r);
        order_keep_payable(&r);
        break;
    case EV_CANCEL: on_cancel(&r); break;
    case EV_CHECK: on_check(&r); break;
    case EV_REFUND: on_refund(&r); break;
    case EV_LATE_REPLY: break;
    case EV_SENT: on_sent(&r); break;
    case EV_CHECKBACK: on_checkback(&r); break;
    case EV_RECEIVED: on_received(&r); break;
    case EV_SWEEP: on_sweep(&r); break;
    case EV_PAY: on_pay(&r); break;
    case EV_RESOLVE: on_resolve(&r); break;
    }
    if (b->order.reply_state == ORDER_STATE_0 && (b->order.state != ORDER_PLACED || is_answered(e))) {
        b->order.reply_state = b->order.state;
        b->order.reply_version = b->order.version + 1;
    }
    b->order.due_ms = bundle_due_ms(rules, b);
    // The order's version is the fence of all its rows.
    out->changed = out->payments_changed || out->refunds_changed || out->half_changed ||
                   memcmp(&before, &b->order, sizeof before) != 0;
    assert(r.next_key - e->fresh_key <= EVENT_FRESH_KEYS);
    assert(bundle_invariant(b) == NULL);
}

bool order_price(const struct line *lines, unsigned n, int64_t *amount_fen)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < n; i++) {
        int64_t part;
        if (lines[i].quantity < 1 || lines[i].quantity > LINE_QUANTITY_MAX) return false;
        if (__builtin_mul_overflow(lines[i].price_fen, lines[i].quantity, &part)) return false;
        if (__builtin_add_overflow(sum, part, &sum)) return false;
    }
    *amount_fen = sum;
    return sum >= 1 && sum <= AMOUNT_MAX_FEN;
}
