// SPDX-License-Identifier: Apache-2.0
// The end of the window and the cancellation: what proves that an attempt can take no money any more, and
// when stock comes back.
#include "order_fixture.h"

#define DEAD_MS (T0_MS + WINDOW_MS + GRACE_MS) // of the fixture's first code

static void the_end_of_the_window_begins_closing_and_releases_nothing(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    TOLD(&d, EVENT_ORDER_CLOSING);
    assert_int_equal(d.b.order.reason, REASON_TIMEOUT);
    assert_int_equal(d.b.order.closing_ms, d.b.order.expires_ms);
    assert_int_equal(d.out.stock, STOCK_STAY);
    PAYMENT_IS(&d, 0, PAYMENT_CLOSING);
    CALLED(&d, CALL_QUERY);
    assert_int_equal(d.out.n_calls, 1);
}

static void a_millisecond_before_the_end_the_order_is_open(void **state)
{
    (void)state;
    struct desk d;
    desk_waiting(&d);
    desk_due_at(&d, d.b.order.expires_ms - 1);
    ORDER_IS(&d, ORDER_AWAITING_PAYMENT);
    desk_due_at(&d, d.b.order.expires_ms);
    ORDER_IS(&d, ORDER_CLOSING);
}

static void a_window_that_ends_before_the_code_came_closes_too(void **state)
{
    (void)state;
    struct desk d;
    desk_placed(&d);
    desk_due_at(&d, d.b.order.expires_ms);
    ORDER_IS(&d, ORDER_CLOSING);
    CALLED(&d, CALL_QUERY);
    assert_int_equal(calls_of(&d, CALL_CREATE), 0);
}

static void each_canceller_leaves_his_reason(void **state)
{
    (void)state;
    static const enum cancel_reason REASONS[] = {REASON_BUYER, REASON_MERCHANT};
    for (unsigned i = 0; i < 2; i++) {
        struct desk d;
        desk_waiting(&d);
        desk_cancel(&d, REASONS[i]);
        ORDER_IS(&d, ORDER_CLOSING);
        assert_int_equal(d.out.events[0].reason, REASONS[i]);
        desk_cancel(&d, REASON_MERCHANT); // again: 200, and as it was
        assert_true(nothing_happened(&d));
        assert_int_equal(d.b.order.reason, REASONS[i]);
        desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
        TOLD(&d, EVENT_ORDER_CANCELLED);
        assert_int_equal(d.out.events[0].reason, REASONS[i]);
        desk_cancel(&d, REASON_MERCHANT);
        assert_true(nothing_happened(&d));
    }
}

static void a_note_goes_on_the_timeline(void **state)
{
    (void)state;
    struct desk d;
    desk_waiting(&d);
    desk_event(&d, (struct event){.kind = EV_CANCEL, .cancel = {REASON_MERCHANT}, .note = STR("out of tea")});
    assert_int_equal(d.out.traces[0].kind, TRACE_OPERATOR);
    assert_string_equal(d.out.traces[0].detail, "cancel: out of tea");
    desk_waiting(&d);
    desk_cancel(&d, REASON_MERCHANT);
    assert_string_equal(d.out.traces[0].detail, "cancel");
    desk_waiting(&d);
    desk_event(&d, (struct event){
                       .kind = EV_CANCEL,
                       .cancel = {REASON_BUYER},
                       .note = STR("a note that is a good deal longer than the room there is for it on a timeline"),
                   });
    assert_string_equal(d.out.traces[0].detail, "cancel: a note that is a good deal longer than the room there i");
}

static void a_note_is_cut_between_characters(void **state)
{
    (void)state;
    char note[200];
    for (unsigned lead = 0; lead < 4; lead++) { // so that the cut falls upon each byte of a character
        size_t n = 0;
        for (; n < lead; n++)
            note[n] = 'a';
        for (unsigned i = 0; i < 40; i++, n += 3)
            memcpy(note + n, "茶", 3);
        struct desk d;
        desk_waiting(&d);
        desk_event(&d, (struct event){.kind = EV_CANCEL, .cancel = {REASON_BUYER}, .note = {note, n}});
        struct str detail = str_of(d.out.traces[0].detail);
        assert_true(detail.n < sizeof d.out.traces[0].detail);
        while (detail.n > 0) {
            size_t len = str_utf8_len(detail);
            assert_true(len > 0);
            detail = (struct str){detail.p + len, detail.n - len};
        }
    }
}

