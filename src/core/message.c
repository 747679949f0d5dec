// SPDX-License-Identifier: Apache-2.0
// What is told through the broker. The half message of an order at a broker elsewhere:
//
//              acknowledged              decided, its end acknowledged or refused
//    [unsent] --------------> [pending] -----------------------------------------> [ended]
//        \                      ^   | a check-back brings a newer copy
//         \_ a check-back says  |   |
//            it is there _______|___/
//
// Whatever is not acknowledged is said again. So a message may be delivered twice, and never not at all; consumers
// know it again by its id. A half message the broker lost or dropped is replaced by a plain message.
#include "core/inside.h"
#include <assert.h>

static bool policy_is_transactional(enum policy p)
{
    return p == POLICY_REVERSE || p == POLICY_FORWARD;
}

bool order_waits_for_broker(const struct rules *rules, const struct order *o)
{
    return rules->broker == BROKER_REMOTE && policy_is_transactional(o->policy);
}

// --- What a message says

static struct message message_main(const struct order *o)
{
    bool forward = o->policy == POLICY_FORWARD;
    return (struct message){
        .topic = forward ? TOPIC_PAID : TOPIC_CANCEL,
        .type = forward ? MESSAGE_PAID : MESSAGE_CANCEL,
        .order_key = o->key,
        .sequence = o->sequence,
        .amount_fen = o->amount_fen,
        .reason = forward ? REASON_NONE : o->reason,
    };
}

static struct message message_second(const struct order *o)
{
    struct message m = message_main(o);
    m.topic = TOPIC_CANCEL;
    m.type = MESSAGE_CANCELLED;
    m.reason = o->reason;
    return m;
}

static void tell_message(struct run *r, enum message_type type, struct str what)
{
    step_say(step_trace(r, TRACE_MESSAGE), str_of(message_type_name(type)), what);
}

// --- The embedded broker: a row of the same commit

static void message_keep(struct run *r, struct message m)
{
    assert(r->out->n_messages < STEP_MESSAGES);
    r->out->messages[r->out->n_messages++] = m;
    tell_message(r, m.type, STR("delivered"));
}

// --- A broker elsewhere

static void half_touch(struct run *r)
{
    r->out->half_changed = true;
}

static struct send *send_add(struct run *r, enum send_kind kind)
{
    assert(r->out->n_sends < STEP_MESSAGES);
    struct send *s = &r->out->sends[r->out->n_sends++];
    *s = (struct send){.kind = kind, .message = kind == SEND_SECOND ? message_second(r->o) : message_main(r->o)};
    uint32_t sequence = kind == SEND_SECOND ? r->b->half.second_sequence : r->b->half.main_sequence;
    if (sequence) s->message.sequence = sequence; // said again it is the same message
    return s;
}

static struct send *end_add(struct run *r, const struct half_at *at, enum message_answer answer)
{
    struct send *s = send_add(r, SEND_END);
    s->at = *at;
    s->answer = answer;
    return s;
}

// Says all that is owed. The row goes on owing it: what is not acknowledged is said again.
static void half_say(struct run *r)
{
    struct half *h = &r->b->half;
    half_touch(r);
    if (h->owes == 0) {
        h->tries = 0;
        h->due_ms = TIME_NEVER;
        return;
    }
    h->tries++;
    h->due_ms = r->now_ms + r->rules->call_deadline_ms + backoff_ms(r->o->key, h->tries);
    if (h->owes & OWES_HALF) send_add(r, SEND_HALF);
    if (h->owes & OWES_END) end_add(r, &h->at, h->answer);
    if (h->owes & OWES_MAIN) send_add(r, SEND_MAIN);
    if (h->owes & OWES_SECOND) send_add(r, SEND_SECOND);
}

// Nothing to add to what is on its way; when nothing is owed any more, nothing is due.
static void half_rest(struct run *r)
{
    struct half *h = &r->b->half;
    half_touch(r);
    h->tries = 0;
    if (h->owes == 0) h->due_ms = TIME_NEVER;
}

