// SPDX-License-Identifier: Apache-2.0
// Identifiers. A row's key is 64 bits and grows with time, so that every B-tree is appended to:
//
//     41 bits milliseconds since 2020-01-01 | 8 bits node | 14 bits counter          (bit 63 is 0)
//
// What the outside sees is that key followed by 80 bits nobody can guess, in 29 characters of a base 32 whose
// byte order is the numeric order ("0-9", "a-z" without i, l, o, u). The 80 bits are a keyed hash of the row
// key (SipHash-2-4, 128 bits, cut), keyed by a secret that lives in the store: nothing to store per row, and
// an id that was made up is told from a real one without reading anything.
#ifndef TILL_BASE_ID_H
#define TILL_BASE_ID_H

#include "base/str.h"
#include <stdint.h>

#define ID_EPOCH_MS    INT64_C(1577836800000) // 2020-01-01T00:00:00Z
#define ID_SECRET_SIZE 16
#define ID_TEXT_LEN    29
#define ID_TEXT_SIZE   40 // prefix, text and NUL

// Makes keys. One per store and node, owned by whoever writes.
struct keygen {
    uint64_t last;
    uint8_t node;
};

// The first of `n` consecutive keys (n <= 64), larger than any given before, whatever `now_ms` says.
uint64_t keygen_take(struct keygen *g, int64_t now_ms, unsigned n);
int64_t key_ms(uint64_t key); // the millisecond a key was made in
uint64_t key_at(int64_t ms);  // no key made in that millisecond, or later, is smaller
// One of 2^bits places for a key, spread evenly (a key's own low bits are a counter that is mostly 0).
static inline unsigned key_place(uint64_t key, unsigned bits)
{
    return (unsigned)(key * UINT64_C(0x9e3779b97f4a7c15) >> (64 - bits));
}

// The text of a key. `prefix` is "ord_", "pay_", "ref_", "evt_", "whk_" or "" (numbers sent to a provider).
// Thread-safe; the secret must be the store's.
void id_format(const uint8_t secret[ID_SECRET_SIZE], const char *prefix, uint64_t key, char out[ID_TEXT_SIZE]);
// False when the text is not an id this secret made.
bool id_parse(const uint8_t secret[ID_SECRET_SIZE], const char *prefix, struct str text, uint64_t *key);

// 128-bit keyed hash of arbitrary bytes with the same secret (idempotency keys, merchant numbers).
struct hash128 {
    uint64_t a, b;
};
struct hash128 id_hash(const uint8_t secret[ID_SECRET_SIZE], const struct str *parts, unsigned n);

#endif
