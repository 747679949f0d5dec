// SPDX-License-Identifier: Apache-2.0
#include "checker.h"
#include "broker_check.h"
#include "clients.h"
#include "fault_vfs.h"
#include "node.h"
#include "provider_model.h"
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The numbers stored, as the tables have them.
enum { O_PLACED = 1, O_AWAITING, O_CLOSING, O_PAID, O_CANCELLED };
enum {
    P_CREATING = 1,
    P_WAITING,
    P_CAPTURED,
    P_CLOSING,
    P_CLOSED,
    P_REFUNDING,
    P_REFUNDED,
    P_FAILED,
    P_HELD,
    P_MISMATCHED
};
enum { R_PENDING = 1, R_SUCCEEDED, R_FAILED };
enum { CAUSE_OF_MERCHANT, CAUSE_OF_PROVIDER = 4 };
enum { E_PLACED = 1, E_AWAITING, E_PAID, E_CLOSING, E_CANCELLED, E_LATE, E_DUPLICATE, E_MISMATCH };

#define QUERIES(X)                                                                                                     \
    X(Q_EVENTS_SINCE, "SELECT key, order_key, type FROM events WHERE key > ? ORDER BY key")                            \
    X(Q_ORDER, "SELECT buyer, expires_ms, channel FROM orders WHERE key = ?")                                          \
    X(Q_CAPTURED, "SELECT captured_fen FROM payments WHERE key = ?")                                                   \
    X(Q_LIVING, "SELECT count(*) FROM payments WHERE order_key = ? AND state IN (1, 2)")                               \
    X(Q_INTEGRITY, "PRAGMA integrity_check")                                                                           \
    X(Q_ORDERS, "SELECT key, version, state, amount_fen, paid_fen, refunded_fen, due_ms IS NOT NULL, buyer, sequence " \
                "FROM orders ORDER BY key")                                                                            \
    X(Q_LINES, "SELECT o.key, json_extract(j.value, '$.sku'), json_extract(j.value, '$.quantity') "                    \
               "FROM orders o, json_each(o.items) j WHERE o.holds_stock = 1")                                          \
    X(Q_SKUS, "SELECT sku, available, held, sold FROM skus")                                                           \
    X(Q_EVENTS, "SELECT order_key, count(*), min(sequence), max(sequence), sum(type = 3), sum(type = 5) "              \
                "FROM events GROUP BY order_key ORDER BY order_key")                                                   \
    X(Q_PAYMENTS, "SELECT key, order_key, state, captured_fen, refunded_fen, counts, n, proof, word, channel "         \
                  "FROM payments ORDER BY key")                                                                        \
    X(Q_REFUNDS, "SELECT key, payment_key, state, cause, amount_fen, replaces_key, is_abnormal FROM refunds")          \
    X(Q_CASES, "SELECT count(*) FROM cases WHERE number = ?")                                                          \
    X(Q_CARTS, "SELECT cart FROM carts")
#define X_QUERY(constant, sql) constant,
enum query { QUERIES(X_QUERY) N_QUERIES };
#undef X_QUERY

struct order_row {
    uint64_t key;
    int64_t version, state, amount_fen, paid_fen, refunded_fen, sequence;
    bool owes;
    unsigned client;
    int64_t lines[SKUS_MAX];
};
struct payment_row {
    uint64_t key, order_key;
    int64_t state, captured_fen, refunded_fen, n, proof, channel;
    bool counts, is_awaited, is_accepted; // the latter two: an operator's word
};
struct refund_row {
    uint64_t key, payment_key, replaces_key;
    int64_t state, cause, amount_fen;
    bool is_abnormal;
};

#define ROWS_MAX 2048
struct checker {
    sqlite3 *db;
    sqlite3_stmt *st[N_QUERIES];
    uint64_t last_event;
    struct order_row orders[ROWS_MAX];
    struct payment_row payments[ROWS_MAX];
    struct refund_row refunds[ROWS_MAX];
    unsigned n_orders, n_payments, n_refunds;
};

struct checker *checker_new(void)
{
    return calloc(1, sizeof(struct checker));
}

void checker_free(struct checker *c)
{
    free(c);
}

void checker_begin(struct world *w)
{
    w->checker->last_event = 0;
}

