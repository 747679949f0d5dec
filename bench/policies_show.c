// SPDX-License-Identifier: Apache-2.0
// The table of `till bench policies`: for people, for programs, and drawn.
#include "policies.h"
#include <inttypes.h>

const char *schedule_name(enum schedule s)
{
    return s == SCHEDULE_ADAPTIVE ? "adaptive" : "fixed";
}

static double per(uint64_t n, uint64_t of)
{
    return of ? (double)n / (double)of : 0;
}

static double seconds(int64_t ms)
{
    return (double)ms / 1000;
}

// What nobody counted is no nought.
static void print_messages(const struct tally *a, FILE *out, const char *none)
{
    if (a->messages)
        fprintf(out, "%.2f", per(a->messages, a->orders));
    else
        fputs(none, out);
}

// --- For people

static void row_print(const struct row *r, FILE *out)
{
    const struct tally *a = &r->all;
    fprintf(out, "| %-8s | %-8s | %6.2f / %6.1f | %6.1f / %6.1f / %6.1f | %5.1f / %5.1f | %5.2f | %6.2f | %6.2f | ",
            policy_name(r->policy), schedule_name(r->schedule), seconds(samples_mean(&a->paid_ms)),
            seconds(samples_quantile(&a->paid_ms, 990)), seconds(samples_mean(&a->lost_ms)),
            seconds(samples_quantile(&a->lost_ms, 990)), seconds(samples_quantile(&a->lost_ms, 1000)),
            seconds(samples_mean(&a->cancel_ms)), seconds(samples_quantile(&a->cancel_ms, 990)),
            seconds(samples_quantile(&a->beyond_ms, 990)), per(a->queries, a->orders), per(a->checkbacks, a->orders));
    print_messages(a, out, "–");
    fprintf(out, " | %6.1f | %7.1f |\n", per(a->bytes, a->orders) / 1024, (double)r->pending_bytes / 1024);
}

static void window_print(const struct table *t, unsigned k, int64_t pay_within_ms, FILE *out)
{
    const struct tally *f = &t->fixed->window[k], *a = &t->adaptive->window[k];
    fprintf(out, "| %5.1f min | %6.2f / %6.2f | %.3f | %5.1f / %5.1f | %5.1f / %5.1f | %5.1f / %5.1f |\n",
            (double)pay_within_ms / 60000, per(f->queries, f->orders), per(a->queries, a->orders),
            per(a->queries, f->queries), seconds(samples_mean(&f->lost_ms)), seconds(samples_mean(&a->lost_ms)),
            seconds(samples_quantile(&f->lost_ms, 990)), seconds(samples_quantile(&a->lost_ms, 990)),
            seconds(samples_quantile(&f->lost_ms, 1000)), seconds(samples_quantile(&a->lost_ms, 1000)));
}

