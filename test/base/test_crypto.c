// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka needs the four above first
#include <cmocka.h>

#include "base/crypto.h"
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

// Two pairs for all tests: making one takes a tenth of a second.
static struct pair {
    struct buf pkcs8, pkcs1, spki;
    struct crypto_key *private_key, *public_key;
} mine, theirs;
static char why[160];

static void pair_make(struct pair *p)
{
    assert_true(crypto_rsa_generate(&p->pkcs8, &p->pkcs1, &p->spki));
    p->private_key = crypto_private_key_parse(buf_view(&p->pkcs8), why);
    p->public_key = crypto_public_key_parse(buf_view(&p->spki), why);
    assert_non_null(p->private_key);
    assert_non_null(p->public_key);
}

static void pair_free(struct pair *p)
{
    buf_free(&p->pkcs8);
    buf_free(&p->pkcs1);
    buf_free(&p->spki);
    crypto_key_free(p->private_key);
    crypto_key_free(p->public_key);
}

static int pairs_make(void **state)
{
    (void)state;
    pair_make(&mine);
    pair_make(&theirs);
    return 0;
}

static int pairs_free(void **state)
{
    (void)state;
    pair_free(&mine);
    pair_free(&theirs);
    crypto_key_free(NULL);
    return 0;
}

// --- Other forms of the same keys, made with OpenSSL directly

static EVP_PKEY *pkey_of(struct str pem)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *k = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(k);
    return k;
}

static void take_bio(BIO *bio, struct buf *out)
{
    char *p = NULL;
    long n = BIO_get_mem_data(bio, &p);
    buf_add(out, p, (size_t)n);
    BIO_free(bio);
}

static void certificate_make(struct str private_pem, struct buf *out)
{
    EVP_PKEY *k = pkey_of(private_pem);
    X509 *x = X509_new();
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), 0));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 3600));
    assert_int_equal(X509_set_pubkey(x, k), 1);
    assert_true(X509_sign(x, k, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509(bio, x), 1);
    take_bio(bio, out);
    X509_free(x);
    EVP_PKEY_free(k);
}

