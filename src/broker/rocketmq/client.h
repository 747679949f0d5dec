// SPDX-License-Identifier: Apache-2.0
// A client of Apache RocketMQ 5 that speaks remoting straight to name servers and master brokers: messages, batches,
// timer messages, transaction ("half") messages whose handle the caller keeps, check-backs, and a POP consumer.
//
// Threads. One I/O thread per client does everything on the network and runs every callback; callbacks must not block.
// Every function may be called from any thread and inside callbacks, except rmq_free(), which may not be called in one.
//
// Answers. A call that was accepted is answered exactly once:
//   RMQ_DONE      the broker said yes. `code` keeps which yes: 0, or 10, 11, 12 (stored on the master, but flush or
//                 replica were late).
//   RMQ_REFUSED   the broker said no, or said "busy" (2, 14, 501, 1500...) to the last: nothing was done.
//                 `code` and `remark` are its words.
//   RMQ_NOT_SENT  no whole request left this process before the deadline (no route, no connection): nothing was done.
//   RMQ_UNKNOWN   it was written and no answer came, or the answer tells of an accident inside the broker. Never treat
//                 it as failed.
// Calls that the broker says it did not process, and calls that were not written yet when their connection broke, are
// sent again inside, with growing pauses, until the last quarter of their time: what is sent then would probably end
// unknown. A repeated call may overtake another of the same shard.
//
// Not accepted: the function returns false, errno says why, no callback comes. EAGAIN: too many calls or bytes are
// outstanding, or the client is stopping. EMSGSIZE: body or properties too long. EINVAL: a text is no topic, group or
// property, or a half message has a delivery time. ENOMEM.
//
// Ownership. Texts given are copied before the function returns. Texts in results, checks and deliveries are borrowed
// for the time of the callback.
//
// Transactions. A broker appends a half message anew at each check-back: its handle goes stale, and only the check
// brings the new one. Keep the newest (largest commit_log_offset) per unique key and end with that one; ending with an
// old one delivers but leaves the copy pending. The broker never removes duplicates: after an acknowledged commit,
// answer later checks of the same key with RMQ_ROLLBACK, which takes the copy away without a second delivery.
//
// Source of the rules: the Java sources of 5.5.0 and runs against that broker.
#ifndef TILL_BROKER_ROCKETMQ_CLIENT_H
#define TILL_BROKER_ROCKETMQ_CLIENT_H

#include "base/str.h"
#include <stdint.h>

struct rmq;

#define RMQ_NAME_SIZE      128 // of a broker, topic or group, with NUL
#define RMQ_GROUPS_MAX     8
#define RMQ_TOPICS_MAX     64
#define RMQ_BROKERS_MAX    64
#define RMQ_NAMESRV_MAX    8
#define RMQ_SUBSCRIBE_MAX  16
#define RMQ_UNACKED_MAX    1024
#define RMQ_IN_FLIGHT_MAX  32768
#define RMQ_PROPERTIES_MAX 32000 // bytes of tags, keys and unique key together

enum rmq_outcome { RMQ_DONE, RMQ_REFUSED, RMQ_NOT_SENT, RMQ_UNKNOWN };

// Where the newest copy of a half message lies. May be stored and used by another process later.
struct rmq_handle {
    char broker[RMQ_NAME_SIZE];
    int64_t commit_log_offset, queue_offset;
};

struct rmq_result {
    enum rmq_outcome outcome;
    int code;                 // of the broker; -1 when it said nothing
    char remark[160];         // of the broker, or our reason
    char msg_id[64];          // the unique key (sends)
    struct rmq_handle handle; // a half: where it lies. Other sends: the broker's name, and where it was stored
    int queue_id;
    int64_t queue_offset;
    struct str recall_handle; // a timer message: what rmq_recall() wants
};
typedef void rmq_done(void *ctx, uint64_t token, const struct rmq_result *result);

struct rmq_message {
    struct str topic, body;
    struct str tags, keys; // keys: separated by spaces. Both may be empty
    struct str uniq_key;   // at most 63 bytes; empty: made
    uint64_t shard;
    bool ordered;       // the same shard goes to the same queue; else queues in turn
    int64_t deliver_ms; // a timer message: not before (wall clock, granularity 1 s). 0: at once
};

// The broker asks what became of a half message (CHECK_TRANSACTION_STATE). No answer means "not known yet".
struct rmq_check {
    struct str group, topic, tags, keys, uniq_key, body;
    struct rmq_handle handle; // of the newest copy
    uint32_t n;               // how many times it was asked, 1 at first
};

// All that an acknowledgement needs. May be copied and kept while the client lives.
struct rmq_receipt {
    uint32_t subscription, slot, generation;
    char handle[256]; // POP_CK, as the broker writes it
};

struct rmq_delivery {
    struct str group, topic, tags, keys, uniq_key, body;
    uint32_t n_times; // 1 at first
    int64_t born_ms, stored_ms;
    int64_t prepared_offset; // of a committed half message: its commit_log_offset; else 0
    struct rmq_receipt receipt;
};

// How a broker asks about its half messages.
struct rmq_settings {
    const char *broker;
    int64_t check_interval_ms; // transactionCheckInterval
    int64_t check_timeout_ms;  // transactionTimeOut: the age of the first check
    int64_t check_max;         // transactionCheckMax: after so many it drops the message
};

