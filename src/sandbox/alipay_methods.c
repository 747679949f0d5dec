// SPDX-License-Identifier: Apache-2.0
#include "sandbox/alipay_methods.h"
#include "base/timetext.h"
#include "sandbox/alipay_notice.h"
#include "sandbox/loopback.h"
#include "sandbox/trades.h"
#include <stdio.h>
#include <stdlib.h>

#define DAY_MS           (INT64_C(24) * 3600 * 1000)
#define CODE_LIFE_MS     (INT64_C(2) * 3600 * 1000) // whatever is asked for, nobody can scan it later
#define TRADE_LIFE_MS    (INT64_C(3) * 3600 * 1000) // face to face, when neither timeout_express nor time_expire is sent
#define CANCEL_WITHIN_MS DAY_MS
#define EXPRESS_MAX_MS   (15 * DAY_MS)
#define QR_PREFIX        "https://qr.alipay.com/bax"
#define WAP_PREFIX       "alipay-wap-" // in no QR: the page's own form carries it

// --- Response objects

static void begin(struct call *c, const char *code, const char *msg)
{
    buf_clear(c->out);
    c->code = code;
    c->sub_code = NULL;
    json_open(c->out, '{');
    if (c->is_bare) return;
    json_kz(c->out, "code", code);
    json_kz(c->out, "msg", msg);
}

static void begin_success(struct call *c)
{
    begin(c, "10000", "Success");
}

void alipay_success(struct call *c)
{
    begin_success(c);
}

static void put_sub(struct call *c, const char *sub_code, const char *sub_msg)
{
    c->sub_code = sub_code;
    (void)snprintf(c->sub_msg, sizeof c->sub_msg, "%s", sub_msg);
    json_kz(c->out, "sub_code", sub_code);
    json_kz(c->out, "sub_msg", sub_msg);
}

// A refusal of the gateway or of the method, without further members.
void alipay_refuse(struct call *c, const char *code, const char *msg, const char *sub_code, const char *sub_msg)
{
    begin(c, code, msg);
    put_sub(c, sub_code, sub_msg);
    json_close(c->out, '}');
}

void alipay_refuse_missing(struct call *c, const char *sub_code, const char *sub_msg)
{
    alipay_refuse(c, "40001", "Missing Required Arguments", sub_code, sub_msg);
}

void alipay_refuse_invalid(struct call *c, const char *sub_code, const char *sub_msg)
{
    alipay_refuse(c, "40002", "Invalid Arguments", sub_code, sub_msg);
}

static void begin_business(struct call *c, const char *sub_code, const char *sub_msg)
{
    begin(c, "40004", "Business Failed");
    put_sub(c, sub_code, sub_msg);
}

void alipay_refuse_business(struct call *c, const char *sub_code, const char *sub_msg)
{
    begin_business(c, sub_code, sub_msg);
    json_close(c->out, '}');
}

void alipay_refuse_busy(struct call *c)
{
    alipay_refuse(c, "20000", "Service Currently Unavailable", "isp.unknow-error", "system busy");
}

static void put_yuan(struct call *c, const char *name, int64_t fen)
{
    struct buf text = {0};
    yuan_write(&text, fen);
    json_kstr(c->out, name, buf_view(&text));
    buf_free(&text);
}

static void put_time(struct call *c, const char *name, int64_t ms)
{
    char text[TIME_TEXT_SIZE];
    time_to_beijing(ms, text);
    json_kz(c->out, name, text);
}

static void put_text(struct call *c, const char *name, const char *value)
{
    if (value[0]) json_kz(c->out, name, value);
}

// --- biz_content

static size_t characters(const char *z)
{
    size_t n = 0;
    for (; *z; z++)
        n += ((unsigned char)*z & 0xc0) != 0x80;
    return n;
}

// A text member into `out`; numbers are taken for text, as SDKs send amounts either way. Absent and empty are "".
// False when it is of another kind or longer than `max_characters`.
static bool biz_text(const struct call *c, const char *name, size_t max_characters, char *out, size_t size)
{
    const json_t *v = json_object_get(c->biz, name);
    int n = 0;
    out[0] = 0;
    if (!v || json_is_null(v)) return true;
    if (json_is_string(v)) {
        n = snprintf(out, size, "%s", json_string_value(v));
    } else if (json_is_integer(v)) {
        n = snprintf(out, size, "%lld", (long long)json_integer_value(v));
    } else if (json_is_real(v)) {
        n = snprintf(out, size, "%.15g", json_real_value(v));
    } else {
        return false;
    }
    return n >= 0 && (size_t)n < size && characters(out) <= max_characters;
}

