// SPDX-License-Identifier: Apache-2.0
// Schedules: whatever is taken is due at ascending whole seconds, and a refusal is one printable line. The first byte
// chooses the instant that is asked about.
#include "core/cron.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

static void check_why(const char why[CRON_WHY_SIZE])
{
    size_t n = strnlen(why, CRON_WHY_SIZE);
    require(n > 0 && n < CRON_WHY_SIZE);
    for (size_t i = 0; i < n; i++)
        require(why[i] >= ' ' && why[i] <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    // An hour left out and one that comes twice.
    static const struct cron_shift shifts[] = {{1774746000000, 7200}, {1792890000000, 3600}};
    static const struct cron_zone zone = {3600, shifts, 2};
    struct cron c;
    char why[CRON_WHY_SIZE];
    if (size == 0) return 0;
    if (!cron_parse((struct str){(const char *)data + 1, size - 1}, &c, why)) {
        check_why(why);
        return 0;
    }
    int64_t after_ms = (int64_t)data[0] * 20000000000;
    for (unsigned i = 0; i < 3; i++) {
        int64_t next_ms = cron_next_ms(&c, after_ms, data[0] & 1 ? &zone : &CRON_UTC);
        if (next_ms == CRON_NEVER) return 0;
        require(next_ms > after_ms && next_ms % 1000 == 0);
        require(cron_next_ms(&c, next_ms - 1, data[0] & 1 ? &zone : &CRON_UTC) == next_ms);
        after_ms = next_ms;
    }
    return 0;
}
