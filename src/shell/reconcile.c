// SPDX-License-Identifier: Apache-2.0
#include "shell/reconcile.h"
#include "base/timetext.h"
#include <stdio.h>
#include <stdlib.h>

#define DAY_MS (INT64_C(24) * 3600 * 1000)

struct run {
    struct book *book;
    enum channel_id channel;
    int64_t day_ms;
    const struct bill_source *source;
    struct bill_rows bills[RECONCILE_DAYS_MAX]; // [i]: of i days before; sorted
    bool has_bill[RECONCILE_DAYS_MAX];
    struct reconciled *out;
    struct differences *d;
    char *why;
};

void differences_free(struct differences *d)
{
    free(d->list);
    *d = (struct differences){0};
}

static bool refuse(struct run *r, const char *reason)
{
    (void)snprintf(r->why, RECONCILE_WHY_SIZE, "%s", reason);
    return false;
}

// --- Bills, by kind, number and refund number

static int row_order(const void *a, const void *b)
{
    const struct bill_row *x = a, *y = b;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    int c = strcmp(x->number, y->number);
    return c ? c : strcmp(x->refund_number, y->refund_number);
}

static bool bill_get(struct run *r, unsigned days_before)
{
    struct bill_rows *rows = &r->bills[days_before];
    if (r->has_bill[days_before]) return true;
    if (!r->source->fetch(r->source->ctx, r->day_ms - days_before * DAY_MS, rows, r->why)) return false;
    if (rows->n > 1) qsort(rows->rows, rows->n, sizeof *rows->rows, row_order);
    r->has_bill[days_before] = true;
    return true;
}

static bool bill_has(const struct bill_rows *rows, enum bill_kind kind, const char *number, const char *refund_number)
{
    struct bill_row key = {.kind = kind};
    (void)snprintf(key.number, sizeof key.number, "%s", number);
    (void)snprintf(key.refund_number, sizeof key.refund_number, "%s", refund_number);
    return rows->n && bsearch(&key, rows->rows, rows->n, sizeof key, row_order);
}

// A refund that goes by a number that is none of ours: of this capture and this amount.
static bool bill_has_nameless(const struct run *r, const struct bill_rows *rows, const char *number, int64_t amount_fen)
{
    uint64_t key;
    for (unsigned i = 0; i < rows->n; i++) {
        const struct bill_row *row = &rows->rows[i];
        if (row->kind == BILL_REFUND && strcmp(row->number, number) == 0 && row->amount_fen == amount_fen &&
            !row->is_void && !id_parse(book_secret(r->book), "", str_of(row->refund_number), &key))
            return true;
    }
    return false;
}

// --- Differences

static bool differs(struct run *r, const struct difference *found)
{
    struct differences *d = r->d;
    unsigned which = found->is_refund;
    if (d->n == d->cap) {
        unsigned cap = d->cap ? 2 * d->cap : 32;
        struct difference *more = realloc(d->list, cap * sizeof *more);
        if (!more) return refuse(r, "out of memory");
        d->list = more;
        d->cap = cap;
    }
    d->list[d->n] = *found;
    d->list[d->n++].channel = r->channel;
    switch (found->kind) {
    case CASE_MISSING_HERE: r->out->missing_here[which]++; break;
    case CASE_MISSING_THERE: r->out->missing_there[which]++; break;
    case CASE_AMOUNT_DIFFERS: r->out->differs[which]++; break;
    case CASE_UNKNOWN_NUMBER: break;
    }
    return true;
}

// `ours` NULL: nothing of it is known here, not even what it was to pay.
static bool row_differs(struct run *r, const struct bill_row *row, enum case_kind kind, const struct book_row *ours)
{
    struct difference d = {.kind = kind,
                           .is_refund = row->kind == BILL_REFUND,
                           .here_fen = kind == CASE_AMOUNT_DIFFERS ? ours->amount_fen : 0,
                           .there_fen = row->amount_fen,
                           .order_key = ours ? ours->order_key : 0,
                           .payment_key = ours ? ours->payment_key : 0};
    memcpy(d.number, row->number, sizeof d.number);
    memcpy(d.refund_number, row->refund_number, sizeof d.refund_number);
    memcpy(d.provider_trade_no, row->provider_trade_no, sizeof d.provider_trade_no);
    return differs(r, &d);
}

// --- What the bill has

static bool row_compare(struct run *r, const struct bill_row *row, const struct book_row *ours)
{
    if (ours->amount_fen != row->amount_fen) return row_differs(r, row, CASE_AMOUNT_DIFFERS, ours);
    r->out->matched[row->kind == BILL_REFUND]++;
    return true;
}

static bool capture_look(struct run *r, const struct bill_row *row, const struct book_row *payment)
{
    bool known = payment && payment->amount_fen > 0;
    return known ? row_compare(r, row, payment) : row_differs(r, row, CASE_MISSING_HERE, payment);
}

