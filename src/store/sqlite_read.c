// SPDX-License-Identifier: Apache-2.0
// Readers: a connection of its own that can neither write nor checkpoint, not even when it is closed.
#include "base/log.h"
#include "store/sqlite_inside.h"
#include <stdio.h>
#include <stdlib.h>

#define NEWEST_PAYMENT                                                                                                 \
    "LEFT JOIN payments p ON p.order_key = o.key "                                                                     \
    "AND p.n = (SELECT max(n) FROM payments WHERE order_key = o.key)"
#define ORDER_DOC ORDER_COLUMNS ", " ORDER_TEXT_COLUMNS ", " PAYMENT_COLUMNS

// The open states owe something, always: their orders stand in the small index of what is owed.
#define READS(X)                                                                                                       \
    X(RD_ORDER, "SELECT " ORDER_DOC " FROM orders o " NEWEST_PAYMENT " WHERE o.key = ?")                               \
    X(RD_ORDERS, "SELECT " ORDER_DOC " FROM orders o " NEWEST_PAYMENT                                                  \
                 " WHERE o.key < ?1 AND (?2 = 0 OR o.state = ?2) ORDER BY o.key DESC LIMIT ?4")                        \
    X(RD_ORDERS_OPEN, "SELECT " ORDER_DOC " FROM orders o INDEXED BY orders_owing " NEWEST_PAYMENT                     \
                      " WHERE o.key < ?1 AND o.due_ms IS NOT NULL AND o.state = ?2 "                                   \
                      "ORDER BY o.key DESC LIMIT ?4")                                                                  \
    X(RD_ORDERS_BUYER, "SELECT " ORDER_DOC " FROM orders o INDEXED BY orders_buyer " NEWEST_PAYMENT                    \
                       " WHERE o.buyer_mark = ?3 AND o.buyer = ?5 AND o.key < ?1 "                                     \
                       "AND (?2 = 0 OR o.state = ?2) ORDER BY o.key DESC LIMIT ?4")                                    \
    X(RD_STATES, "SELECT e.key, e.at_ms, e.type, e.state, o.policy, "                                                  \
                 "EXISTS (SELECT 1 FROM halves h WHERE h.order_key = o.key) FROM events e "                            \
                 "JOIN orders o ON o.key = e.order_key "                                                               \
                 "WHERE e.order_key = ? AND e.type <= 5 ORDER BY e.sequence")                                          \
    X(RD_TRACES, "SELECT key, at_ms, kind, channel, method, outcome, fact, answer, n, took_ms, detail "                \
                 "FROM traces WHERE order_key = ? ORDER BY key DESC LIMIT ?")                                          \
    X(RD_REFUNDS, "SELECT " REFUND_COLUMNS " FROM refunds f "                                                          \
                  "WHERE f.order_key = ? AND f.key < ? ORDER BY f.key DESC LIMIT ?")                                   \
    X(RD_PAYMENTS, "SELECT " PAYMENT_COLUMNS " FROM payments p WHERE p.order_key = ? ORDER BY p.n LIMIT ?")            \
    X(RD_EVENTS, "SELECT e.key, e.order_key, e.at_ms, e.type, e.sequence, e.state, e.reason, "                         \
                 "e.payment_key, e.refund_key, e.amount_fen, o.currency FROM events e "                                \
                 "LEFT JOIN orders o ON o.key = e.order_key WHERE e.key > ? ORDER BY e.key LIMIT ?")                   \
    X(RD_GONE, "SELECT event_key FROM gone")                                                                           \
    X(RD_MESSAGES, "SELECT " MESSAGE_COLUMNS " FROM messages m WHERE m.topic = ? AND m.key > ? "                       \
                   "ORDER BY m.key LIMIT ?")                                                                           \
    X(RD_SKU, "SELECT " SKU_COLUMNS " FROM skus s WHERE s.sku = ?")                                                    \
    X(RD_SKUS, "SELECT " SKU_COLUMNS " FROM skus s WHERE ?1 = '' OR s.id < (SELECT id FROM skus WHERE sku = ?1) "      \
               "ORDER BY s.id DESC LIMIT ?2")                                                                          \
    X(RD_CART, "SELECT " SKU_COLUMNS ", c.quantity FROM carts c JOIN skus s ON s.sku = c.sku "                         \
               "WHERE c.cart = ? ORDER BY c.sku LIMIT ?")                                                              \
    X(RD_CASES, "SELECT " CASE_COLUMNS " FROM cases c LEFT JOIN orders o ON o.key = c.order_key "                      \
                "LEFT JOIN payments p ON p.key = c.payment_key WHERE c.key < ?1 AND (?2 = 0 OR c.key = ?2) "           \
                "AND (?3 = 0 OR (c.closed_ms IS NULL) = (?3 = 1)) ORDER BY c.key DESC LIMIT ?4")                       \
    X(RD_CASES_OPEN, "SELECT " CASE_COLUMNS " FROM cases c INDEXED BY cases_open "                                     \
                     "LEFT JOIN orders o ON o.key = c.order_key LEFT JOIN payments p ON p.key = c.payment_key "        \
                     "WHERE c.closed_ms IS NULL AND c.key < ?1 ORDER BY c.key DESC LIMIT ?4")                          \
    X(RD_DUES, "SELECT key, due_ms FROM orders INDEXED BY orders_owing "                                               \
               "WHERE due_ms IS NOT NULL AND key > ? ORDER BY key LIMIT ?")                                            \
    X(RD_TALLY,                                                                                                        \
      "SELECT placed, awaiting_payment, closing, paid, cancelled, "                                                    \
      "(SELECT count(*) FROM orders INDEXED BY orders_owing WHERE due_ms IS NOT NULL "                                 \
      "AND expires_ms < ?1 AND state IN (1, 2)), "                                                                     \
      "(SELECT count(*) FROM cases INDEXED BY cases_open WHERE closed_ms IS NULL), "                                   \
      "ifnull((SELECT created_ms FROM orders ORDER BY key LIMIT 1), 0), "                                              \
      "(SELECT count(*) FROM refunds INDEXED BY refunds_pending WHERE state = 1), "                                    \
      "(SELECT count(*) FROM refunds INDEXED BY refunds_pending WHERE state = 1 AND is_abnormal = 1), "                \
      "ifnull((SELECT min(created_ms) FROM refunds INDEXED BY refunds_pending WHERE state = 1), 0) FROM tally")

