// SPDX-License-Identifier: Apache-2.0
// Refunds: a merchant's, which may fail, and the system's, which may not; and what to make of an ask nobody
// answered.
#include "order_fixture.h"

static void all_that_is_left_goes_back_when_no_amount_is_said(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_refund(&d, 0);
    assert_int_equal(d.out.refusal, REFUSAL_NONE);
    assert_true(d.out.refund_key == d.b.refund[0].key);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDING);
    const struct call *c = call_of(&d, CALL_REFUND);
    assert_int_equal(c->amount_fen, PRICE_FEN);
    assert_int_equal(c->total_fen, PRICE_FEN);
    assert_string_equal(c->provider_trade_no, "2026112322001"); // some refund by their own number only
    assert_true(c->number_key == d.out.refund_key); // a merchant may refund one capture many times: a number each
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_DONE);
    TOLD(&d, EVENT_REFUND_SUCCEEDED);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDED);
    ORDER_IS(&d, ORDER_PAID); // refunds are counted, the order stays paid
    assert_int_equal(d.b.order.refunded_fen, PRICE_FEN);
    assert_int_equal(d.b.refund[0].finished_ms, d.now_ms);
    assert_true(d.b.order.due_ms == TIME_NEVER);
    assert_int_equal(d.out.stock, STOCK_STAY);
}

static void partial_refunds_add_up_to_what_was_paid_and_no_further(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_refund(&d, 1000);
    desk_refund(&d, 900); // before the first has ended
    desk_refund(&d, 91);
    assert_int_equal(d.out.refusal, REFUSAL_TOO_MUCH);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_DONE);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDING);
    desk_refund_answer(&d, 1, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_DONE);
    PAYMENT_IS(&d, 0, PAYMENT_CAPTURED);
    assert_int_equal(d.b.order.refunded_fen, 1900);
    desk_refund(&d, 91);
    assert_int_equal(d.out.refusal, REFUSAL_TOO_MUCH);
    desk_refund(&d, 0);
    assert_int_equal(call_of(&d, CALL_REFUND)->amount_fen, 90);
    desk_refund_answer(&d, 2, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_DONE);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDED);
    desk_refund(&d, 0);
    assert_int_equal(d.out.refusal, REFUSAL_TOO_MUCH);
    desk_refund(&d, 1);
    assert_int_equal(d.out.refusal, REFUSAL_TOO_MUCH);
}

static void amounts_that_make_no_sense_are_too_much(void **state)
{
    (void)state;
    static const int64_t AMOUNTS[] = {-1, INT64_MIN, PRICE_FEN + 1, INT64_MAX};
    for (unsigned i = 0; i < 4; i++) {
        struct desk d;
        desk_paid(&d);
        desk_refund(&d, AMOUNTS[i]);
        assert_int_equal(d.out.refusal, REFUSAL_TOO_MUCH);
    }
}

static void what_is_not_paid_is_not_refunded(void **state)
{
    (void)state;
    struct desk d;
    desk_placed(&d);
    desk_refund(&d, 0);
    assert_int_equal(d.out.refusal, REFUSAL_NOT_PAID);
    desk_waiting(&d);
    desk_refund(&d, 0);
    assert_int_equal(d.out.refusal, REFUSAL_NOT_PAID);
    desk_closing(&d);
    desk_refund(&d, 0);
    assert_int_equal(d.out.refusal, REFUSAL_NOT_PAID);
    desk_cancelled(&d, REASON_BUYER);
    d.rules.late_payment = LATE_HOLD;
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    desk_refund(&d, 0); // held money is an operator's to resolve
    assert_int_equal(d.out.refusal, REFUSAL_NOT_PAID);
}

static void a_merchant_has_so_many_refunds_under_way_and_no_more(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    for (unsigned i = 0; i < BUNDLE_MERCHANT_REFUNDS; i++) {
        desk_refund(&d, 1);
        assert_int_equal(d.out.refusal, REFUSAL_NONE);
    }
    desk_refund(&d, 1);
    assert_int_equal(d.out.refusal, REFUSAL_BUSY);
    desk_refund_answer(&d, 3, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_DONE);
    desk_refund(&d, 1);
    assert_int_equal(d.out.refusal, REFUSAL_NONE);
}

