// SPDX-License-Identifier: Apache-2.0
#include "base/id.h"
#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdlib.h>

#define COUNTER_BITS 14
#define NODE_BITS    8
#define MS_SHIFT     (COUNTER_BITS + NODE_BITS)
#define COUNTER_MASK ((UINT64_C(1) << COUNTER_BITS) - 1)
#define NODE_MASK    ((UINT64_C(1) << NODE_BITS) - 1)
#define MS_MAX       ((UINT64_C(1) << 41) - 1)
#define KEY_CHARS    13 // 65 bits
#define TAG_CHARS    16 // 80 bits

static const char ALPHABET[] = "0123456789abcdefghjkmnpqrstvwxyz";

uint64_t keygen_take(struct keygen *g, int64_t now_ms, unsigned n)
{
    assert(n >= 1 && n <= 64);
    uint64_t ms = now_ms > ID_EPOCH_MS ? (uint64_t)(now_ms - ID_EPOCH_MS) : 0;
    uint64_t last_ms = g->last >> MS_SHIFT;
    uint64_t counter = 0;
    if (ms <= last_ms) { // same millisecond, or the clock went back: go on counting
        ms = last_ms;
        counter = (g->last & COUNTER_MASK) + 1;
        bool other_node = (g->last >> COUNTER_BITS & NODE_MASK) != g->node; // `last` may come from a shared store
        if (counter + n > COUNTER_MASK + 1 || other_node) {
            ms++;
            counter = 0;
        }
    }
    assert(ms <= MS_MAX); // the year 2089
    uint64_t first = ms << MS_SHIFT | (uint64_t)g->node << COUNTER_BITS | counter;
    g->last = first + n - 1;
    return first;
}

int64_t key_ms(uint64_t key)
{
    return (int64_t)(key >> MS_SHIFT) + ID_EPOCH_MS;
}

uint64_t key_at(int64_t ms)
{
    uint64_t since = ms > ID_EPOCH_MS ? (uint64_t)(ms - ID_EPOCH_MS) : 0;
    return (since < MS_MAX ? since : MS_MAX) << MS_SHIFT;
}

// One SipHash context per thread, keyed at each use: fetching an algorithm costs a hundred times a hash.
static pthread_key_t context_key;
static pthread_once_t context_once = PTHREAD_ONCE_INIT;
static EVP_MAC *siphash;

static void context_free(void *p)
{
    EVP_MAC_CTX_free(p);
}

static void context_init(void)
{
    siphash = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    if (!siphash || pthread_key_create(&context_key, context_free) != 0) abort();
}

struct hash128 id_hash(const uint8_t secret[ID_SECRET_SIZE], const struct str *parts, unsigned n)
{
    pthread_once(&context_once, context_init);
    EVP_MAC_CTX *c = pthread_getspecific(context_key);
    size_t size = 16;
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size), OSSL_PARAM_construct_end()};
    if (!c) {
        c = EVP_MAC_CTX_new(siphash);
        if (!c || pthread_setspecific(context_key, c) != 0) abort();
    }
    unsigned char out[16];
    size_t out_len = 0;
    bool ok = EVP_MAC_init(c, secret, ID_SECRET_SIZE, params) == 1;
    for (unsigned i = 0; ok && i < n; i++) {
        uint64_t length = parts[i].n; // the length first, so that ("ab","c") and ("a","bc") differ
        ok = EVP_MAC_update(c, (const unsigned char *)&length, sizeof length) == 1 &&
             (parts[i].n == 0 || EVP_MAC_update(c, (const unsigned char *)parts[i].p, parts[i].n) == 1);
    }
    ok = ok && EVP_MAC_final(c, out, &out_len, sizeof out) == 1 && out_len == sizeof out;
    if (!ok) abort(); // a hash that fails once would give ids away
    struct hash128 h;
    memcpy(&h.a, out, 8);
    memcpy(&h.b, out + 8, 8);
    return h;
}

static void tag_of(const uint8_t secret[ID_SECRET_SIZE], uint64_t key, char out[TAG_CHARS])
{
    struct str part = {(const char *)&key, sizeof key};
    struct hash128 h = id_hash(secret, &part, 1);
    for (int i = 0; i < 12; i++)
        out[i] = ALPHABET[h.a >> (5 * i) & 31];
    for (int i = 0; i < 4; i++)
        out[12 + i] = ALPHABET[h.b >> (5 * i) & 31];
}

void id_format(const uint8_t secret[ID_SECRET_SIZE], const char *prefix, uint64_t key, char out[ID_TEXT_SIZE])
{
    size_t n = strlen(prefix);
    assert(n + ID_TEXT_LEN < ID_TEXT_SIZE);
    memcpy(out, prefix, n);
    for (int i = 0; i < KEY_CHARS; i++)
        out[n + (size_t)i] = ALPHABET[key >> (5 * (KEY_CHARS - 1 - i)) & 31];
    tag_of(secret, key, out + n + KEY_CHARS);
    out[n + ID_TEXT_LEN] = 0;
}

bool id_parse(const uint8_t secret[ID_SECRET_SIZE], const char *prefix, struct str text, uint64_t *key)
{
    size_t n = strlen(prefix);
    if (text.n != n + ID_TEXT_LEN || memcmp(text.p, prefix, n) != 0) return false;
    uint64_t k = 0;
    for (size_t i = 0; i < KEY_CHARS; i++) {
        const char *at = memchr(ALPHABET, text.p[n + i], 32);
        if (!at) return false;
        if (i == 0 && at - ALPHABET > 15) return false; // 65 bits in 13 characters: the first holds four
        k = k << 5 | (uint64_t)(at - ALPHABET);
    }
    if (k >> 63) return false;
    char tag[TAG_CHARS];
    tag_of(secret, k, tag);
    unsigned differ = 0; // constant time: a guesser learns nothing from how long it takes
    for (size_t i = 0; i < TAG_CHARS; i++)
        differ |= (unsigned char)tag[i] ^ (unsigned char)text.p[n + KEY_CHARS + i];
    if (differ) return false;
    *key = k;
    return true;
}
