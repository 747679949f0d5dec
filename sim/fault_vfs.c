// SPDX-License-Identifier: Apache-2.0
#include "fault_vfs.h"
#include "random.h"
#include <assert.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#define FILES_MAX   12
#define SECTOR      512
#define SHM_REGIONS 16
#define SHM_SIZE    32768

int64_t disk_now_ms;
unsigned product_runs, disk_allocates;
static uint64_t disk_written;

struct bytes {
    uint8_t *p;
    size_t n, cap;
};

enum pending_kind { PENDING_WRITE, PENDING_TRUNCATE };
struct pending { // a change since the last sync; what was written is in the cache
    enum pending_kind kind;
    size_t at, n;
};

struct file {
    char name[48];
    bool exists, exists_durable;
    struct bytes cache, durable;
    struct pending *pending;
    size_t n_pending, pending_cap;
    // locks of the connections that have it open
    unsigned n_open, n_shared;
    const void *reserved, *exclusive;
    uint8_t *shm[SHM_REGIONS];
    unsigned n_shm, shm_shared[SQLITE_SHM_NLOCK];
    const void *shm_exclusive[SQLITE_SHM_NLOCK];
};

struct handle { // what SQLite sees of an open file
    sqlite3_file base;
    struct file *f;
    int lock;
    bool syncs_directory; // until its first sync
    bool temporary;
    unsigned shm_shared, shm_exclusive; // masks
};

static struct {
    struct file files[FILES_MAX];
    struct stream stream;
    uint64_t ops, crash_at;
    bool dead;
    enum disk_fault fault;
    bool fault_hit, lies, no_log, deletes_lazily;
    enum disk_fault struck; // the latest of disk_break_at()
    uint64_t calls;
    struct { // disk_break_at()
        enum disk_fault fault;
        uint64_t at;
        bool for_good;
    } breaks;
} disk;

// --- Bytes

static void bytes_room(struct bytes *b, size_t n)
{
    if (n <= b->cap) return;
    size_t cap = b->cap ? b->cap : 65536;
    while (cap < n)
        cap *= 2;
    disk_allocates++;
    uint8_t *p = realloc(b->p, cap);
    disk_allocates--;
    if (!p) abort();
    b->p = p;
    b->cap = cap;
}

static void bytes_size(struct bytes *b, size_t n)
{
    bytes_room(b, n);
    if (n > b->n) memset(b->p + b->n, 0, n - b->n);
    b->n = n;
}

static void bytes_put(struct bytes *b, size_t at, const uint8_t *p, size_t n)
{
    if (at > b->n) bytes_size(b, at); // what is in between reads as zeros
    if (at + n > b->n) {
        bytes_room(b, at + n);
        b->n = at + n;
    }
    if (n) memcpy(b->p + at, p, n);
}

static void bytes_copy(struct bytes *to, const struct bytes *from)
{
    to->n = 0;
    bytes_put(to, 0, from->p, from->n);
}

// --- Files

static void file_forget(struct file *f)
{
    f->name[0] = 0;
    f->exists = f->exists_durable = false;
    f->cache.n = f->durable.n = f->n_pending = 0;
    f->n_open = f->n_shared = f->n_shm = 0;
    f->reserved = f->exclusive = NULL;
    memset(f->shm_shared, 0, sizeof f->shm_shared);
    memset(f->shm_exclusive, 0, sizeof f->shm_exclusive);
}

static struct file *file_find(const char *name)
{
    for (int i = 0; i < FILES_MAX; i++)
        if (disk.files[i].name[0] && strcmp(disk.files[i].name, name) == 0) return &disk.files[i];
    return NULL;
}

static struct file *file_make(const char *name)
{
    for (int i = 0; i < FILES_MAX; i++) {
        struct file *f = &disk.files[i];
        if (f->name[0]) continue;
        file_forget(f);
        strncpy(f->name, name, sizeof f->name - 1);
        return f;
    }
    return NULL;
}

static void pending_add(struct file *f, enum pending_kind kind, size_t at, size_t n)
{
    if (f->n_pending == f->pending_cap) {
        f->pending_cap = f->pending_cap ? 2 * f->pending_cap : 256;
        disk_allocates++;
        f->pending = realloc(f->pending, f->pending_cap * sizeof *f->pending);
        disk_allocates--;
        if (!f->pending) abort();
    }
    struct pending *last = f->n_pending ? &f->pending[f->n_pending - 1] : NULL;
    if (last && kind == PENDING_WRITE && last->kind == PENDING_WRITE && last->at + last->n == at && last->n < 4096)
        last->n += n;
    else
        f->pending[f->n_pending++] = (struct pending){kind, at, n};
}

