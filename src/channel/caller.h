// SPDX-License-Identifier: Apache-2.0
// Calls to payment providers over HTTP, for all channels: one thread with libcurl's multi interface
// (connections are kept and reused) and a few threads that sign what goes out and judge what comes back.
//
// Who owns what: the loop thread alone moves a call along and posts its answer; a signer thread holds a call
// only while it signs or judges it; whoever submits only drops it into the inbox. So there is no question of
// who answers first.
//
// Every accepted call is answered exactly once, at the latest at its deadline (then "unknown": "timeout", or "not_sent"
// when it never left).
//
// A lane is one provider's share: its queue, its connections in flight, its turns with the signers (they go round the
// lanes). A provider that hangs fills its own lane only. Within a lane a buyer who waits for a code comes before what
// closes and gives back, that before a question somebody asked, that before what is asked by a schedule; each gets a
// share (care.h). What may be sent at all goes by care.h too: a call that is kept back is answered "unknown" at once,
// with the name of its `enum unsent` as detail, and is asked again by whoever owes it.
//
// One thing to know about retries: when a kept connection turns out to be dead before a single byte of an
// answer, libcurl sends the request once more on a new one. That is safe because every call carries its own
// number.
#ifndef TILL_CHANNEL_CALLER_H
#define TILL_CHANNEL_CALLER_H

#include "base/buf.h"
#include "channel/care.h"
#include "port/channel.h"

struct caller;
struct lane;

#define CALLER_SIGNERS_MAX 4
#define CALLER_LANES_MAX   8
#define CALL_REPLY_MAX     (256 * 1024) // bytes of an answer's body; a longer one is "unknown"
#define CALL_SUBJECT_MAX   4096         // bytes of a subject kept; the channel cuts to its provider's limit

struct caller_options {
    unsigned signers;       // threads, 1..CALLER_SIGNERS_MAX
    unsigned max_calls;     // per lane: accepted and not finished; beyond that submitting is refused
    unsigned max_in_flight; // per lane: being signed, on the wire or being judged; the others wait their turn
    int64_t deadline_ms;    // from submitting to the answer: the longest of any lane
};

// What is to be sent. Filled by a lane's build(), freed by the caller.
struct call_request {
    bool is_local;      // nothing is sent: `body` is the answer, and judge() sees it at once with status 0
    bool is_post;       // else GET
    struct buf url;     // absolute
    struct buf headers; // lines "Name: value\n"
    struct buf body;    // POST, or local, only
};

// What came back. Borrowed, for the time of judge().
struct call_reply {
    int status;
    struct str headers; // raw lines of the last answer
    struct str body;
};

// The value of a header, without the space around it; any case of the name. Empty when absent, and when it is
// there more than once: nobody could say which one was meant.
struct str call_reply_header(const struct call_reply *reply, const char *name);

// What one provider's calls are. Both functions run on a signer thread, several at once; both depend on nothing but
// their arguments and what `ctx` never changes.
struct lane_ops {
    // `now_ms` is Till's clock. False: it cannot be built; the answer is "unknown" and nothing was sent.
    bool (*build)(void *ctx, const struct call *call, struct str subject, int64_t now_ms, struct call_request *out);
    // Any status, any bytes. `a` comes with keys, channel, method; fills outcome, fact and what belongs to
    // them; `trouble` where the provider says it in the body (statuses 429 and 5xx are understood without). Texts the
    // answer borrows (code) go into `text`, which lives until the answer is posted.
    void (*judge)(void *ctx, const struct call *call, const struct call_reply *reply, struct answer *a,
                  struct buf *text);
    const char *name;    // in metrics and in the log
    int64_t deadline_ms; // of its calls, at most the caller's; 0: as the caller's
};

// NULL with a reason when threads or libcurl cannot be had.
struct caller *caller_open(const struct caller_options *options, char why[200]);
// After the last lane was closed.
void caller_free(struct caller *c);

// `ops` and `ctx` must outlive the lane; the sink is copied, is called on the loop thread and must not block.
// NULL when there are too many lanes, the deadline is longer than the caller's, or memory is out.
struct lane *lane_open(struct caller *c, const struct lane_ops *ops, void *ctx, const struct answer_sink *sink);
// As channel_ops.submit. Any thread, never blocks.
bool lane_submit(struct lane *l, const struct call *call, struct str subject, int64_t now_ms);
// Calls still open are answered "unknown" ("shutdown") before it returns; after it `ctx` and the sink are not
// used any more. The store remembers what is owed, so they are asked again after the next start. Not from the
// loop thread.
void lane_close(struct lane *l);

// --- What became of calls that never left, and how a lane stands. Any thread.
#define UNSENTS(X)                                                                                                     \
    X(UNSENT_DEADLINE, "not_sent") /* its deadline came before its turn */                                             \
    X(UNSENT_BREAKER, "breaker_open")                                                                                  \
    X(UNSENT_BUDGET, "retry_budget")                                                                                   \
    X(UNSENT_RATE, "slow_down") /* not before its deadline */                                                          \
    X(UNSENT_FULL, "full")      /* not taken at all: no answer */                                                      \
    X(UNSENT_FAULT, "cannot_be_sent")
#define X_ENUM(constant, text) constant,
enum unsent { UNSENTS(X_ENUM) };
#undef X_ENUM
#define N_UNSENTS (UNSENT_FAULT + 1)
const char *unsent_name(enum unsent v);

struct lane_stats {
    const char *name;
    enum breaker breaker;
    unsigned in_flight;    // being signed, on the wire or being judged
    unsigned waiting;      // accepted, and not yet that far
    unsigned retry_budget; // retries that may leave at once
    double rate_per_s;     // calls; 0: no limit
    int64_t hold_ms;       // for how long nothing leaves, because the provider said so
    uint64_t unsent[N_UNSENTS], opened, slowed;
};
unsigned caller_lanes(struct caller *c, struct lane_stats out[CALLER_LANES_MAX]);

#endif
