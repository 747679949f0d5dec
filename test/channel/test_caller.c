// SPDX-License-Identifier: Apache-2.0
// The caller against a provider's end that misbehaves: exactly one answer per accepted call, in time,
// whatever happens.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka needs the four above first
#include <cmocka.h>

#include "answers.h"
#include "channel/caller.h"
#include "far_end.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define DEADLINE_MS 400
#define LATE_MS     250 // what a loaded machine may add

struct rig {
    struct far_end *far_end;
    struct caller *caller;
    struct answers answers;
    struct lane *lane;
    atomic_int build_ms, judge_ms; // how long a signer takes
    atomic_bool cannot_build, is_local;
    atomic_int dead_port; // instead of the far end's
    atomic_int built, judged, threads_at_once, most_threads;
};
static struct rig rig;

static void nap_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

static int64_t mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

// The subject is the path.
static bool build(void *ctx, const struct call *call, struct str subject, int64_t now_ms, struct call_request *out)
{
    struct rig *r = ctx;
    (void)now_ms;
    int now = atomic_fetch_add(&r->threads_at_once, 1) + 1, most = atomic_load(&r->most_threads);
    while (now > most && !atomic_compare_exchange_weak(&r->most_threads, &most, now))
        ;
    nap_ms(atomic_load(&r->build_ms));
    atomic_fetch_sub(&r->threads_at_once, 1);
    atomic_fetch_add(&r->built, 1);
    if (atomic_load(&r->cannot_build)) return false;
    out->is_local = atomic_load(&r->is_local);
    if (out->is_local) {
        buf_z(&out->body, "made here");
        return true;
    }
    out->is_post = call->method != CALL_QUERY;
    int dead = atomic_load(&r->dead_port), port = dead ? dead : far_end_port(r->far_end);
    buf_printf(&out->url, "http://127.0.0.1:%d/%.*s?a=1", port, (int)subject.n, subject.p);
    buf_z(&out->headers, "X-Test: one\nX-Other: two\n");
    if (out->is_post) buf_z(&out->body, "biz_content=%7B%7D");
    return true;
}

static void judge(void *ctx, const struct call *call, const struct call_reply *reply, struct answer *a,
                  struct buf *text)
{
    struct rig *r = ctx;
    (void)call;
    nap_ms(atomic_load(&r->judge_ms));
    atomic_fetch_add(&r->judged, 1);
    bool is_fine = reply->status == 200 && str_eq(reply->body, STR("fine"));
    bool is_unclear = str_eq(reply->body, STR("garbage")) || str_eq(reply->body, STR("{}"));
    a->outcome = is_fine ? OUTCOME_DONE : is_unclear ? OUTCOME_UNKNOWN : OUTCOME_REFUSED;
    a->fact = is_unclear ? FACT_NONE : FACT_CODE;
    struct str type = call_reply_header(reply, "content-type");
    (void)snprintf(a->detail, sizeof a->detail, "%d %.*s", reply->status, (int)type.n, type.p);
    buf_z(text, "code of ");
    buf_str(text, reply->body);
    a->code = buf_view(text);
    if (call_reply_header(reply, "X-Once").n > 0) abort(); // belongs to the "100 Continue"
}

static const struct lane_ops OPS = {.build = build, .judge = judge, .name = "far end"};

static void rig_open(unsigned signers, unsigned max_calls, unsigned max_in_flight)
{
    struct caller_options o = {signers, max_calls, max_in_flight, DEADLINE_MS};
    char why[200];
    rig.far_end = far_end_open(STR("fine"));
    rig.caller = caller_open(&o, why);
    assert_non_null(rig.caller);
    answers_init(&rig.answers);
    rig.lane = lane_open(rig.caller, &OPS, &rig, &rig.answers.sink);
    assert_non_null(rig.lane);
    rig.build_ms = rig.judge_ms = rig.built = rig.judged = rig.threads_at_once = rig.most_threads = 0;
    rig.cannot_build = rig.is_local = false;
    rig.dead_port = 0;
}

static void rig_close(void)
{
    lane_close(rig.lane);
    caller_free(rig.caller);
    far_end_close(rig.far_end);
}