#define X_ENUM(constant, sql) constant,
enum read { READS(X_ENUM) N_READS };
#undef X_ENUM

_Static_assert(EVENT_ORDER_PLACED == 1 && EVENT_ORDER_CANCELLED == 5 && EVENT_PAYMENT_LATE == 6, "RD_STATES");

struct sqlite_reader {
    struct reader base;
    sqlite3 *db;
    sqlite3_stmt *st[N_READS];
    uint8_t secret[ID_SECRET_SIZE];
};

// --- One statement is one snapshot. A read is a query: params, rows, end.

struct query {
    struct params p;
    struct columns c;
    bool ok;
};

static struct query query_of(struct reader *base, enum read id, struct arena *a)
{
    struct sqlite_reader *r = (struct sqlite_reader *)base;
    return (struct query){.p = {r->st[id], 0}, .c = {.st = r->st[id], .a = a}, .ok = true};
}

static bool query_row(struct query *q)
{
    q->c.i = 0;
    if (!q->ok || q->c.failed) return false;
    int rc = sqlite3_step(q->p.st);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        q->ok = false;
        log_error("store", "reading failed: %s", sqlite3_errstr(rc));
    }
    return rc == SQLITE_ROW;
}

static bool query_end(struct query *q)
{
    (void)sqlite3_reset(q->p.st);
    (void)sqlite3_clear_bindings(q->p.st); // they borrow the caller's texts
    return q->ok && !q->c.failed;
}

// --- Orders

static void col_order_doc(struct columns *c, struct order_doc *out)
{
    memset(out, 0, sizeof *out);
    col_order(c, &out->order);
    col_order_text(c, &out->text);
    out->has_payment = sqlite3_column_type(c->st, c->i) != SQLITE_NULL;
    if (out->has_payment) col_payment(c, &out->payment);
}

static bool read_order(struct reader *r, uint64_t key, struct order_doc *out, bool *found, struct arena *a)
{
    struct query q = query_of(r, RD_ORDER, a);
    put_key(&q.p, key);
    *found = query_row(&q);
    if (*found) col_order_doc(&q.c, out);
    return query_end(&q);
}

static bool read_orders(struct reader *r, const struct order_filter *f, struct order_doc *out, unsigned max,
                        unsigned *n, struct arena *a)
{
    enum read id = RD_ORDERS;
    if (f->buyer.n)
        id = RD_ORDERS_BUYER;
    else if (f->state == ORDER_PLACED || f->state == ORDER_AWAITING_PAYMENT || f->state == ORDER_CLOSING)
        id = RD_ORDERS_OPEN;
    struct query q = query_of(r, id, a);
    put_key(&q.p, f->before_key ? f->before_key : INT64_MAX);
    put_i64(&q.p, f->state);
    if (id == RD_ORDERS_BUYER)
        put_key(&q.p, text_mark(((struct sqlite_reader *)r)->secret, "buyer", f->buyer));
    else
        q.p.i++;
    put_i64(&q.p, max);
    if (id == RD_ORDERS_BUYER) put_text(&q.p, f->buyer);
    *n = 0;
    while (*n < max && query_row(&q))
        col_order_doc(&q.c, &out[(*n)++]);
    return query_end(&q);
}

