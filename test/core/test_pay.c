// SPDX-License-Identifier: Apache-2.0
// Who pays chooses the channel: attempts that somebody asks for, and what becomes of the earlier ones.
#include "order_fixture.h"

#define ALIPAY CHANNEL_ALIPAY
#define WECHAT CHANNEL_WECHATPAY
#define OPENID "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"

static const struct payment *asked_for(const struct desk *d)
{
    for (unsigned i = 0; i < d->b.n_payments; i++)
        if (d->b.payment[i].key == d->out.payment_key) return &d->b.payment[i];
    fail_msg("no attempt was named");
    return NULL;
}

static void an_order_for_any_wallet_asks_nobody_until_somebody_pays(void **state)
{
    (void)state;
    struct desk d;
    desk_any(&d);
    assert_int_equal(d.out.n_calls, 0);
    desk_pay(&d, WECHAT, PRODUCT_JSAPI, OPENID);
    const struct call *c = call_of(&d, CALL_CREATE);
    assert_non_null(c);
    assert_int_equal(d.out.n_calls, 1);
    assert_int_equal(c->channel, WECHAT);
    assert_int_equal(c->product, PRODUCT_JSAPI);
    assert_true(str_eq(c->payer, STR(OPENID)));
    assert_true(c->payment_key == d.out.payment_key);
    assert_int_equal(d.b.order.channel, CHANNEL_ANY);
    ORDER_IS(&d, ORDER_AWAITING_PAYMENT);
    desk_code(&d, 0);
    PAYMENT_IS(&d, 0, PAYMENT_WAITING);
    assert_int_equal(d.out.n_events, 0); // it awaits payment already
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    ORDER_IS(&d, ORDER_PAID);
}

static void an_abandoned_order_for_any_wallet_costs_no_call(void **state)
{
    (void)state;
    for (enum schedule s = SCHEDULE_FIXED; s <= SCHEDULE_ADAPTIVE; s++) {
        struct desk d;
        desk_any(&d);
        d.rules.checkback.schedule = s;
        assert_int_equal(d.b.order.due_ms, d.b.order.expires_ms);
        desk_check(&d);
        assert_int_equal(d.out.n_calls, 0);
        desk_due(&d);
        ORDER_IS(&d, ORDER_CANCELLED);
        assert_int_equal(d.out.n_calls, 0);
        assert_int_equal(d.out.stock, STOCK_RELEASE);
        assert_true(d.b.order.due_ms == TIME_NEVER);
    }
}

// --- Which attempt serves

static void the_same_wallet_uses_the_living_attempt_again(void **state)
{
    (void)state;
    struct desk d;
    desk_any(&d);
    desk_pay(&d, ALIPAY, PRODUCT_QR, "");
    uint64_t key = d.out.payment_key;
    for (unsigned i = 0; i < 2; i++) { // in the making, then out
        desk_pay(&d, ALIPAY, PRODUCT_QR, "");
        assert_true(nothing_happened(&d));
        assert_true(d.out.payment_key == key);
        if (i == 0) desk_code(&d, 0);
    }
    desk_placed(&d); // and the attempt an order began with
    desk_pay(&d, ALIPAY, PRODUCT_QR, "");
    assert_true(nothing_happened(&d));
    assert_true(d.out.payment_key == d.b.payment[0].key);
}

