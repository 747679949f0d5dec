// SPDX-License-Identifier: Apache-2.0
// The contract of port/broker.h, as a shop over it lives it: the same cases for every adapter.
#include "site.h"

static const struct adapter *adapter;

static int set_up(void **state)
{
    struct site *s = site_new(adapter);
    site_start(s);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    site_free(*state);
    return 0;
}

// Under a policy with a half message: until the broker keeps it.
static uint64_t place(struct site *s, enum policy policy)
{
    uint64_t key = site_place(s, policy);
    bool has_half = adapter->kind == BROKER_REMOTE && (policy == POLICY_REVERSE || policy == POLICY_FORWARD);
    if (has_half) UNTIL(s, site_bundle(s, key)->half.state == HALF_PENDING);
    return key;
}

static void end_window(struct site *s)
{
    site_advance(s, SITE_WINDOW_MS + 1);
}

static bool half_became(struct site *s, uint64_t key, enum message_answer answer)
{
    struct trace last = {0};
    return site_traces(s, key, TRACE_HALF, &last) == 2 && last.answer == answer;
}

// --- Waiting

static void an_order_that_waits_for_money_is_pending_and_asked_about(void **state)
{
    struct site *s = *state;
    struct trace trace;
    uint64_t key = place(s, POLICY_REVERSE);
    assert_int_equal(1, site_traces(s, key, TRACE_HALF, &trace));
    assert_int_equal(ANSWER_UNKNOWN, trace.answer);
    site_advance(s, 30000);
    UNTIL(s, site_traces(s, key, TRACE_CHECKBACK, &trace) >= 1);
    assert_int_equal(ANSWER_UNKNOWN, trace.answer);
    assert_true(s->n_queries >= 1);
    site_advance(s, 30000);
    UNTIL(s, site_traces(s, key, TRACE_CHECKBACK, NULL) >= 2);
    assert_int_equal(ORDER_AWAITING_PAYMENT, site_state(s, key));
    assert_int_equal(1, site_traces(s, key, TRACE_HALF, NULL)); // nothing is decided
    assert_int_equal(0, site_n_seen(s, TOPIC_CANCEL, key));
    assert_int_equal(0, site_received(s, key));
}

// --- reverse

static void paid_under_reverse_is_rolled_back_and_nothing_is_delivered(void **state)
{
    struct site *s = *state;
    uint64_t paid = place(s, POLICY_REVERSE), other = place(s, POLICY_REVERSE);
    site_pay(s, paid);
    UNTIL(s, half_became(s, paid, ANSWER_ROLLBACK));
    end_window(s);
    UNTIL(s, site_n_seen(s, TOPIC_CANCEL, other) == 1); // it would have come before this one
    assert_int_equal(0, site_n_seen(s, TOPIC_CANCEL, paid));
    assert_int_equal(0, site_received(s, paid));
    assert_int_equal(ORDER_PAID, site_state(s, paid));
}

static void a_window_that_is_over_delivers_order_cancel_and_its_receiver_closes(void **state)
{
    struct site *s = *state;
    uint64_t key = place(s, POLICY_REVERSE);
    end_window(s);
    UNTIL(s, site_state(s, key) == ORDER_CLOSING);
    unsigned queries = s->n_queries;
    UNTIL(s, site_received(s, key) == 1);
    UNTIL(s, site_state(s, key) == ORDER_CANCELLED); // nothing but the message asks the provider here
    assert_true(s->n_queries > queries);
    UNTIL(s, half_became(s, key, ANSWER_COMMIT));
    struct trace last;
    UNTIL(s, site_traces(s, key, TRACE_MESSAGE, &last) == 2);
    UNTIL(s, site_n_seen(s, TOPIC_CANCEL, key) == 1);
    assert_int_equal(1, site_received(s, key));
    assert_int_equal(REASON_TIMEOUT, site_bundle(s, key)->order.reason);
}

// --- At least once

static void received_by_a_process_that_died_it_is_delivered_again(void **state)
{
    struct site *s = *state;
    s->holds_received = true;
    uint64_t key = place(s, POLICY_REVERSE);
    end_window(s);
    UNTIL(s, site_received(s, key) == 1);
    assert_int_equal(ORDER_CLOSING, site_state(s, key));
    site_stop(s);
    s->holds_received = false;
    site_start(s);
    UNTIL(s, site_state(s, key) == ORDER_CANCELLED);
    assert_int_equal(2, site_received(s, key));
}

