// SPDX-License-Identifier: Apache-2.0
// The contract's part about messages: half messages at a broker elsewhere, what the embedded broker delivered, and how
// far it was consumed.
#include "contract_inside.h"
#include <stdio.h>

static void assert_half_equal(const struct half *a, const struct half *b)
{
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->answer, b->answer);
    assert_int_equal(a->owes, b->owes);
    assert_int_equal(a->n_checks, b->n_checks);
    assert_int_equal(a->tries, b->tries);
    assert_int_equal(a->main_sequence, b->main_sequence);
    assert_int_equal(a->second_sequence, b->second_sequence);
    assert_int_equal(a->due_ms, b->due_ms);
    assert_memory_equal(&a->at, &b->at, sizeof a->at);
}

static void assert_message_equal(const struct message *a, const struct message *b)
{
    assert_int_equal(a->topic, b->topic);
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->order_key, b->order_key);
    assert_int_equal(a->sequence, b->sequence);
    assert_int_equal(a->amount_fen, b->amount_fen);
    assert_int_equal(a->reason, b->reason);
}

static unsigned messages(enum topic topic, uint64_t after_key, struct message_row *rows, unsigned max)
{
    struct message_row again[16];
    unsigned n;
    assert_true(max <= 16);
    int from_store = shop.s->ops->messages(shop.s, topic, after_key, rows, max);
    assert_true(from_store >= 0);
    assert_true(reader->ops->messages(reader, topic, after_key, again, max, &n));
    assert_int_equal(n, from_store); // the engine and the readers see the same
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(again[i].key, rows[i].key);
        assert_int_equal(again[i].at_ms, rows[i].at_ms);
        assert_message_equal(&again[i].message, &rows[i].message);
    }
    return n;
}

static uint64_t consumed(enum consumer consumer)
{
    uint64_t key = 12345;
    assert_true(shop.s->ops->consumed(shop.s, consumer, &key));
    return key;
}

static struct change consumes(enum consumer consumer, uint64_t key)
{
    return (struct change){.kind = CHANGE_CONSUMED, .at_ms = ++shop.now_ms, .consumer = consumer, .consumed_key = key};
}

static struct change dead_letter(uint64_t key, uint64_t order_key)
{
    return (struct change){.kind = CHANGE_DEAD,
                           .at_ms = ++shop.now_ms,
                           .first_message_key = key,
                           .dead = {.topic = TOPIC_DEAD,
                                    .type = MESSAGE_CANCEL,
                                    .order_key = order_key,
                                    .sequence = 3,
                                    .amount_fen = 100,
                                    .reason = REASON_TIMEOUT}};
}

// A change that was decided from rows which somebody changed since. Nothing of it is ever taken.
static struct change stale(uint64_t order_key)
{
    static const struct step step = {.changed = true};
    struct bundle *b = shop_bundle(&shop, order_key);
    b->order.version += 2;
    return (struct change){.kind = CHANGE_ORDER, .at_ms = shop.now_ms, .bundle = b, .step = &step};
}

static enum store_outcome apply(struct change *c, unsigned n)
{
    return shop.s->ops->apply(shop.s, c, n, &shop.a);
}

// --- Half messages

static void a_half_message_comes_back_with_its_order(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 10);
    shop.rules.broker = BROKER_REMOTE;
    struct placing *p = shop_prepare(&shop, CHANNEL_ANY, LINES(LINE("A", 1)));
    assert_int_equal(shop_apply(&shop, &p->change), APPLY_DONE);
    shop.policy = POLICY_DELAY;
    uint64_t key = p->bundle.order.key, other = shop_place(&shop, CHANNEL_ANY, "A", 1);
    for (int round = 0; round < 2; round++) {
        struct bundle *b = shop_bundle(&shop, key);
        assert_int_equal(b->half.state, HALF_UNSENT);
        assert_int_equal(b->half.owes, OWES_HALF);
        assert_half_equal(&b->half, &p->bundle.half);
        assert_int_equal(shop_bundle(&shop, other)->half.state, HALF_NONE);
        contract_reopen();
    }
    struct want w = {.kind = WANT_MERCHANT_NO, .text = STR("none")};
    assert_true(shop.s->ops->load(shop.s, &w, 1, &shop.a));
    assert_false(w.found);
}

