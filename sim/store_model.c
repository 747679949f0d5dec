// SPDX-License-Identifier: Apache-2.0
#include "store_model.h"
#include "node.h"
#include <stdlib.h>
#include <string.h>

struct model {
    struct store store; // first: what the engine is given
    struct store *inner;
    struct world *w;
};

static struct model *model_of(struct store *s)
{
    return (struct model *)s;
}

static void same_as_inner(struct model *m)
{
    memcpy(m->store.secret, m->inner->secret, sizeof m->store.secret);
    m->store.last_key = m->inner->last_key;
    m->store.last_ms = m->inner->last_ms;
}

static bool model_load(struct store *s, struct want *wants, unsigned n, struct arena *a)
{
    struct store *inner = model_of(s)->inner;
    return inner->ops->load(inner, wants, n, a);
}

static enum store_outcome commit_lost(struct model *m, struct change *changes, unsigned n, struct arena *a)
{
    struct world *w = m->w;
    bool is_there = random_chance(&w->server, 500);
    world_reached(w, SCENE_COMMIT_UNKNOWN);
    world_tell(w, "the connection is lost during COMMIT, which %s", is_there ? "took place" : "did not");
    w->node->disk_is_broken = true; // its end is no surprise
    if (is_there) (void)m->inner->ops->apply(m->inner, changes, n, a);
    return STORE_UNKNOWN;
}

static enum store_outcome model_apply(struct store *s, struct change *changes, unsigned n, struct arena *a)
{
    struct model *m = model_of(s);
    struct world *w = m->w;
    if (world_faults(w, FAULT_STORE, &w->server)) {
        if (random_chance(&w->server, 100)) return commit_lost(m, changes, n, a);
        world_reached(w, SCENE_BATCH_REFUSED);
        world_tell(w, "the store refuses a batch of %u", n);
        return STORE_REFUSED;
    }
    enum store_outcome outcome = m->inner->ops->apply(m->inner, changes, n, a);
    same_as_inner(m);
    return outcome;
}

static int model_dues(struct store *s, uint64_t after_key, struct due_row *rows, unsigned max)
{
    struct store *inner = model_of(s)->inner;
    return inner->ops->dues(inner, after_key, rows, max);
}

static int model_messages(struct store *s, enum topic topic, uint64_t after_key, struct message_row *rows, unsigned max)
{
    struct store *inner = model_of(s)->inner;
    return inner->ops->messages(inner, topic, after_key, rows, max);
}

static bool model_consumed(struct store *s, enum consumer consumer, uint64_t *key)
{
    struct store *inner = model_of(s)->inner;
    return inner->ops->consumed(inner, consumer, key);
}

static void model_tidy(struct store *s, int64_t now_ms)
{
    struct store *inner = model_of(s)->inner;
    inner->ops->tidy(inner, now_ms);
}

static void model_close(struct store *s)
{
    struct model *m = model_of(s);
    m->inner->ops->close(m->inner);
    free(m);
}

struct store *store_model_new(struct world *w, struct store *inner)
{
    static const struct store_ops ops = {model_load,     model_apply, model_dues, model_messages,
                                         model_consumed, model_tidy,  model_close};
    struct model *m = malloc(sizeof *m);
    if (!m) abort();
    *m = (struct model){.store = {.ops = &ops}, .inner = inner, .w = w};
    same_as_inner(m);
    return &m->store;
}
