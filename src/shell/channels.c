// SPDX-License-Identifier: Apache-2.0
// Which channels there are, and how each is opened from its configuration: the one place of the shell that knows them
// all. A further channel is a row of CHANNELS (core/order.h), a row of DOORS below, and its keys in config_keys.c;
// docs/adding-a-channel.md walks through one.
#include "shell/channels.h"
#include "channel/alipay.h"
#include "channel/fake.h"
#include "channel/wechatpay.h"
#include "sandbox/sandbox.h"
#include "shell/shell.h"
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

// What every channel is opened with, beside its own options.
struct opening {
    const char *notify_url;
    struct caller *caller;
    const struct answer_sink *sink;
    const uint8_t *secret;
};

// What a sandbox's directory says of a channel's keys.
struct defaults {
    struct config *config;
    const struct sandbox_identity *id;
    const char *base_url, *keys_dir;
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

// A key directory that an earlier version made may lack what came later.
static bool has_file(const struct defaults *d, const char *name)
{
    char path[PATH_MAX + 16];
    (void)snprintf(path, sizeof path, "%s/%s", d->keys_dir, name);
    return access(path, R_OK) == 0;
}

// --- Alipay

static const char *alipay_gateway(const struct config *c)
{
    return c->alipay.gateway;
}

static void default_alipay(struct defaults *d)
{
    set(d, "alipay.gateway", "%s/gateway.do", d->base_url);
    set(d, "alipay.app_id", "%s", d->id->app_id);
    set(d, "alipay.seller_id", "%s", d->id->seller_id);
    set(d, "alipay.private_key_file", "%s/app_private_key.pem", d->keys_dir);
    set(d, "alipay.alipay_public_key_file", "%s/alipay_public_key.pem", d->keys_dir);
}

static struct channel *open_alipay(const struct config *c, const struct opening *o, char why[200])
{
    struct answer_sink sink = *o->sink;
    struct alipay_options options = {
        .gateway = c->alipay.gateway,
        .app_id = c->alipay.app_id,
        .private_key_file = c->alipay.private_key_file,
        .alipay_public_key_file = c->alipay.alipay_public_key_file,
        .app_cert_file = c->alipay.app_cert_file,
        .alipay_cert_file = c->alipay.alipay_cert_file,
        .root_cert_file = c->alipay.root_cert_file,
        .seller_id = c->alipay.seller_id,
        .notify_url = o->notify_url,
    };
    return alipay_open(&options, o->caller, &sink, o->secret, why);
}

// --- WeChat Pay

static const char *wechatpay_gateway(const struct config *c)
{
    return c->wechatpay.base_url;
}

static void default_wechatpay(struct defaults *d)
{
    set(d, "wechatpay.base_url", "%s", d->base_url);
    set(d, "wechatpay.mchid", "%s", d->id->mchid);
    set(d, "wechatpay.appid", "%s", d->id->appid);
    set(d, "wechatpay.serial", "%s", d->id->merchant_serial);
    set(d, "wechatpay.private_key_file", "%s/merchant_private_key.pem", d->keys_dir);
    set(d, "wechatpay.apiv3_key_file", "%s/apiv3_key", d->keys_dir);
    set(d, "wechatpay.platform_key_file", "%s/platform_public_key.pem", d->keys_dir);
    set(d, "wechatpay.platform_key_id", "%s", d->id->platform_key_id);
    if (!has_file(d, "app_secret")) return;
    set(d, "wechatpay.oauth_url", "%s", d->base_url); // payment inside WeChat
    set(d, "wechatpay.app_secret_file", "%s/app_secret", d->keys_dir);
}

static struct channel *open_wechatpay(const struct config *c, const struct opening *o, char why[200])
{
    struct wechatpay_options options = {
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
        .notify_url = o->notify_url,
    };
    return wechatpay_open(&options, o->caller, o->sink, o->secret, why);
}

// --- The bank for tests

static const char *fake_gateway(const struct config *c)
{
    return c->fake.base_url;
}

static void default_fake(struct defaults *d)
{
    if (!has_file(d, "fake_secret")) return;
    set(d, "fake.base_url", "%s/fake", d->base_url);
    set(d, "fake.secret_file", "%s/fake_secret", d->keys_dir);
}

static struct channel *open_fake(const struct config *c, const struct opening *o, char why[200])
{
    struct fake_options options = {
        .base_url = c->fake.base_url,
        .secret_file = c->fake.secret_file,
        .account = c->fake.account,
        .notify_url = o->notify_url,
    };
    return fake_open(&options, o->caller, o->sink, o->secret, why);
}

// --- The table

static const struct door {
    enum channel_id id;
    const char *(*gateway)(const struct config *c); // where its calls go; "": it is not configured
    struct channel *(*open)(const struct config *c, const struct opening *o, char why[200]); // NULL: why
    void (*set_defaults)(struct defaults *d);
} DOORS[] = {
    {CHANNEL_ALIPAY, alipay_gateway, open_alipay, default_alipay},
    {CHANNEL_WECHATPAY, wechatpay_gateway, open_wechatpay, default_wechatpay},
    {CHANNEL_FAKE, fake_gateway, open_fake, default_fake},
};
#define N_DOORS (sizeof DOORS / sizeof DOORS[0])
_Static_assert(N_DOORS == N_CHANNELS - 1, "every channel but \"any\" has its door");

static bool is_configured(const struct door *d, const struct config *c)
{
    return *d->gateway(c) != 0;
}

bool channels_open(const struct config *c, struct caller *caller, const struct answer_sink *sink,
                   const char *public_url, const uint8_t secret[ID_SECRET_SIZE], struct channel *channels[N_CHANNELS],
                   char why[CONFIG_WHY_SIZE])
{
    char notify_url[320];
    struct opening o = {notify_url, caller, sink, secret};
    for (const struct door *d = DOORS; d < DOORS + N_DOORS; d++) {
        if (!is_configured(d, c)) continue;
        (void)snprintf(notify_url, sizeof notify_url, "%s/notify/%s", public_url, channel_name(d->id));
        channels[d->id] = d->open(c, &o, why);
        if (!channels[d->id]) return false;
    }
    return true;
}

bool channels_default_sandbox(struct config *c, const struct sandbox_identity *id, const char *base_url,
                              const char *keys_dir, char why[CONFIG_WHY_SIZE])
{
    struct defaults defaults = {c, id, base_url, keys_dir, why, true};
    for (const struct door *d = DOORS; d < DOORS + N_DOORS; d++)
        d->set_defaults(&defaults);
    return defaults.ok;
}

bool channel_is_configured(const struct config *c, enum channel_id id)
{
    for (const struct door *d = DOORS; d < DOORS + N_DOORS; d++)
        if (d->id == id) return is_configured(d, c);
    return false;
}

void channels_follow_clock(const struct config *c, struct test_clock *clock)
{
    for (const struct door *d = DOORS; d < DOORS + N_DOORS; d++)
        if (is_configured(d, c)) test_clock_follow(clock, d->gateway(c));
}
