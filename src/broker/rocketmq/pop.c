// SPDX-License-Identifier: Apache-2.0
// The POP consumer: one long poll per subscription and master. The broker keeps who has what; we only bound how many
// deliveries are open, and say with each acknowledgement which delivery it was.
#include "broker/rocketmq/inside.h"
#include <stdio.h>
#include <stdlib.h>

#define POP_MESSAGES_MAX 32 // the broker's limit for one request
#define POP_AGAIN_MS     1000
#define SWEEP_MS         1000

// --- Slots: one for each delivery that is open

static struct subscription *subscription_of(struct rmq *c, uint32_t index)
{
    return index < c->n_subs_seen ? c->subs[index] : NULL;
}

static struct slot *slot_take(struct rmq *c, struct subscription *s, uint32_t *at)
{
    if (s->n_used == s->max) return NULL;
    while (s->slots[s->next_slot % s->max].used)
        s->next_slot++;
    *at = s->next_slot++ % s->max;
    struct slot *slot = &s->slots[*at];
    slot->used = true;
    slot->until_ms = c->now_ms + s->invisible_ms;
    s->n_used++;
    return slot;
}

static void slot_free(struct subscription *s, struct slot *slot)
{
    slot->used = false;
    slot->generation++;
    s->n_used--;
}

void receipt_release(struct rmq *c, const struct rmq_receipt *r)
{
    struct subscription *s = subscription_of(c, r->subscription);
    if (!s || r->slot >= s->max) return;
    struct slot *slot = &s->slots[r->slot];
    if (!slot->used || slot->generation != r->generation) return;
    slot_free(s, slot);
    c->tick_ms = c->now_ms; // there is room again
}

// Deliveries nobody acknowledged come again from the broker: here they are forgotten.
static void sweep(struct rmq *c, struct subscription *s)
{
    if (c->now_ms < s->sweep_ms) return;
    s->sweep_ms = c->now_ms + SWEEP_MS;
    for (unsigned i = 0; i < s->max; i++)
        if (s->slots[i].used && s->slots[i].until_ms <= c->now_ms) slot_free(s, &s->slots[i]);
}

// --- Answers

// What comes of a delivery's place in the broker's lists: "retryFlag queueId value;...". The value for this queue.
static bool start_offset_of(struct str list, char retry_flag, int32_t queue_id, struct str *out)
{
    char wanted[24];
    int n = snprintf(wanted, sizeof wanted, "%c %d ", retry_flag, queue_id);
    while (list.n > 0) {
        const char *end = memchr(list.p, ';', list.n);
        struct str entry = {list.p, end ? (size_t)(end - list.p) : list.n};
        size_t step = entry.n + (end ? 1 : 0);
        if (n > 0 && str_starts(entry, (struct str){wanted, (size_t)n})) {
            *out = (struct str){entry.p + n, entry.n - (size_t)n};
            return out->n > 0;
        }
        list.p += step;
        list.n -= step;
    }
    return false;
}

static char retry_flag_of(struct str topic, struct str group)
{
    if (!str_starts(topic, STR("%RETRY%"))) return '0';
    struct str rest = {topic.p + 7 + group.n, topic.n - 7 - (topic.n >= 7 + group.n ? group.n : 0)};
    return topic.n > 7 + group.n && rest.p[0] == '+' ? '2' : '1';
}

static bool receipt_fill(const struct pop *p, const struct wire_frame *f, const struct message *m,
                         struct rmq_receipt *receipt)
{
    struct str given = wire_property(m->properties, STR("POP_CK")), start;
    if (given.n) {
        if (given.n >= sizeof receipt->handle) return false;
        memcpy(receipt->handle, given.p, given.n);
        receipt->handle[given.n] = '\0';
        return true;
    }
    struct str pop_time = wire_field_of(f, "popTime"), invisible = wire_field_of(f, "invisibleTime");
    struct str revive = wire_field_of(f, "reviveQid"), list = wire_field_of(f, "startOffsetInfo");
    char flag = retry_flag_of(m->topic, str_of(p->s->group));
    if (!pop_time.n || !invisible.n || !revive.n) return false;
    if (!start_offset_of(list, flag, m->queue_id, &start)) {
        if (list.n) return false;
        start = (struct str){"", 0};
    }
    char own_start[24];
    if (!start.n) {
        (void)snprintf(own_start, sizeof own_start, "%lld", (long long)m->queue_offset);
        start = str_of(own_start);
    }
    int n = snprintf(receipt->handle, sizeof receipt->handle, "%.*s %.*s %.*s %.*s %c %s %d %lld", (int)start.n,
                     start.p, (int)pop_time.n, pop_time.p, (int)invisible.n, invisible.p, (int)revive.n, revive.p, flag,
                     p->broker->name, m->queue_id, (long long)m->queue_offset);
    return n > 0 && (size_t)n < sizeof receipt->handle;
}