static void not_acknowledged_it_is_delivered_again(void **state)
{
    struct site *s = *state;
    s->holds_received = true;
    uint64_t key = place(s, POLICY_REVERSE);
    end_window(s);
    UNTIL(s, site_received(s, key) == 1);
    pthread_mutex_lock(&s->lock);
    s->holds_received = false;
    pthread_mutex_unlock(&s->lock);
    UNTIL(s, half_became(s, key, ANSWER_COMMIT)); // else the commit is said again, and delivers another copy
    site_advance(s, 60000);
    UNTIL(s, site_state(s, key) == ORDER_CANCELLED);
    assert_int_equal(2, site_received(s, key));
    assert_int_equal(1, s->received[0].received.n_times);
    assert_int_equal(2, s->received[1].received.n_times);
}

static void given_back_it_is_delivered_again_a_moment_later(void **state)
{
    struct site *s = *state;
    s->holds_received = true;
    uint64_t key = place(s, POLICY_REVERSE);
    end_window(s);
    UNTIL(s, site_received(s, key) == 1);
    pthread_mutex_lock(&s->lock);
    s->holds_received = false;
    pthread_mutex_unlock(&s->lock);
    s->broker->ops->acknowledge(s->broker, s->received[0].received.receipt, false, s->now_ms);
    site_advance(s, 1000);
    UNTIL(s, site_state(s, key) == ORDER_CANCELLED);
    assert_int_equal(2, site_received(s, key));
    assert_int_equal(2, s->received[1].received.n_times);
}

static void delivered_twice_it_cancels_once(void **state)
{
    struct site *s = *state;
    uint64_t key = place(s, POLICY_REVERSE);
    end_window(s);
    UNTIL(s, site_state(s, key) == ORDER_CANCELLED);
    struct order before = site_bundle(s, key)->order;
    struct broker_news again = s->received[0];
    again.received.n_times++;
    engine_post_news(s->engine, &again);
    UNTIL(s, engine_news_backlog(s->engine) == 0 && site_traces(s, key, TRACE_MESSAGE, NULL) == 3);
    struct order after = site_bundle(s, key)->order;
    assert_int_equal(before.version, after.version);
    assert_int_equal(before.sequence, after.sequence);
    assert_int_equal(before.cancelled_ms, after.cancelled_ms);
}

static void acknowledged_it_does_not_come_after_a_restart(void **state)
{
    struct site *s = *state;
    uint64_t key = place(s, POLICY_REVERSE), other = place(s, POLICY_REVERSE);
    end_window(s);
    UNTIL(s, site_state(s, key) == ORDER_CANCELLED && site_state(s, other) == ORDER_CANCELLED);
    UNTIL(s, site_traces(s, key, TRACE_MESSAGE, NULL) == 2 && site_traces(s, other, TRACE_MESSAGE, NULL) == 2);
    site_stop(s);
    site_start(s);
    uint64_t later = place(s, POLICY_REVERSE);
    end_window(s);
    UNTIL(s, site_state(s, later) == ORDER_CANCELLED); // behind it in the topic
    assert_int_equal(1, site_received(s, later));
    assert_int_equal(1, site_received(s, key));
    assert_int_equal(1, site_received(s, other));
}

// --- forward

static void paid_under_forward_delivers_order_paid_at_once(void **state)
{
    struct site *s = *state;
    uint64_t key = place(s, POLICY_FORWARD);
    site_pay(s, key);
    UNTIL(s, site_n_seen(s, TOPIC_PAID, key) == 1);
    UNTIL(s, half_became(s, key, ANSWER_COMMIT));
    struct seen seen[2];
    assert_int_equal(1, adapter->seen(s, TOPIC_PAID, key, seen, 2));
    assert_string_equal("order.paid", seen[0].tags);
    assert_int_equal(0, site_n_seen(s, TOPIC_CANCEL, key));
}

