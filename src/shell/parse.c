// SPDX-License-Identifier: Apache-2.0
// Bodies of requests into commands for the engine. Everything a stranger can get wrong about one request is refused
// here, with a code and a place; what depends on rows is the engine's to judge.
#include "base/json_in.h"
#include "shell/shell.h"
#include <stdio.h>
#include <stdlib.h>

#define PAY_WITHIN_MAX_S (15 * 86400)
#define METADATA_MAX     4096

bool name_is_good(struct str s)
{
    if (s.n == 0 || s.n > 64) return false;
    for (size_t i = 0; i < s.n;) {
        unsigned char c = (unsigned char)s.p[i];
        size_t n = str_utf8_len((struct str){s.p + i, s.n - i});
        if (n == 0 || c < 0x20 || c == 0x7f || c == '/' || (c == 0xc2 && (unsigned char)s.p[i + 1] < 0xa0))
            return false;
        i += n;
    }
    return true;
}

bool is_json_type(const struct http_exchange *x)
{
    struct str t = http_header(x, "Content-Type");
    // curl -d says it is a form when nothing else is said; refusing that would only annoy people who try things.
    const char *end = t.n ? memchr(t.p, ';', t.n) : NULL;
    if (end) t.n = (size_t)(end - t.p);
    while (t.n > 0 && t.p[t.n - 1] == ' ')
        t.n--;
    return t.n == 0 || str_eq(t, STR("application/json")) || str_eq(t, STR("application/x-www-form-urlencoded"));
}

// A body that is being read: opened, looked into, closed with a verdict.
struct body {
    json_t *root;
    struct json_fault fault;
    struct json_in in;
};

static bool fault_answer(struct http_exchange *x, const struct json_fault *f)
{
    http_problem(x, 400, f->code, f->detail, f->pointer);
    return false;
}

// An empty body is an empty object where the route allows it. False: answered with a problem.
static bool body_open(struct body *b, struct http_exchange *x, bool may_be_empty)
{
    *b = (struct body){0};
    if (!is_json_type(x)) {
        http_problem(x, 415, "unsupported_media_type", "the body is JSON: Content-Type: application/json", NULL);
        return false;
    }
    b->root = json_read_object(x->body.n == 0 && may_be_empty ? STR("{}") : x->body, &b->fault);
    b->in = (struct json_in){b->root, "", &b->fault};
    return b->root || fault_answer(x, &b->fault);
}

// Its first fault is answered, or that there was no memory to keep it. True: all is well.
static bool body_close(struct body *b, struct http_exchange *x, const struct arena *kept)
{
    json_decref(b->root);
    if (b->fault.code) return fault_answer(x, &b->fault);
    if (kept && kept->failed) http_problem(x, 503, "overloaded", "out of memory", NULL);
    return !kept || !kept->failed;
}

static void copy_into(struct arena *a, struct str *s)
{
    if (s->n) *s = arena_copy(a, *s);
}

static bool word_in(const struct json_in *in, const char *name, const char *(*name_of)(unsigned), unsigned from,
                    unsigned n, unsigned *out)
{
    struct str word;
    if (!json_in_str(in, name, false, 32, &word)) return false;
    for (unsigned i = from; i < n; i++) {
        if (!str_eq(word, str_of(name_of(i)))) continue;
        *out = i;
        return true;
    }
    json_in_fail(in, name, "unknown_word", "not one of the words this field takes");
    return false;
}

static const char *channel_word(unsigned i)
{
    return channel_name((enum channel_id)i);
}

static const char *policy_word(unsigned i)
{
    return policy_name((enum policy)i);
}

static const char *reason_word(unsigned i)
{
    return cancel_reason_name((enum cancel_reason)i);
}

static bool currency_is_good(struct str c)
{
    for (size_t i = 0; i < c.n; i++)
        if (c.p[i] < 'A' || c.p[i] > 'Z') return false;
    return c.n == 3;
}

// Absent: `out` stays as it is.
static void currency_in(const struct json_in *in, struct str *out)
{
    if (json_in_str(in, "currency", false, 16, out) && !currency_is_good(*out))
        json_in_fail(in, "currency", "invalid_currency", "three capital letters of ISO 4217");
}