// A half message that may be there and is not known to be is not waited for: what must be delivered goes plainly, and
// the half message is rolled back should it turn up. So it is when it was decided before: a rollback that may be on its
// way stays one, for nobody could tell which of two answers the broker heard.
static void half_decide(struct run *r, bool commit)
{
    struct half *h = &r->b->half;
    if (h->state == HALF_PENDING && h->answer == ANSWER_NONE) {
        h->answer = commit ? ANSWER_COMMIT : ANSWER_ROLLBACK;
        h->owes |= OWES_END;
    } else {
        h->answer = ANSWER_ROLLBACK;
        h->owes &= ~OWES_HALF;
        if (commit) h->owes |= OWES_MAIN;
        if (h->state == HALF_NONE) h->state = HALF_ENDED;
    }
}

// --- What the order machine calls

void messages_open(struct run *r)
{
    if (!order_waits_for_broker(r->rules, r->o)) return;
    r->b->half = (struct half){.state = HALF_UNSENT, .owes = OWES_HALF};
    half_say(r);
}

static void main_decide(struct run *r, bool commit)
{
    if (r->rules->broker == BROKER_EMBEDDED) {
        if (commit) message_keep(r, message_main(r->o));
    } else if (commit || r->b->half.state != HALF_NONE) {
        half_decide(r, commit);
        if (commit) r->b->half.main_sequence = r->o->sequence;
    }
}

static void second_tell(struct run *r)
{
    struct half *h = &r->b->half;
    if (r->rules->broker == BROKER_EMBEDDED) {
        message_keep(r, message_second(r->o));
        return;
    }
    if (h->state == HALF_NONE) *h = (struct half){.state = HALF_ENDED, .answer = ANSWER_ROLLBACK};
    h->owes |= OWES_SECOND;
    h->second_sequence = r->o->sequence;
}

enum message_answer message_decision(enum policy policy, enum order_state from, enum order_state to)
{
    if (policy == POLICY_FORWARD)
        return to == ORDER_PAID ? ANSWER_COMMIT : to == ORDER_CANCELLED ? ANSWER_ROLLBACK : ANSWER_NONE;
    if (to == ORDER_CLOSING) return ANSWER_COMMIT;
    return to == ORDER_PAID && (from == ORDER_PLACED || from == ORDER_AWAITING_PAYMENT) ? ANSWER_ROLLBACK : ANSWER_NONE;
}

void messages_moved(struct run *r, enum order_state from)
{
    enum message_answer answer = message_decision(r->o->policy, from, r->o->state);
    if (answer == ANSWER_NONE) return;
    main_decide(r, answer == ANSWER_COMMIT);
    if (r->o->state == ORDER_CANCELLED) second_tell(r);
    if (r->rules->broker == BROKER_REMOTE && r->b->half.state != HALF_NONE) half_say(r);
}

bool messages_delay_closing(const struct run *r)
{
    return r->o->policy != POLICY_FORWARD;
}

void messages_due(struct run *r)
{
    if (r->b->half.owes && r->now_ms >= r->b->half.due_ms) half_say(r);
}

// --- What the broker says

// Of one broker the offsets grow; another's say nothing about it.
static bool is_older(const struct half_at *at, const struct half_at *than)
{
    return memcmp(at->broker, than->broker, BROKER_NAME_SIZE) == 0 && at->commit_log_offset < than->commit_log_offset;
}

static void half_is_there(struct run *r, const struct half_at *at, uint32_t n_checks)
{
    struct half *h = &r->b->half;
    if (h->state == HALF_PENDING && is_older(at, &h->at)) return;
    h->at = *at;
    h->n_checks = n_checks;
    if (h->state == HALF_PENDING) return;
    h->state = HALF_PENDING;
    h->owes &= ~OWES_HALF;
    if (h->answer != ANSWER_NONE) h->owes |= OWES_END; // decided meanwhile, without it
}

