// SPDX-License-Identifier: Apache-2.0
// The page that an address of alipay.trade.wap.pay leads a phone to. The address is whole by itself: signed by the
// merchant, made without the gateway. Opening it shows what is to be paid; a trade comes into being when the buyer
// confirms, and until then nobody who asks is told of one.
#ifndef TILL_SANDBOX_ALIPAY_CASHIER_H
#define TILL_SANDBOX_ALIPAY_CASHIER_H

#include "sandbox/alipay_methods.h"
#include "sandbox/trades.h"

// The code behind such an address, verified as the gateway does, stored when it is new. False with a reason in `why`:
// it is no such address, its signature is wrong, or the order is refused. The ledger's lock is held, as below.
bool alipay_wap_code(struct sandbox *s, struct str url, int64_t now_ms, struct code *out, char why[200]);
// What the buyer sees before he confirms: the trade, when the number has one, or what it would be. Nothing is written.
enum refusal alipay_wap_look(struct sandbox *s, const struct code *c, int64_t now_ms, struct trade *out);

// GET|POST /gateway.do with that method; `c` was opened, or refused (then c->biz is NULL).
void alipay_cashier_open(struct call *c, struct str return_url, struct answer *a);
// POST /cashier, what the page's form sends: code, do=pay or do=login (a trade, not yet paid), back.
void alipay_cashier_request(struct sandbox *s, const struct http_exchange *x, struct answer *a);

// alipay_gateway.c: checks who sent a call to /gateway.do and reads its content. False: refused. c->biz is the caller's
// to free in either case.
bool alipay_call_open(struct call *c, const struct params *p);

#endif
