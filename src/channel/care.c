// SPDX-License-Identifier: Apache-2.0
#include "channel/care.h"
#include <string.h>

#define TOKEN_MIL        INT64_C(1000)
#define BUDGET_MIL       (CARE_BUDGET * TOKEN_MIL)
#define FIRST_LEAVES_MIL (TOKEN_MIL / 5)
#define WORD_BRINGS_MIL  (2 * TOKEN_MIL)
#define RATE_LEAST_MIL   TOKEN_MIL         // one call a second always goes
#define RATE_FREE_MIL    (500 * TOKEN_MIL) // nobody is held to that: no limit any more
#define CUT_PAUSE_MS     1000              // one "slower" and all that were under way with it are one
#define COUNT_MOST_MS    (3600 * INT64_C(1000))

const char *breaker_name(enum breaker v)
{
#define X_TEXT(constant, text) [constant] = text,
    static const char *const names[] = {BREAKERS(X_TEXT)};
#undef X_TEXT
    return names[v];
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

void care_init(struct care *c)
{
    *c = (struct care){.budget_mil = BUDGET_MIL};
}

// A tenth of a second's worth may leave together, and one call in any case.
static int64_t burst_mil(const struct care *c)
{
    return most(TOKEN_MIL, c->rate_mil / 10);
}

// What time brought: a thousandth of a token in each millisecond, and so much more rate.
static void count(struct care *c, int64_t now_ms)
{
    int64_t passed_ms = least(now_ms - c->counted_ms, COUNT_MOST_MS);
    if (passed_ms <= 0) return;
    c->counted_ms = now_ms;
    c->budget_mil = least(BUDGET_MIL, c->budget_mil + passed_ms);
    if (c->rate_mil == 0) return;
    c->tokens_mil = least(burst_mil(c), c->tokens_mil + passed_ms * c->rate_mil / 1000);
    c->rate_mil += passed_ms;
    if (c->rate_mil >= RATE_FREE_MIL) c->rate_mil = 0;
}

// --- Before it leaves

static bool breaker_lets_go(const struct care *c, int64_t now_ms)
{
    switch (c->breaker) {
    case BREAKER_CLOSED: return true;
    case BREAKER_OPEN: return now_ms >= c->open_until_ms;
    case BREAKER_HALF_OPEN: return c->probes < CARE_PROBES;
    }
    return true;
}

int64_t care_wait_ms(const struct care *c, int64_t now_ms)
{
    int64_t lacking_mil = c->rate_mil ? most(0, TOKEN_MIL - c->tokens_mil) : 0;
    int64_t token_ms = lacking_mil ? (lacking_mil * 1000 + c->rate_mil - 1) / c->rate_mil : 0;
    return most(token_ms, most(0, c->hold_until_ms - now_ms));
}

enum care_verdict care_ask(struct care *c, int64_t now_ms, bool is_retry)
{
    count(c, now_ms);
    if (!breaker_lets_go(c, now_ms)) return CARE_BREAKER_OPEN;
    if (is_retry && c->budget_mil < TOKEN_MIL) return CARE_OVER_BUDGET;
    return care_wait_ms(c, now_ms) > 0 ? CARE_WAIT : CARE_GO;
}

static void second_count(struct care *c, int64_t now_ms)
{
    int64_t passed_ms = now_ms - c->second_ms;
    if (passed_ms >= 1000) {
        c->n_last = passed_ms < 2000 ? c->n_second : 0;
        c->n_second = 0;
        c->second_ms = passed_ms < 2000 ? c->second_ms + 1000 : now_ms;
    }
    c->n_second++;
}

void care_sent(struct care *c, int64_t now_ms, bool is_retry)
{
    count(c, now_ms);
    second_count(c, now_ms);
    c->budget_mil = is_retry ? c->budget_mil - TOKEN_MIL : least(BUDGET_MIL, c->budget_mil + FIRST_LEAVES_MIL);
    if (c->rate_mil) c->tokens_mil -= TOKEN_MIL;
    if (c->breaker == BREAKER_OPEN) {
        c->breaker = BREAKER_HALF_OPEN;
        c->half_open_ms = now_ms;
        c->probes = 0;
    }
    if (c->breaker == BREAKER_HALF_OPEN) c->probes++;
}

// --- After it came back

static void breaker_open(struct care *c, int64_t now_ms)
{
    c->breaker = BREAKER_OPEN;
    c->open_ms = c->open_ms ? least(2 * c->open_ms, CARE_OPEN_MOST_MS) : CARE_OPEN_LEAST_MS;
    c->open_until_ms = now_ms + c->open_ms;
    c->n_opened++;
}

static void word_came(struct care *c, int64_t now_ms)
{
    c->breaker = BREAKER_CLOSED;
    c->failures = 0;
    c->open_ms = 0;
    c->word_ms = now_ms;
}

// What left before the last word says nothing of now: the word is the younger news.
static void failure_came(struct care *c, int64_t now_ms, int64_t sent_ms, bool is_probe)
{
    if (sent_ms < c->word_ms) return;
    c->failures++;
    bool opens = c->breaker == BREAKER_CLOSED ? c->failures >= CARE_RUN : is_probe;
    if (opens) breaker_open(c, now_ms);
}

static void slow_down(struct care *c, int64_t now_ms)
{
    if (c->n_slowed > 0 && now_ms - c->cut_ms < CUT_PAUSE_MS) return;
    int64_t seen_mil = most(c->n_second, c->n_last) * TOKEN_MIL;
    int64_t base_mil = c->rate_mil ? least(c->rate_mil, most(seen_mil, TOKEN_MIL)) : seen_mil;
    c->rate_mil = most(RATE_LEAST_MIL, base_mil / 2);
    c->tokens_mil = 0;
    c->cut_ms = now_ms;
    c->n_slowed++;
}

void care_ended(struct care *c, int64_t now_ms, int64_t sent_ms, bool is_retry, enum care_end end, int64_t hold_ms)
{
    count(c, now_ms);
    bool is_probe = c->breaker == BREAKER_HALF_OPEN && sent_ms >= c->half_open_ms;
    if (is_probe) c->probes--;
    int64_t back_mil = 0;
    if (end == CARE_SLOWED) slow_down(c, now_ms);
    switch (end) {
    case CARE_UNSENT: back_mil = TOKEN_MIL; break;
    case CARE_UNCLEAR: break;
    case CARE_SLOWED:
    case CARE_WORD:
        back_mil = WORD_BRINGS_MIL;
        word_came(c, now_ms);
        break;
    case CARE_FAILED: failure_came(c, now_ms, sent_ms, is_probe); break;
    }
    if (is_retry) c->budget_mil = least(BUDGET_MIL, c->budget_mil + back_mil);
    if (hold_ms > 0) c->hold_until_ms = most(c->hold_until_ms, now_ms + least(hold_ms, CARE_HOLD_MOST_MS));
}

// --- For people

unsigned care_budget_left(const struct care *c, int64_t now_ms)
{
    struct care at = *c;
    count(&at, now_ms);
    return (unsigned)(at.budget_mil / TOKEN_MIL);
}

double care_rate(const struct care *c, int64_t now_ms)
{
    struct care at = *c;
    count(&at, now_ms);
    return (double)at.rate_mil / (double)TOKEN_MIL;
}

// --- Turns

unsigned turns_next(struct turns *t, const bool waits[TURN_CLASSES])
{
    static const struct turns whole = {{8, 4, 2, 1}};
    for (unsigned i = 0; i < TURN_CLASSES; i++)
        if (waits[i] && t->left[i] > 0) return i;
    *t = whole;
    for (unsigned i = 0; i < TURN_CLASSES; i++)
        if (waits[i]) return i;
    return TURN_CLASSES;
}

void turns_took(struct turns *t, unsigned class)
{
    t->left[class]--;
}