static void another_channel_product_or_payer_is_another_attempt(void **state)
{
    (void)state;
    static const struct {
        enum channel_id channel;
        enum product product;
        const char *payer;
        bool serves;
    } SECOND[] = {
        {WECHAT, PRODUCT_JSAPI, OPENID, true},      {WECHAT, PRODUCT_JSAPI, "another", false},
        {WECHAT, PRODUCT_JSAPI, "", false},         {WECHAT, PRODUCT_WAP, OPENID, false},
        {ALIPAY, PRODUCT_JSAPI, OPENID, false},     {WECHAT, PRODUCT_QR, OPENID, false},
        {WECHAT, PRODUCT_JSAPI, OPENID "2", false},
    };
    for (unsigned i = 0; i < sizeof SECOND / sizeof SECOND[0]; i++) {
        struct desk d;
        desk_any(&d);
        desk_pay(&d, WECHAT, PRODUCT_JSAPI, OPENID);
        desk_code(&d, 0);
        desk_pay(&d, SECOND[i].channel, SECOND[i].product, SECOND[i].payer);
        assert_int_equal(d.b.n_payments, SECOND[i].serves ? 1 : 2);
        assert_int_equal(asked_for(&d)->product, SECOND[i].product);
        PAYMENT_IS(&d, 0, SECOND[i].serves ? PAYMENT_WAITING : PAYMENT_CLOSING);
    }
}

// Whoever opens the address pays, so it serves anybody; WeChat Pay's is good for five minutes.
static void an_address_serves_anybody_while_it_is_good(void **state)
{
    (void)state;
    static const struct {
        enum channel_id channel;
        int64_t age_ms;
        bool serves;
    } OF_AGE[] = {
        {ALIPAY, 0, true},
        {WECHAT, 0, true},
        {WECHAT, 4 * MINUTE_MS - 1, true},
        {WECHAT, 4 * MINUTE_MS, false},
        {ALIPAY, 4 * MINUTE_MS, true},
    };
    for (unsigned i = 0; i < sizeof OF_AGE / sizeof OF_AGE[0]; i++) {
        struct desk d;
        desk_any(&d);
        desk_pay(&d, OF_AGE[i].channel, PRODUCT_WAP, "192.0.2.1");
        desk_code(&d, 0);
        d.now_ms += OF_AGE[i].age_ms;
        desk_pay(&d, OF_AGE[i].channel, PRODUCT_WAP, "192.0.2.2");
        assert_int_equal(d.b.n_payments, OF_AGE[i].serves ? 1 : 2);
    }
}

static void a_code_that_has_died_serves_nobody(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    desk_place(&d, CHANNEL_ANY, 6 * HOUR_MS);
    desk_pay(&d, ALIPAY, PRODUCT_QR, "");
    desk_code(&d, 0);
    d.now_ms = d.b.payment[0].expires_ms - 1;
    desk_pay(&d, ALIPAY, PRODUCT_QR, "");
    assert_int_equal(d.b.n_payments, 1);
    d.now_ms++; // and the timer has not rung yet
    desk_pay(&d, ALIPAY, PRODUCT_QR, "");
    assert_int_equal(d.b.n_payments, 2);
    assert_true(d.out.payment_key == d.b.payment[1].key);
    PAYMENT_IS(&d, 0, PAYMENT_CLOSING);
}

static void who_opens_the_page_stands_before_the_cashier(void **state)
{
    (void)state;
    struct desk d;
    desk_any(&d);
    d.now_ms += SECOND_MS;
    desk_pay(&d, ALIPAY, PRODUCT_WAP, "192.0.2.1");
    assert_int_equal(d.b.order.scanned_ms, d.now_ms);
    desk_pay(&d, ALIPAY, PRODUCT_QR, ""); // a code is shown instead: to nobody yet
    assert_int_equal(d.b.order.scanned_ms, 0);
}

// --- The earlier attempt

static void desk_two_wallets(struct desk *d) // the first waits, the second is wanted
{
    desk_any(d);
    desk_pay(d, ALIPAY, PRODUCT_QR, "");
    desk_code(d, 0);
    d->now_ms += SECOND_MS;
    desk_pay(d, WECHAT, PRODUCT_JSAPI, OPENID);
    PAYMENT_IS(d, 0, PAYMENT_CLOSING);
    PAYMENT_IS(d, 1, PAYMENT_CREATING);
}

