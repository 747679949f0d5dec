// SPDX-License-Identifier: Apache-2.0
#include "pending.h"
#include "broker/embedded.h"
#include "engine/engine.h"
#include "load.h"
#include "own_server.h"
#include "port/clock.h"
#include "shell/flags.h"
#include "shell/help.h"
#include "store/sqlite.h"
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SKUS         1000
#define UNDER_WAY    1024
#define CACHE_MIB    64 // the service's own default
#define TIDY_MS      1000
#define WINDOW_MS    (86400 * INT64_C(1000))
#define MINUTE_MS    (60 * INT64_C(1000))
#define IDLE_WAIT_MS 60000 // as the service's loop: it looks up once a minute though nothing is due

struct options {
    const char *channel, *data;
    int64_t orders, idle_s;
    bool has_keys, as_json;
};

// Written by the processes that do the work, read by the one that tells.
struct result {
    char why[200];
    bool is_good;
    double place_s, open_s, arm_s, turn_s, idle_s, idle_cpu_s;
    int64_t empty_bytes, db_bytes, wal_bytes, closed_bytes, place_io_bytes, idle_io_bytes;
    int64_t memory_before, memory_turned; // RssAnon
    int64_t sqlite_memory;                // of them, SQLite's: mostly its page cache, which has a limit
    uint64_t turns, commits, idle_turns, idle_commits;
};

struct place { // one of the requests that are lent to the engine in turns
    struct request r;
    struct line lines[2];
    char sku[2][16];
};

struct node {
    const struct options *o;
    struct result *out;
    char path[200];
    struct sqlite_options sqlite;
    struct store *store;
    struct broker *broker;
    struct channel channel;
    struct engine *engine;
    struct place *places;
    struct request *free;
    uint64_t n_answered, n_refused, random;
};

static bool fail(struct node *n, const char *what, const char *why)
{
    (void)snprintf(n->out->why, sizeof n->out->why, "%.40s: %.150s", what, why);
    return false;
}

