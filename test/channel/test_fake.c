// SPDX-License-Identifier: Apache-2.0
// The bank transfer for tests: what goes out, what each answer proves, what a notification proves, what opens it. The
// tables are the specification.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka needs the four above first
#include <cmocka.h>

#include "channel/fake.c"
#include <unistd.h>

#define PAYMENT_KEY UINT64_C(0x0c5a1b2c3d4e5f60)
#define NUMBER_KEY  UINT64_C(0x0c5a1b2c3d4e5f99)
#define PAYMENT_NO  "0rpgv5gymwqv0kj329159139epk9c" // their texts under the secret below
#define NUMBER_NO   "0rpgv5gymwqwsgpptafkdgt24tk9e"
#define ACCOUNT     "6200-0000-0000-0017"

static const struct fake FAKE = {
    .base_url = "http://127.0.0.1:1/fake",
    .notify_url = "http://127.0.0.1:2/notify/fake",
    .account = ACCOUNT,
    .key = "s3cret",
    .secret = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
};

static struct call call_of(enum call_method method)
{
    bool of_refund = method == CALL_REFUND || method == CALL_REFUND_QUERY;
    return (struct call){.channel = CHANNEL_FAKE,
                         .method = method,
                         .payment_key = PAYMENT_KEY,
                         .number_key = NUMBER_KEY,
                         .amount_fen = of_refund ? 500 : 1234,
                         .total_fen = 1234,
                         .expires_ms = 1795399500000,
                         .provider_trade_no = "62001"};
}

// --- What is asked

