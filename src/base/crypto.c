// SPDX-License-Identifier: Apache-2.0
#include "base/crypto.h"
#include <errno.h>
#include <limits.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define KEY_TEXT_MAX    65536 // bytes of a key file; a certificate with a long chain is a tenth of it
#define RSA_BITS        2048  // what both providers issue, and the least they take
#define SIGNATURE_CHARS 4096  // base64 of the longest signature OpenSSL would verify is shorter

struct crypto_key {
    EVP_PKEY *pkey;
    bool is_private;
};

// Fetching an algorithm by name takes locks and costs more than the hash of a short text.
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256_md;

static void sha256_init(void)
{
    sha256_md = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!sha256_md) abort();
}

static const EVP_MD *sha256(void)
{
    pthread_once(&sha256_once, sha256_init);
    return sha256_md;
}

static void buf_wipe(struct buf *b)
{
    if (b->p) OPENSSL_cleanse(b->p, b->cap);
    buf_free(b);
}

static void say(char why[160], const char *reason)
{
    (void)snprintf(why, 160, "%s", reason);
}

// OpenSSL would ask a terminal.
static int no_passphrase(char *out, int size, int is_writing, void *ctx)
{
    (void)out, (void)size, (void)is_writing, (void)ctx;
    return -1;
}

// --- Reading keys

enum kind { KIND_PRIVATE, KIND_PUBLIC };

static const char *const EXPECTED[] = {
    [KIND_PRIVATE] = "expected an RSA private key: PKCS#1 or PKCS#8, as PEM or as bare base64",
    [KIND_PUBLIC] = "expected an RSA public key or a certificate, as PEM or as bare base64",
};
static const char *const MIXED_UP[] = {
    [KIND_PRIVATE] = "expected an RSA private key, but this is a public key or a certificate",
    [KIND_PUBLIC] = "expected an RSA public key or a certificate, but this is a private key",
};

static EVP_PKEY *private_of_der(const unsigned char *der, long n)
{
    const unsigned char *p = der;
    EVP_PKEY *k = d2i_AutoPrivateKey(NULL, &p, n);
    if (k && p == der + n) return k;
    EVP_PKEY_free(k);
    return NULL;
}

static EVP_PKEY *pkcs1_public_of_der(const unsigned char *der, long n)
{
    const unsigned char *p = der;
    EVP_PKEY *k = d2i_PublicKey(EVP_PKEY_RSA, NULL, &p, n);
    if (k && p == der + n) return k;
    EVP_PKEY_free(k);
    return NULL;
}

static EVP_PKEY *spki_of_der(const unsigned char *der, long n)
{
    const unsigned char *p = der;
    EVP_PKEY *k = d2i_PUBKEY(NULL, &p, n);
    if (k && p == der + n) return k;
    EVP_PKEY_free(k);
    return NULL;
}

static EVP_PKEY *certificate_of_der(const unsigned char *der, long n)
{
    const unsigned char *p = der;
    X509 *x = d2i_X509(NULL, &p, n);
    EVP_PKEY *k = x && p == der + n ? X509_get_pubkey(x) : NULL;
    X509_free(x);
    return k;
}

static EVP_PKEY *public_of_der(const unsigned char *der, long n)
{
    EVP_PKEY *k = spki_of_der(der, n);
    if (!k) k = certificate_of_der(der, n);
    return k ? k : pkcs1_public_of_der(der, n);
}

static EVP_PKEY *pkey_of_der(enum kind kind, const unsigned char *der, long n, char why[160])
{
    EVP_PKEY *k = kind == KIND_PRIVATE ? private_of_der(der, n) : public_of_der(der, n);
    if (k) return k;
    EVP_PKEY *other = kind == KIND_PRIVATE ? public_of_der(der, n) : private_of_der(der, n);
    say(why, other ? MIXED_UP[kind] : EXPECTED[kind]);
    EVP_PKEY_free(other);
    return NULL;
}

