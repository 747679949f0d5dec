// SPDX-License-Identifier: Apache-2.0
#include "clients.h"
#include "node.h"
#include <stdio.h>
#include <string.h>

static const char *const SKU_NAMES[SKUS_MAX] = {"apple", "bread", "candle", "drum"};

// --- Requests on their way. They are lent to the engine, so they live apart from what asked for them.

#define LETTERS_MAX 2048
struct letter {
    struct request r; // first: the engine hands back this address
    unsigned act, epoch;
    bool is_notice, lent;
    uint64_t token;
    struct line lines[2];
    char text[3][32];
};
static struct letter letters[LETTERS_MAX];
static unsigned next_letter;

static struct letter *letter_take(void)
{
    for (unsigned i = 0; i < LETTERS_MAX; i++) {
        struct letter *l = &letters[next_letter++ % LETTERS_MAX];
        if (l->lent) continue;
        struct buf body = l->r.reply.body;
        memset(l, 0, sizeof *l);
        l->r.reply.body = body;
        buf_clear(&l->r.reply.body);
        l->lent = true;
        return l;
    }
    return NULL;
}

static struct str text_of(struct letter *l, unsigned i, const char *word, unsigned n)
{
    (void)snprintf(l->text[i], sizeof l->text[i], "%s%u", word, n);
    return str_of(l->text[i]);
}

static void letter_write_placing(struct world *w, struct letter *l, const struct act *a)
{
    struct order_wish *wish = &l->r.place;
    const struct shopper *s = &w->clients->shoppers[a->client];
    l->r.kind = REQUEST_PLACE;
    *wish = (struct order_wish){
        .channel = s->channel, .policy = (enum policy)(a->client % 4), .pay_within_ms = s->pay_within_ms};
    wish->text.buyer = text_of(l, 0, "client", a->client);
    if (a->numbered) wish->text.merchant_order_no = text_of(l, 1, "number", a->client);
    if (s->by_amount) {
        wish->amount_fen = s->amount_fen;
        wish->text.currency = STR("CNY");
        wish->text.subject = STR("something");
    } else if (s->by_cart) {
        wish->cart = text_of(l, 2, "cart", a->client);
    } else {
        for (unsigned i = 0; i < s->n_lines; i++)
            l->lines[i] = (struct line){.sku = str_of(SKU_NAMES[s->sku[i]]), .quantity = s->quantity[i]};
        wish->lines = l->lines;
        wish->n_lines = s->n_lines;
    }
}

static void letter_write(struct world *w, struct letter *l, const struct act *a, unsigned index)
{
    struct request *r = &l->r;
    l->act = index;
    r->has_idem = a->keyed;
    r->idem_scope = (struct hash128){random_mix(w->seed + index), index + 1};
    r->body_hash = (struct hash128){random_mix(w->seed ^ index), index};
    r->order_key = a->order_key;
    switch (a->kind) {
    case ACT_PLACE: letter_write_placing(w, l, a); break;
    case ACT_CANCEL:
        r->kind = REQUEST_CANCEL;
        r->cancel_reason = a->client % 2 ? REASON_BUYER : REASON_MERCHANT;
        break;
    case ACT_CHECK: r->kind = REQUEST_CHECK; break;
    case ACT_REFUND:
        r->kind = REQUEST_REFUND;
        r->refund_amount_fen = a->amount_fen;
        break;
    case ACT_SKU_PUT:
        r->kind = REQUEST_SKU_PUT;
        r->sku_put.sku = (struct sku){.sku = str_of(SKU_NAMES[a->sku]),
                                      .title = STR("a thing"),
                                      .currency = STR("CNY"),
                                      .price_fen = w->c.price_fen[a->sku],
                                      .stock = {.available = a->quantity}};
        r->sku_put.with_stock = true;
        break;
    case ACT_STOCK_ADD:
        r->kind = REQUEST_STOCK_ADD;
        r->stock_add.sku = str_of(SKU_NAMES[a->sku]);
        r->stock_add.add = a->quantity;
        break;
    case ACT_CART_PUT:
        r->kind = REQUEST_CART_PUT;
        r->cart.cart = text_of(l, 2, "cart", a->client);
        r->cart.sku = str_of(SKU_NAMES[a->sku]);
        r->cart.quantity = a->quantity;
        break;
    case ACT_PAY:
        r->kind = REQUEST_PAY;
        r->pay.channel = a->channel;
        r->pay.product = a->product;
        r->pay.by_buyer = true;
        r->pay.payer = text_of(l, 0, "openid", a->client);
        break;
    case ACT_RESOLVE:
        r->kind = REQUEST_RESOLVE;
        r->resolve.payment_key = a->payment_key;
        r->resolve.accepts = a->accepts;
        break;
    }
}

