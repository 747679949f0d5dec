// SPDX-License-Identifier: Apache-2.0
#include "policies.h"
#include "base/log.h"
#include "broker_model.h"
#include "checker.h"
#include "clients.h"
#include "fault_vfs.h"
#include "node.h"
#include "provider_model.h"
#include "shell/flags.h"
#include "shell/help.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

// As till serve has them (src/shell/service.c and config_keys.c).
static const struct rules SHIPPED = {
    .close_grace_ms = 30 * SECOND_MS,
    .release = RELEASE_PROOF,
    .late_payment = LATE_REFUND,
    .checkback = {.first_ms = 30 * SECOND_MS, .interval_ms = 30 * SECOND_MS},
    .cancel_wait_ms = 5 * SECOND_MS,
    .call_deadline_ms = 5 * SECOND_MS,
    .code_min_life_ms = MINUTE_MS,
    .code_max_life_ms = 115 * MINUTE_MS,
    .refund_query_ms = 10 * SECOND_MS,
};

#define SHOP_ORDERS    400  // the simulated world holds 512
#define FIRST_FEN      1000 // what order i of a shop costs is FIRST_FEN + i: by that it is known again
#define IDLE_ORDERS    20
#define IDLE_WINDOW_MS (100 * MINUTE_MS) // shorter than a code's life

struct placing { // what is posted to the node, which has it until it is answered
    struct request r;
    uint64_t order_key;
    int64_t money_ms; // when the buyer paid
    struct buyer buyer;
};

struct shop { // one world, from its opening until nothing is owed
    struct world *w;
    const struct row *row;
    int64_t pay_within_ms;
    struct placing placings[SHOP_ORDERS];
    unsigned n, n_done;
    struct tally *tally;
};

// --- Samples

static void samples_add(struct samples *s, int64_t ms)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 1024;
        s->ms = realloc(s->ms, s->cap * sizeof *s->ms);
        if (!s->ms) abort();
    }
    s->ms[s->n++] = ms;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void samples_merge(struct samples *to, const struct samples *from)
{
    for (uint64_t i = 0; i < from->n; i++)
        samples_add(to, from->ms[i]);
}

static void samples_sort(struct samples *s)
{
    if (s->n) qsort(s->ms, s->n, sizeof *s->ms, by_value);
}

int64_t samples_mean(const struct samples *s)
{
    int64_t sum = 0;
    for (uint64_t i = 0; i < s->n; i++)
        sum += s->ms[i];
    return s->n ? (sum + (int64_t)s->n / 2) / (int64_t)s->n : 0;
}

int64_t samples_quantile(const struct samples *s, unsigned permille)
{
    if (s->n == 0) return 0;
    uint64_t i = s->n * permille / 1000;
    return s->ms[i < s->n ? i : s->n - 1];
}

static void tally_merge(struct tally *to, const struct tally *from)
{
    to->orders += from->orders;
    to->paid += from->paid;
    to->cancelled += from->cancelled;
    to->late += from->late;
    to->calls += from->calls;
    to->queries += from->queries;
    to->checkbacks += from->checkbacks;
    to->messages += from->messages;
    to->bytes += from->bytes;
    samples_merge(&to->paid_ms, &from->paid_ms);
    samples_merge(&to->lost_ms, &from->lost_ms);
    samples_merge(&to->cancel_ms, &from->cancel_ms);
    samples_merge(&to->beyond_ms, &from->beyond_ms);
}

static void tally_sort(struct tally *t)
{
    samples_sort(&t->paid_ms);
    samples_sort(&t->lost_ms);
    samples_sort(&t->cancel_ms);
    samples_sort(&t->beyond_ms);
}

static void tally_free(struct tally *t)
{
    free(t->paid_ms.ms);
    free(t->lost_ms.ms);
    free(t->cancel_ms.ms);
    free(t->beyond_ms.ms);
}

// --- A shop's orders

static struct placing *placing_of(struct shop *s, uint64_t order_key)
{
    for (unsigned i = 0; i < s->n; i++)
        if (s->placings[i].order_key == order_key) return &s->placings[i];
    return NULL;
}

static void place(struct world *w, struct happening *h)
{
    struct shop *s = w->cast_ctx;
    struct placing *p = &s->placings[h->a];
    p->r.kind = REQUEST_PLACE;
    p->r.place = (struct order_wish){.channel = CHANNEL_ALIPAY,
                                     .policy = s->row->policy,
                                     .pay_within_ms = s->pay_within_ms,
                                     .amount_fen = FIRST_FEN + (int64_t)h->a,
                                     .text = {.currency = STR("CNY"), .subject = STR("something")}};
    node_post(w->node, &p->r);
}

