// SPDX-License-Identifier: Apache-2.0
// Where a rule ends: the last instant, count or fen on the one side, and the first on the other.
#include "core/inside.h"
#include "order_fixture.h"

// --- Instants

static void pauses_double_up_to_a_minute_a_quarter_to_and_fro(void **state)
{
    (void)state;
    static const int64_t BASE_MS[] = {1000, 2000, 4000, 8000, 16000, 32000, 64000, 64000, 64000};
    for (uint32_t tries = 0; tries < sizeof BASE_MS / sizeof BASE_MS[0]; tries++) {
        int64_t least_ms = INT64_MAX, most_ms = 0;
        for (uint64_t key = FIRST_KEY; key < FIRST_KEY + 2000; key++) {
            int64_t ms = backoff_ms(key, tries);
            if (ms < least_ms) least_ms = ms;
            if (ms > most_ms) most_ms = ms;
        }
        assert_in_range(least_ms, BASE_MS[tries] * 75 / 100, BASE_MS[tries] * 76 / 100);
        assert_in_range(most_ms, BASE_MS[tries] * 124 / 100, BASE_MS[tries] * 125 / 100 - 1);
    }
}

static void a_code_asked_for_again_keeps_its_end_while_that_is_a_shortest_life_away(void **state)
{
    (void)state;
    for (int64_t late_ms = 0; late_ms <= 1; late_ms++) {
        struct desk d;
        desk_clear(&d);
        desk_place(&d, CHANNEL_ALIPAY, 10 * HOUR_MS);
        int64_t expires_ms = d.b.payment[0].expires_ms;
        desk_due_at(&d, expires_ms - d.rules.code_min_life_ms + late_ms);
        if (late_ms)
            assert_true(call_of(&d, CALL_CREATE)->expires_ms > expires_ms);
        else
            assert_int_equal(call_of(&d, CALL_CREATE)->expires_ms, expires_ms);
    }
}

static void cancel_takes_six_tries_and_the_codes_death(void **state)
{
    (void)state;
    static const struct {
        uint32_t tries;
        int64_t after_ms; // the death
        enum call_method method;
    } CASES[] = {{5, 0, CALL_CLOSE}, {6, -1, CALL_CLOSE}, {6, 0, CALL_CANCEL}, {7, 0, CALL_CANCEL}};
    for (unsigned i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct desk d;
        desk_closing(&d);
        d.b.payment[0].tries = CASES[i].tries;
        d.now_ms = d.b.payment[0].expires_ms + GRACE_MS + CASES[i].after_ms;
        desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_WAITING);
        assert_int_equal(d.out.n_calls, 1);
        assert_int_equal(d.out.calls[0].method, CASES[i].method);
    }
}

static void a_close_refused_is_asked_about_at_once_the_first_time(void **state)
{
    (void)state;
    for (uint32_t tries = 2; tries <= 3; tries++) {
        struct desk d;
        desk_closing(&d);
        desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_WAITING);
        CALLED(&d, CALL_CLOSE);
        assert_int_equal(d.b.payment[0].tries, 2);
        d.b.payment[0].tries = tries;
        desk_answer(&d, 0, CALL_CLOSE, OUTCOME_REFUSED, FACT_NONE);
        assert_int_equal(calls_of(&d, CALL_QUERY), tries == 2);
    }
}

static void a_wait_of_a_millisecond_is_a_wait(void **state)
{
    (void)state;
    struct desk d;
    desk_waiting(&d);
    d.rules.cancel_wait_ms = 1;
    desk_cancel(&d, REASON_BUYER);
    assert_int_equal(d.out.n_calls, 0);
    assert_int_equal(d.b.order.due_ms, d.now_ms + 1);
}

// It is due this instant, and the timer asks.
static void order_cancel_at_the_last_instant_leaves_the_asking_to_the_timer(void **state)
{
    (void)state;
    for (int64_t early_ms = 0; early_ms <= 1; early_ms++) {
        struct desk d;
        desk_waiting(&d);
        d.rules.cancel_wait_ms = 5 * SECOND_MS;
        desk_cancel(&d, REASON_BUYER);
        d.now_ms = d.b.payment[0].due_ms - early_ms;
        desk_received(&d);
        assert_int_equal(calls_of(&d, CALL_QUERY), early_ms);
        if (early_ms) continue;
        desk_due(&d);
        CALLED(&d, CALL_QUERY);
    }
}

