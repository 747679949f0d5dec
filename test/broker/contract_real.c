// SPDX-License-Identifier: Apache-2.0
// The contract over a real RocketMQ cluster, named by TILL_TEST_NAMESRV ("host:port"), and what only a broker elsewhere
// can do: be away, and ask about orders we do not know. Its brokers are set up as real.c wants them.
#include "broker/rocketmq.h"
#include "broker/rocketmq/client.h"
#include "port/clock.h"
#include "site.h"
#include <unistd.h>

#define KEPT       4096
#define NOBODY     "127.0.0.1:1" // where nobody listens
#define START_S    60
#define CALL_MS    3000
#define N_CONSUMED 3

// Somebody else's consumer of all three topics.
struct watcher {
    struct rmq *c;
    pthread_mutex_t lock;
    struct {
        enum topic topic;
        char keys[64];
        struct seen seen;
    } got[KEPT];
    unsigned n_got;
};

static struct watcher watcher;
static char run_name[32]; // of this run, in the names of groups

static const enum topic CONSUMED[N_CONSUMED] = {TOPIC_CANCEL, TOPIC_PAID, TOPIC_EVENTS};

static void copy(char *to, size_t size, struct str s)
{
    (void)snprintf(to, size, "%.*s", (int)s.n, s.p);
}

static void on_message(void *ctx, const struct rmq_delivery *d)
{
    struct watcher *k = ctx;
    enum topic topic = TOPIC_EVENTS;
    for (unsigned i = 0; i < N_CONSUMED; i++)
        if (str_eq(d->topic, str_of(topic_name(CONSUMED[i])))) topic = CONSUMED[i];
    pthread_mutex_lock(&k->lock);
    if (k->n_got == KEPT) abort();
    k->got[k->n_got].topic = topic;
    copy(k->got[k->n_got].keys, sizeof k->got[0].keys, d->keys);
    copy(k->got[k->n_got].seen.tags, sizeof k->got[0].seen.tags, d->tags);
    copy(k->got[k->n_got].seen.body, sizeof k->got[0].seen.body, d->body);
    const char *id = strstr(k->got[k->n_got].seen.body, "\"id\":\"");
    const char *end = id ? strchr(id + 6, '"') : NULL;
    if (end) copy(k->got[k->n_got].seen.id, sizeof k->got[0].seen.id, (struct str){id + 6, (size_t)(end - id - 6)});
    if (end) k->n_got++; // else none of ours
    pthread_mutex_unlock(&k->lock);
    (void)rmq_ack(k->c, &d->receipt, NULL, NULL, 0);
}

static bool has_id(const struct seen *seen, unsigned n, const char *id)
{
    for (unsigned i = 0; i < n; i++)
        if (strcmp(seen[i].id, id) == 0) return true;
    return false;
}

static unsigned seen_by_watcher(struct site *s, enum topic topic, uint64_t order_key, struct seen *out, unsigned max)
{
    char order[ID_TEXT_SIZE];
    unsigned n = 0;
    id_format(s->store->secret, "ord_", order_key, order);
    pthread_mutex_lock(&watcher.lock);
    for (unsigned i = 0; i < watcher.n_got && n < max; i++) {
        if (watcher.got[i].topic != topic || strcmp(watcher.got[i].keys, order) != 0) continue;
        if (!has_id(out, n, watcher.got[i].seen.id)) out[n++] = watcher.got[i].seen;
    }
    pthread_mutex_unlock(&watcher.lock);
    return n;
}

static void await_ready(struct rmq *c)
{
    char state[160] = "";
    const struct timespec pause = {.tv_nsec = 20000000};
    int64_t until_ms = clock_real_ms() + START_S * 1000;
    while (!rmq_state(c, state)) {
        if (clock_real_ms() > until_ms) fail_msg("the cluster does not come: %s", state);
        nanosleep(&pause, NULL);
    }
}

struct made {
    _Atomic int left;
    _Atomic bool failed;
};

static void on_made(void *ctx, uint64_t token, const struct rmq_result *r)
{
    struct made *m = ctx;
    (void)token;
    if (r->outcome != RMQ_DONE) atomic_store(&m->failed, true);
    atomic_fetch_sub(&m->left, 1);
}

static void make_topics(struct rmq *c)
{
    struct made made = {.left = N_CONSUMED};
    const struct timespec pause = {.tv_nsec = 20000000};
    for (unsigned i = 0; i < N_CONSUMED; i++)
        assert_true(rmq_topic_create(c, str_of(topic_name(CONSUMED[i])), 4, on_made, &made, 0));
    while (atomic_load(&made.left) > 0)
        nanosleep(&pause, NULL);
    assert_false(atomic_load(&made.failed));
}

