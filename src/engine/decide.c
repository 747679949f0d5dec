// SPDX-License-Identifier: Apache-2.0
// What a turn does about each thing that arrived: which rows it wants, and, when they are there, what becomes of it.
// Nothing here has an effect outside: a decision is a change to commit and a reply that waits for the commit.
#include "engine/inside.h"
#include <stdio.h>

// --- Wants

static struct want *want_add(struct item *it, enum want_kind kind)
{
    struct want *w = &it->wants[it->n_wants++];
    w->kind = kind;
    return w;
}

static void want_placing(struct item *it, const struct order_wish *wish)
{
    if (wish->text.merchant_order_no.n) want_add(it, WANT_MERCHANT_NO)->text = wish->text.merchant_order_no;
    if (wish->cart.n) want_add(it, WANT_CART)->text = wish->cart;
    for (unsigned i = 0; i < wish->n_lines; i++)
        want_add(it, WANT_SKU)->text = wish->lines[i].sku;
}

static void want_request(struct item *it, const struct request *r)
{
    if (r->has_idem) want_add(it, WANT_IDEM)->scope = r->idem_scope;
    switch (r->kind) {
    case REQUEST_PLACE: want_placing(it, &r->place); break;
    case REQUEST_CANCEL:
    case REQUEST_CHECK:
    case REQUEST_PAY:
    case REQUEST_REFUND: want_add(it, WANT_ORDER)->key = r->order_key; break;
    case REQUEST_RESOLVE: want_add(it, WANT_PAYMENT)->key = r->resolve.payment_key; break;
    case REQUEST_NOTICE:
        if (r->notice.verdict == NOTICE_GOOD) want_add(it, WANT_PAYMENT)->key = r->notice.notice.answer.payment_key;
        break;
    case REQUEST_STOCK_ADD: want_add(it, WANT_SKU)->text = r->stock_add.sku; break;
    case REQUEST_SKU_PUT:
    case REQUEST_CART_PUT:
    case REQUEST_CART_CLEAR:
    case REQUEST_CASES:
    case REQUEST_CASE_CLOSE: break;
    }
}

unsigned item_wants_most(const struct item *it)
{
    bool places = it->kind == ITEM_REQUEST && it->request->kind == REQUEST_PLACE;
    return places ? 3 + it->request->place.n_lines : 2;
}

void item_want(struct item *it)
{
    switch (it->kind) {
    case ITEM_REQUEST: want_request(it, it->request); break;
    case ITEM_ANSWER: {
        struct want *w = want_add(it, WANT_PAYMENT);
        w->key = it->answer->a.payment_key;
        w->refund_key = it->answer->a.refund_key;
        break;
    }
    case ITEM_DUE:
    case ITEM_NEWS:
    case ITEM_WAIT_OVER: want_add(it, WANT_ORDER)->key = it->order_key; break;
    }
}

// Names of carts and SKUs, in a space of their own beside the keys of orders (which leave the highest bit clear).
static uint64_t name_claim(char kind, struct str name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ (uint64_t)kind;
    for (size_t i = 0; i < name.n; i++)
        h = (h ^ (unsigned char)name.p[i]) * UINT64_C(0x100000001b3);
    return h | UINT64_C(1) << 63;
}

uint64_t request_claim(const struct request *r)
{
    if (r->finishing) return 0;
    switch (r->kind) {
    case REQUEST_PLACE: return r->place.cart.n ? name_claim('c', r->place.cart) : 0;
    case REQUEST_CANCEL:
    case REQUEST_CHECK:
    case REQUEST_PAY:
    case REQUEST_REFUND: return r->order_key;
    case REQUEST_STOCK_ADD: return name_claim('s', r->stock_add.sku);
    case REQUEST_CART_PUT:
    case REQUEST_CART_CLEAR: return name_claim('c', r->cart.cart);
    case REQUEST_NOTICE: // as the next: its order is claimed once its attempt is loaded
    case REQUEST_RESOLVE:
    case REQUEST_CASES:
    case REQUEST_CASE_CLOSE:
    case REQUEST_SKU_PUT: break;
    }
    return 0;
}

static struct want *want_of(const struct item *it, enum want_kind kind)
{
    for (unsigned i = 0; i < it->n_wants; i++)
        if (it->wants[i].kind == kind) return &it->wants[i];
    return NULL;
}

