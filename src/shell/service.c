// SPDX-License-Identifier: Apache-2.0
#include "shell/service.h"
#include "base/log.h"
#include "broker/embedded.h"
#include "broker/rocketmq.h"
#include "sandbox/sandbox.h"
#include "shell/channels.h"
#include "shell/shell.h"
#include "store/archive.h"
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CALL_DEADLINE_MS   5000
#define CANCEL_WAIT_MS     5000 // until the engine closes by itself
#define BROKER_DEADLINE_MS 3000
#define REPLY_WAIT_MS      3000
#define CODE_MIN_LIFE_MS   60000
#define CODE_MAX_LIFE_MS   (115 * 60 * INT64_C(1000)) // Alipay's ceiling is 2 h
#define REFUND_QUERY_MS    10000
#define TIDY_MS            1000
#define STOP_GRACE_MS      5000
#define CALLS_MAX          4096
#define CALLS_IN_FLIGHT    64
#define ARCHIVE_CACHE_MIB  4 // of a worker's look into the archive

struct service {
    const struct service_options *o;
    struct config *config;
    struct clock clock;
    struct shell shell;
    struct sqlite_options sqlite;
    struct store *store;
    struct archive *archive; // NULL: there is none
    struct reader *sweep_reader;
    struct sandbox *sandbox;
    pthread_t engine_thread;
    bool engine_runs;
    _Atomic bool engine_stops;
    char why[CONFIG_WHY_SIZE];
};

