// SPDX-License-Identifier: Apache-2.0
// The order machine: rows of one order in, an event in, the rows changed and what is to be done out.
//
// Pure and total: no I/O, no clock, no allocation. Time is a field of the event. Production, the simulator and the
// tests call the same core_step(). It never waits: a question to a provider is an effect now and an event later.
//
// Money is an integer of minor units (fen). Instants are milliseconds since 1970 UTC; TIME_NEVER means "not at all".
#ifndef TILL_CORE_ORDER_H
#define TILL_CORE_ORDER_H

#include "base/str.h"
#include "core/message.h"
#include "core/stock.h"

#define TIME_NEVER     INT64_MAX
#define AMOUNT_MAX_FEN INT64_C(10000000000) // Alipay's ceiling, 100,000,000.00 yuan

// --- Names. Each list is (constant, text seen outside); the numbers are stored: append only.
#define ORDER_STATES(X)                                                                                                \
    X(ORDER_PLACED, "placed")                                                                                          \
    X(ORDER_AWAITING_PAYMENT, "awaiting_payment")                                                                      \
    X(ORDER_CLOSING, "closing")                                                                                        \
    X(ORDER_PAID, "paid")                                                                                              \
    X(ORDER_CANCELLED, "cancelled")
#define CANCEL_REASONS(X)                                                                                              \
    X(REASON_NONE, "none")                                                                                             \
    X(REASON_TIMEOUT, "timeout")                                                                                       \
    X(REASON_BUYER, "buyer")                                                                                           \
    X(REASON_MERCHANT, "merchant")                                                                                     \
    X(REASON_CHANNEL, "channel")
// Behind a channel's text: its traits, as struct channel_traits has them.
#define CHANNELS(X)                                                                                                    \
    X(CHANNEL_ANY, "any")                                                                                              \
    X(CHANNEL_ALIPAY, "alipay", .scan_makes_trade = true, .has_cancel = true, .has_cashier = true)                     \
    X(CHANNEL_WECHATPAY, "wechatpay", .has_cashier = true, .address_max_ms = WECHATPAY_ADDRESS_MS)                     \
    X(CHANNEL_FAKE, "fake", .shows_text = true) /* a bank for tests: docs/adding-a-channel.md */
#define WECHATPAY_ADDRESS_MS (4 * 60 * 1000)    // five minutes, less one for the buyer
// What a provider is asked for: where the buyer meets it decides.
#define PRODUCTS(X)                                                                                                    \
    X(PRODUCT_QR, "qr")       /* a code that is shown: scanned, or read (shows_text): precreate, native */             \
    X(PRODUCT_WAP, "wap")     /* an address for a phone's browser: alipay.trade.wap.pay, h5 */                         \
    X(PRODUCT_JSAPI, "jsapi") /* a page inside the wallet pays: the code is a prepay_id */
#define PAYMENT_STATES(X)                                                                                              \
    X(PAYMENT_CREATING, "creating") /* the code was asked for, maybe several times, under one number */                \
    X(PAYMENT_WAITING, "waiting")   /* the code is out */                                                              \
    X(PAYMENT_CAPTURED, "captured") /* the money came */                                                               \
    X(PAYMENT_CLOSING, "closing")   /* no longer wanted; the provider is asked until it can take no money */           \
    X(PAYMENT_CLOSED, "closed")     /* proven: can take no money any more */                                           \
    X(PAYMENT_REFUNDING, "refunding")                                                                                  \
    X(PAYMENT_REFUNDED, "refunded")     /* all of it */                                                                \
    X(PAYMENT_FAILED, "failed")         /* the provider refused to make a code */                                      \
    X(PAYMENT_HELD, "held")             /* late money that waits for an operator */                                    \
    X(PAYMENT_MISMATCHED, "mismatched") /* genuine money, but not just what was asked for */
// Why a payment attempt can take no money any more. Stock is released only over proofs.
#define PROOFS(X)                                                                                                      \
    X(PROOF_NONE, "none")                                                                                              \
    X(PROOF_CLOSED, "closed_by_us")             /* the provider closed the trade when we asked */                      \
    X(PROOF_PROVIDER_CLOSED, "provider_closed") /* the provider says the trade is closed and was never paid */         \
    X(PROOF_DEAD, "dead_and_unknown")           /* no such trade, asked after the code's expiry + close_grace */       \
    X(PROOF_REFUSED, "refused")                 /* the provider refused to make a code, so there is none */            \
    X(PROOF_UNASKED, "never_asked")             /* the provider was never asked for it */