// --- Acts

static const char *const ACT_NAMES[] = {"place",     "cancel",      "check", "refund", "put a sku",
                                        "add stock", "fill a cart", "pay",   "resolve"};

static void act_send(struct world *w, struct happening *h);

static void act_again(struct world *w, unsigned index, int64_t least_ms, int64_t most_ms)
{
    struct act *a = &w->clients->acts[index];
    if (a->planned) return;
    a->planned = true;
    world_plan(w, w->now_ms + random_between(&w->shop, least_ms, most_ms), act_send, index, 0, 0);
}

static void act_send_one(struct world *w, unsigned index)
{
    struct act *a = &w->clients->acts[index];
    struct letter *l = node_is_up(w->node) ? letter_take() : NULL;
    if (!l) { // connection refused: it was not sent
        if (a->repeatable || a->sent == 0) act_again(w, index, 500, 5000);
        return;
    }
    letter_write(w, l, a, index);
    l->epoch = node_epoch(w->node);
    a->sent++;
    a->in_flight++;
    world_tell(w, "client %u asks to %s%s", a->client, ACT_NAMES[a->kind], a->sent > 1 ? ", again" : "");
    node_post(w->node, &l->r);
}

static void act_send(struct world *w, struct happening *h)
{
    unsigned index = (unsigned)h->a;
    struct act *a = &w->clients->acts[index];
    a->planned = false;
    if (a->ended || (a->in_flight && a->sent > 0 && !a->repeatable)) return;
    act_send_one(w, index);
    if (a->repeatable && world_faults(w, FAULT_CLIENTS, &w->shop)) act_send_one(w, index);
}

static unsigned act_make(struct world *w, const struct act *a, int64_t at_ms)
{
    struct clients *c = w->clients;
    if (c->n_acts == ACTS_MAX) return ACTS_MAX - 1;
    unsigned index = c->n_acts++;
    c->acts[index] = *a;
    if (at_ms != INT64_MAX) world_plan(w, at_ms, act_send, index, 0, 0);
    return index;
}

// Nothing was heard: it may have been done or not.
static void act_unknown(struct world *w, unsigned index)
{
    struct act *a = &w->clients->acts[index];
    a->n_unknown++;
    if (a->repeatable && !a->ended) act_again(w, index, 200, 5000);
}

static void told_version(struct clients *c, uint64_t order_key, unsigned version)
{
    for (unsigned i = 0; i < c->n_told; i++) {
        if (c->told[i].order_key != order_key) continue;
        if (version > c->told[i].version) c->told[i].version = version;
        return;
    }
    if (c->n_told == SEEN_MAX) return;
    c->told[c->n_told].order_key = order_key;
    c->told[c->n_told++].version = version;
}

// --- What a client does once its order is there

static void buyer_pays_order(struct world *w, struct happening *h);

// Somebody opens Till's page with one wallet, and perhaps with another, or comes back when it is too late. Who pays
// with both has two codes before him.
static void open_the_page(struct world *w, const struct act *placed)
{
    struct stream *s = &w->wallets;
    const struct shopper *shopper = &w->clients->shoppers[placed->client];
    int64_t most_ms = shopper->pay_within_ms;
    struct act pay = {.kind = ACT_PAY, .client = placed->client, .order_key = placed->key};
    pay.channel = random_chance(s, 500) ? CHANNEL_ALIPAY : CHANNEL_WECHATPAY;
    int64_t at_ms = w->now_ms + random_skewed(s, 100, most_ms);
    unsigned visits = (unsigned)random_skewed(s, 1, 4);
    for (unsigned i = 0; i < visits; i++) {
        pay.product = random_chance(s, 600) ? PRODUCT_QR : random_chance(s, 500) ? PRODUCT_WAP : PRODUCT_JSAPI;
        if (pay.channel == CHANNEL_ALIPAY && pay.product == PRODUCT_JSAPI) pay.product = PRODUCT_WAP;
        pay.repeatable = random_chance(s, 300);
        (void)act_make(w, &pay, at_ms);
        if (random_chance(s, 700)) pay.channel = pay.channel == CHANNEL_ALIPAY ? CHANNEL_WECHATPAY : CHANNEL_ALIPAY;
        at_ms += random_skewed(s, 100, 60000);
    }
    if (random_chance(s, 300)) world_plan(w, at_ms, buyer_pays_order, placed->key, 0, 0);
    if (random_chance(s, 200)) (void)act_make(w, &pay, w->now_ms + most_ms + random_between(s, -1500, 1500));
}

