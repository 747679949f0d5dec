// SPDX-License-Identifier: Apache-2.0
#include "provider_model.h"
#include "checker.h"
#include "clients.h"
#include "node.h"
#include <stdio.h>
#include <string.h>

// --- Calls under way

enum fate { FATE_WELL, FATE_LOST, FATE_ANSWER_LOST, FATE_ERROR_BEFORE, FATE_ERROR_AFTER, FATE_GARBAGE };

struct flight {
    struct call call;
    unsigned epoch; // the node's life that asked
    int64_t asked_ms, arrives_ms, node_asked_ms;
    enum fate fate;
    struct answer answer;
    bool carried_out, in_time;
    unsigned left; // happenings still to come
};

#define FLIGHTS_MAX 2048
static struct flight flights[FLIGHTS_MAX];
static unsigned free_flights[FLIGHTS_MAX], n_free_flights;

static const int64_t ALIPAY_TELLS_MS[] = {0, 240000, 600000, 600000, 3600000, 7200000, 21600000, 54000000};
static const int64_t WECHATPAY_TELLS_MS[] = {0,        15000,    15000,    30000,   180000,  600000,
                                             1200000,  1800000,  1800000,  1800000, 3600000, 10800000,
                                             10800000, 10800000, 21600000, 21600000};
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static const struct {
    const char *name, *code, *not_found, *paid;
    bool code_is_trade; // asking for a code makes the trade
    bool has_cancel;
    bool says_how_much;      // went back of a trade
    bool refunds_linger;     // and need not end well
    const int64_t *tells_ms; // a notification's distances
    unsigned n_tells;
} TRAITS[N_CHANNELS] = {
    [CHANNEL_ALIPAY] = {.name = "alipay",
                        .code = "https://qr.alipay.com/simulated",
                        .not_found = "TRADE_NOT_EXIST",
                        .paid = "TRADE_SUCCESS",
                        .has_cancel = true,
                        .says_how_much = true,
                        .tells_ms = ALIPAY_TELLS_MS,
                        .n_tells = COUNT(ALIPAY_TELLS_MS)},
    [CHANNEL_WECHATPAY] = {.name = "wechatpay",
                           .code = "weixin://wxpay/bizpayurl?pr=simulated",
                           .not_found = "ORDER_NOT_EXIST",
                           .paid = "SUCCESS",
                           .code_is_trade = true,
                           .refunds_linger = true,
                           .tells_ms = WECHATPAY_TELLS_MS,
                           .n_tells = COUNT(WECHATPAY_TELLS_MS)},
};

struct trade *trade_find(struct ledger *l, uint64_t payment_key)
{
    for (unsigned i = l->n_trades; i-- > 0;)
        if (l->trades[i].payment_key == payment_key) return &l->trades[i];
    return NULL;
}

static struct trade *trade_make(struct ledger *l, const struct call *c)
{
    struct trade *t = trade_find(l, c->payment_key);
    if (t || l->n_trades == TRADES_MAX) return t;
    t = &l->trades[l->n_trades++];
    *t = (struct trade){.payment_key = c->payment_key,
                        .order_key = c->order_key,
                        .channel = c->channel,
                        .amount_fen = c->amount_fen,
                        .expires_ms = c->expires_ms};
    return t;
}

static struct ledger_refund *refund_find(struct ledger *l, uint64_t number_key, uint64_t payment_key)
{
    for (unsigned i = 0; i < l->n_refunds; i++)
        if (l->refunds[i].number_key == number_key && l->refunds[i].payment_key == payment_key) return &l->refunds[i];
    return NULL;
}

static bool is_past_its_time(const struct ledger *l, const struct trade *t)
{
    return !t->stubborn && l->w->now_ms >= t->expires_ms + l->w->c.lag_ms;
}

// A trade that was scanned and not paid in time closes by itself.
static void trade_age(struct ledger *l, struct trade *t)
{
    if (t->state != TRADE_WAITING || !is_past_its_time(l, t)) return;
    t->state = TRADE_CLOSED;
    t->closed_ms = t->expires_ms + l->w->c.lag_ms;
}

bool trade_can_be_paid(const struct ledger *l, const struct trade *t)
{
    bool open = t->state == TRADE_NONE || t->state == TRADE_WAITING;
    return t->code_ms > 0 && !t->killed && open && !is_past_its_time(l, t);
}

bool trade_is_closable(const struct trade *t)
{
    return t->state == TRADE_WAITING && !t->stubborn;
}

