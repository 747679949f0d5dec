// SPDX-License-Identifier: Apache-2.0
// The contract's second half: what readers see.
#include "contract_inside.h"

static void a_reader_sees_every_acknowledged_commit(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 1000);
    for (int i = 0; i < 50; i++) {
        uint64_t key = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
        struct order_doc doc;
        bool found;
        assert_true(reader->ops->order(reader, key, &doc, &found, &shop.a));
        assert_true(found);
        assert_true(doc.has_payment);
        struct bundle *b = shop_bundle(&shop, key);
        assert_order_equal(&doc.order, &b->order);
        assert_payment_equal(&doc.payment, &b->payment[0]);
        struct sku sku;
        assert_true(reader->ops->sku(reader, STR("A"), &sku, &found, &shop.a));
        assert_int_equal(sku.stock.held, i + 1);
    }
}

static unsigned list(struct order_filter f, struct order_doc *docs, unsigned max)
{
    unsigned n;
    assert_true(reader->ops->orders(reader, &f, docs, max, &n, &shop.a));
    return n;
}

static void orders_are_listed_newest_first_by_state_and_buyer(void **state)
{
    (void)state;
    static struct order_doc docs[16];
    shop_sku(&shop, "A", 100, 100);
    uint64_t keys[6];
    for (int i = 0; i < 6; i++) {
        struct placing *p = shop_prepare(&shop, i % 2 ? CHANNEL_ALIPAY : CHANNEL_ANY, LINES(LINE("A", 1)));
        p->text.buyer = i < 3 ? STR("Han") : STR("Li");
        assert_int_equal(shop_apply(&shop, &p->change), APPLY_DONE);
        keys[i] = p->bundle.order.key;
    }
    shop_cancel(&shop, keys[0]);
    assert_int_equal(list((struct order_filter){0}, docs, 16), 6);
    assert_int_equal(docs[0].order.key, keys[5]);
    assert_true(docs[0].has_payment);
    assert_false(docs[1].has_payment);
    assert_int_equal(list((struct order_filter){.before_key = keys[5]}, docs, 2), 2);
    assert_int_equal(docs[0].order.key, keys[4]);
    assert_int_equal(docs[1].order.key, keys[3]);
    assert_int_equal(list((struct order_filter){.state = ORDER_PLACED}, docs, 16), 3);
    assert_int_equal(docs[2].order.key, keys[1]);
    assert_int_equal(list((struct order_filter){.state = ORDER_CANCELLED}, docs, 16), 1);
    assert_int_equal(docs[0].order.key, keys[0]);
    assert_int_equal(list((struct order_filter){.buyer = STR("Han")}, docs, 16), 3);
    assert_str(docs[0].text.buyer, "Han");
    assert_int_equal(list((struct order_filter){.buyer = STR("Han"), .state = ORDER_CANCELLED}, docs, 16), 1);
    assert_int_equal(list((struct order_filter){.buyer = STR("Nobody")}, docs, 16), 0);
}

static void the_timeline_is_in_order_and_begins_with_the_half_message(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 10);
    uint64_t key = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    shop_code(&shop, key);
    shop_answer(&shop, key, (struct answer){.method = CALL_QUERY, .fact = FACT_NOT_FOUND, .took_ms = 12});
    shop_pay(&shop, key, 100);
    struct trace_row rows[32];
    unsigned n;
    assert_true(reader->ops->timeline(reader, key, rows, 32, &n, &shop.a));
    assert_int_equal(rows[0].trace.kind, TRACE_STATE);
    assert_int_equal(rows[0].from, ORDER_STATE_0);
    assert_int_equal(rows[0].to, ORDER_PLACED);
    assert_int_equal(rows[1].trace.kind, TRACE_HALF);
    assert_int_equal(rows[1].trace.answer, ANSWER_UNKNOWN);
    unsigned states = 0, checkbacks = 0, calls = 0;
    for (unsigned i = 0; i < n; i++) {
        if (i) assert_true(rows[i].at_ms >= rows[i - 1].at_ms);
        states += rows[i].trace.kind == TRACE_STATE;
        checkbacks += rows[i].trace.kind == TRACE_CHECKBACK;
        calls += rows[i].trace.kind == TRACE_PROVIDER;
        if (rows[i].trace.fact == FACT_NOT_FOUND) assert_int_equal(rows[i].trace.took_ms, 12);
    }
    assert_int_equal(states, 3);
    assert_int_equal(checkbacks, 2); // the last one found the money
    assert_int_equal(calls, 3);
    struct trace_row last[2];
    unsigned m;
    assert_true(reader->ops->timeline(reader, key, last, 2, &m, &shop.a));
    assert_int_equal(m, 2);
    assert_int_equal(last[1].key, rows[n - 1].key);
    assert_int_equal(last[0].key, rows[n - 2].key);
    assert_true(reader->ops->timeline(reader, 1, rows, 32, &n, &shop.a));
    assert_int_equal(n, 0);
}

