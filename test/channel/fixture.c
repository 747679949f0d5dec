// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"
#include "keys.h"
#include <stdio.h>

struct fixture fix;

static const uint8_t SECRET[ID_SECRET_SIZE] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

int fixture_setup(void **state)
{
    (void)state;
    char why[160];
    fix.app_private = crypto_private_key_parse(str_of(APP_PRIVATE_PEM), why);
    fix.app_public = crypto_public_key_parse(str_of(APP_PUBLIC_PEM), why);
    fix.alipay_private = crypto_private_key_parse(str_of(ALIPAY_PRIVATE_PEM), why);
    fix.alipay_public = crypto_public_key_parse(str_of(ALIPAY_PUBLIC_PEM), why);
    if (!fix.app_private || !fix.app_public || !fix.alipay_private || !fix.alipay_public) return -1;
    fix.app = (struct alipay_app){.gateway = GATEWAY,
                                  .app_id = APP_ID,
                                  .seller_id = SELLER_ID,
                                  .notify_url = NOTIFY_URL,
                                  .app_key = fix.app_private,
                                  .alipay_key = fix.alipay_public};
    memcpy(fix.app.secret, SECRET, sizeof SECRET);
    return 0;
}

int fixture_teardown(void **state)
{
    (void)state;
    crypto_key_free(fix.app_private);
    crypto_key_free(fix.app_public);
    crypto_key_free(fix.alipay_private);
    crypto_key_free(fix.alipay_public);
    return 0;
}

struct call fixture_call(enum call_method method)
{
    return (struct call){
        .channel = CHANNEL_ALIPAY,
        .method = method,
        .payment_key = PAYMENT_KEY,
        .refund_key = 77,
        .number_key = NUMBER_KEY,
        .amount_fen = method == CALL_REFUND || method == CALL_REFUND_QUERY ? 500 : 1234,
        .total_fen = 1234,
        .expires_ms = INT64_C(1795399500000), // 2026-11-23 10:05:00 in Beijing
    };
}

void fixture_expand(const char *text, struct buf *out)
{
    for (; *text; text++) {
        if (text[0] == '$' && text[1] == 'N') {
            buf_z(out, PAYMENT_NO);
            text++;
        } else if (text[0] == '$' && text[1] == 'R') {
            buf_z(out, NUMBER_NO);
            text++;
        } else {
            buf_char(out, *text);
        }
    }
}

void fixture_signed(const char *name, struct str node, struct buf *out)
{
    buf_z(out, "{\"");
    buf_z(out, name);
    buf_z(out, "\":");
    buf_str(out, node);
    buf_z(out, ",\"sign\":\"");
    assert_true(crypto_rsa2_sign(fix.alipay_private, node, out));
    buf_z(out, "\"}");
}

void fixture_node_name(enum call_method method, char out[64])
{
    (void)snprintf(out, 64, "%s_response", alipay_method(method));
    for (char *p = out; *p; p++)
        if (*p == '.') *p = '_';
}

struct notice_form notice_form_paid(void)
{
    return (struct notice_form){
        .name = {"gmt_create", "charset", "notify_time", "subject", "buyer_id", "version", "notify_id", "notify_type",
                 "out_trade_no", "trade_status", "trade_no", "auth_app_id", "receipt_amount", "buyer_pay_amount",
                 "app_id", "seller_id", "total_amount", "gmt_payment", "fund_bill_list"},
        .value = {"2026-11-23 10:04:00", "utf-8", "2026-11-23 10:04:05", "两杯咖啡 + 100%", "2088000000000123", "1.0",
                  "2026112300222100405", "trade_status_sync", PAYMENT_NO, "TRADE_SUCCESS",
                  "2026112322001400123456789012", APP_ID, "12.34", "12.34", APP_ID, SELLER_ID, "12.34",
                  "2026-11-23 10:04:04", "[{\"amount\":\"12.34\",\"fundChannel\":\"ALIPAYACCOUNT\"}]"},
        .n = 19,
    };
}

void notice_form_set(struct notice_form *f, const char *name, const char *value)
{
    unsigned i = 0;
    while (i < f->n && strcmp(f->name[i], name) != 0)
        i++;
    if (value) {
        assert_true(i < NOTICE_FIELDS_MAX);
        f->name[i] = name;
        f->value[i] = value;
        if (i == f->n) f->n++;
        return;
    }
    if (i == f->n) return;
    f->n--;
    f->name[i] = f->name[f->n];
    f->value[i] = f->value[f->n];
}

void notice_form_encode(const struct notice_form *f, struct buf *body)
{
    for (unsigned i = 0; i < f->n; i++) {
        if (i > 0) buf_char(body, '&');
        buf_z(body, f->name[i]);
        buf_char(body, '=');
        for (const char *p = f->value[i]; *p; p++) {
            bool plain = (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
            if (plain)
                buf_char(body, *p);
            else if (*p == ' ')
                buf_char(body, '+');
            else
                buf_printf(body, "%%%02x", (unsigned)(unsigned char)*p);
        }
    }
}

void notice_form_write(const struct notice_form *f, bool sign_type_signed, struct buf *body)
{
    struct notice_form all = *f;
    struct alipay_param params[NOTICE_FIELDS_MAX];
    unsigned n = 0;
    struct buf canonical = {0}, sign = {0};
    for (unsigned i = 0; i < f->n; i++)
        params[n++] = (struct alipay_param){str_of(f->name[i]), str_of(f->value[i])};
    if (sign_type_signed) params[n++] = (struct alipay_param){STR("sign_type"), STR("RSA2")};
    alipay_canonical(params, n, &canonical);
    assert_true(crypto_rsa2_sign(fix.alipay_private, buf_view(&canonical), &sign));
    buf_char(&sign, '\0');
    notice_form_set(&all, "sign_type", "RSA2");
    notice_form_set(&all, "sign", sign.p);
    notice_form_encode(&all, body);
    buf_free(&canonical);
    buf_free(&sign);
}
