// SPDX-License-Identifier: Apache-2.0
// The door: what callers ask for is judged, copied into a call and handed over. Runs on callers' threads.
#include "broker/rocketmq/client.h"
#include "broker/rocketmq/inside.h"
#include <errno.h>
#include <stdio.h>

#define CALL_ROOM 512 // what a call is counted as beyond its texts

enum { VERDICT_COMMIT = 8, VERDICT_ROLLBACK = 12 };

static bool refuse(int reason)
{
    errno = reason;
    return false;
}

// The broker's alphabet for topics: [%|a-zA-Z0-9_-].
static bool is_topic(struct str s)
{
    if (s.n == 0 || s.n >= RMQ_NAME_SIZE) return false;
    for (size_t i = 0; i < s.n; i++) {
        char ch = s.p[i];
        bool ok = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || ch == '_' ||
                  ch == '-' || ch == '%' || ch == '|';
        if (!ok) return false;
    }
    return true;
}

static int message_fault(const struct rmq *c, const struct rmq_message *m)
{
    if (!is_topic(m->topic) || m->uniq_key.n > UNIQ_KEY_MAX || m->deliver_ms < 0) return EINVAL;
    if (!wire_property_fits(m->tags) || !wire_property_fits(m->keys) || !wire_property_fits(m->uniq_key)) return EINVAL;
    if (m->body.n > c->o.max_body || m->tags.n + m->keys.n > RMQ_PROPERTIES_MAX) return EMSGSIZE;
    return m->body.n == 0 ? EINVAL : 0; // brokers refuse it as illegal
}

static struct str unique_key(struct rmq *c, const struct rmq_message *m, char room[MESSAGE_UNIQ_KEY_LEN + 1])
{
    if (m->uniq_key.n) return m->uniq_key;
    pthread_mutex_lock(&c->lock);
    message_ids_next(&c->ids, rmq_wall_ms(), room);
    pthread_mutex_unlock(&c->lock);
    return (struct str){room, MESSAGE_UNIQ_KEY_LEN};
}

static void add_number(struct buf *b, struct str name, int64_t v)
{
    buf_str(b, name);
    buf_char(b, '\1');
    buf_i64(b, v);
    buf_char(b, '\2');
}

static void add_properties(struct buf *b, const struct rmq *c, const struct rmq_message *m, struct str key,
                           bool is_half)
{
    wire_property_add(b, STR("UNIQ_KEY"), key);
    if (m->tags.n) wire_property_add(b, STR("TAGS"), m->tags);
    if (m->keys.n) wire_property_add(b, STR("KEYS"), m->keys);
    wire_property_add(b, STR("WAIT"), STR("true"));
    if (is_half) {
        wire_property_add(b, STR("TRAN_MSG"), STR("true")); // it is this, not the flag, by which the broker knows it
        wire_property_add(b, STR("PGROUP"), str_of(c->transaction_group));
    }
    if (m->deliver_ms) add_number(b, STR("TIMER_DELIVER_MS"), m->deliver_ms);
}

static bool fill_message(struct rmq *c, struct call *k, const struct rmq_message *m)
{
    char room[MESSAGE_UNIQ_KEY_LEN + 1];
    struct str key = unique_key(c, m, room);
    bool ok = rmq_text(k, TEXT_TOPIC, m->topic) && rmq_text(k, TEXT_KEY, key) && rmq_text(k, TEXT_BODY, m->body);
    k->text[TEXT_PROPERTIES].at = (uint32_t)k->data.n;
    add_properties(&k->data, c, m, key, k->kind == CALL_HALF);
    k->text[TEXT_PROPERTIES].n = (uint32_t)k->data.n - k->text[TEXT_PROPERTIES].at;
    k->ordered = m->ordered;
    k->shard = m->shard;
    return ok && !k->data.failed;
}

static bool no_memory(struct rmq *c, struct call *k)
{
    rmq_give_back(c, k);
    return refuse(ENOMEM);
}

static bool send_one(struct rmq *c, enum call_kind kind, const struct rmq_message *m, rmq_done *done, void *ctx,
                     uint64_t token)
{
    int fault = message_fault(c, m);
    if (fault) return refuse(fault);
    struct call *k = rmq_take(c, kind, m->body.n + m->keys.n + m->tags.n + CALL_ROOM);
    if (!k) return false;
    return fill_message(c, k, m) ? rmq_submit(c, k, done, ctx, token) : no_memory(c, k);
}

