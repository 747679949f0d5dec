// SPDX-License-Identifier: Apache-2.0
#include "flows.h"
#include "broker_model.h"
#include "checker.h"
#include "clients.h"
#include "node.h"
#include "provider_model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define SETTLE_MS (72 * HOUR_MS)
#define AGAIN_MS  500
#define STEPS_MAX 20000
#define CLIENTS   8

static const char *const SKU_NAMES[] = {"apple", "bread"};
static const int64_t PRICES_FEN[] = {1000, 2500};
#define AMOUNT_FEN 777

// One request on its way: the engine has it until it is answered or the node dies.
struct letter {
    struct request r; // first: the engine hands back this address
    unsigned deed;
    bool is_lent;
    struct line lines[2];
    char text[3][32];
};

static struct {
    const struct flow *flow;
    unsigned n_deeds, epoch;
    bool healed;
    struct letter letters[DEEDS_MAX];
    char marks[CLIENTS][8]; // l, d, m
} play;

// --- Requests

static struct str text_of(struct letter *l, unsigned i, const char *word, unsigned n)
{
    (void)snprintf(l->text[i], sizeof l->text[i], "%s%u", word, n);
    return str_of(l->text[i]);
}

static struct seen_order *order_of(struct world *w, unsigned client)
{
    for (unsigned i = 0; i < w->n_seen; i++)
        if (w->seen[i].client == client) return &w->seen[i];
    return NULL;
}

static struct trade *trade_of(struct world *w, unsigned client, int64_t n)
{
    const struct seen_order *o = order_of(w, client);
    for (unsigned i = 0; o && i < w->ledger->n_trades; i++)
        if (w->ledger->trades[i].order_key == o->key && n-- == 0) return &w->ledger->trades[i];
    return NULL;
}

static void wish_write(struct letter *l, const struct deed *d, const struct shopper *s)
{
    struct order_wish *wish = &l->r.place;
    *wish = (struct order_wish){
        .channel = s->channel, .policy = (enum policy)(d->how & POLICY_BITS), .pay_within_ms = s->pay_within_ms};
    wish->text.buyer = text_of(l, 0, "client", d->who);
    if (d->how & NUMBERED) wish->text.merchant_order_no = text_of(l, 1, "number", d->who);
    if (s->by_amount) {
        wish->amount_fen = s->amount_fen;
        wish->text.currency = STR("CNY");
        wish->text.subject = STR("something");
    } else if (s->by_cart) {
        wish->cart = text_of(l, 2, "cart", d->who);
    } else {
        for (unsigned i = 0; i < s->n_lines; i++)
            l->lines[i] = (struct line){.sku = str_of(SKU_NAMES[s->sku[i]]), .quantity = s->quantity[i]};
        wish->lines = l->lines;
        wish->n_lines = s->n_lines;
    }
}

