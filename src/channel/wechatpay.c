// SPDX-License-Identifier: Apache-2.0
#include "channel/wechatpay.h"
#include "base/log.h"
#include "base/mono.h"
#include "channel/wechatpay_wire.h"
#include "port/clock.h"
#include <stdio.h>
#include <stdlib.h>

#define NAME_MAX_LEN      32 // characters of mchid and appid
#define URL_MAX           255
#define CERTS_EVERY_MS    (12 * 3600 * INT64_C(1000))
#define CERTS_APART_MS    (60 * INT64_C(1000))
#define CERTS_APART_NO_MS (5 * INT64_C(1000)) // while there is no key at all

struct wechatpay {
    struct channel base; // first: a struct channel * is a struct wechatpay *
    struct wechatpay_app app;
    char base_url[URL_MAX + 1], notify_url[URL_MAX + 1], oauth_url[URL_MAX + 1];
    char mchid[NAME_MAX_LEN + 1], appid[NAME_MAX_LEN + 1];
    char serial[WECHATPAY_SERIAL_MAX + 1], public_id[WECHATPAY_SERIAL_MAX + 1];
    char app_secret[CRYPTO_SECRET_MAX + 1];
    struct crypto_key *merchant_key;
    struct platform_keys *keys;
    struct lane *calls, *certificates, *oauth;
    int64_t every_ms, apart_ms;
    _Atomic int64_t began_ms;    // Till's clock less the monotonic one when the first call came; 0: none has
    _Atomic int64_t ahead_ms;    // and by how much the difference has grown
    _Atomic int64_t fetched_ms;  // keys_now_ms(): when certificates were last asked for; 0: never
    _Atomic bool is_fetched;     // and whether that was answered
    _Atomic unsigned n_unsealed; // answers that had no good signature
    _Atomic unsigned n_failed;   // fetches of certificates
};

// The 1st, 2nd, 4th, 8th ... is told: the usual reason, a wrong key, would otherwise fill the log.
static unsigned worth_telling(_Atomic unsigned *counter)
{
    unsigned n = atomic_fetch_add_explicit(counter, 1, memory_order_relaxed) + 1;
    return (n & (n - 1)) == 0 ? n : 0;
}

// --- WeChat Pay's certificates

static bool certificates_build(void *ctx, const struct call *call, struct str subject, int64_t now_ms,
                               struct call_request *out)
{
    const struct wechatpay *w = ctx;
    (void)call, (void)subject, (void)now_ms;
    return wechatpay_certificates_request(&w->app, clock_real_ms(), out);
}

static void certificates_judge(void *ctx, const struct call *call, const struct call_reply *reply, struct answer *a,
                               struct buf *text)
{
    struct wechatpay *w = ctx;
    struct platform_certs certs;
    (void)call, (void)text;
    enum certificates_word word = wechatpay_certificates(&w->app, reply, clock_real_ms(), &certs, a->detail);
    if (word == CERTIFICATES_NONE && !w->public_id[0]) {
        (void)snprintf(a->detail, sizeof a->detail, "this merchant has none: set wechatpay.platform_key_file");
        word = CERTIFICATES_BAD;
    }
    if (word == CERTIFICATES_BAD) return;
    platform_keys_install(w->keys, &certs);
    a->outcome = OUTCOME_DONE;
}

static const struct lane_ops CERTIFICATES_OPS = {
    .build = certificates_build, .judge = certificates_judge, .name = "wechatpay_certificates"};

static void certificates_post(void *ctx, const struct answer *a)
{
    struct wechatpay *w = ctx;
    if (a->outcome == OUTCOME_DONE) {
        atomic_store(&w->n_failed, 0);
        atomic_store(&w->is_fetched, true);
        return;
    }
    unsigned n = strcmp(a->detail, "shutdown") == 0 ? 0 : worth_telling(&w->n_failed);
    if (n) log_warn("wechatpay", "platform certificates were not had (%u times): %s", n, a->detail);
}

// What their fetches go by: the monotonic clock, ahead of itself where Till's clock was moved. As a lane's own time.
static int64_t keys_now_ms(struct wechatpay *w)
{
    return mono_ms() + atomic_load(&w->ahead_ms);
}

static void time_came(struct wechatpay *w, int64_t now_ms)
{
    int64_t apart_ms = now_ms - mono_ms(), began_ms = 0;
    if (atomic_compare_exchange_strong(&w->began_ms, &began_ms, apart_ms)) return;
    int64_t ahead_ms = atomic_load(&w->ahead_ms);
    while (apart_ms - began_ms > ahead_ms &&
           !atomic_compare_exchange_weak(&w->ahead_ms, &ahead_ms, apart_ms - began_ms))
        continue;
}

