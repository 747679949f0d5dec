// SPDX-License-Identifier: Apache-2.0
// A bill beside a book, both the test's own: every way they can agree and differ, and where midnight falls between.
#include "base/timetext.h"
#include "shell/reconcile.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
// after the above:
#include <cmocka.h>

#define DAY_MS  (INT64_C(24) * 3600 * 1000)
#define HOUR_MS (INT64_C(3600) * 1000)
#define DAYS    40
#define FIRST   20 // of the days the day that is compared

static const uint8_t SECRET[ID_SECRET_SIZE] = {7};

// Keys of payments are 1.., of refunds 100..
static struct world {
    struct book_row book[16];

    unsigned n_book;
    struct bill_row bill[DAYS][8];
    unsigned n_bill[DAYS], n_fetched[DAYS];
    int fails; // the day that cannot be had; -1: none
    bool book_fails;
} w;

static int64_t day_ms(int day)
{
    int64_t ms = 0;
    assert_true(day_from_beijing(STR("2026-11-23"), &ms));
    return ms + (day - FIRST) * DAY_MS;
}

// --- The book

const uint8_t *book_secret(const struct book *b)
{
    (void)b;
    return SECRET;
}

bool book_payment(struct book *b, uint64_t key, struct book_row *out, bool *found)
{
    (void)b;
    *found = false;
    for (unsigned i = 0; i < w.n_book; i++)
        if (!w.book[i].is_refund && w.book[i].payment_key == key) {
            *out = w.book[i];
            *found = true;
        }
    return !w.book_fails;
}

bool book_refund(struct book *b, uint64_t payment_key, uint64_t number_key, int64_t amount_fen, struct book_row *out,
                 bool *found)
{
    (void)b;
    *found = false;
    for (unsigned i = 0; i < w.n_book; i++) {
        const struct book_row *r = &w.book[i];
        bool by_provider = r->number_key == r->payment_key;
        if (!r->is_refund || r->payment_key != payment_key) continue;
        if (number_key ? r->number_key != number_key : !by_provider || r->amount_fen != amount_fen) continue;
        *out = *r;
        *found = true;
    }
    return !w.book_fails;
}

bool book_settled(struct book *b, enum channel_id channel, int64_t from_ms, int64_t until_ms,
                  bool (*row)(void *ctx, const struct book_row *r), void *ctx)
{
    (void)b;
    for (unsigned i = 0; i < w.n_book; i++) {
        const struct book_row *r = &w.book[i];
        bool is_settled = r->settled_ms && !r->is_failed && r->amount_fen;
        if (r->channel == channel && is_settled && r->settled_ms >= from_ms && r->settled_ms < until_ms && !row(ctx, r))
            return false;
    }
    return !w.book_fails;
}

void bill_rows_free(struct bill_rows *rows)
{
    free(rows->rows);
    *rows = (struct bill_rows){0};
}

static void ours(uint64_t key, int64_t amount_fen, int64_t began_ms, int64_t settled_ms)
{
    w.book[w.n_book++] = (struct book_row){.channel = CHANNEL_ALIPAY,
                                           .order_key = 1000 + key,
                                           .payment_key = key,
                                           .amount_fen = amount_fen,
                                           .began_ms = began_ms,
                                           .settled_ms = settled_ms};
}

static struct book_row *our_refund(uint64_t key, uint64_t payment_key, int64_t amount_fen, int64_t settled_ms)
{
    struct book_row *r = &w.book[w.n_book++];
    *r = (struct book_row){.channel = CHANNEL_ALIPAY,
                           .is_refund = true,
                           .order_key = 1000 + payment_key,
                           .payment_key = payment_key,
                           .number_key = key,
                           .amount_fen = amount_fen,
                           .began_ms = settled_ms ? settled_ms - 1000 : day_ms(FIRST),
                           .settled_ms = settled_ms};
    return r;
}

// --- The bills

static struct bill_row *theirs(int day, uint64_t key, int64_t amount_fen)
{
    struct bill_row *r = &w.bill[day][w.n_bill[day]++];
    char number[ID_TEXT_SIZE];
    id_format(SECRET, "", key, number);
    *r = (struct bill_row){.kind = BILL_CAPTURE, .amount_fen = amount_fen, .at_ms = day_ms(day)};
    (void)snprintf(r->number, sizeof r->number, "%s", number);
    return r;
}

static struct bill_row *their_refund(int day, uint64_t key, const char *refund_number, int64_t amount_fen)
{
    struct bill_row *r = theirs(day, key, amount_fen);
    r->kind = BILL_REFUND;
    (void)snprintf(r->refund_number, sizeof r->refund_number, "%s", refund_number);
    return r;
}

static const char *number_of(uint64_t key)
{
    static char number[ID_TEXT_SIZE];
    id_format(SECRET, "", key, number);
    return number;
}

