// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

// What the trade methods answer in every state of a trade, and what the gateway refuses before them.

#define PRECREATE "alipay.trade.precreate"
#define QUERY     "alipay.trade.query"
#define CLOSE     "alipay.trade.close"
#define CANCEL    "alipay.trade.cancel"
#define REFUND    "alipay.trade.refund"

#define SIXTY_FIVE "x2345678901234567890123456789012345678901234567890123456789012345"

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

// --- The table of states

static void a_code_nobody_scanned_is_no_trade(void **state)
{
    struct rig *r = *state;
    char code[128];
    rig_precreate(r, "N1", "1.00", NULL, code);
    assert_true(strncmp(code, "https://qr.alipay.com/", 22) == 0);
    json_t *o = rig_call(r, QUERY, "{\"out_trade_no\":\"N1\"}");
    expect_text(o, "code", "40004");
    expect_text(o, "sub_code", "ACQ.TRADE_NOT_EXIST");
    expect_text(o, "out_trade_no", "N1");
    expect_text(o, "buyer_pay_amount", "0.00");
    expect_text(o, "trade_no", NULL);
    json_decref(o);
    expect(r, CLOSE, "{\"out_trade_no\":\"N1\"}", "40004", "ACQ.TRADE_NOT_EXIST");
    o = rig_call(r, CANCEL, "{\"out_trade_no\":\"N1\"}");
    expect_text(o, "code", "10000");
    expect_text(o, "action", NULL);
    expect_text(o, "trade_no", NULL);
    expect_text(o, "retry_flag", "N");
    json_decref(o);
    rig_pay(r, code); // neither killed it
}

static void the_switch_makes_close_and_cancel_kill_an_unscanned_code(void **state)
{
    struct rig *r = *state;
    static const char *const methods[] = {CLOSE, CANCEL};
    json_decref(rig_json(r, "PUT", "/wallet/faults", "{\"unscanned_close_kills_qr\":true}", 200));
    for (int i = 0; i < 2; i++) {
        char code[128], again[128], number[8], biz[64], body[256];
        (void)snprintf(number, sizeof number, "K%d", i);
        (void)snprintf(biz, sizeof biz, "{\"out_trade_no\":\"%s\"}", number);
        rig_precreate(r, number, "1.00", NULL, code);
        json_decref(rig_call(r, methods[i], biz));
        (void)snprintf(body, sizeof body, "{\"code\":\"%s\"}", code);
        json_t *o = rig_json(r, "POST", "/wallet/pay", body, 409);
        expect_text(o, "code", "not_payable");
        expect_text(o, "reason", "closed_before_scan");
        json_decref(o);
        rig_precreate(r, number, "2.00", NULL, again); // a code again, which nobody can pay either
        (void)snprintf(body, sizeof body, "{\"code\":\"%s\"}", again);
        json_decref(rig_json(r, "POST", "/wallet/scan", body, 409));
    }
}

static void a_scanned_trade_waits_and_can_be_closed(void **state)
{
    struct rig *r = *state;
    char code[128];
    rig_precreate(r, "N1", "12.30", ",\"store_id\":\"S7\"", code);
    rig_scan(r, code);
    json_t *o = rig_call(r, QUERY, "{\"out_trade_no\":\"N1\"}");
    expect_text(o, "code", "10000");
    expect_text(o, "trade_status", "WAIT_BUYER_PAY");
    expect_text(o, "total_amount", "12.30");
    expect_text(o, "receipt_amount", "0.00");
    expect_text(o, "store_id", "S7");
    expect_text(o, "send_pay_date", NULL);
    assert_int_equal(strlen(json_string_value(json_object_get(o, "trade_no"))), 28);
    json_decref(o);
    o = rig_call(r, CLOSE, "{\"out_trade_no\":\"N1\"}");
    expect_text(o, "code", "10000");
    expect_text(o, "out_trade_no", "N1");
    json_decref(o);
    o = rig_call(r, QUERY, "{\"out_trade_no\":\"N1\"}");
    expect_text(o, "trade_status", "TRADE_CLOSED");
    json_decref(o);
    expect(r, CLOSE, "{\"out_trade_no\":\"N1\"}", "40004", "ACQ.REASON_TRADE_STATUS_INVALID");
}

