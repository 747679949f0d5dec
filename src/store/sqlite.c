// SPDX-License-Identifier: Apache-2.0
// The writer: opening the file, and reading what a turn names.
#include "base/crypto.h"
#include "base/log.h"
#include "store/sqlite_inside.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// --- Statements

struct params params_of(struct sqlite_store *s, enum statement id)
{
    return (struct params){s->st[id], 0};
}

bool statement_row(struct sqlite_store *s, struct params *p)
{
    // After an error nothing more is done: SQLite may have rolled back and left the transaction (it does after
    // SQLITE_IOERR, FULL and NOMEM), and the next statement would then commit by itself, a part of a turn without the
    // rest.
    if (s->rc != SQLITE_OK) return false;
    int rc = sqlite3_step(p->st);
    if (rc == SQLITE_ROW) return true;
    if (rc != SQLITE_DONE) s->rc = rc;
    return false;
}

void statement_done(struct params *p)
{
    (void)sqlite3_reset(p->st); // repeats the error of the step, which was seen there
}

bool statement_run(struct sqlite_store *s, struct params *p)
{
    while (statement_row(s, p)) {
    }
    statement_done(p);
    return s->rc == SQLITE_OK;
}

static bool run(struct sqlite_store *s, enum statement id)
{
    struct params p = params_of(s, id);
    return statement_run(s, &p);
}

// --- Load

static struct columns columns_of(const struct params *p, struct arena *a)
{
    return (struct columns){.st = p->st, .a = a};
}

static void columns_end(struct sqlite_store *s, const struct columns *c)
{
    if (c->failed && s->rc == SQLITE_OK) s->rc = SQLITE_NOMEM;
}

static bool payment_is_settled(const struct payment *p)
{
    bool open = p->state == PAYMENT_CREATING || p->state == PAYMENT_WAITING || p->state == PAYMENT_CLOSING;
    return !open && p->refunding_fen == 0 && !p->counts;
}

// The attempts `struct bundle` asks for. The newest one is always among them, because the next one counts on
// from it.
static void payments_load(struct sqlite_store *s, struct bundle *b, uint64_t named, struct arena *a)
{
    struct params p = params_of(s, ST_PAYMENTS);
    put_key(&p, b->order.key);
    bool keep = true;
    while (statement_row(s, &p)) {
        if (!keep) b->n_payments--; // the one before was not the newest
        if (b->n_payments == BUNDLE_PAYMENTS) {
            log_error("store", "an order has more unsettled attempts than a turn can hold");
            s->rc = SQLITE_ERROR;
            break;
        }
        struct columns c = columns_of(&p, a);
        struct payment *to = &b->payment[b->n_payments++];
        col_payment(&c, to);
        columns_end(s, &c);
        keep = !payment_is_settled(to) || to->key == named;
    }
    statement_done(&p);
}

static void refunds_load(struct sqlite_store *s, struct bundle *b, uint64_t named, struct arena *a)
{
    struct params p = params_of(s, ST_REFUNDS);
    put_key(&p, b->order.key);
    put_key(&p, named);
    while (statement_row(s, &p)) {
        if (b->n_refunds == BUNDLE_REFUNDS) {
            log_error("store", "an order has more pending refunds than a turn can hold");
            s->rc = SQLITE_ERROR;
            break;
        }
        struct columns c = columns_of(&p, a);
        col_refund(&c, &b->refund[b->n_refunds++]);
    }
    statement_done(&p);
}

static void half_load(struct sqlite_store *s, struct bundle *b, struct arena *a)
{
    if (!s->has_halves) return;
    struct params p = params_of(s, ST_HALF);
    put_key(&p, b->order.key);
    if (statement_row(s, &p)) {
        struct columns c = columns_of(&p, a);
        col_half(&c, &b->half);
        columns_end(s, &c);
    }
    statement_done(&p);
}

