// SPDX-License-Identifier: Apache-2.0
// The SQLite adapter: the contract, and what only it promises: the file, its versions, its CHECKs, and what
// it does when the disk fails.
#include "contract.h"
#include "store/mark_index.h"
#include "store/sqlite.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

static char dir[64], path[80], why[200];
static struct sqlite_options options = {.path = path};

static void files_remove(void)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-lock"};
    for (int i = 0; i < 4; i++) {
        char file[96];
        snprintf(file, sizeof file, "%s%s", path, ends[i]);
        unlink(file);
    }
}

static struct store *maker_open(void)
{
    files_remove();
    return sqlite_store_open(&options, SHOP_START_MS, why);
}

static struct store *maker_reopen(struct store *s)
{
    s->ops->close(s);
    return sqlite_store_open(&options, SHOP_START_MS, why);
}

static struct reader *maker_reader(void)
{
    return sqlite_reader_open(&options, why);
}

static const struct store_maker MAKER = {maker_open, maker_reopen, maker_reader};

// --- The file

static int64_t file_size(const char *end)
{
    char file[96];
    struct stat st;
    snprintf(file, sizeof file, "%s%s", path, end);
    return stat(file, &st) == 0 ? st.st_size : -1;
}

static int raw(const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    sqlite3_close(db);
    return rc;
}

static void a_new_file_has_the_newest_schema_and_a_secret_of_its_own(void **state)
{
    (void)state;
    uint8_t first[ID_SECRET_SIZE];
    struct store *s = maker_open();
    assert_non_null(s);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    memcpy(first, s->secret, sizeof first);
    s->ops->close(s);
    s = maker_open();
    assert_memory_not_equal(first, s->secret, sizeof first);
    s->ops->close(s);
    struct sqlite_options given = options;
    given.secret = first;
    files_remove();
    s = sqlite_store_open(&given, SHOP_START_MS, why);
    assert_memory_equal(first, s->secret, sizeof first);
    s->ops->close(s);
}

static void a_newer_schema_is_refused(void **state)
{
    (void)state;
    struct store *s = maker_open();
    s->ops->close(s);
    assert_int_equal(raw("PRAGMA user_version = 99"), SQLITE_OK);
    assert_null(sqlite_store_open(&options, SHOP_START_MS, why));
    assert_non_null(strstr(why, "99"));
    assert_null(sqlite_reader_open(&options, why));
    assert_non_null(strstr(why, "99"));
}

// What the first schema kept of a notification nobody could match, told twice.
static void cases_of_the_first_schema_are_open_cases(void **state)
{
    (void)state;
    struct store *s = maker_open();
    s->ops->close(s);
    assert_int_equal(
        raw("DROP TABLE gone; DROP INDEX refunds_pending; DROP TABLE cases;"
            "CREATE TABLE cases (key INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, channel INTEGER NOT NULL,"
            " number TEXT NOT NULL, text TEXT NOT NULL) STRICT;"
            "INSERT INTO cases VALUES (7, 1790000000001, 1, 'N', 'T'), (8, 1790000000002, 1, 'N', 'T');"
            "PRAGMA user_version = 1"),
        SQLITE_OK);
    s = sqlite_store_open(&options, SHOP_START_MS, why);
    if (!s) fail_msg("%s", why);
    struct reader *r = maker_reader();
    struct case_row rows[3];
    struct case_filter open_ones = {.is_open = true};
    struct arena a = {0};
    unsigned n = 0;
    assert_true(r->ops->cases(r, &open_ones, rows, 3, &n, &a));
    assert_int_equal(n, 1);
    assert_int_equal(rows[0].key, 7);
    assert_int_equal(rows[0].kind, CASE_UNKNOWN_NUMBER);
    assert_int_equal(rows[0].opened_ms, INT64_C(1790000000001));
    assert_true(str_eq(rows[0].number, STR("N")) && str_eq(rows[0].provider_trade_no, STR("T")));
    arena_free(&a);
    r->ops->close(r);
    s->ops->close(s);
}

