// SPDX-License-Identifier: Apache-2.0
// Captures: the one that counts, and the late, second, strange and repeated ones.
#include "order_fixture.h"

static void money_pays_the_order_and_sells_its_stock(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    TOLD(&d, EVENT_ORDER_PAID);
    assert_int_equal(d.out.events[0].amount_fen, PRICE_FEN);
    assert_int_equal(d.out.stock, STOCK_SELL);
    PAYMENT_IS(&d, 0, PAYMENT_CAPTURED);
    assert_true(d.b.payment[0].counts);
    assert_int_equal(d.b.order.paid_fen, PRICE_FEN);
    assert_int_equal(d.b.order.paid_ms, d.now_ms);
    assert_string_equal(d.b.payment[0].provider_trade_no, "2026112322001");
    assert_true(d.b.order.due_ms == TIME_NEVER);
    assert_int_equal(d.out.n_traces, 1);
    assert_int_equal(d.out.traces[0].kind, TRACE_NOTIFICATION);
}

static void a_notification_may_overtake_the_code(void **state)
{
    (void)state;
    struct desk d;
    desk_placed(&d);
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    ORDER_IS(&d, ORDER_PAID);
    assert_int_equal(d.out.n_events, 1);
    desk_code(&d, 0);
    assert_true(nothing_happened(&d));
    ORDER_IS(&d, ORDER_PAID);
    PAYMENT_IS(&d, 0, PAYMENT_CAPTURED);
}

static void money_told_by_any_call_is_money(void **state)
{
    (void)state;
    static const enum call_method METHODS[] = {CALL_CREATE, CALL_QUERY, CALL_CLOSE, CALL_CANCEL};
    for (unsigned i = 0; i < 4; i++) {
        struct desk d;
        desk_placed(&d);
        desk_money(&d, 0, METHODS[i], FACT_PAID, PRICE_FEN);
        ORDER_IS(&d, ORDER_PAID);
    }
}

static void paid_twice_changes_nothing(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    for (unsigned i = 0; i < 100; i++) {
        desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
        assert_true(nothing_happened(&d));
        desk_money(&d, 0, CALL_QUERY, FACT_PAID, PRICE_FEN);
        assert_true(nothing_happened(&d));
    }
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN + 1); // not even when it tells another amount now
    assert_true(nothing_happened(&d));
    assert_int_equal(d.moves[STOCK_SELL], 1);
}

static void notices_of_anything_but_money_decide_nothing(void **state)
{
    (void)state;
    static const enum fact WORDS[] = {FACT_NONE, FACT_WAITING, FACT_CLOSED, FACT_NOT_FOUND, FACT_REFUND_DONE};
    for (unsigned i = 0; i < 5; i++) {
        struct desk d;
        desk_waiting(&d);
        desk_notice(&d, 0, WORDS[i], 0);
        assert_true(nothing_happened(&d));
        desk_closing(&d);
        desk_notice(&d, 0, WORDS[i], 0);
        assert_true(nothing_happened(&d));
    }
}

static void a_second_capture_is_told_and_refunded_in_full(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 2; first++) {
        struct desk d;
        desk_two_attempts(&d);
        desk_notice(&d, first, FACT_PAID, PRICE_FEN);
        ORDER_IS(&d, ORDER_PAID);
        PAYMENT_IS(&d, 1 - first, PAYMENT_CLOSING); // asked until it can take no money
        desk_notice(&d, 1 - first, FACT_PAID, PRICE_FEN);
        TOLD(&d, EVENT_PAYMENT_DUPLICATE);
        assert_int_equal(d.out.stock, STOCK_STAY);
        PAYMENT_IS(&d, 1 - first, PAYMENT_REFUNDING);
        assert_false(d.b.payment[1 - first].counts);
        const struct call *c = call_of(&d, CALL_REFUND);
        assert_non_null(c);
        assert_int_equal(c->amount_fen, PRICE_FEN);
        assert_true(c->number_key == d.b.payment[1 - first].key); // derived from the capture: the same for ever
        desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_DONE);
        PAYMENT_IS(&d, 1 - first, PAYMENT_REFUNDED);
        assert_int_equal(d.b.refund[0].cause, CAUSE_DUPLICATE);
        assert_int_equal(d.b.order.refunded_fen, 0); // it never was the order's money
        assert_int_equal(d.b.order.paid_fen, PRICE_FEN);
    }
}