static void a_half_message_comes_back_with_an_attempt_too(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 10);
    shop.rules.broker = BROKER_REMOTE;
    uint64_t key = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    struct want w = {.kind = WANT_PAYMENT, .key = shop_bundle(&shop, key)->payment[0].key};
    assert_true(shop.s->ops->load(shop.s, &w, 1, &shop.a));
    assert_true(w.found);
    assert_half_equal(&w.bundle->half, &shop_bundle(&shop, key)->half);
    assert_int_equal(w.bundle->half.state, HALF_UNSENT);
}

static void each_later_half_replaces_the_earlier_whole(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 10);
    shop.rules.broker = BROKER_REMOTE;
    uint64_t key = shop_place(&shop, CHANNEL_ANY, "A", 1);
    struct half_at at = {.commit_log_offset = INT64_MAX, .queue_offset = INT64_MAX - 1};
    memset(at.broker, 'b', BROKER_NAME_SIZE - 1); // the longest there can be
    struct event e = {.kind = EV_SENT, .sent = {SEND_HALF, OUTCOME_DONE, at}};
    assert_int_equal(shop_event(&shop, key, e), APPLY_DONE);
    struct half h = shop_bundle(&shop, key)->half;
    assert_int_equal(h.state, HALF_PENDING);
    assert_memory_equal(&h.at, &at, sizeof at);
    assert_int_equal(h.due_ms, TIME_NEVER);
    struct half_at newer = {.broker = "c", .commit_log_offset = 5, .queue_offset = 6};
    e = (struct event){.kind = EV_CHECKBACK, .checkback = {newer, 4000000000u}};
    assert_int_equal(shop_event(&shop, key, e), APPLY_DONE);
    contract_reopen();
    h = shop_bundle(&shop, key)->half;
    assert_memory_equal(&h.at, &newer, sizeof newer); // nothing of the longer name is left
    assert_true(h.n_checks == 4000000000u);
    shop_event(&shop, key, (struct event){.kind = EV_CANCEL, .cancel = {REASON_BUYER}});
    h = shop_bundle(&shop, key)->half;
    assert_int_equal(h.answer, ANSWER_COMMIT);
    assert_int_equal(h.owes, OWES_END);
    assert_true(h.due_ms < TIME_NEVER);
}

static void what_a_half_message_owes_is_due_with_its_order(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 10);
    shop.rules.broker = BROKER_REMOTE;
    uint64_t key = shop_place(&shop, CHANNEL_ANY, "A", 1);
    shop_event(&shop, key, (struct event){.kind = EV_CANCEL, .cancel = {REASON_BUYER}});
    assert_int_equal(shop_bundle(&shop, key)->order.state, ORDER_CANCELLED); // and its message is still owed
    contract_reopen();
    struct due_row row;
    assert_int_equal(shop.s->ops->dues(shop.s, 0, &row, 1), 1);
    assert_int_equal(row.order_key, key);
    assert_int_equal(row.due_ms, shop_bundle(&shop, key)->half.due_ms);
    unsigned n;
    assert_true(reader->ops->dues(reader, 0, &row, 1, &n));
    assert_int_equal(n, 1);
}

// --- Messages