// An operator's word on money that came too late or in another amount (late_payment=hold), or some of which had gone
// back before it was known here, nobody says how much.
#define WORDS(X)                                                                                                       \
    X(WORD_NONE, "none")       /* none is needed */                                                                    \
    X(WORD_AWAITED, "awaited") /* the money is left alone until it is said */                                          \
    X(WORD_ACCEPTED, "accepted")
#define REFUND_STATES(X)                                                                                               \
    X(REFUND_PENDING, "pending")                                                                                       \
    X(REFUND_SUCCEEDED, "succeeded")                                                                                   \
    X(REFUND_FAILED, "failed")
#define REFUND_CAUSES(X)                                                                                               \
    X(CAUSE_MERCHANT, "merchant")                                                                                      \
    X(CAUSE_LATE, "late")           /* money for a cancelled order */                                                  \
    X(CAUSE_DUPLICATE, "duplicate") /* a second capture of one order */                                                \
    X(CAUSE_MISMATCH, "mismatch")   /* another amount */                                                               \
    X(CAUSE_PROVIDER, "provider")   /* the provider gave it back by itself (cancel racing a payment, its console) */
#define EVENT_TYPES(X)                                                                                                 \
    X(EVENT_ORDER_PLACED, "order.placed")                                                                              \
    X(EVENT_ORDER_AWAITING_PAYMENT, "order.awaiting_payment")                                                          \
    X(EVENT_ORDER_PAID, "order.paid")                                                                                  \
    X(EVENT_ORDER_CLOSING, "order.closing")                                                                            \
    X(EVENT_ORDER_CANCELLED, "order.cancelled")                                                                        \
    X(EVENT_PAYMENT_LATE, "payment.late")                                                                              \
    X(EVENT_PAYMENT_DUPLICATE, "payment.duplicate")                                                                    \
    X(EVENT_PAYMENT_MISMATCH, "payment.mismatch")                                                                      \
    X(EVENT_REFUND_SUCCEEDED, "refund.succeeded")                                                                      \
    X(EVENT_REFUND_FAILED, "refund.failed")
#define CALL_METHODS(X)                                                                                                \
    X(CALL_NONE, "none")                                                                                               \
    X(CALL_CREATE, "create")                                                                                           \
    X(CALL_QUERY, "query")                                                                                             \
    X(CALL_CLOSE, "close")                                                                                             \
    X(CALL_CANCEL, "cancel")                                                                                           \
    X(CALL_REFUND, "refund")                                                                                           \
    X(CALL_REFUND_QUERY, "refund_query")
#define OUTCOMES(X)                                                                                                    \
    X(OUTCOME_DONE, "done")                                                                                            \
    X(OUTCOME_REFUSED, "refused")                                                                                      \
    X(OUTCOME_UNKNOWN, "unknown")
// What an answer says about the trade. Only together with OUTCOME_DONE, but for FACT_NOT_FOUND, which close gives
// with OUTCOME_REFUSED.
#define FACTS(X)                                                                                                       \
    X(FACT_NONE, "none")                                                                                               \
    X(FACT_CODE, "code")       /* create: here is the code */                                                          \
    X(FACT_WAITING, "waiting") /* a trade exists and is unpaid */                                                      \
    X(FACT_PAID, "paid")                                                                                               \
    X(FACT_CLOSED, "closed")                    /* and no money was ever taken */                                      \
    X(FACT_NOT_FOUND, "not_found")              /* no such trade: proves nothing while a code lives */                 \
    X(FACT_PAID_AND_REFUNDED, "refunded")       /* was paid, and all of it went back */                                \
    X(FACT_REFUND_DONE, "refund_done")          /* the money is on its way back, finally */                            \
    X(FACT_REFUND_ACCEPTED, "refund_accepted")  /* taken, not decided: ask with refund_query */                        \
    X(FACT_REFUND_ABSENT, "refund_absent")      /* refund_query: none known (yet) */                                   \
    X(FACT_REFUND_CLOSED, "refund_closed")      /* ended without moving money; another try takes another number */     \
    X(FACT_REFUND_ABNORMAL, "refund_abnormal")  /* stuck until somebody acts at the provider; not final */             \
    X(FACT_PAID_SOME_REFUNDED, "some_refunded") /* was paid, and some or all went back: how much is not said */
