// SPDX-License-Identifier: Apache-2.0
// The client against a real RocketMQ cluster, named by TILL_TEST_NAMESRV ("host:port"). Its brokers need
// transactionCheckInterval and transactionTimeOut of about a second, transactionCheckMax of at least 10,
// recallMessageEnable and autoCreateTopicEnable. TILL_TEST_ACCESS_KEY, TILL_TEST_SECRET_KEY, TILL_TEST_TLS=1 and
// TILL_TEST_CA (a file; without it any certificate will do) say how it wants to be spoken to.
//
// Waits for what it asks for, never for a time; the one exception proves that nothing comes, after something that was
// sent later has come.
#include "broker/rocketmq/client.h"
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define WAIT_S 60
#define KEPT   256

struct got {
    char key[64], body[64], tags[32];
    uint32_t n_times;
    struct rmq_receipt receipt;
};

struct checked {
    char key[64], body[64], topic[RMQ_NAME_SIZE];
    struct rmq_handle handle;
    uint32_t n;
};

// One client and all that came to it.
struct bench {
    struct rmq *c;
    char topic[64], group[64];
    pthread_mutex_t lock;
    pthread_cond_t came;
    struct rmq_result results[KEPT];
    char recall[KEPT][256];
    bool has_result[KEPT];
    uint64_t next_token;
    struct got got[KEPT];
    unsigned n_got;
    struct checked checked[KEPT];
    unsigned n_checked;
};

static int64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void copy(char *room, size_t size, struct str s)
{
    size_t n = s.n < size - 1 ? s.n : size - 1;
    memcpy(room, s.p, n);
    room[n] = '\0';
}

static void on_done(void *ctx, uint64_t token, const struct rmq_result *r)
{
    struct bench *b = ctx;
    pthread_mutex_lock(&b->lock);
    assert_true(token < KEPT);
    assert_false(b->has_result[token]);
    b->results[token] = *r;
    if (r->recall_handle.n) copy(b->recall[token], sizeof b->recall[token], r->recall_handle);
    b->has_result[token] = true;
    pthread_cond_broadcast(&b->came);
    pthread_mutex_unlock(&b->lock);
}

static void on_message(void *ctx, const struct rmq_delivery *d)
{
    struct bench *b = ctx;
    pthread_mutex_lock(&b->lock);
    if (b->n_got < KEPT) {
        struct got *g = &b->got[b->n_got++];
        copy(g->key, sizeof g->key, d->uniq_key);
        copy(g->body, sizeof g->body, d->body);
        copy(g->tags, sizeof g->tags, d->tags);
        g->n_times = d->n_times;
        g->receipt = d->receipt;
    }
    pthread_cond_broadcast(&b->came);
    pthread_mutex_unlock(&b->lock);
}

static void on_check(void *ctx, const struct rmq_check *check)
{
    struct bench *b = ctx;
    pthread_mutex_lock(&b->lock);
    if (b->n_checked < KEPT) {
        struct checked *k = &b->checked[b->n_checked++];
        copy(k->key, sizeof k->key, check->uniq_key);
        copy(k->body, sizeof k->body, check->body);
        copy(k->topic, sizeof k->topic, check->topic);
        k->handle = check->handle;
        k->n = check->n;
    }
    pthread_cond_broadcast(&b->came);
    pthread_mutex_unlock(&b->lock);
}

// Under the lock. False: nothing came for too long.
static bool await(struct bench *b)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    return pthread_cond_timedwait(&b->came, &b->lock, &until) == 0;
}

static struct rmq_result result_of(struct bench *b, uint64_t token)
{
    pthread_mutex_lock(&b->lock);
    while (!b->has_result[token])
        if (!await(b)) fail_msg("no answer");
    struct rmq_result r = b->results[token];
    pthread_mutex_unlock(&b->lock);
    return r;
}

static struct got await_got(struct bench *b, const char *key, uint32_t n_times)
{
    pthread_mutex_lock(&b->lock);
    for (;;) {
        for (unsigned i = 0; i < b->n_got; i++) {
            if (strcmp(b->got[i].key, key) != 0 || b->got[i].n_times < n_times) continue;
            struct got g = b->got[i];
            pthread_mutex_unlock(&b->lock);
            return g;
        }
        if (!await(b)) fail_msg("message %s did not come", key);
    }
}