static bool submit_to(struct lane *l, uint64_t key, const char *path, enum call_method method)
{
    struct call call = {.channel = CHANNEL_ALIPAY, .method = method, .payment_key = key, .refund_key = key + 1000000};
    return lane_submit(l, &call, str_of(path), 1000000);
}

static bool submit(uint64_t key, const char *path)
{
    return submit_to(rig.lane, key, path, CALL_CREATE);
}

static struct answer the_answer(uint64_t key)
{
    struct answer a = {0};
    assert_int_equal(answers_for(&rig.answers, key, &a), 1);
    return a;
}

static void assert_unknown(struct answer a, const char *detail)
{
    if (a.outcome != OUTCOME_UNKNOWN || a.fact != FACT_NONE || strcmp(a.detail, detail) != 0)
        fail_msg("%llu: %d \"%s\", want unknown \"%s\"", (unsigned long long)a.payment_key, (int)a.outcome, a.detail,
                 detail);
}

// ---

static void a_call_is_answered_with_all_its_fields(void **state)
{
    (void)state;
    rig_open(1, 10, 10);
    assert_true(submit(7, "slow"));
    assert_true(answers_wait(&rig.answers, 1, 2000));
    struct answer a = the_answer(7);
    assert_int_equal(a.outcome, OUTCOME_DONE);
    assert_int_equal(a.refund_key, 1000007);
    assert_int_equal(a.channel, CHANNEL_ALIPAY);
    assert_int_equal(a.method, CALL_CREATE);
    assert_string_equal(a.detail, "200 text/html;charset=utf-8");
    assert_string_equal(rig.answers.code, "code of fine");
    assert_true(a.asked_ms >= 1000000 && a.asked_ms <= 1000000 + LATE_MS);
    assert_int_equal(a.provider_ms, 784111777000); // its Date header
    assert_true(a.took_ms >= 119 && a.took_ms <= 120 + LATE_MS);
    rig_close();
}

static void a_local_answer_needs_no_network(void **state)
{
    (void)state;
    rig_open(1, 10, 1);
    rig.dead_port = 1;
    rig.is_local = true;
    for (uint64_t key = 1; key <= 5; key++)
        assert_true(submit(key, "anywhere"));
    assert_true(answers_wait(&rig.answers, 5, 2000));
    struct answer a = the_answer(3);
    assert_int_equal(a.fact, FACT_CODE);
    assert_int_equal(a.method, CALL_CREATE);
    assert_string_equal(a.detail, "0 ");
    assert_string_equal(rig.answers.code, "code of made here");
    assert_int_equal(a.provider_ms, 0);
    assert_int_equal(rig.judged, 5);
    rig_close();
}

// Odd ones GET, even ones POST.
static void each_misbehaviour_has_one_answer_in_time(void **state)
{
    (void)state;
    static const struct {
        const char *path, *detail; // NULL: heard
    } rows[] = {
        {"ok", NULL},
        {"slow", NULL},
        {"once", NULL},
        {"continue", NULL},
        {"html", NULL},
        {"silent", "timeout"},
        {"drip", "timeout"},
        {"reset", "connection broken"},
        {"hangup", "connection broken"},
        {"cut", "answer cut short"},
        {"flood", "answer too long"},
        {"long", "answer too long"},
    };
    unsigned n_rows = sizeof rows / sizeof rows[0], n = n_rows * 10;
    rig_open(2, 1000, 1000);
    int64_t from_ms = mono_ms();
    for (unsigned i = 0; i < n; i++)
        assert_true(submit_to(rig.lane, i, rows[i % n_rows].path, i % 2 ? CALL_QUERY : CALL_CREATE));
    assert_true(answers_wait(&rig.answers, n, 5000));
    assert_true(mono_ms() - from_ms <= DEADLINE_MS + LATE_MS);
    nap_ms(100); // a second one would come now
    assert_int_equal(answers_count(&rig.answers), n);
    for (unsigned i = 0; i < n; i++) {
        struct answer a = the_answer(i);
        if (rows[i % n_rows].detail)
            assert_unknown(a, rows[i % n_rows].detail);
        else if (a.outcome == OUTCOME_UNKNOWN)
            fail_msg("/%s: %s", rows[i % n_rows].path, a.detail);
        assert_true(a.took_ms <= DEADLINE_MS + LATE_MS);
    }
    rig_close();
}

