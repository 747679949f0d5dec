// SPDX-License-Identifier: Apache-2.0
// The tables, as a list of migrations. A script that was ever released is never changed: append another.
//
// Large B-trees are appended to, because their keys grow with time; no random string is indexed (see
// mark_index.h). The CHECKs are the promises a single row can break by itself; `till audit` checks those
// between rows.
#include "store/sqlite_inside.h"
#include <stdio.h>

// The scripts below spell these numbers out.
_Static_assert(ORDER_PLACED == 1 && ORDER_AWAITING_PAYMENT == 2 && ORDER_CLOSING == 3 && ORDER_PAID == 4 &&
                   ORDER_CANCELLED == 5,
               "stored");
_Static_assert(PAYMENT_CREATING == 1 && PAYMENT_WAITING == 2 && PAYMENT_CAPTURED == 3 && PAYMENT_CLOSING == 4 &&
                   PAYMENT_CLOSED == 5 && PAYMENT_REFUNDING == 6 && PAYMENT_REFUNDED == 7 && PAYMENT_FAILED == 8 &&
                   PAYMENT_HELD == 9 && PAYMENT_MISMATCHED == 10,
               "stored");
_Static_assert(REFUND_PENDING == 1 && REFUND_SUCCEEDED == 2 && REFUND_FAILED == 3 && CAUSE_MERCHANT == 0 &&
                   CAUSE_PROVIDER == 4,
               "stored");
_Static_assert(HALF_UNSENT == 1 && HALF_PENDING == 2 && HALF_ENDED == 3 && ANSWER_COMMIT == 2 && ANSWER_ROLLBACK == 3 &&
                   TOPIC_CANCEL == 1 && TOPIC_PAID == 2 && TOPIC_EVENTS == 3 && TOPIC_DEAD == 4 &&
                   MESSAGE_CANCEL == 1 && MESSAGE_CANCELLED == 3 &&
                   (OWES_HALF | OWES_END | OWES_MAIN | OWES_SECOND) == 15 && CONSUMER_CANCEL == 0 &&
                   CONSUMER_OUTBOX == 1,
               "stored");
_Static_assert(CASE_UNKNOWN_NUMBER == 1 && CASE_AMOUNT_DIFFERS == 4, "stored");
_Static_assert(STOCK_MAX == INT64_C(1000000000000) && AMOUNT_MAX_FEN == INT64_C(10000000000), "stored");