static void a_step_that_changes_nothing_leaves_only_its_traces(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 10);
    uint64_t key = shop_place(&shop, CHANNEL_ANY, "A", 1);
    struct bundle *b = shop_bundle(&shop, key);
    struct step step = {.n_traces = 1, .traces = {{.kind = TRACE_SWEEP, .detail = "seen"}}};
    struct change c = {.kind = CHANGE_ORDER,
                       .bundle = b,
                       .step = &step,
                       .at_ms = ++shop.now_ms,
                       .first_trace_key = keygen_take(&shop.keys, shop.now_ms, 1)};
    assert_int_equal(shop_apply(&shop, &c), APPLY_DONE);
    assert_int_equal(shop_bundle(&shop, key)->order.version, b->order.version);
    struct trace_row rows[8];
    unsigned n;
    assert_true(reader->ops->timeline(reader, key, rows, 8, &n, &shop.a));
    assert_int_equal(rows[n - 1].trace.kind, TRACE_SWEEP);
    assert_string_equal(rows[n - 1].trace.detail, "seen");
}

static void events_are_read_oldest_first_from_a_cursor(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 10);
    uint64_t one = shop_place(&shop, CHANNEL_ANY, "A", 1), two = shop_place(&shop, CHANNEL_ANY, "A", 1);
    struct event_row rows[8];
    unsigned n;
    assert_true(reader->ops->events(reader, 0, rows, 3, &n, &shop.a));
    assert_int_equal(n, 3);
    assert_int_equal(rows[0].order_key, one);
    assert_int_equal(rows[0].event.type, EVENT_ORDER_PLACED);
    assert_int_equal(rows[0].event.sequence, 1);
    assert_int_equal(rows[0].event.amount_fen, 100);
    assert_str(rows[0].currency, "CNY");
    assert_int_equal(rows[1].event.type, EVENT_ORDER_AWAITING_PAYMENT);
    assert_int_equal(rows[2].order_key, two);
    assert_true(reader->ops->events(reader, rows[2].key, rows, 8, &n, &shop.a));
    assert_int_equal(n, 1);
    assert_int_equal(rows[0].event.sequence, 2);
}

static void refunds_are_listed_newest_first(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 10);
    uint64_t key = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    shop_pay(&shop, key, 100);
    for (int i = 1; i <= 3; i++)
        assert_int_equal(shop_event(&shop, key, (struct event){.kind = EV_REFUND, .refund = {i}}), APPLY_DONE);
    struct refund rows[4];
    unsigned n;
    assert_true(reader->ops->refunds(reader, key, 0, rows, 2, &n, &shop.a));
    assert_int_equal(n, 2);
    assert_int_equal(rows[0].amount_fen, 3);
    assert_int_equal(rows[1].amount_fen, 2);
    assert_true(reader->ops->refunds(reader, key, rows[1].key, rows, 4, &n, &shop.a));
    assert_int_equal(n, 1);
    assert_int_equal(rows[0].amount_fen, 1);
}

static void skus_are_listed_newest_first_from_a_cursor(void **state)
{
    (void)state;
    shop_sku(&shop, "C", 1, 1);
    shop_sku(&shop, "A", 1, 1);
    shop_sku(&shop, "B", 1, 1);
    struct sku rows[4];
    unsigned n;
    assert_true(reader->ops->skus(reader, STR(""), rows, 2, &n, &shop.a));
    assert_int_equal(n, 2);
    assert_str(rows[0].sku, "B");
    assert_true(reader->ops->skus(reader, rows[1].sku, rows, 4, &n, &shop.a));
    assert_int_equal(n, 1);
    assert_str(rows[0].sku, "C");
}

