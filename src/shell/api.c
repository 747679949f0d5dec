// SPDX-License-Identifier: Apache-2.0
// The routes, and the way of a request to the engine and back.
#include "shell/shell.h"
#include <stdio.h>
#include <stdlib.h>

#define BACKLOG_MAX  16384 // requests the engine has not taken yet: beyond, the door says 503
#define SEGMENTS     6
#define PAY_CHECK_MS 3000

struct worker *worker_of(struct shell *s, const struct http_exchange *x)
{
    return &s->workers[http_worker_index(x->worker)];
}

void api_respond_json(struct http_exchange *x, int status, const struct buf *b)
{
    if (b->failed)
        http_problem(x, 503, "overloaded", "out of memory", NULL);
    else
        http_respond(x, status, "application/json", NULL, buf_view(b));
}

// --- To the engine

struct api_request *api_request_new(struct worker *w, struct http_exchange *x, enum request_kind kind)
{
    struct api_request *q = NULL;
    if (engine_backlog(w->shell->engine) < BACKLOG_MAX) q = calloc(1, sizeof *q);
    if (!q) {
        http_respond(x, 503, "application/problem+json", "Retry-After: 1\r\n",
                     STR("{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,"
                         "\"detail\":\"too much at once; try again\",\"code\":\"overloaded\"}"));
        return NULL;
    }
    q->r.kind = kind;
    q->x = x;
    q->worker = w;
    return q;
}

void api_request_free(struct api_request *q)
{
    buf_free(&q->r.reply.body);
    arena_free(&q->arena);
    free(q);
}

void api_request_send(struct api_request *q)
{
    struct worker *w = q->worker;
    q->x->user = q;
    q->r.next = NULL;
    if (w->last)
        w->last->next = &q->r;
    else
        w->first = &q->r;
    w->last = &q->r;
    w->n_collected++;
}

void api_round_end(void *shell, struct http_worker *hw)
{
    struct shell *s = shell;
    struct worker *w = &s->workers[http_worker_index(hw)];
    if (!w->first) return;
    engine_post(s->engine, w->first, w->last, w->n_collected);
    w->first = w->last = NULL;
    w->n_collected = 0;
}

// --- And back

void api_engine_reply(void *shell, struct request *r)
{
    (void)shell;
    struct api_request *q = (struct api_request *)r; // r is its first member
    struct worker *w = q->worker;
    q->next_answered = NULL;
    *w->answered_end = q;
    w->answered_end = &q->next_answered;
}

static void reply_notice(struct api_request *q)
{
    const struct channel_ops *ops = q->worker->shell->channels[q->r.notice.channel]->ops;
    bool ok = q->r.reply.code == NULL;
    http_respond(q->x, ok ? ops->ok_status : ops->fail_status, ops->reply_type, NULL,
                 str_of(ok ? ops->ok_body : ops->fail_body));
}

// The engine knows no archive: what it does not find may be there.
static void reply_archived(struct api_request *q)
{
    struct request *r = &q->r;
    bool concerns_an_order = r->kind == REQUEST_CANCEL || r->kind == REQUEST_CHECK || r->kind == REQUEST_PAY ||
                             r->kind == REQUEST_REFUND || r->kind == REQUEST_RESOLVE;
    if (!concerns_an_order || r->reply.status != 404 || !order_is_archived(q->worker, r->order_key)) return;
    r->reply.status = 410;
    r->reply.code = "order_archived";
    (void)snprintf(r->reply.detail, sizeof r->reply.detail, "the order is in the archive: it can only be read");
}

static void reply_problem_out(struct api_request *q)
{
    const struct reply *reply = &q->r.reply;
    reply_archived(q);
    struct buf *b = &q->worker->out;
    buf_clear(b);
    http_problem_json(b, reply->status, reply->code, reply->detail, reply->pointer);
    if (reply->sku[0] && !b->failed) {
        b->n--; // the closing bracket: one member more
        json_kz(b, "sku", reply->sku);
        json_close(b, '}');
    }
    http_respond(q->x, b->failed ? 503 : reply->status, "application/problem+json", NULL, buf_view(b));
}

