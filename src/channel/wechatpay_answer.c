// SPDX-License-Identifier: Apache-2.0
// What an answer of the API proves. A success is believed only when WeChat Pay signed it. A failure may come unsigned,
// from a gateway before the one that signs; a signature that is there must be right all the same.
#include "channel/wechatpay_wire.h"
#include <stdio.h>

#define CODE_MAX 512 // bytes of a code's text; what qr.h draws

// --- Saying it

static void say(struct answer *a, enum outcome outcome, enum fact fact)
{
    a->outcome = outcome;
    a->fact = fact;
}

static void say_unknown(struct answer *a, const char *reason)
{
    say(a, OUTCOME_UNKNOWN, FACT_NONE);
    (void)snprintf(a->detail, sizeof a->detail, "%s", reason);
}

static void take_transaction_id(struct answer *a, const json_t *node)
{
    struct str id = wechatpay_field(node, "transaction_id");
    if (id.n < sizeof a->provider_trade_no)
        wechatpay_copy_visible(id, a->provider_trade_no, sizeof a->provider_trade_no);
    if (strchr(a->provider_trade_no, '?')) a->provider_trade_no[0] = 0;
}

// Absent is fine; there, it must be ours.
static bool may_be(const json_t *node, const char *name, const char *value)
{
    return !json_object_get(node, name) || wechatpay_field_is(node, name, value);
}

static bool is_number(const struct wechatpay_app *app, const json_t *node, const char *name, uint64_t key)
{
    char number[ID_TEXT_SIZE];
    id_format(app->secret, "", key, number);
    return wechatpay_field_is(node, name, number);
}

// --- Success, by method

static const char *code_member(enum product product)
{
    switch (product) {
    case PRODUCT_QR: return "code_url";
    case PRODUCT_JSAPI: return "prepay_id";
    case PRODUCT_WAP: return "h5_url";
    }
    return "";
}

static void judge_create(const struct call *call, const json_t *node, struct answer *a, struct buf *text)
{
    const char *member = code_member(call->product);
    struct str code = wechatpay_field(node, member);
    bool good = code.n > 0 && code.n <= CODE_MAX;
    for (size_t i = 0; good && i < code.n; i++)
        good = code.p[i] > ' ' && code.p[i] < 0x7f;
    if (good) buf_str(text, code);
    if (!good || text->failed) {
        say_unknown(a, "");
        (void)snprintf(a->detail, sizeof a->detail, good ? "out of memory" : "no %s", member);
        return;
    }
    a->code = buf_view(text);
    say(a, OUTCOME_DONE, FACT_CODE);
}

static bool is_one_of(struct str word, const char *const list[])
{
    for (; *list; list++)
        if (str_eq(word, str_of(*list))) return true;
    return false;
}

// "REFUND" says that some of the money went back, not how much. Refunds of ours are asked about by their own numbers.
static void judge_trade(const json_t *node, struct answer *a)
{
    bool some_left = wechatpay_field_is(node, "trade_state", "REFUND");
    static const char *const waiting[] = {"NOTPAY", "USERPAYING", "ACCEPT", NULL};
    static const char *const closed[] = {"CLOSED", "REVOKED", "PAYERROR", NULL};
    struct str state = wechatpay_field(node, "trade_state");
    int64_t total_fen;
    wechatpay_copy_visible(state, a->detail, sizeof a->detail);
    if (is_one_of(state, waiting)) {
        say(a, OUTCOME_DONE, FACT_WAITING);
    } else if (some_left || wechatpay_field_is(node, "trade_state", "SUCCESS")) {
        if (!wechatpay_amount(node, "total", &total_fen)) return say_unknown(a, "bad amount");
        a->captured_fen = total_fen;
        say(a, OUTCOME_DONE, some_left ? FACT_PAID_SOME_REFUNDED : FACT_PAID);
    } else if (is_one_of(state, closed)) {
        // "Closed" is taken for "never paid"; a time of payment contradicts that.
        if (wechatpay_field(node, "success_time").n > 0) return say_unknown(a, "closed after a payment");
        say(a, OUTCOME_DONE, FACT_CLOSED);
    } else {
        say_unknown(a, "strange trade_state");
    }
}

static void judge_query(const struct wechatpay_app *app, const struct call *call, const json_t *node, struct answer *a)
{
    if (!wechatpay_field_is(node, "mchid", app->mchid))
        say_unknown(a, "another mchid");
    else if (!wechatpay_field_is(node, "appid", app->appid))
        say_unknown(a, "another appid");
    else if (!is_number(app, node, "out_trade_no", call->payment_key))
        say_unknown(a, "another out_trade_no");
    else
        judge_trade(node, a);
}

static void judge_refund(const struct wechatpay_app *app, const struct call *call, const json_t *node, struct answer *a)
{
    static const struct {
        const char *status;
        enum fact fact;
    } rows[] = {
        {"SUCCESS", FACT_REFUND_DONE},
        {"PROCESSING", FACT_REFUND_ACCEPTED},
        {"CLOSED", FACT_REFUND_CLOSED},
        {"ABNORMAL", FACT_REFUND_ABNORMAL},
    };
    int64_t refund_fen, total_fen;
    struct str status = wechatpay_field(node, "status");
    if (!may_be(node, "mchid", app->mchid)) return say_unknown(a, "another mchid");
    if (!is_number(app, node, "out_refund_no", call->number_key)) return say_unknown(a, "another out_refund_no");
    if (!is_number(app, node, "out_trade_no", call->payment_key)) return say_unknown(a, "another out_trade_no");
    if (!wechatpay_amount(node, "refund", &refund_fen) || !wechatpay_amount(node, "total", &total_fen) ||
        refund_fen != call->amount_fen || total_fen != call->total_fen)
        return say_unknown(a, "another amount");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!str_eq(status, str_of(rows[i].status))) continue;
        wechatpay_copy_visible(status, a->detail, sizeof a->detail);
        return say(a, OUTCOME_DONE, rows[i].fact);
    }
    say_unknown(a, "strange status");
}

