// SPDX-License-Identifier: Apache-2.0
// /dev/clock of a sandbox that lives alone. Moving time visits every instant at which something is due and waits there
// until it is done, so that a merchant sees what he would have seen, in that order. The waiting is done by timers on
// the HTTP thread: merchants ask the gateway while they are being notified.
#include "base/json_in.h"
#include "base/timetext.h"
#include "sandbox/inside.h"
#include "sandbox/notifier.h"
#include <stdio.h>
#include <stdlib.h>

#define ADVANCE_MAX_MS (INT64_C(3660) * 86400 * 1000)
#define GIVE_UP_MS     10000
#define LOOK_EVERY_MS  2u

struct devclock {
    struct sandbox *sandbox;
    struct answer *answer; // NULL: nobody waits
    struct http_timer *timer;
    struct http_worker *worker;
    int64_t final_offset_ms, give_up_ms; // the latter in real time
};

bool devclock_restore(struct sandbox *s)
{
    struct buf text = {0};
    if (ledger_value_get(s->ledger, "clock_offset_ms", &text)) {
        buf_char(&text, 0);
        if (text.failed) return false;
        int64_t offset_ms = strtoll(text.p, NULL, 10); // we wrote it
        if (offset_ms > atomic_load(&s->clock->offset_ms)) atomic_store(&s->clock->offset_ms, offset_ms);
    }
    buf_free(&text);
    return true;
}

static bool is_idle(const struct sandbox *s, int64_t due_ms, int64_t now_ms)
{
    return notifier_in_flight(s->notifier) == 0 && due_ms > now_ms;
}

static void finish(struct devclock *d, bool settled)
{
    struct sandbox *s = d->sandbox;
    struct answer *a = d->answer;
    char text[24];
    int n = snprintf(text, sizeof text, "%lld", (long long)d->final_offset_ms);
    ledger_lock(s->ledger);
    ledger_value_set(s->ledger, "clock_offset_ms", (struct str){text, (size_t)n});
    bool stored = ledger_commit(s->ledger);
    ledger_unlock(s->ledger);
    d->answer = NULL;
    if (stored) {
        json_open(&a->body, '{');
        json_ktime(&a->body, "now", clock_now_ms(s->clock));
        json_key(&a->body, "settled");
        json_bool(&a->body, settled);
        json_close(&a->body, '}');
        answer_json(a, 200);
    } else {
        answer_problem(a, 503, "store_failed", "the clock could not be stored", NULL);
    }
    answer_release(a);
}

static void move_to(struct devclock *d, int64_t offset_ms)
{
    if (offset_ms > d->final_offset_ms) offset_ms = d->final_offset_ms;
    if (offset_ms > atomic_load(&d->sandbox->clock->offset_ms)) atomic_store(&d->sandbox->clock->offset_ms, offset_ms);
    notifier_wake(d->sandbox->notifier);
}

// One look: wait, step to the next due instant, or be done. Returns whether to look again.
static bool step(struct devclock *d)
{
    struct sandbox *s = d->sandbox;
    int64_t real_ms = clock_real_ms(), offset_ms = atomic_load(&s->clock->offset_ms);
    ledger_lock(s->ledger);
    int64_t due_ms = ledger_next_due_ms(s->ledger);
    bool idle = is_idle(s, due_ms, real_ms + offset_ms);
    ledger_unlock(s->ledger);
    bool gives_up = real_ms >= d->give_up_ms;
    if (gives_up) move_to(d, d->final_offset_ms);
    if (gives_up || (idle && offset_ms == d->final_offset_ms)) {
        finish(d, idle && !gives_up);
        return false;
    }
    if (idle) move_to(d, due_ms == INT64_MAX ? d->final_offset_ms : due_ms - real_ms);
    return true;
}

static void look(void *arg)
{
    struct devclock *d = arg;
    d->timer = NULL;
    if (!d->answer) return;
    // In the middle of a round its lock is held and its commit owed; a moment later it is not.
    if (d->sandbox->in_round || step(d)) d->timer = http_timer_after(d->worker, LOOK_EVERY_MS, look, d);
}

static bool advance_read(const struct http_exchange *x, int64_t *advance_ms, struct json_fault *fault)
{
    static const char *const names[] = {"advance", NULL};
    struct str text = {0};
    json_t *root = json_read_object(x->body, fault);
    if (!root) return false;
    struct json_in in = {.object = root, .at = "", .fault = fault};
    if (json_in_only(&in, names) && json_in_str(&in, "advance", true, 32, &text) &&
        (!duration_parse(text, advance_ms) || *advance_ms > ADVANCE_MAX_MS))
        json_in_fail(&in, "advance", "out_of_range", "must be a duration like 90s, 5m, 2h, 15d; ten years at most");
    json_decref(root);
    return !fault->code;
}

static struct devclock *devclock_get(struct sandbox *s)
{
    if (!s->devclock) s->devclock = calloc(1, sizeof *s->devclock);
    if (s->devclock) s->devclock->sandbox = s;
    return s->devclock;
}

static void advance(struct sandbox *s, const struct http_exchange *x, struct answer *a)
{
    int64_t advance_ms;
    struct json_fault fault;
    struct devclock *d = devclock_get(s);
    if (!advance_read(x, &advance_ms, &fault)) {
        answer_problem(a, 400, fault.code, fault.detail, fault.pointer);
        return;
    }
    if (!d || d->answer) {
        answer_problem(a, 409, "clock_is_moving", "somebody else is moving the clock", NULL);
        return;
    }
    d->answer = a;
    d->worker = x->worker;
    d->final_offset_ms = atomic_load(&s->clock->offset_ms) + advance_ms;
    d->give_up_ms = clock_real_ms() + GIVE_UP_MS;
    d->timer = http_timer_after(x->worker, 0, look, d);
    a->later = d->timer != NULL;
    if (a->later) return;
    d->answer = NULL;
    answer_problem(a, 503, "overloaded", "out of memory", NULL);
}

static void show(struct sandbox *s, struct answer *a)
{
    int64_t now_ms = clock_now_ms(s->clock), due_ms = ledger_next_due_ms(s->ledger);
    json_open(&a->body, '{');
    json_ktime(&a->body, "now", now_ms);
    if (due_ms != INT64_MAX) json_ktime(&a->body, "next_due", due_ms);
    json_key(&a->body, "idle");
    json_bool(&a->body, is_idle(s, due_ms, now_ms));
    json_close(&a->body, '}');
    answer_json(a, 200);
}

void devclock_request(struct sandbox *s, const struct http_exchange *x, struct answer *a)
{
    if (x->method == HTTP_POST) {
        advance(s, x, a);
    } else if (x->method == HTTP_GET || x->method == HTTP_HEAD) {
        show(s, a);
    } else {
        answer_problem(a, 405, "method_not_allowed", "this address does not take that method", NULL);
        buf_z(&a->headers, "Allow: GET, HEAD, POST\r\n");
    }
}

void devclock_forget(struct sandbox *s, const struct answer *a)
{
    struct devclock *d = s->devclock;
    if (!d || d->answer != a) return;
    d->answer = NULL; // the clock stops where it stands
    http_timer_cancel(d->timer);
    d->timer = NULL;
}

void devclock_free(struct sandbox *s)
{
    free(s->devclock);
    s->devclock = NULL;
}