static void order_load(struct sqlite_store *s, struct want *w, uint64_t key, uint64_t payment_key, struct arena *a)
{
    struct params p = params_of(s, ST_ORDER);
    put_key(&p, key);
    if (statement_row(s, &p)) {
        w->bundle = arena_take(a, sizeof *w->bundle);
        if (!w->bundle) {
            s->rc = SQLITE_NOMEM;
        } else {
            struct columns c = columns_of(&p, a);
            col_order(&c, &w->bundle->order);
            col_order_text(&c, &w->order_text);
            w->request_hash = col_hash(&c);
            columns_end(s, &c);
            w->found = true;
        }
    }
    statement_done(&p);
    if (!w->found) return;
    payments_load(s, w->bundle, payment_key, a);
    refunds_load(s, w->bundle, w->refund_key, a);
    half_load(s, w->bundle, a);
}

static void payment_load(struct sqlite_store *s, struct want *w, struct arena *a)
{
    struct params p = params_of(s, ST_PAYMENT_ORDER);
    put_key(&p, w->key);
    uint64_t order_key = statement_row(s, &p) ? (uint64_t)sqlite3_column_int64(p.st, 0) : 0;
    statement_done(&p);
    if (order_key) order_load(s, w, order_key, w->key, a);
}

static void sku_load(struct sqlite_store *s, struct want *w, struct arena *a)
{
    struct params p = params_of(s, ST_SKU);
    put_text(&p, w->text);
    if (statement_row(s, &p)) {
        struct columns c = columns_of(&p, a);
        col_sku(&c, &w->sku);
        columns_end(s, &c);
        w->found = true;
    }
    statement_done(&p);
}

static void cart_load(struct sqlite_store *s, struct want *w, struct arena *a)
{
    w->lines = arena_take(a, CART_LINES_MAX * sizeof *w->lines);
    if (!w->lines) {
        s->rc = SQLITE_NOMEM;
        return;
    }
    struct params p = params_of(s, ST_CART);
    put_text(&p, w->text);
    put_i64(&p, CART_LINES_MAX);
    while (w->n_lines < CART_LINES_MAX && statement_row(s, &p)) {
        struct columns c = columns_of(&p, a);
        struct cart_line *line = &w->lines[w->n_lines++];
        col_sku(&c, &line->sku);
        line->quantity = col_i64(&c);
        columns_end(s, &c);
    }
    statement_done(&p);
    w->found = w->n_lines > 0;
}

// Whether row n is the record of this scope; then it is read into `out`, unless that is NULL.
static bool idem_read(struct sqlite_store *s, uint64_t n, struct hash128 scope, struct arena *a,
                      struct idem_record *out)
{
    struct params p = params_of(s, ST_IDEM);
    put_key(&p, n);
    bool same = false;
    if (statement_row(s, &p)) {
        struct columns c = columns_of(&p, a);
        struct hash128 have = col_hash(&c);
        same = have.a == scope.a && have.b == scope.b;
        if (same && out) {
            out->scope = have;
            out->body = col_hash(&c);
            out->at_ms = col_i64(&c);
            out->status = (int)col_i64(&c);
            out->order_key = (uint64_t)col_i64(&c);
            out->answer = col_text(&c);
            columns_end(s, &c);
        }
    }
    statement_done(&p);
    return same;
}

uint64_t idem_find(struct sqlite_store *s, struct hash128 scope, struct arena *a, struct idem_record *out)
{
    size_t at = MARK_FIRST;
    uint64_t n;
    while ((n = mark_index_next(&s->idems, scope.a, &at)) != 0)
        if (idem_read(s, n, scope, a, out)) return n;
    return 0;
}

static bool number_is(struct sqlite_store *s, uint64_t order_key, struct str number)
{
    struct params p = params_of(s, ST_ORDER_NUMBER);
    put_key(&p, order_key);
    bool same = false;
    if (statement_row(s, &p)) {
        const void *have = sqlite3_column_blob(p.st, 0);
        same = str_eq((struct str){have, (size_t)sqlite3_column_bytes(p.st, 0)}, number);
    }
    statement_done(&p);
    return same;
}

