// SPDX-License-Identifier: Apache-2.0
// Rows to structs and back, for the writer and the readers.
#include "store/sqlite_inside.h"
#include <stdio.h>

int64_t col_i64(struct columns *c)
{
    return sqlite3_column_int64(c->st, c->i++);
}

int64_t col_time(struct columns *c)
{
    if (sqlite3_column_type(c->st, c->i) != SQLITE_NULL) return col_i64(c);
    c->i++;
    return TIME_NEVER;
}

struct str col_text(struct columns *c)
{
    int i = c->i++;
    const void *p = sqlite3_column_blob(c->st, i);
    int n = sqlite3_column_bytes(c->st, i);
    if (!p || n <= 0) {
        if (sqlite3_errcode(sqlite3_db_handle(c->st)) == SQLITE_NOMEM) c->failed = true;
        return STR("");
    }
    struct str copy = arena_copy(c->a, (struct str){p, (size_t)n});
    if (!copy.p) c->failed = true;
    return copy;
}

struct hash128 col_hash(struct columns *c)
{
    uint64_t a = (uint64_t)col_i64(c);
    return (struct hash128){a, (uint64_t)col_i64(c)};
}

void put_i64(struct params *p, int64_t v)
{
    (void)sqlite3_bind_int64(p->st, ++p->i, v);
}

void put_key(struct params *p, uint64_t v)
{
    put_i64(p, (int64_t)v);
}

void put_null(struct params *p)
{
    (void)sqlite3_bind_null(p->st, ++p->i);
}

void put_time(struct params *p, int64_t ms)
{
    if (ms == TIME_NEVER)
        put_null(p);
    else
        put_i64(p, ms);
}

// Borrowed until the statement is bound anew: nobody steps a statement whose texts are gone.
void put_text(struct params *p, struct str s)
{
    (void)sqlite3_bind_text64(p->st, ++p->i, s.n ? s.p : "", s.n, SQLITE_STATIC, SQLITE_UTF8);
}

void put_text_or_null(struct params *p, struct str s)
{
    if (s.n == 0)
        put_null(p);
    else
        put_text(p, s);
}

void col_order(struct columns *c, struct order *o)
{
    o->key = (uint64_t)col_i64(c);
    o->version = (uint32_t)col_i64(c);
    o->sequence = (uint32_t)col_i64(c);
    o->state = (enum order_state)col_i64(c);
    o->reason = (enum cancel_reason)col_i64(c);
    o->channel = (enum channel_id)col_i64(c);
    o->policy = (enum policy)col_i64(c);
    o->holds_stock = col_i64(c) != 0;
    o->reply_state = (enum order_state)col_i64(c);
    o->reply_version = (uint32_t)col_i64(c);
    o->n_checks = (uint32_t)col_i64(c);
    o->amount_fen = col_i64(c);
    o->paid_fen = col_i64(c);
    o->refunded_fen = col_i64(c);
    o->created_ms = col_i64(c);
    o->expires_ms = col_i64(c);
    o->closing_ms = col_i64(c);
    o->paid_ms = col_i64(c);
    o->cancelled_ms = col_i64(c);
    o->check_ms = col_time(c);
    o->scanned_ms = col_i64(c);
    o->due_ms = col_time(c);
}

void col_order_text(struct columns *c, struct order_text *t)
{
    t->merchant_order_no = col_text(c);
    t->buyer = col_text(c);
    t->subject = col_text(c);
    t->currency = col_text(c);
    t->items = col_text(c);
    t->metadata = col_text(c);
}

void col_payment(struct columns *c, struct payment *p)
{
    memset(p, 0, sizeof *p);
    p->key = (uint64_t)col_i64(c);
    p->n = (uint32_t)col_i64(c);
    p->channel = (enum channel_id)col_i64(c);
    p->state = (enum payment_state)col_i64(c);
    p->proof = (enum proof)col_i64(c);
    p->amount_fen = col_i64(c);
    p->captured_fen = col_i64(c);
    p->refunded_fen = col_i64(c);
    p->refunding_fen = col_i64(c);
    p->created_ms = col_i64(c);
    p->expires_ms = col_i64(c);
    p->captured_ms = col_i64(c);
    p->proof_ms = col_i64(c);
    p->owes = (enum call_method)col_i64(c);
    p->tries = (uint32_t)col_i64(c);
    p->due_ms = col_time(c);
    p->counts = col_i64(c) != 0;
    struct str number = col_text(c);
    if (number.n < PROVIDER_NO_SIZE) memcpy(p->provider_trade_no, number.p, number.n);
    p->code = col_text(c);
    p->product = (enum product)col_i64(c);
    p->payer = col_text(c);
    p->word = (enum word)col_i64(c);
}

