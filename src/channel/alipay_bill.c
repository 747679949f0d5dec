// SPDX-License-Identifier: Apache-2.0
// Alipay's daily bill: alipay.data.dataservice.bill.downloadurl.query, then a zip with the day's business as a table in
// GBK between comment lines. The address is believed because Alipay signed it; the file is not signed, so it must agree
// with itself: the day in its head, and the totals below its table.
#include "base/timetext.h"
#include "channel/alipay.h"
#include "channel/alipay_wire.h"
#include "channel/bill_inside.h"
#include "port/clock.h"
#include <errno.h>
#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>
#include <zip.h>

#define METHOD       "alipay.data.dataservice.bill.downloadurl.query"
#define ENTRIES_MAX  16
#define ASK_SECONDS  20
#define FILE_SECONDS 300
#define DAY_MS       (INT64_C(24) * 3600 * 1000)

// --- GBK

static bool has(struct str s, const char *z)
{
    return s.n && memmem(s.p, s.n, z, strlen(z)) != NULL;
}

// Its superset, which is what the files really are in. Strict: a byte that is none is no bill.
static bool from_gbk(struct str gbk, struct buf *out)
{
    iconv_t c = iconv_open("UTF-8", "GB18030");
    if (c == (iconv_t)-1) return false; // NOLINT: the library's own way to say no
    char *in = (char *)(uintptr_t)gbk.p;
    size_t left = gbk.n;
    bool ok = true;
    while (ok && left > 0) {
        ok = buf_reserve(out, left + left / 2 + 16);
        if (!ok) break;
        char *to = out->p + out->n;
        size_t room = out->cap - out->n;
        ok = iconv(c, &in, &left, &to, &room) != (size_t)-1 || errno == E2BIG;
        out->n = (size_t)(to - out->p);
    }
    iconv_close(c);
    return ok && !out->failed;
}

// --- The table

enum column { COL_TRADE_NO, COL_NUMBER, COL_TYPE, COL_TITLE, COL_DONE, COL_AMOUNT, COL_RECEIVED, COL_REQUEST };
static const char *const COLUMNS[] = {
    [COL_TRADE_NO] = "支付宝交易号",   [COL_NUMBER] = "商户订单号",
    [COL_TYPE] = "业务类型",           [COL_TITLE] = "商品名称",
    [COL_DONE] = "完成时间",           [COL_AMOUNT] = "订单金额（元）",
    [COL_RECEIVED] = "商家实收（元）", [COL_REQUEST] = "退款批次号/请求号",
};
#define N_COLUMNS (sizeof COLUMNS / sizeof COLUMNS[0])

struct sums {
    int64_t n, fen;
};

struct table {
    int64_t day_ms;
    unsigned at[N_COLUMNS], n_fields;
    struct sums captures, refunds; // of what the merchant received, which is what the totals count
    struct bill_rows *rows;
    char *why;
};

// A title may hold commas, and nothing quotes them: what is too much belongs to it.
static struct str cell(const struct table *t, const struct str *fields, unsigned n, enum column c)
{
    unsigned at = t->at[c];
    return fields[at > t->at[COL_TITLE] ? at + (n - t->n_fields) : at];
}

