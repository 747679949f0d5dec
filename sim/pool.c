// SPDX-License-Identifier: Apache-2.0
#include "pool.h"
#include <malloc.h>
#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED 1
#endif

#if !defined(IS_SANITIZED)

// Sizes: multiples of 16 up to 512, then four to each doubling. What is larger than the last comes from malloc().
#define STEP      16
#define SMALL_MAX 512
#define N_SMALL   (SMALL_MAX / STEP)
#define N_SIZES   (N_SMALL + 4 * 7) // up to 64 KiB
#define LARGEST   (SMALL_MAX << 7)
#define CHUNK     ((size_t)1 << 20)

// In front of each block; while it is free the list goes through what its user had.
struct block {
    uint64_t size;
    struct block *next;
};
#define HEAD offsetof(struct block, next)

static struct {
    struct block *free[N_SIZES];
    char *at, *end; // what is left of the newest chunk
} pool;

// Its place in the list of sizes, and the size itself in *size.
static unsigned size_class(size_t n, size_t *size)
{
    if (n <= SMALL_MAX) {
        unsigned i = n ? (unsigned)((n - 1) / STEP) : 0;
        *size = (size_t)(i + 1) * STEP;
        return i;
    }
    unsigned doubling = 0;
    while (((size_t)SMALL_MAX << (doubling + 1)) < n)
        doubling++;
    size_t low = (size_t)SMALL_MAX << doubling, quarter = low / 4;
    unsigned q = (unsigned)((n - low - 1) / quarter);
    *size = low + (q + 1) * quarter;
    return N_SMALL + 4 * doubling + q;
}

static struct block *block_carve(size_t size)
{
    size_t room = HEAD + size;
    if ((size_t)(pool.end - pool.at) < room) {
        pool.at = malloc(CHUNK);
        pool.end = pool.at ? pool.at + CHUNK : NULL;
        if (!pool.at) return NULL;
    }
    struct block *b = (struct block *)pool.at;
    pool.at += room;
    return b;
}

static void *pool_malloc(int n)
{
    size_t size = (size_t)n;
    struct block *b;
    if (n > LARGEST) {
        b = malloc(HEAD + size);
    } else {
        unsigned i = size_class((size_t)n, &size);
        b = pool.free[i];
        if (b)
            pool.free[i] = b->next;
        else
            b = block_carve(size);
    }
    if (!b) return NULL;
    b->size = size;
    return (char *)b + HEAD;
}

static struct block *block_of(void *p)
{
    return (struct block *)((char *)p - HEAD);
}

static void pool_free(void *p)
{
    struct block *b = block_of(p);
    if (b->size > LARGEST) {
        free(b);
        return;
    }
    size_t size;
    unsigned i = size_class(b->size, &size);
    b->next = pool.free[i];
    pool.free[i] = b;
}

static int pool_size(void *p)
{
    return (int)block_of(p)->size;
}

static int pool_roundup(int n)
{
    size_t size = ((size_t)n + 7) & ~(size_t)7;
    if (n <= LARGEST) (void)size_class((size_t)n, &size);
    return (int)size;
}

static void *pool_realloc(void *p, int n)
{
    int have = pool_size(p);
    if (n <= have && n > have / 2) return p;
    void *to = pool_malloc(n);
    if (!to) return NULL;
    memcpy(to, p, (size_t)(n < have ? n : have));
    pool_free(p);
    return to;
}

static int pool_init(void *ctx)
{
    (void)ctx;
    return SQLITE_OK;
}

static void pool_shutdown(void *ctx)
{
    (void)ctx;
}

#endif

void pool_for_sqlite(void)
{
    // A start of the engine asks for three megabytes of zeros and uses little of them: the system's are free.
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
    (void)sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
#if !defined(IS_SANITIZED)
    static const sqlite3_mem_methods methods = {.xMalloc = pool_malloc,
                                                .xFree = pool_free,
                                                .xRealloc = pool_realloc,
                                                .xSize = pool_size,
                                                .xRoundup = pool_roundup,
                                                .xInit = pool_init,
                                                .xShutdown = pool_shutdown};
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    (void)sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
#endif
}