static bool is_key_block(const char *name)
{
    static const char *const names[] = {"PRIVATE KEY",    "RSA PRIVATE KEY", "PUBLIC KEY",
                                        "RSA PUBLIC KEY", "CERTIFICATE",     "ENCRYPTED PRIVATE KEY"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return false;
}

// The first block that holds a key or a certificate decides: files of several mean their first.
// The armour is taken off here, so that OpenSSL never asks a terminal for a passphrase.
static EVP_PKEY *pkey_of_pem(enum kind kind, struct str text, char why[160])
{
    EVP_PKEY *k = NULL;
    bool done = false;
    say(why, EXPECTED[kind]);
    BIO *bio = BIO_new_mem_buf(text.p, (int)text.n);
    while (bio && !done) {
        char *name = NULL, *header = NULL;
        unsigned char *der = NULL;
        long n = 0;
        if (PEM_read_bio(bio, &name, &header, &der, &n) != 1) break;
        done = is_key_block(name);
        if (done && (header[0] || strcmp(name, "ENCRYPTED PRIVATE KEY") == 0))
            say(why, "this key is protected by a passphrase: expected one that is not");
        else if (done)
            k = pkey_of_der(kind, der, n, why);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(der, (size_t)n);
    }
    BIO_free(bio);
    return k;
}

static EVP_PKEY *pkey_of_bare_base64(enum kind kind, struct str text, char why[160])
{
    struct buf compact = {0}, der = {0}; // reserved at once: growing would leave copies of the key behind
    EVP_PKEY *k = NULL;
    say(why, EXPECTED[kind]);
    if (buf_reserve(&compact, text.n + 1) && buf_reserve(&der, text.n + 1)) {
        for (size_t i = 0; i < text.n; i++)
            if (!memchr(" \t\r\n", text.p[i], 4)) buf_char(&compact, text.p[i]);
        if (compact.n > 0 && crypto_base64_decode(buf_view(&compact), &der))
            k = pkey_of_der(kind, (const unsigned char *)der.p, (long)der.n, why);
    }
    buf_wipe(&compact);
    buf_wipe(&der);
    return k;
}

static bool is_usable(const EVP_PKEY *k, char why[160])
{
    if (!EVP_PKEY_is_a(k, "RSA")) {
        say(why, "expected an RSA key, but this is another kind of key");
        return false;
    }
    if (EVP_PKEY_get_bits(k) < RSA_BITS) {
        say(why, "expected an RSA key of 2048 bits or more, but this one is shorter");
        return false;
    }
    return true;
}

static struct crypto_key *key_parse(enum kind kind, struct str text, char why[160])
{
    static const char begin[] = "-----BEGIN ";
    why[0] = 0;
    if (text.n == 0 || text.n > KEY_TEXT_MAX) {
        say(why, EXPECTED[kind]);
        return NULL;
    }
    const char *armour = memmem(text.p, text.n, begin, sizeof begin - 1);
    struct str pem = {armour, armour ? text.n - (size_t)(armour - text.p) : 0};
    EVP_PKEY *pkey = armour ? pkey_of_pem(kind, pem, why) : pkey_of_bare_base64(kind, text, why);
    struct crypto_key *k = pkey && is_usable(pkey, why) ? malloc(sizeof *k) : NULL;
    if (k) {
        *k = (struct crypto_key){pkey, kind == KIND_PRIVATE};
        why[0] = 0;
    } else {
        if (why[0] == 0) say(why, "out of memory");
        EVP_PKEY_free(pkey);
    }
    ERR_clear_error(); // the formats that were tried in vain; TLS on this thread reads the same queue
    return k;
}

struct crypto_key *crypto_private_key_parse(struct str text, char why[160])
{
    return key_parse(KIND_PRIVATE, text, why);
}

struct crypto_key *crypto_public_key_parse(struct str text, char why[160])
{
    return key_parse(KIND_PUBLIC, text, why);
}

static bool file_read(const char *path, struct buf *text, char why[160])
{
    FILE *f = fopen(path, "re");
    if (!f) {
        (void)snprintf(why, 160, "cannot be opened: %s", strerrordesc_np(errno));
        return false;
    }
    setvbuf(f, NULL, _IONBF, 0); // no second copy of a key in stdio's buffer
    bool ok = buf_reserve(text, KEY_TEXT_MAX + 1);
    if (ok) {
        text->n = fread(text->p, 1, KEY_TEXT_MAX + 1, f);
        ok = !ferror(f);
    }
    (void)fclose(f);
    if (!ok) say(why, "cannot be read");
    return ok;
}

static struct crypto_key *key_load(enum kind kind, const char *path, char why[160])
{
    struct buf text = {0};
    struct crypto_key *k = NULL;
    if (file_read(path, &text, why)) k = key_parse(kind, buf_view(&text), why);
    buf_wipe(&text);
    return k;
}

struct crypto_key *crypto_private_key_load(const char *path, char why[160])
{
    return key_load(KIND_PRIVATE, path, why);
}

struct crypto_key *crypto_public_key_load(const char *path, char why[160])
{
    return key_load(KIND_PUBLIC, path, why);
}

// --- Certificates

static bool serial_write(const X509 *x, char out[65])
{
    BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
    char *hex = n && !BN_is_negative(n) ? BN_bn2hex(n) : NULL;
    const char *digits = hex;
    while (digits && digits[0] == '0' && digits[1])
        digits++; // BN_bn2hex() writes whole bytes
    bool fits = digits && strlen(digits) < 65;
    if (fits) (void)snprintf(out, 65, "%s", digits);
    OPENSSL_free(hex);
    BN_free(n);
    return fits;
}

static bool until_read(const X509 *x, int64_t *ms)
{
    struct tm tm = {0};
    if (ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) != 1) return false;
    *ms = (int64_t)timegm(&tm) * 1000;
    return true;
}