static void follow_up(struct world *w, const struct act *placed)
{
    struct stream *s = &w->shop;
    const struct shopper *shopper = &w->clients->shoppers[placed->client];
    struct act cancel = {.kind = ACT_CANCEL, .client = placed->client, .order_key = placed->key, .repeatable = true};
    cancel.keyed = random_chance(s, 500);
    struct act check = {.kind = ACT_CHECK, .client = placed->client, .order_key = placed->key};
    check.keyed = random_chance(s, 300);
    check.repeatable = random_chance(s, 500);
    if (random_chance(s, 200)) {
        bool late = random_chance(s, 300);
        int64_t after_ms = late ? shopper->pay_within_ms + random_between(s, -1000, 1000)
                                : random_skewed(s, 100, shopper->pay_within_ms);
        (void)act_make(w, &cancel, w->now_ms + after_ms);
    }
    if (random_chance(s, 150)) (void)act_make(w, &check, w->now_ms + random_skewed(s, 100, shopper->pay_within_ms));
    bool opens = w->c.wallets_on && !w->healing && (shopper->channel == CHANNEL_ANY || random_chance(&w->wallets, 150));
    if (opens) open_the_page(w, placed);
}

static void placed_ok(struct world *w, struct act *a, uint64_t order_key, int64_t amount_fen)
{
    bool unique = a->keyed || a->numbered;
    const struct shopper *s = &w->clients->shoppers[a->client];
    if (unique && a->key && a->key != order_key)
        world_violated(w, "one_key_one_order", "client %u got two orders for one key", a->client);
    if (amount_fen != s->amount_fen)
        world_violated(w, "price_is_the_catalogues", "client %u was to pay %lld, and not %lld", a->client,
                       (long long)amount_fen, (long long)s->amount_fen);
    bool first = a->n_good == 1;
    a->key = order_key;
    if (!unique && a->n_good <= 4) a->keys[a->n_good - 1] = order_key;
    if (first) follow_up(w, a);
}

static void act_good(struct world *w, struct act *a, const struct request *r)
{
    char text[sizeof a->answer] = "";
    size_t n = r->reply.body.n < sizeof text - 1 ? r->reply.body.n : sizeof text - 1;
    if (n) memcpy(text, r->reply.body.p, n);
    if (r->reply.replayed) world_reached(w, SCENE_IDEM_REPLAYED);
    a->n_good++;
    // What is remembered under a key is said again to the letter; under a merchant's number the order is shown as it is
    // now.
    if (a->keyed && a->n_good > 1 && strcmp(text, a->answer) != 0)
        world_violated(w, "same_key_same_answer", "client %u was told \"%s\" and now \"%s\"", a->client, a->answer,
                       text);
    if (a->n_good == 1) memcpy(a->answer, text, sizeof text);
    unsigned long long key = 0;
    unsigned state = 0, version = 0;
    long long amount = 0;
    if (sscanf(text, "{\"order\":%llu,\"state\":%u,\"version\":%u,\"amount\":%lld", &key, &state, &version, &amount) ==
        4) {
        told_version(w->clients, key, version);
        if (a->kind == ACT_PLACE) placed_ok(w, a, key, amount);
    } else if (sscanf(text, "{\"refund\":%llu,\"amount\":%lld", &key, &amount) == 2) {
        a->key = key;
        a->amount_fen = amount;
    } else if (sscanf(text, "{\"payment\":%llu,\"state\":%u", &key, &state) == 2) {
        a->key = key;
    }
    if (a->kind == ACT_RESOLVE) world_reached(w, a->accepts ? SCENE_WORD_ACCEPTS : SCENE_WORD_SENDS_BACK);
    if (a->kind == ACT_CART_PUT) world_plan(w, w->now_ms + 100, act_send, w->clients->shoppers[a->client].place, 0, 0);
}

