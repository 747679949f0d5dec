// SPDX-License-Identifier: Apache-2.0
// Alipay's asynchronous notification. Read strictly, verified, and only then looked into: application,
// seller, number, amount, state.
#include "channel/alipay_wire.h"
#include <stdio.h>

#define FIELDS_MAX   64
#define NAME_MAX_LEN 64

struct form {
    struct alipay_param field[FIELDS_MAX]; // sorted by name once verified
    unsigned n;
    struct buf text; // the decoded bytes the fields point into
};

// --- The form

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

// Decodes once. The buffer has room for all of the body, so its bytes never move. False for a broken escape
// and NUL.
static bool decode(struct str in, struct buf *text, struct str *out)
{
    size_t from = text->n;
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i] == '+' ? ' ' : in.p[i];
        if (c == '%') {
            int high = i + 2 < in.n ? hex_value(in.p[i + 1]) : -1;
            int low = i + 2 < in.n ? hex_value(in.p[i + 2]) : -1;
            if (high < 0 || low < 0) return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == 0) return false;
        buf_char(text, c);
    }
    *out = (struct str){text->p + from, text->n - from};
    return !text->failed;
}

static bool is_name(struct str s)
{
    if (s.n == 0 || s.n > NAME_MAX_LEN) return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '_' && c != '.' && c != '-') return false;
    }
    return true;
}

static bool has_field(const struct form *f, struct str name)
{
    for (unsigned i = 0; i < f->n; i++)
        if (str_eq(f->field[i].name, name)) return true;
    return false;
}

static const char *field_add(struct form *f, struct str pair)
{
    const char *equals = pair.n ? memchr(pair.p, '=', pair.n) : NULL;
    struct alipay_param p;
    if (!equals) return "a field without a value";
    size_t n = (size_t)(equals - pair.p);
    if (f->n == FIELDS_MAX) return "too many fields";
    if (!decode((struct str){pair.p, n}, &f->text, &p.name)) return "a broken escape";
    if (!decode((struct str){equals + 1, pair.n - n - 1}, &f->text, &p.value)) return "a broken escape";
    if (!is_name(p.name)) return "a strange field name";
    if (has_field(f, p.name)) return "a field twice";
    f->field[f->n++] = p;
    return NULL;
}

// NULL when it was read, or what is wrong with it.
static const char *form_read(struct form *f, struct str body)
{
    if (body.n == 0) return "empty body";
    if (body.n > ALIPAY_NOTICE_MAX) return "body too long";
    if (!buf_reserve(&f->text, body.n)) return "out of memory";
    for (const char *wrong;;) {
        const char *end = memchr(body.p, '&', body.n);
        size_t n = end ? (size_t)(end - body.p) : body.n;
        if ((wrong = field_add(f, (struct str){body.p, n}))) return wrong;
        if (!end) return NULL;
        body.p += n + 1;
        body.n -= n + 1;
        if (body.n == 0) return "a field without a value";
    }
}

static struct str field(const struct form *f, const char *name)
{
    for (unsigned i = 0; i < f->n; i++)
        if (str_eq(f->field[i].name, str_of(name))) return f->field[i].value;
    return (struct str){"", 0};
}

static bool field_is(const struct form *f, const char *name, const char *value)
{
    return str_eq(field(f, name), str_of(value));
}

// --- The signature

// The signed text joins fields with & and = without escaping them. So one signed text may be cut into fields
// in more than one way, if a value holds "&name=". Where that could move a field that is believed, nothing
// is.
static bool is_ambiguous(const struct form *f)
{
    static const char *const believed[] = {"&app_id=",       "&seller_id=",    "&out_trade_no=", "&trade_no=",
                                           "&total_amount=", "&trade_status=", "&gmt_payment=",  "&refund_fee="};
    for (unsigned i = 0; i < f->n; i++)
        for (size_t k = 0; k < sizeof believed / sizeof believed[0]; k++)
            if (memmem(f->field[i].value.p, f->field[i].value.n, believed[k], strlen(believed[k]))) return true;
    return false;
}

// `without` is left out of the signed text, as `sign` is.
static bool is_signed(const struct alipay_app *app, const struct form *f, const char *const without[])
{
    struct alipay_param signed_fields[FIELDS_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < f->n; i++) {
        bool dropped = str_eq(f->field[i].name, STR("sign"));
        for (const char *const *name = without; *name; name++)
            dropped = dropped || str_eq(f->field[i].name, str_of(*name));
        if (!dropped) signed_fields[n++] = f->field[i];
    }
    struct buf canonical = {0};
    alipay_canonical(signed_fields, n, &canonical);
    bool ok = !canonical.failed && canonical.n > 0 &&
              crypto_rsa2_verify(app->alipay_key, buf_view(&canonical), field(f, "sign"));
    buf_free(&canonical);
    return ok;
}

// Other kinds of Alipay's messages keep sign_type in the signed text; both are tried, as its SDKs do. The name of the
// certificate, where one is sent, is left out by some.
static bool is_signed_somehow(const struct alipay_app *app, const struct form *f)
{
    static const char *const usual[] = {"sign_type", NULL}, *const other[] = {NULL},
                             *const certificate[] = {"sign_type", "alipay_cert_sn", NULL};
    return is_signed(app, f, usual) || is_signed(app, f, other) ||
           (field(f, "alipay_cert_sn").n > 0 && is_signed(app, f, certificate));
}