// One more row, in the middle of a decision: for what is rare (repeated requests).
static bool load_now(struct engine *e, struct want *w)
{
    return e->o.store->ops->load(e->o.store, w, 1, &e->arena);
}

// --- Changes

struct change *change_make(struct engine *e, struct item *it, enum change_kind kind)
{
    it->change = &it->own_change;
    *it->change = (struct change){.kind = kind, .at_ms = e->now_ms};
    return it->change;
}

// Remembers the reply with the change, or alone when nothing else is to be written.
static void remember(struct engine *e, struct item *it, uint64_t placed_key)
{
    const struct request *r = it->request;
    if (!r->has_idem || r->reply.code) return;
    if (!it->change) change_make(e, it, CHANGE_IDEM);
    it->idem = (struct idem_record){
        .scope = r->idem_scope,
        .body = r->body_hash,
        .at_ms = e->now_ms,
        .status = placed_key ? 201 : r->reply.status,
        .order_key = placed_key,
        .answer = placed_key ? (struct str){NULL, 0} : buf_view(&r->reply.body),
    };
    it->change->idem = &it->idem;
}

void step_take(struct engine *e, struct item *it, struct event *ev)
{
    ev->now_ms = e->now_ms;
    if (ev->fresh_key == 0) ev->fresh_key = keygen_take(&e->keys, e->now_ms, EVENT_FRESH_KEYS);
    it->step = &e->steps[it - e->items];
    core_step(&e->o.rules, it->bundle, ev, it->step);
}

// Also when no row changes but questions are to leave: they leave at the release of a change.
void change_order(struct engine *e, struct item *it)
{
    const struct step *s = it->step;
    if (!s->changed && s->n_traces == 0 && s->n_calls == 0 && s->n_sends == 0) return;
    struct change *c = change_make(e, it, CHANGE_ORDER);
    it->bundle->order.version += s->changed;
    c->bundle = it->bundle;
    c->step = s;
    // Traces first: what was heard comes before what it made of the order, when both have one instant.
    if (s->n_traces) c->first_trace_key = keygen_take(&e->keys, e->now_ms, s->n_traces);
    if (s->n_events) c->first_event_key = keygen_take(&e->keys, e->now_ms, s->n_events);
    if (s->n_messages) c->first_message_key = keygen_take(&e->keys, e->now_ms, s->n_messages);
}

static void problem(struct item *it, int status, const char *code, const char *detail)
{
    reply_problem(it->request, status, code, "%s", detail);
    it->is_answered = true;
}

// --- A repeated request

// The order with its newest attempt.
static struct order_doc item_doc(const struct item *it)
{
    struct order_doc doc = {.order = it->bundle->order, .text = it->text};
    for (unsigned i = 0; i < it->bundle->n_payments; i++) {
        const struct payment *p = &it->bundle->payment[i];
        if (doc.has_payment && p->n < doc.payment.n) continue;
        doc.payment = *p;
        doc.has_payment = true;
    }
    return doc;
}

// The order with the attempt it began with: that is what the placing showed. An order whose code is Till's own page
// showed none.
static struct order_doc item_doc_as_placed(const struct item *it)
{
    const struct bundle *b = it->bundle;
    struct order_doc doc = {.order = b->order, .text = it->text};
    for (unsigned i = 0; i < b->n_payments && b->order.channel != CHANNEL_ANY; i++) {
        if (b->payment[i].n != 1) continue;
        doc.payment = b->payment[i];
        doc.has_payment = true;
    }
    return doc;
}

// The attempt named, as the reply.
static void reply_payment(struct engine *e, struct request *r, const struct bundle *b)
{
    for (unsigned i = 0; i < b->n_payments; i++) {
        const struct payment *p = &b->payment[i];
        if (p->key != r->pay.payment_key) continue;
        struct document d = {.kind = DOCUMENT_PAYMENT, .payment = p, .order_key = b->order.key};
        if (p->state == PAYMENT_FAILED)
            reply_problem(r, 409, "channel_refused", "the provider refused to take this payment");
        else
            reply_present(e, r, 201, &d);
        return;
    }
    reply_problem(r, 409, "order_not_payable", "the order cannot be paid any more");
}

