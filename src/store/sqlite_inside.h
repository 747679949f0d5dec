// SPDX-License-Identifier: Apache-2.0
// What the files of the SQLite store share. Nobody else includes this.
#ifndef TILL_STORE_SQLITE_INSIDE_H
#define TILL_STORE_SQLITE_INSIDE_H

#include "store/mark_index.h"
#include "store/sqlite.h"
#include <sqlite3.h>

// --- Schema (sqlite_schema.c)

// Whether the file is empty or a store no newer than this program; reads only.
bool sqlite_schema_ours(sqlite3 *db, int *version, char why[200]);
bool sqlite_schema_migrate(sqlite3 *db, char why[200]); // brings it up to date
bool sqlite_schema_known(sqlite3 *db, char why[200]);   // whether it is up to date; reads only

// --- Columns (sqlite_rows.c). A statement's columns are read, and its parameters bound, one after the other:
// the order stands in one place, the macro, and nobody counts.

struct columns {
    sqlite3_stmt *st;
    int i;
    struct arena *a;
    bool failed; // memory was out
};
int64_t col_i64(struct columns *c);
int64_t col_time(struct columns *c);    // NULL is TIME_NEVER
struct str col_text(struct columns *c); // copied into the arena; NULL is empty
struct hash128 col_hash(struct columns *c);

struct params {
    sqlite3_stmt *st;
    int i;
};
void put_i64(struct params *p, int64_t v);
void put_key(struct params *p, uint64_t v);
void put_time(struct params *p, int64_t ms); // TIME_NEVER is NULL
void put_text(struct params *p, struct str s);
void put_text_or_null(struct params *p, struct str s); // empty is NULL
void put_null(struct params *p);

#define ORDER_COLUMNS                                                                                                  \
    "o.key, o.version, o.sequence, o.state, o.reason, o.channel, o.policy, o.holds_stock, o.reply_state, "             \
    "o.reply_version, o.n_checks, o.amount_fen, o.paid_fen, o.refunded_fen, o.created_ms, o.expires_ms, "              \
    "o.closing_ms, "                                                                                                   \
    "o.paid_ms, o.cancelled_ms, o.check_ms, o.scanned_ms, o.due_ms"
#define ORDER_TEXT_COLUMNS "o.merchant_order_no, o.buyer, o.subject, o.currency, o.items, o.metadata"
#define PAYMENT_COLUMNS                                                                                                \
    "p.key, p.n, p.channel, p.state, p.proof, p.amount_fen, p.captured_fen, p.refunded_fen, "                          \
    "p.refunding_fen, p.created_ms, p.expires_ms, p.captured_ms, p.proof_ms, p.owes, p.tries, p.due_ms, "              \
    "p.counts, p.provider_trade_no, p.code, p.product, p.payer, p.word"
#define REFUND_COLUMNS                                                                                                 \
    "f.key, f.payment_key, f.state, f.cause, f.owes, f.tries, f.uncertain, f.amount_fen, f.created_ms, "               \
    "f.finished_ms, f.due_ms, f.absents, f.is_abnormal, f.replaces_key"
#define HALF_COLUMNS                                                                                                   \
    "h.state, h.answer, h.owes, h.n_checks, h.tries, h.main_sequence, h.second_sequence, h.due_ms, h.broker, "         \
    "h.commit_log_offset, h.queue_offset"
#define MESSAGE_COLUMNS "m.topic, m.key, m.at_ms, m.type, m.order_key, m.sequence, m.amount_fen, m.reason"
#define CASE_COLUMNS                                                                                                   \
    "c.key, c.kind, c.channel, c.is_refund, c.number, c.refund_number, c.provider_trade_no, c.here_fen, "              \
    "c.there_fen, ifnull(c.order_key, 0), ifnull(c.payment_key, 0), c.day_ms, c.opened_ms, ifnull(c.closed_ms, 0), "   \
    "c.note, ifnull(o.state, 0), ifnull(p.state, 0)"
#define SKU_COLUMNS "s.sku, s.title, s.currency, s.price_fen, s.available, s.held, s.sold"

void col_order(struct columns *c, struct order *o);
void col_order_text(struct columns *c, struct order_text *t);
void col_payment(struct columns *c, struct payment *p);
void col_refund(struct columns *c, struct refund *f);
void col_half(struct columns *c, struct half *h);
void col_message(struct columns *c, struct message_row *m);
void col_case(struct columns *c, struct case_row *r);
void col_sku(struct columns *c, struct sku *s);

// The mark of a random string, see mark_index.h.
uint64_t text_mark(const uint8_t secret[ID_SECRET_SIZE], const char *kind, struct str text);

