// SPDX-License-Identifier: Apache-2.0
#include "sandbox/ledger.h"
#include "base/log.h"
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// Each step brings the file from one version to the next; a new file takes all of them.
static const char SCHEMA_1[] =
    "CREATE TABLE code("
    " id INTEGER PRIMARY KEY, channel INT NOT NULL, text TEXT NOT NULL UNIQUE, out_trade_no TEXT NOT NULL,"
    " subject TEXT NOT NULL, body TEXT NOT NULL, passback TEXT NOT NULL, store_id TEXT NOT NULL,"
    " terminal_id TEXT NOT NULL, notify_url TEXT NOT NULL, terms TEXT NOT NULL,"
    " total_fen INT NOT NULL CHECK(total_fen > 0), created_ms INT NOT NULL, dies_ms INT NOT NULL,"
    " trade_dies_ms INT NOT NULL, killed INT NOT NULL);"
    "CREATE INDEX code_number ON code(channel, out_trade_no, id);"
    "CREATE TABLE trade("
    " id INTEGER PRIMARY KEY, channel INT NOT NULL, out_trade_no TEXT NOT NULL, trade_no TEXT NOT NULL,"
    " code_id INT NOT NULL REFERENCES code(id), state INT NOT NULL, total_fen INT NOT NULL,"
    " refunded_fen INT NOT NULL CHECK(refunded_fen BETWEEN 0 AND total_fen), created_ms INT NOT NULL,"
    " expires_ms INT NOT NULL, paid_ms INT NOT NULL, closed_ms INT NOT NULL, refund_ms INT NOT NULL,"
    " UNIQUE(channel, out_trade_no), UNIQUE(channel, trade_no));"
    "CREATE INDEX trade_waiting ON trade(expires_ms) WHERE state = 0;"
    "CREATE TABLE refund("
    " id INTEGER PRIMARY KEY, trade_id INT NOT NULL REFERENCES trade(id), out_request_no TEXT NOT NULL,"
    " amount_fen INT NOT NULL CHECK(amount_fen > 0), created_ms INT NOT NULL, UNIQUE(trade_id, out_request_no));"
    "CREATE TABLE notice("
    " id INTEGER PRIMARY KEY, channel INT NOT NULL, trade_id INT NOT NULL REFERENCES trade(id), url TEXT NOT NULL,"
    " fields BLOB NOT NULL, attempt INT NOT NULL, due_ms INT NOT NULL, forged INT NOT NULL, ended INT NOT NULL);"
    "CREATE INDEX notice_owed ON notice(due_ms, id) WHERE ended = 0;"
    "CREATE TABLE value(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    "PRAGMA user_version = 1;";

static const char SCHEMA_2[] = // WeChat Pay
    "ALTER TABLE code ADD COLUMN kind INT NOT NULL DEFAULT 0;"
    "ALTER TABLE code ADD COLUMN openid TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE code ADD COLUMN by_public_key INT NOT NULL DEFAULT 0;"
    "ALTER TABLE trade ADD COLUMN payer TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE refund ADD COLUMN channel INT NOT NULL DEFAULT 0;"
    "ALTER TABLE refund ADD COLUMN refund_no TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE refund ADD COLUMN notify_url TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE refund ADD COLUMN state INT NOT NULL DEFAULT 1;"
    "ALTER TABLE refund ADD COLUMN due_ms INT NOT NULL DEFAULT 0;"
    "ALTER TABLE refund ADD COLUMN done_ms INT NOT NULL DEFAULT 0;"
    "ALTER TABLE refund ADD COLUMN by_public_key INT NOT NULL DEFAULT 0;"
    "UPDATE refund SET done_ms = created_ms;"
    "CREATE UNIQUE INDEX refund_number ON refund(channel, out_request_no) WHERE channel > 0;"
    "CREATE INDEX refund_owed ON refund(due_ms) WHERE state = 0;"
    "DROP INDEX trade_waiting;"
    "CREATE INDEX trade_expiring ON trade(expires_ms) WHERE state = 0 AND channel = 0;"
    "CREATE TABLE grant_code("
    " code TEXT PRIMARY KEY, openid TEXT NOT NULL, expires_ms INT NOT NULL, used INT NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX grant_dead ON grant_code(expires_ms);"
    "PRAGMA user_version = 2;";

static const char *const SCHEMA[] = {SCHEMA_1, SCHEMA_2};
#define SCHEMA_VERSION ((int)(sizeof SCHEMA / sizeof SCHEMA[0]))

#define CODE_COLUMNS                                                                                                   \
    "c.id, c.channel, c.text, c.out_trade_no, c.subject, c.body, c.passback, c.store_id, c.terminal_id, c.notify_url," \
    " c.terms, c.total_fen, c.created_ms, c.dies_ms, c.trade_dies_ms, c.killed, c.kind, c.openid, c.by_public_key"