static void money_of_another_amount_never_fulfils_and_goes_back(void **state)
{
    (void)state;
    static const int64_t AMOUNTS[] = {1, PRICE_FEN - 1, PRICE_FEN + 1, AMOUNT_MAX_FEN};
    for (unsigned i = 0; i < 4; i++) {
        struct desk d;
        desk_waiting(&d);
        desk_notice(&d, 0, FACT_PAID, AMOUNTS[i]);
        ORDER_IS(&d, ORDER_AWAITING_PAYMENT);
        PAYMENT_IS(&d, 0, PAYMENT_MISMATCHED);
        TOLD(&d, EVENT_PAYMENT_MISMATCH);
        assert_int_equal(d.out.events[0].amount_fen, AMOUNTS[i]);
        assert_int_equal(call_of(&d, CALL_REFUND)->amount_fen, AMOUNTS[i]);
        assert_int_equal(d.b.order.paid_fen, 0);
        assert_int_equal(d.b.refund[0].cause, CAUSE_MISMATCH);
        desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_DONE);
        assert_int_equal(d.b.payment[0].refunded_fen, AMOUNTS[i]);
        PAYMENT_IS(&d, 0, PAYMENT_MISMATCHED);
    }
}

static void after_strange_money_the_buyer_gets_another_code(void **state)
{
    (void)state;
    struct desk d;
    desk_waiting(&d);
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN - 1);
    ORDER_IS(&d, ORDER_AWAITING_PAYMENT);
    assert_int_equal(d.b.n_payments, 2);
    CALLED(&d, CALL_CREATE);
    CALLED(&d, CALL_REFUND);
    assert_true(d.b.payment[1].key != d.b.refund[0].key);
    desk_code(&d, 1);
    desk_notice(&d, 1, FACT_PAID, PRICE_FEN);
    ORDER_IS(&d, ORDER_PAID);
}

static void a_refund_of_strange_money_is_of_what_came(void **state)
{
    (void)state;
    static const int64_t AMOUNTS[] = {1, PRICE_FEN * 2, AMOUNT_MAX_FEN};
    for (unsigned i = 0; i < 3; i++) {
        struct desk d;
        desk_waiting(&d);
        desk_notice(&d, 0, FACT_PAID, AMOUNTS[i]);
        assert_int_equal(call_of(&d, CALL_REFUND)->amount_fen, AMOUNTS[i]);
        assert_int_equal(call_of(&d, CALL_REFUND)->total_fen, AMOUNTS[i]);
        desk_due_at(&d, d.b.refund[0].due_ms);
        assert_int_equal(call_of(&d, CALL_REFUND)->total_fen, AMOUNTS[i]); // asked again, the same
    }
}

static void strange_money_ends_a_closing_order_without_selling(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    desk_money(&d, 0, CALL_QUERY, FACT_PAID, PRICE_FEN - 1);
    ORDER_IS(&d, ORDER_CANCELLED);
    assert_int_equal(d.out.stock, STOCK_RELEASE);
    CALLED(&d, CALL_REFUND);
}

static void strange_money_for_a_paid_order_is_strange_money(void **state)
{
    (void)state;
    struct desk d;
    desk_two_attempts(&d);
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    desk_notice(&d, 1, FACT_PAID, 5);
    TOLD(&d, EVENT_PAYMENT_MISMATCH);
    assert_int_equal(d.b.order.paid_fen, PRICE_FEN);
    ORDER_IS(&d, ORDER_PAID);
}

// --- late_payment, for every reason an order was cancelled for

static void late_money_is_refunded_once(void **state)
{
    (void)state;
    struct desk d;
    desk_cancelled(&d, REASON_TIMEOUT);
    d.now_ms += HOUR_MS;
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    ORDER_IS(&d, ORDER_CANCELLED);
    TOLD(&d, EVENT_PAYMENT_LATE);
    assert_int_equal(d.out.stock, STOCK_STAY);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDING);
    assert_int_equal(d.b.refund[0].cause, CAUSE_LATE);
    assert_true(call_of(&d, CALL_REFUND)->number_key == d.b.payment[0].key);
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    assert_true(nothing_happened(&d));
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_DONE);
    TOLD(&d, EVENT_REFUND_SUCCEEDED);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDED);
    assert_int_equal(d.b.order.refunded_fen, PRICE_FEN);
    assert_true(d.b.order.due_ms == TIME_NEVER);
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    assert_true(nothing_happened(&d));
}

