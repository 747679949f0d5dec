// SPDX-License-Identifier: Apache-2.0
// What the files of the RocketMQ client share. Everything belongs to the I/O thread, except what stands under "lock".
//
// A call's way:  handed over -> parked (no route, no connection, or a pause after "busy") <-> on a connection -> ended.
#ifndef TILL_BROKER_ROCKETMQ_INSIDE_H
#define TILL_BROKER_ROCKETMQ_INSIDE_H

#include "broker/rocketmq/client.h"
#include "broker/rocketmq/conn.h"
#include "broker/rocketmq/message.h"
#include "broker/rocketmq/wire.h"
#include <pthread.h>
#include <stdatomic.h>

#define CALL_INTERNAL_MAX 512  // calls of our own, beyond the caller's limit
#define CALL_DATA_KEPT    2048 // bytes of text a call at rest keeps
#define UNIQ_KEY_MAX      63
#define PARK_SCAN_MS      50
#define OUR_CALL_MS       10000 // deadline of route requests and heartbeats

enum call_kind {
    // callers'
    CALL_SEND,
    CALL_BATCH,
    CALL_HALF,
    CALL_END,
    CALL_RECALL,
    CALL_ACK,
    CALL_HIDE,
    CALL_TOPIC, // waits for the cluster's members, then for its parts
    // our own
    CALL_TOPIC_PART,
    CALL_CLUSTER,
    CALL_ROUTE,
    CALL_HEARTBEAT,
    CALL_CONFIG,
    CALL_POP,
};

// Only the I/O thread changes it; FREE is also what callers have in hand and what is in the inbox.
enum call_stage { CALL_FREE, CALL_PARKED, CALL_WAITING /* for its parts */, CALL_ON_CONN };

enum call_text { TEXT_TOPIC, TEXT_KEY, TEXT_PROPERTIES, TEXT_BODY, TEXT_BROKER, N_TEXTS };

struct call {
    uint32_t index, generation; // together the opaque number
    enum call_kind kind;
    enum call_stage stage;
    bool ordered, oneway, from_check, is_fallback;
    rmq_done *done;
    void *ctx;
    uint64_t token;

    // what to say
    struct {
        uint32_t at, n;
    } text[N_TEXTS]; // in `data`
    struct buf data;
    size_t room; // what it counts as among the outstanding bytes
    uint64_t shard;
    int64_t deliver_ms, commit_log_offset, queue_offset, number; // number: transaction verdict, time, queues
    struct rmq_receipt receipt;

    // how far it is
    int64_t due_ms, retry_at_ms;
    unsigned n_attempts;
    int last_code; // -1: nobody answered
    char last_remark[96];
    struct broker *broker; // chosen
    int queue_id;
    struct conn *conn;
    uint64_t end_at; // its last byte in the connection's stream
    struct call *parent;
    unsigned n_parts;
    struct topic *topic;
    struct pop *pop;
    TAILQ_ENTRY(call) link, by_due;
};

struct broker {
    char name[RMQ_NAME_SIZE];
    struct peer peer;
    bool heartbeat_out, heartbeated, config_asked;
    int64_t heartbeat_ms;
};

struct queue {
    struct broker *broker;
    int id;
};

struct topic {
    char name[RMQ_NAME_SIZE];
    bool known, is_fallback, asking;
    struct queue *write;
    unsigned n_write, next;
    struct broker *readers[RMQ_BROKERS_MAX];
    unsigned n_readers;
    unsigned n_failures;
    int64_t poll_ms;
    char why[96];
};

struct slot {
    uint32_t generation;
    bool used;
    int64_t until_ms;
};

struct pop { // one subscription at one broker
    struct subscription *s;
    struct broker *broker;
    unsigned asked; // messages a request that is out may bring
    bool is_out;
    int64_t again_ms;
};

struct subscription {
    char topic[RMQ_NAME_SIZE], group[RMQ_NAME_SIZE], tags[256];
    int64_t invisible_ms;
    unsigned max, n_used, n_asked, next_slot;
    uint32_t index;
    struct slot *slots;
    struct pop pops[RMQ_BROKERS_MAX];
    unsigned n_pops;
    int64_t sweep_ms;
    void (*on_message)(void *ctx, const struct rmq_delivery *delivery);
    void *ctx;
};

// Calls with the same time to live stand in one queue, in order of their deadlines.
enum due_class { DUE_CALLS, DUE_OURS, DUE_POPS, N_DUE };

struct rmq {
    // fixed
    struct rmq_options o;
    char transaction_group[RMQ_NAME_SIZE], producer_group[RMQ_NAME_SIZE], client_id[256];
    char tls_name[256];
    struct acl *acl;
    SSL_CTX *tls;
    int epoll_fd, wake_fd;
    pthread_t thread;
    bool has_thread;

