// SPDX-License-Identifier: Apache-2.0
#include "sdk_golden.h"
#include "wechatpay_fixture.h"
#include "wechatpay_golden.h"
#include <stdio.h>
#include <stdlib.h>

#define ASSOCIATED "transaction"
#define NONCE      "fdasflkja484"

static const char *const VERDICTS[] = {"good", "strange", "malformed", "forged", "foreign"};
static enum seal_word word;

static enum notice_verdict judge(const struct headers *h, struct str body, int64_t real_ms, struct notice *out)
{
    struct wechatpay_seal seal = {.timestamp = str_of(h->timestamp),
                                  .nonce = str_of(h->nonce),
                                  .serial = str_of(h->serial),
                                  .signature = buf_view(&h->signature)};
    // A block of its own size, so that reading beyond the end is seen by the sanitizer.
    char *exact = body.n ? memcpy(test_malloc(body.n), body.p, body.n) : NULL;
    enum notice_verdict v = wechatpay_notice(&wx.app, &seal, (struct str){exact, body.n}, real_ms, out, &word);
    if (exact) test_free(exact);
    return v;
}

static enum notice_verdict judge_signed(struct str body, struct notice *out)
{
    struct headers h = headers_sign(&wx.platform, REAL_MS, body);
    enum notice_verdict v = judge(&h, body, REAL_MS, out);
    headers_free(&h);
    return v;
}

static void assert_verdict(enum notice_verdict v, const struct notice *n, enum notice_verdict want, const char *why)
{
    if (v != want || strcmp(n->why, why) != 0)
        fail_msg("got %s \"%s\", want %s \"%s\"", VERDICTS[v], n->why, VERDICTS[want], why);
    if (v != NOTICE_GOOD) {
        assert_int_equal(n->answer.fact, FACT_NONE);
        if (want != NOTICE_STRANGE) assert_int_equal(n->answer.captured_fen, 0);
        assert_int_equal(n->answer.payment_key, 0);
    }
}

// --- Making one

struct wrapping {
    const char *event_type, *algorithm, *key, *nonce, *associated; // NULL: as it should be
};

static void wrap(const struct wrapping *w, struct str plain, struct buf *body)
{
    const char *nonce = w->nonce ? w->nonce : NONCE, *associated = w->associated ? w->associated : ASSOCIATED;
    json_open(body, '{');
    json_kz(body, "id", "EV-1");
    json_kz(body, "create_time", "2026-11-23T09:49:59+08:00");
    json_kz(body, "event_type", w->event_type ? w->event_type : "TRANSACTION.SUCCESS");
    json_kz(body, "resource_type", "encrypt-resource");
    json_key(body, "resource");
    json_open(body, '{');
    json_kz(body, "algorithm", w->algorithm ? w->algorithm : "AEAD_AES_256_GCM");
    json_key(body, "ciphertext");
    buf_char(body, '"');
    wx_seal(w->key ? w->key : APIV3_KEY, nonce, associated, plain, body);
    buf_char(body, '"');
    json_kz(body, "nonce", nonce);
    json_kz(body, "associated_data", associated);
    json_close(body, '}');
    json_close(body, '}');
}

static enum notice_verdict judge_plain(const char *plain, struct notice *n)
{
    static const struct wrapping good = {0};
    struct buf body = {0};
    wrap(&good, str_of(plain), &body);
    enum notice_verdict v = judge_signed(buf_view(&body), n);
    buf_free(&body);
    return v;
}

// The golden payment with one member's text replaced; NULL: the member is taken out.
static void payment_with(const char *member, const char *value, struct buf *out)
{
    json_error_t error;
    json_t *root = json_loads(GOLDEN_PAYMENT, 0, &error), *in = root;
    if (strncmp(member, "amount.", 7) == 0) {
        in = json_object_get(root, "amount");
        member += 7;
    }
    if (value)
        assert_int_equal(json_object_set_new(in, member, json_loads(value, JSON_DECODE_ANY, &error)), 0);
    else
        assert_int_equal(json_object_del(in, member), 0);
    char *text = json_dumps(root, JSON_COMPACT);
    buf_z(out, text);
    buf_char(out, 0);
    free(text);
    json_decref(root);
}