#define TRACE_KINDS(X)                                                                                                 \
    X(TRACE_STATE, "state")                                                                                            \
    X(TRACE_HALF, "half")                                                                                              \
    X(TRACE_CHECKBACK, "checkback")                                                                                    \
    X(TRACE_PROVIDER, "provider")                                                                                      \
    X(TRACE_NOTIFICATION, "notification")                                                                              \
    X(TRACE_MESSAGE, "message")                                                                                        \
    X(TRACE_SWEEP, "sweep")                                                                                            \
    X(TRACE_WEBHOOK, "webhook")                                                                                        \
    X(TRACE_OPERATOR, "operator")

#define X_ENUM(constant, ...) constant,
enum order_state { ORDER_STATE_0, ORDER_STATES(X_ENUM) };
enum cancel_reason { CANCEL_REASONS(X_ENUM) };
enum channel_id { CHANNELS(X_ENUM) };
enum product { PRODUCTS(X_ENUM) };
enum payment_state { PAYMENT_STATE_0, PAYMENT_STATES(X_ENUM) };
enum word { WORDS(X_ENUM) };
enum proof { PROOFS(X_ENUM) };
enum refund_state { REFUND_STATE_0, REFUND_STATES(X_ENUM) };
enum refund_cause { REFUND_CAUSES(X_ENUM) };
enum event_type { EVENT_TYPE_0, EVENT_TYPES(X_ENUM) };
enum call_method { CALL_METHODS(X_ENUM) };
enum outcome { OUTCOME_0, OUTCOMES(X_ENUM) };
enum fact { FACTS(X_ENUM) };
enum trace_kind { TRACE_KIND_0, TRACE_KINDS(X_ENUM) };
#undef X_ENUM
#define X_PLUS_ONE(...) +1
#define N_CHANNELS      (0 CHANNELS(X_PLUS_ONE)) // CHANNEL_ANY counts

// What must be known of a provider, beside its name: a row without traits is one whose code is scanned, whose trade is
// there from the start, and whom a phone is not sent to.
struct channel_traits {
    bool scan_makes_trade;  // a trade that waits means that a buyer stands before the cashier
    bool has_cancel;        // ends a trade whatever has become of it, and gives its money back
    bool has_cashier;       // takes a phone that opens the payment page (PRODUCT_WAP, PRODUCT_JSAPI)
    bool shows_text;        // its code is text for the buyer to read, no QR
    int64_t address_max_ms; // how long the address of a PRODUCT_WAP is good; 0: as long as its trade
};
const struct channel_traits *channel_traits(enum channel_id v);

const char *order_state_name(enum order_state v);
const char *cancel_reason_name(enum cancel_reason v);
const char *channel_name(enum channel_id v);
const char *product_name(enum product v);
const char *payment_state_name(enum payment_state v);
const char *proof_name(enum proof v);
const char *refund_state_name(enum refund_state v);
const char *refund_cause_name(enum refund_cause v);
const char *event_type_name(enum event_type v);
const char *call_method_name(enum call_method v);
const char *outcome_name(enum outcome v);
const char *fact_name(enum fact v);
const char *trace_kind_name(enum trace_kind v);

// --- Rows. What the machine decides by; texts (buyer, titles, metadata) ride beside it and never enter here.
struct order {
    uint64_t key;
    uint32_t version;  // counts committed changes of this row: the fence
    uint32_t sequence; // public events so far, dense from 1
    enum order_state state;
    enum cancel_reason reason; // from closing on, and for ever; shown while closing or cancelled
    enum channel_id channel;
    enum policy policy;
    bool holds_stock; // has lines of the catalogue (not an order by amount)
    // How the placing was answered, so that a repeated request gets the same answer even after a crash: the state and
    // version it showed. ORDER_STATE_0: not answered yet.
    enum order_state reply_state;
    uint32_t reply_version;
    uint32_t n_checks; // check-backs the provider answered
    int64_t amount_fen;
    int64_t paid_fen;     // money that belongs to this order: its first matching capture
    int64_t refunded_fen; // of that money, given back for good
    int64_t created_ms, expires_ms, closing_ms, paid_ms, cancelled_ms; // 0: not yet
    int64_t check_ms;                                                  // next check-back, or TIME_NEVER
    int64_t scanned_ms; // when its present code was first seen scanned and unpaid; 0: not yet
    int64_t due_ms;     // the earliest instant something is owed, over all rows of the order, or TIME_NEVER
};

