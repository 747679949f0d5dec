// SPDX-License-Identifier: Apache-2.0
// What handlers call: reading a request's headers and query, and answering.
#include "http/inside.h"
#include <assert.h>
#include <stdlib.h>

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

const char *http_reason(int status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status) return reasons[i].reason;
    return "Unknown";
}

// How often a header came; `found` is the first.
static unsigned header_find(const struct http_exchange *pub, const char *name, struct str *found)
{
    const struct exchange *x = (const struct exchange *)pub;
    struct str wanted = str_of(name);
    unsigned n = 0;
    for (unsigned i = 0; i < x->n_fields; i++) {
        const struct http_field *f = &x->fields[i];
        if (f->name_n != wanted.n || !http_same_name((struct str){x->text + f->name, f->name_n}, wanted)) continue;
        if (n++ == 0) *found = (struct str){x->text + f->value, f->value_n};
    }
    return n;
}

struct str http_header(const struct http_exchange *x, const char *name)
{
    struct str found = {0};
    (void)header_find(x, name, &found);
    return found;
}

struct str http_header_single(const struct http_exchange *x, const char *name)
{
    struct str found = {0};
    return header_find(x, name, &found) == 1 ? found : (struct str){0};
}

static bool unescape_into(struct buf *out, struct str s)
{
    buf_clear(out);
    if (!buf_reserve(out, s.n + 1)) return false;
    long n = http_unescape(s, true, out->p);
    if (n < 0) return false;
    out->n = (size_t)n;
    return true;
}

bool http_query(struct str query, const char *name, struct buf *out)
{
    struct str wanted = str_of(name);
    for (size_t at = 0; at < query.n;) {
        const char *amp = memchr(query.p + at, '&', query.n - at);
        size_t end = amp ? (size_t)(amp - query.p) : query.n;
        struct str pair = {query.p + at, end - at};
        const char *equals = pair.n ? memchr(pair.p, '=', pair.n) : NULL;
        struct str key = {pair.p, equals ? (size_t)(equals - pair.p) : pair.n};
        struct str value = equals ? (struct str){equals + 1, pair.n - key.n - 1} : (struct str){pair.p + pair.n, 0};
        if (unescape_into(out, key) && str_eq(buf_view(out), wanted)) return unescape_into(out, value);
        at = end + 1;
    }
    buf_clear(out);
    return false;
}

static void add_status_line(struct buf *b, int status)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\n", created[] = "HTTP/1.1 201 Created\r\n";
    if (status == 200) {
        buf_add(b, ok, sizeof ok - 1);
    } else if (status == 201) {
        buf_add(b, created, sizeof created - 1);
    } else {
        buf_add(b, "HTTP/1.1 ", 9);
        buf_i64(b, status);
        buf_char(b, ' ');
        buf_z(b, http_reason(status));
        buf_add(b, "\r\n", 2);
    }
}

static void add_line(struct buf *b, const char *name, size_t name_n, const char *value)
{
    buf_add(b, name, name_n);
    buf_z(b, value);
    buf_add(b, "\r\n", 2);
}

// Once the server stops, the last answer of a connection says that no further one will come.
static void settle_keep_alive(struct exchange *x)
{
    const struct conn *c = x->conn;
    if (c->worker->stopping && !x->next) x->pub.keep_alive = false;
}

static void add_connection(struct buf *b, const struct exchange *x)
{
    if (!x->pub.keep_alive)
        buf_add(b, "Connection: close\r\n", 19);
    else if (x->http10)
        buf_add(b, "Connection: keep-alive\r\n", 24);
}

static bool status_has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

static void write_answer(struct exchange *x, int status, const char *content_type, const char *headers, struct str body)
{
    struct buf *b = &x->out;
    buf_reserve(b, 256 + body.n);
    add_status_line(b, status);
    if (status_has_body(status)) {
        if (content_type) add_line(b, "Content-Type: ", 14, content_type);
        buf_add(b, "Content-Length: ", 16);
        buf_i64(b, (int64_t)body.n);
        buf_add(b, "\r\n", 2);
    }
    add_connection(b, x);
    if (headers) buf_z(b, headers);
    buf_add(b, "\r\n", 2);
    if (x->pub.method != HTTP_HEAD && status_has_body(status)) buf_str(b, body);
}