static bool fetch(void *ctx, int64_t at_ms, struct bill_rows *rows, char why[RECONCILE_WHY_SIZE])
{
    (void)ctx;
    int day = FIRST + (int)((at_ms - day_ms(FIRST)) / DAY_MS);
    assert_in_range(day, 0, DAYS - 1);
    w.n_fetched[day]++;
    if (day == w.fails) {
        (void)snprintf(why, RECONCILE_WHY_SIZE, "no such day");
        return false;
    }
    rows->n = w.n_bill[day];
    rows->rows = calloc(rows->n + 1, sizeof *rows->rows);
    assert_non_null(rows->rows);
    memcpy(rows->rows, w.bill[day], rows->n * sizeof *rows->rows);
    return true;
}

static struct reconciled result;
static struct differences found;
static char why[RECONCILE_WHY_SIZE];

static bool compare(int day)
{
    struct bill_source source = {fetch, NULL};
    differences_free(&found);
    memset(w.n_fetched, 0, sizeof w.n_fetched);
    return reconcile(NULL, CHANNEL_ALIPAY, day_ms(day), &source, &result, &found, why);
}

static void expect(int day, unsigned matched, unsigned n_different)
{
    if (!compare(day)) fail_msg("%s", why);
    assert_int_equal(result.matched[0] + result.matched[1], matched);
    assert_int_equal(found.n, n_different);
}

static int begin(void **state)
{
    (void)state;
    w = (struct world){.fails = -1};
    return 0;
}

static int end(void **state)
{
    (void)state;
    differences_free(&found);
    return 0;
}

// --- The tests

static void what_both_have_is_matched(void **state)
{
    (void)state;
    int64_t noon = day_ms(FIRST) + 12 * HOUR_MS;
    ours(1, 100, noon, noon + 5000);
    ours(2, 200, noon, noon + 5000);
    our_refund(100, 1, 30, noon + 9000);
    theirs(FIRST, 2, 200);
    their_refund(FIRST, 1, number_of(100), 30);
    theirs(FIRST, 1, 100);
    expect(FIRST, 3, 0);
    assert_int_equal(result.there_fen[0], 300);
    assert_int_equal(result.there_fen[1], 30);
    assert_int_equal(w.n_fetched[FIRST - 1], 0); // nobody needs another day's
}

static void each_difference_says_what_is_known(void **state)
{
    (void)state;
    int64_t noon = day_ms(FIRST) + 12 * HOUR_MS;
    ours(1, 100, noon, noon + 5000); // not there
    ours(2, 200, noon, noon + 5000); // there with another amount
    ours(3, 0, noon, 0);             // there, and not noticed here
    theirs(FIRST, 2, 201);
    theirs(FIRST, 3, 300);
    theirs(FIRST, 4, 400); // of no row, under a number that would be ours
    (void)snprintf(theirs(FIRST, 9, 500)->number, 65, "%s", "somebody_elses");
    expect(FIRST, 0, 5);
    for (unsigned i = 0; i < found.n; i++) {
        const struct difference *d = &found.list[i];
        assert_int_equal(d->channel, CHANNEL_ALIPAY);
        if (d->there_fen == 201) {
            assert_int_equal(d->kind, CASE_AMOUNT_DIFFERS);
            assert_int_equal(d->here_fen, 200);
            assert_int_equal(d->order_key, 1002);
        } else if (d->there_fen == 300) {
            assert_int_equal(d->kind, CASE_MISSING_HERE);
            assert_int_equal(d->here_fen, 0);
            assert_int_equal(d->payment_key, 3); // the lost payment, with its order
            assert_int_equal(d->order_key, 1003);
        } else if (d->there_fen >= 400) {
            assert_int_equal(d->kind, CASE_MISSING_HERE);
            assert_int_equal(d->payment_key, 0);
        } else {
            assert_int_equal(d->kind, CASE_MISSING_THERE);
            assert_int_equal(d->here_fen, 100);
            assert_string_equal(d->number, number_of(1));
        }
    }
}

static void what_the_bill_has_twice_is_ours_once(void **state)
{
    (void)state;
    int64_t noon = day_ms(FIRST) + 12 * HOUR_MS;
    ours(1, 100, noon, noon + 5000);
    theirs(FIRST, 1, 100);
    theirs(FIRST, 1, 100);
    expect(FIRST, 1, 1);
    assert_int_equal(found.list[0].kind, CASE_MISSING_HERE);
}

static void another_channels_row_is_not_ours(void **state)
{
    (void)state;
    int64_t noon = day_ms(FIRST) + 12 * HOUR_MS;
    ours(1, 100, noon, noon + 5000);
    w.book[0].channel = CHANNEL_WECHATPAY;
    theirs(FIRST, 1, 100);
    expect(FIRST, 0, 1);
    assert_int_equal(found.list[0].payment_key, 0);
}

