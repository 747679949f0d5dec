// SPDX-License-Identifier: Apache-2.0
// What each answer of the gateway proves. The tables are the specification.
#include "fixture.h"
#include "sdk_golden.h"
#include <stdio.h>

struct row {
    enum call_method method;
    const char *node; // $N, $R: the numbers
    enum outcome outcome;
    enum fact fact;
    int64_t captured_fen;
    const char *detail;
};

static struct buf text;

static struct answer judge_body(enum call_method method, int status, struct str body)
{
    struct call call = fixture_call(method);
    struct call_reply reply = {.status = status, .body = body};
    struct answer a = {.payment_key = PAYMENT_KEY, .channel = CHANNEL_ALIPAY, .method = method};
    // A block of its own size, so that reading beyond the end is seen by the sanitizer.
    char *exact = body.n ? memcpy(test_malloc(body.n), body.p, body.n) : NULL;
    reply.body.p = exact;
    buf_clear(&text);
    alipay_answer(&fix.app, &call, &reply, &a, &text);
    if (exact) test_free(exact);
    return a;
}

static struct answer judge(enum call_method method, const char *node)
{
    char name[64];
    struct buf expanded = {0}, body = {0};
    fixture_expand(node, &expanded);
    fixture_node_name(method, name);
    fixture_signed(name, buf_view(&expanded), &body);
    struct answer a = judge_body(method, 200, buf_view(&body));
    buf_free(&expanded);
    buf_free(&body);
    return a;
}

static void check_row(const struct row *r, struct answer a)
{
    if (a.outcome != r->outcome || a.fact != r->fact || a.captured_fen != r->captured_fen ||
        strcmp(a.detail, r->detail) != 0)
        fail_msg("%s %s\n got %d/%d %lld \"%s\"\nwant %d/%d %lld \"%s\"", alipay_method(r->method), r->node,
                 (int)a.outcome, (int)a.fact, (long long)a.captured_fen, a.detail, (int)r->outcome, (int)r->fact,
                 (long long)r->captured_fen, r->detail);
}

#define OK(members) "{\"code\":\"10000\",\"msg\":\"Success\",\"out_trade_no\":\"$N\"" members "}"
#define NO(sub)                                                                                                        \
    "{\"code\":\"40004\",\"msg\":\"Business Failed\",\"sub_code\":\"" sub                                              \
    "\",\"sub_msg\":\"x\",\"out_trade_no\":\"$N\"}"
#define GATE(code, sub) "{\"code\":\"" code "\",\"msg\":\"x\",\"sub_code\":\"" sub "\",\"sub_msg\":\"y\"}"
#define CODE            ",\"qr_code\":\"https://qr.alipay.com/bax1\""
#define TOTAL           ",\"total_amount\":\"12.34\",\"trade_no\":\"2026112322001\""
#define D               OUTCOME_DONE
#define R               OUTCOME_REFUSED
#define U               OUTCOME_UNKNOWN

static const struct row CREATE_ROWS[] = {
    {CALL_CREATE, OK(CODE), D, FACT_CODE, 0, ""},
    {CALL_CREATE, OK(""), U, FACT_NONE, 0, "no qr_code"},
    {CALL_CREATE, OK(",\"qr_code\":\"\""), U, FACT_NONE, 0, "no qr_code"},
    {CALL_CREATE, OK(",\"qr_code\":\"https://x y\""), U, FACT_NONE, 0, "no qr_code"},
    {CALL_CREATE, OK(",\"qr_code\":7"), U, FACT_NONE, 0, "no qr_code"},
    {CALL_CREATE, "{\"code\":\"10000\"" CODE "}", U, FACT_NONE, 0, "another out_trade_no"},
    {CALL_CREATE, "{\"code\":\"10000\",\"out_trade_no\":\"$R\"" CODE "}", U, FACT_NONE, 0, "another out_trade_no"},
    {CALL_CREATE, NO("ACQ.INVALID_PARAMETER"), R, FACT_NONE, 0, "ACQ.INVALID_PARAMETER"},
    {CALL_CREATE, NO("ACQ.TOTAL_FEE_EXCEED"), R, FACT_NONE, 0, "ACQ.TOTAL_FEE_EXCEED"},
    {CALL_CREATE, NO("ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR"), R, FACT_NONE, 0, "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR"},
    {CALL_CREATE, NO("ACQ.SYSTEM_ERROR"), U, FACT_NONE, 0, "ACQ.SYSTEM_ERROR"},
    {CALL_CREATE, NO("aop.ACQ.SYSTEM_ERROR"), U, FACT_NONE, 0, "aop.ACQ.SYSTEM_ERROR"},
    {CALL_CREATE, NO("ACQ.TRADE_HAS_SUCCESS"), U, FACT_NONE, 0, "ACQ.TRADE_HAS_SUCCESS"},
    {CALL_CREATE, NO("ACQ.TRADE_HAS_CLOSE"), U, FACT_NONE, 0, "ACQ.TRADE_HAS_CLOSE"},
    {CALL_CREATE, NO("ACQ.CONTEXT_INCONSISTENT"), U, FACT_NONE, 0, "ACQ.CONTEXT_INCONSISTENT"},
    {CALL_CREATE, "{\"code\":\"40004\",\"msg\":\"Business Failed\"}", U, FACT_NONE, 0, "40004"},
    {CALL_CREATE, GATE("20000", "isp.unknow-error"), U, FACT_NONE, 0, "isp.unknow-error"},
    {CALL_CREATE, GATE("20001", "aop.invalid-app-auth-token"), R, FACT_NONE, 0, "aop.invalid-app-auth-token"},
    {CALL_CREATE, GATE("40001", "isv.missing-signature"), R, FACT_NONE, 0, "isv.missing-signature"},
    {CALL_CREATE, GATE("40002", "isv.invalid-signature"), R, FACT_NONE, 0, "isv.invalid-signature"},
    {CALL_CREATE, GATE("40003", "isv.x"), R, FACT_NONE, 0, "isv.x"},
    {CALL_CREATE, GATE("40006", "isv.insufficient-isv-permissions"), R, FACT_NONE, 0,
     "isv.insufficient-isv-permissions"},
    {CALL_CREATE, GATE("40005", "isv.app-call-limited"), U, FACT_NONE, 0, "isv.app-call-limited"},
    {CALL_CREATE, GATE("10003", "x"), U, FACT_NONE, 0, "x"},
    {CALL_CREATE, GATE("99999", "x"), U, FACT_NONE, 0, "x"},
};

