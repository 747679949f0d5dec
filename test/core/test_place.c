// SPDX-License-Identifier: Apache-2.0
// Placing: prices, the first attempt, its code, renewal, and the names everything is told by.
#include "order_fixture.h"

static void an_order_on_a_channel_holds_stock_and_asks_for_a_code(void **state)
{
    (void)state;
    struct desk d;
    desk_placed(&d);
    TOLD(&d, EVENT_ORDER_PLACED);
    assert_int_equal(d.out.n_events, 1);
    assert_int_equal(d.out.stock, STOCK_HOLD);
    assert_int_equal(d.b.order.created_ms, T0_MS);
    assert_int_equal(d.out.payments_added, 1);
    PAYMENT_IS(&d, 0, PAYMENT_CREATING);
    const struct call *c = call_of(&d, CALL_CREATE);
    assert_non_null(c);
    assert_int_equal(c->amount_fen, PRICE_FEN);
    assert_int_equal(c->expires_ms, d.b.order.expires_ms);
    assert_int_equal(c->channel, CHANNEL_ALIPAY);
    assert_int_equal(d.b.payment[0].n, 1);
}

static void an_order_on_any_channel_awaits_payment_at_once(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    desk_place(&d, CHANNEL_ANY, WINDOW_MS);
    ORDER_IS(&d, ORDER_AWAITING_PAYMENT);
    assert_int_equal(d.out.n_events, 2);
    assert_int_equal(d.out.events[0].type, EVENT_ORDER_PLACED);
    assert_int_equal(d.out.events[1].type, EVENT_ORDER_AWAITING_PAYMENT);
    assert_int_equal(d.out.n_calls, 0);
    assert_int_equal(d.b.n_payments, 0);
    assert_int_equal(d.b.order.due_ms, d.b.order.expires_ms);
    desk_due_at(&d, T0_MS + SECOND_MS);
    assert_true(nothing_happened(&d)); // nor is anything asked before the buyer has chosen
    desk_due(&d);                      // nothing was ever asked, so nothing has to be proven
    ORDER_IS(&d, ORDER_CANCELLED);
    assert_int_equal(d.out.stock, STOCK_RELEASE);
}

static void an_order_by_amount_moves_no_stock(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    d.b.order.holds_stock = false;
    d.rules.late_payment = LATE_REOPEN;
    desk_place(&d, CHANNEL_ALIPAY, WINDOW_MS);
    desk_code(&d, 0);
    desk_due_at(&d, d.b.order.expires_ms);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
    ORDER_IS(&d, ORDER_CANCELLED);
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    ORDER_IS(&d, ORDER_PAID);
    assert_int_equal(d.moves[STOCK_STAY], 5);
}

static void the_code_opens_the_order(void **state)
{
    (void)state;
    struct desk d;
    desk_waiting(&d);
    TOLD(&d, EVENT_ORDER_AWAITING_PAYMENT);
    PAYMENT_IS(&d, 0, PAYMENT_WAITING);
    assert_true(str_eq(d.b.payment[0].code, STR("https://qr.alipay.com/bax00000")));
    assert_int_equal(d.b.order.check_ms, d.now_ms + d.rules.checkback.first_ms);
}

static void a_code_lives_as_long_as_the_window(void **state)
{
    (void)state;
    static const struct {
        int64_t window_ms, life_ms;
    } LIFE[] = {
        {SECOND_MS, MINUTE_MS}, // never shorter than the provider allows: the code outlives the window
        {MINUTE_MS - 1, MINUTE_MS},
        {MINUTE_MS, MINUTE_MS},
        {MINUTE_MS + 1, MINUTE_MS + 1},
        {5 * MINUTE_MS, 5 * MINUTE_MS},
        {119 * MINUTE_MS, 119 * MINUTE_MS},
        {119 * MINUTE_MS + 1, 119 * MINUTE_MS}, // never longer than the provider allows
        {15 * 24 * HOUR_MS, 119 * MINUTE_MS},
    };
    for (unsigned i = 0; i < sizeof LIFE / sizeof LIFE[0]; i++) {
        struct desk d;
        desk_clear(&d);
        desk_place(&d, CHANNEL_WECHATPAY, LIFE[i].window_ms);
        assert_int_equal(d.b.payment[0].expires_ms, T0_MS + LIFE[i].life_ms);
        assert_int_equal(call_of(&d, CALL_CREATE)->expires_ms, T0_MS + LIFE[i].life_ms);
    }
}