#define N_CODE_COLUMNS 19
#define SELECT_TRADE                                                                                                   \
    "SELECT " CODE_COLUMNS ", t.id, t.trade_no, t.state, t.refunded_fen, t.created_ms, t.expires_ms, t.paid_ms,"       \
    " t.closed_ms, t.refund_ms, t.payer FROM trade t JOIN code c ON c.id = t.code_id "
#define SELECT_REFUND                                                                                                  \
    "SELECT trade_id, channel, out_request_no, refund_no, notify_url, state, amount_fen, created_ms, due_ms, done_ms," \
    " by_public_key FROM refund "

enum statement {
    S_BEGIN,
    S_COMMIT,
    S_ROLLBACK,
    S_CODE_ADD,
    S_CODE_FIND,
    S_CODE_LATEST,
    S_CODES_KILL,
    S_TRADE_ADD,
    S_TRADE_SAVE,
    S_TRADE_BY_NUMBER,
    S_TRADE_BY_NO,
    S_TRADE_BY_ID,
    S_TRADE_EXPIRED,
    S_TRADE_BEFORE,
    S_REFUND_ADD,
    S_REFUND_SAVE,
    S_REFUND_FIND,
    S_REFUND_BY_NUMBER,
    S_REFUND_DUE,
    S_REFUNDS_WAKE,
    S_REFUND_USE,
    S_TOTALS,
    S_GRANT_ADD,
    S_GRANT_FIND,
    S_GRANT_USE,
    S_GRANTS_PURGE,
    S_BILL_TRADES,
    S_BILL_REFUNDS,
    S_NOTICE_ADD,
    S_NOTICES_DUE,
    S_NOTICE_END,
    S_NOTICE_AGAIN,
    S_NEXT_DUE,
    S_VALUE_GET,
    S_VALUE_SET,
    N_STATEMENTS
};

static const char *const SQL[N_STATEMENTS] = {
    [S_BEGIN] = "BEGIN IMMEDIATE",
    [S_COMMIT] = "COMMIT",
    [S_ROLLBACK] = "ROLLBACK",
    [S_CODE_ADD] = "INSERT INTO code VALUES(NULL,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [S_CODE_FIND] = "SELECT " CODE_COLUMNS " FROM code c WHERE c.text = ?",
    [S_CODE_LATEST] =
        "SELECT " CODE_COLUMNS " FROM code c WHERE c.channel = ? AND c.out_trade_no = ? ORDER BY c.id DESC LIMIT 1",
    [S_CODES_KILL] = "UPDATE code SET killed = 1 WHERE channel = ? AND out_trade_no = ?",
    [S_TRADE_ADD] = "INSERT INTO trade VALUES(NULL,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [S_TRADE_SAVE] = "UPDATE trade SET state = ?2, refunded_fen = ?3, paid_ms = ?4, closed_ms = ?5, refund_ms = ?6,"
                     " payer = ?7 WHERE id = ?1",
    [S_TRADE_BY_NUMBER] = SELECT_TRADE "WHERE t.channel = ? AND t.out_trade_no = ?",
    [S_TRADE_BY_NO] = SELECT_TRADE "WHERE t.channel = ? AND t.trade_no = ?",
    [S_TRADE_BY_ID] = SELECT_TRADE "WHERE t.id = ?",
    [S_TRADE_EXPIRED] =
        SELECT_TRADE "WHERE t.state = 0 AND t.channel = 0 AND t.expires_ms <= ? ORDER BY t.expires_ms LIMIT 1",
    [S_TRADE_BEFORE] = SELECT_TRADE "WHERE t.id < ? ORDER BY t.id DESC LIMIT 1",
    [S_REFUND_ADD] = "INSERT INTO refund VALUES(NULL,?,?,?,?,?,?,?,?,?,?,?)",
    [S_REFUND_SAVE] =
        "UPDATE refund SET state = ?3, due_ms = ?4, done_ms = ?5 WHERE trade_id = ?1 AND out_request_no = ?2",
    [S_REFUND_FIND] = SELECT_REFUND "WHERE trade_id = ? AND out_request_no = ?",
    [S_REFUND_BY_NUMBER] = SELECT_REFUND "WHERE channel = ? AND channel > 0 AND out_request_no = ?",
    [S_REFUND_DUE] = SELECT_REFUND "WHERE state = 0 AND due_ms <= ? ORDER BY due_ms, id LIMIT 1",
    [S_REFUNDS_WAKE] = "UPDATE refund SET due_ms = ?1 WHERE state = 0 AND due_ms = ?2",
    [S_REFUND_USE] = "SELECT coalesce(sum(amount_fen),0), count(*) FROM refund WHERE trade_id = ? AND state <> ?",
    [S_TOTALS] = "SELECT (SELECT coalesce(sum(total_fen),0) FROM trade WHERE paid_ms > 0),"
                 " (SELECT coalesce(sum(amount_fen),0) FROM refund WHERE state = 1), (SELECT count(*) FROM trade),"
                 " (SELECT count(*) FROM refund WHERE state = 1)",
    [S_GRANT_ADD] = "INSERT INTO grant_code VALUES(?,?,?,0)",
    [S_GRANT_FIND] = "SELECT openid, expires_ms, used FROM grant_code WHERE code = ?",
    [S_GRANT_USE] = "UPDATE grant_code SET used = 1 WHERE code = ?",
    [S_GRANTS_PURGE] = "DELETE FROM grant_code WHERE expires_ms <= ?",
    [S_BILL_TRADES] =
        SELECT_TRADE "WHERE t.channel = ?1 AND t.paid_ms >= ?2 AND t.paid_ms < ?3 ORDER BY t.paid_ms, t.id",
    [S_BILL_REFUNDS] = "SELECT r.trade_id, r.channel, r.out_request_no, r.refund_no, r.notify_url, r.state,"
                       " r.amount_fen, r.created_ms, r.due_ms, r.done_ms, r.by_public_key FROM refund r"
                       " JOIN trade t ON t.id = r.trade_id"
                       " WHERE t.channel = ?1 AND r.created_ms >= ?2 AND r.created_ms < ?3 ORDER BY r.created_ms, r.id",
    [S_NOTICE_ADD] = "INSERT INTO notice VALUES(NULL,?,?,?,?,?,?,?,?)",
    [S_NOTICES_DUE] = "SELECT id, channel, url, fields, attempt, due_ms, forged FROM notice"
                      " WHERE ended = 0 AND due_ms <= ? ORDER BY due_ms, id",
    [S_NOTICE_END] = "UPDATE notice SET attempt = ?2, ended = ?3 WHERE id = ?1",
    [S_NOTICE_AGAIN] = "UPDATE notice SET attempt = ?2, due_ms = ?3 WHERE id = ?1",
    [S_NEXT_DUE] = "SELECT (SELECT min(due_ms) FROM notice WHERE ended = 0),"
                   " (SELECT min(expires_ms) FROM trade WHERE state = 0 AND channel = 0),"
                   " (SELECT min(due_ms) FROM refund WHERE state = 0)",
    [S_VALUE_GET] = "SELECT value FROM value WHERE name = ?",
    [S_VALUE_SET] = "INSERT INTO value VALUES(?1,?2) ON CONFLICT(name) DO UPDATE SET value = ?2",
};

