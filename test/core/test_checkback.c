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

// --- The schedule

#define NO_SCAN INT64_C(0)

static int64_t next_of(const struct checkback *c, enum policy policy, int64_t scanned_ms, int64_t asked_ms,
                       int64_t now_ms)
{
    struct watch w = {.code_ms = T0_MS,
                      .scanned_ms = scanned_ms,
                      .asked_ms = asked_ms,
                      .answered = asked_ms != 0,
                      .expires_ms = EXPIRES_MS};
    return checkback_next(c, policy, &w, now_ms);
}

// Seconds after the code went out, for a question answered at once.
static int64_t adaptive_after(int64_t asked_s, int64_t scanned_s)
{
    int64_t asked_ms = T0_MS + asked_s * SECOND_MS, scanned_ms = scanned_s ? T0_MS + scanned_s * SECOND_MS : NO_SCAN;
    return (next_of(&ADAPTIVE, POLICY_REVERSE, scanned_ms, asked_ms, asked_ms) - T0_MS) / SECOND_MS;
}

static void delay_is_not_asked_before_the_end(void **state)
{
    (void)state;
    assert_true(next_of(&FIXED, POLICY_DELAY, NO_SCAN, 0, T0_MS) == INT64_MAX);
    assert_true(next_of(&ADAPTIVE, POLICY_DELAY, T0_MS + 1, T0_MS + 1, T0_MS + 1) == INT64_MAX);
}

static void the_others_are_asked_first_and_then_every_interval(void **state)
{
    (void)state;
    int64_t first_ms = T0_MS + 20 * SECOND_MS;
    for (enum policy p = POLICY_POLL; p <= POLICY_FORWARD; p++) {
        assert_int_equal(next_of(&FIXED, p, NO_SCAN, 0, T0_MS), first_ms);
        assert_int_equal(next_of(&ADAPTIVE, p, NO_SCAN, 0, T0_MS), first_ms);
        assert_int_equal(next_of(&FIXED, p, NO_SCAN, first_ms, first_ms), first_ms + 30 * SECOND_MS);
        assert_int_equal(next_of(&FIXED, p, first_ms, first_ms, first_ms + 5), first_ms + 30 * SECOND_MS + 5);
    }
}

static void a_code_nobody_scanned_is_asked_about_ever_less(void **state)
{
    (void)state;
    assert_int_equal(adaptive_after(20, 0), 57);   // 5/4 of an interval
    assert_int_equal(adaptive_after(58, 0), 118);  // 58 - 20 + 22.5 after
    assert_int_equal(adaptive_after(120, 0), 180); // the promise: three times to the end, evenly
    assert_int_equal(adaptive_after(180, 0), 240);
    assert_true(next_of(&ADAPTIVE, POLICY_POLL, NO_SCAN, T0_MS + 240 * SECOND_MS, T0_MS + 240 * SECOND_MS) ==
                INT64_MAX);
}

static void a_scan_is_followed_closely_and_then_ever_less(void **state)
{
    (void)state;
    assert_int_equal(adaptive_after(57, 57), 72); // half an interval
    assert_int_equal(adaptive_after(72, 57), 87);
    assert_int_equal(adaptive_after(87, 57), 117);
    assert_int_equal(adaptive_after(117, 57), 177);
    assert_int_equal(adaptive_after(177, 57), 238); // the promise, shared out: 61.5 s and the end
}

// Quiet for as long as is promised at most: the rest of the window is shared out.
static void at_the_promise_the_rest_is_shared_out(void **state)
{
    (void)state;
    int64_t asked_ms = T0_MS + 73750; // since 2.5 s before the code: 20 + 60 - 3.75 s
    assert_int_equal(next_of(&ADAPTIVE, POLICY_POLL, NO_SCAN, asked_ms, asked_ms), asked_ms + 75417);
}

static void a_question_without_an_answer_is_repeated_after_the_interval(void **state)
{
    (void)state;
    int64_t now_ms = T0_MS + 100 * SECOND_MS;
    struct watch w = {.code_ms = T0_MS, .asked_ms = now_ms, .expires_ms = EXPIRES_MS};
    assert_int_equal(checkback_next(&ADAPTIVE, POLICY_POLL, &w, now_ms), now_ms + 30 * SECOND_MS);
    w.scanned_ms = now_ms - 1;
    assert_int_equal(checkback_next(&ADAPTIVE, POLICY_POLL, &w, now_ms), now_ms + 30 * SECOND_MS);
}