static void a_code_that_outlives_a_short_window_is_watched_to_its_end(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    desk_place(&d, CHANNEL_ALIPAY, SECOND_MS);
    desk_code(&d, 0);
    desk_due(&d);
    assert_int_equal(d.now_ms, T0_MS + SECOND_MS);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
    ORDER_IS(&d, ORDER_CLOSING);
    desk_due(&d);
    assert_int_equal(d.now_ms, T0_MS + MINUTE_MS + GRACE_MS);
    CALLED(&d, CALL_QUERY);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
    ORDER_IS(&d, ORDER_CANCELLED);
}

static void an_unanswered_creation_is_repeated_under_one_number(void **state)
{
    (void)state;
    struct desk d;
    desk_placed(&d);
    uint64_t key = d.b.payment[0].key;
    int64_t last_ms = 0;
    for (unsigned i = 0; i < 4; i++) {
        desk_answer(&d, 0, CALL_CREATE, OUTCOME_UNKNOWN, FACT_NONE);
        int64_t wait_ms = d.b.order.due_ms - d.now_ms;
        assert_true(wait_ms > last_ms); // it backs off
        last_ms = wait_ms;
        desk_due(&d);
        CALLED(&d, CALL_CREATE);
        assert_true(call_of(&d, CALL_CREATE)->payment_key == key);
        assert_int_equal(d.b.n_payments, 1);
    }
    desk_code(&d, 0);
    ORDER_IS(&d, ORDER_AWAITING_PAYMENT);
}

static void a_creation_never_answered_is_repeated_after_the_calls_deadline(void **state)
{
    (void)state;
    struct desk d;
    desk_placed(&d);
    assert_true(d.b.order.due_ms > T0_MS + d.rules.call_deadline_ms);
    desk_due(&d);
    CALLED(&d, CALL_CREATE);
}

static void backing_off_ends_at_about_a_minute(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    desk_place(&d, CHANNEL_ALIPAY, 10 * HOUR_MS);
    for (unsigned i = 0; i < 100; i++) {
        desk_answer(&d, 0, CALL_CREATE, OUTCOME_UNKNOWN, FACT_NONE);
        assert_in_range(d.b.order.due_ms - d.now_ms, 750, 80 * SECOND_MS);
        desk_due(&d);
    }
}

static void a_refused_code_cancels_the_order_at_once(void **state)
{
    (void)state;
    struct desk d;
    desk_placed(&d);
    desk_answer(&d, 0, CALL_CREATE, OUTCOME_REFUSED, FACT_NONE);
    PAYMENT_IS(&d, 0, PAYMENT_FAILED);
    PROOF_IS(&d, 0, PROOF_REFUSED);
    ORDER_IS(&d, ORDER_CANCELLED);
    assert_int_equal(d.b.order.reason, REASON_CHANNEL);
    assert_int_equal(d.out.stock, STOCK_RELEASE);
    assert_int_equal(d.out.n_events, 2); // closing, cancelled
}