// --- Money

static void desk_fen(struct desk *d, int64_t window_ms) // an order of one fen, its code out
{
    desk_clear(d);
    d->b.order.amount_fen = 1;
    desk_place(d, CHANNEL_ALIPAY, window_ms);
    desk_code(d, 0);
}

static void desk_fen_twice(struct desk *d) // either attempt may bring it
{
    desk_fen(d, 3 * HOUR_MS);
    desk_due_at(d, d->b.payment[0].expires_ms);
    desk_code(d, 1);
}

static void a_fen_pays_an_order_once(void **state)
{
    (void)state;
    struct desk d;
    desk_fen_twice(&d);
    desk_notice(&d, 0, FACT_PAID, 1);
    ORDER_IS(&d, ORDER_PAID);
    desk_notice(&d, 1, FACT_PAID, 1);
    TOLD(&d, EVENT_PAYMENT_DUPLICATE);
    assert_int_equal(call_of(&d, CALL_REFUND)->amount_fen, 1);
}

static void a_fen_that_came_and_went_is_in_the_books(void **state)
{
    (void)state;
    struct desk d;
    desk_fen(&d, WINDOW_MS);
    desk_notice(&d, 0, FACT_PAID_AND_REFUNDED, 1);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDED);
    assert_int_equal(d.b.n_refunds, 1);
    assert_int_equal(d.b.refund[0].amount_fen, 1);
}

static void beside_the_fen_that_paid_it_nothing_else_is_accepted(void **state)
{
    (void)state;
    struct desk d;
    desk_fen_twice(&d);
    d.rules.late_payment = LATE_HOLD;
    desk_notice(&d, 0, FACT_PAID, 1);
    desk_notice(&d, 1, FACT_PAID, 2);
    PAYMENT_IS(&d, 1, PAYMENT_MISMATCHED);
    desk_resolve(&d, 1, true);
    assert_int_equal(d.out.refusal, REFUSAL_ALREADY_PAID);
}

static void the_first_instant_there_is_may_be_due(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    d.b.order.due_ms = 0;
    assert_string_equal(bundle_invariant(&d.b), "due_is_an_instant");
    d.b.order.due_ms = 1;
    assert_null(bundle_invariant(&d.b));
}

// --- Repeated, and not heard

static void what_is_known_to_have_come_and_gone_leaves_no_trace_the_second_time(void **state)
{
    (void)state;
    struct desk d;
    desk_waiting(&d);
    desk_notice(&d, 0, FACT_PAID_AND_REFUNDED, PRICE_FEN);
    assert_int_equal(d.out.n_traces, 1);
    desk_notice(&d, 0, FACT_PAID_AND_REFUNDED, PRICE_FEN);
    assert_true(nothing_happened(&d));
    assert_int_equal(d.out.n_traces, 0);
}

static void the_attempt_that_is_left_over_is_asked_about_with_the_money(void **state)
{
    (void)state;
    struct desk d;
    desk_two_attempts(&d);
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    ORDER_IS(&d, ORDER_PAID);
    PAYMENT_IS(&d, 1, PAYMENT_CLOSING);
    CALLED(&d, CALL_QUERY);
    assert_true(d.out.calls[0].payment_key == d.b.payment[1].key);
}

// The first time it is asked for, it was not asked for in vain.
static void what_was_put_off_is_no_retry(void **state)
{
    (void)state;
    struct desk d;
    desk_any(&d);
    desk_pay(&d, CHANNEL_ALIPAY, PRODUCT_QR, "");
    desk_code(&d, 0);
    desk_pay(&d, CHANNEL_WECHATPAY, PRODUCT_QR, "");
    desk_due(&d);
    assert_true(call_of(&d, CALL_CREATE)->payment_key == d.b.payment[1].key);
    assert_false(call_of(&d, CALL_CREATE)->is_retry);
    desk_due_at(&d, d.b.payment[1].due_ms);
    assert_true(call_of(&d, CALL_CREATE)->is_retry);
}

