// SPDX-License-Identifier: Apache-2.0
// What each answer of the API proves. The tables are the specification.
#include "sdk_golden.h"
#include "wechatpay_fixture.h"
#include <stdio.h>
#include <stdlib.h>

struct row {
    enum call_method method;
    enum product product;
    int status;
    const char *body; // $N, $R: the numbers
    enum outcome outcome;
    enum fact fact;
    int64_t captured_fen;
    const char *detail;
};

static struct buf text;
static enum seal_word word;

static struct answer judge_raw(const struct row *r, struct str headers, struct str body, int64_t real_ms)
{
    struct call call = wx_call(r->method);
    call.product = r->product;
    struct answer a = {.payment_key = PAYMENT_KEY, .channel = CHANNEL_WECHATPAY, .method = r->method};
    // Blocks of their own size, so that reading beyond the end is seen by the sanitizer.
    char *exact = body.n ? memcpy(test_malloc(body.n), body.p, body.n) : NULL;
    struct call_reply reply = {.status = r->status, .headers = headers, .body = {exact, body.n}};
    buf_clear(&text);
    word = wechatpay_answer(&wx.app, &call, &reply, real_ms, &a, &text);
    if (exact) test_free(exact);
    return a;
}

static struct answer judge_signed(const struct row *r, const struct signer *s)
{
    struct buf body = {0}, lines = {0};
    wx_expand(r->body, &body);
    struct headers h = headers_sign(s, REAL_MS, buf_view(&body));
    headers_write(&h, &lines);
    struct answer a = judge_raw(r, buf_view(&lines), buf_view(&body), REAL_MS);
    headers_free(&h);
    buf_free(&body);
    buf_free(&lines);
    return a;
}

static struct answer judge_unsigned(const struct row *r)
{
    struct buf body = {0};
    wx_expand(r->body, &body);
    struct answer a = judge_raw(r, STR("HTTP/1.1 x\r\nServer: nginx\r\n"), buf_view(&body), REAL_MS);
    buf_free(&body);
    return a;
}

static void check(const struct row *r, struct answer a)
{
    if (a.outcome != r->outcome || a.fact != r->fact || a.captured_fen != r->captured_fen ||
        strcmp(a.detail, r->detail) != 0)
        fail_msg("%s %d %s\n got %s/%s %lld \"%s\"\nwant %s/%s %lld \"%s\"", call_method_name(r->method), r->status,
                 r->body, outcome_name(a.outcome), fact_name(a.fact), (long long)a.captured_fen, a.detail,
                 outcome_name(r->outcome), fact_name(r->fact), (long long)r->captured_fen, r->detail);
}

#define D  OUTCOME_DONE
#define R  OUTCOME_REFUSED
#define U  OUTCOME_UNKNOWN
#define QR PRODUCT_QR

#define NO(code) "{\"code\":\"" code "\",\"message\":\"x\"}"
#define AMOUNT                                                                                                         \
    ",\"amount\":{\"total\":1234,\"payer_total\":1000,\"currency\":\"CNY\",\"payer_currency\":\"CNY\"},"               \
    "\"transaction_id\":\"42000001\""
#define TRADE(state, more)                                                                                             \
    "{\"appid\":\"" APPID "\",\"mchid\":\"" MCHID "\",\"out_trade_no\":\"$N\",\"trade_state\":\"" state "\"" more "}"
#define MONEY(amount) TRADE("SUCCESS", ",\"amount\":" amount)
#define BACK_AMOUNT   ",\"amount\":{\"refund\":500,\"total\":1234,\"payer_refund\":400,\"currency\":\"CNY\"}"
#define BACK(status)                                                                                                   \
    "{\"refund_id\":\"503\",\"out_refund_no\":\"$R\",\"transaction_id\":\"42000001\",\"out_trade_no\":\"$N\","         \
    "\"channel\":\"ORIGINAL\",\"status\":\"" status "\"" BACK_AMOUNT "}"

