// SPDX-License-Identifier: Apache-2.0
// The simulated disk must have teeth: what is known to lose data loses it here, and what is known not to does not.
#include "fault_vfs.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
// after the above:
#include <cmocka.h>
#include <sqlite3.h>

#define COMMITS 12

struct outcome {
    unsigned runs, lost, broken; // lost: a commit that was acknowledged is not there
};

static sqlite3 *db_open(const char *synchronous)
{
    sqlite3 *db = NULL;
    char sql[128];
    (void)snprintf(sql, sizeof sql, "PRAGMA journal_mode=WAL; PRAGMA synchronous=%s; PRAGMA wal_autocheckpoint=5",
                   synchronous);
    if (sqlite3_open_v2(DISK_DB, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, DISK_VFS) == SQLITE_OK &&
        sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return db;
    sqlite3_close(db);
    return NULL;
}

static int64_t count(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *st = NULL;
    int64_t n = -1;
    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
        n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return n;
}

static bool is_whole(sqlite3 *db)
{
    sqlite3_stmt *st = NULL;
    bool ok = sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL) == SQLITE_OK &&
              sqlite3_step(st) == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(st, 0), "ok") == 0;
    sqlite3_finalize(st);
    return ok;
}

// Commits one row after another until the power is gone; how many were acknowledged.
static int64_t work(const char *synchronous)
{
    int64_t acknowledged = 0;
    sqlite3 *db = db_open(synchronous);
    bool ok = db && sqlite3_exec(db, "CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, fill BLOB)", NULL, NULL,
                                 NULL) == SQLITE_OK;
    for (int i = 0; ok && i < COMMITS; i++) {
        ok = sqlite3_exec(db, "INSERT INTO t (fill) VALUES (zeroblob(700))", NULL, NULL, NULL) == SQLITE_OK;
        acknowledged += ok;
    }
    disk_kill(); // also when it got to the end
    sqlite3_close(db);
    return acknowledged;
}

static void look(struct outcome *o, const char *synchronous, int64_t acknowledged)
{
    o->runs++;
    sqlite3 *db = db_open(synchronous);
    if (!db || !is_whole(db)) {
        o->broken++;
    } else if (acknowledged > 0 && count(db, "SELECT count(*) FROM t") < acknowledged) {
        o->lost++;
    }
    sqlite3_close(db);
}

// The power fails inside each mutating call in turn, each time with that outcome.
static struct outcome crash_everywhere(const char *synchronous, enum disk_end end)
{
    struct outcome o = {0};
    for (uint64_t at = 1; at < 400; at++) {
        disk_wipe(at);
        disk_crash_at(at);
        int64_t acknowledged = work(synchronous);
        bool whole = disk_ops() < at;
        (void)disk_revive(end);
        look(&o, synchronous, acknowledged);
        if (whole) break;
    }
    return o;
}

static void full_synchronous_keeps_every_acknowledged_commit(void **state)
{
    (void)state;
    for (int end = DISK_PROCESS_KILLED; end <= DISK_LOST_TAIL; end++) {
        struct outcome o = crash_everywhere("FULL", (enum disk_end)end);
        assert_true(o.runs > 50);
        assert_int_equal(o.lost, 0);
        assert_int_equal(o.broken, 0);
    }
}

static void normal_synchronous_is_caught_losing_commits(void **state)
{
    (void)state;
    assert_true(crash_everywhere("NORMAL", DISK_LOST_ALL).lost > 0);
}

static void synchronous_off_is_caught_losing_or_corrupting(void **state)
{
    (void)state;
    struct outcome all = crash_everywhere("OFF", DISK_LOST_ALL), some = crash_everywhere("OFF", DISK_LOST_SOME);
    assert_true(all.lost + all.broken > 0);
    assert_true(some.lost + some.broken > 0);
}

static void a_disk_that_lies_is_caught(void **state)
{
    (void)state;
    disk_lies(true);
    struct outcome o = crash_everywhere("FULL", DISK_LOST_ALL);
    disk_lies(false);
    assert_true(o.lost + o.broken > 0);
}

static void a_killed_process_loses_nothing_even_unsynced(void **state)
{
    (void)state;
    struct outcome o = crash_everywhere("OFF", DISK_PROCESS_KILLED);
    assert_int_equal(o.lost + o.broken, 0);
}

// After a failed sync the pages are seen, but not on the disk: going on as if nothing had been loses commits.
static void going_on_after_a_failed_sync_is_caught(void **state)
{
    (void)state;
    disk_wipe(1);
    sqlite3 *db = db_open("FULL");
    assert_non_null(db);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE t (n INTEGER PRIMARY KEY)", NULL, NULL, NULL), SQLITE_OK);
    disk_fail(DISK_SYNC_EIO);
    assert_int_not_equal(sqlite3_exec(db, "INSERT INTO t VALUES (1)", NULL, NULL, NULL), SQLITE_OK);
    assert_true(disk_fault_hit());
    disk_kill();
    sqlite3_close(db);
    (void)disk_revive(DISK_PROCESS_KILLED);
    db = db_open("FULL"); // the frames are in the cache, so the row is there
    assert_int_equal(count(db, "SELECT count(*) FROM t"), 1);
    assert_int_equal(sqlite3_exec(db, "INSERT INTO t VALUES (2)", NULL, NULL, NULL), SQLITE_OK);
    disk_kill();
    sqlite3_close(db);
    (void)disk_revive(DISK_LOST_ALL);
    db = db_open("FULL");
    assert_true(count(db, "SELECT count(*) FROM t") < 2); // though the second was acknowledged
    sqlite3_close(db);
}

static void a_full_disk_refuses_and_recovers(void **state)
{
    (void)state;
    disk_wipe(1);
    sqlite3 *db = db_open("FULL");
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE t (n INTEGER PRIMARY KEY)", NULL, NULL, NULL), SQLITE_OK);
    disk_fail(DISK_FULL);
    assert_int_equal(sqlite3_exec(db, "INSERT INTO t VALUES (1)", NULL, NULL, NULL), SQLITE_FULL);
    disk_fail(DISK_FINE);
    assert_int_equal(sqlite3_exec(db, "INSERT INTO t VALUES (2)", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(count(db, "SELECT sum(n) FROM t"), 2);
    sqlite3_close(db);
}

static void the_power_fails_at_the_chosen_call_and_stays_away(void **state)
{
    (void)state;
    disk_wipe(1);
    disk_crash_at(10);
    (void)work("FULL");
    assert_int_equal(disk_ops(), 10);
    assert_true(disk_is_dead());
    assert_null(db_open("FULL"));
    (void)disk_revive(DISK_LOST_ALL);
}

static int disk_setup(void **state)
{
    (void)state;
    disk_register();
    return 0;
}

static int disk_teardown(void **state)
{
    (void)state;
    disk_free();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_synchronous_keeps_every_acknowledged_commit),
        cmocka_unit_test(normal_synchronous_is_caught_losing_commits),
        cmocka_unit_test(synchronous_off_is_caught_losing_or_corrupting),
        cmocka_unit_test(a_disk_that_lies_is_caught),
        cmocka_unit_test(a_killed_process_loses_nothing_even_unsynced),
        cmocka_unit_test(going_on_after_a_failed_sync_is_caught),
        cmocka_unit_test(a_full_disk_refuses_and_recovers),
        cmocka_unit_test(the_power_fails_at_the_chosen_call_and_stays_away),
    };
    return cmocka_run_group_tests_name("sim disk", tests, disk_setup, disk_teardown);
}