static void nobody_listening_is_unknown_at_once(void **state)
{
    (void)state;
    rig_open(1, 10, 10);
    rig.dead_port = 1; // nothing on a test machine listens there
    assert_true(submit(1, "ok"));
    assert_true(answers_wait(&rig.answers, 1, DEADLINE_MS - 100));
    assert_unknown(the_answer(1), "cannot connect");
    rig_close();
}

static void connections_are_kept_and_used_again(void **state)
{
    (void)state;
    rig_open(1, 10, 10);
    for (unsigned i = 0; i < 20; i++) {
        assert_true(submit_to(rig.lane, i, "ok", i % 2 ? CALL_QUERY : CALL_CREATE));
        assert_true(answers_wait(&rig.answers, i + 1, 2000));
    }
    assert_int_equal(far_end_connections(rig.far_end), 1);
    assert_int_equal(far_end_requests(rig.far_end), 20);
    rig_close();
}

static void a_kept_connection_that_died_costs_no_call(void **state)
{
    (void)state;
    rig_open(1, 10, 10);
    for (unsigned i = 0; i < 10; i++) {
        assert_true(submit(i, "once"));
        assert_true(answers_wait(&rig.answers, i + 1, 2000));
        assert_int_equal(the_answer(i).outcome, OUTCOME_DONE);
    }
    rig_close();
}

static void a_full_lane_refuses_and_never_answers_what_it_refused(void **state)
{
    (void)state;
    rig_open(1, 3, 2);
    for (uint64_t i = 0; i < 3; i++)
        assert_true(submit(i, "silent"));
    assert_false(submit(3, "ok"));
    assert_true(answers_wait(&rig.answers, 3, 2000));
    nap_ms(20);
    assert_int_equal(answers_count(&rig.answers), 3);
    assert_int_equal(answers_for(&rig.answers, 3, NULL), 0);
    assert_true(submit(4, "ok")); // there is room again
    assert_true(answers_wait(&rig.answers, 4, 2000));
    assert_int_equal(the_answer(4).outcome, OUTCOME_DONE);
    rig_close();
}

static void no_more_are_in_flight_than_allowed(void **state)
{
    (void)state;
    rig_open(4, 100, 3);
    for (uint64_t i = 0; i < 6; i++)
        assert_true(submit(i, "slow"));
    assert_true(answers_wait(&rig.answers, 6, 3000));
    for (uint64_t i = 0; i < 6; i++)
        assert_int_equal(the_answer(i).outcome, OUTCOME_DONE); // two rounds of 120 ms fit the deadline
    assert_int_equal(far_end_most_at_once(rig.far_end), 3);
    rig_close();
}

static void waiting_for_a_turn_counts_towards_the_deadline(void **state)
{
    (void)state;
    rig_open(1, 100, 1);
    int64_t from_ms = mono_ms();
    for (uint64_t i = 0; i < 5; i++)
        assert_true(submit(i, "silent"));
    assert_true(answers_wait(&rig.answers, 5, 2000));
    assert_true(mono_ms() - from_ms <= DEADLINE_MS + LATE_MS);
    for (uint64_t i = 0; i < 5; i++)
        assert_unknown(the_answer(i), i ? "not_sent" : "timeout");
    assert_int_equal(far_end_requests(rig.far_end), 1);
    rig_close();
}

static void a_hanging_provider_leaves_the_other_lane_alone(void **state)
{
    (void)state;
    rig_open(1, 4, 2);
    static struct answers others;
    answers_init(&others);
    struct lane *other = lane_open(rig.caller, &OPS, &rig, &others.sink);
    assert_non_null(other);
    for (uint64_t i = 0; i < 4; i++)
        assert_true(submit(i, "silent"));
    int64_t from_ms = mono_ms();
    for (uint64_t i = 0; i < 4; i++)
        assert_true(submit_to(other, i, "ok", CALL_CREATE));
    assert_true(answers_wait(&others, 4, 2000));
    assert_true(mono_ms() - from_ms < DEADLINE_MS);
    assert_int_equal(answers_count(&rig.answers), 0);
    lane_close(other); // while the first has calls out
    assert_true(answers_wait(&rig.answers, 4, 2000));
    rig_close();
}