static const struct row CREATE_ROWS[] = {
    {CALL_CREATE, QR, 200, "{\"code_url\":\"weixin://wxpay/bizpayurl?pr=p4lpSuKzz\"}", D, FACT_CODE, 0, ""},
    {CALL_CREATE, PRODUCT_JSAPI, 200, "{\"prepay_id\":\"wx2014\"}", D, FACT_CODE, 0, ""},
    {CALL_CREATE, PRODUCT_WAP, 200, "{\"h5_url\":\"https://wx.tenpay.com/x?a=1\"}", D, FACT_CODE, 0, ""},
    {CALL_CREATE, PRODUCT_JSAPI, 200, "{\"code_url\":\"weixin://x\"}", U, FACT_NONE, 0, "no prepay_id"},
    {CALL_CREATE, QR, 200, "{}", U, FACT_NONE, 0, "no code_url"},
    {CALL_CREATE, QR, 200, "{\"code_url\":\"\"}", U, FACT_NONE, 0, "no code_url"},
    {CALL_CREATE, QR, 200, "{\"code_url\":\"a b\"}", U, FACT_NONE, 0, "no code_url"},
    {CALL_CREATE, QR, 200, "{\"code_url\":7}", U, FACT_NONE, 0, "no code_url"},
    {CALL_CREATE, QR, 400, NO("PARAM_ERROR"), R, FACT_NONE, 0, "PARAM_ERROR"},
    {CALL_CREATE, QR, 400, NO("INVALID_REQUEST"), R, FACT_NONE, 0, "INVALID_REQUEST"},
    {CALL_CREATE, QR, 400, NO("APPID_MCHID_NOT_MATCH"), R, FACT_NONE, 0, "APPID_MCHID_NOT_MATCH"},
    {CALL_CREATE, QR, 400, NO("MCH_NOT_EXISTS"), R, FACT_NONE, 0, "MCH_NOT_EXISTS"},
    {CALL_CREATE, QR, 401, NO("SIGN_ERROR"), R, FACT_NONE, 0, "SIGN_ERROR"},
    {CALL_CREATE, QR, 403, NO("NO_AUTH"), R, FACT_NONE, 0, "NO_AUTH"},
    {CALL_CREATE, QR, 403, NO("RULE_LIMIT"), R, FACT_NONE, 0, "RULE_LIMIT"},
    // the number has a trade: an earlier request arrived unheard
    {CALL_CREATE, QR, 403, NO("OUT_TRADE_NO_USED"), U, FACT_NONE, 0, "OUT_TRADE_NO_USED"},
    {CALL_CREATE, QR, 400, NO("ORDER_CLOSED"), U, FACT_NONE, 0, "ORDER_CLOSED"},
    {CALL_CREATE, QR, 400, NO("ORDERPAID"), U, FACT_NONE, 0, "ORDERPAID"},
    {CALL_CREATE, QR, 429, NO("FREQUENCY_LIMITED"), U, FACT_NONE, 0, "FREQUENCY_LIMITED"},
    {CALL_CREATE, QR, 429, NO("PARAM_ERROR"), U, FACT_NONE, 0, "PARAM_ERROR"},
    {CALL_CREATE, QR, 403, NO("FREQUENCY_LIMITED"), U, FACT_NONE, 0, "FREQUENCY_LIMITED"},
    {CALL_CREATE, QR, 403, NO("RATELIMIT_EXCEEDED"), U, FACT_NONE, 0, "RATELIMIT_EXCEEDED"},
    {CALL_CREATE, QR, 400, NO("SYSTEM_ERROR"), U, FACT_NONE, 0, "SYSTEM_ERROR"},
    {CALL_CREATE, QR, 400, NO("SYSTEMERROR"), U, FACT_NONE, 0, "SYSTEMERROR"},
    {CALL_CREATE, QR, 500, NO("SYSTEM_ERROR"), U, FACT_NONE, 0, "SYSTEM_ERROR"},
    {CALL_CREATE, QR, 500, NO("PARAM_ERROR"), U, FACT_NONE, 0, "PARAM_ERROR"},
    {CALL_CREATE, QR, 503, NO("SERVICE_UNAVAILABLE"), U, FACT_NONE, 0, "SERVICE_UNAVAILABLE"},
    {CALL_CREATE, QR, 502, "<html>", U, FACT_NONE, 0, "http 502"},
    {CALL_CREATE, QR, 403, "<html>", U, FACT_NONE, 0, "http 403"},
    {CALL_CREATE, QR, 403, "", U, FACT_NONE, 0, "http 403"},
    {CALL_CREATE, QR, 400, "{\"message\":\"x\"}", U, FACT_NONE, 0, "http 400"},
    {CALL_CREATE, QR, 302, NO("PARAM_ERROR"), U, FACT_NONE, 0, "PARAM_ERROR"},
    {CALL_CREATE, QR, 202, NO("USERPAYING"), U, FACT_NONE, 0, "USERPAYING"},
    {CALL_CREATE, QR, 204, "", U, FACT_NONE, 0, "http 204"},
};