static void reopen_sells_again_what_timed_out(void **state)
{
    (void)state;
    struct desk d;
    desk_cancelled(&d, REASON_TIMEOUT);
    d.rules.late_payment = LATE_REOPEN;
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    ORDER_IS(&d, ORDER_PAID);
    assert_int_equal(d.out.stock, STOCK_RETAKE);
    TOLD(&d, EVENT_PAYMENT_LATE);
    TOLD(&d, EVENT_ORDER_PAID);
    PAYMENT_IS(&d, 0, PAYMENT_CAPTURED);
    assert_int_equal(d.b.order.reason, REASON_TIMEOUT); // stays in the row, and is told of no more
    assert_int_equal(d.out.events[d.out.n_events - 1].reason, REASON_NONE);
    assert_int_equal(d.out.n_calls, 0);
}

static void reopen_without_stock_refunds(void **state)
{
    (void)state;
    struct desk d;
    desk_cancelled(&d, REASON_TIMEOUT);
    d.rules.late_payment = LATE_REOPEN;
    d.stock_is_short = true;
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    ORDER_IS(&d, ORDER_CANCELLED);
    assert_int_equal(d.out.stock, STOCK_STAY);
    CALLED(&d, CALL_REFUND);
    assert_int_equal(d.b.refund[0].cause, CAUSE_LATE);
}

static void reopen_is_for_timeouts_only(void **state)
{
    (void)state;
    static const enum cancel_reason REASONS[] = {REASON_BUYER, REASON_MERCHANT, REASON_CHANNEL};
    for (unsigned i = 0; i < 3; i++) {
        struct desk d;
        if (REASONS[i] == REASON_CHANNEL) {
            desk_placed(&d);
            desk_answer(&d, 0, CALL_CREATE, OUTCOME_REFUSED, FACT_NONE);
        } else {
            desk_cancelled(&d, REASONS[i]);
        }
        assert_int_equal(d.b.order.reason, REASONS[i]);
        d.rules.late_payment = LATE_REOPEN;
        desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
        ORDER_IS(&d, ORDER_CANCELLED);
        TOLD(&d, EVENT_PAYMENT_LATE);
        CALLED(&d, CALL_REFUND);
    }
}

static void held_money_waits_for_an_operator(void **state)
{
    (void)state;
    struct desk d;
    desk_cancelled(&d, REASON_TIMEOUT);
    d.rules.late_payment = LATE_HOLD;
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    ORDER_IS(&d, ORDER_CANCELLED);
    PAYMENT_IS(&d, 0, PAYMENT_HELD);
    TOLD(&d, EVENT_PAYMENT_LATE);
    assert_int_equal(d.out.n_calls, 0);
    assert_true(d.b.order.due_ms == TIME_NEVER);
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    assert_true(nothing_happened(&d));
}

