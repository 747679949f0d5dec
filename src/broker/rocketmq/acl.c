// SPDX-License-Identifier: Apache-2.0
#include "base/crypto.h"
#include "broker/rocketmq/wire.h"
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdlib.h>

#define SHA1_SIZE 20

struct acl {
    EVP_MAC_CTX *mac; // keyed once: keying costs more than signing
    struct buf access_key, signature;
};

static bool mac_prepare(struct acl *a, struct str secret_key)
{
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (!hmac) return false;
    a->mac = EVP_MAC_CTX_new(hmac);
    EVP_MAC_free(hmac);
    char digest[] = "SHA1";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    return a->mac && EVP_MAC_init(a->mac, (const unsigned char *)secret_key.p, secret_key.n, params) == 1;
}

struct acl *acl_new(struct str access_key, struct str secret_key)
{
    struct acl *a = calloc(1, sizeof *a);
    if (!a) return NULL;
    buf_str(&a->access_key, access_key);
    if (secret_key.n > 0 && !a->access_key.failed && mac_prepare(a, secret_key)) return a;
    acl_free(a);
    return NULL;
}

void acl_free(struct acl *a)
{
    if (!a) return;
    EVP_MAC_CTX_free(a->mac);
    buf_free(&a->access_key);
    buf_free(&a->signature);
    free(a);
}

static int key_order(struct str a, struct str b)
{
    int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

// The order on the wire is free, so the fields themselves are sorted: nearly in order, and few.
static void sort_fields(struct wire_request *r)
{
    for (unsigned i = 1; i < r->n_fields; i++) {
        struct wire_field f = r->fields[i];
        unsigned k = i;
        for (; k > 0 && key_order(r->fields[k - 1].key, f.key) > 0; k--)
            r->fields[k] = r->fields[k - 1];
        r->fields[k] = f;
    }
}

static bool mac_add(struct acl *a, struct str s)
{
    return s.n == 0 || EVP_MAC_update(a->mac, (const unsigned char *)s.p, s.n) == 1;
}

bool acl_sign(struct acl *a, struct wire_request *r)
{
    unsigned char digest[SHA1_SIZE];
    size_t n = 0;
    wire_put(r, "AccessKey", buf_view(&a->access_key));
    sort_fields(r);
    bool ok = EVP_MAC_init(a->mac, NULL, 0, NULL) == 1;
    for (unsigned i = 0; ok && i < r->n_fields; i++)
        ok = mac_add(a, r->fields[i].value);
    ok = ok && mac_add(a, r->body) && EVP_MAC_final(a->mac, digest, &n, sizeof digest) == 1 && n == sizeof digest;
    if (!ok) return false;
    buf_clear(&a->signature);
    crypto_base64((struct str){(const char *)digest, n}, &a->signature);
    if (a->signature.failed) return false;
    wire_put(r, "Signature", buf_view(&a->signature));
    return true;
}
