// SPDX-License-Identifier: Apache-2.0
// The four policies' messages, over the embedded broker and over one elsewhere that may be silent, forget, repeat
// itself and be late.
#include "order_fixture.h"

#define WAIT_MS     (5 * SECOND_MS)
#define INTERVAL_MS (30 * SECOND_MS)

static void desk_policy(struct desk *d, enum broker_kind broker, enum policy policy)
{
    desk_clear(d);
    d->rules.broker = broker;
    d->rules.cancel_wait_ms = WAIT_MS;
    d->b.order.policy = policy;
}

// Waits for money, its half message at the broker (where it has one), nothing owed.
static void desk_pending(struct desk *d, enum policy policy)
{
    desk_policy(d, BROKER_REMOTE, policy);
    desk_place(d, CHANNEL_ALIPAY, WINDOW_MS);
    if (policy == POLICY_REVERSE || policy == POLICY_FORWARD) desk_sent(d, SEND_HALF, OUTCOME_DONE, copy_at(1));
    d->now_ms += SECOND_MS;
    desk_code(d, 0);
    ORDER_IS(d, ORDER_AWAITING_PAYMENT);
    assert_int_equal(d->b.half.owes, 0);
}

// The same, but the broker never said that it has the half message.
static void desk_unheard(struct desk *d, enum policy policy)
{
    desk_policy(d, BROKER_REMOTE, policy);
    desk_place(d, CHANNEL_ALIPAY, WINDOW_MS);
    desk_sent(d, SEND_HALF, OUTCOME_UNKNOWN, copy_at(0));
    desk_code(d, 0);
    assert_int_equal(d->b.half.state, HALF_UNSENT);
}

