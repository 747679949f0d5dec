// SPDX-License-Identifier: Apache-2.0
// Totality: every kind of event, with every answer there can be, upon orders in every lawful condition.
#include "order_fixture.h"
#include <stdlib.h>

// A row as it is after it has come into the state, otherwise plain. `variant` turns the knobs that decide.
static void payment_fill(struct bundle *b, enum payment_state state, bool counts, unsigned variant)
{
    struct payment *p = &b->payment[b->n_payments++];
    *p = (struct payment){
        .key = 100 + b->n_payments,
        .channel = variant == 2 ? CHANNEL_WECHATPAY : CHANNEL_ALIPAY,
        .state = state,
        .n = b->n_payments,
        .amount_fen = PRICE_FEN,
        .created_ms = T0_MS,
        .expires_ms = T0_MS + WINDOW_MS,
        .due_ms = TIME_NEVER,
    };
    bool open = payment_open(p), failed = state == PAYMENT_FAILED;
    if (state == PAYMENT_CREATING || state == PAYMENT_CLOSING) {
        static const enum call_method OWED[] = {CALL_QUERY, CALL_CLOSE, CALL_QUERY, CALL_CANCEL};
        p->owes = state == PAYMENT_CREATING ? CALL_CREATE : OWED[variant];
        p->tries = variant * 2 + 1;
        p->due_ms = T0_MS + MINUTE_MS;
    } else if (failed || state == PAYMENT_CLOSED) {
        p->proof = failed ? PROOF_REFUSED : PROOF_CLOSED;
        p->proof_ms = T0_MS + 1;
    } else if (!open) {
        p->captured_fen = state == PAYMENT_MISMATCHED ? PRICE_FEN + 1 : PRICE_FEN;
        p->captured_ms = T0_MS + 1;
        p->counts = counts && state != PAYMENT_MISMATCHED;
    }
    if (state == PAYMENT_REFUNDED) p->refunded_fen = p->captured_fen;
    bool awaited = state == PAYMENT_HELD || (state == PAYMENT_MISMATCHED && variant == 1);
    if (awaited) p->word = WORD_AWAITED;
    if (awaited) return;
    if (state != PAYMENT_REFUNDING && state != PAYMENT_MISMATCHED) return;
    p->refunding_fen = p->captured_fen;
    b->refund[b->n_refunds] = (struct refund){
        .key = 200 + b->n_refunds,
        .payment_key = p->key,
        .state = REFUND_PENDING,
        .cause = b->order.state == ORDER_PAID && p->counts ? CAUSE_MERCHANT : CAUSE_LATE,
        .owes = variant & 1 ? CALL_REFUND_QUERY : CALL_REFUND,
        .tries = variant < 2 ? 1 : 3,
        .absents = variant == 3 ? 2 : 0,
        .uncertain = variant == 2,
        .is_abnormal = variant == 3,
        .amount_fen = p->captured_fen,
        .created_ms = T0_MS + 1,
        .due_ms = T0_MS + MINUTE_MS,
    };
    b->n_refunds++;
}

static void bundle_fill(struct bundle *b, enum order_state state, enum payment_state first, enum payment_state second,
                        unsigned counts, unsigned variant)
{
    memset(b, 0, sizeof *b);
    struct order *o = &b->order;
    bool payable = state == ORDER_PLACED || state == ORDER_AWAITING_PAYMENT;
    *o = (struct order){
        .key = 99,
        .version = 3,
        .sequence = 5,
        .state = state,
        .reason = payable || state == ORDER_PAID ? REASON_NONE : REASON_TIMEOUT,
        .channel = CHANNEL_ALIPAY,
        .policy = (enum policy)variant,
        .holds_stock = true,
        .reply_state = ORDER_PLACED,
        .reply_version = 1,
        .amount_fen = PRICE_FEN,
        .created_ms = T0_MS,
        .expires_ms = T0_MS + WINDOW_MS,
        .closing_ms = payable ? 0 : T0_MS + 2,
        .paid_ms = state == ORDER_PAID ? T0_MS + 3 : 0,
        .cancelled_ms = state == ORDER_CANCELLED ? T0_MS + 3 : 0,
        .check_ms = payable ? T0_MS + 30 * SECOND_MS : TIME_NEVER,
    };
    if (first) payment_fill(b, first, counts == 1, variant);
    if (second) payment_fill(b, second, counts == 2, variant);
    for (unsigned i = 0; i < b->n_payments; i++)
        if (b->payment[i].counts) {
            o->paid_fen = b->payment[i].captured_fen;
            o->refunded_fen = b->payment[i].refunded_fen;
        }
    o->due_ms = owed_first_ms(&(struct rules){.broker = BROKER_EMBEDDED}, b);
}

