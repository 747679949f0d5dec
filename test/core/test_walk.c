// SPDX-License-Identifier: Apache-2.0
// A random walk through the lives of many orders: a small provider with books of its own, a store that loads
// and writes just what order.h says, buyers, merchants, lost, late, repeated and unknown answers. Every step
// goes before the laws; at the end of every life the world is healed, the order must come to its end, and its
// books must equal the provider's.
//
// The money rules are told here a second time, from the provider's side: what it captured is either the
// order's own or went back in full.
//
// So are the messages, from the side of a broker that keeps half messages and asks about them: it hears nothing, hears
// twice, says nothing, asks about copies it wrote long ago and gives half messages up. Whatever it did, in the end each
// message of the policy was delivered, no other was, and nothing is left pending.
#include "order_fixture.h"

#define STEPS      400000
#define TRADES_MAX 64
#define ROWS_MAX   256
#define CALLS_MAX  64
#define SENDS_MAX  64
#define KEPT_MAX   64
#define COPIES_MAX 400

enum trade_state { TRADE_NONE, TRADE_CODE, TRADE_WAITING, TRADE_PAID, TRADE_CLOSED };

struct given_back { // a refund as the provider knows it
    uint64_t number;
    uint64_t trade_key;
    int64_t amount_fen;
    enum fact fact; // what is said of it: done, accepted, abnormal, or closed, which moved no money
};

struct trade {
    uint64_t key;
    enum channel_id channel;
    enum trade_state state;
    int64_t amount_fen, expires_ms, captured_fen, refunded_fen;
    bool gave_back;           // by itself: over a cancel, or in its console
    int64_t before_known_fen; // of the latter, before anybody here knew of the money
};

struct kept { // a half message as the broker knows it
    struct message message;
    struct half_at copy[COPIES_MAX]; // the last is the one it goes by
    unsigned n_copies;
    uint32_t n_asked;
    bool ended, dropped;
};

struct world {
    uint64_t random;
    struct rules rules;
    int64_t now_ms;
    uint64_t next_key;
    // the store
    struct order order;
    struct half half;
    struct payment payment[TRADES_MAX];
    struct refund refund[ROWS_MAX];
    unsigned n_payments, n_refunds;
    struct stock stock;
    // the provider
    struct trade trade[TRADES_MAX];
    struct given_back given[ROWS_MAX];
    unsigned n_trades, n_given;
    bool healed;
    bool stubborn; // it closes nothing: only a cancel helps
    // under way
    struct call call[CALLS_MAX];
    int64_t asked_ms[CALLS_MAX];
    unsigned n_calls;
    // the broker, and what is on its way there
    struct kept kept[KEPT_MAX];
    unsigned n_kept;
    int64_t log_end;
    uint32_t asks_max;
    struct send send[SENDS_MAX];
    int64_t said_ms[SENDS_MAX];
    unsigned n_sends;
    unsigned delivered[MESSAGE_CANCELLED + 1], to_be_told[MESSAGE_CANCELLED + 1]; // of this life
    unsigned to_receive;                                                          // order.cancel on its way back
    bool committed;                                                               // and the broker's word for it heard
    unsigned long n_commits, n_rollbacks, n_loose, n_dropped, n_refused, n_twice, n_old_asks, n_found, n_plain,
        n_seconds, n_received, n_told_embedded, n_swept;
    unsigned long steps, lives, paid, late, duplicates, mismatches, refunds, reopened, renewed;
    unsigned long by_provider; // refunds nobody here asked for
    unsigned long cancelled_paid, consoles, demanded;
    unsigned long n_pays, n_switches, n_accepted, n_sent_back, n_said_twice, n_some_left, n_closed, n_abnormal, n_hints;
};

static unsigned chance(struct world *w, unsigned n)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (unsigned)((w->random * UINT64_C(0x2545f4914f6cdd1d)) >> 33) % n;
}

// --- The store

static void load(const struct world *w, const struct event *e, struct bundle *b)
{
    memset(b, 0, sizeof *b);
    b->order = w->order;
    b->half = w->half;
    uint64_t payment_key = e->kind == EV_ANSWER || e->kind == EV_NOTICE ? e->answer.payment_key
                           : e->kind == EV_RESOLVE                      ? e->resolve.payment_key
                                                                        : 0;
    uint64_t refund_key = e->kind == EV_ANSWER ? e->answer.refund_key : 0;
    for (unsigned i = 0; i < w->n_payments; i++) {
        const struct payment *p = &w->payment[i];
        bool newest = i + 1 == w->n_payments; // the next attempt counts on from it
        if (!payment_open(p) && p->refunding_fen == 0 && !p->counts && p->key != payment_key && !newest) continue;
        assert_true(b->n_payments < BUNDLE_PAYMENTS);
        b->payment[b->n_payments++] = *p;
    }
    for (unsigned i = 0; i < w->n_refunds; i++) {
        const struct refund *f = &w->refund[i];
        if (f->state != REFUND_PENDING && f->key != refund_key) continue;
        assert_true(b->n_refunds < BUNDLE_REFUNDS);
        b->refund[b->n_refunds++] = *f;
    }
}

