// SPDX-License-Identifier: Apache-2.0
#include "world.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define X_TEXT(constant, text)             [constant] = text,
#define X_SCENE_TEXT(constant, text, must) [constant] = text,
#define X_SCENE_MUST(constant, text, must) [constant] = must,
const char *const FAULT_NAMES[N_FAULTS] = {FAULTS(X_TEXT)};
const char *const SCENE_NAMES[N_SCENES] = {SCENES(X_SCENE_TEXT)};
const bool SCENE_MUST[N_SCENES] = {SCENES(X_SCENE_MUST)};

#define MINUTE INT64_C(60000)

// --- The draw

// Some seeds are calm, some have one thing wrong, most a mixture: a fault that is always there hides what others do.
static unsigned draw_faults(struct stream *s, unsigned allowed)
{
    unsigned all = 0, kind = (unsigned)random_below(s, 10);
    unsigned one = 1u << random_below(s, FAULT_BROKER); // those before it
    for (unsigned i = 0; i < FAULT_BROKER; i++)
        if (random_chance(s, 500)) all |= 1u << i;
    if (kind == 0) return 0;
    if (kind <= 3) return one & allowed;
    return all & allowed;
}

static int64_t draw_one(struct stream *s, const int64_t *of, unsigned n)
{
    return of[random_below(s, n)];
}
#define DRAW(s, ...)                                                                                                   \
    draw_one(s, (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

// One draw a statement: the order of those within an expression is the compiler's.
static void draw_rules(struct rules *r, struct stream *s)
{
    *r = (struct rules){.code_min_life_ms = MINUTE, .refund_query_ms = 10000, .cancel_wait_ms = 5000};
    r->close_grace_ms = DRAW(s, 10000, 30000, 30000, 60000);
    r->release = random_chance(s, 200) ? RELEASE_DEADLINE : RELEASE_PROOF;
    r->late_payment = (enum late_payment)DRAW(s, LATE_REFUND, LATE_REFUND, LATE_REOPEN, LATE_HOLD);
    r->checkback.schedule = (enum schedule)DRAW(s, SCHEDULE_FIXED, SCHEDULE_ADAPTIVE);
    r->checkback.first_ms = DRAW(s, 5000, 30000, 60000);
    r->checkback.interval_ms = DRAW(s, 5000, 30000, 30000);
    r->checkback.max = (uint32_t)DRAW(s, 0, 0, 0, 3);
    r->call_deadline_ms = DRAW(s, 3000, 8000, 20000);
    r->code_max_life_ms = DRAW(s, 110 * MINUTE, 110 * MINUTE, 5 * MINUTE);
}

// From a stream of its own: a day with the embedded broker is what it was before there was another.
static void draw_broker(struct world *w, unsigned allowed)
{
    struct stream s = stream_of(w->seed, 6);
    struct config *c = &w->c;
    c->rules.broker = random_chance(&s, 400) ? BROKER_REMOTE : BROKER_EMBEDDED;
    unsigned kind = (unsigned)random_below(&s, 10);
    c->mq.check_ms = DRAW(&s, 10000, 30000, 60000);
    c->mq.young_ms = DRAW(&s, 1000, 6000);
    c->mq.check_max = (unsigned)DRAW(&s, 2, 5, 15, 15);
    c->mq.invisible_ms = DRAW(&s, 3000, 30000, 60000);
    c->mq.copies = random_chance(&s, 800);
    c->mq.refuses_dropped = random_chance(&s, 700);
    bool reopens = random_chance(&s, 150);
    if (c->rules.broker == BROKER_EMBEDDED || kind == 0) return;
    if (reopens) { // cancelled at the deadline, and soon paid all the same: what was said is turned round
        c->rules.release = RELEASE_DEADLINE;
        c->rules.late_payment = LATE_REOPEN;
    }
    if (kind <= 3) c->faults = 0;
    c->faults |= 1u << FAULT_BROKER & allowed;
}

// From a stream of its own, too: half of the days are Alipay's alone, and what they were.
static void draw_wallets(struct world *w)
{
    struct stream *s = &w->wallets;
    struct config *c = &w->c;
    c->wallets_on = random_chance(s, 500);
    c->hard_refunds = c->faults ? (unsigned)DRAW(s, 0, 100, 300) : 0;
    c->by_hand = c->faults ? (unsigned)DRAW(s, 0, 20, 100) : 0;
}

// Likewise, and last: four days of five have the store in their own process, and are what they were.
static void draw_store(struct world *w, unsigned allowed)
{
    if (random_chance(&w->server, 200)) w->c.faults |= 1u << FAULT_STORE & allowed;
}

static void draw_config(struct world *w, unsigned allowed)
{
    struct stream s = stream_of(w->seed, 1);
    struct config *c = &w->c;
    *c = (struct config){.faults = draw_faults(&s, allowed)};
    draw_rules(&c->rules, &s);
    c->rate = (unsigned)DRAW(&s, 20, 60, 150, 300);
    c->n_skus = (unsigned)random_between(&s, 1, SKUS_MAX);
    c->n_clients = (unsigned)random_between(&s, 20, 60);
    c->shop_ms = DRAW(&s, 5, 20, 60) * MINUTE;
    c->batch_ms = DRAW(&s, 0, 0, 20, 1000);
    c->lag_ms = DRAW(&s, 0, 0, 1000, 5000);
    c->stale_ms = DRAW(&s, 500, 3000);
    c->close_kills = random_chance(&s, 250);
    c->page_size = (unsigned)DRAW(&s, 512, 1024, 1024, 4096);
    c->fresh = random_chance(&s, 100);
    c->crashes = (unsigned)random_below(&s, 5);
    c->at_the_deadline = (unsigned)DRAW(&s, 100, 250, 800);
    for (unsigned i = 0; i < c->n_skus; i++) {
        c->stock[i] = random_skewed(&s, 1, 60);
        c->price_fen[i] = random_between(&s, 1, 50000);
    }
    draw_broker(w, allowed);
    draw_wallets(w);
    draw_store(w, allowed);
}

// --- Time

static bool is_before(const struct happening *a, const struct happening *b)
{
    return a->at_ms < b->at_ms || (a->at_ms == b->at_ms && a->seq < b->seq);
}

void world_plan(struct world *w, int64_t at_ms, void (*run)(struct world *, struct happening *), uint64_t a, uint64_t b,
                uint64_t c)
{
    if (w->n_queue == w->queue_cap) {
        w->queue_cap = w->queue_cap ? 2 * w->queue_cap : 1024;
        w->queue = realloc(w->queue, w->queue_cap * sizeof *w->queue);
        if (!w->queue) abort();
    }
    struct happening h = {
        .at_ms = at_ms < w->now_ms ? w->now_ms : at_ms, .seq = w->next_seq++, .run = run, .a = a, .b = b, .c = c};
    unsigned i = w->n_queue++;
    for (; i > 0 && is_before(&h, &w->queue[(i - 1) / 2]); i = (i - 1) / 2)
        w->queue[i] = w->queue[(i - 1) / 2];
    w->queue[i] = h;
}

static struct happening queue_take(struct world *w)
{
    struct happening first = w->queue[0], last = w->queue[--w->n_queue];
    unsigned i = 0;
    for (;;) {
        unsigned child = 2 * i + 1;
        if (child >= w->n_queue) break;
        if (child + 1 < w->n_queue && is_before(&w->queue[child + 1], &w->queue[child])) child++;
        if (!is_before(&w->queue[child], &last)) break;
        w->queue[i] = w->queue[child];
        i = child;
    }
    w->queue[i] = last;
    return first;
}

int64_t world_next_ms(const struct world *w)
{
    return w->n_queue ? w->queue[0].at_ms : INT64_MAX;
}

void world_run_due(struct world *w)
{
    while (!w->failed && w->n_queue && w->queue[0].at_ms <= w->now_ms) {
        struct happening h = queue_take(w);
        h.run(w, &h);
    }
}

// --- The story

static void hash_add(struct world *w, const char *p, size_t n)
{
    uint64_t h = w->hash;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * UINT64_C(0x100000001b3);
    w->hash = h;
}

void world_tell(struct world *w, const char *fmt, ...)
{
    char line[512];
    int64_t t = w->now_ms - w->start_ms;
    int n = snprintf(line, sizeof line, "%02d:%02d:%02d.%03d  ", (int)(t / 3600000), (int)(t / 60000 % 60),
                     (int)(t / 1000 % 60), (int)(t % 1000));
    va_list ap;
    va_start(ap, fmt);
    n += vsnprintf(line + n, sizeof line - (size_t)n, fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof line) n = sizeof line - 1;
    hash_add(w, line, (size_t)n);
    if (w->tells) printf("%s\n", line);
}

void world_violated(struct world *w, const char *check, const char *fmt, ...)
{
    if (w->failed) return;
    w->failed = true;
    (void)snprintf(w->check, sizeof w->check, "%s", check);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(w->detail, sizeof w->detail, fmt, ap);
    va_end(ap);
    world_tell(w, "VIOLATED %s: %s", w->check, w->detail);
}

void world_reached(struct world *w, enum scene s)
{
    w->totals->scenes[s]++;
}

bool world_has(const struct world *w, enum fault_class f)
{
    return w->c.faults >> f & 1;
}

void world_fault_counted(struct world *w)
{
    w->totals->faults++;
}

bool world_faults(struct world *w, enum fault_class f, struct stream *s)
{
    if (w->healing || !world_has(w, f) || !random_chance(s, w->c.rate)) return false;
    w->totals->faults++;
    return true;
}

struct seen_order *seen_find(struct world *w, uint64_t key)
{
    for (unsigned i = w->n_seen; i-- > 0;)
        if (w->seen[i].key == key) return &w->seen[i];
    return NULL;
}

// A key holds the instant it was made, node and counter; the last two of these and the second tell them apart for
// people.
const char *name_of(struct world *w, char kind, uint64_t key)
{
    static char names[4][32];
    static unsigned turn;
    char *name = names[turn++ % 4];
    int64_t t = key_ms(key) - w->start_ms;
    (void)snprintf(name, sizeof names[0], "%c%d.%03d-%u", kind, (int)(t / 1000), (int)((t % 1000 + 1000) % 1000),
                   (unsigned)(key & 0x3fff));
    return name;
}

void world_begin(struct world *w, uint64_t seed, unsigned faults_allowed)
{
    w->seed = seed;
    w->step = 0;
    w->start_ms = w->now_ms = INT64_C(1795400000000) + (int64_t)(seed % 1000) * 86400000;
    w->wallets = stream_of(seed, 8);
    w->server = stream_of(seed, 20);
    draw_config(w, faults_allowed);
    w->heal_ms = w->start_ms + w->c.shop_ms + 10 * MINUTE;
    w->healing = w->failed = false;
    w->net = stream_of(seed, 2);
    w->buyers = stream_of(seed, 3);
    w->shop = stream_of(seed, 4);
    w->breaks = stream_of(seed, 5);
    w->relay = stream_of(seed, 7);
    w->n_queue = w->n_seen = 0;
    w->next_seq = 0;
    w->hash = UINT64_C(0xcbf29ce484222325);
}

void world_free(struct world *w)
{
    free(w->queue);
    w->queue = NULL;
    w->queue_cap = 0;
}
