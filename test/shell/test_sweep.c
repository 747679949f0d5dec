// SPDX-License-Identifier: Apache-2.0
// The sweep's thread, over rows of which the timers forgot some, beside an engine that only writes down what it is
// handed. Its clock is moved to where it is due: it is waited for, never for a time.
#include "shell/shell.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
// after the above:
#include <cmocka.h>

#define WAIT_S   30 // then it does not come
#define ROWS     3000
#define YEAR_MS  (INT64_C(366) * 24 * 3600 * 1000)
#define YEARLY   "0 0 0 1 1 ? *" // not while a test runs, unless the clock is moved
#define NEVER    "0 0 0 31 FEB ?"
#define ENOUGH   512 // overdue orders the engine has not taken yet
#define POSTS    (2 * ROWS)
#define OVERDUES (ROWS / 3)

static struct world {
    struct reader reader;
    struct shell shell;
    struct clock clock;
    struct sweep *sweep;
    pthread_mutex_t lock;
    pthread_cond_t came;
    // the rows: keys 1..n; every third is so long overdue, the others are not
    unsigned n_rows;
    int64_t overdue_ms;
    bool rows_fail, totals_fail; // the next read
    int64_t unaccounted;
    unsigned n_reads;
    // the engine
    unsigned backlog;
    unsigned n_polls;       // how often it was asked for it
    unsigned n_memory_gone; // of the next posts: refused
    unsigned n_posts;
    uint64_t posts[POSTS];
} world;

// --- Rows

static bool read_dues(struct reader *r, uint64_t after_key, struct due_row *out, unsigned max, unsigned *n)
{
    (void)r;
    pthread_mutex_lock(&world.lock);
    int64_t now_ms = clock_now_ms(&world.clock);
    bool ok = !world.rows_fail;
    world.rows_fail = false;
    *n = 0;
    for (uint64_t key = after_key + 1; ok && key <= world.n_rows && *n < max; key++)
        out[(*n)++] = (struct due_row){key, now_ms - (key % 3 == 0 ? world.overdue_ms : 0)};
    world.n_reads++;
    pthread_cond_broadcast(&world.came);
    pthread_mutex_unlock(&world.lock);
    return ok;
}

static bool read_totals(struct reader *r, int64_t now_ms, struct store_totals *out)
{
    (void)r, (void)now_ms;
    pthread_mutex_lock(&world.lock);
    bool ok = !world.totals_fail;
    out->deadlines_overdue = world.unaccounted;
    pthread_mutex_unlock(&world.lock);
    return ok;
}

static const struct reader_ops READER_OPS = {.dues = read_dues, .totals = read_totals};

// --- The engine

bool engine_post_overdue(struct engine *e, uint64_t order_key)
{
    (void)e;
    pthread_mutex_lock(&world.lock);
    bool ok = world.n_memory_gone == 0;
    if (!ok) world.n_memory_gone--;
    if (ok && world.n_posts == POSTS) abort();
    if (ok) world.posts[world.n_posts++] = order_key;
    pthread_cond_broadcast(&world.came);
    pthread_mutex_unlock(&world.lock);
    return ok;
}

unsigned engine_news_backlog(const struct engine *e)
{
    (void)e;
    pthread_mutex_lock(&world.lock);
    unsigned backlog = world.backlog;
    world.n_polls++;
    pthread_cond_broadcast(&world.came);
    pthread_mutex_unlock(&world.lock);
    return backlog;
}

// --- The bench

static int set_up(void **state)
{
    static char test_clock; // that there is one means that time may be moved
    (void)state;
    memset(&world, 0, sizeof world);
    world.reader.ops = &READER_OPS;
    world.shell.clock = &world.clock;
    world.shell.test_clock = (struct test_clock *)&test_clock;
    world.n_rows = ROWS;
    world.overdue_ms = 5001 + 60000; // far beyond what a slow machine adds
    pthread_mutex_init(&world.lock, NULL);
    pthread_cond_init(&world.came, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sweep_free(world.sweep);
    pthread_cond_destroy(&world.came);
    pthread_mutex_destroy(&world.lock);
    return 0;
}

static void move_clock(int64_t by_ms)
{
    atomic_fetch_add(&world.clock.offset_ms, by_ms);
}

static struct timespec limit(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    return until;
}

// Until something counted so far.
static void await(const unsigned *counter, unsigned n)
{
    struct timespec until = limit();
    int rc = 0;
    pthread_mutex_lock(&world.lock);
    while (*counter < n && rc == 0)
        rc = pthread_cond_timedwait(&world.came, &world.lock, &until);
    unsigned got = *counter;
    pthread_mutex_unlock(&world.lock);
    if (got < n) fail_msg("it did not come: %u of %u", got, n);
}

static bool text_has(void (*write)(struct sweep *w, struct buf *out), const char *words)
{
    struct buf b = {0};
    write(world.sweep, &b);
    buf_char(&b, 0);
    bool has = !b.failed && strstr(b.p, words) != NULL;
    buf_free(&b);
    return has;
}

// The sweep's own numbers are written when it is done.
static void await_said(void (*write)(struct sweep *w, struct buf *out), const char *words)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    struct timespec until = limit(), now;
    while (!text_has(write, words)) {
        clock_gettime(CLOCK_REALTIME, &now);
        if (now.tv_sec > until.tv_sec) fail_msg("it does not say %s", words);
        nanosleep(&pause, NULL);
    }
}

static void start(const char *cron)
{
    char why[200] = "";
    world.sweep = sweep_new(&world.shell, cron, &world.reader, why);
    assert_non_null(world.sweep);
    assert_true(sweep_start(world.sweep));
    if (strcmp(cron, NEVER) != 0) await_said(sweep_describe, "\"next_at\":\""); // before the clock is moved
}

