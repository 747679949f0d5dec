// SPDX-License-Identifier: Apache-2.0
#include "base/timetext.h"
#include "fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

// The wallet's JSON, and /dev/clock.

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

static void a_code_is_scanned_then_paid_once(void **state)
{
    struct rig *r = *state;
    char code[128], body[256];
    rig_precreate(r, "N1", "88.80", NULL, code);
    (void)snprintf(body, sizeof body, "{\"code\":\"%s\",\"wallet\":\"alipay\"}", code);
    for (int i = 0; i < 2; i++) { // looking twice is the same as looking once
        json_t *o = rig_json(r, "POST", "/wallet/scan", body, 200);
        expect_text(o, "channel", "alipay");
        expect_text(o, "out_trade_no", "N1");
        expect_text(o, "subject", "Tea");
        expect_text(o, "state", "waiting");
        expect_int(o, "amount", 8880);
        json_decref(o);
    }
    json_t *o = rig_json(r, "POST", "/wallet/pay", body, 200);
    expect_text(o, "state", "paid");
    assert_true(json_is_string(json_object_get(o, "provider_trade_no")));
    json_decref(o);
    o = rig_json(r, "POST", "/wallet/pay", body, 409);
    expect_text(o, "code", "not_payable");
    expect_text(o, "reason", "already_paid");
    expect_int(o, "status", 409);
    json_decref(o);
    o = rig_json(r, "POST", "/wallet/scan", body, 200);
    expect_text(o, "state", "paid");
    json_decref(o);
}

static void a_scanned_trade_is_paid_by_its_number(void **state)
{
    struct rig *r = *state;
    char code[128];
    rig_precreate(r, "N1", "1.00", NULL, code);
    json_decref(rig_json(r, "POST", "/wallet/pay", "{\"out_trade_no\":\"N1\"}", 404)); // no trade yet
    rig_scan(r, code);
    json_t *o = rig_json(r, "POST", "/wallet/pay", "{\"out_trade_no\":\"N1\"}", 200);
    expect_text(o, "state", "paid");
    json_decref(o);
}

static void trades_are_listed_newest_first_and_paged(void **state)
{
    struct rig *r = *state;
    char code[128], number[16], path[64] = "/wallet/trades?limit=2";
    for (int i = 0; i < 5; i++) {
        (void)snprintf(number, sizeof number, "N%d", i);
        rig_precreate(r, number, "1.00", NULL, code);
        rig_scan(r, code);
    }
    rig_precreate(r, "unscanned", "1.00", NULL, code);
    for (int seen = 0; seen < 5;) {
        json_t *o = rig_json(r, "GET", path, NULL, 200);
        const json_t *data = json_object_get(o, "data");
        assert_int_equal(json_array_size(data), seen == 4 ? 1 : 2);
        for (size_t i = 0; i < json_array_size(data); i++, seen++) {
            (void)snprintf(number, sizeof number, "N%d", 4 - seen);
            expect_text(json_array_get(data, i), "out_trade_no", number);
        }
        assert_true(json_is_true(json_object_get(o, "has_more")) == (seen < 5));
        if (seen < 5)
            (void)snprintf(path, sizeof path, "/wallet/trades?limit=2&cursor=%s",
                           json_string_value(json_object_get(o, "next_cursor")));
        json_decref(o);
    }
    json_t *o = rig_json(r, "GET", "/wallet/trades/N3", NULL, 200);
    expect_text(o, "state", "waiting");
    json_decref(o);
    json_decref(rig_json(r, "GET", "/wallet/trades/unscanned", NULL, 404));
}

