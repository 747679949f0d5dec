// SPDX-License-Identifier: Apache-2.0
#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define INPUT_MAX   (64 * 1024)
#define STALL_MS    30000
#define EVENTS      256
#define PROGRESS_US 200000

struct connection {
    int fd;
    uint64_t sent_us, index;
    struct buf out;
    size_t out_at;
    bool is_stuck; // waits for room to send
    char in[INPUT_MAX];
    size_t in_n;
};

struct runner {
    struct load *l;
    int epoll;
    struct connection *connections;
    uint64_t next, answered, begin_us, shown_us;
    unsigned alive;
};

uint64_t clock_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

// --- Histogram

static unsigned step_of(uint64_t us)
{
    if (us < HISTOGRAM_SUB) return (unsigned)us;
    unsigned high = 63 - (unsigned)__builtin_clzll(us); // at least 5
    unsigned step = (high - 4) * HISTOGRAM_SUB + (unsigned)(us >> (high - 5)) % HISTOGRAM_SUB;
    return step < HISTOGRAM_SIZE ? step : HISTOGRAM_SIZE - 1;
}

static uint64_t step_end_us(unsigned step)
{
    if (step < HISTOGRAM_SUB) return step;
    unsigned high = step / HISTOGRAM_SUB + 4;
    return ((uint64_t)(HISTOGRAM_SUB + step % HISTOGRAM_SUB + 1) << (high - 5)) - 1;
}

void histogram_add(struct histogram *h, uint64_t us)
{
    h->counts[step_of(us)]++;
    h->n++;
}

uint64_t histogram_quantile_us(const struct histogram *h, double q)
{
    uint64_t want = (uint64_t)((double)h->n * q), seen = 0;
    if (h->n == 0) return 0;
    if (want >= h->n) want = h->n - 1;
    for (unsigned s = 0; s < HISTOGRAM_SIZE; s++) {
        seen += h->counts[s];
        if (seen > want) return step_end_us(s);
    }
    return step_end_us(HISTOGRAM_SIZE - 1);
}

// --- Sockets

