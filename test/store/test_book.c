// SPDX-License-Identifier: Apache-2.0
// What the store says of money that moved.
#include "shop.h"
#include "store/book.h"
#include "store/sqlite.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64], path[80], why[200];
static struct shop shop;

static int open_shop(void **state)
{
    (void)state;
    static struct sqlite_options options = {.path = path};
    (void)snprintf(dir, sizeof dir, "/tmp/till-book-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    (void)snprintf(path, sizeof path, "%s/till.db", dir);
    struct store *s = sqlite_store_open(&options, SHOP_START_MS, why);
    if (!s) return -1;
    shop_open(&shop, s);
    shop_sku(&shop, "A", 100, 100);
    return 0;
}

static int close_shop(void **state)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-lock"};
    (void)state;
    shop_close(&shop);
    for (int i = 0; i < 4; i++) {
        char file[96];
        (void)snprintf(file, sizeof file, "%s%s", path, ends[i]);
        unlink(file);
    }
    return rmdir(dir);
}

struct seen {
    struct book_row rows[8];
    unsigned n;
};

static bool see(void *ctx, const struct book_row *r)
{
    struct seen *s = ctx;
    if (s->n < 8) s->rows[s->n++] = *r;
    return true;
}

static struct seen settled(struct book *b, enum channel_id channel, int64_t from_ms, int64_t until_ms)
{
    struct seen s = {0};
    assert_true(book_settled(b, channel, from_ms, until_ms, see, &s));
    return s;
}

static void captures_and_refunds_stand_where_they_were_noticed(void **state)
{
    (void)state;
    struct book_row row;
    bool found;
    uint64_t waits = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    uint64_t paid = shop_place(&shop, CHANNEL_ALIPAY, "A", 2);
    shop_code(&shop, paid);
    int64_t before_ms = shop.now_ms;
    shop_pay(&shop, paid, 200);
    int64_t paid_ms = shop.now_ms;
    uint64_t payment = shop_bundle(&shop, paid)->payment[0].key;
    shop_event(&shop, paid, (struct event){.kind = EV_REFUND, .refund = {50}});
    uint64_t refund = shop_bundle(&shop, paid)->refund[0].key;

    struct book *b = book_open(path, why);
    if (!b) fail_msg("%s", why);
    assert_memory_equal(book_secret(b), shop.s->secret, ID_SECRET_SIZE);
    assert_int_equal(book_last_ms(b), shop.now_ms);
    struct seen s = settled(b, CHANNEL_ALIPAY, 0, INT64_MAX);
    assert_int_equal(s.n, 1); // the refund is still under way
    assert_int_equal(s.rows[0].payment_key, payment);
    assert_int_equal(s.rows[0].order_key, paid);
    assert_int_equal(s.rows[0].amount_fen, 200);
    assert_true(s.rows[0].began_ms <= before_ms);
    assert_int_equal(s.rows[0].settled_ms, paid_ms);
    assert_int_equal(settled(b, CHANNEL_ALIPAY, paid_ms, paid_ms + 1).n, 1);
    assert_int_equal(settled(b, CHANNEL_ALIPAY, paid_ms + 1, INT64_MAX).n, 0);
    assert_int_equal(settled(b, CHANNEL_ALIPAY, 0, paid_ms).n, 0);
    assert_int_equal(settled(b, CHANNEL_WECHATPAY, 0, INT64_MAX).n, 0);
    assert_true(book_payment(b, shop_bundle(&shop, waits)->payment[0].key, &row, &found));
    assert_true(found && row.amount_fen == 0 && row.settled_ms == 0);
    assert_true(book_payment(b, payment + 1, &row, &found));
    assert_false(found);
    assert_true(book_refund(b, payment, refund, 0, &row, &found));
    assert_true(found && row.settled_ms == 0 && row.number_key == refund && row.amount_fen == 50);
    assert_true(book_refund(b, payment, payment, 0, &row, &found)); // a merchant's has a number of its own
    assert_false(found);
    book_close(b);

    shop_refund_done(&shop, paid);
    b = book_open(path, why);
    s = settled(b, CHANNEL_ALIPAY, 0, INT64_MAX);
    assert_int_equal(s.n, 2);
    assert_true(s.rows[1].is_refund);
    assert_int_equal(s.rows[1].number_key, refund);
    assert_int_equal(s.rows[1].settled_ms, shop.now_ms);
    book_close(b);
}

static void money_that_came_too_late_goes_back_under_its_own_number(void **state)
{
    (void)state;
    struct book_row row;
    bool found;
    uint64_t order = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    uint64_t payment = shop_bundle(&shop, order)->payment[0].key;
    shop_cancel(&shop, order);
    shop_pay(&shop, order, 100);
    shop_refund_done(&shop, order);
    struct book *b = book_open(path, why);
    assert_true(book_refund(b, payment, payment, 0, &row, &found));
    assert_true(found && row.is_refund && row.amount_fen == 100 && !row.is_failed);
    assert_true(book_refund(b, payment, 0, 100, &row, &found)); // not one of the provider's own
    assert_false(found);
    book_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(captures_and_refunds_stand_where_they_were_noticed, open_shop, close_shop),
        cmocka_unit_test_setup_teardown(money_that_came_too_late_goes_back_under_its_own_number, open_shop, close_shop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