static void every_method_is_asked_and_signed(void **state)
{
    static const struct {
        enum call_method method;
        const char *path, *body;
    } rows[] = {
        {CALL_CREATE, "create",
         "{\"number\":\"" PAYMENT_NO "\",\"account\":\"" ACCOUNT "\",\"amount\":1234,\"expires_ms\":1795399500000,"
         "\"notify_url\":\"http://127.0.0.1:2/notify/fake\"}"},
        {CALL_QUERY, "query", "{\"number\":\"" PAYMENT_NO "\",\"account\":\"" ACCOUNT "\"}"},
        {CALL_CLOSE, "close", "{\"number\":\"" PAYMENT_NO "\",\"account\":\"" ACCOUNT "\"}"},
        {CALL_REFUND, "refund",
         "{\"number\":\"" PAYMENT_NO "\",\"account\":\"" ACCOUNT
         "\",\"amount\":500,\"trade_no\":\"62001\",\"refund_number\":\"" NUMBER_NO "\"}"},
        {CALL_REFUND_QUERY, "refund_query",
         "{\"number\":\"" PAYMENT_NO "\",\"account\":\"" ACCOUNT
         "\",\"amount\":500,\"trade_no\":\"62001\",\"refund_number\":\"" NUMBER_NO "\"}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct call call = call_of(rows[i].method);
        struct call_request out = {0};
        char url[64], headers[160], mac[MAC_TEXT];
        assert_true(fake_build((void *)&FAKE, &call, STR("tea"), 0, &out));
        (void)snprintf(url, sizeof url, "http://127.0.0.1:1/fake/%s", rows[i].path);
        assert_true(sign(&FAKE, "request", str_of(rows[i].body), mac));
        (void)snprintf(headers, sizeof headers, "Content-Type: application/json\nFake-Signature: %s\n", mac);
        assert_true(out.is_post && str_eq(buf_view(&out.url), str_of(url)));
        assert_true(str_eq(buf_view(&out.body), str_of(rows[i].body)));
        assert_true(str_eq(buf_view(&out.headers), str_of(headers)));
        buf_free(&out.url);
        buf_free(&out.body);
        buf_free(&out.headers);
    }
}

static void cancel_is_never_sent(void **state)
{
    struct call call = call_of(CALL_CANCEL);
    struct call_request out = {0};
    (void)state;
    assert_false(channel_traits(CHANNEL_FAKE)->has_cancel);
    assert_false(fake_build((void *)&FAKE, &call, STR(""), 0, &out));
}

// --- What an answer proves

struct row {
    enum call_method method;
    int status;
    const char *body;
    enum outcome outcome;
    enum fact fact;
    int64_t captured_fen;
    const char *detail;
};

static struct buf text;

// `what`: as what it is signed; NULL: not at all.
static struct answer judge(const struct row *r, const char *what)
{
    struct call call = call_of(r->method);
    struct answer a = {.payment_key = PAYMENT_KEY, .channel = CHANNEL_FAKE, .method = r->method};
    char mac[MAC_TEXT] = "", headers[128] = "HTTP/1.1 200 OK\r\n";
    // A block of its own size, so that reading beyond the end is seen by the sanitizer.
    size_t n = strlen(r->body);
    char *exact = n ? memcpy(test_malloc(n), r->body, n) : NULL;
    if (what) {
        assert_true(sign(&FAKE, what, str_of(r->body), mac));
        (void)snprintf(headers, sizeof headers, "HTTP/1.1 200 OK\r\nfake-signature: %s\r\n", mac);
    }
    struct call_reply reply = {.status = r->status, .headers = str_of(headers), .body = {exact, n}};
    buf_clear(&text);
    fake_judge((void *)&FAKE, &call, &reply, &a, &text);
    test_free(exact);
    return a;
}

static void check(const struct row *r, struct answer a)
{
    if (a.outcome != r->outcome || a.fact != r->fact || a.captured_fen != r->captured_fen ||
        strcmp(a.detail, r->detail) != 0)
        fail_msg("%s %d %s\n got %s/%s %lld \"%s\"\nwant %s/%s %lld \"%s\"", call_method_name(r->method), r->status,
                 r->body, outcome_name(a.outcome), fact_name(a.fact), (long long)a.captured_fen, a.detail,
                 outcome_name(r->outcome), fact_name(r->fact), (long long)r->captured_fen, r->detail);
}

#define D OUTCOME_DONE
#define R OUTCOME_REFUSED
#define U OUTCOME_UNKNOWN

#define SAID(method, result, more)                                                                                     \
    "{\"method\":\"" method "\",\"number\":\"" PAYMENT_NO "\",\"result\":\"" result "\"" more "}"
#define BACK(method, result, more) SAID(method, result, ",\"refund_number\":\"" NUMBER_NO "\"" more)
#define CAME                       ",\"received\":1234,\"trade_no\":\"62001\""

#define DIGITS_65 "01234567890123456789012345678901234567890123456789012345678901234"

static const struct row ROWS[] = {
    {CALL_CREATE, 200, SAID("create", "expected", ""), D, FACT_CODE, 0, "expected"},
    {CALL_CREATE, 200, SAID("create", "refused", ",\"why\":\"other_terms\""), R, FACT_NONE, 0, "other_terms"},
    // it has a trade already: an earlier request arrived, and what became of it is asked about
    {CALL_CREATE, 200, SAID("create", "received", CAME), U, FACT_NONE, 0, "strange result"},
    {CALL_CREATE, 200, SAID("create", "closed", ""), U, FACT_NONE, 0, "strange result"},
    {CALL_CREATE, 200, SAID("create", "EXPECTED", ""), U, FACT_NONE, 0, "strange result"},

    {CALL_QUERY, 200, SAID("query", "expected", ""), D, FACT_WAITING, 0, "expected"},
    {CALL_QUERY, 200, SAID("query", "received", CAME), D, FACT_PAID, 1234, "received"},
    {CALL_QUERY, 200, SAID("query", "received", ",\"received\":1,\"trade_no\":\"x\""), D, FACT_PAID, 1, "received"},
    {CALL_QUERY, 200, SAID("query", "received", ",\"received\":1"), U, FACT_NONE, 0, "bad trade_no"},
    {CALL_QUERY, 200, SAID("query", "received", ",\"received\":1,\"trade_no\":\"\""), U, FACT_NONE, 0, "bad trade_no"},
    {CALL_QUERY, 200, SAID("query", "received", ",\"received\":1,\"trade_no\":1"), U, FACT_NONE, 0, "bad trade_no"},
    {CALL_QUERY, 200, SAID("query", "received", ",\"received\":1,\"trade_no\":\"a b\""), U, FACT_NONE, 0,
     "bad trade_no"},
    {CALL_QUERY, 200, SAID("query", "received", ",\"received\":1,\"trade_no\":\"" DIGITS_65 "\""), U, FACT_NONE, 0,
     "bad trade_no"},
    {CALL_QUERY, 200, SAID("query", "received", ""), U, FACT_NONE, 0, "bad amount"},
    {CALL_QUERY, 200, SAID("query", "received", ",\"received\":0"), U, FACT_NONE, 0, "bad amount"},
    {CALL_QUERY, 200, SAID("query", "received", ",\"received\":-1"), U, FACT_NONE, 0, "bad amount"},
    {CALL_QUERY, 200, SAID("query", "received", ",\"received\":12.0"), U, FACT_NONE, 0, "bad amount"},
    {CALL_QUERY, 200, SAID("query", "received", ",\"received\":\"1234\""), U, FACT_NONE, 0, "bad amount"},
    {CALL_QUERY, 200, SAID("query", "received", ",\"received\":10000000001"), U, FACT_NONE, 0, "bad amount"},
    {CALL_QUERY, 200, SAID("query", "closed", ""), D, FACT_CLOSED, 0, "closed"},
    {CALL_QUERY, 200, SAID("query", "absent", ""), D, FACT_NOT_FOUND, 0, "absent"},
    {CALL_QUERY, 200, SAID("query", "refused", ""), U, FACT_NONE, 0, "strange result"},
    {CALL_QUERY, 200, SAID("query", "done", ""), U, FACT_NONE, 0, "strange result"},
    {CALL_QUERY, 200, SAID("query", "", ""), U, FACT_NONE, 0, "strange result"},

    {CALL_CLOSE, 200, SAID("close", "closed", ""), D, FACT_CLOSED, 0, "closed"},
    {CALL_CLOSE, 200, SAID("close", "received", CAME), R, FACT_NONE, 0, "received"},
    {CALL_CLOSE, 200, SAID("close", "absent", ""), R, FACT_NOT_FOUND, 0, "absent"},
    {CALL_CLOSE, 200, SAID("close", "expected", ""), U, FACT_NONE, 0, "strange result"},

    {CALL_REFUND, 200, BACK("refund", "done", ",\"amount\":500"), D, FACT_REFUND_DONE, 0, "done"},
    {CALL_REFUND, 200, BACK("refund", "accepted", ",\"amount\":500"), D, FACT_REFUND_ACCEPTED, 0, "accepted"},
    {CALL_REFUND, 200, BACK("refund", "refused", ",\"why\":\"too_much\""), R, FACT_NONE, 0, "too_much"},
    {CALL_REFUND, 200, BACK("refund", "done", ",\"amount\":499"), U, FACT_NONE, 0, "another amount"},
    {CALL_REFUND, 200, BACK("refund", "done", ""), U, FACT_NONE, 0, "another amount"},
    {CALL_REFUND, 200, BACK("refund", "absent", ""), U, FACT_NONE, 0, "strange result"},
    {CALL_REFUND, 200, SAID("refund", "done", ",\"amount\":500"), U, FACT_NONE, 0, "the answer to another question"},
    {CALL_REFUND_QUERY, 200, BACK("refund_query", "done", ",\"amount\":500"), D, FACT_REFUND_DONE, 0, "done"},
    {CALL_REFUND_QUERY, 200, BACK("refund_query", "accepted", ",\"amount\":500"), D, FACT_REFUND_ACCEPTED, 0,
     "accepted"},
    {CALL_REFUND_QUERY, 200, BACK("refund_query", "accepted", ",\"amount\":5"), U, FACT_NONE, 0, "another amount"},
    {CALL_REFUND_QUERY, 200, BACK("refund_query", "absent", ""), D, FACT_REFUND_ABSENT, 0, "absent"},
    {CALL_REFUND_QUERY, 200, BACK("refund_query", "refused", ""), U, FACT_NONE, 0, "strange result"},

    // never asked
    {CALL_CANCEL, 200, SAID("close", "closed", ""), U, FACT_NONE, 0, "the answer to another question"},
    {CALL_NONE, 200, SAID("query", "closed", ""), U, FACT_NONE, 0, "the answer to another question"},
    // the answer to something else
    {CALL_CLOSE, 200, SAID("query", "closed", ""), U, FACT_NONE, 0, "the answer to another question"},
    {CALL_QUERY, 200, "{\"method\":\"query\",\"number\":\"" NUMBER_NO "\",\"result\":\"closed\"}", U, FACT_NONE, 0,
     "the answer to another question"},
    {CALL_QUERY, 200, "{}", U, FACT_NONE, 0, "the answer to another question"},
    // nothing that could be read, or nothing that is final
    {CALL_QUERY, 200, "", U, FACT_NONE, 0, "invalid_json"},
    {CALL_QUERY, 200, "[]", U, FACT_NONE, 0, "invalid_json"},
    {CALL_QUERY, 200, "{\"a\":1,\"a\":2}", U, FACT_NONE, 0, "duplicate_key"},
    {CALL_CLOSE, 204, "", U, FACT_NONE, 0, "http 204"},
    {CALL_CREATE, 400, SAID("create", "refused", ""), U, FACT_NONE, 0, "http 400"},
    {CALL_CREATE, 401, "{}", U, FACT_NONE, 0, "http 401"},
    {CALL_QUERY, 404, SAID("query", "absent", ""), U, FACT_NONE, 0, "http 404"},
    {CALL_REFUND, 429, "", U, FACT_NONE, 0, "http 429"},
    {CALL_REFUND, 500, BACK("refund", "refused", ""), U, FACT_NONE, 0, "http 500"},
    {CALL_CREATE, 503, "<html>", U, FACT_NONE, 0, "http 503"},
    {CALL_QUERY, 302, "", U, FACT_NONE, 0, "http 302"},
};
#define N_ROWS (sizeof ROWS / sizeof ROWS[0])

static void every_answer_is_done_refused_or_unknown(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++)
        check(&ROWS[i], judge(&ROWS[i], "answer"));
}

