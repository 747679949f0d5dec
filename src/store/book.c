// SPDX-License-Identifier: Apache-2.0
#include "store/book.h"
#include "store/sqlite_inside.h"
#include <stdio.h>
#include <stdlib.h>

_Static_assert(CAUSE_MERCHANT == 0 && CAUSE_PROVIDER == 4 && REFUND_SUCCEEDED == 2 && REFUND_FAILED == 3, "BOOK_SQL");

#define PAYMENT_ROW                                                                                                    \
    "SELECT p.channel, 0, p.order_key, p.key, 0, p.captured_fen, p.created_ms, p.captured_ms, 0 FROM payments p "
// A refund by the system goes under the number of its payment (core/refund.c). One by the provider was made before we
// knew of it.
#define NUMBER_KEY "CASE WHEN f.cause = 0 OR f.replaces_key <> 0 THEN f.key ELSE f.payment_key END"
#define REFUND_ROW                                                                                                     \
    "SELECT p.channel, 1, f.order_key, f.payment_key, " NUMBER_KEY ", f.amount_fen, "                                  \
    "CASE WHEN f.cause = 4 THEN p.created_ms ELSE f.created_ms END, f.finished_ms, f.state = 3 "                       \
    "FROM refunds f JOIN payments p ON p.key = f.payment_key "

enum read { RD_PAYMENT, RD_REFUND, RD_REFUND_THEIRS, RD_CAPTURED, RD_REFUNDED, RD_LAST, N_READS };

static const char *const BOOK_SQL[N_READS] = {
    [RD_PAYMENT] = PAYMENT_ROW "WHERE p.key = ?1",
    [RD_REFUND] = REFUND_ROW "WHERE f.order_key = (SELECT order_key FROM payments WHERE key = ?1) "
                             "AND f.payment_key = ?1 AND " NUMBER_KEY " = ?2 ORDER BY f.state = 3, f.key LIMIT 1",
    [RD_REFUND_THEIRS] = REFUND_ROW "WHERE f.order_key = (SELECT order_key FROM payments WHERE key = ?1) "
                                    "AND f.payment_key = ?1 AND f.cause = 4 AND f.amount_fen = ?2 LIMIT 1",
    [RD_CAPTURED] = PAYMENT_ROW "WHERE p.channel = ?1 AND p.captured_fen > 0 AND p.captured_ms >= ?2 "
                                "AND p.captured_ms < ?3 ORDER BY p.key",
    [RD_REFUNDED] = REFUND_ROW "WHERE p.channel = ?1 AND f.state = 2 AND f.finished_ms >= ?2 AND f.finished_ms < ?3 "
                               "ORDER BY f.key",
    [RD_LAST] = "SELECT last_ms FROM tally",
};

struct book {
    sqlite3 *db;
    sqlite3_stmt *st[N_READS];
    uint8_t secret[ID_SECRET_SIZE];
    int64_t last_ms;
};

static bool prepare(struct book *b)
{
    for (int i = 0; i < N_READS; i++)
        if (sqlite3_prepare_v2(b->db, BOOK_SQL[i], -1, &b->st[i], NULL) != SQLITE_OK) return false;
    if (sqlite3_step(b->st[RD_LAST]) != SQLITE_ROW) return false;
    b->last_ms = sqlite3_column_int64(b->st[RD_LAST], 0);
    return sqlite3_reset(b->st[RD_LAST]) == SQLITE_OK;
}

struct book *book_open(const char *path, char why[200])
{
    struct book *b = calloc(1, sizeof *b);
    struct sqlite_options o = {.path = path};
    if (!b) {
        (void)snprintf(why, 200, "out of memory");
        return NULL;
    }
    b->db = sqlite_connect_to_read(&o, b->secret, why);
    if (b->db && sqlite_begin_whole(b->db, path, b->secret, why)) {
        if (prepare(b)) return b;
        (void)snprintf(why, 200, "cannot read the store: %s", sqlite3_errmsg(b->db));
    }
    book_close(b);
    return NULL;
}

void book_close(struct book *b)
{
    if (!b) return;
    for (int i = 0; i < N_READS; i++)
        sqlite3_finalize(b->st[i]);
    sqlite3_close(b->db);
    free(b);
}

const uint8_t *book_secret(const struct book *b)
{
    return b->secret;
}

int64_t book_last_ms(const struct book *b)
{
    return b->last_ms;
}

static void row_of(sqlite3_stmt *st, struct book_row *r)
{
    struct columns c = {.st = st};
    r->channel = (enum channel_id)col_i64(&c);
    r->is_refund = col_i64(&c) != 0;
    r->order_key = (uint64_t)col_i64(&c);
    r->payment_key = (uint64_t)col_i64(&c);
    r->number_key = (uint64_t)col_i64(&c);
    r->amount_fen = col_i64(&c);
    r->began_ms = col_i64(&c);
    r->settled_ms = col_i64(&c);
    r->is_failed = col_i64(&c) != 0;
}

static bool one_row(struct book *b, enum read which, uint64_t key, int64_t second, struct book_row *out, bool *found)
{
    struct params p = {.st = b->st[which]};
    put_key(&p, key);
    if (which != RD_PAYMENT) put_i64(&p, second);
    int rc = sqlite3_step(p.st);
    *found = rc == SQLITE_ROW;
    if (*found) row_of(p.st, out);
    (void)sqlite3_reset(p.st);
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

bool book_payment(struct book *b, uint64_t payment_key, struct book_row *out, bool *found)
{
    return one_row(b, RD_PAYMENT, payment_key, 0, out, found);
}

bool book_refund(struct book *b, uint64_t payment_key, uint64_t number_key, int64_t amount_fen, struct book_row *out,
                 bool *found)
{
    if (!number_key) return one_row(b, RD_REFUND_THEIRS, payment_key, amount_fen, out, found);
    return one_row(b, RD_REFUND, payment_key, (int64_t)number_key, out, found);
}

static bool settled(struct book *b, enum read which, enum channel_id channel, int64_t from_ms, int64_t until_ms,
                    bool (*row)(void *ctx, const struct book_row *r), void *ctx)
{
    struct book_row r = {0};
    struct params p = {.st = b->st[which]};
    put_i64(&p, channel);
    put_i64(&p, from_ms);
    put_i64(&p, until_ms);
    bool goes_on = true;
    int rc = sqlite3_step(p.st);
    for (; rc == SQLITE_ROW && goes_on; rc = sqlite3_step(p.st)) {
        row_of(p.st, &r);
        goes_on = row(ctx, &r);
    }
    (void)sqlite3_reset(p.st);
    return rc == SQLITE_DONE && goes_on;
}

bool book_settled(struct book *b, enum channel_id channel, int64_t from_ms, int64_t until_ms,
                  bool (*row)(void *ctx, const struct book_row *r), void *ctx)
{
    return settled(b, RD_CAPTURED, channel, from_ms, until_ms, row, ctx) &&
           settled(b, RD_REFUNDED, channel, from_ms, until_ms, row, ctx);
}