static void after_late_money_more_of_it_is_a_duplicate(void **state)
{
    (void)state;
    for (enum late_payment late = LATE_REFUND; late <= LATE_HOLD; late++) {
        struct desk d;
        desk_two_attempts(&d);
        d.rules.late_payment = late;
        desk_due_at(&d, d.b.order.expires_ms);
        desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
        desk_answer(&d, 1, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
        ORDER_IS(&d, ORDER_CANCELLED);
        desk_notice(&d, 1, FACT_PAID, PRICE_FEN);
        TOLD(&d, EVENT_PAYMENT_LATE);
        desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
        TOLD(&d, EVENT_PAYMENT_DUPLICATE);
        CALLED(&d, CALL_REFUND);
        assert_true(call_of(&d, CALL_REFUND)->payment_key == d.b.payment[0].key);
        assert_int_equal(d.moves[STOCK_RETAKE], late == LATE_REOPEN);
    }
}

static void late_money_of_another_amount_goes_back_or_waits_for_a_word(void **state)
{
    (void)state;
    for (enum late_payment late = LATE_REFUND; late <= LATE_HOLD; late++) {
        struct desk d;
        desk_cancelled(&d, REASON_TIMEOUT);
        d.rules.late_payment = late;
        desk_notice(&d, 0, FACT_PAID, PRICE_FEN * 2);
        ORDER_IS(&d, ORDER_CANCELLED);
        PAYMENT_IS(&d, 0, PAYMENT_MISMATCHED);
        assert_int_equal(calls_of(&d, CALL_REFUND), late != LATE_HOLD);
    }
}

static void money_that_came_and_went_is_in_the_books_and_fulfils_nothing(void **state)
{
    (void)state;
    struct desk d;
    desk_waiting(&d);
    desk_notice(&d, 0, FACT_PAID_AND_REFUNDED, PRICE_FEN);
    ORDER_IS(&d, ORDER_AWAITING_PAYMENT);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDED);
    CALLED(&d, CALL_CREATE); // a code he can pay
    assert_int_equal(d.out.n_calls, 1);
    TOLD(&d, EVENT_REFUND_SUCCEEDED);
    desk_code(&d, 1);
    desk_notice(&d, 0, FACT_PAID_AND_REFUNDED, PRICE_FEN);
    assert_true(nothing_happened(&d));
    desk_money(&d, 0, CALL_QUERY, FACT_PAID_AND_REFUNDED, PRICE_FEN);
    assert_true(nothing_happened(&d));
    desk_due_at(&d, d.b.order.expires_ms);
    desk_answer(&d, 1, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
    ORDER_IS(&d, ORDER_CANCELLED);
    assert_int_equal(d.b.order.paid_fen, 0);
}

static void a_capture_of_nothing_is_no_money(void **state)
{
    (void)state;
    static const enum fact FACTS_OF_MONEY[] = {FACT_PAID, FACT_PAID_AND_REFUNDED};
    for (unsigned i = 0; i < 2; i++)
        for (int64_t fen = -1; fen <= 0; fen++) {
            struct desk d;
            desk_waiting(&d);
            desk_notice(&d, 0, FACTS_OF_MONEY[i], fen);
            assert_true(nothing_happened(&d));
            desk_money(&d, 0, CALL_CLOSE, FACTS_OF_MONEY[i], fen);
            PAYMENT_IS(&d, 0, PAYMENT_WAITING);
            assert_int_equal(d.b.n_refunds, 0);
        }
}

// --- What the provider gave back by itself: its console

static void late_money_given_back_over_there_is_offered_no_more(void **state)
{
    (void)state;
    struct desk d;
    desk_cancelled(&d, REASON_TIMEOUT);
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_REFUSED, FACT_NONE);
    desk_notice(&d, 0, FACT_PAID_AND_REFUNDED, PRICE_FEN);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDED);
    REFUND_IS(&d, 0, REFUND_SUCCEEDED);
    assert_int_equal(d.b.n_refunds, 1); // ours was it, as far as anyone can tell
    TOLD(&d, EVENT_REFUND_SUCCEEDED);
    assert_int_equal(d.b.order.refunded_fen, PRICE_FEN);
    assert_true(d.b.order.due_ms == TIME_NEVER);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_REFUSED, FACT_NONE); // to the ask that was under way
    assert_true(nothing_happened(&d));
}

static void held_money_given_back_over_there_is_held_no_more(void **state)
{
    (void)state;
    struct desk d;
    desk_cancelled(&d, REASON_TIMEOUT);
    d.rules.late_payment = LATE_HOLD;
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    PAYMENT_IS(&d, 0, PAYMENT_HELD);
    desk_notice(&d, 0, FACT_PAID_AND_REFUNDED, PRICE_FEN);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDED);
    assert_int_equal(d.b.refund[0].cause, CAUSE_PROVIDER);
    assert_int_equal(d.b.order.refunded_fen, PRICE_FEN);
}

