// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"
#include "golden.h"
#include "sdk_golden.h"
#include <stdio.h>
#include <stdlib.h>

#define NOW_MS INT64_C(1795398600000) // 2026-11-23 09:50:00 in Beijing, a quarter of an hour before the expiry

static void assert_text(struct str got, const char *want)
{
    if (!str_eq(got, str_of(want))) fail_msg("got  %.*s\nwant %s", (int)got.n, got.p, want);
}

// --- Money

static void yuan_texts_are_read_exactly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t fen; // -1: refused
    } rows[] = {
        {"0.01", 1},
        {"1", 100},
        {"1.0", 100},
        {"1.00", 100},
        {"12.3", 1230},
        {"0.10", 10},
        {"0", 0},
        {"0.00", 0},
        {"9.99", 999},
        {"0.29", 29}, // 0.29 * 100 is 28.999... in binary
        {"1.15", 115},
        {"33.33", 3333},
        {"4503599627.37", -1},
        {"99999999.99", INT64_C(9999999999)},
        {"100000000", AMOUNT_MAX_FEN},
        {"100000000.00", AMOUNT_MAX_FEN},
        {"100000000.01", -1},
        {"999999999.99", -1},
        {"1000000000", -1},
        {"99999999999999999999999999", -1},
        {"", -1},
        {".", -1},
        {".5", -1},
        {"1.", -1},
        {"1.000", -1},
        {"1.005", -1},
        {"01.00", -1},
        {"00", -1},
        {"-1.00", -1},
        {"+1.00", -1},
        {" 1.00", -1},
        {"1.00 ", -1},
        {"1,00", -1},
        {"1.0.0", -1},
        {"1e2", -1},
        {"0x10", -1},
        {"1.0a", -1},
        {"\xef\xbc\x91.00", -1}, // a full-width one
        {"NaN", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t fen = -1;
        bool ok = yuan_to_fen(str_of(rows[i].text), &fen);
        if (ok != (rows[i].fen >= 0) || fen != rows[i].fen) fail_msg("\"%s\" -> %lld", rows[i].text, (long long)fen);
    }
}

static void yuan_texts_come_back_as_they_went(void **state)
{
    (void)state;
    char text[YUAN_TEXT_SIZE];
    yuan_of_fen(1, text);
    assert_string_equal(text, "0.01");
    yuan_of_fen(1230, text);
    assert_string_equal(text, "12.30");
    yuan_of_fen(AMOUNT_MAX_FEN, text);
    assert_string_equal(text, "100000000.00");
    for (int64_t fen = 0; fen < 200000; fen += 7) {
        int64_t back = -1;
        yuan_of_fen(fen, text);
        assert_true(yuan_to_fen(str_of(text), &back));
        assert_int_equal(back, fen);
    }
}

// --- Subject

static void subjects_are_cleaned_and_never_empty(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"Two cups", "Two cups"},
        {"", "Order"},
        {"///", "Order"},
        {" \t\n", "Order"},
        {"a/b=c&d", "a b c d"},
        {"/a//b/", "a b"},
        {"a\x01\x7f\xc2\x85z", "a z"},
        {"bad \xff\xc0\xaf bytes", "bad bytes"},
        {"cut \xe4\xb8", "cut"},
        {"两杯咖啡", "两杯咖啡"},
        {"\"quoted\" \\ 100% + #1", "\"quoted\" \\ 100% + #1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out = {0};
        alipay_subject(str_of(rows[i].in), ALIPAY_SUBJECT_MAX, &out);
        assert_text(buf_view(&out), rows[i].out);
        buf_free(&out);
    }
}

static void a_long_subject_is_cut_between_characters(void **state)
{
    (void)state;
    struct buf in = {0}, out = {0};
    buf_z(&in, "a");
    for (int i = 0; i < 200; i++)
        buf_z(&in, "两");
    alipay_subject(buf_view(&in), ALIPAY_SUBJECT_MAX, &out);
    assert_int_equal(out.n, 256); // 1 + 85 * 3
    struct str rest = buf_view(&out);
    for (size_t n; rest.n > 0; rest.p += n, rest.n -= n)
        assert_true((n = str_utf8_len(rest)) > 0);
    buf_clear(&in);
    buf_clear(&out);
    for (int i = 0; i < 200; i++)
        buf_z(&in, "两");
    alipay_subject(buf_view(&in), ALIPAY_SUBJECT_MAX, &out);
    assert_int_equal(out.n, 255); // the 86th would end at 258
    buf_free(&in);
    buf_free(&out);
}

