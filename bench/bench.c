// SPDX-License-Identifier: Apache-2.0
// The command. Every figure stands beside a limit measured in the same run: what the disk needs to make one small
// write durable, and (noop) what the same server needs to do nothing.
#include "bench.h"
#include "base/id.h"
#include "load.h"
#include "own_server.h"
#include "pending.h"
#include "policies.h"
#include "shell/flags.h"
#include "shell/help.h"
#include "txmsg.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SKUS       1000
#define SYNC_TRIES 200

struct bench {
    const char *name;
    char host[64];
    unsigned port;
    int64_t orders, connections;
    bool as_json;
    uint64_t run; // makes the keys of this run its own
    double cpu_from_s, cpu_s;
};

// --- What the server says of itself

static double server_cpu_s(const struct bench *b)
{
    static const char name[] = "\ntill_process_cpu_seconds_total ";
    struct buf body = {0};
    int status = 0;
    double s = 0;
    if (load_once(b->host, b->port, STR("GET /metrics HTTP/1.1\r\nHost: till\r\n\r\n"), &status, &body)) {
        buf_char(&body, 0);
        const char *at = body.failed ? NULL : strstr(body.p, name);
        if (at) s = strtod(at + sizeof name - 1, NULL);
    }
    buf_free(&body);
    return s;
}

static void counting_begins(void *ctx)
{
    struct bench *b = ctx;
    b->cpu_from_s = server_cpu_s(b);
}

// --- Requests

static void post(struct buf *out, const char *path, const char *headers, const char *body, int n)
{
    buf_printf(out, "POST %s HTTP/1.1\r\nHost: till\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n",
               path, headers, n);
    buf_add(out, body, (size_t)n);
}

// Two lines over the catalogue. The SKUs are drawn, not counted through: neighbours in time are no neighbours in the
// table.
static void request_of(const char *path, const struct bench *b, uint64_t i, struct buf *out)
{
    uint64_t mix = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    unsigned first = (unsigned)(mix >> 40) % SKUS, second = (first + 1 + (unsigned)(mix >> 20) % (SKUS - 1)) % SKUS;
    char body[256], headers[96];
    int n = snprintf(body, sizeof body,
                     "{\"items\":[{\"sku\":\"bench-%04u\",\"quantity\":1},{\"sku\":\"bench-%04u\",\"quantity\":2}],"
                     "\"channel\":\"any\",\"pay_within\":86400}",
                     first, second);
    (void)snprintf(headers, sizeof headers, "Idempotency-Key: %016llx-%016llx\r\n", (unsigned long long)b->run,
                   (unsigned long long)mix);
    post(out, path, headers, body, n);
}

static void place_request(void *ctx, uint64_t i, struct buf *out)
{
    request_of("/v1/orders", ctx, i, out);
}

static void noop_request(void *ctx, uint64_t i, struct buf *out)
{
    request_of("/dev/noop", ctx, i, out);
}

static bool make_catalogue(const struct bench *b, char why[200])
{
    for (unsigned i = 0; i < SKUS; i++) {
        struct buf request = {0}, answer = {0};
        char body[128];
        int status = 0;
        int n = snprintf(body, sizeof body, "{\"title\":\"Bench %u\",\"price\":%u}", i, 100 + i);
        buf_printf(
            &request,
            "PUT /v1/skus/bench-%04u HTTP/1.1\r\nHost: till\r\nContent-Type: application/json\r\nContent-Length: "
            "%d\r\n\r\n%s",
            i, n, body);
        bool ok = load_once(b->host, b->port, buf_view(&request), &status, &answer) && (status == 201 || status == 200);
        buf_clear(&request);
        char path[64];
        (void)snprintf(path, sizeof path, "/v1/skus/bench-%04u/stock", i);
        n = snprintf(body, sizeof body, "{\"add\":%lld}", (long long)b->orders * 4);
        post(&request, path, "", body, n);
        ok = ok && load_once(b->host, b->port, buf_view(&request), &status, &answer) && status == 200;
        if (!ok)
            (void)snprintf(why, 200, "cannot make the catalogue: %d %.*s", status, (int)(answer.n % 120), answer.p);
        buf_free(&request);
        buf_free(&answer);
        if (!ok) return false;
    }
    return true;
}

// --- The limit: one small durable write

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double sync_p50_us(void)
{
    char path[] = "./till-bench-sync-XXXXXX", block[4096] = {0};
    double us[SYNC_TRIES];
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) return 0;
    (void)unlink(path);
    bool ok = posix_fallocate(fd, 0, (off_t)sizeof block * SYNC_TRIES) == 0;
    for (unsigned i = 0; ok && i < SYNC_TRIES; i++) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        ok = write(fd, block, sizeof block) == (ssize_t)sizeof block && fdatasync(fd) == 0;
        clock_gettime(CLOCK_MONOTONIC, &to);
        us[i] = (double)(to.tv_sec - from.tv_sec) * 1e6 + (double)(to.tv_nsec - from.tv_nsec) / 1e3;
    }
    close(fd);
    if (!ok) return 0;
    qsort(us, SYNC_TRIES, sizeof *us, by_value);
    return us[SYNC_TRIES / 2];
}

