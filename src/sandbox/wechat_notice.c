// SPDX-License-Identifier: Apache-2.0
#include "sandbox/wechat_notice.h"
#include "sandbox/wechat_wire.h"
#include <stdio.h>

const char *wechat_trade_state(const struct trade *t, bool has_refund)
{
    switch (t->state) {
    case TRADE_WAITING: return "NOTPAY";
    case TRADE_PAID:
    case TRADE_FINISHED: return has_refund ? "REFUND" : "SUCCESS";
    case TRADE_CLOSED: return "CLOSED";
    }
    return "";
}

static const char *state_text(const struct trade *t, bool has_refund)
{
    switch (t->state) {
    case TRADE_WAITING: return "订单未支付";
    case TRADE_PAID:
    case TRADE_FINISHED: return has_refund ? "订单发生过退款，退款详情请查询退款单" : "支付成功";
    case TRADE_CLOSED: return "订单已关闭";
    }
    return "";
}

const char *wechat_refund_status(enum refund_state state)
{
    switch (state) {
    case REFUND_PROCESSING: return "PROCESSING";
    case REFUND_SUCCESS: return "SUCCESS";
    case REFUND_ABNORMAL: return "ABNORMAL";
    case REFUND_CLOSED: return "CLOSED";
    }
    return "";
}

static const char *trade_type(enum code_kind kind)
{
    switch (kind) {
    case CODE_QR: return "NATIVE";
    case CODE_JSAPI: return "JSAPI";
    case CODE_H5: return "MWEB";
    }
    return "";
}

// --- What is said

void wechat_trade_write(const struct sandbox_identity *id, const struct trade *t, bool has_refund, struct buf *out)
{
    json_open(out, '{');
    json_kz(out, "appid", id->appid);
    json_kz(out, "mchid", id->mchid);
    json_kz(out, "out_trade_no", t->code.out_trade_no);
    json_kz(out, "trade_state", wechat_trade_state(t, has_refund));
    json_kz(out, "trade_state_desc", state_text(t, has_refund));
    if (t->code.passback[0]) json_kz(out, "attach", t->code.passback);
    if (t->paid_ms) {
        json_kz(out, "transaction_id", t->trade_no);
        json_kz(out, "trade_type", trade_type(t->code.kind));
        json_kz(out, "bank_type", "OTHERS");
        wechat_time_write(out, "success_time", t->paid_ms);
        json_key(out, "payer");
        json_open(out, '{');
        json_kz(out, "openid", t->payer);
        json_close(out, '}');
    }
    json_key(out, "amount");
    json_open(out, '{');
    json_ki64(out, "total", t->code.total_fen);
    if (t->paid_ms) json_ki64(out, "payer_total", t->code.total_fen);
    json_kz(out, "currency", "CNY");
    if (t->paid_ms) json_kz(out, "payer_currency", "CNY");
    json_close(out, '}');
    json_close(out, '}');
}

static void refund_write(const struct sandbox_identity *id, const struct trade *t, const struct refund *r,
                         struct buf *out)
{
    json_open(out, '{');
    json_kz(out, "mchid", id->mchid);
    json_kz(out, "transaction_id", t->trade_no);
    json_kz(out, "out_trade_no", t->code.out_trade_no);
    json_kz(out, "refund_id", r->refund_no);
    json_kz(out, "out_refund_no", r->out_request_no);
    json_kz(out, "refund_status", wechat_refund_status(r->state)); // `status` in answers
    if (r->state == REFUND_SUCCESS) wechat_time_write(out, "success_time", r->done_ms);
    json_kz(out, "user_received_account", "支付用户零钱");
    json_key(out, "amount");
    json_open(out, '{');
    json_ki64(out, "total", t->code.total_fen);
    json_ki64(out, "refund", r->amount_fen);
    json_ki64(out, "payer_total", t->code.total_fen);
    json_ki64(out, "payer_refund", r->amount_fen);
    json_close(out, '}');
    json_close(out, '}');
}

static void add(struct buf *fields, struct str value)
{
    buf_str(fields, value);
    buf_char(fields, 0);
}

void wechat_notice_fields(const struct sandbox_identity *id, const struct trade *t, const struct refund *r,
                          const char *notice_id, int64_t now_ms, struct buf *fields)
{
    struct buf head = {0}, plain = {0};
    char event[40];
    (void)snprintf(event, sizeof event, "%s.%s", r ? "REFUND" : "TRANSACTION",
                   r ? wechat_refund_status(r->state) : "SUCCESS");
    json_open(&head, '{');
    json_kz(&head, "id", notice_id);
    wechat_time_write(&head, "create_time", now_ms);
    json_kz(&head, "resource_type", "encrypt-resource");
    json_kz(&head, "event_type", event);
    json_kz(&head, "summary", r ? "退款通知" : "支付成功");
    if (r)
        refund_write(id, t, r, &plain);
    else
        wechat_trade_write(id, t, false, &plain);
    bool by_public_key = r ? r->by_public_key : t->code.by_public_key;
    add(fields, by_public_key ? STR("key") : STR("certificate"));
    add(fields, r ? STR("refund") : STR("transaction"));
    add(fields, buf_view(&head)); // open: the resource is written into it when it is sent
    add(fields, buf_view(&plain));
    if (head.failed || plain.failed) fields->failed = true;
    buf_free(&head);
    buf_free(&plain);
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

// WeChat Pay itself sends such signatures, to see who does not look.
static void make_probe(struct buf *headers)
{
    static const char name[] = "Wechatpay-Signature: ", probe[] = "WECHATPAY/SIGNTEST/";
    char *at = memmem(headers->p, headers->n, name, sizeof name - 1);
    if (at) memcpy(at + sizeof name - 1, probe, sizeof probe - 1);
}

static bool signature_write(const struct keys *k, const struct notice *n, bool by_public_key, struct str body,
                            struct buf *headers)
{
    const struct crypto_key *key = k->platform_private;
    const char *serial = wechat_serial(&k->identity, by_public_key);
    if (n->forgery == FORGERY_KEY) key = k->merchant_private; // the commonest wrong key in the world is one's own
    if (n->forgery == FORGERY_SERIAL) serial = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"; // nobody has heard of it
    bool ok = wechat_signature_write(key, serial, body, headers);
    if (ok && n->forgery == FORGERY_PROBE) make_probe(headers);
    return ok;
}

bool wechat_notice_write(const struct keys *k, const struct notice *n, struct buf *body, struct buf *headers)
{
    struct str rest = buf_view(&n->fields);
    bool by_public_key = str_eq(take_text(&rest), STR("key"));
    struct str type = take_text(&rest), head = take_text(&rest), plain = take_text(&rest);
    buf_str(body, head);
    json_key(body, "resource");
    json_open(body, '{');
    json_kstr(body, "original_type", type);
    bool ok = wechat_sealed_write(k, plain, str_eq(type, STR("refund")) ? "refund" : "transaction", body);
    json_close(body, '}');
    json_close(body, '}');
    return ok && !body->failed && signature_write(k, n, by_public_key, buf_view(body), headers);
}
