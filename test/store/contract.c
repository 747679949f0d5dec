// SPDX-License-Identifier: Apache-2.0
#include "contract_inside.h"

static const struct store_maker *maker;
struct shop shop;
struct reader *reader;

int contract_set_up(void **state)
{
    (void)state;
    shop_open(&shop, maker->open());
    reader = maker->reader();
    assert_non_null(reader);
    return 0;
}

int contract_tear_down(void **state)
{
    (void)state;
    reader->ops->close(reader);
    shop_close(&shop);
    return 0;
}

void contract_reopen(void)
{
    reader->ops->close(reader);
    shop.s = maker->reopen(shop.s);
    assert_non_null(shop.s);
    reader = maker->reader();
    assert_non_null(reader);
}

void assert_str(struct str a, const char *z)
{
    assert_int_equal(a.n, strlen(z));
    assert_memory_equal(a.p, z, a.n);
}

void assert_order_equal(const struct order *a, const struct order *b)
{
    assert_int_equal(a->key, b->key);
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->sequence, b->sequence);
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->reason, b->reason);
    assert_int_equal(a->channel, b->channel);
    assert_int_equal(a->policy, b->policy);
    assert_int_equal(a->holds_stock, b->holds_stock);
    assert_int_equal(a->reply_state, b->reply_state);
    assert_int_equal(a->reply_version, b->reply_version);
    assert_int_equal(a->n_checks, b->n_checks);
    assert_int_equal(a->amount_fen, b->amount_fen);
    assert_int_equal(a->paid_fen, b->paid_fen);
    assert_int_equal(a->refunded_fen, b->refunded_fen);
    assert_int_equal(a->created_ms, b->created_ms);
    assert_int_equal(a->expires_ms, b->expires_ms);
    assert_int_equal(a->closing_ms, b->closing_ms);
    assert_int_equal(a->paid_ms, b->paid_ms);
    assert_int_equal(a->cancelled_ms, b->cancelled_ms);
    assert_int_equal(a->check_ms, b->check_ms);
    assert_int_equal(a->scanned_ms, b->scanned_ms);
    assert_int_equal(a->due_ms, b->due_ms);
}

void assert_payment_equal(const struct payment *a, const struct payment *b)
{
    assert_int_equal(a->key, b->key);
    assert_int_equal(a->channel, b->channel);
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->proof, b->proof);
    assert_int_equal(a->n, b->n);
    assert_int_equal(a->amount_fen, b->amount_fen);
    assert_int_equal(a->captured_fen, b->captured_fen);
    assert_int_equal(a->refunded_fen, b->refunded_fen);
    assert_int_equal(a->refunding_fen, b->refunding_fen);
    assert_int_equal(a->created_ms, b->created_ms);
    assert_int_equal(a->expires_ms, b->expires_ms);
    assert_int_equal(a->captured_ms, b->captured_ms);
    assert_int_equal(a->proof_ms, b->proof_ms);
    assert_int_equal(a->owes, b->owes);
    assert_int_equal(a->tries, b->tries);
    assert_int_equal(a->due_ms, b->due_ms);
    assert_int_equal(a->counts, b->counts);
    assert_string_equal(a->provider_trade_no, b->provider_trade_no);
    assert_true(str_eq(a->code, b->code));
}

static void assert_stock(const char *sku, int64_t available, int64_t held, int64_t sold)
{
    struct stock s = shop_sku_now(&shop, sku).stock;
    assert_int_equal(s.available, available);
    assert_int_equal(s.held, held);
    assert_int_equal(s.sold, sold);
}

static struct want load(struct want w)
{
    assert_true(shop.s->ops->load(shop.s, &w, 1, &shop.a));
    return w;
}

static enum store_outcome apply(struct change *c, unsigned n)
{
    return shop.s->ops->apply(shop.s, c, n, &shop.a);
}

// --- Orders

