// SPDX-License-Identifier: Apache-2.0
// Requests that only look: each reads through its worker's own read-only view, which sees every commit that was
// acknowledged before.
#include "base/metric.h"
#include "channel/qr.h"
#include "shell/shell.h"
#include <stdio.h>
#include <stdlib.h>

#define LIMIT_DEFAULT 50
#define LIMIT_MAX     200
#define TIMELINE_MAX  1000

void read_failed(struct http_exchange *x)
{
    http_problem(x, 503, "store_unreadable", "the store cannot be read now", NULL);
}

// --- Query parameters

// Takes the next "name=value" off the query.
static bool next_pair(struct str *query, struct str *name)
{
    if (query->n == 0) return false;
    const char *amp = memchr(query->p, '&', query->n);
    size_t n = amp ? (size_t)(amp - query->p) : query->n;
    const char *eq = memchr(query->p, '=', n);
    *name = (struct str){query->p, eq ? (size_t)(eq - query->p) : n};
    query->p += n + (amp != NULL);
    query->n -= n + (amp != NULL);
    return true;
}

bool param(struct worker *w, struct http_exchange *x, const char *name, struct str *out)
{
    struct buf b = {0};
    struct str query = x->query, at;
    unsigned times = 0;
    while (next_pair(&query, &at))
        times += str_eq(at, str_of(name));
    bool good = times == 0 || (times == 1 && http_query(x->query, name, &b));
    *out = b.n ? arena_copy(&w->arena, buf_view(&b)) : (struct str){b.n ? NULL : "", 0};
    good = good && (b.n == 0 || out->p);
    if (times == 0) *out = (struct str){0};
    buf_free(&b);
    if (good) return true;
    char detail[96];
    (void)snprintf(detail, sizeof detail, "%s is given once, percent-encoded", name);
    http_problem(x, 400, "invalid_parameter", detail, NULL);
    return false;
}

bool param_int(struct worker *w, struct http_exchange *x, const char *name, int64_t min, int64_t max, int64_t *out)
{
    struct str text;
    if (!param(w, x, name, &text)) return false;
    if (!text.p) return true;
    int64_t v = 0;
    bool good = text.n > 0 && text.n <= 9;
    for (size_t i = 0; good && i < text.n; i++) {
        good = text.p[i] >= '0' && text.p[i] <= '9';
        v = v * 10 + (text.p[i] - '0');
    }
    if (good && v >= min && v <= max) {
        *out = v;
        return true;
    }
    char detail[96];
    (void)snprintf(detail, sizeof detail, "%s is a number from %lld to %lld", name, (long long)min, (long long)max);
    http_problem(x, 400, "invalid_parameter", detail, NULL);
    return false;
}

bool param_limit(struct worker *w, struct http_exchange *x, unsigned *limit)
{
    int64_t v = LIMIT_DEFAULT;
    if (!param_int(w, x, "limit", 1, LIMIT_MAX, &v)) return false;
    *limit = (unsigned)v;
    return true;
}

static void bad_cursor(struct http_exchange *x)
{
    http_problem(x, 400, "invalid_cursor", "a cursor is what next_cursor said", NULL);
}

// Only the parameters named may come: a misspelt one is noticed.
bool params_only(struct http_exchange *x, const char *const names[])
{
    struct str q = x->query, name;
    while (next_pair(&q, &name)) {
        bool known = name.n == 0;
        for (unsigned i = 0; names[i]; i++)
            known = known || str_eq(name, str_of(names[i]));
        if (!known) {
            http_problem(x, 400, "unknown_parameter", "this path does not take one of the parameters", NULL);
            return false;
        }
    }
    return true;
}

// --- Lists

void list_open(struct buf *b)
{
    json_open(b, '{');
    json_key(b, "data");
    json_open(b, '[');
}

void list_close(struct buf *b, bool has_more, struct str next_cursor)
{
    json_close(b, ']');
    json_key(b, "has_more");
    json_bool(b, has_more);
    if (has_more && next_cursor.n) json_kstr(b, "next_cursor", next_cursor);
    json_close(b, '}');
}

