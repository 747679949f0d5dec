// SPDX-License-Identifier: Apache-2.0
// Alipay's newer door, /v3/alipay/...: JSON in and out, the HTTP status is the verdict, signatures stand in headers.
// The path is the method's name with slashes for dots, and what it does is alipay_methods.c's, as at the old gateway.
#include "base/timetext.h"
#include "sandbox/alipay_methods.h"
#include <stdio.h>

#define SCHEME      "ALIPAY-SHA256withRSA "
#define FRESH_S     600 // where the request does not say for how long it is good
#define FRESH_MAX_S 86400
#define METHOD_MAX  128
#define DOCUMENTS   "https://opendocs.alipay.com/open-v3"

// "app_id=..[,app_cert_sn=..],nonce=..,timestamp=..[,..],sign=..": what is signed is the text before ",sign=", as it
// is.
struct v3_auth {
    struct str text, sign;
    struct str app_id, app_cert_sn, nonce, timestamp, expired_seconds;
};

struct v3_call {
    struct call call;
    const struct http_exchange *x;
    struct buf method;
    int status;
};

// --- Answers

// "isv.invalid-app-id" is invalid-app-id here; what the business says ("ACQ...") keeps its name.
static const char *v3_code(const char *sub_code)
{
    bool is_gateways = strncmp(sub_code, "isv.", 4) == 0 || strncmp(sub_code, "isp.", 4) == 0;
    return sub_code + (is_gateways ? 4 : 0);
}

static int status_of(const struct call *c)
{
    static const char *const sender[] = {"isv.invalid-signature",  "isv.missing-signature",
                                         "isv.invalid-app-id",     "isv.invalid-timestamp",
                                         "isv.app-cert-not-exist", "isv.invalid-alipay-root-cert-sn"};
    if (strcmp(c->code, "20000") == 0 || strcmp(c->sub_code, "ACQ.SYSTEM_ERROR") == 0) return 500;
    if (strcmp(c->sub_code, "isv.invalid-method") == 0) return 404;
    for (size_t i = 0; i < sizeof sender / sizeof sender[0]; i++)
        if (strcmp(c->sub_code, sender[i]) == 0) return 401;
    return 400;
}

// What the methods said, as this door says it: a failure has these three members and no others.
static void failure_write(struct v3_call *v)
{
    struct call *c = &v->call;
    v->status = status_of(c);
    buf_clear(c->out);
    json_open(c->out, '{');
    json_kz(c->out, "code", v3_code(c->sub_code));
    json_kz(c->out, "message", c->sub_msg);
    json_kz(c->out, "links", DOCUMENTS);
    json_close(c->out, '}');
}

static void refuse_sender(struct v3_call *v, const char *sub_code, const char *message)
{
    alipay_refuse_invalid(&v->call, sub_code, message);
}

// --- Who sent it

static bool auth_read(struct str header, struct v3_auth *auth)
{
    static const char mark[] = ",sign=";
    *auth = (struct v3_auth){0};
    if (!str_starts(header, STR(SCHEME))) return false;
    struct str rest = {header.p + sizeof SCHEME - 1, header.n - (sizeof SCHEME - 1)};
    const char *sign = rest.n ? memmem(rest.p, rest.n, mark, sizeof mark - 1) : NULL;
    if (!sign) return false;
    auth->text = (struct str){rest.p, (size_t)(sign - rest.p)};
    auth->sign = (struct str){sign + sizeof mark - 1, rest.n - auth->text.n - (sizeof mark - 1)};
    const struct {
        const char *name;
        struct str *value;
    } fields[] = {{"app_id=", &auth->app_id},
                  {"app_cert_sn=", &auth->app_cert_sn},
                  {"nonce=", &auth->nonce},
                  {"timestamp=", &auth->timestamp},
                  {"expired_seconds=", &auth->expired_seconds}};
    for (struct str text = auth->text; text.n > 0;) {
        const char *comma = memchr(text.p, ',', text.n);
        struct str field = {text.p, comma ? (size_t)(comma - text.p) : text.n};
        for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
            size_t n = strlen(fields[i].name);
            if (!str_starts(field, str_of(fields[i].name))) continue;
            if (fields[i].value->p) return false; // twice: nobody could say which one was meant
            *fields[i].value = (struct str){field.p + n, field.n - n};
        }
        text.p += field.n + (comma ? 1 : 0);
        text.n -= field.n + (comma ? 1 : 0);
    }
    return auth->app_id.n && auth->nonce.n && auth->timestamp.n;
}

