// SPDX-License-Identifier: Apache-2.0
// The sandbox's key directory: four distinct RSA pairs (application, Alipay, merchant, WeChat Pay platform), the two
// self-signed certificates, Alipay's certificates (alipay_ca.h), the APIv3 key and sandbox.json. Private halves are
// readable by the owner only.
#ifndef TILL_SANDBOX_KEYS_H
#define TILL_SANDBOX_KEYS_H

#include "base/crypto.h"
#include "sandbox/alipay_ca.h"
#include "sandbox/sandbox.h"

struct keys {
    struct sandbox_identity identity;
    struct crypto_key *app_public;     // verifies what merchants send
    struct crypto_key *app_private;    // signs what the `forge` fault sends: the wrong key
    struct crypto_key *alipay_private; // signs what the Alipay side answers and notifies
    struct alipay_ca alipay_ca;
};

// Loads the directory, making it first when it is absent or empty. A directory that holds other things and no
// sandbox.json is refused: nothing that might be somebody's real key is overwritten. False with a reason.
bool keys_open(struct keys *k, const char *dir, char why[200]);
void keys_close(struct keys *k);
// Removes the files keys_open() makes, and nothing else. False with a reason.
bool keys_forget(const char *dir, char why[200]);

#endif