static const struct row QUERY_ROWS[] = {
    {CALL_QUERY, QR, 200, TRADE("SUCCESS", AMOUNT), D, FACT_PAID, 1234, "SUCCESS"},
    {CALL_QUERY, QR, 200, TRADE("REFUND", AMOUNT), D, FACT_PAID_SOME_REFUNDED, 1234, "REFUND"},
    {CALL_QUERY, QR, 200, TRADE("NOTPAY", ""), D, FACT_WAITING, 0, "NOTPAY"},
    {CALL_QUERY, QR, 200, TRADE("USERPAYING", ""), D, FACT_WAITING, 0, "USERPAYING"},
    {CALL_QUERY, QR, 200, TRADE("ACCEPT", ""), D, FACT_WAITING, 0, "ACCEPT"},
    {CALL_QUERY, QR, 200, TRADE("CLOSED", ""), D, FACT_CLOSED, 0, "CLOSED"},
    {CALL_QUERY, QR, 200, TRADE("REVOKED", ""), D, FACT_CLOSED, 0, "REVOKED"},
    {CALL_QUERY, QR, 200, TRADE("PAYERROR", ""), D, FACT_CLOSED, 0, "PAYERROR"},
    {CALL_QUERY, QR, 200, TRADE("CLOSED", ",\"success_time\":\"\""), D, FACT_CLOSED, 0, "CLOSED"},
    {CALL_QUERY, QR, 200, TRADE("CLOSED", ",\"success_time\":\"2026-11-23T09:49:58+08:00\""), U, FACT_NONE, 0,
     "closed after a payment"},
    {CALL_QUERY, QR, 200, TRADE("NEWSTATE", AMOUNT), U, FACT_NONE, 0, "strange trade_state"},
    {CALL_QUERY, QR, 200, TRADE("success", AMOUNT), U, FACT_NONE, 0, "strange trade_state"},
    {CALL_QUERY, QR, 200, TRADE("", AMOUNT), U, FACT_NONE, 0, "strange trade_state"},
    // another amount than asked for is genuine money: the core's to judge
    {CALL_QUERY, QR, 200, MONEY("{\"total\":1,\"currency\":\"CNY\"}"), D, FACT_PAID, 1, "SUCCESS"},
    {CALL_QUERY, QR, 200, MONEY("{\"total\":1}"), D, FACT_PAID, 1, "SUCCESS"},
    {CALL_QUERY, QR, 200, MONEY("{\"total\":1234,\"currency\":\"USD\"}"), U, FACT_NONE, 0, "bad amount"},
    {CALL_QUERY, QR, 200, MONEY("{\"total\":1234,\"currency\":null}"), U, FACT_NONE, 0, "bad amount"},
    {CALL_QUERY, QR, 200, MONEY("{\"payer_total\":1234,\"currency\":\"CNY\"}"), U, FACT_NONE, 0, "bad amount"},
    {CALL_QUERY, QR, 200, MONEY("{\"total\":\"1234\"}"), U, FACT_NONE, 0, "bad amount"},
    {CALL_QUERY, QR, 200, MONEY("{\"total\":1234.0}"), U, FACT_NONE, 0, "bad amount"},
    {CALL_QUERY, QR, 200, MONEY("{\"total\":0}"), U, FACT_NONE, 0, "bad amount"},
    {CALL_QUERY, QR, 200, MONEY("{\"total\":-1}"), U, FACT_NONE, 0, "bad amount"},
    {CALL_QUERY, QR, 200, MONEY("{\"total\":10000000001}"), U, FACT_NONE, 0, "bad amount"},
    {CALL_QUERY, QR, 200, MONEY("1234"), U, FACT_NONE, 0, "bad amount"},
    {CALL_QUERY, QR, 200, TRADE("SUCCESS", ""), U, FACT_NONE, 0, "bad amount"},
    {CALL_QUERY, QR, 200,
     "{\"appid\":\"wx9\",\"mchid\":\"" MCHID "\",\"out_trade_no\":\"$N\",\"trade_state\":\"SUCCESS\"" AMOUNT "}", U,
     FACT_NONE, 0, "another appid"},
    {CALL_QUERY, QR, 200, "{\"mchid\":\"" MCHID "\",\"out_trade_no\":\"$N\",\"trade_state\":\"SUCCESS\"" AMOUNT "}", U,
     FACT_NONE, 0, "another appid"},
    {CALL_QUERY, QR, 200,
     "{\"appid\":\"" APPID "\",\"mchid\":\"1\",\"out_trade_no\":\"$N\",\"trade_state\":\"SUCCESS\"" AMOUNT "}", U,
     FACT_NONE, 0, "another mchid"},
    {CALL_QUERY, QR, 200,
     "{\"appid\":\"" APPID "\",\"mchid\":\"" MCHID "\",\"out_trade_no\":\"$R\",\"trade_state\":\"SUCCESS\"" AMOUNT "}",
     U, FACT_NONE, 0, "another out_trade_no"},
    {CALL_QUERY, QR, 200, "{\"appid\":\"" APPID "\",\"mchid\":\"" MCHID "\",\"trade_state\":\"CLOSED\"}", U, FACT_NONE,
     0, "another out_trade_no"},
    {CALL_QUERY, QR, 200, TRADE("SUCCESS", AMOUNT ",\"trade_state\":\"SUCCESS\""), U, FACT_NONE, 0, "duplicate_key"},
    {CALL_QUERY, QR, 200, "[]", U, FACT_NONE, 0, "invalid_json"},
    {CALL_QUERY, QR, 200, "", U, FACT_NONE, 0, "invalid_json"},
    {CALL_QUERY, QR, 200, "{\"trade_state\":\"SUCCESS", U, FACT_NONE, 0, "invalid_json"},
    {CALL_QUERY, QR, 404, NO("ORDER_NOT_EXIST"), D, FACT_NOT_FOUND, 0, "ORDER_NOT_EXIST"},
    {CALL_QUERY, QR, 404, NO("ORDERNOTEXIST"), D, FACT_NOT_FOUND, 0, "ORDERNOTEXIST"},
    {CALL_QUERY, QR, 404, NO("RESOURCE_NOT_EXISTS"), U, FACT_NONE, 0, "RESOURCE_NOT_EXISTS"},
    {CALL_QUERY, QR, 404, NO("ORDER_NOT_EXIST_"), D, FACT_NOT_FOUND, 0, "ORDER_NOT_EXIST_"},
    {CALL_QUERY, QR, 404, NO("ORDER_NOT_EXISTX"), U, FACT_NONE, 0, "ORDER_NOT_EXISTX"},
    {CALL_QUERY, QR, 404, NO("ORDER_NOT_EXIS"), U, FACT_NONE, 0, "ORDER_NOT_EXIS"},
    {CALL_QUERY, QR, 404, "<html>", U, FACT_NONE, 0, "http 404"},
    {CALL_QUERY, QR, 500, NO("ORDER_NOT_EXIST"), U, FACT_NONE, 0, "ORDER_NOT_EXIST"},
    {CALL_QUERY, QR, 401, NO("SIGN_ERROR"), U, FACT_NONE, 0, "SIGN_ERROR"},
    {CALL_QUERY, QR, 400, NO("PARAM_ERROR"), U, FACT_NONE, 0, "PARAM_ERROR"},
    {CALL_QUERY, QR, 204, "", U, FACT_NONE, 0, "http 204"},
    {CALL_QUERY, QR, 400, NO("\\u0001\\u00e9 x"), U, FACT_NONE, 0, "?\?\??x"},
};

