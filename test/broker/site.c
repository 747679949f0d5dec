// SPDX-License-Identifier: Apache-2.0
#include "site.h"
#include "port/clock.h"
#include <unistd.h>

#define LIMIT_MS 120000 // then it does not come
#define PAUSE_MS 20

static const struct rules RULES = {
    .close_grace_ms = 30000,
    .checkback = {.schedule = SCHEDULE_FIXED, .first_ms = 30000, .interval_ms = 30000},
    .cancel_wait_ms = 3600000, // what closes an order here is its message, and nothing else
    .call_deadline_ms = 5000,
    .code_min_life_ms = 60000,
    .code_max_life_ms = 7200000,
    .refund_query_ms = 10000,
};

// --- The provider: somebody has scanned every code, and it closes what it is asked to close

static bool provider_submit(struct channel *c, const struct call *call, struct str subject, int64_t now_ms)
{
    (void)subject;
    struct site *s = (struct site *)((char *)c - offsetof(struct site, channel));
    struct answer a = {.payment_key = call->payment_key,
                       .channel = CHANNEL_ALIPAY,
                       .method = call->method,
                       .outcome = OUTCOME_DONE,
                       .fact = FACT_CLOSED,
                       .asked_ms = now_ms,
                       .code = STR("https://code.example/1"),
                       .on_demand = call->on_demand};
    if (call->method == CALL_CREATE) a.fact = FACT_CODE;
    if (call->method == CALL_QUERY) a.fact = FACT_WAITING;
    s->n_queries += call->method == CALL_QUERY;
    engine_post_answer(s->engine, &a);
    return true;
}

static const struct channel_ops PROVIDER_OPS = {.id = CHANNEL_ALIPAY, .submit = provider_submit};

// --- The engine's surroundings

static void on_reply(void *ctx, struct request *r)
{
    (void)ctx;
    assert_null(r->reply.code);
    buf_free(&r->reply.body);
    free(r);
}

static void present(void *ctx, const struct document *d, struct buf *out)
{
    (void)ctx, (void)d;
    buf_str(out, STR("{}"));
}

static void on_news(void *ctx, const struct broker_news *n)
{
    struct site *s = ctx;
    bool is_held = false;
    if (n->kind == BROKER_RECEIVED) {
        pthread_mutex_lock(&s->lock);
        if (s->n_received == SITE_RECEIVED) abort();
        s->received[s->n_received++] = *n;
        is_held = s->holds_received;
        pthread_mutex_unlock(&s->lock);
    }
    if (!is_held) engine_post_news(s->engine, n);
}

void site_start(struct site *s)
{
    char why[200];
    const struct sqlite_options so = {.path = s->path, .cache_mib = 1};
    const struct news_sink sink = {on_news, s};
    s->store = sqlite_store_open(&so, s->now_ms, why);
    assert_non_null(s->store);
    s->reader = sqlite_reader_open(&so, why);
    assert_non_null(s->reader);
    s->broker = s->adapter->open(s, &sink);
    assert_non_null(s->broker);
    const struct engine_options eo = {.store = s->store,
                                      .channels = {[CHANNEL_ALIPAY] = &s->channel},
                                      .broker = s->broker,
                                      .rules = s->rules,
                                      .ctx = s,
                                      .reply = on_reply,
                                      .present = present};
    s->engine = engine_new(&eo, why);
    assert_non_null(s->engine);
    if (s->broker->ops->start) assert_true(s->broker->ops->start(s->broker, why));
    if (s->adapter->await) s->adapter->await(s);
}

void site_stop(struct site *s)
{
    s->broker->ops->free(s->broker);
    engine_free(s->engine);
    s->reader->ops->close(s->reader);
    s->store->ops->close(s->store);
    s->broker = NULL;
    s->engine = NULL;
}

