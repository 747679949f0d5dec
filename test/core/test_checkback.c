// SPDX-License-Identifier: Apache-2.0
#include "order_fixture.h"

#define EXPIRES_MS (T0_MS + WINDOW_MS)

static const struct checkback FIXED = {SCHEDULE_FIXED, 20 * SECOND_MS, 30 * SECOND_MS, 0};
static const struct checkback ADAPTIVE = {SCHEDULE_ADAPTIVE, 20 * SECOND_MS, 30 * SECOND_MS, 0};

static void the_policies_have_their_names(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"delay", "poll", "reverse", "forward"};
    for (enum policy p = POLICY_DELAY; p <= POLICY_FORWARD; p++)
        assert_string_equal(policy_name(p), NAMES[p]);
}

static void only_forward_delivers_when_paid_and_drops_when_not(void **state)
{
    (void)state;
    for (enum policy p = POLICY_DELAY; p <= POLICY_FORWARD; p++) {
        assert_int_equal(checkback_commits_when_paid(p), p == POLICY_FORWARD);
        assert_int_equal(checkback_commits_when_unpaid(p), p != POLICY_FORWARD);
    }
}

static void delay_is_not_asked_before_the_end(void **state)
{
    (void)state;
    assert_true(checkback_next(&FIXED, POLICY_DELAY, T0_MS, T0_MS, EXPIRES_MS, 0, SEEN_NOTHING) == INT64_MAX);
    assert_true(checkback_next(&ADAPTIVE, POLICY_DELAY, T0_MS, T0_MS, EXPIRES_MS, 3, SEEN_UNPAID_TRADE) == INT64_MAX);
}

static void the_others_are_asked_first_and_then_every_interval(void **state)
{
    (void)state;
    for (enum policy p = POLICY_POLL; p <= POLICY_FORWARD; p++) {
        assert_int_equal(checkback_next(&FIXED, p, T0_MS, T0_MS, EXPIRES_MS, 0, SEEN_NOTHING), T0_MS + 20 * SECOND_MS);
        for (enum last_seen seen = SEEN_NOTHING; seen <= SEEN_UNPAID_TRADE; seen++)
            assert_int_equal(checkback_next(&FIXED, p, T0_MS, T0_MS + 20 * SECOND_MS, EXPIRES_MS, 1, seen),
                             T0_MS + 50 * SECOND_MS);
    }
}

static void adaptive_asks_half_as_often_while_nobody_scanned(void **state)
{
    (void)state;
    int64_t now_ms = T0_MS + 20 * SECOND_MS;
    assert_int_equal(checkback_next(&ADAPTIVE, POLICY_POLL, T0_MS, T0_MS, EXPIRES_MS, 0, SEEN_NOTHING), now_ms);
    assert_int_equal(checkback_next(&ADAPTIVE, POLICY_POLL, T0_MS, now_ms, EXPIRES_MS, 1, SEEN_NO_TRADE),
                     now_ms + 60 * SECOND_MS);
    assert_int_equal(checkback_next(&ADAPTIVE, POLICY_POLL, T0_MS, now_ms, EXPIRES_MS, 1, SEEN_UNPAID_TRADE),
                     now_ms + 30 * SECOND_MS);
    assert_int_equal(checkback_next(&ADAPTIVE, POLICY_POLL, T0_MS, now_ms, EXPIRES_MS, 1, SEEN_NOTHING),
                     now_ms + 30 * SECOND_MS);
}

// The contract: a payment whose notification was lost is noticed within first + 2 x interval.
static void adaptive_never_waits_longer_than_promised(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 9; n++)
        for (enum last_seen seen = SEEN_NOTHING; seen <= SEEN_UNPAID_TRADE; seen++)
            for (int64_t now_ms = T0_MS; now_ms < EXPIRES_MS - 2 * MINUTE_MS; now_ms += 777) {
                int64_t next_ms = checkback_next(&ADAPTIVE, POLICY_REVERSE, T0_MS, now_ms, EXPIRES_MS, n, seen);
                assert_true(next_ms > now_ms);
                assert_true(next_ms - now_ms <= ADAPTIVE.first_ms + 2 * ADAPTIVE.interval_ms);
            }
}

