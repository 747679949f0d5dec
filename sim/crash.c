// SPDX-License-Identifier: Apache-2.0
#include "crash.h"
#include "base/log.h"
#include "broker_model.h"
#include "checker.h"
#include "clients.h"
#include "fault_vfs.h"
#include "flows.h"
#include "node.h"
#include "provider_model.h"
#include <errno.h>
#include <fnmatch.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// --- What is done to a flow

enum kind { CRASH_POINTS, IO_ERRORS, NO_MEMORY };
#define N_KINDS 3
static const char *const KIND_WORDS[N_KINDS] = {"--crash-points", "--io-errors", "--no-memory"};
static const char *const KIND_NAMES[N_KINDS] = {"crash-points", "io-errors", "no-memory"};

// One way in which a place can be struck.
struct way {
    const char *name;
    enum disk_end end;     // CRASH_POINTS
    bool again;            // the power fails (once more): while it recovers; IO_ERRORS: a few seconds later
    enum disk_fault fault; // IO_ERRORS
    bool for_good;         // IO_ERRORS, NO_MEMORY
    bool is_drawn;         // another seed has another outcome
};
#define WAYS_MAX 8
#define JOBS_MAX 16
static const struct way WAYS[N_KINDS][WAYS_MAX] = {
    [CRASH_POINTS] = {{.name = "kill", .end = DISK_PROCESS_KILLED, .is_drawn = true},
                      {.name = "lost-all", .end = DISK_LOST_ALL, .is_drawn = true},
                      {.name = "lost-some", .end = DISK_LOST_SOME, .is_drawn = true},
                      {.name = "torn", .end = DISK_LOST_TAIL, .is_drawn = true},
                      {.name = "twice", .end = DISK_LOST_SOME, .again = true, .is_drawn = true}},
    [IO_ERRORS] = {{.name = "eio", .fault = DISK_EIO},
                   {.name = "eio-for-good", .fault = DISK_EIO, .for_good = true},
                   {.name = "full", .fault = DISK_FULL},
                   {.name = "full-for-good", .fault = DISK_FULL, .for_good = true},
                   {.name = "sync", .fault = DISK_SYNC_EIO},
                   {.name = "sync-then-power", .fault = DISK_SYNC_EIO, .again = true}},
    [NO_MEMORY] = {{.name = "once"}, {.name = "for-good", .for_good = true}},
};

enum { JOURNAL_WAL, JOURNAL_DELETE, N_JOURNALS };
static const char *const JOURNAL_NAMES[N_JOURNALS] = {"wal", "delete"};

struct strike { // one run
    const struct flow *flow;
    unsigned journal;
    const struct way *way; // NULL: nothing happens, its places are counted
    uint64_t point, seed;
};

struct options {
    enum kind kind;
    const char *flow, *journal, *way; // NULL: all; the first a pattern
    uint64_t point;                   // 0: all
    uint64_t seed, seeds, each, jobs;
    bool tells, is_lazy;
};

struct worker { // in memory that all processes see
    uint64_t flows, points, runs, struck, violations;
    struct strike now;
};

static struct {
    struct world *w;
    struct options o;
    const struct failing_memory *memory;
    struct worker *shared;
} it;

// --- One run

#define LOOK_MS        30000
#define MEND_AFTER_MS  20000
#define POWER_LOOK_MS  1000
#define POWER_AFTER_MS 4000

// Somebody looks after the machine: the disk is exchanged, there is memory again.
static void mends(struct world *w, struct happening *h)
{
    (void)h;
    world_tell(w, "the machine is mended");
    disk_mend();
    if (it.memory) it.memory->fail_at(UINT64_MAX, false);
}

// The process went on, or started again: what it found in the system's cache after a failed sync is not on the disk.
static void power_fails(struct world *w, struct happening *h)
{
    (void)h;
    if (node_is_up(w->node)) node_dies(w, DISK_LOST_ALL, 10);
}

static void looks_for_power(struct world *w, struct happening *h)
{
    (void)h;
    if (disk_broke())
        world_plan(w, w->now_ms + POWER_AFTER_MS, power_fails, 0, 0, 0);
    else if (!w->healing)
        world_plan(w, w->now_ms + POWER_LOOK_MS, looks_for_power, 0, 0, 0);
}