static void cancelled_now(struct desk *d)
{
    desk_cancel(d, REASON_BUYER);
    desk_answer(d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
    ORDER_IS(d, ORDER_CANCELLED);
}

static void cancelled_by_time(struct desk *d)
{
    desk_due_at(d, d->b.order.expires_ms);
    desk_answer(d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
    ORDER_IS(d, ORDER_CANCELLED);
}

static void paid_now(struct desk *d)
{
    desk_notice(d, 0, FACT_PAID, PRICE_FEN);
}

static void half_owes_nothing(const struct desk *d, enum half_state state)
{
    assert_int_equal(d->b.half.state, state);
    assert_int_equal(d->b.half.owes, 0);
    assert_true(d->b.half.due_ms == TIME_NEVER);
}

#define ENDED_WITH(d, a, n)                                                                                            \
    do {                                                                                                               \
        const struct send *s_ = send_of(d, SEND_END);                                                                  \
        assert_non_null(s_);                                                                                           \
        assert_int_equal(s_->answer, a);                                                                               \
        assert_int_equal(s_->at.queue_offset, n);                                                                      \
    } while (0)

// --- What is told, and when

static void delay_and_poll_and_reverse_keep_order_cancel_when_closing_begins(void **state)
{
    (void)state;
    for (enum policy p = POLICY_DELAY; p <= POLICY_REVERSE; p++) {
        struct desk d;
        desk_policy(&d, BROKER_EMBEDDED, p);
        desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
        assert_int_equal(d.out.n_messages, 0);
        desk_code(&d, 0);
        desk_due_at(&d, d.b.order.expires_ms);
        assert_int_equal(d.out.n_messages, 1);
        assert_int_equal(d.out.messages[0].type, MESSAGE_CANCEL);
        assert_int_equal(d.out.messages[0].topic, TOPIC_CANCEL);
        assert_int_equal(d.out.messages[0].reason, REASON_TIMEOUT);
        assert_int_equal(d.out.messages[0].sequence, 3);
        desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
        ORDER_IS(&d, ORDER_CANCELLED);
        assert_int_equal(d.out.n_messages, 0); // it was told
    }
}

static void what_is_paid_in_time_is_told_by_forward_alone(void **state)
{
    (void)state;
    for (enum policy p = POLICY_DELAY; p <= POLICY_FORWARD; p++) {
        struct desk d;
        desk_policy(&d, BROKER_EMBEDDED, p);
        desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
        paid_now(&d);
        assert_int_equal(d.out.n_messages, p == POLICY_FORWARD);
        assert_int_equal(messages_of(&d, MESSAGE_PAID), p == POLICY_FORWARD);
    }
}

static void forward_keeps_order_cancelled_when_the_order_leaves_closing(void **state)
{
    (void)state;
    struct desk d;
    desk_policy(&d, BROKER_EMBEDDED, POLICY_FORWARD);
    desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
    desk_code(&d, 0);
    desk_cancel(&d, REASON_MERCHANT);
    assert_int_equal(d.out.n_messages, 0);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
    assert_int_equal(d.out.n_messages, 1);
    assert_int_equal(messages_of(&d, MESSAGE_CANCELLED), 1);
    assert_int_equal(d.out.messages[0].topic, TOPIC_CANCEL);
    assert_int_equal(d.out.messages[0].reason, REASON_MERCHANT);
}

static void forward_paid_while_closing_is_told_as_paid(void **state)
{
    (void)state;
    struct desk d;
    desk_policy(&d, BROKER_EMBEDDED, POLICY_FORWARD);
    desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
    desk_code(&d, 0);
    desk_due_at(&d, d.b.order.expires_ms);
    paid_now(&d);
    ORDER_IS(&d, ORDER_PAID);
    assert_int_equal(messages_of(&d, MESSAGE_PAID), 1);
    desk_pending(&d, POLICY_FORWARD);
    desk_due_at(&d, d.b.order.expires_ms);
    assert_int_equal(d.out.n_sends, 0); // undecided until it leaves closing
    paid_now(&d);
    ENDED_WITH(&d, ANSWER_COMMIT, 1);
}

static void delay_and_poll_say_order_cancel_plainly_to_a_broker_elsewhere(void **state)
{
    (void)state;
    for (enum policy p = POLICY_DELAY; p <= POLICY_POLL; p++) {
        struct desk d;
        desk_pending(&d, p);
        assert_int_equal(d.b.half.state, HALF_NONE);
        desk_cancel(&d, REASON_BUYER);
        assert_int_equal(d.out.n_sends, 1);
        assert_int_equal(sends_of(&d, SEND_MAIN), 1);
        assert_int_equal(send_of(&d, SEND_MAIN)->message.reason, REASON_BUYER);
        desk_sent(&d, SEND_MAIN, OUTCOME_DONE, copy_at(0));
        half_owes_nothing(&d, HALF_ENDED);
        desk_pending(&d, p);
        paid_now(&d);
        assert_int_equal(d.out.n_sends, 0);
        assert_int_equal(d.b.half.state, HALF_NONE);
    }
}

static void the_half_message_is_opened_with_the_placing(void **state)
{
    (void)state;
    for (enum policy p = POLICY_REVERSE; p <= POLICY_FORWARD; p++) {
        struct desk d;
        desk_policy(&d, BROKER_REMOTE, p);
        desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
        assert_int_equal(d.out.n_sends, 1);
        assert_int_equal(send_of(&d, SEND_HALF)->message.type, p == POLICY_FORWARD ? MESSAGE_PAID : MESSAGE_CANCEL);
        assert_true(d.out.half_changed);
        desk_sent(&d, SEND_HALF, OUTCOME_DONE, copy_at(1));
        half_owes_nothing(&d, HALF_PENDING);
    }
}

static void reverse_commits_when_closing_begins_and_rolls_back_when_paid(void **state)
{
    (void)state;
    struct desk d;
    desk_pending(&d, POLICY_REVERSE);
    desk_cancel(&d, REASON_BUYER);
    assert_int_equal(d.out.n_sends, 1);
    ENDED_WITH(&d, ANSWER_COMMIT, 1);
    desk_sent(&d, SEND_END, OUTCOME_DONE, copy_at(1));
    half_owes_nothing(&d, HALF_ENDED);
    paid_now(&d); // while closing: the command was given, and its receiver will find it paid
    ORDER_IS(&d, ORDER_PAID);
    assert_int_equal(d.out.n_sends, 0);
    desk_pending(&d, POLICY_REVERSE);
    paid_now(&d);
    ENDED_WITH(&d, ANSWER_ROLLBACK, 1);
    desk_sent(&d, SEND_END, OUTCOME_DONE, copy_at(1));
    half_owes_nothing(&d, HALF_ENDED);
}

static void forward_rolls_back_and_tells_the_cancellation_by_a_second_message(void **state)
{
    (void)state;
    struct desk d;
    desk_pending(&d, POLICY_FORWARD);
    cancelled_now(&d);
    assert_int_equal(d.out.n_sends, 2);
    ENDED_WITH(&d, ANSWER_ROLLBACK, 1);
    assert_int_equal(send_of(&d, SEND_SECOND)->message.type, MESSAGE_CANCELLED);
    desk_sent(&d, SEND_SECOND, OUTCOME_DONE, copy_at(0));
    assert_int_equal(d.b.half.owes, OWES_END);
    desk_sent(&d, SEND_END, OUTCOME_DONE, copy_at(1));
    half_owes_nothing(&d, HALF_ENDED);
}

static void an_order_reopened_under_forward_is_told_plainly(void **state)
{
    (void)state;
    for (enum broker_kind kind = BROKER_EMBEDDED; kind <= BROKER_REMOTE; kind++) {
        struct desk d;
        if (kind == BROKER_REMOTE)
            desk_pending(&d, POLICY_FORWARD);
        else
            desk_policy(&d, kind, POLICY_FORWARD), desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS), desk_code(&d, 0);
        d.rules.late_payment = LATE_REOPEN;
        cancelled_by_time(&d);
        if (kind == BROKER_REMOTE) desk_sent(&d, SEND_END, OUTCOME_DONE, copy_at(1));
        paid_now(&d);
        ORDER_IS(&d, ORDER_PAID);
        if (kind == BROKER_REMOTE) {
            assert_int_equal(send_of(&d, SEND_MAIN)->message.type, MESSAGE_PAID);
            assert_int_equal(sends_of(&d, SEND_END), 0);
        } else {
            assert_int_equal(messages_of(&d, MESSAGE_PAID), 1);
        }
    }
}

// Else the word that the rollback was heard would be taken for the commit's, and order.paid be lost.
static void a_rollback_that_is_still_on_its_way_stays_one_when_the_order_is_reopened(void **state)
{
    (void)state;
    struct desk d;
    desk_pending(&d, POLICY_FORWARD);
    d.rules.late_payment = LATE_REOPEN;
    cancelled_by_time(&d);
    ENDED_WITH(&d, ANSWER_ROLLBACK, 1);
    paid_now(&d);
    ORDER_IS(&d, ORDER_PAID);
    assert_int_equal(d.b.half.answer, ANSWER_ROLLBACK);
    assert_int_equal(sends_of(&d, SEND_MAIN), 1);
    desk_sent(&d, SEND_END, OUTCOME_DONE, copy_at(1));
    assert_true(d.b.half.owes & OWES_MAIN);
    desk_sent(&d, SEND_MAIN, OUTCOME_DONE, copy_at(0));
    desk_sent(&d, SEND_SECOND, OUTCOME_DONE, copy_at(0));
    half_owes_nothing(&d, HALF_ENDED);
}

// --- Said until it is heard

static void what_is_not_acknowledged_is_said_again(void **state)
{
    (void)state;
    struct desk d;
    desk_unheard(&d, POLICY_REVERSE);
    int64_t due_ms = d.b.half.due_ms;
    assert_true(due_ms > d.now_ms);
    desk_due_at(&d, due_ms);
    assert_int_equal(sends_of(&d, SEND_HALF), 1);
    assert_true(d.b.half.due_ms - d.now_ms > due_ms - T0_MS - SECOND_MS); // and more and more seldom
    desk_sent(&d, SEND_HALF, OUTCOME_REFUSED, copy_at(0));
    assert_true(nothing_happened(&d));
    assert_int_equal(d.b.half.owes, OWES_HALF);
    desk_due_at(&d, d.b.half.due_ms - 1);
    assert_int_equal(d.out.n_sends, 0);
}

static void an_unknown_end_is_neither_done_nor_refused(void **state)
{
    (void)state;
    struct desk d;
    desk_pending(&d, POLICY_FORWARD);
    cancelled_now(&d);
    static const enum send_kind KINDS[] = {SEND_END, SEND_SECOND};
    for (unsigned i = 0; i < 2; i++) {
        desk_sent(&d, KINDS[i], OUTCOME_UNKNOWN, copy_at(1));
        assert_true(nothing_happened(&d));
    }
    desk_sent(&d, SEND_SECOND, OUTCOME_REFUSED, copy_at(0));
    assert_int_equal(d.b.half.owes, OWES_END | OWES_SECOND);
    desk_due_at(&d, d.b.half.due_ms);
    assert_int_equal(d.out.n_sends, 2);
    desk_pending(&d, POLICY_POLL);
    desk_cancel(&d, REASON_BUYER);
    desk_sent(&d, SEND_MAIN, OUTCOME_UNKNOWN, copy_at(0));
    assert_int_equal(d.b.half.owes, OWES_MAIN);
}

static void what_was_told_is_not_told_again_by_a_late_word(void **state)
{
    (void)state;
    struct desk d;
    desk_pending(&d, POLICY_FORWARD);
    cancelled_now(&d);
    desk_sent(&d, SEND_END, OUTCOME_DONE, copy_at(1));
    desk_sent(&d, SEND_SECOND, OUTCOME_DONE, copy_at(0));
    for (enum outcome o = OUTCOME_DONE; o <= OUTCOME_UNKNOWN; o++)
        for (enum send_kind k = SEND_HALF; k <= SEND_SECOND; k++) {
            desk_sent(&d, k, o, copy_at(k == SEND_HALF ? 7 : 1));
            assert_true(nothing_happened(&d));
        }
    half_owes_nothing(&d, HALF_ENDED);
}

static void a_commit_of_a_half_that_is_gone_is_replaced_by_a_plain_message(void **state)
{
    (void)state;
    struct desk d;
    desk_pending(&d, POLICY_REVERSE);
    desk_cancel(&d, REASON_BUYER);
    desk_sent(&d, SEND_END, OUTCOME_REFUSED, copy_at(1));
    assert_int_equal(d.out.n_sends, 1);
    assert_int_equal(send_of(&d, SEND_MAIN)->message.type, MESSAGE_CANCEL);
    desk_sent(&d, SEND_MAIN, OUTCOME_DONE, copy_at(0));
    half_owes_nothing(&d, HALF_ENDED);
    desk_pending(&d, POLICY_REVERSE); // there is nothing to be replaced of a rollback
    paid_now(&d);
    desk_sent(&d, SEND_END, OUTCOME_REFUSED, copy_at(1));
    assert_int_equal(d.out.n_sends, 0);
    half_owes_nothing(&d, HALF_ENDED);
}

static void a_refusal_of_an_older_copy_says_nothing_of_the_newest(void **state)
{
    (void)state;
    struct desk d;
    desk_pending(&d, POLICY_REVERSE);
    desk_cancel(&d, REASON_BUYER);
    desk_checkback(&d, copy_at(2), 1);
    ENDED_WITH(&d, ANSWER_COMMIT, 2);
    desk_sent(&d, SEND_END, OUTCOME_REFUSED, copy_at(1));
    assert_true(nothing_happened(&d));
    struct half_at other[3] = {copy_at(2), copy_at(2), copy_at(2)};
    other[0].commit_log_offset++;
    other[1].queue_offset++;
    other[2].broker[0] = 'c';
    for (unsigned i = 0; i < 3; i++) {
        desk_sent(&d, SEND_END, OUTCOME_REFUSED, other[i]);
        assert_int_equal(d.b.half.owes, OWES_END);
    }
    desk_sent(&d, SEND_END, OUTCOME_REFUSED, copy_at(2));
    assert_int_equal(d.b.half.owes, OWES_MAIN);
}

// --- A half message nobody acknowledged

static void a_half_that_was_not_acknowledged_is_not_waited_for(void **state)
{
    (void)state;
    struct desk d;
    desk_unheard(&d, POLICY_REVERSE);
    desk_cancel(&d, REASON_BUYER);
    assert_int_equal(d.out.n_sends, 1);
    assert_int_equal(sends_of(&d, SEND_MAIN), 1);
    desk_sent(&d, SEND_MAIN, OUTCOME_DONE, copy_at(0));
    half_owes_nothing(&d, HALF_UNSENT);
    desk_checkback(&d, copy_at(3), 1); // there it is
    assert_int_equal(half_answer(&d), ANSWER_ROLLBACK);
    ENDED_WITH(&d, ANSWER_ROLLBACK, 3);
    assert_false(send_of(&d, SEND_END)->is_loose); // said until it is heard
    desk_sent(&d, SEND_END, OUTCOME_DONE, copy_at(3));
    half_owes_nothing(&d, HALF_ENDED);
}

static void a_half_that_is_acknowledged_after_the_decision_is_rolled_back(void **state)
{
    (void)state;
    struct desk d;
    desk_unheard(&d, POLICY_FORWARD);
    paid_now(&d);
    assert_int_equal(sends_of(&d, SEND_MAIN), 1);
    desk_sent(&d, SEND_HALF, OUTCOME_DONE, copy_at(1));
    ENDED_WITH(&d, ANSWER_ROLLBACK, 1);
    desk_sent(&d, SEND_END, OUTCOME_DONE, copy_at(1));
    desk_sent(&d, SEND_MAIN, OUTCOME_DONE, copy_at(0));
    half_owes_nothing(&d, HALF_ENDED);
}

// A paid order of reverse has nothing to say; its row must be written all the same, or the half would be opened again.
static void a_half_that_is_not_needed_any_more_is_no_longer_owed(void **state)
{
    (void)state;
    struct desk d;
    desk_unheard(&d, POLICY_REVERSE);
    paid_now(&d);
    assert_true(d.out.half_changed);
    assert_int_equal(d.out.n_sends, 0);
    half_owes_nothing(&d, HALF_UNSENT);
    assert_true(d.b.order.due_ms == TIME_NEVER);
    desk_checkback(&d, copy_at(2), 1);
    ENDED_WITH(&d, ANSWER_ROLLBACK, 2);
}

static void a_check_back_says_that_the_half_is_there(void **state)
{
    (void)state;
    struct desk d;
    desk_unheard(&d, POLICY_REVERSE);
    desk_checkback(&d, copy_at(2), 1);
    half_owes_nothing(&d, HALF_PENDING);
    desk_sent(&d, SEND_HALF, OUTCOME_DONE, copy_at(1)); // the word that was late: of an older copy
    assert_true(nothing_happened(&d));
    desk_cancel(&d, REASON_BUYER);
    ENDED_WITH(&d, ANSWER_COMMIT, 2);
}

// --- Check-backs

static void the_newest_copy_is_the_one_that_is_ended(void **state)
{
    (void)state;
    struct desk d;
    desk_pending(&d, POLICY_REVERSE);
    desk_checkback(&d, copy_at(5), 2);
    desk_checkback(&d, copy_at(3), 1); // it was delayed
    assert_int_equal(d.b.half.at.queue_offset, 5);
    assert_int_equal(d.b.half.n_checks, 2);
    struct half_at other = {"broker-b", 7, 0}; // it lives elsewhere now, and offsets there are others
    desk_checkback(&d, other, 3);
    desk_cancel(&d, REASON_BUYER);
    assert_string_equal(send_of(&d, SEND_END)->at.broker, "broker-b");
    desk_checkback(&d, copy_at(0), 4); // back again, with smaller ones
    assert_string_equal(send_of(&d, SEND_END)->at.broker, "broker-a");
}

// The broker may have made two, of a half message that it was sent twice; this may be the last time it asks.
static void an_older_copy_that_is_asked_about_is_rolled_back_beside_the_end_of_the_newest(void **state)
{
    (void)state;
    struct desk d;
    desk_pending(&d, POLICY_REVERSE);
    desk_checkback(&d, copy_at(5), 2);
    desk_cancel(&d, REASON_BUYER);
    ENDED_WITH(&d, ANSWER_COMMIT, 5);
    desk_checkback(&d, copy_at(3), 1);
    ENDED_WITH(&d, ANSWER_ROLLBACK, 3);
    assert_true(send_of(&d, SEND_END)->is_loose && send_of(&d, SEND_END)->from_check);
    assert_int_equal(half_answer(&d), ANSWER_ROLLBACK);
    assert_int_equal(d.b.half.owes, OWES_END); // of the newest, and its answer stays
    assert_int_equal(d.b.half.answer, ANSWER_COMMIT);
    desk_checkback(&d, copy_at(5), 3);
    ENDED_WITH(&d, ANSWER_COMMIT, 5);
}

static void a_copy_that_is_asked_about_after_its_end_is_rolled_back_and_nobody_waits(void **state)
{
    (void)state;
    for (enum policy p = POLICY_REVERSE; p <= POLICY_FORWARD; p++) {
        struct desk d;
        desk_pending(&d, p);
        if (p == POLICY_REVERSE)
            desk_cancel(&d, REASON_BUYER);
        else
            paid_now(&d);
        desk_sent(&d, SEND_END, OUTCOME_DONE, copy_at(1));
        for (unsigned i = 0; i < 2; i++) { // as often as it asks
            desk_checkback(&d, copy_at(2), 1);
            ENDED_WITH(&d, ANSWER_ROLLBACK, 2);
            assert_true(send_of(&d, SEND_END)->is_loose && send_of(&d, SEND_END)->from_check);
            assert_int_equal(half_answer(&d), ANSWER_ROLLBACK);
            assert_false(d.out.changed);
            half_owes_nothing(&d, HALF_ENDED);
        }
    }
}

static void a_policy_without_a_half_message_answers_no_check_back(void **state)
{
    (void)state;
    for (enum policy p = POLICY_DELAY; p <= POLICY_POLL; p++) {
        struct desk d;
        desk_pending(&d, p);
        desk_checkback(&d, copy_at(1), 1);
        assert_true(nothing_happened(&d));
        desk_cancel(&d, REASON_BUYER);
        desk_checkback(&d, copy_at(1), 1);
        assert_true(nothing_happened(&d));
        assert_int_equal(half_answer(&d), ANSWER_NONE);
    }
}

static void forward_that_is_closing_is_undecided_and_asks_nothing(void **state)
{
    (void)state;
    struct desk d;
    desk_pending(&d, POLICY_FORWARD);
    desk_due_at(&d, d.b.order.expires_ms);
    desk_checkback(&d, copy_at(2), 1);
    assert_int_equal(half_answer(&d), ANSWER_UNKNOWN);
    assert_int_equal(d.out.n_sends, 0);
    assert_int_equal(d.out.n_calls, 0);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
    ENDED_WITH(&d, ANSWER_ROLLBACK, 2);
}

static void under_the_fixed_schedule_each_check_back_asks_the_provider(void **state)
{
    (void)state;
    struct desk d;
    desk_pending(&d, POLICY_REVERSE);
    for (unsigned n = 1; n <= 3; n++) {
        d.now_ms += 7 * SECOND_MS;
        desk_checkback(&d, copy_at(n + 1), n);
        CALLED(&d, CALL_QUERY);
        assert_false(call_of(&d, CALL_QUERY)->on_demand);
        assert_int_equal(half_answer(&d), ANSWER_NONE); // the provider's answer says it
        desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
        assert_int_equal(half_answer(&d), ANSWER_UNKNOWN);
        assert_int_equal(d.b.order.n_checks, n);
    }
    d.now_ms = d.b.order.expires_ms - 10 * SECOND_MS; // no check of our own fits in any more
    desk_checkback(&d, copy_at(8), 7);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
    assert_true(d.b.order.check_ms == TIME_NEVER);
    d.now_ms += SECOND_MS;
    desk_checkback(&d, copy_at(9), 8);
    CALLED(&d, CALL_QUERY);
}

static void a_check_back_without_a_code_to_ask_about_is_answered_unknown(void **state)
{
    (void)state;
    for (enum schedule s = SCHEDULE_FIXED; s <= SCHEDULE_ADAPTIVE; s++) {
        struct desk d;
        desk_policy(&d, BROKER_REMOTE, POLICY_REVERSE);
        d.rules.checkback.schedule = s;
        desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
        desk_checkback(&d, copy_at(1), 1);
        assert_int_equal(d.out.n_calls, 0);
        assert_int_equal(half_answer(&d), ANSWER_UNKNOWN);
        half_owes_nothing(&d, HALF_PENDING);
        desk_code(&d, 0);
        desk_notice(&d, 0, FACT_PAID, PRICE_FEN + 1); // the wrong amount: another code is in the making
        d.now_ms = d.b.order.check_ms;
        desk_checkback(&d, copy_at(2), 2);
        assert_int_equal(d.out.n_calls, 0);
        assert_int_equal(half_answer(&d), ANSWER_UNKNOWN);
    }
}

static void the_adaptive_schedule_asks_when_a_check_is_due(void **state)
{
    (void)state;
    struct desk d;
    desk_pending(&d, POLICY_REVERSE);
    d.rules.checkback.schedule = SCHEDULE_ADAPTIVE;
    int64_t check_ms = d.b.order.check_ms;
    d.now_ms = check_ms - INTERVAL_MS / 2 - 1;
    desk_checkback(&d, copy_at(2), 1);
    assert_int_equal(d.out.n_calls, 0);
    assert_int_equal(half_answer(&d), ANSWER_UNKNOWN);
    d.now_ms++;
    desk_checkback(&d, copy_at(3), 2);
    CALLED(&d, CALL_QUERY);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
    desk_checkback(&d, copy_at(3), 2); // told twice
    assert_int_equal(d.out.n_calls, 0);
    d.now_ms = d.b.order.expires_ms - 2 * SECOND_MS;
    desk_checkback(&d, copy_at(4), 3);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
    assert_true(d.b.order.check_ms == TIME_NEVER);
    desk_checkback(&d, copy_at(5), 4);
    assert_int_equal(d.out.n_calls, 0);
}

static void where_the_broker_does_not_ask_the_engine_does_half_an_interval_later(void **state)
{
    (void)state;
    struct desk d;
    desk_pending(&d, POLICY_FORWARD);
    assert_int_equal(d.b.order.due_ms, d.b.order.check_ms + INTERVAL_MS / 2);
    desk_due_at(&d, d.b.order.due_ms - 1);
    assert_int_equal(d.out.n_calls, 0);
    desk_due(&d);
    CALLED(&d, CALL_QUERY);
    desk_pending(&d, POLICY_POLL); // no broker asks about these
    assert_int_equal(d.b.order.due_ms, d.b.order.check_ms);
    desk_policy(&d, BROKER_EMBEDDED, POLICY_FORWARD);
    desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
    desk_code(&d, 0);
    assert_int_equal(d.b.order.due_ms, d.b.order.check_ms);
}

// --- order.cancel comes round

static void closing_waits_for_order_cancel_to_come_round(void **state)
{
    (void)state;
    for (enum policy p = POLICY_DELAY; p <= POLICY_REVERSE; p++) {
        struct desk d;
        desk_policy(&d, BROKER_EMBEDDED, p);
        desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
        desk_code(&d, 0);
        desk_due_at(&d, d.b.order.expires_ms);
        ORDER_IS(&d, ORDER_CLOSING);
        assert_int_equal(d.out.n_calls, 0);
        d.now_ms += SECOND_MS;
        desk_received(&d);
        CALLED(&d, CALL_QUERY);
        desk_received(&d); // once more
        assert_true(nothing_happened(&d));
        desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
        ORDER_IS(&d, ORDER_CANCELLED);
        desk_received(&d); // and again, too late
        assert_true(nothing_happened(&d));
    }
}

static void without_it_the_engine_closes_by_itself(void **state)
{
    (void)state;
    struct desk d;
    desk_policy(&d, BROKER_EMBEDDED, POLICY_REVERSE);
    desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
    desk_code(&d, 0);
    desk_cancel(&d, REASON_BUYER);
    assert_int_equal(d.out.n_calls, 0);
    assert_int_equal(d.b.order.due_ms, d.now_ms + WAIT_MS);
    desk_due(&d);
    CALLED(&d, CALL_QUERY);
    desk_received(&d);
    assert_true(nothing_happened(&d));
}

static void who_does_not_wait_closes_at_once(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct desk d;
        desk_policy(&d, BROKER_EMBEDDED, i ? POLICY_FORWARD : POLICY_REVERSE);
        if (!i) d.rules.cancel_wait_ms = 0;
        desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
        desk_code(&d, 0);
        desk_cancel(&d, REASON_BUYER);
        CALLED(&d, CALL_QUERY);
        desk_received(&d);
        assert_true(nothing_happened(&d));
    }
}

