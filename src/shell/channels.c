// SPDX-License-Identifier: Apache-2.0
// Which channels there are, and how each is opened from its configuration: the one place of the shell that knows them
// all. A further channel is a row of CHANNELS (core/order.h), a row of DOORS below, and its keys in config_keys.c;
// docs/adding-a-channel.md walks through one.
#include "channel/alipay.h"
#include "channel/wechatpay.h"
#include "shell/config.h"
#include "shell/shell.h"
#include <stdio.h>

// What every channel is opened with, beside its own options.
struct opening {
    const char *notify_url;
    struct caller *caller;
    const struct answer_sink *sink;
    const uint8_t *secret;
};

// --- Each channel's options

static const char *alipay_gateway(const struct config *c)
{
    return c->alipay.gateway;
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

static const char *wechatpay_gateway(const struct config *c)
{
    return c->wechatpay.base_url;
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

// --- The table

static const struct door {
    enum channel_id id;
    bool (*is_configured)(const struct config *c);
    const char *(*gateway)(const struct config *c);                                          // where its calls go
    struct channel *(*open)(const struct config *c, const struct opening *o, char why[200]); // NULL: why
} DOORS[] = {
    {CHANNEL_ALIPAY, config_has_alipay, alipay_gateway, open_alipay},
    {CHANNEL_WECHATPAY, config_has_wechatpay, wechatpay_gateway, open_wechatpay},
};
#define N_DOORS (sizeof DOORS / sizeof DOORS[0])
_Static_assert(N_DOORS == N_CHANNELS - 1, "every channel but \"any\" has its door");

bool channels_open(struct shell *s, const struct config *c, const struct answer_sink *sink, char why[200])
{
    char notify_url[320];
    struct opening o = {notify_url, s->caller, sink, s->secret};
    for (const struct door *d = DOORS; d < DOORS + N_DOORS; d++) {
        if (!d->is_configured(c)) continue;
        (void)snprintf(notify_url, sizeof notify_url, "%s/notify/%s", s->public_url, channel_name(d->id));
        s->channels[d->id] = d->open(c, &o, why);
        if (!s->channels[d->id]) return false;
    }
    return true;
}

void channels_follow_clock(struct shell *s, const struct config *c)
{
    for (const struct door *d = DOORS; d < DOORS + N_DOORS; d++)
        if (d->is_configured(c)) test_clock_follow(s->test_clock, d->gateway(c));
}