struct ledger {
    pthread_mutex_t lock;
    sqlite3 *db;
    sqlite3_stmt *statements[N_STATEMENTS];
    bool in_transaction, broken;
};

// --- Opening

static bool fail(char why[200], const char *path, const char *reason)
{
    (void)snprintf(why, 200, "sandbox store %.100s: %.80s", path, reason);
    return false;
}

static bool files_remove(const char *path, char why[200])
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        char name[PATH_MAX];
        if (snprintf(name, sizeof name, "%s%s", path, suffixes[i]) >= (int)sizeof name)
            return fail(why, path, "the path is too long");
        if (unlink(name) != 0 && errno != ENOENT) return fail(why, path, strerrordesc_np(errno));
    }
    return true;
}

static bool schema_prepare(sqlite3 *db, char **reason)
{
    sqlite3_stmt *s = NULL;
    int version = -1;
    if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
        version = sqlite3_column_int(s, 0);
    sqlite3_finalize(s);
    if (version < 0 || version > SCHEMA_VERSION) {
        *reason = sqlite3_mprintf("was written by another version (schema %d)", version);
        return false;
    }
    if (version == SCHEMA_VERSION) return true;
    bool ok = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, reason) == SQLITE_OK;
    for (; ok && version < SCHEMA_VERSION; version++)
        ok = sqlite3_exec(db, SCHEMA[version], NULL, NULL, reason) == SQLITE_OK;
    return ok && sqlite3_exec(db, "COMMIT", NULL, NULL, reason) == SQLITE_OK;
}

static bool db_open(struct ledger *l, const char *path, char why[200])
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (sqlite3_open_v2(path, &l->db, flags, NULL) != SQLITE_OK)
        return fail(why, path, l->db ? sqlite3_errmsg(l->db) : "out of memory");
    // One process only; the exclusive lock also keeps a second sandbox out of the same file.
    char *reason = NULL;
    bool ok = sqlite3_exec(l->db,
                           "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                           "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA foreign_keys=ON;",
                           NULL, NULL, &reason) == SQLITE_OK &&
              schema_prepare(l->db, &reason);
    for (unsigned i = 0; ok && i < N_STATEMENTS; i++)
        ok = sqlite3_prepare_v3(l->db, SQL[i], -1, SQLITE_PREPARE_PERSISTENT, &l->statements[i], NULL) == SQLITE_OK;
    if (!ok) (void)fail(why, path, reason ? reason : sqlite3_errmsg(l->db));
    sqlite3_free(reason);
    return ok;
}

