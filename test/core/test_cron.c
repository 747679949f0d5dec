// SPDX-License-Identifier: Apache-2.0
// Schedules: tables of known answers, texts refused, and a search second by second which knows the calendar by itself.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka needs the four above first
#include <cmocka.h>

#include "core/cron.h"
#include <stdio.h>

#define N(array) (sizeof(array) / sizeof((array)[0]))
#define DAY_S    INT64_C(86400)
#define HOUR_S   3600
#define END_DAY  47482 // 2100-01-01

// Of 2024 to 2030; standard time before and after.
static const struct cron_shift NEW_YORK_SHIFTS[] = {
    {INT64_C(1710054000000), -4 * HOUR_S}, {INT64_C(1730613600000), -5 * HOUR_S}, {INT64_C(1741503600000), -4 * HOUR_S},
    {INT64_C(1762063200000), -5 * HOUR_S}, {INT64_C(1772953200000), -4 * HOUR_S}, {INT64_C(1793512800000), -5 * HOUR_S},
    {INT64_C(1805007600000), -4 * HOUR_S}, {INT64_C(1825567200000), -5 * HOUR_S}, {INT64_C(1836457200000), -4 * HOUR_S},
    {INT64_C(1857016800000), -5 * HOUR_S}, {INT64_C(1867906800000), -4 * HOUR_S}, {INT64_C(1888466400000), -5 * HOUR_S},
    {INT64_C(1899356400000), -4 * HOUR_S}, {INT64_C(1919916000000), -5 * HOUR_S}};
static const struct cron_shift BERLIN_SHIFTS[] = {
    {INT64_C(1711846800000), 2 * HOUR_S}, {INT64_C(1729990800000), 1 * HOUR_S}, {INT64_C(1743296400000), 2 * HOUR_S},
    {INT64_C(1761440400000), 1 * HOUR_S}, {INT64_C(1774746000000), 2 * HOUR_S}, {INT64_C(1792890000000), 1 * HOUR_S},
    {INT64_C(1806195600000), 2 * HOUR_S}, {INT64_C(1824944400000), 1 * HOUR_S}, {INT64_C(1837645200000), 2 * HOUR_S},
    {INT64_C(1856394000000), 1 * HOUR_S}, {INT64_C(1869094800000), 2 * HOUR_S}, {INT64_C(1887843600000), 1 * HOUR_S},
    {INT64_C(1901149200000), 2 * HOUR_S}, {INT64_C(1919293200000), 1 * HOUR_S}};

enum zone_id { UTC, NEW_YORK, BERLIN };
static const struct cron_zone ZONE[] = {
    [UTC] = {0},
    [NEW_YORK] = {-5 * HOUR_S, NEW_YORK_SHIFTS, N(NEW_YORK_SHIFTS)},
    [BERLIN] = {1 * HOUR_S, BERLIN_SHIFTS, N(BERLIN_SHIFTS)},
};

// --- a calendar: the days counted one by one

static struct date {
    int year, month, day, last;
    int weekday; // 1 is Sunday
} CALENDAR[END_DAY];

static int fill_calendar(void **state)
{
    (void)state;
    struct date d = {1970, 1, 1, 31, 5};
    for (int i = 0; i < END_DAY; i++) {
        CALENDAR[i] = d;
        d.weekday = d.weekday == 7 ? 1 : d.weekday + 1;
        if (++d.day <= d.last) continue;
        d.day = 1;
        if (++d.month > 12) {
            d.month = 1;
            d.year++;
        }
        d.last = d.month == 4 || d.month == 6 || d.month == 9 || d.month == 11 ? 30 : 31;
        if (d.month == 2) d.last = (d.year % 4 == 0 && d.year % 100 != 0) || d.year % 400 == 0 ? 29 : 28;
    }
    return 0;
}

// "2026-11-23 02:05:09" in UTC, or without the seconds or the time when they are 0; "never".
static int64_t instant(const char *text)
{
    int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
    if (strcmp(text, "never") == 0) return CRON_NEVER;
    if (sscanf(text, "%d-%d-%d %d:%d:%d", &year, &month, &day, &hour, &minute, &second) >= 3)
        for (int i = 0; i < END_DAY; i++)
            if (CALENDAR[i].year == year && CALENDAR[i].month == month && CALENDAR[i].day == day)
                return (i * DAY_S + hour * 3600 + minute * 60 + second) * 1000;
    fail_msg("%s is no instant", text);
    return 0;
}

static void instant_text(int64_t ms, char out[64])
{
    int64_t s = ms / 1000;
    if (ms < 0 || s / DAY_S >= END_DAY) {
        (void)snprintf(out, 64, "%s", ms == CRON_NEVER ? "never" : "out of range");
        return;
    }
    const struct date *d = &CALENDAR[s / DAY_S];
    (void)snprintf(out, 64, "%04d-%02d-%02d %02d:%02d:%02d", d->year, d->month, d->day, (int)(s / 3600 % 24),
                   (int)(s / 60 % 60), (int)(s % 60));
}

// --- known answers

struct known {
    enum zone_id zone;
    const char *text, *after; // all instants are UTC
    const char *next[3];      // up to "never"
};

static struct cron parsed(const char *text)
{
    struct cron c;
    char why[CRON_WHY_SIZE] = "";
    if (!cron_parse(str_of(text), &c, why)) fail_msg("%s: %s", text, why);
    return c;
}

static void check_known(const struct known *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct cron c = parsed(cases[i].text);
        int64_t ms = instant(cases[i].after);
        for (size_t k = 0; k < N(cases[i].next) && cases[i].next[k]; k++) {
            ms = cron_next_ms(&c, ms, &ZONE[cases[i].zone]);
            if (ms == instant(cases[i].next[k])) continue;
            char got[64];
            instant_text(ms, got);
            fail_msg("%s after %s, answer %zu: %s, not %s", cases[i].text, cases[i].after, k + 1, got,
                     cases[i].next[k]);
        }
    }
}