static void save(struct world *w, const struct bundle *b, const struct step *out)
{
    if (out->changed) {
        w->order = b->order;
        w->order.version++;
    }
    if (out->half_changed) w->half = b->half;
    for (unsigned i = 0; i < b->n_payments; i++) {
        if (!(out->payments_changed & 1u << i)) continue;
        unsigned k = 0;
        while (k < w->n_payments && w->payment[k].key != b->payment[i].key)
            k++;
        assert_int_equal(k == w->n_payments, !!(out->payments_added & 1u << i));
        assert_true(k < TRADES_MAX);
        w->payment[k] = b->payment[i];
        if (k == w->n_payments) w->n_payments++;
    }
    for (unsigned i = 0; i < b->n_refunds; i++) {
        if (!(out->refunds_changed & 1u << i)) continue;
        unsigned k = 0;
        while (k < w->n_refunds && w->refund[k].key != b->refund[i].key)
            k++;
        assert_int_equal(k == w->n_refunds, !!(out->refunds_added & 1u << i));
        assert_true(k < ROWS_MAX);
        w->refund[k] = b->refund[i];
        if (k == w->n_refunds) w->n_refunds++;
    }
}

// How many rows what goes out did, for the reader of the test's log.
static void count(struct world *w, const struct event *e, const struct bundle *b, const struct step *out)
{
    for (unsigned i = 0; i < out->n_events; i++) {
        w->paid += out->events[i].type == EVENT_ORDER_PAID;
        w->late += out->events[i].type == EVENT_PAYMENT_LATE;
        w->duplicates += out->events[i].type == EVENT_PAYMENT_DUPLICATE;
        w->mismatches += out->events[i].type == EVENT_PAYMENT_MISMATCH;
        w->refunds += out->events[i].type == EVENT_REFUND_SUCCEEDED;
    }
    w->reopened += out->stock == STOCK_RETAKE;
    w->renewed += out->payments_added && w->n_payments > 1;
    for (unsigned i = 0; i < b->n_refunds; i++)
        w->by_provider += (out->refunds_added & 1u << i) && b->refund[i].cause == CAUSE_PROVIDER;
    for (unsigned i = 0; i < out->n_calls; i++)
        w->n_hints += e->kind == EV_NOTICE && out->calls[i].method == CALL_REFUND_QUERY;
    if (e->kind == EV_RESOLVE) {
        w->n_said_twice += out->refusal == REFUSAL_RESOLVED;
        if (out->refusal == REFUSAL_NONE) (e->resolve.accepts ? w->n_accepted++ : w->n_sent_back++);
    }
    if (e->kind == EV_PAY) {
        w->n_pays += out->payments_added > 0;
        w->n_switches += out->payments_added > 0 && b->n_payments > 1;
    }
}

static enum message_type told_by(const struct order *o, enum event_type type)
{
    bool forward = o->policy == POLICY_FORWARD;
    if (type == EVENT_ORDER_CLOSING) return forward ? MESSAGE_TYPE_0 : MESSAGE_CANCEL;
    if (type == EVENT_ORDER_PAID) return forward ? MESSAGE_PAID : MESSAGE_TYPE_0;
    return type == EVENT_ORDER_CANCELLED && forward ? MESSAGE_CANCELLED : MESSAGE_TYPE_0;
}

static void deliver(struct world *w, const struct message *m)
{
    assert_true(w->to_be_told[m->type] > 0); // and not before it is so
    assert_int_equal(m->order_key, w->order.key);
    w->delivered[m->type]++;
    w->to_receive += m->type == MESSAGE_CANCEL;
}

static void messages_go_out(struct world *w, const struct bundle *before, const struct event *e,
                            const struct bundle *after, const struct step *out)
{
    const struct half *was = &before->half, *is = &after->half;
    for (unsigned i = 0; i < out->n_events; i++)
        w->to_be_told[told_by(&after->order, out->events[i].type)]++;
    for (unsigned i = 0; i < out->n_messages; i++)
        deliver(w, &out->messages[i]);
    w->n_told_embedded += out->n_messages;
    bool ended = (was->owes & OWES_END) && !(is->owes & OWES_END);
    w->n_refused += ended && e->sent.outcome == OUTCOME_REFUSED && was->answer == ANSWER_COMMIT;
    w->n_commits += ended && is->answer == ANSWER_COMMIT;
    w->n_rollbacks += ended && is->answer == ANSWER_ROLLBACK;
    w->n_found += was->state == HALF_UNSENT && was->answer != ANSWER_NONE && is->state == HALF_PENDING;
    if (ended && is->answer == ANSWER_COMMIT) {
        assert_false(w->committed);
        w->committed = true;
    }
    for (unsigned i = 0; i < out->n_sends; i++) {
        const struct send *s = &out->sends[i];
        bool tells = s->kind == SEND_MAIN || (s->kind == SEND_END && s->answer == ANSWER_COMMIT);
        assert_false(w->committed && tells); // it was heard
        w->n_loose += s->is_loose;
        w->n_plain += s->kind == SEND_MAIN;
        w->n_seconds += s->kind == SEND_SECOND;
        if (w->n_sends == SENDS_MAX) continue; // no room: never said
        w->send[w->n_sends] = *s;
        w->said_ms[w->n_sends++] = w->now_ms;
    }
}

