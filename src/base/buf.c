// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"
#include "base/timetext.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_free(struct buf *b)
{
    free(b->p);
    *b = (struct buf){0};
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->failed = false;
}

bool buf_reserve(struct buf *b, size_t more)
{
    if (b->failed) return false;
    if (b->cap - b->n >= more) return true;
    size_t cap = b->cap ? b->cap : 256;
    while (cap - b->n < more) {
        if (cap > SIZE_MAX / 2) {
            b->failed = true;
            return false;
        }
        cap *= 2;
    }
    char *p = realloc(b->p, cap);
    if (!p) {
        b->failed = true;
        return false;
    }
    b->p = p;
    b->cap = cap;
    return true;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
    if (n == 0 || !buf_reserve(b, n)) return;
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

void buf_str(struct buf *b, struct str s)
{
    buf_add(b, s.p, s.n);
}

void buf_z(struct buf *b, const char *z)
{
    buf_add(b, z, strlen(z));
}

void buf_char(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_i64(struct buf *b, int64_t v)
{
    char digits[20];
    size_t i = sizeof digits;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        digits[--i] = (char)('0' + u % 10);
        u /= 10;
    } while (u);
    if (v < 0) digits[--i] = '-';
    buf_add(b, digits + i, sizeof digits - i);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || !buf_reserve(b, (size_t)n + 1)) {
        b->failed = true;
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->n += (size_t)n;
}

// A value needs a comma before it unless it is the first in its container or follows its key.
static void json_separate(struct buf *b)
{
    if (b->n == 0) return;
    char last = b->p[b->n - 1];
    if (last != '{' && last != '[' && last != ':') buf_char(b, ',');
}

void json_open(struct buf *b, char bracket)
{
    json_separate(b);
    buf_char(b, bracket);
}

void json_close(struct buf *b, char bracket)
{
    buf_char(b, bracket);
}

void json_key(struct buf *b, const char *key)
{
    json_separate(b);
    buf_char(b, '"');
    buf_z(b, key);
    buf_add(b, "\":", 2);
}

void json_str(struct buf *b, struct str s)
{
    static const char hex[] = "0123456789abcdef";
    json_separate(b);
    buf_char(b, '"');
    size_t from = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) continue;
        buf_add(b, s.p + from, i - from);
        from = i + 1;
        switch (c) {
        case '"': buf_add(b, "\\\"", 2); break;
        case '\\': buf_add(b, "\\\\", 2); break;
        case '\n': buf_add(b, "\\n", 2); break;
        case '\r': buf_add(b, "\\r", 2); break;
        case '\t': buf_add(b, "\\t", 2); break;
        default: buf_add(b, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
        }
    }
    if (from < s.n) buf_add(b, s.p + from, s.n - from); // an empty text may have no address to add to
    buf_char(b, '"');
}

void json_z(struct buf *b, const char *z)
{
    json_str(b, str_of(z));
}

void json_i64(struct buf *b, int64_t v)
{
    json_separate(b);
    buf_i64(b, v);
}

void json_bool(struct buf *b, bool v)
{
    json_separate(b);
    buf_z(b, v ? "true" : "false");
}

void json_nil(struct buf *b)
{
    json_separate(b);
    buf_z(b, "null");
}

void json_raw(struct buf *b, struct str json)
{
    json_separate(b);
    buf_str(b, json);
}

void json_time(struct buf *b, int64_t ms)
{
    char text[TIME_TEXT_SIZE];
    time_to_rfc3339(ms, text);
    json_z(b, text);
}

void json_kstr(struct buf *b, const char *key, struct str s)
{
    json_key(b, key);
    json_str(b, s);
}

void json_kz(struct buf *b, const char *key, const char *z)
{
    json_kstr(b, key, str_of(z));
}

void json_ki64(struct buf *b, const char *key, int64_t v)
{
    json_key(b, key);
    json_i64(b, v);
}

void json_ktime(struct buf *b, const char *key, int64_t ms)
{
    json_key(b, key);
    json_time(b, ms);
}