static void a_refund_says_why_on_the_timeline(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_event(&d, (struct event){.kind = EV_REFUND, .refund = {5}, .note = STR("broken cup")});
    assert_int_equal(d.out.traces[0].kind, TRACE_OPERATOR);
    assert_string_equal(d.out.traces[0].detail, "refund: broken cup");
}

static void a_merchants_refund_refused_at_once_has_failed(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_refund(&d, 500);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_REFUSED, FACT_NONE);
    REFUND_IS(&d, 0, REFUND_FAILED);
    TOLD(&d, EVENT_REFUND_FAILED);
    PAYMENT_IS(&d, 0, PAYMENT_CAPTURED);
    assert_int_equal(d.b.order.refunded_fen, 0);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_DONE); // an ended refund stays ended
    assert_true(nothing_happened(&d));
    desk_refund(&d, 0); // the money is there to be refunded anew
    assert_int_equal(call_of(&d, CALL_REFUND)->amount_fen, PRICE_FEN);
}

static void a_partial_refund_that_fails_leaves_the_other_under_way(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_refund(&d, 500);
    desk_refund(&d, 600);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_REFUSED, FACT_NONE);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDING);
    assert_int_equal(d.b.payment[0].refunding_fen, 600);
}

static void an_unanswered_refund_is_repeated_under_its_number(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_refund(&d, 500);
    uint64_t number = call_of(&d, CALL_REFUND)->number_key;
    assert_false(call_of(&d, CALL_REFUND)->is_retry);
    for (unsigned i = 0; i < 5; i++) {
        desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_UNKNOWN, FACT_NONE);
        REFUND_IS(&d, 0, REFUND_PENDING);
        desk_due(&d);
        CALLED(&d, CALL_REFUND);
        assert_true(call_of(&d, CALL_REFUND)->is_retry);
        assert_true(call_of(&d, CALL_REFUND)->number_key == number);
        assert_int_equal(call_of(&d, CALL_REFUND)->amount_fen, 500);
    }
    assert_int_equal(d.b.n_refunds, 1);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_DONE);
    assert_int_equal(d.b.order.refunded_fen, 500);
}

static void a_refund_we_crashed_over_is_uncertain_too(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_refund(&d, 500);
    desk_due(&d); // no answer at all: its asker died
    CALLED(&d, CALL_REFUND);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_REFUSED, FACT_NONE);
    REFUND_IS(&d, 0, REFUND_PENDING);
    assert_int_equal(d.b.order.due_ms, d.now_ms + d.rules.refund_query_ms);
}

// The first ask may have moved the money, so "refused" to the second says nothing of it (facts B6, B7): what
// became of the number is asked, and only when it stays unknown the number is offered again.
static void an_uncertain_refund_refused_is_asked_about_and_then_sent_again(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_refund(&d, 500);
    uint64_t number = call_of(&d, CALL_REFUND)->number_key;
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_UNKNOWN, FACT_NONE);
    desk_due(&d);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_REFUSED, FACT_NONE);
    REFUND_IS(&d, 0, REFUND_PENDING);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(d.b.order.due_ms >= d.now_ms + d.rules.refund_query_ms);
        desk_due(&d);
        CALLED(&d, CALL_REFUND_QUERY);
        assert_true(call_of(&d, CALL_REFUND_QUERY)->number_key == number);
        desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, FACT_REFUND_ABSENT);
    }
    CALLED(&d, CALL_REFUND);
    assert_true(call_of(&d, CALL_REFUND)->number_key == number);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_REFUSED, FACT_NONE); // now it is certain
    REFUND_IS(&d, 0, REFUND_FAILED);
}

static void an_uncertain_refund_found_done_is_done(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_refund(&d, 500);
    desk_due(&d);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_REFUSED, FACT_NONE);
    desk_due(&d);
    desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, FACT_REFUND_DONE);
    REFUND_IS(&d, 0, REFUND_SUCCEEDED);
    assert_int_equal(d.b.order.refunded_fen, 500);
}

