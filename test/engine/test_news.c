// SPDX-License-Identifier: Apache-2.0
// What the broker says and is told, on its way through a turn.
#include "fakes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
// after the above:
#include <cmocka.h>

#define WINDOW_MS 300000
#define WAIT_MS   5000

static const struct rules EMBEDDED = {.close_grace_ms = 30000,
                                      .checkback = {.first_ms = 30000, .interval_ms = 30000},
                                      .broker = BROKER_EMBEDDED,
                                      .cancel_wait_ms = WAIT_MS,
                                      .call_deadline_ms = 5000,
                                      .code_min_life_ms = 60000,
                                      .code_max_life_ms = 7200000,
                                      .refund_query_ms = 10000};

static int set_up_embedded(void **state)
{
    *state = world_new_with_broker(&EMBEDDED);
    return *state ? 0 : -1;
}

static int set_up_remote(void **state)
{
    struct rules remote = EMBEDDED;
    remote.broker = BROKER_REMOTE;
    *state = world_new_with_broker(&remote);
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    world_free(*state);
    return 0;
}

static void reply_free(struct request *r)
{
    buf_free(&r->reply.body);
    free(r);
}

static uint64_t place(struct world *w, enum channel_id channel, enum policy policy)
{
    struct request *r = place_request(channel);
    r->place.policy = policy;
    world_post(w, r);
    assert_int_equal(TURN_DONE, world_turn(w, 0));
    if (channel == CHANNEL_ALIPAY) {
        struct answer a = answer_of(w, OUTCOME_DONE, FACT_CODE);
        engine_post_answer(w->engine, &a);
        assert_int_equal(TURN_DONE, world_turn(w, 0));
    }
    assert_ptr_equal(r, w->last_reply);
    reply_free(r);
    return w->orders[w->n_orders - 1].bundle.order.key;
}

static struct bundle *bundle_of(struct world *w, uint64_t key)
{
    for (unsigned i = 0; i < w->n_orders; i++)
        if (w->orders[i].bundle.order.key == key) return &w->orders[i].bundle;
    fail_msg("no such order");
    return NULL;
}

static struct half_at at_offset(int64_t offset)
{
    return (struct half_at){.broker = "a", .commit_log_offset = offset, .queue_offset = offset};
}

static struct broker_news received(uint64_t order_key, uint64_t receipt, uint32_t n_times)
{
    return (struct broker_news){
        .kind = BROKER_RECEIVED, .order_key = order_key, .received = {.receipt = receipt, .n_times = n_times}};
}

static struct broker_news checked(uint64_t order_key, uint32_t n)
{
    return (struct broker_news){
        .kind = BROKER_CHECK, .order_key = order_key, .checkback = {.at = at_offset(n), .n = n}};
}

static struct broker_news sent(uint64_t order_key, enum send_kind kind, enum outcome outcome)
{
    return (struct broker_news){
        .kind = BROKER_SENT, .order_key = order_key, .sent = {.kind = kind, .outcome = outcome, .at = at_offset(1)}};
}

// One whose window is over and whose order.cancel is on its way.
static uint64_t closing(struct world *w)
{
    uint64_t key = place(w, CHANNEL_ALIPAY, POLICY_REVERSE);
    world_turn(w, WINDOW_MS);
    assert_int_equal(ORDER_CLOSING, bundle_of(w, key)->order.state);
    while (engine_next_ms(w->engine) <= w->now_ms) // timers of what it owed before
        world_turn(w, 0);
    return key;
}

static struct request *cancel(struct world *w, uint64_t key)
{
    struct request *r = order_request(REQUEST_CANCEL, key);
    world_post(w, r);
    return r;
}

// --- The law

static void a_message_is_shown_after_the_commit_and_replies_and_events_go_before_it(void **state)
{
    struct world *w = *state;
    uint64_t closes = closing(w), other = place(w, CHANNEL_ALIPAY, POLICY_REVERSE);
    world_say(w, received(closes, 1, 1));
    struct request *r = cancel(w, other);
    world_turn(w, 1);
    assert_string_equal("AKRECBT", w->log); // acknowledged, replied, told; closes asks its provider, other's message
    assert_int_equal(CALL_QUERY, w->last_call.method);
    assert_int_equal(other, w->broker.last_shown.message.order_key);
    reply_free(r);
}

