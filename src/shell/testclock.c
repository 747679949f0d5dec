// SPDX-License-Identifier: Apache-2.0
// The test clock: POST /dev/clock moves time forward, Till's and its sandbox's together, visiting every due instant in
// order, and answers when nothing due is left and no call is in flight.
//
// A thread of its own, because it waits: for the engine to have nothing to do at an instant before it goes to the next.
#include "base/json_in.h"
#include "base/timetext.h"
#include "sandbox/sandbox.h"
#include "shell/remote_clock.h"
#include "shell/shell.h"
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SETTLE_MAX_MS  10000
#define APART_MAX_MS   200 // two clocks of one machine, read one after the other
#define ADVANCE_MAX_MS (400 * 86400 * INT64_C(1000))

struct test_clock {
    struct shell *shell;
    struct remote_clock *remote; // of a sandbox in another process; NULL: none. The clock's own thread uses it
    char path[512];              // where the offset is kept; "" for nowhere
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t bell;
    _Atomic bool is_stopping;
    bool is_busy;
    int64_t advance_ms;
    struct http_exchange *x; // whose question is being answered; NULL once it went away
    struct http_worker *worker;
    bool settled, stored;
};

// --- The offset outlives the process

static bool offset_write(const struct test_clock *t, int64_t offset_ms)
{
    if (!t->path[0]) return true;
    char temp[520], text[32];
    (void)snprintf(temp, sizeof temp, "%s.new", t->path);
    int n = snprintf(text, sizeof text, "%lld\n", (long long)offset_ms);
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return false;
    bool ok = write(fd, text, (size_t)n) == n && fsync(fd) == 0;
    ok = close(fd) == 0 && ok && rename(temp, t->path) == 0;
    char *slash = strrchr(temp, '/');
    if (slash) *slash = 0;
    int dir = ok ? open(slash ? temp : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    ok = dir >= 0 && fsync(dir) == 0;
    if (dir >= 0) close(dir);
    return ok;
}

int64_t test_clock_offset_read(const char *path)
{
    long long offset_ms = 0;
    FILE *f = path[0] ? fopen(path, "re") : NULL;
    if (!f) return 0;
    if (fscanf(f, "%lld", &offset_ms) != 1) offset_ms = 0;
    (void)fclose(f);
    return offset_ms;
}

// --- Moving

static int64_t next_due_ms(const struct shell *s)
{
    int64_t next_ms = engine_next_ms(s->engine);
    if (s->sandbox) {
        int64_t other_ms = sandbox_next_due_ms(s->sandbox);
        if (other_ms < next_ms) next_ms = other_ms;
    }
    return next_ms;
}

// Both sides have nothing to do at this instant.
static bool is_quiet_here(const struct shell *s)
{
    return engine_is_idle(s->engine) && (!s->sandbox || sandbox_idle(s->sandbox)) &&
           next_due_ms(s) > clock_now_ms(s->clock);
}

// A sandbox elsewhere that fell behind (it was being moved by somebody else, or did not hear) is taken along first.
static bool is_quiet(struct test_clock *t, int64_t until_real_ms, int64_t *next_ms)
{
    struct remote_time other;
    *next_ms = next_due_ms(t->shell);
    if (!is_quiet_here(t->shell)) return false;
    if (!t->remote) return true;
    int64_t wait_ms = until_real_ms - clock_real_ms();
    if (!remote_clock_read(t->remote, wait_ms, &other)) return false;
    int64_t behind_ms = clock_now_ms(t->shell->clock) - other.now_ms;
    if (behind_ms > APART_MAX_MS) {
        (void)remote_clock_advance(t->remote, wait_ms, behind_ms);
        return false;
    }
    if (other.next_due_ms < *next_ms) *next_ms = other.next_due_ms;
    return other.is_idle && other.next_due_ms > other.now_ms;
}

static void wake_all(struct shell *s)
{
    engine_wake(s->engine);
    if (s->sandbox) sandbox_poke(s->sandbox);
}

// What is due now, and all that follows from it, is done. Quiet must hold several times in a row, because a
// notification on its way is for a moment in nobody's books.
static bool settle(struct test_clock *t, int64_t until_real_ms, int64_t *next_ms)
{
    unsigned quiet = 0;
    while (quiet < 3) {
        if (clock_real_ms() > until_real_ms || t->is_stopping) return false;
        quiet = is_quiet(t, until_real_ms, next_ms) ? quiet + 1 : 0;
        if (quiet < 3) usleep(300);
    }
    return true;
}

// The sandbox first: what the engine asks at an instant is answered by a provider that is there already.
static void move_to(struct test_clock *t, int64_t instant_ms, int64_t until_real_ms)
{
    struct clock *c = t->shell->clock;
    int64_t by_ms = instant_ms - clock_now_ms(c);
    if (by_ms > 0 && t->remote) (void)remote_clock_advance(t->remote, until_real_ms - clock_real_ms(), by_ms);
    if (by_ms > 0) atomic_fetch_add(&c->offset_ms, by_ms);
    wake_all(t->shell);
}

static bool advance(struct test_clock *t, int64_t by_ms)
{
    int64_t target_ms = clock_now_ms(t->shell->clock) + by_ms;
    int64_t until_real_ms = clock_real_ms() + SETTLE_MAX_MS;
    int64_t next_ms = INT64_MAX;
    bool settled = settle(t, until_real_ms, &next_ms);
    while (settled && next_ms < target_ms) {
        move_to(t, next_ms, until_real_ms);
        settled = settle(t, until_real_ms, &next_ms);
    }
    move_to(t, target_ms, until_real_ms);
    return settle(t, until_real_ms, &next_ms) && settled;
}

static void answer(void *arg)
{
    struct test_clock *t = arg;
    pthread_mutex_lock(&t->lock);
    struct http_exchange *x = t->x;
    bool settled = t->settled, stored = t->stored;
    t->x = NULL;
    t->is_busy = false;
    pthread_mutex_unlock(&t->lock);
    if (!x) return;
    if (!stored)
        return http_problem(x, 503, "clock_not_stored", "time has moved, but would run back after a restart", NULL);
    struct buf b = {0};
    json_open(&b, '{');
    json_ktime(&b, "now", clock_now_ms(t->shell->clock));
    json_key(&b, "settled");
    json_bool(&b, settled);
    json_close(&b, '}');
    api_respond_json(x, 200, &b);
    buf_free(&b);
}

static void *run(void *arg)
{
    struct test_clock *t = arg;
    pthread_mutex_lock(&t->lock);
    for (;;) {
        while (!t->is_stopping && t->advance_ms < 0)
            pthread_cond_wait(&t->bell, &t->lock);
        if (t->is_stopping) break;
        int64_t by_ms = t->advance_ms;
        t->advance_ms = -1;
        pthread_mutex_unlock(&t->lock);
        bool settled = advance(t, by_ms);
        bool stored = offset_write(t, atomic_load(&t->shell->clock->offset_ms));
        pthread_mutex_lock(&t->lock);
        t->settled = settled;
        t->stored = stored;
        (void)http_worker_post(t->worker, answer, t);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

// --- Requests

// A test clock may have moved time: its offset is kept beside the store, by `till dev` and by `till serve
// --test-clock`.
int64_t test_clock_offset_of_store(const char *store)
{
    char beside[PATH_MAX], named[PATH_MAX];
    (void)snprintf(named, sizeof named, "%s-clock", store);
    (void)snprintf(beside, sizeof beside, "%s", store);
    char *slash = strrchr(beside, '/');
    size_t n = slash ? (size_t)(slash + 1 - beside) : 0;
    (void)snprintf(beside + n, sizeof beside - n, "clock");
    int64_t offset_ms = test_clock_offset_read(named);
    return offset_ms ? offset_ms : test_clock_offset_read(beside);
}

void test_clock_get(struct worker *w, struct http_exchange *x)
{
    json_open(&w->out, '{');
    json_ktime(&w->out, "now", clock_now_ms(w->shell->clock));
    json_key(&w->out, "settled");
    json_bool(&w->out, is_quiet_here(w->shell));
    json_close(&w->out, '}');
    api_respond_json(x, 200, &w->out);
}

void test_clock_post(struct worker *w, struct http_exchange *x)
{
    static const char *const known[] = {"advance", NULL};
    struct test_clock *t = w->shell->test_clock;
    struct json_fault fault = {0};
    json_t *root = json_read_object(x->body, &fault);
    struct json_in in = {root, "", &fault};
    struct str text = {0};
    int64_t by_ms = 0;
    if (root) {
        json_in_only(&in, known);
        json_in_str(&in, "advance", true, 32, &text);
        if (!fault.code && (!duration_parse(text, &by_ms) || by_ms > ADVANCE_MAX_MS))
            json_in_fail(&in, "advance", "invalid_duration", "a duration like 90s, 5m or 2h, at most 400d");
        json_decref(root);
    }
    if (fault.code) return http_problem(x, 400, fault.code, fault.detail, fault.pointer);
    pthread_mutex_lock(&t->lock);
    bool free_now = !t->is_busy;
    if (free_now) {
        t->is_busy = true;
        t->x = x;
        t->worker = x->worker;
        t->advance_ms = by_ms;
        pthread_cond_signal(&t->bell);
    }
    pthread_mutex_unlock(&t->lock);
    if (!free_now) http_problem(x, 409, "clock_is_moving", "another request is moving the clock", NULL);
}

bool test_clock_closed(struct test_clock *t, struct http_exchange *x)
{
    pthread_mutex_lock(&t->lock);
    bool ours = t->x == x;
    if (ours) t->x = NULL;
    pthread_mutex_unlock(&t->lock);
    return ours;
}

// --- Life

struct test_clock *test_clock_new(struct shell *s, const char *offset_path, char why[200])
{
    struct test_clock *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->shell = s;
    t->advance_ms = -1;
    if (offset_path) (void)snprintf(t->path, sizeof t->path, "%s", offset_path);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->bell, NULL);
    atomic_store(&s->clock->offset_ms, test_clock_offset_read(t->path));
    if (pthread_create(&t->thread, NULL, run, t) == 0) return t;
    (void)snprintf(why, 200, "cannot start the test clock's thread");
    free(t);
    return NULL;
}

void test_clock_follow(struct test_clock *t, const char *gateway)
{
    struct remote_time other;
    if (t->remote) return; // the gateways of one sandbox
    t->remote = remote_clock_open(gateway, &t->is_stopping);
    if (!t->remote || !remote_clock_read(t->remote, SETTLE_MAX_MS, &other)) return;
    int64_t behind_ms = other.now_ms - clock_now_ms(t->shell->clock);
    if (behind_ms > 0) atomic_fetch_add(&t->shell->clock->offset_ms, behind_ms);
}

void test_clock_stop(struct test_clock *t)
{
    if (!t) return;
    pthread_mutex_lock(&t->lock);
    t->is_stopping = true;
    pthread_cond_signal(&t->bell);
    pthread_mutex_unlock(&t->lock);
}

void test_clock_free(struct test_clock *t)
{
    if (!t) return;
    test_clock_stop(t);
    pthread_join(t->thread, NULL);
    pthread_cond_destroy(&t->bell);
    pthread_mutex_destroy(&t->lock);
    remote_clock_free(t->remote);
    free(t);
}