static bool is_worth_repeating(const struct act *a, const struct request *r)
{
    if (r->reply.status == 503 || r->reply.status == 429) return true;
    return a->keyed && r->reply.status == 409 && strcmp(r->reply.code, "idempotency_in_progress") == 0;
}

static void act_refused(struct world *w, struct act *a, const struct request *r)
{
    if (strcmp(r->reply.code, "insufficient_stock") == 0) world_reached(w, SCENE_HOT_SKU);
    bool already_paid = strcmp(r->reply.code, "order_already_paid") == 0;
    if (already_paid) world_reached(w, a->kind == ACT_RESOLVE ? SCENE_WORD_MEETS_BUYER : SCENE_CANCEL_RACES_PAY);
    if (strcmp(r->reply.code, "nothing_to_resolve") == 0) world_reached(w, SCENE_WORD_TWICE);
    if (strcmp(r->reply.code, "order_not_payable") == 0) world_reached(w, SCENE_PAGE_OPENED_LATE);
    if (strcmp(r->reply.code, "refund_exceeds_paid") == 0) world_reached(w, SCENE_REFUNDS_RACE);
    // Who was refused and had been told yes before was lied to, whichever of the two it is.
    if (a->keyed && a->n_good > 0)
        world_violated(w, "same_key_same_answer", "client %u was told \"%s\" and now %s", a->client, a->answer,
                       r->reply.code);
}

static void act_answered(struct world *w, unsigned index, const struct request *r)
{
    struct act *a = &w->clients->acts[index];
    if (world_faults(w, FAULT_CLIENTS, &w->shop)) {
        world_tell(w, "client %u does not hear the answer", a->client);
        act_unknown(w, index);
        return;
    }
    world_tell(w, "client %u is told %d %s%s", a->client, r->reply.status, r->reply.code ? r->reply.code : "",
               r->reply.replayed ? " (again)" : "");
    if (r->reply.status >= 500) a->n_unknown++;
    if (r->reply.code && is_worth_repeating(a, r)) {
        if (a->repeatable && !a->ended) act_again(w, index, 200, 3000);
        return;
    }
    a->status = r->reply.status;
    if (r->reply.code)
        act_refused(w, a, r);
    else
        act_good(w, a, r);
    bool restock = a->kind == ACT_PLACE && a->status == 409 && !w->healing && a->sent < 6;
    if (restock && random_chance(&w->shop, 500))
        act_again(w, index, 10000, 300000); // sold out: perhaps somebody gives up
    else
        a->ended = true;
}

// --- Notices

void clients_notice(struct world *w, const struct notice *n, enum notice_verdict verdict, uint64_t token)
{
    struct letter *l = letter_take();
    if (!l) {
        ledger_notice_answered(w->ledger, token, false);
        return;
    }
    l->is_notice = true;
    l->token = token;
    l->epoch = node_epoch(w->node);
    l->r.kind = REQUEST_NOTICE;
    l->r.notice.verdict = verdict;
    l->r.notice.channel = n->answer.channel;
    l->r.notice.notice = *n;
    node_post(w->node, &l->r);
}

static void notice_answered(struct world *w, const struct letter *l)
{
    const struct notice *n = &l->r.notice.notice;
    struct clients *c = w->clients;
    bool good = l->r.reply.status == 200 && !l->r.reply.code;
    bool money = n->answer.captured_fen > 0;
    if (good && l->r.notice.verdict == NOTICE_STRANGE && c->n_strange_acked < TRADES_MAX)
        (void)snprintf(c->strange_acked[c->n_strange_acked++], sizeof c->strange_acked[0], "%.23s", n->number);
    if (good && l->r.notice.verdict == NOTICE_GOOD && money && c->n_money_acked < TRADES_MAX) {
        bool known = false;
        for (unsigned i = 0; i < c->n_money_acked && !known; i++)
            known = c->money_acked[i] == n->answer.payment_key;
        if (!known) c->money_acked[c->n_money_acked++] = n->answer.payment_key;
    }
    ledger_notice_answered(w->ledger, l->token, good);
}

