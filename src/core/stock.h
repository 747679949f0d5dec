// SPDX-License-Identifier: Apache-2.0
// Stock arithmetic. A unit of a SKU is available, held (by an open order) or sold; an order moves its units between the
// three, and only a merchant's own adjustment changes their sum.
//
// Moves are guarded deltas: a store applies them with the guard in the same statement ("... and available >= n"),
// which is what makes overselling impossible whatever the concurrency; nobody reads first and writes later.
#ifndef TILL_CORE_STOCK_H
#define TILL_CORE_STOCK_H

#include <stdbool.h>
#include <stdint.h>

#define STOCK_MAX INT64_C(1000000000000) // of one SKU, the three counts together

enum stock_move {
    STOCK_STAY,
    STOCK_HOLD,    // available -> held: an order is placed
    STOCK_SELL,    // held -> sold: it is paid
    STOCK_RELEASE, // held -> available: it is cancelled
    STOCK_RETAKE,  // available -> sold: a cancelled order is paid after all and reopened
};

struct stock {
    int64_t available, held, sold;
};

// What one unit of the move adds to each count.
struct stock stock_delta(enum stock_move move);
// Moves n units (n >= 0). False, and nothing changed, when a count would become negative or too large.
bool stock_apply(struct stock *s, enum stock_move move, int64_t n);
// A merchant's adjustment of what is available; n may be negative. False and unchanged as above, and when the three
// together would exceed STOCK_MAX: so no move can ever meet that limit.
bool stock_add(struct stock *s, int64_t n);

#endif
