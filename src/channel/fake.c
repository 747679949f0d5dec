// SPDX-License-Identifier: Apache-2.0
// The whole of a channel in one file: what is asked, what an answer proves, what a notification proves, how it opens.
// docs/adding-a-channel.md walks through it.
//
// On the wire: POST {base_url}/create, /query, /close, /refund, /refund_query with a JSON object; the bank answers 200
// with one. Each side signs the bytes it sends in the header Fake-Signature: the HMAC-SHA256, in hexadecimal, of what
// it is ("request", "answer" or "notice"), a newline, and the body. So nothing passes for something else, and an
// answer names what it answers.
#include "channel/fake.h"
#include "base/crypto.h"
#include "base/json_in.h"
#include <stdio.h>
#include <stdlib.h>

#define URL_MAX          256
#define ACCOUNT_MAX      32
#define NOTICE_BYTES_MAX 4096
#define MAC_TEXT         65

struct fake {
    struct channel base; // first: a struct channel * is a struct fake *
    char base_url[URL_MAX + 1], notify_url[URL_MAX + 1], account[ACCOUNT_MAX + 1];
    char key[CRYPTO_SECRET_MAX + 1];
    uint8_t secret[ID_SECRET_SIZE]; // the store's: makes the numbers, and tells ours from others
    struct lane *lane;
};

// --- Pieces

static bool sign(const struct fake *f, const char *what, struct str body, char out[MAC_TEXT])
{
    uint8_t mac[32];
    struct buf text = {0};
    buf_printf(&text, "%s\n", what);
    buf_str(&text, body);
    bool ok = !text.failed;
    if (ok) crypto_hmac_sha256(str_of(f->key), buf_view(&text), mac);
    if (ok) crypto_hex(mac, sizeof mac, out);
    buf_free(&text);
    return ok;
}

// Over the bytes as they came, before anything of them is read.
static bool is_signed(const struct fake *f, const char *what, struct str body, struct str signature)
{
    char expected[MAC_TEXT];
    return signature.n == MAC_TEXT - 1 && sign(f, what, body, expected) &&
           crypto_equal(signature.p, expected, MAC_TEXT - 1);
}

// A member that is a string; empty when it is absent or something else.
static struct str field(const json_t *node, const char *name)
{
    const json_t *v = json_object_get(node, name);
    return json_is_string(v) ? (struct str){json_string_value(v), json_string_length(v)} : STR("");
}

static bool field_is(const json_t *node, const char *name, const char *value)
{
    return str_eq(field(node, name), str_of(value));
}

static bool amount_of(const json_t *node, const char *name, int64_t *fen)
{
    const json_t *v = json_object_get(node, name);
    *fen = json_is_integer(v) ? json_integer_value(v) : 0;
    return *fen >= 1 && *fen <= AMOUNT_MAX_FEN;
}

// Somebody else's text, cut to what is safe to show.
static void copy_visible(struct str s, char *out, size_t size)
{
    size_t n = s.n < size ? s.n : size - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = s.p[i] > ' ' && s.p[i] < 0x7f ? s.p[i] : '?';
    out[n] = 0;
}

// The bank's own number of what came. Whole and as it is, or not at all: refunds are asked for under it.
static bool take_trade_no(const json_t *node, struct answer *a)
{
    struct str no = field(node, "trade_no");
    if (no.n == 0 || no.n >= sizeof a->provider_trade_no) return false;
    copy_visible(no, a->provider_trade_no, sizeof a->provider_trade_no);
    return str_eq(no, str_of(a->provider_trade_no));
}

// --- What is asked

static const char *method_path(enum call_method method)
{
    switch (method) {
    case CALL_CREATE: return "create";
    case CALL_QUERY: return "query";
    case CALL_CLOSE: return "close";
    case CALL_REFUND: return "refund";
    case CALL_REFUND_QUERY: return "refund_query";
    case CALL_CANCEL: // its traits have none, so nobody asks
    case CALL_NONE: break;
    }
    return NULL;
}

static bool is_about_refund(const struct call *call)
{
    return call->method == CALL_REFUND || call->method == CALL_REFUND_QUERY;
}