static unsigned long n_steps;
static unsigned every = 1; // of the lawful orders, each so many-th: for whoever has little time

static void try_event(const struct rules *rules, const struct bundle *b, struct event e)
{
    static const int64_t WHEN_MS[] = {T0_MS + 10, T0_MS + WINDOW_MS, T0_MS + WINDOW_MS + GRACE_MS};
    // An attempt that was told to cancel has seen its code die, so it is late already.
    bool late = b->payment[0].owes == CALL_CANCEL || b->payment[1].owes == CALL_CANCEL;
    for (unsigned i = late ? 2 : 0; i < 3; i++) {
        struct bundle after;
        struct step out;
        memcpy(&after, b, sizeof after);
        e.now_ms = WHEN_MS[i];
        e.fresh_key = 1000;
        core_step(rules, &after, &e, &out);
        const char *broken = step_law(rules, b, &e, &after, &out);
        if (broken)
            fail_msg("%s: order %s, attempts %s %s, event %d, method %s, outcome %s, fact %s", broken,
                     order_state_name(b->order.state), payment_state_name(b->payment[0].state),
                     payment_state_name(b->payment[1].state), e.kind, call_method_name(e.answer.method),
                     outcome_name(e.answer.outcome), fact_name(e.answer.fact));
        n_steps++;
    }
}

static void try_answer(const struct rules *rules, const struct bundle *b, const struct answer *said)
{
    struct answer a = *said;
    for (unsigned i = 0; i < b->n_refunds; i++)
        if (b->refund[i].payment_key == a.payment_key) a.refund_key = b->refund[i].key;
    try_event(rules, b, (struct event){.kind = a.method ? EV_ANSWER : EV_NOTICE, .answer = a});
    if (a.method != CALL_QUERY) return;
    a.on_demand = true;
    try_event(rules, b, (struct event){.kind = EV_ANSWER, .answer = a});
}

static void try_answers(const struct rules *rules, const struct bundle *b, const struct payment *p)
{
    static const int64_t ASKED_MS[] = {T0_MS, T0_MS + WINDOW_MS + GRACE_MS, T0_MS};
    static const int64_t CAPTURED_FEN[] = {PRICE_FEN, PRICE_FEN - 1, 0};
    for (enum fact f = FACT_NONE; f <= FACT_PAID_SOME_REFUNDED; f++)
        for (enum outcome o = OUTCOME_DONE; o <= OUTCOME_UNKNOWN; o++)
            for (enum call_method m = CALL_NONE; m <= CALL_REFUND_QUERY; m++)
                for (unsigned k = 0; k < 3; k++) {
                    bool money = f == FACT_PAID || f == FACT_PAID_AND_REFUNDED || f == FACT_PAID_SOME_REFUNDED;
                    if (k && !money && f != FACT_NOT_FOUND) continue;
                    struct answer a = {
                        .payment_key = p->key,
                        .channel = p->channel,
                        .method = m,
                        .outcome = o,
                        .fact = f,
                        .asked_ms = ASKED_MS[k],
                        .captured_fen = money ? CAPTURED_FEN[k] : 0,
                        .of_refund = m == CALL_NONE && o == OUTCOME_DONE,
                    };
                    try_answer(rules, b, &a);
                }
}

static void try_paying(const struct rules *rules, const struct bundle *b)
{
    static const struct str PAYERS[] = {{"", 0}, {"payer", 5}};
    for (enum channel_id c = CHANNEL_ALIPAY; c <= CHANNEL_WECHATPAY; c++)
        for (enum product p = PRODUCT_QR; p <= PRODUCT_JSAPI; p++)
            for (unsigned i = 0; i < 2; i++) {
                struct event e = {.kind = EV_PAY, .pay = {c, p, i, PAYERS[i]}};
                try_event(rules, b, e);
            }
}

static void try_words(const struct rules *rules, const struct bundle *b)
{
    for (unsigned i = 0; i < b->n_payments * 4; i++) {
        struct event e = {.kind = EV_RESOLVE, .resolve = {b->payment[i / 4].key, i & 1}, .stock_is_short = i & 2};
        try_event(rules, b, e);
    }
}