static void what_is_not_signed_as_an_answer_proves_nothing(void **state)
{
    static const char *const as[] = {NULL, "request", "notice", ""};
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++) {
        for (size_t k = 0; k < sizeof as / sizeof as[0]; k++) {
            struct answer a = judge(&ROWS[i], as[k]);
            assert_int_equal(a.outcome, OUTCOME_UNKNOWN);
            assert_int_equal(a.fact, FACT_NONE);
            if (ROWS[i].status == 200) assert_string_equal(a.detail, "bad signature");
        }
    }
}

static void the_code_is_what_the_buyer_reads(void **state)
{
    (void)state;
    struct answer a = judge(&ROWS[0], "answer");
    assert_true(str_eq(a.code, STR("Transfer CNY 12.34 to account " ACCOUNT ", with the reference " PAYMENT_NO "\n"
                                   "请转账 12.34 元至账户 " ACCOUNT "，附言请填 " PAYMENT_NO)));
    assert_true(a.code.n <= CHANNEL_CODE_MAX);
}

static void their_number_is_kept_where_money_came(void **state)
{
    static const struct row paid = {CALL_QUERY, 200, SAID("query", "received", CAME), D, FACT_PAID, 1234, ""};
    static const struct row not_paid = {CALL_QUERY, 200, SAID("query", "received", ",\"trade_no\":\"1\""), U, 0, 0, ""};
    (void)state;
    assert_string_equal(judge(&paid, "answer").provider_trade_no, "62001");
    assert_string_equal(judge(&not_paid, "answer").provider_trade_no, "");
}

