// SPDX-License-Identifier: Apache-2.0
#include "shell/config_value.h"
#include "base/timetext.h"
#include "core/cron.h"
#include "shell/flags.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#define TEXT_MAX 1024
#define URL_MAX  255 // of http addresses: what is put behind it must fit into an answer's fields

static bool all_of(struct str s, bool (*good)(char c))
{
    for (size_t i = 0; i < s.n; i++)
        if (!good(s.p[i])) return false;
    return true;
}

static bool is_visible(char c)
{
    return c > 0x20 && c < 0x7f && c != '"' && c != '\'' && c != '\\';
}

static bool is_host_char(char c)
{
    return isalnum((unsigned char)c) || c == '.' || c == '-';
}

static bool is_group_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-';
}

static bool is_clean_text(struct str s)
{
    while (s.n > 0) {
        size_t n = str_utf8_len(s);
        if (n == 0 || (unsigned char)s.p[0] < 0x20 || s.p[0] == 0x7f) return false;
        s.p += n;
        s.n -= n;
    }
    return true;
}

static bool take_prefix(struct str *s, struct str prefix)
{
    if (!str_starts(*s, prefix)) return false;
    s->p += prefix.n;
    s->n -= prefix.n;
    return true;
}

// --- the forms

bool address_split(struct str address, struct str *host, unsigned *port)
{
    const char *colon = address.n > 0 ? memrchr(address.p, ':', address.n) : NULL;
    if (!colon || colon == address.p) return false;
    struct str h = {address.p, (size_t)(colon - address.p)};
    struct str digits = {colon + 1, address.n - h.n - 1};
    if (digits.n < 1 || digits.n > 5) return false;
    unsigned v = 0;
    for (size_t i = 0; i < digits.n; i++) {
        if (!isdigit((unsigned char)digits.p[i])) return false;
        v = v * 10 + (unsigned)(digits.p[i] - '0');
    }
    if (v > 65535) return false;
    if (h.p[0] == '[') {
        char text[INET6_ADDRSTRLEN];
        struct in6_addr v6;
        if (h.n < 4 || h.p[h.n - 1] != ']' || h.n - 2 >= sizeof text) return false;
        h.p++;
        h.n -= 2;
        memcpy(text, h.p, h.n);
        text[h.n] = 0;
        if (inet_pton(AF_INET6, text, &v6) != 1) return false;
    } else if (h.n > 253 || !all_of(h, is_host_char)) {
        return false;
    }
    *host = h;
    *port = v;
    return true;
}

// host, host:port, [v6] or [v6]:port
static bool is_authority(struct str s)
{
    struct str host;
    unsigned port;
    if (s.n == 0) return false;
    if (s.p[0] == '[' ? s.p[s.n - 1] != ']' : memchr(s.p, ':', s.n) != NULL)
        return address_split(s, &host, &port) && port > 0;
    if (s.p[0] != '[') return s.n <= 253 && all_of(s, is_host_char);
    char with_port[64];
    int n = snprintf(with_port, sizeof with_port, "%.*s:1", (int)(s.n < 60 ? s.n : 60), s.p);
    return s.n < 60 && address_split((struct str){with_port, (size_t)n}, &host, &port);
}

static bool is_http_url(struct str s)
{
    if (s.n > URL_MAX || !all_of(s, is_visible)) return false;
    if (!take_prefix(&s, STR("http://")) && !take_prefix(&s, STR("https://"))) return false;
    if (s.n == 0 || memchr(s.p, '?', s.n) || memchr(s.p, '#', s.n)) return false;
    const char *slash = memchr(s.p, '/', s.n);
    return is_authority((struct str){s.p, slash ? (size_t)(slash - s.p) : s.n});
}

static bool is_store_url(struct str s)
{
    if (take_prefix(&s, STR("sqlite:"))) return s.n > 0 && is_clean_text(s);
    if (!take_prefix(&s, STR("postgres://")) && !take_prefix(&s, STR("postgresql://"))) return false;
    return s.n > 0 && is_clean_text(s) && !memchr(s.p, ' ', s.n);
}

static bool is_broker_url(struct str s)
{
    if (str_eq(s, STR("embedded:"))) return true;
    if (!take_prefix(&s, STR("rocketmq://"))) return false;
    const char *question = s.n > 0 ? memchr(s.p, '?', s.n) : NULL;
    if (question) {
        struct str group = {question + 1, s.n - (size_t)(question - s.p) - 1};
        if (!take_prefix(&group, STR("group=")) || group.n < 1 || group.n > 64 || !all_of(group, is_group_char))
            return false;
        s.n = (size_t)(question - s.p);
    }
    for (;;) {
        const char *semicolon = s.n > 0 ? memchr(s.p, ';', s.n) : NULL;
        struct str one = {s.p, semicolon ? (size_t)(semicolon - s.p) : s.n}, host;
        unsigned port;
        if (!address_split(one, &host, &port) || port == 0) return false;
        if (!semicolon) return true;
        s.p += one.n + 1;
        s.n -= one.n + 1;
    }
}