// Its code may be scanned yet and is asked about when it is dead: a message that comes twice changes nothing of that.
static void order_cancel_that_comes_twice_does_not_ask_before_the_code_is_dead(void **state)
{
    (void)state;
    struct desk d;
    desk_policy(&d, BROKER_EMBEDDED, POLICY_REVERSE);
    desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
    desk_code(&d, 0);
    desk_cancel(&d, REASON_BUYER);
    desk_received(&d);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
    assert_int_equal(d.b.payment[0].due_ms, d.b.payment[0].expires_ms + GRACE_MS);
    desk_received(&d);
    assert_true(nothing_happened(&d));
}

static void order_cancel_of_a_window_that_is_over_closes_and_of_another_does_not(void **state)
{
    (void)state;
    struct desk d;
    desk_policy(&d, BROKER_EMBEDDED, POLICY_REVERSE);
    desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
    desk_code(&d, 0);
    d.now_ms = d.b.order.expires_ms - 1;
    desk_received(&d); // nobody said so
    assert_true(nothing_happened(&d));
    d.now_ms++;
    desk_received(&d);
    ORDER_IS(&d, ORDER_CLOSING);
    assert_int_equal(d.b.order.reason, REASON_TIMEOUT);
    CALLED(&d, CALL_QUERY);
}

