// SPDX-License-Identifier: Apache-2.0
// The writer: applying what a turn decided.
//
// A change is refused before its first row is written, so a batch needs no savepoints, with two exceptions:
// stock that runs short at a later line is given back by the opposite moves, and a constraint (which only a
// mistake elsewhere can break) throws the whole batch back, to be applied again with a savepoint around each
// change.
#include "base/log.h"
#include "store/sqlite_inside.h"
#include <jansson.h>

// The log is copied home between turns when it is this long (pages), after a commit when it has got longer,
// and at the last length the writer waits a moment for readers, so that a busy reader cannot make it grow for
// ever.
#define LOG_TIDY_PAGES 2000
#define LOG_LONG_PAGES 8000
#define LOG_WAIT_PAGES 64000

#define IDEM_KEEP_MS   (48 * 3600 * INT64_C(1000))
#define SLACK_MS       (10 * 60 * INT64_C(1000)) // so that a purge is a slice, not a row at a time
#define IDEM_SLICE     512
#define MESSAGES_SLICE 1024

// --- Stock

struct move {
    struct str sku;
    int64_t quantity;
};

static bool stock_step(struct sqlite_store *s, struct str sku, struct stock d, int64_t n)
{
    struct params p = params_of(s, ST_STOCK_MOVE);
    put_text(&p, sku);
    put_i64(&p, d.available * n);
    put_i64(&p, d.held * n);
    put_i64(&p, d.sold * n);
    return statement_run(s, &p) && sqlite3_changes(s->db) == 1;
}

static bool sku_exists(struct sqlite_store *s, struct str sku)
{
    struct params p = params_of(s, ST_SKU);
    put_text(&p, sku);
    bool row = statement_row(s, &p);
    statement_done(&p);
    return row;
}

static void stock_undo(struct sqlite_store *s, const struct move *moves, unsigned n, struct stock d)
{
    struct stock back = {-d.available, -d.held, -d.sold};
    for (unsigned i = n; i-- > 0;)
        if (!stock_step(s, moves[i].sku, back, moves[i].quantity) && s->rc == SQLITE_OK) s->rc = SQLITE_CORRUPT;
}

static enum apply_result stock_move(struct sqlite_store *s, struct change *c, enum stock_move move,
                                    const struct move *moves, unsigned n)
{
    struct stock d = stock_delta(move);
    for (unsigned i = 0; i < n; i++) {
        if (stock_step(s, moves[i].sku, d, moves[i].quantity)) continue;
        if (s->rc != SQLITE_OK) return APPLY_CONFLICT;
        stock_undo(s, moves, i, d);
        c->short_sku = moves[i].sku;
        return sku_exists(s, moves[i].sku) ? APPLY_SHORT : APPLY_MISSING;
    }
    return APPLY_DONE;
}

// What a stored order holds, from its items.
static unsigned moves_parse(struct str items, struct move moves[ORDER_LINES_MAX], struct arena *a)
{
    json_t *root = json_loadb(items.p, items.n, 0, NULL);
    unsigned n = 0;
    size_t i;
    json_t *item;
    json_array_foreach(root, i, item)
    {
        json_t *sku = json_object_get(item, "sku"), *quantity = json_object_get(item, "quantity");
        if (n == ORDER_LINES_MAX || !json_is_string(sku) || !json_is_integer(quantity)) {
            n = 0;
            break;
        }
        moves[n].sku = arena_copy(a, (struct str){json_string_value(sku), json_string_length(sku)});
        moves[n].quantity = json_integer_value(quantity);
        if (!moves[n++].sku.p) {
            n = 0;
            break;
        }
    }
    json_decref(root);
    return n;
}

// --- Rows

static void made_note(struct sqlite_store *s, struct mark_index *ix, uint64_t mark, uint64_t key)
{
    if (mark_index_add(ix, mark, key))
        s->made[s->n_made++] = (struct mark_made){ix, mark, key};
    else if (s->rc == SQLITE_OK)
        s->rc = SQLITE_NOMEM;
}

static void made_undo(struct sqlite_store *s, unsigned down_to)
{
    while (s->n_made > down_to) {
        struct mark_made *m = &s->made[--s->n_made];
        mark_index_remove(m->index, m->mark, m->key);
    }
}

static void key_seen(struct sqlite_store *s, uint64_t key)
{
    if (key > s->tally.last_key) s->tally.last_key = key;
}

