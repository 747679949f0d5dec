// SPDX-License-Identifier: Apache-2.0
// What the engine's own files share. Nobody else includes this.
#ifndef TILL_ENGINE_INSIDE_H
#define TILL_ENGINE_INSIDE_H

#include "engine/engine.h"
#include "engine/timers.h"
#include <pthread.h>

#define BATCH_MAX   256
#define WAITS_MAX   16384 // placings that wait for their code at one time; beyond, they are answered at once
#define CLAIMS      (4 * BATCH_MAX)
#define BUCKET_BITS 12
#define BUCKETS     (1 << BUCKET_BITS)

struct answer_node {
    struct answer_node *next;
    struct answer a;
    bool stock_is_short;
    unsigned n_conflicts;
    char code[]; // what a.code points to
};

enum news_from {
    FROM_BROKER,
    FROM_SWEEP,   // it is overdue
    FROM_ARCHIVE, // it is archived
};

// What somebody beside the requests has to say of an order.
struct news_node {
    struct news_node *next;
    enum news_from from;
    struct broker_news n;       // FROM_BROKER; of others the order's key only
    struct order_mark archived; // FROM_ARCHIVE
    unsigned n_conflicts;
};

struct news_list {
    struct news_node *first, **end;
};

enum item_kind { ITEM_REQUEST, ITEM_ANSWER, ITEM_DUE, ITEM_WAIT_OVER, ITEM_NEWS };

// One thing that arrived, on its way through a turn.
struct item {
    enum item_kind kind;
    struct request *request;    // ITEM_REQUEST; ITEM_WAIT_OVER
    struct answer_node *answer; // ITEM_ANSWER
    struct news_node *news;     // ITEM_NEWS
    uint64_t order_key;         // ITEM_DUE, ITEM_WAIT_OVER, ITEM_NEWS; others once loaded
    struct want *wants;
    unsigned n_wants;
    // what was decided
    struct bundle *bundle;
    int64_t due_before_ms; // order.due_ms as loaded
    struct order_text text;
    struct step *step;        // NULL: none was taken
    struct change *change;    // NULL: nothing to commit
    struct change own_change; // what `change` points to until the commit gathers them
    struct idem_record idem;  // what it may point to
    bool is_answered;         // request: `reply` is filled and goes out at the release
    bool waits;               // request: its reply comes with a later turn
    bool again;               // put off to a later turn
};

// A request whose answer waits for a provider's. Oldest first, since all wait equally long.
struct wait {
    struct wait *next, *chain;
    struct request *request; // NULL: answered meanwhile
    uint64_t order_key;
    int64_t until_ms;
};

struct engine {
    struct engine_options o;
    struct keygen keys;
    struct timers timers;
    int64_t now_ms;
    struct engine_stats stats;

    pthread_mutex_t lock; // guards the inbox
    pthread_cond_t bell;
    struct request *in_first, *in_last;
    struct answer_node *in_answers, **in_answers_end;
    struct news_list in_news;
    bool rung;
    _Atomic unsigned backlog, answers_backlog, news_backlog, calls_in_flight;
    _Atomic bool in_turn;
    _Atomic int64_t next_ms;

    // taken from the inbox, not yet through a turn
    struct request *requests, **requests_end;
    struct answer_node *answers, **answers_end;
    struct news_list news;
    struct request *put_off, **put_off_end; // requests that were put off, oldest first

    struct wait *waits, **waits_end, *waits_by_order[BUCKETS];
    unsigned n_waits;
    struct request *idem_running[BUCKETS]; // requests with an Idempotency-Key that are under way

    // the turn
    struct arena arena;
    struct item items[BATCH_MAX];
    unsigned n_items;
    struct change changes[BATCH_MAX + 1]; // one for what the cancel receiver has consumed
    struct step steps[BATCH_MAX];
    uint64_t claims[CLAIMS]; // what this turn's items decide about
    uint64_t last_event_key;
    int64_t broker_ms; // when the broker wants to be looked at
};

static inline unsigned bucket_of(uint64_t key)
{
    return key_place(key, BUCKET_BITS);
}

// decide.c: fills the item's wants (room for item_wants_most() of them is there), and after the load its decision.
unsigned item_wants_most(const struct item *it);
void item_want(struct item *it);
void item_decide(struct engine *e, struct item *it);

// news.c: what the broker says, on its way through a turn, and what it is told.
void news_init(struct news_list *l);
void news_take(struct engine *e); // from the inbox; under the lock
void news_gather(struct engine *e, unsigned most);
void news_put_off(struct engine *e, struct news_node *node);
void news_decide(struct engine *e, struct item *it);
void news_consume(struct engine *e, unsigned *n);  // a change for what this turn consumes, when there is any
void news_done(struct engine *e, struct item *it); // its step is durable, or there was none to take
void news_failed(struct engine *e, struct item *it);
void news_free(struct engine *e);
void broker_tell(struct engine *e, const struct item *it); // a step's messages and sends are durable: out with them

struct item *item_add(struct engine *e, enum item_kind kind);
// An order takes part in a turn once, and so does a cart and the stock of a SKU: what comes second would decide from
// rows that the first is changing. True for the first; 0 is nobody's.
bool item_claim(struct engine *e, uint64_t key);
void step_take(struct engine *e, struct item *it, struct event *ev); // decide.c
void change_order(struct engine *e, struct item *it);
struct change *change_make(struct engine *e, struct item *it, enum change_kind kind);

// What a request decides about, as far as it is known before anything is loaded: an order, a cart, a SKU. 0: nothing
// that anybody else could decide about in the same turn.
uint64_t request_claim(const struct request *r);

// replies
void reply_ok(struct request *r, int status);
void reply_problem(struct request *r, int status, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void reply_present(struct engine *e, struct request *r, int status, const struct document *d);
// Whether the attempt a REQUEST_PAY waits for has come to something.
bool pay_is_ready(const struct request *r, const struct bundle *b);
// The item's order as the reply: of a placing as it was placed, else as it is. Of a REQUEST_PAY its attempt.
void reply_order(struct engine *e, struct request *r, const struct item *it);

struct request *idem_find_running(const struct engine *e, struct hash128 scope);
void idem_run(struct engine *e, struct request *r);

#endif
