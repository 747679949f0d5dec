// SPDX-License-Identifier: Apache-2.0
// What may happen to a trade, whoever the provider is, and the notifications that follow. The ledger's lock is held.
//
//     code --scan--> WAITING --pay--> PAID --refund--> PAID | (nothing left) CLOSED
//                       |--close, expiry--> CLOSED
//
// A code is not a trade: with Alipay nothing exists before somebody scans.
#ifndef TILL_SANDBOX_TRADES_H
#define TILL_SANDBOX_TRADES_H

#include "sandbox/inside.h"

enum refusal {
    REFUSAL_NONE,
    REFUSAL_PAID,
    REFUSAL_CLOSED,
    REFUSAL_EXPIRED,
    REFUSAL_KILLED,
    REFUSAL_OTHER_TERMS,
    REFUSAL_OTHER_WALLET
};
const char *refusal_name(enum refusal r); // snake_case
const char *refusal_text(enum refusal r);

// Somebody scanned this code: its trade, made now if there is none yet. A trade that exists is returned in any state.
enum refusal trade_scan(struct sandbox *s, const struct code *c, int64_t now_ms, struct trade *out);
enum refusal trade_pay(struct sandbox *s, struct trade *t, int64_t now_ms);
void trade_close(struct sandbox *s, struct trade *t, int64_t now_ms); // a waiting one
// A paid one; the amount is at most what is left.
void trade_refund(struct sandbox *s, struct trade *t, const char *out_request_no, int64_t amount_fen, int64_t now_ms);
// Closes every waiting trade whose time is over. Called before anything looks at a trade.
void trades_expire(struct sandbox *s, int64_t now_ms);

#endif
