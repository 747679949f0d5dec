// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

// Refunds: how much, how often, and what the ledger says afterwards.

#define REFUND       "alipay.trade.refund"
#define REFUND_QUERY "alipay.trade.fastpay.refund.query"

static int setup(void **state)
{
    static struct rig rig;
    rig_open(&rig);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_close(*state);
    return 0;
}

static void paid_trade(struct rig *r, const char *number, const char *amount)
{
    char code[128];
    rig_precreate(r, number, amount, NULL, code);
    rig_pay(r, code);
}

static void expect_ledger(struct rig *r, int64_t captured, int64_t refunded, int64_t trades, int64_t refunds)
{
    json_t *o = rig_json(r, "GET", "/wallet/ledger", NULL, 200);
    expect_int(o, "captured", captured);
    expect_int(o, "refunded", refunded);
    expect_int(o, "trades", trades);
    expect_int(o, "refunds", refunds);
    json_decref(o);
}

static void a_refund_repeated_moves_money_once(void **state)
{
    struct rig *r = *state;
    paid_trade(r, "N1", "10.00");
    for (int i = 0; i < 3; i++) {
        json_t *o =
            rig_call(r, REFUND, "{\"out_trade_no\":\"N1\",\"refund_amount\":\"3.00\",\"out_request_no\":\"r1\"}");
        expect_text(o, "code", "10000");
        expect_text(o, "fund_change", i ? "N" : "Y");
        expect_text(o, "refund_fee", "3.00");
        json_decref(o);
    }
    expect_ledger(r, 1000, 300, 1, 1);
}

static void refund_fee_is_cumulative_and_the_last_refund_closes_the_trade(void **state)
{
    struct rig *r = *state;
    paid_trade(r, "N1", "10.00");
    json_decref(rig_call(r, REFUND, "{\"out_trade_no\":\"N1\",\"refund_amount\":\"3\",\"out_request_no\":\"r1\"}"));
    json_t *o = rig_call(r, REFUND, "{\"out_trade_no\":\"N1\",\"refund_amount\":\"7.0\",\"out_request_no\":\"r2\"}");
    expect_text(o, "fund_change", "Y");
    expect_text(o, "refund_fee", "10.00");
    expect_text(o, "send_back_fee", "7.00");
    json_decref(o);
    o = rig_call(r, "alipay.trade.query", "{\"out_trade_no\":\"N1\"}");
    expect_text(o, "trade_status", "TRADE_CLOSED");
    json_decref(o);
    o = rig_call(r, REFUND, "{\"out_trade_no\":\"N1\",\"refund_amount\":\"3\",\"out_request_no\":\"r1\"}");
    expect_text(o, "fund_change", "N"); // done long ago, whatever the state now
    json_decref(o);
    expect(r, REFUND, "{\"out_trade_no\":\"N1\",\"refund_amount\":\"1\",\"out_request_no\":\"r3\"}", "40004",
           "ACQ.TRADE_HAS_CLOSE");
    expect_ledger(r, 1000, 1000, 1, 2);
}

