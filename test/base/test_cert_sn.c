// SPDX-License-Identifier: Apache-2.0
// Certificates' serial names against what Alipay's own SDKs make of the same certificates (made with the openssl
// command line; nobody trusts them).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka needs the four above first
#include <cmocka.h>

#include "base/cert_sn.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// clang-format off
// Issuer C=CN, O=蚂蚁, 金服 (with a comma), OU=Certification Authority, CN=Root R1; a serial of 157 bits. RSA.
#define R1 \
    "-----BEGIN CERTIFICATE-----\n" \
    "MIICkDCCAfmgAwIBAgIUAPEjRWeJq83vASNFZ4mrze8BI0UwDQYJKoZIhvcNAQEL\n" \
    "BQAwWjELMAkGA1UEBhMCQ04xFzAVBgNVBAoMDuiaguiagSwg6YeR5pyNMSAwHgYD\n" \
    "VQQLDBdDZXJ0aWZpY2F0aW9uIEF1dGhvcml0eTEQMA4GA1UEAwwHUm9vdCBSMTAe\n" \
    "Fw0yNjExMjUyMDIzMDZaFw0yNjExMjYyMDIzMDZaMFoxCzAJBgNVBAYTAkNOMRcw\n" \
    "FQYDVQQKDA7omoLomoEsIOmHkeacjTEgMB4GA1UECwwXQ2VydGlmaWNhdGlvbiBB\n" \
    "dXRob3JpdHkxEDAOBgNVBAMMB1Jvb3QgUjEwgZ8wDQYJKoZIhvcNAQEBBQADgY0A\n" \
    "MIGJAoGBAKGhxJv6T5+/eDe0OTCeg4iDbZCIJ/0tlYf3zdTtxcJyj9+HLAt2b/aC\n" \
    "xGjTpU4IhTiAjhlIGOOhy+yrUPDQABqpdlKvLeKlAl+X4Nw8oYBbMfxf149kxDpj\n" \
    "HeIrXj/Kd2n9QIP+GKvm+OCx3oDkek88cEkCVkhE7SUEtBoLglptAgMBAAGjUzBR\n" \
    "MB0GA1UdDgQWBBSIV23B2pqR1G6lxvpGu0OFg2/frzAfBgNVHSMEGDAWgBSIV23B\n" \
    "2pqR1G6lxvpGu0OFg2/frzAPBgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3DQEBCwUA\n" \
    "A4GBADfVCPkrjpfXFErpFRIs3t63k64BDli61OShPjr/GIIOhw7P5efbmA3j+LK5\n" \
    "J8MLd/puXhaNRBTG7f1babroD/fNDLLC+1SNLMVSZPaJ8b4UsuSn+RihiQKNiITj\n" \
    "XK7luzpGRKGBp/K5GJlHhp18IIpCeyj+nhkBxDOl7UO5RXr0\n" \
    "-----END CERTIFICATE-----\n"
// Elliptic curve.
#define E1 \
    "-----BEGIN CERTIFICATE-----\n" \
    "MIIBpTCCAUygAwIBAgIBBzAKBggqhkjOPQQDAjAyMQswCQYDVQQGEwJDTjERMA8G\n" \
    "A1UECgwIRWxsaXB0aWMxEDAOBgNVBAMMB1Jvb3QgRTEwHhcNMjYxMTI1MjAyMzA2\n" \
    "WhcNMjYxMTI2MjAyMzA2WjAyMQswCQYDVQQGEwJDTjERMA8GA1UECgwIRWxsaXB0\n" \
    "aWMxEDAOBgNVBAMMB1Jvb3QgRTEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAR+\n" \
    "7D7l0M5G4RQPKYrVZxtEhu8a671DctDhwNTMPpgWz6k/RPg8dalgiEIZxCR7mMBJ\n" \
    "D8UALNXiSk8GniJN7M0Xo1MwUTAdBgNVHQ4EFgQUVcmfbWqLzDp2+XZtyImk93HM\n" \
    "DGAwHwYDVR0jBBgwFoAUVcmfbWqLzDp2+XZtyImk93HMDGAwDwYDVR0TAQH/BAUw\n" \
    "AwEB/zAKBggqhkjOPQQDAgNHADBEAiB3v3CZcMcHIw/DqVM4KATo9mdFCZNlI4u0\n" \
    "764l4iUSDQIgUYg/BO0ql6V0dqnanHKkrlVqSPVx2mXbA2j02YYfCW4=\n" \
    "-----END CERTIFICATE-----\n"
