// SPDX-License-Identifier: Apache-2.0
#include "channel/wechatpay_keys.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct platform_keys {
    char public_id[WECHATPAY_SERIAL_MAX + 1]; // "": there is none; fixed, as its key
    struct crypto_key *public_key;
    pthread_rwlock_t lock;
    struct platform_certs certs;
};

void platform_certs_free(struct platform_certs *certs)
{
    for (unsigned i = 0; i < certs->n; i++)
        crypto_key_free(certs->cert[i].key);
    certs->n = 0;
}

struct platform_keys *platform_keys_new(const char *public_id, struct crypto_key *public_key)
{
    struct platform_keys *k = calloc(1, sizeof *k);
    if (!k) return NULL;
    (void)snprintf(k->public_id, sizeof k->public_id, "%s", public_id);
    k->public_key = public_key;
    pthread_rwlock_init(&k->lock, NULL);
    return k;
}

void platform_keys_free(struct platform_keys *k)
{
    if (!k) return;
    platform_certs_free(&k->certs);
    crypto_key_free(k->public_key);
    pthread_rwlock_destroy(&k->lock);
    free(k);
}

static const struct crypto_key *cert_key(const struct platform_certs *certs, struct str serial, int64_t real_ms)
{
    for (unsigned i = 0; i < certs->n; i++)
        if (str_eq(serial, str_of(certs->cert[i].serial)) && real_ms <= certs->cert[i].until_ms)
            return certs->cert[i].key;
    return NULL;
}

// With the lock held.
static const struct crypto_key *key_of(const struct platform_keys *k, const struct platform_certs *extra,
                                       struct str serial, int64_t real_ms)
{
    if (k->public_id[0] && str_eq(serial, str_of(k->public_id))) return k->public_key;
    const struct crypto_key *key = cert_key(&k->certs, serial, real_ms);
    return key || !extra ? key : cert_key(extra, serial, real_ms);
}

enum key_word platform_keys_verify(struct platform_keys *k, const struct platform_certs *extra, struct str serial,
                                   struct str signed_text, struct str signature, int64_t real_ms)
{
    pthread_rwlock_rdlock(&k->lock);
    const struct crypto_key *key = key_of(k, extra, serial, real_ms);
    bool verifies = key && crypto_rsa2_verify(key, signed_text, signature);
    pthread_rwlock_unlock(&k->lock);
    return verifies ? KEY_VERIFIES : key ? KEY_DENIES : KEY_UNKNOWN;
}

void platform_keys_install(struct platform_keys *k, struct platform_certs *certs)
{
    if (certs->n == 0) return;
    pthread_rwlock_wrlock(&k->lock);
    struct platform_certs before = k->certs;
    k->certs = *certs;
    pthread_rwlock_unlock(&k->lock);
    platform_certs_free(&before);
    certs->n = 0;
}

void platform_keys_serial(struct platform_keys *k, int64_t real_ms, char serial[WECHATPAY_SERIAL_MAX + 1])
{
    (void)snprintf(serial, WECHATPAY_SERIAL_MAX + 1, "%s", k->public_id);
    if (serial[0]) return;
    int64_t last_ms = real_ms - 1;
    pthread_rwlock_rdlock(&k->lock);
    for (unsigned i = 0; i < k->certs.n; i++) {
        const struct platform_cert *c = &k->certs.cert[i];
        if (c->until_ms <= last_ms) continue;
        last_ms = c->until_ms;
        memcpy(serial, c->serial, sizeof c->serial);
    }
    pthread_rwlock_unlock(&k->lock);
}

bool platform_keys_any(struct platform_keys *k, int64_t real_ms)
{
    char serial[WECHATPAY_SERIAL_MAX + 1];
    platform_keys_serial(k, real_ms, serial);
    return serial[0] != 0;
}