static void an_accepted_refund_is_no_refund_yet(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_refund(&d, 0);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_ACCEPTED);
    REFUND_IS(&d, 0, REFUND_PENDING);
    assert_int_equal(d.b.order.refunded_fen, 0);
    assert_int_equal(d.b.order.due_ms, d.now_ms + d.rules.refund_query_ms); // B7: not before 10 s
    desk_due(&d);
    CALLED(&d, CALL_REFUND_QUERY);
    desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, FACT_REFUND_ACCEPTED); // still processing
    REFUND_IS(&d, 0, REFUND_PENDING);
    desk_due(&d);
    CALLED(&d, CALL_REFUND_QUERY);
    desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_UNKNOWN, FACT_NONE);
    desk_due(&d);
    CALLED(&d, CALL_REFUND_QUERY);
    desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_REFUSED,
                       FACT_NONE); // refused to tell is no end either
    REFUND_IS(&d, 0, REFUND_PENDING);
    desk_due(&d);
    CALLED(&d, CALL_REFUND_QUERY);
    desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, FACT_REFUND_DONE);
    REFUND_IS(&d, 0, REFUND_SUCCEEDED);
}

// What was taken and is then not known may be slow to show; only unknown three times in a row it never arrived.
static void accepted_is_a_word(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_refund(&d, 0);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_ACCEPTED);
    for (unsigned i = 0; i < 9; i++) {
        desk_due(&d);
        CALLED(&d, CALL_REFUND_QUERY);
        desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, i % 3 ? FACT_REFUND_ABSENT : FACT_REFUND_ACCEPTED);
        assert_int_equal(d.out.n_calls, 0);
    }
    desk_due(&d);
    desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_UNKNOWN, FACT_NONE); // no word at all counts for nothing
    assert_int_equal(d.out.n_calls, 0);
    desk_due(&d);
    desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, FACT_REFUND_ABSENT);
    CALLED(&d, CALL_REFUND);
    assert_int_equal(d.b.refund[0].absents, 0);
}

static void a_refund_that_takes_days_is_asked_about_ever_more_rarely_and_at_least_hourly(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_refund(&d, 0);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_ACCEPTED);
    unsigned asks = 0;
    int64_t last_ms = 0;
    for (; asks < 1000 && d.now_ms < T0_MS + 72 * HOUR_MS; asks++) {
        int64_t wait_ms = d.b.order.due_ms - d.now_ms;
        assert_in_range(wait_ms, d.rules.refund_query_ms, HOUR_MS);
        assert_true(wait_ms >= last_ms);
        last_ms = wait_ms;
        desk_due(&d);
        desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, FACT_REFUND_ACCEPTED);
    }
    assert_in_range(asks, 72, 100);
}

static void a_refund_is_next_asked_about_after_half_its_age(void **state)
{
    (void)state;
    static const struct {
        int64_t age_ms, wait_ms;
    } WAIT[] = {
        {0, 10 * SECOND_MS},
        {20 * SECOND_MS, 10 * SECOND_MS},
        {22 * SECOND_MS, 11 * SECOND_MS},
        {20 * MINUTE_MS, 10 * MINUTE_MS},
        {2 * HOUR_MS, HOUR_MS},
        {48 * HOUR_MS, HOUR_MS},
    };
    for (unsigned i = 0; i < sizeof WAIT / sizeof WAIT[0]; i++) {
        struct desk d;
        desk_paid(&d);
        desk_refund(&d, 0);
        d.now_ms += WAIT[i].age_ms;
        desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_ACCEPTED);
        assert_int_equal(d.b.order.due_ms, d.now_ms + WAIT[i].wait_ms);
    }
}

// Patience with a silent provider grows from the last word it gave, not from the first ask.
static void a_word_about_a_refund_begins_patience_anew(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_refund(&d, 0);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_ACCEPTED);
    for (unsigned i = 0; i < 9; i++) {
        desk_due(&d);
        assert_true(d.b.order.due_ms <= d.now_ms + d.rules.call_deadline_ms + 5 * SECOND_MS);
        desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, FACT_REFUND_ACCEPTED);
    }
}

