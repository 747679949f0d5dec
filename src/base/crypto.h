// SPDX-License-Identifier: Apache-2.0
// The few cryptographic verbs Till needs, on OpenSSL. No policy here: what is signed is the channel's
// business.
//
// Ownership: a key is freed by whoever loaded it, with crypto_key_free(); NULL is allowed there. Keys are
// read-only after loading and may be shared by threads.
#ifndef TILL_BASE_CRYPTO_H
#define TILL_BASE_CRYPTO_H

#include "base/buf.h"

struct crypto_key; // an RSA key, private or public

// Reads a key file: PEM armour (PKCS#1 or PKCS#8 private, PKCS#1 or SubjectPublicKeyInfo public, or a
// certificate) or the same as bare base64 without armour, as Alipay's tools write it. On failure NULL, with a
// reason in `why` that names what was expected (never key material).
struct crypto_key *crypto_private_key_load(const char *path, char why[160]);
struct crypto_key *crypto_public_key_load(const char *path, char why[160]);
struct crypto_key *crypto_private_key_parse(struct str text, char why[160]);
struct crypto_key *crypto_public_key_parse(struct str text, char why[160]);
// Whether both are halves of one pair (the commonest misconfiguration: one's own public key as the
// provider's).
bool crypto_same_pair(const struct crypto_key *a, const struct crypto_key *b);
// What a certificate says beside its key.
struct crypto_certificate {
    char serial[65];  // hexadecimal, capitals, no zeros in front
    int64_t until_ms; // not valid after
};
// The key of an X.509 certificate (PEM). No chain is looked at: that it is the right one is for the caller to know.
struct crypto_key *crypto_certificate_parse(struct str pem, struct crypto_certificate *about, char why[160]);
void crypto_key_free(struct crypto_key *k);

// SHA256withRSA, PKCS#1 v1.5 ("RSA2"), base64 in and out. About 0.3 ms to sign with 2048 bits: never on the
// engine.
bool crypto_rsa2_sign(const struct crypto_key *k, struct str data, struct buf *base64_out);
bool crypto_rsa2_verify(const struct crypto_key *k, struct str data, struct str base64);

// AES-256-GCM: opens `sealed`, the ciphertext with its tag of 16 bytes behind it, and appends the plain text. False,
// with nothing appended, when the tag does not prove all of it: key, nonce (12 bytes), `aad` and every byte.
#define CRYPTO_GCM_KEY   32
#define CRYPTO_GCM_NONCE 12
#define CRYPTO_GCM_TAG   16
bool crypto_gcm_open(const uint8_t key[CRYPTO_GCM_KEY], struct str nonce, struct str aad, struct str sealed,
                     struct buf *plain);

// A short secret that stands in a file as text, without the white space around it: 1..CRYPTO_SECRET_MAX visible
// ASCII characters. False with a reason that never names it.
#define CRYPTO_SECRET_MAX 128
bool crypto_secret_load(const char *path, char secret[CRYPTO_SECRET_MAX + 1], char why[160]);
void crypto_wipe(void *p, size_t n); // that the compiler does not leave out

void crypto_sha256(struct str data, uint8_t out[32]);
void crypto_sha1(struct str data, uint8_t out[20]); // only where a provider names nothing better
void crypto_hmac_sha256(struct str key, struct str data, uint8_t out[32]);
void crypto_hex(const uint8_t *p, size_t n, char *out); // 2n characters and NUL
void crypto_base64(struct str data, struct buf *out);
bool crypto_base64_decode(struct str text, struct buf *out); // strict: alphabet, padding, no white space
bool crypto_random(void *p, size_t n);                       // from the operating system
bool crypto_equal(const void *a, const void *b, size_t n);   // constant time

// A fresh RSA-2048 pair; PEM texts. Used by the sandbox and by tests.
bool crypto_rsa_generate(struct buf *pkcs8_pem, struct buf *pkcs1_pem, struct buf *public_pem);

#endif