void checker_open(struct world *w)
{
#define X_SQL(constant, sql) [constant] = sql,
    static const char *const sql[] = {QUERIES(X_SQL)};
#undef X_SQL
    struct checker *c = w->checker;
    bool ok = sqlite3_open_v2(DISK_DB, &c->db, SQLITE_OPEN_READONLY, DISK_VFS) == SQLITE_OK;
    for (int i = 0; ok && i < N_QUERIES; i++)
        ok = sqlite3_prepare_v2(c->db, sql[i], -1, &c->st[i], NULL) == SQLITE_OK;
    if (!ok) world_violated(w, "can_be_read", "the database does not open for reading: %s", sqlite3_errmsg(c->db));
}

void checker_close(struct world *w)
{
    struct checker *c = w->checker;
    for (int i = 0; i < N_QUERIES; i++) {
        sqlite3_finalize(c->st[i]);
        c->st[i] = NULL;
    }
    sqlite3_close(c->db);
    c->db = NULL;
}

static bool next_row(struct world *w, enum query q)
{
    int rc = sqlite3_step(w->checker->st[q]);
    if (rc == SQLITE_ROW) return true;
    sqlite3_reset(w->checker->st[q]);
    if (rc != SQLITE_DONE) world_violated(w, "can_be_read", "reading failed: %s", sqlite3_errmsg(w->checker->db));
    return false;
}

static int64_t number(struct world *w, enum query q, int i)
{
    return sqlite3_column_int64(w->checker->st[q], i);
}

static const char *words(struct world *w, enum query q, int i)
{
    const char *s = (const char *)sqlite3_column_text(w->checker->st[q], i);
    return s ? s : "";
}

// "client12" -> 12
static unsigned client_of(const char *buyer)
{
    while (*buyer && (*buyer < '0' || *buyer > '9'))
        buyer++;
    unsigned long n = *buyer ? strtoul(buyer, NULL, 10) : CLIENTS_MAX;
    return n < CLIENTS_MAX ? (unsigned)n : CLIENTS_MAX;
}

// --- Turn by turn

// Stock may be given back in this instant only when nobody can pay any code of the order any more. The ledger says so,
// not Till's own proofs. (A clock that runs ahead makes a code look dead that is not: then late money must do.)
static void judge_release(struct world *w, const struct seen_order *o)
{
    struct ledger *l = w->ledger;
    if (w->c.rules.release == RELEASE_DEADLINE) return;
    for (unsigned i = 0; i < l->n_trades; i++) {
        const struct trade *t = &l->trades[i];
        if (t->order_key != o->key) continue;
        if (trade_can_be_paid(l, t))
            world_violated(w, "released_only_unpayable",
                           "the order of client %u gave its stock back; %s can be paid for %lld ms more", o->client,
                           name_of(w, 'P', t->payment_key), (long long)(t->expires_ms + w->c.lag_ms - w->now_ms));
        if (t->state != TRADE_PAID || w->failed) continue;
        sqlite3_bind_int64(w->checker->st[Q_CAPTURED], 1, (sqlite3_int64)t->payment_key);
        int64_t captured_fen = next_row(w, Q_CAPTURED) ? number(w, Q_CAPTURED, 0) : 0;
        sqlite3_reset(w->checker->st[Q_CAPTURED]);
        if (captured_fen == 0)
            world_violated(w, "released_only_unpayable", "the order of client %u gave its stock back; %s is paid",
                           o->client, name_of(w, 'P', t->payment_key));
    }
    if (create_is_under_way(l, o->key))
        world_violated(w, "released_only_unpayable",
                       "the order of client %u gave its stock back; a code is still being made", o->client);
}

// A code is asked for: nothing else of its order is waiting to be paid, and the order takes money.
void checker_sees_create(struct world *w, uint64_t order_key, uint64_t payment_key)
{
    const struct seen_order *o = seen_find(w, order_key);
    unsigned runs = product_runs;
    if (w->failed) return;
    product_runs = 0; // it is on the stack, and what is read here is not its own
    if (o && o->state >= O_CLOSING)
        world_violated(w, "closed_orders_open_nothing", "a code for %s is asked for, and its order takes no money",
                       name_of(w, 'P', payment_key));
    sqlite3_bind_int64(w->checker->st[Q_LIVING], 1, (sqlite3_int64)order_key);
    int64_t n = next_row(w, Q_LIVING) ? number(w, Q_LIVING, 0) : 0;
    sqlite3_reset(w->checker->st[Q_LIVING]);
    product_runs = runs;
    if (n > 1)
        world_violated(w, "one_living_attempt", "a code for %s is asked for, and %lld attempts of its order live",
                       name_of(w, 'P', payment_key), (long long)n);
}