static void the_earlier_attempt_is_asked_about_before_the_next_is_opened(void **state)
{
    (void)state;
    struct desk d;
    desk_two_wallets(&d);
    assert_int_equal(d.out.n_calls, 1);
    CALLED(&d, CALL_QUERY);
    assert_true(d.out.calls[0].payment_key == d.b.payment[0].key);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_WAITING); // somebody scanned it
    assert_int_equal(d.out.n_calls, 1);
    CALLED(&d, CALL_CLOSE);
    desk_answer(&d, 0, CALL_CLOSE, OUTCOME_DONE, FACT_CLOSED);
    PROOF_IS(&d, 0, PROOF_CLOSED);
    assert_int_equal(d.out.n_calls, 1);
    assert_true(call_of(&d, CALL_CREATE)->payment_key == d.b.payment[1].key);
    ORDER_IS(&d, ORDER_AWAITING_PAYMENT);
}

// The next one opens beside an earlier one that cannot be closed now, and that is watched on.
static void what_cannot_be_closed_is_watched_beside_the_next(void **state)
{
    (void)state;
    static const struct {
        enum outcome outcome;
        enum fact fact;
    } SAID[] = {
        {OUTCOME_DONE, FACT_NOT_FOUND}, // a code nobody scanned
        {OUTCOME_UNKNOWN, FACT_NONE},
        {OUTCOME_REFUSED, FACT_NONE},
    };
    for (unsigned i = 0; i < sizeof SAID / sizeof SAID[0]; i++) {
        struct desk d;
        desk_two_wallets(&d);
        desk_answer(&d, 0, CALL_QUERY, SAID[i].outcome, SAID[i].fact);
        assert_true(call_of(&d, CALL_CREATE)->payment_key == d.b.payment[1].key);
        PAYMENT_IS(&d, 0, PAYMENT_CLOSING);
        desk_code(&d, 1);
        desk_due_at(&d, d.b.payment[0].due_ms);
        bool asked = false;
        for (unsigned k = 0; k < d.out.n_calls; k++)
            asked = asked || d.out.calls[k].payment_key == d.b.payment[0].key;
        assert_true(asked);
    }
}

static void a_silent_provider_holds_the_next_attempt_up_for_two_seconds(void **state)
{
    (void)state;
    struct desk d;
    desk_two_wallets(&d);
    assert_int_equal(d.b.order.due_ms, d.now_ms + 2 * SECOND_MS);
    desk_due(&d);
    assert_true(call_of(&d, CALL_CREATE)->payment_key == d.b.payment[1].key);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
    assert_int_equal(d.out.n_calls, 0); // asked for once
}

static void what_was_never_asked_for_is_closed_without_asking(void **state)
{
    (void)state;
    struct desk d;
    desk_two_wallets(&d);
    desk_pay(&d, ALIPAY, PRODUCT_WAP, "192.0.2.1"); // he thinks better of it
    PAYMENT_IS(&d, 1, PAYMENT_CLOSED);
    PROOF_IS(&d, 1, PROOF_UNASKED);
    assert_int_equal(d.out.n_calls, 0); // the first is being asked about already
    desk_cancel(&d, REASON_BUYER);
    PROOF_IS(&d, 2, PROOF_UNASKED);
    assert_int_equal(d.out.n_calls, 0);
    ORDER_IS(&d, ORDER_CLOSING);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
    ORDER_IS(&d, ORDER_CANCELLED);
}

static void the_end_of_the_window_closes_what_waits_to_be_asked_for(void **state)
{
    (void)state;
    struct desk d;
    desk_any(&d);
    desk_pay(&d, ALIPAY, PRODUCT_QR, "");
    desk_code(&d, 0);
    d.now_ms = d.b.order.expires_ms - 1;
    desk_pay(&d, WECHAT, PRODUCT_QR, "");
    desk_due_at(&d, d.b.order.expires_ms);
    ORDER_IS(&d, ORDER_CLOSING);
    PROOF_IS(&d, 1, PROOF_UNASKED);
    assert_int_equal(calls_of(&d, CALL_CREATE), 0);
}