static void happen(struct world *w, struct event e)
{
    struct bundle before, b;
    struct step out;
    e.now_ms = w->now_ms;
    e.fresh_key = w->next_key;
    w->next_key += EVENT_FRESH_KEYS;
    load(w, &e, &before);
    for (unsigned again = 0; again < 2; again++) {
        memcpy(&b, &before, sizeof b);
        core_step(&w->rules, &b, &e, &out);
        struct stock stock = w->stock;
        if (stock_apply(&stock, out.stock, 1)) {
            w->stock = stock;
            break;
        }
        assert_int_equal(out.stock, STOCK_RETAKE); // only what was released can be gone
        assert_false(e.stock_is_short);
        e.stock_is_short = true;
    }
    const char *broken = step_law(&w->rules, &before, &e, &b, &out);
    if (broken) fail_msg("%s (life %lu, step %lu, event %d)", broken, w->lives, w->steps, e.kind);
    save(w, &b, &out);
    messages_go_out(w, &before, &e, &b, &out);
    count(w, &e, &b, &out);
    for (unsigned i = 0; i < out.n_calls && w->n_calls < CALLS_MAX; i++) { // no room: never sent
        w->call[w->n_calls] = out.calls[i];
        w->asked_ms[w->n_calls++] = w->now_ms;
    }
    w->steps++;
}

// --- The provider

static struct trade *trade_of(struct world *w, const struct call *c)
{
    for (unsigned i = 0; i < w->n_trades; i++)
        if (w->trade[i].key == c->payment_key) return &w->trade[i];
    assert_true(w->n_trades < TRADES_MAX);
    w->trade[w->n_trades] = (struct trade){.key = c->payment_key, .channel = c->channel, .amount_fen = c->amount_fen};
    return &w->trade[w->n_trades++];
}

static void say(struct answer *a, enum outcome outcome, enum fact fact)
{
    a->outcome = outcome;
    a->fact = fact;
}

// WeChat Pay says that some of it went back, and never that all of it did.
static void say_money(struct answer *a, const struct trade *t)
{
    bool gone = t->refunded_fen == t->captured_fen, touched = t->refunded_fen > 0;
    bool is_wechat = t->channel == CHANNEL_WECHATPAY;
    say(a, OUTCOME_DONE, touched && is_wechat ? FACT_PAID_SOME_REFUNDED : gone ? FACT_PAID_AND_REFUNDED : FACT_PAID);
    a->captured_fen = t->captured_fen;
}

static void provider_creates(struct world *w, struct trade *t, const struct call *c, struct answer *a)
{
    if (t->state == TRADE_NONE && (w->now_ms >= c->expires_ms || (!w->healed && chance(w, 20) == 0))) {
        say(a, OUTCOME_REFUSED, FACT_NONE);
        return;
    }
    if (t->state == TRADE_NONE) {
        t->state = t->channel == CHANNEL_WECHATPAY ? TRADE_WAITING : TRADE_CODE; // a code of Alipay's is no trade yet
        t->expires_ms = c->expires_ms;
    }
    say(a, OUTCOME_DONE, FACT_CODE);
}

static void provider_closes(const struct world *w, struct trade *t, struct answer *a)
{
    bool waiting = t->state == TRADE_WAITING && !(w->stubborn && t->channel == CHANNEL_ALIPAY);
    say(a, waiting ? OUTCOME_DONE : OUTCOME_REFUSED,
        waiting                  ? FACT_CLOSED
        : t->state <= TRADE_CODE ? FACT_NOT_FOUND
                                 : FACT_NONE);
    if (waiting) t->state = TRADE_CLOSED;
}

static void provider_tells(const struct trade *t, struct answer *a)
{
    static const enum fact TOLD_AS[] = {FACT_NOT_FOUND, FACT_NOT_FOUND, FACT_WAITING, FACT_PAID, FACT_CLOSED};
    if (t->state == TRADE_PAID)
        say_money(a, t);
    else
        say(a, OUTCOME_DONE, TOLD_AS[t->state]);
}

static struct given_back *given_find(struct world *w, uint64_t number)
{
    for (unsigned i = 0; i < w->n_given; i++)
        if (w->given[i].number == number) return &w->given[i];
    return NULL;
}