static void cancelled_under_forward_sends_order_cancelled_and_discards_the_half(void **state)
{
    struct site *s = *state;
    uint64_t key = place(s, POLICY_FORWARD);
    end_window(s);
    UNTIL(s, site_state(s, key) == ORDER_CANCELLED);
    UNTIL(s, half_became(s, key, ANSWER_ROLLBACK));
    UNTIL(s, site_n_seen(s, TOPIC_CANCEL, key) == 1);
    struct seen seen[2];
    assert_int_equal(1, adapter->seen(s, TOPIC_CANCEL, key, seen, 2));
    assert_string_equal("order.cancelled", seen[0].tags);
    uint64_t paid = place(s, POLICY_FORWARD);
    site_pay(s, paid);
    UNTIL(s, site_n_seen(s, TOPIC_PAID, paid) == 1);
    assert_int_equal(0, site_n_seen(s, TOPIC_PAID, key));
    assert_int_equal(0, site_received(s, key)); // the cancel receiver takes order.cancel only
}

// --- delay, poll

static void delay_and_poll_deliver_a_plain_order_cancel(void **state)
{
    struct site *s = *state;
    uint64_t keys[2] = {place(s, POLICY_DELAY), place(s, POLICY_POLL)}, paid = place(s, POLICY_DELAY);
    site_pay(s, paid);
    end_window(s);
    for (int i = 0; i < 2; i++) {
        UNTIL(s, site_state(s, keys[i]) == ORDER_CANCELLED);
        UNTIL(s, site_n_seen(s, TOPIC_CANCEL, keys[i]) == 1);
        struct seen seen[2];
        assert_int_equal(1, adapter->seen(s, TOPIC_CANCEL, keys[i], seen, 2));
        assert_string_equal("order.cancel", seen[0].tags);
        assert_int_equal(1, site_received(s, keys[i]));
        assert_int_equal(0, site_traces(s, keys[i], TRACE_HALF, NULL));
    }
    assert_int_equal(0, site_n_seen(s, TOPIC_CANCEL, paid));
}

// --- Facts, words

static uint32_t sequence_of(const char *body)
{
    const char *at = strstr(body, "\"sequence\":");
    assert_non_null(at);
    return (uint32_t)strtoul(at + strlen("\"sequence\":"), NULL, 10);
}

static void assert_events(struct site *s, uint64_t key, const char *const *types, unsigned n)
{
    struct seen seen[16];
    UNTIL(s, site_n_seen(s, TOPIC_EVENTS, key) >= n);
    assert_int_equal(n, adapter->seen(s, TOPIC_EVENTS, key, seen, 16));
    for (unsigned i = 0; i < n; i++) {
        assert_string_equal(types[i], seen[i].tags);
        assert_int_equal(i + 1, sequence_of(seen[i].body));
    }
}

static void the_facts_of_each_order_come_in_order(void **state)
{
    struct site *s = *state;
    static const char *const cancelled[] = {"order.placed", "order.awaiting_payment", "order.closing",
                                            "order.cancelled"};
    static const char *const paid[] = {"order.placed", "order.awaiting_payment", "order.paid"};
    uint64_t keys[8];
    for (int i = 0; i < 8; i++)
        keys[i] = site_place(s, (enum policy)(i % 4));
    for (int i = 0; i < 4; i++)
        site_pay(s, keys[i]);
    end_window(s);
    for (int i = 4; i < 8; i++)
        UNTIL(s, site_state(s, keys[i]) == ORDER_CANCELLED);
    for (int i = 0; i < 8; i++)
        assert_events(s, keys[i], i < 4 ? paid : cancelled, i < 4 ? 3 : 4);
}

static void assert_words(struct site *s, enum topic topic, uint64_t key, const char *type, const char *end)
{
    struct seen seen[16];
    char order[ID_TEXT_SIZE];
    struct buf expected = {0};
    unsigned n = adapter->seen(s, topic, key, seen, 16), i = 0;
    while (i < n && strcmp(seen[i].tags, type) != 0)
        i++;
    assert_true(i < n);
    id_format(s->store->secret, "ord_", key, order);
    buf_printf(&expected, "{\"id\":\"%s\",\"type\":\"%s\",\"order\":\"%s\",\"sequence\":%u,\"amount\":500%s}",
               seen[i].id, type, order, sequence_of(seen[i].body), end);
    assert_int_equal(strlen(seen[i].body), expected.n);
    assert_memory_equal(seen[i].body, expected.p, expected.n);
    buf_free(&expected);
    assert_memory_equal(topic == TOPIC_EVENTS ? "evt_" : "msg_", seen[i].id, 4);
}

