// SPDX-License-Identifier: Apache-2.0
// Certificate mode's part of the key directory: a root of the sandbox's own, the application's certificate and
// Alipay's, both signed by it, for the keys that are there already. The root's key is thrown away.
#ifndef TILL_SANDBOX_ALIPAY_CA_H
#define TILL_SANDBOX_ALIPAY_CA_H

#include "base/cert_sn.h"
#include "base/crypto.h"

#define APP_CERT_FILE         "app_cert.pem"
#define ALIPAY_CERT_FILE      "alipay_cert.pem"
#define ALIPAY_ROOT_CERT_FILE "alipay_root_cert.pem" // two roots and one of another kind, as Alipay's own file has them

struct alipay_ca {
    char app_sn[CERT_SN_SIZE], alipay_sn[CERT_SN_SIZE], root_sn[CERT_SNS_SIZE];
    struct buf alipay_pem;
};

// Reads the three files, making them first when they are not all there or are of other keys. Takes the public halves
// from app_public_key.pem and alipay_public_key.pem. False with a reason.
bool alipay_ca_open(struct alipay_ca *ca, const char *dir, char why[200]);
void alipay_ca_close(struct alipay_ca *ca);

#endif
