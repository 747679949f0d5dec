// SPDX-License-Identifier: Apache-2.0
// /v1/cases: where our books and a provider's differ, until somebody has said what became of it. Opening a case and
// closing it move nothing else.
#include "base/json_in.h"
#include "base/timetext.h"
#include "shell/shell.h"
#include <stdio.h>

// --- Showing

static void id_member(const struct shell *s, struct buf *out, const char *name, const char *prefix, uint64_t key)
{
    char text[ID_TEXT_SIZE];
    if (!key) return;
    id_format(s->secret, prefix, key, text);
    json_kz(out, name, text);
}

static void text_member(struct buf *out, const char *name, struct str text)
{
    if (text.n) json_kstr(out, name, text);
}

static void present_case(const struct shell *s, const struct case_row *c, struct buf *out)
{
    char day[DAY_TEXT_SIZE];
    json_open(out, '{');
    id_member(s, out, "id", "case_", c->key);
    json_kz(out, "state", c->closed_ms ? "closed" : "open");
    json_kz(out, "kind", case_kind_name(c->kind));
    json_kz(out, "channel", channel_name(c->channel));
    json_kz(out, "subject", c->is_refund ? "refund" : "capture");
    json_kstr(out, "out_trade_no", c->number);
    text_member(out, "out_refund_no", c->refund_number);
    text_member(out, "provider_trade_no", c->provider_trade_no);
    json_ki64(out, "amount_here", c->here_fen);
    json_ki64(out, "amount_there", c->there_fen);
    day_to_beijing(c->day_ms, day);
    if (c->day_ms) json_kz(out, "date", day);
    id_member(s, out, "order", "ord_", c->order_key);
    if (c->order_state) json_kz(out, "order_state", order_state_name(c->order_state));
    id_member(s, out, "payment", "pay_", c->payment_key);
    if (c->payment_state) json_kz(out, "payment_state", payment_state_name(c->payment_state));
    json_ktime(out, "opened_at", c->opened_ms);
    if (c->closed_ms) json_ktime(out, "closed_at", c->closed_ms);
    if (c->closed_ms) json_kstr(out, "note", c->note);
    json_close(out, '}');
}

static bool filter_state(struct worker *w, struct http_exchange *x, struct case_filter *f)
{
    struct str state;
    if (!param(w, x, "state", &state)) return false;
    f->is_open = state.p && str_eq(state, STR("open"));
    f->is_closed = state.p && str_eq(state, STR("closed"));
    if (!state.p || f->is_open || f->is_closed) return true;
    http_problem(x, 400, "invalid_parameter", "state is open or closed", NULL);
    return false;
}

void read_cases(struct worker *w, struct http_exchange *x)
{
    static const char *const known[] = {"state", "limit", "cursor", NULL};
    struct case_filter f = {0};
    struct str cursor;
    unsigned limit, n = 0;
    if (!params_only(x, known) || !filter_state(w, x, &f) || !param_limit(w, x, &limit)) return;
    if (!param(w, x, "cursor", &cursor)) return;
    if (cursor.p && !id_parse(w->shell->secret, "case_", cursor, &f.before_key))
        return http_problem(x, 400, "invalid_cursor", "a cursor is what next_cursor said", NULL);
    struct case_row *rows = arena_take(&w->arena, (limit + 1) * sizeof *rows);
    if (!rows || !w->reader->ops->cases(w->reader, &f, rows, limit + 1, &n, &w->arena)) return read_failed(x);
    buf_clear(&w->out);
    list_open(&w->out);
    for (unsigned i = 0; i < n && i < limit; i++)
        present_case(w->shell, &rows[i], &w->out);
    char next[ID_TEXT_SIZE] = "";
    if (n > limit) id_format(w->shell->secret, "case_", rows[limit - 1].key, next);
    list_close(&w->out, n > limit, str_of(next));
    api_respond_json(x, 200, &w->out);
}

void read_case(struct worker *w, struct http_exchange *x, uint64_t key)
{
    struct case_filter f = {.key = key};
    struct case_row row;
    unsigned n = 0;
    if (!w->reader->ops->cases(w->reader, &f, &row, 1, &n, &w->arena)) return read_failed(x);
    if (n == 0) return http_problem(x, 404, "unknown_case", "there is no such case", NULL);
    buf_clear(&w->out);
    present_case(w->shell, &row, &w->out);
    api_respond_json(x, 200, &w->out);
}

void cases_reply(struct api_request *q)
{
    struct buf *out = &q->worker->out;
    buf_clear(out);
    json_open(out, '{');
    json_ki64(out, "opened", q->r.cases.n_opened);
    json_ki64(out, "known", (int64_t)q->r.cases.n - q->r.cases.n_opened);
    json_close(out, '}');
    api_respond_json(q->x, 200, out);
}