static void cancel_closes_what_is_unpaid_and_may_be_repeated(void **state)
{
    struct rig *r = *state;
    char code[128];
    rig_precreate(r, "N1", "1.00", NULL, code);
    rig_scan(r, code);
    for (int i = 0; i < 2; i++) {
        json_t *o = rig_call(r, CANCEL, "{\"out_trade_no\":\"N1\"}");
        expect_text(o, "code", "10000");
        expect_text(o, "action", "close");
        assert_non_null(json_object_get(o, "trade_no"));
        json_decref(o);
    }
}

static void a_paid_trade_cannot_be_closed_and_cancel_returns_the_money(void **state)
{
    struct rig *r = *state;
    char code[128], biz[128];
    rig_precreate(r, "N1", "88.80", NULL, code);
    rig_pay(r, code);
    json_t *o = rig_call(r, QUERY, "{\"out_trade_no\":\"N1\"}");
    expect_text(o, "trade_status", "TRADE_SUCCESS");
    expect_text(o, "receipt_amount", "88.80");
    assert_non_null(json_object_get(o, "send_pay_date"));
    const json_t *bill = json_array_get(json_object_get(o, "fund_bill_list"), 0);
    expect_text(bill, "fund_channel", "ALIPAYACCOUNT");
    (void)snprintf(biz, sizeof biz, "{\"trade_no\":\"%s\",\"out_trade_no\":\"elsewhere\"}",
                   json_string_value(json_object_get(o, "trade_no")));
    json_decref(o);
    expect(r, QUERY, biz, "10000", NULL); // trade_no wins
    expect(r, CLOSE, "{\"out_trade_no\":\"N1\"}", "40004", "ACQ.REASON_TRADE_STATUS_INVALID");
    for (int i = 0; i < 2; i++) { // the second time nothing moves
        o = rig_call(r, CANCEL, "{\"out_trade_no\":\"N1\"}");
        expect_text(o, "action", "refund");
        json_decref(o);
    }
    o = rig_json(r, "GET", "/wallet/ledger", NULL, 200);
    expect_int(o, "captured", 8880);
    expect_int(o, "refunded", 8880);
    expect_int(o, "refunds", 1);
    json_decref(o);
    o = rig_call(r, QUERY, "{\"out_trade_no\":\"N1\"}");
    expect_text(o, "trade_status", "TRADE_CLOSED");
    json_decref(o);
}

static void unknown_numbers_are_answered_as_alipay_does(void **state)
{
    struct rig *r = *state;
    expect(r, QUERY, "{\"out_trade_no\":\"nope\"}", "40004", "ACQ.TRADE_NOT_EXIST");
    expect(r, CLOSE, "{\"out_trade_no\":\"nope\"}", "40004", "ACQ.TRADE_NOT_EXIST");
    expect(r, CANCEL, "{\"out_trade_no\":\"nope\"}", "10000", NULL);
    expect(r, CANCEL, "{\"trade_no\":\"nope\"}", "40004", "ACQ.TRADE_NOT_EXIST");
    expect(r, REFUND, "{\"out_trade_no\":\"nope\",\"refund_amount\":\"1\"}", "40004", "ACQ.TRADE_NOT_EXIST");
    expect(r, "alipay.trade.fastpay.refund.query", "{\"out_trade_no\":\"nope\",\"out_request_no\":\"r\"}", "40004",
           "ACQ.TRADE_NOT_EXIST");
    expect(r, QUERY, "{}", "40004", "ACQ.INVALID_PARAMETER");
}

// --- One number twice

