// SPDX-License-Identifier: Apache-2.0
// A message as a RocketMQ broker stores it and hands it out (bodies of POP answers and of check-backs), the form of a
// batch, and the ids of messages. Source: MessageDecoder, MessageClientIDSetter (Apache RocketMQ 5.5).
#ifndef TILL_BROKER_ROCKETMQ_MESSAGE_H
#define TILL_BROKER_ROCKETMQ_MESSAGE_H

#include "base/buf.h"

#define MESSAGE_BODY_MAX     (32 * 1024 * 1024) // of an unpacked body
#define MESSAGE_UNIQ_KEY_LEN 32

enum message_flag {
    MESSAGE_COMPRESSED = 0x1,
    MESSAGE_PREPARED = 0x4, // the transaction bits: half
    MESSAGE_BORN_IPV6 = 0x10,
    MESSAGE_STORED_IPV6 = 0x20,
    MESSAGE_COMPRESSOR = 0x700, // 0 zlib (old), 1 LZ4, 2 ZSTD, 3 zlib
};

struct message {
    struct str topic, properties, body; // borrowed from the bytes that were read; the body perhaps packed
    uint32_t body_crc;
    int32_t queue_id, flag, sys_flag, n_reconsumed;
    int64_t queue_offset, physical_offset, born_ms, stored_ms, prepared_offset;
};

enum message_read {
    MESSAGE_READ,   // *used bytes were one message
    MESSAGE_END,    // nothing more: no bytes, or the blank that fills a file's end
    MESSAGE_BROKEN, // what is there is no message; *used is what to step over, 0 when even that is not known
};

// The first message of `bytes`.
enum message_read message_read(struct str bytes, struct message *out, size_t *used);

// The body as the sender meant it: `m->body` itself when it is not packed, else unpacked into `room` (cleared first).
// False when it is packed by something other than zlib, is broken, or is longer than MESSAGE_BODY_MAX.
bool message_body(const struct message *m, struct buf *room, struct str *out);

// Appends one message of a batch (SEND_BATCH_MESSAGE). False: the properties are too long (32767).
bool message_batch_add(struct buf *out, int32_t flag, struct str body, struct str properties);

// Unique keys in Java's form: 32 hexadecimal digits in capitals. Unlike there the process is told apart by random bytes
// and not by its address, so that nothing has to be asked. One owner, or a lock around it.
struct message_ids {
    unsigned char process[10];
    uint32_t counter;
};
bool message_ids_init(struct message_ids *ids);
void message_ids_next(struct message_ids *ids, int64_t now_ms, char out[MESSAGE_UNIQ_KEY_LEN + 1]);

#endif
