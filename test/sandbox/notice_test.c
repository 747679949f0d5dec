// SPDX-License-Identifier: Apache-2.0
#include "base/timetext.h"
#include "fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

// Notifications: what they say, who signed them, when they come again.

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

static void pay_one(struct rig *r, const char *number)
{
    char code[128];
    rig_precreate(r, number, "88.80", ",\"body\":\"two cups\",\"passback_params\":\"a%3D1+2\"", code);
    rig_pay(r, code);
}

static void faults(struct rig *r, const char *body)
{
    json_decref(rig_json(r, "PUT", "/wallet/faults", body, 200));
}

static void expect_field(const struct post *p, const char *name, const char *value)
{
    const char *got = post_get(p, name);
    if (!got) fail_msg("%s is absent", name);
    assert_string_equal(got, value);
}

static void a_payment_is_told_with_all_its_fields_and_a_good_signature(void **state)
{
    struct rig *r = *state;
    static const char *const present[] = {"notify_time",    "notify_id",      "trade_no",
                                          "buyer_id",       "buyer_logon_id", "gmt_create",
                                          "fund_bill_list", "seller_email",   "gmt_payment"};
    pay_one(r, "N1");
    expect_posts(r, 1);
    const struct post *p = rig_post(r, 0);
    assert_true(post_is_genuine(r, p));
    expect_field(p, "notify_type", "trade_status_sync");
    expect_field(p, "trade_status", "TRADE_SUCCESS");
    expect_field(p, "out_trade_no", "N1");
    expect_field(p, "total_amount", "88.80");
    expect_field(p, "receipt_amount", "88.80");
    expect_field(p, "app_id", r->app_id);
    expect_field(p, "auth_app_id", r->app_id);
    expect_field(p, "seller_id", r->seller_id);
    expect_field(p, "subject", "Tea");
    expect_field(p, "body", "two cups");
    expect_field(p, "passback_params", "a%3D1+2");
    expect_field(p, "sign_type", "RSA2");
    for (size_t i = 0; i < sizeof present / sizeof present[0]; i++)
        assert_non_null(post_get(p, present[i]));
    for (unsigned i = 0; i < p->n; i++)
        assert_string_not_equal(p->fields[i].value, "");
    assert_null(post_get(p, "refund_fee"));
    assert_null(post_get(p, "gmt_close"));
}

static void closing_and_refunding_are_told_too(void **state)
{
    struct rig *r = *state;
    char code[128];
    rig_precreate(r, "C", "1.00", NULL, code);
    rig_scan(r, code);
    json_decref(rig_call(r, "alipay.trade.close", "{\"out_trade_no\":\"C\"}"));
    expect_posts(r, 1);
    expect_field(rig_post(r, 0), "trade_status", "TRADE_CLOSED");
    assert_null(post_get(rig_post(r, 0), "gmt_payment"));
    pay_one(r, "N1");
    expect_posts(r, 2);
    json_decref(rig_call(r, "alipay.trade.refund",
                         "{\"out_trade_no\":\"N1\",\"refund_amount\":\"8.80\",\"out_request_no\":\"r1\"}"));
    expect_posts(r, 3);
    expect_field(rig_post(r, 2), "trade_status", "TRADE_SUCCESS");
    expect_field(rig_post(r, 2), "refund_fee", "8.80");
    expect_field(rig_post(r, 2), "out_biz_no", "r1");
    json_decref(rig_call(r, "alipay.trade.refund",
                         "{\"out_trade_no\":\"N1\",\"refund_amount\":\"80\",\"out_request_no\":\"r2\"}"));
    expect_posts(r, 4);
    expect_field(rig_post(r, 3), "trade_status", "TRADE_CLOSED");
    expect_field(rig_post(r, 3), "refund_fee", "88.80");
    assert_non_null(post_get(rig_post(r, 3), "gmt_refund"));
    for (unsigned i = 0; i < 4; i++)
        assert_true(post_is_genuine(r, rig_post(r, i)));
}

static void an_unscanned_code_that_is_closed_or_dies_is_not_told(void **state)
{
    struct rig *r = *state;
    char code[128];
    rig_precreate(r, "N1", "1.00", NULL, code);
    json_decref(rig_call(r, "alipay.trade.close", "{\"out_trade_no\":\"N1\"}"));
    rig_advance(r, "3h");
    expect_posts(r, 0);
}

static void it_comes_again_on_schedule_until_it_is_given_up(void **state)
{
    struct rig *r = *state;
    static const char *const gaps[] = {"4m", "10m", "10m", "1h", "2h", "6h", "15h"};
    rig_reply(r, 200, "fail");
    pay_one(r, "N1");
    expect_posts(r, 3); // at once
    unsigned n = 3;
    for (size_t i = 0; i < sizeof gaps / sizeof gaps[0]; i++) {
        int64_t before = clock_now_ms(&r->clock), due = sandbox_next_due_ms(r->sandbox);
        int64_t gap_ms;
        assert_true(duration_parse(str_of(gaps[i]), &gap_ms));
        assert_in_range(due - before, gap_ms - 10000, gap_ms);
        rig_advance(r, gaps[i]);
        expect_posts(r, ++n);
    }
    assert_true(sandbox_next_due_ms(r->sandbox) == INT64_MAX);
    rig_advance(r, "15d");
    expect_posts(r, n);
    for (unsigned i = 1; i < n; i++) {
        assert_string_equal(post_get(rig_post(r, i), "notify_id"), post_get(rig_post(r, 0), "notify_id"));
        assert_true(post_is_genuine(r, rig_post(r, i)));
    }
    assert_string_not_equal(post_get(rig_post(r, n - 1), "notify_time"), post_get(rig_post(r, 0), "notify_time"));
}

