// SPDX-License-Identifier: Apache-2.0
#include "base/arena.h"
#include <stdlib.h>

#define BLOCK_SIZE ((size_t)64 * 1024)

struct arena_block {
    struct arena_block *next;
    size_t size;
    _Alignas(16) char bytes[];
};

void *arena_take(struct arena *a, size_t n)
{
    n = (n + 15) & ~(size_t)15;
    if (!a->blocks || a->blocks->size - a->used < n) {
        size_t size = n > BLOCK_SIZE ? n : BLOCK_SIZE;
        struct arena_block *b = malloc(sizeof *b + size);
        if (!b) {
            a->failed = true;
            return NULL;
        }
        b->next = a->blocks;
        b->size = size;
        a->blocks = b;
        a->used = 0;
    }
    void *p = a->blocks->bytes + a->used;
    a->used += n;
    memset(p, 0, n);
    return p;
}

struct str arena_copy(struct arena *a, struct str s)
{
    char *p = arena_take(a, s.n + 1);
    if (!p) return (struct str){NULL, 0};
    if (s.n) memcpy(p, s.p, s.n);
    return (struct str){p, s.n};
}

void arena_reset(struct arena *a)
{
    while (a->blocks && a->blocks->next) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        free(b);
    }
    a->used = 0;
    a->failed = false;
}

void arena_free(struct arena *a)
{
    arena_reset(a);
    free(a->blocks);
    a->blocks = NULL;
}
