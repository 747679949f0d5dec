// SPDX-License-Identifier: Apache-2.0
// What the consumers were told, against what became of the orders. Like checker.h it looks from outside: tables and
// numbers, and the broker's own ledger.
#ifndef TILL_SIM_BROKER_CHECK_H
#define TILL_SIM_BROKER_CHECK_H

#include "world.h"

struct sqlite3;

// Whether the order behind a half message has gone the way that ends it, by its public events.
bool half_is_decided(struct world *w, const struct message *m);
// Judges one thing said to the broker in the instant it is carried out: nothing may be said that is not so.
void broker_check_said(struct world *w, const struct send *s);
// Everything that holds at all times; and at the end (final) that nobody waits for a message.
void broker_check_full(struct world *w, struct sqlite3 *db, bool final);

#endif
