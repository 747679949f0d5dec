// SPDX-License-Identifier: Apache-2.0
// Notifications: one thing wrong in turn, and what the right ones say.
#include "fixture.h"
#include "sdk_golden.h"
#include <stdio.h>

static enum notice_verdict judge(struct str body, struct notice *out)
{
    char *exact = body.n ? memcpy(test_malloc(body.n), body.p, body.n) : NULL;
    enum notice_verdict v = alipay_notice(&fix.app, (struct str){exact, body.n}, out);
    if (exact) test_free(exact);
    return v;
}

static enum notice_verdict judge_form(const struct notice_form *f, struct notice *out)
{
    struct buf body = {0};
    notice_form_write(f, false, &body);
    enum notice_verdict v = judge(buf_view(&body), out);
    buf_free(&body);
    return v;
}

static void assert_verdict(enum notice_verdict got, const struct notice *n, enum notice_verdict want, const char *why)
{
    if (got != want || strcmp(n->why, why) != 0)
        fail_msg("got %d \"%s\", want %d \"%s\"", (int)got, n->why, (int)want, why);
    if (want != NOTICE_GOOD) { // nothing of a bad one can be taken for a fact
        assert_int_equal(n->answer.fact, FACT_NONE);
        if (want != NOTICE_STRANGE) assert_int_equal(n->answer.captured_fen, 0);
        assert_true(n->answer.outcome != OUTCOME_DONE);
    }
}

static void a_genuine_payment_is_a_payment(void **state)
{
    (void)state;
    struct notice_form f = notice_form_paid();
    struct notice n;
    assert_verdict(judge_form(&f, &n), &n, NOTICE_GOOD, "");
    assert_int_equal(n.answer.payment_key, PAYMENT_KEY);
    assert_int_equal(n.answer.channel, CHANNEL_ALIPAY);
    assert_int_equal(n.answer.method, CALL_NONE);
    assert_int_equal(n.answer.outcome, OUTCOME_DONE);
    assert_int_equal(n.answer.fact, FACT_PAID);
    assert_int_equal(n.answer.captured_fen, 1234);
    assert_string_equal(n.answer.provider_trade_no, "2026112322001400123456789012");
    assert_string_equal(n.answer.detail, "TRADE_SUCCESS");
    assert_string_equal(n.number, PAYMENT_NO);
}

static void both_ways_of_signing_are_taken(void **state)
{
    (void)state;
    struct notice_form f = notice_form_paid();
    struct notice n;
    struct buf body = {0};
    notice_form_write(&f, true, &body);
    assert_verdict(judge(buf_view(&body), &n), &n, NOTICE_GOOD, "");
    buf_free(&body);
}

static void what_alipays_sdk_signed_is_taken_and_only_that(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof SDK_ALIPAY_NOTICES / sizeof SDK_ALIPAY_NOTICES[0]; i++) {
        struct notice n;
        struct buf body = {0};
        buf_z(&body, SDK_ALIPAY_NOTICES[i].body);
        assert_verdict(judge(buf_view(&body), &n), &n, NOTICE_GOOD, "");
        assert_int_equal(n.answer.fact, FACT_PAID);
        assert_int_equal(n.answer.captured_fen, 1234);
        assert_string_equal(n.number, PAYMENT_NO);
        char *fen = memmem(body.p, body.n, "total_amount=12.34", 18);
        assert_non_null(fen);
        fen[17] = '5';
        assert_verdict(judge(buf_view(&body), &n), &n, NOTICE_FORGED, "bad signature");
        buf_free(&body);
    }
}

