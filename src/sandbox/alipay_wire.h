// SPDX-License-Identifier: Apache-2.0
// Alipay's open-platform gateway on the wire: parameters of a request, the strings that are signed, the envelope of an
// answer, amounts in yuan.
#ifndef TILL_SANDBOX_ALIPAY_WIRE_H
#define TILL_SANDBOX_ALIPAY_WIRE_H

#include "base/buf.h"
#include "base/crypto.h"

#define PARAMS_MAX 64

struct param {
    struct str name, value; // decoded, UTF-8
};

// Query and body together, sorted by name. The texts live in `text`.
struct params {
    struct param list[PARAMS_MAX];
    unsigned n;
    struct buf text;
};

// Each is named once, over query and body together; false with a reason that can be told to the sender (then `p` holds
// what was read so far; it must be freed in either case).
bool params_read(struct params *p, struct str query, struct str body, char why[160]);
void params_free(struct params *p);
struct str params_get(const struct params *p, const char *name); // empty when absent

// name=value&... in byte order of the names, without `sign`; values as they are. Empty values are left out or kept.
void params_sign_text(const struct params *p, bool keep_empty, struct buf *out);
// As merchants' SDKs differ there: once without the empty values, then with them.
bool params_verify(const struct params *p, const struct crypto_key *key);

void form_encode(struct buf *out, struct str s); // application/x-www-form-urlencoded
void html_escape(struct buf *out, struct str s); // & < > " '

bool yuan_parse(struct str s, int64_t *fen); // "88", "88.8", "88.88", from 0.01 to 100000000
void yuan_write(struct buf *out, int64_t fen);

// {"<method with _>_response":<object>,"sign":"..."}: the response object first, then the signature over its bytes; in
// certificate mode "alipay_cert_sn" stands between them (NULL: key mode). `key_name` is the whole member name. False
// when signing failed.
bool envelope_write(struct buf *out, const char *key_name, struct str object, const char *cert_sn,
                    const struct crypto_key *key);

#endif