// False: what it is about is not there yet.
static bool letter_write(struct world *w, struct letter *l, const struct deed *d)
{
    struct request *r = &l->r;
    const struct seen_order *o = order_of(w, d->who);
    r->order_key = o ? o->key : 0;
    switch (d->verb) {
    case SKU:
        r->kind = REQUEST_SKU_PUT;
        r->sku_put.sku = (struct sku){.sku = str_of(SKU_NAMES[d->who]),
                                      .title = STR("a thing"),
                                      .currency = STR("CNY"),
                                      .price_fen = PRICES_FEN[d->who],
                                      .stock = {.available = d->n}};
        r->sku_put.with_stock = true;
        return true;
    case STOCK:
        r->kind = REQUEST_STOCK_ADD;
        r->stock_add.sku = str_of(SKU_NAMES[d->who]);
        r->stock_add.add = d->n;
        return true;
    case CART:
        r->kind = REQUEST_CART_PUT;
        r->cart.cart = text_of(l, 2, "cart", d->who);
        r->cart.sku = str_of(SKU_NAMES[0]);
        r->cart.quantity = d->n;
        return true;
    case PLACE:
        r->kind = REQUEST_PLACE;
        wish_write(l, d, &w->clients->shoppers[d->who]);
        return true;
    case CANCEL:
        r->kind = REQUEST_CANCEL;
        r->cancel_reason = REASON_BUYER;
        return o != NULL;
    case CHECK: r->kind = REQUEST_CHECK; return o != NULL;
    case REFUND:
        r->kind = REQUEST_REFUND;
        r->refund_amount_fen = d->n;
        return o != NULL;
    case OPEN:
        r->kind = REQUEST_PAY;
        r->pay.channel = CHANNEL_ALIPAY;
        r->pay.product = PRODUCT_QR;
        return o != NULL;
    case RESOLVE: {
        const struct trade *t = trade_of(w, d->who, 0);
        r->kind = REQUEST_RESOLVE;
        r->resolve.payment_key = t ? t->payment_key : 0;
        r->resolve.accepts = d->n != 0;
        return t != NULL;
    }
    case END_OF_SCRIPT:
    case SCAN:
    case BUY:
    case BUY_WRONG:
    case MUTE:
    case REPEAT:
    case TROUBLE:
    case AWAY:
    case KILL:
    case TIDY:
    case CLOCK:
    case MQ_AWAY: break;
    }
    return false;
}

// Who places a cart knows first that it is full.
static bool cart_is_full(struct world *w, const struct deed *d)
{
    for (unsigned i = 0; i < play.n_deeds && d->how & BY_CART; i++)
        if (play.flow->deeds[i].verb == CART && play.flow->deeds[i].who == d->who && !w->clients->acts[i].ended)
            return false;
    return true;
}

static void deed_is_done(struct world *w, struct happening *h);

static void again(struct world *w, unsigned deed)
{
    struct act *a = &w->clients->acts[deed];
    if (a->planned || a->ended) return;
    a->planned = true;
    world_plan(w, w->now_ms + AGAIN_MS, deed_is_done, deed, 0, 0);
}

static void request_is_sent(struct world *w, unsigned deed)
{
    const struct deed *d = &play.flow->deeds[deed];
    struct act *a = &w->clients->acts[deed];
    struct letter *l = &play.letters[deed];
    a->planned = false;
    if (a->ended || l->is_lent || (a->sent && !a->repeatable)) return;
    struct buf body = l->r.reply.body;
    memset(l, 0, sizeof *l);
    l->r.reply.body = body;
    buf_clear(&l->r.reply.body);
    if (!node_is_up(w->node) || !cart_is_full(w, d) || !letter_write(w, l, d)) {
        if (!play.healed || a->sent) again(w, deed);
        return;
    }
    l->deed = deed;
    l->is_lent = true;
    l->r.has_idem = a->keyed;
    l->r.idem_scope = (struct hash128){random_mix(deed + 1), deed + 1};
    l->r.body_hash = (struct hash128){random_mix(deed + 7), deed};
    a->order_key = l->r.order_key;
    a->sent++;
    a->in_flight++;
    node_post(w->node, &l->r);
}

static void told_version(struct clients *c, uint64_t order_key, unsigned version)
{
    unsigned i = 0;
    while (i < c->n_told && c->told[i].order_key != order_key)
        i++;
    if (i == c->n_told) {
        c->told[c->n_told].order_key = order_key;
        c->told[c->n_told++].version = version;
    } else if (version > c->told[i].version) {
        c->told[i].version = version;
    }
}

static void good_answer(struct world *w, struct act *a, const char *text)
{
    unsigned long long key = 0;
    unsigned state = 0, version = 0;
    long long amount_fen = 0;
    if (a->keyed && a->n_good++ > 0 && strcmp(text, a->answer) != 0)
        world_violated(w, "same_key_same_answer", "client %u was told \"%s\" and now \"%s\"", a->client, a->answer,
                       text);
    if (!a->keyed) a->n_good = 1;
    (void)snprintf(a->answer, sizeof a->answer, "%s", text);
    if (sscanf(text, "{\"order\":%llu,\"state\":%u,\"version\":%u", &key, &state, &version) == 3) {
        told_version(w->clients, key, version);
        if (a->kind == ACT_PLACE) {
            if (a->keyed && a->key && a->key != key)
                world_violated(w, "one_key_one_order", "client %u got two orders for one key", a->client);
            a->key = a->keys[0] = key;
        }
    } else if (sscanf(text, "{\"refund\":%llu,\"amount\":%lld", &key, &amount_fen) == 2) {
        a->key = key;
        a->amount_fen = amount_fen;
    }
}