static void on_half_sent(struct run *r, enum outcome outcome)
{
    struct half *h = &r->b->half;
    if (outcome != OUTCOME_DONE || h->state != HALF_UNSENT) return;
    half_is_there(r, &r->e->sent.at, 0);
    step_trace(r, TRACE_HALF)->answer = ANSWER_UNKNOWN;
    half_say(r); // nothing, or what was decided meanwhile
}

static bool same_copy(const struct half_at *a, const struct half_at *b)
{
    return a->commit_log_offset == b->commit_log_offset && a->queue_offset == b->queue_offset &&
           memcmp(a->broker, b->broker, BROKER_NAME_SIZE) == 0;
}

static void on_end_sent(struct run *r, enum outcome outcome)
{
    struct half *h = &r->b->half;
    if (!(h->owes & OWES_END) || outcome == OUTCOME_UNKNOWN) return;
    bool commit = h->answer == ANSWER_COMMIT;
    if (outcome == OUTCOME_REFUSED && !same_copy(&h->at, &r->e->sent.at)) return; // a newer one was offered meanwhile
    h->owes &= ~OWES_END;
    h->state = HALF_ENDED;
    if (outcome == OUTCOME_DONE) {
        step_trace(r, TRACE_HALF)->answer = h->answer;
        if (commit) tell_message(r, message_main(r->o).type, STR("delivered"));
        half_rest(r);
    } else if (commit) { // the broker has lost or dropped it
        tell_message(r, message_main(r->o).type, STR("the half message is gone; sent plainly"));
        h->answer = ANSWER_ROLLBACK;
        h->owes |= OWES_MAIN;
        half_say(r);
    } else {
        half_rest(r);
    }
}

static void on_plain_sent(struct run *r, enum outcome outcome, unsigned what, enum message_type type)
{
    struct half *h = &r->b->half;
    if (!(h->owes & what) || outcome != OUTCOME_DONE) return;
    h->owes &= ~what;
    tell_message(r, type, STR("delivered"));
    half_rest(r);
}

void on_sent(struct run *r)
{
    enum outcome outcome = r->e->sent.outcome;
    switch (r->e->sent.kind) {
    case SEND_HALF: on_half_sent(r, outcome); break;
    case SEND_END: on_end_sent(r, outcome); break;
    case SEND_MAIN: on_plain_sent(r, outcome, OWES_MAIN, message_main(r->o).type); break;
    case SEND_SECOND: on_plain_sent(r, outcome, OWES_SECOND, MESSAGE_CANCELLED); break;
    }
}

static void tell_checkback(struct run *r, enum message_answer answer)
{
    step_trace(r, TRACE_CHECKBACK)->answer = answer;
}

static bool order_is_decided(const struct order *o)
{
    return o->policy == POLICY_FORWARD ? o->state == ORDER_PAID || o->state == ORDER_CANCELLED : !order_is_payable(o);
}

// A copy that is not the one whose end counts: rolling it back delivers nothing a second time.
static void roll_back_loose(struct run *r)
{
    struct send *s = end_add(r, &r->e->checkback.at, ANSWER_ROLLBACK);
    s->from_check = s->is_loose = true;
    tell_checkback(r, ANSWER_ROLLBACK);
}

// True: it is undecided, and the provider may be asked. Of a copy whose end was acknowledged before, the broker made
// another, too late to know.
bool half_checked(struct run *r)
{
    struct half *h = &r->b->half;
    bool is_open = h->state == HALF_UNSENT || h->owes & OWES_END || !order_is_decided(r->o);
    if (!policy_is_transactional(r->o->policy)) return false; // none of ours: nothing is said about it
    if (!is_open) {
        roll_back_loose(r);
        return false;
    }
    if (h->owes & OWES_END && is_older(&r->e->checkback.at, &h->at)) { // the answer on its way is not this one's
        roll_back_loose(r);
        return false;
    }
    half_is_there(r, &r->e->checkback.at, r->e->checkback.n);
    if (h->owes & OWES_END) {
        tell_checkback(r, h->answer);
        half_say(r);
        return false;
    }
    half_rest(r);
    return true;
}
