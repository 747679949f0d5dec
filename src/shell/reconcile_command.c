// SPDX-License-Identifier: Apache-2.0
// `till reconcile`: the providers' bills of a day beside the store, and a case for each difference. The store is read;
// a case is written by whoever writes the store: the server that has it open, or, when nobody has, this command.
#include "base/json_in.h"
#include "base/log.h"
#include "base/timetext.h"
#include "port/clock.h"
#include "sandbox/sandbox.h"
#include "shell/channels.h"
#include "shell/client_http.h"
#include "shell/commands.h"
#include "shell/help.h"
#include "shell/reconcile.h"
#include "shell/service.h"
#include "shell/shell.h"
#include "store/sqlite.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DAY_MS       (INT64_C(24) * 3600 * 1000)
#define BILLS_DUE_MS (INT64_C(10) * 3600 * 1000) // of the next morning: a day without a bill is then an empty one
#define CASES_MAX    10000
#define DEADLINE_MS  5000

struct options {
    const char *date, *channel, *data, *sandbox, *url, *key;
    bool as_json;
};

struct job {
    const struct options *o;
    struct config *config;
    const char *path;  // of the store
    struct buf server; // where the server would be, NUL-terminated
    int64_t day_ms, now_ms;
    struct book *book;
    struct caller *caller;
    struct channel *channels[N_CHANNELS];
    struct reconciled results[N_CHANNELS];
    struct differences differences;
    unsigned n_opened, n_known;
    char why[CONFIG_WHY_SIZE];
};