// WeChat Pay ends some without moving money (whose number is spent then), and some stay stuck until somebody acts.
static void refund_goes_on(struct world *w, struct trade *t, struct given_back *g)
{
    if (g->fact == FACT_REFUND_DONE || g->fact == FACT_REFUND_CLOSED) return;
    bool is_hard = t->channel == CHANNEL_WECHATPAY && !w->healed;
    if (is_hard && chance(w, 4) == 0) {
        g->fact = FACT_REFUND_CLOSED;
        t->refunded_fen -= g->amount_fen;
        w->n_closed++;
    } else if (is_hard && chance(w, 3) == 0) {
        w->n_abnormal += g->fact != FACT_REFUND_ABNORMAL;
        g->fact = FACT_REFUND_ABNORMAL;
    } else if (w->healed || chance(w, 2)) {
        g->fact = FACT_REFUND_DONE;
    }
}

static void provider_refunds(struct world *w, struct trade *t, const struct call *c, struct answer *a)
{
    struct given_back *g = given_find(w, c->number_key);
    if (g) assert_int_equal(g->amount_fen, c->amount_fen); // one number, one amount
    if (!g && c->method == CALL_REFUND_QUERY) {
        say(a, OUTCOME_DONE, FACT_REFUND_ABSENT);
        return;
    }
    if (!g) {
        bool over = t->refunded_fen + c->amount_fen > t->captured_fen;
        if (over) assert_true(t->gave_back); // without its own doing it is never asked for more than is there
        if (over || (!w->healed && chance(w, 4) == 0)) {
            say(a, OUTCOME_REFUSED, FACT_NONE);
            return;
        }
        assert_true(w->n_given < ROWS_MAX);
        g = &w->given[w->n_given++];
        *g = (struct given_back){c->number_key, t->key, c->amount_fen, FACT_REFUND_ACCEPTED};
        t->refunded_fen += c->amount_fen;
    }
    refund_goes_on(w, t, g);
    say(a, OUTCOME_DONE, g->fact);
}

static void provider_gives_back(struct trade *t)
{
    t->refunded_fen = t->captured_fen;
    t->gave_back = true;
}

static void buyer_pays(struct world *w, struct trade *t)
{
    t->state = TRADE_PAID;
    t->captured_fen = t->amount_fen + (chance(w, 12) == 0);
}

// A cancel that finds the trade paid sends the money back.
static void provider_cancels(struct world *w, struct trade *t, struct answer *a)
{
    assert_int_equal(t->channel, CHANNEL_ALIPAY);                         // the other has none
    if (t->state == TRADE_WAITING && chance(w, 3) == 0) buyer_pays(w, t); // a moment before
    if (t->state == TRADE_WAITING) t->state = TRADE_CLOSED;
    if (t->state == TRADE_PAID) {
        provider_gives_back(t);
        w->cancelled_paid++;
    }
    provider_tells(t, a);
}

// Does as it is told, and says so in `a`.
static void provider_does(struct world *w, const struct call *c, struct answer *a)
{
    struct trade *t = trade_of(w, c);
    switch (c->method) {
    case CALL_CREATE: provider_creates(w, t, c, a); break;
    case CALL_QUERY: provider_tells(t, a); break;
    case CALL_CLOSE: provider_closes(w, t, a); break;
    case CALL_CANCEL: provider_cancels(w, t, a); break;
    case CALL_REFUND:
    case CALL_REFUND_QUERY: provider_refunds(w, t, c, a); break;
    case CALL_NONE: fail();
    }
}

// --- The broker

static struct half_at copy_write(struct world *w, struct kept *k)
{
    assert_true(k->n_copies < COPIES_MAX);
    w->log_end += 100 + chance(w, 900);
    k->copy[k->n_copies++] = (struct half_at){"broker-a", w->log_end, k->n_copies};
    return k->copy[k->n_copies - 1];
}

static enum outcome broker_keeps(struct world *w, struct send *s)
{
    if (w->n_kept == KEPT_MAX) return OUTCOME_REFUSED;
    struct kept *k = &w->kept[w->n_kept++];
    k->message = s->message;
    k->n_copies = 0;
    k->n_asked = 0;
    k->ended = k->dropped = false;
    s->at = copy_write(w, k);
    return OUTCOME_DONE;
}

static bool lies_at(const struct half_at *a, const struct half_at *b)
{
    return a->commit_log_offset == b->commit_log_offset && strcmp(a->broker, b->broker) == 0;
}

// Commits whatever copy it is shown, as often as it is; only the newest one's end ends the asking.
static enum outcome broker_ends(struct world *w, const struct send *s)
{
    for (unsigned i = 0; i < w->n_kept; i++) {
        struct kept *k = &w->kept[i];
        for (unsigned c = 0; c < k->n_copies && !k->dropped; c++) {
            if (!lies_at(&k->copy[c], &s->at)) continue;
            if (s->answer == ANSWER_COMMIT) deliver(w, &k->message);
            k->ended |= c + 1 == k->n_copies;
            return OUTCOME_DONE;
        }
    }
    return OUTCOME_REFUSED;
}

