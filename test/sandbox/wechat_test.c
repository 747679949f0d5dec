// SPDX-License-Identifier: Apache-2.0
// The pieces of WeChat Pay's side that a program outside reaches badly: the reader of Authorization, the memory for
// replays over time and beyond its room, and a ledger of the first schema.
#include "../../src/sandbox/wechat_nonces.c" // first: its names are its own
#include "../../src/sandbox/wechat_wire.c"
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

// --- Authorization

static bool reads(const char *header, struct wechat_auth *auth)
{
    return wechat_auth_read(str_of(header), auth);
}

static void the_five_fields_are_read_in_any_order(void **state)
{
    (void)state;
    struct wechat_auth a;
    assert_true(reads("WECHATPAY2-SHA256-RSA2048 signature=\"sig=,\", serial_no=\"AB\",timestamp=\"12\","
                      "nonce_str=\"n\",  mchid=\"1900\"",
                      &a));
    assert_true(str_eq(a.signature, STR("sig=,")) && str_eq(a.serial, STR("AB")) && str_eq(a.timestamp, STR("12")));
    assert_true(str_eq(a.nonce, STR("n")) && str_eq(a.mchid, STR("1900")));
}

static void whatever_else_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "WECHATPAY2-SHA256-RSA2048",
        "WECHATPAY2-SHA256-RSA2048 ",
        "WECHATPAY2-SHA256-RSA2048 mchid",
        "WECHATPAY2-SHA256-RSA2048 mchid=",
        "WECHATPAY2-SHA256-RSA2048 mchid=\"",
        "WECHATPAY2-SHA256-RSA2048 mchid=\"1\"",
        "WECHATPAY2-SHA256-RSA2048 mchid=\"1\",",
        "WECHATPAY2-SHA256-RSA2048 mchid=\"1\",serial_no=\"2\",nonce_str=\"3\",timestamp=\"4\",signature=\"\"",
        "WECHATPAY2-SHA256-RSA2048 mchid=\"1\",serial_no=\"2\",nonce_str=\"3\",timestamp=\"4\",signature=\"5",
        "WECHATPAY2-SHA256-RSA2048 mchid=\"1\",serial_no=\"2\",nonce_str=\"3\",timestamp=\"4\",signature=\"5\"x",
        ("WECHATPAY2-SHA256-RSA2048 "
         "mchid=\"1\",serial_no=\"2\",nonce_str=\"3\",timestamp=\"4\",signature=\"5\",mchid=\"1\""),
        "WECHATPAY2-SHA256-RSA2048 mchid=\"1\",serial_no=\"2\",nonce_str=\"3\",timestamp=\"4\",signatur=\"5\"",
        "WECHATPAY2-SHA256-RSA2048 mchid=1,serial_no=\"2\",nonce_str=\"3\",timestamp=\"4\",signature=\"5\"",
        "WECHATPAY2-SM2-WITH-SM3 mchid=\"1\",serial_no=\"2\",nonce_str=\"3\",timestamp=\"4\",signature=\"5\"",
    };
    struct wechat_auth a;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (reads(rows[i], &a)) fail_msg("was read: %s", rows[i]);
}

// --- Replays

static bool take_number(struct wechat_nonces *n, unsigned i, int64_t real_ms)
{
    char text[16];
    int length = snprintf(text, sizeof text, "%u", i);
    return wechat_nonces_take(n, (struct str){text, (size_t)length}, real_ms);
}

static void what_was_here_is_known_as_long_as_its_timestamp_can_be_good(void **state)
{
    (void)state;
    struct wechat_nonces *n = wechat_nonces_new();
    assert_non_null(n);
    for (int64_t ms = 1000000; ms < 5 * AGE_MS; ms += 7000) {
        unsigned i = (unsigned)(ms / 7000);
        assert_true(take_number(n, i, ms));
        assert_false(take_number(n, i, ms));
        unsigned oldest = i > AGE_MS / 7000 ? i - (unsigned)(AGE_MS / 7000) : 0;
        if (oldest * INT64_C(7000) >= 1000000) assert_false(take_number(n, oldest, ms));
    }
    wechat_nonces_free(n);
}

static void it_forgets_when_nothing_that_old_would_pass_anyway(void **state)
{
    (void)state;
    struct wechat_nonces *n = wechat_nonces_new();
    assert_true(take_number(n, 1, 1000));
    assert_true(take_number(n, 2, 1000 + AGE_MS + 1));
    assert_true(take_number(n, 1, 1000 + 3 * AGE_MS)); // twice turned
    wechat_nonces_free(n);
}

static void a_flood_turns_the_tables_and_stays_bounded(void **state)
{
    (void)state;
    struct wechat_nonces *n = wechat_nonces_new();
    for (unsigned i = 0; i < 2 * TABLE_MOST + 10; i++)
        assert_true(take_number(n, i, 1000));
    assert_true(n->young->n <= TABLE_MOST && n->old->n <= TABLE_MOST);
    assert_false(take_number(n, 2 * TABLE_MOST, 1000)); // the latest are known
    wechat_nonces_free(n);
}

// --- Tokens

