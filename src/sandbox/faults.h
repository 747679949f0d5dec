// SPDX-License-Identifier: Apache-2.0
// The fault switches of PUT /wallet/faults, and the dice. A draw is a pure function of the seed, of what is drawn for
// (gateway calls and notifications count separately) and of its number: the same sequence of calls meets the same
// faults, whatever the threads do, and after a restart the dice go on where they stood.
#ifndef TILL_SANDBOX_FAULTS_H
#define TILL_SANDBOX_FAULTS_H

#include "base/buf.h"
#include "base/json_in.h"
#include <stdint.h>

struct faults {
    struct {
        double drop, duplicate; // 0..1
        int64_t delay_ms[2];    // from..to, business time
        bool forge;
    } notify;
    struct {
        double error, timeout; // 0..1
        int64_t delay_ms[2];   // from..to, real time
        bool unavailable;
    } gateway;
    bool unscanned_close_kills_qr;
    int64_t seed;
};

extern const struct faults FAULTS_NONE;

// Reads the whole object; what is absent is as in FAULTS_NONE. False with `fault` filled.
bool faults_read(struct faults *f, struct str text, struct json_fault *fault);
void faults_write(const struct faults *f, struct buf *out); // all members

struct gateway_fate {
    bool unavailable;  // 503, nothing executed
    bool executes;     // false only with error or hangs
    bool hangs;        // never answers in time
    bool error;        // executed or not, the answer says it failed
    bool error_is_acq; // ACQ.SYSTEM_ERROR rather than 20000
    int64_t delay_ms;
};
struct gateway_fate faults_gateway_draw(const struct faults *f, uint64_t n);

struct notice_fate {
    bool dropped, duplicated, forged;
    int64_t delay_ms, duplicate_delay_ms;
};
struct notice_fate faults_notice_draw(const struct faults *f, uint64_t n);

#endif
