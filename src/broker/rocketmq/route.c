// SPDX-License-Identifier: Apache-2.0
// Who is who: topics and their queues from a name server, master brokers, their connections and heartbeats.
#include "broker/rocketmq/inside.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUTE_FIRST_MS     200
#define ROUTE_CAP_MS       5000
#define FALLBACK_POLL_MS   5000
#define QUEUES_MAX         4096 // of one topic
#define AUTO_QUEUES_MAX    4
#define HEARTBEAT_AGAIN_MS 1000

enum { PERM_WRITE = 2, PERM_READ = 4 };

// --- Peers

static struct conn *usable(const struct peer *p)
{
    struct conn *conn = p->conn;
    return conn && conn->stage == CONN_READY && !conn->draining ? conn : NULL;
}

struct conn *broker_conn(struct broker *b)
{
    b->peer.wanted = true;
    return usable(&b->peer);
}

struct conn *namesrv_conn(struct rmq *c)
{
    struct peer *p = &c->namesrv[c->at_namesrv];
    p->wanted = true;
    struct conn *conn = usable(p);
    if (!conn) peer_connect(c, p);
    return conn;
}

static void heartbeat_send(struct rmq *c, struct broker *b)
{
    struct conn *conn = usable(&b->peer);
    struct call *k = conn && !b->heartbeat_out ? call_take_ours(c, CALL_HEARTBEAT) : NULL;
    if (!k) return;
    struct wire_request r;
    k->broker = b;
    request_build(c, k, &r);
    if (!call_send_on(c, k, conn, &r)) {
        call_release(c, k);
        return;
    }
    b->heartbeat_out = true;
    b->heartbeat_ms = c->now_ms + c->o.heartbeat_ms;
}

// A broker asks back only those who sent it a heartbeat on a connection that lives: first thing on each new one.
void peer_up(struct rmq *c, struct peer *p)
{
    c->state_changed = true;
    c->unpark = true;
    c->tick_ms = c->now_ms;
    if (p->broker) heartbeat_send(c, p->broker);
}

void peer_down(struct rmq *c, struct peer *p)
{
    c->state_changed = true;
    c->tick_ms = c->now_ms;
    if (p->broker) {
        p->broker->heartbeated = p->broker->heartbeat_out = false;
        for (unsigned i = 0; i < c->n_topics; i++) // perhaps another master took its place
            if (c->topics[i].known) route_soon(c, &c->topics[i]);
    } else if (p == &c->namesrv[c->at_namesrv]) {
        p->wanted = false;
        c->at_namesrv = (c->at_namesrv + 1) % c->n_namesrv;
    }
}

void heartbeat_answered(struct rmq *c, struct call *k, const struct wire_frame *f)
{
    struct broker *b = k->broker;
    struct conn *conn = k->conn;
    call_release(c, k);
    c->state_changed = true;
    if (conn != b->peer.conn) return; // of a connection that has been replaced
    b->heartbeat_out = false;
    if (f && f->code == WIRE_OK) {
        b->heartbeated = true;
        b->peer.n_failures = 0;
        b->peer.why[0] = '\0';
        return;
    }
    if (f) {
        (void)snprintf(b->peer.why, sizeof b->peer.why, "heartbeat refused with %d: %.*s", f->code,
                       (int)(f->remark.n < 90 ? f->remark.n : 90), f->remark.p);
        b->heartbeat_ms = c->now_ms + HEARTBEAT_AGAIN_MS;
    } else if (conn) {
        conn_close(conn, "no answer to a heartbeat");
    }
}

struct broker *broker_of(struct rmq *c, struct str name)
{
    for (unsigned i = 0; i < c->n_brokers; i++)
        if (str_eq(str_of(c->brokers[i]->name), name)) return c->brokers[i];
    return NULL;
}

static struct broker *broker_learn(struct rmq *c, struct str name, struct str address)
{
    struct broker *b = broker_of(c, name);
    struct peer at = {0};
    if (!peer_set(&at, address)) return NULL;
    if (!b) {
        if (c->n_brokers == RMQ_BROKERS_MAX || name.n == 0 || name.n >= RMQ_NAME_SIZE) return NULL;
        b = calloc(1, sizeof *b);
        if (!b) return NULL;
        memcpy(b->name, name.p, name.n);
        b->peer.broker = b;
        c->brokers[c->n_brokers++] = b;
    }
    if (strcmp(b->peer.host, at.host) != 0 || strcmp(b->peer.port, at.port) != 0) {
        if (b->peer.conn) conn_drain(b->peer.conn);
        memcpy(b->peer.host, at.host, sizeof at.host);
        memcpy(b->peer.port, at.port, sizeof at.port);
        b->peer.try_at_ms = 0;
        b->peer.n_failures = 0;
    }
    return b;
}

