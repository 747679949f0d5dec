// SPDX-License-Identifier: Apache-2.0
#include "shell/client_show.h"
#include "base/arena.h"
#include "base/buf.h"
#include <stdlib.h>

#define COLUMNS_MAX 8
#define GAP         2

// --- text that is safe to show

static unsigned code_point(struct str c)
{
    const unsigned char *p = (const unsigned char *)c.p;
    if (c.n == 1) return p[0];
    if (c.n == 2) return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
    if (c.n == 3) return (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    return (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
}

// Escapes and marks of writing direction could make one thing look like another.
static bool is_steering(unsigned c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

// Two columns in a terminal: the common blocks of East Asian writing and pictures.
static bool is_wide(unsigned c)
{
    return (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) || (c >= 0xac00 && c <= 0xd7a3) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
           (c >= 0xffe0 && c <= 0xffe6) || (c >= 0x1f300 && c <= 0x1faff) || (c >= 0x20000 && c <= 0x3fffd);
}

static void add_clean(struct buf *out, struct str s)
{
    while (s.n > 0) {
        size_t n = str_utf8_len(s);
        if (n == 0 || is_steering(code_point((struct str){s.p, n})))
            buf_char(out, '?');
        else
            buf_add(out, s.p, n);
        if (n == 0) n = 1;
        s.p += n;
        s.n -= n;
    }
}

static size_t width_of(struct str s)
{
    size_t width = 0;
    while (s.n > 0) {
        size_t n = str_utf8_len(s);
        if (n == 0) n = 1;
        width += n > 1 && is_wide(code_point((struct str){s.p, n})) ? 2 : 1;
        s.p += n;
        s.n -= n;
    }
    return width;
}

// --- members as text

static void add_member(struct buf *out, const json_t *object, const char *name)
{
    const json_t *v = json_object_get(object, name);
    if (json_is_string(v)) add_clean(out, (struct str){json_string_value(v), json_string_length(v)});
    if (json_is_integer(v)) buf_i64(out, json_integer_value(v));
}

static bool has(const json_t *object, const char *name)
{
    const json_t *v = json_object_get(object, name);
    return v && !json_is_null(v);
}

// Money: minor units have two places but for the currencies that have none.
static void add_money(struct buf *out, int64_t minor, const char *currency)
{
    static const char *const whole[] = {"JPY", "KRW", "VND"};
    const char *sign = minor < 0 ? "-" : "";
    uint64_t v = minor < 0 ? 0 - (uint64_t)minor : (uint64_t)minor;
    bool is_whole = false;
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        if (strcmp(currency, whole[i]) == 0) is_whole = true;
    if (is_whole)
        buf_printf(out, "%s%llu", sign, (unsigned long long)v);
    else
        buf_printf(out, "%s%llu.%02llu", sign, (unsigned long long)(v / 100), (unsigned long long)(v % 100));
    if (*currency) buf_char(out, ' ');
    add_clean(out, str_of(currency));
}

static void add_amount(struct buf *out, const json_t *object, const char *name, const json_t *with_currency)
{
    const json_t *v = json_object_get(object, name);
    const char *currency = json_string_value(json_object_get(with_currency, "currency"));
    if (json_is_integer(v)) add_money(out, json_integer_value(v), currency ? currency : "");
}

// 2026-11-23T02:05:00.123Z as 2026-11-23 02:05:00Z: who needs the milliseconds asks for JSON.
static void add_time(struct buf *out, const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    if (text && strlen(text) == 24 && text[10] == 'T') {
        add_clean(out, (struct str){text, 10});
        buf_char(out, ' ');
        add_clean(out, (struct str){text + 11, 8});
        buf_char(out, 'Z');
    } else if (text) {
        add_clean(out, str_of(text));
    }
}

// --- columns

struct table {
    unsigned n_columns;
    unsigned right; // bit i: column i is a number
    size_t n, room;
    struct str *cells;
    struct arena text;
    struct buf cell; // being written
};

static void table_cell(struct table *t)
{
    if (t->n == t->room) {
        size_t room = t->room ? 2 * t->room : 64;
        struct str *cells = reallocarray(t->cells, room, sizeof *cells);
        if (!cells) return;
        t->cells = cells;
        t->room = room;
    }
    t->cells[t->n++] = t->cell.n > 0 && !t->cell.failed ? arena_copy(&t->text, buf_view(&t->cell)) : STR("");
    buf_clear(&t->cell);
}

static void table_begin(struct table *t, const char *const *heads, unsigned right)
{
    *t = (struct table){.right = right};
    for (; heads[t->n_columns]; t->n_columns++) {
        buf_z(&t->cell, heads[t->n_columns]);
        table_cell(t);
    }
}

static void write_blanks(size_t n, FILE *out)
{
    (void)fprintf(out, "%*s", (int)n, "");
}

static void write_row(const struct table *t, const struct str *row, const size_t *widths, FILE *out)
{
    // Blanks are only written before something, so that no line ends with them.
    size_t owed = 0;
    for (unsigned i = 0; i < t->n_columns; i++) {
        size_t width = width_of(row[i]), rest = widths[i] - width;
        bool right = t->right >> i & 1;
        if (right) owed += rest;
        if (row[i].n > 0) {
            write_blanks(owed, out);
            (void)fwrite(row[i].p, 1, row[i].n, out);
            owed = 0;
        } else {
            owed += width;
        }
        owed += (right ? 0 : rest) + GAP;
    }
    (void)fputc('\n', out);
}

static void table_end(struct table *t, FILE *out)
{
    size_t widths[COLUMNS_MAX] = {0};
    for (size_t i = 0; i < t->n; i++) {
        size_t width = width_of(t->cells[i]), *widest = &widths[i % t->n_columns];
        if (width > *widest) *widest = width;
    }
    for (size_t i = 0; i + t->n_columns <= t->n; i += t->n_columns)
        write_row(t, t->cells + i, widths, out);
    free(t->cells);
    arena_free(&t->text);
    buf_free(&t->cell);
}

#define HEADS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void table_member(struct table *t, const json_t *object, const char *name)
{
    add_member(&t->cell, object, name);
    table_cell(t);
}

static void table_amount(struct table *t, const json_t *object, const char *name, const json_t *with_currency)
{
    add_amount(&t->cell, object, name, with_currency);
    table_cell(t);
}

static void table_time(struct table *t, const json_t *object, const char *name)
{
    add_time(&t->cell, object, name);
    table_cell(t);
}

// --- the shapes

void show_orders(const json_t *list, FILE *out)
{
    struct table t;
    size_t i;
    json_t *o;
    table_begin(&t, HEADS("ORDER", "STATE", "REASON", "AMOUNT", "BUYER", "CREATED", "EXPIRES"), 1 << 3);
    json_array_foreach(list, i, o)
    {
        table_member(&t, o, "id");
        table_member(&t, o, "state");
        table_member(&t, o, "reason");
        table_amount(&t, o, "amount", o);
        table_member(&t, o, "buyer");
        table_time(&t, o, "created_at");
        table_time(&t, o, "expires_at");
    }
    table_end(&t, out);
}

void show_skus(const json_t *list, FILE *out)
{
    struct table t;
    size_t i;
    json_t *k;
    table_begin(&t, HEADS("SKU", "TITLE", "PRICE", "AVAILABLE", "HELD", "SOLD"), 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5);
    json_array_foreach(list, i, k)
    {
        table_member(&t, k, "sku");
        table_member(&t, k, "title");
        table_amount(&t, k, "price", k);
        table_member(&t, k, "available");
        table_member(&t, k, "held");
        table_member(&t, k, "sold");
    }
    table_end(&t, out);
}

// A blank between what is there.
static void add_word(struct buf *out, const json_t *object, const char *before, const char *name, const char *after)
{
    if (!has(object, name)) return;
    if (out->n > 0) buf_char(out, ' ');
    buf_z(out, before);
    add_member(out, object, name);
    buf_z(out, after);
}

void show_timeline(const json_t *list, FILE *out)
{
    struct table t;
    size_t i;
    json_t *e;
    table_begin(&t, HEADS("AT", "KIND", "WHAT"), 0);
    json_array_foreach(list, i, e)
    {
        table_member(&t, e, "at"); // in full: here the milliseconds matter
        table_member(&t, e, "kind");
        add_word(&t.cell, e, "", "from", "");
        add_word(&t.cell, e, "-> ", "to", "");
        add_word(&t.cell, e, "#", "n", "");
        add_word(&t.cell, e, "", "answer", "");
        add_word(&t.cell, e, "", "channel", "");
        add_word(&t.cell, e, "", "method", "");
        add_word(&t.cell, e, "", "outcome", "");
        add_word(&t.cell, e, "in ", "ms", " ms");
        add_word(&t.cell, e, "", "detail", "");
        table_cell(&t);
    }
    table_end(&t, out);
}

void show_events(const json_t *list, FILE *out)
{
    struct table t;
    size_t i;
    json_t *e;
    table_begin(&t, HEADS("AT", "TYPE", "ORDER", "SEQ", "EVENT"), 1 << 3);
    json_array_foreach(list, i, e)
    {
        table_time(&t, e, "created_at");
        table_member(&t, e, "type");
        table_member(&t, e, "order");
        table_member(&t, e, "sequence");
        table_member(&t, e, "id");
    }
    table_end(&t, out);
}

void show_event(const json_t *event, FILE *out)
{
    struct table t;
    // A line at a time cannot look ahead: columns as wide as these things usually are.
    size_t widths[COLUMNS_MAX] = {20, 22, 33, 3};
    table_begin(&t, HEADS("", "", "", "", ""), 1 << 3);
    table_time(&t, event, "created_at");
    table_member(&t, event, "type");
    table_member(&t, event, "order");
    table_member(&t, event, "sequence");
    table_member(&t, event, "id");
    if (t.n == 10) {
        for (unsigned i = 0; i < 5; i++)
            if (width_of(t.cells[5 + i]) > widths[i]) widths[i] = width_of(t.cells[5 + i]);
        write_row(&t, t.cells + 5, widths, out);
    }
    t.n = 0;
    table_end(&t, out);
}

static void show_line(const char *name, struct buf *value, FILE *out)
{
    if (value->n > 0 && !value->failed) (void)fprintf(out, "%-10s  %.*s\n", name, (int)value->n, value->p);
    buf_clear(value);
}

static void show_items(const json_t *order, FILE *out)
{
    const json_t *items = json_object_get(order, "items");
    struct table t;
    size_t i;
    json_t *item;
    if (json_array_size(items) == 0) return;
    (void)fputc('\n', out);
    table_begin(&t, HEADS("SKU", "TITLE", "QUANTITY", "PRICE"), 1 << 2 | 1 << 3);
    json_array_foreach(items, i, item)
    {
        table_member(&t, item, "sku");
        table_member(&t, item, "title");
        table_member(&t, item, "quantity");
        table_amount(&t, item, "price", order);
    }
    table_end(&t, out);
}

void show_order(const json_t *order, FILE *out)
{
    static const char *const times[][2] = {
        {"created", "created_at"}, {"expires", "expires_at"}, {"paid at", "paid_at"}, {"cancelled", "cancelled_at"}};
    const json_t *payment = json_object_get(order, "payment");
    struct buf b = {0};
    add_member(&b, order, "id");
    show_line("order", &b, out);
    add_member(&b, order, "state");
    add_word(&b, order, "(", "reason", ")");
    show_line("state", &b, out);
    add_amount(&b, order, "amount", order);
    show_line("amount", &b, out);
    add_amount(&b, order, "paid_amount", order);
    show_line("paid", &b, out);
    add_amount(&b, order, "refunded_amount", order);
    show_line("refunded", &b, out);
    add_member(&b, order, "subject");
    show_line("subject", &b, out);
    add_member(&b, order, "buyer");
    show_line("buyer", &b, out);
    add_member(&b, order, "merchant_order_no");
    show_line("number", &b, out);
    add_member(&b, order, "policy");
    show_line("policy", &b, out);
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        add_time(&b, order, times[i][1]);
        show_line(times[i][0], &b, out);
    }
    add_member(&b, payment, "id");
    add_word(&b, payment, "", "channel", "");
    add_word(&b, payment, "", "state", "");
    show_line("payment", &b, out);
    add_member(&b, payment, "qr_code");
    show_line("code", &b, out);
    add_member(&b, order, "pay_url");
    show_line("pay at", &b, out);
    buf_free(&b);
    show_items(order, out);
}

void show_refund(const json_t *refund, FILE *out)
{
    struct buf b = {0};
    add_member(&b, refund, "id");
    show_line("refund", &b, out);
    add_member(&b, refund, "state");
    show_line("state", &b, out);
    add_amount(&b, refund, "amount", refund);
    show_line("amount", &b, out);
    buf_free(&b);
}

void show_problem(long status, struct str body, FILE *out)
{
    json_t *problem = body.n > 0 ? json_loadb(body.p, body.n, 0, NULL) : NULL;
    struct buf line = {0};
    buf_printf(&line, "till: %ld", status);
    add_word(&line, problem, "", "code", "");
    buf_char(&line, ':');
    if (!json_is_object(problem)) buf_z(&line, " the server says no more");
    add_word(&line, problem, "", has(problem, "detail") ? "detail" : "title", "");
    add_word(&line, problem, "(", "pointer", ")");
    buf_char(&line, '\n');
    if (!line.failed) (void)fwrite(line.p, 1, line.n, out);
    buf_free(&line);
    json_decref(problem);
}
