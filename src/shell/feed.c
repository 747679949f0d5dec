// SPDX-License-Identifier: Apache-2.0
// Events to whoever listens: long poll, server-sent events, and the payment page's own little stream.
//
// A client is counted before its first read: a commit that the read did not see finds the count and wakes the worker.
#include "shell/shell.h"
#include <assert.h>
#include <stdlib.h>

#define CLIENTS_MAX  1024 // per worker
#define PAGE         200
#define HEARTBEAT_MS 15000
#define PENDING_MAX  (64 * 1024) // of a stream: beyond, it goes on when its reader has read
#define GO_ON_MS     2

enum client_kind { CLIENT_POLL, CLIENT_STREAM, CLIENT_PAY };

struct client {
    struct client *next;
    enum client_kind kind;
    struct feed *feed;
    struct http_exchange *x;
    uint64_t after_key;       // CLIENT_POLL, CLIENT_STREAM
    bool from_oldest;         // likewise: it has named no event, and was shown none
    unsigned limit;           // CLIENT_POLL
    struct http_timer *timer; // CLIENT_POLL: the end of waiting; CLIENT_STREAM: when to go on
    uint64_t order_key;       // CLIENT_PAY
    uint32_t shown_version;
};

struct feed {
    struct worker *w;
    struct client *clients;
    _Atomic unsigned n_clients;
    _Atomic bool is_posted; // a wake-up is on its way
    struct http_timer *heartbeat;
};

struct feed *feed_new(struct worker *w)
{
    struct feed *f = calloc(1, sizeof *f);
    if (f) f->w = w;
    return f;
}

void feed_free(struct feed *f)
{
    if (!f) return;
    while (f->clients) {
        struct client *c = f->clients;
        f->clients = c->next;
        free(c);
    }
    free(f);
}

static void client_remove(struct client *c)
{
    struct feed *f = c->feed;
    struct client **at = &f->clients;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    atomic_fetch_sub(&f->n_clients, 1);
    if (c->timer) http_timer_cancel(c->timer);
    free(c);
}

static struct client *client_add(struct worker *w, struct http_exchange *x, enum client_kind kind)
{
    struct feed *f = w->feed;
    struct client *c = atomic_load(&f->n_clients) < CLIENTS_MAX ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        http_problem(x, 503, "overloaded", "too many listen already", NULL);
        return NULL;
    }
    *c = (struct client){.next = f->clients, .kind = kind, .feed = f, .x = x};
    f->clients = c;
    atomic_fetch_add(&f->n_clients, 1);
    return c;
}

bool feed_closed(struct feed *f, struct http_exchange *x)
{
    for (struct client *c = f->clients; c; c = c->next) {
        if (c->x != x) continue;
        client_remove(c);
        return true;
    }
    return false;
}

enum events { EVENTS_READ, EVENTS_GONE, EVENTS_FAILED };

// EVENTS_GONE: some that come after its cursor are in the archive. Asked after the rows were read, so that what goes
// meanwhile is not left out unnoticed.
static enum events read_events(struct client *c, struct event_row **rows, unsigned max, unsigned *n)
{
    struct worker *w = c->feed->w;
    const struct reader_ops *ops = w->reader->ops;
    uint64_t gone_key = 0;
    arena_reset(&w->arena);
    *rows = arena_take(&w->arena, max * sizeof **rows);
    for (;;) {
        if (!*rows || !ops->events(w->reader, c->after_key, *rows, max, n, &w->arena)) return EVENTS_FAILED;
        if (!ops->events_gone(w->reader, &gone_key)) return EVENTS_FAILED;
        if (c->after_key >= gone_key) return EVENTS_READ;
        if (!c->from_oldest) return EVENTS_GONE;
        c->after_key = gone_key; // the feed begins there
    }
}

static void event_gone(struct http_exchange *x)
{
    http_problem(x, 410, "event_gone", "events after this one are in the archive; begin without a cursor", NULL);
}

// --- Long poll

static void poll_answer(struct client *c, const struct event_row *rows, unsigned n)
{
    struct worker *w = c->feed->w;
    struct http_exchange *x = c->x;
    bool has_more = n > c->limit;
    if (has_more) n = c->limit;
    buf_clear(&w->out);
    list_open(&w->out);
    for (unsigned i = 0; i < n; i++)
        present_event(w->shell, &rows[i], &w->out);
    list_close(&w->out, has_more, STR(""));
    client_remove(c);
    api_respond_json(x, 200, &w->out);
}