static enum outcome broker_hears(struct world *w, struct send *s)
{
    if (!w->healed && chance(w, 12) == 0) return OUTCOME_UNKNOWN; // busy; an end is not refused for that
    if (s->kind == SEND_HALF) return broker_keeps(w, s);
    if (s->kind == SEND_END) return broker_ends(w, s);
    deliver(w, &s->message);
    return OUTCOME_DONE;
}

static void send_ends(struct world *w, unsigned i, unsigned luck)
{
    struct send s = w->send[i];
    enum outcome outcome = OUTCOME_UNKNOWN;
    w->send[i] = w->send[--w->n_sends];
    w->said_ms[i] = w->said_ms[w->n_sends];
    if (luck == 3) (void)broker_hears(w, &s); // the wire says it twice
    if (luck > 0) outcome = broker_hears(w, &s);
    if (luck == 1) outcome = OUTCOME_UNKNOWN;
    if (s.is_loose || luck == 2) return; // nobody waits, or our process died
    struct event e = {.kind = EV_SENT, .sent = {s.kind, outcome, s.at}};
    happen(w, e);
    if (luck != 3) return;
    happen(w, e); // and the word comes twice
    w->n_twice++;
}

static void one_send(struct world *w)
{
    if (w->n_sends == 0) return;
    unsigned i = chance(w, w->n_sends);
    send_ends(w, i, w->healed ? 9 : chance(w, 12));
}

// Another copy is written and asked about, if the question arrives; sometimes one arrives that was asked long ago.
static void broker_asks(struct world *w, struct kept *k)
{
    bool done = k->ended || k->dropped;
    unsigned c = k->n_copies - 1;
    if (!done && !w->healed && k->n_asked >= w->asks_max) {
        k->dropped = true;
        w->n_dropped++;
        return;
    }
    if (!done) {
        k->n_asked++;
        (void)copy_write(w, k);
        c++;
        if (!w->healed && chance(w, 5) == 0) return; // to nobody
    }
    if (!w->healed && chance(w, 3) == 0) {
        c = chance(w, k->n_copies);
        w->n_old_asks++;
    }
    happen(w, (struct event){.kind = EV_CHECKBACK, .checkback = {k->copy[c], k->n_asked}});
}

static void a_check_back(struct world *w)
{
    if (w->n_kept > 0) broker_asks(w, &w->kept[chance(w, w->n_kept)]);
}

static void order_cancel_comes_round(struct world *w)
{
    if (w->to_receive == 0) return;
    if (w->healed || chance(w, 5)) w->to_receive--; // else it will come again
    happen(w, (struct event){.kind = EV_RECEIVED});
    w->n_received++;
}

static void nothing_is_left_pending(struct world *w)
{
    for (unsigned i = 0; i < w->n_kept; i++) {
        struct kept *k = &w->kept[i];
        if (!k->ended && !k->dropped) broker_asks(w, k);
        while (w->n_sends > 0)
            one_send(w);
        assert_true(k->ended || k->dropped);
    }
    assert_int_equal(w->half.owes, 0);
    assert_true(w->order.due_ms == TIME_NEVER);
}

static void all_was_delivered(const struct world *w)
{
    bool main_told = w->to_be_told[MESSAGE_CANCEL] || w->to_be_told[MESSAGE_PAID];
    for (enum message_type t = MESSAGE_CANCEL; t <= MESSAGE_CANCELLED; t++) {
        assert_int_equal(w->delivered[t] > 0, w->to_be_told[t] > 0);
        if (w->rules.broker == BROKER_EMBEDDED) assert_int_equal(w->delivered[t], w->to_be_told[t]);
    }
    if (w->committed) assert_true(main_told);
    if (w->half.state != HALF_NONE && main_told) assert_int_equal(w->half.answer == ANSWER_COMMIT, w->committed);
}

// --- What happens

static void answer_to(struct world *w, unsigned i, unsigned luck)
{
    struct call c = w->call[i];
    struct event e = {
        .kind = EV_ANSWER,
        .answer = {.payment_key = c.payment_key,
                   .refund_key = c.refund_key,
                   .channel = c.channel,
                   .method = c.method,
                   .outcome = OUTCOME_UNKNOWN,
                   .asked_ms = w->asked_ms[i],
                   .on_demand = c.on_demand},
    };
    w->demanded += c.on_demand;
    w->call[i] = w->call[--w->n_calls];
    w->asked_ms[i] = w->asked_ms[w->n_calls];
    if (luck > 0) provider_does(w, &c, &e.answer);     // else lost on the way there
    if (luck == 1) e.answer.outcome = OUTCOME_UNKNOWN; // lost on the way back, whatever it did
    if (luck == 1) e.answer.fact = FACT_NONE;
    if (luck != 2) happen(w, e); // else our process died over it
}

