// SPDX-License-Identifier: Apache-2.0
#include "broker/rocketmq/conn.h"
#include "broker/rocketmq/inside.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_MS      5000
#define DRAIN_MS        5000
#define USER_TIMEOUT_MS 10000 // bytes nobody acknowledges
#define READ_SIZE       ((size_t)16 << 10)
#define KEPT_MAX        ((size_t)256 << 10) // a buffer that grew beyond this is given back when empty

// --- Names

bool peer_set(struct peer *p, struct str address)
{
    size_t colon = address.n;
    while (colon > 0 && address.p[colon - 1] != ':')
        colon--;
    if (colon < 2 || address.n - colon < 1 || address.n - colon >= sizeof p->port) return false;
    struct str host = {address.p, colon - 1}, port = {address.p + colon, address.n - colon};
    if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') host = (struct str){host.p + 1, host.n - 2};
    int64_t number;
    if (host.n >= sizeof p->host || !wire_i64(port, &number) || number < 1 || number > 65535) return false;
    memcpy(p->host, host.p, host.n);
    p->host[host.n] = '\0';
    memcpy(p->port, port.p, port.n);
    p->port[port.n] = '\0';
    return true;
}

struct resolution {
    struct gaicb request;
    struct gaicb *list[1];
    struct addrinfo hints;
    char host[256], port[8];
};

static struct addrinfo *resolve_number(const struct peer *p)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV}, *found = NULL;
    return getaddrinfo(p->host, p->port, &hints, &found) == 0 ? found : NULL;
}

// getaddrinfo() would stop the loop for as long as a name server of the DNS kind is silent.
static struct resolution *resolution_start(const struct peer *p)
{
    struct resolution *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    memcpy(r->host, p->host, sizeof r->host);
    memcpy(r->port, p->port, sizeof r->port);
    r->hints = (struct addrinfo){.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    r->request = (struct gaicb){.ar_name = r->host, .ar_service = r->port, .ar_request = &r->hints};
    r->list[0] = &r->request;
    if (getaddrinfo_a(GAI_NOWAIT, r->list, 1, NULL) == 0) return r;
    free(r);
    return NULL;
}

// One that cannot be cancelled is being worked on by the resolver's thread: its memory is left to it.
static void resolution_drop(struct resolution *r)
{
    if (!r) return;
    int rc = gai_error(&r->request);
    if (rc == EAI_INPROGRESS && gai_cancel(&r->request) == EAI_NOTCANCELED) return;
    if (r->request.ar_result) freeaddrinfo(r->request.ar_result);
    free(r);
}

// --- Beginning

static void watch(struct conn *conn, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = conn};
    (void)epoll_ctl(conn->c->epoll_fd, conn->is_registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, conn->fd, &e);
    conn->is_registered = true;
}

static void set_options(int fd)
{
    int on = 1, ms = USER_TIMEOUT_MS;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

static void dial(struct conn *conn, const struct addrinfo *a)
{
    conn->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        conn_close(conn, strerror(errno));
        return;
    }
    set_options(conn->fd);
    conn->stage = CONN_CONNECTING;
    if (connect(conn->fd, a->ai_addr, a->ai_addrlen) != 0 && errno != EINPROGRESS)
        conn_close(conn, strerror(errno));
    else
        watch(conn, EPOLLOUT);
}

void peer_connect(struct rmq *c, struct peer *p)
{
    if (p->conn || !p->wanted || !p->host[0] || c->now_ms < p->try_at_ms) return;
    struct conn *conn = calloc(1, sizeof *conn);
    if (!conn) {
        p->try_at_ms = c->now_ms + 1000;
        return;
    }
    *conn = (struct conn){.c = c, .peer = p, .fd = -1, .give_up_ms = c->now_ms + CONNECT_MS};
    TAILQ_INIT(&conn->calls);
    TAILQ_INIT(&conn->oneway);
    TAILQ_INSERT_TAIL(&c->conns, conn, link);
    p->conn = conn;
    struct addrinfo *found = resolve_number(p);
    if (found) {
        dial(conn, found);
        freeaddrinfo(found);
        return;
    }
    conn->resolution = resolution_start(p);
    if (!conn->resolution) conn_close(conn, "its name cannot be looked up");
}