// --- The timeline

// An order passes through each state once, and once more through `paid` when it was reopened.
#define STATES_MAX 16

static void half_line(struct trace_row *half, const struct trace_row *at, enum message_answer answer)
{
    *half = *at;
    half->from = half->to = ORDER_STATE_0;
    half->trace = (struct trace){.kind = TRACE_HALF, .answer = answer};
}

// What the half message becomes as the order comes into this state, in the embedded broker, where the order itself is
// the half message and no trace need be written of it. ANSWER_NONE: nothing. After a cancellation there is none left.
static enum message_answer half_answer(enum policy policy, enum order_state from, enum order_state to)
{
    if (policy != POLICY_REVERSE && policy != POLICY_FORWARD) return ANSWER_NONE;
    if (to == ORDER_PLACED) return ANSWER_UNKNOWN;
    return from == ORDER_CANCELLED ? ANSWER_NONE : message_decision(policy, from, to);
}

// The changes of state, as the public events tell them, oldest first.
static bool states_read(struct reader *r, uint64_t order_key, struct trace_row rows[STATES_MAX], unsigned *n)
{
    struct query q = query_of(r, RD_STATES, NULL);
    put_key(&q.p, order_key);
    enum order_state from = ORDER_STATE_0;
    *n = 0;
    while (*n + 2 <= STATES_MAX && query_row(&q)) {
        struct trace_row *row = &rows[(*n)++];
        *row = (struct trace_row){.key = (uint64_t)col_i64(&q.c)};
        row->at_ms = col_i64(&q.c);
        row->trace.kind = TRACE_STATE;
        q.c.i++; // the type says no more than the state
        row->from = from;
        row->to = (enum order_state)col_i64(&q.c);
        enum message_answer answer = half_answer((enum policy)col_i64(&q.c), from, row->to);
        bool is_elsewhere = col_i64(&q.c) != 0;
        from = row->to;
        if (answer != ANSWER_NONE && !is_elsewhere) half_line(&rows[(*n)++], row, answer);
    }
    return query_end(&q);
}

static void col_trace(struct columns *c, struct trace_row *row)
{
    memset(row, 0, sizeof *row);
    row->key = (uint64_t)col_i64(c);
    row->at_ms = col_i64(c);
    row->trace.kind = (enum trace_kind)col_i64(c);
    row->trace.channel = (enum channel_id)col_i64(c);
    row->trace.method = (enum call_method)col_i64(c);
    row->trace.outcome = (enum outcome)col_i64(c);
    row->trace.fact = (enum fact)col_i64(c);
    row->trace.answer = (enum message_answer)col_i64(c);
    row->trace.n = (uint32_t)col_i64(c);
    row->trace.took_ms = col_i64(c);
    struct str detail = col_text(c);
    size_t len = detail.n < sizeof row->trace.detail ? detail.n : sizeof row->trace.detail - 1;
    memcpy(row->trace.detail, detail.p, len);
}

static bool is_newer(const struct trace_row *a, const struct trace_row *b)
{
    return a->at_ms != b->at_ms ? a->at_ms > b->at_ms : a->key > b->key;
}

// Fills from the newest down, then turns it round: only the newest `max` are wanted, and the traces come
// newest first.
static bool traces_merge(struct query *q, const struct trace_row *states, unsigned n_states, struct trace_row *out,
                         unsigned max, unsigned *n)
{
    struct trace_row trace;
    bool has_trace = query_row(q);
    if (has_trace) col_trace(&q->c, &trace);
    while (*n < max && (has_trace || n_states)) {
        if (!has_trace || (n_states && is_newer(&states[n_states - 1], &trace))) {
            out[(*n)++] = states[--n_states];
            continue;
        }
        out[(*n)++] = trace;
        has_trace = query_row(q);
        if (has_trace) col_trace(&q->c, &trace);
    }
    for (unsigned i = 0, k = *n; i + 1 < k; i++) {
        struct trace_row swap = out[i];
        out[i] = out[--k];
        out[k] = swap;
    }
    return query_end(q);
}