struct crypto_key *crypto_certificate_parse(struct str pem, struct crypto_certificate *about, char why[160])
{
    *about = (struct crypto_certificate){0};
    say(why, "expected a certificate as PEM");
    BIO *bio = pem.n > 0 && pem.n <= KEY_TEXT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    X509 *x = bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
    struct crypto_key *k = NULL;
    if (x && serial_write(x, about->serial) && until_read(x, &about->until_ms)) k = crypto_public_key_parse(pem, why);
    X509_free(x);
    BIO_free(bio);
    ERR_clear_error();
    return k;
}

// --- Secrets

static bool is_visible(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f) return false;
    return true;
}

static struct str without_space(struct str s)
{
    while (s.n > 0 && memchr(" \t\r\n", s.p[0], 4))
        s = (struct str){s.p + 1, s.n - 1};
    while (s.n > 0 && memchr(" \t\r\n", s.p[s.n - 1], 4))
        s.n--;
    return s;
}

bool crypto_secret_load(const char *path, char secret[CRYPTO_SECRET_MAX + 1], char why[160])
{
    struct buf text = {0};
    bool ok = file_read(path, &text, why);
    if (ok) {
        struct str s = without_space(buf_view(&text));
        ok = s.n > 0 && s.n <= CRYPTO_SECRET_MAX && is_visible(s);
        if (ok) {
            memcpy(secret, s.p, s.n);
            secret[s.n] = 0;
        } else {
            (void)snprintf(why, 160, "expected one word of at most %d visible ASCII characters", CRYPTO_SECRET_MAX);
        }
    }
    buf_wipe(&text);
    return ok;
}

void crypto_wipe(void *p, size_t n)
{
    OPENSSL_cleanse(p, n);
}

bool crypto_same_pair(const struct crypto_key *a, const struct crypto_key *b)
{
    bool same = EVP_PKEY_eq(a->pkey, b->pkey) == 1;
    ERR_clear_error();
    return same;
}

void crypto_key_free(struct crypto_key *k)
{
    if (!k) return;
    EVP_PKEY_free(k->pkey);
    free(k);
}

// --- Signatures

