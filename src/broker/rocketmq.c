// SPDX-License-Identifier: Apache-2.0
#include "broker/rocketmq.h"
#include "base/log.h"
#include "base/metric.h"
#include "base/mono.h"
#include "broker/body.h"
#include "broker/outbox.h"
#include "broker/rocketmq/client.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define INVISIBLE_MS  30000 // a received message comes again after this, unless acknowledged
#define CLOSE_WAIT_MS 500   // for the last answers
#define SOON_MS       1000  // and after this when it is given back
#define RECEIVED_MAX  256   // received and not acknowledged
#define HALF_KEY_LEN  32

struct rocketmq {
    struct broker base;
    struct rocketmq_options o; // its texts are borrowed
    struct news_sink sink;
    struct rmq *client;
    struct outbox *outbox;
    pthread_mutex_t lock; // guards the receipts
    struct rmq_receipt receipts[RECEIVED_MAX];
    uint64_t n_receipts;
    _Atomic uint64_t checks_foreign, received_foreign;
};

// One send under way: what its answer is about.
struct under_way {
    struct rocketmq *b;
    struct broker_news news;
};

// --- Names. A half message's unique key is its order's key and a keyed hash of it: another producer's half messages,
// in our group or with our KEYS, are told from ours by it.

static uint64_t half_mark(const struct rocketmq *b, uint64_t order_key)
{
    struct str parts[2] = {STR("half"), {(const char *)&order_key, sizeof order_key}};
    return id_hash(b->o.secret, parts, 2).a;
}

static void half_key_format(const struct rocketmq *b, uint64_t order_key, char out[HALF_KEY_LEN + 1])
{
    (void)snprintf(out, HALF_KEY_LEN + 1, "%016llX%016llX", (unsigned long long)order_key,
                   (unsigned long long)half_mark(b, order_key));
}

static bool half_key_parse(const struct rocketmq *b, struct str text, uint64_t *order_key)
{
    char ours[HALF_KEY_LEN + 1];
    uint64_t key = 0;
    if (text.n != HALF_KEY_LEN) return false;
    for (unsigned i = 0; i < 16; i++) {
        char c = text.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'))) return false;
        key = key << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'A' + 10);
    }
    half_key_format(b, key, ours);
    *order_key = key;
    return memcmp(ours, text.p, HALF_KEY_LEN) == 0;
}

// --- Sends

static enum outcome outcome_of(enum send_kind kind, const struct rmq_result *r)
{
    switch (r->outcome) {
    case RMQ_DONE: return OUTCOME_DONE;
    // Only "no half message lies there" is a refusal of an end; "no permission" or "busy" is to be said again.
    case RMQ_REFUSED: return kind != SEND_END || r->code == 1 ? OUTCOME_REFUSED : OUTCOME_UNKNOWN;
    case RMQ_NOT_SENT:
    case RMQ_UNKNOWN: break;
    }
    return OUTCOME_UNKNOWN;
}

static void on_done(void *ctx, uint64_t token, const struct rmq_result *r)
{
    struct under_way *u = ctx;
    (void)token;
    u->news.sent.outcome = outcome_of(u->news.sent.kind, r);
    if (u->news.sent.kind == SEND_HALF && r->outcome == RMQ_DONE) {
        struct half_at *at = &u->news.sent.at;
        (void)snprintf(at->broker, sizeof at->broker, "%s", r->handle.broker);
        at->commit_log_offset = r->handle.commit_log_offset;
        at->queue_offset = r->handle.queue_offset;
    }
    if (u->news.sent.outcome == OUTCOME_REFUSED)
        log_warn("broker", "the broker refused a message: code %d, %.120s", r->code, r->remark);
    u->b->sink.post(u->b->sink.ctx, &u->news);
    free(u);
}

static bool say_end(struct rocketmq *b, const struct send *s, struct under_way *u)
{
    char key[HALF_KEY_LEN + 1];
    struct rmq_handle handle = {.commit_log_offset = s->at.commit_log_offset, .queue_offset = s->at.queue_offset};
    memcpy(handle.broker, s->at.broker, sizeof handle.broker);
    half_key_format(b, s->message.order_key, key);
    struct rmq_end end = {
        .handle = &handle,
        .topic = str_of(topic_name(s->message.topic)),
        .uniq_key = str_of(key),
        .answer = s->answer == ANSWER_COMMIT ? RMQ_COMMIT : RMQ_ROLLBACK,
        .from_check = s->from_check,
    };
    return rmq_end(b->client, &end, on_done, u, 0);
}