bool rmq_send(struct rmq *c, const struct rmq_message *m, rmq_done *done, void *ctx, uint64_t token)
{
    if (!c->producer_group[0]) return refuse(EINVAL);
    return send_one(c, CALL_SEND, m, done, ctx, token);
}

bool rmq_half(struct rmq *c, const struct rmq_message *m, rmq_done *done, void *ctx, uint64_t token)
{
    if (!c->transaction_group[0] || m->deliver_ms) return refuse(EINVAL);
    return send_one(c, CALL_HALF, m, done, ctx, token);
}

static int batch_fault(const struct rmq *c, const struct rmq_message *m, unsigned n, size_t *bytes)
{
    *bytes = 0;
    if (n == 0) return EINVAL;
    for (unsigned i = 0; i < n; i++) {
        int fault = message_fault(c, &m[i]);
        if (fault) return fault;
        if (m[i].deliver_ms || !str_eq(m[i].topic, m[0].topic)) return EINVAL;
        *bytes += m[i].body.n + m[i].tags.n + m[i].keys.n + 128;
        if (*bytes > c->o.max_body) return EMSGSIZE;
    }
    return 0;
}

static bool fill_batch(struct rmq *c, struct call *k, const struct rmq_message *m, unsigned n)
{
    struct buf properties = {0};
    char room[MESSAGE_UNIQ_KEY_LEN + 1];
    bool ok = rmq_text(k, TEXT_TOPIC, m[0].topic);
    uint32_t at = (uint32_t)k->data.n;
    for (unsigned i = 0; ok && i < n; i++) {
        buf_clear(&properties);
        add_properties(&properties, c, &m[i], unique_key(c, &m[i], room), false);
        ok = !properties.failed && message_batch_add(&k->data, 0, m[i].body, buf_view(&properties));
    }
    k->text[TEXT_BODY].at = at;
    k->text[TEXT_BODY].n = (uint32_t)k->data.n - at;
    k->ordered = m[0].ordered;
    k->shard = m[0].shard;
    buf_free(&properties);
    return ok;
}

bool rmq_send_batch(struct rmq *c, const struct rmq_message *m, unsigned n, rmq_done *done, void *ctx, uint64_t token)
{
    size_t bytes;
    if (!c->producer_group[0]) return refuse(EINVAL);
    int fault = batch_fault(c, m, n, &bytes);
    if (fault) return refuse(fault);
    struct call *k = rmq_take(c, CALL_BATCH, bytes + CALL_ROOM);
    if (!k) return false;
    return fill_batch(c, k, m, n) ? rmq_submit(c, k, done, ctx, token) : no_memory(c, k);
}

bool rmq_end(struct rmq *c, const struct rmq_end *end, rmq_done *done, void *ctx, uint64_t token)
{
    struct str broker = str_of(end->handle->broker);
    if (!c->transaction_group[0] || broker.n == 0 || end->uniq_key.n > UNIQ_KEY_MAX) return refuse(EINVAL);
    if (end->topic.n && !is_topic(end->topic)) return refuse(EINVAL);
    struct call *k = rmq_take(c, CALL_END, CALL_ROOM);
    if (!k) return false;
    k->commit_log_offset = end->handle->commit_log_offset;
    k->queue_offset = end->handle->queue_offset;
    k->number = end->answer == RMQ_COMMIT ? VERDICT_COMMIT : VERDICT_ROLLBACK;
    k->from_check = end->from_check;
    k->oneway = end->oneway;
    bool ok =
        rmq_text(k, TEXT_TOPIC, end->topic) && rmq_text(k, TEXT_KEY, end->uniq_key) && rmq_text(k, TEXT_BROKER, broker);
    return ok ? rmq_submit(c, k, done, ctx, token) : no_memory(c, k);
}

// The handle is base64 with the URL alphabet over "v1 topic broker time key"; it goes to the broker it names.
static bool broker_of_handle(struct str handle, struct buf *out)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    struct buf text = {0};
    for (size_t i = 0; i < handle.n && handle.p[i] != '='; i++) {
        static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        const char *at = handle.p[i] ? strchr(alphabet, handle.p[i]) : NULL;
        if (!at) break;
        bits = bits << 6 | (uint32_t)(at - alphabet);
        n_bits += 6;
        if (n_bits < 8) continue;
        n_bits -= 8;
        buf_char(&text, (char)(bits >> n_bits));
    }
    unsigned part = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == ' ')
            part++;
        else if (part == 2)
            buf_char(out, text.p[i]);
    }
    bool ok = part == 4 && out->n > 0 && out->n < RMQ_NAME_SIZE && !text.failed && !out->failed;
    buf_free(&text);
    return ok;
}