static bool is_number(const char *z)
{
    if (!z[0]) return false;
    for (; *z; z++)
        if (!((*z >= '0' && *z <= '9') || (*z >= 'A' && *z <= 'Z') || (*z >= 'a' && *z <= 'z') || *z == '_'))
            return false;
    return true;
}

// "90m", "2h", "15d", from one minute to 15 days; "1c" is the end of the day in Beijing.
static bool express_parse(const char *text, int64_t from_ms, int64_t *until_ms)
{
    int64_t length_ms;
    struct str s = str_of(text);
    if (strcmp(text, "1c") == 0) {
        char midnight[TIME_TEXT_SIZE];
        time_to_beijing(from_ms, midnight);
        memcpy(midnight + 11, "00:00:00", 9);
        if (!time_from_beijing(str_of(midnight), until_ms)) return false;
        *until_ms += DAY_MS;
        return true;
    }
    if (s.n < 2 || !strchr("mhd", s.p[s.n - 1]) || !duration_parse(s, &length_ms)) return false;
    if (length_ms < 60000 || length_ms > EXPRESS_MAX_MS) return false;
    *until_ms = from_ms + length_ms;
    return true;
}

static bool wall_time_parse(const char *text, int64_t *ms)
{
    char whole[TIME_TEXT_SIZE];
    if (strlen(text) == 16) { // without seconds
        (void)snprintf(whole, sizeof whole, "%s:00", text);
        return time_from_beijing(str_of(whole), ms);
    }
    return time_from_beijing(str_of(text), ms);
}

static void refuse_parameter(struct call *c, const char *sub_msg)
{
    alipay_refuse_business(c, "ACQ.INVALID_PARAMETER", sub_msg);
}

// --- Which trade is meant

enum lookup { LOOKUP_FOUND, LOOKUP_NONE, LOOKUP_BAD };

struct named_trade {
    char out_trade_no[NUMBER_MAX + 1], trade_no[NUMBER_MAX + 1];
    struct trade trade;
};

// By trade_no when it is there, else by out_trade_no. LOOKUP_BAD: refused already.
static enum lookup trade_named(struct call *c, struct named_trade *n)
{
    if (!biz_text(c, "out_trade_no", NUMBER_MAX, n->out_trade_no, sizeof n->out_trade_no) ||
        !biz_text(c, "trade_no", NUMBER_MAX, n->trade_no, sizeof n->trade_no)) {
        refuse_parameter(c, "out_trade_no and trade_no are texts of at most 64 characters");
        return LOOKUP_BAD;
    }
    if (!n->trade_no[0] && !n->out_trade_no[0]) {
        refuse_parameter(c, "out_trade_no or trade_no is required");
        return LOOKUP_BAD;
    }
    bool found = n->trade_no[0]
                     ? ledger_trade_by_no(c->sandbox->ledger, SANDBOX_ALIPAY, n->trade_no, &n->trade)
                     : ledger_trade_by_number(c->sandbox->ledger, SANDBOX_ALIPAY, n->out_trade_no, &n->trade);
    return found ? LOOKUP_FOUND : LOOKUP_NONE;
}

static void refuse_not_exist(struct call *c)
{
    alipay_refuse_business(c, "ACQ.TRADE_NOT_EXIST", "the trade does not exist");
}

static void put_trade(struct call *c, const struct trade *t)
{
    json_kz(c->out, "trade_no", t->trade_no);
    json_kz(c->out, "out_trade_no", t->code.out_trade_no);
}

static void put_buyer(struct call *c)
{
    json_kz(c->out, "buyer_logon_id", ALIPAY_BUYER_LOGON_ID);
    json_kz(c->out, "buyer_user_id", ALIPAY_BUYER_ID);
}

// --- What precreate and wap.pay have in common: a code, and what may be done with its number

