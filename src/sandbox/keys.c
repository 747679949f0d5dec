// SPDX-License-Identifier: Apache-2.0
#include "sandbox/keys.h"
#include "base/json_in.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/bn.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DAY_S         INT64_C(86400)
#define CERT_DAYS     1825 // both providers issue for five years
#define SERIAL_BYTES  20
#define IDENTITY_FILE "sandbox.json"
#define SECRET_FILE   "app_secret"
#define FAKE_FILE     "fake_secret"
#define CERT_MAX      8192
// Stands while the directory is being filled, so that an interrupted making is told from somebody's own files.
#define MAKING_FILE ".making"

static const char *const FILES[] = {
    "app_private_key.pem",
    "app_private_key_pkcs1.pem",
    "app_public_key.pem",
    "alipay_public_key.pem",
    "sandbox_alipay_private_key.pem",
    "merchant_private_key.pem",
    "merchant_cert.pem",
    "platform_public_key.pem",
    "platform_cert.pem",
    "sandbox_platform_private_key.pem",
    "apiv3_key",
    SECRET_FILE,
    FAKE_FILE,
    APP_CERT_FILE,
    ALIPAY_CERT_FILE,
    ALIPAY_ROOT_CERT_FILE,
    IDENTITY_FILE,
    MAKING_FILE,
};
#define N_FILES (sizeof FILES / sizeof FILES[0])

static bool fail(char why[200], const char *dir, const char *file, const char *reason)
{
    (void)snprintf(why, 200, "keys: %.60s/%.40s: %.85s", dir, file, reason);
    return false;
}

static bool fail_errno(char why[200], const char *dir, const char *file)
{
    return fail(why, dir, file, strerrordesc_np(errno));
}

// --- Files

static bool sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) close(fd);
    return ok;
}

static bool write_all(int fd, struct str s)
{
    while (s.n > 0) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        s.p += n;
        s.n -= (size_t)n;
    }
    return fsync(fd) == 0;
}

static bool file_write(const char *dir, const char *file, mode_t mode, struct str text, char why[200])
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", dir, file) >= (int)sizeof path)
        return fail(why, dir, file, "the path is too long");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0) return fail_errno(why, dir, file);
    bool ok = write_all(fd, text);
    if (close(fd) != 0) ok = false;
    return ok || fail_errno(why, dir, file);
}

// The first `size` bytes of it.
static bool file_read(const char *dir, const char *file, char *out, size_t size, size_t *n, char why[200])
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", dir, file) >= (int)sizeof path)
        return fail(why, dir, file, "the path is too long");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail_errno(why, dir, file);
    ssize_t got = read(fd, out, size);
    close(fd);
    if (got < 0) return fail_errno(why, dir, file);
    *n = (size_t)got;
    return true;
}

static bool file_exists(const char *dir, const char *file)
{
    char path[PATH_MAX];
    struct stat st;
    return snprintf(path, sizeof path, "%s/%s", dir, file) < (int)sizeof path && stat(path, &st) == 0;
}

static bool dir_is_empty(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d) return false;
    bool empty = true;
    for (const struct dirent *e; empty && (e = readdir(d));)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    closedir(d);
    return empty;
}

bool keys_forget(const char *dir, char why[200])
{
    for (size_t i = 0; i < N_FILES; i++) {
        char path[PATH_MAX];
        if (snprintf(path, sizeof path, "%s/%s", dir, FILES[i]) >= (int)sizeof path)
            return fail(why, dir, FILES[i], "the path is too long");
        if (unlink(path) != 0 && errno != ENOENT && errno != ENOTDIR) return fail_errno(why, dir, FILES[i]);
    }
    return true;
}

// --- Making

struct pair {
    struct buf pkcs8, pkcs1, public;
};

static bool pair_make(struct pair *p)
{
    return crypto_rsa_generate(&p->pkcs8, &p->pkcs1, &p->public);
}

static void pair_free(struct pair *p)
{
    if (p->pkcs8.p) explicit_bzero(p->pkcs8.p, p->pkcs8.cap);
    if (p->pkcs1.p) explicit_bzero(p->pkcs1.p, p->pkcs1.cap);
    buf_free(&p->pkcs8);
    buf_free(&p->pkcs1);
    buf_free(&p->public);
}

// A serial of exactly 40 hexadecimal digits, positive: WeChat Pay's are written so, in capitals.
static bool serial_random(uint8_t serial[SERIAL_BYTES])
{
    if (!crypto_random(serial, SERIAL_BYTES)) return false;
    serial[0] = (uint8_t)((serial[0] & 0x3f) | 0x40);
    return true;
}