static int connect_to(const char *host, unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (inet_pton(AF_INET, host, &a.sin_addr) != 1 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

// The end of the answer that begins at p, or 0 while it is not all there. Our own servers always give Content-Length.
static size_t answer_end(const char *p, size_t n, int *status, size_t *body_at)
{
    const char *head_end = memmem(p, n, "\r\n\r\n", 4);
    if (!head_end || n < 12) return 0;
    const char *length = memmem(p, (size_t)(head_end - p), "Content-Length: ", 16);
    *status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
    *body_at = (size_t)(head_end - p) + 4;
    size_t body = length ? strtoul(length + 16, NULL, 10) : 0;
    return n >= *body_at + body ? *body_at + body : 0;
}

bool load_once(const char *host, unsigned port, struct str request, int *status, struct buf *body)
{
    struct buf in = {0};
    size_t body_at = 0, end = 0;
    int fd = connect_to(host, port);
    bool ok = fd >= 0 && write(fd, request.p, request.n) == (ssize_t)request.n;
    while (ok && end == 0) {
        ok = buf_reserve(&in, INPUT_MAX);
        ssize_t n = ok ? read(fd, in.p + in.n, INPUT_MAX) : -1;
        ok = n > 0;
        if (ok) in.n += (size_t)n;
        if (ok) end = answer_end(in.p, in.n, status, &body_at);
    }
    if (ok) buf_add(body, in.p + body_at, end - body_at);
    if (fd >= 0) close(fd);
    buf_free(&in);
    return ok;
}

// --- The loop

static bool flush(struct runner *r, struct connection *c)
{
    while (c->out_at < c->out.n) {
        ssize_t n = send(c->fd, c->out.p + c->out_at, c->out.n - c->out_at, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
            c->is_stuck = true;
            return epoll_ctl(r->epoll, EPOLL_CTL_MOD, c->fd, &ev) == 0;
        }
        if (n <= 0) return false;
        c->out_at += (size_t)n;
    }
    if (c->is_stuck) {
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
        c->is_stuck = false;
        return epoll_ctl(r->epoll, EPOLL_CTL_MOD, c->fd, &ev) == 0;
    }
    return true;
}

static bool send_next(struct runner *r, struct connection *c)
{
    struct load *l = r->l;
    if (r->next == l->warm_up + l->operations) return true; // enough: it stays idle
    c->index = r->next++;
    buf_clear(&c->out);
    c->out_at = 0;
    l->request(l->ctx, c->index, &c->out);
    c->sent_us = clock_us(CLOCK_MONOTONIC);
    return !c->out.failed && flush(r, c);
}

static void note_error(struct load *l, int status, struct str body)
{
    l->errors++;
    if (l->first_error[0]) return;
    (void)snprintf(l->first_error, sizeof l->first_error, "%d %.*s", status, (int)(body.n < 150 ? body.n : 150),
                   body.p);
}

// One more is over, well or not: after the warm-up the counted part begins.
static void count_end(struct runner *r)
{
    if (++r->answered != r->l->warm_up) return;
    r->begin_us = clock_us(CLOCK_MONOTONIC);
    if (r->l->warm) r->l->warm(r->l->ctx);
}

static void count_answer(struct runner *r, struct connection *c, int status, struct str body)
{
    struct load *l = r->l;
    bool good = status >= 200 && status <= 299;
    if (!good) note_error(l, status, body);
    if (good && c->index >= l->warm_up) histogram_add(&l->latency, clock_us(CLOCK_MONOTONIC) - c->sent_us);
    count_end(r);
}

static bool receive(struct runner *r, struct connection *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_n, INPUT_MAX - c->in_n, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (n <= 0) return false;
    c->in_n += (size_t)n;
    int status;
    size_t body_at, end = answer_end(c->in, c->in_n, &status, &body_at);
    if (end == 0) return c->in_n < INPUT_MAX;
    count_answer(r, c, status, (struct str){c->in + body_at, end - body_at});
    c->in_n = 0; // one request at a time: nothing can follow
    return send_next(r, c);
}

static void show(struct runner *r)
{
    const struct load *l = r->l;
    uint64_t now = clock_us(CLOCK_MONOTONIC), all = l->warm_up + l->operations;
    if (!l->shows_progress || (now - r->shown_us < PROGRESS_US && r->answered < all)) return;
    r->shown_us = now;
    char bar[41];
    size_t full = (size_t)(40 * r->answered / all);
    memset(bar, '.', 40);
    memset(bar, '#', full);
    bar[40] = 0;
    (void)fprintf(stderr, "\r%-8s [%s] %llu/%llu%s", l->name, bar, (unsigned long long)r->answered,
                  (unsigned long long)all, r->answered == all ? "\n" : "");
}

static bool open_connections(struct runner *r)
{
    for (unsigned i = 0; i < r->l->connections; i++) {
        struct connection *c = &r->connections[i];
        c->fd = connect_to(r->l->host, r->l->port);
        if (c->fd < 0) return false;
        (void)fcntl(c->fd, F_SETFL, O_NONBLOCK);
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0) return false;
        r->alive++;
    }
    for (unsigned i = 0; i < r->l->connections; i++)
        if (!send_next(r, &r->connections[i])) return false;
    return true;
}

static void drop(struct runner *r, struct connection *c)
{
    note_error(r->l, 0, STR("the connection broke"));
    close(c->fd);
    c->fd = -1;
    r->alive--;
    count_end(r); // what was under way is lost; the rest is done by the others
}

static bool loop(struct runner *r)
{
    struct epoll_event events[EVENTS];
    while (r->answered < r->l->warm_up + r->l->operations) {
        int n = epoll_wait(r->epoll, events, EVENTS, STALL_MS);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0 || r->alive == 0) return false;
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            bool ok = (events[i].events & EPOLLOUT) == 0 || flush(r, c);
            if (ok && (events[i].events & ~(unsigned)EPOLLOUT)) ok = receive(r, c);
            if (!ok) drop(r, c);
        }
        show(r);
    }
    return true;
}

bool load_run(struct load *l, char why[200])
{
    struct runner r = {.l = l, .epoll = epoll_create1(EPOLL_CLOEXEC), .begin_us = clock_us(CLOCK_MONOTONIC)};
    r.connections = calloc(l->connections, sizeof *r.connections);
    bool ok = r.connections && r.epoll >= 0;
    if (ok && !open_connections(&r)) {
        (void)snprintf(why, 200, "cannot connect %u times to %s:%u: %s", l->connections, l->host, l->port,
                       strerror(errno));
        ok = false;
    } else if (ok && !loop(&r)) {
        (void)snprintf(why, 200, "the server stopped answering");
        ok = false;
    }
    l->seconds = (double)(clock_us(CLOCK_MONOTONIC) - r.begin_us) / 1e6;
    l->done = l->latency.n;
    for (unsigned i = 0; r.connections && i < l->connections; i++) {
        if (r.connections[i].fd > 0) close(r.connections[i].fd);
        buf_free(&r.connections[i].out);
    }
    free(r.connections);
    if (r.epoll >= 0) close(r.epoll);
    return ok;
}