// Every call under way has happenings left.
bool create_is_under_way(struct ledger *l, uint64_t order_key)
{
    for (unsigned i = 0; i < FLIGHTS_MAX && l->in_flight; i++) {
        const struct flight *f = &flights[i];
        bool will_come = f->left && !f->carried_out && f->fate != FATE_LOST && f->fate != FATE_ERROR_BEFORE;
        if (!will_come || f->call.method != CALL_CREATE || f->call.order_key != order_key) continue;
        const struct trade *t = trade_find(l, f->call.payment_key);
        bool is_over = t && (t->state == TRADE_PAID || t->state == TRADE_CLOSED); // its number makes no other code
        if (!is_over && f->arrives_ms < f->call.expires_ms) return true;
    }
    return false;
}

bool refund_is_under_way(const struct ledger *l)
{
    for (unsigned i = 0; i < FLIGHTS_MAX && l->in_flight; i++)
        if (flights[i].left && flights[i].call.method == CALL_REFUND) return true;
    return false;
}

// --- Notifications

enum notice_kind { TELL_WAITING, TELL_PAID, TELL_CLOSED, TELL_REFUNDED, TELL_OF_REFUND, TELL_STRANGE };

// What is sent along with a notification: trade, kind, attempt. A copy that the network made is not sent again.
#define COPY (UINT64_C(1) << 48)
static unsigned token_trade(uint64_t token)
{
    return (unsigned)(token >> 16 & 0xffff);
}

static uint64_t token_of(unsigned trade, enum notice_kind kind, unsigned attempt)
{
    return (uint64_t)trade << 16 | (uint64_t)kind << 8 | attempt;
}

static void notice_arrives(struct world *w, struct happening *h)
{
    struct ledger *l = w->ledger;
    struct trade *t = &l->trades[token_trade(h->a)];
    enum notice_kind kind = (enum notice_kind)(h->a >> 8 & 0xff);
    struct notice n = {.answer = {.payment_key = t->payment_key,
                                  .channel = t->channel,
                                  .method = CALL_NONE,
                                  .outcome = OUTCOME_DONE,
                                  .asked_ms = w->now_ms}};
    (void)snprintf(n.answer.provider_trade_no, sizeof n.answer.provider_trade_no, "2026%u", token_trade(h->a));
    (void)snprintf(n.number, sizeof n.number, "%llu", (unsigned long long)t->payment_key);
    switch (kind) {
    case TELL_WAITING: n.answer.fact = FACT_WAITING; break;
    case TELL_PAID:
        n.answer.fact = FACT_PAID;
        n.answer.captured_fen = t->captured_fen;
        break;
    case TELL_CLOSED: n.answer.fact = FACT_CLOSED; break;
    case TELL_REFUNDED:
        n.answer.fact = FACT_PAID_AND_REFUNDED;
        n.answer.captured_fen = t->captured_fen;
        n.answer.of_refund = true;
        break;
    case TELL_OF_REFUND: n.answer.of_refund = true; break;
    case TELL_STRANGE:
        n.answer.payment_key = 0;
        (void)snprintf(n.number, sizeof n.number, "stranger%u", (unsigned)h->a);
        break;
    }
    world_tell(w, "%s tells of %s: %s", TRAITS[t->channel].name,
               kind == TELL_STRANGE ? "a stranger" : name_of(w, 'P', t->payment_key),
               n.answer.of_refund ? "a refund" : fact_name(n.answer.fact));
    struct seen_order *o = seen_find(w, t->order_key);
    bool quarter = o && w->now_ms >= o->expires_ms - 1 - w->c.batch_ms && w->now_ms <= o->expires_ms + 1;
    if (kind == TELL_PAID && quarter && o->paid_ms == 0) world_reached(w, SCENE_NOTICE_RACES_DEADLINE);
    if (kind == TELL_PAID && !t->code_told && node_is_up(w->node)) world_reached(w, SCENE_NOTICE_BEFORE_CODE);
    if (kind == TELL_PAID && h->c) world_reached(w, SCENE_NOTICE_REPLAYED);
    bool later_first = (kind == TELL_REFUNDED || kind == TELL_CLOSED) && t->notices > 0 && !t->notice_told;
    if (later_first) world_reached(w, SCENE_NOTICES_REORDERED);
    if (!node_is_up(w->node)) {
        ledger_notice_answered(l, h->a, false);
        return;
    }
    if (kind == TELL_PAID) t->notice_told = true;
    clients_notice(w, &n, kind == TELL_STRANGE ? NOTICE_STRANGE : NOTICE_GOOD, h->a);
}