// --- Cases

static void what_is_overdue_is_handed_over_in_order_and_nothing_else(void **state)
{
    (void)state;
    start(YEARLY);
    move_clock(YEAR_MS);
    await_said(sweep_describe, "\"sweeps\":1");
    assert_int_equal(OVERDUES, world.n_posts);
    for (unsigned i = 0; i < OVERDUES; i++)
        assert_int_equal(3 * (i + 1), world.posts[i]);
    assert_true(text_has(sweep_describe, "\"looked_at\":3000"));
    assert_true(text_has(sweep_describe, "\"overdue\":1000"));
    assert_true(text_has(sweep_metrics, "\ntill_sweeps_total 1\n"));
    assert_true(text_has(sweep_metrics, "\ntill_sweep_overdue_total 1000\n"));
}

static void what_is_a_little_late_is_left_to_the_timers(void **state)
{
    (void)state;
    world.overdue_ms = 0;
    start(YEARLY);
    move_clock(YEAR_MS);
    await_said(sweep_describe, "\"sweeps\":1");
    assert_int_equal(0, world.n_posts);
    assert_true(text_has(sweep_describe, "\"overdue\":0"));
}

static void times_that_were_missed_are_one(void **state)
{
    (void)state;
    start(YEARLY);
    move_clock(10 * YEAR_MS);
    await_said(sweep_describe, "\"sweeps\":1");
    unsigned reads = world.n_reads;
    move_clock(YEAR_MS);
    await_said(sweep_describe, "\"sweeps\":2");
    assert_int_equal(reads + ROWS / 1024 + 1, world.n_reads);
}

static void it_waits_while_the_engine_has_enough(void **state)
{
    (void)state;
    world.backlog = ENOUGH;
    start(YEARLY);
    move_clock(YEAR_MS);
    await(&world.n_polls, 3);
    assert_int_equal(0, world.n_posts);
    pthread_mutex_lock(&world.lock);
    world.backlog = ENOUGH - 1;
    pthread_mutex_unlock(&world.lock);
    await(&world.n_posts, OVERDUES);
}

static void it_ends_while_it_waits_for_the_engine(void **state)
{
    (void)state;
    world.backlog = ENOUGH;
    start(YEARLY);
    move_clock(YEAR_MS);
    await(&world.n_polls, 1);
    sweep_free(world.sweep);
    world.sweep = NULL;
    assert_int_equal(0, world.n_posts);
}

static void what_found_no_memory_is_found_again(void **state)
{
    (void)state;
    world.n_memory_gone = 1;
    start(YEARLY);
    move_clock(YEAR_MS);
    await_said(sweep_describe, "\"sweeps\":1");
    assert_int_equal(0, world.n_posts);
    move_clock(YEAR_MS);
    await(&world.n_posts, OVERDUES);
    assert_int_equal(3, world.posts[0]);
}

static void a_store_that_cannot_be_read_is_looked_at_again_next_time(void **state)
{
    (void)state;
    world.rows_fail = true;
    start(YEARLY);
    move_clock(YEAR_MS);
    await_said(sweep_describe, "\"sweeps\":1");
    assert_int_equal(0, world.n_posts);
    move_clock(YEAR_MS);
    await(&world.n_posts, OVERDUES);
}

static void deadlines_nobody_accounts_for_are_said(void **state)
{
    (void)state;
    world.unaccounted = 7;
    start(YEARLY);
    assert_true(text_has(sweep_describe, "\"unaccounted\":0"));
    move_clock(YEAR_MS);
    await_said(sweep_describe, "\"unaccounted\":7");
    await_said(sweep_describe, "\"sweeps\":1");
    pthread_mutex_lock(&world.lock);
    world.totals_fail = true; // then the last known number stands
    world.unaccounted = 0;
    pthread_mutex_unlock(&world.lock);
    move_clock(YEAR_MS);
    await_said(sweep_describe, "\"sweeps\":2");
    assert_true(text_has(sweep_describe, "\"unaccounted\":7"));
}

static void it_says_when_it_was_and_when_it_will_be(void **state)
{
    (void)state;
    start(YEARLY);
    assert_false(text_has(sweep_describe, "last_at"));
    move_clock(YEAR_MS);
    await_said(sweep_describe, "\"last_at\":\"");
    assert_true(text_has(sweep_describe, "-01-01T00:00:00.000Z\""));
}

static void one_that_is_never_due_sleeps_and_ends_at_once(void **state)
{
    (void)state;
    start(NEVER);
    move_clock(YEAR_MS);
    sweep_free(world.sweep);
    world.sweep = NULL;
    assert_int_equal(0, world.n_reads);
}

static void what_is_no_schedule_is_refused_with_a_reason(void **state)
{
    (void)state;
    char why[200] = "";
    assert_null(sweep_new(&world.shell, "0 0 25 ? * *", &world.reader, why));
    assert_memory_equal("sweep.cron: ", why, 12);
    assert_true(strlen(why) > 12);
    sweep_free(NULL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_is_overdue_is_handed_over_in_order_and_nothing_else),
        T(what_is_a_little_late_is_left_to_the_timers),
        T(times_that_were_missed_are_one),
        T(it_waits_while_the_engine_has_enough),
        T(it_ends_while_it_waits_for_the_engine),
        T(what_found_no_memory_is_found_again),
        T(a_store_that_cannot_be_read_is_looked_at_again_next_time),
        T(deadlines_nobody_accounts_for_are_said),
        T(it_says_when_it_was_and_when_it_will_be),
        T(one_that_is_never_due_sleeps_and_ends_at_once),
        T(what_is_no_schedule_is_refused_with_a_reason),
    };
    return cmocka_run_group_tests_name("sweep", tests, NULL, NULL);
}