static const struct row CLOSE_ROWS[] = {
    {CALL_CLOSE, QR, 204, "", D, FACT_CLOSED, 0, ""},
    {CALL_CLOSE, QR, 204, "{}", U, FACT_NONE, 0, "http 204"},
    {CALL_CLOSE, QR, 200, "{}", U, FACT_NONE, 0, "closed with a body"},
    {CALL_CLOSE, QR, 202, NO("USERPAYING"), U, FACT_NONE, 0, "USERPAYING"},
    {CALL_CLOSE, QR, 202, NO("USER_PAYING"), U, FACT_NONE, 0, "USER_PAYING"},
    {CALL_CLOSE, QR, 400, NO("ORDER_CLOSED"), R, FACT_NONE, 0, "ORDER_CLOSED"},
    {CALL_CLOSE, QR, 400, NO("ORDERPAID"), R, FACT_NONE, 0, "ORDERPAID"},
    {CALL_CLOSE, QR, 400, NO("INVALID_REQUEST"), R, FACT_NONE, 0, "INVALID_REQUEST"},
    {CALL_CLOSE, QR, 401, NO("SIGN_ERROR"), R, FACT_NONE, 0, "SIGN_ERROR"},
    {CALL_CLOSE, QR, 403, NO("TRADE_ERROR"), R, FACT_NONE, 0, "TRADE_ERROR"},
    {CALL_CLOSE, QR, 404, NO("ORDER_NOT_EXIST"), R, FACT_NOT_FOUND, 0, "ORDER_NOT_EXIST"},
    {CALL_CLOSE, QR, 404, "<html>", U, FACT_NONE, 0, "http 404"},
    {CALL_CLOSE, QR, 429, NO("FREQUENCY_LIMITED"), U, FACT_NONE, 0, "FREQUENCY_LIMITED"},
    {CALL_CLOSE, QR, 500, NO("SYSTEM_ERROR"), U, FACT_NONE, 0, "SYSTEM_ERROR"},
    {CALL_CANCEL, QR, 204, "", D, FACT_CLOSED, 0, ""},
    {CALL_CANCEL, QR, 400, NO("ORDERPAID"), R, FACT_NONE, 0, "ORDERPAID"},
    {CALL_CANCEL, QR, 404, NO("ORDER_NOT_EXIST"), D, FACT_NOT_FOUND, 0, "ORDER_NOT_EXIST"},
    {CALL_CANCEL, QR, 500, NO("SYSTEM_ERROR"), U, FACT_NONE, 0, "SYSTEM_ERROR"},
};