static int open_watcher(void)
{
    char why[160], group[64];
    const char *servers = getenv("TILL_TEST_NAMESRV");
    if (!servers) {
        (void)fprintf(stderr, "TILL_TEST_NAMESRV must name a cluster\n");
        return 1;
    }
    (void)snprintf(run_name, sizeof run_name, "%lx%x", (unsigned long)clock_real_ms(), (unsigned)getpid());
    (void)snprintf(group, sizeof group, "seen_%s", run_name);
    const struct str topics[N_CONSUMED] = {str_of(topic_name(CONSUMED[0])), str_of(topic_name(CONSUMED[1])),
                                           str_of(topic_name(CONSUMED[2]))};
    const struct rmq_options o = {
        .namesrv = str_of(servers), .producer_group = str_of(group), .topics = topics, .n_topics = N_CONSUMED};
    pthread_mutex_init(&watcher.lock, NULL);
    watcher.c = rmq_new(&o, why);
    if (!watcher.c) return 1;
    return 0;
}

static int begin_watcher(void **state)
{
    char group[64];
    (void)state;
    await_ready(watcher.c);
    make_topics(watcher.c);
    (void)snprintf(group, sizeof group, "seen_%s", run_name);
    for (unsigned i = 0; i < N_CONSUMED; i++) {
        const struct rmq_subscription s = {.topic = str_of(topic_name(CONSUMED[i])),
                                           .group = str_of(group),
                                           .invisible_ms = 30000,
                                           .max = 256,
                                           .on_message = on_message,
                                           .ctx = &watcher};
        if (!rmq_subscribe(watcher.c, &s)) return -1;
    }
    return 0;
}

// --- The adapter

static char url[256]; // borrowed by the broker while it lives

static struct broker *open_rocketmq(struct site *s, const struct news_sink *sink)
{
    char why[200];
    const struct sqlite_options so = {.path = s->path, .cache_mib = 1};
    const char *servers = s->is_cut_off ? NOBODY : getenv("TILL_TEST_NAMESRV");
    (void)snprintf(url, sizeof url, "rocketmq://%s?group=g%s_%u", servers, run_name, s->n_sites);
    struct rocketmq_options o = {.url = url, .access_key = "", .secret_key_file = "", .call_deadline_ms = CALL_MS};
    memcpy(o.secret, s->store->secret, ID_SECRET_SIZE);
    assert_true(s->store->ops->consumed(s->store, CONSUMER_OUTBOX, &o.published_key));
    o.reader = sqlite_reader_open(&so, why);
    assert_non_null(o.reader);
    return rocketmq_open(&o, sink, why);
}

static bool describes(struct site *s, const char *words)
{
    struct buf b = {0};
    s->broker->ops->describe(s->broker, &b);
    buf_char(&b, 0);
    bool found = !b.failed && strstr(b.p, words) != NULL;
    buf_free(&b);
    return found;
}

static void await_rocketmq(struct site *s)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    int64_t until_ms = clock_real_ms() + START_S * 1000;
    while (!s->is_cut_off && !describes(s, "\"connected\":true")) {
        if (clock_real_ms() > until_ms) fail_msg("the cluster does not come");
        nanosleep(&pause, NULL);
    }
}

static const struct adapter ROCKETMQ = {
    .name = "RocketMQ", .kind = BROKER_REMOTE, .open = open_rocketmq, .seen = seen_by_watcher, .await = await_rocketmq};

// --- What only a broker elsewhere can do

static int set_up_cut_off(void **state)
{
    struct site *s = site_new(&ROCKETMQ);
    s->is_cut_off = true;
    s->rules.cancel_wait_ms = 5000; // as in the service
    site_start(s);
    *state = s;
    return 0;
}

static int set_up(void **state)
{
    struct site *s = site_new(&ROCKETMQ);
    site_start(s);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    site_free(*state);
    return 0;
}

