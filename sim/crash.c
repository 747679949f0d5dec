// SPDX-License-Identifier: Apache-2.0
#include "crash.h"
#include "alipay_model.h"
#include "base/log.h"
#include "broker_model.h"
#include "checker.h"
#include "clients.h"
#include "fault_vfs.h"
#include "flows.h"
#include "node.h"
#include <errno.h>
#include <fnmatch.h>
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
    bool again;            // the power fails once more while it recovers
    enum disk_fault fault; // IO_ERRORS
    bool for_good;         // IO_ERRORS, NO_MEMORY
    bool is_drawn;         // another seed has another outcome
};
#define WAYS_MAX 8
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
                   {.name = "sync", .fault = DISK_SYNC_EIO}},
    [NO_MEMORY] = {{.name = "once"}, {.name = "for-good", .for_good = true}},
};

enum { JOURNAL_WAL, JOURNAL_DELETE, N_JOURNALS };
static const char *const JOURNAL_NAMES[N_JOURNALS] = {"wal", "delete"};

struct options {
    enum kind kind;
    const char *flow, *journal, *way; // NULL: all; the first a pattern
    uint64_t point;                   // 0: all
    uint64_t seed, seeds, each, jobs;
    bool tells, is_lazy;
};

struct shared { // by the process that runs the flows and those that are struck
    _Atomic uint64_t runs, struck, violations;
};

struct strike { // one run
    const struct flow *flow;
    unsigned journal;
    const struct way *way;
    uint64_t point, seed;
};

#define JOBS_MAX 16
static struct {
    struct world *w;
    struct options o;
    const struct failing_memory *memory;
    struct shared *shared;
    uint64_t flows, points;
    struct strike now; // where the flow that is run has got to, or in a child how it was struck
    bool is_struck;    // this is a child
    struct fall fall;
    struct {
        pid_t pid; // 0: free
        struct strike strike;
    } jobs[JOBS_MAX];
} it;

// --- Being struck
//
// A flow is run once, and nothing happens to it. At each of its places the process forks once for each way of being
// struck there: the child is struck, lives on to the end of the flow, is judged, and is gone. So what lies before the
// place is computed once, and a run costs what comes after: a recovery, the rest of the flow and the checker.

#define MEND_AFTER_MS 20000

// Somebody looks after the machine: the disk is exchanged, there is memory again.
static void mends(struct world *w, struct happening *h)
{
    (void)h;
    world_tell(w, "the machine is mended");
    disk_mend();
    if (it.memory) it.memory->mend();
}

static void struck(const struct strike *s)
{
    struct world *w = it.w;
    uint64_t draws = s->seed * 1000003 + s->point;
    struct stream r = stream_of(draws, 5);
    disk_draw_from(draws);
    it.fall = (struct fall){.end = s->way->end, .away_ms = 10};
    if (s->way->again) it.fall.again_ops = 1 + random_below(&r, 24);
    w->node->fall = &it.fall;
    world_tell(w, "--- %s", s->way->name);
    switch (it.o.kind) {
    case CRASH_POINTS: disk_crash_at(s->point); break;
    case IO_ERRORS: disk_break_at(s->point, s->way->fault, s->way->for_good); break;
    case NO_MEMORY: it.memory->fail(s->way->for_good); break;
    }
    if (it.o.kind != CRASH_POINTS) w->node->disk_is_broken = w->node->may_give_up = true; // it may end, and lose nothing
    if (s->way->for_good) world_plan(w, w->now_ms + MEND_AFTER_MS, mends, 0, 0, 0);
    // All streams of the world go on as they were: two ways of being struck differ in nothing else.
}

static void report(const struct strike *s, const char *check, const char *detail)
{
    const struct world *w = it.w;
    fprintf(stderr,
            "flow %s, journal %s, %s at %llu, seed %llu, %.3f s into it: %s is violated: %s\n"
            "  again: till sim %s --flow %s --journal %s --way %s --point %llu --seed %llu --trace%s\n",
            s->flow->name, JOURNAL_NAMES[s->journal], s->way->name, (unsigned long long)s->point,
            (unsigned long long)s->seed, (double)(w->now_ms - w->start_ms) / 1000, check, detail,
            KIND_WORDS[it.o.kind], s->flow->name, JOURNAL_NAMES[s->journal], s->way->name,
            (unsigned long long)s->point, (unsigned long long)s->seed, it.o.is_lazy ? " --lazy-unlink" : "");
}

// --- The processes

static void job_ends(pid_t pid, int status)
{
    for (unsigned i = 0; i < it.o.jobs; i++) {
        if (it.jobs[i].pid != pid) continue;
        it.jobs[i].pid = 0;
        it.shared->runs++;
        if (status == 0) return;
        char how[32];
        (void)snprintf(how, sizeof how, "status %d", status);
        report(&it.jobs[i].strike, "lives_on", how);
        it.shared->violations++;
    }
}

static void jobs_wait(uint64_t most)
{
    for (;;) {
        uint64_t n = 0;
        for (unsigned i = 0; i < it.o.jobs; i++)
            n += it.jobs[i].pid != 0;
        if (n <= most) return;
        int status;
        pid_t pid = waitpid(-1, &status, 0);
        if (pid < 0) abort();
        job_ends(pid, status);
    }
}

// True in the child.
static bool forked(const struct strike *s)
{
    unsigned i = 0;
    jobs_wait(it.o.jobs - 1);
    while (it.jobs[i].pid)
        i++;
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) abort();
    if (pid == 0) return true;
    it.jobs[i].pid = pid;
    it.jobs[i].strike = *s;
    return false;
}