static unsigned count_got(struct bench *b, const char *key)
{
    unsigned n = 0;
    pthread_mutex_lock(&b->lock);
    for (unsigned i = 0; i < b->n_got; i++)
        n += strcmp(b->got[i].key, key) == 0;
    pthread_mutex_unlock(&b->lock);
    return n;
}

// The newest check of a key, of at least the n-th round.
static struct checked await_check(struct bench *b, const char *key, uint32_t n)
{
    pthread_mutex_lock(&b->lock);
    for (;;) {
        for (unsigned i = b->n_checked; i-- > 0;) {
            if (strcmp(b->checked[i].key, key) != 0 || b->checked[i].n < n) continue;
            struct checked k = b->checked[i];
            pthread_mutex_unlock(&b->lock);
            return k;
        }
        if (!await(b)) fail_msg("no check-back of %s", key);
    }
}

static struct rmq *client_new(struct bench *b, const struct str *topics, unsigned n_topics)
{
    const char *namesrv = getenv("TILL_TEST_NAMESRV"), *ak = getenv("TILL_TEST_ACCESS_KEY");
    const char *sk = getenv("TILL_TEST_SECRET_KEY"), *tls = getenv("TILL_TEST_TLS"), *ca = getenv("TILL_TEST_CA");
    char why[160];
    struct rmq_options o = {.namesrv = str_of(namesrv),
                            .transaction_group = str_of(b->group),
                            .producer_group = STR("till_test_out"),
                            .access_key = str_of(ak),
                            .secret_key = str_of(sk),
                            .tls = tls && strcmp(tls, "1") == 0,
                            .tls_insecure = !ca,
                            .ca_file = ca,
                            .topics = topics,
                            .n_topics = n_topics,
                            .call_deadline_ms = 10000,
                            .poll_ms = 5000,
                            .on_check = on_check,
                            .ctx = b};
    struct rmq *c = rmq_new(&o, why);
    if (!c) fail_msg("%s", why);
    return c;
}

static uint64_t token_new(struct bench *b)
{
    pthread_mutex_lock(&b->lock);
    uint64_t t = b->next_token++;
    pthread_mutex_unlock(&b->lock);
    assert_true(t < KEPT);
    return t;
}

static void must_be(const struct rmq_result *r, enum rmq_outcome outcome)
{
    if (r->outcome != outcome) fail_msg("outcome %d, code %d: %s", (int)r->outcome, r->code, r->remark);
}

static void make_topic(struct bench *b, const char *topic)
{
    uint64_t t = token_new(b);
    assert_true(rmq_topic_create(b->c, str_of(topic), 4, on_done, b, t));
    struct rmq_result r = result_of(b, t);
    must_be(&r, RMQ_DONE);
}

static void subscribe(struct bench *b, int64_t invisible_ms)
{
    struct rmq_subscription s = {.topic = str_of(b->topic),
                                 .group = str_of(b->group),
                                 .invisible_ms = invisible_ms,
                                 .max = 64,
                                 .on_message = on_message,
                                 .ctx = b};
    assert_true(rmq_subscribe(b->c, &s));
}

// Each test has topics and groups of its own, so that they do not see each other's messages.
static struct bench *bench_new(const char *name, int64_t invisible_ms)
{
    struct bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->came, NULL);
    (void)snprintf(b->topic, sizeof b->topic, "real_%s_%d", name, (int)getpid());
    (void)snprintf(b->group, sizeof b->group, "real_group_%s_%d", name, (int)getpid());
    struct str topic = str_of(b->topic);
    b->c = client_new(b, &topic, 1);
    make_topic(b, b->topic);
    if (invisible_ms) subscribe(b, invisible_ms);
    return b;
}

static void bench_free(struct bench *b)
{
    rmq_free(b->c);
    pthread_mutex_destroy(&b->lock);
    pthread_cond_destroy(&b->came);
    free(b);
}

