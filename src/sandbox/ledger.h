// SPDX-License-Identifier: Apache-2.0
// The provider's own truth, in one SQLite file: codes handed out, trades, refunds, notifications owed, and a few values
// (faults, counters, the clock). Rows only; what may happen to them is trades.h.
//
// Law: everything between ledger_lock() and ledger_unlock() is one transaction at most. It begins with the first write;
// ledger_commit() makes it durable. Nothing that was read or written may be told to anybody before that returned true.
// An error of SQLite breaks the ledger: writes are undone, and every later commit fails until the process starts anew.
//
// All functions but open and close are called with the lock held. `find` functions return false for "no such row".
#ifndef TILL_SANDBOX_LEDGER_H
#define TILL_SANDBOX_LEDGER_H

#include "base/buf.h"
#include <stdint.h>

enum sandbox_channel { SANDBOX_ALIPAY, SANDBOX_WECHATPAY, SANDBOX_N_CHANNELS };

enum trade_state { TRADE_WAITING, TRADE_PAID, TRADE_CLOSED, TRADE_FINISHED };

#define NUMBER_MAX  64   // out_trade_no, out_request_no
#define SUBJECT_MAX 1024 // 256 characters
#define URL_MAX     256
#define ATTACH_MAX  512

// One code as it was asked for: what a trade becomes when somebody scans it.
struct code {
    int64_t id;
    enum sandbox_channel channel;
    char text[96]; // what the QR holds
    char out_trade_no[NUMBER_MAX + 1];
    char subject[SUBJECT_MAX + 1], body[SUBJECT_MAX + 1], passback[ATTACH_MAX * 4 + 1];
    char store_id[129], terminal_id[129];
    char notify_url[URL_MAX + 1]; // "" for none
    char terms[65];               // hash of everything that makes two requests under one number the same
    int64_t total_fen, created_ms, dies_ms, trade_dies_ms;
    bool killed;
};

struct trade {
    int64_t id;
    struct code code;
    char trade_no[33];
    enum trade_state state;
    int64_t refunded_fen;
    int64_t created_ms, expires_ms, paid_ms, closed_ms, refund_ms; // 0: did not happen
};

struct refund {
    int64_t trade_id;
    char out_request_no[NUMBER_MAX + 1];
    int64_t amount_fen, created_ms;
};

// A notification owed to a merchant. `fields` is name NUL value NUL ..., unsigned and without the time of sending.
struct notice {
    int64_t id;
    enum sandbox_channel channel;
    char url[URL_MAX + 1];
    struct buf fields; // the holder frees it
    unsigned attempt;  // sent so often
    int64_t due_ms;
    bool forged; // signed with the wrong key, sent once
};

enum notice_end { NOTICE_OWED, NOTICE_DELIVERED, NOTICE_DROPPED, NOTICE_GIVEN_UP };

struct totals {
    int64_t captured_fen, refunded_fen, trades, refunds;
};

struct ledger;

// NULL with a reason. `fresh` removes the file first.
struct ledger *ledger_open(const char *path, bool fresh, char why[200]);
void ledger_close(struct ledger *l); // NULL allowed

void ledger_lock(struct ledger *l);
void ledger_unlock(struct ledger *l); // undoes what was not committed
bool ledger_commit(struct ledger *l); // true also when there was nothing to write

void ledger_code_add(struct ledger *l, struct code *c); // sets c->id
bool ledger_code_find(struct ledger *l, struct str text, struct code *out);
bool ledger_code_latest(struct ledger *l, enum sandbox_channel ch, const char *out_trade_no, struct code *out);
void ledger_codes_kill(struct ledger *l, enum sandbox_channel ch, const char *out_trade_no);

void ledger_trade_add(struct ledger *l, struct trade *t); // sets t->id; t->code must be stored
void ledger_trade_save(struct ledger *l, const struct trade *t);
bool ledger_trade_by_number(struct ledger *l, enum sandbox_channel ch, const char *out_trade_no, struct trade *out);
bool ledger_trade_by_no(struct ledger *l, enum sandbox_channel ch, const char *trade_no, struct trade *out);
bool ledger_trade_expired(struct ledger *l, int64_t now_ms, struct trade *out); // the waiting one that expired first
// The newest trade with an id below `before`.
bool ledger_trade_before(struct ledger *l, int64_t before, struct trade *out);

void ledger_refund_add(struct ledger *l, const struct refund *r);
bool ledger_refund_find(struct ledger *l, int64_t trade_id, const char *out_request_no, struct refund *out);
struct totals ledger_totals(struct ledger *l);

void ledger_notice_add(struct ledger *l, const struct notice *n, int64_t trade_id, enum notice_end end);
// The owed ones due at `now_ms`, oldest first, that are not among `skip`; at most `max`. Each answer's fields are the
// caller's to free. Returns how many.
unsigned ledger_notices_due(struct ledger *l, int64_t now_ms, const int64_t *skip, unsigned n_skip, struct notice *out,
                            unsigned max);
void ledger_notice_end(struct ledger *l, int64_t id, unsigned attempt, enum notice_end end);
void ledger_notice_again(struct ledger *l, int64_t id, unsigned attempt, int64_t due_ms);

// The earliest owed notification or expiry of a waiting trade; INT64_MAX when there is none.
int64_t ledger_next_due_ms(struct ledger *l);

bool ledger_value_get(struct ledger *l, const char *name, struct buf *out);
void ledger_value_set(struct ledger *l, const char *name, struct str value);

#endif