// The answer to an earlier ask comes between the queries.
static void a_refusal_between_two_queries_begins_the_count_anew(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_refund(&d, 500);
    desk_due(&d);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_REFUSED, FACT_NONE);
    for (unsigned i = 0; i < 2; i++) {
        desk_due(&d);
        desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, FACT_REFUND_ABSENT);
    }
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_REFUSED, FACT_NONE);
    desk_due(&d);
    CALLED(&d, CALL_REFUND_QUERY);
    desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, FACT_REFUND_ABSENT);
    assert_int_equal(calls_of(&d, CALL_REFUND), 0);
    REFUND_IS(&d, 0, REFUND_PENDING);
}

static void words_about_another_payments_refund_change_nothing(void **state)
{
    (void)state;
    struct desk d;
    desk_two_attempts(&d);
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    desk_refund(&d, 5);
    struct answer a = {
        .payment_key = d.b.payment[1].key,
        .refund_key = d.b.refund[0].key,
        .method = CALL_REFUND,
        .outcome = OUTCOME_DONE,
        .fact = FACT_REFUND_DONE,
    };
    desk_event(&d, (struct event){.kind = EV_ANSWER, .answer = a});
    assert_true(nothing_happened(&d));
}

// --- The provider says that all of it went back

static void refunds_under_way_are_part_of_all_that_went_back(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_refund(&d, 500);
    desk_refund(&d, 600);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_ACCEPTED);
    desk_notice(&d, 0, FACT_PAID_AND_REFUNDED, PRICE_FEN);
    assert_int_equal(told(&d, EVENT_REFUND_SUCCEEDED), 3);
    REFUND_IS(&d, 0, REFUND_SUCCEEDED);
    REFUND_IS(&d, 1, REFUND_SUCCEEDED);
    REFUND_IS(&d, 2, REFUND_SUCCEEDED);
    assert_int_equal(d.b.refund[2].cause, CAUSE_PROVIDER);
    assert_int_equal(d.b.refund[2].amount_fen, PRICE_FEN - 1100);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDED);
    assert_int_equal(d.b.order.refunded_fen, PRICE_FEN);
    assert_true(d.b.order.due_ms == TIME_NEVER);
    desk_refund_answer(&d, 1, CALL_REFUND, OUTCOME_REFUSED, FACT_NONE); // what was under way comes home
    assert_true(nothing_happened(&d));
    desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, FACT_REFUND_DONE);
    assert_true(nothing_happened(&d));
    desk_notice(&d, 0, FACT_PAID_AND_REFUNDED, PRICE_FEN);
    assert_true(nothing_happened(&d));
}

static void refunds_that_make_up_the_whole_leave_the_provider_none(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_refund(&d, 500);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_DONE);
    desk_refund(&d, 0);
    desk_notice(&d, 0, FACT_PAID_AND_REFUNDED, PRICE_FEN); // before the answer
    assert_int_equal(d.b.n_refunds, 2);
    TOLD(&d, EVENT_REFUND_SUCCEEDED);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDED);
}

static void refunds_that_failed_were_the_providers_then(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_refund(&d, 500);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_REFUSED, FACT_NONE);
    desk_notice(&d, 0, FACT_PAID_AND_REFUNDED, PRICE_FEN);
    REFUND_IS(&d, 0, REFUND_FAILED);
    assert_int_equal(d.b.refund[1].amount_fen, PRICE_FEN);
    assert_int_equal(d.b.refund[1].cause, CAUSE_PROVIDER);
}

static void all_that_went_back_fits_however_much_is_under_way(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    for (unsigned i = 0; i < BUNDLE_MERCHANT_REFUNDS; i++)
        desk_refund(&d, 1);
    desk_notice(&d, 0, FACT_PAID_AND_REFUNDED, PRICE_FEN);
    assert_int_equal(told(&d, EVENT_REFUND_SUCCEEDED), BUNDLE_MERCHANT_REFUNDS + 1);
    assert_int_equal(d.b.order.refunded_fen, PRICE_FEN);
}

