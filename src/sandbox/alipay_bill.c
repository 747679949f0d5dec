// SPDX-License-Identifier: Apache-2.0
// alipay.data.dataservice.bill.downloadurl.query, and the file behind its answer: a zip with two texts in GBK, the
// day's business and its summary, comment lines around a table whose texts end in a tab. Refunds are negative.
#include "base/timetext.h"
#include "sandbox/alipay_methods.h"
#include "sandbox/bill.h"
#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>
#include <zip.h>

#define DOWNLOAD_WITHIN_MS 30000
#define ENTRY_NAME_MAX     128

struct sums {
    int64_t n, fen;
};

static const char HEAD[] =
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,"
    "对方账户,订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,"
    "商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,"
    "退款批次号/请求号,服务费（元）,分润（元）,备注\r\n";
static const char RULE[] = "#-----------------------------------------";

static void yuan(struct buf *out, int64_t fen)
{
    if (fen < 0) buf_char(out, '-');
    buf_printf(out, "%lld.%02d", (long long)(llabs(fen) / 100), (int)(llabs(fen) % 100));
}

static void field(struct buf *out, const char *text)
{
    bill_text_write(out, text);
    buf_z(out, "\t,");
}

static void entry_write(const struct bill_entry *e, struct buf *out)
{
    char created[TIME_TEXT_SIZE], done[TIME_TEXT_SIZE];
    const struct trade *t = &e->trade;
    int64_t fen = e->is_refund ? -e->amount_fen : e->amount_fen;
    time_to_beijing(t->created_ms, created);
    time_to_beijing(e->is_refund ? e->refund.created_ms : t->paid_ms, done);
    field(out, t->trade_no);
    field(out, t->code.out_trade_no);
    field(out, e->is_refund ? "退款" : "交易");
    field(out, t->code.subject);
    field(out, created);
    field(out, done);
    field(out, t->code.store_id);
    field(out, "");
    field(out, "");
    field(out, t->code.terminal_id);
    field(out, "*沙箱(san***@example.com)");
    yuan(out, fen);
    buf_char(out, ',');
    yuan(out, fen);
    buf_z(out, ",0.00,0.00,0.00,0.00,0.00,");
    field(out, "");
    buf_z(out, "0.00,0.00,");
    field(out, e->is_refund ? e->refund.out_request_no : "");
    buf_z(out, "0.00,0.00,\t\r\n");
}

static void head_write(const struct sandbox *s, const char *title, const char *list, int64_t day_ms, struct buf *out)
{
    char day[DAY_TEXT_SIZE], next[DAY_TEXT_SIZE];
    day_to_beijing(day_ms, day);
    day_to_beijing(day_ms + INT64_C(24) * 3600 * 1000, next);
    buf_printf(
        out,
        "#支付宝%s查询\r\n#账号：[%s0156]\r\n#起始日期：[%.4s年%.2s月%.2s日 00:00:00]   终止日期：[%.4s年%.2s月%.2s日 "
        "00:00:00]\r\n%s%s----------------------------------------\r\n",
        title, s->keys.identity.seller_id, day, day + 5, day + 8, next, next + 5, next + 8, RULE, list);
}

static void business_write(const struct sandbox *s, const struct bill *b, int64_t now_ms, struct buf *out)
{
    struct sums captures = {0}, refunds = {0};
    char now[TIME_TEXT_SIZE];
    head_write(s, "业务明细", "业务明细列表", b->day_ms, out);
    buf_z(out, HEAD);
    for (size_t i = 0; i < b->n; i++) {
        struct sums *to = b->entries[i].is_refund ? &refunds : &captures;
        to->n++;
        to->fen += b->entries[i].amount_fen;
        entry_write(&b->entries[i], out);
    }
    time_to_beijing(now_ms, now);
    buf_printf(out, "%s业务明细列表结束------------------------------------\r\n#交易合计：%lld笔，商家实收共", RULE,
               (long long)captures.n);
    yuan(out, captures.fen);
    buf_printf(out, "元，商家优惠共0.00元\r\n#退款合计：%lld笔，商家实收退款共", (long long)refunds.n);
    yuan(out, -refunds.fen);
    buf_printf(out, "元，商家优惠退款共0.00元\r\n#导出时间：[%.4s年%.2s月%.2s日 %s]\r\n", now, now + 5, now + 8,
               now + 11);
}

static void summary_write(const struct sandbox *s, const struct bill *b, struct buf *out)
{
    head_write(s, "业务汇总", "业务汇总列表", b->day_ms, out);
    buf_printf(out, "%s业务汇总列表结束------------------------------------\r\n", RULE);
}

// --- GBK in a zip

// What GBK has no character for becomes a question mark. `text` is UTF-8.
static bool to_gbk(struct str text, struct buf *out)
{
    iconv_t c = iconv_open("GBK", "UTF-8");
    if (c == (iconv_t)-1) return false; // NOLINT: the library's own way to say no
    char *in = (char *)(uintptr_t)text.p;
    size_t left = text.n;
    bool ok = buf_reserve(out, 2 * text.n + 1);
    while (ok && left > 0) {
        char *to = out->p + out->n;
        size_t room = out->cap - out->n;
        bool whole = iconv(c, &in, &left, &to, &room) != (size_t)-1;
        out->n = (size_t)(to - out->p);
        if (whole || left == 0) break;
        size_t n = str_utf8_len((struct str){in, left});
        in += n ? n : 1;
        left -= n ? n : 1;
        buf_char(out, '?');
    }
    iconv_close(c);
    return ok && !out->failed;
}