static void one_answer(struct world *w)
{
    if (w->n_calls == 0) return;
    unsigned i = chance(w, w->n_calls); // drawn one by one: arguments have no order of their own
    unsigned luck = w->healed ? 9 : chance(w, 10);
    answer_to(w, i, luck);
}

// Time goes on; a call that reaches its deadline is answered by it: unknown.
static void time_goes_on(struct world *w, int64_t to_ms)
{
    for (unsigned i = 0; i < w->n_calls;) {
        int64_t deadline_ms = w->asked_ms[i] + w->rules.call_deadline_ms;
        if (deadline_ms > to_ms) {
            i++;
            continue;
        }
        if (deadline_ms > w->now_ms) w->now_ms = deadline_ms;
        answer_to(w, i, chance(w, 2));
        i = 0;
    }
    for (unsigned i = 0; i < w->n_sends;) {
        if (w->said_ms[i] + w->rules.call_deadline_ms > to_ms)
            i++;
        else
            send_ends(w, i, chance(w, 2)); // nobody heard, or nobody heard that it was heard
    }
    if (to_ms > w->now_ms) w->now_ms = to_ms;
}

static void a_buyer(struct world *w)
{
    if (w->n_trades == 0) return;
    struct trade *t = &w->trade[chance(w, w->n_trades)];
    if (t->state == TRADE_CODE && w->now_ms < t->expires_ms) t->state = TRADE_WAITING;
    if (t->state == TRADE_WAITING && chance(w, 2)) buyer_pays(w, t); // sometimes even after the code's end: it lags
}

// Sometimes an old one: paid, though all of it went back since.
static void notice_of(struct world *w, const struct trade *t, bool old)
{
    if (t->state != TRADE_PAID) return;
    struct event e = {.kind = EV_NOTICE, .answer = {.payment_key = t->key}};
    say_money(&e.answer, t);
    if (old && t->before_known_fen == 0) e.answer.fact = FACT_PAID;
    happen(w, e);
}

// Something became of a refund, and no more is said.
static void a_refund_notice(struct world *w)
{
    if (w->n_given == 0) return;
    const struct given_back *g = &w->given[chance(w, w->n_given)];
    happen(w, (struct event){.kind = EV_NOTICE,
                             .answer = {.payment_key = g->trade_key, .outcome = OUTCOME_DONE, .of_refund = true}});
}

static void a_notice(struct world *w)
{
    if (w->n_trades == 0) return;
    unsigned i = chance(w, w->n_trades);
    notice_of(w, &w->trade[i], chance(w, 3) == 0);
}

static const struct payment *payment_of(const struct world *w, uint64_t key)
{
    for (unsigned i = 0; i < w->n_payments; i++)
        if (w->payment[i].key == key) return &w->payment[i];
    return NULL;
}

// Somebody gives money back by hand, over there. WeChat Pay never says how much, so what is in the books already can
// only be set right by its bill: here it happens before.
static void the_console(struct world *w)
{
    if (w->n_trades == 0) return;
    struct trade *t = &w->trade[chance(w, w->n_trades)];
    if (t->state != TRADE_PAID || t->refunded_fen == t->captured_fen) return;
    if (t->channel == CHANNEL_WECHATPAY) {
        if (payment_of(w, t->key)->captured_fen > 0 || t->before_known_fen > 0) return;
        t->before_known_fen = 1 + chance(w, (unsigned)(t->captured_fen - t->refunded_fen));
        t->refunded_fen += t->before_known_fen;
        t->gave_back = true;
        w->n_some_left++;
        return;
    }
    provider_gives_back(t);
    w->consoles++;
}

// --- Wallets and words

static void somebody_wants_to_pay(struct world *w)
{
    happen(w, (struct event){.kind = EV_PAY,
                             .pay = {.channel = CHANNEL_ALIPAY + chance(w, 2),
                                     .product = chance(w, 4) ? PRODUCT_QR : PRODUCT_WAP,
                                     .by_buyer = chance(w, 2),
                                     .payer = STR("somebody")}});
}

// Mostly about money that waits for it. Of money some of which had gone he looks up how much, and sends nothing back.
static void an_operator(struct world *w)
{
    if (w->n_payments == 0) return;
    const struct payment *p = &w->payment[chance(w, w->n_payments)];
    bool accepts = chance(w, 2);
    for (unsigned i = 0; i < w->n_payments && p->word != WORD_AWAITED && chance(w, 8); i++)
        p = &w->payment[i];
    for (unsigned i = 0; i < w->n_trades; i++)
        accepts |= w->trade[i].key == p->key && w->trade[i].before_known_fen > 0;
    struct event e = {.kind = EV_RESOLVE, .resolve = {p->key, accepts}};
    happen(w, e);
    if (chance(w, 3)) return;
    e.resolve.accepts ^= p->word != WORD_AWAITED && chance(w, 2); // a colleague of his, a moment later
    happen(w, e);
}

