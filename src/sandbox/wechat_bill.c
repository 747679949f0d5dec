// SPDX-License-Identifier: Apache-2.0
// WeChat Pay's daily bill of trades: the call that says where it is, and the file, UTF-8 with a backtick before each
// field and the totals at its end. Captures stand under the day they were paid, refunds under the day they were
// accepted, as they were then or are now: a bill is not brought up to date.
#include "base/timetext.h"
#include "sandbox/bill.h"
#include "sandbox/wechat_methods.h"
#include "sandbox/wechat_notice.h"
#include <stdio.h>

#define DOWNLOAD_WITHIN_MS 300000

static const char HEAD[] = "\xef\xbb\xbf交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,"
                           "交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,"
                           "退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,"
                           "申请退款金额,费率备注\r\n";
static const char TOTALS[] =
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\r\n";

static void field(struct buf *out, const char *text)
{
    if (out->n && out->p[out->n - 1] != '\n') buf_char(out, ',');
    buf_char(out, '`');
    bill_text_write(out, text);
}

static void yuan(struct buf *out, int64_t fen)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%lld.%02d", (long long)(fen / 100), (int)(fen % 100));
    field(out, text);
}

static const char *trade_type(enum code_kind kind)
{
    switch (kind) {
    case CODE_QR: return "NATIVE";
    case CODE_JSAPI: return "JSAPI";
    case CODE_H5: return "MWEB";
    }
    return "";
}

static void entry_write(const struct sandbox *s, const struct bill_entry *e, struct buf *out)
{
    char at[TIME_TEXT_SIZE];
    const struct trade *t = &e->trade;
    bool back = e->is_refund;
    time_to_beijing(back ? e->refund.created_ms : t->paid_ms, at);
    field(out, at);
    field(out, s->keys.identity.appid);
    field(out, s->keys.identity.mchid);
    field(out, "0");
    field(out, "");
    field(out, t->trade_no);
    field(out, t->code.out_trade_no);
    field(out, t->payer);
    field(out, trade_type(t->code.kind));
    field(out, back ? "REFUND" : "SUCCESS");
    field(out, "OTHERS");
    field(out, "CNY");
    yuan(out, back ? 0 : e->amount_fen);
    yuan(out, 0);
    field(out, back ? e->refund.refund_no : "0");
    field(out, back ? e->refund.out_request_no : "0");
    yuan(out, back ? e->amount_fen : 0);
    yuan(out, 0);
    field(out, back ? "ORIGINAL" : "");
    field(out, back ? wechat_refund_status(e->refund.state) : "");
    field(out, t->code.subject);
    field(out, t->code.passback);
    field(out, "0.00000");
    field(out, "0.60%");
    yuan(out, back ? 0 : e->amount_fen);
    yuan(out, back ? e->amount_fen : 0);
    field(out, "");
    buf_z(out, "\r\n");
}

static void file_write(const struct sandbox *s, const struct bill *b, struct buf *out)
{
    int64_t captured_fen = 0, refunded_fen = 0;
    char n[24];
    buf_z(out, HEAD);
    for (size_t i = 0; i < b->n; i++) {
        *(b->entries[i].is_refund ? &refunded_fen : &captured_fen) += b->entries[i].amount_fen;
        entry_write(s, &b->entries[i], out);
    }
    buf_z(out, TOTALS);
    (void)snprintf(n, sizeof n, "%zu", b->n);
    field(out, n);
    yuan(out, captured_fen);
    yuan(out, refunded_fen);
    yuan(out, 0);
    field(out, "0.00000");
    yuan(out, captured_fen);
    yuan(out, refunded_fen);
    buf_z(out, "\r\n");
    if (b->failed) out->failed = true;
}

// --- GET /v3/bill/tradebill

static bool query_is(struct str query, const char *name, const char *wanted, bool required)
{
    struct buf b = {0};
    bool is_there = http_query(query, name, &b);
    bool ok = is_there ? str_eq(buf_view(&b), str_of(wanted)) : !required;
    buf_free(&b);
    return ok;
}

// False: refused already.
static bool day_asked(struct wechat_call *c, int64_t *day_ms)
{
    struct buf date = {0};
    enum bill_day day = BILL_DAY_BAD;
    if (http_query(c->x->query, "bill_date", &date)) day = bill_day_read(buf_view(&date), c->now_ms, day_ms);
    buf_free(&date);
    if (!query_is(c->x->query, "bill_type", "ALL", false) || query_is(c->x->query, "tar_type", "GZIP", true))
        wechat_refuse(c, 400, "PARAM_ERROR", "参数错误 this sandbox has bill_type ALL, not compressed");
    else if (day == BILL_DAY_BAD)
        wechat_refuse(c, 400, "PARAM_ERROR", "参数错误 bill_date is yyyy-MM-dd");
    else if (day == BILL_DAY_NOT_OVER)
        wechat_refuse(c, 400, "STATEMENT_CREATING", "账单生成中 the day is not over");
    else
        return true;
    return false;
}

void wechat_bill(struct wechat_call *c)
{
    int64_t day_ms;
    struct bill b;
    struct buf file = {0}, url = {0};
    uint8_t hash[20];
    char hash_text[41];
    if (!day_asked(c, &day_ms)) return;
    bill_gather(c->sandbox, SANDBOX_WECHATPAY, day_ms, &b);
    file_write(c->sandbox, &b, &file);
    bill_base_write(c->sandbox, c->x, &url);
    buf_z(&url, WECHAT_BILL_DOWNLOAD "?");
    bill_ticket_write(c->sandbox, SANDBOX_WECHATPAY, day_ms, DOWNLOAD_WITHIN_MS, &url);
    if (b.n == 0 && !b.failed) {
        wechat_refuse(c, 400, "NO_STATEMENT_EXIST", "账单文件不存在 nothing was paid or refunded on that day");
    } else if (file.failed || url.failed) {
        wechat_refuse(c, 500, "SYSTEM_ERROR", "系统错误 out of memory");
    } else {
        crypto_sha1(buf_view(&file), hash);
        crypto_hex(hash, sizeof hash, hash_text);
        json_open(c->out, '{');
        json_kz(c->out, "hash_type", "SHA1");
        json_kz(c->out, "hash_value", hash_text);
        json_kstr(c->out, "download_url", buf_view(&url));
        json_close(c->out, '}');
    }
    bill_free(&b);
    buf_free(&file);
    buf_free(&url);
}

// The file itself: asked for as every call, but the answer has no signature; the hash is what it is checked by.
void wechat_bill_download(struct wechat_call *c)
{
    int64_t day_ms;
    struct bill b;
    if (!bill_ticket_read(c->sandbox, SANDBOX_WECHATPAY, c->x->query, &day_ms)) {
        wechat_refuse(c, 400, "PARAM_ERROR", "参数错误 a download address is good for 5 minutes");
        return;
    }
    bill_gather(c->sandbox, SANDBOX_WECHATPAY, day_ms, &b);
    file_write(c->sandbox, &b, c->out);
    bill_free(&b);
    c->is_file = true;
}