// What the number may be used for again: everything but how long the code lives.
static bool terms_hash(const struct call *c, char out[65])
{
    uint8_t digest[32];
    json_t *terms = json_deep_copy(c->biz);
    if (!terms) return false;
    json_object_del(terms, "time_expire");
    json_object_del(terms, "timeout_express");
    json_object_del(terms, "qr_code_timeout_express");
    char *text = json_dumps(terms, JSON_SORT_KEYS | JSON_COMPACT);
    json_decref(terms);
    if (!text) return false;
    crypto_sha256(str_of(text), digest);
    free(text);
    crypto_hex(digest, sizeof digest, out);
    return true;
}

// The absolute time wins; timeout_express counts from this request.
// A page's address has no shorter life of its own.
static const char *read_times(const struct call *c, bool is_page, struct code *code)
{
    char time_expire[32], express[16], qr_express[16];
    if (!biz_text(c, "time_expire", 31, time_expire, sizeof time_expire) ||
        !biz_text(c, "timeout_express", 15, express, sizeof express) ||
        !biz_text(c, "qr_code_timeout_express", 15, qr_express, sizeof qr_express))
        return "time_expire, timeout_express and qr_code_timeout_express are texts";
    code->trade_dies_ms = c->now_ms + TRADE_LIFE_MS;
    if (express[0] && !express_parse(express, c->now_ms, &code->trade_dies_ms))
        return "timeout_express is 1m to 15d, or 1c";
    if (time_expire[0] && !wall_time_parse(time_expire, &code->trade_dies_ms))
        return "time_expire is yyyy-MM-dd HH:mm:ss";
    code->dies_ms = is_page ? code->trade_dies_ms : c->now_ms + CODE_LIFE_MS;
    int64_t qr_dies_ms = code->dies_ms;
    if (qr_express[0] && !express_parse(qr_express, c->now_ms, &qr_dies_ms))
        return "qr_code_timeout_express is 1m to 15d, or 1c";
    if (qr_dies_ms < code->dies_ms) code->dies_ms = qr_dies_ms;
    if (code->trade_dies_ms < code->dies_ms) code->dies_ms = code->trade_dies_ms;
    return NULL;
}

static const char *read_texts(const struct call *c, struct code *code)
{
    char amount[32];
    if (!biz_text(c, "out_trade_no", NUMBER_MAX, code->out_trade_no, sizeof code->out_trade_no) ||
        !is_number(code->out_trade_no))
        return "out_trade_no is 1 to 64 letters, digits and underscores";
    if (!biz_text(c, "total_amount", 31, amount, sizeof amount) || !yuan_parse(str_of(amount), &code->total_fen))
        return "total_amount is yuan with at most two decimals, from 0.01 to 100000000";
    if (!biz_text(c, "subject", 256, code->subject, sizeof code->subject) || !code->subject[0])
        return "subject is 1 to 256 characters";
    if (!biz_text(c, "body", 128, code->body, sizeof code->body)) return "body is at most 128 characters";
    if (!biz_text(c, "passback_params", ATTACH_MAX, code->passback, sizeof code->passback))
        return "passback_params is at most 512 characters";
    if (!biz_text(c, "store_id", 32, code->store_id, sizeof code->store_id) ||
        !biz_text(c, "terminal_id", 32, code->terminal_id, sizeof code->terminal_id))
        return "store_id and terminal_id are at most 32 characters";
    return NULL;
}

static const char *read_notify_url(const struct call *c, struct code *code)
{
    struct str url = c->notify_url;
    if (url.n > URL_MAX) return "notify_url is at most 256 characters";
    memcpy(code->notify_url, url.n ? url.p : "", url.n);
    code->notify_url[url.n] = 0;
    if (url.n && !url_is_loopback(code->notify_url)) return "notify_url: this sandbox notifies loopback addresses only";
    return NULL;
}

static bool code_text_make(const char *prefix, char out[96])
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz012345";
    uint8_t random[24];
    int n = snprintf(out, 96, "%s", prefix);
    if (!crypto_random(random, sizeof random)) return false;
    for (size_t i = 0; i < sizeof random; i++)
        out[n++] = alphabet[random[i] & 31];
    out[n] = 0;
    return true;
}