// Produced by CronExpression.getNextValidTimeAfter of Quartz 2.3.2.
static const struct known QUARTZ[] = {
    // every so often
    {UTC, "0 0/10 * ? * *", "2026-11-23 02:05", {"2026-11-23 02:10", "2026-11-23 02:20", "2026-11-23 02:30"}},
    {UTC, "0 0/10 * ? * *", "2026-11-23 02:10", {"2026-11-23 02:20", "2026-11-23 02:30", "2026-11-23 02:40"}},
    {UTC, "0 0/10 * ? * *", "2026-12-31 23:55:01", {"2027-01-01", "2027-01-01 00:10", "2027-01-01 00:20"}},
    {UTC, "* * * * * ?", "2026-02-28 23:59:58", {"2026-02-28 23:59:59", "2026-03-01", "2026-03-01 00:00:01"}},
    {UTC,
     "*/7 * * * * ?",
     "2026-01-01 00:00:40",
     {"2026-01-01 00:00:42", "2026-01-01 00:00:49", "2026-01-01 00:00:56"}},
    {UTC, "0/25 * * * * ?", "2026-01-01 00:00:49", {"2026-01-01 00:00:50", "2026-01-01 00:01", "2026-01-01 00:01:25"}},
    {UTC,
     "5/20 * * * * ?",
     "2026-01-01 00:00:45",
     {"2026-01-01 00:01:05", "2026-01-01 00:01:25", "2026-01-01 00:01:45"}},
    {UTC, "0 */13 * * * ?", "2026-01-01 10:51", {"2026-01-01 10:52", "2026-01-01 11:00", "2026-01-01 11:13"}},
    {UTC, "0 3/10 * * * ?", "2026-01-01 10:50", {"2026-01-01 10:53", "2026-01-01 11:03", "2026-01-01 11:13"}},
    {UTC, "0 0 */5 * * ?", "2026-01-01 19:00", {"2026-01-01 20:00", "2026-01-02", "2026-01-02 05:00"}},
    {UTC, "0 0 2/6 * * ?", "2026-01-01 20:00", {"2026-01-02 02:00", "2026-01-02 08:00", "2026-01-02 14:00"}},
    {UTC, "0 10-40/5 9 * * ?", "2026-01-01 09:34:59", {"2026-01-01 09:35", "2026-01-01 09:40", "2026-01-02 09:10"}},
    {UTC, "0 /20 * * * ?", "2026-01-01 09:34:59", {"2026-01-01 09:40", "2026-01-01 10:00", "2026-01-01 10:20"}},
    {UTC, "/30 * * * * ?", "2026-01-01 09:34:29", {"2026-01-01 09:34:30", "2026-01-01 09:35", "2026-01-01 09:35:30"}},
    {UTC, "0 0 0 1/10 * ?", "2026-01-30", {"2026-01-31", "2026-02-01", "2026-02-11"}},
    {UTC, "0 0 0 */15 * ?", "2026-01-31", {"2026-02-01", "2026-02-16", "2026-03-01"}},
    {UTC, "0 0 0 1 */5 ?", "2026-06-01 00:00:01", {"2026-11-01", "2027-01-01", "2027-06-01"}},
    {UTC, "0 0 0 1 3/4 ?", "2026-03-01", {"2026-07-01", "2026-11-01", "2027-03-01"}},
    {UTC, "0 0 0 ? * */3", "2026-01-01", {"2026-01-03", "2026-01-04", "2026-01-07"}},
    {UTC, "0 0 0 ? * 3/2", "2026-01-01", {"2026-01-03", "2026-01-06", "2026-01-08"}},
    {UTC, "0 0/59 * * * ?", "2026-01-01", {"2026-01-01 00:59", "2026-01-01 01:00", "2026-01-01 01:59"}},
    {UTC, "0/59 * * * * ?", "2026-01-01", {"2026-01-01 00:00:59", "2026-01-01 00:01", "2026-01-01 00:01:59"}},
    {UTC, "0 0 0/23 * * ?", "2026-01-01", {"2026-01-01 23:00", "2026-01-02", "2026-01-02 23:00"}},
    {UTC, "0 0 0 1/30 * ?", "2026-01-01", {"2026-01-31", "2026-02-01", "2026-03-01"}},
    // a time of day
    {UTC, "0 0 12 * * ?", "2026-11-23 11:59:59", {"2026-11-23 12:00", "2026-11-24 12:00", "2026-11-25 12:00"}},
    {UTC, "0 0 12 * * ?", "2026-11-23 12:00", {"2026-11-24 12:00", "2026-11-25 12:00", "2026-11-26 12:00"}},
    {UTC,
     "59 59 23 * * ?",
     "2026-12-31 23:59:58",
     {"2026-12-31 23:59:59", "2027-01-01 23:59:59", "2027-01-02 23:59:59"}},
    {UTC,
     "59 59 23 31 12 ?",
     "2026-12-31 23:59:59",
     {"2027-12-31 23:59:59", "2028-12-31 23:59:59", "2029-12-31 23:59:59"}},
    {UTC, "0 0 0 * * ?", "2026-12-30 00:00:01", {"2026-12-31", "2027-01-01", "2027-01-02"}},
    {UTC,
     "30 15 10 ? * *",
     "2026-02-27 10:15:30",
     {"2026-02-28 10:15:30", "2026-03-01 10:15:30", "2026-03-02 10:15:30"}},
    {UTC, "0 0 9-17 * * ?", "2026-01-01 16:30", {"2026-01-01 17:00", "2026-01-02 09:00", "2026-01-02 10:00"}},
    {UTC, "0 0 6,19 * * ?", "2026-01-01 12:00", {"2026-01-01 19:00", "2026-01-02 06:00", "2026-01-02 19:00"}},
    {UTC, "0 15,45 8-9 * * ?", "2026-01-01 08:44:59", {"2026-01-01 08:45", "2026-01-01 09:15", "2026-01-01 09:45"}},
    {UTC,
     "10,20-22,50 0 0 * * ?",
     "2026-01-01 00:00:20",
     {"2026-01-01 00:00:21", "2026-01-01 00:00:22", "2026-01-01 00:00:50"}},
    {UTC, "0 0,0,30 1 * * ?", "2026-01-01 00:59:59", {"2026-01-01 01:00", "2026-01-01 01:30", "2026-01-02 01:00"}},
    {UTC, "00 05 007 * * ?", "2026-01-01 00:59:59", {"2026-01-01 07:05", "2026-01-02 07:05", "2026-01-03 07:05"}},
    // over the top
    {UTC, "0 0 22-2 * * ?", "2026-01-01 03:00", {"2026-01-01 22:00", "2026-01-01 23:00", "2026-01-02"}},
    {UTC, "0 0 22-2 * * ?", "2026-01-01 23:59:59", {"2026-01-02", "2026-01-02 01:00", "2026-01-02 02:00"}},
    {UTC, "0 50-10/5 * * * ?", "2026-01-01 07:52", {"2026-01-01 07:55", "2026-01-01 08:00", "2026-01-01 08:05"}},
    {UTC, "58-1 * * * * ?", "2026-01-01 07:52:58", {"2026-01-01 07:52:59", "2026-01-01 07:53", "2026-01-01 07:53:01"}},
    {UTC, "0 0 0 28-3 * ?", "2026-02-28", {"2026-03-01", "2026-03-02", "2026-03-03"}},
    {UTC, "0 0 0 28-3 * ?", "2026-03-03", {"2026-03-28", "2026-03-29", "2026-03-30"}},
    {UTC, "0 0 0 1 NOV-FEB ?", "2026-02-01", {"2026-11-01", "2026-12-01", "2027-01-01"}},
    {UTC, "0 0 0 1 11-2/2 ?", "2026-02-01", {"2026-11-01", "2027-01-01", "2027-11-01"}},
    {UTC, "0 0 12 ? * FRI-MON", "2026-11-23 13:00", {"2026-11-27 12:00", "2026-11-28 12:00", "2026-11-29 12:00"}},
    {UTC, "0 0 12 ? * 6-2", "2026-11-20 12:00", {"2026-11-21 12:00", "2026-11-22 12:00", "2026-11-23 12:00"}},
    {UTC, "0 0 12 ? * 7-1", "2026-11-20 12:00", {"2026-11-21 12:00", "2026-11-22 12:00", "2026-11-28 12:00"}},
    {UTC, "0 0 20-4/3 * * ?", "2026-11-20 12:00", {"2026-11-20 20:00", "2026-11-20 23:00", "2026-11-21 02:00"}},
    {UTC, "0 0 0 ? * 5-3/2", "2026-11-20 12:00", {"2026-11-21", "2026-11-23", "2026-11-26"}},
    // names
    {UTC, "0 0 0 1 JAN ?", "2026-01-01", {"2027-01-01", "2028-01-01", "2029-01-01"}},
    {UTC, "0 0 0 1 jan,Jul ?", "2026-01-01", {"2026-07-01", "2027-01-01", "2027-07-01"}},
    {UTC, "0 0 0 1 Mar-may ?", "2026-04-01", {"2026-05-01", "2027-03-01", "2027-04-01"}},
    {UTC, "0 0 0 ? * SUN", "2026-11-23", {"2026-11-29", "2026-12-06", "2026-12-13"}},
    {UTC, "0 0 0 ? * mon,Wed,FRI", "2026-11-23", {"2026-11-25", "2026-11-27", "2026-11-30"}},
    {UTC, "0 0 0 ? * TUE-THU", "2026-11-26", {"2026-12-01", "2026-12-02", "2026-12-03"}},
    {UTC, "0 0 0 ? * SAT", "2026-11-23", {"2026-11-28", "2026-12-05", "2026-12-12"}},
    {UTC, "0 0 0 ? * 1", "2026-11-23", {"2026-11-29", "2026-12-06", "2026-12-13"}},
    {UTC, "0 0 0 ? * 7", "2026-11-23", {"2026-11-28", "2026-12-05", "2026-12-12"}},
    {UTC, "0 0 0 ? DEC *", "2026-11-23", {"2026-12-01", "2026-12-02", "2026-12-03"}},
    {UTC,
     "0 30 6 ? FEB,AUG,SEP,OCT MON-FRI",
     "2026-02-27 07:00",
     {"2026-08-03 06:30", "2026-08-04 06:30", "2026-08-05 06:30"}},
    {UTC, "0 0 0 1 apr,jun ?", "2026-06-01", {"2027-04-01", "2027-06-01", "2028-04-01"}},
    // ends of months and years
    {UTC, "0 0 0 31 * ?", "2026-01-31", {"2026-03-31", "2026-05-31", "2026-07-31"}},
    {UTC, "0 0 0 30 * ?", "2026-01-30", {"2026-03-30", "2026-04-30", "2026-05-30"}},
    {UTC, "0 0 0 29 * ?", "2026-01-29", {"2026-03-29", "2026-04-29", "2026-05-29"}},
    {UTC, "0 0 0 29 * ?", "2028-01-29", {"2028-02-29", "2028-03-29", "2028-04-29"}},
    {UTC, "0 0 0 1 1 ?", "2026-12-31 23:59:59", {"2027-01-01", "2028-01-01", "2029-01-01"}},
    {UTC, "0 0 0 31 12 ?", "2026-12-31", {"2027-12-31", "2028-12-31", "2029-12-31"}},
    {UTC, "0 0 0 30-31 4 ?", "2026-01-01", {"2026-04-30", "2027-04-30", "2028-04-30"}},
    {UTC, "0 59 23 28 2 ?", "2026-02-28 23:59", {"2027-02-28 23:59", "2028-02-28 23:59", "2029-02-28 23:59"}},
    // 29 February
    {UTC, "0 0 0 29 2 ?", "1970-01-01", {"1972-02-29", "1976-02-29", "1980-02-29"}},
    {UTC, "0 0 0 29 2 ?", "1999-03-01", {"2000-02-29", "2004-02-29", "2008-02-29"}},
    {UTC, "0 0 0 29 2 ?", "2026-01-01", {"2028-02-29", "2032-02-29", "2036-02-29"}},
    {UTC, "0 0 0 29 FEB ?", "2028-02-28 23:59:59", {"2028-02-29", "2032-02-29", "2036-02-29"}},
    {UTC, "0 0 0 29 FEB ?", "2084-02-29", {"2088-02-29", "2092-02-29", "2096-02-29"}},
    {UTC, "0 0 12 ? 2 1#5", "2026-01-01", {"2032-02-29 12:00", "2060-02-29 12:00", "2088-02-29 12:00"}},
    {UTC, "0 0 12 L 2 ?", "2026-01-01", {"2026-02-28 12:00", "2027-02-28 12:00", "2028-02-29 12:00"}},
    {UTC, "0 0 12 L 2 ?", "2095-03-01", {"2096-02-29 12:00", "2097-02-28 12:00", "2098-02-28 12:00"}},
    // years
    {UTC, "0 0 0 1 1 ? 2030", "2026-01-01", {"2030-01-01", "never"}},
    {UTC, "0 0 0 1 1 ? 2027,2029-2030", "2026-01-01", {"2027-01-01", "2029-01-01", "2030-01-01"}},
    {UTC, "0 0 0 1 7 ? 2025/2", "2026-01-01", {"2027-07-01", "2029-07-01", "2031-07-01"}},
    {UTC, "0 0 0 1 7 ? 2020-2040/10", "2026-01-01", {"2030-07-01", "2040-07-01", "never"}},
    {UTC, "0 0 0 1 1 ? *", "2026-01-01", {"2027-01-01", "2028-01-01", "2029-01-01"}},
    {UTC, "0 0 0 1 1 ? */40", "1970-01-01", {"2010-01-01", "2050-01-01", "2090-01-01"}},
    {UTC, "0 0 3 ? * 6#3 2026-2030", "2030-11-01", {"2030-11-15 03:00", "2030-12-20 03:00", "never"}},
    {UTC, "0 0 0 ? * MON 2027", "2026-01-01", {"2027-01-04", "2027-01-11", "2027-01-18"}},
    {UTC, "0 0 0 29 2 ? 2096", "2026-01-01", {"2096-02-29", "never"}},
    {UTC, "59 59 23 31 12 ? 2098-2099", "2026-01-01", {"2098-12-31 23:59:59", "2099-12-31 23:59:59", "never"}},
    // never, or never again
    {UTC, "0 0 0 1 1 ? 2025", "2026-01-01", {"never"}},
    {UTC, "0 0 0 ? * MON 1970", "2026-01-01", {"never"}},
    {UTC, "0 0 0 31 2 ? 2026-2030", "2026-01-01", {"never"}},
    {UTC, "0 0 0 29 2 ? 2027", "2026-01-01", {"never"}},
    {UTC, "0 0 0 31 4,6,9,11 ? 2026", "2026-01-01", {"never"}},
    {UTC, "0 0 0 ? 2 MON#5 2026-2031", "2026-01-01", {"never"}},
    // L
    {UTC, "0 0 0 L * ?", "2026-01-30", {"2026-01-31", "2026-02-28", "2026-03-31"}},
    {UTC, "0 0 0 l * ?", "2028-02-28", {"2028-02-29", "2028-03-31", "2028-04-30"}},
    {UTC, "0 0 0 L-1 * ?", "2026-01-31", {"2026-02-27", "2026-03-30", "2026-04-29"}},
    {UTC, "0 0 0 L-3 2 ?", "2026-01-31", {"2026-02-25", "2027-02-25", "2028-02-26"}},
    {UTC, "0 0 0 L-0 * ?", "2026-04-30", {"2026-05-31", "2026-06-30", "2026-07-31"}},
    {UTC, "0 0 0 L-30 * ?", "2026-01-02", {"2026-03-01", "2026-05-01", "2026-07-01"}},
    {UTC, "0 0 0 L-28 * ?", "2026-01-31", {"2026-03-03", "2026-04-02", "2026-05-03"}},
    {UTC, "0 15 10 L 6,12 ?", "2026-01-31", {"2026-06-30 10:15", "2026-12-31 10:15", "2027-06-30 10:15"}},
    {UTC, "0 0 0 ? * L", "2026-11-23", {"2026-11-28", "2026-12-05", "2026-12-12"}},
    {UTC, "0 0 0 ? * 6L", "2026-11-23", {"2026-11-27", "2026-12-25", "2027-01-29"}},
    {UTC, "0 0 0 ? * friL", "2026-11-27", {"2026-12-25", "2027-01-29", "2027-02-26"}},
    {UTC, "0 0 0 ? * 1L", "2026-11-28", {"2026-11-29", "2026-12-27", "2027-01-31"}},
    {UTC, "0 0 0 ? * 7L", "2026-02-28", {"2026-03-28", "2026-04-25", "2026-05-30"}},
    {UTC, "0 0 0 ? 2 SATL", "2026-01-28", {"2026-02-28", "2027-02-27", "2028-02-26"}},
    {UTC, "0 15 10 ? * 6L 2026-2027", "2027-10-28", {"2027-10-29 10:15", "2027-11-26 10:15", "2027-12-31 10:15"}},
    // W
    {UTC, "0 0 0 15W * ?", "2026-01-01", {"2026-01-15", "2026-02-16", "2026-03-16"}},
    {UTC, "0 0 0 15W * ?", "2026-02-01", {"2026-02-16", "2026-03-16", "2026-04-15"}},
    {UTC, "0 0 0 15W * ?", "2026-08-01", {"2026-08-14", "2026-09-15", "2026-10-15"}},
    {UTC, "0 0 0 1W * ?", "2026-01-31", {"2026-02-02", "2026-03-02", "2026-04-01"}},
    {UTC, "0 0 0 1w 8 ?", "2026-01-01", {"2026-08-03", "2027-08-02", "2028-08-01"}},
    {UTC, "0 0 0 31W 1,5 ?", "2026-01-01", {"2026-01-30", "2026-05-29", "2027-01-29"}},
    {UTC, "0 0 0 30W 4,6 ?", "2028-01-01", {"2028-04-28", "2028-06-30", "2029-04-30"}},
    {UTC, "0 0 0 28W 2 ?", "2026-01-01", {"2026-02-27", "2027-02-26", "2028-02-28"}},
    {UTC, "0 0 0 LW * ?", "2026-01-01", {"2026-01-30", "2026-02-27", "2026-03-31"}},
    {UTC, "0 0 0 LW * ?", "2026-05-01", {"2026-05-29", "2026-06-30", "2026-07-31"}},
    {UTC, "0 0 0 L-1W * ?", "2026-05-01", {"2026-05-29", "2026-06-29", "2026-07-30"}},
    {UTC, "0 0 0 L-3w * ?", "2026-01-01", {"2026-01-28", "2026-02-25", "2026-03-27"}},
    {UTC, "0 0 12 2W * ?", "2027-01-01", {"2027-01-01 12:00", "2027-02-02 12:00", "2027-03-02 12:00"}},
    // #
    {UTC, "0 0 0 ? * FRI#2", "2026-11-23", {"2026-12-11", "2027-01-08", "2027-02-12"}},
    {UTC, "0 0 0 ? * 6#3", "2026-11-20", {"2026-12-18", "2027-01-15", "2027-02-19"}},
    {UTC, "0 0 0 ? * mon#1", "2026-11-23", {"2026-12-07", "2027-01-04", "2027-02-01"}},
    {UTC, "0 0 0 ? * 2#5", "2026-01-01", {"2026-03-30", "2026-06-29", "2026-08-31"}},
    {UTC, "0 0 0 ? * SUN#4", "2026-02-22", {"2026-03-22", "2026-04-26", "2026-05-24"}},
    {UTC, "0 0 0 ? * 7#5", "2026-01-01", {"2026-01-31", "2026-05-30", "2026-08-29"}},
    {UTC, "0 0 0 ? NOV THU#4", "2026-01-01", {"2026-11-26", "2027-11-25", "2028-11-23"}},
    {UTC, "0 15 10 ? * 4#1", "2026-01-07 10:15", {"2026-02-04 10:15", "2026-03-04 10:15", "2026-04-01 10:15"}},
    // local days
    {NEW_YORK, "0 0 0 1 * ?", "2026-01-01 04:59:59", {"2026-01-01 05:00", "2026-02-01 05:00", "2026-03-01 05:00"}},
    {NEW_YORK, "0 0 22 L * ?", "2026-02-01", {"2026-02-01 03:00", "2026-03-01 03:00", "2026-04-01 02:00"}},
    {NEW_YORK, "0 0 23 ? * FRI", "2026-01-01", {"2026-01-03 04:00", "2026-01-10 04:00", "2026-01-17 04:00"}},
    {NEW_YORK, "0 0 0 1 1 ? 2027", "2026-06-01", {"2027-01-01 05:00", "never"}},
    // local days
    {BERLIN, "0 0 0 1 * ?", "2025-12-31 22:59:59", {"2025-12-31 23:00", "2026-01-31 23:00", "2026-02-28 23:00"}},
    {BERLIN, "0 30 0 29 2 ?", "2027-06-01", {"2028-02-28 23:30", "2032-02-28 23:30", "2036-02-28 23:30"}},
    {BERLIN, "0 0 12 ? * 1L", "2026-03-01", {"2026-03-29 10:00", "2026-04-26 10:00", "2026-05-31 10:00"}},
    {BERLIN, "0 0 1 LW * ?", "2026-06-01", {"2026-06-29 23:00", "2026-07-30 23:00", "2026-08-30 23:00"}},
    // set forward on 2026-03-08 at 07:00
    {NEW_YORK, "0 30 2 * * ?", "2026-03-07 07:00", {"2026-03-07 07:30", "2026-03-09 06:30", "2026-03-10 06:30"}},
    {NEW_YORK, "0 0 2 * * ?", "2026-03-07 07:00", {"2026-03-09 06:00", "2026-03-10 06:00", "2026-03-11 06:00"}},
    {NEW_YORK, "0 59 2 * * ?", "2026-03-07 08:00", {"2026-03-09 06:59", "2026-03-10 06:59", "2026-03-11 06:59"}},
    {NEW_YORK, "0 0 * * * ?", "2026-03-08 05:30", {"2026-03-08 06:00", "2026-03-08 07:00", "2026-03-08 08:00"}},
    {NEW_YORK, "0 0/10 * * * ?", "2026-03-08 06:45", {"2026-03-08 06:50", "2026-03-08 07:00", "2026-03-08 07:10"}},
    {NEW_YORK, "0 0/30 1-3 * * ?", "2026-03-08 06:15", {"2026-03-08 06:30", "2026-03-08 07:00", "2026-03-08 07:30"}},
    {NEW_YORK, "0 0 3 * * ?", "2026-03-08 06:00", {"2026-03-08 07:00", "2026-03-09 07:00", "2026-03-10 07:00"}},
    {NEW_YORK, "0 0/40 2,3 * * ?", "2026-03-08 06:00", {"2026-03-08 07:00", "2026-03-08 07:40", "2026-03-09 06:00"}},
    {NEW_YORK,
     "59 59 1 * * ?",
     "2026-03-08 06:00",
     {"2026-03-08 06:59:59", "2026-03-09 05:59:59", "2026-03-10 05:59:59"}},
    {NEW_YORK, "0 30 2 8 3 ?", "2026-03-01", {"2027-03-08 07:30", "2028-03-08 07:30", "2029-03-08 07:30"}},
    {NEW_YORK, "0 0 2/2 * * ?", "2026-03-08 04:00", {"2026-03-08 08:00", "2026-03-08 10:00", "2026-03-08 12:00"}},
    // set forward on 2026-03-29 at 01:00
    {BERLIN, "0 30 2 * * ?", "2026-03-28 07:00", {"2026-03-30 00:30", "2026-03-31 00:30", "2026-04-01 00:30"}},
    {BERLIN, "0 0 * * * ?", "2026-03-28 23:30", {"2026-03-29", "2026-03-29 01:00", "2026-03-29 02:00"}},
    {BERLIN, "0 0/10 * * * ?", "2026-03-29 00:45", {"2026-03-29 00:50", "2026-03-29 01:00", "2026-03-29 01:10"}},
    {BERLIN, "0 0/30 1-3 * * ?", "2026-03-29 00:15", {"2026-03-29 00:30", "2026-03-29 01:00", "2026-03-29 01:30"}},
    {BERLIN, "0 0 3 * * ?", "2026-03-28 06:00", {"2026-03-29 01:00", "2026-03-30 01:00", "2026-03-31 01:00"}},
    {BERLIN, "0 30 2 L 3 ? 2024-2026", "2024-01-01", {"2025-03-31 00:30", "2026-03-31 00:30", "never"}},
    {BERLIN, "0 30 2 ? 3 SUNL 2026-2029", "2026-01-01", {"never"}},
    // set back on 2026-11-01 at 06:00
    {NEW_YORK, "0 30 1 * * ?", "2026-10-31 06:00", {"2026-11-01 06:30", "2026-11-02 06:30", "2026-11-03 06:30"}},
    {NEW_YORK, "0 30 1 * * ?", "2026-11-01 06:30", {"2026-11-02 06:30", "2026-11-03 06:30", "2026-11-04 06:30"}},
    {NEW_YORK, "0 0/20 1 * * ?", "2026-11-01 04:00", {"2026-11-01 06:00", "2026-11-01 06:20", "2026-11-01 06:40"}},
    {NEW_YORK, "0 0 0-2 * * ?", "2026-11-01 03:00", {"2026-11-01 04:00", "2026-11-01 06:00", "2026-11-01 07:00"}},
    {NEW_YORK, "0 0 2 * * ?", "2026-11-01 05:30", {"2026-11-01 07:00", "2026-11-02 07:00", "2026-11-03 07:00"}},
    {NEW_YORK,
     "59 59 0 * * ?",
     "2026-11-01 04:00",
     {"2026-11-01 04:59:59", "2026-11-02 05:59:59", "2026-11-03 05:59:59"}},
    {NEW_YORK, "0 30 1 ? * SUN#1", "2026-10-20", {"2026-11-01 06:30", "2026-12-06 06:30", "2027-01-03 06:30"}},
    {NEW_YORK, "0 0/10 * * * ?", "2026-11-01 07:05", {"2026-11-01 07:10", "2026-11-01 07:20", "2026-11-01 07:30"}},
    // set back on 2026-10-25 at 01:00
    {BERLIN, "0 30 2 * * ?", "2026-10-24 06:00", {"2026-10-25 01:30", "2026-10-26 01:30", "2026-10-27 01:30"}},
    {BERLIN, "0 0/20 2 * * ?", "2026-10-24 22:00", {"2026-10-25 01:00", "2026-10-25 01:20", "2026-10-25 01:40"}},
    {BERLIN, "0 0 1-3 * * ?", "2026-10-24 23:00", {"2026-10-25 01:00", "2026-10-25 02:00", "2026-10-26"}},
    {BERLIN, "0 0 3 * * ?", "2026-10-25 00:30", {"2026-10-25 02:00", "2026-10-26 02:00", "2026-10-27 02:00"}},
    {BERLIN, "0 0 0/2 * * ?", "2026-10-24 22:00", {"2026-10-25 01:00", "2026-10-25 03:00", "2026-10-25 05:00"}},
    {BERLIN, "0 30 2 ? 10 1L", "2026-01-01", {"2026-10-25 01:30", "2027-10-31 01:30", "2028-10-29 01:30"}},
};

