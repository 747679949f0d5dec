// SPDX-License-Identifier: Apache-2.0
// The answer of GET /v3/certificates. Two proofs are asked for: each certificate opens with the APIv3 key, which only
// WeChat Pay and the merchant know; and the answer is signed by one of these certificates, or by a key held before. So
// the first answer of all needs no key yet, and none made by anybody else passes.
#include "channel/wechatpay_wire.h"
#include <stdio.h>
#include <strings.h>

static struct str without_zeros(struct str s)
{
    while (s.n > 1 && s.p[0] == '0')
        s = (struct str){s.p + 1, s.n - 1};
    return s;
}

static const char *cert_read(const struct wechatpay_app *app, const json_t *node, struct platform_cert *cert)
{
    struct buf pem = {0};
    struct crypto_certificate about;
    char reason[160];
    struct str serial = wechatpay_field(node, "serial_no"), digits = without_zeros(serial);
    if (serial.n == 0 || serial.n > WECHATPAY_SERIAL_MAX) return "a certificate without a serial_no";
    if (!wechatpay_open_resource(app, json_object_get(node, "encrypt_certificate"), &pem)) {
        buf_free(&pem);
        return "a certificate the APIv3 key does not open";
    }
    *cert = (struct platform_cert){.key = crypto_certificate_parse(buf_view(&pem), &about, reason)};
    buf_free(&pem);
    if (!cert->key) return "a certificate that is none";
    memcpy(cert->serial, serial.p, serial.n); // as messages will name it
    cert->until_ms = about.until_ms;
    if (digits.n == strlen(about.serial) && strncasecmp(digits.p, about.serial, digits.n) == 0) return NULL;
    crypto_key_free(cert->key);
    return "a certificate of another serial_no";
}

static const char *list_read(const struct wechatpay_app *app, const json_t *data, struct platform_certs *certs)
{
    if (!json_is_array(data)) return "no list of certificates";
    if (json_array_size(data) > WECHATPAY_CERTS_MAX) return "too many certificates";
    for (size_t i = 0; i < json_array_size(data); i++) {
        const char *wrong = cert_read(app, json_array_get(data, i), &certs->cert[certs->n]);
        if (wrong) return wrong;
        certs->n++;
    }
    return NULL;
}

static const char *list_check(const struct wechatpay_app *app, const struct call_reply *reply, const json_t *root,
                              int64_t real_ms, struct platform_certs *certs)
{
    const char *wrong = list_read(app, json_object_get(root, "data"), certs), *why;
    struct wechatpay_seal seal = wechatpay_seal_of(reply);
    if (wrong) return wrong;
    return wechatpay_seal_check(app, certs, &seal, reply->body, real_ms, &why) == SEAL_GOOD ? NULL : why;
}

// A merchant of the public key has no certificates: "RESOURCE_NOT_EXISTS", "NOT_FOUND", or an empty list. Nothing is
// concluded from it but that there is no hurry.
static bool is_none(const struct call_reply *reply, const json_t *root)
{
    const json_t *data = json_object_get(root, "data");
    if (reply->status == 200) return json_is_array(data) && json_array_size(data) == 0;
    return reply->status == 404 &&
           (wechatpay_field_is(root, "code", "RESOURCE_NOT_EXISTS") || wechatpay_field_is(root, "code", "NOT_FOUND"));
}

static enum certificates_word root_judge(const struct wechatpay_app *app, const struct call_reply *reply,
                                         const json_t *root, int64_t real_ms, struct platform_certs *certs,
                                         char why[64])
{
    if (is_none(reply, root)) return CERTIFICATES_NONE;
    if (reply->status != 200) {
        (void)snprintf(why, 64, "http %d", reply->status);
        return CERTIFICATES_BAD;
    }
    const char *wrong = list_check(app, reply, root, real_ms, certs);
    if (!wrong) return CERTIFICATES_NEW;
    platform_certs_free(certs);
    (void)snprintf(why, 64, "%s", wrong);
    return CERTIFICATES_BAD;
}

enum certificates_word wechatpay_certificates(const struct wechatpay_app *app, const struct call_reply *reply,
                                              int64_t real_ms, struct platform_certs *certs, char why[64])
{
    struct json_fault fault;
    json_t *root = json_read_object(reply->body, &fault);
    *certs = (struct platform_certs){0};
    why[0] = 0;
    enum certificates_word word = root_judge(app, reply, root, real_ms, certs, why);
    json_decref(root);
    return word;
}