static void money_for_the_earlier_attempt_leaves_the_next_unasked(void **state)
{
    (void)state;
    for (unsigned told_by_query = 0; told_by_query < 2; told_by_query++) {
        struct desk d;
        desk_two_wallets(&d);
        if (told_by_query)
            desk_money(&d, 0, CALL_QUERY, FACT_PAID, PRICE_FEN);
        else
            desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
        ORDER_IS(&d, ORDER_PAID);
        PROOF_IS(&d, 1, PROOF_UNASKED);
        assert_int_equal(d.out.n_calls, 0);
        assert_true(d.b.order.due_ms == TIME_NEVER);
    }
}

// Two wallets, two captures: the first makes the order paid, the other goes back, whichever it is.
static void of_two_captures_one_fulfils_and_the_other_goes_back(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 2; first++) {
        struct desk d;
        desk_two_wallets(&d);
        desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
        desk_code(&d, 1);
        desk_notice(&d, first, FACT_PAID, PRICE_FEN);
        ORDER_IS(&d, ORDER_PAID);
        PAYMENT_IS(&d, 1 - first, PAYMENT_CLOSING);
        desk_notice(&d, 1 - first, FACT_PAID, PRICE_FEN);
        TOLD(&d, EVENT_PAYMENT_DUPLICATE);
        const struct call *c = call_of(&d, CALL_REFUND);
        assert_int_equal(d.out.n_calls, 1);
        assert_true(c->payment_key == d.b.payment[1 - first].key);
        assert_int_equal(c->channel, d.b.payment[1 - first].channel);
        assert_int_equal(c->amount_fen, PRICE_FEN);
        assert_true(d.b.payment[first].counts && !d.b.payment[1 - first].counts);
    }
}

static void an_order_of_one_channel_goes_over_to_the_one_that_is_paid_by(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    desk_place(&d, ALIPAY, 6 * HOUR_MS);
    desk_code(&d, 0);
    desk_pay(&d, WECHAT, PRODUCT_QR, "");
    assert_int_equal(d.b.order.channel, WECHAT);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
    desk_code(&d, 1);
    desk_due_at(&d, d.b.payment[1].expires_ms); // and its codes are renewed there
    assert_int_equal(call_of(&d, CALL_CREATE)->channel, WECHAT);
}

static void an_order_without_a_code_may_be_paid_otherwise(void **state)
{
    (void)state;
    struct desk d;
    desk_placed(&d);
    desk_pay(&d, WECHAT, PRODUCT_QR, "");
    ORDER_IS(&d, ORDER_PLACED);
    CALLED(&d, CALL_QUERY); // the first asking may have been heard
    desk_code(&d, 0);       // it was: the code is never shown, and is watched
    PAYMENT_IS(&d, 0, PAYMENT_CLOSING);
    ORDER_IS(&d, ORDER_PLACED);
    desk_due(&d);
    desk_code(&d, 1);
    TOLD(&d, EVENT_ORDER_AWAITING_PAYMENT);
}

// --- Limits

static void what_is_not_payable_takes_no_attempt(void **state)
{
    (void)state;
    static void (*const FROM[])(struct desk *) = {desk_closing, desk_paid, desk_held};
    for (unsigned i = 0; i < 3; i++) {
        struct desk d;
        FROM[i](&d);
        desk_pay(&d, ALIPAY, PRODUCT_QR, "");
        assert_int_equal(d.out.refusal, REFUSAL_NOT_PAYABLE);
    }
    struct desk d;
    desk_any(&d);
    d.now_ms = d.b.order.expires_ms - 1;
    desk_pay(&d, ALIPAY, PRODUCT_QR, "");
    assert_int_equal(d.out.refusal, REFUSAL_NONE);
    d.now_ms++;
    desk_pay(&d, ALIPAY, PRODUCT_QR, ""); // though an attempt lives
    assert_int_equal(d.out.refusal, REFUSAL_NOT_PAYABLE);
}

