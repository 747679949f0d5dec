// SPDX-License-Identifier: Apache-2.0
// A call's way from the inbox to its one answer. call_end() is the only place answers leave from.
#include "broker/rocketmq/inside.h"
#include <stdio.h>

#define BUSY_FIRST_MS 10
#define BUSY_CAP_MS   1000

static bool is_ours(enum call_kind kind)
{
    return kind > CALL_TOPIC;
}

static enum due_class due_class_of(enum call_kind kind)
{
    if (kind == CALL_POP) return DUE_POPS;
    return is_ours(kind) ? DUE_OURS : DUE_CALLS;
}

static void copy_text(char *room, size_t size, struct str s)
{
    size_t n = s.n < size - 1 ? s.n : size - 1;
    if (n) memcpy(room, s.p, n);
    room[n] = '\0';
}

// --- Ends

static void leave_stage(struct rmq *c, struct call *k)
{
    if (k->stage == CALL_PARKED) TAILQ_REMOVE(&c->parked, k, link);
    if (k->stage == CALL_ON_CONN) TAILQ_REMOVE(k->oneway ? &k->conn->oneway : &k->conn->calls, k, link);
    k->stage = CALL_FREE;
    k->conn = NULL;
}

// Given back to the callers' pool in one go, at the end of the round.
void call_release(struct rmq *c, struct call *k)
{
    leave_stage(c, k);
    TAILQ_REMOVE(&c->by_due[due_class_of(k->kind)], k, by_due);
    k->generation++;
    if (is_ours(k->kind)) {
        c->n_internal--;
    } else {
        c->freed_calls++;
        c->freed_bytes += k->room;
    }
    if (k->data.cap > CALL_DATA_KEPT) buf_free(&k->data);
    TAILQ_INSERT_TAIL(&c->freed, k, link);
}

static void count_outcome(struct rmq *c, const struct rmq_result *r)
{
    switch (r->outcome) {
    case RMQ_DONE: bump(&c->stats.done, 1); break;
    case RMQ_REFUSED:
        bump(&c->stats.refused, 1);
        refusal_count(c, r->code);
        break;
    case RMQ_NOT_SENT: bump(&c->stats.not_sent, 1); break;
    case RMQ_UNKNOWN: bump(&c->stats.unknown, 1); break;
    }
}

// A part ended: the worst answer of all parts is the parent's.
static void part_ended(struct rmq *c, struct call *parent, const struct rmq_result *r)
{
    static const int badness[] = {[RMQ_DONE] = 0, [RMQ_NOT_SENT] = 1, [RMQ_REFUSED] = 2, [RMQ_UNKNOWN] = 3};
    if (badness[r->outcome] > parent->number) {
        parent->number = badness[r->outcome];
        parent->last_code = r->code;
        copy_text(parent->last_remark, sizeof parent->last_remark, str_of(r->remark));
    }
    if (--parent->n_parts > 0) return;
    static const enum rmq_outcome outcome[] = {RMQ_DONE, RMQ_NOT_SENT, RMQ_REFUSED, RMQ_UNKNOWN};
    call_end_with(c, parent, outcome[parent->number], parent->number ? parent->last_code : 0,
                  str_of(parent->last_remark));
}

// The calls that read their own answers; f NULL: there was none. False: another kind.
static bool reads_answer(struct rmq *c, struct call *k, const struct wire_frame *f)
{
    switch (k->kind) {
    case CALL_CLUSTER: cluster_answered(c, k, f); return true;
    case CALL_ROUTE: route_answered(c, k, f); return true;
    case CALL_HEARTBEAT: heartbeat_answered(c, k, f); return true;
    case CALL_CONFIG: config_answered(c, k, f); return true;
    case CALL_POP: pop_answered(c, k, f); return true;
    case CALL_SEND:
    case CALL_BATCH:
    case CALL_HALF:
    case CALL_END:
    case CALL_RECALL:
    case CALL_ACK:
    case CALL_HIDE:
    case CALL_TOPIC:
    case CALL_TOPIC_PART: break;
    }
    return false;
}

static void end_ours(struct rmq *c, struct call *k, const struct rmq_result *r)
{
    if (reads_answer(c, k, NULL)) return;
    struct call *parent = k->parent; // of a CALL_TOPIC_PART, the only other of ours
    call_release(c, k);
    if (parent) part_ended(c, parent, r);
}