// An answer that memory did not suffice for must not go out in part: the connection ends instead.
static void finish(struct exchange *x)
{
    x->complete = true;
    if (x->out.failed) {
        x->cut = true;
        x->pub.keep_alive = false;
        buf_free(&x->out);
        x->sent = 0;
    }
    if (x->conn->first == x) conn_mark(x->conn);
}

void http_respond(struct http_exchange *pub, int status, const char *content_type, const char *headers, struct str body)
{
    struct exchange *x = exchange_of(pub);
    assert(!x->answered);
    x->answered = true;
    settle_keep_alive(x);
    write_answer(x, status, content_type, headers, body);
    finish(x);
}

void http_stream_begin(struct http_exchange *pub, int status, const char *content_type, const char *headers)
{
    struct exchange *x = exchange_of(pub);
    assert(!x->answered);
    x->answered = true;
    settle_keep_alive(x);
    x->chunked = !x->http10;
    if (x->http10) pub->keep_alive = false; // the end of the connection is the end of the body
    struct buf *b = &x->out;
    add_status_line(b, status);
    if (content_type) add_line(b, "Content-Type: ", 14, content_type);
    if (x->chunked) buf_add(b, "Transfer-Encoding: chunked\r\n", 28);
    add_connection(b, x);
    if (headers) buf_z(b, headers);
    buf_add(b, "\r\n", 2);
    if (x->conn->first == x) conn_mark(x->conn);
}

static void add_chunk(struct buf *b, struct str piece)
{
    static const char hex[] = "0123456789abcdef";
    char size[2 * sizeof piece.n + 2];
    size_t at = sizeof size;
    size[--at] = '\n';
    size[--at] = '\r';
    for (size_t n = piece.n; n; n >>= 4)
        size[--at] = hex[n & 15];
    buf_add(b, size + at, sizeof size - at);
    buf_str(b, piece);
    buf_add(b, "\r\n", 2);
}

bool http_stream_write(struct http_exchange *pub, struct str piece)
{
    struct exchange *x = exchange_of(pub);
    assert(x->answered && !x->complete);
    if (x->cut || x->out.failed) return false;
    if (pub->method == HTTP_HEAD || piece.n == 0) return true;
    if (x->out.n - x->sent + piece.n > STREAM_WAIT_MAX) {
        x->cut = true; // a piece is missing from here on: the answer must not end as if it were whole
        return false;
    }
    if (x->chunked)
        add_chunk(&x->out, piece);
    else
        buf_str(&x->out, piece);
    if (x->conn->first == x) conn_mark(x->conn);
    return !x->out.failed;
}

size_t http_stream_pending(const struct http_exchange *pub)
{
    const struct exchange *x = (const struct exchange *)pub; // its first member
    return x->out.n - x->sent;
}

void http_stream_end(struct http_exchange *pub)
{
    struct exchange *x = exchange_of(pub);
    assert(x->answered && !x->complete);
    if (x->cut)
        pub->keep_alive = false;
    else if (x->chunked && pub->method != HTTP_HEAD)
        buf_add(&x->out, "0\r\n\r\n", 5);
    finish(x);
}

void http_problem_json(struct buf *out, int status, const char *code, const char *detail, const char *pointer)
{
    json_open(out, '{');
    json_kz(out, "type", "about:blank");
    json_kz(out, "title", http_reason(status));
    json_ki64(out, "status", status);
    json_kz(out, "detail", detail);
    json_kz(out, "code", code);
    if (pointer && *pointer) json_kz(out, "pointer", pointer);
    json_close(out, '}');
}

void http_problem(struct http_exchange *x, int status, const char *code, const char *detail, const char *pointer)
{
    struct buf body = {0};
    http_problem_json(&body, status, code, detail, pointer);
    if (body.failed) exchange_of(x)->out.failed = true;
    http_respond(x, status, "application/problem+json", NULL, buf_view(&body));
    buf_free(&body);
}

void answer_refusal(struct exchange *x, int status, const char *code, const char *detail)
{
    x->pub.keep_alive = false;
    http_problem(&x->pub, status, code, detail, NULL);
}
