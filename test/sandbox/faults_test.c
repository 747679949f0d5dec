// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

// The fault switches: what they do, and that the same seed and the same calls meet the same faults.

#include "sandbox/faults.h"

#define QUERY "alipay.trade.query"

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

static void faults(struct rig *r, const char *body)
{
    json_decref(rig_json(r, "PUT", "/wallet/faults", body, 200));
}

// What a call met, as one letter: . fine, 2 20000, S ACQ.SYSTEM_ERROR.
static char fate_of(struct rig *r, const char *method, const char *biz)
{
    json_t *o = rig_call(r, method, biz);
    const char *code = json_string_value(json_object_get(o, "code"));
    const char *sub = json_string_value(json_object_get(o, "sub_code"));
    char letter = strcmp(code, "20000") == 0 ? '2' : sub && strcmp(sub, "ACQ.SYSTEM_ERROR") == 0 ? 'S' : '.';
    json_decref(o);
    return letter;
}

static void run_queries(struct rig *r, char out[41])
{
    for (int i = 0; i < 40; i++)
        out[i] = fate_of(r, QUERY, "{\"out_trade_no\":\"x\"}");
    out[40] = 0;
}

static void the_same_seed_and_calls_meet_the_same_errors(void **state)
{
    struct rig *r = *state;
    char first[41], second[41], other[41];
    faults(r, "{\"gateway\":{\"error\":0.5},\"seed\":1}");
    run_queries(r, first);
    faults(r, "{\"gateway\":{\"error\":0.5},\"seed\":1}");
    run_queries(r, second);
    faults(r, "{\"gateway\":{\"error\":0.5},\"seed\":2}");
    run_queries(r, other);
    assert_string_equal(first, second);
    assert_string_not_equal(first, other);
    assert_non_null(strchr(first, '2'));
    assert_non_null(strchr(first, 'S'));
    assert_non_null(strchr(first, '.'));
}

static void half_of_the_errors_come_after_the_deed(void **state)
{
    struct rig *r = *state;
    unsigned done = 0;
    char number[16], code[128], biz[64];
    for (int i = 0; i < 40; i++) {
        (void)snprintf(number, sizeof number, "N%d", i);
        rig_precreate(r, number, "1.00", NULL, code);
        rig_scan(r, code);
    }
    faults(r, "{\"gateway\":{\"error\":1}}");
    for (int i = 0; i < 40; i++) {
        (void)snprintf(biz, sizeof biz, "{\"out_trade_no\":\"N%d\"}", i);
        assert_int_not_equal(fate_of(r, "alipay.trade.close", biz), '.');
    }
    json_decref(rig_json(r, "DELETE", "/wallet/faults", NULL, 200));
    for (int i = 0; i < 40; i++) {
        (void)snprintf(biz, sizeof biz, "{\"out_trade_no\":\"N%d\"}", i);
        json_t *o = rig_call(r, QUERY, biz);
        done += strcmp(json_string_value(json_object_get(o, "trade_status")), "TRADE_CLOSED") == 0;
        json_decref(o);
    }
    assert_in_range(done, 8, 32);
}

static void an_unavailable_gateway_answers_503_in_html_and_does_nothing(void **state)
{
    struct rig *r = *state;
    struct buf answer = {0};
    faults(r, "{\"gateway\":{\"unavailable\":true}}");
    assert_int_equal(rig_http(r, "POST", "/gateway.do?method=alipay.trade.query", "", &answer), 503);
    assert_non_null(memmem(answer.p, answer.n, "<html>", 6));
    buf_free(&answer);
    json_decref(rig_json(r, "GET", "/wallet/ledger", NULL, 200)); // the wallet goes on
}

static void a_delay_is_waited_for(void **state)
{
    struct rig *r = *state;
    faults(r, "{\"gateway\":{\"delay_ms\":[120,150]}}");
    int64_t start_ms = clock_real_ms();
    expect(r, QUERY, "{\"out_trade_no\":\"x\"}", "40004", "ACQ.TRADE_NOT_EXIST");
    assert_in_range(clock_real_ms() - start_ms, 115, 2000);
}

