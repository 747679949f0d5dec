// SPDX-License-Identifier: Apache-2.0
#include "store/archive.h"
#include "base/log.h"
#include "store/sqlite_inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOOKED_AT_MAX  256  // orders in one read
#define LOG_LONG_PAGES 1000 // then the archive's log is copied home

_Static_assert(ORDER_PAID == 4 && ORDER_CANCELLED == 5 && PAYMENT_CAPTURED == 3 && PAYMENT_CLOSED == 5 &&
                   PAYMENT_REFUNDED == 7 && PAYMENT_FAILED == 8 && REFUND_PENDING == 1 && CONSUMER_OUTBOX == 1,
               "CANDIDATES");

// Old orders by age, and whether each may go. Keys grow with time, so those that may are at the beginning, and so are
// the few that never will.
static const char CANDIDATES[] =
    "SELECT o.key, o.version, (SELECT ifnull(max(key), 0) FROM traces WHERE order_key = o.key),"
    " o.state IN (4, 5) AND o.due_ms IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM payments p WHERE p.order_key = o.key"
    "  AND (p.owes <> 0 OR p.refunding_fen <> 0 OR NOT (p.state IN (5, 7, 8) OR (p.state = 3 AND p.counts = 1))))"
    " AND NOT EXISTS (SELECT 1 FROM refunds f WHERE f.order_key = o.key AND f.state = 1)"
    " AND NOT EXISTS (SELECT 1 FROM halves h WHERE h.order_key = o.key AND h.owes <> 0)"
    " AND NOT EXISTS (SELECT 1 FROM cases c INDEXED BY cases_open WHERE c.closed_ms IS NULL AND c.order_key = o.key)"
    " AND (SELECT e.at_ms < ?3 AND (?4 = 0 OR e.key <= (SELECT key FROM consumed WHERE consumer = 1))"
    "  FROM events e WHERE e.order_key = o.key ORDER BY e.sequence DESC LIMIT 1)"
    " FROM orders o WHERE o.key > ?1 AND o.key < ?2 ORDER BY o.key LIMIT ?5";

static const struct {
    const char *name, *key;
} TABLES[] = {
    {"orders", "key"},       {"payments", "order_key"}, {"refunds", "order_key"},
    {"events", "order_key"}, {"traces", "order_key"},   {"halves", "order_key"},
};
#define N_TABLES (sizeof TABLES / sizeof TABLES[0])

struct archive {
    sqlite3 *from, *to;
    sqlite3_stmt *candidates, *begin, *commit;
    sqlite3_stmt *rows[N_TABLES], *forget[N_TABLES], *add[N_TABLES];
    int wal_pages;
    bool is_broken;
};

bool archive_path(const char *store_path, char out[ARCHIVE_PATH_SIZE])
{
    int n = snprintf(out, ARCHIVE_PATH_SIZE, "%s-archive", store_path);
    return n > 0 && n < ARCHIVE_PATH_SIZE;
}

bool archive_exists(const char *store_path)
{
    char path[ARCHIVE_PATH_SIZE];
    return archive_path(store_path, path) && access(path, F_OK) == 0;
}

// --- Copying

