// SPDX-License-Identifier: Apache-2.0
// The short name that Alipay's two ends call a certificate by: md5, in lower-case hexadecimal, of the issuer's name
// (RFC 2253: the last part first) followed by the serial number in decimal. A name, not a proof: whoever has the key is
// known by his signatures.
#ifndef TILL_BASE_CERT_SN_H
#define TILL_BASE_CERT_SN_H

#include "base/buf.h"

#define CERT_SN_SIZE  33  // of one, with NUL
#define CERT_SNS_SIZE 331 // of up to ten, joined by '_'

// Of the first certificate of a PEM text. False with a reason.
bool cert_sn(struct str pem, char out[CERT_SN_SIZE], char why[160]);
// Of a file of roots: each that is signed with RSA, in their order; others are passed over. At least one.
bool cert_sn_of_roots(struct str pem, char out[CERT_SNS_SIZE], char why[160]);

// The text of a file, at most 64 KiB.
bool cert_load(const char *path, struct buf *pem, char why[160]);

#endif
