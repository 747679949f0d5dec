// SPDX-License-Identifier: Apache-2.0
// What an answer of the gateway proves. The order of the checks matters: nothing of an answer is believed
// before its signature is verified, over the bytes as they were transmitted.
#include "base/json_in.h"
#include "channel/alipay_wire.h"
#include <stdio.h>

#define NODE_NAME_SIZE 96
#define QR_CODE_MAX    512 // bytes of a QR code's text; what qr.h draws

// --- The signed part

static size_t skip_space(struct str s, size_t i)
{
    while (i < s.n && memchr(" \t\r\n", s.p[i], 4))
        i++;
    return i;
}

// From a quote to behind the closing one.
static size_t skip_string(struct str s, size_t i)
{
    for (i++; i < s.n && s.p[i] != '"'; i++)
        if (s.p[i] == '\\') i++;
    return i < s.n ? i + 1 : s.n;
}

// From the first byte of a value to behind its last. Braces inside strings do not count.
static size_t skip_value(struct str s, size_t i)
{
    size_t depth = 0;
    while (i < s.n) {
        char c = s.p[i];
        if (c == '"') {
            i = skip_string(s, i);
            if (depth == 0) return i;
            continue;
        }
        bool closes = c == '}' || c == ']';
        if (depth == 0 && (closes || c == ',' || memchr(" \t\r\n", c, 4))) return i;
        if (c == '{' || c == '[') depth++;
        i++;
        if (closes && --depth == 0) return i;
    }
    return i;
}

bool alipay_member_raw(struct str object, const char *name, struct str *value)
{
    struct str wanted = str_of(name);
    size_t i = skip_space(object, 0);
    if (i == object.n || object.p[i] != '{') return false;
    i = skip_space(object, i + 1);
    while (i < object.n && object.p[i] == '"') {
        size_t key = i + 1;
        i = skip_string(object, i);
        struct str found = {object.p + key, i > key ? i - 1 - key : 0};
        i = skip_space(object, i);
        if (i == object.n || object.p[i] != ':') return false;
        size_t from = skip_space(object, i + 1);
        i = skip_value(object, from);
        if (str_eq(found, wanted)) {
            *value = (struct str){object.p + from, i - from};
            return i > from;
        }
        i = skip_space(object, i);
        if (i == object.n || object.p[i] != ',') return false;
        i = skip_space(object, i + 1);
    }
    return false;
}

// Writes every escaped slash as a bare one; pairs of characters behind a backslash stay together, so the text
// means what it meant.
static bool slashes_unescaped(struct str raw, struct buf *out)
{
    bool any = false;
    for (size_t i = 0; i < raw.n; i++) {
        bool escape = raw.p[i] == '\\' && i + 1 < raw.n;
        if (escape && raw.p[i + 1] != '/') buf_char(out, raw.p[i]);
        if (escape && raw.p[i + 1] == '/') any = true;
        if (escape) i++;
        buf_char(out, raw.p[i]);
    }
    return any && !out->failed;
}

// Some of Alipay's answers are signed before their slashes are escaped; its own SDK tries both.
static bool is_signed(const struct alipay_app *app, struct str raw, struct str sign)
{
    if (crypto_rsa2_verify(app->alipay_key, raw, sign)) return true;
    struct buf bare = {0};
    bool ok = slashes_unescaped(raw, &bare) && crypto_rsa2_verify(app->alipay_key, buf_view(&bare), sign);
    buf_free(&bare);
    return ok;
}

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

// The provider's own word, cut to what is safe to show.
static void detail_of(struct answer *a, struct str word)
{
    size_t n = word.n < sizeof a->detail - 1 ? word.n : sizeof a->detail - 1;
    for (size_t i = 0; i < n; i++)
        a->detail[i] = word.p[i] > ' ' && word.p[i] < 0x7f ? word.p[i] : '?';
    a->detail[n] = 0;
}

// A member that is a string; empty when it is absent or something else.
static struct str field(const json_t *node, const char *name)
{
    const json_t *v = json_object_get(node, name);
    if (!json_is_string(v)) return (struct str){"", 0};
    return (struct str){json_string_value(v), json_string_length(v)};
}

static bool field_is(const json_t *node, const char *name, const char *value)
{
    return str_eq(field(node, name), str_of(value));
}

// Not there, null, or an empty string.
static bool is_blank(const json_t *node, const char *name)
{
    const json_t *v = json_object_get(node, name);
    return !v || json_is_null(v) || (json_is_string(v) && json_string_length(v) == 0);
}

