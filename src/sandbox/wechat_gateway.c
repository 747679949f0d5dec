// SPDX-License-Identifier: Apache-2.0
// WeChat Pay's side of the door: which call it is, who sent it, what the faults make of it, and the signature under
// every answer. Everything is HTTP/1.1 with JSON, errors too, and the headers are spelt as the SDKs look for them.
#include "base/timetext.h"
#include "sandbox/bill.h"
#include "sandbox/trades.h"
#include "sandbox/wechat_methods.h"
#include "sandbox/wechat_nonces.h"
#include "sandbox/wechat_wire.h"
#include <stdio.h>

#define ORDERS "/v3/pay/transactions/"

static void certificates(struct wechat_call *c);

static const struct route {
    enum http_method method;
    const char *path, *end; // what the path begins and ends with; NULL: nothing may follow `path`
    void (*run)(struct wechat_call *c);
    bool is_counted, is_refund;
} ROUTES[] = {
    {HTTP_POST, ORDERS "native", NULL, wechat_native, true, false},
    {HTTP_POST, ORDERS "jsapi", NULL, wechat_jsapi, true, false},
    {HTTP_POST, ORDERS "h5", NULL, wechat_h5, true, false},
    {HTTP_GET, ORDERS "out-trade-no/", "", wechat_query_by_number, true, false},
    {HTTP_GET, ORDERS "id/", "", wechat_query_by_id, true, false},
    {HTTP_POST, ORDERS "out-trade-no/", "/close", wechat_close, true, false},
    {HTTP_POST, "/v3/refund/domestic/refunds", NULL, wechat_refund, true, true},
    {HTTP_GET, "/v3/refund/domestic/refunds/", "", wechat_refund_query, true, false},
    {HTTP_GET, "/v3/bill/tradebill", NULL, wechat_bill, true, false},
    {HTTP_GET, WECHAT_BILL_DOWNLOAD, NULL, wechat_bill_download, true, false},
    {HTTP_GET, "/v3/certificates", NULL, certificates, false, false},
};
#define N_ROUTES (sizeof ROUTES / sizeof ROUTES[0])

// What of the path the route leaves open, in `tail`.
static bool route_matches(const struct route *r, const struct http_exchange *x, struct str *tail)
{
    struct str begin = str_of(r->path), end = str_of(r->end), path = x->path;
    if (r->method != x->method || !str_starts(path, begin)) return false;
    *tail = (struct str){path.p + begin.n, path.n - begin.n};
    if (!r->end) return tail->n == 0;
    if (tail->n < end.n || !str_eq((struct str){tail->p + tail->n - end.n, end.n}, end)) return false;
    tail->n -= end.n;
    return true;
}

static const struct route *route_find(const struct http_exchange *x, struct str *tail)
{
    for (size_t i = 0; i < N_ROUTES; i++)
        if (route_matches(&ROUTES[i], x, tail)) return &ROUTES[i];
    return NULL;
}

// --- /v3/certificates

static void certificates(struct wechat_call *c)
{
    const struct keys *k = &c->sandbox->keys;
    json_open(c->out, '{');
    json_key(c->out, "data");
    json_open(c->out, '[');
    json_open(c->out, '{');
    json_kz(c->out, "serial_no", k->identity.platform_serial);
    wechat_time_write(c->out, "effective_time", k->cert_from_ms);
    wechat_time_write(c->out, "expire_time", k->cert_until_ms);
    json_key(c->out, "encrypt_certificate");
    json_open(c->out, '{');
    bool ok = wechat_sealed_write(k, buf_view(&k->platform_cert), "certificate", c->out);
    json_close(c->out, '}');
    json_close(c->out, '}');
    json_close(c->out, ']');
    json_close(c->out, '}');
    if (!ok) wechat_refuse(c, 500, "SYSTEM_ERROR", "系统错误 system error");
}

// --- Who sent it

// Developers debug with the text the gateway built.
static void refuse_signature(struct wechat_call *c, struct str sign_text)
{
    c->status = 401;
    buf_clear(c->out);
    json_open(c->out, '{');
    json_kz(c->out, "code", "SIGN_ERROR");
    json_kz(c->out, "message", "错误的签名，验签失败 the signature is wrong");
    json_key(c->out, "detail");
    json_open(c->out, '{');
    json_kz(c->out, "field", "signature");
    json_kz(c->out, "issue", "sign not match");
    json_kz(c->out, "location", "authorization");
    json_key(c->out, "sign_information");
    json_open(c->out, '{');
    json_kstr(c->out, "method", c->x->method_text);
    json_kstr(c->out, "url", c->x->target);
    json_ki64(c->out, "sign_message_length", (int64_t)sign_text.n);
    json_close(c->out, '}');
    json_close(c->out, '}');
    json_close(c->out, '}');
}

static void refuse_sender(struct wechat_call *c, const char *message)
{
    wechat_refuse(c, 401, "SIGN_ERROR", message);
}

static bool seconds_parse(struct str s, int64_t *seconds)
{
    *seconds = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
        *seconds = *seconds * 10 + (s.p[i] - '0');
    }
    return s.n > 0 && s.n <= 12;
}

