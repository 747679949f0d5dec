// SPDX-License-Identifier: Apache-2.0
// A closed-loop HTTP load: so many connections, each with one request under way, in one thread on epoll. It does as
// little as it can per request, because it shares the machine with what it measures.
#ifndef TILL_BENCH_LOAD_H
#define TILL_BENCH_LOAD_H

#include "base/buf.h"
#include <stdint.h>
#include <time.h>

// A clock of the system's, and the same in seconds.
uint64_t clock_us(clockid_t id);
static inline double clock_s(clockid_t id)
{
    return (double)clock_us(id) / 1e6;
}

// Latencies in microseconds: 32 steps per doubling, so a figure is off by 3 % at the most.
#define HISTOGRAM_SUB  32
#define HISTOGRAM_SIZE (HISTOGRAM_SUB * 32)
struct histogram {
    uint64_t n, counts[HISTOGRAM_SIZE];
};
void histogram_add(struct histogram *h, uint64_t us);
uint64_t histogram_quantile_us(const struct histogram *h, double q); // upper edge of its step; 0 when empty

struct load {
    // in
    const char *host; // an IPv4 address
    unsigned port, connections;
    uint64_t operations, warm_up;                            // the latter come first and are not counted
    void (*request)(void *ctx, uint64_t i, struct buf *out); // writes a whole HTTP request; i counts from 0
    void (*warm)(void *ctx);                                 // called once, when the counted part begins
    void *ctx;
    bool shows_progress;
    const char *name;
    // out
    uint64_t done, errors; // errors: not a 2xx, or a broken connection
    double seconds;
    struct histogram latency;
    char first_error[200];
};

bool load_run(struct load *l, char why[200]);

// One request on a connection of its own, for setting up and reading figures. The body is appended to `body`.
bool load_once(const char *host, unsigned port, struct str request, int *status, struct buf *body);

#endif
