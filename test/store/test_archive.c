// SPDX-License-Identifier: Apache-2.0
// Old orders move to the archive: only those that are finished, whole, in two durable steps between which anything may
// happen.
#include "fault_vfs.h"
#include "shop.h"
#include "store/archive.h"
#include "store/audit.h"
#include "store/book.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#define GRACE_MS INT64_C(30000)
#define DAY_MS   INT64_C(86400000)
#define KEEP_MS  (3 * DAY_MS)

static char dir[64], path[80], archived_path[96], why[200];
static struct sqlite_options options = {.path = path}, archived = {.path = archived_path};
static struct shop shop;
static struct archive *archive;
static struct archive_batch batch;

static void files_remove(void)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-lock", "-archive", "-archive-wal", "-archive-shm"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        char file[128];
        snprintf(file, sizeof file, "%s%s", path, ends[i]);
        unlink(file);
    }
}

static void open_both(void)
{
    archive = archive_open(&options, shop.now_ms, why);
    if (!archive) fail_msg("%s", why);
}

static int set_up(void **state)
{
    (void)state;
    files_remove();
    shop_open(&shop, sqlite_store_open(&options, SHOP_START_MS, why));
    shop_sku(&shop, "A", 100, 100);
    open_both();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    archive_close(archive);
    archive = NULL;
    shop_close(&shop);
    return 0;
}

static void restart(void)
{
    struct keygen keys = shop.keys;
    int64_t now_ms = shop.now_ms;
    tear_down(NULL);
    shop_open(&shop, sqlite_store_open(&options, now_ms, why));
    shop.keys = keys;
    shop.now_ms = now_ms;
    open_both();
}

static unsigned copy(void)
{
    batch = (struct archive_batch){.before_ms = shop.now_ms - KEEP_MS};
    assert_int_equal(archive_copy(archive, &batch), ARCHIVE_DONE);
    return batch.n_moved;
}

static enum apply_result forget(const struct order_mark *m)
{
    struct change c = {.kind = CHANGE_ARCHIVED, .at_ms = shop.now_ms, .archived = *m};
    return shop_apply(&shop, &c);
}

static unsigned move(void)
{
    unsigned n = copy();
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(forget(&batch.moved[i]), APPLY_DONE);
    return n;
}

static void assert_moved(unsigned n, const uint64_t *keys)
{
    assert_int_equal(batch.n_moved, n);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(batch.moved[i].key, keys[i]);
}

static bool is_in(const struct sqlite_options *o, uint64_t key, struct order_doc *doc)
{
    struct order_doc other;
    bool found = false;
    struct reader *r = sqlite_reader_open(o, why);
    if (!r) fail_msg("%s", why);
    assert_true(r->ops->order(r, key, doc ? doc : &other, &found, &shop.a));
    r->ops->close(r);
    return found;
}

// Nobody looks after deadlines here.
static void assert_whole(void)
{
    struct audit_line lines[AUDIT_LINES_MAX];
    int n = audit_run(path, shop.now_ms, GRACE_MS, NULL, 0, lines, why);
    if (n < 0) fail_msg("%s", why);
    for (int i = 0; i < n; i++)
        if (lines[i].verdict == AUDIT_BROKEN && strcmp(lines[i].name, "deadlines") != 0)
            fail_msg("%s: %s", lines[i].name, lines[i].examples);
}

static uint64_t paid(void)
{
    uint64_t key = shop_place(&shop, CHANNEL_ALIPAY, "A", 1);
    shop_code(&shop, key);
    shop_pay(&shop, key, 100);
    return key;
}

static uint64_t cancelled(void)
{
    uint64_t key = shop_place(&shop, CHANNEL_ALIPAY, "A", 2);
    shop_code(&shop, key);
    shop_cancel(&shop, key);
    return key;
}

static void refund(uint64_t key, int64_t amount_fen)
{
    shop_event(&shop, key, (struct event){.kind = EV_REFUND, .refund = {amount_fen}});
}

static uint64_t events_gone(void)
{
    uint64_t key = 1;
    struct reader *r = sqlite_reader_open(&options, why);
    assert_true(r->ops->events_gone(r, &key));
    r->ops->close(r);
    return key;
}

// --- Which orders