static void the_same_request_before_a_scan_gets_its_code_again(void **state)
{
    struct rig *r = *state;
    char code[128], again[128], other[128];
    rig_precreate(r, "N1", "1.00", ",\"qr_code_timeout_express\":\"5m\"", code);
    rig_precreate(r, "N1", "1.00", ",\"qr_code_timeout_express\":\"5m\"", again);
    assert_string_equal(code, again);
    rig_precreate(r, "N1", "2.00", NULL, other); // no trade yet: other terms are no contradiction
    assert_string_not_equal(code, other);
    rig_scan(r, other);
    char body[256];
    (void)snprintf(body, sizeof body, "{\"code\":\"%s\"}", code);
    json_t *o = rig_json(r, "POST", "/wallet/pay", body, 409);
    expect_text(o, "reason", "other_terms");
    json_decref(o);
    rig_pay(r, other);
    o = rig_json(r, "GET", "/wallet/ledger", NULL, 200);
    expect_int(o, "captured", 200);
    json_decref(o);
}

static void a_number_with_a_trade_keeps_its_terms(void **state)
{
    struct rig *r = *state;
    char code[128], again[128];
    const char *same = "{\"out_trade_no\":\"N1\",\"total_amount\":\"1.00\",\"subject\":\"Tea\"}";
    rig_precreate(r, "N1", "1.00", NULL, code);
    rig_scan(r, code);
    rig_precreate(r, "N1", "1.00", NULL, again);
    expect(r, PRECREATE, "{\"out_trade_no\":\"N1\",\"total_amount\":\"1.01\",\"subject\":\"Tea\"}", "40004",
           "ACQ.CONTEXT_INCONSISTENT");
    rig_pay(r, again);
    expect(r, PRECREATE, same, "40004", "ACQ.TRADE_HAS_SUCCESS");
    expect(r, CANCEL, "{\"out_trade_no\":\"N1\"}", "10000", NULL);
    expect(r, PRECREATE, same, "40004", "ACQ.TRADE_HAS_CLOSE");
}

// --- Expiry, with the clock moved

static void expect_code_dead(struct rig *r, const char *code, const char *reason)
{
    char body[256];
    (void)snprintf(body, sizeof body, "{\"code\":\"%s\"}", code);
    json_t *o = rig_json(r, "POST", "/wallet/pay", body, 409);
    expect_text(o, "code", "not_payable");
    expect_text(o, "reason", reason);
    json_decref(o);
}

static void a_code_dies_at_the_earliest_of_its_limits(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *extra, *alive, *then;
    } rows[] = {
        {NULL, "119m", "1m"},
        {",\"qr_code_timeout_express\":\"5m\"", "4m", "1m"},
        {",\"qr_code_timeout_express\":\"1d\"", "119m", "1m"},
        {",\"timeout_express\":\"10m\"", "9m", "1m"},
        {",\"timeout_express\":\"10m\",\"qr_code_timeout_express\":\"3m\"", "2m", "1m"},
        {",\"timeout_express\":\"1m\",\"qr_code_timeout_express\":\"3m\"", "59s", "1s"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char code[128], late[128], number[16], late_number[16];
        (void)snprintf(number, sizeof number, "E%zu", i);
        (void)snprintf(late_number, sizeof late_number, "L%zu", i);
        rig_precreate(r, number, "1.00", rows[i].extra, code);
        rig_precreate(r, late_number, "1.00", rows[i].extra, late);
        rig_advance(r, rows[i].alive);
        rig_pay(r, code);
        rig_advance(r, rows[i].then);
        expect_code_dead(r, late, "expired");
        expect(r, QUERY, "{\"out_trade_no\":\"L0\"}", "40004", "ACQ.TRADE_NOT_EXIST");
    }
}

static void time_in_extra(const struct rig *r, int64_t after_ms, char out[64]);

static void time_expire_wins_and_ends_a_scanned_trade_too(void **state)
{
    struct rig *r = *state;
    char code[128], unscanned[128], extra[64];
    time_in_extra(r, 300000, extra);
    char both[128];
    (void)snprintf(both, sizeof both, "%s,\"timeout_express\":\"1m\"", extra);
    rig_precreate(r, "N1", "1.00", both, code);
    rig_precreate(r, "N2", "1.00", both, unscanned);
    rig_advance(r, "4m");
    rig_scan(r, code);
    rig_advance(r, "1m");
    expect_code_dead(r, code, "closed");
    expect_code_dead(r, unscanned, "expired");
    json_t *o = rig_call(r, QUERY, "{\"out_trade_no\":\"N1\"}");
    expect_text(o, "trade_status", "TRADE_CLOSED");
    json_decref(o);
    expect_posts(r, 1);
    assert_string_equal(post_get(rig_post(r, 0), "trade_status"), "TRADE_CLOSED");
}