static void look_up(struct conn *conn)
{
    int rc = gai_error(&conn->resolution->request);
    if (rc == EAI_INPROGRESS) return;
    struct addrinfo *found = conn->resolution->request.ar_result;
    if (rc == 0 && found)
        dial(conn, found);
    else
        conn_close(conn, gai_strerror(rc));
    resolution_drop(conn->resolution);
    conn->resolution = NULL;
}

static void ready(struct conn *conn)
{
    conn->stage = CONN_READY;
    conn->heard_ms = conn->c->now_ms;
    watch(conn, EPOLLIN);
    bump(&conn->c->stats.connects, 1);
    conn->peer->why[0] = '\0';
    peer_up(conn->c, conn->peer);
}

// --- TLS

static const char *tls_reason(SSL *ssl)
{
    unsigned long e = ERR_peek_last_error();
    const char *text = e ? ERR_reason_error_string(e) : NULL;
    long verdict = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;
    if (verdict != X509_V_OK) text = X509_verify_cert_error_string(verdict);
    return text ? text : "TLS failed";
}

SSL_CTX *conn_tls_new(const struct rmq_options *o, char why[160])
{
    ERR_clear_error();
    SSL_CTX *t = SSL_CTX_new(TLS_client_method());
    bool ok = t && SSL_CTX_set_min_proto_version(t, TLS1_2_VERSION) == 1;
    if (ok && o->ca_file)
        ok = SSL_CTX_load_verify_locations(t, o->ca_file, NULL) == 1;
    else if (ok && !o->tls_insecure)
        ok = SSL_CTX_set_default_verify_paths(t) == 1;
    if (ok && o->cert_file) ok = SSL_CTX_use_certificate_chain_file(t, o->cert_file) == 1;
    if (ok && o->key_file) ok = SSL_CTX_use_PrivateKey_file(t, o->key_file, SSL_FILETYPE_PEM) == 1;
    if (ok) {
        SSL_CTX_set_verify(t, o->tls_insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_mode(t, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        return t;
    }
    (void)snprintf(why, 160, "TLS: %.100s", tls_reason(NULL));
    SSL_CTX_free(t);
    return NULL;
}

// A certificate speaks of a name or of an address.
static bool tls_expect(struct conn *conn)
{
    const char *name = conn->c->tls_name[0] ? conn->c->tls_name : conn->peer->host;
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(conn->ssl), name) == 1) return true;
    return SSL_set1_host(conn->ssl, name) == 1 && SSL_set_tlsext_host_name(conn->ssl, name) == 1;
}

static void shake_hands(struct conn *conn)
{
    ERR_clear_error();
    int rc = SSL_connect(conn->ssl);
    if (rc == 1) {
        ready(conn);
        return;
    }
    switch (SSL_get_error(conn->ssl, rc)) {
    case SSL_ERROR_WANT_READ: watch(conn, EPOLLIN); break;
    case SSL_ERROR_WANT_WRITE: watch(conn, EPOLLOUT); break;
    default: conn_close(conn, tls_reason(conn->ssl)); break;
    }
}

static void connected(struct conn *conn)
{
    int e = 0;
    socklen_t n = sizeof e;
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &e, &n) != 0 || e != 0) {
        conn_close(conn, strerror(e ? e : errno));
        return;
    }
    if (!conn->c->tls) {
        ready(conn);
        return;
    }
    conn->ssl = SSL_new(conn->c->tls);
    if (!conn->ssl || SSL_set_fd(conn->ssl, conn->fd) != 1 || !tls_expect(conn)) {
        conn_close(conn, "TLS cannot begin");
        return;
    }
    conn->stage = CONN_SHAKING;
    shake_hands(conn);
}

// --- In

enum io { IO_SOME, IO_LATER, IO_LOST };

