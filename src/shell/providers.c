// SPDX-License-Identifier: Apache-2.0
// How the providers are, and how hard they are asked: for operators, as JSON and as metrics.
#include "base/metric.h"
#include "channel/caller.h"
#include "shell/shell.h"
#include <stdio.h>

// Calls a second, or what stands for "no limit".
static void rate_text(const struct lane_stats *l, const char *none, char out[32])
{
    if (l->rate_per_s > 0)
        (void)snprintf(out, 32, "%.1f", l->rate_per_s);
    else
        (void)snprintf(out, 32, "%s", none);
}

static void describe(const struct lane_stats *l, struct buf *out)
{
    char rate[32];
    rate_text(l, "null", rate);
    json_key(out, l->name);
    json_open(out, '{');
    json_kz(out, "breaker", breaker_name(l->breaker));
    json_ki64(out, "in_flight", l->in_flight);
    json_ki64(out, "waiting", l->waiting);
    json_ki64(out, "retry_budget", l->retry_budget);
    json_key(out, "rate_limit");
    json_raw(out, str_of(rate));
    json_ki64(out, "held_ms", l->hold_ms);
    json_key(out, "unsent");
    json_open(out, '{');
    for (unsigned u = 0; u < N_UNSENTS; u++)
        json_ki64(out, unsent_name((enum unsent)u), (int64_t)l->unsent[u]);
    json_close(out, '}');
    json_close(out, '}');
}

void providers_describe(struct shell *s, struct buf *out)
{
    struct lane_stats lanes[CALLER_LANES_MAX];
    unsigned n = caller_lanes(s->caller, lanes);
    json_open(out, '{');
    for (unsigned i = 0; i < n; i++)
        describe(&lanes[i], out);
    json_close(out, '}');
}

static void breaker_metric(const struct lane_stats *l, struct buf *b)
{
    for (unsigned v = 0; v < N_BREAKERS; v++)
        buf_printf(b, "till_channel_breaker{channel=\"%s\",state=\"%s\"} %d\n", l->name, breaker_name((enum breaker)v),
                   l->breaker == (enum breaker)v);
}

static void unsent_metric(const struct lane_stats *l, struct buf *b)
{
    for (unsigned u = 0; u < N_UNSENTS; u++)
        buf_printf(b, "till_channel_not_sent_total{channel=\"%s\",reason=\"%s\"} %llu\n", l->name,
                   unsent_name((enum unsent)u), (unsigned long long)l->unsent[u]);
}

static void rate_metric(const struct lane_stats *l, struct buf *b)
{
    char rate[32];
    rate_text(l, "+Inf", rate);
    buf_printf(b, "till_channel_rate_limit{channel=\"%s\"} %s\n", l->name, rate);
}

enum number { NUMBER_IN_FLIGHT, NUMBER_WAITING, NUMBER_BUDGET, NUMBER_OPENED, NUMBER_SLOWED };

static uint64_t number_of(const struct lane_stats *l, enum number which)
{
    switch (which) {
    case NUMBER_IN_FLIGHT: return l->in_flight;
    case NUMBER_WAITING: return l->waiting;
    case NUMBER_BUDGET: return l->retry_budget;
    case NUMBER_OPENED: return l->opened;
    case NUMBER_SLOWED: return l->slowed;
    }
    return 0;
}

void providers_metrics(struct shell *s, struct buf *out)
{
    static const struct {
        const char *name, *type, *help;
    } numbers[] = {
        [NUMBER_IN_FLIGHT] = {"till_channel_in_flight", "gauge", "Calls being signed, on the wire or being judged."},
        [NUMBER_WAITING] = {"till_channel_waiting", "gauge", "Calls that wait for their turn."},
        [NUMBER_BUDGET] = {"till_channel_retry_budget", "gauge", "Retries that may be sent at once."},
        [NUMBER_OPENED] = {"till_channel_breaker_opened_total", "counter", "Times the breaker opened."},
        [NUMBER_SLOWED] = {"till_channel_slowed_total", "counter", "Times the provider said it is asked too often."},
    };
    struct lane_stats lanes[CALLER_LANES_MAX];
    unsigned n = caller_lanes(s->caller, lanes);
    metric_head(out, "till_channel_breaker", "gauge", "The breaker's state is the one that is 1.");
    for (unsigned i = 0; i < n; i++)
        breaker_metric(&lanes[i], out);
    metric_head(out, "till_channel_not_sent_total", "counter",
                "Calls that never left, by reason: their rows ask again.");
    for (unsigned i = 0; i < n; i++)
        unsent_metric(&lanes[i], out);
    metric_head(out, "till_channel_rate_limit", "gauge",
                "Calls a second the provider stands, as far as it complained.");
    for (unsigned i = 0; i < n; i++)
        rate_metric(&lanes[i], out);
    for (unsigned k = 0; k < sizeof numbers / sizeof numbers[0]; k++) {
        metric_head(out, numbers[k].name, numbers[k].type, numbers[k].help);
        for (unsigned i = 0; i < n; i++)
            buf_printf(out, "%s{channel=\"%s\"} %llu\n", numbers[k].name, lanes[i].name,
                       (unsigned long long)number_of(&lanes[i], (enum number)k));
    }
}
