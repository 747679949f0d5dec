// SPDX-License-Identifier: Apache-2.0
// The contract of a payment channel: what the engine asks of a provider, and what must come back.
//
// Every call ends in exactly one answer with one of three outcomes:
//   done: the provider said so, in an authentic answer; `fact` tells what
//
//   refused: the provider, authentically and definitely, will not do this (fact NOT_FOUND: because it knows no such
//   trade)
//
//   unknown: anything else (time-out, broken connection, 5xx, system error, garbage, a missing or wrong signature).
//   Unknown is never a failure: the thing may have happened.
#ifndef TILL_PORT_CHANNEL_H
#define TILL_PORT_CHANNEL_H

#include "core/order.h"

struct channel;

#define CHANNEL_CODE_MAX 2048 // bytes of a code: what a QR holds, or an address for a phone

// Where answers go. Called on any thread; copies what it needs before it returns.
struct answer_sink {
    void (*post)(void *ctx, const struct answer *a);
    void *ctx;
};

enum notice_verdict {
    NOTICE_GOOD,      // authentic and ours: `answer` is filled (payment_key, fact, captured_fen, ...)
    NOTICE_STRANGE,   // authentic and ours, but of a number we never gave: to be stored as a case, then acknowledged.
                      // Of `answer` only captured_fen and provider_trade_no are filled, as far as they could be read
    NOTICE_MALFORMED, // cannot be read
    NOTICE_FORGED,    // signature missing or wrong
    NOTICE_FOREIGN,   // authentic, but of another application or seller
};

struct notice {
    struct answer answer;
    char number[65]; // out_trade_no as the provider wrote it
    char why[96];    // for the log, when not good; never the payload
};

struct notice_in {
    struct str body;                                   // raw, as received
    struct str (*header)(void *ctx, const char *name); // empty when absent, or there more than once
    void *header_ctx;
};

struct channel_ops {
    enum channel_id id;
    // Takes a call over; never blocks. `subject` is what the buyer reads; it and call->payer are copied. True: exactly
    // one answer will be posted, at the latest after rules.call_deadline_ms. False: no room, nothing was sent, no
    // answer will come.
    bool (*submit)(struct channel *c, const struct call *call, struct str subject, int64_t now_ms);
    // Judges a notification. Pure but for reading keys; any thread.
    enum notice_verdict (*judge)(struct channel *c, const struct notice_in *in, struct notice *out);
    // How the provider wants notifications answered.
    int ok_status;
    int refuse_status; // not believed
    int fail_status;   // believed, but it could not be kept: to be sent again
    const char *reply_type, *ok_body, *fail_body;
    void (*free)(struct channel *c);
};

struct channel {
    const struct channel_ops *ops;
};

#endif