bool pay_is_ready(const struct request *r, const struct bundle *b)
{
    for (unsigned i = 0; i < b->n_payments; i++)
        if (b->payment[i].key == r->pay.payment_key) return b->payment[i].state != PAYMENT_CREATING;
    return true;
}

void reply_order(struct engine *e, struct request *r, const struct item *it)
{
    if (r->kind == REQUEST_PAY) {
        reply_payment(e, r, it->bundle);
        return;
    }
    bool places = r->kind == REQUEST_PLACE;
    struct order_doc doc = places ? item_doc_as_placed(it) : item_doc(it);
    struct document d = {.kind = places ? DOCUMENT_ORDER_AS_PLACED : DOCUMENT_ORDER, .order = &doc};
    reply_present(e, r, places ? 201 : 200, &d);
}

// The order of an earlier placing, with its first attempt, whose key follows the order's. Without one it is archived:
// nothing else removes an order.
static bool load_placed(struct engine *e, struct item *it, uint64_t order_key)
{
    struct want w = {.kind = WANT_ORDER, .key = order_key};
    if (!load_now(e, &w)) return false;
    if (!w.found) return true;
    if (w.bundle->order.channel != CHANNEL_ANY) {
        w = (struct want){.kind = WANT_PAYMENT, .key = order_key + 1};
        if (!load_now(e, &w) || !w.found) return false;
    }
    it->bundle = w.bundle;
    it->text = w.order_text;
    return true;
}

static void replay_placing(struct engine *e, struct item *it, uint64_t order_key)
{
    if (!load_placed(e, it, order_key)) {
        problem(it, 503, "store_refused", "the order of the first answer cannot be read");
    } else if (!it->bundle) {
        problem(it, 410, "order_archived", "the order of the first answer is in the archive");
    } else if (it->bundle->order.reply_state == ORDER_STATE_0) {
        it->waits = true; // the first request died before its answer: this one waits for the code in its place
    } else {
        reply_order(e, it->request, it);
        it->is_answered = true;
    }
}

static void replay(struct engine *e, struct item *it, const struct idem_record *idem)
{
    struct request *r = it->request;
    r->reply.replayed = true;
    if (idem->order_key) {
        replay_placing(e, it, idem->order_key);
        return;
    }
    reply_ok(r, idem->status);
    buf_clear(&r->reply.body);
    buf_str(&r->reply.body, idem->answer);
    it->is_answered = true;
}

static bool same_hash(struct hash128 a, struct hash128 b)
{
    return a.a == b.a && a.b == b.b;
}

// True when the Idempotency-Key has decided the request already.
static bool decide_idem(struct engine *e, struct item *it)
{
    struct request *r = it->request;
    if (!r->has_idem || r->finishing) return false;
    struct want *w = want_of(it, WANT_IDEM);
    const struct request *running = idem_find_running(e, r->idem_scope);
    if (running || w->found) {
        bool same = same_hash(running ? running->body_hash : w->idem.body, r->body_hash);
        r->has_idem = false; // not the one that is remembered
        if (!same)
            problem(it, 422, "idempotency_key_reused", "this Idempotency-Key came with another body before");
        else if (running)
            problem(it, 409, "idempotency_in_progress", "the first request with this Idempotency-Key is still running");
        else
            replay(e, it, &w->idem);
        return true;
    }
    idem_run(e, r);
    return false;
}

// --- Placing

static bool lines_from_cart(struct engine *e, struct item *it, struct order_wish *wish, const struct want *cart)
{
    if (!cart->found || cart->n_lines == 0) {
        problem(it, 409, "cart_empty", "the cart is empty");
        return false;
    }
    wish->lines = arena_take(&e->arena, cart->n_lines * sizeof *wish->lines);
    if (!wish->lines) {
        problem(it, 503, "overloaded", "out of memory");
        return false;
    }
    wish->n_lines = cart->n_lines;
    for (unsigned i = 0; i < cart->n_lines; i++)
        wish->lines[i] = (struct line){.sku = cart->lines[i].sku.sku, .quantity = cart->lines[i].quantity};
    return true;
}

static const struct sku *line_sku(const struct item *it, const struct want *cart, unsigned i)
{
    if (cart) return &cart->lines[i].sku;
    unsigned n = 0;
    for (unsigned k = 0; k < it->n_wants; k++) {
        const struct want *w = &it->wants[k];
        if (w->kind == WANT_SKU && n++ == i) return w->found ? &w->sku : NULL;
    }
    return NULL;
}

