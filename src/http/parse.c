// SPDX-License-Identifier: Apache-2.0
// Works line by line: a line is looked at only when its LF has arrived, so a decision never depends on how
// the bytes were cut into packets. Limits are measured from the line's first byte for the same reason.
#include "http/parse.h"

// Headers that must not come twice.
enum {
    SEEN_HOST = 1,
    SEEN_LENGTH = 2,
    SEEN_TYPE = 4,
    SEEN_AUTH = 8,
    SEEN_IDEM = 16,
    SEEN_CODING = 32,
    SEEN_CLOSE = 64 // "Connection: close": wins over keep-alive, whichever came first
};

enum line_result { LINE_MORE, LINE_READY, LINE_LONG, LINE_BARE_LF };

// tchar of RFC 9110, 5.6.2.
static const bool token_char[256] = {
    ['!'] = true, ['#'] = true, ['$'] = true, ['%'] = true,         ['&'] = true,         ['\''] = true,
    ['*'] = true, ['+'] = true, ['-'] = true, ['.'] = true,         ['^'] = true,         ['_'] = true,
    ['`'] = true, ['|'] = true, ['~'] = true, ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
};

// Visible ASCII; a fragment never belongs into a request.
static const bool target_char[256] = {['!'] = true, ['"'] = true, ['$' ... '~'] = true};

// Letters, digits and what host:port and [v6]:port need. No '@': user names in an authority only serve to
// deceive.
static const bool authority_char[256] = {
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['-'] = true, ['.'] = true, ['_'] = true,
    ['~'] = true,         [':'] = true,         ['['] = true,         [']'] = true, ['%'] = true, ['!'] = true,
    ['$'] = true,         ['&'] = true,         ['\''] = true,        ['('] = true, [')'] = true, ['*'] = true,
    ['+'] = true,         [';'] = true,         ['='] = true,
};

void http_parser_init(struct http_parser *p)
{
    memset(p, 0, offsetof(struct http_parser, fields));
}

static bool fail(struct http_parser *p, int status, const char *code, const char *detail)
{
    p->stage = HTTP_AT_FAULT;
    p->fault_status = status;
    p->fault_code = code;
    p->fault_detail = detail;
    return false;
}

static bool fail_bad(struct http_parser *p, const char *detail)
{
    return fail(p, 400, "bad_request", detail);
}

static bool fail_large_head(struct http_parser *p, const char *detail)
{
    return fail(p, 431, "headers_too_large", detail);
}

static bool fail_large_body(struct http_parser *p)
{
    return fail(p, 413, "body_too_large", "The body is larger than 65536 bytes.");
}

static bool all_in(struct str s, const bool allowed[256])
{
    for (size_t i = 0; i < s.n; i++)
        if (!allowed[(unsigned char)s.p[i]]) return false;
    return true;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool http_same_name(struct str a, struct str b)
{
    if (a.n != b.n) return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i])) return false;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

long http_unescape(struct str in, bool plus, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (c == '%') {
            if (in.n - i < 3) return -1;
            int high = hex_digit(in.p[i + 1]), low = hex_digit(in.p[i + 2]);
            if (high < 0 || low < 0 || (high | low) == 0) return -1;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (plus && c == '+') {
            c = ' ';
        }
        out[n++] = c;
    }
    return (long)n;
}

static bool escapes_are_good(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '%') continue;
        if (s.n - i < 3) return false;
        int high = hex_digit(s.p[i + 1]), low = hex_digit(s.p[i + 2]);
        if (high < 0 || low < 0 || (high | low) == 0) return false;
    }
    return true;
}

// The line that begins at p->pos, without CRLF, at most `max` bytes. On LINE_READY it is consumed.
static enum line_result take_line(struct http_parser *p, const char *buf, size_t n, size_t max, struct str *line)
{
    size_t end = n - p->pos > max + 2 ? p->pos + max + 2 : n;
    if (p->scan < p->pos) p->scan = p->pos;
    const char *lf = end > p->scan ? memchr(buf + p->scan, '\n', end - p->scan) : NULL;
    if (!lf) {
        p->scan = end;
        return end - p->pos == max + 2 ? LINE_LONG : LINE_MORE;
    }
    size_t at = (size_t)(lf - buf);
    if (at == p->pos || buf[at - 1] != '\r') return LINE_BARE_LF;
    *line = (struct str){buf + p->pos, at - 1 - p->pos};
    p->pos = p->scan = at + 1;
    return LINE_READY;
}

