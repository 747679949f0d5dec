// SPDX-License-Identifier: Apache-2.0
#include "answers.h"
#include <stdlib.h>
#include <time.h>

static void on_post(void *ctx, const struct answer *a)
{
    struct answers *s = ctx;
    pthread_mutex_lock(&s->lock);
    if (s->n == ANSWERS_MAX) abort();
    s->all[s->n++] = *a;
    if (a->code.n > 0 && a->code.n < sizeof s->code) {
        memcpy(s->code, a->code.p, a->code.n);
        s->code[a->code.n] = 0;
    }
    pthread_cond_broadcast(&s->came);
    pthread_mutex_unlock(&s->lock);
}

void answers_init(struct answers *a)
{
    memset(a, 0, sizeof *a);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->came, NULL);
    a->sink = (struct answer_sink){on_post, a};
}

bool answers_wait(struct answers *a, unsigned n, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&a->lock);
    while (a->n < n && pthread_cond_timedwait(&a->came, &a->lock, &until) == 0)
        ;
    bool enough = a->n >= n;
    pthread_mutex_unlock(&a->lock);
    return enough;
}

unsigned answers_count(struct answers *a)
{
    pthread_mutex_lock(&a->lock);
    unsigned n = a->n;
    pthread_mutex_unlock(&a->lock);
    return n;
}

unsigned answers_for(struct answers *a, uint64_t payment_key, struct answer *last)
{
    unsigned n = 0;
    pthread_mutex_lock(&a->lock);
    for (unsigned i = 0; i < a->n; i++) {
        if (a->all[i].payment_key != payment_key) continue;
        if (last) *last = a->all[i];
        n++;
    }
    pthread_mutex_unlock(&a->lock);
    return n;
}