static const char *const NO_PARAMS[] = {NULL};

static bool order_is_open(const struct order *o)
{
    return o->state == ORDER_PLACED || o->state == ORDER_AWAITING_PAYMENT;
}

// The store first: what moves in between is then met in the archive.
bool order_find(struct worker *w, uint64_t key, struct order_doc *doc, bool *found)
{
    *found = false;
    bool ok = w->reader->ops->order(w->reader, key, doc, found, &w->arena);
    if (!ok || *found || !w->archive) return ok;
    return w->archive->ops->order(w->archive, key, doc, found, &w->arena);
}

bool order_is_archived(struct worker *w, uint64_t key)
{
    struct order_doc doc;
    bool here = true, there = false;
    return w->archive && w->reader->ops->order(w->reader, key, &doc, &here, &w->arena) && !here &&
           w->archive->ops->order(w->archive, key, &doc, &there, &w->arena) && there;
}

static bool load_order(struct worker *w, struct http_exchange *x, uint64_t key, struct order_doc *doc)
{
    bool found = false;
    if (!order_find(w, key, doc, &found)) {
        read_failed(x);
        return false;
    }
    if (!found) http_problem(x, 404, "unknown_order", "there is no such order", NULL);
    return found;
}

void read_order(struct worker *w, struct http_exchange *x, uint64_t key)
{
    struct order_doc doc;
    if (!params_only(x, NO_PARAMS) || !load_order(w, x, key, &doc)) return;
    present_order(w->shell, &doc, &w->out);
    api_respond_json(x, 200, &w->out);
}

static bool state_param(struct worker *w, struct http_exchange *x, enum order_state *out)
{
    struct str word;
    *out = ORDER_STATE_0;
    if (!param(w, x, "state", &word)) return false;
    if (!word.p) return true;
    for (unsigned v = ORDER_PLACED; v <= ORDER_CANCELLED; v++)
        if (str_eq(word, str_of(order_state_name((enum order_state)v)))) *out = (enum order_state)v;
    if (*out == ORDER_STATE_0) http_problem(x, 400, "invalid_parameter", "state is one of the order states", NULL);
    return *out != ORDER_STATE_0;
}

void read_orders(struct worker *w, struct http_exchange *x)
{
    static const char *const known[] = {"state", "buyer", "limit", "cursor", NULL};
    struct order_filter f = {0};
    struct str cursor;
    unsigned limit, n = 0;
    if (!params_only(x, known) || !param_limit(w, x, &limit) || !state_param(w, x, &f.state)) return;
    if (!param(w, x, "buyer", &f.buyer) || !param(w, x, "cursor", &cursor)) return;
    if (cursor.p && !id_parse(w->shell->secret, "ord_", cursor, &f.before_key)) return bad_cursor(x);
    struct order_doc *docs = arena_take(&w->arena, (limit + 1) * sizeof *docs);
    if (!docs || !w->reader->ops->orders(w->reader, &f, docs, limit + 1, &n, &w->arena)) return read_failed(x);
    bool has_more = n > limit;
    if (has_more) n = limit;
    list_open(&w->out);
    for (unsigned i = 0; i < n; i++)
        present_order(w->shell, &docs[i], &w->out);
    char last[ID_TEXT_SIZE] = "";
    if (n) id_format(w->shell->secret, "ord_", docs[n - 1].order.key, last);
    list_close(&w->out, has_more, str_of(last));
    api_respond_json(x, 200, &w->out);
}