// Issuer C=CN, O=Ant Financial, CN=Root R2; serial 7. RSA with SHA-1.
#define R2 \
    "-----BEGIN CERTIFICATE-----\n" \
    "MIICNzCCAaCgAwIBAgIBBzANBgkqhkiG9w0BAQUFADA3MQswCQYDVQQGEwJDTjEW\n" \
    "MBQGA1UECgwNQW50IEZpbmFuY2lhbDEQMA4GA1UEAwwHUm9vdCBSMjAeFw0yNjEx\n" \
    "MjUyMDIzMDZaFw0yNjExMjYyMDIzMDZaMDcxCzAJBgNVBAYTAkNOMRYwFAYDVQQK\n" \
    "DA1BbnQgRmluYW5jaWFsMRAwDgYDVQQDDAdSb290IFIyMIGfMA0GCSqGSIb3DQEB\n" \
    "AQUAA4GNADCBiQKBgQChocSb+k+fv3g3tDkwnoOIg22QiCf9LZWH983U7cXCco/f\n" \
    "hywLdm/2gsRo06VOCIU4gI4ZSBjjocvsq1Dw0AAaqXZSry3ipQJfl+DcPKGAWzH8\n" \
    "X9ePZMQ6Yx3iK14/yndp/UCD/hir5vjgsd6A5HpPPHBJAlZIRO0lBLQaC4JabQID\n" \
    "AQABo1MwUTAdBgNVHQ4EFgQUiFdtwdqakdRupcb6RrtDhYNv368wHwYDVR0jBBgw\n" \
    "FoAUiFdtwdqakdRupcb6RrtDhYNv368wDwYDVR0TAQH/BAUwAwEB/zANBgkqhkiG\n" \
    "9w0BAQUFAAOBgQAgK1vZJ2wEf3+pzC7mmJu5zGVcBGoy1G7rpJobh9+wYUP//HTL\n" \
    "FH/FyDaIuFkCR8XJOf/bWOjDYpmefWPhoyi2QijGM8a12I/FGQjRmIPV+UD0O56+\n" \
    "irqdmhpsCoxhAJQxzlNwyz7UsSTo3VELwQSUCuQ67rC49xvBBtnDxr+8aA==\n" \
    "-----END CERTIFICATE-----\n"
// clang-format on

// alipay-sdk-java's. Npm's SDK does not escape the comma, and makes 47b8a768413f8859d97b7eb95eec1987 of it.
#define R1_SN "1c5f362b35dcda8decc267bb22eb6110"
#define R2_SN "c180272efa65936ca13a206b3c167118" // both SDKs'

static void a_certificates_name_is_the_sdks(void **state)
{
    (void)state;
    char sn[CERT_SN_SIZE], why[160];
    assert_true(cert_sn(STR(R1), sn, why));
    assert_string_equal(sn, R1_SN);
    assert_true(cert_sn(STR("Bag Attributes: x\n" R2 "trailing\n"), sn, why));
    assert_string_equal(sn, R2_SN);
    assert_true(cert_sn(STR(R2 R1), sn, why)); // the first counts
    assert_string_equal(sn, R2_SN);
}

static void roots_are_joined_and_only_rsa_counts(void **state)
{
    (void)state;
    char sns[CERT_SNS_SIZE], why[160];
    assert_true(cert_sn_of_roots(STR(R1 "\n" E1 R2), sns, why));
    assert_string_equal(sns, R1_SN "_" R2_SN);
    assert_true(cert_sn_of_roots(STR(R2), sns, why));
    assert_string_equal(sns, R2_SN);
    assert_true(cert_sn_of_roots(STR(R2 R2 R2 R2 R2 R2 R2 R2 R2 R2), sns, why));
    assert_int_equal(strlen(sns), CERT_SNS_SIZE - 2);
}

static void what_is_no_certificate_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const none[] = {"", "x", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
                                       "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"};
    char sn[CERT_SN_SIZE], sns[CERT_SNS_SIZE], why[160];
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        why[0] = 0;
        assert_false(cert_sn(str_of(none[i]), sn, why));
        assert_true(why[0]);
        why[0] = 0;
        assert_false(cert_sn_of_roots(str_of(none[i]), sns, why));
        assert_true(why[0]);
    }
    assert_false(cert_sn_of_roots(STR(E1), sns, why)); // none with RSA
    struct buf half = {0};
    buf_z(&half, R2);
    buf_add(&half, R1, 300); // a file cut short must not pass for fewer roots
    assert_false(cert_sn_of_roots(buf_view(&half), sns, why));
    buf_free(&half);
    assert_false(cert_sn_of_roots(STR(R2 R2 R2 R2 R2 R2 R2 R2 R2 R2 R2), sns, why));
    assert_string_equal(why, "too many root certificates");
}

static void files_are_read_within_bounds(void **state)
{
    (void)state;
    char path[] = "/tmp/till-cert-XXXXXX", why[160];
    struct buf pem = {0};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, R2, sizeof R2 - 1), sizeof R2 - 1);
    assert_true(cert_load(path, &pem, why));
    assert_true(str_eq(buf_view(&pem), STR(R2)));
    assert_int_equal(ftruncate(fd, 70000), 0);
    buf_clear(&pem);
    assert_false(cert_load(path, &pem, why));
    close(fd);
    unlink(path);
    assert_false(cert_load(path, &pem, why));
    assert_string_equal(why, "No such file or directory");
    buf_free(&pem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificates_name_is_the_sdks),
        cmocka_unit_test(roots_are_joined_and_only_rsa_counts),
        cmocka_unit_test(what_is_no_certificate_is_refused_with_a_reason),
        cmocka_unit_test(files_are_read_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
