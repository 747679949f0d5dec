// SPDX-License-Identifier: Apache-2.0
#include "order_fixture.h"

void desk_clear(struct desk *d)
{
    memset(d, 0, sizeof *d);
    d->now_ms = T0_MS;
    d->next_key = FIRST_KEY;
    d->rules = (struct rules){
        .close_grace_ms = GRACE_MS,
        .release = RELEASE_PROOF,
        .late_payment = LATE_REFUND,
        .checkback = {.schedule = SCHEDULE_FIXED, .first_ms = 30 * SECOND_MS, .interval_ms = 30 * SECOND_MS},
        .call_deadline_ms = 3 * SECOND_MS,
        .code_min_life_ms = MINUTE_MS,
        .code_max_life_ms = 2 * HOUR_MS - MINUTE_MS,
        .refund_query_ms = 10 * SECOND_MS,
    };
    d->b.order = (struct order){
        .key = FIRST_KEY - 1,
        .policy = POLICY_REVERSE,
        .holds_stock = true,
        .amount_fen = PRICE_FEN,
    };
}

// --- Strays: rows behind the last one, such as a step that looked too far would act upon

#define N_STRAYS 4

static struct payment stray_payment(const struct bundle *b, const struct event *e, unsigned kind)
{
    static const struct payment KIND[N_STRAYS] = {
        {.state = PAYMENT_CREATING, .owes = CALL_CREATE, .due_ms = 1},
        {.state = PAYMENT_WAITING, .due_ms = TIME_NEVER, .expires_ms = 1},
        {.state = PAYMENT_CLOSING, .owes = CALL_QUERY, .due_ms = T0_MS * 2, .tries = 1},
        {.state = PAYMENT_CAPTURED, .due_ms = TIME_NEVER, .captured_fen = PRICE_FEN * 9, .counts = true},
    };
    struct payment p = KIND[kind];
    bool answers = e->kind == EV_ANSWER || e->kind == EV_NOTICE;
    p.key = answers ? e->answer.payment_key : 1;
    p.channel = e->kind == EV_PAY ? e->pay.channel : CHANNEL_ALIPAY;
    p.product = e->kind == EV_PAY ? e->pay.product : PRODUCT_QR;
    p.n = ATTEMPTS_MAX;
    p.amount_fen = b->order.amount_fen;
    if (e->kind == EV_PAY) p.expires_ms = TIME_NEVER;
    if (e->kind == EV_RECEIVED) p.due_ms = e->now_ms + 1, p.tries = 0;
    return p;
}

static struct refund stray_refund(const struct bundle *b, const struct event *e)
{
    bool answers = e->kind == EV_ANSWER || e->kind == EV_NOTICE;
    return (struct refund){
        .key = answers ? e->answer.refund_key : 1,
        .payment_key = answers ? e->answer.payment_key : b->payment[0].key,
        .state = REFUND_PENDING,
        .owes = CALL_REFUND_QUERY,
        .due_ms = answers ? TIME_NEVER - 1 : 1,
        .amount_fen = 1,
    };
}

static bool same_end(const struct bundle *a, const struct step *of_a, const struct bundle *b, const struct step *of_b)
{
    return memcmp(&a->order, &b->order, sizeof a->order) == 0 && a->n_payments == b->n_payments &&
           a->n_refunds == b->n_refunds && of_a->refusal == of_b->refusal && of_a->changed == of_b->changed &&
           of_a->payments_changed == of_b->payments_changed && of_a->refunds_changed == of_b->refunds_changed &&
           of_a->payment_key == of_b->payment_key && of_a->n_events == of_b->n_events &&
           of_a->n_calls == of_b->n_calls && of_a->n_traces == of_b->n_traces &&
           (a->n_payments == 0 || a->payment[a->n_payments - 1].n == b->payment[b->n_payments - 1].n);
}