// --- Good ones

static void what_wechat_pays_sdk_sealed_and_signed_is_taken_and_only_that(void **state)
{
    (void)state;
    struct notice n;
    struct headers h = {.serial = PUBLIC_ID, .nonce = SDK_WECHAT_MESSAGES[2].nonce};
    struct buf body = {0};
    int64_t at_ms = strtoll(SDK_WECHAT_MESSAGES[2].timestamp, NULL, 10) * 1000;
    (void)snprintf(h.timestamp, sizeof h.timestamp, "%s", SDK_WECHAT_MESSAGES[2].timestamp);
    buf_z(&h.signature, SDK_WECHAT_MESSAGES[2].signature);
    buf_z(&body, SDK_WECHAT_MESSAGES[2].body);
    assert_verdict(judge(&h, buf_view(&body), at_ms, &n), &n, NOTICE_GOOD, "");
    assert_int_equal(n.answer.fact, FACT_PAID);
    assert_int_equal(n.answer.captured_fen, 1234);
    assert_string_equal(n.number, PAYMENT_NO);
    buf_char(&body, ' ');
    assert_verdict(judge(&h, buf_view(&body), at_ms, &n), &n, NOTICE_FORGED, "bad signature");
    headers_free(&h);
    buf_free(&body);
}

static void a_notice_as_documented_is_a_payment(void **state)
{
    (void)state;
    struct notice n;
    struct headers h = headers_sign(&wx.platform, REAL_MS, STR(GOLDEN_NOTICE));
    assert_true(str_eq(buf_view(&h.signature), str_of(GOLDEN_NOTICE_SIGNATURE)));
    assert_verdict(judge(&h, STR(GOLDEN_NOTICE), REAL_MS, &n), &n, NOTICE_GOOD, "");
    assert_int_equal(word, SEAL_GOOD);
    assert_int_equal(n.answer.payment_key, PAYMENT_KEY);
    assert_int_equal(n.answer.channel, CHANNEL_WECHATPAY);
    assert_int_equal(n.answer.method, CALL_NONE);
    assert_int_equal(n.answer.outcome, OUTCOME_DONE);
    assert_int_equal(n.answer.fact, FACT_PAID);
    assert_int_equal(n.answer.captured_fen, 1234); // not what the payer paid after his coupon
    assert_string_equal(n.answer.provider_trade_no, "4200000000202611230000000001");
    assert_string_equal(n.answer.detail, "TRANSACTION.SUCCESS");
    assert_string_equal(n.number, PAYMENT_NO);
    assert_false(n.answer.of_refund);
    headers_free(&h);
}

static void refund_notices_are_hints(void **state)
{
    (void)state;
    static const char *const types[] = {"REFUND.SUCCESS", "REFUND.ABNORMAL", "REFUND.CLOSED", "SOMETHING.NEW"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct buf body = {0};
        struct notice n;
        struct wrapping w = {.event_type = types[i], .associated = "refund"};
        wrap(&w,
             STR("{\"mchid\":\"" MCHID "\",\"out_trade_no\":\"" PAYMENT_NO "\",\"transaction_id\":\"42\","
                 "\"out_refund_no\":\"" NUMBER_NO "\",\"refund_id\":\"50\",\"refund_status\":\"SUCCESS\","
                 "\"amount\":{\"total\":1234,\"refund\":500,\"payer_total\":1234,\"payer_refund\":500}}"),
             &body);
        assert_verdict(judge_signed(buf_view(&body), &n), &n, NOTICE_GOOD, "");
        assert_int_equal(n.answer.fact, FACT_NONE);
        assert_int_equal(n.answer.captured_fen, 0);
        assert_int_equal(n.answer.payment_key, PAYMENT_KEY);
        assert_string_equal(n.answer.detail, types[i]);
        assert_int_equal(n.answer.of_refund, i < 3);
        buf_free(&body);
    }
}

