// SPDX-License-Identifier: Apache-2.0
// What each kind of call puts on the wire, and what its answer means. Keys are RocketMQ's own.
#include "broker/rocketmq/inside.h"
#include <stdio.h>

#define DEFAULT_TOPIC        "TBW102" // new topics are made in its likeness
#define DEFAULT_TOPIC_QUEUES 4

// --- Out

// SEND_MESSAGE_V2 names its fields by letters.
static void build_send(struct rmq *c, const struct call *k, struct wire_request *r)
{
    bool is_half = k->kind == CALL_HALF;
    wire_put(r, "a", str_of(is_half ? c->transaction_group : c->producer_group));
    wire_put(r, "b", call_text(k, TEXT_TOPIC));
    wire_put(r, "c", STR(DEFAULT_TOPIC));
    wire_put_i64(r, "d", DEFAULT_TOPIC_QUEUES);
    wire_put_i64(r, "e", k->queue_id);
    wire_put(r, "f", is_half ? STR("4") : STR("0"));
    wire_put_i64(r, "g", rmq_wall_ms());
    wire_put(r, "h", STR("0"));
    wire_put(r, "i", call_text(k, TEXT_PROPERTIES));
    wire_put(r, "j", STR("0"));
    wire_put(r, "k", STR("false"));
    wire_put(r, "m", k->kind == CALL_BATCH ? STR("true") : STR("false"));
    wire_put(r, "n", str_of(k->broker->name));
    r->body = call_text(k, TEXT_BODY);
}

static void build_end(struct rmq *c, const struct call *k, struct wire_request *r)
{
    struct str topic = call_text(k, TEXT_TOPIC), key = call_text(k, TEXT_KEY);
    if (topic.n) wire_put(r, "topic", topic);
    wire_put(r, "producerGroup", str_of(c->transaction_group));
    wire_put_i64(r, "tranStateTableOffset", k->queue_offset);
    wire_put_i64(r, "commitLogOffset", k->commit_log_offset);
    wire_put_i64(r, "commitOrRollback", k->number);
    wire_put(r, "fromTransactionCheck", k->from_check ? STR("true") : STR("false"));
    wire_put(r, "msgId", key.n ? key : STR("-")); // must not be empty, and is a label only
    if (key.n) wire_put(r, "transactionId", key);
    wire_put(r, "bname", str_of(k->broker->name));
}

// The receipt handle's parts: startOffset popTime invisibleTime reviveQid retryFlag brokerName queueId offset.
static struct str handle_part(const struct rmq_receipt *receipt, unsigned i)
{
    struct str rest = str_of(receipt->handle);
    for (;;) {
        const char *space = memchr(rest.p, ' ', rest.n);
        struct str part = {rest.p, space ? (size_t)(space - rest.p) : rest.n};
        if (i-- == 0) return part;
        if (!space) return (struct str){"", 0};
        rest.n -= part.n + 1;
        rest.p += part.n + 1;
    }
}

static void build_receipt(const struct call *k, struct wire_request *r)
{
    wire_put(r, "consumerGroup", call_text(k, TEXT_KEY));
    wire_put(r, "topic", call_text(k, TEXT_PROPERTIES)); // the retry topic where it came from there
    wire_put(r, "queueId", handle_part(&k->receipt, 6));
    wire_put(r, "offset", handle_part(&k->receipt, 7));
    wire_put(r, "extraInfo", str_of(k->receipt.handle));
    if (k->kind == CALL_HIDE) wire_put_i64(r, "invisibleTime", k->number);
    wire_put(r, "bname", str_of(k->broker->name));
}

static void build_pop(struct rmq *c, const struct call *k, struct wire_request *r)
{
    const struct subscription *s = k->pop->s;
    wire_put(r, "consumerGroup", str_of(s->group));
    wire_put(r, "topic", str_of(s->topic));
    wire_put_i64(r, "queueId", -1);
    wire_put_i64(r, "maxMsgNums", k->pop->asked);
    wire_put_i64(r, "invisibleTime", s->invisible_ms);
    wire_put_i64(r, "pollTime", c->o.poll_ms);
    wire_put(r, "bornTime", STR("0")); // the broker's clock, not ours
    wire_put(r, "initMode", STR("0"));
    wire_put(r, "expType", STR("TAG"));
    wire_put(r, "exp", str_of(s->tags));
    wire_put(r, "order", STR("false"));
    wire_put(r, "bname", str_of(k->broker->name));
}

static void build_topic(const struct call *k, struct wire_request *r)
{
    wire_put(r, "topic", call_text(k, TEXT_TOPIC));
    wire_put(r, "defaultTopic", STR(DEFAULT_TOPIC));
    wire_put_i64(r, "readQueueNums", k->number);
    wire_put_i64(r, "writeQueueNums", k->number);
    wire_put(r, "perm", STR("6"));
    wire_put(r, "topicFilterType", STR("SINGLE_TAG"));
    wire_put(r, "topicSysFlag", STR("0"));
    wire_put(r, "order", STR("false"));
}

static void build_recall(struct rmq *c, const struct call *k, struct wire_request *r)
{
    wire_put(r, "producerGroup", str_of(c->producer_group));
    wire_put(r, "topic", call_text(k, TEXT_TOPIC));
    wire_put(r, "recallHandle", call_text(k, TEXT_PROPERTIES));
    wire_put(r, "bname", str_of(k->broker->name));
}