#define BACK_ROWS(method)                                                                                              \
    {method, QR, 200, BACK("SUCCESS"), D, FACT_REFUND_DONE, 0, "SUCCESS"},                                             \
        {method, QR, 200, BACK("PROCESSING"), D, FACT_REFUND_ACCEPTED, 0, "PROCESSING"},                               \
        {method, QR, 200, BACK("CLOSED"), D, FACT_REFUND_CLOSED, 0, "CLOSED"},                                         \
        {method, QR, 200, BACK("ABNORMAL"), D, FACT_REFUND_ABNORMAL, 0, "ABNORMAL"},                                   \
        {method, QR, 200, BACK("REFUNDED"), U, FACT_NONE, 0, "strange status"},                                        \
        {method, QR, 200, BACK(""), U, FACT_NONE, 0, "strange status"},                                                \
        {method, QR,                                                                                                   \
         200,    "{\"out_refund_no\":\"$N\",\"out_trade_no\":\"$N\",\"status\":\"SUCCESS\"" BACK_AMOUNT "}",           \
         U,      FACT_NONE,                                                                                            \
         0,      "another out_refund_no"},                                                                             \
        {method, QR,                                                                                                   \
         200,    "{\"out_refund_no\":\"$R\",\"out_trade_no\":\"$R\",\"status\":\"SUCCESS\"" BACK_AMOUNT "}",           \
         U,      FACT_NONE,                                                                                            \
         0,      "another out_trade_no"},                                                                              \
        {method,                                                                                                       \
         QR,                                                                                                           \
         200,                                                                                                          \
         "{\"mchid\":\"1\",\"out_refund_no\":\"$R\",\"out_trade_no\":\"$N\",\"status\":\"SUCCESS\"" BACK_AMOUNT "}",   \
         U,                                                                                                            \
         FACT_NONE,                                                                                                    \
         0,                                                                                                            \
         "another mchid"},                                                                                             \
        {method,                                                                                                       \
         QR,                                                                                                           \
         200,                                                                                                          \
         "{\"out_refund_no\":\"$R\",\"out_trade_no\":\"$N\",\"status\":\"SUCCESS\",\"amount\":{\"refund\":499,"        \
         "\"total\":1234,\"currency\":\"CNY\"}}",                                                                      \
         U,                                                                                                            \
         FACT_NONE,                                                                                                    \
         0,                                                                                                            \
         "another amount"},                                                                                            \
        {method,                                                                                                       \
         QR,                                                                                                           \
         200,                                                                                                          \
         "{\"out_refund_no\":\"$R\",\"out_trade_no\":\"$N\",\"status\":\"SUCCESS\",\"amount\":{\"refund\":500,"        \
         "\"total\":1235,\"currency\":\"CNY\"}}",                                                                      \
         U,                                                                                                            \
         FACT_NONE,                                                                                                    \
         0,                                                                                                            \
         "another amount"},                                                                                            \
    {                                                                                                                  \
        method, QR, 200,                                                                                               \
            "{\"out_refund_no\":\"$R\",\"out_trade_no\":\"$N\",\"status\":\"SUCCESS\",\"amount\":{\"refund\":500,"     \
            "\"total\":1234,\"currency\":\"HKD\"}}",                                                                   \
            U, FACT_NONE, 0, "another amount"                                                                          \
    }

static const struct row REFUND_ROWS[] = {
    BACK_ROWS(CALL_REFUND),
    {CALL_REFUND, QR, 403, NO("NOT_ENOUGH"), R, FACT_NONE, 0, "NOT_ENOUGH"},
    {CALL_REFUND, QR, 403, NO("NOTENOUGH"), R, FACT_NONE, 0, "NOTENOUGH"},
    {CALL_REFUND, QR, 400, NO("INVALID_REQUEST"), R, FACT_NONE, 0, "INVALID_REQUEST"},
    {CALL_REFUND, QR, 404, NO("RESOURCE_NOT_EXISTS"), R, FACT_NONE, 0, "RESOURCE_NOT_EXISTS"},
    {CALL_REFUND, QR, 401, NO("SIGN_ERROR"), U, FACT_NONE, 0, "SIGN_ERROR"},
    {CALL_REFUND, QR, 429, NO("FREQUENCY_LIMITED"), U, FACT_NONE, 0, "FREQUENCY_LIMITED"},
    {CALL_REFUND, QR, 500, NO("SYSTEM_ERROR"), U, FACT_NONE, 0, "SYSTEM_ERROR"},
    {CALL_REFUND, QR, 204, "", U, FACT_NONE, 0, "http 204"},
};

