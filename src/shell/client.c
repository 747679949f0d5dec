// SPDX-License-Identifier: Apache-2.0
#include "shell/client.h"
#include "base/mono.h"
#include "channel/qr.h"
#include "core/order.h"
#include "shell/client_http.h"
#include "shell/client_show.h"
#include "shell/flags.h"
#include "shell/help.h"
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SERVER_URL   "http://127.0.0.1:8080"
#define PAGE_MAX     200
#define POLL_WAIT_S  20
#define POLL_REST_MS 500 // between polls that answered at once and with nothing
#define PAY_MIN_MS   INT64_C(1000)
#define PAY_MAX_MS   INT64_C(1296000000) // 15 days
#define STOCK_MAX    INT64_C(1000000000000)
#define FLAGS_MAX    40
#define WORDS_MAX    1

struct wish_line {
    struct str sku;
    int64_t quantity;
};

// Everything any action may be told; numbers are -1, texts NULL where nothing was said.
struct options {
    const char *url, *key, *state, *buyer, *cursor, *after, *cart, *subject, *channel, *policy, *merchant_order_no;
    const char *reason, *note, *once, *title, *currency;
    bool json;
    int64_t limit, amount, price, stock, pay_within_ms;
    int64_t add; // INT64_MIN: not said
    struct wish_line lines[ORDER_LINES_MAX];
    unsigned n_lines;
};

struct action {
    const char *noun, *name;
    const char *word;  // what the one argument is, NULL: it takes none
    const char *flags; // those it knows, besides --url, --key and --json
    int (*run)(struct client *c, const struct options *o, const char *word);
};

// --- the command line

static bool add_line(void *ctx, const char *value)
{
    struct options *o = ctx;
    struct wish_line *line = &o->lines[o->n_lines];
    const char *colon = strrchr(value, ':');
    if (o->n_lines == ORDER_LINES_MAX || *value == 0 || colon == value) return false;
    *line = (struct wish_line){{value, colon ? (size_t)(colon - value) : strlen(value)}, 1};
    if (colon && (!number_parse(colon + 1, &line->quantity) || line->quantity < 1)) return false;
    if (line->quantity > LINE_QUANTITY_MAX) return false;
    o->n_lines++;
    return true;
}

// Whether `name` is one of the blank-separated words of `list`.
static bool is_listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = list; (at = strstr(at, name)); at += n)
        if ((at == list || at[-1] == ' ') && (at[n] == ' ' || at[n] == 0)) return true;
    return false;
}

#define TEXT_FLAG(flag, field)                                                                                         \
    {                                                                                                                  \
        .name = flag, .kind = FLAG_TEXT, .out = &o->field                                                              \
    }
#define NUMBER_FLAG(flag, field, low, high)                                                                            \
    {                                                                                                                  \
        .name = flag, .kind = FLAG_NUMBER, .out = &o->field, .min = low, .max = high                                   \
    }

// Exit status; 0: go on.
static int read_options(const struct action *a, int argc, char **argv, struct options *o, const char **word)
{
    const struct flag all[] = {
        TEXT_FLAG("--url", url),
        TEXT_FLAG("--key", key),
        {.name = "--json", .kind = FLAG_SWITCH, .out = &o->json},
        TEXT_FLAG("--state", state),
        TEXT_FLAG("--buyer", buyer),
        TEXT_FLAG("--cursor", cursor),
        TEXT_FLAG("--after", after),
        TEXT_FLAG("--cart", cart),
        TEXT_FLAG("--subject", subject),
        TEXT_FLAG("--channel", channel),
        TEXT_FLAG("--policy", policy),
        TEXT_FLAG("--merchant-order-no", merchant_order_no),
        TEXT_FLAG("--reason", reason),
        TEXT_FLAG("--note", note),
        TEXT_FLAG("--idempotency-key", once),
        TEXT_FLAG("--title", title),
        TEXT_FLAG("--currency", currency),
        NUMBER_FLAG("--limit", limit, 1, strcmp(a->name, "follow") == 0 ? INT64_MAX : PAGE_MAX),
        NUMBER_FLAG("--amount", amount, 1, AMOUNT_MAX_FEN),
        NUMBER_FLAG("--price", price, 1, AMOUNT_MAX_FEN),
        NUMBER_FLAG("--stock", stock, 0, STOCK_MAX),
        NUMBER_FLAG("--add", add, -STOCK_MAX, STOCK_MAX),
        {.name = "--pay-within", .kind = FLAG_DURATION, .out = &o->pay_within_ms, .min = PAY_MIN_MS, .max = PAY_MAX_MS},
        {.name = "--sku",
         .kind = FLAG_EACH,
         .each = add_line,
         .ctx = o,
         .allowed = "SKU:QUANTITY, at most 50 of them, each quantity from 1 to 1000000"},
    };
    struct flag known[FLAGS_MAX] = {0};
    const char *words[WORDS_MAX] = {NULL};
    char why[FLAG_WHY_SIZE];
    size_t n = 0;
    _Static_assert(sizeof all / sizeof all[0] < FLAGS_MAX, "known ends with an empty one");
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (i < 3 || is_listed(a->flags, all[i].name)) known[n++] = all[i];
    struct flag_input in = {
        .argc = argc, .argv = argv, .flags = known, .words = words, .words_max = a->word ? WORDS_MAX : 0};
    if (!flags_read(&in, why)) return usage_error(a->noun, why);
    if (a->word && (in.n_words == 0 || *words[0] == 0)) {
        (void)snprintf(why, sizeof why, "%s %s needs: %s", a->noun, a->name, a->word);
        return usage_error(a->noun, why);
    }
    *word = words[0];
    return 0;
}

