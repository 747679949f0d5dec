// SPDX-License-Identifier: Apache-2.0
// The breaker, the budget, the rate and the turns, one transition after the other, in a time of their own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka needs the four above first
#include <cmocka.h>

#include "channel/care.h"

static struct care care;
static int64_t now_ms;

static void begin(void)
{
    care_init(&care);
    now_ms = INT64_C(1795399500000);
}

static void later(int64_t ms)
{
    now_ms += ms;
}

static enum care_verdict asked(bool is_retry)
{
    return care_ask(&care, now_ms, is_retry);
}

static int64_t send_one(bool is_retry)
{
    assert_int_equal(asked(is_retry), CARE_GO);
    care_sent(&care, now_ms, is_retry);
    return now_ms;
}

static void ended(int64_t sent_ms, bool is_retry, enum care_end end)
{
    care_ended(&care, now_ms, sent_ms, is_retry, end, 0);
}

static void call_that(enum care_end end)
{
    int64_t sent_ms = send_one(false);
    later(1);
    ended(sent_ms, false, end);
}

static void fail_until_open(void)
{
    for (unsigned i = 0; i < CARE_RUN; i++)
        call_that(CARE_FAILED);
    assert_int_equal(care.breaker, BREAKER_OPEN);
}

static void until_half_open(void)
{
    later(care.open_ms);
}

// --- The breaker

static void a_run_of_failures_opens_it_and_nothing_less(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i + 1 < CARE_RUN; i++) {
        call_that(CARE_FAILED);
        assert_int_equal(care.breaker, BREAKER_CLOSED);
    }
    call_that(CARE_WORD); // one word, and the run begins anew
    for (unsigned i = 0; i + 1 < CARE_RUN; i++)
        call_that(CARE_FAILED);
    assert_int_equal(care.breaker, BREAKER_CLOSED);
    call_that(CARE_FAILED);
    assert_int_equal(care.breaker, BREAKER_OPEN);
    assert_int_equal(asked(false), CARE_BREAKER_OPEN);
    assert_int_equal(asked(true), CARE_BREAKER_OPEN);
    assert_true(care.n_opened == 1);
}

static void only_failures_count(void **state)
{
    (void)state;
    static const enum care_end others[] = {CARE_UNSENT, CARE_UNCLEAR, CARE_WORD, CARE_SLOWED};
    for (unsigned k = 0; k < sizeof others / sizeof others[0]; k++) {
        begin();
        for (unsigned i = 0; i < 10 * CARE_RUN; i++) {
            call_that(others[k]);
            later(5000); // as slow as a slowed one may be asked
        }
        assert_int_equal(care.breaker, BREAKER_CLOSED);
    }
}

// Garbage proves neither that the provider is well nor that it is not.
static void what_is_unclear_does_not_break_a_run(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < CARE_RUN; i++) {
        call_that(CARE_UNCLEAR);
        call_that(CARE_UNSENT);
        assert_int_equal(care.breaker, BREAKER_CLOSED);
        call_that(CARE_FAILED);
    }
    assert_int_equal(care.breaker, BREAKER_OPEN);
}

static void a_failure_of_a_call_older_than_the_last_word_is_old_news(void **state)
{
    (void)state;
    begin();
    int64_t sent_ms[CARE_RUN * 2];
    for (unsigned i = 0; i < CARE_RUN * 2; i++)
        sent_ms[i] = send_one(false);
    later(1);
    call_that(CARE_WORD);
    for (unsigned i = 0; i < CARE_RUN * 2; i++)
        ended(sent_ms[i], false, CARE_FAILED);
    assert_int_equal(care.breaker, BREAKER_CLOSED);
}

static void an_open_one_lets_a_few_probes_go_when_its_time_is_over(void **state)
{
    (void)state;
    begin();
    fail_until_open();
    later(CARE_OPEN_LEAST_MS - 1);
    assert_int_equal(asked(false), CARE_BREAKER_OPEN);
    later(1);
    assert_int_equal(care.breaker, BREAKER_OPEN); // until a call comes
    for (unsigned i = 0; i < CARE_PROBES; i++) {
        send_one(false);
        assert_int_equal(care.breaker, BREAKER_HALF_OPEN);
    }
    assert_int_equal(asked(false), CARE_BREAKER_OPEN);
    later(24 * 3600 * 1000);
    assert_int_equal(asked(false), CARE_BREAKER_OPEN); // they are still under way
}

