// SPDX-License-Identifier: Apache-2.0
// Feeds strangers' bytes to the decoder of stored messages, one after the other as in a POP answer: it must read
// nothing beyond them, always get on, and unpack no more than the limit.
#include "broker/rocketmq/message.h"
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

static void look_at(const struct message *m, const char *bytes, size_t size, struct buf *room)
{
    struct str body;
    require_inside(m->topic, bytes, size);
    require_inside(m->properties, bytes, size);
    require_inside(m->body, bytes, size);
    require_inside(wire_property(m->properties, STR("PGROUP")), bytes, size);
    if (message_body(m, room, &body)) require(body.n <= MESSAGE_BODY_MAX || body.p == m->body.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf room = {0};
    struct message m;
    size_t used;
    char *bytes = malloc(size ? size : 1);
    require(bytes);
    if (size) memcpy(bytes, data, size);
    for (struct str rest = {bytes, size};;) {
        enum message_read read = message_read(rest, &m, &used);
        require(used <= rest.n);
        if (read == MESSAGE_READ) look_at(&m, bytes, size, &room);
        if (read == MESSAGE_END || used == 0) break;
        rest.p += used;
        rest.n -= used;
    }
    buf_free(&room);
    free(bytes);
    return 0;
}
