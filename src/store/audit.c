// SPDX-License-Identifier: Apache-2.0
// The promises, as queries. Each finds the rows that do not keep one, with what is to be said of them: 1 is
// pending (allowed for now), 2 is broken. A query that cannot even be run (a damaged file) is a broken
// promise too.
#include "store/audit.h"
#include "store/sqlite_inside.h"
#include <stdio.h>
#include <stdlib.h>

#define MINUTE_MS INT64_C(60000)

// How long a provider goes on telling of a payment (its notifications end after 25 h).
#define NOTICE_END_MS (25 * 60 * MINUTE_MS)

struct check {
    const char *name, *meaning;
    const char *prefix; // of the ids the query gives; NULL: it gives texts
    const char *count;  // how many rows were looked at
    const char *find;   // (1 or 2, key or text)
};

#define COUNT(rows) "SELECT count(*) FROM " rows
#define ITEMS       "json_each(CASE WHEN json_valid(o.items) THEN o.items ELSE '[]' END) j"
#define OPEN_TRY    "p.state IN (1, 2, 4)"
// Under order.release=deadline an order is released in the same instant its closing begins.
#define AT_DEADLINE "o.closing_ms = o.cancelled_ms"

static const struct check CHECKS[] = {
    {"integrity", "the database file is sound", NULL, "PRAGMA page_count",
     "SELECT 2, quick_check FROM pragma_quick_check(10) WHERE quick_check <> 'ok'"},
    {"stock_conservation", "available + held + sold of each SKU is what was added, and none is negative", NULL,
     COUNT("skus"),
     "SELECT 2, sku FROM skus WHERE available < 0 OR held < 0 OR sold < 0 OR available + held + sold <> "
     "added"},
    {"holds_backed_by_open_orders", "held is what open orders hold, sold is what paid orders took", NULL, COUNT("skus"),
     "WITH line AS MATERIALIZED (SELECT j.value ->> 'sku' AS sku, "
     "sum((o.state <> 4) * (j.value ->> 'quantity')) AS held, "
     "sum((o.state = 4) * (j.value ->> 'quantity')) AS sold "
     "FROM orders o, " ITEMS " WHERE o.holds_stock = 1 AND o.state <> 5 GROUP BY 1) "
     "SELECT 2, s.sku FROM skus s LEFT JOIN line l ON l.sku = s.sku "
     "WHERE s.held <> ifnull(l.held, 0) OR s.sold <> ifnull(l.sold, 0) "
     "UNION ALL SELECT 2, ifnull(sku, '?') FROM line WHERE sku IS NULL OR sku NOT IN (SELECT sku FROM skus)"},
    {"items_sum_to_amount", "the items of each order sum to its amount", "ord_", COUNT("orders WHERE holds_stock = 1"),
     "SELECT 2, o.key FROM orders o WHERE o.holds_stock = 1 AND o.amount_fen IS NOT "
     "(SELECT sum((j.value ->> 'quantity') * (j.value ->> 'price')) FROM " ITEMS ")"},
    {"order_counts", "the running totals by state are the orders' number by state", NULL, "SELECT 5",
     "WITH c AS MATERIALIZED (SELECT state, count(*) AS n FROM orders GROUP BY state), "
     "t (state, name, n) AS (SELECT 1, 'placed', placed FROM tally "
     "UNION ALL SELECT 2, 'awaiting_payment', awaiting_payment FROM tally "
     "UNION ALL SELECT 3, 'closing', closing FROM tally UNION ALL SELECT 4, 'paid', paid FROM tally "
     "UNION ALL SELECT 5, 'cancelled', cancelled FROM tally) "
     "SELECT 2, t.name FROM t LEFT JOIN c ON c.state = t.state WHERE t.n <> ifnull(c.n, 0)"},
    {"order_states", "each order has the times, the reason and the money its state asks for", "ord_", COUNT("orders"),
     "SELECT 2, key FROM orders WHERE NOT (state BETWEEN 1 AND 5 AND created_ms > 0 AND expires_ms >= "
     "created_ms "
     "AND (CASE WHEN state IN (3, 5) THEN reason <> 0 ELSE reason = 0 OR state = 4 END) AND (state NOT IN (3, 5) OR "
     "closing_ms > 0) "
     "AND (state <> 4 OR (paid_ms > 0 AND paid_fen > 0)) AND (state <> 5 OR cancelled_ms >= "
     "closing_ms) "
     "AND (state > 3 OR paid_fen = 0) AND refunded_fen BETWEEN 0 AND paid_fen)"},
    {"payments_within", "no more is or goes back than was captured", "pay_", COUNT("payments"),
     "SELECT 2, key FROM payments WHERE refunded_fen < 0 OR refunding_fen < 0 OR captured_fen < 0 "
     "OR refunded_fen + refunding_fen > captured_fen"},
    {"paid_by_one_capture", "a paid order is paid by one capture, of its amount or taken by an operator", "ord_",
     COUNT("orders WHERE state = 4"),
     "SELECT 2, o.key FROM orders o WHERE (o.state = 4 OR o.paid_fen > 0) AND 1 <> (SELECT count(*) FROM "
     "payments p "
     "WHERE p.order_key = o.key AND p.counts = 1 AND (p.captured_fen = o.amount_fen OR p.word = 2)) "
     "UNION SELECT 2, o.key FROM payments p JOIN orders o ON o.key = p.order_key "
     "WHERE p.counts = 1 AND p.captured_fen <> o.paid_fen"},
    {"money_settled", "every captured payment is its order's own or goes back, once and in full", "pay_",
     COUNT("payments WHERE captured_fen > 0"),
     "SELECT CASE WHEN p.counts = 1 AND ifnull(o.state, 0) = 4 THEN 2 * (count(f.key) > 0) "
     "WHEN p.word = 1 AND p.state IN (9, 10) AND count(f.key) = 0 THEN 1 "
     "WHEN count(f.key) <> 1 OR f.amount_fen <> p.captured_fen THEN 2 "
     "ELSE f.state = 1 END AS verdict, p.key FROM payments p LEFT JOIN orders o ON o.key = p.order_key "
     "LEFT JOIN refunds f ON f.payment_key = p.key AND f.cause <> 0 AND f.state <> 3 "
     "WHERE p.captured_fen > 0 GROUP BY p.key HAVING verdict > 0"},
    {"refunds_match", "what a payment says of its refunds is what the refunds say", "pay_", COUNT("refunds"),
     "WITH r AS MATERIALIZED (SELECT payment_key, sum((state = 2) * amount_fen) AS done, "
     "sum((state = 1) * amount_fen) AS pending FROM refunds GROUP BY payment_key) "
     "SELECT 2, p.key FROM payments p LEFT JOIN r ON r.payment_key = p.key "
     "WHERE p.refunded_fen <> ifnull(r.done, 0) OR p.refunding_fen <> ifnull(r.pending, 0) "
     "UNION SELECT 2, payment_key FROM r WHERE payment_key NOT IN (SELECT key FROM payments) "
     "UNION SELECT 2, p.key FROM payments p JOIN orders o ON o.key = p.order_key "
     "WHERE p.counts = 1 AND p.refunded_fen <> o.refunded_fen"},
    {"released_over_proof", "a cancelled order's attempts can take no money any more, each by a proof", "ord_",
     COUNT("orders WHERE state = 5"),
     "SELECT DISTINCT 2, o.key FROM orders o JOIN payments p ON p.order_key = o.key WHERE o.state = 5 AND ("
     "(NOT " AT_DEADLINE " AND (" OPEN_TRY " OR (p.state IN (5, 8) AND p.proof_ms > o.cancelled_ms))) "
     "OR (p.state IN (5, 8) AND (p.proof = 0 OR p.proof_ms = 0)) "
     "OR (p.proof = 3 AND p.proof_ms < p.expires_ms))"},
    {"released_at_deadline", "orders released before a proof (order.release=deadline) are watched until there is one",
     "ord_",
     "SELECT count(DISTINCT o.key) FROM orders o JOIN payments p ON p.order_key = o.key WHERE o.state = 5 "
     "AND " AT_DEADLINE " AND (" OPEN_TRY " OR p.proof_ms > o.cancelled_ms)",
     "SELECT max(1 + (p.owes = 0)), o.key FROM orders o JOIN payments p ON p.order_key = o.key WHERE o.state "
     "= 5 "
     "AND " AT_DEADLINE " AND " OPEN_TRY " GROUP BY o.key"},
    // 5 minutes is far longer than any turn; closing may rightly take until the provider can be reached.
    {"deadlines", "no order waits for money long after its window", "ord_", COUNT("orders WHERE state IN (1, 2, 3)"),
     "SELECT 1 + (state <> 3 AND expires_ms + 300000 < :judged_ms), key FROM orders "
     "WHERE due_ms IS NOT NULL AND state IN (1, 2, 3) AND expires_ms + :grace_ms + 60000 < :now_ms"},
    {"events_dense", "an order's events are numbered 1 to n without a gap", "ord_", COUNT("events"),
     "WITH e AS MATERIALIZED (SELECT order_key, count(*) AS n, min(sequence) AS first, max(sequence) AS last "
     "FROM events GROUP BY order_key) SELECT 2, o.key FROM orders o LEFT JOIN e ON e.order_key = o.key "
     "WHERE e.n IS NULL OR e.first <> 1 OR e.last <> o.sequence OR e.n <> o.sequence "
     "UNION ALL SELECT 2, order_key FROM e WHERE order_key NOT IN (SELECT key FROM orders)"},
    {"events_tell_state", "the last event of an order tells the state it is in", "ord_", COUNT("orders"),
     "SELECT 2, o.key FROM orders o WHERE o.state IS NOT (SELECT e.state FROM events e "
     "WHERE e.order_key = o.key AND e.type <= 5 ORDER BY e.sequence DESC LIMIT 1)"},
    {"due_owed", "whatever is owed has a time at which it is done", "ord_", COUNT("orders WHERE due_ms IS NOT NULL"),
     "SELECT 2, key FROM orders WHERE state IN (1, 2, 3) AND due_ms IS NULL "
     "UNION SELECT 2, p.order_key FROM payments p LEFT JOIN orders o ON o.key = p.order_key "
     "WHERE p.owes <> 0 AND (p.due_ms IS NULL OR o.due_ms IS NULL OR o.due_ms > p.due_ms) "
     "UNION SELECT 2, f.order_key FROM refunds f LEFT JOIN orders o ON o.key = f.order_key "
     "WHERE f.state = 1 AND (f.due_ms IS NULL OR o.due_ms IS NULL OR o.due_ms > f.due_ms) "
     "UNION SELECT 2, h.order_key FROM halves h LEFT JOIN orders o ON o.key = h.order_key "
     "WHERE h.owes <> 0 AND (o.due_ms IS NULL OR o.due_ms > h.due_ms)"},
    // An order with a row in halves had its messages at a broker elsewhere. Of one that was decided so long ago that
    // its messages may be deleted, those that are left are there once.
    {"messages_told", "each order's messages are those of its policy and its history, once each", "ord_",
     COUNT("messages"),
     "WITH m AS MATERIALIZED (SELECT order_key, sum(type = 1) AS c, sum(type = 2) AS p, sum(type = 3) AS x "
     "FROM messages WHERE topic <> 4 GROUP BY order_key) "
     "SELECT 2, o.key FROM orders o LEFT JOIN m ON m.order_key = o.key "
     "WHERE NOT EXISTS (SELECT 1 FROM halves h WHERE h.order_key = o.key) AND CASE "
     "WHEN o.state > 2 AND min(ifnull(nullif(o.closing_ms, 0), 1 << 62), ifnull(nullif(o.paid_ms, 0), 1 << 62)) "
     "< (SELECT message_ms FROM gone) THEN max(m.c, m.p, m.x) > 1 "
     "WHEN o.policy = 3 "
     "THEN ifnull(m.c, 0) > 0 OR (o.state = 4) <> ifnull(m.p, 0) OR (o.state = 5 AND m.x IS NOT 1) OR m.x > 1 "
     "OR (o.state < 4 AND m.x > 0) ELSE (o.state IN (3, 5) AND m.c IS NOT 1) OR m.c > 1 "
     "OR (o.state < 3 AND m.c > 0) OR m.p + m.x > 0 END "
     "UNION ALL SELECT 2, order_key FROM m WHERE order_key NOT IN (SELECT key FROM orders)"},
    {"broker_told", "what a broker elsewhere must be told has been told", "ord_", COUNT("halves"),
     "SELECT 1, order_key FROM halves WHERE owes <> 0"},
    {"one_attempt_per_number", "attempts are numbered 1 to n, and a provider's trade pays one attempt", "ord_",
     COUNT("payments"),
     "SELECT 2, order_key FROM payments GROUP BY order_key HAVING count(*) <> max(n) "
     "UNION SELECT 2, order_key FROM payments WHERE order_key NOT IN (SELECT key FROM orders) "
     "UNION SELECT 2, min(order_key) FROM payments WHERE captured_fen > 0 AND provider_trade_no IS NOT NULL "
     "GROUP BY channel, provider_trade_no HAVING count(*) > 1"},
};

