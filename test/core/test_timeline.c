// SPDX-License-Identifier: Apache-2.0
// What a step leaves for people to read, and what a message says the second time.
#include "order_fixture.h"

static unsigned traced(const struct desk *d, enum trace_kind kind, const char *detail)
{
    unsigned n = 0;
    for (unsigned i = 0; i < d->out.n_traces; i++)
        n += d->out.traces[i].kind == kind && strcmp(d->out.traces[i].detail, detail) == 0;
    return n;
}

static void desk_pending(struct desk *d, enum policy policy) // its half message at the broker
{
    desk_clear(d);
    d->rules.broker = BROKER_REMOTE;
    d->b.order.policy = policy;
    desk_place(d, CHANNEL_ALIPAY, WINDOW_MS);
    desk_sent(d, SEND_HALF, OUTCOME_DONE, copy_at(1));
    desk_code(d, 0);
}

// --- The provider's words

static void an_answer_is_on_the_timeline_as_it_was_given(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
    const struct trace *t = &d.out.traces[0];
    assert_int_equal(t->kind, TRACE_PROVIDER);
    assert_int_equal(t->channel, CHANNEL_ALIPAY);
    assert_int_equal(t->method, CALL_QUERY);
    assert_int_equal(t->outcome, OUTCOME_DONE);
    assert_int_equal(t->fact, FACT_CLOSED);
    assert_int_equal(t->took_ms, 80);
    assert_string_equal(t->detail, "10000");
    desk_waiting(&d);
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    assert_int_equal(d.out.n_traces, 1);
    assert_int_equal(d.out.traces[0].kind, TRACE_NOTIFICATION);
    assert_int_equal(d.out.traces[0].fact, FACT_PAID);
}

static void an_event_of_the_order_names_no_attempt_and_no_refund(void **state)
{
    (void)state;
    struct desk d;
    desk_placed(&d);
    TOLD(&d, EVENT_ORDER_PLACED);
    assert_true(d.out.events[0].payment_key == 0 && d.out.events[0].refund_key == 0);
    desk_cancelled(&d, REASON_TIMEOUT);
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    TOLD(&d, EVENT_PAYMENT_LATE);
    assert_true(d.out.events[0].payment_key == d.b.payment[0].key && d.out.events[0].refund_key == 0);
}

// --- Messages

static void what_the_embedded_broker_delivers_is_on_the_timeline(void **state)
{
    (void)state;
    struct desk d;
    desk_waiting(&d);
    desk_cancel(&d, REASON_BUYER);
    assert_int_equal(traced(&d, TRACE_MESSAGE, "order.cancel: delivered"), 1);
}

static void what_a_broker_elsewhere_delivers_is_on_the_timeline_once_it_says_so(void **state)
{
    (void)state;
    struct desk d;
    desk_pending(&d, POLICY_REVERSE);
    desk_cancel(&d, REASON_BUYER);
    assert_int_equal(traced(&d, TRACE_MESSAGE, "order.cancel: delivered"), 0);
    desk_sent(&d, SEND_END, OUTCOME_DONE, copy_at(1));
    assert_int_equal(traced(&d, TRACE_MESSAGE, "order.cancel: delivered"), 1);
    desk_pending(&d, POLICY_REVERSE);
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    desk_sent(&d, SEND_END, OUTCOME_DONE, copy_at(1)); // a rollback delivers nothing
    assert_int_equal(d.out.n_traces, 1);
    assert_int_equal(d.out.traces[0].kind, TRACE_HALF);
    assert_int_equal(d.out.traces[0].answer, ANSWER_ROLLBACK);
}

static void a_half_message_that_is_gone_is_on_the_timeline_and_so_is_what_replaces_it(void **state)
{
    (void)state;
    struct desk d;
    desk_pending(&d, POLICY_FORWARD);
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    desk_sent(&d, SEND_END, OUTCOME_REFUSED, copy_at(1));
    assert_int_equal(traced(&d, TRACE_MESSAGE, "order.paid: the half message is gone; sent plainly"), 1);
    desk_sent(&d, SEND_MAIN, OUTCOME_DONE, copy_at(0));
    assert_int_equal(traced(&d, TRACE_MESSAGE, "order.paid: delivered"), 1);
}

static void who_has_no_half_message_writes_none(void **state)
{
    (void)state;
    for (enum policy p = POLICY_DELAY; p <= POLICY_POLL; p++) {
        struct desk d;
        desk_clear(&d);
        d.rules.broker = BROKER_REMOTE;
        d.b.order.policy = p;
        desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
        assert_false(d.out.half_changed);
        desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
        ORDER_IS(&d, ORDER_PAID);
        assert_false(d.out.half_changed);
    }
}