// Whether the number may still be used; refused already when not.
static bool number_is_free(struct call *c, const struct code *code)
{
    struct trade t;
    if (!ledger_trade_by_number(c->sandbox->ledger, SANDBOX_ALIPAY, code->out_trade_no, &t)) return true;
    switch (t.state) {
    case TRADE_WAITING:
        if (strcmp(t.code.terms, code->terms) == 0) return true;
        alipay_refuse_business(c, "ACQ.CONTEXT_INCONSISTENT", "a trade of this number exists with other terms");
        return false;
    case TRADE_PAID:
    case TRADE_FINISHED:
        alipay_refuse_business(c, "ACQ.TRADE_HAS_SUCCESS", "the trade of this number is paid");
        return false;
    case TRADE_CLOSED:
        alipay_refuse_business(c, "ACQ.TRADE_HAS_CLOSE", "the trade of this number is closed");
        return false;
    }
    return false;
}

// The same request again gets the same code while it lives. A killed number gets codes that nobody can pay, as
// merchants have reported of the real one.
static bool code_reuse(struct call *c, struct code *code)
{
    struct code last;
    if (!ledger_code_latest(c->sandbox->ledger, SANDBOX_ALIPAY, code->out_trade_no, &last)) return false;
    code->killed = last.killed;
    bool same = strcmp(last.terms, code->terms) == 0 && strcmp(last.notify_url, code->notify_url) == 0 &&
                c->now_ms < last.dies_ms &&
                (!json_object_get(c->biz, "time_expire") || last.trade_dies_ms == code->trade_dies_ms);
    if (same) *code = last;
    return same;
}

// A page that is opened again shows what became of it.
static bool code_of_trade(struct call *c, struct code *code)
{
    struct trade t;
    bool same = ledger_trade_by_number(c->sandbox->ledger, SANDBOX_ALIPAY, code->out_trade_no, &t) &&
                strcmp(t.code.terms, code->terms) == 0;
    if (same) *code = t.code;
    return same;
}

// The code that was asked for, as it stands in the ledger afterwards. False: refused.
static bool code_order(struct call *c, bool is_page, struct code *code)
{
    *code = (struct code){.channel = SANDBOX_ALIPAY, .created_ms = c->now_ms};
    const char *wrong = read_texts(c, code);
    if (!wrong) wrong = read_times(c, is_page, code);
    if (!wrong) wrong = read_notify_url(c, code);
    if (wrong) {
        refuse_parameter(c, wrong);
        return false;
    }
    if (!is_page && code->trade_dies_ms <= c->now_ms) { // a page that is opened too late says so itself
        alipay_refuse_business(c, "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR", "time_expire is over");
        return false;
    }
    if (!terms_hash(c, code->terms) || !code_text_make(is_page ? WAP_PREFIX : QR_PREFIX, code->text)) {
        alipay_refuse_busy(c);
        return false;
    }
    if (is_page && code_of_trade(c, code)) return true;
    if (!number_is_free(c, code)) return false;
    if (!code_reuse(c, code)) ledger_code_add(c->sandbox->ledger, code);
    return true;
}

// --- alipay.trade.precreate, alipay.trade.wap.pay

static void precreate(struct call *c)
{
    struct code code;
    if (!code_order(c, false, &code)) return;
    begin_success(c);
    json_kz(c->out, "out_trade_no", code.out_trade_no);
    json_kz(c->out, "qr_code", code.text);
    json_close(c->out, '}');
}

bool alipay_wap_order(struct call *c, struct code *code)
{
    trades_expire(c->sandbox, c->now_ms);
    return code_order(c, true, code);
}

bool alipay_code_is_wap(const struct code *code)
{
    return strncmp(code->text, WAP_PREFIX, sizeof WAP_PREFIX - 1) == 0;
}

// --- alipay.trade.query

static void query_not_exist(struct call *c, const char *out_trade_no)
{
    begin_business(c, "ACQ.TRADE_NOT_EXIST", "the trade does not exist");
    put_text(c, "out_trade_no", out_trade_no);
    put_yuan(c, "buyer_pay_amount", 0);
    put_yuan(c, "invoice_amount", 0);
    put_yuan(c, "point_amount", 0);
    put_yuan(c, "receipt_amount", 0);
    json_close(c->out, '}');
}