static void order_add(struct sqlite_store *s, const struct change *c)
{
    const struct order *o = &c->bundle->order;
    const struct order_text *t = c->text;
    struct params p = params_of(s, ST_ORDER_ADD);
    put_key(&p, o->key);
    put_i64(&p, o->sequence);
    put_i64(&p, o->state);
    put_i64(&p, o->reason);
    put_i64(&p, o->channel);
    put_i64(&p, o->policy);
    put_i64(&p, o->holds_stock);
    put_i64(&p, o->reply_state);
    put_i64(&p, o->reply_version);
    put_i64(&p, o->n_checks);
    put_i64(&p, o->amount_fen);
    put_i64(&p, o->paid_fen);
    put_i64(&p, o->refunded_fen);
    put_i64(&p, o->created_ms);
    put_i64(&p, o->expires_ms);
    put_i64(&p, o->closing_ms);
    put_i64(&p, o->paid_ms);
    put_i64(&p, o->cancelled_ms);
    put_time(&p, o->check_ms);
    put_i64(&p, o->scanned_ms);
    put_time(&p, o->due_ms);
    put_text(&p, t->currency);
    put_text_or_null(&p, t->merchant_order_no);
    uint64_t mark = 0;
    if (t->merchant_order_no.n) {
        mark = text_mark(s->base.secret, "merchant_order_no", t->merchant_order_no);
        put_key(&p, mark);
        put_key(&p, c->request_hash.a);
        put_key(&p, c->request_hash.b);
    } else {
        for (int i = 0; i < 3; i++)
            put_null(&p);
    }
    put_text_or_null(&p, t->buyer);
    if (t->buyer.n)
        put_key(&p, text_mark(s->base.secret, "buyer", t->buyer));
    else
        put_null(&p);
    put_text_or_null(&p, t->subject);
    put_text_or_null(&p, t->items);
    put_text_or_null(&p, t->metadata);
    if (!statement_run(s, &p)) return;
    if (t->merchant_order_no.n) made_note(s, &s->numbers, mark, o->key);
    s->tally.orders[o->state]++;
}

static bool order_set(struct sqlite_store *s, const struct order *o)
{
    struct params p = params_of(s, ST_ORDER_SET);
    put_key(&p, o->key);
    put_i64(&p, o->version);
    put_i64(&p, o->sequence);
    put_i64(&p, o->state);
    put_i64(&p, o->reason);
    put_i64(&p, o->reply_state);
    put_i64(&p, o->reply_version);
    put_i64(&p, o->n_checks);
    put_i64(&p, o->paid_fen);
    put_i64(&p, o->refunded_fen);
    put_i64(&p, o->closing_ms);
    put_i64(&p, o->paid_ms);
    put_i64(&p, o->cancelled_ms);
    put_time(&p, o->check_ms);
    put_i64(&p, o->scanned_ms);
    put_time(&p, o->due_ms);
    put_i64(&p, o->channel);
    return statement_run(s, &p) && sqlite3_changes(s->db) == 1;
}

static void payment_write(struct sqlite_store *s, uint64_t order_key, const struct payment *y, bool added)
{
    struct params p = params_of(s, added ? ST_PAYMENT_ADD : ST_PAYMENT_SET);
    put_key(&p, y->key);
    put_i64(&p, y->state);
    put_i64(&p, y->proof);
    put_i64(&p, y->captured_fen);
    put_i64(&p, y->refunded_fen);
    put_i64(&p, y->refunding_fen);
    put_i64(&p, y->expires_ms);
    put_i64(&p, y->captured_ms);
    put_i64(&p, y->proof_ms);
    put_i64(&p, y->owes);
    put_i64(&p, y->tries);
    put_time(&p, y->due_ms);
    put_i64(&p, y->counts);
    put_text_or_null(&p, (struct str){y->provider_trade_no, strnlen(y->provider_trade_no, PROVIDER_NO_SIZE)});
    put_text_or_null(&p, y->code);
    put_i64(&p, y->word);
    if (added) {
        put_key(&p, order_key);
        put_i64(&p, y->n);
        put_i64(&p, y->channel);
        put_i64(&p, y->amount_fen);
        put_i64(&p, y->created_ms);
        put_i64(&p, y->product);
        put_text_or_null(&p, y->payer);
        key_seen(s, y->key);
    }
    if (statement_run(s, &p) && sqlite3_changes(s->db) != 1) s->rc = SQLITE_CONSTRAINT;
}

static void refund_write(struct sqlite_store *s, uint64_t order_key, const struct refund *f, bool added)
{
    struct params p = params_of(s, added ? ST_REFUND_ADD : ST_REFUND_SET);
    put_key(&p, f->key);
    put_i64(&p, f->state);
    put_i64(&p, f->owes);
    put_i64(&p, f->tries);
    put_i64(&p, f->uncertain);
    put_i64(&p, f->finished_ms);
    put_time(&p, f->due_ms);
    put_i64(&p, f->absents);
    put_i64(&p, f->is_abnormal);
    if (added) {
        put_key(&p, order_key);
        put_key(&p, f->payment_key);
        put_i64(&p, f->cause);
        put_i64(&p, f->amount_fen);
        put_i64(&p, f->created_ms);
        put_key(&p, f->replaces_key);
        key_seen(s, f->key);
    }
    if (statement_run(s, &p) && sqlite3_changes(s->db) != 1) s->rc = SQLITE_CONSTRAINT;
}