static void a_paid_order_takes_order_cancel_and_stays_paid(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_received(&d);
    assert_true(nothing_happened(&d));
    assert_int_equal(d.out.n_traces, 1);
    ORDER_IS(&d, ORDER_PAID);
}

static void attempts_that_stay_watched_after_the_deadline_wait_for_it_too(void **state)
{
    (void)state;
    struct desk d;
    desk_policy(&d, BROKER_EMBEDDED, POLICY_REVERSE);
    d.rules.release = RELEASE_DEADLINE;
    desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
    desk_code(&d, 0);
    desk_due_at(&d, d.b.order.expires_ms);
    ORDER_IS(&d, ORDER_CANCELLED);
    assert_int_equal(d.out.n_calls, 0);
    desk_received(&d);
    CALLED(&d, CALL_QUERY);
}

// --- The sweep

static void the_sweep_does_what_is_overdue_and_nothing_else(void **state)
{
    (void)state;
    struct desk d;
    desk_waiting(&d);
    d.now_ms = d.b.order.due_ms - 1;
    desk_sweep(&d);
    assert_true(nothing_happened(&d));
    assert_int_equal(d.out.n_traces, 0);
    d.now_ms++;
    desk_sweep(&d);
    CALLED(&d, CALL_QUERY);
    assert_int_equal(d.out.traces[0].kind, TRACE_SWEEP);
    d.now_ms = d.b.order.expires_ms;
    desk_sweep(&d);
    ORDER_IS(&d, ORDER_CLOSING);
    desk_paid(&d);
    desk_sweep(&d);
    assert_true(nothing_happened(&d));
}