static enum http_method method_of(struct str s)
{
    static const struct {
        struct str name;
        enum http_method method;
    } known[] = {{{"GET", 3}, HTTP_GET},   {{"POST", 4}, HTTP_POST},     {{"PUT", 3}, HTTP_PUT},
                 {{"HEAD", 4}, HTTP_HEAD}, {{"DELETE", 6}, HTTP_DELETE}, {{"OPTIONS", 7}, HTTP_OPTIONS}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (str_eq(s, known[i].name)) return known[i].method;
    return HTTP_OTHER;
}

static struct http_span span_of(const char *buf, struct str s)
{
    return (struct http_span){(uint32_t)(s.p - buf), (uint32_t)s.n};
}

// The part of an absolute-form target after its authority; false when it is none.
static bool skip_authority(struct str *target)
{
    size_t skip;
    if (target->n > 7 && http_same_name((struct str){target->p, 7}, STR("http://")))
        skip = 7;
    else if (target->n > 8 && http_same_name((struct str){target->p, 8}, STR("https://")))
        skip = 8;
    else
        return false;
    size_t end = skip;
    while (end < target->n && target->p[end] != '/' && target->p[end] != '?')
        end++;
    if (end == skip || !all_in((struct str){target->p + skip, end - skip}, authority_char)) return false;
    *target = (struct str){target->p + end, target->n - end};
    return true;
}

static bool parse_target(struct http_parser *p, const char *buf, struct str target)
{
    if (target.n == 0 || !all_in(target, target_char)) return fail_bad(p, "The request target is malformed.");
    p->target = span_of(buf, target);
    struct str rest = target;
    bool asterisk = p->method == HTTP_OPTIONS && str_eq(target, STR("*"));
    if (!asterisk && target.p[0] != '/' && !skip_authority(&rest))
        return fail_bad(p, "The request target must be a path or an http address.");
    const char *mark = rest.n ? memchr(rest.p, '?', rest.n) : NULL;
    struct str path = {rest.p, mark ? (size_t)(mark - rest.p) : rest.n};
    p->path = span_of(buf, path);
    if (mark) p->query = span_of(buf, (struct str){mark + 1, rest.n - path.n - 1});
    p->path_escaped = path.n && memchr(path.p, '%', path.n);
    if (p->path_escaped && !escapes_are_good(path)) return fail_bad(p, "The path holds a malformed escape.");
    return true;
}

static bool parse_request_line(struct http_parser *p, const char *buf, struct str line)
{
    const char *space = line.n ? memchr(line.p, ' ', line.n) : NULL;
    if (!space) return fail_bad(p, "The request line is malformed.");
    struct str method = {line.p, (size_t)(space - line.p)};
    if (method.n == 0 || !all_in(method, token_char)) return fail_bad(p, "The method is malformed.");
    struct str rest = {space + 1, line.n - method.n - 1};
    space = rest.n ? memchr(rest.p, ' ', rest.n) : NULL;
    if (!space) return fail_bad(p, "The request line is malformed.");
    struct str target = {rest.p, (size_t)(space - rest.p)};
    struct str version = {space + 1, rest.n - target.n - 1};
    p->http10 = str_eq(version, STR("HTTP/1.0"));
    if (!p->http10 && !str_eq(version, STR("HTTP/1.1")))
        return fail_bad(p, "The version must be HTTP/1.1 or HTTP/1.0.");
    p->keep_alive = !p->http10;
    p->method = method_of(method);
    p->method_text = span_of(buf, method);
    if (!parse_target(p, buf, target)) return false;
    p->stage = HTTP_AT_FIELDS;
    return true;
}

static bool value_is_good(struct str v)
{
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
    }
    return true;
}