// With nothing broken an order is closed at its deadline and settled when its codes are dead, both at once.
static void judge_pace(struct world *w, const struct seen_order *o, int type)
{
    int64_t by_ms = o->expires_ms;
    if (w->c.faults != 0) return;
    for (unsigned i = 0; type == E_CANCELLED && i < w->ledger->n_trades; i++) {
        const struct trade *t = &w->ledger->trades[i];
        if (t->order_key == o->key && t->expires_ms > by_ms) by_ms = t->expires_ms;
    }
    by_ms += 4 * w->c.batch_ms + 100;
    if (type == E_CANCELLED) by_ms += w->c.rules.close_grace_ms + 3000;
    if (w->now_ms > by_ms)
        world_violated(w, "in_time", "the order of client %u is %s %lld ms too late", o->client,
                       type == E_CLOSING ? "closed" : "cancelled", (long long)(w->now_ms - by_ms));
}

static void judge_paid(struct world *w, const struct seen_order *o)
{
    bool money = false;
    for (unsigned i = 0; i < w->ledger->n_trades; i++) {
        const struct trade *t = &w->ledger->trades[i];
        if (t->order_key != o->key || t->state != TRADE_PAID) continue;
        money = true;
        if (t->mute && !t->notice_told) world_reached(w, SCENE_NOTICE_LOST);
    }
    if (!money) world_violated(w, "paid_means_money", "the order of client %u is paid, and no money came", o->client);
    if (o->paid_ms) world_violated(w, "paid_once", "the order of client %u became paid twice", o->client);
}

static struct seen_order *meet_order(struct world *w, uint64_t key)
{
    struct seen_order *o = seen_find(w, key);
    if (o || w->n_seen == SEEN_MAX) return o;
    o = &w->seen[w->n_seen++];
    *o = (struct seen_order){.key = key, .client = CLIENTS_MAX, .expires_ms = INT64_MAX};
    sqlite3_bind_int64(w->checker->st[Q_ORDER], 1, (sqlite3_int64)key);
    if (next_row(w, Q_ORDER)) {
        o->client = client_of(words(w, Q_ORDER, 0));
        o->expires_ms = number(w, Q_ORDER, 1);
        o->placed_for_any = number(w, Q_ORDER, 2) == 0;
    }
    sqlite3_reset(w->checker->st[Q_ORDER]);
    return o;
}

static const char *const EVENT_WORDS[] = {"",
                                          "placed",
                                          "awaits payment",
                                          "is paid",
                                          "closes",
                                          "is cancelled",
                                          "has late money",
                                          "was paid twice",
                                          "was paid another amount",
                                          "has a refund",
                                          "has a refund that failed"};

static void see(struct world *w, struct seen_order *o, int type)
{
    world_tell(w, "the order of client %u %s", o->client, EVENT_WORDS[type]);
    switch (type) {
    case E_PLACED: o->state = O_PLACED; break;
    case E_AWAITING: o->state = O_AWAITING; break;
    case E_CLOSING:
        judge_pace(w, o, type);
        o->state = O_CLOSING;
        o->closing_ms = w->now_ms;
        break;
    case E_CANCELLED:
        judge_release(w, o);
        judge_pace(w, o, type);
        if (o->cancelled_ms)
            world_violated(w, "cancelled_once", "the order of client %u was cancelled twice", o->client);
        o->state = O_CANCELLED;
        o->cancelled_ms = w->now_ms;
        break;
    case E_PAID:
        judge_paid(w, o);
        if (o->state == O_CANCELLED) world_reached(w, SCENE_REOPENED);
        o->state = O_PAID;
        o->paid_ms = w->now_ms;
        break;
    case E_LATE: world_reached(w, SCENE_PAID_AFTER_CANCELLED); break;
    case E_DUPLICATE: world_reached(w, SCENE_PAID_TWICE); break;
    default: break;
    }
    clients_saw(w, o, type);
}

void checker_observe(struct world *w)
{
    struct checker *c = w->checker;
    if (w->failed) return;
    sqlite3_bind_int64(c->st[Q_EVENTS_SINCE], 1, (sqlite3_int64)c->last_event);
    while (!w->failed && next_row(w, Q_EVENTS_SINCE)) {
        c->last_event = (uint64_t)number(w, Q_EVENTS_SINCE, 0);
        struct seen_order *o = meet_order(w, (uint64_t)number(w, Q_EVENTS_SINCE, 1));
        if (o) see(w, o, (int)number(w, Q_EVENTS_SINCE, 2));
    }
    sqlite3_reset(c->st[Q_EVENTS_SINCE]);
}