static void money_write(struct sqlite_store *s, const struct change *c)
{
    const struct bundle *b = c->bundle;
    for (unsigned i = 0; i < b->n_payments && s->rc == SQLITE_OK; i++)
        if (c->step->payments_changed >> i & 1)
            payment_write(s, b->order.key, &b->payment[i], c->step->payments_added >> i & 1);
    for (unsigned i = 0; i < b->n_refunds && s->rc == SQLITE_OK; i++)
        if (c->step->refunds_changed >> i & 1)
            refund_write(s, b->order.key, &b->refund[i], c->step->refunds_added >> i & 1);
}

static void event_write(struct sqlite_store *s, const struct change *c, unsigned i)
{
    const struct public_event *e = &c->step->events[i];
    struct params p = params_of(s, ST_EVENT_ADD);
    put_key(&p, c->first_event_key + i);
    put_key(&p, c->bundle->order.key);
    put_i64(&p, e->sequence);
    put_i64(&p, c->at_ms);
    put_i64(&p, e->type);
    put_i64(&p, e->state);
    put_i64(&p, e->reason);
    put_key(&p, e->payment_key);
    put_key(&p, e->refund_key);
    put_i64(&p, e->amount_fen);
    statement_run(s, &p);
    key_seen(s, c->first_event_key + i);
}

static void trace_write(struct sqlite_store *s, const struct change *c, unsigned i)
{
    const struct trace *t = &c->step->traces[i];
    struct params p = params_of(s, ST_TRACE_ADD);
    put_key(&p, c->bundle->order.key);
    put_key(&p, c->first_trace_key + i);
    put_i64(&p, c->at_ms);
    put_i64(&p, t->kind);
    put_i64(&p, t->channel);
    put_i64(&p, t->method);
    put_i64(&p, t->outcome);
    put_i64(&p, t->fact);
    put_i64(&p, t->answer);
    put_i64(&p, t->n);
    put_i64(&p, t->took_ms);
    put_text(&p, (struct str){t->detail, strnlen(t->detail, sizeof t->detail)});
    statement_run(s, &p);
    key_seen(s, c->first_trace_key + i);
}

static void message_write(struct sqlite_store *s, const struct message *m, enum topic topic, uint64_t key,
                          int64_t at_ms)
{
    struct params p = params_of(s, ST_MESSAGE_ADD);
    put_i64(&p, topic);
    put_key(&p, key);
    put_i64(&p, at_ms);
    put_i64(&p, m->type);
    put_key(&p, m->order_key);
    put_i64(&p, m->sequence);
    put_i64(&p, m->amount_fen);
    put_i64(&p, m->reason);
    statement_run(s, &p);
    key_seen(s, key);
}

static void half_write(struct sqlite_store *s, uint64_t order_key, const struct half *h)
{
    struct params p = params_of(s, ST_HALF_SET);
    put_key(&p, order_key);
    put_i64(&p, h->state);
    put_i64(&p, h->answer);
    put_i64(&p, h->owes);
    put_i64(&p, h->n_checks);
    put_i64(&p, h->tries);
    put_i64(&p, h->main_sequence);
    put_i64(&p, h->second_sequence);
    put_time(&p, h->due_ms);
    put_text(&p, (struct str){h->at.broker, strnlen(h->at.broker, BROKER_NAME_SIZE)});
    put_i64(&p, h->at.commit_log_offset);
    put_i64(&p, h->at.queue_offset);
    statement_run(s, &p);
    s->has_halves = true;
}

static void story_write(struct sqlite_store *s, const struct change *c)
{
    if (c->step->half_changed) half_write(s, c->bundle->order.key, &c->bundle->half);
    for (unsigned i = 0; i < c->step->n_messages && s->rc == SQLITE_OK; i++) {
        const struct message *m = &c->step->messages[i];
        message_write(s, m, m->topic, c->first_message_key + i, c->at_ms);
    }
    for (unsigned i = 0; i < c->step->n_events && s->rc == SQLITE_OK; i++)
        event_write(s, c, i);
    for (unsigned i = 0; i < c->step->n_traces && s->rc == SQLITE_OK; i++)
        trace_write(s, c, i);
}