static void finished_and_old_orders_move_and_no_others(void **state)
{
    (void)state;
    uint64_t open = shop_place(&shop, CHANNEL_ALIPAY, "A", 1), keys[3];
    keys[0] = paid();
    keys[1] = cancelled();
    uint64_t refunding = paid(), late = cancelled();
    keys[2] = paid();
    refund(keys[2], 30);
    shop_refund_done(&shop, keys[2]);
    refund(refunding, 30);      // and the provider has not answered
    shop_pay(&shop, late, 200); // goes back, and the provider has not answered
    shop.now_ms += KEEP_MS + 1000;
    uint64_t young = paid();
    assert_int_equal(move(), 3);
    assert_moved(3, keys);
    assert_int_equal(batch.after_key, 0);
    assert_false(is_in(&options, keys[0], NULL));
    assert_true(is_in(&archived, keys[0], NULL));
    uint64_t stay[] = {open, refunding, late, young};
    for (size_t i = 0; i < 4; i++) {
        assert_true(is_in(&options, stay[i], NULL));
        assert_false(is_in(&archived, stay[i], NULL));
    }
    assert_whole();
    assert_int_equal(move(), 0);
}

static void the_last_event_counts_not_the_first(void **state)
{
    (void)state;
    uint64_t key = paid();
    shop.now_ms += KEEP_MS - 1000;
    refund(key, 30);
    shop_refund_done(&shop, key);
    shop.now_ms += 5000;
    assert_int_equal(copy(), 0);
    shop.now_ms += KEEP_MS;
    assert_int_equal(copy(), 1);
}

static void an_order_of_an_open_case_stays(void **state)
{
    (void)state;
    uint64_t key = paid();
    struct case_row row = {.kind = CASE_AMOUNT_DIFFERS,
                           .channel = CHANNEL_ALIPAY,
                           .number = STR("N"),
                           .here_fen = 100,
                           .there_fen = 90,
                           .payment_key = shop_bundle(&shop, key)->payment[0].key};
    struct change c = {
        .kind = CHANGE_CASE, .at_ms = shop.now_ms, .cases = &row, .n_cases = 1, .case_key = shop.keys.last + 1};
    shop.now_ms += KEEP_MS + 1000;
    assert_int_equal(copy(), 1);
    assert_int_equal(shop_apply(&shop, &c), APPLY_DONE); // between the copy and the end
    assert_int_equal(forget(&batch.moved[0]), APPLY_CONFLICT);
    assert_int_equal(copy(), 0);
    struct change end = {
        .kind = CHANGE_CASE_CLOSE, .at_ms = shop.now_ms, .case_key = shop.keys.last + 1, .note = STR("seen")};
    assert_int_equal(shop_apply(&shop, &end), APPLY_DONE);
    assert_int_equal(move(), 1);
}

static void what_is_not_published_stays(void **state)
{
    (void)state;
    uint64_t key = paid(), other = paid();
    (void)key;
    shop.now_ms += KEEP_MS + 1000;
    batch = (struct archive_batch){.before_ms = shop.now_ms - KEEP_MS, .awaits_publishing = true};
    assert_int_equal(archive_copy(archive, &batch), ARCHIVE_DONE);
    assert_int_equal(batch.n_moved, 0);
    struct change c = {
        .kind = CHANGE_CONSUMED, .at_ms = shop.now_ms, .consumer = CONSUMER_OUTBOX, .consumed_key = other - 1};
    assert_int_equal(shop_apply(&shop, &c), APPLY_DONE);
    assert_int_equal(archive_copy(archive, &batch), ARCHIVE_DONE);
    assert_moved(1, &key);
}

static void many_go_in_batches(void **state)
{
    (void)state;
    unsigned n = 0, most = 2 * ARCHIVE_BATCH + 3;
    for (unsigned i = 0; i < most; i++) {
        uint64_t key = shop_place(&shop, CHANNEL_ANY, "A", 1);
        if (i != 5) shop_cancel(&shop, key);
    }
    shop.now_ms += KEEP_MS + 1000;
    batch = (struct archive_batch){.before_ms = shop.now_ms - KEEP_MS};
    do {
        assert_int_equal(archive_copy(archive, &batch), ARCHIVE_DONE);
        for (unsigned i = 0; i < batch.n_moved; i++)
            assert_int_equal(forget(&batch.moved[i]), APPLY_DONE);
        n += batch.n_moved;
    } while (batch.after_key);
    assert_int_equal(n, most - 1);
    assert_whole();
}