static const struct row QUERY_ROWS[] = {
    {CALL_QUERY, OK(",\"trade_status\":\"WAIT_BUYER_PAY\"" TOTAL), D, FACT_WAITING, 0, "WAIT_BUYER_PAY"},
    {CALL_QUERY, OK(",\"trade_status\":\"TRADE_SUCCESS\"" TOTAL), D, FACT_PAID, 1234, "TRADE_SUCCESS"},
    {CALL_QUERY, OK(",\"trade_status\":\"TRADE_FINISHED\"" TOTAL), D, FACT_PAID, 1234, "TRADE_FINISHED"},
    {CALL_QUERY, OK(",\"trade_status\":\"TRADE_SUCCESS\",\"total_amount\":\"0.01\""), D, FACT_PAID, 1, "TRADE_SUCCESS"},
    {CALL_QUERY, OK(",\"trade_status\":\"TRADE_SUCCESS\""), U, FACT_NONE, 0, "bad total_amount"},
    {CALL_QUERY, OK(",\"trade_status\":\"TRADE_SUCCESS\",\"total_amount\":12.34"), U, FACT_NONE, 0, "bad total_amount"},
    {CALL_QUERY, OK(",\"trade_status\":\"TRADE_SUCCESS\",\"total_amount\":\"0.00\""), U, FACT_NONE, 0,
     "bad total_amount"},
    {CALL_QUERY, OK(",\"trade_status\":\"TRADE_SUCCESS\",\"total_amount\":\"-1.00\""), U, FACT_NONE, 0,
     "bad total_amount"},
    {CALL_QUERY, OK(",\"trade_status\":\"TRADE_CLOSED\"" TOTAL), D, FACT_CLOSED, 0, "TRADE_CLOSED"},
    {CALL_QUERY,
     OK(",\"trade_status\":\"TRADE_CLOSED\",\"buyer_pay_amount\":\"0.00\",\"receipt_amount\":\"0.00\"" TOTAL), D,
     FACT_CLOSED, 0, "TRADE_CLOSED"},
    {CALL_QUERY, OK(",\"trade_status\":\"TRADE_CLOSED\",\"send_pay_date\":\"\"" TOTAL), D, FACT_CLOSED, 0,
     "TRADE_CLOSED"},
    {CALL_QUERY, OK(",\"trade_status\":\"TRADE_CLOSED\",\"send_pay_date\":\"2026-11-23 10:00:00\"" TOTAL), D,
     FACT_PAID_AND_REFUNDED, 1234, "TRADE_CLOSED"},
    {CALL_QUERY, OK(",\"trade_status\":\"TRADE_CLOSED\",\"buyer_pay_amount\":\"0.01\"" TOTAL), D,
     FACT_PAID_AND_REFUNDED, 1234, "TRADE_CLOSED"},
    {CALL_QUERY, OK(",\"trade_status\":\"TRADE_CLOSED\",\"receipt_amount\":\"12.34\"" TOTAL), D, FACT_PAID_AND_REFUNDED,
     1234, "TRADE_CLOSED"},
    {CALL_QUERY, OK(",\"trade_status\":\"TRADE_CLOSED\",\"receipt_amount\":\"many\"" TOTAL), U, FACT_NONE, 0,
     "bad amount"},
    {CALL_QUERY, OK(",\"trade_status\":\"TRADE_CLOSED\",\"receipt_amount\":\"1.00\""), U, FACT_NONE, 0,
     "bad total_amount"},
    {CALL_QUERY, OK(",\"trade_status\":\"TRADE_PENDING\"" TOTAL), U, FACT_NONE, 0, "strange trade_status"},
    {CALL_QUERY, OK(",\"trade_status\":\"trade_success\"" TOTAL), U, FACT_NONE, 0, "strange trade_status"},
    {CALL_QUERY, OK(TOTAL), U, FACT_NONE, 0, "strange trade_status"},
    {CALL_QUERY, "{\"code\":\"10000\",\"trade_status\":\"TRADE_SUCCESS\"" TOTAL "}", U, FACT_NONE, 0,
     "another out_trade_no"},
    {CALL_QUERY, "{\"code\":\"10000\",\"out_trade_no\":\"$R\",\"trade_status\":\"TRADE_SUCCESS\"" TOTAL "}", U,
     FACT_NONE, 0, "another out_trade_no"},
    {CALL_QUERY, "{\"code\":10000,\"out_trade_no\":\"$N\",\"trade_status\":\"TRADE_SUCCESS\"" TOTAL "}", U, FACT_NONE,
     0, "no code"},
    {CALL_QUERY, "{\"out_trade_no\":\"$N\"}", U, FACT_NONE, 0, "no code"},
    {CALL_QUERY, NO("ACQ.TRADE_NOT_EXIST"), D, FACT_NOT_FOUND, 0, "ACQ.TRADE_NOT_EXIST"},
    {CALL_QUERY, GATE("40004", "ACQ.TRADE_NOT_EXIST"), D, FACT_NOT_FOUND, 0, "ACQ.TRADE_NOT_EXIST"},
    {CALL_QUERY, "{\"code\":\"40004\",\"sub_code\":\"ACQ.TRADE_NOT_EXIST\",\"out_trade_no\":\"$R\"}", U, FACT_NONE, 0,
     "another out_trade_no"},
    {CALL_QUERY, GATE("20000", "ACQ.TRADE_NOT_EXIST"), U, FACT_NONE, 0, "ACQ.TRADE_NOT_EXIST"},
    {CALL_QUERY, NO("ACQ.SYSTEM_ERROR"), U, FACT_NONE, 0, "ACQ.SYSTEM_ERROR"},
    {CALL_QUERY, NO("ACQ.INVALID_PARAMETER"), U, FACT_NONE, 0, "ACQ.INVALID_PARAMETER"},
    {CALL_QUERY, GATE("40002", "isv.invalid-signature"), U, FACT_NONE, 0, "isv.invalid-signature"},
    {CALL_QUERY, NO("\\u0001\\u00e9 x"), U, FACT_NONE, 0, "?\?\??x"},
};