static void replied(struct world *w, struct request *r)
{
    struct letter *l = (struct letter *)r;
    struct act *a = &w->clients->acts[l->deed];
    if (!l->is_lent) {
        world_violated(w, "answered_once", "a request was answered twice");
        return;
    }
    l->is_lent = false;
    a->in_flight--;
    world_tell(w, "client %u is told %d %s%s", a->client, r->reply.status, r->reply.code ? r->reply.code : "",
               r->reply.replayed ? " (again)" : "");
    bool later = r->reply.code && (r->reply.status == 503 || r->reply.status == 429 ||
                                   strcmp(r->reply.code, "idempotency_in_progress") == 0);
    if (r->reply.status >= 500) a->n_unknown++;
    if (later && a->repeatable) {
        again(w, l->deed);
        return;
    }
    a->status = r->reply.status;
    a->ended = true;
    if (r->reply.code) {
        if (a->keyed && a->n_good > 0)
            world_violated(w, "same_key_same_answer", "client %u was told \"%s\" and now %s", a->client, a->answer,
                           r->reply.code);
        return;
    }
    char text[sizeof a->answer];
    size_t n = r->reply.body.n < sizeof text - 1 ? r->reply.body.n : sizeof text - 1;
    if (n) memcpy(text, r->reply.body.p, n);
    text[n] = 0;
    good_answer(w, a, text);
}

static void node_died(struct world *w)
{
    for (unsigned i = 0; i < play.n_deeds; i++) {
        struct letter *l = &play.letters[i];
        struct act *a = &w->clients->acts[i];
        if (!l->is_lent) continue;
        l->is_lent = false;
        a->in_flight--;
        a->n_unknown++;
        if (a->repeatable) again(w, i);
    }
}

// --- Buyers and the world

static void pays(struct world *w, struct trade *t, bool wrong)
{
    unsigned faults = w->c.faults, rate = w->c.rate;
    if (wrong) {
        w->c.faults |= 1u << FAULT_AMOUNT;
        w->c.rate = 1000;
    }
    bool ok = model_pay(w->ledger, t);
    w->c.faults = faults;
    w->c.rate = rate;
    world_tell(w, "a buyer pays %s: %s", name_of(w, 'P', t->payment_key), ok ? "paid" : "refused");
}

static bool buyer_acts(struct world *w, const struct deed *d)
{
    struct trade *t = trade_of(w, d->who, d->n);
    if (!t || t->code_ms == 0) return false;
    if (d->verb == SCAN)
        (void)model_scan(w->ledger, t);
    else if (d->verb == MUTE)
        t->mute = true;
    else if (d->verb == REPEAT)
        model_repeat(w->ledger, t, 0);
    else
        pays(w, t, d->verb == BUY_WRONG);
    return true;
}

static void trouble(struct world *w, int64_t permille)
{
    w->c.rate = (unsigned)permille;
    w->c.faults = permille ? w->c.faults | 1u << FAULT_CALLS : w->c.faults & ~(1u << FAULT_CALLS);
    world_tell(w, "%lld in a thousand calls go wrong", (long long)permille);
}

