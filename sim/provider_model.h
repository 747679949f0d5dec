// SPDX-License-Identifier: Apache-2.0
// A model of the providers behind the channel port, with a ledger of their own: the truth about money in the simulated
// world. Alipay and WeChat Pay are one model with two rows of traits.
//
// What both keep to (and Till must live with):
//   - A trade dies at the absolute instant sent with the code, give or take a lag.
//   - A refund is carried out once per number. "Accepted" may be all that is said of it.
//   - Notifications are repeated on a schedule until one is acknowledged, and may all be lost.
//   - Any call may end unknown, carried out or not, and even be carried out after its caller gave up.
//   - Answers may come from a replica that is a little behind.
// Alipay:
//   - Asking for a code makes no trade; scanning it does. Before that query and close say "no such trade".
//   - Closing or cancelling an unscanned code leaves it payable (a switch makes it dead, as some report).
//   - Now and then a scanned trade neither dies nor lets itself be closed; cancelling it ends it, and returns the money
//     when a payment was faster.
// WeChat Pay:
//   - Asking for a code makes the trade; close ends it, paid or nothing in between; there is no cancel.
//   - Refunds take their time, and some end without moving money, or are stuck until somebody acts.
//   - That some of a trade's money went back is said, and never how much.
#ifndef TILL_SIM_PROVIDER_MODEL_H
#define TILL_SIM_PROVIDER_MODEL_H

#include "world.h"

enum trade_state { TRADE_NONE, TRADE_WAITING, TRADE_PAID, TRADE_CLOSED };

struct trade {
    uint64_t payment_key, order_key;
    enum channel_id channel;
    int64_t amount_fen, expires_ms;
    int64_t code_ms; // when the code was made, 0: never
    bool killed;     // closed before it was scanned, and dead by that
    enum trade_state state;
    int64_t scanned_ms, paid_ms, closed_ms;
    int64_t captured_fen, refunded_fen;
    int64_t refunding_fen; // by refunds that are not decided yet
    int64_t by_hand_fen;   // of refunded_fen: given back in its console, before anybody here knew of the money
    bool closable_late;    // paid long after its order was decided, though a close would have ended it
    bool stubborn;         // does not expire, and closing it fails, so that only cancelling is left
    bool by_cancel;        // the provider gave it back when it was asked to cancel
    unsigned creates;      // carried out under this number
    bool code_told;        // an answer with the code reached the node
    bool create_unknown;   // an executed create was not heard of
    bool mute;             // no notification of it ever arrives
    bool acked;            // one of payment was acknowledged
    unsigned notices;      // sent, of payment
    bool notice_told;      // one of payment reached the node
};

struct ledger_refund {
    uint64_t number_key, payment_key;
    int64_t amount_fen, at_ms;
    enum fact fact;                // what is said of it now; FACT_REFUND_CLOSED moved no money
    unsigned asked, unheard_epoch; // how often asked; the node's life in which an answer did not arrive, plus 1
    bool unheard;
};

#define TRADES_MAX  512
#define REFUNDS_MAX 1024
struct provider {
    struct channel channel; // the port
    struct ledger *ledger;
};
struct ledger {
    struct provider provider[N_CHANNELS]; // by enum channel_id; the first is nobody
    struct world *w;
    struct trade trades[TRADES_MAX];
    unsigned n_trades;
    struct ledger_refund refunds[REFUNDS_MAX];
    unsigned n_refunds;
    unsigned in_flight;   // calls under way
    unsigned unreachable; // bits of enum channel_id
};

void ledger_begin(struct ledger *l, struct world *w);
struct trade *trade_find(struct ledger *l, uint64_t payment_key);
// Whether somebody who has the code could pay it now, or could once calls that are still under way arrive.
bool trade_can_be_paid(const struct ledger *l, const struct trade *t);
bool create_is_under_way(struct ledger *l, uint64_t order_key);
bool refund_is_under_way(const struct ledger *l);
// Whether somebody could still be hindered from paying it by asking to close it.
bool trade_is_closable(const struct trade *t);

// The buyer's side. False: the wallet refused.
bool model_scan(struct ledger *l, struct trade *t);
bool model_pay(struct ledger *l, struct trade *t);

// One of its notifications of payment arrives once more, after so long.
void model_repeat(struct ledger *l, const struct trade *t, int64_t after_ms);

// The node's side of a notification: what became of it. `token` is what was sent along.
void ledger_notice_answered(struct ledger *l, uint64_t token, bool acknowledged);

#endif