static void take_trade_no(struct answer *a, const json_t *node)
{
    struct str no = field(node, "trade_no");
    if (no.n >= sizeof a->provider_trade_no) return;
    for (size_t i = 0; i < no.n; i++)
        if (no.p[i] <= ' ' || no.p[i] >= 0x7f) return;
    memcpy(a->provider_trade_no, no.p, no.n);
    a->provider_trade_no[no.n] = 0;
}

// --- Success, by method

static void say_code(struct answer *a, struct str code, struct buf *text)
{
    buf_str(text, code);
    if (text->failed) {
        say_unknown(a, "out of memory");
        return;
    }
    a->code = buf_view(text);
    say(a, OUTCOME_DONE, FACT_CODE);
}

static void judge_create(const json_t *node, struct answer *a, struct buf *text)
{
    struct str code = field(node, "qr_code");
    bool good = code.n > 0 && code.n <= QR_CODE_MAX;
    for (size_t i = 0; good && i < code.n; i++)
        good = code.p[i] > ' ' && code.p[i] < 0x7f;
    if (good)
        say_code(a, code, text);
    else
        say_unknown(a, "no qr_code");
}

// An address we made and nobody has seen. What cannot be handed out is no code: that is certain.
static void judge_page(struct str url, struct answer *a, struct buf *text)
{
    if (url.n <= CHANNEL_CODE_MAX) {
        say_code(a, url, text);
        return;
    }
    say(a, OUTCOME_REFUSED, FACT_NONE);
    (void)snprintf(a->detail, sizeof a->detail, "%s", "the address is too long");
}

static void judge_paid(const json_t *node, enum fact fact, struct answer *a)
{
    int64_t total_fen;
    if (!yuan_to_fen(field(node, "total_amount"), &total_fen) || total_fen == 0) {
        say_unknown(a, "bad total_amount");
        return;
    }
    a->captured_fen = total_fen;
    say(a, OUTCOME_DONE, fact);
}

enum sight { SIGHT_NO, SIGHT_YES, SIGHT_UNREADABLE };

static enum sight amount_is_positive(const json_t *node, const char *name)
{
    int64_t fen;
    const json_t *v = json_object_get(node, name);
    if (!v) return SIGHT_NO;
    if (!yuan_to_fen(field(node, name), &fen)) return SIGHT_UNREADABLE;
    return fen > 0 ? SIGHT_YES : SIGHT_NO;
}

// TRADE_CLOSED means "never paid" and "paid, and all of it refunded". Signs of a payment tell them apart.
static void judge_closed(const json_t *node, struct answer *a)
{
    enum sight buyer = amount_is_positive(node, "buyer_pay_amount");
    enum sight receipt = amount_is_positive(node, "receipt_amount");
    if (!is_blank(node, "send_pay_date"))
        judge_paid(node, FACT_PAID_AND_REFUNDED, a);
    else if (buyer == SIGHT_YES || receipt == SIGHT_YES)
        judge_paid(node, FACT_PAID_AND_REFUNDED, a);
    else if (buyer == SIGHT_UNREADABLE || receipt == SIGHT_UNREADABLE)
        say_unknown(a, "bad amount");
    else
        say(a, OUTCOME_DONE, FACT_CLOSED);
}

static void judge_query(const json_t *node, struct answer *a)
{
    struct str status = field(node, "trade_status");
    detail_of(a, status);
    if (str_eq(status, STR("WAIT_BUYER_PAY")))
        say(a, OUTCOME_DONE, FACT_WAITING);
    else if (str_eq(status, STR("TRADE_SUCCESS")) || str_eq(status, STR("TRADE_FINISHED")))
        judge_paid(node, FACT_PAID, a);
    else if (str_eq(status, STR("TRADE_CLOSED")))
        judge_closed(node, a);
    else
        say_unknown(a, "strange trade_status");
}

// Its success proves nothing by itself: an unknown number is "cancelled" too. `action` tells.
static void judge_cancel(const struct call *call, const json_t *node, struct answer *a)
{
    int64_t fen;
    if (field_is(node, "retry_flag", "Y")) {
        say_unknown(a, "retry_flag");
    } else if (is_blank(node, "action")) {
        say(a, OUTCOME_DONE, FACT_NOT_FOUND);
    } else if (field_is(node, "action", "close")) {
        say(a, OUTCOME_DONE, FACT_CLOSED);
    } else if (field_is(node, "action", "refund")) {
        bool told = yuan_to_fen(field(node, "total_amount"), &fen) && fen > 0;
        a->captured_fen = told ? fen : call->total_fen > 0 ? call->total_fen : call->amount_fen;
        say(a, OUTCOME_DONE, FACT_PAID_AND_REFUNDED);
    } else {
        say_unknown(a, "strange action");
    }
}