static void a_long_chinese_note_keeps_its_beginning(void **state)
{
    (void)state;
    struct desk d;
    desk_waiting(&d);
    desk_event(&d, (struct event){
                       .kind = EV_CANCEL,
                       .cancel = {REASON_MERCHANT},
                       .note = STR("买家打电话来说地址写错了要求取消订单并重新下单请仓库不要发货谢谢"),
                   });
    assert_true(strlen(d.out.traces[0].detail) >= sizeof d.out.traces[0].detail - 4);
    assert_memory_equal(d.out.traces[0].detail, "cancel: 买家打电话", strlen("cancel: 买家打电话"));
}

static void characters_of_every_length_stay_whole_where_they_fit(void **state)
{
    (void)state;
    static const struct {
        const char *note, *detail;
    } NOTES[] = {
        {"a", "cancel: a"},           {"é", "cancel: é"},
        {"茶", "cancel: 茶"},         {"🍵", "cancel: 🍵"},
        {"ก", "cancel: ก"},     // the first of three bytes
        {"a\xc3", "cancel: a"}, // cut before it came here
        {"a\xe8\x8c", "cancel: a"},   {"a\xf0\x9f\x8d", "cancel: a"},
        {"\x80\x80\x80", "cancel: "}, // no text at all
    };
    for (unsigned i = 0; i < sizeof NOTES / sizeof NOTES[0]; i++) {
        struct desk d;
        desk_waiting(&d);
        desk_event(&d, (struct event){.kind = EV_CANCEL, .cancel = {REASON_BUYER}, .note = str_of(NOTES[i].note)});
        assert_string_equal(d.out.traces[0].detail, NOTES[i].detail);
    }
}

static void paid_orders_are_not_cancelled(void **state)
{
    (void)state;
    struct desk d;
    desk_paid(&d);
    desk_cancel(&d, REASON_BUYER);
    assert_int_equal(d.out.refusal, REFUSAL_ALREADY_PAID);
}

// --- facts/reliability.md 2.2, row by row: here, what is proof

static void a_trade_closed_by_us_is_proof(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_WAITING);
    CALLED(&d, CALL_CLOSE);
    assert_int_equal(d.out.stock, STOCK_STAY);
    desk_answer(&d, 0, CALL_CLOSE, OUTCOME_DONE, FACT_CLOSED);
    PROOF_IS(&d, 0, PROOF_CLOSED);
    ORDER_IS(&d, ORDER_CANCELLED);
    assert_int_equal(d.out.stock, STOCK_RELEASE);
    assert_int_equal(d.b.order.cancelled_ms, d.now_ms);
    assert_int_equal(d.b.payment[0].proof_ms, d.now_ms);
    assert_true(d.b.order.due_ms == TIME_NEVER);
}

static void a_trade_the_provider_says_is_closed_is_proof(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
    PROOF_IS(&d, 0, PROOF_PROVIDER_CLOSED);
    ORDER_IS(&d, ORDER_CANCELLED);
}

static void paid_is_no_proof_but_money(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    desk_money(&d, 0, CALL_QUERY, FACT_PAID, PRICE_FEN);
    ORDER_IS(&d, ORDER_PAID);
    PROOF_IS(&d, 0, PROOF_NONE);
    assert_int_equal(d.b.order.reason, REASON_TIMEOUT); // stays in the row, and is told of no more
    assert_int_equal(d.out.events[d.out.n_events - 1].reason, REASON_NONE);
    assert_int_equal(d.out.stock, STOCK_SELL);
    assert_int_equal(d.moves[STOCK_RELEASE], 0);
}

