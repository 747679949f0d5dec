// SPDX-License-Identifier: Apache-2.0
// The running service, as the shell's own files share it. The shell knows everybody; nobody knows the shell.
//
// Threads: HTTP workers (parse, read, render pages), one engine thread, the channels' own. A worker hands what it
// collected to the engine once per loop round; the engine hands the answers back once per turn.
#ifndef TILL_SHELL_SHELL_H
#define TILL_SHELL_SHELL_H

#include "base/json_in.h"
#include "engine/engine.h"
#include "http/http.h"
#include "port/clock.h"
#include "shell/auth.h"

struct archiver;
struct archive;
struct caller;
struct sandbox;
struct sweep;
struct test_clock;
struct worker;

#define PAY_CHECK_BITS 10

struct shell {
    // set before the workers start, then read-only
    struct clock *clock;
    uint8_t secret[ID_SECRET_SIZE];
    char public_url[256]; // no slash at the end
    int64_t pay_within_ms;
    enum policy policy;
    bool is_dev;                 // shop page, demo catalogue
    enum product alipay_product; // what a phone is sent to
    struct channel *channels[N_CHANNELS];
    struct caller *caller; // who talks to the providers
    enum broker_kind broker_kind;
    struct broker *broker;
    struct sweep *sweep;
    struct archiver *archiver; // NULL: every order stays in the store
    struct engine *engine;
    struct http_server *http;
    struct auth *auth;
    struct test_clock *test_clock; // NULL: /dev/* does not exist
    struct sandbox *sandbox;       // NULL: not in this process
    struct worker *workers;        // one per HTTP worker
    unsigned n_workers;
    _Atomic bool is_ready, is_stopping;
    _Atomic uint64_t last_event_key;                    // no event has a larger one
    _Atomic int64_t pay_checks_ms[1 << PAY_CHECK_BITS]; // when "I have paid" was last passed on, by a hash of the order
    // counters of the edge
    _Atomic uint64_t requests, refused_notices[8]; // the latter by enum notice_verdict
};

// What one HTTP worker has for itself.
struct worker {
    struct shell *shell;
    struct http_worker *http;
    struct reader *reader;
    struct reader *archive; // of orders that left the store; NULL: there is none
    struct arena arena;     // of the request at hand
    struct buf out;         // of the answer at hand
    // requests collected in this round, for the engine
    struct request *first, *last;
    unsigned n_collected;
    // answers of one turn, collected by the engine's thread
    struct api_request *answered, **answered_end;
    struct feed *feed; // who waits for events here
};

// How the engine's answer is told.
enum answered_as {
    AS_API,
    AS_PAY_STATE,   // what the buyer may see
    AS_CASHIER,     // cashier.c: his wallet's cashier
    AS_WECHAT_PAGE, // cashier.c
    AS_ADDRESS,     // cashier.c: {"url"}
};

// One request on its way to the engine and back.
struct api_request {
    struct request r;
    struct http_exchange *x; // NULL once the client went away; only its worker touches it
    struct worker *worker;
    struct arena arena; // what r points to
    struct api_request *next_answered;
    enum answered_as answered_as;
};

// --- present.c: rows as JSON
void present_document(void *shell, const struct document *d, struct buf *out);
void present_order(const struct shell *s, const struct order_doc *doc, struct buf *out);
void present_refund(const struct shell *s, uint64_t order_key, const struct refund *f, struct buf *out);
void present_payment(const struct shell *s, const struct payment *p, uint64_t order_key, struct buf *out);
void present_sku(const struct sku *k, struct buf *out);
void present_event(const struct shell *s, const struct event_row *e, struct buf *out);
void present_trace(const struct trace_row *t, struct buf *out);
void present_cart(struct str cart, const struct cart_line *lines, unsigned n, struct buf *out);
void present_pay_state(const struct shell *s, const struct order_doc *doc, struct buf *out); // what the buyer may see
// The text a buyer's phone scans: the provider's code, or Till's payment page. False: there is none (yet).
bool order_code(const struct shell *s, const struct order_doc *doc, struct buf *out);

// --- api.c: requests that change something. Each answers, or hands an api_request to the engine.
void api_request_handle(void *shell, struct http_exchange *x);
void api_request_closed(void *shell, struct http_exchange *x);
void api_round_end(void *shell, struct http_worker *w);
void api_engine_reply(void *shell, struct request *r); // engine's thread
void api_engine_turn_end(void *shell);                 // engine's thread
void api_forget(struct shell *s); // answers that nobody can be told any more; after all threads ended
void api_respond_json(struct http_exchange *x, int status, const struct buf *b);
struct worker *worker_of(struct shell *s, const struct http_exchange *x);
// NULL: answered 503. What is made is sent, or freed.
struct api_request *api_request_new(struct worker *w, struct http_exchange *x, enum request_kind kind);
void api_request_send(struct api_request *q); // of the round at hand
void api_request_free(struct api_request *q);

// --- parse.c: bodies of requests into struct request. False: answered with a problem already.
bool parse_place(struct worker *w, struct http_exchange *x, struct api_request *q);
bool parse_cancel(struct http_exchange *x, struct api_request *q);
bool parse_refund(struct http_exchange *x, struct api_request *q);
bool parse_pay(struct worker *w, struct http_exchange *x, struct api_request *q);
bool parse_open(struct http_exchange *x, enum channel_id *channel);
bool parse_resolve(struct http_exchange *x, struct api_request *q);
bool parse_empty(struct http_exchange *x);
bool parse_cases_body(struct worker *w, struct http_exchange *x, struct api_request *q);
bool parse_case_close(struct http_exchange *x, struct api_request *q);
bool parse_sku_put(struct http_exchange *x, struct str sku, struct api_request *q);
bool parse_stock_add(struct http_exchange *x, struct str sku, struct api_request *q);
bool parse_cart_put(struct http_exchange *x, struct str cart, struct str sku, struct api_request *q);
bool name_is_good(struct str s); // of a sku, a cart, a merchant's order number
bool is_json_type(const struct http_exchange *x);

