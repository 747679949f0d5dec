// SPDX-License-Identifier: Apache-2.0
#include "order_laws.h"

#define BIT(i) (1u << (i))

bool payment_open(const struct payment *p)
{
    return p->state == PAYMENT_CREATING || p->state == PAYMENT_WAITING || p->state == PAYMENT_CLOSING;
}

static bool order_payable(const struct order *o)
{
    return o->state == ORDER_PLACED || o->state == ORDER_AWAITING_PAYMENT;
}

static void take_earlier(int64_t *ms, int64_t other_ms)
{
    if (other_ms < *ms) *ms = other_ms;
}

// Kept as a half message by a broker that asks back by itself.
static bool is_asked_about(const struct rules *rules, const struct order *o)
{
    return rules->broker == BROKER_REMOTE && (o->policy == POLICY_REVERSE || o->policy == POLICY_FORWARD);
}

int64_t owed_first_ms(const struct rules *rules, const struct bundle *b)
{
    int64_t ms = TIME_NEVER;
    bool payable = order_payable(&b->order);
    bool waits = is_asked_about(rules, &b->order) && rules->checkback.schedule == SCHEDULE_FIXED;
    int64_t wait_ms = waits ? rules->checkback.interval_ms / 2 : 0;
    if (payable) {
        take_earlier(&ms, b->order.expires_ms);
        if (b->order.check_ms != TIME_NEVER) take_earlier(&ms, b->order.check_ms + wait_ms);
    }
    if (b->half.owes) take_earlier(&ms, b->half.due_ms);
    for (unsigned i = 0; i < b->n_payments; i++) {
        const struct payment *p = &b->payment[i];
        if (p->owes != CALL_NONE) take_earlier(&ms, p->due_ms);
        if (payable && p->state == PAYMENT_WAITING) take_earlier(&ms, p->expires_ms);
    }
    for (unsigned i = 0; i < b->n_refunds; i++)
        if (b->refund[i].state == REFUND_PENDING) take_earlier(&ms, b->refund[i].due_ms);
    return ms;
}

// --- A bundle at rest

static const char *refund_law(const struct refund *f)
{
    bool pending = f->state == REFUND_PENDING;
    if (f->amount_fen <= 0) return "a refund is of some money";
    if (pending != (f->owes == CALL_REFUND || f->owes == CALL_REFUND_QUERY))
        return "a pending refund owes one call, an ended one none";
    if (pending == (f->due_ms == TIME_NEVER)) return "a refund has a time while it is pending, and only then";
    if (pending != (f->finished_ms == 0)) return "a refund has an end when it has ended, and only then";
    if (f->is_abnormal && !pending) return "what has ended is stuck no more";
    if (f->replaces_key && f->cause == CAUSE_MERCHANT) return "a merchant's refund replaces none";
    if (f->cause == CAUSE_PROVIDER && f->state != REFUND_SUCCEEDED) return "what the provider gave back is given back";
    return NULL;
}

static const char *payment_law(const struct bundle *b, const struct payment *p)
{
    int64_t refunding_fen = 0;
    for (unsigned i = 0; i < b->n_refunds; i++)
        if (b->refund[i].payment_key == p->key && b->refund[i].state == REFUND_PENDING)
            refunding_fen += b->refund[i].amount_fen;
    bool works = p->state == PAYMENT_CREATING || p->state == PAYMENT_CLOSING;
    if (works != (p->owes != CALL_NONE)) return "an attempt owes a call while creating or closing, and only then";
    if (works != (p->due_ms != TIME_NEVER)) return "an attempt that owes has a time";
    if ((p->state == PAYMENT_CLOSED || p->state == PAYMENT_FAILED) && (p->proof == PROOF_NONE || !p->proof_ms))
        return "what can take no money has a proof";
    if (p->state == PAYMENT_FAILED && p->proof != PROOF_REFUSED) return "failed means refused";
    if (p->refunding_fen != refunding_fen) return "money on its way back is that of the pending refunds";
    if (p->refunded_fen < 0 || p->refunded_fen + p->refunding_fen > p->captured_fen)
        return "no more goes back than came";
    bool has_money = p->state == PAYMENT_CAPTURED || p->state == PAYMENT_REFUNDING || p->state == PAYMENT_REFUNDED ||
                     p->state == PAYMENT_HELD || p->state == PAYMENT_MISMATCHED;
    if (has_money != (p->captured_fen > 0) || has_money != (p->captured_ms != 0))
        return "an attempt has money in the states that say so, and only there";
    if ((p->state == PAYMENT_REFUNDING) != (p->refunding_fen > 0) && p->state != PAYMENT_MISMATCHED)
        return "refunding means money is on its way back";
    if (p->state == PAYMENT_REFUNDED && p->refunded_fen != p->captured_fen) return "refunded means all of it";
    if (p->counts && p->captured_fen != p->amount_fen && p->word != WORD_ACCEPTED) return "only matching money counts";
    if (p->word == WORD_ACCEPTED && !p->counts) return "accepted money is the order's own";
    if (p->state == PAYMENT_HELD && p->word != WORD_AWAITED) return "held money waits for a word";
    if (p->word == WORD_AWAITED && (!has_money || p->refunding_fen + p->refunded_fen > 0))
        return "a word is awaited on money that is there";
    if (p->state == PAYMENT_HELD && (b->order.state != ORDER_CANCELLED || !p->counts)) return "only late money is held";
    bool kept = p->counts && b->order.state == ORDER_PAID;
    bool waits = p->word == WORD_AWAITED && (p->state == PAYMENT_HELD || p->state == PAYMENT_MISMATCHED);
    if (has_money && !kept && !waits && p->captured_fen != p->refunded_fen + p->refunding_fen)
        return "money that fulfils nothing goes back in full";
    return NULL;
}

