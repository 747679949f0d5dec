// SPDX-License-Identifier: Apache-2.0
#include "core/checkback.h"

//            asked          paid ->    window over, unpaid ->
// delay      at the end     ROLLBACK   COMMIT (order.cancel is delivered)
// poll       every interval ROLLBACK   COMMIT
// reverse    every interval ROLLBACK   COMMIT
// forward    every interval COMMIT     ROLLBACK (a second producer tells of the cancellation)
static const struct {
    const char *name;
    bool asks_within_window;
    bool commits_when_paid;
} POLICY[] = {
    [POLICY_DELAY] = {"delay", false, false},
    [POLICY_POLL] = {"poll", true, false},
    [POLICY_REVERSE] = {"reverse", true, false},
    [POLICY_FORWARD] = {"forward", true, true},
};

const char *policy_name(enum policy p)
{
    return POLICY[p].name;
}

bool checkback_commits_when_paid(enum policy policy)
{
    return POLICY[policy].commits_when_paid;
}

bool checkback_commits_when_unpaid(enum policy policy)
{
    return !POLICY[policy].commits_when_paid;
}

// A code nobody scanned can hardly have been paid, so the adaptive schedule asks about it half as often; once a
// trade exists a buyer stands before the cashier page, and it asks as densely as the fixed one.
static int64_t spacing_ms(const struct checkback *c, enum last_seen seen)
{
    return c->schedule == SCHEDULE_ADAPTIVE && seen == SEEN_NO_TRADE ? 2 * c->interval_ms : c->interval_ms;
}

int64_t checkback_next(const struct checkback *c, enum policy policy, int64_t from_ms, int64_t now_ms,
                       int64_t expires_ms, uint32_t n_checks, enum last_seen seen)
{
    if (!POLICY[policy].asks_within_window) return INT64_MAX;
    int64_t next_ms = n_checks == 0 ? from_ms + c->first_ms : now_ms + spacing_ms(c, seen);
    if (next_ms <= now_ms) next_ms = now_ms + c->interval_ms; // woken late: do not ask in a burst
    return next_ms < expires_ms ? next_ms : INT64_MAX;
}