static void pkcs1_public_make(struct str private_pem, struct buf *pem)
{
    EVP_PKEY *k = pkey_of(private_pem);
    unsigned char *der = NULL;
    int n = i2d_PublicKey(k, &der);
    assert_true(n > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    assert_true(PEM_write_bio(bio, "RSA PUBLIC KEY", "", der, n) > 0);
    take_bio(bio, pem);
    OPENSSL_free(der);
    EVP_PKEY_free(k);
}

// The base64 between the armour lines, in lines or in one.
static void strip_armour(struct str pem, bool one_line, struct buf *out)
{
    const char *from = memchr(pem.p, '\n', pem.n);
    const char *to = from ? memmem(from, pem.n - (size_t)(from - pem.p), "-----END", 8) : NULL;
    assert_non_null(to);
    for (const char *p = from + 1; p < to; p++)
        if (!one_line || *p != '\n') buf_char(out, *p);
}

static void assert_private_is_mine(struct str text)
{
    struct crypto_key *k = crypto_private_key_parse(text, why);
    if (!k) fail_msg("refused: %s", why);
    assert_string_equal(why, "");
    struct buf signature = {0};
    assert_true(crypto_rsa2_sign(k, STR("data"), &signature));
    assert_true(crypto_rsa2_verify(mine.public_key, STR("data"), buf_view(&signature)));
    assert_true(crypto_same_pair(k, mine.public_key));
    buf_free(&signature);
    crypto_key_free(k);
}

static void assert_public_is_mine(struct str text)
{
    struct crypto_key *k = crypto_public_key_parse(text, why);
    if (!k) fail_msg("refused: %s", why);
    struct buf signature = {0};
    assert_true(crypto_rsa2_sign(mine.private_key, STR("data"), &signature));
    assert_true(crypto_rsa2_verify(k, STR("data"), buf_view(&signature)));
    assert_true(crypto_same_pair(k, mine.private_key));
    assert_false(crypto_same_pair(k, theirs.private_key));
    buf_free(&signature);
    crypto_key_free(k);
}

static void assert_in_every_dress(struct str pem, void (*is_mine)(struct str))
{
    struct buf b = {0};
    is_mine(pem);
    strip_armour(pem, true, &b); // as Alipay's tools write it
    is_mine(buf_view(&b));
    buf_char(&b, '\n');
    is_mine(buf_view(&b));
    buf_clear(&b);
    strip_armour(pem, false, &b);
    is_mine(buf_view(&b));
    buf_clear(&b);
    for (size_t i = 0; i < pem.n; i++) { // as Windows writes it, with a byte order mark
        if (i == 0) buf_z(&b, "\xef\xbb\xbf");
        if (pem.p[i] == '\n') buf_char(&b, '\r');
        buf_char(&b, pem.p[i]);
    }
    is_mine(buf_view(&b));
    buf_clear(&b);
    const char *first_line_end = memchr(pem.p, '\n', pem.n); // armour around one long line
    buf_add(&b, pem.p, (size_t)(first_line_end - pem.p) + 1);
    strip_armour(pem, true, &b);
    buf_char(&b, '\n');
    const char *end = memmem(pem.p, pem.n, "-----END", 8);
    buf_add(&b, end, pem.n - (size_t)(end - pem.p));
    is_mine(buf_view(&b));
    buf_free(&b);
}

static void private_keys_are_read_in_every_form(void **state)
{
    (void)state;
    assert_non_null(memmem(mine.pkcs8.p, mine.pkcs8.n, "BEGIN PRIVATE KEY", 17));
    assert_non_null(memmem(mine.pkcs1.p, mine.pkcs1.n, "BEGIN RSA PRIVATE KEY", 21));
    assert_in_every_dress(buf_view(&mine.pkcs8), assert_private_is_mine);
    assert_in_every_dress(buf_view(&mine.pkcs1), assert_private_is_mine);
}

static void public_keys_are_read_in_every_form(void **state)
{
    (void)state;
    struct buf pkcs1 = {0};
    pkcs1_public_make(buf_view(&mine.pkcs8), &pkcs1);
    assert_in_every_dress(buf_view(&mine.spki), assert_public_is_mine);
    assert_in_every_dress(buf_view(&pkcs1), assert_public_is_mine);
    buf_free(&pkcs1);
}

static void a_certificate_is_a_public_key(void **state)
{
    (void)state;
    struct buf certificate = {0};
    certificate_make(buf_view(&mine.pkcs8), &certificate);
    assert_in_every_dress(buf_view(&certificate), assert_public_is_mine);
    buf_free(&certificate);
}

static void the_first_of_several_certificates_counts(void **state)
{
    (void)state;
    struct buf chain = {0};
    buf_z(&chain, "subject=someone\n");
    certificate_make(buf_view(&mine.pkcs8), &chain);
    certificate_make(buf_view(&theirs.pkcs8), &chain);
    assert_public_is_mine(buf_view(&chain));
    buf_free(&chain);
}

static void mixed_up_files_are_called_so(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_null(crypto_private_key_parse(buf_view(&mine.spki), why));
    assert_non_null(strstr(why, "this is a public key"));
    assert_null(crypto_public_key_parse(buf_view(&mine.pkcs8), why));
    assert_non_null(strstr(why, "this is a private key"));
    assert_null(crypto_public_key_parse(buf_view(&mine.pkcs1), why));
    assert_non_null(strstr(why, "this is a private key"));
    strip_armour(buf_view(&mine.pkcs8), true, &b);
    assert_null(crypto_public_key_parse(buf_view(&b), why));
    assert_non_null(strstr(why, "this is a private key"));
    buf_free(&b);
}

static void texts_that_are_no_keys_are_refused_with_what_was_expected(void **state)
{
    (void)state;
    static const struct str texts[] = {
        {NULL, 0},
        STR(""),
        STR(" \n"),
        STR("hello"),
        STR("AAAA"),
        STR("MIIB"),
        STR("-----BEGIN "),
        STR("-----BEGIN PRIVATE KEY-----\n"),
        STR("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        STR("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
        STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        STR("-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n"),
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_null(crypto_private_key_parse(texts[i], why));
        assert_non_null(strstr(why, "expected an RSA private key"));
        assert_null(crypto_public_key_parse(texts[i], why));
        assert_non_null(strstr(why, "expected an RSA public key"));
    }
}

static void a_key_cut_short_or_followed_by_bytes_is_refused(void **state)
{
    (void)state;
    struct buf bare = {0}, der = {0}, again = {0};
    strip_armour(buf_view(&mine.pkcs8), true, &bare);
    assert_true(crypto_base64_decode(buf_view(&bare), &der));
    crypto_base64((struct str){der.p, der.n - 1}, &again);
    assert_null(crypto_private_key_parse(buf_view(&again), why));
    buf_clear(&again);
    buf_char(&der, 'x');
    crypto_base64(buf_view(&der), &again);
    assert_null(crypto_private_key_parse(buf_view(&again), why));
    assert_null(memmem(why, strlen(why), bare.p, 16)); // no key material in the reason
    buf_free(&bare);
    buf_free(&der);
    buf_free(&again);
}

static void keys_that_would_not_do_are_refused(void **state)
{
    (void)state;
    struct buf b = {0};
    EVP_PKEY *weak = EVP_RSA_gen(1024), *curve = EVP_EC_gen("P-256"), *good = pkey_of(buf_view(&mine.pkcs8));
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, weak, NULL, NULL, 0, NULL, NULL), 1);
    take_bio(bio, &b);
    assert_null(crypto_private_key_parse(buf_view(&b), why));
    assert_non_null(strstr(why, "2048"));
    buf_clear(&b);
    bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PUBKEY(bio, curve), 1);
    take_bio(bio, &b);
    assert_null(crypto_public_key_parse(buf_view(&b), why));
    assert_non_null(strstr(why, "another kind"));
    for (int traditional = 0; traditional < 2; traditional++) { // neither may ask the terminal
        buf_clear(&b);
        bio = BIO_new(BIO_s_mem());
        assert_int_equal(traditional
                             ? PEM_write_bio_PrivateKey_traditional(bio, good, EVP_aes_128_cbc(),
                                                                    (const unsigned char *)"pass", 4, NULL, NULL)
                             : PEM_write_bio_PKCS8PrivateKey(bio, good, EVP_aes_128_cbc(), "pass", 4, NULL, NULL),
                         1);
        take_bio(bio, &b);
        assert_null(crypto_private_key_parse(buf_view(&b), why));
        assert_non_null(strstr(why, "passphrase"));
    }
    EVP_PKEY_free(weak);
    EVP_PKEY_free(curve);
    EVP_PKEY_free(good);
    buf_free(&b);
}