static void an_order_comes_back_as_it_was_placed(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 10);
    struct placing *p = shop_prepare(&shop, CHANNEL_ALIPAY, LINES(LINE("A", 2)));
    p->text.buyer = STR("Li Lei");
    p->text.subject = STR("\xe8\x8c\xb6");
    p->text.metadata = STR("{\"table\":7}");
    p->text.merchant_order_no = STR("M-1");
    p->change.request_hash = (struct hash128){7, UINT64_MAX};
    assert_int_equal(shop_apply(&shop, &p->change), APPLY_DONE);
    struct want w = load((struct want){.kind = WANT_ORDER, .key = p->bundle.order.key});
    assert_true(w.found);
    assert_order_equal(&w.bundle->order, &p->bundle.order);
    assert_int_equal(w.bundle->n_payments, 1);
    assert_payment_equal(&w.bundle->payment[0], &p->bundle.payment[0]);
    assert_str(w.order_text.buyer, "Li Lei");
    assert_str(w.order_text.subject, "\xe8\x8c\xb6");
    assert_str(w.order_text.metadata, "{\"table\":7}");
    assert_str(w.order_text.merchant_order_no, "M-1");
    assert_str(w.order_text.currency, "CNY");
    assert_true(str_eq(w.order_text.items, p->text.items));
    assert_stock("A", 8, 2, 0);
}

static void every_later_state_comes_back_whole(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 10);
    uint64_t key = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    shop_code(&shop, key);
    struct bundle *b = shop_bundle(&shop, key);
    assert_str(b->payment[0].code, "https://qr.example/1");
    assert_int_equal(b->order.state, ORDER_AWAITING_PAYMENT);
    shop_pay(&shop, key, 100);
    b = shop_bundle(&shop, key);
    assert_int_equal(b->order.state, ORDER_PAID);
    assert_int_equal(b->order.due_ms, TIME_NEVER);
    assert_true(b->payment[0].counts);
    assert_int_not_equal(strlen(b->payment[0].provider_trade_no), 0);
    assert_int_equal(shop_event(&shop, key, (struct event){.kind = EV_REFUND, .refund = {40}}), APPLY_DONE);
    b = shop_bundle(&shop, key);
    assert_int_equal(b->n_refunds, 1);
    assert_int_equal(b->refund[0].amount_fen, 40);
    assert_int_equal(b->refund[0].state, REFUND_PENDING);
    assert_int_equal(b->refund[0].payment_key, b->payment[0].key);
    assert_int_equal(b->order.due_ms, b->refund[0].due_ms);
    uint64_t refund_key = b->refund[0].key, payment_key = b->payment[0].key;
    struct answer a = {.method = CALL_REFUND, .fact = FACT_REFUND_ACCEPTED, .refund_key = refund_key};
    assert_int_equal(shop_answer(&shop, key, a), APPLY_DONE);
    a.method = CALL_REFUND_QUERY;
    a.fact = FACT_REFUND_ABSENT;
    assert_int_equal(shop_answer(&shop, key, a), APPLY_DONE);
    b = shop_bundle(&shop, key);
    assert_int_equal(b->refund[0].owes, CALL_REFUND_QUERY);
    assert_int_equal(b->refund[0].absents, 1);
    shop_refund_done(&shop, key);
    b = shop_bundle(&shop, key);
    assert_int_equal(b->n_refunds, 0);
    assert_int_equal(b->order.refunded_fen, 40);
    struct want w = load((struct want){.kind = WANT_PAYMENT, .key = payment_key, .refund_key = refund_key});
    assert_true(w.found);
    assert_int_equal(w.bundle->order.key, key);
    assert_int_equal(w.bundle->n_refunds, 1);
    assert_int_equal(w.bundle->refund[0].state, REFUND_SUCCEEDED);
    assert_int_equal(w.bundle->refund[0].due_ms, TIME_NEVER);
}

static void what_is_not_there_is_not_found(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 10);
    shop_place(&shop, CHANNEL_ANY, "A", 1);
    struct want wants[] = {
        {.kind = WANT_ORDER, .key = 1},       {.kind = WANT_PAYMENT, .key = 1},
        {.kind = WANT_SKU, .text = STR("B")}, {.kind = WANT_CART, .text = STR("c")},
        {.kind = WANT_IDEM, .scope = {1, 2}}, {.kind = WANT_MERCHANT_NO, .text = STR("M-1")},
    };
    assert_true(shop.s->ops->load(shop.s, wants, 6, &shop.a));
    for (int i = 0; i < 6; i++)
        assert_false(wants[i].found);
}

