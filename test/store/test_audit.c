// SPDX-License-Identifier: Apache-2.0
// Each line of the audit must break when its promise is broken, and only then. The rows are broken by raw SQL
// with the file's own CHECKs switched off.
#include "shop.h"
#include "store/audit.h"
#include "store/sqlite.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#define GRACE_MS 30000
#define HOUR_MS  INT64_C(3600000)

static char dir[64], path[80], why[200];
static struct sqlite_options options = {.path = path};
static struct shop shop;
static struct audit_line lines[AUDIT_LINES_MAX];
static int n_lines;

// Orders in every state, with all that can happen to money.
static struct {
    uint64_t open_any, placed, awaiting, closing, paid, paid_refunded, cancelled, late, duplicate, mismatch;
} at;

static void refund_whole(uint64_t key)
{
    shop_refund_done(&shop, key);
}

static void duplicate_make(void)
{
    at.duplicate = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    struct bundle *b = shop_bundle(&shop, at.duplicate); // a second attempt, as the engine makes on a new channel
    unsigned i = b->n_payments++;
    b->payment[i] = b->payment[0];
    b->payment[i].key = keygen_take(&shop.keys, ++shop.now_ms, 16);
    b->payment[i].n = 2;
    uint64_t first = b->payment[0].key;
    struct step step = {.changed = true, .payments_changed = 1u << i, .payments_added = 1u << i};
    b->order.version++;
    struct change c = {.kind = CHANGE_ORDER, .bundle = b, .step = &step, .at_ms = shop.now_ms};
    assert_int_equal(shop_apply(&shop, &c), APPLY_DONE);
    shop_pay(&shop, at.duplicate, 100);
    struct answer again = {
        .method = CALL_QUERY, .fact = FACT_PAID, .captured_fen = 100, .payment_key = first, .provider_trade_no = "T2"};
    assert_int_equal(shop_answer(&shop, at.duplicate, again), APPLY_DONE);
    refund_whole(at.duplicate);
}

static void orders_make(void)
{
    shop_sku(&shop, "A", 100, 100);
    shop_sku(&shop, "B", 100, 5);
    at.open_any = shop_place(&shop, CHANNEL_ANY, "B", 2);
    at.placed = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    at.awaiting = shop_place(&shop, CHANNEL_ALIPAY, "A", 2);
    shop_code(&shop, at.awaiting);
    at.closing = shop_place(&shop, CHANNEL_ALIPAY, "A", 3);
    shop_event(&shop, at.closing, (struct event){.kind = EV_CANCEL, .cancel = {REASON_BUYER}});
    at.paid = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    shop_code(&shop, at.paid);
    shop_pay(&shop, at.paid, 100);
    at.paid_refunded = shop_place(&shop, CHANNEL_ALIPAY, "B", 1);
    shop_pay(&shop, at.paid_refunded, 100);
    shop_event(&shop, at.paid_refunded, (struct event){.kind = EV_REFUND, .refund = {30}});
    refund_whole(at.paid_refunded);
    at.cancelled = shop_place(&shop, CHANNEL_ALIPAY, "A", 4);
    shop_code(&shop, at.cancelled);
    shop_cancel(&shop, at.cancelled);
    at.late = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    shop_cancel(&shop, at.late);
    shop_pay(&shop, at.late, 100);
    refund_whole(at.late);
    duplicate_make();
    at.mismatch = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    shop_cancel(&shop, at.mismatch);
    shop_pay(&shop, at.mismatch, 90);
    refund_whole(at.mismatch);
}

static void files_remove(void)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-lock"};
    for (int i = 0; i < 4; i++) {
        char file[96];
        snprintf(file, sizeof file, "%s%s", path, ends[i]);
        unlink(file);
    }
}

static int set_up(void **state)
{
    (void)state;
    files_remove();
    shop_open(&shop, sqlite_store_open(&options, SHOP_START_MS, why));
    orders_make();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    shop_close(&shop);
    return 0;
}

// --- Looking

static void audit_with(int64_t now_ms, const struct ledger_trade *trades, unsigned n)
{
    n_lines = audit_run(path, now_ms, GRACE_MS, trades, n, lines, why);
    if (n_lines < 0) print_error("%s\n", why);
    assert_true(n_lines > 0);
}