static void the_timer(struct world *w)
{
    if (w->order.due_ms == TIME_NEVER) return;
    time_goes_on(w, w->order.due_ms + (w->healed ? 0 : chance(w, 3) * 500));
    bool swept = chance(w, 5) == 0; // the timer did not ring
    w->n_swept += swept && w->order.due_ms <= w->now_ms;
    happen(w, (struct event){.kind = swept ? EV_SWEEP : EV_DUE});
}

static void something(struct world *w)
{
    unsigned what = chance(w, 138);
    if (what >= 135)
        somebody_wants_to_pay(w);
    else if (what >= 132)
        an_operator(w);
    else if (what >= 130)
        a_refund_notice(w);
    else if (what >= 118)
        one_send(w);
    else if (what >= 108)
        a_check_back(w);
    else if (what >= 102)
        order_cancel_comes_round(w);
    else if (what >= 100)
        happen(w, (struct event){.kind = EV_SWEEP});
    else if (what < 40)
        one_answer(w);
    else if (what < 55)
        the_timer(w);
    else if (what < 70)
        a_buyer(w);
    else if (what < 80)
        a_notice(w);
    else if (what < 90)
        time_goes_on(w, w->now_ms + chance(w, 5000));
    else if (what < 92)
        happen(w, (struct event){.kind = EV_CANCEL, .cancel = {REASON_BUYER + chance(w, 2)}});
    else if (what < 94)
        happen(w, (struct event){.kind = EV_CHECK});
    else if (what < 95)
        happen(w, (struct event){.kind = EV_LATE_REPLY});
    else if (what < 96)
        the_console(w);
    else
        happen(w, (struct event){.kind = EV_REFUND, .refund = {chance(w, 2) ? 0 : 1 + chance(w, 700)}});
}

// What somebody gave back over there, before it was known here, nobody said how much: the rest is in the books.
static void one_trade_agrees(const struct world *w, const struct trade *t, const struct payment *p)
{
    assert_int_equal(p->refunded_fen, t->refunded_fen - t->before_known_fen);
    assert_int_equal(p->refunding_fen, 0);
    if (p->counts && w->order.state == ORDER_PAID)
        assert_int_equal(w->order.refunded_fen, p->refunded_fen);
    else if (p->word == WORD_AWAITED)
        assert_int_equal(p->refunded_fen, 0); // else it would not be held any more
    else
        assert_int_equal(p->refunded_fen, p->captured_fen);
}

static void the_books_agree(const struct world *w)
{
    unsigned own = 0;
    for (unsigned i = 0; i < w->n_trades; i++) {
        const struct trade *t = &w->trade[i];
        const struct payment *p = payment_of(w, t->key);
        assert_non_null(p);
        if (p->captured_fen != t->captured_fen) fail_msg("a capture went unnoticed (life %lu)", w->lives);
        assert_true(t->state != TRADE_WAITING);
        one_trade_agrees(w, t, p);
        own += p->counts && w->order.state == ORDER_PAID;
    }
    assert_int_equal(own, w->order.state == ORDER_PAID);
}

static void all_is_told(struct world *w)
{
    for (unsigned i = 0; i < w->n_trades; i++)
        notice_of(w, &w->trade[i], false);
}

static void heal_and_settle(struct world *w)
{
    bool comes_round = chance(w, 2);
    w->healed = true;
    for (unsigned i = 0; i < 3 && chance(w, 2); i++)
        an_operator(w);
    for (unsigned i = 0; i < 2000 && (w->n_calls > 0 || w->n_sends > 0 || w->order.due_ms != TIME_NEVER); i++) {
        if (i % 50 == 49)
            all_is_told(w); // a notice is repeated until it is heard
        else if (w->n_sends > 0)
            one_send(w);
        else if (comes_round && w->to_receive > 0)
            order_cancel_comes_round(w);
        else if (w->n_calls > 0)
            one_answer(w);
        else
            the_timer(w);
    }
    assert_true(w->order.due_ms == TIME_NEVER);
    all_is_told(w);
    assert_true(w->order.state == ORDER_PAID || w->order.state == ORDER_CANCELLED);
    assert_int_equal(w->stock.held, 0);
    assert_int_equal(w->stock.sold, w->order.state == ORDER_PAID);
    the_books_agree(w);
    nothing_is_left_pending(w);
    while (w->to_receive > 0)
        order_cancel_comes_round(w);
    all_was_delivered(w);
    if (chance(w, 3) == 0) return;
    uint32_t version = w->order.version;
    for (unsigned i = 0; i < w->n_payments; i++)
        a_notice(w); // and what is told again is known
    assert_int_equal(w->order.version, version);
    the_books_agree(w);
}