// --- Canonical text

static void the_canonical_text_is_sorted_by_bytes_and_unescaped(void **state)
{
    (void)state;
    struct alipay_param p[] = {
        {STR("b"), STR("2 &=%+")}, {STR("a_b"), STR("x")},    {STR("aB"), STR("y")},
        {STR("a"), STR("")},       {STR("ab"), STR("\"z\"")},
    };
    struct buf out = {0};
    alipay_canonical(p, 5, &out);
    assert_text(buf_view(&out), "a=&aB=y&a_b=x&ab=\"z\"&b=2 &=%+");
    buf_free(&out);
}

// --- Requests

static void request_free(struct call_request *r)
{
    buf_free(&r->url);
    buf_free(&r->headers);
    buf_free(&r->body);
}

static void a_precreate_is_the_golden_one_to_the_byte(void **state)
{
    (void)state;
    struct call call = fixture_call(CALL_CREATE);
    struct call_request r = {0};
    assert_true(alipay_request(&fix.app, &call, STR("两杯/coffee"), NOW_MS, NOW_MS + 999, &r));
    assert_true(r.is_post);
    assert_text(buf_view(&r.url), GOLDEN_URL);
    assert_text(buf_view(&r.body), GOLDEN_BODY);
    assert_text(buf_view(&r.headers), "Content-Type: application/x-www-form-urlencoded;charset=utf-8\n");
    request_free(&r);
}

// Test-side decoding, on purpose not the one of the sources.
static void decode(struct str s, struct buf *out)
{
    for (size_t i = 0; i < s.n; i++) {
        char hex[3] = {0};
        if (s.p[i] != '%') {
            buf_char(out, s.p[i]);
            continue;
        }
        memcpy(hex, s.p + i + 1, 2);
        buf_char(out, (char)strtol(hex, NULL, 16));
        i += 2;
    }
}

// The value of a parameter of the query (or of the body), decoded, NUL-terminated.
static bool param(struct str query, const char *name, struct buf *out)
{
    buf_clear(out);
    while (query.n > 0) {
        const char *end = memchr(query.p, '&', query.n);
        size_t n = end ? (size_t)(end - query.p) : query.n, name_n = strlen(name);
        if (n > name_n && memcmp(query.p, name, name_n) == 0 && query.p[name_n] == '=') {
            decode((struct str){query.p + name_n + 1, n - name_n - 1}, out);
            buf_char(out, 0);
            return true;
        }
        query.p += end ? n + 1 : n;
        query.n -= end ? n + 1 : n;
    }
    return false;
}

static struct str query_of(const struct call_request *r)
{
    const char *q = memchr(r->url.p, '?', r->url.n);
    assert_non_null(q);
    return (struct str){q + 1, r->url.n - (size_t)(q + 1 - r->url.p)};
}

static void a_precreate_is_signed_as_alipays_sdk_signs_it(void **state)
{
    (void)state;
    struct call call = fixture_call(CALL_CREATE);
    struct call_request r = {0};
    struct buf sign = {0};
    assert_true(alipay_request(&fix.app, &call, STR("两杯/coffee"), NOW_MS, NOW_MS, &r));
    assert_true(param(query_of(&r), "sign", &sign));
    assert_string_equal(sign.p, SDK_PRECREATE_SIGN);
    assert_true(crypto_rsa2_verify(fix.app_public, STR(GOLDEN_CANONICAL), STR(SDK_PRECREATE_SIGN)));
    buf_free(&sign);
    request_free(&r);
}

