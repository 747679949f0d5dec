// SPDX-License-Identifier: Apache-2.0
// How a half message at a broker elsewhere is decided where the simple course is crossed by another. Most of this
// was found by the simulator.
#include "order_fixture.h"

// The desk knows the embedded broker's laws; this goes past them.
static void step(struct desk *d, struct event e)
{
    e.now_ms = d->now_ms;
    e.fresh_key = d->next_key;
    d->next_key += EVENT_FRESH_KEYS;
    core_step(&d->rules, &d->b, &e, &d->out);
}

static void answered(struct desk *d, enum call_method method, enum fact fact)
{
    struct answer a = {.payment_key = d->b.payment[0].key,
                       .method = method,
                       .outcome = OUTCOME_DONE,
                       .fact = fact,
                       .asked_ms = d->now_ms};
    if (fact == FACT_PAID) a.captured_fen = PRICE_FEN;
    step(d, (struct event){.kind = method == CALL_NONE ? EV_NOTICE : EV_ANSWER, .answer = a});
}

static void waiting(struct desk *d, enum policy policy, enum broker_kind broker)
{
    desk_clear(d);
    d->rules.broker = broker;
    d->b.order.policy = policy;
    d->b.order.channel = CHANNEL_ALIPAY;
    d->b.order.expires_ms = d->now_ms + WINDOW_MS;
    step(d, (struct event){.kind = EV_PLACE});
    answered(d, CALL_CREATE, FACT_CODE);
}

static void cancelled(struct desk *d)
{
    d->now_ms = d->b.order.expires_ms;
    step(d, (struct event){.kind = EV_DUE});
    answered(d, CALL_QUERY, FACT_CLOSED);
    ORDER_IS(d, ORDER_CANCELLED);
}

static void sent(struct desk *d, enum send_kind kind)
{
    struct event e = {.kind = EV_SENT, .sent = {.kind = kind, .outcome = OUTCOME_DONE}};
    e.sent.at = (struct half_at){.broker = "broker-a", .commit_log_offset = 4096, .queue_offset = 7};
    step(d, e);
}

static void a_half_message_not_needed_any_more_is_struck_off_in_its_row(void **state)
{
    (void)state;
    struct desk d;
    waiting(&d, POLICY_REVERSE, BROKER_REMOTE);
    assert_int_equal(d.b.half.owes, OWES_HALF);
    answered(&d, CALL_NONE, FACT_PAID); // before the broker acknowledged it
    ORDER_IS(&d, ORDER_PAID);
    assert_int_equal(d.b.half.owes, 0);
    assert_true(d.out.half_changed);
}

static void an_order_paid_after_its_cancellation_is_told_of_whatever_becomes_of_the_end(void **state)
{
    (void)state;
    struct desk d;
    waiting(&d, POLICY_FORWARD, BROKER_REMOTE);
    d.rules.late_payment = LATE_REOPEN;
    sent(&d, SEND_HALF);
    cancelled(&d);
    assert_int_equal(d.b.half.answer, ANSWER_ROLLBACK);
    answered(&d, CALL_NONE, FACT_PAID); // while the rollback is on its way
    ORDER_IS(&d, ORDER_PAID);
    sent(&d, SEND_END); // the rollback's answer; whatever else left meanwhile may be lost
    sent(&d, SEND_SECOND);
    assert_int_equal(d.b.half.owes, OWES_MAIN);
    d.now_ms = d.b.order.due_ms;
    step(&d, (struct event){.kind = EV_DUE});
    assert_int_equal(d.out.n_sends, 1);
    assert_int_equal(d.out.sends[0].kind, SEND_MAIN);
    assert_int_equal(d.out.sends[0].message.type, MESSAGE_PAID);
    sent(&d, SEND_MAIN);
    assert_int_equal(d.b.half.owes, 0);
}

static void an_order_placed_with_the_embedded_broker_is_cancelled_with_another(void **state)
{
    (void)state;
    struct desk d;
    waiting(&d, POLICY_FORWARD, BROKER_EMBEDDED);
    d.rules.broker = BROKER_REMOTE; // a restart with another configuration
    cancelled(&d);
    assert_int_equal(d.b.half.owes, OWES_SECOND);
    assert_int_equal(d.b.half.state, HALF_ENDED); // a row the store takes
}

static void news_of_a_send_there_is_not_changes_nothing(void **state)
{
    (void)state;
    struct desk d;
    waiting(&d, POLICY_FORWARD, BROKER_REMOTE);
    unsigned owed = d.b.half.owes;
    assert_true(owed);
    sent(&d, (enum send_kind)99);
    assert_int_equal(d.b.half.owes, owed);
    ORDER_IS(&d, ORDER_AWAITING_PAYMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_half_message_not_needed_any_more_is_struck_off_in_its_row),
        cmocka_unit_test(an_order_paid_after_its_cancellation_is_told_of_whatever_becomes_of_the_end),
        cmocka_unit_test(an_order_placed_with_the_embedded_broker_is_cancelled_with_another),
        cmocka_unit_test(news_of_a_send_there_is_not_changes_nothing),
    };
    return cmocka_run_group_tests_name("half messages, crossed", tests, NULL, NULL);
}
