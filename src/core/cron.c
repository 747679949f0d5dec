// SPDX-License-Identifier: Apache-2.0
#include "core/cron.h"
#include "core/instant.h"
#include <assert.h>

#define FIRST_YEAR  1970
#define LAST_YEAR   2099
#define DAY_S       86400
#define END_DAY     47482 // 2100-01-01, in days since 1970
#define NONE        (-1)
#define EVERY_HOUR  0xffffffu
#define EVERY_DAY   0xfffffffeu
#define MOST_FIELDS 7

const struct cron_zone CRON_UTC = {0};

// --- what a text means

enum field_id { SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, YEAR };

static const char MONTHS[] = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC";
static const char WEEKDAYS[] = "SUNMONTUEWEDTHUFRISAT";

static const struct field {
    const char *name;
    int min, max, max_step;
    const char *words; // of three letters each, for min and on; NULL: none
    const char *allowed;
} FIELD[] = {
    [SECOND] = {"second", 0, 59, 59, NULL, "0-59 with , - * /"},
    [MINUTE] = {"minute", 0, 59, 59, NULL, "0-59 with , - * /"},
    [HOUR] = {"hour", 0, 23, 23, NULL, "0-23 with , - * /"},
    [DAY] = {"day-of-month", 1, 31, 31, NULL, "1-31 with , - * /, or ?, L, L-n, dW, LW"},
    [MONTH] = {"month", 1, 12, 12, MONTHS, "1-12 or JAN-DEC with , - * /"},
    [WEEKDAY] = {"day-of-week", 1, 7, 7, WEEKDAYS, "1-7 (1 is SUN) or SUN-SAT with , - * /, or ?, L, dL, d#k"},
    [YEAR] = {"year", FIRST_YEAR, LAST_YEAR, LAST_YEAR - FIRST_YEAR, NULL, "1970-2099 with , - * /"},
};

static const char NOT_UNDERSTOOD[] = "is not understood";

// One element of a field's list while it is read. The readers below return NULL or what is wrong with it.
struct element {
    enum field_id id;
    struct str rest;
    struct cron *c;
};

struct line {
    char *p;
    size_t n;
};

static void line_put(struct line *l, struct str s)
{
    assert(l->n + s.n < CRON_WHY_SIZE);
    for (size_t i = 0; i < s.n; i++)
        l->p[l->n++] = s.p[i] >= ' ' && s.p[i] <= '~' ? s.p[i] : '?';
    l->p[l->n] = '\0';
}

