// SPDX-License-Identifier: Apache-2.0
// Listening, threads, and a worker's rounds:
//
//     wait for events and run them (requests, posts, timers) -> round_end -> write all answers -> free what
//     ended
//
// The event base belongs to its worker's thread alone and so has no locks; other threads come in through the
// posts.
#include "base/log.h"
#include "http/inside.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ACCEPTS_PER_ROUND 32
#define TICK_MS           100
#define ACCEPT_PAUSE_MS   100
#define WARN_AGAIN_MS     10000
#define KEEPALIVE_S       60 // a peer that vanished without a word is noticed even when nothing is written to it
#define BACKLOG           1024

static int64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct timeval timeval_of(unsigned ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

// --- listening

// "host:port" or "[v6]:port" into its parts; `host` has room for 256 bytes.
static bool split_address(const char *listen, char host[256], char port[8])
{
    const char *colon = strrchr(listen, ':');
    if (!colon || colon == listen) return false;
    size_t host_n = (size_t)(colon - listen), port_n = strlen(colon + 1);
    if (port_n == 0 || port_n > 5 || strspn(colon + 1, "0123456789") != port_n) return false;
    if (strtoul(colon + 1, NULL, 10) > 65535) return false;
    if (listen[0] == '[') {
        if (host_n < 3 || listen[host_n - 1] != ']') return false;
        listen++;
        host_n -= 2;
    } else if (memchr(listen, ':', host_n)) {
        return false;
    }
    if (host_n > 255) return false;
    memcpy(host, listen, host_n);
    host[host_n] = 0;
    memcpy(port, colon + 1, port_n + 1);
    return true;
}

// Accepted sockets inherit these. Without them all still works, so failures do not matter.
static void set_inherited(int fd)
{
    int on = 1, idle = KEEPALIVE_S;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
}

static int bind_socket(const struct addrinfo *a, bool shared)
{
    int on = 1, fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0) return -1;
    bool good = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                (!shared || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
                bind(fd, a->ai_addr, a->ai_addrlen) == 0;
    if (good) {
        set_inherited(fd);
        return fd;
    }
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

void http_peer(const struct http_exchange *x, char out[HTTP_PEER_SIZE])
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    out[0] = 0;
    if (getpeername(((const struct exchange *)x)->conn->fd, (struct sockaddr *)&a, &n) < 0) return;
    if (getnameinfo((struct sockaddr *)&a, n, out, HTTP_PEER_SIZE, NULL, 0, NI_NUMERICHOST) != 0) out[0] = 0;
}

static unsigned port_of(int fd)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &n) < 0) return 0;
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                         : ((struct sockaddr_in *)&a)->sin_port);
}

static void set_port(struct addrinfo *a, unsigned port)
{
    if (a->ai_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)a->ai_addr)->sin6_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in *)(void *)a->ai_addr)->sin_port = htons((uint16_t)port);
}

static bool listen_on(struct http_server *s, struct addrinfo *a)
{
    // Two programs may share a port when both say SO_REUSEPORT. Binding once without it finds that out here.
    int probe = bind_socket(a, false);
    if (probe < 0) return false;
    set_port(a, port_of(probe));
    s->port = port_of(probe);
    if (s->n_workers == 1) {
        s->workers[0].listen_fd = probe;
        return listen(probe, BACKLOG) == 0;
    }
    close(probe);
    for (unsigned i = 0; i < s->n_workers; i++) {
        int fd = s->workers[i].listen_fd = bind_socket(a, true);
        if (fd < 0 || listen(fd, BACKLOG) < 0) return false;
    }
    return true;
}

static bool open_listeners(struct http_server *s, const char *address, char why[200])
{
    char host[256], port[8];
    if (!address || !split_address(address, host, port)) {
        (void)snprintf(why, 200, "\"%.100s\" is not host:port or [v6 address]:port", address ? address : "");
        return false;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *list = NULL;
    int error = getaddrinfo(host, port, &hints, &list);
    if (error) {
        (void)snprintf(why, 200, "cannot resolve %.100s: %s", host, gai_strerror(error));
        return false;
    }
    bool good = listen_on(s, list);
    if (!good) (void)snprintf(why, 200, "cannot listen on %.100s: %s", address, strerror(errno));
    freeaddrinfo(list);
    return good;
}

static void on_accept_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct http_worker *w = arg;
    if (!w->stopping) event_add(&w->on_accept, NULL);
}

// Out of descriptors: the waiting connection stays readable, so look away for a moment instead of spinning.
static void pause_accepting(struct http_worker *w)
{
    struct timeval pause = timeval_of(ACCEPT_PAUSE_MS);
    if (w->now_ms >= w->warn_again_ms) {
        log_warn("http", "cannot accept: %s", strerror(errno));
        w->warn_again_ms = w->now_ms + WARN_AGAIN_MS;
    }
    event_del(&w->on_accept);
    event_add(&w->on_accept_again, &pause);
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct http_worker *w = arg;
    for (int i = 0; i < ACCEPTS_PER_ROUND; i++) {
        int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client >= 0) {
            conn_accept(w, client);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) pause_accepting(w);
        if (errno != ECONNABORTED && errno != EINTR) return;
    }
}

