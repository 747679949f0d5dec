// SPDX-License-Identifier: Apache-2.0
// The table of `till bench policies` as a picture: what a policy asks, beside what it notices late. Plain SVG, readable
// on light and dark pages, every bar with its figure.
#include "policies.h"
#include <inttypes.h>

#define WIDTH    860
#define TOP      92 // of the first row
#define ROW_H    52
#define BAR_H    15
#define LABEL_X  20
#define ASKED_X  150
#define ASKED_W  230
#define NOTICE_X 480
#define NOTICE_W 270
#define HEIGHT   (TOP + POLICY_ROWS * ROW_H + 62)

static const char STYLE[] =
    "<style>text{font:13px system-ui,sans-serif;fill:#24292f}.h{font-weight:600}.s{font-size:12px;fill:#57606a}"
    ".f{font-variant-numeric:tabular-nums}.q{fill:#0969da}.c{fill:#7fb4ee}.m{fill:#1a7f37}.p{fill:#87c995}"
    ".l{stroke:#d0d7de}.cut{stroke:#fff;stroke-width:3}.bg{fill:#fff}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.s{fill:#9198a1}.bg{fill:#0d1117}.l{stroke:#3d444d}"
    ".cut{stroke:#0d1117}}</style>\n";

// Whole numbers throughout: the same bytes everywhere.
static int64_t scaled(int64_t value, int64_t most, int64_t width)
{
    return most > 0 ? value * width / most : 0;
}

static void text(FILE *out, int64_t x, int64_t y, const char *class, const char *words)
{
    fprintf(out, "<text x=\"%" PRId64 "\" y=\"%" PRId64 "\" class=\"%s\">%s</text>\n", x, y, class, words);
}

// A bar with its figure. What does not fit is cut, and says so by a slit.
static void bar(FILE *out, int64_t x, int64_t y, int64_t w, int64_t width, const char *class, const char *figure)
{
    int64_t drawn = w < width ? w : width;
    fprintf(out,
            "<rect x=\"%" PRId64 "\" y=\"%" PRId64 "\" width=\"%" PRId64 "\" height=\"%d\" rx=\"2\" class=\"%s\"/>\n",
            x, y, drawn > 1 ? drawn : 1, BAR_H, class);
    if (w > width)
        fprintf(out, "<path d=\"M%" PRId64 " %" PRId64 "l6 %d\" class=\"cut\"/>\n", x + drawn - 24, y - 2, BAR_H + 4);
    text(out, x + drawn + 6, y + 12, "f", figure);
}

static int64_t hundredths(uint64_t n, uint64_t of)
{
    return of ? (int64_t)((n * 100 + of / 2) / of) : 0;
}

static void asked(FILE *out, const struct tally *a, int64_t y, int64_t most)
{
    int64_t queries = hundredths(a->queries, a->orders), checks = hundredths(a->checkbacks, a->orders);
    char figure[32];
    (void)snprintf(figure, sizeof figure, "%" PRId64 ".%02" PRId64, queries / 100, queries % 100);
    bar(out, ASKED_X, y, scaled(queries, most, ASKED_W), ASKED_W, "q", figure);
    (void)snprintf(figure, sizeof figure, "%" PRId64 ".%02" PRId64, checks / 100, checks % 100);
    bar(out, ASKED_X, y + BAR_H + 3, scaled(checks, most, ASKED_W), ASKED_W, "c", figure);
}

static void noticed(FILE *out, const struct samples *s, int64_t y, int64_t most)
{
    const int64_t ms[] = {samples_mean(s), samples_quantile(s, 990)};
    for (unsigned i = 0; i < 2; i++) {
        char figure[32];
        int64_t tenths = (ms[i] + 50) / 100;
        (void)snprintf(figure, sizeof figure, "%" PRId64 ".%" PRId64 " s", tenths / 10, tenths % 10);
        bar(out, NOTICE_X, y + i * (BAR_H + 3), scaled(ms[i], most, NOTICE_W), NOTICE_W, i ? "p" : "m", figure);
    }
}

static void legend(FILE *out, int64_t x, int64_t y, const char *class, const char *words)
{
    fprintf(out, "<rect x=\"%" PRId64 "\" y=\"%" PRId64 "\" width=\"12\" height=\"12\" rx=\"2\" class=\"%s\"/>\n", x,
            y - 10, class);
    text(out, x + 18, y, "s", words);
}

static void heading(const struct table *t, FILE *out)
{
    const struct mix *m = &t->mix;
    text(out, LABEL_X, 28, "h", "What each policy asks of the provider, and what it notices late");
    fprintf(out,
            "<text x=\"%d\" y=\"48\" class=\"s\">%" PRId64 " orders on a virtual clock: %" PRId64 " %% paid, %" PRId64
            " %% of notifications lost; asked first after %" PRId64 " s, then every %" PRId64 " s</text>\n",
            LABEL_X, m->orders, m->pay, m->lost, t->checkback.first_ms / 1000, t->checkback.interval_ms / 1000);
    text(out, ASKED_X, 78, "h", "queries per order");
    text(out, NOTICE_X, 78, "h", "from payment to paid, notification lost");
}

void table_svg(const struct table *t, FILE *out)
{
    int64_t most_asked = 1, most_ms = 1;
    for (unsigned i = 0; i < POLICY_ROWS; i++) {
        const struct row *r = &t->rows[i];
        int64_t queries = hundredths(r->all.queries, r->all.orders), p99_ms = samples_quantile(&r->all.lost_ms, 990);
        if (queries > most_asked) most_asked = queries;
        if (r->policy != POLICY_DELAY && p99_ms > most_ms) most_ms = p99_ms; // delay is another order of magnitude
    }
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"queries per "
            "order and delay in noticing a lost notification, by policy\">\n%s",
            WIDTH, HEIGHT, STYLE);
    fprintf(out, "<rect width=\"%d\" height=\"%d\" class=\"bg\"/>\n", WIDTH, HEIGHT);
    heading(t, out);
    for (unsigned i = 0; i < POLICY_ROWS; i++) {
        const struct row *r = &t->rows[i];
        int64_t y = TOP + (int64_t)i * ROW_H;
        fprintf(out, "<path d=\"M%d %" PRId64 "H%d\" class=\"l\"/>\n", LABEL_X, y, WIDTH - 20);
        text(out, LABEL_X, y + 22, "h", policy_name(r->policy));
        text(out, LABEL_X, y + 39, "s", schedule_name(r->schedule));
        asked(out, &r->all, y + 10, most_asked);
        noticed(out, &r->all.lost_ms, y + 10, most_ms);
    }
    int64_t y = TOP + POLICY_ROWS * ROW_H + 32;
    legend(out, ASKED_X, y, "q", "all queries");
    legend(out, ASKED_X + 110, y, "c", "of them check-backs");
    legend(out, NOTICE_X, y, "m", "mean");
    legend(out, NOTICE_X + 70, y, "p", "p99");
    text(out, NOTICE_X + 130, y, "s", "a slit: cut short");
    fputs("</svg>\n", out);
}