static void reply_write(struct api_request *q)
{
    const struct reply *reply = &q->r.reply;
    if (q->r.kind == REQUEST_NOTICE)
        reply_notice(q);
    else if (cashier_reply(q))
        return;
    else if (q->answered_as == AS_PAY_STATE)
        read_pay_state(q->worker, q->x, q->r.order_key);
    else if (reply->code)
        reply_problem_out(q);
    else if (q->r.kind == REQUEST_CART_PUT || q->r.kind == REQUEST_CART_CLEAR)
        read_cart(q->worker, q->x, q->r.cart.cart);
    else if (q->r.kind == REQUEST_CASES)
        cases_reply(q);
    else if (q->r.kind == REQUEST_CASE_CLOSE)
        read_case(q->worker, q->x, q->r.case_key);
    else
        http_respond(q->x, reply->status, "application/json", reply->replayed ? "Idempotent-Replayed: true\r\n" : NULL,
                     buf_view(&reply->body));
}

static void deliver(void *arg)
{
    struct api_request *q = arg;
    while (q) {
        struct api_request *next = q->next_answered;
        if (q->x) reply_write(q);
        api_request_free(q);
        q = next;
    }
}

void api_engine_turn_end(void *shell)
{
    struct shell *s = shell;
    for (unsigned i = 0; i < s->n_workers; i++) {
        struct worker *w = &s->workers[i];
        if (!w->answered) continue;
        struct api_request *first = w->answered;
        // A worker that takes no posts any more may still hold the exchanges: what was for them stays, see
        // api_forget().
        if (!http_worker_post(w->http, deliver, first)) continue;
        w->answered = NULL;
        w->answered_end = &w->answered;
    }
}

void api_forget(struct shell *s)
{
    for (unsigned i = 0; s->workers && i < s->n_workers; i++) {
        while (s->workers[i].answered) {
            struct api_request *q = s->workers[i].answered;
            s->workers[i].answered = q->next_answered;
            api_request_free(q);
        }
    }
}

void api_request_closed(void *shell, struct http_exchange *x)
{
    struct shell *s = shell;
    struct worker *w = worker_of(s, x);
    if (feed_closed(w->feed, x) || (s->test_clock && test_clock_closed(s->test_clock, x))) return;
    if (x->user) ((struct api_request *)x->user)->x = NULL;
}

// --- Routes

struct route {
    struct worker *w;
    struct http_exchange *x;
    struct str seg[SEGMENTS];
    unsigned n;
    struct str key_name; // whose API key
};

static bool is(const struct route *rt, unsigned i, const char *word)
{
    return rt->n > i && str_eq(rt->seg[i], str_of(word));
}

static void split_path(struct route *rt, struct str path)
{
    size_t from = 1;
    while (from <= path.n) {
        const char *slash = memchr(path.p + from, '/', path.n - from);
        size_t end = slash ? (size_t)(slash - path.p) : path.n;
        if (rt->n == SEGMENTS) {
            rt->n++; // too long for any route
            return;
        }
        rt->seg[rt->n++] = (struct str){path.p + from, end - from};
        from = end + 1;
    }
}

static void not_found(struct http_exchange *x)
{
    http_problem(x, 404, "not_found", "there is nothing at this path", NULL);
}

static void wrong_method(struct http_exchange *x, const char *allow)
{
    struct buf b = {0};
    http_problem_json(&b, 405, "method_not_allowed", allow, NULL);
    struct buf header = {0};
    buf_printf(&header, "Allow: %s\r\n", allow);
    buf_char(&header, 0);
    http_respond(x, 405, "application/problem+json", header.failed ? NULL : header.p, buf_view(&b));
    buf_free(&b);
    buf_free(&header);
}

static bool is_get(const struct http_exchange *x)
{
    return x->method == HTTP_GET || x->method == HTTP_HEAD;
}

static bool may(struct route *rt, enum scope needs)
{
    enum scope has = auth_check(rt->w->shell->auth, http_header(rt->x, "Authorization"), &rt->key_name);
    if (has == SCOPE_NONE) {
        struct buf b = {0};
        http_problem_json(&b, 401, "unauthorized", "this needs Authorization: Bearer <key>", NULL);
        http_respond(rt->x, 401, "application/problem+json", "WWW-Authenticate: Bearer\r\n", buf_view(&b));
        buf_free(&b);
        return false;
    }
    if (scope_allows(has, needs)) return true;
    http_problem(rt->x, 403, "forbidden", "the key's scope does not allow this", NULL);
    return false;
}