static bool row_read(struct table *t, struct str line)
{
    struct str fields[BILL_FIELDS_MAX];
    struct bill_row row = {0};
    int64_t received_fen;
    unsigned n = bill_split(line, STR(","), fields);
    if (n < t->n_fields) return bill_refuse(t->why, "a row with %u of %u fields", n, t->n_fields);
    struct str type = cell(t, fields, n, COL_TYPE);
    bool is_refund = str_eq(type, STR("退款"));
    if (!is_refund && !str_eq(type, STR("交易"))) return bill_refuse(t->why, "a row of an unknown business type");
    row.kind = is_refund ? BILL_REFUND : BILL_CAPTURE;
    if (!bill_text(cell(t, fields, n, COL_TRADE_NO), true, row.provider_trade_no) ||
        !bill_text(cell(t, fields, n, COL_NUMBER), true, row.number) ||
        !bill_text(cell(t, fields, n, COL_REQUEST), false, row.refund_number))
        return bill_refuse(t->why, "a row whose numbers cannot be read");
    if (!bill_yuan(cell(t, fields, n, COL_AMOUNT), &row.amount_fen) ||
        !bill_yuan(cell(t, fields, n, COL_RECEIVED), &received_fen) || row.amount_fen == 0 ||
        (row.amount_fen < 0) != is_refund)
        return bill_refuse(t->why, "the row of %s has an amount that cannot be", row.number);
    // A day's grace: what is in the bill is Alipay's to say, that it is this day's bill is checked in its head.
    if (!time_from_beijing(cell(t, fields, n, COL_DONE), &row.at_ms) || row.at_ms < t->day_ms - DAY_MS ||
        row.at_ms >= t->day_ms + 2 * DAY_MS)
        return bill_refuse(t->why, "the row of %s is of another day", row.number);
    row.amount_fen = llabs(row.amount_fen);
    struct sums *to = is_refund ? &t->refunds : &t->captures;
    to->n++;
    to->fen += llabs(received_fen);
    return bill_add(t->rows, &row, t->why);
}

// What stands between two texts of a line.
static struct str between(struct str line, const char *before, const char *after)
{
    const char *from = memmem(line.p, line.n, before, strlen(before));
    if (!from) return (struct str){0};
    from += strlen(before);
    const char *to = memmem(from, (size_t)(line.p + line.n - from), after, strlen(after));
    return to ? (struct str){from, (size_t)(to - from)} : (struct str){0};
}

// "#交易合计：2笔，商家实收共0.02元，..." and "#退款合计：1笔，商家实收退款共-0.01元，...". Not through yuan_to_fen():
// a day's sum may be more than any order.
static bool sum_read(struct str text, int64_t *fen)
{
    char plain[24];
    if (text.n && text.p[0] == '-') text = (struct str){text.p + 1, text.n - 1};
    const char *dot = text.n ? memchr(text.p, '.', text.n) : NULL;
    size_t whole = dot ? (size_t)(dot - text.p) : text.n, decimals = dot ? text.n - whole - 1 : 0;
    if (whole == 0 || whole > 13 || decimals > 2 || (dot && decimals == 0)) return false;
    memcpy(plain, text.p, whole);
    memcpy(plain + whole, "00", 3);
    if (decimals) memcpy(plain + whole, dot + 1, decimals);
    *fen = 0;
    for (const char *p = plain; *p; p++) {
        if (*p < '0' || *p > '9') return false;
        *fen = *fen * 10 + (*p - '0');
    }
    return true;
}

static bool total_fits(struct str line, const char *before, struct sums sums)
{
    int64_t n, fen;
    return bill_count(between(line, "：", "笔"), &n) && sum_read(between(line, before, "元"), &fen) && n == sums.n &&
           fen == sums.fen;
}

static bool day_is(struct str line, int64_t day_ms)
{
    char day[DAY_TEXT_SIZE], said[40];
    day_to_beijing(day_ms, day);
    (void)snprintf(said, sizeof said, "%.4s年%.2s月%.2s日 00:00:00", day, day + 5, day + 8);
    return str_eq(between(line, "起始日期：[", "]"), str_of(said));
}

static bool head_read(struct table *t, struct str *rest)
{
    struct str line, fields[BILL_FIELDS_MAX];
    bool has_day = false;
    while (bill_line(rest, &line)) {
        if (has(line, "起始日期")) {
            if (!day_is(line, t->day_ms)) return bill_refuse(t->why, "the bill is of another day");
            has_day = true;
        }
        if (str_starts(line, STR("#"))) continue;
        t->n_fields = bill_split(line, STR(","), fields);
        if (!has_day) return bill_refuse(t->why, "the bill does not say of which day it is");
        return bill_columns(fields, t->n_fields, COLUMNS, N_COLUMNS, t->at, t->why);
    }
    return bill_refuse(t->why, "the bill has no table");
}