static void notice_send(struct world *w, struct happening *h)
{
    struct ledger *l = w->ledger;
    struct trade *t = &l->trades[token_trade(h->a)];
    enum notice_kind kind = (enum notice_kind)(h->a >> 8 & 0xff);
    struct stream *s = &w->net;
    if (kind == TELL_PAID) {
        if (t->acked && !h->c) return;
        t->notices++;
    }
    if ((t->mute && kind != TELL_STRANGE) || world_faults(w, FAULT_NOTIFY, s)) {
        ledger_notice_answered(l, h->a, false); // lost on the way
        return;
    }
    int64_t delay_ms = random_between(s, 5, 300);
    if (world_faults(w, FAULT_NOTIFY, s)) delay_ms = random_skewed(s, 100, 300000);
    struct seen_order *o = seen_find(w, t->order_key);
    if (o && o->expires_ms > w->now_ms && world_faults(w, FAULT_NOTIFY, s)) delay_ms = o->expires_ms - w->now_ms;
    world_plan(w, w->now_ms + delay_ms, notice_arrives, h->a, 0, h->c);
    if (!world_faults(w, FAULT_NOTIFY, s)) return;
    unsigned copies = (unsigned)random_skewed(s, 1, 40);
    if (copies >= 5) world_reached(w, SCENE_NOTICE_REPEATED);
    for (unsigned i = 0; i < copies; i++) {
        int64_t late_ms = random_chance(s, 500) ? 0 : random_skewed(s, 0, 60000);
        world_plan(w, w->now_ms + delay_ms + late_ms, notice_arrives, h->a | COPY, 0, 0);
    }
}

static void notice_plan(struct ledger *l, const struct trade *t, enum notice_kind kind, unsigned attempt, bool replay)
{
    if (attempt >= TRAITS[t->channel].n_tells) return;
    int64_t after_ms = replay ? random_between(&l->w->net, 60000, 1200000) : TRAITS[t->channel].tells_ms[attempt];
    world_plan(l->w, l->w->now_ms + after_ms, notice_send, token_of((unsigned)(t - l->trades), kind, attempt), 0,
               replay);
}

void ledger_notice_answered(struct ledger *l, uint64_t token, bool acknowledged)
{
    struct trade *t = &l->trades[token_trade(token)];
    enum notice_kind kind = (enum notice_kind)(token >> 8 & 0xff);
    unsigned attempt = token & 0xff;
    if (acknowledged && world_faults(l->w, FAULT_NOTIFY, &l->w->net)) {
        world_reached(l->w, SCENE_ACK_LOST);
        acknowledged = false;
    }
    if (acknowledged) {
        bool first = kind == TELL_PAID && !t->acked;
        if (kind == TELL_PAID) t->acked = true;
        if (first && !l->w->healing && !l->w->cast && random_chance(&l->w->net, 50)) notice_plan(l, t, kind, 0, true);
        return;
    }
    if ((kind == TELL_PAID && t->acked) || (token & COPY)) return;
    notice_plan(l, t, kind, attempt + 1, false);
}

// --- What calls do

static void say(struct answer *a, enum outcome outcome, enum fact fact, const char *word)
{
    a->outcome = outcome;
    a->fact = fact;
    (void)snprintf(a->detail, sizeof a->detail, "%s", word);
}

static void carry_out_create(struct ledger *l, const struct call *c, struct answer *a)
{
    struct world *w = l->w;
    struct trade *t = trade_make(l, c);
    struct seen_order *o = seen_find(w, c->order_key);
    if (o && o->state >= ORDER_CLOSING) world_reached(w, SCENE_CREATE_AFTER_CLOSING);
    if (!t) {
        say(a, OUTCOME_UNKNOWN, FACT_NONE, "the model is full");
        return;
    }
    trade_age(l, t);
    if (c->amount_fen != t->amount_fen)
        world_violated(w, "number_means_one_thing", "%s was asked for again with another amount",
                       name_of(w, 'P', c->payment_key));
    if (c->expires_ms > t->expires_ms) t->expires_ms = c->expires_ms; // whatever the code says, the worse case
    if (t->state == TRADE_PAID || t->state == TRADE_CLOSED) {
        say(a, OUTCOME_UNKNOWN, FACT_NONE, "TRADE_HAS_SUCCESS");
        return;
    }
    if (w->now_ms >= c->expires_ms) {
        say(a, OUTCOME_REFUSED, FACT_NONE, "INVALID_PARAMETER");
        return;
    }
    if (t->code_ms == 0 && world_faults(w, FAULT_CALLS, &w->net) && random_chance(&w->net, 300)) {
        say(a, OUTCOME_REFUSED, FACT_NONE, "ACCESS_FORBIDDEN");
        return;
    }
    if (t->create_unknown) world_reached(w, SCENE_CREATE_UNKNOWN);
    t->creates++;
    say(a, OUTCOME_DONE, FACT_CODE, "");
    a->code = str_of(TRAITS[t->channel].code);
    if (t->code_ms) return;
    t->code_ms = w->now_ms;
    if (TRAITS[t->channel].code_is_trade) {
        t->state = TRADE_WAITING;
        t->scanned_ms = w->now_ms;
    }
    t->mute = world_faults(w, FAULT_NOTIFY, &w->net);
    clients_code_is_out(w, t);
}