static bool lines_price(struct item *it, struct order_wish *wish, const struct want *cart)
{
    for (unsigned i = 0; i < wish->n_lines; i++) {
        const struct sku *sku = line_sku(it, cart, i);
        if (!sku) {
            reply_problem(it->request, 422, "unknown_sku", "there is no sku %.*s", (int)wish->lines[i].sku.n,
                          wish->lines[i].sku.p);
            (void)snprintf(it->request->reply.sku, sizeof it->request->reply.sku, "%.*s", (int)wish->lines[i].sku.n,
                           wish->lines[i].sku.p);
            (void)snprintf(it->request->reply.pointer, sizeof it->request->reply.pointer, "/items/%u/sku", i);
            it->is_answered = true;
            return false;
        }
        wish->lines[i].title = sku->title;
        wish->lines[i].price_fen = sku->price_fen;
        if (wish->text.currency.n && !str_eq(wish->text.currency, sku->currency)) {
            problem(it, 422, "mixed_currencies", "all items of an order have one currency");
            return false;
        }
        wish->text.currency = sku->currency;
    }
    if (order_price(wish->lines, wish->n_lines, &wish->amount_fen)) return true;
    problem(it, 422, "amount_out_of_range", "an order's amount is from 0.01 to 100,000,000.00");
    return false;
}

// What the buyer's wallet shows: the first title, and how many more there are.
static struct str subject_of(struct engine *e, const struct order_wish *wish)
{
    if (wish->n_lines == 1) return wish->lines[0].title;
    struct buf b = {0};
    buf_str(&b, wish->lines[0].title);
    buf_printf(&b, " +%u", wish->n_lines - 1);
    struct str subject = arena_copy(&e->arena, buf_view(&b));
    buf_free(&b);
    return subject;
}

// The items as the API shows them, kept with the order for ever: titles and prices as they were.
static bool lines_describe(struct engine *e, struct order_wish *wish)
{
    struct buf b = {0};
    json_open(&b, '[');
    for (unsigned i = 0; i < wish->n_lines; i++) {
        const struct line *l = &wish->lines[i];
        json_open(&b, '{');
        json_kstr(&b, "sku", l->sku);
        json_kstr(&b, "title", l->title);
        json_ki64(&b, "quantity", l->quantity);
        json_ki64(&b, "price", l->price_fen);
        json_close(&b, '}');
    }
    json_close(&b, ']');
    wish->text.items = b.failed ? (struct str){0} : arena_copy(&e->arena, buf_view(&b));
    buf_free(&b);
    if (wish->n_lines) wish->text.subject = subject_of(e, wish);
    return wish->text.items.p != NULL;
}

static bool decide_merchant_no(struct engine *e, struct item *it, const struct want *w)
{
    if (!w || !w->found) return false;
    if (!same_hash(w->request_hash, it->request->body_hash)) {
        problem(it, 409, "merchant_order_no_used", "another order has this merchant_order_no");
        return true;
    }
    it->bundle = w->bundle;
    it->text = w->order_text;
    struct order_doc doc = item_doc(it);
    it->bundle = NULL;
    struct document d = {.kind = DOCUMENT_ORDER, .order = &doc};
    reply_present(e, it->request, 200, &d);
    it->is_answered = true;
    remember(e, it, 0);
    return true;
}

// A copy of the wish to decide on: what it is filled up with lives as long as the turn, the request may come again.
static struct order_wish *wish_copy(struct engine *e, const struct order_wish *from)
{
    struct order_wish *wish = arena_take(&e->arena, sizeof *wish);
    if (!wish) return NULL;
    *wish = *from;
    if (from->n_lines) {
        wish->lines = arena_take(&e->arena, from->n_lines * sizeof *wish->lines);
        if (!wish->lines) return NULL;
        memcpy(wish->lines, from->lines, from->n_lines * sizeof *wish->lines);
    }
    return wish;
}

// Both providers take renminbi only.
static bool currency_is_supported(struct item *it, const struct order_wish *wish)
{
    if (wish->channel == CHANNEL_ANY || str_eq(wish->text.currency, STR("CNY"))) return true;
    problem(it, 422, "currency_not_supported", "this channel takes CNY only");
    return false;
}