static void a_code_that_the_sweep_finds_dead_is_followed_by_another(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    desk_place(&d, CHANNEL_ALIPAY, 3 * HOUR_MS);
    desk_code(&d, 0);
    d.now_ms = d.b.payment[0].expires_ms;
    desk_sweep(&d);
    PAYMENT_IS(&d, 0, PAYMENT_CLOSING);
    assert_true(can_be_paid(&d));
}

static void the_sweep_says_again_what_the_broker_did_not_hear(void **state)
{
    (void)state;
    struct desk d;
    desk_pending(&d, POLICY_REVERSE);
    desk_cancel(&d, REASON_BUYER);
    d.now_ms = d.b.half.due_ms + HOUR_MS;
    desk_sweep(&d);
    ENDED_WITH(&d, ANSWER_COMMIT, 1);
}

// --- Another broker than the order was placed under

static void an_order_placed_under_the_embedded_broker_ends_under_another(void **state)
{
    (void)state;
    for (enum policy p = POLICY_DELAY; p <= POLICY_FORWARD; p++) {
        struct desk d;
        desk_policy(&d, BROKER_EMBEDDED, p);
        desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
        desk_code(&d, 0);
        d.rules.broker = BROKER_REMOTE;
        desk_check(&d); // the own check is another's now
        cancelled_now(&d);
        enum send_kind kind = p == POLICY_FORWARD ? SEND_SECOND : SEND_MAIN;
        assert_int_equal(d.b.half.state, HALF_ENDED); // a row that owes is a row
        desk_due_at(&d, d.b.half.due_ms);
        assert_int_equal(d.out.n_sends, 1);
        desk_sent(&d, kind, OUTCOME_DONE, copy_at(0));
        half_owes_nothing(&d, HALF_ENDED);
    }
}

