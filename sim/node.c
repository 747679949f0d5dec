// SPDX-License-Identifier: Apache-2.0
#include "node.h"
#include "broker/embedded.h"
#include "broker_model.h"
#include "checker.h"
#include "clients.h"
#include "provider_model.h"
#include "store/sqlite.h"
#include "store_model.h"
#include <sqlite3.h>
#include <stdio.h>

static const uint8_t SECRET[ID_SECRET_SIZE] = "simulated secret";

bool node_is_up(const struct node *n)
{
    return n->up && !disk_is_dead();
}

unsigned node_epoch(const struct node *n)
{
    return n->epoch;
}

static void arrived(struct node *n)
{
    int64_t at_ms = n->w->now_ms;
    if (n->w->c.batch_ms) at_ms += random_between(&n->w->net, 0, n->w->c.batch_ms);
    if (at_ms < n->paused_until_ms) at_ms = n->paused_until_ms;
    if (at_ms < n->turn_ms) n->turn_ms = at_ms;
}

void node_post(struct node *n, struct request *r)
{
    product_runs++;
    engine_post(n->engine, r, r, 1);
    product_runs--;
    arrived(n);
}

void node_answer(struct node *n, const struct answer *a)
{
    product_runs++;
    engine_post_answer(n->engine, a);
    product_runs--;
    arrived(n);
}

void node_news(struct node *n, const struct broker_news *news)
{
    product_runs++;
    engine_post_news(n->engine, news);
    product_runs--;
    arrived(n);
}

int64_t node_ahead_ms(const struct node *n)
{
    return n->clock_ms - n->w->now_ms;
}

int64_t node_next_ms(const struct node *n)
{
    if (!n->up) return INT64_MAX;
    int64_t due_ms = engine_next_ms(n->engine);
    if (due_ms != INT64_MAX) due_ms = due_ms <= n->clock_ms ? n->w->now_ms : due_ms - n->offset_ms;
    int64_t at_ms = due_ms < n->turn_ms ? due_ms : n->turn_ms;
    if (at_ms == INT64_MAX) return at_ms;
    if (at_ms < n->paused_until_ms) at_ms = n->paused_until_ms;
    return at_ms > n->w->now_ms ? at_ms : n->w->now_ms;
}

// --- Its life

static void on_reply(void *ctx, struct request *r)
{
    struct world *w = ctx;
    if (node_is_up(w->node)) clients_replied(w, r); // else nobody hears it
}

static void node_drop(struct node *n)
{
    n->up = false;
    checker_close(n->w);
    engine_free(n->engine);
    n->engine = NULL;
    if (n->broker) n->broker->ops->free(n->broker);
    n->broker = NULL;
    if (n->store) n->store->ops->close(n->store);
    n->store = NULL;
}

static void node_starts(struct world *w, struct happening *h);

static const char *const END_NAMES[] = {"the process is killed", "the power fails, all unsynced writes are lost",
                                        "the power fails, some unsynced sectors survive",
                                        "the power fails, unsynced writes survive up to some point"};

void node_dies(struct world *w, enum disk_end end, int64_t away_ms)
{
    struct node *n = w->node;
    bool in_commit = disk_is_dead();
    if (in_commit) world_reached(w, n->recovering ? SCENE_CRASH_IN_RECOVERY : SCENE_KILL_IN_COMMIT);
    if (refund_is_under_way(w->ledger)) world_fault_counted(w);
    disk_kill();
    node_drop(n);
    unsigned lost = disk_revive(end);
    if (n->full && !w->healing) disk_fail(DISK_FULL);
    if (lost) world_reached(w, SCENE_POWER_LOSS);
    w->totals->crashes++;
    world_tell(w, "%s%s", END_NAMES[end], in_commit ? ", inside a write" : "");
    clients_node_died(w);
    n->epoch++;
    n->turn_ms = INT64_MAX;
    n->disk_is_broken = n->full || n->may_give_up;
    world_plan(w, w->now_ms + away_ms, node_starts, 0, 0, 0);
}