static void try_all(const struct rules *rules, const struct bundle *b)
{
    try_paying(rules, b);
    try_words(rules, b);
    try_event(rules, b, (struct event){.kind = EV_DUE});
    try_event(rules, b, (struct event){.kind = EV_CHECK});
    try_event(rules, b, (struct event){.kind = EV_LATE_REPLY});
    try_event(rules, b, (struct event){.kind = EV_CANCEL, .cancel = {REASON_BUYER}, .note = STR("why")});
    for (int64_t fen = -1; fen <= 1; fen++)
        try_event(rules, b, (struct event){.kind = EV_REFUND, .refund = {fen}});
    for (unsigned i = 0; i < b->n_payments; i++)
        try_answers(rules, b, &b->payment[i]);
}

static void no_event_upsets_any_lawful_order(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    unsigned bundles = 0, n = 0;
    for (unsigned rule = 0; rule < 6; rule++) {
        d.rules.release = (enum release)(rule % 2);
        d.rules.late_payment = (enum late_payment)(rule / 2);
        d.rules.checkback.max = rule % 2;
        for (enum order_state o = ORDER_PLACED; o <= ORDER_CANCELLED; o++)
            for (unsigned one = 0; one <= PAYMENT_MISMATCHED; one++)
                for (unsigned two = 0; two <= one; two++)
                    for (unsigned counts = 0; counts <= 2; counts++)
                        for (unsigned variant = 0; variant < 4; variant++) {
                            struct bundle b;
                            bundle_fill(&b, o, (enum payment_state)one, (enum payment_state)two, counts, variant);
                            if ((counts && b.order.paid_fen == 0) || bundle_law(&d.rules, &b)) continue;
                            if (n++ % every != 0) continue;
                            try_all(&d.rules, &b);
                            bundles++;
                        }
    }
    print_message("%u bundles, %lu steps\n", bundles, n_steps);
    assert_true(bundles > 1000 / every);
}

// A step that finds all rows taken still has keys, room and an answer for everything.
static void the_worst_bundle_fits(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    bundle_fill(&d.b, ORDER_AWAITING_PAYMENT, PAYMENT_STATE_0, PAYMENT_STATE_0, 0, 1);
    for (unsigned i = 0; i < BUNDLE_PAYMENTS; i++)
        payment_fill(&d.b, PAYMENT_WAITING, false, 0);
    for (unsigned i = 0; i < BUNDLE_PAYMENTS; i++) { // a long window, all of whose codes die at once
        d.b.payment[i].key = 300 + i;
        d.b.payment[i].expires_ms = T0_MS + HOUR_MS;
    }
    d.b.order.expires_ms = T0_MS + 24 * HOUR_MS;
    d.b.order.due_ms = owed_first_ms(&d.rules, &d.b);
    assert_null(bundle_law(&d.rules, &d.b));
    desk_due_at(&d, T0_MS + HOUR_MS);
    assert_int_equal(calls_of(&d, CALL_QUERY), 2 * BUNDLE_PAYMENTS); // the check-back's and the closing's
    for (unsigned i = 0; i < BUNDLE_PAYMENTS; i++) {
        desk_notice(&d, i, FACT_PAID, PRICE_FEN);
        if (i > 0) desk_refund_answer(&d, i - 1, CALL_REFUND, OUTCOME_UNKNOWN, FACT_NONE);
    }
    for (unsigned i = 0; i < BUNDLE_MERCHANT_REFUNDS; i++)
        desk_refund(&d, 1);
    assert_int_equal(d.out.refusal, REFUSAL_BUSY); // the duplicates' refunds are under way already
    desk_due_at(&d, T0_MS + 2 * HOUR_MS);
    assert_int_equal(calls_of(&d, CALL_REFUND), d.b.n_refunds);
}

static void renewing_takes_no_more_keys_than_it_is_given(void **state)
{
    (void)state;
    for (unsigned n = 1; n < BUNDLE_PAYMENTS; n++) {
        struct desk d;
        desk_clear(&d);
        bundle_fill(&d.b, ORDER_AWAITING_PAYMENT, PAYMENT_STATE_0, PAYMENT_STATE_0, 0, 1);
        for (unsigned i = 0; i < n; i++)
            payment_fill(&d.b, PAYMENT_WAITING, false, 0);
        d.b.order.expires_ms = T0_MS + 24 * HOUR_MS;
        d.b.order.due_ms = owed_first_ms(&d.rules, &d.b);
        desk_due_at(&d, T0_MS + WINDOW_MS); // the laws look after keys and numbers
        assert_int_equal(d.b.n_payments > n, n < BUNDLE_PAYMENTS_TO_RENEW);
        assert_true(d.b.n_payments <= (n > BUNDLE_PAYMENTS_TO_RENEW ? n : BUNDLE_PAYMENTS_TO_RENEW));
    }
}