// --- Reading what a name server says

// Old ones write broker ids as bare numbers where JSON wants a text: {0:"host:port"}.
static void quote_bare_keys(struct str body, struct buf *out)
{
    bool in_text = false;
    for (size_t i = 0; i < body.n; i++) {
        char ch = body.p[i];
        buf_char(out, ch);
        if (in_text && ch == '\\' && i + 1 < body.n) buf_char(out, body.p[++i]);
        if (ch == '"') in_text = !in_text;
        if (in_text || (ch != '{' && ch != ',')) continue;
        size_t end = i + 1;
        while (end < body.n && body.p[end] >= '0' && body.p[end] <= '9')
            end++;
        if (end == i + 1 || end == body.n || body.p[end] != ':') continue;
        buf_char(out, '"');
        buf_add(out, body.p + i + 1, end - i - 1);
        buf_char(out, '"');
        i = end - 1;
    }
}

static json_t *read_body(struct str body)
{
    struct buf mended = {0};
    quote_bare_keys(body, &mended);
    json_t *j = mended.failed ? NULL : json_loadb(mended.p, mended.n, 0, NULL);
    buf_free(&mended);
    return j;
}

static struct str text_of(const json_t *object, const char *key)
{
    const json_t *j = json_object_get(object, key);
    if (!json_is_string(j)) return (struct str){"", 0};
    return (struct str){json_string_value(j), json_string_length(j)};
}

static int64_t number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key)); // 0 for all else
}

// Masters only: the broker with id 0.
static struct broker *master_of(struct rmq *c, const json_t *data)
{
    struct str address = text_of(json_object_get(data, "brokerAddrs"), "0");
    return address.n ? broker_learn(c, text_of(data, "brokerName"), address) : NULL;
}

static const json_t *data_of(const json_t *brokers, struct str name)
{
    size_t i;
    json_t *data;
    json_array_foreach(brokers, i, data)
    {
        if (str_eq(text_of(data, "brokerName"), name)) return data;
    }
    return NULL;
}

static int queue_order(const void *a, const void *b)
{
    const struct queue *x = a, *y = b;
    int by_name = strcmp(x->broker->name, y->broker->name);
    return by_name ? by_name : (x->id > y->id) - (x->id < y->id);
}

static bool add_queues(struct topic *t, struct broker *b, int64_t n)
{
    if (n <= 0) return true;
    if (n > QUEUES_MAX - t->n_write) n = QUEUES_MAX - t->n_write;
    struct queue *more = realloc(t->write, (t->n_write + (size_t)n) * sizeof *more);
    if (!more && n > 0) return false;
    t->write = more;
    for (int64_t i = 0; i < n; i++)
        t->write[t->n_write++] = (struct queue){b, (int)i};
    return true;
}

static void add_reader(struct topic *t, struct broker *b)
{
    for (unsigned i = 0; i < t->n_readers; i++)
        if (t->readers[i] == b) return;
    if (t->n_readers < RMQ_BROKERS_MAX) t->readers[t->n_readers++] = b;
}

static void use_queues(struct rmq *c, struct topic *t, const json_t *root, bool is_fallback)
{
    const json_t *brokers = json_object_get(root, "brokerDatas");
    size_t i;
    json_t *q;
    t->n_write = t->n_readers = 0;
    json_array_foreach(json_object_get(root, "queueDatas"), i, q)
    {
        struct broker *b = master_of(c, data_of(brokers, text_of(q, "brokerName")));
        if (!b) continue;
        int64_t perm = number_of(q, "perm"), n = number_of(q, "writeQueueNums");
        if (is_fallback && n > AUTO_QUEUES_MAX) n = AUTO_QUEUES_MAX;
        if (perm & PERM_WRITE && !add_queues(t, b, n)) break;
        if (perm & PERM_READ && !is_fallback) add_reader(t, b);
    }
    if (t->n_write) qsort(t->write, t->n_write, sizeof t->write[0], queue_order);
}

