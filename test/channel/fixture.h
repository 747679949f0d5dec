// SPDX-License-Identifier: Apache-2.0
// What the tests of the Alipay channel share: both sides' keys, and the gateway's side of the wire.
#ifndef TILL_TEST_CHANNEL_FIXTURE_H
#define TILL_TEST_CHANNEL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka needs the four above first
#include <cmocka.h>

#include "channel/alipay_wire.h"

#define PAYMENT_KEY UINT64_C(0x0c5a1b2c3d4e5f60)
#define NUMBER_KEY  UINT64_C(0x0c5a1b2c3d4e5f99)
#define PAYMENT_NO  "0rpgv5gymwqv0kj329159139epk9c" // their texts under the fixture's secret
#define NUMBER_NO   "0rpgv5gymwqwsgpptafkdgt24tk9e"
#define APP_ID      "2021000000000001"
#define SELLER_ID   "2088000000000007"
#define GATEWAY     "https://gateway.example/gateway.do"
#define NOTIFY_URL  "https://shop.example/notify/alipay"

struct fixture {
    struct crypto_key *app_private, *app_public, *alipay_private, *alipay_public;
    struct alipay_app app;
};
extern struct fixture fix; // made by fixture_setup()

int fixture_setup(void **state);
int fixture_teardown(void **state);

struct call fixture_call(enum call_method method);

// `text` with $N replaced by PAYMENT_NO and $R by NUMBER_NO.
void fixture_expand(const char *text, struct buf *out);
// A node as the gateway would sign it: {"<name>":<node>,"sign":"..."}.
void fixture_signed(const char *name, struct str node, struct buf *out);
void fixture_node_name(enum call_method method, char out[64]);

// A notification's fields, in pairs, ended by NULL.
#define NOTICE_FIELDS_MAX 40
struct notice_form {
    const char *name[NOTICE_FIELDS_MAX], *value[NOTICE_FIELDS_MAX];
    unsigned n;
};
struct notice_form notice_form_paid(void); // a whole good one, TRADE_SUCCESS over 12.34, without sign and sign_type
void notice_form_set(struct notice_form *f, const char *name, const char *value); // NULL: takes it out
// Signs with Alipay's key (sign_type in the signed text or not) and writes the body.
void notice_form_write(const struct notice_form *f, bool sign_type_signed, struct buf *body);
void notice_form_encode(const struct notice_form *f, struct buf *body); // as it is

#endif