static void another_programs_database_is_left_alone(void **state)
{
    (void)state;
    files_remove();
    assert_int_equal(raw("CREATE TABLE notes (t TEXT)"), SQLITE_OK);
    assert_null(sqlite_store_open(&options, SHOP_START_MS, why));
    assert_non_null(strstr(why, "not a store of Till"));
    FILE *f = fopen(path, "r");
    assert_int_equal(fseek(f, 18, SEEK_SET), 0);
    assert_int_equal(fgetc(f), 1); // still not in WAL mode
    fclose(f);
    files_remove();
    f = fopen(path, "w");
    for (int i = 0; i < 4096; i++)
        fputc('x', f);
    fclose(f);
    assert_null(sqlite_store_open(&options, SHOP_START_MS, why));
    files_remove();
    assert_null(sqlite_reader_open(&options, why));
}

static void a_store_has_one_writer(void **state)
{
    (void)state;
    struct store *s = maker_open();
    assert_null(sqlite_store_open(&options, SHOP_START_MS, why));
    assert_non_null(strstr(why, "another process"));
    s->ops->close(s);
    s = sqlite_store_open(&options, SHOP_START_MS, why);
    assert_non_null(s);
    s->ops->close(s);
}

// Two connections that checkpoint are what corrupts this SQLite. A reader that is closed last must leave the
// log be.
static void a_reader_never_brings_the_log_home(void **state)
{
    (void)state;
    struct shop shop;
    shop_open(&shop, maker_open());
    shop_sku(&shop, "A", 100, 100);
    for (int i = 0; i < 20; i++)
        shop_place(&shop, CHANNEL_ANY, "A", 1);
    int64_t db = file_size(""), wal = file_size("-wal");
    assert_true(wal > 0);
    struct reader *r = maker_reader();
    struct store_totals t;
    assert_true(r->ops->totals(r, 0, &t));
    assert_int_equal(t.orders[ORDER_AWAITING_PAYMENT], 20);
    r->ops->close(r);
    assert_int_equal(file_size(""), db);
    assert_int_equal(file_size("-wal"), wal);
    shop_close(&shop);
    r = maker_reader(); // alone, after the writer
    assert_true(r->ops->totals(r, 0, &t));
    assert_int_equal(t.orders[ORDER_AWAITING_PAYMENT], 20);
    r->ops->close(r);
}

// As after kill -9: a copy of the file and its log, made while the writer lives, is opened as it is.
static void a_store_left_in_the_middle_is_whole_again(void **state)
{
    (void)state;
    struct shop shop;
    shop_open(&shop, maker_open());
    shop_sku(&shop, "A", 100, 100);
    uint64_t key = shop_place(&shop, CHANNEL_ANY, "A", 1);
    char command[400];
    snprintf(command, sizeof command, "cp %s %s/copy.db && cp %s-wal %s/copy.db-wal", path, dir, path, dir);
    assert_int_equal(system(command), 0);
    shop_close(&shop);
    char copy[96], file[112];
    snprintf(copy, sizeof copy, "%s/copy.db", dir);
    struct sqlite_options o = {.path = copy};
    shop_open(&shop, sqlite_store_open(&o, SHOP_START_MS, why));
    snprintf(file, sizeof file, "%s-wal", copy);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_size, 0); // all of it is in the database, and synced
    assert_int_equal(shop_bundle(&shop, key)->order.key, key);
    shop_close(&shop);
    snprintf(command, sizeof command, "rm -f %s %s-lock", copy, copy);
    assert_int_equal(system(command), 0);
}

// --- The rules in the file itself

