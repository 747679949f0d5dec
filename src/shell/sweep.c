// SPDX-License-Identifier: Apache-2.0
// The fallback sweep: on a schedule it looks at every open row and hands the engine those that are overdue.
//
// A path of its own: it knows no timer, message or queue, only the rows. When every other path works it finds nothing,
// and that is what it is there to show.
#include "base/log.h"
#include "base/metric.h"
#include "base/mono.h"
#include "core/cron.h"
#include "shell/shell.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define OVERDUE_MS    5000 // a timer that is this late has been forgotten, or there is more to do than can be done
#define ROWS_PER_READ 1024
#define POSTED_MAX    512   // overdue orders the engine has not taken yet
#define TEST_WAIT_MS  200   // how soon a test clock that was moved is noticed
#define LONGEST_MS    60000 // and a wall clock that was set

struct sweep {
    struct shell *s;
    struct reader *reader;
    struct cron cron;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t bell;
    bool is_stopping; // under the lock
    bool runs;
    _Atomic int64_t at_ms, next_ms; // of the last one (0: none yet), and of the next
    _Atomic uint64_t n_sweeps, n_looked_at, n_overdue;
    _Atomic int64_t unaccounted;
};

// Sleeps; false when the service stops.
static bool wait_ms(struct sweep *w, int64_t ms)
{
    struct timespec until = mono_in_ms(ms);
    pthread_mutex_lock(&w->lock);
    while (!w->is_stopping && pthread_cond_timedwait(&w->bell, &w->lock, &until) != ETIMEDOUT) {
    }
    bool goes_on = !w->is_stopping;
    pthread_mutex_unlock(&w->lock);
    return goes_on;
}

// Hands an order over; waits while the engine has enough of them.
static bool hand_over(struct sweep *w, uint64_t order_key)
{
    while (engine_news_backlog(w->s->engine) >= POSTED_MAX)
        if (!wait_ms(w, 10)) return false;
    return engine_post_overdue(w->s->engine, order_key);
}

static bool look_at(struct sweep *w, const struct due_row *rows, unsigned n, int64_t now_ms, uint64_t *overdue)
{
    for (unsigned i = 0; i < n; i++) {
        if (rows[i].due_ms > now_ms - OVERDUE_MS) continue;
        ++*overdue;
        if (!hand_over(w, rows[i].order_key)) return false;
    }
    return true;
}

static void sweep_once(struct sweep *w, int64_t now_ms)
{
    struct due_row rows[ROWS_PER_READ];
    struct store_totals totals = {0};
    uint64_t after_key = 0, looked_at = 0, overdue = 0;
    unsigned n;
    if (w->reader->ops->totals(w->reader, now_ms, &totals)) atomic_store(&w->unaccounted, totals.deadlines_overdue);
    do {
        if (!w->reader->ops->dues(w->reader, after_key, rows, ROWS_PER_READ, &n)) {
            log_error("sweep", "the store cannot be read; the sweep ends here");
            break;
        }
        if (n == 0 || !look_at(w, rows, n, now_ms, &overdue)) break;
        looked_at += n;
        after_key = rows[n - 1].order_key;
    } while (n == ROWS_PER_READ);
    atomic_fetch_add(&w->n_looked_at, looked_at);
    atomic_fetch_add(&w->n_overdue, overdue);
    atomic_fetch_add(&w->n_sweeps, 1);
    atomic_store(&w->at_ms, now_ms);
    if (overdue)
        log_warn("sweep", "%llu orders were overdue by more than %d s", (unsigned long long)overdue, OVERDUE_MS / 1000);
}

static void *run(void *arg)
{
    struct sweep *w = arg;
    int64_t longest_ms = w->s->test_clock ? TEST_WAIT_MS : LONGEST_MS;
    int64_t next_ms = cron_next_ms(&w->cron, clock_now_ms(w->s->clock), &CRON_UTC);
    for (;;) {
        int64_t now_ms = clock_now_ms(w->s->clock);
        atomic_store(&w->next_ms, next_ms);
        if (now_ms >= next_ms) {
            sweep_once(w, now_ms);
            next_ms = cron_next_ms(&w->cron, now_ms, &CRON_UTC); // those that were missed are one
            continue;
        }
        int64_t ms = next_ms - now_ms < longest_ms ? next_ms - now_ms : longest_ms;
        if (!wait_ms(w, ms)) return NULL;
    }
}

struct sweep *sweep_new(struct shell *s, const char *cron, struct reader *reader, char why[200])
{
    char what[CRON_WHY_SIZE] = "out of memory";
    struct sweep *w = calloc(1, sizeof *w);
    if (w) {
        w->s = s;
        w->reader = reader;
        pthread_mutex_init(&w->lock, NULL);
        mono_cond_init(&w->bell);
        if (cron_parse(str_of(cron), &w->cron, what)) return w;
        sweep_free(w);
    }
    (void)snprintf(why, 200, "sweep.cron: %s", what);
    return NULL;
}

bool sweep_start(struct sweep *w)
{
    w->runs = pthread_create(&w->thread, NULL, run, w) == 0;
    return w->runs;
}

void sweep_free(struct sweep *w)
{
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->is_stopping = true;
    pthread_cond_broadcast(&w->bell);
    pthread_mutex_unlock(&w->lock);
    if (w->runs) pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->bell);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

void sweep_describe(struct sweep *w, struct buf *out)
{
    json_open(out, '{');
    int64_t at_ms = atomic_load(&w->at_ms), next_ms = atomic_load(&w->next_ms);
    if (at_ms) json_ktime(out, "last_at", at_ms);
    if (next_ms && next_ms != CRON_NEVER) json_ktime(out, "next_at", next_ms);
    json_ki64(out, "sweeps", (int64_t)atomic_load(&w->n_sweeps));
    json_ki64(out, "looked_at", (int64_t)atomic_load(&w->n_looked_at));
    json_ki64(out, "overdue", (int64_t)atomic_load(&w->n_overdue));
    json_ki64(out, "unaccounted", atomic_load(&w->unaccounted));
    json_close(out, '}');
}

void sweep_metrics(struct sweep *w, struct buf *out)
{
    metric_one(out, "till_sweeps_total", "counter", "Fallback sweeps.", atomic_load(&w->n_sweeps));
    metric_one(out, "till_sweep_overdue_total", "counter", "Orders a sweep found overdue.", atomic_load(&w->n_overdue));
}