static bool is_stale(struct ledger *l, int64_t changed_ms)
{
    struct world *w = l->w;
    if (changed_ms == 0 || w->now_ms - changed_ms > w->c.stale_ms) return false;
    if (!world_faults(w, FAULT_STALE, &w->net) && !(world_has(w, FAULT_STALE) && random_chance(&w->net, 500)))
        return false;
    world_reached(w, SCENE_STALE_ANSWER);
    return true;
}

static enum fact fact_of_paid(const struct trade *t)
{
    if (TRAITS[t->channel].says_how_much)
        return t->refunded_fen == t->captured_fen ? FACT_PAID_AND_REFUNDED : FACT_PAID;
    return t->refunded_fen + t->refunding_fen > 0 ? FACT_PAID_SOME_REFUNDED : FACT_PAID;
}

static void carry_out_query(struct ledger *l, const struct call *c, struct answer *a)
{
    struct trade *t = trade_find(l, c->payment_key);
    if (t) trade_age(l, t);
    enum trade_state state = t ? t->state : TRADE_NONE;
    if (state == TRADE_PAID && is_stale(l, t->paid_ms)) state = TRADE_WAITING;
    if (state == TRADE_WAITING && is_stale(l, t->scanned_ms)) state = TRADE_NONE;
    struct seen_order *o = seen_find(l->w, c->order_key);
    switch (state) {
    case TRADE_NONE:
        say(a, OUTCOME_DONE, FACT_NOT_FOUND, TRAITS[c->channel].not_found);
        if (t && o && o->state == ORDER_CLOSING && trade_can_be_paid(l, t))
            world_reached(l->w, SCENE_NO_TRADE_CODE_ALIVE);
        break;
    case TRADE_WAITING: say(a, OUTCOME_DONE, FACT_WAITING, "WAIT_BUYER_PAY"); break;
    case TRADE_PAID:
        a->captured_fen = t->captured_fen;
        say(a, OUTCOME_DONE, fact_of_paid(t), TRAITS[t->channel].paid);
        break;
    case TRADE_CLOSED: say(a, OUTCOME_DONE, FACT_CLOSED, "TRADE_CLOSED"); break;
    }
}

static void carry_out_close(struct ledger *l, const struct call *c, struct answer *a)
{
    struct trade *t = trade_find(l, c->payment_key);
    if (t) trade_age(l, t);
    switch (t ? t->state : TRADE_NONE) {
    case TRADE_NONE:
        if (t && l->w->c.close_kills) t->killed = true;
        say(a, OUTCOME_REFUSED, FACT_NOT_FOUND, TRAITS[c->channel].not_found);
        break;
    case TRADE_WAITING:
        if (t->stubborn) {
            say(a, OUTCOME_UNKNOWN, FACT_NONE, "SYSTEM_ERROR");
            break;
        }
        t->state = TRADE_CLOSED;
        t->closed_ms = l->w->now_ms;
        say(a, OUTCOME_DONE, FACT_CLOSED, "");
        if (t->channel == CHANNEL_ALIPAY) notice_plan(l, t, TELL_CLOSED, 0, false);
        break;
    case TRADE_PAID:
        world_reached(l->w, SCENE_PAY_MEETS_CLOSE);
        say(a, OUTCOME_REFUSED, FACT_NONE, "TRADE_STATUS_ERROR");
        break;
    case TRADE_CLOSED: say(a, OUTCOME_REFUSED, FACT_NONE, "TRADE_STATUS_ERROR"); break;
    }
}

static void refund_is_decided(struct ledger *l, struct ledger_refund *f, enum fact fact)
{
    struct trade *t = trade_find(l, f->payment_key);
    bool was_open = f->fact == FACT_REFUND_ACCEPTED || f->fact == FACT_REFUND_ABNORMAL;
    f->fact = fact;
    if (fact == FACT_REFUND_DONE) t->refunded_fen += f->amount_fen;
    if (was_open && (fact == FACT_REFUND_DONE || fact == FACT_REFUND_CLOSED)) t->refunding_fen -= f->amount_fen;
    if (TRAITS[t->channel].refunds_linger)
        notice_plan(l, t, TELL_OF_REFUND, 0, false);
    else if (t->refunded_fen == t->captured_fen)
        notice_plan(l, t, TELL_REFUNDED, 0, false);
}

