// SPDX-License-Identifier: Apache-2.0
// The embedded store on SQLite: WAL, synchronous=FULL, one connection that writes and checkpoints, every
// other read-only (SQLite before 3.51.3 can corrupt a database that several connections write or checkpoint).
//
// Opening: takes a lock on `<path>-lock` (a second writing process is refused), checks out the file with
// wal_checkpoint(TRUNCATE) before anything is served (after a failed fsync pages may be in the cache that never reached
// the disk), brings the schema up to date, reads the secret or makes one, rebuilds the in-memory indexes of random
// strings (idempotency keys, merchant numbers).
#ifndef TILL_STORE_SQLITE_H
#define TILL_STORE_SQLITE_H

#include "port/store.h"

struct sqlite_options {
    const char *path; // the database file; its directory must exist
    const char *vfs;  // NULL: the operating system's
    unsigned cache_mib;
    int64_t keep_ms;       // messages older than this are deleted once consumed; 0: never
    const uint8_t *secret; // NULL: random when the store is new (the simulator wants the same one each time)
};

// NULL with a one-line reason in `why` on failure.
struct store *sqlite_store_open(const struct sqlite_options *o, int64_t now_ms, char why[200]);
// A read-only view of the same file. The store must have been opened before.
struct reader *sqlite_reader_open(const struct sqlite_options *o, char why[200]);

// Whether a process has the store open for writing.
bool sqlite_store_is_open(const char *store_path);

#endif