static void the_file_refuses_what_must_never_be(void **state)
{
    (void)state;
    struct shop shop;
    shop_open(&shop, maker_open());
    shop_sku(&shop, "A", 100, 10);
    uint64_t open = shop_place(&shop, CHANNEL_ALIPAY, "A", 1), paid = shop_place(&shop, CHANNEL_ALIPAY, "A", 1),
             late = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    shop_pay(&shop, paid, 100);
    shop_cancel(&shop, late);
    shop_pay(&shop, late, 100);
    shop_event(&shop, paid, (struct event){.kind = EV_REFUND, .refund = {30}});
    (void)open;
    shop_close(&shop);
    static const char *const wrong[] = {
        "UPDATE skus SET available = -1, added = added - available - 1",
        "UPDATE skus SET held = held + 1",
        "UPDATE skus SET added = added + 1",
        "UPDATE orders SET state = 6 WHERE state = 1",
        "UPDATE orders SET version = 0",
        "UPDATE orders SET amount_fen = 0 WHERE state = 1",
        "UPDATE orders SET paid_fen = 1 WHERE state = 1",
        "UPDATE orders SET paid_fen = 0 WHERE state = 4",
        "UPDATE orders SET refunded_fen = paid_fen + 1",
        "UPDATE orders SET paid_ms = 0 WHERE state = 4",
        "UPDATE orders SET reason = 0 WHERE state = 5",
        "UPDATE orders SET reason = 1 WHERE state = 1",
        "UPDATE orders SET cancelled_ms = 0 WHERE state = 5",
        "UPDATE orders SET items = NULL",
        "UPDATE orders SET amount_fen = 'much'",
        "UPDATE payments SET state = 5 WHERE state = 1",
        "UPDATE payments SET refunded_fen = 1000 WHERE captured_fen > 0",
        "UPDATE payments SET refunding_fen = 101 WHERE captured_fen = 100",
        "UPDATE payments SET captured_fen = 0, refunding_fen = 0 WHERE state = 6",
        "UPDATE payments SET captured_fen = 1 WHERE state = 1",
        "UPDATE payments SET owes = 0 WHERE state = 1",
        "UPDATE payments SET due_ms = 5 WHERE due_ms IS NULL",
        "UPDATE payments SET n = 1, order_key = (SELECT min(key) FROM orders)",
        "UPDATE payments SET counts = 1 WHERE state = 1",
        "INSERT INTO refunds (key, order_key, payment_key, state, cause, owes, tries, uncertain, absents, amount_fen, "
        "created_ms, finished_ms, due_ms, is_abnormal, replaces_key) SELECT key + 1, order_key, payment_key, state, 2, "
        "owes, tries, uncertain, absents, amount_fen, created_ms, finished_ms, due_ms, 0, 0 FROM refunds WHERE cause = "
        "1",
        "UPDATE refunds SET amount_fen = 0",
        "UPDATE refunds SET due_ms = NULL",
        "UPDATE refunds SET state = 2",
        "UPDATE events SET sequence = 1",
        "UPDATE events SET type = 11",
        "INSERT INTO meta VALUES (2, zeroblob(16), 0)",
        "INSERT INTO tally SELECT 2, 0, 0, 0, 0, 0, 0, 0",
        "INSERT INTO carts VALUES ('c', 'A', 0)",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int rc = raw(wrong[i]);
        if (rc != SQLITE_CONSTRAINT) print_error("not refused: %s\n", wrong[i]);
        assert_int_equal(rc, SQLITE_CONSTRAINT);
    }
}

// --- A disk that fails. The operating system's file system, with a finger in it.

static enum { DISK_GOOD, DISK_FULL, DISK_NO_SYNC, DISK_BAD_WRITE } disk;
static sqlite3_io_methods real[2], bent[2]; // of the database, of other files
static sqlite3_vfs bent_vfs;
static int (*real_open)(sqlite3_vfs *, const char *, sqlite3_file *, int, int *);

static const sqlite3_io_methods *real_of(const sqlite3_file *f)
{
    return &real[f->pMethods == &bent[1]];
}

static int bent_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    if (disk == DISK_FULL) return SQLITE_FULL;
    if (disk == DISK_BAD_WRITE) return SQLITE_IOERR_WRITE;
    return real_of(f)->xWrite(f, p, n, at);
}

static int bent_sync(sqlite3_file *f, int flags)
{
    return disk == DISK_NO_SYNC ? SQLITE_IOERR_FSYNC : real_of(f)->xSync(f, flags);
}

static int bent_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    int rc = real_open(vfs, name, f, flags, out);
    if (rc != SQLITE_OK || !f->pMethods) return rc;
    int i = !(flags & SQLITE_OPEN_MAIN_DB);
    real[i] = bent[i] = *f->pMethods;
    bent[i].xWrite = bent_write;
    bent[i].xSync = bent_sync;
    f->pMethods = &bent[i];
    return rc;
}

static struct sqlite_options bent_options(void)
{
    if (!bent_vfs.zName) {
        bent_vfs = *sqlite3_vfs_find(NULL);
        real_open = bent_vfs.xOpen;
        bent_vfs.xOpen = bent_open;
        bent_vfs.zName = "bent";
        sqlite3_vfs_register(&bent_vfs, 0);
    }
    struct sqlite_options o = options;
    o.vfs = "bent";
    return o;
}