static void a_system_refund_refused_is_offered_again_for_as_long_as_it_takes(void **state)
{
    (void)state;
    struct desk d;
    desk_cancelled(&d, REASON_TIMEOUT);
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    for (unsigned i = 0; i < 20; i++) { // the seller's balance is short
        CALLED(&d, CALL_REFUND);
        assert_true(call_of(&d, CALL_REFUND)->number_key == d.b.payment[0].key);
        desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_REFUSED, FACT_NONE);
        REFUND_IS(&d, 0, REFUND_PENDING);
        assert_int_equal(told(&d, EVENT_REFUND_FAILED), 0);
        assert_true(d.b.order.due_ms >= d.now_ms + MINUTE_MS);
        desk_due(&d);
    }
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_DONE);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDED);
    assert_int_equal(d.b.n_refunds, 1);
}

static void an_uncertain_system_refund_is_asked_about_as_well(void **state)
{
    (void)state;
    struct desk d;
    desk_cancelled(&d, REASON_TIMEOUT);
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_UNKNOWN, FACT_NONE);
    desk_due(&d);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_REFUSED, FACT_NONE);
    desk_due(&d);
    CALLED(&d, CALL_REFUND_QUERY);
    desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, FACT_REFUND_DONE);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDED);
}

static void words_about_refunds_nobody_made_change_nothing(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    struct answer a = {
        .payment_key = d.b.payment[0].key,
        .refund_key = 7,
        .method = CALL_REFUND,
        .outcome = OUTCOME_DONE,
        .fact = FACT_REFUND_DONE,
    };
    desk_event(&d, (struct event){.kind = EV_ANSWER, .answer = a});
    assert_true(nothing_happened(&d));
}

static void a_merchants_refunds_of_a_reopened_order_are_his_own(void **state)
{
    (void)state;
    struct desk d;
    desk_cancelled(&d, REASON_TIMEOUT);
    d.rules.late_payment = LATE_REOPEN;
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    desk_refund(&d, 0);
    assert_int_equal(d.out.refusal, REFUSAL_NONE);
    assert_int_equal(d.b.refund[0].cause, CAUSE_MERCHANT);
}

// --- A number that ended without moving money

static void desk_late_refund(struct desk *d) // of the system's own, under way
{
    desk_cancelled(d, REASON_TIMEOUT);
    desk_notice(d, 0, FACT_PAID, PRICE_FEN);
    CALLED(d, CALL_REFUND);
}

static void a_merchants_refund_that_was_closed_has_failed(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_refund(&d, 500);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_ACCEPTED);
    desk_due(&d);
    desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, FACT_REFUND_CLOSED);
    REFUND_IS(&d, 0, REFUND_FAILED);
    TOLD(&d, EVENT_REFUND_FAILED);
    PAYMENT_IS(&d, 0, PAYMENT_CAPTURED);
    assert_int_equal(d.b.n_refunds, 1);
    assert_true(d.b.order.due_ms == TIME_NEVER);
    desk_refund(&d, 0);
    assert_int_equal(call_of(&d, CALL_REFUND)->amount_fen, PRICE_FEN);
}

// Each under a number of its own, until the money is home; a crash repeats the number at hand.
static void money_that_must_go_back_goes_on_under_another_number(void **state)
{
    (void)state;
    struct desk d;
    desk_late_refund(&d);
    uint64_t number[4] = {call_of(&d, CALL_REFUND)->number_key};
    for (unsigned i = 1; i < 4; i++) {
        uint64_t ended = d.b.refund[d.b.n_refunds - 1].key;
        desk_refund_answer(&d, d.b.n_refunds - 1, i % 2 ? CALL_REFUND : CALL_REFUND_QUERY, OUTCOME_DONE,
                           FACT_REFUND_CLOSED);
        TOLD(&d, EVENT_REFUND_FAILED);
        assert_int_equal(d.out.n_calls, 0);
        PAYMENT_IS(&d, 0, PAYMENT_REFUNDING);
        assert_true(d.b.refund[d.b.n_refunds - 1].replaces_key == ended);
        assert_int_equal(d.b.refund[d.b.n_refunds - 1].cause, CAUSE_LATE);
        assert_true(d.b.order.due_ms >= d.now_ms + MINUTE_MS); // whatever it was will hardly be over at once
        desk_reload(&d);
        desk_due(&d);
        number[i] = call_of(&d, CALL_REFUND)->number_key;
        for (unsigned k = 0; k < i; k++)
            assert_true(number[k] != number[i]);
        desk_reload(&d);
        desk_due(&d); // nobody heard
        assert_true(call_of(&d, CALL_REFUND)->number_key == number[i]);
    }
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_DONE);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDED);
    assert_int_equal(d.b.order.refunded_fen, PRICE_FEN);
    assert_true(d.b.order.due_ms == TIME_NEVER);
}

