// SPDX-License-Identifier: Apache-2.0
// The contract of a store: load what a turn names, apply what its steps decided, durably and all at once.
//
// Correctness sits on compare-and-set (an order's version), UNIQUE and CHECK; never on a lock with a time-to-live and
// never on an isolation level. One struct store belongs to one engine thread. Readers are separate and many.
//
// Ownership: everything a load or a reader hands out lives in the arena it was given.
#ifndef TILL_PORT_STORE_H
#define TILL_PORT_STORE_H

#include "base/arena.h"
#include "base/id.h"
#include "core/order.h"
#include "port/broker.h"

// --- Rows beside the core's

struct order_text { // what an order carries for people; empty when absent
    struct str merchant_order_no, buyer, subject, currency;
    struct str items;    // JSON array, as the API shows it: [{"sku","title","quantity","price"}]
    struct str metadata; // JSON object
};

struct sku {
    struct str sku, title, currency;
    int64_t price_fen;
    struct stock stock;
};

struct order_doc { // an order as the API shows it
    struct order order;
    struct order_text text;
    bool has_payment;
    struct payment payment; // the newest attempt
};

struct cart_line {
    struct sku sku;
    int64_t quantity;
};

struct event_row {
    uint64_t key, order_key;
    int64_t at_ms;
    struct public_event event;
    struct str currency;
};

struct trace_row {
    uint64_t key;
    int64_t at_ms;
    struct trace trace;
    enum order_state from, to; // TRACE_STATE only
};

// What is remembered of an answered POST. The first 2xx answer of a placing is rebuilt from the order; any other's
// bytes are kept.
struct idem_record {
    struct hash128 scope; // of API key, method, path and Idempotency-Key
    struct hash128 body;  // of the request's bytes
    int64_t at_ms;
    int status;
    uint64_t order_key; // of a placing, else 0
    struct str answer;  // else the bytes
};

// Where our books and a provider's differ, until somebody has said what became of it. Nothing else ever follows from
// one.
enum case_kind {
    CASE_UNKNOWN_NUMBER = 1, // a genuine notification of a number we never gave
    CASE_MISSING_HERE,       // a bill has it, we do not
    CASE_MISSING_THERE,      // we have it, no bill does
    CASE_AMOUNT_DIFFERS,
};
#define CASE_KINDS        5 // with 0, which is none
#define CASE_NUMBER_MAX   64
#define CASE_NOTE_MAX     256
#define CASES_AT_ONCE_MAX 64

struct case_row {
    uint64_t key;
    enum case_kind kind;
    enum channel_id channel;
    bool is_refund;           // else a capture
    struct str number;        // out_trade_no; together with the five before and the amounts it is one case, once
    struct str refund_number; // empty: not a refund, or not known
    struct str provider_trade_no;
    int64_t here_fen, there_fen;     // 0: not there
    uint64_t order_key, payment_key; // 0: not known
    int64_t day_ms;                  // of the bill; 0: there was none
    int64_t opened_ms, closed_ms;    // closed 0: open
    struct str note;                 // of who closed it
    // read only
    enum order_state order_state; // as it is now; 0 without an order
    enum payment_state payment_state;
};
const char *case_kind_name(enum case_kind k); // snake_case

// --- Load

enum want_kind {
    WANT_ORDER,       // key: the order's
    WANT_PAYMENT,     // key: an attempt's; the bundle of its order, that attempt included
    WANT_SKU,         // text: the sku
    WANT_CART,        // text: the cart's name; lines with their skus
    WANT_IDEM,        // scope
    WANT_MERCHANT_NO, // text: merchant_order_no; the order that has it
};

struct want {
    enum want_kind kind;
    uint64_t key;
    uint64_t refund_key; // WANT_PAYMENT: a refund to have in the bundle, 0: none
    struct str text;
    struct hash128 scope;
    // out
    bool found;
    struct bundle *bundle;
    struct order_text order_text;
    struct hash128 request_hash; // WANT_MERCHANT_NO: of the body that placed it
    struct sku sku;
    struct cart_line *lines;
    unsigned n_lines;
    struct idem_record idem;
};

// --- Apply

