// SPDX-License-Identifier: Apache-2.0
// Of two instants, or lengths of time, of one unit: the first or the last.
#ifndef TILL_CORE_INSTANT_H
#define TILL_CORE_INSTANT_H

#include <stdint.h>

static inline int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

#endif
