// SPDX-License-Identifier: Apache-2.0
#include "sandbox/bill.h"
#include "base/timetext.h"
#include <stdio.h>
#include <stdlib.h>

#define DAY_MS     (INT64_C(24) * 3600 * 1000)
#define TICKET_MAX 33

enum bill_day bill_day_read(struct str text, int64_t now_ms, int64_t *day_ms)
{
    if (!day_from_beijing(text, day_ms)) return BILL_DAY_BAD;
    return *day_ms + DAY_MS <= now_ms ? BILL_DAY_GOOD : BILL_DAY_NOT_OVER;
}

// --- Its rows

static void entry_add(void *ctx, const struct trade *t, const struct refund *r)
{
    struct bill *b = ctx;
    if (b->n == b->cap) {
        size_t cap = b->cap ? 2 * b->cap : 64;
        struct bill_entry *more = realloc(b->entries, cap * sizeof *more);
        if (!more) {
            b->failed = true;
            return;
        }
        b->entries = more;
        b->cap = cap;
    }
    struct bill_entry *e = &b->entries[b->n++];
    *e = (struct bill_entry){.trade = *t, .is_refund = r != NULL, .amount_fen = r ? r->amount_fen : t->code.total_fen};
    if (r) e->refund = *r;
}

void bill_gather(struct sandbox *s, enum sandbox_channel ch, int64_t day_ms, struct bill *b)
{
    *b = (struct bill){.day_ms = day_ms};
    ledger_bill(s->ledger, ch, day_ms, day_ms + DAY_MS, entry_add, b);
    size_t dropped = (size_t)s->faults.bill.drop < b->n ? (size_t)s->faults.bill.drop : b->n;
    if (dropped) memmove(b->entries, b->entries + dropped, (b->n - dropped) * sizeof *b->entries);
    b->n -= dropped;
    if (s->faults.bill.alter && b->n) b->entries[0].amount_fen++;
}

void bill_free(struct bill *b)
{
    free(b->entries);
    *b = (struct bill){0};
}

void bill_text_write(struct buf *out, const char *text)
{
    for (; *text; text++)
        buf_char(out, (unsigned char)*text < 0x20 || *text == '`' ? ' ' : *text);
}

// --- Where it is fetched

static void ticket_make(const struct sandbox *s, enum sandbox_channel ch, const char *day, int64_t until_s,
                        char out[TICKET_MAX])
{
    uint8_t hash[32];
    char text[128];
    int n = snprintf(text, sizeof text, "bill %d %s %lld %s", (int)ch, day, (long long)until_s, s->keys.apiv3_key);
    crypto_sha256((struct str){text, (size_t)n}, hash);
    crypto_hex(hash, (TICKET_MAX - 1) / 2, out);
    crypto_wipe(text, sizeof text);
}

void bill_ticket_write(const struct sandbox *s, enum sandbox_channel ch, int64_t day_ms, int64_t life_ms,
                       struct buf *out)
{
    char day[DAY_TEXT_SIZE], ticket[TICKET_MAX];
    int64_t until_s = (clock_real_ms() + life_ms) / 1000;
    day_to_beijing(day_ms, day);
    ticket_make(s, ch, day, until_s, ticket);
    buf_printf(out, "date=%s&until=%lld&token=%s", day, (long long)until_s, ticket);
}

static bool query_text(struct str query, const char *name, char *out, size_t size)
{
    struct buf b = {0};
    bool ok = http_query(query, name, &b) && b.n > 0 && b.n < size;
    if (ok) memcpy(out, b.p, b.n);
    out[ok ? b.n : 0] = 0;
    buf_free(&b);
    return ok;
}

bool bill_ticket_read(const struct sandbox *s, enum sandbox_channel ch, struct str query, int64_t *day_ms)
{
    char day[DAY_TEXT_SIZE], until[20], said[TICKET_MAX], good[TICKET_MAX];
    if (!query_text(query, "date", day, sizeof day) || !query_text(query, "until", until, sizeof until) ||
        !query_text(query, "token", said, sizeof said) || strlen(said) != TICKET_MAX - 1)
        return false;
    long long until_s = strtoll(until, NULL, 10);
    ticket_make(s, ch, day, until_s, good);
    return crypto_equal(said, good, sizeof good) && clock_real_ms() / 1000 <= until_s &&
           day_from_beijing(str_of(day), day_ms);
}

void bill_base_write(const struct sandbox *s, const struct http_exchange *x, struct buf *out)
{
    struct str host = http_header_single(x, "Host");
    bool good = host.n > 0 && host.n < 256;
    for (size_t i = 0; i < host.n; i++)
        good = good && (strchr(".:-[]", host.p[i]) || (host.p[i] >= '0' && host.p[i] <= '9') ||
                        ((host.p[i] | 32) >= 'a' && (host.p[i] | 32) <= 'z'));
    if (good)
        buf_printf(out, "http://%.*s", (int)host.n, host.p);
    else
        buf_printf(out, "http://127.0.0.1:%u", sandbox_port(s));
}
