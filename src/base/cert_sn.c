// SPDX-License-Identifier: Apache-2.0
#include "base/cert_sn.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <unistd.h>

#define FILE_MAX   65536
#define NAME_STYLE (XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB) // text beyond ASCII as it is

static bool say(char why[160], const char *reason)
{
    (void)snprintf(why, 160, "%s", reason);
    return false;
}

static bool md5_hex(const char *p, size_t n, char out[CERT_SN_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    if (EVP_Digest(p, n, digest, &digest_len, EVP_md5(), NULL) != 1 || digest_len != 16) return false;
    for (unsigned i = 0; i < digest_len; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return true;
}

static bool sn_of(X509 *x, char out[CERT_SN_SIZE])
{
    char *name = NULL;
    BIO *text = BIO_new(BIO_s_mem());
    BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
    char *decimal = serial ? BN_bn2dec(serial) : NULL;
    bool ok = text && decimal && X509_NAME_print_ex(text, X509_get_issuer_name(x), 0, NAME_STYLE) >= 0 &&
              BIO_puts(text, decimal) > 0;
    long n = ok ? BIO_get_mem_data(text, &name) : 0;
    ok = n > 0 && md5_hex(name, (size_t)n, out);
    OPENSSL_free(decimal);
    BN_free(serial);
    BIO_free(text);
    return ok;
}

static bool is_rsa_signed(const X509 *x)
{
    int key_kind = NID_undef;
    return OBJ_find_sigid_algs(X509_get_signature_nid(x), NULL, &key_kind) == 1 && key_kind == NID_rsaEncryption;
}

// OpenSSL would ask the terminal.
static int no_passphrase(char *out, int size, int rwflag, void *user)
{
    (void)out, (void)size, (void)rwflag, (void)user;
    return -1;
}

// The next certificate of the text; NULL at its end, or, with `damaged`, where it cannot be read.
static X509 *next_cert(BIO *in, bool *damaged)
{
    X509 *x = in ? PEM_read_bio_X509(in, NULL, no_passphrase, NULL) : NULL;
    *damaged = !x && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE;
    ERR_clear_error();
    return x;
}

bool cert_sn(struct str pem, char out[CERT_SN_SIZE], char why[160])
{
    bool damaged;
    BIO *in = BIO_new_mem_buf(pem.n ? pem.p : "", (int)pem.n);
    X509 *x = next_cert(in, &damaged);
    bool ok = x ? sn_of(x, out) || say(why, "the certificate's serial name cannot be made")
                : say(why, "expected a certificate (PEM)");
    X509_free(x);
    BIO_free(in);
    return ok;
}

bool cert_sn_of_roots(struct str pem, char out[CERT_SNS_SIZE], char why[160])
{
    BIO *in = BIO_new_mem_buf(pem.n ? pem.p : "", (int)pem.n);
    size_t n = 0;
    bool ok = true, damaged = false;
    out[0] = 0;
    for (X509 *x; ok && (x = next_cert(in, &damaged)); X509_free(x)) {
        if (!is_rsa_signed(x)) continue;
        if (n + 1 + CERT_SN_SIZE > CERT_SNS_SIZE) {
            ok = say(why, "too many root certificates");
            continue;
        }
        if (n) out[n++] = '_';
        ok = sn_of(x, out + n) || say(why, "the certificate's serial name cannot be made");
        n += CERT_SN_SIZE - 1;
    }
    BIO_free(in);
    if (damaged) return say(why, "a root certificate cannot be read");
    return ok && (n > 0 || say(why, "expected root certificates signed with RSA (PEM)"));
}

bool cert_load(const char *path, struct buf *pem, char why[160])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = 0;
    if (fd < 0) return say(why, strerrordesc_np(errno));
    while (pem->n <= FILE_MAX && buf_reserve(pem, 4096) && (n = read(fd, pem->p + pem->n, 4096)) > 0)
        pem->n += (size_t)n;
    close(fd);
    if (n < 0) return say(why, strerrordesc_np(errno));
    if (pem->failed) return say(why, "out of memory");
    return pem->n <= FILE_MAX || say(why, "too long for a certificate");
}