// In certificate mode some leave the certificate's name out of the signed text.
static void a_certificates_name_is_signed_or_not(void **state)
{
    (void)state;
    struct notice_form f = notice_form_paid();
    struct notice n;
    struct buf body = {0};
    notice_form_write(&f, false, &body);
    buf_z(&body, "&alipay_cert_sn=02a005aad9668e02e0aa4a0bcd599c89");
    assert_verdict(judge(buf_view(&body), &n), &n, NOTICE_GOOD, "");
    notice_form_set(&f, "alipay_cert_sn", "02a005aad9668e02e0aa4a0bcd599c89");
    assert_verdict(judge_form(&f, &n), &n, NOTICE_GOOD, "");
    buf_z(&body, "&buyer_logon_id2=x"); // nothing else
    assert_verdict(judge(buf_view(&body), &n), &n, NOTICE_FORGED, "bad signature");
    buf_free(&body);
}

static void each_state_says_its_fact(void **state)
{
    (void)state;
    static const struct {
        const char *status, *gmt_payment, *refund_fee;
        enum fact fact;
    } rows[] = {
        {"TRADE_SUCCESS", "2026-11-23 10:04:04", NULL, FACT_PAID},
        {"TRADE_SUCCESS", "2026-11-23 10:04:04", "5.00", FACT_PAID_SOME_REFUNDED}, // it tells the payment again
        {"TRADE_SUCCESS", "2026-11-23 10:04:04", "all", FACT_PAID_SOME_REFUNDED},
        {"TRADE_SUCCESS", "2026-11-23 10:04:04", "0.00", FACT_PAID},
        {"TRADE_FINISHED", "2026-11-23 10:04:04", NULL, FACT_PAID},
        {"TRADE_CLOSED", NULL, NULL, FACT_CLOSED},
        {"TRADE_CLOSED", NULL, "0.00", FACT_CLOSED},
        {"TRADE_CLOSED", "2026-11-23 10:04:04", "12.34", FACT_PAID_AND_REFUNDED},
        {"TRADE_CLOSED", NULL, "12.34", FACT_PAID_AND_REFUNDED},
        {"TRADE_CLOSED", "2026-11-23 10:04:04", "5.00", FACT_NONE},
        {"TRADE_CLOSED", "2026-11-23 10:04:04", NULL, FACT_NONE},
        {"TRADE_CLOSED", NULL, "all", FACT_NONE},
        {"WAIT_BUYER_PAY", NULL, NULL, FACT_WAITING},
        {"TRADE_NEW_KIND", NULL, NULL, FACT_WAITING},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct notice_form f = notice_form_paid();
        struct notice n;
        notice_form_set(&f, "trade_status", rows[i].status);
        notice_form_set(&f, "gmt_payment", rows[i].gmt_payment);
        notice_form_set(&f, "refund_fee", rows[i].refund_fee);
        assert_verdict(judge_form(&f, &n), &n, NOTICE_GOOD, "");
        if (n.answer.fact != rows[i].fact) fail_msg("row %zu: fact %d", i, (int)n.answer.fact);
        bool money = rows[i].fact == FACT_PAID || rows[i].fact == FACT_PAID_AND_REFUNDED ||
                     rows[i].fact == FACT_PAID_SOME_REFUNDED;
        bool of_refund = rows[i].refund_fee && strcmp(rows[i].refund_fee, "0.00") != 0;
        assert_int_equal(n.answer.of_refund, of_refund);
        assert_int_equal(n.answer.captured_fen, money ? 1234 : 0);
    }
}

