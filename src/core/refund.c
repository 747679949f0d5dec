// SPDX-License-Identifier: Apache-2.0
// Money on its way back. A refund goes on being offered under one number until the provider's final word:
//
//                          done
//     [pending] ------------------------------------------> [succeeded]
//       |  ^  \__ refused, a merchant's, and certain ------> [failed]
//       |  |
//       +--+ unknown: again; accepted: asked about; absent, often enough: offered again; abnormal: a person must act
//       \__ closed over there, without money moved ----------> [failed], and what must go back goes on in a new row
#include "core/inside.h"
#include "core/instant.h"
#include <assert.h>

static void refund_touch(struct run *r, const struct refund *f)
{
    r->out->refunds_changed |= BIT(f - r->b->refund);
}

void refund_ask(struct run *r, struct refund *f, const struct payment *p)
{
    if (f->owes == CALL_REFUND && f->tries > 0) f->uncertain = true;
    f->tries++;
    f->due_ms = r->now_ms + r->rules->call_deadline_ms + backoff_ms(f->key, f->tries);
    refund_touch(r, f);
    struct call *c = step_call(r, p, f->owes);
    c->amount_fen = f->amount_fen;
    c->total_fen = p->captured_fen;
    c->refund_key = f->key;
    c->is_retry = f->tries > 1;
    // A capture is sent back by the system at most once, so its own number serves: the same after any crash. Only when
    // the provider ended that one without moving money another number is taken, that of the row which replaces it.
    c->number_key = f->cause == CAUSE_MERCHANT || f->replaces_key ? f->key : p->key;
}

static struct refund *refund_new(struct run *r, struct payment *p, int64_t amount_fen, enum refund_cause cause)
{
    assert(r->b->n_refunds < BUNDLE_REFUNDS);
    unsigned i = r->b->n_refunds++;
    struct refund *f = &r->b->refund[i];
    *f = (struct refund){
        .key = r->next_key++,
        .payment_key = p->key,
        .state = REFUND_PENDING,
        .cause = cause,
        .owes = CALL_REFUND,
        .amount_fen = amount_fen,
        .created_ms = r->now_ms,
    };
    r->out->refunds_added |= BIT(i);
    p->refunding_fen += amount_fen;
    if (p->state == PAYMENT_CAPTURED || p->state == PAYMENT_HELD) payment_move(r, p, PAYMENT_REFUNDING);
    if (p->word == WORD_AWAITED) p->word = WORD_NONE; // it goes back: nothing is left to decide
    payment_touch(r, p);
    return f;
}

struct refund *refund_add(struct run *r, struct payment *p, int64_t amount_fen, enum refund_cause cause)
{
    struct refund *f = refund_new(r, p, amount_fen, cause);
    refund_ask(r, f, p);
    return f;
}

void refund_end(struct run *r, struct refund *f, struct payment *p, enum refund_state state)
{
    f->state = state;
    f->is_abnormal = false;
    f->owes = CALL_NONE;
    f->due_ms = TIME_NEVER;
    f->finished_ms = r->now_ms;
    refund_touch(r, f);
    p->refunding_fen -= f->amount_fen;
    payment_touch(r, p);
    if (state == REFUND_SUCCEEDED) {
        p->refunded_fen += f->amount_fen;
        if (p->counts) r->o->refunded_fen += f->amount_fen;
    }
    if (p->state == PAYMENT_REFUNDING && p->refunding_fen == 0)
        payment_move(r, p, p->refunded_fen == p->captured_fen ? PAYMENT_REFUNDED : PAYMENT_CAPTURED);
    step_event(r, state == REFUND_SUCCEEDED ? EVENT_REFUND_SUCCEEDED : EVENT_REFUND_FAILED, p, f, f->amount_fen);
}

static void refund_owe(struct run *r, struct refund *f, enum call_method method, int64_t due_ms)
{
    if (f->owes != method) f->tries = 0;
    f->owes = method;
    f->due_ms = due_ms;
    refund_touch(r, f);
}

#define SYSTEM_REFUND_RETRY_MS (10 * 60 * INT64_C(1000))

