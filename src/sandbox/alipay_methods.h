// SPDX-License-Identifier: Apache-2.0
// The trade methods behind Alipay's gateways, the old one and v3: content in, response object out.
#ifndef TILL_SANDBOX_ALIPAY_METHODS_H
#define TILL_SANDBOX_ALIPAY_METHODS_H

#include "sandbox/alipay_wire.h"
#include "sandbox/inside.h"

// One call while it is being answered. Who it came through has checked who sent it.
struct call {
    struct sandbox *sandbox;
    json_t *biz; // its content, read; the opener frees it
    const struct http_exchange *x;
    struct str notify_url; // empty: nobody is told
    int64_t now_ms;
    bool is_bare;    // success is told by the HTTP status: no code and msg in the response object
    struct buf *out; // the response object, whole after every call below
    // what became of it
    const char *code, *sub_code; // "10000", NULL
    char sub_msg[200];
};

// Runs a method, unless its fate is that it is not, and answers as the fate says. The ledger's lock is held.
void alipay_method_run(struct call *c, struct str method, const struct gateway_fate *fate);
// alipay.trade.wap.pay: the code that stands for the page, stored when it is new. False: refused.
bool alipay_wap_order(struct call *c, struct code *code);
bool alipay_code_is_wap(const struct code *code);

// alipay_gateway.c, for both doors. What the faults have in store for a call, with the headers every answer has and the
// delay; the call is counted.
struct gateway_fate alipay_gateway_fate(struct sandbox *s, const char *trace_header, struct answer *a);
// Whether the certificates that a call names, where it names any, are those of the key directory. False: refused.
bool alipay_certs_are_ours(struct call *c, bool has_any, struct str app_cert_sn, struct str root_cert_sn);

// alipay_bill.c
void alipay_bill_query(struct call *c, const char *bill_type, const char *bill_date);

void alipay_success(struct call *c); // the object is open; the caller adds members and closes it
void alipay_refuse(struct call *c, const char *code, const char *msg, const char *sub_code, const char *sub_msg);
void alipay_refuse_missing(struct call *c, const char *sub_code, const char *sub_msg);  // 40001
void alipay_refuse_invalid(struct call *c, const char *sub_code, const char *sub_msg);  // 40002
void alipay_refuse_business(struct call *c, const char *sub_code, const char *sub_msg); // 40004
void alipay_refuse_busy(struct call *c);                                                // 20000

#endif
