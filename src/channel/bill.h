// SPDX-License-Identifier: Apache-2.0
// A provider's bill of one day: fetched, checked and read into rows that look the same whoever the provider is. A
// further channel adds one function to the table in bill.c; one that has no bills is passed over.
//
// A day is Beijing's. Captures stand under the day they were paid, refunds under the day they were made (Alipay) or
// accepted (WeChat Pay). A bill that is not whole (cut off, another day's, totals that do not fit its rows, a hash that
// does not fit its bytes) is no bill: nothing of it is handed out.
#ifndef TILL_CHANNEL_BILL_H
#define TILL_CHANNEL_BILL_H

#include "port/channel.h"

#define BILL_NUMBER_MAX 64
#define BILL_ROWS_MAX   500000

enum bill_kind { BILL_CAPTURE = 1, BILL_REFUND = 2 };

struct bill_row {
    enum bill_kind kind;
    char number[BILL_NUMBER_MAX + 1];            // "out_trade_no" of the capture
    char provider_trade_no[BILL_NUMBER_MAX + 1]; // of the capture
    char refund_number[BILL_NUMBER_MAX + 1];     // BILL_REFUND; "": the provider does not say
    int64_t amount_fen;                          // above 0, of refunds too
    int64_t at_ms;                               // whole seconds
    bool is_void;                                // a refund that had come to nothing when the bill was made
};

struct bill_rows {
    struct bill_row *rows;
    unsigned n, cap;
};
void bill_rows_free(struct bill_rows *rows);

enum bill_word {
    BILL_GOOD,
    BILL_NONE,    // authentically: there is none. Nothing happened that day, or it is not made yet
    BILL_NOT_YET, // authentically: it is being made
    BILL_UNKNOWN, // could not be had, or is not to be believed: `why`
};

bool bill_is_had(enum channel_id channel); // whether this provider has bills at all

#define BILL_WHY_SIZE 160
// Blocks, for minutes at most. `c` is an open channel; `day_ms` is when the day began. `rows` is filled with BILL_GOOD
// and empty otherwise; the caller frees it. `said_ms` is when the provider answered, by its own clock; 0: not said.
enum bill_word bill_fetch(struct channel *c, int64_t day_ms, struct bill_rows *rows, int64_t *said_ms,
                          char why[BILL_WHY_SIZE]);

// --- What the files hold. Pure; false with a reason, and `rows` empty.

bool alipay_bill_read(struct str zip, int64_t day_ms, struct bill_rows *rows, char why[BILL_WHY_SIZE]);
bool alipay_bill_read_text(struct str gbk, int64_t day_ms, struct bill_rows *rows, char why[BILL_WHY_SIZE]);
bool wechatpay_bill_read(struct str file, int64_t day_ms, struct bill_rows *rows, char why[BILL_WHY_SIZE]);

#endif
