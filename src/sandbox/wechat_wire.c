// SPDX-License-Identifier: Apache-2.0
#include "sandbox/wechat_wire.h"
#include "base/timetext.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#define SCHEME      "WECHATPAY2-SHA256-RSA2048 "
#define NONCE_CHARS 12u // of the cipher
#define TAG_BYTES   16u

// --- Requests

static struct str *auth_place(struct wechat_auth *a, struct str name)
{
    if (str_eq(name, STR("mchid"))) return &a->mchid;
    if (str_eq(name, STR("serial_no"))) return &a->serial;
    if (str_eq(name, STR("nonce_str"))) return &a->nonce;
    if (str_eq(name, STR("timestamp"))) return &a->timestamp;
    if (str_eq(name, STR("signature"))) return &a->signature;
    return NULL;
}

static struct str take(struct str *rest, char end)
{
    const char *stop = rest->n ? memchr(rest->p, end, rest->n) : NULL;
    if (!stop) return (struct str){0};
    struct str s = {rest->p, (size_t)(stop - rest->p)};
    rest->p += s.n + 1;
    rest->n -= s.n + 1;
    return s;
}

bool wechat_auth_read(struct str header, struct wechat_auth *out)
{
    *out = (struct wechat_auth){0};
    if (!str_starts(header, STR(SCHEME))) return false;
    struct str rest = {header.p + sizeof SCHEME - 1, header.n - (sizeof SCHEME - 1)};
    for (;;) {
        while (rest.n && rest.p[0] == ' ')
            rest.p++, rest.n--;
        struct str *place = auth_place(out, take(&rest, '='));
        if (!place || place->p || rest.n == 0 || rest.p[0] != '"') return false;
        rest.p++, rest.n--;
        *place = take(&rest, '"');
        if (place->n == 0) return false;
        if (rest.n == 0) break;
        if (rest.p[0] != ',') return false;
        rest.p++, rest.n--;
    }
    return out->mchid.n && out->serial.n && out->nonce.n && out->timestamp.n && out->signature.n;
}

static void line(struct buf *out, struct str s)
{
    buf_str(out, s);
    buf_char(out, '\n');
}

void wechat_sign_text(const struct wechat_auth *auth, const struct http_exchange *x, struct buf *out)
{
    line(out, x->method_text);
    line(out, x->target);
    line(out, auth->timestamp);
    line(out, auth->nonce);
    line(out, x->body);
}

// --- Answers and notices

void wechat_token(char *out, size_t n)
{
    static const char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (size_t i = 0; i < n;) {
        uint8_t random[64];
        if (!crypto_random(random, sizeof random)) abort(); // a number that repeats would be worse than no sandbox
        for (size_t k = 0; k < sizeof random && i < n; k++)
            if (random[k] < 248) out[i++] = alphabet[random[k] % 62]; // 248 is four times 62: no letter is likelier
    }
    out[n] = 0;
}

const char *wechat_serial(const struct sandbox_identity *id, bool by_public_key)
{
    return by_public_key ? id->platform_key_id : id->platform_serial;
}

bool wechat_signature_write(const struct crypto_key *key, const char *serial, struct str body, struct buf *headers)
{
    char nonce[33], now[24];
    struct buf text = {0};
    wechat_token(nonce, 32);
    int n = snprintf(now, sizeof now, "%lld", (long long)(clock_real_ms() / 1000));
    line(&text, (struct str){now, (size_t)n});
    line(&text, (struct str){nonce, 32});
    line(&text, body);
    buf_printf(headers, "Wechatpay-Timestamp: %s\r\nWechatpay-Nonce: %s\r\nWechatpay-Serial: %s\r\n", now, nonce,
               serial);
    buf_z(headers, "Wechatpay-Signature-Type: WECHATPAY2-SHA256-RSA2048\r\nWechatpay-Signature: ");
    bool ok = !text.failed && crypto_rsa2_sign(key, buf_view(&text), headers);
    buf_z(headers, "\r\n");
    buf_free(&text);
    return ok && !headers->failed;
}

static bool seal(const char key[33], const char nonce[NONCE_CHARS + 1], const char *associated_data, struct str plain,
                 struct buf *sealed)
{
    int n = 0, rest = 0;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool ok =
        c && buf_reserve(sealed, plain.n + TAG_BYTES) &&
        EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, (const unsigned char *)key, (const unsigned char *)nonce) == 1 &&
        EVP_EncryptUpdate(c, NULL, &n, (const unsigned char *)associated_data, (int)strlen(associated_data)) == 1 &&
        EVP_EncryptUpdate(c, (unsigned char *)sealed->p, &n, (const unsigned char *)plain.p, (int)plain.n) == 1 &&
        EVP_EncryptFinal_ex(c, (unsigned char *)sealed->p + n, &rest) == 1 &&
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, sealed->p + n + rest) == 1;
    if (ok) sealed->n = (size_t)(n + rest) + TAG_BYTES;
    EVP_CIPHER_CTX_free(c);
    return ok;
}

bool wechat_sealed_write(const struct keys *k, struct str plain, const char *associated_data, struct buf *out)
{
    char nonce[NONCE_CHARS + 1];
    struct buf sealed = {0}, text = {0};
    wechat_token(nonce, NONCE_CHARS);
    bool ok = plain.n < INT32_MAX / 2 && seal(k->apiv3_key, nonce, associated_data, plain, &sealed);
    if (ok) crypto_base64(buf_view(&sealed), &text);
    json_kz(out, "algorithm", "AEAD_AES_256_GCM");
    json_kstr(out, "ciphertext", buf_view(&text));
    json_kz(out, "associated_data", associated_data);
    json_kz(out, "nonce", nonce);
    ok = ok && !text.failed && !out->failed;
    buf_free(&sealed);
    buf_free(&text);
    return ok;
}

void wechat_time_write(struct buf *out, const char *name, int64_t ms)
{
    char wall[TIME_TEXT_SIZE], text[TIME_TEXT_SIZE + 8];
    time_to_beijing(ms, wall);
    wall[10] = 'T';
    (void)snprintf(text, sizeof text, "%s+08:00", wall);
    json_kz(out, name, text);
}
