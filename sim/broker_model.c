// SPDX-License-Identifier: Apache-2.0
#include "broker_model.h"
#include "broker_check.h"
#include "clients.h"
#include "node.h"
#include "provider_model.h"
#include <stdio.h>
#include <string.h>

#define ENDS_FLUSH_MS   3000 // a restart forgets ends younger than this
#define OFFSETS_SAVE_MS 5000 // and how far rounds and consumers had come
#define BUSY_MS         1000
#define RESTART_MS      20000
#define RESTARTS_MAX    3
#define OFFSET_FIRST    4096
#define OFFSET_STEP     512

static const char *const MASTER_NAMES[MASTERS] = {"broker-a", "broker-b"};

static const char *send_name(enum send_kind kind)
{
    static const char *const names[] = {"a half message", "an end", "a message", "a second message"};
    return names[kind];
}

static const char *answer_name(enum message_answer answer)
{
    static const char *const names[] = {"nothing", "unknown", "commit", "rollback"};
    return names[answer];
}

static bool goes_wrong(struct world *w)
{
    return world_faults(w, FAULT_BROKER, &w->relay);
}

static int64_t a_moment(struct world *w, int64_t most_ms)
{
    return w->now_ms + random_between(&w->relay, 1, most_ms);
}

// --- Handles

static struct half_at at_of(unsigned master, unsigned i)
{
    struct half_at at = {.commit_log_offset = OFFSET_FIRST + (int64_t)i * OFFSET_STEP, .queue_offset = i};
    (void)snprintf(at.broker, sizeof at.broker, "%s", MASTER_NAMES[master]);
    return at;
}

static int master_of(const struct half_at *at)
{
    for (int m = 0; m < MASTERS; m++)
        if (strcmp(at->broker, MASTER_NAMES[m]) == 0) return m;
    return -1;
}

// NULL: never was one.
static struct copy *copy_at(struct broker_model *b, const struct half_at *at)
{
    int m = master_of(at);
    if (m < 0 || at->queue_offset < 0 || at->queue_offset >= (int64_t)b->masters[m].n_copies) return NULL;
    if (at->commit_log_offset != OFFSET_FIRST + at->queue_offset * OFFSET_STEP) return NULL;
    return &b->masters[m].copies[at->queue_offset];
}

static struct hearsay *hearsay(struct broker_model *b, uint64_t order_key)
{
    static struct hearsay nowhere;
    for (unsigned i = b->n_heard; i-- > 0;)
        if (b->heard[i].order_key == order_key) return &b->heard[i];
    struct hearsay *h = b->n_heard < SEEN_MAX ? &b->heard[b->n_heard++] : &nowhere;
    *h = (struct hearsay){.order_key = order_key};
    return h;
}

// --- Deliveries, and the cancel receiver

static void hand_out(struct world *w, struct happening *h);

static void hand_out_at(struct broker_model *b, unsigned i, int64_t at_ms)
{
    world_plan(b->w, at_ms, hand_out, i, b->delivered[i].n_times, 0);
}

static void receiver_hears(struct world *w, unsigned i)
{
    const struct delivery *d = &w->mq->delivered[i];
    const struct seen_order *o = seen_find(w, d->message.order_key);
    if (o && o->closing_ms && w->now_ms > o->closing_ms + w->c.rules.cancel_wait_ms)
        world_reached(w, SCENE_CANCEL_LATE);
    world_tell(w, "the broker delivers order.cancel of %s, for the %u. time", name_of(w, 'O', d->message.order_key),
               d->n_times);
    node_news(w->node, &(struct broker_news){.kind = BROKER_RECEIVED,
                                             .order_key = d->message.order_key,
                                             .received = {.receipt = i + 1, .n_times = d->n_times}});
}

// `b` is how often it was handed out when this was planned: what came in between has planned anew.
static void hand_out(struct world *w, struct happening *h)
{
    struct broker_model *b = w->mq;
    unsigned i = (unsigned)h->a;
    struct delivery *d = &b->delivered[i];
    if (d->is_done || d->n_times != h->b || d->n_times == DELIVERIES_MAX) return;
    if (b->masters[d->master].down || !node_is_up(w->node)) { // nobody asks for it
        hand_out_at(b, i, w->now_ms + BUSY_MS);
        return;
    }
    d->n_times++;
    if (!goes_wrong(w)) receiver_hears(w, i);
    if (goes_wrong(w)) receiver_hears(w, i);
    hand_out_at(b, i, w->now_ms + w->c.mq.invisible_ms);
}