static void who_wakes_late_asks_once_and_not_in_a_burst(void **state)
{
    (void)state;
    int64_t now_ms = T0_MS + 90 * SECOND_MS;
    assert_int_equal(checkback_next(&FIXED, POLICY_POLL, T0_MS, now_ms, EXPIRES_MS, 0, SEEN_NOTHING),
                     now_ms + 30 * SECOND_MS);
}

static void nothing_is_asked_at_or_after_the_end(void **state)
{
    (void)state;
    int64_t now_ms = EXPIRES_MS - 30 * SECOND_MS;
    assert_int_equal(checkback_next(&FIXED, POLICY_POLL, T0_MS, now_ms - 1, EXPIRES_MS, 1, SEEN_NOTHING),
                     EXPIRES_MS - 1);
    assert_true(checkback_next(&FIXED, POLICY_POLL, T0_MS, now_ms, EXPIRES_MS, 1, SEEN_NOTHING) == INT64_MAX);
    assert_true(checkback_next(&FIXED, POLICY_POLL, T0_MS, EXPIRES_MS + 1, EXPIRES_MS, 1, SEEN_NOTHING) == INT64_MAX);
}

// --- The order machine's use of it

static void the_provider_is_asked_when_the_check_is_due(void **state)
{
    (void)state;
    struct desk d;
    desk_waiting(&d);
    assert_int_equal(d.b.order.due_ms, d.now_ms + 30 * SECOND_MS);
    desk_due(&d);
    CALLED(&d, CALL_QUERY);
    assert_int_equal(d.b.order.n_checks, 0); // not answered yet
    ORDER_IS(&d, ORDER_AWAITING_PAYMENT);
}

static void an_unpaid_answer_is_counted_and_answered_unknown(void **state)
{
    (void)state;
    static const enum fact UNPAID[] = {FACT_NOT_FOUND, FACT_WAITING};
    for (unsigned i = 0; i < 2; i++) {
        struct desk d;
        desk_waiting(&d);
        desk_due(&d);
        d.now_ms += 100;
        desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, UNPAID[i]);
        assert_int_equal(d.b.order.n_checks, 1);
        assert_int_equal(half_answer(&d), ANSWER_UNKNOWN);
        assert_int_equal(d.b.order.check_ms, d.now_ms + 30 * SECOND_MS);
        PAYMENT_IS(&d, 0, PAYMENT_WAITING);
    }
}

static void an_adaptive_order_asks_sparsely_until_a_trade_is_seen(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    d.rules.checkback.schedule = SCHEDULE_ADAPTIVE;
    desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
    desk_code(&d, 0);
    desk_due(&d);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
    assert_int_equal(d.b.order.check_ms, d.now_ms + 60 * SECOND_MS);
    desk_due(&d);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_WAITING);
    assert_int_equal(d.b.order.check_ms, d.now_ms + 30 * SECOND_MS);
}

static void a_query_that_stays_unanswered_is_asked_again(void **state)
{
    (void)state;
    struct desk d;
    desk_waiting(&d);
    desk_due(&d);
    int64_t again_ms = d.b.order.due_ms;
    assert_true(again_ms > d.now_ms && again_ms <= d.now_ms + 30 * SECOND_MS);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_UNKNOWN, FACT_NONE);
    desk_due(&d);
    CALLED(&d, CALL_QUERY);
}

static void paid_is_answered_as_the_policy_says(void **state)
{
    (void)state;
    for (enum policy p = POLICY_DELAY; p <= POLICY_FORWARD; p++) {
        struct desk d;
        desk_clear(&d);
        d.b.order.policy = p;
        desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
        desk_code(&d, 0);
        desk_check(&d);
        CALLED(&d, CALL_QUERY);
        desk_money(&d, 0, CALL_QUERY, FACT_PAID, PRICE_FEN);
        ORDER_IS(&d, ORDER_PAID);
        assert_int_equal(d.b.order.n_checks, 1);
        assert_int_equal(half_answer(&d), p == POLICY_FORWARD ? ANSWER_COMMIT : ANSWER_ROLLBACK);
        assert_true(d.b.order.due_ms == TIME_NEVER);
    }
}

