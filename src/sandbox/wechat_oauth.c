// SPDX-License-Identifier: Apache-2.0
// The silent OAuth that a page inside WeChat goes through to learn who its visitor is: /connect/oauth2/authorize sends
// the browser back with a code, /sns/oauth2/access_token changes the code for the openid. Once, within five minutes.
#include "sandbox/wechat_oauth.h"
#include "base/timetext.h"
#include "sandbox/alipay_wire.h"
#include "sandbox/inside.h"
#include "sandbox/wechat_wire.h"
#include <curl/curl.h>
#include <stdio.h>

#define GRANT_LIFE_MS (5 * INT64_C(60000))
#define REDIRECT_MAX  2048
#define STATE_MAX     128

void wechat_openid(struct str user, char out[OPENID_MAX + 1])
{
    static const char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
    uint8_t digest[32];
    struct buf text = {0};
    buf_z(&text, "sandbox wallet ");
    buf_str(&text, user.n ? user : STR(WECHAT_DEMO_USER));
    crypto_sha256(buf_view(&text), digest);
    buf_free(&text);
    out[0] = 'o';
    for (size_t i = 1; i < 28; i++)
        out[i] = alphabet[digest[i] & 63];
    out[28] = 0;
}

static void page(struct answer *a, int status, const char *text)
{
    a->status = status;
    a->content_type = "text/plain;charset=utf-8";
    buf_clear(&a->body);
    buf_z(&a->body, text);
}

static bool is_absolute_address(const char *url)
{
    char *scheme = NULL, *host = NULL;
    CURLU *u = curl_url();
    bool good = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    for (const char *c = url; good && *c; c++)
        good = *c > ' ' && *c < 0x7f;
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(u);
    return good;
}

// What stands before the fragment, code and state, the fragment.
static void redirect(struct answer *a, const char *url, const char *code, struct str state)
{
    size_t n = strcspn(url, "#");
    buf_printf(&a->headers, "Cache-Control: no-store\r\nLocation: %.*s%ccode=%s&state=", (int)n, url,
               memchr(url, '?', n) ? '&' : '?', code);
    form_encode(&a->headers, state);
    buf_printf(&a->headers, "%s\r\n", url + n);
    page(a, 302, "");
}

static void authorize(struct sandbox *s, const struct http_exchange *x, struct answer *a)
{
    struct buf appid = {0}, url = {0}, type = {0}, scope = {0}, state = {0};
    (void)http_query(x->query, "state", &state);
    bool is_ours = http_query(x->query, "appid", &appid) && str_eq(buf_view(&appid), str_of(s->keys.identity.appid));
    bool is_silent = http_query(x->query, "response_type", &type) && str_eq(buf_view(&type), STR("code")) &&
                     http_query(x->query, "scope", &scope) &&
                     (str_eq(buf_view(&scope), STR("snsapi_base")) || str_eq(buf_view(&scope), STR("snsapi_userinfo")));
    bool has_url = http_query(x->query, "redirect_uri", &url) && url.n <= REDIRECT_MAX && !memchr(url.p, 0, url.n);
    buf_char(&url, 0);
    has_url = has_url && !url.failed && is_absolute_address(url.p);
    if (!is_ours) {
        page(a, 400, "appid 参数错误 this appid is not known\n");
    } else if (!has_url) {
        page(a, 400, "redirect_uri 参数错误 redirect_uri must be an absolute http address\n");
    } else if (!is_silent || state.n > STATE_MAX) {
        page(a, 400, "参数错误 response_type is code, scope is snsapi_base, state has at most 128 bytes\n");
    } else {
        int64_t now_ms = clock_now_ms(s->clock);
        char code[33], openid[OPENID_MAX + 1];
        wechat_token(code, 32);
        wechat_openid(http_header(x, WECHAT_USER_HEADER), openid);
        ledger_grant_add(s->ledger, code, openid, now_ms, now_ms + GRANT_LIFE_MS);
        redirect(a, url.p, code, buf_view(&state));
    }
    buf_free(&appid);
    buf_free(&url);
    buf_free(&type);
    buf_free(&scope);
    buf_free(&state);
}

// Errors are answered with 200 and a number, and JSON is called text: so does WeChat.
static void refuse(struct answer *a, int number, const char *message)
{
    json_open(&a->body, '{');
    json_ki64(&a->body, "errcode", number);
    json_kz(&a->body, "errmsg", message);
    json_close(&a->body, '}');
}

static void grant(struct answer *a, const char *openid)
{
    char access[65], refresh[65];
    wechat_token(access, 64);
    wechat_token(refresh, 64);
    json_open(&a->body, '{');
    json_kz(&a->body, "access_token", access);
    json_ki64(&a->body, "expires_in", 7200);
    json_kz(&a->body, "refresh_token", refresh);
    json_kz(&a->body, "openid", openid);
    json_kz(&a->body, "scope", "snsapi_base");
    json_close(&a->body, '}');
}

static void code_change(struct sandbox *s, struct str code, struct answer *a)
{
    char openid[OPENID_MAX + 1];
    switch (ledger_grant_take(s->ledger, code, clock_now_ms(s->clock), openid)) {
    case GRANT_GOOD: grant(a, openid); return;
    case GRANT_USED: refuse(a, 40163, "code been used"); return;
    case GRANT_EXPIRED: refuse(a, 42003, "code expired"); return;
    case GRANT_UNKNOWN: refuse(a, 40029, "invalid code"); return;
    }
}

static void access_token(struct sandbox *s, const struct http_exchange *x, struct answer *a)
{
    struct buf appid = {0}, secret = {0}, type = {0}, code = {0};
    (void)http_query(x->query, "appid", &appid);
    (void)http_query(x->query, "secret", &secret);
    (void)http_query(x->query, "grant_type", &type);
    (void)http_query(x->query, "code", &code);
    page(a, 200, "");
    a->content_type = "text/plain";
    if (!str_eq(buf_view(&appid), str_of(s->keys.identity.appid)))
        refuse(a, 40013, "invalid appid");
    else if (secret.n != 32 || !crypto_equal(secret.p, s->keys.app_secret, 32))
        refuse(a, 40125, "invalid appsecret");
    else if (!str_eq(buf_view(&type), STR("authorization_code")))
        refuse(a, 40002, "invalid grant_type");
    else if (code.n == 0)
        refuse(a, 41008, "missing code");
    else
        code_change(s, buf_view(&code), a);
    buf_free(&appid);
    buf_free(&secret);
    buf_free(&type);
    buf_free(&code);
}

void wechat_oauth_request(struct sandbox *s, const struct http_exchange *x, struct answer *a)
{
    if (x->method != HTTP_GET)
        answer_problem(a, 405, "method_not_allowed", "this address takes GET", NULL);
    else if (str_eq(x->path, STR(WECHAT_AUTHORIZE)))
        authorize(s, x, a);
    else
        access_token(s, x, a);
}