static void looks(struct world *w, struct happening *h)
{
    bool in_trouble = it.o.kind == IO_ERRORS ? disk_broke() : it.memory->failed();
    if (in_trouble)
        world_plan(w, w->now_ms + MEND_AFTER_MS, mends, 0, 0, 0);
    else if (!w->healing)
        world_plan(w, w->now_ms + LOOK_MS, looks, 0, 0, 0);
    else
        mends(w, h); // it will be in trouble no more
}

static void arm(const struct strike *s, struct fall *fall)
{
    struct world *w = it.w;
    *fall = (struct fall){.end = DISK_PROCESS_KILLED, .away_ms = 10};
    w->node->fall = fall;
    disk_draw_from(s->seed * 1000003 + s->point);
    if (it.memory) it.memory->fail_at(UINT64_MAX, false);
    if (!s->way) return;
    if (it.o.kind != CRASH_POINTS)
        w->node->disk_is_broken = w->node->may_give_up = true; // it may end, and lose nothing
    fall->end = s->way->end;
    struct stream r = stream_of(s->seed * 1000003 + s->point, 5);
    if (s->way->again) fall->again_ops = 1 + random_below(&r, 24);
    if (it.o.kind == CRASH_POINTS) disk_crash_at(s->point);
    if (it.o.kind == IO_ERRORS) disk_break_at(s->point, s->way->fault, s->way->for_good);
    if (it.o.kind == NO_MEMORY) it.memory->fail_at(s->point, s->way->for_good);
    if (it.o.kind == IO_ERRORS && s->way->again) looks_for_power(w, NULL);
    if (s->way->for_good) world_plan(w, w->now_ms + LOOK_MS, looks, 0, 0, 0);
}

static uint64_t places(void)
{
    switch (it.o.kind) {
    case CRASH_POINTS: return disk_ops();
    case IO_ERRORS: return disk_calls();
    case NO_MEMORY: return it.memory->count();
    }
    return 0;
}

static bool was_struck(void)
{
    if (it.o.kind == CRASH_POINTS) return it.w->node->epoch > 0;
    return it.o.kind == IO_ERRORS ? disk_broke() : it.memory->failed();
}

// How many places the run had. The world holds what was violated.
static uint64_t run(const struct strike *s)
{
    struct world *w = it.w;
    struct fall fall;
    disk_has_no_log(s->journal == JOURNAL_DELETE, it.o.is_lazy);
    flow_begin(w, s->flow);
    arm(s, &fall);
    flow_live(w);
    uint64_t n = places();
    if (s->way && was_struck()) it.shared->struck++;
    if (it.memory) it.memory->fail_at(UINT64_MAX, false);
    node_end(w);
    return n;
}

static void report(const struct strike *s, const char *check, const char *detail)
{
    fprintf(stderr,
            "flow %s, journal %s, %s at %llu, seed %llu: %s is violated: %s\n"
            "  again: till sim %s --flow %s --journal %s --way %s --point %llu --seed %llu --trace%s\n",
            s->flow->name, JOURNAL_NAMES[s->journal], s->way->name, (unsigned long long)s->point,
            (unsigned long long)s->seed, check, detail, KIND_WORDS[it.o.kind], s->flow->name, JOURNAL_NAMES[s->journal],
            s->way->name, (unsigned long long)s->point, (unsigned long long)s->seed,
            it.o.is_lazy ? " --lazy-unlink" : "");
}

// --- All of them

static bool is_asked(const char *asked, const char *name)
{
    return !asked || strcmp(asked, name) == 0;
}

// Without any trouble the flow must end as its script says, or it no longer tests what it is there for.
static uint64_t count_places(const struct flow *f, unsigned journal)
{
    struct strike calm = {.flow = f, .journal = journal};
    char ending[64];
    it.w->tells = it.o.tells && !it.o.point;
    uint64_t n = run(&calm);
    it.w->tells = it.o.tells;
    flow_ending(it.w, ending);
    if (!it.w->failed && strcmp(ending, f->ends) == 0) return n;
    fprintf(stderr, "flow %s, journal %s, left alone: %s %s; it ends as \"%s\" and was to as \"%s\"\n", f->name,
            JOURNAL_NAMES[journal], it.w->failed ? it.w->check : "", it.w->failed ? it.w->detail : "", ending, f->ends);
    it.shared->violations++;
    return 0;
}

static void strike(const struct strike *s)
{
    it.shared->now = *s;
    (void)run(s);
    it.shared->runs++;
    if (!it.w->failed) return;
    report(s, it.w->check, it.w->detail);
    it.shared->violations++;
}