// --- What moves

static void everything_of_an_order_comes_along(void **state)
{
    (void)state;
    struct line lines[] = {{STR("A"), STR("A thing"), 1, 100}, {.sku = {NULL, 0}}};
    struct placing *p = shop_prepare(&shop, CHANNEL_ALIPAY, lines);
    p->text.merchant_order_no = STR("M-1");
    p->text.buyer = STR("b");
    p->text.metadata = STR("{\"k\":1}");
    assert_int_equal(shop_apply(&shop, &p->change), APPLY_DONE);
    uint64_t key = p->bundle.order.key, last_event_key;
    shop_code(&shop, key);
    shop_pay(&shop, key, 100);
    refund(key, 30);
    shop_refund_done(&shop, key);
    shop.now_ms += KEEP_MS + 1000;
    struct order_doc before, after;
    struct trace_row story[2][64];
    struct refund refunds[2];
    struct payment payments[2];
    struct event_row events[16];
    unsigned n[2], n_rows;
    struct reader *r = sqlite_reader_open(&options, why);
    assert_true(is_in(&options, key, &before));
    assert_true(r->ops->timeline(r, key, story[0], 64, &n[0], &shop.a));
    assert_true(r->ops->events(r, 0, events, 16, &n_rows, &shop.a));
    last_event_key = events[n_rows - 1].key;
    r->ops->close(r);
    assert_int_equal(events_gone(), 0);
    assert_int_equal(move(), 1);
    assert_int_equal(events_gone(), last_event_key);
    assert_true(is_in(&archived, key, &after));
    assert_int_equal(after.order.version, before.order.version);
    assert_int_equal(after.order.refunded_fen, 30);
    assert_true(str_eq(after.text.merchant_order_no, STR("M-1")) && str_eq(after.text.buyer, STR("b")));
    assert_true(str_eq(after.text.metadata, before.text.metadata) && str_eq(after.text.items, before.text.items));
    assert_string_equal(after.payment.provider_trade_no, before.payment.provider_trade_no);
    r = sqlite_reader_open(&archived, why);
    assert_true(r->ops->timeline(r, key, story[1], 64, &n[1], &shop.a));
    assert_int_equal(n[1], n[0]);
    assert_true(n[0] > 4);
    assert_memory_equal(story[0], story[1], n[0] * sizeof story[0][0]);
    assert_true(r->ops->refunds(r, key, 0, refunds, 2, &n_rows, &shop.a));
    assert_int_equal(n_rows, 1);
    assert_true(r->ops->payments(r, key, payments, 2, &n_rows, &shop.a));
    assert_int_equal(n_rows, 1);
    r->ops->close(r);
    r = sqlite_reader_open(&options, why);
    assert_true(r->ops->events(r, 0, events, 16, &n_rows, &shop.a));
    assert_int_equal(n_rows, 0);
    assert_true(r->ops->timeline(r, key, story[1], 64, &n_rows, &shop.a));
    assert_int_equal(n_rows, 0);
    struct store_totals t;
    assert_true(r->ops->totals(r, shop.now_ms, &t));
    assert_int_equal(t.orders[ORDER_PAID], 1); // the totals count what is in the archive too
    assert_int_equal(t.oldest_ms, 0);
    r->ops->close(r);
    assert_whole();
}

static void a_merchants_number_is_free_again(void **state)
{
    (void)state;
    struct line lines[] = {{STR("A"), STR("A thing"), 1, 100}, {.sku = {NULL, 0}}};
    for (int round = 0; round < 2; round++) {
        struct placing *p = shop_prepare(&shop, CHANNEL_ANY, lines);
        p->text.merchant_order_no = STR("M-1");
        assert_int_equal(shop_apply(&shop, &p->change), APPLY_DONE);
        struct want w = {.kind = WANT_MERCHANT_NO, .text = STR("M-1")};
        assert_true(shop.s->ops->load(shop.s, &w, 1, &shop.a));
        assert_true(w.found && w.bundle->order.key == p->bundle.order.key);
        p = shop_prepare(&shop, CHANNEL_ANY, lines);
        p->text.merchant_order_no = STR("M-1");
        assert_int_equal(shop_apply(&shop, &p->change), APPLY_CONFLICT);
        shop_cancel(&shop, w.bundle->order.key);
        shop.now_ms += KEEP_MS + 1000;
        assert_int_equal(move(), 1);
        w.text = STR("M-1");
        assert_true(shop.s->ops->load(shop.s, &w, 1, &shop.a));
        assert_false(w.found);
        if (round == 0) restart(); // the index in memory is built anew
    }
}

