// SPDX-License-Identifier: Apache-2.0
// Looks at the end state from outside: its own connection to the database image, plain SQL, and beside it the
// provider's ledger and what the clients were told. It knows tables and numbers, and nothing of the product's code.
#ifndef TILL_SIM_CHECKER_H
#define TILL_SIM_CHECKER_H

#include "world.h"

struct checker;
struct checker *checker_new(void);
void checker_free(struct checker *c);
void checker_begin(struct world *w);
void checker_open(struct world *w);  // after the store is open
void checker_close(struct world *w); // before it closes
// After each turn that committed: the public events since the last time, each judged in the instant it came.
void checker_observe(struct world *w);
// The provider is asked for a code, after the commit.
void checker_sees_create(struct world *w, uint64_t order_key, uint64_t payment_key);
// Everything that holds at all times; and at the end (final) that nothing is left open.
void checker_full(struct world *w, bool final);

#endif
