// SPDX-License-Identifier: Apache-2.0
// A provider's bill of a day beside the store's book.
//
// What the bill has is looked up by its number, whenever it was: a capture of 23:59 that was noticed after midnight is
// in our books, and that is all that is asked. Only "missing there" needs a day, and there we are unsure of ours: a
// provider's own instant is not kept, only that it lies between the attempt's beginning and our noticing. So a row of
// ours is judged in the run of the day it was noticed (give or take the clocks), the last day its bill can be of, and
// is missing when no bill from the day it began up to that one has it. Every row is judged in one run and in no other,
// and no run needs a bill of a day that is not over.
//
// Nothing is mended here. The same refund is the same number; one the provider made by itself, under a number we cannot
// know, is told by its amount.
#ifndef TILL_SHELL_RECONCILE_H
#define TILL_SHELL_RECONCILE_H

#include "channel/bill.h"
#include "engine/engine.h"
#include "store/book.h"

#define RECONCILE_WHY_SIZE 256
// How far the provider's clock and ours may be apart.
#define RECONCILE_SKEW_MS (10 * 60 * INT64_C(1000))
// Bills looked at for what was noticed late: the longest window is 15 days.
#define RECONCILE_DAYS_MAX 17

struct difference {
    enum case_kind kind; // all but CASE_UNKNOWN_NUMBER
    enum channel_id channel;
    bool is_refund;
    char number[BILL_NUMBER_MAX + 1], refund_number[BILL_NUMBER_MAX + 1], provider_trade_no[BILL_NUMBER_MAX + 1];
    int64_t here_fen, there_fen;
    uint64_t order_key, payment_key; // 0: not known
};

struct reconciled { // of one channel; [0] captures, [1] refunds
    unsigned matched[2], missing_here[2], missing_there[2], differs[2];
    int64_t there_fen[2]; // what the bill comes to
};

struct differences {
    struct difference *list;
    unsigned n, cap;
};
void differences_free(struct differences *d);

// Where bills come from. False with a reason: then nothing is concluded. A day of which there is no bill has none of
// its rows.
struct bill_source {
    bool (*fetch)(void *ctx, int64_t day_ms, struct bill_rows *rows, char why[RECONCILE_WHY_SIZE]);
    void *ctx;
};

// Compares one channel's day, which must be over. Differences are added to `d`. False with a reason.
bool reconcile(struct book *book, enum channel_id channel, int64_t day_ms, const struct bill_source *source,
               struct reconciled *out, struct differences *d, char why[RECONCILE_WHY_SIZE]);

#endif
