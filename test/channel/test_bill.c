// SPDX-License-Identifier: Apache-2.0
// Both providers' bills: golden ones, and each way one can be wrong.
#include "base/buf.h"
#include "base/timetext.h"
#include "channel/bill.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>
#include <zip.h>

static int64_t day(void)
{
    int64_t ms = 0;
    assert_true(day_from_beijing(STR("2026-11-23"), &ms));
    return ms;
}

// --- Alipay

#define A_HEAD                                                                                                                                                         \
    "#支付宝业务明细查询\r\n#账号：[20881234567890120156]\r\n"                                                                                             \
    "#起始日期：[2026年11月23日 00:00:00]   终止日期：[2026年11月24日 00:00:00]\r\n"                                                                   \
    "#-----------------------------------------业务明细列表----------------------------------------\r\n"                                                         \
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,"               \
    "订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）," \
    "券名称,商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注\r\n"
#define A_TAIL ",0.00,0.00,0.00,0.00,0.00,\t,0.00,0.00,"
#define A_ONE                                                                                                          \
    "2026112322001400123456789012\t,01KAAA\t,交易\t,苹果, 两斤\t,2026-11-23 10:00:00\t,2026-11-23 "              \
    "10:00:07\t,\t,\t,\t,"                                                                                             \
    "\t,*三(123***@qq.com)\t,12.34,12.30" A_TAIL "\t,-0.07,0.00,\t\r\n"
#define A_TWO                                                                                                          \
    "2026112322001400123456789013\t,01KBBB\t,交易\t,梨\t,2026-11-23 23:59:01\t,2026-11-23 23:59:59\t,\t,\t,\t,\t,"  \
    "*四(123***@qq.com)\t,0.01,0.01" A_TAIL "\t,0.00,0.00,\t\r\n"
#define A_BACK                                                                                                         \
    "2026112322001400123456789012\t,01KAAA\t,退款\t,苹果, 两斤\t,2026-11-23 10:00:00\t,2026-11-23 "              \
    "11:00:00\t,\t,\t,\t,"                                                                                             \
    "\t,*三(123***@qq.com)\t,-2.34,-2.34" A_TAIL "01KREF\t,0.00,0.00,\t\r\n"
#define A_END   "#-----------------------------------------业务明细列表结束------------------------------------\r\n"
#define A_SUM_1 "#交易合计：2笔，商家实收共12.31元，商家优惠共0.00元\r\n"
#define A_SUM_2 "#退款合计：1笔，商家实收退款共-2.34元，商家优惠退款共0.00元\r\n"
#define A_GOOD  A_HEAD A_ONE A_TWO A_BACK A_END A_SUM_1 A_SUM_2 "#导出时间：[2026年11月24日 08:26:15]\r\n"

static struct buf gbk(const char *utf8)
{
    size_t left = strlen(utf8), room = 2 * left + 1;
    struct buf out = {0};
    iconv_t c = iconv_open("GBK", "UTF-8");
    char *in = strdup(utf8), *from = in;
    assert_true(buf_reserve(&out, room));
    char *to = out.p;
    assert_true(iconv(c, &from, &left, &to, &room) != (size_t)-1);
    out.n = (size_t)(to - out.p);
    iconv_close(c);
    free(in);
    return out;
}

// In memory of exactly its size, so that a sanitizer sees a step beyond it.
static bool alipay_text(struct str text, struct bill_rows *rows, char why[BILL_WHY_SIZE])
{
    char *exact = memcpy(test_malloc(text.n ? text.n : 1), text.n ? text.p : "", text.n);
    bool ok = alipay_bill_read_text((struct str){exact, text.n}, day(), rows, why);
    test_free(exact);
    return ok;
}

static void alipay_refuses(const char *utf8, const char *reason)
{
    struct bill_rows rows;
    char why[BILL_WHY_SIZE] = "";
    struct buf text = gbk(utf8);
    if (alipay_text(buf_view(&text), &rows, why)) fail_msg("taken, but: %s", reason);
    if (!strstr(why, reason)) fail_msg("\"%s\", not \"%s\"", why, reason);
    assert_null(rows.rows);
    buf_free(&text);
}

static struct buf zipped(const char *const *names, const struct buf *texts, unsigned n)
{
    struct buf out = {0};
    zip_stat_t about;
    zip_source_t *whole = zip_source_buffer_create(NULL, 0, 0, NULL);
    zip_source_keep(whole);
    zip_t *z = zip_open_from_source(whole, ZIP_TRUNCATE, NULL);
    for (unsigned i = 0; i < n; i++) {
        struct buf name = gbk(names[i]);
        buf_char(&name, 0);
        zip_source_t *s = zip_source_buffer(z, texts[i].p, texts[i].n, 0);
        assert_true(zip_file_add(z, name.p, s, ZIP_FL_ENC_CP437) >= 0);
        buf_free(&name);
    }
    assert_int_equal(zip_close(z), 0);
    assert_int_equal(zip_source_stat(whole, &about), 0);
    assert_true(buf_reserve(&out, about.size));
    assert_int_equal(zip_source_open(whole), 0);
    assert_int_equal(zip_source_read(whole, out.p, about.size), (zip_int64_t)about.size);
    out.n = about.size;
    zip_source_close(whole);
    zip_source_free(whole);
    return out;
}