static void a_trade_scanned_in_time_outlives_its_code(void **state)
{
    struct rig *r = *state;
    char code[128];
    rig_precreate(r, "N1", "1.00", ",\"qr_code_timeout_express\":\"5m\"", code);
    rig_advance(r, "4m");
    rig_scan(r, code);
    rig_advance(r, "10m");
    rig_pay(r, code); // the hole that time_expire closes
}

static void time_in_extra(const struct rig *r, int64_t after_ms, char out[64])
{
    // Whole seconds, so that the moment itself can be written.
    time_t t = (time_t)((clock_now_ms(&r->clock) + after_ms) / 1000) + 8 * 3600;
    struct tm tm;
    gmtime_r(&t, &tm);
    (void)strftime(out, 64, ",\"time_expire\":\"%Y-%m-%d %H:%M:%S\"", &tm);
}

// --- What is refused

static void bad_terms_are_refused(void **state)
{
    struct rig *r = *state;
    char past[64], biz[1400], long_subject[1100];
    memset(long_subject, 'x', sizeof long_subject);
    long_subject[257] = 0;
    static const char *const rows[] = {
        "\"total_amount\":\"1\",\"subject\":\"x\"",
        "\"out_trade_no\":\"a b\",\"total_amount\":\"1\",\"subject\":\"x\"",
        "\"out_trade_no\":\"a-b\",\"total_amount\":\"1\",\"subject\":\"x\"",
        ("\"total_amount\":\"1\",\"subject\":\"x\",\"out_trade_no\":\"" SIXTY_FIVE "\""),
        "\"out_trade_no\":\"a\",\"subject\":\"x\"",
        "\"out_trade_no\":\"a\",\"total_amount\":\"0\",\"subject\":\"x\"",
        "\"out_trade_no\":\"a\",\"total_amount\":\"0.00\",\"subject\":\"x\"",
        "\"out_trade_no\":\"a\",\"total_amount\":\"-1\",\"subject\":\"x\"",
        "\"out_trade_no\":\"a\",\"total_amount\":\"1.001\",\"subject\":\"x\"",
        "\"out_trade_no\":\"a\",\"total_amount\":\"1.\",\"subject\":\"x\"",
        "\"out_trade_no\":\"a\",\"total_amount\":\".5\",\"subject\":\"x\"",
        "\"out_trade_no\":\"a\",\"total_amount\":\"1e2\",\"subject\":\"x\"",
        "\"out_trade_no\":\"a\",\"total_amount\":\"100000000.01\",\"subject\":\"x\"",
        "\"out_trade_no\":\"a\",\"total_amount\":[],\"subject\":\"x\"",
        "\"out_trade_no\":\"a\",\"total_amount\":\"1\"",
        "\"out_trade_no\":\"a\",\"total_amount\":\"1\",\"subject\":\"x\",\"timeout_express\":\"30s\"",
        "\"out_trade_no\":\"a\",\"total_amount\":\"1\",\"subject\":\"x\",\"timeout_express\":\"0m\"",
        "\"out_trade_no\":\"a\",\"total_amount\":\"1\",\"subject\":\"x\",\"timeout_express\":\"16d\"",
        "\"out_trade_no\":\"a\",\"total_amount\":\"1\",\"subject\":\"x\",\"qr_code_timeout_express\":\"soon\"",
        "\"out_trade_no\":\"a\",\"total_amount\":\"1\",\"subject\":\"x\",\"time_expire\":\"2026-13-01 00:00:00\"",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)snprintf(biz, sizeof biz, "{%s}", rows[i]);
        expect(r, PRECREATE, biz, "40004", "ACQ.INVALID_PARAMETER");
    }
    (void)snprintf(biz, sizeof biz, "{\"out_trade_no\":\"a\",\"total_amount\":\"1\",\"subject\":\"%s\"}", long_subject);
    expect(r, PRECREATE, biz, "40004", "ACQ.INVALID_PARAMETER");
    time_in_extra(r, -60000, past);
    (void)snprintf(biz, sizeof biz, "{\"out_trade_no\":\"a\",\"total_amount\":\"1\",\"subject\":\"x\"%s}", past);
    expect(r, PRECREATE, biz, "40004", "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR");
    expect(r, PRECREATE, "{\"out_trade_no\":\"a\",\"total_amount\":0.07,\"subject\":\"x\"}", "10000", NULL);
}