// A figure of a file in /proc/self that has one "Name: number" a line.
static int64_t proc_number(const char *file, const char *name)
{
    char line[200];
    int64_t v = 0;
    FILE *f = fopen(file, "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0) v = strtoll(line + strlen(name), NULL, 10);
    if (f) (void)fclose(f);
    return v;
}

static int64_t memory(void)
{
    return proc_number("/proc/self/status", "RssAnon:") * 1024;
}

static int64_t io_bytes(void)
{
    return proc_number("/proc/self/io", "wchar:");
}

static int64_t file_bytes(const struct node *n, const char *suffix)
{
    char path[220];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s%s", n->path, suffix);
    return stat(path, &st) == 0 ? st.st_size : 0;
}

// --- What the engine stands on

// A provider that gives a code at once and is asked nothing else.
static bool channel_submit(struct channel *c, const struct call *call, struct str subject, int64_t now_ms)
{
    struct node *n = (struct node *)((char *)c - offsetof(struct node, channel));
    (void)subject;
    struct answer a = {.payment_key = call->payment_key,
                       .channel = CHANNEL_ALIPAY,
                       .method = call->method,
                       .outcome = call->method == CALL_CREATE ? OUTCOME_DONE : OUTCOME_UNKNOWN,
                       .fact = call->method == CALL_CREATE ? FACT_CODE : FACT_NONE,
                       .asked_ms = now_ms,
                       .code = STR("https://qr.alipay.com/bax00000000000000000000")}; // as long as a real one
    engine_post_answer(n->engine, &a);
    return true;
}

static const struct channel_ops CHANNEL_OPS = {.id = CHANNEL_ALIPAY, .submit = channel_submit};

static void on_reply(void *ctx, struct request *r)
{
    struct node *n = ctx;
    n->n_answered++;
    if (r->reply.status != 201) {
        n->n_refused++;
        (void)snprintf(n->out->why, sizeof n->out->why, "an order was refused: %d %.40s %.100s", r->reply.status,
                       r->reply.code ? r->reply.code : "", r->reply.detail);
    }
    r->next = n->free;
    n->free = r;
}

static void present_nothing(void *ctx, const struct document *d, struct buf *out)
{
    (void)ctx;
    (void)d;
    buf_z(out, "{}");
}

static void on_news(void *ctx, const struct broker_news *news)
{
    struct node *n = ctx;
    engine_post_news(n->engine, news);
}

static struct rules rules_of(const struct options *o)
{
    bool has_code = strcmp(o->channel, "alipay") == 0;
    return (struct rules){
        .close_grace_ms = 90000,
        // Between two questions: what is looked at is waiting, not asking.
        .checkback = {.schedule = SCHEDULE_ADAPTIVE, .first_ms = has_code ? WINDOW_MS : 30000, .interval_ms = 30000},
        .broker = BROKER_EMBEDDED,
        .cancel_wait_ms = 5000,
        .call_deadline_ms = 5000,
        .code_min_life_ms = MINUTE_MS,
        .code_max_life_ms = WINDOW_MS,
        .refund_query_ms = 10000};
}

static bool open_store(struct node *n)
{
    char why[200];
    n->sqlite = (struct sqlite_options){.path = n->path, .cache_mib = CACHE_MIB};
    n->store = sqlite_store_open(&n->sqlite, clock_real_ms(), why);
    return n->store || fail(n, "store", why);
}

static bool open_engine(struct node *n)
{
    char why[160];
    n->channel.ops = &CHANNEL_OPS;
    n->broker = embedded_open(n->store, &(struct news_sink){on_news, n}, why);
    if (!n->broker) return fail(n, "broker", why);
    struct engine_options o = {.store = n->store,
                               .rules = rules_of(n->o),
                               .broker = n->broker,
                               .node = 1,
                               .reply_wait_ms = 3000,
                               .ctx = n,
                               .reply = on_reply,
                               .present = present_nothing};
    o.channels[CHANNEL_ALIPAY] = &n->channel;
    n->engine = engine_new(&o, why);
    return n->engine || fail(n, "engine", why);
}

static void close_all(struct node *n)
{
    engine_free(n->engine);
    if (n->broker) n->broker->ops->free(n->broker);
    if (n->store) n->store->ops->close(n->store);
    n->engine = NULL;
    n->broker = NULL;
    n->store = NULL;
}

static bool turn(struct node *n)
{
    return engine_turn(n->engine, clock_real_ms()) == TURN_DONE || fail(n, "engine", "the store failed");
}

// --- The first process: places them

static bool make_catalogue(struct node *n)
{
    char names[SKUS][16];
    struct change *changes = calloc(SKUS, sizeof *changes);
    struct arena arena = {0};
    if (!changes) return fail(n, "catalogue", "out of memory");
    for (unsigned i = 0; i < SKUS; i++) {
        (void)snprintf(names[i], sizeof names[i], "bench-%04u", i);
        changes[i] = (struct change){.kind = CHANGE_SKU_PUT, .at_ms = clock_real_ms(), .with_stock = true};
        changes[i].sku = (struct sku){.sku = str_of(names[i]),
                                      .title = STR("Benchmark article"),
                                      .currency = STR("CNY"),
                                      .price_fen = 100 + i,
                                      .stock = {.available = n->o->orders * 4}};
    }
    enum store_outcome outcome = n->store->ops->apply(n->store, changes, SKUS, &arena);
    arena_free(&arena);
    free(changes);
    return outcome == STORE_DONE || fail(n, "catalogue", "cannot be stored");
}

static uint64_t draw(struct node *n)
{
    n->random ^= n->random << 13;
    n->random ^= n->random >> 7;
    n->random ^= n->random << 17;
    return n->random;
}

// Two lines over the catalogue, as `till bench place` orders them.
static void fill(struct node *n, struct place *p)
{
    uint64_t v = draw(n);
    unsigned first = (unsigned)(v >> 40) % SKUS, second = (first + 1 + (unsigned)(v >> 20) % (SKUS - 1)) % SKUS;
    (void)snprintf(p->sku[0], sizeof p->sku[0], "bench-%04u", first);
    (void)snprintf(p->sku[1], sizeof p->sku[1], "bench-%04u", second);
    for (unsigned i = 0; i < 2; i++)
        p->lines[i] = (struct line){.sku = str_of(p->sku[i]), .quantity = 1 + i};
    buf_free(&p->r.reply.body);
    p->r = (struct request){.kind = REQUEST_PLACE, .has_idem = n->o->has_keys};
    if (n->o->has_keys) p->r.idem_scope = (struct hash128){draw(n), draw(n)};
    p->r.place = (struct order_wish){.channel = strcmp(n->o->channel, "any") == 0 ? CHANNEL_ANY : CHANNEL_ALIPAY,
                                     .policy = POLICY_REVERSE,
                                     .pay_within_ms = WINDOW_MS,
                                     .lines = p->lines,
                                     .n_lines = 2,
                                     .text = {.currency = STR("CNY")}};
}

// All requests that are free, as a chain.
static void post(struct node *n, uint64_t *left)
{
    struct request *first = NULL, *last = NULL;
    unsigned count = 0;
    while (n->free && *left > 0) {
        struct place *p = (struct place *)n->free;
        n->free = n->free->next;
        fill(n, p);
        if (last)
            last->next = &p->r;
        else
            first = &p->r;
        last = &p->r;
        count++;
        --*left;
    }
    if (count > 0) engine_post(n->engine, first, last, count);
}

static bool place_all(struct node *n)
{
    uint64_t orders = (uint64_t)n->o->orders, left = orders;
    int64_t tidied_ms = clock_real_ms();
    bool shows = isatty(STDERR_FILENO) == 1;
    while (n->n_answered < orders && n->n_refused == 0) {
        post(n, &left);
        if (!turn(n)) return false;
        int64_t now_ms = clock_real_ms();
        if (now_ms - tidied_ms < TIDY_MS) continue;
        n->store->ops->tidy(n->store, now_ms);
        tidied_ms = now_ms;
        if (shows)
            (void)fprintf(stderr, "\rplacing %llu of %llu", (unsigned long long)n->n_answered,
                          (unsigned long long)orders);
    }
    if (shows) (void)fprintf(stderr, "\r\033[K");
    return n->n_refused == 0;
}

static bool place_and_measure(struct node *n)
{
    struct result *out = n->out;
    n->places = calloc(UNDER_WAY, sizeof *n->places);
    if (!n->places) return fail(n, "requests", "out of memory");
    for (unsigned i = 0; i < UNDER_WAY; i++) {
        n->places[i].r.next = n->free;
        n->free = &n->places[i].r;
    }
    double from_s = clock_s(CLOCK_MONOTONIC);
    int64_t io = io_bytes();
    if (!place_all(n)) return false;
    out->place_s = clock_s(CLOCK_MONOTONIC) - from_s;
    out->place_io_bytes = io_bytes() - io;
    out->db_bytes = file_bytes(n, "");
    out->wal_bytes = file_bytes(n, "-wal");
    const struct engine_stats *s = engine_stats(n->engine);
    out->turns = atomic_load(&s->turns);
    out->commits = atomic_load(&s->commits);
    return true;
}

static bool first_process(struct node *n)
{
    if (!open_store(n) || !make_catalogue(n)) return false;
    close_all(n);
    n->out->empty_bytes = file_bytes(n, "");
    bool ok = open_store(n) && open_engine(n) && place_and_measure(n);
    close_all(n);
    for (unsigned i = 0; i < UNDER_WAY && n->places; i++)
        buf_free(&n->places[i].r.reply.body);
    free(n->places);
    n->out->closed_bytes = file_bytes(n, "") + file_bytes(n, "-wal");
    return ok;
}

// --- The second: a start on what is there, and waiting

// The service's own loop (service.c), for so long.
static bool idle(struct node *n)
{
    double until_s = clock_s(CLOCK_MONOTONIC) + (double)n->o->idle_s;
    for (;;) {
        int64_t left_ms = (int64_t)((until_s - clock_s(CLOCK_MONOTONIC)) * 1000);
        int64_t next_ms = engine_next_ms(n->engine);
        int64_t ms = next_ms == INT64_MAX ? IDLE_WAIT_MS : next_ms - clock_real_ms();
        if (left_ms <= 0) return true;
        ms = ms < 0 ? 0 : ms > IDLE_WAIT_MS ? IDLE_WAIT_MS : ms;
        engine_sleep(n->engine, ms < left_ms ? ms : left_ms);
        if (ms > left_ms) return true; // nothing woke it: the measurement is over
        if (!turn(n)) return false;
        n->store->ops->tidy(n->store, clock_real_ms());
    }
}

static bool second_process(struct node *n)
{
    struct result *out = n->out;
    out->memory_before = memory();
    double at[4] = {clock_s(CLOCK_MONOTONIC)};
    if (!open_store(n)) return false;
    at[1] = clock_s(CLOCK_MONOTONIC);
    if (!open_engine(n)) return false;
    at[2] = clock_s(CLOCK_MONOTONIC);
    if (!turn(n)) return false;
    at[3] = clock_s(CLOCK_MONOTONIC);
    out->memory_turned = memory();
    out->sqlite_memory = sqlite3_memory_used();
    out->open_s = at[1] - at[0];
    out->arm_s = at[2] - at[1];
    out->turn_s = at[3] - at[2];
    const struct engine_stats *s = engine_stats(n->engine);
    uint64_t turns = atomic_load(&s->turns), commits = atomic_load(&s->commits);
    double cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    int64_t io = io_bytes();
    bool ok = idle(n);
    out->idle_s = clock_s(CLOCK_MONOTONIC) - at[3];
    out->idle_cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    out->idle_io_bytes = io_bytes() - io;
    out->idle_turns = atomic_load(&s->turns) - turns;
    out->idle_commits = atomic_load(&s->commits) - commits;
    close_all(n);
    return ok;
}

// A process of its own, so that what the other took is not counted here.
static bool in_process(struct node *n, bool (*work)(struct node *n))
{
    int status = 0;
    n->out->is_good = false;
    pid_t pid = fork();
    if (pid == 0) {
        n->out->is_good = work(n);
        _exit(0);
    }
    bool ended = pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status);
    if (!ended) return fail(n, "process", "it did not end well");
    return n->out->is_good;
}

