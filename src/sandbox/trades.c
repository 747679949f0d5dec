// SPDX-License-Identifier: Apache-2.0
#include "sandbox/trades.h"
#include "base/timetext.h"
#include "sandbox/alipay_notice.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

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

// 28 digits, as Alipay's: date, 22001, random.
static void trade_no_make(int64_t now_ms, char out[33])
{
    char date[9], digits[16];
    beijing_date(now_ms, date);
    random_digits(digits, 15);
    (void)snprintf(out, 33, "%s22001%s", date, digits);
}

// --- Notifications

static void notice_store(struct sandbox *s, const struct trade *t, const char *out_biz_no, bool forged,
                         const char *notify_id, int64_t due_ms, enum notice_end end)
{
    struct notice n = {.channel = t->code.channel, .due_ms = due_ms, .forged = forged};
    (void)snprintf(n.url, sizeof n.url, "%s", t->code.notify_url);
    alipay_notice_fields(&s->keys.identity, t, out_biz_no, notify_id, &n.fields);
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

// What the merchant will be told, decided now and for good: a dropped notification is lost with all its retries.
static void notice_owe(struct sandbox *s, const struct trade *t, const char *out_biz_no, int64_t now_ms)
{
    if (!t->code.notify_url[0]) return;
    struct notice_fate fate = faults_notice_draw(&s->faults, s->notice_draws++);
    enum notice_end end = fate.dropped ? NOTICE_DROPPED : NOTICE_OWED;
    char id[40];
    s->counters_changed = true;
    if (fate.forged) { // first, so that a merchant who believes it is found out by what he then refuses
        struct trade false_one = *t;
        trade_no_make(now_ms, false_one.trade_no);
        notify_id_make(now_ms, id);
        notice_store(s, &false_one, out_biz_no, true, id, now_ms, NOTICE_OWED);
    }
    notify_id_make(now_ms, id);
    notice_store(s, t, out_biz_no, false, id, now_ms + fate.delay_ms, end);
    if (fate.duplicated) notice_store(s, t, out_biz_no, false, id, now_ms + fate.duplicate_delay_ms, end);
    s->woke = true;
}

// --- Moves

enum refusal trade_scan(struct sandbox *s, const struct code *c, int64_t now_ms, struct trade *out)
{
    if (ledger_trade_by_number(s->ledger, c->channel, c->out_trade_no, out))
        return strcmp(out->code.terms, c->terms) == 0 ? REFUSAL_NONE : REFUSAL_OTHER_TERMS;
    if (c->killed) return REFUSAL_KILLED;
    if (now_ms >= c->dies_ms) return REFUSAL_EXPIRED;
    *out = (struct trade){.code = *c, .state = TRADE_WAITING, .created_ms = now_ms, .expires_ms = c->trade_dies_ms};
    trade_no_make(now_ms, out->trade_no);
    ledger_trade_add(s->ledger, out);
    s->woke = true; // its expiry may be the next thing due
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
    notice_owe(s, t, NULL, now_ms);
}

void trade_refund(struct sandbox *s, struct trade *t, const char *out_request_no, int64_t amount_fen, int64_t now_ms)
{
    struct refund r = {.trade_id = t->id, .amount_fen = amount_fen, .created_ms = now_ms};
    assert(t->state == TRADE_PAID && amount_fen > 0 && amount_fen <= t->code.total_fen - t->refunded_fen);
    (void)snprintf(r.out_request_no, sizeof r.out_request_no, "%s", out_request_no);
    t->refunded_fen += amount_fen;
    t->refund_ms = now_ms;
    if (t->refunded_fen == t->code.total_fen) {
        t->state = TRADE_CLOSED;
        t->closed_ms = now_ms;
    }
    ledger_refund_add(s->ledger, &r);
    ledger_trade_save(s->ledger, t);
    notice_owe(s, t, r.out_request_no, now_ms);
}

void trades_expire(struct sandbox *s, int64_t now_ms)
{
    struct trade t;
    // Each turn closes one; a broken ledger closes none and finds it again, so it must end the loop.
    for (int64_t last = 0; ledger_trade_expired(s->ledger, now_ms, &t) && t.id != last; last = t.id)
        trade_close(s, &t, t.expires_ms);
}