static const char *proof_law(const struct rules *rules, const struct bundle *b)
{
    if (rules->release != RELEASE_PROOF || b->order.state != ORDER_CANCELLED) return NULL;
    for (unsigned i = 0; i < b->n_payments; i++)
        if (payment_open(&b->payment[i])) return "nothing is cancelled while an attempt may take money";
    return NULL;
}

static bool is_decided(const struct order *o)
{
    if (o->policy == POLICY_FORWARD) return o->state == ORDER_PAID || o->state == ORDER_CANCELLED;
    return !order_payable(o);
}

static const char *half_law(const struct rules *rules, const struct bundle *b)
{
    const struct half *h = &b->half;
    bool pending = h->state == HALF_PENDING, decided = h->answer != ANSWER_NONE;
    if (h->state == HALF_NONE) return h->owes || decided ? "who has no row owes nothing" : NULL;
    if (rules->broker == BROKER_EMBEDDED) return "the embedded broker keeps no half but the order's row";
    if ((h->owes == 0) != (h->due_ms == TIME_NEVER)) return "a half has a time while it owes, and only then";
    if (h->owes == 0 && h->tries != 0) return "tries are of what is owed";
    if (h->answer == ANSWER_UNKNOWN) return "unknown is no decision";
    if ((h->owes & OWES_HALF) && (h->state != HALF_UNSENT || decided)) return "a half is sent until decided or there";
    if (!!(h->owes & OWES_END) != (pending && decided)) return "an end is owed of a half that is there and decided";
    if ((h->owes & OWES_MAIN) && h->answer != ANSWER_ROLLBACK) return "a message goes plainly or by the half, not both";
    if ((h->owes & OWES_SECOND) && b->order.policy != POLICY_FORWARD) return "only forward has a second producer";
    if (pending && !h->at.broker[0]) return "a half that is there lies somewhere";
    if (!is_asked_about(rules, &b->order)) return h->state == HALF_ENDED ? NULL : "delay and poll have no half message";
    if (decided != is_decided(&b->order)) return "a half is decided with its order, and not before";
    return NULL;
}

const char *bundle_law(const struct rules *rules, const struct bundle *b)
{
    const struct order *o = &b->order;
    const char *broken = bundle_invariant(b);
    if (broken) return broken;
    if (o->due_ms != owed_first_ms(rules, b)) return "due_ms is the minimum of what is owed";
    const struct payment *own = NULL;
    for (unsigned i = 0; i < b->n_payments; i++) {
        const struct payment *p = &b->payment[i];
        if (p->counts && own) return "one capture counts";
        if (p->counts) own = p;
        if ((broken = payment_law(b, p))) return broken;
        if (!order_payable(o) && (p->state == PAYMENT_CREATING || p->state == PAYMENT_WAITING))
            return "nobody is asked to pay what is not payable";
    }
    for (unsigned i = 0; i < b->n_refunds; i++)
        if ((broken = refund_law(&b->refund[i]))) return broken;
    if ((o->paid_fen > 0) != (own != NULL)) return "paid money is that of the capture that counts";
    if (own && (o->paid_fen != own->captured_fen || o->refunded_fen != own->refunded_fen))
        return "the order's books are those of the capture that counts";
    if (o->state == ORDER_PAID && !own) return "paid means a capture counts";
    if (!order_payable(o) && o->check_ms != TIME_NEVER) return "who is not payable is not checked";
    if ((o->state == ORDER_CLOSING || o->state == ORDER_CANCELLED) && (o->reason == REASON_NONE || !o->closing_ms))
        return "closing has a reason and a time";
    if ((broken = half_law(rules, b))) return broken;
    return proof_law(rules, b);
}

// --- A step

static const unsigned ORDER_EDGE[] = {
    [ORDER_STATE_0] = BIT(ORDER_PLACED),
    [ORDER_PLACED] = BIT(ORDER_AWAITING_PAYMENT) | BIT(ORDER_CLOSING) | BIT(ORDER_PAID),
    [ORDER_AWAITING_PAYMENT] = BIT(ORDER_PAID) | BIT(ORDER_CLOSING),
    [ORDER_CLOSING] = BIT(ORDER_PAID) | BIT(ORDER_CANCELLED),
    [ORDER_PAID] = 0,
    [ORDER_CANCELLED] = BIT(ORDER_PAID), // late_payment=reopen, or an operator's word
};

// Whole steps, so captured money that goes straight back reads refunding.
#define WITH_MONEY                                                                                                     \
    (BIT(PAYMENT_CAPTURED) | BIT(PAYMENT_REFUNDING) | BIT(PAYMENT_REFUNDED) | BIT(PAYMENT_HELD) |                      \
     BIT(PAYMENT_MISMATCHED))
static const unsigned PAYMENT_STRIDE[] = {
    [PAYMENT_STATE_0] = BIT(PAYMENT_CREATING),
    [PAYMENT_CREATING] =
        BIT(PAYMENT_WAITING) | BIT(PAYMENT_CLOSING) | BIT(PAYMENT_CLOSED) | BIT(PAYMENT_FAILED) | WITH_MONEY,
    [PAYMENT_WAITING] = BIT(PAYMENT_CLOSING) | BIT(PAYMENT_CLOSED) | WITH_MONEY,
    [PAYMENT_CAPTURED] = BIT(PAYMENT_REFUNDING) | BIT(PAYMENT_REFUNDED),
    [PAYMENT_CLOSING] = BIT(PAYMENT_CLOSED) | WITH_MONEY,
    [PAYMENT_CLOSED] = WITH_MONEY,
    [PAYMENT_REFUNDING] = BIT(PAYMENT_REFUNDED) | BIT(PAYMENT_CAPTURED),
    [PAYMENT_REFUNDED] = 0,
    [PAYMENT_FAILED] = WITH_MONEY,
    [PAYMENT_HELD] = BIT(PAYMENT_REFUNDING) | BIT(PAYMENT_REFUNDED) | BIT(PAYMENT_CAPTURED), // the last: accepted
    [PAYMENT_MISMATCHED] = BIT(PAYMENT_CAPTURED),
};