static void slow_signing_ends_at_the_deadline_too(void **state)
{
    (void)state;
    rig_open(1, 100, 100);
    rig.build_ms = DEADLINE_MS + 50;
    int64_t from_ms = mono_ms();
    assert_true(submit(1, "ok"));
    assert_true(submit(2, "ok")); // waits behind it, and is not signed at all when nobody waits any more
    assert_true(answers_wait(&rig.answers, 2, 2000));
    assert_true(mono_ms() - from_ms <= DEADLINE_MS + LATE_MS);
    nap_ms(DEADLINE_MS + 200); // long enough to sign the second too
    assert_int_equal(answers_count(&rig.answers), 2);
    assert_unknown(the_answer(1), "not_sent");
    assert_unknown(the_answer(2), "not_sent");
    assert_int_equal(rig.built, 1);
    assert_int_equal(far_end_requests(rig.far_end), 0);
    rig_close();
}

static void slow_judging_ends_at_the_deadline_too(void **state)
{
    (void)state;
    rig_open(1, 100, 100);
    rig.judge_ms = DEADLINE_MS + 200;
    assert_true(submit(1, "ok"));
    assert_true(answers_wait(&rig.answers, 1, 2000));
    assert_unknown(the_answer(1), "timeout");
    nap_ms(300);
    assert_int_equal(rig.judged, 1);
    assert_int_equal(answers_count(&rig.answers), 1);
    rig_close();
}

static void what_cannot_be_signed_is_unknown(void **state)
{
    (void)state;
    rig_open(1, 10, 10);
    rig.cannot_build = true;
    assert_true(submit(1, "ok"));
    assert_true(answers_wait(&rig.answers, 1, 2000));
    assert_unknown(the_answer(1), "cannot be signed");
    rig_close();
}

static void closing_answers_what_is_out_and_then_is_silent(void **state)
{
    (void)state;
    rig_open(2, 100, 4);
    rig.build_ms = 30;
    for (uint64_t i = 0; i < 12; i++)
        assert_true(submit(i, i % 3 ? "silent" : "drip"));
    nap_ms(50); // some fly, some are being signed, some wait
    int64_t from_ms = mono_ms();
    lane_close(rig.lane);
    assert_true(mono_ms() - from_ms < 200);
    assert_int_equal(answers_count(&rig.answers), 12);
    for (uint64_t i = 0; i < 12; i++)
        assert_unknown(the_answer(i), "shutdown");
    caller_free(rig.caller);
    nap_ms(50);
    assert_int_equal(answers_count(&rig.answers), 12);
    far_end_close(rig.far_end);
}

static void signing_is_spread_over_the_signers(void **state)
{
    (void)state;
    rig_open(3, 100, 100);
    rig.build_ms = 30;
    for (uint64_t i = 0; i < 9; i++)
        assert_true(submit(i, "ok"));
    assert_true(answers_wait(&rig.answers, 9, 2000));
    assert_int_equal(rig.most_threads, 3);
    rig_close();
}

#define CROWD      4
#define CROWD_EACH 250
static atomic_uint crowd_accepted;

static void *crowd_run(void *arg)
{
    static const char *const paths[] = {"ok", "ok", "ok", "once", "html", "reset", "cut"};
    uint64_t base = (uint64_t)(uintptr_t)arg * 10000;
    for (uint64_t i = 0; i < CROWD_EACH; i++) {
        if (submit(base + i, paths[i % 7])) atomic_fetch_add(&crowd_accepted, 1);
        if (i % 10 == 0) nap_ms(1);
    }
    return NULL;
}