struct rmq_options {
    struct str namesrv;                // "host:port;host:port"
    struct str transaction_group;      // for halves; checks come for this one. Empty: no halves
    struct str producer_group;         // for all other sends. Empty: none
    struct str access_key, secret_key; // both or none
    bool tls;
    bool tls_insecure;                // any certificate will do
    const char *ca_file;              // NULL: the system's
    const char *tls_name;             // the name certificates must carry; NULL: the host dialled
    const char *cert_file, *key_file; // ours; NULL: none
    struct str instance;      // distinguishes clients on one machine. Empty: made from process id and a random number
    const struct str *topics; // to be routed at start, so that every master of them knows our groups from the start
    unsigned n_topics;

    // 0 means the value behind
    unsigned in_flight;       // calls accepted and not answered: 4096
    size_t queued_bytes;      // of their texts: 64 MiB
    size_t max_body;          // 4 MiB, the broker's own limit
    int64_t call_deadline_ms; // from accepting to the answer: 3000
    int64_t heartbeat_ms;     // 30000
    int64_t route_poll_ms;    // 30000
    int64_t poll_ms;          // how long a POP waits at the broker: 15000

    void (*on_check)(void *ctx, const struct rmq_check *check); // NULL: checks are counted only
    // How a broker asks back, once it has said so; a broker whose settings we may not read is passed over. NULL: not
    // asked.
    void (*on_settings)(void *ctx, const struct rmq_settings *settings);
    void *ctx;
};

// Starts the thread. Never waits for the network: servers that are away are tried for ever. NULL with a reason when the
// options are wrong, a file cannot be read, or memory is out.
struct rmq *rmq_new(const struct rmq_options *options, char why[160]);
// Answers what is outstanding (RMQ_NOT_SENT or RMQ_UNKNOWN) and ends the thread; does not wait for the network. No
// callback runs after it. NULL is allowed.
void rmq_free(struct rmq *c);

bool rmq_send(struct rmq *c, const struct rmq_message *m, rmq_done *done, void *ctx, uint64_t token);
// All of one topic; goes to one queue, chosen by the first message. Stored or refused as a whole. No delivery times.
bool rmq_send_batch(struct rmq *c, const struct rmq_message *m, unsigned n, rmq_done *done, void *ctx, uint64_t token);
bool rmq_half(struct rmq *c, const struct rmq_message *m, rmq_done *done, void *ctx, uint64_t token);

enum rmq_answer { RMQ_COMMIT, RMQ_ROLLBACK };
struct rmq_end {
    const struct rmq_handle *handle;
    struct str topic;    // the real one, not the broker's inner one
    struct str uniq_key; // at most 63 bytes
    enum rmq_answer answer;
    bool from_check;
    bool oneway; // RMQ_DONE when written; what the broker thinks of it is never known
};
// REFUSED with code 1: no half message lies at that handle (or it is of another group, or the offsets disagree).
bool rmq_end(struct rmq *c, const struct rmq_end *end, rmq_done *done, void *ctx, uint64_t token);

// Takes back a timer message that is not due yet. Brokers allow it only with recallMessageEnable.
bool rmq_recall(struct rmq *c, struct str topic, struct str recall_handle, rmq_done *done, void *ctx, uint64_t token);

struct rmq_subscription {
    struct str topic, group;
    struct str tags; // "a || b"; empty or "*": all
    int64_t invisible_ms;
    unsigned max; // deliveries neither acknowledged nor hidden nor run out, at most RMQ_UNACKED_MAX
    void (*on_message)(void *ctx, const struct rmq_delivery *delivery);
    void *ctx;
};
// Long polls every master of the topic. A group the broker does not know begins with the oldest message.
bool rmq_subscribe(struct rmq *c, const struct rmq_subscription *s);
// `done` may be NULL in these two. Brokers say yes to an acknowledgement that came too late, too.
bool rmq_ack(struct rmq *c, const struct rmq_receipt *r, rmq_done *done, void *ctx, uint64_t token);
// Delivered again after `invisible_ms`, counted from now.
bool rmq_hide(struct rmq *c, const struct rmq_receipt *r, int64_t invisible_ms, rmq_done *done, void *ctx,
              uint64_t token);

// On every master of the cluster; DONE when all said yes, else the worst answer.
bool rmq_topic_create(struct rmq *c, struct str topic, unsigned queues, rmq_done *done, void *ctx, uint64_t token);

#define RMQ_CODES_MAX 16
struct rmq_stats {
    unsigned brokers;     // masters known
    unsigned connected;   // of them, now
    unsigned heartbeated; // of them, those that know our groups
    unsigned in_flight;   // calls accepted and not answered
    uint64_t calls;       // accepted
    uint64_t done, refused, not_sent, unknown;
    uint64_t late_answers;  // came after the call was given up
    uint64_t retries;       // sent again inside
    uint64_t busy, go_away; // answers
    uint64_t connects, connects_failed, connections_lost;
    uint64_t frames_bad; // garbage; the connection was closed
    uint64_t frames_in, frames_out, bytes_in, bytes_out;
    uint64_t checks, checks_foreign, checks_bad;
    uint64_t deliveries, deliveries_bad; // bad: not readable or packed by a method we lack; left to the broker's retry
    uint64_t acl_refusals;               // answers 16, heartbeats included
    uint64_t requests_unserved;          // of the broker
    struct rmq_code {
        int code;
        uint64_t n;
    } refusals[RMQ_CODES_MAX]; // by code; the last place counts all further codes under -1
    unsigned n_refusals;
};
void rmq_stats(struct rmq *c, struct rmq_stats *out);
// A sentence for a readiness page (NULL: not wanted). True when at least one master is connected and knows our groups.
bool rmq_state(struct rmq *c, char text[160]);

#endif
