// SPDX-License-Identifier: Apache-2.0
#include "broker/outbox.h"
#include "base/log.h"
#include "base/mono.h"
#include "broker/body.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define EVENTS      512 // taken at a time
#define LANE_BITS   5
#define LANES       (1 << LANE_BITS) // an order's events are in one lane; a lane goes out in one batch, to one queue
#define TELL_MS     500              // how often it is remembered how far it came
#define PAUSE_MS    200              // after a lane was not taken; grows
#define PAUSE_MAX   10000
#define IDLE_MS     60000
#define BODY_MAX    256
#define MESSAGES_IN 64 // of a batch: 64 bodies of 256 bytes are far from any broker's limit

enum lane_state { LANE_EMPTY, LANE_WAITS, LANE_ON_ITS_WAY, LANE_DONE };

struct text { // of one event
    char body[BODY_MAX], order[ID_TEXT_SIZE];
    size_t body_len;
};

struct outbox {
    struct reader *reader;
    struct news_sink sink;
    struct rmq *client;
    uint8_t secret[ID_SECRET_SIZE];
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t bell;
    // under the lock
    bool runs, is_stopping;
    enum lane_state lanes[LANES];
    // the thread's own
    struct event_row events[EVENTS];
    struct text texts[EVENTS];
    unsigned n;
    unsigned lane_left[LANES], lane_sent[LANES], lane_out[LANES]; // of each lane's events: not through, through, out
    struct arena arena;
    uint64_t told_key;
    int64_t told_ms; // monotonic
    _Atomic uint64_t published_key, last_event_key, n_published;
};

static unsigned lane_of(uint64_t order_key)
{
    return key_place(order_key, LANE_BITS);
}

// --- Lanes

static void on_lane_done(void *ctx, uint64_t lane, const struct rmq_result *r)
{
    struct outbox *o = ctx;
    pthread_mutex_lock(&o->lock);
    // Refused and unknown alike are sent again: an event may come twice, and never not at all.
    o->lanes[lane] = r->outcome == RMQ_DONE ? LANE_DONE : LANE_WAITS;
    pthread_cond_signal(&o->bell);
    pthread_mutex_unlock(&o->lock);
}

static unsigned lane_messages(const struct outbox *o, unsigned lane, struct rmq_message out[MESSAGES_IN])
{
    unsigned n = 0, skip = o->lane_sent[lane];
    for (unsigned i = 0; i < o->n && n < MESSAGES_IN; i++) {
        const struct event_row *row = &o->events[i];
        if (lane_of(row->order_key) != lane) continue;
        if (skip) {
            skip--;
            continue;
        }
        out[n++] = (struct rmq_message){
            .topic = str_of(topic_name(TOPIC_EVENTS)),
            .tags = str_of(event_type_name(row->event.type)),
            .keys = str_of(o->texts[i].order),
            .body = {o->texts[i].body, o->texts[i].body_len},
            .shard = lane,
            .ordered = true,
        };
    }
    return n;
}

// Sends the next batch of a lane.
static void lane_send(struct outbox *o, unsigned lane)
{
    struct rmq_message m[MESSAGES_IN];
    unsigned n = o->lane_out[lane] = lane_messages(o, lane, m);
    pthread_mutex_lock(&o->lock);
    o->lanes[lane] = LANE_ON_ITS_WAY;
    pthread_mutex_unlock(&o->lock);
    bool taken = n == 1 ? rmq_send(o->client, &m[0], on_lane_done, o, lane)
                        : rmq_send_batch(o->client, m, n, on_lane_done, o, lane);
    if (taken) return;
    pthread_mutex_lock(&o->lock);
    o->lanes[lane] = LANE_WAITS;
    pthread_mutex_unlock(&o->lock);
}

static void lane_is_through(struct outbox *o, unsigned lane)
{
    o->lane_sent[lane] += o->lane_out[lane];
    o->lane_left[lane] -= o->lane_out[lane];
    o->lanes[lane] = o->lane_left[lane] ? LANE_WAITS : LANE_EMPTY;
    atomic_fetch_add_explicit(&o->n_published, o->lane_out[lane], memory_order_relaxed);
}

// Every lane has its answer.
static bool lanes_rest(const struct outbox *o)
{
    for (unsigned i = 0; i < LANES; i++)
        if (o->lanes[i] == LANE_ON_ITS_WAY) return false;
    return true;
}

// Sends what waits, and waits for the answers. True when some lane was taken.
static bool lanes_round(struct outbox *o)
{
    bool any = false;
    for (unsigned i = 0; i < LANES; i++)
        if (o->lanes[i] == LANE_WAITS) lane_send(o, i);
    pthread_mutex_lock(&o->lock);
    while (!lanes_rest(o))
        pthread_cond_wait(&o->bell, &o->lock); // each call is answered by its deadline
    pthread_mutex_unlock(&o->lock);
    for (unsigned i = 0; i < LANES; i++) {
        if (o->lanes[i] != LANE_DONE) continue;
        lane_is_through(o, i);
        any = true;
    }
    return any;
}

static bool lanes_are_empty(const struct outbox *o)
{
    for (unsigned i = 0; i < LANES; i++)
        if (o->lanes[i] != LANE_EMPTY) return false;
    return true;
}

// --- The thread

