// SPDX-License-Identifier: Apache-2.0
// The engine: everything that happens to an order happens in a turn of this one thread.
//
//   gather   what has arrived: requests, providers' answers, deadlines      (bounded; an order at most once per turn)
//   load     the rows they name
//   decide   core_step() for each: pure
//   commit   all changes of the turn, durably, at once
//   release  and only now let effects out: replies, then events, then calls to providers
//
// While a commit is in flight the next turn's work gathers in the inbox: that is the group commit; there is no batch
// timer. THE LAW, that nothing leaves the house before it is durable, is written in engine_turn() and nowhere else.
//
// The engine never waits for anything but the commit, knows no thread, socket or clock: engine_turn(now) is the whole
// of it.
#ifndef TILL_ENGINE_ENGINE_H
#define TILL_ENGINE_ENGINE_H

#include "base/buf.h"
#include "port/broker.h"
#include "port/channel.h"
#include "port/store.h"
#include <stdatomic.h>

struct engine;

// --- Requests: commands from outside

enum request_kind {
    REQUEST_PLACE,
    REQUEST_CANCEL,
    REQUEST_CHECK,
    REQUEST_REFUND,
    REQUEST_NOTICE,
    REQUEST_SKU_PUT,
    REQUEST_STOCK_ADD,
    REQUEST_CART_PUT,
    REQUEST_CART_CLEAR,
    REQUEST_PAY,
    REQUEST_RESOLVE,
    REQUEST_CASES,
    REQUEST_CASE_CLOSE,
};

struct order_wish {
    enum channel_id channel;
    enum policy policy;
    int64_t pay_within_ms;
    int64_t amount_fen;     // without lines and cart: an order by amount; then currency and subject are given
    struct line *lines;     // sku and quantity; the engine fills title and price from the catalogue
    unsigned n_lines;       // each sku once
    struct str cart;        // or the name of a cart
    struct order_text text; // all but items
};

// How the reply reads. code NULL: good, and `body` is the answer's JSON (empty for notices and carts).
struct reply {
    int status;
    const char *code; // stable code of the problem
    char detail[160];
    char pointer[32];
    char sku[72];  // insufficient_stock, unknown_sku: which
    bool replayed; // Idempotent-Replayed
    struct buf body;
};

// Made by the shell, which owns it, all it points to and its arena. Lent to the engine from engine_post() until
// options.reply() hands it back with `reply` filled.
struct request {
    struct request *next; // the engine's while lent
    enum request_kind kind;
    bool has_idem;
    struct hash128 idem_scope;
    struct hash128 body_hash; // of the raw body: Idempotency-Key and merchant_order_no compare it
    uint64_t order_key;       // CANCEL, CHECK, REFUND, PAY, RESOLVE
    struct str note;          // CANCEL, REFUND, RESOLVE, CASE_CLOSE
    union {
        struct order_wish place;
        enum cancel_reason cancel_reason;
        int64_t refund_amount_fen; // 0: all that is left
        struct {
            enum notice_verdict verdict; // NOTICE_GOOD or NOTICE_STRANGE; others never come here
            enum channel_id channel;
            struct notice notice;
        } notice;
        struct {
            struct sku sku;
            bool with_stock;
        } sku_put;
        struct {
            struct str sku;
            int64_t add;
        } stock_add;
        struct {
            struct str cart, sku;
            int64_t quantity;
        } cart;
        struct {
            enum channel_id channel;
            enum product product;
            bool by_buyer;
            struct str payer;     // up to PAYER_MAX bytes
            uint64_t payment_key; // the engine's: the attempt it waits for
        } pay;
        struct {
            uint64_t payment_key;
            bool accepts;
        } resolve;
        struct {
            const struct case_row *rows; // as in struct change
            unsigned n, n_opened;        // the latter is the answer
        } cases;
        uint64_t case_key; // CASE_CLOSE
    };
    struct reply reply;
    // the engine's own while lent
    struct request *chain;
    bool finishing, stock_is_short;
    unsigned n_conflicts;
};

