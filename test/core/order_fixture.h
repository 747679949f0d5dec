// SPDX-License-Identifier: Apache-2.0
// A desk at which one order is worked by hand: its rows, the clock, the rules, and what the last step gave.
// Every step goes before the judge of order_laws.h; a broken law fails the test at hand.
#ifndef TILL_TEST_CORE_ORDER_FIXTURE_H
#define TILL_TEST_CORE_ORDER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka needs the four above first
#include <cmocka.h>

#include "core/order.h"
#include "order_laws.h"

#define T0_MS     INT64_C(1795399500000)
#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define WINDOW_MS (5 * MINUTE_MS)
#define GRACE_MS  (30 * SECOND_MS)
#define PRICE_FEN INT64_C(1990)
#define FIRST_KEY UINT64_C(1000)

struct desk {
    struct rules rules;
    struct bundle b;
    struct step out;
    int64_t now_ms;
    uint64_t next_key;
    bool stock_is_short; // of the next event
    unsigned moves[STOCK_RETAKE + 1];
};

// The rules as shipped, but for a fixed schedule; nothing placed yet.
void desk_clear(struct desk *d);
void desk_place(struct desk *d, enum channel_id channel, int64_t window_ms);
void desk_event(struct desk *d, struct event e); // now_ms and fresh_key are filled in

// An order in the state named, on Alipay, window WINDOW_MS, by the shortest way.
void desk_placed(struct desk *d);
void desk_waiting(struct desk *d);
void desk_closing(struct desk *d);      // by timeout, the query on its way
void desk_two_attempts(struct desk *d); // both may be paid: the first is closing, the second waits; window 3 h
void desk_paid(struct desk *d);
void desk_cancelled(struct desk *d, enum cancel_reason reason);
void desk_any(struct desk *d);  // for any wallet, and nobody has come to pay
void desk_held(struct desk *d); // late money that waits for a word

// An answer about payment[i], asked and answered now.
void desk_answer(struct desk *d, unsigned i, enum call_method method, enum outcome outcome, enum fact fact);
void desk_answer_asked(struct desk *d, unsigned i, enum call_method method, enum outcome outcome, enum fact fact,
                       int64_t asked_ms);
void desk_code(struct desk *d, unsigned i);
void desk_demanded(struct desk *d, unsigned i, enum outcome outcome, enum fact fact); // answers desk_check's query
void desk_money(struct desk *d, unsigned i, enum call_method method, enum fact fact, int64_t captured_fen);
void desk_notice(struct desk *d, unsigned i, enum fact fact, int64_t captured_fen);
void desk_refund_answer(struct desk *d, unsigned i, enum call_method method, enum outcome outcome, enum fact fact);
void desk_due(struct desk *d); // goes to order.due_ms and tells so
void desk_due_at(struct desk *d, int64_t now_ms);
void desk_cancel(struct desk *d, enum cancel_reason reason);
void desk_check(struct desk *d);
void desk_reload(struct desk *d); // keeps only the rows a store would load: order.h at struct bundle
void desk_refund(struct desk *d, int64_t amount_fen);
void desk_pay(struct desk *d, enum channel_id channel, enum product product, const char *payer);
void desk_resolve(struct desk *d, unsigned i, bool accepts); // an operator's word on the money of payment[i]

// The broker's side. Copies of a half message lie one behind the other, all at one broker.
struct half_at copy_at(unsigned n);
void desk_sent(struct desk *d, enum send_kind kind, enum outcome outcome, struct half_at at);
void desk_checkback(struct desk *d, struct half_at at, uint32_t n);
void desk_received(struct desk *d);
void desk_sweep(struct desk *d);

// Of the last step.
const struct call *call_of(const struct desk *d, enum call_method method); // the first, or NULL
unsigned calls_of(const struct desk *d, enum call_method method);
unsigned told(const struct desk *d, enum event_type type);
const struct send *send_of(const struct desk *d, enum send_kind kind); // the first, or NULL
unsigned sends_of(const struct desk *d, enum send_kind kind);
unsigned messages_of(const struct desk *d, enum message_type type); // kept by the embedded broker
enum message_answer half_answer(const struct desk *d);              // of the first check-back trace, or ANSWER_NONE
bool nothing_happened(const struct desk *d);                        // but perhaps a trace
bool can_be_paid(const struct desk *d);                             // by a code that is out or in the making

#define ORDER_IS(d, s)      assert_string_equal(order_state_name((d)->b.order.state), order_state_name(s))
#define PAYMENT_IS(d, i, s) assert_string_equal(payment_state_name((d)->b.payment[i].state), payment_state_name(s))
#define PROOF_IS(d, i, s)   assert_string_equal(proof_name((d)->b.payment[i].proof), proof_name(s))
#define REFUND_IS(d, i, s)  assert_string_equal(refund_state_name((d)->b.refund[i].state), refund_state_name(s))
#define CALLED(d, m)        assert_int_equal(calls_of(d, m), 1)
#define TOLD(d, t)          assert_int_equal(told(d, t), 1)

#endif
