// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static void handle_request(void *ctx, struct http_exchange *x)
{
    struct fixture *f = ctx;
    atomic_fetch_add(&f->n_requests, 1);
    if (str_eq(x->path, STR("/hold")) || str_eq(x->path, STR("/stream"))) {
        if (str_eq(x->path, STR("/stream"))) http_stream_begin(x, 200, "text/event-stream", NULL);
        f->held[atomic_load(&f->n_held) % HELD_MAX] = x;
        atomic_fetch_add(&f->n_held, 1);
    } else if (str_eq(x->path, STR("/big"))) {
        struct buf b = {0};
        buf_reserve(&b, 1 << 20);
        memset(b.p, 'b', 1 << 20);
        http_respond(x, 200, "text/plain", NULL, (struct str){b.p, 1 << 20});
        buf_free(&b);
    } else if (str_eq(x->path, STR("/echo"))) {
        http_respond(x, 201, "text/plain", "X-More: yes\r\n", x->body);
    } else if (str_eq(x->path, STR("/none"))) {
        http_respond(x, 204, NULL, NULL, STR("never sent"));
    } else if (str_eq(x->path, STR("/last"))) {
        x->keep_alive = false;
        http_respond(x, 200, NULL, NULL, STR(""));
    } else if (str_eq(x->path, STR("/head"))) {
        char name[64] = {0};
        memcpy(name, x->query.p, x->query.n < 63 ? x->query.n : 63);
        http_respond(x, 200, NULL, NULL, http_header(x, name));
    } else if (str_eq(x->path, STR("/single"))) {
        char name[64] = {0};
        memcpy(name, x->query.p, x->query.n < 63 ? x->query.n : 63);
        http_respond(x, 200, NULL, NULL, http_header_single(x, name));
    } else if (str_eq(x->path, STR("/now"))) {
        http_respond(x, 200, NULL, NULL, x->target);
    } else {
        http_problem(x, 404, "not_found", "Nothing is here.", "/path");
    }
}

static void handle_closed(void *ctx, struct http_exchange *x)
{
    struct fixture *f = ctx;
    for (unsigned i = 0; i < HELD_MAX; i++)
        if (f->held[i] == x) f->held[i] = NULL;
    atomic_fetch_add(&f->n_closed, 1);
}

static void handle_round(void *ctx, struct http_worker *w)
{
    (void)w;
    struct fixture *f = ctx;
    atomic_fetch_add(&f->n_rounds, 1);
}

void fixture_open(struct fixture *f, const struct fixture_setup *setup)
{
    *f = (struct fixture){0};
    char why[200] = "";
    struct http_handler h = {f, handle_request, handle_closed, handle_round};
    struct http_options o = {"127.0.0.1:0", setup->n_workers ? setup->n_workers : 1,
                             setup->max_connections ? setup->max_connections : 100};
    f->server = http_server_new(&o, &h, why);
    if (!f->server) fail_msg("%s", why);
    if (setup->limit_ms) http_server_set_limit(f->server, setup->phase, setup->limit_ms);
    assert_true(http_server_start(f->server));
}

void fixture_close(struct fixture *f)
{
    http_server_stop(f->server, 0);
    assert_int_equal(http_server_connections(f->server), 0);
    http_server_free(f->server);
}

struct http_worker *fixture_worker(struct fixture *f)
{
    return http_server_worker(f->server, 0);
}

int64_t test_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

void wait_count(atomic_uint *counter, unsigned n)
{
    for (int64_t end = test_now_ms() + WAIT_MS; atomic_load(counter) < n && test_now_ms() < end;)
        usleep(1000);
    assert_int_equal(atomic_load(counter), n);
}

struct call {
    void (*fn)(void *arg);
    void *arg;
    sem_t done;
};

static void run_call(void *arg)
{
    struct call *c = arg;
    c->fn(c->arg);
    sem_post(&c->done);
}

void on_worker(struct fixture *f, void (*fn)(void *arg), void *arg)
{
    struct call c = {.fn = fn, .arg = arg};
    sem_init(&c.done, 0, 0);
    assert_true(http_worker_post(fixture_worker(f), run_call, &c));
    while (sem_wait(&c.done) < 0 && errno == EINTR) {
    }
    sem_destroy(&c.done);
}

struct release {
    struct fixture *f;
    unsigned i;
    bool found;
};

static void release_one(void *arg)
{
    struct release *r = arg;
    struct http_exchange *x = r->f->held[r->i];
    r->found = x != NULL;
    if (!x) return;
    r->f->held[r->i] = NULL;
    struct buf b = {0};
    buf_printf(&b, "held %u", r->i);
    http_respond(x, 200, "text/plain", NULL, buf_view(&b));
    buf_free(&b);
}

void let_go(struct fixture *f, unsigned i)
{
    struct release r = {f, i, false};
    on_worker(f, release_one, &r);
    assert_true(r.found);
}

int client_open(const struct fixture *f)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)http_server_port(f->server)),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    struct timeval limit = {.tv_sec = WAIT_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return fd;
}

void client_send(int fd, struct str bytes)
{
    for (size_t at = 0; at < bytes.n;) {
        ssize_t n = send(fd, bytes.p + at, bytes.n - at, MSG_NOSIGNAL);
        if (n <= 0) fail_msg("cannot send: %s", strerror(errno));
        at += (size_t)n;
    }
}

void client_say(int fd, const char *text)
{
    client_send(fd, str_of(text));
}

void client_expect(int fd, const char *text)
{
    size_t want = strlen(text), got = 0;
    char *bytes = calloc(1, want + 1);
    assert_non_null(bytes);
    while (got < want) {
        ssize_t n = recv(fd, bytes + got, want - got, 0);
        if (n <= 0) break;
        got += (size_t)n;
    }
    assert_string_equal(bytes, text);
    free(bytes);
}

struct buf client_rest(int fd)
{
    struct buf b = {0};
    for (;;) {
        assert_true(buf_reserve(&b, 65536));
        ssize_t n = recv(fd, b.p + b.n, 65535, 0);
        if (n < 0) fail_msg("no end of the connection: %s", strerror(errno));
        if (n == 0) break;
        b.n += (size_t)n;
    }
    b.p[b.n] = 0;
    return b;
}

void client_expect_end(int fd)
{
    struct buf b = client_rest(fd);
    assert_string_equal(b.p, "");
    buf_free(&b);
}

bool client_silent(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms) == 0;
}