void call_end(struct rmq *c, struct call *k, struct rmq_result *r)
{
    if (is_ours(k->kind)) {
        end_ours(c, k, r);
        return;
    }
    rmq_done *done = k->done;
    void *ctx = k->ctx;
    uint64_t token = k->token;
    copy_text(r->msg_id, sizeof r->msg_id, call_text(k, TEXT_KEY));
    count_outcome(c, r);
    if (k->kind == CALL_TOPIC) {
        for (enum due_class d = 0; d < N_DUE; d++) {
            struct call *part;
            TAILQ_FOREACH(part, &c->by_due[d], by_due)
            if (part->parent == k) part->parent = NULL;
        }
    }
    call_release(c, k);
    if (done) done(ctx, token, r);
}

void call_end_with(struct rmq *c, struct call *k, enum rmq_outcome outcome, int code, struct str remark)
{
    struct rmq_result r = {.outcome = outcome, .code = code, .queue_id = -1, .queue_offset = -1};
    copy_text(r.remark, sizeof r.remark, remark);
    call_end(c, k, &r);
}

// It is on no wire: what is known of it decides.
static void end_unsent(struct rmq *c, struct call *k, const char *why)
{
    if (k->last_code >= 0)
        call_end_with(c, k, RMQ_REFUSED, k->last_code, str_of(k->last_remark));
    else
        call_end_with(c, k, RMQ_NOT_SENT, -1, str_of(k->last_remark[0] ? k->last_remark : why));
}

static void end_unanswered(struct rmq *c, struct call *k, const char *why)
{
    if (k->stage == CALL_ON_CONN || k->stage == CALL_WAITING)
        call_end_with(c, k, RMQ_UNKNOWN, -1, str_of(why));
    else
        end_unsent(c, k, why);
}

// --- Waiting

void call_due_in(struct rmq *c, struct call *k, int64_t ms)
{
    k->due_ms = c->now_ms + ms;
    TAILQ_INSERT_TAIL(&c->by_due[due_class_of(k->kind)], k, by_due);
}

void call_park(struct rmq *c, struct call *k, int64_t retry_at_ms)
{
    leave_stage(c, k);
    k->stage = CALL_PARKED;
    k->retry_at_ms = retry_at_ms;
    TAILQ_INSERT_TAIL(&c->parked, k, link);
    int64_t look_ms = retry_at_ms > c->now_ms ? retry_at_ms : c->now_ms + PARK_SCAN_MS;
    if (look_ms < c->unpark_ms) c->unpark_ms = look_ms;
}

// What is sent in the last quarter of its time probably ends unknown; unsent, it is known that nothing was done.
static bool is_late(const struct rmq *c, const struct call *k)
{
    return !is_ours(k->kind) && k->due_ms - c->now_ms < c->o.call_deadline_ms / 4;
}

// One walk over those parked before it began: a dispatch may park again, at the tail.
void calls_unpark(struct rmq *c)
{
    if (!c->unpark && c->now_ms < c->unpark_ms) return;
    c->unpark = false;
    c->unpark_ms = INT64_MAX;
    struct calls waiting = TAILQ_HEAD_INITIALIZER(waiting);
    TAILQ_CONCAT(&waiting, &c->parked, link);
    struct call *k;
    while ((k = TAILQ_FIRST(&waiting))) {
        TAILQ_REMOVE(&waiting, k, link);
        k->stage = CALL_FREE;
        if (is_late(c, k))
            end_unsent(c, k, "no connection before the deadline");
        else if (k->retry_at_ms > c->now_ms)
            call_park(c, k, k->retry_at_ms);
        else
            call_dispatch(c, k);
    }
}

void calls_expire(struct rmq *c)
{
    struct call *k;
    for (enum due_class d = 0; d < N_DUE; d++)
        while ((k = TAILQ_FIRST(&c->by_due[d])) && k->due_ms <= c->now_ms)
            end_unanswered(c, k, k->stage == CALL_PARKED ? "no connection before the deadline" : "no answer in time");
}

void calls_end_all(struct rmq *c)
{
    struct call *k;
    for (enum due_class d = 0; d < N_DUE; d++)
        while ((k = TAILQ_FIRST(&c->by_due[d])))
            end_unanswered(c, k, "the client stops");
}

