// SPDX-License-Identifier: Apache-2.0
#include "sandbox/trades.h"
#include "base/timetext.h"
#include "sandbox/provider.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define REFUND_TAKES_MS 3000  // between WeChat Pay's "accepted" and the money
#define REFUND_LATE_MS  15000 // longer than a merchant should wait before he asks Alipay

static const struct {
    const char *name, *text;
} REFUSALS[] = {
    [REFUSAL_NONE] = {"", ""},
    [REFUSAL_PAID] = {"already_paid", "this trade is paid already"},
    [REFUSAL_CLOSED] = {"closed", "this trade is closed"},
    [REFUSAL_EXPIRED] = {"expired", "this code has expired"},
    [REFUSAL_KILLED] = {"closed_before_scan", "this code was closed before anybody scanned it"},
    [REFUSAL_OTHER_TERMS] = {"other_terms", "the number of this code was used for a trade with other terms"},
    [REFUSAL_OTHER_WALLET] = {"other_wallet", "this code belongs to another wallet"},
    [REFUSAL_OTHER_BUYER] = {"other_buyer", "this page was made for another buyer"},
    [REFUSAL_PAGE_AWAY] = {"page_away", "the payment page does not answer"},
    [REFUSAL_PAGE_ELSEWHERE] = {"page_elsewhere", "the payment page leads to a place this wallet does not open"},
    [REFUSAL_PAGE_EMPTY] = {"page_empty", "the payment page offers this wallet nothing to pay"},
    [REFUSAL_PAGE_FALSE] = {"page_false", "the payment page's parameters are not signed by the merchant"},
};

const char *refusal_name(enum refusal r)
{
    return REFUSALS[r].name;
}

const char *refusal_text(enum refusal r)
{
    return REFUSALS[r].text;
}

// --- Numbers of the provider

static void random_digits(char *out, size_t n)
{
    uint8_t random[40];
    assert(n <= sizeof random);
    if (!crypto_random(random, n)) abort(); // a number that repeats would be worse than no sandbox
    for (size_t i = 0; i < n; i++)
        out[i] = (char)('0' + random[i] % 10);
    out[n] = 0;
}

static void beijing_date(int64_t ms, char out[9])
{
    char text[TIME_TEXT_SIZE];
    time_to_beijing(ms, text); // 2026-11-23 10:05:00
    (void)snprintf(out, 9, "%.4s%.2s%.2s", text, text + 5, text + 8);
}

static void refund_no_make(int64_t now_ms, char out[33])
{
    char date[9], digits[18];
    beijing_date(now_ms, date);
    random_digits(digits, 17);
    (void)snprintf(out, 33, "5030%s%s", date, digits);
}

// 28 characters.
static void number_make(enum sandbox_channel ch, int64_t now_ms, char out[33])
{
    const struct provider *p = &PROVIDERS[ch];
    char date[9];
    beijing_date(now_ms, date);
    int n = snprintf(out, 33, "%s%s%s", p->before_date, date, p->after_date);
    random_digits(out + n, 28 - (size_t)n);
}

// --- Notifications

// What a merchant is told: that something happened to the trade, or (`r`) to one of its refunds.
struct news {
    const struct trade *trade;
    const struct refund *refund;
    int64_t now_ms;
};

static const char *news_url(const struct news *w)
{
    if (w->trade->code.channel != SANDBOX_ALIPAY && w->refund) return w->refund->notify_url;
    return w->trade->code.notify_url;
}

static void notice_store(struct sandbox *s, const struct news *w, enum forgery forgery, const char *notify_id,
                         int64_t due_ms, enum notice_end end)
{
    const struct trade *t = w->trade;
    struct notice n = {.channel = t->code.channel, .due_ms = due_ms, .forgery = forgery};
    (void)snprintf(n.url, sizeof n.url, "%s", news_url(w));
    PROVIDERS[n.channel].notice_fields(s, t, w->refund, notify_id, w->now_ms, &n.fields);
    ledger_notice_add(s->ledger, &n, t->id, end);
    buf_free(&n.fields);
}

static void notify_id_make(int64_t now_ms, char out[40])
{
    char date[9], digits[27];
    beijing_date(now_ms, date);
    random_digits(digits, 26);
    (void)snprintf(out, 40, "%s%s", date, digits);
}

