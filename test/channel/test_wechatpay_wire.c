// SPDX-License-Identifier: Apache-2.0
// What goes out to WeChat Pay: addresses, bodies, signatures.
#include "sdk_golden.h"
#include "wechatpay_fixture.h"
#include "wechatpay_golden.h"
#include <stdio.h>
#include <stdlib.h>

static void assert_text(struct str got, const char *want)
{
    if (!str_eq(got, str_of(want))) fail_msg("got  %.*s\nwant %s", (int)got.n, got.n ? got.p : "", want);
}

static struct call_request request;

static bool make(const struct call *call, const char *subject)
{
    buf_free(&request.url);
    buf_free(&request.headers);
    buf_free(&request.body);
    request = (struct call_request){0};
    return wechatpay_request(&wx.app, call, str_of(subject), REAL_MS, &request);
}

static int release(void **state)
{
    struct call none = wx_call(CALL_NONE);
    (void)make(&none, "");
    return wx_teardown(state);
}

// --- Signing

static void the_canonical_text_and_its_signature_are_as_documented(void **state)
{
    (void)state;
    struct buf text = {0}, sign = {0};
    wechatpay_canonical("POST", STR("/v3/pay/transactions/native"), STR(REAL_S), STR(GOLDEN_NONCE), STR(GOLDEN_BODY),
                        &text);
    assert_text(buf_view(&text), GOLDEN_CANONICAL);
    assert_true(crypto_rsa2_sign(wx.merchant_private, buf_view(&text), &sign));
    assert_text(buf_view(&sign), GOLDEN_SIGNATURE);
    buf_clear(&text);
    // an empty body leaves its line
    wechatpay_canonical("GET", STR("/v3/certificates"), STR("1"), STR("n"), STR(""), &text);
    assert_text(buf_view(&text), "GET\n/v3/certificates\n1\nn\n\n");
    buf_free(&text);
    buf_free(&sign);
}

static void what_is_signed_is_signed_as_wechat_pays_sdk_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof SDK_WECHAT_REQUESTS / sizeof SDK_WECHAT_REQUESTS[0]; i++) {
        struct buf text = {0}, sign = {0};
        wechatpay_canonical(SDK_WECHAT_REQUESTS[i].method, str_of(SDK_WECHAT_REQUESTS[i].target),
                            str_of(SDK_WECHAT_REQUESTS[i].timestamp), str_of(SDK_WECHAT_REQUESTS[i].nonce),
                            str_of(SDK_WECHAT_REQUESTS[i].body), &text);
        assert_true(crypto_rsa2_sign(wx.merchant_private, buf_view(&text), &sign));
        assert_text(buf_view(&sign), SDK_WECHAT_REQUESTS[i].signature);
        buf_free(&text);
        buf_free(&sign);
    }
}

// The value of name="..." in the Authorization header.
static struct str authorized(const char *name)
{
    char wanted[32];
    (void)snprintf(wanted, sizeof wanted, "%s=\"", name);
    struct str headers = buf_view(&request.headers);
    const char *at = memmem(headers.p, headers.n, wanted, strlen(wanted));
    assert_non_null(at);
    at += strlen(wanted);
    const char *end = memchr(at, '"', (size_t)(headers.p + headers.n - at));
    assert_non_null(end);
    return (struct str){at, (size_t)(end - at)};
}

static void assert_header(const char *line)
{
    char wanted[256];
    struct str headers = buf_view(&request.headers);
    (void)snprintf(wanted, sizeof wanted, "%s\n", line);
    const char *at = memmem(headers.p, headers.n, wanted, strlen(wanted));
    if (!at || (at > headers.p && at[-1] != '\n')) fail_msg("no \"%s\" in\n%.*s", line, (int)headers.n, headers.p);
}

