// SPDX-License-Identifier: Apache-2.0
// What consumers read of a message: {"id","type","order","sequence","amount","reason"?}, the same words on every
// broker.
#ifndef TILL_BROKER_BODY_H
#define TILL_BROKER_BODY_H

#include "base/buf.h"
#include "base/id.h"
#include "core/order.h"

// `id` is the message's own, whole, as written.
void body_of_message(const uint8_t secret[ID_SECRET_SIZE], const char *id, const struct message *m, struct buf *out);
void body_of_event(const uint8_t secret[ID_SECRET_SIZE], uint64_t event_key, uint64_t order_key,
                   const struct public_event *e, struct buf *out);

#endif
