// SPDX-License-Identifier: Apache-2.0
#include "engine/timers.h"
#include <sys/mman.h>

#define ARITY 4

bool timers_init(struct timers *t)
{
    void *p = mmap(NULL, TIMERS_MAX * sizeof *t->heap, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return false;
    t->heap = p;
    t->n = 0;
    return true;
}

void timers_close(struct timers *t)
{
    if (t->heap) munmap(t->heap, TIMERS_MAX * sizeof *t->heap);
    t->heap = NULL;
}

static bool is_before(const struct timer_entry *a, const struct timer_entry *b)
{
    return a->due_ms < b->due_ms || (a->due_ms == b->due_ms && a->order_key < b->order_key);
}

bool timers_add(struct timers *t, int64_t due_ms, uint64_t order_key)
{
    if (t->n == TIMERS_MAX) return false;
    struct timer_entry e = {due_ms, order_key};
    size_t i = t->n++;
    while (i > 0) {
        size_t parent = (i - 1) / ARITY;
        if (!is_before(&e, &t->heap[parent])) break;
        t->heap[i] = t->heap[parent];
        i = parent;
    }
    t->heap[i] = e;
    return true;
}

int64_t timers_next_ms(const struct timers *t)
{
    return t->n ? t->heap[0].due_ms : INT64_MAX;
}

static void sift_down(struct timers *t, struct timer_entry e)
{
    size_t i = 0;
    for (;;) {
        size_t first = i * ARITY + 1, best = first;
        if (first >= t->n) break;
        for (size_t c = first + 1; c < first + ARITY && c < t->n; c++)
            if (is_before(&t->heap[c], &t->heap[best])) best = c;
        if (!is_before(&t->heap[best], &e)) break;
        t->heap[i] = t->heap[best];
        i = best;
    }
    t->heap[i] = e;
}

bool timers_take(struct timers *t, int64_t now_ms, struct timer_entry *out)
{
    if (t->n == 0 || t->heap[0].due_ms > now_ms) return false;
    *out = t->heap[0];
    struct timer_entry last = t->heap[--t->n];
    if (t->n > 0) sift_down(t, last);
    return true;
}