static const char *const NAMES[] = {"20881234567890120156_20261123_业务明细(汇总).csv",
                                    "20881234567890120156_20261123_业务明细.csv"};

static void alipays_rows_are_read(void **state)
{
    (void)state;
    struct bill_rows rows;
    char why[BILL_WHY_SIZE] = "";
    struct buf texts[] = {gbk("#汇总\r\n"), gbk(A_GOOD)};
    struct buf file = zipped(NAMES, texts, 2);
    if (!alipay_bill_read(buf_view(&file), day(), &rows, why)) fail_msg("%s", why);
    assert_int_equal(rows.n, 3);
    assert_int_equal(rows.rows[0].kind, BILL_CAPTURE);
    assert_string_equal(rows.rows[0].number, "01KAAA"); // the title's comma moved nothing
    assert_string_equal(rows.rows[0].provider_trade_no, "2026112322001400123456789012");
    assert_string_equal(rows.rows[0].refund_number, "");
    assert_int_equal(rows.rows[0].amount_fen, 1234); // the order's amount, not what was received of it
    assert_int_equal(rows.rows[0].at_ms, day() + (10 * 3600 + 7) * 1000);
    assert_int_equal(rows.rows[1].at_ms, day() + INT64_C(86399) * 1000);
    assert_int_equal(rows.rows[2].kind, BILL_REFUND);
    assert_string_equal(rows.rows[2].number, "01KAAA");
    assert_string_equal(rows.rows[2].refund_number, "01KREF");
    assert_int_equal(rows.rows[2].amount_fen, 234);
    bill_rows_free(&rows);
    // A byte less anywhere, or another one in what is packed: the archive's own sums
    for (size_t n = 0; n < file.n; n += 7)
        assert_false(alipay_bill_read((struct str){file.p, n}, day(), &rows, why));
    struct buf alone = zipped(NAMES, texts, 1);
    assert_false(alipay_bill_read(buf_view(&alone), day(), &rows, why));
    buf_free(&alone);
    buf_free(&file);
    buf_free(&texts[0]);
    buf_free(&texts[1]);
}

static void alipays_bill_agrees_with_itself(void **state)
{
    (void)state;
    alipay_refuses(A_HEAD A_ONE A_BACK A_END A_SUM_1 A_SUM_2, "totals are not");
    alipay_refuses(A_HEAD A_ONE A_TWO A_END A_SUM_1 A_SUM_2, "totals are not");
    alipay_refuses(A_HEAD A_ONE A_TWO A_TWO A_BACK A_END A_SUM_1 A_SUM_2, "totals are not");
    alipay_refuses(A_HEAD A_ONE A_TWO A_BACK A_END "#交易合计：2笔，商家实收共12.32元，商家优惠共0.00元\r\n" A_SUM_2,
                   "totals are not");
    alipay_refuses(A_HEAD A_ONE A_TWO A_BACK A_END A_SUM_1, "cut off");
    alipay_refuses(A_HEAD A_ONE A_TWO A_BACK A_END, "cut off");
    alipay_refuses(A_HEAD A_ONE A_TWO, "cut off");
    alipay_refuses(A_HEAD "2026\t,01K\t,交易\t", "fields");
    alipay_refuses("#起始日期：[2026年11月22日 00:00:00]\r\n", "another day");
    alipay_refuses("支付宝交易号,商户订单号\r\n", "does not say of which day");
    alipay_refuses("#起始日期：[2026年11月23日 00:00:00]\r\n支付宝交易号,商户订单号\r\n", "0 columns 业务类型");
    alipay_refuses("", "no table");
}

static void a_row_of_alipay_is_refused_for(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *reason;
    } cases[] = {
        {"\t,交易\t,梨", "\t,转账\t,梨", "business type"},
        {"0.01,0.01", "0.001,0.01", "amount"},
        {"0.01,0.01", "-0.01,0.01", "amount"},
        {"0.01,0.01", "0.00,0.00", "amount"},
        {"0.01,0.01", "1e9,0.01", "amount"},
        {"2026-11-23 23:59:59", "2026-11-29 23:59:59", "another day"},
        {"2026-11-23 23:59:59", "yesterday", "another day"},
        {"01KBBB", "", "numbers"},
        {"01KBBB", "01K BBB", "numbers"},
        {"-2.34,-2.34", "2.34,2.34", "amount"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf text = {0};
        const char *at = strstr(A_GOOD, cases[i].from);
        assert_non_null(at);
        buf_add(&text, A_GOOD, (size_t)(at - A_GOOD));
        buf_z(&text, cases[i].to);
        buf_z(&text, at + strlen(cases[i].from));
        buf_char(&text, 0);
        alipay_refuses(text.p, cases[i].reason);
        buf_free(&text);
    }
}

