// SPDX-License-Identifier: Apache-2.0
// `till sim`. One seed is one world: a shop's hour with a few scarce articles, its buyers and its merchant; the
// product's own engine, core and SQLite store on a disk that fails; and a provider that keeps the truth about the
// money.
//
// What is broken:  messages (lost, late, repeated, out of order), calls (unknown, carried out or not, refused, late),
//                  the provider (stale answers, outage), the process (killed inside any write), the power (unsynced
//                  sectors kept, dropped, torn), the disk (full, EIO, a failed sync), the clock, the clients, and
//                  where the broker is elsewhere, that (sends and answers lost, away, restarted and forgetful).
// What is checked: every answered request is kept; stock conserved, backed, never oversold, given back only when the
//                  ledger says that nobody can pay any more; each capture makes its order paid or goes back exactly
//                  once; events dense; consumers told what is so, and all of it; nothing is stuck once the faults have
//                  stopped. checker.c and broker_check.c have the names.
//
// First a phase in which things break, then all is healed and the world runs until nothing is due any more.
#include "sim.h"
#include "base/log.h"
#include "broker_model.h"
#include "checker.h"
#include "clients.h"
#include "crash.h"
#include "fault_vfs.h"
#include "node.h"
#include "pool.h"
#include "provider_model.h"
#include "world.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SETTLE_MS (72 * 3600 * INT64_C(1000))
#define STEPS_MAX 200000
#define MUST_RUNS 1000 // so many runs must have reached every scene that must be

struct options {
    uint64_t seed, runs;
    unsigned faults;
    bool tells, goes_on, disk_lies;
    char faults_text[128];
};

// --- One seed

static void heal(struct world *w, struct happening *h)
{
    (void)h;
    struct node *n = w->node;
    world_tell(w, "--- faults and buyers stop");
    w->healing = true;
    w->ledger->unreachable = 0;
    broker_model_heal(w->mq);
    n->offset_ms = 0;
    n->paused_until_ms = 0;
    n->full = n->dies_in_recovery = false;
    disk_fail(DISK_FINE);
    disk_crash_at(UINT64_MAX);
}

static void seed_live(struct world *w)
{
    int64_t end_ms = w->heal_ms + SETTLE_MS;
    while (!w->failed) {
        int64_t node_ms = node_next_ms(w->node), next_ms = world_next_ms(w);
        if (node_ms < next_ms) next_ms = node_ms;
        if (next_ms == INT64_MAX) return;
        if (next_ms > end_ms || w->step > STEPS_MAX) {
            world_violated(w, "comes_to_rest", "something is due for ever: %s",
                           node_ms <= world_next_ms(w) ? "the engine" : "the world");
            return;
        }
        w->now_ms = next_ms;
        world_run_due(w);
        node_run(w);
    }
}

static void seed_run(struct world *w, uint64_t seed, unsigned faults)
{
    world_begin(w, seed, faults);
    ledger_begin(w->ledger, w);
    broker_model_begin(w->mq, w);
    checker_begin(w);
    node_begin(w);
    breaks_begin(w);
    clients_begin(w);
    world_plan(w, w->heal_ms, heal, 0, 0, 0);
    seed_live(w);
    if (!w->failed) checker_full(w, true);
    w->totals->virtual_ms += (uint64_t)(w->now_ms - w->start_ms);
    w->totals->ops += disk_ops();
    node_end(w);
}

// --- The command line

static bool number_read(const char *text, uint64_t *n)
{
    char *end;
    errno = 0;
    if (!text || *text < '0' || *text > '9') return false;
    *n = strtoull(text, &end, 10);
    return errno == 0 && *end == 0;
}

static bool fault_read(const char *word, size_t n, unsigned *faults)
{
    for (unsigned i = 0; i < N_FAULTS; i++) {
        if (strlen(FAULT_NAMES[i]) != n || memcmp(FAULT_NAMES[i], word, n) != 0) continue;
        *faults |= 1u << i;
        return true;
    }
    return false;
}

static bool faults_read(const char *text, unsigned *faults)
{
    *faults = 0;
    if (!text) return false;
    if (strcmp(text, "none") == 0) return true;
    if (strcmp(text, "all") == 0) {
        *faults = (1u << N_FAULTS) - 1;
        return true;
    }
    while (*text) {
        size_t n = strcspn(text, ",");
        if (!fault_read(text, n, faults)) return false;
        text += n + (text[n] == ',');
    }
    return *faults != 0;
}

static int usage(const char *why)
{
    fprintf(stderr,
            "till sim: %s\nusage: till sim [--seed N] [--runs N] [--faults all|none|LIST] [--trace] [--keep-going]\n"
            "  LIST is of:",
            why);
    for (unsigned i = 0; i < N_FAULTS; i++)
        fprintf(stderr, " %s", FAULT_NAMES[i]);
    fprintf(
        stderr,
        "\n  --trace tells the story of one seed; --disk-lies makes every sync do nothing, which must be noticed\n");
    return 2;
}