static void it_answers_as_quartz_does(void **state)
{
    (void)state;
    check_known(QUARTZ, N(QUARTZ));
}

static void where_it_means_not_to_be_quartz_it_says_what(void **state)
{
    (void)state;
    static const struct known CASES[] = {
        // both day fields may say nothing, in either way
        {UTC, "0 0/10 * ? * ?", "2026-11-23 02:05", {"2026-11-23 02:10", "2026-11-23 02:20"}},
        {UTC, "0 0/10 * * * *", "2026-11-23 02:50", {"2026-11-23 03:00", "2026-11-23 03:10"}},
        {UTC, "0 0 0 * * MON", "2026-11-23", {"2026-11-30", "2026-12-07"}},
        {UTC, "0 0 0 5 * *", "2026-11-23", {"2026-12-05", "2027-01-05"}},
        {UTC, "\t0  0\t 0 5 *  * ", "2026-11-23", {"2026-12-05", "2027-01-05"}},
        // L, W and # in lists
        {UTC, "0 0 0 1,L * ?", "2026-11-23", {"2026-11-30", "2026-12-01"}},
        {UTC, "0 0 0 L-3,L * ?", "2026-11-01", {"2026-11-27", "2026-11-30"}},
        {UTC, "0 0 0 1W,15W * ?", "2026-11-01", {"2026-11-02", "2026-11-16"}},
        {UTC, "0 0 0 L-2,15W,lw * ?", "2026-11-01", {"2026-11-16", "2026-11-28", "2026-11-30"}},
        {UTC, "0 0 0 ? * TUE#1,MON#3", "2026-11-01", {"2026-11-03", "2026-11-16", "2026-12-01"}},
        {UTC, "0 0 0 ? * L,SUN#1,3L", "2026-11-20", {"2026-11-21", "2026-11-24", "2026-11-28"}},
        // a step after names
        {UTC, "0 0 0 ? * MON-FRI/2", "2026-11-23", {"2026-11-25", "2026-11-27", "2026-11-30"}},
        {UTC, "0 0 0 ? * TUE/3", "2026-11-23", {"2026-11-24", "2026-11-27", "2026-12-01"}},
        {UTC, "0 0 0 1 AUG/3 ?", "2026-11-23", {"2027-08-01", "2027-11-01", "2028-08-01"}},
        // a month without the day borrows none
        {UTC, "0 0 0 31W * ?", "2027-03-01", {"2027-03-31", "2027-05-31", "2027-07-30"}},
        {UTC, "0 0 0 30W 2 ?", "2027-03-01", {"never"}},
        {UTC, "0 0 0 L-30W * ?", "2027-01-01", {"2027-03-01", "2027-05-03", "2027-07-01"}},
        // 2099 is the last year, and 2096 has the last 29 February in it
        {UTC, "* * * * * ?", "2099-12-31 23:59:58", {"2099-12-31 23:59:59", "never"}},
        {UTC, "0 0 0 29 2 ?", "2092-03-01", {"2096-02-29", "never"}},
        {UTC, "0 0 0 1 1 ?", "2098-06-01", {"2099-01-01", "never"}},
        {UTC, "0 0 0 31 2 ?", "1970-01-01", {"never"}},
        {UTC, "0 0 0 ? 2 SUN#5", "2052-03-01", {"2060-02-29", "2088-02-29", "never"}},
        // every hour is every hour, though its name comes twice
        {NEW_YORK, "0 0/30 * * * ?", "2026-11-01 05:00", {"2026-11-01 05:30", "2026-11-01 06:00", "2026-11-01 06:30"}},
        {NEW_YORK, "0 0 0/1 * * ?", "2026-11-01 03:00", {"2026-11-01 04:00", "2026-11-01 05:00", "2026-11-01 06:00"}},
        {BERLIN, "0 0 0-23 ? * ?", "2026-10-24 23:00", {"2026-10-25", "2026-10-25 01:00", "2026-10-25 02:00"}},
        {BERLIN, "0 55/5 * ? * SUN", "2026-10-24 23:56", {"2026-10-25 00:55", "2026-10-25 01:55", "2026-10-25 02:55"}},
        // a chosen hour is due the second time it comes, however late one asks
        {NEW_YORK, "0 30 1 * * ?", "2026-11-01 05:40", {"2026-11-01 06:30", "2026-11-02 06:30"}},
        {BERLIN, "0 0/30 2 * * ?", "2026-10-25 00:15", {"2026-10-25 01:00", "2026-10-25 01:30", "2026-10-26 01:00"}},
    };
    check_known(CASES, N(CASES));
}