static void serial_text(const uint8_t serial[SERIAL_BYTES], char out[65])
{
    crypto_hex(serial, SERIAL_BYTES, out);
    for (char *c = out; *c; c++)
        if (*c >= 'a') *c = (char)(*c - 'a' + 'A');
}

static bool certificate_fill(X509 *x, EVP_PKEY *key, const uint8_t serial[SERIAL_BYTES], const char *common_name)
{
    X509_NAME *name = X509_get_subject_name(x);
    BIGNUM *n = BN_bin2bn(serial, SERIAL_BYTES, NULL);
    bool ok =
        n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) && X509_set_version(x, 2) == 1 &&
        X509_gmtime_adj(X509_getm_notBefore(x), -DAY_S) && X509_gmtime_adj(X509_getm_notAfter(x), CERT_DAYS * DAY_S) &&
        X509_NAME_add_entry_by_txt(name, "C", MBSTRING_ASC, (const unsigned char *)"CN", -1, -1, 0) == 1 &&
        X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"Till sandbox", -1, -1, 0) == 1 &&
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)common_name, -1, -1, 0) == 1 &&
        X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1 && X509_sign(x, key, EVP_sha256()) > 0;
    BN_free(n);
    return ok;
}

static bool certificate_make(const struct pair *pair, const uint8_t serial[SERIAL_BYTES], const char *common_name,
                             struct buf *pem)
{
    BIO *in = BIO_new_mem_buf(pair->pkcs8.p, (int)pair->pkcs8.n);
    BIO *out = BIO_new(BIO_s_mem());
    EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, NULL) : NULL;
    X509 *x = X509_new();
    bool ok = out && key && x && certificate_fill(x, key, serial, common_name) && PEM_write_bio_X509(out, x) == 1;
    char *p = NULL;
    long n = ok ? BIO_get_mem_data(out, &p) : 0;
    if (n > 0) buf_add(pem, p, (size_t)n);
    X509_free(x);
    EVP_PKEY_free(key);
    BIO_free(out);
    BIO_free(in);
    return n > 0 && !pem->failed;
}

static bool digits_random(char *out, const char *prefix, size_t total)
{
    uint8_t random[32];
    size_t n = strlen(prefix);
    if (!crypto_random(random, sizeof random)) return false;
    memcpy(out, prefix, n);
    for (size_t i = n; i < total; i++)
        out[i] = (char)('0' + random[i % sizeof random] % 10);
    out[total] = 0;
    return true;
}

static bool identity_make(struct sandbox_identity *id, uint8_t merchant[SERIAL_BYTES], uint8_t platform[SERIAL_BYTES])
{
    if (!serial_random(merchant) || !serial_random(platform)) return false;
    serial_text(merchant, id->merchant_serial);
    serial_text(platform, id->platform_serial);
    return digits_random(id->app_id, "9021", 16) && digits_random(id->seller_id, "2088", 16) &&
           digits_random(id->mchid, "19", 10) && digits_random(id->appid, "wx", 18) &&
           digits_random(id->platform_key_id, "PUB_KEY_ID_", 11 + 30);
}

static void identity_write(const struct sandbox_identity *id, struct buf *out)
{
    json_open(out, '{');
    json_kz(out, "app_id", id->app_id);
    json_kz(out, "seller_id", id->seller_id);
    json_kz(out, "mchid", id->mchid);
    json_kz(out, "appid", id->appid);
    json_kz(out, "merchant_serial", id->merchant_serial);
    json_kz(out, "platform_serial", id->platform_serial);
    json_kz(out, "platform_key_id", id->platform_key_id);
    json_close(out, '}');
    buf_char(out, '\n');
}

static bool apiv3_key_make(char out[33])
{
    static const char alphabet[] = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"; // 32 of them: a byte's low five bits choose
    uint8_t random[32];
    if (!crypto_random(random, sizeof random)) return false;
    for (size_t i = 0; i < 32; i++)
        out[i] = alphabet[random[i] & 31];
    out[32] = 0;
    return true;
}

static bool app_secret_make(char out[33])
{
    uint8_t random[16];
    if (!crypto_random(random, sizeof random)) return false;
    crypto_hex(random, sizeof random, out);
    return true;
}

struct made {
    struct pair app, alipay, merchant, platform;
    struct buf merchant_cert, platform_cert, identity;
    char apiv3_key[33], app_secret[33];
};