// Who is in no route any more is not connected to again; a connection that lives stays.
static void mark_wanted(struct rmq *c)
{
    for (unsigned i = 0; i < c->n_brokers; i++)
        c->brokers[i]->peer.wanted = false;
    for (unsigned i = 0; i < c->n_topics; i++) {
        const struct topic *t = &c->topics[i];
        for (unsigned q = 0; q < t->n_write; q++)
            t->write[q].broker->peer.wanted = true;
        for (unsigned r = 0; r < t->n_readers; r++)
            t->readers[r]->peer.wanted = true;
    }
    for (unsigned i = 0; i < c->n_brokers; i++)
        peer_connect(c, &c->brokers[i]->peer);
}

static bool route_use(struct rmq *c, struct topic *t, struct str body, bool is_fallback)
{
    json_t *root = read_body(body);
    if (!json_is_object(root)) {
        json_decref(root);
        return false;
    }
    use_queues(c, t, root, is_fallback);
    json_decref(root);
    t->known = true;
    t->is_fallback = is_fallback;
    t->why[0] = '\0';
    if (t->n_write == 0) (void)snprintf(t->why, sizeof t->why, "no master takes messages of %.50s", t->name);
    mark_wanted(c);
    c->unpark = true;
    return true;
}

// --- Asking

static void route_ask(struct rmq *c, struct topic *t, bool is_fallback)
{
    struct conn *conn = namesrv_conn(c);
    struct call *k = conn && !t->asking ? call_take_ours(c, CALL_ROUTE) : NULL;
    if (!k) return;
    struct wire_request r;
    k->topic = t;
    k->is_fallback = is_fallback;
    request_build(c, k, &r);
    if (call_send_on(c, k, conn, &r))
        t->asking = true;
    else
        call_release(c, k);
}

static void route_failed(struct rmq *c, struct topic *t, const char *why)
{
    t->poll_ms = c->now_ms + rmq_backoff_ms(c, t->n_failures++, ROUTE_FIRST_MS, ROUTE_CAP_MS);
    if (!t->known || t->n_write == 0) (void)snprintf(t->why, sizeof t->why, "%s", why);
    c->state_changed = true;
}

// No route is known: for a topic that brokers make when it is first written to, that of the topic they copy will do.
// A topic that was known and is gone keeps its old route until then: its brokers know better.
static void no_route(struct rmq *c, struct topic *t, bool was_fallback)
{
    char why[96];
    if (!was_fallback) {
        route_ask(c, t, true);
        if (t->asking) return;
    }
    (void)snprintf(why, sizeof why, "no route for topic %.60s", t->name);
    route_failed(c, t, why);
}

void route_answered(struct rmq *c, struct call *k, const struct wire_frame *f)
{
    struct topic *t = k->topic;
    bool is_fallback = k->is_fallback;
    struct conn *conn = k->conn;
    call_release(c, k);
    t->asking = false;
    if (!f) {
        if (conn && conn->stage != CONN_DEAD) conn_close(conn, "no answer to a question"); // the next one is asked
        route_failed(c, t, "no answer from the name server");
        return;
    }
    if (conn) conn->peer->n_failures = 0;
    if (f->code == WIRE_TOPIC_NOT_EXIST) {
        no_route(c, t, is_fallback);
        return;
    }
    if (f->code != WIRE_OK || !route_use(c, t, f->body, is_fallback)) {
        char why[96];
        (void)snprintf(why, sizeof why, "name server answers %d: %.*s", f->code,
                       (int)(f->remark.n < 60 ? f->remark.n : 60), f->remark.p);
        route_failed(c, t, f->code == WIRE_OK ? "the name server's answer is no route" : why);
        return;
    }
    t->n_failures = 0;
    int64_t next_ms = is_fallback && c->o.route_poll_ms > FALLBACK_POLL_MS ? FALLBACK_POLL_MS : c->o.route_poll_ms;
    if (t->n_write == 0) next_ms = ROUTE_CAP_MS < next_ms ? ROUTE_CAP_MS : next_ms;
    t->poll_ms = c->now_ms + next_ms - next_ms / 8 + rmq_backoff_ms(c, 0, next_ms / 8 + 1, next_ms);
    c->tick_ms = c->now_ms; // subscriptions look for new brokers
}

void route_soon(struct rmq *c, struct topic *t)
{
    if (t->poll_ms > c->now_ms + ROUTE_FIRST_MS) t->poll_ms = c->now_ms + ROUTE_FIRST_MS;
}