// A refund of ours that is still under way is no difference: the bill may say so before the provider has told us.
static bool refund_look(struct run *r, const struct bill_row *row, const struct book_row *payment)
{
    struct book_row ours;
    uint64_t number_key = 0;
    bool found = false;
    if (payment && id_parse(book_secret(r->book), "", str_of(row->refund_number), &number_key) &&
        !book_refund(r->book, payment->payment_key, number_key, 0, &ours, &found))
        return refuse(r, "the store cannot be read");
    if (payment && !found && !book_refund(r->book, payment->payment_key, 0, row->amount_fen, &ours, &found))
        return refuse(r, "the store cannot be read");
    if (row->is_void) return true; // no money moved by it, whatever became of it since
    if (found && !ours.is_failed) return row_compare(r, row, &ours);
    return row_differs(r, row, CASE_MISSING_HERE, payment);
}

static bool row_look(struct run *r, const struct bill_row *row, bool is_again)
{
    struct book_row payment;
    uint64_t key;
    bool found = false;
    if (id_parse(book_secret(r->book), "", str_of(row->number), &key) && !book_payment(r->book, key, &payment, &found))
        return refuse(r, "the store cannot be read");
    found = found && payment.channel == r->channel;
    const struct book_row *known = found ? &payment : NULL;
    if (!row->is_void) r->out->there_fen[row->kind == BILL_REFUND] += row->amount_fen;
    if (is_again) return row_differs(r, row, CASE_MISSING_HERE, known); // we can have it once at most
    return row->kind == BILL_REFUND ? refund_look(r, row, known) : capture_look(r, row, known);
}

static bool bill_look(struct run *r)
{
    const struct bill_rows *bill = &r->bills[0];
    for (unsigned i = 0; i < bill->n; i++) {
        const struct bill_row *row = &bill->rows[i];
        bool is_numbered = row->kind == BILL_CAPTURE || row->refund_number[0];
        bool is_again = is_numbered && i > 0 && row_order(row, row - 1) == 0;
        if (!row_look(r, row, is_again)) return false;
    }
    return true;
}

// --- What the book has

static bool is_in(const struct run *r, const struct bill_rows *rows, const struct book_row *ours, const char *number,
                  const char *refund_number)
{
    if (!ours->is_refund) return bill_has(rows, BILL_CAPTURE, number, "");
    return bill_has(rows, BILL_REFUND, number, refund_number) || bill_has_nameless(r, rows, number, ours->amount_fen);
}

// False: it cannot be said. *is_there: one of the days it can be of has it.
static bool look_there(struct run *r, const struct book_row *ours, const char *number, const char *refund_number,
                       bool *is_there)
{
    int64_t first_ms = day_of_beijing(ours->began_ms - RECONCILE_SKEW_MS);
    *is_there = false;
    for (unsigned i = 0; !*is_there && i < RECONCILE_DAYS_MAX; i++) {
        if (r->day_ms - i * DAY_MS < first_ms) break;
        if (!bill_get(r, i)) return false;
        *is_there = is_in(r, &r->bills[i], ours, number, refund_number);
    }
    return true;
}

static bool ours_look(void *ctx, const struct book_row *ours)
{
    struct run *r = ctx;
    bool is_there;
    struct difference d = {.kind = CASE_MISSING_THERE,
                           .is_refund = ours->is_refund,
                           .here_fen = ours->amount_fen,
                           .order_key = ours->order_key,
                           .payment_key = ours->payment_key};
    id_format(book_secret(r->book), "", ours->payment_key, d.number);
    if (ours->is_refund) id_format(book_secret(r->book), "", ours->number_key, d.refund_number);
    if (!look_there(r, ours, d.number, d.refund_number, &is_there)) return false;
    return is_there || differs(r, &d);
}

bool reconcile(struct book *book, enum channel_id channel, int64_t day_ms, const struct bill_source *source,
               struct reconciled *out, struct differences *d, char why[RECONCILE_WHY_SIZE])
{
    struct run r = {
        .book = book, .channel = channel, .day_ms = day_ms, .source = source, .out = out, .d = d, .why = why};
    *out = (struct reconciled){0};
    why[0] = 0;
    bool ok =
        bill_get(&r, 0) && bill_look(&r) &&
        book_settled(book, channel, day_ms - RECONCILE_SKEW_MS, day_ms + DAY_MS - RECONCILE_SKEW_MS, ours_look, &r);
    if (!ok && !why[0]) (void)refuse(&r, "the store cannot be read");
    for (unsigned i = 0; i < RECONCILE_DAYS_MAX; i++)
        bill_rows_free(&r.bills[i]);
    return ok;
}