static enum forgery forgery_of(enum sandbox_channel ch, unsigned which)
{
    static const enum forgery kinds[] = {FORGERY_KEY, FORGERY_PROBE, FORGERY_SERIAL};
    return ch == SANDBOX_WECHATPAY ? kinds[which % 3] : FORGERY_KEY;
}

// What the merchant will be told, decided now and for good: a dropped notification is lost with all its retries.
static void notice_owe(struct sandbox *s, const struct trade *t, const struct refund *r, int64_t now_ms)
{
    struct news news = {t, r, now_ms};
    if (!news_url(&news)[0]) return;
    struct notice_fate fate = faults_notice_draw(&s->faults, s->notice_draws++);
    enum notice_end end = fate.dropped ? NOTICE_DROPPED : NOTICE_OWED;
    char id[40];
    s->counters_changed = true;
    if (fate.forged) { // first, so that a merchant who believes it is found out by what he then refuses
        struct trade false_one = *t;
        number_make(t->code.channel, now_ms, false_one.trade_no);
        notify_id_make(now_ms, id);
        notice_store(s, &(struct news){&false_one, r, now_ms}, forgery_of(t->code.channel, fate.forgery), id, now_ms,
                     NOTICE_OWED);
    }
    notify_id_make(now_ms, id);
    notice_store(s, &news, FORGERY_NONE, id, now_ms + fate.delay_ms, end);
    if (fate.duplicated) notice_store(s, &news, FORGERY_NONE, id, now_ms + fate.duplicate_delay_ms, end);
    s->woke = true;
}

// --- Moves

struct trade trade_open(struct sandbox *s, const struct code *c, int64_t now_ms)
{
    struct trade t = {.code = *c, .state = TRADE_WAITING, .created_ms = now_ms, .expires_ms = c->trade_dies_ms};
    number_make(c->channel, now_ms, t.trade_no);
    ledger_trade_add(s->ledger, &t);
    s->woke = true; // its expiry may be the next thing due
    return t;
}

// All but Alipay's trades wait for good: their time and their codes' only end paying.
static bool is_over(const struct trade *t, int64_t now_ms)
{
    return t->code.channel != SANDBOX_ALIPAY && t->state == TRADE_WAITING && now_ms >= t->expires_ms;
}

enum refusal trade_scan(struct sandbox *s, const struct code *c, int64_t now_ms, struct trade *out)
{
    if (ledger_trade_by_number(s->ledger, c->channel, c->out_trade_no, out)) {
        if (strcmp(out->code.terms, c->terms) != 0) return REFUSAL_OTHER_TERMS;
        bool is_dead = c->channel != SANDBOX_ALIPAY && out->state == TRADE_WAITING && now_ms >= c->dies_ms;
        return is_dead || is_over(out, now_ms) ? REFUSAL_EXPIRED : REFUSAL_NONE;
    }
    if (c->killed) return REFUSAL_KILLED;
    if (now_ms >= c->dies_ms) return REFUSAL_EXPIRED;
    *out = trade_open(s, c, now_ms);
    return REFUSAL_NONE;
}

enum refusal trade_pay(struct sandbox *s, struct trade *t, int64_t now_ms)
{
    switch (t->state) {
    case TRADE_WAITING: break;
    case TRADE_CLOSED: return t->paid_ms ? REFUSAL_PAID : REFUSAL_CLOSED;
    case TRADE_PAID:
    case TRADE_FINISHED: return REFUSAL_PAID;
    }
    if (is_over(t, now_ms)) return REFUSAL_EXPIRED;
    t->state = TRADE_PAID;
    t->paid_ms = now_ms;
    ledger_trade_save(s->ledger, t);
    notice_owe(s, t, NULL, now_ms);
    return REFUSAL_NONE;
}

void trade_close(struct sandbox *s, struct trade *t, int64_t now_ms)
{
    assert(t->state == TRADE_WAITING);
    t->state = TRADE_CLOSED;
    t->closed_ms = now_ms;
    ledger_trade_save(s->ledger, t);
    if (t->code.channel == SANDBOX_ALIPAY) notice_owe(s, t, NULL, now_ms); // the others tell of money only
}