// --- All of it

static void read_orders(struct world *w)
{
    struct checker *c = w->checker;
    c->n_orders = 0;
    while (next_row(w, Q_ORDERS)) {
        if (c->n_orders == ROWS_MAX) continue;
        c->orders[c->n_orders++] = (struct order_row){.key = (uint64_t)number(w, Q_ORDERS, 0),
                                                      .version = number(w, Q_ORDERS, 1),
                                                      .state = number(w, Q_ORDERS, 2),
                                                      .amount_fen = number(w, Q_ORDERS, 3),
                                                      .paid_fen = number(w, Q_ORDERS, 4),
                                                      .refunded_fen = number(w, Q_ORDERS, 5),
                                                      .owes = number(w, Q_ORDERS, 6),
                                                      .client = client_of(words(w, Q_ORDERS, 7)),
                                                      .sequence = number(w, Q_ORDERS, 8)};
    }
}

static struct order_row *order_row(struct checker *c, uint64_t key)
{
    unsigned low = 0, high = c->n_orders;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (c->orders[mid].key < key)
            low = mid + 1;
        else
            high = mid;
    }
    return low < c->n_orders && c->orders[low].key == key ? &c->orders[low] : NULL;
}

static struct payment_row *payment_row(struct checker *c, uint64_t key)
{
    unsigned low = 0, high = c->n_payments;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (c->payments[mid].key < key)
            low = mid + 1;
        else
            high = mid;
    }
    return low < c->n_payments && c->payments[low].key == key ? &c->payments[low] : NULL;
}

static void read_money(struct world *w)
{
    struct checker *c = w->checker;
    c->n_payments = c->n_refunds = 0;
    while (next_row(w, Q_PAYMENTS)) {
        if (c->n_payments == ROWS_MAX) continue;
        c->payments[c->n_payments++] = (struct payment_row){.key = (uint64_t)number(w, Q_PAYMENTS, 0),
                                                            .order_key = (uint64_t)number(w, Q_PAYMENTS, 1),
                                                            .state = number(w, Q_PAYMENTS, 2),
                                                            .captured_fen = number(w, Q_PAYMENTS, 3),
                                                            .refunded_fen = number(w, Q_PAYMENTS, 4),
                                                            .counts = number(w, Q_PAYMENTS, 5),
                                                            .n = number(w, Q_PAYMENTS, 6),
                                                            .proof = number(w, Q_PAYMENTS, 7),
                                                            .is_awaited = number(w, Q_PAYMENTS, 8) == 1,
                                                            .is_accepted = number(w, Q_PAYMENTS, 8) == 2,
                                                            .channel = number(w, Q_PAYMENTS, 9)};
    }
    while (next_row(w, Q_REFUNDS)) {
        if (c->n_refunds == ROWS_MAX) continue;
        c->refunds[c->n_refunds++] = (struct refund_row){.key = (uint64_t)number(w, Q_REFUNDS, 0),
                                                         .payment_key = (uint64_t)number(w, Q_REFUNDS, 1),
                                                         .replaces_key = (uint64_t)number(w, Q_REFUNDS, 5),
                                                         .state = number(w, Q_REFUNDS, 2),
                                                         .cause = number(w, Q_REFUNDS, 3),
                                                         .amount_fen = number(w, Q_REFUNDS, 4),
                                                         .is_abnormal = number(w, Q_REFUNDS, 6)};
    }
}

static int sku_index(const char *name)
{
    static const char first[] = "abcd"; // apple, bread, candle, drum
    const char *at = *name ? strchr(first, *name) : NULL;
    return at ? (int)(at - first) : 0;
}

// What was put in by everybody who was told so, and how much more or less by those who were not.
static void stock_bounds(struct world *w, unsigned sku, int64_t *low, int64_t *high)
{
    *low = *high = 0;
    for (unsigned i = 0; i < w->clients->n_acts; i++) {
        const struct act *a = &w->clients->acts[i];
        if ((a->kind != ACT_SKU_PUT && a->kind != ACT_STOCK_ADD) || a->sku != sku) continue;
        bool done = a->n_good > 0 || (a->kind == ACT_SKU_PUT && a->status == 409);
        bool perhaps = !done && (a->n_unknown > 0 || a->in_flight > 0);
        if (done || (perhaps && a->quantity < 0)) *low += a->quantity;
        if (done || (perhaps && a->quantity > 0)) *high += a->quantity;
    }
}