static void refunds_that_cannot_be_are_refused(void **state)
{
    struct rig *r = *state;
    char code[128];
    static const struct {
        const char *biz, *sub_code;
    } rows[] = {
        {"{\"out_trade_no\":\"N1\",\"refund_amount\":\"10.01\",\"out_request_no\":\"a\"}",
         "ACQ.REASON_TRADE_REFUND_FEE_ERR"},
        {"{\"out_trade_no\":\"N1\",\"refund_amount\":\"0\",\"out_request_no\":\"a\"}", "ACQ.INVALID_PARAMETER"},
        {"{\"out_trade_no\":\"N1\",\"out_request_no\":\"a\"}", "ACQ.INVALID_PARAMETER"},
        {"{\"out_trade_no\":\"N1\",\"refund_amount\":\"1.234\",\"out_request_no\":\"a\"}", "ACQ.INVALID_PARAMETER"},
        {"{\"out_trade_no\":\"N1\",\"refund_amount\":\"1.00\"}", "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"},
        {"{\"out_trade_no\":\"W\",\"refund_amount\":\"1.00\",\"out_request_no\":\"a\"}", "ACQ.TRADE_STATUS_ERROR"},
        {"{\"refund_amount\":\"1.00\",\"out_request_no\":\"a\"}", "ACQ.INVALID_PARAMETER"},
    };
    paid_trade(r, "N1", "10.00");
    rig_precreate(r, "W", "1.00", NULL, code);
    rig_scan(r, code);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect(r, REFUND, rows[i].biz, "40004", rows[i].sub_code);
    json_t *o = rig_call(r, REFUND, rows[0].biz);
    expect_text(o, "refund_fee", "0.00");
    json_decref(o);
    expect_ledger(r, 1000, 0, 2, 0);
    json_decref(rig_call(r, REFUND, "{\"out_trade_no\":\"N1\",\"refund_amount\":\"4\",\"out_request_no\":\"r1\"}"));
    expect(r, REFUND, "{\"out_trade_no\":\"N1\",\"refund_amount\":\"5\",\"out_request_no\":\"r1\"}", "40004",
           "ACQ.DISCORDANT_REPEAT_REQUEST");
    expect(r, REFUND, "{\"out_trade_no\":\"N1\",\"refund_amount\":\"6.01\",\"out_request_no\":\"r2\"}", "40004",
           "ACQ.REASON_TRADE_REFUND_FEE_ERR");
    expect_ledger(r, 1000, 400, 2, 1);
}

static void the_whole_may_be_refunded_without_a_number(void **state)
{
    struct rig *r = *state;
    paid_trade(r, "N1", "10.00");
    for (int i = 0; i < 2; i++) {
        json_t *o = rig_call(r, REFUND, "{\"out_trade_no\":\"N1\",\"refund_amount\":\"10.00\"}");
        expect_text(o, "fund_change", i ? "N" : "Y");
        json_decref(o);
    }
    json_t *o = rig_call(r, REFUND_QUERY, "{\"out_trade_no\":\"N1\",\"out_request_no\":\"N1\"}");
    expect_text(o, "refund_status", "REFUND_SUCCESS");
    json_decref(o);
    expect_ledger(r, 1000, 1000, 1, 1);
}

static void a_refund_query_answers_success_or_nothing(void **state)
{
    struct rig *r = *state;
    paid_trade(r, "N1", "10.00");
    json_decref(rig_call(r, REFUND, "{\"out_trade_no\":\"N1\",\"refund_amount\":\"3\",\"out_request_no\":\"r1\"}"));
    json_t *o = rig_call(r, REFUND_QUERY, "{\"out_trade_no\":\"N1\",\"out_request_no\":\"r1\"}");
    expect_text(o, "code", "10000");
    expect_text(o, "refund_status", "REFUND_SUCCESS");
    expect_text(o, "refund_amount", "3.00");
    expect_text(o, "total_amount", "10.00");
    json_decref(o);
    o = rig_call(r, REFUND_QUERY, "{\"out_trade_no\":\"N1\",\"out_request_no\":\"r2\"}");
    expect_text(o, "code", "10000");
    expect_text(o, "refund_status", NULL);
    json_decref(o);
    expect(r, REFUND_QUERY, "{\"out_trade_no\":\"N1\"}", "40004", "ACQ.INVALID_PARAMETER");
}

static void cancel_is_refused_after_a_partial_refund_and_after_a_day(void **state)
{
    struct rig *r = *state;
    paid_trade(r, "N1", "10.00");
    paid_trade(r, "N2", "10.00");
    json_decref(rig_call(r, REFUND, "{\"out_trade_no\":\"N1\",\"refund_amount\":\"3\",\"out_request_no\":\"r1\"}"));
    expect(r, "alipay.trade.cancel", "{\"out_trade_no\":\"N1\"}", "40004", "ACQ.REASON_TRADE_REFUND_FEE_ERR");
    rig_advance(r, "25h");
    expect(r, "alipay.trade.cancel", "{\"out_trade_no\":\"N2\"}", "40004", "ACQ.TRADE_CANCEL_TIME_OUT");
    expect_ledger(r, 2000, 300, 2, 1);
}