static void refused_after_an_unknown_one_there_may_still_be_a_code(void **state)
{
    (void)state;
    struct desk d;
    desk_placed(&d);
    desk_answer(&d, 0, CALL_CREATE, OUTCOME_UNKNOWN, FACT_NONE);
    desk_due(&d);
    desk_answer(&d, 0, CALL_CREATE, OUTCOME_REFUSED, FACT_NONE);
    ORDER_IS(&d, ORDER_PLACED); // perhaps it is the number that is refused: the next attempt has another
    PAYMENT_IS(&d, 0, PAYMENT_CLOSING);
    CALLED(&d, CALL_QUERY);
    PAYMENT_IS(&d, 1, PAYMENT_CREATING);
    CALLED(&d, CALL_CREATE);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
    PAYMENT_IS(&d, 0, PAYMENT_CLOSING); // watched until the code that may exist is dead
    desk_answer(&d, 1, CALL_CREATE, OUTCOME_REFUSED, FACT_NONE);
    ORDER_IS(&d, ORDER_CLOSING);
    assert_int_equal(d.b.order.reason, REASON_CHANNEL);
    desk_due(&d);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
    ORDER_IS(&d, ORDER_CANCELLED);
    PROOF_IS(&d, 0, PROOF_DEAD);
}

static void a_code_that_comes_after_closing_began_is_never_shown(void **state)
{
    (void)state;
    struct desk d;
    desk_placed(&d);
    desk_cancel(&d, REASON_BUYER);
    ORDER_IS(&d, ORDER_CLOSING);
    desk_code(&d, 0);
    assert_true(nothing_happened(&d));
    PAYMENT_IS(&d, 0, PAYMENT_CLOSING);
    assert_int_equal(d.b.payment[0].code.n, 0);
}

static void long_windows_renew_their_codes(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    desk_place(&d, CHANNEL_ALIPAY, 5 * HOUR_MS);
    desk_code(&d, 0);
    int64_t dies_ms = d.b.payment[0].expires_ms;
    desk_due_at(&d, dies_ms - 1);
    assert_int_equal(d.b.n_payments, 1);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
    assert_int_equal(d.b.order.due_ms, dies_ms);
    desk_due(&d);
    ORDER_IS(&d, ORDER_AWAITING_PAYMENT);
    assert_int_equal(d.b.n_payments, 2);
    PAYMENT_IS(&d, 0, PAYMENT_CLOSING);
    PAYMENT_IS(&d, 1, PAYMENT_CREATING);
    CALLED(&d, CALL_QUERY);
    CALLED(&d, CALL_CREATE);
    assert_true(d.b.payment[1].key != d.b.payment[0].key);
    assert_int_equal(d.b.payment[1].n, 2);
    assert_int_equal(d.b.payment[1].expires_ms, dies_ms + d.rules.code_max_life_ms);
    desk_code(&d, 1);
    PAYMENT_IS(&d, 1, PAYMENT_WAITING);
    assert_int_equal(told(&d, EVENT_ORDER_AWAITING_PAYMENT), 0); // it never ceased to
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);                    // the old one was paid in its last second
    ORDER_IS(&d, ORDER_PAID);
    PAYMENT_IS(&d, 1, PAYMENT_CLOSING);
}

static void the_last_renewed_code_ends_with_the_window(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    desk_place(&d, CHANNEL_ALIPAY, 3 * HOUR_MS);
    desk_code(&d, 0);
    desk_due_at(&d, d.b.payment[0].expires_ms);
    assert_int_equal(d.b.payment[1].expires_ms, d.b.order.expires_ms);
}

static void renewal_leaves_room_for_what_must_be_recorded(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    desk_place(&d, CHANNEL_ALIPAY, 24 * HOUR_MS);
    for (unsigned i = 0; i < 8; i++) { // old codes are never proven: the provider does not answer
        unsigned newest = d.b.n_payments - 1;
        if (d.b.payment[newest].state == PAYMENT_CREATING) desk_code(&d, newest);
        desk_due_at(&d, d.b.payment[newest].expires_ms);
    }
    assert_int_equal(d.b.n_payments, BUNDLE_PAYMENTS_TO_RENEW);
}