static void the_second_writer_of_a_version_meets_a_conflict(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 10);
    uint64_t key = shop_place(&shop, CHANNEL_ANY, "A", 3);
    struct change c[2];
    struct step steps[2];
    for (int i = 0; i < 2; i++) {
        struct bundle *b = shop_bundle(&shop, key);
        uint64_t k = keygen_take(&shop.keys, ++shop.now_ms, 48);
        struct event e = {.kind = EV_CANCEL, .now_ms = shop.now_ms, .fresh_key = k, .cancel = {REASON_BUYER}};
        core_step(&shop.rules, b, &e, &steps[i]);
        b->order.version++;
        c[i] = (struct change){.kind = CHANGE_ORDER,
                               .at_ms = shop.now_ms,
                               .bundle = b,
                               .step = &steps[i],
                               .first_event_key = k + 8,
                               .first_trace_key = k + 24,
                               .first_message_key = k + 40};
    }
    assert_int_equal(apply(c, 2), STORE_DONE);
    assert_int_equal(c[0].result, APPLY_DONE);
    assert_int_equal(c[1].result, APPLY_CONFLICT);
    assert_stock("A", 10, 0, 0); // given back once
    struct trace_row rows[32];
    unsigned n;
    assert_true(reader->ops->timeline(reader, key, rows, 32, &n, &shop.a));
    unsigned cancelled = 0;
    for (unsigned i = 0; i < n; i++)
        cancelled += rows[i].to == ORDER_CANCELLED;
    assert_int_equal(cancelled, 1);
}

static void stock_follows_the_order(void **state)
{
    (void)state;
    shop.rules.late_payment = LATE_REOPEN;
    shop_sku(&shop, "A", 100, 10);
    uint64_t paid = shop_place(&shop, CHANNEL_ALIPAY, "A", 2);
    assert_stock("A", 8, 2, 0);
    shop_pay(&shop, paid, 200);
    assert_stock("A", 8, 0, 2);
    uint64_t late = shop_place(&shop, CHANNEL_ALIPAY, "A", 3);
    shop_cancel(&shop, late);
    assert_stock("A", 8, 0, 2);
    shop_pay(&shop, late, 300);
    assert_stock("A", 5, 0, 5);
    assert_int_equal(shop_bundle(&shop, late)->order.state, ORDER_PAID);
}

static void a_reopening_that_finds_no_stock_is_short_and_changes_nothing(void **state)
{
    (void)state;
    shop.rules.late_payment = LATE_REOPEN;
    shop_sku(&shop, "A", 100, 3);
    uint64_t late = shop_place(&shop, CHANNEL_ALIPAY, "A", 3);
    shop_cancel(&shop, late);
    shop_place(&shop, CHANNEL_ANY, "A", 1);
    uint32_t version = shop_bundle(&shop, late)->order.version;
    struct answer a = {.method = CALL_QUERY, .fact = FACT_PAID, .captured_fen = 300};
    assert_int_equal(shop_answer(&shop, late, a), APPLY_SHORT);
    struct bundle *b = shop_bundle(&shop, late);
    assert_int_equal(b->order.version, version);
    assert_int_equal(b->payment[0].captured_fen, 0);
    assert_stock("A", 2, 1, 0);
}

static void a_short_second_line_gives_the_first_back(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 10);
    shop_sku(&shop, "B", 100, 1);
    struct placing *p = shop_prepare(&shop, CHANNEL_ANY, LINES(LINE("A", 4), LINE("B", 2)));
    struct placing *q = shop_prepare(&shop, CHANNEL_ANY, LINES(LINE("A", 1), LINE("C", 1)));
    struct placing *r = shop_prepare(&shop, CHANNEL_ANY, LINES(LINE("A", 5), LINE("B", 1)));
    struct change c[] = {p->change, q->change, r->change};
    assert_int_equal(apply(c, 3), STORE_DONE);
    assert_int_equal(c[0].result, APPLY_SHORT);
    assert_str(c[0].short_sku, "B");
    assert_int_equal(c[1].result, APPLY_MISSING);
    assert_int_equal(c[2].result, APPLY_DONE);
    assert_stock("A", 5, 5, 0);
    assert_stock("B", 0, 1, 0);
    assert_false(load((struct want){.kind = WANT_ORDER, .key = p->bundle.order.key}).found);
}

static void the_same_line_twice_is_counted_twice(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 5);
    struct placing *p = shop_prepare(&shop, CHANNEL_ANY, LINES(LINE("A", 3), LINE("A", 3)));
    assert_int_equal(shop_apply(&shop, &p->change), APPLY_SHORT);
    assert_stock("A", 5, 0, 0);
}

// --- Numbers and keys that may be used once