static void noticed_after_midnight_is_missed_by_no_day(void **state)
{
    (void)state;
    ours(1, 100, day_ms(FIRST + 1) - 60000, day_ms(FIRST + 1) + 30000);
    theirs(FIRST, 1, 100);
    expect(FIRST, 1, 0);
    expect(FIRST + 1, 0, 0);
    assert_int_equal(w.n_fetched[FIRST], 1); // for this one the day before is asked too
    w.n_bill[FIRST] = 0;
    expect(FIRST, 0, 0); // it may yet be in the next day's
    expect(FIRST + 1, 0, 1);
    theirs(FIRST + 1, 1, 100); // it is
    expect(FIRST + 1, 1, 0);
}

// The provider's clock is a minute ahead: by it the capture is the next day's.
static void a_clock_that_is_ahead_makes_nothing_missing(void **state)
{
    (void)state;
    int64_t late = day_ms(FIRST + 1) - 20000;
    ours(1, 100, late - 10000, late);
    theirs(FIRST + 1, 1, 100);
    expect(FIRST, 0, 0);
    expect(FIRST + 1, 1, 0);
}

static void noticed_days_later_every_day_since_is_asked(void **state)
{
    (void)state;
    ours(1, 100, day_ms(FIRST - 5) + HOUR_MS, day_ms(FIRST) + HOUR_MS);
    theirs(FIRST - 5, 1, 100);
    expect(FIRST, 0, 0);
    assert_int_equal(w.n_fetched[FIRST - 5], 1);
    w.n_bill[FIRST - 5] = 0;
    expect(FIRST, 0, 1);
    assert_int_equal(w.n_fetched[FIRST - 6], 0); // it cannot be of a day before it began
    w.fails = FIRST - 3;
    assert_false(compare(FIRST));
    assert_string_equal(why, "no such day");
}

static void however_late_no_more_days_are_asked_than_a_window_has(void **state)
{
    (void)state;
    ours(1, 100, day_ms(0), day_ms(FIRST) + HOUR_MS);
    expect(FIRST, 0, 1);
    assert_int_equal(w.n_fetched[FIRST - RECONCILE_DAYS_MAX + 1], 1);
    assert_int_equal(w.n_fetched[FIRST - RECONCILE_DAYS_MAX], 0);
}

static void a_refund_on_its_way_is_no_difference(void **state)
{
    (void)state;
    int64_t noon = day_ms(FIRST) + 12 * HOUR_MS;
    ours(1, 100, noon, noon + 5000);
    our_refund(100, 1, 30, 0);
    theirs(FIRST, 1, 100);
    their_refund(FIRST, 1, number_of(100), 30);
    expect(FIRST, 2, 0);
    w.bill[FIRST][1].amount_fen = 31;
    expect(FIRST, 1, 1);
    assert_int_equal(found.list[0].kind, CASE_AMOUNT_DIFFERS);
    w.book[1].is_failed = true; // we say it came to nothing
    expect(FIRST, 1, 1);
    assert_int_equal(found.list[0].kind, CASE_MISSING_HERE);
    assert_true(found.list[0].is_refund);
    w.bill[FIRST][1].is_void = true; // and so do they
    expect(FIRST, 1, 0);
}

// Made in the provider's console, or by a cancel that raced a payment.
static void a_refund_by_the_provider_is_told_by_its_amount(void **state)
{
    (void)state;
    int64_t noon = day_ms(FIRST) + 12 * HOUR_MS;
    ours(1, 100, noon, noon + 5000);
    our_refund(1, 1, 100, noon + 9000);
    theirs(FIRST, 1, 100);
    their_refund(FIRST, 1, "console-17", 100);
    expect(FIRST, 2, 0);
    w.bill[FIRST][1].refund_number[0] = 0; // Alipay leaves it out at times
    expect(FIRST, 2, 0);
    w.bill[FIRST][1].amount_fen = 60;
    expect(FIRST, 1, 2); // one of theirs we do not know, and one of ours they do not have
}

static void what_cannot_be_read_concludes_nothing(void **state)
{
    (void)state;
    w.fails = FIRST;
    assert_false(compare(FIRST));
    w.fails = -1;
    w.book_fails = true;
    theirs(FIRST, 1, 100);
    assert_false(compare(FIRST));
    assert_string_equal(why, "the store cannot be read");
    w.n_bill[FIRST] = 0;
    assert_false(compare(FIRST));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_both_have_is_matched),
        TEST(each_difference_says_what_is_known),
        TEST(what_the_bill_has_twice_is_ours_once),
        TEST(another_channels_row_is_not_ours),
        TEST(noticed_after_midnight_is_missed_by_no_day),
        TEST(a_clock_that_is_ahead_makes_nothing_missing),
        TEST(noticed_days_later_every_day_since_is_asked),
        TEST(however_late_no_more_days_are_asked_than_a_window_has),
        TEST(a_refund_on_its_way_is_no_difference),
        TEST(a_refund_by_the_provider_is_told_by_its_amount),
        TEST(what_cannot_be_read_concludes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
