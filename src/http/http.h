// SPDX-License-Identifier: Apache-2.0
// The one small interface between HTTP/1.1 on the wire and whoever answers: Till's own API and the sandbox both stand
// on it. libevent carries the event loop; the parser is our own, strict (http/parse.h), because it reads strangers'
// bytes.
//
// Threads: a server has N workers, each a thread with its own event loop and its own listening socket (SO_REUSEPORT).
// A connection stays with the worker that accepted it. Everything about an exchange happens on its worker's thread;
// other threads reach a worker only through http_worker_post().
//
// One hand-off per loop round: `round_end` is called once after a worker has handled all that was readable, so that
// the handler can pass everything it collected to another thread under one lock, with one wake-up.
//
// Limits (all refused with application/problem+json and a stable code): request line 8 KiB and header section 16 KiB
// -> 431 `headers_too_large`; body 64 KiB -> 413 `body_too_large`; malformed -> 400 `bad_request` and the connection
// is closed; connections beyond the limit are accepted and answered 503 `overloaded`; header section not complete in
// 10 s or body in 30 s -> 408; idle keep-alive 75 s.
#ifndef TILL_HTTP_HTTP_H
#define TILL_HTTP_HTTP_H

#include "base/buf.h"
#include <stdint.h>

struct http_server;
struct http_worker;

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_DELETE, HTTP_OPTIONS, HTTP_OTHER };

// One request and its answer. Created by the server, freed by the server after the answer is complete and written, or
// after `closed` (below). All `struct str` point into it and live as long as it does.
struct http_exchange {
    struct http_worker *worker;
    enum http_method method;
    struct str method_text;
    struct str target; // exactly as sent, for signatures
    struct str path;   // percent-decoded, "/" at least; an encoded NUL or malformed escape was refused before
    struct str query;  // raw, without '?'
    struct str body;
    bool keep_alive;
    void *user; // the handler's own
};

struct http_handler {
    void *ctx;
    // A complete request. Answer it now, or keep `x` and answer later on the same thread. Every request must be
    // answered exactly once, with http_respond() or a stream. Pipelined requests arrive one after another without
    // waiting for the answers; the server writes the answers in the order of the requests.
    void (*request)(void *ctx, struct http_exchange *x);
    // The client went away before the answer was complete. Afterwards `x` is gone: forget it. Not called for answered
    // ones. A client that only ended its sending side still gets answers for 1 s, then this is called.
    void (*closed)(void *ctx, struct http_exchange *x);
    // After each round of a worker's loop in which requests arrived. May be NULL.
    void (*round_end)(void *ctx, struct http_worker *w);
};

struct http_options {
    const char *listen; // "127.0.0.1:8080", "[::1]:8080", port 0 for any
    unsigned n_workers; // 1..64
    unsigned max_connections;
};

// Binds and listens; NULL with a one-line reason in `why` on failure. Does not serve before http_server_start().
struct http_server *http_server_new(const struct http_options *o, const struct http_handler *h, char why[200]);
bool http_server_start(struct http_server *s);
// Stops accepting, lets running exchanges finish for at most `grace_ms`, ends the threads. Then free.
void http_server_stop(struct http_server *s, unsigned grace_ms);
void http_server_free(struct http_server *s); // NULL allowed
unsigned http_server_port(const struct http_server *s);
unsigned http_server_workers(const struct http_server *s);
unsigned http_server_connections(const struct http_server *s); // open now, over all workers
struct http_worker *http_server_worker(struct http_server *s, unsigned i);
unsigned http_worker_index(const struct http_worker *w);

// Runs fn(arg) on the worker's thread soon, in posting order. Thread-safe. False once the server has stopped
// (while it drains, posts still run: they bring the answers).
bool http_worker_post(struct http_worker *w, void (*fn)(void *arg), void *arg);
// Runs fn(arg) on the worker's thread after ms, once. Call on the worker's thread. A timer that was not cancelled
// fires exactly once, or never when the server ends first.
struct http_timer;
struct http_timer *http_timer_after(struct http_worker *w, unsigned ms, void (*fn)(void *arg), void *arg);
void http_timer_cancel(struct http_timer *t); // NULL allowed; on the worker's thread, before it fired

// Header of a request by name, any case; an empty str when absent. A header that must be single and came twice was
// refused before (Host, Content-Length, Content-Type, Authorization, Idempotency-Key).
struct str http_header(const struct http_exchange *x, const char *name);
// The same, but empty too when it came more than once: nobody could say which one was meant.
struct str http_header_single(const struct http_exchange *x, const char *name);
// The client's address as text, without its port; of a proxy, when there is one before us. "" when it is not known.
#define HTTP_PEER_SIZE 46
void http_peer(const struct http_exchange *x, char out[HTTP_PEER_SIZE]);
// Decoded value of a query parameter; false when absent or malformed. `out` keeps the text.
bool http_query(struct str query, const char *name, struct buf *out);

// Answers. `headers` are further lines "Name: value\r\n", already safe, or NULL. The body is copied. For HEAD the
// server leaves the body out itself.
void http_respond(struct http_exchange *x, int status, const char *content_type, const char *headers, struct str body);

// A stream (server-sent events): head now, body in pieces, chunked. http_stream_write returns false when more than
// 256 KiB wait for a reader that does not read: end the stream then. http_stream_end completes the answer and frees x.
void http_stream_begin(struct http_exchange *x, int status, const char *content_type, const char *headers);
bool http_stream_write(struct http_exchange *x, struct str piece);
// Bytes that were written and are not sent yet: who has much to say waits while they are many.
size_t http_stream_pending(const struct http_exchange *x);
void http_stream_end(struct http_exchange *x);

const char *http_reason(int status);

// application/problem+json (RFC 9457) into `out`: type, title, status, detail, code, and pointer when not NULL or "".
void http_problem_json(struct buf *out, int status, const char *code, const char *detail, const char *pointer);
void http_problem(struct http_exchange *x, int status, const char *code, const char *detail, const char *pointer);

#endif