static void body_write(const struct fake *f, const struct call *call, struct buf *json)
{
    char number[ID_TEXT_SIZE], refund_number[ID_TEXT_SIZE];
    id_format(f->secret, "", call->payment_key, number);
    id_format(f->secret, "", call->number_key, refund_number);
    json_open(json, '{');
    json_kz(json, "number", number);
    json_kz(json, "account", f->account);
    if (call->method == CALL_CREATE || is_about_refund(call)) json_ki64(json, "amount", call->amount_fen);
    if (call->method == CALL_CREATE) json_ki64(json, "expires_ms", call->expires_ms);
    if (call->method == CALL_CREATE) json_kz(json, "notify_url", f->notify_url);
    if (is_about_refund(call)) json_kz(json, "trade_no", call->provider_trade_no);
    if (is_about_refund(call)) json_kz(json, "refund_number", refund_number);
    json_close(json, '}');
}

static bool fake_build(void *ctx, const struct call *call, struct str subject, int64_t now_ms, struct call_request *out)
{
    const struct fake *f = ctx;
    const char *path = method_path(call->method);
    char mac[MAC_TEXT];
    (void)subject, (void)now_ms;
    if (!path) return false;
    out->is_post = true;
    buf_printf(&out->url, "%s/%s", f->base_url, path);
    body_write(f, call, &out->body);
    if (out->body.failed || !sign(f, "request", buf_view(&out->body), mac)) return false;
    buf_printf(&out->headers, "Content-Type: application/json\nFake-Signature: %s\n", mac);
    return true;
}

// --- What an answer proves

static void say(struct answer *a, enum outcome outcome, enum fact fact)
{
    a->outcome = outcome;
    a->fact = fact;
}

static void say_unknown(struct answer *a, const char *reason)
{
    say(a, OUTCOME_UNKNOWN, FACT_NONE);
    a->captured_fen = 0;
    a->provider_trade_no[0] = 0;
    (void)snprintf(a->detail, sizeof a->detail, "%s", reason);
}

// What the bank's word is taken for. A word that is not here, to a question it does not answer, is "unknown": among
// them that a number to be created was paid or closed already, for then it has a trade, and it is asked about.
static const struct bank_word {
    enum call_method method;
    const char *text;
    enum outcome outcome;
    enum fact fact;
} BANK_WORDS[] = {
    {CALL_CREATE, "expected", OUTCOME_DONE, FACT_CODE},
    {CALL_CREATE, "refused", OUTCOME_REFUSED, FACT_NONE},
    {CALL_QUERY, "expected", OUTCOME_DONE, FACT_WAITING},
    {CALL_QUERY, "received", OUTCOME_DONE, FACT_PAID},
    {CALL_QUERY, "closed", OUTCOME_DONE, FACT_CLOSED},
    {CALL_QUERY, "absent", OUTCOME_DONE, FACT_NOT_FOUND},
    {CALL_CLOSE, "closed", OUTCOME_DONE, FACT_CLOSED},
    {CALL_CLOSE, "received", OUTCOME_REFUSED, FACT_NONE},
    {CALL_CLOSE, "absent", OUTCOME_REFUSED, FACT_NOT_FOUND},
    {CALL_REFUND, "accepted", OUTCOME_DONE, FACT_REFUND_ACCEPTED},
    {CALL_REFUND, "done", OUTCOME_DONE, FACT_REFUND_DONE},
    {CALL_REFUND, "refused", OUTCOME_REFUSED, FACT_NONE},
    {CALL_REFUND_QUERY, "accepted", OUTCOME_DONE, FACT_REFUND_ACCEPTED},
    {CALL_REFUND_QUERY, "done", OUTCOME_DONE, FACT_REFUND_DONE},
    {CALL_REFUND_QUERY, "absent", OUTCOME_DONE, FACT_REFUND_ABSENT},
};

static const struct bank_word *word_find(enum call_method method, struct str text)
{
    for (size_t i = 0; i < sizeof BANK_WORDS / sizeof BANK_WORDS[0]; i++)
        if (BANK_WORDS[i].method == method && str_eq(text, str_of(BANK_WORDS[i].text))) return &BANK_WORDS[i];
    return NULL;
}

