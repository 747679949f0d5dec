// SPDX-License-Identifier: Apache-2.0
// What closing, checking and renewing once got wrong together.
#include "order_fixture.h"

// a notification overtakes the code and brings the wrong amount: the order stays `placed`, without any attempt,
// until its window ends; "while an order awaits payment ..." does not look at `placed`.
static void strange_money_that_overtakes_the_code_leaves_a_payable_order(void **state)
{
    (void)state;
    static const enum fact WORDS[] = {FACT_PAID, FACT_PAID_AND_REFUNDED};
    for (unsigned i = 0; i < 2; i++) {
        struct desk d;
        desk_placed(&d);
        desk_notice(&d, 0, WORDS[i], PRICE_FEN - 1);
        if (d.b.n_payments == 2)
            desk_code(&d, 1);
        else
            desk_code(&d, 0);
        assert_true(can_be_paid(&d));
    }
}

// on-demand answers drive the closing: each WAITING asks close once more and counts as a try, so a few reloads
// after the code's death lead to CANCEL although no close was ever answered.
static void answers_on_demand_do_not_make_an_attempt_stubborn(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    d.now_ms = d.b.payment[0].expires_ms + GRACE_MS;
    unsigned closes = 0, cancels = 0;
    for (unsigned i = 0; i < 8; i++) {
        desk_check(&d);
        desk_demanded(&d, 0, OUTCOME_DONE, FACT_WAITING);
        closes += calls_of(&d, CALL_CLOSE);
        cancels += calls_of(&d, CALL_CANCEL);
    }
    print_message("%u closes, %u cancels, no close answered\n", closes, cancels);
    assert_int_equal(cancels, 0);
}

// WAITING said by close or cancel themselves is asked again without any pause.
static void waiting_said_by_close_is_no_reason_to_hurry(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_WAITING);
    unsigned asked = 0;
    for (unsigned i = 0; i < 100 && d.out.n_calls; i++, asked++)
        desk_answer(&d, 0, d.out.calls[0].method, OUTCOME_DONE, FACT_WAITING);
    print_message("%u calls in one instant\n", asked);
    assert_true(asked < 10);
}

// every repeated CREATE of a long window names another end under the same number: other content, which providers
// may refuse (WeChat Pay: "SAME parameters", time_expire "cannot be changed later"), and refused at tries > 1 cancels.
static void the_same_number_is_asked_for_with_the_same_end_while_that_is_far(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    desk_place(&d, CHANNEL_ALIPAY, 10 * HOUR_MS);
    int64_t expires_ms = d.b.payment[0].expires_ms;
    for (unsigned i = 0; i < 5; i++) {
        desk_due(&d);
        assert_int_equal(call_of(&d, CALL_CREATE)->expires_ms, expires_ms);
    }
}

// a closing attempt that waits for its death is asked once more per unanswerable check on demand, and forgets it.
static void an_unknown_answer_on_demand_does_not_change_what_is_owed(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
    int64_t due_ms = d.b.order.due_ms;
    desk_check(&d);
    desk_demanded(&d, 0, OUTCOME_UNKNOWN, FACT_NONE);
    assert_int_equal(d.b.order.due_ms, due_ms);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strange_money_that_overtakes_the_code_leaves_a_payable_order),
        cmocka_unit_test(answers_on_demand_do_not_make_an_attempt_stubborn),
        cmocka_unit_test(waiting_said_by_close_is_no_reason_to_hurry),
        cmocka_unit_test(the_same_number_is_asked_for_with_the_same_end_while_that_is_far),
        cmocka_unit_test(an_unknown_answer_on_demand_does_not_change_what_is_owed),
    };
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
