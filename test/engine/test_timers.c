// SPDX-License-Identifier: Apache-2.0
#include "engine/timers.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
// after the above:
#include <cmocka.h>

static int setup(void **state)
{
    struct timers *t = calloc(1, sizeof *t);
    *state = t;
    return t && timers_init(t) ? 0 : -1;
}

static int teardown(void **state)
{
    timers_close(*state);
    free(*state);
    return 0;
}

static void an_empty_one_has_nothing(void **state)
{
    struct timer_entry e;
    assert_true(timers_next_ms(*state) == INT64_MAX);
    assert_false(timers_take(*state, INT64_MAX, &e));
}

static void what_is_not_due_stays(void **state)
{
    struct timer_entry e;
    assert_true(timers_add(*state, 100, 1));
    assert_false(timers_take(*state, 99, &e));
    assert_true(timers_take(*state, 100, &e));
    assert_int_equal(1, e.order_key);
}

static void equal_instants_come_in_key_order(void **state)
{
    struct timer_entry e;
    for (uint64_t k = 50; k > 0; k--)
        assert_true(timers_add(*state, 7, k));
    for (uint64_t k = 1; k <= 50; k++) {
        assert_true(timers_take(*state, 7, &e));
        assert_int_equal(k, e.order_key);
    }
}

static void many_come_out_sorted_whatever_the_order_they_went_in(void **state)
{
    enum { N = 20000 };
    uint64_t seed = 42;
    struct timer_entry e;
    for (uint64_t i = 0; i < N; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        assert_true(timers_add(*state, (int64_t)(seed >> 48), i));
        if (i % 3 == 0) assert_true(timers_take(*state, INT64_MAX, &e)); // mixed with taking
    }
    int64_t last = -1;
    size_t n = 0;
    for (; timers_take(*state, INT64_MAX, &e); n++) {
        assert_true(e.due_ms >= last);
        last = e.due_ms;
    }
    assert_int_equal(N - (N + 2) / 3, n);
}

static void far_instants_do_not_wrap(void **state)
{
    struct timer_entry e;
    assert_true(timers_add(*state, INT64_MAX - 1, 1));
    assert_true(timers_add(*state, -5, 2));
    assert_int_equal(-5, timers_next_ms(*state));
    assert_true(timers_take(*state, 0, &e));
    assert_false(timers_take(*state, 0, &e));
    assert_true(timers_next_ms(*state) == INT64_MAX - 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_empty_one_has_nothing),         T(what_is_not_due_stays),
        T(equal_instants_come_in_key_order), T(many_come_out_sorted_whatever_the_order_they_went_in),
        T(far_instants_do_not_wrap),
    };
    return cmocka_run_group_tests_name("timers", tests, NULL, NULL);
}