// Idempotency-Key, scoped to API key, method and path.
static bool idem_read(struct route *rt, struct api_request *q)
{
    struct shell *s = rt->w->shell;
    struct str key = http_header(rt->x, "Idempotency-Key");
    struct str body[] = {STR("body"), rt->x->body};
    q->r.body_hash = id_hash(s->secret, body, 2);
    if (!key.p) return true;
    bool good = key.n >= 1 && key.n <= 255;
    for (size_t i = 0; i < key.n; i++)
        good = good && key.p[i] > 0x20 && (unsigned char)key.p[i] < 0x7f;
    if (!good) {
        http_problem(rt->x, 400, "invalid_idempotency_key", "1 to 255 visible ASCII characters", NULL);
        return false;
    }
    struct str scope[] = {rt->key_name, rt->x->method_text, rt->x->path, key};
    q->r.idem_scope = id_hash(s->secret, scope, 4);
    q->r.has_idem = true;
    return true;
}

static bool order_of(struct route *rt, struct str text, uint64_t *key)
{
    if (id_parse(rt->w->shell->secret, "ord_", text, key)) return true;
    http_problem(rt->x, 404, "unknown_order", "there is no such order", NULL);
    return false;
}

static bool name_of(struct route *rt, struct str s, const char *code)
{
    if (name_is_good(s)) return true;
    http_problem(rt->x, 400, code, "1 to 64 bytes, no control characters, no slash", NULL);
    return false;
}

// Sends what was parsed, or frees what was not.
static void send_if(bool parsed, struct api_request *q)
{
    if (parsed)
        api_request_send(q);
    else
        api_request_free(q);
}

static void route_sku(struct route *rt)
{
    struct http_exchange *x = rt->x;
    bool is_stock = rt->n == 4 && is(rt, 3, "stock");
    if (rt->n == 2) {
        if (!is_get(x)) return wrong_method(x, "GET, HEAD");
        if (may(rt, SCOPE_READ)) read_skus(rt->w, x);
        return;
    }
    if (rt->n > 3 && !is_stock) return not_found(x);
    if (is_stock ? x->method != HTTP_POST : !is_get(x) && x->method != HTTP_PUT)
        return wrong_method(x, is_stock ? "POST" : "GET, HEAD, PUT");
    if (!may(rt, is_get(x) ? SCOPE_READ : SCOPE_ADMIN) || !name_of(rt, rt->seg[2], "invalid_sku")) return;
    if (is_get(x)) return read_sku(rt->w, x, rt->seg[2]);
    struct api_request *q = api_request_new(rt->w, x, is_stock ? REQUEST_STOCK_ADD : REQUEST_SKU_PUT);
    if (!q) return;
    if (is_stock)
        send_if(idem_read(rt, q) && parse_stock_add(x, rt->seg[2], q), q);
    else
        send_if(parse_sku_put(x, rt->seg[2], q), q);
}

static void route_cart(struct route *rt)
{
    struct http_exchange *x = rt->x;
    bool is_item = rt->n == 5 && is(rt, 3, "items");
    if (rt->n != 3 && !is_item) return not_found(x);
    bool allowed = is_item ? x->method == HTTP_PUT : is_get(x) || x->method == HTTP_DELETE;
    if (!allowed) return wrong_method(x, is_item ? "PUT" : "GET, HEAD, DELETE");
    if (!may(rt, is_get(x) ? SCOPE_READ : SCOPE_ORDER) || !name_of(rt, rt->seg[2], "invalid_cart")) return;
    if (is_item && !name_of(rt, rt->seg[4], "invalid_sku")) return;
    if (is_get(x)) return read_cart(rt->w, x, rt->seg[2]);
    struct api_request *q = api_request_new(rt->w, x, is_item ? REQUEST_CART_PUT : REQUEST_CART_CLEAR);
    if (!q) return;
    if (is_item) return send_if(parse_cart_put(x, rt->seg[2], rt->seg[4], q), q);
    q->r.cart.cart = arena_copy(&q->arena, rt->seg[2]);
    api_request_send(q);
}