static bool deliver(struct rmq *c, struct pop *p, const struct wire_frame *f, const struct message *m)
{
    struct subscription *s = p->s;
    struct rmq_delivery d = {.receipt.subscription = s->index};
    if (!receipt_fill(p, f, m, &d.receipt) || !message_body(m, &c->body_room, &d.body)) return false;
    struct slot *slot = slot_take(c, s, &d.receipt.slot);
    if (!slot) return false; // more than we asked for
    d.receipt.generation = slot->generation;
    d.group = str_of(s->group);
    d.topic = str_of(s->topic);
    d.tags = wire_property(m->properties, STR("TAGS"));
    d.keys = wire_property(m->properties, STR("KEYS"));
    d.uniq_key = wire_property(m->properties, STR("UNIQ_KEY"));
    d.n_times = m->n_reconsumed < 0 ? 1 : (uint32_t)m->n_reconsumed + 1;
    d.born_ms = m->born_ms;
    d.stored_ms = m->stored_ms;
    d.prepared_offset = m->prepared_offset;
    bump(&c->stats.deliveries, 1);
    s->on_message(s->ctx, &d);
    return true;
}

static void deliver_all(struct rmq *c, struct pop *p, const struct wire_frame *f)
{
    struct str rest = f->body;
    struct message m;
    size_t used;
    for (;;) {
        enum message_read read = message_read(rest, &m, &used);
        if (read == MESSAGE_END) break;
        if (read == MESSAGE_BROKEN || !deliver(c, p, f, &m)) bump(&c->stats.deliveries_bad, 1);
        if (used == 0) break;
        rest.p += used;
        rest.n -= used;
    }
    if (c->body_room.cap > ((size_t)256 << 10)) buf_free(&c->body_room);
}

static int64_t pause_after(const struct wire_frame *f)
{
    if (!f) return POP_AGAIN_MS;
    switch (f->code) {
    case WIRE_OK:
    case WIRE_POLLING_TIMEOUT: return 0;
    case WIRE_PULL_NOT_FOUND:
    case WIRE_PULL_RETRY:
    case WIRE_NO_MESSAGE: return POP_AGAIN_MS / 10;
    default: return POP_AGAIN_MS;
    }
}

static void pop_ask(struct rmq *c, struct pop *p);

void pop_answered(struct rmq *c, struct call *k, const struct wire_frame *f)
{
    struct pop *p = k->pop;
    call_release(c, k);
    p->s->n_asked -= p->asked;
    p->asked = 0;
    p->is_out = false;
    int64_t pause_ms = pause_after(f);
    p->again_ms = c->now_ms + pause_ms;
    if (f && f->code == WIRE_OK) deliver_all(c, p, f);
    if (f && f->code == WIRE_TOPIC_NOT_EXIST) {
        struct topic *t = topic_of(c, str_of(p->s->topic));
        if (t) route_soon(c, t);
    }
    if (pause_ms == 0) pop_ask(c, p);
}

// --- Asking

static bool reads_from(const struct topic *t, const struct broker *b)
{
    for (unsigned i = 0; i < t->n_readers; i++)
        if (t->readers[i] == b) return true;
    return false;
}

// Open deliveries and those that requests on their way may bring never exceed the subscription's limit; each broker
// has its share of it.
static unsigned room_for(const struct subscription *s, unsigned n_brokers)
{
    unsigned taken = s->n_used + s->n_asked;
    unsigned room = taken < s->max ? s->max - taken : 0;
    unsigned share = s->max / (n_brokers ? n_brokers : 1);
    if (share == 0) share = 1;
    if (room > share) room = share;
    return room < POP_MESSAGES_MAX ? room : POP_MESSAGES_MAX;
}

static void pop_ask(struct rmq *c, struct pop *p)
{
    struct topic *t = topic_of(c, str_of(p->s->topic));
    if (p->is_out || c->now_ms < p->again_ms || !t || !reads_from(t, p->broker)) return;
    struct conn *conn = broker_conn(p->broker);
    unsigned room = room_for(p->s, t->n_readers);
    struct call *k = conn && room ? call_take_ours(c, CALL_POP) : NULL;
    if (!k) return;
    struct wire_request r;
    p->asked = room;
    k->pop = p;
    k->broker = p->broker;
    request_build(c, k, &r);
    if (!call_send_on(c, k, conn, &r)) {
        call_release(c, k);
        p->asked = 0;
        return;
    }
    p->s->n_asked += room;
    p->is_out = true;
}

static void meet_brokers(struct subscription *s, const struct topic *t)
{
    for (unsigned i = 0; i < t->n_readers; i++) {
        bool met = false;
        for (unsigned k = 0; k < s->n_pops; k++)
            met = met || s->pops[k].broker == t->readers[i];
        if (!met && s->n_pops < RMQ_BROKERS_MAX) s->pops[s->n_pops++] = (struct pop){.s = s, .broker = t->readers[i]};
    }
}

void pops_tick(struct rmq *c)
{
    for (unsigned i = 0; i < c->n_subs_seen; i++) {
        struct subscription *s = c->subs[i];
        struct topic *t = topic_of(c, str_of(s->topic));
        if (!t) continue;
        sweep(c, s);
        meet_brokers(s, t);
        for (unsigned k = 0; k < s->n_pops; k++)
            pop_ask(c, &s->pops[k]);
    }
}

void subscription_free(struct subscription *s)
{
    if (!s) return;
    free(s->slots);
    free(s);
}