static const char *const MIGRATIONS[] = {
    // 1
    "CREATE TABLE meta ("
    " id INTEGER PRIMARY KEY CHECK (id = 1),"
    " secret BLOB NOT NULL CHECK (length(secret) = 16),"
    " created_ms INTEGER NOT NULL"
    ") STRICT;"
    // One row, written with every commit: what a start needs to know, and totals nobody should count rows
    // for.
    "CREATE TABLE tally ("
    " id INTEGER PRIMARY KEY CHECK (id = 1),"
    " last_key INTEGER NOT NULL,"
    " last_ms INTEGER NOT NULL,"
    " placed INTEGER NOT NULL, awaiting_payment INTEGER NOT NULL, closing INTEGER NOT NULL,"
    " paid INTEGER NOT NULL, cancelled INTEGER NOT NULL"
    ") STRICT;"
    "CREATE TABLE orders ("
    " key INTEGER PRIMARY KEY CHECK (key > 0),"
    " version INTEGER NOT NULL CHECK (version >= 1),"
    " sequence INTEGER NOT NULL CHECK (sequence >= 1),"
    " state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 5),"
    " reason INTEGER NOT NULL CHECK (reason BETWEEN 0 AND 4),"
    " channel INTEGER NOT NULL CHECK (channel BETWEEN 0 AND 9),"
    " policy INTEGER NOT NULL CHECK (policy BETWEEN 0 AND 3),"
    " holds_stock INTEGER NOT NULL CHECK (holds_stock IN (0, 1)),"
    " reply_state INTEGER NOT NULL CHECK (reply_state BETWEEN 0 AND 5),"
    " reply_version INTEGER NOT NULL CHECK (reply_version BETWEEN 0 AND version),"
    " n_checks INTEGER NOT NULL CHECK (n_checks >= 0),"
    " amount_fen INTEGER NOT NULL CHECK (amount_fen BETWEEN 1 AND 10000000000),"
    " paid_fen INTEGER NOT NULL CHECK (paid_fen >= 0),"
    " refunded_fen INTEGER NOT NULL CHECK (refunded_fen BETWEEN 0 AND paid_fen),"
    " created_ms INTEGER NOT NULL,"
    " expires_ms INTEGER NOT NULL,"
    " closing_ms INTEGER NOT NULL,"
    " paid_ms INTEGER NOT NULL,"
    " cancelled_ms INTEGER NOT NULL,"
    " check_ms INTEGER," // NULL: not again
    " scanned_ms INTEGER NOT NULL,"
    " due_ms INTEGER," // NULL: nothing is owed
    " currency TEXT NOT NULL,"
    " merchant_order_no TEXT,"
    " merchant_mark INTEGER," // of merchant_order_no, for the index in memory
    " request_a INTEGER, request_b INTEGER,"
    " buyer TEXT,"
    " buyer_mark INTEGER,"
    " subject TEXT,"
    " items TEXT,"
    " metadata TEXT,"
    " CHECK (CASE WHEN state IN (3, 5) THEN reason <> 0 ELSE reason = 0 OR state = 4 END),"
    " CHECK (state <> 3 OR closing_ms > 0),"
    " CHECK (state > 3 OR paid_fen = 0),"
    " CHECK (state <> 4 OR (paid_ms > 0 AND paid_fen > 0)),"
    " CHECK (state <> 5 OR cancelled_ms > 0),"
    " CHECK ((merchant_order_no IS NULL) = (merchant_mark IS NULL)),"
    " CHECK ((buyer IS NULL) = (buyer_mark IS NULL)),"
    " CHECK (holds_stock = 0 OR items IS NOT NULL)"
    ") STRICT;"
    "CREATE INDEX orders_owing ON orders (key, expires_ms) WHERE due_ms IS NOT NULL;"
    "CREATE INDEX orders_numbered ON orders (key, merchant_mark) WHERE merchant_mark IS NOT NULL;"
    "CREATE INDEX orders_buyer ON orders (buyer_mark, key) WHERE buyer_mark IS NOT NULL;"
    "CREATE TABLE payments ("
    " key INTEGER PRIMARY KEY CHECK (key > 0),"
    " order_key INTEGER NOT NULL,"
    " n INTEGER NOT NULL CHECK (n >= 1),"
    " channel INTEGER NOT NULL CHECK (channel BETWEEN 1 AND 9),"
    " state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 10),"
    " proof INTEGER NOT NULL CHECK (proof BETWEEN 0 AND 5),"
    " amount_fen INTEGER NOT NULL CHECK (amount_fen BETWEEN 1 AND 10000000000),"
    " captured_fen INTEGER NOT NULL CHECK (captured_fen >= 0),"
    " refunded_fen INTEGER NOT NULL CHECK (refunded_fen >= 0),"
    " refunding_fen INTEGER NOT NULL CHECK (refunding_fen >= 0),"
    " created_ms INTEGER NOT NULL,"
    " expires_ms INTEGER NOT NULL,"
    " captured_ms INTEGER NOT NULL,"
    " proof_ms INTEGER NOT NULL,"
    " owes INTEGER NOT NULL CHECK (owes BETWEEN 0 AND 6),"
    " tries INTEGER NOT NULL CHECK (tries >= 0),"
    " due_ms INTEGER,"
    " counts INTEGER NOT NULL CHECK (counts IN (0, 1)),"
    " provider_trade_no TEXT,"
    " code TEXT,"
    " product INTEGER NOT NULL CHECK (product BETWEEN 0 AND 2),"
    " payer TEXT,"
    " word INTEGER NOT NULL CHECK (word BETWEEN 0 AND 2),"
    " CHECK (refunded_fen + refunding_fen <= captured_fen),"
    " CHECK (state NOT IN (5, 8) OR (proof <> 0 AND proof_ms > 0)),"
    " CHECK ((captured_fen > 0) = (state IN (3, 6, 7, 9, 10))),"
    " CHECK (captured_fen = 0 OR captured_ms > 0),"
    " CHECK (word <> 1 OR (state IN (9, 10) AND refunded_fen + refunding_fen = 0)),"
    " CHECK (state <> 9 OR word = 1),"
    " CHECK (counts = 0 OR captured_fen = amount_fen OR word = 2),"
    " CHECK ((owes = 0) = (due_ms IS NULL))"
    ") STRICT;"
    "CREATE UNIQUE INDEX payments_of_order ON payments (order_key, n);"
    "CREATE UNIQUE INDEX payments_counting ON payments (order_key) WHERE counts = 1;"
    "CREATE TABLE refunds ("
    " key INTEGER PRIMARY KEY CHECK (key > 0),"
    " order_key INTEGER NOT NULL,"
    " payment_key INTEGER NOT NULL,"
    " state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 3),"
    " cause INTEGER NOT NULL CHECK (cause BETWEEN 0 AND 4),"
    " owes INTEGER NOT NULL CHECK (owes IN (0, 5, 6)),"
    " tries INTEGER NOT NULL CHECK (tries >= 0),"
    " uncertain INTEGER NOT NULL CHECK (uncertain IN (0, 1)),"
    " absents INTEGER NOT NULL DEFAULT 0 CHECK (absents >= 0),"
    " is_abnormal INTEGER NOT NULL CHECK (is_abnormal IN (0, 1)),"
    " replaces_key INTEGER NOT NULL," // 0: the first of its capture
    " amount_fen INTEGER NOT NULL CHECK (amount_fen > 0),"
    " created_ms INTEGER NOT NULL,"
    " finished_ms INTEGER NOT NULL,"
    " due_ms INTEGER,"
    " CHECK ((state = 1) = (owes <> 0)),"
    " CHECK ((state = 1) = (due_ms IS NOT NULL)),"
    " CHECK (state = 1 OR finished_ms > 0)"
    ") STRICT;"
    "CREATE INDEX refunds_of_order ON refunds (order_key, key);"
    // Money that must go back goes back once, whatever went wrong above.
    "CREATE UNIQUE INDEX refunds_by_system ON refunds (payment_key) WHERE cause <> 0 AND state <> 3;"
    "CREATE TABLE events ("
    " key INTEGER PRIMARY KEY CHECK (key > 0),"
    " order_key INTEGER NOT NULL,"
    " sequence INTEGER NOT NULL CHECK (sequence >= 1),"
    " at_ms INTEGER NOT NULL,"
    " type INTEGER NOT NULL CHECK (type BETWEEN 1 AND 10),"
    " state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 5),"
    " reason INTEGER NOT NULL,"
    " payment_key INTEGER NOT NULL,"
    " refund_key INTEGER NOT NULL,"
    " amount_fen INTEGER NOT NULL"
    ") STRICT;"
    "CREATE UNIQUE INDEX events_of_order ON events (order_key, sequence);"
    "CREATE TABLE traces ("
    " order_key INTEGER NOT NULL,"
    " key INTEGER NOT NULL,"
    " at_ms INTEGER NOT NULL,"
    " kind INTEGER NOT NULL,"
    " channel INTEGER NOT NULL,"
    " method INTEGER NOT NULL,"
    " outcome INTEGER NOT NULL,"
    " fact INTEGER NOT NULL,"
    " answer INTEGER NOT NULL,"
    " n INTEGER NOT NULL,"
    " took_ms INTEGER NOT NULL,"
    " detail TEXT NOT NULL,"
    " PRIMARY KEY (order_key, key)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE skus ("
    " id INTEGER PRIMARY KEY,"
    " sku TEXT NOT NULL UNIQUE CHECK (sku <> ''),"
    " title TEXT NOT NULL,"
    " currency TEXT NOT NULL,"
    " price_fen INTEGER NOT NULL CHECK (price_fen >= 0),"
    " available INTEGER NOT NULL CHECK (available BETWEEN 0 AND 1000000000000),"
    " held INTEGER NOT NULL CHECK (held BETWEEN 0 AND 1000000000000),"
    " sold INTEGER NOT NULL CHECK (sold BETWEEN 0 AND 1000000000000),"
    " added INTEGER NOT NULL," // all that a merchant ever put in, less what he took out
    " CHECK (available + held + sold = added)"
    ") STRICT;"
    "CREATE TABLE carts ("
    " cart TEXT NOT NULL,"
    " sku TEXT NOT NULL,"
    " quantity INTEGER NOT NULL CHECK (quantity >= 1),"
    " PRIMARY KEY (cart, sku)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE cases (" // genuine notifications of a number nobody knows
    " key INTEGER PRIMARY KEY,"
    " at_ms INTEGER NOT NULL,"
    " channel INTEGER NOT NULL,"
    " number TEXT NOT NULL,"
    " text TEXT NOT NULL"
    ") STRICT;"
    "CREATE TABLE idempotency ("
    " n INTEGER PRIMARY KEY,"
    " scope_a INTEGER NOT NULL, scope_b INTEGER NOT NULL,"
    " body_a INTEGER NOT NULL, body_b INTEGER NOT NULL,"
    " at_ms INTEGER NOT NULL,"
    " status INTEGER NOT NULL,"
    " order_key INTEGER NOT NULL,"
    " answer BLOB"
    ") STRICT;"
    // The half message of an order at a broker elsewhere, and what that broker must still be told.
    "CREATE TABLE halves ("
    " order_key INTEGER PRIMARY KEY CHECK (order_key > 0),"
    " state INTEGER NOT NULL CHECK (state BETWEEN 1 AND 3),"
    " answer INTEGER NOT NULL CHECK (answer IN (0, 2, 3)),"
    " owes INTEGER NOT NULL CHECK (owes BETWEEN 0 AND 15),"
    " n_checks INTEGER NOT NULL CHECK (n_checks >= 0),"
    " tries INTEGER NOT NULL CHECK (tries >= 0),"
    " main_sequence INTEGER NOT NULL,"
    " second_sequence INTEGER NOT NULL,"
    " due_ms INTEGER,"
    " broker TEXT NOT NULL,"
    " commit_log_offset INTEGER NOT NULL,"
    " queue_offset INTEGER NOT NULL,"
    " CHECK ((owes = 0) = (due_ms IS NULL)),"
    " CHECK (state <> 2 OR broker <> '')"
    ") STRICT;"
    // What the embedded broker delivered. A pending half message has no row here: the order's own is it.
    "CREATE TABLE messages ("
    " topic INTEGER NOT NULL CHECK (topic BETWEEN 1 AND 4),"
    " key INTEGER NOT NULL CHECK (key > 0),"
    " at_ms INTEGER NOT NULL,"
    " type INTEGER NOT NULL CHECK (type BETWEEN 1 AND 3),"
    " order_key INTEGER NOT NULL,"
    " sequence INTEGER NOT NULL CHECK (sequence >= 1),"
    " amount_fen INTEGER NOT NULL,"
    " reason INTEGER NOT NULL CHECK (reason BETWEEN 0 AND 4),"
    " PRIMARY KEY (topic, key)"
    ") STRICT, WITHOUT ROWID;"
    // Up to where messages are consumed, and public events published elsewhere.
    "CREATE TABLE consumed ("
    " consumer INTEGER PRIMARY KEY CHECK (consumer IN (0, 1)),"
    " key INTEGER NOT NULL"
    ") STRICT;"
    "INSERT INTO tally VALUES (1, 0, 0, 0, 0, 0, 0, 0);"
    "INSERT INTO consumed VALUES (0, 0), (1, 0);",
    // 2: cases say what differs, and are closed. There are few of them: a difference is an exception, so an index may
    // hold strings that nobody orders. The same difference is one case, however often it is found.
    "CREATE TABLE cases_2 ("
    " key INTEGER PRIMARY KEY CHECK (key > 0),"
    " kind INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 4),"
    " channel INTEGER NOT NULL CHECK (channel BETWEEN 1 AND 9),"
    " is_refund INTEGER NOT NULL CHECK (is_refund IN (0, 1)),"
    " number TEXT NOT NULL,"
    " refund_number TEXT NOT NULL,"
    " provider_trade_no TEXT NOT NULL,"
    " here_fen INTEGER NOT NULL CHECK (here_fen >= 0),"
    " there_fen INTEGER NOT NULL CHECK (there_fen >= 0),"
    " order_key INTEGER," // NULL: not known
    " payment_key INTEGER,"
    " day_ms INTEGER NOT NULL,"
    " opened_ms INTEGER NOT NULL CHECK (opened_ms > 0),"
    " closed_ms INTEGER CHECK (closed_ms > 0)," // NULL: open
    " note TEXT NOT NULL,"
    " CHECK (kind <> 4 OR here_fen <> there_fen),"
    " CHECK ((order_key IS NULL) = (payment_key IS NULL)),"
    " CHECK (closed_ms IS NOT NULL OR note = '')"
    ") STRICT;"
    "CREATE UNIQUE INDEX cases_once ON cases_2"
    " (number, kind, channel, is_refund, refund_number, here_fen, there_fen);"
    "INSERT INTO cases_2 SELECT key, 1, channel, 0, number, '', text, 0, 0, NULL, NULL, 0, at_ms, NULL, '' FROM cases"
    " WHERE true ORDER BY key ON CONFLICT DO NOTHING;"
    "DROP TABLE cases;"
    "ALTER TABLE cases_2 RENAME TO cases;"
    "CREATE INDEX cases_open ON cases (key) WHERE closed_ms IS NULL;",
    // 3: one row, of what is not here any more: events up to that key may be in the archive, messages older than that
    // may be deleted.
    "CREATE TABLE gone ("
    " id INTEGER PRIMARY KEY CHECK (id = 1),"
    " event_key INTEGER NOT NULL CHECK (event_key >= 0),"
    " message_ms INTEGER NOT NULL CHECK (message_ms >= 0)"
    ") STRICT;"
    "INSERT INTO gone VALUES (1, 0, 0);",
    // 4: the refunds that are on their way are counted, and the oldest is known, without reading those that are over.
    "CREATE INDEX refunds_pending ON refunds (created_ms, is_abnormal) WHERE state = 1;",
};