static bool sign(const struct crypto_key *k, struct str data, struct buf *signature)
{
    size_t n = (size_t)EVP_PKEY_get_size(k->pkey);
    EVP_PKEY_CTX *pc = NULL; // belongs to c
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok = c && buf_reserve(signature, n) && EVP_DigestSignInit(c, &pc, sha256(), NULL, k->pkey) == 1 &&
              EVP_PKEY_CTX_set_rsa_padding(pc, RSA_PKCS1_PADDING) == 1 &&
              EVP_DigestSign(c, (unsigned char *)signature->p, &n, (const unsigned char *)data.p, data.n) == 1;
    if (ok) signature->n = n;
    EVP_MD_CTX_free(c);
    ERR_clear_error();
    return ok;
}

bool crypto_rsa2_sign(const struct crypto_key *k, struct str data, struct buf *base64_out)
{
    struct buf signature = {0};
    bool ok = k->is_private && sign(k, data, &signature);
    if (ok) crypto_base64(buf_view(&signature), base64_out);
    buf_free(&signature);
    return ok && !base64_out->failed;
}

bool crypto_rsa2_verify(const struct crypto_key *k, struct str data, struct str base64)
{
    struct buf signature = {0};
    EVP_PKEY_CTX *pc = NULL; // belongs to c
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok = c && base64.n > 0 && base64.n <= SIGNATURE_CHARS && crypto_base64_decode(base64, &signature) &&
              EVP_DigestVerifyInit(c, &pc, sha256(), NULL, k->pkey) == 1 &&
              EVP_PKEY_CTX_set_rsa_padding(pc, RSA_PKCS1_PADDING) == 1 &&
              EVP_DigestVerify(c, (const unsigned char *)signature.p, signature.n, (const unsigned char *)data.p,
                               data.n) == 1;
    EVP_MD_CTX_free(c);
    buf_free(&signature);
    ERR_clear_error();
    return ok;
}

// --- Sealed texts

static bool gcm_open(EVP_CIPHER_CTX *c, const uint8_t *key, struct str nonce, struct str aad, struct str cipher,
                     struct str tag, unsigned char *out)
{
    int n = 0, rest = 0;
    return EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, (const unsigned char *)nonce.p) == 1 &&
           (aad.n == 0 || EVP_DecryptUpdate(c, NULL, &n, (const unsigned char *)aad.p, (int)aad.n) == 1) &&
           (cipher.n == 0 || EVP_DecryptUpdate(c, out, &n, (const unsigned char *)cipher.p, (int)cipher.n) == 1) &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, CRYPTO_GCM_TAG, (void *)(uintptr_t)tag.p) == 1 &&
           EVP_DecryptFinal_ex(c, out + cipher.n, &rest) == 1; // here the tag is compared
}

bool crypto_gcm_open(const uint8_t key[CRYPTO_GCM_KEY], struct str nonce, struct str aad, struct str sealed,
                     struct buf *plain)
{
    if (nonce.n != CRYPTO_GCM_NONCE || sealed.n < CRYPTO_GCM_TAG || sealed.n > INT_MAX || aad.n > INT_MAX) return false;
    struct str cipher = {sealed.p, sealed.n - CRYPTO_GCM_TAG}, tag = {sealed.p + cipher.n, CRYPTO_GCM_TAG};
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool ok = c && buf_reserve(plain, cipher.n + 1) &&
              gcm_open(c, key, nonce, aad, cipher, tag, (unsigned char *)plain->p + plain->n);
    if (ok) plain->n += cipher.n;
    EVP_CIPHER_CTX_free(c);
    ERR_clear_error();
    return ok;
}

// --- Bytes

void crypto_sha256(struct str data, uint8_t out[32])
{
    unsigned n = 0;
    if (EVP_Digest(data.n ? data.p : "", data.n, out, &n, sha256(), NULL) != 1 || n != 32)
        abort(); // a hash that is not one would pass for one
}

void crypto_sha1(struct str data, uint8_t out[20])
{
    unsigned n = 0;
    if (EVP_Digest(data.n ? data.p : "", data.n, out, &n, EVP_sha1(), NULL) != 1 || n != 20) abort(); // as above
}