static void words_about_the_number_that_ended_change_nothing(void **state)
{
    (void)state;
    struct desk d;
    desk_late_refund(&d);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_CLOSED);
    static const enum fact LATE[] = {FACT_REFUND_CLOSED, FACT_REFUND_ACCEPTED, FACT_REFUND_ABSENT};
    for (unsigned i = 0; i < 3; i++) {
        desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, LATE[i]);
        assert_true(nothing_happened(&d));
    }
    assert_int_equal(d.b.n_refunds, 2);
}

static void strange_and_second_money_goes_on_under_another_number_as_well(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct desk d;
        desk_two_attempts(&d);
        desk_notice(&d, 1, FACT_PAID, i ? PRICE_FEN : PRICE_FEN + 1);
        if (i) desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
        desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_CLOSED);
        assert_int_equal(d.b.refund[1].cause, i ? CAUSE_DUPLICATE : CAUSE_MISMATCH);
        desk_due_at(&d, d.b.refund[1].due_ms);
        assert_true(call_of(&d, CALL_REFUND)->number_key == d.b.refund[1].key);
        desk_refund_answer(&d, 1, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_DONE);
        PAYMENT_IS(&d, i ? 0 : 1, i ? PAYMENT_REFUNDED : PAYMENT_MISMATCHED);
    }
}

static void what_went_back_over_there_meanwhile_needs_no_other_number(void **state)
{
    (void)state;
    struct desk d;
    desk_late_refund(&d);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_CLOSED);
    desk_notice(&d, 0, FACT_PAID_AND_REFUNDED, PRICE_FEN);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDED);
    assert_int_equal(d.out.n_calls, 0);
    assert_true(d.b.order.due_ms == TIME_NEVER);
}

// --- A refund that is stuck until somebody acts

static void an_abnormal_refund_is_no_end_and_is_asked_about(void **state)
{
    (void)state;
    struct desk d;
    desk_late_refund(&d);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_ACCEPTED);
    assert_false(d.b.refund[0].is_abnormal);
    for (unsigned i = 0; i < 3; i++) {
        desk_due(&d);
        CALLED(&d, CALL_REFUND_QUERY);
        desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, FACT_REFUND_ABNORMAL);
        assert_true(d.b.refund[0].is_abnormal);
        REFUND_IS(&d, 0, REFUND_PENDING);
        assert_int_equal(d.b.order.refunded_fen, 0);
        assert_int_equal(d.out.n_events, 0);
    }
    desk_due(&d);
    desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, FACT_REFUND_ACCEPTED); // somebody acted
    assert_false(d.b.refund[0].is_abnormal);
    desk_due(&d);
    desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, FACT_REFUND_DONE);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDED);
}

static void an_abnormal_refund_may_be_done_or_closed_next(void **state)
{
    (void)state;
    static const enum fact NEXT[] = {FACT_REFUND_DONE, FACT_REFUND_CLOSED};
    for (unsigned i = 0; i < 2; i++) {
        struct desk d;
        desk_late_refund(&d);
        desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_ABNORMAL);
        desk_due(&d);
        desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, NEXT[i]);
        REFUND_IS(&d, 0, i ? REFUND_FAILED : REFUND_SUCCEEDED);
        assert_false(d.b.refund[d.b.n_refunds - 1].is_abnormal);
    }
}

static void abnormal_is_a_word(void **state)
{
    (void)state;
    struct desk d;
    desk_late_refund(&d);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_ACCEPTED);
    for (unsigned i = 0; i < 9; i++) { // never unknown three times in a row
        desk_due(&d);
        desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, i % 3 ? FACT_REFUND_ABSENT : FACT_REFUND_ABNORMAL);
        assert_int_equal(d.out.n_calls, 0);
    }
}

// --- A notice that something became of a refund