static void a_merchant_number_places_once_in_a_batch_and_after_it(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 10);
    struct placing *p[3];
    for (int i = 0; i < 3; i++) {
        p[i] = shop_prepare(&shop, CHANNEL_ANY, LINES(LINE("A", 1)));
        p[i]->text.merchant_order_no = STR("M-1");
        p[i]->change.request_hash = (struct hash128){40 + i, 41};
    }
    struct change c[] = {p[0]->change, p[1]->change};
    assert_int_equal(apply(c, 2), STORE_DONE);
    assert_int_equal(c[0].result, APPLY_DONE);
    assert_int_equal(c[1].result, APPLY_CONFLICT);
    assert_int_equal(shop_apply(&shop, &p[2]->change), APPLY_CONFLICT);
    assert_stock("A", 9, 1, 0);
    for (int round = 0; round < 2; round++) {
        struct want w = load((struct want){.kind = WANT_MERCHANT_NO, .text = STR("M-1")});
        assert_true(w.found);
        assert_int_equal(w.bundle->order.key, p[0]->bundle.order.key);
        assert_int_equal(w.request_hash.a, 40);
        assert_int_equal(w.request_hash.b, 41);
        assert_str(w.order_text.merchant_order_no, "M-1");
        assert_false(load((struct want){.kind = WANT_MERCHANT_NO, .text = STR("M-2")}).found);
        contract_reopen();
    }
}

static struct change idem_change(struct idem_record *r, uint64_t a, const char *answer)
{
    *r = (struct idem_record){
        .scope = {a, 2}, .body = {3, 4}, .at_ms = shop.now_ms, .status = 201, .answer = str_of(answer)};
    return (struct change){.kind = CHANGE_IDEM, .at_ms = shop.now_ms, .idem = r};
}

static void an_idem_key_is_used_once_and_answers_again(void **state)
{
    (void)state;
    struct idem_record r[3];
    struct change c[] = {idem_change(&r[0], 1, "{\"a\":1}"), idem_change(&r[1], 1, "{\"b\":2}"),
                         idem_change(&r[2], 5, "")};
    r[2].order_key = 77;
    assert_int_equal(apply(c, 3), STORE_DONE);
    assert_int_equal(c[0].result, APPLY_DONE);
    assert_int_equal(c[1].result, APPLY_CONFLICT);
    assert_int_equal(c[2].result, APPLY_DONE);
    for (int round = 0; round < 2; round++) {
        struct want w = load((struct want){.kind = WANT_IDEM, .scope = {1, 2}});
        assert_true(w.found);
        assert_str(w.idem.answer, "{\"a\":1}");
        assert_int_equal(w.idem.status, 201);
        assert_int_equal(w.idem.body.a, 3);
        assert_int_equal(w.idem.body.b, 4);
        assert_int_equal(w.idem.at_ms, r[0].at_ms);
        w = load((struct want){.kind = WANT_IDEM, .scope = {5, 2}});
        assert_true(w.found);
        assert_int_equal(w.idem.order_key, 77);
        assert_int_equal(w.idem.answer.n, 0);
        // another scope of the same 64 bits is another scope
        assert_false(load((struct want){.kind = WANT_IDEM, .scope = {1, 3}}).found);
        contract_reopen();
    }
}

static void a_change_that_is_refused_remembers_no_key(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 1);
    struct idem_record r;
    struct change c = idem_change(&r, 1, "");
    struct placing *p = shop_prepare(&shop, CHANNEL_ANY, LINES(LINE("A", 2)));
    p->change.idem = c.idem;
    assert_int_equal(shop_apply(&shop, &p->change), APPLY_SHORT);
    assert_false(load((struct want){.kind = WANT_IDEM, .scope = {1, 2}}).found);
    assert_int_equal(shop_apply(&shop, &c), APPLY_DONE);
}

static void old_keys_are_forgotten_and_young_ones_kept(void **state)
{
    (void)state;
    enum { N = 1500 };
    static struct idem_record r[N + 1];
    static struct change c[N + 1];
    for (unsigned i = 0; i < N; i++)
        c[i] = idem_change(&r[i], i + 1, "");
    shop.now_ms += INT64_C(48) * 3600 * 1000;
    c[N] = idem_change(&r[N], N + 1, "");
    assert_int_equal(apply(c, N + 1), STORE_DONE);
    shop.s->ops->tidy(shop.s, shop.now_ms); // 48 h and not a moment more
    assert_true(load((struct want){.kind = WANT_IDEM, .scope = {1, 2}}).found);
    for (int i = 0; i < 8; i++)
        shop.s->ops->tidy(shop.s, shop.now_ms + 3600 * 1000);
    for (unsigned i = 1; i <= N; i += 37)
        assert_false(load((struct want){.kind = WANT_IDEM, .scope = {i, 2}}).found);
    assert_true(load((struct want){.kind = WANT_IDEM, .scope = {N + 1, 2}}).found);
    contract_reopen();
    assert_false(load((struct want){.kind = WANT_IDEM, .scope = {N, 2}}).found);
    assert_true(load((struct want){.kind = WANT_IDEM, .scope = {N + 1, 2}}).found);
    assert_int_equal(apply(&(struct change){.kind = CHANGE_IDEM, .idem = &r[0]}, 1), STORE_DONE);
    assert_true(load((struct want){.kind = WANT_IDEM, .scope = {1, 2}}).found);
}