static void idem_write(struct sqlite_store *s, const struct idem_record *r)
{
    struct params p = params_of(s, ST_IDEM_ADD);
    uint64_t n = s->idem_last + 1;
    put_key(&p, n);
    put_key(&p, r->scope.a);
    put_key(&p, r->scope.b);
    put_key(&p, r->body.a);
    put_key(&p, r->body.b);
    put_i64(&p, r->at_ms);
    put_i64(&p, r->status);
    put_key(&p, r->order_key);
    if (r->answer.n)
        (void)sqlite3_bind_blob64(p.st, ++p.i, r->answer.p, r->answer.n, SQLITE_STATIC);
    else
        put_null(&p);
    if (!statement_run(s, &p)) return;
    s->idem_last = n; // never given back, not even when the batch is: a gap is no harm
    made_note(s, &s->idems, r->scope.a, n);
}

// --- Changes

static void cart_clear(struct sqlite_store *s, struct str cart)
{
    if (cart.n == 0) return;
    struct params p = params_of(s, ST_CART_CLEAR);
    put_text(&p, cart);
    statement_run(s, &p);
}

static enum apply_result apply_new_order(struct sqlite_store *s, struct change *c)
{
    const struct order *o = &c->bundle->order;
    struct move moves[ORDER_LINES_MAX];
    if (c->n_lines > ORDER_LINES_MAX) return APPLY_FULL;
    if (c->text->merchant_order_no.n && number_find(s, c->text->merchant_order_no)) return APPLY_CONFLICT;
    for (unsigned i = 0; i < c->n_lines; i++)
        moves[i] = (struct move){c->lines[i].sku, c->lines[i].quantity};
    if (c->step->stock != STOCK_STAY) {
        enum apply_result r = stock_move(s, c, c->step->stock, moves, c->n_lines);
        if (r != APPLY_DONE) return r;
    }
    order_add(s, c);
    cart_clear(s, c->cart);
    key_seen(s, o->key);
    return APPLY_DONE;
}

// The stored row an update starts from. False when it is not the version the step was decided on.
static bool order_was(struct sqlite_store *s, const struct order *o, enum order_state *state, bool with_items,
                      struct move moves[ORDER_LINES_MAX], unsigned *n, struct arena *a)
{
    struct params p = params_of(s, ST_ORDER_WAS);
    put_key(&p, o->key);
    bool same = statement_row(s, &p) && sqlite3_column_int64(p.st, 0) == (int64_t)o->version - 1;
    *n = 0;
    if (same) {
        *state = (enum order_state)sqlite3_column_int(p.st, 1);
        if (with_items) {
            const char *items = sqlite3_column_blob(p.st, 2);
            *n = moves_parse((struct str){items, (size_t)sqlite3_column_bytes(p.st, 2)}, moves, a);
            if (*n == 0 && s->rc == SQLITE_OK) s->rc = SQLITE_CORRUPT; // it holds stock, so it has items
        }
    }
    statement_done(&p);
    return same;
}

static enum apply_result apply_order_change(struct sqlite_store *s, struct change *c, struct arena *a)
{
    const struct order *o = &c->bundle->order;
    struct move moves[ORDER_LINES_MAX];
    unsigned n;
    enum order_state was;
    bool moves_stock = c->step->stock != STOCK_STAY;
    if (!order_was(s, o, &was, moves_stock, moves, &n, a)) return APPLY_CONFLICT;
    if (s->rc != SQLITE_OK) return APPLY_CONFLICT;
    if (moves_stock) {
        enum apply_result r = stock_move(s, c, c->step->stock, moves, n);
        if (r != APPLY_DONE) return r;
    }
    if (!order_set(s, o)) { // cannot be: nobody else writes between the two statements
        if (s->rc == SQLITE_OK) s->rc = SQLITE_CORRUPT;
        return APPLY_CONFLICT;
    }
    s->tally.orders[was]--;
    s->tally.orders[o->state]++;
    return APPLY_DONE;
}

static enum apply_result apply_order(struct sqlite_store *s, struct change *c, struct arena *a)
{
    enum apply_result r = APPLY_DONE;
    if (c->step->changed) r = c->bundle->order.version == 1 ? apply_new_order(s, c) : apply_order_change(s, c, a);
    if (r != APPLY_DONE || s->rc != SQLITE_OK) return r;
    money_write(s, c);
    story_write(s, c);
    return APPLY_DONE;
}

// The row as it is now, into c->after; false when there is none.
static bool sku_read(struct sqlite_store *s, struct str sku, struct sku *out, struct arena *a)
{
    struct params p = params_of(s, ST_SKU);
    put_text(&p, sku);
    bool row = statement_row(s, &p);
    if (row) {
        struct columns c = {.st = p.st, .a = a};
        col_sku(&c, out);
        if (c.failed) s->rc = SQLITE_NOMEM;
    }
    statement_done(&p);
    return row;
}