static void check_stock(struct world *w)
{
    struct checker *c = w->checker;
    int64_t held[SKUS_MAX] = {0}, sold[SKUS_MAX] = {0};
    while (next_row(w, Q_LINES)) {
        struct order_row *o = order_row(c, (uint64_t)number(w, Q_LINES, 0));
        int sku = sku_index(words(w, Q_LINES, 1));
        int64_t quantity = number(w, Q_LINES, 2);
        if (!o) continue;
        o->lines[sku] += quantity;
        if (o->state <= O_CLOSING) held[sku] += quantity;
        if (o->state == O_PAID) sold[sku] += quantity;
    }
    while (!w->failed && next_row(w, Q_SKUS)) {
        const char *name = words(w, Q_SKUS, 0);
        int i = sku_index(name);
        int64_t available = number(w, Q_SKUS, 1), held_row = number(w, Q_SKUS, 2), sold_row = number(w, Q_SKUS, 3);
        int64_t low, high, sum = available + held_row + sold_row;
        stock_bounds(w, (unsigned)i, &low, &high);
        if (available < 0 || held_row < 0 || sold_row < 0) world_violated(w, "stock_not_negative", "of %s", name);
        if (sum < low || sum > high)
            world_violated(w, "stock_conserved", "%s: %lld in all, put in between %lld and %lld", name, (long long)sum,
                           (long long)low, (long long)high);
        if (held_row != held[i])
            world_violated(w, "holds_backed", "%s: %lld held, %lld by open orders", name, (long long)held_row,
                           (long long)held[i]);
        if (sold_row != sold[i])
            world_violated(w, "no_oversell", "%s: %lld sold, %lld by paid orders", name, (long long)sold_row,
                           (long long)sold[i]);
    }
    sqlite3_reset(c->st[Q_SKUS]);
}

static void check_events(struct world *w)
{
    while (!w->failed && next_row(w, Q_EVENTS)) {
        const struct order_row *o = order_row(w->checker, (uint64_t)number(w, Q_EVENTS, 0));
        int64_t n = number(w, Q_EVENTS, 1), first = number(w, Q_EVENTS, 2), last = number(w, Q_EVENTS, 3);
        if (!o || first != 1 || last != n || o->sequence != n)
            world_violated(w, "events_dense", "%lld events, %lld to %lld, of an order that counts %lld", (long long)n,
                           (long long)first, (long long)last, o ? (long long)o->sequence : -1LL);
        if (number(w, Q_EVENTS, 4) > 1) world_violated(w, "paid_once", "an order has two events of it");
        if (number(w, Q_EVENTS, 5) > 1) world_violated(w, "cancelled_once", "an order has two events of it");
        if (o && (number(w, Q_EVENTS, 4) == 1) != (o->state == O_PAID))
            world_violated(w, "paid_once", "an order and its events differ");
    }
    sqlite3_reset(w->checker->st[Q_EVENTS]);
}

// --- What clients were told

static void check_placing(struct world *w, const struct act *a)
{
    struct checker *c = w->checker;
    const struct shopper *s = &w->clients->shoppers[a->client];
    unsigned n = 0;
    bool unique = a->keyed || a->numbered, found = false;
    for (unsigned i = 0; i < c->n_orders; i++) {
        const struct order_row *o = &c->orders[i];
        if (o->client != a->client) continue;
        n++;
        found = found || o->key == a->key;
        if (o->amount_fen != s->amount_fen)
            world_violated(w, "order_as_wished", "client %u: another amount", a->client);
        int64_t want[SKUS_MAX] = {0};
        for (unsigned k = 0; k < s->n_lines; k++)
            want[s->sku[k]] += s->quantity[k];
        if (memcmp(want, o->lines, sizeof want) != 0)
            world_violated(w, "order_as_wished", "client %u: other items", a->client);
    }
    if (a->n_good > 0 && !found)
        world_violated(w, "answered_is_kept", "client %u was told of an order that is not there", a->client);
    for (unsigned i = 0; !unique && i < a->n_good && i < 4; i++)
        if (!order_row(c, a->keys[i]))
            world_violated(w, "answered_is_kept", "client %u was told of an order that is not there", a->client);
    unsigned most = a->n_good + a->n_unknown + a->in_flight;
    if (unique && most > 1) most = 1;
    if (n > most)
        world_violated(w, unique ? "one_key_one_order" : "orders_are_asked_for",
                       "client %u has %u orders, at most %u could be", a->client, n, most);
}