static void no_such_trade_proves_nothing_while_the_code_lives(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
    ORDER_IS(&d, ORDER_CLOSING);
    assert_int_equal(d.b.order.due_ms, DEAD_MS);
    assert_int_equal(d.b.payment[0].tries, 0); // a word was had: patience begins anew
    assert_int_equal(d.out.n_calls, 0);
}

static void no_such_trade_is_judged_by_when_it_was_asked(void **state)
{
    (void)state;
    static const struct {
        int64_t asked_ms;
        bool proves;
    } ASKED[] = {
        {DEAD_MS - GRACE_MS, false},
        {DEAD_MS - 1, false},
        {DEAD_MS, true},
        {DEAD_MS + 1, true},
    };
    static const struct {
        enum call_method method;
        enum outcome outcome;
    } BY[] = {
        {CALL_QUERY, OUTCOME_DONE},
        {CALL_CLOSE, OUTCOME_REFUSED},
        {CALL_CANCEL, OUTCOME_DONE},
    };
    for (unsigned i = 0; i < 4; i++)
        for (unsigned k = 0; k < 3; k++) {
            struct desk d;
            desk_closing(&d);
            d.now_ms = DEAD_MS + MINUTE_MS; // the answer took its time
            desk_answer_asked(&d, 0, BY[k].method, BY[k].outcome, FACT_NOT_FOUND, ASKED[i].asked_ms);
            ORDER_IS(&d, ASKED[i].proves ? ORDER_CANCELLED : ORDER_CLOSING);
            PROOF_IS(&d, 0, ASKED[i].proves ? PROOF_DEAD : PROOF_NONE);
            if (ASKED[i].proves) continue;
            assert_int_equal(d.b.order.due_ms, d.now_ms); // asked anew at once
            desk_due(&d);
            CALLED(&d, CALL_QUERY);
            desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
            PROOF_IS(&d, 0, PROOF_DEAD);
        }
}

// A clock of ours that runs ahead calls a living code dead; the provider's own clock, to the second, does not.
static void no_such_trade_is_judged_by_the_earlier_of_two_clocks(void **state)
{
    (void)state;
    static const struct {
        int64_t provider_ms; // what its clock said
        bool proves;
    } SAID[] = {
        {0, true},                                       // nothing: ours alone
        {DEAD_MS, true},                                 // the same
        {DEAD_MS - SECOND_MS, true},                     // cut to the second
        {DEAD_MS - SECOND_MS - 1, false},                // it is not dead there yet
        {DEAD_MS - 60 * MINUTE_MS, false},               // ours is an hour ahead
        {DEAD_MS + 60 * MINUTE_MS, true},                // ours is late: then only later
        {DEAD_MS - SECOND_MS - 24 * HOUR_MS + 1, false}, // almost a day
        {DEAD_MS - SECOND_MS - 24 * HOUR_MS, true},      // that is no clock
    };
    for (unsigned i = 0; i < sizeof SAID / sizeof SAID[0]; i++) {
        struct desk d;
        desk_closing(&d);
        d.now_ms = DEAD_MS;
        desk_event(&d, (struct event){.kind = EV_ANSWER,
                                      .answer = {.payment_key = d.b.payment[0].key,
                                                 .channel = CHANNEL_ALIPAY,
                                                 .method = CALL_QUERY,
                                                 .outcome = OUTCOME_DONE,
                                                 .fact = FACT_NOT_FOUND,
                                                 .asked_ms = DEAD_MS,
                                                 .provider_ms = SAID[i].provider_ms}});
        ORDER_IS(&d, SAID[i].proves ? ORDER_CANCELLED : ORDER_CLOSING);
        // Asked anew when it will be dead there too.
        if (!SAID[i].proves)
            assert_int_equal(d.b.order.due_ms, DEAD_MS + (DEAD_MS - (SAID[i].provider_ms + SECOND_MS)));
    }
}

static void no_such_trade_before_the_window_ends_closes_nothing(void **state)
{
    (void)state;
    struct desk d;
    desk_waiting(&d);
    desk_check(&d);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
    PAYMENT_IS(&d, 0, PAYMENT_WAITING);
}