static enum apply_result apply_sku_put(struct sqlite_store *s, struct change *c, struct arena *a)
{
    bool exists = sku_read(s, c->sku.sku, &c->after, a);
    if (s->rc != SQLITE_OK) return APPLY_CONFLICT;
    if (exists && c->with_stock) return APPLY_EXISTS;
    struct params p = params_of(s, exists ? ST_SKU_SET : ST_SKU_ADD);
    put_text(&p, c->sku.sku);
    put_text(&p, c->sku.title);
    put_text(&p, c->sku.currency);
    put_i64(&p, c->sku.price_fen);
    if (!exists) put_i64(&p, c->with_stock ? c->sku.stock.available : 0);
    if (!statement_run(s, &p)) return APPLY_CONFLICT;
    c->created = !exists;
    return sku_read(s, c->sku.sku, &c->after, a) ? APPLY_DONE : APPLY_MISSING;
}

static enum apply_result apply_stock_add(struct sqlite_store *s, struct change *c, struct arena *a)
{
    if (!sku_read(s, c->sku.sku, &c->after, a)) return APPLY_MISSING;
    if (c->after.stock.available != c->sku.stock.available) return APPLY_CONFLICT;
    if (!stock_add(&c->after.stock, c->add)) {
        c->short_sku = c->after.sku;
        return APPLY_SHORT;
    }
    struct params p = params_of(s, ST_STOCK_ADD);
    put_text(&p, c->sku.sku);
    put_i64(&p, c->add);
    statement_run(s, &p);
    return APPLY_DONE;
}

static enum apply_result apply_cart_put(struct sqlite_store *s, const struct change *c)
{
    struct params p;
    if (c->quantity == 0) {
        p = params_of(s, ST_CART_TAKE);
        put_text(&p, c->cart);
        put_text(&p, c->sku.sku);
        statement_run(s, &p);
        return APPLY_DONE;
    }
    if (!sku_exists(s, c->sku.sku)) return APPLY_MISSING;
    p = params_of(s, ST_CART_COUNT);
    put_text(&p, c->cart);
    put_text(&p, c->sku.sku);
    bool full = statement_row(s, &p) && sqlite3_column_int(p.st, 0) >= CART_LINES_MAX;
    statement_done(&p);
    if (full) return APPLY_FULL;
    p = params_of(s, ST_CART_PUT);
    put_text(&p, c->cart);
    put_text(&p, c->sku.sku);
    put_i64(&p, c->quantity);
    statement_run(s, &p);
    return APPLY_DONE;
}

// A case that was there before stays as it is, open or closed: the same difference is not told twice.
static void case_open(struct sqlite_store *s, struct change *c, const struct case_row *row, uint64_t key)
{
    struct params p = params_of(s, ST_CASE_ADD);
    put_key(&p, key);
    put_i64(&p, row->kind);
    put_i64(&p, row->channel);
    put_i64(&p, row->is_refund);
    put_text(&p, row->number);
    put_text(&p, row->refund_number);
    put_text(&p, row->provider_trade_no);
    put_i64(&p, row->here_fen);
    put_i64(&p, row->there_fen);
    put_key(&p, row->payment_key);
    put_i64(&p, row->day_ms);
    put_i64(&p, c->at_ms);
    if (statement_run(s, &p) && sqlite3_changes(s->db) > 0) c->n_opened++;
    key_seen(s, key);
}

static enum apply_result apply_cases(struct sqlite_store *s, struct change *c)
{
    c->n_opened = 0;
    for (unsigned i = 0; i < c->n_cases && s->rc == SQLITE_OK; i++)
        case_open(s, c, &c->cases[i], c->case_key + i);
    return APPLY_DONE;
}

// Closing it again with the same words is done already.
static enum apply_result apply_case_close(struct sqlite_store *s, const struct change *c)
{
    enum apply_result r = APPLY_MISSING;
    struct params p = params_of(s, ST_CASE_WAS);
    put_key(&p, c->case_key);
    bool found = statement_row(s, &p), closed = found && sqlite3_column_type(p.st, 0) != SQLITE_NULL;
    if (found) {
        struct str note = {sqlite3_column_blob(p.st, 1), (size_t)sqlite3_column_bytes(p.st, 1)};
        r = closed && !str_eq(note, c->note) ? APPLY_EXISTS : APPLY_DONE;
    }
    statement_done(&p);
    if (r != APPLY_DONE || closed) return r;
    p = params_of(s, ST_CASE_CLOSE);
    put_key(&p, c->case_key);
    put_i64(&p, c->at_ms);
    put_text(&p, c->note);
    statement_run(s, &p);
    return APPLY_DONE;
}

