// SPDX-License-Identifier: Apache-2.0
#include "channel/wechatpay_wire.h"
#include "base/timetext.h"
#include <inttypes.h>
#include <stdio.h>

#define DESCRIPTION_MAX_BYTES  127
#define DESCRIPTION_WHEN_EMPTY "Order"
#define ADDRESS_MAX            45 // characters of an address of IPv6 with one of IPv4 in it

// --- Description

// Control characters, what is no UTF-8, and what takes four bytes: WeChat Pay refuses it.
static bool is_unwelcome(struct str s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s.p;
    if (n == 0 || n == 4) return true;
    if (n == 1) return p[0] < 0x20 || p[0] == 0x7f;
    return n == 2 && p[0] == 0xc2 && p[1] < 0xa0; // C1 controls
}

void wechatpay_description(struct str subject, struct buf *out)
{
    size_t from = out->n;
    while (subject.n > 0) {
        size_t n = str_utf8_len(subject);
        struct str c = is_unwelcome(subject, n) ? STR(" ") : (struct str){subject.p, n};
        bool is_space = c.n == 1 && c.p[0] == ' ';
        if (out->n - from + c.n > DESCRIPTION_MAX_BYTES) break;
        // what was taken out leaves one space, so that words stay apart; none at the front
        if (!is_space || (out->n > from && out->p[out->n - 1] != ' ')) buf_str(out, c);
        subject.p += n ? n : 1;
        subject.n -= n ? n : 1;
    }
    while (out->n > from && out->p[out->n - 1] == ' ')
        out->n--;
    if (out->n == from) buf_z(out, DESCRIPTION_WHEN_EMPTY);
}

// --- Signing

bool wechatpay_nonce(char out[WECHATPAY_NONCE_SIZE])
{
    uint8_t random[(WECHATPAY_NONCE_SIZE - 1) / 2];
    if (!crypto_random(random, sizeof random)) return false;
    crypto_hex(random, sizeof random, out);
    return true;
}

static void add_line(struct str s, struct buf *out)
{
    buf_str(out, s);
    buf_char(out, '\n');
}

void wechatpay_canonical(const char *method, struct str target, struct str timestamp, struct str nonce, struct str body,
                         struct buf *out)
{
    add_line(str_of(method), out);
    add_line(target, out);
    add_line(timestamp, out);
    add_line(nonce, out);
    add_line(body, out);
}

// Path and query of an absolute address, as they go over the wire.
static struct str target_of(struct str url)
{
    const char *authority = memmem(url.p, url.n, "://", 3);
    const char *path = authority ? memchr(authority + 3, '/', url.n - (size_t)(authority + 3 - url.p)) : NULL;
    if (!path) return STR("/");
    return (struct str){path, url.n - (size_t)(path - url.p)};
}

// The merchant's serial, number and nonce are plain text (checked when the channel is opened): no quoting.
static bool authorize(const struct wechatpay_app *app, int64_t real_ms, struct call_request *r)
{
    char timestamp[24], nonce[WECHATPAY_NONCE_SIZE];
    struct buf canonical = {0}, sign = {0};
    (void)snprintf(timestamp, sizeof timestamp, "%" PRId64, real_ms / 1000);
    if (r->url.failed || r->body.failed || !wechatpay_nonce(nonce)) return false;
    wechatpay_canonical(r->is_post ? "POST" : "GET", target_of(buf_view(&r->url)), str_of(timestamp), str_of(nonce),
                        buf_view(&r->body), &canonical);
    bool ok = !canonical.failed && crypto_rsa2_sign(app->merchant_key, buf_view(&canonical), &sign);
    if (ok)
        buf_printf(&r->headers,
                   "Authorization: WECHATPAY2-SHA256-RSA2048 mchid=\"%s\",nonce_str=\"%s\",signature=\"%.*s\","
                   "timestamp=\"%s\",serial_no=\"%s\"\n",
                   app->mchid, nonce, (int)sign.n, sign.p, timestamp, app->serial);
    buf_free(&canonical);
    buf_free(&sign);
    return ok && !r->headers.failed;
}

static bool request_finish(const struct wechatpay_app *app, int64_t real_ms, struct call_request *r)
{
    char serial[WECHATPAY_SERIAL_MAX + 1];
    buf_z(&r->headers, "Accept: application/json\n");
    if (r->is_post) buf_z(&r->headers, "Content-Type: application/json\n");
    platform_keys_serial(app->keys, real_ms, serial);
    if (serial[0]) buf_printf(&r->headers, "Wechatpay-Serial: %s\n", serial);
    return authorize(app, real_ms, r);
}

bool wechatpay_certificates_request(const struct wechatpay_app *app, int64_t real_ms, struct call_request *out)
{
    out->is_post = false;
    buf_printf(&out->url, "%s/v3/certificates", app->base_url);
    buf_z(&out->headers, "Accept: application/json\n");
    return authorize(app, real_ms, out);
}

bool wechatpay_get_request(const struct wechatpay_app *app, struct str url, const char *accept, int64_t real_ms,
                           struct call_request *out)
{
    char serial[WECHATPAY_SERIAL_MAX + 1];
    out->is_post = false;
    buf_str(&out->url, url);
    buf_printf(&out->headers, "Accept: %s\n", accept);
    platform_keys_serial(app->keys, real_ms, serial);
    if (serial[0]) buf_printf(&out->headers, "Wechatpay-Serial: %s\n", serial);
    return authorize(app, real_ms, out);
}

