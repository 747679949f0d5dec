// SPDX-License-Identifier: Apache-2.0
#include "wechatpay_end.h"
#include "port/clock.h"
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define TEXT_MAX 4096
#define LOG_MAX  256

struct answering {
    int status;
    const char *body;
    const struct signer *by;
    enum end_fault fault;
};

struct wechatpay_end {
    int fd, port;
    pthread_t thread;
    atomic_bool must_stop;
    int silent_fd[LOG_MAX];
    unsigned n_silent;

    pthread_mutex_t lock;
    const struct signer *certs[END_CERTS_MAX];
    unsigned n_certs;
    struct answering certificates, calls, oauth;
    char (*log)[TEXT_MAX];
    unsigned n_log;
};

// --- Answers

static void certificates_body(const struct wechatpay_end *e, enum end_fault fault, struct buf *body)
{
    const char *key = fault == END_WRONG_KEY ? "another merchant's 32 characters" : APIV3_KEY;
    json_open(body, '{');
    json_key(body, "data");
    json_open(body, '[');
    for (unsigned i = 0; i < e->n_certs; i++) {
        const struct signer *s = e->certs[i];
        json_open(body, '{');
        json_kz(body, "serial_no", fault == END_MISLABELLED ? "7777777777777777777777777777777777777777" : s->serial);
        json_kz(body, "effective_time", "2026-01-01T00:00:00+08:00");
        json_kz(body, "expire_time", "2031-01-01T00:00:00+08:00");
        json_key(body, "encrypt_certificate");
        json_open(body, '{');
        json_kz(body, "algorithm", "AEAD_AES_256_GCM");
        json_kz(body, "nonce", "61f9c719728a");
        json_kz(body, "associated_data", "certificate");
        json_key(body, "ciphertext");
        buf_char(body, '"');
        wx_seal(key, "61f9c719728a", "certificate", buf_view(&s->pem), body);
        buf_char(body, '"');
        json_close(body, '}');
        json_close(body, '}');
    }
    json_close(body, ']');
    json_close(body, '}');
}

static void send_answer(int fd, const struct answering *a, struct str body)
{
    struct buf b = {0};
    bool is_signed = a->by && a->fault != END_UNSIGNED;
    struct headers h = {0};
    if (is_signed) h = headers_sign(a->by, clock_real_ms(), body);
    buf_printf(&b, "HTTP/1.1 %d x\r\nContent-Type: application/json\r\nConnection: close\r\n", a->status);
    if (is_signed) headers_write(&h, &b);
    if (a->status != 204) buf_printf(&b, "Content-Length: %zu\r\n", body.n);
    buf_z(&b, "\r\n");
    size_t at = b.n;
    if (a->status != 204) buf_str(&b, body);
    if (a->fault == END_TAMPERED && b.n > at) {
        char *digit = memchr(b.p + at, '1', b.n - at); // stays JSON
        if (digit) *digit = '2';
    }
    for (size_t sent = 0; sent < b.n;) {
        ssize_t n = send(fd, b.p + sent, b.n - sent, MSG_NOSIGNAL);
        if (n <= 0) break;
        sent += (size_t)n;
    }
    headers_free(&h);
    buf_free(&b);
}

static bool is_for(const char *text, const char *path)
{
    const char *target = strchr(text, ' ');
    return target && strncmp(target + 1, path, strlen(path)) == 0;
}

// False: the connection is left open, unanswered.
static bool serve(struct wechatpay_end *e, int fd, const char *text)
{
    struct buf body = {0};
    pthread_mutex_lock(&e->lock);
    bool certificates = is_for(text, "/v3/certificates");
    struct answering a = certificates ? e->certificates : is_for(text, "/sns/") ? e->oauth : e->calls;
    if (e->n_log < LOG_MAX) (void)snprintf(e->log[e->n_log++], TEXT_MAX, "%s", text);
    if (certificates)
        certificates_body(e, a.fault, &body);
    else
        buf_z(&body, a.body);
    pthread_mutex_unlock(&e->lock);
    if (a.fault == END_NOT_FOUND || a.fault == END_HTML) {
        buf_clear(&body);
        buf_z(&body, a.fault == END_HTML ? "<html>" : "{\"code\":\"RESOURCE_NOT_EXISTS\",\"message\":\"x\"}");
        a = (struct answering){a.fault == END_HTML ? 502 : 404, NULL, NULL, a.fault};
    }
    if (a.fault != END_SILENT) send_answer(fd, &a, buf_view(&body));
    buf_free(&body);
    return a.fault != END_SILENT;
}