static void file_synced(struct file *f)
{
    for (size_t i = 0; i < f->n_pending; i++) {
        struct pending *p = &f->pending[i];
        if (p->kind == PENDING_TRUNCATE || p->at >= f->cache.n) continue;
        size_t n = p->at + p->n <= f->cache.n ? p->n : f->cache.n - p->at;
        bytes_put(&f->durable, p->at, f->cache.p + p->at, n);
    }
    if (f->durable.n != f->cache.n) bytes_size(&f->durable, f->cache.n);
    f->n_pending = 0;
}

static void directory_synced(void)
{
    for (int i = 0; i < FILES_MAX; i++) {
        struct file *f = &disk.files[i];
        f->exists_durable = f->exists;
        if (f->name[0] && !f->exists && f->n_open == 0) file_forget(f);
    }
}

// --- The count, and what goes wrong

// One more mutating call. True: the power fails inside it.
static bool power_fails(void)
{
    disk.ops++;
    if (disk.ops < disk.crash_at) return false;
    disk.dead = true;
    return true;
}

static bool is_full(void)
{
    return disk.struck == DISK_FULL;
}

static bool fault_strikes(enum disk_fault fault)
{
    if (disk.fault != fault) return false;
    disk.fault_hit = true;
    if (fault != DISK_FULL) disk.fault = DISK_FINE;
    return true;
}

// One more call of any kind. True: it fails. `what` is the fault that this call can meet besides DISK_EIO.
static bool call_breaks(enum disk_fault what)
{
    if (!product_runs) return false;
    disk.calls++;
    if (disk.breaks.fault == DISK_FINE || disk.calls < disk.breaks.at) return false;
    if (disk.breaks.fault != DISK_EIO && disk.breaks.fault != what) return false;
    disk.struck = disk.breaks.fault;
    if (!disk.breaks.for_good) disk.breaks.fault = DISK_FINE;
    return true;
}

// --- What a power loss leaves of one file

static void sectors_survive(struct file *f, const struct pending *p, struct bytes *to, unsigned permille, size_t most)
{
    for (size_t at = p->at; at < p->at + p->n;) {
        size_t n = SECTOR - at % SECTOR;
        if (n > p->at + p->n - at) n = p->at + p->n - at;
        if (at < f->cache.n && at - p->at < most && random_chance(&disk.stream, permille))
            bytes_put(to, at, f->cache.p + at, at + n <= f->cache.n ? n : f->cache.n - at);
        at += n;
    }
}

static void file_lose(struct file *f, enum disk_end end)
{
    size_t keep = f->n_pending;
    unsigned permille = 1000;
    if (end == DISK_LOST_ALL) keep = 0;
    if (end == DISK_LOST_TAIL) keep = random_below(&disk.stream, f->n_pending + 1);
    if (end == DISK_LOST_SOME) permille = (unsigned)random_between(&disk.stream, 50, 950);
    for (size_t i = 0; i < keep; i++) {
        const struct pending *p = &f->pending[i];
        bool last = i + 1 == keep && end == DISK_LOST_TAIL;
        if (p->kind == PENDING_WRITE)
            sectors_survive(f, p, &f->durable, permille, last ? random_below(&disk.stream, p->n) : SIZE_MAX);
        else if (random_chance(&disk.stream, permille))
            bytes_size(&f->durable, p->at);
    }
    bytes_copy(&f->cache, &f->durable);
    f->n_pending = 0;
}

static unsigned disk_lose(enum disk_end end)
{
    unsigned lost = 0;
    for (int i = 0; i < FILES_MAX; i++) {
        struct file *f = &disk.files[i];
        if (!f->name[0]) continue;
        lost += (unsigned)f->n_pending;
        if (f->exists != f->exists_durable && (end == DISK_LOST_ALL || random_chance(&disk.stream, 500))) {
            f->exists = f->exists_durable;
            lost++;
        }
        f->exists_durable = f->exists;
        if (f->exists)
            file_lose(f, end);
        else
            file_forget(f);
    }
    return lost;
}