static void one_field_wrong_in_turn(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value; // signed like this by Alipay
        enum notice_verdict verdict;
        const char *why;
    } rows[] = {
        {"app_id", "2021000000000002", NOTICE_FOREIGN, "another app_id"},
        {"app_id", NULL, NOTICE_FOREIGN, "another app_id"},
        {"app_id", "", NOTICE_FOREIGN, "another app_id"},
        {"seller_id", "2088000000000008", NOTICE_FOREIGN, "another seller_id"},
        {"seller_id", NULL, NOTICE_FOREIGN, "another seller_id"},
        {"out_trade_no", NULL, NOTICE_MALFORMED, "no out_trade_no"},
        {"out_trade_no", "", NOTICE_MALFORMED, "no out_trade_no"},
        {"out_trade_no", "20261123000001", NOTICE_STRANGE, "out_trade_no is none of ours"},
        {"out_trade_no", "0rpgv5gymwqv0kj329159139epk9d", NOTICE_STRANGE, "out_trade_no is none of ours"},
        {"out_trade_no", "pay_" PAYMENT_NO, NOTICE_STRANGE, "out_trade_no is none of ours"},
        {"total_amount", NULL, NOTICE_MALFORMED, "bad total_amount"},
        {"total_amount", "0.00", NOTICE_MALFORMED, "bad total_amount"},
        {"total_amount", "-12.34", NOTICE_MALFORMED, "bad total_amount"},
        {"total_amount", "12.345", NOTICE_MALFORMED, "bad total_amount"},
        {"body", "x&total_amount=0.01", NOTICE_MALFORMED, "a value that holds a field"},
        {"subject", "x&trade_status=TRADE_SUCCESS&version=1", NOTICE_MALFORMED, "a value that holds a field"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct notice_form f = notice_form_paid();
        struct notice n;
        notice_form_set(&f, rows[i].name, rows[i].value);
        assert_verdict(judge_form(&f, &n), &n, rows[i].verdict, rows[i].why);
    }
}

static void a_strange_number_is_kept_for_the_case(void **state)
{
    (void)state;
    struct notice_form f = notice_form_paid();
    struct notice n;
    notice_form_set(&f, "out_trade_no", "line\nbreak \"and\" quotes");
    assert_verdict(judge_form(&f, &n), &n, NOTICE_STRANGE, "out_trade_no is none of ours");
    assert_string_equal(n.number, "line?break?\"and\"?quotes");
    assert_int_equal(n.answer.captured_fen, 1234);
    assert_string_equal(n.answer.provider_trade_no, "2026112322001400123456789012");
    notice_form_set(&f, "out_trade_no", "0123456789012345678901234567890123456789012345678901234567890123456789");
    assert_verdict(judge_form(&f, &n), &n, NOTICE_STRANGE, "out_trade_no is none of ours");
    assert_int_equal(strlen(n.number), 64);
}

static void values_with_ampersands_elsewhere_are_fine(void **state)
{
    (void)state;
    struct notice_form f = notice_form_paid();
    struct notice n;
    notice_form_set(&f, "voucher_detail_list", "[{\"name\":\"A&B = C&D=&app=\"}]");
    assert_verdict(judge_form(&f, &n), &n, NOTICE_GOOD, "");
}

static void the_seller_is_checked_only_when_known(void **state)
{
    (void)state;
    struct notice_form f = notice_form_paid();
    struct notice n;
    struct buf body = {0};
    struct alipay_app app = fix.app;
    app.seller_id = "";
    notice_form_set(&f, "seller_id", "2088999999999999");
    notice_form_write(&f, false, &body);
    assert_verdict(alipay_notice(&app, buf_view(&body), &n), &n, NOTICE_GOOD, "");
    buf_free(&body);
}

static void any_amount_spelling_is_the_same_amount(void **state)
{
    (void)state;
    static const char *const texts[] = {"12", "12.0", "12.00"};
    for (size_t i = 0; i < 3; i++) {
        struct notice_form f = notice_form_paid();
        struct notice n;
        notice_form_set(&f, "total_amount", texts[i]);
        assert_verdict(judge_form(&f, &n), &n, NOTICE_GOOD, "");
        assert_int_equal(n.answer.captured_fen, 1200);
    }
}

// --- The signature

static void tampering_with_any_field_is_forgery(void **state)
{
    (void)state;
    struct notice_form f = notice_form_paid();
    struct buf body = {0};
    notice_form_write(&f, false, &body);
    buf_char(&body, 0);
    for (unsigned i = 0; i < f.n; i++) { // one character of each value
        struct notice n;
        struct notice_form g = f;
        struct buf tampered = {0}, value = {0};
        buf_z(&value, f.value[i]);
        value.p[value.n - 1] ^= 1;
        buf_char(&value, 0);
        g.value[i] = value.p;
        // the signature of the untouched form under the touched fields
        const char *sign = strstr(body.p, "&sign_type=");
        assert_non_null(sign);
        notice_form_encode(&g, &tampered);
        buf_z(&tampered, sign);
        assert_verdict(judge(buf_view(&tampered), &n), &n, NOTICE_FORGED, "bad signature");
        buf_free(&tampered);
        buf_free(&value);
    }
    buf_free(&body);
}