static const struct row REFUND_QUERY_ROWS[] = {
    BACK_ROWS(CALL_REFUND_QUERY),
    {CALL_REFUND_QUERY, QR, 404, NO("RESOURCE_NOT_EXISTS"), D, FACT_REFUND_ABSENT, 0, "RESOURCE_NOT_EXISTS"},
    {CALL_REFUND_QUERY, QR, 404, NO("ORDER_NOT_EXIST"), U, FACT_NONE, 0, "ORDER_NOT_EXIST"},
    {CALL_REFUND_QUERY, QR, 400, NO("PARAM_ERROR"), U, FACT_NONE, 0, "PARAM_ERROR"},
    {CALL_REFUND_QUERY, QR, 500, NO("RESOURCE_NOT_EXISTS"), U, FACT_NONE, 0, "RESOURCE_NOT_EXISTS"},
};

struct table {
    const struct row *rows;
    size_t n;
};
#define TABLE(rows)                                                                                                    \
    {                                                                                                                  \
        rows, sizeof(rows) / sizeof((rows)[0])                                                                         \
    }
static const struct table TABLES[] = {TABLE(CREATE_ROWS), TABLE(QUERY_ROWS), TABLE(CLOSE_ROWS), TABLE(REFUND_ROWS),
                                      TABLE(REFUND_QUERY_ROWS)};
#define N_TABLES (sizeof TABLES / sizeof TABLES[0])

static void every_row_of_the_mapping_holds(void **state)
{
    (void)state;
    for (size_t t = 0; t < N_TABLES; t++)
        for (size_t i = 0; i < TABLES[t].n; i++)
            check(&TABLES[t].rows[i], judge_signed(&TABLES[t].rows[i], &wx.platform));
}

// Without a signature a success is nothing; a failure is what it says, for whoever refuses may not be able to sign.
static void unsigned_successes_are_unknown(void **state)
{
    (void)state;
    for (size_t t = 0; t < N_TABLES; t++) {
        for (size_t i = 0; i < TABLES[t].n; i++) {
            struct row r = TABLES[t].rows[i];
            if (r.status < 300)
                r = (struct row){r.method, r.product, r.status, r.body, U, FACT_NONE, 0, "no signature"};
            check(&r, judge_unsigned(&r));
            assert_int_equal(word, SEAL_ABSENT);
        }
    }
}

// A signature that is there must be right, whatever it is under.
static void a_wrong_signature_is_unknown_under_any_status(void **state)
{
    (void)state;
    struct signer merchant = {.key = wx.merchant_private};
    (void)snprintf(merchant.serial, sizeof merchant.serial, "%s", PUBLIC_ID);
    for (size_t t = 0; t < N_TABLES; t++) {
        for (size_t i = 0; i < TABLES[t].n; i++) {
            struct row r = TABLES[t].rows[i];
            r = (struct row){r.method, r.product, r.status, r.body, U, FACT_NONE, 0, "bad signature"};
            check(&r, judge_signed(&r, &merchant));
        }
    }
}

static void a_fact_comes_only_with_its_outcome(void **state)
{
    (void)state;
    for (size_t t = 0; t < N_TABLES; t++) {
        for (size_t i = 0; i < TABLES[t].n; i++) {
            for (enum call_method m = CALL_NONE; m <= CALL_REFUND_QUERY; m++) {
                struct row r = TABLES[t].rows[i];
                r.method = m;
                struct answer a = judge_signed(&r, &wx.platform);
                assert_true(a.fact == FACT_NONE || a.outcome == D ||
                            (m == CALL_CLOSE && a.outcome == R && a.fact == FACT_NOT_FOUND));
                assert_true(a.outcome != D || a.fact != FACT_NONE);
                assert_true((a.captured_fen > 0) == (a.fact == FACT_PAID || a.fact == FACT_PAID_SOME_REFUNDED));
                assert_true((a.code.n > 0) == (a.fact == FACT_CODE));
                assert_true(m != CALL_NONE || a.outcome == U);
            }
        }
    }
}

