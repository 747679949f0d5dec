// SPDX-License-Identifier: Apache-2.0
#include "sandbox/trades.h"
#include "sandbox/wechat_methods.h"
#include "sandbox/wechat_notice.h"
#include "sandbox/wechat_wire.h"
#include <stdio.h>

#define REFUNDS_MAX      50
#define REFUND_WITHIN_MS (INT64_C(365) * 86400 * 1000)

static void refund_write(const struct trade *t, const struct refund *r, struct buf *out)
{
    json_open(out, '{');
    json_kz(out, "refund_id", r->refund_no);
    json_kz(out, "out_refund_no", r->out_request_no);
    json_kz(out, "transaction_id", t->trade_no);
    json_kz(out, "out_trade_no", t->code.out_trade_no);
    json_kz(out, "channel", "ORIGINAL");
    json_kz(out, "user_received_account", "支付用户零钱");
    if (r->state == REFUND_SUCCESS) wechat_time_write(out, "success_time", r->done_ms);
    wechat_time_write(out, "create_time", r->created_ms);
    json_kz(out, "status", wechat_refund_status(r->state));
    json_kz(out, "funds_account", "AVAILABLE");
    json_key(out, "amount");
    json_open(out, '{');
    json_ki64(out, "total", t->code.total_fen);
    json_ki64(out, "refund", r->amount_fen);
    json_ki64(out, "payer_total", t->code.total_fen);
    json_ki64(out, "payer_refund", r->amount_fen);
    json_ki64(out, "settlement_total", t->code.total_fen);
    json_ki64(out, "settlement_refund", r->amount_fen);
    json_ki64(out, "discount_refund", 0);
    json_kz(out, "currency", "CNY");
    json_close(out, '}');
    json_close(out, '}');
}

// What is asked for.
struct wish {
    char transaction_id[33], out_trade_no[33];
    int64_t total_fen;
    struct refund refund;
};

static void read_amount(const struct json_in *in, struct wish *w)
{
    struct json_in amount = {.at = "/amount", .fault = in->fault};
    struct str currency = {0};
    if (!json_in_object(in, "amount", true, &amount.object)) return;
    (void)json_in_int(&amount, "refund", true, 1, INT64_MAX, &w->refund.amount_fen);
    (void)json_in_int(&amount, "total", true, 1, INT64_MAX, &w->total_fen);
    if (json_in_str(&amount, "currency", true, 16, &currency) && !str_eq(currency, STR("CNY")))
        json_in_fail(&amount, "currency", "out_of_range", "must be CNY");
}

// False: refused already.
static bool wish_read(struct wechat_call *c, struct wish *w)
{
    struct json_fault fault = {0};
    struct json_in in = {.object = c->body, .at = "", .fault = &fault};
    char reason[80 * 4 + 1];
    wechat_text(&in, "transaction_id", 0, 32, w->transaction_id, sizeof w->transaction_id);
    wechat_text(&in, "out_trade_no", 0, 32, w->out_trade_no, sizeof w->out_trade_no);
    if (!w->transaction_id[0] && !w->out_trade_no[0])
        json_in_fail(&in, "out_trade_no", "missing_field", "transaction_id or out_trade_no is required");
    wechat_text(&in, "out_refund_no", 1, 64, w->refund.out_request_no, sizeof w->refund.out_request_no);
    if (!wechat_is_number(w->refund.out_request_no, 1, "_-|*@"))
        json_in_fail(&in, "out_refund_no", "out_of_range", "must be 1 to 64 of 0-9A-Za-z_-|*@");
    wechat_text(&in, "reason", 0, 80, reason, sizeof reason);
    wechat_notify_url(&in, false, w->refund.notify_url);
    read_amount(&in, w);
    if (fault.code) wechat_refuse_fault(c, &fault);
    return !fault.code;
}

// The transaction_id wins. A trade that was not paid has none.
static bool trade_find(struct wechat_call *c, const struct wish *w, struct trade *t)
{
    struct ledger *l = c->sandbox->ledger;
    if (!w->transaction_id[0]) return ledger_trade_by_number(l, SANDBOX_WECHATPAY, w->out_trade_no, t);
    return ledger_trade_by_no(l, SANDBOX_WECHATPAY, w->transaction_id, t) && t->paid_ms;
}

// False: refused already.
static bool may_refund(struct wechat_call *c, const struct wish *w, const struct trade *t)
{
    struct refund_use use = ledger_refund_use(c->sandbox->ledger, t->id);
    if (!t->paid_ms)
        wechat_refuse(c, 403, "TRADE_ERROR", "订单未支付 the order is not paid");
    else if (w->total_fen != t->code.total_fen)
        wechat_refuse(c, 400, "INVALID_REQUEST", "订单金额不一致 amount.total is not the order's amount");
    else if (w->refund.amount_fen > t->code.total_fen - use.amount_fen)
        wechat_refuse(c, 400, "INVALID_REQUEST", "申请退款金额超过可退金额 more than what is left of the order");
    else if (use.n >= REFUNDS_MAX)
        wechat_refuse(c, 400, "INVALID_REQUEST", "退款次数超过限制 an order has at most 50 refunds");
    else if (c->now_ms - t->paid_ms > REFUND_WITHIN_MS)
        wechat_refuse(c, 400, "INVALID_REQUEST", "订单已超过退款期限 paid more than a year ago");
    else
        return true;
    return false;
}

// The answer means accepted, no more. The same number again gets what has become of it.
void wechat_refund(struct wechat_call *c)
{
    struct wish w = {0};
    struct trade t;
    struct refund before;
    if (!wish_read(c, &w)) return;
    if (!trade_find(c, &w, &t)) {
        wechat_refuse(c, 404, "RESOURCE_NOT_EXISTS", "订单不存在 no such order");
        return;
    }
    if (ledger_refund_by_number(c->sandbox->ledger, SANDBOX_WECHATPAY, w.refund.out_request_no, &before)) {
        if (before.trade_id == t.id && before.amount_fen == w.refund.amount_fen && w.total_fen == t.code.total_fen)
            refund_write(&t, &before, c->out);
        else
            wechat_refuse(c, 400, "INVALID_REQUEST",
                          "订单金额或退款金额与之前请求不一致 this out_refund_no was used with other content");
        return;
    }
    if (!may_refund(c, &w, &t)) return;
    w.refund.trade_id = t.id;
    w.refund.by_public_key = c->by_public_key;
    trade_refund_accept(c->sandbox, &w.refund, c->now_ms);
    refund_write(&t, &w.refund, c->out);
}

void wechat_refund_query(struct wechat_call *c)
{
    char number[NUMBER_MAX + 1] = "";
    struct refund r;
    struct trade t;
    struct ledger *l = c->sandbox->ledger;
    if (c->tail.n <= NUMBER_MAX && !memchr(c->tail.p, 0, c->tail.n)) memcpy(number, c->tail.p, c->tail.n);
    if (ledger_refund_by_number(l, SANDBOX_WECHATPAY, number, &r) && ledger_trade_by_id(l, r.trade_id, &t))
        refund_write(&t, &r, c->out);
    else
        wechat_refuse(c, 404, "RESOURCE_NOT_EXISTS", "退款单不存在 no such refund");
}
