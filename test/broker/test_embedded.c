// SPDX-License-Identifier: Apache-2.0
// The contract over the embedded broker.
#include "broker/body.h"
#include "broker/embedded.h"
#include "site.h"

static struct broker *open_embedded(struct site *s, const struct news_sink *sink)
{
    char why[160];
    return embedded_open(s->store, sink, why);
}

static void keep(struct seen *at, const char *tags, const char *id, const struct buf *body)
{
    (void)snprintf(at->tags, sizeof at->tags, "%s", tags);
    (void)snprintf(at->id, sizeof at->id, "%s", id);
    (void)snprintf(at->body, sizeof at->body, "%.*s", (int)body->n, body->p);
}

static unsigned seen_events(struct site *s, uint64_t order_key, struct seen *out, unsigned max)
{
    struct event_row rows[128];
    unsigned n, found = 0;
    struct buf body = {0};
    char id[ID_TEXT_SIZE];
    arena_reset(&s->arena);
    assert_true(s->reader->ops->events(s->reader, 0, rows, 128, &n, &s->arena));
    for (unsigned i = 0; i < n && found < max; i++) {
        if (rows[i].order_key != order_key) continue;
        buf_clear(&body);
        id_format(s->store->secret, "evt_", rows[i].key, id);
        body_of_event(s->store->secret, rows[i].key, order_key, &rows[i].event, &body);
        keep(&out[found++], event_type_name(rows[i].event.type), id, &body);
    }
    buf_free(&body);
    return found;
}

static unsigned seen_by_readers(struct site *s, enum topic topic, uint64_t order_key, struct seen *out, unsigned max)
{
    struct message_row rows[128];
    unsigned n, found = 0;
    struct buf body = {0};
    char id[ID_TEXT_SIZE];
    if (topic == TOPIC_EVENTS) return seen_events(s, order_key, out, max);
    assert_true(s->reader->ops->messages(s->reader, topic, 0, rows, 128, &n));
    for (unsigned i = 0; i < n && found < max; i++) {
        if (rows[i].message.order_key != order_key) continue;
        buf_clear(&body);
        id_format(s->store->secret, "msg_", rows[i].key, id);
        body_of_message(s->store->secret, id, &rows[i].message, &body);
        keep(&out[found++], message_type_name(rows[i].message.type), id, &body);
    }
    buf_free(&body);
    return found;
}

static const struct adapter EMBEDDED = {
    .name = "embedded broker", .kind = BROKER_EMBEDDED, .open = open_embedded, .seen = seen_by_readers};

// --- What is not the receiver's

static int no_messages(struct store *s, enum topic topic, uint64_t after_key, struct message_row *rows, unsigned max)
{
    (void)s, (void)topic, (void)after_key, (void)rows, (void)max;
    return 0;
}

static bool nothing_consumed(struct store *s, enum consumer consumer, uint64_t *key)
{
    (void)s, (void)consumer;
    *key = 0;
    return true;
}

static void nobody(void *ctx, const struct broker_news *n)
{
    (void)ctx, (void)n;
    fail();
}

// A shop under forward alone receives nothing: without this each of its starts would read the whole topic.
static void what_is_not_the_receivers_is_passed_over_now_and_then(void **state)
{
    (void)state;
    static const struct store_ops ops = {.messages = no_messages, .consumed = nothing_consumed};
    struct store store = {.ops = &ops};
    char why[160];
    struct broker *b = embedded_open(&store, &(struct news_sink){nobody, NULL}, why);
    assert_non_null(b);
    b->ops->tick(b, 1);
    for (uint64_t key = 1; key <= 300; key++) {
        struct message_row row = {.key = key, .message = {.topic = TOPIC_CANCEL, .type = MESSAGE_CANCELLED}};
        b->ops->committed(b, &row, 1, 1);
        b->ops->tick(b, 1);
        uint64_t told = b->ops->consumes(b, NULL, 0);
        assert_int_equal(told, key == 256 ? 256 : 0);
    }
    b->ops->free(b);
}

int main(void)
{
    const struct CMUnitTest own[] = {cmocka_unit_test(what_is_not_the_receivers_is_passed_over_now_and_then)};
    int failed = cmocka_run_group_tests_name("embedded broker's own", own, NULL, NULL);
    return broker_contract_run(&EMBEDDED) || failed;
}
