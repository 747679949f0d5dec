// SPDX-License-Identifier: Apache-2.0
// Feeds strangers' bytes to the parser: it must read nothing beyond them, keep every offset inside them, and
// come to the same result whole and cut. The first two bytes choose the cuts, the rest is what came over the
// wire.
#include "http/parse.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

struct run {
    enum http_parse_result result;
    struct http_parser p;
    char *bytes;
    size_t n;
};

// Blocks of exact size, so that reading ahead is seen by the address sanitizer.
static struct run run_with(const uint8_t *data, size_t size, size_t piece, bool compact)
{
    struct run r = {.result = HTTP_PARSE_MORE};
    http_parser_init(&r.p);
    for (size_t given = 0; given < size && r.result == HTTP_PARSE_MORE;) {
        size_t take = size - given < piece ? size - given : piece;
        char *bytes = malloc(r.n + take);
        require(bytes);
        if (r.n) memcpy(bytes, r.bytes, r.n);
        memcpy(bytes + r.n, data + given, take);
        free(r.bytes);
        r.bytes = bytes;
        r.n += take;
        given += take;
        r.result = http_parse(&r.p, r.bytes, r.n);
        require(r.p.pos <= r.n && r.p.body_at + r.p.body_n <= r.n);
        if (compact && r.result == HTTP_PARSE_MORE) r.n = http_parser_compact(&r.p, r.bytes, r.n);
    }
    return r;
}

static void check_span(const struct run *r, struct http_span s)
{
    require(s.at + s.n <= r->p.body_at);
}

// A complete request holds nothing the strict rules forbid, whatever way the parser went.
static void check_done(const struct run *r)
{
    const struct http_parser *p = &r->p;
    check_span(r, p->method_text);
    check_span(r, p->target);
    check_span(r, p->path);
    check_span(r, p->query);
    require(p->body_n <= HTTP_BODY_MAX && p->n_fields <= HTTP_FIELDS_MAX && p->target.n > 0);
    unsigned lengths = 0, codings = 0, hosts = 0;
    for (unsigned i = 0; i < p->n_fields; i++) {
        const struct http_field *f = &p->fields[i];
        require(f->name_n > 0 && f->name + f->name_n <= p->body_at && f->value + f->value_n <= p->body_at);
        struct str name = {r->bytes + f->name, f->name_n};
        require(!memchr(r->bytes + f->value, '\r', f->value_n) && !memchr(r->bytes + f->value, '\n', f->value_n) &&
                !memchr(r->bytes + f->value, 0, f->value_n));
        lengths += http_same_name(name, STR("content-length"));
        codings += http_same_name(name, STR("transfer-encoding"));
        hosts += http_same_name(name, STR("host"));
    }
    require(lengths + codings <= 1 && hosts <= 1 && (hosts == 1 || p->http10));
    require(p->chunked == (codings == 1));
    if (p->path_escaped) {
        char *room = malloc(p->path.n);
        require(room && http_unescape((struct str){r->bytes + p->path.at, p->path.n}, false, room) > 0);
        free(room);
    }
}

static void check_same(const struct run *a, const struct run *b, bool compact)
{
    require(a->result == b->result && a->p.stage == b->p.stage);
    require(a->p.fault_status == b->p.fault_status && a->p.fault_detail == b->p.fault_detail);
    require(a->p.n_fields == b->p.n_fields && a->p.body_n == b->p.body_n && a->p.body_at == b->p.body_at);
    require(memcmp(a->p.fields, b->p.fields, a->p.n_fields * sizeof a->p.fields[0]) == 0);
    require(compact || a->p.pos == b->p.pos);
    if (a->result == HTTP_PARSE_DONE && a->p.body_n)
        require(memcmp(a->bytes + a->p.body_at, b->bytes + b->p.body_at, a->p.body_n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    size_t piece = (size_t)data[0] + 1;
    bool compact = data[1] & 1;
    data += 2;
    size -= 2;
    struct run whole = run_with(data, size, size ? size : 1, false);
    struct run cut = run_with(data, size, size > 8192 ? size / 16 + piece : piece, compact);
    check_same(&whole, &cut, compact);
    if (whole.result == HTTP_PARSE_DONE) check_done(&whole);
    free(whole.bytes);
    free(cut.bytes);
    return 0;
}