static void only_loopback_is_notified(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *url;
        bool good;
    } rows[] = {
        {"http://127.0.0.1:9/x", true},
        {"https://localhost/x", true},
        {"http://[::1]:9/x", true},
        {"http://127.9.9.9/x", true},
        {"http://10.0.0.1/x", false},
        {"http://127.0.0.1.example.com/x", false},
        {"http://127.0.0.1@10.0.0.1/", false},
        {"ftp://127.0.0.1/x", false},
        {"file:///etc/passwd", false},
        {"http://[::2]/", false},
        {"nonsense", false},
        {"http://localhost.example.com/", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char biz[128];
        (void)snprintf(biz, sizeof biz, "{\"out_trade_no\":\"u%zu\",\"total_amount\":\"1\",\"subject\":\"x\"}", i);
        struct ask a = {.method = PRECREATE, .biz = biz, .notify_url = rows[i].url};
        json_t *o = rig_ask(r, &a, "alipay_trade_precreate_response");
        if (strcmp(json_string_value(json_object_get(o, "code")), rows[i].good ? "10000" : "40004") != 0)
            fail_msg("%s", rows[i].url);
        json_decref(o);
    }
}

static void what_the_gateway_cannot_accept_is_refused_under_the_methods_own_key(void **state)
{
    struct rig *r = *state;
    const char *biz = "{\"out_trade_no\":\"x\"}", *key = "alipay_trade_query_response";
    const struct {
        struct ask ask;
        const char *key_name, *code, *sub_code;
    } rows[] = {
        {{.method = QUERY, .biz = biz, .spoil_sign = true}, key, "40002", "isv.invalid-signature"},
        {{.method = QUERY, .biz = biz, .spoil_text = true}, key, "40002", "isv.invalid-signature"},
        {{.method = QUERY, .biz = biz, .unsigned_extra = "&more=1"}, key, "40002", "isv.invalid-signature"},
        {{.method = QUERY, .biz = biz, .unsigned_extra = "&app_id=1"}, key, "40002", "isv.invalid-parameter"},
        {{.method = QUERY, .biz = biz, .unsigned_extra = "&x=%zz"}, key, "40002", "isv.invalid-parameter"},
        {{.method = QUERY, .biz = biz, .unsigned_extra = "&x=%ff"}, key, "40002", "isv.invalid-parameter"},
        {{.method = QUERY, .biz = biz, .unsigned_extra = "&x=%00"}, key, "40002", "isv.invalid-parameter"},
        {{.method = QUERY, .biz = biz, .app_id = "9"}, key, "40002", "isv.invalid-app-id"},
        {{.method = QUERY, .biz = biz, .sign_type = "RSA"}, key, "40002", "isv.invalid-signature-type"},
        {{.method = QUERY, .biz = biz, .charset = "GBK"}, key, "40002", "isv.invalid-charset"},
        {{.method = QUERY, .biz = biz, .format = "xml"}, key, "40002", "isv.invalid-format"},
        {{.method = QUERY, .biz = biz, .timestamp = "2026-11-23T10:05:00"}, key, "40002", "isv.invalid-timestamp"},
        {{.method = QUERY, .biz = "[]"}, key, "40002", "isv.invalid-parameter"},
        {{.method = QUERY, .biz = "{\"a\":1,\"a\":2}"}, key, "40002", "isv.invalid-parameter"},
        {{.method = QUERY, .biz = biz, .drop = "biz_content"}, key, "40002", "isv.invalid-parameter"},
        {{.method = QUERY, .biz = biz, .drop = "app_id"}, key, "40001", "isv.missing-app-id"},
        {{.method = QUERY, .biz = biz, .drop = "sign"}, key, "40001", "isv.missing-signature"},
        {{.method = QUERY, .biz = biz, .drop = "sign_type"}, key, "40001", "isv.missing-signature-type"},
        {{.method = QUERY, .biz = biz, .drop = "timestamp"}, key, "40001", "isv.missing-timestamp"},
        {{.method = QUERY, .biz = biz, .drop = "version"}, key, "40001", "isv.missing-version"},
        {{.method = QUERY, .biz = biz, .drop = "method"}, "error_response", "40001", "isv.missing-method"},
        {{.method = "alipay.trade.none", .biz = biz}, "alipay_trade_none_response", "40002", "isv.invalid-method"},
        {{.method = "a\"b", .biz = biz}, "error_response", "40002", "isv.invalid-method"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *o = rig_ask(r, &rows[i].ask, rows[i].key_name);
        expect_text(o, "code", rows[i].code);
        expect_text(o, "sub_code", rows[i].sub_code);
        json_decref(o);
    }
}

static void parameters_travel_anywhere_and_empties_are_signed_either_way(void **state)
{
    struct rig *r = *state;
    const char *biz = "{\"out_trade_no\":\"x\",\"note\":\"a b+c&d=\u4e66%\"}";
    const struct ask rows[] = {
        {.method = QUERY, .biz = biz, .all_in_query = true},
        {.method = QUERY, .biz = biz, .keep_empty_notify_url = true},    // signed as notify_url=
        {.method = QUERY, .biz = biz, .unsigned_extra = "&notify_url="}, // sent, not signed
        {.method = QUERY, .biz = biz, .format = "JSON"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *o = rig_ask(r, &rows[i], "alipay_trade_query_response");
        expect_text(o, "sub_code", "ACQ.TRADE_NOT_EXIST");
        json_decref(o);
    }
}

static void a_wrong_signature_is_answered_with_the_string_the_gateway_built(void **state)
{
    struct rig *r = *state;
    char end[256];
    struct ask a = {.method = QUERY, .biz = "{\"out_trade_no\":\"x\"}", .spoil_sign = true};
    json_t *o = rig_ask(r, &a, "alipay_trade_query_response");
    (void)snprintf(
        end, sizeof end,
        "app_id=%s&amp;biz_content={&quot;out_trade_no&quot;:&quot;x&quot;}&amp;charset=utf-8&amp;method=" QUERY
        "&amp;sign_type=RSA2&amp;timestamp=2026-11-23 10:05:00&amp;version=1.0",
        r->app_id);
    const char *message = json_string_value(json_object_get(o, "sub_msg"));
    assert_string_equal(message + strlen(message) - strlen(end), end);
    json_decref(o);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_code_nobody_scanned_is_no_trade),
        T(the_switch_makes_close_and_cancel_kill_an_unscanned_code),
        T(a_scanned_trade_waits_and_can_be_closed),
        T(cancel_closes_what_is_unpaid_and_may_be_repeated),
        T(a_paid_trade_cannot_be_closed_and_cancel_returns_the_money),
        T(unknown_numbers_are_answered_as_alipay_does),
        T(the_same_request_before_a_scan_gets_its_code_again),
        T(a_number_with_a_trade_keeps_its_terms),
        T(a_code_dies_at_the_earliest_of_its_limits),
        T(time_expire_wins_and_ends_a_scanned_trade_too),
        T(a_trade_scanned_in_time_outlives_its_code),
        T(bad_terms_are_refused),
        T(only_loopback_is_notified),
        T(what_the_gateway_cannot_accept_is_refused_under_the_methods_own_key),
        T(parameters_travel_anywhere_and_empties_are_signed_either_way),
        T(a_wrong_signature_is_answered_with_the_string_the_gateway_built),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
