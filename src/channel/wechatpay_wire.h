// SPDX-License-Identifier: Apache-2.0
// WeChat Pay's API v3 as pure functions: requests out, answers and notifications in. No network, and no clock but the
// arguments: `real_ms` is real time, which signatures carry; times of trades are on Till's clock. Names in quotes
// are WeChat Pay's own.
#ifndef TILL_CHANNEL_WECHATPAY_WIRE_H
#define TILL_CHANNEL_WECHATPAY_WIRE_H

#include "base/crypto.h"
#include "base/id.h"
#include "base/json_in.h"
#include "channel/caller.h"
#include "channel/wechatpay_keys.h"

// What every message is made with and judged by. Borrowed; only what is in `keys` ever changes; "" where not set.
struct wechatpay_app {
    const char *base_url, *mchid, *appid, *serial, *notify_url; // serial: of the merchant's certificate
    const char *oauth_url, *app_secret;                         // both or none
    const struct crypto_key *merchant_key;                      // ours, private
    struct platform_keys *keys;                                 // theirs
    uint8_t apiv3_key[CRYPTO_GCM_KEY];
    uint8_t secret[ID_SECRET_SIZE];
};

// --- Pieces (wechatpay_wire.c)

// What the buyer reads: whole characters of one to three bytes of UTF-8, up to 127 bytes, never empty.
void wechatpay_description(struct str subject, struct buf *out);

// The text a request is signed over. `target` is path and query as sent.
void wechatpay_canonical(const char *method, struct str target, struct str timestamp, struct str nonce, struct str body,
                         struct buf *out);

// --- Requests (wechatpay_wire.c). False when it cannot be signed, or is not to be asked of WeChat Pay like this.

bool wechatpay_request(const struct wechatpay_app *app, const struct call *call, struct str subject, int64_t real_ms,
                       struct call_request *out);
bool wechatpay_certificates_request(const struct wechatpay_app *app, int64_t real_ms, struct call_request *out);

// A GET of the address, signed. `accept` as the header says it.
bool wechatpay_get_request(const struct wechatpay_app *app, struct str url, const char *accept, int64_t real_ms,
                           struct call_request *out);

// --- The seal: who signed a message, and when (wechatpay_seal.c)

// The four "Wechatpay-" headers; empty where absent or there more than once.
struct wechatpay_seal {
    struct str timestamp, nonce, serial, signature;
};
enum seal_word { SEAL_GOOD, SEAL_ABSENT, SEAL_BAD, SEAL_UNKNOWN_KEY };
// Over the raw bytes of the body, with a key we hold (or one of `extra`, NULL allowed), within five minutes of real
// time. `why` is set to a constant: what is wrong, or "".
enum seal_word wechatpay_seal_check(const struct wechatpay_app *app, const struct platform_certs *extra,
                                    const struct wechatpay_seal *seal, struct str body, int64_t real_ms,
                                    const char **why);
struct wechatpay_seal wechatpay_seal_of(const struct call_reply *reply);

// An "AEAD_AES_256_GCM" resource (ciphertext, nonce, associated_data), opened with the APIv3 key. False: it is not
// what it should be, or not for us.
bool wechatpay_open_resource(const struct wechatpay_app *app, const json_t *resource, struct buf *plain);

// --- Members of JSON objects (wechatpay_seal.c)

// A member that is a string; empty when it is absent or something else.
struct str wechatpay_field(const json_t *node, const char *name);
bool wechatpay_field_is(const json_t *node, const char *name, const char *value);
// "amount": a whole number of fen, 1..AMOUNT_MAX_FEN, and the currency, if one is named, CNY.
bool wechatpay_amount(const json_t *node, const char *name, int64_t *fen);
// Visible ASCII, the rest as '?'; cut to the room.
void wechatpay_copy_visible(struct str s, char *out, size_t size);

// --- Answers (wechatpay_answer.c)

// Fills outcome, fact, captured_fen, provider_trade_no, code (its text goes into `text`) and detail of `a`. Everything
// doubtful is "unknown". The seal's word is returned, so that a key that is missing can be fetched.
enum seal_word wechatpay_answer(const struct wechatpay_app *app, const struct call *call,
                                const struct call_reply *reply, int64_t real_ms, struct answer *a, struct buf *text);

// --- Platform certificates (wechatpay_certificates.c)

enum certificates_word {
    CERTIFICATES_NEW,  // `certs` is filled, the caller's
    CERTIFICATES_NONE, // this merchant has none: it goes by the public key
    CERTIFICATES_BAD,  // to be asked again
};
// Believed when every certificate opens with the APIv3 key and one of them, or a key we hold, signed the answer.
enum certificates_word wechatpay_certificates(const struct wechatpay_app *app, const struct call_reply *reply,
                                              int64_t real_ms, struct platform_certs *certs, char why[64]);

// --- Notifications (wechatpay_notice.c)

#define WECHATPAY_NOTICE_MAX 65536 // bytes of a body
enum notice_verdict wechatpay_notice(const struct wechatpay_app *app, const struct wechatpay_seal *seal,
                                     struct str body, int64_t real_ms, struct notice *out, enum seal_word *word);

// --- Payment inside WeChat (wechatpay_jsapi.c)

// Where a page sends the buyer's browser to learn his openid; he comes back to redirect_uri?code=...&state=...
// `state`: 1..128 letters and digits.
bool wechatpay_authorize_url_write(const struct wechatpay_app *app, struct str redirect_uri, struct str state,
                                   struct buf *url);
// The address the code is exchanged at; holds the application's secret.
bool wechatpay_openid_url(const struct wechatpay_app *app, struct str code, struct buf *url);
// The openid of an exchange's answer. False: `why`, short and safe to show.
bool wechatpay_openid_read(const struct call_reply *reply, struct str *openid_out, struct buf *text, char why[64]);
// The object a page hands to WeChat's getBrandWCPayRequest: appId, timeStamp, nonceStr, package, signType, paySign.
bool wechatpay_page_write(const struct wechatpay_app *app, struct str prepay_id, int64_t real_ms, const char *nonce,
                          struct buf *json);
#define WECHATPAY_NONCE_SIZE 33
bool wechatpay_nonce(char out[WECHATPAY_NONCE_SIZE]);

#endif