static void what_the_wallet_cannot_take_is_refused(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *method, *path, *body;
        int status;
        const char *code, *pointer;
    } rows[] = {
        {"POST", "/wallet/scan", "{\"code\":\"https://qr.alipay.com/none\"}", 404, "unknown_code", "/code"},
        {"POST", "/wallet/scan", "{\"code\":\"\"}", 404, "unknown_code", "/code"},
        {"POST", "/wallet/scan", "{\"cod\":\"x\"}", 400, "unknown_field", "/cod"},
        {"POST", "/wallet/scan", "{\"out_trade_no\":\"x\"}", 400, "unknown_field", "/out_trade_no"},
        {"POST", "/wallet/scan", "{}", 400, "missing_field", "/code"},
        {"POST", "/wallet/scan", "{\"code\":7}", 400, "wrong_type", "/code"},
        {"POST", "/wallet/scan", "{\"code\":\"x\",\"wallet\":\"cash\"}", 400, "out_of_range", "/wallet"},
        {"POST", "/wallet/scan", "{\"code\":\"x\",\"code\":\"y\"}", 400, "duplicate_key", NULL},
        {"POST", "/wallet/scan", "[]", 400, "invalid_json", NULL},
        {"POST", "/wallet/scan", "{\"code\":\"x\"} ", 404, "unknown_code", NULL},
        {"POST", "/wallet/scan", "{\"code\":\"x\"}x", 400, "invalid_json", NULL},
        {"POST", "/wallet/pay", "{\"code\":\"x\",\"out_trade_no\":\"y\"}", 400, "contradiction", "/out_trade_no"},
        {"POST", "/wallet/pay", "{\"out_trade_no\":\"nope\"}", 404, "unknown_trade", "/out_trade_no"},
        {"POST", "/wallet/pay", "{}", 400, "missing_field", "/code"},
        {"GET", "/wallet/pay", NULL, 405, "method_not_allowed", NULL},
        {"DELETE", "/wallet/ledger", NULL, 405, "method_not_allowed", NULL},
        {"GET", "/wallet/trades?limit=0", NULL, 400, "out_of_range", NULL},
        {"GET", "/wallet/trades?limit=201", NULL, 400, "out_of_range", NULL},
        {"GET", "/wallet/trades?cursor=x", NULL, 400, "bad_cursor", NULL},
        {"GET", "/wallet/trades/nope", NULL, 404, "unknown_trade", NULL},
        {"GET", "/wallet/none", NULL, 404, "not_found", NULL},
        {"PUT", "/gateway.do", "", 405, "method_not_allowed", NULL},
        {"PUT", "/wallet/faults", "{\"notify\":{\"drop\":1.5}}", 400, "out_of_range", "/notify/drop"},
        {"PUT", "/wallet/faults", "{\"notify\":{\"drop\":\"1\"}}", 400, "wrong_type", "/notify/drop"},
        {"PUT", "/wallet/faults", "{\"notify\":{\"dorp\":1}}", 400, "unknown_field", "/notify/dorp"},
        {"PUT", "/wallet/faults", "{\"gateway\":{\"delay_ms\":[5,1]}}", 400, "out_of_range", "/gateway/delay_ms"},
        {"PUT", "/wallet/faults", "{\"gateway\":{\"delay_ms\":[5]}}", 400, "wrong_type", "/gateway/delay_ms"},
        {"PUT", "/wallet/faults", "{\"gateway\":[]}", 400, "wrong_type", "/gateway"},
        {"PUT", "/wallet/faults", "{\"seed\":-1}", 400, "out_of_range", "/seed"},
        {"PUT", "/wallet/faults", "{\"speed\":1}", 400, "unknown_field", "/speed"},
        {"POST", "/dev/clock", "{}", 400, "missing_field", "/advance"},
        {"POST", "/dev/clock", "{\"advance\":\"-5m\"}", 400, "out_of_range", "/advance"},
        {"POST", "/dev/clock", "{\"advance\":\"99999d\"}", 400, "out_of_range", "/advance"},
        {"POST", "/dev/clock", "{\"advance\":5}", 400, "wrong_type", "/advance"},
        {"POST", "/dev/clock", "{\"advance\":\"1s\",\"x\":1}", 400, "unknown_field", "/x"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *o = rig_json(r, rows[i].method, rows[i].path, rows[i].body, rows[i].status);
        expect_text(o, "code", rows[i].code);
        if (rows[i].pointer) expect_text(o, "pointer", rows[i].pointer);
        json_decref(o);
    }
}

static void another_wallet_cannot_pay(void **state)
{
    struct rig *r = *state;
    char code[128], body[256];
    rig_precreate(r, "N1", "1.00", NULL, code);
    (void)snprintf(body, sizeof body, "{\"code\":\"%s\",\"wallet\":\"wechatpay\"}", code);
    json_t *o = rig_json(r, "POST", "/wallet/pay", body, 409);
    expect_text(o, "reason", "other_wallet");
    json_decref(o);
    json_decref(rig_json(r, "GET", "/wallet/trades/N1", NULL, 404)); // it did not even scan
}

static void the_ledger_counts_calls_and_money(void **state)
{
    struct rig *r = *state;
    char code[128];
    rig_precreate(r, "N1", "2.50", NULL, code);
    rig_pay(r, code);
    json_decref(rig_call(r, "alipay.trade.query", "{\"out_trade_no\":\"N1\"}"));
    json_t *o = rig_json(r, "GET", "/wallet/ledger", NULL, 200);
    expect_int(o, "captured", 250);
    expect_int(o, "refunded", 0);
    expect_int(o, "trades", 1);
    expect_int(o, "refunds", 0);
    expect_int(json_object_get(o, "calls"), "alipay", 2);
    expect_int(json_object_get(o, "calls"), "wechatpay", 0);
    json_decref(o);
}

