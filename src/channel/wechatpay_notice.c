// SPDX-License-Identifier: Apache-2.0
// WeChat Pay's notification. Verified over its raw bytes, opened with the APIv3 key, and only then looked into:
// merchant, application, number, state, amount.
#include "channel/wechatpay_wire.h"
#include <stdio.h>
#include <string.h>

static enum notice_verdict verdict(struct notice *out, enum notice_verdict v, const char *why)
{
    out->answer = (struct answer){0};
    (void)snprintf(out->why, sizeof out->why, "%s", why);
    return v;
}

// --- What it says

static enum notice_verdict read_payment(const json_t *node, struct notice *out)
{
    struct answer *a = &out->answer;
    bool some_left = wechatpay_field_is(node, "trade_state", "REFUND");
    if (!some_left && !wechatpay_field_is(node, "trade_state", "SUCCESS"))
        return verdict(out, NOTICE_MALFORMED, "strange trade_state");
    if (!wechatpay_amount(node, "total", &a->captured_fen)) return verdict(out, NOTICE_MALFORMED, "bad amount");
    a->fact = some_left ? FACT_PAID_SOME_REFUNDED : FACT_PAID;
    return NOTICE_GOOD;
}

// Nothing is concluded from it. Its case shows what money it is, as far as that could be read, because a person has to
// find it over there.
static enum notice_verdict strange(struct notice *out)
{
    struct answer read = out->answer;
    (void)verdict(out, NOTICE_STRANGE, "out_trade_no is none of ours");
    out->answer.captured_fen = read.captured_fen;
    memcpy(out->answer.provider_trade_no, read.provider_trade_no, sizeof read.provider_trade_no);
    return NOTICE_STRANGE;
}

// A notice of a refund, or of anything else about a number of ours, is a hint and no more.
static enum notice_verdict read_trade(const struct wechatpay_app *app, struct str event_type, const json_t *node,
                                      struct notice *out)
{
    struct answer *a = &out->answer;
    bool is_payment = str_eq(event_type, STR("TRANSACTION.SUCCESS"));
    struct str number = wechatpay_field(node, "out_trade_no"), id = wechatpay_field(node, "transaction_id");
    if (!wechatpay_field_is(node, "mchid", app->mchid)) return verdict(out, NOTICE_FOREIGN, "another mchid");
    if ((is_payment || json_object_get(node, "appid")) && !wechatpay_field_is(node, "appid", app->appid))
        return verdict(out, NOTICE_FOREIGN, "another appid");
    if (number.n == 0) return verdict(out, NOTICE_MALFORMED, "no out_trade_no");
    wechatpay_copy_visible(number, out->number, sizeof out->number);
    bool is_ours = id_parse(app->secret, "", number, &a->payment_key);
    a->channel = CHANNEL_WECHATPAY;
    a->outcome = OUTCOME_DONE;
    if (id.n < sizeof a->provider_trade_no)
        wechatpay_copy_visible(id, a->provider_trade_no, sizeof a->provider_trade_no);
    wechatpay_copy_visible(event_type, a->detail, sizeof a->detail);
    a->of_refund = event_type.n > 7 && memcmp(event_type.p, "REFUND.", 7) == 0;
    enum notice_verdict v = is_payment ? read_payment(node, out) : NOTICE_GOOD;
    return is_ours ? v : strange(out);
}

// --- What it is wrapped in

static enum notice_verdict read_envelope(const struct wechatpay_app *app, const json_t *root, struct notice *out)
{
    struct json_fault fault;
    struct buf plain = {0};
    struct str event_type = wechatpay_field(root, "event_type");
    enum notice_verdict v;
    json_t *node = NULL;
    if (event_type.n == 0)
        v = verdict(out, NOTICE_MALFORMED, "no event_type");
    else if (!wechatpay_open_resource(app, json_object_get(root, "resource"), &plain))
        v = verdict(out, NOTICE_FORGED, "a resource the APIv3 key does not open");
    else if (!(node = json_read_object(buf_view(&plain), &fault)))
        v = verdict(out, NOTICE_MALFORMED, fault.code);
    else
        v = read_trade(app, event_type, node, out);
    json_decref(node);
    buf_free(&plain);
    return v;
}

enum notice_verdict wechatpay_notice(const struct wechatpay_app *app, const struct wechatpay_seal *seal,
                                     struct str body, int64_t real_ms, struct notice *out, enum seal_word *word)
{
    struct json_fault fault;
    const char *why;
    *out = (struct notice){0};
    *word = SEAL_BAD;
    if (body.n == 0) return verdict(out, NOTICE_MALFORMED, "empty body");
    if (body.n > WECHATPAY_NOTICE_MAX) return verdict(out, NOTICE_MALFORMED, "body too long");
    *word = wechatpay_seal_check(app, NULL, seal, body, real_ms, &why);
    if (*word != SEAL_GOOD) return verdict(out, NOTICE_FORGED, why);
    json_t *root = json_read_object(body, &fault);
    if (!root) return verdict(out, NOTICE_MALFORMED, fault.code);
    enum notice_verdict v = read_envelope(app, root, out);
    json_decref(root);
    return v;
}
