// SPDX-License-Identifier: Apache-2.0
#include "sandbox/provider.h"
#include "sandbox/alipay_notice.h"
#include "sandbox/wechat_notice.h"

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)

// --- Alipay

static const int64_t ALIPAY_GAPS_MS[] = {0,           0,           4 * MINUTE_MS, 10 * MINUTE_MS, 10 * MINUTE_MS,
                                         1 * HOUR_MS, 2 * HOUR_MS, 6 * HOUR_MS,   15 * HOUR_MS};

static const char *alipay_state(struct sandbox *s, const struct trade *t)
{
    (void)s;
    return alipay_trade_status(t->state);
}

static void alipay_fields(struct sandbox *s, const struct trade *t, const struct refund *r, const char *notice_id,
                          int64_t now_ms, struct buf *fields)
{
    (void)now_ms;
    alipay_notice_fields(&s->keys.identity, t, r ? r->out_request_no : NULL, notice_id, fields);
}

static bool alipay_write(struct sandbox *s, const struct notice *n, struct buf *body, struct buf *headers)
{
    buf_z(headers, "Content-Type: application/x-www-form-urlencoded;charset=utf-8\r\n");
    return alipay_notice_form(&s->keys, n, clock_now_ms(s->clock), body);
}

static bool alipay_is_heard(long status, struct str reply)
{
    return status == 200 && str_eq(reply, STR("success"));
}

// --- WeChat Pay

static const int64_t WECHATPAY_GAPS_MS[] = {15 * SECOND_MS, 15 * SECOND_MS, 30 * SECOND_MS, 3 * MINUTE_MS,
                                            10 * MINUTE_MS, 20 * MINUTE_MS, 30 * MINUTE_MS, 30 * MINUTE_MS,
                                            30 * MINUTE_MS, 60 * MINUTE_MS, 3 * HOUR_MS,    3 * HOUR_MS,
                                            3 * HOUR_MS,    6 * HOUR_MS,    6 * HOUR_MS};

static const char *wechat_state(struct sandbox *s, const struct trade *t)
{
    return wechat_trade_state(t, ledger_refund_use(s->ledger, t->id).n > 0);
}

static void wechat_fields(struct sandbox *s, const struct trade *t, const struct refund *r, const char *notice_id,
                          int64_t now_ms, struct buf *fields)
{
    wechat_notice_fields(&s->keys.identity, t, r, notice_id, now_ms, fields);
}

static bool wechat_write(struct sandbox *s, const struct notice *n, struct buf *body, struct buf *headers)
{
    buf_z(headers, "Content-Type: application/json\r\n");
    return wechat_notice_write(&s->keys, n, body, headers);
}

static bool wechat_is_heard(long status, struct str reply)
{
    (void)reply;
    return status == 200 || status == 204;
}

// --- The bank for tests

static const int64_t FAKE_GAPS_MS[] = {MINUTE_MS, MINUTE_MS, HOUR_MS};

// --- The table

#define GAPS(list) list, sizeof list / sizeof list[0]
const struct provider PROVIDERS[SANDBOX_N_CHANNELS] = {
    [SANDBOX_ALIPAY] = {"alipay", "", "22001", alipay_state, alipay_fields, alipay_write, alipay_is_heard,
                        GAPS(ALIPAY_GAPS_MS)},
    [SANDBOX_WECHATPAY] = {"wechatpay", "4200", "", wechat_state, wechat_fields, wechat_write, wechat_is_heard,
                           GAPS(WECHATPAY_GAPS_MS)},
    [SANDBOX_FAKE] = {"fake", "6200", "", fake_trade_state, fake_notice_fields, fake_notice_write, fake_notice_is_heard,
                      GAPS(FAKE_GAPS_MS)},
};
