// SPDX-License-Identifier: Apache-2.0
// The archive: finished orders that are old, in a file of the same schema beside the store, "<store>-archive".
//
// An order moves in two durable steps. First it is copied here, whole and replacing what an earlier try left of it;
// then the store forgets it (CHANGE_ARCHIVED), unless somebody has touched it since. So a crash leaves an order in the
// store, in both, or in the archive only, and never in none. What is in both is the store's: it may have changed since.
//
// Whoever reads both looks into the store first: what moves meanwhile is then met twice rather than not at all.
#ifndef TILL_STORE_ARCHIVE_H
#define TILL_STORE_ARCHIVE_H

#include "store/sqlite.h"

#define ARCHIVE_PATH_SIZE 4096
#define ARCHIVE_BATCH     64 // orders copied at a time

bool archive_path(const char *store_path, char out[ARCHIVE_PATH_SIZE]); // false: too long
bool archive_exists(const char *store_path);

// Owns a connection that reads the store and the one that writes the archive; for one thread. The caller has the store
// open for writing, so nobody else has either.
struct archive;
// Makes the file when there is none. NULL with a one-line reason in `why`: among others, that it is another store's.
struct archive *archive_open(const struct sqlite_options *store, int64_t now_ms, char why[200]);
void archive_close(struct archive *a); // NULL allowed

enum archive_result {
    ARCHIVE_DONE,   // what `moved` names is durable in the archive
    ARCHIVE_LATER,  // nothing was copied (disk full, the store cannot be read now): it may be tried again
    ARCHIVE_FAILED, // the archive's file failed. No copy is made any more; the next start reads what is really there
};

struct archive_batch {
    int64_t before_ms;      // orders whose last event is older than this
    bool awaits_publishing; // and only when a broker elsewhere has all their events
    uint64_t after_key;     // goes on after this one; 0: from the oldest. Out: for the next batch, 0: that was all
    struct order_mark moved[ARCHIVE_BATCH]; // out, for the store to forget
    unsigned n_moved;
};
// Copies the next orders that are finished, owe nothing, and are in no open case. A short read of the store, one commit
// of the archive.
enum archive_result archive_copy(struct archive *a, struct archive_batch *b);

#endif
