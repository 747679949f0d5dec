// SPDX-License-Identifier: Apache-2.0
// What holds of an order and its attempts after every step, whatever happened: asserted by core_step() itself.
#include "core/order.h"

const char *bundle_invariant(const struct bundle *b)
{
    const struct order *o = &b->order;
    if (o->state == ORDER_PAID && o->paid_fen <= 0) return "paid_has_money";
    if (o->refunded_fen < 0 || o->refunded_fen > o->paid_fen) return "refunded_within_paid";
    if (o->due_ms != TIME_NEVER && o->due_ms <= 0) return "due_is_an_instant";
    for (unsigned i = 0; i < b->n_payments; i++) {
        const struct payment *p = &b->payment[i];
        if (p->refunded_fen < 0 || p->refunding_fen < 0) return "refunds_not_negative";
        if (p->refunded_fen + p->refunding_fen > p->captured_fen) return "refunds_within_capture";
        if ((p->owes == CALL_NONE) != (p->due_ms == TIME_NEVER)) return "owing_has_a_time";
        if (o->state == ORDER_CANCELLED && o->cancelled_ms == 0) return "cancelled_has_a_time";
        if (p->state == PAYMENT_CLOSED && p->proof == PROOF_NONE) return "closed_has_a_proof";
        if (p->counts && p->captured_fen != p->amount_fen && p->word != WORD_ACCEPTED) return "paid_in_full";
        if (p->counts && o->paid_fen != p->captured_fen) return "paid_by_its_money";
    }
    return NULL;
}