#define PROVIDER_NO_SIZE 65

// One attempt to be paid: one number at one provider, never reused.
struct payment {
    uint64_t key; // out_trade_no is its text
    enum channel_id channel;
    enum product product;
    enum payment_state state;
    enum proof proof;
    uint32_t n;         // 1 for the order's first attempt
    int64_t amount_fen; // asked for
    int64_t captured_fen, refunded_fen, refunding_fen;
    int64_t created_ms;
    int64_t expires_ms;            // absolute expiry sent to the provider with the code
    int64_t captured_ms, proof_ms; // when it was noticed here; 0: not yet
    enum call_method owes;         // what is asked of the provider next, CALL_NONE when nothing
    uint32_t tries;                // unanswered or inconclusive asks in a row
    int64_t due_ms;                // when, or TIME_NEVER
    bool counts;                   // its money is the order's own (order.paid_fen)
    enum word word;                // an operator's, on money that needs one
    char provider_trade_no[PROVIDER_NO_SIZE];
    // Borrowed: from the event that brought them, or from the store's load.
    struct str code; // what the provider gave: the text of the QR code, an address, a prepay_id
    // Who opened Till's page to pay: an openid (PRODUCT_JSAPI), an address on the network (PRODUCT_WAP), or just that
    // somebody did. Empty: the code is shown to be scanned.
    struct str payer;
};

#define PAYER_MAX 128 // bytes

struct refund {
    uint64_t key, payment_key;
    enum refund_state state;
    enum refund_cause cause;
    enum call_method owes; // CALL_REFUND or CALL_REFUND_QUERY while pending
    uint32_t tries;        // asks in a row without a word
    uint32_t absents;      // queries in a row that found no such refund
    bool uncertain;        // an earlier ask may have moved the money unheard: "refused" alone is no end
    bool is_abnormal;      // stuck at the provider, until somebody acts there
    uint64_t replaces_key; // the refund whose number ended without moving money; 0: the first of its capture
    int64_t amount_fen;
    int64_t created_ms, finished_ms;
    int64_t due_ms;
};

// Everything a step may read or change: the order; its attempts that are not settled for good (creating, waiting,
// closing, or with a refund pending), the one whose money counts, the newest, and the one the event names; its pending
// refunds and the one the event names. New attempts and refunds of a merchant stop short of the limits, so that what
// must be recorded (a refund of money that came too late) always has room.
#define BUNDLE_PAYMENTS          8
#define BUNDLE_REFUNDS           20
#define BUNDLE_MERCHANT_REFUNDS  8
#define BUNDLE_PAYMENTS_TO_RENEW 5
#define ATTEMPTS_MAX             32 // of one order, ever: whoever has the payment page's address can ask for one
struct bundle {
    struct order order;
    struct half half; // HALF_NONE when it has no row
    unsigned n_payments, n_refunds;
    struct payment payment[BUNDLE_PAYMENTS];
    struct refund refund[BUNDLE_REFUNDS];
};

// --- Rules: the configuration as the core sees it.
enum release { RELEASE_PROOF, RELEASE_DEADLINE };
enum broker_kind { BROKER_EMBEDDED, BROKER_REMOTE };
enum late_payment { LATE_REFUND, LATE_REOPEN, LATE_HOLD };
struct rules {
    int64_t close_grace_ms;
    enum release release;
    enum late_payment late_payment;
    struct checkback checkback;
    enum broker_kind broker;
    int64_t cancel_wait_ms;   // how long a closing waits for its order.cancel to come round; 0: it does not
    int64_t call_deadline_ms; // every call has an answer by then, if only "unknown"
    int64_t code_min_life_ms; // a provider's shortest code (1 minute)
    int64_t code_max_life_ms; // and longest, less a margin (2 h)
    int64_t refund_query_ms;  // wait before asking what became of a refund (10 s, payments.md B7)
};