static void world_changes(struct world *w, const struct deed *d)
{
    struct node *n = w->node;
    if (d->verb == TROUBLE)
        trouble(w, d->n);
    else if (d->verb == AWAY)
        w->ledger->unreachable = d->n != 0 ? 1u << CHANNEL_ALIPAY : 0;
    else if (d->verb == CLOCK)
        n->offset_ms = d->n * SECOND_MS;
    else if (d->verb == MQ_AWAY)
        w->mq->masters[0].down = w->mq->masters[1].down = d->n != 0;
    else if (d->verb == KILL && node_is_up(n))
        node_dies(w, DISK_PROCESS_KILLED, 10);
    else if (d->verb == TIDY && node_is_up(n))
        node_tidies(w);
}

static void deed_is_done(struct world *w, struct happening *h)
{
    unsigned i = (unsigned)h->a;
    const struct deed *d = &play.flow->deeds[i];
    if (d->verb <= RESOLVE) {
        request_is_sent(w, i);
    } else if (d->verb >= TROUBLE) {
        if (!play.healed) world_changes(w, d);
    } else if (!play.healed && !buyer_acts(w, d)) {
        world_plan(w, w->now_ms + AGAIN_MS / 2, deed_is_done, i, 0, 0); // no code yet
    }
}

static void code_is_out(struct world *w, struct trade *t)
{
    (void)w, (void)t;
}

static void saw(struct world *w, struct seen_order *o, int type)
{
    (void)w;
    char mark = type == EVENT_PAYMENT_LATE        ? 'l'
                : type == EVENT_PAYMENT_DUPLICATE ? 'd'
                : type == EVENT_PAYMENT_MISMATCH  ? 'm'
                                                  : 0;
    if (mark && o->client < CLIENTS && !strchr(play.marks[o->client], mark)) strncat(play.marks[o->client], &mark, 1);
}

static const struct cast CAST = {.code_is_out = code_is_out, .saw = saw, .replied = replied};

// --- Beginning, middle, end

static void act_make(struct act *a, const struct deed *d)
{
    *a = (struct act){.kind = ACT_CHECK, .client = d->who};
    if (d->verb == SKU) a->kind = ACT_SKU_PUT;
    if (d->verb == STOCK) a->kind = ACT_STOCK_ADD;
    if (d->verb == CART) a->kind = ACT_CART_PUT;
    if (d->verb == PLACE) a->kind = ACT_PLACE;
    if (d->verb == CANCEL) a->kind = ACT_CANCEL;
    if (d->verb == REFUND) a->kind = ACT_REFUND;
    if (d->verb == SKU || d->verb == STOCK) {
        a->sku = d->who;
        a->quantity = d->n;
        a->client = 0;
    }
    a->numbered = d->how & NUMBERED;
    a->repeatable = !(d->how & BARE);
    a->keyed = a->repeatable && !a->numbered && d->verb != SKU && d->verb != CART;
}

static void shopper_make(struct shopper *s, const struct deed *d)
{
    *s = (struct shopper){.pay_within_ms = d->n * SECOND_MS,
                          .by_amount = d->how & BY_AMOUNT,
                          .by_cart = d->how & BY_CART,
                          .channel = d->how & ANY_CHANNEL ? CHANNEL_ANY : CHANNEL_ALIPAY};
    if (s->by_amount) {
        s->amount_fen = AMOUNT_FEN;
        return;
    }
    s->n_lines = d->how & TWO_LINES ? 2 : 1;
    for (unsigned i = 0; i < s->n_lines; i++) {
        s->sku[i] = i;
        s->quantity[i] = 1;
        s->amount_fen += PRICES_FEN[i];
    }
}

