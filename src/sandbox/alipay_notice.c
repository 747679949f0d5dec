// SPDX-License-Identifier: Apache-2.0
#include "sandbox/alipay_notice.h"
#include "base/timetext.h"
#include "sandbox/alipay_wire.h"
#include <stdlib.h>

#define FIELDS_MAX 48

const char *alipay_trade_status(enum trade_state state)
{
    switch (state) {
    case TRADE_WAITING: return "WAIT_BUYER_PAY";
    case TRADE_PAID: return "TRADE_SUCCESS";
    case TRADE_CLOSED: return "TRADE_CLOSED";
    case TRADE_FINISHED: return "TRADE_FINISHED";
    }
    return "";
}

void alipay_time_write(struct buf *out, int64_t ms)
{
    char text[TIME_TEXT_SIZE];
    time_to_beijing(ms, text);
    buf_z(out, text);
}

// --- What is said

static void add(struct buf *fields, const char *name, const char *value)
{
    if (!value[0]) return;
    buf_add(fields, name, strlen(name) + 1);
    buf_add(fields, value, strlen(value) + 1);
}

static void add_yuan(struct buf *fields, const char *name, int64_t fen)
{
    buf_add(fields, name, strlen(name) + 1);
    yuan_write(fields, fen);
    buf_char(fields, 0);
}

static void add_time(struct buf *fields, const char *name, int64_t ms)
{
    if (ms == 0) return;
    buf_add(fields, name, strlen(name) + 1);
    alipay_time_write(fields, ms);
    buf_char(fields, 0);
}

static void add_money_in(struct buf *fields, const struct trade *t)
{
    add_yuan(fields, "receipt_amount", t->code.total_fen);
    add_yuan(fields, "invoice_amount", t->code.total_fen);
    add_yuan(fields, "buyer_pay_amount", t->code.total_fen);
    add_yuan(fields, "point_amount", 0);
    buf_add(fields, "fund_bill_list", sizeof "fund_bill_list");
    buf_z(fields, "[{\"amount\":\""); // camel case here, snake case in query: so does Alipay
    yuan_write(fields, t->code.total_fen);
    buf_z(fields, "\",\"fundChannel\":\"ALIPAYACCOUNT\"}]");
    buf_char(fields, 0);
}

void alipay_notice_fields(const struct sandbox_identity *id, const struct trade *t, const char *out_biz_no,
                          const char *notify_id, struct buf *fields)
{
    add(fields, "notify_type", "trade_status_sync");
    add(fields, "notify_id", notify_id);
    add(fields, "charset", "utf-8");
    add(fields, "version", "1.0");
    add(fields, "app_id", id->app_id);
    add(fields, "auth_app_id", id->app_id);
    add(fields, "seller_id", id->seller_id);
    add(fields, "seller_email", "seller@sandbox.test");
    add(fields, "buyer_id", ALIPAY_BUYER_ID);
    add(fields, "buyer_logon_id", ALIPAY_BUYER_LOGON_ID);
    add(fields, "trade_no", t->trade_no);
    add(fields, "out_trade_no", t->code.out_trade_no);
    add(fields, "trade_status", alipay_trade_status(t->state));
    add_yuan(fields, "total_amount", t->code.total_fen);
    add(fields, "subject", t->code.subject);
    add(fields, "body", t->code.body);
    add(fields, "passback_params", t->code.passback);
    add_time(fields, "gmt_create", t->created_ms);
    add_time(fields, "gmt_payment", t->paid_ms);
    add_time(fields, "gmt_close", t->closed_ms);
    if (t->paid_ms) add_money_in(fields, t);
    if (t->refunded_fen == 0) return;
    add_yuan(fields, "refund_fee", t->refunded_fen); // cumulative
    add_time(fields, "gmt_refund", t->refund_ms);
    if (out_biz_no) add(fields, "out_biz_no", out_biz_no);
}

// --- How it is written

static struct str take_text(struct str *rest)
{
    struct str s = {rest->p, strnlen(rest->p, rest->n)};
    size_t used = s.n < rest->n ? s.n + 1 : s.n;
    rest->p += used;
    rest->n -= used;
    return s;
}

static int field_order(const void *a, const void *b)
{
    struct str x = ((const struct param *)a)->name, y = ((const struct param *)b)->name;
    int order = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);
    return order ? order : (x.n > y.n) - (x.n < y.n);
}

static void form_add(struct buf *form, struct str name, struct str value)
{
    if (form->n) buf_char(form, '&');
    buf_str(form, name);
    buf_char(form, '=');
    form_encode(form, value);
}

bool alipay_notice_form(const struct keys *k, const struct notice *n, int64_t now_ms, struct buf *form)
{
    struct param list[FIELDS_MAX];
    char sent_at[TIME_TEXT_SIZE];
    unsigned count = 0;
    struct buf text = {0}, sign = {0};
    time_to_beijing(now_ms, sent_at);
    list[count++] = (struct param){STR("notify_time"), str_of(sent_at)};
    for (struct str rest = buf_view(&n->fields); rest.n > 0 && count < FIELDS_MAX; count++) {
        list[count].name = take_text(&rest);
        list[count].value = take_text(&rest);
    }
    qsort(list, count, sizeof list[0], field_order);
    for (unsigned i = 0; i < count; i++) {
        if (i) buf_char(&text, '&');
        buf_str(&text, list[i].name);
        buf_char(&text, '=');
        buf_str(&text, list[i].value);
        form_add(form, list[i].name, list[i].value);
    }
    // The commonest wrong key in the world is the merchant's own.
    const struct crypto_key *key = n->forgery ? k->app_private : k->alipay_private;
    bool ok = !text.failed && crypto_rsa2_sign(key, buf_view(&text), &sign);
    form_add(form, STR("sign_type"), STR("RSA2")); // neither it nor `sign` is part of what is signed
    form_add(form, STR("sign"), buf_view(&sign));
    buf_free(&text);
    buf_free(&sign);
    return ok && !form->failed;
}