static void poll_look(struct client *c, bool is_last)
{
    struct event_row *rows;
    unsigned n = 0;
    struct http_exchange *x = c->x;
    switch (read_events(c, &rows, c->limit + 1, &n)) {
    case EVENTS_READ:
        if (n > 0 || is_last) poll_answer(c, rows, n);
        return;
    case EVENTS_GONE:
        client_remove(c);
        event_gone(x);
        return;
    case EVENTS_FAILED:
        client_remove(c);
        read_failed(x);
        return;
    }
}

static void poll_is_over(void *arg)
{
    struct client *c = arg;
    c->timer = NULL;
    poll_look(c, true);
}

// The cursor: an event's id, or nothing for the beginning. False: answered.
static bool cursor_read(struct worker *w, struct http_exchange *x, struct str text, uint64_t *key)
{
    if (text.n == 0 || id_parse(w->shell->secret, "evt_", text, key)) return true;
    http_problem(x, 400, "invalid_cursor", "a cursor is the id of an event", NULL);
    return false;
}

static bool cursor_param(struct worker *w, struct http_exchange *x, uint64_t *key)
{
    struct str after;
    return param(w, x, "after", &after) && cursor_read(w, x, after, key);
}

void feed_poll(struct worker *w, struct http_exchange *x)
{
    static const char *const known[] = {"after", "limit", "wait", NULL};
    int64_t limit = 50, wait_s = 0;
    uint64_t after = 0;
    if (!params_only(x, known) || !param_int(w, x, "limit", 1, PAGE, &limit) ||
        !param_int(w, x, "wait", 0, 60, &wait_s))
        return;
    if (!cursor_param(w, x, &after)) return;
    struct client *c = client_add(w, x, CLIENT_POLL);
    if (!c) return;
    c->after_key = after;
    c->from_oldest = after == 0;
    c->limit = (unsigned)limit;
    if (wait_s > 0) c->timer = http_timer_after(x->worker, (unsigned)wait_s * 1000, poll_is_over, c);
    poll_look(c, c->timer == NULL);
}

// --- Streams

static void stream_end(struct client *c)
{
    struct http_exchange *x = c->x;
    client_remove(c);
    http_stream_end(x);
}

static void stream_frame(struct worker *w, const struct event_row *row, struct buf *frame)
{
    char id[ID_TEXT_SIZE];
    id_format(w->shell->secret, "evt_", row->key, id);
    buf_clear(&w->out);
    present_event(w->shell, row, &w->out);
    buf_printf(frame, "id: %s\nevent: %s\ndata: ", id, event_type_name(row->event.type));
    buf_str(frame, buf_view(&w->out));
    buf_z(frame, "\n\n");
}

static void stream_look(struct client *c);

static void stream_goes_on(void *arg)
{
    struct client *c = arg;
    c->timer = NULL;
    stream_look(c);
}

static void stream_look(struct client *c)
{
    struct worker *w = c->feed->w;
    struct event_row *rows;
    unsigned n = PAGE;
    while (n == PAGE && !c->timer) {
        if (http_stream_pending(c->x) > PENDING_MAX) { // a reader that never reads is ended by the server
            c->timer = http_timer_after(w->http, GO_ON_MS, stream_goes_on, c);
            return;
        }
        if (read_events(c, &rows, PAGE, &n) != EVENTS_READ) return stream_end(c); // it is told why when it comes back
        struct buf frame = {0};
        for (unsigned i = 0; i < n; i++)
            stream_frame(w, &rows[i], &frame);
        bool flows = n == 0 || (!frame.failed && http_stream_write(c->x, buf_view(&frame)));
        buf_free(&frame);
        if (n) c->after_key = rows[n - 1].key;
        if (n) c->from_oldest = false;
        if (!flows) return stream_end(c); // it does not read; Last-Event-ID brings it back
    }
}

