// SPDX-License-Identifier: Apache-2.0
// What WeChat Pay says about a trade and a refund, in answers and notices alike, and how a notice is written when it is
// sent: encrypted and signed anew each time, under the same id.
#ifndef TILL_SANDBOX_WECHAT_NOTICE_H
#define TILL_SANDBOX_WECHAT_NOTICE_H

#include "sandbox/keys.h"
#include "sandbox/ledger.h"

const char *wechat_trade_state(const struct trade *t, bool has_refund);
const char *wechat_refund_status(enum refund_state state);

// One JSON object, the whole of `out`. Who has not paid yet is not told the trade's number.
void wechat_trade_write(const struct sandbox_identity *id, const struct trade *t, bool has_refund, struct buf *out);

// The payment of a trade, or how a refund ended (`r` not NULL), as fields of struct notice.
void wechat_notice_fields(const struct sandbox_identity *id, const struct trade *t, const struct refund *r,
                          const char *notice_id, int64_t now_ms, struct buf *fields);
// The body to post, and its header lines, which end with CR LF. False when they cannot be made.
bool wechat_notice_write(const struct keys *k, const struct notice *n, struct buf *body, struct buf *headers);

#endif
