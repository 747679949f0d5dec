// SPDX-License-Identifier: Apache-2.0
// Strangers' bytes as a notification. Nothing that was not signed by Alipay's key may pass for anything but
// malformed or forged. Half of the runs go on behind the signature: the input is then signed first, so that
// the fields behind it are reached too; a fact of money must then be a positive amount of a number of ours.
#include "channel/alipay_wire.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

static struct crypto_key *signer;
static struct alipay_app app = {.gateway = "", .app_id = "1", .seller_id = "", .notify_url = ""};

// By whatever runs this, libFuzzer or replay.c.
static void prepare(void)
{
    struct buf pkcs8 = {0}, pkcs1 = {0}, spki = {0};
    char why[160];
    if (signer) return;
    require(crypto_rsa_generate(&pkcs8, &pkcs1, &spki));
    signer = crypto_private_key_parse(buf_view(&pkcs8), why);
    app.alipay_key = crypto_public_key_parse(buf_view(&spki), why);
    require(signer && app.alipay_key);
    buf_free(&pkcs8);
    buf_free(&pkcs1);
    buf_free(&spki);
}

static void check(enum notice_verdict v, const struct notice *n)
{
    bool money = n->answer.fact == FACT_PAID || n->answer.fact == FACT_PAID_AND_REFUNDED ||
                 n->answer.fact == FACT_PAID_SOME_REFUNDED;
    require(memchr(n->why, 0, sizeof n->why) && memchr(n->number, 0, sizeof n->number));
    require((n->why[0] == 0) == (v == NOTICE_GOOD));
    require((n->answer.outcome == OUTCOME_DONE) == (v == NOTICE_GOOD));
    require(v == NOTICE_GOOD || n->answer.fact == FACT_NONE);
    // The case of a strange one shows its money as far as that could be read.
    require(v == NOTICE_STRANGE || money == (n->answer.captured_fen > 0));
    require(n->answer.captured_fen <= AMOUNT_MAX_FEN);
}

// The input is a signed text: cut at & and =, encoded, and sent with its signature.
static void signed_body(struct str text, struct buf *body)
{
    struct buf sign = {0};
    require(crypto_rsa2_sign(signer, text, &sign));
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '&' || text.p[i] == '=')
            buf_char(body, text.p[i]);
        else
            buf_printf(body, "%%%02X", (unsigned)(unsigned char)text.p[i]);
    }
    buf_z(body, "&sign_type=RSA2&sign=");
    for (size_t i = 0; i < sign.n; i++) {
        if (sign.p[i] == '+')
            buf_z(body, "%2B");
        else
            buf_char(body, sign.p[i]);
    }
    buf_free(&sign);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct notice n;
    if (size == 0) return 0;
    prepare();
    bool behind = data[0] & 1;
    struct str in = {(const char *)data + 1, size - 1};
    if (!behind) {
        enum notice_verdict v = alipay_notice(&app, in, &n);
        require(v == NOTICE_MALFORMED || v == NOTICE_FORGED);
        check(v, &n);
        return 0;
    }
    struct buf body = {0};
    if (in.n > 4096) return 0;
    signed_body(in, &body);
    check(alipay_notice(&app, buf_view(&body), &n), &n);
    buf_free(&body);
    return 0;
}
