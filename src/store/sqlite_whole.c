// SPDX-License-Identifier: Apache-2.0
// Store and archive as one. Temporary views of the tables' names hide the tables, so that whoever counts need not know
// that there are two files.
#include "store/archive.h"
#include "store/sqlite_inside.h"
#include <stdio.h>

// An order's rows are the store's as long as the store has it: the archive may hold an older copy.
#define WHOLE(table, key)                                                                                              \
    "CREATE TEMP VIEW " table " AS SELECT * FROM main." table " UNION ALL SELECT * FROM archive." table                \
    " AS a WHERE NOT EXISTS (SELECT 1 FROM main.orders AS o WHERE o.key = a." key ");"

static const char VIEWS[] = WHOLE("orders", "key") WHOLE("payments", "order_key") WHOLE("refunds", "order_key")
    WHOLE("events", "order_key") WHOLE("traces", "order_key") WHOLE("halves", "order_key");

static bool is_of_store(const char *path, const uint8_t secret[ID_SECRET_SIZE], char why[200])
{
    struct sqlite_options o = {.path = path};
    uint8_t have[ID_SECRET_SIZE];
    sqlite3 *db = sqlite_connect_to_read(&o, have, why);
    if (!db) return false;
    sqlite3_close(db);
    if (memcmp(have, secret, ID_SECRET_SIZE) == 0) return true;
    (void)snprintf(why, 200, "%.120s is the archive of another store", path);
    return false;
}

// As read-only as the connection it joins.
static bool attach(sqlite3 *db, const char *path)
{
    sqlite3_stmt *st = NULL;
    bool ok = sqlite3_prepare_v2(db, "ATTACH ? AS archive", -1, &st, NULL) == SQLITE_OK &&
              sqlite3_bind_text(st, 1, path, -1, SQLITE_STATIC) == SQLITE_OK && sqlite3_step(st) == SQLITE_DONE;
    sqlite3_finalize(st);
    return ok;
}

bool sqlite_begin_whole(sqlite3 *db, const char *store_path, const uint8_t secret[ID_SECRET_SIZE], char why[200])
{
    char path[ARCHIVE_PATH_SIZE];
    // The store's snapshot comes before the archive's, and before it is asked whether there is one: an order on its way
    // is then in both, never in none.
    bool ok = sqlite_run(db, "BEGIN; SELECT id FROM main.meta");
    if (ok && archive_exists(store_path) && archive_path(store_path, path)) {
        if (!is_of_store(path, secret, why)) return false;
        ok = attach(db, path) && sqlite_run(db, "PRAGMA query_only = OFF") && sqlite_run(db, VIEWS) &&
             sqlite_run(db, "PRAGMA query_only = ON; SELECT id FROM archive.meta");
    }
    if (!ok) (void)snprintf(why, 200, "cannot read the store: %s", sqlite3_errmsg(db));
    return ok;
}