// The archive takes `gbk`'s bytes over by reference: they must live until it is closed.
static bool archive_add(zip_t *z, const struct sandbox *s, const char *day, const char *what, const struct buf *gbk)
{
    char utf8[ENTRY_NAME_MAX];
    struct buf name = {0};
    int n =
        snprintf(utf8, sizeof utf8, "%s_%.4s%.2s%.2s_%s.csv", s->keys.identity.seller_id, day, day + 5, day + 8, what);
    bool ok = to_gbk((struct str){utf8, (size_t)n}, &name);
    buf_char(&name, 0);
    zip_source_t *source = ok && !name.failed ? zip_source_buffer(z, gbk->p, gbk->n, 0) : NULL;
    ok = source && zip_file_add(z, name.p, source, ZIP_FL_ENC_CP437) >= 0; // bytes as they are, as Alipay has them
    if (source && !ok) zip_source_free(source);
    buf_free(&name);
    return ok;
}

static bool archive_read(zip_source_t *whole, struct buf *out)
{
    zip_stat_t about;
    if (zip_source_stat(whole, &about) != 0 || !(about.valid & ZIP_STAT_SIZE) || !buf_reserve(out, about.size) ||
        zip_source_open(whole) != 0)
        return false;
    bool ok = zip_source_read(whole, out->p + out->n, about.size) == (zip_int64_t)about.size;
    if (ok) out->n += about.size;
    zip_source_close(whole);
    return ok;
}

static bool archive_make(const struct sandbox *s, const char *day, const struct buf *business,
                         const struct buf *summary, struct buf *out)
{
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *whole = zip_source_buffer_create(NULL, 0, 0, &error);
    if (whole) zip_source_keep(whole); // the archive frees its own reference
    zip_t *z = whole ? zip_open_from_source(whole, ZIP_TRUNCATE, &error) : NULL;
    if (whole && !z) zip_source_free(whole);
    bool ok = z && archive_add(z, s, day, "业务明细", business) && archive_add(z, s, day, "业务明细(汇总)", summary);
    if (ok)
        ok = zip_close(z) == 0;
    else if (z)
        zip_discard(z);
    ok = ok && archive_read(whole, out);
    if (whole) zip_source_free(whole);
    zip_error_fini(&error);
    return ok;
}

// --- What is asked

void alipay_bill_query(struct call *c, const char *bill_type, const char *bill_date)
{
    int64_t day_ms;
    struct bill b;
    struct buf url = {0};
    if (strcmp(bill_type, "trade") != 0) {
        alipay_refuse_business(c, "isv.invalid-arguments", "this sandbox has bill_type trade");
        return;
    }
    switch (bill_day_read(str_of(bill_date), c->now_ms, &day_ms)) {
    case BILL_DAY_BAD: alipay_refuse_business(c, "isv.invalid-arguments", "bill_date is yyyy-MM-dd"); return;
    case BILL_DAY_NOT_OVER: alipay_refuse_business(c, "isp.bill_not_exist", "账单不存在"); return;
    case BILL_DAY_GOOD: break;
    }
    bill_gather(c->sandbox, SANDBOX_ALIPAY, day_ms, &b);
    bool empty = b.n == 0;
    bill_free(&b);
    if (empty) {
        alipay_refuse_business(c, "isp.bill_not_exist", "账单不存在");
        return;
    }
    bill_base_write(c->sandbox, c->x, &url);
    buf_z(&url, ALIPAY_BILL_DOWNLOAD "?");
    bill_ticket_write(c->sandbox, SANDBOX_ALIPAY, day_ms, DOWNLOAD_WITHIN_MS, &url);
    alipay_success(c);
    json_kstr(c->out, "bill_download_url", buf_view(&url));
    json_close(c->out, '}');
    if (url.failed) c->out->failed = true;
    buf_free(&url);
}

void alipay_bill_download(struct sandbox *s, const struct http_exchange *x, struct answer *a)
{
    int64_t day_ms;
    if (!bill_ticket_read(s, SANDBOX_ALIPAY, x->query, &day_ms)) {
        answer_problem(a, 403, "forbidden", "a download address is good for 30 seconds", NULL);
        return;
    }
    struct bill b;
    char day[DAY_TEXT_SIZE];
    struct buf utf8[2] = {0}, gbk[2] = {0};
    day_to_beijing(day_ms, day);
    bill_gather(s, SANDBOX_ALIPAY, day_ms, &b);
    business_write(s, &b, clock_now_ms(s->clock), &utf8[0]);
    summary_write(s, &b, &utf8[1]);
    bool ok = !b.failed && !utf8[0].failed && !utf8[1].failed && to_gbk(buf_view(&utf8[0]), &gbk[0]) &&
              to_gbk(buf_view(&utf8[1]), &gbk[1]) && archive_make(s, day, &gbk[0], &gbk[1], &a->body);
    a->status = 200;
    a->content_type = "application/octet-stream";
    if (!ok) answer_problem(a, 500, "failed", "the bill cannot be made", NULL);
    for (unsigned i = 0; i < 2; i++) {
        buf_free(&utf8[i]);
        buf_free(&gbk[i]);
    }
    bill_free(&b);
}
