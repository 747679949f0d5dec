// SPDX-License-Identifier: Apache-2.0
#include "broker_check.h"
#include "broker_model.h"
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// The numbers stored, as the tables have them.
enum { FORWARD = 3 };                            // orders.policy
enum { M_CANCEL = 1, M_PAID, M_CANCELLED };      // messages.type
enum { T_CANCEL = 1, T_PAID, T_EVENTS, T_DEAD }; // messages.topic

#define SQL_ORDERS                                                                                                     \
    "SELECT o.key, o.policy, e.closing, e.paid, e.cancelled, h.owes, r.n, o.due_ms IS NULL "                           \
    "FROM orders o JOIN (SELECT order_key, sum(type = 4) closing, sum(type = 3) paid, sum(type = 5) cancelled "        \
    "FROM events GROUP BY order_key) e ON e.order_key = o.key LEFT JOIN halves h ON h.order_key = o.key "              \
    "LEFT JOIN (SELECT order_key, count(*) n FROM traces WHERE kind = 6 AND detail = 'order.cancel: received' "        \
    "GROUP BY order_key) r ON r.order_key = o.key ORDER BY o.key"
#define SQL_MESSAGES "SELECT order_key, topic, type, key FROM messages WHERE topic <> 3"
#define SQL_CONSUMED "SELECT key FROM consumed WHERE consumer = 0"

struct told {
    uint64_t key;
    bool forward, closed, paid, cancelled, is_due;
    unsigned owes;
    bool received;                                    // order.cancel
    unsigned n_cancel, n_paid, n_cancelled, n_astray; // messages delivered
    unsigned n_dead;                                  // kept for people: nobody could take them
    uint64_t last_cancel_key;                         // the embedded broker's
};

static struct told all[SEEN_MAX * 2];
static unsigned n_all;

static struct told *told_find(uint64_t key)
{
    unsigned low = 0, high = n_all;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (all[mid].key < key)
            low = mid + 1;
        else
            high = mid;
    }
    return low < n_all && all[low].key == key ? &all[low] : NULL;
}

// --- At once

bool half_is_decided(struct world *w, const struct message *m)
{
    const struct seen_order *o = seen_find(w, m->order_key);
    if (!o) return false;
    return m->type == MESSAGE_CANCEL ? o->closing_ms || o->paid_ms : o->paid_ms || o->cancelled_ms;
}

static bool is_so(struct world *w, enum message_type type, uint64_t order_key)
{
    const struct seen_order *o = seen_find(w, order_key);
    if (!o) return false;
    return type == MESSAGE_CANCEL ? o->closing_ms : type == MESSAGE_PAID ? o->paid_ms : o->cancelled_ms;
}

void broker_check_said(struct world *w, const struct send *s)
{
    const char *name = name_of(w, 'O', s->message.order_key);
    if (!seen_find(w, s->message.order_key))
        world_violated(w, "said_after_commit", "the broker is told of %s, which is nowhere", name);
    else if (s->kind == SEND_END && !half_is_decided(w, &s->message))
        world_violated(w, "ends_are_decided", "the half message of %s was ended before the order was decided", name);
    else if (s->kind != SEND_HALF && s->answer != ANSWER_ROLLBACK && !is_so(w, s->message.type, s->message.order_key))
        world_violated(w, "told_what_is_so", "%s of %s went out, and it is not so", message_type_name(s->message.type),
                       name);
}

// --- All of it

static sqlite3_stmt *query(struct world *w, sqlite3 *db, const char *sql)
{
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK) return st;
    world_violated(w, "can_be_read", "reading failed: %s", sqlite3_errmsg(db));
    return NULL;
}

static bool next_row(struct world *w, sqlite3 *db, sqlite3_stmt *st)
{
    int rc = st ? sqlite3_step(st) : SQLITE_DONE;
    if (rc == SQLITE_ROW) return true;
    sqlite3_finalize(st);
    if (rc != SQLITE_DONE) world_violated(w, "can_be_read", "reading failed: %s", sqlite3_errmsg(db));
    return false;
}

static void read_orders(struct world *w, sqlite3 *db)
{
    sqlite3_stmt *st = query(w, db, SQL_ORDERS);
    n_all = 0;
    while (next_row(w, db, st)) {
        if (n_all == sizeof all / sizeof all[0]) continue;
        all[n_all++] = (struct told){.key = (uint64_t)sqlite3_column_int64(st, 0),
                                     .forward = sqlite3_column_int(st, 1) == FORWARD,
                                     .closed = sqlite3_column_int(st, 2) > 0,
                                     .paid = sqlite3_column_int(st, 3) > 0,
                                     .cancelled = sqlite3_column_int(st, 4) > 0,
                                     .owes = (unsigned)sqlite3_column_int(st, 5),
                                     .received = sqlite3_column_int(st, 6) > 0,
                                     .is_due = sqlite3_column_int(st, 7) == 0};
    }
}

