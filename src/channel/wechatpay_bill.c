// SPDX-License-Identifier: Apache-2.0
// WeChat Pay's daily bill of trades: GET /v3/bill/tradebill says where it is and what its SHA1 is, in a signed answer;
// the file itself is not signed. UTF-8, a backtick before each field, totals below.
#include "base/timetext.h"
#include "channel/bill_inside.h"
#include "channel/wechatpay.h"
#include "channel/wechatpay_wire.h"
#include "port/clock.h"
#include <stdio.h>
#include <strings.h>

#define ASK_SECONDS  20
#define FILE_SECONDS 300
#define DAY_MS       (INT64_C(24) * 3600 * 1000)
#define SHA1_SIZE    20

// --- The table

enum column { COL_AT, COL_TRADE_NO, COL_NUMBER, COL_STATE, COL_REFUND, COL_STATUS, COL_TOTAL, COL_BACK };
static const char *const COLUMNS[] = {
    [COL_AT] = "交易时间",    [COL_TRADE_NO] = "微信订单号", [COL_NUMBER] = "商户订单号",
    [COL_STATE] = "交易状态", [COL_REFUND] = "商户退款单号", [COL_STATUS] = "退款状态",
    [COL_TOTAL] = "订单金额", [COL_BACK] = "申请退款金额",
};
#define N_COLUMNS (sizeof COLUMNS / sizeof COLUMNS[0])

enum total { TOTAL_N, TOTAL_CAPTURED, TOTAL_BACK };
static const char *const TOTALS[] = {
    [TOTAL_N] = "总交易单数", [TOTAL_CAPTURED] = "订单总金额", [TOTAL_BACK] = "申请退款总金额"};
#define N_TOTALS (sizeof TOTALS / sizeof TOTALS[0])

struct table {
    int64_t day_ms;
    unsigned at[N_COLUMNS], n_fields;
    int64_t n, captured_fen, back_fen; // as the totals count them: down each column
    struct bill_rows *rows;
    char *why;
};

// Fields are told apart by comma and backtick together, so that a title's commas are its own.
static unsigned cells(struct str line, struct str fields[BILL_FIELDS_MAX])
{
    if (!str_starts(line, STR("`"))) return 0;
    return bill_split((struct str){line.p + 1, line.n - 1}, STR(",`"), fields);
}

static bool kind_read(struct table *t, const struct str *fields, struct bill_row *row)
{
    struct str state = fields[t->at[COL_STATE]], status = fields[t->at[COL_STATUS]];
    if (str_eq(state, STR("SUCCESS"))) {
        row->kind = BILL_CAPTURE;
        return true;
    }
    if (!str_eq(state, STR("REFUND")) && !str_eq(state, STR("REVOKED")))
        return bill_refuse(t->why, "a row in an unknown state");
    row->kind = BILL_REFUND;
    // Snapshots: what was not over when the bill was made may have gone well since, but what failed moved no money.
    row->is_void = !str_eq(status, STR("SUCCESS")) && !str_eq(status, STR("PROCESSING"));
    return bill_text(fields[t->at[COL_REFUND]], true, row->refund_number) ||
           bill_refuse(t->why, "a refund whose number cannot be read");
}

static bool row_read(struct table *t, struct str line)
{
    struct str fields[BILL_FIELDS_MAX];
    struct bill_row row = {0};
    int64_t total_fen, back_fen;
    unsigned n = cells(line, fields);
    if (n != t->n_fields) return bill_refuse(t->why, "a row with %u of %u fields", n, t->n_fields);
    if (!kind_read(t, fields, &row)) return false;
    if (!bill_text(fields[t->at[COL_TRADE_NO]], true, row.provider_trade_no) ||
        !bill_text(fields[t->at[COL_NUMBER]], true, row.number))
        return bill_refuse(t->why, "a row whose numbers cannot be read");
    if (!bill_yuan(fields[t->at[COL_TOTAL]], &total_fen) || !bill_yuan(fields[t->at[COL_BACK]], &back_fen) ||
        total_fen < 0 || back_fen < 0)
        return bill_refuse(t->why, "the row of %s has an amount that cannot be", row.number);
    row.amount_fen = row.kind == BILL_CAPTURE ? total_fen : back_fen;
    if (row.amount_fen == 0) return bill_refuse(t->why, "the row of %s has no amount", row.number);
    if (!time_from_beijing(fields[t->at[COL_AT]], &row.at_ms) || row.at_ms < t->day_ms ||
        row.at_ms >= t->day_ms + DAY_MS)
        return bill_refuse(t->why, "the row of %s is of another day", row.number);
    t->n++;
    t->captured_fen += total_fen;
    t->back_fen += back_fen;
    return bill_add(t->rows, &row, t->why);
}