static const struct line ONE_A[] = {{{"A", 1}, {"A thing", 7}, 1, 100}, {.sku = {NULL, 0}}};

static void a_full_disk_refuses_and_nothing_is_lost(void **state)
{
    (void)state;
    struct sqlite_options o = bent_options();
    struct shop shop;
    files_remove();
    shop_open(&shop, sqlite_store_open(&o, SHOP_START_MS, why));
    shop_sku(&shop, "A", 100, 100);
    struct placing *p = shop_prepare(&shop, CHANNEL_ANY, ONE_A);
    p->text.merchant_order_no = STR("M-1");
    p->idem = (struct idem_record){.scope = {1, 2}, .at_ms = shop.now_ms};
    p->change.idem = &p->idem;
    uint64_t last_key = shop.s->last_key;
    disk = DISK_FULL;
    assert_int_equal(shop.s->ops->apply(shop.s, &p->change, 1, &shop.a), STORE_REFUSED);
    assert_int_equal(shop.s->ops->apply(shop.s, &p->change, 1, &shop.a), STORE_REFUSED);
    assert_int_equal(shop_sku_now(&shop, "A").stock.held, 0);
    assert_int_equal(shop.s->last_key, last_key);
    disk = DISK_GOOD;
    assert_int_equal(shop.s->ops->apply(shop.s, &p->change, 1, &shop.a), STORE_DONE);
    assert_int_equal(p->change.result, APPLY_DONE); // neither number nor key was kept by what was refused
    assert_int_equal(shop_sku_now(&shop, "A").stock.held, 1);
    struct store_totals t;
    struct reader *r = maker_reader();
    assert_true(r->ops->totals(r, 0, &t));
    assert_int_equal(t.orders[ORDER_AWAITING_PAYMENT], 1);
    r->ops->close(r);
    shop_close(&shop);
}

static void a_failed_commit_is_unknown_and_ends_all_work(void **state)
{
    (void)state;
    struct sqlite_options o = bent_options();
    for (int kind = DISK_NO_SYNC; kind <= DISK_BAD_WRITE; kind++) {
        struct shop shop;
        files_remove();
        shop_open(&shop, sqlite_store_open(&o, SHOP_START_MS, why));
        shop_sku(&shop, "A", 100, 100);
        struct placing *p = shop_prepare(&shop, CHANNEL_ANY, ONE_A);
        disk = kind;
        assert_int_equal(shop.s->ops->apply(shop.s, &p->change, 1, &shop.a), STORE_UNKNOWN);
        disk = DISK_GOOD;
        assert_int_equal(shop.s->ops->apply(shop.s, &p->change, 1, &shop.a), STORE_UNKNOWN);
        struct want w = {.kind = WANT_SKU, .text = STR("A")};
        assert_false(shop.s->ops->load(shop.s, &w, 1, &shop.a));
        struct due_row row;
        assert_int_equal(shop.s->ops->dues(shop.s, 0, &row, 1), -1);
        shop.s->ops->tidy(shop.s, shop.now_ms);
        shop_close(&shop);
        assert_true(file_size("-wal") > 0);                          // left for the next start to look at
        shop_open(&shop, sqlite_store_open(&o, SHOP_START_MS, why)); // a new process is whole
        struct sku sku = shop_sku_now(&shop, "A");
        assert_int_equal(sku.stock.available + sku.stock.held, 100);
        shop_close(&shop);
    }
}

static void a_store_whose_log_cannot_be_synced_does_not_open(void **state)
{
    (void)state;
    struct sqlite_options o = bent_options();
    struct shop shop;
    files_remove();
    shop_open(&shop, sqlite_store_open(&o, SHOP_START_MS, why));
    shop_sku(&shop, "A", 100, 100);
    struct placing *p = shop_prepare(&shop, CHANNEL_ANY, ONE_A);
    disk = DISK_NO_SYNC;
    assert_int_equal(shop.s->ops->apply(shop.s, &p->change, 1, &shop.a), STORE_UNKNOWN);
    shop_close(&shop); // broken: leaves the log
    int64_t wal = file_size("-wal"), db = file_size("");
    assert_true(wal > 0);
    struct reader *r = maker_reader();
    assert_non_null(r);
    r->ops->close(r); // the last connection there is
    assert_int_equal(file_size("-wal"), wal);
    assert_int_equal(file_size(""), db);
    assert_null(sqlite_store_open(&o, SHOP_START_MS, why));
    disk = DISK_GOOD;
    shop_open(&shop, sqlite_store_open(&o, SHOP_START_MS, why));
    shop_close(&shop);
}