static void what_is_no_gbk_is_no_bill(void **state)
{
    (void)state;
    struct bill_rows rows;
    char why[BILL_WHY_SIZE];
    struct buf text = gbk(A_GOOD);
    buf_add(&text, "\xff\xff", 2);
    assert_false(alipay_text(buf_view(&text), &rows, why));
    assert_non_null(strstr(why, "GBK"));
    text.n -= 2;
    struct buf without_refunds = gbk(A_HEAD A_ONE A_TWO A_BACK A_END A_SUM_1);
    for (size_t n = 0; n < without_refunds.n; n += 3) // cut off anywhere above the last of the totals
        assert_false(alipay_text((struct str){text.p, n}, &rows, why));
    buf_free(&without_refunds);
    buf_free(&text);
}

static void a_line_without_end_is_refused(void **state)
{
    (void)state;
    struct bill_rows rows;
    char why[BILL_WHY_SIZE];
    struct buf text = gbk(A_HEAD);
    for (int i = 0; i < 1000000; i++)
        buf_char(&text, ',');
    assert_false(alipay_text(buf_view(&text), &rows, why));
    buf_free(&text);
}

// 300 MiB of nothing in 300 KiB: what it says of itself is refused before it is unpacked.
static void a_huge_entry_is_not_unpacked(void **state)
{
    (void)state;
    struct bill_rows rows;
    char why[BILL_WHY_SIZE];
    size_t n = (size_t)300 * 1024 * 1024;
    struct buf text = {.p = calloc(n, 1), .n = n, .cap = n};
    assert_non_null(text.p);
    struct buf file = zipped(&NAMES[1], &text, 1);
    buf_free(&text);
    assert_false(alipay_bill_read(buf_view(&file), day(), &rows, why));
    assert_non_null(strstr(why, "no archive"));
    buf_free(&file);
}

// --- WeChat Pay

#define W_HEAD                                                                                                                                                         \
    "\xef\xbb\xbf交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,"              \
    "付款银行,"                                                                                                                                                    \
    "货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称," \
    "商户数据包,手续费,费率,订单金额,申请退款金额,费率备注\r\n"
#define W_ROW(at, number, state, settled, refund, back, status, title, total, asked)                                   \
    "`" at ",`wx2421b1c4370ec43b,`10000100,`0,`,`42000005012026112312345,`" number ",`o-openid,`NATIVE,`" state        \
    ",`OTHERS,`CNY,`" settled ",`0.00,`50000,`" refund ",`" back ",`0.00,`,`" status ",`" title                        \
    ",`,`0.00600,`0.60%,`" total ",`" asked ",`\r\n"
#define W_ONE                                                                                                          \
    W_ROW("2026-11-23 00:00:00", "01KAAA", "SUCCESS", "12.30", "0", "0.00", "", "Apple, `two`", "12.34", "0.00")
#define W_BACK                                                                                                         \
    W_ROW("2026-11-23 23:59:59", "01KAAA", "REFUND", "0.00", "01KREF", "2.30", "PROCESSING", "x", "0.00", "2.34")
#define W_FAIL W_ROW("2026-11-23 12:00:00", "01KAAA", "REFUND", "0.00", "01KNO", "1.00", "FAIL", "x", "0.00", "1.00")
#define W_SUM  "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\r\n"
#define W_ALL  "`3,`12.30,`3.30,`0.00,`0.00600,`12.34,`3.34\r\n"
#define W_GOOD W_HEAD W_ONE W_BACK W_FAIL W_SUM W_ALL

static bool wechat(struct str text, struct bill_rows *rows, char why[BILL_WHY_SIZE])
{
    char *exact = memcpy(test_malloc(text.n ? text.n : 1), text.n ? text.p : "", text.n);
    bool ok = wechatpay_bill_read((struct str){exact, text.n}, day(), rows, why);
    test_free(exact);
    return ok;
}

static void wechat_refuses(const char *text, const char *reason)
{
    struct bill_rows rows;
    char why[BILL_WHY_SIZE] = "";
    if (wechat(str_of(text), &rows, why)) fail_msg("taken, but: %s", reason);
    if (!strstr(why, reason)) fail_msg("\"%s\", not \"%s\"", why, reason);
    assert_null(rows.rows);
}