static enum disk_end draw_end(struct world *w)
{
    if (w->node->fall) return w->node->fall->end;
    bool kill = world_has(w, FAULT_KILL), power = world_has(w, FAULT_POWER);
    if (!power || (kill && random_chance(&w->breaks, 400))) return DISK_PROCESS_KILLED;
    return (enum disk_end)random_between(&w->breaks, DISK_LOST_ALL, DISK_LOST_TAIL);
}

static int64_t draw_away_ms(struct world *w)
{
    static const int64_t away_ms[] = {10, 10, 200, 5000, 60000, 1200000};
    if (w->node->fall) return w->node->fall->away_ms;
    return w->healing ? 1000 : away_ms[random_below(&w->breaks, sizeof away_ms / sizeof away_ms[0])];
}

static void node_breaks_down(struct world *w)
{
    enum disk_end end = draw_end(w);
    if (w->node->fall && !w->node->recovering) w->node->dies_in_recovery = w->node->fall->again_ops > 0;
    node_dies(w, end, draw_away_ms(w));
}

static void on_news(void *ctx, const struct broker_news *news)
{
    node_news(ctx, news);
}

static struct broker *broker_make(struct world *w, char why[160])
{
    struct node *n = w->node;
    if (w->c.rules.broker == BROKER_REMOTE) return &w->mq->broker;
    return embedded_open(n->store, &(struct news_sink){on_news, n}, why);
}

static struct engine *engine_make(struct world *w, char why[160])
{
    struct engine_options o = {.store = w->node->store,
                               .rules = w->c.rules,
                               .broker = w->node->broker,
                               .node = 1,
                               .reply_wait_ms = 3000,
                               .ctx = w,
                               .reply = on_reply,
                               .present = clients_present};
    for (unsigned i = CHANNEL_ALIPAY; i < N_CHANNELS; i++)
        o.channels[i] = &w->ledger->provider[i].channel;
    return engine_new(&o, why);
}

static bool node_open(struct world *w, char why[200])
{
    struct node *n = w->node;
    struct sqlite_options o = {.path = DISK_DB, .vfs = DISK_VFS, .cache_mib = 2, .secret = SECRET};
    disk_now_ms = w->now_ms;
    n->store = sqlite_store_open(&o, w->now_ms + n->offset_ms, why);
    if (!n->store) return false;
    if (world_has(w, FAULT_STORE)) n->store = store_model_new(w, n->store);
    n->broker = broker_make(w, why);
    if (!n->broker) return false;
    n->engine = engine_make(w, why);
    return n->engine != NULL;
}

static void node_starts(struct world *w, struct happening *h)
{
    struct node *n = w->node;
    char why[200] = "";
    (void)h;
    bool planned = n->dies_in_recovery && (n->fall || !w->healing);
    if (planned)
        disk_crash_at(disk_ops() + (n->fall ? n->fall->again_ops : (uint64_t)random_skewed(&w->breaks, 1, 30)));
    n->dies_in_recovery = false;
    n->recovering = true;
    product_runs++;
    bool ok = node_open(w, why);
    product_runs--;
    if (disk_is_dead()) {
        node_breaks_down(w);
        return;
    }
    n->recovering = false;
    if (planned) disk_crash_at(UINT64_MAX);
    if (!ok) {
        if (!n->disk_is_broken) world_violated(w, "starts_again", "the store does not open: %s", why);
        node_dies(w, DISK_PROCESS_KILLED, 1000);
        return;
    }
    n->up = true;
    n->clock_ms = n->store->last_ms;
    n->turn_ms = w->now_ms;
    world_tell(w, "the node is up");
    checker_open(w);
    checker_observe(w);
    if (n->epoch > 0) checker_full(w, false);
}