static bool read_timeline(struct reader *r, uint64_t order_key, struct trace_row *out, unsigned max, unsigned *n,
                          struct arena *a)
{
    struct trace_row states[STATES_MAX];
    unsigned n_states = 0;
    *n = 0;
    sqlite3 *db = ((struct sqlite_reader *)r)->db;
    if (!sqlite_run(db, "BEGIN")) return false; // two statements, one snapshot
    bool ok = states_read(r, order_key, states, &n_states);
    struct query q = query_of(r, RD_TRACES, a);
    put_key(&q.p, order_key);
    put_i64(&q.p, max);
    ok = ok && traces_merge(&q, states, n_states, out, max, n);
    return sqlite_run(db, "COMMIT") && ok;
}

// --- The rest

static bool read_refunds(struct reader *r, uint64_t order_key, uint64_t before_key, struct refund *out, unsigned max,
                         unsigned *n, struct arena *a)
{
    struct query q = query_of(r, RD_REFUNDS, a);
    put_key(&q.p, order_key);
    put_key(&q.p, before_key ? before_key : INT64_MAX);
    put_i64(&q.p, max);
    *n = 0;
    while (*n < max && query_row(&q))
        col_refund(&q.c, &out[(*n)++]);
    return query_end(&q);
}

static bool read_payments(struct reader *r, uint64_t order_key, struct payment *out, unsigned max, unsigned *n,
                          struct arena *a)
{
    struct query q = query_of(r, RD_PAYMENTS, a);
    put_key(&q.p, order_key);
    put_i64(&q.p, max);
    *n = 0;
    while (*n < max && query_row(&q))
        col_payment(&q.c, &out[(*n)++]);
    return query_end(&q);
}

static void col_event(struct columns *c, struct event_row *row)
{
    row->key = (uint64_t)col_i64(c);
    row->order_key = (uint64_t)col_i64(c);
    row->at_ms = col_i64(c);
    row->event.type = (enum event_type)col_i64(c);
    row->event.sequence = (uint32_t)col_i64(c);
    row->event.state = (enum order_state)col_i64(c);
    row->event.reason = (enum cancel_reason)col_i64(c);
    row->event.payment_key = (uint64_t)col_i64(c);
    row->event.refund_key = (uint64_t)col_i64(c);
    row->event.amount_fen = col_i64(c);
    row->currency = col_text(c);
}

static bool read_events(struct reader *r, uint64_t after_key, struct event_row *out, unsigned max, unsigned *n,
                        struct arena *a)
{
    struct query q = query_of(r, RD_EVENTS, a);
    put_key(&q.p, after_key);
    put_i64(&q.p, max);
    *n = 0;
    while (*n < max && query_row(&q))
        col_event(&q.c, &out[(*n)++]);
    return query_end(&q);
}

static bool read_events_gone(struct reader *r, uint64_t *key)
{
    struct query q = query_of(r, RD_GONE, NULL);
    if (query_row(&q))
        *key = (uint64_t)col_i64(&q.c);
    else
        q.ok = false;
    return query_end(&q);
}

static bool read_messages(struct reader *r, enum topic topic, uint64_t after_key, struct message_row *out, unsigned max,
                          unsigned *n)
{
    struct query q = query_of(r, RD_MESSAGES, NULL);
    put_i64(&q.p, topic);
    put_key(&q.p, after_key);
    put_i64(&q.p, max);
    *n = 0;
    while (*n < max && query_row(&q))
        col_message(&q.c, &out[(*n)++]);
    return query_end(&q);
}

static bool read_sku(struct reader *r, struct str sku, struct sku *out, bool *found, struct arena *a)
{
    struct query q = query_of(r, RD_SKU, a);
    put_text(&q.p, sku);
    *found = query_row(&q);
    if (*found) col_sku(&q.c, out);
    return query_end(&q);
}

static bool read_skus(struct reader *r, struct str after, struct sku *out, unsigned max, unsigned *n, struct arena *a)
{
    struct query q = query_of(r, RD_SKUS, a);
    put_text(&q.p, after);
    put_i64(&q.p, max);
    *n = 0;
    while (*n < max && query_row(&q))
        col_sku(&q.c, &out[(*n)++]);
    return query_end(&q);
}

static bool read_cart(struct reader *r, struct str cart, struct cart_line *out, unsigned max, unsigned *n,
                      struct arena *a)
{
    struct query q = query_of(r, RD_CART, a);
    put_text(&q.p, cart);
    put_i64(&q.p, max);
    *n = 0;
    while (*n < max && query_row(&q)) {
        struct cart_line *line = &out[(*n)++];
        col_sku(&q.c, &line->sku);
        line->quantity = col_i64(&q.c);
    }
    return query_end(&q);
}

