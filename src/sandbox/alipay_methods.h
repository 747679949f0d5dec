// SPDX-License-Identifier: Apache-2.0
// The trade methods behind Alipay's gateway: biz_content in, response object out.
#ifndef TILL_SANDBOX_ALIPAY_METHODS_H
#define TILL_SANDBOX_ALIPAY_METHODS_H

#include "sandbox/alipay_wire.h"
#include "sandbox/inside.h"

// One call while it is being answered.
struct call {
    struct sandbox *sandbox;
    const struct params *params;
    json_t *biz; // the parsed biz_content
    int64_t now_ms;
    struct buf *out; // the response object, whole after every call below
};

// Runs the method that the parameters name. The ledger's lock is held.
void alipay_method_run(struct call *c);

void alipay_refuse(struct call *c, const char *code, const char *msg, const char *sub_code, const char *sub_msg);
void alipay_refuse_missing(struct call *c, const char *sub_code, const char *sub_msg);  // 40001
void alipay_refuse_invalid(struct call *c, const char *sub_code, const char *sub_msg);  // 40002
void alipay_refuse_business(struct call *c, const char *sub_code, const char *sub_msg); // 40004
void alipay_refuse_busy(struct call *c);                                                // 20000

#endif