static void strange_money_that_came_and_went_needs_no_refund(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    desk_notice(&d, 0, FACT_PAID_AND_REFUNDED, PRICE_FEN + 1);
    PAYMENT_IS(&d, 0, PAYMENT_MISMATCHED);
    assert_int_equal(d.b.payment[0].refunded_fen, PRICE_FEN + 1);
    assert_int_equal(d.out.n_calls, 0);
    ORDER_IS(&d, ORDER_CANCELLED);
    desk_waiting(&d);
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN + 1);
    desk_notice(&d, 0, FACT_PAID_AND_REFUNDED, PRICE_FEN + 1); // the refund under way is that one
    REFUND_IS(&d, 0, REFUND_SUCCEEDED);
    assert_int_equal(d.b.n_refunds, 1);
    PAYMENT_IS(&d, 0, PAYMENT_MISMATCHED);
    assert_int_equal(d.b.payment[0].refunding_fen, 0);
}

static void a_second_capture_given_back_over_there_leaves_the_first_alone(void **state)
{
    (void)state;
    struct desk d;
    desk_two_attempts(&d);
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    desk_notice(&d, 1, FACT_PAID, PRICE_FEN);
    desk_refund(&d, 700);
    desk_notice(&d, 1, FACT_PAID_AND_REFUNDED, PRICE_FEN);
    PAYMENT_IS(&d, 1, PAYMENT_REFUNDED);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDING);
    REFUND_IS(&d, 0, REFUND_SUCCEEDED);
    REFUND_IS(&d, 1, REFUND_PENDING);
    assert_int_equal(d.b.order.refunded_fen, 0);
}

static void money_in_an_unknown_outcome_is_no_money(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    struct answer a = {
        .payment_key = d.b.payment[0].key,
        .method = CALL_QUERY,
        .outcome = OUTCOME_UNKNOWN,
        .fact = FACT_PAID,
        .captured_fen = PRICE_FEN,
    };
    desk_event(&d, (struct event){.kind = EV_ANSWER, .answer = a});
    ORDER_IS(&d, ORDER_CLOSING);
    assert_int_equal(d.b.payment[0].captured_fen, 0);
}

