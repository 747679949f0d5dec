// SPDX-License-Identifier: Apache-2.0
// Time as Till lives it. In production it is the wall clock; the test clock adds an offset; the simulator has its own.
// Read once per turn and handed on as an argument.
//
// Timestamps inside signatures always carry real time: clock_real_ms().
#ifndef TILL_PORT_CLOCK_H
#define TILL_PORT_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

struct clock {
    _Atomic int64_t offset_ms; // what the test clock added
};

static inline int64_t clock_real_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static inline int64_t clock_now_ms(const struct clock *c)
{
    return clock_real_ms() + atomic_load_explicit(&c->offset_ms, memory_order_acquire);
}

#endif