static enum order_state state_told(enum event_type type)
{
    switch (type) {
    case EVENT_ORDER_PLACED: return ORDER_PLACED;
    case EVENT_ORDER_AWAITING_PAYMENT: return ORDER_AWAITING_PAYMENT;
    case EVENT_ORDER_PAID: return ORDER_PAID;
    case EVENT_ORDER_CLOSING: return ORDER_CLOSING;
    case EVENT_ORDER_CANCELLED: return ORDER_CANCELLED;
    case EVENT_PAYMENT_LATE:
    case EVENT_PAYMENT_DUPLICATE:
    case EVENT_PAYMENT_MISMATCH:
    case EVENT_REFUND_SUCCEEDED:
    case EVENT_REFUND_FAILED:
    case EVENT_TYPE_0: break;
    }
    return ORDER_STATE_0;
}

static enum stock_move move_into(enum order_state from, enum order_state to)
{
    if (to == ORDER_PLACED) return STOCK_HOLD;
    if (to == ORDER_CANCELLED) return STOCK_RELEASE;
    if (to == ORDER_PAID) return from == ORDER_CANCELLED ? STOCK_RETAKE : STOCK_SELL;
    return STOCK_STAY;
}

// The events tell the whole way from state to state; along it each edge is allowed, and the stock moves at
// its ends.
static const char *path_law(const struct bundle *before, const struct bundle *after, const struct step *out)
{
    enum order_state at = before->order.state;
    enum stock_move stock = STOCK_STAY;
    for (unsigned i = 0; i < out->n_events; i++) {
        const struct public_event *e = &out->events[i];
        enum order_state to = state_told(e->type);
        if (e->sequence != before->order.sequence + 1 + i) return "sequences are dense";
        if (to != ORDER_STATE_0) {
            if (!(ORDER_EDGE[at] & BIT(to))) return "only allowed edges";
            if (move_into(at, to) != STOCK_STAY) {
                if (stock != STOCK_STAY) return "stock moves once";
                stock = move_into(at, to);
            }
            at = to;
        }
        if (e->state != at) return "an event tells the state right after";
    }
    if (after->order.sequence != before->order.sequence + out->n_events) return "the order counts its events";
    if (after->order.state != at) return "no change of state is silent";
    if (out->stock != (after->order.holds_stock ? stock : STOCK_STAY)) return "stock moves with the ending";
    return NULL;
}

static bool row_key_is_fresh(const struct event *e, uint64_t key)
{
    return key >= e->fresh_key && key < e->fresh_key + EVENT_FRESH_KEYS;
}

static bool asks_for_code(const struct step *out, uint64_t payment_key)
{
    for (unsigned i = 0; i < out->n_calls; i++)
        if (out->calls[i].method == CALL_CREATE && out->calls[i].payment_key == payment_key) return true;
    return false;
}

static const char *rows_law(const struct bundle *before, const struct event *e, const struct bundle *after,
                            const struct step *out)
{
    if (after->n_payments > BUNDLE_PAYMENTS || after->n_refunds > BUNDLE_REFUNDS) return "rows have room";
    if (out->payments_added != ((BIT(after->n_payments) - 1) & ~(BIT(before->n_payments) - 1)))
        return "added attempts are told";
    if (out->refunds_added != ((BIT(after->n_refunds) - 1) & ~(BIT(before->n_refunds) - 1)))
        return "added refunds are told";
    if (out->payments_added & ~out->payments_changed || out->refunds_added & ~out->refunds_changed)
        return "added is changed as well";
    uint64_t seen = 0;
    for (unsigned i = 0; i < after->n_payments; i++) {
        const struct payment *was = &before->payment[i], *is = &after->payment[i];
        if (i >= before->n_payments) {
            if (!row_key_is_fresh(e, is->key) || is->key == seen) return "new rows have keys of their own";
            seen = is->key;
        } else {
            if (!(out->payments_changed & BIT(i)) && memcmp(was, is, sizeof *is)) return "a changed attempt is told";
            if (was->key != is->key || was->amount_fen != is->amount_fen || was->n != is->n)
                return "what was sent to the provider stays";
            if (was->expires_ms > is->expires_ms) return "a code that may be out ends no earlier";
            if (was->expires_ms != is->expires_ms && !asks_for_code(out, is->key))
                return "an end is told to the provider";
            if (was->state != is->state && !(PAYMENT_STRIDE[was->state] & BIT(is->state)))
                return "only allowed edges of attempts";
            if (was->captured_fen > 0 && was->captured_fen != is->captured_fen) return "money is entered once";
            if (was->refunded_fen > is->refunded_fen) return "what went back stays back";
        }
    }
    for (unsigned i = 0; i < after->n_refunds; i++) {
        const struct refund *was = &before->refund[i], *is = &after->refund[i];
        if (i >= before->n_refunds) {
            if (!row_key_is_fresh(e, is->key) || is->key == seen) return "new rows have keys of their own";
            seen = is->key;
        } else {
            if (!(out->refunds_changed & BIT(i)) && memcmp(was, is, sizeof *is)) return "a changed refund is told";
            if (was->state != REFUND_PENDING && was->state != is->state) return "an ended refund stays ended";
            if (was->amount_fen != is->amount_fen || was->key != is->key) return "a refund keeps its number and amount";
        }
    }
    return NULL;
}