// As WeChat Pay would check it: over the method, the target as sent, and the body as sent.
static void assert_signed(const char *method, const char *target)
{
    struct buf text = {0};
    assert_text(authorized("mchid"), MCHID);
    assert_text(authorized("serial_no"), SERIAL);
    assert_text(authorized("timestamp"), REAL_S);
    assert_int_equal(authorized("nonce_str").n, 32);
    assert_true(memmem(request.headers.p, request.headers.n, "Authorization: WECHATPAY2-SHA256-RSA2048 mchid=", 47));
    wechatpay_canonical(method, str_of(target), authorized("timestamp"), authorized("nonce_str"),
                        buf_view(&request.body), &text);
    assert_true(crypto_rsa2_verify(wx.merchant_public, buf_view(&text), authorized("signature")));
    buf_free(&text);
}

static void a_native_order_is_made(void **state)
{
    (void)state;
    struct call call = wx_call(CALL_CREATE);
    assert_true(make(&call, "两杯 coffee"));
    assert_true(request.is_post);
    assert_text(buf_view(&request.url), BASE_URL "/v3/pay/transactions/native");
    assert_text(buf_view(&request.body), GOLDEN_BODY);
    assert_header("Accept: application/json");
    assert_header("Content-Type: application/json");
    assert_header("Wechatpay-Serial: " PUBLIC_ID);
    assert_signed("POST", "/v3/pay/transactions/native");
}

static void two_requests_have_two_nonces(void **state)
{
    (void)state;
    char first[33];
    struct call call = wx_call(CALL_QUERY);
    assert_true(make(&call, ""));
    struct str nonce = authorized("nonce_str");
    (void)snprintf(first, sizeof first, "%.*s", (int)nonce.n, nonce.p);
    assert_true(make(&call, ""));
    assert_false(str_eq(authorized("nonce_str"), str_of(first)));
}

static void a_path_in_front_is_signed_too(void **state)
{
    (void)state;
    struct call call = wx_call(CALL_QUERY);
    wx.app.base_url = "http://127.0.0.1:8081/prefix";
    bool ok = make(&call, "");
    wx.app.base_url = BASE_URL;
    assert_true(ok);
    assert_signed("GET", "/prefix/v3/pay/transactions/out-trade-no/" PAYMENT_NO "?mchid=" MCHID);
}

// --- The other calls

#define COMMON                                                                                                         \
    "{\"appid\":\"" APPID "\",\"mchid\":\"" MCHID "\",\"description\":\"x\",\"out_trade_no\":\"" PAYMENT_NO            \
    "\",\"time_expire\":\"2026-11-23T10:05:00+08:00\",\"notify_url\":\"" NOTIFY_URL                                    \
    "\",\"amount\":{\"total\":1234,\"currency\":\"CNY\"}"

