// SPDX-License-Identifier: Apache-2.0
#include "base/timetext.h"
#include "sandbox/alipay_cashier.h"
#include <stdio.h>
#include <strings.h>

#define KEY_NAME_MAX 160

// The answer's member, e.g. alipay_trade_query_response. Only names that cannot break the answer's JSON are echoed.
static void key_name_make(struct str method, char out[KEY_NAME_MAX])
{
    size_t i = 0;
    for (; i < method.n && i < 128; i++) {
        char c = method.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_')) break;
        out[i] = c == '.' ? '_' : c;
    }
    if (i == 0 || i != method.n)
        (void)snprintf(out, KEY_NAME_MAX, "error_response");
    else
        (void)snprintf(out + i, KEY_NAME_MAX - i, "_response");
}

static bool required_are_there(struct call *c, const struct params *p)
{
    static const struct {
        const char *name, *sub_code;
    } required[] = {
        {"method", "isv.missing-method"},
        {"app_id", "isv.missing-app-id"},
        {"sign_type", "isv.missing-signature-type"},
        {"sign", "isv.missing-signature"},
        {"timestamp", "isv.missing-timestamp"},
        {"version", "isv.missing-version"},
    };
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++) {
        if (params_get(p, required[i].name).n) continue;
        char text[64];
        (void)snprintf(text, sizeof text, "parameter %s is missing", required[i].name);
        alipay_refuse_missing(c, required[i].sub_code, text);
        return false;
    }
    return true;
}

static bool is_one_of(struct str s, const char *a, const char *b)
{
    return s.n == 0 || (s.n == strlen(a) && strncasecmp(s.p, a, s.n) == 0) ||
           (s.n == strlen(b) && strncasecmp(s.p, b, s.n) == 0);
}

// Certificate mode is what a call that names certificates is in.
static bool has_certs(const struct params *p)
{
    return params_get(p, "app_cert_sn").n || params_get(p, "alipay_root_cert_sn").n;
}

bool alipay_certs_are_ours(struct call *c, bool has_any, struct str app_cert_sn, struct str root_cert_sn)
{
    const struct alipay_ca *ca = &c->sandbox->keys.alipay_ca;
    if (!has_any) return true;
    if (!str_eq(app_cert_sn, str_of(ca->app_sn)))
        alipay_refuse_invalid(c, "isv.app-cert-not-exist", "app_cert_sn is not that of " APP_CERT_FILE);
    else if (!str_eq(root_cert_sn, str_of(ca->root_sn)))
        alipay_refuse_invalid(c, "isv.invalid-alipay-root-cert-sn",
                              "alipay_root_cert_sn is not that of " ALIPAY_ROOT_CERT_FILE);
    else
        return true;
    return false;
}

static bool certs_are_ours(struct call *c, const struct params *p)
{
    return alipay_certs_are_ours(c, has_certs(p), params_get(p, "app_cert_sn"), params_get(p, "alipay_root_cert_sn"));
}

static bool common_are_good(struct call *c, const struct params *p)
{
    int64_t ms;
    const struct sandbox_identity *id = &c->sandbox->keys.identity;
    if (!str_eq(params_get(p, "app_id"), str_of(id->app_id)))
        alipay_refuse_invalid(c, "isv.invalid-app-id", "this app_id is not known");
    else if (!str_eq(params_get(p, "sign_type"), STR("RSA2")))
        alipay_refuse_invalid(c, "isv.invalid-signature-type", "sign_type is RSA2");
    else if (!is_one_of(params_get(p, "charset"), "utf-8", "utf8"))
        alipay_refuse_invalid(c, "isv.invalid-charset", "charset is utf-8");
    else if (!is_one_of(params_get(p, "format"), "json", "json"))
        alipay_refuse_invalid(c, "isv.invalid-format", "format is JSON");
    else if (params_get(p, "encrypt_type").n)
        alipay_refuse_invalid(c, "isv.invalid-encrypt-type", "this sandbox does not encrypt");
    else if (!certs_are_ours(c, p))
        return false;
    else if (!time_from_beijing(params_get(p, "timestamp"), &ms))
        alipay_refuse_invalid(c, "isv.invalid-timestamp", "timestamp is yyyy-MM-dd HH:mm:ss");
    else
        return true;
    return false;
}

