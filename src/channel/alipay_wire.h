// SPDX-License-Identifier: Apache-2.0
// Alipay's gateway protocol as pure functions: requests out, answers and notifications in. No clock, no
// network. Names in quotes are Alipay's own. RSA2, UTF-8, JSON; Alipay's key from a file of its own (key mode) or from
// its certificate (certificate mode).
#ifndef TILL_CHANNEL_ALIPAY_WIRE_H
#define TILL_CHANNEL_ALIPAY_WIRE_H

#include "base/crypto.h"
#include "base/id.h"
#include "base/json_in.h"
#include "channel/caller.h"

// What every message is made with and judged by. Borrowed, never changes; "" where not set.
struct alipay_app {
    const char *gateway, *app_id, *seller_id, *notify_url;
    const struct crypto_key *app_key;    // ours, private
    const struct crypto_key *alipay_key; // theirs, public
    uint8_t secret[ID_SECRET_SIZE];
    // certificate mode: the serial names (base/cert_sn.h) of our certificate and Alipay's roots, sent along, and of
    // Alipay's certificate, which its answers name; NULL in key mode
    const char *app_cert_sn, *root_cert_sn, *alipay_cert_sn;
};

// --- Pieces (alipay_wire.c)

#define YUAN_TEXT_SIZE 24
// "12.30", "12.3" and "12" are 1230 fen. False for signs, spaces, more than two decimals, anything above
// AMOUNT_MAX_FEN.
bool yuan_to_fen(struct str yuan, int64_t *fen);
void yuan_of_fen(int64_t fen, char out[YUAN_TEXT_SIZE]); // 0..AMOUNT_MAX_FEN, always two decimals

// What the buyer reads: without / = & and control characters (Alipay refuses them), whole characters up to
// `max_bytes`, never empty.
#define ALIPAY_SUBJECT_MAX 256
void alipay_subject(struct str subject, size_t max_bytes, struct buf *out);

struct alipay_param {
    struct str name, value;
};
// What is signed: name=value joined with &, in the byte order of the names, values as they are. Sorts
// `params`.
void alipay_canonical(struct alipay_param *params, unsigned n, struct buf *out);

// --- Requests (alipay_wire.c)

// `now_ms` is Till's clock, as call->expires_ms is; `real_ms` is the timestamp's. False when it cannot be
// signed. A page's request is local: its body is the address.
bool alipay_request(const struct alipay_app *app, const struct call *call, struct str subject, int64_t now_ms,
                    int64_t real_ms, struct call_request *out);
// Any other method of the gateway, with its business content.
bool alipay_method_request(const struct alipay_app *app, const char *method, struct str content, int64_t real_ms,
                           struct call_request *out);
const char *alipay_method(enum call_method method); // "alipay.trade.query"; NULL for CALL_NONE
// Whether it asks for an address ("alipay.trade.wap.pay") that is made here, without the gateway: the buyer's browser
// takes it there, and nothing exists over there before he has confirmed.
bool alipay_is_page(const struct call *call);

// --- Answers (alipay_answer.c)

// Fills outcome, fact, captured_fen, provider_trade_no, code (its text goes into `text`) and detail of `a`.
// Only what Alipay signed is believed; everything doubtful is "unknown". A page's reply is its own address.
void alipay_answer(const struct alipay_app *app, const struct call *call, const struct call_reply *reply,
                   struct answer *a, struct buf *text);

// The raw bytes of a member's value in a JSON object, as transmitted. `object` has passed json_read_object();
// on other bytes the result means nothing, but stays inside them. False when there is no such member.
bool alipay_member_raw(struct str object, const char *name, struct str *value);

// The object a method is answered with, out of an answer's parsed bytes, when Alipay signed it; else NULL, and `why` is
// a constant that says what is wrong. Lives as long as `root`.
const json_t *alipay_signed_node(const struct alipay_app *app, const char *method, struct str body, const json_t *root,
                                 const char **why);

// --- Notifications (alipay_notice.c)

#define ALIPAY_NOTICE_MAX 65536 // bytes of a body
enum notice_verdict alipay_notice(const struct alipay_app *app, struct str body, struct notice *out);

#endif