// One "name: value" line, of the head or the trailers.
static bool split_field(struct http_parser *p, struct str line, struct str *name, struct str *value)
{
    size_t i = 0;
    while (i < line.n && token_char[(unsigned char)line.p[i]])
        i++;
    if (i == 0 || i == line.n || line.p[i] != ':') return fail_bad(p, "A header line is malformed.");
    *name = (struct str){line.p, i};
    size_t from = i + 1, to = line.n;
    while (from < to && (line.p[from] == ' ' || line.p[from] == '\t'))
        from++;
    while (to > from && (line.p[to - 1] == ' ' || line.p[to - 1] == '\t'))
        to--;
    *value = (struct str){line.p + from, to - from};
    if (!value_is_good(*value)) return fail_bad(p, "A header value holds control characters.");
    return true;
}

static bool see_once(struct http_parser *p, unsigned bit)
{
    if (p->seen & bit) return fail_bad(p, "A header that must be single came twice.");
    p->seen |= bit;
    return true;
}

static bool parse_length(struct http_parser *p, struct str value)
{
    if (!see_once(p, SEEN_LENGTH)) return false;
    if (value.n == 0) return fail_bad(p, "Content-Length must be digits.");
    size_t length = 0;
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] < '0' || value.p[i] > '9') return fail_bad(p, "Content-Length must be digits.");
        // Stays just above the limit once it is exceeded: no overflow, and still an error at the end of the
        // head.
        if (length <= HTTP_BODY_MAX) length = length * 10 + (size_t)(value.p[i] - '0');
    }
    p->length = length;
    return true;
}

static void parse_connection(struct str value, bool *keep, bool *close)
{
    size_t at = 0;
    while (at <= value.n) {
        const char *comma = at < value.n ? memchr(value.p + at, ',', value.n - at) : NULL;
        size_t end = comma ? (size_t)(comma - value.p) : value.n, next = end + 1;
        while (at < end && (value.p[at] == ' ' || value.p[at] == '\t'))
            at++;
        while (end > at && (value.p[end - 1] == ' ' || value.p[end - 1] == '\t'))
            end--;
        struct str word = {value.p + at, end - at};
        if (http_same_name(word, STR("close"))) *close = true;
        if (http_same_name(word, STR("keep-alive"))) *keep = true;
        at = next;
    }
}

static bool parse_expect(struct http_parser *p, struct str value)
{
    if (!http_same_name(value, STR("100-continue")))
        return fail(p, 417, "expectation_failed", "Only the expectation 100-continue is known.");
    p->expect_continue = !p->http10;
    return true;
}

static bool parse_host(struct http_parser *p, struct str value)
{
    if (!see_once(p, SEEN_HOST)) return false;
    return all_in(value, authority_char) || fail_bad(p, "The Host header is malformed.");
}

static bool parse_coding(struct http_parser *p, struct str value)
{
    if (!see_once(p, SEEN_CODING)) return false;
    p->chunked = str_eq(value, STR("chunked"));
    return p->chunked || fail_bad(p, "Transfer-Encoding must be chunked.");
}

// The headers that mean something here. The first switch keeps strangers' headers cheap.
static bool note_field(struct http_parser *p, struct str name, struct str value)
{
    switch (name.n) {
    case 4: return !http_same_name(name, STR("host")) || parse_host(p, value);
    case 6: return !http_same_name(name, STR("expect")) || parse_expect(p, value);
    case 10:
        if (http_same_name(name, STR("connection"))) {
            bool keep = false, close = false;
            parse_connection(value, &keep, &close);
            if (keep && !(p->seen & SEEN_CLOSE)) p->keep_alive = true;
            if (close) {
                p->seen |= SEEN_CLOSE;
                p->keep_alive = false;
            }
        }
        return true;
    case 12: return !http_same_name(name, STR("content-type")) || see_once(p, SEEN_TYPE);
    case 13: return !http_same_name(name, STR("authorization")) || see_once(p, SEEN_AUTH);
    case 14: return !http_same_name(name, STR("content-length")) || parse_length(p, value);
    case 15: return !http_same_name(name, STR("idempotency-key")) || see_once(p, SEEN_IDEM);
    case 17: return !http_same_name(name, STR("transfer-encoding")) || parse_coding(p, value);
    default: return true;
    }
}

