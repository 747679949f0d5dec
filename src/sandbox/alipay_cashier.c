// SPDX-License-Identifier: Apache-2.0
#include "sandbox/alipay_cashier.h"
#include <stdio.h>

// --- Codes

bool alipay_wap_code(struct sandbox *s, struct str url, int64_t now_ms, struct code *out, char why[200])
{
    struct buf object = {0};
    struct params params;
    struct call c = {.sandbox = s, .now_ms = now_ms, .out = &object};
    char reason[160];
    const char *query = memmem(url.p, url.n, "/gateway.do?", 12);
    (void)snprintf(why, 200, "this is no address of the gateway");
    if (!query) return false;
    query += 12;
    bool readable = params_read(&params, (struct str){query, url.n - (size_t)(query - url.p)}, STR(""), reason);
    bool is_page = str_eq(params_get(&params, "method"), STR("alipay.trade.wap.pay"));
    bool ok = readable && is_page && alipay_call_open(&c, &params) && alipay_wap_order(&c, out);
    if (!readable)
        (void)snprintf(why, 200, "%s", reason);
    else if (!is_page)
        (void)snprintf(why, 200, "this is no address of alipay.trade.wap.pay");
    else if (!ok)
        (void)snprintf(why, 200, "%.60s: %.130s", c.sub_code, c.sub_msg);
    json_decref(c.biz);
    buf_free(&object);
    params_free(&params);
    return ok;
}

enum refusal alipay_wap_look(struct sandbox *s, const struct code *c, int64_t now_ms, struct trade *out)
{
    if (ledger_trade_by_number(s->ledger, c->channel, c->out_trade_no, out))
        return strcmp(out->code.terms, c->terms) == 0 ? REFUSAL_NONE : REFUSAL_OTHER_TERMS;
    if (c->killed) return REFUSAL_KILLED;
    if (now_ms >= c->dies_ms) return REFUSAL_EXPIRED;
    *out = (struct trade){.code = *c, .state = TRADE_WAITING, .created_ms = now_ms, .expires_ms = c->trade_dies_ms};
    return REFUSAL_NONE;
}

// --- The page

static void page_begin(struct answer *a, int status)
{
    buf_z(&a->headers, "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                       "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
                       "form-action 'self'; frame-ancestors 'none'\r\n");
    a->status = status;
    a->content_type = "text/html;charset=utf-8";
    buf_clear(&a->body);
    buf_z(&a->body,
          "<!doctype html>\n<html lang=\"zh-CN\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<title>沙箱收银台 · Sandbox cashier</title>\n<style>\n"
          ":root { color-scheme: light dark; }\n"
          "body { font: 16px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 26rem; padding: 1rem; text-align: "
          "center; }\n"
          ".amount { font-size: 2.2rem; font-weight: 700; margin: .5rem 0; }\n"
          ".note { opacity: .75; font-size: .875rem; overflow-wrap: anywhere; }\n"
          "button { font: inherit; width: 100%; min-height: 2.9rem; margin-top: .8rem; border-radius: .6rem; border: "
          "1px solid #0b5fd6; background: none; color: inherit; }\n"
          "button.main { background: #0b5fd6; color: #fff; }\n"
          "</style>\n</head>\n<body>\n<h1>沙箱收银台 · Sandbox cashier</h1>\n");
}

static void page_end(struct answer *a)
{
    buf_z(&a->body, "</body>\n</html>\n");
}

static void put_hidden(struct buf *out, const char *name, struct str value)
{
    buf_printf(out, "<input type=\"hidden\" name=\"%s\" value=\"", name);
    html_escape(out, value);
    buf_z(out, "\">\n");
}

static void put_form(struct buf *out, const struct code *c, bool is_trade, struct str back)
{
    buf_z(out, "<form method=\"post\" action=\"/cashier\">\n");
    put_hidden(out, "code", str_of(c->text));
    if (back.n) put_hidden(out, "back", back);
    buf_z(out, "<button class=\"main\" name=\"do\" value=\"pay\">确认付款 · Pay</button>\n");
    if (!is_trade) buf_z(out, "<button name=\"do\" value=\"login\">登录但不付款 · Log in, do not pay yet</button>\n");
    buf_z(out, "</form>\n");
}