// Waits that long unless stopped, however often the bell rings meanwhile. False: stop.
static bool pause_ms(struct outbox *o, int64_t ms, bool until_events)
{
    struct timespec until = mono_in_ms(ms);
    pthread_mutex_lock(&o->lock);
    while (!o->is_stopping) {
        if (until_events && atomic_load(&o->last_event_key) > atomic_load(&o->published_key)) break;
        if (pthread_cond_timedwait(&o->bell, &o->lock, &until) == ETIMEDOUT) break;
    }
    bool goes_on = !o->is_stopping;
    pthread_mutex_unlock(&o->lock);
    return goes_on;
}

static void tell(struct outbox *o)
{
    uint64_t key = atomic_load(&o->published_key);
    if (key == o->told_key) return;
    o->told_key = key;
    o->told_ms = mono_ms();
    o->sink.post(o->sink.ctx, &(struct broker_news){.kind = BROKER_PUBLISHED, .published_key = key});
}

// False: no memory.
static bool write_texts(struct outbox *o)
{
    struct buf b = {0};
    unsigned n_written = 0;
    for (unsigned i = 0; i < o->n; i++) {
        const struct event_row *row = &o->events[i];
        struct text *t = &o->texts[i];
        buf_clear(&b);
        body_of_event(o->secret, row->key, row->order_key, &row->event, &b);
        if (b.failed || b.n > BODY_MAX) break; // the latter cannot be: ids, words and numbers
        memcpy(t->body, b.p, b.n);
        t->body_len = b.n;
        n_written++;
        id_format(o->secret, "ord_", row->order_key, t->order);
    }
    buf_free(&b);
    return n_written == o->n;
}

// Takes the next events; -1 when the store cannot be read, or memory is out.
static int take(struct outbox *o)
{
    arena_reset(&o->arena);
    if (!o->reader->ops->events(o->reader, atomic_load(&o->published_key), o->events, EVENTS, &o->n, &o->arena))
        return -1;
    if (!write_texts(o)) return -1;
    memset(o->lane_sent, 0, sizeof o->lane_sent);
    memset(o->lane_left, 0, sizeof o->lane_left);
    for (unsigned i = 0; i < o->n; i++)
        o->lane_left[lane_of(o->events[i].order_key)]++;
    for (unsigned i = 0; i < LANES; i++)
        o->lanes[i] = o->lane_left[i] ? LANE_WAITS : LANE_EMPTY;
    return (int)o->n;
}

// Publishes what was taken, however long that takes. False: stop.
static bool publish(struct outbox *o)
{
    int64_t wait_ms = PAUSE_MS;
    while (!lanes_are_empty(o)) {
        bool any = lanes_round(o);
        if (any) {
            wait_ms = PAUSE_MS;
            continue;
        }
        if (!pause_ms(o, wait_ms, false)) return false;
        wait_ms = wait_ms * 2 < PAUSE_MAX ? wait_ms * 2 : PAUSE_MAX;
    }
    atomic_store(&o->published_key, o->events[o->n - 1].key);
    return true;
}

static void *run(void *arg)
{
    struct outbox *o = arg;
    for (;;) {
        int n = take(o);
        if (n > 0) {
            if (!publish(o)) break;
            if (mono_ms() - o->told_ms >= TELL_MS) tell(o);
            continue;
        }
        if (n < 0) log_error("broker", "the outbox cannot take events from the store; it tries again");
        if (n == 0 && o->told_key != atomic_load(&o->published_key)) {
            if (!pause_ms(o, TELL_MS, true)) break;
            if (mono_ms() - o->told_ms >= TELL_MS) tell(o);
        } else if (!pause_ms(o, n < 0 ? PAUSE_MAX : IDLE_MS, n == 0)) {
            break;
        }
    }
    return NULL;
}

// --- From outside

struct outbox *outbox_new(struct reader *reader, uint64_t published_key, const uint8_t secret[ID_SECRET_SIZE],
                          const struct news_sink *sink)
{
    struct outbox *o = calloc(1, sizeof *o);
    if (!o) {
        reader->ops->close(reader);
        return NULL;
    }
    o->reader = reader;
    o->sink = *sink;
    memcpy(o->secret, secret, ID_SECRET_SIZE);
    atomic_store(&o->published_key, published_key);
    o->told_key = published_key;
    pthread_mutex_init(&o->lock, NULL);
    mono_cond_init(&o->bell);
    return o;
}

bool outbox_start(struct outbox *o, struct rmq *client)
{
    o->client = client;
    o->runs = pthread_create(&o->thread, NULL, run, o) == 0;
    return o->runs;
}

void outbox_wake(struct outbox *o, uint64_t last_event_key)
{
    atomic_store(&o->last_event_key, last_event_key);
    pthread_mutex_lock(&o->lock);
    pthread_cond_signal(&o->bell);
    pthread_mutex_unlock(&o->lock);
}

void outbox_stop(struct outbox *o)
{
    if (!o || !o->runs) return;
    pthread_mutex_lock(&o->lock);
    o->is_stopping = true;
    pthread_cond_signal(&o->bell);
    pthread_mutex_unlock(&o->lock);
    pthread_join(o->thread, NULL);
    o->runs = false;
}

void outbox_free(struct outbox *o)
{
    if (!o) return;
    outbox_stop(o);
    o->reader->ops->close(o->reader);
    arena_free(&o->arena);
    pthread_cond_destroy(&o->bell);
    pthread_mutex_destroy(&o->lock);
    free(o);
}

uint64_t outbox_n_published(const struct outbox *o)
{
    return atomic_load_explicit(&o->n_published, memory_order_relaxed);
}

bool outbox_is_behind(const struct outbox *o)
{
    return atomic_load(&o->last_event_key) > atomic_load(&o->published_key);
}