static bool end_head(struct http_parser *p)
{
    if (!p->http10 && !(p->seen & SEEN_HOST)) return fail_bad(p, "The Host header is missing.");
    if (p->chunked && (p->seen & SEEN_LENGTH))
        return fail_bad(p, "Content-Length and Transfer-Encoding exclude each other.");
    if (p->chunked && p->http10) return fail_bad(p, "HTTP/1.0 knows no Transfer-Encoding.");
    if (p->length > HTTP_BODY_MAX) return fail_large_body(p);
    p->body_at = p->pos;
    p->section_n = 0;
    p->stage = p->chunked ? HTTP_AT_CHUNK_SIZE : HTTP_AT_BODY;
    return true;
}

static bool parse_field(struct http_parser *p, const char *buf, struct str line)
{
    if (line.n == 0) return end_head(p);
    struct str name, value;
    if (!split_field(p, line, &name, &value)) return false;
    if (p->n_fields == HTTP_FIELDS_MAX) return fail_large_head(p, "There are more than 100 header lines.");
    p->fields[p->n_fields++] =
        (struct http_field){(uint16_t)(name.p - buf), (uint16_t)name.n, (uint16_t)(value.p - buf), (uint16_t)value.n};
    return note_field(p, name, value);
}

// Trailers are thrown away, but one that pretends to change the framing is an attack, not a trailer.
static bool parse_trailer(struct http_parser *p, struct str line)
{
    if (line.n == 0) {
        p->stage = HTTP_AT_END;
        return true;
    }
    struct str name, value;
    if (!split_field(p, line, &name, &value)) return false;
    if (++p->n_trailers > HTTP_FIELDS_MAX) return fail_large_head(p, "There are more than 100 trailer lines.");
    if (http_same_name(name, STR("content-length")) || http_same_name(name, STR("transfer-encoding")) ||
        http_same_name(name, STR("host")) || http_same_name(name, STR("authorization")))
        return fail_bad(p, "A trailer must not be a framing header.");
    return true;
}

static bool parse_chunk_size(struct http_parser *p, struct str line)
{
    size_t i = 0, size = 0;
    for (; i < line.n && hex_digit(line.p[i]) >= 0; i++)
        if (size <= HTTP_BODY_MAX) size = size << 4 | (size_t)hex_digit(line.p[i]);
    if (i == 0 || i > 16) return fail_bad(p, "A chunk size is malformed.");
    struct str extension = {line.p + i, line.n - i};
    if (extension.n && extension.p[0] != ';') return fail_bad(p, "A chunk size is malformed.");
    if (!value_is_good(extension)) return fail_bad(p, "A chunk extension holds control characters.");
    p->ext_n += extension.n;
    if (p->ext_n > HTTP_CHUNK_EXT_MAX) return fail_bad(p, "The chunk extensions are too long.");
    if (size > HTTP_BODY_MAX - p->body_n) return fail_large_body(p);
    p->chunk_left = size;
    p->stage = size ? HTTP_AT_CHUNK_DATA : HTTP_AT_TRAILERS;
    return true;
}

// Each step returns false when it cannot go on: for want of bytes, or after fail().
static bool step_start(struct http_parser *p, const char *buf, size_t n)
{
    if (n == p->pos) return false;
    char c = buf[p->pos];
    if (c == '\r' && !p->skipped_empty_line) { // one empty line before a request is allowed (RFC 9112, 2.2)
        if (n - p->pos < 2) return false;
        if (buf[p->pos + 1] != '\n') return fail_bad(p, "A bare carriage return came instead of a request.");
        p->skipped_empty_line = true;
        p->pos += 2;
        return true;
    }
    // Told at once, so that TLS or other noise on this port need not wait for a time limit.
    if (!token_char[(unsigned char)c]) return fail_bad(p, "This does not begin like an HTTP request.");
    p->stage = HTTP_AT_LINE;
    return true;
}

static bool step_line(struct http_parser *p, const char *buf, size_t n)
{
    struct str line;
    switch (take_line(p, buf, n, HTTP_LINE_MAX, &line)) {
    case LINE_READY: return parse_request_line(p, buf, line);
    case LINE_LONG: return fail_large_head(p, "The request line is longer than 8192 bytes.");
    case LINE_BARE_LF: return fail_bad(p, "A line ends with a bare line feed.");
    case LINE_MORE: break;
    }
    return false;
}