static void strike_point(struct strike *s)
{
    for (unsigned i = 0; i < WAYS_MAX && WAYS[it.o.kind][i].name; i++) {
        s->way = &WAYS[it.o.kind][i];
        if (!is_asked(it.o.way, s->way->name)) continue;
        for (uint64_t k = 0; k < (s->way->is_drawn ? it.o.seeds : 1); k++) {
            s->seed = it.o.seed + k;
            strike(s);
        }
    }
}

// The points of one flow that are this worker's. With --each N every N-th, another one in each flow.
static void strike_flow(const struct flow *f, unsigned journal, uint64_t worker)
{
    uint64_t n = count_places(f, journal);
    if (worker == 0) it.shared->flows++;
    for (uint64_t p = 1; p <= n; p++) {
        uint64_t turn = p + (uint64_t)(f - FLOWS);
        if (it.o.point ? p != it.o.point : turn % it.o.each != 0) continue;
        if (turn / it.o.each % it.o.jobs != worker) continue;
        it.shared->points++;
        struct strike s = {.flow = f, .journal = journal, .point = p};
        strike_point(&s);
    }
}

static void strike_all(uint64_t worker)
{
    for (unsigned j = 0; j < N_JOURNALS; j++) {
        if (!is_asked(it.o.journal, JOURNAL_NAMES[j])) continue;
        if (it.o.kind != CRASH_POINTS && j != JOURNAL_WAL && !it.o.journal) continue;
        for (unsigned i = 0; i < N_FLOWS; i++)
            if (!it.o.flow || fnmatch(it.o.flow, FLOWS[i].name, 0) == 0) strike_flow(&FLOWS[i], j, worker);
    }
}

static void world_make(void)
{
    static struct totals totals;
    static struct node node;
    it.w = calloc(1, sizeof *it.w);
    if (!it.w) abort();
    it.w->node = &node;
    it.w->totals = &totals;
    it.w->ledger = calloc(1, sizeof *it.w->ledger);
    it.w->mq = calloc(1, sizeof *it.w->mq);
    it.w->clients = calloc(1, sizeof *it.w->clients);
    it.w->checker = checker_new();
    it.w->queue_cap = 4096; // made now, so that no call of the product makes it grow
    it.w->queue = calloc(it.w->queue_cap, sizeof *it.w->queue);
    if (!it.w->ledger || !it.w->mq || !it.w->clients || !it.w->checker || !it.w->queue) abort();
}

static void world_unmake(void)
{
    flows_free();
    disk_free();
    clients_free();
    checker_free(it.w->checker);
    free(it.w->clients);
    free(it.w->mq);
    free(it.w->ledger);
    world_free(it.w);
    free(it.w);
}

static void strike_alone(void)
{
    it.o.jobs = 1;
    strike_all(0);
}

// A process for each worker: the disk and the models are one to a process. A worker that died is a violation.
static void work_in_processes(void)
{
    struct worker *all = it.shared;
    pid_t pids[JOBS_MAX];
    for (uint64_t i = 0; i < it.o.jobs; i++) {
        pids[i] = fork();
        if (pids[i] < 0) abort();
        if (pids[i] > 0) continue;
        it.shared = &all[i];
        strike_all(i);
        world_unmake();
        _exit(0);
    }
    for (uint64_t i = 0; i < it.o.jobs; i++) {
        int status = 0;
        if (waitpid(pids[i], &status, 0) == pids[i] && status == 0) continue;
        char how[64];
        (void)snprintf(how, sizeof how, "the process ended with status %d", status);
        if (all[i].now.way) report(&all[i].now, "lives_on", how);
        all[i].violations++;
    }
    for (uint64_t i = 1; i < it.o.jobs; i++) {
        all[0].points += all[i].points;
        all[0].runs += all[i].runs;
        all[0].struck += all[i].struck;
        all[0].violations += all[i].violations;
    }
}

// --- The command line

static int usage(const char *why)
{
    fprintf(stderr,
            "till sim: %s\n"
            "usage: till sim --crash-points|--io-errors [--flow PATTERN] [--journal wal|delete] [--way NAME]\n"
            "                [--point N] [--seed N] [--seeds N] [--each N] [--jobs N] [--lazy-unlink] [--trace]\n"
            "  ways of --crash-points: kill lost-all lost-some torn twice\n"
            "  ways of --io-errors:    eio eio-for-good full full-for-good sync sync-then-power\n"
            "  --seeds N draws each outcome N times, --each N takes every N-th point, --flow ? names the flows\n",
            why);
    return 2;
}

