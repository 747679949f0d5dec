// SPDX-License-Identifier: Apache-2.0
// A bank for tests: the far end of the channel `fake` (src/channel/fake.c says what goes over the wire). It expects a
// transfer with a reference to an account; the wallet makes it, by typing the reference; the bank tells of it, once
// it has come. What it no longer expects, it does not take.
#include "base/json_in.h"
#include "base/timetext.h"
#include "sandbox/inside.h"
#include "sandbox/loopback.h"
#include "sandbox/provider.h"
#include "sandbox/trades.h"
#include <stdio.h>

#define ACCOUNT_MAX   32
#define TOTAL_MAX_FEN INT64_C(10000000000)
#define MAC_TEXT      65

// One question: what is asked of it, and the answer, an open JSON object.
struct question {
    struct sandbox *sandbox;
    int64_t now_ms;
    char number[NUMBER_MAX + 1], account[ACCOUNT_MAX + 1], notify_url[URL_MAX + 1];
    char refund_number[NUMBER_MAX + 1], trade_no[NUMBER_MAX + 1];
    int64_t amount_fen, expires_ms; // 0: not said
    struct buf *out;
};

// --- Signatures

static bool sign(const char *key, const char *what, struct str body, char out[MAC_TEXT])
{
    uint8_t mac[32];
    struct buf text = {0};
    buf_printf(&text, "%s\n", what);
    buf_str(&text, body);
    bool ok = !text.failed;
    if (ok) crypto_hmac_sha256(str_of(key), buf_view(&text), mac);
    if (ok) crypto_hex(mac, sizeof mac, out);
    buf_free(&text);
    return ok;
}

static bool is_signed(const struct sandbox *s, const struct http_exchange *x)
{
    char expected[MAC_TEXT];
    struct str said = http_header_single(x, "Fake-Signature");
    return said.n == MAC_TEXT - 1 && sign(s->keys.fake_secret, "request", x->body, expected) &&
           crypto_equal(said.p, expected, MAC_TEXT - 1);
}

// --- Questions and answers

static void text_read(const struct json_in *in, const char *name, char *out, size_t size)
{
    struct str s;
    if (!json_in_str(in, name, false, size - 1, &s)) return;
    memcpy(out, s.p, s.n);
    out[s.n] = 0;
}

static bool question_read(struct question *q, const json_t *root, struct json_fault *fault)
{
    struct json_in in = {.object = root, .at = "", .fault = fault};
    static const char *const names[] = {"number",        "account",  "amount",     "expires_ms",
                                        "refund_number", "trade_no", "notify_url", NULL};
    (void)json_in_only(&in, names);
    text_read(&in, "number", q->number, sizeof q->number);
    text_read(&in, "account", q->account, sizeof q->account);
    text_read(&in, "refund_number", q->refund_number, sizeof q->refund_number);
    text_read(&in, "trade_no", q->trade_no, sizeof q->trade_no);
    text_read(&in, "notify_url", q->notify_url, sizeof q->notify_url);
    (void)json_in_int(&in, "amount", false, 1, TOTAL_MAX_FEN, &q->amount_fen);
    (void)json_in_int(&in, "expires_ms", false, 1, INT64_MAX, &q->expires_ms);
    if (!q->number[0]) json_in_fail(&in, "number", "missing_field", "is needed");
    return !fault->code;
}

static void say(struct question *q, const char *result)
{
    json_kz(q->out, "result", result);
}

static void refuse(struct question *q, const char *why)
{
    say(q, "refused");
    json_kz(q->out, "why", why);
}

static bool trade_find(const struct question *q, struct trade *t)
{
    return ledger_trade_by_number(q->sandbox->ledger, SANDBOX_FAKE, q->number, t);
}

// How the bank calls what has become of a transfer it was told to expect.
static const char *word_of(const struct trade *t)
{
    if (t->paid_ms) return "received";
    return t->state == TRADE_CLOSED ? "closed" : "expected";
}

static void say_trade(struct question *q, const struct trade *t)
{
    say(q, word_of(t));
    if (!t->paid_ms) return;
    json_ki64(q->out, "received", t->code.total_fen);
    json_kz(q->out, "trade_no", t->trade_no);
}