static void many_threads_submitting_get_one_answer_each(void **state)
{
    (void)state;
    pthread_t crowd[CROWD];
    rig_open(4, 300, 16);
    atomic_store(&crowd_accepted, 0);
    for (uintptr_t i = 0; i < CROWD; i++)
        pthread_create(&crowd[i], NULL, crowd_run, (void *)(i + 1));
    for (unsigned i = 0; i < CROWD; i++)
        pthread_join(crowd[i], NULL);
    unsigned n = atomic_load(&crowd_accepted);
    assert_true(n >= 300);
    assert_true(answers_wait(&rig.answers, n, 5000));
    lane_close(rig.lane);
    assert_int_equal(answers_count(&rig.answers), n);
    for (uint64_t t = 1; t <= CROWD; t++)
        for (uint64_t i = 0; i < CROWD_EACH; i++)
            assert_true(answers_for(&rig.answers, t * 10000 + i, NULL) <= 1);
    caller_free(rig.caller);
    far_end_close(rig.far_end);
}

static void a_header_is_found_in_any_case_and_only_when_single(void **state)
{
    (void)state;
    struct call_reply r = {.headers =
                               STR("HTTP/1.1 200 OK\r\nContent-Type:  text/html \r\nX-Two: a\r\nx-two: b\r\nEmpty:\r\n"
                                   "Content-Type-Not: x\r\nbroken\r\nLast: no newline")};
    assert_true(str_eq(call_reply_header(&r, "content-TYPE"), STR("text/html")));
    assert_true(str_eq(call_reply_header(&r, "Last"), STR("no newline")));
    assert_int_equal(call_reply_header(&r, "X-Two").n, 0);
    assert_int_equal(call_reply_header(&r, "Empty").n, 0);
    assert_int_equal(call_reply_header(&r, "Absent").n, 0);
    assert_int_equal(call_reply_header(&r, "broken").n, 0);
}

static void strange_options_are_refused(void **state)
{
    (void)state;
    static const struct caller_options bad[] = {{0, 1, 1, 1}, {5, 1, 1, 1}, {1, 0, 1, 1}, {1, 1, 0, 1}, {1, 1, 1, 0}};
    char why[200];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_null(caller_open(&bad[i], why));
        assert_string_not_equal(why, "");
    }
}

static void lanes_are_counted(void **state)
{
    (void)state;
    rig_open(1, 1, 1);
    struct lane *more[CALLER_LANES_MAX];
    for (unsigned i = 0; i < CALLER_LANES_MAX; i++)
        more[i] = lane_open(rig.caller, &OPS, &rig, &rig.answers.sink);
    assert_non_null(more[CALLER_LANES_MAX - 2]);
    assert_null(more[CALLER_LANES_MAX - 1]);
    for (unsigned i = 0; i < CALLER_LANES_MAX; i++)
        lane_close(more[i]);
    struct lane *again = lane_open(rig.caller, &OPS, &rig, &rig.answers.sink);
    assert_non_null(again);
    lane_close(again);
    rig_close();
}

// --- Care: what care.h counts, on a real wire. Its arithmetic is in test_care.c.

static struct call call_of(uint64_t key, enum call_method method)
{
    return (struct call){.channel = CHANNEL_ALIPAY, .method = method, .payment_key = key};
}

static bool submit_retry(uint64_t key, const char *path)
{
    struct call call = call_of(key, CALL_QUERY);
    call.is_retry = true;
    return lane_submit(rig.lane, &call, str_of(path), 1000000);
}

static struct lane_stats stats(void)
{
    struct lane_stats all[CALLER_LANES_MAX];
    assert_true(caller_lanes(rig.caller, all) >= 1);
    return all[0];
}

static void one_after_another(uint64_t from, unsigned n, const char *path)
{
    unsigned before = answers_count(&rig.answers);
    for (unsigned i = 0; i < n; i++) {
        assert_true(submit(from + i, path));
        assert_true(answers_wait(&rig.answers, before + i + 1, 2000));
    }
}