// One whole request (NUL-terminated). False when the guest left.
static bool request_read(int fd, char text[TEXT_MAX])
{
    size_t n = 0;
    for (;;) {
        ssize_t got = recv(fd, text + n, TEXT_MAX - 1 - n, 0);
        if (got <= 0) return false;
        n += (size_t)got;
        text[n] = 0;
        const char *body = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "\r\ncontent-length:");
        size_t want = length ? strtoul(length + 17, NULL, 10) : 0;
        if (body && n >= (size_t)(body + 4 - text) + want) return true;
    }
}

static void *end_run(void *arg)
{
    struct wechatpay_end *e = arg;
    struct pollfd p = {.fd = e->fd, .events = POLLIN};
    char text[TEXT_MAX];
    while (!atomic_load(&e->must_stop)) {
        if (poll(&p, 1, 20) <= 0) continue;
        int fd = accept(e->fd, NULL, NULL);
        if (fd < 0) continue;
        if (request_read(fd, text) && !serve(e, fd, text) && e->n_silent < LOG_MAX)
            e->silent_fd[e->n_silent++] = fd;
        else
            close(fd);
    }
    return NULL;
}

// --- Opening

struct wechatpay_end *end_open(void)
{
    struct wechatpay_end *e = calloc(1, sizeof *e);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    assert_non_null(e);
    e->log = calloc(LOG_MAX, TEXT_MAX);
    assert_non_null(e->log);
    pthread_mutex_init(&e->lock, NULL);
    e->certificates.status = 200;
    e->calls = (struct answering){.status = 500, .body = "{}"};
    e->oauth = (struct answering){.status = 200, .body = "{}"};
    e->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(e->fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(e->fd, 128) != 0 ||
        getsockname(e->fd, (struct sockaddr *)&at, &size) != 0 || pthread_create(&e->thread, NULL, end_run, e) != 0)
        abort();
    e->port = ntohs(at.sin_port);
    return e;
}

void end_close(struct wechatpay_end *e)
{
    atomic_store(&e->must_stop, true);
    pthread_join(e->thread, NULL);
    while (e->n_silent > 0)
        close(e->silent_fd[--e->n_silent]);
    close(e->fd);
    pthread_mutex_destroy(&e->lock);
    free(e->log);
    free(e);
}

int end_port(const struct wechatpay_end *e)
{
    return e->port;
}

void end_certificates(struct wechatpay_end *e, const struct signer *const *certs, unsigned n, const struct signer *by,
                      enum end_fault fault)
{
    assert_true(n <= END_CERTS_MAX);
    pthread_mutex_lock(&e->lock);
    if (n > 0) memcpy(e->certs, certs, n * sizeof *certs);
    e->n_certs = n;
    e->certificates = (struct answering){200, NULL, by, fault};
    pthread_mutex_unlock(&e->lock);
}

void end_answer(struct wechatpay_end *e, int status, const char *body, const struct signer *by, enum end_fault fault)
{
    pthread_mutex_lock(&e->lock);
    e->calls = (struct answering){status, body, by, fault};
    pthread_mutex_unlock(&e->lock);
}

void end_oauth(struct wechatpay_end *e, const char *body, enum end_fault fault)
{
    pthread_mutex_lock(&e->lock);
    e->oauth = (struct answering){200, body, NULL, fault};
    pthread_mutex_unlock(&e->lock);
}

// --- What came

unsigned end_count(struct wechatpay_end *e, const char *path)
{
    unsigned n = 0;
    pthread_mutex_lock(&e->lock);
    for (unsigned i = 0; i < e->n_log; i++)
        n += is_for(e->log[i], path);
    pthread_mutex_unlock(&e->lock);
    return n;
}

void end_last(struct wechatpay_end *e, const char *path, char text[TEXT_MAX])
{
    text[0] = 0;
    pthread_mutex_lock(&e->lock);
    for (unsigned i = 0; i < e->n_log; i++)
        if (is_for(e->log[i], path)) memcpy(text, e->log[i], TEXT_MAX);
    pthread_mutex_unlock(&e->lock);
}

bool end_wait(struct wechatpay_end *e, const char *path, unsigned n)
{
    for (int i = 0; i < 400 && end_count(e, path) < n; i++)
        usleep(5000);
    return end_count(e, path) >= n;
}