static void count_message(struct world *w, uint64_t order_key, int topic, int type, uint64_t key)
{
    struct told *o = told_find(order_key);
    if (!o)
        world_violated(w, "said_after_commit", "consumers were told of %s, which is nowhere",
                       name_of(w, 'O', order_key));
    else if (type == M_CANCEL && topic == T_CANCEL)
        o->n_cancel++, o->last_cancel_key = key;
    else if (type == M_PAID && topic == T_PAID)
        o->n_paid++;
    else if (type == M_CANCELLED && topic == T_CANCEL)
        o->n_cancelled++;
    else if (topic == T_DEAD)
        o->n_dead++;
    else
        o->n_astray++;
}

static void read_messages(struct world *w, sqlite3 *db)
{
    const struct broker_model *b = w->mq;
    sqlite3_stmt *st = query(w, db, SQL_MESSAGES);
    while (next_row(w, db, st)) {
        if (w->c.rules.broker == BROKER_REMOTE)
            world_violated(w, "one_broker", "the store keeps messages, and the broker is elsewhere");
        count_message(w, (uint64_t)sqlite3_column_int64(st, 0), sqlite3_column_int(st, 1), sqlite3_column_int(st, 2),
                      (uint64_t)sqlite3_column_int64(st, 3));
    }
    for (unsigned i = 0; i < b->n_delivered; i++) {
        const struct message *m = &b->delivered[i].message;
        count_message(w, m->order_key, (int)m->topic, (int)m->type, 0);
    }
    for (unsigned i = 0; i < b->n_heard; i++)
        if (!told_find(b->heard[i].order_key))
            world_violated(w, "said_after_commit", "the broker heard of %s, which is nowhere",
                           name_of(w, 'O', b->heard[i].order_key));
}

// What may have been told by now, and what must have been: at once where it is a row of the same commit, and else in
// the end.
static void check_told(struct world *w, const struct told *o, bool complete)
{
    const char *name = name_of(w, 'O', o->key), *policy = o->forward ? "forward" : "another policy";
    bool cancel = !o->forward && o->closed, paid = o->forward && o->paid, cancelled = o->forward && o->cancelled;
    if ((o->n_cancel && !cancel) || (o->n_paid && !paid) || (o->n_cancelled && !cancelled) || o->n_astray)
        world_violated(w, "told_what_is_so", "%s (%s): order.cancel %u, order.paid %u, order.cancelled %u, astray %u",
                       name, policy, o->n_cancel, o->n_paid, o->n_cancelled, o->n_astray);
    bool missing = (cancel && !o->n_cancel) || (paid && !o->n_paid) || (cancelled && !o->n_cancelled);
    if (complete && missing)
        world_violated(w, "everybody_is_told", "%s (%s): order.cancel %u, order.paid %u, order.cancelled %u", name,
                       policy, o->n_cancel, o->n_paid, o->n_cancelled);
    if (w->c.rules.broker == BROKER_EMBEDDED && (o->n_cancel > 1 || o->n_paid > 1 || o->n_cancelled > 1))
        world_violated(w, "told_once", "%s (%s): order.cancel %u, order.paid %u, order.cancelled %u", name, policy,
                       o->n_cancel, o->n_paid, o->n_cancelled);
}

// The embedded broker's cancel receiver: what counts as consumed was received, or is a dead letter (a disk that is full
// for long makes one), and in the end all is. How far it had come may lag behind that: written down only when
// everything of its turn is.
static void check_consumed(struct world *w, uint64_t consumed_key, bool final)
{
    for (unsigned i = 0; i < n_all && !w->failed; i++) {
        const struct told *o = &all[i];
        if (!o->n_cancel) continue;
        if (o->received || o->n_dead) continue;
        if (o->last_cancel_key <= consumed_key)
            world_violated(w, "consumed_is_received", "order.cancel of %s counts as consumed, and never was",
                           name_of(w, 'O', o->key));
        if (final) world_violated(w, "received_in_the_end", "order.cancel of %s never was", name_of(w, 'O', o->key));
    }
}

static uint64_t read_consumed(struct world *w, sqlite3 *db)
{
    sqlite3_stmt *st = query(w, db, SQL_CONSUMED);
    uint64_t key = 0;
    while (next_row(w, db, st))
        key = (uint64_t)sqlite3_column_int64(st, 0);
    return key;
}

static void check_nothing_is_left(struct world *w)
{
    const struct broker_model *b = w->mq;
    for (unsigned i = 0; i < n_all && !w->failed; i++)
        if (all[i].owes)
            world_violated(w, "nothing_owed", "%s owes the broker something (%u)%s", name_of(w, 'O', all[i].key),
                           all[i].owes, all[i].is_due ? ", and nobody does anything about it" : "");
    for (unsigned m = 0; m < MASTERS; m++)
        for (unsigned i = 0; i < b->masters[m].n_copies && !w->failed; i++)
            if (b->masters[m].copies[i].state == COPY_PENDING)
                world_violated(w, "no_half_is_left", "the half message of %s is pending for ever",
                               name_of(w, 'O', b->masters[m].copies[i].message.order_key));
}

void broker_check_full(struct world *w, sqlite3 *db, bool final)
{
    bool embedded = w->c.rules.broker == BROKER_EMBEDDED;
    read_orders(w, db);
    read_messages(w, db);
    for (unsigned i = 0; i < n_all && !w->failed; i++)
        check_told(w, &all[i], final || embedded);
    if (embedded) check_consumed(w, read_consumed(w, db), final);
    if (final) check_nothing_is_left(w);
}
