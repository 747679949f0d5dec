// SPDX-License-Identifier: Apache-2.0
// The client against a server that answers from a table and remembers what it was asked.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka needs the four above first
#include <cmocka.h>

#include "http/http.h"
#include "shell/client.h"
#include "shell/help.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ORDER_ID "ord_0123456789abcdefghjkmnpqrstvw"
#define ARGS_MAX 24
#define TEXT_MAX 65536

struct reply {
    const char *request; // "GET /v1/orders"
    int status;
    const char *body;
};

static const char ORDER[] =
    "{\"id\":\"" ORDER_ID "\",\"state\":\"awaiting_payment\",\"items\":[{\"sku\":\"A\",\"title\":\"\xe8\x8c\xb6 tea\","
    "\"quantity\":2,\"price\":995}],\"amount\":1990,\"currency\":\"CNY\",\"paid_amount\":0,\"refunded_amount\":0,"
    "\"created_at\":\"2026-11-23T02:05:00.123Z\",\"expires_at\":\"2026-11-23T02:10:00.123Z\",\"payment\":{\"id\":"
    "\"pay_1\",\"channel\":\"alipay\",\"state\":\"waiting\",\"out_trade_no\":\"x\",\"qr_code\":"
    "\"https://qr.alipay.com/abc\"},\"pay_url\":\"http://127.0.0.1:8080/pay/" ORDER_ID "\",\"policy\":\"reverse\","
    "\"version\":2}";
static const char SKU[] = "{\"sku\":\"A\",\"title\":\"evil\\u001b[31m\",\"price\":5,\"currency\":\"CNY\","
                          "\"available\":48,\"held\":2,\"sold\":0}";
#define EVENT(id, seq)                                                                                                 \
    "{\"id\":\"" id "\",\"type\":\"order.placed\",\"created_at\":\"2026-11-23T02:05:00.123Z\",\"order\":\"" ORDER_ID   \
    "\",\"sequence\":" seq ",\"data\":{}}"

static const struct reply REPLIES[] = {
    {"GET /v1/orders?state=paid&buyer=M%C3%BCller%20%26%20Co&limit=2", 200, NULL},
    {"GET /v1/orders/" ORDER_ID, 200, ORDER},
    {"GET /v1/orders/a%2F..%2Fb%3Fc", 404, "{\"status\":404,\"title\":\"Not Found\",\"code\":\"order_not_found\"}"},
    {"GET /v1/orders/html", 502, "<html>no</html>"},
    {"GET /v1/orders/paid", 200, "{\"id\":\"paid\",\"state\":\"paid\",\"pay_url\":\"http://x\"}"},
    {"GET /v1/orders/list", 200, "[1]"},
    {"GET /v1/orders/" ORDER_ID "/timeline", 200,
     "{\"data\":[{\"at\":\"2026-11-23T02:05:00.123Z\",\"kind\":\"state\",\"from\":\"placed\",\"to\":"
     "\"awaiting_payment\"},{\"at\":\"2026-11-23T02:05:30.123Z\",\"kind\":\"checkback\",\"n\":1,\"answer\":"
     "\"UNKNOWN\"},{\"at\":\"2026-11-23T02:05:30.140Z\",\"kind\":\"provider\",\"channel\":\"alipay\",\"method\":"
     "\"query\",\"outcome\":\"done\",\"ms\":17,\"detail\":\"WAIT_BUYER_PAY\"}]}"},
    {"POST /v1/orders", 201, ORDER},
    {"POST /v1/orders/" ORDER_ID "/cancel", 200, ORDER},
    {"POST /v1/orders/" ORDER_ID "/check", 200, ORDER},
    {"POST /v1/orders/" ORDER_ID "/refunds", 201,
     "{\"id\":\"ref_1\",\"amount\":500,\"currency\":\"CNY\",\"state\":\"pending\"}"},
    {"GET /v1/skus", 200, NULL},
    {"GET /v1/skus/A", 200, SKU},
    {"PUT /v1/skus/A", 201, SKU},
    {"POST /v1/skus/A/stock", 409,
     "{\"type\":\"about:blank\",\"title\":\"Conflict\",\"status\":409,\"code\":\"insufficient_stock\",\"detail\":"
     "\"only 1 of A\\u001b[2J is left\",\"pointer\":\"/add\"}"},
    {"GET /v1/events", 200, "{\"data\":[" EVENT("evt_1", "1") "],\"has_more\":false}"},
    {"GET /v1/events?wait=20&limit=3", 200,
     "{\"data\":[" EVENT("evt_1", "1") "," EVENT("evt_2", "2") "],\"has_more\":false}"},
    {"GET /v1/events?wait=20&limit=1&after=evt_2", 200, "{\"data\":[" EVENT("evt_3", "3") "],\"has_more\":true}"},
    {"GET /v1/events?wait=20&limit=1&after=evt_9", 200, "{\"data\":[],\"has_more\":false}"},
    {"GET /v1/events?wait=20&limit=1&after=gone", 410,
     "{\"status\":410,\"title\":\"Gone\",\"code\":\"event_gone\",\"detail\":\"begin anew\"}"},
};

