// SPDX-License-Identifier: Apache-2.0
// The turn, and what it needs around it: inbox, waits, timers. What is decided about each thing is in decide.c.
#include "base/mono.h"
#include "engine/inside.h"
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SHARE         (BATCH_MAX / 4) // of a turn, that nobody can take from requests, answers, deadlines
#define RETRY_MS      1000            // when the store refused (disk full)
#define DUES_PER_READ 1024
#define CONFLICTS_MAX 8 // of one thing in a row: then it is no race, and goes the way of what failed

// --- Inbox

void engine_post(struct engine *e, struct request *first, struct request *last, unsigned n)
{
    last->next = NULL;
    pthread_mutex_lock(&e->lock);
    if (e->in_last)
        e->in_last->next = first;
    else
        e->in_first = first;
    e->in_last = last;
    atomic_fetch_add(&e->backlog, n);
    pthread_cond_signal(&e->bell);
    pthread_mutex_unlock(&e->lock);
}

void engine_post_answer(struct engine *e, const struct answer *a)
{
    size_t n = a->code.n <= CHANNEL_CODE_MAX ? a->code.n : 0;
    struct answer_node *node = calloc(1, sizeof *node + n);
    // Without memory the answer is lost like one the network lost: its row still owes, and asks again.
    if (node) {
        node->a = *a;
        if (n) memcpy(node->code, a->code.p, n);
        node->a.code = (struct str){node->code, n};
    }
    pthread_mutex_lock(&e->lock);
    if (node) {
        *e->in_answers_end = node;
        e->in_answers_end = &node->next;
        atomic_fetch_add(&e->answers_backlog, 1);
    }
    atomic_fetch_sub(&e->calls_in_flight, 1);
    pthread_cond_signal(&e->bell);
    pthread_mutex_unlock(&e->lock);
}

void engine_wake(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->rung = true;
    pthread_cond_signal(&e->bell);
    pthread_mutex_unlock(&e->lock);
}

void engine_sleep(struct engine *e, int64_t ms)
{
    struct timespec until = mono_in_ms(ms > 0 ? ms : 0);
    pthread_mutex_lock(&e->lock);
    while (!e->rung && !e->in_first && !e->in_answers && !e->in_news.first && ms != 0) {
        int rc = ms < 0 ? pthread_cond_wait(&e->bell, &e->lock) : pthread_cond_timedwait(&e->bell, &e->lock, &until);
        if (rc == ETIMEDOUT) break;
    }
    e->rung = false;
    pthread_mutex_unlock(&e->lock);
}

unsigned engine_backlog(const struct engine *e)
{
    return atomic_load(&e->backlog);
}

const struct engine_stats *engine_stats(const struct engine *e)
{
    return &e->stats;
}

bool engine_is_idle(const struct engine *e)
{
    return atomic_load(&e->backlog) == 0 && atomic_load(&e->answers_backlog) == 0 &&
           atomic_load(&e->news_backlog) == 0 && atomic_load(&e->calls_in_flight) == 0 && !atomic_load(&e->in_turn);
}

int64_t engine_next_ms(const struct engine *e)
{
    return atomic_load(&e->next_ms);
}

static void inbox_take(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    if (e->in_first) {
        *e->requests_end = e->in_first;
        e->requests_end = &e->in_last->next;
        e->in_first = e->in_last = NULL;
    }
    if (e->in_answers) {
        *e->answers_end = e->in_answers;
        e->answers_end = e->in_answers_end;
        e->in_answers = NULL;
        e->in_answers_end = &e->in_answers;
    }
    news_take(e);
    pthread_mutex_unlock(&e->lock);
}

// To the end of those that were put off; it still counts as not taken.
static void put_off_append(struct engine *e, struct request *r)
{
    r->next = NULL;
    *e->put_off_end = r;
    e->put_off_end = &r->next;
}

static void request_put_off(struct engine *e, struct request *r)
{
    put_off_append(e, r);
    atomic_fetch_add(&e->backlog, 1);
}

static void answer_put_off(struct engine *e, struct answer_node *node)
{
    node->next = NULL;
    *e->answers_end = node;
    e->answers_end = &node->next;
    atomic_fetch_add(&e->answers_backlog, 1);
}

// --- Replies

void reply_ok(struct request *r, int status)
{
    r->reply.status = status;
    r->reply.code = NULL;
}