// --- Stock and carts

static void a_sku_is_put_with_stock_once_and_changed_without(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 10);
    struct change c = {.kind = CHANGE_SKU_PUT, .sku = {STR("A"), STR("New"), STR("CNY"), 250, {99, 0, 0}}};
    assert_int_equal(shop_apply(&shop, &c), APPLY_DONE);
    assert_false(c.created);
    assert_int_equal(c.after.price_fen, 250);
    assert_str(c.after.title, "New");
    assert_stock("A", 10, 0, 0);
    c.with_stock = true;
    assert_int_equal(shop_apply(&shop, &c), APPLY_EXISTS);
}

static void stock_is_added_to_what_was_seen(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 10);
    struct change c = {.kind = CHANGE_STOCK_ADD, .sku = shop_sku_now(&shop, "A"), .add = -4};
    assert_int_equal(shop_apply(&shop, &c), APPLY_DONE);
    assert_stock("A", 6, 0, 0);
    assert_int_equal(shop_apply(&shop, &c), APPLY_CONFLICT); // ten were seen, six are there
    c.sku = shop_sku_now(&shop, "A");
    c.add = -7;
    assert_int_equal(shop_apply(&shop, &c), APPLY_SHORT);
    assert_stock("A", 6, 0, 0);
    c.sku.sku = STR("B");
    assert_int_equal(shop_apply(&shop, &c), APPLY_MISSING);
}

static enum apply_result cart_put(struct str cart, struct str sku, int64_t quantity)
{
    struct change c = {.kind = CHANGE_CART_PUT, .cart = cart, .sku = {.sku = sku}, .quantity = quantity};
    return shop_apply(&shop, &c);
}

static void an_order_from_a_cart_empties_it(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 3);
    shop_sku(&shop, "B", 100, 3);
    assert_int_equal(cart_put(STR("c"), STR("A"), 9), APPLY_DONE);
    assert_int_equal(cart_put(STR("c"), STR("A"), 2), APPLY_DONE);
    assert_int_equal(cart_put(STR("c"), STR("B"), 1), APPLY_DONE);
    assert_int_equal(cart_put(STR("d"), STR("B"), 1), APPLY_DONE);
    assert_int_equal(cart_put(STR("c"), STR("Z"), 1), APPLY_MISSING);
    struct want w = load((struct want){.kind = WANT_CART, .text = STR("c")});
    assert_int_equal(w.n_lines, 2);
    assert_str(w.lines[0].sku.sku, "A");
    assert_int_equal(w.lines[0].quantity, 2);
    struct placing *p = shop_prepare(&shop, CHANNEL_ANY, LINES(LINE("A", 4)));
    p->change.cart = STR("c");
    assert_int_equal(shop_apply(&shop, &p->change), APPLY_SHORT);
    assert_int_equal(load((struct want){.kind = WANT_CART, .text = STR("c")}).n_lines, 2);
    p = shop_prepare(&shop, CHANNEL_ANY, LINES(LINE("A", 2), LINE("B", 1)));
    p->change.cart = STR("c");
    assert_int_equal(shop_apply(&shop, &p->change), APPLY_DONE);
    assert_false(load((struct want){.kind = WANT_CART, .text = STR("c")}).found);
    assert_true(load((struct want){.kind = WANT_CART, .text = STR("d")}).found);
    assert_int_equal(cart_put(STR("d"), STR("B"), 0), APPLY_DONE);
    assert_false(load((struct want){.kind = WANT_CART, .text = STR("d")}).found);
}