static void say_refund(struct question *q, const struct refund *r)
{
    say(q, "done");
    json_ki64(q->out, "amount", r->amount_fen);
}

// --- What it does

static void terms_make(const struct question *q, char out[65])
{
    uint8_t hash[32];
    struct buf text = {0};
    buf_printf(&text, "%s %lld %lld", q->account, (long long)q->amount_fen, (long long)q->expires_ms);
    crypto_sha256(buf_view(&text), hash);
    crypto_hex(hash, sizeof hash, out);
    buf_free(&text);
}

static void create(struct question *q)
{
    struct trade t;
    struct code c = {.channel = SANDBOX_FAKE,
                     .total_fen = q->amount_fen,
                     .created_ms = q->now_ms,
                     .dies_ms = q->expires_ms,
                     .trade_dies_ms = q->expires_ms};
    if (!q->account[0] || !q->amount_fen || q->expires_ms <= q->now_ms) return refuse(q, "terms");
    if (q->notify_url[0] && !url_is_loopback(q->notify_url)) return refuse(q, "notify_url");
    terms_make(q, c.terms);
    if (trade_find(q, &t)) {
        if (strcmp(t.code.terms, c.terms) != 0) return refuse(q, "other_terms");
        return say_trade(q, &t);
    }
    (void)snprintf(c.text, sizeof c.text, "%s", q->number); // what is typed into the wallet: the reference
    (void)snprintf(c.out_trade_no, sizeof c.out_trade_no, "%s", q->number);
    (void)snprintf(c.subject, sizeof c.subject, "Transfer to 转账至 %s", q->account);
    (void)snprintf(c.passback, sizeof c.passback, "%s", q->account);
    (void)snprintf(c.notify_url, sizeof c.notify_url, "%s", q->notify_url);
    ledger_code_add(q->sandbox->ledger, &c);
    t = trade_open(q->sandbox, &c, q->now_ms);
    say_trade(q, &t);
}

static void query(struct question *q)
{
    struct trade t;
    if (trade_find(q, &t))
        say_trade(q, &t);
    else
        say(q, "absent");
}

static void close_trade(struct question *q)
{
    struct trade t;
    if (!trade_find(q, &t)) return say(q, "absent");
    if (t.state == TRADE_WAITING) trade_close(q->sandbox, &t, q->now_ms);
    say_trade(q, &t);
}

// Of what the bank's own number names; the same refund number with the same amount is the same refund.
static void refund(struct question *q)
{
    struct trade t;
    struct refund r;
    struct ledger *l = q->sandbox->ledger;
    if (!q->refund_number[0] || !q->amount_fen) return refuse(q, "terms");
    if (!trade_find(q, &t) || !t.paid_ms) return refuse(q, "nothing_received");
    if (strcmp(t.trade_no, q->trade_no) != 0) return refuse(q, "other_trade");
    if (ledger_refund_by_number(l, SANDBOX_FAKE, q->refund_number, &r)) {
        if (r.trade_id != t.id || r.amount_fen != q->amount_fen) return refuse(q, "other_terms");
        return say_refund(q, &r);
    }
    if (q->amount_fen > t.code.total_fen - t.refunded_fen) return refuse(q, "too_much");
    trade_refund(q->sandbox, &t, q->refund_number, q->amount_fen, q->now_ms);
    say_refund(q, &(struct refund){.amount_fen = q->amount_fen});
}

static void refund_query(struct question *q)
{
    struct trade t;
    struct refund r;
    if (trade_find(q, &t) && ledger_refund_by_number(q->sandbox->ledger, SANDBOX_FAKE, q->refund_number, &r) &&
        r.trade_id == t.id)
        say_refund(q, &r);
    else
        say(q, "absent");
}

static const struct method {
    const char *name;
    void (*run)(struct question *q);
    bool is_refund;
} METHODS[] = {
    {"create", create, false},
    {"query", query, false},
    {"close", close_trade, false},
    {"refund", refund, true},
    {"refund_query", refund_query, true},
};