static const struct row CLOSE_ROWS[] = {
    {CALL_CLOSE, OK(",\"trade_no\":\"2026112322001\""), D, FACT_CLOSED, 0, ""},
    {CALL_CLOSE, "{\"code\":\"10000\"}", U, FACT_NONE, 0, "another out_trade_no"},
    {CALL_CLOSE, NO("ACQ.TRADE_NOT_EXIST"), R, FACT_NOT_FOUND, 0, "ACQ.TRADE_NOT_EXIST"},
    {CALL_CLOSE, NO("ACQ.REASON_TRADE_STATUS_INVALID"), R, FACT_NONE, 0, "ACQ.REASON_TRADE_STATUS_INVALID"},
    {CALL_CLOSE, NO("ACQ.TRADE_STATUS_ERROR"), R, FACT_NONE, 0, "ACQ.TRADE_STATUS_ERROR"},
    {CALL_CLOSE, NO("ACQ.REASON_ILLEGAL_STATUS"), R, FACT_NONE, 0, "ACQ.REASON_ILLEGAL_STATUS"},
    {CALL_CLOSE, NO("ACQ.SYSTEM_ERROR"), U, FACT_NONE, 0, "ACQ.SYSTEM_ERROR"},
    {CALL_CLOSE, GATE("20000", "aop.unknow-error"), U, FACT_NONE, 0, "aop.unknow-error"},
    {CALL_CLOSE, GATE("40006", "isv.insufficient-isv-permissions"), U, FACT_NONE, 0,
     "isv.insufficient-isv-permissions"},
};

static const struct row CANCEL_ROWS[] = {
    {CALL_CANCEL, OK(",\"retry_flag\":\"N\",\"action\":\"close\""), D, FACT_CLOSED, 0, ""},
    {CALL_CANCEL, OK(",\"retry_flag\":\"N\",\"action\":\"refund\""), D, FACT_PAID_AND_REFUNDED, 1234, ""},
    {CALL_CANCEL, OK(",\"retry_flag\":\"N\",\"action\":\"refund\",\"total_amount\":\"20\""), D, FACT_PAID_AND_REFUNDED,
     2000, ""},
    {CALL_CANCEL, OK(",\"retry_flag\":\"N\""), D, FACT_NOT_FOUND, 0, ""},
    {CALL_CANCEL, OK(",\"action\":\"\""), D, FACT_NOT_FOUND, 0, ""},
    {CALL_CANCEL, OK(",\"retry_flag\":\"Y\""), U, FACT_NONE, 0, "retry_flag"},
    {CALL_CANCEL, OK(",\"retry_flag\":\"Y\",\"action\":\"close\""), U, FACT_NONE, 0, "retry_flag"},
    {CALL_CANCEL, OK(",\"action\":\"freeze\""), U, FACT_NONE, 0, "strange action"},
    {CALL_CANCEL, OK(",\"action\":null"), D, FACT_NOT_FOUND, 0, ""},
    {CALL_CANCEL, OK(",\"action\":1"), U, FACT_NONE, 0, "strange action"},
    {CALL_CANCEL, NO("ACQ.TRADE_NOT_EXIST"), D, FACT_NOT_FOUND, 0, "ACQ.TRADE_NOT_EXIST"},
    {CALL_CANCEL, NO("ACQ.TRADE_HAS_FINISHED"), R, FACT_NONE, 0, "ACQ.TRADE_HAS_FINISHED"},
    {CALL_CANCEL, NO("ACQ.SELLER_BALANCE_NOT_ENOUGH"), R, FACT_NONE, 0, "ACQ.SELLER_BALANCE_NOT_ENOUGH"},
    {CALL_CANCEL, "{\"code\":\"40004\",\"sub_code\":\"ACQ.SELLER_BALANCE_NOT_ENOUGH\",\"retry_flag\":\"Y\"}", U,
     FACT_NONE, 0, "ACQ.SELLER_BALANCE_NOT_ENOUGH"},
    {CALL_CANCEL, NO("AQC.SYSTEM_ERROR"), U, FACT_NONE, 0, "AQC.SYSTEM_ERROR"},
};