static void replied(struct world *w, struct request *r)
{
    if (r->reply.code) world_violated(w, "places", "an order was answered %d %s", r->reply.status, r->reply.code);
    buf_free(&r->reply.body);
}

static void buyer_scans(struct world *w, struct happening *h)
{
    (void)model_scan(w->ledger, &w->ledger->trades[h->a]);
}

static void buyer_pays(struct world *w, struct happening *h)
{
    struct trade *t = &w->ledger->trades[h->a];
    struct placing *p = placing_of(w->cast_ctx, t->order_key);
    if (!model_pay(w->ledger, t)) return; // its wallet refused: too late
    p->money_ms = w->now_ms;
    if (p->buyer.is_repeated) model_repeat(w->ledger, t, p->buyer.repeats_ms);
}

static void code_is_out(struct world *w, struct trade *t)
{
    struct shop *s = w->cast_ctx;
    struct placing *p = &s->placings[t->amount_fen - FIRST_FEN];
    const struct buyer *b = &p->buyer;
    uint64_t i = (uint64_t)(t - w->ledger->trades);
    p->order_key = t->order_key;
    t->mute = b->is_lost;
    if (b->scans_ms != MIX_NEVER) world_plan(w, w->now_ms + b->scans_ms, buyer_scans, i, 0, 0);
    if (b->is_late)
        world_plan(w, t->expires_ms + b->pays_ms, buyer_pays, i, 0, 0);
    else if (b->pays_ms != MIX_NEVER)
        world_plan(w, w->now_ms + b->pays_ms, buyer_pays, i, 0, 0);
}

static void order_is_paid(struct shop *s, const struct placing *p)
{
    struct tally *t = s->tally;
    t->paid++;
    samples_add(&t->paid_ms, s->w->now_ms - p->money_ms);
    if (p->buyer.is_lost) samples_add(&t->lost_ms, s->w->now_ms - p->money_ms);
}

// The provider proves it when the window ends if there is a trade to close, else when the code is dead and the grace
// over.
static int64_t provable_ms(const struct world *w, const struct seen_order *o)
{
    for (unsigned i = 0; i < w->ledger->n_trades; i++) {
        const struct trade *t = &w->ledger->trades[i];
        if (t->order_key == o->key && t->state == TRADE_NONE) return t->expires_ms + w->c.rules.close_grace_ms;
    }
    return o->expires_ms;
}

static void order_is_cancelled(struct shop *s, const struct seen_order *o)
{
    struct tally *t = s->tally;
    t->cancelled++;
    samples_add(&t->cancel_ms, s->w->now_ms - o->expires_ms);
    samples_add(&t->beyond_ms, s->w->now_ms - provable_ms(s->w, o));
}

static void saw(struct world *w, struct seen_order *o, int type)
{
    struct shop *s = w->cast_ctx;
    const struct placing *p = placing_of(s, o->key);
    if (type == EVENT_ORDER_PAID && p) order_is_paid(s, p);
    if (type == EVENT_ORDER_CANCELLED) order_is_cancelled(s, o);
    if (type == EVENT_PAYMENT_LATE) s->tally->late++;
}

static const struct cast CAST = {.code_is_out = code_is_out, .saw = saw, .replied = replied};

// --- A shop's day

static void shop_open(struct shop *s, uint64_t seed)
{
    struct world *w = s->w;
    world_begin(w, seed, 0);
    w->c = (struct config){.rules = SHIPPED, .page_size = 4096};
    w->c.rules.checkback.schedule = s->row->schedule;
    w->cast = &CAST;
    w->cast_ctx = s;
    memset(w->clients, 0, sizeof *w->clients);
    ledger_begin(w->ledger, w);
    broker_model_begin(w->mq, w);
    checker_begin(w);
    node_begin(w);
    for (unsigned i = 0; i < s->n; i++) {
        s->placings[i].r = (struct request){0};
        s->placings[i].order_key = 0;
        s->placings[i].money_ms = 0;
        world_plan(w, w->start_ms + SECOND_MS + s->placings[i].buyer.arrives_ms, place, i, 0, 0);
    }
}