uint64_t number_find(struct sqlite_store *s, struct str number)
{
    uint64_t mark = text_mark(s->base.secret, "merchant_order_no", number), key;
    size_t at = MARK_FIRST;
    while ((key = mark_index_next(&s->numbers, mark, &at)) != 0)
        if (number_is(s, key, number)) return key;
    return 0;
}

static void want_load(struct sqlite_store *s, struct want *w, struct arena *a)
{
    uint64_t key;
    switch (w->kind) {
    case WANT_ORDER: order_load(s, w, w->key, 0, a); break;
    case WANT_PAYMENT: payment_load(s, w, a); break;
    case WANT_SKU: sku_load(s, w, a); break;
    case WANT_CART: cart_load(s, w, a); break;
    case WANT_IDEM: w->found = idem_find(s, w->scope, a, &w->idem) != 0; break;
    case WANT_MERCHANT_NO:
        key = number_find(s, w->text);
        if (key) order_load(s, w, key, 0, a);
        break;
    }
}

// One read transaction around all of it: the lock is taken once, not per statement.
static bool sqlite_load(struct store *base, struct want *wants, unsigned n, struct arena *a)
{
    struct sqlite_store *s = (struct sqlite_store *)base;
    if (s->broken) return false;
    s->rc = SQLITE_OK;
    if (!run(s, ST_BEGIN_READ)) return false;
    for (unsigned i = 0; i < n && s->rc == SQLITE_OK; i++) {
        struct want *w = &wants[i];
        w->found = false;
        w->bundle = NULL;
        w->lines = NULL;
        w->n_lines = 0;
        want_load(s, w, a);
    }
    int rc = s->rc;
    s->rc = SQLITE_OK;
    bool ended = run(s, ST_COMMIT);
    if (!ended) s->broken = true; // a transaction that cannot be left would swallow the next one
    if (rc != SQLITE_OK) log_error("store", "reading failed: %s", sqlite3_errstr(rc));
    return ended && rc == SQLITE_OK;
}

static int sqlite_dues(struct store *base, uint64_t after_key, struct due_row *rows, unsigned max)
{
    struct sqlite_store *s = (struct sqlite_store *)base;
    if (s->broken) return -1;
    s->rc = SQLITE_OK;
    struct params p = params_of(s, ST_DUES);
    put_key(&p, after_key);
    put_i64(&p, max);
    unsigned n = 0;
    while (n < max && statement_row(s, &p)) {
        rows[n++] = (struct due_row){
            .order_key = (uint64_t)sqlite3_column_int64(p.st, 0),
            .due_ms = sqlite3_column_int64(p.st, 1),
        };
    }
    statement_done(&p);
    return s->rc == SQLITE_OK ? (int)n : -1;
}

static int sqlite_messages(struct store *base, enum topic topic, uint64_t after_key, struct message_row *rows,
                           unsigned max)
{
    struct sqlite_store *s = (struct sqlite_store *)base;
    if (s->broken) return -1;
    s->rc = SQLITE_OK;
    struct params p = params_of(s, ST_MESSAGES);
    put_i64(&p, topic);
    put_key(&p, after_key);
    put_i64(&p, max);
    unsigned n = 0;
    while (n < max && statement_row(s, &p)) {
        struct columns c = columns_of(&p, NULL);
        col_message(&c, &rows[n++]);
    }
    statement_done(&p);
    return s->rc == SQLITE_OK ? (int)n : -1;
}

// The one number of a statement that is bound.
static bool number_read(struct sqlite_store *s, struct params p, int64_t *out)
{
    s->rc = SQLITE_OK;
    bool row = statement_row(s, &p);
    if (row) *out = sqlite3_column_int64(p.st, 0);
    statement_done(&p);
    return row;
}