void read_timeline(struct worker *w, struct http_exchange *x, uint64_t key)
{
    struct order_doc doc;
    unsigned n = 0;
    if (!params_only(x, NO_PARAMS) || !load_order(w, x, key, &doc)) return;
    struct trace_row *rows = arena_take(&w->arena, TIMELINE_MAX * sizeof *rows);
    bool ok = rows && w->reader->ops->timeline(w->reader, key, rows, TIMELINE_MAX, &n, &w->arena);
    if (ok && n == 0 && w->archive) ok = w->archive->ops->timeline(w->archive, key, rows, TIMELINE_MAX, &n, &w->arena);
    if (!ok) return read_failed(x);
    list_open(&w->out);
    for (unsigned i = 0; i < n; i++)
        present_trace(&rows[i], &w->out);
    list_close(&w->out, false, STR(""));
    api_respond_json(x, 200, &w->out);
}

void read_refunds(struct worker *w, struct http_exchange *x, uint64_t key)
{
    static const char *const known[] = {"limit", "cursor", NULL};
    struct order_doc doc;
    struct str cursor;
    uint64_t before = 0;
    unsigned limit, n = 0;
    if (!params_only(x, known) || !param_limit(w, x, &limit)) return;
    if (!param(w, x, "cursor", &cursor)) return;
    if (cursor.p && !id_parse(w->shell->secret, "ref_", cursor, &before)) return bad_cursor(x);
    if (!load_order(w, x, key, &doc)) return;
    struct refund *rows = arena_take(&w->arena, (limit + 1) * sizeof *rows);
    bool ok = rows && w->reader->ops->refunds(w->reader, key, before, rows, limit + 1, &n, &w->arena);
    if (ok && n == 0 && w->archive)
        ok = w->archive->ops->refunds(w->archive, key, before, rows, limit + 1, &n, &w->arena);
    if (!ok) return read_failed(x);
    bool has_more = n > limit;
    if (has_more) n = limit;
    list_open(&w->out);
    for (unsigned i = 0; i < n; i++)
        present_refund(w->shell, key, &rows[i], &w->out);
    char last[ID_TEXT_SIZE] = "";
    if (n) id_format(w->shell->secret, "ref_", rows[n - 1].key, last);
    list_close(&w->out, has_more, str_of(last));
    api_respond_json(x, 200, &w->out);
}

// Oldest first, all of them: an order never has more than ATTEMPTS_MAX and those it renewed.
void read_payments(struct worker *w, struct http_exchange *x, uint64_t key)
{
    static const char *const known[] = {NULL};
    struct order_doc doc;
    unsigned n = 0;
    if (!params_only(x, known) || !load_order(w, x, key, &doc)) return;
    struct payment *rows = arena_take(&w->arena, LIMIT_MAX * sizeof *rows);
    bool ok = rows && w->reader->ops->payments(w->reader, key, rows, LIMIT_MAX, &n, &w->arena);
    if (ok && n == 0 && w->archive) ok = w->archive->ops->payments(w->archive, key, rows, LIMIT_MAX, &n, &w->arena);
    if (!ok) return read_failed(x);
    list_open(&w->out);
    for (unsigned i = 0; i < n; i++)
        present_payment(w->shell, &rows[i], key, &w->out);
    list_close(&w->out, false, STR(""));
    api_respond_json(x, 200, &w->out);
}

void read_qr(struct worker *w, struct http_exchange *x, uint64_t key, bool is_png)
{
    struct order_doc doc;
    struct buf code = {0};
    if (!load_order(w, x, key, &doc)) return; // any parameter may come: pages add one to get past a cache
    if (!order_is_open(&doc.order) || !order_code(w->shell, &doc, &code))
        http_problem(x, 404, "no_code", "this order has no code to scan (yet)", NULL);
    else if (!(is_png ? qr_png(buf_view(&code), &w->out) : qr_svg(buf_view(&code), &w->out)))
        http_problem(x, 503, "overloaded", "the picture could not be made", NULL);
    else
        http_respond(x, 200, is_png ? "image/png" : "image/svg+xml", "Cache-Control: no-store\r\n", buf_view(&w->out));
    buf_free(&code);
}