static void the_code_and_the_trade_number_are_taken_over(void **state)
{
    (void)state;
    struct answer a = judge_signed(&CREATE_ROWS[0], &wx.platform);
    assert_true(str_eq(a.code, STR("weixin://wxpay/bizpayurl?pr=p4lpSuKzz")));
    a = judge_signed(&CREATE_ROWS[1], &wx.platform);
    assert_true(str_eq(a.code, STR("wx2014")));
    a = judge_signed(&QUERY_ROWS[0], &wx.platform);
    assert_string_equal(a.provider_trade_no, "42000001");
    // one that does not fit or is not plain text is left out, the payment counts all the same
    static const char *const odd[] = {"a b", "12345678901234567890123456789012345678901234567890123456789012345", ""};
    for (size_t i = 0; i < 3; i++) {
        char body[512];
        (void)snprintf(body, sizeof body, TRADE("SUCCESS", ",\"amount\":{\"total\":1},\"transaction_id\":\"%s\""),
                       odd[i]);
        struct row r = {CALL_QUERY, QR, 200, body, D, FACT_PAID, 1, "SUCCESS"};
        a = judge_signed(&r, &wx.platform);
        check(&r, a);
        assert_string_equal(a.provider_trade_no, "");
    }
}

// --- The seal

static const struct row PAID_ROW = {CALL_QUERY, QR, 200, TRADE("SUCCESS", AMOUNT), D, FACT_PAID, 1234, "SUCCESS"};

static void timestamps_hold_for_five_minutes_both_ways(void **state)
{
    (void)state;
    static const struct {
        int off_s;
        const char *detail;
    } rows[] = {
        {0, "SUCCESS"},           {-299, "SUCCESS"},         {299, "SUCCESS"},         {-301, "stale timestamp"},
        {301, "stale timestamp"}, {-360, "stale timestamp"}, {360, "stale timestamp"}, {-86400, "stale timestamp"}};
    struct buf body = {0};
    wx_expand(PAID_ROW.body, &body);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf lines = {0};
        struct headers h = headers_sign(&wx.platform, REAL_MS + rows[i].off_s * 1000, buf_view(&body));
        headers_write(&h, &lines);
        struct answer a = judge_raw(&PAID_ROW, buf_view(&lines), buf_view(&body), REAL_MS);
        assert_string_equal(a.detail, rows[i].detail);
        assert_int_equal(a.fact, i < 3 ? FACT_PAID : FACT_NONE);
        headers_free(&h);
        buf_free(&lines);
    }
    buf_free(&body);
}

// One header changed in turn, from a good answer.
static void every_header_counts(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value; // NULL: left out. "+": said twice
        const char *detail;
        enum seal_word word;
    } rows[] = {
        {"Wechatpay-Timestamp", NULL, "no signature", SEAL_BAD},
        {"Wechatpay-Timestamp", "", "no signature", SEAL_BAD},
        {"Wechatpay-Timestamp", "1795398601", "bad signature", SEAL_BAD},
        {"Wechatpay-Timestamp", "1795398600.0", "stale timestamp", SEAL_BAD},
        {"Wechatpay-Timestamp", "-1795398600", "stale timestamp", SEAL_BAD},
        {"Wechatpay-Timestamp", "1795398600000000000000", "stale timestamp", SEAL_BAD},
        {"Wechatpay-Timestamp", "+", "no signature", SEAL_BAD},
        {"Wechatpay-Nonce", NULL, "no signature", SEAL_BAD},
        {"Wechatpay-Nonce", "other", "bad signature", SEAL_BAD},
        {"Wechatpay-Nonce", "a b", "strange nonce", SEAL_BAD},
        {"Wechatpay-Nonce", "+", "no signature", SEAL_BAD},
        {"Wechatpay-Serial", NULL, "no signature", SEAL_BAD},
        {"Wechatpay-Serial", "PUB_KEY_ID_2", "unknown serial", SEAL_UNKNOWN_KEY},
        {"Wechatpay-Serial", SERIAL, "unknown serial", SEAL_UNKNOWN_KEY}, // the merchant's own
        {"Wechatpay-Serial", "+", "no signature", SEAL_BAD},
        {"Wechatpay-Signature", NULL, "no signature", SEAL_BAD},
        {"Wechatpay-Signature", "AAAA", "bad signature", SEAL_BAD},
        {"Wechatpay-Signature", "not base64", "bad signature", SEAL_BAD},
        {"Wechatpay-Signature", "WECHATPAY/SIGNTEST/AAAA", "signature test", SEAL_BAD},
        {"Wechatpay-Signature", "+", "no signature", SEAL_BAD},
    };
    struct buf body = {0}, good = {0};
    wx_expand(PAID_ROW.body, &body);
    struct headers h = headers_sign(&wx.platform, REAL_MS, buf_view(&body));
    headers_write(&h, &good);
    struct answer a = judge_raw(&PAID_ROW, buf_view(&good), buf_view(&body), REAL_MS);
    check(&PAID_ROW, a);
    assert_int_equal(word, SEAL_GOOD);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf lines = {0};
        struct str rest = buf_view(&good);
        while (rest.n > 0) {
            size_t n = (size_t)((const char *)memchr(rest.p, '\n', rest.n) + 1 - rest.p);
            struct str line = {rest.p, n};
            bool hit = str_starts(line, str_of(rows[i].name));
            bool twice = hit && rows[i].value && strcmp(rows[i].value, "+") == 0;
            if (!hit || twice) buf_str(&lines, line);
            if (twice) buf_str(&lines, line);
            if (hit && rows[i].value && !twice) buf_printf(&lines, "%s: %s\r\n", rows[i].name, rows[i].value);
            rest = (struct str){rest.p + n, rest.n - n};
        }
        a = judge_raw(&PAID_ROW, buf_view(&lines), buf_view(&body), REAL_MS);
        if (a.outcome != U || a.fact != FACT_NONE || strcmp(a.detail, rows[i].detail) != 0 || word != rows[i].word)
            fail_msg("row %zu: \"%s\" %d", i, a.detail, (int)word);
        buf_free(&lines);
    }
    headers_free(&h);
    buf_free(&body);
    buf_free(&good);
}

