// SPDX-License-Identifier: Apache-2.0
// Addresses that Till's own channel makes, at the sandbox's cashier: both ends of alipay.trade.wap.pay in one test.
#include "channel/alipay_wire.h"
#include "fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define KEY UINT64_C(0x0c5a1b2c3d4e5f60)

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

struct page {
    struct buf address; // NUL-terminated
    char number[ID_TEXT_SIZE];
};

static struct page page_make(struct rig *r, uint64_t key, const char *subject, int64_t lives_ms)
{
    char gateway[64];
    struct page p = {0};
    struct call_request request = {0};
    int64_t now_ms = clock_now_ms(&r->clock);
    struct alipay_app app = {.gateway = gateway,
                             .app_id = r->app_id,
                             .seller_id = r->seller_id,
                             .notify_url = r->notify_url,
                             .app_key = r->app_key,
                             .alipay_key = r->alipay_key};
    struct call call = {.channel = CHANNEL_ALIPAY,
                        .method = CALL_CREATE,
                        .product = PRODUCT_WAP,
                        .payment_key = key,
                        .amount_fen = 8880,
                        .expires_ms = now_ms + lives_ms};
    (void)snprintf(gateway, sizeof gateway, "http://127.0.0.1:%u/gateway.do", r->port);
    assert_true(alipay_request(&app, &call, str_of(subject), now_ms, clock_real_ms(), &request));
    assert_true(request.is_local);
    p.address = request.body;
    buf_char(&p.address, 0);
    id_format(app.secret, "", key, p.number);
    return p;
}

// What a browser is shown.
static int look(struct rig *r, const struct page *p, struct buf *shown)
{
    const char *path = strstr(p->address.p, "/gateway.do");
    buf_clear(shown);
    int status = rig_http(r, "GET", path, NULL, shown);
    buf_char(shown, 0);
    return status;
}

static json_t *wallet(struct rig *r, const char *path, const struct page *p, int status)
{
    struct buf body = {0};
    buf_printf(&body, "{\"code\":\"%s\"}", p->address.p);
    buf_char(&body, 0);
    json_t *o = rig_json(r, "POST", path, body.p, status);
    buf_free(&body);
    return o;
}

static void ask(struct rig *r, const char *method, const struct page *p, const char *code, const char *sub_code)
{
    char biz[128];
    (void)snprintf(biz, sizeof biz, "{\"out_trade_no\":\"%s\"}", p->number);
    expect(r, method, biz, code, sub_code);
}

static void our_address_is_understood(void **state)
{
    struct rig *r = *state;
    struct page p = page_make(r, KEY, "绿茶 100% + 1 \"é\" <b>", 300000);
    struct buf shown = {0};
    assert_int_equal(look(r, &p, &shown), 200);
    assert_non_null(strstr(shown.p, "绿茶 100% + 1 &quot;é&quot; &lt;b&gt;"));
    assert_non_null(strstr(shown.p, "¥88.80"));
    assert_non_null(strstr(shown.p, p.number));
    json_t *o = wallet(r, "/wallet/scan", &p, 200);
    expect_text(o, "out_trade_no", p.number);
    expect_text(o, "state", "waiting");
    json_decref(o);
    ask(r, "alipay.trade.query", &p, "40004", "ACQ.TRADE_NOT_EXIST");
    o = wallet(r, "/wallet/pay", &p, 200);
    expect_text(o, "state", "paid");
    json_decref(o);
    ask(r, "alipay.trade.query", &p, "10000", NULL);
    expect_posts(r, 1);
    assert_string_equal(post_get(rig_post(r, 0), "out_trade_no"), p.number);
    assert_int_equal(look(r, &p, &shown), 200); // opened again it shows what became of it
    assert_non_null(strstr(shown.p, "Paid"));
    o = wallet(r, "/wallet/pay", &p, 409);
    expect_text(o, "reason", "already_paid");
    json_decref(o);
    buf_free(&shown);
    buf_free(&p.address);
}

static void it_dies_at_its_expiry(void **state)
{
    struct rig *r = *state;
    struct page p = page_make(r, KEY + 1, "x", 300000);
    struct buf shown = {0};
    assert_int_equal(look(r, &p, &shown), 200);
    rig_advance(r, "5m");
    assert_int_equal(look(r, &p, &shown), 409);
    assert_null(strstr(shown.p, "<form"));
    json_t *o = wallet(r, "/wallet/pay", &p, 409);
    expect_text(o, "reason", "expired");
    json_decref(o);
    ask(r, "alipay.trade.query", &p, "40004", "ACQ.TRADE_NOT_EXIST");
    buf_free(&shown);
    buf_free(&p.address);
}

// As with a code that nobody scanned: closing it proves nothing, unless the switch says that it does.
static void closing_an_unconfirmed_page_is_as_hostile_as_the_switch_says(void **state)
{
    struct rig *r = *state;
    struct page p = page_make(r, KEY + 2, "x", 300000), q = page_make(r, KEY + 3, "x", 300000);
    struct buf shown = {0};
    assert_int_equal(look(r, &p, &shown), 200);
    assert_int_equal(look(r, &q, &shown), 200);
    ask(r, "alipay.trade.close", &p, "40004", "ACQ.TRADE_NOT_EXIST");
    json_decref(wallet(r, "/wallet/pay", &p, 200));
    json_decref(rig_json(r, "PUT", "/wallet/faults", "{\"unscanned_close_kills_qr\":true}", 200));
    ask(r, "alipay.trade.close", &q, "40004", "ACQ.TRADE_NOT_EXIST");
    assert_int_equal(look(r, &q, &shown), 409);
    json_t *o = wallet(r, "/wallet/pay", &q, 409);
    expect_text(o, "reason", "closed_before_scan");
    json_decref(o);
    buf_free(&shown);
    buf_free(&p.address);
    buf_free(&q.address);
}

static void an_address_of_somebody_else_is_none(void **state)
{
    struct rig *r = *state;
    struct page p = page_make(r, KEY + 4, "x", 300000);
    struct buf shown = {0};
    char *amount = strstr(p.address.p, "88.80");
    assert_non_null(amount);
    amount[0] = '0';
    assert_int_equal(look(r, &p, &shown), 400);
    assert_non_null(strstr(shown.p, "isv.invalid-signature"));
    json_decref(wallet(r, "/wallet/scan", &p, 404));
    assert_int_equal(rig_http(r, "POST", "/cashier", "code=x&do=pay", &shown), 400);
    assert_int_equal(rig_http(r, "POST", "/cashier", "%", &shown), 400);
    assert_int_equal(rig_http(r, "GET", "/cashier", NULL, &shown), 405);
    char code[128], form[200];
    rig_precreate(r, "QR1", "1.00", NULL, code); // what a QR holds is no page
    (void)snprintf(form, sizeof form, "code=%s&do=pay", code);
    assert_int_equal(rig_http(r, "POST", "/cashier", form, &shown), 400);
    buf_free(&shown);
    buf_free(&p.address);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(our_address_is_understood, setup, teardown),
        cmocka_unit_test_setup_teardown(it_dies_at_its_expiry, setup, teardown),
        cmocka_unit_test_setup_teardown(closing_an_unconfirmed_page_is_as_hostile_as_the_switch_says, setup, teardown),
        cmocka_unit_test_setup_teardown(an_address_of_somebody_else_is_none, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