static enum apply_result apply_consumed(struct sqlite_store *s, const struct change *c)
{
    struct params p = params_of(s, ST_CONSUMED_SET);
    put_i64(&p, c->consumer);
    put_key(&p, c->consumed_key);
    statement_run(s, &p);
    return APPLY_DONE;
}

// Whether the order is still what the archive was given. What was done to it since shows in its version or its traces,
// except that a case was opened.
static bool archived_is_same(struct sqlite_store *s, const struct order_mark *m, uint64_t *merchant_mark)
{
    struct params p = params_of(s, ST_ARCHIVED_WAS);
    put_key(&p, m->key);
    bool same = false;
    if (statement_row(s, &p)) {
        struct columns c = {.st = p.st};
        same = col_i64(&c) == (int64_t)m->version;
        same = (uint64_t)col_i64(&c) == m->last_trace_key && same;
        same = col_i64(&c) != 0 && same;
        *merchant_mark = (uint64_t)col_i64(&c);
    }
    statement_done(&p);
    return same;
}

// The totals by state stay: they count what is in the archive too.
static enum apply_result apply_archived(struct sqlite_store *s, const struct change *c)
{
    static const enum statement forget[] = {ST_ARCHIVED_EVENTS, ST_FORGET_TRACES,   ST_FORGET_EVENTS,
                                            ST_FORGET_REFUNDS,  ST_FORGET_PAYMENTS, ST_FORGET_HALF};
    uint64_t merchant_mark = 0;
    if (!archived_is_same(s, &c->archived, &merchant_mark)) return APPLY_CONFLICT;
    for (size_t i = 0; i < sizeof forget / sizeof forget[0] && s->rc == SQLITE_OK; i++) {
        struct params p = params_of(s, forget[i]);
        put_key(&p, c->archived.key);
        statement_run(s, &p);
    }
    struct params p = params_of(s, ST_FORGET_ORDER);
    put_key(&p, c->archived.key);
    if (s->rc == SQLITE_OK) statement_run(s, &p);
    // An entry without its row finds nothing, so it does no harm until the batch is durable.
    if (merchant_mark) s->freed[s->n_freed++] = (struct mark_made){&s->numbers, merchant_mark, c->archived.key};
    return APPLY_DONE;
}

static enum apply_result change_apply(struct sqlite_store *s, struct change *c, struct arena *a)
{
    c->created = false;
    c->short_sku = STR("");
    enum apply_result r = APPLY_DONE;
    if (c->idem && idem_find(s, c->idem->scope, a, NULL)) return APPLY_CONFLICT;
    switch (c->kind) {
    case CHANGE_ORDER: r = apply_order(s, c, a); break;
    case CHANGE_SKU_PUT: r = apply_sku_put(s, c, a); break;
    case CHANGE_STOCK_ADD: r = apply_stock_add(s, c, a); break;
    case CHANGE_CART_PUT: r = apply_cart_put(s, c); break;
    case CHANGE_CART_CLEAR: cart_clear(s, c->cart); break;
    case CHANGE_CASE: r = apply_cases(s, c); break;
    case CHANGE_CASE_CLOSE: r = apply_case_close(s, c); break;
    case CHANGE_CONSUMED: r = apply_consumed(s, c); break;
    case CHANGE_DEAD: message_write(s, &c->dead, TOPIC_DEAD, c->first_message_key, c->at_ms); break;
    case CHANGE_ARCHIVED: r = apply_archived(s, c); break;
    case CHANGE_IDEM: break;
    }
    if (r != APPLY_DONE || s->rc != SQLITE_OK) return r;
    if (c->idem) idem_write(s, c->idem);
    if (c->at_ms > s->tally.last_ms) s->tally.last_ms = c->at_ms;
    return APPLY_DONE;
}

// --- Batches

static bool run(struct sqlite_store *s, enum statement id)
{
    struct params p = params_of(s, id);
    return statement_run(s, &p);
}

static bool is_constraint(int rc)
{
    return (rc & 0xff) == SQLITE_CONSTRAINT;
}

// A change that breaks a constraint is taken back alone, and called a conflict.
static void change_apply_fenced(struct sqlite_store *s, struct change *c, struct arena *a)
{
    struct tally before = s->tally;
    unsigned n_made = s->n_made, n_freed = s->n_freed;
    if (!run(s, ST_SAVE)) return;
    c->result = change_apply(s, c, a);
    if (is_constraint(s->rc)) {
        log_error("store", "a change breaks a rule of the store and was refused: %s", sqlite3_errmsg(s->db));
        s->rc = SQLITE_OK;
        s->tally = before;
        made_undo(s, n_made);
        s->n_freed = n_freed;
        c->result = APPLY_CONFLICT;
        run(s, ST_SAVE_UNDO);
    }
    if (s->rc == SQLITE_OK) run(s, ST_SAVE_END);
}

