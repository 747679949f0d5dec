// SPDX-License-Identifier: Apache-2.0
// A sink that keeps every answer, for tests to wait on and to count.
#ifndef TILL_TEST_CHANNEL_ANSWERS_H
#define TILL_TEST_CHANNEL_ANSWERS_H

#include "port/channel.h"
#include <pthread.h>

#define ANSWERS_MAX 8192
struct answers {
    pthread_mutex_t lock;
    pthread_cond_t came;
    unsigned n;
    struct answer all[ANSWERS_MAX]; // code is not kept
    char code[256];                 // of the last that had one
    struct answer_sink sink;
};

void answers_init(struct answers *a);
bool answers_wait(struct answers *a, unsigned n, int timeout_ms); // until there are n
unsigned answers_count(struct answers *a);
unsigned answers_for(struct answers *a, uint64_t payment_key, struct answer *last);

#endif
