// SPDX-License-Identifier: Apache-2.0
// The broker port over an Apache RocketMQ 5 cluster.
//
// With group=G: halves are sent and checked as G_tx, plain messages as G_out, order.cancel is received as G_cancel.
// Every public event goes to till_order_events, in order per order, from the store's own event table: that is the
// outbox, and `published` its position.
#ifndef TILL_BROKER_ROCKETMQ_H
#define TILL_BROKER_ROCKETMQ_H

#include "port/broker.h"
#include "port/store.h"

struct rocketmq_options {
    const char *url;        // rocketmq://host:port[;host:port][?group=G], checked already; group is till by default
    const char *access_key; // "": no ACL
    const char *secret_key_file; // "": no ACL
    bool tls;
    const char *ca_file; // NULL: the system's authorities
    bool tls_insecure;
    int64_t call_deadline_ms;
    int64_t window_ms;              // the payment window, to compare with how long a broker keeps asking
    uint8_t secret[ID_SECRET_SIZE]; // the store's: of ids
    uint64_t published_key;         // events up to it are published
    struct reader *reader;          // for the outbox, which has a thread of its own; owned from here on, on failure too
};

// Texts are borrowed until it is freed. NULL with a reason when memory is out; its start() fails when a file cannot be
// read. Neither waits for the network.
struct broker *rocketmq_open(const struct rocketmq_options *o, const struct news_sink *sink, char why[160]);

#endif