struct audit {
    sqlite3 *db;
    uint8_t secret[ID_SECRET_SIZE];
    int64_t now_ms, grace_ms;
    int64_t judged_ms; // up to when the store was looked after: a server that is down misses no deadline
};

// --- Lines

#define EXAMPLES_MAX 4

static void line_add(struct audit_line *l, enum audit_verdict verdict, const char *example)
{
    int64_t told = l->n_pending + l->n_broken;
    if (verdict == AUDIT_PENDING) l->n_pending++;
    if (verdict == AUDIT_BROKEN) {
        if (l->n_broken++ == 0) { // what is broken is what is shown
            l->examples[0] = 0;
            told = 0;
        } else {
            told = l->n_broken - 1;
        }
    } else if (l->n_broken) {
        return;
    }
    if (verdict > l->verdict) l->verdict = verdict;
    size_t used = strlen(l->examples), room = sizeof l->examples - used;
    if (told >= EXAMPLES_MAX || strlen(example) + 3 > room) return;
    snprintf(l->examples + used, room, "%s%s", used ? ", " : "", example);
}

static void line_fail(const struct audit *au, struct audit_line *l)
{
    char text[160];
    snprintf(text, sizeof text, "cannot be read: %.120s", sqlite3_errmsg(au->db));
    line_add(l, AUDIT_BROKEN, text);
}