static void desk_told_of_refund(struct desk *d, enum fact fact, int64_t captured_fen)
{
    struct answer a = {.payment_key = d->b.payment[0].key,
                       .channel = d->b.payment[0].channel,
                       .outcome = OUTCOME_DONE,
                       .fact = fact,
                       .captured_fen = captured_fen,
                       .asked_ms = d->now_ms,
                       .of_refund = true};
    desk_event(d, (struct event){.kind = EV_NOTICE, .answer = a});
}

// A refund that was taken an hour ago and is asked about in half an hour.
static void desk_refund_old(struct desk *d)
{
    desk_paid(d);
    desk_refund(d, 0);
    d->now_ms += HOUR_MS;
    desk_refund_answer(d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_ACCEPTED);
    assert_true(d->b.refund[0].due_ms == d->now_ms + HOUR_MS / 2);
}

static void a_notice_brings_the_question_forward(void **state)
{
    (void)state;
    static const struct {
        enum fact fact;
        int64_t captured_fen;
    } TOLD_AS[] = {{FACT_NONE, 0}, {FACT_PAID, PRICE_FEN}, {FACT_PAID_SOME_REFUNDED, PRICE_FEN}};
    for (unsigned i = 0; i < sizeof TOLD_AS / sizeof TOLD_AS[0]; i++) {
        struct desk d;
        desk_refund_old(&d);
        d.now_ms += MINUTE_MS;
        desk_told_of_refund(&d, TOLD_AS[i].fact, TOLD_AS[i].captured_fen);
        CALLED(&d, CALL_REFUND_QUERY);
        assert_int_equal(d.out.n_calls, 1);
        assert_int_equal(d.out.n_traces, 1);
        assert_int_equal(d.out.traces[0].kind, TRACE_NOTIFICATION);
        REFUND_IS(&d, 0, REFUND_PENDING); // a hint, and no more
        desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, FACT_REFUND_DONE);
        REFUND_IS(&d, 0, REFUND_SUCCEEDED);
        desk_told_of_refund(&d, TOLD_AS[i].fact, TOLD_AS[i].captured_fen);
        assert_true(nothing_happened(&d)); // it has ended
    }
}

static void an_abnormal_refund_that_somebody_mended_is_asked_about_at_once(void **state)
{
    (void)state;
    struct desk d;
    desk_refund_old(&d);
    desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_DONE, FACT_REFUND_ABNORMAL);
    desk_told_of_refund(&d, FACT_NONE, 0);
    CALLED(&d, CALL_REFUND_QUERY);
    assert_true(d.b.refund[0].is_abnormal);
}

static void a_storm_of_notices_asks_once(void **state)
{
    (void)state;
    struct desk d;
    desk_refund_old(&d);
    desk_told_of_refund(&d, FACT_NONE, 0);
    CALLED(&d, CALL_REFUND_QUERY);
    d.rules.call_deadline_ms = MINUTE_MS;
    for (unsigned i = 0; i < 3; i++) {
        desk_told_of_refund(&d, FACT_NONE, 0);
        assert_true(nothing_happened(&d));
    }
    desk_refund_answer(&d, 0, CALL_REFUND_QUERY, OUTCOME_UNKNOWN, FACT_NONE);
    desk_told_of_refund(&d, FACT_NONE, 0); // it is asked again soon
    assert_true(nothing_happened(&d));
}

static void what_is_asked_about_soon_or_offered_later_is_left_as_it_is(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_refund(&d, 10);
    desk_told_of_refund(&d, FACT_NONE, 0); // on its way
    assert_true(nothing_happened(&d));
    assert_int_equal(d.out.n_traces, 0);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_ACCEPTED);
    desk_told_of_refund(&d, FACT_NONE, 0); // asked about in ten seconds
    assert_true(nothing_happened(&d));
    desk_cancelled(&d, REASON_BUYER);
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_REFUSED, FACT_NONE);
    desk_told_of_refund(&d, FACT_NONE, 0); // nothing is over there to be asked about
    assert_true(nothing_happened(&d));
}