// --- Bodies

static void add_number(const struct wechatpay_app *app, const char *name, uint64_t key, struct buf *json)
{
    char number[ID_TEXT_SIZE];
    id_format(app->secret, "", key, number);
    json_kz(json, name, number);
}

// The last moment to pay, in RFC 3339 on Beijing's wall.
static void add_expiry(int64_t expires_ms, struct buf *json)
{
    char at[TIME_TEXT_SIZE], text[TIME_TEXT_SIZE + 8];
    time_to_beijing(expires_ms, at);
    char *space = strchr(at, ' ');
    if (space) *space = 'T';
    (void)snprintf(text, sizeof text, "%s+08:00", at);
    json_kz(json, "time_expire", text);
}

static void add_amount(int64_t refund_fen, int64_t total_fen, struct buf *json)
{
    json_key(json, "amount");
    json_open(json, '{');
    if (refund_fen > 0) json_ki64(json, "refund", refund_fen);
    json_ki64(json, "total", total_fen);
    json_kz(json, "currency", "CNY");
    json_close(json, '}');
}

static bool is_payer(struct str payer, size_t max)
{
    for (size_t i = 0; i < payer.n; i++)
        if (payer.p[i] <= ' ' || payer.p[i] >= 0x7f) return false;
    return payer.n > 0 && payer.n <= max;
}

// Who opened the page, where the product wants to know.
static bool add_payer(const struct call *call, struct buf *json)
{
    switch (call->product) {
    case PRODUCT_QR: return true;
    case PRODUCT_JSAPI:
        json_key(json, "payer");
        json_open(json, '{');
        json_kstr(json, "openid", call->payer);
        json_close(json, '}');
        return is_payer(call->payer, PAYER_MAX);
    case PRODUCT_WAP:
        json_key(json, "scene_info");
        json_open(json, '{');
        json_kstr(json, "payer_client_ip", call->payer);
        json_key(json, "h5_info");
        json_open(json, '{');
        json_kz(json, "type", "Wap");
        json_close(json, '}');
        json_close(json, '}');
        return is_payer(call->payer, ADDRESS_MAX);
    }
    return false;
}

static const char *create_path(enum product product)
{
    switch (product) {
    case PRODUCT_QR: return "native";
    case PRODUCT_JSAPI: return "jsapi";
    case PRODUCT_WAP: return "h5";
    }
    return "";
}

static void add_notify_url(const struct wechatpay_app *app, struct buf *json)
{
    if (app->notify_url[0]) json_kz(json, "notify_url", app->notify_url);
}

static bool build_create(const struct wechatpay_app *app, const struct call *call, struct str subject,
                         struct call_request *r)
{
    struct buf description = {0}, *json = &r->body;
    wechatpay_description(subject, &description);
    buf_printf(&r->url, "%s/v3/pay/transactions/%s", app->base_url, create_path(call->product));
    json_open(json, '{');
    json_kz(json, "appid", app->appid);
    json_kz(json, "mchid", app->mchid);
    json_kstr(json, "description", buf_view(&description));
    add_number(app, "out_trade_no", call->payment_key, json);
    add_expiry(call->expires_ms, json);
    add_notify_url(app, json);
    add_amount(0, call->amount_fen, json);
    bool ok = add_payer(call, json) && !description.failed;
    json_close(json, '}');
    buf_free(&description);
    return ok;
}

static void build_refund(const struct wechatpay_app *app, const struct call *call, struct call_request *r)
{
    struct buf *json = &r->body;
    buf_printf(&r->url, "%s/v3/refund/domestic/refunds", app->base_url);
    json_open(json, '{');
    add_number(app, "out_trade_no", call->payment_key, json);
    add_number(app, "out_refund_no", call->number_key, json);
    add_notify_url(app, json);
    add_amount(call->amount_fen, call->total_fen, json);
    json_close(json, '}');
}

static void build_close(const struct wechatpay_app *app, const char *number, struct call_request *r)
{
    buf_printf(&r->url, "%s/v3/pay/transactions/out-trade-no/%s/close", app->base_url, number);
    json_open(&r->body, '{');
    json_kz(&r->body, "mchid", app->mchid);
    json_close(&r->body, '}');
}

// --- The request

bool wechatpay_request(const struct wechatpay_app *app, const struct call *call, struct str subject, int64_t real_ms,
                       struct call_request *out)
{
    char number[ID_TEXT_SIZE], refund_number[ID_TEXT_SIZE];
    id_format(app->secret, "", call->payment_key, number);
    id_format(app->secret, "", call->number_key, refund_number);
    out->is_post = call->method != CALL_QUERY && call->method != CALL_REFUND_QUERY;
    switch (call->method) {
    case CALL_CREATE:
        if (!build_create(app, call, subject, out)) return false;
        break;
    case CALL_QUERY:
        buf_printf(&out->url, "%s/v3/pay/transactions/out-trade-no/%s?mchid=%s", app->base_url, number, app->mchid);
        break;
    case CALL_CLOSE:
    case CALL_CANCEL: // there is no other way to end a trade
        build_close(app, number, out);
        break;
    case CALL_REFUND: build_refund(app, call, out); break;
    case CALL_REFUND_QUERY:
        buf_printf(&out->url, "%s/v3/refund/domestic/refunds/%s", app->base_url, refund_number);
        break;
    case CALL_NONE: return false;
    }
    return request_finish(app, real_ms, out);
}
