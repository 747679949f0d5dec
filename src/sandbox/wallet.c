// SPDX-License-Identifier: Apache-2.0
#include "base/json_in.h"
#include "base/log.h"
#include "sandbox/alipay_cashier.h"
#include "sandbox/alipay_notice.h"
#include "sandbox/inside.h"
#include "sandbox/provider.h"
#include "sandbox/trades.h"
#include "sandbox/visit.h"
#include "sandbox/wechat_notice.h"
#include "sandbox/wechat_oauth.h"
#include <stdio.h>
#include <stdlib.h>

#define CODE_MAX     2048 // a QR holds no more than 2953 bytes
#define LIMIT_MAX    200
#define LIMIT_NORMAL 50

extern const unsigned char wallet_page[];
extern const unsigned wallet_page_size;

// --- Answers

static const char *state_name(const struct trade *t)
{
    switch (t->state) {
    case TRADE_WAITING: return "waiting";
    case TRADE_PAID: return t->refunded_fen == t->code.total_fen ? "refunded" : "paid";
    case TRADE_CLOSED: return t->paid_ms ? "refunded" : "closed";
    case TRADE_FINISHED: return "finished";
    }
    return "";
}

static void put_trade(struct sandbox *s, struct buf *out, const struct trade *t)
{
    json_open(out, '{');
    json_kz(out, "channel", PROVIDERS[t->code.channel].name);
    json_kz(out, "out_trade_no", t->code.out_trade_no);
    // All but Alipay give a trade its number when it is paid.
    if (t->code.channel == SANDBOX_ALIPAY || t->paid_ms) json_kz(out, "provider_trade_no", t->trade_no);
    json_kz(out, "subject", t->code.subject);
    json_ki64(out, "amount", t->code.total_fen);
    json_kz(out, "currency", "CNY");
    json_kz(out, "state", state_name(t));
    json_kz(out, "provider_state", PROVIDERS[t->code.channel].trade_state(s, t));
    json_ki64(out, "captured_amount", t->paid_ms ? t->code.total_fen : 0);
    json_ki64(out, "refunded_amount", t->refunded_fen);
    json_ktime(out, "created_at", t->created_ms);
    json_ktime(out, "expires_at", t->expires_ms);
    if (t->paid_ms) json_ktime(out, "paid_at", t->paid_ms);
    if (t->closed_ms) json_ktime(out, "closed_at", t->closed_ms);
    if (t->refund_ms) json_ktime(out, "refunded_at", t->refund_ms);
    json_close(out, '}');
}

static void refuse_not_payable(struct answer *a, enum refusal why)
{
    answer_problem(a, 409, "not_payable", refusal_text(why), NULL);
    a->body.n--; // the closing bracket: one member more
    json_kz(&a->body, "reason", refusal_name(why));
    json_close(&a->body, '}');
}

static void refuse_fault(struct answer *a, const struct json_fault *f)
{
    answer_problem(a, 400, f->code, f->detail, f->pointer);
}

// --- POST /wallet/scan, POST /wallet/pay

// What the buyer shows, and whose phone it is.
struct wish {
    struct str code, number, wallet, user; // borrowed from `root`
    json_t *root;
};

static bool is_user(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || c == '-'))
            return false;
    }
    return s.n > 0;
}

// False: refused already. On true the caller frees w->root.
static bool wish_read(const struct http_exchange *x, bool takes_number, struct wish *w, struct answer *a)
{
    static const char *const scan_names[] = {"code", "wallet", "user", NULL};
    static const char *const pay_names[] = {"code", "wallet", "user", "out_trade_no", NULL};
    struct json_fault fault;
    *w = (struct wish){.root = json_read_object(x->body, &fault)};
    if (w->root) {
        struct json_in in = {.object = w->root, .at = "", .fault = &fault};
        (void)json_in_only(&in, takes_number ? pay_names : scan_names);
        bool has_number = takes_number && json_in_str(&in, "out_trade_no", false, NUMBER_MAX, &w->number);
        bool has_code = json_in_str(&in, "code", !has_number, CODE_MAX, &w->code);
        if (has_number && has_code)
            json_in_fail(&in, "out_trade_no", "contradiction", "name the code or the number, not both");
        if (json_in_str(&in, "wallet", false, 32, &w->wallet) && !str_eq(w->wallet, STR("alipay")) &&
            !str_eq(w->wallet, STR("wechatpay")))
            json_in_fail(&in, "wallet", "out_of_range", "must be alipay or wechatpay");
        if (json_in_str(&in, "user", false, WALLET_USER_MAX, &w->user) && !is_user(w->user))
            json_in_fail(&in, "user", "out_of_range", "must be letters, digits, - and _");
    }
    if (!fault.code) return true;
    refuse_fault(a, &fault);
    json_decref(w->root);
    return false;
}