static void shop_live(struct world *w, int64_t until_ms)
{
    while (!w->failed) {
        int64_t node_ms = node_next_ms(w->node), next_ms = world_next_ms(w);
        if (node_ms < next_ms) next_ms = node_ms;
        if (next_ms > until_ms || next_ms == INT64_MAX) return;
        w->now_ms = next_ms;
        world_run_due(w);
        node_run(w);
    }
}

// What the embedded broker delivered; a half message that is pending, or rolled back, costs none.
static uint64_t messages_of(const struct engine_stats *s)
{
    return s->messages;
}

static void shop_count(struct shop *s, uint64_t bytes)
{
    struct tally *t = s->tally;
    const struct engine_stats *st = engine_stats(s->w->node->engine);
    for (unsigned m = 0; m < N_METHODS; m++)
        for (unsigned o = 0; o < N_OUTCOMES; o++) {
            uint64_t n = st->calls[CHANNEL_ALIPAY][m][o];
            t->calls += n;
            if (m == CALL_QUERY) t->queries += n;
        }
    for (unsigned a = 0; a < N_ANSWERS; a++)
        t->checkbacks += st->checkbacks[s->row->policy][a];
    t->messages += messages_of(st);
    t->orders += s->n;
    t->bytes += bytes;
}

static bool shop_run(struct shop *s, uint64_t seed)
{
    struct world *w = s->w;
    shop_open(s, seed);
    shop_live(w, w->start_ms); // the node has started
    uint64_t from = disk_bytes();
    shop_live(w, w->start_ms + DAY_MS);
    bool ok = !w->failed && node_is_up(w->node);
    if (ok) shop_count(s, disk_bytes() - from);
    node_end(w);
    if (!ok) fprintf(stderr, "till bench: %s: %s\n", w->check, w->detail);
    return ok;
}

// Orders nobody looks at, all asked about alone: what an hour of waiting writes.
static bool idle_run(struct shop *s, struct row *row)
{
    struct world *w = s->w;
    struct tally unused = {0};
    s->tally = &unused;
    s->pay_within_ms = IDLE_WINDOW_MS;
    s->n = IDLE_ORDERS;
    for (unsigned i = 0; i < s->n; i++) {
        s->placings[i].buyer = (struct buyer){.scans_ms = MIX_NEVER, .pays_ms = MIX_NEVER};
        s->placings[i].buyer.arrives_ms = (int64_t)i * 5 * MINUTE_MS / IDLE_ORDERS;
    }
    shop_open(s, 1);
    shop_live(w, w->start_ms + 15 * MINUTE_MS);
    uint64_t from = disk_bytes();
    shop_live(w, w->start_ms + 75 * MINUTE_MS);
    row->pending_bytes = (disk_bytes() - from) / IDLE_ORDERS;
    bool ok = !w->failed && node_is_up(w->node);
    node_end(w);
    tally_free(&unused);
    return ok;
}

// --- Rows

static void progress(const struct row *r, uint64_t done, const struct mix *m, bool shown)
{
    if (!shown) return;
    fprintf(stderr, "\r\033[K%s, %s: %llu of %lld orders", policy_name(r->policy), schedule_name(r->schedule),
            (unsigned long long)done, (long long)m->orders);
}

static bool row_run(struct world *w, struct row *row, const struct mix *m, bool shows)
{
    struct mix_window windows[MIX_WINDOWS];
    unsigned n_windows = mix_windows(m, windows);
    struct shop *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->w = w;
    s->row = row;
    bool ok = idle_run(s, row);
    for (unsigned k = 0; ok && k < n_windows; k++) {
        s->tally = &row->window[k];
        s->pay_within_ms = windows[k].pay_within_ms;
        for (uint64_t i = 0; ok && i < (uint64_t)windows[k].orders; i += s->n) {
            uint64_t left = (uint64_t)windows[k].orders - i;
            s->n = left < SHOP_ORDERS ? (unsigned)left : SHOP_ORDERS;
            for (unsigned j = 0; j < s->n; j++)
                s->placings[j].buyer = mix_buyer(m, k, i + j);
            ok = shop_run(s, m->seed * 1000 + i);
            progress(row, row->all.orders + s->tally->orders, m, shows);
        }
        tally_merge(&row->all, &row->window[k]);
        tally_sort(&row->window[k]);
    }
    tally_sort(&row->all);
    free(s);
    if (ok && row->all.paid + row->all.cancelled != row->all.orders) {
        fprintf(stderr, "till bench: an order ended neither paid nor cancelled\n");
        ok = false;
    }
    return ok;
}