// Two decimals, and more than any order may have.
static bool sum_is(struct str text, int64_t fen)
{
    char wanted[32];
    int64_t said = 0;
    if (bill_yuan(text, &said)) return said == fen;
    (void)snprintf(wanted, sizeof wanted, "%lld.%02d", (long long)(fen / 100), (int)(fen % 100));
    return str_eq(text, str_of(wanted));
}

static bool totals_read(struct table *t, struct str head, struct str *rest)
{
    struct str names[BILL_FIELDS_MAX], fields[BILL_FIELDS_MAX], line;
    unsigned at[N_TOTALS], n_names = bill_split(head, STR(","), names);
    int64_t n;
    if (!bill_columns(names, n_names, TOTALS, N_TOTALS, at, t->why)) return false;
    if (!bill_line(rest, &line) || cells(line, fields) != n_names)
        return bill_refuse(t->why, "the bill is cut off: its totals are missing");
    if (!bill_count(fields[at[TOTAL_N]], &n) || n != t->n || !sum_is(fields[at[TOTAL_CAPTURED]], t->captured_fen) ||
        !sum_is(fields[at[TOTAL_BACK]], t->back_fen))
        return bill_refuse(t->why, "the bill's totals are not those of its rows");
    while (bill_line(rest, &line))
        if (line.n) return bill_refuse(t->why, "something follows the bill's totals");
    return rest->n == 0 || bill_refuse(t->why, "something follows the bill's totals");
}

static bool table_read(struct table *t, struct str text)
{
    struct str line, fields[BILL_FIELDS_MAX];
    if (str_starts(text, STR("\xef\xbb\xbf"))) text = (struct str){text.p + 3, text.n - 3};
    if (!bill_line(&text, &line)) return bill_refuse(t->why, "the bill is empty");
    t->n_fields = bill_split(line, STR(","), fields);
    if (!bill_columns(fields, t->n_fields, COLUMNS, N_COLUMNS, t->at, t->why)) return false;
    for (;;) {
        if (!bill_line(&text, &line)) return bill_refuse(t->why, "the bill is cut off, or a line is too long");
        if (str_starts(line, STR("总"))) return totals_read(t, line, &text);
        if (!row_read(t, line)) return false;
    }
}

bool wechatpay_bill_read(struct str file, int64_t day_ms, struct bill_rows *rows, char why[BILL_WHY_SIZE])
{
    struct table t = {.day_ms = day_ms, .rows = rows, .why = why};
    *rows = (struct bill_rows){0};
    bool ok = table_read(&t, file);
    if (!ok) bill_rows_free(rows);
    return ok;
}

// --- Fetching

struct ask {
    struct buf url;
    char sha1[2 * SHA1_SIZE + 1];
};

static bool get(const struct wechatpay_app *app, struct str url, const char *accept, size_t max, long seconds,
                struct bill_reply *r, char why[BILL_WHY_SIZE])
{
    struct call_request q = {0};
    bool ok = wechatpay_get_request(app, url, accept, clock_real_ms(), &q) ||
              bill_refuse(why, "the request cannot be signed");
    ok = ok && bill_exchange(&q, max, seconds, r, why);
    bill_request_free(&q);
    return ok;
}

static enum bill_word good_read(const struct wechatpay_app *app, const json_t *root, struct ask *ask,
                                char why[BILL_WHY_SIZE])
{
    struct str sha1 = wechatpay_field(root, "hash_value");
    if (!wechatpay_field_is(root, "hash_type", "SHA1") || sha1.n != 2 * SHA1_SIZE ||
        !bill_url(wechatpay_field(root, "download_url"), app->base_url, &ask->url)) {
        (void)bill_refuse(why, "the answer holds no address or no hash");
        return BILL_UNKNOWN;
    }
    memcpy(ask->sha1, sha1.p, sha1.n);
    ask->sha1[sha1.n] = 0;
    return BILL_GOOD;
}