static void a_field_added_or_removed_is_forgery(void **state)
{
    (void)state;
    struct notice_form f = notice_form_paid();
    struct notice n;
    struct buf body = {0};
    notice_form_write(&f, false, &body);
    size_t whole = body.n;
    buf_z(&body, "&refund_fee=12.34");
    assert_verdict(judge(buf_view(&body), &n), &n, NOTICE_FORGED, "bad signature");
    body.n = whole;
    buf_z(&body, "&empty=");
    assert_verdict(judge(buf_view(&body), &n), &n, NOTICE_FORGED, "bad signature");
    body.n = whole;
    const char *second = memchr(body.p, '&', body.n);
    struct str without_first = {second + 1, body.n - (size_t)(second + 1 - body.p)};
    assert_verdict(judge(without_first, &n), &n, NOTICE_FORGED, "bad signature");
    buf_free(&body);
}

static void no_signature_and_no_algorithm_but_ours(void **state)
{
    (void)state;
    static const struct {
        const char *sign_type, *sign; // NULL: left out
        const char *why;
    } rows[] = {
        {"RSA2", "", "no signature"},
        {"RSA2", NULL, "no signature"},
        {"RSA2", "AAAA", "bad signature"},
        {"RSA2", "not base64!", "bad signature"},
        {"RSA", "AAAA", "sign_type is not RSA2"},
        {"MD5", "AAAA", "sign_type is not RSA2"},
        {"rsa2", "AAAA", "sign_type is not RSA2"},
        {"", "AAAA", "sign_type is not RSA2"},
        {NULL, "AAAA", "sign_type is not RSA2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct notice_form f = notice_form_paid();
        struct notice n;
        struct buf body = {0};
        notice_form_set(&f, "sign_type", rows[i].sign_type);
        notice_form_set(&f, "sign", rows[i].sign);
        notice_form_encode(&f, &body);
        assert_verdict(judge(buf_view(&body), &n), &n, NOTICE_FORGED, rows[i].why);
        buf_free(&body);
    }
}

static void a_good_signature_under_another_algorithms_name_is_forgery(void **state)
{
    (void)state;
    struct notice_form f = notice_form_paid();
    struct notice n;
    struct buf body = {0};
    notice_form_write(&f, false, &body);
    char *type = memmem(body.p, body.n, "sign_type=RSA2", 14);
    assert_non_null(type);
    type[13] = '1';
    assert_verdict(judge(buf_view(&body), &n), &n, NOTICE_FORGED, "sign_type is not RSA2");
    buf_free(&body);
}

// --- The form

static void what_cannot_be_read_is_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *body, *why;
    } rows[] = {
        {"", "empty body"},
        {"&", "a field without a value"},
        {"a=1&", "a field without a value"},
        {"&a=1", "a field without a value"},
        {"a=1&&b=2", "a field without a value"},
        {"a", "a field without a value"},
        {"a=1&b", "a field without a value"},
        {"=1", "a strange field name"},
        {"a b=1", "a strange field name"},
        {"a%26b=1", "a strange field name"},
        {"a%3d=1", "a strange field name"},
        {"a=%", "a broken escape"},
        {"a=%4", "a broken escape"},
        {"a=%zz", "a broken escape"},
        {"a=%4g", "a broken escape"},
        {"a=%%41", "a broken escape"},
        {"a%=1", "a broken escape"},
        {"a=%00", "a broken escape"},
        {"a=1&a=1", "a field twice"},
        {"sign=x&sign=y", "a field twice"},
        {"total_amount=1&total%5famount=2", "a field twice"},
        {"<xml><return_code>SUCCESS</return_code></xml>", "a field without a value"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct notice n;
        assert_verdict(judge(str_of(rows[i].body), &n), &n, NOTICE_MALFORMED, rows[i].why);
    }
    struct notice n;
    assert_verdict(judge((struct str){"a=\0b", 4}, &n), &n, NOTICE_MALFORMED, "a broken escape");
}