// Where the merchant wanted the buyer to be led: a link, and no word about the payment.
static void put_back(struct buf *out, struct str back)
{
    if (!str_starts(back, STR("http://")) && !str_starts(back, STR("https://"))) return;
    buf_z(out, "<p><a href=\"");
    html_escape(out, back);
    buf_z(out, "\" rel=\"noreferrer\">返回商家 · Back to the shop</a></p>\n");
}

static void show_problem(struct answer *a, int status, const char *what)
{
    page_begin(a, status);
    buf_z(&a->body, "<p role=\"alert\">无法付款 · This cannot be paid</p>\n<p class=\"note\">");
    html_escape(&a->body, str_of(what));
    buf_z(&a->body, "</p>\n");
    page_end(a);
}

static const char *state_text(const struct trade *t)
{
    switch (t->state) {
    case TRADE_WAITING: return "";
    case TRADE_PAID:
    case TRADE_FINISHED: return "付款成功 · Paid";
    case TRADE_CLOSED: return t->paid_ms ? "已退款 · Refunded" : "交易已关闭 · Closed";
    }
    return "";
}

static void show_trade(struct answer *a, const struct code *c, const struct trade *t, struct str back)
{
    page_begin(a, 200);
    buf_z(&a->body, "<p>");
    html_escape(&a->body, str_of(t->code.subject));
    buf_z(&a->body, "</p>\n<p class=\"amount\">¥");
    yuan_write(&a->body, t->code.total_fen);
    buf_printf(&a->body, "</p>\n<p class=\"note\">%s</p>\n", t->code.out_trade_no);
    if (t->state == TRADE_WAITING)
        put_form(&a->body, c, t->trade_no[0] != 0, back);
    else
        buf_printf(&a->body, "<p role=\"status\">%s</p>\n", state_text(t));
    put_back(&a->body, back);
    page_end(a);
}

static void show_code(struct sandbox *s, const struct code *c, int64_t now_ms, struct str back, struct answer *a)
{
    struct trade t;
    enum refusal no = alipay_wap_look(s, c, now_ms, &t);
    if (no)
        show_problem(a, 409, refusal_text(no));
    else
        show_trade(a, c, &t, back);
}

void alipay_cashier_open(struct call *c, struct str return_url, struct answer *a)
{
    struct code code;
    if (c->biz && alipay_wap_order(c, &code)) {
        show_code(c->sandbox, &code, c->now_ms, return_url, a);
        return;
    }
    char why[300];
    (void)snprintf(why, sizeof why, "%.60s: %.200s", c->sub_code, c->sub_msg);
    show_problem(a, 400, why);
}

// --- What the form sends

static enum refusal confirm(struct sandbox *s, const struct code *c, bool pays, int64_t now_ms)
{
    struct trade t;
    enum refusal no = trade_scan(s, c, now_ms, &t);
    return no || !pays ? no : trade_pay(s, &t, now_ms);
}

void alipay_cashier_request(struct sandbox *s, const struct http_exchange *x, struct answer *a)
{
    char why[160];
    struct params form;
    struct code code;
    int64_t now_ms = clock_now_ms(s->clock);
    bool readable = params_read(&form, STR(""), x->body, why);
    struct str act = params_get(&form, "do");
    bool pays = str_eq(act, STR("pay"));
    trades_expire(s, now_ms);
    if (!readable || (!pays && !str_eq(act, STR("login"))) ||
        !ledger_code_find(s->ledger, params_get(&form, "code"), &code) || !alipay_code_is_wap(&code)) {
        show_problem(a, 400, "this is no form of the cashier's");
    } else {
        enum refusal no = confirm(s, &code, pays, now_ms);
        if (no)
            show_problem(a, 409, refusal_text(no));
        else
            show_code(s, &code, now_ms, params_get(&form, "back"), a);
    }
    params_free(&form);
}