static void put_fund_bill(struct call *c, int64_t fen)
{
    json_key(c->out, "fund_bill_list");
    json_open(c->out, '[');
    json_open(c->out, '{');
    put_yuan(c, "amount", fen);
    json_kz(c->out, "fund_channel", "ALIPAYACCOUNT");
    json_close(c->out, '}');
    json_close(c->out, ']');
}

static void query(struct call *c)
{
    struct named_trade n;
    enum lookup found = trade_named(c, &n);
    if (found == LOOKUP_NONE) query_not_exist(c, n.out_trade_no);
    if (found != LOOKUP_FOUND) return;
    const struct trade *t = &n.trade;
    int64_t received_fen = t->paid_ms ? t->code.total_fen : 0;
    begin_success(c);
    put_trade(c, t);
    put_buyer(c);
    json_kz(c->out, "buyer_user_type", "PRIVATE");
    json_kz(c->out, "trade_status", alipay_trade_status(t->state));
    put_yuan(c, "total_amount", t->code.total_fen);
    put_yuan(c, "receipt_amount", received_fen);
    put_yuan(c, "buyer_pay_amount", received_fen);
    put_yuan(c, "point_amount", 0);
    put_yuan(c, "invoice_amount", received_fen);
    put_text(c, "store_id", t->code.store_id);
    put_text(c, "terminal_id", t->code.terminal_id);
    if (t->paid_ms) {
        put_time(c, "send_pay_date", t->paid_ms);
        put_fund_bill(c, received_fen);
    }
    json_close(c->out, '}');
}

// --- alipay.trade.close, alipay.trade.cancel

static void kill_unscanned(struct call *c, const char *out_trade_no)
{
    if (out_trade_no[0] && c->sandbox->faults.unscanned_close_kills_qr)
        ledger_codes_kill(c->sandbox->ledger, SANDBOX_ALIPAY, out_trade_no);
}

static void close_trade(struct call *c)
{
    struct named_trade n;
    enum lookup found = trade_named(c, &n);
    if (found == LOOKUP_NONE) {
        kill_unscanned(c, n.out_trade_no);
        refuse_not_exist(c);
    }
    if (found != LOOKUP_FOUND) return;
    if (n.trade.state != TRADE_WAITING) {
        alipay_refuse_business(c, "ACQ.REASON_TRADE_STATUS_INVALID", "the trade is not waiting for its buyer");
        return;
    }
    trade_close(c->sandbox, &n.trade, c->now_ms);
    begin_success(c);
    put_trade(c, &n.trade);
    json_close(c->out, '}');
}

// `action` is absent when nothing is there to act on.
static void cancel_done(struct call *c, const char *out_trade_no, const struct trade *t, const char *action)
{
    begin_success(c);
    if (t) json_kz(c->out, "trade_no", t->trade_no);
    json_kz(c->out, "out_trade_no", t ? t->code.out_trade_no : out_trade_no);
    json_kz(c->out, "retry_flag", "N");
    if (action) json_kz(c->out, "action", action);
    json_close(c->out, '}');
}

static void cancel_paid(struct call *c, struct trade *t)
{
    if (ledger_refund_use(c->sandbox->ledger, t->id).n > 0) {
        alipay_refuse_business(c, "ACQ.REASON_TRADE_REFUND_FEE_ERR", "a part of the trade was refunded already");
        return;
    }
    if (c->now_ms - t->paid_ms > CANCEL_WITHIN_MS) {
        alipay_refuse_business(c, "ACQ.TRADE_CANCEL_TIME_OUT", "paid more than a day ago: refund it");
        return;
    }
    trade_refund(c->sandbox, t, t->code.out_trade_no, t->code.total_fen, c->now_ms);
    cancel_done(c, NULL, t, "refund");
}

static void cancel(struct call *c)
{
    struct named_trade n;
    enum lookup found = trade_named(c, &n);
    if (found == LOOKUP_BAD) return;
    if (found == LOOKUP_NONE && n.trade_no[0]) {
        refuse_not_exist(c);
        return;
    }
    if (found == LOOKUP_NONE) {
        kill_unscanned(c, n.out_trade_no);
        cancel_done(c, n.out_trade_no, NULL, NULL);
        return;
    }
    switch (n.trade.state) {
    case TRADE_WAITING:
        trade_close(c->sandbox, &n.trade, c->now_ms);
        cancel_done(c, NULL, &n.trade, "close");
        return;
    case TRADE_PAID: cancel_paid(c, &n.trade); return;
    case TRADE_CLOSED: cancel_done(c, NULL, &n.trade, n.trade.paid_ms ? "refund" : "close"); return;
    case TRADE_FINISHED: alipay_refuse_business(c, "ACQ.TRADE_HAS_FINISHED", "the trade is finished"); return;
    }
}