static struct {
    struct http_server *server;
    char url[64];
    pthread_mutex_t lock;
    // of the newest request
    char request[256], body[1024], key[128], once[128];
    unsigned n_requests, n_empty_polls;
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER};

static char out_text[TEXT_MAX], err_text[TEXT_MAX];

static void keep(char *to, size_t room, struct str s)
{
    (void)snprintf(to, room, "%.*s", (int)s.n, s.n ? s.p : "");
}

static void answer(struct http_exchange *x, const struct reply *r)
{
    struct buf b = {0};
    bool is_empty_poll = strstr(r->request, "evt_9") != NULL;
    if (r->body)
        buf_z(&b, r->body);
    else // lists
        buf_printf(&b, "{\"data\":[%s],\"has_more\":true,\"next_cursor\":\"cur-2\"}",
                   strstr(r->request, "skus") ? SKU : ORDER);
    // The first empty poll is followed by news.
    if (is_empty_poll && fake.n_empty_polls++ > 0) {
        buf_clear(&b);
        buf_z(&b, "{\"data\":[" EVENT("evt_10", "4") "],\"has_more\":false}");
    }
    http_respond(x, r->status, "application/json", NULL, buf_view(&b));
    buf_free(&b);
}

static void on_request(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    const struct reply *found = NULL;
    (void)pthread_mutex_lock(&fake.lock);
    fake.n_requests++;
    (void)snprintf(fake.request, sizeof fake.request, "%.*s %.*s", (int)x->method_text.n, x->method_text.p,
                   (int)x->target.n, x->target.p);
    keep(fake.body, sizeof fake.body, x->body);
    keep(fake.key, sizeof fake.key, http_header(x, "Authorization"));
    keep(fake.once, sizeof fake.once, http_header(x, "Idempotency-Key"));
    for (size_t i = 0; i < sizeof REPLIES / sizeof REPLIES[0]; i++)
        if (strcmp(fake.request, REPLIES[i].request) == 0) found = &REPLIES[i];
    if (found)
        answer(x, found);
    else
        http_problem(x, 500, "not_in_the_table", fake.request, NULL);
    (void)pthread_mutex_unlock(&fake.lock);
}

static void on_closed(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    (void)x;
}

static int start(void **state)
{
    (void)state;
    char why[200];
    const struct http_options options = {.listen = "127.0.0.1:0", .n_workers = 1, .max_connections = 16};
    static const struct http_handler handler = {.request = on_request, .closed = on_closed};
    fake.server = http_server_new(&options, &handler, why);
    if (!fake.server || !http_server_start(fake.server)) return -1;
    (void)snprintf(fake.url, sizeof fake.url, "http://127.0.0.1:%u/", http_server_port(fake.server));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    http_server_stop(fake.server, 1000);
    http_server_free(fake.server);
    return 0;
}

static int redirect(FILE *stream, FILE *to)
{
    (void)fflush(stream);
    int kept = dup(fileno(stream));
    (void)dup2(fileno(to), fileno(stream));
    return kept;
}