static void a_cart_has_a_last_line(void **state)
{
    (void)state;
    char names[CART_LINES_MAX + 1][8];
    for (int i = 0; i <= CART_LINES_MAX; i++) {
        names[i][0] = 's';
        names[i][1] = (char)('0' + i / 10);
        names[i][2] = (char)('0' + i % 10);
        names[i][3] = 0;
        shop_sku(&shop, names[i], 1, 1);
        assert_int_equal(cart_put(STR("c"), str_of(names[i]), 1), i < CART_LINES_MAX ? APPLY_DONE : APPLY_FULL);
    }
    assert_int_equal(cart_put(STR("c"), str_of(names[0]), 5), APPLY_DONE); // no new line
    struct cart_line lines[CART_LINES_MAX];
    unsigned n;
    assert_true(reader->ops->cart(reader, STR("c"), lines, CART_LINES_MAX, &n, &shop.a));
    assert_int_equal(n, CART_LINES_MAX);
    assert_int_equal(lines[0].quantity, 5);
    struct change c = {.kind = CHANGE_CART_CLEAR, .cart = STR("c")};
    assert_int_equal(shop_apply(&shop, &c), APPLY_DONE);
    assert_false(load((struct want){.kind = WANT_CART, .text = STR("c")}).found);
}

// --- Money

static void a_capture_goes_back_by_system_once(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 10);
    uint64_t key = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    shop_place(&shop, CHANNEL_ANY, "A", 1);
    shop_cancel(&shop, key);
    shop_pay(&shop, key, 100); // late: sent back
    struct bundle *b = shop_bundle(&shop, key);
    assert_int_equal(b->n_refunds, 1);
    assert_int_equal(b->refund[0].cause, CAUSE_LATE);
    uint32_t version = b->order.version;
    // A core gone wrong makes another one; beside it in the batch is a change that is right.
    struct step wrong = {.changed = true, .refunds_changed = 2, .refunds_added = 2};
    b->refund[1] = b->refund[0];
    b->refund[1].key = keygen_take(&shop.keys, ++shop.now_ms, 16);
    b->refund[1].cause = CAUSE_DUPLICATE;
    b->n_refunds = 2;
    b->order.version++;
    struct idem_record r;
    struct placing *good = shop_prepare(&shop, CHANNEL_ANY, LINES(LINE("A", 2)));
    good->text.merchant_order_no = STR("M-9");
    struct placing *bad = shop_prepare(&shop, CHANNEL_ANY, LINES(LINE("A", 1)));
    bad->step.events[1].sequence = 1; // it breaks late, with its order and its stock already written
    struct change c[] = {good->change,
                         {.kind = CHANGE_ORDER, .bundle = b, .step = &wrong, .at_ms = shop.now_ms},
                         idem_change(&r, 9, ""),
                         bad->change};
    assert_int_equal(apply(c, 4), STORE_DONE);
    assert_int_equal(c[3].result, APPLY_CONFLICT);
    assert_false(load((struct want){.kind = WANT_ORDER, .key = bad->bundle.order.key}).found);
    assert_int_equal(c[0].result, APPLY_DONE);
    assert_int_equal(c[1].result, APPLY_CONFLICT);
    assert_int_equal(c[2].result, APPLY_DONE);
    b = shop_bundle(&shop, key);
    assert_int_equal(b->order.version, version);
    assert_int_equal(b->n_refunds, 1);
    assert_true(load((struct want){.kind = WANT_IDEM, .scope = {9, 2}}).found);
    assert_int_equal(load((struct want){.kind = WANT_MERCHANT_NO, .text = STR("M-9")}).bundle->order.key,
                     good->bundle.order.key);
    assert_stock("A", 7, 3, 0);
    struct store_totals t;
    assert_true(reader->ops->totals(reader, 0, &t));
    assert_int_equal(t.orders[ORDER_AWAITING_PAYMENT], 2);
}

static void a_bundle_holds_what_is_unsettled_and_the_newest(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 10);
    uint64_t key = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    uint64_t second = 0;
    for (uint32_t n = 2; n <= 12; n++) { // attempts 2 to 12, all proven closed but the fifth
        struct bundle *b = shop_bundle(&shop, key);
        unsigned i = b->n_payments++;
        b->payment[i] = b->payment[0];
        b->payment[i].key = keygen_take(&shop.keys, ++shop.now_ms, 16);
        b->payment[i].n = n;
        if (n == 2) second = b->payment[i].key;
        if (n != 5) {
            b->payment[i].state = PAYMENT_CLOSED;
            b->payment[i].proof = PROOF_CLOSED;
            b->payment[i].proof_ms = shop.now_ms;
            b->payment[i].owes = CALL_NONE;
            b->payment[i].due_ms = TIME_NEVER;
        }
        struct step step = {.changed = true, .payments_changed = 1u << i, .payments_added = 1u << i};
        b->order.version++;
        struct change c = {.kind = CHANGE_ORDER, .bundle = b, .step = &step, .at_ms = shop.now_ms};
        assert_int_equal(shop_apply(&shop, &c), APPLY_DONE);
    }
    struct bundle *b = shop_bundle(&shop, key);
    assert_int_equal(b->n_payments, 3);
    assert_int_equal(b->payment[0].n, 1);
    assert_int_equal(b->payment[1].n, 5);
    assert_int_equal(b->payment[2].n, 12);
    b = load((struct want){.kind = WANT_PAYMENT, .key = second}).bundle;
    assert_int_equal(b->n_payments, 4);
    assert_int_equal(b->payment[1].key, second);
}