static bool foot_read(struct table *t, struct str rest)
{
    struct str line;
    unsigned n_captures = 0, n_refunds = 0;
    while (bill_line(&rest, &line)) {
        bool captures = str_starts(line, STR("#交易合计")), refunds = str_starts(line, STR("#退款合计"));
        n_captures += captures;
        n_refunds += refunds;
        if ((captures && !total_fits(line, "商家实收共", t->captures)) ||
            (refunds && !total_fits(line, "商家实收退款共", t->refunds)))
            return bill_refuse(t->why, "the bill's totals are not those of its rows");
    }
    if (rest.n == 0 && n_captures == 1 && n_refunds == 1) return true;
    return bill_refuse(t->why, "the bill is cut off: its totals are missing");
}

static bool table_read(struct table *t, struct str text)
{
    struct str line;
    if (!head_read(t, &text)) return false;
    for (;;) {
        if (!bill_line(&text, &line)) return bill_refuse(t->why, "the bill is cut off, or a line is too long");
        if (has(line, "业务明细列表结束")) return foot_read(t, text);
        if (!row_read(t, line)) return false;
    }
}

bool alipay_bill_read_text(struct str gbk, int64_t day_ms, struct bill_rows *rows, char why[BILL_WHY_SIZE])
{
    struct buf text = {0};
    struct table t = {.day_ms = day_ms, .rows = rows, .why = why};
    *rows = (struct bill_rows){0};
    bool ok = from_gbk(gbk, &text) || bill_refuse(why, "the bill is not in GBK");
    ok = ok && table_read(&t, buf_view(&text));
    buf_free(&text);
    if (!ok) bill_rows_free(rows);
    return ok;
}

// --- The archive

// Of the two texts the one that is not the summary. Names are bytes of GBK, or UTF-8 where the archive says so.
static bool is_business(const char *name)
{
    struct buf utf8 = {0};
    struct str raw = str_of(name);
    bool by_gbk = from_gbk(raw, &utf8) && has(buf_view(&utf8), "业务明细") && !has(buf_view(&utf8), "汇总");
    buf_free(&utf8);
    return by_gbk || (has(raw, "业务明细") && !has(raw, "汇总"));
}

static bool entry_find(zip_t *z, zip_uint64_t *which)
{
    zip_int64_t n = zip_get_num_entries(z, 0);
    unsigned times = 0;
    if (n < 1 || n > ENTRIES_MAX) return false;
    for (zip_uint64_t i = 0; i < (zip_uint64_t)n; i++) {
        const char *name = zip_get_name(z, i, ZIP_FL_ENC_RAW);
        if (!name || !is_business(name)) continue;
        *which = i;
        times++;
    }
    return times == 1;
}

// The last read, of nothing, is the one that checks the sum.
static bool entry_read(zip_t *z, zip_uint64_t which, struct buf *out)
{
    zip_stat_t about;
    if (zip_stat_index(z, which, 0, &about) != 0 || !(about.valid & ZIP_STAT_SIZE) || about.size > BILL_TEXT_MAX)
        return false;
    zip_file_t *f = zip_fopen_index(z, which, 0);
    bool ok = f && buf_reserve(out, about.size + 1);
    while (ok) {
        zip_int64_t n = zip_fread(f, out->p + out->n, about.size + 1 - out->n);
        ok = n >= 0;
        if (n <= 0) break;
        out->n += (size_t)n;
        ok = out->n <= about.size;
    }
    if (f) ok = zip_fclose(f) == 0 && ok;
    return ok && out->n == about.size;
}

bool alipay_bill_read(struct str file, int64_t day_ms, struct bill_rows *rows, char why[BILL_WHY_SIZE])
{
    struct buf text = {0};
    zip_uint64_t which = 0;
    *rows = (struct bill_rows){0};
    zip_source_t *source = zip_source_buffer_create(file.n ? file.p : "", file.n, 0, NULL);
    zip_t *z = source ? zip_open_from_source(source, ZIP_RDONLY, NULL) : NULL;
    if (source && !z) zip_source_free(source);
    bool ok = (z && entry_find(z, &which) && entry_read(z, which, &text)) ||
              bill_refuse(why, "the file is no archive with a bill in it");
    if (z) zip_discard(z);
    ok = ok && alipay_bill_read_text(buf_view(&text), day_ms, rows, why);
    buf_free(&text);
    return ok;
}