// --- Sending

// Sends it with this request on this connection.
bool call_send_on(struct rmq *c, struct call *k, struct conn *conn, struct wire_request *r)
{
    size_t before = conn->out.n;
    r->is_oneway = k->oneway;
    if (!wire_encode(r, c->acl, &conn->out)) {
        if (!conn->out.failed) return false;
        conn->out.failed = false; // the frames before it are whole
        conn->out.n = before;
        return false;
    }
    leave_stage(c, k);
    conn->queued += conn->out.n - before;
    k->end_at = conn->queued;
    k->conn = conn;
    k->stage = CALL_ON_CONN;
    TAILQ_INSERT_TAIL(k->oneway ? &conn->oneway : &conn->calls, k, link);
    bump(&c->stats.frames_out, 1);
    conn_dirty(conn);
    return true;
}

static void not_yet(struct rmq *c, struct call *k, const char *why)
{
    if (k->last_code < 0) copy_text(k->last_remark, sizeof k->last_remark, str_of(why));
    call_park(c, k, c->now_ms);
}

static bool queue_is_up(const struct queue *q)
{
    return broker_conn(q->broker) != NULL;
}

// The same shard always means the same queue, and waits for it; all others take the next queue that is up.
static const struct queue *choose_queue(struct topic *t, const struct call *k)
{
    if (k->ordered) return &t->write[k->shard % t->n_write];
    for (unsigned i = 0; i < t->n_write; i++) {
        const struct queue *q = &t->write[t->next++ % t->n_write];
        if (queue_is_up(q)) return q;
    }
    return &t->write[t->next++ % t->n_write];
}

// False: parked or ended.
static bool choose_by_topic(struct rmq *c, struct call *k)
{
    struct topic *t = topic_of(c, call_text(k, TEXT_TOPIC));
    k->topic = t;
    if (!t) {
        call_end_with(c, k, RMQ_NOT_SENT, -1, STR("too many topics"));
        return false;
    }
    if (t->n_write == 0) {
        const char *ns_why = c->namesrv[c->at_namesrv].why;
        not_yet(c, k, t->why[0] ? t->why : ns_why[0] ? ns_why : "no route yet");
        return false;
    }
    const struct queue *q = choose_queue(t, k);
    k->broker = q->broker;
    k->queue_id = q->id;
    return true;
}

static bool choose_by_name(struct rmq *c, struct call *k)
{
    k->broker = broker_of(c, call_text(k, TEXT_BROKER));
    if (k->broker) return true;
    struct str topic = call_text(k, TEXT_TOPIC);
    if (topic.n) (void)topic_of(c, topic); // its route may bring the broker
    not_yet(c, k, "no route to the broker");
    return false;
}

static bool choose_broker(struct rmq *c, struct call *k)
{
    switch (k->kind) {
    case CALL_SEND:
    case CALL_BATCH:
    case CALL_HALF: return choose_by_topic(c, k);
    case CALL_END:
    case CALL_RECALL:
    case CALL_ACK:
    case CALL_HIDE: return choose_by_name(c, k);
    case CALL_TOPIC:
    case CALL_TOPIC_PART:
    case CALL_CLUSTER:
    case CALL_ROUTE:
    case CALL_HEARTBEAT:
    case CALL_CONFIG:
    case CALL_POP: return true; // chosen when it was made
    }
    return false;
}

static void dispatch_topic(struct rmq *c, struct call *k)
{
    struct conn *conn = namesrv_conn(c);
    struct call *ask = conn ? call_take_ours(c, CALL_CLUSTER) : NULL;
    if (!ask) {
        not_yet(c, k, "no name server");
        return;
    }
    struct wire_request r;
    ask->parent = k;
    request_build(c, ask, &r);
    if (!call_send_on(c, ask, conn, &r)) {
        ask->parent = NULL;
        call_release(c, ask);
        not_yet(c, k, "memory is out");
        return;
    }
    k->stage = CALL_WAITING;
}