static bool count_parse(struct str s, int64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
        *out = *out * 10 + (s.p[i] - '0');
    }
    return s.n > 0;
}

static bool is_fresh(const struct v3_auth *auth, int64_t real_ms)
{
    int64_t sent_ms, good_s = FRESH_S;
    if (auth->timestamp.n > 15 || !count_parse(auth->timestamp, &sent_ms)) return false;
    if (auth->expired_seconds.n &&
        (auth->expired_seconds.n > 6 || !count_parse(auth->expired_seconds, &good_s) || good_s > FRESH_MAX_S))
        return false;
    return sent_ms >= real_ms - good_s * 1000 && sent_ms <= real_ms + FRESH_S * 1000;
}

static void lines_write(const struct str *lines, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        buf_str(out, lines[i]);
        buf_char(out, '\n');
    }
}

// An authorised merchant's token is a line of its own, only where there is one.
static void request_text(const struct v3_auth *auth, const struct http_exchange *x, struct str app_auth_token,
                         struct buf *out)
{
    const struct str lines[] = {auth->text, x->method_text, x->target, x->body, app_auth_token};
    lines_write(lines, app_auth_token.n ? 5 : 4, out);
}

static bool is_signed(const struct v3_call *v, const struct v3_auth *auth)
{
    struct buf text = {0};
    request_text(auth, v->x, http_header(v->x, "alipay-app-auth-token"), &text);
    bool good = !text.failed && crypto_rsa2_verify(v->call.sandbox->keys.app_public, buf_view(&text), auth->sign);
    buf_free(&text);
    return good;
}

// Certificate mode is what a call that names certificates is in.
static bool has_certs(const struct v3_call *v, const struct v3_auth *auth)
{
    return auth->app_cert_sn.n || http_header(v->x, "alipay-root-cert-sn").n;
}

// False: refused already.
static bool sender_is_known(struct v3_call *v, const struct v3_auth *auth)
{
    const struct keys *k = &v->call.sandbox->keys;
    if (!auth->text.n)
        refuse_sender(v, "isv.missing-signature",
                      "Authorization is " SCHEME "app_id=,[app_cert_sn=,]nonce=,timestamp=,sign=");
    else if (!str_eq(auth->app_id, str_of(k->identity.app_id)))
        refuse_sender(v, "isv.invalid-app-id", "this app_id is not known");
    else if (!is_fresh(auth, clock_real_ms()))
        refuse_sender(v, "isv.invalid-timestamp", "timestamp is in milliseconds, and good for expired_seconds");
    else if (!alipay_certs_are_ours(&v->call, has_certs(v, auth), auth->app_cert_sn,
                                    http_header(v->x, "alipay-root-cert-sn")))
        return false;
    else if (!is_signed(v, auth))
        refuse_sender(v, "isv.invalid-signature",
                      "what is signed: the text of Authorization before ,sign= / method / path with query / body, each "
                      "followed by a line feed");
    else
        return true;
    return false;
}

// --- What it asks

// "/v3/alipay/trade/query" is alipay.trade.query. False for what names no method anywhere.
static bool method_of_path(struct str path, struct buf *out)
{
    struct str name = {path.p + 4, path.n - 4}; // "/v3/"
    if (name.n > METHOD_MAX || memchr(name.p, '.', name.n)) return false;
    for (size_t i = 0; i < name.n; i++)
        buf_char(out, name.p[i] == '/' ? '.' : name.p[i]);
    return !out->failed;
}