static struct rmq_message message(struct bench *b, const char *body)
{
    return (struct rmq_message){
        .topic = str_of(b->topic), .tags = STR("test"), .keys = STR("k1 k2"), .body = str_of(body)};
}

static struct rmq_result half(struct bench *b, const char *body)
{
    struct rmq_message m = message(b, body);
    uint64_t t = token_new(b);
    assert_true(rmq_half(b->c, &m, on_done, b, t));
    struct rmq_result r = result_of(b, t);
    must_be(&r, RMQ_DONE);
    return r;
}

static struct rmq_result end(struct bench *b, const struct rmq_handle *h, const char *key, enum rmq_answer answer,
                             bool from_check)
{
    uint64_t t = token_new(b);
    struct rmq_end e = {
        .handle = h, .topic = str_of(b->topic), .uniq_key = str_of(key), .answer = answer, .from_check = from_check};
    assert_true(rmq_end(b->c, &e, on_done, b, t));
    return result_of(b, t);
}

static struct rmq_result sent(struct bench *b, const char *body, int64_t deliver_ms, uint64_t *token)
{
    struct rmq_message m = message(b, body);
    m.deliver_ms = deliver_ms;
    *token = token_new(b);
    assert_true(rmq_send(b->c, &m, on_done, b, *token));
    struct rmq_result r = result_of(b, *token);
    must_be(&r, RMQ_DONE);
    return r;
}

static void acked(struct bench *b, const struct rmq_receipt *receipt)
{
    uint64_t t = token_new(b);
    assert_true(rmq_ack(b->c, receipt, on_done, b, t));
    struct rmq_result r = result_of(b, t);
    must_be(&r, RMQ_DONE);
}

static void a_message_sent_is_delivered_and_acknowledged(void **state)
{
    (void)state;
    struct bench *b = bench_new("plain", 60000);
    uint64_t t;
    struct rmq_result r = sent(b, "hello", 0, &t);
    struct got g = await_got(b, r.msg_id, 1);
    assert_string_equal(g.body, "hello");
    assert_string_equal(g.tags, "test");
    acked(b, &g.receipt);
    bench_free(b);
}

static void a_half_committed_is_delivered_once(void **state)
{
    (void)state;
    struct bench *b = bench_new("commit", 60000);
    struct rmq_result h = half(b, "commit me");
    struct rmq_result r = end(b, &h.handle, h.msg_id, RMQ_COMMIT, false);
    must_be(&r, RMQ_DONE);
    struct got g = await_got(b, h.msg_id, 1);
    assert_string_equal(g.body, "commit me");
    acked(b, &g.receipt);
    bench_free(b);
}

static void a_half_rolled_back_is_not_delivered(void **state)
{
    (void)state;
    struct bench *b = bench_new("rollback", 60000);
    struct rmq_result h = half(b, "forget me"), later = half(b, "later");
    struct rmq_result r = end(b, &h.handle, h.msg_id, RMQ_ROLLBACK, false);
    must_be(&r, RMQ_DONE);
    r = end(b, &later.handle, later.msg_id, RMQ_COMMIT, false);
    must_be(&r, RMQ_DONE);
    (void)await_got(b, later.msg_id, 1);
    assert_int_equal(count_got(b, h.msg_id), 0);
    bench_free(b);
}

static void a_check_back_brings_a_newer_handle(void **state)
{
    (void)state;
    struct bench *b = bench_new("check", 60000);
    struct rmq_result h = half(b, "check me");
    struct checked k = await_check(b, h.msg_id, 1);
    assert_string_equal(k.body, "check me");
    assert_string_equal(k.topic, b->topic);
    assert_string_equal(k.handle.broker, h.handle.broker);
    assert_true(k.handle.commit_log_offset > h.handle.commit_log_offset);
    assert_true(k.handle.queue_offset > h.handle.queue_offset);
    struct rmq_result r = end(b, &k.handle, h.msg_id, RMQ_COMMIT, true);
    must_be(&r, RMQ_DONE);
    struct got g = await_got(b, h.msg_id, 1);
    acked(b, &g.receipt);
    assert_int_equal(count_got(b, h.msg_id), 1);
    bench_free(b);
}