// --- The log

static void the_log_does_not_grow_for_ever(void **state)
{
    (void)state;
    enum { BATCH = 16 };
    struct shop shop;
    shop_open(&shop, maker_open());
    shop_sku(&shop, "A", 100, 1000000);
    int64_t largest = 0;
    for (int i = 0; i < 3000; i++) {
        static struct change c[BATCH];
        arena_reset(&shop.a);
        for (int k = 0; k < BATCH; k++)
            c[k] = shop_prepare(&shop, CHANNEL_ANY, ONE_A)->change;
        assert_int_equal(shop.s->ops->apply(shop.s, c, BATCH, &shop.a), STORE_DONE);
        int64_t size = file_size("-wal");
        if (size > largest) largest = size;
    }
    assert_true(largest > 16 * 1024 * 1024); // it was long at times
    assert_true(largest < 48 * 1024 * 1024);
    shop_close(&shop);
}

// --- The index in memory

// Against a plain list, with few marks, so that runs of occupied slots form, wrap round and are torn open.
static void the_mark_index_finds_what_a_list_finds(void **state)
{
    (void)state;
    enum { KEYS = 3000 };
    static uint64_t mark_of[KEYS + 1]; // 0: not in
    struct mark_index ix = {0};
    unsigned seed = 1;
    for (int round = 0; round < 60000; round++) {
        uint64_t key = (uint64_t)rand_r(&seed) % KEYS + 1;
        if (mark_of[key]) {
            mark_index_remove(&ix, mark_of[key], key);
            mark_of[key] = 0;
        } else if (rand_r(&seed) % 4 || round < 30000) {
            mark_of[key] = UINT64_MAX - (uint64_t)rand_r(&seed) % 900;
            assert_true(mark_index_add(&ix, mark_of[key], key));
        }
        if (round % 1000) continue;
        size_t in = 0;
        for (uint64_t k = 1; k <= KEYS; k++) {
            size_t at = MARK_FIRST;
            unsigned hits = 0;
            uint64_t found;
            while (mark_of[k] && (found = mark_index_next(&ix, mark_of[k], &at)) != 0) {
                assert_int_equal(mark_of[found], mark_of[k]);
                hits += found == k;
            }
            assert_int_equal(hits, mark_of[k] != 0);
            in += mark_of[k] != 0;
        }
        assert_int_equal(ix.n, in);
    }
    mark_index_remove(&ix, 5, 5); // not there
    mark_index_free(&ix);
    size_t at = MARK_FIRST;
    assert_int_equal(mark_index_next(&ix, 5, &at), 0);
}

static int file_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_file_has_the_newest_schema_and_a_secret_of_its_own),
        cmocka_unit_test(a_newer_schema_is_refused),
        cmocka_unit_test(cases_of_the_first_schema_are_open_cases),
        cmocka_unit_test(another_programs_database_is_left_alone),
        cmocka_unit_test(a_store_has_one_writer),
        cmocka_unit_test(a_reader_never_brings_the_log_home),
        cmocka_unit_test(a_store_left_in_the_middle_is_whole_again),
        cmocka_unit_test(the_file_refuses_what_must_never_be),
        cmocka_unit_test(a_full_disk_refuses_and_nothing_is_lost),
        cmocka_unit_test(a_failed_commit_is_unknown_and_ends_all_work),
        cmocka_unit_test(a_store_whose_log_cannot_be_synced_does_not_open),
        cmocka_unit_test(the_log_does_not_grow_for_ever),
        cmocka_unit_test(the_mark_index_finds_what_a_list_finds),
    };
    return cmocka_run_group_tests_name("sqlite", tests, NULL, NULL);
}

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%.40s/till-store-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) return 1;
    snprintf(path, sizeof path, "%s/till.db", dir);
    int failed = store_contract_run("sqlite keeps the contract", &MAKER) + file_tests();
    files_remove();
    rmdir(dir);
    return failed != 0;
}