static void delay_asks_only_when_the_window_is_over(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    d.b.order.policy = POLICY_DELAY;
    desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
    desk_code(&d, 0);
    assert_int_equal(d.b.order.due_ms, d.b.order.expires_ms);
    desk_due(&d);
    CALLED(&d, CALL_QUERY);
    ORDER_IS(&d, ORDER_CLOSING);
}

static void the_last_unpaid_answer_ends_the_window(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    d.rules.checkback.max = 3;
    desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
    desk_code(&d, 0);
    for (unsigned n = 1; n <= 3; n++) {
        ORDER_IS(&d, ORDER_AWAITING_PAYMENT);
        desk_due(&d);
        CALLED(&d, CALL_QUERY);
        desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
        assert_int_equal(d.b.order.n_checks, n);
    }
    ORDER_IS(&d, ORDER_CLOSING);
    assert_int_equal(d.b.order.reason, REASON_TIMEOUT);
    CALLED(&d, CALL_QUERY); // asked once more before anything is believed
    assert_true(d.now_ms < d.b.order.expires_ms);
}

static void without_a_maximum_only_time_ends_the_window(void **state)
{
    (void)state;
    struct desk d;
    desk_waiting(&d);
    for (unsigned n = 1; n <= 40 && d.b.order.state == ORDER_AWAITING_PAYMENT; n++) {
        desk_due(&d);
        if (d.b.order.state == ORDER_AWAITING_PAYMENT) desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
    }
    assert_int_equal(d.now_ms, d.b.order.expires_ms);
    assert_int_equal(d.b.order.n_checks, 9); // 1 + 30, 60 ... 270 s, the window ends at 300
}

static void a_check_on_demand_asks_now(void **state)
{
    (void)state;
    struct desk d;
    desk_waiting(&d);
    desk_check(&d);
    CALLED(&d, CALL_QUERY);
    assert_true(call_of(&d, CALL_QUERY)->on_demand);
    desk_placed(&d);
    desk_check(&d); // the code is being asked for: there is nothing to ask about
    assert_true(nothing_happened(&d));
    desk_closing(&d);
    desk_check(&d);
    CALLED(&d, CALL_QUERY);
    desk_paid(&d);
    desk_check(&d);
    assert_true(nothing_happened(&d));
    desk_cancelled(&d, REASON_BUYER);
    desk_check(&d);
    assert_true(nothing_happened(&d));
}

static void checks_on_demand_do_not_use_up_the_maximum(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    d.rules.checkback.max = 3;
    desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
    desk_code(&d, 0);
    int64_t check_ms = d.b.order.check_ms;
    for (unsigned i = 0; i < 5; i++) {
        d.now_ms += SECOND_MS;
        desk_check(&d);
        desk_demanded(&d, 0, OUTCOME_DONE, i % 2 ? FACT_NOT_FOUND : FACT_WAITING);
        assert_int_equal(half_answer(&d), ANSWER_UNKNOWN);
    }
    ORDER_IS(&d, ORDER_AWAITING_PAYMENT);
    assert_int_equal(d.b.order.n_checks, 0);
    assert_int_equal(d.b.order.check_ms, check_ms); // nor do they put off what is planned
}

static void money_seen_on_demand_is_money(void **state)
{
    (void)state;
    struct desk d;
    desk_waiting(&d);
    desk_check(&d);
    struct answer a = {
        .payment_key = d.b.payment[0].key,
        .method = CALL_QUERY,
        .outcome = OUTCOME_DONE,
        .fact = FACT_PAID,
        .captured_fen = PRICE_FEN,
        .on_demand = true,
    };
    desk_event(&d, (struct event){.kind = EV_ANSWER, .answer = a});
    ORDER_IS(&d, ORDER_PAID);
    assert_int_equal(d.b.order.n_checks, 0);
    assert_int_equal(half_answer(&d), ANSWER_ROLLBACK); // the half message is decided all the same
}