static void route_orders(struct route *rt)
{
    struct http_exchange *x = rt->x;
    if (is_get(x)) {
        if (may(rt, SCOPE_READ)) read_orders(rt->w, x);
        return;
    }
    if (x->method != HTTP_POST) return wrong_method(x, "GET, HEAD, POST");
    if (!may(rt, SCOPE_ORDER)) return;
    struct api_request *q = api_request_new(rt->w, x, REQUEST_PLACE);
    if (q) send_if(idem_read(rt, q) && parse_place(rt->w, x, q), q);
}

static void route_order_read(struct route *rt, uint64_t key)
{
    struct worker *w = rt->w;
    if (rt->n == 3) return read_order(w, rt->x, key);
    if (is(rt, 3, "timeline")) return read_timeline(w, rt->x, key);
    if (is(rt, 3, "refunds")) return read_refunds(w, rt->x, key);
    if (is(rt, 3, "payments")) return read_payments(w, rt->x, key);
    read_qr(w, rt->x, key, is(rt, 3, "qr.png"));
}

static bool parse_order_write(struct route *rt, struct api_request *q)
{
    switch ((int)q->r.kind) {
    case REQUEST_CANCEL: return parse_cancel(rt->x, q);
    case REQUEST_REFUND: return parse_refund(rt->x, q);
    case REQUEST_PAY: return parse_pay(rt->w, rt->x, q);
    case REQUEST_RESOLVE: return parse_resolve(rt->x, q);
    default: return parse_empty(rt->x);
    }
}

static void route_order_write(struct route *rt, uint64_t key)
{
    enum request_kind kind = rt->n == 6              ? REQUEST_RESOLVE
                             : is(rt, 3, "cancel")   ? REQUEST_CANCEL
                             : is(rt, 3, "refunds")  ? REQUEST_REFUND
                             : is(rt, 3, "payments") ? REQUEST_PAY
                                                     : REQUEST_CHECK;
    struct api_request *q = api_request_new(rt->w, rt->x, kind);
    if (!q) return;
    q->r.order_key = key;
    if (kind == REQUEST_RESOLVE && !id_parse(rt->w->shell->secret, "pay_", rt->seg[4], &q->r.resolve.payment_key)) {
        http_problem(rt->x, 404, "unknown_payment", "there is no such payment", NULL);
        api_request_free(q);
        return;
    }
    send_if(idem_read(rt, q) && parse_order_write(rt, q), q);
}

static void route_order(struct route *rt)
{
    struct http_exchange *x = rt->x;
    bool moves_money = is(rt, 3, "refunds") || rt->n == 6;
    bool reads = rt->n == 3 || (rt->n == 4 && (is(rt, 3, "timeline") || is(rt, 3, "refunds") || is(rt, 3, "payments") ||
                                               is(rt, 3, "qr.png") || is(rt, 3, "qr.svg")));
    bool writes =
        (rt->n == 4 && (is(rt, 3, "cancel") || is(rt, 3, "check") || is(rt, 3, "refunds") || is(rt, 3, "payments"))) ||
        (rt->n == 6 && is(rt, 3, "payments") && is(rt, 5, "resolve"));
    if (!reads && !writes) return not_found(x);
    if (!(reads && is_get(x)) && !(writes && x->method == HTTP_POST))
        return wrong_method(x, !reads ? "POST" : !writes ? "GET, HEAD" : "GET, HEAD, POST");
    uint64_t key;
    if (!may(rt, is_get(x) ? SCOPE_READ : moves_money ? SCOPE_REFUND : SCOPE_ORDER)) return;
    if (!order_of(rt, rt->seg[2], &key)) return;
    if (is_get(x))
        route_order_read(rt, key);
    else
        route_order_write(rt, key);
}

static void route_events(struct route *rt)
{
    bool streams = rt->n == 3 && is(rt, 2, "stream");
    if (rt->n > 2 && !streams) return not_found(rt->x);
    if (rt->x->method != HTTP_GET) return wrong_method(rt->x, "GET");
    if (!may(rt, SCOPE_READ)) return;
    if (streams)
        feed_stream(rt->w, rt->x);
    else
        feed_poll(rt->w, rt->x);
}

static void route_messages(struct route *rt)
{
    if (rt->x->method != HTTP_GET) return wrong_method(rt->x, "GET");
    if (may(rt, SCOPE_READ)) read_messages(rt->w, rt->x);
}