static void faults(struct rig *r, const char *refund)
{
    char body[64];
    (void)snprintf(body, sizeof body, "{\"refund\":{\"alipay\":\"%s\"}}", refund);
    json_t *o = rig_json(r, "PUT", "/wallet/faults", body, 200);
    if (strcmp(refund, "success") != 0) expect_text(json_object_get(o, "refund"), "alipay", refund);
    json_decref(o);
}

// What a refund call, and then a query, say of refund r1 of this trade.
static void expect_refund(struct rig *r, const char *number, const char *fund_change, const char *refund_status)
{
    char body[160];
    (void)snprintf(body, sizeof body, "{\"out_trade_no\":\"%s\",\"refund_amount\":\"10\",\"out_request_no\":\"r1\"}",
                   number);
    json_t *o = rig_call(r, REFUND, body);
    expect_text(o, "code", "10000");
    expect_text(o, "fund_change", fund_change);
    json_decref(o);
    (void)snprintf(body, sizeof body, "{\"out_trade_no\":\"%s\",\"out_request_no\":\"r1\"}", number);
    o = rig_call(r, REFUND_QUERY, body);
    expect_text(o, "code", "10000");
    expect_text(o, "refund_status", refund_status);
    json_decref(o);
}

static void a_refund_that_was_made_may_say_it_moved_nothing(void **state)
{
    struct rig *r = *state;
    paid_trade(r, "N1", "10.00");
    faults(r, "fund_change_n");
    expect_refund(r, "N1", "N", "REFUND_SUCCESS");
    expect_ledger(r, 1000, 1000, 1, 1);
}

static void a_late_refund_is_unknown_until_it_is_made(void **state)
{
    struct rig *r = *state;
    paid_trade(r, "N1", "10.00");
    paid_trade(r, "N2", "10.00");
    faults(r, "late");
    for (int i = 0; i < 2; i++) { // again: under way, and not twice
        expect_refund(r, "N1", "N", NULL);
        expect_refund(r, "N2", "N", NULL);
    }
    expect_ledger(r, 2000, 0, 2, 0);
    expect(r, REFUND, "{\"out_trade_no\":\"N1\",\"refund_amount\":\"1\",\"out_request_no\":\"r2\"}", "40004",
           "ACQ.REASON_TRADE_REFUND_FEE_ERR"); // what is under way is no longer there to be refunded
    expect(r, "alipay.trade.cancel", "{\"out_trade_no\":\"N1\"}", "40004", "ACQ.REASON_TRADE_REFUND_FEE_ERR");
    faults(r, "success"); // what was taken is made nevertheless
    expect_refund(r, "N1", "N", NULL);
    rig_advance(r, "15s");
    expect_refund(r, "N1", "N", "REFUND_SUCCESS");
    expect_refund(r, "N2", "N", "REFUND_SUCCESS");
    expect_ledger(r, 2000, 2000, 2, 2);
}

static void a_lost_refund_is_as_good_as_never_asked_for(void **state)
{
    struct rig *r = *state;
    paid_trade(r, "N1", "10.00");
    faults(r, "lost");
    expect_refund(r, "N1", "N", NULL);
    rig_advance(r, "1h");
    expect_refund(r, "N1", "N", NULL);
    expect_ledger(r, 1000, 0, 1, 0);
    faults(r, "success");
    expect_refund(r, "N1", "Y", "REFUND_SUCCESS");
    expect_ledger(r, 1000, 1000, 1, 1);
}

static void a_word_nobody_knows_is_refused(void **state)
{
    struct rig *r = *state;
    json_t *o = rig_json(r, "PUT", "/wallet/faults", "{\"refund\":{\"alipay\":\"abnormal\"}}", 400);
    expect_text(o, "pointer", "/refund/alipay");
    json_decref(o);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_refund_repeated_moves_money_once),
        T(refund_fee_is_cumulative_and_the_last_refund_closes_the_trade),
        T(refunds_that_cannot_be_are_refused),
        T(the_whole_may_be_refunded_without_a_number),
        T(a_refund_that_was_made_may_say_it_moved_nothing),
        T(a_late_refund_is_unknown_until_it_is_made),
        T(a_lost_refund_is_as_good_as_never_asked_for),
        T(a_word_nobody_knows_is_refused),
        T(a_refund_query_answers_success_or_nothing),
        T(cancel_is_refused_after_a_partial_refund_and_after_a_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