struct ledger *ledger_open(const char *path, bool fresh, char why[200])
{
    struct ledger *l = calloc(1, sizeof *l);
    if (!l) {
        (void)fail(why, path, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&l->lock, NULL);
    if ((!fresh || files_remove(path, why)) && db_open(l, path, why)) return l;
    ledger_close(l);
    return NULL;
}

void ledger_close(struct ledger *l)
{
    if (!l) return;
    for (unsigned i = 0; i < N_STATEMENTS; i++)
        sqlite3_finalize(l->statements[i]);
    sqlite3_close(l->db);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

// --- Statements and the transaction

static void broke(struct ledger *l, const char *what)
{
    if (!l->broken) log_error("sandbox", "the ledger cannot %s: %s", what, sqlite3_errmsg(l->db));
    l->broken = true;
}

static void bind_text(sqlite3_stmt *s, int at, const char *z)
{
    sqlite3_bind_text(s, at, z, -1, SQLITE_TRANSIENT);
}

// Runs a statement that returns no row.
static void run(struct ledger *l, enum statement which)
{
    sqlite3_stmt *s = l->statements[which];
    if (sqlite3_step(s) != SQLITE_DONE) broke(l, "write");
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
}

// A statement about to be bound and run by write_end().
static sqlite3_stmt *write_begin(struct ledger *l, enum statement which)
{
    if (!l->in_transaction && !l->broken) {
        run(l, S_BEGIN);
        l->in_transaction = !l->broken;
    }
    return l->statements[which];
}

static void write_end(struct ledger *l, enum statement which)
{
    if (l->broken)
        sqlite3_clear_bindings(l->statements[which]);
    else
        run(l, which);
}

// True when there is a row; read_end() in either case.
static bool read_row(struct ledger *l, enum statement which)
{
    int rc = sqlite3_step(l->statements[which]);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) broke(l, "read");
    return rc == SQLITE_ROW;
}

static void read_end(struct ledger *l, enum statement which)
{
    sqlite3_reset(l->statements[which]);
    sqlite3_clear_bindings(l->statements[which]);
}

void ledger_lock(struct ledger *l)
{
    pthread_mutex_lock(&l->lock);
}

static void rollback(struct ledger *l)
{
    if (!l->in_transaction) return;
    l->in_transaction = false;
    if (!sqlite3_get_autocommit(l->db)) run(l, S_ROLLBACK);
}

void ledger_unlock(struct ledger *l)
{
    rollback(l);
    pthread_mutex_unlock(&l->lock);
}

bool ledger_commit(struct ledger *l)
{
    if (l->broken) {
        rollback(l);
        return false;
    }
    if (!l->in_transaction) return true;
    run(l, S_COMMIT);
    if (l->broken) rollback(l);
    l->in_transaction = false;
    return !l->broken;
}

// --- Codes

static void column_text(sqlite3_stmt *s, int at, char *out, size_t size)
{
    const unsigned char *z = sqlite3_column_text(s, at);
    (void)snprintf(out, size, "%s", z ? (const char *)z : "");
}

static void code_of_row(sqlite3_stmt *s, struct code *c)
{
    c->id = sqlite3_column_int64(s, 0);
    c->channel = (enum sandbox_channel)sqlite3_column_int(s, 1);
    column_text(s, 2, c->text, sizeof c->text);
    column_text(s, 3, c->out_trade_no, sizeof c->out_trade_no);
    column_text(s, 4, c->subject, sizeof c->subject);
    column_text(s, 5, c->body, sizeof c->body);
    column_text(s, 6, c->passback, sizeof c->passback);
    column_text(s, 7, c->store_id, sizeof c->store_id);
    column_text(s, 8, c->terminal_id, sizeof c->terminal_id);
    column_text(s, 9, c->notify_url, sizeof c->notify_url);
    column_text(s, 10, c->terms, sizeof c->terms);
    c->total_fen = sqlite3_column_int64(s, 11);
    c->created_ms = sqlite3_column_int64(s, 12);
    c->dies_ms = sqlite3_column_int64(s, 13);
    c->trade_dies_ms = sqlite3_column_int64(s, 14);
    c->killed = sqlite3_column_int(s, 15) != 0;
    c->kind = (enum code_kind)sqlite3_column_int(s, 16);
    column_text(s, 17, c->openid, sizeof c->openid);
    c->by_public_key = sqlite3_column_int(s, 18) != 0;
}

void ledger_code_add(struct ledger *l, struct code *c)
{
    sqlite3_stmt *s = write_begin(l, S_CODE_ADD);
    sqlite3_bind_int(s, 1, (int)c->channel);
    bind_text(s, 2, c->text);
    bind_text(s, 3, c->out_trade_no);
    bind_text(s, 4, c->subject);
    bind_text(s, 5, c->body);
    bind_text(s, 6, c->passback);
    bind_text(s, 7, c->store_id);
    bind_text(s, 8, c->terminal_id);
    bind_text(s, 9, c->notify_url);
    bind_text(s, 10, c->terms);
    sqlite3_bind_int64(s, 11, c->total_fen);
    sqlite3_bind_int64(s, 12, c->created_ms);
    sqlite3_bind_int64(s, 13, c->dies_ms);
    sqlite3_bind_int64(s, 14, c->trade_dies_ms);
    sqlite3_bind_int(s, 15, c->killed);
    sqlite3_bind_int(s, 16, (int)c->kind);
    bind_text(s, 17, c->openid);
    sqlite3_bind_int(s, 18, c->by_public_key);
    write_end(l, S_CODE_ADD);
    c->id = sqlite3_last_insert_rowid(l->db);
}

static bool code_row(struct ledger *l, enum statement which, struct code *out)
{
    bool found = read_row(l, which);
    if (found) code_of_row(l->statements[which], out);
    read_end(l, which);
    return found;
}

bool ledger_code_find(struct ledger *l, struct str text, struct code *out)
{
    if (text.n >= sizeof out->text) return false;
    sqlite3_bind_text(l->statements[S_CODE_FIND], 1, text.p, (int)text.n, SQLITE_TRANSIENT);
    return code_row(l, S_CODE_FIND, out);
}

bool ledger_code_latest(struct ledger *l, enum sandbox_channel ch, const char *out_trade_no, struct code *out)
{
    sqlite3_bind_int(l->statements[S_CODE_LATEST], 1, (int)ch);
    bind_text(l->statements[S_CODE_LATEST], 2, out_trade_no);
    return code_row(l, S_CODE_LATEST, out);
}

void ledger_codes_kill(struct ledger *l, enum sandbox_channel ch, const char *out_trade_no)
{
    sqlite3_stmt *s = write_begin(l, S_CODES_KILL);
    sqlite3_bind_int(s, 1, (int)ch);
    bind_text(s, 2, out_trade_no);
    write_end(l, S_CODES_KILL);
}

// --- Trades

static void trade_of_row(sqlite3_stmt *s, struct trade *t)
{
    int at = N_CODE_COLUMNS;
    code_of_row(s, &t->code);
    t->id = sqlite3_column_int64(s, at++);
    column_text(s, at++, t->trade_no, sizeof t->trade_no);
    t->state = (enum trade_state)sqlite3_column_int(s, at++);
    t->refunded_fen = sqlite3_column_int64(s, at++);
    t->created_ms = sqlite3_column_int64(s, at++);
    t->expires_ms = sqlite3_column_int64(s, at++);
    t->paid_ms = sqlite3_column_int64(s, at++);
    t->closed_ms = sqlite3_column_int64(s, at++);
    t->refund_ms = sqlite3_column_int64(s, at++);
    column_text(s, at++, t->payer, sizeof t->payer);
}

static bool trade_row(struct ledger *l, enum statement which, struct trade *t)
{
    bool found = read_row(l, which);
    if (found) trade_of_row(l->statements[which], t);
    read_end(l, which);
    return found;
}

void ledger_trade_add(struct ledger *l, struct trade *t)
{
    sqlite3_stmt *s = write_begin(l, S_TRADE_ADD);
    sqlite3_bind_int(s, 1, (int)t->code.channel);
    bind_text(s, 2, t->code.out_trade_no);
    bind_text(s, 3, t->trade_no);
    sqlite3_bind_int64(s, 4, t->code.id);
    sqlite3_bind_int(s, 5, (int)t->state);
    sqlite3_bind_int64(s, 6, t->code.total_fen);
    sqlite3_bind_int64(s, 7, t->refunded_fen);
    sqlite3_bind_int64(s, 8, t->created_ms);
    sqlite3_bind_int64(s, 9, t->expires_ms);
    sqlite3_bind_int64(s, 10, t->paid_ms);
    sqlite3_bind_int64(s, 11, t->closed_ms);
    sqlite3_bind_int64(s, 12, t->refund_ms);
    bind_text(s, 13, t->payer);
    write_end(l, S_TRADE_ADD);
    t->id = sqlite3_last_insert_rowid(l->db);
}

void ledger_trade_save(struct ledger *l, const struct trade *t)
{
    sqlite3_stmt *s = write_begin(l, S_TRADE_SAVE);
    sqlite3_bind_int64(s, 1, t->id);
    sqlite3_bind_int(s, 2, (int)t->state);
    sqlite3_bind_int64(s, 3, t->refunded_fen);
    sqlite3_bind_int64(s, 4, t->paid_ms);
    sqlite3_bind_int64(s, 5, t->closed_ms);
    sqlite3_bind_int64(s, 6, t->refund_ms);
    bind_text(s, 7, t->payer);
    write_end(l, S_TRADE_SAVE);
}

bool ledger_trade_by_number(struct ledger *l, enum sandbox_channel ch, const char *out_trade_no, struct trade *out)
{
    sqlite3_bind_int(l->statements[S_TRADE_BY_NUMBER], 1, (int)ch);
    bind_text(l->statements[S_TRADE_BY_NUMBER], 2, out_trade_no);
    return trade_row(l, S_TRADE_BY_NUMBER, out);
}

bool ledger_trade_by_no(struct ledger *l, enum sandbox_channel ch, const char *trade_no, struct trade *out)
{
    sqlite3_bind_int(l->statements[S_TRADE_BY_NO], 1, (int)ch);
    bind_text(l->statements[S_TRADE_BY_NO], 2, trade_no);
    return trade_row(l, S_TRADE_BY_NO, out);
}

bool ledger_trade_by_id(struct ledger *l, int64_t id, struct trade *out)
{
    sqlite3_bind_int64(l->statements[S_TRADE_BY_ID], 1, id);
    return trade_row(l, S_TRADE_BY_ID, out);
}

bool ledger_trade_expired(struct ledger *l, int64_t now_ms, struct trade *out)
{
    sqlite3_bind_int64(l->statements[S_TRADE_EXPIRED], 1, now_ms);
    return trade_row(l, S_TRADE_EXPIRED, out);
}

bool ledger_trade_before(struct ledger *l, int64_t before, struct trade *out)
{
    sqlite3_bind_int64(l->statements[S_TRADE_BEFORE], 1, before);
    return trade_row(l, S_TRADE_BEFORE, out);
}

// --- Refunds

void ledger_refund_add(struct ledger *l, const struct refund *r)
{
    sqlite3_stmt *s = write_begin(l, S_REFUND_ADD);
    sqlite3_bind_int64(s, 1, r->trade_id);
    bind_text(s, 2, r->out_request_no);
    sqlite3_bind_int64(s, 3, r->amount_fen);
    sqlite3_bind_int64(s, 4, r->created_ms);
    sqlite3_bind_int(s, 5, (int)r->channel);
    bind_text(s, 6, r->refund_no);
    bind_text(s, 7, r->notify_url);
    sqlite3_bind_int(s, 8, (int)r->state);
    sqlite3_bind_int64(s, 9, r->due_ms);
    sqlite3_bind_int64(s, 10, r->done_ms);
    sqlite3_bind_int(s, 11, r->by_public_key);
    write_end(l, S_REFUND_ADD);
}

void ledger_refund_save(struct ledger *l, const struct refund *r)
{
    sqlite3_stmt *s = write_begin(l, S_REFUND_SAVE);
    sqlite3_bind_int64(s, 1, r->trade_id);
    bind_text(s, 2, r->out_request_no);
    sqlite3_bind_int(s, 3, (int)r->state);
    sqlite3_bind_int64(s, 4, r->due_ms);
    sqlite3_bind_int64(s, 5, r->done_ms);
    write_end(l, S_REFUND_SAVE);
}

static void refund_of_row(sqlite3_stmt *s, struct refund *r)
{
    r->trade_id = sqlite3_column_int64(s, 0);
    r->channel = (enum sandbox_channel)sqlite3_column_int(s, 1);
    column_text(s, 2, r->out_request_no, sizeof r->out_request_no);
    column_text(s, 3, r->refund_no, sizeof r->refund_no);
    column_text(s, 4, r->notify_url, sizeof r->notify_url);
    r->state = (enum refund_state)sqlite3_column_int(s, 5);
    r->amount_fen = sqlite3_column_int64(s, 6);
    r->created_ms = sqlite3_column_int64(s, 7);
    r->due_ms = sqlite3_column_int64(s, 8);
    r->done_ms = sqlite3_column_int64(s, 9);
    r->by_public_key = sqlite3_column_int(s, 10) != 0;
}

static bool refund_row(struct ledger *l, enum statement which, struct refund *r)
{
    bool found = read_row(l, which);
    if (found) refund_of_row(l->statements[which], r);
    read_end(l, which);
    return found;
}

bool ledger_refund_find(struct ledger *l, int64_t trade_id, const char *out_request_no, struct refund *out)
{
    sqlite3_bind_int64(l->statements[S_REFUND_FIND], 1, trade_id);
    bind_text(l->statements[S_REFUND_FIND], 2, out_request_no);
    return refund_row(l, S_REFUND_FIND, out);
}

bool ledger_refund_by_number(struct ledger *l, enum sandbox_channel ch, const char *out_request_no, struct refund *out)
{
    sqlite3_bind_int(l->statements[S_REFUND_BY_NUMBER], 1, (int)ch);
    bind_text(l->statements[S_REFUND_BY_NUMBER], 2, out_request_no);
    return refund_row(l, S_REFUND_BY_NUMBER, out);
}

bool ledger_refund_due(struct ledger *l, int64_t now_ms, struct refund *out)
{
    sqlite3_bind_int64(l->statements[S_REFUND_DUE], 1, now_ms);
    return refund_row(l, S_REFUND_DUE, out);
}

void ledger_refunds_wake(struct ledger *l, int64_t due_ms)
{
    sqlite3_stmt *s = write_begin(l, S_REFUNDS_WAKE);
    sqlite3_bind_int64(s, 1, due_ms);
    sqlite3_bind_int64(s, 2, INT64_MAX);
    write_end(l, S_REFUNDS_WAKE);
}

struct refund_use ledger_refund_use(struct ledger *l, int64_t trade_id)
{
    struct refund_use use = {0};
    sqlite3_stmt *s = l->statements[S_REFUND_USE];
    sqlite3_bind_int64(s, 1, trade_id);
    sqlite3_bind_int(s, 2, REFUND_CLOSED);
    if (read_row(l, S_REFUND_USE)) use = (struct refund_use){sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1)};
    read_end(l, S_REFUND_USE);
    return use;
}