// --- Check-backs

static void a_check_back_is_answered_once(void **state)
{
    (void)state;
    struct desk d;
    desk_pending(&d, POLICY_REVERSE);
    assert_int_equal(d.b.half.n_checks, 0);
    desk_checkback(&d, copy_at(5), 2);
    assert_int_equal(d.b.half.n_checks, 2);
    desk_cancel(&d, REASON_BUYER);
    desk_checkback(&d, copy_at(3), 1); // an older copy
    assert_int_equal(d.out.n_traces, 1);
    desk_checkback(&d, copy_at(5), 3); // the newest, its end on the way
    assert_int_equal(d.out.n_traces, 1);
    desk_sent(&d, SEND_END, OUTCOME_DONE, copy_at(5));
    desk_checkback(&d, copy_at(6), 4); // too late
    assert_int_equal(d.out.n_traces, 1);
    assert_int_equal(half_answer(&d), ANSWER_ROLLBACK);
}

static void a_check_back_nobody_sent_leaves_no_trace(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    d.rules.broker = BROKER_REMOTE;
    d.b.order.policy = POLICY_POLL;
    desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
    desk_checkback(&d, copy_at(1), 1);
    assert_true(nothing_happened(&d));
    assert_int_equal(d.out.n_traces, 0);
}

// --- Said again

static void a_message_said_again_is_the_same_message(void **state)
{
    (void)state;
    struct desk d;
    desk_pending(&d, POLICY_REVERSE);
    desk_cancel(&d, REASON_BUYER);
    uint32_t sequence = send_of(&d, SEND_END)->message.sequence;
    assert_int_equal(sequence, d.b.order.sequence); // of order.closing
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
    assert_int_equal(d.b.order.sequence, sequence + 1);
    desk_due_at(&d, d.b.half.due_ms);
    assert_int_equal(send_of(&d, SEND_END)->message.sequence, sequence);
    desk_sent(&d, SEND_END, OUTCOME_REFUSED, copy_at(1)); // and sent plainly it is that one too
    assert_int_equal(send_of(&d, SEND_MAIN)->message.sequence, sequence);
}

static void a_second_message_said_again_is_the_same_message(void **state)
{
    (void)state;
    struct desk d;
    desk_pending(&d, POLICY_FORWARD);
    d.rules.late_payment = LATE_REOPEN;
    desk_due_at(&d, d.b.order.expires_ms);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
    uint32_t sequence = send_of(&d, SEND_SECOND)->message.sequence;
    assert_int_equal(sequence, d.b.order.sequence); // of order.cancelled
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);       // too late: told of as late, and as paid
    ORDER_IS(&d, ORDER_PAID);
    assert_int_equal(send_of(&d, SEND_SECOND)->message.sequence, sequence);
    assert_int_equal(send_of(&d, SEND_MAIN)->message.sequence, sequence + 2);
}

static void what_the_broker_does_not_hear_is_said_ever_more_seldom(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    d.rules.broker = BROKER_REMOTE;
    desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
    for (uint32_t tries = 1; tries < 5; tries++) {
        assert_int_equal(d.b.half.tries, tries);
        int64_t wait_ms = d.b.half.due_ms - d.now_ms - d.rules.call_deadline_ms;
        assert_in_range(wait_ms, (SECOND_MS << tries) * 3 / 4, (SECOND_MS << tries) * 5 / 4);
        desk_due_at(&d, d.b.half.due_ms);
        assert_int_equal(sends_of(&d, SEND_HALF), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_on_the_timeline_as_it_was_given),
        cmocka_unit_test(an_event_of_the_order_names_no_attempt_and_no_refund),
        cmocka_unit_test(what_the_embedded_broker_delivers_is_on_the_timeline),
        cmocka_unit_test(what_a_broker_elsewhere_delivers_is_on_the_timeline_once_it_says_so),
        cmocka_unit_test(a_half_message_that_is_gone_is_on_the_timeline_and_so_is_what_replaces_it),
        cmocka_unit_test(who_has_no_half_message_writes_none),
        cmocka_unit_test(a_check_back_is_answered_once),
        cmocka_unit_test(a_check_back_nobody_sent_leaves_no_trace),
        cmocka_unit_test(a_message_said_again_is_the_same_message),
        cmocka_unit_test(a_second_message_said_again_is_the_same_message),
        cmocka_unit_test(what_the_broker_does_not_hear_is_said_ever_more_seldom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
