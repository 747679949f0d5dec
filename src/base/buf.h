// SPDX-License-Identifier: Apache-2.0
// A growing byte buffer, and on it the writer of every JSON text Till sends.
//
// Memory: the caller owns the struct; buf_free() releases the bytes. A failed allocation sets `failed`,
// after which every append is a no-op: check it once, at the end, instead of after each append.
#ifndef TILL_BASE_BUF_H
#define TILL_BASE_BUF_H

#include "base/str.h"
#include <stdint.h>

struct buf {
    char *p;
    size_t n, cap;
    bool failed;
};

void buf_free(struct buf *b);  // also makes it empty and usable again
void buf_clear(struct buf *b); // keeps the memory
bool buf_reserve(struct buf *b, size_t more);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_str(struct buf *b, struct str s);
void buf_z(struct buf *b, const char *z);
void buf_char(struct buf *b, char c);
void buf_i64(struct buf *b, int64_t v);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline struct str buf_view(const struct buf *b)
{
    return (struct str){b->p, b->n};
}

// --- JSON. The writer puts the commas: between members and elements, none after an opening bracket.
// json_key() inside objects, then exactly one value. Strings must be valid UTF-8 (they were checked when
// they came in); control characters, quote and backslash are escaped. The buffer holds this one JSON text
// from its first byte (the comma rule looks at the byte before).
void json_open(struct buf *b, char bracket);   // '{' or '['
void json_close(struct buf *b, char bracket);  // '}' or ']'
void json_key(struct buf *b, const char *key); // key: plain ASCII, written as it is
void json_str(struct buf *b, struct str s);
void json_z(struct buf *b, const char *z);
void json_i64(struct buf *b, int64_t v);
void json_bool(struct buf *b, bool v);
void json_nil(struct buf *b);                  // null; Jansson has json_null(), and calls it through the dynamic linker
void json_raw(struct buf *b, struct str json); // a value that is JSON already
void json_time(struct buf *b, int64_t ms);     // RFC 3339 UTC with milliseconds
// key and value in one call
void json_kstr(struct buf *b, const char *key, struct str s);
void json_kz(struct buf *b, const char *key, const char *z);
void json_ki64(struct buf *b, const char *key, int64_t v);
void json_ktime(struct buf *b, const char *key, int64_t ms);

#endif
