// SPDX-License-Identifier: Apache-2.0
// The parser: what it takes, what it refuses, and that neither packets' borders nor compaction change the
// result.
#include "http/parse.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define HEAD    "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST    "POST / HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

struct outcome {
    enum http_parse_result result;
    struct http_parser p;
    char *bytes; // as the parser left them
};

// Feeds growing prefixes, each in a block of its own size, so that the address sanitizer sees any reading
// ahead. `cut` 0: whole; SIZE_MAX: byte by byte; else in two pieces.
static struct outcome feed(struct str in, size_t cut, bool compact)
{
    struct outcome o = {.result = HTTP_PARSE_MORE};
    http_parser_init(&o.p);
    size_t given = 0, n = 0;
    while (o.result == HTTP_PARSE_MORE && given < in.n) {
        size_t next = cut == SIZE_MAX ? given + 1 : given < cut ? cut : in.n;
        char *bytes = malloc(n + next - given);
        assert_non_null(bytes);
        if (n) memcpy(bytes, o.bytes, n);
        memcpy(bytes + n, in.p + given, next - given);
        free(o.bytes);
        o.bytes = bytes;
        n += next - given;
        given = next;
        o.result = http_parse(&o.p, o.bytes, n);
        if (compact && o.result == HTTP_PARSE_MORE) n = http_parser_compact(&o.p, o.bytes, n);
    }
    return o;
}

static bool same_span(struct http_span a, struct http_span b)
{
    return a.at == b.at && a.n == b.n;
}

static bool same_head(const struct http_parser *a, const struct http_parser *b)
{
    return a->method == b->method && same_span(a->method_text, b->method_text) && same_span(a->target, b->target) &&
           same_span(a->path, b->path) && same_span(a->query, b->query) && a->path_escaped == b->path_escaped &&
           a->http10 == b->http10 && a->keep_alive == b->keep_alive && a->chunked == b->chunked &&
           a->expect_continue == b->expect_continue && a->length == b->length && a->body_at == b->body_at &&
           a->n_fields == b->n_fields && memcmp(a->fields, b->fields, a->n_fields * sizeof a->fields[0]) == 0;
}

static void assert_same(const struct outcome *whole, const struct outcome *other, bool compact)
{
    assert_int_equal(whole->result, other->result);
    assert_int_equal(whole->p.stage, other->p.stage);
    assert_int_equal(whole->p.fault_status, other->p.fault_status);
    assert_ptr_equal(whole->p.fault_detail, other->p.fault_detail);
    assert_true(same_head(&whole->p, &other->p));
    if (!compact) assert_int_equal(whole->p.pos, other->p.pos);
    assert_int_equal(whole->p.body_n, other->p.body_n);
    if (whole->result == HTTP_PARSE_DONE && whole->p.body_n)
        assert_memory_equal(whole->bytes + whole->p.body_at, other->bytes + other->p.body_at, whole->p.body_n);
}

static void check_feed(const struct outcome *whole, struct str in, size_t cut, bool compact)
{
    struct outcome other = feed(in, cut, compact);
    assert_same(whole, &other, compact);
    free(other.bytes);
}

// The outcome of the whole, after having compared it with every other way to feed it. Long inputs: some
// splits.
static struct outcome outcome_of(struct str in)
{
    struct outcome whole = feed(in, 0, false);
    size_t stride = in.n > 2000 ? in.n / 97 : 1;
    for (size_t cut = 1; cut < in.n; cut += stride)
        check_feed(&whole, in, cut, cut & 1);
    if (in.n <= 30000) {
        check_feed(&whole, in, SIZE_MAX, false);
        check_feed(&whole, in, SIZE_MAX, true);
    }
    return whole;
}

static int status_of(struct str in)
{
    struct outcome o = outcome_of(in);
    free(o.bytes);
    return o.result == HTTP_PARSE_FAULT ? o.p.fault_status : o.result == HTTP_PARSE_DONE ? 200 : 0;
}

struct wire_case {
    const char *what;
    struct str in;
};

#define CASE(what, literal)                                                                                            \
    {                                                                                                                  \
        what,                                                                                                          \
        {                                                                                                              \
            literal, sizeof(literal) - 1                                                                               \
        }                                                                                                              \
    }