// --- asking and answering

// Exit status of an action whose answer is a JSON object.
static int finish(const struct options *o, struct buf *answer, void (*show)(const json_t *answer, FILE *out))
{
    int status = 0;
    if (o->json) {
        (void)fwrite(answer->p, 1, answer->n, stdout);
        if (answer->n == 0 || answer->p[answer->n - 1] != '\n') (void)fputc('\n', stdout);
    } else {
        json_t *root = answer->n > 0 ? json_loadb(answer->p, answer->n, 0, NULL) : NULL;
        if (json_is_object(root)) {
            show(root, stdout);
        } else {
            (void)fprintf(stderr, "till: the answer is not the JSON a Till server gives\n");
            status = 1;
        }
        json_decref(root);
    }
    buf_free(answer);
    if (fflush(stdout) != 0 || ferror(stdout)) status = 1;
    return status;
}

static int ask_and_show(struct client *c, const struct options *o, const char *method, struct buf *path,
                        struct buf *body, void (*show)(const json_t *answer, FILE *out))
{
    struct buf answer = {0};
    buf_char(path, 0);
    bool good = !path->failed && client_ask(c, method, path->p, body, o->once, &answer);
    buf_free(path);
    if (body) buf_free(body);
    if (good) return finish(o, &answer, show);
    buf_free(&answer);
    return 1;
}

// "/v1/orders/" word tail
static struct buf path_of(struct client *c, const char *collection, const char *word, const char *tail)
{
    struct buf path = {0};
    buf_z(&path, collection);
    if (word) client_escape(c, word, &path);
    buf_z(&path, tail);
    return path;
}

static void add_query(struct client *c, struct buf *path, const char *name, const char *value)
{
    if (!value) return;
    bool is_first = path->n > 0 && !memchr(path->p, '?', path->n);
    buf_printf(path, "%c%s=", is_first ? '?' : '&', name);
    client_escape(c, value, path);
}

static void add_limit(struct client *c, struct buf *path, int64_t limit)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%lld", (long long)limit);
    add_query(c, path, "limit", limit > 0 ? text : NULL);
}

static void add_text(struct buf *body, const char *name, const char *value)
{
    if (value) json_kstr(body, name, str_of(value));
}

static const json_t *data_of(const json_t *answer)
{
    return json_object_get(answer, "data");
}

// What is left is told on stderr, so that the table alone goes down a pipe.
static void tell_more(const json_t *answer)
{
    const char *cursor = json_string_value(json_object_get(answer, "next_cursor"));
    if (!json_is_true(json_object_get(answer, "has_more"))) return;
    if (cursor)
        (void)fprintf(stderr, "there is more: --cursor %s\n", cursor);
    else
        (void)fprintf(stderr, "there is more: --after the last one\n");
}

// --- orders

static void show_order_page(const json_t *answer, FILE *out)
{
    show_orders(data_of(answer), out);
    tell_more(answer);
}

static void show_timeline_page(const json_t *answer, FILE *out)
{
    show_timeline(data_of(answer), out);
}

static int order_list(struct client *c, const struct options *o, const char *word)
{
    struct buf path = path_of(c, "/v1/orders", word, "");
    add_query(c, &path, "state", o->state);
    add_query(c, &path, "buyer", o->buyer);
    add_query(c, &path, "cursor", o->cursor);
    add_limit(c, &path, o->limit);
    return ask_and_show(c, o, "GET", &path, NULL, show_order_page);
}

