// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "base/timetext.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE 2048 // below PIPE_BUF: lines of several threads and processes never mix
#define CUT_MARK  "..."
#define UNIT_SIZE 16 // one character, escaped: at most \xNN for each of its four bytes

static atomic_int least_level = LOG_INFO;

void log_set_level(enum log_level least)
{
    atomic_store(&least_level, (int)least);
}

static int64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

// Characters a terminal or a viewer may take for more than text: C1 controls (one of them starts an ANSI
// sequence), line separators, and those that turn the direction of writing.
static bool is_misleading(const unsigned char *p, size_t n)
{
    if (n == 2) return p[0] == 0xc2 && p[1] < 0xa0;
    if (n != 3 || p[0] != 0xe2) return false;
    return (p[1] == 0x80 && p[2] >= 0xa8 && p[2] <= 0xae) || (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9);
}

static size_t hex_escape(const unsigned char *p, size_t n, char out[UNIT_SIZE])
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[4 * i] = '\\';
        out[4 * i + 1] = 'x';
        out[4 * i + 2] = hex[p[i] >> 4];
        out[4 * i + 3] = hex[p[i] & 15];
    }
    return 4 * n;
}

// Escapes the first character of `s` into `out`; `taken` is how many bytes of `s` that was. Returns what it
// wrote.
static size_t escape_one(struct str s, char out[UNIT_SIZE], size_t *taken)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t n = str_utf8_len(s);
    *taken = n ? n : 1;
    if (n == 0 || is_misleading(p, n)) return hex_escape(p, *taken, out);
    char named = p[0] == '\n' ? 'n' : p[0] == '\r' ? 'r' : p[0] == '\t' ? 't' : 0;
    if (p[0] == '"' || p[0] == '\\') named = (char)p[0];
    if (named) {
        out[0] = '\\';
        out[1] = named;
        return 2;
    }
    if (p[0] < 0x20 || p[0] == 0x7f) return hex_escape(p, 1, out);
    memcpy(out, p, n);
    return n;
}

// Appends `s` escaped, in whole characters; what does not fit is replaced by the mark. Returns the new
// length.
static size_t escape(struct str s, char *line, size_t at, size_t size)
{
    size_t room = size - sizeof CUT_MARK; // its NUL counts for the line's end
    while (s.n > 0) {
        char unit[UNIT_SIZE];
        size_t taken, n = escape_one(s, unit, &taken);
        if (at + n > room) {
            memcpy(line + at, CUT_MARK, sizeof CUT_MARK - 1);
            return at + sizeof CUT_MARK - 1;
        }
        memcpy(line + at, unit, n);
        at += n;
        s.p += taken;
        s.n -= taken;
    }
    return at;
}

static void write_once(const char *line, size_t n)
{
    ssize_t r;
    do
        r = write(STDERR_FILENO, line, n);
    while (r < 0 && errno == EINTR); // any other failure: there is nobody left to tell
}

void log_line(enum log_level level, const char *area, const char *fmt, ...)
{
    static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR"};
    if ((int)level < atomic_load(&least_level)) return;
    int saved_errno = errno;
    char message[LINE_SIZE], line[LINE_SIZE], now[TIME_TEXT_SIZE];
    va_list ap;
    va_start(ap, fmt);
    if (vsnprintf(message, sizeof message, fmt, ap) < 0) memcpy(message, "(unprintable)", sizeof "(unprintable)");
    va_end(ap);
    time_to_rfc3339(wall_ms(), now);
    int head = snprintf(line, sizeof line, "%s %-5s %.32s ", now, names[level], area);
    size_t n = escape(str_of(message), line, head > 0 ? (size_t)head : 0, sizeof line);
    line[n++] = '\n';
    write_once(line, n);
    errno = saved_errno;
}