static void a_check_on_demand_proves_the_death_of_a_closing_code(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    d.now_ms = d.b.payment[0].expires_ms + GRACE_MS;
    desk_check(&d);
    desk_demanded(&d, 0, OUTCOME_DONE, FACT_NOT_FOUND);
    ORDER_IS(&d, ORDER_CANCELLED);
    PROOF_IS(&d, 0, PROOF_DEAD);
}

// A provider that is away is no buyer that does not pay.
static void answers_that_could_not_be_had_do_not_use_up_the_maximum(void **state)
{
    (void)state;
    static const enum outcome NO_WORD[] = {OUTCOME_UNKNOWN, OUTCOME_REFUSED};
    for (unsigned k = 0; k < 2; k++) {
        struct desk d;
        desk_clear(&d);
        d.rules.checkback.max = 2;
        desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
        desk_code(&d, 0);
        for (unsigned i = 0; i < 3; i++) {
            desk_due(&d);
            CALLED(&d, CALL_QUERY);
            desk_answer(&d, 0, CALL_QUERY, NO_WORD[k], FACT_NONE);
            assert_true(nothing_happened(&d));
        }
        ORDER_IS(&d, ORDER_AWAITING_PAYMENT);
        assert_int_equal(d.b.order.n_checks, 0);
    }
}

static void a_code_found_closed_by_the_last_check_ends_the_window_at_once(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    d.rules.checkback.max = 1;
    desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
    desk_code(&d, 0);
    desk_due(&d);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
    ORDER_IS(&d, ORDER_CANCELLED);
    assert_int_equal(d.b.n_payments, 1);
}

static void answers_of_other_calls_are_no_check_backs(void **state)
{
    (void)state;
    struct desk d;
    desk_waiting(&d);
    desk_answer(&d, 0, CALL_CLOSE, OUTCOME_REFUSED, FACT_NOT_FOUND);
    assert_true(nothing_happened(&d));
    desk_code(&d, 0); // the same code told again
    assert_true(nothing_happened(&d));
    assert_int_equal(d.b.order.n_checks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_policies_have_their_names),
        cmocka_unit_test(only_forward_delivers_when_paid_and_drops_when_not),
        cmocka_unit_test(delay_is_not_asked_before_the_end),
        cmocka_unit_test(the_others_are_asked_first_and_then_every_interval),
        cmocka_unit_test(adaptive_asks_half_as_often_while_nobody_scanned),
        cmocka_unit_test(adaptive_never_waits_longer_than_promised),
        cmocka_unit_test(who_wakes_late_asks_once_and_not_in_a_burst),
        cmocka_unit_test(nothing_is_asked_at_or_after_the_end),
        cmocka_unit_test(the_provider_is_asked_when_the_check_is_due),
        cmocka_unit_test(an_unpaid_answer_is_counted_and_answered_unknown),
        cmocka_unit_test(an_adaptive_order_asks_sparsely_until_a_trade_is_seen),
        cmocka_unit_test(a_query_that_stays_unanswered_is_asked_again),
        cmocka_unit_test(paid_is_answered_as_the_policy_says),
        cmocka_unit_test(delay_asks_only_when_the_window_is_over),
        cmocka_unit_test(the_last_unpaid_answer_ends_the_window),
        cmocka_unit_test(without_a_maximum_only_time_ends_the_window),
        cmocka_unit_test(a_check_on_demand_asks_now),
        cmocka_unit_test(checks_on_demand_do_not_use_up_the_maximum),
        cmocka_unit_test(money_seen_on_demand_is_money),
        cmocka_unit_test(a_check_on_demand_proves_the_death_of_a_closing_code),
        cmocka_unit_test(answers_that_could_not_be_had_do_not_use_up_the_maximum),
        cmocka_unit_test(a_code_found_closed_by_the_last_check_ends_the_window_at_once),
        cmocka_unit_test(answers_of_other_calls_are_no_check_backs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
