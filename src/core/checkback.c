// SPDX-License-Identifier: Apache-2.0
#include "core/checkback.h"
#include "core/instant.h"

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

// The longest the adaptive schedule lets pass: what is promised (first + 2 x interval), less an eighth of an interval
// for the answer to come in.
static int64_t longest_ms(const struct checkback *c)
{
    return c->first_ms + 2 * c->interval_ms - c->interval_ms / 8;
}

// At the promise's end the rest of the window is shared out evenly. Its end asks by itself, so a question just before
// it is wasted, and shorter gaps for the same number of questions are not.
static int64_t shared_ms(int64_t longest_ms, int64_t rest_ms)
{
    if (rest_ms <= longest_ms) return longest_ms;
    int64_t n = (rest_ms + longest_ms - 1) / longest_ms;
    return (rest_ms + n - 1) / n;
}

// The longer nothing has happened, the longer it will go on: who did not scan within a minute will hardly in the next
// ten seconds, and who let the cashier stand for a minute is away. So it waits as long again as it has been quiet.
static int64_t adaptive_ms(const struct checkback *c, const struct watch *w, int64_t asked_ms)
{
    bool scanned = w->scanned_ms != 0;
    int64_t least_ms = scanned ? c->interval_ms / 2 : c->interval_ms + c->interval_ms / 4;
    int64_t since_ms = scanned ? w->scanned_ms : w->code_ms + c->first_ms - c->interval_ms * 3 / 4;
    int64_t quiet_ms = later(asked_ms - since_ms, least_ms);
    return quiet_ms < longest_ms(c) ? quiet_ms : shared_ms(longest_ms(c), w->expires_ms - asked_ms);
}

// Where the number of answers ends the window, fewer of them would lengthen it and more cut it short.
static bool adapts(const struct checkback *c)
{
    return c->schedule == SCHEDULE_ADAPTIVE && c->max == 0;
}

// When it is due, if that is later than now.
static int64_t planned_ms(const struct checkback *c, const struct watch *w, int64_t now_ms)
{
    if (w->asked_ms == 0) return w->code_ms + c->first_ms;
    if (!w->answered || !adapts(c)) return now_ms;
    int64_t asked_ms = earlier(w->asked_ms, now_ms);
    return asked_ms + adaptive_ms(c, w, asked_ms);
}

int64_t checkback_next(const struct checkback *c, enum policy policy, const struct watch *w, int64_t now_ms)
{
    if (!POLICY[policy].asks_within_window) return INT64_MAX;
    int64_t at_ms = planned_ms(c, w, now_ms);
    if (at_ms <= now_ms) at_ms = now_ms + c->interval_ms; // also when woken or answered late: do not ask in a burst
    return at_ms < w->expires_ms ? at_ms : INT64_MAX;
}
