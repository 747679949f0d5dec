// SPDX-License-Identifier: Apache-2.0
// A provider's daily bill: what both have in common. A day is Beijing's, and has a bill as soon as it is over by the
// clock (the real ones take until the next morning). A bill is made from the ledger when it is fetched, with what the
// faults make of it. The ledger's lock is held.
#ifndef TILL_SANDBOX_BILL_H
#define TILL_SANDBOX_BILL_H

#include "sandbox/inside.h"

struct bill_entry {
    struct trade trade;
    struct refund refund;
    bool is_refund;
    int64_t amount_fen; // as the bill says it
};

struct bill {
    int64_t day_ms; // when the day began
    struct bill_entry *entries;
    size_t n, cap;
    bool failed; // memory was out
};

enum bill_day { BILL_DAY_GOOD, BILL_DAY_BAD, BILL_DAY_NOT_OVER };
enum bill_day bill_day_read(struct str text, int64_t now_ms, int64_t *day_ms); // yyyy-MM-dd

// Captures by when they were paid, then refunds by when they were asked for. Free it in any case.
void bill_gather(struct sandbox *s, enum sandbox_channel ch, int64_t day_ms, struct bill *b);
void bill_free(struct bill *b);

// The query of a download address, which nobody can make up, and whether one was made here and has not expired. It goes
// by real time.
void bill_ticket_write(const struct sandbox *s, enum sandbox_channel ch, int64_t day_ms, int64_t life_ms,
                       struct buf *out);
bool bill_ticket_read(const struct sandbox *s, enum sandbox_channel ch, struct str query, int64_t *day_ms);
// Where this sandbox is, as the client of this exchange sees it: http://host:port
void bill_base_write(const struct sandbox *s, const struct http_exchange *x, struct buf *out);

// A field of a line: without what would end it.
void bill_text_write(struct buf *out, const char *text);

#define ALIPAY_BILL_DOWNLOAD "/bill/alipay"
void alipay_bill_download(struct sandbox *s, const struct http_exchange *x, struct answer *a);
#define WECHAT_BILL_DOWNLOAD "/v3/billdownload/file"

#endif