static void pay_look(struct client *c)
{
    struct worker *w = c->feed->w;
    struct order_doc doc;
    bool found = false;
    arena_reset(&w->arena);
    if (!order_find(w, c->order_key, &doc, &found) || !found) return stream_end(c);
    if (doc.order.version == c->shown_version) return;
    c->shown_version = doc.order.version;
    buf_clear(&w->out);
    present_pay_state(w->shell, &doc, &w->out);
    struct buf frame = {0};
    buf_z(&frame, "event: state\ndata: ");
    buf_str(&frame, buf_view(&w->out));
    buf_z(&frame, "\n\n");
    bool flows = !frame.failed && http_stream_write(c->x, buf_view(&frame));
    buf_free(&frame);
    if (!flows || doc.order.state == ORDER_PAID || doc.order.state == ORDER_CANCELLED) stream_end(c);
}

static void heartbeat(void *arg)
{
    struct feed *f = arg;
    bool any = false;
    for (struct client *c = f->clients, *next; c; c = next) {
        next = c->next;
        if (c->kind == CLIENT_POLL) continue;
        if (http_stream_write(c->x, STR(": still here\n\n")))
            any = true;
        else
            stream_end(c);
    }
    f->heartbeat = any ? http_timer_after(f->w->http, HEARTBEAT_MS, heartbeat, f) : NULL;
}

static struct client *stream_begin(struct worker *w, struct http_exchange *x, enum client_kind kind)
{
    struct client *c = client_add(w, x, kind);
    if (!c) return NULL;
    http_stream_begin(x, 200, "text/event-stream", "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n");
    if (!w->feed->heartbeat) w->feed->heartbeat = http_timer_after(w->http, HEARTBEAT_MS, heartbeat, w->feed);
    return c;
}

void feed_stream(struct worker *w, struct http_exchange *x)
{
    static const char *const known[] = {"after", NULL};
    uint64_t after = 0;
    struct str last = http_header(x, "Last-Event-ID");
    bool from_now = str_eq(x->query, STR("after=latest")) && last.n == 0; // no word is an event's id
    if (!from_now && (!params_only(x, known) || !cursor_param(w, x, &after) || !cursor_read(w, x, last, &after)))
        return;
    uint64_t gone_key = 0;
    if (after && !w->reader->ops->events_gone(w->reader, &gone_key)) return read_failed(x);
    if (after < gone_key) return event_gone(x);
    struct client *c = stream_begin(w, x, CLIENT_STREAM);
    if (!c) return;
    if (from_now) after = atomic_load(&w->shell->last_event_key);
    c->after_key = after;
    c->from_oldest = after == 0;
    (void)http_stream_write(x, STR(": events\n\n"));
    stream_look(c);
}

void feed_pay_stream(struct worker *w, struct http_exchange *x, uint64_t order_key)
{
    struct order_doc doc;
    bool found = false;
    if (!order_find(w, order_key, &doc, &found) || !found)
        return http_problem(x, 404, "unknown_order", "there is no such order", NULL);
    struct client *c = stream_begin(w, x, CLIENT_PAY);
    if (!c) return;
    c->order_key = order_key;
    pay_look(c);
}

// --- Waking

static void feed_wake(void *arg)
{
    struct feed *f = arg;
    atomic_store(&f->is_posted, false); // before the reads: what is committed after them posts again
    for (struct client *c = f->clients, *next; c; c = next) {
        next = c->next;
        if (c->kind == CLIENT_POLL)
            poll_look(c, false);
        else if (c->kind == CLIENT_STREAM)
            stream_look(c);
        else
            pay_look(c);
    }
}

void feed_engine_events(void *shell, uint64_t last_event_key)
{
    struct shell *s = shell;
    atomic_store(&s->last_event_key, last_event_key);
    for (unsigned i = 0; i < s->n_workers; i++) {
        struct feed *f = s->workers[i].feed;
        if (atomic_load(&f->n_clients) == 0 || atomic_exchange(&f->is_posted, true)) continue;
        if (!http_worker_post(s->workers[i].http, feed_wake, f)) atomic_store(&f->is_posted, false);
    }
}

// Everybody who listens is told that this is the end: a stop does not wait for them.
void feed_end(void *arg)
{
    struct feed *f = arg;
    while (f->clients) {
        struct client *c = f->clients;
        if (c->kind == CLIENT_POLL)
            poll_look(c, true);
        else
            stream_end(c);
    }
}