// Runs a statement of no result. Opens a connection with what writer and readers have in common.
bool sqlite_run(sqlite3 *db, const char *sql);
sqlite3 *sqlite_connect(const struct sqlite_options *o, int flags, char why[200]);
// The one connection that writes, on a file that is whole, durable, and of the newest schema. NULL with a reason.
sqlite3 *sqlite_connect_to_write(const struct sqlite_options *o, char why[200]);
// A connection that can only read, with the store's secret. NULL with a reason.
sqlite3 *sqlite_connect_to_read(const struct sqlite_options *o, uint8_t secret[ID_SECRET_SIZE], char why[200]);
bool sqlite_secret_read(sqlite3 *db,
                        uint8_t secret[ID_SECRET_SIZE]); // false when there is none or it cannot be read
// The secret there is, or a new one: `given`, or random when that is NULL.
bool sqlite_secret_make(sqlite3 *db, const uint8_t *given, int64_t now_ms, uint8_t out[ID_SECRET_SIZE], char why[200]);

// --- Store and archive as one, for who counts (sqlite_whole.c). Begins a read transaction in which the tables of
// orders have the archive's rows too; what is in both is the store's. Without an archive it is only begun.
bool sqlite_begin_whole(sqlite3 *db, const char *store_path, const uint8_t secret[ID_SECRET_SIZE], char why[200]);

// --- The writer (sqlite.c opens and loads, sqlite_apply.c writes)