static void every_call_has_its_address_and_body(void **state)
{
    (void)state;
    static const struct {
        enum call_method method;
        enum product product;
        const char *payer, *target, *body; // body NULL: GET
    } rows[] = {
        {CALL_CREATE, PRODUCT_JSAPI, "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o", "/v3/pay/transactions/jsapi",
         COMMON ",\"payer\":{\"openid\":\"oUpF8uMuAJO_M2pxb1Q9zNjWeS6o\"}}"},
        {CALL_CREATE, PRODUCT_WAP, "203.0.113.7", "/v3/pay/transactions/h5",
         COMMON ",\"scene_info\":{\"payer_client_ip\":\"203.0.113.7\",\"h5_info\":{\"type\":\"Wap\"}}}"},
        {CALL_CREATE, PRODUCT_QR, "whoever", "/v3/pay/transactions/native", COMMON "}"},
        {CALL_QUERY, PRODUCT_QR, "", "/v3/pay/transactions/out-trade-no/" PAYMENT_NO "?mchid=" MCHID, NULL},
        {CALL_CLOSE, PRODUCT_QR, "", "/v3/pay/transactions/out-trade-no/" PAYMENT_NO "/close",
         "{\"mchid\":\"" MCHID "\"}"},
        {CALL_CANCEL, PRODUCT_QR, "", "/v3/pay/transactions/out-trade-no/" PAYMENT_NO "/close",
         "{\"mchid\":\"" MCHID "\"}"},
        {CALL_REFUND, PRODUCT_QR, "", "/v3/refund/domestic/refunds",
         "{\"out_trade_no\":\"" PAYMENT_NO "\",\"out_refund_no\":\"" NUMBER_NO "\",\"notify_url\":\"" NOTIFY_URL
         "\",\"amount\":{\"refund\":500,\"total\":1234,\"currency\":\"CNY\"}}"},
        {CALL_REFUND_QUERY, PRODUCT_QR, "", "/v3/refund/domestic/refunds/" NUMBER_NO, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char url[256];
        struct call call = wx_call(rows[i].method);
        call.product = rows[i].product;
        call.payer = str_of(rows[i].payer);
        assert_true(make(&call, "x"));
        (void)snprintf(url, sizeof url, BASE_URL "%s", rows[i].target);
        assert_text(buf_view(&request.url), url);
        assert_int_equal(request.is_post, rows[i].body != NULL);
        assert_text(buf_view(&request.body), rows[i].body ? rows[i].body : "");
        assert_signed(rows[i].body ? "POST" : "GET", rows[i].target);
    }
}

static void what_cannot_be_asked_is_not(void **state)
{
    (void)state;
    static const struct {
        enum product product;
        const char *payer;
    } rows[] = {
        {PRODUCT_JSAPI, ""},           {PRODUCT_JSAPI, "a b"},
        {PRODUCT_JSAPI, "\xff"},       {PRODUCT_WAP, ""},
        {PRODUCT_WAP, "203.0.113.7 "}, {PRODUCT_WAP, "1234567890123456789012345678901234567890123456"},
    };
    struct call call = wx_call(CALL_NONE);
    assert_false(make(&call, "x"));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        call = wx_call(CALL_CREATE);
        call.product = rows[i].product;
        call.payer = str_of(rows[i].payer);
        assert_false(make(&call, "x"));
    }
    // our public key does not sign
    call = wx_call(CALL_CREATE);
    wx.app.merchant_key = wx.merchant_public;
    bool ok = make(&call, "x");
    wx.app.merchant_key = wx.merchant_private;
    assert_false(ok);
}

static void certificates_are_asked_for_without_naming_a_key(void **state)
{
    (void)state;
    struct call none = wx_call(CALL_NONE);
    (void)make(&none, "");
    assert_true(wechatpay_certificates_request(&wx.app, REAL_MS, &request));
    assert_text(buf_view(&request.url), BASE_URL "/v3/certificates");
    assert_signed("GET", "/v3/certificates");
    assert_null(memmem(request.headers.p, request.headers.n, "Wechatpay-Serial", 16));
}

// --- Description

static void descriptions_are_cleaned_and_never_empty(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"Two cups", "Two cups"},
        {"", "Order"},
        {"\xf0\x9f\x8d\xb5", "Order"}, // a cup of tea, in four bytes
        {"tea \xf0\x9f\x8d\xb5 for two", "tea for two"},
        {" \t\n", "Order"},
        {"a/b=c&d", "a/b=c&d"},
        {"a\x01\x7f\xc2\x85z", "a z"},
        {"bad \xff\xc0\xaf bytes", "bad bytes"},
        {"cut \xe4\xb8", "cut"},
        {"两杯咖啡", "两杯咖啡"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out = {0};
        wechatpay_description(str_of(rows[i].in), &out);
        assert_text(buf_view(&out), rows[i].out);
        buf_free(&out);
    }
}