// "N" is no failure: no money moved by THIS call, because it is done already or under way.
static void judge_refund(const json_t *node, struct answer *a)
{
    if (field_is(node, "fund_change", "Y"))
        say(a, OUTCOME_DONE, FACT_REFUND_DONE);
    else if (field_is(node, "fund_change", "N"))
        say(a, OUTCOME_DONE, FACT_REFUND_ACCEPTED);
    else
        say_unknown(a, "no fund_change");
}

static void judge_refund_query(const struct alipay_app *app, const struct call *call, const json_t *node,
                               struct answer *a)
{
    char number[ID_TEXT_SIZE];
    id_format(app->secret, "", call->number_key, number);
    int64_t fen;
    if (json_object_get(node, "out_request_no") && !field_is(node, "out_request_no", number))
        say_unknown(a, "another out_request_no");
    else if (is_blank(node, "refund_status"))
        say(a, OUTCOME_DONE, FACT_REFUND_ABSENT);
    else if (!field_is(node, "refund_status", "REFUND_SUCCESS"))
        say_unknown(a, "strange refund_status");
    else if (!yuan_to_fen(field(node, "refund_amount"), &fen) || fen != call->amount_fen)
        say_unknown(a, "another refund_amount");
    else
        say(a, OUTCOME_DONE, FACT_REFUND_DONE);
}

static void judge_success(const struct alipay_app *app, const struct call *call, const json_t *node, struct answer *a,
                          struct buf *text)
{
    take_trade_no(a, node);
    switch (call->method) {
    case CALL_CREATE: judge_create(node, a, text); break;
    case CALL_QUERY: judge_query(node, a); break;
    case CALL_CLOSE: say(a, OUTCOME_DONE, FACT_CLOSED); break;
    case CALL_CANCEL: judge_cancel(call, node, a); break;
    case CALL_REFUND: judge_refund(node, a); break;
    case CALL_REFUND_QUERY: judge_refund_query(app, call, node, a); break;
    case CALL_NONE: say_unknown(a, "nothing was asked"); break;
    }
}

// --- Failure, by code

static bool is_one_of(struct str word, const char *const list[])
{
    for (; *list; list++)
        if (str_eq(word, str_of(*list))) return true;
    return false;
}

static bool ends_with(struct str s, struct str tail)
{
    return s.n >= tail.n && memcmp(s.p + s.n - tail.n, tail.p, tail.n) == 0;
}

// "ACQ.SYSTEM_ERROR", the misspelt "AQC.SYSTEM_ERROR" and "aop.ACQ.SYSTEM_ERROR" are one thing.
static struct str last_word(struct str sub_code)
{
    const char *dot = sub_code.n ? memrchr(sub_code.p, '.', sub_code.n) : NULL;
    if (!dot) return sub_code;
    return (struct str){dot + 1, sub_code.n - (size_t)(dot + 1 - sub_code.p)};
}

// What a failure says of Alipay itself, whatever it says of the trade. "40005" and kin: "isv.app-call-limited",
// "isv.method-call-limited".
static enum trouble trouble_of(struct str code, struct str word)
{
    static const char *const their_fault[] = {"SYSTEM_ERROR", "unknow-error", NULL};
    if (str_eq(code, STR("40005")) || ends_with(word, STR("call-limited"))) return TROUBLE_SLOW_DOWN;
    if (str_eq(code, STR("20000")) || is_one_of(word, their_fault)) return TROUBLE_FAULT;
    return TROUBLE_NONE;
}

// The business said no ("40004"). What the code leaves open is unknown.
static void judge_business(enum call_method method, struct str word, struct answer *a)
{
    static const char *const their_fault[] = {"", "SYSTEM_ERROR", "unknow-error", NULL};
    // The number has a trade: someone scanned, or even paid, the code of an earlier, unheard answer.
    static const char *const has_trade[] = {"TRADE_HAS_SUCCESS", "TRADE_HAS_CLOSE", "CONTEXT_INCONSISTENT", NULL};
    // Money may have moved under this refund number, only not this much.
    static const char *const has_refund[] = {"DISCORDANT_REPEAT_REQUEST", NULL};
    bool no_trade = str_eq(word, STR("TRADE_NOT_EXIST"));
    say(a, OUTCOME_UNKNOWN, FACT_NONE);
    if (is_one_of(word, their_fault)) return;
    switch (method) {
    case CALL_CREATE:
        if (!is_one_of(word, has_trade)) say(a, OUTCOME_REFUSED, FACT_NONE);
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
    case CALL_REFUND:
        if (!is_one_of(word, has_refund)) say(a, OUTCOME_REFUSED, FACT_NONE);
        break;
    case CALL_REFUND_QUERY:
        if (no_trade) say(a, OUTCOME_DONE, FACT_REFUND_ABSENT);
        break;
    case CALL_NONE: break;
    }
}