static void route_case(struct route *rt, uint64_t key)
{
    if (rt->n == 3) return read_case(rt->w, rt->x, key);
    struct api_request *q = api_request_new(rt->w, rt->x, REQUEST_CASE_CLOSE);
    if (!q) return;
    q->r.case_key = key;
    send_if(parse_case_close(rt->x, q), q);
}

// What repeats itself is one case, and closing is done once: neither needs an Idempotency-Key.
static void route_cases(struct route *rt)
{
    struct http_exchange *x = rt->x;
    bool closes = rt->n == 4 && is(rt, 3, "close");
    uint64_t key;
    if (rt->n > 3 && !closes) return not_found(x);
    if (closes ? x->method != HTTP_POST : !is_get(x) && (rt->n != 2 || x->method != HTTP_POST))
        return wrong_method(x, closes ? "POST" : rt->n == 2 ? "GET, HEAD, POST" : "GET, HEAD");
    if (!may(rt, is_get(x) ? SCOPE_READ : SCOPE_ADMIN)) return;
    if (rt->n > 2 && !id_parse(rt->w->shell->secret, "case_", rt->seg[2], &key))
        return http_problem(x, 404, "unknown_case", "there is no such case", NULL);
    if (rt->n > 2) return route_case(rt, key);
    if (is_get(x)) return read_cases(rt->w, x);
    struct api_request *q = api_request_new(rt->w, x, REQUEST_CASES);
    if (q) send_if(parse_cases_body(rt->w, x, q), q);
}

static void route_v1(struct route *rt)
{
    if (is(rt, 1, "skus")) return route_sku(rt);
    if (is(rt, 1, "carts")) return route_cart(rt);
    if (is(rt, 1, "orders") && rt->n == 2) return route_orders(rt);
    if (is(rt, 1, "orders")) return route_order(rt);
    if (is(rt, 1, "events")) return route_events(rt);
    if (is(rt, 1, "messages") && rt->n == 2) return route_messages(rt);
    if (is(rt, 1, "cases")) return route_cases(rt);
    not_found(rt->x);
}

// --- Notifications

static struct str notice_header(void *x, const char *name)
{
    return http_header_single(x, name);
}

static void route_notify(struct route *rt)
{
    struct http_exchange *x = rt->x;
    struct shell *s = rt->w->shell;
    struct channel *ch = NULL;
    for (unsigned c = CHANNEL_ANY + 1; c < N_CHANNELS; c++)
        if (rt->n == 2 && is(rt, 1, channel_name((enum channel_id)c))) ch = s->channels[c];
    if (!ch) return not_found(x);
    if (x->method != HTTP_POST) return wrong_method(x, "POST");
    struct api_request *q = api_request_new(rt->w, x, REQUEST_NOTICE);
    if (!q) return;
    struct notice_in in = {.body = x->body, .header = notice_header, .header_ctx = x};
    q->r.notice.channel = ch->ops->id;
    q->r.notice.verdict = ch->ops->judge(ch, &in, &q->r.notice.notice);
    if (q->r.notice.verdict == NOTICE_GOOD || q->r.notice.verdict == NOTICE_STRANGE) return api_request_send(q);
    atomic_fetch_add_explicit(&s->refused_notices[q->r.notice.verdict], 1, memory_order_relaxed);
    http_respond(x, ch->ops->refuse_status, ch->ops->reply_type, NULL, str_of(ch->ops->fail_body));
    api_request_free(q);
}

// --- The payment page, without a key: shows only what the buyer may see

// Whether the buyer's "I have paid" is passed on to the provider: at most every few seconds of one order, for anybody
// who has the page's address can say it.
static bool pay_check_may_ask(struct shell *s, uint64_t key)
{
    _Atomic int64_t *last_ms = &s->pay_checks_ms[key_place(key, PAY_CHECK_BITS)];
    int64_t now_ms = clock_real_ms(), was_ms = atomic_load(last_ms);
    return now_ms - was_ms >= PAY_CHECK_MS && atomic_compare_exchange_strong(last_ms, &was_ms, now_ms);
}

