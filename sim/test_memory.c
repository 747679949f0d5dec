// SPDX-License-Identifier: Apache-2.0
// The flows (flows.h) once more with an allocator that fails: `build/sim/test_sim_memory --no-memory`, options as those
// of `till sim --crash-points`. The linker leads malloc, calloc and realloc of everything in this program here, and
// SQLite is told to ask here too; only what the product asks for, while it is on the stack, is counted and can fail.
#include "crash.h"
#include "fault_vfs.h"
#include "pool.h"
#include <sqlite3.h>
#include <stdlib.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static struct {
    uint64_t n, at;
    bool for_good, failed;
} memory = {.at = UINT64_MAX};

static bool fails(void)
{
    if (product_runs == 0 || disk_allocates > 0) return false;
    memory.n++;
    if (memory.n < memory.at || (memory.n > memory.at && !memory.for_good)) return false;
    return memory.failed = true;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

static sqlite3_mem_methods sqlites;

static void *sqlite_malloc(int n)
{
    return fails() ? NULL : sqlites.xMalloc(n);
}

static void *sqlite_realloc(void *p, int n)
{
    return fails() ? NULL : sqlites.xRealloc(p, n);
}

static void fail_at(uint64_t at, bool for_good)
{
    memory.n = 0;
    memory.at = at;
    memory.for_good = for_good;
    if (at != UINT64_MAX) memory.failed = false;
}

static uint64_t count(void)
{
    return memory.n;
}

static bool failed(void)
{
    return memory.failed;
}

int main(int argc, char **argv)
{
    static const struct failing_memory FAILING = {fail_at, count, failed};
    sqlite3_mem_methods ours;
    pool_for_sqlite();
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlites) != SQLITE_OK) return 1;
    ours = sqlites;
    ours.xMalloc = sqlite_malloc;
    ours.xRealloc = sqlite_realloc;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &ours) != SQLITE_OK) return 1;
    return crash_main(argc - 1, argv + 1, &FAILING);
}