// --- What comes back

void clients_replied(struct world *w, struct request *r)
{
    struct letter *l = (struct letter *)r;
    if (w->cast && r->kind != REQUEST_NOTICE) {
        w->cast->replied(w, r);
        return;
    }
    if (!l->lent) {
        world_violated(w, "answered_once", "a request was answered twice");
        return;
    }
    l->lent = false;
    if (l->is_notice) {
        notice_answered(w, l);
        return;
    }
    w->clients->acts[l->act].in_flight--;
    act_answered(w, l->act, r);
}

void clients_node_died(struct world *w)
{
    for (unsigned i = 0; i < LETTERS_MAX; i++) {
        struct letter *l = &letters[i];
        if (!l->lent) continue;
        l->lent = false;
        if (l->is_notice) {
            ledger_notice_answered(w->ledger, l->token, false);
            continue;
        }
        w->clients->acts[l->act].in_flight--;
        act_unknown(w, l->act);
    }
}

// What a client reads of an answer.
void clients_present(void *ctx, const struct document *d, struct buf *out)
{
    (void)ctx;
    switch (d->kind) {
    case DOCUMENT_ORDER:
    case DOCUMENT_ORDER_AS_PLACED: {
        const struct order *o = &d->order->order;
        bool as_placed = d->kind == DOCUMENT_ORDER_AS_PLACED;
        buf_printf(out, "{\"order\":%llu,\"state\":%d,\"version\":%u,\"amount\":%lld}", (unsigned long long)o->key,
                   as_placed ? (int)o->reply_state : (int)o->state, as_placed ? o->reply_version : o->version,
                   (long long)o->amount_fen);
        break;
    }
    case DOCUMENT_REFUND:
        buf_printf(out, "{\"refund\":%llu,\"amount\":%lld}", (unsigned long long)d->refund->key,
                   (long long)d->refund->amount_fen);
        break;
    case DOCUMENT_SKU: buf_printf(out, "{\"sku\":%lld}", (long long)d->sku->stock.available); break;
    case DOCUMENT_PAYMENT:
        buf_printf(out, "{\"payment\":%llu,\"state\":%d}", (unsigned long long)d->payment->key, (int)d->payment->state);
        break;
    }
}

// --- Buyers

static void buyer_scans(struct world *w, struct happening *h)
{
    struct trade *t = &w->ledger->trades[h->a];
    if (w->healing) return;
    bool ok = model_scan(w->ledger, t);
    world_tell(w, "a buyer scans the code of %s: %s", name_of(w, 'P', t->payment_key),
               ok ? "the cashier opens" : "refused");
}

static void note_two_wallets(struct world *w, const struct trade *paid)
{
    for (unsigned i = 0; i < w->ledger->n_trades; i++) {
        const struct trade *t = &w->ledger->trades[i];
        bool both = t->order_key == paid->order_key && t->state == TRADE_PAID && t->channel != paid->channel;
        if (both) world_reached(w, SCENE_BOTH_WALLETS_PAY);
    }
}

static void buyer_pays(struct world *w, struct happening *h)
{
    struct trade *t = &w->ledger->trades[h->a];
    if (w->healing || t->state == TRADE_PAID) return;
    struct seen_order *o = seen_find(w, t->order_key);
    bool late = o && w->now_ms >= o->expires_ms;
    bool ok = model_pay(w->ledger, t);
    if (ok) note_two_wallets(w, t);
    if (late) world_reached(w, SCENE_SCANNED_AFTER_DEADLINE);
    if (!ok && t->state == TRADE_CLOSED && t->closed_ms < t->expires_ms) world_reached(w, SCENE_CLOSE_BEFORE_PAY);
    world_tell(w, "a buyer pays %s: %s", name_of(w, 'P', t->payment_key), ok ? "paid" : "refused");
}

void clients_pay_at(struct world *w, const struct trade *t, int64_t at_ms)
{
    world_plan(w, at_ms, buyer_pays, (uint64_t)(t - w->ledger->trades), 0, 0);
}