static void without_associated_data_it_opens_too(void **state)
{
    (void)state;
    struct wrapping w = {.associated = ""};
    struct buf body = {0};
    struct notice n;
    wrap(&w, STR(GOLDEN_PAYMENT), &body);
    assert_verdict(judge_signed(buf_view(&body), &n), &n, NOTICE_GOOD, "");
    buf_free(&body);
}

// --- One thing wrong in turn

static void one_member_wrong_in_turn(void **state)
{
    (void)state;
    static const struct {
        const char *member, *value;
        enum notice_verdict verdict;
        const char *why;
    } rows[] = {
        {"mchid", "\"1900000002\"", NOTICE_FOREIGN, "another mchid"},
        {"mchid", NULL, NOTICE_FOREIGN, "another mchid"},
        {"mchid", "1900000001", NOTICE_FOREIGN, "another mchid"},
        {"appid", "\"wx0\"", NOTICE_FOREIGN, "another appid"},
        {"appid", NULL, NOTICE_FOREIGN, "another appid"},
        {"appid", "null", NOTICE_FOREIGN, "another appid"},
        {"out_trade_no", NULL, NOTICE_MALFORMED, "no out_trade_no"},
        {"out_trade_no", "\"\"", NOTICE_MALFORMED, "no out_trade_no"},
        {"out_trade_no", "7", NOTICE_MALFORMED, "no out_trade_no"},
        {"out_trade_no", "\"20261123000001\"", NOTICE_STRANGE, "out_trade_no is none of ours"},
        {"out_trade_no", "\"0rpgv5gymwqv0kj329159139epk9d\"", NOTICE_STRANGE, "out_trade_no is none of ours"},
        {"trade_state", "\"NOTPAY\"", NOTICE_MALFORMED, "strange trade_state"},
        {"trade_state", "\"CLOSED\"", NOTICE_MALFORMED, "strange trade_state"},
        {"trade_state", NULL, NOTICE_MALFORMED, "strange trade_state"},
        {"amount", NULL, NOTICE_MALFORMED, "bad amount"},
        {"amount", "1234", NOTICE_MALFORMED, "bad amount"},
        {"amount.total", NULL, NOTICE_MALFORMED, "bad amount"},
        {"amount.total", "0", NOTICE_MALFORMED, "bad amount"},
        {"amount.total", "-1234", NOTICE_MALFORMED, "bad amount"},
        {"amount.total", "12.34", NOTICE_MALFORMED, "bad amount"},
        {"amount.total", "\"1234\"", NOTICE_MALFORMED, "bad amount"},
        {"amount.total", "10000000001", NOTICE_MALFORMED, "bad amount"},
        {"amount.currency", "\"USD\"", NOTICE_MALFORMED, "bad amount"},
        {"amount.currency", "156", NOTICE_MALFORMED, "bad amount"},
        {"amount.currency", NULL, NOTICE_GOOD, ""},
        {"amount.payer_total", NULL, NOTICE_GOOD, ""},
        {"trade_state", "\"REFUND\"", NOTICE_GOOD, ""}, // told again after a refund: it was paid
        {"transaction_id", NULL, NOTICE_GOOD, ""},
        {"something_new", "{\"a\":[1]}", NOTICE_GOOD, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf plain = {0};
        struct notice n;
        payment_with(rows[i].member, rows[i].value, &plain);
        assert_verdict(judge_plain(plain.p, &n), &n, rows[i].verdict, rows[i].why);
        if (rows[i].verdict == NOTICE_GOOD) assert_int_equal(n.answer.captured_fen, 1234);
        buf_free(&plain);
    }
}

static void another_amount_is_told_as_it_is(void **state)
{
    (void)state;
    struct buf plain = {0};
    struct notice n;
    payment_with("amount.total", "1", &plain);
    assert_verdict(judge_plain(plain.p, &n), &n, NOTICE_GOOD, "");
    assert_int_equal(n.answer.captured_fen, 1);
    buf_free(&plain);
}

static void a_strange_number_is_kept_for_the_case(void **state)
{
    (void)state;
    struct buf plain = {0};
    struct notice n;
    payment_with("out_trade_no", "\"line\\nbreak \\\"and\\\" quotes\"", &plain);
    assert_verdict(judge_plain(plain.p, &n), &n, NOTICE_STRANGE, "out_trade_no is none of ours");
    assert_string_equal(n.number, "line?break?\"and\"?quotes");
    assert_int_equal(n.answer.captured_fen, 1234);
    assert_string_equal(n.answer.provider_trade_no, "4200000000202611230000000001");
    buf_free(&plain);
}

static void what_is_inside_must_be_an_object(void **state)
{
    (void)state;
    static const char *const plains[] = {"", "[]", "x", "{\"mchid\":\"" MCHID "\"", "{\"a\":1,\"a\":2}"};
    for (size_t i = 0; i < sizeof plains / sizeof plains[0]; i++) {
        struct notice n;
        assert_int_equal(judge_plain(plains[i], &n), NOTICE_MALFORMED);
        assert_int_equal(n.answer.fact, FACT_NONE);
    }
}

static void the_wrapping_must_be_right(void **state)
{
    (void)state;
    static const char shut[] = "a resource the APIv3 key does not open";
    static const struct {
        struct wrapping w;
        enum notice_verdict verdict;
        const char *why;
    } rows[] = {
        {{.event_type = ""}, NOTICE_MALFORMED, "no event_type"},
        {{.algorithm = "AEAD_AES_128_GCM"}, NOTICE_FORGED, shut},
        {{.algorithm = ""}, NOTICE_FORGED, shut},
        {{.key = "1123456789abcdef0123456789ABCDEF"}, NOTICE_FORGED, shut},
        {{.nonce = "fdasflkja4845"}, NOTICE_FORGED, shut},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf body = {0};
        struct notice n;
        wrap(&rows[i].w, STR(GOLDEN_PAYMENT), &body);
        assert_verdict(judge_signed(buf_view(&body), &n), &n, rows[i].verdict, rows[i].why);
        buf_free(&body);
    }
}

// Signed by WeChat Pay, but the sealed part is another than was sealed: tag, nonce, associated data, ciphertext.
static void a_sealed_part_that_was_touched_stays_shut(void **state)
{
    (void)state;
    static const char *const parts[] = {"\"ciphertext\":\"", "\"nonce\":\"", "\"associated_data\":\""};
    static const struct wrapping good = {0};
    struct buf body = {0};
    wrap(&good, STR(GOLDEN_PAYMENT), &body);
    for (size_t k = 0; k < 3; k++) {
        char *p = memmem(body.p, body.n, parts[k], strlen(parts[k]));
        assert_non_null(p);
        p += strlen(parts[k]);
        char *end = memchr(p, '"', (size_t)(body.p + body.n - p));
        for (; p < end; p++) { // the ciphertext's last 22 digits are the tag
            struct notice n;
            char was = *p;
            *p = was == 'A' ? 'B' : 'A';
            assert_verdict(judge_signed(buf_view(&body), &n), &n, NOTICE_FORGED,
                           "a resource the APIv3 key does not open");
            *p = was;
        }
    }
    struct notice n;
    assert_verdict(judge_signed(buf_view(&body), &n), &n, NOTICE_GOOD, "");
    buf_free(&body);
}

// --- The seal

static void any_byte_changed_is_forgery(void **state)
{
    (void)state;
    struct buf body = {0};
    struct notice n;
    buf_z(&body, GOLDEN_NOTICE);
    struct headers h = headers_sign(&wx.platform, REAL_MS, buf_view(&body));
    for (size_t i = 0; i < body.n; i++) {
        body.p[i] ^= 1;
        assert_verdict(judge(&h, buf_view(&body), REAL_MS, &n), &n, NOTICE_FORGED, "bad signature");
        body.p[i] ^= 1;
    }
    for (size_t k = 1; k < body.n; k++)
        assert_verdict(judge(&h, (struct str){body.p, k}, REAL_MS, &n), &n, NOTICE_FORGED, "bad signature");
    assert_verdict(judge(&h, (struct str){body.p, 0}, REAL_MS, &n), &n, NOTICE_MALFORMED, "empty body");
    headers_free(&h);
    buf_free(&body);
}

static void headers_that_are_missing_or_wrong_are_forgery(void **state)
{
    (void)state;
    struct notice n;
    struct str body = STR(GOLDEN_NOTICE);
    struct headers good = headers_sign(&wx.platform, REAL_MS, body), h = good;
    h.serial = "";
    assert_verdict(judge(&h, body, REAL_MS, &n), &n, NOTICE_FORGED, "no signature");
    h.serial = "PUB_KEY_ID_2";
    assert_verdict(judge(&h, body, REAL_MS, &n), &n, NOTICE_FORGED, "unknown serial");
    assert_int_equal(word, SEAL_UNKNOWN_KEY);
    h = good;
    h.nonce = "";
    assert_verdict(judge(&h, body, REAL_MS, &n), &n, NOTICE_FORGED, "no signature");
    h = good;
    h.timestamp[0] = 0;
    assert_verdict(judge(&h, body, REAL_MS, &n), &n, NOTICE_FORGED, "no signature");
    h = good;
    h.signature.n = 0;
    assert_verdict(judge(&h, body, REAL_MS, &n), &n, NOTICE_FORGED, "no signature");
    assert_int_equal(word, SEAL_BAD);
    h = (struct headers){.serial = "", .nonce = ""};
    assert_verdict(judge(&h, body, REAL_MS, &n), &n, NOTICE_FORGED, "no signature");
    assert_int_equal(word, SEAL_ABSENT);
    headers_free(&good);
}

// Sent on purpose, under a serial nobody knows too: no reason to fetch anything.
static void signature_tests_are_refused(void **state)
{
    (void)state;
    static const char *const serials[] = {PUBLIC_ID, "5157F09EFDC096DE15EBE81A47057A7232F1B8FF"};
    for (size_t i = 0; i < 2; i++) {
        struct notice n;
        struct headers h = headers_sign(&wx.platform, REAL_MS, STR(GOLDEN_NOTICE)), probe = h;
        struct buf sign = {0};
        buf_z(&sign, "WECHATPAY/SIGNTEST/");
        buf_str(&sign, buf_view(&h.signature));
        probe.signature = sign;
        probe.serial = serials[i];
        assert_verdict(judge(&probe, STR(GOLDEN_NOTICE), REAL_MS, &n), &n, NOTICE_FORGED, "signature test");
        assert_int_equal(word, SEAL_BAD);
        headers_free(&h);
        buf_free(&sign);
    }
}

static void an_old_notice_is_forgery(void **state)
{
    (void)state;
    static const int off_s[] = {-86400, -360, -301, 301, 360, -299, 0, 299};
    struct headers h = headers_sign(&wx.platform, REAL_MS, STR(GOLDEN_NOTICE));
    for (size_t i = 0; i < sizeof off_s / sizeof off_s[0]; i++) {
        struct notice n;
        bool is_old = i < 5;
        assert_verdict(judge(&h, STR(GOLDEN_NOTICE), REAL_MS + off_s[i] * INT64_C(1000), &n), &n,
                       is_old ? NOTICE_FORGED : NOTICE_GOOD, is_old ? "stale timestamp" : "");
    }
    headers_free(&h);
}

static void our_own_key_does_not_pass_for_theirs(void **state)
{
    (void)state;
    struct notice n;
    struct signer merchant = {.key = wx.merchant_private};
    (void)snprintf(merchant.serial, sizeof merchant.serial, "%s", PUBLIC_ID);
    struct headers h = headers_sign(&merchant, REAL_MS, STR(GOLDEN_NOTICE));
    assert_verdict(judge(&h, STR(GOLDEN_NOTICE), REAL_MS, &n), &n, NOTICE_FORGED, "bad signature");
    headers_free(&h);
}

// --- The body

static void what_cannot_be_read_is_not_believed(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum notice_verdict verdict;
        const char *why;
    } rows[] = {
        {"<xml><return_code>SUCCESS</return_code></xml>", NOTICE_MALFORMED, "invalid_json"},
        {"[]", NOTICE_MALFORMED, "invalid_json"},
        {"{", NOTICE_MALFORMED, "invalid_json"},
        {"{\"a\":1,\"a\":1}", NOTICE_MALFORMED, "duplicate_key"},
        {"{\"a\":\"\xff\"}", NOTICE_MALFORMED, "invalid_utf8"},
        {"{}", NOTICE_MALFORMED, "no event_type"},
        {"{\"event_type\":7}", NOTICE_MALFORMED, "no event_type"},
        {"{\"event_type\":\"TRANSACTION.SUCCESS\"}", NOTICE_FORGED, "a resource the APIv3 key does not open"},
        {"{\"event_type\":\"TRANSACTION.SUCCESS\",\"resource\":[]}", NOTICE_FORGED,
         "a resource the APIv3 key does not open"},
        {"{\"event_type\":\"TRANSACTION.SUCCESS\",\"resource\":{\"algorithm\":\"AEAD_AES_256_GCM\",\"ciphertext\":"
         "\"AAAA\",\"nonce\":\"" NONCE "\",\"associated_data\":\"\"}}",
         NOTICE_FORGED, "a resource the APIv3 key does not open"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct notice n;
        assert_verdict(judge_signed(str_of(rows[i].body), &n), &n, rows[i].verdict, rows[i].why);
    }
}

static void a_body_too_long_is_not_looked_at(void **state)
{
    (void)state;
    struct buf body = {0};
    struct notice n;
    while (body.n < WECHATPAY_NOTICE_MAX)
        buf_char(&body, ' ');
    assert_verdict(judge_signed(buf_view(&body), &n), &n, NOTICE_MALFORMED, "invalid_json");
    buf_char(&body, ' ');
    assert_verdict(judge_signed(buf_view(&body), &n), &n, NOTICE_MALFORMED, "body too long");
    buf_free(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_notice_as_documented_is_a_payment),
        cmocka_unit_test(what_wechat_pays_sdk_sealed_and_signed_is_taken_and_only_that),
        cmocka_unit_test(refund_notices_are_hints),
        cmocka_unit_test(without_associated_data_it_opens_too),
        cmocka_unit_test(one_member_wrong_in_turn),
        cmocka_unit_test(another_amount_is_told_as_it_is),
        cmocka_unit_test(a_strange_number_is_kept_for_the_case),
        cmocka_unit_test(what_is_inside_must_be_an_object),
        cmocka_unit_test(the_wrapping_must_be_right),
        cmocka_unit_test(a_sealed_part_that_was_touched_stays_shut),
        cmocka_unit_test(any_byte_changed_is_forgery),
        cmocka_unit_test(headers_that_are_missing_or_wrong_are_forgery),
        cmocka_unit_test(signature_tests_are_refused),
        cmocka_unit_test(an_old_notice_is_forgery),
        cmocka_unit_test(our_own_key_does_not_pass_for_theirs),
        cmocka_unit_test(what_cannot_be_read_is_not_believed),
        cmocka_unit_test(a_body_too_long_is_not_looked_at),
    };
    return cmocka_run_group_tests(tests, wx_setup, wx_teardown);
}