static void so_many_attempts_are_open_and_no_more(void **state)
{
    (void)state;
    struct desk d;
    desk_any(&d);
    for (unsigned i = 0; i < BUNDLE_PAYMENTS_TO_RENEW; i++) {
        desk_pay(&d, ALIPAY, i % 2 ? PRODUCT_WAP : PRODUCT_QR, "");
        assert_int_equal(d.out.refusal, REFUSAL_NONE);
        desk_code(&d, i);
        if (i > 0) desk_answer(&d, i - 1, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
        desk_code(&d, i);
    }
    desk_pay(&d, WECHAT, PRODUCT_QR, "");
    assert_int_equal(d.out.refusal, REFUSAL_BUSY);
    desk_pay(&d, ALIPAY, PRODUCT_QR, ""); // the one that lives still serves
    assert_int_equal(d.out.refusal, REFUSAL_NONE);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
    desk_reload(&d);
    desk_pay(&d, WECHAT, PRODUCT_QR, "");
    assert_int_equal(d.out.refusal, REFUSAL_NONE);
}

static void whoever_has_the_address_asks_for_so_many_attempts_and_no_more(void **state)
{
    (void)state;
    struct desk d;
    desk_any(&d);
    for (uint32_t n = 1; n <= ATTEMPTS_MAX; n++) {
        desk_pay(&d, n % 2 ? ALIPAY : WECHAT, PRODUCT_QR, "");
        assert_int_equal(d.out.refusal, REFUSAL_NONE);
        assert_int_equal(asked_for(&d)->n, n);
        if (d.b.n_payments > 1) desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
        desk_reload(&d);
        assert_int_equal(d.b.n_payments, 1);
        desk_code(&d, 0);
    }
    desk_pay(&d, ALIPAY, PRODUCT_QR, "");
    assert_int_equal(d.out.refusal, REFUSAL_BUSY);
}

// --- Channels that refuse

static void a_refusing_wallet_leaves_the_order_to_another(void **state)
{
    (void)state;
    struct desk d;
    desk_any(&d);
    desk_pay(&d, ALIPAY, PRODUCT_QR, "");
    desk_answer(&d, 0, CALL_CREATE, OUTCOME_REFUSED, FACT_NONE);
    PAYMENT_IS(&d, 0, PAYMENT_FAILED);
    ORDER_IS(&d, ORDER_AWAITING_PAYMENT);
    desk_pay(&d, WECHAT, PRODUCT_QR, "");
    assert_int_equal(d.out.n_calls, 1);
    CALLED(&d, CALL_CREATE);
}

// An earlier asking may have made a code under that number, so a refusal says only that the number is spent.
static void a_creation_refused_after_an_unknown_one_is_watched(void **state)
{
    (void)state;
    static const enum channel_id OF[] = {CHANNEL_ANY, CHANNEL_ALIPAY};
    for (unsigned i = 0; i < 2; i++) {
        struct desk d;
        desk_clear(&d);
        desk_place(&d, OF[i], WINDOW_MS);
        if (OF[i] == CHANNEL_ANY) desk_pay(&d, ALIPAY, PRODUCT_QR, "");
        desk_answer(&d, 0, CALL_CREATE, OUTCOME_UNKNOWN, FACT_NONE);
        desk_due(&d);
        CALLED(&d, CALL_CREATE);
        desk_answer(&d, 0, CALL_CREATE, OUTCOME_REFUSED, FACT_NONE);
        PAYMENT_IS(&d, 0, PAYMENT_CLOSING);
        CALLED(&d, CALL_QUERY);
        assert_true(d.b.order.state <= ORDER_AWAITING_PAYMENT);
        assert_int_equal(calls_of(&d, CALL_CREATE), OF[i] == CHANNEL_ANY ? 0 : 1); // a fixed one's next code
        desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
        ORDER_IS(&d, ORDER_PAID);
    }
}

// --- A provider whose trades exist as soon as there is a code

static void a_trade_that_waits_says_of_some_providers_only_that_somebody_scanned(void **state)
{
    (void)state;
    static const enum channel_id OF[] = {CHANNEL_ALIPAY, CHANNEL_WECHATPAY};
    for (unsigned i = 0; i < 2; i++) {
        struct desk d;
        desk_any(&d);
        desk_pay(&d, OF[i], PRODUCT_QR, "");
        desk_code(&d, 0);
        desk_due(&d);
        CALLED(&d, CALL_QUERY);
        desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_WAITING);
        assert_int_equal(d.b.order.scanned_ms != 0, OF[i] == CHANNEL_ALIPAY);
        assert_int_equal(d.b.order.n_checks, 1);
    }
}