static void a_zone_may_be_one_offset_and_shift_by_any_amount(void **state)
{
    (void)state;
    struct cron noon = parsed("0 0 12 * * ?"), often = parsed("0 0/15 * * * ?"), midnight = parsed("0 0 0 * * ?");
    struct cron_zone kathmandu = {5 * HOUR_S + 45 * 60, NULL, 0};
    assert_int_equal(cron_next_ms(&noon, instant("2026-11-23 06:15"), &kathmandu), instant("2026-11-24 06:15"));
    // half an hour, as on Lord Howe; and a whole day left out, as on Samoa
    const struct cron_shift half[] = {{instant("2026-04-04 15:00"), 10 * HOUR_S + 1800}};
    struct cron_zone lord_howe = {11 * HOUR_S, half, 1};
    int64_t ms = instant("2026-04-04 14:45");
    for (int i = 1; i < 9; i++)
        assert_int_equal(cron_next_ms(&often, ms + (i - 1) * 900000, &lord_howe), ms + i * 900000);
    struct cron half_past_one = parsed("0 30 1 * * ?"); // at 14:30 first, at 15:00 again
    assert_int_equal(cron_next_ms(&half_past_one, instant("2026-04-04 14:00"), &lord_howe),
                     instant("2026-04-04 15:00"));
    const struct cron_shift day[] = {{instant("2011-12-30 10:00"), 14 * HOUR_S}};
    struct cron_zone samoa = {-10 * HOUR_S, day, 1};
    struct cron thirtieth = parsed("0 0 12 30 12 ?");
    assert_int_equal(cron_next_ms(&midnight, instant("2011-12-29 10:00"), &samoa), instant("2011-12-30 10:00"));
    assert_int_equal(cron_next_ms(&thirtieth, instant("2011-12-01"), &samoa), instant("2012-12-29 22:00"));
    // shifts long before and long after
    const struct cron_shift far[] = {{-86400000, 0}, {instant("2026-11-23"), HOUR_S}, {INT64_C(7258118400000), 0}};
    struct cron_zone zone = {-HOUR_S, far, N(far)};
    assert_int_equal(cron_next_ms(&noon, instant("2026-11-22 11:00"), &zone), instant("2026-11-22 12:00"));
    assert_int_equal(cron_next_ms(&noon, instant("2026-11-22 12:00"), &zone), instant("2026-11-23 11:00"));
    assert_int_equal(cron_next_ms(&noon, instant("2099-12-31"), &zone), instant("2099-12-31 11:00"));
    assert_true(cron_next_ms(&noon, instant("2099-12-31 11:00"), &zone) == CRON_NEVER);
}

