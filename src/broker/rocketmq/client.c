// SPDX-License-Identifier: Apache-2.0
// Beginning and end of a client, its loop, and the handing over of calls from other threads.
#include "broker/rocketmq/client.h"
#include "base/crypto.h"
#include "base/mono.h"
#include "broker/rocketmq/inside.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX   32
#define TICK_MS      1000 // when all is well
#define TICK_SOON_MS 50   // while something is still to be connected or asked for

int64_t rmq_wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

// Doubles up to the cap; between half of it and the whole, so that clients do not come in step.
int64_t rmq_backoff_ms(struct rmq *c, unsigned n_failures, int64_t first_ms, int64_t cap_ms)
{
    int64_t ms = first_ms;
    for (unsigned i = 0; i < n_failures && ms < cap_ms; i++)
        ms *= 2;
    if (ms > cap_ms) ms = cap_ms;
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return ms - (int64_t)(c->random % (uint64_t)(ms / 2 + 1));
}

void refusal_count(struct rmq *c, int code)
{
    struct rmq_stats *s = &c->stats;
    unsigned i = 0;
    while (i < s->n_refusals && s->refusals[i].code != code)
        i++;
    if (i == s->n_refusals && i < RMQ_CODES_MAX) {
        __atomic_store_n(&s->refusals[i].code, i == RMQ_CODES_MAX - 1 ? -1 : code, __ATOMIC_RELAXED);
        __atomic_store_n(&s->n_refusals, i + 1, __ATOMIC_RELEASE);
    }
    bump(&s->refusals[i < RMQ_CODES_MAX ? i : RMQ_CODES_MAX - 1].n, 1);
}

// --- Calls in and out of the pool

static struct call *call_new(struct rmq *c)
{
    struct call *k = calloc(1, sizeof *k);
    if (!k) return NULL;
    k->index = c->n_calls;
    c->calls[c->n_calls++] = k;
    return k;
}

// Under the lock. The newest first: its memory is warm.
static struct call *pool_take(struct rmq *c)
{
    struct call *k = TAILQ_FIRST(&c->pool);
    if (k)
        TAILQ_REMOVE(&c->pool, k, link);
    else
        k = call_new(c);
    return k;
}

static void call_reset(struct call *k, enum call_kind kind)
{
    k->kind = kind;
    k->ordered = k->oneway = k->from_check = k->is_fallback = false;
    memset(k->text, 0, sizeof k->text);
    buf_clear(&k->data);
    k->done = NULL;
    k->shard = k->token = 0;
    k->deliver_ms = k->number = 0;
    k->n_attempts = k->n_parts = 0;
    k->last_code = -1;
    k->last_remark[0] = '\0';
    k->broker = NULL;
    k->conn = NULL;
    k->parent = NULL;
    k->topic = NULL;
    k->pop = NULL;
}

// Under the lock, on the I/O thread: what ended in this round makes room.
static void settle(struct rmq *c)
{
    struct call *k;
    while ((k = TAILQ_FIRST(&c->freed))) {
        TAILQ_REMOVE(&c->freed, k, link);
        TAILQ_INSERT_HEAD(&c->pool, k, link);
    }
    c->outstanding -= c->freed_calls;
    c->outstanding_bytes -= c->freed_bytes;
    c->freed_calls = 0;
    c->freed_bytes = 0;
}

struct call *rmq_take(struct rmq *c, enum call_kind kind, size_t bytes)
{
    struct call *k = NULL;
    pthread_mutex_lock(&c->lock);
    if (pthread_equal(pthread_self(), c->thread)) settle(c); // a callback calls again
    errno = EAGAIN;
    if (!c->stopping && c->outstanding < c->o.in_flight && bytes <= c->o.queued_bytes - c->outstanding_bytes) {
        k = pool_take(c);
        if (k) {
            c->outstanding++;
            c->outstanding_bytes += bytes;
        } else {
            errno = ENOMEM;
        }
    }
    pthread_mutex_unlock(&c->lock);
    if (!k) return NULL;
    call_reset(k, kind);
    k->room = bytes;
    return k;
}