static void messages_come_in_order_topic_by_topic(void **state)
{
    (void)state;
    struct message_row rows[16];
    shop_sku(&shop, "A", 100, 100);
    for (int t = TOPIC_CANCEL; t < N_TOPICS; t++)
        assert_int_equal(messages((enum topic)t, 0, rows, 16), 0);
    uint64_t one = shop_place(&shop, CHANNEL_ANY, "A", 1);
    shop.policy = POLICY_FORWARD;
    uint64_t two = shop_place(&shop, CHANNEL_ALIPAY, "A", 2), three = shop_place(&shop, CHANNEL_ALIPAY, "A", 3);
    shop_cancel(&shop, two);
    shop_cancel(&shop, one);
    shop_pay(&shop, three, 300);
    contract_reopen();
    assert_int_equal(messages(TOPIC_CANCEL, 0, rows, 16), 2);
    assert_true(rows[0].key < rows[1].key);
    assert_int_equal(rows[0].message.topic, TOPIC_CANCEL);
    assert_int_equal(rows[0].message.type, MESSAGE_CANCELLED);
    assert_int_equal(rows[0].message.order_key, two);
    assert_int_equal(rows[0].message.amount_fen, 200);
    assert_int_equal(rows[0].message.reason, REASON_TIMEOUT);
    assert_int_equal(rows[0].message.sequence, shop_bundle(&shop, two)->order.sequence);
    assert_int_equal(rows[0].at_ms, shop_bundle(&shop, two)->order.cancelled_ms);
    assert_int_equal(rows[1].message.type, MESSAGE_CANCEL);
    assert_int_equal(rows[1].message.order_key, one);
    uint64_t first = rows[0].key, second = rows[1].key;
    assert_int_equal(messages(TOPIC_CANCEL, first, rows, 16), 1);
    assert_int_equal(rows[0].key, second);
    assert_int_equal(messages(TOPIC_CANCEL, 0, rows, 1), 1);
    assert_int_equal(rows[0].key, first);
    assert_int_equal(messages(TOPIC_CANCEL, second, rows, 16), 0);
    assert_int_equal(messages(TOPIC_PAID, 0, rows, 16), 1);
    assert_int_equal(rows[0].message.type, MESSAGE_PAID);
    assert_int_equal(rows[0].message.order_key, three);
    assert_int_equal(rows[0].message.reason, REASON_NONE);
    assert_int_equal(messages(TOPIC_DEAD, 0, rows, 16), 0);
}

static void messages_are_in_the_commit_of_what_they_tell_or_not_at_all(void **state)
{
    (void)state;
    struct message_row row;
    shop_sku(&shop, "A", 100, 100);
    uint64_t key = shop_place(&shop, CHANNEL_ANY, "A", 1);
    struct bundle *b = shop_bundle(&shop, key);
    struct step step;
    struct event e = {.kind = EV_CANCEL, .now_ms = ++shop.now_ms, .fresh_key = 1, .cancel = {REASON_BUYER}};
    core_step(&shop.rules, b, &e, &step);
    assert_int_equal(step.n_messages, 1);
    uint64_t keys = keygen_take(&shop.keys, shop.now_ms, 32);
    struct change c = {.kind = CHANGE_ORDER,
                       .at_ms = shop.now_ms,
                       .bundle = b,
                       .step = &step,
                       .first_event_key = keys,
                       .first_trace_key = keys + 8,
                       .first_message_key = keys + 16};
    b->order.version += 2; // somebody was faster
    assert_int_equal(shop_apply(&shop, &c), APPLY_CONFLICT);
    assert_int_equal(messages(TOPIC_CANCEL, 0, &row, 1), 0);
    b->order.version--;
    assert_int_equal(shop_apply(&shop, &c), APPLY_DONE);
    assert_int_equal(messages(TOPIC_CANCEL, 0, &row, 1), 1);
    assert_int_equal(row.key, keys + 16);
    contract_reopen();
    assert_true(shop.s->last_key >= keys + 16); // nobody is given its key again
}

static void a_dead_letter_is_kept_beside_the_topics(void **state)
{
    (void)state;
    struct message_row row;
    uint64_t key = keygen_take(&shop.keys, ++shop.now_ms, 1);
    struct change c = dead_letter(key, 77);
    assert_int_equal(shop_apply(&shop, &c), APPLY_DONE);
    contract_reopen();
    assert_int_equal(messages(TOPIC_DEAD, 0, &row, 1), 1);
    assert_int_equal(row.key, key);
    assert_int_equal(row.at_ms, c.at_ms);
    assert_message_equal(&row.message, &c.dead);
    assert_int_equal(messages(TOPIC_CANCEL, 0, &row, 1), 0);
    assert_true(shop.s->last_key >= key);
}