void reply_problem(struct request *r, int status, const char *code, const char *fmt, ...)
{
    r->reply.status = status;
    r->reply.code = code;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(r->reply.detail, sizeof r->reply.detail, fmt, ap);
    va_end(ap);
}

void reply_present(struct engine *e, struct request *r, int status, const struct document *d)
{
    reply_ok(r, status);
    buf_clear(&r->reply.body);
    e->o.present(e->o.ctx, d, &r->reply.body);
    if (r->reply.body.failed) reply_problem(r, 503, "overloaded", "out of memory");
}

static void idem_stop(struct engine *e, struct request *r)
{
    for (struct request **at = &e->idem_running[bucket_of(r->idem_scope.a)]; *at; at = &(*at)->chain) {
        if (*at != r) continue;
        *at = r->chain;
        return;
    }
}

void idem_run(struct engine *e, struct request *r)
{
    struct request **at = &e->idem_running[bucket_of(r->idem_scope.a)];
    r->chain = *at;
    *at = r;
}

struct request *idem_find_running(const struct engine *e, struct hash128 scope)
{
    struct request *r = e->idem_running[bucket_of(scope.a)];
    while (r && (r->idem_scope.a != scope.a || r->idem_scope.b != scope.b))
        r = r->chain;
    return r;
}

static void reply_out(struct engine *e, struct request *r)
{
    if (r->has_idem) idem_stop(e, r);
    e->o.reply(e->o.ctx, r);
}

// --- Waits

static struct wait *wait_new(struct engine *e, struct request *r, uint64_t order_key, int64_t until_ms)
{
    struct wait *w = e->n_waits < WAITS_MAX ? calloc(1, sizeof *w) : NULL;
    if (!w) return NULL;
    w->request = r;
    w->order_key = order_key;
    w->until_ms = until_ms;
    w->chain = e->waits_by_order[bucket_of(order_key)];
    e->waits_by_order[bucket_of(order_key)] = w;
    e->n_waits++;
    return w;
}

static bool wait_add(struct engine *e, struct request *r, uint64_t order_key)
{
    struct wait *w = wait_new(e, r, order_key, e->now_ms + e->o.reply_wait_ms);
    if (!w) return false;
    *e->waits_end = w;
    e->waits_end = &w->next;
    return true;
}

// One that is over, but could not be dealt with in this turn.
static bool wait_put_back(struct engine *e, struct request *r, uint64_t order_key)
{
    struct wait *w = wait_new(e, r, order_key, e->now_ms);
    if (!w) return false;
    w->next = e->waits;
    e->waits = w;
    if (!w->next) e->waits_end = &w->next;
    return true;
}

// Takes the oldest wait off when it is over (or answered), and its request if that still waits.
static bool wait_take(struct engine *e, struct request **request, uint64_t *order_key)
{
    struct wait *w = e->waits;
    if (!w || (w->request && w->until_ms > e->now_ms)) return false;
    e->waits = w->next;
    if (!e->waits) e->waits_end = &e->waits;
    e->n_waits--;
    struct wait **at = &e->waits_by_order[bucket_of(w->order_key)];
    while (*at != w)
        at = &(*at)->chain;
    *at = w->chain;
    *request = w->request;
    *order_key = w->order_key;
    free(w);
    return true;
}

// --- Gather

struct item *item_add(struct engine *e, enum item_kind kind)
{
    struct item *it = &e->items[e->n_items++];
    *it = (struct item){.kind = kind};
    return it;
}

static void gather_answers(struct engine *e)
{
    for (unsigned n = 0; e->answers && n < SHARE; n++) {
        struct answer_node *node = e->answers;
        e->answers = node->next;
        if (!e->answers) e->answers_end = &e->answers;
        atomic_fetch_sub(&e->answers_backlog, 1);
        item_add(e, ITEM_ANSWER)->answer = node;
    }
}

bool item_claim(struct engine *e, uint64_t key)
{
    if (key == 0) return true;
    unsigned at = bucket_of(key) % CLAIMS;
    while (e->claims[at] && e->claims[at] != key)
        at = (at + 1) % CLAIMS;
    bool is_first = e->claims[at] == 0;
    e->claims[at] = key;
    return is_first;
}