static void a_word_closes_it_whatever_the_state(void **state)
{
    (void)state;
    static const enum care_end words[] = {CARE_WORD, CARE_SLOWED};
    for (unsigned k = 0; k < 2; k++) {
        begin();
        fail_until_open();
        until_half_open();
        call_that(words[k]);
        assert_int_equal(care.breaker, BREAKER_CLOSED);
        begin();
        int64_t before_ms = send_one(false);
        fail_until_open();
        ended(before_ms, false, words[k]); // it left before, and is answered after all
        assert_int_equal(care.breaker, BREAKER_CLOSED);
    }
}

static void a_failed_probe_opens_it_for_twice_as_long_up_to_the_most(void **state)
{
    (void)state;
    begin();
    fail_until_open();
    int64_t want_ms = CARE_OPEN_LEAST_MS;
    for (unsigned i = 0; i < 20; i++) {
        assert_true(care.open_until_ms - now_ms == want_ms);
        until_half_open();
        call_that(CARE_FAILED);
        assert_int_equal(care.breaker, BREAKER_OPEN);
        want_ms = want_ms * 2 < CARE_OPEN_MOST_MS ? want_ms * 2 : CARE_OPEN_MOST_MS;
    }
    assert_true(want_ms == CARE_OPEN_MOST_MS);
    until_half_open();
    call_that(CARE_WORD);
    fail_until_open();
    assert_true(care.open_until_ms - now_ms == CARE_OPEN_LEAST_MS); // a word, and it begins small again
}

static void a_failure_that_is_no_probes_leaves_it_as_it_is(void **state)
{
    (void)state;
    begin();
    int64_t before_ms = send_one(false);
    fail_until_open();
    int64_t until_ms = care.open_until_ms;
    ended(before_ms, false, CARE_FAILED);
    assert_true(care.breaker == BREAKER_OPEN && care.open_until_ms == until_ms);
    before_ms = now_ms - 1;
    until_half_open();
    int64_t probe_ms = send_one(false);
    ended(before_ms, false, CARE_FAILED);
    assert_int_equal(care.breaker, BREAKER_HALF_OPEN);
    later(1);
    ended(probe_ms, false, CARE_FAILED);
    assert_int_equal(care.breaker, BREAKER_OPEN);
}

static void a_probe_that_never_left_or_proves_nothing_makes_room_for_another(void **state)
{
    (void)state;
    static const enum care_end others[] = {CARE_UNSENT, CARE_UNCLEAR};
    begin();
    fail_until_open();
    until_half_open();
    for (unsigned i = 0; i < 100; i++) {
        call_that(others[i % 2]);
        assert_int_equal(care.breaker, BREAKER_HALF_OPEN);
    }
    call_that(CARE_WORD);
    assert_int_equal(care.breaker, BREAKER_CLOSED);
}

// Six hours without a word: what is sent is what the breaker lets go, not what is asked for.
static void a_day_without_a_word_costs_few_calls(void **state)
{
    (void)state;
    unsigned sent = 0;
    begin();
    for (int64_t until_ms = now_ms + 6 * 3600 * 1000; now_ms < until_ms; later(100)) {
        if (asked(true) != CARE_GO) continue;
        int64_t sent_ms = send_one(true);
        sent++;
        later(5000);
        ended(sent_ms, true, CARE_FAILED);
    }
    assert_in_range(sent, 6 * 3600 / 60, 6 * 3600 / 30);
}

// --- The budget

static void a_failing_provider_gets_few_retries_and_every_first_ask(void **state)
{
    (void)state;
    unsigned firsts = 0, retries = 0;
    begin();
    for (unsigned i = 0; i < 10000; i++) {
        int64_t sent_ms = send_one(false); // never kept back
        firsts++;
        care_ended(&care, now_ms, sent_ms, false, CARE_UNCLEAR, 0);
        for (unsigned k = 0; k < 3; k++) {
            if (asked(true) == CARE_OVER_BUDGET) continue;
            sent_ms = send_one(true);
            retries++;
            care_ended(&care, now_ms, sent_ms, true, CARE_UNCLEAR, 0);
        }
    }
    assert_in_range(retries, firsts / 5, firsts / 5 + CARE_BUDGET);
}

static void a_trickle_of_retries_always_goes(void **state)
{
    (void)state;
    unsigned retries = 0;
    begin();
    for (unsigned ms = 0; ms < 600 * 1000; ms += 50, later(50)) {
        if (asked(true) == CARE_OVER_BUDGET) continue;
        ended(send_one(true), true, CARE_UNCLEAR);
        retries++;
    }
    assert_in_range(retries, 600, 600 + CARE_BUDGET);
}

