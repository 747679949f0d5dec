// SPDX-License-Identifier: Apache-2.0
// A strict parser of one HTTP/1.1 request. Pure: bytes in, offsets out; it allocates nothing and knows no
// socket.
//
// Whoever feeds it keeps all bytes of the request in one buffer and calls http_parse() with the whole buffer
// each time more has arrived; bytes already looked at are not looked at again. The buffer may move between
// calls, since only offsets are kept. Feeding a request whole, split anywhere or byte by byte gives the same
// result.
//
// Strict means: what another HTTP speaker in front of us could read differently is refused, not guessed (bare
// LF or CR, folded lines, space before the colon, NUL, repeated framing headers, Content-Length together with
// Transfer-Encoding, any transfer coding but exactly `chunked`).
#ifndef TILL_HTTP_PARSE_H
#define TILL_HTTP_PARSE_H

#include "http/http.h"

#define HTTP_LINE_MAX       8192u  // request line without its CRLF
#define HTTP_SECTION_MAX    16384u // header section, every CRLF and the empty line counted; the same for trailers
#define HTTP_FIELDS_MAX     100u
#define HTTP_BODY_MAX       65536u
#define HTTP_CHUNK_LINE_MAX 256u  // one chunk-size line with its extensions, without CRLF
#define HTTP_CHUNK_EXT_MAX  4096u // all chunk extensions of one request

enum http_parse_result {
    HTTP_PARSE_MORE, // all right so far
    HTTP_PARSE_DONE, // complete; `pos` is the first byte after the request
    HTTP_PARSE_FAULT // `fault_*` say what to answer; the connection cannot be used further
};

// In this order, so that `stage >= HTTP_AT_BODY` means the head is complete.
enum http_parse_stage {
    HTTP_AT_START,
    HTTP_AT_LINE,
    HTTP_AT_FIELDS,
    HTTP_AT_BODY, // of known length
    HTTP_AT_CHUNK_SIZE,
    HTTP_AT_CHUNK_DATA,
    HTTP_AT_CHUNK_END,
    HTTP_AT_TRAILERS,
    HTTP_AT_END,
    HTTP_AT_FAULT
};

struct http_span {
    uint32_t at, n;
};

// 16 bits suffice: request line and header section together are below 64 KiB.
struct http_field {
    uint16_t name, name_n, value, value_n;
};

struct http_parser {
    enum http_parse_stage stage;
    size_t pos;  // first byte not consumed yet
    size_t scan; // searched for the end of the line up to here
    size_t section_n, chunk_left, ext_n;
    unsigned n_trailers, seen;
    bool skipped_empty_line;

    // The result, valid once stage >= HTTP_AT_BODY; the body once HTTP_PARSE_DONE.
    enum http_method method;
    struct http_span method_text, target, path, query; // path as sent, still escaped; n == 0 stands for "/"
    bool path_escaped, http10, keep_alive, chunked, expect_continue;
    size_t body_at, body_n; // chunked bodies are joined in place, in the caller's buffer
    size_t length;          // Content-Length, 0 when absent

    int fault_status;
    const char *fault_code, *fault_detail;

    unsigned n_fields;
    struct http_field fields[HTTP_FIELDS_MAX]; // last and not cleared by init
};

void http_parser_init(struct http_parser *p);
// `buf` holds the n bytes from the request's first on. It is written to only where a chunked body is joined.
enum http_parse_result http_parse(struct http_parser *p, char *buf, size_t n);
// Drops the framing of chunks already joined, so that a long chunked body needs no more memory than its
// length. Returns the new n.
size_t http_parser_compact(struct http_parser *p, char *buf, size_t n);

// Undoes percent escapes (and with `plus` turns '+' into space) into `out`, which has room for in.n bytes.
// Returns the length, or -1 for a malformed escape or an escaped NUL.
long http_unescape(struct str in, bool plus, char *out);
// ASCII only, whatever the locale.
bool http_same_name(struct str a, struct str b);

#endif