static bool is_fresh(struct str timestamp, int64_t real_ms)
{
    int64_t seconds, now = real_ms / 1000;
    return timestamp.n <= 12 && seconds_parse(timestamp, &seconds) && seconds >= now - WECHAT_SKEW_S &&
           seconds <= now + WECHAT_SKEW_S;
}

static bool is_signed(struct wechat_call *c, const struct wechat_auth *auth, int64_t real_ms)
{
    struct sandbox *s = c->sandbox;
    struct buf text = {0};
    bool good = false;
    wechat_sign_text(auth, c->x, &text);
    if (text.failed)
        wechat_refuse(c, 500, "SYSTEM_ERROR", "系统错误 out of memory");
    else if (!crypto_rsa2_verify(s->keys.merchant_public, buf_view(&text), auth->signature))
        refuse_signature(c, buf_view(&text));
    else if (!wechat_nonces_take(s->wechat_nonces, buf_view(&text), real_ms))
        refuse_sender(c, "请求重放 this very request was here before: a new nonce_str is needed");
    else
        good = true;
    buf_free(&text);
    return good;
}

// False: refused already.
static bool sender_is_known(struct wechat_call *c)
{
    const struct sandbox_identity *id = &c->sandbox->keys.identity;
    struct wechat_auth auth;
    int64_t real_ms = clock_real_ms();
    if (!wechat_auth_read(http_header(c->x, "Authorization"), &auth))
        refuse_sender(c, "Authorization格式错误 Authorization is WECHATPAY2-SHA256-RSA2048 with mchid, nonce_str, "
                         "timestamp, serial_no and signature");
    else if (!str_eq(auth.mchid, str_of(id->mchid)))
        refuse_sender(c, "商户号不存在 this mchid is not known");
    else if (!str_eq(auth.serial, str_of(id->merchant_serial)))
        refuse_sender(c, "商户证书序列号有误 this serial_no is not that of the merchant's certificate");
    else if (!is_fresh(auth.timestamp, real_ms))
        refuse_sender(
            c, "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟 timestamp is off by more than 5 minutes");
    else
        return is_signed(c, &auth, real_ms);
    return false;
}

// --- The call

static void run(struct wechat_call *c, const struct route *r)
{
    struct json_fault fault = {0};
    if (c->x->method == HTTP_POST && !(c->body = json_read_object(c->x->body, &fault))) {
        wechat_refuse_fault(c, &fault);
        return;
    }
    trades_settle(c->sandbox, c->now_ms);
    r->run(c);
    json_decref(c->body);
    c->body = NULL;
}

static void refuse_busy(struct wechat_call *c)
{
    wechat_refuse(c, 500, "SYSTEM_ERROR", "系统错误 system error");
}

static void call_run(struct wechat_call *c, const struct route *r, const struct gateway_fate *fate)
{
    if (fate->unavailable) {
        wechat_refuse(c, 503, "SERVICE_UNAVAILABLE", "服务不可用 service unavailable");
        return;
    }
    if (!sender_is_known(c)) return;
    if (!r) {
        wechat_refuse(c, 404, "RESOURCE_NOT_EXISTS", "接口不存在 nothing is here");
        return;
    }
    bool executes = fate->limited ? r->is_refund && fate->limited_late : fate->executes;
    if (executes) run(c, r);
    if (fate->limited)
        wechat_refuse(c, 429, "RATELIMIT_EXCEEDED", "请求频率过高 too many requests");
    else if (fate->error || !executes)
        refuse_busy(c);
}

// 204 has no body, and is signed over that.
static void answer_write(struct sandbox *s, const struct wechat_call *c, struct answer *a)
{
    char request_id[33], date[TIME_TEXT_SIZE];
    const char *serial = wechat_serial(&s->keys.identity, c->by_public_key);
    if (c->status == 204) buf_clear(&a->body);
    wechat_token(request_id, 32);
    time_to_http(c->now_ms, date); // by the clock the codes live and die by: a merchant may compare his own with it
    buf_printf(&a->headers, "Request-ID: %s\r\nDate: %s\r\n", request_id, date);
    answer_json(a, c->status);
    if (c->is_file && c->status == 200) {
        a->content_type = "text/plain;charset=utf-8";
        return;
    }
    if (!wechat_signature_write(s->keys.platform_private, serial, buf_view(&a->body), &a->headers))
        a->body.failed = true;
}

void wechat_gateway_request(struct sandbox *s, const struct http_exchange *x, struct answer *a)
{
    struct gateway_fate fate = faults_gateway_draw(&s->faults, s->gateway_draws++);
    struct wechat_call c = {.sandbox = s, .x = x, .now_ms = clock_now_ms(s->clock), .status = 200, .out = &a->body};
    const struct route *r = route_find(x, &c.tail);
    if (!r || r->is_counted) s->calls[SANDBOX_WECHATPAY]++;
    s->counters_changed = true;
    // The merchant names the key he will verify with; who names none is answered with the certificate, as ever.
    c.by_public_key = str_eq(http_header(x, "Wechatpay-Serial"), str_of(s->keys.identity.platform_key_id));
    a->delay_ms = (unsigned)fate.delay_ms;
    call_run(&c, r, &fate);
    if (fate.hangs) {
        a->delay_ms = GATEWAY_HANG_MS;
        wechat_refuse(&c, 504, "SYSTEM_ERROR", "超时 timeout");
    }
    answer_write(s, &c, a);
}