static void check_all(const struct wire_case *cases, size_t n, int status)
{
    for (size_t i = 0; i < n; i++) {
        int got = status_of(cases[i].in);
        if (got != status) fail_msg("%s: %d instead of %d", cases[i].what, got, status);
    }
}

static void malformed_is_refused_with_400(void **state)
{
    (void)state;
    static const struct wire_case cases[] = {
        CASE("length and chunked", POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        CASE("chunked and length", POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
        CASE("xchunked", POST "Transfer-Encoding: xchunked\r\n\r\n"),
        CASE("chunked in capitals", POST "Transfer-Encoding: Chunked\r\n\r\n"),
        CASE("gzip, chunked", POST "Transfer-Encoding: gzip, chunked\r\n\r\n"),
        CASE("chunked, identity", POST "Transfer-Encoding: chunked, identity\r\n\r\n"),
        CASE("identity", POST "Transfer-Encoding: identity\r\n\r\n"),
        CASE("quoted chunked", POST "Transfer-Encoding: \"chunked\"\r\n\r\n"),
        CASE("empty coding", POST "Transfer-Encoding:\r\n\r\n"),
        CASE("two codings", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        CASE("two codings, one good", POST "Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n\r\n0\r\n\r\n"),
        CASE("vertical tab before chunked", POST "Transfer-Encoding: \x0b"
                                                 "chunked\r\n\r\n"),
        CASE("space before the coding's colon", POST "Transfer-Encoding : chunked\r\n\r\n"),
        CASE("folded coding", POST "Transfer-Encoding:\r\n chunked\r\n\r\n"),
        CASE("coding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        CASE("+5", POST "Content-Length: +5\r\n\r\nhello"),
        CASE("-1", POST "Content-Length: -1\r\n\r\n"),
        CASE("0x5", POST "Content-Length: 0x5\r\n\r\nhello"),
        CASE("5 5", POST "Content-Length: 5 5\r\n\r\nhello"),
        CASE("5, 5", POST "Content-Length: 5, 5\r\n\r\nhello"),
        CASE("5.0", POST "Content-Length: 5.0\r\n\r\nhello"),
        CASE("empty length", POST "Content-Length:\r\n\r\n"),
        CASE("two equal lengths", POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
        CASE("two lengths", POST "Content-Length: 5\r\ncontent-length: 6\r\n\r\nhello"),
        CASE("two hosts", HEAD "Host: a\r\n\r\n"),
        CASE("no host", "GET / HTTP/1.1\r\n\r\n"),
        CASE("host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
        CASE("host with a slash", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        CASE("host with a comma", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"),
        CASE("host with a user", "GET / HTTP/1.1\r\nHost: u@b\r\n\r\n"),
        CASE("two content types", POST "Content-Type: a/b\r\nContent-Type: a/b\r\n\r\n"),
        CASE("two authorizations", HEAD "Authorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n"),
        CASE("two idempotency keys", HEAD "Idempotency-Key: a\r\nIDEMPOTENCY-KEY: a\r\n\r\n"),
        CASE("bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n"),
        CASE("bare LF after a header", "GET / HTTP/1.1\r\nHost: a\n\r\n"),
        CASE("bare LF ends the head", HEAD "\n"),
        CASE("bare CR in a value", HEAD "X: a\rb\r\n\r\n"),
        CASE("CR CR LF", HEAD "X: a\r\r\n\r\n"),
        CASE("bare CR in the request line", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("folded with space", HEAD "X: a\r\n b\r\n\r\n"),
        CASE("folded with tab", HEAD "X: a\r\n\tb\r\n\r\n"),
        CASE("space before the first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
        CASE("space before a colon", HEAD "X : a\r\n\r\n"),
        CASE("tab before a colon", HEAD "X\t: a\r\n\r\n"),
        CASE("no colon", HEAD "X\r\n\r\n"),
        CASE("no name", HEAD ": a\r\n\r\n"),
        CASE("name with a slash", HEAD "X/Y: a\r\n\r\n"),
        CASE("name beyond ASCII", HEAD "X\xc3\xa4: a\r\n\r\n"),
        CASE("NUL in a name", HEAD "X\0: a\r\n\r\n"),
        CASE("NUL in a value", HEAD "X: a\0b\r\n\r\n"),
        CASE("DEL in a value", HEAD "X: a\x7f"
                                    "b\r\n\r\n"),
        CASE("escape in a value", HEAD "X: \x1b[2J\r\n\r\n"),
        CASE("NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("TLS", "\x16\x03\x01\x02"),
        CASE("NUL first", "\0"),
        CASE("space first", " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("LF first", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("two empty lines first", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("CR and no LF first", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("HTTP/0.9", "GET /\r\n"),
        CASE("HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
        CASE("HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        CASE("http in small letters", "GET / http/1.1\r\nHost: a\r\n\r\n"),
        CASE("HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
        CASE("two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("two spaces later", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("tab for a space", "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("space at the end", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
        CASE("no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("method with a colon", "G:T / HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("relative target", "GET x HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("asterisk for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("authority form", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("target beyond ASCII", "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("absolute without a host", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("absolute with a user", "GET http://u@h/x HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("another scheme", "GET ftp://h/x HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("escape cut short", "GET /%2 HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("escape not hex", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("escaped NUL", "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("chunk size with 0x", CHUNKED "0x5\r\nhello\r\n0\r\n\r\n"),
        CASE("chunk size with +", CHUNKED "+5\r\nhello\r\n0\r\n\r\n"),
        CASE("chunk size with -", CHUNKED "-5\r\nhello\r\n0\r\n\r\n"),
        CASE("chunk size empty", CHUNKED "\r\nhello\r\n0\r\n\r\n"),
        CASE("chunk size with a space before", CHUNKED " 5\r\nhello\r\n0\r\n\r\n"),
        CASE("chunk size with a space after", CHUNKED "5 \r\nhello\r\n0\r\n\r\n"),
        CASE("chunk size of 17 digits", CHUNKED "00000000000000005\r\nhello\r\n0\r\n\r\n"),
        CASE("chunk size ends with bare LF", CHUNKED "5\nhello\r\n0\r\n\r\n"),
        CASE("chunk data ends with bare LF", CHUNKED "5\r\nhello\n0\r\n\r\n"),
        CASE("chunk data ends with CR and more", CHUNKED "5\r\nhello\r0\r\n\r\n"),
        CASE("chunk longer than its size", CHUNKED "5\r\nhello!\r\n0\r\n\r\n"),
        CASE("extension with bare LF", CHUNKED "5;a\nhello\r\n0\r\n\r\n"),
        CASE("extension with bare CR", CHUNKED "5;a\rb\r\nhello\r\n0\r\n\r\n"),
        CASE("extension with NUL", CHUNKED "5;a\0b\r\nhello\r\n0\r\n\r\n"),
        CASE("trailer with bare LF", CHUNKED "0\r\nX: a\n\r\n"),
        CASE("trailer folded", CHUNKED "0\r\nX: a\r\n b\r\n\r\n"),
        CASE("trailer without colon", CHUNKED "0\r\nX\r\n\r\n"),
        CASE("trailer with a length", CHUNKED "0\r\nContent-Length: 3\r\n\r\n"),
        CASE("trailer with a coding", CHUNKED "0\r\ntransfer-encoding: chunked\r\n\r\n"),
        CASE("trailer with a host", CHUNKED "0\r\nHost: b\r\n\r\n"),
        CASE("trailers end with bare LF", CHUNKED "0\r\n\n"),
    };
    check_all(cases, sizeof cases / sizeof cases[0], 400);
}

static void wellformed_is_taken(void **state)
{
    (void)state;
    static const struct wire_case cases[] = {
        CASE("least", HEAD "\r\n"),
        CASE("empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        CASE("host with port", "GET / HTTP/1.1\r\nHost: a:80\r\n\r\n"),
        CASE("v6 host", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"),
        CASE("HTTP/1.0 without host", "GET / HTTP/1.0\r\n\r\n"),
        CASE("one empty line first", "\r\n" HEAD "\r\n"),
        CASE("no space after a colon", HEAD "X:a\r\n\r\n"),
        CASE("tabs around a value", HEAD "X:\t a \t\r\n\r\n"),
        CASE("empty value", HEAD "X:\r\n\r\n"),
        CASE("bytes beyond ASCII in a value", HEAD "X: \xc3\xa4\r\n\r\n"),
        CASE("leading zeros of a length", POST "Content-Length: 0005\r\n\r\nhello"),
        CASE("headers that may repeat", HEAD "Accept: a\r\nAccept: b\r\n\r\n"),
        CASE("options asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
        CASE("chunk", CHUNKED "5\r\nhello\r\n0\r\n\r\n"),
        CASE("chunk with leading zeros", CHUNKED "0000000000000005\r\nhello\r\n000\r\n\r\n"),
        CASE("chunk extension", CHUNKED "5;a=b;c=\"d e\"\r\nhello\r\n0;x\r\n\r\n"),
        CASE("trailers", CHUNKED "0\r\nX: a\r\nY: b\r\n\r\n"),
        CASE("colon in a value", HEAD "X: a:b\r\n\r\n"),
        CASE("all of tchar", HEAD "!#$%&'*+-.^_`|~09azAZ: a\r\n\r\n"),
        CASE("malformed escape in the query is the reader's", "GET /?a=%zz HTTP/1.1\r\nHost: a\r\n\r\n"),
    };
    check_all(cases, sizeof cases / sizeof cases[0], 200);
}

static void incomplete_waits_for_more(void **state)
{
    (void)state;
    static const struct wire_case cases[] = {
        CASE("part of a method", "GE"),
        CASE("CR first", "\r"),
        CASE("head without its end", HEAD),
        CASE("head with half its end", HEAD "\r"),
        CASE("body too short", POST "Content-Length: 6\r\n\r\nhello"),
        CASE("chunk too short", CHUNKED "6\r\nhello"),
        CASE("chunk without CRLF", CHUNKED "5\r\nhello"),
        CASE("chunk with CR", CHUNKED "5\r\nhello\r"),
        CASE("no last chunk", CHUNKED "5\r\nhello\r\n"),
        CASE("no end of trailers", CHUNKED "0\r\n"),
        CASE("trailers without end", CHUNKED "0\r\nX: y\r\n\r"),
    };
    check_all(cases, sizeof cases / sizeof cases[0], 0);
}

static void unknown_expectation_is_417(void **state)
{
    (void)state;
    assert_int_equal(status_of(STR(POST "Expect: 200-ok\r\n\r\n")), 417);
}

static struct str text_at(const struct outcome *o, struct http_span s)
{
    return (struct str){o->bytes + s.at, s.n};
}

static void assert_text(struct str got, const char *want)
{
    if (!str_eq(got, str_of(want))) fail_msg("\"%.*s\" instead of \"%s\"", (int)got.n, got.p, want);
}

static void targets_come_apart(void **state)
{
    (void)state;
    static const struct {
        const char *target, *path, *query;
        bool escaped;
    } cases[] = {
        {"/", "/", "", false},
        {"/a/b?c=d&e", "/a/b", "c=d&e", false},
        {"/a%20b?%20", "/a%20b", "%20", true},
        {"/?", "/", "", false},
        {"/a?b?c", "/a", "b?c", false},
        {"//a", "//a", "", false},
        {"http://h", "", "", false},
        {"http://h?x", "", "x", false},
        {"HTTP://h:1/y?x", "/y", "x", false},
        {"https://[::1]/y", "/y", "", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char in[200];
        int n = snprintf(in, sizeof in, "PATCH %s HTTP/1.1\r\nHost: a\r\n\r\n", cases[i].target);
        struct outcome o = outcome_of((struct str){in, (size_t)n});
        assert_int_equal(o.result, HTTP_PARSE_DONE);
        assert_int_equal(o.p.method, HTTP_OTHER);
        assert_text(text_at(&o, o.p.method_text), "PATCH");
        assert_text(text_at(&o, o.p.target), cases[i].target);
        assert_text(text_at(&o, o.p.path), cases[i].path);
        assert_text(text_at(&o, o.p.query), cases[i].query);
        assert_int_equal(o.p.path_escaped, cases[i].escaped);
        free(o.bytes);
    }
}

static void methods_are_known_by_exact_name(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum http_method method;
    } cases[] = {{"GET", HTTP_GET},       {"HEAD", HTTP_HEAD},       {"POST", HTTP_POST}, {"PUT", HTTP_PUT},
                 {"DELETE", HTTP_DELETE}, {"OPTIONS", HTTP_OPTIONS}, {"get", HTTP_OTHER}, {"GETS", HTTP_OTHER}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char in[100];
        int n = snprintf(in, sizeof in, "%s / HTTP/1.1\r\nHost: a\r\n\r\n", cases[i].name);
        struct outcome o = outcome_of((struct str){in, (size_t)n});
        assert_int_equal(o.result, HTTP_PARSE_DONE);
        assert_int_equal(o.p.method, cases[i].method);
        free(o.bytes);
    }
}

static void connection_header_decides_keep_alive(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        bool keep;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, close , y\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct outcome o = outcome_of(str_of(cases[i].in));
        assert_int_equal(o.result, HTTP_PARSE_DONE);
        if (o.p.keep_alive != cases[i].keep) fail_msg("%s", cases[i].in);
        free(o.bytes);
    }
}

static void values_are_trimmed_and_placed(void **state)
{
    (void)state;
    struct outcome o = outcome_of(STR("GET / HTTP/1.1\r\nHost: a\r\nX-One: \t b c \t\r\nTwo:\r\n\r\n"));
    assert_int_equal(o.result, HTTP_PARSE_DONE);
    assert_int_equal(o.p.n_fields, 3);
    const struct http_field *f = &o.p.fields[1];
    assert_text((struct str){o.bytes + f->name, f->name_n}, "X-One");
    assert_text((struct str){o.bytes + f->value, f->value_n}, "b c");
    assert_int_equal(o.p.fields[2].value_n, 0);
    free(o.bytes);
}

static void chunks_are_joined_and_the_next_request_is_untouched(void **state)
{
    (void)state;
    static const char in[] = CHUNKED "5;x=y\r\nhello\r\n1\r\n \r\n005\r\nworld\r\n0\r\nX: y\r\n\r\n" HEAD;
    struct outcome o = feed((struct str){in, sizeof in - 1}, 0, false);
    assert_int_equal(o.result, HTTP_PARSE_DONE);
    assert_text((struct str){o.bytes + o.p.body_at, o.p.body_n}, "hello world");
    assert_text((struct str){o.bytes + o.p.pos, sizeof in - 1 - o.p.pos}, HEAD);
    free(o.bytes);
    struct outcome again = outcome_of((struct str){in, sizeof in - sizeof HEAD});
    assert_int_equal(again.result, HTTP_PARSE_DONE);
    free(again.bytes);
}

static void body_after_its_length_is_the_next_request(void **state)
{
    (void)state;
    static const char in[] = POST "Content-Length: 5\r\n\r\nhelloGET";
    struct outcome o = feed((struct str){in, sizeof in - 1}, 0, false);
    assert_int_equal(o.result, HTTP_PARSE_DONE);
    assert_int_equal(o.p.pos, sizeof in - 4);
    free(o.bytes);
}

// --- limits, each one below, at, and one above

static void fill(struct buf *b, char c, size_t n)
{
    assert_true(buf_reserve(b, n + 1));
    memset(b->p + b->n, c, n);
    b->n += n;
}

static int status_and_free(struct buf *b)
{
    assert_false(b->failed);
    int status = status_of(buf_view(b));
    buf_free(b);
    return status;
}

static int line_of(size_t n)
{
    struct buf b = {0};
    buf_z(&b, "GET /");
    fill(&b, 'a', n - strlen("GET / HTTP/1.1"));
    buf_z(&b, " HTTP/1.1\r\nHost: a\r\n\r\n");
    return status_and_free(&b);
}

static void request_line_limit(void **state)
{
    (void)state;
    assert_int_equal(line_of(HTTP_LINE_MAX - 1), 200);
    assert_int_equal(line_of(HTTP_LINE_MAX), 200);
    assert_int_equal(line_of(HTTP_LINE_MAX + 1), 431);
    assert_int_equal(line_of(HTTP_LINE_MAX + 5000), 431);
}

static int endless_line_of(size_t n)
{
    struct buf b = {0};
    fill(&b, 'a', n);
    return status_and_free(&b);
}

static void line_without_end_is_refused_at_the_limit(void **state)
{
    (void)state;
    assert_int_equal(endless_line_of(HTTP_LINE_MAX + 1), 0);
    assert_int_equal(endless_line_of(HTTP_LINE_MAX + 2), 431);
}

static int section_of(size_t n)
{
    struct buf b = {0};
    buf_z(&b, "GET / HTTP/1.1\r\n");
    buf_z(&b, "Host: a\r\nX: ");
    fill(&b, 'v', n - strlen("Host: a\r\nX: \r\n\r\n"));
    buf_z(&b, "\r\n\r\n");
    return status_and_free(&b);
}

static void header_section_limit(void **state)
{
    (void)state;
    assert_int_equal(section_of(HTTP_SECTION_MAX - 1), 200);
    assert_int_equal(section_of(HTTP_SECTION_MAX), 200);
    assert_int_equal(section_of(HTTP_SECTION_MAX + 1), 431);
    assert_int_equal(section_of(HTTP_SECTION_MAX + 2), 431);
    assert_int_equal(section_of(HTTP_SECTION_MAX + 3), 431);
}

static int fields_of(unsigned n)
{
    struct buf b = {0};
    buf_z(&b, HEAD);
    for (unsigned i = 1; i < n; i++)
        buf_printf(&b, "X%u: v\r\n", i);
    buf_z(&b, "\r\n");
    return status_and_free(&b);
}

static void header_count_limit(void **state)
{
    (void)state;
    assert_int_equal(fields_of(HTTP_FIELDS_MAX - 1), 200);
    assert_int_equal(fields_of(HTTP_FIELDS_MAX), 200);
    assert_int_equal(fields_of(HTTP_FIELDS_MAX + 1), 431);
}

static int body_of(size_t n)
{
    struct buf b = {0};
    buf_printf(&b, POST "Content-Length: %zu\r\n\r\n", n);
    fill(&b, 'b', n);
    return status_and_free(&b);
}

static void body_limit(void **state)
{
    (void)state;
    assert_int_equal(body_of(HTTP_BODY_MAX - 1), 200);
    assert_int_equal(body_of(HTTP_BODY_MAX), 200);
    assert_int_equal(body_of(HTTP_BODY_MAX + 1), 413);
    assert_int_equal(status_of(STR(POST "Content-Length: 99999999999999999999999999999999999999\r\n\r\n")), 413);
    assert_int_equal(status_of(STR(POST "Content-Length: 18446744073709551617\r\n\r\n")), 413);
    assert_int_equal(status_of(STR(POST "Content-Length: 4294967297\r\n\r\n")), 413);
}

static int chunks_of(size_t n, size_t piece)
{
    struct buf b = {0};
    buf_z(&b, CHUNKED);
    for (size_t left = n; left;) {
        size_t size = left < piece ? left : piece;
        buf_printf(&b, "%zx\r\n", size);
        fill(&b, 'c', size);
        buf_z(&b, "\r\n");
        left -= size;
    }
    buf_z(&b, "0\r\n\r\n");
    return status_and_free(&b);
}

static void chunked_body_limit(void **state)
{
    (void)state;
    assert_int_equal(chunks_of(HTTP_BODY_MAX - 1, 10000), 200);
    assert_int_equal(chunks_of(HTTP_BODY_MAX, 10000), 200);
    assert_int_equal(chunks_of(HTTP_BODY_MAX + 1, 10000), 413);
    assert_int_equal(chunks_of(HTTP_BODY_MAX, HTTP_BODY_MAX), 200);
    assert_int_equal(chunks_of(HTTP_BODY_MAX + 1, HTTP_BODY_MAX + 1), 413);
    assert_int_equal(chunks_of(3000, 1), 200);
    assert_int_equal(status_of(STR(CHUNKED "ffffffffffffffff\r\n")), 413);
    assert_int_equal(status_of(STR(CHUNKED "10000000000000\r\n")), 413);
    assert_int_equal(status_of(STR(CHUNKED "1\r\na\r\nffffffffffffffff\r\n")), 413);
    assert_int_equal(status_of(STR(CHUNKED "fffffffffffffffff\r\n")), 400);
}

static int extension_of(size_t line, unsigned times)
{
    struct buf b = {0};
    buf_z(&b, CHUNKED);
    for (unsigned i = 0; i < times; i++) {
        buf_z(&b, "1;");
        fill(&b, 'e', line - 2);
        buf_z(&b, "\r\nx\r\n");
    }
    buf_z(&b, "0\r\n\r\n");
    return status_and_free(&b);
}

static void chunk_extension_limits(void **state)
{
    (void)state;
    assert_int_equal(extension_of(HTTP_CHUNK_LINE_MAX - 1, 1), 200);
    assert_int_equal(extension_of(HTTP_CHUNK_LINE_MAX, 1), 200);
    assert_int_equal(extension_of(HTTP_CHUNK_LINE_MAX + 1, 1), 400);
    // Each line of 129 bytes holds 128 of extension.
    assert_int_equal(extension_of(129, HTTP_CHUNK_EXT_MAX / 128), 200);
    assert_int_equal(extension_of(129, HTTP_CHUNK_EXT_MAX / 128 + 1), 400);
}

static int trailers_of(size_t n)
{
    struct buf b = {0};
    buf_z(&b, CHUNKED "0\r\nX: ");
    fill(&b, 't', n - strlen("X: \r\n\r\n"));
    buf_z(&b, "\r\n\r\n");
    return status_and_free(&b);
}

static int trailer_lines_of(unsigned n)
{
    struct buf b = {0};
    buf_z(&b, CHUNKED "0\r\n");
    for (unsigned i = 0; i < n; i++)
        buf_z(&b, "X: t\r\n");
    buf_z(&b, "\r\n");
    return status_and_free(&b);
}

static void trailer_limits(void **state)
{
    (void)state;
    assert_int_equal(trailers_of(HTTP_SECTION_MAX - 1), 200);
    assert_int_equal(trailers_of(HTTP_SECTION_MAX), 200);
    assert_int_equal(trailers_of(HTTP_SECTION_MAX + 1), 431);
    assert_int_equal(trailer_lines_of(HTTP_FIELDS_MAX), 200);
    assert_int_equal(trailer_lines_of(HTTP_FIELDS_MAX + 1), 431);
}

static void unescape_refuses_malformed_and_nul(void **state)
{
    (void)state;
    char out[16];
    assert_int_equal(http_unescape(STR("a%2Fb%7e+"), false, out), 5);
    assert_memory_equal(out, "a/b~+", 5);
    assert_int_equal(http_unescape(STR("a+b"), true, out), 3);
    assert_memory_equal(out, "a b", 3);
    assert_int_equal(http_unescape(STR("%00"), false, out), -1);
    assert_int_equal(http_unescape(STR("%"), false, out), -1);
    assert_int_equal(http_unescape(STR("%4"), false, out), -1);
    assert_int_equal(http_unescape(STR("%4g"), false, out), -1);
    assert_int_equal(http_unescape(STR(""), false, out), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_is_refused_with_400),
        cmocka_unit_test(wellformed_is_taken),
        cmocka_unit_test(incomplete_waits_for_more),
        cmocka_unit_test(unknown_expectation_is_417),
        cmocka_unit_test(targets_come_apart),
        cmocka_unit_test(methods_are_known_by_exact_name),
        cmocka_unit_test(connection_header_decides_keep_alive),
        cmocka_unit_test(values_are_trimmed_and_placed),
        cmocka_unit_test(chunks_are_joined_and_the_next_request_is_untouched),
        cmocka_unit_test(body_after_its_length_is_the_next_request),
        cmocka_unit_test(request_line_limit),
        cmocka_unit_test(line_without_end_is_refused_at_the_limit),
        cmocka_unit_test(header_section_limit),
        cmocka_unit_test(header_count_limit),
        cmocka_unit_test(body_limit),
        cmocka_unit_test(chunked_body_limit),
        cmocka_unit_test(chunk_extension_limits),
        cmocka_unit_test(trailer_limits),
        cmocka_unit_test(unescape_refuses_malformed_and_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
