// SPDX-License-Identifier: Apache-2.0
#include "shop.h"
#include "base/buf.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

void shop_open(struct shop *shop, struct store *s)
{
    assert_non_null(s);
    *shop = (struct shop){.s = s, .keys = {.last = s->last_key}, .policy = POLICY_REVERSE, .now_ms = SHOP_START_MS};
    shop->rules = (struct rules){
        .close_grace_ms = 30000,
        .checkback = {.schedule = SCHEDULE_FIXED, .first_ms = 30000, .interval_ms = 30000},
        .call_deadline_ms = 5000,
        .code_min_life_ms = 60000,
        .code_max_life_ms = 7000000,
        .refund_query_ms = 10000,
    };
}

void shop_close(struct shop *shop)
{
    if (shop->s) shop->s->ops->close(shop->s);
    shop->s = NULL;
    arena_free(&shop->a);
}

static struct str items_text(struct shop *shop, const struct line *lines, unsigned n)
{
    struct buf b = {0};
    json_open(&b, '[');
    for (unsigned i = 0; i < n; i++) {
        json_open(&b, '{');
        json_kstr(&b, "sku", lines[i].sku);
        json_kstr(&b, "title", lines[i].title);
        json_ki64(&b, "quantity", lines[i].quantity);
        json_ki64(&b, "price", lines[i].price_fen);
        json_close(&b, '}');
    }
    json_close(&b, ']');
    struct str text = arena_copy(&shop->a, buf_view(&b));
    buf_free(&b);
    return text;
}

struct placing *shop_prepare(struct shop *shop, enum channel_id channel, const struct line *lines)
{
    struct placing *p = arena_take(&shop->a, sizeof *p);
    assert_non_null(p);
    for (; lines[p->n_lines].sku.p; p->n_lines++)
        p->lines[p->n_lines] = lines[p->n_lines];
    uint64_t key = keygen_take(&shop->keys, ++shop->now_ms, 32);
    p->bundle.order = (struct order){
        .key = key,
        .channel = channel,
        .policy = shop->policy,
        .holds_stock = true,
        .expires_ms = shop->now_ms + 300000,
    };
    assert_true(order_price(p->lines, p->n_lines, &p->bundle.order.amount_fen));
    struct event e = {.kind = EV_PLACE, .now_ms = shop->now_ms, .fresh_key = key + 1};
    core_step(&shop->rules, &p->bundle, &e, &p->step);
    p->bundle.order.version = 1;
    p->text = (struct order_text){.currency = STR("CNY"), .items = items_text(shop, p->lines, p->n_lines)};
    p->change = (struct change){
        .kind = CHANGE_ORDER,
        .at_ms = shop->now_ms,
        .bundle = &p->bundle,
        .step = &p->step,
        .first_event_key = key + 8,
        .first_trace_key = key + 16,
        .first_message_key = key + 30,
        .text = &p->text,
        .lines = p->lines,
        .n_lines = p->n_lines,
    };
    return p;
}

enum apply_result shop_apply(struct shop *shop, struct change *c)
{
    assert_int_equal(shop->s->ops->apply(shop->s, c, 1, &shop->a), STORE_DONE);
    return c->result;
}

uint64_t shop_place(struct shop *shop, enum channel_id channel, const char *sku, int64_t quantity)
{
    struct line lines[] = {{str_of(sku), STR("A thing"), quantity, 100}, {.sku = {NULL, 0}}};
    struct placing *p = shop_prepare(shop, channel, lines);
    assert_int_equal(shop_apply(shop, &p->change), APPLY_DONE);
    return p->bundle.order.key;
}

void shop_sku(struct shop *shop, const char *sku, int64_t price_fen, int64_t available)
{
    struct change c = {
        .kind = CHANGE_SKU_PUT,
        .at_ms = ++shop->now_ms,
        .sku = {str_of(sku), STR("A thing"), STR("CNY"), price_fen, {available, 0, 0}},
        .with_stock = true,
    };
    assert_int_equal(shop_apply(shop, &c), APPLY_DONE);
    assert_true(c.created);
    assert_int_equal(c.after.stock.available, available);
}