// --- Consumed

static void what_is_consumed_is_remembered_and_never_goes_back(void **state)
{
    (void)state;
    assert_int_equal(consumed(CONSUMER_CANCEL), 0);
    assert_int_equal(consumed(CONSUMER_OUTBOX), 0);
    struct change c = consumes(CONSUMER_CANCEL, 50);
    assert_int_equal(shop_apply(&shop, &c), APPLY_DONE);
    c = consumes(CONSUMER_CANCEL, 49);
    assert_int_equal(shop_apply(&shop, &c), APPLY_DONE); // nothing to do
    c = consumes(CONSUMER_CANCEL, 0);
    assert_int_equal(shop_apply(&shop, &c), APPLY_DONE);
    assert_int_equal(consumed(CONSUMER_CANCEL), 50);
    assert_int_equal(consumed(CONSUMER_OUTBOX), 0);
    c = consumes(CONSUMER_OUTBOX, 7);
    assert_int_equal(shop_apply(&shop, &c), APPLY_DONE);
    contract_reopen();
    assert_int_equal(consumed(CONSUMER_CANCEL), 50);
    assert_int_equal(consumed(CONSUMER_OUTBOX), 7);
}

static void nothing_is_consumed_when_something_before_it_was_not_taken(void **state)
{
    (void)state;
    struct message_row row;
    shop_sku(&shop, "A", 100, 100);
    uint64_t order = shop_place(&shop, CHANNEL_ANY, "A", 1), key = keygen_take(&shop.keys, ++shop.now_ms, 1);
    struct change batch[] = {dead_letter(key, 5), stale(order), consumes(CONSUMER_CANCEL, 9),
                             consumes(CONSUMER_OUTBOX, 3)};
    assert_int_equal(apply(batch, 4), STORE_DONE);
    assert_int_equal(batch[0].result, APPLY_DONE);
    assert_int_equal(batch[1].result, APPLY_CONFLICT);
    assert_int_not_equal(batch[2].result, APPLY_DONE);
    assert_int_equal(batch[3].result, APPLY_DONE); // what was published is no matter of this turn's
    assert_int_equal(consumed(CONSUMER_CANCEL), 0);
    assert_int_equal(consumed(CONSUMER_OUTBOX), 3);
    assert_int_equal(messages(TOPIC_DEAD, 0, &row, 1), 1);
}

static void what_comes_after_it_does_not_matter(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 100);
    struct change batch[] = {consumes(CONSUMER_CANCEL, 9), stale(shop_place(&shop, CHANNEL_ANY, "A", 1))};
    assert_int_equal(apply(batch, 2), STORE_DONE);
    assert_int_equal(batch[0].result, APPLY_DONE);
    assert_int_equal(batch[1].result, APPLY_CONFLICT);
    assert_int_equal(consumed(CONSUMER_CANCEL), 9);
}

// A change that breaks a rule of the store makes it apply the batch again, one by one. The same must hold there.
static void the_same_holds_when_a_change_breaks_a_rule_of_the_store(void **state)
{
    (void)state;
    struct message_row rows[4];
    uint64_t key = keygen_take(&shop.keys, ++shop.now_ms, 4);
    struct change first = dead_letter(key, 5);
    assert_int_equal(shop_apply(&shop, &first), APPLY_DONE);
    struct change batch[] = {dead_letter(key + 1, 6),      consumes(CONSUMER_CANCEL, 4), dead_letter(key, 7),
                             consumes(CONSUMER_CANCEL, 9), consumes(CONSUMER_OUTBOX, 2), dead_letter(key + 2, 8)};
    assert_int_equal(apply(batch, 6), STORE_DONE);
    assert_int_equal(batch[0].result, APPLY_DONE);
    assert_int_equal(batch[1].result, APPLY_DONE);
    assert_int_equal(batch[2].result, APPLY_CONFLICT); // a key that was given twice
    assert_int_not_equal(batch[3].result, APPLY_DONE);
    assert_int_equal(batch[4].result, APPLY_DONE);
    assert_int_equal(batch[5].result, APPLY_DONE);
    contract_reopen();
    assert_int_equal(consumed(CONSUMER_CANCEL), 4);
    assert_int_equal(consumed(CONSUMER_OUTBOX), 2);
    assert_int_equal(messages(TOPIC_DEAD, 0, rows, 4), 3);
    assert_int_equal(rows[0].message.order_key, 5);
    assert_int_equal(rows[1].message.order_key, 6);
    assert_int_equal(rows[2].message.order_key, 8);
}