static void what_is_shown_is_the_row_that_was_committed(void **state)
{
    struct world *w = *state;
    uint64_t key = closing(w);
    const struct message_row *row = &w->broker.last_shown;
    assert_int_equal(1, w->broker.n_shown);
    assert_int_equal(CHANGE_ORDER, w->last_change.kind);
    assert_int_equal(w->last_change.first_message_key, row->key);
    assert_int_equal(w->last_change.at_ms, row->at_ms);
    assert_int_equal(TOPIC_CANCEL, row->message.topic);
    assert_int_equal(MESSAGE_CANCEL, row->message.type);
    assert_int_equal(key, row->message.order_key);
    assert_int_equal(REASON_TIMEOUT, row->message.reason);
    assert_int_equal(1, engine_stats(w->engine)->messages);
}

static void a_half_message_is_submitted_after_the_commit_and_the_broker_is_told_of_events(void **state)
{
    struct world *w = *state;
    struct request *r = place_request(CHANNEL_ALIPAY);
    world_post(w, r);
    world_turn(w, 0);
    assert_string_equal("AEOBCT", w->log);
    assert_int_equal(SEND_HALF, w->broker.last_send.kind);
    assert_int_equal(w->orders[0].bundle.order.key, w->broker.last_send.message.order_key);
    assert_int_equal(w->last_change.first_event_key + w->last_change.step->n_events - 1, w->broker.last_event_key);
    engine_free(w->engine);
    w->engine = NULL;
    reply_free(r);
}

static void a_refused_commit_shows_nothing_and_gives_what_was_received_back(void **state)
{
    struct world *w = *state;
    uint64_t closes = closing(w), other = place(w, CHANNEL_ALIPAY, POLICY_REVERSE);
    unsigned shown = w->broker.n_shown;
    w->outcome = STORE_REFUSED;
    world_say(w, received(closes, 7, 1));
    world_say(w, received(99, 8, 1)); // of nobody: all the same, nothing of this turn is done
    struct request *r = cancel(w, other);
    world_turn(w, 1);
    assert_string_equal("AGGRT", w->log);
    assert_int_equal(503, w->last_status);
    assert_int_equal(shown, w->broker.n_shown);
    assert_int_equal(7, w->broker.acks[0]);
    assert_false(w->broker.is_done[0]);
    reply_free(r);
    w->outcome = STORE_DONE; // and the message comes again
    world_say(w, received(closes, 7, 2));
    world_turn(w, 1000);
    assert_string_equal("AKCT", w->log);
}

static void a_refused_commit_submits_nothing_and_the_row_says_it_later(void **state)
{
    struct world *w = *state;
    uint64_t key = place(w, CHANNEL_ANY, POLICY_REVERSE);
    unsigned sends = w->broker.n_sends;
    world_say(w, sent(key, SEND_HALF, OUTCOME_DONE));
    w->outcome = STORE_REFUSED;
    world_turn(w, 1);
    assert_string_equal("AT", w->log);
    assert_int_equal(HALF_UNSENT, bundle_of(w, key)->half.state);
    assert_true(engine_is_idle(w->engine));
    w->outcome = STORE_DONE;
    world_turn(w, 10000); // its answer was lost, so it is asked for again
    assert_int_equal(sends + 1, w->broker.n_sends);
    assert_int_equal(SEND_HALF, w->broker.last_send.kind);
}

static void an_unknown_commit_lets_nothing_out_and_frees_what_it_held(void **state)
{
    struct world *w = *state;
    uint64_t key = closing(w);
    w->outcome = STORE_UNKNOWN;
    world_say(w, received(key, 1, 1));
    world_say(w, received(key, 2, 1));
    assert_int_equal(TURN_FATAL, world_turn(w, 1));
    assert_string_equal("A", w->log);
    assert_int_equal(0, w->broker.n_acks);
}

static void rows_that_cannot_be_read_acknowledge_nothing(void **state)
{
    struct world *w = *state;
    w->load_fails = true;
    world_say(w, received(5, 1, 1));
    world_say(w, checked(6, 1));
    assert_int_equal(TURN_FATAL, world_turn(w, 0));
    assert_string_equal("", w->log);
}

