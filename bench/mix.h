// SPDX-License-Identifier: Apache-2.0
// The buyers of `till bench policies`: a model, and its order number i is the same buyer in every row of the table.
//
// All of it is our assumption, chosen to be plausible and not measured: who has just been shown a code scans it within
// seconds or not at all, and who stands before the cashier needs a password or a thumb. `till help bench` and
// docs/policies.md say it in words.
#ifndef TILL_BENCH_MIX_H
#define TILL_BENCH_MIX_H

#include <stdbool.h>
#include <stdint.h>

#define MIX_NEVER INT64_MAX

// Shares in percent.
struct mix {
    uint64_t seed;
    int64_t orders;
    int64_t pay;        // of the orders: are paid
    int64_t lost;       // of all: no notification ever arrives
    int64_t duplicates; // of all: a notification arrives twice
    int64_t late;       // of those that are paid: in the last seconds, or just after the window
    int64_t window_ms;  // of every order; 0: 5, 15 and 30 minutes for 50, 30 and 20 of a hundred orders
};
#define MIX_SHIPPED                                                                                                    \
    {                                                                                                                  \
        .seed = 1, .orders = 20000, .pay = 70, .lost = 5, .duplicates = 5, .late = 2                                   \
    }

#define MIX_WINDOWS 3
struct mix_window { // how long these orders may be paid, and how many of the orders they are
    int64_t pay_within_ms, orders;
};
// Returns how many there are.
unsigned mix_windows(const struct mix *m, struct mix_window out[MIX_WINDOWS]);

struct buyer {
    int64_t arrives_ms; // within the hour
    int64_t scans_ms;   // after the code is out, or MIX_NEVER
    int64_t pays_ms;    // after the code is out, or MIX_NEVER; of one who is late, after the window's end (may be < 0)
    bool is_late, is_lost, is_repeated;
    int64_t repeats_ms; // after the payment
};

// Buyer i of the orders with the window number `window`.
struct buyer mix_buyer(const struct mix *m, unsigned window, uint64_t i);

#endif
