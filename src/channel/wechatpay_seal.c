// SPDX-License-Identifier: Apache-2.0
// Whether WeChat Pay said it, now, and to us. The order matters: nothing of a message is believed before this.
#include "channel/wechatpay_wire.h"

#define WINDOW_S        300 // seconds a timestamp may be off, both ways
#define TIMESTAMP_MAX   12  // digits
#define NONCE_MAX       128
#define CIPHERTEXT_MAX  65536 // characters of base64
#define ASSOCIATED_MAX  128
#define SIGNTEST_PREFIX "WECHATPAY/SIGNTEST/"

static bool is_visible(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f) return false;
    return true;
}

static bool is_now(struct str timestamp, int64_t real_ms)
{
    int64_t s = 0;
    if (timestamp.n == 0 || timestamp.n > TIMESTAMP_MAX) return false;
    for (size_t i = 0; i < timestamp.n; i++) {
        if (timestamp.p[i] < '0' || timestamp.p[i] > '9') return false;
        s = s * 10 + (timestamp.p[i] - '0');
    }
    int64_t off_ms = real_ms - s * 1000;
    return off_ms <= WINDOW_S * 1000 && off_ms >= -WINDOW_S * 1000;
}

// What can be said without a key.
static const char *flaw_of(const struct wechatpay_seal *seal, int64_t real_ms)
{
    // Sent on purpose, now and then, to see whether signatures are looked at at all.
    if (str_starts(seal->signature, STR(SIGNTEST_PREFIX))) return "signature test";
    if (seal->signature.n == 0 || seal->timestamp.n == 0 || seal->nonce.n == 0 || seal->serial.n == 0)
        return "no signature";
    if (seal->nonce.n > NONCE_MAX || !is_visible(seal->nonce)) return "strange nonce";
    if (!is_now(seal->timestamp, real_ms)) return "stale timestamp";
    return NULL;
}

enum seal_word wechatpay_seal_check(const struct wechatpay_app *app, const struct platform_certs *extra,
                                    const struct wechatpay_seal *seal, struct str body, int64_t real_ms,
                                    const char **why)
{
    if (seal->signature.n == 0 && seal->timestamp.n == 0 && seal->nonce.n == 0 && seal->serial.n == 0) {
        *why = "no signature";
        return SEAL_ABSENT;
    }
    *why = flaw_of(seal, real_ms);
    if (*why) return SEAL_BAD;
    struct buf text = {0};
    struct str lines[] = {seal->timestamp, seal->nonce, body};
    for (unsigned i = 0; i < 3; i++) {
        buf_str(&text, lines[i]);
        buf_char(&text, '\n');
    }
    enum key_word key = KEY_DENIES;
    if (!text.failed)
        key = platform_keys_verify(app->keys, extra, seal->serial, buf_view(&text), seal->signature, real_ms);
    buf_free(&text);
    switch (key) {
    case KEY_VERIFIES: *why = ""; return SEAL_GOOD;
    case KEY_DENIES: *why = "bad signature"; return SEAL_BAD;
    case KEY_UNKNOWN: break;
    }
    *why = "unknown serial";
    return SEAL_UNKNOWN_KEY;
}

struct wechatpay_seal wechatpay_seal_of(const struct call_reply *reply)
{
    return (struct wechatpay_seal){
        .timestamp = call_reply_header(reply, "Wechatpay-Timestamp"),
        .nonce = call_reply_header(reply, "Wechatpay-Nonce"),
        .serial = call_reply_header(reply, "Wechatpay-Serial"),
        .signature = call_reply_header(reply, "Wechatpay-Signature"),
    };
}

bool wechatpay_open_resource(const struct wechatpay_app *app, const json_t *resource, struct buf *plain)
{
    struct str ciphertext = wechatpay_field(resource, "ciphertext"), nonce = wechatpay_field(resource, "nonce");
    struct str associated = wechatpay_field(resource, "associated_data");
    struct buf sealed = {0};
    bool ok = wechatpay_field_is(resource, "algorithm", "AEAD_AES_256_GCM") && ciphertext.n > 0 &&
              ciphertext.n <= CIPHERTEXT_MAX && associated.n <= ASSOCIATED_MAX &&
              crypto_base64_decode(ciphertext, &sealed) &&
              crypto_gcm_open(app->apiv3_key, nonce, associated, buf_view(&sealed), plain);
    buf_free(&sealed);
    return ok;
}

// --- Members

struct str wechatpay_field(const json_t *node, const char *name)
{
    const json_t *v = json_object_get(node, name);
    if (!json_is_string(v)) return (struct str){"", 0};
    return (struct str){json_string_value(v), json_string_length(v)};
}

bool wechatpay_field_is(const json_t *node, const char *name, const char *value)
{
    return str_eq(wechatpay_field(node, name), str_of(value));
}

bool wechatpay_amount(const json_t *node, const char *name, int64_t *fen)
{
    const json_t *amount = json_object_get(node, "amount");
    const json_t *v = json_object_get(amount, name);
    if (!json_is_integer(v)) return false;
    *fen = json_integer_value(v);
    if (*fen < 1 || *fen > AMOUNT_MAX_FEN) return false;
    return !json_object_get(amount, "currency") || wechatpay_field_is(amount, "currency", "CNY");
}

void wechatpay_copy_visible(struct str s, char *out, size_t size)
{
    size_t n = s.n < size - 1 ? s.n : size - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = s.p[i] > ' ' && s.p[i] < 0x7f ? s.p[i] : '?';
    out[n] = 0;
}