// --- Consumed

static void what_is_consumed_is_written_last_in_the_same_commit(void **state)
{
    struct world *w = *state;
    uint64_t one = closing(w), two = closing(w);
    w->broker.up_to = 4711;
    world_say(w, received(one, 1, 1));
    world_say(w, received(two, 2, 1));
    world_say(w, checked(one, 1)); // another kind is no receipt; and it waits for its order
    world_turn(w, 1);
    assert_int_equal(3, w->n_kinds);
    assert_int_equal(CHANGE_CONSUMED, w->kinds[2]);
    assert_int_equal(CONSUMER_CANCEL, w->last_change.consumer);
    assert_int_equal(4711, w->last_change.consumed_key);
    assert_int_equal(2, w->broker.n_asked);
}

static void what_is_passed_over_is_written_with_any_commit(void **state)
{
    struct world *w = *state;
    struct request *first = place_request(CHANNEL_ANY), *second = place_request(CHANNEL_ANY);
    w->broker.up_to = 815;
    world_post(w, first);
    world_turn(w, 1);
    assert_int_equal(CHANGE_CONSUMED, w->last_change.kind);
    assert_int_equal(815, w->last_change.consumed_key);
    assert_int_equal(0, w->broker.n_asked);
    w->broker.up_to = 0;
    world_post(w, second);
    world_turn(w, 1);
    assert_int_equal(CHANGE_ORDER, w->last_change.kind);
    buf_free(&first->reply.body);
    buf_free(&second->reply.body);
    free(first);
    free(second);
}

static void what_changes_nothing_is_acknowledged_without_a_commit(void **state)
{
    struct world *w = *state;
    world_say(w, received(12345, 1, 1));
    world_turn(w, 0);
    assert_string_equal("KT", w->log);
    assert_true(w->broker.is_done[0]);
}

static void what_was_published_is_remembered(void **state)
{
    struct world *w = *state;
    world_say(w, (struct broker_news){.kind = BROKER_PUBLISHED, .published_key = 99});
    world_turn(w, 0);
    assert_string_equal("AT", w->log);
    assert_int_equal(1, w->n_kinds);
    assert_int_equal(CHANGE_CONSUMED, w->last_change.kind);
    assert_int_equal(CONSUMER_OUTBOX, w->last_change.consumer);
    assert_int_equal(99, w->last_change.consumed_key);
}

// --- Orders that are not ours

static void an_order_nobody_knows_is_never_decided(void **state)
{
    struct world *w = *state;
    world_say(w, checked(12345, 1));
    world_say(w, checked(12345, 2));
    world_say(w, sent(777, SEND_HALF, OUTCOME_DONE));
    world_say(w, received(888, 3, 1));
    assert_true(engine_post_overdue(w->engine, 999));
    world_turn(w, 0);
    world_turn(w, 0);
    assert_int_equal(0, w->n_applied);
    assert_int_equal(0, w->broker.n_sends);
    assert_int_equal(2, engine_stats(w->engine)->checks_unknown);
    assert_int_equal(1, engine_stats(w->engine)->received_unknown);
    assert_int_equal(1, w->broker.n_acks);
    assert_int_equal(3, w->broker.acks[0]);
    assert_true(w->broker.is_done[0]);
    assert_int_equal(0, engine_news_backlog(w->engine));
}

// --- Conflicts

static void a_conflict_puts_what_was_received_off_and_then_does_it(void **state)
{
    struct world *w = *state;
    uint64_t key = closing(w);
    w->result = APPLY_CONFLICT;
    world_say(w, received(key, 1, 1));
    world_turn(w, 1);
    assert_string_equal("AT", w->log); // neither acknowledged nor given back
    assert_int_equal(1, engine_news_backlog(w->engine));
    assert_int_equal(0, engine_next_ms(w->engine));
    world_turn(w, 0);
    assert_string_equal("AKCT", w->log);
    assert_int_equal(0, engine_news_backlog(w->engine));
}