static void a_trade_at_the_cashier_is_asked_and_closed_again_until_it_yields(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_WAITING);
    CALLED(&d, CALL_CLOSE);
    desk_answer(&d, 0, CALL_CLOSE, OUTCOME_REFUSED, FACT_NONE); // most likely just paid: asked at once
    CALLED(&d, CALL_QUERY);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_WAITING);
    CALLED(&d, CALL_CLOSE);
    desk_answer(&d, 0, CALL_CLOSE, OUTCOME_REFUSED, FACT_NONE); // but not in a storm
    assert_int_equal(d.out.n_calls, 0);
    assert_true(d.b.order.due_ms > d.now_ms);
    ORDER_IS(&d, ORDER_CLOSING);
    desk_due(&d);
    CALLED(&d, CALL_QUERY);
}

static void unknown_answers_prove_nothing_however_many(void **state)
{
    (void)state;
    static const enum fact ANY_WORD[] = {FACT_NONE, FACT_CLOSED, FACT_NOT_FOUND, FACT_WAITING, FACT_PAID};
    struct desk d;
    desk_closing(&d);
    for (unsigned i = 0; i < 50; i++) {
        enum call_method method = d.out.n_calls ? d.out.calls[0].method : CALL_QUERY;
        desk_answer(&d, 0, method, OUTCOME_UNKNOWN, ANY_WORD[i % 5]);
        ORDER_IS(&d, ORDER_CLOSING);
        assert_true(d.b.order.due_ms > d.now_ms && d.b.order.due_ms <= d.now_ms + 80 * SECOND_MS);
        desk_due(&d);
        CALLED(&d, CALL_QUERY);
    }
    assert_true(d.now_ms > DEAD_MS);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND); // the provider is back
    ORDER_IS(&d, ORDER_CANCELLED);
}

static void an_unanswered_close_is_asked_again(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_WAITING);
    desk_due(&d); // not a word, not even "unknown": we were down
    assert_int_equal(d.out.n_calls, 1);
    desk_answer(&d, 0, CALL_CLOSE, OUTCOME_UNKNOWN, FACT_NONE);
    desk_due(&d);
    CALLED(&d, CALL_QUERY); // it may have happened: asked, not assumed
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
    ORDER_IS(&d, ORDER_CANCELLED);
}

static void cancel_is_tried_only_on_the_dead_and_stubborn(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    unsigned cancels = 0;
    for (unsigned i = 0; i < 60 && !cancels; i++) {
        enum call_method method = d.out.n_calls ? d.out.calls[0].method : CALL_NONE;
        if (method == CALL_QUERY) {
            desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_WAITING);
            cancels = calls_of(&d, CALL_CANCEL);
        } else if (method == CALL_CLOSE) {
            desk_answer(&d, 0, CALL_CLOSE, OUTCOME_REFUSED, FACT_NONE);
        } else {
            desk_due(&d);
        }
    }
    assert_int_equal(cancels, 1);
    assert_true(d.now_ms >= DEAD_MS);
    desk_answer(&d, 0, CALL_CANCEL, OUTCOME_DONE, FACT_CLOSED);
    PROOF_IS(&d, 0, PROOF_CLOSED);
    ORDER_IS(&d, ORDER_CANCELLED);
}

static void checks_on_demand_do_not_make_an_attempt_stubborn(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    d.now_ms = DEAD_MS;
    for (unsigned i = 0; i < 6; i++)
        desk_check(&d);
    assert_int_equal(d.b.payment[0].tries, 1);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_WAITING);
    assert_int_equal(calls_of(&d, CALL_CANCEL), 0);
    CALLED(&d, CALL_CLOSE);
}

