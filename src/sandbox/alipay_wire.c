// SPDX-License-Identifier: Apache-2.0
#include "sandbox/alipay_wire.h"
#include <stdio.h>
#include <stdlib.h>

#define YUAN_MAX_FEN INT64_C(10000000000) // 100,000,000 yuan

// --- Parameters

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool is_text(struct str s)
{
    for (size_t n; s.n > 0; s.p += n, s.n -= n)
        if (s.p[0] == 0 || (n = str_utf8_len(s)) == 0) return false;
    return true;
}

// Appends the decoded text to memory that is large enough, so that earlier pieces stay where they are.
static bool decode(struct buf *text, struct str raw, struct str *out)
{
    size_t at = text->n;
    for (size_t i = 0; i < raw.n; i++) {
        char c = raw.p[i];
        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            int high = i + 2 < raw.n ? hex_value(raw.p[i + 1]) : -1;
            int low = i + 2 < raw.n ? hex_value(raw.p[i + 2]) : -1;
            if (high < 0 || low < 0) return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        text->p[text->n++] = c;
    }
    *out = (struct str){text->p + at, text->n - at};
    return is_text(*out);
}

static bool say(char why[160], const char *reason)
{
    (void)snprintf(why, 160, "%s", reason);
    return false;
}

static bool pair_read(struct params *p, struct str pair, char why[160])
{
    const char *equals = memchr(pair.p, '=', pair.n);
    struct str name = {pair.p, equals ? (size_t)(equals - pair.p) : pair.n};
    struct str value = {equals ? equals + 1 : NULL, equals ? pair.n - name.n - 1 : 0};
    struct param *q = &p->list[p->n];
    if (p->n == PARAMS_MAX) return say(why, "too many parameters");
    if (!decode(&p->text, name, &q->name) || !decode(&p->text, value, &q->value))
        return say(why, "a parameter is not url-encoded UTF-8");
    p->n++;
    return true;
}

static bool pairs_read(struct params *p, struct str text, char why[160])
{
    while (text.n > 0) {
        const char *end = memchr(text.p, '&', text.n);
        struct str pair = {text.p, end ? (size_t)(end - text.p) : text.n};
        if (pair.n > 0 && !pair_read(p, pair, why)) return false;
        size_t used = pair.n + (end ? 1 : 0);
        text.p += used;
        text.n -= used;
    }
    return true;
}

static int param_order(const void *a, const void *b)
{
    struct str x = ((const struct param *)a)->name, y = ((const struct param *)b)->name;
    size_t n = x.n < y.n ? x.n : y.n;
    int order = n ? memcmp(x.p, y.p, n) : 0;
    return order ? order : (x.n > y.n) - (x.n < y.n);
}

bool params_read(struct params *p, struct str query, struct str body, char why[160])
{
    p->n = 0;
    p->text = (struct buf){0};
    if (!buf_reserve(&p->text, query.n + body.n + 1)) return say(why, "out of memory");
    if (!pairs_read(p, query, why) || !pairs_read(p, body, why)) return false;
    qsort(p->list, p->n, sizeof p->list[0], param_order);
    for (unsigned i = 1; i < p->n; i++)
        if (str_eq(p->list[i - 1].name, p->list[i].name)) {
            (void)snprintf(why, 160, "parameter %.*s is there twice",
                           (int)(p->list[i].name.n > 40 ? 0 : p->list[i].name.n), p->list[i].name.p);
            return false;
        }
    return true;
}

void params_free(struct params *p)
{
    buf_free(&p->text);
    p->n = 0;
}

struct str params_get(const struct params *p, const char *name)
{
    for (unsigned i = 0; i < p->n; i++)
        if (str_eq(p->list[i].name, str_of(name))) return p->list[i].value;
    return (struct str){0};
}

void params_sign_text(const struct params *p, bool keep_empty, struct buf *out)
{
    for (unsigned i = 0; i < p->n; i++) {
        const struct param *q = &p->list[i];
        if (str_eq(q->name, STR("sign")) || q->name.n == 0 || (q->value.n == 0 && !keep_empty)) continue;
        if (out->n) buf_char(out, '&');
        buf_str(out, q->name);
        buf_char(out, '=');
        buf_str(out, q->value);
    }
}

bool params_verify(const struct params *p, const struct crypto_key *key)
{
    struct str sign = params_get(p, "sign");
    bool good = false, has_empty = false;
    for (unsigned i = 0; i < p->n; i++)
        has_empty = has_empty || p->list[i].value.n == 0;
    for (int keep = 0; !good && keep <= (has_empty ? 1 : 0); keep++) {
        struct buf text = {0};
        params_sign_text(p, keep, &text);
        good = !text.failed && crypto_rsa2_verify(key, buf_view(&text), sign);
        buf_free(&text);
    }
    return good;
}

// --- Texts

void form_encode(struct buf *out, struct str s)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || memchr("-_.*", c, 4)) {
            buf_char(out, (char)c);
        } else if (c == ' ') {
            buf_char(out, '+');
        } else {
            char escape[3] = {'%', hex[c >> 4], hex[c & 15]};
            buf_add(out, escape, sizeof escape);
        }
    }
}

void html_escape(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        switch (s.p[i]) {
        case '&': buf_z(out, "&amp;"); break;
        case '<': buf_z(out, "&lt;"); break;
        case '>': buf_z(out, "&gt;"); break;
        case '"': buf_z(out, "&quot;"); break;
        case '\'': buf_z(out, "&#39;"); break;
        default: buf_char(out, s.p[i]);
        }
    }
}

bool yuan_parse(struct str s, int64_t *fen)
{
    int64_t v = 0;
    size_t i = 0, decimals = 0;
    for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) {
        if (i == 9) return false;
        v = v * 10 + (s.p[i] - '0');
    }
    if (i == 0) return false;
    if (i < s.n && s.p[i] == '.') {
        for (i++; i < s.n && decimals < 2 && s.p[i] >= '0' && s.p[i] <= '9'; i++, decimals++)
            v = v * 10 + (s.p[i] - '0');
        if (decimals == 0) return false;
    }
    for (; decimals < 2; decimals++)
        v *= 10;
    if (i != s.n || v < 1 || v > YUAN_MAX_FEN) return false;
    *fen = v;
    return true;
}

void yuan_write(struct buf *out, int64_t fen)
{
    buf_printf(out, "%lld.%02d", (long long)(fen / 100), (int)(fen % 100));
}

bool envelope_write(struct buf *out, const char *key_name, struct str object, const char *cert_sn,
                    const struct crypto_key *key)
{
    buf_printf(out, "{\"%s\":", key_name);
    buf_str(out, object);
    if (cert_sn) buf_printf(out, ",\"alipay_cert_sn\":\"%s\"", cert_sn);
    buf_z(out, ",\"sign\":\"");
    bool ok = crypto_rsa2_sign(key, object, out);
    buf_z(out, "\"}");
    return ok && !out->failed;
}