// In one batch: the number is free for the next change, and taken again when the batch is thrown back.
static void a_number_is_taken_until_its_end_is_durable(void **state)
{
    (void)state;
    struct line lines[] = {{STR("A"), STR("A thing"), 1, 100}, {.sku = {NULL, 0}}};
    struct placing *p = shop_prepare(&shop, CHANNEL_ANY, lines);
    p->text.merchant_order_no = STR("M-1");
    assert_int_equal(shop_apply(&shop, &p->change), APPLY_DONE);
    shop_cancel(&shop, p->bundle.order.key);
    shop.now_ms += KEEP_MS + 1000;
    assert_int_equal(copy(), 1);
    struct placing *next = shop_prepare(&shop, CHANNEL_ANY, lines), *wrong = shop_prepare(&shop, CHANNEL_ANY, lines);
    next->text.merchant_order_no = STR("M-1");
    wrong->bundle.order.key =
        next->bundle.order.key; // breaks a rule: the batch is applied again, each change by itself
    struct change c[] = {
        {.kind = CHANGE_ARCHIVED, .at_ms = shop.now_ms, .archived = batch.moved[0]}, next->change, wrong->change};
    assert_int_equal(shop.s->ops->apply(shop.s, c, 3, &shop.a), STORE_DONE);
    assert_int_equal(c[0].result, APPLY_DONE);
    assert_int_equal(c[1].result, APPLY_DONE);
    assert_int_equal(c[2].result, APPLY_CONFLICT);
    struct want w = {.kind = WANT_MERCHANT_NO, .text = STR("M-1")};
    assert_true(shop.s->ops->load(shop.s, &w, 1, &shop.a));
    assert_true(w.found && w.bundle->order.key == next->bundle.order.key);
    assert_whole();
}

// --- Between the two steps

static void what_was_touched_since_stays_and_is_copied_anew(void **state)
{
    (void)state;
    uint64_t key = paid();
    shop.now_ms += KEEP_MS + 1000;
    assert_int_equal(copy(), 1);
    struct order_mark old = batch.moved[0];
    refund(key, 30);
    shop_refund_done(&shop, key);
    assert_int_equal(forget(&old), APPLY_CONFLICT);
    assert_true(is_in(&options, key, NULL));
    assert_whole(); // in both: the store's counts
    struct book *book = book_open(path, why);
    struct book_row row;
    bool found = false;
    struct payment payment = shop_bundle(&shop, key)->payment[0];
    assert_true(book_payment(book, payment.key, &row, &found));
    assert_true(found);
    book_close(book);
    shop.now_ms += KEEP_MS + 1000;
    assert_int_equal(move(), 1);
    struct order_doc doc;
    assert_false(is_in(&options, key, NULL));
    assert_true(is_in(&archived, key, &doc));
    assert_int_equal(doc.order.refunded_fen, 30);
    assert_whole();
}

static void what_was_only_asked_about_since_stays_too(void **state)
{
    (void)state;
    uint64_t key = paid();
    shop.now_ms += KEEP_MS + 1000;
    assert_int_equal(copy(), 1);
    struct order_mark old = batch.moved[0];
    struct bundle *b = shop_bundle(&shop, key);
    struct step step = {.n_traces = 1, .traces = {{.kind = TRACE_OPERATOR}}};
    struct change c = {.kind = CHANGE_ORDER,
                       .at_ms = shop.now_ms,
                       .bundle = b,
                       .step = &step,
                       .first_trace_key = keygen_take(&shop.keys, shop.now_ms, 1)};
    assert_int_equal(shop_apply(&shop, &c), APPLY_DONE);
    assert_int_equal(forget(&old), APPLY_CONFLICT);
    assert_int_equal(move(), 1);
    assert_int_equal(forget(&old), APPLY_CONFLICT); // said twice
}

