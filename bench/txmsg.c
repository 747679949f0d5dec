// SPDX-License-Identifier: Apache-2.0
#include "txmsg.h"
#include "broker/rocketmq/client.h"
#include "load.h"
#include "shell/flags.h"
#include "shell/help.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define GROUP        "benchmark_transaction_producer" // as in Java: each answers for the other
#define PLAN_AT      17                               // after batch (8), number (8) and fate (1)
#define PLAN_SIZE    20
#define BODY_MIN     (PLAN_AT + PLAN_SIZE)
#define CONNECT_MS   15000
#define POLL_US      20000
#define STUCK_S      30
#define WARM_UP_PART 20

enum fate { FATE_COMMIT, FATE_ROLLBACK, FATE_UNKNOWN }; // the ordinals of Java's LocalTransactionState

enum mode { MODE_ONEWAY, MODE_ACKED, N_MODES };
static const char *const MODE_NAMES[N_MODES] = {"oneway", "acked"};

struct txmsg_options {
    const char *namesrv, *topic, *mode;
    int64_t messages, seconds, in_flight, size, rollback, unknown, check_unknown, stay_s;
    bool as_json;
};

struct slot {
    uint64_t from_us, number;
    enum fate fate;
};

struct figures {
    uint64_t messages, errors, bytes_out, bytes_in;
    double seconds, cpu_s;
    struct histogram latency; // from handing over the half to the end's hand-over (oneway) or answer (acked)
};

// One mode's run. All of it but `over` and `n_over` belongs to the client's thread once it has begun.
struct run {
    struct txmsg *t;
    enum mode mode;
    uint64_t begun, warm_up, limit, from_us, until_us;
    double cpu_from_s;
    struct rmq_stats stats_from;
    struct slot *slots;
    struct figures f;
    char first_error[200];
    unsigned under_way;
    pthread_mutex_t lock;
    pthread_cond_t bell;
    bool over;
    _Atomic uint64_t n_over;
};

struct txmsg {
    struct txmsg_options o;
    struct rmq *client;
    char *body;
    uint64_t random, batch;
    struct run runs[N_MODES];
    bool was_run[N_MODES];
    struct bare bare;
    _Atomic uint64_t checks;
};

static double cpu_s(void)
{
    return clock_s(CLOCK_PROCESS_CPUTIME_ID);
}

// "VmHWM" and the like, in KiB.
static long status_kib(const char *name)
{
    char line[200];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0) kib = strtol(line + strlen(name) + 1, NULL, 10);
    if (f) (void)fclose(f);
    return kib;
}

// --- The body

static uint64_t draw(struct txmsg *t)
{
    t->random ^= t->random << 13;
    t->random ^= t->random >> 7;
    t->random ^= t->random << 17;
    return t->random;
}

static bool has_luck(struct txmsg *t, int64_t percent)
{
    return percent > 0 && (int64_t)((draw(t) >> 11) % 100) < percent;
}

static void put_u64(char *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (char)(v >> (56 - 8 * i));
}

static void fill_body(struct txmsg *t, const struct slot *s)
{
    size_t size = (size_t)t->o.size, at = BODY_MIN;
    put_u64(t->body, t->batch);
    put_u64(t->body + 8, s->number);
    t->body[16] = (char)s->fate;
    for (unsigned i = 0; i < PLAN_SIZE; i++)
        t->body[PLAN_AT + i] = has_luck(t, t->o.check_unknown) ? FATE_UNKNOWN : FATE_COMMIT;
    for (; at + 8 <= size; at += 8) {
        uint64_t v = draw(t);
        memcpy(t->body + at, &v, 8);
    }
}