static void a_conflict_that_never_ends_gives_what_was_received_back(void **state)
{
    struct world *w = *state;
    uint64_t key = closing(w);
    world_say(w, received(key, 1, 1));
    for (int i = 0; i < 8; i++) {
        w->result = APPLY_CONFLICT;
        world_turn(w, 0);
        assert_string_equal("AT", w->log);
    }
    w->result = APPLY_CONFLICT;
    world_turn(w, 0);
    assert_string_equal("AGT", w->log);
    assert_int_equal(0, engine_news_backlog(w->engine));
    world_turn(w, 0);
    assert_string_equal("T", w->log);
}

static void an_outcome_that_met_too_many_conflicts_is_heard_again_later(void **state)
{
    struct world *w = *state;
    uint64_t key = place(w, CHANNEL_ANY, POLICY_REVERSE);
    unsigned sends = w->broker.n_sends;
    world_say(w, sent(key, SEND_HALF, OUTCOME_DONE));
    for (int i = 0; i < 9; i++) {
        w->result = APPLY_CONFLICT;
        world_turn(w, 0);
    }
    world_turn(w, 0);
    assert_string_equal("T", w->log);
    assert_int_equal(0, engine_news_backlog(w->engine));
    world_turn(w, 10000);
    assert_int_equal(sends + 1, w->broker.n_sends);
}

// --- Deliveries

static void the_seventeenth_delivery_is_a_dead_letter(void **state)
{
    struct world *w = *state;
    uint64_t key = closing(w);
    uint32_t version = bundle_of(w, key)->order.version;
    w->broker.up_to = 3;
    world_say(w, received(key, 1, DELIVERIES_MAX + 1));
    world_turn(w, 1);
    assert_string_equal("AKT", w->log);
    assert_int_equal(2, w->n_kinds);
    assert_int_equal(CHANGE_DEAD, w->kinds[0]);
    assert_int_equal(CHANGE_CONSUMED, w->kinds[1]);
    assert_int_equal(version, bundle_of(w, key)->order.version);
    assert_int_equal(1, engine_stats(w->engine)->dead);
    world_turn(w, WAIT_MS); // the order closes without it
    assert_int_equal(CALL_QUERY, w->last_call.method);
}

static void the_sixteenth_is_taken_like_the_first(void **state)
{
    struct world *w = *state;
    uint64_t key = closing(w);
    world_say(w, received(key, 1, DELIVERIES_MAX));
    world_turn(w, 1);
    assert_string_equal("AKCT", w->log);
    assert_int_equal(0, engine_stats(w->engine)->dead);
}

static void a_dead_letter_of_nobody_is_kept_too(void **state)
{
    struct world *w = *state;
    w->broker.up_to = 5;
    world_say(w, received(12345, 1, 40));
    world_turn(w, 1);
    assert_string_equal("AKT", w->log);
    assert_int_equal(CHANGE_DEAD, w->kinds[0]);
}

static void a_dead_letter_says_what_the_order_says(void **state)
{
    struct world *w = *state;
    uint64_t key = closing(w);
    const struct order o = bundle_of(w, key)->order;
    world_say(w, received(key, 1, DELIVERIES_MAX + 1));
    w->broker.base.ops = &(struct broker_ops){.acknowledge = w->broker.base.ops->acknowledge}; // no CONSUMED behind it
    world_turn(w, 1);
    assert_int_equal(CHANGE_DEAD, w->last_change.kind);
    assert_true(w->last_change.first_message_key > 0);
    assert_int_equal(TOPIC_DEAD, w->last_change.dead.topic);
    assert_int_equal(MESSAGE_CANCEL, w->last_change.dead.type);
    assert_int_equal(key, w->last_change.dead.order_key);
    assert_int_equal(o.sequence, w->last_change.dead.sequence);
    assert_int_equal(o.amount_fen, w->last_change.dead.amount_fen);
    assert_int_equal(REASON_TIMEOUT, w->last_change.dead.reason);
}

// POP has no dead letters: whoever receives must end it.
static void what_a_broker_elsewhere_delivers_for_ever_is_a_dead_letter_too(void **state)
{
    struct world *w = *state;
    uint64_t key = closing(w);
    world_say(w, received(key, 1, 40));
    world_turn(w, 1);
    assert_int_equal(1, engine_stats(w->engine)->dead);
    assert_int_equal(CHANGE_DEAD, w->last_change.kind);
    assert_string_equal("AKT", w->log);
}