// Watched until it is dead, it has no answer to wait for.
static void an_attempt_put_off_until_its_death_holds_nobody_up(void **state)
{
    (void)state;
    struct desk d;
    desk_any(&d);
    desk_pay(&d, CHANNEL_ALIPAY, PRODUCT_QR, "");
    desk_code(&d, 0);
    desk_pay(&d, CHANNEL_WECHATPAY, PRODUCT_QR, "");
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
    desk_answer(&d, 1, CALL_CREATE, OUTCOME_REFUSED, FACT_NONE);
    PAYMENT_IS(&d, 0, PAYMENT_CLOSING);
    PAYMENT_IS(&d, 1, PAYMENT_FAILED);
    desk_pay(&d, CHANNEL_WECHATPAY, PRODUCT_WAP, "192.0.2.1");
    CALLED(&d, CALL_CREATE);
    assert_true(d.out.calls[0].payment_key == d.b.payment[2].key);
}

static void a_trade_first_seen_on_demand_is_closed_if_nobody_does_yet(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    desk_demanded(&d, 0, OUTCOME_DONE, FACT_WAITING);
    assert_int_equal(d.out.n_calls, 1);
    CALLED(&d, CALL_CLOSE);
    desk_demanded(&d, 0, OUTCOME_DONE, FACT_WAITING); // it is being closed
    assert_int_equal(d.out.n_calls, 0);
}

static void an_unanswered_refund_is_offered_again_without_its_deadline(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_refund(&d, 0);
    int64_t due_ms = d.b.refund[0].due_ms;
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_UNKNOWN, FACT_NONE);
    assert_int_equal(d.b.refund[0].due_ms, due_ms - d.rules.call_deadline_ms);
}

static void only_absent_said_and_heard_is_absent(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_refund(&d, 0);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_ACCEPTED);
    desk_due(&d);
    desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, FACT_NONE);
    assert_int_equal(d.b.refund[0].absents, 0);
    desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_UNKNOWN, FACT_REFUND_ABSENT);
    assert_int_equal(d.b.refund[0].absents, 0);
    desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, FACT_REFUND_ABSENT);
    assert_int_equal(d.b.refund[0].absents, 1);
}

// Else a refusal that follows would be taken for one after an ask that nobody heard of.
static void a_word_about_a_refund_ends_its_asks_in_vain(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_refund(&d, 0);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_ACCEPTED);
    assert_int_equal(d.b.refund[0].tries, 0);
    desk_due(&d);
    assert_false(call_of(&d, CALL_REFUND_QUERY)->is_retry);

    desk_cancelled(&d, REASON_TIMEOUT); // late money, of the system's own
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_REFUSED, FACT_NONE);
    assert_int_equal(d.b.refund[0].tries, 0);
    desk_due(&d);
    assert_false(call_of(&d, CALL_REFUND)->is_retry);
    assert_false(d.b.refund[0].uncertain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pauses_double_up_to_a_minute_a_quarter_to_and_fro),
        cmocka_unit_test(a_code_asked_for_again_keeps_its_end_while_that_is_a_shortest_life_away),
        cmocka_unit_test(cancel_takes_six_tries_and_the_codes_death),
        cmocka_unit_test(a_close_refused_is_asked_about_at_once_the_first_time),
        cmocka_unit_test(a_wait_of_a_millisecond_is_a_wait),
        cmocka_unit_test(order_cancel_at_the_last_instant_leaves_the_asking_to_the_timer),
        cmocka_unit_test(a_fen_pays_an_order_once),
        cmocka_unit_test(a_fen_that_came_and_went_is_in_the_books),
        cmocka_unit_test(beside_the_fen_that_paid_it_nothing_else_is_accepted),
        cmocka_unit_test(the_first_instant_there_is_may_be_due),
        cmocka_unit_test(what_is_known_to_have_come_and_gone_leaves_no_trace_the_second_time),
        cmocka_unit_test(the_attempt_that_is_left_over_is_asked_about_with_the_money),
        cmocka_unit_test(what_was_put_off_is_no_retry),
        cmocka_unit_test(an_attempt_put_off_until_its_death_holds_nobody_up),
        cmocka_unit_test(a_trade_first_seen_on_demand_is_closed_if_nobody_does_yet),
        cmocka_unit_test(an_unanswered_refund_is_offered_again_without_its_deadline),
        cmocka_unit_test(only_absent_said_and_heard_is_absent),
        cmocka_unit_test(a_word_about_a_refund_ends_its_asks_in_vain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