static void an_order_in_both_is_counted_once_and_moves_after_a_restart(void **state)
{
    (void)state;
    uint64_t key = paid();
    shop.now_ms += KEEP_MS + 1000;
    assert_int_equal(copy(), 1);
    restart();
    assert_true(is_in(&options, key, NULL));
    assert_true(is_in(&archived, key, NULL));
    assert_whole();
    assert_int_equal(move(), 1);
    assert_whole();
    restart();
    assert_whole();
    assert_false(is_in(&options, key, NULL));
    assert_true(is_in(&archived, key, NULL));
}

static bool count_row(void *n, const struct book_row *r)
{
    (void)r;
    ++*(unsigned *)n;
    return true;
}

static void the_books_go_on_in_the_archive(void **state)
{
    (void)state;
    uint64_t first = paid(), second = paid();
    refund(second, 40);
    shop_refund_done(&shop, second);
    uint64_t payment = shop_bundle(&shop, first)->payment[0].key;
    int64_t then_ms = shop.now_ms;
    shop.now_ms += KEEP_MS + 1000;
    assert_int_equal(copy(), 2);
    assert_int_equal(forget(&batch.moved[0]), APPLY_DONE); // the second is in both
    struct book *book = book_open(path, why);
    unsigned n = 0;
    bool found = false;
    struct book_row row;
    assert_true(book_settled(book, CHANNEL_ALIPAY, SHOP_START_MS, then_ms + 1, count_row, &n));
    assert_int_equal(n, 3); // two captures, one refund
    assert_true(book_payment(book, payment, &row, &found));
    assert_true(found && row.amount_fen == 100);
    book_close(book);
}

static void another_stores_archive_is_refused(void **state)
{
    (void)state;
    tear_down(NULL);
    char command[300];
    snprintf(command, sizeof command, "rm %s %s-lock", path, path);
    assert_int_equal(system(command), 0);
    shop_open(&shop, sqlite_store_open(&options, SHOP_START_MS, why));
    assert_null(archive_open(&options, SHOP_START_MS, why));
    assert_non_null(strstr(why, "another store"));
    struct audit_line lines[AUDIT_LINES_MAX];
    assert_int_equal(audit_run(path, shop.now_ms, GRACE_MS, NULL, 0, lines, why), -1);
    assert_non_null(strstr(why, "another store"));
    assert_null(book_open(path, why));
}

// --- Messages

static unsigned messages(enum topic topic)
{
    struct message_row rows[64];
    int n = shop.s->ops->messages(shop.s, topic, 0, rows, 64);
    assert_true(n >= 0);
    return (unsigned)n;
}

static void old_messages_go_when_they_are_consumed(void **state)
{
    (void)state;
    options.keep_ms = KEEP_MS;
    restart();
    options.keep_ms = 0;
    cancelled();
    cancelled();
    shop.policy = POLICY_FORWARD;
    paid();
    struct message_row first;
    assert_int_equal(shop.s->ops->messages(shop.s, TOPIC_CANCEL, 0, &first, 1), 1);
    struct change dead = {.kind = CHANGE_DEAD,
                          .at_ms = shop.now_ms,
                          .first_message_key = keygen_take(&shop.keys, shop.now_ms, 1),
                          .dead = {.topic = TOPIC_DEAD, .type = MESSAGE_CANCEL, .order_key = 1, .sequence = 1}};
    assert_int_equal(shop_apply(&shop, &dead), APPLY_DONE);
    shop.s->ops->tidy(shop.s, shop.now_ms + KEEP_MS);
    assert_int_equal(messages(TOPIC_CANCEL), 2);
    assert_int_equal(messages(TOPIC_PAID), 1);
    shop.now_ms += KEEP_MS + 3600000;
    shop.s->ops->tidy(shop.s, shop.now_ms);
    assert_int_equal(messages(TOPIC_CANCEL), 2); // nobody has taken them
    assert_int_equal(messages(TOPIC_PAID), 0);
    struct change c = {
        .kind = CHANGE_CONSUMED, .at_ms = shop.now_ms, .consumer = CONSUMER_CANCEL, .consumed_key = first.key};
    assert_int_equal(shop_apply(&shop, &c), APPLY_DONE);
    shop.s->ops->tidy(shop.s, shop.now_ms);
    assert_int_equal(messages(TOPIC_CANCEL), 1);
    assert_int_equal(messages(TOPIC_DEAD), 1); // somebody is to look at it
    restart();
    shop.s->ops->tidy(shop.s, shop.now_ms + DAY_MS); // without the setting nothing goes
    assert_int_equal(messages(TOPIC_CANCEL), 1);
}

