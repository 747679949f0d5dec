// SPDX-License-Identifier: Apache-2.0
#include "channel/alipay.h"
#include "base/cert_sn.h"
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
    char app_cert_sn[CERT_SN_SIZE], alipay_cert_sn[CERT_SN_SIZE], root_cert_sn[CERT_SNS_SIZE];
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

// Told at the 1st, 2nd, 4th, 8th ...: the usual reason, a wrong key or an old certificate, would otherwise fill the
// log.
static void signature_complain(struct alipay *a)
{
    unsigned n = atomic_fetch_add_explicit(&a->n_unsigned, 1, memory_order_relaxed) + 1;
    if ((n & (n - 1)) == 0)
        log_warn("alipay", "%u answers of the gateway had no good signature: is alipay.%s Alipay's, and of today?", n,
                 a->app.alipay_cert_sn ? "alipay_cert_file" : "alipay_public_key_file");
}

static bool is_about_the_key(const char *detail)
{
    return strcmp(detail, "bad signature") == 0 || strcmp(detail, "another alipay_cert_sn") == 0;
}

static void alipay_judge(void *ctx, const struct call *call, const struct call_reply *reply, struct answer *answer,
                         struct buf *text)
{
    struct alipay *a = ctx;
    alipay_answer(&a->app, call, reply, answer, text);
    if (answer->outcome == OUTCOME_UNKNOWN && is_about_the_key(answer->detail)) signature_complain(a);
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

static const char *text_of(const char *option)
{
    return option ? option : "";
}

static bool refuse(char why[200], const char *option, const char *reason)
{
    (void)snprintf(why, 200, "alipay.%s: %s", option, reason);
    return false;
}

static bool app_key_load(struct alipay *a, const struct alipay_options *o, char why[200])
{
    char reason[160];
    a->app_key = crypto_private_key_load(text_of(o->private_key_file), reason);
    return a->app_key || refuse(why, "private_key_file", reason);
}

static bool alipay_key_load(struct alipay *a, const char *option, const char *file, char why[200])
{
    char reason[160];
    a->alipay_key = crypto_public_key_load(text_of(file), reason);
    if (!a->alipay_key) return refuse(why, option, reason);
    if (!crypto_same_pair(a->app_key, a->alipay_key)) return true;
    (void)snprintf(why, 200,
                   "alipay.%s holds the public half of your own application key; it must be Alipay's, shown in its "
                   "console once yours is uploaded",
                   option);
    return false;
}

// The serial name of a certificate file, or of all its roots.
static bool sn_load(const char *option, const char *file, bool of_roots, char *sn, char why[200])
{
    char reason[160];
    struct buf pem = {0};
    bool ok = cert_load(text_of(file), &pem, reason) &&
              (of_roots ? cert_sn_of_roots(buf_view(&pem), sn, reason) : cert_sn(buf_view(&pem), sn, reason));
    buf_free(&pem);
    return ok || refuse(why, option, reason);
}

static bool app_cert_is_ours(const struct alipay *a, const char *file, char why[200])
{
    char reason[160];
    struct crypto_key *key = crypto_public_key_load(text_of(file), reason);
    if (!key) return refuse(why, "app_cert_file", reason);
    bool ours = crypto_same_pair(a->app_key, key);
    crypto_key_free(key);
    return ours || refuse(why, "app_cert_file", "it is of another key than alipay.private_key_file");
}

static bool certs_load(struct alipay *a, const struct alipay_options *o, char why[200])
{
    if (!sn_load("app_cert_file", o->app_cert_file, false, a->app_cert_sn, why) ||
        !app_cert_is_ours(a, o->app_cert_file, why) ||
        !sn_load("alipay_cert_file", o->alipay_cert_file, false, a->alipay_cert_sn, why) ||
        !sn_load("root_cert_file", o->root_cert_file, true, a->root_cert_sn, why))
        return false;
    a->app.app_cert_sn = a->app_cert_sn;
    a->app.alipay_cert_sn = a->alipay_cert_sn;
    a->app.root_cert_sn = a->root_cert_sn;
    return true;
}

static bool keys_load(struct alipay *a, const struct alipay_options *o, char why[200])
{
    bool has_certs = *text_of(o->app_cert_file) != 0;
    if (!app_key_load(a, o, why)) return false;
    if (!has_certs) return alipay_key_load(a, "alipay_public_key_file", o->alipay_public_key_file, why);
    return certs_load(a, o, why) && alipay_key_load(a, "alipay_cert_file", o->alipay_cert_file, why);
}

const struct alipay_app *alipay_app_of(const struct channel *c)
{
    return &((const struct alipay *)c)->app;
}

struct channel *alipay_open(const struct alipay_options *options, struct caller *caller, struct answer_sink *sink,
                            const uint8_t secret[ID_SECRET_SIZE], char why[200])
{
    struct alipay *a = calloc(1, sizeof *a);
    (void)snprintf(why, 200, "%s", "alipay: out of memory or lanes");
    if (!a) return NULL;
    a->base.ops = &CHANNEL_OPS;
    if (options_copy(a, options, why) && keys_load(a, options, why)) {
        a->app.gateway = a->gateway;
        a->app.app_id = a->app_id;
        a->app.seller_id = a->seller_id;
        a->app.notify_url = a->notify_url;
        a->app.app_key = a->app_key;
        a->app.alipay_key = a->alipay_key;
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