static void any_field_doubled_is_malformed(void **state)
{
    (void)state;
    struct notice_form f = notice_form_paid();
    struct buf body = {0};
    notice_form_write(&f, false, &body);
    size_t whole = body.n;
    for (unsigned i = 0; i < f.n; i++) {
        struct notice n;
        buf_printf(&body, "&%s=x", f.name[i]);
        assert_verdict(judge(buf_view(&body), &n), &n, NOTICE_MALFORMED, "a field twice");
        body.n = whole;
    }
    buf_free(&body);
}

static void limits_are_limits(void **state)
{
    (void)state;
    struct buf body = {0};
    struct notice n;
    for (int i = 0; i < 65; i++)
        buf_printf(&body, "%sf%d=1", i ? "&" : "", i);
    assert_verdict(judge(buf_view(&body), &n), &n, NOTICE_MALFORMED, "too many fields");
    body.n -= 6; // "&f64=1"
    assert_verdict(judge(buf_view(&body), &n), &n, NOTICE_FORGED, "sign_type is not RSA2");
    buf_clear(&body);
    buf_z(&body, "a=");
    while (body.n < ALIPAY_NOTICE_MAX)
        buf_char(&body, 'x');
    assert_verdict(judge(buf_view(&body), &n), &n, NOTICE_FORGED, "sign_type is not RSA2");
    buf_char(&body, 'x');
    assert_verdict(judge(buf_view(&body), &n), &n, NOTICE_MALFORMED, "body too long");
    buf_clear(&body);
    for (int i = 0; i < 65; i++)
        buf_char(&body, 'n');
    buf_z(&body, "=1");
    assert_verdict(judge(buf_view(&body), &n), &n, NOTICE_MALFORMED, "a strange field name");
    buf_free(&body);
}

static void any_cut_is_bad(void **state)
{
    (void)state;
    struct notice_form f = notice_form_paid();
    struct buf body = {0};
    notice_form_write(&f, false, &body);
    for (size_t k = 0; k < body.n; k++) {
        struct notice n;
        enum notice_verdict v = judge((struct str){body.p, k}, &n);
        assert_true(v == NOTICE_MALFORMED || v == NOTICE_FORGED);
    }
    buf_free(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_genuine_payment_is_a_payment),
        cmocka_unit_test(both_ways_of_signing_are_taken),
        cmocka_unit_test(what_alipays_sdk_signed_is_taken_and_only_that),
        cmocka_unit_test(a_certificates_name_is_signed_or_not),
        cmocka_unit_test(each_state_says_its_fact),
        cmocka_unit_test(one_field_wrong_in_turn),
        cmocka_unit_test(a_strange_number_is_kept_for_the_case),
        cmocka_unit_test(values_with_ampersands_elsewhere_are_fine),
        cmocka_unit_test(the_seller_is_checked_only_when_known),
        cmocka_unit_test(any_amount_spelling_is_the_same_amount),
        cmocka_unit_test(tampering_with_any_field_is_forgery),
        cmocka_unit_test(a_field_added_or_removed_is_forgery),
        cmocka_unit_test(no_signature_and_no_algorithm_but_ours),
        cmocka_unit_test(a_good_signature_under_another_algorithms_name_is_forgery),
        cmocka_unit_test(what_cannot_be_read_is_malformed),
        cmocka_unit_test(any_field_doubled_is_malformed),
        cmocka_unit_test(limits_are_limits),
        cmocka_unit_test(any_cut_is_bad),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
