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

enum sandbox_channel { SANDBOX_ALIPAY, SANDBOX_WECHATPAY, SANDBOX_FAKE, SANDBOX_N_CHANNELS }; // stored: append only

enum trade_state { TRADE_WAITING, TRADE_PAID, TRADE_CLOSED, TRADE_FINISHED };

#define NUMBER_MAX  64   // out_trade_no, out_request_no
#define SUBJECT_MAX 1024 // 256 characters
#define URL_MAX     256
#define ATTACH_MAX  512
#define OPENID_MAX  128
#define CODE_TEXT   160

// What the merchant gave the buyer to open: a QR, the parameters of a page inside WeChat, an address for a browser.
enum code_kind { CODE_QR, CODE_JSAPI, CODE_H5 };

// One code as it was asked for: what a trade becomes when somebody scans it (WeChat Pay makes the trade at once).
struct code {
    int64_t id;
    enum sandbox_channel channel;
    enum code_kind kind;
    char text[CODE_TEXT]; // what the QR holds; CODE_JSAPI: the prepay_id
    char out_trade_no[NUMBER_MAX + 1];
    char subject[SUBJECT_MAX + 1], body[SUBJECT_MAX + 1], passback[ATTACH_MAX * 4 + 1];
    char store_id[129], terminal_id[129];
    char notify_url[URL_MAX + 1]; // "" for none
    char terms[65];               // hash of everything that makes two requests under one number the same
    char openid[OPENID_MAX + 1];  // CODE_JSAPI: who alone may pay; else ""
    bool by_public_key; // WeChat Pay: notices are signed under the public key's id, not the certificate's serial
    int64_t total_fen, created_ms, dies_ms, trade_dies_ms;
    bool killed;
};

struct trade {
    int64_t id;
    struct code code;
    char trade_no[33];
    char payer[OPENID_MAX + 1]; // WeChat Pay: the openid of who paid
    enum trade_state state;
    int64_t refunded_fen;
    int64_t created_ms, expires_ms, paid_ms, closed_ms, refund_ms; // 0: did not happen
};

enum refund_state { REFUND_PROCESSING, REFUND_SUCCESS, REFUND_ABNORMAL, REFUND_CLOSED };

// Alipay's succeed at once and have neither a number of the provider nor a notify_url of their own.
struct refund {
    int64_t trade_id;
    enum sandbox_channel channel;
    char out_request_no[NUMBER_MAX + 1], refund_no[33];
    char notify_url[URL_MAX + 1];
    enum refund_state state;
    int64_t amount_fen, created_ms;
    int64_t due_ms;  // while it is processing: when it ends; INT64_MAX: not before the faults say so
    int64_t done_ms; // 0: not yet
    bool by_public_key;
};

// How a false notification shows that it is one; it is sent once. Alipay's have the wrong key.
enum forgery { FORGERY_NONE, FORGERY_KEY, FORGERY_PROBE, FORGERY_SERIAL };

// A notification owed to a merchant. `fields` is name NUL value NUL ..., unsigned and without the time of sending.
struct notice {
    int64_t id;
    enum sandbox_channel channel;
    char url[URL_MAX + 1];
    struct buf fields; // the holder frees it
    unsigned attempt;  // sent so often
    int64_t due_ms;
    enum forgery forgery;
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
// The waiting one that expired first. WeChat Pay's do not close by themselves.
bool ledger_trade_expired(struct ledger *l, int64_t now_ms, struct trade *out);
// The newest trade with an id below `before`.
bool ledger_trade_before(struct ledger *l, int64_t before, struct trade *out);

bool ledger_trade_by_id(struct ledger *l, int64_t id, struct trade *out);

void ledger_refund_add(struct ledger *l, const struct refund *r);
void ledger_refund_save(struct ledger *l, const struct refund *r); // state, due_ms, done_ms
bool ledger_refund_find(struct ledger *l, int64_t trade_id, const char *out_request_no, struct refund *out);
// Where a refund's number is unique for the merchant, not only within its trade.
bool ledger_refund_by_number(struct ledger *l, enum sandbox_channel ch, const char *out_request_no, struct refund *out);
bool ledger_refund_due(struct ledger *l, int64_t now_ms, struct refund *out); // the processing one that is due first
void ledger_refunds_wake(struct ledger *l, int64_t due_ms);                   // those that nothing would have ended
// Of one trade: what its refunds that were not closed take, and how many they are.
struct refund_use {
    int64_t amount_fen, n;
} ledger_refund_use(struct ledger *l, int64_t trade_id);
struct totals ledger_totals(struct ledger *l); // only refunds that succeeded count

// What happened with a provider from an instant to before another, oldest first: every capture (`r` NULL), then every
// refund that was asked for. `row` may look things up, but not call this again.
void ledger_bill(struct ledger *l, enum sandbox_channel ch, int64_t from_ms, int64_t until_ms,
                 void (*row)(void *ctx, const struct trade *t, const struct refund *r), void *ctx);

void ledger_notice_add(struct ledger *l, const struct notice *n, int64_t trade_id, enum notice_end end);
// The owed ones due at `now_ms`, oldest first, that are not among `skip`; at most `max`. Each answer's fields are the
// caller's to free. Returns how many.
unsigned ledger_notices_due(struct ledger *l, int64_t now_ms, const int64_t *skip, unsigned n_skip, struct notice *out,
                            unsigned max);
void ledger_notice_end(struct ledger *l, int64_t id, unsigned attempt, enum notice_end end);
void ledger_notice_again(struct ledger *l, int64_t id, unsigned attempt, int64_t due_ms);

// WeChat's OAuth: a code stands for an openid, once, until it expires.
void ledger_grant_add(struct ledger *l, const char *code, const char *openid, int64_t now_ms, int64_t expires_ms);
enum grant { GRANT_GOOD, GRANT_UNKNOWN, GRANT_USED, GRANT_EXPIRED };
enum grant ledger_grant_take(struct ledger *l, struct str code, int64_t now_ms, char openid[OPENID_MAX + 1]);

// The earliest owed notification, end of a refund or expiry of a waiting trade; INT64_MAX when there is none.
int64_t ledger_next_due_ms(struct ledger *l);

bool ledger_value_get(struct ledger *l, const char *name, struct buf *out);
void ledger_value_set(struct ledger *l, const char *name, struct str value);

#endif