static void time_that_jumps_over_many_retries_visits_each(void **state)
{
    struct rig *r = *state;
    rig_reply(r, 500, "success");
    pay_one(r, "N1");
    rig_advance(r, "30m"); // three at once, then after 4, 14 and 24 minutes
    expect_posts(r, 6);
    for (unsigned i = 3; i < 6; i++)
        assert_string_not_equal(post_get(rig_post(r, i), "notify_time"), post_get(rig_post(r, i - 1), "notify_time"));
    rig_reply(r, 200, "success");
    rig_advance(r, "1d");
    expect_posts(r, 7);
}

static void only_exactly_success_ends_it(void **state)
{
    struct rig *r = *state;
    static const struct {
        int status;
        const char *reply;
    } rows[] = {{200, "SUCCESS"},     {200, "success\n"}, {200, " success"},
                {200, "\"success\""}, {200, ""},          {201, "success"},
                {500, "success"},     {302, "success"},   {200, "successsuccesssuccesssuccess"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char number[16];
        (void)snprintf(number, sizeof number, "N%zu", i);
        rig_reply(r, rows[i].status, rows[i].reply);
        pay_one(r, number);
        expect_posts(r, (unsigned)(i + 1) * 3);
    }
}

static void a_merchant_who_is_away_is_told_later(void **state)
{
    struct rig *r = *state;
    struct ask a = {.method = "alipay.trade.precreate",
                    .biz = "{\"out_trade_no\":\"N1\",\"total_amount\":\"1\",\"subject\":\"x\"}",
                    .notify_url = "http://127.0.0.1:1/nobody"};
    json_t *o = rig_ask(r, &a, "alipay_trade_precreate_response");
    rig_pay(r, json_string_value(json_object_get(o, "qr_code")));
    json_decref(o);
    wait_idle(r);
    assert_in_range(sandbox_next_due_ms(r->sandbox) - clock_now_ms(&r->clock), 200000, 240000);
}

static void a_dropped_one_is_lost_with_all_its_retries(void **state)
{
    struct rig *r = *state;
    faults(r, "{\"notify\":{\"drop\":1}}");
    pay_one(r, "N1");
    rig_advance(r, "3d");
    expect_posts(r, 0);
    json_t *o = rig_call(r, "alipay.trade.query", "{\"out_trade_no\":\"N1\"}");
    expect_text(o, "trade_status", "TRADE_SUCCESS"); // who asks is told
    json_decref(o);
}

static void a_duplicated_one_comes_twice_under_one_id(void **state)
{
    struct rig *r = *state;
    faults(r, "{\"notify\":{\"duplicate\":1}}");
    pay_one(r, "N1");
    expect_posts(r, 2);
    assert_string_equal(post_get(rig_post(r, 0), "notify_id"), post_get(rig_post(r, 1), "notify_id"));
    assert_true(post_is_genuine(r, rig_post(r, 0)) && post_is_genuine(r, rig_post(r, 1)));
}

static void a_delayed_one_waits_in_business_time(void **state)
{
    struct rig *r = *state;
    faults(r, "{\"notify\":{\"delay_ms\":[60000,60000]}}");
    pay_one(r, "N1");
    expect_posts(r, 0);
    assert_in_range(sandbox_next_due_ms(r->sandbox) - clock_now_ms(&r->clock), 50000, 60000);
    rig_advance(r, "59s");
    rig_advance(r, "2s");
    expect_posts(r, 1);
}

static void a_forged_one_comes_besides_and_does_not_verify(void **state)
{
    struct rig *r = *state;
    faults(r, "{\"notify\":{\"forge\":true}}");
    rig_reply(r, 200, "fail");
    pay_one(r, "N1");
    expect_posts(r, 4); // the genuine one three times, the false one once
    unsigned n_false = 0;
    for (unsigned i = 0; i < 4; i++)
        n_false += !post_is_genuine(r, rig_post(r, i));
    assert_int_equal(n_false, 1);
}

static void a_clock_poked_from_outside_sends_what_became_due(void **state)
{
    struct rig *r = *state;
    faults(r, "{\"notify\":{\"delay_ms\":[60000,60000]}}");
    pay_one(r, "N1");
    wait_idle(r);
    atomic_fetch_add(&r->clock.offset_ms, 60000);
    sandbox_poke(r->sandbox);
    expect_posts(r, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_payment_is_told_with_all_its_fields_and_a_good_signature),
        T(closing_and_refunding_are_told_too),
        T(an_unscanned_code_that_is_closed_or_dies_is_not_told),
        T(it_comes_again_on_schedule_until_it_is_given_up),
        T(time_that_jumps_over_many_retries_visits_each),
        T(only_exactly_success_ends_it),
        T(a_merchant_who_is_away_is_told_later),
        T(a_dropped_one_is_lost_with_all_its_retries),
        T(a_duplicated_one_comes_twice_under_one_id),
        T(a_delayed_one_waits_in_business_time),
        T(a_forged_one_comes_besides_and_does_not_verify),
        T(a_clock_poked_from_outside_sends_what_became_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