// The broker asks: what the message itself says. Beyond the plan's end the last word of it stands.
static void on_check(void *ctx, const struct rmq_check *check)
{
    struct txmsg *t = ctx;
    if (check->body.n < BODY_MIN) return;
    unsigned i = check->n > 0 && check->n <= PLAN_SIZE ? check->n - 1 : PLAN_SIZE - 1;
    atomic_fetch_add(&t->checks, 1);
    char fate = check->body.p[PLAN_AT + i];
    if (fate == FATE_UNKNOWN) return;
    struct rmq_end end = {.handle = &check->handle,
                          .topic = check->topic,
                          .uniq_key = check->uniq_key,
                          .answer = fate == FATE_COMMIT ? RMQ_COMMIT : RMQ_ROLLBACK,
                          .from_check = true,
                          .oneway = true};
    (void)rmq_end(t->client, &end, NULL, NULL, 0);
}

// --- The loop, on the client's thread

static void half_done(void *ctx, uint64_t token, const struct rmq_result *r);
static void half_next(struct run *u, uint64_t slot);

static void note_error(struct run *u, const char *what, const struct rmq_result *r)
{
    u->f.errors++;
    if (u->first_error[0]) return;
    if (r)
        (void)snprintf(u->first_error, sizeof u->first_error, "%s: outcome %d, code %d, %.120s", what, (int)r->outcome,
                       r->code, r->remark);
    else
        (void)snprintf(u->first_error, sizeof u->first_error, "%s was not accepted", what);
}

static void count_from_here(struct run *u)
{
    u->from_us = clock_us(CLOCK_MONOTONIC);
    u->until_us = u->t->o.seconds ? u->from_us + (uint64_t)u->t->o.seconds * 1000000 : UINT64_MAX;
    u->cpu_from_s = cpu_s();
    rmq_stats(u->t->client, &u->stats_from);
}

static void count_to_here(struct run *u)
{
    struct rmq_stats s;
    u->f.seconds = (double)(clock_us(CLOCK_MONOTONIC) - u->from_us) / 1e6;
    u->f.cpu_s = cpu_s() - u->cpu_from_s;
    rmq_stats(u->t->client, &s);
    u->f.bytes_out = s.bytes_out - u->stats_from.bytes_out;
    u->f.bytes_in = s.bytes_in - u->stats_from.bytes_in;
}

static void stop(struct run *u)
{
    pthread_mutex_lock(&u->lock);
    u->over = true;
    pthread_cond_signal(&u->bell);
    pthread_mutex_unlock(&u->lock);
}

static void slot_over(struct run *u, uint64_t slot, bool is_good)
{
    uint64_t now_us = clock_us(CLOCK_MONOTONIC), n = atomic_fetch_add(&u->n_over, 1) + 1;
    struct slot *s = &u->slots[slot];
    if (n > u->warm_up && is_good) {
        u->f.messages++;
        histogram_add(&u->f.latency, now_us - s->from_us);
    }
    if (n == u->warm_up) count_from_here(u);
    bool goes_on = u->begun < u->limit && (u->from_us == 0 || now_us < u->until_us);
    if (goes_on) {
        half_next(u, slot);
        return;
    }
    if (--u->under_way == 0) {
        count_to_here(u);
        stop(u);
    }
}

static void end_done(void *ctx, uint64_t token, const struct rmq_result *r)
{
    struct run *u = ctx;
    if (r->outcome != RMQ_DONE) note_error(u, "an end", r);
    if (u->mode == MODE_ACKED) slot_over(u, token, r->outcome == RMQ_DONE);
}

static void half_done(void *ctx, uint64_t token, const struct rmq_result *r)
{
    struct run *u = ctx;
    struct txmsg *t = u->t;
    const struct slot *s = &u->slots[token];
    bool is_good = r->outcome == RMQ_DONE;
    if (!is_good) note_error(u, "a half message", r);
    if (!is_good || s->fate == FATE_UNKNOWN) {
        slot_over(u, token, is_good);
        return;
    }
    struct rmq_end end = {.handle = &r->handle,
                          .topic = str_of(t->o.topic),
                          .uniq_key = str_of(r->msg_id),
                          .answer = s->fate == FATE_COMMIT ? RMQ_COMMIT : RMQ_ROLLBACK,
                          .oneway = u->mode == MODE_ONEWAY};
    bool is_accepted = rmq_end(t->client, &end, end_done, u, token);
    if (!is_accepted) note_error(u, "an end", NULL);
    if (!is_accepted || u->mode == MODE_ONEWAY) slot_over(u, token, is_accepted);
}

