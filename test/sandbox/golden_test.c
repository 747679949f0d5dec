// SPDX-License-Identifier: Apache-2.0
#include "../channel/keys.h"
#include "../channel/sdk_golden.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

// Requests as they left the providers' own SDKs: the sandbox takes each, and with one byte changed none. Its own tests
// over HTTP sign with the same code that verifies; these bytes were signed by others.

#include "sandbox/alipay_v3.c" // the file under test: what it signs is nobody else's business
#include "sandbox/alipay_wire.h"
#include "sandbox/wechat_wire.h"

static struct {
    struct crypto_key *app, *alipay;
} key;

static int setup(void **state)
{
    char why[160];
    (void)state;
    key.app = crypto_public_key_parse(STR(APP_PUBLIC_PEM), why);
    key.alipay = crypto_private_key_parse(STR(ALIPAY_PRIVATE_PEM), why);
    return key.app && key.alipay ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    crypto_key_free(key.app);
    crypto_key_free(key.alipay);
    return 0;
}

static bool gateway_takes(const char *query, struct str body)
{
    struct params p;
    char why[160];
    bool ok = params_read(&p, str_of(query), body, why) && params_verify(&p, key.app);
    params_free(&p);
    return ok;
}

static void alipays_gateway_takes_what_its_sdks_signed_and_only_that(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof SDK_ALIPAY_REQUESTS / sizeof SDK_ALIPAY_REQUESTS[0]; i++) {
        struct buf body = {0};
        buf_z(&body, SDK_ALIPAY_REQUESTS[i].body);
        assert_true(gateway_takes(SDK_ALIPAY_REQUESTS[i].query, buf_view(&body)));
        char *fen = memmem(body.p, body.n, "12.34", 5);
        assert_non_null(fen);
        fen[4] = '5';
        assert_false(gateway_takes(SDK_ALIPAY_REQUESTS[i].query, buf_view(&body)));
        buf_free(&body);
    }
}

static bool v3_takes(const char *authorization, struct str target, struct str app_auth_token, size_t i)
{
    struct v3_auth auth;
    struct buf text = {0};
    struct http_exchange x = {
        .method_text = str_of(SDK_V3_REQUESTS[i].method), .target = target, .body = str_of(SDK_V3_REQUESTS[i].body)};
    assert_true(auth_read(str_of(authorization), &auth));
    assert_true(str_eq(auth.app_id, STR("2021000000000001")));
    request_text(&auth, &x, app_auth_token, &text);
    bool ok = crypto_rsa2_verify(key.app, buf_view(&text), auth.sign);
    buf_free(&text);
    return ok;
}

static void alipays_v3_takes_what_its_sdks_signed_and_only_that(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof SDK_V3_REQUESTS / sizeof SDK_V3_REQUESTS[0]; i++) {
        struct str target = str_of(SDK_V3_REQUESTS[i].target), token = str_of(SDK_V3_REQUESTS[i].app_auth_token);
        const char *authorization = SDK_V3_REQUESTS[i].authorization;
        assert_true(v3_takes(authorization, target, token, i));
        struct str shorter = {target.p, target.n - 1};
        assert_false(v3_takes(authorization, shorter, token, i));
        assert_false(v3_takes(authorization, target, token.n ? STR("") : STR("another"), i));
        assert_false(v3_takes(SDK_V3_REQUESTS[i ? 0 : 1].authorization, target, token, i));
    }
}

static void a_v3_answer_is_signed_as_openssl_signs_it(void **state)
{
    (void)state;
    struct buf sign = {0};
    assert_true(answer_sign(key.alipay, SDK_V3_ANSWERS[0].timestamp, SDK_V3_ANSWERS[0].nonce,
                            str_of(SDK_V3_ANSWERS[0].body), &sign));
    assert_true(str_eq(buf_view(&sign), str_of(SDK_V3_ANSWERS[0].signature)));
    buf_free(&sign);
}

static bool wechat_takes(const char *method, struct str body, size_t i)
{
    struct wechat_auth auth;
    struct buf text = {0};
    struct http_exchange x = {
        .method_text = str_of(method), .target = str_of(SDK_WECHAT_REQUESTS[i].target), .body = body};
    assert_true(wechat_auth_read(str_of(SDK_WECHAT_REQUESTS[i].authorization), &auth));
    assert_true(str_eq(auth.mchid, STR("1900000001")));
    wechat_sign_text(&auth, &x, &text);
    bool ok = crypto_rsa2_verify(key.app, buf_view(&text), auth.signature);
    buf_free(&text);
    return ok;
}

static void wechat_pay_takes_what_its_sdk_signed_and_only_that(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof SDK_WECHAT_REQUESTS / sizeof SDK_WECHAT_REQUESTS[0]; i++) {
        struct buf body = {0};
        buf_z(&body, SDK_WECHAT_REQUESTS[i].body);
        assert_true(wechat_takes(SDK_WECHAT_REQUESTS[i].method, buf_view(&body), i));
        assert_false(wechat_takes("PUT", buf_view(&body), i));
        buf_char(&body, ' ');
        assert_false(wechat_takes(SDK_WECHAT_REQUESTS[i].method, buf_view(&body), i));
        buf_free(&body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alipays_gateway_takes_what_its_sdks_signed_and_only_that),
        cmocka_unit_test(alipays_v3_takes_what_its_sdks_signed_and_only_that),
        cmocka_unit_test(a_v3_answer_is_signed_as_openssl_signs_it),
        cmocka_unit_test(wechat_pay_takes_what_its_sdk_signed_and_only_that),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
