// SPDX-License-Identifier: Apache-2.0
// Strangers' bytes as a notification of WeChat Pay. Nothing that its key did not sign may pass for anything but
// malformed or forged. The first byte chooses how far in the rest of the input begins: as it comes, signed as a whole,
// or sealed with the APIv3 key and then signed, so that what is behind each is reached. A fact of money must be a
// positive amount of a number of ours.
#include "channel/wechatpay_wire.h"
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

#define REAL_MS   INT64_C(1795398600000)
#define REAL_S    "1795398600"
#define APIV3_KEY "0123456789abcdef0123456789ABCDEF"
#define NONCE     "fdasflkja484"

static struct crypto_key *signer;
static struct wechatpay_app app = {
    .base_url = "", .mchid = "1", .appid = "1", .serial = "1", .notify_url = "", .oauth_url = "", .app_secret = ""};

static void prepare(void)
{
    struct buf pkcs8 = {0}, pkcs1 = {0}, spki = {0};
    char why[160];
    if (signer) return;
    require(crypto_rsa_generate(&pkcs8, &pkcs1, &spki));
    signer = crypto_private_key_parse(buf_view(&pkcs8), why);
    app.keys = platform_keys_new("PUB_KEY_ID_1", crypto_public_key_parse(buf_view(&spki), why));
    memcpy(app.apiv3_key, APIV3_KEY, CRYPTO_GCM_KEY);
    require(signer && app.keys);
    buf_free(&pkcs8);
    buf_free(&pkcs1);
    buf_free(&spki);
}

static void check(enum notice_verdict v, const struct notice *n)
{
    require(memchr(n->why, 0, sizeof n->why) && memchr(n->number, 0, sizeof n->number));
    require((n->why[0] == 0) == (v == NOTICE_GOOD));
    require((n->answer.outcome == OUTCOME_DONE) == (v == NOTICE_GOOD));
    require(v == NOTICE_GOOD || n->answer.fact == FACT_NONE);
    bool money = n->answer.fact == FACT_PAID || n->answer.fact == FACT_PAID_SOME_REFUNDED;
    require(n->answer.fact == FACT_NONE || money);
    // The case of a strange one shows its money as far as that could be read.
    require(v == NOTICE_STRANGE || money == (n->answer.captured_fen > 0));
    require(n->answer.captured_fen <= AMOUNT_MAX_FEN);
}

static void seal(struct str plain, struct buf *base64)
{
    struct buf sealed = {0};
    unsigned char tag[CRYPTO_GCM_TAG];
    int n = 0, rest = 0;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    require(c && buf_reserve(&sealed, plain.n + sizeof tag + 16));
    require(EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, (const unsigned char *)APIV3_KEY,
                               (const unsigned char *)NONCE) == 1);
    require(EVP_EncryptUpdate(c, (unsigned char *)sealed.p, &n, (const unsigned char *)plain.p, (int)plain.n) == 1);
    require(EVP_EncryptFinal_ex(c, (unsigned char *)sealed.p + n, &rest) == 1);
    require(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, sizeof tag, tag) == 1);
    EVP_CIPHER_CTX_free(c);
    sealed.n = (size_t)n;
    buf_add(&sealed, tag, sizeof tag);
    crypto_base64(buf_view(&sealed), base64);
    buf_free(&sealed);
}

// `is_payment`: under the event of a payment, else of a refund.
static void wrap(struct str plain, bool is_payment, struct buf *body)
{
    buf_printf(body,
               "{\"event_type\":\"%s\",\"resource\":{\"algorithm\":\"AEAD_AES_256_GCM\",\"nonce\":\"" NONCE
               "\",\"associated_data\":\"\",\"ciphertext\":\"",
               is_payment ? "TRANSACTION.SUCCESS" : "REFUND.SUCCESS");
    seal(plain, body);
    buf_z(body, "\"}}");
}

static void judge_signed(struct str body)
{
    struct notice n;
    struct buf text = {0}, signature = {0};
    enum seal_word word;
    buf_z(&text, REAL_S "\nn\n");
    buf_str(&text, body);
    buf_char(&text, '\n');
    require(crypto_rsa2_sign(signer, buf_view(&text), &signature));
    struct wechatpay_seal s = {STR(REAL_S), STR("n"), STR("PUB_KEY_ID_1"), buf_view(&signature)};
    enum notice_verdict v = wechatpay_notice(&app, &s, body, REAL_MS, &n, &word);
    require(body.n == 0 || body.n > WECHATPAY_NOTICE_MAX || word == SEAL_GOOD);
    check(v, &n);
    buf_free(&text);
    buf_free(&signature);
}

static void judge_stranger(struct str in)
{
    struct notice n;
    enum seal_word word;
    size_t half = in.n / 2;
    struct str front = {in.p, half}, back = {in.p + half, in.n - half};
    struct wechatpay_seal s = {STR(REAL_S), front, STR("PUB_KEY_ID_1"), front};
    enum notice_verdict v = wechatpay_notice(&app, &s, back, REAL_MS, &n, &word);
    require(v == NOTICE_MALFORMED || v == NOTICE_FORGED);
    check(v, &n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    struct str in = {(const char *)data + 1, size - 1};
    struct buf body = {0};
    prepare();
    switch (data[0] % 4) {
    case 0: judge_stranger(in); break;
    case 1: judge_signed(in); break;
    default: wrap(in, data[0] % 4 == 2, &body); judge_signed(buf_view(&body));
    }
    buf_free(&body);
    return 0;
}