static void restore(FILE *stream, int kept, FILE *from, char text[TEXT_MAX])
{
    (void)fflush(stream);
    (void)dup2(kept, fileno(stream));
    (void)close(kept);
    rewind(from);
    text[fread(text, 1, TEXT_MAX - 1, from)] = 0;
    (void)fclose(from);
}

// Runs the program with --url and these arguments, up to NULL; what it wrote is in out_text and err_text.
static int run(const char *noun, ...)
{
    char *argv[ARGS_MAX] = {(char *)(uintptr_t)noun};
    int argc = 1;
    va_list args;
    va_start(args, noun);
    for (char *arg = va_arg(args, char *); arg; arg = va_arg(args, char *)) {
        assert_true(argc < ARGS_MAX - 2);
        argv[argc++] = arg;
    }
    va_end(args);
    if (argc > 1) {
        argv[argc++] = "--url";
        argv[argc++] = fake.url;
    }
    FILE *out = tmpfile(), *err = tmpfile();
    assert_true(out && err);
    int kept_out = redirect(stdout, out), kept_err = redirect(stderr, err);
    int status = client_main(argc, argv);
    restore(stdout, kept_out, out, out_text);
    restore(stderr, kept_err, err, err_text);
    return status;
}

#define RUN(...) run(__VA_ARGS__, NULL)

static void assert_in(const char *text, const char *what)
{
    if (!strstr(text, what)) fail_msg("not found: %s\nin: %s", what, text);
}

static void lists_are_aligned_tables_and_their_cursor_is_talk(void **state)
{
    (void)state;
    assert_int_equal(RUN("order", "list", "--state", "paid", "--buyer", "M\xc3\xbcller & Co", "--limit", "2"), 0);
    assert_string_equal(out_text,
                        "ORDER                              STATE             REASON     AMOUNT  BUYER  CREATED"
                        "               EXPIRES\n" ORDER_ID
                        "  awaiting_payment          19.90 CNY         2026-11-23 02:05:00Z  2026-11-23 02:10:00Z\n");
    assert_string_equal(err_text, "there is more: --cursor cur-2\n");
}

static void an_order_is_shown_with_its_lines(void **state)
{
    (void)state;
    assert_int_equal(RUN("order", "show", ORDER_ID), 0);
    assert_in(out_text, "order       " ORDER_ID "\nstate       awaiting_payment\namount      19.90 CNY\n");
    assert_in(out_text, "payment     pay_1 alipay waiting\ncode        https://qr.alipay.com/abc\n");
    assert_in(out_text, "\nSKU  TITLE   QUANTITY     PRICE\nA    \xe8\x8c\xb6 tea         2  9.95 CNY\n");
    assert_string_equal(err_text, "");
}

static void json_is_passed_on_as_it_came(void **state)
{
    (void)state;
    char expected[sizeof ORDER + 1];
    (void)snprintf(expected, sizeof expected, "%s\n", ORDER);
    assert_int_equal(RUN("order", "show", ORDER_ID, "--json"), 0);
    assert_string_equal(out_text, expected);
}

static void a_timeline_says_what_happened(void **state)
{
    (void)state;
    assert_int_equal(RUN("order", "timeline", ORDER_ID), 0);
    assert_string_equal(out_text, "AT                        KIND       WHAT\n"
                                  "2026-11-23T02:05:00.123Z  state      placed -> awaiting_payment\n"
                                  "2026-11-23T02:05:30.123Z  checkback  #1 UNKNOWN\n"
                                  "2026-11-23T02:05:30.140Z  provider   alipay query done in 17 ms WAIT_BUYER_PAY\n");
}

