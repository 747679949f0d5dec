// SPDX-License-Identifier: Apache-2.0
#include "core/stock.h"

struct stock stock_delta(enum stock_move move)
{
    switch (move) {
    case STOCK_HOLD: return (struct stock){-1, +1, 0};
    case STOCK_SELL: return (struct stock){0, -1, +1};
    case STOCK_RELEASE: return (struct stock){+1, -1, 0};
    case STOCK_RETAKE: return (struct stock){-1, 0, +1};
    case STOCK_STAY: break;
    }
    return (struct stock){0, 0, 0};
}

static bool count_add(int64_t *count, int64_t n)
{
    int64_t sum;
    if (__builtin_add_overflow(*count, n, &sum) || sum < 0 || sum > STOCK_MAX) return false;
    *count = sum;
    return true;
}

bool stock_apply(struct stock *s, enum stock_move move, int64_t n)
{
    if (n < 0 || n > STOCK_MAX) return false;
    struct stock d = stock_delta(move), after = *s;
    bool ok = count_add(&after.available, d.available * n) && count_add(&after.held, d.held * n) &&
              count_add(&after.sold, d.sold * n);
    if (ok) *s = after;
    return ok;
}

bool stock_add(struct stock *s, int64_t n)
{
    int64_t available = s->available;
    if (!count_add(&available, n) || available > STOCK_MAX - s->held - s->sold) return false;
    s->available = available;
    return true;
}