static void a_message_that_may_be_deleted_is_not_missed(void **state)
{
    (void)state;
    options.keep_ms = KEEP_MS;
    restart();
    options.keep_ms = 0;
    shop.policy = POLICY_FORWARD;
    paid();
    cancelled();
    shop.now_ms += KEEP_MS + 3600000;
    shop.s->ops->tidy(shop.s, shop.now_ms);
    assert_int_equal(messages(TOPIC_PAID), 0);
    struct audit_line lines[AUDIT_LINES_MAX];
    // the dead letter of an order that never was: this line can still break
    int n = audit_run(path, shop.now_ms, GRACE_MS, NULL, 0, lines, why);
    for (int i = 0; i < n; i++)
        if (strcmp(lines[i].name, "messages_told") == 0) assert_int_equal(lines[i].verdict, AUDIT_HOLDS);
    paid();
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "DELETE FROM messages WHERE topic = 2", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    n = audit_run(path, shop.now_ms, GRACE_MS, NULL, 0, lines, why);
    for (int i = 0; i < n; i++)
        if (strcmp(lines[i].name, "messages_told") == 0) {
            assert_int_equal(lines[i].verdict, AUDIT_BROKEN);
            assert_int_equal(lines[i].n_broken, 1);
        }
}

// --- A disk that fails at every place in turn

#define CRASH_ORDERS 2

static const struct sqlite_options DISK = {.path = DISK_DB, .vfs = DISK_VFS},
                                   DISK_ARCHIVE = {.path = DISK_DB "-archive", .vfs = DISK_VFS};

static void disk_close(void)
{
    archive_close(archive);
    archive = NULL;
    shop_close(&shop);
}

// Moves what can be moved until something fails.
static void disk_move(int64_t now_ms)
{
    archive = archive_open(&DISK, now_ms, why);
    if (!archive) return;
    batch = (struct archive_batch){.before_ms = now_ms - KEEP_MS};
    if (archive_copy(archive, &batch) != ARCHIVE_DONE) return;
    for (unsigned i = 0; i < batch.n_moved; i++) {
        struct change c = {.kind = CHANGE_ARCHIVED, .at_ms = now_ms, .archived = batch.moved[i]};
        if (shop.s->ops->apply(shop.s, &c, 1, &shop.a) != STORE_DONE) return;
    }
}

static bool disk_has(const struct sqlite_options *o, uint64_t key, unsigned *n_rows)
{
    struct order_doc doc;
    bool found = false;
    struct trace_row rows[64];
    struct reader *r = sqlite_reader_open(o, why);
    if (!r) return false;
    assert_true(r->ops->order(r, key, &doc, &found, &shop.a));
    assert_true(r->ops->timeline(r, key, rows, 64, n_rows, &shop.a));
    r->ops->close(r);
    return found;
}

// One run: the power fails at that call. False: there are not so many.
static bool crash_at(uint64_t op, enum disk_end end, unsigned *n_both)
{
    uint64_t keys[CRASH_ORDERS];
    unsigned rows[CRASH_ORDERS], n;
    disk_wipe(op);
    struct sqlite_options fresh = DISK;
    fresh.secret = (const uint8_t *)"0123456789abcdef";
    shop_open(&shop, sqlite_store_open(&fresh, SHOP_START_MS, why));
    shop_sku(&shop, "A", 100, 100);
    for (int i = 0; i < CRASH_ORDERS; i++)
        keys[i] = i % 2 ? cancelled() : paid();
    for (int i = 0; i < CRASH_ORDERS; i++)
        assert_true(disk_has(&DISK, keys[i], &rows[i]));
    int64_t now_ms = shop.now_ms + KEEP_MS + 1000;
    disk_crash_at(disk_ops() + op);
    disk_move(now_ms);
    bool is_crash = disk_is_dead();
    disk_kill();
    disk_close();
    disk_crash_at(UINT64_MAX);
    disk_revive(end);
    for (int round = 0; round < 2; round++) { // as it is, and when the work was done once more
        shop_open(&shop, sqlite_store_open(&DISK, now_ms, why));
        archive = archive_open(&DISK, now_ms, why);
        if (!archive) fail_msg("after a crash at %llu: %s", (unsigned long long)op, why);
        for (int i = 0; i < CRASH_ORDERS; i++) {
            bool here = disk_has(&DISK, keys[i], &n), whole = here && n == rows[i];
            bool there = disk_has(&DISK_ARCHIVE, keys[i], &n);
            whole = whole || (there && n == rows[i]);
            if (!whole) fail_msg("an order is lost by a crash at %llu", (unsigned long long)op);
            *n_both += here && there;
            if (round) assert_true(there && !here);
        }
        archive_close(archive);
        archive = NULL;
        if (round == 0) disk_move(now_ms);
        disk_close();
    }
    return is_crash;
}

