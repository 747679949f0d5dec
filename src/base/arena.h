// SPDX-License-Identifier: Apache-2.0
// Memory that lives as long as one turn or one request: taken piece by piece, given back all at once.
#ifndef TILL_BASE_ARENA_H
#define TILL_BASE_ARENA_H

#include "base/str.h"
#include <stdint.h>

struct arena_block;
struct arena {
    struct arena_block *blocks; // newest first
    size_t used;                // of the newest
    bool failed;                // memory was out at some time since the last reset
};

void *arena_take(struct arena *a, size_t n);          // zeroed, aligned to 16; NULL when memory is out
struct str arena_copy(struct arena *a, struct str s); // NUL-terminated behind its n bytes; {NULL, 0} when memory is out
void arena_reset(struct arena *a);                    // forgets everything, keeps one block
void arena_free(struct arena *a);

#endif