static void files_are_loaded_and_their_absence_told(void **state)
{
    (void)state;
    char path[] = "/tmp/till-test-key-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, mine.pkcs1.p, mine.pkcs1.n), mine.pkcs1.n);
    struct crypto_key *k = crypto_private_key_load(path, why);
    assert_non_null(k);
    assert_true(crypto_same_pair(k, mine.private_key));
    crypto_key_free(k);
    assert_null(crypto_public_key_load(path, why));
    assert_non_null(strstr(why, "this is a private key"));
    for (int i = 0; i < 70; i++)
        assert_int_equal(write(fd, mine.pkcs1.p, 1000), 1000);
    assert_null(crypto_private_key_load(path, why)); // too large to be a key
    close(fd);
    unlink(path);
    assert_null(crypto_private_key_load(path, why));
    assert_non_null(strstr(why, "No such file"));
    assert_null(crypto_private_key_load("/", why));
    assert_true(strlen(why) > 0);
}

static void what_was_signed_verifies_and_nothing_else(void **state)
{
    (void)state;
    struct buf signature = {0};
    struct str data = STR("app_id=1&amount=0.01&\xe6\x94\xaf");
    assert_true(crypto_rsa2_sign(mine.private_key, data, &signature));
    assert_int_equal(signature.n, 344); // 256 bytes
    assert_true(crypto_rsa2_verify(mine.public_key, data, buf_view(&signature)));
    assert_true(crypto_rsa2_verify(mine.private_key, data, buf_view(&signature)));
    assert_false(crypto_rsa2_verify(theirs.public_key, data, buf_view(&signature)));
    assert_false(crypto_rsa2_verify(mine.public_key, STR("app_id=1&amount=0.02&\xe6\x94\xaf"), buf_view(&signature)));
    assert_false(crypto_rsa2_verify(mine.public_key, (struct str){data.p, data.n - 1}, buf_view(&signature)));
    assert_false(crypto_rsa2_verify(mine.public_key, data, (struct str){0}));
    assert_false(crypto_rsa2_verify(mine.public_key, data, STR("AAAA")));
    for (size_t n = 0; n < signature.n; n++)
        assert_false(crypto_rsa2_verify(mine.public_key, data, (struct str){signature.p, n}));
    for (size_t i = 0; i < signature.n; i += 7) {
        char good = signature.p[i];
        signature.p[i] = good == 'A' ? 'B' : 'A';
        assert_false(crypto_rsa2_verify(mine.public_key, data, buf_view(&signature)));
        signature.p[i] = good;
    }
    buf_char(&signature, '\n');
    assert_false(crypto_rsa2_verify(mine.public_key, data, buf_view(&signature)));
    buf_free(&signature);
}