static bool refuse(char why[CRON_WHY_SIZE], const char *name, struct str value, const char *reason, const char *allowed)
{
    static const size_t SHOWN = 24;
    struct line l = {why, 0};
    line_put(&l, str_of(name));
    line_put(&l, STR(" '"));
    line_put(&l, value.n > SHOWN ? (struct str){value.p, SHOWN} : value);
    line_put(&l, value.n > SHOWN ? STR("...' ") : STR("' "));
    line_put(&l, str_of(reason));
    line_put(&l, STR("; allowed: "));
    line_put(&l, str_of(allowed));
    return false;
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool next_is(const struct element *e, char c)
{
    return e->rest.n > 0 && upper(e->rest.p[0]) == c;
}

static void skip(struct element *e, size_t n)
{
    e->rest.p += n;
    e->rest.n -= n;
}

static bool take(struct element *e, char c)
{
    if (!next_is(e, c)) return false;
    skip(e, 1);
    return true;
}

static const char *read_number(struct element *e, int min, int max, int *out, const char *otherwise)
{
    int v = 0;
    size_t n = 0;
    for (; n < e->rest.n && is_digit(e->rest.p[n]); n++)
        v = v > max ? v : v * 10 + (e->rest.p[n] - '0'); // stays small however many digits
    if (n == 0 || v < min || v > max) return otherwise;
    skip(e, n);
    *out = v;
    return NULL;
}

static bool is_word(struct str s, const char *word)
{
    return s.n >= 3 && upper(s.p[0]) == word[0] && upper(s.p[1]) == word[1] && upper(s.p[2]) == word[2];
}

static const char *read_value(struct element *e, int *out)
{
    const struct field *f = &FIELD[e->id];
    if (e->rest.n == 0) return "lacks a value";
    if (is_digit(e->rest.p[0])) return read_number(e, f->min, f->max, out, "is out of range");
    for (int v = f->min; f->words && v <= f->max; v++) {
        if (!is_word(e->rest, f->words + 3 * (v - f->min))) continue;
        skip(e, 3);
        *out = v;
        return NULL;
    }
    return NOT_UNDERSTOOD;
}

static void set_add(struct element *e, int v)
{
    switch (e->id) {
    case SECOND: e->c->seconds |= UINT64_C(1) << v; break;
    case MINUTE: e->c->minutes |= UINT64_C(1) << v; break;
    case HOUR: e->c->hours |= UINT32_C(1) << v; break;
    case DAY: e->c->days |= UINT32_C(1) << v; break;
    case MONTH: e->c->months |= UINT32_C(1) << v; break;
    case WEEKDAY: e->c->weekdays |= UINT32_C(1) << v; break;
    case YEAR:
    default: e->c->years[(v - FIRST_YEAR) / 64] |= UINT64_C(1) << (v - FIRST_YEAR) % 64; break;
    }
}

static void set_add_range(struct element *e, int from, int to, int step)
{
    const struct field *f = &FIELD[e->id];
    int count = f->max - f->min + 1;
    if (to < from) to += count;
    for (int v = from; v <= to; v += step)
        set_add(e, v > f->max ? v - count : v);
}

// a, a-b, *, each with a step or without, and a step alone.
static const char *read_range(struct element *e, int from, bool has_from)
{
    const struct field *f = &FIELD[e->id];
    int to = has_from ? from : f->max, step = 1;
    const char *wrong = NULL;
    if (has_from && take(e, '-')) {
        if ((wrong = read_value(e, &to)) != NULL) return wrong;
        if (e->id == YEAR && to < from) return "ends before it begins";
    } else if (next_is(e, '/')) {
        to = f->max;
    }
    if (take(e, '/') && (wrong = read_number(e, 1, f->max_step, &step, "has no step of 1 or more within the field")))
        return wrong;
    if (e->rest.n > 0) return NOT_UNDERSTOOD;
    set_add_range(e, from, to, step);
    return NULL;
}

// An element that is complete stands for v, in one of the sets of days.
static const char *read_end(struct element *e, uint32_t *set, int v)
{
    if (e->rest.n > 0) return NOT_UNDERSTOOD;
    *set |= UINT32_C(1) << v;
    return NULL;
}

// L, L-n, LW, L-nW; the L is read.
static const char *read_last_day(struct element *e)
{
    int before = 0;
    const char *wrong = take(e, '-') ? read_number(e, 0, 30, &before, "needs 0-30 after L-") : NULL;
    if (wrong) return wrong;
    return read_end(e, take(e, 'W') ? &e->c->nearest_lasts : &e->c->lasts, before);
}

static const char *read_nth(struct element *e, int weekday)
{
    int k = 0;
    const char *wrong = read_number(e, 1, 5, &k, "needs 1-5 after #");
    return wrong ? wrong : read_end(e, &e->c->nth_weekdays[k - 1], weekday);
}

static const char *read_element(struct element *e)
{
    int v = 0;
    if (e->rest.n == 0) return "has an empty place in its list";
    if (take(e, '*') || next_is(e, '/')) return read_range(e, FIELD[e->id].min, false);
    if (e->id == DAY && take(e, 'L')) return read_last_day(e);
    if (e->id == WEEKDAY && take(e, 'L')) return read_end(e, &e->c->weekdays, 7);
    const char *wrong = read_value(e, &v);
    if (wrong) return wrong;
    if (e->id == DAY && take(e, 'W')) return read_end(e, &e->c->nearest, v);
    if (e->id == WEEKDAY && take(e, 'L')) return read_end(e, &e->c->last_weekdays, v);
    if (e->id == WEEKDAY && take(e, '#')) return read_nth(e, v);
    return read_range(e, v, true);
}

static bool read_field(enum field_id id, struct str value, struct cron *c, char why[CRON_WHY_SIZE])
{
    for (size_t from = 0, n; from <= value.n; from += n + 1) {
        for (n = 0; from + n < value.n && value.p[from + n] != ',';)
            n++;
        struct str text = {value.p + from, n};
        struct element e = {id, text, c};
        const char *wrong = read_element(&e);
        if (wrong) return refuse(why, FIELD[id].name, n > 0 ? text : value, wrong, FIELD[id].allowed);
    }
    return true;
}

// How many there are; of those, the first MOST_FIELDS.
static size_t split(struct str text, struct str value[MOST_FIELDS])
{
    size_t count = 0;
    bool within = false;
    for (size_t i = 0; i < text.n; i++) {
        bool blank = text.p[i] == ' ' || text.p[i] == '\t';
        if (!blank && !within) count++;
        within = !blank;
        if (blank || count > MOST_FIELDS) continue;
        struct str *v = &value[count - 1];
        if (v->n++ == 0) v->p = text.p + i;
    }
    return count;
}

static bool says_any(struct str value)
{
    return str_eq(value, STR("*")) || str_eq(value, STR("?"));
}

// One of the two says which days, the other nothing; when neither does, it is every day.
static bool read_days(struct str day, struct str weekday, struct cron *c, char why[CRON_WHY_SIZE])
{
    bool any_day = says_any(day), any_weekday = says_any(weekday);
    if (!any_day && !read_field(DAY, day, c, why)) return false;
    if (!any_weekday && !read_field(WEEKDAY, weekday, c, why)) return false;
    if (!any_day && !any_weekday)
        return refuse(why, FIELD[WEEKDAY].name, weekday, "stands beside a day-of-month", "one, and ? for the other");
    if (any_day && any_weekday) c->days = EVERY_DAY;
    return true;
}

bool cron_parse(struct str text, struct cron *out, char why[CRON_WHY_SIZE])
{
    struct str value[MOST_FIELDS] = {{0}};
    struct cron c = {0};
    size_t n = split(text, value);
    if (n < YEAR || n > MOST_FIELDS)
        return refuse(why, "schedule", text, "has not 6 or 7 fields",
                      "second minute hour day-of-month month day-of-week [year]");
    if (n == YEAR) value[YEAR] = STR("*");
    for (enum field_id id = SECOND; id <= YEAR; id++)
        if (id != DAY && id != WEEKDAY && !read_field(id, value[id], &c, why)) return false;
    if (!read_days(value[DAY], value[WEEKDAY], &c, why)) return false;
    *out = c;
    return true;
}

// --- when it is due: local time, in days or seconds since 1970

struct month {
    int year, number, n_days;
    int64_t first_day;
};

static bool has(uint64_t set, int i)
{
    return set >> i & 1;
}

static int first_of(uint64_t set, int from)
{
    for (int i = from; i < 64; i++)
        if (has(set, i)) return i;
    return NONE;
}

static int days_in(int year, int month)
{
    static const int DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return DAYS[month - 1] + (month == 2 && year % 4 == 0); // within 1970-2099, 2000 is one too
}

static void month_step(struct month *m)
{
    m->first_day += m->n_days;
    m->year += m->number == 12;
    m->number = m->number % 12 + 1;
    m->n_days = days_in(m->year, m->number);
}

static int weekday_of(const struct month *m, int day)
{
    return (int)((m->first_day + day + 3) % 7) + 1; // 1970 began on a Thursday
}

static int nearest_weekday(const struct month *m, int day)
{
    switch (weekday_of(m, day)) {
    case 1: return day == m->n_days ? day - 2 : day + 1;
    case 7: return day == 1 ? day + 2 : day - 1;
    default: return day;
    }
}

static bool is_due(const struct cron *c, const struct month *m, int day)
{
    int weekday = weekday_of(m, day);
    return has(c->days, day) || has(c->lasts, m->n_days - day) || has(c->weekdays, weekday) ||
           (has(c->last_weekdays, weekday) && day + 7 > m->n_days) || has(c->nth_weekdays[(day - 1) / 7], weekday);
}

static uint32_t due_days(const struct cron *c, const struct month *m)
{
    uint32_t due = 0;
    for (int day = 1; day <= m->n_days; day++) {
        if (is_due(c, m, day)) due |= UINT32_C(1) << day;
        if (has(c->nearest, day) || has(c->nearest_lasts, m->n_days - day))
            due |= UINT32_C(1) << nearest_weekday(m, day);
    }
    return due;
}

// The first day due, from `from` on, in a month that begins before `end`.
static int64_t day_next(const struct cron *c, int64_t from, int64_t end)
{
    struct month m = {FIRST_YEAR, 1, 31, 0};
    for (; m.first_day < end; month_step(&m)) {
        int64_t passed = from - m.first_day;
        int year = m.year - FIRST_YEAR;
        if (passed >= m.n_days || !has(c->months, m.number) || !has(c->years[year / 64], year % 64)) continue;
        int day = first_of(due_days(c, &m), passed > 0 ? (int)passed + 1 : 1);
        if (day != NONE) return m.first_day + day - 1;
    }
    return NONE;
}

// The first time of day due, from `from` on; NONE when that is not today.
static int time_next(const struct cron *c, int from)
{
    int hour = from / 3600, minute = from / 60 % 60;
    if (has(c->hours, hour)) {
        int second = has(c->minutes, minute) ? first_of(c->seconds, from % 60) : NONE;
        if (second != NONE) return from - from % 60 + second;
        minute = first_of(c->minutes, minute + 1);
        if (minute != NONE) return hour * 3600 + minute * 60 + first_of(c->seconds, 0);
    }
    hour = first_of(c->hours, hour + 1);
    return hour == NONE ? NONE : hour * 3600 + first_of(c->minutes, 0) * 60 + first_of(c->seconds, 0);
}

// The first local time due in [from, end), NONE without.
static int64_t local_next(const struct cron *c, int64_t from, int64_t end)
{
    if (from >= end) return NONE;
    int64_t today = from / DAY_S, end_day = (end - 1) / DAY_S + 1;
    int64_t day = day_next(c, today, end_day);
    int time = time_next(c, day == today ? (int)(from % DAY_S) : 0);
    if (time == NONE) { // not today any more
        day = day_next(c, today + 1, end_day);
        time = time_next(c, 0);
    }
    int64_t due = day * DAY_S + time;
    return day != NONE && due < end ? due : NONE;
}

// --- local time and UTC

static int64_t seconds_of(int64_t ms)
{
    return ms / 1000 - (ms % 1000 < 0);
}

// The local times [from, end) of the stretch before the i-th shift, those left out that come again after it and are due
// only then.
struct stretch {
    int64_t offset_s, from, end;
};

static struct stretch stretch_of(const struct cron_zone *zone, size_t i, bool due_twice)
{
    struct stretch s = {zone->offset_s, 0, (int64_t)END_DAY * DAY_S};
    if (i > 0) {
        s.offset_s = zone->shifts[i - 1].offset_s;
        s.from = later(s.from, seconds_of(zone->shifts[i - 1].from_ms) + s.offset_s);
    }
    if (i < zone->n_shifts) {
        int64_t next_s = zone->shifts[i].offset_s;
        int64_t last_s = due_twice ? s.offset_s : earlier(s.offset_s, next_s);
        s.end = earlier(s.end, seconds_of(zone->shifts[i].from_ms) + last_s);
    }
    return s;
}

int64_t cron_next_ms(const struct cron *c, int64_t after_ms, const struct cron_zone *zone)
{
    int64_t from_s = seconds_of(after_ms) + 1;
    for (size_t i = 0; i <= zone->n_shifts; i++) {
        struct stretch s = stretch_of(zone, i, c->hours == EVERY_HOUR);
        int64_t due = local_next(c, later(from_s + s.offset_s, s.from), s.end);
        if (due != NONE) return (due - s.offset_s) * 1000;
    }
    return CRON_NEVER;
}
