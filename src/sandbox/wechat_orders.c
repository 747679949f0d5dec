// SPDX-License-Identifier: Apache-2.0
#include "base/timetext.h"
#include "sandbox/loopback.h"
#include "sandbox/trades.h"
#include "sandbox/wechat_methods.h"
#include "sandbox/wechat_notice.h"
#include "sandbox/wechat_wire.h"
#include <stdio.h>
#include <stdlib.h>

#define MINUTE_MS        INT64_C(60000)
#define DAY_MS           (24 * 60 * MINUTE_MS)
#define CODE_LIFE_MS     (120 * MINUTE_MS) // of a code_url and of a prepay_id
#define H5_LIFE_MS       (5 * MINUTE_MS)
#define TRADE_LIFE_MS    (7 * DAY_MS) // when no time_expire is sent
#define TIME_EXPIRE_MOST (90 * DAY_MS)
#define TOTAL_MAX_FEN    INT64_C(10000000000)

// --- Refusals

void wechat_refuse(struct wechat_call *c, int status, const char *code, const char *message)
{
    c->status = status;
    buf_clear(c->out);
    json_open(c->out, '{');
    json_kz(c->out, "code", code);
    json_kz(c->out, "message", message);
    json_close(c->out, '}');
}

void wechat_refuse_fault(struct wechat_call *c, const struct json_fault *fault)
{
    c->status = 400;
    buf_clear(c->out);
    json_open(c->out, '{');
    json_kz(c->out, "code", "PARAM_ERROR");
    json_kz(c->out, "message", "参数错误 parameter error");
    json_key(c->out, "detail");
    json_open(c->out, '{');
    json_kz(c->out, "field", fault->pointer);
    json_kz(c->out, "issue", fault->detail);
    json_kz(c->out, "location", "body");
    json_close(c->out, '}');
    json_close(c->out, '}');
}

void wechat_refuse_mchid(struct wechat_call *c)
{
    wechat_refuse(c, 400, "PARAM_ERROR", "mchid与签名商户不一致 mchid is required, and is the one that signed");
}

static void refuse_unknown(struct wechat_call *c)
{
    wechat_refuse(c, 404, "ORDER_NOT_EXIST", "订单不存在 no such order");
}

// --- Members

static bool first_plane_only(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] >= 0xf0) return false;
    return true;
}

