// SPDX-License-Identifier: Apache-2.0
// The channel as the engine sees it: opened from files, asked over a real socket, answering through the sink; and how
// it comes by WeChat Pay's keys.
#include "answers.h"
#include "base/mono.h"
#include "channel/wechatpay.h"
#include "keys.h"
#include "port/clock.h"
#include "wechatpay_end.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CERT_A "7132D72A03E93CDDF8C03BBD1F37EEDF00000001"
#define CERT_B "7132D72A03E93CDDF8C03BBD1F37EEDF00000002"
#define CERT_Z "7132D72A03E93CDDF8C03BBD1F37EEDF000000FF"

static struct {
    char dir[64], merchant[96], merchant_public[96], platform[96], apiv3[96], short_key[96], secret[96], junk[96];
} files;
static struct caller *caller;
static struct answers answers;
static struct signer a, b, ended, stranger; // certificates; the last is nobody's
static struct wechatpay_end *end;
static char why[200];

static void file_write(char path[96], const char *name, const char *text)
{
    (void)snprintf(path, 96, "%.60s/%s", files.dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
    struct caller_options o = {2, 64, 16, 500};
    (void)snprintf(files.dir, sizeof files.dir, "/tmp/till-wechatpay-XXXXXX");
    if (!mkdtemp(files.dir)) return -1;
    file_write(files.merchant, "merchant.pem", APP_PRIVATE_PEM);
    file_write(files.merchant_public, "merchant_public.pem", APP_PUBLIC_PEM);
    file_write(files.platform, "platform.pem", ALIPAY_PUBLIC_PEM);
    file_write(files.apiv3, "apiv3_key", APIV3_KEY "\n");
    file_write(files.short_key, "short_key", "0123456789abcdef");
    file_write(files.secret, "app_secret", "s3cret\n");
    file_write(files.junk, "junk.pem", "no key at all");
    answers_init(&answers);
    a = signer_make(CERT_A, 300);
    b = signer_make(CERT_B, 900);
    ended = signer_make(CERT_Z, -1);
    stranger = signer_make(CERT_A, 300);
    caller = caller_open(&o, why);
    return caller ? wx_setup(state) : -1;
}

static int teardown(void **state)
{
    static char *const all[] = {files.merchant,  files.merchant_public, files.platform, files.apiv3,
                                files.short_key, files.secret,          files.junk};
    caller_free(caller);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        unlink(all[i]);
    rmdir(files.dir);
    signer_free(&a);
    signer_free(&b);
    signer_free(&ended);
    signer_free(&stranger);
    return wx_teardown(state);
}

static int each(void **state)
{
    (void)state;
    end = end_open();
    answers_init(&answers);
    return 0;
}

static int after_each(void **state)
{
    (void)state;
    end_close(end);
    return 0;
}

static char base_url[64];

// By certificates alone, fetched anew at once when there is a reason.
static struct wechatpay_options options(void)
{
    (void)snprintf(base_url, sizeof base_url, "http://127.0.0.1:%d", end_port(end));
    return (struct wechatpay_options){.base_url = base_url,
                                      .mchid = MCHID,
                                      .appid = APPID,
                                      .serial = SERIAL,
                                      .private_key_file = files.merchant,
                                      .apiv3_key_file = files.apiv3,
                                      .oauth_url = base_url,
                                      .app_secret_file = files.secret,
                                      .notify_url = NOTIFY_URL,
                                      .certificates_apart_ms = 1};
}

static struct wechatpay_options with_public_key(void)
{
    struct wechatpay_options o = options();
    o.platform_key_file = files.platform;
    o.platform_key_id = PUBLIC_ID;
    return o;
}

static struct channel *open_with(const struct wechatpay_options *o)
{
    return wechatpay_open(o, caller, &answers.sink, wx.app.secret, why);
}

#define PAID                                                                                                           \
    "{\"appid\":\"" APPID "\",\"mchid\":\"" MCHID "\",\"out_trade_no\":\"" PAYMENT_NO                                  \
    "\",\"trade_state\":\"SUCCESS\",\"transaction_id\":\"42000001\",\"amount\":{\"total\":1234,\"currency\":\"CNY\"}}"

// --- Notices, as the shell hands them over

struct headed {
    struct headers h;
    const char *twice; // a header that came twice reads as none
};

static struct str header(void *ctx, const char *name)
{
    const struct headed *in = ctx;
    if (in->twice && strcmp(name, in->twice) == 0) return (struct str){0};
    if (strcmp(name, "Wechatpay-Timestamp") == 0) return str_of(in->h.timestamp);
    if (strcmp(name, "Wechatpay-Nonce") == 0) return str_of(in->h.nonce);
    if (strcmp(name, "Wechatpay-Serial") == 0) return str_of(in->h.serial);
    return strcmp(name, "Wechatpay-Signature") == 0 ? buf_view(&in->h.signature) : (struct str){0};
}

static void notice_body(struct buf *body)
{
    buf_z(body, "{\"id\":\"EV-1\",\"event_type\":\"TRANSACTION.SUCCESS\",\"resource\":{\"algorithm\":"
                "\"AEAD_AES_256_GCM\",\"nonce\":\"fdasflkja484\",\"associated_data\":\"transaction\","
                "\"ciphertext\":\"");
    wx_seal(APIV3_KEY, "fdasflkja484", "transaction", STR(PAID), body);
    buf_z(body, "\"}}");
}

static enum notice_verdict notify(struct channel *c, const struct signer *by, const char *twice, struct notice *n)
{
    struct buf body = {0};
    notice_body(&body);
    struct headed in = {.h = headers_sign(by, clock_real_ms(), buf_view(&body)), .twice = twice};
    struct notice_in ni = {.body = buf_view(&body), .header = header, .header_ctx = &in};
    enum notice_verdict v = c->ops->judge(c, &ni, n);
    headers_free(&in.h);
    buf_free(&body);
    return v;
}

// Opened, and the certificates fetched with which `by` signs.
static struct channel *open_settled(const struct wechatpay_options *o, const struct signer *by)
{
    struct notice n;
    struct channel *c = open_with(o);
    assert_non_null(c);
    assert_true(end_wait(end, "/v3/certificates", 1));
    for (int i = 0; i < 1000 && notify(c, by, NULL, &n) != NOTICE_GOOD; i++)
        usleep(5000);
    assert_int_equal(notify(c, by, NULL, &n), NOTICE_GOOD);
    return c;
}

static struct answer ask(struct channel *c, enum call_method method)
{
    struct call call = wx_call(method);
    struct answer got = {0};
    unsigned n = answers_count(&answers);
    assert_true(c->ops->submit(c, &call, STR("两杯咖啡"), EXPIRES_MS - 60000));
    assert_true(answers_wait(&answers, n + 1, 2000));
    (void)answers_for(&answers, PAYMENT_KEY, &got);
    return got;
}

static struct answer ask_until(struct channel *c, enum outcome outcome)
{
    struct answer got = ask(c, CALL_QUERY);
    for (int i = 0; i < 50 && got.outcome != outcome; i++) {
        usleep(10000);
        got = ask(c, CALL_QUERY);
    }
    return got;
}

static void assert_answer(struct answer got, enum outcome outcome, const char *detail)
{
    if (got.outcome != outcome || strcmp(got.detail, detail) != 0)
        fail_msg("got %s \"%s\", want %s \"%s\"", outcome_name(got.outcome), got.detail, outcome_name(outcome), detail);
}

// --- Opening

static void it_opens_with_good_options(void **state)
{
    (void)state;
    struct wechatpay_options o = with_public_key();
    struct channel *c = open_with(&o);
    assert_non_null(c);
    assert_string_equal(why, "");
    assert_int_equal(c->ops->id, CHANNEL_WECHATPAY);
    assert_int_equal(c->ops->ok_status, 200);
    assert_int_equal(c->ops->refuse_status, 401);
    assert_int_equal(c->ops->fail_status, 500);
    assert_string_equal(c->ops->reply_type, "application/json");
    assert_non_null(strstr(c->ops->ok_body, "\"code\":\"SUCCESS\""));
    assert_non_null(strstr(c->ops->fail_body, "\"code\":\"FAIL\""));
    assert_true(wechatpay_has_oauth(c));
    c->ops->free(c);
    o = options();
    o.oauth_url = o.app_secret_file = o.notify_url = o.platform_key_file = NULL;
    c = open_with(&o);
    assert_non_null(c);
    assert_false(wechatpay_has_oauth(c));
    c->ops->free(c);
}

static void it_says_which_option_is_wrong(void **state)
{
    (void)state;
    static char long_url[300] = "https://", long_id[80];
    memset(long_url + 8, 'x', sizeof long_url - 9);
    memset(long_id, '1', sizeof long_id - 1);
    struct wechatpay_options o = with_public_key();
    const struct {
        const char **field;
        const char *value, *says;
    } rows[] = {
        {&o.base_url, "", "wechatpay.base_url is missing"},
        {&o.base_url, NULL, "wechatpay.base_url is missing"},
        {&o.base_url, "ftp://x", "wechatpay.base_url must be an https"},
        {&o.base_url, "https://x/", "wechatpay.base_url must be an https"},
        {&o.base_url, "https://x y", "wechatpay.base_url must be an https"},
        {&o.base_url, long_url, "wechatpay.base_url must be an https"},
        {&o.notify_url, "shop.example/notify", "wechatpay.notify_url must be an https"},
        {&o.oauth_url, "shop.example", "wechatpay.oauth_url must be an https"},
        {&o.mchid, "", "wechatpay.mchid is missing"},
        {&o.mchid, "19\"0", "wechatpay.mchid must be letters"},
        {&o.mchid, "19&x=1", "wechatpay.mchid must be letters"},
        {&o.mchid, long_id, "wechatpay.mchid must be letters"},
        {&o.appid, NULL, "wechatpay.appid is missing"},
        {&o.serial, NULL, "wechatpay.serial is missing"},
        {&o.serial, "12 34", "wechatpay.serial must be letters"},
        {&o.platform_key_id, "PUB KEY", "wechatpay.platform_key_id must be letters"},
        {&o.private_key_file, NULL, "wechatpay.private_key_file: "},
        {&o.private_key_file, files.junk, "wechatpay.private_key_file: "},
        {&o.private_key_file, files.merchant_public, "wechatpay.private_key_file: "},
        {&o.platform_key_file, NULL, "wechatpay.platform_key_file: "},
        {&o.platform_key_file, files.junk, "wechatpay.platform_key_file: "},
        {&o.platform_key_file, files.merchant_public, "holds the public half of your own key"},
        {&o.apiv3_key_file, NULL, "wechatpay.apiv3_key_file: "},
        {&o.apiv3_key_file, files.short_key, "wechatpay.apiv3_key_file: expected the APIv3 key, which has 32"},
        {&o.app_secret_file, "/nowhere/secret", "wechatpay.app_secret_file: "},
        {&o.app_secret_file, NULL, "wechatpay.app_secret_file: "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        o = with_public_key();
        *rows[i].field = rows[i].value;
        assert_null(open_with(&o));
        if (!strstr(why, rows[i].says)) fail_msg("row %zu says \"%s\"", i, why);
    }
}

// --- Calls over the wire

static void a_code_comes_over_the_wire(void **state)
{
    (void)state;
    char text[4096];
    struct wechatpay_options o = with_public_key();
    struct channel *c = open_with(&o);
    end_answer(end, 200, "{\"code_url\":\"weixin://wxpay/bizpayurl?pr=1\"}", &wx.platform, END_FINE);
    struct answer got = ask(c, CALL_CREATE);
    assert_answer(got, OUTCOME_DONE, "");
    assert_int_equal(got.fact, FACT_CODE);
    assert_int_equal(got.channel, CHANNEL_WECHATPAY);
    assert_string_equal(answers.code, "weixin://wxpay/bizpayurl?pr=1");
    end_last(end, "/v3/pay", text);
    assert_non_null(strstr(text, "POST /v3/pay/transactions/native HTTP/1.1\r\n"));
    assert_non_null(strstr(text, "\r\nUser-Agent: "));
    assert_non_null(strstr(text, "\r\nAccept: application/json\r\n"));
    c->ops->free(c);
}

static void a_closed_trade_is_answered_with_nothing_but_a_signature(void **state)
{
    (void)state;
    struct wechatpay_options o = with_public_key();
    struct channel *c = open_with(&o);
    end_answer(end, 204, "", &wx.platform, END_FINE);
    struct answer got = ask(c, CALL_CLOSE);
    assert_int_equal(got.fact, FACT_CLOSED);
    end_answer(end, 204, "", &wx.platform, END_UNSIGNED);
    assert_answer(ask(c, CALL_CLOSE), OUTCOME_UNKNOWN, "no signature");
    c->ops->free(c);
}

static void trouble_on_the_wire_is_unknown(void **state)
{
    (void)state;
    static const struct {
        enum end_fault fault;
        const char *detail;
    } rows[] = {{END_HTML, "http 502"},
                {END_SILENT, "timeout"},
                {END_UNSIGNED, "no signature"},
                {END_TAMPERED, "bad signature"}};
    struct wechatpay_options o = with_public_key();
    struct channel *c = open_with(&o);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        end_answer(end, 200, PAID, &wx.platform, rows[i].fault);
        assert_answer(ask(c, CALL_QUERY), OUTCOME_UNKNOWN, rows[i].detail);
    }
    c->ops->free(c);
}

// --- Keys

static void the_first_certificates_need_no_key(void **state)
{
    (void)state;
    const struct signer *certs[] = {&a};
    struct wechatpay_options o = options();
    end_certificates(end, certs, 1, &a, END_FINE);
    end_answer(end, 200, PAID, &a, END_FINE);
    struct channel *c = open_settled(&o, &a);
    struct answer got = ask(c, CALL_QUERY);
    assert_answer(got, OUTCOME_DONE, "SUCCESS");
    assert_int_equal(got.captured_fen, 1234);
    // and the next request says which key we hold
    char text[4096];
    end_last(end, "/v3/pay", text);
    assert_non_null(strstr(text, "\r\nWechatpay-Serial: " CERT_A "\r\n"));
    c->ops->free(c);
}

// Each way the first answer can fail to prove itself; then a good one is taken at the next call.
static void certificates_that_prove_nothing_are_not_taken(void **state)
{
    (void)state;
    const struct signer *certs[] = {&a};
    static const enum end_fault faults[] = {END_UNSIGNED, END_NOT_FOUND, END_HTML,       END_SILENT,
                                            END_TAMPERED, END_WRONG_KEY, END_MISLABELLED};
    const size_t n_faults = sizeof faults / sizeof faults[0];
    for (size_t i = 0; i <= n_faults; i++) {
        struct wechatpay_options o = options();
        unsigned before = end_count(end, "/v3/certificates");
        // the last: signed by somebody whose certificate is not among these, under the serial of one that is
        end_certificates(end, certs, 1, i < n_faults ? &a : &stranger, i < n_faults ? faults[i] : END_FINE);
        end_answer(end, 200, PAID, &a, END_FINE);
        struct channel *c = open_with(&o);
        assert_non_null(c);
        assert_true(end_wait(end, "/v3/certificates", before + 1));
        for (int k = 0; k < 2; k++)
            assert_answer(ask(c, CALL_QUERY), OUTCOME_UNKNOWN, "unknown serial");
        end_certificates(end, certs, 1, &a, END_FINE);
        assert_answer(ask_until(c, OUTCOME_DONE), OUTCOME_DONE, "SUCCESS");
        c->ops->free(c);
    }
}

static void certificates_may_be_signed_by_the_public_key(void **state)
{
    (void)state;
    const struct signer *certs[] = {&a};
    struct wechatpay_options o = with_public_key();
    end_certificates(end, certs, 1, &wx.platform, END_FINE);
    struct channel *c = open_settled(&o, &a);
    // both sign, as WeChat Pay likes
    end_answer(end, 200, PAID, &a, END_FINE);
    assert_answer(ask(c, CALL_QUERY), OUTCOME_DONE, "SUCCESS");
    end_answer(end, 200, PAID, &wx.platform, END_FINE);
    assert_answer(ask(c, CALL_QUERY), OUTCOME_DONE, "SUCCESS");
    // and a list that is empty takes none away
    unsigned before = end_count(end, "/v3/certificates");
    end_certificates(end, NULL, 0, &wx.platform, END_FINE);
    end_answer(end, 200, PAID, &b, END_FINE);
    assert_answer(ask(c, CALL_QUERY), OUTCOME_UNKNOWN, "unknown serial");
    assert_true(end_wait(end, "/v3/certificates", before + 1));
    usleep(50000);
    end_answer(end, 200, PAID, &a, END_FINE);
    assert_answer(ask(c, CALL_QUERY), OUTCOME_DONE, "SUCCESS");
    c->ops->free(c);
}

static void a_merchant_of_the_public_key_needs_no_certificates(void **state)
{
    (void)state;
    struct wechatpay_options o = with_public_key();
    o.certificates_apart_ms = 0;
    end_certificates(end, NULL, 0, NULL, END_NOT_FOUND);
    end_answer(end, 200, PAID, &wx.platform, END_FINE);
    struct channel *c = open_settled(&o, &wx.platform);
    for (int i = 0; i < 5; i++)
        assert_answer(ask(c, CALL_QUERY), OUTCOME_DONE, "SUCCESS");
    assert_int_equal(end_count(end, "/v3/certificates"), 1); // "none" is an answer
    c->ops->free(c);
}

// One certificate follows another: first the old one signs, then both are listed and either may, then the old goes.
static void certificates_rotate_without_a_gap(void **state)
{
    (void)state;
    const struct signer *old[] = {&a}, *both[] = {&a, &b}, *new[] = {&b};
    struct wechatpay_options o = options();
    end_certificates(end, old, 1, &a, END_FINE);
    end_answer(end, 200, PAID, &a, END_FINE);
    struct channel *c = open_settled(&o, &a);
    assert_answer(ask(c, CALL_QUERY), OUTCOME_DONE, "SUCCESS");
    unsigned before = end_count(end, "/v3/certificates");
    end_certificates(end, both, 2, &a, END_FINE);
    // a serial that is not known yet: this answer is unknown, and brings the certificate about
    end_answer(end, 200, PAID, &b, END_FINE);
    assert_answer(ask(c, CALL_QUERY), OUTCOME_UNKNOWN, "unknown serial");
    assert_answer(ask_until(c, OUTCOME_DONE), OUTCOME_DONE, "SUCCESS");
    assert_true(end_count(end, "/v3/certificates") > before);
    // in between both are good
    end_answer(end, 200, PAID, &a, END_FINE);
    assert_answer(ask(c, CALL_QUERY), OUTCOME_DONE, "SUCCESS");
    // an answer that is none, or lists nothing, takes no key away
    end_certificates(end, both, 2, &a, END_UNSIGNED);
    end_answer(end, 200, PAID, &stranger, END_FINE);
    assert_answer(ask(c, CALL_QUERY), OUTCOME_UNKNOWN, "bad signature");
    end_answer(end, 200, PAID, &ended, END_FINE);
    assert_answer(ask(c, CALL_QUERY), OUTCOME_UNKNOWN, "unknown serial");
    end_answer(end, 200, PAID, &b, END_FINE);
    assert_answer(ask(c, CALL_QUERY), OUTCOME_DONE, "SUCCESS");
    // the old one is no longer listed: what it signs is nothing any more
    end_certificates(end, new, 1, &b, END_FINE);
    end_answer(end, 200, PAID, &ended, END_FINE);
    before = end_count(end, "/v3/certificates");
    assert_answer(ask(c, CALL_QUERY), OUTCOME_UNKNOWN, "unknown serial");
    assert_true(end_wait(end, "/v3/certificates", before + 1));
    struct notice n;
    for (int i = 0; i < 1000 && notify(c, &a, NULL, &n) == NOTICE_GOOD; i++)
        usleep(5000);
    end_answer(end, 200, PAID, &a, END_FINE);
    assert_answer(ask(c, CALL_QUERY), OUTCOME_UNKNOWN, "unknown serial");
    end_answer(end, 200, PAID, &b, END_FINE);
    assert_answer(ask(c, CALL_QUERY), OUTCOME_DONE, "SUCCESS");
    c->ops->free(c);
}

static void a_certificate_that_has_ended_verifies_nothing(void **state)
{
    (void)state;
    const struct signer *certs[] = {&ended, &a};
    struct wechatpay_options o = options();
    end_certificates(end, certs, 2, &a, END_FINE);
    end_answer(end, 200, PAID, &ended, END_FINE);
    struct channel *c = open_settled(&o, &a);
    assert_answer(ask(c, CALL_QUERY), OUTCOME_UNKNOWN, "unknown serial");
    end_answer(end, 200, PAID, &a, END_FINE);
    assert_answer(ask(c, CALL_QUERY), OUTCOME_DONE, "SUCCESS");
    c->ops->free(c);
}

static void too_many_certificates_are_none(void **state)
{
    (void)state;
    const struct signer *certs[WECHATPAY_CERTS_MAX + 1];
    struct wechatpay_options o = options();
    for (size_t i = 0; i < WECHATPAY_CERTS_MAX + 1; i++)
        certs[i] = &a;
    end_certificates(end, certs, WECHATPAY_CERTS_MAX + 1, &a, END_FINE);
    end_answer(end, 200, PAID, &a, END_FINE);
    struct channel *c = open_with(&o);
    assert_true(end_wait(end, "/v3/certificates", 1));
    assert_answer(ask(c, CALL_QUERY), OUTCOME_UNKNOWN, "unknown serial");
    end_certificates(end, certs, WECHATPAY_CERTS_MAX, &a, END_FINE);
    assert_answer(ask_until(c, OUTCOME_DONE), OUTCOME_DONE, "SUCCESS");
    c->ops->free(c);
}

// A serial nobody knows, as strangers may send it all day, brings about one fetch and no more for a while.
static void unknown_serials_do_not_flood_wechat(void **state)
{
    (void)state;
    const struct signer *certs[] = {&a};
    struct wechatpay_options o = options();
    o.certificates_apart_ms = 60000;
    end_certificates(end, certs, 1, &a, END_FINE);
    end_answer(end, 200, PAID, &b, END_FINE);
    struct channel *c = open_settled(&o, &a);
    for (int i = 0; i < 10; i++)
        assert_answer(ask(c, CALL_QUERY), OUTCOME_UNKNOWN, "unknown serial");
    assert_int_equal(end_count(end, "/v3/certificates"), 1);
    c->ops->free(c);
}

static void certificates_are_fetched_anew_in_time(void **state)
{
    (void)state;
    const struct signer *certs[] = {&a};
    struct wechatpay_options o = options();
    o.certificates_apart_ms = 60000;
    o.certificates_every_ms = 500;
    end_certificates(end, certs, 1, &a, END_FINE);
    end_answer(end, 200, PAID, &a, END_FINE);
    int64_t opened_ms = mono_ms();
    struct channel *c = open_settled(&o, &a);
    (void)ask(c, CALL_QUERY);
    unsigned early = end_count(end, "/v3/certificates");
    if (mono_ms() - opened_ms < 500) assert_int_equal(early, 1); // not yet
    usleep(550000);
    (void)ask(c, CALL_QUERY);
    assert_true(end_wait(end, "/v3/certificates", early + 1));
    c->ops->free(c);
}

// --- Notices

static void notices_are_judged_through_the_channel(void **state)
{
    (void)state;
    static const char *const names[] = {"Wechatpay-Timestamp", "Wechatpay-Nonce", "Wechatpay-Serial",
                                        "Wechatpay-Signature"};
    struct notice n;
    struct wechatpay_options o = with_public_key();
    struct channel *c = open_with(&o);
    assert_int_equal(notify(c, &wx.platform, NULL, &n), NOTICE_GOOD);
    assert_int_equal(n.answer.fact, FACT_PAID);
    assert_int_equal(n.answer.payment_key, PAYMENT_KEY);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(notify(c, &wx.platform, names[i], &n), NOTICE_FORGED);
    c->ops->free(c);
}

// Fails closed: WeChat Pay sends it again, and by then the certificate is there.
static void a_notice_under_a_new_serial_is_taken_the_second_time(void **state)
{
    (void)state;
    struct notice n;
    const struct signer *old[] = {&a}, *both[] = {&a, &b};
    struct wechatpay_options o = options();
    end_certificates(end, old, 1, &a, END_FINE);
    struct channel *c = open_settled(&o, &a);
    assert_int_equal(notify(c, &a, NULL, &n), NOTICE_GOOD);
    end_certificates(end, both, 2, &a, END_FINE);
    assert_int_equal(notify(c, &b, NULL, &n), NOTICE_FORGED);
    assert_string_equal(n.why, "unknown serial");
    assert_true(end_wait(end, "/v3/certificates", 2));
    enum notice_verdict v = NOTICE_FORGED;
    for (int i = 0; i < 50 && v != NOTICE_GOOD; i++) {
        usleep(10000);
        v = notify(c, &b, NULL, &n);
    }
    assert_int_equal(v, NOTICE_GOOD);
    c->ops->free(c);
}

// --- Payment inside WeChat

struct asked {
    pthread_mutex_t lock;
    pthread_cond_t came;
    unsigned n;
    bool has_openid;
    char openid[130], why[64];
};

static void on_openid(void *ctx, const char *openid, const char *reason)
{
    struct asked *k = ctx;
    pthread_mutex_lock(&k->lock);
    k->n++;
    k->has_openid = openid != NULL;
    (void)snprintf(k->openid, sizeof k->openid, "%s", openid ? openid : "");
    (void)snprintf(k->why, sizeof k->why, "%s", reason);
    pthread_cond_signal(&k->came);
    pthread_mutex_unlock(&k->lock);
}

static void asked_wait(struct asked *k)
{
    pthread_mutex_lock(&k->lock);
    while (k->n == 0)
        pthread_cond_wait(&k->came, &k->lock);
    pthread_mutex_unlock(&k->lock);
}

#define ASKED                                                                                                          \
    {                                                                                                                  \
        .lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER                                            \
    }

static void a_code_becomes_an_openid(void **state)
{
    (void)state;
    char text[4096];
    struct asked got = ASKED, refused = ASKED;
    struct wechatpay_options o = with_public_key();
    struct channel *c = open_with(&o);
    end_oauth(end, "{\"access_token\":\"t\",\"expires_in\":7200,\"openid\":\"oUpF8uMuAJO\"}", END_FINE);
    assert_true(wechatpay_openid(c, STR("001code"), on_openid, &got));
    asked_wait(&got);
    assert_string_equal(got.openid, "oUpF8uMuAJO");
    assert_string_equal(got.why, "");
    end_last(end, "/sns/", text);
    assert_non_null(strstr(text, "GET /sns/oauth2/access_token?appid=" APPID
                                 "&secret=s3cret&code=001code&grant_type=authorization_code HTTP/1.1\r\n"));
    assert_null(strstr(text, "Authorization"));
    end_oauth(end, "{\"errcode\":40029,\"errmsg\":\"invalid code\"}", END_FINE);
    assert_true(wechatpay_openid(c, STR("001code"), on_openid, &refused));
    asked_wait(&refused);
    assert_false(refused.has_openid);
    assert_string_equal(refused.why, "errcode 40029");
    assert_false(wechatpay_openid(c, STR(""), on_openid, &refused));
    assert_int_equal(answers_count(&answers), 0); // none of it is the engine's
    c->ops->free(c);
    assert_int_equal(got.n + refused.n, 2);
}

static void an_exchange_that_hangs_slows_no_payment_and_ends(void **state)
{
    (void)state;
    static struct asked hung[16];
    struct wechatpay_options o = with_public_key();
    struct channel *c = open_with(&o);
    end_oauth(end, "{}", END_SILENT);
    end_answer(end, 200, PAID, &wx.platform, END_FINE);
    for (unsigned i = 0; i < 16; i++) {
        hung[i] = (struct asked)ASKED;
        assert_true(wechatpay_openid(c, STR("001code"), on_openid, &hung[i]));
    }
    struct answer got = ask(c, CALL_QUERY);
    assert_answer(got, OUTCOME_DONE, "SUCCESS"); // behind sixteen that hang it would have no place on the wire in time
    for (unsigned i = 0; i < 8; i++)
        asked_wait(&hung[i]);
    assert_string_equal(hung[0].why, "timeout");
    c->ops->free(c);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(hung[i].n, 1);
}

static void the_page_is_signed_now(void **state)
{
    (void)state;
    struct buf json = {0}, url = {0};
    struct json_fault fault;
    struct wechatpay_options o = with_public_key();
    struct channel *c = open_with(&o);
    assert_true(wechatpay_page(c, STR("wx2014"), &json));
    json_t *root = json_read_object(buf_view(&json), &fault);
    assert_non_null(root);
    struct buf text = {0};
    buf_printf(&text, "%s\n%s\n%s\n%s\n", json_string_value(json_object_get(root, "appId")),
               json_string_value(json_object_get(root, "timeStamp")),
               json_string_value(json_object_get(root, "nonceStr")),
               json_string_value(json_object_get(root, "package")));
    assert_true(crypto_rsa2_verify(wx.merchant_public, buf_view(&text), wechatpay_field(root, "paySign")));
    int64_t off_ms = clock_real_ms() - strtoll(json_string_value(json_object_get(root, "timeStamp")), NULL, 10) * 1000;
    assert_true(off_ms >= 0 && off_ms < 5000);
    assert_true(wechatpay_authorize_url(c, STR("https://x/"), STR("s"), &url));
    json_decref(root);
    buf_free(&text);
    buf_free(&json);
    buf_free(&url);
    c->ops->free(c);
}

#define test(name) cmocka_unit_test_setup_teardown(name, each, after_each)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(it_opens_with_good_options),
        test(it_says_which_option_is_wrong),
        test(a_code_comes_over_the_wire),
        test(a_closed_trade_is_answered_with_nothing_but_a_signature),
        test(trouble_on_the_wire_is_unknown),
        test(the_first_certificates_need_no_key),
        test(certificates_that_prove_nothing_are_not_taken),
        test(certificates_may_be_signed_by_the_public_key),
        test(a_merchant_of_the_public_key_needs_no_certificates),
        test(certificates_rotate_without_a_gap),
        test(a_certificate_that_has_ended_verifies_nothing),
        test(too_many_certificates_are_none),
        test(unknown_serials_do_not_flood_wechat),
        test(certificates_are_fetched_anew_in_time),
        test(notices_are_judged_through_the_channel),
        test(a_notice_under_a_new_serial_is_taken_the_second_time),
        test(a_code_becomes_an_openid),
        test(an_exchange_that_hangs_slows_no_payment_and_ends),
        test(the_page_is_signed_now),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