// --- The sweep

// The store owes something that no timer knows of.
static void forget_timer(struct world *w, uint64_t key, int64_t overdue_ms)
{
    bundle_of(w, key)->order.due_ms = w->now_ms - overdue_ms;
    bundle_of(w, key)->order.check_ms = w->now_ms - overdue_ms;
}

static void an_order_the_timers_forgot_is_done_when_the_sweep_finds_it(void **state)
{
    struct world *w = *state;
    uint64_t key = place(w, CHANNEL_ALIPAY, POLICY_POLL);
    unsigned calls = w->n_calls;
    forget_timer(w, key, 10000);
    world_turn(w, 0);
    assert_int_equal(calls, w->n_calls); // nobody knows
    assert_true(engine_post_overdue(w->engine, key));
    assert_int_equal(1, engine_news_backlog(w->engine));
    assert_false(engine_is_idle(w->engine));
    world_turn(w, 0);
    assert_string_equal("ACT", w->log);
    assert_int_equal(CALL_QUERY, w->last_call.method);
    assert_int_equal(1, engine_stats(w->engine)->swept);
    assert_int_equal(0, w->broker.n_acks); // there is nobody to acknowledge to
    assert_int_equal(TRACE_SWEEP, w->last_change.step->traces[0].kind);
    assert_true(engine_next_ms(w->engine) <= bundle_of(w, key)->order.due_ms); // and its next deadline is armed
}

static void a_sweep_that_finds_what_is_done_already_writes_nothing(void **state)
{
    struct world *w = *state;
    uint64_t key = place(w, CHANNEL_ALIPAY, POLICY_POLL);
    assert_true(engine_post_overdue(w->engine, key));
    world_turn(w, 0);
    assert_string_equal("T", w->log);
    assert_int_equal(0, engine_stats(w->engine)->swept);
}

static void what_the_sweep_found_and_the_store_refused_is_not_counted_as_swept(void **state)
{
    struct world *w = *state;
    uint64_t key = place(w, CHANNEL_ALIPAY, POLICY_POLL);
    forget_timer(w, key, 10000);
    w->outcome = STORE_REFUSED;
    assert_true(engine_post_overdue(w->engine, key));
    world_turn(w, 0);
    assert_int_equal(0, engine_stats(w->engine)->swept);
    w->outcome = STORE_DONE;
    w->result = APPLY_CONFLICT;
    assert_true(engine_post_overdue(w->engine, key));
    world_turn(w, 0);
    assert_int_equal(0, engine_stats(w->engine)->swept);
    world_turn(w, 0);
    assert_int_equal(1, engine_stats(w->engine)->swept);
}

// --- The archive

static void an_archived_order_is_forgotten_by_a_change_that_says_what_was_copied(void **state)
{
    struct world *w = *state;
    uint64_t key = place(w, CHANNEL_ALIPAY, POLICY_POLL);
    unsigned calls = w->n_calls;
    assert_true(engine_post_archived(w->engine, &(struct order_mark){key, 7, 99}));
    assert_int_equal(1, engine_news_backlog(w->engine));
    world_turn(w, 0);
    assert_string_equal("AT", w->log);
    assert_int_equal(CHANGE_ARCHIVED, w->last_change.kind);
    assert_int_equal(key, w->last_change.archived.key);
    assert_int_equal(7, w->last_change.archived.version);
    assert_int_equal(99, w->last_change.archived.last_trace_key);
    assert_int_equal(1, engine_stats(w->engine)->archived);
    assert_int_equal(calls, w->n_calls);
    assert_int_equal(0, w->broker.n_acks);
}

// The archiver finds it again; said once more it would be as wrong as before.
static void one_that_was_touched_since_is_not_tried_again(void **state)
{
    struct world *w = *state;
    uint64_t key = place(w, CHANNEL_ALIPAY, POLICY_POLL);
    unsigned applied = w->n_applied;
    w->result = APPLY_CONFLICT;
    assert_true(engine_post_archived(w->engine, &(struct order_mark){key, 7, 99}));
    for (int i = 0; i < 3; i++)
        world_turn(w, 0);
    assert_int_equal(applied + 1, w->n_applied);
    assert_int_equal(0, engine_news_backlog(w->engine));
    w->outcome = STORE_REFUSED;
    assert_true(engine_post_archived(w->engine, &(struct order_mark){key, 7, 99}));
    for (int i = 0; i < 3; i++)
        world_turn(w, 0);
    assert_int_equal(applied + 2, w->n_applied);
    assert_int_equal(0, engine_stats(w->engine)->archived);
}