static bool say_message(struct rocketmq *b, const struct send *s, struct under_way *u)
{
    char id[ID_TEXT_SIZE], order[ID_TEXT_SIZE], key[HALF_KEY_LEN + 1];
    uint64_t order_key = s->message.order_key;
    struct buf body = {0};
    id_format(b->o.secret, "msg_", order_key + (s->kind == SEND_SECOND ? KEY_OF_SECOND : KEY_OF_MAIN), id);
    id_format(b->o.secret, "ord_", order_key, order);
    body_of_message(b->o.secret, id, &s->message, &body);
    struct rmq_message m = {
        .topic = str_of(topic_name(s->message.topic)),
        .tags = str_of(message_type_name(s->message.type)),
        .keys = str_of(order),
        .body = buf_view(&body),
        .shard = order_key,
        .ordered = true,
    };
    if (s->kind == SEND_HALF) {
        half_key_format(b, order_key, key);
        m.uniq_key = str_of(key);
    }
    bool taken = !body.failed && (s->kind == SEND_HALF ? rmq_half(b->client, &m, on_done, u, 0)
                                                       : rmq_send(b->client, &m, on_done, u, 0));
    buf_free(&body);
    return taken;
}

static bool rocketmq_submit(struct broker *base, const struct send *s, int64_t now_ms)
{
    struct rocketmq *b = (struct rocketmq *)base;
    (void)now_ms;
    if (!rmq_state(b->client, NULL)) return false; // nobody is there: the row goes on owing
    struct under_way *u = calloc(1, sizeof *u);
    if (!u) return false;
    u->b = b;
    u->news = (struct broker_news){
        .kind = BROKER_SENT,
        .order_key = s->message.order_key,
        .sent = {.kind = s->kind, .at = s->at, .is_loose = s->is_loose},
    };
    bool taken = s->kind == SEND_END ? say_end(b, s, u) : say_message(b, s, u);
    if (!taken) free(u);
    return taken;
}

// --- What comes

static void on_check(void *ctx, const struct rmq_check *c)
{
    struct rocketmq *b = ctx;
    struct broker_news n = {.kind = BROKER_CHECK, .checkback = {.n = c->n}};
    if (!half_key_parse(b, c->uniq_key, &n.order_key)) {
        atomic_fetch_add(&b->checks_foreign, 1); // somebody else's in our group: he will be asked, too
        return;
    }
    memcpy(n.checkback.at.broker, c->handle.broker, sizeof n.checkback.at.broker);
    n.checkback.at.commit_log_offset = c->handle.commit_log_offset;
    n.checkback.at.queue_offset = c->handle.queue_offset;
    b->sink.post(b->sink.ctx, &n);
}

// Nothing depends on it, but who sized the cluster should know: a half message that is dropped is replaced at the end.
static void on_settings(void *ctx, const struct rmq_settings *s)
{
    const struct rocketmq *b = ctx;
    int64_t kept_ms = s->check_timeout_ms + s->check_interval_ms * s->check_max;
    if (kept_ms >= b->o.window_ms) return;
    log_warn("broker",
             "%s asks back %lld times every %lld ms and then drops a half message, after %lld s; the payment window is "
             "%lld s. Raise transactionCheckMax or transactionCheckInterval there; until then dropped messages are "
             "replaced by plain ones",
             s->broker, (long long)s->check_max, (long long)s->check_interval_ms, (long long)kept_ms / 1000,
             (long long)b->o.window_ms / 1000);
}

static uint64_t receipt_keep(struct rocketmq *b, const struct rmq_receipt *r)
{
    pthread_mutex_lock(&b->lock);
    uint64_t n = b->n_receipts++;
    b->receipts[n % RECEIVED_MAX] = *r;
    pthread_mutex_unlock(&b->lock);
    return n;
}

static void on_message(void *ctx, const struct rmq_delivery *d)
{
    struct rocketmq *b = ctx;
    uint64_t order_key;
    // Not ours is not ours however often it comes.
    if (!str_eq(d->tags, str_of(message_type_name(MESSAGE_CANCEL))) ||
        !id_parse(b->o.secret, "ord_", d->keys, &order_key)) {
        atomic_fetch_add(&b->received_foreign, 1);
        (void)rmq_ack(b->client, &d->receipt, NULL, NULL, 0);
        return;
    }
    struct broker_news n = {.kind = BROKER_RECEIVED,
                            .order_key = order_key,
                            .received = {.receipt = receipt_keep(b, &d->receipt), .n_times = d->n_times}};
    b->sink.post(b->sink.ctx, &n);
}