static void it_is_strictly_after_and_on_a_whole_second(void **state)
{
    (void)state;
    struct cron c = parsed("0 0/10 * * * ?");
    int64_t ms = instant("2026-11-23 02:10");
    assert_int_equal(cron_next_ms(&c, ms - 1001, &CRON_UTC), ms);
    assert_int_equal(cron_next_ms(&c, ms - 1, &CRON_UTC), ms);
    assert_int_equal(cron_next_ms(&c, ms, &CRON_UTC), ms + 600000);
    assert_int_equal(cron_next_ms(&c, ms + 999, &CRON_UTC), ms + 600000);
    c = parsed("* * * * * *");
    assert_int_equal(cron_next_ms(&c, ms, &CRON_UTC), ms + 1000);
    assert_int_equal(cron_next_ms(&c, ms + 999, &CRON_UTC), ms + 1000);
}

static void any_instant_may_be_asked_about(void **state)
{
    (void)state;
    struct cron c = parsed("* * * * * ?");
    for (enum zone_id z = UTC; z <= BERLIN; z++) {
        int64_t first_ms = -ZONE[z].offset_s * INT64_C(1000), last_ms = instant("2099-12-31 23:59:59") + first_ms;
        assert_int_equal(cron_next_ms(&c, INT64_MIN, &ZONE[z]), first_ms);
        assert_int_equal(cron_next_ms(&c, first_ms - 1, &ZONE[z]), first_ms);
        assert_int_equal(cron_next_ms(&c, first_ms - 1000, &ZONE[z]), first_ms);
        assert_int_equal(cron_next_ms(&c, first_ms - 100000000, &ZONE[z]), first_ms);
        assert_int_equal(cron_next_ms(&c, last_ms - 1, &ZONE[z]), last_ms);
        assert_true(cron_next_ms(&c, last_ms, &ZONE[z]) == CRON_NEVER);
        assert_true(cron_next_ms(&c, INT64_MAX, &ZONE[z]) == CRON_NEVER);
    }
    assert_int_equal(cron_next_ms(&c, -1, &CRON_UTC), 0);
    assert_int_equal(cron_next_ms(&c, -1000, &CRON_UTC), 0);
    assert_int_equal(cron_next_ms(&c, 0, &CRON_UTC), 1000);
}

