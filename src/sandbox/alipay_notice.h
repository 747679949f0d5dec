// SPDX-License-Identifier: Apache-2.0
// What an Alipay notification says (trade_status_sync), and how it is written when it is sent. No field is ever empty:
// the SDKs' checkers disagree about those.
#ifndef TILL_SANDBOX_ALIPAY_NOTICE_H
#define TILL_SANDBOX_ALIPAY_NOTICE_H

#include "sandbox/keys.h"
#include "sandbox/ledger.h"

#define ALIPAY_BUYER_ID       "2088722000000017"
#define ALIPAY_BUYER_LOGON_ID "til***@sandbox.test"

// The state of the trade as it is now, as fields of struct notice. `out_biz_no`: the refund's number, or NULL.
void alipay_notice_fields(const struct sandbox_identity *id, const struct trade *t, const char *out_biz_no,
                          const char *notify_id, struct buf *fields);
// The form to post: fields, time of sending and signature. False when it cannot be made.
bool alipay_notice_form(const struct keys *k, const struct notice *n, int64_t now_ms, struct buf *form);

const char *alipay_trade_status(enum trade_state state);
void alipay_time_write(struct buf *out, int64_t ms); // Beijing wall time

#endif
