// SPDX-License-Identifier: Apache-2.0
// How fast the client drives a real cluster, and what of the processor it needs for that: pairs of a half message and
// its commit.      speed PAIRS IN_FLIGHT BODY_BYTES [oneway]      (name server in TILL_TEST_NAMESRV)
#include "broker/rocketmq/client.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

struct run {
    struct rmq *c;
    struct rmq_message message;
    bool oneway;
    uint64_t pairs, begun, n_bad;
    int64_t *took_ns, *since_ns; // by pair
    _Atomic uint64_t ended;
    pthread_mutex_t lock;
    pthread_cond_t finished;
};

static int64_t now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void begin(struct run *r);

static void pair_done(struct run *r, uint64_t token)
{
    r->took_ns[token] = now_ns(CLOCK_MONOTONIC) - r->since_ns[token];
    begin(r);
    if (atomic_fetch_add(&r->ended, 1) + 1 < r->pairs) return;
    pthread_mutex_lock(&r->lock);
    pthread_cond_signal(&r->finished);
    pthread_mutex_unlock(&r->lock);
}

static void on_end(void *ctx, uint64_t token, const struct rmq_result *result)
{
    struct run *r = ctx;
    if (result->outcome != RMQ_DONE) r->n_bad++;
    pair_done(r, token);
}

static void on_half(void *ctx, uint64_t token, const struct rmq_result *result)
{
    struct run *r = ctx;
    struct rmq_end end = {.handle = &result->handle,
                          .topic = r->message.topic,
                          .uniq_key = str_of(result->msg_id),
                          .answer = RMQ_COMMIT,
                          .oneway = r->oneway};
    if (result->outcome == RMQ_DONE && rmq_end(r->c, &end, on_end, r, token)) return;
    if (r->n_bad++ == 0) (void)fprintf(stderr, "half: code %d: %s\n", result->code, result->remark);
    pair_done(r, token);
}

static void begin(struct run *r)
{
    if (r->begun == r->pairs) return;
    uint64_t token = r->begun++;
    r->since_ns[token] = now_ns(CLOCK_MONOTONIC);
    if (rmq_half(r->c, &r->message, on_half, r, token)) return;
    r->n_bad++;
    pair_done(r, token);
}

// From the I/O thread on, all is driven by its callbacks; the first message starts as many pairs as are wanted.
struct start {
    struct run *run;
    unsigned in_flight;
};

static void on_first(void *ctx, uint64_t token, const struct rmq_result *result)
{
    struct start *s = ctx;
    (void)token;
    if (result->outcome != RMQ_DONE) {
        (void)fprintf(stderr, "speed: %s\n", result->remark);
        exit(1);
    }
    for (unsigned i = 0; i < s->in_flight; i++)
        begin(s->run);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void on_topic(void *ctx, uint64_t token, const struct rmq_result *result)
{
    _Atomic int *made = ctx;
    (void)token;
    atomic_store(made, result->outcome == RMQ_DONE ? 1 : -1);
}

int main(int argc, char **argv)
{
    const char *namesrv = getenv("TILL_TEST_NAMESRV");
    if (!namesrv || argc < 4) {
        (void)fprintf(stderr, "usage: TILL_TEST_NAMESRV=host:port speed PAIRS IN_FLIGHT BODY_BYTES [oneway]\n");
        return 2;
    }
    struct run r = {.pairs = strtoull(argv[1], NULL, 10), .oneway = argc > 4};
    struct start s = {&r, (unsigned)strtoul(argv[2], NULL, 10)};
    size_t body_n = strtoul(argv[3], NULL, 10);
    struct str topic = STR("till_speed");
    const char *ak = getenv("TILL_TEST_ACCESS_KEY"), *sk = getenv("TILL_TEST_SECRET_KEY");
    struct rmq_options o = {.namesrv = str_of(namesrv),
                            .transaction_group = STR("till_speed_tx"),
                            .producer_group = STR("till_speed_out"),
                            .access_key = str_of(ak),
                            .secret_key = str_of(sk),
                            .tls = getenv("TILL_TEST_TLS") != NULL,
                            .tls_insecure = true,
                            .topics = &topic,
                            .n_topics = 1,
                            .call_deadline_ms = 20000};
    char why[160], *body = malloc(body_n + 1);
    _Atomic int made = 0;
    struct timespec pause = {.tv_nsec = 10000000};
    r.took_ns = calloc(r.pairs + 1, sizeof *r.took_ns);
    r.since_ns = calloc(r.pairs + 1, sizeof *r.since_ns);
    if (!body || !r.took_ns || !r.since_ns || r.pairs == 0) return 1;
    memset(body, 'x', body_n);
    r.c = rmq_new(&o, why);
    if (!r.c || !rmq_topic_create(r.c, topic, 8, on_topic, &made, 0)) return 1;
    while (!atomic_load(&made))
        nanosleep(&pause, NULL);
    r.message = (struct rmq_message){.topic = topic, .tags = STR("order.cancel"), .body = {body, body_n}};
    pthread_mutex_init(&r.lock, NULL);
    pthread_cond_init(&r.finished, NULL);
    int64_t wall = now_ns(CLOCK_MONOTONIC), cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    if (!rmq_send(r.c, &r.message, on_first, &s, 0)) return 1;
    pthread_mutex_lock(&r.lock);
    while (atomic_load(&r.ended) < r.pairs)
        pthread_cond_wait(&r.finished, &r.lock);
    pthread_mutex_unlock(&r.lock);
    wall = now_ns(CLOCK_MONOTONIC) - wall;
    cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    rmq_free(r.c);
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    qsort(r.took_ns, r.pairs, sizeof *r.took_ns, by_size);
    (void)printf(
        "pairs %llu bad %llu, %.0f pairs/s, cpu %.2f us/pair (user %.2f s sys %.2f s), p50 %.2f ms p99 %.2f ms, "
        "rss %ld KiB\n",
        (unsigned long long)r.pairs, (unsigned long long)r.n_bad, (double)r.pairs * 1e9 / (double)wall,
        (double)cpu / 1000 / (double)r.pairs, (double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec / 1e6,
        (double)u.ru_stime.tv_sec + (double)u.ru_stime.tv_usec / 1e6, (double)r.took_ns[r.pairs / 2] / 1e6,
        (double)r.took_ns[r.pairs * 99 / 100] / 1e6, u.ru_maxrss);
    free(body);
    free(r.took_ns);
    free(r.since_ns);
    return r.n_bad != 0;
}