struct totals ledger_totals(struct ledger *l)
{
    struct totals t = {0};
    sqlite3_stmt *s = l->statements[S_TOTALS];
    if (read_row(l, S_TOTALS))
        t = (struct totals){sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1), sqlite3_column_int64(s, 2),
                            sqlite3_column_int64(s, 3)};
    read_end(l, S_TOTALS);
    return t;
}

// --- Bills

static sqlite3_stmt *bill_bind(struct ledger *l, enum statement which, enum sandbox_channel ch, int64_t from_ms,
                               int64_t until_ms)
{
    sqlite3_stmt *s = l->statements[which];
    sqlite3_bind_int(s, 1, (int)ch);
    sqlite3_bind_int64(s, 2, from_ms);
    sqlite3_bind_int64(s, 3, until_ms);
    return s;
}

void ledger_bill(struct ledger *l, enum sandbox_channel ch, int64_t from_ms, int64_t until_ms,
                 void (*row)(void *ctx, const struct trade *t, const struct refund *r), void *ctx)
{
    struct trade t;
    struct refund r;
    sqlite3_stmt *s = bill_bind(l, S_BILL_TRADES, ch, from_ms, until_ms);
    while (read_row(l, S_BILL_TRADES)) {
        trade_of_row(s, &t);
        row(ctx, &t, NULL);
    }
    read_end(l, S_BILL_TRADES);
    s = bill_bind(l, S_BILL_REFUNDS, ch, from_ms, until_ms);
    while (read_row(l, S_BILL_REFUNDS)) {
        refund_of_row(s, &r);
        if (ledger_trade_by_id(l, r.trade_id, &t)) row(ctx, &t, &r);
    }
    read_end(l, S_BILL_REFUNDS);
}