static void gather_waits(struct engine *e)
{
    struct request *r;
    uint64_t order_key;
    for (unsigned n = 0; n < SHARE && wait_take(e, &r, &order_key); n++) {
        if (!r) continue;
        struct item *it = item_add(e, ITEM_WAIT_OVER);
        it->request = r;
        it->order_key = order_key;
        it->again = !item_claim(e, order_key);
    }
}

static void gather_dues(struct engine *e)
{
    struct timer_entry due;
    unsigned room = BATCH_MAX - e->n_items;
    unsigned most = e->requests || e->put_off ? (room > SHARE ? room - SHARE : room / 2) : room;
    for (unsigned n = 0; n < most && timers_take(&e->timers, e->now_ms, &due); n++) {
        struct item *it = item_add(e, ITEM_DUE);
        it->order_key = due.order_key;
        it->again = !item_claim(e, due.order_key);
    }
}

static void gather_request(struct engine *e, struct request *r)
{
    r->next = NULL;
    atomic_fetch_sub(&e->backlog, 1);
    item_add(e, ITEM_REQUEST)->request = r;
}

// What was put off comes first, the oldest of each claim; the others stay where they are. So many requests for one
// order go through one a turn, in their order, and keep nobody else waiting.
static void gather_put_off(struct engine *e)
{
    struct request **at = &e->put_off;
    for (unsigned n = 0; *at && n < 2 * SHARE && e->n_items < BATCH_MAX;) {
        struct request *r = *at;
        if (!item_claim(e, request_claim(r))) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        if (!*at) e->put_off_end = at;
        gather_request(e, r);
        n++;
    }
}

static void gather_requests(struct engine *e)
{
    while (e->requests && e->n_items < BATCH_MAX) {
        struct request *r = e->requests;
        e->requests = r->next;
        if (!e->requests) e->requests_end = &e->requests;
        if (item_claim(e, request_claim(r)))
            gather_request(e, r);
        else
            put_off_append(e, r);
    }
}

static void gather(struct engine *e)
{
    arena_reset(&e->arena);
    memset(e->claims, 0, sizeof e->claims);
    e->n_items = 0;
    inbox_take(e);
    gather_answers(e);
    news_gather(e, SHARE);
    gather_waits(e);
    gather_dues(e);
    gather_put_off(e);
    gather_requests(e);
}

// --- Load

// Of answers, notifications and operators' words only the attempt was known; now its order is.
static void put_off_late_seconds(struct engine *e)
{
    for (unsigned i = 0; i < e->n_items; i++) {
        struct item *it = &e->items[i];
        for (unsigned w = 0; w < it->n_wants; w++)
            if (it->wants[w].kind == WANT_PAYMENT && it->wants[w].found)
                it->again = !item_claim(e, it->wants[w].bundle->order.key);
    }
}

static enum store_outcome load(struct engine *e)
{
    unsigned n = 0;
    for (unsigned i = 0; i < e->n_items; i++)
        if (!e->items[i].again) n += item_wants_most(&e->items[i]);
    struct want *all = n ? arena_take(&e->arena, n * sizeof *all) : NULL;
    if (n == 0) return STORE_DONE;
    if (!all) return STORE_REFUSED;
    n = 0;
    for (unsigned i = 0; i < e->n_items; i++) {
        struct item *it = &e->items[i];
        if (it->again) continue;
        it->wants = all + n;
        item_want(it);
        n += it->n_wants;
    }
    if (!e->o.store->ops->load(e->o.store, all, n, &e->arena)) return STORE_UNKNOWN;
    put_off_late_seconds(e);
    return STORE_DONE;
}

// --- Commit

// Adjustments of stock go first: they were computed from the counts as loaded.
static bool goes_first(const struct change *c)
{
    return c->kind == CHANGE_STOCK_ADD;
}

static enum store_outcome commit(struct engine *e)
{
    unsigned n = 0;
    for (int first = 1; first >= 0; first--) {
        for (unsigned i = 0; i < e->n_items; i++) {
            struct item *it = &e->items[i];
            if (!it->change || goes_first(it->change) != first) continue;
            e->changes[n] = *it->change;
            it->change = &e->changes[n++];
        }
    }
    if (n == 0) return STORE_DONE;
    news_consume(e, &n);
    atomic_fetch_add_explicit(&e->stats.commits, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&e->stats.changes, n, memory_order_relaxed);
    return e->o.store->ops->apply(e->o.store, e->changes, n, &e->arena);
}