// --- The file methods

static struct handle *handle_of(sqlite3_file *base)
{
    return (struct handle *)base;
}

static int file_close(sqlite3_file *base)
{
    struct handle *h = handle_of(base);
    struct file *f = h->f;
    if (h->lock >= SQLITE_LOCK_SHARED) f->n_shared--;
    if (f->reserved == h) f->reserved = NULL;
    if (f->exclusive == h) f->exclusive = NULL;
    if (--f->n_open == 0 && h->temporary) file_forget(f);
    return SQLITE_OK;
}

static int file_read(sqlite3_file *base, void *to, int n, sqlite3_int64 at)
{
    struct file *f = handle_of(base)->f;
    if (disk.dead || call_breaks(DISK_FINE)) return SQLITE_IOERR_READ;
    size_t have = (size_t)at < f->cache.n ? f->cache.n - (size_t)at : 0;
    if (have >= (size_t)n) {
        memcpy(to, f->cache.p + at, (size_t)n);
        return SQLITE_OK;
    }
    memset(to, 0, (size_t)n);
    if (have) memcpy(to, f->cache.p + at, have);
    return SQLITE_IOERR_SHORT_READ;
}

static void write_now(struct file *f, const void *from, size_t n, size_t at)
{
    if (n == 0) return;
    bytes_put(&f->cache, at, from, n);
    pending_add(f, PENDING_WRITE, at, n);
}

static int file_write(sqlite3_file *base, const void *from, int n, sqlite3_int64 at)
{
    struct file *f = handle_of(base)->f;
    if (disk.dead) return SQLITE_IOERR_WRITE;
    if (power_fails()) {
        // The call was on its way: all of it, none of it, or its first sectors got as far as the cache.
        uint64_t how = random_below(&disk.stream, 4);
        size_t part = how == 0 ? 0 : how == 1 ? random_below(&disk.stream, (uint64_t)n) / SECTOR * SECTOR : (size_t)n;
        write_now(f, from, part, (size_t)at);
        return SQLITE_IOERR_WRITE;
    }
    bool grows = (size_t)at + (size_t)n > f->cache.n;
    if (call_breaks(grows ? DISK_FULL : DISK_FINE)) return is_full() ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    if (grows && fault_strikes(DISK_FULL)) return SQLITE_FULL;
    if (fault_strikes(DISK_WRITE_EIO)) return SQLITE_IOERR_WRITE;
    write_now(f, from, (size_t)n, (size_t)at);
    disk_written += (uint64_t)n;
    return SQLITE_OK;
}

static void truncate_now(struct file *f, size_t n)
{
    if (n >= f->cache.n) return;
    f->cache.n = n;
    pending_add(f, PENDING_TRUNCATE, n, 0);
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 n)
{
    struct file *f = handle_of(base)->f;
    if (disk.dead) return SQLITE_IOERR_TRUNCATE;
    if (power_fails()) {
        if (random_chance(&disk.stream, 500)) truncate_now(f, (size_t)n);
        return SQLITE_IOERR_TRUNCATE;
    }
    if (call_breaks(DISK_FINE)) return SQLITE_IOERR_TRUNCATE;
    truncate_now(f, (size_t)n);
    return SQLITE_OK;
}

static int file_sync(sqlite3_file *base, int flags)
{
    struct handle *h = handle_of(base);
    (void)flags;
    if (disk.dead) return SQLITE_IOERR_FSYNC;
    if (disk.lies) return SQLITE_OK;
    if (power_fails()) {
        if (random_chance(&disk.stream, 500)) file_synced(h->f);
        return SQLITE_IOERR_FSYNC;
    }
    if (call_breaks(DISK_SYNC_EIO) || fault_strikes(DISK_SYNC_EIO)) {
        h->f->n_pending = 0; // the kernel marks the pages clean: they are seen, and never written
        return SQLITE_IOERR_FSYNC;
    }
    file_synced(h->f);
    if (h->syncs_directory) directory_synced();
    h->syncs_directory = false;
    return SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *n)
{
    if (disk.dead) return SQLITE_IOERR_FSTAT;
    *n = (sqlite3_int64)handle_of(base)->f->cache.n;
    return SQLITE_OK;
}

