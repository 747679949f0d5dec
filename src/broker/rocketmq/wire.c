// SPDX-License-Identifier: Apache-2.0
#include "broker/rocketmq/wire.h"
#include <assert.h>
#include <stdio.h>

// --- Out

void wire_request_init(struct wire_request *r, int code, enum wire_kind kind, int32_t opaque)
{
    r->code = code;
    r->opaque = opaque;
    r->kind = kind;
    r->is_oneway = false;
    r->n_fields = 0;
    r->n_numbers = 0;
    r->body = (struct str){"", 0};
    assert(kind == WIRE_JSON || code <= INT16_MAX);
}

// An empty value is left out: the binary form reads it as none, and a server that checks signatures then puts the word
// "null" in its place.
void wire_put(struct wire_request *r, const char *key, struct str value)
{
    if (value.n == 0) return;
    assert(r->n_fields < sizeof r->fields / sizeof r->fields[0]);
    r->fields[r->n_fields++] = (struct wire_field){str_of(key), value};
}

static struct str format_i64(char room[24], int64_t v)
{
    size_t i = 24;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        room[--i] = (char)('0' + u % 10);
        u /= 10;
    } while (u);
    if (v < 0) room[--i] = '-';
    return (struct str){room + i, 24 - i};
}

void wire_put_i64(struct wire_request *r, const char *key, int64_t value)
{
    assert(r->n_numbers < sizeof r->numbers / sizeof r->numbers[0]);
    wire_put(r, key, format_i64(r->numbers[r->n_numbers++], value));
}

static void add16(struct buf *b, uint32_t v)
{
    char p[2];
    wire_set16(p, v);
    buf_add(b, p, sizeof p);
}

static void add32(struct buf *b, uint32_t v)
{
    char p[4];
    wire_set32(p, v);
    buf_add(b, p, sizeof p);
}

static void encode_binary(const struct wire_request *r, uint32_t flag, struct str remark, struct buf *out)
{
    add16(out, (uint32_t)r->code);
    buf_char(out, WIRE_LANGUAGE);
    add16(out, WIRE_VERSION);
    add32(out, (uint32_t)r->opaque);
    add32(out, flag);
    add32(out, (uint32_t)remark.n);
    buf_str(out, remark);
    size_t at = out->n;
    add32(out, 0);
    for (unsigned i = 0; i < r->n_fields; i++) {
        const struct wire_field *f = &r->fields[i];
        add16(out, (uint32_t)f->key.n);
        buf_str(out, f->key);
        add32(out, (uint32_t)f->value.n);
        buf_str(out, f->value);
    }
    if (!out->failed) wire_set32(out->p + at, (uint32_t)(out->n - at - 4));
}

// Not with buf's JSON writer: its comma rule wants a buffer that holds nothing else.
static void add_json_text(struct buf *b, struct str s)
{
    static const char hex[] = "0123456789abcdef";
    buf_char(b, '"');
    size_t from = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        buf_add(b, s.p + from, i - from);
        from = i + 1;
        if (c >= 0x20) {
            char escaped[2] = {'\\', (char)c};
            buf_add(b, escaped, 2);
        } else {
            char escaped[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            buf_add(b, escaped, 6);
        }
    }
    buf_add(b, s.p + from, s.n - from);
    buf_char(b, '"');
}

static void encode_json(const struct wire_request *r, uint32_t flag, struct str remark, struct buf *out)
{
    buf_z(out, "{\"code\":");
    buf_i64(out, r->code);
    buf_z(out, ",\"language\":\"CPP\",\"version\":");
    buf_i64(out, WIRE_VERSION);
    buf_z(out, ",\"opaque\":");
    buf_i64(out, r->opaque);
    buf_z(out, ",\"flag\":");
    buf_i64(out, flag);
    if (remark.n) {
        buf_z(out, ",\"remark\":");
        add_json_text(out, remark);
    }
    buf_z(out, ",\"serializeTypeCurrentRPC\":\"JSON\",\"extFields\":{");
    for (unsigned i = 0; i < r->n_fields; i++) {
        if (i) buf_char(out, ',');
        add_json_text(out, r->fields[i].key);
        buf_char(out, ':');
        add_json_text(out, r->fields[i].value);
    }
    buf_z(out, "}}");
}