static void any_byte_of_the_body_changed_is_unknown(void **state)
{
    (void)state;
    struct buf body = {0}, lines = {0};
    wx_expand(PAID_ROW.body, &body);
    struct headers h = headers_sign(&wx.platform, REAL_MS, buf_view(&body));
    headers_write(&h, &lines);
    for (size_t i = 0; i < body.n; i++) {
        body.p[i] ^= 1;
        struct answer a = judge_raw(&PAID_ROW, buf_view(&lines), buf_view(&body), REAL_MS);
        assert_int_equal(a.outcome, U);
        assert_string_equal(a.detail, "bad signature");
        body.p[i] ^= 1;
    }
    buf_char(&body, '\n');
    assert_string_equal(judge_raw(&PAID_ROW, buf_view(&lines), buf_view(&body), REAL_MS).detail, "bad signature");
    headers_free(&h);
    buf_free(&body);
    buf_free(&lines);
}

// The first pays, the second closes; neither is believed with one byte more.
static void what_wechat_pays_sdk_signed_is_believed_and_only_that(void **state)
{
    (void)state;
    static const struct row rows[] = {{CALL_QUERY, PRODUCT_QR, 200, "", D, FACT_PAID, 1234, "SUCCESS"},
                                      {CALL_CLOSE, PRODUCT_QR, 204, "", D, FACT_CLOSED, 0, ""}};
    for (size_t i = 0; i < 2; i++) {
        struct headers h = {.serial = PUBLIC_ID, .nonce = SDK_WECHAT_MESSAGES[i].nonce};
        struct buf lines = {0}, body = {0};
        int64_t at_ms = strtoll(SDK_WECHAT_MESSAGES[i].timestamp, NULL, 10) * 1000;
        (void)snprintf(h.timestamp, sizeof h.timestamp, "%s", SDK_WECHAT_MESSAGES[i].timestamp);
        buf_z(&h.signature, SDK_WECHAT_MESSAGES[i].signature);
        buf_z(&body, SDK_WECHAT_MESSAGES[i].body);
        headers_write(&h, &lines);
        check(&rows[i], judge_raw(&rows[i], buf_view(&lines), buf_view(&body), at_ms));
        assert_int_equal(word, SEAL_GOOD);
        buf_char(&body, ' ');
        struct answer a = judge_raw(&rows[i], buf_view(&lines), buf_view(&body), at_ms);
        assert_int_equal(a.outcome, U);
        assert_string_equal(a.detail, "bad signature");
        headers_free(&h);
        buf_free(&lines);
        buf_free(&body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_the_mapping_holds),
        cmocka_unit_test(unsigned_successes_are_unknown),
        cmocka_unit_test(a_wrong_signature_is_unknown_under_any_status),
        cmocka_unit_test(a_fact_comes_only_with_its_outcome),
        cmocka_unit_test(the_code_and_the_trade_number_are_taken_over),
        cmocka_unit_test(timestamps_hold_for_five_minutes_both_ways),
        cmocka_unit_test(every_header_counts),
        cmocka_unit_test(any_byte_of_the_body_changed_is_unknown),
        cmocka_unit_test(what_wechat_pays_sdk_signed_is_believed_and_only_that),
    };
    int failed = cmocka_run_group_tests(tests, wx_setup, wx_teardown);
    buf_free(&text);
    return failed;
}