// A step takes as many rows as there are, whatever lies behind them.
static void strays_are_not_looked_at(const struct desk *d, const struct bundle *before, const struct event *e)
{
    for (unsigned kind = 0; kind < N_STRAYS; kind++) {
        struct bundle b;
        struct step out;
        memcpy(&b, before, sizeof b);
        for (unsigned i = b.n_payments; i < BUNDLE_PAYMENTS; i++)
            b.payment[i] = stray_payment(&b, e, kind);
        for (unsigned i = b.n_refunds; i < BUNDLE_REFUNDS; i++)
            b.refund[i] = stray_refund(&b, e);
        core_step(&d->rules, &b, e, &out);
        if (!same_end(&d->b, &d->out, &b, &out)) fail_msg("a row that is none was looked at");
    }
}

void desk_event(struct desk *d, struct event e)
{
    struct bundle before;
    memcpy(&before, &d->b, sizeof before);
    e.now_ms = d->now_ms;
    e.fresh_key = d->next_key;
    e.stock_is_short = d->stock_is_short;
    d->next_key += EVENT_FRESH_KEYS;
    memset(&d->out, 0xa5, sizeof d->out); // a step fills all it promises
    core_step(&d->rules, &d->b, &e, &d->out);
    const char *broken = step_law(&d->rules, &before, &e, &d->b, &d->out);
    if (broken) fail_msg("law broken: %s", broken);
    strays_are_not_looked_at(d, &before, &e);
    d->moves[d->out.stock]++;
    d->b.order.version += d->out.changed;
}

void desk_place(struct desk *d, enum channel_id channel, int64_t window_ms)
{
    d->b.order.channel = channel;
    d->b.order.expires_ms = d->now_ms + window_ms;
    desk_event(d, (struct event){.kind = EV_PLACE});
}

void desk_placed(struct desk *d)
{
    desk_clear(d);
    desk_place(d, CHANNEL_ALIPAY, WINDOW_MS);
    ORDER_IS(d, ORDER_PLACED);
}

void desk_waiting(struct desk *d)
{
    desk_placed(d);
    d->now_ms += SECOND_MS;
    desk_code(d, 0);
    ORDER_IS(d, ORDER_AWAITING_PAYMENT);
}

void desk_closing(struct desk *d)
{
    desk_waiting(d);
    desk_due_at(d, d->b.order.expires_ms);
    ORDER_IS(d, ORDER_CLOSING);
}

void desk_paid(struct desk *d)
{
    desk_waiting(d);
    d->now_ms += SECOND_MS;
    desk_notice(d, 0, FACT_PAID, PRICE_FEN);
    ORDER_IS(d, ORDER_PAID);
}