// --- Release

static void put_off(struct engine *e, struct item *it)
{
    it->again = true;
    switch (it->kind) {
    case ITEM_REQUEST: request_put_off(e, it->request); break;
    case ITEM_ANSWER: answer_put_off(e, it->answer); break;
    case ITEM_DUE: (void)timers_add(&e->timers, e->now_ms, it->order_key); break;
    case ITEM_NEWS: news_put_off(e, it->news); break;
    case ITEM_WAIT_OVER:
        if (!wait_put_back(e, it->request, it->order_key)) {
            reply_problem(it->request, 503, "overloaded", "the request was carried out; ask for its order");
            reply_out(e, it->request);
        }
        break;
    }
}

static void release_conflict(struct engine *e, struct item *it)
{
    struct request *r = it->request;
    atomic_fetch_add_explicit(&e->stats.conflicts, 1, memory_order_relaxed);
    if (it->kind == ITEM_DUE) { // the row is open, so it comes again; a moment later, should it be stuck
        (void)timers_add(&e->timers, e->now_ms + RETRY_MS / 10, it->order_key);
    } else if (it->kind == ITEM_ANSWER) {
        if (++it->answer->n_conflicts <= CONFLICTS_MAX) put_off(e, it); // else lost: its row asks again
    } else if (it->kind == ITEM_NEWS) {
        // One that was touched since it was archived is archived anew, another time.
        if (it->news->from != FROM_ARCHIVE && ++it->news->n_conflicts <= CONFLICTS_MAX)
            put_off(e, it);
        else
            news_failed(e, it);
    } else if (it->kind == ITEM_WAIT_OVER) {
        put_off(e, it);
    } else if (r->finishing) {
        reply_out(e, r); // remembered by somebody else meanwhile
    } else if (++r->n_conflicts > CONFLICTS_MAX) {
        reply_problem(r, 503, "conflict", "others keep changing the same thing; nothing was changed");
        reply_out(e, r);
    } else {
        if (r->has_idem) idem_stop(e, r);
        put_off(e, it);
    }
}

// A cancelled order cannot take its stock again: decided once more, without. Anything else that is short has met rows
// that cannot be, and is treated like a conflict, which is bounded.
static void release_short(struct engine *e, struct item *it)
{
    struct request *r = it->request;
    bool again = it->kind == ITEM_REQUEST && (r->kind == REQUEST_NOTICE || r->kind == REQUEST_RESOLVE);
    bool *is_short = it->kind == ITEM_ANSWER ? &it->answer->stock_is_short : again ? &r->stock_is_short : NULL;
    if (is_short && !*is_short) {
        *is_short = true;
        if (again && r->has_idem) idem_stop(e, r);
        put_off(e, it);
    } else {
        release_conflict(e, it);
    }
}

// The store said no to this one change; the rest of the turn went through.
static void release_refused_change(struct engine *e, struct item *it)
{
    struct request *r = it->request;
    switch (it->change->result) {
    case APPLY_DONE: break;
    case APPLY_CONFLICT: release_conflict(e, it); break;
    case APPLY_SHORT:
        if (it->kind == ITEM_REQUEST && r->kind == REQUEST_PLACE) {
            struct str sku = it->change->short_sku;
            reply_problem(r, 409, "insufficient_stock", "not enough of sku %.*s", (int)sku.n, sku.p);
            (void)snprintf(r->reply.sku, sizeof r->reply.sku, "%.*s", (int)sku.n, sku.p);
            reply_out(e, r);
            break;
        }
        release_short(e, it);
        break;
    case APPLY_MISSING:
    case APPLY_EXISTS:
    case APPLY_FULL:
        if (r->kind == REQUEST_CASE_CLOSE && it->change->result == APPLY_MISSING)
            reply_problem(r, 404, "unknown_case", "there is no such case");
        else if (r->kind == REQUEST_CASE_CLOSE)
            reply_problem(r, 409, "case_closed", "it was closed, with another note");
        else if (it->change->result == APPLY_MISSING)
            reply_problem(r, 404, "unknown_sku", "there is no such sku");
        else if (it->change->result == APPLY_EXISTS)
            reply_problem(r, 409, "sku_exists", "stock is given once, at creation; adjust it with .../stock");
        else
            reply_problem(r, 409, "cart_full", "a cart has at most %d lines", CART_LINES_MAX);
        reply_out(e, r);
        break;
    }
}