static const struct row REFUND_ROWS[] = {
    {CALL_REFUND, OK(",\"fund_change\":\"Y\",\"refund_fee\":\"5.00\""), D, FACT_REFUND_DONE, 0, ""},
    {CALL_REFUND, OK(",\"fund_change\":\"N\",\"refund_fee\":\"5.00\""), D, FACT_REFUND_ACCEPTED, 0, ""},
    {CALL_REFUND, OK(""), U, FACT_NONE, 0, "no fund_change"},
    {CALL_REFUND, OK(",\"fund_change\":\"X\""), U, FACT_NONE, 0, "no fund_change"},
    {CALL_REFUND, "{\"code\":\"10000\",\"fund_change\":\"Y\"}", U, FACT_NONE, 0, "another out_trade_no"},
    {CALL_REFUND, NO("ACQ.SELLER_BALANCE_NOT_ENOUGH"), R, FACT_NONE, 0, "ACQ.SELLER_BALANCE_NOT_ENOUGH"},
    {CALL_REFUND, NO("ACQ.TRADE_NOT_EXIST"), R, FACT_NONE, 0, "ACQ.TRADE_NOT_EXIST"},
    {CALL_REFUND, NO("ACQ.REASON_TRADE_REFUND_FEE_ERR"), R, FACT_NONE, 0, "ACQ.REASON_TRADE_REFUND_FEE_ERR"},
    {CALL_REFUND, NO("ACQ.DISCORDANT_REPEAT_REQUEST"), U, FACT_NONE, 0, "ACQ.DISCORDANT_REPEAT_REQUEST"},
    {CALL_REFUND, NO("ACQ.SYSTEM_ERROR"), U, FACT_NONE, 0, "ACQ.SYSTEM_ERROR"},
    {CALL_REFUND, GATE("20000", "isp.unknow-error"), U, FACT_NONE, 0, "isp.unknow-error"},
    {CALL_REFUND, GATE("40002", "isv.invalid-signature"), U, FACT_NONE, 0, "isv.invalid-signature"},
};

static const struct row REFUND_QUERY_ROWS[] = {
    {CALL_REFUND_QUERY,
     OK(",\"out_request_no\":\"$R\",\"refund_status\":\"REFUND_SUCCESS\",\"refund_amount\":\"5.00\""), D,
     FACT_REFUND_DONE, 0, ""},
    {CALL_REFUND_QUERY,
     OK(",\"out_request_no\":\"$R\",\"refund_status\":\"REFUND_SUCCESS\",\"refund_amount\":\"5.01\""), U, FACT_NONE, 0,
     "another refund_amount"},
    {CALL_REFUND_QUERY, OK(",\"out_request_no\":\"$R\",\"refund_status\":\"REFUND_SUCCESS\""), U, FACT_NONE, 0,
     "another refund_amount"},
    {CALL_REFUND_QUERY,
     OK(",\"out_request_no\":\"$N\",\"refund_status\":\"REFUND_SUCCESS\",\"refund_amount\":\"5.00\""), U, FACT_NONE, 0,
     "another out_request_no"},
    {CALL_REFUND_QUERY, OK(",\"refund_status\":\"REFUND_PROCESSING\""), U, FACT_NONE, 0, "strange refund_status"},
    {CALL_REFUND_QUERY, OK(""), D, FACT_REFUND_ABSENT, 0, ""},
    {CALL_REFUND_QUERY, "{\"code\":\"10000\",\"msg\":\"Success\"}", D, FACT_REFUND_ABSENT, 0, ""},
    {CALL_REFUND_QUERY, "{\"code\":\"10000\",\"refund_status\":\"REFUND_SUCCESS\",\"refund_amount\":\"5.00\"}", U,
     FACT_NONE, 0, "another out_trade_no"},
    {CALL_REFUND_QUERY, NO("TRADE_NOT_EXIST"), D, FACT_REFUND_ABSENT, 0, "TRADE_NOT_EXIST"},
    {CALL_REFUND_QUERY, NO("ACQ.TRADE_NOT_EXIST"), D, FACT_REFUND_ABSENT, 0, "ACQ.TRADE_NOT_EXIST"},
    {CALL_REFUND_QUERY, NO("ACQ.SYSTEM_ERROR"), U, FACT_NONE, 0, "ACQ.SYSTEM_ERROR"},
    {CALL_REFUND_QUERY, NO("ACQ.ENTERPRISE_PAY_BIZ_ERROR"), U, FACT_NONE, 0, "ACQ.ENTERPRISE_PAY_BIZ_ERROR"},
};

#define CHECK_ROWS(rows)                                                                                               \
    for (size_t i = 0; i < sizeof(rows) / sizeof((rows)[0]); i++)                                                      \
        check_row(&(rows)[i], judge((rows)[i].method, (rows)[i].node));

static void every_row_of_the_mapping_holds(void **state)
{
    (void)state;
    CHECK_ROWS(CREATE_ROWS)
    CHECK_ROWS(QUERY_ROWS)
    CHECK_ROWS(CLOSE_ROWS)
    CHECK_ROWS(CANCEL_ROWS)
    CHECK_ROWS(REFUND_ROWS)
    CHECK_ROWS(REFUND_QUERY_ROWS)
}

