// SPDX-License-Identifier: Apache-2.0
#include "mix.h"
#include "random.h"

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)

// Log-normal with a spread of 0.8, as points between which lies a straight line: the same everywhere, to the bit.
struct point {
    int64_t permille, ms;
};
static const struct point SCAN[] = {{0, 1500},    {10, 3100},    {50, 5400},    {100, 7200},
                                    {250, 11700}, {500, 20000},  {750, 34300},  {900, 55800},
                                    {950, 74600}, {990, 128600}, {999, 237000}, {1000, 420000}};
static const struct point PAY[] = {{0, 600},     {10, 1240},   {50, 2150},   {100, 2870},
                                   {250, 4660},  {500, 8000},  {750, 13700}, {900, 22300},
                                   {950, 29800}, {990, 51500}, {999, 94800}, {1000, 180000}};

static int64_t draw(struct stream *s, const struct point *points)
{
    int64_t at = random_between(s, 0, 999999); // millionths
    unsigned i = 1;
    while (points[i].permille * 1000 <= at)
        i++;
    const struct point *a = &points[i - 1], *b = &points[i];
    return a->ms + (b->ms - a->ms) * (at - a->permille * 1000) / ((b->permille - a->permille) * 1000);
}

static bool percent(struct stream *s, int64_t share)
{
    return random_between(s, 0, 99) < share;
}

unsigned mix_windows(const struct mix *m, struct mix_window out[MIX_WINDOWS])
{
    if (m->window_ms) {
        out[0] = (struct mix_window){m->window_ms, m->orders};
        return 1;
    }
    int64_t middle = m->orders * 3 / 10, longest = m->orders / 5;
    out[0] = (struct mix_window){5 * MINUTE_MS, m->orders - middle - longest};
    out[1] = (struct mix_window){15 * MINUTE_MS, middle};
    out[2] = (struct mix_window){30 * MINUTE_MS, longest};
    return 3;
}

// Everything is drawn whether it is used or not: another share of one thing leaves the others as they were.
struct buyer mix_buyer(const struct mix *m, unsigned window, uint64_t i)
{
    struct stream s = stream_of(random_mix(m->seed) + i, 100 + window);
    struct buyer b = {.arrives_ms = random_between(&s, 0, HOUR_MS - 1)};
    int64_t scans_ms = draw(&s, SCAN), takes_ms = draw(&s, PAY),
            late_by_ms = random_between(&s, -10 * SECOND_MS, 5 * SECOND_MS);
    bool pays = percent(&s, m->pay), late = percent(&s, m->late), lost = percent(&s, m->lost);
    bool twice = percent(&s, m->duplicates), looks = random_below(&s, 3) == 0;
    b.repeats_ms = random_between(&s, SECOND_MS, MINUTE_MS);
    b.is_lost = lost;
    b.is_repeated = twice && !lost;
    b.is_late = pays && late;
    b.scans_ms = !b.is_late && (pays || looks) ? scans_ms : MIX_NEVER;
    b.pays_ms = b.is_late ? late_by_ms : pays ? scans_ms + takes_ms : MIX_NEVER;
    return b;
}