static bool number(const char *text, uint64_t least, uint64_t most, uint64_t *n)
{
    char *end;
    errno = 0;
    if (!text || *text < '0' || *text > '9') return false;
    *n = strtoull(text, &end, 10);
    return errno == 0 && *end == 0 && *n >= least && *n <= most;
}

static bool one_of(const char *text, const char *const *names, unsigned n)
{
    for (unsigned i = 0; text && i < n; i++)
        if (strcmp(text, names[i]) == 0) return true;
    return false;
}

static bool way_is_known(enum kind kind, const char *name)
{
    for (unsigned i = 0; name && i < WAYS_MAX && WAYS[kind][i].name; i++)
        if (strcmp(name, WAYS[kind][i].name) == 0) return true;
    return false;
}

// Options with a value. False: the value will not do.
static bool value_read(struct options *o, const char *word, const char *value)
{
    if (strcmp(word, "--flow") == 0) return (o->flow = value) != NULL;
    if (strcmp(word, "--journal") == 0) return one_of(o->journal = value, JOURNAL_NAMES, N_JOURNALS);
    if (strcmp(word, "--way") == 0) return (o->way = value) != NULL;
    if (strcmp(word, "--point") == 0) return number(value, 1, UINT64_MAX, &o->point);
    if (strcmp(word, "--seed") == 0) return number(value, 0, UINT32_MAX, &o->seed);
    if (strcmp(word, "--seeds") == 0) return number(value, 1, 1000, &o->seeds);
    if (strcmp(word, "--each") == 0) return number(value, 1, 1000000, &o->each);
    if (strcmp(word, "--jobs") == 0) return number(value, 1, JOBS_MAX, &o->jobs);
    return false;
}

static const char *options_read(struct options *o, int argc, char **argv)
{
    *o = (struct options){.seed = 1, .seeds = 1, .each = 1, .jobs = 2};
    for (int i = 0; i < argc; i++) {
        if (one_of(argv[i], KIND_WORDS, N_KINDS)) {
            while (strcmp(argv[i], KIND_WORDS[o->kind]) != 0)
                o->kind = (enum kind)((o->kind + 1) % N_KINDS);
        } else if (strcmp(argv[i], "--trace") == 0) {
            o->tells = true;
        } else if (strcmp(argv[i], "--lazy-unlink") == 0) {
            o->is_lazy = true;
        } else if (!value_read(o, argv[i], i + 1 < argc ? argv[i + 1] : NULL)) {
            return argv[i];
        } else {
            i++;
        }
    }
    return o->way && !way_is_known(o->kind, o->way) ? o->way : NULL;
}

bool crash_is_asked_for(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (one_of(argv[i], KIND_WORDS, N_KINDS)) return true;
    return false;
}

int crash_main(int argc, char **argv, const struct failing_memory *memory)
{
    const char *bad = options_read(&it.o, argc, argv);
    if (bad) return usage(bad);
    if (it.o.kind == NO_MEMORY && !memory)
        return usage("this program has no allocator that fails: build/sim/test_sim_memory");
    if (it.o.flow && strcmp(it.o.flow, "?") == 0) {
        for (unsigned i = 0; i < N_FLOWS; i++)
            printf("%s\n", FLOWS[i].name);
        return 0;
    }
    it.memory = memory;
    it.shared = mmap(NULL, JOBS_MAX * sizeof *it.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (it.shared == MAP_FAILED) return 1;
    memset(it.shared, 0, JOBS_MAX * sizeof *it.shared);
    struct worker *all = it.shared;
    log_set_level((enum log_level)(LOG_ERROR + 1)); // the product complains of each fault, rightly
    world_make();
    disk_register();
    if (it.o.jobs > 1 && !it.o.point)
        work_in_processes();
    else
        strike_alone();
    it.shared = NULL;
    printf("{\"kind\":\"%s\",\"flows\":%llu,\"points\":%llu,\"runs\":%llu,\"struck\":%llu,\"violations\":%llu}\n",
           KIND_NAMES[it.o.kind], (unsigned long long)all->flows, (unsigned long long)all->points,
           (unsigned long long)all->runs, (unsigned long long)all->struck, (unsigned long long)all->violations);
    int status = all->violations || !all->runs ? 1 : 0;
    (void)munmap(all, JOBS_MAX * sizeof *all);
    disk_has_no_log(false, false);
    world_unmake();
    return status;
}