// --- One order once per turn

static void an_order_hears_one_thing_a_turn(void **state)
{
    struct world *w = *state;
    uint64_t key = closing(w);
    unsigned replies = w->n_replies;
    struct request *r = order_request(REQUEST_CHECK, key);
    world_say(w, received(key, 1, 1));
    world_post(w, r);
    world_turn(w, 1);
    assert_string_equal("AKCT", w->log); // the message alone
    assert_int_equal(replies, w->n_replies);
    assert_int_equal(1, engine_backlog(w->engine));
    world_turn(w, 0);
    assert_string_equal("ACT", w->log); // the check alone: another question
    assert_int_equal(0, engine_backlog(w->engine));
    struct answer a = answer_of(w, OUTCOME_DONE, FACT_PAID);
    engine_post_answer(w->engine, &a);
    world_turn(w, 1);
    assert_int_equal(replies + 1, w->n_replies);
    reply_free(r);
}

static void news_of_one_order_are_heard_in_their_order(void **state)
{
    struct world *w = *state;
    uint64_t key = place(w, CHANNEL_ANY, POLICY_REVERSE);
    for (uint32_t n = 1; n <= 5; n++)
        world_say(w, checked(key, n));
    for (uint32_t n = 1; n <= 5; n++) {
        world_turn(w, 0);
        assert_int_equal(n, bundle_of(w, key)->half.n_checks);
        assert_int_equal(n, bundle_of(w, key)->half.at.queue_offset);
    }
    assert_int_equal(0, engine_news_backlog(w->engine));
}

// The newest copy of a half message is the only one that can be ended, so an older one heard last would be wrong.
static void a_burst_keeps_the_order_of_each(void **state)
{
    struct world *w = *state;
    enum { ORDERS = 70, EACH = 4 };
    uint64_t keys[ORDERS];
    uint32_t heard[ORDERS] = {0};
    for (int i = 0; i < ORDERS; i++)
        keys[i] = place(w, CHANNEL_ANY, POLICY_REVERSE);
    // The first three of an order at once, the last one behind everything else.
    for (int i = 0; i < ORDERS; i++)
        for (uint32_t n = 1; n < EACH; n++)
            world_say(w, checked(keys[i], n));
    for (int i = 0; i < ORDERS; i++)
        world_say(w, checked(keys[i], EACH));
    for (int turns = 0; engine_news_backlog(w->engine) > 0; turns++) {
        assert_true(turns < ORDERS * EACH);
        world_turn(w, 0);
        for (int i = 0; i < ORDERS; i++) {
            uint32_t n = bundle_of(w, keys[i])->half.n_checks;
            assert_true(n == heard[i] || n == heard[i] + 1);
            heard[i] = n;
        }
    }
    for (int i = 0; i < ORDERS; i++)
        assert_int_equal(EACH, heard[i]);
}

static void a_conflict_does_not_let_the_next_one_overtake(void **state)
{
    struct world *w = *state;
    uint64_t key = place(w, CHANNEL_ANY, POLICY_REVERSE);
    world_say(w, checked(key, 1));
    world_say(w, checked(key, 2));
    w->result = APPLY_CONFLICT;
    world_turn(w, 0);
    assert_int_equal(0, bundle_of(w, key)->half.n_checks);
    world_turn(w, 0);
    assert_int_equal(1, bundle_of(w, key)->half.n_checks);
    world_turn(w, 0);
    assert_int_equal(2, bundle_of(w, key)->half.n_checks);
}

