// SPDX-License-Identifier: Apache-2.0
// Two tables of hashes, the younger filled and the older only looked at; when the younger is as old as a timestamp may
// be, or nearly full, it becomes the older one. So everything is remembered for at least one such age, unless more than
// TABLE_MOST come within it.
#include "sandbox/wechat_nonces.h"
#include "base/crypto.h"
#include <stdlib.h>

#define TABLE_BITS 18
#define TABLE_SIZE (1u << TABLE_BITS)
#define TABLE_MOST (TABLE_SIZE / 4 * 3)
#define AGE_MS     (2 * 300 * INT64_C(1000)) // from five minutes too early to five minutes too late

struct table {
    uint64_t hashes[TABLE_SIZE]; // 0: free
    unsigned n;
};

struct wechat_nonces {
    struct table *young, *old;
    int64_t turned_ms;
};

struct wechat_nonces *wechat_nonces_new(void)
{
    struct wechat_nonces *n = calloc(1, sizeof *n);
    if (!n) return NULL;
    n->young = calloc(1, sizeof *n->young);
    n->old = calloc(1, sizeof *n->old);
    if (n->young && n->old) return n;
    wechat_nonces_free(n);
    return NULL;
}

void wechat_nonces_free(struct wechat_nonces *n)
{
    if (!n) return;
    free(n->young);
    free(n->old);
    free(n);
}

// Where the hash is, or the free place it would be at.
static uint64_t *find(struct table *t, uint64_t hash)
{
    uint64_t at = hash >> (64 - TABLE_BITS);
    while (t->hashes[at] && t->hashes[at] != hash)
        at = (at + 1) % TABLE_SIZE;
    return &t->hashes[at];
}

static void turn(struct wechat_nonces *n, int64_t real_ms)
{
    struct table *t = n->old;
    if (t->n) memset(t, 0, sizeof *t);
    n->old = n->young;
    n->young = t;
    n->turned_ms = real_ms;
}

bool wechat_nonces_take(struct wechat_nonces *n, struct str sign_text, int64_t real_ms)
{
    uint8_t digest[32];
    uint64_t hash;
    crypto_sha256(sign_text, digest);
    memcpy(&hash, digest, sizeof hash);
    hash |= 1; // never 0
    if (real_ms - n->turned_ms > AGE_MS || n->young->n == TABLE_MOST) turn(n, real_ms);
    uint64_t *place = find(n->young, hash);
    if (*place || *find(n->old, hash)) return false;
    *place = hash;
    n->young->n++;
    return true;
}