static bool sqlite_consumed(struct store *base, enum consumer consumer, uint64_t *key)
{
    struct sqlite_store *s = (struct sqlite_store *)base;
    int64_t n = 0;
    struct params p = params_of(s, ST_CONSUMED);
    put_i64(&p, consumer);
    bool ok = !s->broken && number_read(s, p, &n);
    *key = (uint64_t)n;
    return ok;
}

// --- Open and close

static void sqlite_close_store(struct store *base)
{
    struct sqlite_store *s = (struct sqlite_store *)base;
    for (int i = 0; i < N_STATEMENTS; i++)
        sqlite3_finalize(s->st[i]);
    // A store that broke must not be tidied up: what the next start finds in the log is the truth.
    if (s->broken && s->db) sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_close(s->db);
    if (s->lock_fd >= 0) close(s->lock_fd);
    mark_index_free(&s->idems);
    mark_index_free(&s->numbers);
    free(s);
}

static const struct store_ops OPS = {
    .load = sqlite_load,
    .apply = sqlite_apply,
    .dues = sqlite_dues,
    .messages = sqlite_messages,
    .consumed = sqlite_consumed,
    .tidy = sqlite_tidy,
    .close = sqlite_close_store,
};

// Two writing processes would break the one rule that keeps this SQLite from corrupting its log. The lock is
// the open file's, so it goes with the process, however that ends. A simulated file system has one process
// only.
static bool lock_path(const char *path, char out[4096])
{
    int n = snprintf(out, 4096, "%s-lock", path);
    return n > 0 && n < 4096;
}

static bool lock_take(struct sqlite_store *s, const struct sqlite_options *o, char why[200])
{
    if (o->vfs) return true;
    char path[4096];
    if (!lock_path(o->path, path)) {
        snprintf(why, 200, "the store's path is too long");
        return false;
    }
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd >= 0 && fcntl(s->lock_fd, F_OFD_SETLK, &whole) == 0) return true;
    if (s->lock_fd >= 0 && (errno == EAGAIN || errno == EACCES))
        snprintf(why, 200, "another process has the store %.120s open for writing", o->path);
    else
        snprintf(why, 200, "cannot lock %.120s: %s", path, strerror(errno));
    return false;
}

bool sqlite_store_is_open(const char *store_path)
{
    char path[4096];
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = lock_path(store_path, path) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    bool held = fd >= 0 && fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
    if (fd >= 0) close(fd);
    return held;
}

// It holds the names of buyers and the secret of the ids. The log beside it gets the same permissions.
static void file_make_private(const struct sqlite_options *o)
{
    if (o->vfs) return;
    int fd = open(o->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) close(fd); // else it exists, or SQLite will say what is wrong
}

static int keep_wal_pages(void *store, sqlite3 *db, const char *schema, int pages)
{
    (void)db, (void)schema;
    ((struct sqlite_store *)store)->wal_pages = pages;
    return SQLITE_OK;
}

// The answer comes before the change of the file's header is committed: only the end of the statement says that it was.
static bool journal_is_wal(sqlite3 *db)
{
    sqlite3_stmt *st = NULL;
    bool ok = sqlite3_prepare_v2(db, "PRAGMA journal_mode = WAL", -1, &st, NULL) == SQLITE_OK &&
              sqlite3_step(st) == SQLITE_ROW && sqlite3_stricmp((const char *)sqlite3_column_text(st, 0), "wal") == 0 &&
              sqlite3_step(st) == SQLITE_DONE;
    return sqlite3_finalize(st) == SQLITE_OK && ok;
}

static bool quick_check(sqlite3 *db, char why[200])
{
    sqlite3_stmt *st = NULL;
    bool ok =
        sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW;
    const char *said = ok ? (const char *)sqlite3_column_text(st, 0) : sqlite3_errmsg(db);
    ok = ok && said && strcmp(said, "ok") == 0;
    if (!ok) snprintf(why, 200, "the store is damaged: %s", said ? said : "?");
    sqlite3_finalize(st);
    return ok;
}