static void placing_sends_what_was_asked_for(void **state)
{
    (void)state;
    assert_int_equal(RUN("order", "place", "--sku", "A:2", "--sku=b:c:1", "--sku", "D", "--channel", "alipay", "--key",
                         "sekret", "--idempotency-key", "k1", "--pay-within", "90s"),
                     0);
    assert_string_equal(fake.request, "POST /v1/orders");
    assert_string_equal(fake.body, "{\"items\":[{\"sku\":\"A\",\"quantity\":2},{\"sku\":\"b:c\",\"quantity\":1},"
                                   "{\"sku\":\"D\",\"quantity\":1}],\"channel\":\"alipay\",\"pay_within\":90}");
    assert_string_equal(fake.key, "Bearer sekret");
    assert_string_equal(fake.once, "k1");
    assert_int_equal(RUN("order", "place", "--amount", "1999", "--subject", "two \"teas\""), 0);
    assert_string_equal(fake.body, "{\"amount\":1999,\"subject\":\"two \\\"teas\\\"\"}");
    assert_string_equal(fake.key, "");
    assert_string_equal(fake.once, "");
}

static void the_environment_may_hold_the_key(void **state)
{
    (void)state;
    assert_int_equal(setenv("TILL_KEY", "from-env", 1), 0);
    assert_int_equal(RUN("sku", "show", "A"), 0);
    assert_string_equal(fake.key, "Bearer from-env");
    assert_int_equal(RUN("sku", "show", "A", "--key", "from-flag"), 0);
    assert_string_equal(fake.key, "Bearer from-flag");
    assert_int_equal(unsetenv("TILL_KEY"), 0);
}

static void each_action_asks_its_own_address(void **state)
{
    (void)state;
    assert_int_equal(RUN("order", "cancel", ORDER_ID, "--reason", "buyer"), 0);
    assert_string_equal(fake.body, "{\"reason\":\"buyer\"}");
    assert_int_equal(RUN("order", "check", ORDER_ID), 0);
    assert_string_equal(fake.body, "");
    assert_int_equal(RUN("order", "refund", ORDER_ID, "--amount", "500"), 0);
    assert_string_equal(fake.body, "{\"amount\":500}");
    assert_string_equal(out_text, "refund      ref_1\nstate       pending\namount      5.00 CNY\n");
    assert_int_equal(RUN("order", "refund", ORDER_ID), 0);
    assert_string_equal(fake.body, "{}");
    assert_int_equal(RUN("sku", "put", "A", "--title", "Tea", "--price", "995", "--stock", "0"), 0);
    assert_string_equal(fake.request, "PUT /v1/skus/A");
    assert_string_equal(fake.body, "{\"title\":\"Tea\",\"price\":995,\"stock\":0}");
    assert_int_equal(RUN("sku", "stock", "A", "--add", "-5"), 1);
    assert_string_equal(fake.body, "{\"add\":-5}");
    assert_int_equal(RUN("sku", "list"), 0);
    assert_int_equal(RUN("event", "list"), 0);
    assert_in(out_text, "evt_1\n");
}

static void nothing_steers_the_terminal(void **state)
{
    (void)state;
    assert_int_equal(RUN("sku", "show", "A"), 0);
    assert_string_equal(out_text, "SKU  TITLE         PRICE  AVAILABLE  HELD  SOLD\n"
                                  "A    evil?[31m  0.05 CNY         48     2     0\n");
    assert_int_equal(RUN("sku", "stock", "A", "--add", "1"), 1);
    assert_string_equal(out_text, "");
    assert_string_equal(err_text, "till: 409 insufficient_stock: only 1 of A?[2J is left (/add)\n");
}

static void what_the_server_refuses_is_one_line(void **state)
{
    (void)state;
    assert_int_equal(RUN("order", "show", "a/../b?c"), 1);
    assert_string_equal(err_text, "till: 404 order_not_found: Not Found\n");
    assert_int_equal(RUN("order", "show", "html"), 1);
    assert_string_equal(err_text, "till: 502: the server says no more\n");
    assert_int_equal(RUN("order", "show", "list"), 1);
    assert_string_equal(err_text, "till: the answer is not the JSON a Till server gives\n");
    assert_string_equal(out_text, "");
    assert_int_equal(RUN("order", "check", ORDER_ID, "--url", "http://127.0.0.1:1"), 0); // the last --url wins
}