// A query string as the object it stands for.
static json_t *content_of_query(struct str query, char why[160])
{
    struct params p;
    json_t *o = params_read(&p, query, STR(""), why) ? json_object() : NULL;
    for (unsigned i = 0; o && i < p.n; i++) {
        json_t *v = json_stringn(p.list[i].value.p ? p.list[i].value.p : "", p.list[i].value.n);
        if (json_object_setn_new(o, p.list[i].name.p, p.list[i].name.n, v) == 0) continue;
        json_decref(o);
        o = NULL;
        (void)snprintf(why, 160, "the query cannot be read");
    }
    params_free(&p);
    return o;
}

static json_t *content_read(const struct http_exchange *x, char why[160])
{
    struct json_fault fault = {0};
    if (x->method == HTTP_GET) return content_of_query(x->query, why);
    json_t *o = json_read_object(x->body, &fault);
    if (!o) (void)snprintf(why, 160, "%s", fault.detail);
    return o;
}

static void run(struct v3_call *v, const struct gateway_fate *fate)
{
    struct call *c = &v->call;
    char why[160];
    if (!method_of_path(v->x->path, &v->method)) {
        alipay_refuse_invalid(c, "isv.invalid-method", "nothing is here");
        return;
    }
    c->biz = content_read(v->x, why);
    if (!c->biz) {
        alipay_refuse_invalid(c, "isv.invalid-parameter", why);
        return;
    }
    const char *notify_url = json_string_value(json_object_get(c->biz, "notify_url"));
    c->notify_url = str_of(notify_url);
    alipay_method_run(c, buf_view(&v->method), fate);
}

// --- The exchange

static bool answer_sign(const struct crypto_key *key, const char *timestamp, const char *nonce, struct str body,
                        struct buf *sign)
{
    struct buf text = {0};
    const struct str lines[] = {str_of(timestamp), str_of(nonce), body};
    lines_write(lines, 3, &text);
    bool ok = !text.failed && crypto_rsa2_sign(key, buf_view(&text), sign);
    buf_free(&text);
    return ok;
}

static bool signature_write(const struct keys *k, bool with_cert, struct str body, struct buf *headers)
{
    struct buf sign = {0};
    uint8_t random[16];
    char nonce[33], timestamp[24];
    bool ok = crypto_random(random, sizeof random);
    crypto_hex(random, sizeof random, nonce);
    (void)snprintf(timestamp, sizeof timestamp, "%lld", (long long)clock_real_ms());
    ok = ok && answer_sign(k->alipay_private, timestamp, nonce, body, &sign);
    buf_printf(headers, "alipay-timestamp: %s\r\nalipay-nonce: %s\r\nalipay-signature: ", timestamp, nonce);
    buf_str(headers, buf_view(&sign));
    buf_z(headers, "\r\n");
    if (with_cert) buf_printf(headers, "alipay-sn: %s\r\n", k->alipay_ca.alipay_sn);
    buf_free(&sign);
    return ok && !headers->failed;
}

static void answer_write(struct sandbox *s, struct v3_call *v, bool with_cert, struct answer *a)
{
    if (v->call.sub_code) failure_write(v);
    answer_json(a, v->status);
    if (!signature_write(&s->keys, with_cert, buf_view(&a->body), &a->headers)) a->body.failed = true;
}

void alipay_v3_request(struct sandbox *s, const struct http_exchange *x, struct answer *a)
{
    struct gateway_fate fate = alipay_gateway_fate(s, "alipay-trace-id", a);
    struct v3_auth auth;
    struct v3_call v = {
        .call = {.sandbox = s, .now_ms = clock_now_ms(s->clock), .is_bare = true, .out = &a->body},
        .x = x,
        .status = 200,
    };
    if (!auth_read(http_header(x, "Authorization"), &auth)) auth = (struct v3_auth){0};
    bool with_cert = has_certs(&v, &auth);
    if (fate.unavailable)
        alipay_refuse_busy(&v.call);
    else if (sender_is_known(&v, &auth))
        run(&v, &fate);
    if (fate.hangs) {
        a->delay_ms = GATEWAY_HANG_MS;
        alipay_refuse_busy(&v.call);
    }
    answer_write(s, &v, with_cert, a);
    if (fate.unavailable || fate.hangs) a->status = fate.hangs ? 504 : 503;
    json_decref(v.call.biz);
    buf_free(&v.method);
}