// After the night every call is a retry. They go as fast as they are answered.
static void retries_that_are_answered_open_the_budget(void **state)
{
    (void)state;
    begin();
    while (asked(true) == CARE_GO)
        ended(send_one(true), true, CARE_UNCLEAR);
    assert_int_equal(asked(true), CARE_OVER_BUDGET);
    later(1000); // one token
    unsigned rounds = 0, at_once = 0;
    while (at_once < CARE_BUDGET && rounds < 20) {
        int64_t sent_ms[CARE_BUDGET];
        for (at_once = 0; at_once < CARE_BUDGET && asked(true) == CARE_GO; at_once++)
            sent_ms[at_once] = send_one(true);
        later(10);
        for (unsigned i = 0; i < at_once; i++)
            ended(sent_ms[i], true, CARE_WORD);
        rounds++;
    }
    assert_int_equal(rounds, 7); // 1, 2, 4, 8, 16, 32, 64
}

static void a_retry_that_never_left_gets_its_token_back(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < 10 * CARE_BUDGET; i++)
        ended(send_one(true), true, CARE_UNSENT);
    assert_int_equal(care_budget_left(&care, now_ms), CARE_BUDGET);
}

static void the_budget_has_a_lid(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < 1000; i++)
        ended(send_one(false), false, CARE_WORD);
    later(365 * INT64_C(86400) * 1000);
    assert_int_equal(care_budget_left(&care, now_ms), CARE_BUDGET);
}

// --- The rate

static void calls_for(int64_t ms, unsigned per_second, enum care_end end)
{
    for (int64_t i = 0; i < ms * per_second / 1000; i++) {
        if (asked(false) == CARE_GO) ended(send_one(false), false, end);
        later(1000 / per_second);
    }
}

static void slower_halves_what_was_sent(void **state)
{
    (void)state;
    begin();
    calls_for(3000, 100, CARE_WORD);
    assert_int_equal((int)care_rate(&care, now_ms), 0); // no limit
    int64_t sent_ms = send_one(false);
    ended(sent_ms, false, CARE_SLOWED);
    assert_in_range((int)care_rate(&care, now_ms), 49, 51);
    for (unsigned i = 0; i < 50; i++)
        ended(sent_ms, false, CARE_SLOWED); // those that were under way with it
    assert_in_range((int)care_rate(&care, now_ms), 49, 51);
    assert_true(care.n_slowed == 1);
    assert_int_equal(asked(false), CARE_WAIT);
    assert_in_range(care_wait_ms(&care, now_ms), 19, 21);
}

static void a_slowed_lane_sends_at_its_rate_and_gains_one_a_second(void **state)
{
    (void)state;
    begin();
    calls_for(3000, 100, CARE_WORD);
    ended(send_one(false), false, CARE_SLOWED);
    unsigned sent = 0;
    for (unsigned i = 0; i < 10000; i++, later(1)) {
        if (asked(false) != CARE_GO) continue;
        ended(send_one(false), false, CARE_WORD);
        sent++;
    }
    assert_in_range(sent, 530, 570); // 50, 51, ... 59
    assert_in_range((int)care_rate(&care, now_ms), 59, 61);
    later(1000 * 1000);
    assert_int_equal((int)care_rate(&care, now_ms), 0); // long ago
}

static void slower_again_halves_what_is_sent_by_then(void **state)
{
    (void)state;
    begin();
    calls_for(3000, 100, CARE_WORD);
    ended(send_one(false), false, CARE_SLOWED); // 50
    calls_for(20000, 10, CARE_WORD);            // 70 would be allowed, ten are sent
    ended(send_one(false), false, CARE_SLOWED);
    assert_in_range((int)care_rate(&care, now_ms), 5, 6);
}

static void one_call_a_second_always_goes(void **state)
{
    (void)state;
    begin();
    unsigned sent = 0;
    for (unsigned i = 0; i < 60 * 1000; i++, later(1)) {
        if (asked(false) != CARE_GO) continue;
        ended(send_one(false), false, CARE_SLOWED);
        sent++;
    }
    assert_in_range(sent, 50, 120);
}

static void nothing_leaves_before_the_moment_it_named(void **state)
{
    (void)state;
    begin();
    care_ended(&care, now_ms, send_one(false), false, CARE_SLOWED, 7000);
    assert_int_equal(asked(false), CARE_WAIT);
    assert_true(care_wait_ms(&care, now_ms) == 7000);
    later(6999);
    assert_int_equal(asked(false), CARE_WAIT);
    later(1);
    assert_int_equal(asked(false), CARE_GO);
    care_ended(&care, now_ms, send_one(false), false, CARE_FAILED, INT64_C(1) << 40); // a year is not believed
    assert_true(care_wait_ms(&care, now_ms) == CARE_HOLD_MOST_MS);
    care_ended(&care, now_ms, now_ms, false, CARE_FAILED, 1000); // and not taken back by a shorter one
    assert_true(care_wait_ms(&care, now_ms) == CARE_HOLD_MOST_MS);
}