#define STATEMENTS(X)                                                                                                  \
    X(ST_BEGIN_READ, "BEGIN")                                                                                          \
    X(ST_BEGIN, "BEGIN IMMEDIATE")                                                                                     \
    X(ST_COMMIT, "COMMIT")                                                                                             \
    X(ST_ROLLBACK, "ROLLBACK")                                                                                         \
    X(ST_SAVE, "SAVEPOINT one")                                                                                        \
    X(ST_SAVE_UNDO, "ROLLBACK TO one")                                                                                 \
    X(ST_SAVE_END, "RELEASE one")                                                                                      \
    X(ST_ORDER, "SELECT " ORDER_COLUMNS ", " ORDER_TEXT_COLUMNS ", ifnull(o.request_a, 0), "                           \
                "ifnull(o.request_b, 0) FROM orders o WHERE o.key = ?")                                                \
    X(ST_ORDER_WAS, "SELECT version, state, items FROM orders WHERE key = ?")                                          \
    X(ST_ORDER_NUMBER, "SELECT merchant_order_no FROM orders WHERE key = ?")                                           \
    X(ST_PAYMENTS, "SELECT " PAYMENT_COLUMNS " FROM payments p WHERE p.order_key = ? ORDER BY p.n")                    \
    X(ST_PAYMENT_ORDER, "SELECT order_key FROM payments WHERE key = ?")                                                \
    X(ST_REFUNDS, "SELECT " REFUND_COLUMNS " FROM refunds f WHERE f.order_key = ?1 "                                   \
                  "AND (f.state = 1 OR f.key = ?2) ORDER BY f.key")                                                    \
    X(ST_SKU, "SELECT " SKU_COLUMNS " FROM skus s WHERE s.sku = ?")                                                    \
    X(ST_CART, "SELECT " SKU_COLUMNS ", c.quantity FROM carts c JOIN skus s ON s.sku = c.sku "                         \
               "WHERE c.cart = ? ORDER BY c.sku LIMIT ?")                                                              \
    X(ST_IDEM, "SELECT scope_a, scope_b, body_a, body_b, at_ms, status, order_key, answer "                            \
               "FROM idempotency WHERE n = ?")                                                                         \
    X(ST_DUES, "SELECT key, due_ms FROM orders INDEXED BY orders_owing "                                               \
               "WHERE due_ms IS NOT NULL AND key > ? ORDER BY key LIMIT ?")                                            \
    X(ST_ORDER_ADD,                                                                                                    \
      "INSERT INTO orders (key, sequence, state, reason, channel, policy, holds_stock, "                               \
      "reply_state, reply_version, n_checks, amount_fen, paid_fen, refunded_fen, created_ms, expires_ms, "             \
      "closing_ms, paid_ms, cancelled_ms, check_ms, scanned_ms, due_ms, currency, merchant_order_no, "                 \
      "merchant_mark, request_a, request_b, buyer, buyer_mark, subject, items, metadata, "                             \
      "version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "                         \
      "?, ?, ?, ?, ?, ?, ?, ?, 1)")                                                                                    \
    X(ST_ORDER_SET, "UPDATE orders SET version = ?2, sequence = ?3, state = ?4, reason = ?5, "                         \
                    "reply_state = ?6, reply_version = ?7, n_checks = ?8, paid_fen = ?9, refunded_fen = ?10, "         \
                    "closing_ms = ?11, paid_ms = ?12, cancelled_ms = ?13, check_ms = ?14, scanned_ms = ?15, due_ms = " \
                    "?16, channel = ?17 "                                                                              \
                    "WHERE key = ?1 AND version = ?2 - 1")                                                             \
    X(ST_PAYMENT_ADD,                                                                                                  \
      "INSERT INTO payments (key, state, proof, captured_fen, refunded_fen, "                                          \
      "refunding_fen, expires_ms, captured_ms, proof_ms, owes, tries, due_ms, counts, "                                \
      "provider_trade_no, code, word, order_key, n, channel, amount_fen, created_ms, product, payer) VALUES "          \
      "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")                                         \
    X(ST_PAYMENT_SET, "UPDATE payments SET state = ?2, proof = ?3, captured_fen = ?4, refunded_fen = ?5, "             \
                      "refunding_fen = ?6, expires_ms = ?7, captured_ms = ?8, proof_ms = ?9, owes = ?10, "             \
                      "tries = ?11, due_ms = ?12, counts = ?13, provider_trade_no = ?14, code = ?15, word = ?16 "      \
                      "WHERE key = ?1")                                                                                \
    X(ST_REFUND_ADD,                                                                                                   \
      "INSERT INTO refunds (key, state, owes, tries, uncertain, finished_ms, due_ms, absents, is_abnormal, "           \
      "order_key, payment_key, cause, amount_fen, created_ms, replaces_key) VALUES "                                   \
      "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")                                                                 \
    X(ST_REFUND_SET, "UPDATE refunds SET state = ?2, owes = ?3, tries = ?4, uncertain = ?5, "                          \
                     "finished_ms = ?6, due_ms = ?7, absents = ?8, is_abnormal = ?9 WHERE key = ?1")                   \
    X(ST_EVENT_ADD, "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")                                        \
    X(ST_TRACE_ADD, "INSERT INTO traces VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")                                  \
    X(ST_STOCK_MOVE, "UPDATE skus SET available = available + ?2, held = held + ?3, sold = sold + ?4 "                 \
                     "WHERE sku = ?1 AND available + ?2 BETWEEN 0 AND 1000000000000 "                                  \
                     "AND held + ?3 BETWEEN 0 AND 1000000000000 "                                                      \
                     "AND sold + ?4 BETWEEN 0 AND 1000000000000")                                                      \
    X(ST_STOCK_ADD, "UPDATE skus SET available = available + ?2, added = added + ?2 WHERE sku = ?1")                   \
    X(ST_SKU_ADD, "INSERT INTO skus (sku, title, currency, price_fen, available, held, sold, added) "                  \
                  "VALUES (?1, ?2, ifnull(nullif(?3, ''), 'CNY'), ?4, ?5, 0, 0, ?5)")                                  \
    X(ST_SKU_SET, "UPDATE skus SET title = ?2, currency = ifnull(nullif(?3, ''), currency), "                          \
                  "price_fen = ?4 WHERE sku = ?1")                                                                     \
    X(ST_CART_COUNT, "SELECT count(*) FROM carts WHERE cart = ?1 AND sku <> ?2")                                       \
    X(ST_CART_PUT, "INSERT INTO carts VALUES (?1, ?2, ?3) "                                                            \
                   "ON CONFLICT (cart, sku) DO UPDATE SET quantity = excluded.quantity")                               \
    X(ST_CART_TAKE, "DELETE FROM carts WHERE cart = ?1 AND sku = ?2")                                                  \
    X(ST_CART_CLEAR, "DELETE FROM carts WHERE cart = ?")                                                               \
    X(ST_CASE_ADD, "INSERT INTO cases VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, "                                    \
                   "(SELECT order_key FROM payments WHERE key = ?10), (SELECT key FROM payments WHERE key = ?10), "    \
                   "?11, ?12, NULL, '') ON CONFLICT DO NOTHING")                                                       \
    X(ST_CASE_WAS, "SELECT closed_ms, note FROM cases WHERE key = ?")                                                  \
    X(ST_CASE_CLOSE, "UPDATE cases SET closed_ms = ?2, note = ?3 WHERE key = ?1")                                      \
    X(ST_IDEM_ADD, "INSERT INTO idempotency VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")                                       \
    X(ST_IDEM_OLD, "SELECT n, scope_a, at_ms FROM idempotency ORDER BY n LIMIT ?")                                     \
    X(ST_IDEM_PURGE, "DELETE FROM idempotency WHERE n <= ?")                                                           \
    X(ST_HALF, "SELECT " HALF_COLUMNS " FROM halves h WHERE h.order_key = ?")                                          \
    X(ST_HALF_SET, "INSERT OR REPLACE INTO halves VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")                        \
    X(ST_HALVES_ANY, "SELECT EXISTS (SELECT 1 FROM halves)")                                                           \
    X(ST_MESSAGE_ADD, "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)")                                          \
    X(ST_MESSAGES, "SELECT " MESSAGE_COLUMNS " FROM messages m WHERE m.topic = ? AND m.key > ? "                       \
                   "ORDER BY m.key LIMIT ?")                                                                           \
    X(ST_MESSAGES_OLD, "SELECT min(key), max(key) FROM (SELECT key FROM messages WHERE topic = ?1 AND key < ?2 "       \
                       "AND (?1 <> 1 OR key <= (SELECT key FROM consumed WHERE consumer = 0)) ORDER BY key LIMIT ?3)") \
    X(ST_MESSAGES_PURGE, "DELETE FROM messages WHERE topic = ? AND key <= ?")                                          \
    X(ST_MESSAGES_GONE, "UPDATE gone SET message_ms = max(message_ms, ?)")                                             \
    X(ST_ARCHIVED_WAS, "SELECT o.version, (SELECT ifnull(max(key), 0) FROM traces WHERE order_key = ?1), "             \
                       "o.due_ms IS NULL AND o.state IN (4, 5) AND NOT EXISTS (SELECT 1 FROM cases "                   \
                       "INDEXED BY cases_open WHERE closed_ms IS NULL AND order_key = ?1), ifnull(o.merchant_mark, 0)" \
                       " FROM orders o WHERE o.key = ?1")                                                              \
    X(ST_ARCHIVED_EVENTS, "UPDATE gone SET event_key = max(event_key, "                                                \
                          "(SELECT ifnull(max(key), 0) FROM events WHERE order_key = ?))")                             \
    X(ST_FORGET_TRACES, "DELETE FROM traces WHERE order_key = ?")                                                      \
    X(ST_FORGET_EVENTS, "DELETE FROM events WHERE order_key = ?")                                                      \
    X(ST_FORGET_REFUNDS, "DELETE FROM refunds WHERE order_key = ?")                                                    \
    X(ST_FORGET_PAYMENTS, "DELETE FROM payments WHERE order_key = ?")                                                  \
    X(ST_FORGET_HALF, "DELETE FROM halves WHERE order_key = ?")                                                        \
    X(ST_FORGET_ORDER, "DELETE FROM orders WHERE key = ?")                                                             \
    X(ST_CONSUMED, "SELECT key FROM consumed WHERE consumer = ?")                                                      \
    X(ST_CONSUMED_SET, "UPDATE consumed SET key = ?2 WHERE consumer = ?1 AND key < ?2")                                \
    X(ST_TALLY_SET, "UPDATE tally SET last_key = ?, last_ms = ?, placed = ?, awaiting_payment = ?, "                   \
                    "closing = ?, paid = ?, cancelled = ?")