// --- What a notification proves

struct headers {
    const char *mac;
};

static struct str header(void *ctx, const char *name)
{
    const struct headers *h = ctx;
    return strcmp(name, "Fake-Signature") == 0 ? str_of(h->mac) : STR("");
}

static enum notice_verdict notice_judge(const char *body, const char *what, struct notice *out)
{
    char mac[MAC_TEXT] = "";
    if (what) assert_true(sign(&FAKE, what, str_of(body), mac));
    struct headers h = {mac};
    struct notice_in in = {.body = str_of(body), .header = header, .header_ctx = &h};
    return fake_channel_judge((struct channel *)&FAKE, &in, out);
}

#define NOTICE(account, number, event, amount)                                                                         \
    "{\"event\":\"" event "\",\"id\":\"1\",\"account\":\"" account "\",\"number\":\"" number "\",\"amount\":" amount   \
    ",\"trade_no\":\"62001\"}"
#define GOOD NOTICE(ACCOUNT, PAYMENT_NO, "received", "1234")

static void a_notification_is_believed_for_what_it_is(void **state)
{
    static const struct {
        const char *body, *as;
        enum notice_verdict verdict;
        const char *why;
    } rows[] = {
        {GOOD, "notice", NOTICE_GOOD, ""},
        {GOOD, NULL, NOTICE_FORGED, "bad signature"},
        {GOOD, "answer", NOTICE_FORGED, "bad signature"},
        {GOOD, "request", NOTICE_FORGED, "bad signature"},
        {"", "notice", NOTICE_MALFORMED, "empty, or too long"},
        {"x", "notice", NOTICE_MALFORMED, "invalid_json"},
        {NOTICE("6200-9", PAYMENT_NO, "received", "1234"), "notice", NOTICE_FOREIGN, "another account"},
        {NOTICE(ACCOUNT, PAYMENT_NO, "closed", "1234"), "notice", NOTICE_MALFORMED, "strange event"},
        {NOTICE(ACCOUNT, "", "received", "1234"), "notice", NOTICE_MALFORMED, "no number"},
        {NOTICE(ACCOUNT, PAYMENT_NO, "received", "0"), "notice", NOTICE_MALFORMED, "bad amount"},
        {NOTICE(ACCOUNT, PAYMENT_NO, "received", "\"1\""), "notice", NOTICE_MALFORMED, "bad amount"},
        {"{\"event\":\"received\",\"account\":\"" ACCOUNT "\",\"number\":\"" PAYMENT_NO "\",\"amount\":1}", "notice",
         NOTICE_MALFORMED, "bad trade_no"},
        {NOTICE(ACCOUNT, "0rpgv5gymwqv0kj329159139epk9d", "received", "1234"), "notice", NOTICE_STRANGE,
         "number is none of ours"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct notice n;
        if (notice_judge(rows[i].body, rows[i].as, &n) != rows[i].verdict || strcmp(n.why, rows[i].why) != 0)
            fail_msg("row %zu: %s", i, n.why);
        bool good = rows[i].verdict == NOTICE_GOOD;
        assert_int_equal(n.answer.payment_key, good ? PAYMENT_KEY : 0);
        assert_int_equal(n.answer.captured_fen, good ? 1234 : 0);
    }
}

static void a_good_notification_says_who_paid_what(void **state)
{
    struct notice n;
    (void)state;
    assert_int_equal(notice_judge(GOOD, "notice", &n), NOTICE_GOOD);
    assert_int_equal(n.answer.channel, CHANNEL_FAKE);
    assert_int_equal(n.answer.outcome, OUTCOME_DONE);
    assert_int_equal(n.answer.fact, FACT_PAID);
    assert_string_equal(n.answer.provider_trade_no, "62001");
    assert_string_equal(n.number, PAYMENT_NO);
}

// --- What opens it

static void a_bank_elsewhere_or_half_a_configuration_is_refused(void **state)
{
    char file[] = "/tmp/till-fake-XXXXXX";
    int fd = mkstemp(file);
    (void)state;
    assert_true(fd >= 0 && write(fd, "s3cret\n", 7) == 7 && close(fd) == 0);
    const struct {
        struct fake_options options;
        const char *why; // NULL: good
    } rows[] = {
        {{"http://127.0.0.1:1/fake", file, ACCOUNT, ""}, NULL},
        {{"http://localhost:1", file, "1", NULL}, NULL},
        {{"http://[::1]:1", file, "1", NULL}, NULL},
        {{"", file, ACCOUNT, ""}, "fake.base_url"},
        {{NULL, file, ACCOUNT, ""}, "fake.base_url"},
        {{"http://bank.example/fake", file, ACCOUNT, ""}, "fake.base_url"},
        {{"http://127.0.0.1:1@bank.example", file, ACCOUNT, ""}, "fake.base_url"},
        {{"http://127.0.0.1:1/fake/", file, ACCOUNT, ""}, "fake.base_url"},
        {{"http://127.0.0.1.bank.example", file, ACCOUNT, ""}, "fake.base_url"},
        {{"http://127.0.0.1:1/fake", file, "", ""}, "fake.account"},
        {{"http://127.0.0.1:1/fake", file, "12 34", ""}, "fake.account"},
        {{"http://127.0.0.1:1/fake", file, "012345678901234567890123456789012", ""}, "fake.account"},
        {{"http://127.0.0.1:1/fake", "", ACCOUNT, ""}, "fake.secret_file"},
        {{"http://127.0.0.1:1/fake", "/nowhere", ACCOUNT, ""}, "fake.secret_file"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fake f = {0};
        char why[200] = "";
        bool ok = options_copy(&f, &rows[i].options, why);
        if (ok != !rows[i].why || (rows[i].why && strncmp(why, rows[i].why, strlen(rows[i].why)) != 0))
            fail_msg("row %zu: %d %s", i, ok, why);
        if (ok) assert_string_equal(f.key, "s3cret");
    }
    (void)unlink(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_method_is_asked_and_signed),
        cmocka_unit_test(cancel_is_never_sent),
        cmocka_unit_test(every_answer_is_done_refused_or_unknown),
        cmocka_unit_test(what_is_not_signed_as_an_answer_proves_nothing),
        cmocka_unit_test(the_code_is_what_the_buyer_reads),
        cmocka_unit_test(their_number_is_kept_where_money_came),
        cmocka_unit_test(a_notification_is_believed_for_what_it_is),
        cmocka_unit_test(a_good_notification_says_who_paid_what),
        cmocka_unit_test(a_bank_elsewhere_or_half_a_configuration_is_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_free(&text);
    return failed;
}
