// SPDX-License-Identifier: Apache-2.0
// The outbox against a cluster that answers as a test says. It waits for what must happen, never for a time.
#include "broker/outbox.h"
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
// after the above:
#include <cmocka.h>

#define WAIT_S     30 // then it has not happened
#define EVENTS_MAX 2048
#define ORDERS     40

// What stands behind the functions of client.h here.
struct rmq {
    pthread_mutex_t lock;
    pthread_cond_t came;
    unsigned n_refuse, n_unknown, n_turn_away; // of the next calls: refused, stored without an answer, not accepted
    bool is_away;                              // accepts nothing
    unsigned n_calls;
    // what is stored, in the order it came; `n_copies` of each event
    unsigned n_stored, n_copies[EVENTS_MAX + 1];
    uint32_t last_sequence[ORDERS + 1]; // by order, the newest stored
    bool is_out_of_order;
    uint64_t told_key; // by news
    bool told_too_much;
};

static struct rmq cluster;

struct table {
    struct reader base;
    bool is_closed;
    atomic_uint n; // events there are: keys 1..n, of orders 1..ORDERS in turn
};

static bool table_events(struct reader *r, uint64_t after_key, struct event_row *out, unsigned max, unsigned *n,
                         struct arena *a)
{
    (void)a;
    struct table *t = (struct table *)r;
    *n = 0;
    for (uint64_t key = after_key + 1; key <= atomic_load(&t->n) && *n < max; key++)
        out[(*n)++] = (struct event_row){.key = key,
                                         .order_key = 1 + key % ORDERS,
                                         .event = {.type = EVENT_ORDER_PAID,
                                                   .sequence = (uint32_t)(1 + (key - 1) / ORDERS),
                                                   .amount_fen = (int64_t)key}};
    return true;
}

static void table_close(struct reader *r)
{
    ((struct table *)r)->is_closed = true;
}

static const struct reader_ops TABLE_OPS = {.events = table_events, .close = table_close};

static uint64_t number_behind(struct str text, const char *name)
{
    char key[32], copy[512];
    assert_true(text.n < sizeof copy);
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    (void)snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = strstr(copy, key);
    return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

// An event again is no new one; a new one must be its order's next.
static void store(struct rmq *c, const struct rmq_message *m)
{
    uint64_t key = number_behind(m->body, "amount"), order = 1 + key % ORDERS;
    uint32_t sequence = (uint32_t)number_behind(m->body, "sequence");
    if (key == 0 || key > EVENTS_MAX) abort();
    if (sequence > c->last_sequence[order] + 1) c->is_out_of_order = true;
    if (sequence > c->last_sequence[order]) c->last_sequence[order] = sequence;
    c->n_stored += c->n_copies[key]++ == 0;
}

static bool take_one(unsigned *n)
{
    if (*n == 0) return false;
    --*n;
    return true;
}

bool rmq_send_batch(struct rmq *c, const struct rmq_message *m, unsigned n, rmq_done *done, void *ctx, uint64_t token)
{
    struct rmq_result r = {.outcome = RMQ_DONE};
    pthread_mutex_lock(&c->lock);
    c->n_calls++;
    bool takes = !c->is_away && !take_one(&c->n_turn_away);
    if (takes && take_one(&c->n_refuse))
        r.outcome = RMQ_REFUSED;
    else if (takes && take_one(&c->n_unknown))
        r.outcome = RMQ_UNKNOWN;
    for (unsigned i = 0; i < n && takes && r.outcome != RMQ_REFUSED; i++) {
        if (m[i].shard != m[0].shard || !m[i].ordered) abort(); // or they would go to several queues
        store(c, &m[i]);
    }
    pthread_cond_broadcast(&c->came);
    pthread_mutex_unlock(&c->lock);
    errno = EAGAIN;
    if (takes) done(ctx, token, &r);
    return takes;
}

bool rmq_send(struct rmq *c, const struct rmq_message *m, rmq_done *done, void *ctx, uint64_t token)
{
    return rmq_send_batch(c, m, 1, done, ctx, token);
}

static void on_news(void *ctx, const struct broker_news *n)
{
    struct rmq *c = ctx;
    pthread_mutex_lock(&c->lock);
    assert_int_equal(BROKER_PUBLISHED, n->kind);
    assert_int_equal(0, n->order_key);
    for (uint64_t key = c->told_key + 1; key <= n->published_key; key++)
        if (c->n_copies[key] == 0) c->told_too_much = true;
    c->told_key = n->published_key;
    pthread_cond_broadcast(&c->came);
    pthread_mutex_unlock(&c->lock);
}

struct bench {
    struct table table;
    struct outbox *o;
};

static void start(struct bench *b, uint64_t published_key, unsigned n_events)
{
    static const uint8_t secret[ID_SECRET_SIZE] = {1};
    const struct news_sink sink = {on_news, &cluster};
    cluster = (struct rmq){.told_key = published_key};
    pthread_mutex_init(&cluster.lock, NULL);
    pthread_cond_init(&cluster.came, NULL);
    for (uint64_t key = 1; key <= published_key; key++) // over there already
        cluster.last_sequence[1 + key % ORDERS] = (uint32_t)(1 + (key - 1) / ORDERS);
    *b = (struct bench){.table.base.ops = &TABLE_OPS};
    atomic_store(&b->table.n, n_events);
    b->o = outbox_new(&b->table.base, published_key, secret, &sink);
    assert_non_null(b->o);
}

static void run(struct bench *b)
{
    assert_true(outbox_start(b->o, &cluster));
}

// Until it has told that it came this far.
static void await_told(uint64_t key)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    int rc = 0;
    pthread_mutex_lock(&cluster.lock);
    while (cluster.told_key < key && rc == 0)
        rc = pthread_cond_timedwait(&cluster.came, &cluster.lock, &until);
    pthread_mutex_unlock(&cluster.lock);
    if (rc) fail_msg("it did not publish event %llu", (unsigned long long)key);
}