static void a_trade_nobody_scanned_is_closed_where_there_is_one(void **state)
{
    (void)state;
    struct desk d;
    desk_any(&d);
    desk_pay(&d, WECHAT, PRODUCT_QR, "");
    desk_code(&d, 0);
    desk_due_at(&d, d.b.order.expires_ms);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_WAITING);
    CALLED(&d, CALL_CLOSE);
    desk_answer(&d, 0, CALL_CLOSE, OUTCOME_DONE, FACT_CLOSED);
    ORDER_IS(&d, ORDER_CANCELLED);
    PROOF_IS(&d, 0, PROOF_CLOSED);
}

// WeChat Pay has no cancel: what cannot be closed is closed again until it can, however long its code is dead.
static void where_there_is_no_cancel_closing_goes_on(void **state)
{
    (void)state;
    struct desk d;
    desk_any(&d);
    desk_pay(&d, WECHAT, PRODUCT_QR, "");
    desk_code(&d, 0);
    desk_due_at(&d, d.b.order.expires_ms);
    for (unsigned i = 0; i < 20; i++) {
        CALLED(&d, CALL_QUERY);
        desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_WAITING);
        CALLED(&d, CALL_CLOSE);
        desk_answer(&d, 0, CALL_CLOSE, OUTCOME_UNKNOWN, FACT_NONE);
        desk_due(&d);
    }
    assert_true(d.now_ms > d.b.payment[0].expires_ms + GRACE_MS);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_WAITING);
    desk_answer(&d, 0, CALL_CLOSE, OUTCOME_DONE, FACT_CLOSED);
    ORDER_IS(&d, ORDER_CANCELLED);
}

// The question overtook the request for the code, and found no trade. The code's answer says that there is one now,
// which can be closed at once; of Alipay's it says nothing, since nobody has scanned it.
static void a_trade_made_after_it_was_asked_about_is_closed_at_once(void **state)
{
    (void)state;
    for (enum channel_id c = CHANNEL_ALIPAY; c <= CHANNEL_WECHATPAY; c++) {
        struct desk d;
        desk_any(&d);
        desk_pay(&d, c, PRODUCT_QR, "");
        desk_pay(&d, c == CHANNEL_ALIPAY ? CHANNEL_WECHATPAY : CHANNEL_ALIPAY, PRODUCT_QR, "");
        CALLED(&d, CALL_QUERY);
        desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
        desk_answer(&d, 0, CALL_CREATE, OUTCOME_DONE, FACT_CODE);
        assert_int_equal(calls_of(&d, CALL_QUERY), c == CHANNEL_WECHATPAY);
        PAYMENT_IS(&d, 0, PAYMENT_CLOSING);
        desk_answer(&d, 0, CALL_CREATE, OUTCOME_DONE, FACT_CODE); // it is being asked
        assert_int_equal(calls_of(&d, CALL_QUERY), 0);
    }
}