static void rocketmq_acknowledge(struct broker *base, uint64_t receipt, bool is_done, int64_t now_ms)
{
    struct rocketmq *b = (struct rocketmq *)base;
    (void)now_ms;
    pthread_mutex_lock(&b->lock);
    bool is_kept = b->n_receipts - receipt <= RECEIVED_MAX;
    struct rmq_receipt r = b->receipts[receipt % RECEIVED_MAX];
    pthread_mutex_unlock(&b->lock);
    if (!is_kept) return; // it comes again
    if (is_done)
        (void)rmq_ack(b->client, &r, NULL, NULL, 0);
    else
        (void)rmq_hide(b->client, &r, SOON_MS, NULL, NULL, 0);
}

static void rocketmq_events(struct broker *base, uint64_t last_event_key)
{
    outbox_wake(((struct rocketmq *)base)->outbox, last_event_key);
}

// --- For people and scrapes

static void rocketmq_describe(struct broker *base, struct buf *out)
{
    struct rocketmq *b = (struct rocketmq *)base;
    struct rmq_stats st;
    char state[160];
    bool is_up = rmq_state(b->client, state);
    rmq_stats(b->client, &st);
    json_open(out, '{');
    json_kz(out, "kind", "rocketmq");
    json_key(out, "connected");
    json_bool(out, is_up);
    json_kz(out, "state", state);
    json_ki64(out, "brokers", st.brokers);
    json_ki64(out, "brokers_connected", st.connected);
    json_ki64(out, "in_flight", st.in_flight);
    json_ki64(out, "events_unpublished", (int64_t)outbox_is_behind(b->outbox));
    json_close(out, '}');
}

struct number {
    const char *name, *type, *help;
    uint64_t value;
};