static void end(struct bench *b)
{
    outbox_free(b->o);
    assert_true(b->table.is_closed);
    assert_false(cluster.is_out_of_order);
    assert_false(cluster.told_too_much);
    pthread_cond_destroy(&cluster.came);
    pthread_mutex_destroy(&cluster.lock);
}

static void every_event_is_published_once_and_in_order_per_order(void **state)
{
    (void)state;
    struct bench b;
    start(&b, 0, EVENTS_MAX);
    run(&b);
    await_told(EVENTS_MAX);
    assert_int_equal(EVENTS_MAX, cluster.n_stored);
    assert_int_equal(EVENTS_MAX, outbox_n_published(b.o));
    for (unsigned key = 1; key <= EVENTS_MAX; key++)
        assert_int_equal(1, cluster.n_copies[key]);
    end(&b);
}

static void what_was_published_before_the_start_is_not_published_again(void **state)
{
    (void)state;
    struct bench b;
    start(&b, 1000, 1100);
    run(&b);
    await_told(1100);
    assert_int_equal(100, cluster.n_stored);
    assert_int_equal(0, cluster.n_copies[1000]);
    assert_int_equal(1, cluster.n_copies[1001]);
    end(&b);
}

static void what_comes_later_is_published_when_it_is_told_of(void **state)
{
    (void)state;
    struct bench b;
    start(&b, 0, 10);
    run(&b);
    await_told(10);
    atomic_store(&b.table.n, 25);
    outbox_wake(b.o, 25);
    await_told(25);
    assert_int_equal(25, cluster.n_stored);
    assert_false(outbox_is_behind(b.o));
    end(&b);
}

static void what_was_refused_or_not_taken_is_sent_again_before_what_follows(void **state)
{
    (void)state;
    struct bench b;
    start(&b, 0, EVENTS_MAX);
    cluster.n_refuse = 7;
    cluster.n_turn_away = 13;
    run(&b);
    await_told(EVENTS_MAX);
    for (unsigned key = 1; key <= EVENTS_MAX; key++)
        assert_int_equal(1, cluster.n_copies[key]);
    end(&b);
}

static void what_nobody_knows_of_is_sent_again_and_may_come_twice(void **state)
{
    (void)state;
    struct bench b;
    start(&b, 0, 300);
    cluster.n_unknown = 3;
    run(&b);
    await_told(300);
    unsigned twice = 0;
    for (unsigned key = 1; key <= 300; key++)
        twice += cluster.n_copies[key] > 1;
    assert_int_equal(300, cluster.n_stored);
    assert_true(twice >= 3);
    assert_int_equal(300, outbox_n_published(b.o));
    end(&b);
}

static atomic_bool rings;

static void *ring(void *arg)
{
    struct bench *b = arg;
    const struct timespec pause = {.tv_nsec = 1000000};
    while (atomic_load(&rings)) {
        outbox_wake(b->o, 100);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

// New events, so often that it is never left in peace, must not keep it from trying again.
static void it_tries_again_however_often_it_is_told_of_new_events(void **state)
{
    (void)state;
    struct bench b;
    pthread_t thread;
    start(&b, 0, 100);
    cluster.n_turn_away = 33; // more than there are lanes: the first round finds nobody
    atomic_store(&rings, true);
    assert_int_equal(0, pthread_create(&thread, NULL, ring, &b));
    run(&b);
    await_told(100);
    atomic_store(&rings, false);
    pthread_join(thread, NULL);
    end(&b);
}

static void it_ends_while_the_cluster_is_away(void **state)
{
    (void)state;
    struct bench b;
    start(&b, 0, 100);
    cluster.is_away = true;
    run(&b);
    outbox_wake(b.o, 100);
    pthread_mutex_lock(&cluster.lock);
    while (cluster.n_calls == 0)
        pthread_cond_wait(&cluster.came, &cluster.lock);
    pthread_mutex_unlock(&cluster.lock);
    assert_true(outbox_is_behind(b.o));
    end(&b);
    assert_int_equal(0, cluster.told_key);
}

static void one_that_never_ran_is_freed(void **state)
{
    (void)state;
    struct bench b;
    start(&b, 0, 1);
    end(&b);
    outbox_stop(NULL);
    outbox_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_is_published_once_and_in_order_per_order),
        cmocka_unit_test(what_was_published_before_the_start_is_not_published_again),
        cmocka_unit_test(what_comes_later_is_published_when_it_is_told_of),
        cmocka_unit_test(what_was_refused_or_not_taken_is_sent_again_before_what_follows),
        cmocka_unit_test(what_nobody_knows_of_is_sent_again_and_may_come_twice),
        cmocka_unit_test(it_tries_again_however_often_it_is_told_of_new_events),
        cmocka_unit_test(it_ends_while_the_cluster_is_away),
        cmocka_unit_test(one_that_never_ran_is_freed),
    };
    return cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
}