static const char *options_read(struct options *o, int argc, char **argv)
{
    *o = (struct options){.seed = 1, .runs = 1000, .faults = (1u << N_FAULTS) - 1, .faults_text = "all"};
    for (int i = 0; i < argc; i++) { // arguments only, without the command's name
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--trace") == 0)
            o->tells = true;
        else if (strcmp(argv[i], "--keep-going") == 0)
            o->goes_on = true;
        else if (strcmp(argv[i], "--disk-lies") == 0)
            o->disk_lies = true;
        else if (strcmp(argv[i], "--seed") == 0 && number_read(value, &o->seed))
            i++;
        else if (strcmp(argv[i], "--runs") == 0 && number_read(value, &o->runs) && o->runs > 0)
            i++;
        else if (strcmp(argv[i], "--faults") == 0 && faults_read(value, &o->faults) &&
                 strlen(value) < sizeof o->faults_text)
            (void)snprintf(o->faults_text, sizeof o->faults_text, "%s", argv[++i]);
        else
            return argv[i];
    }
    return NULL;
}

static void report_violation(const struct world *w, const struct options *o)
{
    fprintf(stderr,
            "seed %llu, step %llu, %.3f s into it: %s is violated: %s\n  again: till sim --seed %llu --runs 1 --faults "
            "%s --trace%s\n",
            (unsigned long long)w->seed, (unsigned long long)w->step, (double)(w->now_ms - w->start_ms) / 1000,
            w->check, w->detail, (unsigned long long)w->seed, o->faults_text, o->disk_lies ? " --disk-lies" : "");
}

static void report_totals(const struct options *o, uint64_t runs, const struct totals *t, uint64_t violations,
                          uint64_t hash)
{
    printf("{\"seed\":%llu,\"runs\":%llu,\"lifecycles\":%llu,\"crashes\":%llu,\"faults\":%llu,\"turns\":%llu,"
           "\"commits\":%llu,\"disk_ops\":%llu,\"virtual_hours\":%llu,\"scenarios_hit\":{",
           (unsigned long long)o->seed, (unsigned long long)runs, (unsigned long long)t->lifecycles,
           (unsigned long long)t->crashes, (unsigned long long)t->faults, (unsigned long long)t->turns,
           (unsigned long long)t->commits, (unsigned long long)t->ops, (unsigned long long)(t->virtual_ms / 3600000));
    for (unsigned i = 0; i < N_SCENES; i++)
        printf("%s\"%s\":%llu", i ? "," : "", SCENE_NAMES[i], (unsigned long long)t->scenes[i]);
    printf("},\"sent_back\":%llu,\"violations\":%llu,\"trace_hash\":\"%016llx\"}\n", (unsigned long long)t->sent_back,
           (unsigned long long)violations, (unsigned long long)hash);
}

// A simulator that no longer reaches what it is for passes everything: that is a failure too.
static uint64_t scenes_missed(const struct options *o, uint64_t runs, const struct totals *t)
{
    uint64_t missed = 0;
    if (runs < MUST_RUNS || strcmp(o->faults_text, "all") != 0) return 0;
    for (unsigned i = 0; i < N_SCENES; i++) {
        if (!SCENE_MUST[i] || t->scenes[i] > 0) continue;
        fprintf(stderr, "scenario %s was never reached in %llu runs\n", SCENE_NAMES[i], (unsigned long long)runs);
        missed++;
    }
    return missed;
}

static int seeds_run(struct world *w, const struct options *o)
{
    struct totals totals = {0};
    uint64_t violations = 0, hash = 0, runs = 0;
    bool terminal = isatty(STDERR_FILENO);
    w->totals = &totals;
    w->tells = o->tells;
    for (; runs < o->runs && (violations == 0 || o->goes_on); runs++) {
        seed_run(w, o->seed + runs, o->faults);
        hash = random_mix(hash ^ w->hash);
        if (w->failed) {
            violations++;
            report_violation(w, o);
        }
        if (terminal && runs % 16 == 0)
            fprintf(stderr, "\r%llu of %llu seeds, %llu lifecycles, %llu crashes ", (unsigned long long)runs,
                    (unsigned long long)o->runs, (unsigned long long)totals.lifecycles,
                    (unsigned long long)totals.crashes);
    }
    if (terminal) fprintf(stderr, "\r\033[K");
    uint64_t missed = violations ? 0 : scenes_missed(o, runs, &totals);
    report_totals(o, runs, &totals, violations, hash);
    return violations || missed ? 1 : 0;
}

int sim_main(int argc, char **argv)
{
    pool_for_sqlite();
    if (crash_is_asked_for(argc, argv)) return crash_main(argc, argv, NULL);
    struct options o;
    const char *bad = options_read(&o, argc, argv);
    if (bad) return usage(bad);
    struct world *w = calloc(1, sizeof *w);
    struct node node = {0};
    w->node = &node;
    w->ledger = calloc(1, sizeof *w->ledger);
    w->mq = calloc(1, sizeof *w->mq);
    w->clients = calloc(1, sizeof *w->clients);
    w->checker = checker_new();
    log_set_level((enum log_level)(LOG_ERROR + 1)); // the product complains of each fault, rightly
    disk_register();
    disk_lies(o.disk_lies);
    int status = seeds_run(w, &o);
    disk_free();
    clients_free();
    checker_free(w->checker);
    free(w->clients);
    free(w->mq);
    free(w->ledger);
    world_free(w);
    free(w);
    return status;
}