// Runs a statement of no result on the archive; SQLITE_OK when it got to its end.
static int run(sqlite3_stmt *st)
{
    int rc = sqlite3_step(st);
    (void)sqlite3_reset(st);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

// Both files came about by the same scripts, so their columns are the same, in the same order.
static int row_copy(sqlite3_stmt *row, sqlite3_stmt *add)
{
    int n = sqlite3_column_count(row), rc = SQLITE_OK;
    for (int i = 0; i < n && rc == SQLITE_OK; i++)
        rc = sqlite3_bind_value(add, i + 1, sqlite3_column_value(row, i));
    return rc == SQLITE_OK ? run(add) : rc;
}

// *read_rc is what the store said, the result what the archive said.
static int table_copy(struct archive *a, size_t i, uint64_t key, int *read_rc)
{
    (void)sqlite3_bind_int64(a->forget[i], 1, (int64_t)key);
    (void)sqlite3_bind_int64(a->rows[i], 1, (int64_t)key);
    int rc = run(a->forget[i]);
    while (rc == SQLITE_OK && (*read_rc = sqlite3_step(a->rows[i])) == SQLITE_ROW)
        rc = row_copy(a->rows[i], a->add[i]);
    (void)sqlite3_reset(a->rows[i]);
    return rc;
}

static int order_copy(struct archive *a, uint64_t key, int *read_rc)
{
    int rc = SQLITE_OK;
    *read_rc = SQLITE_DONE;
    for (size_t i = 0; i < N_TABLES && rc == SQLITE_OK && *read_rc == SQLITE_DONE; i++)
        rc = table_copy(a, i, key, read_rc);
    return rc;
}

static void candidates_bind(const struct archive *a, const struct archive_batch *b)
{
    struct params p = {.st = a->candidates};
    put_key(&p, b->after_key);
    put_key(&p, key_at(b->before_ms));
    put_i64(&p, b->before_ms);
    put_i64(&p, b->awaits_publishing);
    put_i64(&p, LOOKED_AT_MAX);
}

// Inside a read transaction of the store and a write transaction of the archive.
static int orders_copy(struct archive *a, struct archive_batch *b, int *read_rc)
{
    candidates_bind(a, b);
    unsigned n_looked_at = 0;
    int rc = SQLITE_OK;
    while (b->n_moved < ARCHIVE_BATCH && (*read_rc = sqlite3_step(a->candidates)) == SQLITE_ROW) {
        struct columns c = {.st = a->candidates};
        struct order_mark m = {.key = (uint64_t)col_i64(&c)};
        m.version = (uint32_t)col_i64(&c);
        m.last_trace_key = (uint64_t)col_i64(&c);
        b->after_key = m.key;
        n_looked_at++;
        if (!col_i64(&c)) continue;
        rc = order_copy(a, m.key, read_rc);
        if (rc != SQLITE_OK || *read_rc != SQLITE_DONE) break;
        b->moved[b->n_moved++] = m;
    }
    if (*read_rc == SQLITE_DONE && n_looked_at < LOOKED_AT_MAX && b->n_moved < ARCHIVE_BATCH) b->after_key = 0;
    (void)sqlite3_reset(a->candidates);
    return rc;
}

// SQLITE_OK: it was the store that could not be read.
static enum archive_result failed(struct archive *a, int rc)
{
    int kind = rc & 0xff;
    bool harmless = kind == SQLITE_OK || kind == SQLITE_FULL || kind == SQLITE_BUSY;
    if (kind != SQLITE_OK)
        log_error("archive", "%s: %s", harmless ? "it cannot be written now" : "writing failed, and ends here",
                  sqlite3_errstr(rc));
    if (!sqlite3_get_autocommit(a->to) && !sqlite_run(a->to, "ROLLBACK")) harmless = false;
    // What a failed sync left in the system's cache must not be taken for written by a later one.
    a->is_broken = a->is_broken || !harmless;
    return a->is_broken ? ARCHIVE_FAILED : ARCHIVE_LATER;
}

static enum archive_result log_home(struct archive *a)
{
    if (a->wal_pages < LOG_LONG_PAGES) return ARCHIVE_DONE;
    int rc = sqlite3_wal_checkpoint_v2(a->to, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL), kind = rc & 0xff;
    if (kind == SQLITE_OK || kind == SQLITE_BUSY || kind == SQLITE_FULL) return ARCHIVE_DONE;
    return failed(a, rc);
}

// The store's snapshot is let go before the archive's commit waits for the disk.
static int batch_copy(struct archive *a, struct archive_batch *b, int *read_rc)
{
    if (!sqlite_run(a->from, "BEGIN")) {
        *read_rc = sqlite3_errcode(a->from);
        return SQLITE_OK;
    }
    int rc = run(a->begin);
    if (rc == SQLITE_OK) rc = orders_copy(a, b, read_rc);
    if (!sqlite_run(a->from, "COMMIT")) *read_rc = sqlite3_errcode(a->from);
    return rc;
}

enum archive_result archive_copy(struct archive *a, struct archive_batch *b)
{
    int read_rc = SQLITE_OK;
    uint64_t after_key = b->after_key;
    b->n_moved = 0;
    if (a->is_broken) return ARCHIVE_FAILED;
    int rc = batch_copy(a, b, &read_rc);
    bool is_read = read_rc == SQLITE_ROW || read_rc == SQLITE_DONE || read_rc == SQLITE_OK;
    if (!is_read) log_error("archive", "the store cannot be read: %s", sqlite3_errstr(read_rc));
    if (rc == SQLITE_OK && is_read) rc = run(a->commit);
    if (rc == SQLITE_OK && is_read) return log_home(a);
    b->n_moved = 0;
    b->after_key = after_key;
    return failed(a, rc);
}

// --- Open and close

static bool prepare(sqlite3 *db, const char *sql, sqlite3_stmt **st, char why[200])
{
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, st, NULL) == SQLITE_OK) return true;
    (void)snprintf(why, 200, "cannot prepare the archive: %s", sqlite3_errmsg(db));
    return false;
}