void request_build(struct rmq *c, struct call *k, struct wire_request *r)
{
    int32_t opaque = call_opaque(k);
    switch (k->kind) {
    case CALL_SEND:
    case CALL_HALF:
        wire_request_init(r, WIRE_SEND_V2, WIRE_BINARY, opaque);
        build_send(c, k, r);
        return;
    case CALL_BATCH:
        wire_request_init(r, WIRE_SEND_BATCH, WIRE_BINARY, opaque);
        build_send(c, k, r);
        return;
    case CALL_END:
        wire_request_init(r, WIRE_END_TRANSACTION, WIRE_BINARY, opaque);
        build_end(c, k, r);
        return;
    case CALL_RECALL:
        wire_request_init(r, WIRE_RECALL, WIRE_BINARY, opaque);
        build_recall(c, k, r);
        return;
    case CALL_ACK:
        wire_request_init(r, WIRE_ACK, WIRE_JSON, opaque);
        build_receipt(k, r);
        return;
    case CALL_HIDE:
        wire_request_init(r, WIRE_CHANGE_INVISIBLE, WIRE_JSON, opaque);
        build_receipt(k, r);
        return;
    case CALL_TOPIC:
    case CALL_TOPIC_PART:
        wire_request_init(r, WIRE_CREATE_TOPIC, WIRE_JSON, opaque);
        build_topic(k, r);
        return;
    case CALL_CLUSTER: wire_request_init(r, WIRE_GET_CLUSTER, WIRE_JSON, opaque); return;
    case CALL_ROUTE:
        wire_request_init(r, WIRE_GET_ROUTE, WIRE_JSON, opaque);
        wire_put(r, "topic", k->is_fallback ? STR(DEFAULT_TOPIC) : str_of(k->topic->name));
        wire_put(r, "acceptStandardJsonOnly", STR("true"));
        return;
    case CALL_HEARTBEAT:
        wire_request_init(r, WIRE_HEARTBEAT, WIRE_JSON, opaque);
        r->body = buf_view(&c->heartbeat);
        return;
    case CALL_POP:
        wire_request_init(r, WIRE_POP, WIRE_JSON, opaque);
        build_pop(c, k, r);
        return;
    }
}

// --- In

static bool contains(struct str text, struct str word)
{
    for (size_t i = 0; i + word.n <= text.n; i++)
        if (memcmp(text.p + i, word.p, word.n) == 0) return true;
    return false;
}

// "System error" is mostly a clear no (the half is not there, a switch is off). But an exception, or a store that does
// not know itself, leaves open how far it came.
static bool is_accident(const struct wire_frame *f)
{
    if (f->code != WIRE_SYSTEM_ERROR) return false;
    return f->remark.n == 0 || contains(f->remark, STR("UNKNOWN_ERROR")) || contains(f->remark, STR("Exception")) ||
           contains(f->remark, STR("return null"));
}

static enum rmq_outcome judge(const struct call *k, const struct wire_frame *f)
{
    bool is_send = k->kind == CALL_SEND || k->kind == CALL_HALF || k->kind == CALL_BATCH;
    if (f->code == WIRE_OK) return RMQ_DONE;
    if (is_send && (f->code == WIRE_FLUSH_DISK_TIMEOUT || f->code == WIRE_SLAVE_NOT_AVAILABLE ||
                    f->code == WIRE_FLUSH_SLAVE_TIMEOUT))
        return RMQ_DONE;
    return is_accident(f) ? RMQ_UNKNOWN : RMQ_REFUSED;
}

// The offset is the last 16 digits of the message's id; a batch has several ids, and its first one counts.
static bool offset_of(struct str msg_id, int64_t *out)
{
    const char *comma = msg_id.n ? memchr(msg_id.p, ',', msg_id.n) : NULL;
    if (comma) msg_id.n = (size_t)(comma - msg_id.p);
    if (msg_id.n < 32) return false;
    return wire_hex_i64((struct str){msg_id.p + msg_id.n - 16, 16}, out);
}

static bool read_stored(const struct call *k, const struct wire_frame *f, struct rmq_result *r)
{
    int64_t queue_id;
    bool ok = offset_of(wire_field_of(f, "msgId"), &r->handle.commit_log_offset) &&
              wire_field_i64(f, "queueOffset", &r->handle.queue_offset);
    memcpy(r->handle.broker, k->broker->name, sizeof r->handle.broker);
    r->queue_offset = ok ? r->handle.queue_offset : -1;
    r->queue_id = wire_field_i64(f, "queueId", &queue_id) ? (int)queue_id : k->queue_id;
    r->recall_handle = wire_field_of(f, "recallHandle");
    return ok;
}

void request_answered(struct rmq *c, struct call *k, const struct wire_frame *f)
{
    struct rmq_result r = {.outcome = judge(k, f), .code = f->code, .queue_id = -1, .queue_offset = -1};
    bool is_send = k->kind == CALL_SEND || k->kind == CALL_HALF || k->kind == CALL_BATCH;
    memcpy(r.remark, f->remark.p, f->remark.n < sizeof r.remark ? f->remark.n : sizeof r.remark - 1);
    // Stored, but we are not told where: nobody could end such a half.
    if (is_send && r.outcome == RMQ_DONE && !read_stored(k, f, &r) && k->kind == CALL_HALF) {
        r.outcome = RMQ_UNKNOWN;
        (void)snprintf(r.remark, sizeof r.remark, "stored, but the answer has no offsets");
    }
    call_end(c, k, &r);
}