static void the_words_are_the_same_on_every_broker(void **state)
{
    struct site *s = *state;
    uint64_t reverse = place(s, POLICY_REVERSE), delay = place(s, POLICY_DELAY), forward = place(s, POLICY_FORWARD),
             paid = place(s, POLICY_FORWARD);
    site_pay(s, paid);
    end_window(s);
    UNTIL(s, site_n_seen(s, TOPIC_CANCEL, reverse) == 1);
    UNTIL(s, site_n_seen(s, TOPIC_CANCEL, delay) == 1);
    UNTIL(s, site_n_seen(s, TOPIC_CANCEL, forward) == 1);
    UNTIL(s, site_n_seen(s, TOPIC_PAID, paid) == 1);
    UNTIL(s, site_n_seen(s, TOPIC_EVENTS, forward) == 4);
    UNTIL(s, site_n_seen(s, TOPIC_EVENTS, paid) == 3);
    // A half message at a broker elsewhere was written when nobody knew yet why it would be delivered.
    assert_words(s, TOPIC_CANCEL, reverse, "order.cancel",
                 adapter->kind == BROKER_REMOTE ? "" : ",\"reason\":\"timeout\"");
    assert_words(s, TOPIC_CANCEL, delay, "order.cancel", ",\"reason\":\"timeout\"");
    assert_words(s, TOPIC_CANCEL, forward, "order.cancelled", ",\"reason\":\"timeout\"");
    assert_words(s, TOPIC_PAID, paid, "order.paid", "");
    assert_words(s, TOPIC_EVENTS, paid, "order.paid", "");
    assert_words(s, TOPIC_EVENTS, forward, "order.cancelled", ",\"reason\":\"timeout\"");
}

// --- Restart

static void a_restart_in_the_middle_keeps_all_that_is_owed(void **state)
{
    struct site *s = *state;
    uint64_t waiting = site_place(s, POLICY_REVERSE), paid = site_place(s, POLICY_FORWARD),
             cancelled = site_place(s, POLICY_FORWARD); // with their half messages perhaps still on their way
    site_stop(s);
    site_start(s);
    site_pay(s, paid);
    site_stop(s);
    site_start(s);
    s->holds_received = true;
    end_window(s);
    UNTIL(s, site_state(s, waiting) == ORDER_CLOSING);
    site_stop(s);
    s->holds_received = false;
    site_start(s);
    site_advance(s, 10000); // the provider's answer was lost, too
    UNTIL(s, site_state(s, waiting) == ORDER_CANCELLED);
    UNTIL(s, site_state(s, cancelled) == ORDER_CANCELLED);
    UNTIL(s, site_n_seen(s, TOPIC_PAID, paid) >= 1);
    UNTIL(s, site_n_seen(s, TOPIC_CANCEL, waiting) >= 1);
    UNTIL(s, site_n_seen(s, TOPIC_CANCEL, cancelled) >= 1);
    UNTIL(s, site_n_seen(s, TOPIC_EVENTS, cancelled) == 4);
    UNTIL(s, site_bundle(s, paid)->half.owes == 0 && site_bundle(s, waiting)->half.owes == 0 &&
                 site_bundle(s, cancelled)->half.owes == 0);
    assert_int_equal(0, site_n_seen(s, TOPIC_PAID, cancelled));
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int broker_contract_run(const struct adapter *a)
{
    const struct CMUnitTest tests[] = {
        T(an_order_that_waits_for_money_is_pending_and_asked_about),
        T(paid_under_reverse_is_rolled_back_and_nothing_is_delivered),
        T(a_window_that_is_over_delivers_order_cancel_and_its_receiver_closes),
        T(received_by_a_process_that_died_it_is_delivered_again),
        T(not_acknowledged_it_is_delivered_again),
        T(given_back_it_is_delivered_again_a_moment_later),
        T(delivered_twice_it_cancels_once),
        T(acknowledged_it_does_not_come_after_a_restart),
        T(paid_under_forward_delivers_order_paid_at_once),
        T(cancelled_under_forward_sends_order_cancelled_and_discards_the_half),
        T(delay_and_poll_deliver_a_plain_order_cancel),
        T(the_facts_of_each_order_come_in_order),
        T(the_words_are_the_same_on_every_broker),
        T(a_restart_in_the_middle_keeps_all_that_is_owed),
    };
    adapter = a;
    return cmocka_run_group_tests_name(a->name, tests, NULL, NULL);
}