static void the_lists_have_their_names(void **state)
{
    (void)state;
    assert_string_equal(topic_name(TOPIC_CANCEL), "till_order_cancel");
    assert_string_equal(topic_name(TOPIC_PAID), "till_order_paid");
    assert_string_equal(topic_name(TOPIC_EVENTS), "till_order_events");
    assert_string_equal(topic_name(TOPIC_DEAD), "%DLQ%till_cancel");
    assert_string_equal(topic_name(TOPIC_0), "?");
    assert_string_equal(message_type_name(MESSAGE_CANCEL), "order.cancel");
    assert_string_equal(message_type_name(MESSAGE_PAID), "order.paid");
    assert_string_equal(message_type_name(MESSAGE_CANCELLED), "order.cancelled");
    assert_string_equal(message_type_name(MESSAGE_TYPE_0), "?");
    static const char *const HALVES[] = {"none", "unsent", "pending", "ended", "?"};
    for (unsigned i = 0; i < 5; i++)
        assert_string_equal(half_state_name((enum half_state)i), HALVES[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delay_and_poll_and_reverse_keep_order_cancel_when_closing_begins),
        cmocka_unit_test(what_is_paid_in_time_is_told_by_forward_alone),
        cmocka_unit_test(forward_keeps_order_cancelled_when_the_order_leaves_closing),
        cmocka_unit_test(forward_paid_while_closing_is_told_as_paid),
        cmocka_unit_test(delay_and_poll_say_order_cancel_plainly_to_a_broker_elsewhere),
        cmocka_unit_test(the_half_message_is_opened_with_the_placing),
        cmocka_unit_test(reverse_commits_when_closing_begins_and_rolls_back_when_paid),
        cmocka_unit_test(forward_rolls_back_and_tells_the_cancellation_by_a_second_message),
        cmocka_unit_test(an_order_reopened_under_forward_is_told_plainly),
        cmocka_unit_test(a_rollback_that_is_still_on_its_way_stays_one_when_the_order_is_reopened),
        cmocka_unit_test(what_is_not_acknowledged_is_said_again),
        cmocka_unit_test(an_unknown_end_is_neither_done_nor_refused),
        cmocka_unit_test(what_was_told_is_not_told_again_by_a_late_word),
        cmocka_unit_test(a_commit_of_a_half_that_is_gone_is_replaced_by_a_plain_message),
        cmocka_unit_test(a_refusal_of_an_older_copy_says_nothing_of_the_newest),
        cmocka_unit_test(a_half_that_was_not_acknowledged_is_not_waited_for),
        cmocka_unit_test(a_half_that_is_acknowledged_after_the_decision_is_rolled_back),
        cmocka_unit_test(a_half_that_is_not_needed_any_more_is_no_longer_owed),
        cmocka_unit_test(a_check_back_says_that_the_half_is_there),
        cmocka_unit_test(the_newest_copy_is_the_one_that_is_ended),
        cmocka_unit_test(an_older_copy_that_is_asked_about_is_rolled_back_beside_the_end_of_the_newest),
        cmocka_unit_test(a_copy_that_is_asked_about_after_its_end_is_rolled_back_and_nobody_waits),
        cmocka_unit_test(a_policy_without_a_half_message_answers_no_check_back),
        cmocka_unit_test(forward_that_is_closing_is_undecided_and_asks_nothing),
        cmocka_unit_test(under_the_fixed_schedule_each_check_back_asks_the_provider),
        cmocka_unit_test(a_check_back_without_a_code_to_ask_about_is_answered_unknown),
        cmocka_unit_test(the_adaptive_schedule_asks_when_a_check_is_due),
        cmocka_unit_test(where_the_broker_does_not_ask_the_engine_does_half_an_interval_later),
        cmocka_unit_test(closing_waits_for_order_cancel_to_come_round),
        cmocka_unit_test(without_it_the_engine_closes_by_itself),
        cmocka_unit_test(who_does_not_wait_closes_at_once),
        cmocka_unit_test(order_cancel_that_comes_twice_does_not_ask_before_the_code_is_dead),
        cmocka_unit_test(order_cancel_of_a_window_that_is_over_closes_and_of_another_does_not),
        cmocka_unit_test(a_paid_order_takes_order_cancel_and_stays_paid),
        cmocka_unit_test(attempts_that_stay_watched_after_the_deadline_wait_for_it_too),
        cmocka_unit_test(the_sweep_does_what_is_overdue_and_nothing_else),
        cmocka_unit_test(a_code_that_the_sweep_finds_dead_is_followed_by_another),
        cmocka_unit_test(the_sweep_says_again_what_the_broker_did_not_hear),
        cmocka_unit_test(an_order_placed_under_the_embedded_broker_ends_under_another),
        cmocka_unit_test(the_lists_have_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