static bool is_cron(struct str s)
{
    struct cron cron;
    char why[CRON_WHY_SIZE];
    return cron_parse(s, &cron, why);
}

static bool is_text(const struct value_rule *r, struct str s)
{
    if (s.n == 0) return r->may_be_empty;
    if (s.n > TEXT_MAX) return false;
    switch (r->type) {
    case VALUE_NAME: return s.n <= 128 && all_of(s, is_visible);
    case VALUE_FILE: return is_clean_text(s);
    case VALUE_ADDRESS: {
        struct str host;
        unsigned port;
        return address_split(s, &host, &port);
    }
    case VALUE_URL: return is_http_url(s);
    case VALUE_STORE_URL: return is_store_url(s);
    case VALUE_BROKER_URL: return is_broker_url(s);
    case VALUE_CRON: return is_cron(s);
    case VALUE_DURATION:
    case VALUE_NUMBER:
    case VALUE_BOOL:
    case VALUE_WORD: break;
    }
    return false;
}

// --- reading

static bool read_text(const struct value_rule *r, struct str s, struct arena *a, void *field)
{
    if (!is_text(r, s)) return false;
    while (r->type == VALUE_URL && s.n > 0 && s.p[s.n - 1] == '/')
        s.n--;
    struct str copy = s.n > 0 ? arena_copy(a, s) : STR("");
    if (!copy.p) return false;
    memcpy(field, &copy.p, sizeof copy.p);
    return true;
}

static bool in_range(const struct value_rule *r, int64_t v, void *field)
{
    if (v < r->min || v > r->max) return false;
    memcpy(field, &v, sizeof v);
    return true;
}

static bool read_duration(const struct value_rule *r, struct str s, void *field)
{
    static const int64_t never_ms = 0;
    int64_t ms;
    if (!r->may_be_never || !str_eq(s, STR("never"))) return duration_parse(s, &ms) && in_range(r, ms, field);
    memcpy(field, &never_ms, sizeof never_ms);
    return true;
}

static bool read_number(const struct value_rule *r, struct str s, void *field)
{
    char text[32];
    int64_t v;
    if (s.n >= sizeof text) return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    return number_parse(text, &v) && in_range(r, v, field);
}

// The i-th word of "one|two|three".
static bool word_at(const char *words, unsigned i, struct str *word)
{
    for (; i > 0; i--) {
        words = strchr(words, '|');
        if (!words) return false;
        words++;
    }
    *word = (struct str){words, strcspn(words, "|")};
    return true;
}

static bool read_word(const char *words, struct str s, unsigned *place)
{
    struct str word;
    for (unsigned i = 0; word_at(words, i, &word); i++) {
        if (!str_eq(word, s)) continue;
        *place = i;
        return true;
    }
    return false;
}

bool value_read(const struct value_rule *r, struct str text, struct arena *a, void *field)
{
    unsigned place;
    switch (r->type) {
    case VALUE_DURATION: return read_duration(r, text, field);
    case VALUE_NUMBER: return read_number(r, text, field);
    case VALUE_BOOL:
        if (!read_word("false|true", text, &place)) return false;
        *(bool *)field = place == 1;
        return true;
    case VALUE_WORD:
        if (!read_word(r->words, text, &place)) return false;
        memcpy(field, &place, sizeof place); // an enum without negative constants is an unsigned int
        return true;
    case VALUE_NAME:
    case VALUE_FILE:
    case VALUE_ADDRESS:
    case VALUE_URL:
    case VALUE_STORE_URL:
    case VALUE_BROKER_URL:
    case VALUE_CRON: break;
    }
    return read_text(r, text, a, field);
}

// --- writing

// Where the value behind "password=", or a name like it, begins; also behind a name with escapes, which could
// hide one. NULL: there is none.
static const char *find_password(struct str s)
{
    bool is_suspect = false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '%' || (s.n - i >= 8 && strncasecmp(s.p + i, "password", 8) == 0)) is_suspect = true;
        if (s.p[i] == '=' && is_suspect) return s.p + i + 1;
    }
    return NULL;
}