void col_refund(struct columns *c, struct refund *f)
{
    f->key = (uint64_t)col_i64(c);
    f->payment_key = (uint64_t)col_i64(c);
    f->state = (enum refund_state)col_i64(c);
    f->cause = (enum refund_cause)col_i64(c);
    f->owes = (enum call_method)col_i64(c);
    f->tries = (uint32_t)col_i64(c);
    f->uncertain = col_i64(c) != 0;
    f->amount_fen = col_i64(c);
    f->created_ms = col_i64(c);
    f->finished_ms = col_i64(c);
    f->due_ms = col_time(c);
    f->absents = (uint32_t)col_i64(c);
    f->is_abnormal = col_i64(c) != 0;
    f->replaces_key = (uint64_t)col_i64(c);
}

void col_half(struct columns *c, struct half *h)
{
    memset(h, 0, sizeof *h);
    h->state = (enum half_state)col_i64(c);
    h->answer = (enum message_answer)col_i64(c);
    h->owes = (unsigned)col_i64(c);
    h->n_checks = (uint32_t)col_i64(c);
    h->tries = (uint32_t)col_i64(c);
    h->main_sequence = (uint32_t)col_i64(c);
    h->second_sequence = (uint32_t)col_i64(c);
    h->due_ms = col_time(c);
    struct str broker = col_text(c);
    if (broker.n < BROKER_NAME_SIZE) memcpy(h->at.broker, broker.p, broker.n);
    h->at.commit_log_offset = col_i64(c);
    h->at.queue_offset = col_i64(c);
}

void col_message(struct columns *c, struct message_row *m)
{
    m->message.topic = (enum topic)col_i64(c);
    m->key = (uint64_t)col_i64(c);
    m->at_ms = col_i64(c);
    m->message.type = (enum message_type)col_i64(c);
    m->message.order_key = (uint64_t)col_i64(c);
    m->message.sequence = (uint32_t)col_i64(c);
    m->message.amount_fen = col_i64(c);
    m->message.reason = (enum cancel_reason)col_i64(c);
}

void col_case(struct columns *c, struct case_row *r)
{
    r->key = (uint64_t)col_i64(c);
    r->kind = (enum case_kind)col_i64(c);
    r->channel = (enum channel_id)col_i64(c);
    r->is_refund = col_i64(c) != 0;
    r->number = col_text(c);
    r->refund_number = col_text(c);
    r->provider_trade_no = col_text(c);
    r->here_fen = col_i64(c);
    r->there_fen = col_i64(c);
    r->order_key = (uint64_t)col_i64(c);
    r->payment_key = (uint64_t)col_i64(c);
    r->day_ms = col_i64(c);
    r->opened_ms = col_i64(c);
    r->closed_ms = col_i64(c);
    r->note = col_text(c);
    r->order_state = (enum order_state)col_i64(c);
    r->payment_state = (enum payment_state)col_i64(c);
}

const char *case_kind_name(enum case_kind k)
{
    switch (k) {
    case CASE_UNKNOWN_NUMBER: return "unknown_number";
    case CASE_MISSING_HERE: return "missing_here";
    case CASE_MISSING_THERE: return "missing_there";
    case CASE_AMOUNT_DIFFERS: return "amount_differs";
    }
    return "";
}

void col_sku(struct columns *c, struct sku *s)
{
    s->sku = col_text(c);
    s->title = col_text(c);
    s->currency = col_text(c);
    s->price_fen = col_i64(c);
    s->stock.available = col_i64(c);
    s->stock.held = col_i64(c);
    s->stock.sold = col_i64(c);
}

uint64_t text_mark(const uint8_t secret[ID_SECRET_SIZE], const char *kind, struct str text)
{
    struct str parts[2] = {str_of(kind), text};
    return id_hash(secret, parts, 2).a;
}

bool sqlite_run(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
}

sqlite3 *sqlite_connect(const struct sqlite_options *o, int flags, char why[200])
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(o->path, &db, flags | SQLITE_OPEN_NOMUTEX, o->vfs);
    char cache[64];
    snprintf(cache, sizeof cache, "PRAGMA cache_size = -%u", (o->cache_mib ? o->cache_mib : 16) * 1024);
    bool ok = rc == SQLITE_OK && sqlite3_extended_result_codes(db, 1) == SQLITE_OK &&
              sqlite3_busy_timeout(db, 2000) == SQLITE_OK && sqlite_run(db, cache) &&
              sqlite_run(db, "PRAGMA temp_store = MEMORY") && sqlite_run(db, "PRAGMA mmap_size = 0") &&
              sqlite_run(db, "PRAGMA trusted_schema = OFF");
    if (ok) return db;
    snprintf(why, 200, "cannot open %s: %s", o->path, db ? sqlite3_errmsg(db) : "out of memory");
    sqlite3_close(db);
    return NULL;
}

bool sqlite_secret_read(sqlite3 *db, uint8_t secret[ID_SECRET_SIZE])
{
    sqlite3_stmt *st = NULL;
    bool ok = sqlite3_prepare_v2(db, "SELECT secret FROM meta", -1, &st, NULL) == SQLITE_OK &&
              sqlite3_step(st) == SQLITE_ROW && sqlite3_column_bytes(st, 0) == ID_SECRET_SIZE;
    if (ok) memcpy(secret, sqlite3_column_blob(st, 0), ID_SECRET_SIZE);
    sqlite3_finalize(st);
    return ok;
}