static void a_long_description_is_cut_between_characters(void **state)
{
    (void)state;
    struct buf in = {0}, out = {0};
    for (int i = 0; i < 100; i++)
        buf_z(&in, "两");
    wechatpay_description(buf_view(&in), &out);
    assert_int_equal(out.n, 126); // the 43rd would end at 129
    buf_clear(&in);
    buf_clear(&out);
    buf_z(&in, "a");
    for (int i = 0; i < 100; i++)
        buf_z(&in, "两");
    wechatpay_description(buf_view(&in), &out);
    assert_int_equal(out.n, 127);
    struct str rest = buf_view(&out);
    for (size_t n; rest.n > 0; rest.p += n, rest.n -= n)
        assert_true((n = str_utf8_len(rest)) > 0);
    buf_free(&in);
    buf_free(&out);
}

// --- Payment inside WeChat

static void the_page_is_handed_what_was_signed(void **state)
{
    (void)state;
    struct buf json = {0}, want = {0};
    assert_true(
        wechatpay_page_write(&wx.app, STR("wx201410272009395522657a690389285100"), REAL_MS, GOLDEN_NONCE, &json));
    buf_printf(&want,
               "{\"appId\":\"" APPID "\",\"timeStamp\":\"" REAL_S "\",\"nonceStr\":\"" GOLDEN_NONCE
               "\",\"package\":\"prepay_id=wx201410272009395522657a690389285100\",\"signType\":\"RSA\","
               "\"paySign\":\"%s\"}",
               GOLDEN_PAY_SIGN);
    buf_char(&want, 0);
    assert_text(buf_view(&json), want.p);
    buf_clear(&json);
    assert_false(wechatpay_page_write(&wx.app, STR(""), REAL_MS, GOLDEN_NONCE, &json));
    assert_false(wechatpay_page_write(&wx.app,
                                      STR("wx\"}"
                                          " "),
                                      REAL_MS, GOLDEN_NONCE, &json));
    assert_int_equal(json.n, 0);
    buf_free(&json);
    buf_free(&want);
}

static void the_authorize_address_is_as_documented(void **state)
{
    (void)state;
    struct buf url = {0};
    struct str back = STR("https://shop.example/pay/ord_1?x=1&y=/2");
    assert_true(wechatpay_authorize_url_write(&wx.app, back, STR("ab12"), &url));
    assert_text(buf_view(&url), "https://oauth.example/connect/oauth2/authorize?appid=" APPID
                                "&redirect_uri=https%3A%2F%2Fshop.example%2Fpay%2Ford_1%3Fx%3D1%26y%3D%2F2"
                                "&response_type=code&scope=snsapi_base&state=ab12#wechat_redirect");
    buf_clear(&url);
    assert_false(wechatpay_authorize_url_write(&wx.app, back, STR(""), &url));
    assert_false(wechatpay_authorize_url_write(&wx.app, back, STR("a#b"), &url));
    assert_false(wechatpay_authorize_url_write(&wx.app, STR(""), STR("a"), &url));
    wx.app.oauth_url = "";
    bool without =
        wechatpay_authorize_url_write(&wx.app, back, STR("a"), &url) || wechatpay_openid_url(&wx.app, STR("c"), &url);
    wx.app.oauth_url = "https://oauth.example";
    assert_false(without);
    assert_int_equal(url.n, 0);
    buf_free(&url);
}

static void wechats_own_two_hosts_belong_together(void **state)
{
    (void)state;
    static const char *const either[] = {"https://open.weixin.qq.com", "https://api.weixin.qq.com"};
    for (size_t i = 0; i < 2; i++) {
        struct buf page = {0}, call = {0};
        wx.app.oauth_url = either[i];
        bool ok = wechatpay_authorize_url_write(&wx.app, STR("https://x"), STR("s"), &page) &&
                  wechatpay_openid_url(&wx.app, STR("c"), &call);
        wx.app.oauth_url = "https://oauth.example";
        assert_true(ok);
        assert_true(str_starts(buf_view(&page), STR("https://open.weixin.qq.com/connect/oauth2/authorize?")));
        assert_true(str_starts(buf_view(&call), STR("https://api.weixin.qq.com/sns/oauth2/access_token?")));
        buf_free(&page);
        buf_free(&call);
    }
}