void rmq_give_back(struct rmq *c, struct call *k)
{
    pthread_mutex_lock(&c->lock);
    c->outstanding--;
    c->outstanding_bytes -= k->room;
    TAILQ_INSERT_HEAD(&c->pool, k, link);
    pthread_mutex_unlock(&c->lock);
}

struct call *call_take_ours(struct rmq *c, enum call_kind kind)
{
    struct call *k = TAILQ_FIRST(&c->freed);
    if (c->n_internal == CALL_INTERNAL_MAX) return NULL;
    if (k) {
        TAILQ_REMOVE(&c->freed, k, link);
    } else {
        pthread_mutex_lock(&c->lock);
        k = pool_take(c);
        c->n_calls_seen = c->n_calls;
        pthread_mutex_unlock(&c->lock);
    }
    if (!k) return NULL;
    c->n_internal++;
    call_reset(k, kind);
    k->room = 0;
    call_due_in(c, k, kind == CALL_POP ? c->o.poll_ms + OUR_CALL_MS : OUR_CALL_MS);
    return k;
}

bool rmq_text(struct call *k, enum call_text t, struct str s)
{
    k->text[t].at = (uint32_t)k->data.n;
    k->text[t].n = (uint32_t)s.n;
    buf_str(&k->data, s);
    return !k->data.failed;
}

// The loop looks at the inbox once a round: of many calls only the first since then wakes it, and none of its own.
static void wake(struct rmq *c, bool is_needed)
{
    uint64_t one = 1;
    if (is_needed && !pthread_equal(pthread_self(), c->thread)) (void)!write(c->wake_fd, &one, sizeof one);
}

bool rmq_submit(struct rmq *c, struct call *k, rmq_done *done, void *ctx, uint64_t token)
{
    k->done = done;
    k->ctx = ctx;
    k->token = token;
    pthread_mutex_lock(&c->lock);
    bool is_stopping = c->stopping, is_first = !c->woken;
    if (!is_stopping) {
        TAILQ_INSERT_TAIL(&c->inbox, k, link);
        c->woken = true;
        c->n_accepted++;
    }
    pthread_mutex_unlock(&c->lock);
    if (is_stopping) {
        rmq_give_back(c, k);
        errno = EAGAIN;
        return false;
    }
    wake(c, is_first);
    return true;
}

bool rmq_subscribe(struct rmq *c, const struct rmq_subscription *given)
{
    struct subscription *s = calloc(1, sizeof *s);
    bool ok = given->topic.n > 0 && given->topic.n < RMQ_NAME_SIZE && given->group.n > 0 &&
              given->group.n < RMQ_NAME_SIZE && given->tags.n < sizeof s->tags && given->max > 0 &&
              given->max <= RMQ_UNACKED_MAX && given->invisible_ms > 0 && given->on_message;
    struct slot *slots = ok && s ? calloc(given->max, sizeof *slots) : NULL;
    if (!slots) {
        free(s);
        errno = ok ? ENOMEM : EINVAL;
        return false;
    }
    memcpy(s->topic, given->topic.p, given->topic.n);
    memcpy(s->group, given->group.p, given->group.n);
    memcpy(s->tags, given->tags.n ? given->tags.p : "*", given->tags.n ? given->tags.n : 1);
    s->invisible_ms = given->invisible_ms;
    s->max = given->max;
    s->slots = slots;
    s->on_message = given->on_message;
    s->ctx = given->ctx;
    pthread_mutex_lock(&c->lock);
    bool has_room = c->n_subs < RMQ_SUBSCRIBE_MAX && !c->stopping;
    s->index = c->n_subs;
    if (has_room) c->subs[c->n_subs++] = s;
    bool is_first = !c->woken;
    c->woken = true;
    pthread_mutex_unlock(&c->lock);
    wake(c, is_first);
    if (has_room) return true;
    subscription_free(s);
    errno = EAGAIN;
    return false;
}