// --- Placing

static bool line_merge(struct order_wish *wish, struct str sku, int64_t quantity)
{
    for (unsigned i = 0; i < wish->n_lines; i++) {
        if (!str_eq(wish->lines[i].sku, sku)) continue;
        wish->lines[i].quantity += quantity;
        return wish->lines[i].quantity <= LINE_QUANTITY_MAX;
    }
    wish->lines[wish->n_lines++] = (struct line){.sku = sku, .quantity = quantity};
    return true;
}

static void lines_in(const struct json_in *in, const json_t *items, struct order_wish *wish, struct arena *a)
{
    static const char *const known[] = {"sku", "quantity", NULL};
    size_t n = json_array_size(items);
    if (n == 0) json_in_fail(in, "items", "missing_field", "an order has at least one item");
    wish->lines = arena_take(a, (n + 1) * sizeof *wish->lines);
    for (size_t i = 0; i < n && wish->lines && !in->fault->code; i++) {
        char at[32];
        (void)snprintf(at, sizeof at, "/items/%zu", i);
        struct json_in item = {json_array_get(items, i), at, in->fault};
        if (!json_is_object(item.object)) {
            json_in_fail(in, "items", "wrong_type", "each item is an object");
            return;
        }
        struct str sku = {0};
        int64_t quantity = 0;
        json_in_only(&item, known);
        json_in_str(&item, "sku", true, 256, &sku);
        json_in_int(&item, "quantity", true, 1, LINE_QUANTITY_MAX, &quantity);
        if (in->fault->code) return;
        if (!name_is_good(sku))
            json_in_fail(&item, "sku", "invalid_sku", "1 to 64 bytes, no control characters, no slash");
        if (!line_merge(wish, arena_copy(a, sku), quantity))
            json_in_fail(&item, "quantity", "out_of_range", "together more than %d of one sku", LINE_QUANTITY_MAX);
    }
}

static void amount_in(const struct json_in *in, struct order_wish *wish)
{
    json_in_int(in, "amount", true, 1, AMOUNT_MAX_FEN, &wish->amount_fen);
    wish->text.currency = STR("CNY");
    currency_in(in, &wish->text.currency);
    if (json_in_str(in, "subject", true, 256, &wish->text.subject) && wish->text.subject.n == 0)
        json_in_fail(in, "subject", "out_of_range", "a subject is 1 to 256 bytes");
}

static void metadata_in(const struct json_in *in, struct order_wish *wish, struct arena *a)
{
    const json_t *metadata = NULL;
    if (!json_in_object(in, "metadata", false, &metadata)) return;
    char *text = json_dumps(metadata, JSON_COMPACT | JSON_PRESERVE_ORDER);
    if (text && strlen(text) <= METADATA_MAX)
        wish->text.metadata = arena_copy(a, str_of(text));
    else
        json_in_fail(in, "metadata", "too_long", "at most %d bytes", METADATA_MAX);
    free(text);
}