// --- Reading

static void kind_in(const struct json_in *in, struct case_row *row)
{
    struct str word;
    if (!json_in_str(in, "kind", true, 32, &word)) return;
    for (int k = CASE_MISSING_HERE; k < CASE_KINDS; k++)
        if (str_eq(word, str_of(case_kind_name((enum case_kind)k)))) row->kind = (enum case_kind)k;
    if (!row->kind) json_in_fail(in, "kind", "unknown_word", "must be missing_here, missing_there or amount_differs");
}

static void channel_in(const struct json_in *in, struct case_row *row)
{
    struct str word;
    if (!json_in_str(in, "channel", true, 32, &word)) return;
    for (unsigned c = CHANNEL_ANY + 1; c < N_CHANNELS; c++)
        if (str_eq(word, str_of(channel_name((enum channel_id)c)))) row->channel = (enum channel_id)c;
    if (row->channel == CHANNEL_ANY) json_in_fail(in, "channel", "unknown_word", "must be a channel's name");
}

static void subject_in(const struct json_in *in, struct case_row *row)
{
    struct str word;
    if (!json_in_str(in, "subject", true, 32, &word)) return;
    row->is_refund = str_eq(word, STR("refund"));
    if (!row->is_refund && !str_eq(word, STR("capture")))
        json_in_fail(in, "subject", "unknown_word", "must be capture or refund");
}

// Numbers come from outside and go out as JSON again.
static void number_in(const struct json_in *in, const char *name, bool required, struct arena *a, struct str *out)
{
    struct str text;
    if (!json_in_str(in, name, required, CASE_NUMBER_MAX, &text)) return;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] <= ' ' || text.p[i] >= 0x7f) {
            json_in_fail(in, name, "out_of_range", "must be visible ASCII");
            return;
        }
    if (text.n) *out = arena_copy(a, text);
}

// What is not there is 0, and what is there is not: so each kind says itself again in its amounts.
static void amounts_in(const struct json_in *in, struct case_row *row)
{
    json_in_int(in, "amount_here", true, 0, AMOUNT_MAX_FEN, &row->here_fen);
    json_in_int(in, "amount_there", true, 0, AMOUNT_MAX_FEN, &row->there_fen);
    bool here = row->kind != CASE_MISSING_HERE, there = row->kind != CASE_MISSING_THERE;
    if (in->fault->code) return;
    if ((row->here_fen > 0) != here || (row->there_fen > 0) != there ||
        (row->kind == CASE_AMOUNT_DIFFERS && row->here_fen == row->there_fen))
        json_in_fail(in, "amount_here", "conflicting_fields", "the amounts are not what the kind says");
}

static void case_in(const struct shell *s, const struct json_in *in, struct case_row *row, struct arena *a)
{
    static const char *const known[] = {
        "kind",         "channel", "subject", "out_trade_no", "out_refund_no", "provider_trade_no", "amount_here",
        "amount_there", "date",    NULL};
    struct str date;
    json_in_only(in, known);
    kind_in(in, row);
    channel_in(in, row);
    subject_in(in, row);
    number_in(in, "out_trade_no", true, a, &row->number);
    number_in(in, "out_refund_no", false, a, &row->refund_number);
    number_in(in, "provider_trade_no", false, a, &row->provider_trade_no);
    amounts_in(in, row);
    if (json_in_str(in, "date", true, 32, &date) && !day_from_beijing(date, &row->day_ms))
        json_in_fail(in, "date", "out_of_range", "must be a day, 2026-11-23");
    if (!id_parse(s->secret, "", row->number, &row->payment_key)) row->payment_key = 0;
}

bool parse_cases(struct worker *w, const json_t *root, struct json_fault *fault, struct api_request *q)
{
    static const char *const known[] = {"cases", NULL};
    struct json_in in = {root, "", fault};
    const json_t *list = NULL;
    json_in_only(&in, known);
    if (!json_in_array(&in, "cases", true, CASES_AT_ONCE_MAX, &list)) return false;
    size_t n = json_array_size(list);
    struct case_row *rows = arena_take(&q->arena, (n + 1) * sizeof *rows);
    if (n == 0) json_in_fail(&in, "cases", "missing_field", "at least one case");
    for (size_t i = 0; i < n && rows && !fault->code; i++) {
        char at[32];
        (void)snprintf(at, sizeof at, "/cases/%zu", i);
        struct json_in one = {json_array_get(list, i), at, fault};
        rows[i] = (struct case_row){0};
        if (json_is_object(one.object))
            case_in(w->shell, &one, &rows[i], &q->arena);
        else
            json_in_fail(&in, "cases", "wrong_type", "each case is an object");
    }
    q->r.cases.rows = rows;
    q->r.cases.n = (unsigned)n;
    return !fault->code;
}