static void buyer_pays_order(struct world *w, struct happening *h)
{
    struct ledger *l = w->ledger;
    for (unsigned i = 0; i < l->n_trades; i++) {
        if (l->trades[i].order_key != h->a) continue;
        struct happening pays = {.a = i};
        buyer_pays(w, &pays);
    }
}

// The instant most things go wrong at: the end of the order's window, or of the code.
static int64_t the_deadline(struct world *w, const struct trade *t)
{
    struct seen_order *o = seen_find(w, t->order_key);
    if (o && random_chance(&w->buyers, 600)) return o->expires_ms;
    return t->expires_ms;
}

void clients_code_is_out(struct world *w, const struct trade *t)
{
    struct stream *s = &w->buyers;
    uint64_t i = (uint64_t)(t - w->ledger->trades);
    int64_t pays_ms;
    if (w->cast) w->cast->code_is_out(w, &w->ledger->trades[i]);
    if (w->healing || w->cast) return;
    if (random_chance(s, w->c.at_the_deadline)) {
        int64_t by_ms = random_chance(s, 300) ? 0 : random_between(s, -1500, 1500);
        pays_ms = the_deadline(w, t) + by_ms;
    } else if (random_chance(s, 300)) {
        if (random_chance(s, 500)) world_plan(w, w->now_ms + random_skewed(s, 1000, 300000), buyer_scans, i, 0, 0);
        return; // never pays
    } else if (random_chance(s, 100)) {
        pays_ms = the_deadline(w, t) + random_skewed(s, 1, 120000);
    } else {
        pays_ms = w->now_ms + random_skewed(s, 1, 120000);
    }
    if (random_chance(s, 500)) {
        int64_t before_ms = random_skewed(s, 100, 60000);
        world_plan(w, pays_ms - before_ms > w->now_ms ? pays_ms - before_ms : w->now_ms, buyer_scans, i, 0, 0);
    }
    world_plan(w, pays_ms, buyer_pays, i, 0, 0);
}

// --- What operators and the merchant do about what happened

// They look at all money of the order that the providers have, with or without anything to say about it, and two of
// them may do so. What some of it went back they know from the provider, and accept the rest.
static void operators_decide(struct world *w, const struct seen_order *o)
{
    struct stream *s = &w->wallets;
    bool holds = w->c.rules.late_payment == LATE_HOLD;
    for (unsigned i = 0; i < w->ledger->n_trades; i++) {
        const struct trade *t = &w->ledger->trades[i];
        bool concerns = t->order_key == o->key && t->state == TRADE_PAID;
        if (!concerns || !random_chance(s, holds || t->by_hand_fen ? 700 : 50)) continue;
        struct act word = {
            .kind = ACT_RESOLVE, .client = o->client, .order_key = o->key, .payment_key = t->payment_key};
        word.accepts = t->by_hand_fen > 0 || random_chance(s, 500);
        word.keyed = word.repeatable = random_chance(s, 500);
        int64_t at_ms = w->now_ms + random_skewed(s, 1, 300000);
        (void)act_make(w, &word, at_ms);
        if (random_chance(s, 300)) world_plan(w, at_ms, buyer_pays_order, o->key, 0, 0);
        if (!random_chance(s, 400)) continue;
        word.accepts = t->by_hand_fen > 0 || random_chance(s, 500);
        (void)act_make(w, &word, at_ms + random_skewed(s, 0, 10000));
    }
}

void clients_saw(struct world *w, struct seen_order *o, int type)
{
    struct stream *s = &w->shop;
    if (w->cast) w->cast->saw(w, o, type);
    if (w->healing || w->cast) return;
    if (type == EVENT_ORDER_CLOSING && random_chance(s, 150))
        world_plan(w, w->now_ms + random_skewed(s, 1, 3000), buyer_pays_order, o->key, 0, 0);
    if (w->c.wallets_on && (type == EVENT_PAYMENT_LATE || type == EVENT_PAYMENT_MISMATCH)) operators_decide(w, o);
    if (type != EVENT_ORDER_PAID && type != EVENT_PAYMENT_LATE && type != EVENT_PAYMENT_DUPLICATE) return;
    if (!random_chance(s, 400)) return;
    const struct shopper *shopper = &w->clients->shoppers[o->client < CLIENTS_MAX ? o->client : 0];
    struct act refund = {.kind = ACT_REFUND, .client = o->client, .order_key = o->key};
    for (unsigned n = (unsigned)random_skewed(s, 1, 4); n > 0; n--) {
        refund.keyed = refund.repeatable = random_chance(s, 700);
        refund.amount_fen = random_chance(s, 300) ? 0 : random_between(s, 1, shopper->amount_fen);
        (void)act_make(w, &refund, w->now_ms + random_skewed(s, 1, 60000));
    }
}

