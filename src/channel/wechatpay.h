// SPDX-License-Identifier: Apache-2.0
// The WeChat Pay channel: API v3, a merchant of its own (no service provider). Native codes, payment inside WeChat
// (JSAPI) and from a phone's browser (H5).
//
// What WeChat Pay signs with is learned from its public key (a file) and from its platform certificates (fetched when
// the channel opens, twice a day while it is used, and when a serial turns up that is not known); both at once, since
// WeChat Pay chooses. Until a key is known, calls are sent and their answers are "unknown".
#ifndef TILL_CHANNEL_WECHATPAY_H
#define TILL_CHANNEL_WECHATPAY_H

#include "base/id.h"
#include "channel/caller.h"

struct wechatpay_options { // all borrowed for the time of wechatpay_open(); NULL is as good as ""
    const char *base_url;  // "https://api.mch.weixin.qq.com"
    const char *mchid, *appid;
    const char *serial;                              // of the merchant's certificate
    const char *private_key_file;                    // the merchant's
    const char *platform_key_file, *platform_key_id; // WeChat Pay's public key; "": by certificates alone
    const char *apiv3_key_file;
    const char *oauth_url, *app_secret_file; // payment inside WeChat; "": none
    const char *notify_url;                  // "": none is sent
    // How often certificates are fetched anew, and how far apart fetches are that an unknown serial or a failure brings
    // about. 0: 12 h and 60 s.
    int64_t certificates_every_ms, certificates_apart_ms;
};

// `sink` is copied. `secret` is the store's: it makes the numbers and tells ours from others. The caller must outlive
// the channel. NULL with a reason to be read by whoever wrote the configuration; it names options, never key
// material. Takes three lanes.
struct channel *wechatpay_open(const struct wechatpay_options *options, struct caller *caller,
                               const struct answer_sink *sink, const uint8_t secret[ID_SECRET_SIZE], char why[200]);

// What its messages are made with and judged by (wechatpay_wire.h); `c` is one that wechatpay_open() gave.
struct wechatpay_app;
const struct wechatpay_app *wechatpay_app_of(const struct channel *c);

// --- Payment inside WeChat. `c` is a channel that wechatpay_open() gave; any thread.

bool wechatpay_has_oauth(const struct channel *c);
// Where to send a buyer's browser, which comes back to redirect_uri?code=...&state=... `state`: 1..128 letters and
// digits. False when it cannot be said so, or there is no OAuth.
bool wechatpay_authorize_url(const struct channel *c, struct str redirect_uri, struct str state, struct buf *url);
// Exchanges such a code (good for one exchange, within five minutes) for the buyer's openid, in a lane of its own.
// True: `done` is called exactly once, on the caller's thread, and must not block; `openid` NULL: there is none, `why`
// says why. False: no OAuth, no code or no room, and `done` is not called.
bool wechatpay_openid(struct channel *c, struct str code, void (*done)(void *ctx, const char *openid, const char *why),
                      void *ctx);
// What the page hands to WeChat, as a JSON object: appId, timeStamp, nonceStr, package, signType, paySign. Signs
// (0.3 ms).
bool wechatpay_page(const struct channel *c, struct str prepay_id, struct buf *json);

#endif