static const struct method *method_find(struct str path)
{
    static const char prefix[] = "/fake/";
    struct str name = {path.p + sizeof prefix - 1, path.n - (sizeof prefix - 1)};
    for (size_t i = 0; i < sizeof METHODS / sizeof METHODS[0]; i++)
        if (str_eq(name, str_of(METHODS[i].name))) return &METHODS[i];
    return NULL;
}

// --- At the door

static void fail(struct answer *a, int status)
{
    buf_clear(&a->body);
    buf_z(&a->body, "{}\n");
    answer_json(a, status);
}

static void run(struct sandbox *s, const struct method *m, const struct http_exchange *x, struct answer *a)
{
    struct json_fault fault = {0};
    struct question q = {.sandbox = s, .now_ms = clock_now_ms(s->clock), .out = &a->body};
    json_t *root = json_read_object(x->body, &fault);
    bool good = root && question_read(&q, root, &fault);
    json_decref(root);
    if (!good) return fail(a, 400);
    trades_settle(s, q.now_ms);
    json_open(q.out, '{');
    json_kz(q.out, "method", m->name);
    json_kz(q.out, "number", q.number);
    if (m->is_refund) json_kz(q.out, "refund_number", q.refund_number);
    m->run(&q);
    json_close(q.out, '}');
    answer_json(a, 200);
}

static void answer_sign(const struct sandbox *s, struct answer *a)
{
    char mac[MAC_TEXT];
    if (sign(s->keys.fake_secret, "answer", buf_view(&a->body), mac))
        buf_printf(&a->headers, "Fake-Signature: %s\r\n", mac);
    else
        a->body.failed = true;
}

static void request_run(struct sandbox *s, const struct http_exchange *x, const struct gateway_fate *fate,
                        struct answer *a)
{
    const struct method *m = method_find(x->path);
    if (fate->unavailable) return fail(a, 503);
    if (!m) return fail(a, 404);
    if (x->method != HTTP_POST) return fail(a, 405);
    if (!is_signed(s, x)) return fail(a, 401);
    if (fate->limited) return fail(a, 429);
    if (fate->executes) run(s, m, x, a);
    if (fate->error || !fate->executes) return fail(a, 500);
    answer_sign(s, a);
}

void fake_bank_request(struct sandbox *s, const struct http_exchange *x, struct answer *a)
{
    char date[TIME_TEXT_SIZE];
    struct gateway_fate fate = faults_gateway_draw(&s->faults, s->gateway_draws++);
    s->calls[SANDBOX_FAKE]++;
    s->counters_changed = true;
    time_to_http(clock_now_ms(s->clock), date);
    buf_printf(&a->headers, "Date: %s\r\n", date);
    a->delay_ms = (unsigned)fate.delay_ms;
    request_run(s, x, &fate, a);
    if (!fate.hangs) return;
    a->delay_ms = GATEWAY_HANG_MS;
    fail(a, 504);
}

// --- What it tells

const char *fake_trade_state(struct sandbox *s, const struct trade *t)
{
    (void)s;
    return word_of(t);
}

// It tells of what came, and of nothing else: nobody else gives a notify_url.
void fake_notice_fields(struct sandbox *s, const struct trade *t, const struct refund *r, const char *notice_id,
                        int64_t now_ms, struct buf *fields)
{
    (void)s, (void)r, (void)now_ms;
    json_open(fields, '{');
    json_kz(fields, "event", "received");
    json_kz(fields, "id", notice_id);
    json_kz(fields, "account", t->code.passback);
    json_kz(fields, "number", t->code.out_trade_no);
    json_ki64(fields, "amount", t->code.total_fen);
    json_kz(fields, "trade_no", t->trade_no);
    json_close(fields, '}');
}

bool fake_notice_write(struct sandbox *s, const struct notice *n, struct buf *body, struct buf *headers)
{
    char mac[MAC_TEXT];
    const char *key = n->forgery ? "somebody else's" : s->keys.fake_secret;
    buf_str(body, buf_view(&n->fields));
    bool ok = !body->failed && sign(key, "notice", buf_view(body), mac);
    if (ok) buf_printf(headers, "Content-Type: application/json\r\nFake-Signature: %s\r\n", mac);
    return ok;
}

bool fake_notice_is_heard(long status, struct str reply)
{
    return status == 200 && str_eq(reply, STR("noted"));
}