// The bank has spoken. What is stuck is set right by somebody, or ended, within a day.
static void refund_goes_on(struct world *w, struct happening *h)
{
    struct ledger_refund *f = &w->ledger->refunds[h->a];
    struct stream *s = &w->wallets;
    bool was_stuck = f->fact == FACT_REFUND_ABNORMAL, is_hard = !w->healing && random_chance(s, w->c.hard_refunds);
    enum fact fact = FACT_REFUND_DONE;
    if (is_hard) fact = was_stuck || random_chance(s, 500) ? FACT_REFUND_CLOSED : FACT_REFUND_ABNORMAL;
    refund_is_decided(w->ledger, f, fact);
    world_tell(w, "wechatpay's refund of %s is now: %s", name_of(w, 'P', f->payment_key), fact_name(fact));
    if (fact == FACT_REFUND_ABNORMAL) {
        world_reached(w, SCENE_REFUND_ABNORMAL);
        world_plan(w, w->now_ms + random_skewed(s, 60000, 24 * 3600000), refund_goes_on, h->a, 0, 0);
    }
    if (fact == FACT_REFUND_CLOSED)
        world_reached(w, f->number_key == f->payment_key ? SCENE_REFUND_CLOSED : SCENE_LATER_REFUND_CLOSED);
}

static struct ledger_refund *refund_enter(struct ledger *l, struct trade *t, uint64_t number_key, int64_t amount_fen)
{
    if (l->n_refunds == REFUNDS_MAX) return NULL;
    unsigned i = l->n_refunds++;
    l->refunds[i] = (struct ledger_refund){.number_key = number_key,
                                           .payment_key = t->payment_key,
                                           .amount_fen = amount_fen,
                                           .at_ms = l->w->now_ms,
                                           .asked = 1};
    if (!TRAITS[t->channel].refunds_linger) {
        refund_is_decided(l, &l->refunds[i], FACT_REFUND_DONE);
        return &l->refunds[i];
    }
    l->refunds[i].fact = FACT_REFUND_ACCEPTED;
    t->refunding_fen += amount_fen;
    world_plan(l->w, l->w->now_ms + random_skewed(&l->w->wallets, 500, 7200000), refund_goes_on, i, 0, 0);
    return &l->refunds[i];
}

static void carry_out_cancel(struct ledger *l, const struct call *c, struct answer *a)
{
    struct trade *t = trade_find(l, c->payment_key);
    if (!TRAITS[c->channel].has_cancel)
        world_violated(l->w, "asks_what_there_is", "%s was to be cancelled", name_of(l->w, 'P', c->payment_key));
    if (t) trade_age(l, t);
    if (t && t->state == TRADE_PAID) {
        if (t->refunded_fen < t->captured_fen) {
            world_reached(l->w, SCENE_PROVIDER_REFUND);
            t->by_cancel = true;
            (void)refund_enter(l, t, 0, t->captured_fen - t->refunded_fen);
        }
        a->captured_fen = t->captured_fen;
        say(a, OUTCOME_DONE, FACT_PAID_AND_REFUNDED, "refund");
    } else if (t && t->state == TRADE_WAITING) {
        t->state = TRADE_CLOSED;
        t->closed_ms = l->w->now_ms;
        say(a, OUTCOME_DONE, FACT_CLOSED, "close");
    } else {
        if (t && l->w->c.close_kills && t->state == TRADE_NONE) t->killed = true;
        say(a, OUTCOME_DONE, FACT_NOT_FOUND, "");
    }
}

static void carry_out_refund(struct ledger *l, const struct call *c, struct answer *a)
{
    struct world *w = l->w;
    struct trade *t = trade_find(l, c->payment_key);
    struct ledger_refund *f = refund_find(l, c->number_key, c->payment_key);
    if (f) {
        f->asked++;
        if (f->unheard) world_reached(w, SCENE_REFUND_UNKNOWN);
        if (f->unheard_epoch && f->unheard_epoch != node_epoch(w->node) + 1) world_reached(w, SCENE_CRASH_IN_REFUND);
        if (f->amount_fen != c->amount_fen)
            world_violated(w, "refund_number_means_one_thing", "a refund of %s was repeated with another amount",
                           name_of(w, 'P', c->payment_key));
        say(a, OUTCOME_DONE, TRAITS[t->channel].refunds_linger ? f->fact : FACT_REFUND_ACCEPTED, "fund_change=N");
        return;
    }
    if (!t || t->state != TRADE_PAID || t->refunded_fen + t->refunding_fen + c->amount_fen > t->captured_fen) {
        // The cancel and a refund of the same money may cross each other; what was given by hand nobody knows.
        bool returned = t && (t->by_cancel || t->by_hand_fen > 0);
        if (!returned)
            world_violated(w, "refund_makes_sense",
                           "a refund of %lld of %s, which has captured %lld and given back %lld",
                           (long long)c->amount_fen, name_of(w, 'P', c->payment_key),
                           t ? (long long)t->captured_fen : 0LL, t ? (long long)t->refunded_fen : 0LL);
        say(a, OUTCOME_REFUSED, FACT_NONE, "REFUND_AMT_NOT_EQUAL_TOTAL");
        return;
    }
    if (world_faults(w, FAULT_CALLS, &w->net)) {
        say(a, OUTCOME_REFUSED, FACT_NONE, "SELLER_BALANCE_NOT_ENOUGH");
        return;
    }
    f = refund_enter(l, t, c->number_key, c->amount_fen);
    bool only_accepted = random_chance(&w->net, 200);
    say(a, OUTCOME_DONE, only_accepted || !f ? FACT_REFUND_ACCEPTED : f->fact, "");
}