static bool is_other_wallet(const struct wish *w, enum sandbox_channel ch)
{
    return w->wallet.n > 0 && !str_eq(w->wallet, str_of(PROVIDERS[ch].name));
}

// WeChat's browser comes back to the merchant's page by this addition of his.
static struct str without_return_address(struct str code)
{
    static const char mark[] = "&redirect_url=";
    const char *at = code.n ? memmem(code.p, code.n, mark, sizeof mark - 1) : NULL;
    return at && str_starts(code, STR("https://wx.tenpay.com/")) ? (struct str){code.p, (size_t)(at - code.p)} : code;
}

// An address that none of the providers gave out.
static bool is_page(struct str code)
{
    if (str_starts(code, STR("https://qr.alipay.com/")) || str_starts(code, STR("https://wx.tenpay.com/")))
        return false;
    return str_starts(code, STR("http://")) || str_starts(code, STR("https://"));
}

// Shown by the answer: the trade as it is now, paid if that was the wish.
static void show_or_pay(struct sandbox *s, struct trade *t, bool pays, struct str user, struct answer *a)
{
    if (t->code.channel == SANDBOX_WECHATPAY && pays && t->state == TRADE_WAITING) {
        if (t->code.openid[0])
            memcpy(t->payer, t->code.openid, sizeof t->payer);
        else
            wechat_openid(user, t->payer);
    }
    enum refusal no = pays ? trade_pay(s, t, clock_now_ms(s->clock)) : REFUSAL_NONE;
    if (no) {
        refuse_not_payable(a, no);
        return;
    }
    put_trade(s, &a->body, t); // "state" and "provider_trade_no", and what else the wallet shows
    answer_json(a, 200);
}

// The trade of a code. A cashier's page makes one when the buyer confirms; until then `t` shows what it would be.
static enum refusal trade_of_code(struct sandbox *s, const struct code *code, bool confirms, int64_t now_ms,
                                  struct trade *t)
{
    bool looks = code->channel == SANDBOX_ALIPAY && alipay_code_is_wap(code) && !confirms;
    return looks ? alipay_wap_look(s, code, now_ms, t) : trade_scan(s, code, now_ms, t);
}

// Opens the payment page; wallet_visited() answers.
static void page_open(struct sandbox *s, const struct http_exchange *x, const struct wish *w, bool pays,
                      struct answer *a)
{
    struct visit v = {.wallet = str_eq(w->wallet, STR("wechatpay")) ? SANDBOX_WECHATPAY : SANDBOX_ALIPAY, .pays = pays};
    if (memchr(w->code.p, 0, w->code.n)) {
        answer_problem(a, 404, "unknown_code", "this is no address", "/code");
        return;
    }
    memcpy(v.url, w->code.p, w->code.n); // CODE_MAX is less than its room
    if (w->user.n) memcpy(v.user, w->user.p, w->user.n);
    if (!visit_begin(s, &v, x, a))
        answer_problem(a, 503, "overloaded", "too many payment pages are being opened", NULL);
}

static bool visit_code(struct sandbox *s, const struct visit *v, struct code *code)
{
    char why[200];
    switch (v->find) {
    case FIND_WAP: return alipay_wap_code(s, str_of(v->url), clock_now_ms(s->clock), code, why);
    case FIND_CODE:
        // A Native code cannot be reached from a page inside WeChat.
        return ledger_code_find(s->ledger, str_of(v->text), code) && code->channel == SANDBOX_ALIPAY;
    case FIND_JSAPI: return ledger_code_find(s->ledger, str_of(v->text), code) && code->kind == CODE_JSAPI;
    }
    return false;
}

void wallet_visited(struct sandbox *s, const struct visit *v, struct answer *a)
{
    struct code code;
    struct trade t;
    char openid[OPENID_MAX + 1];
    int64_t now_ms = clock_now_ms(s->clock);
    enum refusal no = v->refusal;
    trades_settle(s, now_ms);
    wechat_openid(str_of(v->user), openid);
    if (!no && !visit_code(s, v, &code)) no = REFUSAL_PAGE_EMPTY;
    if (!no && code.channel != v->wallet) no = REFUSAL_OTHER_WALLET;
    if (!no && v->find == FIND_JSAPI && strcmp(code.openid, openid) != 0) no = REFUSAL_OTHER_BUYER;
    if (!no) no = trade_of_code(s, &code, v->pays, now_ms, &t);
    if (no)
        refuse_not_payable(a, no);
    else
        show_or_pay(s, &t, v->pays, str_of(v->user), a);
}

