// SPDX-License-Identifier: Apache-2.0
// Attempts to be paid: one number at one provider each, from being asked for to the proof that it can take no money.
// What happens when it does take some stands in order.c.
//
//    [creating] --code--> [waiting] --money--> [captured], or what order.c makes of it
//        |                    |
//        +---- not wanted ----+--> [closing] -- a proof --> [closed]
#include "core/inside.h"
#include "core/instant.h"
#include <assert.h>

#define SECOND_MS        INT64_C(1000)
#define SKEW_MAX_MS      (24 * 3600 * SECOND_MS) // beyond, what the provider says is no clock
#define PREVIOUS_WAIT_MS (2 * SECOND_MS)         // for the attempt before it to be asked about and closed

bool waiting_means_scanned(enum channel_id channel)
{
    return channel_traits(channel)->scan_makes_trade;
}

// --- Owing and asking

// 2, 4, 8 ... 64 s, a quarter to and fro by the row's own key, so that a provider that comes back is not stormed.
int64_t backoff_ms(uint64_t key, uint32_t tries)
{
    int64_t base_ms = INT64_C(1000) << earlier(tries, 6);
    uint64_t mix = (key ^ tries) * UINT64_C(0x9e3779b97f4a7c15);
    return base_ms * 3 / 4 + (int64_t)(mix >> 40) % (base_ms / 2);
}

void payment_owe(struct run *r, struct payment *p, enum call_method method, int64_t due_ms)
{
    p->owes = method;
    p->due_ms = due_ms;
    payment_touch(r, p);
}

// How long a code made now may live: as long as the window, within what a provider allows.
static int64_t code_expiry_ms(const struct run *r)
{
    int64_t expires_ms = earlier(r->o->expires_ms, r->now_ms + r->rules->code_max_life_ms);
    return later(expires_ms, r->now_ms + r->rules->code_min_life_ms);
}

// Asks now. The row goes on owing the answer: when none comes, it is asked again.
void payment_ask(struct run *r, struct payment *p, enum call_method method)
{
    bool is_retry = p->owes == method && p->tries > 0;
    p->tries++;
    // The same number is asked for with the same end, as providers want it, until that end is too near for any code.
    if (method == CALL_CREATE && p->expires_ms < r->now_ms + r->rules->code_min_life_ms)
        p->expires_ms = code_expiry_ms(r);
    payment_owe(r, p, method, r->now_ms + r->rules->call_deadline_ms + backoff_ms(p->key, p->tries));
    step_call(r, p, method)->is_retry = is_retry;
}

// --- Attempts

// Counted on, for the newest one is always in the bundle.
static uint32_t attempts_made(const struct bundle *b)
{
    uint32_t n = 0;
    for (unsigned i = 0; i < b->n_payments; i++)
        if (b->payment[i].n > n) n = b->payment[i].n;
    return n;
}

// Asks for it at once, or, where it waits, when the attempts before it have been asked about, or soon.
struct payment *payment_add(struct run *r, enum channel_id channel, enum product product, struct str payer, bool waits)
{
    assert(r->b->n_payments < BUNDLE_PAYMENTS);
    uint32_t n = attempts_made(r->b);
    unsigned i = r->b->n_payments++;
    struct payment *p = &r->b->payment[i];
    *p = (struct payment){
        .key = r->next_key++,
        .channel = channel,
        .product = product,
        .payer = payer,
        .n = n + 1,
        .amount_fen = r->o->amount_fen,
        .created_ms = r->now_ms,
        .expires_ms = code_expiry_ms(r),
    };
    r->out->payments_added |= BIT(i);
    r->o->scanned_ms = 0;
    payment_move(r, p, PAYMENT_CREATING);
    if (waits)
        payment_owe(r, p, CALL_CREATE, r->now_ms + PREVIOUS_WAIT_MS);
    else
        payment_ask(r, p, CALL_CREATE);
    return p;
}

bool payment_is_wanted(const struct payment *p)
{
    return p->state == PAYMENT_CREATING || p->state == PAYMENT_WAITING;
}

// With wait_ms it is asked about when order.cancel has come round, or then. One the provider never heard of needs no
// asking.
void payment_close(struct run *r, struct payment *p, int64_t wait_ms)
{
    if (p->state == PAYMENT_CREATING && p->tries == 0) {
        p->proof = PROOF_UNASKED;
        p->proof_ms = r->now_ms;
        payment_move(r, p, PAYMENT_CLOSED);
        return;
    }
    payment_move(r, p, PAYMENT_CLOSING);
    if (wait_ms > 0)
        payment_owe(r, p, CALL_QUERY, r->now_ms + wait_ms);
    else
        payment_ask(r, p, CALL_QUERY);
}

void payment_prove(struct run *r, struct payment *p, enum proof proof)
{
    p->proof = proof;
    p->proof_ms = r->now_ms;
    payment_move(r, p, proof == PROOF_REFUSED ? PAYMENT_FAILED : PAYMENT_CLOSED);
    order_settle(r);
}

static int64_t dead_ms(const struct run *r, const struct payment *p)
{
    return p->expires_ms + r->rules->close_grace_ms;
}

// When the question was put, on the side where the code lives and dies: by the earlier of our clock and the provider's,
// for a clock of ours that ran ahead would call a living code dead. Not said (0) is far beyond what may be.
static int64_t answer_asked_ms(const struct answer *a)
{
    int64_t theirs_ms = a->provider_ms + SECOND_MS;
    return a->asked_ms - theirs_ms < SKEW_MAX_MS ? earlier(theirs_ms, a->asked_ms) : a->asked_ms;
}