void crypto_hmac_sha256(struct str key, struct str data, uint8_t out[32])
{
    size_t n = 0;
    if (!EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key.n ? key.p : "", key.n,
                   (const unsigned char *)(data.n ? data.p : ""), data.n, out, 32, &n) ||
        n != 32)
        abort(); // as above
}

void crypto_hex(const uint8_t *p, size_t n, char *out)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = hex[p[i] >> 4];
        out[2 * i + 1] = hex[p[i] & 15];
    }
    out[2 * n] = 0;
}

void crypto_base64(struct str data, struct buf *out)
{
    if (data.n == 0) return;
    if (data.n > INT_MAX / 2) { // OpenSSL counts in int
        out->failed = true;
        return;
    }
    if (!buf_reserve(out, (data.n + 2) / 3 * 4 + 1)) return; // it ends with a NUL
    int n = EVP_EncodeBlock((unsigned char *)out->p + out->n, (const unsigned char *)data.p, (int)data.n);
    out->n += (size_t)n;
}

// The value of a base64 digit, or -1.
static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// OpenSSL's decoder skips white space and forgives much; a text passes here in its one canonical form only.
static bool base64_is_canonical(struct str text, size_t *padding)
{
    *padding = 0;
    if (text.n % 4 != 0 || text.n > INT_MAX) return false;
    if (text.n == 0) return true;
    while (*padding < 2 && text.p[text.n - 1 - *padding] == '=')
        ++*padding;
    size_t digits = text.n - *padding;
    for (size_t i = 0; i < digits; i++)
        if (base64_value(text.p[i]) < 0) return false;
    int unused = *padding == 2 ? 15 : *padding == 1 ? 3 : 0; // bits of the last digit that belong to no byte
    return (base64_value(text.p[digits - 1]) & unused) == 0;
}

bool crypto_base64_decode(struct str text, struct buf *out)
{
    size_t padding;
    if (!base64_is_canonical(text, &padding)) return false;
    if (text.n == 0) return true;
    if (!buf_reserve(out, text.n / 4 * 3)) return false;
    int n = EVP_DecodeBlock((unsigned char *)out->p + out->n, (const unsigned char *)text.p, (int)text.n);
    if (n < 0 || (size_t)n < padding) return false;
    out->n += (size_t)n - padding;
    return true;
}

bool crypto_random(void *p, size_t n)
{
    char *at = p;
    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        at += got;
        n -= (size_t)got;
    }
    return true;
}

bool crypto_equal(const void *a, const void *b, size_t n)
{
    return n == 0 || CRYPTO_memcmp(a, b, n) == 0;
}

// --- Fresh keys

enum form { FORM_PKCS8, FORM_PKCS1, FORM_PUBLIC };

static int pem_write(BIO *bio, EVP_PKEY *k, enum form form)
{
    switch (form) {
    case FORM_PKCS8: return PEM_write_bio_PKCS8PrivateKey(bio, k, NULL, NULL, 0, NULL, NULL);
    case FORM_PKCS1: return PEM_write_bio_PrivateKey_traditional(bio, k, NULL, NULL, 0, NULL, NULL);
    case FORM_PUBLIC: return PEM_write_bio_PUBKEY(bio, k);
    }
    return 0;
}

static bool pem_append(EVP_PKEY *k, enum form form, struct buf *out)
{
    char *p = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    bool ok = bio && pem_write(bio, k, form) == 1;
    long n = ok ? BIO_get_mem_data(bio, &p) : 0;
    if (n > 0) buf_add(out, p, (size_t)n);
    BIO_free(bio);
    return n > 0 && !out->failed;
}

bool crypto_rsa_generate(struct buf *pkcs8_pem, struct buf *pkcs1_pem, struct buf *public_pem)
{
    EVP_PKEY *k = EVP_RSA_gen(RSA_BITS);
    bool ok = k && pem_append(k, FORM_PKCS8, pkcs8_pem) && pem_append(k, FORM_PKCS1, pkcs1_pem) &&
              pem_append(k, FORM_PUBLIC, public_pem);
    EVP_PKEY_free(k);
    ERR_clear_error();
    return ok;
}