// --- The half message on the timeline

static unsigned timeline(uint64_t key, struct trace_row rows[64])
{
    unsigned n;
    assert_true(reader->ops->timeline(reader, key, rows, 64, &n, &shop.a));
    for (unsigned i = 1; i < n; i++)
        assert_true(rows[i].at_ms >= rows[i - 1].at_ms);
    return n;
}

// The order's half message, as "answer@state" of the state it came with: "UNKNOWN@placed COMMIT@closing".
static void assert_half_story(uint64_t key, const char *story)
{
    static const char *const answers[] = {"", "UNKNOWN", "COMMIT", "ROLLBACK"};
    struct trace_row rows[64];
    char told[256] = "";
    unsigned n = timeline(key, rows);
    const char *state = "";
    for (unsigned i = 0; i < n; i++) {
        if (rows[i].trace.kind == TRACE_STATE) state = order_state_name(rows[i].to);
        if (rows[i].trace.kind != TRACE_HALF) continue;
        size_t len = strlen(told);
        (void)snprintf(told + len, sizeof told - len, "%s%s@%s", len ? " " : "", answers[rows[i].trace.answer], state);
        assert_int_equal(rows[i - 1].trace.kind, TRACE_STATE); // right behind it, at the same instant
        assert_int_equal(rows[i - 1].at_ms, rows[i].at_ms);
        assert_int_equal(rows[i].to, ORDER_STATE_0);
    }
    assert_string_equal(story, told);
}

static uint64_t awaiting(enum policy policy)
{
    shop.policy = policy;
    uint64_t key = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    shop_code(&shop, key);
    return key;
}

static void paid_after_closing_began(uint64_t key)
{
    shop_event(&shop, key, (struct event){.kind = EV_CANCEL, .cancel = {REASON_TIMEOUT}});
    assert_int_equal(shop_bundle(&shop, key)->order.state, ORDER_CLOSING);
    shop_pay(&shop, key, 100);
    assert_int_equal(shop_bundle(&shop, key)->order.state, ORDER_PAID);
}

static void paid_after_the_end(uint64_t key)
{
    shop.rules.late_payment = LATE_REOPEN;
    shop_cancel(&shop, key);
    shop_pay(&shop, key, 100);
    assert_int_equal(shop_bundle(&shop, key)->order.state, ORDER_PAID);
}

static void paid_in_time(uint64_t key)
{
    shop_pay(&shop, key, 100);
}

static void never_paid(uint64_t key)
{
    shop_cancel(&shop, key);
}

