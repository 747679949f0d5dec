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

int64_t owed_first_ms(const struct bundle *b)
{
    int64_t ms = TIME_NEVER;
    bool payable = order_payable(&b->order);
    if (payable) {
        take_earlier(&ms, b->order.expires_ms);
        take_earlier(&ms, b->order.check_ms);
    }
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
    if (f->state == REFUND_FAILED && f->cause != CAUSE_MERCHANT) return "only a merchant's refund may fail";
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
    if (p->counts && p->captured_fen != p->amount_fen) return "only matching money counts";
    if (p->state == PAYMENT_HELD && (b->order.state != ORDER_CANCELLED || !p->counts)) return "only late money is held";
    bool kept = p->counts && b->order.state == ORDER_PAID;
    if (has_money && !kept && p->state != PAYMENT_HELD && p->captured_fen != p->refunded_fen + p->refunding_fen)
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

const char *bundle_law(const struct rules *rules, const struct bundle *b)
{
    const struct order *o = &b->order;
    const char *broken = bundle_invariant(b);
    if (broken) return broken;
    if (o->due_ms != owed_first_ms(b)) return "due_ms is the minimum of what is owed";
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
    return proof_law(rules, b);
}

// --- A step

static const unsigned ORDER_EDGE[] = {
    [ORDER_STATE_0] = BIT(ORDER_PLACED),
    [ORDER_PLACED] = BIT(ORDER_AWAITING_PAYMENT) | BIT(ORDER_CLOSING) | BIT(ORDER_PAID),
    [ORDER_AWAITING_PAYMENT] = BIT(ORDER_PAID) | BIT(ORDER_CLOSING),
    [ORDER_CLOSING] = BIT(ORDER_PAID) | BIT(ORDER_CANCELLED),
    [ORDER_PAID] = 0,
    [ORDER_CANCELLED] = BIT(ORDER_PAID), // late_payment=reopen
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
    [PAYMENT_HELD] = BIT(PAYMENT_REFUNDING) | BIT(PAYMENT_REFUNDED),
    [PAYMENT_MISMATCHED] = 0,
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
        if (refunds && c->number_key != (f->cause == CAUSE_MERCHANT ? f->key : p->key))
            return "a system refund is numbered by its capture, a merchant's by itself";
        if (c->method == CALL_CREATE && c->expires_ms != p->expires_ms) return "the code's expiry is sent with it";
        if (c->method == CALL_CREATE && c->expires_ms < e->now_ms + rules->code_min_life_ms)
            return "no code is asked for that is dead, or as good as";
        if (c->on_demand != (e->kind == EV_CHECK)) return "on demand is what somebody asked for";
        if (c->on_demand && (c->method != CALL_QUERY || !(p->state == PAYMENT_WAITING || p->state == PAYMENT_CLOSING)))
            return "a check on demand only asks, and only about a code that is out";
        if (c->method == CALL_CANCEL && e->now_ms < p->expires_ms + rules->close_grace_ms)
            return "no cancel before the code is dead";
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
    if (e->kind != EV_ANSWER || a->payment_key != was->key) return false;
    switch (proof) {
    case PROOF_CLOSED: return done && a->fact == FACT_CLOSED && a->method != CALL_QUERY;
    case PROOF_PROVIDER_CLOSED: return done && a->fact == FACT_CLOSED && a->method == CALL_QUERY;
    case PROOF_DEAD:
        return a->outcome != OUTCOME_UNKNOWN && a->fact == FACT_NOT_FOUND &&
               a->asked_ms >= was->expires_ms + rules->close_grace_ms;
    case PROOF_REFUSED: return a->outcome == OUTCOME_REFUSED && a->method == CALL_CREATE && was->tries <= 1;
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
            return "a proof is what the provider said";
    }
    for (unsigned i = 0; i < before->n_refunds; i++) {
        const struct refund *was = &before->refund[i];
        if (was->state == REFUND_FAILED || after->refund[i].state != REFUND_FAILED) continue;
        if (was->uncertain || e->answer.outcome != OUTCOME_REFUSED || e->answer.method != CALL_REFUND)
            return "a refund has failed only when it was surely refused";
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
static const char *came_and_went_law(const struct event *e, const struct bundle *after)
{
    bool refund_call =
        e->kind == EV_ANSWER && (e->answer.method == CALL_REFUND || e->answer.method == CALL_REFUND_QUERY);
    for (unsigned i = 0; i < after->n_payments && !refund_call; i++) {
        const struct payment *p = &after->payment[i];
        if (!is_about_payment(e, p->key) || e->answer.captured_fen <= 0) continue;
        if (e->answer.fact != FACT_PAID && e->answer.fact != FACT_PAID_AND_REFUNDED) continue;
        if (p->captured_fen == 0) return "money told of is entered";
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
    if (e->kind == EV_DUE && after->order.due_ms <= e->now_ms) return "the timer leaves nothing due";
    if (after->order.due_ms < e->now_ms && before->order.due_ms >= e->now_ms) return "nothing becomes due in the past";
    return NULL;
}

const char *step_law(const struct rules *rules, const struct bundle *before, const struct event *e,
                     const struct bundle *after, const struct step *out)
{
    if (out->n_events > STEP_MAX || out->n_traces > STEP_MAX || out->n_calls > STEP_MAX) return "lists have room";
    if (out->refusal != REFUSAL_NONE)
        return memcmp(before, after, sizeof *after) || out->changed || out->n_events || out->n_calls || out->n_traces ||
                       out->payments_changed || out->refunds_changed || out->stock != STOCK_STAY
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
    if (!broken) broken = came_and_went_law(e, after);
    if (!broken) broken = checks_law(before, e, after);
    if (!broken) broken = payable_law(rules, e, after);
    if (!broken) broken = due_law(before, e, after);
    return broken ? broken : bundle_law(rules, after);
}