static void many_news_of_one_order_keep_no_other_waiting(void **state)
{
    struct world *w = *state;
    uint64_t busy = place(w, CHANNEL_ANY, POLICY_REVERSE), other = place(w, CHANNEL_ANY, POLICY_REVERSE);
    for (uint32_t n = 1; n <= 300; n++)
        world_say(w, checked(busy, n));
    world_say(w, checked(other, 1));
    world_turn(w, 0);
    assert_int_equal(1, bundle_of(w, busy)->half.n_checks);
    assert_int_equal(1, bundle_of(w, other)->half.n_checks);
    assert_int_equal(299, engine_news_backlog(w->engine));
}

static void news_have_their_share_beside_all_else(void **state)
{
    struct world *w = *state;
    enum { MANY = 300 };
    struct request *r[MANY];
    for (int i = 0; i < MANY; i++)
        place(w, CHANNEL_ALIPAY, POLICY_POLL); // their first check-backs come due together
    for (int i = 0; i < MANY; i++) {
        world_post(w, r[i] = place_request(CHANNEL_ANY));
        struct answer a = answer_of(w, OUTCOME_DONE, FACT_CODE);
        engine_post_answer(w->engine, &a);
        world_say(w, checked((uint64_t)i + 1, 1)); // of nobody
    }
    unsigned replies = w->n_replies, calls = w->n_calls;
    world_turn(w, 30000);
    assert_int_equal(MANY - 64, engine_news_backlog(w->engine));
    assert_true(w->n_replies > replies);
    assert_true(w->n_calls > calls);
    for (int turns = 0; engine_news_backlog(w->engine) > 0; turns++) {
        assert_true(turns < MANY);
        world_turn(w, 0);
    }
    assert_int_equal(MANY, engine_stats(w->engine)->checks_unknown);
    while (engine_backlog(w->engine) > 0)
        world_turn(w, 0);
    for (int i = 0; i < MANY; i++)
        reply_free(r[i]);
}

// --- What is on its way

static void a_send_without_its_outcome_is_work_under_way(void **state)
{
    struct world *w = *state;
    uint64_t key = place(w, CHANNEL_ANY, POLICY_REVERSE);
    assert_false(engine_is_idle(w->engine));
    world_say(w, sent(key, SEND_HALF, OUTCOME_DONE));
    assert_false(engine_is_idle(w->engine)); // it is in the inbox
    world_turn(w, 0);
    assert_true(engine_is_idle(w->engine));
    assert_int_equal(HALF_PENDING, bundle_of(w, key)->half.state);
    assert_int_equal(1, engine_stats(w->engine)->sends[SEND_HALF][OUTCOME_DONE]);
}

static void a_send_that_found_no_room_is_sent_later(void **state)
{
    struct world *w = *state;
    w->broker.is_full = true;
    uint64_t key = place(w, CHANNEL_ANY, POLICY_REVERSE);
    assert_int_equal(0, w->broker.n_sends);
    assert_true(engine_is_idle(w->engine)); // no answer will come
    w->broker.is_full = false;
    world_turn(w, bundle_of(w, key)->half.due_ms - w->now_ms);
    assert_int_equal(1, w->broker.n_sends);
    assert_int_equal(SEND_HALF, w->broker.last_send.kind);
}

static void the_outcome_of_a_loose_end_decides_nothing(void **state)
{
    struct world *w = *state;
    uint64_t key = place(w, CHANNEL_ANY, POLICY_REVERSE);
    world_say(w, sent(key, SEND_HALF, OUTCOME_DONE));
    world_turn(w, 0);
    world_turn(w, WINDOW_MS); // decided: its end goes out
    assert_int_equal(SEND_END, w->broker.last_send.kind);
    assert_int_equal(ANSWER_COMMIT, w->broker.last_send.answer);
    struct broker_news loose = sent(key, SEND_END, OUTCOME_REFUSED);
    loose.sent.is_loose = true;
    world_say(w, loose);
    world_turn(w, 0);
    assert_string_equal("T", w->log);
    assert_true(bundle_of(w, key)->half.owes & OWES_END);
}

static void an_undecided_check_is_counted_under_its_policy_and_ends_nothing(void **state)
{
    struct world *w = *state;
    uint64_t key = place(w, CHANNEL_ANY, POLICY_FORWARD);
    world_say(w, sent(key, SEND_HALF, OUTCOME_DONE));
    world_turn(w, 0);
    unsigned sends = w->broker.n_sends;
    world_say(w, checked(key, 1));
    world_turn(w, 0);
    assert_string_equal("AT", w->log);
    assert_int_equal(sends, w->broker.n_sends);
    assert_int_equal(1, engine_stats(w->engine)->checkbacks[POLICY_FORWARD][ANSWER_UNKNOWN]);
}