// What a presenter writes as JSON.
enum document_kind { DOCUMENT_ORDER, DOCUMENT_ORDER_AS_PLACED, DOCUMENT_REFUND, DOCUMENT_SKU, DOCUMENT_PAYMENT };
struct document {
    enum document_kind kind;
    const struct order_doc *order;
    const struct refund *refund;
    uint64_t order_key; // of the refund, or of the payment
    const struct payment *payment;
    const struct sku *sku;
};

// --- Counters, for metrics. Written by the engine, read by anyone.
#define N_METHODS  7
#define N_OUTCOMES 4
#define N_POLICIES 4
#define N_ANSWERS  4
#define N_SENDS    4
struct engine_stats {
    _Atomic uint64_t turns, commits, changes, conflicts, dues, dues_stale;
    _Atomic uint64_t calls[N_CHANNELS][N_METHODS][N_OUTCOMES];
    _Atomic uint64_t checkbacks[N_POLICIES][N_ANSWERS];
    _Atomic uint64_t messages, sends[N_SENDS][N_OUTCOMES]; // delivered by the embedded broker; said to one elsewhere
    _Atomic uint64_t checks_unknown, received_unknown;     // of orders that are not ours
    _Atomic uint64_t received, dead, swept, archived;
    _Atomic uint64_t placed, paid, cancelled, late, duplicate, mismatch, cases;
};

struct engine_options {
    struct store *store;                  // borrowed; its thread is the engine's
    struct channel *channels[N_CHANNELS]; // by enum channel_id, borrowed; NULL: off
    struct broker *broker;                // borrowed; NULL: nothing is told through one. Its kind is rules.broker's
    struct rules rules;
    uint8_t node;
    int64_t reply_wait_ms; // how long a placing waits for its code
    void *ctx;
    // Gives a request back, answered. Called in the engine's thread, at the release.
    void (*reply)(void *ctx, struct request *r);
    // Writes a document. Pure.
    void (*present)(void *ctx, const struct document *d, struct buf *out);
    // Public events up to this key are durable. May be NULL.
    void (*events)(void *ctx, uint64_t last_event_key);
    // After all effects of a turn: everything collected may be passed on. May be NULL.
    void (*turn_end)(void *ctx);
};

struct engine *engine_new(const struct engine_options *o, char why[160]); // arms the timers from the store
void engine_free(struct engine *e); // NULL allowed. Requests still lent are given back answered 503.

// --- Any thread
void engine_post(struct engine *e, struct request *first, struct request *last, unsigned n); // a chain through `next`
void engine_post_answer(struct engine *e, const struct answer *a);                           // copied
void engine_post_news(struct engine *e, const struct broker_news *n);                        // copied
// The fallback sweep found this order overdue. False: no memory; it is found again.
bool engine_post_overdue(struct engine *e, uint64_t order_key);
// The archive has this order durably: the store may forget it, unless somebody touched it since. False: no memory.
bool engine_post_archived(struct engine *e, const struct order_mark *m);
unsigned engine_news_backlog(const struct engine *e); // what was posted by the three above and not yet taken
unsigned engine_backlog(const struct engine *e); // requests posted and not yet taken: refuse at the door when large
const struct engine_stats *engine_stats(const struct engine *e);
// Sleeps until something is in the inbox, engine_wake(), or `ms` have passed (negative: for ever).
void engine_sleep(struct engine *e, int64_t ms);
void engine_wake(struct engine *e);
// Nothing in the inbox, no call without its answer, nobody waits. (Deadlines aside: engine_next_ms.)
bool engine_is_idle(const struct engine *e);
int64_t engine_next_ms(const struct engine *e); // the nearest deadline as of the last turn

// --- The engine's thread
enum turn_result {
    TURN_DONE,  // there may be more at once when engine_next_ms() is not later than now
    TURN_FATAL, // a commit's outcome is unknown, or rows cannot be read: stop, let nothing out, end the process
};
enum turn_result engine_turn(struct engine *e, int64_t now_ms);

#endif