static bool read_cases(struct reader *r, const struct case_filter *f, struct case_row *out, unsigned max, unsigned *n,
                       struct arena *a)
{
    struct query q = query_of(r, f->is_open && !f->key ? RD_CASES_OPEN : RD_CASES, a);
    put_key(&q.p, f->before_key ? f->before_key : (uint64_t)INT64_MAX);
    put_key(&q.p, f->key);
    put_i64(&q.p, f->is_open ? 1 : f->is_closed ? 2 : 0);
    put_i64(&q.p, max);
    *n = 0;
    while (*n < max && query_row(&q))
        col_case(&q.c, &out[(*n)++]);
    return query_end(&q);
}

static bool read_dues(struct reader *r, uint64_t after_key, struct due_row *out, unsigned max, unsigned *n)
{
    struct query q = query_of(r, RD_DUES, NULL);
    put_key(&q.p, after_key);
    put_i64(&q.p, max);
    *n = 0;
    while (*n < max && query_row(&q)) {
        struct due_row *row = &out[(*n)++];
        row->order_key = (uint64_t)col_i64(&q.c);
        row->due_ms = col_i64(&q.c);
    }
    return query_end(&q);
}

static bool read_totals(struct reader *r, int64_t now_ms, struct store_totals *out)
{
    memset(out, 0, sizeof *out);
    struct query q = query_of(r, RD_TALLY, NULL);
    put_i64(&q.p, now_ms - 60000);
    if (query_row(&q)) {
        for (int i = ORDER_PLACED; i <= ORDER_CANCELLED; i++)
            out->orders[i] = col_i64(&q.c);
        out->deadlines_overdue = col_i64(&q.c);
        out->cases_open = col_i64(&q.c);
        out->oldest_ms = col_i64(&q.c);
        out->refunds_pending = col_i64(&q.c);
        out->refunds_abnormal = col_i64(&q.c);
        out->oldest_refund_ms = col_i64(&q.c);
    } else {
        q.ok = false;
    }
    return query_end(&q);
}

// --- Open and close

static void read_close(struct reader *base)
{
    struct sqlite_reader *r = (struct sqlite_reader *)base;
    for (int i = 0; i < N_READS; i++)
        sqlite3_finalize(r->st[i]);
    sqlite3_close(r->db);
    free(r);
}

static const struct reader_ops OPS = {
    .order = read_order,
    .orders = read_orders,
    .timeline = read_timeline,
    .refunds = read_refunds,
    .payments = read_payments,
    .events = read_events,
    .events_gone = read_events_gone,
    .messages = read_messages,
    .sku = read_sku,
    .skus = read_skus,
    .cart = read_cart,
    .cases = read_cases,
    .dues = read_dues,
    .totals = read_totals,
    .close = read_close,
};

static bool reads_prepare(struct sqlite_reader *r, char why[200])
{
#define X_SQL(constant, sql) [constant] = sql,
    static const char *const sql[] = {READS(X_SQL)};
#undef X_SQL
    for (int i = 0; i < N_READS; i++) {
        if (sqlite3_prepare_v3(r->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &r->st[i], NULL) == SQLITE_OK) continue;
        snprintf(why, 200, "cannot prepare a reader: %s", sqlite3_errmsg(r->db));
        return false;
    }
    return true;
}

sqlite3 *sqlite_connect_to_read(const struct sqlite_options *o, uint8_t secret[ID_SECRET_SIZE], char why[200])
{
    sqlite3 *db = sqlite_connect(o, SQLITE_OPEN_READONLY, why);
    if (!db) return NULL;
    // A connection that checkpoints on closing would be a second one that writes.
    bool ok = sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL) == SQLITE_OK &&
              sqlite_run(db, "PRAGMA query_only = ON") && sqlite_run(db, "PRAGMA wal_autocheckpoint = 0");
    if (!ok) snprintf(why, 200, "cannot set up a reader: %s", sqlite3_errmsg(db));
    ok = ok && sqlite_schema_known(db, why);
    if (ok && !sqlite_secret_read(db, secret)) {
        snprintf(why, 200, "cannot read the store's secret: %s", sqlite3_errmsg(db));
        ok = false;
    }
    if (ok) return db;
    sqlite3_close(db);
    return NULL;
}

struct reader *sqlite_reader_open(const struct sqlite_options *o, char why[200])
{
    struct sqlite_reader *r = calloc(1, sizeof *r);
    if (!r) {
        snprintf(why, 200, "out of memory");
        return NULL;
    }
    r->base.ops = &OPS;
    r->db = sqlite_connect_to_read(o, r->secret, why);
    if (r->db && reads_prepare(r, why)) return &r->base;
    read_close(&r->base);
    return NULL;
}