static void faults_are_set_shown_and_cleared(void **state)
{
    struct rig *r = *state;
    json_t *set = rig_json(r, "PUT", "/wallet/faults",
                           "{\"notify\":{\"drop\":0.5,\"duplicate\":0.2,\"delay_ms\":[0,5000],\"forge\":true},"
                           "\"gateway\":{\"error\":0.1,\"timeout\":0.05,\"delay_ms\":[1,2],\"unavailable\":false},"
                           "\"unscanned_close_kills_qr\":true,\"seed\":7}",
                           200);
    json_t *got = rig_json(r, "GET", "/wallet/faults", NULL, 200);
    assert_true(json_equal(set, got));
    assert_true(json_number_value(json_object_get(json_object_get(got, "notify"), "drop")) == 0.5);
    expect_int(got, "seed", 7);
    json_decref(got);
    json_decref(rig_json(r, "DELETE", "/wallet/faults", NULL, 200));
    got = rig_json(r, "GET", "/wallet/faults", NULL, 200);
    expect_int(got, "seed", 1);
    assert_true(json_is_false(json_object_get(got, "unscanned_close_kills_qr")));
    json_decref(set);
    json_decref(got);
}

static void the_clock_is_shown_and_moved(void **state)
{
    struct rig *r = *state;
    json_t *o = rig_json(r, "GET", "/dev/clock", NULL, 200);
    int64_t before, after;
    assert_true(time_from_rfc3339(str_of(json_string_value(json_object_get(o, "now"))), &before));
    assert_null(json_object_get(o, "next_due"));
    assert_true(json_is_true(json_object_get(o, "idle")));
    json_decref(o);
    o = rig_json(r, "POST", "/dev/clock", "{\"advance\":\"2h\"}", 200);
    assert_true(json_is_true(json_object_get(o, "settled")));
    assert_true(time_from_rfc3339(str_of(json_string_value(json_object_get(o, "now"))), &after));
    assert_in_range(after - before, 7200000, 7205000);
    json_decref(o);
    char code[128];
    rig_precreate(r, "N1", "1.00", ",\"timeout_express\":\"5m\"", code);
    rig_scan(r, code);
    o = rig_json(r, "GET", "/dev/clock", NULL, 200);
    int64_t due;
    assert_true(time_from_rfc3339(str_of(json_string_value(json_object_get(o, "next_due"))), &due));
    assert_in_range(due - after, 300000, 305000);
    json_decref(o);
}

static void the_page_is_served(void **state)
{
    struct rig *r = *state;
    struct buf page = {0};
    assert_int_equal(rig_http(r, "GET", "/wallet", NULL, &page), 200);
    assert_non_null(memmem(page.p, page.n, "/wallet/scan", 12));
    assert_non_null(memmem(page.p, page.n, "\xe6\x89\xab", 3)); // in Chinese too
    buf_free(&page);
    assert_int_equal(rig_http(r, "GET", "/", NULL, &page), 302);
    buf_free(&page);
}

#define CUSTOMERS 4
#define VISITS    15

static void *shop(void *arg)
{
    struct rig mine = *(struct rig *)arg; // everything but the connection is only read
    char code[128], number[32];
    mine.easy = curl_easy_init();
    for (int i = 0; i < VISITS; i++) {
        (void)snprintf(number, sizeof number, "T%lx_%d", (unsigned long)pthread_self(), i);
        rig_precreate(&mine, number, "1.00", NULL, code);
        rig_scan(&mine, code);
        rig_pay(&mine, code);
    }
    curl_easy_cleanup(mine.easy);
    return NULL;
}

static void many_customers_at_once_are_all_booked_and_told(void **state)
{
    struct rig *r = *state;
    pthread_t threads[CUSTOMERS];
    for (int i = 0; i < CUSTOMERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, shop, r), 0);
    for (int i = 0; i < 200; i++) { // while somebody else looks at the clock
        (void)sandbox_idle(r->sandbox);
        (void)sandbox_next_due_ms(r->sandbox);
        sandbox_poke(r->sandbox);
        usleep(500);
    }
    for (int i = 0; i < CUSTOMERS; i++)
        pthread_join(threads[i], NULL);
    json_t *o = rig_json(r, "GET", "/wallet/ledger", NULL, 200);
    expect_int(o, "trades", CUSTOMERS * VISITS);
    expect_int(o, "captured", CUSTOMERS * VISITS * 100);
    json_decref(o);
    expect_posts(r, CUSTOMERS * VISITS);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_code_is_scanned_then_paid_once),
        T(a_scanned_trade_is_paid_by_its_number),
        T(trades_are_listed_newest_first_and_paged),
        T(what_the_wallet_cannot_take_is_refused),
        T(another_wallet_cannot_pay),
        T(the_ledger_counts_calls_and_money),
        T(faults_are_set_shown_and_cleared),
        T(the_clock_is_shown_and_moved),
        T(many_customers_at_once_are_all_booked_and_told),
        T(the_page_is_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
