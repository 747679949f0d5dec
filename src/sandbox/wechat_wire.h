// SPDX-License-Identifier: Apache-2.0
// WeChat Pay's API v3 on the wire: who signed a request, how answers are signed, what is encrypted for the merchant.
// Every time inside a signature is real time, whatever the test clock says.
#ifndef TILL_SANDBOX_WECHAT_WIRE_H
#define TILL_SANDBOX_WECHAT_WIRE_H

#include "sandbox/inside.h"

#define WECHAT_SKEW_S 300 // how far a timestamp may be off, both ways

// What an Authorization header says; all borrowed from it.
struct wechat_auth {
    struct str mchid, serial, nonce, timestamp, signature;
};
// WECHATPAY2-SHA256-RSA2048 name="value",...: each of the five once, in any order, and nothing else.
bool wechat_auth_read(struct str header, struct wechat_auth *out);

// METHOD\n target\n timestamp\n nonce\n body\n, the target and the body exactly as they were sent.
void wechat_sign_text(const struct wechat_auth *auth, const struct http_exchange *x, struct buf *out);

// The platform's two names for its one key: the id of the public key, or the serial of the certificate.
const char *wechat_serial(const struct sandbox_identity *id, bool by_public_key);
// A signature over `body` as header lines that end with CR LF; the names are spelt as the SDKs look them up.
bool wechat_signature_write(const struct crypto_key *key, const char *serial, struct str body, struct buf *headers);

// The members algorithm, nonce, associated_data and ciphertext of an object that is open. False: not encrypted.
bool wechat_sealed_write(const struct keys *k, struct str plain, const char *associated_data, struct buf *out);

void wechat_time_write(struct buf *out, const char *name, int64_t ms); // a member: 2026-11-23T10:05:00+08:00

// `n` characters of 0-9, A-Z, a-z and NUL. Nobody guesses them.
void wechat_token(char *out, size_t n);

#endif
