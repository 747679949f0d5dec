// SPDX-License-Identifier: Apache-2.0
// One connection: bytes in, requests to the handler, answers out in the order of the requests.
//
//     readable -> feed -> consume -> handler.request ... http_respond -> conn_mark
//     end of the round: conn_flush_all -> one sendmsg for all that is ready -> finish, resume or wait
//
// Reading goes into the worker's scratch memory; only what is not yet a whole request is kept with the
// connection, so an idle connection holds no buffer.
#include "http/inside.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

// A pool would hide use after free from the address sanitizer.
#ifdef __has_feature
#define HAS_ASAN __has_feature(address_sanitizer)
#else
#define HAS_ASAN 0
#endif
#if HAS_ASAN || defined(__SANITIZE_ADDRESS__)
#define POOL_MAX 0u
#else
#define POOL_MAX 512u
#endif
#define POOL_BYTES_MAX 16384u // larger memories are not kept for the next request
#define READ_MIN       4096u
#define COMPACT_MIN    16384u

// --- exchanges

static struct exchange *exchange_new(struct conn *c)
{
    struct http_worker *w = c->worker;
    struct exchange *x = w->pool;
    if (x) {
        w->pool = x->next;
        w->n_pool--;
    } else {
        x = calloc(1, sizeof *x);
        if (!x) return NULL;
    }
    struct buf out = x->out;
    char *memory = x->memory;
    size_t memory_n = x->memory_n;
    *x = (struct exchange){.conn = c, .out = out, .memory = memory, .memory_n = memory_n};
    x->pub.worker = w;
    return x;
}

static void exchange_destroy(struct exchange *x)
{
    free(x->memory);
    buf_free(&x->out);
    free(x);
}

static void exchange_free(struct http_worker *w, struct exchange *x)
{
    if (w->n_pool + 1 > POOL_MAX || x->memory_n > POOL_BYTES_MAX || x->out.cap > POOL_BYTES_MAX) {
        exchange_destroy(x);
        return;
    }
    buf_clear(&x->out);
    x->next = w->pool;
    w->pool = x;
    w->n_pool++;
}

void exchange_pool_free(struct http_worker *w)
{
    while (w->pool) {
        struct exchange *x = w->pool;
        w->pool = x->next;
        exchange_destroy(x);
    }
    w->n_pool = 0;
}

static bool exchange_need(struct exchange *x, size_t n)
{
    if (x->memory_n >= n) return true;
    size_t size = n < 1024 ? 1024 : n;
    char *memory = malloc(size);
    if (!memory) return false;
    free(x->memory);
    x->memory = memory;
    x->memory_n = size;
    return true;
}

static void exchange_queue(struct conn *c, struct exchange *x)
{
    *c->last = x;
    c->last = &x->next;
    c->n_queue++;
}

static struct str at_span(const char *text, struct http_span s)
{
    return (struct str){text + s.at, s.n};
}

static void set_path(struct exchange *x, const struct http_parser *p, char *room)
{
    struct str raw = at_span(x->text, p->path);
    if (raw.n == 0) {
        x->pub.path = STR("/");
    } else if (p->path_escaped) {
        x->pub.path = (struct str){room, (size_t)http_unescape(raw, false, room)};
    } else {
        x->pub.path = raw;
    }
}

// Copies the request out of the connection's bytes: headers' places first, then the text, then the decoded
// path.
static struct exchange *exchange_of_request(struct conn *c, const char *bytes)
{
    const struct http_parser *p = &c->parser;
    struct exchange *x = exchange_new(c);
    if (!x) return NULL;
    size_t fields_n = p->n_fields * sizeof(struct http_field), text_n = p->body_at + p->body_n;
    if (!exchange_need(x, fields_n + text_n + (p->path_escaped ? p->path.n : 0))) {
        exchange_free(c->worker, x);
        return NULL;
    }
    char *text = x->memory + fields_n;
    memcpy(x->memory, p->fields, fields_n);
    memcpy(text, bytes, text_n);
    x->fields = (struct http_field *)(void *)x->memory;
    x->n_fields = p->n_fields;
    x->text = text;
    x->http10 = p->http10;
    x->pub.method = p->method;
    x->pub.method_text = at_span(text, p->method_text);
    x->pub.target = at_span(text, p->target);
    x->pub.query = at_span(text, p->query);
    x->pub.body = (struct str){text + p->body_at, p->body_n};
    x->pub.keep_alive = p->keep_alive;
    set_path(x, p, text + text_n);
    return x;
}