// When a request for a code has surely had its answer. (One that is repeated tells of a late code: on_late_code().)
static int64_t code_answered_ms(const struct run *r, const struct payment *p)
{
    return p->created_ms + PREVIOUS_WAIT_MS + r->rules->call_deadline_ms;
}

// "No such trade" while the code lives means only that nobody scanned it yet. A question asked after the code died
// (when it left, not when the answer came) settles it. Where a code is a trade, the question may have overtaken the
// request for it: it is put once more before.
static void payment_not_found(struct run *r, struct payment *p, const struct answer *a)
{
    int64_t early_ms = dead_ms(r, p) - answer_asked_ms(a);
    if (early_ms <= 0) {
        payment_prove(r, p, PROOF_DEAD);
        return;
    }
    int64_t again_ms = a->asked_ms + early_ms;
    if (!waiting_means_scanned(p->channel) && a->asked_ms < code_answered_ms(r, p)) again_ms = code_answered_ms(r, p);
    p->tries = 0;
    payment_owe(r, p, CALL_QUERY, later(again_ms, r->now_ms));
}

// --- Closing

// The trade is still unpaid: close it. When closing goes on failing after the code's death, cancel where that can be
// (meant for just that; before its death a cancel that races a payment would send the buyer's money back).
static void payment_close_trade(struct run *r, struct payment *p)
{
    bool stubborn = channel_traits(p->channel)->has_cancel && p->tries >= 6 && r->now_ms >= dead_ms(r, p);
    payment_ask(r, p, stubborn ? CALL_CANCEL : CALL_CLOSE);
}

static void closing_answered(struct run *r, struct payment *p, const struct answer *a)
{
    bool done = a->outcome == OUTCOME_DONE;
    if (a->fact == FACT_NOT_FOUND && a->outcome != OUTCOME_UNKNOWN) {
        payment_not_found(r, p, a);
    } else if (done && a->fact == FACT_CLOSED) {
        payment_prove(r, p, a->method == CALL_QUERY ? PROOF_PROVIDER_CLOSED : PROOF_CLOSED);
    } else if (a->on_demand && !(done && a->fact == FACT_WAITING && p->owes == CALL_QUERY)) {
        return; // neither a proof nor a trade nobody closes yet: what is owed stays owed
    } else if (done && a->fact == FACT_WAITING && a->method == CALL_QUERY) {
        payment_close_trade(r, p);
    } else if (a->outcome == OUTCOME_REFUSED && a->method == CALL_CLOSE && p->tries <= 2) {
        payment_ask(r, p, CALL_QUERY); // most likely it was paid this moment
    } else {
        payment_owe(r, p, CALL_QUERY, r->now_ms + backoff_ms(p->key, p->tries));
    }
}

// The attempts before it have been asked about: one that was put off is asked for now. An earlier one that cannot be
// closed (a code nobody scanned) goes on being watched beside it.
static void ask_for_next(struct run *r)
{
    for (unsigned i = 0; i < r->b->n_payments; i++) {
        struct payment *p = &r->b->payment[i];
        if (p->state == PAYMENT_CREATING && p->tries == 0) payment_ask(r, p, CALL_CREATE);
    }
}

void on_closing_answer(struct run *r, struct payment *p, const struct answer *a)
{
    closing_answered(r, p, a);
    if (r->out->n_calls == 0) ask_for_next(r); // else it is being asked about further
}

// --- Paying, by whoever wants to

// Its code may be out, and is dead; on_due() will say so in a moment.
static bool code_is_dead(const struct run *r, const struct payment *p)
{
    return p->state == PAYMENT_WAITING && r->now_ms >= p->expires_ms;
}

// Whether a living attempt is what is asked for. A page inside WeChat is paid by the one who opened it.
static bool payment_serves(const struct run *r, const struct payment *p)
{
    const struct event *e = r->e;
    if (!payment_is_wanted(p) || code_is_dead(r, p) || p->channel != e->pay.channel || p->product != e->pay.product)
        return false;
    if (p->product == PRODUCT_JSAPI) return str_eq(p->payer, e->pay.payer);
    if (p->product == PRODUCT_QR) return true;
    int64_t max_ms = channel_traits(p->channel)->address_max_ms;
    return max_ms == 0 || r->now_ms - p->created_ms < max_ms;
}

// The attempts that are no longer wanted are asked to close. True: one of them has an answer to wait for.
static bool close_attempts(struct run *r)
{
    bool waits = false;
    for (unsigned i = 0; i < r->b->n_payments; i++) {
        struct payment *p = &r->b->payment[i];
        if (payment_is_wanted(p)) payment_close(r, p, 0);
        waits |= p->state == PAYMENT_CLOSING && p->tries > 0;
    }
    return waits;
}

static struct payment *payment_serving(struct run *r)
{
    for (unsigned i = 0; i < r->b->n_payments; i++)
        if (payment_serves(r, &r->b->payment[i])) return &r->b->payment[i];
    return NULL;
}

void on_pay(struct run *r)
{
    const struct event *e = r->e;
    if (!order_is_payable(r->o) || r->now_ms >= r->o->expires_ms) {
        r->out->refusal = REFUSAL_NOT_PAYABLE;
        return;
    }
    struct payment *p = payment_serving(r);
    if (!p && (r->b->n_payments >= BUNDLE_PAYMENTS_TO_RENEW || attempts_made(r->b) >= ATTEMPTS_MAX)) {
        r->out->refusal = REFUSAL_BUSY;
        return;
    }
    if (!p) {
        if (r->o->channel != CHANNEL_ANY) r->o->channel = e->pay.channel;
        bool waits = close_attempts(r);
        p = payment_add(r, e->pay.channel, e->pay.product, e->pay.payer, waits);
        if (e->pay.by_buyer) r->o->scanned_ms = r->now_ms;
    }
    r->out->payment_key = p->key;
}