static void deliver(struct broker_model *b, const struct message *m, unsigned master)
{
    struct world *w = b->w;
    if (b->n_delivered == DELIVERED_MAX) {
        world_violated(w, "harness", "the broker model is full");
        return;
    }
    for (unsigned i = 0; i < b->n_delivered; i++) {
        const struct message *old = &b->delivered[i].message;
        if (old->order_key != m->order_key || old->type != m->type) continue;
        world_reached(w, SCENE_BROKER_DUPLICATES);
        break;
    }
    unsigned i = b->n_delivered++;
    b->delivered[i] = (struct delivery){.message = *m, .master = master, .at_ms = w->now_ms};
    if (m->topic == TOPIC_CANCEL && m->type == MESSAGE_CANCEL) hand_out_at(b, i, a_moment(w, 300));
}

static void model_acknowledge(struct broker *base, uint64_t receipt, bool is_done, int64_t node_ms)
{
    struct broker_model *b = (struct broker_model *)base;
    struct world *w = b->w;
    (void)node_ms;
    if (!node_is_up(w->node) || receipt == 0 || receipt > b->n_delivered) return;
    struct delivery *d = &b->delivered[receipt - 1];
    if (b->masters[d->master].down || goes_wrong(w)) return;
    if (!is_done) {
        hand_out_at(b, (unsigned)receipt - 1, w->now_ms + BUSY_MS);
        return;
    }
    d->is_done = true;
    d->done_ms = w->now_ms;
}

// --- Half messages

static void check_round(struct world *w, struct happening *h);

static void round_plan(struct broker_model *b, unsigned m)
{
    if (b->masters[m].round_is_planned) return;
    b->masters[m].round_is_planned = true;
    world_plan(b->w, b->w->now_ms + b->w->c.mq.check_ms, check_round, m, 0, 0);
}

// The new copy, or NULL: the model is full.
static struct copy *copy_append(struct broker_model *b, unsigned m, const struct message *message)
{
    struct master *at = &b->masters[m];
    if (at->n_copies == COPIES_MAX) {
        world_violated(b->w, "harness", "the broker model is full");
        return NULL;
    }
    struct copy *c = &at->copies[at->n_copies++];
    *c = (struct copy){.message = *message, .at_ms = b->w->now_ms, .changed_ms = b->w->now_ms};
    round_plan(b, m);
    return c;
}

static void copy_becomes(struct broker_model *b, struct copy *c, enum copy_state state)
{
    c->state = state;
    c->changed_ms = b->w->now_ms;
}

static void check_arrives(struct world *w, struct happening *h)
{
    struct broker_model *b = w->mq;
    struct copy *c = &b->masters[h->a].copies[h->b];
    uint64_t order_key = c->message.order_key;
    if (!node_is_up(w->node)) return;
    if (hearsay(b, order_key)->n_ends) world_reached(w, SCENE_CHECK_OF_OLDER_COPY);
    world_tell(w, "the broker asks about %s, for the %u. time", name_of(w, 'O', order_key), (unsigned)h->c);
    if (w->healing && half_is_decided(w, &c->message)) {
        c->asked_ms = w->now_ms;
        c->asked_epoch = node_epoch(w->node);
    }
    struct broker_news n = {.kind = BROKER_CHECK, .order_key = order_key, .checkback = {.n = (uint32_t)h->c}};
    n.checkback.at = at_of((unsigned)h->a, (unsigned)h->b);
    node_news(w->node, &n);
}

static void check_send(struct broker_model *b, unsigned m, unsigned i)
{
    struct world *w = b->w;
    if (goes_wrong(w)) return;
    int64_t at_ms = a_moment(w, 400);
    if (goes_wrong(w)) at_ms += random_skewed(&w->relay, 100, 30000);
    world_plan(w, at_ms, check_arrives, m, i, b->masters[m].copies[i].n_checks);
}