static unsigned cases_open(const struct case_row *rows, unsigned n)
{
    uint64_t key = keygen_take(&shop.keys, ++shop.now_ms, n);
    struct change c = {.kind = CHANGE_CASE, .at_ms = shop.now_ms, .case_key = key, .cases = rows, .n_cases = n};
    assert_int_equal(shop_apply(&shop, &c), APPLY_DONE);
    assert_int_equal(shop.s->last_key, key + n - 1);
    return c.n_opened;
}

static enum apply_result case_close(uint64_t key, struct str note)
{
    struct change c = {.kind = CHANGE_CASE_CLOSE, .at_ms = ++shop.now_ms, .case_key = key, .note = note};
    return shop_apply(&shop, &c);
}

static unsigned cases_read(struct case_filter f, struct case_row rows[9])
{
    unsigned n = 0;
    assert_true(reader->ops->cases(reader, &f, rows, 9, &n, &shop.a));
    return n;
}

static void a_difference_is_one_case_however_often_it_is_found(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 10);
    uint64_t order = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    uint64_t payment = shop_bundle(&shop, order)->payment[0].key;
    struct case_row found[] = {
        {.kind = CASE_MISSING_HERE,
         .channel = CHANNEL_ALIPAY,
         .number = STR("N"),
         .provider_trade_no = STR("P"),
         .there_fen = 100,
         .payment_key = payment,
         .day_ms = 86400000},
        {.kind = CASE_AMOUNT_DIFFERS, .channel = CHANNEL_ALIPAY, .number = STR("N"), .here_fen = 1, .there_fen = 2},
        {.kind = CASE_MISSING_THERE,
         .channel = CHANNEL_WECHATPAY,
         .is_refund = true,
         .number = STR("N"),
         .refund_number = STR("R"),
         .here_fen = 1,
         .payment_key = payment + 12345},
    };
    struct case_row rows[9];
    assert_int_equal(cases_open(found, 3), 3);
    assert_int_equal(cases_open(found, 3), 0);
    found[1].there_fen = 3; // something else by now
    assert_int_equal(cases_open(found, 3), 1);
    assert_int_equal(cases_read((struct case_filter){.is_open = true}, rows), 4);
    assert_int_equal(rows[0].there_fen, 3); // newest first
    assert_int_equal(rows[1].kind, CASE_MISSING_THERE);
    assert_true(rows[1].is_refund);
    assert_true(str_eq(rows[1].refund_number, STR("R")));
    assert_int_equal(rows[1].payment_key, 0); // of none
    assert_int_equal(rows[3].payment_key, payment);
    assert_int_equal(rows[3].order_key, order);
    assert_int_equal(rows[3].order_state, ORDER_PLACED);
    assert_int_equal(rows[3].payment_state, PAYMENT_CREATING);
    assert_int_equal(rows[3].day_ms, 86400000);
    assert_int_equal(cases_read((struct case_filter){.is_open = true, .before_key = rows[1].key}, rows), 2);
}

static void a_closed_case_stays_closed(void **state)
{
    (void)state;
    struct case_row rows[9], found = {.kind = CASE_MISSING_HERE, .channel = CHANNEL_ALIPAY, .number = STR("N")};
    assert_int_equal(cases_open(&found, 1), 1);
    uint64_t key = shop.s->last_key;
    assert_int_equal(case_close(key + 1, STR("x")), APPLY_MISSING);
    assert_int_equal(case_close(key, STR("refunded by hand")), APPLY_DONE);
    int64_t closed_ms = shop.now_ms;
    assert_int_equal(case_close(key, STR("refunded by hand")), APPLY_DONE);
    assert_int_equal(case_close(key, STR("no")), APPLY_EXISTS);
    assert_int_equal(cases_open(&found, 1), 0); // found again: what was said of it stands
    assert_int_equal(cases_read((struct case_filter){.is_open = true}, rows), 0);
    assert_int_equal(cases_read((struct case_filter){.is_closed = true}, rows), 1);
    assert_int_equal(cases_read((struct case_filter){.key = key}, rows), 1);
    assert_true(str_eq(rows[0].note, STR("refunded by hand")));
    assert_int_equal(rows[0].closed_ms, closed_ms);
}