    // I/O thread
    int64_t now_ms; // monotonic, of this round
    struct conns conns, dirty, dead;
    struct calls parked, by_due[N_DUE];
    bool unpark;
    int64_t unpark_ms, tick_ms;
    struct peer namesrv[RMQ_NAMESRV_MAX];
    unsigned n_namesrv, at_namesrv;
    struct broker *brokers[RMQ_BROKERS_MAX];
    unsigned n_brokers;
    struct topic topics[RMQ_TOPICS_MAX];
    unsigned n_topics;
    uint64_t random;
    struct rmq_stats stats; // written by bump(), so that other threads may read
    bool state_changed;
    struct buf body_room, heartbeat;
    struct calls freed; // given back to `pool` once a round
    size_t freed_bytes;
    unsigned freed_calls;
    unsigned n_internal, n_calls_seen; // of `n_calls`

    // lock
    pthread_mutex_t lock;
    struct calls pool, inbox;
    struct call **calls; // by index; room for all from the start
    unsigned n_calls;
    unsigned outstanding;
    size_t outstanding_bytes;
    bool woken, stopping;
    struct message_ids ids;
    struct subscription *subs[RMQ_SUBSCRIBE_MAX]; // never taken away while the client lives
    unsigned n_subs, n_subs_seen;
    uint64_t n_accepted;
    struct rmq_stats known_now; // the brokers' part
    char state_text[160];
    bool state_good;
};

// One thread counts, others look on.
static inline void bump(uint64_t *count, uint64_t by)
{
    __atomic_store_n(count, *count + by, __ATOMIC_RELAXED);
}

// --- call.c: a call's way
struct call *call_take_ours(struct rmq *c, enum call_kind kind); // NULL: none left
void call_dispatch(struct rmq *c, struct call *k);               // finds its broker and goes on the wire, or is parked
void call_park(struct rmq *c, struct call *k, int64_t retry_at_ms);
bool call_send_on(struct rmq *c, struct call *k, struct conn *conn, struct wire_request *r);
void call_lost(struct call *k); // its connection broke
void call_end(struct rmq *c, struct call *k, struct rmq_result *r);
void call_end_with(struct rmq *c, struct call *k, enum rmq_outcome outcome, int code, struct str remark);
void call_release(struct rmq *c, struct call *k);
void calls_expire(struct rmq *c);
void calls_unpark(struct rmq *c);
void calls_end_all(struct rmq *c);
void call_due_in(struct rmq *c, struct call *k, int64_t ms);
void conn_frame(struct conn *conn, struct wire_frame *f); // a frame came
static inline struct str call_text(const struct call *k, enum call_text t)
{
    return (struct str){k->text[t].n ? k->data.p + k->text[t].at : "", k->text[t].n};
}
static inline int32_t call_opaque(const struct call *k)
{
    return (int32_t)((k->generation & 0x7fff) << 16 | k->index);
}

// --- request.c: what is put on the wire, and what comes of the answer
void request_build(struct rmq *c, struct call *k, struct wire_request *r);
void request_answered(struct rmq *c, struct call *k, const struct wire_frame *f);

// --- route.c
struct topic *topic_of(struct rmq *c, struct str name); // remembered and asked for from now on; NULL: too many
struct broker *broker_of(struct rmq *c, struct str name);
struct conn *broker_conn(struct broker *b); // NULL unless something can be sent now; it is wanted from now on
struct conn *namesrv_conn(struct rmq *c);
void route_soon(struct rmq *c, struct topic *t);
void routes_tick(struct rmq *c);
void route_answered(struct rmq *c, struct call *k, const struct wire_frame *f); // f NULL: no answer
void cluster_answered(struct rmq *c, struct call *k, const struct wire_frame *f);
void heartbeat_answered(struct rmq *c, struct call *k, const struct wire_frame *f);
void config_answered(struct rmq *c, struct call *k, const struct wire_frame *f);
void peer_up(struct rmq *c, struct peer *p);
void peer_down(struct rmq *c, struct peer *p);
void check_came(struct conn *conn, const struct wire_frame *f);

// --- pop.c
void pops_tick(struct rmq *c);
void pop_answered(struct rmq *c, struct call *k, const struct wire_frame *f); // f NULL: no answer
void receipt_release(struct rmq *c, const struct rmq_receipt *r);
void subscription_free(struct subscription *s);

// --- client.c
bool rmq_submit(struct rmq *c, struct call *k, rmq_done *done, void *ctx, uint64_t token);
struct call *rmq_take(struct rmq *c, enum call_kind kind, size_t bytes); // NULL, errno set: no room
void rmq_give_back(struct rmq *c, struct call *k);
bool rmq_text(struct call *k, enum call_text t, struct str s); // copies
int64_t rmq_wall_ms(void);
int64_t rmq_backoff_ms(struct rmq *c, unsigned n_failures, int64_t first_ms, int64_t cap_ms); // with jitter
void refusal_count(struct rmq *c, int code);

#endif
