// SPDX-License-Identifier: Apache-2.0
// How much one core signs, judges and verifies. Prints; asserts nothing.
#include "fixture.h"
#include <stdio.h>
#include <time.h>

#define ROUNDS 2000

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void print_rate(const char *what, double from_s)
{
    double took_s = now_s() - from_s;
    printf("%-28s %8.0f /s per core, %6.1f us each\n", what, ROUNDS / took_s, took_s / ROUNDS * 1e6);
}

static void requests(void)
{
    struct call call = fixture_call(CALL_CREATE);
    double from_s = now_s();
    for (int i = 0; i < ROUNDS; i++) {
        struct call_request r = {0};
        (void)alipay_request(&fix.app, &call, STR("两杯咖啡"), call.expires_ms - 900000, call.expires_ms, &r);
        buf_free(&r.url);
        buf_free(&r.headers);
        buf_free(&r.body);
    }
    print_rate("requests built and signed", from_s);
}

static void answers(void)
{
    struct call call = fixture_call(CALL_QUERY);
    struct buf node = {0}, body = {0}, text = {0};
    fixture_expand("{\"code\":\"10000\",\"msg\":\"Success\",\"out_trade_no\":\"$N\",\"trade_no\":\"20261123220014\","
                   "\"trade_status\":\"TRADE_SUCCESS\",\"total_amount\":\"12.34\",\"buyer_logon_id\":\"a***@b.c\"}",
                   &node);
    fixture_signed("alipay_trade_query_response", buf_view(&node), &body);
    struct call_reply reply = {.status = 200, .body = buf_view(&body)};
    double from_s = now_s();
    for (int i = 0; i < ROUNDS; i++) {
        struct answer a = {0};
        alipay_answer(&fix.app, &call, &reply, &a, &text);
    }
    print_rate("answers verified and judged", from_s);
    buf_free(&node);
    buf_free(&body);
    buf_free(&text);
}

static void notices(void)
{
    struct notice_form f = notice_form_paid();
    struct buf body = {0};
    struct notice n;
    notice_form_write(&f, false, &body);
    double from_s = now_s();
    for (int i = 0; i < ROUNDS; i++)
        (void)alipay_notice(&fix.app, buf_view(&body), &n);
    print_rate("notices verified and judged", from_s);
    buf_clear(&body);
    notice_form_set(&f, "sign", "AAAA");
    notice_form_set(&f, "sign_type", "RSA2");
    notice_form_encode(&f, &body);
    from_s = now_s();
    for (int i = 0; i < ROUNDS; i++)
        (void)alipay_notice(&fix.app, buf_view(&body), &n);
    print_rate("forged notices turned away", from_s);
    buf_free(&body);
}

int main(void)
{
    if (fixture_setup(NULL) != 0) return 1;
    requests();
    answers();
    notices();
    return fixture_teardown(NULL);
}