// False: the round is over.
static bool check_one(struct broker_model *b, unsigned m, unsigned i)
{
    struct world *w = b->w;
    struct copy *c = &b->masters[m].copies[i];
    if (c->state != COPY_PENDING) return true;
    if (w->now_ms - c->at_ms <= w->c.mq.young_ms) return false;
    if (c->asked_ms && c->asked_epoch == node_epoch(w->node) && c->asked_ms < w->now_ms - w->c.mq.young_ms)
        world_violated(w, "check_is_answered", "the broker asked about %s, which is decided, and was not answered",
                       name_of(w, 'O', c->message.order_key));
    if (c->n_checks >= w->c.mq.check_max) {
        world_tell(w, "the broker drops the half message of %s", name_of(w, 'O', c->message.order_key));
        if (!hearsay(b, c->message.order_key)->n_ends) world_reached(w, SCENE_HALF_DROPPED);
        copy_becomes(b, c, COPY_DROPPED);
        return true;
    }
    unsigned at = i;
    uint32_t n_checks = c->n_checks + 1;
    if (w->c.mq.copies) {
        struct copy *newer = copy_append(b, m, &c->message);
        if (!newer) return false;
        newer->asked_ms = c->asked_ms;
        newer->asked_epoch = c->asked_epoch;
        at = (unsigned)(newer - b->masters[m].copies);
        copy_becomes(b, c, COPY_FOLLOWED);
        c = newer;
    }
    c->n_checks = n_checks;
    check_send(b, m, at);
    return true;
}

static void head_move(struct master *m)
{
    while (m->head < m->n_copies && m->copies[m->head].state != COPY_PENDING)
        m->head++;
}

static void check_round(struct world *w, struct happening *h)
{
    struct broker_model *b = w->mq;
    struct master *m = &b->masters[h->a];
    m->round_is_planned = false;
    if (!m->down) {
        head_move(m);
        for (unsigned i = m->head; i < m->n_copies && check_one(b, (unsigned)h->a, i); i++)
            ;
        head_move(m);
    }
    if (m->head < m->n_copies) round_plan(b, (unsigned)h->a);
}

// --- Sends under way

enum fate { FATE_WELL, FATE_LOST, FATE_ANSWER_LOST, FATE_BUSY, FATE_ERROR_AFTER, FATE_NO_PERMISSION };

struct flight {
    struct send send;
    struct half_at at; // of the half message made
    unsigned epoch, master;
    enum fate fate;
    enum outcome outcome;
    bool carried_out, in_time;
    unsigned left; // happenings still to come
};

#define FLIGHTS_MAX 2048
static struct flight flights[FLIGHTS_MAX];
static unsigned free_flights[FLIGHTS_MAX], n_free_flights;

static void master_goes_down(struct world *w, struct happening *h);

static enum outcome carry_out_end(struct broker_model *b, const struct send *s, unsigned m)
{
    struct world *w = b->w;
    struct copy *c = copy_at(b, &s->at);
    struct hearsay *h = hearsay(b, s->message.order_key);
    if (!c || c->message.order_key != s->message.order_key) {
        world_violated(w, "handle_is_real", "%s was ended where its half message never was",
                       name_of(w, 'O', s->message.order_key));
        return OUTCOME_REFUSED;
    }
    if (c->state == COPY_DROPPED && w->c.mq.refuses_dropped) {
        h->is_refused = true;
        return OUTCOME_REFUSED;
    }
    h->n_ends++;
    if (s->answer == ANSWER_COMMIT) deliver(b, &c->message, m);
    if (c->state == COPY_PENDING) copy_becomes(b, c, COPY_ENDED);
    if (b->n_restarts < RESTARTS_MAX && goes_wrong(w) && random_chance(&w->relay, 100)) {
        b->n_restarts++; // before it has written that down
        world_plan(w, a_moment(w, ENDS_FLUSH_MS), master_goes_down, m, true, RESTART_MS);
    }
    return OUTCOME_DONE;
}

static void carry_out_half(struct broker_model *b, struct flight *f)
{
    struct copy *c = copy_append(b, f->master, &f->send.message);
    if (c) f->at = at_of(f->master, (unsigned)(c - b->masters[f->master].copies));
}

static void carry_out(struct broker_model *b, struct flight *f)
{
    struct world *w = b->w;
    const struct send *s = &f->send;
    uint64_t order_key = s->message.order_key;
    broker_check_said(w, s);
    f->outcome = OUTCOME_DONE;
    switch (s->kind) {
    case SEND_HALF: carry_out_half(b, f); break;
    case SEND_END: f->outcome = carry_out_end(b, s, f->master); break;
    case SEND_MAIN:
        if (hearsay(b, order_key)->is_refused) world_reached(w, SCENE_END_REPLACED);
        deliver(b, &s->message, f->master);
        break;
    case SEND_SECOND: deliver(b, &s->message, f->master); break;
    }
    f->carried_out = true;
    world_tell(w, "the broker takes %s of %s%s%s: %s", send_name(s->kind), name_of(w, 'O', order_key),
               s->kind == SEND_END ? ", " : "", s->kind == SEND_END ? answer_name(s->answer) : "",
               outcome_name(f->outcome));
}

