// SPDX-License-Identifier: Apache-2.0
// Memory for SQLite, in a process with one thread that opens a database many thousand times: a sixth of the time went
// into malloc(), its locks and its statistics. Blocks go back to a list of their size and are never given back to the
// system, so a block that is used after it was freed is not noticed: under the sanitizers SQLite keeps malloc().
#ifndef TILL_SIM_POOL_H
#define TILL_SIM_POOL_H

// Before SQLite is first used; later it does nothing. No lock is taken by SQLite from then on.
void pool_for_sqlite(void);

#endif