// After an fsync that failed the system goes on showing pages of the log that it will never write: it takes them for
// clean, and the next fsync says that all is well. Written again they are dirty, and that fsync means it. It comes
// before anything is copied home, or a power loss could leave an older log beside a newer database, and the next start
// would put old pages over new ones.
static bool log_write_again(sqlite3 *db)
{
    static uint8_t bytes[65536];
    sqlite3_file *log = NULL;
    sqlite3_int64 size = 0;
    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) != SQLITE_OK) return false;
    if (!log || !log->pMethods) return true; // there is none
    if (log->pMethods->xFileSize(log, &size) != SQLITE_OK) return false;
    for (sqlite3_int64 at = 0; at < size; at += (int)sizeof bytes) {
        int n = size - at < (int)sizeof bytes ? (int)(size - at) : (int)sizeof bytes;
        if (log->pMethods->xRead(log, bytes, n, at) != SQLITE_OK) return false;
        if (log->pMethods->xWrite(log, bytes, n, at) != SQLITE_OK) return false;
    }
    return size == 0 || log->pMethods->xSync(log, SQLITE_SYNC_NORMAL) == SQLITE_OK;
}

// After a crash pages of the log may sit in the system's cache and not on the disk. Copying all of it into the database
// and syncing that, before anything is served, is what makes them safe.
static bool log_empty(sqlite3 *db, char why[200])
{
    if (!log_write_again(db)) {
        snprintf(why, 200, "cannot write the store's log again");
        return false;
    }
    int pages = 0, rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (rc != SQLITE_OK) {
        snprintf(why, 200, "cannot bring the store's log home: %s", sqlite3_errmsg(db));
        return false;
    }
    return pages <= 0 || quick_check(db, why);
}

static bool settings(sqlite3 *db, char why[200])
{
    bool ok = journal_is_wal(db) && sqlite_run(db, "PRAGMA synchronous = FULL") &&
              sqlite_run(db, "PRAGMA foreign_keys = OFF") && sqlite_run(db, "PRAGMA wal_autocheckpoint = 0") &&
              sqlite_run(db, "PRAGMA journal_size_limit = 67108864");
    if (!ok) snprintf(why, 200, "cannot set up the store: %s", sqlite3_errmsg(db));
    return ok;
}

sqlite3 *sqlite_connect_to_write(const struct sqlite_options *o, char why[200])
{
    int version;
    file_make_private(o);
    sqlite3 *db = sqlite_connect(o, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, why);
    if (!db) return NULL;
    if (sqlite_schema_ours(db, &version, why) && settings(db, why) && log_empty(db, why) &&
        sqlite_schema_migrate(db, why))
        return db;
    (void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL); // the log stays for whoever looks into it
    sqlite3_close(db);
    return NULL;
}

bool sqlite_secret_make(sqlite3 *db, const uint8_t *given, int64_t now_ms, uint8_t out[ID_SECRET_SIZE], char why[200])
{
    if (sqlite_secret_read(db, out)) return true;
    uint8_t secret[ID_SECRET_SIZE];
    if (given) {
        memcpy(secret, given, sizeof secret);
    } else if (!crypto_random(secret, sizeof secret)) {
        snprintf(why, 200, "the operating system gives no random numbers");
        return false;
    }
    sqlite3_stmt *st = NULL;
    bool ok = sqlite3_prepare_v2(db, "INSERT INTO meta VALUES (1, ?, ?)", -1, &st, NULL) == SQLITE_OK &&
              sqlite3_bind_blob(st, 1, secret, sizeof secret, SQLITE_STATIC) == SQLITE_OK &&
              sqlite3_bind_int64(st, 2, now_ms) == SQLITE_OK && sqlite3_step(st) == SQLITE_DONE;
    sqlite3_finalize(st);
    ok = ok && sqlite_secret_read(db, out);
    if (!ok) snprintf(why, 200, "cannot keep the store's secret: %s", sqlite3_errmsg(db));
    return ok;
}