static bool step_field(struct http_parser *p, const char *buf, size_t n)
{
    bool trailers = p->stage == HTTP_AT_TRAILERS;
    const char *long_detail =
        trailers ? "The trailers are larger than 16384 bytes." : "The header section is larger than 16384 bytes.";
    if (p->section_n + 2 > HTTP_SECTION_MAX) return fail_large_head(p, long_detail);
    struct str line;
    switch (take_line(p, buf, n, HTTP_SECTION_MAX - p->section_n - 2, &line)) {
    case LINE_READY: p->section_n += line.n + 2; return trailers ? parse_trailer(p, line) : parse_field(p, buf, line);
    case LINE_LONG: return fail_large_head(p, long_detail);
    case LINE_BARE_LF: return fail_bad(p, "A line ends with a bare line feed.");
    case LINE_MORE: break;
    }
    return false;
}

static bool step_body(struct http_parser *p, size_t n)
{
    if (n - p->body_at < p->length) return false;
    p->body_n = p->length;
    p->pos = p->body_at + p->length;
    p->stage = HTTP_AT_END;
    return true;
}

static bool step_chunk_size(struct http_parser *p, const char *buf, size_t n)
{
    struct str line;
    switch (take_line(p, buf, n, HTTP_CHUNK_LINE_MAX, &line)) {
    case LINE_READY: return parse_chunk_size(p, line);
    case LINE_LONG: return fail_bad(p, "A chunk size line is too long.");
    case LINE_BARE_LF: return fail_bad(p, "A line ends with a bare line feed.");
    case LINE_MORE: break;
    }
    return false;
}

static bool step_chunk_data(struct http_parser *p, char *buf, size_t n)
{
    size_t take = n - p->pos < p->chunk_left ? n - p->pos : p->chunk_left;
    memmove(buf + p->body_at + p->body_n, buf + p->pos, take);
    p->body_n += take;
    p->pos += take;
    p->chunk_left -= take;
    if (p->chunk_left) return false;
    p->stage = HTTP_AT_CHUNK_END;
    return true;
}

static bool step_chunk_end(struct http_parser *p, const char *buf, size_t n)
{
    if (n - p->pos >= 1 && buf[p->pos] != '\r') return fail_bad(p, "A chunk is longer than its size.");
    if (n - p->pos < 2) return false;
    if (buf[p->pos + 1] != '\n') return fail_bad(p, "A chunk is longer than its size.");
    p->pos += 2;
    p->stage = HTTP_AT_CHUNK_SIZE;
    return true;
}

static bool step(struct http_parser *p, char *buf, size_t n)
{
    switch (p->stage) {
    case HTTP_AT_START: return step_start(p, buf, n);
    case HTTP_AT_LINE: return step_line(p, buf, n);
    case HTTP_AT_FIELDS:
    case HTTP_AT_TRAILERS: return step_field(p, buf, n);
    case HTTP_AT_BODY: return step_body(p, n);
    case HTTP_AT_CHUNK_SIZE: return step_chunk_size(p, buf, n);
    case HTTP_AT_CHUNK_DATA: return step_chunk_data(p, buf, n);
    case HTTP_AT_CHUNK_END: return step_chunk_end(p, buf, n);
    case HTTP_AT_END:
    case HTTP_AT_FAULT: break;
    }
    return false;
}

enum http_parse_result http_parse(struct http_parser *p, char *buf, size_t n)
{
    while (step(p, buf, n)) {
    }
    if (p->stage == HTTP_AT_FAULT) return HTTP_PARSE_FAULT;
    return p->stage == HTTP_AT_END ? HTTP_PARSE_DONE : HTTP_PARSE_MORE;
}

size_t http_parser_compact(struct http_parser *p, char *buf, size_t n)
{
    if (!p->chunked || p->stage < HTTP_AT_CHUNK_SIZE || p->stage >= HTTP_AT_END) return n;
    size_t to = p->body_at + p->body_n, gap = p->pos - to;
    if (gap == 0) return n;
    memmove(buf + to, buf + p->pos, n - p->pos);
    p->pos = to;
    p->scan = p->scan > gap + to ? p->scan - gap : to;
    return n - gap;
}