// --- posts

bool http_worker_post(struct http_worker *w, void (*fn)(void *arg), void *arg)
{
    pthread_mutex_lock(&w->lock);
    bool taken = !w->posts_shut;
    if (taken && w->n_posts == w->cap_posts) {
        size_t cap = w->cap_posts ? w->cap_posts * 2 : 64;
        struct http_post *posts = realloc(w->posts, cap * sizeof *posts);
        taken = posts != NULL;
        if (posts) {
            w->posts = posts;
            w->cap_posts = cap;
        }
    }
    bool wake = taken && !w->woken;
    if (taken) {
        w->posts[w->n_posts++] = (struct http_post){fn, arg};
        w->woken = true;
    }
    pthread_mutex_unlock(&w->lock);
    if (wake) (void)eventfd_write(w->wake_fd, 1);
    return taken;
}

static void run_posts(struct http_worker *w)
{
    pthread_mutex_lock(&w->lock);
    struct http_post *posts = w->posts;
    size_t n = w->n_posts, cap = w->cap_posts;
    w->posts = w->running;
    w->cap_posts = w->cap_running;
    w->n_posts = 0;
    w->woken = false;
    w->running = posts;
    w->cap_running = cap;
    pthread_mutex_unlock(&w->lock);
    for (size_t i = 0; i < n; i++)
        posts[i].fn(posts[i].arg);
}

static void begin_stop(struct http_worker *w)
{
    if (w->stopping) return;
    w->stopping = true;
    w->stop_ms = w->now_ms + atomic_load(&w->server->grace_ms);
    event_del(&w->on_accept);
    event_del(&w->on_accept_again);
    close(w->listen_fd);
    w->listen_fd = -1;
    conn_stop_all(w);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct http_worker *w = arg;
    eventfd_t count;
    (void)eventfd_read(fd, &count);
    run_posts(w);
    if (atomic_load(&w->server->stopping)) begin_stop(w);
}

// --- timers

static void timer_unlink(struct http_timer *t)
{
    if (t->prev)
        t->prev->next = t->next;
    else
        t->worker->timers = t->next;
    if (t->next) t->next->prev = t->prev;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct http_timer *t = arg;
    void (*fn)(void *) = t->fn;
    void *fn_arg = t->arg;
    timer_unlink(t);
    free(t);
    fn(fn_arg);
}

struct http_timer *http_timer_after(struct http_worker *w, unsigned ms, void (*fn)(void *arg), void *arg)
{
    struct http_timer *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    *t = (struct http_timer){.worker = w, .fn = fn, .arg = arg, .next = w->timers};
    struct timeval after = timeval_of(ms);
    event_assign(&t->event, w->base, -1, 0, on_timer, t);
    if (event_add(&t->event, &after) < 0) {
        free(t);
        return NULL;
    }
    if (w->timers) w->timers->prev = t;
    w->timers = t;
    return t;
}

void http_timer_cancel(struct http_timer *t)
{
    if (!t) return;
    event_del(&t->event);
    timer_unlink(t);
    free(t);
}

// --- rounds

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct http_worker *w = arg;
    w->now_ms = clock_ms();
    conn_check_limits(w);
}

// Writing an answer can let a paused connection hand over more requests, hence the loop. It ends: nothing is
// read from a socket here, so it lives on bytes that had arrived before.
static void end_round(struct http_worker *w)
{
    const struct http_handler *h = &w->server->handler;
    do {
        if (w->arrived && h->round_end) h->round_end(h->ctx, w);
        w->arrived = false;
        conn_flush_all(w);
    } while (w->arrived);
    conn_free_dead(w);
}

static bool worker_has_work(const struct http_worker *w)
{
    return !w->stopping || (w->n_conns > 0 && w->now_ms < w->stop_ms);
}

static void shut_worker(struct http_worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->posts_shut = true;
    pthread_mutex_unlock(&w->lock);
    run_posts(w);
    end_round(w); // a last chance for answers that came with those posts
    conn_kill_all(w);
    conn_flush_all(w);
    conn_free_dead(w);
    while (w->timers)
        http_timer_cancel(w->timers);
}

static void *worker_main(void *arg)
{
    struct http_worker *w = arg;
    struct timeval tick = timeval_of(TICK_MS);
    w->now_ms = clock_ms();
    event_add(&w->on_accept, NULL);
    event_add(&w->on_wake, NULL);
    event_add(&w->on_tick, &tick);
    while (worker_has_work(w)) {
        event_base_loop(w->base, EVLOOP_ONCE);
        w->now_ms = clock_ms();
        end_round(w);
    }
    shut_worker(w);
    return NULL;
}

// --- the server