// --- The beginning

static void shopper_make(struct world *w, unsigned i)
{
    struct stream *s = &w->shop;
    struct shopper *b = &w->clients->shoppers[i];
    static const int64_t windows_ms[] = {1000, 20000, 60000, 300000, 300000, 900000};
    *b = (struct shopper){.pay_within_ms = windows_ms[random_below(s, 6)]};
    b->channel = random_chance(s, 80) ? CHANNEL_ANY : CHANNEL_ALIPAY;
    static const enum channel_id channels[] = {CHANNEL_ANY, CHANNEL_ANY, CHANNEL_WECHATPAY, CHANNEL_ALIPAY};
    if (w->c.wallets_on) b->channel = channels[random_below(&w->wallets, 4)];
    unsigned how = (unsigned)random_below(s, 100);
    b->by_amount = how < 15;
    b->by_cart = how >= 15 && how < 25;
    if (b->by_amount) {
        b->amount_fen = random_between(s, 1, 100000);
    } else {
        b->n_lines = b->by_cart || w->c.n_skus == 1 || random_chance(s, 600) ? 1 : 2;
        b->sku[0] = (unsigned)random_below(s, w->c.n_skus);
        b->sku[1] = (b->sku[0] + 1) % w->c.n_skus;
        for (unsigned k = 0; k < b->n_lines; k++) {
            b->quantity[k] = random_between(s, 1, 3);
            b->amount_fen += b->quantity[k] * w->c.price_fen[b->sku[k]];
        }
    }
    unsigned means = (unsigned)random_below(s, 100);
    struct act place = {.kind = ACT_PLACE, .client = i, .keyed = means < 50, .numbered = means >= 40 && means < 70};
    place.repeatable = place.keyed || place.numbered;
    int64_t at_ms = w->start_ms + 1000 + random_between(s, 0, w->c.shop_ms);
    if (random_chance(s, 300)) at_ms = w->start_ms + 1000 + at_ms / 1000 % 3 * 100; // a rush at the opening
    if (b->by_cart) {
        b->place = act_make(w, &place, INT64_MAX);
        struct act fill = {
            .kind = ACT_CART_PUT, .client = i, .sku = b->sku[0], .quantity = b->quantity[0], .repeatable = true};
        (void)act_make(w, &fill, at_ms);
    } else {
        b->place = act_make(w, &place, at_ms);
    }
}

void clients_begin(struct world *w)
{
    struct clients *c = w->clients;
    c->n_acts = c->n_told = c->n_money_acked = c->n_strange_acked = 0;
    for (unsigned i = 0; i < LETTERS_MAX; i++)
        letters[i].lent = false;
    next_letter = 0;
    for (unsigned i = 0; i < w->c.n_skus; i++) {
        struct act put = {.kind = ACT_SKU_PUT, .sku = i, .quantity = w->c.stock[i], .repeatable = true};
        (void)act_make(w, &put, w->start_ms);
        while (random_chance(&w->shop, 400)) {
            struct act add = {.kind = ACT_STOCK_ADD,
                              .sku = i,
                              .quantity = random_between(&w->shop, -2, 4),
                              .keyed = true,
                              .repeatable = true};
            if (add.quantity != 0) (void)act_make(w, &add, w->start_ms + random_between(&w->shop, 1000, w->c.shop_ms));
        }
    }
    for (unsigned i = 0; i < w->c.n_clients; i++)
        shopper_make(w, i);
}

void clients_free(void)
{
    for (unsigned i = 0; i < LETTERS_MAX; i++)
        buf_free(&letters[i].r.reply.body);
}