static int file_lock(sqlite3_file *base, int want)
{
    struct handle *h = handle_of(base);
    struct file *f = h->f;
    if (disk.dead) return SQLITE_IOERR_LOCK;
    if (h->lock >= want) return SQLITE_OK;
    if (f->exclusive && f->exclusive != h) return SQLITE_BUSY;
    if (want >= SQLITE_LOCK_RESERVED && f->reserved && f->reserved != h) return SQLITE_BUSY;
    if (want == SQLITE_LOCK_EXCLUSIVE && f->n_shared > (h->lock >= SQLITE_LOCK_SHARED ? 1u : 0u)) return SQLITE_BUSY;
    if (h->lock < SQLITE_LOCK_SHARED) f->n_shared++;
    if (want >= SQLITE_LOCK_RESERVED) f->reserved = h;
    if (want == SQLITE_LOCK_EXCLUSIVE) f->exclusive = h;
    h->lock = want;
    return SQLITE_OK;
}

static int file_unlock(sqlite3_file *base, int to)
{
    struct handle *h = handle_of(base);
    struct file *f = h->f;
    if (h->lock <= to) return SQLITE_OK;
    if (f->exclusive == h) f->exclusive = NULL;
    if (f->reserved == h) f->reserved = NULL;
    if (to == SQLITE_LOCK_NONE && h->lock >= SQLITE_LOCK_SHARED) f->n_shared--;
    h->lock = to;
    return SQLITE_OK;
}

static int file_check_reserved(sqlite3_file *base, int *is)
{
    if (disk.dead) return SQLITE_IOERR_CHECKRESERVEDLOCK;
    *is = handle_of(base)->f->reserved != NULL;
    return SQLITE_OK;
}

static int file_control(sqlite3_file *base, int op, void *arg)
{
    (void)base;
    char **pragma = arg; // its answer, its name, its value
    if (!disk.no_log || op != SQLITE_FCNTL_PRAGMA || sqlite3_stricmp(pragma[1], "journal_mode") != 0)
        return SQLITE_NOTFOUND;
    pragma[0] = sqlite3_mprintf("wal");
    return pragma[0] ? SQLITE_OK : SQLITE_NOMEM;
}

static int file_sector(sqlite3_file *base)
{
    (void)base;
    return 4096;
}

static int file_traits(sqlite3_file *base)
{
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE; // as the unix VFS has it
}

static int shm_map(sqlite3_file *base, int region, int size, int extend, void volatile **out)
{
    struct file *f = handle_of(base)->f;
    *out = NULL;
    if (disk.dead) return SQLITE_IOERR_SHMMAP;
    assert(size == SHM_SIZE && region < SHM_REGIONS);
    while (f->n_shm <= (unsigned)region) {
        if (!extend) return SQLITE_OK;
        uint8_t **r = &f->shm[f->n_shm];
        disk_allocates++;
        if (!*r) *r = malloc(SHM_SIZE);
        disk_allocates--;
        if (!*r) return SQLITE_NOMEM;
        memset(*r, 0, SHM_SIZE);
        f->n_shm++;
    }
    *out = f->shm[region];
    return SQLITE_OK;
}

static bool shm_is_free(const struct file *f, const struct handle *h, int slot, bool exclusive)
{
    if (f->shm_exclusive[slot] && f->shm_exclusive[slot] != h) return false;
    unsigned mine = h->shm_shared >> slot & 1;
    return !exclusive || f->shm_shared[slot] <= mine;
}

static void shm_release(struct file *f, struct handle *h, int slot)
{
    if (h->shm_exclusive >> slot & 1) f->shm_exclusive[slot] = NULL;
    if (h->shm_shared >> slot & 1) f->shm_shared[slot]--;
    h->shm_exclusive &= ~(1u << slot);
    h->shm_shared &= ~(1u << slot);
}

static int shm_lock(sqlite3_file *base, int from, int n, int flags)
{
    struct handle *h = handle_of(base);
    struct file *f = h->f;
    bool exclusive = flags & SQLITE_SHM_EXCLUSIVE;
    if (disk.dead) return SQLITE_IOERR_SHMLOCK;
    for (int i = from; i < from + n; i++) {
        if (flags & SQLITE_SHM_UNLOCK)
            shm_release(f, h, i);
        else if (!shm_is_free(f, h, i, exclusive))
            return SQLITE_BUSY;
    }
    if (flags & SQLITE_SHM_UNLOCK) return SQLITE_OK;
    for (int i = from; i < from + n; i++) {
        if (exclusive) {
            f->shm_exclusive[i] = h;
            h->shm_exclusive |= 1u << i;
        } else if (!(h->shm_shared >> i & 1)) {
            f->shm_shared[i]++;
            h->shm_shared |= 1u << i;
        }
    }
    return SQLITE_OK;
}