static bool table_prepare(struct archive *a, size_t i, char why[200])
{
    char rows[80], forget[80], add[200];
    (void)snprintf(rows, sizeof rows, "SELECT * FROM %s WHERE %s = ?", TABLES[i].name, TABLES[i].key);
    (void)snprintf(forget, sizeof forget, "DELETE FROM %s WHERE %s = ?", TABLES[i].name, TABLES[i].key);
    if (!prepare(a->from, rows, &a->rows[i], why) || !prepare(a->to, forget, &a->forget[i], why)) return false;
    int len = snprintf(add, sizeof add, "INSERT INTO %s VALUES (?", TABLES[i].name);
    for (int n = sqlite3_column_count(a->rows[i]); n > 1 && len < (int)sizeof add - 4; n--)
        len += snprintf(add + len, sizeof add - (size_t)len, ",?");
    (void)snprintf(add + len, sizeof add - (size_t)len, ")");
    return prepare(a->to, add, &a->add[i], why);
}

static bool statements_prepare(struct archive *a, char why[200])
{
    for (size_t i = 0; i < N_TABLES; i++)
        if (!table_prepare(a, i, why)) return false;
    return prepare(a->from, CANDIDATES, &a->candidates, why) && prepare(a->to, "BEGIN IMMEDIATE", &a->begin, why) &&
           prepare(a->to, "COMMIT", &a->commit, why);
}

static int keep_wal_pages(void *archive, sqlite3 *db, const char *schema, int pages)
{
    (void)db, (void)schema;
    ((struct archive *)archive)->wal_pages = pages;
    return SQLITE_OK;
}

static bool is_of_store(sqlite3 *db, const uint8_t secret[ID_SECRET_SIZE], int64_t now_ms, char why[200])
{
    uint8_t have[ID_SECRET_SIZE];
    if (!sqlite_secret_make(db, secret, now_ms, have, why)) return false;
    if (memcmp(have, secret, ID_SECRET_SIZE) == 0) return true;
    (void)snprintf(why, 200, "it is the archive of another store");
    return false;
}

static bool archive_begin(struct archive *a, const struct sqlite_options *store, int64_t now_ms, char why[200])
{
    char path[ARCHIVE_PATH_SIZE];
    uint8_t secret[ID_SECRET_SIZE];
    struct sqlite_options to = {.path = path, .vfs = store->vfs};
    struct sqlite_options from = {.path = store->path, .vfs = store->vfs};
    if (!archive_path(store->path, path)) {
        (void)snprintf(why, 200, "the store's path is too long");
        return false;
    }
    a->from = sqlite_connect_to_read(&from, secret, why);
    if (!a->from) return false;
    a->to = sqlite_connect_to_write(&to, why);
    if (!a->to || !is_of_store(a->to, secret, now_ms, why) || !statements_prepare(a, why)) return false;
    sqlite3_wal_hook(a->to, keep_wal_pages, a);
    return true;
}

struct archive *archive_open(const struct sqlite_options *store, int64_t now_ms, char why[200])
{
    struct archive *a = calloc(1, sizeof *a);
    if (!a) {
        (void)snprintf(why, 200, "out of memory");
        return NULL;
    }
    if (archive_begin(a, store, now_ms, why)) return a;
    a->is_broken = true;
    archive_close(a);
    return NULL;
}

void archive_close(struct archive *a)
{
    if (!a) return;
    for (size_t i = 0; i < N_TABLES; i++) {
        sqlite3_finalize(a->rows[i]);
        sqlite3_finalize(a->forget[i]);
        sqlite3_finalize(a->add[i]);
    }
    sqlite3_finalize(a->candidates);
    sqlite3_finalize(a->begin);
    sqlite3_finalize(a->commit);
    sqlite3_close(a->from);
    if (a->is_broken && a->to) (void)sqlite3_db_config(a->to, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_close(a->to);
    free(a);
}