static void config_make(struct world *w, const struct flow *f)
{
    w->c = (struct config){.faults = 1u << FAULT_KILL | 1u << FAULT_POWER, // so that nobody measures its pace
                           .n_skus = 2,
                           .page_size = f->is_fresh ? 4096 : 1024,
                           .fresh = f->is_fresh,
                           .lag_ms = f->lag_ms,
                           .close_kills = f->close_kills};
    w->c.rules = (struct rules){.close_grace_ms = 30 * SECOND_MS,
                                .release = f->release,
                                .late_payment = f->late,
                                .checkback = {.schedule = SCHEDULE_ADAPTIVE, .first_ms = 30000, .interval_ms = 30000},
                                .broker = f->broker,
                                .cancel_wait_ms = 5 * SECOND_MS,
                                .call_deadline_ms = 8 * SECOND_MS,
                                .code_min_life_ms = MINUTE_MS,
                                .code_max_life_ms = f->code_life_ms ? f->code_life_ms : 110 * MINUTE_MS,
                                .refund_query_ms = 10 * SECOND_MS};
    w->c.mq.check_ms = 10000;
    w->c.mq.young_ms = 6000;
    w->c.mq.check_max = 15;
    w->c.mq.invisible_ms = 30000;
    w->c.mq.copies = true;
    for (unsigned i = 0; i < w->c.n_skus; i++)
        w->c.price_fen[i] = PRICES_FEN[i];
}

static void heal(struct world *w, struct happening *h)
{
    (void)h;
    world_tell(w, "--- the script is over");
    play.healed = w->healing = true;
    w->ledger->unreachable = 0;
    broker_model_heal(w->mq);
    w->node->offset_ms = 0;
}

void flow_begin(struct world *w, const struct flow *f)
{
    world_begin(w, 1 + (uint64_t)(f - FLOWS), 0);
    config_make(w, f);
    w->cast = &CAST;
    w->clients->n_acts = w->clients->n_told = w->clients->n_money_acked = w->clients->n_strange_acked = 0;
    ledger_begin(w->ledger, w);
    broker_model_begin(w->mq, w);
    checker_begin(w);
    node_begin(w);
    w->node->dies_in_recovery = false;
    play.flow = f;
    play.n_deeds = play.epoch = 0;
    play.healed = false;
    memset(play.marks, 0, sizeof play.marks);
    int64_t last_ms = 0;
    for (unsigned i = 0; i < DEEDS_MAX && f->deeds[i].verb != END_OF_SCRIPT; i++) {
        const struct deed *d = &f->deeds[i];
        play.letters[i].is_lent = false;
        act_make(&w->clients->acts[i], d);
        if (d->verb == PLACE) shopper_make(&w->clients->shoppers[d->who], d);
        world_plan(w, w->start_ms + d->at_ms, deed_is_done, i, 0, 0);
        if (d->at_ms > last_ms) last_ms = d->at_ms;
        play.n_deeds = w->clients->n_acts = i + 1;
    }
    w->heal_ms = w->start_ms + last_ms + MINUTE_MS;
    world_plan(w, w->heal_ms, heal, 0, 0, 0);
}

void flow_live(struct world *w)
{
    int64_t end_ms = w->heal_ms + SETTLE_MS;
    while (!w->failed) {
        int64_t node_ms = node_next_ms(w->node), next_ms = world_next_ms(w);
        if (node_ms < next_ms) next_ms = node_ms;
        if (next_ms == INT64_MAX) break;
        if (next_ms > end_ms || w->step > STEPS_MAX) {
            world_violated(w, "comes_to_rest", "something is due for ever: %s",
                           node_ms <= world_next_ms(w) ? "the engine" : "the world");
            break;
        }
        w->now_ms = next_ms;
        world_run_due(w);
        node_run(w);
        if (play.epoch != node_epoch(w->node)) node_died(w);
        play.epoch = node_epoch(w->node);
    }
    if (!w->failed) checker_full(w, true);
}

void flow_ending(const struct world *w, char out[64])
{
    size_t n = 0;
    out[0] = 0;
    for (unsigned c = 0; c < CLIENTS; c++)
        for (unsigned i = 0; i < w->n_seen; i++) {
            const struct seen_order *o = &w->seen[i];
            if (o->client != c || n > 50) continue;
            char state = o->state == ORDER_PAID ? 'P' : o->state == ORDER_CANCELLED ? 'C' : 'O';
            n += (size_t)snprintf(out + n, 64 - n, "%c%s", state, play.marks[c]);
        }
}

void flows_free(void)
{
    for (unsigned i = 0; i < DEEDS_MAX; i++)
        buf_free(&play.letters[i].r.reply.body);
}