static const char *calls_law(const struct event *e, const struct rules *rules, const struct bundle *b,
                             const struct step *out)
{
    for (unsigned i = 0; i < out->n_calls; i++) {
        const struct call *c = &out->calls[i];
        const struct payment *p = NULL;
        const struct refund *f = NULL;
        for (unsigned k = 0; k < b->n_payments; k++)
            if (b->payment[k].key == c->payment_key) p = &b->payment[k];
        for (unsigned k = 0; k < b->n_refunds; k++)
            if (b->refund[k].key == c->refund_key) f = &b->refund[k];
        bool refunds = c->method == CALL_REFUND || c->method == CALL_REFUND_QUERY;
        if (!p || c->order_key != b->order.key || c->channel != p->channel) return "a call names its attempt";
        if (c->method == CALL_NONE || refunds != (f != NULL)) return "a call of a refund names it";
        if (f && f->payment_key != p->key) return "a refund is of its attempt";
        if (c->amount_fen != (refunds ? f->amount_fen : p->amount_fen)) return "a call carries its amount";
        if (c->total_fen != (refunds ? p->captured_fen : p->amount_fen) || c->amount_fen > c->total_fen)
            return "a refund is of what was captured";
        if (refunds && strcmp(c->provider_trade_no, p->provider_trade_no) != 0)
            return "a refund names its capture as the provider does";
        if (refunds && c->number_key != (f->cause == CAUSE_MERCHANT || f->replaces_key ? f->key : p->key))
            return "a system refund is numbered by its capture, a merchant's and one that replaces another by itself";
        if (c->method == CALL_CREATE && c->expires_ms != p->expires_ms) return "the code's expiry is sent with it";
        if (c->method == CALL_CREATE && c->expires_ms < e->now_ms + rules->code_min_life_ms)
            return "no code is asked for that is dead, or as good as";
        if (c->on_demand != (e->kind == EV_CHECK)) return "on demand is what somebody asked for";
        if (c->on_demand && (c->method != CALL_QUERY || !(p->state == PAYMENT_WAITING || p->state == PAYMENT_CLOSING)))
            return "a check on demand only asks, and only about a code that is out";
        if (c->method == CALL_CANCEL && e->now_ms < p->expires_ms + rules->close_grace_ms)
            return "no cancel before the code is dead";
        if (c->method == CALL_CANCEL && !channel_traits(p->channel)->has_cancel)
            return "cancel is asked of those who have it";
        if (c->product != p->product || !str_eq(c->payer, p->payer)) return "a number is asked for with the same words";
        if (c->method == CALL_CREATE && p->state != PAYMENT_CREATING) return "codes are made only for who wants one";
        if ((c->method == CALL_CLOSE || c->method == CALL_CANCEL) && p->state != PAYMENT_CLOSING)
            return "only what is closing is closed";
    }
    return NULL;
}

// Only these words prove, and only said in time; whatever is not listed is unknown.
static bool is_proof(const struct rules *rules, const struct payment *was, const struct event *e, enum proof proof)
{
    const struct answer *a = &e->answer;
    bool done = a->outcome == OUTCOME_DONE;
    if (proof == PROOF_UNASKED) return was->state == PAYMENT_CREATING && was->tries == 0;
    if (e->kind != EV_ANSWER || a->payment_key != was->key) return false;
    switch (proof) {
    case PROOF_CLOSED: return done && a->fact == FACT_CLOSED && a->method != CALL_QUERY;
    case PROOF_PROVIDER_CLOSED: return done && a->fact == FACT_CLOSED && a->method == CALL_QUERY;
    case PROOF_DEAD:
        return a->outcome != OUTCOME_UNKNOWN && a->fact == FACT_NOT_FOUND &&
               a->asked_ms >= was->expires_ms + rules->close_grace_ms;
    case PROOF_REFUSED: return a->outcome == OUTCOME_REFUSED && a->method == CALL_CREATE && was->tries <= 1;
    case PROOF_UNASKED:
    case PROOF_NONE: break;
    }
    return false;
}

static const char *proofs_law(const struct rules *rules, const struct bundle *before, const struct event *e,
                              const struct bundle *after)
{
    for (unsigned i = 0; i < before->n_payments; i++) {
        enum proof is = after->payment[i].proof;
        if (before->payment[i].proof != is && !is_proof(rules, &before->payment[i], e, is))
            return "a proof is what the provider said, or that it was never asked";
    }
    for (unsigned i = before->n_payments; i < after->n_payments; i++)
        if (after->payment[i].proof != PROOF_NONE) return "a new attempt has proven nothing";
    return NULL;
}

// The one that goes on where this one ended, or NULL, and how many there are.
static const struct refund *replaces(const struct bundle *before, const struct bundle *after, uint64_t key, unsigned *n)
{
    const struct refund *next = NULL;
    *n = 0;
    for (unsigned i = before->n_refunds; i < after->n_refunds; i++) {
        if (after->refund[i].replaces_key != key) continue;
        next = &after->refund[i];
        ++*n;
    }
    return next;
}

// A merchant's refund fails when it was surely refused, or ended without moving money; the system's only then, and what
// must go back goes on in a new row.
static const char *failed_law(const struct bundle *before, const struct event *e, const struct bundle *after)
{
    unsigned n, n_next = 0, n_replaced = 0;
    for (unsigned i = before->n_refunds; i < after->n_refunds; i++)
        n_next += after->refund[i].replaces_key != 0;
    for (unsigned i = 0; i < before->n_refunds; i++) {
        const struct refund *was = &before->refund[i], *is = &after->refund[i];
        if (was->state == REFUND_FAILED || is->state != REFUND_FAILED) continue;
        bool about = e->kind == EV_ANSWER && e->answer.refund_key == is->key;
        bool refused = e->answer.outcome == OUTCOME_REFUSED && e->answer.method == CALL_REFUND && !was->uncertain;
        bool closed = e->answer.outcome == OUTCOME_DONE && e->answer.fact == FACT_REFUND_CLOSED;
        if (!about || !(closed || (refused && is->cause == CAUSE_MERCHANT)))
            return "a refund has failed only when it was surely refused, or ended over there";
        const struct refund *next = replaces(before, after, is->key, &n);
        if (n != (is->cause != CAUSE_MERCHANT)) return "what must go back goes on, once";
        if (next && (next->payment_key != is->payment_key || next->amount_fen != is->amount_fen ||
                     next->cause != is->cause || next->due_ms <= e->now_ms))
            return "what goes on is the same money, a while later";
        n_replaced += n;
    }
    return n_next != n_replaced ? "only what has ended is replaced" : NULL;
}