static int64_t fetch_wait_ms(struct wechatpay *w, bool is_missed)
{
    if (!platform_keys_any(w->keys, clock_real_ms()))
        return w->apart_ms < CERTS_APART_NO_MS ? w->apart_ms : CERTS_APART_NO_MS;
    return is_missed || !atomic_load(&w->is_fetched) ? w->apart_ms : w->every_ms;
}

// Asks for the certificates when that is due: looked at whenever the channel is used, so there is no timer.
// `is_missed`: a serial turned up that is not known.
static void certificates_look(struct wechatpay *w, bool is_missed)
{
    int64_t now_ms = keys_now_ms(w), last_ms = atomic_load(&w->fetched_ms);
    if (last_ms != 0 && now_ms - last_ms < fetch_wait_ms(w, is_missed)) return;
    if (!atomic_compare_exchange_strong(&w->fetched_ms, &last_ms, now_ms)) return; // somebody else just did
    atomic_store(&w->is_fetched, false);
    struct call fetch = {.channel = CHANNEL_WECHATPAY, .method = CALL_NONE};
    (void)lane_submit(w->certificates, &fetch, STR(""), 0);
}

// --- What the engine asks for

static bool calls_build(void *ctx, const struct call *call, struct str subject, int64_t now_ms,
                        struct call_request *out)
{
    const struct wechatpay *w = ctx;
    (void)now_ms; // expiries go out as they are
    return wechatpay_request(&w->app, call, subject, clock_real_ms(), out);
}

static void calls_judge(void *ctx, const struct call *call, const struct call_reply *reply, struct answer *a,
                        struct buf *text)
{
    struct wechatpay *w = ctx;
    enum seal_word word = wechatpay_answer(&w->app, call, reply, clock_real_ms(), a, text);
    bool is_unsealed = word == SEAL_BAD || (word == SEAL_ABSENT && reply->status < 300);
    unsigned n = is_unsealed ? worth_telling(&w->n_unsealed) : 0;
    if (n) log_warn("wechatpay", "%u answers had no good signature, the last: %s", n, a->detail);
    if (word == SEAL_UNKNOWN_KEY) certificates_look(w, true);
}

static const struct lane_ops CALLS_OPS = {.build = calls_build, .judge = calls_judge, .name = "wechatpay"};

static bool wechatpay_channel_submit(struct channel *c, const struct call *call, struct str subject, int64_t now_ms)
{
    struct wechatpay *w = (struct wechatpay *)c;
    time_came(w, now_ms);
    certificates_look(w, false);
    return lane_submit(w->calls, call, subject, now_ms);
}

static enum notice_verdict wechatpay_channel_judge(struct channel *c, const struct notice_in *in, struct notice *out)
{
    struct wechatpay *w = (struct wechatpay *)c;
    enum seal_word word;
    struct wechatpay_seal seal = {
        .timestamp = in->header(in->header_ctx, "Wechatpay-Timestamp"),
        .nonce = in->header(in->header_ctx, "Wechatpay-Nonce"),
        .serial = in->header(in->header_ctx, "Wechatpay-Serial"),
        .signature = in->header(in->header_ctx, "Wechatpay-Signature"),
    };
    enum notice_verdict v = wechatpay_notice(&w->app, &seal, in->body, clock_real_ms(), out, &word);
    certificates_look(w, word == SEAL_UNKNOWN_KEY);
    return v;
}

// --- Payment inside WeChat

struct openid_wish {
    void (*done)(void *ctx, const char *openid, const char *why);
    void *ctx;
};

static bool oauth_build(void *ctx, const struct call *call, struct str code, int64_t now_ms, struct call_request *out)
{
    const struct wechatpay *w = ctx;
    (void)call, (void)now_ms;
    buf_z(&out->headers, "Accept: application/json\n");
    return wechatpay_openid_url(&w->app, code, &out->url);
}

static void oauth_judge(void *ctx, const struct call *call, const struct call_reply *reply, struct answer *a,
                        struct buf *text)
{
    (void)ctx, (void)call;
    if (wechatpay_openid_read(reply, &a->code, text, a->detail)) a->outcome = OUTCOME_DONE;
}

static const struct lane_ops OAUTH_OPS = {.build = oauth_build, .judge = oauth_judge, .name = "wechatpay_oauth"};

// The wish rides as the call's key, which the caller hands back as it was.
static void oauth_post(void *ctx, const struct answer *a)
{
    struct openid_wish *wish = (struct openid_wish *)(uintptr_t)a->payment_key;
    char openid[PAYER_MAX + 1];
    (void)ctx;
    if (a->outcome == OUTCOME_DONE) {
        (void)snprintf(openid, sizeof openid, "%.*s", (int)a->code.n, a->code.p);
        wish->done(wish->ctx, openid, "");
    } else {
        wish->done(wish->ctx, NULL, a->detail);
    }
    free(wish);
}