static void one_life(struct world *w)
{
    static const int64_t WINDOWS_MS[] = {SECOND_MS, 30 * SECOND_MS, WINDOW_MS, 6 * MINUTE_MS};
    w->n_payments = w->n_refunds = w->n_trades = w->n_given = w->n_calls = 0;
    w->n_kept = w->n_sends = w->to_receive = 0;
    w->committed = false;
    memset(&w->half, 0, sizeof w->half);
    memset(w->delivered, 0, sizeof w->delivered);
    memset(w->to_be_told, 0, sizeof w->to_be_told);
    w->asks_max = 2 + chance(w, 14);
    w->rules.broker = chance(w, 3) ? BROKER_REMOTE : BROKER_EMBEDDED;
    w->rules.cancel_wait_ms = chance(w, 3) ? 5 * SECOND_MS : 0;
    w->healed = false;
    w->stubborn = chance(w, 8) == 0;
    w->stock = (struct stock){1, 0, 0};
    w->rules.release = (enum release)chance(w, 2);
    w->rules.late_payment = (enum late_payment)chance(w, 3);
    w->rules.checkback.schedule = (enum schedule)chance(w, 2);
    w->rules.checkback.max = chance(w, 4) ? 0 : 4;
    int64_t window_ms = WINDOWS_MS[chance(w, 4)]; // likewise one by one
    enum policy policy = (enum policy)chance(w, 4);
    static const enum channel_id CHANNELS[] = {CHANNEL_ALIPAY, CHANNEL_ALIPAY, CHANNEL_WECHATPAY, CHANNEL_ANY};
    enum channel_id channel = CHANNELS[chance(w, 4)];
    w->order = (struct order){
        .key = w->next_key++,
        .channel = channel,
        .policy = policy,
        .holds_stock = true,
        .amount_fen = PRICE_FEN,
        .expires_ms = w->now_ms + window_ms,
    };
    happen(w, (struct event){.kind = EV_PLACE});
    for (unsigned n = 20 + chance(w, w->stubborn ? 400 : 120); n > 0; n--) {
        something(w);
        // somebody else buys the last unit, so that reopening finds none
        if (w->stock.available > 0 && chance(w, 40) == 0) w->stock.available = 0;
    }
    heal_and_settle(w);
    w->lives++;
}

static void whatever_happens_the_books_agree_in_the_end(void **state)
{
    (void)state;
    struct world *w = test_calloc(1, sizeof *w);
    struct desk d;
    desk_clear(&d);
    w->rules = d.rules;
    w->rules.code_max_life_ms = 2 * MINUTE_MS; // so that ordinary windows renew their codes
    w->random = 20261123;
    w->now_ms = T0_MS;
    w->next_key = FIRST_KEY;
    while (w->steps < STEPS)
        one_life(w);
    print_message("%lu steps, %lu lives, %lu paid, %lu late, %lu duplicates, %lu mismatches, %lu refunds, "
                  "%lu reopened, %lu renewed, %lu given back by the provider (%lu consoles, %lu cancels)\n",
                  w->steps, w->lives, w->paid, w->late, w->duplicates, w->mismatches, w->refunds, w->reopened,
                  w->renewed, w->by_provider, w->consoles, w->cancelled_paid);
    assert_true(w->paid > 100 && w->late > 100 && w->duplicates > 20 && w->mismatches > 100 && w->refunds > 100 &&
                w->reopened > 20); // a walk that meets nothing proves nothing
    assert_true(w->renewed > 100 && w->by_provider > 100 && w->consoles > 100 && w->demanded > 100 &&
                w->cancelled_paid > 10);
    print_message("%lu commits, %lu rollbacks, %lu loose, %lu commits refused, %lu halves dropped, %lu found late, "
                  "%lu plain, %lu second, %lu words twice, %lu old copies asked about, %lu received, %lu kept, "
                  "%lu swept\n",
                  w->n_commits, w->n_rollbacks, w->n_loose, w->n_refused, w->n_dropped, w->n_found, w->n_plain,
                  w->n_seconds, w->n_twice, w->n_old_asks, w->n_received, w->n_told_embedded, w->n_swept);
    assert_true(w->n_commits > 100 && w->n_rollbacks > 100 && w->n_loose > 100 && w->n_refused > 20 &&
                w->n_dropped > 50 && w->n_found > 20 && w->n_plain > 100 && w->n_seconds > 100);
    assert_true(w->n_twice > 100 && w->n_old_asks > 100 && w->n_received > 100 && w->n_told_embedded > 100 &&
                w->n_swept > 100);
    print_message(
        "%lu attempts asked for, %lu of another wallet, %lu words accepted, %lu sent back, %lu said for nothing, "
        "%lu partly gone before they were known, %lu refunds closed, %lu abnormal, %lu asked about for a notice\n",
        w->n_pays, w->n_switches, w->n_accepted, w->n_sent_back, w->n_said_twice, w->n_some_left, w->n_closed,
        w->n_abnormal, w->n_hints);
    assert_true(w->n_pays > 100 && w->n_switches > 100 && w->n_accepted > 20 && w->n_sent_back > 20 &&
                w->n_said_twice > 100 && w->n_some_left > 20 && w->n_closed > 100 && w->n_abnormal > 100 &&
                w->n_hints > 20);
    test_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_happens_the_books_agree_in_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