struct site *site_new(const struct adapter *a)
{
    static unsigned n_sites;
    struct site *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->adapter = a;
    s->n_sites = n_sites++;
    s->rules = RULES;
    s->rules.broker = a->kind;
    s->channel.ops = &PROVIDER_OPS;
    s->now_ms = clock_real_ms();
    pthread_mutex_init(&s->lock, NULL);
    (void)snprintf(s->dir, sizeof s->dir, "/tmp/till-broker-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    (void)snprintf(s->path, sizeof s->path, "%s/till.db", s->dir);
    return s;
}

void site_free(struct site *s)
{
    static const char *const files[] = {"till.db", "till.db-wal", "till.db-shm", "till.db-lock", "before.db"};
    char path[128];
    if (s->engine) site_stop(s);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", s->dir, files[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(s->dir), 0);
    pthread_mutex_destroy(&s->lock);
    arena_free(&s->arena);
    free(s);
}

// --- Time

void site_advance(struct site *s, int64_t by_ms)
{
    s->now_ms += by_ms;
}

void site_begin(struct site *s)
{
    s->real_ms = clock_real_ms();
}

// Sleeps, unless something has come. For a broker elsewhere time goes by meanwhile: what found nobody is said again.
static void wait_a_moment(struct site *s, const char *what)
{
    engine_sleep(s->engine, PAUSE_MS);
    s->now_ms += PAUSE_MS;
    if (clock_real_ms() - s->real_ms > LIMIT_MS) fail_msg("it took too long: %s", what);
}

void site_step(struct site *s, const char *what)
{
    bool is_due = engine_next_ms(s->engine) <= s->now_ms;
    if (!is_due && s->adapter->kind == BROKER_REMOTE)
        wait_a_moment(s, what);
    else if (!is_due && engine_is_idle(s->engine))
        fail_msg("nothing more will happen, and not yet: %s", what);
    if (engine_turn(s->engine, s->now_ms) != TURN_DONE) fail_msg("the engine stopped");
}

// --- Orders

struct bundle *site_bundle(struct site *s, uint64_t key)
{
    struct want w = {.kind = WANT_ORDER, .key = key};
    arena_reset(&s->arena);
    assert_true(s->store->ops->load(s->store, &w, 1, &s->arena));
    return w.found ? w.bundle : NULL;
}

enum order_state site_state(struct site *s, uint64_t key)
{
    return site_bundle(s, key)->order.state;
}

// The newest, as the store's largest key is an order's or behind it.
static uint64_t newest_order(struct site *s)
{
    struct order_doc doc;
    unsigned n;
    const struct order_filter all = {0};
    arena_reset(&s->arena);
    assert_true(s->reader->ops->orders(s->reader, &all, &doc, 1, &n, &s->arena));
    return n ? doc.order.key : 0;
}

uint64_t site_place(struct site *s, enum policy policy)
{
    struct request *r = calloc(1, sizeof *r);
    uint64_t before = newest_order(s);
    assert_non_null(r);
    r->kind = REQUEST_PLACE;
    r->place.channel = CHANNEL_ALIPAY;
    r->place.policy = policy;
    r->place.pay_within_ms = SITE_WINDOW_MS;
    r->place.amount_fen = 500;
    r->place.text.currency = STR("CNY");
    r->place.text.subject = STR("a thing");
    engine_post(s->engine, r, r, 1);
    UNTIL(s, newest_order(s) != before && site_state(s, newest_order(s)) == ORDER_AWAITING_PAYMENT);
    return newest_order(s);
}

void site_pay(struct site *s, uint64_t key)
{
    struct request *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->kind = REQUEST_NOTICE;
    r->notice.verdict = NOTICE_GOOD;
    r->notice.channel = CHANNEL_ALIPAY;
    r->notice.notice.answer = (struct answer){.payment_key = site_bundle(s, key)->payment[0].key,
                                              .channel = CHANNEL_ALIPAY,
                                              .outcome = OUTCOME_DONE,
                                              .fact = FACT_PAID,
                                              .captured_fen = 500,
                                              .asked_ms = s->now_ms,
                                              .provider_trade_no = "2026000001"};
    engine_post(s->engine, r, r, 1);
    UNTIL(s, site_state(s, key) == ORDER_PAID);
}

unsigned site_received(struct site *s, uint64_t key)
{
    unsigned n = 0;
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->n_received; i++)
        n += s->received[i].order_key == key;
    pthread_mutex_unlock(&s->lock);
    return n;
}

unsigned site_traces(struct site *s, uint64_t key, enum trace_kind kind, struct trace *last)
{
    struct trace_row rows[64];
    unsigned n, found = 0;
    arena_reset(&s->arena);
    assert_true(s->reader->ops->timeline(s->reader, key, rows, 64, &n, &s->arena));
    for (unsigned i = 0; i < n; i++) {
        if (rows[i].trace.kind != kind) continue;
        found++;
        if (last) *last = rows[i].trace;
    }
    return found;
}

unsigned site_n_seen(struct site *s, enum topic topic, uint64_t key)
{
    struct seen seen[16];
    return s->adapter->seen(s, topic, key, seen, 16);
}