void read_sku(struct worker *w, struct http_exchange *x, struct str sku)
{
    struct sku row;
    bool found = false;
    if (!params_only(x, NO_PARAMS)) return;
    if (!w->reader->ops->sku(w->reader, sku, &row, &found, &w->arena)) return read_failed(x);
    if (!found) return http_problem(x, 404, "unknown_sku", "there is no such sku", NULL);
    present_sku(&row, &w->out);
    api_respond_json(x, 200, &w->out);
}

// A sku may hold any character, and a cursor must survive in an address: hex.
static struct str hex_of(struct worker *w, struct str s)
{
    static const char hex[] = "0123456789abcdef";
    char *p = arena_take(&w->arena, 2 * s.n + 1);
    for (size_t i = 0; p && i < s.n; i++) {
        p[2 * i] = hex[(unsigned char)s.p[i] >> 4];
        p[2 * i + 1] = hex[s.p[i] & 15];
    }
    return (struct str){p, p ? 2 * s.n : 0};
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex_read(struct worker *w, struct str hex, struct str *out)
{
    char *p = arena_take(&w->arena, hex.n / 2 + 1);
    if (!p || hex.n == 0 || hex.n % 2) return false;
    for (size_t i = 0; i < hex.n; i += 2) {
        int high = hex_digit(hex.p[i]), low = hex_digit(hex.p[i + 1]);
        if (high < 0 || low < 0) return false;
        p[i / 2] = (char)(high << 4 | low);
    }
    *out = (struct str){p, hex.n / 2};
    return name_is_good(*out);
}

void read_skus(struct worker *w, struct http_exchange *x)
{
    static const char *const known[] = {"limit", "cursor", NULL};
    struct str cursor, after = {0};
    unsigned limit, n = 0;
    if (!params_only(x, known) || !param_limit(w, x, &limit)) return;
    if (!param(w, x, "cursor", &cursor)) return;
    if (cursor.p && !hex_read(w, cursor, &after)) return bad_cursor(x);
    struct sku *rows = arena_take(&w->arena, (limit + 1) * sizeof *rows);
    if (!rows || !w->reader->ops->skus(w->reader, after, rows, limit + 1, &n, &w->arena)) return read_failed(x);
    bool has_more = n > limit;
    if (has_more) n = limit;
    list_open(&w->out);
    for (unsigned i = 0; i < n; i++)
        present_sku(&rows[i], &w->out);
    list_close(&w->out, has_more, n ? hex_of(w, rows[n - 1].sku) : STR(""));
    api_respond_json(x, 200, &w->out);
}

void read_cart(struct worker *w, struct http_exchange *x, struct str cart)
{
    struct cart_line lines[CART_LINES_MAX];
    unsigned n = 0;
    if (!w->reader->ops->cart(w->reader, cart, lines, CART_LINES_MAX, &n, &w->arena)) return read_failed(x);
    buf_clear(&w->out);
    present_cart(cart, lines, n, &w->out);
    api_respond_json(x, 200, &w->out);
}

// What a buyer may see of an order: no ids but its own, no names, no numbers of the provider but those he pays with.
void read_pay_state(struct worker *w, struct http_exchange *x, uint64_t key)
{
    struct order_doc doc;
    if (!load_order(w, x, key, &doc)) return;
    present_pay_state(w->shell, &doc, &w->out);
    http_respond(x, 200, "application/json", "Cache-Control: no-store\r\n", buf_view(&w->out));
}

// --- Health

void read_ready(struct worker *w, struct http_exchange *x)
{
    struct shell *s = w->shell;
    bool ready = atomic_load(&s->is_ready) && !atomic_load(&s->is_stopping);
    if (x->query.n == 0)
        return http_respond(x, ready ? 200 : 503, "text/plain", NULL, ready ? STR("ok\n") : STR("not ready\n"));
    json_open(&w->out, '{');
    json_key(&w->out, "ready");
    json_bool(&w->out, ready);
    json_ktime(&w->out, "now", clock_now_ms(s->clock));
    json_ki64(&w->out, "backlog", engine_backlog(s->engine));
    int64_t next_ms = engine_next_ms(s->engine);
    if (next_ms != INT64_MAX) json_ktime(&w->out, "next_due_at", next_ms);
    json_key(&w->out, "broker");
    s->broker->ops->describe(s->broker, &w->out);
    json_key(&w->out, "channels");
    providers_describe(s, &w->out);
    json_key(&w->out, "sweep");
    sweep_describe(s->sweep, &w->out);
    json_close(&w->out, '}');
    api_respond_json(x, ready ? 200 : 503, &w->out);
}

static unsigned long long count(const _Atomic uint64_t *c)
{
    return (unsigned long long)atomic_load_explicit((_Atomic uint64_t *)c, memory_order_relaxed);
}

static void metrics_of_engine(const struct engine_stats *st, struct buf *b)
{
    static const char *const answers[] = {"", "UNKNOWN", "COMMIT", "ROLLBACK"};
    metric_head(b, "till_channel_calls_total", "counter", "Answered calls to providers.");
    for (unsigned c = 1; c < N_CHANNELS; c++)
        for (unsigned m = 1; m < N_METHODS; m++)
            for (unsigned o = 1; o < N_OUTCOMES; o++)
                buf_printf(b, "till_channel_calls_total{channel=\"%s\",method=\"%s\",outcome=\"%s\"} %llu\n",
                           channel_name((enum channel_id)c), call_method_name((enum call_method)m),
                           outcome_name((enum outcome)o), count(&st->calls[c][m][o]));
    metric_head(b, "till_checkbacks_total", "counter", "Check-backs answered, by policy and answer.");
    for (unsigned p = 0; p < N_POLICIES; p++)
        for (unsigned a = 1; a < N_ANSWERS; a++)
            buf_printf(b, "till_checkbacks_total{policy=\"%s\",answer=\"%s\"} %llu\n", policy_name((enum policy)p),
                       answers[a], count(&st->checkbacks[p][a]));
    static const char *const sends[] = {"half", "end", "main", "second"};
    metric_head(b, "till_broker_sends_total", "counter", "What a broker elsewhere was told, by outcome.");
    for (unsigned k = 0; k < N_SENDS; k++)
        for (unsigned o = 1; o < N_OUTCOMES; o++)
            buf_printf(b, "till_broker_sends_total{kind=\"%s\",outcome=\"%s\"} %llu\n", sends[k],
                       outcome_name((enum outcome)o), count(&st->sends[k][o]));
    const struct {
        const char *name, *help;
        const _Atomic uint64_t *c;
    } plain[] = {
        {"till_turns_total", "Turns of the engine.", &st->turns},
        {"till_commits_total", "Commits of the store.", &st->commits},
        {"till_changes_total", "Changes committed.", &st->changes},
        {"till_conflicts_total", "Changes stepped again because a row had moved.", &st->conflicts},
        {"till_deadlines_total", "Deadlines that came up.", &st->dues},
        {"till_deadlines_stale_total", "Of these, such as were no longer owed.", &st->dues_stale},
        {"till_orders_placed_total", "Orders placed.", &st->placed},
        {"till_orders_paid_total", "Orders paid.", &st->paid},
        {"till_orders_cancelled_total", "Orders cancelled.", &st->cancelled},
        {"till_payments_late_total", "Captures for cancelled orders.", &st->late},
        {"till_payments_duplicate_total", "Second captures of one order.", &st->duplicate},
        {"till_payments_mismatch_total", "Captures of another amount.", &st->mismatch},
        {"till_messages_total", "Messages delivered by the embedded broker.", &st->messages},
        {"till_messages_received_total", "order.cancel messages that reached the cancel receiver.", &st->received},
        {"till_messages_dead_total", "Messages that went to the dead letters.", &st->dead},
        {"till_messages_unknown_total", "Messages received about orders that are not ours.", &st->received_unknown},
        {"till_checkbacks_unknown_total", "Check-backs about orders that are not ours: never decided.",
         &st->checks_unknown},
        {"till_orders_archived_total", "Orders that moved to the archive.", &st->archived},
        {"till_sweep_rescued_total", "Orders a sweep moved on.", &st->swept},
        {"till_cases_total", "Cases opened: where our books and a provider's differ.", &st->cases},
    };
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        metric_one(b, plain[i].name, "counter", plain[i].help, count(plain[i].c));
    }
}