// --- Fetching

static struct str member(const json_t *node, const char *name)
{
    const json_t *v = json_object_get(node, name);
    if (!json_is_string(v)) return (struct str){"", 0};
    return (struct str){json_string_value(v), json_string_length(v)};
}

static enum bill_word node_read(const struct alipay_app *app, const json_t *node, struct buf *url,
                                char why[BILL_WHY_SIZE])
{
    struct str code = member(node, "code"), sub_code = member(node, "sub_code");
    if (str_eq(code, STR("10000"))) {
        if (bill_url(member(node, "bill_download_url"), app->gateway, url)) return BILL_GOOD;
        (void)bill_refuse(why, "the answer holds no address");
        return BILL_UNKNOWN;
    }
    if (str_eq(code, STR("40004")) && (has(sub_code, "bill_not_exist") || has(sub_code, "BILL_NOT_EXIST")))
        return BILL_NONE;
    (void)bill_refuse(why, "refused: %.*s %.*s", (int)code.n, code.p, (int)(sub_code.n < 64 ? sub_code.n : 64),
                      sub_code.p);
    return BILL_UNKNOWN;
}

static enum bill_word answer_read(const struct alipay_app *app, const struct call_reply *reply, struct buf *url,
                                  char why[BILL_WHY_SIZE])
{
    struct json_fault fault;
    const char *wrong;
    enum bill_word word = BILL_UNKNOWN;
    if (reply->status != 200) {
        (void)bill_refuse(why, "http %d", reply->status);
        return BILL_UNKNOWN;
    }
    json_t *root = json_read_object(reply->body, &fault);
    const json_t *node = root ? alipay_signed_node(app, METHOD, reply->body, root, &wrong) : NULL;
    if (node)
        word = node_read(app, node, url, why);
    else
        (void)bill_refuse(why, "%s", root ? wrong : "no JSON");
    json_decref(root);
    return word;
}

static enum bill_word ask(const struct alipay_app *app, int64_t day_ms, struct buf *url, int64_t *said_ms,
                          char why[BILL_WHY_SIZE])
{
    char day[DAY_TEXT_SIZE], content[96];
    struct call_request q = {0};
    struct bill_reply r = {0};
    enum bill_word word = BILL_UNKNOWN;
    day_to_beijing(day_ms, day);
    int n = snprintf(content, sizeof content, "{\"bill_type\":\"trade\",\"bill_date\":\"%s\"}", day);
    if (!alipay_method_request(app, METHOD, (struct str){content, (size_t)n}, clock_real_ms(), &q))
        (void)bill_refuse(why, "the request cannot be signed");
    else if (bill_exchange(&q, BILL_ASK_MAX, ASK_SECONDS, &r, why))
        word = answer_read(app, &r.reply, url, why);
    *said_ms = reply_date_ms(&r.reply);
    bill_request_free(&q);
    bill_reply_free(&r);
    return word;
}

enum bill_word alipay_bill(struct channel *c, int64_t day_ms, struct bill_rows *rows, int64_t *said_ms,
                           char why[BILL_WHY_SIZE])
{
    struct call_request q = {0};
    struct bill_reply r = {0};
    enum bill_word word = ask(alipay_app_of(c), day_ms, &q.url, said_ms, why);
    if (word == BILL_GOOD) {
        word = BILL_UNKNOWN;
        if (!bill_exchange(&q, BILL_FILE_MAX, FILE_SECONDS, &r, why))
            word = BILL_UNKNOWN;
        else if (r.reply.status != 200)
            (void)bill_refuse(why, "the file: http %d", r.reply.status);
        else if (alipay_bill_read(r.reply.body, day_ms, rows, why))
            word = BILL_GOOD;
    }
    bill_request_free(&q);
    bill_reply_free(&r);
    return word;
}