// --- OAuth

void ledger_grant_add(struct ledger *l, const char *code, const char *openid, int64_t now_ms, int64_t expires_ms)
{
    sqlite3_stmt *s = write_begin(l, S_GRANTS_PURGE);
    sqlite3_bind_int64(s, 1, now_ms);
    write_end(l, S_GRANTS_PURGE);
    s = write_begin(l, S_GRANT_ADD);
    bind_text(s, 1, code);
    bind_text(s, 2, openid);
    sqlite3_bind_int64(s, 3, expires_ms);
    write_end(l, S_GRANT_ADD);
}

enum grant ledger_grant_take(struct ledger *l, struct str code, int64_t now_ms, char openid[OPENID_MAX + 1])
{
    enum grant grant = GRANT_UNKNOWN;
    sqlite3_stmt *s = l->statements[S_GRANT_FIND];
    sqlite3_bind_text(s, 1, code.p, (int)code.n, SQLITE_TRANSIENT);
    if (read_row(l, S_GRANT_FIND)) {
        column_text(s, 0, openid, OPENID_MAX + 1);
        bool is_over = sqlite3_column_int64(s, 1) <= now_ms, is_used = sqlite3_column_int(s, 2) != 0;
        grant = is_used ? GRANT_USED : is_over ? GRANT_EXPIRED : GRANT_GOOD;
    }
    read_end(l, S_GRANT_FIND);
    if (grant != GRANT_GOOD) return grant;
    s = write_begin(l, S_GRANT_USE);
    sqlite3_bind_text(s, 1, code.p, (int)code.n, SQLITE_TRANSIENT);
    write_end(l, S_GRANT_USE);
    return grant;
}