// --- refusals

#define SECONDS  "; allowed: 0-59 with , - * /"
#define HOURS    "; allowed: 0-23 with , - * /"
#define DAYS     "; allowed: 1-31 with , - * /, or ?, L, L-n, dW, LW"
#define MONTHS   "; allowed: 1-12 or JAN-DEC with , - * /"
#define WEEKDAYS "; allowed: 1-7 (1 is SUN) or SUN-SAT with , - * /, or ?, L, dL, d#k"
#define YEARS    "; allowed: 1970-2099 with , - * /"
#define FIELDS   "; allowed: second minute hour day-of-month month day-of-week [year]"
#define STEP     " has no step of 1 or more within the field"
#define ODD      " is not understood"

static const struct {
    const char *text, *why;
} REFUSED[] = {
    {"", "schedule '' has not 6 or 7 fields" FIELDS},
    {"  \t ", "schedule '  ? ' has not 6 or 7 fields" FIELDS},
    {"0/10 * ? * ?", "schedule '0/10 * ? * ?' has not 6 or 7 fields" FIELDS},
    {"0 0 0 1 1 ? 2026 8", "schedule '0 0 0 1 1 ? 2026 8' has not 6 or 7 fields" FIELDS},
    {"0 0 0 1 1 ? 2026 * * * * * * *", "schedule '0 0 0 1 1 ? 2026 * * * *...' has not 6 or 7 fields" FIELDS},
    {"60 * * * * ?", "second '60' is out of range" SECONDS},
    {"590 * * * * ?", "second '590' is out of range" SECONDS},
    {"*/60 * * * * ?", "second '*/60'" STEP SECONDS},
    {"~ * * * * ?", "second '~'" ODD SECONDS},
    {"-1 * * * * ?", "second '-1'" ODD SECONDS},
    {"1- * * * * ?", "second '1-' lacks a value" SECONDS},
    {"1-60 * * * * ?", "second '1-60' is out of range" SECONDS},
    {"1-2-3 * * * * ?", "second '1-2-3'" ODD SECONDS},
    {"1x * * * * ?", "second '1x'" ODD SECONDS},
    {"{ * * * * ?", "second '{'" ODD SECONDS},
    {"? * * * * ?", "second '?'" ODD SECONDS},
    {"L * * * * ?", "second 'L'" ODD SECONDS},
    {"5W * * * * ?", "second '5W'" ODD SECONDS},
    {"5L * * * * ?", "second '5L'" ODD SECONDS},
    {"1#2 * * * * ?", "second '1#2'" ODD SECONDS},
    {"*5 * * * * ?", "second '*5'" ODD SECONDS},
    {"JAN * * * * ?", "second 'JAN'" ODD SECONDS},
    {"18446744073709551616 * * * * ?", "second '18446744073709551616' is out of range" SECONDS},
    {"0 61 * * * ?", "minute '61' is out of range" SECONDS},
    {"0 */0 * * * ?", "minute '*/0'" STEP SECONDS},
    {"0 */60 * * * ?", "minute '*/60'" STEP SECONDS},
    {"0 5/ * * * ?", "minute '5/'" STEP SECONDS},
    {"0 / * * * ?", "minute '/'" STEP SECONDS},
    {"0 5/x * * * ?", "minute '5/x'" STEP SECONDS},
    {"0 5/-1 * * * ?", "minute '5/-1'" STEP SECONDS},
    {"0 5/2/3 * * * ?", "minute '5/2/3'" ODD SECONDS},
    {"0 5/2-9 * * * ?", "minute '5/2-9'" ODD SECONDS},
    {"0 1,,2 * * * ?", "minute '1,,2' has an empty place in its list" SECONDS},
    {"0 , * * * ?", "minute ',' has an empty place in its list" SECONDS},
    {"0 1, * * * ?", "minute '1,' has an empty place in its list" SECONDS},
    {"0 1,2,60 * * * ?", "minute '60' is out of range" SECONDS},
    {"0 0 24 * * ?", "hour '24' is out of range" HOURS},
    {"0 0 */24 * * ?", "hour '*/24'" STEP HOURS},
    {"0 0 12h * * ?", "hour '12h'" ODD HOURS},
    {"0 0 0 0 * ?", "day-of-month '0' is out of range" DAYS},
    {"0 0 0 32 * ?", "day-of-month '32' is out of range" DAYS},
    {"0 0 0 32W * ?", "day-of-month '32W' is out of range" DAYS},
    {"0 0 0 1/32 * ?", "day-of-month '1/32'" STEP DAYS},
    {"0 0 0 L-31 * ?", "day-of-month 'L-31' needs 0-30 after L-" DAYS},
    {"0 0 0 L- * ?", "day-of-month 'L-' needs 0-30 after L-" DAYS},
    {"0 0 0 L3 * ?", "day-of-month 'L3'" ODD DAYS},
    {"0 0 0 LWW * ?", "day-of-month 'LWW'" ODD DAYS},
    {"0 0 0 W * ?", "day-of-month 'W'" ODD DAYS},
    {"0 0 0 5WL * ?", "day-of-month '5WL'" ODD DAYS},
    {"0 0 0 5-10W * ?", "day-of-month '5-10W'" ODD DAYS},
    {"0 0 0 5L * ?", "day-of-month '5L'" ODD DAYS},
    {"0 0 0 1#2 * ?", "day-of-month '1#2'" ODD DAYS},
    {"0 0 0 1,? * ?", "day-of-month '?'" ODD DAYS},
    {"0 0 0 ?? * ?", "day-of-month '?\?'" ODD DAYS},
    {"0 0 0 MON * ?", "day-of-month 'MON'" ODD DAYS},
    {"0 0 0 1 0 ?", "month '0' is out of range" MONTHS},
    {"0 0 0 1 13 ?", "month '13' is out of range" MONTHS},
    {"0 0 0 1 */13 ?", "month '*/13'" STEP MONTHS},
    {"0 0 0 1 JANUARY ?", "month 'JANUARY'" ODD MONTHS},
    {"0 0 0 1 JA ?", "month 'JA'" ODD MONTHS},
    {"0 0 0 1 JAX ?", "month 'JAX'" ODD MONTHS},
    {"0 0 0 1 MON ?", "month 'MON'" ODD MONTHS},
    {"0 0 0 1 JAN- ?", "month 'JAN-' lacks a value" MONTHS},
    {"0 0 0 1 JAN-FOO ?", "month 'JAN-FOO'" ODD MONTHS},
    {"0 0 0 1 ? ?", "month '?'" ODD MONTHS},
    {"0 0 0 1 L ?", "month 'L'" ODD MONTHS},
    {"0 0 0 ? * 0", "day-of-week '0' is out of range" WEEKDAYS},
    {"0 0 0 ? * 8", "day-of-week '8' is out of range" WEEKDAYS},
    {"0 0 0 ? * 8L", "day-of-week '8L' is out of range" WEEKDAYS},
    {"0 0 0 ? * 1/8", "day-of-week '1/8'" STEP WEEKDAYS},
    {"0 0 0 ? * FRI#0", "day-of-week 'FRI#0' needs 1-5 after #" WEEKDAYS},
    {"0 0 0 ? * 6#6", "day-of-week '6#6' needs 1-5 after #" WEEKDAYS},
    {"0 0 0 ? * 6#", "day-of-week '6#' needs 1-5 after #" WEEKDAYS},
    {"0 0 0 ? * 6#x", "day-of-week '6#x' needs 1-5 after #" WEEKDAYS},
    {"0 0 0 ? * 6#2#3", "day-of-week '6#2#3'" ODD WEEKDAYS},
    {"0 0 0 ? * #2", "day-of-week '#2'" ODD WEEKDAYS},
    {"0 0 0 ? * LW", "day-of-week 'LW'" ODD WEEKDAYS},
    {"0 0 0 ? * L-3", "day-of-week 'L-3'" ODD WEEKDAYS},
    {"0 0 0 ? * 6LL", "day-of-week '6LL'" ODD WEEKDAYS},
    {"0 0 0 ? * 6W", "day-of-week '6W'" ODD WEEKDAYS},
    {"0 0 0 ? * MONDAY", "day-of-week 'MONDAY'" ODD WEEKDAYS},
    {"0 0 0 ? * MON,?", "day-of-week '?'" ODD WEEKDAYS},
    {"0 0 0 ? * JAN", "day-of-week 'JAN'" ODD WEEKDAYS},
    {"0 0 0 1 1 ? 1969", "year '1969' is out of range" YEARS},
    {"0 0 0 1 1 ? 2100", "year '2100' is out of range" YEARS},
    {"0 0 0 1 1 ? 26", "year '26' is out of range" YEARS},
    {"0 0 0 1 1 ? 2030-2026", "year '2030-2026' ends before it begins" YEARS},
    {"0 0 0 1 1 ? 2026/0", "year '2026/0'" STEP YEARS},
    {"0 0 0 1 1 ? 2026/130", "year '2026/130'" STEP YEARS},
    {"0 0 0 1 1 ? ?", "year '?'" ODD YEARS},
    {"0 0 0 15 * MON", "day-of-week 'MON' stands beside a day-of-month; allowed: one, and ? for the other"},
    {"0 0 0 L * 6#3 2026", "day-of-week '6#3' stands beside a day-of-month; allowed: one, and ? for the other"},
    {"0 0 0 1-31 * 1-7", "day-of-week '1-7' stands beside a day-of-month; allowed: one, and ? for the other"},
    // long, and not printable
    {"0 0 0 ? * 1/9999999999999999999999", "day-of-week '1/9999999999999999999999'" STEP WEEKDAYS},
    {"0 0 0 ? * 1/99999999999999999999999999999", "day-of-week '1/9999999999999999999999...'" STEP WEEKDAYS},
    {"0 0 0 ? * 1,,3,4,5,6,7,1,2,3,4,5,6,7",
     "day-of-week '1,,3,4,5,6,7,1,2,3,4,5,6...' has an empty place in its list" WEEKDAYS},
    {"\x01\x7f\xe4\n * * * * ?", "second '\?\?\?\?'" ODD SECONDS},
};