static void decide_place(struct engine *e, struct item *it)
{
    const struct request *r = it->request;
    const struct want *cart = want_of(it, WANT_CART);
    if (decide_merchant_no(e, it, want_of(it, WANT_MERCHANT_NO))) return;
    struct order_wish *wish = wish_copy(e, &r->place);
    it->bundle = wish ? arena_take(&e->arena, sizeof *it->bundle) : NULL;
    if (!it->bundle) {
        problem(it, 503, "overloaded", "out of memory");
        return;
    }
    if (cart && !lines_from_cart(e, it, wish, cart)) return;
    if (wish->n_lines && !lines_price(it, wish, cart)) return;
    if (!currency_is_supported(it, wish)) return;
    if (!lines_describe(e, wish)) {
        problem(it, 503, "overloaded", "out of memory");
        return;
    }
    uint64_t keys = keygen_take(&e->keys, e->now_ms, 1 + EVENT_FRESH_KEYS); // the first attempt's follows the order's
    it->bundle->order = (struct order){
        .key = keys,
        .channel = wish->channel,
        .policy = wish->policy,
        .holds_stock = wish->n_lines > 0,
        .amount_fen = wish->amount_fen,
        .expires_ms = e->now_ms + wish->pay_within_ms,
        .due_ms = TIME_NEVER,
    };
    it->text = wish->text;
    bool waits = e->n_waits + BATCH_MAX < WAITS_MAX;
    step_take(e, it, &(struct event){.kind = EV_PLACE, .fresh_key = keys + 1, .place = {.is_answered = !waits}});
    change_order(e, it);
    it->change->text = &it->text;
    it->change->request_hash = r->body_hash;
    it->change->lines = wish->lines;
    it->change->n_lines = wish->n_lines;
    it->change->cart = wish->cart;
    remember(e, it, keys);
}

// --- The other requests

static void answer_order(struct engine *e, struct item *it)
{
    reply_order(e, it->request, it);
    it->is_answered = true;
    remember(e, it, 0);
}

static bool decide_refusal(struct item *it)
{
    switch (it->step->refusal) {
    case REFUSAL_NONE: return false;
    case REFUSAL_ALREADY_PAID: problem(it, 409, "order_already_paid", "the order is paid; refund it instead"); break;
    case REFUSAL_NOT_PAID: problem(it, 409, "order_not_paid", "only a paid order can be refunded"); break;
    case REFUSAL_TOO_MUCH: problem(it, 409, "refund_exceeds_paid", "more than what is left of the payment"); break;
    case REFUSAL_BUSY:
        if (it->request->kind == REQUEST_PAY)
            problem(it, 429, "too_many_payments", "too many attempts to pay this order were made");
        else
            problem(it, 429, "too_many_refunds", "too many refunds of this order are under way");
        break;
    case REFUSAL_NOT_PAYABLE: problem(it, 409, "order_not_payable", "the order cannot be paid any more"); break;
    case REFUSAL_RESOLVED: problem(it, 409, "nothing_to_resolve", "this payment waits for no decision"); break;
    case REFUSAL_SHORT:
        problem(it, 409, "insufficient_stock", "the order's stock cannot be held again; refund the payment instead");
        break;
    }
    return true;
}

static void decide_cancel(struct engine *e, struct item *it)
{
    step_take(e, it,
              &(struct event){.kind = EV_CANCEL, .cancel = {it->request->cancel_reason}, .note = it->request->note});
    if (decide_refusal(it)) return;
    change_order(e, it);
    answer_order(e, it);
}

static void decide_check(struct engine *e, struct item *it)
{
    step_take(e, it, &(struct event){.kind = EV_CHECK});
    change_order(e, it);
    if (it->step->n_calls)
        it->waits = true;
    else
        answer_order(e, it);
}

static void decide_refund(struct engine *e, struct item *it)
{
    struct request *r = it->request;
    step_take(e, it, &(struct event){.kind = EV_REFUND, .refund = {r->refund_amount_fen}, .note = r->note});
    if (decide_refusal(it)) return;
    change_order(e, it);
    const struct bundle *b = it->bundle;
    for (unsigned i = 0; i < b->n_refunds; i++) {
        if (b->refund[i].key != it->step->refund_key) continue;
        struct document d = {.kind = DOCUMENT_REFUND, .refund = &b->refund[i], .order_key = b->order.key};
        reply_present(e, r, 201, &d);
    }
    it->is_answered = true;
    remember(e, it, 0);
}

