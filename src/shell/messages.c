// SPDX-License-Identifier: Apache-2.0
// GET /v1/messages: what the embedded broker has delivered, topic by topic. The topic of facts is the events
// themselves.
#include "broker/body.h"
#include "shell/shell.h"

struct message_shown {
    char id[ID_TEXT_SIZE];
    const char *tag;
    uint64_t order_key;
    int64_t at_ms;
};

// Opens the element up to the body, which follows.
static void shown_open(const struct shell *s, const struct message_shown *m, enum topic topic, struct buf *out)
{
    char order[ID_TEXT_SIZE];
    id_format(s->secret, "ord_", m->order_key, order);
    json_open(out, '{');
    json_kz(out, "id", m->id);
    json_kz(out, "topic", topic_name(topic));
    json_kz(out, "tags", m->tag);
    json_kz(out, "keys", order);
    json_ktime(out, "at", m->at_ms);
    json_key(out, "body");
}

static void show_message(const struct shell *s, const struct message_row *row, struct buf *out)
{
    struct message_shown m = {
        .tag = message_type_name(row->message.type), .order_key = row->message.order_key, .at_ms = row->at_ms};
    id_format(s->secret, "msg_", row->key, m.id);
    shown_open(s, &m, row->message.topic, out);
    body_of_message(s->secret, m.id, &row->message, out);
    json_close(out, '}');
}

static void show_event(const struct shell *s, const struct event_row *row, struct buf *out)
{
    struct message_shown m = {
        .tag = event_type_name(row->event.type), .order_key = row->order_key, .at_ms = row->at_ms};
    id_format(s->secret, "evt_", row->key, m.id);
    shown_open(s, &m, TOPIC_EVENTS, out);
    body_of_event(s->secret, row->key, row->order_key, &row->event, out);
    json_close(out, '}');
}

// One more than `limit` is read, to know whether there is more.
static bool list_messages(struct worker *w, enum topic topic, uint64_t after_key, unsigned limit, bool *has_more)
{
    unsigned n = 0;
    struct message_row *rows = arena_take(&w->arena, (limit + 1) * sizeof *rows);
    if (!rows || !w->reader->ops->messages(w->reader, topic, after_key, rows, limit + 1, &n)) return false;
    for (unsigned i = 0; i < n && i < limit; i++)
        show_message(w->shell, &rows[i], &w->out);
    *has_more = n > limit;
    return true;
}

static bool list_events(struct worker *w, uint64_t after_key, unsigned limit, bool *has_more)
{
    unsigned n = 0;
    struct event_row *rows = arena_take(&w->arena, (limit + 1) * sizeof *rows);
    if (!rows || !w->reader->ops->events(w->reader, after_key, rows, limit + 1, &n, &w->arena)) return false;
    for (unsigned i = 0; i < n && i < limit; i++)
        show_event(w->shell, &rows[i], &w->out);
    *has_more = n > limit;
    return true;
}

static bool topic_param(struct worker *w, struct http_exchange *x, enum topic *topic)
{
    struct str name;
    *topic = TOPIC_0;
    if (!param(w, x, "topic", &name)) return false;
    for (unsigned t = TOPIC_CANCEL; name.p && t < N_TOPICS; t++)
        if (str_eq(name, str_of(topic_name((enum topic)t)))) *topic = (enum topic)t;
    if (*topic != TOPIC_0) return true;
    http_problem(x, 400, "invalid_parameter",
                 "topic is till_order_cancel, till_order_paid, till_order_events or %DLQ%till_cancel", NULL);
    return false;
}

void read_messages(struct worker *w, struct http_exchange *x)
{
    static const char *const known[] = {"topic", "after", "limit", NULL};
    enum topic topic;
    struct str after;
    uint64_t after_key = 0;
    unsigned limit;
    bool has_more = false;
    if (!params_only(x, known) || !topic_param(w, x, &topic) || !param(w, x, "after", &after)) return;
    if (!param_limit(w, x, &limit)) return;
    if (w->shell->broker_kind != BROKER_EMBEDDED && topic != TOPIC_DEAD)
        return http_problem(x, 404, "not_embedded", "the messages are at the broker: subscribe there", NULL);
    const char *prefix = topic == TOPIC_EVENTS ? "evt_" : "msg_";
    if (after.p && !id_parse(w->shell->secret, prefix, after, &after_key))
        return http_problem(x, 400, "invalid_cursor", "after is the id of a message of this topic", NULL);
    buf_clear(&w->out);
    list_open(&w->out);
    bool ok = topic == TOPIC_EVENTS ? list_events(w, after_key, limit, &has_more)
                                    : list_messages(w, topic, after_key, limit, &has_more);
    if (!ok) return read_failed(x);
    list_close(&w->out, has_more, STR(""));
    api_respond_json(x, 200, &w->out);
}