static void carry_out_refund_query(struct ledger *l, const struct call *c, struct answer *a)
{
    struct ledger_refund *f = refund_find(l, c->number_key, c->payment_key);
    bool known = f && !is_stale(l, f->at_ms);
    say(a, OUTCOME_DONE, known ? f->fact : FACT_REFUND_ABSENT, "");
}

static void carry_out(struct ledger *l, struct flight *f)
{
    struct answer *a = &f->answer;
    switch (f->call.method) {
    case CALL_CREATE: carry_out_create(l, &f->call, a); break;
    case CALL_QUERY: carry_out_query(l, &f->call, a); break;
    case CALL_CLOSE: carry_out_close(l, &f->call, a); break;
    case CALL_CANCEL: carry_out_cancel(l, &f->call, a); break;
    case CALL_REFUND: carry_out_refund(l, &f->call, a); break;
    case CALL_REFUND_QUERY: carry_out_refund_query(l, &f->call, a); break;
    case CALL_NONE: break;
    }
    f->carried_out = true;
    a->provider_ms = l->w->now_ms / 1000 * 1000; // its Date header
    world_tell(l->w, "%s carries out %s of %s: %s %s %s", TRAITS[f->call.channel].name,
               call_method_name(f->call.method), name_of(l->w, 'P', f->call.payment_key), outcome_name(a->outcome),
               fact_name(a->fact), a->detail);
}

// --- The way there and back

static void flight_part_ends(struct ledger *l, struct flight *f)
{
    if (--f->left > 0) return;
    free_flights[n_free_flights++] = (unsigned)(f - flights);
    l->in_flight--;
}

static void call_arrives(struct world *w, struct happening *h)
{
    struct flight *f = &flights[h->a];
    if (f->fate != FATE_LOST && f->fate != FATE_ERROR_BEFORE) carry_out(w->ledger, f);
    flight_part_ends(w->ledger, f);
}

// The node does not hear what was done: what it asked for may have happened.
static void note_unheard(struct ledger *l, const struct flight *f)
{
    if (!f->carried_out) return;
    if (f->call.method == CALL_CREATE) {
        struct trade *t = trade_find(l, f->call.payment_key);
        if (t && t->code_ms) t->create_unknown = true;
    } else if (f->call.method == CALL_REFUND) {
        struct ledger_refund *r = refund_find(l, f->call.number_key, f->call.payment_key);
        if (!r) return;
        r->unheard = true;
        r->unheard_epoch = f->epoch + 1;
    }
}

static void call_is_answered(struct world *w, struct happening *h)
{
    struct ledger *l = w->ledger;
    struct flight *f = &flights[h->a];
    bool good = f->carried_out && f->in_time && f->fate == FATE_WELL;
    bool alive = f->epoch == node_epoch(w->node) && node_is_up(w->node);
    struct seen_order *o = seen_find(w, f->call.order_key);
    if (!good) {
        say(&f->answer, OUTCOME_UNKNOWN, FACT_NONE, f->fate == FATE_GARBAGE ? "garbage" : "timeout");
        f->answer.code = (struct str){0};
        f->answer.captured_fen = 0;
        if (f->fate == FATE_GARBAGE) world_reached(w, SCENE_GARBAGE);
        bool closes = f->call.method == CALL_CLOSE || f->call.method == CALL_QUERY;
        if (closes && o && o->state == ORDER_CLOSING) world_reached(w, SCENE_CLOSE_ERROR);
    }
    if (!good || !alive) note_unheard(l, f);
    if (alive) {
        struct trade *t = trade_find(l, f->call.payment_key);
        if (t && good && f->call.method == CALL_CREATE) t->code_told = true;
        f->answer.took_ms = w->now_ms - f->asked_ms;
        world_tell(w, "till hears of its %s of %s: %s %s", call_method_name(f->call.method),
                   name_of(w, 'P', f->call.payment_key), outcome_name(f->answer.outcome), fact_name(f->answer.fact));
        node_answer(w->node, &f->answer);
    }
    flight_part_ends(l, f);
}