static void audit(void)
{
    audit_with(shop.now_ms, NULL, 0);
}

static struct audit_line *line(const char *name)
{
    for (int i = 0; i < n_lines; i++)
        if (strcmp(lines[i].name, name) == 0) return &lines[i];
    fail_msg("no line %s", name);
    return NULL;
}

// Exactly these are broken: names separated by spaces.
static void assert_broken(const char *names)
{
    char found[1000] = "";
    for (int i = 0; i < n_lines; i++) {
        if (lines[i].verdict != AUDIT_BROKEN) continue;
        assert_true(lines[i].n_broken > 0);
        assert_true(lines[i].examples[0] != 0);
        size_t used = strlen(found);
        snprintf(found + used, sizeof found - used, "%s%s", used ? " " : "", lines[i].name);
    }
    assert_string_equal(found, names);
}

static void raw_of(const char *sql, uint64_t key)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_exec(db, "PRAGMA ignore_check_constraints = ON", NULL, NULL, NULL);
    int changed = sqlite3_total_changes(db);
    for (const char *rest = sql; *rest;) {
        sqlite3_stmt *st;
        if (sqlite3_prepare_v2(db, rest, -1, &st, &rest) != SQLITE_OK) fail_msg("%s: %s", sql, sqlite3_errmsg(db));
        if (sqlite3_bind_parameter_count(st)) sqlite3_bind_int64(st, 1, (int64_t)key);
        if (sqlite3_step(st) != SQLITE_DONE) fail_msg("%s: %s", sql, sqlite3_errmsg(db));
        sqlite3_finalize(st);
    }
    if (sqlite3_total_changes(db) == changed) fail_msg("changes nothing: %s", sql);
    sqlite3_close(db);
}

static void raw(const char *sql)
{
    raw_of(sql, 0);
}

// --- A good store

static void a_good_store_holds_on_every_line(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) { // beside a server, and alone
        audit();
        assert_broken("");
        for (int i = 0; i < n_lines; i++) {
            assert_int_equal(lines[i].verdict, AUDIT_HOLDS);
            assert_true(lines[i].meaning[0] != 0);
            bool is_rare =
                strcmp(lines[i].name, "released_at_deadline") == 0 || strcmp(lines[i].name, "broker_told") == 0;
            if (!is_rare) assert_true(lines[i].n_checked > 0);
        }
        assert_int_equal(line("stock_conservation")->n_checked, 2);
        assert_int_equal(line("order_states")->n_checked, 10);
        assert_int_equal(line("money_settled")->n_checked, 6);
        if (round == 0) shop_close(&shop);
    }
}

static void what_is_under_way_is_pending(void **state)
{
    (void)state;
    uint64_t key = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    shop_cancel(&shop, key);
    shop_pay(&shop, key, 100);
    audit();
    assert_broken("");
    assert_int_equal(line("money_settled")->verdict, AUDIT_PENDING);
    assert_int_equal(line("money_settled")->n_pending, 1);
    char id[ID_TEXT_SIZE];
    id_format(shop.s->secret, "pay_", shop_bundle(&shop, key)->payment[0].key, id);
    assert_string_equal(line("money_settled")->examples, id);
    refund_whole(key);
    audit();
    assert_int_equal(line("money_settled")->verdict, AUDIT_HOLDS);
}

static void money_held_for_an_operator_is_pending(void **state)
{
    (void)state;
    shop.rules.late_payment = LATE_HOLD;
    uint64_t key = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    shop_cancel(&shop, key);
    shop_pay(&shop, key, 100);
    audit();
    assert_broken("");
    assert_int_equal(line("money_settled")->verdict, AUDIT_PENDING);
}

static void a_reopened_order_holds(void **state)
{
    (void)state;
    shop.rules.late_payment = LATE_REOPEN;
    uint64_t key = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    shop_cancel(&shop, key);
    shop_pay(&shop, key, 100);
    audit();
    for (int i = 0; i < n_lines; i++)
        assert_int_equal(lines[i].verdict, AUDIT_HOLDS);
}

