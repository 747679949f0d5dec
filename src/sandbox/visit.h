// SPDX-License-Identifier: Apache-2.0
// Opens a payment page as the wallet's own browser would, and says what it offers that wallet to pay: a GET with the
// wallet's User-Agent, along the redirects, at most 8 hops, 256 KiB a page and 5 s in all. Only this machine's
// addresses are opened, and those below the one that was configured. The reading is done on a thread of its own; what
// was found is brought to the HTTP thread.
#ifndef TILL_SANDBOX_VISIT_H
#define TILL_SANDBOX_VISIT_H

#include "sandbox/inside.h"
#include "sandbox/trades.h"
#include <pthread.h>

#define PAGE_URL_MAX    4096
#define WALLET_USER_MAX 32

// What the page leads to; `text` names it, but for FIND_WAP.
enum visit_find {
    FIND_CODE,  // a code of a provider
    FIND_WAP,   // Alipay's page for phones: `url` is its address
    FIND_JSAPI, // signed parameters of WeChat Pay: the prepay_id
};

struct visit {
    // What is asked.
    enum sandbox_channel wallet;
    char user[WALLET_USER_MAX + 1];
    bool pays;
    char url[PAGE_URL_MAX];
    // What was found.
    enum refusal refusal; // REFUSAL_NONE: the following
    enum visit_find find;
    char text[CODE_TEXT];

    // Inside.
    struct sandbox *sandbox;
    struct http_worker *worker;
    struct answer *answer; // NULL: its client went away
    pthread_t thread;
    int64_t give_up_ms;
    struct visit *next, **link;
};

// Begins it; `a` is answered later, by wallet_visited(). `asked` is copied. HTTP thread. False: too many, or no memory.
bool visit_begin(struct sandbox *s, const struct visit *asked, const struct http_exchange *x, struct answer *a);
void visits_forget(struct sandbox *s, const struct answer *a); // its client went away
void visits_hurry(struct sandbox *s);                          // any thread: the end is near, read no further
void visits_end(struct sandbox *s);                            // after the HTTP server has stopped

// wallet.c: the lock is held.
void wallet_visited(struct sandbox *s, const struct visit *v, struct answer *a);

#endif
