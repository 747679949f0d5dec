// SPDX-License-Identifier: Apache-2.0
// Schedules written the way Quartz writes them: what a text means, and when it is due next. Pure arithmetic: the
// present and the time zone are arguments.
//
// A text has 6 or 7 fields between spaces or tabs, and a local time (a whole second) is due when it fits all of them:
//
//   second 0-59   minute 0-59   hour 0-23   day-of-month 1-31   month 1-12 or JAN-DEC
//   day-of-week 1-7 or SUN-SAT (1 is SUN)   year 1970-2099 (may be left out: each of them)
//
//   *, ?                 any; ? in the two day fields only
//   a,b,c                each of these, of whatever form, but for ?
//   a-b                  from a to b; over the top and on from below when b is less (FRI-MON, 22-2), years excepted
//   a/n, a-b/n, */n, /n  every n-th from a on, to the field's end or to b; from the field's beginning for * and nothing
//   L, L-n               day-of-month: the month's last day, the day n days before it (n 0-30)
//   dW, LW, L-nW         day-of-month: the day of Monday to Friday nearest to that day, within its month
//   L, dL, d#k           day-of-week: Saturday; the month's last such day; its k-th such day (k 1-5)
//
// Letters may be small. A month without such a day (31, 31W, MON#5, L-30) is passed over, it borrows none.
//
// Source: the texts and the answers of Quartz 2.3 (CronExpression). Where this means to differ:
// - Quartz wants exactly one ? in the two day fields. Here each may be * or ?, both too; two that both say which days
//   are refused.
// - L, W and # may stand in lists, a step may follow names (MON-FRI/2). Quartz refuses some of it, overlooks the rest.
// - An empty place in a list, a step of 0 or beyond the field and what is left over are refused, not overlooked.
// - dW is not due in a month without the day d. Quartz takes the month's last when the next one's is a Saturday (31W).
// - Years end in 2099, also where the field is left out.
// - An hour that comes twice, see cron_next_ms.
#ifndef TILL_CORE_CRON_H
#define TILL_CORE_CRON_H

#include "base/str.h"
#include <stdint.h>

#define CRON_NEVER    INT64_MAX
#define CRON_WHY_SIZE 160

// Read-only to others. Bit i of a set stands for the value i, of `years` for 1970 + i.
struct cron {
    uint64_t seconds, minutes, years[3];
    uint32_t hours, months;
    // A day is due when any of these has it.
    uint32_t days;            // of the month
    uint32_t lasts;           // so many days before the month's last
    uint32_t nearest;         // the weekday nearest to this day
    uint32_t nearest_lasts;   // the weekday nearest to the day so many before the last
    uint32_t weekdays;        // 1 is Sunday
    uint32_t last_weekdays;   // its last in the month
    uint32_t nth_weekdays[5]; // [k-1]: its k-th in the month
};

// True, and all of *out set. False, and only `why` set: one line of printable ASCII, never cut, which names the field,
// what stands there (its beginning if long) and what may.
bool cron_parse(struct str text, struct cron *out, char why[CRON_WHY_SIZE]);

// From from_ms (a whole second) on, local time is UTC + offset_s.
struct cron_shift {
    int64_t from_ms;
    int32_t offset_s;
};

// Local time: UTC + offset_s until the first shift, then as the shifts say. They ascend, and are further apart than any
// of them sets the clock back. All borrowed. {0} is UTC.
struct cron_zone {
    int32_t offset_s;
    const struct cron_shift *shifts;
    size_t n_shifts;
};

extern const struct cron_zone CRON_UTC;

// The first instant strictly after after_ms at which the schedule is due, a whole second; CRON_NEVER when there is none
// (31 February, a year that is over). Any after_ms is taken. Asked again with its own answer it always advances, and
// the answer does not depend on the way: the instants due are one fixed set.
//
// Where a clock is set forward, the local times left out are not due: 30 2 in that night is passed over, as Quartz
// does. Where it is set back, local times come twice. A schedule that fits every hour is due both times, so that every
// ten minutes means every ten minutes (Quartz passes over the first of the two hours); one of chosen hours is due once,
// the second time, as Quartz does.
//
// Work: for each shift after after_ms until the answer, at most two walks over the months since 1970 (1560 until 2099).
int64_t cron_next_ms(const struct cron *c, int64_t after_ms, const struct cron_zone *zone);

#endif