static void check_act(struct world *w, const struct act *a)
{
    struct checker *c = w->checker;
    bool found = false;
    if (a->kind == ACT_PLACE) check_placing(w, a);
    if (a->n_good == 0) return;
    if (a->kind == ACT_CANCEL) {
        const struct order_row *o = order_row(c, a->order_key);
        if (!o || o->state < O_CLOSING)
            world_violated(w, "answered_is_kept", "client %u was told that its order is being cancelled", a->client);
    } else if (a->kind == ACT_PAY) {
        const struct payment_row *p = payment_row(c, a->key);
        if (!p || p->order_key != a->order_key)
            world_violated(w, "answered_is_kept", "client %u was told of an attempt that is not there", a->client);
    } else if (a->kind == ACT_REFUND) {
        for (unsigned i = 0; i < c->n_refunds && !found; i++)
            found = c->refunds[i].key == a->key && c->refunds[i].amount_fen == a->amount_fen;
        if (!found)
            world_violated(w, "answered_is_kept", "client %u was told of a refund that is not there", a->client);
    }
}

static void check_told(struct world *w)
{
    struct clients *t = w->clients;
    struct checker *c = w->checker;
    for (unsigned i = 0; i < t->n_acts && !w->failed; i++)
        check_act(w, &t->acts[i]);
    for (unsigned i = 0; i < t->n_told && !w->failed; i++) {
        const struct order_row *o = order_row(c, t->told[i].order_key);
        if (!o || o->version < t->told[i].version)
            world_violated(w, "answered_is_kept", "an order is at version %lld, its client was shown %u",
                           o ? (long long)o->version : -1LL, t->told[i].version);
    }
    for (unsigned i = 0; i < t->n_money_acked && !w->failed; i++) {
        const struct payment_row *p = payment_row(c, t->money_acked[i]);
        if (!p || p->captured_fen == 0)
            world_violated(w, "acknowledged_is_kept", "the money of %s was acknowledged, and is not known",
                           name_of(w, 'P', t->money_acked[i]));
    }
    for (unsigned i = 0; i < t->n_strange_acked && !w->failed; i++) { // told twice it is one case
        sqlite3_bind_text(c->st[Q_CASES], 1, t->strange_acked[i], -1, SQLITE_STATIC);
        int64_t n_cases = next_row(w, Q_CASES) ? number(w, Q_CASES, 0) : 0;
        sqlite3_reset(c->st[Q_CASES]);
        if (n_cases != 1)
            world_violated(w, "acknowledged_is_kept", "%s was acknowledged, and is %lld cases", t->strange_acked[i],
                           (long long)n_cases);
    }
    while (!w->failed && next_row(w, Q_CARTS)) {
        unsigned client = client_of(words(w, Q_CARTS, 0));
        for (unsigned i = 0; i < c->n_orders; i++)
            if (c->orders[i].client == client)
                world_violated(w, "cart_emptied", "the cart of client %u is full, and its order is there", client);
    }
    sqlite3_reset(c->st[Q_CARTS]);
}

// --- Money

static bool refund_row_is(const struct refund_row *f, const struct ledger_refund *r)
{
    if (f->payment_key != r->payment_key || f->amount_fen != r->amount_fen) return false;
    bool own_number = f->cause == 0 || f->replaces_key;
    return own_number ? f->key == r->number_key : r->number_key == f->payment_key;
}

// Nothing was asked of the provider that a commit did not stand behind.
static void check_intents(struct world *w)
{
    struct checker *c = w->checker;
    const struct ledger *l = w->ledger;
    for (unsigned i = 0; i < l->n_trades && !w->failed; i++)
        if (!payment_row(c, l->trades[i].payment_key))
            world_violated(w, "asked_after_commit", "the provider has %s, the store has not",
                           name_of(w, 'P', l->trades[i].payment_key));
    for (unsigned i = 0; i < l->n_refunds && !w->failed; i++) {
        bool found = l->refunds[i].number_key == 0; // its own, by a cancel
        for (unsigned k = 0; k < c->n_refunds && !found; k++)
            found = refund_row_is(&c->refunds[k], &l->refunds[i]);
        if (!found)
            world_violated(w, "asked_after_commit", "the provider has a refund of %s, the store has not",
                           name_of(w, 'P', l->refunds[i].payment_key));
    }
}