static bool tally_read(struct sqlite_store *s, char why[200])
{
    sqlite3_stmt *st = NULL;
    const char *sql = "SELECT last_key, last_ms, placed, awaiting_payment, closing, paid, cancelled FROM tally";
    bool ok = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW;
    if (ok) {
        struct columns c = {.st = st};
        s->tally.last_key = (uint64_t)col_i64(&c);
        s->tally.last_ms = col_i64(&c);
        for (int i = ORDER_PLACED; i <= ORDER_CANCELLED; i++)
            s->tally.orders[i] = col_i64(&c);
        s->base.last_key = s->tally.last_key;
        s->base.last_ms = s->tally.last_ms;
    } else {
        snprintf(why, 200, "cannot read the store's tally: %s", sqlite3_errmsg(s->db));
    }
    sqlite3_finalize(st);
    return ok;
}

// `sql` gives pairs (mark, key) by growing key. *last becomes the last key.
static bool index_build(struct sqlite_store *s, struct mark_index *ix, const char *sql, uint64_t *last, char why[200])
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(st);
        if (rc != SQLITE_ROW) break;
        *last = (uint64_t)sqlite3_column_int64(st, 1);
        if (!mark_index_add(ix, (uint64_t)sqlite3_column_int64(st, 0), *last)) rc = SQLITE_NOMEM;
    }
    if (rc != SQLITE_DONE) snprintf(why, 200, "cannot index the store: %s", sqlite3_errstr(rc));
    sqlite3_finalize(st);
    return rc == SQLITE_DONE;
}

static bool indexes_build(struct sqlite_store *s, char why[200])
{
    uint64_t last_number = 0;
    return index_build(s, &s->idems, "SELECT scope_a, n FROM idempotency ORDER BY n", &s->idem_last, why) &&
           index_build(s, &s->numbers,
                       "SELECT merchant_mark, key FROM orders INDEXED BY orders_numbered "
                       "WHERE merchant_mark IS NOT NULL ORDER BY key",
                       &last_number, why);
}

static bool statements_prepare(struct sqlite_store *s, char why[200])
{
#define X_SQL(constant, sql) [constant] = sql,
    static const char *const sql[] = {STATEMENTS(X_SQL)};
#undef X_SQL
    for (int i = 0; i < N_STATEMENTS; i++) {
        if (sqlite3_prepare_v3(s->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->st[i], NULL) == SQLITE_OK) continue;
        snprintf(why, 200, "cannot prepare the store: %s", sqlite3_errmsg(s->db));
        return false;
    }
    return true;
}

static bool store_open(struct sqlite_store *s, const struct sqlite_options *o, int64_t now_ms, char why[200])
{
    if (!lock_take(s, o, why)) return false;
    s->db = sqlite_connect_to_write(o, why);
    if (!s->db) return false;
    bool ok = sqlite_secret_make(s->db, o->secret, now_ms, s->base.secret, why) && tally_read(s, why) &&
              indexes_build(s, why) && statements_prepare(s, why);
    if (!ok) {
        s->broken = true; // leave the log as it is for whoever looks into it
        return false;
    }
    int64_t any = 0;
    (void)number_read(s, params_of(s, ST_HALVES_ANY), &any);
    s->has_halves = any != 0 || s->rc != SQLITE_OK;
    s->keep_ms = o->keep_ms;
    sqlite3_wal_hook(s->db, keep_wal_pages, s);
    return sqlite3_busy_timeout(s->db, 200) == SQLITE_OK;
}

struct store *sqlite_store_open(const struct sqlite_options *o, int64_t now_ms, char why[200])
{
    struct sqlite_store *s = calloc(1, sizeof *s);
    if (!s) {
        snprintf(why, 200, "out of memory");
        return NULL;
    }
    s->base.ops = &OPS;
    s->lock_fd = -1;
    if (store_open(s, o, now_ms, why)) return &s->base;
    sqlite_close_store(&s->base);
    return NULL;
}