// --- Confluence: the order in which one set of facts arrives decides only which capture counts.
static void facts_give_one_end_in_whatever_order(void **state)
{
    (void)state;
    static const unsigned ORDERS[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (unsigned i = 0; i < 6; i++) {
        struct desk d;
        desk_two_attempts(&d);
        for (unsigned k = 0; k < 3; k++) {
            if (ORDERS[i][k] < 2)
                desk_notice(&d, ORDERS[i][k], FACT_PAID, PRICE_FEN);
            else
                desk_due_at(&d, d.b.order.expires_ms);
        }
        ORDER_IS(&d, ORDER_PAID);
        assert_int_equal(d.b.order.paid_fen, PRICE_FEN);
        assert_int_equal(d.b.payment[0].captured_fen + d.b.payment[1].captured_fen, 2 * PRICE_FEN);
        assert_int_equal(d.b.payment[0].refunding_fen + d.b.payment[1].refunding_fen, PRICE_FEN);
        assert_int_equal(d.moves[STOCK_SELL], 1);
        assert_int_equal(d.moves[STOCK_RELEASE], 0);
    }
}

// The first word of it is that some went back, and not how much: it fulfils nothing, and is not offered back either,
// which might be more than is left.
static void money_some_of_which_had_gone_back_waits_for_a_word(void **state)
{
    (void)state;
    for (enum late_payment late = LATE_REFUND; late <= LATE_HOLD; late++)
        for (unsigned by_query = 0; by_query < 2; by_query++) {
            struct desk d;
            desk_waiting(&d);
            d.rules.late_payment = late;
            if (by_query)
                desk_money(&d, 0, CALL_QUERY, FACT_PAID_SOME_REFUNDED, PRICE_FEN);
            else
                desk_notice(&d, 0, FACT_PAID_SOME_REFUNDED, PRICE_FEN);
            ORDER_IS(&d, ORDER_AWAITING_PAYMENT);
            PAYMENT_IS(&d, 0, PAYMENT_MISMATCHED);
            TOLD(&d, EVENT_PAYMENT_MISMATCH);
            assert_int_equal(calls_of(&d, CALL_REFUND), 0);
            assert_int_equal(d.b.payment[0].captured_fen, PRICE_FEN);
            assert_int_equal(d.b.order.paid_fen, 0);
            assert_true(can_be_paid(&d)); // and whoever comes to pay can
            desk_notice(&d, 0, FACT_PAID_SOME_REFUNDED, PRICE_FEN);
            assert_true(nothing_happened(&d));
            desk_resolve(&d, 0, true);
            ORDER_IS(&d, ORDER_PAID);
            assert_int_equal(d.b.order.paid_fen, PRICE_FEN);
        }
}

static void late_or_double_money_some_of_which_had_gone_back_waits_too(void **state)
{
    (void)state;
    struct desk d;
    desk_cancelled(&d, REASON_TIMEOUT);
    d.rules.late_payment = LATE_REOPEN;
    desk_notice(&d, 0, FACT_PAID_SOME_REFUNDED, PRICE_FEN);
    ORDER_IS(&d, ORDER_CANCELLED);
    PAYMENT_IS(&d, 0, PAYMENT_MISMATCHED);
    assert_int_equal(d.out.n_calls, 0);
    desk_two_attempts(&d);
    desk_notice(&d, 1, FACT_PAID, PRICE_FEN);
    desk_money(&d, 0, CALL_QUERY, FACT_PAID_SOME_REFUNDED, PRICE_FEN);
    PAYMENT_IS(&d, 0, PAYMENT_MISMATCHED);
    assert_int_equal(d.out.n_calls, 0);
    desk_resolve(&d, 0, true);
    assert_int_equal(d.out.refusal, REFUSAL_ALREADY_PAID);
    desk_resolve(&d, 0, false);
    CALLED(&d, CALL_REFUND);
}

// Refunds of ours, and later ones over there, are none of this: what is in the books stays there.
static void what_goes_back_of_known_money_is_no_news_of_it(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_notice(&d, 0, FACT_PAID_SOME_REFUNDED, PRICE_FEN);
    assert_true(nothing_happened(&d));
    PAYMENT_IS(&d, 0, PAYMENT_CAPTURED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(money_pays_the_order_and_sells_its_stock),
        cmocka_unit_test(a_notification_may_overtake_the_code),
        cmocka_unit_test(money_told_by_any_call_is_money),
        cmocka_unit_test(paid_twice_changes_nothing),
        cmocka_unit_test(notices_of_anything_but_money_decide_nothing),
        cmocka_unit_test(a_second_capture_is_told_and_refunded_in_full),
        cmocka_unit_test(money_of_another_amount_never_fulfils_and_goes_back),
        cmocka_unit_test(after_strange_money_the_buyer_gets_another_code),
        cmocka_unit_test(a_refund_of_strange_money_is_of_what_came),
        cmocka_unit_test(strange_money_ends_a_closing_order_without_selling),
        cmocka_unit_test(strange_money_for_a_paid_order_is_strange_money),
        cmocka_unit_test(late_money_is_refunded_once),
        cmocka_unit_test(reopen_sells_again_what_timed_out),
        cmocka_unit_test(reopen_without_stock_refunds),
        cmocka_unit_test(reopen_is_for_timeouts_only),
        cmocka_unit_test(held_money_waits_for_an_operator),
        cmocka_unit_test(after_late_money_more_of_it_is_a_duplicate),
        cmocka_unit_test(late_money_of_another_amount_goes_back_or_waits_for_a_word),
        cmocka_unit_test(money_that_came_and_went_is_in_the_books_and_fulfils_nothing),
        cmocka_unit_test(a_capture_of_nothing_is_no_money),
        cmocka_unit_test(late_money_given_back_over_there_is_offered_no_more),
        cmocka_unit_test(held_money_given_back_over_there_is_held_no_more),
        cmocka_unit_test(strange_money_that_came_and_went_needs_no_refund),
        cmocka_unit_test(a_second_capture_given_back_over_there_leaves_the_first_alone),
        cmocka_unit_test(money_in_an_unknown_outcome_is_no_money),
        cmocka_unit_test(facts_give_one_end_in_whatever_order),
        cmocka_unit_test(money_some_of_which_had_gone_back_waits_for_a_word),
        cmocka_unit_test(late_or_double_money_some_of_which_had_gone_back_waits_too),
        cmocka_unit_test(what_goes_back_of_known_money_is_no_news_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