// --- Events: facts that happened outside.
enum event_kind {
    EV_PLACE,      // the bundle holds the new order (amount, channel, policy, expires, holds_stock), nothing else
    EV_DUE,        // order.due_ms has come
    EV_ANSWER,     // a provider answered a call, or the call's deadline passed (unknown)
    EV_NOTICE,     // a provider's notification, verified, of a number of ours
    EV_CANCEL,     // buyer or merchant
    EV_CHECK,      // somebody wants the provider asked now
    EV_REFUND,     // the merchant gives money back
    EV_LATE_REPLY, // the placing is answered without a code: it took too long
    EV_SENT,       // the broker answered a send, or nobody knows whether it heard it
    EV_CHECKBACK,  // the broker asks about its half message
    EV_RECEIVED,   // order.cancel reached the cancel receiver
    EV_SWEEP,      // the fallback sweep found something overdue
    EV_PAY,        // somebody wants to pay by this channel
    EV_RESOLVE,    // an operator's word on money that is held, or of another amount
};

// What an answer says of the provider itself, beside what it says of the trade. The core does not look: it is for
// whoever decides how hard the provider is asked.
enum trouble {
    TROUBLE_NONE,
    TROUBLE_FAULT,     // its own fault: nobody's call would have fared better
    TROUBLE_SLOW_DOWN, // it is asked too often
};

struct answer {
    uint64_t payment_key;
    uint64_t refund_key; // of CALL_REFUND and CALL_REFUND_QUERY
    enum channel_id channel;
    enum call_method method; // CALL_NONE in a notice
    enum outcome outcome;
    enum fact fact;
    int64_t asked_ms;    // when the question left, by our clock
    int64_t provider_ms; // what the provider's clock said when it answered, to the second; 0: not said
    int64_t took_ms;
    int64_t captured_fen; // FACT_PAID, FACT_PAID_AND_REFUNDED, FACT_PAID_SOME_REFUNDED: what the order was charged
    char provider_trade_no[PROVIDER_NO_SIZE];
    struct str code; // FACT_CODE
    bool on_demand;  // as in the call
    bool of_refund;  // a notice: something became of a refund, whatever else it says; a hint to ask
    enum trouble trouble;
    char detail[64]; // the provider's own word (sub_code), for people
};

enum send_kind { SEND_HALF, SEND_END, SEND_MAIN, SEND_SECOND };

#define EVENT_FRESH_KEYS 4
// The keys an order's placing takes: its own, its first attempt's right behind it, and two more that number its
// messages at a broker elsewhere, so that one sent again, or by another way, is known again.
#define KEY_OF_MAIN   3 // order key + this
#define KEY_OF_SECOND 4
struct event {
    enum event_kind kind;
    int64_t now_ms;
    uint64_t fresh_key;  // the first of EVENT_FRESH_KEYS keys the step may give to rows it adds
    bool stock_is_short; // the store could not retake the stock: decide again without
    union {
        struct {
            bool is_answered; // at once, without waiting for a code
        } place;
        struct answer answer; // EV_ANSWER, EV_NOTICE
        struct {
            enum cancel_reason reason;
        } cancel;
        struct {
            int64_t amount_fen; // 0: all that is left
        } refund;
        struct {
            enum channel_id channel;
            enum product product;
            bool by_buyer;    // his own phone asks: he stands before the cashier
            struct str payer; // as in struct payment
        } pay;
        struct {
            uint64_t payment_key;
            bool accepts; // else it goes back
        } resolve;
        struct {
            enum send_kind kind;
            enum outcome outcome;
            struct half_at at; // SEND_HALF, done: where it lies. SEND_END: which copy was ended
        } sent;
        struct {
            struct half_at at; // of the copy that is asked about
            uint32_t n;        // the broker's own count
        } checkback;
    };
    struct str note; // EV_CANCEL, EV_REFUND: why, in somebody's words; its beginning goes on the timeline
};

// --- What comes out.
struct public_event {
    enum event_type type;
    uint32_t sequence;
    enum order_state state; // of the order, right after
    enum cancel_reason reason;
    uint64_t payment_key, refund_key; // 0: none
    int64_t amount_fen;
};

// One message, as its consumers read it.
struct message {
    enum topic topic;
    enum message_type type;
    uint64_t order_key;
    uint32_t sequence; // of the event it tells of; of a half message, the events there were when it was made
    int64_t amount_fen;
    enum cancel_reason reason; // REASON_NONE: none
};