// --- Time

static void time_that_stands_still_or_leaps_does_no_harm(void **state)
{
    (void)state;
    begin();
    calls_for(1000, 100, CARE_WORD);
    ended(send_one(false), false, CARE_SLOWED);
    later(INT64_C(1) << 50);
    assert_int_equal(asked(true), CARE_GO);
    assert_int_equal(care_budget_left(&care, now_ms), CARE_BUDGET);
    fail_until_open();
    later(6 * 3600 * INT64_C(1000));
    send_one(false); // a probe
    assert_int_equal(care.breaker, BREAKER_HALF_OPEN);
}

// --- Turns

static void turns_of(const bool waits[TURN_CLASSES], unsigned n, unsigned count[TURN_CLASSES])
{
    struct turns t = {{0}};
    for (unsigned i = 0; i < TURN_CLASSES; i++)
        count[i] = 0;
    for (unsigned i = 0; i < n; i++) {
        unsigned class = turns_next(&t, waits);
        assert_true(class < TURN_CLASSES && waits[class]);
        turns_took(&t, class);
        count[class]++;
    }
}

static void each_class_has_its_share_and_the_rest_of_those_that_are_away(void **state)
{
    (void)state;
    static const struct {
        bool waits[TURN_CLASSES];
        unsigned n, want[TURN_CLASSES];
    } rows[] = {
        {{true, true, true, true}, 1500, {800, 400, 200, 100}}, {{true, false, false, true}, 900, {800, 0, 0, 100}},
        {{false, false, false, true}, 100, {0, 0, 0, 100}},     {{false, true, true, false}, 600, {0, 400, 200, 0}},
        {{true, false, false, false}, 100, {100, 0, 0, 0}},
    };
    for (unsigned k = 0; k < sizeof rows / sizeof rows[0]; k++) {
        unsigned count[TURN_CLASSES];
        turns_of(rows[k].waits, rows[k].n, count);
        assert_memory_equal(count, rows[k].want, sizeof count);
    }
}

static void a_code_in_a_storm_of_queries_is_next(void **state)
{
    (void)state;
    static const bool storm[] = {false, false, false, true}, with_code[] = {true, false, false, true}, none[4] = {0};
    struct turns t = {{0}};
    for (unsigned i = 0; i < 1000; i++) {
        turns_took(&t, turns_next(&t, storm));
        if (i % 7) continue;
        assert_int_equal(turns_next(&t, with_code), 0);
        turns_took(&t, 0);
    }
    assert_int_equal(turns_next(&t, none), TURN_CLASSES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_of_failures_opens_it_and_nothing_less),
        cmocka_unit_test(only_failures_count),
        cmocka_unit_test(what_is_unclear_does_not_break_a_run),
        cmocka_unit_test(a_failure_of_a_call_older_than_the_last_word_is_old_news),
        cmocka_unit_test(an_open_one_lets_a_few_probes_go_when_its_time_is_over),
        cmocka_unit_test(a_word_closes_it_whatever_the_state),
        cmocka_unit_test(a_failed_probe_opens_it_for_twice_as_long_up_to_the_most),
        cmocka_unit_test(a_failure_that_is_no_probes_leaves_it_as_it_is),
        cmocka_unit_test(a_probe_that_never_left_or_proves_nothing_makes_room_for_another),
        cmocka_unit_test(a_day_without_a_word_costs_few_calls),
        cmocka_unit_test(a_failing_provider_gets_few_retries_and_every_first_ask),
        cmocka_unit_test(a_trickle_of_retries_always_goes),
        cmocka_unit_test(retries_that_are_answered_open_the_budget),
        cmocka_unit_test(a_retry_that_never_left_gets_its_token_back),
        cmocka_unit_test(the_budget_has_a_lid),
        cmocka_unit_test(slower_halves_what_was_sent),
        cmocka_unit_test(a_slowed_lane_sends_at_its_rate_and_gains_one_a_second),
        cmocka_unit_test(slower_again_halves_what_is_sent_by_then),
        cmocka_unit_test(one_call_a_second_always_goes),
        cmocka_unit_test(nothing_leaves_before_the_moment_it_named),
        cmocka_unit_test(time_that_stands_still_or_leaps_does_no_harm),
        cmocka_unit_test(each_class_has_its_share_and_the_rest_of_those_that_are_away),
        cmocka_unit_test(a_code_in_a_storm_of_queries_is_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