static void wish_in(const struct json_in *in, struct worker *w, struct api_request *q)
{
    static const char *const known[] = {"items",      "cart",     "channel",  "buyer",
                                        "pay_within", "policy",   "metadata", "merchant_order_no",
                                        "amount",     "currency", "subject",  NULL};
    struct order_wish *wish = &q->r.place;
    json_in_only(in, known);
    unsigned channel = CHANNEL_ANY, policy = w->shell->policy;
    const json_t *items = NULL;
    bool has_items = json_in_array(in, "items", false, ORDER_LINES_MAX, &items);
    bool has_cart = json_in_str(in, "cart", false, 256, &wish->cart);
    bool has_amount = json_object_get(in->object, "amount") != NULL;
    if (has_items + has_cart + has_amount > 1)
        json_in_fail(in, has_amount ? "amount" : "cart", "conflicting_fields", "give items, or a cart, or an amount");
    if (has_cart && !name_is_good(wish->cart))
        json_in_fail(in, "cart", "invalid_cart", "1 to 64 bytes, no control characters, no slash");
    if (!has_items && !has_cart && !has_amount)
        json_in_fail(in, "items", "missing_field", "items, a cart or an amount");
    if (has_items) lines_in(in, items, wish, &q->arena);
    if (has_amount)
        amount_in(in, wish);
    else if (json_object_get(in->object, "currency") || json_object_get(in->object, "subject"))
        json_in_fail(in, json_object_get(in->object, "currency") ? "currency" : "subject", "conflicting_fields",
                     "prices and titles come from the catalogue");
    word_in(in, "channel", channel_word, CHANNEL_ANY, N_CHANNELS, &channel);
    word_in(in, "policy", policy_word, POLICY_DELAY, N_POLICIES, &policy);
    json_in_str(in, "buyer", false, 128, &wish->text.buyer);
    int64_t seconds = 0;
    wish->pay_within_ms = w->shell->pay_within_ms;
    if (json_in_int(in, "pay_within", false, 1, PAY_WITHIN_MAX_S, &seconds)) wish->pay_within_ms = seconds * 1000;
    if (json_in_str(in, "merchant_order_no", false, 256, &wish->text.merchant_order_no) &&
        !name_is_good(wish->text.merchant_order_no))
        json_in_fail(in, "merchant_order_no", "out_of_range", "1 to 64 bytes, no control characters, no slash");
    metadata_in(in, wish, &q->arena);
    wish->channel = (enum channel_id)channel;
    wish->policy = (enum policy)policy;
    copy_into(&q->arena, &wish->cart);
    copy_into(&q->arena, &wish->text.buyer);
    copy_into(&q->arena, &wish->text.merchant_order_no);
    copy_into(&q->arena, &wish->text.currency);
    copy_into(&q->arena, &wish->text.subject);
}

bool parse_place(struct worker *w, struct http_exchange *x, struct api_request *q)
{
    struct body b;
    if (!body_open(&b, x, false)) return false;
    wish_in(&b.in, w, q);
    if (!body_close(&b, x, &q->arena)) return false;
    const struct order_wish *wish = &q->r.place;
    if (wish->channel == CHANNEL_ANY || w->shell->channels[wish->channel]) return true;
    http_problem(x, 422, "channel_unavailable", "this channel is not configured here", "/channel");
    return false;
}

// --- The others

bool parse_empty(struct http_exchange *x)
{
    static const char *const known[] = {NULL};
    struct body b;
    if (!body_open(&b, x, true)) return false;
    json_in_only(&b.in, known);
    return body_close(&b, x, NULL);
}

bool parse_cancel(struct http_exchange *x, struct api_request *q)
{
    static const char *const known[] = {"reason", "note", NULL};
    struct body b;
    unsigned reason = REASON_MERCHANT;
    if (!body_open(&b, x, true)) return false;
    json_in_only(&b.in, known);
    word_in(&b.in, "reason", reason_word, REASON_BUYER, REASON_MERCHANT + 1, &reason);
    json_in_str(&b.in, "note", false, 256, &q->r.note);
    copy_into(&q->arena, &q->r.note);
    q->r.cancel_reason = (enum cancel_reason)reason;
    return body_close(&b, x, &q->arena);
}

bool parse_refund(struct http_exchange *x, struct api_request *q)
{
    static const char *const known[] = {"amount", "reason", NULL};
    struct body b;
    if (!body_open(&b, x, true)) return false;
    json_in_only(&b.in, known);
    json_in_int(&b.in, "amount", false, 1, AMOUNT_MAX_FEN, &q->r.refund_amount_fen);
    json_in_str(&b.in, "reason", false, 256, &q->r.note);
    copy_into(&q->arena, &q->r.note);
    return body_close(&b, x, &q->arena);
}

// A channel by name; "any" is none that could be asked.
static void channel_in(const struct json_in *in, enum channel_id *channel)
{
    unsigned c = CHANNEL_ANY;
    if (!word_in(in, "channel", channel_word, CHANNEL_ANY + 1, N_CHANNELS, &c) && !in->fault->code)
        json_in_fail(in, "channel", "missing_field", "which channel");
    *channel = (enum channel_id)c;
}

bool parse_open(struct http_exchange *x, enum channel_id *channel)
{
    static const char *const known[] = {"channel", NULL};
    struct body b;
    if (!body_open(&b, x, false)) return false;
    json_in_only(&b.in, known);
    channel_in(&b.in, channel);
    return body_close(&b, x, NULL);
}

