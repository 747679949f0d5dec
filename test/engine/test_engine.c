// SPDX-License-Identifier: Apache-2.0
// The engine without threads, sockets or real time.
#include "fakes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
// after the above:
#include <cmocka.h>

static const struct rules RULES = {.close_grace_ms = 30000,
                                   .checkback = {.first_ms = 30000, .interval_ms = 30000},
                                   .call_deadline_ms = 5000,
                                   .code_min_life_ms = 60000,
                                   .code_max_life_ms = 7200000,
                                   .refund_query_ms = 10000};

static int setup(void **state)
{
    *state = world_new(&RULES);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

static void reply_free(struct request *r)
{
    buf_free(&r->reply.body);
    free(r);
}

// An order whose code is out: placed, answered by the channel, replied.
static uint64_t order_awaiting(struct world *w)
{
    struct request *r = place_request(CHANNEL_ALIPAY);
    world_post(w, r);
    assert_int_equal(TURN_DONE, world_turn(w, 0));
    struct answer a = answer_of(w, OUTCOME_DONE, FACT_CODE);
    engine_post_answer(w->engine, &a);
    assert_int_equal(TURN_DONE, world_turn(w, 5));
    assert_ptr_equal(r, w->last_reply);
    reply_free(r);
    return w->orders[w->n_orders - 1].bundle.order.key;
}

static void reply_and_event_and_call_leave_after_the_commit_in_this_order(void **state)
{
    struct world *w = *state;
    struct request *any = place_request(CHANNEL_ANY), *alipay = place_request(CHANNEL_ALIPAY);
    world_post(w, any);
    world_post(w, alipay);
    world_turn(w, 0);
    assert_string_equal("ARECT", w->log); // the alipay placing waits for its code
    reply_free(any);
    engine_free(w->engine);
    w->engine = NULL;
    assert_int_equal(503, w->last_status);
    reply_free(alipay);
}

static void nothing_leaves_when_the_commit_is_unknown(void **state)
{
    struct world *w = *state;
    struct request *r = place_request(CHANNEL_ANY);
    w->outcome = STORE_UNKNOWN;
    world_post(w, r);
    assert_int_equal(TURN_FATAL, world_turn(w, 0));
    assert_string_equal("A", w->log);
    assert_int_equal(0, w->n_replies);
    free(r); // the process would have ended
}

static void nothing_leaves_when_rows_cannot_be_read(void **state)
{
    struct world *w = *state;
    struct request *r = order_request(REQUEST_CANCEL, 7);
    w->load_fails = true;
    world_post(w, r);
    assert_int_equal(TURN_FATAL, world_turn(w, 0));
    assert_string_equal("", w->log);
    free(r);
}

static void a_full_disk_answers_503_and_the_deadline_comes_again(void **state)
{
    struct world *w = *state;
    order_awaiting(w);
    w->outcome = STORE_REFUSED;
    struct request *r = place_request(CHANNEL_ANY);
    world_post(w, r);
    world_turn(w, 30000); // and the first check-back is due
    assert_int_equal(503, w->last_status);
    assert_string_equal("store_refused", w->last_code);
    assert_string_equal("ART", w->log);
    reply_free(r);
    w->outcome = STORE_DONE;
    unsigned calls = w->n_calls;
    world_turn(w, 1000);
    assert_int_equal(calls + 1, w->n_calls);
    assert_int_equal(CALL_QUERY, w->last_call.method);
}

static void what_arrives_together_commits_together(void **state)
{
    struct world *w = *state;
    struct request *r[100];
    for (int i = 0; i < 100; i++)
        world_post(w, r[i] = place_request(CHANNEL_ANY));
    assert_int_equal(100, engine_backlog(w->engine));
    world_turn(w, 0);
    assert_int_equal(1, w->n_applied);
    assert_int_equal(100, w->n_changes);
    assert_int_equal(100, w->n_replies);
    assert_int_equal(0, engine_backlog(w->engine));
    for (int i = 0; i < 100; i++)
        reply_free(r[i]);
}

static void an_order_takes_part_once_per_turn(void **state)
{
    struct world *w = *state;
    uint64_t key = order_awaiting(w);
    unsigned before = w->n_replies;
    struct request *first = order_request(REQUEST_CANCEL, key), *second = order_request(REQUEST_CANCEL, key);
    world_post(w, first);
    world_post(w, second);
    world_turn(w, 1);
    assert_int_equal(before + 1, w->n_replies);
    assert_ptr_equal(first, w->last_reply);
    assert_int_equal(1, engine_backlog(w->engine));
    world_turn(w, 0);
    assert_int_equal(before + 2, w->n_replies);
    assert_ptr_equal(second, w->last_reply);
    assert_int_equal(200, w->last_status);
    reply_free(first);
    reply_free(second);
}

static void a_placing_waits_for_its_code(void **state)
{
    struct world *w = *state;
    struct request *r = place_request(CHANNEL_ALIPAY);
    world_post(w, r);
    world_turn(w, 0);
    assert_int_equal(0, w->n_replies);
    struct answer a = answer_of(w, OUTCOME_DONE, FACT_CODE);
    engine_post_answer(w->engine, &a);
    world_turn(w, 100);
    assert_int_equal(1, w->n_replies);
    assert_int_equal(201, w->last_status);
    assert_memory_equal("awaiting_payment v2", r->reply.body.p, r->reply.body.n);
    reply_free(r);
}

static void a_placing_is_answered_placed_when_the_code_takes_too_long(void **state)
{
    struct world *w = *state;
    struct request *r = place_request(CHANNEL_ALIPAY);
    world_post(w, r);
    world_turn(w, 0);
    assert_int_equal(w->now_ms + 3000, engine_next_ms(w->engine));
    world_turn(w, 2999);
    assert_int_equal(0, w->n_replies);
    world_turn(w, 1);
    assert_int_equal(201, w->last_status);
    assert_memory_equal("placed v2", r->reply.body.p, r->reply.body.n);
    assert_int_equal(ORDER_PLACED, w->orders[0].bundle.order.reply_state);
    reply_free(r);
}

static void a_check_is_answered_when_the_provider_was_heard(void **state)
{
    struct world *w = *state;
    uint64_t key = order_awaiting(w);
    unsigned before = w->n_replies;
    struct request *r = order_request(REQUEST_CHECK, key);
    world_post(w, r);
    world_turn(w, 10);
    assert_int_equal(CALL_QUERY, w->last_call.method);
    assert_int_equal(before, w->n_replies);
    struct answer a = answer_of(w, OUTCOME_DONE, FACT_PAID);
    engine_post_answer(w->engine, &a);
    world_turn(w, 10);
    assert_int_equal(before + 1, w->n_replies);
    assert_int_equal(200, w->last_status);
    assert_memory_equal("paid", r->reply.body.p, 4);
    reply_free(r);
}

static void a_conflict_is_stepped_again_and_answered_once(void **state)
{
    struct world *w = *state;
    uint64_t key = order_awaiting(w);
    unsigned before = w->n_replies;
    struct request *r = order_request(REQUEST_CANCEL, key);
    w->result = APPLY_CONFLICT;
    world_post(w, r);
    world_turn(w, 1);
    assert_int_equal(before, w->n_replies);
    world_turn(w, 0);
    assert_int_equal(before + 1, w->n_replies);
    assert_int_equal(200, w->last_status);
    assert_int_equal(ORDER_CLOSING, w->orders[0].bundle.order.state);
    assert_int_equal(1, engine_stats(w->engine)->conflicts);
    reply_free(r);
}

static void one_cart_becomes_one_order(void **state)
{
    struct world *w = *state;
    struct request *r[2];
    w->has_cart = true;
    for (int i = 0; i < 2; i++) {
        r[i] = place_request(CHANNEL_ANY);
        r[i]->place.amount_fen = 0;
        r[i]->place.text.currency = (struct str){0};
        r[i]->place.cart = STR("c");
        world_post(w, r[i]);
    }
    world_turn(w, 0);
    assert_int_equal(1, w->n_replies);
    assert_int_equal(201, w->last_status);
    world_turn(w, 0);
    assert_ptr_equal(r[1], w->last_reply);
    assert_int_equal(409, w->last_status);
    assert_string_equal("cart_empty", w->last_code);
    reply_free(r[0]);
    reply_free(r[1]);
}

static void a_cart_placing_that_conflicts_is_decided_anew(void **state)
{
    struct world *w = *state;
    struct request *r = place_request(CHANNEL_ANY);
    r->place.amount_fen = 0;
    r->place.text.currency = (struct str){0};
    r->place.cart = STR("c");
    w->has_cart = true;
    w->result = APPLY_CONFLICT;
    world_post(w, r);
    world_turn(w, 0);
    assert_int_equal(0, r->place.n_lines); // what a turn found stays with the turn
    world_turn(w, 0);
    assert_int_equal(201, w->last_status);
    reply_free(r);
}

static void what_was_put_off_keeps_its_order(void **state)
{
    struct world *w = *state;
    struct request *r[6];
    for (int i = 0; i < 6; i++) {
        r[i] = calloc(1, sizeof *r[i]);
        r[i]->kind = REQUEST_STOCK_ADD;
        r[i]->stock_add.sku = STR("A");
        r[i]->stock_add.add = 1;
        world_post(w, r[i]);
    }
    for (int i = 0; i < 6; i++)
        world_turn(w, 0);
    assert_int_equal(6, w->n_replies);
    for (int i = 0; i < 6; i++) {
        assert_ptr_equal(r[i], w->replied[i]);
        assert_int_equal(200, r[i]->reply.status);
        reply_free(r[i]);
    }
}

static void a_busy_order_keeps_nobody_else_waiting(void **state)
{
    struct world *w = *state;
    enum { N = 1000 };
    uint64_t key = order_awaiting(w);
    struct request *busy[N], *other = place_request(CHANNEL_ANY);
    for (int i = 0; i < N; i++)
        world_post(w, busy[i] = order_request(REQUEST_CANCEL, key));
    for (int i = 0; i < 8; i++)
        world_turn(w, 1);
    world_post(w, other);
    world_turn(w, 1);
    assert_int_equal(201, other->reply.status);
    while (engine_backlog(w->engine))
        world_turn(w, 0);
    for (int i = 0; i < N; i++) {
        assert_int_equal(200, busy[i]->reply.status);
        reply_free(busy[i]);
    }
    reply_free(other);
}

static void what_was_put_off_is_not_stuck_behind_a_busy_order(void **state)
{
    struct world *w = *state;
    enum { N = 500 };
    uint64_t busy_key = order_awaiting(w), key = order_awaiting(w);
    struct request *busy[N], *r[3];
    for (int i = 0; i < N; i++)
        world_post(w, busy[i] = order_request(REQUEST_CANCEL, busy_key));
    for (int i = 0; i < 3; i++)
        world_post(w, r[i] = order_request(REQUEST_CANCEL, key));
    for (int i = 0; i < 3; i++)
        world_turn(w, 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(200, r[i]->reply.status);
        reply_free(r[i]);
    }
    while (engine_backlog(w->engine))
        world_turn(w, 0);
    for (int i = 0; i < N; i++)
        reply_free(busy[i]);
}

static void deadlines_have_their_share_beside_answers_and_requests(void **state)
{
    struct world *w = *state;
    enum { N = 600 };
    struct request *placed[2], *r[N];
    for (int i = 0; i < 2; i++)
        world_post(w, placed[i] = place_request(CHANNEL_ANY));
    world_turn(w, 0);
    for (int i = 0; i < N; i++) {
        struct answer a = {.payment_key = 12345, .method = CALL_QUERY, .outcome = OUTCOME_UNKNOWN};
        engine_post_answer(w->engine, &a);
        world_post(w, r[i] = place_request(CHANNEL_ANY));
    }
    world_turn(w, 300000);
    assert_int_equal(ORDER_CANCELLED, w->orders[0].bundle.order.state);
    assert_int_equal(ORDER_CANCELLED, w->orders[1].bundle.order.state);
    while (engine_backlog(w->engine))
        world_turn(w, 0);
    for (int i = 0; i < N; i++)
        reply_free(r[i]);
    for (int i = 0; i < 2; i++)
        reply_free(placed[i]);
}

static void a_channel_takes_only_its_currency(void **state)
{
    struct world *w = *state;
    struct request *r = place_request(CHANNEL_ALIPAY);
    r->place.text.currency = STR("USD");
    world_post(w, r);
    world_turn(w, 0);
    assert_int_equal(422, w->last_status);
    assert_string_equal("currency_not_supported", w->last_code);
    assert_int_equal(0, w->n_calls);
    reply_free(r);
}

static void work_that_waits_is_due_at_once_whatever_the_clock_says(void **state)
{
    struct world *w = *state;
    uint64_t key = order_awaiting(w);
    struct request *a = order_request(REQUEST_CANCEL, key), *b = order_request(REQUEST_CANCEL, key);
    world_post(w, a);
    world_post(w, b);
    world_turn(w, -100000); // the wall clock was set back
    assert_true(engine_next_ms(w->engine) < w->now_ms);
    world_turn(w, 0);
    reply_free(a);
    reply_free(b);
}

static void a_repetition_after_a_crash_waits_for_the_code_like_the_first(void **state)
{
    struct world *w = *state;
    struct request *first = place_request(CHANNEL_ALIPAY), *again = place_request(CHANNEL_ALIPAY);
    first->has_idem = again->has_idem = true;
    first->idem_scope = again->idem_scope = (struct hash128){3, 3};
    world_post(w, first);
    world_turn(w, 0);
    struct call create = w->last_call;
    engine_free(w->engine); // the first is never answered (but by this test's end of the world)
    struct engine_options o = {.store = &w->store,
                               .channels = {[CHANNEL_ALIPAY] = &w->channel},
                               .rules = RULES,
                               .reply_wait_ms = 3000,
                               .ctx = w,
                               .reply = world_reply,
                               .present = world_present};
    char why[160];
    w->engine = engine_new(&o, why);
    unsigned before = w->n_replies;
    world_post(w, again);
    world_turn(w, 10);
    assert_int_equal(before, w->n_replies);
    w->last_call = create;
    struct answer a = answer_of(w, OUTCOME_DONE, FACT_CODE);
    engine_post_answer(w->engine, &a);
    world_turn(w, 10);
    assert_ptr_equal(again, w->last_reply);
    assert_int_equal(201, again->reply.status);
    assert_true(again->reply.replayed);
    assert_int_equal(1, w->n_orders);
    reply_free(first);
    reply_free(again);
}

static void a_conflict_that_never_ends_is_answered_503(void **state)
{
    struct world *w = *state;
    uint64_t key = order_awaiting(w);
    struct request *r = order_request(REQUEST_CANCEL, key);
    world_post(w, r);
    unsigned before = w->n_replies;
    for (int i = 0; i < 100 && w->n_replies == before; i++) {
        w->result = APPLY_CONFLICT;
        world_turn(w, 0);
    }
    assert_ptr_equal(r, w->last_reply);
    assert_int_equal(503, w->last_status);
    assert_string_equal("conflict", w->last_code);
    assert_int_equal(ORDER_AWAITING_PAYMENT, w->orders[0].bundle.order.state);
    reply_free(r);
}

static void short_stock_refuses_the_placing(void **state)
{
    struct world *w = *state;
    struct request *r = place_request(CHANNEL_ANY);
    struct line line = {.sku = STR("A"), .quantity = 2};
    r->place.amount_fen = 0;
    r->place.text.currency = (struct str){0};
    r->place.lines = &line;
    r->place.n_lines = 1;
    w->result = APPLY_SHORT;
    world_post(w, r);
    world_turn(w, 0);
    assert_int_equal(409, w->last_status);
    assert_string_equal("insufficient_stock", w->last_code);
    assert_non_null(strstr(r->reply.detail, "A"));
    assert_int_equal(0, w->n_orders);
    reply_free(r);
}

static void late_money_that_finds_no_stock_is_refunded_instead(void **state)
{
    struct world *w = *state;
    struct rules rules = RULES;
    rules.late_payment = LATE_REOPEN;
    struct world *late = world_new(&rules);
    uint64_t key = order_awaiting(late);
    struct bundle *b = &late->orders[0].bundle;
    b->order.state = ORDER_CANCELLED;
    b->order.reason = REASON_TIMEOUT;
    b->order.cancelled_ms = late->now_ms;
    b->order.check_ms = b->order.due_ms = TIME_NEVER;
    b->order.holds_stock = true;
    b->payment[0].state = PAYMENT_CLOSED;
    b->payment[0].proof = PROOF_DEAD;
    struct request *r = order_request(REQUEST_NOTICE, key);
    r->notice.verdict = NOTICE_GOOD;
    r->notice.channel = CHANNEL_ALIPAY;
    r->notice.notice.answer = answer_of(late, OUTCOME_DONE, FACT_PAID);
    r->notice.notice.answer.method = CALL_NONE;
    late->result = APPLY_SHORT;
    world_post(late, r);
    unsigned before = late->n_replies;
    world_turn(late, 10);
    assert_int_equal(before, late->n_replies); // not acknowledged: nothing is decided yet
    world_turn(late, 0);
    assert_int_equal(before + 1, late->n_replies);
    assert_int_equal(ORDER_CANCELLED, b->order.state);
    assert_int_equal(1, b->n_refunds);
    assert_int_equal(CALL_REFUND, late->last_call.method);
    reply_free(r);
    world_free(late);
    (void)w;
}

// It names its order and its attempt, which are one row to be kept from others: not from itself.
static void an_operators_word_is_heard_in_the_turn_it_comes(void **state)
{
    struct world *w = *state;
    uint64_t key = order_awaiting(w);
    struct bundle *b = &w->orders[0].bundle;
    b->payment[0].state = PAYMENT_MISMATCHED;
    b->payment[0].captured_fen = b->payment[0].amount_fen + 1;
    b->payment[0].word = WORD_AWAITED;
    struct request *first = order_request(REQUEST_RESOLVE, key), *second = order_request(REQUEST_RESOLVE, key);
    first->resolve.payment_key = second->resolve.payment_key = b->payment[0].key;
    first->resolve.accepts = second->resolve.accepts = true;
    unsigned before = w->n_replies;
    world_post(w, first);
    world_post(w, second);
    world_turn(w, 1);
    assert_int_equal(before + 1, w->n_replies);
    assert_ptr_equal(first, w->last_reply);
    assert_int_equal(200, w->last_status);
    assert_int_equal(ORDER_PAID, b->order.state);
    world_turn(w, 0);
    assert_int_equal(before + 2, w->n_replies);
    assert_int_equal(409, w->last_status);
    assert_string_equal("nothing_to_resolve", w->last_code);
    reply_free(first);
    reply_free(second);
}

static struct request *keyed_place(uint64_t key, uint64_t body)
{
    struct request *r = place_request(CHANNEL_ALIPAY);
    r->has_idem = true;
    r->idem_scope = (struct hash128){key, 1};
    r->body_hash = (struct hash128){body, 2};
    return r;
}

static void a_repeated_key_is_in_progress_then_reused_then_replayed(void **state)
{
    struct world *w = *state;
    struct request *first = keyed_place(1, 1), *twin = keyed_place(1, 1), *other = keyed_place(1, 9),
                   *later = keyed_place(1, 1);
    world_post(w, first);
    world_post(w, twin);
    world_turn(w, 0);
    assert_ptr_equal(twin, w->last_reply);
    assert_string_equal("idempotency_in_progress", w->last_code);
    world_post(w, other);
    world_turn(w, 1);
    assert_int_equal(422, w->last_status);
    assert_string_equal("idempotency_key_reused", w->last_code);
    struct answer a = answer_of(w, OUTCOME_DONE, FACT_CODE);
    a.payment_key = w->orders[0].bundle.payment[0].key;
    engine_post_answer(w->engine, &a);
    world_turn(w, 1);
    assert_ptr_equal(first, w->last_reply);
    assert_false(first->reply.replayed);
    world_post(w, later);
    world_turn(w, 1);
    assert_ptr_equal(later, w->last_reply);
    assert_int_equal(201, w->last_status);
    assert_true(later->reply.replayed);
    assert_int_equal(1, w->n_orders);
    reply_free(first);
    reply_free(twin);
    reply_free(other);
    reply_free(later);
}

static void a_failed_placing_is_not_remembered(void **state)
{
    struct world *w = *state;
    struct request *r = keyed_place(5, 5), *again = keyed_place(5, 5);
    w->result = APPLY_SHORT;
    world_post(w, r);
    world_turn(w, 0);
    assert_int_equal(409, w->last_status);
    again->place.channel = CHANNEL_ANY;
    world_post(w, again);
    world_turn(w, 1);
    assert_int_equal(201, w->last_status);
    assert_false(again->reply.replayed);
    reply_free(r);
    reply_free(again);
}

static void a_start_owes_what_the_rows_owe(void **state)
{
    struct world *w = *state;
    order_awaiting(w);
    engine_free(w->engine);
    struct world *next = world_new(&RULES);
    engine_free(next->engine);
    memcpy(next->orders, w->orders, sizeof *w->orders);
    next->n_orders = 1;
    struct engine_options o = {
        .store = &next->store, .channels = {[CHANNEL_ALIPAY] = &next->channel}, .rules = RULES, .reply_wait_ms = 3000};
    char why[160];
    next->engine = engine_new(&o, why);
    next->now_ms = w->now_ms;
    w->engine = NULL;
    assert_int_equal(next->orders[0].bundle.order.due_ms, engine_next_ms(next->engine));
    world_turn(next, 30000);
    assert_int_equal(CALL_QUERY, next->last_call.method);
    world_free(next);
}

static void a_timer_whose_order_owes_nothing_now_writes_nothing(void **state)
{
    struct world *w = *state;
    uint64_t key = order_awaiting(w);
    struct request *r = order_request(REQUEST_NOTICE, key);
    r->notice.verdict = NOTICE_GOOD;
    r->notice.channel = CHANNEL_ALIPAY;
    r->notice.notice.answer = answer_of(w, OUTCOME_DONE, FACT_PAID);
    r->notice.notice.answer.method = CALL_NONE;
    world_post(w, r);
    world_turn(w, 10);
    assert_int_equal(ORDER_PAID, w->orders[0].bundle.order.state);
    unsigned applied = w->n_applied, calls = w->n_calls;
    for (int i = 0; i < 20; i++)
        world_turn(w, 60000);
    assert_int_equal(applied, w->n_applied);
    assert_int_equal(calls, w->n_calls);
    assert_int_equal(TIME_NEVER, engine_next_ms(w->engine));
    reply_free(r);
}

static void a_call_that_found_no_room_is_made_later(void **state)
{
    struct world *w = *state;
    w->channel_is_full = true;
    struct request *r = place_request(CHANNEL_ALIPAY);
    world_post(w, r);
    world_turn(w, 0);
    assert_int_equal(1, w->n_calls);
    assert_true(engine_is_idle(w->engine)); // nothing is under way
    w->channel_is_full = false;
    world_turn(w, 10000); // the wait for the code is over
    world_turn(w, 0);     // and then, since an order takes part once per turn, its deadline
    assert_int_equal(2, w->n_calls);
    assert_int_equal(CALL_CREATE, w->last_call.method);
    assert_int_equal(201, w->last_status); // placed, without a code
    reply_free(r);
}

static void a_flood_of_deadlines_leaves_room_for_requests(void **state)
{
    struct world *w = *state;
    enum { N = 2000 };
    struct request *placed[N];
    for (int i = 0; i < N; i++)
        world_post(w, placed[i] = place_request(CHANNEL_ANY));
    while (engine_backlog(w->engine))
        world_turn(w, 0);
    unsigned before = w->n_replies;
    struct request *r = place_request(CHANNEL_ANY);
    world_post(w, r);
    world_turn(w, 400000); // all of them are due
    assert_int_equal(before + 1, w->n_replies);
    assert_int_equal(w->now_ms - 100000, engine_next_ms(w->engine));
    for (int i = 0; i < 20; i++)
        world_turn(w, 0);
    for (int i = 0; i < N; i++) {
        assert_int_equal(ORDER_CANCELLED, w->orders[i].bundle.order.state);
        reply_free(placed[i]);
    }
    reply_free(r);
}

static void a_clock_that_steps_back_unexpires_nothing(void **state)
{
    struct world *w = *state;
    struct request *r = place_request(CHANNEL_ANY);
    world_post(w, r);
    world_turn(w, 0);
    world_turn(w, 300000);
    assert_int_equal(ORDER_CANCELLED, w->orders[0].bundle.order.state);
    int64_t cancelled_ms = w->orders[0].bundle.order.cancelled_ms;
    reply_free(r);
    r = place_request(CHANNEL_ANY);
    world_post(w, r);
    world_turn(w, -200000);
    assert_true(w->orders[1].bundle.order.created_ms >= cancelled_ms);
    reply_free(r);
}

static void an_order_nobody_knows_is_404(void **state)
{
    struct world *w = *state;
    struct request *r = order_request(REQUEST_CANCEL, 12345);
    world_post(w, r);
    world_turn(w, 0);
    assert_int_equal(404, w->last_status);
    assert_string_equal("unknown_order", w->last_code);
    assert_int_equal(0, w->n_applied);
    reply_free(r);
}

// It names the order and one of its payments, which is the same claim.
static void an_operators_word_is_heard_in_its_turn(void **state)
{
    struct world *w = *state;
    uint64_t key = order_awaiting(w);
    unsigned before = w->n_replies;
    struct request *r[2];
    for (int i = 0; i < 2; i++) {
        r[i] = order_request(REQUEST_RESOLVE, key);
        r[i]->resolve.payment_key = world_order(w, 0)->bundle.payment[0].key;
        world_post(w, r[i]);
    }
    for (unsigned i = 0; i < 2; i++) { // one a turn
        world_turn(w, 1);
        assert_int_equal(before + i + 1, w->n_replies);
        assert_int_equal(409, w->last_status);
        assert_string_equal("nothing_to_resolve", w->last_code);
    }
    reply_free(r[0]);
    reply_free(r[1]);
}

static void a_notice_of_a_number_never_given_is_kept_then_acknowledged(void **state)
{
    struct world *w = *state;
    struct request *r = order_request(REQUEST_NOTICE, 0);
    r->notice.verdict = NOTICE_STRANGE;
    r->notice.channel = CHANNEL_ALIPAY;
    (void)snprintf(r->notice.notice.number, sizeof r->notice.notice.number, "somebody_elses");
    world_post(w, r);
    world_turn(w, 0);
    assert_string_equal("ART", w->log);
    assert_int_equal(CHANGE_CASE, w->last_change.kind);
    assert_int_equal(200, w->last_status);
    reply_free(r);
}

static void stock_is_adjusted_only_within_its_limits(void **state)
{
    struct world *w = *state;
    struct request *r = calloc(1, sizeof *r);
    r->kind = REQUEST_STOCK_ADD;
    r->stock_add.sku = STR("A");
    r->stock_add.add = -101;
    world_post(w, r);
    world_turn(w, 0);
    assert_int_equal(409, w->last_status);
    assert_int_equal(0, w->n_applied);
    r->stock_add.add = -100;
    r->reply = (struct reply){0};
    world_post(w, r);
    world_turn(w, 0);
    assert_int_equal(200, w->last_status);
    assert_int_equal(CHANGE_STOCK_ADD, w->last_change.kind);
    reply_free(r);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(reply_and_event_and_call_leave_after_the_commit_in_this_order),
        T(nothing_leaves_when_the_commit_is_unknown),
        T(nothing_leaves_when_rows_cannot_be_read),
        T(a_full_disk_answers_503_and_the_deadline_comes_again),
        T(what_arrives_together_commits_together),
        T(an_order_takes_part_once_per_turn),
        T(a_placing_waits_for_its_code),
        T(a_placing_is_answered_placed_when_the_code_takes_too_long),
        T(a_check_is_answered_when_the_provider_was_heard),
        T(a_conflict_is_stepped_again_and_answered_once),
        T(one_cart_becomes_one_order),
        T(a_cart_placing_that_conflicts_is_decided_anew),
        T(what_was_put_off_keeps_its_order),
        T(a_busy_order_keeps_nobody_else_waiting),
        T(what_was_put_off_is_not_stuck_behind_a_busy_order),
        T(deadlines_have_their_share_beside_answers_and_requests),
        T(a_channel_takes_only_its_currency),
        T(work_that_waits_is_due_at_once_whatever_the_clock_says),
        T(a_repetition_after_a_crash_waits_for_the_code_like_the_first),
        T(a_conflict_that_never_ends_is_answered_503),
        T(short_stock_refuses_the_placing),
        T(late_money_that_finds_no_stock_is_refunded_instead),
        T(an_operators_word_is_heard_in_the_turn_it_comes),
        T(a_repeated_key_is_in_progress_then_reused_then_replayed),
        T(a_failed_placing_is_not_remembered),
        T(a_start_owes_what_the_rows_owe),
        T(a_timer_whose_order_owes_nothing_now_writes_nothing),
        T(a_call_that_found_no_room_is_made_later),
        T(a_flood_of_deadlines_leaves_room_for_requests),
        T(a_clock_that_steps_back_unexpires_nothing),
        T(an_order_nobody_knows_is_404),
        T(an_operators_word_is_heard_in_its_turn),
        T(a_notice_of_a_number_never_given_is_kept_then_acknowledged),
        T(stock_is_adjusted_only_within_its_limits),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
