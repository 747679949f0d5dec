// SPDX-License-Identifier: Apache-2.0
// The broker's side of a turn: what it says comes in like a provider's answer, and what it is to be told goes out
// with the other effects, after the commit.
#include "engine/inside.h"
#include <stdlib.h>

// --- Inbox

void news_init(struct news_list *l)
{
    l->first = NULL;
    l->end = &l->first;
}

static void list_add(struct news_list *l, struct news_node *node)
{
    node->next = NULL;
    *l->end = node;
    l->end = &node->next;
}

static struct news_node *list_take(struct news_list *l)
{
    struct news_node *node = l->first;
    if (!node) return NULL;
    l->first = node->next;
    if (!l->first) l->end = &l->first;
    return node;
}

// False: no memory. What is lost so is said again by whoever said it: the broker asks again, delivers again, and a row
// that owes says it again.
static bool post(struct engine *e, const struct news_node *news)
{
    struct news_node *node = calloc(1, sizeof *node);
    if (node) *node = *news;
    pthread_mutex_lock(&e->lock);
    if (node) {
        list_add(&e->in_news, node);
        atomic_fetch_add(&e->news_backlog, 1);
    }
    if (news->from == FROM_BROKER && news->n.kind == BROKER_SENT) atomic_fetch_sub(&e->calls_in_flight, 1);
    pthread_cond_signal(&e->bell);
    pthread_mutex_unlock(&e->lock);
    return node != NULL;
}

void engine_post_news(struct engine *e, const struct broker_news *n)
{
    (void)post(e, &(struct news_node){.from = FROM_BROKER, .n = *n});
}

bool engine_post_overdue(struct engine *e, uint64_t order_key)
{
    return post(e, &(struct news_node){.from = FROM_SWEEP, .n = {.order_key = order_key}});
}

bool engine_post_archived(struct engine *e, const struct order_mark *m)
{
    return post(e, &(struct news_node){.from = FROM_ARCHIVE, .n = {.order_key = m->key}, .archived = *m});
}

unsigned engine_news_backlog(const struct engine *e)
{
    return atomic_load(&e->news_backlog);
}

void news_take(struct engine *e)
{
    if (!e->in_news.first) return;
    *e->news.end = e->in_news.first;
    e->news.end = e->in_news.end;
    news_init(&e->in_news);
}

// Back to the front: what comes behind it about the same order must not overtake it.
void news_put_off(struct engine *e, struct news_node *node)
{
    node->next = e->news.first;
    if (!node->next) e->news.end = &node->next;
    e->news.first = node;
    atomic_fetch_add(&e->news_backlog, 1);
}

static void gather_one(struct engine *e, struct news_node *node)
{
    struct item *it = item_add(e, ITEM_NEWS);
    it->news = node;
    it->order_key = node->n.order_key;
    atomic_fetch_sub(&e->news_backlog, 1);
}

// The oldest of each order; the others stay where they are. So many news of one order go through one a turn, in their
// order (the newest copy of a half message is heard last), and keep no other order's waiting.
void news_gather(struct engine *e, unsigned most)
{
    struct news_node **at = &e->news.first;
    for (unsigned n = 0; *at && n < most;) {
        struct news_node *node = *at;
        if (!item_claim(e, node->n.order_key)) {
            at = &node->next;
            continue;
        }
        *at = node->next;
        if (!*at) e->news.end = at;
        gather_one(e, node);
        n++;
    }
}

void news_free(struct engine *e)
{
    struct news_node *node;
    while ((node = list_take(&e->in_news)) || (node = list_take(&e->news)))
        free(node);
}

static bool is_news(const struct news_node *node, enum broker_news_kind kind)
{
    return node->from == FROM_BROKER && node->n.kind == kind;
}

// --- Decide

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

// Nothing is ever decided about an order we do not know: this node may lag, or look at the wrong store.
static void decide_unknown(struct engine *e, const struct broker_news *n)
{
    if (n->kind == BROKER_CHECK) count(&e->stats.checks_unknown);
    if (n->kind == BROKER_RECEIVED) count(&e->stats.received_unknown);
}

static void decide_dead(struct engine *e, struct item *it)
{
    struct change *c = change_make(e, it, CHANGE_DEAD);
    c->first_message_key = keygen_take(&e->keys, e->now_ms, 1);
    c->dead = (struct message){.topic = TOPIC_DEAD, .type = MESSAGE_CANCEL, .order_key = it->order_key, .sequence = 1};
    if (it->bundle) {
        c->dead.sequence = it->bundle->order.sequence;
        c->dead.amount_fen = it->bundle->order.amount_fen;
        c->dead.reason = it->bundle->order.reason;
    }
}

