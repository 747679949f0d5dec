// SPDX-License-Identifier: Apache-2.0
#include "load.h"
#include "txmsg.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE (64 * 1024)

struct peer {
    int fd;
    unsigned request_bytes, reply_bytes;
};

static bool send_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t put = send(fd, p, n, MSG_NOSIGNAL);
        if (put <= 0) return false;
        p += put;
        n -= (size_t)put;
    }
    return true;
}

static void *answer_all(void *arg)
{
    const struct peer *p = arg;
    char *in = malloc(READ_SIZE), *reply = calloc(1, p->reply_bytes);
    uint64_t bytes = 0, answered = 0;
    ssize_t n;
    while (in && reply && (n = recv(p->fd, in, READ_SIZE, 0)) > 0) {
        bytes += (uint64_t)n;
        bool ok = true;
        for (; ok && answered < bytes / p->request_bytes; answered++)
            ok = send_all(p->fd, reply, p->reply_bytes);
        if (!ok) break;
    }
    free(in);
    free(reply);
    (void)shutdown(p->fd, SHUT_RDWR); // whoever waits for an answer hears of it
    return NULL;
}

// Both ends of one connection over loopback.
static bool connect_pair(int fds[2])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int one = 1, door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fds[1] = -1;
    bool ok = door >= 0 && fds[0] >= 0 && bind(door, (struct sockaddr *)&a, n) == 0 && listen(door, 1) == 0 &&
              getsockname(door, (struct sockaddr *)&a, &n) == 0 && connect(fds[0], (struct sockaddr *)&a, n) == 0;
    if (ok) fds[1] = accept4(door, NULL, NULL, SOCK_CLOEXEC);
    for (int i = 0; i < 2 && fds[1] >= 0; i++)
        (void)setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (door >= 0) close(door);
    return fds[1] >= 0;
}

// As many as were answered by one read go out in one write.
static bool run(const struct bare *b, int fd)
{
    char *out = calloc(b->in_flight, b->request_bytes), *in = malloc(READ_SIZE);
    uint64_t sent = b->in_flight < b->messages ? b->in_flight : b->messages, answered = 0, bytes = 0;
    bool ok = out && in && send_all(fd, out, sent * b->request_bytes);
    while (ok && answered < b->messages) {
        ssize_t n = recv(fd, in, READ_SIZE, 0);
        ok = n > 0;
        if (!ok) break;
        bytes += (uint64_t)n;
        uint64_t fresh = bytes / b->reply_bytes - answered, left = b->messages - sent;
        answered += fresh;
        uint64_t more = fresh < left ? fresh : left;
        sent += more;
        ok = send_all(fd, out, more * b->request_bytes);
    }
    free(out);
    free(in);
    return ok;
}

bool bare_run(struct bare *b)
{
    int fds[2];
    pthread_t thread;
    bool ok = b->request_bytes > 0 && b->reply_bytes > 0 && connect_pair(fds);
    if (!ok) return false;
    struct peer peer = {fds[1], b->request_bytes, b->reply_bytes};
    bool started = pthread_create(&thread, NULL, answer_all, &peer) == 0;
    double from_s = clock_s(CLOCK_MONOTONIC), cpu_s = clock_s(CLOCK_THREAD_CPUTIME_ID);
    ok = started && run(b, fds[0]);
    b->seconds = clock_s(CLOCK_MONOTONIC) - from_s;
    b->cpu_us = (clock_s(CLOCK_THREAD_CPUTIME_ID) - cpu_s) * 1e6 / (double)b->messages;
    (void)shutdown(fds[0], SHUT_RDWR);
    if (started) pthread_join(thread, NULL);
    close(fds[0]);
    close(fds[1]);
    return ok;
}
