// SPDX-License-Identifier: Apache-2.0
// `till bench policies`: the four check-back policies and the two schedules over the same buyers, on a virtual clock.
//
// What runs is the product's core, engine and SQLite store, in the simulator's world with nothing broken (sim/node.h),
// against its model of Alipay: one shop after another of a few hundred orders an hour, each on a disk of its own. Only
// the buyers are a record (mix.h). So the figures are exact and the same on every machine; none of them is a time that
// was taken.
#ifndef TILL_BENCH_POLICIES_H
#define TILL_BENCH_POLICIES_H

#include "core/checkback.h"
#include "mix.h"
#include <stdio.h>

struct samples { // in ms; sorted once a row is done
    int64_t *ms;
    uint64_t n, cap;
};

// What a row found out, over all orders or over those of one window.
struct tally {
    uint64_t orders, paid, cancelled, late; // late: money came for a cancelled order
    uint64_t calls, queries, checkbacks;    // of the provider; queries among the calls, check-backs among the queries
    uint64_t messages;                      // delivered
    uint64_t bytes;                         // written by the store
    struct samples paid_ms;                 // from payment to `paid`
    struct samples lost_ms;                 // the same, of those whose notification was lost
    struct samples cancel_ms;               // from expires_at to cancelled_at
    struct samples beyond_ms; // from the first instant at which the order could be proven unpayable to cancelled_at
};

struct row {
    enum policy policy;
    enum schedule schedule;
    struct tally all, window[MIX_WINDOWS];
    uint64_t pending_bytes; // written per order and hour in which nothing happens but asking
};

#define POLICY_ROWS 5
struct table {
    struct mix mix;
    struct checkback checkback; // the shipped settings, all but the schedule
    struct row rows[POLICY_ROWS];
    const struct row *fixed, *adaptive; // the two of `reverse`
};

int64_t samples_mean(const struct samples *s); // 0 when there are none, as the others
int64_t samples_quantile(const struct samples *s, unsigned permille);

const char *schedule_name(enum schedule s);
void table_print(const struct table *t, FILE *out); // for people, a table as Markdown has it
void table_json(const struct table *t, FILE *out);  // one line
void table_svg(const struct table *t, FILE *out);

int policies_main(int argc, char **argv); // arguments after the name; exit status

#endif