static void a_fact_comes_only_with_its_outcome(void **state)
{
    (void)state;
    static const char *const nodes[] = {OK(CODE), OK(",\"trade_status\":\"TRADE_SUCCESS\"" TOTAL),
                                        NO("ACQ.TRADE_NOT_EXIST"), NO("ACQ.SYSTEM_ERROR"),
                                        OK(",\"fund_change\":\"Y\"")};
    for (enum call_method m = CALL_CREATE; m <= CALL_REFUND_QUERY; m++) {
        for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
            struct answer a = judge(m, nodes[i]);
            assert_true(a.outcome == D || a.outcome == R || a.outcome == U);
            assert_true(a.fact == FACT_NONE || a.outcome == D ||
                        (m == CALL_CLOSE && a.outcome == R && a.fact == FACT_NOT_FOUND));
            assert_true((a.captured_fen > 0) == (a.fact == FACT_PAID || a.fact == FACT_PAID_AND_REFUNDED));
        }
    }
}

static void the_code_and_the_trade_number_are_taken_over(void **state)
{
    (void)state;
    struct answer a = judge(CALL_CREATE, OK(CODE));
    assert_true(str_eq(a.code, STR("https://qr.alipay.com/bax1")));
    a = judge(CALL_QUERY, OK(",\"trade_status\":\"TRADE_SUCCESS\"" TOTAL));
    assert_string_equal(a.provider_trade_no, "2026112322001");
    // one that does not fit or is not plain text is left out, the payment counts all the same
    a = judge(CALL_QUERY, OK(",\"trade_status\":\"TRADE_SUCCESS\",\"total_amount\":\"1\",\"trade_no\":\"a b\""));
    assert_int_equal(a.fact, FACT_PAID);
    assert_string_equal(a.provider_trade_no, "");
    a = judge(CALL_QUERY, OK(",\"trade_status\":\"TRADE_SUCCESS\",\"total_amount\":\"1\",\"trade_no\":\""
                             "12345678901234567890123456789012345678901234567890123456789012345\""));
    assert_int_equal(a.fact, FACT_PAID);
    assert_string_equal(a.provider_trade_no, "");
}

// --- The bytes that are signed

#define PAID       OK(",\"trade_status\":\"TRADE_SUCCESS\"" TOTAL)
#define QUERY_NODE "alipay_trade_query_response"

static struct buf sign_of(const char *node)
{
    struct buf sign = {0};
    assert_true(crypto_rsa2_sign(fix.alipay_private, str_of(node), &sign));
    buf_char(&sign, 0);
    return sign;
}

// A body with $S for the signature of `signed_text`; both with $N.
static struct answer judge_shaped(enum call_method method, const char *signed_text, const char *shape)
{
    struct buf expanded = {0}, outer = {0}, body = {0};
    fixture_expand(signed_text, &expanded);
    buf_char(&expanded, 0);
    struct buf sign = sign_of(expanded.p);
    fixture_expand(shape, &outer);
    for (size_t i = 0; i < outer.n; i++) {
        if (outer.p[i] == '$' && i + 1 < outer.n && outer.p[i + 1] == 'S') {
            buf_z(&body, sign.p);
            i++;
        } else {
            buf_char(&body, outer.p[i]);
        }
    }
    struct answer a = judge_body(method, 200, buf_view(&body));
    buf_free(&expanded);
    buf_free(&outer);
    buf_free(&body);
    buf_free(&sign);
    return a;
}

static void assert_paid(struct answer a)
{
    if (a.fact != FACT_PAID || a.outcome != D) fail_msg("not paid: %s", a.detail);
}

static void assert_unknown(struct answer a, const char *detail)
{
    if (a.outcome != U || a.fact != FACT_NONE || a.captured_fen != 0 || strcmp(a.detail, detail) != 0)
        fail_msg("got %d/%d \"%s\", want unknown \"%s\"", (int)a.outcome, (int)a.fact, a.detail, detail);
}

static void the_signed_bytes_are_found_in_any_shape(void **state)
{
    (void)state;
    assert_paid(judge_shaped(CALL_QUERY, PAID, "{\"" QUERY_NODE "\":" PAID ",\"sign\":\"$S\"}"));
    // the signature first, as no SDK but Java's reads it
    assert_paid(judge_shaped(CALL_QUERY, PAID, "{\"sign\":\"$S\",\"" QUERY_NODE "\":" PAID "}"));
    // a certificate's number between, other members around
    assert_paid(judge_shaped(CALL_QUERY, PAID,
                             "{\"x\":[{\"" QUERY_NODE "\":1}],\"" QUERY_NODE "\":" PAID
                             ",\"alipay_cert_sn\":\"ab\",\"sign\":\"$S\",\"n\":null,\"t\":-1.5e3}"));
    // white space around belongs to nobody
    assert_paid(judge_shaped(CALL_QUERY, PAID, "\r\n { \"" QUERY_NODE "\" :\n\t" PAID " \n, \"sign\" : \"$S\" }\n"));
    // white space inside belongs to the signed bytes
#define PRETTY                                                                                                         \
    "{\n  \"code\" : \"10000\",\n  \"out_trade_no\" : \"$N\",\n  \"trade_status\":\"TRADE_SUCCESS\",\n  "              \
    "\"total_amount\":\"12.34\"\n}"
    assert_paid(judge_shaped(CALL_QUERY, PRETTY, "{\n\"" QUERY_NODE "\" : " PRETTY ",\n\"sign\":\"$S\"}"));
    assert_unknown(judge_shaped(CALL_QUERY, PAID, "{\"" QUERY_NODE "\":" PRETTY ",\"sign\":\"$S\"}"), "bad signature");
}

