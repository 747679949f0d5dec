// SPDX-License-Identifier: Apache-2.0
// The outbox: publishes every public event to till_order_events, from the store's event table, in order per order.
//
// The table is the queue: while the cluster is away it grows, and nothing grows here. An event is passed only when the
// broker has it durably; what was published is told as news and remembered, so a start publishes a little twice at
// most.
#ifndef TILL_BROKER_OUTBOX_H
#define TILL_BROKER_OUTBOX_H

#include "broker/rocketmq/client.h"
#include "port/broker.h"
#include "port/store.h"

struct outbox;

// Takes the reader over, also when it fails (NULL: no memory).
struct outbox *outbox_new(struct reader *reader, uint64_t published_key, const uint8_t secret[ID_SECRET_SIZE],
                          const struct news_sink *sink);
bool outbox_start(struct outbox *o, struct rmq *client);
void outbox_wake(struct outbox *o, uint64_t last_event_key); // any thread
void outbox_stop(struct outbox *o);                          // ends its thread; the client must still run
void outbox_free(struct outbox *o);                          // both take NULL; no answer may be on its way any more
uint64_t outbox_n_published(const struct outbox *o);
bool outbox_is_behind(const struct outbox *o); // there are durable events that are not published yet

#endif