static void shm_barrier(sqlite3_file *base)
{
    (void)base;
}

static int shm_unmap(sqlite3_file *base, int remove)
{
    struct handle *h = handle_of(base);
    for (int i = 0; i < SQLITE_SHM_NLOCK; i++)
        shm_release(h->f, h, i);
    if (remove) h->f->n_shm = 0;
    return SQLITE_OK;
}

static const sqlite3_io_methods METHODS = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_traits,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

// --- The VFS methods

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags, int *out_flags)
{
    (void)vfs;
    struct handle *h = handle_of(base);
    memset(h, 0, sizeof *h);
    if (disk.dead) return SQLITE_CANTOPEN;
    struct file *f = file_find(name ? name : "(temporary)");
    if (!f || !f->exists) {
        if (!(flags & SQLITE_OPEN_CREATE)) return SQLITE_CANTOPEN;
        if (power_fails() || call_breaks(DISK_FULL)) return SQLITE_CANTOPEN;
        if (!f) f = file_make(name ? name : "(temporary)");
        if (!f) return SQLITE_CANTOPEN;
        f->exists = true;
        f->cache.n = f->n_pending = 0;
        if (f->durable.n) pending_add(f, PENDING_TRUNCATE, 0, 0);
    }
    // As the unix VFS: the first sync of a log or journal syncs the directory, whether this call made the file or not.
    h->syncs_directory = (flags & SQLITE_OPEN_CREATE) && (flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL));
    f->n_open++;
    h->f = f;
    h->temporary = name == NULL || (flags & SQLITE_OPEN_DELETEONCLOSE);
    h->base.pMethods = &METHODS;
    if (out_flags) *out_flags = flags;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_directory)
{
    (void)vfs;
    if (disk.dead) return SQLITE_IOERR_DELETE;
    struct file *f = file_find(name);
    if (!f || !f->exists) return SQLITE_IOERR_DELETE_NOENT;
    bool fails = power_fails();
    if (!fails && call_breaks(DISK_FINE)) return SQLITE_IOERR_DELETE;
    if (fails && random_chance(&disk.stream, 500)) return SQLITE_IOERR_DELETE;
    f->exists = false;
    if (fails) return SQLITE_IOERR_DELETE;
    if (sync_directory || (disk.no_log && !disk.deletes_lazily)) directory_synced();
    return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *is)
{
    (void)vfs, (void)flags;
    if (disk.dead) return SQLITE_IOERR_ACCESS;
    const struct file *f = file_find(name);
    *is = f && f->exists && (flags != SQLITE_ACCESS_EXISTS || f->cache.n > 0);
    return SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *name, int n, char *out)
{
    (void)vfs;
    sqlite3_snprintf(n, out, "%s", name);
    return SQLITE_OK;
}

static int vfs_randomness(sqlite3_vfs *vfs, int n, char *out)
{
    (void)vfs;
    for (int i = 0; i < n; i++)
        out[i] = (char)random_next(&disk.stream);
    return n;
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
    (void)vfs;
    return us;
}

static int vfs_now(sqlite3_vfs *vfs, sqlite3_int64 *ms)
{
    (void)vfs;
    *ms = disk_now_ms + INT64_C(210866760000000); // since noon of day 0, as SQLite counts
    return SQLITE_OK;
}

static int vfs_now_days(sqlite3_vfs *vfs, double *days)
{
    sqlite3_int64 ms;
    (void)vfs_now(vfs, &ms);
    *days = (double)ms / 86400000.0;
    return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *vfs, int n, char *out)
{
    (void)vfs, (void)n, (void)out;
    return 0;
}

void disk_register(void)
{
    static sqlite3_vfs vfs = {
        .iVersion = 2,
        .szOsFile = sizeof(struct handle),
        .mxPathname = 40,
        .zName = DISK_VFS,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_path,
        .xRandomness = vfs_randomness,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_now_days,
        .xGetLastError = vfs_last_error,
        .xCurrentTimeInt64 = vfs_now,
    };
    // The default as well: SQLite takes its random seed from there.
    (void)sqlite3_vfs_register(&vfs, 1);
}