enum change_kind {
    CHANGE_ORDER,      // bundle and step; a new order (version 1) with text, lines and cart
    CHANGE_SKU_PUT,    // sku; its stock only when it is new; without a currency it keeps its own, or is CNY
    CHANGE_STOCK_ADD,  // sku (as loaded) and add; another number available by now: APPLY_CONFLICT
    CHANGE_CART_PUT,   // cart, sku.sku, quantity (0 removes)
    CHANGE_CART_CLEAR, // cart
    CHANGE_CASE,       // cases: those that were not there before are opened; n_opened
    CHANGE_CASE_CLOSE, // case_key and note. APPLY_MISSING: there is none; APPLY_EXISTS: closed with another note
    CHANGE_IDEM,       // nothing but its idem record
    CHANGE_CONSUMED,   // the cancel receiver has consumed up to consumed_key; only when all before it in the batch are
                       // done
    CHANGE_DEAD,       // dead, under first_message_key: a message nobody could take
    CHANGE_ARCHIVED, // archived: the archive has the order durably, the store may forget it. Anything done to it since:
                     // APPLY_CONFLICT
};

enum consumer {
    CONSUMER_CANCEL, // the embedded broker's group till_cancel, of its topic
    CONSUMER_OUTBOX, // a broker elsewhere, of the public events
};

enum apply_result {
    APPLY_DONE,
    APPLY_CONFLICT, // somebody else was faster (version, unique number): load and step again
    APPLY_SHORT,    // stock guard: nothing of this change was applied; short_sku says which
    APPLY_MISSING,  // the sku is not there
    APPLY_EXISTS,   // CHANGE_SKU_PUT with stock for a sku that exists
    APPLY_FULL,     // the cart has too many lines
};

// An order as it was copied: nobody has touched it as long as both are the same.
struct order_mark {
    uint64_t key;
    uint32_t version;
    uint64_t last_trace_key; // 0: it has no traces
};

struct change {
    enum change_kind kind;
    int64_t at_ms;
    // CHANGE_ORDER. bundle->order.version is the new one; it must be one more than the stored one (1: not stored yet).
    // With step->changed false the rows stay as they are and only the traces, if any, are written.
    const struct bundle *bundle;
    const struct step *step;
    uint64_t first_event_key, first_trace_key; // consecutive from here, one per step->events / step->traces
    uint64_t first_message_key;                // likewise, step->messages; also CHANGE_DEAD
    const struct order_text *text;             // new orders only, as all up to `cart`
    struct hash128 request_hash;               // kept beside a merchant_order_no
    const struct line *lines;
    unsigned n_lines;
    struct str cart; // emptied in the same commit; also CHANGE_CART_*
    // the small ones
    struct sku sku;
    bool with_stock; // CHANGE_SKU_PUT: sku.stock.available was given
    int64_t add, quantity;
    enum consumer consumer;
    uint64_t consumed_key;
    struct message dead;
    struct order_mark archived;
    const struct case_row *cases; // up to CASES_AT_ONCE_MAX; keys, order, and what is read only are not looked at:
    unsigned n_cases;             // payment_key may be of none, then it is not kept
    uint64_t case_key;            // CHANGE_CASE: the first of as many consecutive ones as there are cases
    struct str note;
    // with any of them
    const struct idem_record *idem; // NULL: none
    // out
    enum apply_result result;
    bool created;         // CHANGE_SKU_PUT
    unsigned n_opened;    // CHANGE_CASE
    struct str short_sku; // borrowed from lines or from the arena
    struct sku after;     // CHANGE_SKU_PUT: the row as it is now
};

enum store_outcome {
    STORE_DONE,    // durable: it is there after any crash
    STORE_REFUSED, // nothing of the batch was written (disk full): it may be tried again
    STORE_UNKNOWN, // it may or may not be there. Nothing may be acknowledged; the process must end and start anew
};

struct due_row {
    uint64_t order_key;
    int64_t due_ms;
};