static void release_small_request(struct engine *e, struct item *it)
{
    struct request *r = it->request;
    if (r->kind == REQUEST_SKU_PUT) {
        struct document d = {.kind = DOCUMENT_SKU, .sku = &it->change->after};
        reply_present(e, r, it->change->created ? 201 : 200, &d);
    }
    if (r->kind == REQUEST_CASES) r->cases.n_opened = it->change->n_opened;
    reply_out(e, r);
}

static void release_placing(struct engine *e, struct item *it)
{
    struct request *r = it->request;
    if (it->bundle->order.reply_state == ORDER_STATE_0 && wait_add(e, r, it->bundle->order.key)) return;
    reply_order(e, r, it);
    reply_out(e, r);
}

// The reply of a check is remembered before it goes out.
static void check_out(struct engine *e, struct request *r)
{
    if (r->has_idem && !r->reply.code) {
        r->finishing = true;
        request_put_off(e, r);
    } else {
        reply_out(e, r);
    }
}

static void wait_out(struct engine *e, struct request *r, const struct item *it)
{
    reply_order(e, r, it);
    if (r->kind == REQUEST_CHECK || r->kind == REQUEST_PAY)
        check_out(e, r);
    else
        reply_out(e, r);
}

static bool wait_is_over(const struct wait *w, const struct item *it)
{
    if (!w->request || w->order_key != it->bundle->order.key) return false;
    if (w->request->kind == REQUEST_PLACE) return it->bundle->order.state != ORDER_PLACED;
    if (w->request->kind == REQUEST_PAY) return pay_is_ready(w->request, it->bundle);
    return it->kind == ITEM_ANSWER;
}

// Whoever waited for this order hears of it: a placing once it left `placed`, a check when a question was answered.
static void release_waits(struct engine *e, const struct item *it)
{
    for (struct wait *w = e->waits_by_order[bucket_of(it->bundle->order.key)]; w; w = w->chain) {
        if (!wait_is_over(w, it)) continue;
        struct request *r = w->request;
        w->request = NULL;
        wait_out(e, r, it);
    }
}

static void release_wait_over(struct engine *e, struct item *it)
{
    if (it->bundle) {
        wait_out(e, it->request, it);
        return;
    }
    reply_problem(it->request, 503, "store_refused", "it was carried out, but its order cannot be read now");
    reply_out(e, it->request);
}

static void release_request(struct engine *e, struct item *it)
{
    struct request *r = it->request;
    if (it->is_answered) {
        reply_out(e, r);
    } else if (r->kind == REQUEST_PLACE && !it->waits) {
        release_placing(e, it);
    } else if (!it->waits) {
        release_small_request(e, it);
    } else if (!wait_add(e, r, it->bundle->order.key)) {
        reply_problem(r, 503, "overloaded", "too many requests wait for a provider");
        reply_out(e, r);
    }
}

static void release_replies(struct engine *e, struct item *it)
{
    if (it->bundle && e->n_waits) release_waits(e, it);
    if (it->kind == ITEM_REQUEST) release_request(e, it);
    if (it->kind == ITEM_WAIT_OVER) release_wait_over(e, it);
    if (it->kind == ITEM_NEWS) news_done(e, it);
}

static void count_events(struct engine *e, const struct step *s)
{
    _Atomic uint64_t *counter[] = {
        [EVENT_ORDER_PLACED] = &e->stats.placed,
        [EVENT_ORDER_PAID] = &e->stats.paid,
        [EVENT_ORDER_CANCELLED] = &e->stats.cancelled,
        [EVENT_PAYMENT_LATE] = &e->stats.late,
        [EVENT_PAYMENT_DUPLICATE] = &e->stats.duplicate,
        [EVENT_PAYMENT_MISMATCH] = &e->stats.mismatch,
        [EVENT_REFUND_FAILED] = NULL,
    };
    for (unsigned i = 0; i < s->n_events; i++)
        if (counter[s->events[i].type]) atomic_fetch_add_explicit(counter[s->events[i].type], 1, memory_order_relaxed);
}