static struct event event_of(const struct broker_news *n)
{
    switch (n->kind) {
    case BROKER_SENT: return (struct event){.kind = EV_SENT, .sent = {n->sent.kind, n->sent.outcome, n->sent.at}};
    case BROKER_CHECK: return (struct event){.kind = EV_CHECKBACK, .checkback = {n->checkback.at, n->checkback.n}};
    case BROKER_RECEIVED:
    case BROKER_PUBLISHED: break;
    }
    return (struct event){.kind = EV_RECEIVED};
}

void news_decide(struct engine *e, struct item *it)
{
    const struct news_node *node = it->news;
    struct event ev = node->from == FROM_SWEEP ? (struct event){.kind = EV_SWEEP} : event_of(&node->n);
    // RocketMQ has no dead letters under POP, so ours are kept here whatever the broker.
    if (is_news(node, BROKER_RECEIVED) && node->n.received.n_times > DELIVERIES_MAX) {
        decide_dead(e, it);
        return;
    }
    if (is_news(node, BROKER_PUBLISHED)) {
        struct change *c = change_make(e, it, CHANGE_CONSUMED);
        c->consumer = CONSUMER_OUTBOX;
        c->consumed_key = node->n.published_key;
        return;
    }
    if (node->from == FROM_ARCHIVE) { // the store looks whether anybody has touched it since
        change_make(e, it, CHANGE_ARCHIVED)->archived = node->archived;
        return;
    }
    if (!it->bundle) {
        if (node->from == FROM_BROKER) decide_unknown(e, &node->n);
        return;
    }
    if (is_news(node, BROKER_SENT) && node->n.sent.is_loose) return;
    step_take(e, it, &ev);
    change_order(e, it);
}

// --- Commit

void news_consume(struct engine *e, unsigned *n)
{
    struct broker *b = e->o.broker;
    if (!b || !b->ops->consumes) return;
    uint64_t receipts[BATCH_MAX];
    unsigned n_receipts = 0;
    for (unsigned i = 0; i < e->n_items; i++) {
        const struct item *it = &e->items[i];
        if (it->kind == ITEM_NEWS && !it->again && is_news(it->news, BROKER_RECEIVED))
            receipts[n_receipts++] = it->news->n.received.receipt;
    }
    uint64_t key = b->ops->consumes(b, receipts, n_receipts);
    if (key == 0) return;
    e->changes[*n] =
        (struct change){.kind = CHANGE_CONSUMED, .at_ms = e->now_ms, .consumer = CONSUMER_CANCEL, .consumed_key = key};
    ++*n;
}

// --- Release

static void acknowledge(struct engine *e, const struct item *it, bool is_done)
{
    const struct broker_news *n = &it->news->n;
    if (!is_news(it->news, BROKER_RECEIVED) || !e->o.broker) return;
    e->o.broker->ops->acknowledge(e->o.broker, n->received.receipt, is_done, e->now_ms);
}

static void count_done(struct engine *e, const struct item *it)
{
    const struct broker_news *n = &it->news->n;
    if (it->news->from == FROM_ARCHIVE) {
        count(&e->stats.archived);
    } else if (it->news->from == FROM_SWEEP) {
        if (it->step && it->step->changed) count(&e->stats.swept);
    } else if (n->kind == BROKER_SENT) {
        count(&e->stats.sends[n->sent.kind][n->sent.outcome]);
    } else if (n->kind == BROKER_RECEIVED) {
        count(&e->stats.received);
        if (it->change && it->change->kind == CHANGE_DEAD) count(&e->stats.dead);
    }
}

void news_done(struct engine *e, struct item *it)
{
    count_done(e, it);
    acknowledge(e, it, true);
}

void news_failed(struct engine *e, struct item *it)
{
    acknowledge(e, it, false);
}

static void tell_embedded(struct engine *e, const struct item *it)
{
    struct message_row rows[STEP_MESSAGES];
    unsigned n = it->step->n_messages;
    for (unsigned i = 0; i < n; i++)
        rows[i] = (struct message_row){
            .key = it->change->first_message_key + i, .at_ms = e->now_ms, .message = it->step->messages[i]};
    atomic_fetch_add_explicit(&e->stats.messages, n, memory_order_relaxed);
    e->o.broker->ops->committed(e->o.broker, rows, n, e->now_ms);
}

void broker_tell(struct engine *e, const struct item *it)
{
    struct broker *b = e->o.broker;
    if (!b) return;
    if (it->step->n_messages && b->ops->committed) tell_embedded(e, it);
    for (unsigned i = 0; i < it->step->n_sends; i++) {
        // Without room nothing is said; the row goes on owing and says it later.
        atomic_fetch_add(&e->calls_in_flight, 1);
        if (!b->ops->submit(b, &it->step->sends[i], e->now_ms)) atomic_fetch_sub(&e->calls_in_flight, 1);
    }
}