static bool encode(const struct wire_request *r, uint32_t flag, struct str remark, struct buf *out)
{
    size_t start = out->n;
    char gap[8] = {0};
    buf_add(out, gap, sizeof gap);
    if (r->kind == WIRE_BINARY)
        encode_binary(r, flag, remark, out);
    else
        encode_json(r, flag, remark, out);
    size_t header = out->n - start - 8;
    buf_str(out, r->body);
    size_t total = out->n - start;
    if (out->failed || total > WIRE_FRAME_MAX || header > WIRE_HEADER_MAX) {
        out->n = start;
        return false;
    }
    wire_set32(out->p + start, (uint32_t)total - 4);
    wire_set32(out->p + start + 4, (uint32_t)r->kind << 24 | (uint32_t)header);
    return true;
}

bool wire_encode(struct wire_request *r, struct acl *acl, struct buf *out)
{
    if (acl && !acl_sign(acl, r)) return false;
    return encode(r, r->is_oneway ? WIRE_ONEWAY : 0, (struct str){"", 0}, out);
}

bool wire_encode_answer(int32_t opaque, int code, struct str remark, struct buf *out)
{
    struct wire_request r;
    wire_request_init(&r, code, WIRE_JSON, opaque);
    return encode(&r, WIRE_RESPONSE, remark, out);
}

// --- In: frames

int64_t wire_frame_len(const char *bytes, size_t n)
{
    if (n < 8) return 0;
    int64_t total = wire_get32(bytes);
    uint32_t word = (uint32_t)wire_get32(bytes + 4);
    int64_t header = word & 0xffffff;
    if (word >> 24 > WIRE_BINARY) return -1;
    if (total < 4 + header || total + 4 > WIRE_FRAME_MAX) return -1;
    return total + 4;
}

static bool field_add(struct wire_frame *f, struct str key, struct str value)
{
    if (f->n_fields == WIRE_FIELDS_MAX) return true; // more than anybody sends: what we need comes early or not at all
    f->fields[f->n_fields++] = (struct wire_field){key, value};
    return true;
}

static bool parse_binary(const char *p, size_t n, struct wire_frame *out)
{
    if (n < 21) return false;
    out->code = wire_get16(p);
    out->version = wire_get16(p + 3);
    out->opaque = wire_get32(p + 5);
    out->flag = wire_get32(p + 9);
    size_t at = 17;
    int32_t len = wire_get32(p + 13);
    if (len < 0 || (size_t)len > n - 21) return false;
    out->remark = (struct str){p + at, (size_t)len};
    at += (size_t)len;
    len = wire_get32(p + at);
    at += 4;
    if (len < 0 || (size_t)len != n - at) return false;
    while (at < n) {
        if (n - at < 2) return false;
        int32_t key_n = wire_get16(p + at);
        at += 2;
        if (key_n < 0 || n - at < (size_t)key_n + 4) return false;
        struct str key = {p + at, (size_t)key_n};
        at += key.n;
        int32_t value_n = wire_get32(p + at);
        at += 4;
        if (value_n < 0 || n - at < (size_t)value_n) return false;
        if (!field_add(out, key, (struct str){p + at, (size_t)value_n})) return false;
        at += (size_t)value_n;
    }
    return true;
}

// --- In: JSON, only what a header can be: an object of numbers, texts, null, and one flat object of texts

struct json_scan {
    char *p, *end;
};

static void skip_space(struct json_scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
        s->p++;
}

static bool take(struct json_scan *s, char c)
{
    skip_space(s);
    if (s->p == s->end || *s->p != c) return false;
    s->p++;
    return true;
}