static void count_traces(struct engine *e, const struct step *s, enum policy policy)
{
    for (unsigned i = 0; i < s->n_traces; i++) {
        const struct trace *t = &s->traces[i];
        if (t->kind == TRACE_CHECKBACK)
            atomic_fetch_add_explicit(&e->stats.checkbacks[policy][t->answer], 1, memory_order_relaxed);
        if (t->kind == TRACE_PROVIDER)
            atomic_fetch_add_explicit(&e->stats.calls[t->channel][t->method][t->outcome], 1, memory_order_relaxed);
    }
}

static void release_calls(struct engine *e, const struct item *it)
{
    for (unsigned i = 0; i < it->step->n_calls; i++) {
        const struct call *c = &it->step->calls[i];
        struct channel *ch = e->o.channels[c->channel];
        // A channel that is off or has no room asks nothing; the row goes on owing and asks later.
        atomic_fetch_add(&e->calls_in_flight, 1);
        if (!ch || !ch->ops->submit(ch, c, it->text.subject, e->now_ms)) atomic_fetch_sub(&e->calls_in_flight, 1);
    }
}

static void arm(struct engine *e, const struct item *it)
{
    const struct order *o = &it->bundle->order;
    if (o->due_ms == TIME_NEVER || (o->due_ms == it->due_before_ms && it->kind != ITEM_DUE)) return;
    (void)timers_add(&e->timers, o->due_ms, o->key);
}

static bool is_committed(const struct item *it)
{
    return it->change && it->change->kind == CHANGE_ORDER && it->change->result == APPLY_DONE;
}

// Effects in one fixed order: replies, events, messages, calls.
static void release(struct engine *e)
{
    uint64_t last_event_key = e->last_event_key;
    for (unsigned i = 0; i < e->n_items; i++) {
        struct item *it = &e->items[i];
        if (is_committed(it)) {
            arm(e, it);
            count_events(e, it->step);
            count_traces(e, it->step, it->bundle->order.policy);
            if (it->step->n_events) e->last_event_key = it->change->first_event_key + it->step->n_events - 1;
        }
        if (it->again)
            put_off(e, it);
        else if (it->change && it->change->result != APPLY_DONE)
            release_refused_change(e, it);
        else
            release_replies(e, it);
        if (it->change && it->change->kind == CHANGE_CASE)
            atomic_fetch_add_explicit(&e->stats.cases, it->change->n_opened, memory_order_relaxed);
    }
    if (e->last_event_key != last_event_key) {
        if (e->o.events) e->o.events(e->o.ctx, e->last_event_key);
        if (e->o.broker && e->o.broker->ops->events) e->o.broker->ops->events(e->o.broker, e->last_event_key);
    }
    for (unsigned i = 0; i < e->n_items; i++) {
        if (!is_committed(&e->items[i])) continue;
        broker_tell(e, &e->items[i]);
        release_calls(e, &e->items[i]);
    }
}

// Nothing was written. Whoever waits is told so; deadlines come again; answers are asked for again by their rows.
static void release_nothing(struct engine *e)
{
    for (unsigned i = 0; i < e->n_items; i++) {
        struct item *it = &e->items[i];
        if (it->again) {
            put_off(e, it);
        } else if (it->kind == ITEM_DUE) {
            (void)timers_add(&e->timers, e->now_ms + RETRY_MS, it->order_key);
        } else if (it->kind == ITEM_NEWS) {
            news_failed(e, it);
        } else if (it->request) {
            reply_problem(it->request, 503, "store_refused",
                          it->kind == ITEM_WAIT_OVER || it->request->finishing
                              ? "the request was carried out, but its answer cannot be recorded now"
                              : "the store cannot write now; nothing was changed");
            reply_out(e, it->request);
        }
    }
}

static void free_answers(struct engine *e)
{
    for (unsigned i = 0; i < e->n_items; i++) {
        struct item *it = &e->items[i];
        if (it->kind == ITEM_ANSWER && !it->again) free(it->answer);
        if (it->kind == ITEM_NEWS && !it->again) free(it->news);
    }
}

static int64_t next_ms(const struct engine *e)
{
    if (e->requests || e->put_off || e->answers || e->news.first) return 0; // at once, whatever the clock says
    int64_t next = timers_next_ms(&e->timers);
    if (e->broker_ms < next) next = e->broker_ms;
    if (e->waits && e->waits->until_ms < next) next = e->waits->until_ms;
    return next;
}