struct sku shop_sku_now(struct shop *shop, const char *sku)
{
    struct want w = {.kind = WANT_SKU, .text = str_of(sku)};
    assert_true(shop->s->ops->load(shop->s, &w, 1, &shop->a));
    assert_true(w.found);
    return w.sku;
}

struct bundle *shop_bundle(struct shop *shop, uint64_t order_key)
{
    struct want w = {.kind = WANT_ORDER, .key = order_key};
    assert_true(shop->s->ops->load(shop->s, &w, 1, &shop->a));
    assert_true(w.found);
    return w.bundle;
}

enum apply_result shop_event(struct shop *shop, uint64_t order_key, struct event e)
{
    struct bundle *b = shop_bundle(shop, order_key);
    struct step *step = arena_take(&shop->a, sizeof *step);
    e.now_ms = ++shop->now_ms;
    uint64_t key = keygen_take(&shop->keys, shop->now_ms, 48);
    e.fresh_key = key;
    core_step(&shop->rules, b, &e, step);
    assert_int_equal(step->refusal, REFUSAL_NONE);
    if (step->changed) b->order.version++;
    struct change c = {
        .kind = CHANGE_ORDER,
        .at_ms = shop->now_ms,
        .bundle = b,
        .step = step,
        .first_event_key = key + 8,
        .first_trace_key = key + 24,
        .first_message_key = key + 40,
    };
    return shop_apply(shop, &c);
}

enum apply_result shop_answer(struct shop *shop, uint64_t order_key, struct answer a)
{
    struct bundle *b = shop_bundle(shop, order_key);
    if (!a.payment_key) a.payment_key = b->payment[b->n_payments - 1].key;
    a.channel = CHANNEL_ALIPAY;
    a.outcome = OUTCOME_DONE;
    a.asked_ms = shop->now_ms;
    return shop_event(shop, order_key, (struct event){.kind = EV_ANSWER, .answer = a});
}

void shop_code(struct shop *shop, uint64_t order_key)
{
    struct answer a = {.method = CALL_CREATE, .fact = FACT_CODE, .code = STR("https://qr.example/1")};
    assert_int_equal(shop_answer(shop, order_key, a), APPLY_DONE);
}

void shop_pay(struct shop *shop, uint64_t order_key, int64_t captured_fen)
{
    struct answer a = {.method = CALL_QUERY, .fact = FACT_PAID, .captured_fen = captured_fen};
    id_format(shop->s->secret, "", shop->keys.last, a.provider_trade_no); // another one each time
    assert_int_equal(shop_answer(shop, order_key, a), APPLY_DONE);
}

void shop_cancel(struct shop *shop, uint64_t order_key)
{
    struct event e = {.kind = EV_CANCEL, .cancel = {REASON_TIMEOUT}};
    assert_int_equal(shop_event(shop, order_key, e), APPLY_DONE);
    struct bundle *b = shop_bundle(shop, order_key);
    if (b->order.state == ORDER_CANCELLED) return;
    assert_int_equal(shop_answer(shop, order_key, (struct answer){.method = CALL_QUERY, .fact = FACT_CLOSED}),
                     APPLY_DONE);
}

void shop_refund_done(struct shop *shop, uint64_t order_key)
{
    struct bundle *b = shop_bundle(shop, order_key);
    assert_true(b->n_refunds > 0);
    struct refund *f = &b->refund[b->n_refunds - 1];
    struct answer a = {
        .method = CALL_REFUND, .fact = FACT_REFUND_DONE, .payment_key = f->payment_key, .refund_key = f->key};
    assert_int_equal(shop_answer(shop, order_key, a), APPLY_DONE);
}
