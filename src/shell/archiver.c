// SPDX-License-Identifier: Apache-2.0
// Moves old orders to the archive, a few at a time: copies them there, and then asks the engine to forget them.
//
// It only ever goes on from what the rows say. What it was stopped in the middle of, it does again.
#include "base/log.h"
#include "base/metric.h"
#include "base/mono.h"
#include "shell/shell.h"
#include "store/archive.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOK_MS      10000 // between two passes
#define TEST_LOOK_MS 200   // a test clock may move by days at once
#define POSTED_MAX   16    // orders forgotten in one turn: nobody who waits for a commit is to notice
#define PAUSE_MS     10    // between those and the next
#define AGAIN_MS     60000 // after a disk that was full

struct archiver {
    struct shell *s;
    struct archive *archive;
    int64_t keep_ms;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t bell;
    bool is_stopping; // under the lock
    bool runs;
    _Atomic bool is_failed;
};

// Sleeps; false when the service stops.
static bool wait_ms(struct archiver *w, int64_t ms)
{
    struct timespec until = mono_in_ms(ms);
    pthread_mutex_lock(&w->lock);
    while (!w->is_stopping && pthread_cond_timedwait(&w->bell, &w->lock, &until) != ETIMEDOUT) {
    }
    bool goes_on = !w->is_stopping;
    pthread_mutex_unlock(&w->lock);
    return goes_on;
}

// One that gets lost on the way is still in the store, and is found again.
static bool hand_over(struct archiver *w, const struct archive_batch *b)
{
    for (unsigned i = 0; i < b->n_moved; i++) {
        (void)engine_post_archived(w->s->engine, &b->moved[i]);
        if (i % POSTED_MAX != POSTED_MAX - 1 && i != b->n_moved - 1) continue;
        do {
            if (!wait_ms(w, PAUSE_MS)) return false;
        } while (engine_news_backlog(w->s->engine) > 0);
    }
    return true;
}

// Once over all that is old. False: the service stops, or the archive has failed.
static bool pass(struct archiver *w, int64_t *next_ms)
{
    struct archive_batch b = {.before_ms = clock_now_ms(w->s->clock) - w->keep_ms,
                              .awaits_publishing = w->s->broker_kind == BROKER_REMOTE};
    *next_ms = w->s->test_clock ? TEST_LOOK_MS : LOOK_MS;
    do {
        switch (archive_copy(w->archive, &b)) {
        case ARCHIVE_DONE: break;
        case ARCHIVE_LATER: *next_ms = AGAIN_MS; return true;
        case ARCHIVE_FAILED: atomic_store(&w->is_failed, true); return false;
        }
        if (!hand_over(w, &b)) return false;
    } while (b.after_key);
    return true;
}

static void *run(void *arg)
{
    struct archiver *w = arg;
    int64_t next_ms = 0;
    do {
        if (!pass(w, &next_ms)) break;
    } while (wait_ms(w, next_ms));
    if (atomic_load(&w->is_failed))
        log_error("archive", "nothing is archived until the next start; nothing is lost, old orders stay in the store");
    return NULL;
}

struct archiver *archiver_new(struct shell *s, int64_t keep_ms, struct archive *archive)
{
    struct archiver *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->s = s;
    w->archive = archive;
    w->keep_ms = keep_ms;
    pthread_mutex_init(&w->lock, NULL);
    mono_cond_init(&w->bell);
    return w;
}

bool archiver_start(struct archiver *w)
{
    if (w) w->runs = pthread_create(&w->thread, NULL, run, w) == 0;
    return !w || w->runs;
}

void archiver_free(struct archiver *w)
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

void archiver_metrics(const struct archiver *w, struct buf *out)
{
    metric_one(out, "till_archive_failed", "gauge", "1: the archive's file failed, and nothing more goes there.",
               w && atomic_load(&w->is_failed));
}