// --- the connection's life

static void start_reading(struct conn *c)
{
    if (c->reading || c->eof) return;
    c->reading = event_add(&c->on_read, NULL) == 0;
}

static void stop_reading(struct conn *c)
{
    if (!c->reading) return;
    event_del(&c->on_read);
    c->reading = false;
}

static void set_phase(struct conn *c, enum conn_phase phase)
{
    const struct http_worker *w = c->worker;
    if (c->phase == phase && phase != PHASE_IDLE) return;
    c->phase = phase;
    c->deadline_ms = phase == PHASE_NONE ? 0 : w->now_ms + w->server->limit_ms[phase];
}

void conn_mark(struct conn *c)
{
    if (c->dirty || c->state == CONN_DEAD) return;
    c->dirty = true;
    c->dirty_next = c->worker->dirty;
    c->worker->dirty = c;
}

static void conn_bury(struct conn *c)
{
    c->dirty_next = c->worker->dead;
    c->worker->dead = c;
}

static void conn_unlink(struct conn *c)
{
    struct http_worker *w = c->worker;
    if (c->prev)
        c->prev->next = c->next;
    else
        w->conns = c->next;
    if (c->next) c->next->prev = c->prev;
    w->n_conns--;
    if (c->refused)
        w->n_refused--;
    else
        atomic_fetch_sub_explicit(&w->server->n_connections, 1, memory_order_relaxed);
}

// The handler may touch other exchanges, even of this connection, from within `closed`: they are freed only
// after.
static void conn_kill(struct conn *c)
{
    if (c->state == CONN_DEAD) return;
    const struct http_handler *h = &c->worker->server->handler;
    c->state = CONN_DEAD;
    conn_unlink(c);
    event_del(&c->on_read);
    event_del(&c->on_write);
    close(c->fd);
    for (struct exchange *x = c->first; x; x = x->next)
        if (!x->complete) h->closed(h->ctx, &x->pub);
    while (c->first) {
        struct exchange *x = c->first;
        c->first = x->next;
        exchange_free(c->worker, x);
    }
    if (!c->dirty) conn_bury(c); // else conn_flush_all does it
}

void conn_free_dead(struct http_worker *w)
{
    while (w->dead) {
        struct conn *c = w->dead;
        w->dead = c->dirty_next;
        buf_free(&c->in);
        free(c);
    }
}

// The last byte is written. Closing while bytes lie unread would make the kernel send a reset, which can
// overtake the answer: so, if more may come, shut our side first and read to the end.
static void conn_finish(struct conn *c)
{
    if (c->eof || !c->must_linger || shutdown(c->fd, SHUT_WR) < 0) {
        conn_kill(c);
        return;
    }
    c->state = CONN_LINGER;
    c->stall_ms = 0;
    buf_free(&c->in);
    c->in_at = 0;
    set_phase(c, PHASE_LINGER);
    start_reading(c);
}

static void refuse(struct conn *c, int status, const char *code, const char *detail)
{
    c->state = CONN_LAST;
    c->must_linger = true;
    set_phase(c, PHASE_NONE);
    struct exchange *x = exchange_new(c);
    if (!x) {
        conn_kill(c);
        return;
    }
    exchange_queue(c, x);
    answer_refusal(x, status, code, detail);
}

static void settle_phase(struct conn *c)
{
    if (c->state == CONN_DEAD || c->state == CONN_LINGER || c->phase == PHASE_EOF) return;
    bool partial = c->in.n > c->in_at && !c->paused && c->state == CONN_OPEN;
    if (partial)
        set_phase(c, c->parser.stage >= HTTP_AT_BODY ? PHASE_BODY : PHASE_HEAD);
    else if (c->first)
        set_phase(c, PHASE_NONE);
    else
        set_phase(c, c->had_request ? PHASE_IDLE : PHASE_FRESH);
}