static const char *abnormal_law(const struct bundle *before, const struct event *e, const struct bundle *after)
{
    for (unsigned i = 0; i < after->n_refunds; i++) {
        const struct refund *f = &after->refund[i];
        bool was = i < before->n_refunds && before->refund[i].is_abnormal;
        bool said = e->kind == EV_ANSWER && e->answer.outcome == OUTCOME_DONE &&
                    e->answer.fact == FACT_REFUND_ABNORMAL && e->answer.refund_key == f->key;
        if (f->is_abnormal && !was && !said) return "abnormal is what the provider said is";
    }
    return NULL;
}

static bool tells_money(const struct event *e, const struct payment *p)
{
    return (e->kind == EV_ANSWER || e->kind == EV_NOTICE) && e->answer.payment_key == p->key;
}

// A word is awaited on money as it comes in, and said by an operator; money on its way back waits for none.
static const char *word_law(const struct rules *rules, const struct bundle *before, const struct event *e,
                            const struct bundle *after, const struct step *out)
{
    for (unsigned i = 0; i < after->n_payments; i++) {
        const struct payment *is = &after->payment[i];
        enum word was = i < before->n_payments ? before->payment[i].word : WORD_NONE;
        bool resolved = e->kind == EV_RESOLVE && e->resolve.payment_key == is->key;
        if (resolved && was != WORD_AWAITED) return "only what is awaited is said";
        if (resolved && is->word != (e->resolve.accepts ? WORD_ACCEPTED : WORD_NONE)) return "what is said is done";
        if (was == is->word) continue;
        bool held = rules->late_payment == LATE_HOLD || e->answer.fact == FACT_PAID_SOME_REFUNDED;
        if (is->word == WORD_AWAITED &&
            (!held || was != WORD_NONE || !tells_money(e, is) || before->payment[i].captured_fen > 0))
            return "a word is awaited on money as it comes in";
        if (is->word == WORD_ACCEPTED && !(resolved && after->order.state == ORDER_PAID && is->counts))
            return "accepted money makes its order paid";
        if (is->word == WORD_NONE && is->refunding_fen + is->refunded_fen != is->captured_fen)
            return "what waits for no word any more goes back";
    }
    bool retakes = out->stock == STOCK_RETAKE;
    if (retakes && e->stock_is_short) return "stock that is not there is not taken";
    return NULL;
}

static bool is_wanted(const struct payment *p)
{
    return p->state == PAYMENT_CREATING || p->state == PAYMENT_WAITING;
}

static bool serves(const struct event *e, const struct payment *p)
{
    bool alike = p->channel == e->pay.channel && p->product == e->pay.product;
    return is_wanted(p) && alike && (p->product != PRODUCT_JSAPI || str_eq(p->payer, e->pay.payer));
}

// A notice asks nothing but about refunds of its attempt, and only when it says that something became of one.
static const char *hint_law(const struct bundle *before, const struct event *e, const struct step *out)
{
    bool tells = e->answer.fact >= FACT_PAID && e->answer.captured_fen > 0; // then money may go back, or codes close
    if (e->kind != EV_NOTICE || (tells && out->n_events)) return NULL;
    for (unsigned i = 0; i < out->n_calls; i++) {
        const struct call *c = &out->calls[i];
        if (c->method == CALL_CREATE) continue; // whoever can pay is kept able to
        if (!e->answer.of_refund || c->method != CALL_REFUND_QUERY || c->payment_key != e->answer.payment_key)
            return "a notice asks about nothing but refunds";
        for (unsigned k = 0; k < before->n_refunds; k++)
            if (before->refund[k].key == c->refund_key && before->refund[k].tries > 0)
                return "what is being asked is not asked again for a notice";
    }
    return NULL;
}

static bool is_asked(const struct step *out, uint64_t payment_key)
{
    for (unsigned i = 0; i < out->n_calls; i++)
        if (out->calls[i].payment_key == payment_key) return true;
    return false;
}

// Who wants to pay gets an attempt that serves, one there is or a new one; then it is the only one that is wanted, and
// is asked for when those before it have been asked about.
static const char *pay_law(const struct bundle *before, const struct event *e, const struct bundle *after,
                           const struct step *out)
{
    if (e->kind != EV_PAY) return out->payment_key ? "only who wants to pay is given an attempt" : NULL;
    const struct payment *p = NULL;
    unsigned n_wanted = 0;
    bool waits = false;
    for (unsigned i = 0; i < after->n_payments; i++) {
        const struct payment *other = &after->payment[i];
        if (other->key == out->payment_key) p = other;
        n_wanted += is_wanted(other);
        waits = waits || (other->state == PAYMENT_CLOSING && other->tries > 0);
    }
    if (!p || !serves(e, p)) return "who wants to pay is given an attempt that serves";
    if (!out->payments_added)
        return out->changed || out->n_calls || out->n_traces ? "an attempt that serves is used as it is" : NULL;
    if (n_wanted != 1) return "the attempt that was asked for last is the one that is wanted";
    if (is_asked(out, p->key) == waits) return "it is asked for once those before it have been asked about";
    if (waits && p->due_ms > e->now_ms + 2000) return "and within two seconds";
    for (unsigned i = 0; i < before->n_payments; i++) {
        bool asked = is_asked(out, after->payment[i].key);
        bool never = before->payment[i].state == PAYMENT_CREATING && before->payment[i].tries == 0;
        if (asked != (is_wanted(&before->payment[i]) && !never)) return "those that were wanted are asked about";
    }
    return NULL;
}

