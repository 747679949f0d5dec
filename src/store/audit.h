// SPDX-License-Identifier: Apache-2.0
// `till audit`: every promise of the store, checked from the rows, one verdict each. Reads only; may run
// beside a server.
#ifndef TILL_STORE_AUDIT_H
#define TILL_STORE_AUDIT_H

#include "base/buf.h"
#include <stdint.h>

enum audit_verdict { AUDIT_HOLDS, AUDIT_PENDING, AUDIT_BROKEN };

struct audit_line {
    const char *name;    // snake_case, stable
    const char *meaning; // one line, in words
    enum audit_verdict verdict;
    int64_t n_checked, n_pending, n_broken;
    char examples[200]; // ids or skus, comma-separated, at most a few
};

// One row of the provider's own ledger, for the comparison.
struct ledger_trade {
    char out_trade_no[65];
    int64_t captured_fen, refunded_fen;
    int64_t captured_ms; // when, by its clock; 0: not said
};

#define AUDIT_LINES_MAX 32

// Checks the store at `path` as of one snapshot. `trades` may be NULL (no provider to compare with). `now_ms` and
// `grace_ms` bound what may still be pending. While no process has the store open for writing, a deadline after its
// last commit is pending, not broken: nobody was there to keep it. Returns the number of lines, or -1 with a reason in
// `why`.
int audit_run(const char *path, int64_t now_ms, int64_t grace_ms, const struct ledger_trade *trades, unsigned n_trades,
              struct audit_line out[AUDIT_LINES_MAX], char why[200]);

#endif