static void an_order_survives_a_crash_anywhere(void **state)
{
    (void)state;
    static const enum disk_end ends[] = {DISK_PROCESS_KILLED, DISK_LOST_ALL, DISK_LOST_SOME, DISK_LOST_TAIL};
    disk_register();
    for (size_t i = 0; i < 4; i++) {
        unsigned n_both = 0;
        uint64_t op = 1 + i; // each end at every fourth place; together they miss none
        while (crash_at(op, ends[i], &n_both))
            op += 4;
        assert_true(op > 20);
        assert_true(n_both > 0); // some crashes were between the two steps
    }
    disk_free();
}

static void an_archive_that_fails_lets_nothing_go(void **state)
{
    (void)state;
    static const enum disk_fault faults[] = {DISK_FULL, DISK_WRITE_EIO, DISK_SYNC_EIO};
    static const enum archive_result said[] = {ARCHIVE_LATER, ARCHIVE_FAILED, ARCHIVE_FAILED};
    disk_register();
    for (size_t i = 0; i < 3; i++) {
        disk_wipe(i);
        shop_open(&shop, sqlite_store_open(&DISK, SHOP_START_MS, why));
        shop_sku(&shop, "A", 100, 100);
        paid();
        int64_t now_ms = shop.now_ms + KEEP_MS + 1000;
        archive = archive_open(&DISK, now_ms, why);
        batch = (struct archive_batch){.before_ms = now_ms - KEEP_MS};
        disk_fail(faults[i]);
        assert_int_equal(archive_copy(archive, &batch), said[i]);
        assert_true(disk_fault_hit());
        assert_int_equal(batch.n_moved, 0);
        disk_fail(DISK_FINE);
        batch.after_key = 0;
        assert_int_equal(archive_copy(archive, &batch), i == 0 ? ARCHIVE_DONE : ARCHIVE_FAILED);
        assert_int_equal(batch.n_moved, i == 0);
        disk_close();
    }
    disk_free();
}

#define IN_FILES(f)                                                                                                    \
    {                                                                                                                  \
#f, f, set_up, tear_down, NULL                                                                                 \
    }

int main(void)
{
    snprintf(dir, sizeof dir, "/tmp/till-archive-XXXXXX");
    if (!mkdtemp(dir)) return 1;
    snprintf(path, sizeof path, "%s/t.db", dir);
    snprintf(archived_path, sizeof archived_path, "%s-archive", path);
    const struct CMUnitTest tests[] = {
        IN_FILES(finished_and_old_orders_move_and_no_others),
        IN_FILES(the_last_event_counts_not_the_first),
        IN_FILES(an_order_of_an_open_case_stays),
        IN_FILES(what_is_not_published_stays),
        IN_FILES(many_go_in_batches),
        IN_FILES(everything_of_an_order_comes_along),
        IN_FILES(a_merchants_number_is_free_again),
        IN_FILES(a_number_is_taken_until_its_end_is_durable),
        IN_FILES(what_was_touched_since_stays_and_is_copied_anew),
        IN_FILES(what_was_only_asked_about_since_stays_too),
        IN_FILES(an_order_in_both_is_counted_once_and_moves_after_a_restart),
        IN_FILES(the_books_go_on_in_the_archive),
        IN_FILES(another_stores_archive_is_refused),
        IN_FILES(old_messages_go_when_they_are_consumed),
        IN_FILES(a_message_that_may_be_deleted_is_not_missed),
        cmocka_unit_test(an_order_survives_a_crash_anywhere),
        cmocka_unit_test(an_archive_that_fails_lets_nothing_go),
    };
    int failed = cmocka_run_group_tests_name("store-archive", tests, NULL, NULL);
    files_remove();
    rmdir(dir);
    return failed;
}