enum turn_result engine_turn(struct engine *e, int64_t now_ms)
{
    atomic_store(&e->in_turn, true);
    if (now_ms > e->now_ms) e->now_ms = now_ms; // a clock that steps back un-expires nothing
    gather(e);
    enum store_outcome outcome = load(e);
    for (unsigned i = 0; i < e->n_items && outcome == STORE_DONE; i++)
        if (!e->items[i].again) item_decide(e, &e->items[i]);

    // THE LAW: whatever anyone may conclude from (a reply, an acknowledged notification, an event, a question to a
    // provider) leaves only after the rows it speaks of are durable, because a crash in between must not make it a lie.
    // commit() must be before release(), and nothing above commit() has an effect outside.
    if (outcome == STORE_DONE) outcome = commit(e);
    switch (outcome) {
    case STORE_DONE: release(e); break;
    case STORE_REFUSED: release_nothing(e); break;
    case STORE_UNKNOWN: return TURN_FATAL;
    }

    free_answers(e);
    e->broker_ms = e->o.broker && e->o.broker->ops->tick ? e->o.broker->ops->tick(e->o.broker, e->now_ms) : INT64_MAX;
    if (e->o.turn_end) e->o.turn_end(e->o.ctx);
    atomic_fetch_add_explicit(&e->stats.turns, 1, memory_order_relaxed);
    atomic_store(&e->next_ms, next_ms(e));
    atomic_store(&e->in_turn, false);
    return TURN_DONE;
}

// --- Life

// What is owed stands in the rows: a start reads the open orders and owes the same again.
static bool recover(struct engine *e)
{
    struct due_row rows[DUES_PER_READ];
    uint64_t after = 0;
    for (;;) {
        int n = e->o.store->ops->dues(e->o.store, after, rows, DUES_PER_READ);
        if (n < 0) return false;
        if (n == 0) return true;
        for (int i = 0; i < n; i++)
            if (!timers_add(&e->timers, rows[i].due_ms, rows[i].order_key)) return false;
        after = rows[n - 1].order_key;
    }
}

struct engine *engine_new(const struct engine_options *o, char why[160])
{
    struct engine *e = calloc(1, sizeof *e);
    if (!e || !timers_init(&e->timers)) {
        free(e);
        (void)snprintf(why, 160, "out of memory");
        return NULL;
    }
    e->o = *o;
    e->keys = (struct keygen){.last = o->store->last_key, .node = o->node};
    e->now_ms = o->store->last_ms;
    mono_cond_init(&e->bell);
    pthread_mutex_init(&e->lock, NULL);
    e->in_answers_end = &e->in_answers;
    e->requests_end = &e->requests;
    e->answers_end = &e->answers;
    e->waits_end = &e->waits;
    e->put_off_end = &e->put_off;
    e->broker_ms = o->broker && o->broker->ops->tick ? 0 : INT64_MAX;
    news_init(&e->in_news);
    news_init(&e->news);
    if (!recover(e)) {
        (void)snprintf(why, 160, "cannot read the open orders");
        engine_free(e);
        return NULL;
    }
    atomic_store(&e->next_ms, next_ms(e));
    return e;
}

static void give_back(struct engine *e, struct request *r)
{
    reply_problem(r, 503, "stopping", "the server is stopping");
    reply_out(e, r);
}

void engine_free(struct engine *e)
{
    if (!e) return;
    inbox_take(e);
    *e->put_off_end = e->requests;
    while (e->put_off) {
        struct request *r = e->put_off;
        e->put_off = r->next;
        give_back(e, r);
    }
    while (e->answers) {
        struct answer_node *node = e->answers;
        e->answers = node->next;
        free(node);
    }
    while (e->waits) {
        struct wait *w = e->waits;
        e->waits = w->next;
        if (w->request) give_back(e, w->request);
        free(w);
    }
    news_free(e);
    // After a fatal turn what it had taken is still in its hands.
    for (unsigned i = 0; atomic_load(&e->in_turn) && i < e->n_items; i++) {
        if (e->items[i].kind == ITEM_ANSWER) free(e->items[i].answer);
        if (e->items[i].kind == ITEM_NEWS) free(e->items[i].news);
    }
    arena_free(&e->arena);
    timers_close(&e->timers);
    pthread_cond_destroy(&e->bell);
    pthread_mutex_destroy(&e->lock);
    free(e);
}