// --- Start

static void a_reopened_store_goes_on_where_it_was(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 10);
    uint64_t key = shop_place(&shop, CHANNEL_ANY, "A", 1);
    struct event_row events[3];
    unsigned n;
    assert_true(reader->ops->events(reader, 0, events, 3, &n, &shop.a));
    assert_int_equal(shop.s->last_key, events[1].key); // no key a row has is ever made again
    key = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    shop_code(&shop, key);
    struct trace_row rows[9];
    assert_true(reader->ops->timeline(reader, key, rows, 9, &n, &shop.a));
    assert_int_equal(shop.s->last_key, rows[n - 1].key);
    uint8_t secret[ID_SECRET_SIZE];
    memcpy(secret, shop.s->secret, sizeof secret);
    uint64_t last_key = shop.s->last_key;
    int64_t last_ms = shop.s->last_ms;
    assert_int_equal(last_ms, shop.now_ms);
    struct bundle *before = shop_bundle(&shop, key);
    contract_reopen();
    assert_memory_equal(shop.s->secret, secret, sizeof secret);
    assert_int_equal(shop.s->last_key, last_key);
    assert_int_equal(shop.s->last_ms, last_ms);
    struct bundle *after = shop_bundle(&shop, key);
    assert_order_equal(&before->order, &after->order);
    assert_payment_equal(&before->payment[0], &after->payment[0]);
    shop_pay(&shop, key, 100);
    assert_stock("A", 8, 1, 1);
}

static void dues_come_by_key_page_by_page(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 100);
    uint64_t keys[7];
    for (int i = 0; i < 7; i++)
        keys[i] = shop_place(&shop, CHANNEL_ANY, "A", 1);
    shop_cancel(&shop, keys[3]);
    uint64_t seen[8], after = 0;
    unsigned n = 0;
    struct due_row rows[2];
    int got;
    while ((got = shop.s->ops->dues(shop.s, after, rows, 2)) > 0) {
        for (int i = 0; i < got; i++) {
            assert_true(n < 7);
            seen[n++] = after = rows[i].order_key;
            assert_int_equal(rows[i].due_ms, shop_bundle(&shop, after)->order.due_ms);
        }
    }
    assert_int_equal(got, 0);
    assert_int_equal(n, 6);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(seen[i], keys[i < 3 ? i : i + 1]);
}

int store_contract_run(const char *adapter, const struct store_maker *m)
{
    maker = m;
    const struct CMUnitTest tests[] = {
        TEST(an_order_comes_back_as_it_was_placed),
        TEST(every_later_state_comes_back_whole),
        TEST(what_is_not_there_is_not_found),
        TEST(the_second_writer_of_a_version_meets_a_conflict),
        TEST(stock_follows_the_order),
        TEST(a_reopening_that_finds_no_stock_is_short_and_changes_nothing),
        TEST(a_short_second_line_gives_the_first_back),
        TEST(the_same_line_twice_is_counted_twice),
        TEST(a_merchant_number_places_once_in_a_batch_and_after_it),
        TEST(an_idem_key_is_used_once_and_answers_again),
        TEST(a_change_that_is_refused_remembers_no_key),
        TEST(old_keys_are_forgotten_and_young_ones_kept),
        TEST(a_sku_is_put_with_stock_once_and_changed_without),
        TEST(stock_is_added_to_what_was_seen),
        TEST(an_order_from_a_cart_empties_it),
        TEST(a_cart_has_a_last_line),
        TEST(a_capture_goes_back_by_system_once),
        TEST(a_bundle_holds_what_is_unsettled_and_the_newest),
        TEST(a_difference_is_one_case_however_often_it_is_found),
        TEST(a_closed_case_stays_closed),
        TEST(a_reopened_store_goes_on_where_it_was),
        TEST(dues_come_by_key_page_by_page),
    };
    return cmocka_run_group_tests_name(adapter, tests, NULL, NULL) + contract_run_reads(adapter) +
           contract_run_messages(adapter);
}