// A provider's definite "no". A merchant's refund ends there. Money that must go back goes on being offered: the usual
// reason is that the seller's balance is short today.
static void refund_refused(struct run *r, struct refund *f, struct payment *p)
{
    if (f->uncertain) {
        f->absents = 0;
        refund_owe(r, f, CALL_REFUND_QUERY, r->now_ms + r->rules->refund_query_ms);
    } else if (f->cause == CAUSE_MERCHANT) {
        refund_end(r, f, p, REFUND_FAILED);
    } else {
        f->tries = 0;
        refund_owe(r, f, CALL_REFUND, r->now_ms + SYSTEM_REFUND_RETRY_MS);
    }
}

#define ABSENTS_ENOUGH     3
#define REFUND_WAIT_MAX_MS (3600 * INT64_C(1000))

// A refund that is being worked on is asked about at growing distances: half its age, from ten seconds to an hour.
static int64_t refund_wait_ms(const struct run *r, const struct refund *f)
{
    int64_t wait_ms = earlier((r->now_ms - f->created_ms) / 2, REFUND_WAIT_MAX_MS);
    return later(wait_ms, r->rules->refund_query_ms);
}

// What is asked about soon anyway, or is being asked, is not asked about once more: notices are repeated.
bool refunds_hinted(struct run *r, const struct payment *p)
{
    bool asked = false;
    for (unsigned i = 0; i < r->b->n_refunds; i++) {
        struct refund *f = &r->b->refund[i];
        bool waits = f->owes == CALL_REFUND_QUERY && f->tries == 0;
        if (f->payment_key != p->key || !waits || f->due_ms <= r->now_ms + r->rules->refund_query_ms) continue;
        refund_ask(r, f, p);
        asked = true;
    }
    return asked;
}

static void refund_wait(struct run *r, struct refund *f)
{
    f->tries = 0;
    refund_owe(r, f, CALL_REFUND_QUERY, r->now_ms + refund_wait_ms(r, f));
}

// A provider that does not know a refund may only be slow to. Asked often enough, it never arrived: offer it again,
// under the same number.
static void refund_absent(struct run *r, struct refund *f, struct payment *p)
{
    if (++f->absents < ABSENTS_ENOUGH) {
        refund_wait(r, f);
        return;
    }
    f->absents = 0;
    f->uncertain = false;
    refund_owe(r, f, CALL_REFUND, r->now_ms);
    refund_ask(r, f, p);
}

// The provider ended this number without moving money (the seller's balance was short for days). Money that must go
// back is offered again, later, under a number of its own.
static void refund_closed(struct run *r, struct refund *f, struct payment *p)
{
    int64_t amount_fen = f->amount_fen;
    enum refund_cause cause = f->cause;
    uint64_t key = f->key;
    refund_end(r, f, p, REFUND_FAILED);
    if (cause == CAUSE_MERCHANT) return;
    struct refund *next = refund_new(r, p, amount_fen, cause);
    next->replaces_key = key;
    refund_owe(r, next, CALL_REFUND, r->now_ms + SYSTEM_REFUND_RETRY_MS);
}

void refund_answered(struct run *r, struct refund *f, struct payment *p, const struct answer *a)
{
    if (a->outcome == OUTCOME_DONE && a->fact == FACT_REFUND_DONE) {
        refund_end(r, f, p, REFUND_SUCCEEDED);
    } else if (a->outcome == OUTCOME_DONE && a->fact == FACT_REFUND_CLOSED) {
        refund_closed(r, f, p);
    } else if (a->outcome == OUTCOME_DONE && (a->fact == FACT_REFUND_ACCEPTED || a->fact == FACT_REFUND_ABNORMAL)) {
        f->is_abnormal = a->fact == FACT_REFUND_ABNORMAL; // not final: who acts there can still bring it home
        f->absents = 0;
        refund_wait(r, f);
    } else if (a->outcome == OUTCOME_DONE && a->fact == FACT_REFUND_ABSENT) {
        refund_absent(r, f, p);
    } else if (a->outcome == OUTCOME_REFUSED && a->method == CALL_REFUND) {
        refund_refused(r, f, p);
    } else {
        refund_owe(r, f, f->owes, r->now_ms + backoff_ms(f->key, f->tries));
    }
}

void refund_by_provider(struct run *r, struct payment *p, int64_t amount_fen)
{
    refund_end(r, refund_new(r, p, amount_fen, CAUSE_PROVIDER), p, REFUND_SUCCEEDED);
}

struct refund *refund_find(struct bundle *b, uint64_t key)
{
    for (unsigned i = 0; i < b->n_refunds; i++)
        if (b->refund[i].key == key) return &b->refund[i];
    return NULL;
}