static enum fate draw_fate(struct txmsg *t)
{
    if (has_luck(t, t->o.rollback)) return FATE_ROLLBACK;
    return has_luck(t, t->o.unknown) ? FATE_UNKNOWN : FATE_COMMIT;
}

static void half_next(struct run *u, uint64_t slot)
{
    struct txmsg *t = u->t;
    struct slot *s = &u->slots[slot];
    *s = (struct slot){.from_us = clock_us(CLOCK_MONOTONIC), .number = u->begun++, .fate = draw_fate(t)};
    fill_body(t, s);
    struct rmq_message m = {.topic = str_of(t->o.topic), .body = {t->body, (size_t)t->o.size}};
    if (rmq_half(t->client, &m, half_done, u, slot)) return;
    // The calls allowed are far more than are ever under way: the client is stopping or out of memory.
    note_error(u, "a half message", NULL);
    if (--u->under_way == 0) stop(u);
}

// --- Around it

static bool has_finished(struct run *u)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STUCK_S;
    uint64_t before = atomic_load(&u->n_over);
    pthread_mutex_lock(&u->lock);
    int rc = 0;
    while (!u->over && rc == 0)
        rc = pthread_cond_timedwait(&u->bell, &u->lock, &until);
    bool over = u->over;
    pthread_mutex_unlock(&u->lock);
    if (over) return true;
    if (atomic_load(&u->n_over) != before) return has_finished(u);
    (void)snprintf(u->first_error, sizeof u->first_error, "nothing has moved for %d s", STUCK_S);
    return false;
}

static void first_one(void *ctx, uint64_t token, const struct rmq_result *r)
{
    struct run *u = ctx;
    (void)token;
    (void)r;
    for (uint64_t i = 0; i < u->under_way; i++)
        half_next(u, i);
}

// The loop is set going on the client's thread, by the answer to a message of no count: it is nobody else's.
static bool run_mode(struct txmsg *t, enum mode mode)
{
    struct run *u = &t->runs[mode];
    uint64_t messages = (uint64_t)t->o.messages, in_flight = (uint64_t)t->o.in_flight;
    *u = (struct run){.t = t, .mode = mode, .under_way = (unsigned)t->o.in_flight};
    u->warm_up = t->o.messages ? messages / WARM_UP_PART + in_flight : 50 * in_flight;
    if (t->o.unknown == 100) u->warm_up = 0; // exactly so many are to lie there
    u->limit = t->o.messages ? u->warm_up + messages : UINT64_MAX;
    u->slots = calloc(in_flight, sizeof *u->slots);
    pthread_mutex_init(&u->lock, NULL);
    pthread_cond_init(&u->bell, NULL);
    if (u->warm_up == 0) count_from_here(u);
    struct rmq_message m = {.topic = str_of(t->o.topic), .body = STR("start")};
    bool ok = u->slots && rmq_send(t->client, &m, first_one, u, 0) && has_finished(u) && u->f.messages > 0;
    t->was_run[mode] = ok;
    if (u->first_error[0]) (void)fprintf(stderr, "till bench: %s: %s\n", MODE_NAMES[mode], u->first_error);
    return ok;
}

static bool connect_client(struct txmsg *t)
{
    char why[160], text[160] = "";
    struct str topic = str_of(t->o.topic);
    struct rmq_options o = {.namesrv = str_of(t->o.namesrv),
                            .transaction_group = STR(GROUP),
                            .producer_group = STR("benchmark_producer"),
                            .topics = &topic,
                            .n_topics = 1,
                            .on_check = on_check,
                            .ctx = t,
                            .call_deadline_ms = 10000};
    t->client = rmq_new(&o, why);
    if (!t->client) {
        (void)fprintf(stderr, "till bench: %s\n", why);
        return false;
    }
    for (unsigned i = 0; i < CONNECT_MS * 1000 / POLL_US; i++) {
        if (rmq_state(t->client, text)) return true;
        usleep(POLL_US);
    }
    (void)fprintf(stderr, "till bench: %s: %s\n", t->o.namesrv, text);
    return false;
}