static void where_answers_end_the_window_adaptive_is_fixed(void **state)
{
    (void)state;
    struct checkback c = ADAPTIVE;
    c.max = 10;
    int64_t now_ms = T0_MS + 90 * SECOND_MS;
    assert_int_equal(next_of(&c, POLICY_REVERSE, NO_SCAN, now_ms, now_ms), now_ms + 30 * SECOND_MS);
    assert_int_equal(next_of(&c, POLICY_REVERSE, now_ms, now_ms, now_ms), now_ms + 30 * SECOND_MS);
}

// How a window goes by: a buyer who scans then (INT64_MAX: nobody) and never pays, a provider that answers so late.
struct course {
    struct checkback c;
    int64_t window_ms, late_ms, scan_ms, answer_ms;
    unsigned n;
    int64_t longest_ms; // from a question to the next one's answer, the window's end being the last
};

static void course_run(struct course *r)
{
    struct watch w = {.code_ms = T0_MS + r->late_ms, .expires_ms = T0_MS + r->window_ms};
    int64_t now_ms = w.code_ms, looked_ms = w.code_ms;
    for (;;) {
        int64_t next_ms = checkback_next(&r->c, POLICY_REVERSE, &w, now_ms);
        assert_true(next_ms > now_ms && (next_ms < w.expires_ms || next_ms == INT64_MAX));
        int64_t look_ms = next_ms == INT64_MAX ? w.expires_ms : next_ms;
        int64_t blind_ms = look_ms + r->answer_ms - looked_ms;
        if (blind_ms > r->longest_ms) r->longest_ms = blind_ms;
        if (next_ms == INT64_MAX) return;
        r->n++;
        looked_ms = look_ms;
        now_ms = look_ms + r->answer_ms;
        w.asked_ms = look_ms;
        w.answered = true;
        if (w.scanned_ms == 0 && look_ms >= r->scan_ms) w.scanned_ms = now_ms;
        if (now_ms >= w.expires_ms) return; // the end's own question was asked at expires_ms
    }
}

// The contract: whenever a payment whose notification was lost was made, it is noticed within first + 2 x interval.
static void adaptive_never_leaves_a_payment_unseen_longer_than_promised(void **state)
{
    (void)state;
    static const int64_t SPAN_S[] = {1, 2, 3, 7, 10, 20, 30, 45, 60, 300, 3600};
    static const int64_t WINDOW_S[] = {1, 2, 5, 29, 30, 31, 60, 61, 89, 90, 91, 120, 300, 301, 900, 1800, 7200, 86400};
    unsigned n_courses = 0;
    for (unsigned f = 0; f < sizeof SPAN_S / sizeof SPAN_S[0]; f++)
        for (unsigned i = 0; i < sizeof SPAN_S / sizeof SPAN_S[0]; i++)
            for (unsigned k = 0; k < sizeof WINDOW_S / sizeof WINDOW_S[0]; k++)
                for (unsigned v = 0; v < 12; v++) {
                    struct course r = {.c = {SCHEDULE_ADAPTIVE, SPAN_S[f] * SECOND_MS, SPAN_S[i] * SECOND_MS, 0},
                                       .window_ms = WINDOW_S[k] * SECOND_MS,
                                       .late_ms = v % 3 * 333};
                    r.answer_ms = v % 2 ? r.c.interval_ms / 8 : 0;
                    r.scan_ms = v < 4 ? INT64_MAX : T0_MS + r.window_ms * (v - 4) / 10;
                    course_run(&r);
                    assert_true(r.longest_ms <= r.c.first_ms + 2 * r.c.interval_ms);
                    n_courses++;
                }
    assert_int_equal(n_courses, 11 * 11 * 18 * 12);
}

