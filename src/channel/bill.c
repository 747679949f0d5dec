// SPDX-License-Identifier: Apache-2.0
#include "channel/alipay_wire.h"
#include "channel/bill_inside.h"
#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define HEADERS_MAX (32 * 1024)
#define COUNT_MAX   9 // digits

// --- Who has a bill

static fetch_bill *const FETCHERS[] = {
    [CHANNEL_ALIPAY] = alipay_bill,
    [CHANNEL_WECHATPAY] = wechatpay_bill,
};
#define N_FETCHERS (sizeof FETCHERS / sizeof FETCHERS[0])

bool bill_is_had(enum channel_id channel)
{
    return (unsigned)channel < N_FETCHERS && FETCHERS[channel];
}

enum bill_word bill_fetch(struct channel *c, int64_t day_ms, struct bill_rows *rows, int64_t *said_ms,
                          char why[BILL_WHY_SIZE])
{
    enum channel_id id = c->ops->id;
    *rows = (struct bill_rows){0};
    *said_ms = 0;
    why[0] = 0;
    if (!bill_is_had(id)) {
        (void)bill_refuse(why, "this channel has no bills");
        return BILL_UNKNOWN;
    }
    enum bill_word word = FETCHERS[id](c, day_ms, rows, said_ms, why);
    if (word != BILL_GOOD) bill_rows_free(rows);
    return word;
}

void bill_rows_free(struct bill_rows *rows)
{
    free(rows->rows);
    *rows = (struct bill_rows){0};
}

bool bill_refuse(char why[BILL_WHY_SIZE], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, BILL_WHY_SIZE, fmt, ap);
    va_end(ap);
    return false;
}

// --- A table

bool bill_line(struct str *rest, struct str *line)
{
    if (rest->n == 0) return false;
    const char *end = memchr(rest->p, '\n', rest->n);
    *line = (struct str){rest->p, end ? (size_t)(end - rest->p) : rest->n};
    rest->p += line->n + (end != NULL);
    rest->n -= line->n + (end != NULL);
    if (line->n && line->p[line->n - 1] == '\r') line->n--;
    return line->n <= BILL_LINE_MAX;
}

struct str bill_trimmed(struct str s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

unsigned bill_split(struct str line, struct str separator, struct str fields[BILL_FIELDS_MAX])
{
    for (unsigned n = 0; n < BILL_FIELDS_MAX; n++) {
        const char *at = line.n ? memmem(line.p, line.n, separator.p, separator.n) : NULL;
        size_t taken = at ? (size_t)(at - line.p) : line.n;
        fields[n] = bill_trimmed((struct str){line.p, taken});
        if (!at) return n + 1;
        line.p += taken + separator.n;
        line.n -= taken + separator.n;
    }
    return 0;
}

bool bill_columns(const struct str *fields, unsigned n_fields, const char *const *names, unsigned n, unsigned *at,
                  char why[BILL_WHY_SIZE])
{
    for (unsigned i = 0; i < n; i++) {
        unsigned times = 0;
        for (unsigned k = 0; k < n_fields; k++) {
            if (!str_eq(fields[k], str_of(names[i]))) continue;
            at[i] = k;
            times++;
        }
        if (times != 1) return bill_refuse(why, "the bill has %u columns %s", times, names[i]);
    }
    return true;
}

bool bill_text(struct str field, bool required, char out[BILL_NUMBER_MAX + 1])
{
    out[0] = 0;
    if (field.n > BILL_NUMBER_MAX || (required && field.n == 0)) return false;
    for (size_t i = 0; i < field.n; i++)
        if (field.p[i] <= ' ' || field.p[i] >= 0x7f) return false;
    if (field.n) memcpy(out, field.p, field.n);
    out[field.n] = 0;
    return true;
}

bool bill_yuan(struct str field, int64_t *fen)
{
    bool negative = field.n && field.p[0] == '-';
    if (negative) field = (struct str){field.p + 1, field.n - 1};
    if (!yuan_to_fen(field, fen)) return false;
    if (negative) *fen = -*fen;
    return true;
}

bool bill_count(struct str field, int64_t *n)
{
    *n = 0;
    for (size_t i = 0; i < field.n; i++) {
        if (field.p[i] < '0' || field.p[i] > '9') return false;
        *n = *n * 10 + (field.p[i] - '0');
        if (i == COUNT_MAX) return false;
    }
    return field.n > 0;
}

bool bill_add(struct bill_rows *rows, const struct bill_row *row, char why[BILL_WHY_SIZE])
{
    if (rows->n == BILL_ROWS_MAX) return bill_refuse(why, "the bill has more than %d rows", BILL_ROWS_MAX);
    if (rows->n == rows->cap) {
        unsigned cap = rows->cap ? 2 * rows->cap : 256;
        struct bill_row *more = realloc(rows->rows, cap * sizeof *more);
        if (!more) return bill_refuse(why, "out of memory");
        rows->rows = more;
        rows->cap = cap;
    }
    rows->rows[rows->n++] = *row;
    return true;
}

// --- Fetching

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    struct bill_reply *r = ctx;
    if (size * n > r->max - r->body.n) return 0;
    buf_add(&r->body, p, size * n);
    return r->body.failed ? 0 : size * n;
}