static void a_broker_that_is_away_delays_no_order_and_hears_all_of_it_later(void **state)
{
    struct site *s = *state;
    uint64_t keys[8];
    for (int i = 0; i < 8; i++)
        keys[i] = site_place(s, (enum policy)(i % 4)); // each waits for money, with nobody there
    assert_true(describes(s, "\"connected\":false"));
    for (int i = 0; i < 4; i++)
        site_pay(s, keys[i]);
    site_advance(s, SITE_WINDOW_MS + 1);
    for (int i = 4; i < 8; i++) {
        UNTIL(s, site_state(s, keys[i]) == ORDER_CLOSING || site_state(s, keys[i]) == ORDER_CANCELLED);
        site_advance(s, 5001); // the message does not come, so they close by themselves
        UNTIL(s, site_state(s, keys[i]) == ORDER_CANCELLED);
    }
    for (int i = 0; i < 8; i++)
        assert_int_equal(0, site_n_seen(s, TOPIC_EVENTS, keys[i]));
    site_stop(s);
    s->is_cut_off = false;
    site_start(s);
    site_advance(s, 120000); // what was said to nobody is said again after a pause
    for (int i = 0; i < 8; i++) {
        UNTIL(s, site_n_seen(s, TOPIC_EVENTS, keys[i]) == (i < 4 ? 3 : 4));
        UNTIL(s, site_bundle(s, keys[i])->half.owes == 0);
    }
    UNTIL(s, site_n_seen(s, TOPIC_PAID, keys[POLICY_FORWARD]) == 1);
    for (int i = 4; i < 8; i++) // delay, poll, reverse: order.cancel; forward: order.cancelled
        UNTIL(s, site_n_seen(s, TOPIC_CANCEL, keys[i]) == 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(0, site_n_seen(s, TOPIC_CANCEL, keys[i]));
    assert_int_equal(0, site_n_seen(s, TOPIC_PAID, keys[4 + POLICY_FORWARD]));
}

static void file_copy(const char *from, const char *to)
{
    char room[65536];
    FILE *in = fopen(from, "rbe"), *out = fopen(to, "wbe");
    assert_non_null(in);
    assert_non_null(out);
    for (size_t n; (n = fread(room, 1, sizeof room, in)) > 0;)
        assert_int_equal(n, fwrite(room, 1, n, out));
    assert_int_equal(0, fclose(in));
    assert_int_equal(0, fclose(out));
}

// A store from before the order was placed, as a node has that lags behind.
static void a_half_message_of_an_order_nobody_knows_is_never_decided(void **state)
{
    struct site *s = *state;
    char before[128], now[128];
    (void)snprintf(before, sizeof before, "%s/before.db", s->dir);
    (void)snprintf(now, sizeof now, "%s/now.db", s->dir);
    site_stop(s);
    file_copy(s->path, before);
    site_start(s);
    uint64_t key = site_place(s, POLICY_REVERSE);
    UNTIL(s, site_bundle(s, key)->half.state == HALF_PENDING);
    site_stop(s);
    file_copy(s->path, now);
    file_copy(before, s->path);
    site_start(s);
    assert_null(site_bundle(s, key));
    const struct engine_stats *stats = engine_stats(s->engine);
    UNTIL(s, stats->checks_unknown >= 3); // asked again and again: nobody has decided it
    site_stop(s);
    file_copy(now, s->path);
    (void)unlink(now);
    site_start(s); // and one who knows it can still decide it
    UNTIL(s, site_bundle(s, key)->half.n_checks > 0);
    assert_int_equal(0, site_n_seen(s, TOPIC_CANCEL, key));
    site_advance(s, SITE_WINDOW_MS + 1);
    UNTIL(s, site_state(s, key) == ORDER_CANCELLED);
    UNTIL(s, site_n_seen(s, TOPIC_CANCEL, key) == 1);
}

static void a_half_message_is_asked_about_until_it_is_decided_and_then_no_more(void **state)
{
    struct site *s = *state;
    uint64_t key = site_place(s, POLICY_FORWARD);
    UNTIL(s, site_bundle(s, key)->half.n_checks >= 2);
    site_pay(s, key);
    UNTIL(s, site_bundle(s, key)->half.state == HALF_ENDED);
    uint32_t asked = site_bundle(s, key)->half.n_checks;
    uint64_t other = site_place(s, POLICY_FORWARD);
    UNTIL(s, site_bundle(s, other)->half.n_checks >= 4); // that many rounds later
    assert_int_equal(asked, site_bundle(s, key)->half.n_checks);
    assert_int_equal(1, site_n_seen(s, TOPIC_PAID, key));
}

#define T(f, up) cmocka_unit_test_setup_teardown(f, up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_broker_that_is_away_delays_no_order_and_hears_all_of_it_later, set_up_cut_off),
        T(a_half_message_of_an_order_nobody_knows_is_never_decided, set_up),
        T(a_half_message_is_asked_about_until_it_is_decided_and_then_no_more, set_up),
    };
    cmocka_set_test_filter(getenv("TILL_TEST_ONLY")); // NULL: all of them
    if (open_watcher() != 0) return 1;
    int failed = cmocka_run_group_tests_name("RocketMQ alone", tests, begin_watcher, NULL);
    failed += broker_contract_run(&ROCKETMQ);
    rmq_free(watcher.c);
    return failed;
}