static bool init_worker(struct http_server *s, unsigned index)
{
    struct http_worker *w = &s->workers[index];
    w->scratch = malloc(SCRATCH_SIZE);
    w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct event_config *config = event_config_new();
    if (config) {
        event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
        // No change list: an event taken off must be off before its socket is closed, or another worker's new one could
        // be meant. Events stay armed, so there are few changes to collect.
        w->base = event_base_new_with_config(config);
        event_config_free(config);
    }
    if (!w->scratch || w->wake_fd < 0 || !w->base) return false;
    event_assign(&w->on_accept, w->base, w->listen_fd, EV_READ | EV_PERSIST, on_acceptable, w);
    event_assign(&w->on_accept_again, w->base, -1, 0, on_accept_again, w);
    event_assign(&w->on_wake, w->base, w->wake_fd, EV_READ | EV_PERSIST, on_wake, w);
    event_assign(&w->on_tick, w->base, -1, EV_PERSIST, on_tick, w);
    return true;
}

struct http_server *http_server_new(const struct http_options *o, const struct http_handler *h, char why[200])
{
    if (o->n_workers < 1 || o->n_workers > 64 || o->max_connections < 1) {
        (void)snprintf(why, 200, "workers must be 1..64 and connections at least 1");
        return NULL;
    }
    struct http_server *s = calloc(1, sizeof *s + o->n_workers * sizeof s->workers[0]);
    if (!s) {
        (void)snprintf(why, 200, "out of memory");
        return NULL;
    }
    s->handler = *h;
    s->n_workers = o->n_workers;
    s->max_connections = o->max_connections;
    static const unsigned limit_ms[N_PHASES] = {
        [PHASE_FRESH] = 10000, [PHASE_IDLE] = 75000,  [PHASE_HEAD] = 10000,  [PHASE_BODY] = 30000,
        [PHASE_EOF] = 1000,    [PHASE_LINGER] = 1000, [PHASE_STALL] = 30000,
    };
    memcpy(s->limit_ms, limit_ms, sizeof limit_ms);
    for (unsigned i = 0; i < s->n_workers; i++) {
        struct http_worker *w = &s->workers[i];
        w->server = s;
        w->index = i;
        w->listen_fd = w->wake_fd = -1;
        pthread_mutex_init(&w->lock, NULL);
    }
    bool good = open_listeners(s, o->listen, why);
    for (unsigned i = 0; good && i < s->n_workers; i++) {
        good = init_worker(s, i);
        if (!good) (void)snprintf(why, 200, "cannot set up a worker: %s", strerror(errno));
    }
    if (good) return s;
    http_server_free(s);
    return NULL;
}

static bool start_thread(struct http_worker *w)
{
    // Signals are the main thread's: a worker must not run its handlers.
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    w->thread_runs = pthread_create(&w->thread, NULL, worker_main, w) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return w->thread_runs;
}

bool http_server_start(struct http_server *s)
{
    if (s->started) return false;
    s->started = true;
    for (unsigned i = 0; i < s->n_workers; i++) {
        if (start_thread(&s->workers[i])) continue;
        http_server_stop(s, 0);
        return false;
    }
    return true;
}

void http_server_stop(struct http_server *s, unsigned grace_ms)
{
    atomic_store(&s->grace_ms, grace_ms);
    atomic_store(&s->stopping, true);
    for (unsigned i = 0; i < s->n_workers; i++)
        if (s->workers[i].thread_runs) (void)eventfd_write(s->workers[i].wake_fd, 1);
    for (unsigned i = 0; i < s->n_workers; i++) {
        struct http_worker *w = &s->workers[i];
        if (w->thread_runs) pthread_join(w->thread, NULL);
        w->thread_runs = false;
        pthread_mutex_lock(&w->lock);
        w->posts_shut = true;
        pthread_mutex_unlock(&w->lock);
    }
}

static void free_worker(struct http_worker *w)
{
    exchange_pool_free(w);
    if (w->base) event_base_free(w->base);
    if (w->listen_fd >= 0) close(w->listen_fd);
    if (w->wake_fd >= 0) close(w->wake_fd);
    free(w->scratch);
    free(w->posts);
    free(w->running);
    pthread_mutex_destroy(&w->lock);
}

void http_server_free(struct http_server *s)
{
    if (!s) return;
    http_server_stop(s, 0);
    for (unsigned i = 0; i < s->n_workers; i++)
        free_worker(&s->workers[i]);
    free(s);
}

unsigned http_server_port(const struct http_server *s)
{
    return s->port;
}

unsigned http_server_workers(const struct http_server *s)
{
    return s->n_workers;
}

unsigned http_server_connections(const struct http_server *s)
{
    return atomic_load_explicit(&s->n_connections, memory_order_relaxed);
}

struct http_worker *http_server_worker(struct http_server *s, unsigned i)
{
    return &s->workers[i];
}

unsigned http_worker_index(const struct http_worker *w)
{
    return w->index;
}

void http_server_set_limit(struct http_server *s, enum conn_phase phase, unsigned ms)
{
    s->limit_ms[phase] = ms;
}