#define X_ENUM(constant, sql) constant,
enum statement { STATEMENTS(X_ENUM) N_STATEMENTS };
#undef X_ENUM

struct tally { // the row of that name
    uint64_t last_key;
    int64_t last_ms;
    int64_t orders[ORDER_CANCELLED + 1];
};

// An entry of an index made for a row that is not durable yet.
struct mark_made {
    struct mark_index *index;
    uint64_t mark, key;
};

struct sqlite_store {
    struct store base;
    sqlite3 *db;
    sqlite3_stmt *st[N_STATEMENTS];
    int lock_fd;
    bool broken;   // a write went wrong in a way that leaves unknown what is on disk: no work is done any more
    int wal_pages; // in the log since it was last begun anew
    int rc;        // the first thing that went wrong in the batch at hand, SQLITE_OK if nothing
    struct tally tally;
    struct mark_index idems;   // scope.a -> n
    struct mark_index numbers; // mark of merchant_order_no -> order key
    uint64_t idem_last;        // the largest n given
    bool has_halves;           // the table has rows, or had: else nobody need look
    struct mark_made *made;    // of the batch at hand
    unsigned n_made;
    struct mark_made *freed; // entries that go when the batch at hand is durable
    unsigned n_freed;
    int64_t keep_ms; // messages; 0: for ever
};

struct params params_of(struct sqlite_store *s, enum statement id); // a statement ready to be bound
// One step: true when there is a row. Anything but a row or the end is kept in s->rc.
bool statement_row(struct sqlite_store *s, struct params *p);
bool statement_run(struct sqlite_store *s, struct params *p); // to its end, and reset; false on an error
void statement_done(struct params *p);
uint64_t idem_find(struct sqlite_store *s, struct hash128 scope, struct arena *a,
                   struct idem_record *out);                     // n, or 0
uint64_t number_find(struct sqlite_store *s, struct str number); // the order's key, or 0

enum store_outcome sqlite_apply(struct store *base, struct change *changes, unsigned n, struct arena *a);
void sqlite_tidy(struct store *base, int64_t now_ms);

#endif