static void pay_check(struct route *rt, uint64_t key)
{
    if (!pay_check_may_ask(rt->w->shell, key)) return read_pay_state(rt->w, rt->x, key);
    struct api_request *q = api_request_new(rt->w, rt->x, REQUEST_CHECK);
    if (!q) return;
    q->r.order_key = key;
    q->answered_as = AS_PAY_STATE;
    api_request_send(q);
}

static void route_pay(struct route *rt)
{
    uint64_t key;
    if (rt->n < 2 || rt->n > 3) return not_found(rt->x);
    bool checks = is(rt, 2, "check"), opens = is(rt, 2, "open");
    if (checks || opens) {
        if (rt->x->method != HTTP_POST) return wrong_method(rt->x, "POST");
        if (!order_of(rt, rt->seg[1], &key)) return;
        return checks ? pay_check(rt, key) : cashier_open(rt->w, rt->x, key);
    }
    if (!is_get(rt->x)) return wrong_method(rt->x, "GET, HEAD");
    if (rt->n == 2) { // the page also for an order that is none: it says so
        bool is_order = id_parse(rt->w->shell->secret, "ord_", rt->seg[1], &key);
        if (!is_order || !cashier_serve(rt->w, rt->x, key)) page_pay(rt->w, rt->x);
        return;
    }
    if (!order_of(rt, rt->seg[1], &key)) return;
    if (is(rt, 2, "wechat")) return cashier_wechat(rt->w, rt->x, key);
    if (is(rt, 2, "qr.svg")) return read_qr(rt->w, rt->x, key, false);
    if (is(rt, 2, "state")) return read_pay_state(rt->w, rt->x, key);
    if (is(rt, 2, "events")) return feed_pay_stream(rt->w, rt->x, key);
    not_found(rt->x);
}

static void route_dev(struct route *rt)
{
    struct http_exchange *x = rt->x;
    if (!rt->w->shell->test_clock || rt->n != 2) return not_found(x);
    if (is(rt, 1, "noop")) {
        // What a placing costs without the placing: the same bytes in, as many out.
        static const char body[] = "{\"noop\":true,\"fill\":\""
                                   "0123456789012345678901234567890123456789012345678901234567890123456789"
                                   "0123456789012345678901234567890123456789012345678901234567890123456789"
                                   "0123456789012345678901234567890123456789012345678901234567890123456789"
                                   "0123456789012345678901234567890123456789012345678901234567890123456789"
                                   "0123456789012345678901234567890123456789012345678901234567890123456789"
                                   "0123456789012345678901234567890123456789012345678901234567890123456789"
                                   "\"}";
        if (x->method != HTTP_POST) return wrong_method(x, "POST");
        return http_respond(x, 201, "application/json", NULL, STR(body));
    }
    if (!is(rt, 1, "clock")) return not_found(x);
    if (is_get(x)) return test_clock_get(rt->w, x);
    if (x->method == HTTP_POST) return test_clock_post(rt->w, x);
    wrong_method(x, "GET, HEAD, POST");
}

void api_request_handle(void *shell, struct http_exchange *x)
{
    struct shell *s = shell;
    struct route rt = {.w = worker_of(s, x), .x = x};
    x->user = NULL;
    arena_reset(&rt.w->arena);
    buf_clear(&rt.w->out);
    atomic_fetch_add_explicit(&s->requests, 1, memory_order_relaxed);
    split_path(&rt, x->path);
    for (unsigned i = 1; i < rt.n && i < SEGMENTS; i++)
        if (rt.seg[i].n == 0) return not_found(x); // a slash too many
    if (is(&rt, 0, "v1")) return route_v1(&rt);
    if (is(&rt, 0, "notify")) return route_notify(&rt);
    if (is(&rt, 0, "pay")) return route_pay(&rt);
    if (is(&rt, 0, "dev")) return route_dev(&rt);
    if (is_get(x) && pages_serve(rt.w, x)) return;
    bool is_health = rt.n == 1 && (is(&rt, 0, "livez") || is(&rt, 0, "readyz") || is(&rt, 0, "metrics"));
    if (!is_health) return not_found(x);
    if (!is_get(x)) return wrong_method(x, "GET, HEAD");
    if (is(&rt, 0, "livez")) return http_respond(x, 200, "text/plain", NULL, STR("ok\n"));
    if (is(&rt, 0, "readyz")) return read_ready(rt.w, x);
    read_metrics(rt.w, x);
}