// Told twice, nothing more happens to the order, its money or its stock (asking again is no happening).
static void hearing_anything_twice_changes_nothing_more(void **state)
{
    (void)state;
    static const struct {
        enum call_method method;
        enum fact fact;
    } HEARD[] = {
        {CALL_CREATE, FACT_CODE}, {CALL_QUERY, FACT_CLOSED},  {CALL_CLOSE, FACT_CLOSED},
        {CALL_QUERY, FACT_PAID},  {CALL_CANCEL, FACT_CLOSED}, {CALL_CANCEL, FACT_PAID_AND_REFUNDED},
    };
    static void (*const FROM[])(struct desk *) = {desk_placed, desk_waiting, desk_closing, desk_paid};
    for (unsigned k = 0; k < 4; k++)
        for (unsigned i = 0; i < sizeof HEARD / sizeof HEARD[0]; i++) {
            struct desk d;
            FROM[k](&d);
            desk_money(&d, 0, HEARD[i].method, HEARD[i].fact, PRICE_FEN);
            struct bundle once = d.b;
            desk_money(&d, 0, HEARD[i].method, HEARD[i].fact, PRICE_FEN);
            assert_int_equal(d.out.n_events, 0);
            assert_int_equal(d.out.stock, STOCK_STAY);
            assert_int_equal(d.b.order.state, once.order.state);
            assert_int_equal(d.b.payment[0].state, once.payment[0].state);
            assert_int_equal(d.b.n_refunds, once.n_refunds);
            assert_int_equal(d.b.order.paid_fen, once.order.paid_fen);
        }
}

static void a_timer_that_rings_again_or_early_finds_nothing_to_do(void **state)
{
    (void)state;
    static void (*const FROM[])(struct desk *) = {desk_placed, desk_waiting, desk_closing, desk_paid};
    for (unsigned k = 0; k < 4; k++) {
        struct desk d;
        FROM[k](&d);
        desk_due_at(&d, d.now_ms); // early
        assert_true(nothing_happened(&d));
        if (d.b.order.due_ms == TIME_NEVER) continue;
        desk_due(&d);
        desk_due_at(&d, d.now_ms); // again
        assert_true(nothing_happened(&d));
    }
}

static void the_invariant_names_what_is_wrong(void **state)
{
    (void)state;
    struct desk d;
#define WRONG(set_up, change, name)                                                                                    \
    do {                                                                                                               \
        set_up(&d);                                                                                                    \
        assert_null(bundle_invariant(&d.b));                                                                           \
        change;                                                                                                        \
        assert_non_null(bundle_invariant(&d.b));                                                                       \
        assert_string_equal(bundle_invariant(&d.b), name);                                                             \
    } while (0)
    WRONG(desk_paid, d.b.order.refunded_fen = -1, "refunded_within_paid");
    WRONG(desk_paid, d.b.order.refunded_fen = PRICE_FEN + 1, "refunded_within_paid");
    WRONG(desk_paid, d.b.order.paid_fen--, "paid_by_its_money");
    WRONG(desk_paid, d.b.order.paid_fen = 0, "paid_has_money");
    WRONG(desk_paid, d.b.order.paid_fen = --d.b.payment[0].captured_fen, "paid_in_full");
    WRONG(desk_paid, d.b.order.due_ms = 0, "due_is_an_instant");
    WRONG(desk_paid, d.b.payment[0].refunded_fen = -1, "refunds_not_negative");
    WRONG(desk_paid, d.b.payment[0].refunding_fen = -1, "refunds_not_negative");
    WRONG(desk_paid, d.b.payment[0].refunding_fen = PRICE_FEN + 1, "refunds_within_capture");
    WRONG(desk_closing, d.b.payment[0].owes = CALL_NONE, "owing_has_a_time");
    WRONG(desk_paid, d.b.payment[0].due_ms = 5, "owing_has_a_time");
}

static void desk_cancelled_by_buyer(struct desk *d)
{
    desk_cancelled(d, REASON_BUYER);
}

static void the_invariant_knows_the_cancelled(void **state)
{
    (void)state;
    struct desk d;
    WRONG(desk_cancelled_by_buyer, d.b.order.cancelled_ms = 0, "cancelled_has_a_time");
    WRONG(desk_cancelled_by_buyer, d.b.payment[0].proof = PROOF_NONE, "closed_has_a_proof");
}

// --- Rows no store should load, and words no channel should say: nothing is given away over them

static struct step step_unjudged(struct desk *d, struct event e)
{
    struct step out;
    e.now_ms = d->now_ms;
    e.fresh_key = 5000;
    core_step(&d->rules, &d->b, &e, &out);
    return out;
}