static void metrics_of_edge(struct shell *s, struct buf *b)
{
    static const char *const verdicts[] = {
        [NOTICE_MALFORMED] = "malformed", [NOTICE_FORGED] = "forged", [NOTICE_FOREIGN] = "foreign"};
    metric_head(b, "till_notifications_refused_total", "counter", "Notifications that changed nothing, by verdict.");
    for (unsigned v = NOTICE_MALFORMED; v <= NOTICE_FOREIGN; v++)
        buf_printf(b, "till_notifications_refused_total{verdict=\"%s\"} %llu\n", verdicts[v],
                   count(&s->refused_notices[v]));
    metric_one(b, "till_http_requests_total", "counter", "Requests received.", count(&s->requests));
    metric_one(b, "till_http_connections", "gauge", "Connections open now.", http_server_connections(s->http));
    metric_one(b, "till_backlog", "gauge", "Requests the engine has not taken yet.", engine_backlog(s->engine));
    metric_head(b, "till_process_cpu_seconds_total", "counter", "User and system time of this process.");
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    buf_printf(b, "till_process_cpu_seconds_total %lld.%09ld\n", (long long)cpu.tv_sec, cpu.tv_nsec);
}

static void refunds_metrics(const struct store_totals *t, struct buf *b)
{
    metric_one(b, "till_refunds_pending", "gauge", "Refunds on their way.", (unsigned long long)t->refunds_pending);
    metric_one(b, "till_refunds_abnormal", "gauge", "Refunds stuck at the provider until somebody acts there.",
               (unsigned long long)t->refunds_abnormal);
    metric_one(b, "till_refunds_oldest_pending_seconds", "gauge",
               "When the oldest refund on its way was made (Unix time; 0: there is none).",
               (unsigned long long)(t->oldest_refund_ms / 1000));
}