static void measure_limit(struct txmsg *t)
{
    const struct figures *f = t->was_run[MODE_ONEWAY] ? &t->runs[MODE_ONEWAY].f : &t->runs[MODE_ACKED].f;
    t->bare = (struct bare){.in_flight = (unsigned)t->o.in_flight,
                            .messages = f->messages < 100000 ? f->messages : 100000,
                            .request_bytes = (unsigned)(f->bytes_out / f->messages),
                            .reply_bytes = (unsigned)(f->bytes_in / f->messages)};
    if (!bare_run(&t->bare)) t->bare.seconds = 0;
}

// --- Telling

static double per_second(const struct figures *f)
{
    return f->seconds > 0 ? (double)f->messages / f->seconds : 0;
}

static double cpu_us(const struct figures *f)
{
    return f->messages ? f->cpu_s * 1e6 / (double)f->messages : 0;
}

static void tell_mode_json(const struct figures *f)
{
    (void)printf("\"messages\":%llu,\"seconds\":%.3f,\"per_second\":%.0f,\"cpu_us_per_message\":%.3f,\"p50_ms\":%.3f,"
                 "\"p99_ms\":%.3f,\"errors\":%llu",
                 (unsigned long long)f->messages, f->seconds, per_second(f), cpu_us(f),
                 (double)histogram_quantile_us(&f->latency, 0.5) / 1e3,
                 (double)histogram_quantile_us(&f->latency, 0.99) / 1e3, (unsigned long long)f->errors);
}

static void tell_table(const struct txmsg *t, long rss_kib)
{
    (void)fprintf(stderr, "%-8s %10s %10s %12s %10s %10s %8s\n", "end", "messages", "half/s", "CPU us each", "p50 ms",
                  "p99 ms", "errors");
    for (enum mode m = 0; m < N_MODES; m++) {
        const struct figures *f = &t->runs[m].f;
        if (!t->was_run[m]) continue;
        (void)fprintf(stderr, "%-8s %10llu %10.0f %12.2f %10.2f %10.2f %8llu\n", MODE_NAMES[m],
                      (unsigned long long)f->messages, per_second(f), cpu_us(f),
                      (double)histogram_quantile_us(&f->latency, 0.5) / 1e3,
                      (double)histogram_quantile_us(&f->latency, 0.99) / 1e3, (unsigned long long)f->errors);
    }
    if (t->bare.seconds > 0)
        (void)fprintf(stderr,
                      "%-8s %10llu %10.0f %12.2f   limit: %u bytes out and %u back over loopback, nothing else\n",
                      "bare", (unsigned long long)t->bare.messages, (double)t->bare.messages / t->bare.seconds,
                      t->bare.cpu_us, t->bare.request_bytes, t->bare.reply_bytes);
    (void)fprintf(stderr, "resident memory %ld KiB at most; %llu check-backs\n", rss_kib,
                  (unsigned long long)atomic_load(&t->checks));
}

static void tell(const struct txmsg *t, long rss_kib)
{
    enum mode first = t->was_run[MODE_ONEWAY] ? MODE_ONEWAY : MODE_ACKED;
    if (!t->o.as_json) tell_table(t, rss_kib);
    (void)printf("{\"bench\":\"txmsg\",");
    tell_mode_json(&t->runs[first].f);
    (void)printf(",\"rss_kib\":%ld,\"in_flight\":%lld,\"size\":%lld,\"checks\":%llu", rss_kib,
                 (long long)t->o.in_flight, (long long)t->o.size, (unsigned long long)atomic_load(&t->checks));
    for (enum mode m = 0; m < N_MODES; m++) {
        if (!t->was_run[m]) continue;
        (void)printf(",\"%s\":{", MODE_NAMES[m]);
        tell_mode_json(&t->runs[m].f);
        (void)printf("}");
    }
    if (t->bare.seconds > 0)
        (void)printf(",\"bare\":{\"per_second\":%.0f,\"cpu_us_per_message\":%.3f,\"bytes_out\":%u,\"bytes_in\":%u}",
                     (double)t->bare.messages / t->bare.seconds, t->bare.cpu_us, t->bare.request_bytes,
                     t->bare.reply_bytes);
    (void)printf("}\n");
}