static void the_timeline_tells_what_became_of_the_half_message(void **state)
{
    (void)state;
    static const struct {
        enum policy policy;
        void (*life)(uint64_t key);
        const char *story;
    } cases[] = {
        {POLICY_REVERSE, paid_in_time, "UNKNOWN@placed ROLLBACK@paid"},
        {POLICY_REVERSE, never_paid, "UNKNOWN@placed COMMIT@closing"},
        {POLICY_REVERSE, paid_after_closing_began, "UNKNOWN@placed COMMIT@closing"},
        {POLICY_REVERSE, paid_after_the_end, "UNKNOWN@placed COMMIT@closing"},
        {POLICY_FORWARD, paid_in_time, "UNKNOWN@placed COMMIT@paid"},
        {POLICY_FORWARD, never_paid, "UNKNOWN@placed ROLLBACK@cancelled"},
        {POLICY_FORWARD, paid_after_closing_began, "UNKNOWN@placed COMMIT@paid"},
        {POLICY_FORWARD, paid_after_the_end, "UNKNOWN@placed ROLLBACK@cancelled"},
        {POLICY_DELAY, paid_in_time, ""},
        {POLICY_DELAY, never_paid, ""},
        {POLICY_POLL, paid_in_time, ""},
        {POLICY_POLL, never_paid, ""},
    };
    shop_sku(&shop, "A", 100, 100);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        shop.rules.late_payment = LATE_REFUND;
        uint64_t key = awaiting(cases[i].policy);
        cases[i].life(key);
        assert_half_story(key, cases[i].story);
    }
}

static void at_a_broker_elsewhere_it_tells_only_what_that_broker_said(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 100);
    shop.rules.broker = BROKER_REMOTE;
    shop.policy = POLICY_REVERSE;
    uint64_t key = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    assert_half_story(key, ""); // it has not said yet that it has it
    shop_cancel(&shop, key);
    struct trace_row rows[64];
    unsigned n = timeline(key, rows);
    for (unsigned i = 0; i < n; i++)
        assert_int_not_equal(rows[i].trace.kind, TRACE_HALF);
    uint64_t other = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    struct half_at at = {.broker = "a", .commit_log_offset = 1, .queue_offset = 1};
    shop_event(&shop, other, (struct event){.kind = EV_SENT, .sent = {SEND_HALF, OUTCOME_DONE, at}});
    shop_pay(&shop, other, 100);
    shop_event(&shop, other, (struct event){.kind = EV_SENT, .sent = {SEND_END, OUTCOME_DONE, at}});
    n = timeline(other, rows);
    unsigned n_halves = 0;
    for (unsigned i = 0; i < n; i++) {
        if (rows[i].trace.kind != TRACE_HALF) continue;
        assert_int_equal(rows[i].trace.answer, n_halves++ ? ANSWER_ROLLBACK : ANSWER_UNKNOWN);
    }
    assert_int_equal(n_halves, 2); // each once, by the traces
}

static void a_short_timeline_keeps_the_newest_halves(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 100);
    uint64_t key = awaiting(POLICY_FORWARD);
    shop_cancel(&shop, key);
    struct trace_row all[64], few[64];
    unsigned n = timeline(key, all), m;
    for (unsigned max = 1; max <= n; max++) {
        assert_true(reader->ops->timeline(reader, key, few, max, &m, &shop.a));
        assert_int_equal(m, max);
        for (unsigned i = 0; i < max; i++) {
            assert_int_equal(few[i].key, all[n - max + i].key);
            assert_int_equal(few[i].trace.kind, all[n - max + i].trace.kind);
        }
    }
}

int contract_run_messages(const char *adapter)
{
    const struct CMUnitTest tests[] = {
        TEST(a_half_message_comes_back_with_its_order),
        TEST(a_half_message_comes_back_with_an_attempt_too),
        TEST(each_later_half_replaces_the_earlier_whole),
        TEST(what_a_half_message_owes_is_due_with_its_order),
        TEST(messages_come_in_order_topic_by_topic),
        TEST(messages_are_in_the_commit_of_what_they_tell_or_not_at_all),
        TEST(a_dead_letter_is_kept_beside_the_topics),
        TEST(what_is_consumed_is_remembered_and_never_goes_back),
        TEST(nothing_is_consumed_when_something_before_it_was_not_taken),
        TEST(what_comes_after_it_does_not_matter),
        TEST(the_same_holds_when_a_change_breaks_a_rule_of_the_store),
        TEST(the_timeline_tells_what_became_of_the_half_message),
        TEST(at_a_broker_elsewhere_it_tells_only_what_that_broker_said),
        TEST(a_short_timeline_keeps_the_newest_halves),
    };
    return cmocka_run_group_tests_name(adapter, tests, NULL, NULL);
}