static bool peek(struct json_scan *s, char c)
{
    skip_space(s);
    return s->p < s->end && *s->p == c;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool take_hex4(struct json_scan *s, uint32_t *out)
{
    if (s->end - s->p < 4) return false;
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        int d = hex_digit(s->p[i]);
        if (d < 0) return false;
        v = v << 4 | (uint32_t)d;
    }
    s->p += 4;
    *out = v;
    return true;
}

static char *put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *to++ = (char)(0xe0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    } else {
        *to++ = (char)(0xf0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3f));
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
        *to++ = (char)(0x80 | (c & 0x3f));
    }
    return to;
}

static bool take_unicode(struct json_scan *s, char **to)
{
    uint32_t c, low;
    if (!take_hex4(s, &c)) return false;
    if (c >= 0xd800 && c < 0xdc00) {
        if (s->end - s->p < 6 || s->p[0] != '\\' || s->p[1] != 'u') return false;
        s->p += 2;
        if (!take_hex4(s, &low) || low < 0xdc00 || low > 0xdfff) return false;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    *to = put_utf8(*to, c);
    return true;
}

// What an escape stands for is never longer than the escape, so the text is mended where it lies.
static bool take_escape(struct json_scan *s, char **to)
{
    if (s->p == s->end) return false;
    char c = *s->p++;
    switch (c) {
    case '"':
    case '\\':
    case '/': *(*to)++ = c; return true;
    case 'b': *(*to)++ = '\b'; return true;
    case 'f': *(*to)++ = '\f'; return true;
    case 'n': *(*to)++ = '\n'; return true;
    case 'r': *(*to)++ = '\r'; return true;
    case 't': *(*to)++ = '\t'; return true;
    case 'u': return take_unicode(s, to);
    default: return false;
    }
}

// Most texts hold no escape: found by two searches and left as they are.
static bool take_text(struct json_scan *s, struct str *out)
{
    if (!take(s, '"')) return false;
    char *start = s->p, *quote = memchr(start, '"', (size_t)(s->end - start));
    if (!quote) return false;
    char *to = memchr(start, '\\', (size_t)(quote - start));
    if (!to) {
        *out = (struct str){start, (size_t)(quote - start)};
        s->p = quote + 1;
        return true;
    }
    s->p = to;
    while (s->p < s->end) {
        char c = *s->p++;
        if (c == '"') {
            *out = (struct str){start, (size_t)(to - start)};
            return true;
        }
        if (c != '\\')
            *to++ = c;
        else if (!take_escape(s, &to))
            return false;
    }
    return false;
}

// A number, true, false or null: its text.
static bool take_word(struct json_scan *s, struct str *out)
{
    skip_space(s);
    char *start = s->p;
    while (s->p < s->end && ((*s->p >= '0' && *s->p <= '9') || (*s->p >= 'a' && *s->p <= 'z') || *s->p == '-' ||
                             *s->p == '+' || *s->p == '.' || *s->p == 'E'))
        s->p++;
    *out = (struct str){start, (size_t)(s->p - start)};
    return out->n > 0;
}

static bool take_scalar(struct json_scan *s, struct str *out, bool *is_null)
{
    *is_null = false;
    if (peek(s, '"')) return take_text(s, out);
    if (!take_word(s, out)) return false;
    *is_null = str_eq(*out, STR("null"));
    return true;
}

static bool take_fields(struct json_scan *s, struct wire_frame *out)
{
    if (!take(s, '{')) {
        struct str word;
        return take_word(s, &word) && str_eq(word, STR("null"));
    }
    if (take(s, '}')) return true;
    do {
        struct str key, value;
        bool is_null;
        if (!take_text(s, &key) || !take(s, ':') || !take_scalar(s, &value, &is_null)) return false;
        if (!is_null && !field_add(out, key, value)) return false;
    } while (take(s, ','));
    return take(s, '}');
}

static bool int32_of(struct str text, int32_t *out)
{
    int64_t v;
    if (!wire_i64(text, &v) || v < INT32_MIN || v > INT32_MAX) return false;
    *out = (int32_t)v;
    return true;
}

static bool take_member(struct json_scan *s, struct wire_frame *out, bool *has_code)
{
    struct str key, value;
    bool is_null;
    if (!take_text(s, &key) || !take(s, ':')) return false;
    if (str_eq(key, STR("extFields"))) return take_fields(s, out);
    if (!take_scalar(s, &value, &is_null)) return false;
    if (str_eq(key, STR("code"))) {
        *has_code = true;
        return int32_of(value, &out->code);
    }
    if (str_eq(key, STR("opaque"))) return int32_of(value, &out->opaque);
    if (str_eq(key, STR("flag"))) return int32_of(value, &out->flag);
    if (str_eq(key, STR("version"))) return int32_of(value, &out->version);
    if (str_eq(key, STR("remark")) && !is_null) out->remark = value;
    return true;
}

static bool parse_json(char *p, size_t n, struct wire_frame *out)
{
    struct json_scan s = {p, p + n};
    bool has_code = false;
    if (!take(&s, '{')) return false;
    do {
        if (!take_member(&s, out, &has_code)) return false;
    } while (take(&s, ','));
    if (!take(&s, '}')) return false;
    skip_space(&s);
    return s.p == s.end && has_code;
}

bool wire_parse(char *frame, size_t n, struct wire_frame *out)
{
    if (n < 8 || wire_frame_len(frame, n) != (int64_t)n) return false;
    uint32_t word = (uint32_t)wire_get32(frame + 4);
    size_t header = word & 0xffffff;
    out->code = out->opaque = out->flag = out->version = 0;
    out->n_fields = 0;
    out->remark = (struct str){"", 0};
    out->body = (struct str){frame + 8 + header, n - 8 - header};
    return word >> 24 == WIRE_BINARY ? parse_binary(frame + 8, header, out) : parse_json(frame + 8, header, out);
}

struct str wire_field_of(const struct wire_frame *f, const char *key)
{
    struct str k = str_of(key);
    for (unsigned i = f->n_fields; i > 0; i--)
        if (str_eq(f->fields[i - 1].key, k)) return f->fields[i - 1].value;
    return (struct str){NULL, 0};
}

bool wire_field_i64(const struct wire_frame *f, const char *key, int64_t *out)
{
    return wire_i64(wire_field_of(f, key), out);
}

// --- Properties

void wire_property_add(struct buf *out, struct str name, struct str value)
{
    buf_str(out, name);
    buf_char(out, '\1');
    buf_str(out, value);
    buf_char(out, '\2');
}

struct str wire_property(struct str properties, struct str name)
{
    struct str found = {NULL, 0};
    while (properties.n > 0) {
        const char *end = memchr(properties.p, '\2', properties.n);
        size_t n = end ? (size_t)(end - properties.p) : properties.n;
        if (n > name.n && properties.p[name.n] == '\1' && memcmp(properties.p, name.p, name.n) == 0)
            found = (struct str){properties.p + name.n + 1, n - name.n - 1};
        n += end ? 1 : 0;
        properties.p += n;
        properties.n -= n;
    }
    return found;
}

bool wire_property_fits(struct str value)
{
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] == '\1' || value.p[i] == '\2') return false;
    return true;
}

// --- Numbers

bool wire_i64(struct str text, int64_t *out)
{
    size_t i = text.n > 0 && text.p[0] == '-';
    if (i == text.n || text.n - i > 19) return false;
    uint64_t v = 0;
    for (size_t k = i; k < text.n; k++) {
        if (text.p[k] < '0' || text.p[k] > '9') return false;
        v = v * 10 + (uint64_t)(text.p[k] - '0');
    }
    if (v > (uint64_t)INT64_MAX + (i ? 1 : 0)) return false;
    *out = i ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

bool wire_hex_i64(struct str text, int64_t *out)
{
    if (text.n == 0 || text.n > 16) return false;
    uint64_t v = 0;
    for (size_t i = 0; i < text.n; i++) {
        int d = hex_digit(text.p[i]);
        if (d < 0) return false;
        v = v << 4 | (uint64_t)d;
    }
    *out = (int64_t)v;
    return true;
}
