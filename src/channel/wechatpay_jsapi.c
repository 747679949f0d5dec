// SPDX-License-Identifier: Apache-2.0
// Payment inside WeChat: who the buyer is (silent OAuth, snsapi_base), and what his page is handed to pay.
#include "channel/wechatpay_wire.h"
#include <inttypes.h>
#include <stdio.h>

#define ANSWER_MAX 8192
#define STATE_MAX  128
#define OAUTH_MAX  512
#define OPEN_HOST  "https://open.weixin.qq.com" // pages
#define API_HOST   "https://api.weixin.qq.com"  // calls

// WeChat's own service has two hosts; naming either means both.
static const char *oauth_base(const struct wechatpay_app *app, const char *host)
{
    bool is_wechat = strcmp(app->oauth_url, OPEN_HOST) == 0 || strcmp(app->oauth_url, API_HOST) == 0;
    return is_wechat ? host : app->oauth_url;
}

static bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void percent_encode(struct str s, struct buf *out)
{
    for (size_t i = 0; i < s.n; i++) {
        if (is_alphanumeric(s.p[i]) || (s.p[i] && strchr("-_.~", s.p[i])))
            buf_char(out, s.p[i]);
        else
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)s.p[i]);
    }
}

static bool is_visible(struct str s, size_t max)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f) return false;
    return s.n > 0 && s.n <= max;
}

// The order of the parameters is WeChat's; it compares them as text.
bool wechatpay_authorize_url_write(const struct wechatpay_app *app, struct str redirect_uri, struct str state,
                                   struct buf *url)
{
    bool good = app->oauth_url[0] && is_visible(redirect_uri, OAUTH_MAX) && state.n > 0 && state.n <= STATE_MAX;
    for (size_t i = 0; good && i < state.n; i++)
        good = is_alphanumeric(state.p[i]);
    if (!good) return false;
    buf_printf(url, "%s/connect/oauth2/authorize?appid=%s&redirect_uri=", oauth_base(app, OPEN_HOST), app->appid);
    percent_encode(redirect_uri, url);
    buf_printf(url, "&response_type=code&scope=snsapi_base&state=%.*s#wechat_redirect", (int)state.n, state.p);
    return !url->failed;
}

bool wechatpay_openid_url(const struct wechatpay_app *app, struct str code, struct buf *url)
{
    if (!app->oauth_url[0] || !is_visible(code, OAUTH_MAX)) return false;
    buf_printf(url, "%s/sns/oauth2/access_token?appid=%s&secret=", oauth_base(app, API_HOST), app->appid);
    percent_encode(str_of(app->app_secret), url);
    buf_z(url, "&code=");
    percent_encode(code, url);
    buf_z(url, "&grant_type=authorization_code");
    return !url->failed;
}

static bool root_read(const json_t *root, struct str *openid_out, struct buf *text, char why[64])
{
    struct str openid = wechatpay_field(root, "openid");
    const json_t *errcode = json_object_get(root, "errcode");
    if (json_is_integer(errcode) && json_integer_value(errcode) != 0) {
        (void)snprintf(why, 64, "errcode %" PRId64, (int64_t)json_integer_value(errcode));
        return false;
    }
    if (is_visible(openid, PAYER_MAX)) buf_str(text, openid);
    if (text->n > 0 && !text->failed) {
        *openid_out = buf_view(text);
        return true;
    }
    (void)snprintf(why, 64, "no openid");
    return false;
}

bool wechatpay_openid_read(const struct call_reply *reply, struct str *openid_out, struct buf *text, char why[64])
{
    struct json_fault fault;
    why[0] = 0;
    if (reply->status != 200) {
        (void)snprintf(why, 64, "http %d", reply->status);
        return false;
    }
    json_t *root = reply->body.n <= ANSWER_MAX ? json_read_object(reply->body, &fault) : NULL;
    bool ok = root && root_read(root, openid_out, text, why);
    if (!root) (void)snprintf(why, 64, "%s", reply->body.n > ANSWER_MAX ? "answer too long" : fault.code);
    json_decref(root);
    return ok;
}

bool wechatpay_page_write(const struct wechatpay_app *app, struct str prepay_id, int64_t real_ms, const char *nonce,
                          struct buf *json)
{
    char timestamp[24];
    struct buf package = {0}, text = {0}, sign = {0};
    if (!is_visible(prepay_id, OAUTH_MAX)) return false;
    (void)snprintf(timestamp, sizeof timestamp, "%" PRId64, real_ms / 1000);
    buf_z(&package, "prepay_id=");
    buf_str(&package, prepay_id);
    buf_printf(&text, "%s\n%s\n%s\n%.*s\n", app->appid, timestamp, nonce, (int)package.n, package.p);
    bool ok =
        !package.failed && !text.failed && crypto_rsa2_sign(app->merchant_key, buf_view(&text), &sign) && !sign.failed;
    if (ok) {
        json_open(json, '{');
        json_kz(json, "appId", app->appid);
        json_kz(json, "timeStamp", timestamp);
        json_kz(json, "nonceStr", nonce);
        json_kstr(json, "package", buf_view(&package));
        json_kz(json, "signType", "RSA");
        json_kstr(json, "paySign", buf_view(&sign));
        json_close(json, '}');
    }
    buf_free(&package);
    buf_free(&text);
    buf_free(&sign);
    return ok && !json->failed;
}
