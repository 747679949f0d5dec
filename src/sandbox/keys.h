// SPDX-License-Identifier: Apache-2.0
// The sandbox's key directory: four distinct RSA pairs (application, Alipay, merchant, WeChat Pay platform), the two
// self-signed certificates, Alipay's certificates (alipay_ca.h), the APIv3 key, the app's secret, the test bank's and
// sandbox.json. Private halves and secrets are readable by the owner only.
#ifndef TILL_SANDBOX_KEYS_H
#define TILL_SANDBOX_KEYS_H

#include "base/crypto.h"
#include "sandbox/alipay_ca.h"
#include "sandbox/sandbox.h"
#include <stdint.h>

struct keys {
    struct sandbox_identity identity;
    struct crypto_key *app_public;     // verifies what merchants send
    struct crypto_key *app_private;    // signs what the `forge` fault sends: the wrong key
    struct crypto_key *alipay_private; // signs what the Alipay side answers and notifies
    struct alipay_ca alipay_ca;

    struct crypto_key *merchant_public, *merchant_private; // as the application's, with WeChat Pay
    struct crypto_key *platform_private;                   // signs what WeChat Pay answers and notifies
    char apiv3_key[33], app_secret[33], fake_secret[33];
    struct buf platform_cert;            // PEM
    int64_t cert_from_ms, cert_until_ms; // its validity
};

// Loads the directory, making it first when it is absent or empty. A directory that holds other things and no
// sandbox.json is refused: nothing that might be somebody's real key is overwritten. False with a reason.
bool keys_open(struct keys *k, const char *dir, char why[200]);
void keys_close(struct keys *k);
// Removes the files keys_open() makes, and nothing else. False with a reason.
bool keys_forget(const char *dir, char why[200]);

#endif