// --- read.c: requests that only look
bool params_only(struct http_exchange *x, const char *const names[]); // false: answered with a problem
// A parameter's decoded value in the worker's arena; p NULL when it is absent.
bool param(struct worker *w, struct http_exchange *x, const char *name, struct str *out);
bool param_int(struct worker *w, struct http_exchange *x, const char *name, int64_t min, int64_t max,
               int64_t *out); // likewise
bool param_limit(struct worker *w, struct http_exchange *x, unsigned *limit);
void read_failed(struct http_exchange *x);                             // answers that the store cannot be read
void list_open(struct buf *b);                                         // {"data":[
void list_close(struct buf *b, bool has_more, struct str next_cursor); // an empty cursor is left out
// An order, wherever it is. False: it cannot be read.
bool order_find(struct worker *w, uint64_t key, struct order_doc *doc, bool *found);
bool order_is_archived(struct worker *w, uint64_t key); // and only there
void read_order(struct worker *w, struct http_exchange *x, uint64_t key);
void read_orders(struct worker *w, struct http_exchange *x);
void read_timeline(struct worker *w, struct http_exchange *x, uint64_t key);
void read_refunds(struct worker *w, struct http_exchange *x, uint64_t key);
void read_payments(struct worker *w, struct http_exchange *x, uint64_t key);
void read_qr(struct worker *w, struct http_exchange *x, uint64_t key, bool is_png);
void read_sku(struct worker *w, struct http_exchange *x, struct str sku);
void read_skus(struct worker *w, struct http_exchange *x);
void read_cart(struct worker *w, struct http_exchange *x, struct str cart);
void read_pay_state(struct worker *w, struct http_exchange *x, uint64_t key);
void read_metrics(struct worker *w, struct http_exchange *x);
void read_ready(struct worker *w, struct http_exchange *x);

// --- providers.c: how the providers are, and how hard they are asked
void providers_describe(struct shell *s, struct buf *out); // a JSON object, one member for each lane
void providers_metrics(struct shell *s, struct buf *out);

// --- messages.c
void read_messages(struct worker *w, struct http_exchange *x);

// --- cases.c
void read_cases(struct worker *w, struct http_exchange *x);
void read_case(struct worker *w, struct http_exchange *x, uint64_t key);
// Of the body's JSON, into request.cases; false with `fault` filled.
bool parse_cases(struct worker *w, const json_t *root, struct json_fault *fault, struct api_request *q);
void cases_reply(struct api_request *q);

// --- sweep.c
struct sweep *sweep_new(struct shell *s, const char *cron, struct reader *reader, char why[200]); // reader: borrowed
bool sweep_start(struct sweep *w);
void sweep_free(struct sweep *w);                      // ends its thread first; NULL allowed
void sweep_describe(struct sweep *w, struct buf *out); // a JSON object
void sweep_metrics(struct sweep *w, struct buf *out);

// --- archiver.c
struct archiver *archiver_new(struct shell *s, int64_t keep_ms, struct archive *archive); // borrowed; NULL: no memory
bool archiver_start(struct archiver *w);                                                  // NULL allowed
void archiver_free(struct archiver *w);                           // ends its thread first; NULL allowed
void archiver_metrics(const struct archiver *w, struct buf *out); // NULL allowed

// --- feed.c: events by long poll and as a stream; the payment page's own stream
struct feed *feed_new(struct worker *w);
void feed_free(struct feed *f);
void feed_poll(struct worker *w, struct http_exchange *x);
void feed_stream(struct worker *w, struct http_exchange *x);
void feed_pay_stream(struct worker *w, struct http_exchange *x, uint64_t order_key);
bool feed_closed(struct feed *f, struct http_exchange *x);     // true: it was one of the feed's
void feed_end(void *feed);                                     // on the worker's thread: ends every poll and stream
void feed_engine_events(void *shell, uint64_t last_event_key); // engine's thread

// --- testclock.c
struct test_clock *test_clock_new(struct shell *s, const char *offset_path, char why[200]);
// A sandbox in another process, which serves this gateway address: its clock moves along. Before any request. The first
// that has a clock is followed; both providers' gateways are one sandbox.
void test_clock_follow(struct test_clock *t, const char *gateway);
void test_clock_stop(struct test_clock *t); // a move that is under way ends unsettled, soon; NULL allowed
void test_clock_free(struct test_clock *t);
int64_t test_clock_offset_read(const char *path); // 0 when there is no such file
int64_t test_clock_offset_of_store(const char *store);
void test_clock_get(struct worker *w, struct http_exchange *x);
void test_clock_post(struct worker *w, struct http_exchange *x);
bool test_clock_closed(struct test_clock *t, struct http_exchange *x);

// --- pages.c: what is built in
bool pages_serve(struct worker *w, struct http_exchange *x); // false: no such page
void page_pay(struct worker *w, struct http_exchange *x);
void page_wechat(struct worker *w, struct http_exchange *x, struct str jsapi); // pays by these parameters

// --- cashier.c: a phone that opens the payment page. Each answers, now or later.
bool cashier_serve(struct worker *w, struct http_exchange *x, uint64_t key); // false: it is no wallet's browser
void cashier_wechat(struct worker *w, struct http_exchange *x, uint64_t key);
void cashier_open(struct worker *w, struct http_exchange *x, uint64_t key);
bool cashier_reply(struct api_request *q); // false: none of its own, or the engine's problem is to be told

#endif
