// SPDX-License-Identifier: Apache-2.0
#include "far_end.h"
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define GUESTS_MAX  512
#define REQUEST_MAX 16384

struct guest {
    struct far_end *far_end;
    int fd;
    pthread_t thread;
};

struct far_end {
    int fd, port;
    pthread_t thread;
    atomic_bool must_stop;
    atomic_uint connections, requests, at_once, most_at_once;
    struct buf ok_body;
    struct guest guests[GUESTS_MAX];
    unsigned n_guests;
};

static void nap_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

// One whole request into `text` (NUL-terminated). False when the guest left.
static bool request_read(int fd, char text[REQUEST_MAX])
{
    size_t n = 0;
    for (;;) {
        ssize_t got = recv(fd, text + n, REQUEST_MAX - 1 - n, 0);
        if (got <= 0) return false;
        n += (size_t)got;
        text[n] = 0;
        const char *body = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "\r\ncontent-length:");
        if (!body) continue;
        size_t want = length ? strtoul(length + 17, NULL, 10) : 0;
        if (n >= (size_t)(body + 4 - text) + want) return true;
    }
}

static bool send_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

static bool send_z(int fd, const char *z)
{
    return send_all(fd, z, strlen(z));
}

static bool answer(int fd, const char *status, size_t promised, struct str body)
{
    struct buf b = {0};
    buf_printf(&b,
               "HTTP/1.1 %s\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/html;charset=utf-8\r\n"
               "Content-Length: %zu\r\n\r\n",
               status, promised);
    buf_str(&b, body);
    bool ok = send_all(fd, b.p, b.n);
    buf_free(&b);
    return ok;
}

static bool stays_silent(struct guest *g)
{
    struct pollfd p = {.fd = g->fd, .events = POLLRDHUP};
    while (!atomic_load(&g->far_end->must_stop) && poll(&p, 1, 20) == 0)
        ;
    return false;
}

static bool drips(struct guest *g)
{
    if (!send_z(g->fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")) return false;
    while (!atomic_load(&g->far_end->must_stop) && send_z(g->fd, "x"))
        nap_ms(20);
    return false;
}

static bool floods(struct guest *g)
{
    static const char block[65536];
    if (!send_z(g->fd, "HTTP/1.1 200 OK\r\n\r\n")) return false;
    while (!atomic_load(&g->far_end->must_stop) && send_all(g->fd, block, sizeof block))
        ;
    return false;
}

static bool resets(int fd)
{
    struct linger hard = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    return false;
}

static bool asked(const char *text, const char *path)
{
    const char *at = strchr(text, ' ');
    size_t n = strlen(path);
    return at && strncmp(at + 1, path, n) == 0 && (at[1 + n] == ' ' || at[1 + n] == '?');
}

// False: the connection is to be closed.
static bool serve(struct guest *g, const char *text)
{
    struct far_end *f = g->far_end;
    struct str ok = buf_view(&f->ok_body);
    if (asked(text, "/slow")) nap_ms(120);
    if (asked(text, "/silent")) return stays_silent(g);
    if (asked(text, "/drip")) return drips(g);
    if (asked(text, "/flood")) return floods(g);
    if (asked(text, "/slowreset")) nap_ms(120);
    if (asked(text, "/reset") || asked(text, "/slowreset")) return resets(g->fd);
    if (asked(text, "/hangup")) return false;
    if (asked(text, "/html")) return answer(g->fd, "502 Bad Gateway", 18, STR("<html>oops</html>\n"));
    if (asked(text, "/busy")) return answer(g->fd, "429 Too Many Requests", 2, STR("{}"));
    if (asked(text, "/later")) return answer(g->fd, "503 Service Unavailable\r\nRetry-After: 30", 2, STR("{}"));
    if (asked(text, "/garbage")) return answer(g->fd, "200 OK", 7, STR("garbage"));
    if (asked(text, "/cut")) return answer(g->fd, "200 OK", ok.n * 2 + 1, ok) && false;
    if (asked(text, "/long")) return answer(g->fd, "200 OK", 10000000, ok) && floods(g);
    if (asked(text, "/once")) return answer(g->fd, "200 OK", ok.n, ok) && false;
    if (asked(text, "/continue") && !send_z(g->fd, "HTTP/1.1 100 Continue\r\nX-Once: no\r\n\r\n")) return false;
    return answer(g->fd, "200 OK", ok.n, ok);
}

static void *guest_run(void *arg)
{
    struct guest *g = arg;
    struct far_end *f = g->far_end;
    char text[REQUEST_MAX];
    bool goes_on = true;
    while (goes_on && request_read(g->fd, text)) {
        atomic_fetch_add(&f->requests, 1);
        unsigned now = atomic_fetch_add(&f->at_once, 1) + 1, most = atomic_load(&f->most_at_once);
        while (now > most && !atomic_compare_exchange_weak(&f->most_at_once, &most, now))
            ;
        goes_on = serve(g, text);
        atomic_fetch_sub(&f->at_once, 1);
    }
    shutdown(g->fd, SHUT_WR); // closed by far_end_close(), or now when it is to be a reset
    struct linger l = {0};
    socklen_t size = sizeof l;
    if (getsockopt(g->fd, SOL_SOCKET, SO_LINGER, &l, &size) == 0 && l.l_onoff) {
        struct sockaddr unspecified = {.sa_family = AF_UNSPEC}; // sends the RST without giving the number away
        connect(g->fd, &unspecified, sizeof unspecified);
    }
    return NULL;
}

static void *far_end_run(void *arg)
{
    struct far_end *f = arg;
    struct pollfd p = {.fd = f->fd, .events = POLLIN};
    while (!atomic_load(&f->must_stop)) {
        if (poll(&p, 1, 20) <= 0) continue;
        int fd = accept(f->fd, NULL, NULL);
        if (fd < 0) continue;
        if (f->n_guests == GUESTS_MAX) {
            close(fd);
            continue;
        }
        struct guest *g = &f->guests[f->n_guests];
        *g = (struct guest){f, fd, 0};
        atomic_fetch_add(&f->connections, 1);
        if (pthread_create(&g->thread, NULL, guest_run, g) == 0)
            f->n_guests++;
        else
            close(fd);
    }
    return NULL;
}

struct far_end *far_end_open(struct str ok_body)
{
    struct far_end *f = calloc(1, sizeof *f);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    if (!f) return NULL;
    buf_str(&f->ok_body, ok_body);
    f->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(f->fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(f->fd, 128) != 0 ||
        getsockname(f->fd, (struct sockaddr *)&at, &size) != 0 || pthread_create(&f->thread, NULL, far_end_run, f) != 0)
        abort();
    f->port = ntohs(at.sin_port);
    return f;
}

void far_end_close(struct far_end *f)
{
    atomic_store(&f->must_stop, true);
    pthread_join(f->thread, NULL);
    for (unsigned i = 0; i < f->n_guests; i++) {
        shutdown(f->guests[i].fd, SHUT_RDWR);
        pthread_join(f->guests[i].thread, NULL);
        close(f->guests[i].fd);
    }
    close(f->fd);
    buf_free(&f->ok_body);
    free(f);
}

int far_end_port(const struct far_end *f)
{
    return f->port;
}

unsigned far_end_connections(struct far_end *f)
{
    return atomic_load(&f->connections);
}

unsigned far_end_requests(struct far_end *f)
{
    return atomic_load(&f->requests);
}

unsigned far_end_most_at_once(struct far_end *f)
{
    return atomic_load(&f->most_at_once);
}