static size_t characters(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

void wechat_text(const struct json_in *in, const char *name, size_t min, size_t max, char *out, size_t size)
{
    struct str s;
    out[0] = 0;
    if (!json_in_str(in, name, min > 0, size - 1, &s)) return;
    size_t n = characters(s);
    if (n < min || n > max)
        json_in_fail(in, name, "too_long", "must have %zu to %zu characters", min, max);
    else if (!first_plane_only(s))
        json_in_fail(in, name, "out_of_range", "takes no character of four bytes");
    memcpy(out, s.p, s.n);
    out[s.n] = 0;
}

bool wechat_is_number(const char *z, size_t min, const char *signs)
{
    size_t n = strlen(z);
    for (size_t i = 0; i < n; i++) {
        char c = z[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!plain && !strchr(signs, c)) return false;
    }
    return n >= min;
}

void wechat_notify_url(const struct json_in *in, bool required, char out[URL_MAX + 1])
{
    wechat_text(in, "notify_url", required ? 1 : 0, 255, out, URL_MAX + 1);
    if (!out[0]) return;
    if (strchr(out, '?'))
        json_in_fail(in, "notify_url", "out_of_range", "takes no query");
    else if (!url_is_loopback(out))
        json_in_fail(in, "notify_url", "out_of_range", "this sandbox notifies loopback addresses only");
}

// --- Placing an order

static void read_number(const struct json_in *in, struct code *code)
{
    wechat_text(in, "out_trade_no", 6, 32, code->out_trade_no, sizeof code->out_trade_no);
    if (!wechat_is_number(code->out_trade_no, 6, "_-|*"))
        json_in_fail(in, "out_trade_no", "out_of_range", "must be 6 to 32 of 0-9A-Za-z_-|*");
}

static void read_amount(const struct json_in *in, struct code *code)
{
    struct json_in amount = {.at = "/amount", .fault = in->fault};
    struct str currency = STR("CNY");
    if (!json_in_object(in, "amount", true, &amount.object)) return;
    (void)json_in_int(&amount, "total", true, 1, TOTAL_MAX_FEN, &code->total_fen);
    if (json_in_str(&amount, "currency", false, 16, &currency) && !str_eq(currency, STR("CNY")))
        json_in_fail(&amount, "currency", "out_of_range", "must be CNY");
}

// The last moment to pay. Earlier than a minute ahead is a minute ahead.
static void read_time_expire(const struct json_in *in, struct code *code)
{
    struct str text;
    int64_t now_ms = code->created_ms;
    code->trade_dies_ms = now_ms + TRADE_LIFE_MS;
    if (!json_in_str(in, "time_expire", false, 64, &text)) return;
    if (!time_from_rfc3339(text, &code->trade_dies_ms))
        json_in_fail(in, "time_expire", "out_of_range", "must be like 2026-11-23T10:05:00+08:00");
    else if (code->trade_dies_ms <= now_ms || code->trade_dies_ms > now_ms + TIME_EXPIRE_MOST)
        json_in_fail(in, "time_expire", "out_of_range", "must lie ahead, and not more than 90 days");
    else if (code->trade_dies_ms < now_ms + MINUTE_MS)
        code->trade_dies_ms = now_ms + MINUTE_MS;
}

static void read_payer(const struct json_in *in, struct code *code)
{
    struct json_in payer = {.at = "/payer", .fault = in->fault};
    if (code->kind != CODE_JSAPI || !json_in_object(in, "payer", true, &payer.object)) return;
    wechat_text(&payer, "openid", 1, OPENID_MAX, code->openid, sizeof code->openid);
}

static void read_scene(const struct json_in *in, const struct code *code)
{
    struct json_in scene = {.at = "/scene_info", .fault = in->fault};
    struct json_in h5 = {.at = "/scene_info/h5_info", .fault = in->fault};
    char text[256];
    if (code->kind != CODE_H5 || !json_in_object(in, "scene_info", true, &scene.object)) return;
    wechat_text(&scene, "payer_client_ip", 1, 45, text, sizeof text);
    if (json_in_object(&scene, "h5_info", true, &h5.object)) wechat_text(&h5, "type", 1, 32, text, sizeof text);
}

// Everything that was sent makes a number's terms, the way of paying too.
static bool hash_terms(const struct wechat_call *c, struct code *code)
{
    uint8_t digest[32];
    struct buf text = {0};
    char *body = json_dumps(c->body, JSON_SORT_KEYS | JSON_COMPACT);
    if (body) buf_printf(&text, "%d%s", (int)code->kind, body);
    bool ok = body && !text.failed;
    if (ok) crypto_sha256(buf_view(&text), digest);
    if (ok) crypto_hex(digest, sizeof digest, code->terms);
    free(body);
    buf_free(&text);
    return ok;
}

// False: refused already.
static bool order_read(struct wechat_call *c, struct code *code)
{
    const struct sandbox_identity *id = &c->sandbox->keys.identity;
    struct json_fault fault = {0};
    struct json_in in = {.object = c->body, .at = "", .fault = &fault};
    struct str appid = {0}, mchid = {0};
    (void)json_in_str(&in, "appid", true, 32, &appid);
    (void)json_in_str(&in, "mchid", true, 32, &mchid);
    wechat_text(&in, "description", 1, 127, code->subject, sizeof code->subject);
    read_number(&in, code);
    wechat_notify_url(&in, true, code->notify_url);
    read_amount(&in, code);
    read_time_expire(&in, code);
    wechat_text(&in, "attach", 0, 128, code->passback, sizeof code->passback);
    read_payer(&in, code);
    read_scene(&in, code);
    if (fault.code)
        wechat_refuse_fault(c, &fault);
    else if (!str_eq(mchid, str_of(id->mchid)))
        wechat_refuse_mchid(c);
    else if (!str_eq(appid, str_of(id->appid)))
        wechat_refuse(c, 400, "APPID_MCHID_NOT_MATCH", "appid和mchid不匹配 appid and mchid do not match");
    else
        return true;
    return false;
}

static void code_text_make(struct code *code, int64_t now_ms)
{
    char wall[TIME_TEXT_SIZE], token[21], prepay_id[40];
    time_to_beijing(now_ms, wall); // 2026-11-23 10:05:00
    wechat_token(token, 20);
    (void)snprintf(prepay_id, sizeof prepay_id, "wx%.4s%.2s%.2s%.2s%.2s%.2s%s", wall, wall + 5, wall + 8, wall + 11,
                   wall + 14, wall + 17, token);
    switch (code->kind) {
    case CODE_QR: (void)snprintf(code->text, sizeof code->text, "weixin://wxpay/bizpayurl?pr=%s", token); break;
    case CODE_JSAPI: (void)snprintf(code->text, sizeof code->text, "%s", prepay_id); break;
    case CODE_H5:
        (void)snprintf(code->text, sizeof code->text,
                       "https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=%s&package=1", prepay_id);
        break;
    }
}

// Whether the number may still be used for these terms; refused already when not.
static bool number_is_free(struct wechat_call *c, const struct code *code, const struct trade *t)
{
    switch (t->state) {
    case TRADE_WAITING:
        if (strcmp(t->code.terms, code->terms) != 0)
            wechat_refuse(c, 400, "INVALID_REQUEST",
                          "201 商户订单号重复 this number was used for an order with other content");
        else if (c->now_ms >= t->expires_ms)
            wechat_refuse(c, 400, "INVALID_REQUEST",
                          "订单已过期 the order's time_expire is over: a new number is needed");
        else
            return true;
        return false;
    case TRADE_PAID:
    case TRADE_FINISHED:
        wechat_refuse(c, 403, "OUT_TRADE_NO_USED", "商户订单号重复，订单已支付 the order of this number is paid");
        return false;
    case TRADE_CLOSED: wechat_refuse(c, 400, "ORDER_CLOSED", "订单已关闭 the order is closed"); return false;
    }
    return false;
}

// The order exists from now on. The same order again gets a fresh code.
static void place(struct wechat_call *c, enum code_kind kind, const char *answer_name)
{
    struct ledger *l = c->sandbox->ledger;
    struct code code = {.channel = SANDBOX_WECHATPAY, .kind = kind, .created_ms = c->now_ms};
    struct trade t;
    code.by_public_key = c->by_public_key;
    if (!order_read(c, &code)) return;
    if (!hash_terms(c, &code)) {
        wechat_refuse(c, 500, "SYSTEM_ERROR", "系统错误 out of memory");
        return;
    }
    bool exists = ledger_trade_by_number(l, SANDBOX_WECHATPAY, code.out_trade_no, &t);
    if (exists && !number_is_free(c, &code, &t)) return;
    if (exists) code.trade_dies_ms = t.expires_ms;
    code.dies_ms = c->now_ms + (kind == CODE_H5 ? H5_LIFE_MS : CODE_LIFE_MS);
    code_text_make(&code, c->now_ms);
    ledger_code_add(l, &code);
    if (!exists) (void)trade_open(c->sandbox, &code, c->now_ms);
    json_open(c->out, '{');
    json_kz(c->out, answer_name, code.text);
    json_close(c->out, '}');
}

void wechat_native(struct wechat_call *c)
{
    place(c, CODE_QR, "code_url");
}

void wechat_jsapi(struct wechat_call *c)
{
    place(c, CODE_JSAPI, "prepay_id");
}

void wechat_h5(struct wechat_call *c)
{
    place(c, CODE_H5, "h5_url");
}

// --- Query and close

static bool copy_number(struct str s, char out[NUMBER_MAX + 1])
{
    if (s.n == 0 || s.n > NUMBER_MAX || memchr(s.p, 0, s.n)) return false;
    memcpy(out, s.p, s.n);
    out[s.n] = 0;
    return true;
}

static bool query_names_merchant(struct wechat_call *c)
{
    struct buf mchid = {0};
    bool good =
        http_query(c->x->query, "mchid", &mchid) && str_eq(buf_view(&mchid), str_of(c->sandbox->keys.identity.mchid));
    buf_free(&mchid);
    if (!good) wechat_refuse_mchid(c);
    return good;
}

static void show(struct wechat_call *c, const struct trade *t)
{
    bool has_refund = ledger_refund_use(c->sandbox->ledger, t->id).n > 0;
    wechat_trade_write(&c->sandbox->keys.identity, t, has_refund, c->out);
}

void wechat_query_by_number(struct wechat_call *c)
{
    char number[NUMBER_MAX + 1];
    struct trade t;
    if (!query_names_merchant(c)) return;
    if (copy_number(c->tail, number) && ledger_trade_by_number(c->sandbox->ledger, SANDBOX_WECHATPAY, number, &t))
        show(c, &t);
    else
        refuse_unknown(c);
}

// A trade that was not paid has no number that anybody could know.
void wechat_query_by_id(struct wechat_call *c)
{
    char number[NUMBER_MAX + 1];
    struct trade t;
    if (!query_names_merchant(c)) return;
    if (copy_number(c->tail, number) && ledger_trade_by_no(c->sandbox->ledger, SANDBOX_WECHATPAY, number, &t) &&
        t.paid_ms)
        show(c, &t);
    else
        refuse_unknown(c);
}

void wechat_close(struct wechat_call *c)
{
    char number[NUMBER_MAX + 1];
    struct trade t;
    struct json_fault fault = {0};
    struct json_in in = {.object = c->body, .at = "", .fault = &fault};
    struct str mchid = {0};
    if (!json_in_str(&in, "mchid", true, 32, &mchid)) {
        wechat_refuse_fault(c, &fault);
        return;
    }
    if (!str_eq(mchid, str_of(c->sandbox->keys.identity.mchid))) {
        wechat_refuse_mchid(c);
        return;
    }
    if (!copy_number(c->tail, number) || !ledger_trade_by_number(c->sandbox->ledger, SANDBOX_WECHATPAY, number, &t)) {
        refuse_unknown(c);
        return;
    }
    switch (t.state) {
    case TRADE_WAITING:
        trade_close(c->sandbox, &t, c->now_ms);
        c->status = 204;
        return;
    case TRADE_PAID:
    case TRADE_FINISHED: wechat_refuse(c, 400, "INVALID_REQUEST", "订单已支付 the order is paid"); return;
    case TRADE_CLOSED: wechat_refuse(c, 400, "ORDER_CLOSED", "订单已关闭 the order is closed"); return;
    }
}