// --- Running and telling

static void tell(const struct bench *b, const struct load *l, double sync_us)
{
    double per_second = l->seconds > 0 ? (double)l->done / l->seconds : 0;
    double cpu_us = l->done ? b->cpu_s * 1e6 / (double)l->done : 0;
    if (!b->as_json)
        (void)printf(
            "%s: %llu in %.2f s with %u connections: %.0f/s, p50 %.2f ms, p99 %.2f ms, server CPU %.1f us each\n"
            "limit: one durable write of 4 KiB here takes %.2f ms (p50)\n",
            b->name, (unsigned long long)l->done, l->seconds, l->connections, per_second,
            (double)histogram_quantile_us(&l->latency, 0.5) / 1e3,
            (double)histogram_quantile_us(&l->latency, 0.99) / 1e3, cpu_us, sync_us / 1e3);
    (void)printf(
        "{\"bench\":\"%s\",\"orders\":%llu,\"connections\":%u,\"seconds\":%.3f,\"per_second\":%.0f,\"p50_ms\":%.3f,"
        "\"p99_ms\":%.3f,\"errors\":%llu,\"server_cpu_us_per_op\":%.2f,\"fdatasync_p50_ms\":%.3f}\n",
        b->name, (unsigned long long)l->done, l->connections, l->seconds, per_second,
        (double)histogram_quantile_us(&l->latency, 0.5) / 1e3, (double)histogram_quantile_us(&l->latency, 0.99) / 1e3,
        (unsigned long long)l->errors, cpu_us, sync_us / 1e3);
    if (l->errors) (void)fprintf(stderr, "till bench: first error: %s\n", l->first_error);
}

static int run(struct bench *b)
{
    char why[200];
    bool places = strcmp(b->name, "place") == 0;
    if (places && !make_catalogue(b, why)) {
        (void)fprintf(stderr, "till bench: %s\n", why);
        return 1;
    }
    uint64_t orders = (uint64_t)b->orders;
    struct load l = {.host = b->host,
                     .port = b->port,
                     .connections = (unsigned)b->connections,
                     .operations = orders,
                     .warm_up = orders / 20 + (uint64_t)b->connections,
                     .request = places ? place_request : noop_request,
                     .warm = counting_begins,
                     .ctx = b,
                     .shows_progress = isatty(STDERR_FILENO) == 1,
                     .name = b->name};
    bool ok = load_run(&l, why);
    b->cpu_s = server_cpu_s(b) - b->cpu_from_s;
    if (!ok) (void)fprintf(stderr, "till bench: %s\n", why);
    if (ok) tell(b, &l, sync_p50_us());
    return ok && l.errors == 0 ? 0 : 1;
}

static bool url_read(struct bench *b, const char *url)
{
    char end;
    return sscanf(url, "http://%63[0-9.]:%u%c", b->host, &b->port, &end) == 2 && b->port > 0 && b->port < 65536;
}

int bench_main(int argc, char **argv)
{
    if (argc > 0 && strcmp(argv[0], "policies") == 0) return policies_main(argc - 1, argv + 1);
    if (argc > 0 && strcmp(argv[0], "pending") == 0) return pending_main(argc - 1, argv + 1);
    if (argc > 0 && strcmp(argv[0], "txmsg") == 0) return txmsg_main(argc - 1, argv + 1);
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    struct bench b = {.orders = 100000,
                      .connections = 64,
                      .host = "127.0.0.1",
                      .run = ((uint64_t)t.tv_sec << 32) ^ (uint64_t)t.tv_nsec ^ ((uint64_t)getpid() << 20)};
    const char *url = "", *words[1];
    const struct flag flags[] = {
        {.name = "--url", .kind = FLAG_TEXT, .out = &url},
        {.name = "--orders", .kind = FLAG_NUMBER, .out = &b.orders, .min = 1, .max = 100000000},
        {.name = "--connections", .kind = FLAG_NUMBER, .out = &b.connections, .min = 1, .max = 10000},
        {.name = "--json", .kind = FLAG_SWITCH, .out = &b.as_json},
        {.name = NULL},
    };
    struct flag_input in = {.argc = argc, .argv = argv, .flags = flags, .words = words, .words_max = 1};
    char why[FLAG_WHY_SIZE];
    if (!flags_read(&in, why)) return usage_error("bench", why);
    b.name = in.n_words == 1 ? words[0] : "";
    bool known = strcmp(b.name, "place") == 0 || strcmp(b.name, "noop") == 0;
    if (!known || (url[0] && !url_read(&b, url))) {
        (void)fprintf(stderr,
                      "usage: till bench place|noop [--url http://127.0.0.1:8080] [--orders N] [--connections N] "
                      "[--json]\n       without --url it starts a server of its own in this directory\n"
                      "       till bench policies|txmsg|pending [FLAGS], see till help bench\n");
        return 2;
    }
    struct own_server own = {0};
    if (!url[0] && !own_server_start(&own, why)) {
        (void)fprintf(stderr, "till bench: %s\n", why);
        return 1;
    }
    if (!url[0]) b.port = own.port;
    int status = run(&b);
    if (!url[0]) own_server_stop(&own);
    return status;
}