static int order_show(struct client *c, const struct options *o, const char *word)
{
    struct buf path = path_of(c, "/v1/orders/", word, "");
    return ask_and_show(c, o, "GET", &path, NULL, show_order);
}

static int order_timeline(struct client *c, const struct options *o, const char *word)
{
    struct buf path = path_of(c, "/v1/orders/", word, "/timeline");
    return ask_and_show(c, o, "GET", &path, NULL, show_timeline_page);
}

static const char *place_mistake(const struct options *o)
{
    int ways = (o->n_lines > 0) + (o->cart != NULL) + (o->amount > 0);
    if (ways != 1) return "order place needs one of: --sku SKU:QUANTITY, --cart CART, --amount FEN with --subject TEXT";
    if ((o->amount > 0) != (o->subject != NULL)) return "--amount and --subject go together";
    if (o->currency && o->amount < 0) return "--currency goes with --amount: the catalogue has its own";
    if (o->pay_within_ms > 0 && o->pay_within_ms % 1000 != 0) return "--pay-within: whole seconds";
    return NULL;
}

static void write_items(const struct options *o, struct buf *body)
{
    if (o->n_lines == 0) return;
    json_key(body, "items");
    json_open(body, '[');
    for (unsigned i = 0; i < o->n_lines; i++) {
        json_open(body, '{');
        json_kstr(body, "sku", o->lines[i].sku);
        json_ki64(body, "quantity", o->lines[i].quantity);
        json_close(body, '}');
    }
    json_close(body, ']');
}

static int order_place(struct client *c, const struct options *o, const char *word)
{
    const char *mistake = place_mistake(o);
    struct buf path = {0}, body = {0};
    (void)word;
    if (mistake) return usage_error("order", mistake);
    json_open(&body, '{');
    write_items(o, &body);
    add_text(&body, "cart", o->cart);
    if (o->amount > 0) json_ki64(&body, "amount", o->amount);
    add_text(&body, "currency", o->currency);
    add_text(&body, "subject", o->subject);
    add_text(&body, "channel", o->channel);
    add_text(&body, "buyer", o->buyer);
    if (o->pay_within_ms > 0) json_ki64(&body, "pay_within", o->pay_within_ms / 1000);
    add_text(&body, "policy", o->policy);
    add_text(&body, "merchant_order_no", o->merchant_order_no);
    json_close(&body, '}');
    buf_z(&path, "/v1/orders");
    return ask_and_show(c, o, "POST", &path, &body, show_order);
}

static int order_cancel(struct client *c, const struct options *o, const char *word)
{
    struct buf path = path_of(c, "/v1/orders/", word, "/cancel"), body = {0};
    json_open(&body, '{');
    add_text(&body, "reason", o->reason);
    add_text(&body, "note", o->note);
    json_close(&body, '}');
    return ask_and_show(c, o, "POST", &path, &body, show_order);
}

static int order_check(struct client *c, const struct options *o, const char *word)
{
    struct buf path = path_of(c, "/v1/orders/", word, "/check");
    return ask_and_show(c, o, "POST", &path, NULL, show_order);
}

static int order_refund(struct client *c, const struct options *o, const char *word)
{
    struct buf path = path_of(c, "/v1/orders/", word, "/refunds"), body = {0};
    json_open(&body, '{');
    if (o->amount > 0) json_ki64(&body, "amount", o->amount);
    add_text(&body, "reason", o->reason);
    json_close(&body, '}');
    return ask_and_show(c, o, "POST", &path, &body, show_refund);
}

// The provider's code, or for an order of any channel the payment page, while there is something to pay.
static const char *code_of(const json_t *order)
{
    const char *state = json_string_value(json_object_get(order, "state"));
    const json_t *payment = json_object_get(order, "payment");
    const char *code = json_string_value(json_object_get(payment, "qr_code"));
    if (!state || (strcmp(state, "awaiting_payment") != 0 && strcmp(state, "placed") != 0)) return NULL;
    return code || payment ? code : json_string_value(json_object_get(order, "pay_url"));
}

static void draw_code(const json_t *order, FILE *out)
{
    const char *code = code_of(order);
    struct buf picture = {0};
    if (code && qr_terminal(str_of(code), colour_is_wanted(out), &picture)) (void)fwrite(picture.p, 1, picture.n, out);
    buf_free(&picture);
}