static struct event query_says(const struct desk *d, unsigned i, enum fact fact)
{
    struct answer a = {
        .payment_key = d->b.payment[i].key,
        .method = CALL_QUERY,
        .outcome = OUTCOME_DONE,
        .fact = fact,
        .asked_ms = d->now_ms,
    };
    return (struct event){.kind = EV_ANSWER, .answer = a};
}

static void nothing_is_released_while_any_attempt_is_open(void **state)
{
    (void)state;
    static const enum payment_state OPEN[] = {PAYMENT_CREATING, PAYMENT_WAITING, PAYMENT_CLOSING};
    for (unsigned i = 0; i < 3; i++) {
        struct desk d;
        desk_clear(&d);
        d.now_ms += 10;
        bundle_fill(&d.b, ORDER_CLOSING, PAYMENT_CLOSING, OPEN[i], 0, 0);
        struct step out = step_unjudged(&d, query_says(&d, 0, FACT_CLOSED));
        assert_int_equal(out.stock, STOCK_STAY);
        ORDER_IS(&d, ORDER_CLOSING);
        out = step_unjudged(&d, query_says(&d, 1, FACT_CLOSED));
        assert_int_equal(out.stock, STOCK_RELEASE);
        ORDER_IS(&d, ORDER_CANCELLED);
    }
}

static void no_check_back_is_counted_for_who_is_not_payable(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    d.now_ms += 10;
    bundle_fill(&d.b, ORDER_CLOSING, PAYMENT_WAITING, PAYMENT_STATE_0, 0, 0);
    step_unjudged(&d, query_says(&d, 0, FACT_WAITING));
    assert_int_equal(d.b.order.n_checks, 0);
    ORDER_IS(&d, ORDER_CLOSING);
}

static void attempts_are_numbered_on_however_they_lie(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    bundle_fill(&d.b, ORDER_AWAITING_PAYMENT, PAYMENT_WAITING, PAYMENT_CLOSED, 0, 0);
    d.b.payment[0].n = 9;
    d.b.payment[1].n = 4;
    d.b.order.expires_ms = T0_MS + 24 * HOUR_MS;
    d.b.order.due_ms = owed_first_ms(&d.rules, &d.b);
    desk_due_at(&d, T0_MS + WINDOW_MS);
    assert_int_equal(d.b.payment[2].n, 10);
}

static void without_the_capture_nothing_is_refunded(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    d.b.n_payments = 0;
    assert_int_equal(step_unjudged(&d, (struct event){.kind = EV_REFUND}).refusal, REFUSAL_NOT_PAID);
    desk_paid(&d);
    desk_refund(&d, 0);
    d.b.n_payments = 0;
    d.now_ms = d.b.order.due_ms;
    assert_int_equal(step_unjudged(&d, (struct event){.kind = EV_DUE}).n_calls, 0);
}

static void words_nobody_knows_decide_nothing(void **state)
{
    (void)state;
    struct desk d;
    desk_placed(&d);
    desk_event(&d, (struct event){.kind = (enum event_kind)99});
    assert_true(nothing_happened(&d));
    desk_answer(&d, 0, CALL_CREATE, (enum outcome)99, FACT_CODE);
    ORDER_IS(&d, ORDER_PLACED);
    desk_answer(&d, 0, CALL_CREATE, OUTCOME_0, FACT_CODE);
    ORDER_IS(&d, ORDER_PLACED);
    PAYMENT_IS(&d, 0, PAYMENT_CREATING);
}

int main(int argc, char **argv)
{
    if (argc > 1) every = (unsigned)strtoul(argv[1], NULL, 10);
    if (every == 0) return 2;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_event_upsets_any_lawful_order),
        cmocka_unit_test(the_worst_bundle_fits),
        cmocka_unit_test(renewing_takes_no_more_keys_than_it_is_given),
        cmocka_unit_test(hearing_anything_twice_changes_nothing_more),
        cmocka_unit_test(a_timer_that_rings_again_or_early_finds_nothing_to_do),
        cmocka_unit_test(the_invariant_names_what_is_wrong),
        cmocka_unit_test(the_invariant_knows_the_cancelled),
        cmocka_unit_test(nothing_is_released_while_any_attempt_is_open),
        cmocka_unit_test(no_check_back_is_counted_for_who_is_not_payable),
        cmocka_unit_test(attempts_are_numbered_on_however_they_lie),
        cmocka_unit_test(without_the_capture_nothing_is_refunded),
        cmocka_unit_test(words_nobody_knows_decide_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
