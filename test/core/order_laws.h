// SPDX-License-Identifier: Apache-2.0
// What must hold of any single step whatever the order, the event and the rules: written from order.h and the
// contract, not from order.c. The unit tests, the random walk and the explorer all put every step they take
// before this judge.
#ifndef TILL_TEST_CORE_ORDER_LAWS_H
#define TILL_TEST_CORE_ORDER_LAWS_H

#include "core/order.h"

// The earliest instant anything of the bundle is owed, or TIME_NEVER.
int64_t owed_first_ms(const struct rules *rules, const struct bundle *b);

// The name of the first law broken by a bundle at rest, or NULL.
const char *bundle_law(const struct rules *rules, const struct bundle *b);

// The name of the first law broken by the step that led from `before` to `after`, or NULL. `before` must be a
// byte copy.
const char *step_law(const struct rules *rules, const struct bundle *before, const struct event *e,
                     const struct bundle *after, const struct step *out);

bool payment_open(const struct payment *p);

#endif