struct topic *topic_of(struct rmq *c, struct str name)
{
    for (unsigned i = 0; i < c->n_topics; i++)
        if (str_eq(str_of(c->topics[i].name), name)) return &c->topics[i];
    if (c->n_topics == RMQ_TOPICS_MAX || name.n == 0 || name.n >= RMQ_NAME_SIZE) return NULL;
    struct topic *t = &c->topics[c->n_topics++];
    memcpy(t->name, name.p, name.n);
    c->tick_ms = c->now_ms;
    return t;
}

// --- Every master of the cluster, for making topics

static void make_part(struct rmq *c, struct call *parent, struct broker *b)
{
    struct call *k = call_take_ours(c, CALL_TOPIC_PART);
    if (!k) {
        parent->number = 1;
        return;
    }
    k->parent = parent;
    k->broker = b;
    k->number = (int64_t)parent->shard;
    if (!rmq_text(k, TEXT_TOPIC, call_text(parent, TEXT_TOPIC))) {
        k->parent = NULL;
        call_release(c, k);
        return;
    }
    parent->n_parts++;
    call_dispatch(c, k);
}

void cluster_answered(struct rmq *c, struct call *k, const struct wire_frame *f)
{
    struct call *parent = k->parent;
    call_release(c, k);
    if (!parent) return;
    json_t *root = f && f->code == WIRE_OK ? read_body(f->body) : NULL;
    json_t *table = json_object_get(root, "brokerAddrTable"), *data;
    const char *name;
    parent->number = 0;  // the badness so far
    parent->n_parts = 1; // ours, so that it does not end while parts are still made
    json_object_foreach(table, name, data)
    {
        struct broker *b = master_of(c, data);
        if (!b) continue;
        b->peer.wanted = true;
        make_part(c, parent, b);
    }
    json_decref(root);
    c->tick_ms = c->now_ms;
    bool has_parts = --parent->n_parts > 0;
    if (!has_parts) call_park(c, parent, c->now_ms + ROUTE_FIRST_MS);
}

// --- Check-backs

static bool is_our_group(const struct rmq *c, struct str group)
{
    return c->transaction_group[0] && str_eq(group, str_of(c->transaction_group));
}

void check_came(struct conn *conn, const struct wire_frame *f)
{
    struct rmq *c = conn->c;
    struct message m;
    size_t used;
    int64_t n = 1;
    struct rmq_check check = {0};
    bump(&c->stats.checks, 1);
    bool ok = conn->peer->broker && message_read(f->body, &m, &used) == MESSAGE_READ &&
              wire_field_i64(f, "commitLogOffset", &check.handle.commit_log_offset) &&
              wire_field_i64(f, "tranStateTableOffset", &check.handle.queue_offset) &&
              message_body(&m, &c->body_room, &check.body);
    if (!ok) {
        bump(&c->stats.checks_bad, 1);
        return;
    }
    check.group = wire_property(m.properties, STR("PGROUP"));
    if (!is_our_group(c, check.group)) {
        bump(&c->stats.checks_foreign, 1);
        return;
    }
    check.topic = m.topic;
    check.tags = wire_property(m.properties, STR("TAGS"));
    check.keys = wire_property(m.properties, STR("KEYS"));
    check.uniq_key = wire_property(m.properties, STR("UNIQ_KEY"));
    if (wire_i64(wire_property(m.properties, STR("TRANSACTION_CHECK_TIMES")), &n) && n > 0 && n <= UINT32_MAX)
        check.n = (uint32_t)n;
    else
        check.n = 1;
    memcpy(check.handle.broker, conn->peer->broker->name, sizeof check.handle.broker);
    if (c->o.on_check) c->o.on_check(c->o.ctx, &check);
    if (c->body_room.cap > ((size_t)256 << 10)) buf_free(&c->body_room);
}

// --- The clock

void routes_tick(struct rmq *c)
{
    for (unsigned i = 0; i < c->n_topics; i++)
        if (!c->topics[i].asking && c->topics[i].poll_ms <= c->now_ms) route_ask(c, &c->topics[i], false);
    for (unsigned i = 0; i < c->n_brokers; i++) {
        struct broker *b = c->brokers[i];
        peer_connect(c, &b->peer);
        if (b->heartbeat_ms <= c->now_ms) heartbeat_send(c, b);
    }
}