static enum fate draw_fate(struct world *w, enum channel_id channel)
{
    if (w->ledger->unreachable >> channel & 1) return FATE_LOST;
    if (!world_faults(w, FAULT_CALLS, &w->net)) return FATE_WELL;
    static const enum fate bad[] = {FATE_LOST,         FATE_LOST,        FATE_ANSWER_LOST, FATE_ANSWER_LOST,
                                    FATE_ERROR_BEFORE, FATE_ERROR_AFTER, FATE_GARBAGE,     FATE_WELL};
    return bad[random_below(&w->net, sizeof bad / sizeof bad[0])];
}

// A packet may hang somewhere for minutes after its sender gave up. Not a refund: a provider does not carry out what
// its own front end gave up long ago, and a refund under a number that was answered "none" three times is offered anew.
static int64_t draw_way_ms(struct world *w, enum call_method method)
{
    int64_t most_ms = w->c.rules.call_deadline_ms * (method == CALL_CANCEL ? 2 : 3) / 2;
    if (!world_faults(w, FAULT_CALLS, &w->net)) return random_between(&w->net, 1, 400);
    if (method == CALL_CREATE && random_chance(&w->net, 500)) return random_skewed(&w->net, 1000, 900000);
    return random_skewed(&w->net, 100, most_ms);
}

// An answer that hangs: a little, or just not long enough to be given up.
static int64_t draw_delay_ms(struct world *w)
{
    int64_t most_ms = w->c.rules.call_deadline_ms;
    if (random_chance(&w->net, 500)) return random_skewed(&w->net, 100, most_ms);
    return random_between(&w->net, most_ms / 2, most_ms);
}

static bool model_submit(struct channel *c, const struct call *call, struct str subject, int64_t node_ms)
{
    struct ledger *l = ((struct provider *)c)->ledger;
    struct world *w = l->w;
    (void)subject;
    if (!node_is_up(w->node)) return false; // a turn that died lets nothing out
    if (call->method == CALL_CREATE) checker_sees_create(w, call->order_key, call->payment_key);
    if (n_free_flights == 0) return false;
    if (world_faults(w, FAULT_CALLS, &w->net) && random_chance(&w->net, 100)) return false; // no room in the channel
    unsigned i = free_flights[--n_free_flights];
    struct flight *f = &flights[i];
    *f = (struct flight){.call = *call,
                         .epoch = node_epoch(w->node),
                         .asked_ms = w->now_ms,
                         .node_asked_ms = node_ms,
                         .fate = draw_fate(w, call->channel),
                         .left = 2};
    f->answer = (struct answer){.payment_key = call->payment_key,
                                .refund_key = call->refund_key,
                                .on_demand = call->on_demand,
                                .channel = call->channel,
                                .method = call->method,
                                .asked_ms = node_ms};
    l->in_flight++;
    int64_t deadline_ms = w->now_ms + w->c.rules.call_deadline_ms;
    int64_t there_ms = w->now_ms + draw_way_ms(w, call->method);
    int64_t back_ms = there_ms + random_between(&w->net, 1, 200);
    if (world_faults(w, FAULT_CALLS, &w->net)) back_ms += draw_delay_ms(w);
    bool silent = f->fate == FATE_LOST || f->fate == FATE_ANSWER_LOST;
    f->in_time = back_ms <= deadline_ms;
    f->arrives_ms = there_ms;
    world_tell(w, "till asks: %s of %s", call_method_name(call->method), name_of(w, 'P', call->payment_key));
    struct trade *t = trade_find(l, call->payment_key);
    if (call->method == CALL_CANCEL && t && random_chance(&w->net, 500)) // a buyer who is a moment faster
        clients_pay_at(w, t, random_between(&w->net, w->now_ms, there_ms));
    world_plan(w, there_ms, call_arrives, i, 0, 0);
    world_plan(w, silent || !f->in_time ? deadline_ms : back_ms, call_is_answered, i, 0, 0);
    return true;
}

static enum notice_verdict model_judge(struct channel *c, const struct notice_in *in, struct notice *out)
{
    (void)c, (void)in, (void)out;
    return NOTICE_MALFORMED; // notifications come judged
}