// The order in which they are answered is the order in which they left: one at a time, on one signer.
static void codes_come_first_and_nobody_starves(void **state)
{
    (void)state;
    rig_open(1, 1000, 1);
    rig.build_ms = 60; // the first holds the only place until all the others are there
    assert_true(submit(0, "ok"));
    nap_ms(20);
    rig.build_ms = 0;
    static const struct {
        enum call_method method;
        bool on_demand;
    } kinds[] = {{CALL_QUERY, false}, {CALL_QUERY, true}, {CALL_CLOSE, false}, {CALL_CREATE, false}};
    for (unsigned kind = 0; kind < 4; kind++) // the least urgent first
        for (unsigned i = 0; i < 8; i++) {
            struct call call = call_of(100 * (kind + 1) + i, kinds[kind].method);
            call.on_demand = kinds[kind].on_demand;
            assert_true(lane_submit(rig.lane, &call, STR("ok"), 1000000));
        }
    assert_true(answers_wait(&rig.answers, 33, 5000));
    unsigned first_15[5] = {0};
    for (unsigned i = 1; i <= 15; i++)
        first_15[rig.answers.all[i].payment_key / 100]++;
    assert_int_equal(first_15[4], 8); // codes
    assert_int_equal(first_15[3], 4); // closes
    assert_int_equal(first_15[2], 2); // asked by somebody
    assert_int_equal(first_15[1], 1); // by the schedule
    for (unsigned i = 1; i <= 8; i++)
        assert_int_equal(rig.answers.all[i].payment_key / 100, 4);
    rig_close();
}

static void a_storm_of_queries_leaves_room_for_codes(void **state)
{
    (void)state;
    rig_open(1, 80, 1);
    unsigned taken = 0;
    for (uint64_t i = 0; i < 100; i++)
        taken += submit_to(rig.lane, i, "silent", CALL_QUERY);
    assert_int_equal(taken, 50);
    for (uint64_t i = 0; i < 30; i++)
        assert_true(submit(1000 + i, "silent"));
    assert_false(submit(2000, "silent"));
    assert_int_equal(stats().unsent[UNSENT_FULL], 51);
    rig_close();
}

// However full the one lane is, the other's calls take their turns with the signer and their own connections.
static void a_flooded_lane_takes_no_more_than_its_turns(void **state)
{
    (void)state;
    static struct answers others;
    rig_open(1, 4000, 4000);
    answers_init(&others);
    struct lane *other = lane_open(rig.caller, &OPS, &rig, &others.sink);
    rig.build_ms = 1;
    for (uint64_t i = 0; i < 300; i++)
        assert_true(submit(i, "silent"));
    for (uint64_t i = 0; i < 20; i++)
        assert_true(submit_to(other, i, "ok", CALL_CREATE));
    assert_true(answers_wait(&others, 20, 5000));
    for (uint64_t i = 0; i < 20; i++)
        assert_int_equal(others.all[i].outcome, OUTCOME_DONE);
    // Twenty built and judged there, in turns with one here: far from the 300 that came before.
    assert_true(rig.built < 20 + 100);
    lane_close(other);
    rig_close();
}

// More than goes through: what is late is not sent to time out over there, and our own crowd opens no breaker.
static void what_comes_to_its_turn_too_late_is_not_sent(void **state)
{
    (void)state;
    rig_open(1, 1000, 1);
    unsigned unsent = 0;
    for (uint64_t i = 0; i < 40; i++)
        assert_true(submit(i, "slow"));
    assert_true(answers_wait(&rig.answers, 40, 2000));
    for (uint64_t i = 0; i < 40; i++) {
        struct answer a = the_answer(i);
        unsent += strcmp(a.detail, "not_sent") == 0;
        if (strcmp(a.detail, "timeout") == 0) assert_true(a.took_ms >= DEADLINE_MS / 4 - 50); // the machine is loaded
    }
    assert_in_range(unsent, 36, 40);
    assert_int_equal(stats().unsent[UNSENT_DEADLINE], unsent);
    assert_int_equal(stats().breaker, BREAKER_CLOSED);
    assert_true(far_end_requests(rig.far_end) <= 4);
    rig_close();
}

static void each_lane_has_its_own_deadline(void **state)
{
    (void)state;
    static const struct lane_ops SHORT = {.build = build, .judge = judge, .name = "short", .deadline_ms = 60};
    static const struct lane_ops TOO_LONG = {
        .build = build, .judge = judge, .name = "x", .deadline_ms = DEADLINE_MS + 1};
    static struct answers others;
    rig_open(1, 10, 10);
    answers_init(&others);
    assert_null(lane_open(rig.caller, &TOO_LONG, &rig, &others.sink));
    struct lane *other = lane_open(rig.caller, &SHORT, &rig, &others.sink);
    assert_true(submit(1, "silent"));
    assert_true(submit_to(other, 2, "silent", CALL_CREATE)); // later, and answered sooner
    assert_true(answers_wait(&others, 1, 2000));
    assert_int_equal(answers_count(&rig.answers), 0);
    assert_string_equal(others.all[0].detail, "timeout");
    assert_true(answers_wait(&rig.answers, 1, 2000));
    lane_close(other);
    rig_close();
}

