// SPDX-License-Identifier: Apache-2.0
#include "broker/rocketmq/message.h"
#include "base/crypto.h"
#include "broker/rocketmq/wire.h"
#include <zlib.h>

#define MAGIC_V1    0xDAA320A7u
#define MAGIC_V2    0xDAA320ABu // topics longer than 127
#define MAGIC_BLANK 0xCBD43194u

enum { COMPRESSOR_OLD = 0, COMPRESSOR_ZLIB = 3 };

// Takes fields from the front; once something is missing, `short_of` stays set and zeroes come out.
struct taker {
    struct str rest;
    bool short_of;
};

static const char *take(struct taker *t, size_t n)
{
    static const char nothing[16];
    if (t->short_of || t->rest.n < n) {
        t->short_of = true;
        return nothing;
    }
    const char *p = t->rest.p;
    t->rest.p += n;
    t->rest.n -= n;
    return p;
}

static struct str take_text(struct taker *t, int64_t n)
{
    if (n < 0 || t->short_of || (uint64_t)n > t->rest.n) {
        t->short_of = true;
        return (struct str){"", 0};
    }
    return (struct str){take(t, (size_t)n), (size_t)n};
}

static int32_t take32(struct taker *t)
{
    return wire_get32(take(t, 4));
}

static int64_t take64(struct taker *t)
{
    return wire_get64(take(t, 8));
}

static void take_host(struct taker *t, bool is_ipv6)
{
    (void)take(t, is_ipv6 ? 16 : 4);
    (void)take(t, 4);
}

static bool read_fields(struct taker *t, bool is_v2, struct message *m)
{
    m->body_crc = (uint32_t)take32(t);
    m->queue_id = take32(t);
    m->flag = take32(t);
    m->queue_offset = take64(t);
    m->physical_offset = take64(t);
    m->sys_flag = take32(t);
    m->born_ms = take64(t);
    take_host(t, m->sys_flag & MESSAGE_BORN_IPV6);
    m->stored_ms = take64(t);
    take_host(t, m->sys_flag & MESSAGE_STORED_IPV6);
    m->n_reconsumed = take32(t);
    m->prepared_offset = take64(t);
    m->body = take_text(t, take32(t));
    m->topic = take_text(t, is_v2 ? wire_get16(take(t, 2)) : (unsigned char)*take(t, 1));
    m->properties = take_text(t, wire_get16(take(t, 2)));
    return !t->short_of;
}

enum message_read message_read(struct str bytes, struct message *out, size_t *used)
{
    *used = 0;
    if (bytes.n == 0) return MESSAGE_END;
    if (bytes.n < 8) return MESSAGE_BROKEN;
    int32_t total = wire_get32(bytes.p);
    uint32_t magic = (uint32_t)wire_get32(bytes.p + 4);
    if (magic == MAGIC_BLANK) return MESSAGE_END;
    if (total < 8 || (size_t)total > bytes.n) return MESSAGE_BROKEN;
    *used = (size_t)total;
    if (magic != MAGIC_V1 && magic != MAGIC_V2) return MESSAGE_BROKEN;
    struct taker t = {.rest = {bytes.p + 8, (size_t)total - 8}};
    return read_fields(&t, magic == MAGIC_V2, out) ? MESSAGE_READ : MESSAGE_BROKEN;
}

static bool unpack(struct str packed, struct buf *room)
{
    z_stream z = {0};
    if (packed.n > UINT32_MAX || inflateInit(&z) != Z_OK) return false;
    z.next_in = (Bytef *)(uintptr_t)packed.p; // zlib does not write there
    z.avail_in = (uInt)packed.n;
    int rc = Z_OK;
    while (rc == Z_OK && room->n < MESSAGE_BODY_MAX && buf_reserve(room, packed.n + 64)) {
        size_t free_n = room->cap - room->n;
        if (free_n > MESSAGE_BODY_MAX - room->n) free_n = MESSAGE_BODY_MAX - room->n;
        z.next_out = (Bytef *)room->p + room->n;
        z.avail_out = (uInt)free_n;
        rc = inflate(&z, Z_NO_FLUSH);
        room->n += free_n - z.avail_out;
    }
    inflateEnd(&z);
    return rc == Z_STREAM_END;
}

bool message_body(const struct message *m, struct buf *room, struct str *out)
{
    buf_clear(room);
    *out = m->body;
    if (!(m->sys_flag & MESSAGE_COMPRESSED)) return true;
    int compressor = (m->sys_flag & MESSAGE_COMPRESSOR) >> 8;
    if (compressor != COMPRESSOR_OLD && compressor != COMPRESSOR_ZLIB) return false;
    if (!unpack(m->body, room)) return false;
    *out = buf_view(room);
    return true;
}

bool message_batch_add(struct buf *out, int32_t flag, struct str body, struct str properties)
{
    if (properties.n > INT16_MAX || body.n > WIRE_FRAME_MAX) return false;
    char head[20] = {0}; // total, magic 0, crc 0, flag, body length
    wire_set32(head, (uint32_t)(sizeof head + body.n + 2 + properties.n));
    wire_set32(head + 12, (uint32_t)flag);
    wire_set32(head + 16, (uint32_t)body.n);
    char props[2];
    wire_set16(props, (uint32_t)properties.n);
    buf_add(out, head, sizeof head);
    buf_str(out, body);
    buf_add(out, props, sizeof props);
    buf_str(out, properties);
    return !out->failed;
}

bool message_ids_init(struct message_ids *ids)
{
    ids->counter = 0;
    return crypto_random(ids->process, sizeof ids->process);
}

void message_ids_next(struct message_ids *ids, int64_t now_ms, char out[MESSAGE_UNIQ_KEY_LEN + 1])
{
    static const char digits[] = "0123456789ABCDEF";
    unsigned char id[16];
    uint32_t n = ids->counter++;
    memcpy(id, ids->process, sizeof ids->process);
    // Java has the milliseconds of the month and a counter of 16 bits here; a longer counter cannot come round in one.
    id[10] = (unsigned char)(now_ms >> 16);
    id[11] = (unsigned char)(now_ms >> 8);
    id[12] = (unsigned char)(n >> 24);
    id[13] = (unsigned char)(n >> 16);
    id[14] = (unsigned char)(n >> 8);
    id[15] = (unsigned char)n;
    for (int i = 0; i < 16; i++) {
        out[2 * i] = digits[id[i] >> 4];
        out[2 * i + 1] = digits[id[i] & 15];
    }
    out[MESSAGE_UNIQ_KEY_LEN] = '\0';
}
