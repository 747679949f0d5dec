// SPDX-License-Identifier: Apache-2.0
// What the caller's two files share: caller.c moves a call along, flight.c knows libcurl and HTTP.
#ifndef TILL_CHANNEL_CALLER_INSIDE_H
#define TILL_CHANNEL_CALLER_INSIDE_H

#include "channel/caller.h"
#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#define EASY_SPARE_MAX 32

enum stage {
    STAGE_WAITING, // in its lane, or still in the inbox
    STAGE_BUILD,   // with the signers
    STAGE_FLYING,
    STAGE_JUDGE, // with the signers
};

TAILQ_HEAD(jobs, job);
struct job {
    // fixed when submitted
    struct lane *lane;
    struct call call;
    int64_t now_ms;               // Till's clock
    int64_t submitted_ms, due_ms; // monotonic
    struct str subject;           // behind the struct, as call.payer is

    // the loop's
    enum stage stage;
    atomic_bool answered; // written by the loop; a signer looks, to save itself work nobody waits for
    int64_t sent_ms;      // monotonic, 0: not yet
    bool is_let_go;       // by care_ask(), which is told how it ended
    int64_t let_go_ms;    // when, in the lane's time
    enum care_end end;
    int64_t hold_ms; // for how long the provider wants to be left alone
    CURL *easy;
    struct curl_slist *header_list;
    TAILQ_ENTRY(job) by_due;   // of its lane's unanswered
    TAILQ_ENTRY(job) in_stage; // of the one list its stage says; none while it flies

    // whose turn it is: loop or signer, handed over under the lock
    struct call_request request;
    bool is_built;
    int status;
    struct buf reply_headers, reply_body;
    bool too_long;
    struct answer answer;
    struct buf text;
};

struct lane {
    struct caller *caller;
    const struct lane_ops *ops;
    void *ctx;
    struct answer_sink sink;
    int64_t deadline_ms;

    // loop
    struct jobs unanswered; // by deadline
    struct jobs waiting[TURN_CLASSES];
    struct turns turns;
    int64_t again_ms; // monotonic: when the rate lets the next one go; INT64_MAX: no such wait

    // lock
    struct jobs to_judge, to_build;
    struct care care;
    int64_t ahead_ms;  // of the lane's time before the monotonic clock
    unsigned n_jobs;   // all
    unsigned n_active; // beyond waiting; only the loop writes
    uint64_t unsent[N_UNSENTS];
    bool is_closing, is_closed;
};

struct caller {
    struct caller_options options;
    CURLM *multi;
    pthread_t loop, signer[CALLER_SIGNERS_MAX];
    unsigned n_signers;
    bool has_loop;

    // loop
    CURL *spare[EASY_SPARE_MAX];
    unsigned n_spare;

    pthread_mutex_t lock;
    pthread_cond_t work_came, lane_closed;
    struct jobs inbox, done;
    struct lane *lanes[CALLER_LANES_MAX];
    unsigned next_lane; // the signers' next turn
    bool must_stop;
};

// --- flight.c. The loop thread, but for what reads a reply.

bool flight_start(struct job *j); // false: it cannot be sent, and nothing of it is left
void flight_leave(struct job *j); // landed, or given up
void flights_free(struct caller *c);
const char *failure_text(const struct job *j, CURLcode rc);
enum care_end failure_end(const struct job *j, CURLcode rc); // what it says of the provider
// The provider's own clock, from the header every HTTP server sends; 0: not said. Nobody signed it; it is only ever
// used to be more careful (order.h, provider_ms).
int64_t reply_date_ms(const struct call_reply *reply);
// For how long the provider wants to be left alone (Retry-After); 0: it did not say.
int64_t reply_hold_ms(const struct call_reply *reply);

#endif