// --- reading

static void deliver(struct conn *c, const char *bytes)
{
    const struct http_handler *h = &c->worker->server->handler;
    struct exchange *x = exchange_of_request(c, bytes);
    if (!x) {
        refuse(c, 503, "overloaded", "Out of memory.");
        return;
    }
    http_parser_init(&c->parser);
    c->asked_continue = false;
    c->had_request = true;
    set_phase(c, PHASE_NONE); // the next request has its own time
    if (!x->pub.keep_alive) c->state = CONN_LAST;
    exchange_queue(c, x);
    c->worker->arrived = true;
    c->worker->n_served++;
    h->request(h->ctx, &x->pub);
}

// "100 Continue" is queued like an answer, so that it cannot overtake one.
static void answer_expectation(struct conn *c, size_t n)
{
    if (c->asked_continue || c->parser.stage < HTTP_AT_BODY || !c->parser.expect_continue) return;
    c->asked_continue = true;
    if (n > c->parser.body_at) return; // the client did not wait
    struct exchange *x = exchange_new(c);
    if (!x) return;
    x->answered = x->complete = x->pub.keep_alive = true;
    buf_str(&x->out, STR("HTTP/1.1 100 Continue\r\n\r\n"));
    exchange_queue(c, x);
    conn_mark(c);
}

// Hands over all whole requests in the n bytes; returns how many bytes are done with.
static size_t consume(struct conn *c, char *bytes, size_t n)
{
    size_t at = 0;
    while (c->state == CONN_OPEN && at < n) {
        if (c->n_queue >= PIPELINE_MAX) {
            c->paused = true;
            stop_reading(c);
            return at;
        }
        enum http_parse_result result = http_parse(&c->parser, bytes + at, n - at);
        if (result == HTTP_PARSE_MORE) {
            answer_expectation(c, n - at);
            return at;
        }
        if (result == HTTP_PARSE_FAULT) {
            refuse(c, c->parser.fault_status, c->parser.fault_code, c->parser.fault_detail);
            break;
        }
        size_t taken = c->parser.pos;
        deliver(c, bytes + at);
        at += taken;
    }
    if (c->state != CONN_OPEN && at < n) c->must_linger = true;
    return n; // after the last request of a connection the rest is nobody's
}

static void settle_input(struct conn *c)
{
    if (c->in_at < c->in.n) return;
    c->in_at = c->in.n = 0;
    if (c->in.cap > READ_MIN) buf_free(&c->in);
}

static void feed_scratch(struct conn *c, size_t n)
{
    char *scratch = c->worker->scratch;
    size_t done = consume(c, scratch, n);
    if (done == n || c->state == CONN_DEAD) return;
    buf_add(&c->in, scratch + done, n - done);
    if (c->in.failed) conn_kill(c);
}

static void feed_input(struct conn *c, size_t n)
{
    c->in.n += n;
    c->in_at += consume(c, c->in.p + c->in_at, c->in.n - c->in_at);
    if (c->state != CONN_DEAD) settle_input(c);
}

// Makes room behind the part of a request that is here: all of it when its length is known.
static size_t make_room(struct conn *c)
{
    struct http_parser *p = &c->parser;
    if (c->in_at) {
        memmove(c->in.p, c->in.p + c->in_at, c->in.n - c->in_at);
        c->in.n -= c->in_at;
        c->in_at = 0;
    }
    if (p->chunked && p->pos >= p->body_at + p->body_n + COMPACT_MIN)
        c->in.n = http_parser_compact(p, c->in.p, c->in.n);
    size_t more = READ_MIN;
    if (p->stage == HTTP_AT_BODY && p->body_at + p->length > c->in.n + more) more = p->body_at + p->length - c->in.n;
    return buf_reserve(&c->in, more) ? c->in.cap - c->in.n : 0;
}

static void on_end_of_input(struct conn *c)
{
    c->eof = true;
    stop_reading(c);
    if (!c->first || c->state == CONN_LINGER)
        conn_kill(c);
    else
        set_phase(c, PHASE_EOF);
}