static bool everything_make(struct made *m)
{
    struct sandbox_identity id = {0};
    uint8_t merchant[SERIAL_BYTES], platform[SERIAL_BYTES];
    if (!pair_make(&m->app) || !pair_make(&m->alipay) || !pair_make(&m->merchant) || !pair_make(&m->platform) ||
        !identity_make(&id, merchant, platform) || !apiv3_key_make(m->apiv3_key) || !app_secret_make(m->app_secret))
        return false;
    identity_write(&id, &m->identity);
    return certificate_make(&m->merchant, merchant, id.mchid, &m->merchant_cert) &&
           certificate_make(&m->platform, platform, "Till sandbox platform", &m->platform_cert) && !m->identity.failed;
}

static bool everything_write(const struct made *m, const char *dir, char why[200])
{
    const struct {
        const char *file;
        mode_t mode;
        struct str text;
    } files[] = {
        {MAKING_FILE, 0600, STR("")},
        {"app_private_key.pem", 0600, buf_view(&m->app.pkcs8)},
        {"app_private_key_pkcs1.pem", 0600, buf_view(&m->app.pkcs1)},
        {"app_public_key.pem", 0644, buf_view(&m->app.public)},
        {"alipay_public_key.pem", 0644, buf_view(&m->alipay.public)},
        {"sandbox_alipay_private_key.pem", 0600, buf_view(&m->alipay.pkcs8)},
        {"merchant_private_key.pem", 0600, buf_view(&m->merchant.pkcs8)},
        {"merchant_cert.pem", 0644, buf_view(&m->merchant_cert)},
        {"platform_public_key.pem", 0644, buf_view(&m->platform.public)},
        {"platform_cert.pem", 0644, buf_view(&m->platform_cert)},
        {"sandbox_platform_private_key.pem", 0600, buf_view(&m->platform.pkcs8)},
        {"apiv3_key", 0600, str_of(m->apiv3_key)},
        {SECRET_FILE, 0600, str_of(m->app_secret)},
        {IDENTITY_FILE, 0644, buf_view(&m->identity)},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (!file_write(dir, files[i].file, files[i].mode, files[i].text, why)) return false;
    return true;
}

static bool making_done(const char *dir, char why[200])
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", dir, MAKING_FILE);
    // The files must be on the disk before the mark that says they may not be goes.
    if (sync_dir(dir) && unlink(path) == 0 && sync_dir(dir)) return true;
    return fail_errno(why, dir, MAKING_FILE);
}

static bool keys_make(const char *dir, char why[200])
{
    struct made m = {0};
    bool ok = everything_make(&m) || fail(why, dir, "", "cannot generate keys");
    ok = ok && everything_write(&m, dir, why) && making_done(dir, why);
    pair_free(&m.app);
    pair_free(&m.alipay);
    pair_free(&m.merchant);
    pair_free(&m.platform);
    buf_free(&m.merchant_cert);
    buf_free(&m.platform_cert);
    buf_free(&m.identity);
    return ok;
}

// --- Loading

static bool identity_read(struct sandbox_identity *id, const char *dir, struct str text, char why[200])
{
    struct json_fault fault;
    json_t *root = json_read_object(text, &fault);
    if (!root) return fail(why, dir, IDENTITY_FILE, fault.detail);
    const struct {
        const char *name;
        char *out;
        size_t max;
    } members[] = {
        {"app_id", id->app_id, 32},
        {"seller_id", id->seller_id, 32},
        {"mchid", id->mchid, 32},
        {"appid", id->appid, 32},
        {"merchant_serial", id->merchant_serial, 64},
        {"platform_serial", id->platform_serial, 64},
        {"platform_key_id", id->platform_key_id, 64},
    };
    struct json_in in = {.object = root, .at = "", .fault = &fault};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        struct str s;
        if (!json_in_str(&in, members[i].name, true, members[i].max, &s)) break;
        memcpy(members[i].out, s.p, s.n);
        members[i].out[s.n] = 0;
    }
    json_decref(root);
    return !fault.code || fail(why, dir, IDENTITY_FILE, fault.detail);
}

bool sandbox_identity_read(const char *dir, struct sandbox_identity *id, char why[200])
{
    char text[4096];
    size_t n;
    return file_read(dir, IDENTITY_FILE, text, sizeof text, &n, why) &&
           identity_read(id, dir, (struct str){text, n}, why);
}

typedef struct crypto_key *load_fn(const char *path, char why[160]);

static struct crypto_key *key_load(load_fn *load, const char *dir, const char *file, char why[200])
{
    char path[PATH_MAX], reason[160];
    if (snprintf(path, sizeof path, "%s/%s", dir, file) >= (int)sizeof path) return NULL;
    struct crypto_key *k = load(path, reason);
    if (!k) (void)fail(why, dir, file, reason);
    return k;
}

