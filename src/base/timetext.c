// SPDX-License-Identifier: Apache-2.0
#include "base/timetext.h"
#include <stdio.h>

#define BEIJING_OFFSET_MS (8 * 3600 * INT64_C(1000))
#define DAY_MS            (86400 * INT64_C(1000))

// What four digits of year can say; instants outside are written as the nearest one inside.
#define TEXT_MIN_MS INT64_C(-62167219200000) // 0000-01-01T00:00:00.000Z
#define TEXT_MAX_MS INT64_C(253402300799999) // 9999-12-31T23:59:59.999Z

struct civil {
    int year, month, day, hour, minute, second, ms;
};

// Proleptic Gregorian calendar; years are counted from March so that the leap day is the last of its year.
static void civil_from_ms(int64_t ms, struct civil *c)
{
    int64_t days = ms / DAY_MS, rest = ms % DAY_MS;
    if (rest < 0) {
        rest += DAY_MS;
        days--;
    }
    int64_t z = days + 719468; // days from 0000-03-01
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    c->day = (int)(doy - (153 * mp + 2) / 5 + 1);
    c->month = (int)(mp < 10 ? mp + 3 : mp - 9);
    c->year = (int)(yoe + era * 400 + (c->month <= 2));
    c->hour = (int)(rest / 3600000);
    c->minute = (int)(rest / 60000 % 60);
    c->second = (int)(rest / 1000 % 60);
    c->ms = (int)(rest % 1000);
}

static int64_t ms_from_civil(const struct civil *c)
{
    int64_t y = c->year - (c->month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t mp = c->month > 2 ? c->month - 3 : c->month + 9;
    int64_t doy = (153 * mp + 2) / 5 + c->day - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    int64_t days = era * 146097 + doe - 719468;
    return days * DAY_MS + c->hour * INT64_C(3600000) + c->minute * INT64_C(60000) + c->second * INT64_C(1000) + c->ms;
}

static bool civil_is_valid(const struct civil *c)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (c->month < 1 || c->month > 12 || c->hour > 23 || c->minute > 59 || c->second > 59) return false;
    bool leap = (c->year % 4 == 0 && c->year % 100 != 0) || c->year % 400 == 0;
    int last = days[c->month - 1] + (c->month == 2 && leap);
    return c->day >= 1 && c->day <= last;
}

static bool digits(struct str *s, size_t n, int *out)
{
    if (s->n < n) return false;
    int v = 0;
    for (size_t i = 0; i < n; i++) {
        if (s->p[i] < '0' || s->p[i] > '9') return false;
        v = v * 10 + (s->p[i] - '0');
    }
    s->p += n;
    s->n -= n;
    *out = v;
    return true;
}

static bool expect(struct str *s, char c)
{
    if (s->n == 0 || s->p[0] != c) return false;
    s->p++;
    s->n--;
    return true;
}

static bool date_and_time(struct str *s, char between, struct civil *c)
{
    *c = (struct civil){0};
    return digits(s, 4, &c->year) && expect(s, '-') && digits(s, 2, &c->month) && expect(s, '-') &&
           digits(s, 2, &c->day) && expect(s, between) && digits(s, 2, &c->hour) && expect(s, ':') &&
           digits(s, 2, &c->minute) && expect(s, ':') && digits(s, 2, &c->second) && civil_is_valid(c);
}

static int64_t clamp_to_text(int64_t ms)
{
    return ms < TEXT_MIN_MS ? TEXT_MIN_MS : ms > TEXT_MAX_MS ? TEXT_MAX_MS : ms;
}

// A number that is known to have few digits, in a way the compiler knows it too.
#define N(value, below) ((unsigned)(value) % (below))

void time_to_rfc3339(int64_t ms, char out[TIME_TEXT_SIZE])
{
    struct civil c;
    civil_from_ms(clamp_to_text(ms), &c);
    (void)snprintf(out, TIME_TEXT_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", N(c.year, 10000), N(c.month, 100),
                   N(c.day, 100), N(c.hour, 100), N(c.minute, 100), N(c.second, 100), N(c.ms, 1000));
}

