// SPDX-License-Identifier: Apache-2.0
// Seeded random streams. One per purpose, so that a fault more does not change who buys what.
#ifndef TILL_SIM_RANDOM_H
#define TILL_SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct stream {
    uint64_t state;
};

static inline uint64_t random_mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static inline struct stream stream_of(uint64_t seed, unsigned purpose)
{
    return (struct stream){random_mix(seed * UINT64_C(0x9e3779b97f4a7c15) + purpose)};
}

static inline uint64_t random_next(struct stream *s)
{
    s->state += UINT64_C(0x9e3779b97f4a7c15);
    return random_mix(s->state);
}

static inline uint64_t random_below(struct stream *s, uint64_t n) // 0..n-1; n > 0
{
    return random_next(s) % n;
}

static inline int64_t random_between(struct stream *s, int64_t low, int64_t high) // both included
{
    return low + (int64_t)random_below(s, (uint64_t)(high - low) + 1);
}

static inline bool random_chance(struct stream *s, unsigned permille)
{
    return random_below(s, 1000) < permille;
}

// Many small, some large: each doubling as likely as the next.
static inline int64_t random_skewed(struct stream *s, int64_t low, int64_t high)
{
    int64_t span = high - low;
    unsigned bits = 0;
    while (bits < 62 && (span >> bits) > 0)
        bits++;
    int64_t most = bits ? INT64_C(1) << random_below(s, bits + 1) : 1;
    if (most > span + 1) most = span + 1;
    return low + (int64_t)random_below(s, (uint64_t)most);
}

#endif