static bool is_asked(const char *asked, const char *name)
{
    return !asked || strcmp(asked, name) == 0;
}

// The flow has got to another place.
static void place(uint64_t n)
{
    struct strike *s = &it.now;
    uint64_t turn = n + (uint64_t)(s->flow - FLOWS);
    if (it.is_struck || (it.o.point ? n != it.o.point : turn % it.o.each != 0)) return;
    it.points++;
    s->point = n;
    for (unsigned i = 0; i < WAYS_MAX && WAYS[it.o.kind][i].name; i++) {
        s->way = &WAYS[it.o.kind][i];
        if (!is_asked(it.o.way, s->way->name)) continue;
        for (uint64_t k = 0; k < (s->way->is_drawn ? it.o.seeds : 1); k++) {
            s->seed = it.o.seed + k;
            if (!forked(s)) continue;
            it.is_struck = true;
            struck(s);
            return;
        }
    }
    it.w->tells = false; // of one place that was asked for, its own story
}

static void disk_is_called(uint64_t ops, uint64_t calls)
{
    if (it.o.kind == IO_ERRORS) place(calls);
    if (it.o.kind == CRASH_POINTS && ops) place(ops);
}

// --- The flows

static bool was_struck(void)
{
    if (it.o.kind == CRASH_POINTS) return it.w->node->epoch > 0;
    return it.o.kind == NO_MEMORY || disk_fault_hit();
}

// A child is judged here, and ends.
static void child_ends(void)
{
    it.shared->struck += was_struck();
    if (it.w->failed) {
        report(&it.now, it.w->check, it.w->detail);
        it.shared->violations++;
    }
    (void)fflush(NULL);
    _exit(0);
}

// Left alone the flow must end as its script says, or it no longer tests what it is there for.
static void judge_calm(const struct flow *f, unsigned journal)
{
    char ending[64];
    flow_ending(it.w, ending);
    if (!it.w->failed && strcmp(ending, f->ends) == 0) return;
    fprintf(stderr, "flow %s, journal %s, left alone: %s %s; it ends as \"%s\" and was to as \"%s\"\n", f->name,
            JOURNAL_NAMES[journal], it.w->failed ? it.w->check : "", it.w->failed ? it.w->detail : "", ending, f->ends);
    it.shared->violations++;
}

static void flow_is_struck_everywhere(const struct flow *f, unsigned journal)
{
    it.now = (struct strike){.flow = f, .journal = journal};
    it.flows++;
    it.w->tells = it.o.tells;
    disk_has_no_log(journal == JOURNAL_DELETE, it.o.is_lazy);
    flow_begin(it.w, f);
    disk_ask(disk_is_called);
    if (it.memory) it.memory->ask(place);
    if (it.memory) it.memory->mend();
    flow_live(it.w);
    disk_ask(NULL);
    if (it.memory) it.memory->ask(NULL);
    if (it.is_struck) child_ends();
    judge_calm(f, journal);
    node_end(it.w);
}

static void all_flows(void)
{
    for (unsigned j = 0; j < N_JOURNALS; j++) {
        if (!is_asked(it.o.journal, JOURNAL_NAMES[j])) continue;
        if (it.o.kind != CRASH_POINTS && j != JOURNAL_WAL && !it.o.journal) continue;
        for (unsigned i = 0; i < N_FLOWS; i++)
            if (!it.o.flow || fnmatch(it.o.flow, FLOWS[i].name, 0) == 0) flow_is_struck_everywhere(&FLOWS[i], j);
    }
    jobs_wait(0);
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

// --- The command line

static int usage(const char *why)
{
    fprintf(stderr,
            "till sim: %s\n"
            "usage: till sim --crash-points|--io-errors [--flow PATTERN] [--journal wal|delete] [--way NAME]\n"
            "                [--point N] [--seed N] [--seeds N] [--each N] [--jobs N] [--lazy-unlink] [--trace]\n"
            "  ways of --crash-points: kill lost-all lost-some torn twice\n"
            "  ways of --io-errors:    eio eio-for-good full full-for-good sync\n"
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
    if (it.o.kind == NO_MEMORY && !memory) return usage("this program has no allocator that fails: build/sim/test_sim_memory");
    if (it.o.flow && strcmp(it.o.flow, "?") == 0) {
        for (unsigned i = 0; i < N_FLOWS; i++)
            printf("%s\n", FLOWS[i].name);
        return 0;
    }
    it.memory = memory;
    it.flows = it.points = 0;
    it.shared = mmap(NULL, sizeof *it.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (it.shared == MAP_FAILED) return 1;
    log_set_level((enum log_level)(LOG_ERROR + 1)); // the product complains of each fault, rightly
    world_make();
    disk_register();
    all_flows();
    uint64_t runs = it.shared->runs, n_struck = it.shared->struck, violations = it.shared->violations;
    printf("{\"kind\":\"%s\",\"flows\":%llu,\"points\":%llu,\"runs\":%llu,\"struck\":%llu,\"violations\":%llu}\n",
           KIND_NAMES[it.o.kind], (unsigned long long)it.flows, (unsigned long long)it.points, (unsigned long long)runs,
           (unsigned long long)n_struck, (unsigned long long)violations);
    (void)munmap(it.shared, sizeof *it.shared);
    disk_has_no_log(false, false);
    world_unmake();
    return violations || !runs ? 1 : 0;
}
