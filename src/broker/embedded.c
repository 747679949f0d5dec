// SPDX-License-Identifier: Apache-2.0
#include "broker/embedded.h"
#include "base/metric.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define DELIVERIES    1024  // handed out and not acknowledged; what is behind them waits in the store
#define INVISIBLE_MS  60000 // handed out this long ago and not acknowledged: again
#define SOON_MS       1000  // given back: again
#define ROWS_PER_READ 64
#define PASSED_MANY   256 // messages that are not the receiver's are told of now and then, or a start would read them all

// A message of the topic, oldest first. Those that are not the receiver's are here as done, so that the position
// passes.
struct delivery {
    uint64_t key, order_key;
    int64_t again_ms;
    uint32_t n_times;
    bool is_done, is_asked;
};

struct embedded {
    struct broker base;
    struct store *store;
    struct news_sink sink;
    struct delivery ring[DELIVERIES];
    unsigned head, n;
    _Atomic unsigned n_shown; // n, as of the last tick
    uint64_t last_key;        // of the newest in the ring, or consumed
    uint64_t passed_key;      // of the last that left the ring
    unsigned n_passed;        // since it was last told
    bool is_behind;           // the store has newer ones than the ring
};

static struct delivery *at(struct embedded *b, unsigned i)
{
    return &b->ring[(b->head + i) % DELIVERIES];
}

static struct delivery *find(struct embedded *b, uint64_t key)
{
    unsigned low = 0, high = b->n; // grows with the key
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (at(b, mid)->key < key)
            low = mid + 1;
        else
            high = mid;
    }
    return low < b->n && at(b, low)->key == key ? at(b, low) : NULL;
}

static void hand_out(struct embedded *b, struct delivery *d, int64_t now_ms)
{
    d->again_ms = now_ms + INVISIBLE_MS;
    d->n_times++;
    b->sink.post(b->sink.ctx, &(struct broker_news){.kind = BROKER_RECEIVED,
                                                    .order_key = d->order_key,
                                                    .received = {.receipt = d->key, .n_times = d->n_times}});
}

static void add(struct embedded *b, const struct message_row *row, int64_t now_ms)
{
    struct delivery *d = at(b, b->n++);
    *d = (struct delivery){
        .key = row->key, .order_key = row->message.order_key, .is_done = row->message.type != MESSAGE_CANCEL};
    b->last_key = row->key;
    if (!d->is_done) hand_out(b, d, now_ms);
}

static void forget_done(struct embedded *b)
{
    while (b->n && at(b, 0)->is_done) {
        b->passed_key = at(b, 0)->key;
        b->n_passed++;
        b->head = (b->head + 1) % DELIVERIES;
        b->n--;
    }
}

// What the store has behind the ring, as far as there is room. On a read error it stays behind, and tries again.
static bool fill(struct embedded *b, int64_t now_ms)
{
    struct message_row rows[ROWS_PER_READ];
    forget_done(b);
    while (b->is_behind && b->n + ROWS_PER_READ <= DELIVERIES) {
        int n = b->store->ops->messages(b->store, TOPIC_CANCEL, b->last_key, rows, ROWS_PER_READ);
        if (n < 0) return false;
        for (int i = 0; i < n; i++)
            add(b, &rows[i], now_ms);
        b->is_behind = n == ROWS_PER_READ;
        forget_done(b);
    }
    return true;
}

static void embedded_committed(struct broker *base, const struct message_row *rows, unsigned n, int64_t now_ms)
{
    struct embedded *b = (struct embedded *)base;
    for (unsigned i = 0; i < n; i++) {
        if (rows[i].message.topic != TOPIC_CANCEL) continue;
        if (b->n == DELIVERIES) b->is_behind = true;
        if (!b->is_behind) add(b, &rows[i], now_ms);
    }
}

static void ask_about(struct embedded *b, const uint64_t *receipts, unsigned n, bool is_asked)
{
    for (unsigned i = 0; i < n; i++) {
        struct delivery *d = find(b, receipts[i]);
        if (d) d->is_asked = is_asked;
    }
}

static uint64_t embedded_consumes(struct broker *base, const uint64_t *receipts, unsigned n)
{
    struct embedded *b = (struct embedded *)base;
    uint64_t key = b->passed_key;
    if (n == 0 && b->n_passed < PASSED_MANY) return 0;
    b->n_passed = 0;
    ask_about(b, receipts, n, true);
    for (unsigned i = 0; i < b->n && (at(b, i)->is_done || at(b, i)->is_asked); i++)
        key = at(b, i)->key;
    ask_about(b, receipts, n, false);
    return key;
}

static void embedded_acknowledge(struct broker *base, uint64_t receipt, bool is_done, int64_t now_ms)
{
    struct embedded *b = (struct embedded *)base;
    struct delivery *d = find(b, receipt);
    if (!d) return; // of an earlier hand-out, acknowledged since
    d->is_done = d->is_done || is_done;
    d->again_ms = now_ms + SOON_MS;
    forget_done(b);
}

static int64_t embedded_tick(struct broker *base, int64_t now_ms)
{
    struct embedded *b = (struct embedded *)base;
    int64_t next_ms = fill(b, now_ms) ? INT64_MAX : now_ms + SOON_MS;
    for (unsigned i = 0; i < b->n; i++) {
        struct delivery *d = at(b, i);
        if (d->is_done) continue;
        if (d->again_ms <= now_ms) hand_out(b, d, now_ms);
        if (d->again_ms < next_ms) next_ms = d->again_ms;
    }
    atomic_store_explicit(&b->n_shown, b->n, memory_order_relaxed);
    return next_ms;
}

static bool embedded_submit(struct broker *base, const struct send *s, int64_t now_ms)
{
    (void)base, (void)s, (void)now_ms;
    return false; // the core says nothing to a broker that shares its commits
}

static void embedded_describe(struct broker *base, struct buf *out)
{
    struct embedded *b = (struct embedded *)base;
    json_open(out, '{');
    json_kz(out, "kind", "embedded");
    json_ki64(out, "unacknowledged", atomic_load(&b->n_shown));
    json_close(out, '}');
}

static void embedded_metrics(struct broker *base, struct buf *out)
{
    struct embedded *b = (struct embedded *)base;
    metric_one(out, "till_broker_unacknowledged", "gauge",
               "Messages handed to the cancel receiver and not acknowledged.", atomic_load(&b->n_shown));
}

static void embedded_free(struct broker *base)
{
    free(base);
}

static const struct broker_ops OPS = {
    .submit = embedded_submit,
    .acknowledge = embedded_acknowledge,
    .committed = embedded_committed,
    .consumes = embedded_consumes,
    .tick = embedded_tick,
    .describe = embedded_describe,
    .metrics = embedded_metrics,
    .free = embedded_free,
};

struct broker *embedded_open(struct store *store, const struct news_sink *sink, char why[160])
{
    struct embedded *b = calloc(1, sizeof *b);
    if (!b) {
        (void)snprintf(why, 160, "out of memory");
        return NULL;
    }
    b->base.ops = &OPS;
    b->store = store;
    b->sink = *sink;
    b->is_behind = true; // the first tick hands out what was not consumed before the start
    if (store->ops->consumed(store, CONSUMER_CANCEL, &b->last_key)) return &b->base;
    (void)snprintf(why, 160, "cannot read what was consumed");
    free(b);
    return NULL;
}