static void nobody_there_is_told(void **state)
{
    (void)state;
    char url[64];
    (void)snprintf(url, sizeof url, "%s", fake.url);
    (void)snprintf(fake.url, sizeof fake.url, "http://127.0.0.1:1");
    int status = RUN("order", "list");
    (void)snprintf(fake.url, sizeof fake.url, "file:///etc/passwd");
    assert_int_equal(status, 1);
    assert_in(err_text, "till: no answer from http://127.0.0.1:1: ");
    status = RUN("order", "list");
    (void)snprintf(fake.url, sizeof fake.url, "%s", url);
    assert_int_equal(status, 2);
    assert_in(err_text, "till: --url: expected http://");
}

static void a_code_is_drawn_while_it_can_be_paid(void **state)
{
    (void)state;
    assert_int_equal(RUN("order", "qr", ORDER_ID), 0);
    assert_in(out_text, "\xe2\x96\x88\xe2\x96\x88\xe2\x96\x88\xe2\x96\x88");
    assert_null(strchr(out_text, '\033'));
    assert_string_equal(err_text, "https://qr.alipay.com/abc\n");
    assert_int_equal(RUN("order", "qr", "paid"), 1);
    assert_string_equal(out_text, "");
    assert_string_equal(err_text, "till: this order has no code that could be paid\n");
}

static void following_goes_on_from_the_last_event_up_to_its_limit(void **state)
{
    (void)state;
    assert_int_equal(RUN("event", "follow", "--limit", "3"), 0);
    assert_string_equal(out_text, "2026-11-23 02:05:00Z  order.placed            " ORDER_ID "    1  evt_1\n"
                                  "2026-11-23 02:05:00Z  order.placed            " ORDER_ID "    2  evt_2\n"
                                  "2026-11-23 02:05:00Z  order.placed            " ORDER_ID "    3  evt_3\n");
    unsigned before = fake.n_requests;
    assert_int_equal(RUN("event", "follow", "--limit", "1", "--after", "evt_9", "--json"), 0);
    assert_string_equal(out_text, EVENT("evt_10", "4") "\n");
    assert_int_equal(fake.n_requests - before, 2);
    assert_int_equal(RUN("event", "follow", "--limit", "1", "--after", "gone"), 1);
    assert_string_equal(err_text, "till: 410 event_gone: begin anew\n");
}

static void wrong_usage_asks_nothing_and_ends_with_2(void **state)
{
    (void)state;
    unsigned before = fake.n_requests;
    assert_int_equal(RUN("order"), 2);
    assert_string_equal(
        err_text, "till: order what? known: list show timeline place cancel check refund qr (see: till help order)\n");
    assert_int_equal(RUN("order", "paly"), 2);
    assert_in(err_text, "unknown action \"paly\"; known: list show");
    assert_int_equal(RUN("order", "show"), 2);
    assert_in(err_text, "till: order show needs: the id of an order (see: till help order)\n");
    assert_int_equal(RUN("order", "show", "a", "b"), 2);
    assert_int_equal(RUN("order", "show", "a", "--state", "paid"), 2);
    assert_in(err_text, "unknown flag \"--state\"");
    assert_int_equal(RUN("order", "show", "a\xff"), 2);
    assert_int_equal(RUN("order", "show", "a", "--key", "a\r\nX: y"), 2);
    assert_int_equal(RUN("order", "place"), 2);
    assert_int_equal(RUN("order", "place", "--sku", "A:2", "--cart", "c"), 2);
    assert_int_equal(RUN("order", "place", "--sku", "A:0"), 2);
    assert_int_equal(RUN("order", "place", "--sku", "A:1000001"), 2);
    assert_int_equal(RUN("order", "place", "--sku", ":2"), 2);
    assert_int_equal(RUN("order", "place", "--amount", "5"), 2);
    assert_int_equal(RUN("order", "place", "--amount", "19.99", "--subject", "x"), 2);
    assert_int_equal(RUN("order", "place", "--sku", "A", "--pay-within", "1500ms"), 2);
    assert_int_equal(RUN("sku", "put", "A", "--title", "x"), 2);
    assert_int_equal(RUN("sku", "stock", "A"), 2);
    assert_int_equal(RUN("order", "list", "--limit", "201"), 2);
    assert_string_equal(out_text, "");
    assert_int_equal(fake.n_requests, before);
}