static int run_all(struct txmsg *t)
{
    uint64_t errors = 0;
    bool ok = true;
    for (enum mode m = 0; ok && m < N_MODES; m++) {
        if (strcmp(t->o.mode, "both") != 0 && strcmp(t->o.mode, MODE_NAMES[m]) != 0) continue;
        ok = run_mode(t, m);
        errors += t->runs[m].f.errors;
    }
    if (t->o.stay_s) {
        (void)fprintf(stderr, "staying for %lld s to answer check-backs\n", (long long)t->o.stay_s);
        (void)sleep((unsigned)t->o.stay_s);
    }
    long rss_kib = status_kib("VmHWM:"); // before the limit is measured, which is none of the client's
    if (ok) measure_limit(t);
    if (ok) tell(t, rss_kib);
    return ok && errors == 0 ? 0 : 1;
}

static bool options_read(struct txmsg_options *o, int argc, char **argv, char why[FLAG_WHY_SIZE])
{
    int64_t messages = -1;
    const struct flag flags[] = {
        {.name = "--namesrv", .kind = FLAG_TEXT, .out = &o->namesrv},
        {.name = "--topic", .kind = FLAG_TEXT, .out = &o->topic},
        {.name = "--mode", .kind = FLAG_TEXT, .out = &o->mode},
        {.name = "--messages", .kind = FLAG_NUMBER, .out = &messages, .min = 1, .max = 1000000000},
        {.name = "--seconds", .kind = FLAG_NUMBER, .out = &o->seconds, .min = 1, .max = 86400},
        {.name = "--in-flight", .kind = FLAG_NUMBER, .out = &o->in_flight, .min = 1, .max = 1024},
        {.name = "--size", .kind = FLAG_NUMBER, .out = &o->size, .min = BODY_MIN, .max = 1 << 20},
        {.name = "--rollback", .kind = FLAG_NUMBER, .out = &o->rollback, .min = 0, .max = 100},
        {.name = "--unknown", .kind = FLAG_NUMBER, .out = &o->unknown, .min = 0, .max = 100},
        {.name = "--check-unknown", .kind = FLAG_NUMBER, .out = &o->check_unknown, .min = 0, .max = 100},
        {.name = "--stay", .kind = FLAG_NUMBER, .out = &o->stay_s, .min = 0, .max = 86400},
        {.name = "--json", .kind = FLAG_SWITCH, .out = &o->as_json},
        {.name = NULL},
    };
    struct flag_input in = {.argc = argc, .argv = argv, .flags = flags};
    if (!flags_read(&in, why)) return false;
    o->messages = messages > 0 ? messages : o->seconds ? 0 : 200000;
    (void)snprintf(why, FLAG_WHY_SIZE, "--mode: expected oneway, acked or both");
    return strcmp(o->mode, "oneway") == 0 || strcmp(o->mode, "acked") == 0 || strcmp(o->mode, "both") == 0;
}

int txmsg_main(int argc, char **argv)
{
    char why[FLAG_WHY_SIZE];
    struct txmsg *t = calloc(1, sizeof *t);
    if (!t) return 1;
    t->o = (struct txmsg_options){
        .namesrv = "127.0.0.1:9876", .topic = "BenchmarkTest", .mode = "both", .in_flight = 32, .size = 2048};
    if (!options_read(&t->o, argc, argv, why)) {
        free(t);
        return usage_error("bench", why);
    }
    t->batch = clock_us(CLOCK_REALTIME);
    t->random = t->batch | 1;
    t->body = calloc(1, (size_t)t->o.size);
    int status = t->body && connect_client(t) ? run_all(t) : 1;
    rmq_free(t->client);
    for (enum mode m = 0; m < N_MODES; m++)
        free(t->runs[m].slots);
    free(t->body);
    free(t);
    return status;
}
