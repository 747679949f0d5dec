// SPDX-License-Identifier: Apache-2.0
// The fault switches of PUT /wallet/faults, and the dice. A draw is a pure function of the seed, of what is drawn for
// (gateway calls and notifications count separately) and of its number: the same sequence of calls meets the same
// faults, whatever the threads do, and after a restart the dice go on where they stood.
#ifndef TILL_SANDBOX_FAULTS_H
#define TILL_SANDBOX_FAULTS_H

#include "base/buf.h"
#include "base/json_in.h"
#include <stdint.h>

enum refund_outcome { OUTCOME_SUCCESS, OUTCOME_PROCESSING, OUTCOME_ABNORMAL, OUTCOME_CLOSED };

// How Alipay answers a refund that it takes.
enum alipay_refund {
    ALIPAY_REFUND_SAID,  // made, and said so: fund_change Y
    ALIPAY_REFUND_QUIET, // made, but fund_change is N, as if another call had made it
    ALIPAY_REFUND_LATE,  // N: it is made later, and nobody who asks before is told of it
    ALIPAY_REFUND_LOST,  // N: it is never made; the same number again is as good as new
};

struct faults {
    struct {
        double drop, duplicate; // 0..1
        int64_t delay_ms[2];    // from..to, business time
        bool forge;
    } notify;
    struct {
        double error, timeout; // 0..1
        double rate_limit;     // 0..1; WeChat Pay: 429
        int64_t delay_ms[2];   // from..to, real time
        bool unavailable;
    } gateway;
    enum refund_outcome refund_wechatpay; // how the refunds that WeChat Pay accepted end
    enum alipay_refund refund_alipay;
    struct {
        int64_t drop; // as many rows are left out of each daily bill, the oldest first
        bool alter;   // the first that is left is a fen more
    } bill;
    bool unscanned_close_kills_qr;
    int64_t seed;
};

extern const struct faults FAULTS_NONE;

// Reads the whole object; what is absent is as in FAULTS_NONE. False with `fault` filled.
bool faults_read(struct faults *f, struct str text, struct json_fault *fault);
// All members of the first contract, and those that came later where they are set.
void faults_write(const struct faults *f, struct buf *out);

struct gateway_fate {
    bool unavailable;  // 503, nothing executed
    bool executes;     // false only with error or hangs
    bool hangs;        // never answers in time
    bool error;        // executed or not, the answer says it failed
    bool error_is_acq; // ACQ.SYSTEM_ERROR rather than 20000
    bool limited;      // 429, for who has such an answer
    bool limited_late; // a refund was executed nevertheless
    int64_t delay_ms;
};
struct gateway_fate faults_gateway_draw(const struct faults *f, uint64_t n);

struct notice_fate {
    bool dropped, duplicated, forged;
    unsigned forgery; // 0..2, in turn: which kind of forgery, where there are several
    int64_t delay_ms, duplicate_delay_ms;
};
struct notice_fate faults_notice_draw(const struct faults *f, uint64_t n);

#endif