void read_metrics(struct worker *w, struct http_exchange *x)
{
    struct shell *s = w->shell;
    struct store_totals totals = {0};
    if (!w->reader->ops->totals(w->reader, clock_now_ms(s->clock), &totals)) return read_failed(x);
    metric_head(&w->out, "till_orders", "gauge", "Orders by state.");
    for (unsigned v = ORDER_PLACED; v <= ORDER_CANCELLED; v++)
        buf_printf(&w->out, "till_orders{state=\"%s\"} %lld\n", order_state_name((enum order_state)v),
                   (long long)totals.orders[v]);
    metric_head(
        &w->out, "till_deadlines_unaccounted", "gauge",
        "Deadlines passed (by more than a minute) that neither fired nor were forestalled, counted from the rows.");
    buf_printf(&w->out, "till_deadlines_unaccounted %lld\n", (long long)totals.deadlines_overdue);
    metric_one(&w->out, "till_orders_oldest_kept_seconds", "gauge",
               "When the oldest order outside the archive was placed (Unix time; 0: there is none).",
               (unsigned long long)(totals.oldest_ms / 1000));
    metric_one(&w->out, "till_cases_open", "gauge", "Cases nobody has closed.", (unsigned long long)totals.cases_open);
    refunds_metrics(&totals, &w->out);
    metrics_of_engine(engine_stats(s->engine), &w->out);
    providers_metrics(s, &w->out);
    s->broker->ops->metrics(s->broker, &w->out);
    sweep_metrics(s->sweep, &w->out);
    archiver_metrics(s->archiver, &w->out);
    metrics_of_edge(s, &w->out);
    http_respond(x, 200, "text/plain; version=0.0.4", NULL, buf_view(&w->out));
}
