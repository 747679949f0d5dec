// SPDX-License-Identifier: Apache-2.0
// A server on loopback whose handler does what the path says, and a raw client that knows nothing of the
// server.
//
//   /now answers at once with the target   /echo with the body     /hold waits until a test lets it go
//   /big answers 1 MiB                     /none answers 204       /last says that the connection ends
//   /head?name answers the header's value, /single?name likewise  /stream begins a stream and holds it
#ifndef TILL_TEST_HTTP_FIXTURE_H
#define TILL_TEST_HTTP_FIXTURE_H

#include "http/inside.h"

#define HELD_MAX 256
#define WAIT_MS  5000 // the longest a test waits for anything that must come

struct fixture {
    struct http_server *server;
    struct http_exchange *held[HELD_MAX]; // the worker's thread only; NULL once closed or answered
    atomic_uint n_held, n_closed, n_requests, n_rounds;
};

struct fixture_setup {
    unsigned n_workers, max_connections;
    enum conn_phase phase; // a limit other than the usual
    unsigned limit_ms;     // 0: none
};

void fixture_open(struct fixture *f, const struct fixture_setup *setup);
void fixture_close(struct fixture *f);
struct http_worker *fixture_worker(struct fixture *f);
// Waits until the counter has reached n, at most WAIT_MS; then they must be equal.
void wait_count(atomic_uint *counter, unsigned n);
// Runs fn on worker 0 and returns when it is done.
void on_worker(struct fixture *f, void (*fn)(void *arg), void *arg);
// Answers the i-th held exchange with the text "held <i>" and Content-Type text/plain.
void let_go(struct fixture *f, unsigned i);
int64_t test_now_ms(void);

int client_open(const struct fixture *f);
void client_send(int fd, struct str bytes);
void client_say(int fd, const char *text);
// The next bytes must be exactly these.
void client_expect(int fd, const char *text);
// All up to the end of the connection; must come within WAIT_MS. The caller frees.
struct buf client_rest(int fd);
void client_expect_end(int fd);
bool client_silent(int fd, int ms); // nothing comes for so long

#endif