// --- Notices

void ledger_notice_add(struct ledger *l, const struct notice *n, int64_t trade_id, enum notice_end end)
{
    sqlite3_stmt *s = write_begin(l, S_NOTICE_ADD);
    if (n->fields.failed) broke(l, "hold a notification");
    sqlite3_bind_int(s, 1, (int)n->channel);
    sqlite3_bind_int64(s, 2, trade_id);
    bind_text(s, 3, n->url);
    sqlite3_bind_blob(s, 4, n->fields.p, (int)n->fields.n, SQLITE_TRANSIENT);
    sqlite3_bind_int64(s, 5, n->attempt);
    sqlite3_bind_int64(s, 6, n->due_ms);
    sqlite3_bind_int(s, 7, (int)n->forgery);
    sqlite3_bind_int(s, 8, (int)end);
    write_end(l, S_NOTICE_ADD);
}

static bool is_among(int64_t id, const int64_t *ids, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (ids[i] == id) return true;
    return false;
}

static void notice_of_row(sqlite3_stmt *s, struct notice *n)
{
    *n = (struct notice){.id = sqlite3_column_int64(s, 0),
                         .channel = (enum sandbox_channel)sqlite3_column_int(s, 1),
                         .attempt = (unsigned)sqlite3_column_int(s, 4),
                         .due_ms = sqlite3_column_int64(s, 5),
                         .forgery = (enum forgery)sqlite3_column_int(s, 6)};
    column_text(s, 2, n->url, sizeof n->url);
    const void *p = sqlite3_column_blob(s, 3);
    buf_add(&n->fields, p, p ? (size_t)sqlite3_column_bytes(s, 3) : 0);
}

