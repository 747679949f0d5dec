// SPDX-License-Identifier: Apache-2.0
#include "fakes.h"
#include <stdio.h>
#include <stdlib.h>

#define START_MS INT64_C(1700000000000)

static void note(struct world *w, char c)
{
    size_t n = strlen(w->log);
    if (n + 1 < LOG_MAX) w->log[n] = c;
}

static struct fake_order *find(struct world *w, enum want_kind kind, uint64_t key)
{
    for (unsigned i = 0; i < w->n_orders; i++) {
        struct bundle *b = &w->orders[i].bundle;
        if (kind == WANT_ORDER && b->order.key == key) return &w->orders[i];
        for (unsigned p = 0; kind == WANT_PAYMENT && p < b->n_payments; p++)
            if (b->payment[p].key == key) return &w->orders[i];
    }
    return NULL;
}

static void load_one(struct world *w, struct want *x, struct arena *a)
{
    x->found = false;
    if (x->kind == WANT_SKU) {
        x->found = true;
        x->sku = (struct sku){.sku = x->text,
                              .title = STR("Title"),
                              .currency = STR("CNY"),
                              .price_fen = 100,
                              .stock = {.available = w->available}};
    } else if (x->kind == WANT_CART) {
        x->found = w->has_cart;
        x->n_lines = w->has_cart;
        x->lines = arena_take(a, sizeof *x->lines);
        x->lines[0] = (struct cart_line){
            .quantity = 1, .sku = {.sku = STR("A"), .title = STR("Title"), .currency = STR("CNY"), .price_fen = 100}};
    } else if (x->kind == WANT_IDEM) {
        x->found = w->has_idem && w->idem.scope.a == x->scope.a && w->idem.scope.b == x->scope.b;
        x->idem = w->idem;
    } else if (x->kind == WANT_ORDER || x->kind == WANT_PAYMENT) {
        const struct fake_order *o = find(w, x->kind, x->key);
        if (!o) return;
        x->found = true;
        x->bundle = arena_take(a, sizeof *x->bundle);
        *x->bundle = o->bundle;
        x->order_text = (struct order_text){.subject = str_of(o->subject), .currency = STR("CNY")};
    }
}

static bool fake_load(struct store *s, struct want *wants, unsigned n, struct arena *a)
{
    struct world *w = (struct world *)s;
    for (unsigned i = 0; i < n && !w->load_fails; i++)
        load_one(w, &wants[i], a);
    return !w->load_fails;
}

static void store_order(struct world *w, const struct change *c)
{
    struct fake_order *o = find(w, WANT_ORDER, c->bundle->order.key);
    if (!o && w->n_orders < FAKE_ORDERS) o = &w->orders[w->n_orders++];
    if (!o) abort();
    o->bundle = *c->bundle;
    for (unsigned p = 0; p < o->bundle.n_payments; p++)
        o->bundle.payment[p].code = STR("code");
    (void)snprintf(o->subject, sizeof o->subject, "subject");
}

static enum store_outcome fake_apply(struct store *s, struct change *changes, unsigned n, struct arena *a)
{
    (void)a;
    struct world *w = (struct world *)s;
    note(w, 'A');
    w->n_applied++;
    w->n_changes += n;
    w->n_kinds = 0;
    for (unsigned i = 0; i < n && i < BATCH_KINDS; i++)
        w->kinds[w->n_kinds++] = changes[i].kind;
    if (w->outcome != STORE_DONE) return w->outcome;
    for (unsigned i = 0; i < n; i++) {
        struct change *c = &changes[i];
        c->result = w->result;
        w->result = APPLY_DONE;
        c->short_sku = STR("A");
        w->last_change = *c;
        if (c->result != APPLY_DONE) continue;
        if (c->kind == CHANGE_ORDER) store_order(w, c);
        if (c->cart.n) w->has_cart = c->kind == CHANGE_CART_PUT;
        if (c->idem) {
            w->idem = *c->idem;
            w->idem.answer = (struct str){NULL, 0};
            w->has_idem = true;
        }
    }
    return STORE_DONE;
}

static int fake_dues(struct store *s, uint64_t after_key, struct due_row *rows, unsigned max)
{
    const struct world *w = (struct world *)s;
    unsigned n = 0;
    for (unsigned i = 0; i < w->n_orders && n < max; i++) {
        const struct order *o = &w->orders[i].bundle.order;
        if (o->key > after_key && o->due_ms != TIME_NEVER) rows[n++] = (struct due_row){o->key, o->due_ms};
    }
    return (int)n;
}

static const struct store_ops STORE_OPS = {.load = fake_load, .apply = fake_apply, .dues = fake_dues};

static bool fake_submit(struct channel *c, const struct call *call, struct str subject, int64_t now_ms)
{
    (void)subject;
    (void)now_ms;
    struct world *w = (struct world *)((char *)c - offsetof(struct world, channel));
    note(w, 'C');
    w->n_calls++;
    w->last_call = *call;
    return !w->channel_is_full;
}

static const struct channel_ops CHANNEL_OPS = {.id = CHANNEL_ALIPAY, .submit = fake_submit};

// --- The broker

static bool broker_submit(struct broker *b, const struct send *s, int64_t now_ms)
{
    (void)now_ms;
    struct world *w = (struct world *)((char *)b - offsetof(struct world, broker));
    note(w, 'B');
    if (w->broker.is_full) return false;
    w->broker.n_sends++;
    w->broker.last_send = *s;
    return true;
}