static void take_code(struct sandbox *s, const struct http_exchange *x, const struct wish *w, bool pays,
                      struct answer *a)
{
    struct code code;
    struct trade t;
    char why[200];
    int64_t now_ms = clock_now_ms(s->clock);
    bool is_wap = memmem(w->code.p, w->code.n, "alipay.trade.wap.pay", 20) != NULL;
    bool is_ours = is_wap
                       ? alipay_wap_code(s, w->code, now_ms, &code, why)
                       : ledger_code_find(s->ledger, without_return_address(w->code), &code) && code.kind != CODE_JSAPI;
    if (!is_ours && is_wap) {
        answer_problem(a, 404, "unknown_code", why, "/code");
        return;
    }
    if (!is_ours && is_page(w->code)) {
        page_open(s, x, w, pays, a);
        return;
    }
    if (!is_ours) {
        answer_problem(a, 404, "unknown_code", "no provider of this sandbox gave out this code", "/code");
        return;
    }
    enum refusal no =
        is_other_wallet(w, code.channel) ? REFUSAL_OTHER_WALLET : trade_of_code(s, &code, pays, now_ms, &t);
    if (no)
        refuse_not_payable(a, no);
    else
        show_or_pay(s, &t, pays, w->user, a);
}

static bool trade_of_number(struct sandbox *s, const struct wish *w, struct trade *t, struct answer *a)
{
    char number[NUMBER_MAX + 1];
    memcpy(number, w->number.n ? w->number.p : "", w->number.n);
    number[w->number.n] = 0;
    for (unsigned ch = 0; ch < SANDBOX_N_CHANNELS; ch++)
        if (!is_other_wallet(w, ch) && ledger_trade_by_number(s->ledger, ch, number, t)) return true;
    answer_problem(a, 404, "unknown_trade", "no trade has this number; a code nobody scanned is no trade",
                   "/out_trade_no");
    return false;
}

static void scan_or_pay(struct sandbox *s, const struct http_exchange *x, bool pays, struct answer *a)
{
    struct wish w;
    struct trade t;
    if (!wish_read(x, pays, &w, a)) return;
    trades_settle(s, clock_now_ms(s->clock));
    if (!w.number.p)
        take_code(s, x, &w, pays, a);
    else if (trade_of_number(s, &w, &t, a))
        show_or_pay(s, &t, pays, w.user, a);
    json_decref(w.root);
}

// --- GET /wallet/trades

static bool read_count(struct str query, const char *name, int64_t max, int64_t *out)
{
    struct buf text = {0};
    bool ok = true;
    if (http_query(query, name, &text)) {
        int64_t v = 0;
        ok = text.n > 0 && text.n <= 18;
        for (size_t i = 0; ok && i < text.n; i++) {
            ok = text.p[i] >= '0' && text.p[i] <= '9';
            v = v * 10 + (text.p[i] - '0');
        }
        ok = ok && v >= 1 && v <= max;
        if (ok) *out = v;
    }
    buf_free(&text);
    return ok;
}

static void list_trades(struct sandbox *s, const struct http_exchange *x, struct answer *a)
{
    int64_t limit = LIMIT_NORMAL, before = INT64_MAX;
    struct trade t;
    if (!read_count(x->query, "limit", LIMIT_MAX, &limit)) {
        answer_problem(a, 400, "out_of_range", "limit is from 1 to 200", NULL);
        return;
    }
    if (!read_count(x->query, "cursor", INT64_MAX, &before)) {
        answer_problem(a, 400, "bad_cursor", "the cursor is not one of ours", NULL);
        return;
    }
    trades_settle(s, clock_now_ms(s->clock));
    json_open(&a->body, '{');
    json_key(&a->body, "data");
    json_open(&a->body, '[');
    for (int64_t n = 0; n < limit && ledger_trade_before(s->ledger, before, &t); n++) {
        put_trade(s, &a->body, &t);
        before = t.id;
    }
    json_close(&a->body, ']');
    bool has_more = before != INT64_MAX && ledger_trade_before(s->ledger, before, &t);
    json_key(&a->body, "has_more");
    json_bool(&a->body, has_more);
    if (has_more) {
        char cursor[24];
        (void)snprintf(cursor, sizeof cursor, "%lld", (long long)before);
        json_kz(&a->body, "next_cursor", cursor);
    }
    json_close(&a->body, '}');
    answer_json(a, 200);
}

static void show_trade(struct sandbox *s, struct str number, struct answer *a)
{
    struct trade t;
    struct wish w = {.number = number};
    trades_settle(s, clock_now_ms(s->clock));
    if (number.n > NUMBER_MAX || memchr(number.p, 0, number.n)) {
        answer_problem(a, 404, "unknown_trade", "no trade has this number", NULL);
        return;
    }
    if (!trade_of_number(s, &w, &t, a)) return;
    put_trade(s, &a->body, &t);
    answer_json(a, 200);
}