static void a_code_is_exchanged_at_its_address(void **state)
{
    (void)state;
    struct buf url = {0};
    assert_true(wechatpay_openid_url(&wx.app, STR("001a+b/c"), &url));
    assert_text(buf_view(&url), "https://oauth.example/sns/oauth2/access_token?appid=" APPID
                                "&secret=s3cret%26more&code=001a%2Bb%2Fc&grant_type=authorization_code");
    buf_clear(&url);
    assert_false(wechatpay_openid_url(&wx.app, STR(""), &url));
    assert_false(wechatpay_openid_url(&wx.app, STR("a b"), &url));
    buf_free(&url);
}

static void an_openid_is_read_or_what_was_said_instead(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body, *openid, *why;
    } rows[] = {
        {200, "{\"access_token\":\"t\",\"expires_in\":7200,\"openid\":\"oUpF8\",\"scope\":\"snsapi_base\"}", "oUpF8",
         ""},
        {200, "{\"errcode\":0,\"openid\":\"oUpF8\"}", "oUpF8", ""},
        {200, "{\"errcode\":40029,\"errmsg\":\"invalid code\"}", NULL, "errcode 40029"},
        {200, "{\"errcode\":40163,\"openid\":\"oUpF8\"}", NULL, "errcode 40163"},
        {200, "{\"openid\":\"\"}", NULL, "no openid"},
        {200, "{\"openid\":\"a b\"}", NULL, "no openid"},
        {200, "{\"openid\":7}", NULL, "no openid"},
        {200, "{}", NULL, "no openid"},
        {200, "<html>", NULL, "invalid_json"},
        {200, "", NULL, "invalid_json"},
        {502, "{\"openid\":\"oUpF8\"}", NULL, "http 502"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct call_reply reply = {.status = rows[i].status, .body = str_of(rows[i].body)};
        struct buf text = {0};
        struct str openid = {0};
        char why[64];
        bool ok = wechatpay_openid_read(&reply, &openid, &text, why);
        assert_int_equal(ok, rows[i].openid != NULL);
        if (ok) assert_text(openid, rows[i].openid);
        assert_string_equal(why, rows[i].why);
        buf_free(&text);
    }
    char long_openid[PAYER_MAX + 2] = {0}, body[PAYER_MAX + 32], why[64];
    memset(long_openid, 'o', PAYER_MAX + 1);
    (void)snprintf(body, sizeof body, "{\"openid\":\"%s\"}", long_openid);
    struct call_reply reply = {.status = 200, .body = str_of(body)};
    struct buf text = {0};
    struct str openid = {0};
    assert_false(wechatpay_openid_read(&reply, &openid, &text, why));
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_canonical_text_and_its_signature_are_as_documented),
        cmocka_unit_test(what_is_signed_is_signed_as_wechat_pays_sdk_does),
        cmocka_unit_test(a_native_order_is_made),
        cmocka_unit_test(two_requests_have_two_nonces),
        cmocka_unit_test(a_path_in_front_is_signed_too),
        cmocka_unit_test(every_call_has_its_address_and_body),
        cmocka_unit_test(what_cannot_be_asked_is_not),
        cmocka_unit_test(certificates_are_asked_for_without_naming_a_key),
        cmocka_unit_test(descriptions_are_cleaned_and_never_empty),
        cmocka_unit_test(a_long_description_is_cut_between_characters),
        cmocka_unit_test(the_page_is_handed_what_was_signed),
        cmocka_unit_test(the_authorize_address_is_as_documented),
        cmocka_unit_test(wechats_own_two_hosts_belong_together),
        cmocka_unit_test(a_code_is_exchanged_at_its_address),
        cmocka_unit_test(an_openid_is_read_or_what_was_said_instead),
    };
    return cmocka_run_group_tests(tests, wx_setup, release);
}