static void renewal_goes_on_when_there_is_room_again(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    desk_place(&d, CHANNEL_ALIPAY, 48 * HOUR_MS);
    for (unsigned i = 0; i < 5; i++) {
        unsigned newest = d.b.n_payments - 1;
        desk_code(&d, newest);
        desk_due_at(&d, d.b.payment[newest].expires_ms);
    }
    assert_int_equal(d.b.n_payments, BUNDLE_PAYMENTS_TO_RENEW);
    assert_false(can_be_paid(&d));
    desk_answer(&d, 1, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
    desk_reload(&d);
    assert_int_equal(d.b.n_payments, 4);
    desk_due(&d); // the others are asked about
    assert_true(can_be_paid(&d));
    assert_int_equal(d.b.payment[4].n, 6); // numbers go on
}

static void renewal_begins_anew_when_all_are_proven_at_once(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    desk_place(&d, CHANNEL_ALIPAY, 48 * HOUR_MS);
    for (unsigned i = 0; i < 5; i++) {
        unsigned newest = d.b.n_payments - 1;
        desk_code(&d, newest);
        desk_due_at(&d, d.b.payment[newest].expires_ms);
    }
    for (unsigned i = 0; i < 5; i++) { // the first in the row is another each time
        desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
        desk_reload(&d);
    }
    assert_true(can_be_paid(&d));
    assert_int_equal(d.b.payment[d.b.n_payments - 1].n, 6);
}

static void a_code_closed_by_the_provider_is_followed_by_another(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    desk_place(&d, CHANNEL_ALIPAY, 10 * HOUR_MS);
    desk_code(&d, 0);
    d.now_ms = d.b.payment[0].expires_ms - SECOND_MS;
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
    PAYMENT_IS(&d, 0, PAYMENT_CLOSED);
    PAYMENT_IS(&d, 1, PAYMENT_CREATING);
    CALLED(&d, CALL_CREATE);
    desk_code(&d, 1);
    assert_true(d.b.order.check_ms != TIME_NEVER); // and it is checked
}

static void a_last_code_needs_a_minute_of_the_window(void **state)
{
    (void)state;
    for (int64_t left_ms = MINUTE_MS - 1; left_ms <= MINUTE_MS; left_ms++) {
        struct desk d;
        desk_waiting(&d);
        d.now_ms = d.b.order.expires_ms - left_ms;
        desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
        assert_int_equal(d.b.n_payments, left_ms < MINUTE_MS ? 1 : 2);
        if (left_ms == MINUTE_MS) assert_int_equal(d.b.payment[1].expires_ms, d.b.order.expires_ms);
    }
}

static void a_code_long_in_coming_ends_later_and_never_in_the_past(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    desk_place(&d, CHANNEL_ALIPAY, 10 * HOUR_MS);
    int64_t last_ms = 0;
    for (unsigned i = 0; i < 2000 && d.now_ms < T0_MS + 4 * HOUR_MS; i++) {
        desk_due(&d);
        const struct call *c = call_of(&d, CALL_CREATE);
        assert_non_null(c);
        assert_in_range(c->expires_ms - d.now_ms, d.rules.code_min_life_ms, d.rules.code_max_life_ms);
        assert_true(c->expires_ms >= last_ms);
        last_ms = c->expires_ms;
        desk_answer(&d, 0, CALL_CREATE, OUTCOME_UNKNOWN, FACT_NONE);
    }
    assert_int_equal(d.b.n_payments, 1);
    assert_true(last_ms > T0_MS + 4 * HOUR_MS);
}

// We were restarted with other rules in between; the first ask may have made a code all the same.
static void a_code_asked_for_again_never_ends_earlier(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    desk_place(&d, CHANNEL_ALIPAY, 10 * HOUR_MS);
    int64_t expires_ms = d.b.payment[0].expires_ms;
    d.rules.code_max_life_ms = 5 * MINUTE_MS;
    desk_due(&d);
    assert_int_equal(call_of(&d, CALL_CREATE)->expires_ms, expires_ms);
    assert_int_equal(d.b.payment[0].expires_ms, expires_ms);
}

static void within_the_window_a_code_asked_for_again_keeps_its_end(void **state)
{
    (void)state;
    struct desk d;
    desk_placed(&d);
    for (unsigned i = 0; i < 4; i++) {
        desk_answer(&d, 0, CALL_CREATE, OUTCOME_UNKNOWN, FACT_NONE);
        desk_due(&d);
        assert_int_equal(call_of(&d, CALL_CREATE)->expires_ms, d.b.order.expires_ms);
    }
    desk_due_at(&d, d.b.order.expires_ms - SECOND_MS); // no provider makes so short a code
    assert_int_equal(call_of(&d, CALL_CREATE)->expires_ms, d.now_ms + MINUTE_MS);
    desk_due_at(&d, d.b.order.expires_ms);
    PAYMENT_IS(&d, 0, PAYMENT_CLOSING);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
    assert_int_equal(d.b.order.due_ms, d.b.order.expires_ms + MINUTE_MS - SECOND_MS + GRACE_MS);
}

static void done_without_a_code_is_no_code(void **state)
{
    (void)state;
    static const enum fact NO_CODE[] = {FACT_NONE, FACT_CLOSED, FACT_WAITING};
    for (unsigned i = 0; i < 3; i++) {
        struct desk d;
        desk_placed(&d);
        desk_answer(&d, 0, CALL_CREATE, OUTCOME_DONE, NO_CODE[i]);
        ORDER_IS(&d, ORDER_PLACED);
        PAYMENT_IS(&d, 0, PAYMENT_CREATING);
        assert_true(d.b.order.due_ms > d.now_ms); // asked again
        desk_due(&d);
        CALLED(&d, CALL_CREATE);
    }
}

static void a_placing_that_took_too_long_is_answered_without_a_code_once(void **state)
{
    (void)state;
    struct desk d;
    desk_placed(&d);
    assert_int_equal(d.b.order.reply_state, ORDER_STATE_0);
    desk_answer(&d, 0, CALL_CREATE, OUTCOME_UNKNOWN, FACT_NONE);
    assert_int_equal(d.b.order.reply_state, ORDER_STATE_0); // still being waited for
    desk_event(&d, (struct event){.kind = EV_LATE_REPLY});
    assert_true(d.out.changed);
    assert_int_equal(d.b.order.reply_state, ORDER_PLACED);
    assert_int_equal(d.b.order.reply_version, d.b.order.version);
    uint32_t version = d.b.order.version;
    desk_event(&d, (struct event){.kind = EV_LATE_REPLY});
    assert_true(nothing_happened(&d));
    desk_code(&d, 0);
    assert_int_equal(d.b.order.reply_state, ORDER_PLACED); // what was said was said
    assert_int_equal(d.b.order.reply_version, version);
}

static void a_placing_may_be_answered_without_waiting_for_a_code(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    d.b.order.channel = CHANNEL_ALIPAY;
    d.b.order.expires_ms = d.now_ms + WINDOW_MS;
    desk_event(&d, (struct event){.kind = EV_PLACE, .place = {.is_answered = true}});
    ORDER_IS(&d, ORDER_PLACED);
    assert_int_equal(d.b.order.reply_state, ORDER_PLACED);
    assert_int_equal(d.b.order.reply_version, 1);
    desk_code(&d, 0);
    assert_int_equal(d.b.order.reply_state, ORDER_PLACED);
}

static void a_placing_is_answered_by_the_step_that_leaves_placed(void **state)
{
    (void)state;
    struct desk d;
    desk_waiting(&d);
    assert_int_equal(d.b.order.reply_state, ORDER_AWAITING_PAYMENT);
    assert_int_equal(d.b.order.reply_version, d.b.order.version);
    uint32_t version = d.b.order.version;
    desk_event(&d, (struct event){.kind = EV_LATE_REPLY});
    assert_true(nothing_happened(&d));
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    assert_int_equal(d.b.order.reply_version, version);
    desk_clear(&d);
    desk_place(&d, CHANNEL_ANY, WINDOW_MS);
    assert_int_equal(d.b.order.reply_state, ORDER_AWAITING_PAYMENT);
    assert_int_equal(d.b.order.reply_version, 1);
    desk_placed(&d);
    desk_answer(&d, 0, CALL_CREATE, OUTCOME_REFUSED, FACT_NONE);
    assert_int_equal(d.b.order.reply_state, ORDER_CANCELLED);
}

// --- Prices

static void a_price_is_the_sum_of_its_lines(void **state)
{
    (void)state;
    static const struct {
        struct line lines[3];
        unsigned n;
        bool ok;
        int64_t amount_fen;
    } PRICES[] = {
        {{{.quantity = 1, .price_fen = 1}}, 1, true, 1},
        {{{.quantity = 2, .price_fen = 995}}, 1, true, 1990},
        {{{.quantity = 2, .price_fen = 995}, {.quantity = 1, .price_fen = 0}, {.quantity = 3, .price_fen = 1}},
         3,
         true,
         1993},
        {{{.quantity = 1, .price_fen = AMOUNT_MAX_FEN}}, 1, true, AMOUNT_MAX_FEN},
        {{{.quantity = LINE_QUANTITY_MAX, .price_fen = 10000}}, 1, true, AMOUNT_MAX_FEN},
        {{{.quantity = 1, .price_fen = AMOUNT_MAX_FEN + 1}}, 1, false, 0},
        {{{.quantity = 1, .price_fen = AMOUNT_MAX_FEN}, {.quantity = 1, .price_fen = 1}}, 2, false, 0},
        {{{.quantity = 1, .price_fen = 0}}, 1, false, 0},
        {{{.quantity = 1, .price_fen = -5}}, 1, false, 0},
        {{{.quantity = 0, .price_fen = 0}}, 0, false, 0},
        {{{.quantity = 1, .price_fen = 200}, {.quantity = -1, .price_fen = 100}}, 2, false, 0}, // no line takes away
        {{{.quantity = 1, .price_fen = 200}, {.quantity = 0, .price_fen = 100}}, 2, false, 0},
        {{{.quantity = LINE_QUANTITY_MAX + 1, .price_fen = 1}}, 1, false, 0},
        {{{.quantity = 2, .price_fen = INT64_MAX}}, 1, false, 0},
        {{{.quantity = LINE_QUANTITY_MAX, .price_fen = INT64_MAX / LINE_QUANTITY_MAX + 1}}, 1, false, 0},
        {{{.quantity = 1, .price_fen = INT64_MAX}, {.quantity = 1, .price_fen = 1}}, 2, false, 0},
        {{{.quantity = 1, .price_fen = INT64_MAX},
          {.quantity = 1, .price_fen = INT64_MAX},
          {.quantity = 1, .price_fen = 3}},
         3,
         false,
         0},
    };
    for (unsigned i = 0; i < sizeof PRICES / sizeof PRICES[0]; i++) {
        int64_t amount_fen = -1;
        if (order_price(PRICES[i].lines, PRICES[i].n, &amount_fen) != PRICES[i].ok) fail_msg("row %u", i);
        if (PRICES[i].ok) assert_int_equal(amount_fen, PRICES[i].amount_fen);
    }
}

// --- Names

#define X_TEXT(constant, text, ...) {constant, text},
#define NAMES_ARE(function, LIST, none)                                                                                \
    do {                                                                                                               \
        static const struct {                                                                                          \
            unsigned v;                                                                                                \
            const char *text;                                                                                          \
        } names[] = {LIST(X_TEXT)};                                                                                    \
        for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)                                                  \
            assert_string_equal(function(names[i].v), names[i].text);                                                  \
        assert_string_equal(function(0), none);                                                                        \
        assert_string_equal(function(99), "?");                                                                        \
        assert_string_equal(function((unsigned)-1), "?");                                                              \
    } while (0)