bool rmq_recall(struct rmq *c, struct str topic, struct str recall_handle, rmq_done *done, void *ctx, uint64_t token)
{
    struct buf broker = {0};
    bool ok = c->producer_group[0] && is_topic(topic) && recall_handle.n > 0 && recall_handle.n <= 1024 &&
              broker_of_handle(recall_handle, &broker);
    struct call *k = ok ? rmq_take(c, CALL_RECALL, CALL_ROOM + recall_handle.n) : NULL;
    if (!ok) errno = EINVAL;
    bool is_filled = k && rmq_text(k, TEXT_TOPIC, topic) && rmq_text(k, TEXT_PROPERTIES, recall_handle) &&
                     rmq_text(k, TEXT_BROKER, buf_view(&broker));
    int kept = errno;
    buf_free(&broker);
    errno = kept;
    if (!k) return false;
    return is_filled ? rmq_submit(c, k, done, ctx, token) : no_memory(c, k);
}

// The parts of a receipt handle are told apart by spaces; 4 is the kind of retry topic, 5 the broker.
static struct str part_of(const char *handle, unsigned i)
{
    const char *p = handle;
    for (; i > 0 && p; i--) {
        p = strchr(p, ' ');
        if (p) p++;
    }
    if (!p) return (struct str){"", 0};
    return (struct str){p, strcspn(p, " ")};
}

static bool receipt_call(struct rmq *c, enum call_kind kind, const struct rmq_receipt *r, int64_t number,
                         rmq_done *done, void *ctx, uint64_t token)
{
    struct str retry = part_of(r->handle, 4), broker = part_of(r->handle, 5);
    pthread_mutex_lock(&c->lock);
    const struct subscription *s = r->subscription < c->n_subs ? c->subs[r->subscription] : NULL;
    pthread_mutex_unlock(&c->lock);
    if (!s || broker.n == 0 || part_of(r->handle, 7).n == 0) return refuse(EINVAL);
    char topic[2 * RMQ_NAME_SIZE + 16];
    bool is_retry = str_eq(retry, STR("1")) || str_eq(retry, STR("2"));
    int n = is_retry
                ? snprintf(topic, sizeof topic, "%%RETRY%%%s%c%s", s->group, retry.p[0] == '1' ? '_' : '+', s->topic)
                : snprintf(topic, sizeof topic, "%s", s->topic);
    struct call *k = rmq_take(c, kind, CALL_ROOM);
    if (!k) return false;
    k->receipt = *r;
    k->number = number;
    bool ok = n > 0 && rmq_text(k, TEXT_TOPIC, str_of(s->topic)) && rmq_text(k, TEXT_KEY, str_of(s->group)) &&
              rmq_text(k, TEXT_PROPERTIES, (struct str){topic, (size_t)n}) && rmq_text(k, TEXT_BROKER, broker);
    return ok ? rmq_submit(c, k, done, ctx, token) : no_memory(c, k);
}

bool rmq_ack(struct rmq *c, const struct rmq_receipt *r, rmq_done *done, void *ctx, uint64_t token)
{
    return receipt_call(c, CALL_ACK, r, 0, done, ctx, token);
}

bool rmq_hide(struct rmq *c, const struct rmq_receipt *r, int64_t invisible_ms, rmq_done *done, void *ctx,
              uint64_t token)
{
    if (invisible_ms <= 0) return refuse(EINVAL);
    return receipt_call(c, CALL_HIDE, r, invisible_ms, done, ctx, token);
}

bool rmq_topic_create(struct rmq *c, struct str topic, unsigned queues, rmq_done *done, void *ctx, uint64_t token)
{
    if (!is_topic(topic) || queues == 0 || queues > 1024) return refuse(EINVAL);
    struct call *k = rmq_take(c, CALL_TOPIC, CALL_ROOM);
    if (!k) return false;
    k->shard = queues;
    return rmq_text(k, TEXT_TOPIC, topic) ? rmq_submit(c, k, done, ctx, token) : no_memory(c, k);
}
