// SPDX-License-Identifier: Apache-2.0
// An operator's word on money that came too late or in another amount (late_payment=hold).
#include "order_fixture.h"

// Money of another amount that waits for a word, in an order of the state.
static void desk_mismatched(struct desk *d, enum order_state state)
{
    if (state == ORDER_CANCELLED)
        desk_cancelled(d, REASON_BUYER);
    else if (state == ORDER_CLOSING)
        desk_two_attempts(d);
    else
        desk_waiting(d);
    d->rules.late_payment = LATE_HOLD;
    if (state == ORDER_CLOSING) desk_due_at(d, d->b.order.expires_ms); // the second goes on being asked about
    desk_notice(d, 0, FACT_PAID, PRICE_FEN + 10);
    PAYMENT_IS(d, 0, PAYMENT_MISMATCHED);
    TOLD(d, EVENT_PAYMENT_MISMATCH);
    assert_int_equal(calls_of(d, CALL_REFUND), 0);
    ORDER_IS(d, state);
}

static void held_money_accepted_sells_the_stock_again(void **state)
{
    (void)state;
    for (enum release release = RELEASE_PROOF; release <= RELEASE_DEADLINE; release++) {
        struct desk d;
        desk_held(&d);
        d.rules.release = release;
        desk_resolve(&d, 0, true);
        assert_int_equal(d.out.refusal, REFUSAL_NONE);
        ORDER_IS(&d, ORDER_PAID);
        PAYMENT_IS(&d, 0, PAYMENT_CAPTURED);
        assert_int_equal(d.out.stock, STOCK_RETAKE);
        TOLD(&d, EVENT_ORDER_PAID);
        assert_int_equal(d.out.n_events, 1);
        assert_int_equal(d.out.n_calls, 0);
        assert_int_equal(d.b.order.paid_fen, PRICE_FEN);
        assert_int_equal(d.out.traces[0].kind, TRACE_OPERATOR);
        assert_string_equal(d.out.traces[0].detail, "accept: looked at");
        desk_refund(&d, 0); // and from now on it is like any other
        assert_int_equal(d.out.refusal, REFUSAL_NONE);
        assert_int_equal(d.b.refund[0].cause, CAUSE_MERCHANT);
    }
}

static void what_is_cancelled_for_whatever_reason_can_be_accepted(void **state)
{
    (void)state;
    struct desk d;
    desk_cancelled(&d, REASON_MERCHANT);
    d.rules.late_payment = LATE_HOLD;
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    desk_resolve(&d, 0, true);
    ORDER_IS(&d, ORDER_PAID);
    assert_int_equal(d.moves[STOCK_RETAKE], 1);
}

static void without_stock_it_stays_held_and_can_go_back(void **state)
{
    (void)state;
    struct desk d;
    desk_held(&d);
    d.stock_is_short = true;
    desk_resolve(&d, 0, true);
    assert_int_equal(d.out.refusal, REFUSAL_SHORT);
    PAYMENT_IS(&d, 0, PAYMENT_HELD);
    desk_resolve(&d, 0, false);
    assert_int_equal(d.out.refusal, REFUSAL_NONE);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDING);
}

static void held_money_refunded_goes_back_under_its_captures_number(void **state)
{
    (void)state;
    struct desk d;
    desk_held(&d);
    desk_resolve(&d, 0, false);
    const struct call *c = call_of(&d, CALL_REFUND);
    assert_true(c->number_key == d.b.payment[0].key);
    assert_int_equal(c->amount_fen, PRICE_FEN);
    assert_int_equal(d.b.refund[0].cause, CAUSE_LATE);
    assert_string_equal(d.out.traces[0].detail, "refund: looked at");
    assert_int_equal(d.out.stock, STOCK_STAY);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_DONE);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDED);
    ORDER_IS(&d, ORDER_CANCELLED);
    assert_int_equal(d.b.order.refunded_fen, PRICE_FEN);
}

static void a_word_is_said_once(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 2; first++)
        for (unsigned second = 0; second < 2; second++) {
            struct desk d;
            desk_held(&d);
            desk_resolve(&d, 0, first);
            desk_resolve(&d, 0, second);
            assert_int_equal(d.out.refusal, REFUSAL_RESOLVED);
            if (first) continue;
            desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_DONE);
            desk_resolve(&d, 0, second);
            assert_int_equal(d.out.refusal, REFUSAL_RESOLVED);
        }
}

static void only_money_that_waits_for_it_takes_a_word(void **state)
{
    (void)state;
    static void (*const FROM[])(struct desk *) = {desk_placed, desk_waiting, desk_closing, desk_paid};
    for (unsigned i = 0; i < 8; i++) {
        struct desk d;
        FROM[i / 2](&d);
        desk_resolve(&d, 0, i % 2);
        assert_int_equal(d.out.refusal, REFUSAL_RESOLVED);
    }
    struct desk d;
    desk_held(&d);
    desk_event(&d, (struct event){.kind = EV_RESOLVE, .resolve = {7, true}});
    assert_int_equal(d.out.refusal, REFUSAL_RESOLVED);
    desk_waiting(&d); // late_payment=refund: it goes back without being asked
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN - 1);
    desk_resolve(&d, 0, true);
    assert_int_equal(d.out.refusal, REFUSAL_RESOLVED);
}