static int order_qr(struct client *c, const struct options *o, const char *word)
{
    struct buf path = path_of(c, "/v1/orders/", word, ""), answer = {0};
    buf_char(&path, 0);
    bool good = !path.failed && client_ask(c, "GET", path.p, NULL, NULL, &answer);
    json_t *order = good ? json_loadb(answer.p ? answer.p : "", answer.n, 0, NULL) : NULL;
    const char *code = code_of(order);
    if (good && !code) (void)fprintf(stderr, "till: this order has no code that could be paid\n");
    int status = code ? finish(o, &answer, draw_code) : 1;
    if (code && !o->json) (void)fprintf(stderr, "%s\n", code);
    json_decref(order);
    buf_free(&answer);
    buf_free(&path);
    return status;
}

// --- the catalogue

static void show_sku_page(const json_t *answer, FILE *out)
{
    show_skus(data_of(answer), out);
    tell_more(answer);
}

static void show_sku(const json_t *answer, FILE *out)
{
    json_t *one = json_pack("[O]", answer);
    show_skus(one, out);
    json_decref(one);
}

static int sku_list(struct client *c, const struct options *o, const char *word)
{
    struct buf path = path_of(c, "/v1/skus", word, "");
    add_query(c, &path, "cursor", o->cursor);
    add_limit(c, &path, o->limit);
    return ask_and_show(c, o, "GET", &path, NULL, show_sku_page);
}

static int sku_show(struct client *c, const struct options *o, const char *word)
{
    struct buf path = path_of(c, "/v1/skus/", word, "");
    return ask_and_show(c, o, "GET", &path, NULL, show_sku);
}

static int sku_put(struct client *c, const struct options *o, const char *word)
{
    if (!o->title || o->price < 0) return usage_error("sku", "sku put needs --title TEXT and --price FEN");
    struct buf path = path_of(c, "/v1/skus/", word, ""), body = {0};
    json_open(&body, '{');
    add_text(&body, "title", o->title);
    json_ki64(&body, "price", o->price);
    add_text(&body, "currency", o->currency);
    if (o->stock >= 0) json_ki64(&body, "stock", o->stock);
    json_close(&body, '}');
    return ask_and_show(c, o, "PUT", &path, &body, show_sku);
}

static int sku_stock(struct client *c, const struct options *o, const char *word)
{
    if (o->add == INT64_MIN) return usage_error("sku", "sku stock needs --add N");
    struct buf path = path_of(c, "/v1/skus/", word, "/stock"), body = {0};
    json_open(&body, '{');
    json_ki64(&body, "add", o->add);
    json_close(&body, '}');
    return ask_and_show(c, o, "POST", &path, &body, show_sku);
}

// --- events

static void show_event_page(const json_t *answer, FILE *out)
{
    show_events(data_of(answer), out);
    tell_more(answer);
}

static int event_list(struct client *c, const struct options *o, const char *word)
{
    struct buf path = path_of(c, "/v1/events", word, "");
    add_query(c, &path, "after", o->after);
    add_limit(c, &path, o->limit);
    return ask_and_show(c, o, "GET", &path, NULL, show_event_page);
}