static void what_it_does_not_understand_is_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < N(REFUSED); i++) {
        struct cron c, untouched;
        memset(&c, 0x5a, sizeof c);
        memcpy(&untouched, &c, sizeof c);
        char why[CRON_WHY_SIZE];
        memset(why, 'x', sizeof why);
        if (cron_parse(str_of(REFUSED[i].text), &c, why)) fail_msg("%s is taken", REFUSED[i].text);
        assert_string_equal(why, REFUSED[i].why);
        assert_memory_equal(&c, &untouched, sizeof c);
    }
}

// What lies behind a text is none of it.
static void a_text_ends_where_it_ends(void **state)
{
    (void)state;
    static const struct {
        const char *text, *behind;
    } TEXTS[] = {{"0 0 12 ? * 2", "-6"},         {"0 0 12 ? * 2", "3"},    {"0 0 12 ? * 2", "#5"},
                 {"0 0 12 ? * 2", "L"},          {"0 0 12 ? * 2", "/2"},   {"0 0 12 1 * ? 2026", "7"},
                 {"0 0 12 1 * ? 2026", "-2027"}, {"0 0 12 1 JAN", "-FEB"}, {"0 0 12 ? * MON", "-FRI"}};
    for (size_t i = 0; i < N(TEXTS); i++) {
        char both[64], why[CRON_WHY_SIZE], why_cut[CRON_WHY_SIZE];
        struct cron whole, cut;
        (void)snprintf(both, sizeof both, "%s%s", TEXTS[i].text, TEXTS[i].behind);
        bool is_good = cron_parse(str_of(TEXTS[i].text), &whole, why);
        assert_int_equal(cron_parse((struct str){both, strlen(TEXTS[i].text)}, &cut, why_cut), is_good);
        if (is_good)
            assert_memory_equal(&cut, &whole, sizeof cut);
        else
            assert_string_equal(why_cut, why);
    }
}

// --- the slow search: what a text means is kept beside it, as flags; seconds are tried one by one, but for days and
// hours that cannot be

struct slow {
    char text[256];
    bool second[60], minute[60], hour[24], day[32], month[13], weekday[8], year[2100];
    int last, nearest, nearest_last;    // days before the last, a day, days before the last; -1: not so
    int last_weekday, nth_weekday, nth; // 0: not so
};

static uint64_t seed;

static int below(int n)
{
    seed += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = seed;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (int)((z ^ z >> 31) % (uint64_t)n);
}

static int between(int a, int b)
{
    return a + below(b - a + 1);
}

