// SPDX-License-Identifier: Apache-2.0
// Strangers' bytes as an answer of WeChat Pay. An unsigned success is unknown, always. The first byte chooses what the
// body is signed with (nothing, the platform's key) and whether it is a success, the second the method; the rest is
// the body. What is said behind a good signature must be consistent. The same bytes are read as a list of
// certificates and as the answer of the OAuth exchange.
#include "channel/wechatpay_wire.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

#define REAL_MS INT64_C(1795398600000)

static struct crypto_key *signer;
static struct wechatpay_app app = {
    .base_url = "", .mchid = "1", .appid = "1", .serial = "1", .notify_url = "", .oauth_url = "", .app_secret = ""};

// By whatever runs this, libFuzzer or replay.c.
static void prepare(void)
{
    struct buf pkcs8 = {0}, pkcs1 = {0}, spki = {0};
    char why[160];
    if (signer) return;
    require(crypto_rsa_generate(&pkcs8, &pkcs1, &spki));
    signer = crypto_private_key_parse(buf_view(&pkcs8), why);
    app.keys = platform_keys_new("PUB_KEY_ID_1", crypto_public_key_parse(buf_view(&spki), why));
    memcpy(app.apiv3_key, "0123456789abcdef0123456789ABCDEF", CRYPTO_GCM_KEY);
    require(signer && app.keys);
    buf_free(&pkcs8);
    buf_free(&pkcs1);
    buf_free(&spki);
}

static void check(const struct answer *a)
{
    require(a->outcome == OUTCOME_DONE || a->outcome == OUTCOME_REFUSED || a->outcome == OUTCOME_UNKNOWN);
    require(a->outcome != OUTCOME_UNKNOWN || a->fact == FACT_NONE);
    require(a->outcome != OUTCOME_DONE || a->fact != FACT_NONE);
    require((a->fact == FACT_PAID) == (a->captured_fen > 0));
    require(a->captured_fen <= AMOUNT_MAX_FEN);
    require(memchr(a->detail, 0, sizeof a->detail));
    require(memchr(a->provider_trade_no, 0, sizeof a->provider_trade_no));
    require((a->fact == FACT_CODE) == (a->code.n > 0));
}

static void sign(struct str body, struct buf *headers)
{
    struct buf text = {0}, signature = {0};
    buf_printf(&text, "%" PRId64 "\nn\n", REAL_MS / 1000);
    buf_str(&text, body);
    buf_char(&text, '\n');
    require(crypto_rsa2_sign(signer, buf_view(&text), &signature));
    buf_printf(headers,
               "Wechatpay-Timestamp: %" PRId64 "\r\nWechatpay-Nonce: n\r\nWechatpay-Serial: PUB_KEY_ID_1\r\n"
               "Wechatpay-Signature: %.*s\r\n",
               REAL_MS / 1000, (int)signature.n, signature.p);
    buf_free(&text);
    buf_free(&signature);
}

static void read_certificates(const struct call_reply *reply)
{
    struct platform_certs certs;
    char why[64];
    enum certificates_word word = wechatpay_certificates(&app, reply, REAL_MS, &certs, why);
    require((word == CERTIFICATES_NEW) == (certs.n > 0));
    require(memchr(why, 0, sizeof why));
    platform_certs_free(&certs);
}

static void read_openid(const struct call_reply *reply)
{
    struct buf text = {0};
    struct str openid = {0};
    char why[64];
    if (wechatpay_openid_read(reply, &openid, &text, why)) require(openid.n > 0 && openid.n <= PAYER_MAX);
    buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int statuses[] = {200, 204, 202, 400, 404, 429, 500};
    struct answer a = {0};
    struct buf headers = {0}, text = {0};
    if (size < 2) return 0;
    prepare();
    bool is_signed = data[0] & 1;
    int status = statuses[(data[0] >> 1) % 7];
    struct str body = {(const char *)data + 2, size - 2};
    struct call call = {.method = CALL_CREATE + data[1] % 6,
                        .product = (enum product)(data[1] / 6 % 3),
                        .amount_fen = 100,
                        .total_fen = 100};
    if (is_signed) sign(body, &headers);
    struct call_reply reply = {.status = status, .headers = buf_view(&headers), .body = body};
    enum seal_word word = wechatpay_answer(&app, &call, &reply, REAL_MS, &a, &text);
    require(word == (is_signed ? SEAL_GOOD : SEAL_ABSENT));
    require(is_signed || status >= 300 || a.outcome == OUTCOME_UNKNOWN);
    check(&a);
    read_certificates(&reply);
    read_openid(&reply);
    buf_free(&headers);
    buf_free(&text);
    return 0;
}