static void broker_acknowledge(struct broker *b, uint64_t receipt, bool is_done, int64_t now_ms)
{
    (void)now_ms;
    struct world *w = (struct world *)((char *)b - offsetof(struct world, broker));
    note(w, is_done ? 'K' : 'G');
    if (w->broker.n_acks == FAKE_ACKS) abort();
    w->broker.acks[w->broker.n_acks] = receipt;
    w->broker.is_done[w->broker.n_acks++] = is_done;
}

static void broker_events(struct broker *b, uint64_t last_event_key)
{
    struct world *w = (struct world *)((char *)b - offsetof(struct world, broker));
    note(w, 'O');
    w->broker.last_event_key = last_event_key;
}

static void broker_committed(struct broker *b, const struct message_row *rows, unsigned n, int64_t now_ms)
{
    (void)now_ms;
    struct world *w = (struct world *)((char *)b - offsetof(struct world, broker));
    note(w, 'B');
    w->broker.n_shown += n;
    w->broker.last_shown = rows[n - 1];
}

static uint64_t broker_consumes(struct broker *b, const uint64_t *receipts, unsigned n)
{
    (void)receipts;
    struct fake_broker *f = (struct fake_broker *)b;
    f->n_asked = n;
    return f->up_to;
}

static int64_t broker_tick(struct broker *b, int64_t now_ms)
{
    (void)now_ms;
    return ((struct fake_broker *)b)->next_ms;
}

static const struct broker_ops REMOTE_OPS = {
    .submit = broker_submit, .acknowledge = broker_acknowledge, .events = broker_events};

static bool broker_takes_nothing(struct broker *b, const struct send *s, int64_t now_ms)
{
    (void)b, (void)s, (void)now_ms;
    abort(); // nothing is submitted to a broker that shares the commits
}

static const struct broker_ops EMBEDDED_OPS = {.submit = broker_takes_nothing,
                                               .acknowledge = broker_acknowledge,
                                               .committed = broker_committed,
                                               .consumes = broker_consumes,
                                               .tick = broker_tick};

void world_say(struct world *w, struct broker_news n)
{
    engine_post_news(w->engine, &n);
}

void world_reply(void *ctx, struct request *r)
{
    struct world *w = ctx;
    note(w, 'R');
    if (w->n_replies < 64) w->replied[w->n_replies] = r;
    w->n_replies++;
    w->last_reply = r;
    w->last_status = r->reply.status;
    (void)snprintf(w->last_code, sizeof w->last_code, "%s", r->reply.code ? r->reply.code : "");
}

static void on_events(void *ctx, uint64_t last)
{
    (void)last;
    note(ctx, 'E');
}

static void on_turn_end(void *ctx)
{
    note(ctx, 'T');
}

void world_present(void *ctx, const struct document *d, struct buf *out)
{
    (void)ctx;
    if (d->order) buf_printf(out, "%s v%u", order_state_name(d->order->order.state), d->order->order.version);
}

static struct world *world_make(const struct rules *rules, bool has_broker)
{
    struct world *w = calloc(1, sizeof *w);
    char why[160];
    w->orders = calloc(FAKE_ORDERS, sizeof *w->orders);
    w->store.ops = &STORE_OPS;
    w->channel.ops = &CHANNEL_OPS;
    w->available = 100;
    w->now_ms = START_MS;
    w->broker.base.ops = rules->broker == BROKER_EMBEDDED ? &EMBEDDED_OPS : &REMOTE_OPS;
    w->broker.next_ms = INT64_MAX;
    struct engine_options o = {.store = &w->store,
                               .channels = {[CHANNEL_ALIPAY] = &w->channel},
                               .broker = has_broker ? &w->broker.base : NULL,
                               .rules = *rules,
                               .reply_wait_ms = 3000,
                               .ctx = w,
                               .reply = world_reply,
                               .present = world_present,
                               .events = on_events,
                               .turn_end = on_turn_end};
    w->engine = engine_new(&o, why);
    return w;
}

struct world *world_new(const struct rules *rules)
{
    return world_make(rules, false);
}

struct world *world_new_with_broker(const struct rules *rules)
{
    return world_make(rules, true);
}

void world_free(struct world *w)
{
    engine_free(w->engine);
    free(w->orders);
    free(w);
}

enum turn_result world_turn(struct world *w, int64_t by_ms)
{
    w->now_ms += by_ms;
    memset(w->log, 0, sizeof w->log);
    return engine_turn(w->engine, w->now_ms);
}

void world_post(struct world *w, struct request *r)
{
    engine_post(w->engine, r, r, 1);
}

struct fake_order *world_order(struct world *w, unsigned i)
{
    return &w->orders[i];
}

struct request *place_request(enum channel_id channel)
{
    struct request *r = calloc(1, sizeof *r);
    r->kind = REQUEST_PLACE;
    r->place.channel = channel;
    r->place.policy = POLICY_REVERSE;
    r->place.pay_within_ms = 300000;
    r->place.amount_fen = 500;
    r->place.text.currency = STR("CNY");
    r->place.text.subject = STR("subject");
    return r;
}

struct request *order_request(enum request_kind kind, uint64_t order_key)
{
    struct request *r = calloc(1, sizeof *r);
    r->kind = kind;
    r->order_key = order_key;
    if (kind == REQUEST_CANCEL) r->cancel_reason = REASON_BUYER;
    return r;
}

struct answer answer_of(const struct world *w, enum outcome outcome, enum fact fact)
{
    return (struct answer){.payment_key = w->last_call.payment_key,
                           .refund_key = w->last_call.refund_key,
                           .channel = CHANNEL_ALIPAY,
                           .method = w->last_call.method,
                           .outcome = outcome,
                           .fact = fact,
                           .asked_ms = w->now_ms,
                           .captured_fen = fact == FACT_PAID ? 500 : 0,
                           .code = STR("https://code")};
}