void desk_cancelled(struct desk *d, enum cancel_reason reason)
{
    desk_waiting(d);
    if (reason == REASON_TIMEOUT)
        desk_due_at(d, d->b.order.expires_ms);
    else
        desk_cancel(d, reason);
    desk_answer(d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
    ORDER_IS(d, ORDER_CANCELLED);
}

void desk_two_attempts(struct desk *d)
{
    desk_clear(d);
    desk_place(d, CHANNEL_ALIPAY, 3 * HOUR_MS);
    desk_code(d, 0);
    desk_due_at(d, d->b.payment[0].expires_ms);
    desk_code(d, 1);
}

void desk_any(struct desk *d)
{
    desk_clear(d);
    desk_place(d, CHANNEL_ANY, WINDOW_MS);
    ORDER_IS(d, ORDER_AWAITING_PAYMENT);
}

void desk_held(struct desk *d)
{
    desk_cancelled(d, REASON_TIMEOUT);
    d->rules.late_payment = LATE_HOLD;
    d->now_ms += SECOND_MS;
    desk_notice(d, 0, FACT_PAID, PRICE_FEN);
    PAYMENT_IS(d, 0, PAYMENT_HELD);
}

static struct answer answer_about(const struct desk *d, unsigned i)
{
    assert_true(i < d->b.n_payments);
    struct answer a = {
        .payment_key = d->b.payment[i].key,
        .channel = d->b.payment[i].channel,
        .outcome = OUTCOME_DONE,
        .asked_ms = d->now_ms,
        .took_ms = 80,
        .detail = "10000",
    };
    return a;
}

void desk_answer_asked(struct desk *d, unsigned i, enum call_method method, enum outcome outcome, enum fact fact,
                       int64_t asked_ms)
{
    struct answer a = answer_about(d, i);
    a.method = method;
    a.outcome = outcome;
    a.fact = fact;
    a.asked_ms = asked_ms;
    desk_event(d, (struct event){.kind = EV_ANSWER, .answer = a});
}

void desk_answer(struct desk *d, unsigned i, enum call_method method, enum outcome outcome, enum fact fact)
{
    desk_answer_asked(d, i, method, outcome, fact, d->now_ms);
}

void desk_code(struct desk *d, unsigned i)
{
    struct answer a = answer_about(d, i);
    a.method = CALL_CREATE;
    a.fact = FACT_CODE;
    a.code = STR("https://qr.alipay.com/bax00000");
    desk_event(d, (struct event){.kind = EV_ANSWER, .answer = a});
}

void desk_demanded(struct desk *d, unsigned i, enum outcome outcome, enum fact fact)
{
    struct answer a = answer_about(d, i);
    a.method = CALL_QUERY;
    a.outcome = outcome;
    a.fact = fact;
    a.on_demand = true;
    desk_event(d, (struct event){.kind = EV_ANSWER, .answer = a});
}

static struct answer money_about(const struct desk *d, unsigned i, enum fact fact, int64_t captured_fen)
{
    struct answer a = answer_about(d, i);
    a.fact = fact;
    a.captured_fen = captured_fen;
    memcpy(a.provider_trade_no, "2026112322001", sizeof "2026112322001");
    return a;
}

void desk_money(struct desk *d, unsigned i, enum call_method method, enum fact fact, int64_t captured_fen)
{
    struct answer a = money_about(d, i, fact, captured_fen);
    a.method = method;
    desk_event(d, (struct event){.kind = EV_ANSWER, .answer = a});
}

void desk_notice(struct desk *d, unsigned i, enum fact fact, int64_t captured_fen)
{
    desk_event(d, (struct event){.kind = EV_NOTICE, .answer = money_about(d, i, fact, captured_fen)});
}

void desk_refund_answer(struct desk *d, unsigned i, enum call_method method, enum outcome outcome, enum fact fact)
{
    assert_true(i < d->b.n_refunds);
    struct event e = {
        .kind = EV_ANSWER,
        .answer = {.payment_key = d->b.refund[i].payment_key,
                   .refund_key = d->b.refund[i].key,
                   .channel = CHANNEL_ALIPAY,
                   .method = method,
                   .outcome = outcome,
                   .fact = fact,
                   .asked_ms = d->now_ms},
    };
    desk_event(d, e);
}

void desk_due_at(struct desk *d, int64_t now_ms)
{
    d->now_ms = now_ms;
    desk_event(d, (struct event){.kind = EV_DUE});
}

void desk_due(struct desk *d)
{
    assert_true(d->b.order.due_ms != TIME_NEVER);
    desk_due_at(d, d->b.order.due_ms > d->now_ms ? d->b.order.due_ms : d->now_ms);
}

void desk_cancel(struct desk *d, enum cancel_reason reason)
{
    desk_event(d, (struct event){.kind = EV_CANCEL, .cancel = {reason}});
}

void desk_check(struct desk *d)
{
    desk_event(d, (struct event){.kind = EV_CHECK});
}

void desk_refund(struct desk *d, int64_t amount_fen)
{
    desk_event(d, (struct event){.kind = EV_REFUND, .refund = {amount_fen}});
}

void desk_pay(struct desk *d, enum channel_id channel, enum product product, const char *payer)
{
    desk_event(d,
               (struct event){
                   .kind = EV_PAY,
                   .pay = {.channel = channel, .product = product, .by_buyer = payer[0] != 0, .payer = str_of(payer)}});
}

void desk_resolve(struct desk *d, unsigned i, bool accepts)
{
    assert_true(i < d->b.n_payments);
    desk_event(d,
               (struct event){.kind = EV_RESOLVE, .resolve = {d->b.payment[i].key, accepts}, .note = STR("looked at")});
}

struct half_at copy_at(unsigned n)
{
    return (struct half_at){"broker-a", 1000 * (int64_t)n, n};
}

void desk_sent(struct desk *d, enum send_kind kind, enum outcome outcome, struct half_at at)
{
    desk_event(d, (struct event){.kind = EV_SENT, .sent = {kind, outcome, at}});
}

void desk_checkback(struct desk *d, struct half_at at, uint32_t n)
{
    desk_event(d, (struct event){.kind = EV_CHECKBACK, .checkback = {at, n}});
}

void desk_received(struct desk *d)
{
    desk_event(d, (struct event){.kind = EV_RECEIVED});
}

void desk_sweep(struct desk *d)
{
    desk_event(d, (struct event){.kind = EV_SWEEP});
}

void desk_reload(struct desk *d)
{
    struct bundle all = d->b;
    d->b.n_payments = d->b.n_refunds = 0;
    for (unsigned i = 0; i < all.n_payments; i++) {
        const struct payment *p = &all.payment[i];
        if (payment_open(p) || p->refunding_fen > 0 || p->counts || i + 1 == all.n_payments)
            d->b.payment[d->b.n_payments++] = *p;
    }
    for (unsigned i = 0; i < all.n_refunds; i++)
        if (all.refund[i].state == REFUND_PENDING) d->b.refund[d->b.n_refunds++] = all.refund[i];
}

const struct call *call_of(const struct desk *d, enum call_method method)
{
    for (unsigned i = 0; i < d->out.n_calls; i++)
        if (d->out.calls[i].method == method) return &d->out.calls[i];
    return NULL;
}

unsigned calls_of(const struct desk *d, enum call_method method)
{
    unsigned n = 0;
    for (unsigned i = 0; i < d->out.n_calls; i++)
        n += d->out.calls[i].method == method;
    return n;
}

unsigned told(const struct desk *d, enum event_type type)
{
    unsigned n = 0;
    for (unsigned i = 0; i < d->out.n_events; i++)
        n += d->out.events[i].type == type;
    return n;
}

const struct send *send_of(const struct desk *d, enum send_kind kind)
{
    for (unsigned i = 0; i < d->out.n_sends; i++)
        if (d->out.sends[i].kind == kind) return &d->out.sends[i];
    return NULL;
}

unsigned sends_of(const struct desk *d, enum send_kind kind)
{
    unsigned n = 0;
    for (unsigned i = 0; i < d->out.n_sends; i++)
        n += d->out.sends[i].kind == kind;
    return n;
}

unsigned messages_of(const struct desk *d, enum message_type type)
{
    unsigned n = 0;
    for (unsigned i = 0; i < d->out.n_messages; i++)
        n += d->out.messages[i].type == type;
    return n;
}

enum message_answer half_answer(const struct desk *d)
{
    for (unsigned i = 0; i < d->out.n_traces; i++)
        if (d->out.traces[i].kind == TRACE_CHECKBACK) return d->out.traces[i].answer;
    return ANSWER_NONE;
}

bool nothing_happened(const struct desk *d)
{
    return !d->out.changed && !d->out.n_events && !d->out.n_calls && !d->out.stock && !d->out.refusal &&
           !d->out.payments_changed && !d->out.refunds_changed && !d->out.half_changed && !d->out.n_messages &&
           !d->out.n_sends;
}

bool can_be_paid(const struct desk *d)
{
    for (unsigned i = 0; i < d->b.n_payments; i++)
        if (d->b.payment[i].state == PAYMENT_CREATING || d->b.payment[i].state == PAYMENT_WAITING) return true;
    return false;
}
