// SPDX-License-Identifier: Apache-2.0
// What may happen to a trade, whoever the provider is, and the notifications that follow. The ledger's lock is held.
//
//     code --scan--> WAITING --pay--> PAID --refund--> PAID | (nothing left) CLOSED
//                       |--close, expiry--> CLOSED
//
// A code is not a trade: with Alipay nothing exists before somebody scans, and a trade whose time is over closes. With
// WeChat Pay the trade exists as soon as its first code does (trade_open), the end of its time only ends paying, and a
// refund is accepted first and made afterwards (trade_refund_accept, refunds_settle).
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
    REFUSAL_OTHER_WALLET,
    REFUSAL_OTHER_BUYER,
    REFUSAL_PAGE_AWAY,
    REFUSAL_PAGE_ELSEWHERE,
    REFUSAL_PAGE_EMPTY,
    REFUSAL_PAGE_FALSE
};
const char *refusal_name(enum refusal r); // snake_case
const char *refusal_text(enum refusal r);

// Somebody scanned this code: its trade, made now if there is none yet. A trade that exists is returned in any state.
struct trade trade_open(struct sandbox *s, const struct code *c, int64_t now_ms); // `c` is stored, and its first code
enum refusal trade_scan(struct sandbox *s, const struct code *c, int64_t now_ms, struct trade *out);
enum refusal trade_pay(struct sandbox *s, struct trade *t, int64_t now_ms); // t->payer is the caller's to set
void trade_close(struct sandbox *s, struct trade *t, int64_t now_ms);       // a waiting one
// A paid one; the amount is at most what is left.
void trade_refund(struct sandbox *s, struct trade *t, const char *out_request_no, int64_t amount_fen, int64_t now_ms);
// The same, but the money goes back some seconds later (a fault of Alipay's).
void trade_refund_late(struct sandbox *s, const struct trade *t, const char *out_request_no, int64_t amount_fen,
                       int64_t now_ms);
// The same with WeChat Pay: takes the number, the amount, who is told and how it is signed from `r`, fills the rest.
void trade_refund_accept(struct sandbox *s, struct refund *r, int64_t now_ms);
// Closes every waiting trade of Alipay whose time is over. Called before anything looks at one.
void trades_expire(struct sandbox *s, int64_t now_ms);
// Whatever time has brought about, with either: that, and the ends of refunds.
void trades_settle(struct sandbox *s, int64_t now_ms);

#endif