// The same, heard of the other way round: it is asked about again when the request must have had its answer, and after
// that only when the code is dead.
static void a_question_that_may_have_overtaken_the_request_is_put_again(void **state)
{
    (void)state;
    struct desk d;
    desk_any(&d);
    desk_pay(&d, CHANNEL_WECHATPAY, PRODUCT_QR, "");
    desk_pay(&d, CHANNEL_ALIPAY, PRODUCT_QR, "");
    int64_t asked_ms = d.now_ms;
    desk_answer(&d, 0, CALL_CREATE, OUTCOME_DONE, FACT_CODE);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
    assert_true(d.b.payment[0].due_ms == asked_ms + 2 * SECOND_MS + d.rules.call_deadline_ms);
    d.now_ms = d.b.payment[0].due_ms;
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
    assert_true(d.b.payment[0].due_ms == d.b.payment[0].expires_ms + GRACE_MS);
}

// While it waits for order.cancel to come round it is asked about soon enough.
static void a_late_code_does_not_overtake_the_message(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    d.rules.cancel_wait_ms = 5 * SECOND_MS;
    desk_place(&d, CHANNEL_WECHATPAY, SECOND_MS);
    desk_due_at(&d, T0_MS + SECOND_MS);
    PAYMENT_IS(&d, 0, PAYMENT_CLOSING);
    desk_answer(&d, 0, CALL_CREATE, OUTCOME_DONE, FACT_CODE);
    assert_int_equal(calls_of(&d, CALL_QUERY), 0);
    desk_due(&d);
    CALLED(&d, CALL_QUERY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_for_any_wallet_asks_nobody_until_somebody_pays),
        cmocka_unit_test(an_abandoned_order_for_any_wallet_costs_no_call),
        cmocka_unit_test(the_same_wallet_uses_the_living_attempt_again),
        cmocka_unit_test(another_channel_product_or_payer_is_another_attempt),
        cmocka_unit_test(an_address_serves_anybody_while_it_is_good),
        cmocka_unit_test(a_code_that_has_died_serves_nobody),
        cmocka_unit_test(who_opens_the_page_stands_before_the_cashier),
        cmocka_unit_test(the_earlier_attempt_is_asked_about_before_the_next_is_opened),
        cmocka_unit_test(what_cannot_be_closed_is_watched_beside_the_next),
        cmocka_unit_test(a_silent_provider_holds_the_next_attempt_up_for_two_seconds),
        cmocka_unit_test(what_was_never_asked_for_is_closed_without_asking),
        cmocka_unit_test(the_end_of_the_window_closes_what_waits_to_be_asked_for),
        cmocka_unit_test(money_for_the_earlier_attempt_leaves_the_next_unasked),
        cmocka_unit_test(of_two_captures_one_fulfils_and_the_other_goes_back),
        cmocka_unit_test(an_order_of_one_channel_goes_over_to_the_one_that_is_paid_by),
        cmocka_unit_test(an_order_without_a_code_may_be_paid_otherwise),
        cmocka_unit_test(what_is_not_payable_takes_no_attempt),
        cmocka_unit_test(so_many_attempts_are_open_and_no_more),
        cmocka_unit_test(whoever_has_the_address_asks_for_so_many_attempts_and_no_more),
        cmocka_unit_test(a_refusing_wallet_leaves_the_order_to_another),
        cmocka_unit_test(a_creation_refused_after_an_unknown_one_is_watched),
        cmocka_unit_test(a_trade_that_waits_says_of_some_providers_only_that_somebody_scanned),
        cmocka_unit_test(a_trade_nobody_scanned_is_closed_where_there_is_one),
        cmocka_unit_test(where_there_is_no_cancel_closing_goes_on),
        cmocka_unit_test(a_trade_made_after_it_was_asked_about_is_closed_at_once),
        cmocka_unit_test(a_question_that_may_have_overtaken_the_request_is_put_again),
        cmocka_unit_test(a_late_code_does_not_overtake_the_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