// Exactly 32 characters that can be seen, and perhaps the end of the line.
static bool secret_load(char out[33], const char *dir, const char *file, char why[200])
{
    char text[64];
    size_t n;
    if (!file_read(dir, file, text, sizeof text, &n, why)) return false;
    if (n == 33 && text[32] == '\n') n--;
    for (size_t i = 0; i < n; i++)
        if (text[i] <= ' ' || text[i] > '~') n = 0;
    if (n != 32) return fail(why, dir, file, "expected 32 characters of ASCII");
    memcpy(out, text, 32);
    out[32] = 0;
    return true;
}

// A secret that a directory made by an earlier version may not have yet: it is made now.
static bool later_secret_load(char out[33], const char *dir, const char *file, char why[200])
{
    char fresh[33];
    if (!file_exists(dir, file) &&
        !(app_secret_make(fresh) && file_write(dir, file, 0600, str_of(fresh), why) && sync_dir(dir)))
        return false;
    return secret_load(out, dir, file, why);
}

static bool instant_of(const ASN1_TIME *t, int64_t *ms)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(t, &tm) != 1) return false;
    *ms = (int64_t)timegm(&tm) * 1000;
    return true;
}

static bool platform_cert_load(struct keys *k, const char *dir, char why[200])
{
    static const char file[] = "platform_cert.pem";
    struct buf *pem = &k->platform_cert;
    if (!buf_reserve(pem, CERT_MAX)) return fail(why, dir, file, "out of memory");
    if (!file_read(dir, file, pem->p, CERT_MAX, &pem->n, why)) return false;
    BIO *bio = BIO_new_mem_buf(pem->p, (int)pem->n);
    X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    bool ok = x && instant_of(X509_get0_notBefore(x), &k->cert_from_ms) &&
              instant_of(X509_get0_notAfter(x), &k->cert_until_ms);
    X509_free(x);
    BIO_free(bio);
    return ok || fail(why, dir, file, "expected a certificate");
}

static bool wechat_load(struct keys *k, const char *dir, char why[200])
{
    return (k->merchant_public = key_load(crypto_public_key_load, dir, "merchant_cert.pem", why)) &&
           (k->merchant_private = key_load(crypto_private_key_load, dir, "merchant_private_key.pem", why)) &&
           (k->platform_private = key_load(crypto_private_key_load, dir, "sandbox_platform_private_key.pem", why)) &&
           secret_load(k->apiv3_key, dir, "apiv3_key", why) &&
           later_secret_load(k->app_secret, dir, SECRET_FILE, why) &&
           later_secret_load(k->fake_secret, dir, FAKE_FILE, why) && platform_cert_load(k, dir, why);
}

static bool keys_load(struct keys *k, const char *dir, char why[200])
{
    return sandbox_identity_read(dir, &k->identity, why) && wechat_load(k, dir, why) &&
           (k->app_public = key_load(crypto_public_key_load, dir, "app_public_key.pem", why)) &&
           (k->app_private = key_load(crypto_private_key_load, dir, "app_private_key.pem", why)) &&
           (k->alipay_private = key_load(crypto_private_key_load, dir, "sandbox_alipay_private_key.pem", why)) &&
           alipay_ca_open(&k->alipay_ca, dir, why);
}

bool keys_open(struct keys *k, const char *dir, char why[200])
{
    *k = (struct keys){0};
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) return fail_errno(why, dir, "");
    bool must_make = dir_is_empty(dir) || file_exists(dir, MAKING_FILE);
    if (!must_make && !file_exists(dir, IDENTITY_FILE))
        return fail(why, dir, "", "holds other files and no " IDENTITY_FILE ": name an empty directory");
    if ((!must_make || keys_make(dir, why)) && keys_load(k, dir, why)) return true;
    keys_close(k);
    return false;
}

void keys_close(struct keys *k)
{
    crypto_key_free(k->app_public);
    crypto_key_free(k->app_private);
    crypto_key_free(k->alipay_private);
    crypto_key_free(k->merchant_public);
    crypto_key_free(k->merchant_private);
    crypto_key_free(k->platform_private);
    buf_free(&k->platform_cert);
    explicit_bzero(k->apiv3_key, sizeof k->apiv3_key);
    explicit_bzero(k->app_secret, sizeof k->app_secret);
    explicit_bzero(k->fake_secret, sizeof k->fake_secret);
    alipay_ca_close(&k->alipay_ca);
    *k = (struct keys){0};
}