static void what_alipays_sdk_signed_is_believed_and_only_that(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof SDK_ALIPAY_ANSWERS / sizeof SDK_ALIPAY_ANSWERS[0]; i++) {
        struct buf body = {0};
        buf_z(&body, SDK_ALIPAY_ANSWERS[i].body);
        struct answer a = judge_body(CALL_QUERY, 200, buf_view(&body));
        assert_paid(a);
        assert_int_equal(a.captured_fen, 1234);
        assert_string_equal(a.provider_trade_no, "2026112322001400123456789012");
        char *fen = memmem(body.p, body.n, "12.34", 5);
        assert_non_null(fen);
        fen[4] = '5';
        assert_unknown(judge_body(CALL_QUERY, 200, buf_view(&body)), "bad signature");
        buf_free(&body);
    }
}

static void braces_and_quotes_in_strings_do_not_end_the_signed_bytes(void **state)
{
    (void)state;
#define TRICKY OK(",\"trade_status\":\"TRADE_SUCCESS\",\"subject\":\"}{]\\\"}\\\\\",\"l\":[{\"a\":\"]\"},[]]" TOTAL)
    assert_paid(judge_shaped(CALL_QUERY, TRICKY, "{\"" QUERY_NODE "\":" TRICKY ",\"sign\":\"$S\"}"));
    // the node's name inside a value is text
#define NAMED OK(",\"trade_status\":\"TRADE_SUCCESS\",\"subject\":\"\\\"" QUERY_NODE "\\\":{}\"" TOTAL)
    assert_paid(judge_shaped(CALL_QUERY, NAMED, "{\"" QUERY_NODE "\":" NAMED ",\"sign\":\"$S\"}"));
}

static void escaped_slashes_are_signed_either_way(void **state)
{
    (void)state;
#define BARE        OK(",\"qr_code\":\"https://qr.alipay.com/bax1\"")
#define ESCAPED     OK(",\"qr_code\":\"https:\\/\\/qr.alipay.com\\/bax1\"")
#define CREATE_NODE "alipay_trade_precreate_response"
    struct answer a = judge_shaped(CALL_CREATE, ESCAPED, "{\"" CREATE_NODE "\":" ESCAPED ",\"sign\":\"$S\"}");
    assert_int_equal(a.fact, FACT_CODE);
    assert_true(str_eq(a.code, STR("https://qr.alipay.com/bax1")));
    a = judge_shaped(CALL_CREATE, BARE, "{\"" CREATE_NODE "\":" ESCAPED ",\"sign\":\"$S\"}");
    assert_int_equal(a.fact, FACT_CODE);
    // but an escaped backslash before a slash is no escaped slash
#define BACKSLASH OK(",\"qr_code\":\"https:\\\\/x\"")
#define SLASH     OK(",\"qr_code\":\"https:\\/x\"")
    assert_unknown(judge_shaped(CALL_CREATE, SLASH, "{\"" CREATE_NODE "\":" BACKSLASH ",\"sign\":\"$S\"}"),
                   "bad signature");
    // nor does signing the escaped text cover the bare one
    assert_unknown(judge_shaped(CALL_CREATE, ESCAPED, "{\"" CREATE_NODE "\":" BARE ",\"sign\":\"$S\"}"),
                   "bad signature");
}

static void a_gateway_error_under_its_old_name_is_read(void **state)
{
    (void)state;
#define BAD_SIGN GATE("40002", "isv.invalid-signature")
    struct answer a = judge_shaped(CALL_CREATE, BAD_SIGN, "{\"error_response\":" BAD_SIGN ",\"sign\":\"$S\"}");
    assert_int_equal(a.outcome, R);
    assert_string_equal(a.detail, "isv.invalid-signature");
    assert_unknown(judge_shaped(CALL_CREATE, "x", "{\"error_response\":" BAD_SIGN "}"), "no signature");
}

static void nothing_unsigned_is_believed(void **state)
{
    (void)state;
    assert_unknown(judge_shaped(CALL_QUERY, PAID, "{\"" QUERY_NODE "\":" PAID "}"), "no signature");
    assert_unknown(judge_shaped(CALL_QUERY, PAID, "{\"" QUERY_NODE "\":" PAID ",\"sign\":\"\"}"), "no signature");
    assert_unknown(judge_shaped(CALL_QUERY, PAID, "{\"" QUERY_NODE "\":" PAID ",\"sign\":null}"), "no signature");
    assert_unknown(judge_shaped(CALL_QUERY, PAID, "{\"" QUERY_NODE "\":" PAID ",\"sign\":\"AAAA\"}"), "bad signature");
    assert_unknown(judge_shaped(CALL_QUERY, PAID, "{\"" QUERY_NODE "\":" PAID ",\"sign\":\"$S=\"}"), "bad signature");
    assert_unknown(judge_shaped(CALL_QUERY, PAID " ", "{\"" QUERY_NODE "\":" PAID ",\"sign\":\"$S\"}"),
                   "bad signature");
    // signed, but as the answer to another method
    assert_unknown(judge_shaped(CALL_QUERY, PAID, "{\"alipay_trade_close_response\":" PAID ",\"sign\":\"$S\"}"),
                   "no response in the answer");
    // an encrypted answer is a string
    assert_unknown(judge_shaped(CALL_QUERY, "\"x\"", "{\"" QUERY_NODE "\":\"x\",\"sign\":\"$S\"}"),
                   "no response in the answer");
    // a name written with escapes is not looked for twice
    assert_unknown(judge_shaped(CALL_QUERY, PAID, "{\"\\u0061lipay_trade_query_response\":" PAID ",\"sign\":\"$S\"}"),
                   "no response in the answer");
}