static void tokens_have_their_length_and_their_letters(void **state)
{
    (void)state;
    char a[200], b[200];
    wechat_token(a, 150);
    wechat_token(b, 150);
    assert_int_equal(strlen(a), 150);
    assert_int_equal(strspn(a, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"), 150);
    assert_string_not_equal(a, b);
}

// --- The ledger's first schema

static const char OLD_LEDGER[] =
    "CREATE TABLE code(id INTEGER PRIMARY KEY, channel INT NOT NULL, text TEXT NOT NULL UNIQUE, out_trade_no TEXT NOT "
    "NULL,"
    " subject TEXT NOT NULL, body TEXT NOT NULL, passback TEXT NOT NULL, store_id TEXT NOT NULL, terminal_id TEXT NOT "
    "NULL,"
    " notify_url TEXT NOT NULL, terms TEXT NOT NULL, total_fen INT NOT NULL CHECK(total_fen > 0), created_ms INT NOT "
    "NULL,"
    " dies_ms INT NOT NULL, trade_dies_ms INT NOT NULL, killed INT NOT NULL);"
    "CREATE INDEX code_number ON code(channel, out_trade_no, id);"
    "CREATE TABLE trade(id INTEGER PRIMARY KEY, channel INT NOT NULL, out_trade_no TEXT NOT NULL, trade_no TEXT NOT "
    "NULL,"
    " code_id INT NOT NULL REFERENCES code(id), state INT NOT NULL, total_fen INT NOT NULL,"
    " refunded_fen INT NOT NULL CHECK(refunded_fen BETWEEN 0 AND total_fen), created_ms INT NOT NULL,"
    " expires_ms INT NOT NULL, paid_ms INT NOT NULL, closed_ms INT NOT NULL, refund_ms INT NOT NULL,"
    " UNIQUE(channel, out_trade_no), UNIQUE(channel, trade_no));"
    "CREATE INDEX trade_waiting ON trade(expires_ms) WHERE state = 0;"
    "CREATE TABLE refund(id INTEGER PRIMARY KEY, trade_id INT NOT NULL REFERENCES trade(id), out_request_no TEXT NOT "
    "NULL,"
    " amount_fen INT NOT NULL CHECK(amount_fen > 0), created_ms INT NOT NULL, UNIQUE(trade_id, out_request_no));"
    "CREATE TABLE notice(id INTEGER PRIMARY KEY, channel INT NOT NULL, trade_id INT NOT NULL REFERENCES trade(id),"
    " url TEXT NOT NULL, fields BLOB NOT NULL, attempt INT NOT NULL, due_ms INT NOT NULL, forged INT NOT NULL,"
    " ended INT NOT NULL);"
    "CREATE INDEX notice_owed ON notice(due_ms, id) WHERE ended = 0;"
    "CREATE TABLE value(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    "INSERT INTO code VALUES(7,0,'https://qr.alipay.com/bax1','A1','Tea','','','','','','t',500,10,20,30,0);"
    "INSERT INTO trade VALUES(3,0,'A1','2026',7,1,500,200,11,30,12,0,13);"
    "INSERT INTO refund VALUES(1,3,'r1',200,13);"
    "INSERT INTO trade VALUES(4,0,'A2','2027',7,0,500,0,11,30,0,0,0);"
    "PRAGMA user_version = 1;";

static void a_ledger_of_the_first_schema_is_brought_along(void **state)
{
    (void)state;
    char dir[] = "/tmp/sandbox-schema-XXXXXX", path[64], why[200] = "";
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/l.db", dir);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, OLD_LEDGER, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    for (int again = 0; again < 2; again++) { // and is then left as it is
        struct ledger *l = ledger_open(path, false, why);
        assert_string_equal(why, "");
        struct trade t;
        struct refund r;
        ledger_lock(l);
        assert_true(ledger_trade_by_number(l, SANDBOX_ALIPAY, "A1", &t));
        assert_int_equal(t.refunded_fen, 200);
        assert_true(ledger_refund_find(l, t.id, "r1", &r));
        assert_int_equal(r.state, REFUND_SUCCESS);
        assert_int_equal(r.done_ms, 13);
        struct totals sum = ledger_totals(l);
        assert_true(sum.captured_fen == 500 && sum.refunded_fen == 200 && sum.refunds == 1);
        assert_int_equal(ledger_next_due_ms(l), 30);
        assert_true(ledger_trade_expired(l, 30, &t) && t.id == 4);
        ledger_unlock(l);
        ledger_close(l);
    }
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_null(ledger_open(path, false, why)); // a later one is not touched
    assert_non_null(strstr(why, "another version"));
    (void)unlink(path);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_five_fields_are_read_in_any_order),
        cmocka_unit_test(whatever_else_is_refused),
        cmocka_unit_test(what_was_here_is_known_as_long_as_its_timestamp_can_be_good),
        cmocka_unit_test(it_forgets_when_nothing_that_old_would_pass_anyway),
        cmocka_unit_test(a_flood_turns_the_tables_and_stays_bounded),
        cmocka_unit_test(tokens_have_their_length_and_their_letters),
        cmocka_unit_test(a_ledger_of_the_first_schema_is_brought_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
