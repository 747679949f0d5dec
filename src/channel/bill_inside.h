// SPDX-License-Identifier: Apache-2.0
// What the readers of bills share: lines and columns of a table, and the fetching of a file.
#ifndef TILL_CHANNEL_BILL_INSIDE_H
#define TILL_CHANNEL_BILL_INSIDE_H

#include "channel/bill.h"
#include "channel/caller_inside.h"

#define BILL_FILE_MAX   (128u * 1024 * 1024) // bytes fetched
#define BILL_TEXT_MAX   (256u * 1024 * 1024) // and unpacked
#define BILL_LINE_MAX   8192
#define BILL_FIELDS_MAX 96
#define BILL_ASK_MAX    (64u * 1024) // bytes of the answer that says where the bill is

// One function per provider: asks, fetches, reads.
typedef enum bill_word fetch_bill(struct channel *c, int64_t day_ms, struct bill_rows *rows, int64_t *said_ms,
                                  char why[BILL_WHY_SIZE]);
fetch_bill alipay_bill, wechatpay_bill;

// Says why, and is false.
bool bill_refuse(char why[BILL_WHY_SIZE], const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// Takes the next line off, without its end. False when there is none, or it is longer than BILL_LINE_MAX.
bool bill_line(struct str *rest, struct str *line);
struct str bill_trimmed(struct str s); // spaces and tabs
// Up to BILL_FIELDS_MAX fields; 0 when there are more.
unsigned bill_split(struct str line, struct str separator, struct str fields[BILL_FIELDS_MAX]);
// Where each of `names` stands among the fields of the table's head. False with the name that is missing.
bool bill_columns(const struct str *fields, unsigned n_fields, const char *const *names, unsigned n, unsigned *at,
                  char why[BILL_WHY_SIZE]);
bool bill_text(struct str field, bool required, char out[BILL_NUMBER_MAX + 1]); // visible ASCII
bool bill_yuan(struct str field, int64_t *fen);                                 // may be negative
bool bill_count(struct str field, int64_t *n);
bool bill_add(struct bill_rows *rows, const struct bill_row *row, char why[BILL_WHY_SIZE]);

// One exchange: not redirected, at most `max` bytes. What came back is in `reply`, whose texts live in `headers` and
// `body`. False with a reason when nothing that is whole came back.
struct bill_reply {
    struct call_reply reply;
    struct buf headers, body;
    size_t max;
};
bool bill_exchange(struct call_request *request, size_t max, long seconds, struct bill_reply *out,
                   char why[BILL_WHY_SIZE]);
void bill_reply_free(struct bill_reply *reply);
void bill_request_free(struct call_request *request);
// The address as it may be fetched: https, unless the provider itself (`base`) is asked in the clear, as a sandbox is.
bool bill_url(struct str url, const char *base, struct buf *out);

#endif