// --- The checks by query

static void bind_named(sqlite3_stmt *st, const char *name, int64_t v)
{
    int i = sqlite3_bind_parameter_index(st, name);
    if (i) (void)sqlite3_bind_int64(st, i, v);
}

static sqlite3_stmt *prepare(const struct audit *au, const char *sql)
{
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(au->db, sql, -1, &st, NULL) != SQLITE_OK) return NULL;
    bind_named(st, ":now_ms", au->now_ms);
    bind_named(st, ":grace_ms", au->grace_ms);
    bind_named(st, ":judged_ms", au->judged_ms);
    return st;
}

static void example_of(const struct audit *au, const struct check *c, sqlite3_stmt *st, char out[80])
{
    if (c->prefix) {
        char id[ID_TEXT_SIZE];
        id_format(au->secret, c->prefix, (uint64_t)sqlite3_column_int64(st, 1), id);
        snprintf(out, 80, "%s", id);
    } else {
        const char *text = (const char *)sqlite3_column_text(st, 1);
        snprintf(out, 80, "%.72s", text ? text : "?");
    }
}

static void check_run(const struct audit *au, const struct check *c, struct audit_line *l)
{
    *l = (struct audit_line){.name = c->name, .meaning = c->meaning};
    sqlite3_stmt *st = prepare(au, c->count);
    if (st && sqlite3_step(st) == SQLITE_ROW)
        l->n_checked = sqlite3_column_int64(st, 0);
    else
        line_fail(au, l);
    sqlite3_finalize(st);
    st = prepare(au, c->find);
    int rc = st ? sqlite3_step(st) : SQLITE_ERROR;
    for (; rc == SQLITE_ROW; rc = sqlite3_step(st)) {
        char example[80];
        example_of(au, c, st, example);
        line_add(l, sqlite3_column_int(st, 0) == 2 ? AUDIT_BROKEN : AUDIT_PENDING, example);
    }
    if (rc != SQLITE_DONE) line_fail(au, l);
    sqlite3_finalize(st);
}