// What the buyer reads. He types the reference, and so may anybody the amount: what comes is compared, not believed.
static bool instruction_write(const struct fake *f, const struct call *call, struct buf *text)
{
    char number[ID_TEXT_SIZE], yuan[32];
    id_format(f->secret, "", call->payment_key, number);
    (void)snprintf(yuan, sizeof yuan, "%lld.%02lld", (long long)(call->amount_fen / 100),
                   (long long)(call->amount_fen % 100));
    buf_printf(text,
               "Transfer CNY %s to account %s, with the reference %s\n"
               "请转账 %s 元至账户 %s，附言请填 %s",
               yuan, f->account, number, yuan, f->account, number);
    return !text->failed;
}

// An answer to another question proves nothing of this one.
static bool answers_call(const struct fake *f, const struct call *call, const json_t *node)
{
    char number[ID_TEXT_SIZE], refund_number[ID_TEXT_SIZE];
    const char *method = method_path(call->method);
    id_format(f->secret, "", call->payment_key, number);
    id_format(f->secret, "", call->number_key, refund_number);
    return method && field_is(node, "method", method) && field_is(node, "number", number) &&
           (!is_about_refund(call) || field_is(node, "refund_number", refund_number));
}

static bool is_refund_of(const struct call *call, const json_t *node)
{
    int64_t amount_fen;
    return amount_of(node, "amount", &amount_fen) && amount_fen == call->amount_fen;
}

static void judge_node(const struct fake *f, const struct call *call, const json_t *node, struct answer *a,
                       struct buf *text)
{
    struct str result = field(node, "result"), reason = field(node, "why");
    const struct bank_word *w = word_find(call->method, result);
    if (!answers_call(f, call, node)) return say_unknown(a, "the answer to another question");
    if (!w) return say_unknown(a, "strange result");
    if (w->fact == FACT_PAID && !amount_of(node, "received", &a->captured_fen)) return say_unknown(a, "bad amount");
    if (w->fact == FACT_PAID && !take_trade_no(node, a)) return say_unknown(a, "bad trade_no");
    if ((w->fact == FACT_REFUND_DONE || w->fact == FACT_REFUND_ACCEPTED) && !is_refund_of(call, node))
        return say_unknown(a, "another amount");
    if (w->fact == FACT_CODE && !instruction_write(f, call, text)) return say_unknown(a, "out of memory");
    if (w->fact == FACT_CODE) a->code = buf_view(text);
    copy_visible(reason.n ? reason : result, a->detail, sizeof a->detail);
    say(a, w->outcome, w->fact);
}

static void fake_judge(void *ctx, const struct call *call, const struct call_reply *reply, struct answer *a,
                       struct buf *text)
{
    const struct fake *f = ctx;
    struct json_fault fault;
    if (reply->status != 200) {
        say_unknown(a, "");
        (void)snprintf(a->detail, sizeof a->detail, "http %d", reply->status);
        return;
    }
    if (!is_signed(f, "answer", reply->body, call_reply_header(reply, "Fake-Signature")))
        return say_unknown(a, "bad signature");
    json_t *node = json_read_object(reply->body, &fault);
    if (node)
        judge_node(f, call, node, a, text);
    else
        say_unknown(a, fault.code);
    json_decref(node);
}

static const struct lane_ops LANE_OPS = {.build = fake_build, .judge = fake_judge, .name = "fake"};

static bool fake_channel_submit(struct channel *c, const struct call *call, struct str subject, int64_t now_ms)
{
    return lane_submit(((struct fake *)c)->lane, call, subject, now_ms);
}

// --- What a notification proves

static enum notice_verdict verdict(struct notice *out, enum notice_verdict v, const char *why)
{
    out->answer = (struct answer){0};
    (void)snprintf(out->why, sizeof out->why, "%s", why);
    return v;
}

static enum notice_verdict read_notice(const struct fake *f, const json_t *node, struct notice *out)
{
    struct answer *a = &out->answer;
    struct str number = field(node, "number");
    if (!field_is(node, "account", f->account)) return verdict(out, NOTICE_FOREIGN, "another account");
    if (!field_is(node, "event", "received")) return verdict(out, NOTICE_MALFORMED, "strange event");
    if (number.n == 0) return verdict(out, NOTICE_MALFORMED, "no number");
    if (!amount_of(node, "amount", &a->captured_fen)) return verdict(out, NOTICE_MALFORMED, "bad amount");
    copy_visible(number, out->number, sizeof out->number);
    if (!id_parse(f->secret, "", number, &a->payment_key))
        return verdict(out, NOTICE_STRANGE, "number is none of ours");
    if (!take_trade_no(node, a)) return verdict(out, NOTICE_MALFORMED, "bad trade_no");
    a->channel = CHANNEL_FAKE;
    say(a, OUTCOME_DONE, FACT_PAID);
    return NOTICE_GOOD;
}