static const char *forgery(const struct alipay_app *app, const struct form *f)
{
    if (!field_is(f, "sign_type", "RSA2")) return "sign_type is not RSA2";
    if (field(f, "sign").n == 0) return "no signature";
    if (!is_signed_somehow(app, f)) return "bad signature";
    return NULL;
}

// --- What it says

static void copy_visible(struct str s, char *out, size_t size)
{
    size_t n = s.n < size - 1 ? s.n : size - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = s.p[i] > ' ' && s.p[i] < 0x7f ? s.p[i] : '?';
    out[n] = 0;
}

// What went back so far, all refunds together; -1: what stands there cannot be read.
static int64_t refunded_so_far_fen(const struct form *f)
{
    struct str refund = field(f, "refund_fee");
    int64_t refund_fen = 0;
    return refund.n == 0 || yuan_to_fen(refund, &refund_fen) ? refund_fen : -1;
}

// Closed after a payment means that the money went back. When the notice itself does not show all of it gone,
// it is left to a question: FACT_NONE decides nothing, and "closed, never paid" would be a lie.
static enum fact closed_fact(const struct form *f, int64_t total_fen)
{
    int64_t refund_fen = refunded_so_far_fen(f);
    if (refund_fen == 0 && field(f, "gmt_payment").n == 0) return FACT_CLOSED;
    return refund_fen == total_fen ? FACT_PAID_AND_REFUNDED : FACT_NONE;
}

static enum fact fact_of(const struct form *f, int64_t total_fen)
{
    struct str status = field(f, "trade_status");
    if (str_eq(status, STR("TRADE_SUCCESS")) || str_eq(status, STR("TRADE_FINISHED")))
        return refunded_so_far_fen(f) == 0 ? FACT_PAID : FACT_PAID_SOME_REFUNDED;
    if (str_eq(status, STR("TRADE_CLOSED"))) return closed_fact(f, total_fen);
    return FACT_WAITING;
}

static enum notice_verdict verdict(struct notice *out, enum notice_verdict v, const char *why)
{
    (void)snprintf(out->why, sizeof out->why, "%s", why);
    return v;
}

static void read_trade_no(const struct form *f, struct answer *a)
{
    struct str trade_no = field(f, "trade_no");
    if (trade_no.n < sizeof a->provider_trade_no)
        copy_visible(trade_no, a->provider_trade_no, sizeof a->provider_trade_no);
}

// Nothing is concluded from it. Its case shows what money it is, as far as that can be read, because a person has to
// find it over there.
static enum notice_verdict strange(const struct form *f, struct notice *out)
{
    int64_t total_fen;
    bool was_paid = str_eq(field(f, "trade_status"), STR("TRADE_SUCCESS")) || field(f, "gmt_payment").n > 0;
    if (was_paid && yuan_to_fen(field(f, "total_amount"), &total_fen)) out->answer.captured_fen = total_fen;
    read_trade_no(f, &out->answer);
    return verdict(out, NOTICE_STRANGE, "out_trade_no is none of ours");
}

static enum notice_verdict read_fields(const struct alipay_app *app, const struct form *f, struct notice *out)
{
    struct answer *a = &out->answer;
    int64_t total_fen;
    if (!field_is(f, "app_id", app->app_id)) return verdict(out, NOTICE_FOREIGN, "another app_id");
    if (app->seller_id[0] && !field_is(f, "seller_id", app->seller_id))
        return verdict(out, NOTICE_FOREIGN, "another seller_id");
    struct str number = field(f, "out_trade_no");
    if (number.n == 0) return verdict(out, NOTICE_MALFORMED, "no out_trade_no");
    copy_visible(number, out->number, sizeof out->number);
    if (!id_parse(app->secret, "", number, &a->payment_key)) return strange(f, out);
    if (!yuan_to_fen(field(f, "total_amount"), &total_fen) || total_fen == 0)
        return verdict(out, NOTICE_MALFORMED, "bad total_amount");
    a->channel = CHANNEL_ALIPAY;
    a->outcome = OUTCOME_DONE;
    a->fact = fact_of(f, total_fen);
    bool was_paid = a->fact == FACT_PAID || a->fact == FACT_PAID_AND_REFUNDED || a->fact == FACT_PAID_SOME_REFUNDED;
    if (was_paid) a->captured_fen = total_fen;
    a->of_refund = refunded_so_far_fen(f) != 0;
    read_trade_no(f, a);
    copy_visible(field(f, "trade_status"), a->detail, sizeof a->detail);
    return NOTICE_GOOD;
}

enum notice_verdict alipay_notice(const struct alipay_app *app, struct str body, struct notice *out)
{
    *out = (struct notice){0};
    struct form f;
    f.n = 0;
    f.text = (struct buf){0};
    const char *wrong = form_read(&f, body);
    enum notice_verdict v;
    if (wrong)
        v = verdict(out, NOTICE_MALFORMED, wrong);
    else if ((wrong = forgery(app, &f)))
        v = verdict(out, NOTICE_FORGED, wrong);
    else if (is_ambiguous(&f))
        v = verdict(out, NOTICE_MALFORMED, "a value that holds a field");
    else
        v = read_fields(app, &f, out);
    buf_free(&f.text);
    return v;
}