// The gateway never let the request through: our keys, our configuration. That says nothing about a trade,
// but a code there is none. "20000" (their fault), "40005" (too often) and what is not listed stay unknown.
static void judge_gateway(enum call_method method, struct str code, struct answer *a)
{
    static const char *const ours[] = {"20001", "40001", "40002", "40003", "40006", NULL};
    bool refused = method == CALL_CREATE && is_one_of(code, ours);
    say(a, refused ? OUTCOME_REFUSED : OUTCOME_UNKNOWN, FACT_NONE);
}

static void judge_failure(const struct call *call, struct str code, const json_t *node, struct answer *a)
{
    struct str sub_code = field(node, "sub_code");
    detail_of(a, sub_code.n > 0 ? sub_code : code);
    a->trouble = trouble_of(code, last_word(sub_code));
    if (a->trouble == TROUBLE_SLOW_DOWN)
        say(a, OUTCOME_UNKNOWN, FACT_NONE);
    else if (!str_eq(code, STR("40004")))
        judge_gateway(call->method, code, a);
    else if (field_is(node, "retry_flag", "Y"))
        say(a, OUTCOME_UNKNOWN, FACT_NONE);
    else
        judge_business(call->method, last_word(sub_code), a);
}

// --- The whole

// Every success repeats our number; only "no such refund" may come without.
static bool is_about_us(const struct alipay_app *app, const struct call *call, const json_t *node, bool success)
{
    char number[ID_TEXT_SIZE];
    id_format(app->secret, "", call->payment_key, number);
    if (json_object_get(node, "out_trade_no")) return field_is(node, "out_trade_no", number);
    return !success || (call->method == CALL_REFUND_QUERY && is_blank(node, "refund_status"));
}

static void judge_node(const struct alipay_app *app, const struct call *call, const json_t *node, struct answer *a,
                       struct buf *text)
{
    struct str code = field(node, "code");
    bool success = str_eq(code, STR("10000"));
    if (code.n != 5)
        say_unknown(a, "no code");
    else if (!is_about_us(app, call, node, success))
        say_unknown(a, "another out_trade_no");
    else if (success)
        judge_success(app, call, node, a, text);
    else
        judge_failure(call, code, node, a);
}

// "alipay.trade.query" is answered under "alipay_trade_query_response".
static void node_name(const char *method, char out[NODE_NAME_SIZE])
{
    (void)snprintf(out, NODE_NAME_SIZE, "%s_response", method ? method : "");
    for (char *p = out; *p; p++)
        if (*p == '.') *p = '_';
}

// In certificate mode an answer names the certificate whose key signed it. When it is not the one we have, Alipay has
// renewed it. An answer that names none is known by its signature alone.
static bool names_another_cert(const struct alipay_app *app, const json_t *root)
{
    const json_t *sn = json_object_get(root, "alipay_cert_sn");
    return app->alipay_cert_sn && sn && !field_is(root, "alipay_cert_sn", app->alipay_cert_sn);
}

const json_t *alipay_signed_node(const struct alipay_app *app, const char *method, struct str body, const json_t *root,
                                 const char **why)
{
    char name[NODE_NAME_SIZE];
    struct str raw, sign = field(root, "sign");
    node_name(method, name);
    const char *at = json_object_get(root, name) ? name : "error_response";
    const json_t *node = json_object_get(root, at);
    *why = "";
    if (!json_is_object(node) || !alipay_member_raw(body, at, &raw))
        *why = "no response in the answer";
    else if (sign.n == 0)
        *why = "no signature";
    else if (names_another_cert(app, root))
        *why = "another alipay_cert_sn";
    else if (!is_signed(app, raw, sign))
        *why = "bad signature";
    return (*why)[0] ? NULL : node;
}

static void judge_root(const struct alipay_app *app, const struct call *call, struct str body, const json_t *root,
                       struct answer *a, struct buf *text)
{
    const char *why;
    const json_t *node = alipay_signed_node(app, alipay_method(call->method), body, root, &why);
    if (node)
        judge_node(app, call, node, a, text);
    else
        say_unknown(a, why);
}

void alipay_answer(const struct alipay_app *app, const struct call *call, const struct call_reply *reply,
                   struct answer *a, struct buf *text)
{
    struct json_fault fault;
    if (alipay_is_page(call)) {
        judge_page(reply->body, a, text);
        return;
    }
    if (reply->status != 200) {
        say_unknown(a, "");
        (void)snprintf(a->detail, sizeof a->detail, "http %d", reply->status);
        return;
    }
    json_t *root = json_read_object(reply->body, &fault);
    if (!root) {
        say_unknown(a, fault.code);
        return;
    }
    judge_root(app, call, reply->body, root, a, text);
    json_decref(root);
}