static void a_release_at_the_deadline_is_pending_while_watched(void **state)
{
    (void)state;
    shop.rules.release = RELEASE_DEADLINE;
    uint64_t key = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    shop_event(&shop, key, (struct event){.kind = EV_CANCEL, .cancel = {REASON_TIMEOUT}});
    audit();
    assert_broken("");
    assert_int_equal(line("released_over_proof")->verdict, AUDIT_HOLDS);
    assert_int_equal(line("released_at_deadline")->verdict, AUDIT_PENDING);
    assert_int_equal(line("released_at_deadline")->n_checked, 1);
    shop_answer(&shop, key, (struct answer){.method = CALL_QUERY, .fact = FACT_CLOSED});
    audit();
    assert_int_equal(line("released_at_deadline")->verdict, AUDIT_HOLDS);
    raw_of("UPDATE payments SET state = 4, owes = 0, due_ms = NULL WHERE order_key = ?1", key);
    audit();
    assert_broken("released_at_deadline");
}

static void a_deadline_missed_is_broken_only_while_somebody_should_have_kept_it(void **state)
{
    (void)state;
    audit_with(shop.now_ms + 299000 + GRACE_MS + 60000, NULL, 0); // no window is over for long
    assert_int_equal(line("deadlines")->verdict, AUDIT_HOLDS);
    audit_with(shop.now_ms + HOUR_MS, NULL, 0);
    assert_broken("deadlines");
    assert_int_equal(line("deadlines")->n_broken, 3);
    assert_int_equal(line("deadlines")->n_pending, 1); // it is closing
    shop_close(&shop);
    audit_with(shop.now_ms + HOUR_MS, NULL, 0); // the server is down: nobody failed
    assert_broken("");
    assert_int_equal(line("deadlines")->verdict, AUDIT_PENDING);
}

// --- Broken rows

struct breakage {
    const uint64_t *order;
    const char *sql; // ?1 is the order's key
    const char *broken;
};