static void tally_write(struct sqlite_store *s)
{
    struct params p = params_of(s, ST_TALLY_SET);
    put_key(&p, s->tally.last_key);
    put_i64(&p, s->tally.last_ms);
    for (int i = ORDER_PLACED; i <= ORDER_CANCELLED; i++)
        put_i64(&p, s->tally.orders[i]);
    statement_run(s, &p);
}

enum batch_end { BATCH_DONE, BATCH_BEFORE_COMMIT, BATCH_AT_COMMIT }; // where it failed

static enum batch_end batch_run(struct sqlite_store *s, struct change *changes, unsigned n, bool fenced,
                                struct arena *a)
{
    s->rc = SQLITE_OK;
    s->n_made = s->n_freed = 0;
    if (!run(s, ST_BEGIN)) return BATCH_BEFORE_COMMIT;
    bool all_done = true;
    for (unsigned i = 0; i < n && s->rc == SQLITE_OK; i++) {
        if (changes[i].kind == CHANGE_CONSUMED && changes[i].consumer == CONSUMER_CANCEL && !all_done)
            changes[i].result = APPLY_CONFLICT; // something before it was not taken
        else if (fenced)
            change_apply_fenced(s, &changes[i], a);
        else
            changes[i].result = change_apply(s, &changes[i], a);
        all_done = all_done && changes[i].result == APPLY_DONE;
    }
    if (s->rc != SQLITE_OK) return BATCH_BEFORE_COMMIT;
    tally_write(s);
    if (s->rc != SQLITE_OK) return BATCH_BEFORE_COMMIT;
    return run(s, ST_COMMIT) ? BATCH_DONE : BATCH_AT_COMMIT;
}

// True when nothing of the batch is left, in memory or (as far as rolling back can say) on disk.
static bool batch_undo(struct sqlite_store *s, const struct tally *before)
{
    made_undo(s, 0);
    s->tally = *before;
    if (sqlite3_get_autocommit(s->db)) return true; // SQLite rolled back by itself
    s->rc = SQLITE_OK;
    return run(s, ST_ROLLBACK) && sqlite3_get_autocommit(s->db);
}

// Without this property of the file system SQLite writes the last frame of a commit several times over to
// fill a sector, so a disk that is full at the end may hold a whole commit that was reported as failed.
static bool full_disk_is_clean(struct sqlite_store *s)
{
    sqlite3_file *log = NULL;
    if (sqlite3_file_control(s->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) != SQLITE_OK) return false;
    if (!log || !log->pMethods) return false;
    return (log->pMethods->xDeviceCharacteristics(log) & SQLITE_IOCAP_POWERSAFE_OVERWRITE) != 0;
}

static enum store_outcome batch_failed(struct sqlite_store *s, enum batch_end end, int rc, const struct tally *before)
{
    int kind = rc & 0xff;
    bool harmless = kind == SQLITE_FULL || (end == BATCH_BEFORE_COMMIT && kind == SQLITE_BUSY);
    if (end == BATCH_AT_COMMIT && !full_disk_is_clean(s)) harmless = false;
    bool undone = batch_undo(s, before);
    log_error("store", "a commit failed: %s", sqlite3_errstr(rc));
    if (harmless && undone) return STORE_REFUSED;
    s->broken = true;
    return STORE_UNKNOWN;
}

// Copies the log home. What was committed is in the log either way, so a full disk or a reader in the way is
// no harm; a write or sync that failed is the same bad news as at a commit.
static void log_home(struct sqlite_store *s)
{
    bool wait = s->wal_pages >= LOG_WAIT_PAGES;
    int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, wait ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE, NULL,
                                       NULL);
    int kind = rc & 0xff;
    if (kind == SQLITE_OK || kind == SQLITE_BUSY || kind == SQLITE_FULL) return;
    log_error("store", "copying the log home failed: %s", sqlite3_errstr(rc));
    s->broken = true;
}