static void our_own_signature_does_not_pass_for_theirs(void **state)
{
    (void)state;
    struct buf node = {0}, body = {0};
    fixture_expand(PAID, &node);
    buf_z(&body, "{\"" QUERY_NODE "\":");
    buf_str(&body, buf_view(&node));
    buf_z(&body, ",\"sign\":\"");
    assert_true(crypto_rsa2_sign(fix.app_private, buf_view(&node), &body));
    buf_z(&body, "\"}");
    assert_unknown(judge_body(CALL_QUERY, 200, buf_view(&body)), "bad signature");
    buf_free(&node);
    buf_free(&body);
}

static void doubled_members_make_it_unreadable(void **state)
{
    (void)state;
    assert_unknown(
        judge_shaped(CALL_QUERY, PAID, "{\"" QUERY_NODE "\":" PAID ",\"" QUERY_NODE "\":" PAID ",\"sign\":\"$S\"}"),
        "duplicate_key");
    assert_unknown(judge_shaped(CALL_QUERY, PAID,
                                "{\"" QUERY_NODE "\":" PAID
                                ",\"\\u0061lipay_trade_query_response\":{},\"sign\":\"$S\"}"),
                   "duplicate_key");
    assert_unknown(judge_shaped(CALL_QUERY, PAID, "{\"sign\":\"x\",\"" QUERY_NODE "\":" PAID ",\"sign\":\"$S\"}"),
                   "duplicate_key");
#define TWICE OK(",\"trade_status\":\"WAIT_BUYER_PAY\",\"trade_status\":\"TRADE_SUCCESS\"" TOTAL)
    assert_unknown(judge_shaped(CALL_QUERY, TWICE, "{\"" QUERY_NODE "\":" TWICE ",\"sign\":\"$S\"}"), "duplicate_key");
}

static void garbage_is_unknown(void **state)
{
    (void)state;
    assert_unknown(judge_body(CALL_QUERY, 200, STR("")), "invalid_json");
    assert_unknown(judge_body(CALL_QUERY, 200, STR("<html>502</html>")), "invalid_json");
    assert_unknown(judge_body(CALL_QUERY, 200, STR("[]")), "invalid_json");
    assert_unknown(judge_body(CALL_QUERY, 200, STR("{}")), "no response in the answer");
    assert_unknown(judge_body(CALL_QUERY, 200, STR("{\"a\":\"\xff\"}")), "invalid_utf8");
    assert_unknown(judge_body(CALL_QUERY, 502, STR("<html>")), "http 502");
    assert_unknown(judge_body(CALL_QUERY, 302, STR("")), "http 302");
    assert_unknown(judge_body(CALL_QUERY, 0, STR("")), "http 0");
}

static void any_cut_and_any_flipped_byte_is_unknown(void **state)
{
    (void)state;
    struct buf node = {0}, body = {0};
    fixture_expand(PAID, &node);
    fixture_signed(QUERY_NODE, buf_view(&node), &body);
    assert_paid(judge_body(CALL_QUERY, 200, buf_view(&body)));
    for (size_t n = 0; n < body.n; n++) {
        struct answer a = judge_body(CALL_QUERY, 200, (struct str){body.p, n});
        assert_int_equal(a.outcome, U);
    }
    size_t node_end = sizeof "{\"" QUERY_NODE "\":" - 1 + node.n;
    for (size_t i = 0; i < body.n; i++) {
        body.p[i] ^= 1;
        struct answer a = judge_body(CALL_QUERY, 200, buf_view(&body));
        if (a.outcome != U) fail_msg("byte %zu of %zu (node ends at %zu) flipped and believed", i, body.n, node_end);
        body.p[i] ^= 1;
    }
    buf_free(&node);
    buf_free(&body);
}

static void a_good_answer_of_another_status_than_200_is_unknown(void **state)
{
    (void)state;
    struct buf node = {0}, body = {0};
    fixture_expand(PAID, &node);
    fixture_signed(QUERY_NODE, buf_view(&node), &body);
    assert_unknown(judge_body(CALL_QUERY, 201, buf_view(&body)), "http 201");
    assert_unknown(judge_body(CALL_QUERY, 500, buf_view(&body)), "http 500");
    buf_free(&node);
    buf_free(&body);
}

// {"<node>":...,"alipay_cert_sn":"...","sign":"..."}, as certificate mode has it.
static struct answer judge_with_cert(const char *sn)
{
    struct buf node = {0}, body = {0}, all = {0};
    fixture_expand(PAID, &node);
    fixture_signed(QUERY_NODE, buf_view(&node), &body);
    buf_char(&body, 0);
    const char *sign = strstr(body.p, ",\"sign\":");
    assert_non_null(sign);
    buf_add(&all, body.p, (size_t)(sign - body.p));
    buf_printf(&all, ",\"alipay_cert_sn\":\"%s\"%s", sn, sign);
    struct answer a = judge_body(CALL_QUERY, 200, buf_view(&all));
    buf_free(&node);
    buf_free(&body);
    buf_free(&all);
    return a;
}

