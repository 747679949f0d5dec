// SPDX-License-Identifier: Apache-2.0
// Instants as text. Inside Till an instant is milliseconds since 1970 UTC (int64_t, names end in _ms).
// Beijing wall time (UTC+8, no summer time since 1991) exists only at the providers' edges.
#ifndef TILL_BASE_TIMETEXT_H
#define TILL_BASE_TIMETEXT_H

#include "base/str.h"
#include <stdint.h>

#define TIME_TEXT_SIZE 32

void time_to_rfc3339(int64_t ms, char out[TIME_TEXT_SIZE]); // 2026-11-23T02:05:00.123Z
bool time_from_rfc3339(struct str s, int64_t *ms);          // any offset, fraction optional
void time_to_beijing(int64_t ms, char out[TIME_TEXT_SIZE]); // 2026-11-23 10:05:00
bool time_from_beijing(struct str s, int64_t *ms);
bool day_from_beijing(struct str s, int64_t *ms); // 2026-11-23: the instant that day begins
#define DAY_TEXT_SIZE 11
void day_to_beijing(int64_t ms, char out[DAY_TEXT_SIZE]); // the day an instant is in
int64_t day_of_beijing(int64_t ms);                       // and when it began
void time_to_http(int64_t ms, char out[TIME_TEXT_SIZE]);  // Mon, 23 Nov 2026 02:05:00 GMT (RFC 9110)

// "90s", "5m", "2h", "15d", "500ms": the durations of configuration. False when malformed, negative or
// overflowing.
bool duration_parse(struct str s, int64_t *ms);
void duration_text(int64_t ms, char out[TIME_TEXT_SIZE]); // shortest exact form

#endif