unsigned ledger_notices_due(struct ledger *l, int64_t now_ms, const int64_t *skip, unsigned n_skip, struct notice *out,
                            unsigned max)
{
    unsigned n = 0;
    sqlite3_stmt *s = l->statements[S_NOTICES_DUE];
    sqlite3_bind_int64(s, 1, now_ms);
    while (n < max && read_row(l, S_NOTICES_DUE))
        if (!is_among(sqlite3_column_int64(s, 0), skip, n_skip)) notice_of_row(s, &out[n++]);
    read_end(l, S_NOTICES_DUE);
    return n;
}

void ledger_notice_end(struct ledger *l, int64_t id, unsigned attempt, enum notice_end end)
{
    sqlite3_stmt *s = write_begin(l, S_NOTICE_END);
    sqlite3_bind_int64(s, 1, id);
    sqlite3_bind_int64(s, 2, attempt);
    sqlite3_bind_int(s, 3, (int)end);
    write_end(l, S_NOTICE_END);
}

void ledger_notice_again(struct ledger *l, int64_t id, unsigned attempt, int64_t due_ms)
{
    sqlite3_stmt *s = write_begin(l, S_NOTICE_AGAIN);
    sqlite3_bind_int64(s, 1, id);
    sqlite3_bind_int64(s, 2, attempt);
    sqlite3_bind_int64(s, 3, due_ms);
    write_end(l, S_NOTICE_AGAIN);
}

int64_t ledger_next_due_ms(struct ledger *l)
{
    int64_t due = INT64_MAX;
    sqlite3_stmt *s = l->statements[S_NEXT_DUE];
    bool found = read_row(l, S_NEXT_DUE);
    for (int i = 0; found && i < 3; i++)
        if (sqlite3_column_type(s, i) != SQLITE_NULL && sqlite3_column_int64(s, i) < due)
            due = sqlite3_column_int64(s, i);
    read_end(l, S_NEXT_DUE);
    return due;
}

// --- Values

bool ledger_value_get(struct ledger *l, const char *name, struct buf *out)
{
    sqlite3_stmt *s = l->statements[S_VALUE_GET];
    bind_text(s, 1, name);
    bool found = read_row(l, S_VALUE_GET);
    if (found) {
        const void *p = sqlite3_column_blob(s, 0);
        buf_add(out, p, p ? (size_t)sqlite3_column_bytes(s, 0) : 0);
    }
    read_end(l, S_VALUE_GET);
    return found;
}

void ledger_value_set(struct ledger *l, const char *name, struct str value)
{
    sqlite3_stmt *s = write_begin(l, S_VALUE_SET);
    bind_text(s, 1, name);
    sqlite3_bind_text(s, 2, value.p, (int)value.n, SQLITE_TRANSIENT);
    write_end(l, S_VALUE_SET);
}