static void a_cancel_that_gave_the_money_back_is_entered_as_both(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    d.now_ms = DEAD_MS + MINUTE_MS;
    desk_money(&d, 0, CALL_CANCEL, FACT_PAID_AND_REFUNDED, PRICE_FEN);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDED);
    assert_int_equal(d.b.payment[0].captured_fen, PRICE_FEN);
    assert_int_equal(d.b.payment[0].refunded_fen, PRICE_FEN);
    REFUND_IS(&d, 0, REFUND_SUCCEEDED);
    assert_int_equal(d.b.refund[0].cause, CAUSE_PROVIDER);
    TOLD(&d, EVENT_REFUND_SUCCEEDED);
    ORDER_IS(&d, ORDER_CANCELLED);
    assert_int_equal(d.b.order.paid_fen, 0);
}

// The notification came while the cancel was under way.
static void a_cancel_that_gives_back_money_that_counts_is_entered_too(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    d.now_ms = DEAD_MS + MINUTE_MS;
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    ORDER_IS(&d, ORDER_PAID);
    desk_money(&d, 0, CALL_CANCEL, FACT_PAID_AND_REFUNDED, PRICE_FEN);
    ORDER_IS(&d, ORDER_PAID);
    PAYMENT_IS(&d, 0, PAYMENT_REFUNDED);
    assert_int_equal(d.b.order.refunded_fen, PRICE_FEN);
    assert_int_equal(d.b.refund[0].cause, CAUSE_PROVIDER);
    TOLD(&d, EVENT_REFUND_SUCCEEDED);
    assert_int_equal(d.out.n_calls, 0);
    desk_money(&d, 0, CALL_CANCEL, FACT_PAID_AND_REFUNDED, PRICE_FEN);
    assert_true(nothing_happened(&d));
}

static void an_order_waits_for_the_proof_of_every_attempt(void **state)
{
    (void)state;
    struct desk d;
    desk_clear(&d);
    desk_place(&d, CHANNEL_ALIPAY, 3 * HOUR_MS);
    desk_code(&d, 0);
    desk_due_at(&d, d.b.payment[0].expires_ms);
    desk_code(&d, 1);
    desk_cancel(&d, REASON_BUYER);
    desk_answer(&d, 1, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
    ORDER_IS(&d, ORDER_CLOSING);
    PAYMENT_IS(&d, 1, PAYMENT_CLOSED);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_CLOSED);
    ORDER_IS(&d, ORDER_CANCELLED);
    assert_int_equal(d.moves[STOCK_RELEASE], 1);
}

static void a_code_closed_in_the_windows_last_minute_is_proven_for_its_end(void **state)
{
    (void)state;
    struct desk d;
    desk_waiting(&d);
    d.now_ms = d.b.order.expires_ms - MINUTE_MS + 1; // no code lives so short a time
    desk_check(&d);
    desk_demanded(&d, 0, OUTCOME_DONE, FACT_CLOSED);
    PAYMENT_IS(&d, 0, PAYMENT_CLOSED);
    ORDER_IS(&d, ORDER_AWAITING_PAYMENT);
    assert_int_equal(d.b.n_payments, 1);
    for (unsigned i = 0; i < 9 && d.now_ms < d.b.order.expires_ms; i++) { // check-backs find nobody to ask
        desk_due(&d);
        assert_int_equal(d.out.n_calls, 0);
    }
    assert_int_equal(d.now_ms, d.b.order.expires_ms);
    ORDER_IS(&d, ORDER_CANCELLED);
    assert_int_equal(d.out.n_calls, 0);
}

// --- release=deadline

static void at_the_deadline_stock_comes_back_and_the_code_stays_watched(void **state)
{
    (void)state;
    struct desk d;
    desk_waiting(&d);
    d.rules.release = RELEASE_DEADLINE;
    desk_due_at(&d, d.b.order.expires_ms);
    ORDER_IS(&d, ORDER_CANCELLED);
    assert_int_equal(d.out.n_events, 2);
    assert_int_equal(d.out.events[0].type, EVENT_ORDER_CLOSING);
    assert_int_equal(d.out.events[1].type, EVENT_ORDER_CANCELLED);
    assert_int_equal(d.out.stock, STOCK_RELEASE);
    PAYMENT_IS(&d, 0, PAYMENT_CLOSING);
    CALLED(&d, CALL_QUERY);
    assert_true(d.b.order.due_ms != TIME_NEVER);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
    desk_due(&d);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_NOT_FOUND);
    PROOF_IS(&d, 0, PROOF_DEAD);
    assert_true(d.b.order.due_ms == TIME_NEVER);
    assert_int_equal(d.moves[STOCK_RELEASE], 1);
}