// --- alipay.trade.refund, alipay.trade.fastpay.refund.query

static void refuse_refund(struct call *c, const char *sub_code, const char *sub_msg)
{
    begin_business(c, sub_code, sub_msg);
    put_yuan(c, "refund_fee", 0);
    put_yuan(c, "send_back_fee", 0);
    json_close(c->out, '}');
}

static void refund_done(struct call *c, const struct trade *t, int64_t amount_fen, const char *fund_change)
{
    begin_success(c);
    put_trade(c, t);
    put_buyer(c);
    json_kz(c->out, "fund_change", fund_change);
    put_yuan(c, "refund_fee", t->refunded_fen); // of the whole trade, not of this refund
    if (t->refund_ms) put_time(c, "gmt_refund_pay", t->refund_ms);
    put_yuan(c, "send_back_fee", amount_fen);
    json_close(c->out, '}');
}

// Why a refund of this trade is impossible in its state, whatever the amount.
static const char *refund_refusal(const struct trade *t)
{
    switch (t->state) {
    case TRADE_WAITING: return "ACQ.TRADE_STATUS_ERROR";
    case TRADE_CLOSED: return "ACQ.TRADE_HAS_CLOSE";
    case TRADE_FINISHED: return "ACQ.TRADE_HAS_FINISHED";
    case TRADE_PAID: return NULL;
    }
    return NULL;
}

// As the faults have it; with all but the first the answer says that no money moved by this call.
static void refund_make(struct call *c, struct trade *t, const char *number, int64_t amount_fen)
{
    enum alipay_refund how = c->sandbox->faults.refund_alipay;
    switch (how) {
    case ALIPAY_REFUND_SAID:
    case ALIPAY_REFUND_QUIET: trade_refund(c->sandbox, t, number, amount_fen, c->now_ms); break;
    case ALIPAY_REFUND_LATE: trade_refund_late(c->sandbox, t, number, amount_fen, c->now_ms); break;
    case ALIPAY_REFUND_LOST: break;
    }
    refund_done(c, t, amount_fen, how == ALIPAY_REFUND_SAID ? "Y" : "N");
}

static void refund_new(struct call *c, struct trade *t, const char *out_request_no, int64_t amount_fen)
{
    const char *refusal = refund_refusal(t);
    bool is_numbered = out_request_no[0] != 0;
    if (refusal)
        refuse_refund(c, refusal, "the trade cannot be refunded in its state");
    else if (!is_numbered && amount_fen != t->code.total_fen)
        refuse_refund(c, "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", "without out_request_no only the whole can be refunded");
    else if (amount_fen > t->code.total_fen - ledger_refund_use(c->sandbox->ledger, t->id).amount_fen)
        refuse_refund(c, "ACQ.REASON_TRADE_REFUND_FEE_ERR", "more than what is left");
    else
        refund_make(c, t, is_numbered ? out_request_no : t->code.out_trade_no, amount_fen);
}

static void refund(struct call *c)
{
    struct named_trade n;
    struct refund done;
    char amount[32], number[NUMBER_MAX + 1];
    int64_t amount_fen;
    if (!biz_text(c, "refund_amount", 31, amount, sizeof amount) || !yuan_parse(str_of(amount), &amount_fen)) {
        refuse_refund(c, "ACQ.INVALID_PARAMETER", "refund_amount is yuan with at most two decimals");
        return;
    }
    if (!biz_text(c, "out_request_no", NUMBER_MAX, number, sizeof number)) {
        refuse_refund(c, "ACQ.INVALID_PARAMETER", "out_request_no is at most 64 characters");
        return;
    }
    enum lookup found = trade_named(c, &n);
    if (found == LOOKUP_NONE) refuse_refund(c, "ACQ.TRADE_NOT_EXIST", "the trade does not exist");
    if (found != LOOKUP_FOUND) return;
    if (!ledger_refund_find(c->sandbox->ledger, n.trade.id, number[0] ? number : n.trade.code.out_trade_no, &done))
        refund_new(c, &n.trade, number, amount_fen);
    else if (done.amount_fen != amount_fen)
        refuse_refund(c, "ACQ.DISCORDANT_REPEAT_REQUEST", "this out_request_no was used with another amount");
    else
        refund_done(c, &n.trade, amount_fen, "N");
}