static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
    struct bill_reply *r = ctx;
    struct str line = {p, size * n};
    if (str_starts(line, STR("HTTP/"))) buf_clear(&r->headers); // after a "100 Continue" the real one
    if (line.n > HEADERS_MAX - r->headers.n) return 0;
    buf_str(&r->headers, line);
    return r->headers.failed ? 0 : line.n;
}

// False for want of memory. `lines` is written into.
static bool header_list(struct buf *lines, struct curl_slist **list)
{
    char *at = lines->p, *end = lines->p ? lines->p + lines->n : NULL;
    while (at < end) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) return false;
        *stop = 0;
        struct curl_slist *longer = curl_slist_append(*list, at);
        if (!longer) return false;
        *list = longer;
        at = stop + 1;
    }
    return true;
}

static bool easy_prepare(CURL *e, struct call_request *q, struct curl_slist *headers, long seconds,
                         struct bill_reply *out)
{
    CURLcode rc = curl_easy_setopt(e, CURLOPT_URL, q->url.p);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_USERAGENT, "till");
    if (rc == CURLE_OK && q->is_post) rc = curl_easy_setopt(e, CURLOPT_POST, 1L);
    if (rc == CURLE_OK && q->is_post) rc = curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)q->body.n);
    if (rc == CURLE_OK && q->is_post) rc = curl_easy_setopt(e, CURLOPT_POSTFIELDS, q->body.n ? q->body.p : "");
    // As for calls: plain http is for sandboxes on this machine.
    if (rc == CURLE_OK && strncmp(q->url.p, "http:", 5) == 0) rc = curl_easy_setopt(e, CURLOPT_PROXY, "");
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, 10L);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_TIMEOUT, seconds);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_WRITEDATA, out);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_HEADERDATA, out);
    return rc == CURLE_OK;
}

static bool easy_run(CURL *e, struct bill_reply *out, char why[BILL_WHY_SIZE])
{
    long status = 0;
    CURLcode rc = curl_easy_perform(e);
    if (rc == CURLE_WRITE_ERROR) return bill_refuse(why, "the answer is longer than %zu bytes", out->max);
    if (rc != CURLE_OK) return bill_refuse(why, "not reached: %s", curl_easy_strerror(rc));
    (void)curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &status);
    out->reply = (struct call_reply){(int)status, buf_view(&out->headers), buf_view(&out->body)};
    return true;
}

bool bill_exchange(struct call_request *q, size_t max, long seconds, struct bill_reply *out, char why[BILL_WHY_SIZE])
{
    struct curl_slist *headers = NULL;
    CURL *e = curl_easy_init();
    *out = (struct bill_reply){.max = max};
    buf_char(&q->url, 0);
    bool ok = e && !q->url.failed && !q->body.failed && !q->headers.failed && header_list(&q->headers, &headers) &&
              easy_prepare(e, q, headers, seconds, out);
    if (!ok) (void)bill_refuse(why, "out of memory");
    ok = ok && easy_run(e, out, why);
    curl_slist_free_all(headers);
    if (e) curl_easy_cleanup(e);
    return ok;
}

void bill_reply_free(struct bill_reply *r)
{
    buf_free(&r->headers);
    buf_free(&r->body);
}

void bill_request_free(struct call_request *q)
{
    buf_free(&q->url);
    buf_free(&q->headers);
    buf_free(&q->body);
}

bool bill_url(struct str url, const char *base, struct buf *out)
{
    bool is_plain = str_starts(url, STR("http://")), must_be_safe = strncmp(base, "http://", 7) != 0;
    if (!is_plain && !str_starts(url, STR("https://"))) return false;
    for (size_t i = 0; i < url.n; i++)
        if (url.p[i] <= ' ' || url.p[i] >= 0x7f) return false;
    if (is_plain && must_be_safe) { // Alipay has been seen to write it so
        buf_z(out, "https://");
        url = (struct str){url.p + 7, url.n - 7};
    }
    buf_str(out, url);
    return url.n < 4096 && !out->failed;
}