static bool is_about_payment(const struct event *e, uint64_t payment_key)
{
    return (e->kind == EV_ANSWER || e->kind == EV_NOTICE) && e->answer.outcome == OUTCOME_DONE &&
           e->answer.payment_key == payment_key;
}

// A refund is done because the provider says so: of this refund, or that all of the money went back.
static const char *given_back_law(const struct bundle *before, const struct event *e, const struct bundle *after)
{
    for (unsigned i = 0; i < after->n_refunds; i++) {
        const struct refund *f = &after->refund[i];
        bool was_done = i < before->n_refunds && before->refund[i].state == REFUND_SUCCEEDED;
        if (f->state != REFUND_SUCCEEDED || was_done) continue;
        bool whole = e->answer.fact == FACT_PAID_AND_REFUNDED;
        bool this_one = i < before->n_refunds && e->answer.fact == FACT_REFUND_DONE && e->answer.refund_key == f->key;
        if (!is_about_payment(e, f->payment_key) || !(whole || this_one))
            return "done is what the provider said is done";
    }
    return NULL;
}

// The provider's word that all of it went back is entered whatever the books said before.
static const char *came_and_went_law(const struct bundle *before, const struct event *e, const struct bundle *after)
{
    bool refund_call =
        e->kind == EV_ANSWER && (e->answer.method == CALL_REFUND || e->answer.method == CALL_REFUND_QUERY);
    for (unsigned i = 0; i < after->n_payments && !refund_call; i++) {
        const struct payment *p = &after->payment[i];
        if (!is_about_payment(e, p->key) || e->answer.captured_fen <= 0) continue;
        bool some_left = e->answer.fact == FACT_PAID_SOME_REFUNDED;
        if (e->answer.fact != FACT_PAID && e->answer.fact != FACT_PAID_AND_REFUNDED && !some_left) continue;
        if (p->captured_fen == 0) return "money told of is entered";
        if (some_left && before->payment[i].captured_fen == 0 && (p->counts || p->word != WORD_AWAITED))
            return "money of which some went back, nobody says how much, waits for a word";
        if (e->answer.fact == FACT_PAID_AND_REFUNDED && p->refunded_fen != p->captured_fen)
            return "what all went back has all gone back";
    }
    return NULL;
}

// Only an unpaid or paid answer to a check-back is one; those that could not be had and those asked for are none.
static const char *checks_law(const struct bundle *before, const struct event *e, const struct bundle *after)
{
    const struct answer *a = &e->answer;
    bool may_count = e->kind == EV_ANSWER && a->method == CALL_QUERY && a->outcome == OUTCOME_DONE && !a->on_demand;
    uint32_t more = after->order.n_checks - before->order.n_checks;
    if (more > may_count) return "a check-back is counted once, when it was answered";
    bool closes = order_payable(&before->order) && after->order.reason == REASON_TIMEOUT;
    if (closes && e->now_ms < before->order.expires_ms && more == 0)
        return "a window ends by time or by its last check";
    return NULL;
}

// --- Messages

static bool copy_is(const struct half_at *a, const struct half_at *b)
{
    return strncmp(a->broker, b->broker, BROKER_NAME_SIZE) == 0 && a->commit_log_offset == b->commit_log_offset &&
           a->queue_offset == b->queue_offset;
}

// What the policy tells on this way from state to state: nothing but this, and this always.
static enum message_type told_by(const struct order *o, const struct public_event *e)
{
    bool forward = o->policy == POLICY_FORWARD;
    if (e->type == EVENT_ORDER_CLOSING && !forward) return MESSAGE_CANCEL;
    if (e->type == EVENT_ORDER_PAID && forward) return MESSAGE_PAID;
    if (e->type == EVENT_ORDER_CANCELLED && forward) return MESSAGE_CANCELLED;
    return MESSAGE_TYPE_0;
}

static const char *message_law(const struct order *o, const struct message *m)
{
    if (m->order_key != o->key || m->amount_fen != o->amount_fen) return "a message names its order and amount";
    if (m->sequence < 1 || m->sequence > o->sequence) return "a message tells of an event there was";
    if (m->topic != (m->type == MESSAGE_PAID ? TOPIC_PAID : TOPIC_CANCEL)) return "a message lies under its topic";
    if ((m->type == MESSAGE_CANCEL) == (o->policy == POLICY_FORWARD)) return "no message of another policy";
    return NULL;
}

// The embedded broker's: one row for each thing to be told, in its order.
static const char *kept_law(const struct rules *rules, const struct bundle *after, const struct step *out)
{
    const struct order *o = &after->order;
    unsigned n = 0;
    for (unsigned i = 0; i < out->n_events && rules->broker == BROKER_EMBEDDED; i++) {
        enum message_type type = told_by(o, &out->events[i]);
        if (type == MESSAGE_TYPE_0) continue;
        const struct message *m = &out->messages[n];
        if (n++ >= out->n_messages || m->type != type) return "what is to be told is kept in the same commit";
        if (m->sequence != out->events[i].sequence) return "a message carries the sequence of its event";
        if (m->reason != (type == MESSAGE_PAID ? REASON_NONE : o->reason)) return "a cancellation says why";
    }
    if (n != out->n_messages) return "nothing else is kept, and only by the embedded broker";
    for (unsigned i = 0; i < n; i++) {
        const char *broken = message_law(o, &out->messages[i]);
        if (broken) return broken;
    }
    return NULL;
}