static void refund_query(struct call *c)
{
    struct named_trade n;
    struct refund r;
    char number[NUMBER_MAX + 1];
    if (!biz_text(c, "out_request_no", NUMBER_MAX, number, sizeof number) || !number[0]) {
        refuse_parameter(c, "out_request_no is required");
        return;
    }
    enum lookup found = trade_named(c, &n);
    if (found == LOOKUP_NONE) refuse_not_exist(c);
    if (found != LOOKUP_FOUND) return;
    begin_success(c);
    if (ledger_refund_find(c->sandbox->ledger, n.trade.id, number, &r) && r.state == REFUND_SUCCESS) {
        put_trade(c, &n.trade);
        json_kz(c->out, "out_request_no", number);
        put_yuan(c, "total_amount", n.trade.code.total_fen);
        put_yuan(c, "refund_amount", r.amount_fen);
        json_kz(c->out, "refund_status", "REFUND_SUCCESS");
        put_time(c, "gmt_refund_pay", r.done_ms);
    }
    json_close(c->out, '}');
}

// --- alipay.open.app.alipaycert.download

// For who was answered under another certificate of Alipay's than his own: he follows it to a root that he has.
static void cert_download(struct call *c)
{
    const struct alipay_ca *ca = &c->sandbox->keys.alipay_ca;
    char sn[CERT_SN_SIZE];
    struct buf content = {0};
    if (!biz_text(c, "alipay_cert_sn", sizeof sn - 1, sn, sizeof sn) || strcmp(sn, ca->alipay_sn) != 0) {
        alipay_refuse_business(c, "INVALID_PARAMETER", "no certificate has this alipay_cert_sn");
        return;
    }
    crypto_base64(buf_view(&ca->alipay_pem), &content);
    begin_success(c);
    json_kstr(c->out, "alipay_cert_content", buf_view(&content));
    json_close(c->out, '}');
    if (content.failed) c->out->failed = true;
    buf_free(&content);
}

// --- alipay.data.dataservice.bill.downloadurl.query

static void bill(struct call *c)
{
    char type[33], date[33];
    if (biz_text(c, "bill_type", sizeof type - 1, type, sizeof type) &&
        biz_text(c, "bill_date", sizeof date - 1, date, sizeof date))
        alipay_bill_query(c, type, date);
    else
        alipay_refuse_business(c, "isv.invalid-arguments", "bill_type and bill_date are texts");
}

// --- Which method

static const struct {
    const char *name;
    void (*run)(struct call *c);
} METHODS[] = {
    {"alipay.trade.precreate", precreate},
    {"alipay.trade.query", query},
    {"alipay.trade.close", close_trade},
    {"alipay.trade.cancel", cancel},
    {"alipay.trade.refund", refund},
    {"alipay.trade.fastpay.refund.query", refund_query},
    {"alipay.open.app.alipaycert.download", cert_download},
    {"alipay.data.dataservice.bill.downloadurl.query", bill},
};
#define N_METHODS (sizeof METHODS / sizeof METHODS[0])

static void method_execute(struct call *c, struct str method)
{
    for (size_t i = 0; i < N_METHODS; i++) {
        if (!str_eq(method, str_of(METHODS[i].name))) continue;
        trades_settle(c->sandbox, c->now_ms);
        METHODS[i].run(c);
        return;
    }
    alipay_refuse_invalid(c, "isv.invalid-method", "this sandbox does not know the method");
}

void alipay_method_run(struct call *c, struct str method, const struct gateway_fate *fate)
{
    if (fate->executes) method_execute(c, method);
    if (!fate->error && fate->executes) return;
    if (fate->error && fate->error_is_acq)
        alipay_refuse_business(c, "ACQ.SYSTEM_ERROR", "system error");
    else
        alipay_refuse_busy(c);
}