void time_to_beijing(int64_t ms, char out[TIME_TEXT_SIZE])
{
    struct civil c;
    civil_from_ms(clamp_to_text(clamp_to_text(ms) + BEIJING_OFFSET_MS), &c);
    (void)snprintf(out, TIME_TEXT_SIZE, "%04u-%02u-%02u %02u:%02u:%02u", N(c.year, 10000), N(c.month, 100),
                   N(c.day, 100), N(c.hour, 100), N(c.minute, 100), N(c.second, 100));
}

void time_to_http(int64_t ms, char out[TIME_TEXT_SIZE])
{
    static const char *const days[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"}; // 1970 began on a Thursday
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct civil c;
    ms = ms < 0 ? 0 : clamp_to_text(ms);
    civil_from_ms(ms, &c);
    (void)snprintf(out, TIME_TEXT_SIZE, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[ms / DAY_MS % 7], N(c.day, 100),
                   months[c.month - 1], N(c.year, 10000), N(c.hour, 100), N(c.minute, 100), N(c.second, 100));
}

bool time_from_beijing(struct str s, int64_t *ms)
{
    struct civil c;
    if (!date_and_time(&s, ' ', &c) || s.n != 0) return false;
    *ms = ms_from_civil(&c) - BEIJING_OFFSET_MS;
    return true;
}

bool day_from_beijing(struct str s, int64_t *ms)
{
    char whole[TIME_TEXT_SIZE];
    if (s.n != DAY_TEXT_SIZE - 1) return false;
    memcpy(whole, s.p, s.n);
    memcpy(whole + s.n, " 00:00:00", 10);
    return time_from_beijing(str_of(whole), ms);
}

void day_to_beijing(int64_t ms, char out[DAY_TEXT_SIZE])
{
    char whole[TIME_TEXT_SIZE];
    time_to_beijing(ms, whole);
    memcpy(out, whole, DAY_TEXT_SIZE - 1);
    out[DAY_TEXT_SIZE - 1] = 0;
}

int64_t day_of_beijing(int64_t ms)
{
    char day[DAY_TEXT_SIZE];
    int64_t begins_ms = 0;
    day_to_beijing(ms, day);
    return day_from_beijing(str_of(day), &begins_ms) ? begins_ms : ms;
}

bool time_from_rfc3339(struct str s, int64_t *ms)
{
    struct civil c;
    if (!date_and_time(&s, 'T', &c)) return false;
    if (expect(&s, '.')) {
        int scale = 100, n = 0;
        for (; s.n > 0 && s.p[0] >= '0' && s.p[0] <= '9'; s.p++, s.n--, n++) {
            c.ms += (s.p[0] - '0') * scale;
            scale /= 10;
        }
        if (n == 0) return false;
    }
    int64_t offset_ms = 0;
    if (!expect(&s, 'Z')) {
        int hours, minutes;
        int sign = expect(&s, '+') ? 1 : expect(&s, '-') ? -1 : 0;
        if (sign == 0 || !digits(&s, 2, &hours) || !expect(&s, ':') || !digits(&s, 2, &minutes)) return false;
        if (hours > 23 || minutes > 59) return false;
        offset_ms = sign * (hours * INT64_C(3600000) + minutes * INT64_C(60000));
    }
    if (s.n != 0) return false;
    *ms = ms_from_civil(&c) - offset_ms;
    return true;
}

static const struct {
    const char *unit;
    int64_t ms;
} UNITS[] = {{"d", DAY_MS}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

bool duration_parse(struct str s, int64_t *ms)
{
    int64_t v = 0;
    size_t i = 0;
    for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) {
        if (v > INT64_MAX / 10 - 1) return false;
        v = v * 10 + (s.p[i] - '0');
    }
    if (i == 0) return false;
    struct str unit = {s.p + i, s.n - i};
    for (size_t u = 0; u < sizeof UNITS / sizeof UNITS[0]; u++) {
        if (!str_eq(unit, str_of(UNITS[u].unit))) continue;
        if (v > INT64_MAX / UNITS[u].ms) return false;
        *ms = v * UNITS[u].ms;
        return true;
    }
    return false;
}

void duration_text(int64_t ms, char out[TIME_TEXT_SIZE])
{
    size_t u = 0;
    while (UNITS[u].ms > 1 && (ms % UNITS[u].ms != 0 || ms == 0))
        u++;
    if (ms == 0) u = 3; // "0s" reads better than "0ms"
    (void)snprintf(out, TIME_TEXT_SIZE, "%lld%s", (long long)(ms / UNITS[u].ms), UNITS[u].unit);
}