// Exit status of the program with these words, up to NULL; what it wrote is in out_text and err_text.
static int help(const char *first, const char *second, const char *third)
{
    char *argv[] = {(char *)(uintptr_t)first, (char *)(uintptr_t)second, (char *)(uintptr_t)third};
    int argc = !first ? 0 : !second ? 1 : !third ? 2 : 3;
    FILE *out = tmpfile(), *err = tmpfile();
    assert_true(out && err);
    int kept_out = redirect(stdout, out), kept_err = redirect(stderr, err);
    int status = help_main(argc, argv);
    restore(stdout, kept_out, out, out_text);
    restore(stderr, kept_err, err, err_text);
    return status;
}

static void what_is_no_command_is_wrong_usage(void **state)
{
    (void)state;
    assert_int_equal(help(NULL, NULL, NULL), 2);
    assert_string_equal(out_text, "");
    assert_in(err_text, "usage: till COMMAND");
    assert_int_equal(help("dve", NULL, NULL), 2);
    assert_string_equal(err_text, "till: there is no command \"dve\" (see: till help)\n");
    assert_int_equal(help("help", "dve", NULL), 2);
    assert_int_equal(help("help", "dev", "--markdown"), 2);
    assert_int_equal(help("version", "x", NULL), 2);
    assert_string_equal(out_text, "");
    assert_int_equal(help("--version", NULL, NULL), 0);
    assert_memory_equal(out_text, "till ", 5);
    assert_int_equal(help("help", "config", NULL), 0);
    assert_in(out_text, "order.pay_within = 5m\n");
    assert_int_equal(help("help", "config", "--markdown"), 0);
    assert_memory_equal(out_text, "# Configuration\n", 16);
    assert_int_equal(help("help", "serve", NULL), 0);
    assert_in(out_text, "usage: till serve");
}

static void help_is_data_and_knows_every_command(void **state)
{
    (void)state;
    static const char *const commands[] = {"dev",   "serve", "sandbox", "audit",   "bench",  "sim",
                                           "order", "sku",   "event",   "version", "config", "help"};
    FILE *overview = tmpfile();
    assert_true(help_write(NULL, overview));
    rewind(overview);
    out_text[fread(out_text, 1, TEXT_MAX - 1, overview)] = 0;
    (void)fclose(overview);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "\n  %-9s ", commands[i]);
        assert_in(out_text, line);
        FILE *f = tmpfile();
        assert_true(help_write(commands[i], f));
        assert_true(ftell(f) > 20);
        (void)fclose(f);
    }
    assert_false(help_write("nothing", stdout));
    assert_int_equal(RUN("order", "place", "--help"), 0);
    assert_in(out_text, "usage: till order ACTION");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_aligned_tables_and_their_cursor_is_talk),
        cmocka_unit_test(an_order_is_shown_with_its_lines),
        cmocka_unit_test(json_is_passed_on_as_it_came),
        cmocka_unit_test(a_timeline_says_what_happened),
        cmocka_unit_test(placing_sends_what_was_asked_for),
        cmocka_unit_test(the_environment_may_hold_the_key),
        cmocka_unit_test(each_action_asks_its_own_address),
        cmocka_unit_test(nothing_steers_the_terminal),
        cmocka_unit_test(what_the_server_refuses_is_one_line),
        cmocka_unit_test(nobody_there_is_told),
        cmocka_unit_test(a_code_is_drawn_while_it_can_be_paid),
        cmocka_unit_test(following_goes_on_from_the_last_event_up_to_its_limit),
        cmocka_unit_test(wrong_usage_asks_nothing_and_ends_with_2),
        cmocka_unit_test(help_is_data_and_knows_every_command),
        cmocka_unit_test(what_is_no_command_is_wrong_usage),
    };
    (void)unsetenv("TILL_KEY");
    return cmocka_run_group_tests(tests, start, stop);
}
