// SPDX-License-Identifier: Apache-2.0
#include "channel/alipay_wire.h"
#include "base/timetext.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGE_SUBJECT_MAX   96  // each byte may take three in an address, and addresses have a limit
#define CODE_LIFE_MAX_MIN  120 // an unscanned code dies after two hours whatever is sent
#define COMMON_PARAMS_MAX  12
#define SUBJECT_WHEN_EMPTY "Order"

// --- Money

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool yuan_to_fen(struct str yuan, int64_t *fen)
{
    const char *dot = yuan.n ? memchr(yuan.p, '.', yuan.n) : NULL;
    size_t whole = dot ? (size_t)(dot - yuan.p) : yuan.n;
    size_t decimals = dot ? yuan.n - whole - 1 : 0;
    if (whole == 0 || whole > 9 || (dot && decimals == 0) || decimals > 2) return false;
    if (whole > 1 && yuan.p[0] == '0') return false;
    int64_t v = 0;
    for (size_t i = 0; i < whole + decimals; i++) {
        char c = yuan.p[i < whole ? i : i + 1];
        if (!is_digit(c)) return false;
        v = v * 10 + (c - '0');
    }
    for (; decimals < 2; decimals++)
        v *= 10;
    if (v > AMOUNT_MAX_FEN) return false;
    *fen = v;
    return true;
}

void yuan_of_fen(int64_t fen, char out[YUAN_TEXT_SIZE])
{
    (void)snprintf(out, YUAN_TEXT_SIZE, "%" PRId64 ".%02d", fen / 100, (int)(fen % 100));
}

// --- Subject

static bool is_unwelcome(struct str c, size_t n)
{
    const unsigned char *p = (const unsigned char *)c.p;
    if (n == 1) return p[0] < 0x20 || p[0] == 0x7f || memchr("/=&", p[0], 3);
    return n == 2 && p[0] == 0xc2 && p[1] < 0xa0; // C1 controls
}

void alipay_subject(struct str subject, size_t max_bytes, struct buf *out)
{
    size_t from = out->n;
    while (subject.n > 0) {
        size_t n = str_utf8_len(subject);
        bool drop = n == 0 || is_unwelcome(subject, n);
        struct str c = drop ? STR(" ") : (struct str){subject.p, n};
        bool is_space = c.n == 1 && c.p[0] == ' ';
        if (out->n - from + c.n > max_bytes) break;
        // what was taken out leaves one space, so that words stay apart; none at the front
        if (!is_space || (out->n > from && out->p[out->n - 1] != ' ')) buf_str(out, c);
        subject.p += n ? n : 1;
        subject.n -= n ? n : 1;
    }
    while (out->n > from && out->p[out->n - 1] == ' ')
        out->n--;
    if (out->n == from) buf_z(out, SUBJECT_WHEN_EMPTY);
}

// --- Canonical string

static int param_order(const void *a, const void *b)
{
    const struct alipay_param *x = a, *y = b;
    size_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
    int d = n ? memcmp(x->name.p, y->name.p, n) : 0;
    return d ? d : (x->name.n > y->name.n) - (x->name.n < y->name.n);
}

void alipay_canonical(struct alipay_param *params, unsigned n, struct buf *out)
{
    if (n > 1) qsort(params, n, sizeof *params, param_order);
    for (unsigned i = 0; i < n; i++) {
        if (i > 0) buf_char(out, '&');
        buf_str(out, params[i].name);
        buf_char(out, '=');
        buf_str(out, params[i].value);
    }
}

// --- Business content, one function per method

static void add_number(const struct alipay_app *app, const char *name, uint64_t key, struct buf *json)
{
    char number[ID_TEXT_SIZE];
    id_format(app->secret, "", key, number);
    json_kz(json, name, number);
}

static void add_yuan(const char *name, int64_t fen, struct buf *json)
{
    char yuan[YUAN_TEXT_SIZE];
    yuan_of_fen(fen, yuan);
    json_kz(json, name, yuan);
}

// Both limits: the absolute one (time_expire) ends the trade of a buyer who scanned at the last moment, the relative
// one the code.
static void add_code_life(const struct call *call, int64_t now_ms, struct buf *json)
{
    char life[TIME_TEXT_SIZE];
    int64_t left_ms = call->expires_ms - now_ms;
    int64_t minutes = left_ms > 0 ? (left_ms - 1) / 60000 + 1 : 1;
    (void)snprintf(life, sizeof life, "%" PRId64 "m", minutes < CODE_LIFE_MAX_MIN ? minutes : CODE_LIFE_MAX_MIN);
    json_kz(json, "qr_code_timeout_express", life);
}

static void add_create(const struct call *call, struct str subject, int64_t now_ms, struct buf *json)
{
    struct buf clean = {0};
    char expires[TIME_TEXT_SIZE];
    bool is_page = alipay_is_page(call);
    time_to_beijing(call->expires_ms, expires);
    alipay_subject(subject, is_page ? PAGE_SUBJECT_MAX : ALIPAY_SUBJECT_MAX, &clean);
    add_yuan("total_amount", call->amount_fen, json);
    json_kstr(json, "subject", buf_view(&clean));
    json_kz(json, "time_expire", expires);
    if (is_page)
        json_kz(json, "product_code", "QUICK_WAP_WAY");
    else
        add_code_life(call, now_ms, json);
    if (clean.failed) json->failed = true;
    buf_free(&clean);
}