#define SCHEMA_VERSION ((int)(sizeof MIGRATIONS / sizeof MIGRATIONS[0]))

static bool pragma_int(sqlite3 *db, const char *sql, int64_t *value)
{
    sqlite3_stmt *st = NULL;
    bool ok = sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW;
    if (ok) *value = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return ok;
}

static bool migrate_one(sqlite3 *db, int to)
{
    char bump[48];
    snprintf(bump, sizeof bump, "PRAGMA user_version = %d", to);
    bool ok = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK &&
              sqlite3_exec(db, MIGRATIONS[to - 1], NULL, NULL, NULL) == SQLITE_OK &&
              sqlite3_exec(db, bump, NULL, NULL, NULL) == SQLITE_OK &&
              sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK;
    return ok;
}

bool sqlite_schema_ours(sqlite3 *db, int *version, char why[200])
{
    int64_t found, tables;
    if (!pragma_int(db, "PRAGMA user_version", &found) ||
        !pragma_int(db, "SELECT count(*) FROM sqlite_schema", &tables)) {
        snprintf(why, 200, "cannot read the store: %s", sqlite3_errmsg(db));
        return false;
    }
    if (found == 0 && tables > 0) {
        snprintf(why, 200, "the file is an SQLite database, but not a store of Till");
        return false;
    }
    if (found < 0 || found > SCHEMA_VERSION) {
        snprintf(why, 200, "the store has schema version %lld, this program knows %d", (long long)found,
                 SCHEMA_VERSION);
        return false;
    }
    *version = (int)found;
    return true;
}

bool sqlite_schema_migrate(sqlite3 *db, char why[200])
{
    int version;
    if (!sqlite_schema_ours(db, &version, why)) return false;
    while (version < SCHEMA_VERSION) {
        if (!migrate_one(db, ++version)) {
            snprintf(why, 200, "cannot bring the store to schema version %d: %s", version, sqlite3_errmsg(db));
            return false;
        }
    }
    return true;
}

bool sqlite_schema_known(sqlite3 *db, char why[200])
{
    int version;
    if (!sqlite_schema_ours(db, &version, why)) return false;
    if (version == SCHEMA_VERSION) return true;
    snprintf(why, 200, "the store has schema version %d, this program needs %d: open it for writing once", version,
             SCHEMA_VERSION);
    return false;
}
