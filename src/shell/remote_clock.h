// SPDX-License-Identifier: Apache-2.0
// The test clock of a sandbox in another process, named by a gateway address: `till serve --test-clock` moves it along.
#ifndef TILL_SHELL_REMOTE_CLOCK_H
#define TILL_SHELL_REMOTE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct remote_clock;

// Of the server that serves `gateway` ("http://127.0.0.1:8081/gateway.do" or, of WeChat Pay, "http://127.0.0.1:8081").
// NULL when that is not plain http on a loopback address, or nobody there has a test clock: then there is none to move.
// One thread may use it. A call that is under way ends at once when *stops becomes true.
struct remote_clock *remote_clock_open(const char *gateway, const _Atomic bool *stops);
void remote_clock_free(struct remote_clock *r); // NULL allowed

struct remote_time {
    int64_t now_ms;
    int64_t next_due_ms; // INT64_MAX: nothing
    bool is_idle;
};
// Both wait for `wait_ms` at the most.
bool remote_clock_read(struct remote_clock *r, int64_t wait_ms, struct remote_time *out);
bool remote_clock_advance(struct remote_clock *r, int64_t wait_ms, int64_t by_ms); // false: not heard, or not settled

#endif