void table_print(const struct table *t, FILE *out)
{
    const struct mix *m = &t->mix;
    fprintf(out,
            "%" PRId64 " orders, seed %" PRIu64 ": %" PRId64 " %% pay, %" PRId64 " %% of notifications lost, %" PRId64
            " %% repeated, %" PRId64 " %% pay at the end\n\n",
            m->orders, m->seed, m->pay, m->lost, m->duplicates, m->late);
    fprintf(out, "| policy   | schedule | payment to paid, mean / p99 s | lost notification, mean / p99 / max s | "
                 "cancelled after the window, mean / p99 s | p99 beyond the proof, s | queries per order | of them "
                 "check-backs | messages per order | KiB written per order | KiB written per pending order and hour |\n"
                 "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for (unsigned i = 0; i < POLICY_ROWS; i++)
        row_print(&t->rows[i], out);
    fprintf(out,
            "\nreverse, fixed / adaptive:\n\n| window | queries per order | ratio | lost notification, mean s | p99 "
            "s | max s |\n| --- | --- | --- | --- | --- | --- |\n");
    struct mix_window windows[MIX_WINDOWS];
    unsigned n = mix_windows(m, windows);
    for (unsigned k = 0; k < n; k++)
        window_print(t, k, windows[k].pay_within_ms, out);
    fprintf(out, "\nadaptive asks %.3f of what fixed asks\n", per(t->adaptive->all.queries, t->fixed->all.queries));
}

// --- For programs

static void times_json(const char *name, const struct samples *s, FILE *out)
{
    fprintf(out,
            "\"%s\":{\"n\":%" PRIu64 ",\"mean_ms\":%" PRId64 ",\"p50_ms\":%" PRId64 ",\"p99_ms\":%" PRId64
            ",\"max_ms\":%" PRId64 "}",
            name, s->n, samples_mean(s), samples_quantile(s, 500), samples_quantile(s, 990), samples_quantile(s, 1000));
}

static void tally_json(const struct tally *a, FILE *out)
{
    fprintf(out,
            "\"orders\":%" PRIu64 ",\"paid\":%" PRIu64 ",\"cancelled\":%" PRIu64 ",\"late\":%" PRIu64
            ",\"calls_per_order\":%.4f,\"queries_per_order\":%.4f,\"checkbacks_per_order\":%.4f,\"queries\":%" PRIu64
            ",\"checkbacks\":%" PRIu64 ",\"messages_per_order\":",
            a->orders, a->paid, a->cancelled, a->late, per(a->calls, a->orders), per(a->queries, a->orders),
            per(a->checkbacks, a->orders), a->queries, a->checkbacks);
    print_messages(a, out, "null");
    fprintf(out, ",\"bytes_per_order\":%.0f,", per(a->bytes, a->orders));
    times_json("to_paid", &a->paid_ms, out);
    fputs(",", out);
    times_json("lost", &a->lost_ms, out);
    fputs(",", out);
    times_json("cancel_late", &a->cancel_ms, out);
    fputs(",", out);
    times_json("cancel_beyond_proof", &a->beyond_ms, out);
}

static void row_json(const struct table *t, const struct row *r, FILE *out)
{
    struct mix_window windows[MIX_WINDOWS];
    unsigned n = mix_windows(&t->mix, windows);
    fprintf(out, "{\"policy\":\"%s\",\"schedule\":\"%s\",", policy_name(r->policy), schedule_name(r->schedule));
    tally_json(&r->all, out);
    fprintf(out, ",\"bytes_per_pending_order_hour\":%" PRIu64 ",\"windows\":[", r->pending_bytes);
    for (unsigned k = 0; k < n; k++) {
        fprintf(out, "%s{\"pay_within_ms\":%" PRId64 ",", k ? "," : "", windows[k].pay_within_ms);
        tally_json(&r->window[k], out);
        fputs("}", out);
    }
    fputs("]}", out);
}

void table_json(const struct table *t, FILE *out)
{
    const struct mix *m = &t->mix;
    const struct tally *f = &t->fixed->all, *a = &t->adaptive->all;
    fprintf(out,
            "{\"bench\":\"policies\",\"orders\":%" PRId64 ",\"seed\":%" PRIu64 ",\"pay\":%" PRId64 ",\"lost\":%" PRId64
            ",\"duplicates\":%" PRId64 ",\"late\":%" PRId64 ",\"window_ms\":%" PRId64 ",\"first_ms\":%" PRId64
            ",\"interval_ms\":%" PRId64 ",\"rows\":[",
            m->orders, m->seed, m->pay, m->lost, m->duplicates, m->late, m->window_ms, t->checkback.first_ms,
            t->checkback.interval_ms);
    for (unsigned i = 0; i < POLICY_ROWS; i++) {
        if (i) fputs(",", out);
        row_json(t, &t->rows[i], out);
    }
    fprintf(out,
            "],\"adaptive_to_fixed\":{\"queries\":%.4f,\"checkbacks\":%.4f,\"lost_mean\":%.4f,\"lost_p99\":%.4f}}\n",
            per(a->queries, f->queries), per(a->checkbacks, f->checkbacks),
            per((uint64_t)samples_mean(&a->lost_ms), (uint64_t)samples_mean(&f->lost_ms)),
            per((uint64_t)samples_quantile(&a->lost_ms, 990), (uint64_t)samples_quantile(&f->lost_ms, 990)));
}