static enum notice_verdict fake_channel_judge(struct channel *c, const struct notice_in *in, struct notice *out)
{
    const struct fake *f = (const struct fake *)c;
    struct json_fault fault;
    *out = (struct notice){0};
    if (in->body.n == 0 || in->body.n > NOTICE_BYTES_MAX) return verdict(out, NOTICE_MALFORMED, "empty, or too long");
    if (!is_signed(f, "notice", in->body, in->header(in->header_ctx, "Fake-Signature")))
        return verdict(out, NOTICE_FORGED, "bad signature");
    json_t *node = json_read_object(in->body, &fault);
    if (!node) return verdict(out, NOTICE_MALFORMED, fault.code);
    enum notice_verdict v = read_notice(f, node, out);
    json_decref(node);
    return v;
}

// --- Opening and closing

static void fake_free(struct fake *f)
{
    lane_close(f->lane);
    crypto_wipe(f->key, sizeof f->key);
    free(f);
}

static void fake_channel_free(struct channel *c)
{
    fake_free((struct fake *)c);
}

static const struct channel_ops CHANNEL_OPS = {
    .id = CHANNEL_FAKE,
    .submit = fake_channel_submit,
    .judge = fake_channel_judge,
    .ok_status = 200,
    .refuse_status = 403,
    .fail_status = 503,
    .reply_type = "text/plain",
    .ok_body = "noted",
    .fail_body = "again",
    .free = fake_channel_free,
};

// Nobody can take this for a way to be paid: the bank is on this machine.
static bool is_here(struct str url)
{
    bool here = str_starts(url, STR("http://127.0.0.1:")) || str_starts(url, STR("http://[::1]:")) ||
                str_starts(url, STR("http://localhost:"));
    for (size_t i = 0; i < url.n; i++)
        here = here && url.p[i] > ' ' && url.p[i] < 0x7f && url.p[i] != '@';
    return here && url.n <= URL_MAX && url.p[url.n - 1] != '/';
}

static bool is_account(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!memchr("0123456789-", s.p[i], 11)) return false;
    return s.n >= 1 && s.n <= ACCOUNT_MAX;
}

static bool options_copy(struct fake *f, const struct fake_options *o, char why[200])
{
    struct str url = str_of(o->base_url), notify_url = str_of(o->notify_url), account = str_of(o->account);
    char reason[160];
    if (!is_here(url)) {
        (void)snprintf(why, 200, "fake.base_url: a bank for tests: only http://127.0.0.1:PORT/... is taken");
    } else if (notify_url.n > URL_MAX) {
        (void)snprintf(why, 200, "fake: the address for notifications is too long");
    } else if (!is_account(account)) {
        (void)snprintf(why, 200, "fake.account must be digits and -, at most %d", ACCOUNT_MAX);
    } else if (!crypto_secret_load(o->secret_file ? o->secret_file : "", f->key, reason)) {
        (void)snprintf(why, 200, "fake.secret_file: %s", reason);
    } else {
        memcpy(f->base_url, url.p, url.n);
        if (notify_url.n) memcpy(f->notify_url, notify_url.p, notify_url.n);
        memcpy(f->account, account.p, account.n);
        return true;
    }
    return false;
}

struct channel *fake_open(const struct fake_options *options, struct caller *caller, const struct answer_sink *sink,
                          const uint8_t secret[ID_SECRET_SIZE], char why[200])
{
    struct fake *f = calloc(1, sizeof *f);
    (void)snprintf(why, 200, "%s", "fake: out of memory or lanes");
    if (!f) return NULL;
    f->base.ops = &CHANNEL_OPS;
    memcpy(f->secret, secret, ID_SECRET_SIZE);
    if (options_copy(f, options, why)) f->lane = lane_open(caller, &LANE_OPS, f, sink);
    if (!f->lane) {
        fake_free(f);
        return NULL;
    }
    why[0] = 0;
    return &f->base;
}