static enum bill_word answer_read(const struct wechatpay_app *app, const struct call_reply *reply, struct ask *ask,
                                  enum seal_word *seal_word, char why[BILL_WHY_SIZE])
{
    struct json_fault fault;
    const char *wrong;
    enum bill_word word = BILL_UNKNOWN;
    struct wechatpay_seal seal = wechatpay_seal_of(reply);
    *seal_word = wechatpay_seal_check(app, NULL, &seal, reply->body, clock_real_ms(), &wrong);
    if (*seal_word != SEAL_GOOD) {
        (void)bill_refuse(why, "http %d, %s", reply->status, wrong);
        return BILL_UNKNOWN;
    }
    json_t *root = json_read_object(reply->body, &fault);
    struct str code = wechatpay_field(root, "code");
    if (reply->status == 200)
        word = good_read(app, root, ask, why);
    else if (reply->status < 500 && str_eq(code, STR("NO_STATEMENT_EXIST")))
        word = BILL_NONE;
    else if (reply->status < 500 && str_eq(code, STR("STATEMENT_CREATING")))
        word = BILL_NOT_YET;
    else
        (void)bill_refuse(why, "http %d %.*s", reply->status, (int)(code.n < 64 ? code.n : 64), code.p);
    json_decref(root);
    return word;
}

// The channel fetches certificates by itself, but in its own time; here they are needed now.
static bool certificates_fetch(const struct wechatpay_app *app, char why[BILL_WHY_SIZE])
{
    struct call_request q = {0};
    struct bill_reply r = {0};
    struct platform_certs certs = {0};
    char reason[64] = "";
    bool ok = wechatpay_certificates_request(app, clock_real_ms(), &q) &&
              bill_exchange(&q, BILL_ASK_MAX, ASK_SECONDS, &r, why);
    if (ok) {
        ok = wechatpay_certificates(app, &r.reply, clock_real_ms(), &certs, reason) == CERTIFICATES_NEW;
        if (ok)
            platform_keys_install(app->keys, &certs);
        else
            (void)bill_refuse(why, "no key to check the answer with: %s", reason);
    }
    bill_request_free(&q);
    bill_reply_free(&r);
    return ok;
}

static enum bill_word ask_once(const struct wechatpay_app *app, int64_t day_ms, struct ask *ask, enum seal_word *seal,
                               int64_t *said_ms, char why[BILL_WHY_SIZE])
{
    char day[DAY_TEXT_SIZE];
    struct buf url = {0};
    struct bill_reply r = {0};
    enum bill_word word = BILL_UNKNOWN;
    *seal = SEAL_ABSENT;
    day_to_beijing(day_ms, day);
    buf_printf(&url, "%s/v3/bill/tradebill?bill_date=%s&bill_type=ALL", app->base_url, day);
    if (get(app, buf_view(&url), "application/json", BILL_ASK_MAX, ASK_SECONDS, &r, why))
        word = answer_read(app, &r.reply, ask, seal, why);
    *said_ms = reply_date_ms(&r.reply);
    buf_free(&url);
    bill_reply_free(&r);
    return word;
}

static bool hash_fits(struct str file, const char *sha1)
{
    uint8_t hash[SHA1_SIZE];
    char text[2 * SHA1_SIZE + 1];
    crypto_sha1(file, hash);
    crypto_hex(hash, sizeof hash, text);
    return strcasecmp(text, sha1) == 0;
}

static bool file_fetch(const struct wechatpay_app *app, const struct ask *ask, int64_t day_ms, struct bill_rows *rows,
                       char why[BILL_WHY_SIZE])
{
    struct bill_reply r = {0};
    bool ok = get(app, buf_view(&ask->url), "*/*", BILL_FILE_MAX, FILE_SECONDS, &r, why);
    if (ok && r.reply.status != 200) ok = bill_refuse(why, "the file: http %d", r.reply.status);
    if (ok && !hash_fits(r.reply.body, ask->sha1)) ok = bill_refuse(why, "the file's hash is another");
    ok = ok && wechatpay_bill_read(r.reply.body, day_ms, rows, why);
    bill_reply_free(&r);
    return ok;
}

enum bill_word wechatpay_bill(struct channel *c, int64_t day_ms, struct bill_rows *rows, int64_t *said_ms,
                              char why[BILL_WHY_SIZE])
{
    const struct wechatpay_app *app = wechatpay_app_of(c);
    struct ask ask = {0};
    enum seal_word seal;
    enum bill_word word = ask_once(app, day_ms, &ask, &seal, said_ms, why);
    if (seal == SEAL_UNKNOWN_KEY && certificates_fetch(app, why))
        word = ask_once(app, day_ms, &ask, &seal, said_ms, why);
    if (word == BILL_GOOD && !file_fetch(app, &ask, day_ms, rows, why)) word = BILL_UNKNOWN;
    buf_free(&ask.url);
    return word;
}