// --- The loop

static void publish_state(struct rmq *c)
{
    char text[160] = "", *why = NULL;
    unsigned connected = 0, heartbeated = 0;
    const char *name = "";
    for (unsigned i = 0; i < c->n_brokers; i++) {
        struct broker *b = c->brokers[i];
        if (!b->peer.conn && b->peer.wanted && b->peer.why[0]) why = b->peer.why;
        if (b->peer.conn && b->peer.conn->stage == CONN_READY) connected++;
        if (!b->heartbeated) {
            if (b->peer.why[0]) why = b->peer.why;
            continue;
        }
        heartbeated++;
        name = b->name;
    }
    c->known_now = (struct rmq_stats){.brokers = c->n_brokers, .connected = connected, .heartbeated = heartbeated};
    const struct peer *ns = &c->namesrv[c->at_namesrv];
    for (unsigned i = 0; i < c->n_namesrv && !ns->why[0]; i++)
        ns = &c->namesrv[i];
    const char *route_why = "";
    for (unsigned i = 0; i < c->n_topics; i++)
        if (c->topics[i].why[0]) route_why = c->topics[i].why;
    if (heartbeated > 1)
        (void)snprintf(text, sizeof text, "connected to %.60s and %u more", name, heartbeated - 1);
    else if (heartbeated == 1)
        (void)snprintf(text, sizeof text, "connected to %.100s", name);
    else if (why)
        (void)snprintf(text, sizeof text, "no broker: %.120s", why);
    else if (ns->why[0])
        (void)snprintf(text, sizeof text, "name server unreachable: %.100s", ns->why);
    else if (route_why[0])
        (void)snprintf(text, sizeof text, "%.150s", route_why);
    else
        (void)snprintf(text, sizeof text, "connecting");
    memcpy(c->state_text, text, sizeof text);
    c->state_good = heartbeated > 0;
    c->state_changed = false;
}

// What callers gave, and what they get back, under one lock a round. False: the client is to stop.
static bool exchange(struct rmq *c, struct calls *in)
{
    TAILQ_INIT(in);
    pthread_mutex_lock(&c->lock);
    TAILQ_CONCAT(in, &c->inbox, link);
    settle(c);
    c->woken = false;
    c->n_calls_seen = c->n_calls;
    if (c->n_subs_seen != c->n_subs) c->tick_ms = c->now_ms;
    c->n_subs_seen = c->n_subs;
    if (c->state_changed) publish_state(c);
    bool goes_on = !c->stopping;
    pthread_mutex_unlock(&c->lock);
    return goes_on;
}

static void take_in(struct rmq *c, struct calls *in)
{
    struct call *k;
    while ((k = TAILQ_FIRST(in))) {
        TAILQ_REMOVE(in, k, link);
        call_due_in(c, k, c->o.call_deadline_ms);
        if (k->kind == CALL_ACK || k->kind == CALL_HIDE) receipt_release(c, &k->receipt);
        call_dispatch(c, k);
    }
}

// Whether something is still to be connected to or asked for, so that the next look must come soon.
static bool is_unsettled(const struct rmq *c)
{
    const struct conn *conn;
    TAILQ_FOREACH(conn, &c->conns, link)
    if (conn->stage != CONN_READY || conn->draining) return true;
    for (unsigned i = 0; i < c->n_brokers; i++)
        if (c->brokers[i]->peer.wanted && !c->brokers[i]->peer.conn) return true;
    for (unsigned i = 0; i < c->n_topics; i++)
        if (!c->topics[i].known || c->topics[i].n_write == 0) return true;
    return false;
}

