// SPDX-License-Identifier: Apache-2.0
// What the files of the sandbox share with each other and nobody else.
//
//   sandbox.c  life, routes, answers after the commit     devclock.c         /dev/clock
//   wallet.c   JSON for people and programs               visit.c            opens payment pages
//   trades.c   what may happen to a trade                 notifier.c         sends what is owed
//   ledger.c   rows                                       faults.c, keys.c, loopback.c
//
//   bill.c   a day's bill: rows, faults, download addresses
//
//   alipay_gateway.c   methods of /gateway.do             wechat_gateway.c   calls of /v3/, who sent them
//   alipay_methods.c                                      wechat_orders.c, wechat_refunds.c, wechat_oauth.c
//   alipay_wire.c      signatures, forms, yuan            wechat_wire.c, wechat_nonces.c
//   alipay_notice.c    what a notification says           wechat_notice.c
//   alipay_v3.c        the same methods under /v3/alipay/
//   alipay_cashier.c   the page of wap.pay
//   alipay_ca.c        certificate mode's files           wechat_bill.c
//   alipay_bill.c      the bill, GBK in a zip
//
//   provider.c   what differs between them: a row each     fake_bank.c   a bank for tests
//
// Law: an answer leaves the house after the commit of the round that made it (sandbox.c, round_end). So every handler
// runs with the ledger locked, fills an `answer` and returns; it never answers by itself.
#ifndef TILL_SANDBOX_INSIDE_H
#define TILL_SANDBOX_INSIDE_H

#include "http/http.h"
#include "sandbox/faults.h"
#include "sandbox/keys.h"
#include "sandbox/ledger.h"
#include "sandbox/sandbox.h"
#include <stdatomic.h>

#define GATEWAY_HANG_MS 30000u

// An answer on its way: made in a round, held until the commit, perhaps delayed by a fault.
struct answer {
    struct sandbox *sandbox;
    struct http_exchange *x; // NULL once the client went away
    struct answer *next, **link;
    struct http_timer *timer;
    int status;
    const char *content_type; // static
    struct buf headers, body;
    unsigned delay_ms;
    bool later; // somebody else will fill and release it (devclock.c, visit.c)
};

struct notifier;
struct devclock;
struct visit;
struct wechat_nonces;

struct sandbox {
    struct clock *clock;
    bool owns_clock, on_loopback;
    char pages_below[URL_MAX + 1];
    struct keys keys;
    struct ledger *ledger;
    struct http_server *http;
    struct notifier *notifier;
    bool started;

    // Under the ledger's lock, and stored with the next commit.
    struct faults faults;
    uint64_t gateway_draws, notice_draws, calls[SANDBOX_N_CHANNELS];
    bool counters_changed;
    struct wechat_nonces *wechat_nonces; // not stored
    bool woke;                           // something may have become due: tell the notifier after the commit

    // The HTTP thread's own.
    bool in_round;          // the lock is held
    struct answer *answers; // all that were not handed to the server yet
    struct devclock *devclock;
    struct visit *visits;
    unsigned n_visits;
    atomic_bool visits_hurry; // any thread's
};

// sandbox.c
void sandbox_values_store(struct sandbox *s);   // counters, if they changed; the lock is held
void answer_json(struct answer *a, int status); // a->body holds the text
void answer_problem(struct answer *a, int status, const char *code, const char *detail, const char *pointer);
void answer_release(struct answer *a); // hands it to the server, after its delay; HTTP thread, outside the lock
// One that was `later`: filled now with the lock held, answered after the commit. HTTP thread, outside the lock.
void sandbox_answer_later(struct answer *a, void (*fill)(struct sandbox *s, struct answer *a, void *arg), void *arg);

// wallet.c
void wallet_request(struct sandbox *s, const struct http_exchange *x, struct answer *a);

// alipay_gateway.c
void alipay_gateway_request(struct sandbox *s, const struct http_exchange *x, struct answer *a);

// alipay_v3.c
void alipay_v3_request(struct sandbox *s, const struct http_exchange *x, struct answer *a);

// wechat_gateway.c, wechat_oauth.c
void wechat_gateway_request(struct sandbox *s, const struct http_exchange *x, struct answer *a);
void wechat_oauth_request(struct sandbox *s, const struct http_exchange *x, struct answer *a);

// fake_bank.c
void fake_bank_request(struct sandbox *s, const struct http_exchange *x, struct answer *a);

// devclock.c
void devclock_request(struct sandbox *s, const struct http_exchange *x, struct answer *a);
bool devclock_restore(struct sandbox *s);                        // at opening, with the lock held
void devclock_forget(struct sandbox *s, const struct answer *a); // its client went away, or the end has come
void devclock_free(struct sandbox *s);

#endif
