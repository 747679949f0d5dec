// SPDX-License-Identifier: Apache-2.0
#include "shell/channels.h"
#include "channel/alipay.h"
#include "channel/wechatpay.h"
#include "sandbox/sandbox.h"
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

// --- Opening

static bool open_alipay(const struct config *c, struct caller *caller, const struct answer_sink *sink,
                        const char *public_url, const uint8_t secret[ID_SECRET_SIZE], struct channel **out,
                        char why[200])
{
    char notify_url[320];
    if (!config_has_alipay(c)) return true;
    (void)snprintf(notify_url, sizeof notify_url, "%s/notify/alipay", public_url);
    struct alipay_options ao = {
        .gateway = c->alipay.gateway,
        .app_id = c->alipay.app_id,
        .private_key_file = c->alipay.private_key_file,
        .alipay_public_key_file = c->alipay.alipay_public_key_file,
        .app_cert_file = c->alipay.app_cert_file,
        .alipay_cert_file = c->alipay.alipay_cert_file,
        .root_cert_file = c->alipay.root_cert_file,
        .seller_id = c->alipay.seller_id,
        .notify_url = notify_url,
    };
    struct answer_sink copy = *sink;
    *out = alipay_open(&ao, caller, &copy, secret, why);
    return *out != NULL;
}

static bool open_wechatpay(const struct config *c, struct caller *caller, const struct answer_sink *sink,
                           const char *public_url, const uint8_t secret[ID_SECRET_SIZE], struct channel **out,
                           char why[200])
{
    char notify_url[320];
    if (!config_has_wechatpay(c)) return true;
    (void)snprintf(notify_url, sizeof notify_url, "%s/notify/wechatpay", public_url);
    struct wechatpay_options wo = {
        .base_url = c->wechatpay.base_url,
        .mchid = c->wechatpay.mchid,
        .appid = c->wechatpay.appid,
        .serial = c->wechatpay.serial,
        .private_key_file = c->wechatpay.private_key_file,
        .platform_key_file = c->wechatpay.platform_key_file,
        .platform_key_id = c->wechatpay.platform_key_id,
        .apiv3_key_file = c->wechatpay.apiv3_key_file,
        .oauth_url = c->wechatpay.oauth_url,
        .app_secret_file = c->wechatpay.app_secret_file,
        .notify_url = notify_url,
    };
    *out = wechatpay_open(&wo, caller, sink, secret, why);
    return *out != NULL;
}

bool channels_open(const struct config *c, struct caller *caller, const struct answer_sink *sink,
                   const char *public_url, const uint8_t secret[ID_SECRET_SIZE], struct channel *channels[N_CHANNELS],
                   char why[CONFIG_WHY_SIZE])
{
    return open_alipay(c, caller, sink, public_url, secret, &channels[CHANNEL_ALIPAY], why) &&
           open_wechatpay(c, caller, sink, public_url, secret, &channels[CHANNEL_WECHATPAY], why);
}

// --- What a sandbox's directory says

struct defaults {
    struct config *config;
    char *why;
    bool ok;
};

static void set(struct defaults *d, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void set(struct defaults *d, const char *key, const char *fmt, ...)
{
    char value[PATH_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(value, sizeof value, fmt, ap);
    va_end(ap);
    d->ok = d->ok && config_set_default(d->config, key, value, d->why);
}

// Payment inside WeChat only where the key directory has the application's secret.
static void set_oauth(struct defaults *d, const char *base_url, const char *keys)
{
    char secret[PATH_MAX + 16];
    (void)snprintf(secret, sizeof secret, "%s/app_secret", keys);
    if (access(secret, R_OK) != 0) return;
    set(d, "wechatpay.oauth_url", "%s", base_url);
    set(d, "wechatpay.app_secret_file", "%s", secret);
}

bool channels_default_sandbox(struct config *c, const struct sandbox_identity *id, const char *base_url,
                              const char *keys, char why[CONFIG_WHY_SIZE])
{
    struct defaults d = {.config = c, .why = why, .ok = true};
    set(&d, "alipay.gateway", "%s/gateway.do", base_url);
    set(&d, "alipay.app_id", "%s", id->app_id);
    set(&d, "alipay.seller_id", "%s", id->seller_id);
    set(&d, "alipay.private_key_file", "%s/app_private_key.pem", keys);
    set(&d, "alipay.alipay_public_key_file", "%s/alipay_public_key.pem", keys);
    set(&d, "wechatpay.base_url", "%s", base_url);
    set(&d, "wechatpay.mchid", "%s", id->mchid);
    set(&d, "wechatpay.appid", "%s", id->appid);
    set(&d, "wechatpay.serial", "%s", id->merchant_serial);
    set(&d, "wechatpay.private_key_file", "%s/merchant_private_key.pem", keys);
    set(&d, "wechatpay.apiv3_key_file", "%s/apiv3_key", keys);
    set(&d, "wechatpay.platform_key_file", "%s/platform_public_key.pem", keys);
    set(&d, "wechatpay.platform_key_id", "%s", id->platform_key_id);
    set_oauth(&d, base_url, keys);
    return d.ok;
}