static void money_after_such_a_deadline_is_late_money(void **state)
{
    (void)state;
    struct desk d;
    desk_waiting(&d);
    d.rules.release = RELEASE_DEADLINE;
    desk_due_at(&d, d.b.order.expires_ms);
    desk_money(&d, 0, CALL_QUERY, FACT_PAID, PRICE_FEN);
    ORDER_IS(&d, ORDER_CANCELLED);
    TOLD(&d, EVENT_PAYMENT_LATE);
    CALLED(&d, CALL_REFUND);
}

// --- Close racing payment (facts/reliability.md 3, rows 1, 2, 4)

static void paid_at_the_instant_of_closing_is_paid(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_WAITING);
    desk_answer(&d, 0, CALL_CLOSE, OUTCOME_REFUSED, FACT_NONE);
    CALLED(&d, CALL_QUERY);
    desk_money(&d, 0, CALL_QUERY, FACT_PAID, PRICE_FEN);
    ORDER_IS(&d, ORDER_PAID);
    assert_int_equal(d.moves[STOCK_SELL], 1);
    assert_int_equal(d.moves[STOCK_RELEASE], 0);
}

static void a_notification_wins_against_a_close_under_way(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_WAITING);
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    ORDER_IS(&d, ORDER_PAID);
    desk_answer(&d, 0, CALL_CLOSE, OUTCOME_REFUSED, FACT_NONE); // the loser's answer
    assert_true(nothing_happened(&d));
    desk_due_at(&d, DEAD_MS); // and a timer that was too late
    assert_true(nothing_happened(&d));
}

static void a_buyer_who_cancels_and_pays_is_paid(void **state)
{
    (void)state;
    struct desk d;
    desk_waiting(&d);
    desk_cancel(&d, REASON_BUYER);
    desk_notice(&d, 0, FACT_PAID, PRICE_FEN);
    ORDER_IS(&d, ORDER_PAID);
    desk_cancel(&d, REASON_BUYER);
    assert_int_equal(d.out.refusal, REFUSAL_ALREADY_PAID);
}

static void late_words_about_a_cancelled_order_change_nothing(void **state)
{
    (void)state;
    static const enum fact WORDS[] = {FACT_CLOSED, FACT_NOT_FOUND, FACT_WAITING, FACT_CODE, FACT_NONE};
    for (unsigned i = 0; i < 5; i++)
        for (enum call_method m = CALL_CREATE; m <= CALL_CANCEL; m++)
            for (enum outcome o = OUTCOME_DONE; o <= OUTCOME_UNKNOWN; o++) {
                struct desk d;
                desk_cancelled(&d, REASON_BUYER);
                desk_answer(&d, 0, m, o, WORDS[i]);
                assert_true(nothing_happened(&d));
            }
}

static void words_about_strangers_change_nothing(void **state)
{
    (void)state;
    struct desk d;
    desk_closing(&d);
    struct answer a = {.payment_key = 7, .method = CALL_QUERY, .outcome = OUTCOME_DONE, .fact = FACT_CLOSED};
    desk_event(&d, (struct event){.kind = EV_ANSWER, .answer = a});
    assert_true(nothing_happened(&d));
    a.method = CALL_NONE;
    a.fact = FACT_PAID;
    a.captured_fen = PRICE_FEN;
    desk_event(&d, (struct event){.kind = EV_NOTICE, .answer = a});
    assert_true(nothing_happened(&d));
}