// A shop like any other began long ago: its empty database is kept, one for each size of page, and only some seeds make
// theirs anew (and may crash while they do).
static void disk_prepare(struct world *w)
{
    unsigned image = disk_is_without_log() ? 3 : w->c.page_size == 512 ? 0 : w->c.page_size == 1024 ? 1 : 2;
    disk_wipe(w->seed);
    if (w->c.fresh && w->c.page_size == 4096) return;
    if (!w->c.fresh && disk_image_use(image)) return;
    char sql[64];
    sqlite3 *db = NULL;
    (void)snprintf(sql, sizeof sql, "PRAGMA page_size=%u; PRAGMA user_version=0", w->c.page_size);
    if (sqlite3_open_v2(DISK_DB, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, DISK_VFS) != SQLITE_OK ||
        sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        world_violated(w, "harness", "cannot make an empty database");
    sqlite3_close(db);
    if (w->c.fresh) return;
    char why[200] = "";
    struct sqlite_options o = {.path = DISK_DB, .vfs = DISK_VFS, .cache_mib = 2, .secret = SECRET};
    struct store *s = sqlite_store_open(&o, 0, why);
    if (!s) {
        world_violated(w, "harness", "cannot make a store: %s", why);
        return;
    }
    s->ops->close(s);
    disk_image_keep(image);
    disk_wipe(w->seed);
    (void)disk_image_use(image);
}

void node_begin(struct world *w)
{
    *w->node = (struct node){.w = w, .turn_ms = INT64_MAX};
    disk_prepare(w);
    w->node->dies_in_recovery = w->c.fresh && (world_has(w, FAULT_KILL) || world_has(w, FAULT_POWER));
    world_plan(w, w->start_ms, node_starts, 0, 0, 0);
}

void node_end(struct world *w)
{
    disk_kill();
    if (w->node->up || w->node->store) node_drop(w->node);
    (void)disk_revive(DISK_PROCESS_KILLED);
}

// --- Its turns

#define TURNS_AT_ONCE 2000

static void node_turn(struct world *w)
{
    struct node *n = w->node;
    w->step++;
    w->totals->turns++;
    int64_t now_ms = w->now_ms + n->offset_ms;
    if (now_ms > n->clock_ms) n->clock_ms = now_ms;
    disk_now_ms = w->now_ms;
    uint64_t commits = engine_stats(n->engine)->commits;
    product_runs++;
    enum turn_result result = engine_turn(n->engine, now_ms);
    product_runs--;
    if (disk_is_dead()) {
        node_breaks_down(w);
        return;
    }
    if (result == TURN_FATAL) {
        if (!n->disk_is_broken) world_violated(w, "engine_goes_on", "a turn was fatal, and nothing was broken");
        world_tell(w, "the node gives up");
        node_dies(w, DISK_PROCESS_KILLED, draw_away_ms(w));
        return;
    }
    if (engine_stats(n->engine)->commits == commits) return;
    w->totals->commits++;
    checker_observe(w);
}

void node_tidies(struct world *w)
{
    struct node *n = w->node;
    product_runs++;
    n->store->ops->tidy(n->store, w->now_ms + n->offset_ms);
    product_runs--;
    if (disk_is_dead()) node_breaks_down(w);
}

void node_run(struct world *w)
{
    struct node *n = w->node;
    for (unsigned i = 0; n->up && !w->failed && node_next_ms(n) <= w->now_ms; i++) {
        if (i == TURNS_AT_ONCE) {
            world_violated(w, "engine_rests", "the engine wants turn after turn at one instant");
            return;
        }
        n->turn_ms = INT64_MAX;
        node_turn(w);
    }
    if (n->up && !w->failed && w->step % 16 == 0) node_tidies(w);
}

// --- What breaks

static void power_is_armed(struct world *w, struct happening *h)
{
    (void)h;
    if (w->healing || !w->node->up) return;
    world_fault_counted(w);
    w->node->dies_in_recovery = random_chance(&w->breaks, 300);
    if (random_chance(&w->breaks, 150))
        node_breaks_down(w); // between two turns
    else
        disk_crash_at(disk_ops() + (uint64_t)random_skewed(&w->breaks, 1, 120));
}

static void refund_crash_is_armed(struct world *w, struct happening *h)
{
    if (w->healing || !w->node->up || h->a == 0) return;
    if (refund_is_under_way(w->ledger)) {
        world_fault_counted(w);
        node_breaks_down(w);
        return;
    }
    world_plan(w, w->now_ms + 150, refund_crash_is_armed, h->a - 1, 0, 0);
}

static void disk_breaks(struct world *w, struct happening *h)
{
    if (w->healing || !w->node->up) return;
    enum disk_fault fault = (enum disk_fault)h->a;
    world_fault_counted(w);
    if (fault == DISK_FULL) world_reached(w, SCENE_DISK_FULL);
    if (fault == DISK_SYNC_EIO) world_reached(w, SCENE_SYNC_FAILED);
    world_tell(w, "the disk: %s",
               fault == DISK_FULL       ? "full"
               : fault == DISK_SYNC_EIO ? "a sync will fail"
                                        : "a write will fail");
    w->node->disk_is_broken = true;
    w->node->full = fault == DISK_FULL;
    disk_fail(fault);
}

static void disk_is_mended(struct world *w, struct happening *h)
{
    (void)h;
    w->node->full = false;
    disk_fail(DISK_FINE);
}

static void clock_jumps(struct world *w, struct happening *h)
{
    if (w->healing) return;
    world_fault_counted(w);
    world_reached(w, SCENE_CLOCK_JUMP);
    w->node->offset_ms = (int64_t)h->a;
    world_tell(w, "the node's clock is %lld ms off", (long long)w->node->offset_ms);
}

static void machine_pauses(struct world *w, struct happening *h)
{
    if (w->healing) return;
    world_fault_counted(w);
    w->node->paused_until_ms = w->now_ms + (int64_t)h->a;
    world_tell(w, "the machine stands still for %lld ms", (long long)h->a);
}

static void outage(struct world *w, struct happening *h)
{
    if (w->healing && h->a) return;
    w->ledger->unreachable = (unsigned)h->a;
    if (h->a) {
        world_fault_counted(w);
        world_reached(w, SCENE_OUTAGE);
    }
    static const char *const WHO[] = {"all", "", "alipay", "", "wechatpay", "", "alipay and wechatpay"};
    world_tell(w, "%s can%s be reached", WHO[h->a], h->a ? "not" : " again");
}

void breaks_begin(struct world *w)
{
    struct stream *s = &w->breaks;
    int64_t from_ms = w->start_ms, to_ms = w->heal_ms;
    if (world_has(w, FAULT_KILL) || world_has(w, FAULT_POWER)) {
        for (unsigned i = 0; i < w->c.crashes; i++)
            world_plan(w, random_between(s, from_ms, to_ms), power_is_armed, 0, 0, 0);
        if (random_chance(s, 300)) world_plan(w, random_between(s, from_ms, to_ms), refund_crash_is_armed, 2000, 0, 0);
    }
    if (world_has(w, FAULT_DISK)) {
        int64_t at_ms = random_between(s, from_ms, to_ms);
        enum disk_fault fault = (enum disk_fault)random_between(s, DISK_FULL, DISK_SYNC_EIO);
        world_plan(w, at_ms, disk_breaks, fault, 0, 0);
        world_plan(w, at_ms + random_skewed(s, 100, 600000), disk_is_mended, 0, 0, 0);
    }
    if (world_has(w, FAULT_CLOCK)) {
        int64_t at_ms = random_between(s, from_ms, to_ms);
        static const int64_t jumps_ms[] = {2000, 60000, 3600000, -2000, -3600000};
        if (random_chance(s, 700)) world_plan(w, at_ms, clock_jumps, (uint64_t)jumps_ms[random_below(s, 5)], 0, 0);
        world_plan(w, at_ms + random_skewed(s, 1000, 1200000), clock_jumps, 0, 0, 0);
        if (random_chance(s, 500)) {
            int64_t pause_ms = random_between(s, from_ms, to_ms);
            world_plan(w, pause_ms, machine_pauses, (uint64_t)random_skewed(s, 500, 1200000), 0, 0);
        }
    }
    if (world_has(w, FAULT_OUTAGE)) {
        int64_t at_ms = random_between(s, from_ms, to_ms);
        unsigned who = w->c.wallets_on ? (unsigned)random_between(&w->wallets, 1, 3) : 1;
        world_plan(w, at_ms, outage, (uint64_t)who << CHANNEL_ALIPAY, 0, 0);
        world_plan(w, at_ms + random_skewed(s, 5000, 1800000), outage, 0, 0, 0);
    }
}