// --- The comparison with the provider's ledger

struct books { // one of our attempts, and its order
    int64_t state, captured_fen, refunded_fen, refunding_fen, captured_ms, proof_ms;
    int64_t order_state, cancelled_ms, expires_ms;
};

#define LEDGER_LINES 4
struct ledger_lines {
    struct audit_line *captures, *refunds, *ours, *foreign;
};

static bool books_read(sqlite3_stmt *st, uint64_t key, struct books *b)
{
    sqlite3_bind_int64(st, 1, (int64_t)key);
    bool row = sqlite3_step(st) == SQLITE_ROW;
    if (row) {
        struct columns c = {.st = st};
        *b = (struct books){.state = col_i64(&c)};
        b->captured_fen = col_i64(&c);
        b->refunded_fen = col_i64(&c);
        b->refunding_fen = col_i64(&c);
        b->captured_ms = col_i64(&c);
        b->proof_ms = col_i64(&c);
        b->order_state = col_i64(&c);
        b->cancelled_ms = col_i64(&c);
        b->expires_ms = col_i64(&c);
    }
    sqlite3_reset(st);
    return row;
}

// Money the provider has and we have not seen: somebody must still be looking, or may yet be told.
static enum audit_verdict unseen_money(const struct audit *au, const struct ledger_trade *t, const struct books *b)
{
    // Within its window somebody asks; after it the closing does; after that only a notification may still come.
    int64_t noticed_ms = (t->captured_ms > b->expires_ms ? t->captured_ms : b->expires_ms) + au->grace_ms;
    bool order_open = b->order_state >= ORDER_PLACED && b->order_state <= ORDER_CLOSING;
    bool attempt_open = b->state == PAYMENT_CREATING || b->state == PAYMENT_WAITING || b->state == PAYMENT_CLOSING;
    bool may_be_told = b->cancelled_ms > au->now_ms - NOTICE_END_MS || b->proof_ms > au->now_ms - NOTICE_END_MS;
    bool in_time = au->now_ms <= noticed_ms;
    return ((order_open || attempt_open) && in_time) || (!order_open && !attempt_open && may_be_told) ? AUDIT_PENDING
                                                                                                      : AUDIT_BROKEN;
}