static const char *send_law(const struct event *e, const struct bundle *b, const struct send *s)
{
    static const unsigned OWED[] = {
        [SEND_HALF] = OWES_HALF, [SEND_END] = OWES_END, [SEND_MAIN] = OWES_MAIN, [SEND_SECOND] = OWES_SECOND};
    const struct order *o = &b->order;
    enum message_type main = o->policy == POLICY_FORWARD ? MESSAGE_PAID : MESSAGE_CANCEL;
    bool tells = s->kind == SEND_MAIN || (s->kind == SEND_END && s->answer == ANSWER_COMMIT);
    const char *broken = message_law(o, &s->message);
    if (broken) return broken;
    if (s->message.type != (s->kind == SEND_SECOND ? MESSAGE_CANCELLED : main)) return "each send has its message";
    if (tells && main == MESSAGE_PAID && o->state != ORDER_PAID) return "order.paid is told of what is paid";
    if (tells && main == MESSAGE_CANCEL && !o->closing_ms) return "order.cancel is told of what was closing";
    if (s->kind == SEND_SECOND && !o->cancelled_ms) return "order.cancelled is told of what was cancelled";
    if (s->is_loose) {
        if (e->kind != EV_CHECKBACK || !s->from_check || s->kind != SEND_END)
            return "loose is the answer to a check-back";
        if (s->answer != ANSWER_ROLLBACK || !copy_is(&s->at, &e->checkback.at))
            return "a copy made too late is rolled back";
        bool is_needed = b->half.owes & OWES_END && !(strcmp(s->at.broker, b->half.at.broker) == 0 &&
                                                      s->at.commit_log_offset < b->half.at.commit_log_offset);
        return is_needed || !is_decided(o) ? "nothing is rolled back that may be needed" : NULL;
    }
    if (!(b->half.owes & OWED[s->kind])) return "only what is owed is said";
    if (s->kind == SEND_END && (s->answer != b->half.answer || !copy_is(&s->at, &b->half.at)))
        return "the newest copy is ended, as decided";
    return NULL;
}

static unsigned owed_by(const struct step *out)
{
    unsigned said = 0;
    for (unsigned i = 0; i < out->n_sends; i++)
        if (!out->sends[i].is_loose) said |= BIT(out->sends[i].kind); // the kinds' bits are those of half.owes
    return said;
}

// A debt is paid by the broker's word that it heard; an end also by its word that there is nothing to be ended.
static const char *paid_law(const struct bundle *before, const struct event *e, const struct bundle *after)
{
    const struct half *was = &before->half, *is = &after->half;
    unsigned gone = was->owes & ~is->owes;
    bool sent = e->kind == EV_SENT && e->sent.outcome == OUTCOME_DONE;
    bool refused = e->kind == EV_SENT && e->sent.outcome == OUTCOME_REFUSED && e->sent.kind == SEND_END;
    if ((gone & OWES_HALF) && is->answer == ANSWER_NONE && !(sent && e->sent.kind == SEND_HALF) &&
        e->kind != EV_CHECKBACK)
        return "a half is owed until the broker has it";
    if ((gone & OWES_END) && !(sent && e->sent.kind == SEND_END) && !(refused && copy_is(&e->sent.at, &was->at)))
        return "an end is owed until the broker knows it, or does not know the newest copy";
    if ((gone & OWES_MAIN) && !(sent && e->sent.kind == SEND_MAIN)) return "a message is owed until it is delivered";
    if ((gone & OWES_SECOND) && !(sent && e->sent.kind == SEND_SECOND)) return "a message is owed until delivered";
    if (was->answer == is->answer || was->answer == ANSWER_NONE) return NULL;
    if (was->answer != ANSWER_COMMIT || !refused || !(is->owes & OWES_MAIN))
        return "a decision stays, but for a half that is gone: its message goes plainly";
    return NULL;
}

// The answer that was decided before it could be ended is not a debt that this step made.
static const char *decided_law(const struct bundle *before, const struct event *e, const struct bundle *after,
                               const struct step *out)
{
    const struct half *was = &before->half, *is = &after->half;
    bool main = false, second = false;
    for (unsigned i = 0; i < out->n_events; i++) {
        enum message_type type = told_by(&after->order, &out->events[i]);
        second |= type == MESSAGE_CANCELLED;
        main |= type == MESSAGE_CANCEL || type == MESSAGE_PAID;
    }
    bool commits = is->answer == ANSWER_COMMIT && was->answer == ANSWER_NONE;
    bool plainly = is->owes & ~was->owes & OWES_MAIN;
    bool replaces = was->answer == ANSWER_COMMIT && is->answer == ANSWER_ROLLBACK && e->kind == EV_SENT;
    if (main != (commits || (plainly && !replaces))) return "what the policy tells is owed when it comes about";
    if (second != !!(is->owes & ~was->owes & OWES_SECOND)) return "a cancellation is owed when it comes about";
    return NULL;
}

static const char *half_step_law(const struct bundle *before, const struct event *e, const struct bundle *after,
                                 const struct step *out)
{
    static const unsigned EDGE[] = {
        [HALF_NONE] = BIT(HALF_NONE) | BIT(HALF_UNSENT) | BIT(HALF_ENDED),
        [HALF_UNSENT] = BIT(HALF_UNSENT) | BIT(HALF_PENDING),
        [HALF_PENDING] = BIT(HALF_PENDING) | BIT(HALF_ENDED),
        [HALF_ENDED] = BIT(HALF_ENDED),
    };
    const struct half *was = &before->half, *is = &after->half;
    if (!out->half_changed) return memcmp(was, is, sizeof *is) ? "a changed half is told" : NULL;
    if (!out->changed) return "a changed half is fenced by the order's version";
    if (!(EDGE[was->state] & BIT(is->state))) return "only allowed edges of a half";
    if (is->owes & ~was->owes & ~owed_by(out)) return "what comes to be owed is said at once";
    if (owed_by(out) && is->due_ms <= e->now_ms) return "what was said is said again later, not at once";
    if (was->state == HALF_PENDING && !copy_is(&was->at, &is->at)) {
        if (e->kind != EV_CHECKBACK || !copy_is(&is->at, &e->checkback.at)) return "the broker says where a copy lies";
        if (!strcmp(was->at.broker, is->at.broker) && was->at.commit_log_offset > is->at.commit_log_offset)
            return "no older copy takes the place of a newer one";
    }
    return paid_law(before, e, after);
}