// --- The harness's side

void disk_wipe(uint64_t seed)
{
    for (int i = 0; i < FILES_MAX; i++)
        file_forget(&disk.files[i]);
    disk.stream = stream_of(seed, 77);
    disk.ops = disk.calls = 0;
    disk.struck = DISK_FINE;
    disk_mend();
    disk.crash_at = UINT64_MAX;
    disk.dead = disk.fault_hit = false;
    disk.fault = DISK_FINE;
    sqlite3_randomness(0, NULL); // forget what it has: the next numbers come from this disk's stream
}

void disk_crash_at(uint64_t ops)
{
    disk.crash_at = ops;
}

uint64_t disk_ops(void)
{
    return disk.ops;
}

uint64_t disk_bytes(void)
{
    return disk_written;
}

bool disk_is_dead(void)
{
    return disk.dead;
}

void disk_kill(void)
{
    disk.dead = true;
}

unsigned disk_revive(enum disk_end end)
{
    unsigned lost = end == DISK_PROCESS_KILLED ? 0 : disk_lose(end);
    for (int i = 0; i < FILES_MAX; i++) {
        assert(disk.files[i].n_open == 0);
        disk.files[i].n_shm = 0;
    }
    disk.dead = disk.fault_hit = false;
    disk.fault = DISK_FINE;
    disk.crash_at = UINT64_MAX;
    sqlite3_randomness(0, NULL);
    return lost;
}

void disk_fail(enum disk_fault fault)
{
    disk.fault = fault;
    disk.fault_hit = false;
}

void disk_break_at(uint64_t at, enum disk_fault fault, bool for_good)
{
    disk.breaks.at = at;
    disk.breaks.fault = fault;
    disk.breaks.for_good = for_good;
}

void disk_mend(void)
{
    disk.breaks.fault = DISK_FINE;
}

bool disk_broke(void)
{
    return disk.struck != DISK_FINE;
}

uint64_t disk_calls(void)
{
    return disk.calls;
}

void disk_draw_from(uint64_t seed)
{
    disk.stream = stream_of(seed, 78);
}

void disk_has_no_log(bool no_log, bool lazy)
{
    disk.no_log = no_log;
    disk.deletes_lazily = lazy;
}

bool disk_is_without_log(void)
{
    return disk.no_log;
}

bool disk_fault_hit(void)
{
    return disk.fault_hit;
}

void disk_lies(bool lies)
{
    disk.lies = lies;
}

// --- Images

static struct {
    bool used;
    struct {
        char name[48];
        struct bytes bytes;
    } files[FILES_MAX];
} images[DISK_IMAGES];

void disk_image_keep(unsigned i)
{
    images[i].used = true;
    for (int k = 0; k < FILES_MAX; k++) {
        struct file *f = &disk.files[k];
        assert(f->n_open == 0);
        images[i].files[k].name[0] = 0;
        if (!f->name[0] || !f->exists) continue;
        memcpy(images[i].files[k].name, f->name, sizeof f->name);
        bytes_copy(&images[i].files[k].bytes, &f->cache);
    }
}

bool disk_image_use(unsigned i)
{
    if (!images[i].used) return false;
    for (int k = 0; k < FILES_MAX; k++) {
        if (!images[i].files[k].name[0]) continue;
        struct file *f = file_make(images[i].files[k].name);
        f->exists = f->exists_durable = true;
        bytes_copy(&f->cache, &images[i].files[k].bytes);
        bytes_copy(&f->durable, &images[i].files[k].bytes);
    }
    return true;
}

void disk_free(void)
{
    for (int i = 0; i < FILES_MAX; i++) {
        struct file *f = &disk.files[i];
        free(f->cache.p);
        free(f->durable.p);
        free(f->pending);
        for (int k = 0; k < SHM_REGIONS; k++)
            free(f->shm[k]);
    }
    memset(disk.files, 0, sizeof disk.files);
    for (int i = 0; i < DISK_IMAGES; i++)
        for (int k = 0; k < FILES_MAX; k++)
            free(images[i].files[k].bytes.p);
    memset(images, 0, sizeof images);
}