static bool table_run(struct table *t, bool shows)
{
    static const struct {
        enum policy policy;
        enum schedule schedule;
    } ROWS[POLICY_ROWS] = {
        {POLICY_DELAY, SCHEDULE_FIXED},   {POLICY_POLL, SCHEDULE_FIXED},       {POLICY_REVERSE, SCHEDULE_FIXED},
        {POLICY_FORWARD, SCHEDULE_FIXED}, {POLICY_REVERSE, SCHEDULE_ADAPTIVE},
    };
    struct totals totals = {0};
    struct world *w = calloc(1, sizeof *w);
    struct node node = {0};
    w->node = &node;
    w->totals = &totals;
    w->ledger = calloc(1, sizeof *w->ledger);
    w->mq = calloc(1, sizeof *w->mq);
    w->clients = calloc(1, sizeof *w->clients);
    w->checker = checker_new();
    log_set_level((enum log_level)(LOG_ERROR + 1));
    disk_register();
    bool ok = true;
    for (unsigned i = 0; ok && i < POLICY_ROWS; i++) {
        t->rows[i].policy = ROWS[i].policy;
        t->rows[i].schedule = ROWS[i].schedule;
        ok = row_run(w, &t->rows[i], &t->mix, shows);
    }
    if (shows) fprintf(stderr, "\r\033[K");
    t->checkback = SHIPPED.checkback;
    t->fixed = &t->rows[2];
    t->adaptive = &t->rows[4];
    disk_free();
    clients_free();
    checker_free(w->checker);
    free(w->clients);
    free(w->ledger);
    free(w->mq);
    world_free(w);
    free(w);
    return ok;
}

static void table_free(struct table *t)
{
    for (unsigned i = 0; i < POLICY_ROWS; i++) {
        tally_free(&t->rows[i].all);
        for (unsigned k = 0; k < MIX_WINDOWS; k++)
            tally_free(&t->rows[i].window[k]);
    }
}

// --- The command

static bool svg_write(const struct table *t, const char *path)
{
    FILE *f = fopen(path, "w");
    if (f) table_svg(t, f);
    bool bad = !f || ferror(f) != 0;
    if (f && fclose(f) != 0) bad = true;
    if (bad) fprintf(stderr, "till bench: cannot write %s\n", path);
    return !bad;
}

int policies_main(int argc, char **argv)
{
    struct table t = {.mix = MIX_SHIPPED};
    int64_t seed = (int64_t)t.mix.seed;
    const char *svg = "";
    bool as_json = false;
    const struct flag flags[] = {
        {.name = "--orders", .kind = FLAG_NUMBER, .out = &t.mix.orders, .min = 1, .max = 10000000},
        {.name = "--pay", .kind = FLAG_NUMBER, .out = &t.mix.pay, .min = 0, .max = 100},
        {.name = "--lost", .kind = FLAG_NUMBER, .out = &t.mix.lost, .min = 0, .max = 100},
        {.name = "--duplicates", .kind = FLAG_NUMBER, .out = &t.mix.duplicates, .min = 0, .max = 100},
        {.name = "--late", .kind = FLAG_NUMBER, .out = &t.mix.late, .min = 0, .max = 100},
        {.name = "--window", .kind = FLAG_DURATION, .out = &t.mix.window_ms, .min = SECOND_MS, .max = 100 * MINUTE_MS},
        {.name = "--seed", .kind = FLAG_NUMBER, .out = &seed, .min = 0, .max = INT32_MAX},
        {.name = "--svg", .kind = FLAG_TEXT, .out = &svg},
        {.name = "--json", .kind = FLAG_SWITCH, .out = &as_json},
        {.name = NULL},
    };
    struct flag_input in = {.argc = argc, .argv = argv, .flags = flags};
    char why[FLAG_WHY_SIZE];
    if (!flags_read(&in, why)) return usage_error("bench", why);
    t.mix.seed = (uint64_t)seed;
    bool ok = table_run(&t, !as_json && isatty(STDERR_FILENO) == 1);
    if (ok && !as_json) table_print(&t, stdout);
    if (ok && svg[0]) ok = svg_write(&t, svg);
    if (ok) table_json(&t, stdout);
    table_free(&t);
    return ok ? 0 : 1;
}