// Shows what came, at most `left`; `after` becomes the last one's id. -1: that is no answer of ours.
static int64_t follow_page(const struct options *o, const struct buf *answer, int64_t left, struct buf *after)
{
    json_t *root = answer->n > 0 ? json_loadb(answer->p, answer->n, 0, NULL) : NULL;
    const json_t *data = data_of(root);
    int64_t n = json_is_array(data) ? 0 : -1;
    for (size_t i = 0; n >= 0 && n < left && i < json_array_size(data); i++, n++) {
        const json_t *event = json_array_get(data, i);
        const json_t *id = json_object_get(event, "id");
        if (!json_is_string(id)) {
            n = -1;
            break;
        }
        if (o->json) {
            (void)json_dumpf(event, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
            (void)fputc('\n', stdout);
        } else {
            show_event(event, stdout);
        }
        buf_clear(after);
        buf_str(after, (struct str){json_string_value(id), json_string_length(id)});
        buf_char(after, 0);
    }
    json_decref(root);
    if (n < 0) (void)fprintf(stderr, "till: the answer is not the JSON a Till server gives\n");
    return n;
}

// One long poll. How many events came, or -1.
static int64_t follow_once(struct client *c, const struct options *o, int64_t left, struct buf *after)
{
    struct buf path = {0}, answer = {0};
    int64_t began_ms = mono_ms(), n = -1;
    buf_printf(&path, "/v1/events?wait=%d", POLL_WAIT_S);
    add_limit(c, &path, left < PAGE_MAX ? left : PAGE_MAX);
    add_query(c, &path, "after", after->n > 0 ? after->p : NULL);
    buf_char(&path, 0);
    if (!path.failed && client_ask(c, "GET", path.p, NULL, NULL, &answer)) n = follow_page(o, &answer, left, after);
    buf_free(&path);
    buf_free(&answer);
    if (fflush(stdout) != 0 || ferror(stdout) || after->failed) n = -1;
    // A server that does not wait must not make this a busy loop.
    if (n == 0 && mono_ms() - began_ms < POLL_REST_MS) (void)usleep(POLL_REST_MS * 1000);
    return n;
}

static int event_follow(struct client *c, const struct options *o, const char *word)
{
    struct buf after = {0};
    int64_t left = o->limit > 0 ? o->limit : INT64_MAX, n = 0;
    (void)word;
    if (o->after) {
        buf_z(&after, o->after);
        buf_char(&after, 0);
    }
    while (left > 0 && (n = follow_once(c, o, left, &after)) >= 0)
        left -= n;
    buf_free(&after);
    return n < 0 ? 1 : 0;
}

// --- which one

static const struct action ACTIONS[] = {
    {"order", "list", NULL, "--state --buyer --limit --cursor", order_list},
    {"order", "show", "the id of an order", "", order_show},
    {"order", "timeline", "the id of an order", "", order_timeline},
    {"order", "place", NULL,
     "--sku --cart --amount --currency --subject --channel --buyer --pay-within --policy --merchant-order-no "
     "--idempotency-key",
     order_place},
    {"order", "cancel", "the id of an order", "--reason --note --idempotency-key", order_cancel},
    {"order", "check", "the id of an order", "", order_check},
    {"order", "refund", "the id of an order", "--amount --reason --idempotency-key", order_refund},
    {"order", "qr", "the id of an order", "", order_qr},
    {"sku", "list", NULL, "--limit --cursor", sku_list},
    {"sku", "show", "a SKU", "", sku_show},
    {"sku", "put", "a SKU", "--title --price --stock --currency", sku_put},
    {"sku", "stock", "a SKU", "--add --idempotency-key", sku_stock},
    {"event", "list", NULL, "--after --limit", event_list},
    {"event", "follow", NULL, "--after --limit", event_follow},
};

static const struct action *find_action(const char *noun, const char *name)
{
    for (size_t i = 0; i < sizeof ACTIONS / sizeof ACTIONS[0]; i++)
        if (strcmp(ACTIONS[i].noun, noun) == 0 && strcmp(ACTIONS[i].name, name) == 0) return &ACTIONS[i];
    return NULL;
}

static int refuse_action(const char *noun, const char *name)
{
    char line[FLAG_WHY_SIZE], shown[SHOWN_SIZE];
    size_t n = name ? (size_t)snprintf(line, sizeof line, "unknown action %s; known:", value_shown(name, shown))
                    : (size_t)snprintf(line, sizeof line, "%s what? known:", noun);
    for (size_t i = 0; i < sizeof ACTIONS / sizeof ACTIONS[0] && n < sizeof line; i++)
        if (strcmp(ACTIONS[i].noun, noun) == 0)
            n += (size_t)snprintf(line + n, sizeof line - n, " %s", ACTIONS[i].name);
    return usage_error(noun, line);
}

// Text that goes into JSON and headers: UTF-8, no control characters.
static bool is_clean(const char *text)
{
    for (struct str s = str_of(text); s.n > 0;) {
        size_t n = str_utf8_len(s);
        if (n == 0 || (unsigned char)s.p[0] < 0x20 || s.p[0] == 0x7f) return false;
        s.p += n;
        s.n -= n;
    }
    return true;
}

int client_main(int argc, char **argv)
{
    const char *noun = argc > 0 ? argv[0] : "", *word = NULL;
    struct options o = {.url = SERVER_URL, .limit = -1, .amount = -1, .price = -1, .stock = -1, .add = INT64_MIN};
    struct client c;
    if (argc > 1 && help_is_asked(argc - 1, argv + 1)) return help_write(noun, stdout) ? 0 : 2;
    const struct action *a = argc > 1 ? find_action(noun, argv[1]) : NULL;
    if (!a) return refuse_action(noun, argc > 1 ? argv[1] : NULL);
    for (int i = 2; i < argc; i++)
        if (!is_clean(argv[i])) return usage_error(noun, "arguments are UTF-8 text without control characters");
    int status = read_options(a, argc - 2, argv + 2, &o, &word);
    if (status) return status;
    if (!o.key) o.key = getenv("TILL_KEY");
    if (o.key && *o.key == 0) o.key = NULL;
    if (o.key && !is_clean(o.key)) return usage_error(noun, "TILL_KEY is not a key");
    if (!client_open(&c, o.url, o.key)) return 2;
    status = a->run(&c, &o, word);
    client_close(&c);
    return status;
}