static void mask_parameters(struct str s, struct buf *out)
{
    while (s.n > 0) {
        const char *and = memchr(s.p, '&', s.n);
        struct str one = {s.p, and? (size_t)(and-s.p) : s.n};
        const char *secret = find_password(one);
        if (secret) {
            buf_add(out, one.p, (size_t)(secret - one.p));
            buf_z(out, "***");
        } else {
            buf_str(out, one);
        }
        if (and) buf_char(out, '&');
        s.p += one.n + (and? 1 : 0);
        s.n -= one.n + (and? 1 : 0);
    }
}

void value_mask_url(struct str url, struct buf *out)
{
    const char *scheme = memmem(url.p ? url.p : "", url.n, "://", 3);
    const char *end = url.p + url.n, *user = scheme ? scheme + 3 : url.p;
    // The last '@', so that a password that should have been escaped and was not is hidden as well.
    const char *at = url.n > 0 ? memrchr(user, '@', (size_t)(end - user)) : NULL;
    const char *colon = at ? memchr(user, ':', (size_t)(at - user)) : NULL;
    if (colon) {
        buf_add(out, url.p, (size_t)(colon + 1 - url.p));
        buf_z(out, "***");
        url = (struct str){at, (size_t)(end - at)};
    }
    mask_parameters(url, out);
}

void value_write(const struct value_rule *r, const void *field, bool masked, struct buf *out)
{
    const char *text = "";
    char duration[TIME_TEXT_SIZE];
    int64_t v = 0;
    unsigned place = 0;
    struct str word = {0};
    switch (r->type) {
    case VALUE_DURATION:
        memcpy(&v, field, sizeof v);
        duration_text(v, duration);
        buf_z(out, v == 0 && r->may_be_never ? "never" : duration);
        return;
    case VALUE_NUMBER:
        memcpy(&v, field, sizeof v);
        buf_i64(out, v);
        return;
    case VALUE_BOOL: buf_z(out, *(const bool *)field ? "true" : "false"); return;
    case VALUE_WORD:
        memcpy(&place, field, sizeof place);
        if (word_at(r->words, place, &word)) buf_str(out, word);
        return;
    case VALUE_NAME:
    case VALUE_FILE:
    case VALUE_ADDRESS:
    case VALUE_URL:
    case VALUE_STORE_URL:
    case VALUE_BROKER_URL:
    case VALUE_CRON: break;
    }
    memcpy(&text, field, sizeof text);
    if (masked && r->is_secret && *text)
        buf_z(out, "***");
    else if (masked && r->type == VALUE_STORE_URL && strncmp(text, "sqlite:", 7) != 0)
        value_mask_url(str_of(text), out);
    else
        buf_z(out, text);
}

static void words_allowed(const char *words, struct buf *out)
{
    struct str word, next;
    for (unsigned i = 0; word_at(words, i, &word); i++) {
        bool is_last = !word_at(words, i + 1, &next);
        if (i > 0) buf_z(out, is_last ? " or " : ", ");
        buf_str(out, word);
    }
}

void value_allowed(const struct value_rule *r, struct buf *out)
{
    char from[TIME_TEXT_SIZE], to[TIME_TEXT_SIZE];
    switch (r->type) {
    case VALUE_NAME: buf_z(out, "at most 128 visible ASCII characters"); break;
    case VALUE_FILE: buf_z(out, "the path of a file"); break;
    case VALUE_DURATION:
        duration_text(r->min, from);
        duration_text(r->max, to);
        if (r->may_be_never) buf_z(out, "never, or ");
        buf_printf(out, "a duration from %s to %s (500ms, 90s, 5m, 2h, 15d)", from, to);
        break;
    case VALUE_NUMBER: buf_printf(out, "a whole number from %lld to %lld", (long long)r->min, (long long)r->max); break;
    case VALUE_BOOL: buf_z(out, "true or false"); break;
    case VALUE_WORD: words_allowed(r->words, out); break;
    case VALUE_ADDRESS: buf_z(out, "host:port, as in 127.0.0.1:8080 or [::1]:8080"); break;
    case VALUE_URL: buf_z(out, "an http:// or https:// address without user and query, at most 255 bytes"); break;
    case VALUE_STORE_URL: buf_z(out, "sqlite:PATH or postgres://user@host/db"); break;
    case VALUE_BROKER_URL: buf_z(out, "embedded: or rocketmq://host:9876[;host:9876]?group=till"); break;
    case VALUE_CRON: buf_z(out, "6 or 7 Quartz fields, seconds first, as in 0 0/10 * ? * ?"); break;
    }
    if (r->may_be_empty) buf_z(out, ", or nothing");
}