static bool fail(struct service *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool fail(struct service *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(s->why, sizeof s->why, fmt, ap);
    va_end(ap);
    return false;
}

// --- Files

const char *store_path(const char *url, char why[200])
{
    static const char prefix[] = "sqlite:";
    if (strncmp(url, prefix, sizeof prefix - 1) == 0 && url[sizeof prefix - 1]) return url + sizeof prefix - 1;
    (void)snprintf(why, 200, "store.url %.100s: this version stores in sqlite:FILE", url);
    return NULL;
}

static bool make_dirs(const char *path)
{
    char part[PATH_MAX];
    (void)snprintf(part, sizeof part, "%s", path);
    for (char *p = part + 1; *p; p++) {
        if (*p != '/') continue;
        *p = 0;
        if (mkdir(part, 0755) != 0 && errno != EEXIST) return false;
        *p = '/';
    }
    return mkdir(part, 0755) == 0 || errno == EEXIST;
}

static bool make_dir_of(const char *file)
{
    char dir[PATH_MAX];
    (void)snprintf(dir, sizeof dir, "%s", file);
    char *slash = strrchr(dir, '/');
    if (!slash || slash == dir) return true;
    *slash = 0;
    return make_dirs(dir);
}

// What `till dev` keeps under --data, by name: nothing else is ever removed.
static void forget_data(const char *dir)
{
    static const char *const names[] = {
        "till.db", "till.db-wal", "till.db-shm", "till.db-archive", "till.db-archive-wal", "till.db-archive-shm",
        "clock"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[PATH_MAX];
        (void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        if (unlink(path) != 0 && errno != ENOENT) log_warn("dev", "cannot remove %s: %s", path, strerror(errno));
    }
}

// --- The development server's own: data directory and sandbox

static bool default_key(struct service *s, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static bool default_key(struct service *s, const char *key, const char *fmt, ...)
{
    char value[PATH_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(value, sizeof value, fmt, ap);
    va_end(ap);
    return config_set_default(s->config, key, value, s->why);
}

static bool open_sandbox(struct service *s)
{
    char keys[PATH_MAX], data[PATH_MAX], why[200];
    const char *dir = s->o->data_dir;
    (void)snprintf(keys, sizeof keys, "%s/keys", dir);
    (void)snprintf(data, sizeof data, "%s/sandbox.db", dir);
    struct sandbox_options o = {.listen = s->o->sandbox_listen,
                                .keys_dir = keys,
                                .data_path = data,
                                .clock = &s->clock,
                                .fresh = s->o->fresh,
                                .owns_clock = false,
                                .pages_below = s->config->server.public_url};
    s->sandbox = sandbox_open(&o, why);
    if (!s->sandbox) return fail(s, "sandbox: %s", why);
    char base_url[48];
    (void)snprintf(base_url, sizeof base_url, "http://127.0.0.1:%u", sandbox_port(s->sandbox));
    return channels_default_sandbox(s->config, sandbox_identity(s->sandbox), base_url, keys, s->why);
}

static bool open_dev(struct service *s)
{
    const char *dir = s->o->data_dir;
    if (!make_dirs(dir)) return fail(s, "cannot make %s: %s", dir, strerror(errno));
    char clock_path[PATH_MAX], store[PATH_MAX], why[200] = "out of memory";
    (void)snprintf(store, sizeof store, "%s/till.db", dir);
    if (s->o->fresh && sqlite_store_is_open(store)) return fail(s, "--fresh: another process is using %s", dir);
    if (s->o->fresh) forget_data(dir);
    (void)snprintf(clock_path, sizeof clock_path, "%s/clock", dir);
    s->shell.test_clock = test_clock_new(&s->shell, clock_path, why); // first: it says what time it is
    if (!s->shell.test_clock) return fail(s, "%s", why);
    return default_key(s, "store.url", "sqlite:%s/till.db", dir) && open_sandbox(s);
}

// `till serve --test-clock`: the offset is kept beside the store, and a sandbox elsewhere moves along.
static bool open_test_clock(struct service *s)
{
    char why[200] = "out of memory", path[PATH_MAX];
    const char *store = store_path(s->config->store.url, why);
    if (!store) return fail(s, "%s", why);
    if (!make_dir_of(store)) return fail(s, "cannot make the directory of %s: %s", store, strerror(errno));
    (void)snprintf(path, sizeof path, "%s-clock", store);
    s->shell.test_clock = test_clock_new(&s->shell, path, why);
    if (!s->shell.test_clock) return fail(s, "%s", why);
    channels_follow_clock(s->config, s->shell.test_clock);
    return true;
}

// --- Store and engine

static bool open_store(struct service *s)
{
    char why[200];
    const char *path = store_path(s->config->store.url, why);
    if (!path) return fail(s, "%s", why);
    if (!make_dir_of(path)) return fail(s, "store.url: cannot make the directory of %s: %s", path, strerror(errno));
    s->sqlite = (struct sqlite_options){
        .path = path, .cache_mib = (unsigned)s->config->store.cache_mib, .keep_ms = s->config->store.keep_ms};
    s->store = sqlite_store_open(&s->sqlite, clock_now_ms(&s->clock), why);
    if (!s->store) return fail(s, "store %s: %s", path, why);
    // A test clock that was moved and killed before it was stored: time goes on from what the rows know.
    int64_t behind_ms = s->store->last_ms - clock_now_ms(&s->clock);
    if (s->shell.test_clock && behind_ms > 0) atomic_fetch_add(&s->clock.offset_ms, behind_ms);
    memcpy(s->shell.secret, s->store->secret, ID_SECRET_SIZE);
    atomic_store(&s->shell.last_event_key, s->store->last_key);
    return true;
}

// An archive there is, is read even when nothing goes there any more.
static bool open_archive(struct service *s)
{
    char why[200];
    int64_t keep_ms = s->config->store.keep_ms;
    if (!keep_ms && !archive_exists(s->sqlite.path)) return true;
    s->archive = archive_open(&s->sqlite, clock_now_ms(&s->clock), why);
    if (!s->archive) return fail(s, "archive of %s: %s", s->sqlite.path, why);
    if (!keep_ms) return true;
    s->shell.archiver = archiver_new(&s->shell, keep_ms, s->archive);
    return s->shell.archiver || fail(s, "out of memory");
}

static bool open_archive_reader(struct service *s, struct worker *w, char why[200])
{
    char path[ARCHIVE_PATH_SIZE];
    struct sqlite_options o = {.path = path, .cache_mib = ARCHIVE_CACHE_MIB};
    if (!s->archive || !archive_path(s->sqlite.path, path)) return true;
    w->archive = sqlite_reader_open(&o, why);
    return w->archive != NULL;
}

static bool add_demo_catalogue(struct service *s)
{
    static const struct {
        const char *sku, *title;
        int64_t price_fen;
    } demo[] = {
        {"demo-longjing", "Longjing tea 100 g 龙井茶", 12800},
        {"demo-teacup", "Celadon cup 青瓷杯", 4900},
        {"demo-kettle", "Cast-iron kettle 铸铁壶", 36800},
    };
    struct change changes[3];
    struct arena arena = {0};
    memset(changes, 0, sizeof changes);
    for (unsigned i = 0; i < 3; i++) {
        changes[i].kind = CHANGE_SKU_PUT;
        changes[i].at_ms = clock_now_ms(&s->clock);
        changes[i].with_stock = true;
        changes[i].sku = (struct sku){.sku = str_of(demo[i].sku),
                                      .title = str_of(demo[i].title),
                                      .currency = STR("CNY"),
                                      .price_fen = demo[i].price_fen,
                                      .stock = {.available = 100}};
    }
    enum store_outcome outcome = s->store->ops->apply(s->store, changes, 3, &arena);
    arena_free(&arena);
    return outcome == STORE_DONE || fail(s, "the demo catalogue cannot be stored");
}

static bool fill_catalogue(struct service *s)
{
    if (!s->o->is_dev) return true;
    struct sku row;
    unsigned n = 0;
    struct arena arena = {0};
    struct reader *r = s->shell.workers[0].reader;
    bool read = r->ops->skus(r, (struct str){0}, &row, 1, &n, &arena);
    arena_free(&arena);
    if (!read) return fail(s, "the store cannot be read");
    return n > 0 || add_demo_catalogue(s);
}

static enum broker_kind broker_kind_of(const struct config *c)
{
    return strcmp(c->broker.url, "embedded:") == 0 ? BROKER_EMBEDDED : BROKER_REMOTE;
}

static struct rules rules_of(const struct config *c)
{
    return (struct rules){
        .close_grace_ms = c->order.close_grace_ms,
        .release = c->order.release,
        .late_payment = c->order.late_payment,
        .checkback = {.schedule = c->checkback.schedule,
                      .first_ms = c->checkback.first_ms,
                      .interval_ms = c->checkback.interval_ms,
                      .max = (uint32_t)c->checkback.max},
        .broker = broker_kind_of(c),
        .cancel_wait_ms = CANCEL_WAIT_MS,
        .call_deadline_ms = CALL_DEADLINE_MS,
        .code_min_life_ms = CODE_MIN_LIFE_MS,
        .code_max_life_ms = CODE_MAX_LIFE_MS,
        .refund_query_ms = REFUND_QUERY_MS,
    };
}

static void post_answer(void *ctx, const struct answer *a)
{
    struct service *s = ctx;
    engine_post_answer(s->shell.engine, a);
}

static bool open_channels(struct service *s)
{
    s->shell.alipay_product = s->config->alipay.any_product == ANY_WAP ? PRODUCT_WAP : PRODUCT_QR;
    char why[200];
    struct caller_options co = {
        .signers = 2, .max_calls = CALLS_MAX, .max_in_flight = CALLS_IN_FLIGHT, .deadline_ms = CALL_DEADLINE_MS};
    struct answer_sink sink = {post_answer, s};
    s->shell.caller = caller_open(&co, why);
    if (!s->shell.caller) return fail(s, "%s", why);
    return channels_open(s->config, s->shell.caller, &sink, s->shell.public_url, s->shell.secret, s->shell.channels,
                         s->why);
}

static void post_news(void *ctx, const struct broker_news *n)
{
    struct service *s = ctx;
    engine_post_news(s->shell.engine, n);
}

static bool open_rocketmq(struct service *s, const struct news_sink *sink)
{
    char why[200];
    struct rocketmq_options o = {.url = s->config->broker.url,
                                 .access_key = s->config->broker.access_key,
                                 .secret_key_file = s->config->broker.secret_key_file,
                                 .tls = s->config->broker.tls,
                                 .tls_insecure = !s->config->broker.tls_verify,
                                 .ca_file = s->config->broker.tls_ca_file[0] ? s->config->broker.tls_ca_file : NULL,
                                 .call_deadline_ms = BROKER_DEADLINE_MS,
                                 .window_ms = s->config->order.pay_within_ms};
    memcpy(o.secret, s->shell.secret, ID_SECRET_SIZE);
    if (!s->store->ops->consumed(s->store, CONSUMER_OUTBOX, &o.published_key))
        return fail(s, "the store cannot be read");
    o.reader = sqlite_reader_open(&s->sqlite, why);
    if (!o.reader) return fail(s, "store: %s", why);
    s->shell.broker = rocketmq_open(&o, sink, why);
    return s->shell.broker || fail(s, "broker: %s", why);
}

static bool open_broker(struct service *s)
{
    char why[160];
    struct news_sink sink = {post_news, s};
    s->shell.broker_kind = broker_kind_of(s->config);
    if (s->shell.broker_kind == BROKER_REMOTE) return open_rocketmq(s, &sink);
    s->shell.broker = embedded_open(s->store, &sink, why);
    return s->shell.broker || fail(s, "broker: %s", why);
}

static bool start_broker(struct service *s)
{
    char why[160];
    const struct broker_ops *ops = s->shell.broker->ops;
    return !ops->start || ops->start(s->shell.broker, why) || fail(s, "broker: %s", why);
}

static bool open_engine(struct service *s)
{
    char why[160];
    struct engine_options o = {
        .store = s->store,
        .rules = rules_of(s->config),
        .broker = s->shell.broker,
        .reply_wait_ms = REPLY_WAIT_MS,
        .ctx = &s->shell,
        .reply = api_engine_reply,
        .present = present_document,
        .events = feed_engine_events,
        .turn_end = api_engine_turn_end,
    };
    memcpy(o.channels, s->shell.channels, sizeof o.channels);
    s->shell.engine = engine_new(&o, why);
    return s->shell.engine || fail(s, "%s", why);
}

static void *run_engine(void *arg)
{
    struct service *s = arg;
    struct engine *e = s->shell.engine;
    int64_t tidied_ms = 0;
    while (!atomic_load(&s->engine_stops)) {
        int64_t now_ms = clock_now_ms(&s->clock);
        if (engine_turn(e, now_ms) == TURN_FATAL) {
            // Nobody may conclude anything from memory now: the next start reads what is really on the disk.
            log_error("engine", "the store failed; stopping at once, nothing of this turn was acknowledged");
            _exit(1);
        }
        if (clock_real_ms() - tidied_ms >= TIDY_MS) {
            s->store->ops->tidy(s->store, now_ms);
            tidied_ms = clock_real_ms();
        }
        int64_t next_ms = engine_next_ms(e);
        int64_t ms = next_ms == INT64_MAX ? 60000 : next_ms - clock_now_ms(&s->clock);
        engine_sleep(e, ms < 0 ? 0 : ms > 60000 ? 60000 : ms);
    }
    return NULL;
}

// --- The edge

static unsigned workers_of(const struct config *c)
{
    if (c->server.workers > 0) return (unsigned)c->server.workers;
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 4 ? 4 : (unsigned)n;
}

static bool open_http(struct service *s)
{
    char why[200];
    struct shell *sh = &s->shell;
    struct http_options o = {.listen = s->config->server.listen,
                             .n_workers = workers_of(s->config),
                             .max_connections = (unsigned)s->config->server.max_connections};
    struct http_handler h = {
        .ctx = sh, .request = api_request_handle, .closed = api_request_closed, .round_end = api_round_end};
    sh->http = http_server_new(&o, &h, why);
    if (!sh->http) return fail(s, "%s", why);
    struct buf url = {0};
    config_public_url(s->config, http_server_port(sh->http), &url);
    (void)snprintf(sh->public_url, sizeof sh->public_url, "%.*s", (int)url.n, url.p);
    buf_free(&url);
    sh->n_workers = http_server_workers(sh->http);
    sh->workers = calloc(sh->n_workers, sizeof *sh->workers);
    return sh->workers || fail(s, "out of memory");
}

static bool open_workers(struct service *s)
{
    struct shell *sh = &s->shell;
    for (unsigned i = 0; i < sh->n_workers; i++) {
        char why[200];
        struct worker *w = &sh->workers[i];
        w->shell = sh;
        w->http = http_server_worker(sh->http, i);
        w->answered_end = &w->answered;
        w->feed = feed_new(w);
        w->reader = sqlite_reader_open(&s->sqlite, why);
        if (!w->reader || !open_archive_reader(s, w, why)) return fail(s, "store: %s", why);
        if (!w->feed) return fail(s, "out of memory");
    }
    return true;
}

static bool open_sweep(struct service *s)
{
    char why[200];
    s->sweep_reader = sqlite_reader_open(&s->sqlite, why);
    if (!s->sweep_reader) return fail(s, "store: %s", why);
    s->shell.sweep = sweep_new(&s->shell, s->config->sweep.cron, s->sweep_reader, why);
    return s->shell.sweep || fail(s, "%s", why);
}

static bool open_auth(struct service *s)
{
    char why[200];
    s->shell.auth = auth_open(s->config->server.api_keys_file, why);
    if (!s->shell.auth) return fail(s, "%s", why);
    if (auth_has_keys(s->shell.auth) || config_has_loopback_listen(s->config)) return true;
    return fail(s, "server.listen %s is not a loopback address and there is no API key: make one with `till key add`",
                s->config->server.listen);
}

static bool start_threads(struct service *s)
{
    if (pthread_create(&s->engine_thread, NULL, run_engine, s) != 0) return fail(s, "cannot start the engine's thread");
    s->engine_runs = true;
    if (!sweep_start(s->shell.sweep)) return fail(s, "cannot start the sweep's thread");
    if (!archiver_start(s->shell.archiver)) return fail(s, "cannot start the archiver's thread");
    if (s->sandbox && !sandbox_start(s->sandbox)) return fail(s, "cannot start the sandbox's threads");
    if (!http_server_start(s->shell.http)) return fail(s, "cannot start the HTTP workers");
    atomic_store(&s->shell.is_ready, true);
    return true;
}

static bool open_all(struct service *s)
{
    s->shell.clock = &s->clock;
    s->shell.is_dev = s->o->is_dev;
    s->shell.pay_within_ms = s->config->order.pay_within_ms;
    s->shell.policy = s->config->checkback.policy;
    if (s->o->is_dev && !open_dev(s)) return false;
    s->shell.sandbox = s->sandbox;
    if (!config_check(s->config, s->why)) return false;
    if (s->o->test_clock && !s->o->is_dev && !open_test_clock(s)) return false;
    return open_auth(s) && open_http(s) && open_store(s) && open_archive(s) && open_workers(s) && fill_catalogue(s) &&
           open_channels(s) && open_broker(s) && open_sweep(s) && open_engine(s) && start_broker(s) && start_threads(s);
}

static void end_listeners(struct shell *sh)
{
    for (unsigned i = 0; i < sh->n_workers; i++)
        if (sh->workers[i].feed) (void)http_worker_post(sh->workers[i].http, feed_end, sh->workers[i].feed);
}

// The reverse of opening: the door first, then what answers, then what it stood on.
static void close_all(struct service *s)
{
    struct shell *sh = &s->shell;
    atomic_store(&sh->is_stopping, true);
    test_clock_stop(sh->test_clock);
    if (s->engine_runs && sh->http) {
        end_listeners(sh);
        http_server_stop(sh->http, STOP_GRACE_MS);
    }
    sweep_free(sh->sweep);
    archiver_free(sh->archiver);
    if (s->sweep_reader) s->sweep_reader->ops->close(s->sweep_reader);
    test_clock_free(sh->test_clock);
    if (s->sandbox && s->engine_runs) sandbox_stop(s->sandbox);
    if (s->engine_runs) {
        atomic_store(&s->engine_stops, true);
        engine_wake(sh->engine);
        pthread_join(s->engine_thread, NULL);
    }
    // The engine's thread is gone, so nobody submits; what the channels still answer goes into its inbox.
    for (unsigned c = 0; c < N_CHANNELS; c++)
        if (sh->channels[c]) sh->channels[c]->ops->free(sh->channels[c]);
    if (sh->caller) caller_free(sh->caller);
    if (sh->broker) sh->broker->ops->free(sh->broker);
    engine_free(sh->engine);
    api_forget(sh);
    http_server_free(sh->http);
    sandbox_free(s->sandbox);
    for (unsigned i = 0; i < sh->n_workers && sh->workers; i++) {
        struct worker *w = &sh->workers[i];
        if (w->reader) w->reader->ops->close(w->reader);
        if (w->archive) w->archive->ops->close(w->archive);
        feed_free(w->feed);
        arena_free(&w->arena);
        buf_free(&w->out);
    }
    free(sh->workers);
    auth_free(sh->auth);
    archive_close(s->archive);
    if (s->store) s->store->ops->close(s->store);
}

static void say_addresses(const struct service *s)
{
    (void)printf("Till is ready.\n  %s     %s/\n", s->o->is_dev ? "API, shop" : "API      ", s->shell.public_url);
    if (s->sandbox)
        (void)printf("  wallet 钱包   http://127.0.0.1:%u/wallet\n  gateway       http://127.0.0.1:%u/gateway.do\n"
                     "  data          %s\n",
                     sandbox_port(s->sandbox), sandbox_port(s->sandbox), s->o->data_dir);
    (void)fflush(stdout);
}

void stop_signals_block(sigset_t *stops)
{
    sigemptyset(stops);
    sigaddset(stops, SIGTERM);
    sigaddset(stops, SIGINT);
    pthread_sigmask(SIG_BLOCK, stops, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int service_run(const struct service_options *o)
{
    struct service *s = calloc(1, sizeof *s);
    if (!s) return 1;
    s->o = o;
    s->config = o->config;
    log_set_level(o->config->log.level);
    // Before any thread: they all inherit the mask, and only this one waits for the signals.
    sigset_t stops;
    stop_signals_block(&stops);
    int status = 1;
    if (open_all(s)) {
        say_addresses(s);
        int which;
        (void)sigwait(&stops, &which);
        status = 0;
    } else {
        (void)fprintf(stderr, "till: %s\n", s->why);
    }
    close_all(s);
    free(s);
    return status;
}