static void signing_appends_and_takes_empty_data(void **state)
{
    (void)state;
    struct buf out = {0};
    buf_z(&out, "sign=");
    assert_true(crypto_rsa2_sign(mine.private_key, (struct str){0}, &out));
    assert_memory_equal(out.p, "sign=", 5);
    assert_true(crypto_rsa2_verify(mine.public_key, STR(""), (struct str){out.p + 5, out.n - 5}));
    buf_free(&out);
}

static void a_public_key_does_not_sign(void **state)
{
    (void)state;
    struct buf out = {0};
    assert_false(crypto_rsa2_sign(mine.public_key, STR("data"), &out));
    assert_int_equal(out.n, 0);
    buf_free(&out);
}

static void halves_of_one_pair_are_known(void **state)
{
    (void)state;
    assert_true(crypto_same_pair(mine.private_key, mine.public_key));
    assert_true(crypto_same_pair(mine.public_key, mine.private_key));
    assert_true(crypto_same_pair(mine.public_key, mine.public_key));
    assert_false(crypto_same_pair(mine.private_key, theirs.public_key));
    assert_false(crypto_same_pair(mine.public_key, theirs.public_key));
}

static void *sign_some(void *arg)
{
    (void)arg;
    uintptr_t wrong = 0;
    for (int i = 0; i < 20; i++) {
        struct buf signature = {0};
        wrong += !crypto_rsa2_sign(mine.private_key, STR("shared"), &signature) ||
                 !crypto_rsa2_verify(mine.public_key, STR("shared"), buf_view(&signature));
        buf_free(&signature);
    }
    return (void *)wrong;
}

static void threads_share_a_key(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sign_some, NULL), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
}