static enum io read_some(struct conn *conn, const char **why)
{
    struct buf *in = &conn->in;
    if (!buf_reserve(in, READ_SIZE)) {
        *why = "memory is out";
        return IO_LOST;
    }
    size_t room = in->cap - in->n;
    ssize_t got;
    if (conn->ssl) {
        ERR_clear_error();
        got = SSL_read(conn->ssl, in->p + in->n, room > INT32_MAX ? INT32_MAX : (int)room);
        if (got <= 0) {
            int e = SSL_get_error(conn->ssl, (int)got);
            if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) return IO_LATER;
            *why = e == SSL_ERROR_ZERO_RETURN ? "closed by the server" : "the connection broke";
            return IO_LOST;
        }
    } else {
        got = recv(conn->fd, in->p + in->n, room, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return IO_LATER;
        if (got <= 0) {
            *why = got == 0 ? "closed by the server" : strerror(errno);
            return IO_LOST;
        }
    }
    in->n += (size_t)got;
    conn->heard_ms = conn->c->now_ms;
    bump(&conn->c->stats.bytes_in, (uint64_t)got);
    return IO_SOME;
}

static void bad_frame(struct conn *conn)
{
    bump(&conn->c->stats.frames_bad, 1);
    conn_close(conn, "it sent what is no frame");
}

// False: the connection is dead.
static bool handle_frames(struct conn *conn)
{
    struct buf *in = &conn->in;
    size_t at = 0;
    int64_t len = 0;
    while (conn->stage != CONN_DEAD && (len = wire_frame_len(in->p + at, in->n - at)) > 0 &&
           (size_t)len <= in->n - at) {
        struct wire_frame f;
        if (!wire_parse(in->p + at, (size_t)len, &f)) {
            bad_frame(conn);
            return false;
        }
        bump(&conn->c->stats.frames_in, 1);
        conn_frame(conn, &f);
        at += (size_t)len;
    }
    if (conn->stage == CONN_DEAD) return false;
    if (len < 0) {
        bad_frame(conn);
        return false;
    }
    if (at > 0) memmove(in->p, in->p + at, in->n - at);
    in->n -= at;
    if (in->n == 0 && in->cap > KEPT_MAX) buf_free(in);
    if (len > 0 && in->cap < (size_t)len) (void)buf_reserve(in, (size_t)len - in->n);
    return true;
}

static void readable(struct conn *conn)
{
    const char *why = "";
    do {
        switch (read_some(conn, &why)) {
        case IO_LATER: return;
        case IO_LOST: conn_close(conn, why); return;
        case IO_SOME:
            if (!handle_frames(conn)) return;
        }
    } while (conn->ssl && SSL_has_pending(conn->ssl));
}

// --- Out

static ssize_t write_some(struct conn *conn, enum io *io)
{
    const char *p = conn->out.p + conn->out_at;
    size_t n = conn->out.n - conn->out_at;
    *io = IO_SOME;
    if (!conn->ssl) {
        ssize_t put = send(conn->fd, p, n, MSG_NOSIGNAL);
        if (put < 0) *io = errno == EAGAIN || errno == EINTR ? IO_LATER : IO_LOST;
        return put;
    }
    ERR_clear_error();
    int put = SSL_write(conn->ssl, p, n > INT32_MAX ? INT32_MAX : (int)n);
    if (put <= 0) {
        int e = SSL_get_error(conn->ssl, put);
        *io = e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? IO_LATER : IO_LOST;
    }
    return put;
}

// Those whose end is written are done; who hears of it may call again, so one is taken off at a time.
static void oneway_done(struct conn *conn)
{
    struct call *k;
    while ((k = TAILQ_FIRST(&conn->oneway)) && k->end_at <= conn->written)
        call_end_with(conn->c, k, RMQ_DONE, 0, STR(""));
}

static void flush(struct conn *conn)
{
    enum io io = IO_SOME;
    if (conn->stage != CONN_READY) return;
    while (conn->out_at < conn->out.n) {
        ssize_t put = write_some(conn, &io);
        if (io != IO_SOME) break;
        conn->out_at += (size_t)put;
        conn->written += (uint64_t)put;
        bump(&conn->c->stats.bytes_out, (uint64_t)put);
    }
    if (io == IO_LOST) {
        conn_close(conn, "the connection broke while writing");
        return;
    }
    if (conn->out_at == conn->out.n) {
        conn->out_at = 0;
        buf_clear(&conn->out);
        if (conn->out.cap > KEPT_MAX) buf_free(&conn->out);
    } else if (conn->out_at > KEPT_MAX) {
        memmove(conn->out.p, conn->out.p + conn->out_at, conn->out.n - conn->out_at);
        conn->out.n -= conn->out_at;
        conn->out_at = 0;
    }
    bool wants_write = conn->out.n > 0;
    if (wants_write != conn->wants_write) watch(conn, wants_write ? EPOLLIN | EPOLLOUT : EPOLLIN);
    conn->wants_write = wants_write;
    oneway_done(conn);
}