static void each_method_carries_its_own_content(void **state)
{
    (void)state;
    static const struct {
        enum call_method method;
        const char *name, *content;
    } rows[] = {
        {CALL_QUERY, "alipay.trade.query", "{\"out_trade_no\":\"" PAYMENT_NO "\"}"},
        {CALL_CLOSE, "alipay.trade.close", "{\"out_trade_no\":\"" PAYMENT_NO "\"}"},
        {CALL_CANCEL, "alipay.trade.cancel", "{\"out_trade_no\":\"" PAYMENT_NO "\"}"},
        {CALL_REFUND, "alipay.trade.refund",
         "{\"out_trade_no\":\"" PAYMENT_NO "\",\"refund_amount\":\"5.00\",\"out_request_no\":\"" NUMBER_NO "\"}"},
        {CALL_REFUND_QUERY, "alipay.trade.fastpay.refund.query",
         "{\"out_trade_no\":\"" PAYMENT_NO "\",\"out_request_no\":\"" NUMBER_NO "\"}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct call call = fixture_call(rows[i].method);
        struct call_request r = {0};
        struct buf v = {0}, canonical = {0}, sign = {0};
        assert_true(alipay_request(&fix.app, &call, STR("ignored"), NOW_MS, NOW_MS, &r));
        assert_true(param(query_of(&r), "method", &v));
        assert_string_equal(v.p, rows[i].name);
        assert_true(param(buf_view(&r.body), "biz_content", &v));
        assert_string_equal(v.p, rows[i].content);
        assert_false(param(query_of(&r), "notify_url", &v));
        assert_false(param(query_of(&r), "biz_content", &v));
        buf_printf(&canonical,
                   "app_id=" APP_ID "&biz_content=%s&charset=utf-8&format=JSON&method=%s&sign_type=RSA2"
                   "&timestamp=2026-11-23 09:50:00&version=1.0",
                   rows[i].content, rows[i].name);
        assert_true(param(query_of(&r), "sign", &sign));
        assert_true(crypto_rsa2_verify(fix.app_public, buf_view(&canonical), str_of(sign.p)));
        buf_free(&v);
        buf_free(&canonical);
        buf_free(&sign);
        request_free(&r);
    }
}

static void the_codes_life_is_rounded_up_to_minutes_and_bounded(void **state)
{
    (void)state;
    static const struct {
        int64_t left_ms;
        const char *life;
    } rows[] = {
        {60000, "\"1m\""}, {60001, "\"2m\""},  {1, "\"1m\""},         {0, "\"1m\""},         {-5000, "\"1m\""},
        {59999, "\"1m\""}, {300000, "\"5m\""}, {7200000, "\"120m\""}, {7200001, "\"120m\""}, {86400000, "\"120m\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct call call = fixture_call(CALL_CREATE);
        struct call_request r = {0};
        struct buf v = {0};
        char want[64];
        (void)snprintf(want, sizeof want, "\"qr_code_timeout_express\":%s}", rows[i].life);
        assert_true(alipay_request(&fix.app, &call, STR("x"), call.expires_ms - rows[i].left_ms, NOW_MS, &r));
        assert_true(param(buf_view(&r.body), "biz_content", &v));
        assert_non_null(strstr(v.p, want));
        assert_non_null(strstr(v.p, "\"time_expire\":\"2026-11-23 10:05:00\""));
        buf_free(&v);
        request_free(&r);
    }
}

// An address for a phone's browser: everything is in the query, biz_content too, and signed together.
static void a_page_is_an_address_made_here(void **state)
{
    (void)state;
    struct call call = fixture_call(CALL_CREATE);
    struct call_request r = {0};
    struct buf v = {0}, canonical = {0};
    call.product = PRODUCT_WAP;
    assert_true(alipay_request(&fix.app, &call, STR("两杯/coffee + 100%"), NOW_MS, NOW_MS, &r));
    assert_true(r.is_local && !r.is_post && r.url.n == 0);
    assert_true(str_starts(buf_view(&r.body), STR(GATEWAY "?")));
    struct str query = {r.body.p + sizeof GATEWAY, r.body.n - sizeof GATEWAY};
    assert_null(memchr(query.p, '+', query.n)); // a plus would be read as a space
    assert_null(memchr(query.p, ' ', query.n));
    assert_true(param(query, "biz_content", &v));
    const char *content = "{\"out_trade_no\":\"" PAYMENT_NO "\",\"total_amount\":\"12.34\",\"subject\":"
                          "\"两杯 coffee + 100%\",\"time_expire\":\"2026-11-23 10:05:00\","
                          "\"product_code\":\"QUICK_WAP_WAY\"}";
    assert_string_equal(v.p, content);
    buf_printf(&canonical,
               "app_id=" APP_ID "&biz_content=%s&charset=utf-8&format=JSON&method=alipay.trade.wap.pay"
               "&notify_url=" NOTIFY_URL "&sign_type=RSA2&timestamp=2026-11-23 09:50:00&version=1.0",
               content);
    assert_true(param(query, "sign", &v));
    assert_true(crypto_rsa2_verify(fix.app_public, buf_view(&canonical), str_of(v.p)));
    buf_free(&v);
    buf_free(&canonical);
    request_free(&r);
}

static void certificates_are_named_and_signed_along(void **state)
{
    (void)state;
    struct alipay_app app = fix.app;
    struct call call = fixture_call(CALL_QUERY);
    struct call_request r = {0};
    struct buf v = {0};
    app.app_cert_sn = "aa11";
    app.root_cert_sn = "bb22_cc33";
    app.alipay_cert_sn = "dd44";
    assert_true(alipay_request(&app, &call, STR(""), NOW_MS, NOW_MS, &r));
    assert_true(param(query_of(&r), "app_cert_sn", &v));
    assert_string_equal(v.p, "aa11");
    assert_true(param(query_of(&r), "alipay_root_cert_sn", &v));
    assert_string_equal(v.p, "bb22_cc33");
    assert_true(param(query_of(&r), "sign", &v));
    static const char canonical[] =
        "alipay_root_cert_sn=bb22_cc33&app_cert_sn=aa11&app_id=" APP_ID "&biz_content={\"out_trade_no\":\"" PAYMENT_NO
        "\"}&charset=utf-8&format=JSON&method=alipay.trade.query&sign_type=RSA2&timestamp=2026-11-23 09:50:00"
        "&version=1.0";
    assert_true(crypto_rsa2_verify(fix.app_public, STR(canonical), str_of(v.p)));
    buf_free(&v);
    request_free(&r);
}

static void the_longest_pages_address_still_fits(void **state)
{
    (void)state;
    struct call call = fixture_call(CALL_CREATE);
    struct alipay_app app = fix.app;
    struct call_request r = {0};
    struct buf subject = {0};
    char gateway[256] = "https://", notify_url[256] = "https://"; // the longest that the configuration takes
    for (size_t i = 8; i < 255; i++)
        gateway[i] = notify_url[i] = i % 16 ? 'a' : '/';
    app.gateway = gateway;
    app.notify_url = notify_url;
    app.app_cert_sn = "0123456789abcdef0123456789abcdef";
    app.root_cert_sn = "0123456789abcdef0123456789abcdef_0123456789abcdef0123456789abcdef";
    call.product = PRODUCT_WAP;
    call.amount_fen = AMOUNT_MAX_FEN;
    for (int i = 0; i < 200; i++)
        buf_z(&subject, "两");
    assert_true(alipay_request(&app, &call, buf_view(&subject), NOW_MS, NOW_MS, &r));
    assert_true(r.body.n <= CHANNEL_CODE_MAX);
    buf_free(&subject);
    request_free(&r);
}

static void nothing_empty_is_ever_sent(void **state)
{
    (void)state;
    struct alipay_app app = fix.app;
    struct call call = fixture_call(CALL_CREATE);
    struct call_request r = {0};
    app.notify_url = "";
    app.gateway = "http://127.0.0.1/gateway.do?x=1";
    assert_true(alipay_request(&app, &call, STR(""), NOW_MS, NOW_MS, &r));
    buf_char(&r.url, 0);
    assert_null(strstr(r.url.p, "notify_url"));
    assert_null(strstr(r.url.p, "=&"));
    assert_true(strncmp(r.url.p, "http://127.0.0.1/gateway.do?x=1&app_id=", 39) == 0);
    struct buf v = {0};
    assert_true(param(buf_view(&r.body), "biz_content", &v));
    assert_null(strstr(v.p, "\"\""));
    buf_free(&v);
    request_free(&r);
}

static void nothing_to_ask_is_no_request(void **state)
{
    (void)state;
    struct call call = fixture_call(CALL_NONE);
    struct call_request r = {0};
    assert_false(alipay_request(&fix.app, &call, STR("x"), NOW_MS, NOW_MS, &r));
    request_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yuan_texts_are_read_exactly),
        cmocka_unit_test(yuan_texts_come_back_as_they_went),
        cmocka_unit_test(subjects_are_cleaned_and_never_empty),
        cmocka_unit_test(a_long_subject_is_cut_between_characters),
        cmocka_unit_test(the_canonical_text_is_sorted_by_bytes_and_unescaped),
        cmocka_unit_test(a_precreate_is_the_golden_one_to_the_byte),
        cmocka_unit_test(a_precreate_is_signed_as_alipays_sdk_signs_it),
        cmocka_unit_test(each_method_carries_its_own_content),
        cmocka_unit_test(the_codes_life_is_rounded_up_to_minutes_and_bounded),
        cmocka_unit_test(a_page_is_an_address_made_here),
        cmocka_unit_test(certificates_are_named_and_signed_along),
        cmocka_unit_test(the_longest_pages_address_still_fits),
        cmocka_unit_test(nothing_empty_is_ever_sent),
        cmocka_unit_test(nothing_to_ask_is_no_request),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
