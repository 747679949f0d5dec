// SPDX-License-Identifier: Apache-2.0
// What differs from one provider to the next, for the files that serve all of them (trades, notifier, wallet): one row
// each. What only one provider has, stands in that provider's own files.
#ifndef TILL_SANDBOX_PROVIDER_H
#define TILL_SANDBOX_PROVIDER_H

#include "sandbox/inside.h"

struct provider {
    const char *name; // in the wallet, the ledger and the channel's name at Till
    // Its trades' numbers have 28 characters: this, the date, that, and random digits.
    const char *before_date, *after_date;
    const char *(*trade_state)(struct sandbox *s, const struct trade *t); // in its own words
    // What is said of a trade, or (`r`) of one of its refunds: kept in struct notice, unsigned.
    void (*notice_fields)(struct sandbox *s, const struct trade *t, const struct refund *r, const char *notice_id,
                          int64_t now_ms, struct buf *fields);
    // The same when it is sent: the body, and header lines that end with CR LF. False when it cannot be made.
    bool (*notice_write)(struct sandbox *s, const struct notice *n, struct buf *body, struct buf *headers);
    bool (*is_heard)(long status, struct str reply); // a long reply is given as an empty one
    const int64_t *gaps_ms;                          // before it is sent a second time, a third, ...
    unsigned n_gaps;
};

extern const struct provider PROVIDERS[SANDBOX_N_CHANNELS];

// fake_bank.c, for the table: the other providers have headers of their own.
const char *fake_trade_state(struct sandbox *s, const struct trade *t);
void fake_notice_fields(struct sandbox *s, const struct trade *t, const struct refund *r, const char *notice_id,
                        int64_t now_ms, struct buf *fields);
bool fake_notice_write(struct sandbox *s, const struct notice *n, struct buf *body, struct buf *headers);
bool fake_notice_is_heard(long status, struct str reply);

#endif
