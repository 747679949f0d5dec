// SPDX-License-Identifier: Apache-2.0
#include "sandbox/faults.h"
#include <stdio.h>

#define DELAY_MAX_MS  (INT64_C(7) * 86400 * 1000)
#define SEED_MAX      (INT64_C(1) << 53) // what every JSON reader keeps exactly
#define BILL_DROP_MAX 1000000

const struct faults FAULTS_NONE = {.seed = 1};

// --- Reading

static void read_rate(const struct json_in *in, const char *name, double *out)
{
    const json_t *v = json_object_get(in->object, name);
    if (!v) return;
    double d = json_number_value(v);
    if (!json_is_number(v))
        json_in_fail(in, name, "wrong_type", "must be a number from 0 to 1");
    else if (!(d >= 0 && d <= 1))
        json_in_fail(in, name, "out_of_range", "must be from 0 to 1");
    else
        *out = d;
}

static void read_delay(const struct json_in *in, const char *name, int64_t out[2])
{
    const json_t *a;
    if (!json_in_array(in, name, false, 2, &a)) return;
    const json_t *from = json_array_get(a, 0), *to = json_array_get(a, 1);
    if (!json_is_integer(from) || !json_is_integer(to)) {
        json_in_fail(in, name, "wrong_type", "must be two integers, the least and the most milliseconds");
        return;
    }
    int64_t least = json_integer_value(from), most = json_integer_value(to);
    if (least < 0 || most < least || most > DELAY_MAX_MS) {
        json_in_fail(in, name, "out_of_range", "must be 0 <= least <= most <= %lld", (long long)DELAY_MAX_MS);
        return;
    }
    out[0] = least;
    out[1] = most;
}

static void read_notify(struct faults *f, const struct json_in *root)
{
    static const char *const names[] = {"drop", "duplicate", "delay_ms", "forge", NULL};
    struct json_in in = {.at = "/notify", .fault = root->fault};
    if (!json_in_object(root, "notify", false, &in.object) || !json_in_only(&in, names)) return;
    read_rate(&in, "drop", &f->notify.drop);
    read_rate(&in, "duplicate", &f->notify.duplicate);
    read_delay(&in, "delay_ms", f->notify.delay_ms);
    (void)json_in_bool(&in, "forge", false, &f->notify.forge);
}

static void read_gateway(struct faults *f, const struct json_in *root)
{
    static const char *const names[] = {"error", "timeout", "rate_limit", "delay_ms", "unavailable", NULL};
    struct json_in in = {.at = "/gateway", .fault = root->fault};
    if (!json_in_object(root, "gateway", false, &in.object) || !json_in_only(&in, names)) return;
    read_rate(&in, "error", &f->gateway.error);
    read_rate(&in, "timeout", &f->gateway.timeout);
    read_rate(&in, "rate_limit", &f->gateway.rate_limit);
    read_delay(&in, "delay_ms", f->gateway.delay_ms);
    (void)json_in_bool(&in, "unavailable", false, &f->gateway.unavailable);
}

static const char *const OUTCOMES[] = {
    [OUTCOME_SUCCESS] = "success",
    [OUTCOME_PROCESSING] = "processing",
    [OUTCOME_ABNORMAL] = "abnormal",
    [OUTCOME_CLOSED] = "closed",
};
#define N_OUTCOMES (sizeof OUTCOMES / sizeof OUTCOMES[0])

static const char *const ALIPAY_REFUNDS[] = {
    [ALIPAY_REFUND_SAID] = "success",
    [ALIPAY_REFUND_QUIET] = "fund_change_n",
    [ALIPAY_REFUND_LATE] = "late",
    [ALIPAY_REFUND_LOST] = "lost",
};
#define N_ALIPAY_REFUNDS (sizeof ALIPAY_REFUNDS / sizeof ALIPAY_REFUNDS[0])

