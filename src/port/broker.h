// SPDX-License-Identifier: Apache-2.0
// The contract of a broker: it keeps half messages and asks back, takes their end, delivers what was committed or sent
// plainly to consumer groups at least once, and tells the engine by news.
//
// Two kinds. The embedded one keeps its messages, and what its group has consumed, in the store's own commits: nothing
// is submitted to it, it is shown the rows that were committed. One elsewhere is told by submit(), and each submit ends
// in exactly one BROKER_SENT with one of three outcomes:
//   done: it is durable over there
//
//   refused: the broker, definitely, will not do this (an end: it does not know that half message)
//
//   unknown: anything else. It may have happened.
#ifndef TILL_PORT_BROKER_H
#define TILL_PORT_BROKER_H

#include "base/buf.h"
#include "core/order.h"

struct broker;

enum broker_news_kind {
    BROKER_SENT,      // a submit's outcome
    BROKER_CHECK,     // it asks about a half message of ours; saying nothing means UNKNOWN
    BROKER_RECEIVED,  // order.cancel for the cancel receiver: to be acknowledged once what it brings is durable
    BROKER_PUBLISHED, // public events up to `published_key` are durable over there (order_key is 0)
};

struct broker_news {
    enum broker_news_kind kind;
    uint64_t order_key;
    union {
        struct {
            enum send_kind kind;
            enum outcome outcome;
            struct half_at at; // SEND_HALF: where it lies; SEND_END: as in the send
            bool is_loose;     // as in the send
        } sent;
        struct {
            struct half_at at;
            uint32_t n;
        } checkback;
        struct {
            uint64_t receipt;
            uint32_t n_times; // 1 for the first delivery
        } received;
        uint64_t published_key;
    };
};

// Where news go. Called on any thread; copies.
struct news_sink {
    void (*post)(void *ctx, const struct broker_news *n);
    void *ctx;
};

// A message as it was committed to the embedded broker.
struct message_row {
    uint64_t key; // its position: grows within a topic
    int64_t at_ms;
    struct message message;
};

#define DELIVERIES_MAX 16 // of one message to a group; then it is a dead letter

struct broker_ops {
    // Begins its work: from now on news may be posted. False with a reason. NULL: there is nothing to begin.
    bool (*start)(struct broker *b, char why[160]);
    // Takes a send over; never blocks. True: one BROKER_SENT will follow, at the latest after rules.call_deadline_ms.
    // False: no room, nothing was sent, nothing will follow.
    bool (*submit)(struct broker *b, const struct send *s, int64_t now_ms);
    // A message received: done with, or to be delivered again a moment later.
    void (*acknowledge)(struct broker *b, uint64_t receipt, bool is_done, int64_t now_ms);
    // Public events up to this key are durable here: a broker elsewhere publishes them. NULL: nobody need be told.
    void (*events)(struct broker *b, uint64_t last_event_key);
    // For people and for scrapes, on any thread: a JSON object; lines of Prometheus text.
    void (*describe)(struct broker *b, struct buf *out);
    void (*metrics)(struct broker *b, struct buf *out);
    // --- Of the embedded broker, NULL of others; all on the engine's thread.
    // These rows are durable.
    void (*committed)(struct broker *b, const struct message_row *rows, unsigned n, int64_t now_ms);
    // Up to where the cancel receiver will have consumed, once what was received under these receipts (there may be
    // none) is committed too. 0: no need to say.
    uint64_t (*consumes)(struct broker *b, const uint64_t *receipts, unsigned n);
    // Delivers again what was not acknowledged for too long. When it wants to be called next.
    int64_t (*tick)(struct broker *b, int64_t now_ms);
    void (*free)(struct broker *b);
};

struct broker {
    const struct broker_ops *ops;
};

#endif