// Something to be said to a broker elsewhere once the step is durable.
struct send {
    enum send_kind kind;
    struct message message;
    enum message_answer answer; // SEND_END
    struct half_at at;          // SEND_END
    bool from_check;            // SEND_END: answers a check-back
    bool is_loose;              // SEND_END of a copy whose end was decided before: nobody waits for its answer
};

struct trace { // one line of the timeline
    enum trace_kind kind;
    enum channel_id channel;
    enum call_method method;
    enum outcome outcome;
    enum fact fact;
    enum message_answer answer;
    uint32_t n;
    int64_t took_ms;
    char detail[64];
};

// A call to be made once the step is durable.
struct call {
    enum channel_id channel;
    enum call_method method;
    enum product product;
    uint64_t order_key, payment_key;
    uint64_t refund_key;                      // CALL_REFUND, CALL_REFUND_QUERY: the row
    uint64_t number_key;                      // the same two: the key whose text is the refund number
    int64_t amount_fen;                       // of the trade, or of the refund
    int64_t total_fen;                        // of the trade; in refunds, what it captured
    int64_t expires_ms;                       // CALL_CREATE
    struct str payer;                         // CALL_CREATE; borrowed from the bundle
    char provider_trade_no[PROVIDER_NO_SIZE]; // of the capture; "" while there is none
    bool on_demand; // somebody asked (EV_CHECK): its answer is no check-back, and ends no window
    bool is_retry;  // asked before in vain: what may wait when the provider is in trouble
};

enum refusal {
    REFUSAL_NONE,
    REFUSAL_ALREADY_PAID, // cancel
    REFUSAL_NOT_PAID,     // refund
    REFUSAL_TOO_MUCH,     // refund: more than is left
    REFUSAL_BUSY,         // too many open attempts or refunds of one order
    REFUSAL_NOT_PAYABLE,  // pay: closing, cancelled or paid
    REFUSAL_RESOLVED,     // resolve: this money waits for nobody
    REFUSAL_SHORT,        // resolve: the stock cannot be held again
};

#define STEP_MAX      32 // of each list; a step never needs more (asserted)
#define STEP_MESSAGES 4
struct step {
    enum refusal refusal; // then nothing else is filled and the bundle is unchanged
    bool changed;         // the order row is to be written, with version + 1
    enum stock_move stock;
    unsigned payments_changed, refunds_changed; // bit i: bundle.payment[i] / refund[i] is to be written
    unsigned payments_added, refunds_added;     // bit i: it is new (and in ..._changed as well)
    uint64_t refund_key;                        // EV_REFUND: the refund made
    uint64_t payment_key;                       // EV_PAY: the attempt, new or one that serves
    bool half_changed;                          // bundle.half is to be written
    unsigned n_events, n_traces, n_calls;
    struct public_event events[STEP_MAX];
    struct trace traces[STEP_MAX];
    struct call calls[STEP_MAX];
    unsigned n_messages; // to be delivered by the embedded broker: rows of the same commit
    struct message messages[STEP_MESSAGES];
    unsigned n_sends; // to be said to a broker elsewhere, after the commit
    struct send sends[STEP_MESSAGES];
};

// Changes `b` in place and fills `out`. The bundle must hold what is said at `struct bundle`. An event that does not
// concern the order as it is (a second notification, an answer that came too late to matter) changes nothing
// but may leave a trace.
void core_step(const struct rules *rules, struct bundle *b, const struct event *e, struct step *out);

// What becomes of the policy's message as the order goes from one state to another: delivered (COMMIT), dropped
// (ROLLBACK), or nothing yet. The table at the top of message.h.
enum message_answer message_decision(enum policy policy, enum order_state from, enum order_state to);

// --- Before there is an order.
struct line {
    struct str sku, title; // borrowed
    int64_t quantity;      // 1..LINE_QUANTITY_MAX
    int64_t price_fen;
};
#define LINE_QUANTITY_MAX 1000000
#define ORDER_LINES_MAX   50
// Sum of the lines. False when it overflows or leaves 1..AMOUNT_MAX_FEN.
bool order_price(const struct line *lines, unsigned n, int64_t *amount_fen);

// What must hold of every bundle after every step; the name of the first thing that does not, or NULL.
const char *bundle_invariant(const struct bundle *b);

#endif