static const char *messages_law(const struct rules *rules, const struct bundle *before, const struct event *e,
                                const struct bundle *after, const struct step *out)
{
    if (out->n_sends > STEP_MESSAGES || out->n_messages > STEP_MESSAGES) return "lists have room";
    const char *broken = kept_law(rules, after, out);
    if (rules->broker == BROKER_EMBEDDED) return broken || !out->n_sends ? broken : "nothing is sent to nobody";
    for (unsigned i = 0; i < out->n_sends && !broken; i++) {
        broken = send_law(e, after, &out->sends[i]);
        for (unsigned k = 0; k < i && !broken; k++)
            if (out->sends[k].kind == out->sends[i].kind) broken = "nothing is said twice in one breath";
    }
    if (owed_by(out) && !out->half_changed) return "what is said is written down";
    if (!broken) broken = decided_law(before, e, after, out);
    return broken ? broken : half_step_law(before, e, after, out);
}

// The sweep does what the timer should have done, and only when it did not.
static const char *sweep_law(const struct rules *rules, const struct bundle *before, const struct event *e,
                             const struct bundle *after, const struct step *out)
{
    if (e->kind != EV_SWEEP) return NULL;
    if (before->order.due_ms > e->now_ms)
        return memcmp(before, after, sizeof *after) || out->changed || out->n_traces || out->n_calls || out->n_sends
                   ? "a sweep that finds nothing overdue does nothing"
                   : NULL;
    struct bundle b;
    struct step timer;
    struct event due = *e;
    due.kind = EV_DUE;
    memcpy(&b, before, sizeof b);
    core_step(rules, &b, &due, &timer);
    bool same = b.order.state == after->order.state && b.order.due_ms == after->order.due_ms &&
                b.order.sequence == after->order.sequence && b.n_payments == after->n_payments &&
                b.n_refunds == after->n_refunds && b.half.owes == after->half.owes && timer.n_calls == out->n_calls &&
                timer.n_sends == out->n_sends && timer.n_messages == out->n_messages &&
                timer.n_traces + 1 == out->n_traces;
    return same ? NULL : "a sweep does what the timer should have done";
}

// Nobody stands before a pay page without a code, while there is time and room for one.
static const char *payable_law(const struct rules *rules, const struct event *e, const struct bundle *b)
{
    bool looks = e->kind == EV_DUE || e->kind == EV_ANSWER || e->kind == EV_NOTICE;
    bool time = e->now_ms + rules->code_min_life_ms <= b->order.expires_ms;
    bool payable = b->order.state == ORDER_PLACED || b->order.state == ORDER_AWAITING_PAYMENT;
    if (!payable || b->order.channel == CHANNEL_ANY || !looks || !time) return NULL;
    if (b->n_payments >= BUNDLE_PAYMENTS_TO_RENEW) return NULL;
    for (unsigned i = 0; i < b->n_payments; i++)
        if (b->payment[i].state == PAYMENT_CREATING || b->payment[i].state == PAYMENT_WAITING) return NULL;
    return "an order that awaits payment can be paid";
}

// A timer that rings has nothing left to ring for, and no other event makes something due in the past: else the
// engine would turn and turn on one order.
static const char *due_law(const struct bundle *before, const struct event *e, const struct bundle *after)
{
    if ((e->kind == EV_DUE || e->kind == EV_SWEEP) && after->order.due_ms <= e->now_ms)
        return "the timer leaves nothing due";
    if (after->order.due_ms < e->now_ms && before->order.due_ms >= e->now_ms) return "nothing becomes due in the past";
    return NULL;
}

const char *step_law(const struct rules *rules, const struct bundle *before, const struct event *e,
                     const struct bundle *after, const struct step *out)
{
    if (out->n_events > STEP_MAX || out->n_traces > STEP_MAX || out->n_calls > STEP_MAX) return "lists have room";
    if (out->refusal != REFUSAL_NONE)
        return memcmp(before, after, sizeof *after) || out->changed || out->n_events || out->n_calls || out->n_traces ||
                       out->payments_changed || out->refunds_changed || out->half_changed || out->n_sends ||
                       out->n_messages || out->stock != STOCK_STAY
                   ? "a refusal changes nothing"
                   : NULL;
    if (!out->changed && memcmp(&before->order, &after->order, sizeof after->order)) return "a changed order is told";
    if ((out->payments_changed || out->refunds_changed || out->n_events || out->stock) && !out->changed)
        return "every change is fenced by the order's version";
    const char *broken = path_law(before, after, out);
    if (!broken) broken = rows_law(before, e, after, out);
    if (!broken) broken = calls_law(e, rules, after, out);
    if (!broken) broken = proofs_law(rules, before, e, after);
    if (!broken) broken = given_back_law(before, e, after);
    if (!broken) broken = came_and_went_law(before, e, after);
    if (!broken) broken = failed_law(before, e, after);
    if (!broken) broken = abnormal_law(before, e, after);
    if (!broken) broken = word_law(rules, before, e, after, out);
    if (!broken) broken = hint_law(before, e, out);
    if (!broken) broken = pay_law(before, e, after, out);
    if (!broken) broken = checks_law(before, e, after);
    if (!broken) broken = payable_law(rules, e, after);
    if (!broken) broken = due_law(before, e, after);
    if (!broken) broken = messages_law(rules, before, e, after, out);
    if (!broken) broken = sweep_law(rules, before, e, after, out);
    return broken ? broken : bundle_law(rules, after);
}