static void rocketmq_metrics(struct broker *base, struct buf *out)
{
    struct rocketmq *b = (struct rocketmq *)base;
    struct rmq_stats st;
    rmq_stats(b->client, &st);
    const struct number numbers[] = {
        {"till_broker_connected", "gauge", "Master brokers connected now.", st.connected},
        {"till_broker_known", "gauge", "Master brokers known.", st.brokers},
        {"till_broker_in_flight", "gauge", "Calls to brokers without their answer.", st.in_flight},
        {"till_broker_calls_total", "counter", "Calls to brokers.", st.calls},
        {"till_broker_refused_total", "counter", "Of these, refused.", st.refused},
        {"till_broker_unknown_total", "counter", "Of these, with an unknown outcome.", st.unknown},
        {"till_broker_not_sent_total", "counter", "Of these, never sent: nobody was there.", st.not_sent},
        {"till_broker_retries_total", "counter", "Calls sent again because the broker had not taken them.", st.retries},
        {"till_broker_busy_total", "counter", "Answers that say busy.", st.busy},
        {"till_broker_go_away_total", "counter", "Answers of a broker that is stopping.", st.go_away},
        {"till_broker_connects_total", "counter", "Connections made.", st.connects},
        {"till_broker_connections_lost_total", "counter", "Connections lost.", st.connections_lost},
        {"till_broker_bad_frames_total", "counter", "Frames that were garbage; the connection was made again.",
         st.frames_bad},
        {"till_broker_acl_refusals_total", "counter", "Answers that say no permission.", st.acl_refusals},
        {"till_broker_checks_total", "counter", "Check-backs received.", st.checks},
        {"till_broker_checks_foreign_total", "counter", "Of these, about other people's messages: not answered.",
         st.checks_foreign + atomic_load(&b->checks_foreign)},
        {"till_broker_received_foreign_total", "counter", "Messages received that are no order.cancel of ours.",
         atomic_load(&b->received_foreign)},
        {"till_broker_events_published_total", "counter", "Public events published.", outbox_n_published(b->outbox)},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        metric_one(out, numbers[i].name, numbers[i].type, numbers[i].help, numbers[i].value);
}

// --- Open and close

// What was said last is heard before the connection ends: an acknowledgement that is not would bring its message again.
static void answers_wait(struct rocketmq *b)
{
    struct rmq_stats st;
    for (int64_t until_ms = mono_ms() + CLOSE_WAIT_MS; mono_ms() < until_ms;) {
        rmq_stats(b->client, &st);
        if (st.in_flight == 0) return;
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

static void rocketmq_free(struct broker *base)
{
    struct rocketmq *b = (struct rocketmq *)base;
    outbox_stop(b->outbox); // it goes on waiting for answers of the client
    answers_wait(b);
    rmq_free(b->client);
    outbox_free(b->outbox);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

// "rocketmq://a:1;b:2?group=till" into servers and group.
static void url_split(const char *url, struct str *servers, struct str *group)
{
    const char *at = url + sizeof "rocketmq://" - 1, *question = strchr(at, '?');
    *servers = question ? (struct str){at, (size_t)(question - at)} : str_of(at);
    *group = question ? str_of(question + sizeof "?group=" - 1) : STR("till");
}

static bool secret_key_read(const char *path, char out[256], char why[160])
{
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(out, 1, 255, f) : 0;
    if (f) (void)fclose(f);
    while (n && (out[n - 1] == '\n' || out[n - 1] == '\r' || out[n - 1] == ' '))
        n--;
    out[n] = 0;
    if (n) return true;
    (void)snprintf(why, 160, "broker.secret_key_file %.80s cannot be read, or is empty", path);
    return false;
}

static struct str group_format(struct str group, const char *suffix, char out[RMQ_NAME_SIZE])
{
    (void)snprintf(out, RMQ_NAME_SIZE, "%.*s%s", (int)group.n, group.p, suffix);
    return str_of(out);
}

static bool client_open(struct rocketmq *b, struct str servers, struct str group, char why[160])
{
    const struct rocketmq_options *o = &b->o;
    char secret_key[256] = "", tx[RMQ_NAME_SIZE], out[RMQ_NAME_SIZE];
    if (o->secret_key_file[0] && !secret_key_read(o->secret_key_file, secret_key, why)) return false;
    const struct str topics[] = {str_of(topic_name(TOPIC_CANCEL)), str_of(topic_name(TOPIC_PAID)),
                                 str_of(topic_name(TOPIC_EVENTS))};
    struct rmq_options ro = {
        .namesrv = servers,
        .transaction_group = group_format(group, "_tx", tx),
        .producer_group = group_format(group, "_out", out),
        .access_key = str_of(o->access_key),
        .secret_key = str_of(secret_key),
        .tls = o->tls,
        .tls_insecure = o->tls_insecure,
        .ca_file = o->ca_file,
        .topics = topics,
        .n_topics = 3,
        .call_deadline_ms = o->call_deadline_ms,
        .on_check = on_check,
        .on_settings = on_settings,
        .ctx = b,
    };
    b->client = rmq_new(&ro, why);
    explicit_bzero(secret_key, sizeof secret_key);
    return b->client != NULL;
}

static bool receiver_open(struct rocketmq *b, struct str group, char why[160])
{
    char cancel[RMQ_NAME_SIZE];
    struct rmq_subscription s = {
        .topic = str_of(topic_name(TOPIC_CANCEL)),
        .group = group_format(group, "_cancel", cancel),
        .tags = str_of(message_type_name(MESSAGE_CANCEL)),
        .invisible_ms = INVISIBLE_MS,
        .max = RECEIVED_MAX,
        .on_message = on_message,
        .ctx = b,
    };
    if (rmq_subscribe(b->client, &s)) return true;
    (void)snprintf(why, 160, "cannot subscribe to %s", topic_name(TOPIC_CANCEL));
    return false;
}

static bool rocketmq_start(struct broker *base, char why[160])
{
    struct rocketmq *b = (struct rocketmq *)base;
    struct str servers, group;
    url_split(b->o.url, &servers, &group);
    if (!client_open(b, servers, group, why) || !receiver_open(b, group, why)) return false;
    if (outbox_start(b->outbox, b->client)) return true;
    (void)snprintf(why, 160, "cannot start the outbox's thread");
    return false;
}

static const struct broker_ops OPS = {
    .start = rocketmq_start,
    .submit = rocketmq_submit,
    .acknowledge = rocketmq_acknowledge,
    .events = rocketmq_events,
    .describe = rocketmq_describe,
    .metrics = rocketmq_metrics,
    .free = rocketmq_free,
};

struct broker *rocketmq_open(const struct rocketmq_options *o, const struct news_sink *sink, char why[160])
{
    struct rocketmq *b = calloc(1, sizeof *b);
    (void)snprintf(why, 160, "out of memory");
    if (!b) {
        o->reader->ops->close(o->reader);
        return NULL;
    }
    b->base.ops = &OPS;
    b->o = *o;
    b->sink = *sink;
    pthread_mutex_init(&b->lock, NULL);
    b->outbox = outbox_new(o->reader, o->published_key, b->o.secret, sink);
    if (b->outbox) return &b->base;
    rocketmq_free(&b->base);
    return NULL;
}