static void tick(struct rmq *c)
{
    struct conn *conn, *next;
    if (c->now_ms < c->tick_ms) return;
    c->tick_ms = INT64_MAX; // whoever needs a look soon says so from here on
    for (conn = TAILQ_FIRST(&c->conns); conn; conn = next) {
        next = TAILQ_NEXT(conn, link);
        conn_tick(conn);
    }
    routes_tick(c);
    pops_tick(c);
    if (!TAILQ_EMPTY(&c->parked)) (void)namesrv_conn(c);
    int64_t next_ms = c->now_ms + (is_unsettled(c) ? TICK_SOON_MS : TICK_MS);
    if (c->tick_ms > next_ms) c->tick_ms = next_ms;
    if (c->tick_ms <= c->now_ms) c->tick_ms = c->now_ms + 1;
}

static int next_wait_ms(struct rmq *c)
{
    int64_t at_ms = c->tick_ms;
    if (c->unpark) return 0;
    if (!TAILQ_EMPTY(&c->parked) && c->unpark_ms < at_ms) at_ms = c->unpark_ms;
    for (enum due_class d = 0; d < N_DUE; d++) {
        const struct call *k = TAILQ_FIRST(&c->by_due[d]);
        if (k && k->due_ms < at_ms) at_ms = k->due_ms;
    }
    return at_ms <= c->now_ms ? 0 : (int)(at_ms - c->now_ms < TICK_MS ? at_ms - c->now_ms : TICK_MS);
}

static void handle_events(struct rmq *c, int wait_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(c->epoll_fd, events, EVENTS_MAX, wait_ms);
    c->now_ms = mono_ms();
    for (int i = 0; i < n; i++) {
        uint64_t count;
        if (events[i].data.ptr)
            conn_event(events[i].data.ptr, events[i].events);
        else
            (void)!read(c->wake_fd, &count, sizeof count);
    }
}

// The order is of use: what answers caused is sent in the same write as what others handed in.
static bool round_of(struct rmq *c)
{
    struct calls in;
    bool goes_on = exchange(c, &in);
    take_in(c, &in);
    calls_unpark(c);
    tick(c);
    calls_expire(c);
    conns_flush(c);
    conns_bury(c);
    return goes_on;
}

// Calls made inside callbacks of the last round's second half have woken nobody.
static bool has_post(struct rmq *c)
{
    pthread_mutex_lock(&c->lock);
    bool has = !TAILQ_EMPTY(&c->inbox) || c->stopping || c->n_subs != c->n_subs_seen;
    pthread_mutex_unlock(&c->lock);
    return has || !TAILQ_EMPTY(&c->freed);
}

static void *run(void *ctx)
{
    struct rmq *c = ctx;
    struct calls in;
    c->now_ms = mono_ms();
    for (unsigned i = 0; i < c->o.n_topics; i++)
        (void)topic_of(c, c->o.topics[i]);
    while (round_of(c))
        handle_events(c, has_post(c) ? 0 : next_wait_ms(c));
    (void)exchange(c, &in);
    take_in(c, &in);
    conns_flush(c);
    calls_end_all(c);
    conns_free(c);
    return NULL;
}

// --- Beginning and end

static bool copy_name(char room[RMQ_NAME_SIZE], struct str s)
{
    if (s.n >= RMQ_NAME_SIZE) return false;
    if (s.n) memcpy(room, s.p, s.n);
    room[s.n] = '\0';
    return true;
}

static bool set_namesrv(struct rmq *c, struct str list)
{
    while (list.n > 0) {
        const char *end = memchr(list.p, ';', list.n);
        struct str one = {list.p, end ? (size_t)(end - list.p) : list.n};
        size_t step = one.n + (end ? 1 : 0);
        if (one.n > 0 && (c->n_namesrv == RMQ_NAMESRV_MAX || !peer_set(&c->namesrv[c->n_namesrv++], one))) return false;
        list.p += step;
        list.n -= step;
    }
    return c->n_namesrv > 0;
}