// What is booked as given back went, and what is booked as failed did not. (A cancel that crossed a refund moved the
// money under no number.)
static void check_refund(struct world *w, const struct refund_row *f)
{
    const struct ledger *l = w->ledger;
    const struct trade *t = trade_find(w->ledger, f->payment_key);
    bool moved = f->cause == CAUSE_OF_PROVIDER || (t && t->by_cancel);
    if (f->state == R_PENDING || moved) return;
    for (unsigned i = 0; i < l->n_refunds && !moved; i++)
        moved = l->refunds[i].fact == FACT_REFUND_DONE && refund_row_is(f, &l->refunds[i]);
    if (moved != (f->state == R_SUCCEEDED))
        world_violated(w, "refund_is_real", "a refund of %s %s in the store, and %s at the provider",
                       name_of(w, 'P', f->payment_key), f->state == R_SUCCEEDED ? "went" : "failed",
                       moved ? "went" : "did not go");
}

static void check_payment(struct world *w, const struct payment_row *p)
{
    const struct trade *t = trade_find(w->ledger, p->key);
    int64_t captured_fen = t && t->state == TRADE_PAID ? t->captured_fen : 0;
    if (p->captured_fen != 0 && p->captured_fen != captured_fen)
        world_violated(w, "money_is_real", "%s has %lld in the store, %lld at the provider", name_of(w, 'P', p->key),
                       (long long)p->captured_fen, (long long)captured_fen);
    if (t && t->channel != (enum channel_id)p->channel)
        world_violated(w, "asked_after_commit", "%s was asked for at another provider", name_of(w, 'P', p->key));
    if (p->refunded_fen > (t ? t->refunded_fen - t->by_hand_fen : 0))
        world_violated(w, "refund_is_real", "%s: %lld given back in the store, %lld at the provider",
                       name_of(w, 'P', p->key), (long long)p->refunded_fen, t ? (long long)t->refunded_fen : 0LL);
    const struct payment_row *before = p > w->checker->payments ? p - 1 : p;
    if (p->n > 1) world_reached(w, SCENE_CODE_RENEWED);
    if (before->order_key == p->order_key && before->channel != p->channel) world_reached(w, SCENE_WALLET_CHANGED);
}

static bool is_by_merchant(const struct checker *c, const struct ledger_refund *r)
{
    for (unsigned i = 0; i < c->n_refunds; i++)
        if (refund_row_is(&c->refunds[i], r)) return c->refunds[i].cause == CAUSE_OF_MERCHANT;
    return false;
}

// In the end each capture is the one that made its order paid, or went back exactly once and in full, or is held.
static void check_money_settled(struct world *w, const struct payment_row *p)
{
    struct checker *c = w->checker;
    const struct ledger *l = w->ledger;
    const struct trade *t = trade_find(w->ledger, p->key);
    const struct order_row *o = order_row(c, p->order_key);
    const char *name = name_of(w, 'P', p->key);
    bool open = p->state == P_CREATING || p->state == P_WAITING || p->state == P_CLOSING || p->state == P_REFUNDING;
    if (open) world_violated(w, "nothing_stuck", "%s ends in state %lld", name, (long long)p->state);
    if (!t || t->state != TRADE_PAID) return;
    unsigned n_system = 0, n_merchant = 0, n_provider = 0;
    for (unsigned i = 0; i < l->n_refunds; i++) {
        if (l->refunds[i].payment_key != p->key || l->refunds[i].fact != FACT_REFUND_DONE) continue;
        if (l->refunds[i].number_key == 0)
            n_provider++; // a cancel returned it; the books must say so, whatever the order had become
        else if (is_by_merchant(c, &l->refunds[i]))
            n_merchant++;
        else
            n_system++;
    }
    int64_t refunded_fen = t->refunded_fen - t->by_hand_fen;
    w->totals->sent_back += n_system;
    if (n_system && t->closable_late)
        world_violated(w, "closed_in_time", "%s took money that had to go back, long after a close would have ended it",
                       name);
    bool fulfils = p->counts && o && o->state == O_PAID;
    if (p->captured_fen != t->captured_fen)
        world_violated(w, "no_money_lost", "%s has captured %lld, the store knows %lld", name,
                       (long long)t->captured_fen, (long long)p->captured_fen);
    else if (t->by_hand_fen > 0 && !p->is_awaited && !p->is_accepted)
        world_violated(w, "somebody_looked", "some of %s had gone back before it was known, and nobody was asked",
                       name);
    else if (fulfils && n_system > 0)
        world_violated(w, "fulfils_or_goes_back", "%s made its order paid and went back", name);
    else if (!fulfils && p->is_awaited && refunded_fen == 0)
        return;
    else if (!fulfils && (n_system + n_provider != 1 || n_merchant != 0 || refunded_fen != t->captured_fen))
        world_violated(w, "fulfils_or_goes_back", "%s: %lld of %lld went back in %u+%u+%u refunds", name,
                       (long long)refunded_fen, (long long)t->captured_fen, n_system, n_provider, n_merchant);
    else if (p->refunded_fen != refunded_fen)
        world_violated(w, "books_agree", "%s: %lld given back in the store, %lld at the provider", name,
                       (long long)p->refunded_fen, (long long)refunded_fen);
    else if (fulfils && o->refunded_fen != refunded_fen)
        world_violated(w, "books_agree", "an order shows %lld given back, the provider %lld",
                       (long long)o->refunded_fen, (long long)refunded_fen);
}