static bool fail(struct job *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool fail(struct job *j, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(j->why, sizeof j->why, fmt, ap);
    va_end(ap);
    return false;
}

// Named, or nobody is and it has bills.
static bool is_meant(const struct options *o, enum channel_id channel)
{
    return o->channel[0] ? strcmp(o->channel, channel_name(channel)) == 0 : bill_is_had(channel);
}

static bool is_asked(const struct job *j, unsigned channel)
{
    return j->channels[channel] && is_meant(j->o, channel);
}

// --- Bills

struct source {
    struct job *job;
    struct channel *channel;
};

static bool fetch(void *ctx, int64_t day_ms, struct bill_rows *rows, char why[RECONCILE_WHY_SIZE])
{
    struct source *s = ctx;
    char reason[BILL_WHY_SIZE], day[DAY_TEXT_SIZE];
    day_to_beijing(day_ms, day);
    int64_t said_ms, now_ms = s->job->now_ms;
    enum bill_word word = bill_fetch(s->channel, day_ms, rows, &said_ms, reason);
    if (said_ms && said_ms < now_ms) now_ms = said_ms; // a clock of ours that ran ahead would make empty days
    bool is_due = now_ms >= day_ms + DAY_MS + BILLS_DUE_MS;
    switch (word) {
    case BILL_GOOD: return true;
    case BILL_NONE:
        if (is_due) return true; // authentically: nothing happened
        (void)snprintf(why, RECONCILE_WHY_SIZE,
                       "there is no bill of %s yet; without one it is an empty day from 10:00 the next morning on",
                       day);
        return false;
    case BILL_NOT_YET: (void)snprintf(why, RECONCILE_WHY_SIZE, "the bill of %s is not made yet", day); return false;
    case BILL_UNKNOWN: break;
    }
    (void)snprintf(why, RECONCILE_WHY_SIZE, "the bill of %s: %s", day, reason);
    return false;
}

static bool compare(struct job *j)
{
    char why[RECONCILE_WHY_SIZE];
    for (unsigned c = CHANNEL_ANY + 1; c < N_CHANNELS; c++) {
        if (!is_asked(j, c)) continue;
        struct source s = {j, j->channels[c]};
        struct bill_source source = {fetch, &s};
        if (!reconcile(j->book, (enum channel_id)c, j->day_ms, &source, &j->results[c], &j->differences, why))
            return fail(j, "%s: %s", channel_name((enum channel_id)c), why);
    }
    return true;
}

// --- Cases

static struct case_row case_of(const struct job *j, const struct difference *d)
{
    return (struct case_row){.kind = d->kind,
                             .channel = d->channel,
                             .is_refund = d->is_refund,
                             .number = str_of(d->number),
                             .refund_number = str_of(d->refund_number),
                             .provider_trade_no = str_of(d->provider_trade_no),
                             .here_fen = d->here_fen,
                             .there_fen = d->there_fen,
                             .payment_key = d->payment_key,
                             .day_ms = j->day_ms};
}

static bool cases_store(struct job *j, struct store *s, const struct case_row *rows, unsigned n)
{
    struct arena arena = {0};
    struct keygen keys = {.last = s->last_key};
    struct change c = {.kind = CHANGE_CASE, .at_ms = j->now_ms, .cases = rows, .n_cases = n};
    c.case_key = keygen_take(&keys, j->now_ms, n);
    bool ok = s->ops->apply(s, &c, 1, &arena) == STORE_DONE && c.result == APPLY_DONE;
    arena_free(&arena);
    j->n_opened += c.n_opened;
    j->n_known += n - c.n_opened;
    return ok || fail(j, "the cases cannot be stored");
}

static void case_write(const struct case_row *c, const char *day, struct buf *out)
{
    json_open(out, '{');
    json_kz(out, "kind", case_kind_name(c->kind));
    json_kz(out, "channel", channel_name(c->channel));
    json_kz(out, "subject", c->is_refund ? "refund" : "capture");
    json_kstr(out, "out_trade_no", c->number);
    if (c->refund_number.n) json_kstr(out, "out_refund_no", c->refund_number);
    if (c->provider_trade_no.n) json_kstr(out, "provider_trade_no", c->provider_trade_no);
    json_ki64(out, "amount_here", c->here_fen);
    json_ki64(out, "amount_there", c->there_fen);
    json_kz(out, "date", day);
    json_close(out, '}');
}

static bool cases_post(struct job *j, struct client *client, const struct case_row *rows, unsigned n)
{
    char day[DAY_TEXT_SIZE];
    struct buf body = {0}, answer = {0};
    struct json_fault fault;
    day_to_beijing(j->day_ms, day);
    json_open(&body, '{');
    json_key(&body, "cases");
    json_open(&body, '[');
    for (unsigned i = 0; i < n; i++)
        case_write(&rows[i], day, &body);
    json_close(&body, ']');
    json_close(&body, '}');
    bool ok = client_ask(client, "POST", "/v1/cases", &body, NULL, &answer);
    json_t *root = ok ? json_read_object(buf_view(&answer), &fault) : NULL;
    const json_t *opened = json_object_get(root, "opened"), *known = json_object_get(root, "known");
    ok = json_is_integer(opened) && json_is_integer(known);
    if (ok) j->n_opened += (unsigned)json_integer_value(opened);
    if (ok) j->n_known += (unsigned)json_integer_value(known);
    json_decref(root);
    buf_free(&body);
    buf_free(&answer);
    return ok || fail(j, "%s has not taken the cases; is it the server of this store? (--url, --key)", client->url);
}

// Through one of the two: `s`, or `client`.
static bool cases_send(struct job *j, struct store *s, struct client *client)
{
    struct case_row rows[CASES_AT_ONCE_MAX];
    bool ok = true;
    for (unsigned from = 0; ok && from < j->differences.n; from += CASES_AT_ONCE_MAX) {
        unsigned left = j->differences.n - from, n = left < CASES_AT_ONCE_MAX ? left : CASES_AT_ONCE_MAX;
        for (unsigned i = 0; i < n; i++)
            rows[i] = case_of(j, &j->differences.list[from + i]);
        ok = s ? cases_store(j, s, rows, n) : cases_post(j, client, rows, n);
    }
    return ok;
}

static bool cases_by_server(struct job *j)
{
    struct client client;
    const char *key = j->o->key[0] ? j->o->key : getenv("TILL_KEY");
    if (!client_open(&client, j->o->url[0] ? j->o->url : j->server.p, key))
        return fail(j, "the server cannot be asked");
    bool ok = cases_send(j, NULL, &client);
    client_close(&client);
    return ok;
}

// A server that starts this moment finds the store locked, as we would.
static bool cases_by_hand(struct job *j)
{
    char why[200];
    struct sqlite_options o = {.path = j->path};
    book_close(j->book);
    j->book = NULL;
    struct store *s = sqlite_store_open(&o, j->now_ms, why);
    if (!s) return fail(j, "store: %s", why);
    bool ok = cases_send(j, s, NULL);
    s->ops->close(s);
    return ok;
}

static bool cases_open(struct job *j)
{
    if (j->differences.n == 0) return true;
    if (j->differences.n > CASES_MAX)
        return fail(j, "%u differences: is this the store of these accounts? No case was opened", j->differences.n);
    return j->o->url[0] || sqlite_store_is_open(j->path) ? cases_by_server(j) : cases_by_hand(j);
}

// --- Telling

static const char *kind_text(enum case_kind k)
{
    switch (k) {
    case CASE_MISSING_HERE: return "missing here 本方缺";
    case CASE_MISSING_THERE: return "missing there 对方缺";
    case CASE_AMOUNT_DIFFERS: return "amount differs 金额不符";
    case CASE_UNKNOWN_NUMBER: break;
    }
    return "";
}

static void yuan(char out[32], int64_t fen)
{
    (void)snprintf(out, 32, "%lld.%02d", (long long)(fen / 100), (int)(fen % 100));
}

static void id_of(const uint8_t *secret, const char *prefix, uint64_t key, char out[ID_TEXT_SIZE])
{
    out[0] = 0;
    if (key) id_format(secret, prefix, key, out);
}

static void print_difference(const uint8_t *secret, const struct difference *d)
{
    char here[32], there[32], order[ID_TEXT_SIZE], payment[ID_TEXT_SIZE];
    yuan(here, d->here_fen);
    yuan(there, d->there_fen);
    id_of(secret, "ord_", d->order_key, order);
    id_of(secret, "pay_", d->payment_key, payment);
    (void)printf("%-9s %s  %s  %s", channel_name(d->channel), kind_text(d->kind),
                 d->is_refund ? "refund 退款" : "capture 收款", d->number);
    if (d->refund_number[0]) (void)printf("  refund number 退款单号 %s", d->refund_number);
    if (d->provider_trade_no[0]) (void)printf("  trade 交易号 %s", d->provider_trade_no);
    (void)printf("  here 本方 %s  there 对方 %s", d->here_fen ? here : "-", d->there_fen ? there : "-");
    (void)printf(order[0] ? "  %s %s\n" : "  no order 无订单\n", order, payment);
}

static void print_result(const char *name, const struct reconciled *r)
{
    static const char *const subjects[] = {"capture", "refund"};
    for (unsigned i = 0; i < 2; i++) {
        char sum[32];
        yuan(sum, r->there_fen[i]);
        (void)printf("%-9s  %-7s  %8u  %12u  %13u  %14u  %14s\n", name, subjects[i], r->matched[i], r->missing_here[i],
                     r->missing_there[i], r->differs[i], sum);
    }
}

static void print_text(const struct job *j, const uint8_t *secret, bool stored)
{
    for (unsigned i = 0; i < j->differences.n; i++)
        print_difference(secret, &j->differences.list[i]);
    (void)printf("%-9s  %-7s  %8s  %12s  %13s  %14s  %14s\n", "channel", "subject", "matched", "missing here",
                 "missing there", "amount differs", "their total");
    (void)printf("渠道       类别         相符        本方缺         对方缺        金额不符        对方合计\n");
    for (unsigned c = CHANNEL_ANY + 1; c < N_CHANNELS; c++)
        if (is_asked(j, c)) print_result(channel_name((enum channel_id)c), &j->results[c]);
    if (j->differences.n && stored)
        (void)printf("cases 案件: %u opened 新开, %u known before 已有\n", j->n_opened, j->n_known);
}

static void json_counts(struct buf *b, const char *name, const struct reconciled *r, unsigned i)
{
    json_key(b, name);
    json_open(b, '{');
    json_ki64(b, "matched", r->matched[i]);
    json_ki64(b, "missing_here", r->missing_here[i]);
    json_ki64(b, "missing_there", r->missing_there[i]);
    json_ki64(b, "amount_differs", r->differs[i]);
    json_ki64(b, "amount_there", r->there_fen[i]);
    json_close(b, '}');
}

static void json_difference(const uint8_t *secret, const struct difference *d, struct buf *b)
{
    char order[ID_TEXT_SIZE], payment[ID_TEXT_SIZE];
    id_of(secret, "ord_", d->order_key, order);
    id_of(secret, "pay_", d->payment_key, payment);
    json_open(b, '{');
    json_kz(b, "kind", case_kind_name(d->kind));
    json_kz(b, "channel", channel_name(d->channel));
    json_kz(b, "subject", d->is_refund ? "refund" : "capture");
    json_kz(b, "out_trade_no", d->number);
    if (d->refund_number[0]) json_kz(b, "out_refund_no", d->refund_number);
    if (d->provider_trade_no[0]) json_kz(b, "provider_trade_no", d->provider_trade_no);
    json_ki64(b, "amount_here", d->here_fen);
    json_ki64(b, "amount_there", d->there_fen);
    if (order[0]) json_kz(b, "order", order);
    if (payment[0]) json_kz(b, "payment", payment);
    json_close(b, '}');
}

static void print_json(const struct job *j, const uint8_t *secret)
{
    char day[DAY_TEXT_SIZE];
    struct buf b = {0};
    day_to_beijing(j->day_ms, day);
    json_open(&b, '{');
    json_kz(&b, "date", day);
    json_key(&b, "channels");
    json_open(&b, '{');
    for (unsigned c = CHANNEL_ANY + 1; c < N_CHANNELS; c++) {
        if (!is_asked(j, c)) continue;
        json_key(&b, channel_name((enum channel_id)c));
        json_open(&b, '{');
        json_counts(&b, "captures", &j->results[c], 0);
        json_counts(&b, "refunds", &j->results[c], 1);
        json_close(&b, '}');
    }
    json_close(&b, '}');
    json_key(&b, "differences");
    json_open(&b, '[');
    for (unsigned i = 0; i < j->differences.n; i++)
        json_difference(secret, &j->differences.list[i], &b);
    json_close(&b, ']');
    json_key(&b, "cases");
    json_open(&b, '{');
    json_ki64(&b, "opened", j->n_opened);
    json_ki64(&b, "known", j->n_known);
    json_close(&b, '}');
    json_close(&b, '}');
    (void)printf("%.*s\n", (int)b.n, b.p);
    buf_free(&b);
}

// --- The whole

static void post_nothing(void *ctx, const struct answer *a)
{
    (void)ctx, (void)a;
}

static bool channels_get(struct job *j)
{
    char why[200];
    struct answer_sink sink = {post_nothing, NULL};
    struct caller_options co = {.signers = 1, .max_calls = 16, .max_in_flight = 4, .deadline_ms = DEADLINE_MS};
    j->caller = caller_open(&co, why);
    if (!j->caller) return fail(j, "%s", why);
    return channels_open(j->config, j->caller, &sink, j->server.p, book_secret(j->book), j->channels, j->why);
}

static bool day_is_over(struct job *j)
{
    int64_t last_ms = book_last_ms(j->book); // a clock that was moved
    j->now_ms = clock_real_ms() + test_clock_offset_of_store(j->path);
    if (last_ms > j->now_ms) j->now_ms = last_ms;
    if (!j->o->date[0]) j->day_ms = day_of_beijing(j->now_ms) - DAY_MS;
    return j->day_ms + DAY_MS <= j->now_ms || fail(j, "%s is not over yet in Shanghai 该日尚未结束", j->o->date);
}

static int run(struct job *j)
{
    char why[200];
    uint8_t secret[ID_SECRET_SIZE];
    j->book = book_open(j->path, why);
    if (!j->book) {
        (void)fail(j, "store %s: %s", j->path, why);
        return 1;
    }
    memcpy(secret, book_secret(j->book), sizeof secret);
    if (!day_is_over(j) || !channels_get(j) || !compare(j)) return 1;
    bool stored = cases_open(j);
    if (j->o->as_json)
        print_json(j, secret);
    else
        print_text(j, secret, stored);
    return j->differences.n ? 1 : 0;
}

static void job_end(struct job *j)
{
    for (unsigned c = 0; c < N_CHANNELS; c++)
        if (j->channels[c]) j->channels[c]->ops->free(j->channels[c]);
    if (j->caller) caller_free(j->caller);
    book_close(j->book);
    differences_free(&j->differences);
    buf_free(&j->server);
}

// What `till dev` would have made of its directory.
static bool dev_defaults(struct config *c, const struct options *o, char why[CONFIG_WHY_SIZE])
{
    char keys[PATH_MAX], store[PATH_MAX];
    struct sandbox_identity id;
    if (!o->data[0]) return true;
    (void)snprintf(keys, sizeof keys, "%s/keys", o->data);
    (void)snprintf(store, sizeof store, "sqlite:%s/till.db", o->data);
    return sandbox_identity_read(keys, &id, why) && channels_default_sandbox(c, &id, o->sandbox, keys, why) &&
           config_set_default(c, "store.url", store, why);
}

static bool any_is_meant(const struct config *c, const struct options *o)
{
    bool any = false;
    for (unsigned id = CHANNEL_ANY + 1; id < N_CHANNELS; id++)
        any = any || (channel_is_configured(c, id) && is_meant(o, id));
    return any;
}

static bool job_check(struct job *j)
{
    const struct options *o = j->o;
    if (o->date[0] && !day_from_beijing(str_of(o->date), &j->day_ms))
        return fail(j, "--date is a day in Shanghai, as 2026-11-23");
    if (!dev_defaults(j->config, o, j->why) || !config_check(j->config, j->why)) return false;
    if (!any_is_meant(j->config, o))
        return fail(j,
                    "%s%s: no such channel is configured; give its keys as to `till serve`, or --data DIR of a "
                    "`till dev`",
                    o->channel[0] ? "--channel " : "reconcile", o->channel);
    const char *colon = strrchr(j->config->server.listen, ':');
    config_public_url(j->config, colon ? (unsigned)strtoul(colon + 1, NULL, 10) : 0, &j->server);
    buf_char(&j->server, 0);
    if (j->server.failed) return fail(j, "out of memory");
    j->path = store_path(j->config->store.url, j->why);
    return j->path != NULL;
}

int reconcile_command(int argc, char **argv)
{
    struct options o = {
        .date = "", .channel = "", .data = "", .sandbox = "http://127.0.0.1:8081", .url = "", .key = ""};
    const struct flag flags[] = {
        {.name = "--date", .kind = FLAG_TEXT, .out = &o.date},
        {.name = "--channel", .kind = FLAG_TEXT, .out = &o.channel},
        {.name = "--data", .kind = FLAG_TEXT, .out = &o.data},
        {.name = "--sandbox", .kind = FLAG_TEXT, .out = &o.sandbox},
        {.name = "--store", .kind = FLAG_KEY, .key = "store.url"},
        {.name = "--url", .kind = FLAG_TEXT, .out = &o.url},
        {.name = "--key", .kind = FLAG_TEXT, .out = &o.key},
        {.name = "--json", .kind = FLAG_SWITCH, .out = &o.as_json},
        {.name = NULL},
    };
    struct config config;
    struct config_input in = {.argc = argc, .argv = argv, .envp = environ, .flags = flags};
    struct job j = {.o = &o, .config = &config};
    int status = 2;
    if (!config_load(&config, &in, j.why) || !job_check(&j)) {
        (void)usage_error("reconcile", j.why);
    } else {
        log_set_level(config.log.level);
        status = run(&j);
        if (j.why[0]) (void)fprintf(stderr, "till reconcile: %s\n", j.why);
    }
    job_end(&j);
    config_free(&config);
    return status;
}