struct client {
    unsigned port;
    long status;
    CURLcode result;
};

static size_t ignore(char *p, size_t size, size_t count, void *user)
{
    (void)p;
    (void)user;
    return size * count;
}

static void *ask_and_wait(void *arg)
{
    struct client *c = arg;
    char url[64];
    CURL *e = curl_easy_init();
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/gateway.do", c->port);
    curl_easy_setopt(e, CURLOPT_URL, url);
    curl_easy_setopt(e, CURLOPT_PROXY, "");
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_COPYPOSTFIELDS, "method=alipay.trade.query");
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, 400L);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, ignore);
    c->result = curl_easy_perform(e);
    curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &c->status);
    curl_easy_cleanup(e);
    return NULL;
}

static void a_call_that_times_out_gets_no_answer_and_holds_up_nobody(void **state)
{
    struct rig *r = *state;
    pthread_t thread;
    struct client c = {.port = r->port};
    faults(r, "{\"gateway\":{\"timeout\":1}}");
    assert_int_equal(pthread_create(&thread, NULL, ask_and_wait, &c), 0);
    usleep(100000);
    int64_t start_ms = clock_real_ms();
    json_decref(rig_json(r, "GET", "/wallet/ledger", NULL, 200));
    assert_true(clock_real_ms() - start_ms < 250);
    pthread_join(thread, NULL);
    assert_int_equal(c.result, CURLE_OPERATION_TIMEDOUT);
    assert_int_equal(c.status, 0);
}

static void a_sandbox_with_hanging_calls_stops_at_once(void **state)
{
    struct rig *r = *state;
    pthread_t thread;
    struct client c = {.port = r->port};
    faults(r, "{\"gateway\":{\"timeout\":1}}");
    assert_int_equal(pthread_create(&thread, NULL, ask_and_wait, &c), 0);
    usleep(100000);
    int64_t start_ms = clock_real_ms();
    rig_stop(r);
    assert_true(clock_real_ms() - start_ms < 3000);
    pthread_join(thread, NULL);
}

static void draws_have_the_asked_for_rates(void **state)
{
    (void)state;
    struct faults f = FAULTS_NONE;
    unsigned dropped = 0, error = 0, hangs = 0, executed = 0, lasted = 0;
    f.notify.drop = 0.5;
    f.gateway.error = 0.1;
    f.gateway.timeout = 0.05;
    f.notify.delay_ms[0] = 10;
    f.notify.delay_ms[1] = 20;
    for (uint64_t n = 0; n < 10000; n++) {
        struct notice_fate notice = faults_notice_draw(&f, n);
        struct gateway_fate gateway = faults_gateway_draw(&f, n);
        dropped += notice.dropped;
        error += gateway.error;
        hangs += gateway.hangs;
        executed += (gateway.error || gateway.hangs) && gateway.executes;
        assert_in_range(notice.delay_ms, 10, 20);
        lasted += notice.delay_ms == 20;
        assert_true(gateway.executes || gateway.error || gateway.hangs);
    }
    assert_in_range(dropped, 4700, 5300);
    assert_in_range(error, 850, 1150);
    assert_in_range(hangs, 400, 600);
    assert_in_range(executed, 550, 900);
    assert_in_range(lasted, 700, 1100);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_same_seed_and_calls_meet_the_same_errors),
        T(half_of_the_errors_come_after_the_deed),
        T(an_unavailable_gateway_answers_503_in_html_and_does_nothing),
        T(a_delay_is_waited_for),
        T(a_call_that_times_out_gets_no_answer_and_holds_up_nobody),
        T(a_sandbox_with_hanging_calls_stops_at_once),
        cmocka_unit_test(draws_have_the_asked_for_rates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