// What is asked again in vain is told apart from what is asked next: a provider in trouble is spared the former only.
static void only_what_was_asked_in_vain_is_a_retry(void **state)
{
    (void)state;
    struct desk d;
    desk_placed(&d);
    assert_false(call_of(&d, CALL_CREATE)->is_retry);
    desk_answer(&d, 0, CALL_CREATE, OUTCOME_UNKNOWN, FACT_NONE);
    desk_due(&d);
    assert_true(call_of(&d, CALL_CREATE)->is_retry);
    desk_code(&d, 0);
    desk_check(&d);
    assert_false(call_of(&d, CALL_QUERY)->is_retry);
    desk_cancel(&d, REASON_MERCHANT);
    assert_false(call_of(&d, CALL_QUERY)->is_retry);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_UNKNOWN, FACT_NONE);
    desk_check(&d); // somebody asks: his question, and his first
    assert_false(call_of(&d, CALL_QUERY)->is_retry);
    desk_due(&d);
    assert_true(call_of(&d, CALL_QUERY)->is_retry);
    desk_answer(&d, 0, CALL_QUERY, OUTCOME_DONE, FACT_WAITING);
    assert_false(call_of(&d, CALL_CLOSE)->is_retry); // the query was answered: this comes next
    desk_answer(&d, 0, CALL_CLOSE, OUTCOME_UNKNOWN, FACT_NONE);
    desk_due(&d);
    assert_true(call_of(&d, CALL_QUERY)->is_retry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_was_asked_in_vain_is_a_retry),
        cmocka_unit_test(the_end_of_the_window_begins_closing_and_releases_nothing),
        cmocka_unit_test(a_millisecond_before_the_end_the_order_is_open),
        cmocka_unit_test(a_window_that_ends_before_the_code_came_closes_too),
        cmocka_unit_test(each_canceller_leaves_his_reason),
        cmocka_unit_test(a_note_goes_on_the_timeline),
        cmocka_unit_test(a_note_is_cut_between_characters),
        cmocka_unit_test(a_long_chinese_note_keeps_its_beginning),
        cmocka_unit_test(characters_of_every_length_stay_whole_where_they_fit),
        cmocka_unit_test(paid_orders_are_not_cancelled),
        cmocka_unit_test(a_trade_closed_by_us_is_proof),
        cmocka_unit_test(a_trade_the_provider_says_is_closed_is_proof),
        cmocka_unit_test(paid_is_no_proof_but_money),
        cmocka_unit_test(no_such_trade_proves_nothing_while_the_code_lives),
        cmocka_unit_test(no_such_trade_is_judged_by_when_it_was_asked),
        cmocka_unit_test(no_such_trade_is_judged_by_the_earlier_of_two_clocks),
        cmocka_unit_test(no_such_trade_before_the_window_ends_closes_nothing),
        cmocka_unit_test(a_trade_at_the_cashier_is_asked_and_closed_again_until_it_yields),
        cmocka_unit_test(unknown_answers_prove_nothing_however_many),
        cmocka_unit_test(an_unanswered_close_is_asked_again),
        cmocka_unit_test(cancel_is_tried_only_on_the_dead_and_stubborn),
        cmocka_unit_test(checks_on_demand_do_not_make_an_attempt_stubborn),
        cmocka_unit_test(a_cancel_that_gave_the_money_back_is_entered_as_both),
        cmocka_unit_test(a_cancel_that_gives_back_money_that_counts_is_entered_too),
        cmocka_unit_test(an_order_waits_for_the_proof_of_every_attempt),
        cmocka_unit_test(a_code_closed_in_the_windows_last_minute_is_proven_for_its_end),
        cmocka_unit_test(at_the_deadline_stock_comes_back_and_the_code_stays_watched),
        cmocka_unit_test(money_after_such_a_deadline_is_late_money),
        cmocka_unit_test(paid_at_the_instant_of_closing_is_paid),
        cmocka_unit_test(a_notification_wins_against_a_close_under_way),
        cmocka_unit_test(a_buyer_who_cancels_and_pays_is_paid),
        cmocka_unit_test(late_words_about_a_cancelled_order_change_nothing),
        cmocka_unit_test(words_about_strangers_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