bool wechatpay_has_oauth(const struct channel *c)
{
    return ((const struct wechatpay *)c)->oauth_url[0] != 0;
}

bool wechatpay_openid(struct channel *c, struct str code, void (*done)(void *ctx, const char *openid, const char *why),
                      void *ctx)
{
    struct wechatpay *w = (struct wechatpay *)c;
    struct buf url = {0};
    bool good = wechatpay_openid_url(&w->app, code, &url);
    if (url.p) crypto_wipe(url.p, url.cap);
    buf_free(&url);
    struct openid_wish *wish = good ? malloc(sizeof *wish) : NULL;
    if (!wish) return false;
    *wish = (struct openid_wish){done, ctx};
    struct call call = {.channel = CHANNEL_WECHATPAY, .payment_key = (uint64_t)(uintptr_t)wish};
    if (lane_submit(w->oauth, &call, code, 0)) return true;
    free(wish);
    return false;
}

bool wechatpay_authorize_url(const struct channel *c, struct str redirect_uri, struct str state, struct buf *url)
{
    return wechatpay_authorize_url_write(&((const struct wechatpay *)c)->app, redirect_uri, state, url);
}

bool wechatpay_page(const struct channel *c, struct str prepay_id, struct buf *json)
{
    char nonce[WECHATPAY_NONCE_SIZE];
    const struct wechatpay *w = (const struct wechatpay *)c;
    return wechatpay_nonce(nonce) && wechatpay_page_write(&w->app, prepay_id, clock_real_ms(), nonce, json);
}

// --- Closing

static void wechatpay_free(struct wechatpay *w)
{
    lane_close(w->calls); // first: what it judges may ask for certificates
    lane_close(w->oauth);
    lane_close(w->certificates);
    platform_keys_free(w->keys);
    crypto_key_free(w->merchant_key);
    crypto_wipe(w->app_secret, sizeof w->app_secret);
    crypto_wipe(w->app.apiv3_key, sizeof w->app.apiv3_key);
    free(w);
}

static void wechatpay_channel_free(struct channel *c)
{
    wechatpay_free((struct wechatpay *)c);
}

static const struct channel_ops CHANNEL_OPS = {
    .id = CHANNEL_WECHATPAY,
    .submit = wechatpay_channel_submit,
    .judge = wechatpay_channel_judge,
    .ok_status = 200,
    .refuse_status = 401,
    .fail_status = 500,
    .reply_type = "application/json",
    .ok_body = "{\"code\":\"SUCCESS\",\"message\":\"成功\"}",
    .fail_body = "{\"code\":\"FAIL\",\"message\":\"失败\"}",
    .free = wechatpay_channel_free,
};

// --- Opening

static bool is_plain(char c) // goes into headers, addresses and JSON as it is
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
}

static bool copy_name(const char *name, const char *value, bool required, char *out, size_t size, char why[200])
{
    struct str s = str_of(value);
    bool plain = s.n < size;
    for (size_t i = 0; plain && i < s.n; i++)
        plain = is_plain(s.p[i]);
    if (plain && (s.n > 0 || !required)) {
        if (s.n > 0) memcpy(out, s.p, s.n);
        out[s.n] = 0;
        return true;
    }
    if (s.n == 0)
        (void)snprintf(why, 200, "wechatpay.%s is missing", name);
    else
        (void)snprintf(why, 200, "wechatpay.%s must be letters, digits, - and _, at most %zu characters", name,
                       size - 1);
    return false;
}

static bool copy_url(const char *name, const char *value, bool required, char *out, char why[200])
{
    struct str s = str_of(value);
    bool visible = s.n <= URL_MAX && (s.n == 0 || s.p[s.n - 1] != '/');
    for (size_t i = 0; i < s.n; i++)
        visible = visible && s.p[i] > ' ' && s.p[i] < 0x7f && s.p[i] != '"';
    bool is_url = str_starts(s, STR("https://")) || str_starts(s, STR("http://"));
    if (s.n == 0 && required) {
        (void)snprintf(why, 200, "wechatpay.%s is missing", name);
        return false;
    }
    if (visible && (s.n == 0 || is_url)) {
        if (s.n > 0) memcpy(out, s.p, s.n);
        out[s.n] = 0;
        return true;
    }
    (void)snprintf(why, 200, "wechatpay.%s must be an https:// or http:// address without a slash at its end", name);
    return false;
}