// --- Telling

static double per_order(const struct node *n, int64_t bytes)
{
    return (double)bytes / (double)n->o->orders;
}

static void tell(const struct node *n)
{
    const struct result *r = n->out;
    double disk = per_order(n, r->closed_bytes - r->empty_bytes),
           in_memory = per_order(n, r->memory_turned - r->memory_before - r->sqlite_memory);
    double per_second = (double)n->o->orders / r->place_s, restart_s = r->open_s + r->arm_s + r->turn_s;
    if (!n->o->as_json) {
        (void)fprintf(
            stderr,
            "%lld orders pending, channel %s, policy reverse, %s Idempotency-Key\n"
            "  on disk           %.0f bytes an order; files while it ran: %.1f MiB and a log of %.1f MiB\n"
            "  written to place  %.0f bytes an order, %.0f orders/s, %.0f orders a commit\n"
            "  in memory         %.1f bytes an order, and %.1f MiB in all of SQLite's (page cache: at most %d)\n"
            "  a start           %.2f s: store %.2f, timers %.2f, first turn %.3f\n"
            "  waiting           %llu turns, %llu commits, %lld bytes written, %.6f CPU seconds in %.1f s\n",
            (long long)n->o->orders, n->o->channel, n->o->has_keys ? "an" : "no", disk, (double)r->db_bytes / (1 << 20),
            (double)r->wal_bytes / (1 << 20), per_order(n, r->place_io_bytes), per_second,
            (double)n->o->orders / (double)r->commits, in_memory, (double)r->sqlite_memory / (1 << 20), CACHE_MIB,
            restart_s, r->open_s, r->arm_s, r->turn_s, (unsigned long long)r->idle_turns,
            (unsigned long long)r->idle_commits, (long long)r->idle_io_bytes, r->idle_cpu_s, r->idle_s);
    }
    (void)printf(
        "{\"bench\":\"pending\",\"orders\":%lld,\"channel\":\"%s\",\"seconds\":%.3f,\"per_second\":%.0f,"
        "\"disk_bytes_per_order\":%.1f,\"written_bytes_per_order\":%.1f,\"memory_bytes_per_order\":%.1f,"
        "\"memory_kib\":%lld,\"restart_s\":%.3f,\"open_s\":%.3f,\"arm_s\":%.3f,\"turn_s\":%.4f,\"idle_s\":%.3f,"
        "\"idle_cpu_s\":%.6f,\"idle_turns\":%llu,\"idle_commits\":%llu,\"idle_bytes_written\":%lld}\n",
        (long long)n->o->orders, n->o->channel, r->place_s, per_second, disk, per_order(n, r->place_io_bytes),
        in_memory, (long long)(r->memory_turned / 1024), restart_s, r->open_s, r->arm_s, r->turn_s, r->idle_s,
        r->idle_cpu_s, (unsigned long long)r->idle_turns, (unsigned long long)r->idle_commits,
        (long long)r->idle_io_bytes);
}