// Developers debug with the string the gateway built; it stands at the end.
static void refuse_signature(struct call *c, const struct params *p)
{
    struct buf text = {0}, message = {0};
    params_sign_text(p, false, &text);
    buf_z(&message, "验签出错，建议检查签名字符串或签名私钥与应用公钥是否匹配，网关生成的验签字符串为：");
    html_escape(&message, buf_view(&text));
    buf_char(&message, 0);
    if (message.failed)
        alipay_refuse_invalid(c, "isv.invalid-signature", "the signature is wrong");
    else
        alipay_refuse_invalid(c, "isv.invalid-signature", message.p);
    buf_free(&text);
    buf_free(&message);
}

bool alipay_call_open(struct call *c, const struct params *p)
{
    struct json_fault fault;
    if (!required_are_there(c, p) || !common_are_good(c, p)) return false;
    if (!params_verify(p, c->sandbox->keys.app_public)) {
        refuse_signature(c, p);
        return false;
    }
    c->notify_url = params_get(p, "notify_url");
    c->biz = json_read_object(params_get(p, "biz_content"), &fault);
    if (!c->biz) alipay_refuse_invalid(c, "isv.invalid-parameter", fault.detail);
    return c->biz != NULL;
}

static void add_trace_id(const char *name, struct buf *headers)
{
    uint8_t random[16];
    char text[33] = "0";
    if (crypto_random(random, sizeof random)) crypto_hex(random, sizeof random, text);
    buf_printf(headers, "%s: %s\r\n", name, text);
}

// By the clock the codes live and die by: a merchant may compare his own with it.
static void add_date(struct buf *headers, int64_t now_ms)
{
    char text[TIME_TEXT_SIZE];
    time_to_http(now_ms, text);
    buf_printf(headers, "Date: %s\r\n", text);
}

static void answer_unavailable(struct answer *a, int status)
{
    a->status = status;
    a->content_type = "text/html;charset=utf-8";
    buf_clear(&a->body);
    buf_z(&a->body,
          "<html><head><title>Service Unavailable</title></head><body><h1>Service Unavailable</h1></body></html>\n");
}

static void envelope_answer(struct sandbox *s, const struct params *p, struct str object, struct answer *a)
{
    char key_name[KEY_NAME_MAX];
    const char *cert_sn = has_certs(p) ? s->keys.alipay_ca.alipay_sn : NULL;
    key_name_make(params_get(p, "method"), key_name); // what was read before a fault counts
    a->status = 200;
    a->content_type = "text/html;charset=utf-8";
    if (!envelope_write(&a->body, key_name, object, cert_sn, s->keys.alipay_private)) answer_unavailable(a, 500);
}

static void gateway_answer(struct sandbox *s, const struct http_exchange *x, const struct gateway_fate *fate,
                           struct answer *a)
{
    char why[160];
    struct params params;
    struct buf object = {0};
    struct call c = {.sandbox = s, .x = x, .now_ms = clock_now_ms(s->clock), .out = &object};
    bool readable = params_read(&params, x->query, x->body, why);
    struct str method = params_get(&params, "method");
    bool is_page = str_eq(method, STR("alipay.trade.wap.pay"));
    if (!readable)
        alipay_refuse_invalid(&c, "isv.invalid-parameter", why);
    else if (alipay_call_open(&c, &params) && !is_page)
        alipay_method_run(&c, method, fate);
    if (is_page && fate->executes)
        alipay_cashier_open(&c, params_get(&params, "return_url"), a);
    else if (is_page || object.failed)
        answer_unavailable(a, 500);
    else
        envelope_answer(s, &params, buf_view(&object), a);
    json_decref(c.biz);
    buf_free(&object);
    params_free(&params);
}

struct gateway_fate alipay_gateway_fate(struct sandbox *s, const char *trace_header, struct answer *a)
{
    struct gateway_fate fate = faults_gateway_draw(&s->faults, s->gateway_draws++);
    s->calls[SANDBOX_ALIPAY]++;
    s->counters_changed = true;
    add_trace_id(trace_header, &a->headers);
    add_date(&a->headers, clock_now_ms(s->clock));
    a->delay_ms = (unsigned)fate.delay_ms;
    return fate;
}

void alipay_gateway_request(struct sandbox *s, const struct http_exchange *x, struct answer *a)
{
    struct gateway_fate fate = alipay_gateway_fate(s, "trace_id", a);
    if (fate.unavailable) {
        answer_unavailable(a, 503);
        return;
    }
    gateway_answer(s, x, &fate, a);
    if (!fate.hangs) return;
    a->delay_ms = GATEWAY_HANG_MS;
    answer_unavailable(a, 504);
}