static void nobody_is_asked_more_than_the_promise_needs(void **state)
{
    (void)state;
    static const struct {
        int64_t window_ms, scan_ms;
        enum schedule schedule;
        unsigned n;
    } CASES[] = {
        {5 * MINUTE_MS, INT64_MAX, SCHEDULE_FIXED, 9},
        {5 * MINUTE_MS, INT64_MAX, SCHEDULE_ADAPTIVE, 4},
        {5 * MINUTE_MS, T0_MS, SCHEDULE_ADAPTIVE, 6},
        {30 * MINUTE_MS, INT64_MAX, SCHEDULE_FIXED, 59},
        {30 * MINUTE_MS, INT64_MAX, SCHEDULE_ADAPTIVE, 22},
        {15 * 24 * HOUR_MS, INT64_MAX, SCHEDULE_FIXED, 43199},
        {15 * 24 * HOUR_MS, INT64_MAX, SCHEDULE_ADAPTIVE, 15027}, // 15 d / 86.25 s = 15026.1
        {15 * 24 * HOUR_MS, T0_MS, SCHEDULE_ADAPTIVE, 15029},
    };
    for (unsigned i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct course r = {.c = {CASES[i].schedule, 30 * SECOND_MS, 30 * SECOND_MS, 0},
                           .window_ms = CASES[i].window_ms,
                           .scan_ms = CASES[i].scan_ms};
        course_run(&r);
        assert_int_equal(r.n, CASES[i].n);
    }
}

static void who_wakes_or_hears_late_asks_once_and_not_in_a_burst(void **state)
{
    (void)state;
    int64_t now_ms = T0_MS + 90 * SECOND_MS;
    assert_int_equal(next_of(&FIXED, POLICY_POLL, NO_SCAN, 0, now_ms), now_ms + 30 * SECOND_MS);
    int64_t first_ms = T0_MS + FIXED.first_ms; // now, and no later: it is not due once more
    assert_int_equal(next_of(&FIXED, POLICY_POLL, NO_SCAN, 0, first_ms), first_ms + 30 * SECOND_MS);
    assert_int_equal(next_of(&ADAPTIVE, POLICY_POLL, T0_MS + SECOND_MS, T0_MS + SECOND_MS, now_ms),
                     now_ms + 30 * SECOND_MS);
}

static void a_clock_that_ran_back_makes_nobody_wait_longer(void **state)
{
    (void)state;
    int64_t now_ms = T0_MS - HOUR_MS;
    assert_int_equal(next_of(&ADAPTIVE, POLICY_POLL, NO_SCAN, T0_MS + 20 * SECOND_MS, now_ms),
                     now_ms + 37 * SECOND_MS + 500);
    assert_int_equal(next_of(&ADAPTIVE, POLICY_POLL, T0_MS, T0_MS + 20 * SECOND_MS, now_ms), now_ms + 15 * SECOND_MS);
}

static void nothing_is_asked_at_or_after_the_end(void **state)
{
    (void)state;
    int64_t now_ms = EXPIRES_MS - 30 * SECOND_MS;
    assert_int_equal(next_of(&FIXED, POLICY_POLL, NO_SCAN, now_ms - 1, now_ms - 1), EXPIRES_MS - 1);
    assert_true(next_of(&FIXED, POLICY_POLL, NO_SCAN, now_ms, now_ms) == INT64_MAX);
    assert_true(next_of(&FIXED, POLICY_POLL, NO_SCAN, EXPIRES_MS + 1, EXPIRES_MS + 1) == INT64_MAX);
    assert_true(next_of(&ADAPTIVE, POLICY_POLL, NO_SCAN, EXPIRES_MS + 1, EXPIRES_MS + 1) == INT64_MAX);
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

static void desk_adaptive(struct desk *d)
{
    desk_clear(d);
    d->rules.checkback.schedule = SCHEDULE_ADAPTIVE;
    desk_place(d, CHANNEL_ALIPAY, WINDOW_MS);
    desk_code(d, 0);
}

static void an_adaptive_order_asks_sparsely_until_a_trade_is_seen(void **state)
{
    (void)state;
    struct desk d;
    desk_adaptive(&d);
    desk_due(&d);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
    assert_int_equal(d.b.order.scanned_ms, 0);
    assert_int_equal(d.b.order.check_ms, d.now_ms + 37 * SECOND_MS + 500);
    desk_due(&d);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_WAITING);
    assert_int_equal(d.b.order.scanned_ms, d.now_ms);
    assert_int_equal(d.b.order.check_ms, d.now_ms + 15 * SECOND_MS);
    int64_t scanned_ms = d.now_ms;
    for (unsigned i = 0; i < 3; i++) {
        desk_due(&d);
        desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_WAITING);
    }
    assert_int_equal(d.now_ms, scanned_ms + 60 * SECOND_MS); // after 15, 15 and 30 s
    assert_int_equal(d.b.order.scanned_ms, scanned_ms);
}

