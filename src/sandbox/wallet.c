// SPDX-License-Identifier: Apache-2.0
#include "base/json_in.h"
#include "base/log.h"
#include "sandbox/alipay_cashier.h"
#include "sandbox/alipay_notice.h"
#include "sandbox/inside.h"
#include "sandbox/trades.h"
#include <stdio.h>
#include <stdlib.h>

#define CODE_MAX     2048 // a QR holds no more than 2953 bytes
#define LIMIT_MAX    200
#define LIMIT_NORMAL 50

extern const unsigned char wallet_page[];
extern const unsigned wallet_page_size;

static const char *const CHANNELS[SANDBOX_N_CHANNELS] = {"alipay", "wechatpay"};

// --- Answers

static const char *state_name(const struct trade *t)
{
    switch (t->state) {
    case TRADE_WAITING: return "waiting";
    case TRADE_PAID: return "paid";
    case TRADE_CLOSED: return t->paid_ms ? "refunded" : "closed";
    case TRADE_FINISHED: return "finished";
    }
    return "";
}

static void put_trade(struct buf *out, const struct trade *t)
{
    json_open(out, '{');
    json_kz(out, "channel", CHANNELS[t->code.channel]);
    json_kz(out, "out_trade_no", t->code.out_trade_no);
    json_kz(out, "provider_trade_no", t->trade_no);
    json_kz(out, "subject", t->code.subject);
    json_ki64(out, "amount", t->code.total_fen);
    json_kz(out, "currency", "CNY");
    json_kz(out, "state", state_name(t));
    json_kz(out, "provider_state", alipay_trade_status(t->state));
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

struct wish {
    struct str code, number, wallet; // borrowed from `root`
    json_t *root;
};

// What the buyer shows. False: refused already. On true the caller frees w->root.
static bool wish_read(const struct http_exchange *x, bool takes_number, struct wish *w, struct answer *a)
{
    static const char *const scan_names[] = {"code", "wallet", NULL};
    static const char *const pay_names[] = {"code", "wallet", "out_trade_no", NULL};
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
    }
    if (!fault.code) return true;
    refuse_fault(a, &fault);
    json_decref(w->root);
    return false;
}

static bool is_other_wallet(const struct wish *w, enum sandbox_channel ch)
{
    return w->wallet.n > 0 && !str_eq(w->wallet, str_of(CHANNELS[ch]));
}

// A text that a QR may hold, or the address of a cashier's page.
static bool code_of_text(struct sandbox *s, struct str text, int64_t now_ms, struct code *code, struct answer *a)
{
    char why[200];
    if (ledger_code_find(s->ledger, text, code) || alipay_wap_code(s, text, now_ms, code, why)) return true;
    bool is_page = memmem(text.p, text.n, "alipay.trade.wap.pay", 20) != NULL;
    answer_problem(a, 404, "unknown_code", is_page ? why : "no provider of this sandbox gave out this code", "/code");
    return false;
}

// The trade of a scanned code. A page's comes into being when the buyer `confirms`; until then `t` shows what it would
// be. False: refused already.
static bool trade_of_code(struct sandbox *s, const struct wish *w, int64_t now_ms, bool confirms, struct trade *t,
                          struct answer *a)
{
    struct code code;
    enum refusal no;
    if (!code_of_text(s, w->code, now_ms, &code, a)) return false;
    if (is_other_wallet(w, code.channel))
        no = REFUSAL_OTHER_WALLET;
    else if (alipay_code_is_wap(&code) && !confirms)
        no = alipay_wap_look(s, &code, now_ms, t);
    else
        no = trade_scan(s, &code, now_ms, t);
    if (no) refuse_not_payable(a, no);
    return !no;
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

static void scan(struct sandbox *s, const struct http_exchange *x, struct answer *a)
{
    struct wish w;
    struct trade t;
    int64_t now_ms = clock_now_ms(s->clock);
    if (!wish_read(x, false, &w, a)) return;
    trades_expire(s, now_ms);
    if (trade_of_code(s, &w, now_ms, false, &t, a)) {
        put_trade(&a->body, &t);
        answer_json(a, 200);
    }
    json_decref(w.root);
}

static void pay(struct sandbox *s, const struct http_exchange *x, struct answer *a)
{
    struct wish w;
    struct trade t;
    int64_t now_ms = clock_now_ms(s->clock);
    if (!wish_read(x, true, &w, a)) return;
    trades_expire(s, now_ms);
    bool found = w.number.p ? trade_of_number(s, &w, &t, a) : trade_of_code(s, &w, now_ms, true, &t, a);
    json_decref(w.root);
    if (!found) return;
    enum refusal no = trade_pay(s, &t, now_ms);
    if (no) {
        refuse_not_payable(a, no);
        return;
    }
    put_trade(&a->body, &t); // "state" and "provider_trade_no", and what else the wallet shows
    answer_json(a, 200);
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
    trades_expire(s, clock_now_ms(s->clock));
    json_open(&a->body, '{');
    json_key(&a->body, "data");
    json_open(&a->body, '[');
    for (int64_t n = 0; n < limit && ledger_trade_before(s->ledger, before, &t); n++) {
        put_trade(&a->body, &t);
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
    trades_expire(s, clock_now_ms(s->clock));
    if (number.n > NUMBER_MAX || memchr(number.p, 0, number.n)) {
        answer_problem(a, 404, "unknown_trade", "no trade has this number", NULL);
        return;
    }
    if (!trade_of_number(s, &w, &t, a)) return;
    put_trade(&a->body, &t);
    answer_json(a, 200);
}

static void show_ledger(struct sandbox *s, struct answer *a)
{
    trades_expire(s, clock_now_ms(s->clock));
    struct totals t = ledger_totals(s->ledger);
    json_open(&a->body, '{');
    json_ki64(&a->body, "captured", t.captured_fen);
    json_ki64(&a->body, "refunded", t.refunded_fen);
    json_ki64(&a->body, "trades", t.trades);
    json_ki64(&a->body, "refunds", t.refunds);
    json_key(&a->body, "calls");
    json_open(&a->body, '{');
    for (unsigned ch = 0; ch < SANDBOX_N_CHANNELS; ch++)
        json_ki64(&a->body, CHANNELS[ch], (int64_t)s->calls[ch]);
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
        if (allows(x, a, "POST", post)) scan(s, x, a);
    } else if (str_eq(path, STR("/wallet/pay"))) {
        if (allows(x, a, "POST", post)) pay(s, x, a);
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
