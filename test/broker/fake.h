// SPDX-License-Identifier: Apache-2.0
// A name server and broker in one, on a loopback port the system chose, that answers as a test wants it to.
#ifndef TILL_TEST_BROKER_FAKE_H
#define TILL_TEST_BROKER_FAKE_H

#include "broker/rocketmq/wire.h"
#include <pthread.h>

struct fake;

// True: the test has dealt with it. Runs on a connection's thread, under the fake's lock.
typedef bool fake_hook(struct fake *f, int fd, const struct wire_frame *request);

struct fake {
    int listen_fd;
    unsigned port;
    char address[32];
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    fake_hook *hook; // fixed before fake_start()
    void *ctx;
    enum wire_kind answers; // the form answers are in
    const char *route;      // NULL: one broker "broker-a" with 4 queues, itself
    bool stopping;
    int fds[64]; // open connections
    pthread_t threads[64];
    unsigned n_threads;
    unsigned n_asked[512]; // by code below 512
    unsigned n_sent;       // sends taken
    int heartbeat_fd;      // the connection of the last heartbeat
    int step;              // the hook's own
};

void fake_start(struct fake *f);
void fake_stop(struct fake *f);
// Fields: key, value, ..., NULL.
void fake_answer(struct fake *f, int fd, const struct wire_frame *to, int code, const char *remark,
                 const char *const *fields, struct str body);
void fake_write(int fd, const void *bytes, size_t n);
void fake_hang_up(int fd);
// Waits until a code was asked n times.
void fake_await(struct fake *f, int code, unsigned n);

#endif