static void sha256_gives_the_published_values(void **state)
{
    (void)state;
    static const struct {
        struct str data;
        const char *hex;
    } table[] = {
        {{NULL, 0}, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {STR("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        uint8_t hash[32];
        char hex[65];
        crypto_sha256(table[i].data, hash);
        crypto_hex(hash, sizeof hash, hex);
        assert_string_equal(hex, table[i].hex);
    }
}

// RFC 4231, cases 1, 2 and 6.
static void hmac_gives_the_published_values(void **state)
{
    (void)state;
    char ones[20], long_key[131];
    memset(ones, 0x0b, sizeof ones);
    memset(long_key, 0xaa, sizeof long_key);
    const struct {
        struct str key, data;
        const char *hex;
    } table[] = {
        {{ones, 20}, STR("Hi There"), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {STR("Jefe"), STR("what do ya want for nothing?"),
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {{long_key, 131},
         STR("Test Using Larger Than Block-Size Key - Hash Key First"),
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        uint8_t mac[32];
        char hex[65];
        crypto_hmac_sha256(table[i].key, table[i].data, mac);
        crypto_hex(mac, 32, hex);
        assert_string_equal(hex, table[i].hex);
    }
}

static void base64_gives_the_published_values_both_ways(void **state)
{
    (void)state;
    static const struct {
        struct str bytes, text;
    } table[] = {
        {STR(""), STR("")},
        {STR("f"), STR("Zg==")},
        {STR("fo"), STR("Zm8=")},
        {STR("foo"), STR("Zm9v")},
        {STR("foob"), STR("Zm9vYg==")},
        {STR("fooba"), STR("Zm9vYmE=")},
        {STR("foobar"), STR("Zm9vYmFy")},
        {STR("\0\0"), STR("AAA=")},
        {STR("\xfb\xff\xbf"), STR("+/+/")},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct buf text = {0}, bytes = {0};
        crypto_base64(table[i].bytes, &text);
        assert_true(str_eq(buf_view(&text), table[i].text));
        assert_true(crypto_base64_decode(table[i].text, &bytes));
        assert_true(str_eq(buf_view(&bytes), table[i].bytes));
        buf_free(&text);
        buf_free(&bytes);
    }
}

static void base64_round_trips_at_every_length(void **state)
{
    (void)state;
    uint8_t data[300];
    assert_true(crypto_random(data, sizeof data));
    for (size_t n = 0; n <= sizeof data; n++) {
        struct buf text = {0}, bytes = {0};
        buf_z(&bytes, "x"); // both append
        crypto_base64((struct str){(const char *)data, n}, &text);
        assert_int_equal(text.n, (n + 2) / 3 * 4);
        assert_true(crypto_base64_decode(buf_view(&text), &bytes));
        assert_int_equal(bytes.n, n + 1);
        assert_memory_equal(bytes.p + 1, data, n);
        buf_free(&text);
        buf_free(&bytes);
    }
}

static void base64_that_is_not_canonical_is_refused(void **state)
{
    (void)state;
    static const struct str texts[] = {
        STR("Z"),
        STR("Zg"),
        STR("Zg="),
        STR("Zg==="),
        STR("=Zg="),
        STR("===="),
        STR("=="),
        STR("Z==="),
        STR("Zg==Zg=="),
        STR("Zm8=Zm8="),
        STR("Zm9v\n"),
        STR("Zm9v\r\n\r\n"),
        STR(" Zm9v"),
        STR("Zm9v    "),
        STR("Zm 9vYm"),
        STR("Zm9vYmF-"),
        STR("Zm9vYmF_"),
        STR("Zm9vYm\0y"),
        STR("Zm9v\xc3\xa9"
            "aa"),
        STR("Zh=="),
        STR("Zm9="),
        STR("Zm9v\n\n\n\n"),
        STR("\n\n\n\n"),
        STR("    "),
        STR("Zg=a"),
        STR("Zm9v----"),
        STR("Zm9v-aaa"),
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct buf bytes = {0};
        if (crypto_base64_decode(texts[i], &bytes)) fail_msg("row %zu was accepted: %s", i, texts[i].p);
        assert_int_equal(bytes.n, 0);
        buf_free(&bytes);
    }
}

static void random_bytes_differ(void **state)
{
    (void)state;
    uint8_t a[1000] = {0}, b[1000] = {0}, zero[32] = {0};
    assert_true(crypto_random(a, sizeof a));
    assert_true(crypto_random(b, sizeof b));
    assert_memory_not_equal(a, b, 32);
    assert_memory_not_equal(a + sizeof a - 32, b + sizeof b - 32, 32);
    assert_memory_not_equal(a + sizeof a - 32, zero, 32);
}

static void equality_is_of_all_bytes(void **state)
{
    (void)state;
    assert_true(crypto_equal("abcd", "abcd", 4));
    assert_false(crypto_equal("abcd", "abce", 4));
    assert_false(crypto_equal("xbcd", "abcd", 4));
    assert_true(crypto_equal("abcd", "abce", 3));
    assert_true(crypto_equal(NULL, NULL, 0));
}

// --- Sealed texts: the AES-256 test cases 13, 14 and 16 of McGrew and Viega's "The Galois/Counter Mode of Operation"

struct sealed {
    const char *key, *nonce, *aad, *plain, *cipher, *tag; // hexadecimal
};
static const struct sealed SEALED[] = {
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "", "",
     "530f8afbc74536b9a963b4f1c4cb738b"},
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "",
     "00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657b"
     "a63"
     "7b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0ab"
     "cc9"
     "f662",
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

static void unhex(const char *hex, struct buf *out)
{
    for (; hex[0] && hex[1]; hex += 2) {
        unsigned byte;
        assert_int_equal(sscanf(hex, "%2x", &byte), 1);
        buf_char(out, (char)byte);
    }
}

struct opened {
    struct buf key, nonce, aad, plain, sealed;
};

static struct opened opened_make(const struct sealed *v)
{
    struct opened o = {0};
    unhex(v->key, &o.key);
    unhex(v->nonce, &o.nonce);
    unhex(v->aad, &o.aad);
    unhex(v->plain, &o.plain);
    unhex(v->cipher, &o.sealed);
    unhex(v->tag, &o.sealed);
    return o;
}

static void opened_free(struct opened *o)
{
    buf_free(&o->key);
    buf_free(&o->nonce);
    buf_free(&o->aad);
    buf_free(&o->plain);
    buf_free(&o->sealed);
}

static bool gcm(const struct opened *o, struct buf *out)
{
    return crypto_gcm_open((const uint8_t *)o->key.p, buf_view(&o->nonce), buf_view(&o->aad), buf_view(&o->sealed),
                           out);
}

static void sealed_texts_open_as_published(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof SEALED / sizeof SEALED[0]; i++) {
        struct opened o = opened_make(&SEALED[i]);
        struct buf out = {0};
        buf_z(&out, "before:");
        assert_true(gcm(&o, &out));
        assert_int_equal(out.n, 7 + o.plain.n);
        if (o.plain.n > 0) assert_memory_equal(out.p + 7, o.plain.p, o.plain.n);
        buf_free(&out);
        opened_free(&o);
    }
}

// Each bit of each part, the tag's among them.
static void any_bit_changed_keeps_a_sealed_text_shut(void **state)
{
    (void)state;
    struct opened o = opened_make(&SEALED[2]);
    struct buf *const parts[] = {&o.key, &o.nonce, &o.aad, &o.sealed};
    for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++) {
        for (size_t bit = 0; bit < parts[k]->n * 8; bit++) {
            struct buf out = {0};
            parts[k]->p[bit / 8] ^= (char)(1 << bit % 8);
            assert_false(gcm(&o, &out));
            assert_int_equal(out.n, 0);
            parts[k]->p[bit / 8] ^= (char)(1 << bit % 8);
            buf_free(&out);
        }
    }
    struct buf out = {0};
    assert_true(gcm(&o, &out));
    buf_free(&out);
    opened_free(&o);
}

static void sealed_texts_of_another_length_stay_shut(void **state)
{
    (void)state;
    struct opened o = opened_make(&SEALED[2]);
    struct buf out = {0};
    size_t whole = o.sealed.n;
    for (o.sealed.n = 0; o.sealed.n < whole; o.sealed.n++)
        assert_false(gcm(&o, &out));
    o.nonce.n--;
    assert_false(gcm(&o, &out));
    o.nonce.n++;
    o.aad.n--;
    assert_false(gcm(&o, &out));
    buf_free(&out);
    opened_free(&o);
}

static void a_certificate_tells_its_serial_and_end(void **state)
{
    (void)state;
    struct crypto_certificate about;
    struct buf pem = {0};
    static const char openssl[] = "openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=x "
                                  "-set_serial 0x0A5000000000000000000000000000000000beef -days 1 2>/dev/null";
    FILE *f = popen(openssl, "r");
    assert_non_null(f);
    for (int c; (c = fgetc(f)) != EOF;)
        buf_char(&pem, (char)c);
    assert_int_equal(pclose(f), 0);
    struct crypto_key *k = crypto_certificate_parse(buf_view(&pem), &about, why);
    assert_non_null(k);
    assert_string_equal(about.serial, "A5000000000000000000000000000000000BEEF");
    int64_t left_ms = about.until_ms - (int64_t)time(NULL) * 1000;
    assert_true(left_ms > 86300 * INT64_C(1000) && left_ms < 86500 * INT64_C(1000));
    crypto_key_free(k);
    assert_null(crypto_certificate_parse(buf_view(&mine.spki), &about, why));
    assert_string_equal(about.serial, "");
    assert_null(crypto_certificate_parse((struct str){NULL, 0}, &about, why));
    buf_free(&pem);
}

// --- Secrets

static bool secret_of(const char *text, size_t n, char secret[CRYPTO_SECRET_MAX + 1])
{
    char path[] = "/tmp/till-secret-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), n);
    close(fd);
    bool ok = crypto_secret_load(path, secret, why);
    unlink(path);
    return ok;
}

static void a_secret_is_one_word_of_a_file(void **state)
{
    (void)state;
    char secret[CRYPTO_SECRET_MAX + 1], long_text[CRYPTO_SECRET_MAX + 1];
    assert_true(secret_of("  s3cret!\r\n", 11, secret));
    assert_string_equal(secret, "s3cret!");
    memset(long_text, 'x', sizeof long_text);
    assert_true(secret_of(long_text, CRYPTO_SECRET_MAX, secret));
    assert_int_equal(strlen(secret), CRYPTO_SECRET_MAX);
    assert_false(secret_of(long_text, CRYPTO_SECRET_MAX + 1, secret));
    assert_non_null(strstr(why, "at most 128 visible ASCII characters"));
    assert_false(secret_of("", 0, secret));
    assert_false(secret_of(" \n", 2, secret));
    assert_false(secret_of("two words", 9, secret));
    assert_false(secret_of("a\0b", 3, secret));
    assert_false(crypto_secret_load("/nowhere/secret", secret, why));
    assert_non_null(strstr(why, "cannot be opened"));
    crypto_wipe(secret, sizeof secret);
    for (size_t i = 0; i < sizeof secret; i++)
        assert_int_equal(secret[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(private_keys_are_read_in_every_form),
        cmocka_unit_test(public_keys_are_read_in_every_form),
        cmocka_unit_test(a_certificate_is_a_public_key),
        cmocka_unit_test(the_first_of_several_certificates_counts),
        cmocka_unit_test(mixed_up_files_are_called_so),
        cmocka_unit_test(texts_that_are_no_keys_are_refused_with_what_was_expected),
        cmocka_unit_test(a_key_cut_short_or_followed_by_bytes_is_refused),
        cmocka_unit_test(keys_that_would_not_do_are_refused),
        cmocka_unit_test(files_are_loaded_and_their_absence_told),
        cmocka_unit_test(what_was_signed_verifies_and_nothing_else),
        cmocka_unit_test(signing_appends_and_takes_empty_data),
        cmocka_unit_test(a_public_key_does_not_sign),
        cmocka_unit_test(halves_of_one_pair_are_known),
        cmocka_unit_test(threads_share_a_key),
        cmocka_unit_test(sha256_gives_the_published_values),
        cmocka_unit_test(hmac_gives_the_published_values),
        cmocka_unit_test(base64_gives_the_published_values_both_ways),
        cmocka_unit_test(base64_round_trips_at_every_length),
        cmocka_unit_test(base64_that_is_not_canonical_is_refused),
        cmocka_unit_test(sealed_texts_open_as_published),
        cmocka_unit_test(any_bit_changed_keeps_a_sealed_text_shut),
        cmocka_unit_test(sealed_texts_of_another_length_stay_shut),
        cmocka_unit_test(a_certificate_tells_its_serial_and_end),
        cmocka_unit_test(a_secret_is_one_word_of_a_file),
        cmocka_unit_test(random_bytes_differ),
        cmocka_unit_test(equality_is_of_all_bytes),
    };
    return cmocka_run_group_tests(tests, pairs_make, pairs_free);
}