static void check_fulfilled_once(struct world *w)
{
    struct checker *c = w->checker;
    for (unsigned i = 0; i < c->n_orders && !w->failed; i++) {
        const struct order_row *o = &c->orders[i];
        unsigned n = 0;
        int64_t captured_fen = 0;
        if (o->state != O_PAID) continue;
        for (unsigned k = 0; k < c->n_payments; k++) {
            if (c->payments[k].order_key != o->key || !c->payments[k].counts) continue;
            captured_fen += c->payments[k].captured_fen;
            n++;
        }
        if (n != 1 || captured_fen != o->paid_fen)
            world_violated(w, "fulfilled_once", "the order of client %u is paid by %u captures of %lld, and shows %lld",
                           o->client, n, (long long)captured_fen, (long long)o->paid_fen);
    }
}

static void check_settled(struct world *w)
{
    struct checker *c = w->checker;
    for (unsigned i = 0; i < c->n_orders && !w->failed; i++) {
        const struct order_row *o = &c->orders[i];
        w->totals->lifecycles++;
        if (o->state < O_PAID || o->owes)
            world_violated(w, "nothing_stuck", "the order of client %u ends in state %lld%s", o->client,
                           (long long)o->state, o->owes ? ", and owes something" : "");
    }
    for (unsigned i = 0; i < c->n_payments && !w->failed; i++)
        check_money_settled(w, &c->payments[i]);
    check_fulfilled_once(w);
    for (unsigned i = 0; i < c->n_refunds && !w->failed; i++)
        if (c->refunds[i].state == R_PENDING || c->refunds[i].is_abnormal)
            world_violated(w, "nothing_stuck", "a refund is pending for ever");
    for (unsigned i = 0; i < w->clients->n_acts && !w->failed; i++) {
        const struct act *a = &w->clients->acts[i];
        if (a->in_flight > 0) world_violated(w, "everybody_is_answered", "client %u waits for ever", a->client);
    }
}

void checker_full(struct world *w, bool final)
{
    struct checker *c = w->checker;
    if (w->failed) return;
    if (w->node->epoch > 0 || final) {
        bool ok = next_row(w, Q_INTEGRITY) && strcmp(words(w, Q_INTEGRITY, 0), "ok") == 0;
        if (!ok) world_violated(w, "image_is_whole", "integrity_check: %s", words(w, Q_INTEGRITY, 0));
        sqlite3_reset(c->st[Q_INTEGRITY]);
    }
    read_orders(w);
    read_money(w);
    check_stock(w);
    if (!w->failed) check_events(w);
    if (!w->failed) check_told(w);
    if (!w->failed) check_intents(w);
    for (unsigned i = 0; i < c->n_payments && !w->failed; i++)
        check_payment(w, &c->payments[i]);
    for (unsigned i = 0; i < c->n_refunds && !w->failed; i++)
        check_refund(w, &c->refunds[i]);
    if (!w->failed) broker_check_full(w, c->db, final);
    if (final && !w->failed) check_settled(w);
}