static void flight_part_ends(struct flight *f)
{
    if (--f->left == 0) free_flights[n_free_flights++] = (unsigned)(f - flights);
}

static void send_arrives(struct world *w, struct happening *h)
{
    struct flight *f = &flights[h->a];
    bool heard = f->fate == FATE_WELL || f->fate == FATE_ANSWER_LOST || f->fate == FATE_ERROR_AFTER;
    if (w->mq->masters[f->master].down) {
        world_reached(w, SCENE_BROKER_DOWN);
        heard = false;
    }
    if (heard) carry_out(w->mq, f);
    flight_part_ends(f);
}

static void send_is_answered(struct world *w, struct happening *h)
{
    struct flight *f = &flights[h->a];
    const struct send *s = &f->send;
    bool alive = f->epoch == node_epoch(w->node) && node_is_up(w->node);
    bool good = f->carried_out && f->in_time && f->fate == FATE_WELL;
    enum outcome outcome = f->fate == FATE_NO_PERMISSION ? OUTCOME_REFUSED : good ? f->outcome : OUTCOME_UNKNOWN;
    if (s->kind == SEND_HALF && f->carried_out && !(good && alive)) world_reached(w, SCENE_HALF_UNKNOWN);
    if (alive) {
        struct broker_news n = {.kind = BROKER_SENT, .order_key = s->message.order_key};
        n.sent.kind = s->kind;
        n.sent.outcome = outcome;
        n.sent.is_loose = s->is_loose;
        if (s->kind == SEND_END) n.sent.at = s->at;
        if (s->kind == SEND_HALF && outcome == OUTCOME_DONE) n.sent.at = f->at;
        world_tell(w, "till hears of %s of %s: %s", send_name(s->kind), name_of(w, 'O', s->message.order_key),
                   outcome_name(outcome));
        node_news(w->node, &n);
    }
    flight_part_ends(f);
}

// An end is refused only when its half message is not known.
static enum fate draw_fate(struct world *w, enum send_kind kind)
{
    if (!goes_wrong(w)) return FATE_WELL;
    static const enum fate bad[] = {FATE_LOST, FATE_ANSWER_LOST, FATE_ANSWER_LOST,
                                    FATE_BUSY, FATE_ERROR_AFTER, FATE_NO_PERMISSION};
    enum fate fate = bad[random_below(&w->relay, sizeof bad / sizeof bad[0])];
    return fate == FATE_NO_PERMISSION && kind == SEND_END ? FATE_BUSY : fate;
}

static int64_t draw_way_ms(struct world *w)
{
    if (!goes_wrong(w)) return random_between(&w->relay, 1, 200);
    return random_skewed(&w->relay, 100, w->c.rules.call_deadline_ms * 3 / 2);
}

// A buyer who pays while the broker hears that the order was cancelled.
static void somebody_pays(struct world *w, const struct send *s)
{
    if (w->healing || s->kind != SEND_END || s->answer != ANSWER_ROLLBACK || s->message.type != MESSAGE_PAID) return;
    for (unsigned i = 0; i < w->ledger->n_trades; i++) {
        const struct trade *t = &w->ledger->trades[i];
        if (t->order_key == s->message.order_key && random_chance(&w->relay, 500))
            clients_pay_at(w, t, a_moment(w, 200));
    }
}

static bool model_submit(struct broker *base, const struct send *s, int64_t node_ms)
{
    struct broker_model *b = (struct broker_model *)base;
    struct world *w = b->w;
    (void)node_ms;
    if (!node_is_up(w->node)) return false; // a turn that died lets nothing out
    if (n_free_flights == 0) return false;
    if (goes_wrong(w) && random_chance(&w->relay, 100)) return false; // no room
    unsigned drawn = (unsigned)random_below(&w->relay, MASTERS);
    int named = s->kind == SEND_END ? master_of(&s->at) : -1;
    unsigned i = free_flights[--n_free_flights];
    struct flight *f = &flights[i];
    *f = (struct flight){
        .send = *s, .epoch = node_epoch(w->node), .master = named >= 0 ? (unsigned)named : drawn, .left = 2};
    f->fate = draw_fate(w, s->kind);
    int64_t deadline_ms = w->now_ms + w->c.rules.call_deadline_ms;
    int64_t there_ms = w->now_ms + draw_way_ms(w);
    int64_t back_ms = there_ms + random_between(&w->relay, 1, 100);
    if (goes_wrong(w)) back_ms += random_skewed(&w->relay, 100, w->c.rules.call_deadline_ms);
    bool silent = f->fate == FATE_LOST || f->fate == FATE_ANSWER_LOST || b->masters[f->master].down;
    f->in_time = back_ms <= deadline_ms;
    world_tell(w, "till sends %s of %s", send_name(s->kind), name_of(w, 'O', s->message.order_key));
    somebody_pays(w, s);
    world_plan(w, there_ms, send_arrives, i, 0, 0);
    world_plan(w, silent || !f->in_time ? deadline_ms : back_ms, send_is_answered, i, 0, 0);
    return true;
}

