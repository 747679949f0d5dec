// SPDX-License-Identifier: Apache-2.0
// An index in memory from a 64-bit mark (the keyed hash of a random string) to the key of the row that has
// the string.
//
// Random strings in a large B-tree touch a random page per insert, which is what such a store dies of first.
// So the rows lie in the order of their keys, and this finds them. A mark may stand for several rows: whoever
// asks compares with the row itself. 16 bytes per entry, at most two thirds full.
#ifndef TILL_STORE_MARK_INDEX_H
#define TILL_STORE_MARK_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mark_slot {
    uint64_t mark, key; // key 0: free
};

struct mark_index {
    struct mark_slot *slots;
    size_t cap, n; // cap is a power of two, or 0
};

void mark_index_free(struct mark_index *ix);
bool mark_index_add(struct mark_index *ix, uint64_t mark, uint64_t key); // key > 0; false when memory is out
void mark_index_remove(struct mark_index *ix, uint64_t mark, uint64_t key);

// The keys a mark stands for, one per call, 0 after the last. Start with *at = MARK_FIRST.
#define MARK_FIRST SIZE_MAX
uint64_t mark_index_next(const struct mark_index *ix, uint64_t mark, size_t *at);

#endif