static void trade_captured(const struct audit *au, const struct ledger_trade *t, const struct books *b,
                           struct audit_line *l)
{
    l->n_checked++;
    if (b && b->captured_fen == t->captured_fen) return;
    if (b && b->captured_fen == 0)
        line_add(l, unseen_money(au, t, b), t->out_trade_no);
    else
        line_add(l, AUDIT_BROKEN, t->out_trade_no);
}

static void trade_refunded(const struct ledger_trade *t, const struct books *b, struct audit_line *l)
{
    l->n_checked++;
    if (t->refunded_fen == b->refunded_fen) return;
    bool under_way = t->refunded_fen > b->refunded_fen && t->refunded_fen <= b->refunded_fen + b->refunding_fen;
    bool unseen = b->captured_fen == 0; // told of at the captures
    line_add(l, under_way || unseen ? AUDIT_PENDING : AUDIT_BROKEN, t->out_trade_no);
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

// The other way round: money we say we have, the provider must have. A capture of this minute may be younger
// than the ledger.
static void captures_known(const struct audit *au, const uint64_t *keys, size_t n, struct audit_line *l)
{
    sqlite3_stmt *st = prepare(au, "SELECT key, captured_ms FROM payments WHERE captured_fen > 0");
    int rc = st ? sqlite3_step(st) : SQLITE_ERROR;
    for (; rc == SQLITE_ROW; rc = sqlite3_step(st)) {
        uint64_t key = (uint64_t)sqlite3_column_int64(st, 0);
        l->n_checked++;
        if (n && bsearch(&key, keys, n, sizeof *keys, by_key)) continue;
        char number[ID_TEXT_SIZE];
        id_format(au->secret, "", key, number);
        bool young = sqlite3_column_int64(st, 1) > au->now_ms - MINUTE_MS;
        line_add(l, young ? AUDIT_PENDING : AUDIT_BROKEN, number);
    }
    if (rc != SQLITE_DONE) line_fail(au, l);
    sqlite3_finalize(st);
}

static bool ledger_compare(const struct audit *au, const struct ledger_trade *trades, unsigned n_trades,
                           const struct ledger_lines *to)
{
    sqlite3_stmt *st = prepare(au, "SELECT p.state, p.captured_fen, p.refunded_fen, p.refunding_fen, p.captured_ms, "
                                   "p.proof_ms, ifnull(o.state, 0), ifnull(o.cancelled_ms, 0), max(p.expires_ms, "
                                   "ifnull(o.expires_ms, 0)) FROM payments p "
                                   "LEFT JOIN orders o ON o.key = p.order_key WHERE p.key = ?");
    uint64_t *keys = calloc(n_trades ? n_trades : 1, sizeof *keys);
    size_t n_keys = 0;
    bool ok = st && keys;
    for (unsigned i = 0; ok && i < n_trades; i++) {
        const struct ledger_trade *t = &trades[i];
        struct books b;
        uint64_t key;
        if (!id_parse(au->secret, "", str_of(t->out_trade_no), &key)) {
            to->foreign->n_checked++;
            continue;
        }
        bool known = books_read(st, key, &b);
        if (t->captured_fen > 0) {
            keys[n_keys++] = key;
            trade_captured(au, t, known ? &b : NULL, to->captures);
        }
        if (known) trade_refunded(t, &b, to->refunds);
    }
    sqlite3_finalize(st);
    if (ok) {
        qsort(keys, n_keys, sizeof *keys, by_key);
        captures_known(au, keys, n_keys, to->ours);
    }
    free(keys);
    return ok;
}

static int ledger_run(const struct audit *au, const struct ledger_trade *trades, unsigned n_trades,
                      struct audit_line out[LEDGER_LINES])
{
    struct ledger_lines to = {&out[0], &out[1], &out[2], &out[3]};
    *to.captures =
        (struct audit_line){.name = "ledger_captures_accounted",
                            .meaning = "every capture the provider has under a number of ours is in our books"};
    *to.refunds = (struct audit_line){.name = "ledger_refunds_equal",
                                      .meaning = "the provider gave back what our books say, trade by trade"};
    *to.ours = (struct audit_line){.name = "ledger_captures_known",
                                   .meaning = "every capture in our books is in the provider's ledger"};
    *to.foreign = (struct audit_line){.name = "ledger_foreign",
                                      .meaning = "trades under numbers that are not this store's (ignored)"};
    if (!ledger_compare(au, trades, n_trades, &to)) line_fail(au, to.captures);
    return LEDGER_LINES;
}

// --- The run

_Static_assert(sizeof CHECKS / sizeof CHECKS[0] + LEDGER_LINES <= AUDIT_LINES_MAX, "room for all lines");

static int64_t last_commit_ms(const struct audit *au)
{
    sqlite3_stmt *st = prepare(au, "SELECT last_ms FROM tally");
    int64_t ms = st && sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
    sqlite3_finalize(st);
    return ms;
}

int audit_run(const char *path, int64_t now_ms, int64_t grace_ms, const struct ledger_trade *trades, unsigned n_trades,
              struct audit_line out[AUDIT_LINES_MAX], char why[200])
{
    struct audit au = {.now_ms = now_ms, .grace_ms = grace_ms, .judged_ms = now_ms};
    struct sqlite_options o = {.path = path};
    bool looked_after = sqlite_store_is_open(path);
    au.db = sqlite_connect_to_read(&o, au.secret, why);
    if (!au.db) return -1;
    if (!sqlite_begin_whole(au.db, path, au.secret, why)) { // one snapshot for all lines
        sqlite3_close(au.db);
        return -1;
    }
    int64_t last_ms = last_commit_ms(&au);
    if (last_ms > au.now_ms) au.now_ms = au.judged_ms = last_ms; // a clock that was moved
    if (!looked_after && last_ms < au.judged_ms) au.judged_ms = last_ms;
    int n = 0;
    for (size_t i = 0; i < sizeof CHECKS / sizeof CHECKS[0]; i++)
        check_run(&au, &CHECKS[i], &out[n++]);
    if (trades) n += ledger_run(&au, trades, n_trades, out + n);
    (void)sqlite_run(au.db, "COMMIT");
    sqlite3_close(au.db);
    return n;
}
