// SPDX-License-Identifier: Apache-2.0
#include "fake.h"
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void fake_write(int fd, const void *bytes, size_t n)
{
    const char *p = bytes;
    while (n > 0) {
        ssize_t put = send(fd, p, n, MSG_NOSIGNAL);
        if (put <= 0) return;
        p += put;
        n -= (size_t)put;
    }
}

void fake_hang_up(int fd)
{
    (void)shutdown(fd, SHUT_RDWR);
}

static void answer_binary(struct wire_request *r, int code, struct buf *out)
{
    r->code = code;
    r->kind = WIRE_BINARY;
    (void)wire_encode(r, NULL, out);
    wire_set32(out->p + 8 + 9, WIRE_RESPONSE);
}

static void answer_json(const struct wire_request *r, int code, const char *remark, struct buf *out)
{
    struct buf header = {0};
    char head[8];
    json_open(&header, '{');
    json_ki64(&header, "code", code);
    json_ki64(&header, "flag", WIRE_RESPONSE);
    json_ki64(&header, "opaque", r->opaque);
    if (remark) json_kz(&header, "remark", remark);
    json_key(&header, "extFields");
    json_open(&header, '{');
    for (unsigned i = 0; i < r->n_fields; i++)
        json_kstr(&header, r->fields[i].key.p, r->fields[i].value);
    json_close(&header, '}');
    json_close(&header, '}');
    wire_set32(head, (uint32_t)(4 + header.n + r->body.n));
    wire_set32(head + 4, (uint32_t)header.n);
    buf_add(out, head, sizeof head);
    buf_str(out, buf_view(&header));
    buf_str(out, r->body);
    buf_free(&header);
}

void fake_answer(struct fake *f, int fd, const struct wire_frame *to, int code, const char *remark,
                 const char *const *fields, struct str body)
{
    struct wire_request r;
    struct buf out = {0};
    wire_request_init(&r, 0, WIRE_JSON, to->opaque);
    for (; fields && fields[0]; fields += 2)
        wire_put(&r, fields[0], str_of(fields[1]));
    r.body = body;
    if (f->answers == WIRE_BINARY && !remark)
        answer_binary(&r, code, &out);
    else
        answer_json(&r, code, remark, &out);
    fake_write(fd, out.p, out.n);
    buf_free(&out);
}

static void answer_route(struct fake *f, int fd, const struct wire_frame *request)
{
    char route[512];
    (void)snprintf(route, sizeof route,
                   "{\"brokerDatas\":[{\"brokerName\":\"broker-a\",\"brokerAddrs\":{\"0\":\"%s\"}}],\"queueDatas\":"
                   "[{\"brokerName\":\"broker-a\",\"readQueueNums\":4,\"writeQueueNums\":4,\"perm\":6}]}",
                   f->address);
    fake_answer(f, fd, request, 0, NULL, NULL, str_of(f->route ? f->route : route));
}

static void serve(struct fake *f, int fd, const struct wire_frame *request)
{
    static const char *const stored[] = {
        "msgId", "7F00000100005597000000000012D687", "queueId", "2", "queueOffset", "41", NULL};
    if (request->code >= 0 && request->code < 512) f->n_asked[request->code]++;
    if (request->code == WIRE_HEARTBEAT) f->heartbeat_fd = fd;
    pthread_cond_broadcast(&f->changed);
    if (f->hook && f->hook(f, fd, request)) return;
    if (request->flag & (WIRE_ONEWAY | WIRE_RESPONSE)) return;
    switch (request->code) {
    case WIRE_GET_ROUTE: answer_route(f, fd, request); return;
    case WIRE_SEND_V2:
    case WIRE_SEND_BATCH:
        f->n_sent++;
        fake_answer(f, fd, request, 0, NULL, stored, STR(""));
        return;
    case WIRE_POP: return; // polls for ever
    default: fake_answer(f, fd, request, 0, NULL, NULL, STR("")); return;
    }
}

struct visit {
    struct fake *f;
    unsigned at;
};

static void *converse(void *ctx)
{
    struct visit *v = ctx;
    struct fake *f = v->f;
    int fd = f->fds[v->at];
    struct buf in = {0};
    for (;;) {
        struct wire_frame request;
        if (!buf_reserve(&in, 65536)) break;
        ssize_t got = recv(fd, in.p + in.n, in.cap - in.n, 0);
        if (got <= 0) break;
        in.n += (size_t)got;
        int64_t len;
        while ((len = wire_frame_len(in.p, in.n)) > 0 && (size_t)len <= in.n) {
            pthread_mutex_lock(&f->lock);
            if (wire_parse(in.p, (size_t)len, &request)) serve(f, fd, &request);
            pthread_mutex_unlock(&f->lock);
            memmove(in.p, in.p + len, in.n - (size_t)len);
            in.n -= (size_t)len;
        }
        if (len < 0) break;
    }
    fake_hang_up(fd);
    buf_free(&in);
    free(v);
    return NULL;
}

static void *welcome(void *ctx)
{
    struct fake *f = ctx;
    for (;;) {
        int fd = accept(f->listen_fd, NULL, NULL);
        if (fd < 0) return NULL;
        struct visit *v = malloc(sizeof *v);
        pthread_mutex_lock(&f->lock);
        bool ok = v && !f->stopping && f->n_threads < sizeof f->fds / sizeof f->fds[0];
        if (ok) {
            *v = (struct visit){f, f->n_threads};
            f->fds[f->n_threads] = fd;
            ok = pthread_create(&f->threads[f->n_threads], NULL, converse, v) == 0;
            if (ok) f->n_threads++;
        }
        pthread_mutex_unlock(&f->lock);
        if (ok) continue;
        free(v);
        close(fd);
    }
}

void fake_start(struct fake *f)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    f->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(f->listen_fd >= 0);
    assert_int_equal(bind(f->listen_fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(f->listen_fd, 64), 0);
    assert_int_equal(getsockname(f->listen_fd, (struct sockaddr *)&a, &n), 0);
    f->port = ntohs(a.sin_port);
    (void)snprintf(f->address, sizeof f->address, "127.0.0.1:%u", f->port);
    assert_int_equal(pthread_create(&f->thread, NULL, welcome, f), 0);
}

void fake_stop(struct fake *f)
{
    pthread_mutex_lock(&f->lock);
    f->stopping = true;
    pthread_mutex_unlock(&f->lock);
    (void)shutdown(f->listen_fd, SHUT_RDWR);
    pthread_join(f->thread, NULL);
    close(f->listen_fd);
    for (unsigned i = 0; i < f->n_threads; i++)
        fake_hang_up(f->fds[i]);
    for (unsigned i = 0; i < f->n_threads; i++) {
        pthread_join(f->threads[i], NULL);
        close(f->fds[i]);
    }
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->changed);
}

void fake_await(struct fake *f, int code, unsigned n)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&f->lock);
    while (f->n_asked[code] < n)
        if (pthread_cond_timedwait(&f->changed, &f->lock, &until) != 0) fail_msg("code %d was not asked", code);
    pthread_mutex_unlock(&f->lock);
}
