// SPDX-License-Identifier: Apache-2.0
#include "order_fixture.h"

static void stock_is(struct stock s, int64_t available, int64_t held, int64_t sold)
{
    assert_int_equal(s.available, available);
    assert_int_equal(s.held, held);
    assert_int_equal(s.sold, sold);
}

static void each_move_takes_units_from_one_count_to_another(void **state)
{
    (void)state;
    struct stock s = {10, 20, 30};
    assert_true(stock_apply(&s, STOCK_HOLD, 3));
    stock_is(s, 7, 23, 30);
    assert_true(stock_apply(&s, STOCK_SELL, 5));
    stock_is(s, 7, 18, 35);
    assert_true(stock_apply(&s, STOCK_RELEASE, 8));
    stock_is(s, 15, 10, 35);
    assert_true(stock_apply(&s, STOCK_RETAKE, 15));
    stock_is(s, 0, 10, 50);
    assert_true(stock_apply(&s, STOCK_STAY, 99));
    stock_is(s, 0, 10, 50);
}

static void no_move_changes_the_sum(void **state)
{
    (void)state;
    for (enum stock_move m = STOCK_STAY; m <= STOCK_RETAKE; m++) {
        struct stock d = stock_delta(m);
        assert_int_equal(d.available + d.held + d.sold, 0);
    }
    struct stock none = stock_delta((enum stock_move)99);
    stock_is(none, 0, 0, 0);
}

static void a_move_without_units_to_move_changes_nothing(void **state)
{
    (void)state;
    static const struct {
        enum stock_move move;
        struct stock from;
    } SHORT[] = {
        {STOCK_HOLD, {4, 9, 9}},
        {STOCK_SELL, {9, 4, 9}},
        {STOCK_RELEASE, {9, 4, 9}},
        {STOCK_RETAKE, {4, 9, 9}},
    };
    for (unsigned i = 0; i < sizeof SHORT / sizeof SHORT[0]; i++) {
        struct stock s = SHORT[i].from;
        assert_false(stock_apply(&s, SHORT[i].move, 5));
        stock_is(s, SHORT[i].from.available, SHORT[i].from.held, SHORT[i].from.sold);
        assert_true(stock_apply(&s, SHORT[i].move, 4));
    }
}

static void counts_stop_at_their_ceiling(void **state)
{
    (void)state;
    static const struct {
        enum stock_move move;
        struct stock from;
    } FULL[] = {
        {STOCK_HOLD, {5, STOCK_MAX, 0}},
        {STOCK_SELL, {0, 5, STOCK_MAX}},
        {STOCK_RELEASE, {STOCK_MAX, 5, 0}},
        {STOCK_RETAKE, {5, 0, STOCK_MAX}},
    };
    for (unsigned i = 0; i < sizeof FULL / sizeof FULL[0]; i++) {
        struct stock s = FULL[i].from;
        assert_false(stock_apply(&s, FULL[i].move, 1));
        stock_is(s, FULL[i].from.available, FULL[i].from.held, FULL[i].from.sold);
    }
}

static void as_many_as_there_can_be_move_at_once(void **state)
{
    (void)state;
    struct stock s = {STOCK_MAX, 0, 0};
    assert_true(stock_apply(&s, STOCK_HOLD, STOCK_MAX));
    stock_is(s, 0, STOCK_MAX, 0);
}

static void amounts_that_make_no_sense_move_nothing(void **state)
{
    (void)state;
    struct stock s = {10, 10, 10};
    assert_false(stock_apply(&s, STOCK_HOLD, -1));
    assert_false(stock_apply(&s, STOCK_HOLD, STOCK_MAX + 1));
    assert_false(stock_apply(&s, STOCK_HOLD, INT64_MAX));
    assert_false(stock_apply(&s, STOCK_RELEASE, INT64_MIN));
    stock_is(s, 10, 10, 10);
    assert_true(stock_apply(&s, STOCK_HOLD, 0));
    stock_is(s, 10, 10, 10);
}

static void a_merchant_adds_and_takes_what_is_available(void **state)
{
    (void)state;
    struct stock s = {10, 3, 4};
    assert_true(stock_add(&s, 5));
    assert_true(stock_add(&s, -15));
    stock_is(s, 0, 3, 4);
    assert_false(stock_add(&s, -1));
    assert_false(stock_add(&s, STOCK_MAX + 1));
    assert_false(stock_add(&s, INT64_MIN));
    assert_false(stock_add(&s, STOCK_MAX - 6)); // the three together
    assert_true(stock_add(&s, STOCK_MAX - 7));
    assert_false(stock_add(&s, INT64_MAX)); // would overflow
    stock_is(s, STOCK_MAX - 7, 3, 4);
    assert_true(stock_apply(&s, STOCK_RELEASE, 3)); // so that what is held can always come back
    stock_is(s, STOCK_MAX - 4, 0, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_move_takes_units_from_one_count_to_another),
        cmocka_unit_test(no_move_changes_the_sum),
        cmocka_unit_test(a_move_without_units_to_move_changes_nothing),
        cmocka_unit_test(counts_stop_at_their_ceiling),
        cmocka_unit_test(as_many_as_there_can_be_move_at_once),
        cmocka_unit_test(amounts_that_make_no_sense_move_nothing),
        cmocka_unit_test(a_merchant_adds_and_takes_what_is_available),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