static void wechat_pays_rows_are_read(void **state)
{
    (void)state;
    struct bill_rows rows;
    char why[BILL_WHY_SIZE] = "";
    if (!wechat(str_of(W_GOOD), &rows, why)) fail_msg("%s", why);
    assert_int_equal(rows.n, 3);
    assert_int_equal(rows.rows[0].kind, BILL_CAPTURE);
    assert_string_equal(rows.rows[0].number, "01KAAA");
    assert_int_equal(rows.rows[0].amount_fen, 1234);
    assert_int_equal(rows.rows[0].at_ms, day());
    assert_int_equal(rows.rows[1].kind, BILL_REFUND);
    assert_string_equal(rows.rows[1].refund_number, "01KREF");
    assert_int_equal(rows.rows[1].amount_fen, 234); // what was asked for, not what is left of it after coupons
    assert_false(rows.rows[1].is_void);             // still under way, and it may have gone well since
    assert_true(rows.rows[2].is_void);
    bill_rows_free(&rows);
    assert_true(wechat(str_of(W_HEAD W_SUM "`0,`0.00,`0.00,`0.00,`0.00,`0.00,`0.00\r\n"), &rows, why));
    assert_int_equal(rows.n, 0);
    bill_rows_free(&rows);
}

static void wechat_pays_bill_agrees_with_itself(void **state)
{
    (void)state;
    struct bill_rows rows;
    char why[BILL_WHY_SIZE];
    wechat_refuses(W_HEAD W_ONE W_BACK W_SUM W_ALL, "totals are not");
    wechat_refuses(W_HEAD W_ONE W_ONE W_BACK W_FAIL W_SUM W_ALL, "totals are not");
    wechat_refuses(W_HEAD W_ONE W_BACK W_FAIL W_SUM "`3,`12.30,`3.30,`0.00,`0.00600,`12.35,`3.34\r\n",
                   "totals are not");
    wechat_refuses(W_HEAD W_ONE W_BACK W_FAIL W_SUM "`3,`12.30,`3.30,`0.00,`0.00600,`12.34,`3.35\r\n",
                   "totals are not");
    wechat_refuses(W_HEAD W_ONE W_BACK W_FAIL W_SUM, "cut off");
    wechat_refuses(W_HEAD W_ONE W_BACK W_FAIL, "cut off");
    wechat_refuses(W_HEAD, "cut off");
    wechat_refuses("", "empty");
    wechat_refuses(W_GOOD "`1", "something follows");
    wechat_refuses("<html>\r\n", "columns");
    for (size_t n = 0; n < sizeof W_GOOD - 5; n++)
        assert_false(wechat((struct str){W_GOOD, n}, &rows, why));
}

static void a_row_of_wechat_pay_is_refused_for(void **state)
{
    (void)state;
    wechat_refuses(W_HEAD W_ROW("2026-11-24 00:00:00", "a", "SUCCESS", "1.00", "0", "0", "", "x", "1.00", "0"), "day");
    wechat_refuses(W_HEAD W_ROW("2026-11-22 23:59:59", "a", "SUCCESS", "1.00", "0", "0", "", "x", "1.00", "0"), "day");
    wechat_refuses(W_HEAD W_ROW("2026-11-23 10:00:00", "a", "SUCCESS", "1.00", "0", "0", "", "x", "-1.00", "0"),
                   "amount");
    wechat_refuses(W_HEAD W_ROW("2026-11-23 10:00:00", "a", "SUCCESS", "1.00", "0", "0", "", "x", "0", "0"), "amount");
    wechat_refuses(W_HEAD W_ROW("2026-11-23 10:00:00", "a", "REFUND", "0", "", "1", "", "x", "0", "1"), "number");
    wechat_refuses(W_HEAD W_ROW("2026-11-23 10:00:00", "a", "PAID", "1.00", "0", "0", "", "x", "1.00", "0"), "state");
    wechat_refuses(W_HEAD W_ROW("2026-11-23 10:00:00", "", "SUCCESS", "1", "0", "0", "", "x", "1", "0"), "numbers");
    wechat_refuses(W_HEAD W_ROW("2026-11-23 10:00:00", "a", "SUCCESS", "1", "0", "0", "", "x,`y", "1", "0"), "fields");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alipays_rows_are_read),
        cmocka_unit_test(alipays_bill_agrees_with_itself),
        cmocka_unit_test(a_row_of_alipay_is_refused_for),
        cmocka_unit_test(what_is_no_gbk_is_no_bill),
        cmocka_unit_test(a_line_without_end_is_refused),
        cmocka_unit_test(a_huge_entry_is_not_unpacked),
        cmocka_unit_test(wechat_pays_rows_are_read),
        cmocka_unit_test(wechat_pays_bill_agrees_with_itself),
        cmocka_unit_test(a_row_of_wechat_pay_is_refused_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