static void each_broken_row_breaks_its_line_and_no_other(void **state)
{
    const struct breakage cases[] = {
        {&at.paid, "UPDATE skus SET added = added + 1 WHERE sku = 'A'", "stock_conservation"},
        {&at.paid, "UPDATE skus SET held = held - 1, available = available + 1 WHERE sku = 'B'",
         "holds_backed_by_open_orders"},
        {&at.paid, "UPDATE skus SET held = held - 1, sold = sold + 1 WHERE sku = 'A'", "holds_backed_by_open_orders"},
        {&at.paid, "UPDATE orders SET items = replace(items, '\"A\"', '\"Z\"') WHERE key = ?1",
         "holds_backed_by_open_orders"},
        {&at.paid, "UPDATE orders SET items = replace(items, '\"price\":100', '\"price\":99') WHERE key = ?1",
         "items_sum_to_amount"},
        {&at.cancelled, "UPDATE orders SET items = 'nonsense' WHERE key = ?1", "items_sum_to_amount"},
        {&at.paid, "UPDATE tally SET paid = paid + 1", "order_counts"},
        {&at.paid, "UPDATE tally SET closing = closing - 1, cancelled = cancelled + 1", "order_counts"},
        {&at.cancelled, "UPDATE orders SET reason = 0 WHERE key = ?1", "order_states"},
        {&at.cancelled, "DELETE FROM messages WHERE order_key = ?1", "messages_told"},
        {&at.cancelled, "UPDATE messages SET type = 2 WHERE order_key = ?1", "messages_told"},
        {&at.cancelled,
         "INSERT INTO messages SELECT topic, key + 1, at_ms, type, order_key, sequence, amount_fen, reason "
         "FROM messages WHERE order_key = ?1",
         "messages_told"},
        {&at.closing, "DELETE FROM messages WHERE order_key = ?1", "messages_told"},
        {&at.closing, "INSERT INTO halves VALUES (?1, 1, 0, 1, 0, 0, 0, 0, 1, '', 0, 0)", "due_owed"},
        {&at.paid, "UPDATE orders SET paid_ms = 0 WHERE key = ?1", "order_states"},
        {&at.closing, "UPDATE orders SET closing_ms = 0 WHERE key = ?1", "order_states"},
        {&at.paid_refunded, "UPDATE payments SET refunded_fen = 101 WHERE order_key = ?1",
         "payments_within refunds_match"},
        {&at.paid, "UPDATE payments SET captured_fen = 99 WHERE order_key = ?1", "paid_by_one_capture"},
        {&at.paid, "UPDATE payments SET counts = 0 WHERE order_key = ?1", "paid_by_one_capture money_settled"},
        {&at.paid,
         "INSERT INTO refunds (key, order_key, payment_key, state, cause, owes, tries, uncertain, absents, amount_fen, "
         "created_ms, finished_ms, is_abnormal, replaces_key) SELECT 5, order_key, key, 2, 2, 0, 0, 0, 0, 100, 1, 1, "
         "0, 0 "
         "FROM payments WHERE order_key = ?1",
         "money_settled refunds_match"},
        {&at.duplicate,
         "DELETE FROM refunds WHERE order_key = ?1; "
         "UPDATE payments SET refunded_fen = 0 WHERE order_key = ?1 AND counts = 0",
         "money_settled"},
        {&at.mismatch, "UPDATE refunds SET amount_fen = 80 WHERE order_key = ?1", "money_settled refunds_match"},
        {&at.mismatch, "UPDATE refunds SET state = 3 WHERE order_key = ?1", "money_settled refunds_match"},
        {&at.paid_refunded, "UPDATE refunds SET amount_fen = 29 WHERE order_key = ?1", "refunds_match"},
        {&at.paid_refunded, "UPDATE orders SET refunded_fen = 29 WHERE key = ?1", "refunds_match"},
        {&at.cancelled, "UPDATE payments SET proof = 0 WHERE order_key = ?1", "released_over_proof"},
        {&at.cancelled, "UPDATE payments SET proof = 3, proof_ms = expires_ms - 1 WHERE order_key = ?1",
         "released_over_proof"},
        {&at.cancelled,
         "UPDATE payments SET proof_ms = proof_ms + 1 WHERE order_key = ?1", // stock went first
         "released_over_proof"},
        {&at.cancelled, "UPDATE payments SET state = 2 WHERE order_key = ?1", "released_over_proof"},
        {&at.awaiting, "DELETE FROM events WHERE sequence = 1 AND order_key = ?1", "events_dense"},
        {&at.paid, "UPDATE events SET sequence = 9 WHERE sequence = 2 AND order_key = ?1",
         "events_dense events_tell_state"},
        {&at.paid, "UPDATE orders SET sequence = sequence + 1 WHERE key = ?1", "events_dense"},
        {&at.paid, "UPDATE events SET state = 2 WHERE type = 3 AND order_key = ?1", "events_tell_state"},
        {&at.open_any, "UPDATE orders SET due_ms = NULL WHERE key = ?1", "due_owed"},
        {&at.closing, "UPDATE orders SET due_ms = due_ms + 1 WHERE key = ?1", "due_owed"},
        {&at.paid_refunded, "UPDATE refunds SET state = 1, due_ms = NULL WHERE order_key = ?1",
         "refunds_match due_owed"},
        {&at.paid, "UPDATE payments SET n = 2 WHERE order_key = ?1", "one_attempt_per_number"},
        {&at.paid,
         "UPDATE payments SET provider_trade_no = (SELECT provider_trade_no FROM payments WHERE order_key = "
         "?1) "
         "WHERE captured_fen = 90",
         "one_attempt_per_number"},
        // what two mistakes that hide each other in one check do in another
        {&at.placed, "DELETE FROM orders WHERE key = ?1",
         "holds_backed_by_open_orders order_counts events_dense due_owed one_attempt_per_number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        raw_of(cases[i].sql, *cases[i].order);
        audit();
        char said[80];
        snprintf(said, sizeof said, "%.70s", cases[i].sql);
        print_message("%s\n", said);
        assert_broken(cases[i].broken);
        tear_down(state);
        set_up(state);
    }
}

// A page nobody else reads is overwritten.
static void a_damaged_page_breaks_integrity(void **state)
{
    (void)state;
    shop_close(&shop);
    sqlite3 *db;
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT rootpage FROM sqlite_schema WHERE name = 'carts'", -1, &st, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    long page = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    FILE *f = fopen(path, "r+");
    assert_int_equal(fseek(f, (page - 1) * 4096, SEEK_SET), 0);
    for (int i = 0; i < 64; i++)
        fputc(0xff, f);
    fclose(f);
    audit();
    assert_broken("integrity");
}

static void what_is_no_store_is_an_error(void **state)
{
    (void)state;
    shop_close(&shop);
    assert_int_equal(audit_run("/nonexistent/till.db", 0, 0, NULL, 0, lines, why), -1);
    assert_true(why[0] != 0);
    raw("PRAGMA user_version = 7; UPDATE meta SET created_ms = 1");
    assert_int_equal(audit_run(path, 0, 0, NULL, 0, lines, why), -1);
    assert_non_null(strstr(why, "7"));
}

// --- The provider's ledger

static struct ledger_trade trades[20];
static unsigned n_trades;

static struct ledger_trade *trade_of(uint64_t payment_key)
{
    char number[ID_TEXT_SIZE];
    id_format(shop.s->secret, "", payment_key, number);
    for (unsigned i = 0; i < n_trades; i++)
        if (strcmp(trades[i].out_trade_no, number) == 0) return &trades[i];
    memcpy(trades[n_trades].out_trade_no, number, sizeof number);
    return &trades[n_trades++];
}

static uint64_t payment_of(uint64_t order_key)
{
    return shop_bundle(&shop, order_key)->payment[0].key;
}

// The ledger our books would have come from.
static void ledger_make(void)
{
    memset(trades, 0, sizeof trades);
    n_trades = 0;
    sqlite3 *db;
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    sqlite3_prepare_v2(db, "SELECT key, captured_fen, refunded_fen FROM payments", -1, &st, NULL);
    while (sqlite3_step(st) == SQLITE_ROW) {
        struct ledger_trade *t = trade_of((uint64_t)sqlite3_column_int64(st, 0));
        t->captured_fen = sqlite3_column_int64(st, 1);
        t->refunded_fen = sqlite3_column_int64(st, 2);
    }
    sqlite3_finalize(st);
    sqlite3_close(db);
}

static void audit_ledger(int64_t now_ms)
{
    audit_with(now_ms, trades, n_trades);
}

static void an_equal_ledger_holds_and_foreign_trades_are_counted(void **state)
{
    (void)state;
    ledger_make();
    snprintf(trades[n_trades].out_trade_no, 65, "SOMEBODY_ELSE_1");
    trades[n_trades++].captured_fen = 5;
    audit_ledger(shop.now_ms);
    assert_broken("");
    assert_int_equal(line("ledger_captures_accounted")->verdict, AUDIT_HOLDS);
    assert_int_equal(line("ledger_captures_accounted")->n_checked, 6);
    assert_int_equal(line("ledger_refunds_equal")->verdict, AUDIT_HOLDS);
    assert_int_equal(line("ledger_captures_known")->n_checked, 6);
    assert_int_equal(line("ledger_foreign")->n_checked, 1);
    audit_ledger(shop.now_ms + HOUR_MS / 30);
    assert_int_equal(line("ledger_captures_known")->verdict, AUDIT_HOLDS);
}

static void a_capture_under_a_number_of_ours_without_a_row_is_broken(void **state)
{
    (void)state;
    ledger_make();
    trade_of(12345)->captured_fen = 1;
    audit_ledger(shop.now_ms);
    assert_broken("ledger_captures_accounted");
    assert_string_equal(line("ledger_captures_accounted")->examples, trade_of(12345)->out_trade_no);
}

static void a_capture_not_noticed_is_pending_while_it_may_still_be(void **state)
{
    (void)state;
    ledger_make();
    trade_of(payment_of(at.awaiting))->captured_fen = 200;
    audit_ledger(shop.now_ms);
    assert_broken("");
    assert_int_equal(line("ledger_captures_accounted")->verdict, AUDIT_PENDING);
    ledger_make();
    trade_of(payment_of(at.cancelled))->captured_fen = 400;
    audit_ledger(shop.now_ms + 24 * HOUR_MS);
    assert_int_equal(line("ledger_captures_accounted")->verdict, AUDIT_PENDING);
    audit_ledger(shop.now_ms + 26 * HOUR_MS);
    assert_int_equal(line("ledger_captures_accounted")->verdict, AUDIT_BROKEN);
}

static void a_proven_attempt_that_took_money_may_still_be_told_of(void **state)
{
    (void)state;
    raw_of("INSERT INTO payments SELECT 77, order_key, 3, channel, 5, 1, amount_fen, 0, 0, 0, created_ms, expires_ms, "
           "0, captured_ms, 0, 0, NULL, 0, NULL, NULL, 0, NULL, 0 FROM payments WHERE order_key = ?1 AND counts = 1",
           at.duplicate);
    ledger_make();
    trade_of(77)->captured_fen = 100;
    audit_ledger(shop.now_ms + 24 * HOUR_MS);
    assert_int_equal(line("ledger_captures_accounted")->verdict, AUDIT_PENDING);
    audit_ledger(shop.now_ms + 26 * HOUR_MS);
    assert_int_equal(line("ledger_captures_accounted")->verdict, AUDIT_BROKEN);
}

static void another_amount_is_broken(void **state)
{
    (void)state;
    ledger_make();
    trade_of(payment_of(at.paid))->captured_fen = 99;
    audit_ledger(shop.now_ms);
    assert_broken("ledger_captures_accounted");
    ledger_make();
    trade_of(payment_of(at.paid_refunded))->refunded_fen = 100;
    audit_ledger(shop.now_ms);
    assert_broken("ledger_refunds_equal");
}

static void a_refund_under_way_is_pending(void **state)
{
    (void)state;
    shop_event(&shop, at.paid, (struct event){.kind = EV_REFUND, .refund = {60}});
    ledger_make();
    trade_of(payment_of(at.paid))->refunded_fen = 60; // done there, not heard of here
    audit_ledger(shop.now_ms);
    assert_broken("");
    assert_int_equal(line("ledger_refunds_equal")->verdict, AUDIT_PENDING);
    trade_of(payment_of(at.paid))->refunded_fen = 61;
    audit_ledger(shop.now_ms);
    assert_broken("ledger_refunds_equal");
}

static void a_capture_the_provider_does_not_know_is_broken(void **state)
{
    (void)state;
    ledger_make();
    trade_of(payment_of(at.paid))->captured_fen = 0;
    audit_ledger(shop.now_ms + 1); // this minute's may be younger than the ledger
    assert_int_equal(line("ledger_captures_known")->verdict, AUDIT_PENDING);
    audit_ledger(shop.now_ms + HOUR_MS / 30);
    assert_broken("ledger_captures_known");
    audit_with(shop.now_ms + HOUR_MS / 30, trades, 0);
    assert_int_equal(line("ledger_captures_known")->n_broken, 6);
    assert_true(strlen(line("ledger_captures_known")->examples) < 200);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%.40s/till-audit-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) return 1;
    snprintf(path, sizeof path, "%s/till.db", dir);
    const struct CMUnitTest tests[] = {
        TEST(a_good_store_holds_on_every_line),
        TEST(what_is_under_way_is_pending),
        TEST(money_held_for_an_operator_is_pending),
        TEST(a_reopened_order_holds),
        TEST(a_release_at_the_deadline_is_pending_while_watched),
        TEST(a_deadline_missed_is_broken_only_while_somebody_should_have_kept_it),
        TEST(each_broken_row_breaks_its_line_and_no_other),
        TEST(a_damaged_page_breaks_integrity),
        TEST(what_is_no_store_is_an_error),
        TEST(an_equal_ledger_holds_and_foreign_trades_are_counted),
        TEST(a_capture_under_a_number_of_ours_without_a_row_is_broken),
        TEST(a_capture_not_noticed_is_pending_while_it_may_still_be),
        TEST(a_proven_attempt_that_took_money_may_still_be_told_of),
        TEST(another_amount_is_broken),
        TEST(a_refund_under_way_is_pending),
        TEST(a_capture_the_provider_does_not_know_is_broken),
    };
    int failed = cmocka_run_group_tests_name("audit", tests, NULL, NULL);
    files_remove();
    rmdir(dir);
    return failed != 0;
}
