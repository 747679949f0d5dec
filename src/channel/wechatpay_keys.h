// SPDX-License-Identifier: Apache-2.0
// The keys WeChat Pay signs with, by the serial it names in each message. Two kinds, both at once: its public key (an
// id beginning PUB_KEY_ID_, from a file, without an end) and its platform certificates (fetched, replaced every few
// years, several valid while one follows another). A serial that is not known, or whose certificate has ended, verifies
// nothing.
//
// Any thread may verify while another installs.
#ifndef TILL_CHANNEL_WECHATPAY_KEYS_H
#define TILL_CHANNEL_WECHATPAY_KEYS_H

#include "base/crypto.h"

#define WECHATPAY_SERIAL_MAX 64 // characters
#define WECHATPAY_CERTS_MAX  8

struct platform_cert {
    char serial[WECHATPAY_SERIAL_MAX + 1];
    int64_t until_ms; // real time
    struct crypto_key *key;
};

struct platform_certs {
    unsigned n;
    struct platform_cert cert[WECHATPAY_CERTS_MAX];
};
void platform_certs_free(struct platform_certs *certs);

struct platform_keys;

// `public_id` "": no public key; otherwise `public_key` is taken over. NULL when memory is out (the key stays yours).
struct platform_keys *platform_keys_new(const char *public_id, struct crypto_key *public_key);
void platform_keys_free(struct platform_keys *keys); // NULL allowed

enum key_word { KEY_VERIFIES, KEY_DENIES, KEY_UNKNOWN };
// `extra` are looked up as well, NULL allowed: certificates that came in the very message to be judged.
enum key_word platform_keys_verify(struct platform_keys *keys, const struct platform_certs *extra, struct str serial,
                                   struct str signed_text, struct str signature, int64_t real_ms);

// These certificates take the place of the ones before; none leaves those as they are. Takes them over.
void platform_keys_install(struct platform_keys *keys, struct platform_certs *certs);

// Whether anything could be verified now.
bool platform_keys_any(struct platform_keys *keys, int64_t real_ms);
// What a request names, so that WeChat Pay answers with a key we hold: the public key's id, else the serial of the
// certificate that ends last. "" when there is none.
void platform_keys_serial(struct platform_keys *keys, int64_t real_ms, char serial[WECHATPAY_SERIAL_MAX + 1]);

#endif