static void a_notice_is_about_the_refunds_of_its_own_attempt(void **state)
{
    (void)state;
    struct desk d;
    desk_two_attempts(&d);
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    desk_notice(&d, 1, FACT_PAID, PRICE_FEN); // twice: it goes back
    d.now_ms += HOUR_MS;
    desk_refund_answer(&d, 0, CALL_REFUND, OUTCOME_DONE, FACT_REFUND_ACCEPTED);
    desk_told_of_refund(&d, FACT_NONE, 0);
    assert_true(nothing_happened(&d));
    struct event e = {.kind = EV_NOTICE,
                      .answer = {.payment_key = d.b.payment[1].key, .outcome = OUTCOME_DONE, .of_refund = true}};
    desk_event(&d, e);
    CALLED(&d, CALL_REFUND_QUERY);
    e.answer.of_refund = false; // what is no news and of no refund is nothing
    desk_event(&d, e);
    assert_true(nothing_happened(&d));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_is_left_goes_back_when_no_amount_is_said),
        cmocka_unit_test(partial_refunds_add_up_to_what_was_paid_and_no_further),
        cmocka_unit_test(amounts_that_make_no_sense_are_too_much),
        cmocka_unit_test(what_is_not_paid_is_not_refunded),
        cmocka_unit_test(a_merchant_has_so_many_refunds_under_way_and_no_more),
        cmocka_unit_test(a_refund_says_why_on_the_timeline),
        cmocka_unit_test(a_merchants_refund_refused_at_once_has_failed),
        cmocka_unit_test(a_partial_refund_that_fails_leaves_the_other_under_way),
        cmocka_unit_test(an_unanswered_refund_is_repeated_under_its_number),
        cmocka_unit_test(a_refund_we_crashed_over_is_uncertain_too),
        cmocka_unit_test(an_uncertain_refund_refused_is_asked_about_and_then_sent_again),
        cmocka_unit_test(an_uncertain_refund_found_done_is_done),
        cmocka_unit_test(an_accepted_refund_is_no_refund_yet),
        cmocka_unit_test(accepted_is_a_word),
        cmocka_unit_test(a_refund_that_takes_days_is_asked_about_ever_more_rarely_and_at_least_hourly),
        cmocka_unit_test(a_refund_is_next_asked_about_after_half_its_age),
        cmocka_unit_test(a_word_about_a_refund_begins_patience_anew),
        cmocka_unit_test(a_refusal_between_two_queries_begins_the_count_anew),
        cmocka_unit_test(words_about_another_payments_refund_change_nothing),
        cmocka_unit_test(refunds_under_way_are_part_of_all_that_went_back),
        cmocka_unit_test(refunds_that_make_up_the_whole_leave_the_provider_none),
        cmocka_unit_test(refunds_that_failed_were_the_providers_then),
        cmocka_unit_test(all_that_went_back_fits_however_much_is_under_way),
        cmocka_unit_test(a_system_refund_refused_is_offered_again_for_as_long_as_it_takes),
        cmocka_unit_test(an_uncertain_system_refund_is_asked_about_as_well),
        cmocka_unit_test(words_about_refunds_nobody_made_change_nothing),
        cmocka_unit_test(a_merchants_refunds_of_a_reopened_order_are_his_own),
        cmocka_unit_test(a_merchants_refund_that_was_closed_has_failed),
        cmocka_unit_test(money_that_must_go_back_goes_on_under_another_number),
        cmocka_unit_test(words_about_the_number_that_ended_change_nothing),
        cmocka_unit_test(strange_and_second_money_goes_on_under_another_number_as_well),
        cmocka_unit_test(what_went_back_over_there_meanwhile_needs_no_other_number),
        cmocka_unit_test(an_abnormal_refund_is_no_end_and_is_asked_about),
        cmocka_unit_test(an_abnormal_refund_may_be_done_or_closed_next),
        cmocka_unit_test(abnormal_is_a_word),
        cmocka_unit_test(a_notice_brings_the_question_forward),
        cmocka_unit_test(an_abnormal_refund_that_somebody_mended_is_asked_about_at_once),
        cmocka_unit_test(a_storm_of_notices_asks_once),
        cmocka_unit_test(what_is_asked_about_soon_or_offered_later_is_left_as_it_is),
        cmocka_unit_test(a_notice_is_about_the_refunds_of_its_own_attempt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
