// SPDX-License-Identifier: Apache-2.0
// The channel as the engine sees it: opened from files, asked over a real socket, answering through the sink.
#include "answers.h"
#include "certs.h"
#include "channel/alipay.h"
#include "far_end.h"
#include "fixture.h"
#include "keys.h"
#include "port/clock.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct {
    char dir[64], app_private[96], app_public[96], alipay_public[96], bare[96], junk[96], app_cert[96], alipay_cert[96],
        root_cert[96];
} files;
static struct caller *caller;
static struct answers answers;
static char why[200];

static void file_write(char path[96], const char *name, const char *text)
{
    (void)snprintf(path, 96, "%.60s/%s", files.dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

// The same key as Alipay's tools write it: base64 without armour.
static void file_write_bare(char path[96], const char *name, const char *pem)
{
    struct buf bare = {0};
    const char *p = strchr(pem, '\n') + 1, *end = strstr(p, "-----END");
    for (; p < end; p++)
        if (*p != '\n') buf_char(&bare, *p);
    buf_char(&bare, 0);
    file_write(path, name, bare.p);
    buf_free(&bare);
}

static int setup(void **state)
{
    struct caller_options o = {2, 64, 16, 500};
    (void)snprintf(files.dir, sizeof files.dir, "/tmp/till-alipay-XXXXXX");
    if (!mkdtemp(files.dir)) return -1;
    file_write(files.app_private, "app_private.pem", APP_PRIVATE_PEM);
    file_write(files.app_public, "app_public.pem", APP_PUBLIC_PEM);
    file_write(files.alipay_public, "alipay_public.pem", ALIPAY_PUBLIC_PEM);
    file_write_bare(files.bare, "bare.txt", ALIPAY_PUBLIC_PEM);
    file_write(files.junk, "junk.pem", "no key at all");
    file_write(files.app_cert, "app_cert.pem", APP_CERT_PEM);
    file_write(files.alipay_cert, "alipay_cert.pem", ALIPAY_CERT_PEM);
    file_write(files.root_cert, "root_cert.pem", ROOT_CERT_PEM);
    answers_init(&answers);
    caller = caller_open(&o, why);
    return caller ? fixture_setup(state) : -1;
}

static int teardown(void **state)
{
    caller_free(caller);
    unlink(files.app_private);
    unlink(files.app_public);
    unlink(files.alipay_public);
    unlink(files.bare);
    unlink(files.junk);
    unlink(files.app_cert);
    unlink(files.alipay_cert);
    unlink(files.root_cert);
    rmdir(files.dir);
    return fixture_teardown(state);
}

static struct alipay_options good(void)
{
    return (struct alipay_options){.gateway = GATEWAY,
                                   .app_id = APP_ID,
                                   .private_key_file = files.app_private,
                                   .alipay_public_key_file = files.alipay_public,
                                   .seller_id = SELLER_ID,
                                   .notify_url = NOTIFY_URL};
}

static struct alipay_options good_with_certs(void)
{
    struct alipay_options o = good();
    o.alipay_public_key_file = "";
    o.app_cert_file = files.app_cert;
    o.alipay_cert_file = files.alipay_cert;
    o.root_cert_file = files.root_cert;
    return o;
}

static struct channel *open_with(const struct alipay_options *o)
{
    return alipay_open(o, caller, &answers.sink, fix.app.secret, why);
}

static void it_opens_with_good_options(void **state)
{
    (void)state;
    struct alipay_options o = good();
    struct channel *c = open_with(&o);
    assert_non_null(c);
    assert_string_equal(why, "");
    assert_int_equal(c->ops->id, CHANNEL_ALIPAY);
    assert_int_equal(c->ops->ok_status, 200);
    assert_string_equal(c->ops->reply_type, "text/plain");
    assert_string_equal(c->ops->ok_body, "success");
    assert_string_equal(c->ops->fail_body, "fail");
    c->ops->free(c);
    o.alipay_public_key_file = files.bare;
    o.seller_id = NULL;
    o.notify_url = NULL;
    c = open_with(&o);
    assert_non_null(c);
    c->ops->free(c);
}

static void it_says_which_option_is_wrong(void **state)
{
    (void)state;
    enum which { GATE, APP, PRIVATE, PUBLIC, SELLER, NOTIFY };
    static char long_url[600] = "https://";
    memset(long_url + 8, 'x', sizeof long_url - 9);
    const struct {
        enum which which;
        const char *value, *says;
    } rows[] = {
        {GATE, "", "alipay.gateway is missing"},
        {GATE, NULL, "alipay.gateway is missing"},
        {GATE, "ftp://x", "alipay.gateway must begin with https"},
        {GATE, "https://x y", "alipay.gateway must be visible ASCII"},
        {GATE, long_url, "alipay.gateway must be visible ASCII"},
        {APP, "", "alipay.app_id is missing"},
        {APP, "2021&x=\n", "alipay.app_id must be visible ASCII"},
        {PRIVATE, NULL, "alipay.private_key_file: "},
        {PRIVATE, "/nowhere/key.pem", "alipay.private_key_file: "},
        {PRIVATE, files.junk, "alipay.private_key_file: "},
        {PRIVATE, files.app_public, "alipay.private_key_file: "},
        {PUBLIC, NULL, "alipay.alipay_public_key_file: "},
        {PUBLIC, files.junk, "alipay.alipay_public_key_file: "},
        {PUBLIC, files.app_public, "holds the public half of your own application key"},
        {SELLER, "2088 0", "alipay.seller_id must be visible ASCII"},
        {NOTIFY, "shop.example/notify", "alipay.notify_url must begin with https"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct alipay_options o = good();
        switch (rows[i].which) {
        case GATE: o.gateway = rows[i].value; break;
        case APP: o.app_id = rows[i].value; break;
        case PRIVATE: o.private_key_file = rows[i].value; break;
        case PUBLIC: o.alipay_public_key_file = rows[i].value; break;
        case SELLER: o.seller_id = rows[i].value; break;
        case NOTIFY: o.notify_url = rows[i].value; break;
        }
        assert_null(open_with(&o));
        if (!strstr(why, rows[i].says)) fail_msg("row %zu says \"%s\"", i, why);
    }
}

static void it_says_which_certificate_is_wrong(void **state)
{
    (void)state;
    struct alipay_options o = good_with_certs();
    struct channel *c = open_with(&o);
    assert_non_null(c);
    c->ops->free(c);
    const struct {
        const char *app, *alipay, *root, *says;
    } rows[] = {
        {files.junk, files.alipay_cert, files.root_cert, "alipay.app_cert_file: expected a certificate"},
        {files.app_public, files.alipay_cert, files.root_cert, "alipay.app_cert_file: expected a certificate"},
        {"/nowhere/cert.pem", files.alipay_cert, files.root_cert, "alipay.app_cert_file: No such file"},
        {files.alipay_cert, files.alipay_cert, files.root_cert, "alipay.app_cert_file: it is of another key"},
        {files.app_cert, NULL, files.root_cert, "alipay.alipay_cert_file: "},
        {files.app_cert, files.alipay_public, files.root_cert, "alipay.alipay_cert_file: expected a certificate"},
        {files.app_cert, files.app_cert, files.root_cert, "alipay.alipay_cert_file holds the public half of your own"},
        {files.app_cert, files.alipay_cert, files.junk, "alipay.root_cert_file: expected root certificates"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        o.app_cert_file = rows[i].app;
        o.alipay_cert_file = rows[i].alipay;
        o.root_cert_file = rows[i].root;
        assert_null(open_with(&o));
        if (!strstr(why, rows[i].says)) fail_msg("row %zu says \"%s\"", i, why);
    }
}

static bool has_certs; // what open_at() opens with

static struct channel *open_at(struct far_end *f, const char *path)
{
    char gateway[64];
    struct alipay_options o = has_certs ? good_with_certs() : good();
    (void)snprintf(gateway, sizeof gateway, "http://127.0.0.1:%d%s", far_end_port(f), path);
    o.gateway = gateway;
    return open_with(&o);
}

static struct answer ask(const char *path, enum call_method method, const char *node_name, const char *node)
{
    struct buf expanded = {0}, body = {0};
    fixture_expand(node, &expanded);
    fixture_signed(node_name, buf_view(&expanded), &body);
    struct far_end *f = far_end_open(buf_view(&body));
    struct channel *c = open_at(f, path);
    struct call call = fixture_call(method);
    struct answer a = {0};
    answers_init(&answers);
    assert_non_null(c);
    assert_true(c->ops->submit(c, &call, STR("两杯咖啡"), call.expires_ms - 60000));
    assert_true(answers_wait(&answers, 1, 2000));
    c->ops->free(c);
    assert_int_equal(answers_for(&answers, PAYMENT_KEY, &a), 1);
    far_end_close(f);
    buf_free(&expanded);
    buf_free(&body);
    return a;
}

#define CODE_NODE                                                                                                      \
    "{\"code\":\"10000\",\"msg\":\"Success\",\"out_trade_no\":\"$N\",\"qr_code\":\"https:\\/\\/"                       \
    "qr.alipay.com\\/bax1\"}"

static void a_code_comes_over_the_wire(void **state)
{
    (void)state;
    struct answer a = ask("/ok", CALL_CREATE, "alipay_trade_precreate_response", CODE_NODE);
    assert_int_equal(a.outcome, OUTCOME_DONE);
    assert_int_equal(a.fact, FACT_CODE);
    assert_int_equal(a.channel, CHANNEL_ALIPAY);
    assert_string_equal(answers.code, "https://qr.alipay.com/bax1");
}

static void a_payment_comes_over_the_wire(void **state)
{
    (void)state;
    struct answer a = ask("/ok", CALL_QUERY, "alipay_trade_query_response",
                          "{\"code\":\"10000\",\"out_trade_no\":\"$N\",\"trade_status\":\"TRADE_SUCCESS\","
                          "\"total_amount\":\"12.34\",\"trade_no\":\"20261\"}");
    assert_int_equal(a.fact, FACT_PAID);
    assert_int_equal(a.captured_fen, 1234);
    assert_string_equal(a.provider_trade_no, "20261");
}

static void trouble_on_the_wire_is_unknown(void **state)
{
    (void)state;
    static const struct {
        const char *path, *detail;
    } rows[] = {
        {"/html", "http 502"}, {"/cut", "answer cut short"}, {"/silent", "timeout"}, {"/reset", "connection broken"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer a = ask(rows[i].path, CALL_CREATE, "alipay_trade_precreate_response", CODE_NODE);
        assert_int_equal(a.outcome, OUTCOME_UNKNOWN);
        assert_int_equal(a.fact, FACT_NONE);
        assert_string_equal(a.detail, rows[i].detail);
    }
}

static void certificates_answer_as_a_key_does(void **state)
{
    (void)state;
    has_certs = true;
    struct answer a = ask("/ok", CALL_CREATE, "alipay_trade_precreate_response", CODE_NODE);
    has_certs = false;
    assert_int_equal(a.fact, FACT_CODE);
}

static void notices_are_judged_with(const struct alipay_options *o)
{
    struct channel *c = open_with(o);
    assert_non_null(c);
    struct notice_form f = notice_form_paid();
    struct notice n;
    struct buf body = {0};
    notice_form_write(&f, false, &body);
    struct notice_in in = {.body = buf_view(&body)};
    assert_int_equal(c->ops->judge(c, &in, &n), NOTICE_GOOD);
    assert_int_equal(n.answer.fact, FACT_PAID);
    body.p[body.n / 2] ^= 1;
    assert_int_not_equal(c->ops->judge(c, &in, &n), NOTICE_GOOD);
    c->ops->free(c);
    buf_free(&body);
}

static void notices_are_judged_through_the_channel(void **state)
{
    (void)state;
    struct alipay_options o = good(), with_certs = good_with_certs();
    notices_are_judged_with(&o);
    notices_are_judged_with(&with_certs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_opens_with_good_options),         cmocka_unit_test(it_says_which_option_is_wrong),
        cmocka_unit_test(it_says_which_certificate_is_wrong), cmocka_unit_test(certificates_answer_as_a_key_does),
        cmocka_unit_test(a_code_comes_over_the_wire),         cmocka_unit_test(a_payment_comes_over_the_wire),
        cmocka_unit_test(trouble_on_the_wire_is_unknown),     cmocka_unit_test(notices_are_judged_through_the_channel),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