static void read_failed(struct conn *c, ssize_t got)
{
    if (got == 0)
        on_end_of_input(c);
    else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        conn_kill(c);
}

static void discard(struct conn *c)
{
    ssize_t got = recv(c->fd, c->worker->scratch, SCRATCH_SIZE, 0);
    if (got <= 0) {
        read_failed(c, got);
        return;
    }
    c->must_linger = true;
    c->discarded += (size_t)got;
    if (c->discarded < DISCARD_MAX) return;
    if (c->state == CONN_LINGER)
        conn_kill(c);
    else
        stop_reading(c);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct conn *c = arg;
    if (c->state == CONN_DEAD) return;
    if (c->state != CONN_OPEN) {
        discard(c);
        return;
    }
    bool keeps = c->in.n > c->in_at;
    size_t room = keeps ? make_room(c) : SCRATCH_SIZE;
    if (room == 0) {
        conn_kill(c);
        return;
    }
    ssize_t got = recv(fd, keeps ? c->in.p + c->in.n : c->worker->scratch, room, 0);
    if (got <= 0) {
        read_failed(c, got);
        return;
    }
    if (keeps)
        feed_input(c, (size_t)got);
    else
        feed_scratch(c, (size_t)got);
    settle_phase(c);
}

// --- writing

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct conn *c = arg;
    c->writing = false;
    conn_mark(c);
}

static unsigned gather(const struct conn *c, struct iovec *iov, size_t *total)
{
    unsigned n = 0;
    for (const struct exchange *x = c->first; x && n < PIPELINE_MAX; x = x->next) {
        if (x->out.n > x->sent) {
            iov[n++] = (struct iovec){x->out.p + x->sent, x->out.n - x->sent};
            *total += x->out.n - x->sent;
        }
        if (!x->complete || !x->pub.keep_alive) break; // what follows must wait, or will never be sent
    }
    return n;
}

static void note_sent(struct conn *c, size_t n)
{
    for (struct exchange *x = c->first; n; x = x->next) {
        size_t take = x->out.n - x->sent < n ? x->out.n - x->sent : n;
        x->sent += take;
        n -= take;
        if (x->complete) continue;
        if (x->sent == x->out.n) { // a stream: its buffer is used again
            x->out.n = x->sent = 0;
        } else if (x->sent >= STREAM_WAIT_MAX / 4) {
            memmove(x->out.p, x->out.p + x->sent, x->out.n - x->sent);
            x->out.n -= x->sent;
            x->sent = 0;
        }
    }
}

// Removes what is written. False when the connection ended with it.
static bool drop_written(struct conn *c)
{
    while (c->first && c->first->complete && c->first->sent == c->first->out.n) {
        struct exchange *x = c->first;
        bool keep = x->pub.keep_alive, cut = x->cut;
        c->first = x->next;
        if (!c->first) c->last = &c->first;
        c->n_queue--;
        exchange_free(c->worker, x);
        if (keep) continue;
        // Pipelined requests behind an answer that closes were read for nothing; so may be what is still on
        // its way.
        if (c->state == CONN_OPEN) c->must_linger = true;
        if (cut || c->first)
            conn_kill(c);
        else
            conn_finish(c);
        return false;
    }
    return true;
}

static void wait_writable(struct conn *c)
{
    const struct http_worker *w = c->worker;
    c->stall_ms = w->now_ms + w->server->limit_ms[PHASE_STALL];
    c->writing = event_add(&c->on_write, NULL) == 0;
    if (!c->writing) conn_kill(c);
}

// Writes all that is ready in one call. False when the connection ended.
static bool write_ready(struct conn *c)
{
    for (;;) {
        if (!drop_written(c)) return false;
        struct iovec iov[PIPELINE_MAX];
        size_t total = 0;
        unsigned n = gather(c, iov, &total);
        if (n == 0) {
            c->stall_ms = 0;
            return true;
        }
        struct msghdr message = {.msg_iov = iov, .msg_iovlen = n};
        ssize_t sent = n == 1 ? send(c->fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL)
                              : sendmsg(c->fd, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
            conn_kill(c);
            return false;
        }
        if (sent > 0) note_sent(c, (size_t)sent);
        if (sent < (ssize_t)total) {
            if (sent < 0 && c->stall_ms)
                c->writing = event_add(&c->on_write, NULL) == 0; // no progress: the limit stays as it was
            else
                wait_writable(c);
            return c->state != CONN_DEAD;
        }
    }
}