static void totals_count_orders_and_deadlines_missed(void **state)
{
    (void)state;
    shop_sku(&shop, "A", 100, 100);
    uint64_t keys[5];
    for (int i = 0; i < 5; i++)
        keys[i] = shop_place(&shop, i < 3 ? CHANNEL_ALIPAY : CHANNEL_ANY, "A", 1);
    shop_pay(&shop, keys[0], 100);
    shop_cancel(&shop, keys[1]);
    shop_event(&shop, keys[2], (struct event){.kind = EV_CANCEL, .cancel = {REASON_BUYER}});
    for (int round = 0; round < 2; round++) {
        struct store_totals t;
        assert_true(reader->ops->totals(reader, shop.now_ms, &t));
        assert_int_equal(t.orders[ORDER_PLACED], 0);
        assert_int_equal(t.orders[ORDER_AWAITING_PAYMENT], 2);
        assert_int_equal(t.orders[ORDER_CLOSING], 1);
        assert_int_equal(t.orders[ORDER_PAID], 1);
        assert_int_equal(t.orders[ORDER_CANCELLED], 1);
        assert_int_equal(t.deadlines_overdue, 0);
        assert_true(reader->ops->totals(reader, shop.now_ms + 300000 + 50000, &t));
        assert_int_equal(t.deadlines_overdue, 0);
        assert_true(reader->ops->totals(reader, shop.now_ms + 300000 + 60001, &t));
        assert_int_equal(t.deadlines_overdue, 2);
        contract_reopen();
    }
}

static void refund_answer(uint64_t order_key, enum fact fact)
{
    const struct refund *f = &shop_bundle(&shop, order_key)->refund[0];
    struct answer a = {.method = CALL_REFUND, .fact = fact, .payment_key = f->payment_key, .refund_key = f->key};
    assert_int_equal(shop_answer(&shop, order_key, a), APPLY_DONE);
}

static void totals_count_refunds_on_their_way(void **state)
{
    (void)state;
    uint64_t keys[3];
    struct store_totals t;
    shop_sku(&shop, "A", 100, 10);
    for (int i = 0; i < 3; i++) {
        keys[i] = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
        shop_pay(&shop, keys[i], 100);
    }
    assert_true(reader->ops->totals(reader, shop.now_ms, &t));
    assert_int_equal(t.refunds_pending + t.refunds_abnormal + t.oldest_refund_ms, 0);
    int64_t first_ms = shop.now_ms + 1; // each event takes a millisecond
    for (int i = 0; i < 3; i++, shop.now_ms += 1000)
        assert_int_equal(shop_event(&shop, keys[i], (struct event){.kind = EV_REFUND, .refund = {40}}), APPLY_DONE);
    refund_answer(keys[1], FACT_REFUND_ABNORMAL);
    refund_answer(keys[2], FACT_REFUND_ACCEPTED);
    assert_true(reader->ops->totals(reader, shop.now_ms, &t));
    assert_int_equal(t.refunds_pending, 3);
    assert_int_equal(t.refunds_abnormal, 1);
    assert_int_equal(t.oldest_refund_ms, first_ms);
    refund_answer(keys[0], FACT_REFUND_DONE);
    refund_answer(keys[1], FACT_REFUND_DONE);
    assert_true(reader->ops->totals(reader, shop.now_ms, &t));
    assert_int_equal(t.refunds_pending, 1);
    assert_int_equal(t.refunds_abnormal, 0);
    assert_int_equal(t.oldest_refund_ms, first_ms + 2 * 1001);
}

int contract_run_reads(const char *adapter)
{
    const struct CMUnitTest tests[] = {
        TEST(a_reader_sees_every_acknowledged_commit),
        TEST(orders_are_listed_newest_first_by_state_and_buyer),
        TEST(the_timeline_is_in_order_and_begins_with_the_half_message),
        TEST(a_step_that_changes_nothing_leaves_only_its_traces),
        TEST(events_are_read_oldest_first_from_a_cursor),
        TEST(refunds_are_listed_newest_first),
        TEST(skus_are_listed_newest_first_from_a_cursor),
        TEST(totals_count_orders_and_deadlines_missed),
        TEST(totals_count_refunds_on_their_way),
    };
    return cmocka_run_group_tests_name(adapter, tests, NULL, NULL);
}