static void decide_pay(struct engine *e, struct item *it)
{
    struct request *r = it->request;
    if (!e->o.channels[r->pay.channel]) {
        problem(it, 422, "channel_unavailable", "this channel is not configured here");
        return;
    }
    if (!str_eq(it->text.currency, STR("CNY"))) {
        problem(it, 422, "currency_not_supported", "this channel takes CNY only");
        return;
    }
    struct str payer = arena_copy(&e->arena, r->pay.payer); // a call may still want it when the request is answered
    if (r->pay.payer.n && !payer.p) {
        problem(it, 503, "overloaded", "out of memory");
        return;
    }
    step_take(e, it,
              &(struct event){.kind = EV_PAY,
                              .pay = {.channel = r->pay.channel,
                                      .product = r->pay.product,
                                      .by_buyer = r->pay.by_buyer,
                                      .payer = payer}});
    if (decide_refusal(it)) return;
    r->pay.payment_key = it->step->payment_key;
    change_order(e, it);
    if (!pay_is_ready(r, it->bundle)) {
        it->waits = true;
        return;
    }
    reply_payment(e, r, it->bundle);
    it->is_answered = true;
    remember(e, it, 0);
}

static void decide_resolve(struct engine *e, struct item *it)
{
    struct request *r = it->request;
    if (it->bundle->order.key != r->order_key) {
        problem(it, 404, "unknown_payment", "the order has no such payment");
        return;
    }
    step_take(e, it,
              &(struct event){.kind = EV_RESOLVE,
                              .stock_is_short = r->stock_is_short,
                              .resolve = {r->resolve.payment_key, r->resolve.accepts},
                              .note = r->note});
    if (decide_refusal(it)) return;
    change_order(e, it);
    answer_order(e, it);
}

static void change_cases(struct engine *e, struct item *it, const struct case_row *rows, unsigned n)
{
    struct change *c = change_make(e, it, CHANGE_CASE);
    c->cases = rows;
    c->n_cases = n;
    c->case_key = keygen_take(&e->keys, e->now_ms, n);
}

static void decide_case_close(struct engine *e, struct item *it)
{
    struct change *c = change_make(e, it, CHANGE_CASE_CLOSE);
    c->case_key = it->request->case_key;
    c->note = it->request->note;
    reply_ok(it->request, 200);
}

static void decide_notice(struct engine *e, struct item *it)
{
    struct request *r = it->request;
    reply_ok(r, 200);
    it->is_answered = true;
    if (it->bundle) {
        step_take(
            e, it,
            &(struct event){.kind = EV_NOTICE, .stock_is_short = r->stock_is_short, .answer = r->notice.notice.answer});
        change_order(e, it);
        return;
    }
    struct case_row *row = arena_take(&e->arena, sizeof *row);
    if (!row) {
        problem(it, 503, "overloaded", "out of memory"); // it is sent again
        return;
    }
    const struct notice *n = &r->notice.notice;
    *row = (struct case_row){.kind = CASE_UNKNOWN_NUMBER,
                             .channel = r->notice.channel,
                             .number = str_of(n->number),
                             .provider_trade_no = str_of(n->answer.provider_trade_no),
                             .there_fen = n->answer.captured_fen};
    change_cases(e, it, row, 1);
}

static void decide_stock_add(struct engine *e, struct item *it)
{
    struct request *r = it->request;
    const struct want *w = want_of(it, WANT_SKU);
    if (!w->found) {
        problem(it, 404, "unknown_sku", "there is no such sku");
        return;
    }
    struct sku after = w->sku;
    if (!stock_add(&after.stock, r->stock_add.add)) {
        problem(it, 409, "insufficient_stock", "available stock cannot become negative, nor more than 10^12");
        return;
    }
    struct change *c = change_make(e, it, CHANGE_STOCK_ADD);
    c->sku = w->sku;
    c->add = r->stock_add.add;
    struct document d = {.kind = DOCUMENT_SKU, .sku = &after};
    reply_present(e, r, 200, &d);
    it->is_answered = true;
    remember(e, it, 0);
}