enum store_outcome sqlite_apply(struct store *base, struct change *changes, unsigned n, struct arena *a)
{
    struct sqlite_store *s = (struct sqlite_store *)base;
    if (s->broken) return STORE_UNKNOWN;
    if (n == 0) return STORE_DONE;
    s->made = arena_take(a, 2 * n * sizeof *s->made); // a change makes two at most
    s->freed = arena_take(a, n * sizeof *s->freed);   // and frees one
    if (!s->made || !s->freed) return STORE_REFUSED;
    struct tally before = s->tally;
    enum batch_end end = batch_run(s, changes, n, false, a);
    if (end == BATCH_BEFORE_COMMIT && is_constraint(s->rc) && batch_undo(s, &before))
        end = batch_run(s, changes, n, true, a);
    if (end != BATCH_DONE) return batch_failed(s, end, s->rc, &before);
    for (unsigned i = 0; i < s->n_freed; i++)
        mark_index_remove(s->freed[i].index, s->freed[i].mark, s->freed[i].key);
    s->base.last_key = s->tally.last_key;
    s->base.last_ms = s->tally.last_ms;
    if (s->wal_pages >= LOG_LONG_PAGES) log_home(s);
    return STORE_DONE;
}

// --- Housekeeping

struct old_idem {
    uint64_t n, mark;
};

static unsigned idem_old(struct sqlite_store *s, int64_t now_ms, struct old_idem old[IDEM_SLICE])
{
    struct params p = params_of(s, ST_IDEM_OLD);
    put_i64(&p, IDEM_SLICE);
    unsigned n = 0;
    while (n < IDEM_SLICE && statement_row(s, &p)) {
        int64_t at_ms = sqlite3_column_int64(p.st, 2);
        int64_t keep_ms = IDEM_KEEP_MS + (n == 0 ? SLACK_MS : 0);
        if (at_ms >= now_ms - keep_ms) break;
        old[n++] = (struct old_idem){(uint64_t)sqlite3_column_int64(p.st, 0), (uint64_t)sqlite3_column_int64(p.st, 1)};
    }
    statement_done(&p);
    return n;
}

static void idem_purge(struct sqlite_store *s, int64_t now_ms)
{
    struct old_idem old[IDEM_SLICE];
    s->rc = SQLITE_OK;
    s->n_made = 0;
    unsigned n = idem_old(s, now_ms, old);
    if (n == 0 || s->rc != SQLITE_OK || !run(s, ST_BEGIN)) return;
    struct params p = params_of(s, ST_IDEM_PURGE);
    put_key(&p, old[n - 1].n);
    enum batch_end end = BATCH_BEFORE_COMMIT;
    if (statement_run(s, &p)) end = run(s, ST_COMMIT) ? BATCH_DONE : BATCH_AT_COMMIT;
    if (end == BATCH_DONE)
        for (unsigned i = 0; i < n; i++)
            mark_index_remove(&s->idems, old[i].mark, old[i].n);
    else
        (void)batch_failed(s, end, s->rc, &s->tally);
}

// One slice of a topic. False: there is nothing to do, or it went wrong.
static bool messages_slice(struct sqlite_store *s, enum topic topic, int64_t old_ms, uint64_t *up_to_key)
{
    struct params p = params_of(s, ST_MESSAGES_OLD);
    put_i64(&p, topic);
    put_key(&p, key_at(old_ms));
    put_i64(&p, MESSAGES_SLICE);
    bool any = statement_row(s, &p) && sqlite3_column_type(p.st, 0) != SQLITE_NULL &&
               key_ms((uint64_t)sqlite3_column_int64(p.st, 0)) < old_ms - SLACK_MS;
    if (any) *up_to_key = (uint64_t)sqlite3_column_int64(p.st, 1);
    statement_done(&p);
    return any;
}

// Dead letters stay: somebody is to look at them.
static void messages_purge(struct sqlite_store *s, enum topic topic, int64_t old_ms)
{
    uint64_t up_to_key = 0;
    s->rc = SQLITE_OK;
    s->n_made = 0;
    if (!messages_slice(s, topic, old_ms, &up_to_key) || !run(s, ST_BEGIN)) return;
    struct params purge = params_of(s, ST_MESSAGES_PURGE), gone = params_of(s, ST_MESSAGES_GONE);
    put_i64(&purge, topic);
    put_key(&purge, up_to_key);
    put_i64(&gone, old_ms);
    enum batch_end end = BATCH_BEFORE_COMMIT;
    if (statement_run(s, &purge) && statement_run(s, &gone)) end = run(s, ST_COMMIT) ? BATCH_DONE : BATCH_AT_COMMIT;
    if (end != BATCH_DONE) (void)batch_failed(s, end, s->rc, &s->tally);
}

void sqlite_tidy(struct store *base, int64_t now_ms)
{
    struct sqlite_store *s = (struct sqlite_store *)base;
    if (s->broken) return;
    idem_purge(s, now_ms);
    for (int topic = TOPIC_CANCEL; topic <= TOPIC_PAID && s->keep_ms && !s->broken; topic++)
        messages_purge(s, (enum topic)topic, now_ms - s->keep_ms);
    if (!s->broken && s->wal_pages >= LOG_TIDY_PAGES) log_home(s);
}