static void the_broker_is_looked_at_when_it_wants_to_be(void **state)
{
    struct world *w = *state;
    w->broker.next_ms = w->now_ms + 123;
    world_turn(w, 0);
    assert_int_equal(w->now_ms + 123, engine_next_ms(w->engine));
    w->broker.next_ms = INT64_MAX;
    world_turn(w, 123);
    assert_int_equal(INT64_MAX, engine_next_ms(w->engine));
}

static void an_engine_that_ends_frees_the_news_it_had(void **state)
{
    struct world *w = *state;
    uint64_t key = closing(w);
    for (uint32_t i = 0; i < 200; i++)
        world_say(w, received(key, i, 1));
    world_turn(w, 0); // one is done, some were put off, some not taken; and one more comes
    assert_int_equal(1, w->broker.n_acks);
    world_say(w, checked(key, 1));
    assert_true(engine_post_overdue(w->engine, key));
    assert_int_equal(201, engine_news_backlog(w->engine));
    engine_free(w->engine);
    w->engine = NULL;
    assert_int_equal(1, w->broker.n_acks); // what was not done is not said to be
}

#define E(name) cmocka_unit_test_setup_teardown(name, set_up_embedded, tear_down)
#define R(name) cmocka_unit_test_setup_teardown(name, set_up_remote, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        E(a_message_is_shown_after_the_commit_and_replies_and_events_go_before_it),
        E(what_is_shown_is_the_row_that_was_committed),
        R(a_half_message_is_submitted_after_the_commit_and_the_broker_is_told_of_events),
        E(a_refused_commit_shows_nothing_and_gives_what_was_received_back),
        R(a_refused_commit_submits_nothing_and_the_row_says_it_later),
        E(an_unknown_commit_lets_nothing_out_and_frees_what_it_held),
        R(rows_that_cannot_be_read_acknowledge_nothing),
        E(what_is_consumed_is_written_last_in_the_same_commit),
        E(what_is_passed_over_is_written_with_any_commit),
        E(what_changes_nothing_is_acknowledged_without_a_commit),
        R(what_was_published_is_remembered),
        R(an_order_nobody_knows_is_never_decided),
        E(a_conflict_puts_what_was_received_off_and_then_does_it),
        E(a_conflict_that_never_ends_gives_what_was_received_back),
        R(an_outcome_that_met_too_many_conflicts_is_heard_again_later),
        E(the_seventeenth_delivery_is_a_dead_letter),
        E(the_sixteenth_is_taken_like_the_first),
        E(a_dead_letter_of_nobody_is_kept_too),
        E(a_dead_letter_says_what_the_order_says),
        R(what_a_broker_elsewhere_delivers_for_ever_is_a_dead_letter_too),
        E(an_order_the_timers_forgot_is_done_when_the_sweep_finds_it),
        E(a_sweep_that_finds_what_is_done_already_writes_nothing),
        E(what_the_sweep_found_and_the_store_refused_is_not_counted_as_swept),
        E(an_archived_order_is_forgotten_by_a_change_that_says_what_was_copied),
        E(one_that_was_touched_since_is_not_tried_again),
        E(an_order_hears_one_thing_a_turn),
        R(news_of_one_order_are_heard_in_their_order),
        R(a_burst_keeps_the_order_of_each),
        R(a_conflict_does_not_let_the_next_one_overtake),
        R(many_news_of_one_order_keep_no_other_waiting),
        R(news_have_their_share_beside_all_else),
        R(a_send_without_its_outcome_is_work_under_way),
        R(a_send_that_found_no_room_is_sent_later),
        R(the_outcome_of_a_loose_end_decides_nothing),
        R(an_undecided_check_is_counted_under_its_policy_and_ends_nothing),
        E(the_broker_is_looked_at_when_it_wants_to_be),
        E(an_engine_that_ends_frees_the_news_it_had),
    };
    return cmocka_run_group_tests_name("engine news", tests, NULL, NULL);
}
