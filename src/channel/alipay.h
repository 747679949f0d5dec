// SPDX-License-Identifier: Apache-2.0
// The Alipay channel: face-to-face QR codes and pages for phones, through the open-platform gateway.
#ifndef TILL_CHANNEL_ALIPAY_H
#define TILL_CHANNEL_ALIPAY_H

#include "base/id.h"
#include "channel/caller.h"

struct alipay_options {  // all borrowed for the time of alipay_open(); NULL is as good as ""
    const char *gateway; // "https://openapi.alipay.com/gateway.do"
    const char *app_id;
    const char *private_key_file; // the application's
    // key mode
    const char *alipay_public_key_file; // Alipay's, not the application's own
    // or certificate mode: the application's certificate, Alipay's, and its roots
    const char *app_cert_file, *alipay_cert_file, *root_cert_file;
    const char *seller_id;  // "": not checked in notifications
    const char *notify_url; // "": none is sent
};

// `sink` is copied. `secret` is the store's: it makes the numbers and tells ours from others. The caller must
// outlive the channel. NULL with a reason to be read by whoever wrote the configuration; it names options,
// never key material.
struct channel *alipay_open(const struct alipay_options *options, struct caller *caller, struct answer_sink *sink,
                            const uint8_t secret[ID_SECRET_SIZE], char why[200]);

// What its messages are made with and judged by (alipay_wire.h); `c` is one that alipay_open() gave.
struct alipay_app;
const struct alipay_app *alipay_app_of(const struct channel *c);

#endif