// Ending with the handle of the send after a check-back was seen: delivered, but the newer copy stays pending, and its
// check-backs go on. A rollback takes the copy away without a second delivery.
static void a_copy_left_pending_is_taken_away_by_a_rollback(void **state)
{
    (void)state;
    struct bench *b = bench_new("zombie", 60000);
    struct rmq_result h = half(b, "zombie");
    struct checked first = await_check(b, h.msg_id, 1);
    struct rmq_result r = end(b, &h.handle, h.msg_id, RMQ_COMMIT, false);
    must_be(&r, RMQ_DONE);
    struct got g = await_got(b, h.msg_id, 1);
    acked(b, &g.receipt);
    struct checked later = await_check(b, h.msg_id, first.n + 1);
    r = end(b, &later.handle, h.msg_id, RMQ_ROLLBACK, true);
    must_be(&r, RMQ_DONE);
    struct rmq_result other = half(b, "other");
    struct checked k = await_check(b, other.msg_id, 2); // two rounds later
    r = end(b, &k.handle, other.msg_id, RMQ_COMMIT, true);
    must_be(&r, RMQ_DONE);
    (void)await_got(b, other.msg_id, 1);
    assert_int_equal(count_got(b, h.msg_id), 1);
    bench_free(b);
}

static void an_end_at_a_wrong_place_is_refused(void **state)
{
    (void)state;
    struct bench *b = bench_new("wrong", 0);
    struct rmq_result h = half(b, "wrong");
    struct rmq_handle wrong = h.handle;
    wrong.queue_offset += 1000;
    struct rmq_result r = end(b, &wrong, h.msg_id, RMQ_COMMIT, false);
    must_be(&r, RMQ_REFUSED);
    assert_int_equal(r.code, 1);
    assert_true(r.remark[0]);
    wrong = h.handle;
    wrong.commit_log_offset += INT64_C(1) << 40;
    r = end(b, &wrong, h.msg_id, RMQ_COMMIT, false);
    must_be(&r, RMQ_REFUSED);
    r = end(b, &h.handle, h.msg_id, RMQ_ROLLBACK, false);
    must_be(&r, RMQ_DONE);
    bench_free(b);
}

static void a_message_hidden_comes_again(void **state)
{
    (void)state;
    struct bench *b = bench_new("hide", 60000);
    uint64_t t;
    struct rmq_result r = sent(b, "again", 0, &t);
    struct got g = await_got(b, r.msg_id, 1);
    t = token_new(b);
    assert_true(rmq_hide(b->c, &g.receipt, 1000, on_done, b, t));
    struct rmq_result hidden = result_of(b, t);
    must_be(&hidden, RMQ_DONE);
    g = await_got(b, r.msg_id, 2);
    assert_string_equal(g.body, "again");
    acked(b, &g.receipt);
    bench_free(b);
}

static void a_message_not_acknowledged_comes_again(void **state)
{
    (void)state;
    struct bench *b = bench_new("lapse", 3000);
    uint64_t t;
    struct rmq_result r = sent(b, "lapse", 0, &t);
    struct got g = await_got(b, r.msg_id, 2);
    acked(b, &g.receipt);
    bench_free(b);
}

static void a_timer_message_waits_and_another_is_taken_back(void **state)
{
    (void)state;
    struct bench *b = bench_new("timer", 60000);
    uint64_t t1, t2;
    int64_t due_ms = wall_ms() + 4000;
    struct rmq_result back = sent(b, "taken back", due_ms, &t1), stays = sent(b, "stays", due_ms + 1000, &t2);
    assert_true(b->recall[t1][0]);
    uint64_t t = token_new(b);
    assert_true(rmq_recall(b->c, str_of(b->topic), str_of(b->recall[t1]), on_done, b, t));
    struct rmq_result r = result_of(b, t);
    must_be(&r, RMQ_DONE);
    (void)await_got(b, stays.msg_id, 1);
    assert_true(wall_ms() >= due_ms - 1000); // slots of a second, rounded down
    assert_int_equal(count_got(b, back.msg_id), 0);
    bench_free(b);
}