static void set_defaults(struct rmq_options *o)
{
    if (!o->in_flight) o->in_flight = 4096;
    if (!o->queued_bytes) o->queued_bytes = (size_t)64 << 20;
    if (!o->max_body) o->max_body = (size_t)4 << 20;
    if (!o->call_deadline_ms) o->call_deadline_ms = 3000;
    if (!o->heartbeat_ms) o->heartbeat_ms = 30000;
    if (!o->route_poll_ms) o->route_poll_ms = 30000;
    if (!o->poll_ms) o->poll_ms = 15000;
}

static const char *set_texts(struct rmq *c)
{
    struct rmq_options *o = &c->o;
    char host[64] = "", instance[32];
    if (!copy_name(c->transaction_group, o->transaction_group)) return "the transaction group's name is too long";
    if (!copy_name(c->producer_group, o->producer_group)) return "the producer group's name is too long";
    if (!set_namesrv(c, o->namesrv)) return "name servers: expected host:port;host:port";
    if ((o->access_key.n > 0) != (o->secret_key.n > 0)) return "access key and secret key belong together";
    if (o->in_flight > RMQ_IN_FLIGHT_MAX) return "in_flight is too large";
    if (o->max_body > WIRE_FRAME_MAX - WIRE_HEADER_MAX) return "max_body is larger than a frame";
    if (o->tls_name && strlen(o->tls_name) >= sizeof c->tls_name) return "tls_name is too long";
    if (o->tls_name) memcpy(c->tls_name, o->tls_name, strlen(o->tls_name) + 1);
    (void)gethostname(host, sizeof host - 1);
    (void)snprintf(instance, sizeof instance, "%d#%08x", (int)getpid(), (unsigned)c->random);
    if (!o->instance.n) o->instance = str_of(instance);
    int n = o->instance.n < 128 ? (int)o->instance.n : 128;
    (void)snprintf(c->client_id, sizeof c->client_id, "%.63s@%.*s", host[0] ? host : "localhost", n, o->instance.p);
    return NULL;
}

static void write_heartbeat(struct rmq *c)
{
    struct buf *b = &c->heartbeat;
    json_open(b, '{');
    json_kz(b, "clientID", c->client_id);
    json_key(b, "producerDataSet");
    json_open(b, '[');
    const char *groups[2] = {c->transaction_group, c->producer_group};
    for (int i = 0; i < 2; i++) {
        if (!groups[i][0] || (i && strcmp(groups[0], groups[1]) == 0)) continue;
        json_open(b, '{');
        json_kz(b, "groupName", groups[i]);
        json_close(b, '}');
    }
    json_close(b, ']');
    json_key(b, "consumerDataSet");
    json_open(b, '[');
    json_close(b, ']');
    json_ki64(b, "heartbeatFingerprint", 0);
    json_key(b, "withoutSub");
    json_bool(b, false);
    json_close(b, '}');
}

static bool prepare(struct rmq *c, char why[160])
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    if (!message_ids_init(&c->ids) || !crypto_random(&c->random, sizeof c->random)) return false;
    c->random |= 1;
    set_defaults(&c->o);
    const char *fault = set_texts(c);
    if (fault) {
        (void)snprintf(why, 160, "%s", fault);
        return false;
    }
    write_heartbeat(c);
    c->calls = calloc(c->o.in_flight + CALL_INTERNAL_MAX, sizeof *c->calls);
    if (!c->calls || c->heartbeat.failed) return false;
    if (c->o.access_key.n && !(c->acl = acl_new(c->o.access_key, c->o.secret_key))) return false;
    if (c->o.tls && !(c->tls = conn_tls_new(&c->o, why))) return false;
    c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    c->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return c->epoll_fd >= 0 && c->wake_fd >= 0 && epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->wake_fd, &e) == 0;
}

// Signals are for other threads; SIGPIPE of a broken TLS connection is for nobody.
static bool start(struct rmq *c)
{
    sigset_t all, before;
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return false;
    c->has_thread = pthread_create(&c->thread, NULL, run, c) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return c->has_thread;
}

