// SPDX-License-Identifier: Apache-2.0
// What the files of the server share with each other and nobody else.
//
//   server.c  listening, threads, the loop's rounds, posts, timers      conn.c  one connection: read, queue,
//   write answer.c  what handlers call to answer                               parse.c  bytes to request
//
// Memory: a worker owns its connections, a connection the exchanges in its queue. A connection that died
// stays allocated until the end of the round (`dead`), so that nothing below it on the stack touches freed
// memory.
#ifndef TILL_HTTP_INSIDE_H
#define TILL_HTTP_INSIDE_H

#include "http/http.h"
#include "http/parse.h"
#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>

#define PIPELINE_MAX      64u // requests of one connection without a written answer; then it is not read further
#define PIPELINE_RESUME   32u
#define STREAM_WAIT_MAX   (256u * 1024u)
#define SCRATCH_SIZE      65536u
#define DISCARD_MAX       (1024u * 1024u) // bytes thrown away on a connection that is about to close
#define EXTRA_CONNECTIONS 64u             // being told 503 at one time; beyond that they are just closed

// What a connection is waited for, and so which limit in time applies.
enum conn_phase {
    PHASE_NONE,   // an answer is owed: no limit of ours
    PHASE_FRESH,  // connected, nothing came yet
    PHASE_IDLE,   // keep-alive
    PHASE_HEAD,   // part of a head is here
    PHASE_BODY,   // part of a body is here
    PHASE_EOF,    // the client sends no more; it may still read for this long
    PHASE_LINGER, // all is written and our side shut; unread bytes are thrown away, so that no RST eats the
                  // answer
    PHASE_STALL,  // not a phase of `phase`: the longest a reader may take nothing of what waits
    N_PHASES
};

enum conn_state {
    CONN_OPEN,
    CONN_LAST, // no further requests; ends when the queue is empty
    CONN_LINGER,
    CONN_DEAD
};

struct exchange {
    struct http_exchange pub; // first: the handler's pointer is ours
    struct conn *conn;
    struct exchange *next;
    struct http_field *fields; // in `memory`, before the text they point into
    unsigned n_fields;
    const char *text;
    char *memory;
    size_t memory_n;
    struct buf out;
    size_t sent;
    bool answered, complete, chunked, cut, http10;
};

struct conn {
    struct http_worker *worker;
    int fd;
    enum conn_state state;
    enum conn_phase phase;
    bool eof, reading, writing, dirty, paused, asked_continue, had_request;
    bool must_linger; // the client may still be sending
    bool refused;     // one too many; only told so
    struct event on_read, on_write;
    struct conn *prev, *next;       // all of the worker
    struct conn *dirty_next;        // to be flushed, or dead
    struct exchange *first, **last; // in the order of the requests
    unsigned n_queue;
    struct buf in; // only what did not make a whole request yet; parsed from in_at on
    size_t in_at, discarded;
    int64_t deadline_ms, stall_ms; // 0: none
    struct http_parser parser;
};

struct http_post {
    void (*fn)(void *arg);
    void *arg;
};

struct http_timer {
    struct event event;
    struct http_worker *worker;
    struct http_timer *prev, *next;
    void (*fn)(void *arg);
    void *arg;
};

struct http_worker {
    struct http_server *server;
    unsigned index;
    int listen_fd, wake_fd;
    pthread_t thread;
    bool thread_runs, stopping, arrived; // arrived: round_end is owed
    int64_t now_ms, stop_ms, warn_again_ms;
    struct event_base *base;
    struct event on_accept, on_wake, on_tick, on_accept_again;
    struct conn *conns, *dirty, *dead;
    uint64_t n_served;           // requests handed over
    unsigned n_conns, n_refused; // n_conns counts all
    struct http_timer *timers;
    struct exchange *pool;
    unsigned n_pool;
    char *scratch;

    pthread_mutex_t lock; // the following only
    struct http_post *posts;
    size_t n_posts, cap_posts;
    bool woken, posts_shut;
    struct http_post *running; // the worker's own; swapped with `posts`
    size_t cap_running;
};

struct http_server {
    struct http_handler handler;
    unsigned n_workers, max_connections, port;
    unsigned limit_ms[N_PHASES];
    bool started;
    atomic_uint n_connections;
    atomic_uint grace_ms;
    atomic_bool stopping;
    struct http_worker workers[];
};

static inline struct exchange *exchange_of(struct http_exchange *x)
{
    return (struct exchange *)x;
}

// conn.c
void conn_accept(struct http_worker *w, int fd);
void conn_mark(struct conn *c); // something to write, or to close, at the end of the round
void conn_flush_all(struct http_worker *w);
void conn_free_dead(struct http_worker *w);
void conn_check_limits(struct http_worker *w);
void conn_stop_all(struct http_worker *w); // graceful
void conn_kill_all(struct http_worker *w);
void exchange_pool_free(struct http_worker *w);

// answer.c
// The finished bytes of a refusal that no handler saw.
void answer_refusal(struct exchange *x, int status, const char *code, const char *detail);

// server.c. For tests: other limits than the documented ones, before the start.
void http_server_set_limit(struct http_server *s, enum conn_phase phase, unsigned ms);

#endif
