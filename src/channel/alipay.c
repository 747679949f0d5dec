// SPDX-License-Identifier: Apache-2.0
#include "channel/alipay.h"
#include "base/crypto.h"
#include "base/log.h"
#include "channel/alipay_wire.h"
#include "port/clock.h"
#include <stdio.h>
#include <stdlib.h>

#define APP_ID_MAX    32
#define URL_MAX       256
#define GATEWAY_MAX   512
#define SELLER_ID_MAX 28

struct alipay {
    struct channel base; // first: a struct channel * is a struct alipay *
    struct alipay_app app;
    char gateway[GATEWAY_MAX + 1], app_id[APP_ID_MAX + 1], seller_id[SELLER_ID_MAX + 1], notify_url[URL_MAX + 1];
    struct crypto_key *app_key, *alipay_key;
    struct lane *lane;
    _Atomic unsigned n_unsigned; // answers whose signature was wrong
};

// --- What the caller asks for

static bool alipay_build(void *ctx, const struct call *call, struct str subject, int64_t now_ms,
                         struct call_request *out)
{
    const struct alipay *a = ctx;
    return alipay_request(&a->app, call, subject, now_ms, clock_real_ms(), out);
}

// Told at the 1st, 2nd, 4th, 8th ...: the usual reason, a wrong key, would otherwise fill the log.
static void signature_complain(struct alipay *a)
{
    unsigned n = atomic_fetch_add_explicit(&a->n_unsigned, 1, memory_order_relaxed) + 1;
    if ((n & (n - 1)) == 0)
        log_warn("alipay", "%u answers of the gateway had no good signature: is alipay_public_key_file Alipay's?", n);
}

static void alipay_judge(void *ctx, const struct call *call, const struct call_reply *reply, struct answer *answer,
                         struct buf *text)
{
    struct alipay *a = ctx;
    alipay_answer(&a->app, call, reply, answer, text);
    if (answer->outcome == OUTCOME_UNKNOWN && strcmp(answer->detail, "bad signature") == 0) signature_complain(a);
}

static const struct lane_ops LANE_OPS = {.build = alipay_build, .judge = alipay_judge, .name = "alipay"};

// --- What the engine asks for

static bool alipay_channel_submit(struct channel *c, const struct call *call, struct str subject, int64_t now_ms)
{
    struct alipay *a = (struct alipay *)c;
    return lane_submit(a->lane, call, subject, now_ms);
}

static enum notice_verdict alipay_channel_judge(struct channel *c, const struct notice_in *in, struct notice *out)
{
    const struct alipay *a = (const struct alipay *)c;
    return alipay_notice(&a->app, in->body, out);
}

static void alipay_free(struct alipay *a)
{
    lane_close(a->lane);
    crypto_key_free(a->app_key);
    crypto_key_free(a->alipay_key);
    free(a);
}

static void alipay_channel_free(struct channel *c)
{
    alipay_free((struct alipay *)c);
}

static const struct channel_ops CHANNEL_OPS = {
    .id = CHANNEL_ALIPAY,
    .submit = alipay_channel_submit,
    .judge = alipay_channel_judge,
    .ok_status = 200,
    .refuse_status = 200,
    .fail_status = 200, // the body alone decides: anything but "success" is sent again
    .reply_type = "text/plain",
    .ok_body = "success",
    .fail_body = "fail",
    .free = alipay_channel_free,
};

// --- Opening

// Visible ASCII only: these go into URLs and signed text as they are.
static bool copy_option(const char *name, const char *value, bool required, char *out, size_t size, char why[200])
{
    struct str s = str_of(value);
    if (required && s.n == 0) {
        (void)snprintf(why, 200, "alipay.%s is missing", name);
        return false;
    }
    bool visible = true;
    for (size_t i = 0; i < s.n; i++)
        visible = visible && s.p[i] > ' ' && s.p[i] < 0x7f;
    if (!visible || s.n >= size) {
        (void)snprintf(why, 200, "alipay.%s must be visible ASCII of at most %zu characters", name, size - 1);
        return false;
    }
    if (s.n > 0) memcpy(out, s.p, s.n);
    out[s.n] = 0;
    return true;
}

static bool is_url(const char *s)
{
    return strncmp(s, "https://", 8) == 0 || strncmp(s, "http://", 7) == 0;
}

static bool options_copy(struct alipay *a, const struct alipay_options *o, char why[200])
{
    if (!copy_option("gateway", o->gateway, true, a->gateway, sizeof a->gateway, why) ||
        !copy_option("app_id", o->app_id, true, a->app_id, sizeof a->app_id, why) ||
        !copy_option("seller_id", o->seller_id, false, a->seller_id, sizeof a->seller_id, why) ||
        !copy_option("notify_url", o->notify_url, false, a->notify_url, sizeof a->notify_url, why))
        return false;
    if (is_url(a->gateway) && (a->notify_url[0] == 0 || is_url(a->notify_url))) return true;
    (void)snprintf(why, 200, "alipay.%s must begin with https:// or http://",
                   is_url(a->gateway) ? "notify_url" : "gateway");
    return false;
}

static bool keys_load(struct alipay *a, const struct alipay_options *o, char why[200])
{
    char reason[160];
    const char *app_file = o->private_key_file ? o->private_key_file : "";
    const char *alipay_file = o->alipay_public_key_file ? o->alipay_public_key_file : "";
    a->app_key = crypto_private_key_load(app_file, reason);
    if (!a->app_key) {
        (void)snprintf(why, 200, "alipay.private_key_file: %s", reason);
        return false;
    }
    a->alipay_key = crypto_public_key_load(alipay_file, reason);
    if (!a->alipay_key) {
        (void)snprintf(why, 200, "alipay.alipay_public_key_file: %s", reason);
        return false;
    }
    if (!crypto_same_pair(a->app_key, a->alipay_key)) return true;
    (void)snprintf(why, 200, "%s",
                   "alipay.alipay_public_key_file holds the public half of your own application key; it must be "
                   "Alipay's public key, shown in its console once yours is uploaded");
    return false;
}

struct channel *alipay_open(const struct alipay_options *options, struct caller *caller, struct answer_sink *sink,
                            const uint8_t secret[ID_SECRET_SIZE], char why[200])
{
    struct alipay *a = calloc(1, sizeof *a);
    (void)snprintf(why, 200, "%s", "alipay: out of memory or lanes");
    if (!a) return NULL;
    a->base.ops = &CHANNEL_OPS;
    if (options_copy(a, options, why) && keys_load(a, options, why)) {
        a->app = (struct alipay_app){.gateway = a->gateway,
                                     .app_id = a->app_id,
                                     .seller_id = a->seller_id,
                                     .notify_url = a->notify_url,
                                     .app_key = a->app_key,
                                     .alipay_key = a->alipay_key};
        memcpy(a->app.secret, secret, ID_SECRET_SIZE);
        a->lane = lane_open(caller, &LANE_OPS, a, sink);
    }
    if (a->lane) {
        why[0] = 0;
        return &a->base;
    }
    alipay_free(a);
    return NULL;
}
