// SPDX-License-Identifier: Apache-2.0
// The clock that nobody sets: for how long something took, and for waits with an end. Never for what a row says.
#ifndef TILL_BASE_MONO_H
#define TILL_BASE_MONO_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

static inline int64_t mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

// A condition whose timed waits go by this clock, and until when one of `ms` from now lasts.
void mono_cond_init(pthread_cond_t *cond);
struct timespec mono_in_ms(int64_t ms);

#endif