static void model_free(struct broker *base)
{
    (void)base; // another machine: it stays
}

static const struct broker_ops OPS = {
    .submit = model_submit,
    .acknowledge = model_acknowledge,
    .free = model_free,
};

// --- Its own misfortunes

// What it had not written down yet is as it was before.
static void master_forgets(struct broker_model *b, unsigned m)
{
    struct world *w = b->w;
    struct master *at = &b->masters[m];
    at->head = 0;
    for (unsigned i = 0; i < at->n_copies; i++) {
        struct copy *c = &at->copies[i];
        bool ended = c->state == COPY_ENDED && c->changed_ms > w->now_ms - ENDS_FLUSH_MS;
        bool followed = c->state == COPY_FOLLOWED && c->changed_ms > w->now_ms - OFFSETS_SAVE_MS;
        if (ended) world_reached(w, SCENE_ENDS_FORGOTTEN);
        if (ended || followed) c->state = COPY_PENDING;
    }
    head_move(at);
    if (at->head < at->n_copies) round_plan(b, m);
    for (unsigned i = 0; i < b->n_delivered; i++) {
        struct delivery *d = &b->delivered[i];
        if (d->master != m || !d->is_done || d->done_ms <= w->now_ms - OFFSETS_SAVE_MS) continue;
        d->is_done = false;
        hand_out_at(b, i, w->now_ms + BUSY_MS);
    }
}

static void master_comes_back(struct world *w, struct happening *h)
{
    struct broker_model *b = w->mq;
    if (!b->masters[h->a].down) return; // healed
    b->masters[h->a].down = false;
    world_tell(w, "%s is there again", MASTER_NAMES[h->a]);
}

static void master_goes_down(struct world *w, struct happening *h)
{
    struct broker_model *b = w->mq;
    if (w->healing || b->masters[h->a].down) return;
    world_fault_counted(w);
    world_tell(w, "%s %s", MASTER_NAMES[h->a], h->b ? "is restarted" : "cannot be reached");
    b->masters[h->a].down = true;
    if (h->b) master_forgets(b, (unsigned)h->a);
    world_plan(w, w->now_ms + (int64_t)h->c, master_comes_back, h->a, 0, 0);
}

void broker_model_heal(struct broker_model *b)
{
    for (unsigned m = 0; m < MASTERS; m++)
        b->masters[m].down = false;
}

static void misfortunes_plan(struct world *w)
{
    struct stream *s = &w->relay;
    unsigned n = (unsigned)random_below(s, 4);
    for (unsigned i = 0; i < n; i++) {
        int64_t at_ms = random_between(s, w->start_ms, w->heal_ms);
        bool restart = random_chance(s, 500);
        int64_t away_ms = restart ? random_between(s, 1000, 60000) : random_skewed(s, 1000, 1800000);
        unsigned master = (unsigned)random_below(s, MASTERS + 1); // one past the last: all of them
        for (unsigned m = 0; m < MASTERS; m++)
            if (master == m || master == MASTERS) world_plan(w, at_ms, master_goes_down, m, restart, (uint64_t)away_ms);
    }
}

void broker_model_begin(struct broker_model *b, struct world *w)
{
    b->broker.ops = &OPS;
    b->w = w;
    b->n_delivered = b->n_heard = b->n_restarts = 0;
    for (unsigned m = 0; m < MASTERS; m++) {
        b->masters[m].n_copies = b->masters[m].head = 0;
        b->masters[m].down = b->masters[m].round_is_planned = false;
    }
    n_free_flights = 0;
    for (unsigned i = FLIGHTS_MAX; i-- > 0;) {
        flights[i].left = 0;
        free_flights[n_free_flights++] = i;
    }
    if (w->c.rules.broker == BROKER_REMOTE && world_has(w, FAULT_BROKER)) misfortunes_plan(w);
}