static void a_provider_that_fails_is_left_alone_and_asked_again_when_it_is_time(void **state)
{
    (void)state;
    static const char *const failures[] = {"reset", "hangup", "cut", "later"};
    for (unsigned k = 0; k < 4; k++) {
        rig_open(1, 1000, 4);
        one_after_another(0, 1, failures[k]);
        if (k == 3) { // it named a moment, too: beyond any deadline
            assert_int_equal(stats().breaker, BREAKER_CLOSED);
            one_after_another(1, 5, "ok");
            assert_unknown(the_answer(5), "slow_down");
            assert_in_range(stats().hold_ms, 20000, 30000);
            assert_int_equal(stats().unsent[UNSENT_RATE], 5);
            rig_close();
            continue;
        }
        one_after_another(1, CARE_RUN - 1, failures[k]);
        assert_int_equal(stats().breaker, BREAKER_OPEN);
        unsigned asked = far_end_requests(rig.far_end);
        one_after_another(100, 50, "ok");
        assert_unknown(the_answer(149), "breaker_open");
        assert_int_equal(far_end_requests(rig.far_end), asked);
        assert_int_equal(stats().unsent[UNSENT_BREAKER], 50);
        struct call call = call_of(200, CALL_CREATE); // Till's clock is moved: it is a second later, nobody slept
        assert_true(lane_submit(rig.lane, &call, STR("ok"), 1000000 + CARE_OPEN_LEAST_MS + 1000));
        assert_true(answers_wait(&rig.answers, CARE_RUN + 51, 2000));
        assert_int_equal(the_answer(200).outcome, OUTCOME_DONE);
        assert_int_equal(stats().breaker, BREAKER_CLOSED);
        assert_int_equal(stats().opened, 1);
        rig_close();
    }
}

static void what_waits_when_the_breaker_opens_is_answered_at_once(void **state)
{
    (void)state;
    rig_open(1, 1000, CARE_RUN);
    for (uint64_t i = 0; i < CARE_RUN; i++)
        assert_true(submit(i, "slowreset"));
    for (uint64_t i = 0; i < 200; i++)
        assert_true(submit(1000 + i, "silent"));
    assert_true(answers_wait(&rig.answers, CARE_RUN + 200, 2000));
    unsigned kept = 0;
    for (uint64_t i = 0; i < 200; i++)
        kept += strcmp(the_answer(1000 + i).detail, "breaker_open") == 0;
    // A few took the places of the first that failed; none waited for its deadline.
    assert_in_range(kept, 200 - CARE_RUN, 200);
    assert_int_equal(stats().waiting, 0);
    rig_close();
}

static void garbage_and_refusals_open_no_breaker(void **state)
{
    (void)state;
    rig_open(1, 1000, 4);
    one_after_another(0, CARE_RUN * 3, "garbage");
    one_after_another(100, CARE_RUN * 3, "html"); // judged refused, under a 502
    assert_int_equal(stats().breaker, BREAKER_CLOSED);
    rig_close();
}

static void retries_over_the_budget_stay_and_first_asks_go(void **state)
{
    (void)state;
    rig_open(1, 1000, 4);
    unsigned over = 0;
    for (uint64_t i = 0; i < 3 * CARE_BUDGET; i++) {
        assert_true(submit_retry(i, "garbage"));
        assert_true(answers_wait(&rig.answers, (unsigned)i + 1, 2000));
        over += strcmp(the_answer(i).detail, "retry_budget") == 0;
    }
    // A budget full, and one a second while this ran.
    assert_in_range(over, CARE_BUDGET, 2 * CARE_BUDGET);
    assert_int_equal(stats().unsent[UNSENT_BUDGET], over);
    assert_true(submit(1000, "ok"));
    assert_true(answers_wait(&rig.answers, 3 * CARE_BUDGET + 1, 2000));
    assert_int_equal(the_answer(1000).outcome, OUTCOME_DONE);
    rig_close();
}

