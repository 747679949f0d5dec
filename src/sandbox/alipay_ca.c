// SPDX-License-Identifier: Apache-2.0
#include "sandbox/alipay_ca.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <unistd.h>

#define DAY_S        INT64_C(86400)
#define ROOT_DAYS    7300
#define CERT_DAYS    1825
#define SERIAL_BYTES 16

static bool fail(char why[200], const char *dir, const char *file, const char *reason)
{
    (void)snprintf(why, 200, "keys: %.60s/%.40s: %.85s", dir, file, reason);
    return false;
}

static bool path_make(char out[PATH_MAX], const char *dir, const char *file)
{
    return snprintf(out, PATH_MAX, "%s/%s", dir, file) < PATH_MAX;
}

// --- Making certificates

static bool name_add(X509_NAME *name, const char *field, const char *value)
{
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0) == 1;
}

static bool extension_add(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = e && X509_add_ext(x, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

static bool serial_set(X509 *x)
{
    uint8_t random[SERIAL_BYTES];
    BIGNUM *n = crypto_random(random, sizeof random) ? BN_bin2bn(random, sizeof random, NULL) : NULL;
    bool ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
    BN_free(n);
    return ok;
}

// A certificate for `key`, signed by `issuer`'s; without an issuer by itself, a root.
static X509 *cert_make(EVP_PKEY *key, const char *common_name, X509 *issuer, EVP_PKEY *issuer_key)
{
    X509 *x = X509_new();
    X509_NAME *name = x ? X509_get_subject_name(x) : NULL;
    bool is_root = !issuer;
    bool ok = name && serial_set(x) && X509_set_version(x, 2) == 1 && X509_gmtime_adj(X509_getm_notBefore(x), -DAY_S) &&
              X509_gmtime_adj(X509_getm_notAfter(x), (is_root ? ROOT_DAYS : CERT_DAYS) * DAY_S) &&
              name_add(name, "C", "CN") && name_add(name, "O", "Till sandbox") &&
              name_add(name, "OU", is_root ? "Certification Authority" : "Alipay") &&
              name_add(name, "CN", common_name) && X509_set_pubkey(x, key) == 1 &&
              X509_set_issuer_name(x, is_root ? name : X509_get_subject_name(issuer)) == 1 &&
              extension_add(x, is_root ? x : issuer, NID_basic_constraints,
                            is_root ? "critical,CA:TRUE" : "critical,CA:FALSE") &&
              extension_add(x, is_root ? x : issuer, NID_key_usage,
                            is_root ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature") &&
              X509_sign(x, is_root ? key : issuer_key, EVP_sha256()) > 0;
    if (ok) return x;
    X509_free(x);
    return NULL;
}

static EVP_PKEY *public_load(const char *dir, const char *file)
{
    char path[PATH_MAX];
    FILE *f = path_make(path, dir, file) ? fopen(path, "re") : NULL;
    EVP_PKEY *key = f ? PEM_read_PUBKEY(f, NULL, NULL, NULL) : NULL;
    if (f) (void)fclose(f);
    return key;
}

// --- Writing files

// It appears only when it is whole.
static bool certs_write(const char *dir, const char *file, X509 *const certs[], unsigned n, char why[200])
{
    char path[PATH_MAX], unfinished[PATH_MAX];
    if (!path_make(path, dir, file) || snprintf(unfinished, sizeof unfinished, "%s.new", path) >= PATH_MAX)
        return fail(why, dir, file, "the path is too long");
    FILE *f = fopen(unfinished, "we");
    bool ok = f != NULL;
    for (unsigned i = 0; ok && i < n; i++)
        ok = PEM_write_X509(f, certs[i]) == 1;
    ok = ok && fflush(f) == 0 && fsync(fileno(f)) == 0;
    if (f && fclose(f) != 0) ok = false;
    ok = ok && rename(unfinished, path) == 0;
    if (ok) return true;
    (void)fail(why, dir, file, errno ? strerrordesc_np(errno) : "cannot be written");
    (void)unlink(unfinished);
    return false;
}

struct made {
    EVP_PKEY *root_key, *other_key, *app_key, *alipay_key;
    X509 *root, *second, *other, *app, *alipay;
};

static bool everything_make(struct made *m, const char *dir)
{
    m->root_key = EVP_RSA_gen(2048);
    m->other_key = EVP_EC_gen("P-256");
    m->app_key = public_load(dir, "app_public_key.pem");
    m->alipay_key = public_load(dir, "alipay_public_key.pem");
    return m->root_key && m->other_key && m->app_key && m->alipay_key &&
           (m->root = cert_make(m->root_key, "Till sandbox root R1", NULL, NULL)) &&
           (m->second = cert_make(m->root_key, "Till sandbox root R2", NULL, NULL)) &&
           (m->other = cert_make(m->other_key, "Till sandbox root E1", NULL, NULL)) &&
           (m->app = cert_make(m->app_key, "Till sandbox application", m->root, m->root_key)) &&
           (m->alipay = cert_make(m->alipay_key, "Till sandbox Alipay", m->root, m->root_key));
}

static void everything_free(struct made *m)
{
    EVP_PKEY_free(m->root_key);
    EVP_PKEY_free(m->other_key);
    EVP_PKEY_free(m->app_key);
    EVP_PKEY_free(m->alipay_key);
    X509_free(m->root);
    X509_free(m->second);
    X509_free(m->other);
    X509_free(m->app);
    X509_free(m->alipay);
}

static bool ca_make(const char *dir, char why[200])
{
    struct made m = {0};
    errno = 0;
    bool ok = everything_make(&m, dir) || fail(why, dir, ALIPAY_ROOT_CERT_FILE, "cannot make certificates");
    X509 *const roots[] = {m.root, m.other, m.second};
    ok = ok && certs_write(dir, APP_CERT_FILE, &m.app, 1, why) &&
         certs_write(dir, ALIPAY_CERT_FILE, &m.alipay, 1, why) &&
         certs_write(dir, ALIPAY_ROOT_CERT_FILE, roots, 3, why);
    everything_free(&m);
    return ok;
}

// --- Reading them

static bool file_load(const char *dir, const char *file, struct buf *pem, char why[200])
{
    char path[PATH_MAX], reason[160];
    if (!path_make(path, dir, file)) return fail(why, dir, file, "the path is too long");
    return cert_load(path, pem, reason) || fail(why, dir, file, reason);
}

static bool is_of_key(const char *dir, const char *public_file, struct str pem)
{
    EVP_PKEY *wanted = public_load(dir, public_file);
    BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *x = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    bool same = wanted && x && EVP_PKEY_eq(X509_get0_pubkey(x), wanted) == 1;
    X509_free(x);
    BIO_free(in);
    EVP_PKEY_free(wanted);
    return same;
}

static bool ca_load(struct alipay_ca *ca, const char *dir, char why[200])
{
    char reason[160];
    struct buf app = {0}, roots = {0};
    bool ok = file_load(dir, APP_CERT_FILE, &app, why) && file_load(dir, ALIPAY_CERT_FILE, &ca->alipay_pem, why) &&
              file_load(dir, ALIPAY_ROOT_CERT_FILE, &roots, why);
    ok = ok &&
         ((cert_sn(buf_view(&app), ca->app_sn, reason) && cert_sn(buf_view(&ca->alipay_pem), ca->alipay_sn, reason) &&
           cert_sn_of_roots(buf_view(&roots), ca->root_sn, reason)) ||
          fail(why, dir, APP_CERT_FILE, reason));
    ok = ok && ((is_of_key(dir, "app_public_key.pem", buf_view(&app)) &&
                 is_of_key(dir, "alipay_public_key.pem", buf_view(&ca->alipay_pem))) ||
                fail(why, dir, APP_CERT_FILE, "is of another key"));
    buf_free(&app);
    buf_free(&roots);
    return ok;
}

bool alipay_ca_open(struct alipay_ca *ca, const char *dir, char why[200])
{
    char missing[200];
    *ca = (struct alipay_ca){0};
    if (ca_load(ca, dir, missing)) return true;
    alipay_ca_close(ca);
    if (ca_make(dir, why) && ca_load(ca, dir, why)) return true;
    alipay_ca_close(ca);
    return false;
}

void alipay_ca_close(struct alipay_ca *ca)
{
    buf_free(&ca->alipay_pem);
    *ca = (struct alipay_ca){0};
}
