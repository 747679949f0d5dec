// SPDX-License-Identifier: Apache-2.0
// Sends the notifications that are owed, on a thread of its own, and settles what time brings about (trades.h). What is
// owed stands in the ledger; a notification that was being sent when the process died is sent again.
//
// Alipay's ends with HTTP 200 and exactly `success`; otherwise it comes again three times at once, then after 4m 10m
// 10m 1h 2h 6h 15h. WeChat Pay's ends with 200 or 204, and comes again after 15s 15s 30s 3m 10m 20m 30m 30m 30m 60m 3h
// 3h 3h 6h 6h. The bank for tests wants 200 and `noted`, and comes again after 1m 1m 1h. All counted in business time.
#ifndef TILL_SANDBOX_NOTIFIER_H
#define TILL_SANDBOX_NOTIFIER_H

#include "sandbox/inside.h"

struct notifier *notifier_new(struct sandbox *s); // NULL: no memory
bool notifier_start(struct notifier *n);
void notifier_stop(struct notifier *n); // what is in flight stays owed
void notifier_free(struct notifier *n); // NULL allowed

void notifier_wake(struct notifier *n);                // any thread
unsigned notifier_in_flight(const struct notifier *n); // with the ledger locked

#endif