static void a_provider_that_says_slower_is_asked_slower(void **state)
{
    (void)state;
    rig_open(1, 1000, 4);
    one_after_another(0, 1, "busy");
    assert_int_equal(stats().slowed, 1);
    assert_int_equal(stats().breaker, BREAKER_CLOSED);
    assert_true(stats().rate_per_s >= 1 && stats().rate_per_s < 2);
    int64_t from_ms = mono_ms();
    assert_true(submit(1, "ok"));
    assert_true(answers_wait(&rig.answers, 2, 2000));
    assert_unknown(the_answer(1), "slow_down"); // a second is longer than its deadline: it need not wait for that
    assert_true(mono_ms() - from_ms < DEADLINE_MS);
    struct call call = call_of(2, CALL_CREATE);
    assert_true(lane_submit(rig.lane, &call, STR("ok"), 1000000 + 5000)); // five seconds later
    assert_true(answers_wait(&rig.answers, 3, 2000));
    assert_int_equal(the_answer(2).outcome, OUTCOME_DONE);
    rig_close();
}

static void what_waits_for_the_rate_goes_when_it_is_its_turn(void **state)
{
    (void)state;
    rig_open(1, 1000, 4);
    one_after_another(0, 60, "ok"); // some thirty a second are allowed after this, and more each second
    one_after_another(100, 1, "busy");
    unsigned n = answers_count(&rig.answers);
    double rate = stats().rate_per_s;
    assert_true(rate >= 4);
    assert_true(submit(200, "ok")); // nothing else happens: the loop has to wake by itself
    assert_true(answers_wait(&rig.answers, n + 1, 2000));
    assert_int_equal(the_answer(200).outcome, OUTCOME_DONE);
    rig_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_answered_with_all_its_fields),
        cmocka_unit_test(a_local_answer_needs_no_network),
        cmocka_unit_test(each_misbehaviour_has_one_answer_in_time),
        cmocka_unit_test(nobody_listening_is_unknown_at_once),
        cmocka_unit_test(connections_are_kept_and_used_again),
        cmocka_unit_test(a_kept_connection_that_died_costs_no_call),
        cmocka_unit_test(a_full_lane_refuses_and_never_answers_what_it_refused),
        cmocka_unit_test(no_more_are_in_flight_than_allowed),
        cmocka_unit_test(waiting_for_a_turn_counts_towards_the_deadline),
        cmocka_unit_test(a_hanging_provider_leaves_the_other_lane_alone),
        cmocka_unit_test(slow_signing_ends_at_the_deadline_too),
        cmocka_unit_test(slow_judging_ends_at_the_deadline_too),
        cmocka_unit_test(what_cannot_be_signed_is_unknown),
        cmocka_unit_test(closing_answers_what_is_out_and_then_is_silent),
        cmocka_unit_test(signing_is_spread_over_the_signers),
        cmocka_unit_test(many_threads_submitting_get_one_answer_each),
        cmocka_unit_test(a_header_is_found_in_any_case_and_only_when_single),
        cmocka_unit_test(strange_options_are_refused),
        cmocka_unit_test(lanes_are_counted),
        cmocka_unit_test(codes_come_first_and_nobody_starves),
        cmocka_unit_test(a_storm_of_queries_leaves_room_for_codes),
        cmocka_unit_test(a_flooded_lane_takes_no_more_than_its_turns),
        cmocka_unit_test(what_comes_to_its_turn_too_late_is_not_sent),
        cmocka_unit_test(each_lane_has_its_own_deadline),
        cmocka_unit_test(a_provider_that_fails_is_left_alone_and_asked_again_when_it_is_time),
        cmocka_unit_test(what_waits_when_the_breaker_opens_is_answered_at_once),
        cmocka_unit_test(garbage_and_refusals_open_no_breaker),
        cmocka_unit_test(retries_over_the_budget_stay_and_first_asks_go),
        cmocka_unit_test(a_provider_that_says_slower_is_asked_slower),
        cmocka_unit_test(what_waits_for_the_rate_goes_when_it_is_its_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