struct rmq *rmq_new(const struct rmq_options *options, char why[160])
{
    (void)snprintf(why, 160, "memory, threads or files are out");
    struct rmq *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->o = *options;
    c->epoll_fd = c->wake_fd = -1;
    TAILQ_INIT(&c->conns);
    TAILQ_INIT(&c->dirty);
    TAILQ_INIT(&c->dead);
    TAILQ_INIT(&c->parked);
    TAILQ_INIT(&c->pool);
    TAILQ_INIT(&c->inbox);
    TAILQ_INIT(&c->freed);
    for (enum due_class d = 0; d < N_DUE; d++)
        TAILQ_INIT(&c->by_due[d]);
    c->unpark_ms = INT64_MAX;
    c->state_changed = true;
    pthread_mutex_init(&c->lock, NULL);
    if (prepare(c, why) && start(c)) return c;
    rmq_free(c);
    return NULL;
}

static void release_memory(struct rmq *c)
{
    for (unsigned i = 0; c->calls && i < c->n_calls; i++) {
        buf_free(&c->calls[i]->data);
        free(c->calls[i]);
    }
    free(c->calls);
    for (unsigned i = 0; i < c->n_brokers; i++)
        free(c->brokers[i]);
    for (unsigned i = 0; i < c->n_topics; i++)
        free(c->topics[i].write);
    for (unsigned i = 0; i < c->n_subs; i++)
        subscription_free(c->subs[i]);
    buf_free(&c->body_room);
    buf_free(&c->heartbeat);
    acl_free(c->acl);
    SSL_CTX_free(c->tls);
}

void rmq_free(struct rmq *c)
{
    if (!c) return;
    if (c->has_thread) {
        pthread_mutex_lock(&c->lock);
        c->stopping = true;
        pthread_mutex_unlock(&c->lock);
        wake(c, true);
        pthread_join(c->thread, NULL);
    }
    if (c->epoll_fd >= 0) close(c->epoll_fd);
    if (c->wake_fd >= 0) close(c->wake_fd);
    release_memory(c);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static uint64_t look(const uint64_t *count)
{
    return __atomic_load_n(count, __ATOMIC_RELAXED);
}

static void look_at_refusals(const struct rmq_stats *from, struct rmq_stats *out)
{
    out->n_refusals = __atomic_load_n(&from->n_refusals, __ATOMIC_ACQUIRE);
    for (unsigned i = 0; i < out->n_refusals; i++) {
        out->refusals[i].code = __atomic_load_n(&from->refusals[i].code, __ATOMIC_RELAXED);
        out->refusals[i].n = look(&from->refusals[i].n);
    }
}

void rmq_stats(struct rmq *c, struct rmq_stats *out)
{
    const struct rmq_stats *s = &c->stats;
    pthread_mutex_lock(&c->lock);
    *out = c->known_now;
    out->calls = c->n_accepted;
    out->in_flight = c->outstanding;
    pthread_mutex_unlock(&c->lock);
#define LOOK(name) out->name = look(&s->name)
    LOOK(done), LOOK(refused), LOOK(not_sent), LOOK(unknown), LOOK(late_answers), LOOK(retries), LOOK(busy);
    LOOK(go_away), LOOK(connects), LOOK(connects_failed), LOOK(connections_lost), LOOK(frames_bad), LOOK(frames_in);
    LOOK(frames_out), LOOK(bytes_in), LOOK(bytes_out), LOOK(checks), LOOK(checks_foreign), LOOK(checks_bad);
    LOOK(deliveries), LOOK(deliveries_bad), LOOK(acl_refusals), LOOK(requests_unserved);
#undef LOOK
    look_at_refusals(s, out);
}

bool rmq_state(struct rmq *c, char text[160])
{
    pthread_mutex_lock(&c->lock);
    if (text) memcpy(text, c->state_text, sizeof c->state_text);
    bool is_good = c->state_good;
    pthread_mutex_unlock(&c->lock);
    return is_good;
}