static void biz_content(const struct alipay_app *app, const struct call *call, struct str subject, int64_t now_ms,
                        struct buf *json)
{
    json_open(json, '{');
    add_number(app, "out_trade_no", call->payment_key, json);
    switch (call->method) {
    case CALL_CREATE: add_create(call, subject, now_ms, json); break;
    case CALL_REFUND:
        add_yuan("refund_amount", call->amount_fen, json);
        add_number(app, "out_request_no", call->number_key, json);
        break;
    case CALL_REFUND_QUERY: add_number(app, "out_request_no", call->number_key, json); break;
    case CALL_NONE:
    case CALL_QUERY:
    case CALL_CLOSE:
    case CALL_CANCEL: break;
    }
    json_close(json, '}');
}

// --- The request

const char *alipay_method(enum call_method method)
{
    switch (method) {
    case CALL_CREATE: return "alipay.trade.precreate";
    case CALL_QUERY: return "alipay.trade.query";
    case CALL_CLOSE: return "alipay.trade.close";
    case CALL_CANCEL: return "alipay.trade.cancel";
    case CALL_REFUND: return "alipay.trade.refund";
    case CALL_REFUND_QUERY: return "alipay.trade.fastpay.refund.query";
    case CALL_NONE: break;
    }
    return NULL;
}

bool alipay_is_page(const struct call *call)
{
    return call->method == CALL_CREATE && call->product == PRODUCT_WAP;
}

static bool is_unreserved(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c && strchr("-_.~", c));
}

static void percent_encode(struct str s, struct buf *out)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (is_unreserved(s.p[i])) {
            buf_char(out, s.p[i]);
        } else {
            char escaped[3] = {'%', hex[c >> 4], hex[c & 15]};
            buf_add(out, escaped, 3);
        }
    }
}

static void add_pair(const char *name, struct str value, struct buf *out)
{
    buf_z(out, name);
    buf_char(out, '=');
    percent_encode(value, out);
}

// All but biz_content and sign; an empty one is not sent at all, since verifiers disagree about empties.
static unsigned common_params(const struct alipay_app *app, const char *method, const char *notify_url,
                              const char *timestamp, struct alipay_param *params)
{
    unsigned n = 0;
    params[n++] = (struct alipay_param){STR("app_id"), str_of(app->app_id)};
    params[n++] = (struct alipay_param){STR("charset"), STR("utf-8")};
    params[n++] = (struct alipay_param){STR("format"), STR("JSON")};
    params[n++] = (struct alipay_param){STR("method"), str_of(method)};
    params[n++] = (struct alipay_param){STR("sign_type"), STR("RSA2")};
    params[n++] = (struct alipay_param){STR("timestamp"), str_of(timestamp)};
    params[n++] = (struct alipay_param){STR("version"), STR("1.0")};
    if (notify_url[0]) params[n++] = (struct alipay_param){STR("notify_url"), str_of(notify_url)};
    if (app->app_cert_sn) {
        params[n++] = (struct alipay_param){STR("app_cert_sn"), str_of(app->app_cert_sn)};
        params[n++] = (struct alipay_param){STR("alipay_root_cert_sn"), str_of(app->root_cert_sn)};
    }
    return n;
}

// `elsewhere` is the parameter that travels in the body; "": none does.
static void write_url(const struct alipay_app *app, const struct alipay_param *params, unsigned n,
                      const char *elsewhere, struct str sign, struct buf *url)
{
    buf_z(url, app->gateway);
    buf_char(url, strchr(app->gateway, '?') ? '&' : '?');
    for (unsigned i = 0; i < n; i++) {
        if (str_eq(params[i].name, str_of(elsewhere))) continue;
        add_pair(params[i].name.p, params[i].value, url); // the names are literals
        buf_char(url, '&');
    }
    add_pair("sign", sign, url);
}

static bool request_write(const struct alipay_app *app, const char *method, const char *notify_url, bool is_local,
                          struct str content, int64_t real_ms, struct call_request *out)
{
    struct buf canonical = {0}, sign = {0};
    struct alipay_param params[COMMON_PARAMS_MAX];
    char timestamp[TIME_TEXT_SIZE];
    time_to_beijing(real_ms, timestamp);
    unsigned n = common_params(app, method, notify_url, timestamp, params);
    params[n++] = (struct alipay_param){STR("biz_content"), content};
    alipay_canonical(params, n, &canonical);
    bool ok = !canonical.failed && crypto_rsa2_sign(app->app_key, buf_view(&canonical), &sign) && !sign.failed;
    if (ok && is_local) {
        out->is_local = true;
        write_url(app, params, n, "", buf_view(&sign), &out->body);
    } else if (ok) {
        out->is_post = true;
        write_url(app, params, n, "biz_content", buf_view(&sign), &out->url);
        buf_z(&out->headers, "Content-Type: application/x-www-form-urlencoded;charset=utf-8\n");
        add_pair("biz_content", content, &out->body);
    }
    buf_free(&canonical);
    buf_free(&sign);
    return ok && !out->url.failed && !out->headers.failed && !out->body.failed;
}

bool alipay_request(const struct alipay_app *app, const struct call *call, struct str subject, int64_t now_ms,
                    int64_t real_ms, struct call_request *out)
{
    if (!alipay_method(call->method)) return false;
    struct buf content = {0};
    bool is_page = alipay_is_page(call);
    biz_content(app, call, subject, now_ms, &content);
    bool ok = !content.failed && request_write(app, is_page ? "alipay.trade.wap.pay" : alipay_method(call->method),
                                               call->method == CALL_CREATE ? app->notify_url : "", is_page,
                                               buf_view(&content), real_ms, out);
    buf_free(&content);
    return ok;
}

bool alipay_method_request(const struct alipay_app *app, const char *method, struct str content, int64_t real_ms,
                           struct call_request *out)
{
    return request_write(app, method, "", false, content, real_ms, out);
}
