// SPDX-License-Identifier: Apache-2.0
// What stands behind WeChat Pay's gateway: a request whose sender is known in, status and JSON out. The ledger's lock
// is held.
#ifndef TILL_SANDBOX_WECHAT_METHODS_H
#define TILL_SANDBOX_WECHAT_METHODS_H

#include "sandbox/inside.h"

// One call while it is being answered.
struct wechat_call {
    struct sandbox *sandbox;
    const struct http_exchange *x;
    struct str tail; // what follows the route's path
    json_t *body;    // the parsed body of a POST
    int64_t now_ms;
    bool by_public_key; // what the merchant wants to see signed under the public key's id
    bool is_file;       // the answer is no JSON and is not signed
    int status;
    struct buf *out;
};

// wechat_orders.c
void wechat_native(struct wechat_call *c);
void wechat_jsapi(struct wechat_call *c);
void wechat_h5(struct wechat_call *c);
void wechat_query_by_number(struct wechat_call *c); // tail: out_trade_no, or out_trade_no/close
void wechat_query_by_id(struct wechat_call *c);
void wechat_close(struct wechat_call *c);
// wechat_refunds.c
void wechat_refund(struct wechat_call *c);
void wechat_refund_query(struct wechat_call *c);

// wechat_bill.c
void wechat_bill(struct wechat_call *c);
void wechat_bill_download(struct wechat_call *c);

// {"code","message"} and, where one member is at fault, "detail":{"field","issue","location"}.
void wechat_refuse(struct wechat_call *c, int status, const char *code, const char *message);
void wechat_refuse_fault(struct wechat_call *c, const struct json_fault *fault);
void wechat_refuse_mchid(struct wechat_call *c);

// A notify_url of the request's body: an address of this machine, without a query. Fills the fault otherwise.
void wechat_notify_url(const struct json_in *in, bool required, char out[URL_MAX + 1]);
// A text of `min` to `max` characters, none of them outside Unicode's first plane. "" when absent and not required.
void wechat_text(const struct json_in *in, const char *name, size_t min, size_t max, char *out, size_t size);
bool wechat_is_number(const char *z, size_t min, const char *signs); // letters, digits and `signs`

#endif
