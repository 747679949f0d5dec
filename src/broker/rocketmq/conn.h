// SPDX-License-Identifier: Apache-2.0
// One connection to a name server or broker: address, TLS, frames in, one write per loop round out. I/O thread only.
//
// A connection that fails is not freed at once (its frames may be under somebody's eyes): it is dead, off its peer, and
// conns_bury() frees it at the end of the round.
#ifndef TILL_BROKER_ROCKETMQ_CONN_H
#define TILL_BROKER_ROCKETMQ_CONN_H

#include "broker/rocketmq/wire.h"
#include <netdb.h>
#include <openssl/ssl.h>
#include <sys/queue.h>

#define CONN_QUEUED_MAX ((size_t)32 << 20) // bytes waiting to be written; beyond that calls wait outside

struct rmq;
struct broker;
struct call;
struct conn;

TAILQ_HEAD(calls, call);
TAILQ_HEAD(conns, conn);

// Somebody to be connected to, for as long as it is wanted.
struct peer {
    struct broker *broker; // NULL: a name server
    char host[256], port[8];
    bool wanted;
    struct conn *conn; // NULL: none
    unsigned n_failures;
    int64_t try_at_ms;
    char why[128]; // what the last attempt died of
};

enum conn_stage { CONN_RESOLVING, CONN_CONNECTING, CONN_SHAKING, CONN_READY, CONN_DEAD };

struct resolution; // a name being looked up; outlives a connection that gave up

struct conn {
    struct rmq *c;
    struct peer *peer;
    enum conn_stage stage;
    bool draining; // the server goes away: answers still come, nothing new is sent
    bool is_dirty; // on the list of those to flush
    bool wants_write;
    bool is_registered;
    int fd;
    SSL *ssl;
    struct resolution *resolution;
    int64_t give_up_ms; // while not ready, and while draining
    int64_t heard_ms;   // last bytes in
    struct buf in, out;
    size_t out_at;
    uint64_t queued, written; // bytes since the connection began: a call was written when `written` reached its end
    struct calls calls;       // awaiting answers
    struct calls oneway;      // awaiting the write, in order
    TAILQ_ENTRY(conn) link, dirty;
};

// "host:port". False when it is not.
bool peer_set(struct peer *p, struct str address);
// Starts to connect when it is wanted, due, and not connected. Failures show in p->why and p->try_at_ms.
void peer_connect(struct rmq *c, struct peer *p);
void conn_event(struct conn *conn, uint32_t events);
void conn_tick(struct conn *conn);
void conn_dirty(struct conn *conn); // something was appended to `out`: it is written at the end of the round
void conns_flush(struct rmq *c);
void conn_drain(struct conn *conn);
// Calls whose request was not wholly written go back to be sent again, the others end unknown.
void conn_close(struct conn *conn, const char *why);
void conns_bury(struct rmq *c);
void conns_free(struct rmq *c);

// TLS for all connections. NULL with a reason.
struct rmq_options;
SSL_CTX *conn_tls_new(const struct rmq_options *o, char why[160]);

#endif
