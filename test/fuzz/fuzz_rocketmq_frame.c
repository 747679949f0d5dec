// SPDX-License-Identifier: Apache-2.0
// Feeds strangers' bytes to the frame decoder, in both forms of the header: it must read nothing beyond them, and all
// it finds must lie inside them. The lengths in front are put right, so that the header is reached.
#include "broker/rocketmq/wire.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

static void require_inside(struct str s, const char *p, size_t n)
{
    require(s.n <= n && (s.n == 0 || (s.p >= p && s.p + s.n <= p + n)));
}

// A block of exactly that size, so that reading ahead is seen by the address sanitizer.
static void parse(const uint8_t *data, size_t size, bool mend)
{
    struct wire_frame f;
    int64_t v;
    char *bytes = malloc(size ? size : 1);
    require(bytes);
    if (size) memcpy(bytes, data, size);
    if (mend && size >= 8) {
        uint32_t header = (uint32_t)wire_get32(bytes + 4) & 0xffffff;
        if (header > size - 8) header = (uint32_t)size - 8;
        wire_set32(bytes, (uint32_t)size - 4);
        wire_set32(bytes + 4, (uint32_t)(bytes[4] & 1) << 24 | header);
    }
    require(wire_frame_len(bytes, size) >= -1);
    if (wire_parse(bytes, size, &f)) {
        require(f.n_fields <= WIRE_FIELDS_MAX);
        require_inside(f.remark, bytes, size);
        require_inside(f.body, bytes, size);
        for (unsigned i = 0; i < f.n_fields; i++) {
            require_inside(f.fields[i].key, bytes, size);
            require_inside(f.fields[i].value, bytes, size);
            (void)wire_i64(f.fields[i].value, &v);
            (void)wire_hex_i64(f.fields[i].value, &v);
            require_inside(wire_property(f.fields[i].value, STR("TAGS")), bytes, size);
        }
    }
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse(data, size, false);
    parse(data, size, true);
    return 0;
}