static void text_add(struct slow *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void text_add(struct slow *s, const char *format, ...)
{
    size_t n = strlen(s->text);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(s->text + n, sizeof s->text - n, format, args);
    va_end(args);
    assert_true(more >= 0 && n + (size_t)more < sizeof s->text);
}

// One element of a list, as text and as flags.
static void any_element(struct slow *s, bool *flag, int min, int max, bool wraps)
{
    int a = between(min, max), b = between(min, max), step = between(1, max < 12 ? max : 12);
    if (!wraps && b < a) b = a;
    switch (below(5)) {
    case 0: // a/n
        text_add(s, "%d/%d", a, step);
        b = max;
        break;
    case 1: // */n
        text_add(s, "*/%d", step);
        a = min;
        b = max;
        break;
    case 2: // a-b/n
        text_add(s, "%d-%d/%d", a, b, step);
        break;
    case 3:
        text_add(s, "%d-%d", a, b);
        step = 1;
        break;
    default: text_add(s, "%d", a); b = a;
    }
    for (int v = a, n = 0;; v = v == max ? min : v + 1, n++) {
        if (n % step == 0) flag[v] = true;
        if (v == b) break;
    }
}

static void any_field(struct slow *s, bool *flag, int min, int max, bool wraps)
{
    for (int n = between(1, 3); n > 0; n--) {
        any_element(s, flag, min, max, wraps);
        text_add(s, n > 1 ? "," : " ");
    }
}

static void all_of(struct slow *s, bool *flag, int min, int max, const char *text)
{
    text_add(s, "%s ", text);
    for (int v = min; v <= max; v++)
        flag[v] = true;
}

static void any_days(struct slow *s)
{
    int d = between(0, 30);
    switch (below(5)) {
    case 0: text_add(s, "L-%d ", s->last = d); break;
    case 1: text_add(s, "%dW ", s->nearest = d + 1); break;
    case 2: text_add(s, "L-%dW ", s->nearest_last = d); break;
    default: any_field(s, s->day, 1, 31, true);
    }
}

static void any_weekdays(struct slow *s)
{
    static const char *const NAME[] = {"", "Sun", "MON", "tue", "WeD", "THU", "FRI", "sat"};
    int d = between(1, 7), to = between(1, 7);
    switch (below(4)) {
    case 0: text_add(s, "%sL ", NAME[s->last_weekday = d]); break;
    case 1: text_add(s, "%d#%d ", s->nth_weekday = d, s->nth = between(1, 5)); break;
    case 2:
        text_add(s, "%s-%s ", NAME[d], NAME[to]);
        for (s->weekday[to] = true; d != to; d = d % 7 + 1)
            s->weekday[d] = true;
        break;
    default: any_field(s, s->weekday, 1, 7, true);
    }
}

static void any_schedule(struct slow *s)
{
    *s = (struct slow){.last = -1, .nearest = -1, .nearest_last = -1};
    if (below(2)) {
        text_add(s, "0 ");
        s->second[0] = true;
    } else {
        any_field(s, s->second, 0, 59, true);
    }
    any_field(s, s->minute, 0, 59, true);
    if (below(3))
        any_field(s, s->hour, 0, 23, true);
    else
        all_of(s, s->hour, 0, 23, "*");
    int which = below(5);
    if (which < 2)
        any_days(s);
    else if (which < 4)
        text_add(s, "? ");
    else
        all_of(s, s->day, 1, 31, "?");
    if (below(2))
        any_field(s, s->month, 1, 12, true);
    else
        all_of(s, s->month, 1, 12, "*");
    if (which < 2 || which == 4)
        text_add(s, "* ");
    else
        any_weekdays(s);
    if (below(4) == 0)
        any_field(s, s->year, 1970, 2099, false);
    else
        all_of(s, s->year, 1970, 2099, "");
}

// The nearest to day d of its month that is of Monday to Friday; the earlier of two.
static bool is_nearest(const struct date *month_first, int d, int day)
{
    static const int AWAY[] = {0, -1, 1, -2, 2};
    for (size_t i = 0; d >= 1 && d <= month_first->last && i < N(AWAY); i++) {
        int try = d + AWAY[i];
        if (try < 1 || try > month_first->last) continue;
        const struct date *t = month_first + (try - 1);
        if (t->weekday != 1 && t->weekday != 7) return try == day;
    }
    return false;
}

static bool slow_day(const struct slow *s, const struct date *d)
{
    if (!s->year[d->year] || !s->month[d->month]) return false;
    const struct date *first = d - (d->day - 1);
    if (s->day[d->day] || s->weekday[d->weekday]) return true;
    if (s->last >= 0 && d->day + s->last == d->last) return true;
    if (s->nearest >= 0 && is_nearest(first, s->nearest, d->day)) return true;
    if (s->nearest_last >= 0 && is_nearest(first, d->last - s->nearest_last, d->day)) return true;
    if (s->last_weekday == d->weekday && d->last - d->day < 7) return true;
    int nth = 0;
    for (int day = d->day; day >= 1; day -= 7)
        nth++;
    return s->nth_weekday == d->weekday && s->nth == nth;
}

static int64_t local_s(const struct cron_zone *z, int64_t utc_s)
{
    int64_t offset_s = z->offset_s;
    for (size_t i = 0; i < z->n_shifts && z->shifts[i].from_ms <= utc_s * 1000; i++)
        offset_s = z->shifts[i].offset_s;
    return utc_s + offset_s;
}

static bool comes_again(const struct cron_zone *z, int64_t utc_s)
{
    for (int64_t later_s = utc_s + 900; later_s <= utc_s + 7200; later_s += 900)
        if (local_s(z, later_s) == local_s(z, utc_s)) return true;
    return false;
}

// CRON_NEVER when not before until_s. In these zones an hour of UTC lies within one local hour.
static int64_t slow_next_ms(const struct slow *s, int64_t after_ms, int64_t until_s, const struct cron_zone *z)
{
    bool every_hour = true;
    for (int h = 0; h < 24; h++)
        every_hour = every_hour && s->hour[h];
    for (int64_t utc_s = after_ms / 1000 + 1; utc_s < until_s;) {
        int64_t local = local_s(z, utc_s);
        if (!s->hour[local / 3600 % 24] || !slow_day(s, &CALENDAR[local / DAY_S]))
            utc_s += 3600 - utc_s % 3600;
        else if (!s->minute[local / 60 % 60])
            utc_s += 60 - utc_s % 60;
        else if (!s->second[local % 60] || (!every_hour && comes_again(z, utc_s)))
            utc_s++;
        else
            return utc_s * 1000;
    }
    return CRON_NEVER;
}

static void check_slowly(const struct slow *s, const struct cron_zone *z, int64_t ms)
{
    int64_t until_s = ms / 1000 + 3 * 366 * DAY_S;
    struct cron c = parsed(s->text);
    for (int i = 0; i < 4; i++) {
        int64_t slow_ms = slow_next_ms(s, ms, until_s, z), got_ms = cron_next_ms(&c, ms, z);
        if (slow_ms == CRON_NEVER && got_ms >= until_s * 1000) return;
        if (slow_ms != got_ms) {
            char after[64], slow[64], got[64];
            instant_text(ms, after);
            instant_text(slow_ms, slow);
            instant_text(got_ms, got);
            fail_msg("%s, UTC%+d, after %s: %s, not %s", s->text, z->offset_s / HOUR_S, after, got, slow);
        }
        assert_true(got_ms > ms);
        ms = got_ms;
    }
}

static void a_search_second_by_second_finds_the_same(void **state)
{
    (void)state;
    seed = 1;
    for (int i = 0; i < 2000; i++) {
        static struct slow s;
        any_schedule(&s);
        const struct cron_zone *z = &ZONE[below(N(ZONE))];
        int64_t ms = instant("2023-06-01") + below(5 * 366 * 24) * (HOUR_S * INT64_C(1000)) + below(3600000);
        if (z->n_shifts > 0 && below(2)) // about when the clock is set
            ms = z->shifts[below((int)z->n_shifts - 4)].from_ms + between(-5 * HOUR_S, 3 * HOUR_S) * INT64_C(1000);
        check_slowly(&s, z, ms);
    }
}

// The instants due are one set: between two of them, whenever one asks, the answer is the second.
static void the_answer_does_not_depend_on_the_way(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {"0 0/10 * ? * ?", "0 30 1,2 * * ?", "0 0 0/2 ? * SUN", "0 17 2-3 L * ?"};
    for (size_t t = 0; t < N(TEXTS); t++) {
        struct cron c = parsed(TEXTS[t]);
        for (enum zone_id z = NEW_YORK; z <= BERLIN; z++)
            for (size_t i = 0; i < ZONE[z].n_shifts; i++) {
                int64_t from_ms = ZONE[z].shifts[i].from_ms - 6 * HOUR_S * INT64_C(1000);
                int64_t due_ms = cron_next_ms(&c, from_ms, &ZONE[z]);
                for (int64_t ms = from_ms; ms < from_ms + 12 * HOUR_S * INT64_C(1000); ms += 60000) {
                    if (ms >= due_ms) due_ms = cron_next_ms(&c, due_ms, &ZONE[z]);
                    assert_int_equal(cron_next_ms(&c, ms, &ZONE[z]), due_ms);
                }
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_answers_as_quartz_does),
        cmocka_unit_test(where_it_means_not_to_be_quartz_it_says_what),
        cmocka_unit_test(a_zone_may_be_one_offset_and_shift_by_any_amount),
        cmocka_unit_test(it_is_strictly_after_and_on_a_whole_second),
        cmocka_unit_test(any_instant_may_be_asked_about),
        cmocka_unit_test(a_text_ends_where_it_ends),
        cmocka_unit_test(what_it_does_not_understand_is_refused_by_name),
        cmocka_unit_test(a_search_second_by_second_finds_the_same),
        cmocka_unit_test(the_answer_does_not_depend_on_the_way),
    };
    return cmocka_run_group_tests_name("core-cron", tests, fill_calendar, NULL);
}
