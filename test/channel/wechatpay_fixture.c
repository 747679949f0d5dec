// SPDX-License-Identifier: Apache-2.0
#include "wechatpay_fixture.h"
#include "keys.h"
#include <inttypes.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>

struct wechatpay_fixture wx;

static const uint8_t SECRET[ID_SECRET_SIZE] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

// --- Signers

static void certificate_write(EVP_PKEY *key, const char *serial, int days, struct buf *pem)
{
    X509 *x = X509_new();
    BIGNUM *n = NULL;
    BIO *out = BIO_new(BIO_s_mem());
    char *p;
    assert_true(BN_hex2bn(&n, serial) > 0);
    BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
    X509_gmtime_adj(X509_getm_notBefore(x), -100 * 86400);
    X509_gmtime_adj(X509_getm_notAfter(x), days * 86400L);
    X509_set_pubkey(x, key);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_X509(out, x), 1);
    long size = BIO_get_mem_data(out, &p);
    buf_add(pem, p, (size_t)size);
    BIO_free(out);
    BN_free(n);
    X509_free(x);
}

struct signer signer_make(const char *serial, int days)
{
    struct signer s = {0};
    struct buf pkcs8 = {0}, pkcs1 = {0}, spki = {0};
    char why[160];
    (void)snprintf(s.serial, sizeof s.serial, "%s", serial);
    assert_true(crypto_rsa_generate(&pkcs8, &pkcs1, &spki));
    s.key = crypto_private_key_parse(buf_view(&pkcs8), why);
    BIO *in = BIO_new_mem_buf(pkcs8.p, (int)pkcs8.n);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
    certificate_write(key, serial, days, &s.pem);
    EVP_PKEY_free(key);
    BIO_free(in);
    buf_free(&pkcs8);
    buf_free(&pkcs1);
    buf_free(&spki);
    return s;
}

void signer_free(struct signer *s)
{
    crypto_key_free(s->key);
    buf_free(&s->pem);
}

// --- Setup

int wx_setup(void **state)
{
    char why[160];
    (void)state;
    wx.merchant_private = crypto_private_key_parse(str_of(APP_PRIVATE_PEM), why);
    wx.merchant_public = crypto_public_key_parse(str_of(APP_PUBLIC_PEM), why);
    wx.platform.key = crypto_private_key_parse(str_of(ALIPAY_PRIVATE_PEM), why);
    (void)snprintf(wx.platform.serial, sizeof wx.platform.serial, "%s", PUBLIC_ID);
    struct crypto_key *public_key = crypto_public_key_parse(str_of(ALIPAY_PUBLIC_PEM), why);
    wx.app = (struct wechatpay_app){.base_url = BASE_URL,
                                    .mchid = MCHID,
                                    .appid = APPID,
                                    .serial = SERIAL,
                                    .notify_url = NOTIFY_URL,
                                    .oauth_url = "https://oauth.example",
                                    .app_secret = "s3cret&more",
                                    .merchant_key = wx.merchant_private,
                                    .keys = platform_keys_new(PUBLIC_ID, public_key)};
    memcpy(wx.app.apiv3_key, APIV3_KEY, CRYPTO_GCM_KEY);
    memcpy(wx.app.secret, SECRET, sizeof SECRET);
    return wx.merchant_private && wx.merchant_public && wx.platform.key && public_key && wx.app.keys ? 0 : -1;
}

int wx_teardown(void **state)
{
    (void)state;
    platform_keys_free(wx.app.keys);
    crypto_key_free(wx.merchant_private);
    crypto_key_free(wx.merchant_public);
    signer_free(&wx.platform);
    return 0;
}

struct call wx_call(enum call_method method)
{
    return (struct call){
        .channel = CHANNEL_WECHATPAY,
        .method = method,
        .product = PRODUCT_QR,
        .payment_key = PAYMENT_KEY,
        .refund_key = 77,
        .number_key = NUMBER_KEY,
        .amount_fen = method == CALL_REFUND || method == CALL_REFUND_QUERY ? 500 : 1234,
        .total_fen = 1234,
        .expires_ms = EXPIRES_MS,
    };
}

void wx_expand(const char *text, struct buf *out)
{
    for (; *text; text++) {
        if (text[0] == '$' && (text[1] == 'N' || text[1] == 'R'))
            buf_z(out, *++text == 'N' ? PAYMENT_NO : NUMBER_NO);
        else
            buf_char(out, *text);
    }
}

// --- Headers

struct headers headers_sign(const struct signer *s, int64_t real_ms, struct str body)
{
    struct headers h = {.serial = s->serial, .nonce = "c5ac7061fccab6bf3e254dcf98995b8c"};
    struct buf text = {0};
    (void)snprintf(h.timestamp, sizeof h.timestamp, "%" PRId64, real_ms / 1000);
    buf_printf(&text, "%s\n%s\n%.*s\n", h.timestamp, h.nonce, (int)body.n, body.n ? body.p : "");
    assert_true(crypto_rsa2_sign(s->key, buf_view(&text), &h.signature));
    buf_free(&text);
    return h;
}

void headers_write(const struct headers *h, struct buf *out)
{
    buf_printf(out,
               "Wechatpay-Serial: %s\r\nWechatpay-Nonce: %s\r\nWechatpay-Timestamp: %s\r\n"
               "Wechatpay-Signature: %.*s\r\n",
               h->serial, h->nonce, h->timestamp, (int)h->signature.n, h->signature.n ? h->signature.p : "");
}

void headers_free(struct headers *h)
{
    buf_free(&h->signature);
}

// --- Sealing

void wx_seal(const char *key, const char *nonce, const char *associated, struct str plain, struct buf *base64)
{
    struct buf sealed = {0};
    unsigned char tag[CRYPTO_GCM_TAG];
    int n = 0, rest = 0;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    assert_true(buf_reserve(&sealed, plain.n + sizeof tag + 16));
    assert_int_equal(
        EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, (const unsigned char *)key, (const unsigned char *)nonce), 1);
    if (*associated)
        assert_int_equal(EVP_EncryptUpdate(c, NULL, &n, (const unsigned char *)associated, (int)strlen(associated)), 1);
    assert_int_equal(EVP_EncryptUpdate(c, (unsigned char *)sealed.p, &n, (const unsigned char *)plain.p, (int)plain.n),
                     1);
    assert_int_equal(EVP_EncryptFinal_ex(c, (unsigned char *)sealed.p + n, &rest), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, sizeof tag, tag), 1);
    EVP_CIPHER_CTX_free(c);
    sealed.n = (size_t)(n + rest);
    buf_add(&sealed, tag, sizeof tag);
    crypto_base64(buf_view(&sealed), base64);
    buf_free(&sealed);
}