void call_dispatch(struct rmq *c, struct call *k)
{
    if (k->kind == CALL_TOPIC) {
        dispatch_topic(c, k);
        return;
    }
    if (!choose_broker(c, k)) return;
    struct conn *conn = broker_conn(k->broker);
    if (!conn || conn->out.n - conn->out_at > CONN_QUEUED_MAX) {
        char why[96];
        peer_connect(c, &k->broker->peer);
        const char *reason = conn ? "slow" : k->broker->peer.why[0] ? k->broker->peer.why : "connecting";
        (void)snprintf(why, sizeof why, "%.40s: %.50s", k->broker->name, reason);
        not_yet(c, k, why);
        return;
    }
    struct wire_request r;
    request_build(c, k, &r);
    if (!call_send_on(c, k, conn, &r)) not_yet(c, k, "memory is out");
}

void call_lost(struct call *k)
{
    struct conn *conn = k->conn;
    struct rmq *c = conn->c;
    bool was_written = k->end_at <= conn->written;
    if (was_written || is_ours(k->kind)) {
        if (k->oneway && was_written)
            call_end_with(c, k, RMQ_DONE, 0, STR(""));
        else
            call_end_with(c, k, was_written ? RMQ_UNKNOWN : RMQ_NOT_SENT, -1, str_of(conn->peer->why));
        return;
    }
    bump(&c->stats.retries, 1);
    not_yet(c, k, conn->peer->why);
    c->unpark = true;
}

// --- Answers

// Codes by which a broker says that it did not do it, and that another time or another master may.
static bool is_not_processed(const struct call *k, int code)
{
    switch (code) {
    case WIRE_BUSY:
    case WIRE_SERVICE_NOT_AVAILABLE:
    case WIRE_NOT_LEADER:
    case WIRE_GO_AWAY: return true;
    case WIRE_SLAVE_NOT_AVAILABLE: return k->kind == CALL_END; // for sends it means "stored"
    default: return false;
    }
}

static void try_again(struct rmq *c, struct call *k, const struct wire_frame *f)
{
    int64_t pause_ms = rmq_backoff_ms(c, k->n_attempts++, BUSY_FIRST_MS, BUSY_CAP_MS);
    k->last_code = f->code;
    copy_text(k->last_remark, sizeof k->last_remark, f->remark);
    bump(&c->stats.retries, 1);
    call_park(c, k, c->now_ms + pause_ms);
}

static struct call *find_call(struct rmq *c, struct conn *conn, int32_t opaque)
{
    uint32_t index = (uint32_t)opaque & 0xffff;
    struct call *k = opaque >= 0 && index < c->n_calls_seen ? c->calls[index] : NULL;
    return k && k->stage == CALL_ON_CONN && k->conn == conn && call_opaque(k) == opaque && !k->oneway ? k : NULL;
}

static void response_came(struct conn *conn, const struct wire_frame *f)
{
    struct rmq *c = conn->c;
    struct call *k = find_call(c, conn, f->opaque);
    if (f->code == WIRE_BUSY) bump(&c->stats.busy, 1);
    if (f->code == WIRE_NO_PERMISSION) bump(&c->stats.acl_refusals, 1);
    if (f->code == WIRE_GO_AWAY) {
        bump(&c->stats.go_away, 1);
        conn_drain(conn);
    }
    if (!k) {
        bump(&c->stats.late_answers, 1);
        return;
    }
    bool is_elsewhere = f->code == WIRE_GO_AWAY || f->code == WIRE_NOT_LEADER || f->code == WIRE_TOPIC_NOT_EXIST;
    if (is_elsewhere && k->topic && !is_ours(k->kind)) route_soon(c, k->topic);
    if (reads_answer(c, k, f)) return;
    if (is_not_processed(k, f->code))
        try_again(c, k, f);
    else
        request_answered(c, k, f);
}

static void request_came(struct conn *conn, const struct wire_frame *f)
{
    struct rmq *c = conn->c;
    if (f->code == WIRE_CHECK_TRANSACTION) {
        check_came(conn, f);
        return;
    }
    bump(&c->stats.requests_unserved, 1);
    if (f->flag & WIRE_ONEWAY) return;
    size_t before = conn->out.n;
    if (wire_encode_answer(f->opaque, WIRE_NOT_SUPPORTED, STR("this client does not serve it"), &conn->out)) {
        conn->queued += conn->out.n - before;
        conn_dirty(conn);
    }
}

void conn_frame(struct conn *conn, struct wire_frame *f)
{
    if (f->flag & WIRE_RESPONSE)
        response_came(conn, f);
    else
        request_came(conn, f);
}
