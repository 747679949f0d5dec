// SPDX-License-Identifier: Apache-2.0
// A provider's end of the wire for tests: an HTTP server on a free loopback port that answers, badly if asked
// to. The path says how: /ok /slow (120 ms) /silent (never) /reset (RST before an answer) /slowreset (the
// same after 120 ms) /hangup (closes)
// /html (502) /cut (half of what Content-Length promises, then closes) /drip (a byte every 20 ms, for ever)
// /flood (no end, fast) /long (longer than is taken) /once (answers, then closes although it said nothing of
// it) /continue (100 first) /busy (429) /later (503 with Retry-After: 30) /garbage (200).
#ifndef TILL_TEST_CHANNEL_FAR_END_H
#define TILL_TEST_CHANNEL_FAR_END_H

#include "base/buf.h"

struct far_end;
struct far_end *far_end_open(struct str ok_body); // what /ok answers; copied
void far_end_close(struct far_end *f);
int far_end_port(const struct far_end *f);
unsigned far_end_connections(struct far_end *f); // accepted so far
unsigned far_end_requests(struct far_end *f);
unsigned far_end_most_at_once(struct far_end *f); // requests that were waiting for their answer together

#endif