// "I have paid", says the buyer, and the provider: not yet.
static void a_buyer_first_seen_on_demand_is_followed_closely(void **state)
{
    (void)state;
    struct desk d;
    desk_adaptive(&d);
    int64_t planned_ms = d.b.order.check_ms;
    d.now_ms += 5 * SECOND_MS;
    desk_check(&d);
    desk_demanded(&d, 0, OUTCOME_DONE, FACT_NOT_FOUND);
    assert_int_equal(d.b.order.check_ms, planned_ms);
    desk_check(&d);
    desk_demanded(&d, 0, OUTCOME_DONE, FACT_WAITING);
    assert_int_equal(d.b.order.check_ms, d.now_ms + 15 * SECOND_MS);
    planned_ms = d.b.order.check_ms;
    d.now_ms += 5 * SECOND_MS;
    desk_check(&d);
    desk_demanded(&d, 0, OUTCOME_DONE, FACT_WAITING);
    assert_int_equal(d.b.order.check_ms, planned_ms); // once: who presses on is not asked for more
}

static void a_buyer_first_seen_on_demand_puts_nothing_off(void **state)
{
    (void)state;
    struct desk d;
    desk_adaptive(&d);
    int64_t planned_ms = d.b.order.check_ms;
    d.now_ms = planned_ms - SECOND_MS;
    desk_check(&d);
    desk_demanded(&d, 0, OUTCOME_DONE, FACT_WAITING);
    assert_int_equal(d.b.order.check_ms, planned_ms);
}

static void a_code_is_first_asked_about_as_the_rules_say(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    d.rules.checkback.first_ms = 20 * SECOND_MS;
    desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
    desk_code(&d, 0);
    assert_int_equal(d.b.order.check_ms, d.now_ms + 20 * SECOND_MS);
}

// What is not known to be quiet is asked about as if it were not.
static void an_adaptive_order_that_hears_nothing_asks_after_an_interval(void **state)
{
    (void)state;
    struct desk d;
    desk_adaptive(&d);
    desk_due(&d);
    CALLED(&d, CALL_QUERY);
    assert_int_equal(d.b.order.check_ms, d.now_ms + 30 * SECOND_MS);
}

static void a_new_code_has_not_been_scanned(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    d.rules.checkback.schedule = SCHEDULE_ADAPTIVE;
    desk_place(&d, CHANNEL_ALIPAY, 3 * HOUR_MS);
    desk_code(&d, 0);
    desk_due(&d);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_WAITING);
    assert_true(d.b.order.scanned_ms != 0);
    desk_due_at(&d, d.b.payment[0].expires_ms);
    PAYMENT_IS(&d, 1, PAYMENT_CREATING);
    desk_code(&d, 1);
    assert_int_equal(d.b.order.scanned_ms, 0);
    assert_int_equal(d.b.order.check_ms, d.now_ms + d.rules.checkback.first_ms);
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
        cmocka_unit_test(a_code_nobody_scanned_is_asked_about_ever_less),
        cmocka_unit_test(a_scan_is_followed_closely_and_then_ever_less),
        cmocka_unit_test(at_the_promise_the_rest_is_shared_out),
        cmocka_unit_test(a_code_is_first_asked_about_as_the_rules_say),
        cmocka_unit_test(an_adaptive_order_that_hears_nothing_asks_after_an_interval),
        cmocka_unit_test(a_question_without_an_answer_is_repeated_after_the_interval),
        cmocka_unit_test(where_answers_end_the_window_adaptive_is_fixed),
        cmocka_unit_test(adaptive_never_leaves_a_payment_unseen_longer_than_promised),
        cmocka_unit_test(nobody_is_asked_more_than_the_promise_needs),
        cmocka_unit_test(who_wakes_or_hears_late_asks_once_and_not_in_a_burst),
        cmocka_unit_test(a_clock_that_ran_back_makes_nobody_wait_longer),
        cmocka_unit_test(nothing_is_asked_at_or_after_the_end),
        cmocka_unit_test(the_provider_is_asked_when_the_check_is_due),
        cmocka_unit_test(an_unpaid_answer_is_counted_and_answered_unknown),
        cmocka_unit_test(an_adaptive_order_asks_sparsely_until_a_trade_is_seen),
        cmocka_unit_test(a_buyer_first_seen_on_demand_is_followed_closely),
        cmocka_unit_test(a_buyer_first_seen_on_demand_puts_nothing_off),
        cmocka_unit_test(a_new_code_has_not_been_scanned),
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