static void model_free(struct channel *c)
{
    (void)c;
}

#define OPS_OF(channel)                                                                                                \
    {                                                                                                                  \
        .id = (channel), .submit = model_submit, .judge = model_judge, .ok_status = 200, .refuse_status = 500,         \
        .fail_status = 500, .reply_type = "text/plain", .ok_body = "success", .fail_body = "fail", .free = model_free  \
    }
static const struct channel_ops OPS[N_CHANNELS] = {
    [CHANNEL_ALIPAY] = OPS_OF(CHANNEL_ALIPAY),
    [CHANNEL_WECHATPAY] = OPS_OF(CHANNEL_WECHATPAY),
};

// --- The buyer's side

bool model_scan(struct ledger *l, struct trade *t)
{
    trade_age(l, t);
    if (t->state == TRADE_WAITING) return trade_can_be_paid(l, t);
    if (!trade_can_be_paid(l, t)) return false;
    t->state = TRADE_WAITING;
    t->scanned_ms = l->w->now_ms;
    t->stubborn = world_faults(l->w, FAULT_CALLS, &l->w->net);
    if (!l->w->cast && random_chance(&l->w->net, 300))
        notice_plan(l, t, TELL_WAITING, TRAITS[t->channel].n_tells - 1, true);
    return true;
}

// The shop's clerk gives some of it back in WeChat Pay's own console, at once and without a word. Nothing here has
// heard of the money yet, and no notification will come.
static void clerk_gives_back(struct ledger *l, struct trade *t)
{
    struct world *w = l->w;
    if (t->channel != CHANNEL_WECHATPAY || !w->c.wallets_on || w->cast || !random_chance(&w->wallets, w->c.by_hand))
        return;
    t->by_hand_fen = random_between(&w->wallets, 1, t->captured_fen);
    t->refunded_fen += t->by_hand_fen;
    t->mute = true;
    world_reached(w, SCENE_SOME_WENT_BACK);
    world_tell(w, "a clerk gives %lld of %s back", (long long)t->by_hand_fen, name_of(w, 'P', t->payment_key));
}

// Long after the order was decided, with nothing broken, and a close would have ended it all that time.
static bool is_closable_late(const struct world *w, const struct trade *t)
{
    const struct seen_order *o = seen_find((struct world *)w, t->order_key);
    if (!o || w->c.faults != 0 || !trade_is_closable(t)) return false;
    int64_t decided_ms = o->closing_ms ? o->closing_ms : o->paid_ms;
    if (o->paid_ms && o->paid_ms < decided_ms) decided_ms = o->paid_ms;
    int64_t slack_ms = w->c.rules.cancel_wait_ms + 2 * w->c.rules.call_deadline_ms + 4 * w->c.batch_ms;
    return decided_ms > 0 && t->scanned_ms < decided_ms && t->code_told && w->now_ms > decided_ms + slack_ms;
}

bool model_pay(struct ledger *l, struct trade *t)
{
    struct world *w = l->w;
    if (t->state == TRADE_PAID) return true;
    if (!model_scan(l, t)) return false;
    t->closable_late = is_closable_late(w, t);
    t->state = TRADE_PAID;
    t->paid_ms = w->now_ms;
    t->captured_fen = t->amount_fen;
    if (t->amount_fen > 1 && world_faults(w, FAULT_AMOUNT, &w->net)) {
        t->captured_fen = random_between(&w->net, 1, t->amount_fen - 1);
        world_reached(w, SCENE_AMOUNT_DIFFERS);
    }
    clerk_gives_back(l, t);
    notice_plan(l, t, TELL_PAID, 0, false);
    if (world_faults(w, FAULT_AMOUNT, &w->net)) {
        world_reached(w, SCENE_UNKNOWN_NUMBER);
        notice_plan(l, t, TELL_STRANGE, 0, false);
    }
    return true;
}

void model_repeat(struct ledger *l, const struct trade *t, int64_t after_ms)
{
    uint64_t token = token_of((unsigned)(t - l->trades), TELL_PAID, 0) | COPY;
    world_plan(l->w, l->w->now_ms + after_ms, notice_arrives, token, 0, 0);
}

void ledger_begin(struct ledger *l, struct world *w)
{
    for (unsigned i = CHANNEL_ALIPAY; i < N_CHANNELS; i++)
        l->provider[i] = (struct provider){{&OPS[i]}, l};
    l->w = w;
    l->n_trades = l->n_refunds = l->in_flight = 0;
    l->unreachable = 0;
    n_free_flights = 0;
    for (unsigned i = FLIGHTS_MAX; i-- > 0;) {
        flights[i].left = 0;
        free_flights[n_free_flights++] = i;
    }
}
