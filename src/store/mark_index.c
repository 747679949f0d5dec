// SPDX-License-Identifier: Apache-2.0
#include "store/mark_index.h"
#include <stdlib.h>

void mark_index_free(struct mark_index *ix)
{
    free(ix->slots);
    *ix = (struct mark_index){0};
}

static void slot_fill(struct mark_index *ix, uint64_t mark, uint64_t key)
{
    size_t mask = ix->cap - 1, i = mark & mask;
    while (ix->slots[i].key)
        i = (i + 1) & mask;
    ix->slots[i] = (struct mark_slot){mark, key};
}

static bool grow(struct mark_index *ix)
{
    struct mark_index bigger = {.cap = ix->cap ? ix->cap * 2 : 1024, .n = ix->n};
    bigger.slots = calloc(bigger.cap, sizeof *bigger.slots);
    if (!bigger.slots) return false;
    for (size_t i = 0; i < ix->cap; i++)
        if (ix->slots[i].key) slot_fill(&bigger, ix->slots[i].mark, ix->slots[i].key);
    free(ix->slots);
    *ix = bigger;
    return true;
}

bool mark_index_add(struct mark_index *ix, uint64_t mark, uint64_t key)
{
    if (ix->n >= ix->cap / 3 * 2 && !grow(ix)) return false;
    slot_fill(ix, mark, key);
    ix->n++;
    return true;
}

// Linear probing needs no gap between a mark's home and its slot: what stands behind the freed slot moves up.
static void slot_free(struct mark_index *ix, size_t hole)
{
    size_t mask = ix->cap - 1;
    for (size_t i = (hole + 1) & mask; ix->slots[i].key; i = (i + 1) & mask) {
        size_t home = ix->slots[i].mark & mask;
        if (((i - home) & mask) < ((i - hole) & mask)) continue;
        ix->slots[hole] = ix->slots[i];
        hole = i;
    }
    ix->slots[hole] = (struct mark_slot){0};
    ix->n--;
}

void mark_index_remove(struct mark_index *ix, uint64_t mark, uint64_t key)
{
    if (ix->cap == 0) return;
    size_t mask = ix->cap - 1;
    for (size_t i = mark & mask; ix->slots[i].key; i = (i + 1) & mask) {
        if (ix->slots[i].mark != mark || ix->slots[i].key != key) continue;
        slot_free(ix, i);
        return;
    }
}

uint64_t mark_index_next(const struct mark_index *ix, uint64_t mark, size_t *at)
{
    if (ix->cap == 0) return 0;
    size_t mask = ix->cap - 1;
    size_t i = *at == MARK_FIRST ? mark & mask : (*at + 1) & mask;
    for (; ix->slots[i].key; i = (i + 1) & mask) {
        if (ix->slots[i].mark != mark) continue;
        *at = i;
        return ix->slots[i].key;
    }
    return 0;
}
