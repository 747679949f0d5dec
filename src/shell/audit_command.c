// SPDX-License-Identifier: Apache-2.0
// `till audit`: the store's promises, one line each, beside the provider's own ledger when there is one to ask.
#include "base/json_in.h"
#include "base/timetext.h"
#include "port/clock.h"
#include "shell/commands.h"
#include "shell/flags.h"
#include "shell/help.h"
#include "shell/service.h"
#include "shell/shell.h"
#include "store/audit.h"
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGES_MAX 100000
#define GRACE_MS  (5 * 60 * INT64_C(1000))

struct ledger {
    struct ledger_trade *trades;
    unsigned n, cap;
};

static size_t collect(char *p, size_t size, size_t n, void *out)
{
    struct buf *b = out;
    if (b->n + size * n > 16 * 1024 * 1024) return 0;
    buf_add(b, p, size * n);
    return b->failed ? 0 : size * n;
}

static json_t *fetch(CURL *c, const char *url)
{
    struct buf body = {0};
    struct json_fault fault = {0};
    long status = 0;
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_TIMEOUT, 10L);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &body);
    json_t *root = NULL;
    if (curl_easy_perform(c) == CURLE_OK && curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK &&
        status == 200)
        root = json_read_object(buf_view(&body), &fault);
    buf_free(&body);
    return root;
}

static bool trade_add(struct ledger *l, const json_t *row)
{
    if (l->n == l->cap) {
        unsigned cap = l->cap ? 2 * l->cap : 1024;
        struct ledger_trade *more = realloc(l->trades, cap * sizeof *more);
        if (!more) return false;
        l->trades = more;
        l->cap = cap;
    }
    const char *number = json_string_value(json_object_get(row, "out_trade_no"));
    struct ledger_trade *t = &l->trades[l->n];
    *t = (struct ledger_trade){.captured_fen = json_integer_value(json_object_get(row, "captured_amount")),
                               .refunded_fen = json_integer_value(json_object_get(row, "refunded_amount"))};
    const char *paid_at = json_string_value(json_object_get(row, "paid_at"));
    if (paid_at && !time_from_rfc3339(str_of(paid_at), &t->captured_ms)) return false;
    if (!number || strlen(number) >= sizeof t->out_trade_no) return false;
    memcpy(t->out_trade_no, number, strlen(number) + 1);
    l->n++;
    return true;
}

static bool ledger_read(struct ledger *l, const char *base)
{
    CURL *c = curl_easy_init();
    char cursor[64] = "";
    bool more = c != NULL, ok = more;
    for (unsigned page = 0; ok && more && page < PAGES_MAX; page++) {
        char url[512];
        (void)snprintf(url, sizeof url, "%s/wallet/trades?limit=200%s%s", base, cursor[0] ? "&cursor=" : "", cursor);
        json_t *root = fetch(c, url);
        const json_t *data = json_object_get(root, "data");
        const char *next = json_string_value(json_object_get(root, "next_cursor"));
        ok = json_is_array(data);
        for (size_t i = 0; ok && i < json_array_size(data); i++)
            ok = trade_add(l, json_array_get(data, i));
        more = json_is_true(json_object_get(root, "has_more")) && next && strlen(next) < sizeof cursor;
        if (more) memcpy(cursor, next, strlen(next) + 1);
        json_decref(root);
    }
    if (c) curl_easy_cleanup(c);
    return ok;
}

static const char *const VERDICTS[] = {"holds", "pending", "BROKEN"};

static void print_line(const struct audit_line *l)
{
    (void)printf("%-8s %-32s %10lld checked", VERDICTS[l->verdict], l->name, (long long)l->n_checked);
    if (l->n_pending) (void)printf(", %lld pending", (long long)l->n_pending);
    if (l->n_broken) (void)printf(", %lld broken", (long long)l->n_broken);
    if (l->examples[0]) (void)printf(": %s", l->examples);
    (void)printf("\n");
}

static void print_json(const struct audit_line *lines, int n, bool broken)
{
    struct buf b = {0};
    json_open(&b, '{');
    json_kz(&b, "verdict", broken ? "BROKEN" : "holds");
    json_key(&b, "lines");
    json_open(&b, '[');
    for (int i = 0; i < n; i++) {
        json_open(&b, '{');
        json_kz(&b, "name", lines[i].name);
        json_kz(&b, "meaning", lines[i].meaning);
        json_kz(&b, "verdict", VERDICTS[lines[i].verdict]);
        json_ki64(&b, "checked", lines[i].n_checked);
        json_ki64(&b, "pending", lines[i].n_pending);
        json_ki64(&b, "broken", lines[i].n_broken);
        json_kz(&b, "examples", lines[i].examples);
        json_close(&b, '}');
    }
    json_close(&b, ']');
    json_close(&b, '}');
    (void)printf("%.*s\n", (int)b.n, b.p);
    buf_free(&b);
}

static int audit(const char *path, const struct ledger *l, bool with_ledger, bool as_json)
{
    struct audit_line lines[AUDIT_LINES_MAX];
    char why[200];
    int n = audit_run(path, clock_real_ms() + test_clock_offset_of_store(path), GRACE_MS,
                      with_ledger ? l->trades : NULL, l->n, lines, why);
    if (n < 0) {
        (void)fprintf(stderr, "till audit: %s\n", why);
        return 1;
    }
    bool broken = false;
    for (int i = 0; i < n; i++)
        broken = broken || lines[i].verdict == AUDIT_BROKEN;
    if (as_json)
        print_json(lines, n, broken);
    else
        for (int i = 0; i < n; i++)
            print_line(&lines[i]);
    return broken ? 1 : 0;
}

int audit_command(int argc, char **argv)
{
    const char *url = "sqlite:till-data/till.db", *sandbox = "";
    bool as_json = false;
    const struct flag flags[] = {
        {.name = "--store", .kind = FLAG_TEXT, .out = &url},
        {.name = "--sandbox", .kind = FLAG_TEXT, .out = &sandbox},
        {.name = "--json", .kind = FLAG_SWITCH, .out = &as_json},
        {.name = NULL},
    };
    struct flag_input in = {.argc = argc, .argv = argv, .flags = flags};
    char why[FLAG_WHY_SIZE], path_why[200];
    if (!flags_read(&in, why)) return usage_error("audit", why);
    const char *path = store_path(url, path_why);
    if (!path) return usage_error("audit", path_why);
    struct ledger l = {0};
    int status = 1;
    if (sandbox[0] && !ledger_read(&l, sandbox))
        (void)fprintf(stderr, "till audit: the ledger at %s cannot be read\n", sandbox);
    else
        status = audit(path, &l, sandbox[0] != 0, as_json);
    free(l.trades);
    return status;
}