static void a_batch_is_delivered_message_by_message(void **state)
{
    (void)state;
    struct bench *b = bench_new("batch", 60000);
    struct rmq_message m[3] = {message(b, "one"), message(b, "two"), message(b, "three")};
    static const char *keys[] = {"BATCHKEY0001", "BATCHKEY0002", "BATCHKEY0003"};
    for (int i = 0; i < 3; i++)
        m[i].uniq_key = str_of(keys[i]);
    uint64_t t = token_new(b);
    assert_true(rmq_send_batch(b->c, m, 3, on_done, b, t));
    struct rmq_result r = result_of(b, t);
    must_be(&r, RMQ_DONE);
    for (int i = 0; i < 3; i++) {
        struct got g = await_got(b, keys[i], 1);
        assert_memory_equal(g.body, m[i].body.p, m[i].body.n);
        acked(b, &g.receipt);
    }
    bench_free(b);
}

static void a_topic_nobody_made_is_made_by_the_first_message(void **state)
{
    (void)state;
    struct bench *b = bench_new("auto", 0);
    (void)snprintf(b->topic, sizeof b->topic, "real_made_%d", (int)getpid());
    uint64_t t;
    struct rmq_result r = sent(b, "first", 0, &t);
    subscribe(b, 60000);
    struct got g = await_got(b, r.msg_id, 1);
    acked(b, &g.receipt);
    bench_free(b);
}

static void the_same_shard_goes_to_the_same_queue(void **state)
{
    (void)state;
    struct bench *b = bench_new("shard", 0);
    struct rmq_message m = message(b, "x");
    m.ordered = true;
    m.shard = 7;
    struct rmq_result first = {0};
    for (int i = 0; i < 6; i++) {
        uint64_t t = token_new(b);
        assert_true(rmq_send(b->c, &m, on_done, b, t));
        struct rmq_result r = result_of(b, t);
        must_be(&r, RMQ_DONE);
        if (i == 0) first = r;
        assert_int_equal(r.queue_id, first.queue_id);
        assert_string_equal(r.handle.broker, first.handle.broker);
    }
    bench_free(b);
}

static void a_body_of_a_megabyte_arrives(void **state)
{
    (void)state;
    struct bench *b = bench_new("large", 60000);
    size_t n = (size_t)1 << 20;
    char *body = malloc(n);
    assert_non_null(body);
    memset(body, 'a', n);
    struct rmq_message m = message(b, "");
    m.body = (struct str){body, n};
    uint64_t t = token_new(b);
    assert_true(rmq_send(b->c, &m, on_done, b, t));
    struct rmq_result r = result_of(b, t);
    must_be(&r, RMQ_DONE);
    struct got g = await_got(b, r.msg_id, 1);
    assert_memory_equal(g.body, "aaaa", 4);
    acked(b, &g.receipt);
    free(body);
    bench_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_sent_is_delivered_and_acknowledged),
        cmocka_unit_test(a_half_committed_is_delivered_once),
        cmocka_unit_test(a_half_rolled_back_is_not_delivered),
        cmocka_unit_test(a_check_back_brings_a_newer_handle),
        cmocka_unit_test(a_copy_left_pending_is_taken_away_by_a_rollback),
        cmocka_unit_test(an_end_at_a_wrong_place_is_refused),
        cmocka_unit_test(a_message_hidden_comes_again),
        cmocka_unit_test(a_message_not_acknowledged_comes_again),
        cmocka_unit_test(a_timer_message_waits_and_another_is_taken_back),
        cmocka_unit_test(a_batch_is_delivered_message_by_message),
        cmocka_unit_test(a_topic_nobody_made_is_made_by_the_first_message),
        cmocka_unit_test(the_same_shard_goes_to_the_same_queue),
        cmocka_unit_test(a_body_of_a_megabyte_arrives),
    };
    if (!getenv("TILL_TEST_NAMESRV")) {
        (void)fprintf(stderr, "TILL_TEST_NAMESRV is not set: this test needs a real RocketMQ name server\n");
        return 2;
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