static bool options_read(struct options *o, int argc, char **argv, char why[FLAG_WHY_SIZE])
{
    const struct flag flags[] = {
        {.name = "--orders", .kind = FLAG_NUMBER, .out = &o->orders, .min = 1, .max = 50000000},
        {.name = "--channel", .kind = FLAG_TEXT, .out = &o->channel},
        {.name = "--data", .kind = FLAG_TEXT, .out = &o->data},
        {.name = "--idle", .kind = FLAG_NUMBER, .out = &o->idle_s, .min = 0, .max = 3600},
        {.name = "--keys", .kind = FLAG_SWITCH, .out = &o->has_keys},
        {.name = "--json", .kind = FLAG_SWITCH, .out = &o->as_json},
        {.name = NULL},
    };
    struct flag_input in = {.argc = argc, .argv = argv, .flags = flags};
    if (!flags_read(&in, why)) return false;
    (void)snprintf(why, FLAG_WHY_SIZE, "--channel: expected any or alipay");
    return strcmp(o->channel, "any") == 0 || strcmp(o->channel, "alipay") == 0;
}

int pending_main(int argc, char **argv)
{
    char why[FLAG_WHY_SIZE], dir[180];
    struct options o = {.channel = "any", .data = ".", .orders = 1000000, .idle_s = 5};
    if (!options_read(&o, argc, argv, why)) return usage_error("bench", why);
    struct result *r = mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int len = snprintf(dir, sizeof dir, "%s/till-bench-XXXXXX", o.data);
    if (r == MAP_FAILED || len >= (int)sizeof dir || !mkdtemp(dir)) {
        (void)fprintf(stderr, "till bench: cannot make a directory in %s: %s\n", o.data, strerror(errno));
        return 1;
    }
    struct node n = {.o = &o, .out = r, .random = UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)clock_real_ms()};
    (void)snprintf(n.path, sizeof n.path, "%s/till.db", dir);
    bool ok = in_process(&n, first_process) && in_process(&n, second_process);
    dir_remove(dir);
    if (ok)
        tell(&n);
    else
        (void)fprintf(stderr, "till bench: %s\n", r->why);
    (void)munmap(r, sizeof *r);
    return ok ? 0 : 1;
}