static void judge_object(const struct wechatpay_app *app, const struct call *call, const json_t *node, struct answer *a,
                         struct buf *text)
{
    take_transaction_id(a, node);
    switch (call->method) {
    case CALL_CREATE: judge_create(call, node, a, text); break;
    case CALL_QUERY: judge_query(app, call, node, a); break;
    case CALL_REFUND:
    case CALL_REFUND_QUERY: judge_refund(app, call, node, a); break;
    case CALL_CLOSE:
    case CALL_CANCEL: say_unknown(a, "closed with a body"); break;
    case CALL_NONE: say_unknown(a, "nothing was asked"); break;
    }
}

// --- Failure

// Old pages write codes without underscores: "ORDERNOTEXIST" is "ORDER_NOT_EXIST".
static bool code_is(struct str code, const char *word)
{
    size_t i = 0;
    for (; i < code.n && (code.p[i] == '_' || code.p[i] == *word); i++)
        word += code.p[i] != '_';
    return i == code.n && *word == 0;
}

static bool code_is_one_of(struct str code, const char *const list[])
{
    for (; *list; list++)
        if (code_is(code, *list)) return true;
    return false;
}

// A definite "no" (4xx with a code). What it leaves open is unknown.
static void judge_no(enum call_method method, int status, struct str code, struct answer *a)
{
    static const char *const later[] = {"",          "SYSTEMERROR",       "FREQUENCYLIMITED",   "FREQUENCYLIMIT",
                                        "BANKERROR", "RATELIMITEXCEEDED", "SERVICEUNAVAILABLE", NULL};
    // The number has a trade of its own: an earlier request arrived, and was even paid or closed.
    static const char *const has_trade[] = {"ORDERPAID", "ORDERCLOSED", "OUTTRADENOUSED", NULL};
    static const char *const no_refund[] = {"RESOURCENOTEXISTS", "REFUNDNOTEXISTS", "REFUNDNOTEXIST", NULL};
    bool no_trade = code_is(code, "ORDERNOTEXIST") || code_is(code, "ORDERNOTEXISTS");
    say(a, OUTCOME_UNKNOWN, FACT_NONE);
    if (code_is_one_of(code, later)) return;
    switch (method) {
    case CALL_CREATE:
        if (!code_is_one_of(code, has_trade)) say(a, OUTCOME_REFUSED, FACT_NONE);
        break;
    case CALL_QUERY:
        if (no_trade) say(a, OUTCOME_DONE, FACT_NOT_FOUND);
        break;
    case CALL_CLOSE: say(a, OUTCOME_REFUSED, no_trade ? FACT_NOT_FOUND : FACT_NONE); break;
    case CALL_CANCEL:
        if (no_trade)
            say(a, OUTCOME_DONE, FACT_NOT_FOUND);
        else
            say(a, OUTCOME_REFUSED, FACT_NONE);
        break;
    case CALL_REFUND: // 401: our signature was not taken, which says nothing about the refund
        if (status != 401) say(a, OUTCOME_REFUSED, FACT_NONE);
        break;
    case CALL_REFUND_QUERY:
        if (code_is_one_of(code, no_refund)) say(a, OUTCOME_DONE, FACT_REFUND_ABSENT);
        break;
    case CALL_NONE: break;
    }
}

// --- The whole

static void judge_body(const struct wechatpay_app *app, const struct call *call, const struct call_reply *reply,
                       struct answer *a, struct buf *text)
{
    struct json_fault fault;
    json_t *root = json_read_object(reply->body, &fault);
    struct str code = wechatpay_field(root, "code");
    if (root && reply->status == 200) {
        judge_object(app, call, root, a, text);
    } else if (reply->status == 200) {
        say_unknown(a, fault.code);
    } else { // 202, 3xx, 429 and 5xx with a code of their own are to be asked again
        bool is_no = root && reply->status >= 400 && reply->status < 500 && reply->status != 429;
        say_unknown(a, "");
        if (is_no) judge_no(call->method, reply->status, code, a);
        if (code.n > 0)
            wechatpay_copy_visible(code, a->detail, sizeof a->detail);
        else
            (void)snprintf(a->detail, sizeof a->detail, "http %d", reply->status);
    }
    json_decref(root);
}

enum seal_word wechatpay_answer(const struct wechatpay_app *app, const struct call *call,
                                const struct call_reply *reply, int64_t real_ms, struct answer *a, struct buf *text)
{
    const char *why;
    struct wechatpay_seal seal = wechatpay_seal_of(reply);
    enum seal_word word = wechatpay_seal_check(app, NULL, &seal, reply->body, real_ms, &why);
    bool is_success = reply->status >= 200 && reply->status < 300;
    bool is_close = call->method == CALL_CLOSE || call->method == CALL_CANCEL;
    if (word != SEAL_GOOD && (is_success || word != SEAL_ABSENT))
        say_unknown(a, why);
    else if (reply->status == 204 && is_close && reply->body.n == 0)
        say(a, OUTCOME_DONE, FACT_CLOSED);
    else
        judge_body(app, call, reply, a, text);
    return word;
}
