// SPDX-License-Identifier: Apache-2.0
// What the machine can do at the most: an HTTP/1.1 keep-alive server on a bare epoll loop that looks for the end of
// each request and answers with bytes made beforehand. Nothing is checked, nothing is routed, nothing is kept.
//
//     ceiling [--threads N] [--body BYTES]                   answers at once
//     ceiling [--threads N] [--body BYTES] --append FILE     appends 600 bytes for each request to a file that has its
//                                                            room already, makes all of a round durable with one
//                                                            fdatasync(), and only then answers
//
// A round is what one epoll_wait() brought. On a port the system chose; its number is the first line on stdout. Not
// installed: bench/performance.py runs it beside the product.
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS      1024
#define INPUT_MAX   (16 * 1024)
#define RECORD_SIZE 600
#define FILE_SIZE   (256 * 1024 * 1024) // then from its beginning again
#define THREADS_MAX 64

struct connection {
    int fd;
    unsigned owed; // answers of this round
    size_t in_n;
    char in[INPUT_MAX];
};

struct loop {
    int epoll, listener, file; // file -1: nothing is appended
    off_t file_at;
    pthread_t thread;
};

static char records[EVENTS * RECORD_SIZE]; // of one round; any bytes do
static char *answer;
static size_t answer_n;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

// The end of the request that begins at p, or 0 while it is not all there.
static size_t request_end(const char *p, size_t n)
{
    const char *end = memmem(p, n, "\r\n\r\n", 4);
    if (!end) return 0;
    const char *length = memmem(p, (size_t)(end - p), "Content-Length: ", 16);
    size_t whole = (size_t)(end - p) + 4 + (length ? strtoul(length + 16, NULL, 10) : 0);
    return whole <= n ? whole : 0;
}

// False when the connection is over.
static bool take_requests(struct connection *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_n, INPUT_MAX - c->in_n, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (n <= 0) return false;
    c->in_n += (size_t)n;
    size_t at = 0, end;
    for (; (end = request_end(c->in + at, c->in_n - at)) != 0; at += end)
        c->owed++;
    c->in_n -= at;
    if (at && c->in_n) memmove(c->in, c->in + at, c->in_n);
    return c->in_n < INPUT_MAX;
}

static bool answer_all(struct connection *c)
{
    bool ok = true;
    for (; ok && c->owed; c->owed--)
        ok = send(c->fd, answer, answer_n, MSG_NOSIGNAL) == (ssize_t)answer_n;
    return ok;
}

static void append(struct loop *l, size_t n)
{
    if (l->file_at + (off_t)n > FILE_SIZE) l->file_at = 0;
    if (pwrite(l->file, records, n, l->file_at) != (ssize_t)n) die("append");
    l->file_at += (off_t)n;
}

static void make_durable(struct loop *l, size_t n_records)
{
    for (size_t n = n_records * RECORD_SIZE; n > 0;) {
        size_t part = n < sizeof records ? n : sizeof records;
        append(l, part);
        n -= part;
    }
    if (fdatasync(l->file) < 0) die("append");
}

static void accept_one(const struct loop *l)
{
    int fd = accept4(l->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    struct connection *c = calloc(1, sizeof *c);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    if (!c || epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev) < 0) die("accept");
    c->fd = fd;
}

static void drop(struct connection *c)
{
    close(c->fd);
    free(c);
}

static void round_run(struct loop *l, struct epoll_event *events, int n)
{
    size_t n_records = 0;
    for (int i = 0; i < n; i++) {
        struct connection *c = events[i].data.ptr;
        if (!c) {
            accept_one(l);
        } else if (take_requests(c)) {
            n_records += c->owed;
        } else {
            drop(c);
            events[i].data.ptr = NULL;
        }
    }
    if (l->file >= 0 && n_records > 0) make_durable(l, n_records);
    for (int i = 0; i < n; i++) {
        struct connection *c = events[i].data.ptr;
        if (c && !answer_all(c)) drop(c);
    }
}

static void *loop_main(void *arg)
{
    struct loop *l = arg;
    struct epoll_event events[EVENTS];
    for (;;) {
        int n = epoll_wait(l->epoll, events, EVENTS, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        round_run(l, events, n);
    }
    return NULL;
}

static uint16_t listen_on(struct loop *l, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int on = 1;
    l->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN};
    bool ok = l->listener >= 0 && l->epoll >= 0 &&
              setsockopt(l->listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0 &&
              setsockopt(l->listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
              bind(l->listener, (struct sockaddr *)&a, n) == 0 && listen(l->listener, 1024) == 0 &&
              getsockname(l->listener, (struct sockaddr *)&a, &n) == 0 &&
              epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->listener, &ev) == 0;
    if (!ok) die("listen");
    return ntohs(a.sin_port);
}

// Written once from end to end: room that was only promised would make the first fdatasync() over it dearer.
static void file_open(struct loop *l, const char *path, unsigned index)
{
    static char zeros[1024 * 1024];
    char name[4096];
    (void)snprintf(name, sizeof name, "%s.%u", path, index);
    l->file = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (l->file < 0) die(name);
    for (off_t at = 0; at < FILE_SIZE; at += sizeof zeros)
        if (pwrite(l->file, zeros, sizeof zeros, at) != sizeof zeros) die(name);
    if (fsync(l->file) < 0) die(name);
}

static void make_answer(size_t body_n)
{
    char head[128];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", body_n);
    answer_n = (size_t)n + body_n;
    answer = malloc(answer_n + 1);
    if (!answer) die("malloc");
    memcpy(answer, head, (size_t)n);
    memset(answer + n, 'a', body_n);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"threads", required_argument, NULL, 't'},
                                            {"body", required_argument, NULL, 'b'},
                                            {"append", required_argument, NULL, 'a'},
                                            {NULL, 0, NULL, 0}};
    unsigned long threads = 1, body_n = 450;
    const char *path = NULL;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 't') threads = strtoul(optarg, NULL, 10);
        if (o == 'b') body_n = strtoul(optarg, NULL, 10);
        if (o == 'a') path = optarg;
        if (o == '?') return 2;
    }
    if (threads < 1 || threads > THREADS_MAX || body_n > 65536) {
        (void)fprintf(stderr, "ceiling: 1 to %d threads, at most 65536 bytes of body\n", THREADS_MAX);
        return 2;
    }
    make_answer(body_n);
    static struct loop loops[THREADS_MAX];
    uint16_t port = 0;
    for (unsigned i = 0; i < threads; i++) {
        loops[i].file = -1;
        if (path) file_open(&loops[i], path, i);
        port = listen_on(&loops[i], port);
    }
    (void)printf("%u\n", port);
    (void)fflush(stdout);
    for (unsigned i = 1; i < threads; i++)
        if (pthread_create(&loops[i].thread, NULL, loop_main, &loops[i]) != 0) die("pthread_create");
    loop_main(&loops[0]);
    return 0;
}