static void show_ledger(struct sandbox *s, struct answer *a)
{
    trades_settle(s, clock_now_ms(s->clock));
    struct totals t = ledger_totals(s->ledger);
    json_open(&a->body, '{');
    json_ki64(&a->body, "captured", t.captured_fen);
    json_ki64(&a->body, "refunded", t.refunded_fen);
    json_ki64(&a->body, "trades", t.trades);
    json_ki64(&a->body, "refunds", t.refunds);
    json_key(&a->body, "calls");
    json_open(&a->body, '{');
    for (unsigned ch = 0; ch < SANDBOX_N_CHANNELS; ch++)
        if (ch <= SANDBOX_WECHATPAY || s->calls[ch]) json_ki64(&a->body, PROVIDERS[ch].name, (int64_t)s->calls[ch]);
    json_close(&a->body, '}');
    json_close(&a->body, '}');
    answer_json(a, 200);
}

// --- /wallet/faults

static void show_faults(const struct sandbox *s, struct answer *a)
{
    faults_write(&s->faults, &a->body);
    answer_json(a, 200);
}

// The dice begin anew: the same seed and the same calls meet the same faults.
static void set_faults(struct sandbox *s, const struct faults *f)
{
    struct buf text = {0};
    s->faults = *f;
    s->gateway_draws = s->notice_draws = 0;
    s->counters_changed = true;
    if (f->refund_wechatpay != OUTCOME_PROCESSING) {
        ledger_refunds_wake(s->ledger, clock_now_ms(s->clock));
        s->woke = true;
    }
    faults_write(f, &text);
    if (!text.failed) ledger_value_set(s->ledger, "faults", buf_view(&text));
    buf_free(&text);
}

static void faults_request(struct sandbox *s, const struct http_exchange *x, struct answer *a)
{
    struct faults f = FAULTS_NONE;
    struct json_fault fault = {0};
    if (x->method == HTTP_PUT && !faults_read(&f, x->body, &fault)) {
        refuse_fault(a, &fault);
        return;
    }
    if (x->method == HTTP_PUT || x->method == HTTP_DELETE) set_faults(s, &f);
    show_faults(s, a);
}

// --- Routes

static void show_page(struct answer *a)
{
    buf_z(&a->headers,
          "Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n"
          "Content-Security-Policy: default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
          "connect-src 'self'; img-src 'self' blob:; media-src 'self' blob:; base-uri 'none'; form-action 'none'\r\n");
    buf_add(&a->body, wallet_page, wallet_page_size);
    a->status = 200;
    a->content_type = "text/html;charset=utf-8";
}

// Answers 405 unless the method is one of those named.
static bool allows(const struct http_exchange *x, struct answer *a, const char *allowed, unsigned methods)
{
    if (methods & 1u << x->method) return true;
    answer_problem(a, 405, "method_not_allowed", "this address does not take that method", NULL);
    buf_printf(&a->headers, "Allow: %s\r\n", allowed);
    return false;
}

void wallet_request(struct sandbox *s, const struct http_exchange *x, struct answer *a)
{
    static const struct str one_trade = {"/wallet/trades/", sizeof "/wallet/trades/" - 1};
    const unsigned get = 1u << HTTP_GET | 1u << HTTP_HEAD, post = 1u << HTTP_POST;
    struct str path = x->path;
    if (str_eq(path, STR("/wallet"))) {
        if (allows(x, a, "GET, HEAD", get)) show_page(a);
    } else if (str_eq(path, STR("/wallet/scan"))) {
        if (allows(x, a, "POST", post)) scan_or_pay(s, x, false, a);
    } else if (str_eq(path, STR("/wallet/pay"))) {
        if (allows(x, a, "POST", post)) scan_or_pay(s, x, true, a);
    } else if (str_eq(path, STR("/wallet/trades"))) {
        if (allows(x, a, "GET, HEAD", get)) list_trades(s, x, a);
    } else if (str_starts(path, one_trade)) {
        if (allows(x, a, "GET, HEAD", get)) show_trade(s, (struct str){path.p + one_trade.n, path.n - one_trade.n}, a);
    } else if (str_eq(path, STR("/wallet/ledger"))) {
        if (allows(x, a, "GET, HEAD", get)) show_ledger(s, a);
    } else if (str_eq(path, STR("/wallet/faults"))) {
        if (allows(x, a, "GET, HEAD, PUT, DELETE", get | 1u << HTTP_PUT | 1u << HTTP_DELETE)) faults_request(s, x, a);
    } else {
        answer_problem(a, 404, "not_found", "nothing is here", NULL);
    }
}
