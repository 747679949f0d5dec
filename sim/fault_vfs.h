// SPDX-License-Identifier: Apache-2.0
// A disk in memory for SQLite, that fails the way disks do.
//
// Each file has two images: what the operating system shows (cache) and what would be there after the power came back
// (durable), and the list of changes that were made since the last sync. Making and deleting a file is durable only
// when the directory was synced. Every call that changes something counts; at a chosen count the power fails INSIDE
// the call, from then on every call is an I/O error, and the harness drops the process that used the disk.
//
// Then disk_revive(): either only the process died (the cache survives, still unsynced), or the power went: of what
// was not synced, each 512-byte sector of each write is there or not.
//
// There is one disk. It is not a model of a process: the harness closes what was open before it revives.
#ifndef TILL_SIM_FAULT_VFS_H
#define TILL_SIM_FAULT_VFS_H

#include <stdbool.h>
#include <stdint.h>

#define DISK_VFS "sim"
#define DISK_DB  "till.db"

enum disk_end {
    DISK_PROCESS_KILLED, // what was written is in the cache, whether synced or not
    DISK_LOST_ALL,       // power: nothing unsynced survives
    DISK_LOST_SOME,      // power: each unsynced sector by itself
    DISK_LOST_TAIL,      // power: the changes survive in their order, up to some point, torn there
};

enum disk_fault {
    DISK_FINE,
    DISK_FULL,      // writes that make a file longer fail
    DISK_WRITE_EIO, // one write fails
    DISK_SYNC_EIO,  // one sync fails; its pages are dropped from what will be written, yet stay visible
    DISK_EIO,       // disk_break_at() only: whatever the call is, reading as well, it fails
};

void disk_register(void);         // once
void disk_wipe(uint64_t seed);    // an empty disk, the power on
void disk_crash_at(uint64_t ops); // when so many mutating calls have been made in all; UINT64_MAX: never
uint64_t disk_ops(void);          // mutating calls so far
uint64_t disk_bytes(void);        // written so far, over all disks
bool disk_is_dead(void);
void disk_kill(void); // now, between two calls
// How much was lost: changes that had not been synced and are gone, whole or in part.
unsigned disk_revive(enum disk_end end);
// What goes wrong from now on: DISK_FULL until DISK_FINE is set, the others once.
void disk_fail(enum disk_fault fault);
bool disk_fault_hit(void); // whether that happened since disk_fail()
// The same at a chosen call of the product: the at-th of those that read or change something, counted by disk_calls()
// while product_runs. DISK_FULL and DISK_SYNC_EIO strike at the first such call from there on that they can strike.
// `for_good`: until disk_mend(), over any number of ends of the process.
void disk_break_at(uint64_t at, enum disk_fault fault, bool for_good);
void disk_mend(void);
bool disk_broke(void);     // whether it has struck
uint64_t disk_calls(void); // so many since disk_wipe()
void disk_lies(bool lies); // every sync does nothing and says it did: for testing the harness
// What is drawn from now on (what a power loss leaves) is drawn from another stream.
void disk_draw_from(uint64_t seed);
// Every `PRAGMA journal_mode` is answered "wal" and nothing is done: what asks for a log gets a rollback journal.
// Unlinking is then durable at once unless `lazy`, as SQLite's FULL trusts it to be (its EXTRA does not).
void disk_has_no_log(bool no_log, bool lazy);
bool disk_is_without_log(void);

// More than 0 while the product is on the stack (and not the checker): what it asks for and allocates is its own.
extern unsigned product_runs;
// More than 0 while the disk itself allocates: not what a test of failing allocations is after.
extern unsigned disk_allocates;

// Images of a whole idle disk, to begin many runs from.
#define DISK_IMAGES 4
void disk_image_keep(unsigned i);
bool disk_image_use(unsigned i); // false: nothing kept under i
void disk_free(void);            // all memory, at the end

extern int64_t disk_now_ms; // what SQLite is told when it asks for the time

#endif