static void an_answer_of_another_certificate_is_unknown(void **state)
{
    (void)state;
    assert_int_equal(judge_with_cert("1").fact, FACT_PAID); // in key mode nobody looks
    fix.app.alipay_cert_sn = "1";
    assert_int_equal(judge_with_cert("1").fact, FACT_PAID);
    assert_unknown(judge_with_cert("2"), "another alipay_cert_sn");
    assert_unknown(judge_with_cert(""), "another alipay_cert_sn");
    assert_int_equal(judge(CALL_QUERY, PAID).fact, FACT_PAID); // named none: the signature tells
    fix.app.alipay_cert_sn = NULL;
}

static void a_pages_address_is_its_own_answer(void **state)
{
    (void)state;
    struct call call = fixture_call(CALL_CREATE);
    struct answer a = {.payment_key = PAYMENT_KEY};
    char address[CHANNEL_CODE_MAX + 1];
    memset(address, 'a', sizeof address);
    struct call_reply reply = {.body = {address, CHANNEL_CODE_MAX}};
    call.product = PRODUCT_WAP;
    buf_clear(&text);
    alipay_answer(&fix.app, &call, &reply, &a, &text);
    assert_int_equal(a.outcome, OUTCOME_DONE);
    assert_int_equal(a.fact, FACT_CODE);
    assert_true(str_eq(a.code, reply.body));
    reply.body.n++; // nobody has seen it: this is certain
    a = (struct answer){.payment_key = PAYMENT_KEY};
    buf_clear(&text);
    alipay_answer(&fix.app, &call, &reply, &a, &text);
    assert_int_equal(a.outcome, OUTCOME_REFUSED);
    assert_int_equal(a.fact, FACT_NONE);
    call.product = PRODUCT_QR; // the gateway's answer must not pass for an address
    alipay_answer(&fix.app, &call, &reply, &a, &text);
    assert_int_equal(a.outcome, OUTCOME_UNKNOWN);
}

static int teardown(void **state)
{
    buf_free(&text);
    return fixture_teardown(state);
}

static void what_troubles_alipay_itself_is_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *node;
        enum trouble trouble;
    } rows[] = {
        {GATE("40005", "isv.app-call-limited"), TROUBLE_SLOW_DOWN},
        {GATE("40005", "isv.method-call-limited"), TROUBLE_SLOW_DOWN},
        {GATE("40005", ""), TROUBLE_SLOW_DOWN},
        {GATE("20000", "isv.app-call-limited"), TROUBLE_SLOW_DOWN},
        {GATE("40002", "app-call-limited"), TROUBLE_SLOW_DOWN},
        {GATE("20000", "isp.unknow-error"), TROUBLE_FAULT},
        {GATE("20000", "aop.unknow-error"), TROUBLE_FAULT},
        {GATE("20000", ""), TROUBLE_FAULT},
        {NO("ACQ.SYSTEM_ERROR"), TROUBLE_FAULT},
        {NO("AQC.SYSTEM_ERROR"), TROUBLE_FAULT},
        {NO("ACQ.TRADE_NOT_EXIST"), TROUBLE_NONE},
        {NO("ACQ.INVALID_PARAMETER"), TROUBLE_NONE},
        {NO(""), TROUBLE_NONE},
        {GATE("40002", "isv.invalid-signature"), TROUBLE_NONE},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (unsigned m = CALL_CREATE; m <= CALL_REFUND_QUERY; m++) {
            struct answer a = judge((enum call_method)m, rows[i].node);
            assert_int_equal(a.trouble, rows[i].trouble);
            if (a.trouble != TROUBLE_NONE) assert_int_equal(a.outcome, OUTCOME_UNKNOWN);
        }
    assert_int_equal(judge_body(CALL_QUERY, 200, STR("garbage")).trouble, TROUBLE_NONE);
    assert_int_equal(judge_body(CALL_QUERY, 503, STR("")).trouble, TROUBLE_NONE); // the status says it
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_troubles_alipay_itself_is_told_apart),
        cmocka_unit_test(every_row_of_the_mapping_holds),
        cmocka_unit_test(a_fact_comes_only_with_its_outcome),
        cmocka_unit_test(the_code_and_the_trade_number_are_taken_over),
        cmocka_unit_test(the_signed_bytes_are_found_in_any_shape),
        cmocka_unit_test(what_alipays_sdk_signed_is_believed_and_only_that),
        cmocka_unit_test(braces_and_quotes_in_strings_do_not_end_the_signed_bytes),
        cmocka_unit_test(escaped_slashes_are_signed_either_way),
        cmocka_unit_test(a_gateway_error_under_its_old_name_is_read),
        cmocka_unit_test(nothing_unsigned_is_believed),
        cmocka_unit_test(our_own_signature_does_not_pass_for_theirs),
        cmocka_unit_test(doubled_members_make_it_unreadable),
        cmocka_unit_test(garbage_is_unknown),
        cmocka_unit_test(any_cut_and_any_flipped_byte_is_unknown),
        cmocka_unit_test(a_good_answer_of_another_status_than_200_is_unknown),
        cmocka_unit_test(an_answer_of_another_certificate_is_unknown),
        cmocka_unit_test(a_pages_address_is_its_own_answer),
    };
    return cmocka_run_group_tests(tests, fixture_setup, teardown);
}
