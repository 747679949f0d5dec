// SPDX-License-Identifier: Apache-2.0
// The embedded broker: the cancel receiver's side of it.
//
// Half messages are the orders' own rows, messages are rows of the commits that decided them, and what the group
// till_cancel has consumed is a row too. What is left to do is to hand the messages of till_order_cancel to the
// receiver: in order, again when it does not acknowledge, and after a start those it had not consumed. This memory is
// an index to the rows, as the timers are.
#ifndef TILL_BROKER_EMBEDDED_H
#define TILL_BROKER_EMBEDDED_H

#include "port/broker.h"
#include "port/store.h"

// The store is borrowed, and read on the engine's thread. NULL when it cannot be read or memory is out.
struct broker *embedded_open(struct store *store, const struct news_sink *sink, char why[160]);

#endif