void conn_dirty(struct conn *conn)
{
    if (conn->is_dirty) return;
    conn->is_dirty = true;
    TAILQ_INSERT_TAIL(&conn->c->dirty, conn, dirty);
}

void conns_flush(struct rmq *c)
{
    struct conn *conn;
    while ((conn = TAILQ_FIRST(&c->dirty))) {
        TAILQ_REMOVE(&c->dirty, conn, dirty);
        conn->is_dirty = false;
        flush(conn);
    }
}

// --- Events and the end

void conn_event(struct conn *conn, uint32_t events)
{
    switch (conn->stage) {
    case CONN_RESOLVING:
    case CONN_DEAD: return;
    case CONN_CONNECTING: connected(conn); return;
    case CONN_SHAKING: shake_hands(conn); return;
    case CONN_READY:
        if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) readable(conn);
        if (conn->stage == CONN_READY && events & EPOLLOUT) flush(conn);
        return;
    }
}

void conn_tick(struct conn *conn)
{
    if (conn->stage == CONN_RESOLVING) look_up(conn);
    if (conn->stage == CONN_DEAD) return;
    if (conn->draining && TAILQ_EMPTY(&conn->calls) && conn->out.n == 0)
        conn_close(conn, "the server went away");
    else if ((conn->stage != CONN_READY || conn->draining) && conn->c->now_ms >= conn->give_up_ms)
        conn_close(conn, conn->draining ? "the server went away" : "no answer while connecting");
}

static void leave_peer(struct conn *conn)
{
    struct peer *p = conn->peer;
    if (p->conn != conn) return;
    p->conn = NULL;
    p->try_at_ms = conn->c->now_ms + rmq_backoff_ms(conn->c, p->n_failures++, 100, 5000);
    peer_down(conn->c, p);
}

void conn_drain(struct conn *conn)
{
    if (conn->draining) return;
    conn->draining = true;
    conn->give_up_ms = conn->c->now_ms + DRAIN_MS;
    (void)snprintf(conn->peer->why, sizeof conn->peer->why, "the server goes away");
    leave_peer(conn);
}

void conn_close(struct conn *conn, const char *why)
{
    struct rmq *c = conn->c;
    struct call *k;
    if (conn->stage == CONN_DEAD) return;
    if (conn->stage == CONN_READY)
        bump(&c->stats.connections_lost, 1);
    else
        bump(&c->stats.connects_failed, 1);
    conn->stage = CONN_DEAD;
    (void)snprintf(conn->peer->why, sizeof conn->peer->why, "%s", why);
    leave_peer(conn);
    if (conn->is_dirty) TAILQ_REMOVE(&c->dirty, conn, dirty);
    conn->is_dirty = false;
    TAILQ_REMOVE(&c->conns, conn, link);
    TAILQ_INSERT_TAIL(&c->dead, conn, link);
    if (conn->fd >= 0) (void)epoll_ctl(c->epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
    while ((k = TAILQ_FIRST(&conn->oneway)))
        call_lost(k);
    while ((k = TAILQ_FIRST(&conn->calls)))
        call_lost(k);
}

static void conn_free(struct conn *conn)
{
    SSL_free(conn->ssl);
    if (conn->fd >= 0) close(conn->fd);
    resolution_drop(conn->resolution);
    buf_free(&conn->in);
    buf_free(&conn->out);
    free(conn);
}

void conns_bury(struct rmq *c)
{
    struct conn *conn;
    while ((conn = TAILQ_FIRST(&c->dead))) {
        TAILQ_REMOVE(&c->dead, conn, link);
        conn_free(conn);
    }
}

void conns_free(struct rmq *c)
{
    struct conn *conn;
    while ((conn = TAILQ_FIRST(&c->conns)))
        conn_close(conn, "the client stops");
    conns_bury(c);
}