// One of the words; `out` is as it was when it is absent.
static void read_word(const struct json_in *in, const char *name, const char *const words[], unsigned n,
                      const char *allowed, unsigned *out)
{
    struct str text;
    if (!json_in_str(in, name, false, 32, &text)) return;
    for (unsigned i = 0; i < n; i++)
        if (str_eq(text, str_of(words[i]))) {
            *out = i;
            return;
        }
    json_in_fail(in, name, "out_of_range", "must be %s", allowed);
}

static void read_refund(struct faults *f, const struct json_in *root)
{
    static const char *const names[] = {"alipay", "wechatpay", NULL};
    struct json_in in = {.at = "/refund", .fault = root->fault};
    unsigned alipay = f->refund_alipay, wechatpay = f->refund_wechatpay;
    if (!json_in_object(root, "refund", false, &in.object) || !json_in_only(&in, names)) return;
    read_word(&in, "alipay", ALIPAY_REFUNDS, N_ALIPAY_REFUNDS, "success, fund_change_n, late or lost", &alipay);
    read_word(&in, "wechatpay", OUTCOMES, N_OUTCOMES, "success, processing, abnormal or closed", &wechatpay);
    f->refund_alipay = (enum alipay_refund)alipay;
    f->refund_wechatpay = (enum refund_outcome)wechatpay;
}

static void read_bill(struct faults *f, const struct json_in *root)
{
    static const char *const names[] = {"drop", "alter", NULL};
    struct json_in in = {.at = "/bill", .fault = root->fault};
    if (!json_in_object(root, "bill", false, &in.object) || !json_in_only(&in, names)) return;
    (void)json_in_int(&in, "drop", false, 0, BILL_DROP_MAX, &f->bill.drop);
    (void)json_in_bool(&in, "alter", false, &f->bill.alter);
}

bool faults_read(struct faults *f, struct str text, struct json_fault *fault)
{
    static const char *const names[] = {"notify", "gateway", "refund", "bill", "unscanned_close_kills_qr",
                                        "seed",   NULL};
    *f = FAULTS_NONE;
    json_t *root = json_read_object(text, fault);
    if (!root) return false;
    struct json_in in = {.object = root, .at = "", .fault = fault};
    if (json_in_only(&in, names)) {
        read_notify(f, &in);
        read_gateway(f, &in);
        read_refund(f, &in);
        read_bill(f, &in);
        (void)json_in_bool(&in, "unscanned_close_kills_qr", false, &f->unscanned_close_kills_qr);
        (void)json_in_int(&in, "seed", false, 0, SEED_MAX, &f->seed);
    }
    json_decref(root);
    return !fault->code;
}

// --- Writing

static void write_rate(struct buf *out, const char *name, double rate)
{
    char text[32];
    // Not "%g" alone: the reader of the stored text takes numbers of JSON only, and 17 digits give the same double
    // back.
    int n = snprintf(text, sizeof text, "%.17g", rate);
    for (int digits = 1; digits < 17; digits++) {
        char shorter[32];
        int m = snprintf(shorter, sizeof shorter, "%.*g", digits, rate);
        double back = 0;
        if (sscanf(shorter, "%lf", &back) != 1 || back < rate || back > rate) continue;
        memcpy(text, shorter, (size_t)m + 1);
        n = m;
        break;
    }
    json_key(out, name);
    json_raw(out, (struct str){text, (size_t)n});
}

static void write_delay(struct buf *out, const int64_t delay_ms[2])
{
    json_key(out, "delay_ms");
    json_open(out, '[');
    json_i64(out, delay_ms[0]);
    json_i64(out, delay_ms[1]);
    json_close(out, ']');
}

static void write_bool(struct buf *out, const char *name, bool v)
{
    json_key(out, name);
    json_bool(out, v);
}