bool parse_pay(struct worker *w, struct http_exchange *x, struct api_request *q)
{
    if (!parse_open(x, &q->r.pay.channel)) return false;
    if (w->shell->channels[q->r.pay.channel]) return true;
    http_problem(x, 422, "channel_unavailable", "this channel is not configured here", "/channel");
    return false;
}

static const char *action_word(unsigned i)
{
    return i ? "accept" : "refund";
}

bool parse_resolve(struct http_exchange *x, struct api_request *q)
{
    static const char *const known[] = {"action", "note", NULL};
    struct body b;
    unsigned accepts = 0;
    if (!body_open(&b, x, false)) return false;
    json_in_only(&b.in, known);
    if (!word_in(&b.in, "action", action_word, 0, 2, &accepts) && !b.fault.code)
        json_in_fail(&b.in, "action", "missing_field", "accept or refund");
    json_in_str(&b.in, "note", false, 256, &q->r.note);
    copy_into(&q->arena, &q->r.note);
    q->r.resolve.accepts = accepts;
    return body_close(&b, x, &q->arena);
}

bool parse_cases_body(struct worker *w, struct http_exchange *x, struct api_request *q)
{
    struct body b;
    if (!body_open(&b, x, false)) return false;
    (void)parse_cases(w, b.root, &b.fault, q);
    return body_close(&b, x, &q->arena);
}

bool parse_case_close(struct http_exchange *x, struct api_request *q)
{
    static const char *const known[] = {"note", NULL};
    struct body b;
    if (!body_open(&b, x, false)) return false;
    json_in_only(&b.in, known);
    if (json_in_str(&b.in, "note", true, CASE_NOTE_MAX, &q->r.note) && q->r.note.n == 0)
        json_in_fail(&b.in, "note", "out_of_range", "a note is 1 to %d bytes: what became of it", CASE_NOTE_MAX);
    copy_into(&q->arena, &q->r.note);
    return body_close(&b, x, &q->arena);
}

bool parse_sku_put(struct http_exchange *x, struct str sku, struct api_request *q)
{
    static const char *const known[] = {"title", "price", "currency", "stock", NULL};
    struct body b;
    struct sku *k = &q->r.sku_put.sku;
    if (!body_open(&b, x, false)) return false;
    json_in_only(&b.in, known);
    if (json_in_str(&b.in, "title", true, 256, &k->title) && k->title.n == 0)
        json_in_fail(&b.in, "title", "out_of_range", "a title is 1 to 256 bytes");
    json_in_int(&b.in, "price", true, 1, AMOUNT_MAX_FEN, &k->price_fen);
    currency_in(&b.in, &k->currency);
    q->r.sku_put.with_stock = json_in_int(&b.in, "stock", false, 0, STOCK_MAX, &k->stock.available);
    k->sku = arena_copy(&q->arena, sku);
    copy_into(&q->arena, &k->title);
    copy_into(&q->arena, &k->currency);
    return body_close(&b, x, &q->arena);
}

bool parse_stock_add(struct http_exchange *x, struct str sku, struct api_request *q)
{
    static const char *const known[] = {"add", NULL};
    struct body b;
    if (!body_open(&b, x, false)) return false;
    json_in_only(&b.in, known);
    json_in_int(&b.in, "add", true, -STOCK_MAX, STOCK_MAX, &q->r.stock_add.add);
    q->r.stock_add.sku = arena_copy(&q->arena, sku);
    return body_close(&b, x, &q->arena);
}

bool parse_cart_put(struct http_exchange *x, struct str cart, struct str sku, struct api_request *q)
{
    static const char *const known[] = {"quantity", NULL};
    struct body b;
    if (!body_open(&b, x, false)) return false;
    json_in_only(&b.in, known);
    json_in_int(&b.in, "quantity", true, 0, LINE_QUANTITY_MAX, &q->r.cart.quantity);
    q->r.cart.cart = arena_copy(&q->arena, cart);
    q->r.cart.sku = arena_copy(&q->arena, sku);
    return body_close(&b, x, &q->arena);
}