static void resume(struct conn *c)
{
    c->paused = false;
    c->in_at += consume(c, c->in.p + c->in_at, c->in.n - c->in_at);
    if (c->state == CONN_DEAD) return;
    settle_input(c);
    if (!c->paused) start_reading(c);
}

static void flush(struct conn *c)
{
    if (c->state == CONN_LINGER) return;
    if (!c->writing && !write_ready(c)) return;
    if (c->paused && c->n_queue <= PIPELINE_RESUME && c->state == CONN_OPEN && !c->worker->stopping) resume(c);
    if (c->state == CONN_DEAD || c->state == CONN_LINGER) return;
    if (!c->first && (c->eof || c->worker->stopping || c->state == CONN_LAST))
        conn_finish(c);
    else
        settle_phase(c);
}

void conn_flush_all(struct http_worker *w)
{
    while (w->dirty) {
        struct conn *c = w->dirty;
        w->dirty = c->dirty_next;
        c->dirty = false;
        if (c->state == CONN_DEAD)
            conn_bury(c);
        else
            flush(c);
    }
}

// --- over all connections of a worker

void conn_accept(struct http_worker *w, int fd)
{
    struct http_server *s = w->server;
    bool over = atomic_fetch_add_explicit(&s->n_connections, 1, memory_order_relaxed) >= s->max_connections;
    if (over) atomic_fetch_sub_explicit(&s->n_connections, 1, memory_order_relaxed);
    struct conn *c = over && w->n_refused >= EXTRA_CONNECTIONS ? NULL : calloc(1, sizeof *c);
    if (!c) {
        if (!over) atomic_fetch_sub_explicit(&s->n_connections, 1, memory_order_relaxed);
        close(fd);
        return;
    }
    c->worker = w;
    c->fd = fd;
    c->refused = over;
    c->last = &c->first;
    c->next = w->conns;
    if (w->conns) w->conns->prev = c;
    w->conns = c;
    w->n_conns++;
    if (over) w->n_refused++;
    http_parser_init(&c->parser);
    event_assign(&c->on_read, w->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    event_assign(&c->on_write, w->base, fd, EV_WRITE, on_writable, c);
    start_reading(c);
    set_phase(c, PHASE_FRESH);
    if (over) refuse(c, 503, "overloaded", "Too many connections are open. Try again later.");
}

static void limit_reached(struct conn *c)
{
    switch (c->phase) {
    case PHASE_HEAD: refuse(c, 408, "request_timeout", "The header section did not arrive in time."); break;
    case PHASE_BODY: refuse(c, 408, "request_timeout", "The body did not arrive in time."); break;
    case PHASE_EOF:
        if (c->first && c->first->complete)
            c->deadline_ms = 0; // only a slow reader: the limit for stalled writing holds
        else
            conn_kill(c);
        break;
    case PHASE_FRESH:
    case PHASE_IDLE:
    case PHASE_LINGER: conn_kill(c); break;
    case PHASE_NONE:
    case PHASE_STALL:
    case N_PHASES: break;
    }
}

void conn_check_limits(struct http_worker *w)
{
    for (struct conn *c = w->conns, *next; c; c = next) {
        next = c->next;
        if (c->stall_ms && w->now_ms >= c->stall_ms)
            conn_kill(c);
        else if (c->deadline_ms && w->now_ms >= c->deadline_ms)
            limit_reached(c);
    }
}

void conn_stop_all(struct http_worker *w)
{
    for (struct conn *c = w->conns, *next; c; c = next) {
        next = c->next;
        if (c->state == CONN_OPEN) {
            c->state = CONN_LAST;
            c->must_linger = true;
        }
        if (!c->first && c->state != CONN_LINGER) conn_kill(c);
    }
}

void conn_kill_all(struct http_worker *w)
{
    while (w->conns)
        conn_kill(w->conns);
}
