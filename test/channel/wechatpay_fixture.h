// SPDX-License-Identifier: Apache-2.0
// What the tests of the WeChat Pay channel share: both sides' keys, and WeChat Pay's side of the wire. The merchant's
// pair and the platform's public-key pair are the fixed ones of keys.h; certificates are made afresh.
#ifndef TILL_TEST_CHANNEL_WECHATPAY_FIXTURE_H
#define TILL_TEST_CHANNEL_WECHATPAY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka needs the four above first
#include <cmocka.h>

#include "channel/wechatpay_wire.h"

#define PAYMENT_KEY UINT64_C(0x0c5a1b2c3d4e5f60)
#define NUMBER_KEY  UINT64_C(0x0c5a1b2c3d4e5f99)
#define PAYMENT_NO  "0rpgv5gymwqv0kj329159139epk9c" // their texts under the fixture's secret
#define NUMBER_NO   "0rpgv5gymwqwsgpptafkdgt24tk9e"
#define MCHID       "1900000001"
#define APPID       "wx0123456789abcdef"
#define SERIAL      "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
#define PUBLIC_ID   "PUB_KEY_ID_0119000000012026112300001234567890"
#define APIV3_KEY   "0123456789abcdef0123456789ABCDEF"
#define BASE_URL    "https://api.example"
#define NOTIFY_URL  "https://shop.example/notify/wechatpay"
#define REAL_MS     INT64_C(1795398600000) // 2026-11-23 09:50:00 in Beijing
#define REAL_S      "1795398600"
#define EXPIRES_MS  INT64_C(1795399500000) // 2026-11-23 10:05:00 there

// One that signs: WeChat Pay's public-key pair, or a certificate.
struct signer {
    char serial[WECHATPAY_SERIAL_MAX + 1];
    struct crypto_key *key;
    struct buf pem; // of a certificate
};
// A certificate of its own pair; serial of 40 capitals. `days` from now, negative: it has ended.
struct signer signer_make(const char *serial, int days);
void signer_free(struct signer *s);

struct wechatpay_fixture {
    struct wechatpay_app app; // holds the public key, no certificate
    struct crypto_key *merchant_private, *merchant_public;
    struct signer platform; // signs as PUBLIC_ID
};
extern struct wechatpay_fixture wx; // made by wx_setup()

int wx_setup(void **state);
int wx_teardown(void **state);

struct call wx_call(enum call_method method);

// `text` with $N replaced by PAYMENT_NO and $R by NUMBER_NO.
void wx_expand(const char *text, struct buf *out);

// The four headers of a message, as lines "Name: value\r\n"; each may be changed before they are written.
struct headers {
    const char *serial, *nonce;
    char timestamp[32];
    struct buf signature;
};
struct headers headers_sign(const struct signer *s, int64_t real_ms, struct str body);
void headers_write(const struct headers *h, struct buf *out);
void headers_free(struct headers *h);

// AES-256-GCM with the APIv3 key (or another), in base64, as WeChat Pay seals resources.
void wx_seal(const char *key, const char *nonce, const char *associated, struct str plain, struct buf *base64);

#endif