static bool options_copy(struct wechatpay *w, const struct wechatpay_options *o, char why[200])
{
    w->every_ms = o->certificates_every_ms ? o->certificates_every_ms : CERTS_EVERY_MS;
    w->apart_ms = o->certificates_apart_ms ? o->certificates_apart_ms : CERTS_APART_MS;
    return copy_url("base_url", o->base_url, true, w->base_url, why) &&
           copy_url("notify_url", o->notify_url, false, w->notify_url, why) &&
           copy_url("oauth_url", o->oauth_url, false, w->oauth_url, why) &&
           copy_name("mchid", o->mchid, true, w->mchid, sizeof w->mchid, why) &&
           copy_name("appid", o->appid, true, w->appid, sizeof w->appid, why) &&
           copy_name("serial", o->serial, true, w->serial, sizeof w->serial, why) &&
           copy_name("platform_key_id", o->platform_key_id, false, w->public_id, sizeof w->public_id, why);
}

static bool secrets_load(struct wechatpay *w, const struct wechatpay_options *o, char why[200])
{
    char reason[160], key[CRYPTO_SECRET_MAX + 1];
    bool ok = crypto_secret_load(o->apiv3_key_file ? o->apiv3_key_file : "", key, reason);
    if (ok && strlen(key) != CRYPTO_GCM_KEY) {
        (void)snprintf(reason, sizeof reason, "expected the APIv3 key, which has 32 characters");
        ok = false;
    }
    if (ok) memcpy(w->app.apiv3_key, key, CRYPTO_GCM_KEY);
    crypto_wipe(key, sizeof key);
    if (!ok) {
        (void)snprintf(why, 200, "wechatpay.apiv3_key_file: %s", reason);
        return false;
    }
    if (!w->oauth_url[0] || crypto_secret_load(o->app_secret_file ? o->app_secret_file : "", w->app_secret, reason))
        return true;
    (void)snprintf(why, 200, "wechatpay.app_secret_file: %s", reason);
    return false;
}

static bool platform_key_load(struct wechatpay *w, const struct wechatpay_options *o, char why[200])
{
    char reason[160];
    struct crypto_key *key = NULL;
    if (w->public_id[0]) {
        key = crypto_public_key_load(o->platform_key_file ? o->platform_key_file : "", reason);
        if (!key) {
            (void)snprintf(why, 200, "wechatpay.platform_key_file: %s", reason);
            return false;
        }
        if (crypto_same_pair(w->merchant_key, key)) {
            (void)snprintf(why, 200, "%s",
                           "wechatpay.platform_key_file holds the public half of your own key; it must be WeChat "
                           "Pay's public key, shown in its merchant platform");
            crypto_key_free(key);
            return false;
        }
    }
    w->keys = platform_keys_new(w->public_id, key);
    if (!w->keys) crypto_key_free(key);
    return w->keys;
}

static bool keys_load(struct wechatpay *w, const struct wechatpay_options *o, char why[200])
{
    char reason[160];
    w->merchant_key = crypto_private_key_load(o->private_key_file ? o->private_key_file : "", reason);
    if (w->merchant_key) return secrets_load(w, o, why) && platform_key_load(w, o, why);
    (void)snprintf(why, 200, "wechatpay.private_key_file: %s", reason);
    return false;
}

static bool lanes_open(struct wechatpay *w, struct caller *caller, const struct answer_sink *sink)
{
    struct answer_sink certificates = {certificates_post, w}, oauth = {oauth_post, w};
    w->calls = lane_open(caller, &CALLS_OPS, w, sink);
    w->certificates = lane_open(caller, &CERTIFICATES_OPS, w, &certificates);
    w->oauth = lane_open(caller, &OAUTH_OPS, w, &oauth);
    return w->calls && w->certificates && w->oauth;
}

static void app_fill(struct wechatpay *w, const uint8_t secret[ID_SECRET_SIZE])
{
    w->app.base_url = w->base_url;
    w->app.mchid = w->mchid;
    w->app.appid = w->appid;
    w->app.serial = w->serial;
    w->app.notify_url = w->notify_url;
    w->app.oauth_url = w->oauth_url;
    w->app.app_secret = w->app_secret;
    w->app.merchant_key = w->merchant_key;
    w->app.keys = w->keys;
    memcpy(w->app.secret, secret, ID_SECRET_SIZE);
}

const struct wechatpay_app *wechatpay_app_of(const struct channel *c)
{
    return &((const struct wechatpay *)c)->app;
}

struct channel *wechatpay_open(const struct wechatpay_options *options, struct caller *caller,
                               const struct answer_sink *sink, const uint8_t secret[ID_SECRET_SIZE], char why[200])
{
    struct wechatpay *w = calloc(1, sizeof *w);
    (void)snprintf(why, 200, "%s", "wechatpay: out of memory or lanes");
    if (!w) return NULL;
    w->base.ops = &CHANNEL_OPS;
    if (options_copy(w, options, why) && keys_load(w, options, why)) {
        app_fill(w, secret);
        if (lanes_open(w, caller, sink)) {
            why[0] = 0;
            certificates_look(w, false);
            return &w->base;
        }
    }
    wechatpay_free(w);
    return NULL;
}