void faults_write(const struct faults *f, struct buf *out)
{
    json_open(out, '{');
    json_key(out, "notify");
    json_open(out, '{');
    write_rate(out, "drop", f->notify.drop);
    write_rate(out, "duplicate", f->notify.duplicate);
    write_delay(out, f->notify.delay_ms);
    write_bool(out, "forge", f->notify.forge);
    json_close(out, '}');
    json_key(out, "gateway");
    json_open(out, '{');
    write_rate(out, "error", f->gateway.error);
    write_rate(out, "timeout", f->gateway.timeout);
    write_delay(out, f->gateway.delay_ms);
    write_bool(out, "unavailable", f->gateway.unavailable);
    if (f->gateway.rate_limit > 0) write_rate(out, "rate_limit", f->gateway.rate_limit);
    json_close(out, '}');
    if (f->refund_wechatpay != OUTCOME_SUCCESS || f->refund_alipay != ALIPAY_REFUND_SAID) {
        json_key(out, "refund");
        json_open(out, '{');
        if (f->refund_alipay != ALIPAY_REFUND_SAID) json_kz(out, "alipay", ALIPAY_REFUNDS[f->refund_alipay]);
        if (f->refund_wechatpay != OUTCOME_SUCCESS) json_kz(out, "wechatpay", OUTCOMES[f->refund_wechatpay]);
        json_close(out, '}');
    }
    if (f->bill.drop || f->bill.alter) {
        json_key(out, "bill");
        json_open(out, '{');
        json_ki64(out, "drop", f->bill.drop);
        write_bool(out, "alter", f->bill.alter);
        json_close(out, '}');
    }
    write_bool(out, "unscanned_close_kills_qr", f->unscanned_close_kills_qr);
    json_ki64(out, "seed", f->seed);
    json_close(out, '}');
}

// --- The dice

enum stream { STREAM_GATEWAY = 1, STREAM_NOTICE = 2 };

static uint64_t mix(uint64_t x) // SplitMix64's finaliser
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint64_t draw(const struct faults *f, enum stream stream, uint64_t n, unsigned which)
{
    return mix(mix(mix((uint64_t)f->seed) ^ n) ^ ((uint64_t)stream << 32 | which));
}

static double draw_unit(const struct faults *f, enum stream stream, uint64_t n, unsigned which)
{
    return (double)(draw(f, stream, n, which) >> 11) / 9007199254740992.0; // 2^53: [0, 1)
}

static int64_t draw_delay(const struct faults *f, enum stream stream, uint64_t n, unsigned which,
                          const int64_t range_ms[2])
{
    uint64_t width = (uint64_t)(range_ms[1] - range_ms[0]) + 1;
    return range_ms[0] + (int64_t)(draw(f, stream, n, which) % width);
}

// Each question has its own number, so that turning one switch does not reshuffle the others.
struct gateway_fate faults_gateway_draw(const struct faults *f, uint64_t n)
{
    struct gateway_fate fate = {.unavailable = f->gateway.unavailable, .executes = true};
    fate.delay_ms = draw_delay(f, STREAM_GATEWAY, n, 0, f->gateway.delay_ms);
    fate.hangs = draw_unit(f, STREAM_GATEWAY, n, 1) < f->gateway.timeout;
    fate.error = draw_unit(f, STREAM_GATEWAY, n, 2) < f->gateway.error;
    fate.error_is_acq = draw(f, STREAM_GATEWAY, n, 3) & 1;
    fate.limited = draw_unit(f, STREAM_GATEWAY, n, 5) < f->gateway.rate_limit;
    fate.limited_late = draw(f, STREAM_GATEWAY, n, 6) & 1;
    if (fate.hangs || fate.error) fate.executes = draw(f, STREAM_GATEWAY, n, 4) & 1;
    if (fate.unavailable) fate.executes = false;
    return fate;
}

struct notice_fate faults_notice_draw(const struct faults *f, uint64_t n)
{
    return (struct notice_fate){
        .dropped = draw_unit(f, STREAM_NOTICE, n, 0) < f->notify.drop,
        .duplicated = draw_unit(f, STREAM_NOTICE, n, 1) < f->notify.duplicate,
        .forged = f->notify.forge,
        .forgery = (unsigned)(n % 3),
        .delay_ms = draw_delay(f, STREAM_NOTICE, n, 2, f->notify.delay_ms),
        .duplicate_delay_ms = draw_delay(f, STREAM_NOTICE, n, 3, f->notify.delay_ms),
    };
}