static void decide_small(struct engine *e, struct item *it)
{
    struct request *r = it->request;
    struct change *c = change_make(e, it,
                                   r->kind == REQUEST_SKU_PUT    ? CHANGE_SKU_PUT
                                   : r->kind == REQUEST_CART_PUT ? CHANGE_CART_PUT
                                                                 : CHANGE_CART_CLEAR);
    if (r->kind == REQUEST_SKU_PUT) {
        c->sku = r->sku_put.sku;
        c->with_stock = r->sku_put.with_stock;
    } else {
        c->cart = r->cart.cart;
        c->sku.sku = r->cart.sku;
        c->quantity = r->cart.quantity;
        reply_ok(r, 200);
    }
}

static bool concerns_an_order(const struct request *r)
{
    return r->kind == REQUEST_CANCEL || r->kind == REQUEST_CHECK || r->kind == REQUEST_REFUND || r->kind == REQUEST_PAY;
}

static void decide_request(struct engine *e, struct item *it)
{
    struct request *r = it->request;
    if (r->finishing) { // its reply was written in an earlier turn; now it is remembered, then sent
        it->bundle = NULL;
        it->is_answered = true;
        remember(e, it, 0);
        return;
    }
    if (decide_idem(e, it)) {
        if (!it->waits) it->bundle = NULL;
        return;
    }
    if (concerns_an_order(r) && !it->bundle) {
        problem(it, 404, "unknown_order", "there is no such order");
        return;
    }
    if (r->kind == REQUEST_RESOLVE && !it->bundle) {
        problem(it, 404, "unknown_payment", "there is no such payment");
        return;
    }
    switch (r->kind) {
    case REQUEST_PLACE: decide_place(e, it); break;
    case REQUEST_CANCEL: decide_cancel(e, it); break;
    case REQUEST_CHECK: decide_check(e, it); break;
    case REQUEST_REFUND: decide_refund(e, it); break;
    case REQUEST_PAY: decide_pay(e, it); break;
    case REQUEST_RESOLVE: decide_resolve(e, it); break;
    case REQUEST_NOTICE: decide_notice(e, it); break;
    case REQUEST_CASES:
        change_cases(e, it, r->cases.rows, r->cases.n);
        reply_ok(r, 200);
        break;
    case REQUEST_CASE_CLOSE: decide_case_close(e, it); break;
    case REQUEST_STOCK_ADD: decide_stock_add(e, it); break;
    case REQUEST_SKU_PUT:
    case REQUEST_CART_PUT:
    case REQUEST_CART_CLEAR: decide_small(e, it); break;
    }
}

// --- Everything

static void decide_due(struct engine *e, struct item *it)
{
    atomic_fetch_add_explicit(&e->stats.dues, 1, memory_order_relaxed);
    if (it->bundle->order.due_ms > e->now_ms) { // it owes something else by now, or nothing
        atomic_fetch_add_explicit(&e->stats.dues_stale, 1, memory_order_relaxed);
        return;
    }
    step_take(e, it, &(struct event){.kind = EV_DUE});
    change_order(e, it);
}

void item_decide(struct engine *e, struct item *it)
{
    const struct want *w = want_of(it, WANT_ORDER);
    if (!w) w = want_of(it, WANT_PAYMENT);
    if (w && w->found) {
        it->bundle = w->bundle;
        it->text = w->order_text;
        it->due_before_ms = w->bundle->order.due_ms;
    }
    if (it->kind == ITEM_REQUEST) {
        decide_request(e, it);
        return;
    }
    if (it->kind == ITEM_NEWS) {
        news_decide(e, it);
        return;
    }
    if (!it->bundle) return; // an answer about nothing we know, a deadline of an order that went to the archive
    if (it->kind == ITEM_DUE) {
        decide_due(e, it);
    } else if (it->kind == ITEM_ANSWER) {
        step_take(
            e, it,
            &(struct event){.kind = EV_ANSWER, .stock_is_short = it->answer->stock_is_short, .answer = it->answer->a});
        change_order(e, it);
    } else if (it->request->kind == REQUEST_PLACE && it->bundle->order.reply_state == ORDER_STATE_0) {
        step_take(e, it, &(struct event){.kind = EV_LATE_REPLY});
        change_order(e, it);
    }
}