struct store;
struct store_ops {
    // Fills every want. False on a read error: the turn is given up, nothing was decided.
    bool (*load)(struct store *s, struct want *wants, unsigned n, struct arena *a);
    // Applies in order, each change wholly or not at all (result), then makes all of them durable together.
    enum store_outcome (*apply)(struct store *s, struct change *changes, unsigned n, struct arena *a);
    // The open orders, for arming the timers after a start: each call goes on after the key given, fills up to max rows
    // in key order; 0 when there are no more, -1 on a read error.
    int (*dues)(struct store *s, uint64_t after_key, struct due_row *rows, unsigned max);
    // Messages of a topic behind `after_key`, oldest first, up to max; -1 on a read error.
    int (*messages)(struct store *s, enum topic topic, uint64_t after_key, struct message_row *rows, unsigned max);
    // Up to where it has consumed. False on a read error.
    bool (*consumed)(struct store *s, enum consumer consumer, uint64_t *key);
    // Housekeeping between turns when nothing is due (old idempotency records and messages, checkpoint). Short.
    void (*tidy)(struct store *s, int64_t now_ms);
    void (*close)(struct store *s);
};

struct store {
    const struct store_ops *ops;
    uint8_t secret[ID_SECRET_SIZE]; // made with the store, never changes; keys the ids
    uint64_t last_key;              // the largest key any row has, for keygen
    int64_t last_ms;                // the latest instant any commit carries: time does not run back over a restart
};

// --- Readers: a read-only view each, for one thread. They see every commit that was acknowledged before the call.

struct order_filter {
    enum order_state state; // 0: any
    struct str buyer;       // empty: any
    uint64_t before_key;    // 0: from the newest
};

struct case_filter {
    bool is_open, is_closed; // neither: any
    uint64_t before_key;     // 0: from the newest
    uint64_t key;            // that one only; 0: all
};

struct store_totals {
    int64_t orders[8]; // by order_state, those in the archive too
    int64_t oldest_ms; // when the oldest order that is not in the archive was placed; 0: there is none
    int64_t cases_open;
    int64_t deadlines_overdue; // window over for more than a minute and still not closing or beyond
    int64_t refunds_pending,
        refunds_abnormal;     // on their way; those of them that somebody has to act on at the provider
    int64_t oldest_refund_ms; // when the oldest that is on its way was made; 0: there is none
};

struct reader;
struct reader_ops {
    // Each: false on a read error. Lists fill up to max rows and say how many.
    bool (*order)(struct reader *r, uint64_t key, struct order_doc *out, bool *found, struct arena *a);
    bool (*orders)(struct reader *r, const struct order_filter *f, struct order_doc *out, unsigned max, unsigned *n,
                   struct arena *a);
    bool (*timeline)(struct reader *r, uint64_t order_key, struct trace_row *out, unsigned max, unsigned *n,
                     struct arena *a); // oldest first, states and traces merged; the newest `max`
    bool (*refunds)(struct reader *r, uint64_t order_key, uint64_t before_key, struct refund *out, unsigned max,
                    unsigned *n, struct arena *a); // newest first
    bool (*payments)(struct reader *r, uint64_t order_key, struct payment *out, unsigned max, unsigned *n,
                     struct arena *a); // oldest first
    bool (*events)(struct reader *r, uint64_t after_key, struct event_row *out, unsigned max, unsigned *n,
                   struct arena *a); // oldest first
    // The largest key of an event that went to the archive, 0: none did. What lies up to it may have gaps.
    bool (*events_gone)(struct reader *r, uint64_t *key);
    bool (*messages)(struct reader *r, enum topic topic, uint64_t after_key, struct message_row *out, unsigned max,
                     unsigned *n); // oldest first; not of TOPIC_EVENTS, which are the events
    bool (*sku)(struct reader *r, struct str sku, struct sku *out, bool *found, struct arena *a);
    // newest first, on from `after` (empty: from the newest)
    bool (*skus)(struct reader *r, struct str after, struct sku *out, unsigned max, unsigned *n, struct arena *a);
    bool (*cart)(struct reader *r, struct str cart, struct cart_line *out, unsigned max, unsigned *n, struct arena *a);
    bool (*cases)(struct reader *r, const struct case_filter *f, struct case_row *out, unsigned max, unsigned *n,
                  struct arena *a); // newest first
    // What is owed by open orders, by key from after the one given.
    bool (*dues)(struct reader *r, uint64_t after_key, struct due_row *out, unsigned max, unsigned *n);
    bool (*totals)(struct reader *r, int64_t now_ms, struct store_totals *out);
    void (*close)(struct reader *r);
};

struct reader {
    const struct reader_ops *ops;
};

#define CART_LINES_MAX 50 // as ORDER_LINES_MAX

#endif
