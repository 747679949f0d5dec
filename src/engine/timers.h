// SPDX-License-Identifier: Apache-2.0
// What is due when: a 4-ary heap of (instant, order), 16 bytes an entry, in one stretch of address space that grows
// without ever being copied. There is no cancelling: an entry whose order owes something else by now (or nothing) is
// recognised when it comes up, because the order's row says what is owed. So a pending order costs 16 bytes and no
// work.
#ifndef TILL_ENGINE_TIMERS_H
#define TILL_ENGINE_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer_entry {
    int64_t due_ms;
    uint64_t order_key;
};

struct timers {
    struct timer_entry *heap; // reserved for TIMERS_MAX, touched as far as used
    size_t n;
};

#define TIMERS_MAX ((size_t)1 << 26)

bool timers_init(struct timers *t);
void timers_close(struct timers *t);
bool timers_add(struct timers *t, int64_t due_ms, uint64_t order_key); // false: TIMERS_MAX reached
int64_t timers_next_ms(const struct timers *t);                        // INT64_MAX: none
// Takes the earliest entry when it is due; equal instants come out in key order, so that replays agree.
bool timers_take(struct timers *t, int64_t now_ms, struct timer_entry *out);

#endif