// With Alipay a trade of which nothing is left is closed.
static void money_back(struct sandbox *s, struct trade *t, int64_t amount_fen, int64_t now_ms)
{
    t->refunded_fen += amount_fen;
    t->refund_ms = now_ms;
    if (t->code.channel == SANDBOX_ALIPAY && t->refunded_fen == t->code.total_fen) {
        t->state = TRADE_CLOSED;
        t->closed_ms = now_ms;
    }
    ledger_trade_save(s->ledger, t);
}

void trade_refund(struct sandbox *s, struct trade *t, const char *out_request_no, int64_t amount_fen, int64_t now_ms)
{
    struct refund r = {.trade_id = t->id,
                       .channel = t->code.channel,
                       .state = REFUND_SUCCESS,
                       .amount_fen = amount_fen,
                       .created_ms = now_ms,
                       .done_ms = now_ms};
    assert(t->state == TRADE_PAID && amount_fen > 0 && amount_fen <= t->code.total_fen - t->refunded_fen);
    (void)snprintf(r.out_request_no, sizeof r.out_request_no, "%s", out_request_no);
    ledger_refund_add(s->ledger, &r);
    money_back(s, t, amount_fen, now_ms);
    notice_owe(s, t, &r, now_ms);
}

void trade_refund_late(struct sandbox *s, const struct trade *t, const char *out_request_no, int64_t amount_fen,
                       int64_t now_ms)
{
    struct refund r = {.trade_id = t->id,
                       .channel = t->code.channel,
                       .state = REFUND_PROCESSING,
                       .amount_fen = amount_fen,
                       .created_ms = now_ms,
                       .due_ms = now_ms + REFUND_LATE_MS};
    (void)snprintf(r.out_request_no, sizeof r.out_request_no, "%s", out_request_no);
    ledger_refund_add(s->ledger, &r);
    s->woke = true;
}

void trade_refund_accept(struct sandbox *s, struct refund *r, int64_t now_ms)
{
    bool ends = s->faults.refund_wechatpay != OUTCOME_PROCESSING;
    r->channel = SANDBOX_WECHATPAY;
    r->state = REFUND_PROCESSING;
    r->created_ms = now_ms;
    r->due_ms = ends ? now_ms + REFUND_TAKES_MS : INT64_MAX;
    refund_no_make(now_ms, r->refund_no);
    ledger_refund_add(s->ledger, r);
    s->woke = true;
}

static enum refund_state outcome_state(enum refund_outcome outcome)
{
    switch (outcome) {
    case OUTCOME_SUCCESS: return REFUND_SUCCESS;
    case OUTCOME_PROCESSING: return REFUND_PROCESSING;
    case OUTCOME_ABNORMAL: return REFUND_ABNORMAL;
    case OUTCOME_CLOSED: return REFUND_CLOSED;
    }
    return REFUND_SUCCESS;
}

// How it ends is decided when it does.
static void refund_end(struct sandbox *s, struct refund *r)
{
    struct trade t;
    int64_t now_ms = r->due_ms;
    r->state = r->channel == SANDBOX_ALIPAY ? REFUND_SUCCESS : outcome_state(s->faults.refund_wechatpay);
    r->due_ms = INT64_MAX;
    r->done_ms = r->state == REFUND_PROCESSING ? 0 : now_ms;
    ledger_refund_save(s->ledger, r);
    if (r->state == REFUND_PROCESSING || !ledger_trade_by_id(s->ledger, r->trade_id, &t)) return;
    if (r->state == REFUND_SUCCESS) money_back(s, &t, r->amount_fen, now_ms);
    notice_owe(s, &t, r, now_ms);
}

void trades_expire(struct sandbox *s, int64_t now_ms)
{
    struct trade t;
    // Each turn closes one; a broken ledger closes none and finds it again, so it must end the loop.
    for (int64_t last = 0; ledger_trade_expired(s->ledger, now_ms, &t) && t.id != last; last = t.id)
        trade_close(s, &t, t.expires_ms);
}

static void refunds_end(struct sandbox *s, int64_t now_ms)
{
    struct refund r;
    struct refund last = {0}; // as above; with Alipay a number is one of its trade's
    while (ledger_refund_due(s->ledger, now_ms, &r) &&
           (r.trade_id != last.trade_id || strcmp(r.out_request_no, last.out_request_no) != 0)) {
        last = r;
        refund_end(s, &r);
    }
}

void trades_settle(struct sandbox *s, int64_t now_ms)
{
    trades_expire(s, now_ms);
    refunds_end(s, now_ms);
}