static void money_of_another_amount_accepted_pays_the_order(void **state)
{
    (void)state;
    static const enum order_state OF[] = {ORDER_AWAITING_PAYMENT, ORDER_CLOSING, ORDER_CANCELLED};
    for (unsigned i = 0; i < 3; i++) {
        struct desk d;
        desk_mismatched(&d, OF[i]);
        desk_resolve(&d, 0, true);
        assert_int_equal(d.out.refusal, REFUSAL_NONE);
        ORDER_IS(&d, ORDER_PAID);
        PAYMENT_IS(&d, 0, PAYMENT_CAPTURED);
        assert_int_equal(d.out.stock, OF[i] == ORDER_CANCELLED ? STOCK_RETAKE : STOCK_SELL);
        assert_int_equal(d.b.order.paid_fen, PRICE_FEN + 10);
        assert_int_equal(calls_of(&d, CALL_REFUND), 0);
        if (OF[i] != ORDER_CANCELLED) PAYMENT_IS(&d, 1, PAYMENT_CLOSING); // nobody else is to pay
        desk_refund(&d, 0);
        assert_int_equal(call_of(&d, CALL_REFUND)->amount_fen, PRICE_FEN + 10);
    }
}

static void money_of_another_amount_goes_back_when_it_is_said(void **state)
{
    (void)state;
    static const enum order_state OF[] = {ORDER_AWAITING_PAYMENT, ORDER_CLOSING, ORDER_CANCELLED};
    for (unsigned i = 0; i < 3; i++) {
        struct desk d;
        desk_mismatched(&d, OF[i]);
        desk_resolve(&d, 0, false);
        ORDER_IS(&d, OF[i]);
        assert_int_equal(d.b.refund[0].cause, CAUSE_MISMATCH);
        assert_int_equal(call_of(&d, CALL_REFUND)->amount_fen, PRICE_FEN + 10);
        desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_DONE);
        PAYMENT_IS(&d, 0, PAYMENT_MISMATCHED);
        assert_int_equal(d.b.payment[0].refunded_fen, PRICE_FEN + 10);
        desk_resolve(&d, 0, true);
        assert_int_equal(d.out.refusal, REFUSAL_RESOLVED);
    }
}

static void beside_the_money_that_paid_it_nothing_else_is_accepted(void **state)
{
    (void)state;
    struct desk d;
    desk_mismatched(&d, ORDER_AWAITING_PAYMENT);
    desk_code(&d, 1);
    desk_notice(&d, 1, FACT_PAID, PRICE_FEN);
    ORDER_IS(&d, ORDER_PAID);
    desk_resolve(&d, 0, true);
    assert_int_equal(d.out.refusal, REFUSAL_ALREADY_PAID);
    desk_resolve(&d, 0, false);
    CALLED(&d, CALL_REFUND);
    assert_int_equal(d.b.order.paid_fen, PRICE_FEN);
}

static void after_accepted_money_more_of_it_is_a_duplicate(void **state)
{
    (void)state;
    struct desk d;
    desk_mismatched(&d, ORDER_CLOSING);
    desk_resolve(&d, 0, true);
    desk_notice(&d, 1, FACT_PAID, PRICE_FEN);
    TOLD(&d, EVENT_PAYMENT_DUPLICATE);
    CALLED(&d, CALL_REFUND);
    assert_int_equal(d.b.order.paid_fen, PRICE_FEN + 10);
}

static void what_the_provider_gave_back_by_itself_waits_for_no_word(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct desk d;
        if (i)
            desk_held(&d);
        else
            desk_mismatched(&d, ORDER_AWAITING_PAYMENT);
        int64_t fen = d.b.payment[0].captured_fen;
        desk_notice(&d, 0, FACT_PAID_AND_REFUNDED, fen);
        assert_int_equal(d.b.payment[0].refunded_fen, fen);
        assert_int_equal(d.b.refund[0].cause, CAUSE_PROVIDER);
        desk_resolve(&d, 0, true);
        assert_int_equal(d.out.refusal, REFUSAL_RESOLVED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(held_money_accepted_sells_the_stock_again),
        cmocka_unit_test(what_is_cancelled_for_whatever_reason_can_be_accepted),
        cmocka_unit_test(without_stock_it_stays_held_and_can_go_back),
        cmocka_unit_test(held_money_refunded_goes_back_under_its_captures_number),
        cmocka_unit_test(a_word_is_said_once),
        cmocka_unit_test(only_money_that_waits_for_it_takes_a_word),
        cmocka_unit_test(money_of_another_amount_accepted_pays_the_order),
        cmocka_unit_test(money_of_another_amount_goes_back_when_it_is_said),
        cmocka_unit_test(beside_the_money_that_paid_it_nothing_else_is_accepted),
        cmocka_unit_test(after_accepted_money_more_of_it_is_a_duplicate),
        cmocka_unit_test(what_the_provider_gave_back_by_itself_waits_for_no_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