static void everything_has_its_name_and_nothing_else_has_one(void **state)
{
    (void)state;
    NAMES_ARE(order_state_name, ORDER_STATES, "?");
    NAMES_ARE(cancel_reason_name, CANCEL_REASONS, "none");
    NAMES_ARE(channel_name, CHANNELS, "any");
    NAMES_ARE(product_name, PRODUCTS, "qr");
    NAMES_ARE(payment_state_name, PAYMENT_STATES, "?");
    NAMES_ARE(proof_name, PROOFS, "none");
    NAMES_ARE(refund_state_name, REFUND_STATES, "?");
    NAMES_ARE(refund_cause_name, REFUND_CAUSES, "merchant");
    NAMES_ARE(event_type_name, EVENT_TYPES, "?");
    NAMES_ARE(call_method_name, CALL_METHODS, "none");
    NAMES_ARE(outcome_name, OUTCOMES, "?");
    NAMES_ARE(fact_name, FACTS, "none");
    NAMES_ARE(trace_kind_name, TRACE_KINDS, "?");
}

// The numbers are stored: once given, a number keeps its meaning.
static void stored_numbers_stay(void **state)
{
    (void)state;
    assert_int_equal(ORDER_PLACED, 1);
    assert_int_equal(ORDER_CANCELLED, 5);
    assert_int_equal(PAYMENT_CREATING, 1);
    assert_int_equal(PAYMENT_CLOSED, 5);
    assert_int_equal(PAYMENT_MISMATCHED, 10);
    assert_int_equal(PROOF_REFUSED, 4);
    assert_int_equal(REFUND_FAILED, 3);
    assert_int_equal(CAUSE_PROVIDER, 4);
    assert_int_equal(EVENT_REFUND_FAILED, 10);
    assert_int_equal(CALL_REFUND_QUERY, 6);
    assert_int_equal(POLICY_FORWARD, 3);
    assert_int_equal(REASON_CHANNEL, 4);
    assert_int_equal(CHANNEL_WECHATPAY, 2);
    assert_int_equal(CHANNEL_FAKE, 3);
    assert_int_equal(N_CHANNELS, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_on_a_channel_holds_stock_and_asks_for_a_code),
        cmocka_unit_test(an_order_on_any_channel_awaits_payment_at_once),
        cmocka_unit_test(an_order_by_amount_moves_no_stock),
        cmocka_unit_test(the_code_opens_the_order),
        cmocka_unit_test(a_code_lives_as_long_as_the_window),
        cmocka_unit_test(a_code_that_outlives_a_short_window_is_watched_to_its_end),
        cmocka_unit_test(an_unanswered_creation_is_repeated_under_one_number),
        cmocka_unit_test(a_creation_never_answered_is_repeated_after_the_calls_deadline),
        cmocka_unit_test(backing_off_ends_at_about_a_minute),
        cmocka_unit_test(a_refused_code_cancels_the_order_at_once),
        cmocka_unit_test(refused_after_an_unknown_one_there_may_still_be_a_code),
        cmocka_unit_test(a_code_that_comes_after_closing_began_is_never_shown),
        cmocka_unit_test(long_windows_renew_their_codes),
        cmocka_unit_test(the_last_renewed_code_ends_with_the_window),
        cmocka_unit_test(renewal_leaves_room_for_what_must_be_recorded),
        cmocka_unit_test(renewal_goes_on_when_there_is_room_again),
        cmocka_unit_test(renewal_begins_anew_when_all_are_proven_at_once),
        cmocka_unit_test(a_code_closed_by_the_provider_is_followed_by_another),
        cmocka_unit_test(a_last_code_needs_a_minute_of_the_window),
        cmocka_unit_test(a_code_long_in_coming_ends_later_and_never_in_the_past),
        cmocka_unit_test(a_code_asked_for_again_never_ends_earlier),
        cmocka_unit_test(within_the_window_a_code_asked_for_again_keeps_its_end),
        cmocka_unit_test(done_without_a_code_is_no_code),
        cmocka_unit_test(a_placing_that_took_too_long_is_answered_without_a_code_once),
        cmocka_unit_test(a_placing_may_be_answered_without_waiting_for_a_code),
        cmocka_unit_test(a_placing_is_answered_by_the_step_that_leaves_placed),
        cmocka_unit_test(a_price_is_the_sum_of_its_lines),
        cmocka_unit_test(everything_has_its_name_and_nothing_else_has_one),
        cmocka_unit_test(stored_numbers_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
