// SPDX-License-Identifier: Apache-2.0
// The sandbox: Alipay's open-platform gateway and WeChat Pay's API v3 as their official SDKs expect them on the wire,
// with a wallet that scans and pays, a ledger that is the providers' own truth, and switches for the faults real
// providers have. Everything stored carries the channel.
//
// Threads: one HTTP worker, one notifier, one for each payment page being opened, one SQLite connection under one lock.
// Every function here may be called from any thread, except that open, start, stop and free belong to one owner.
//
// Time: everything that happens at a business instant (expiry, retries, times in answers) reads `clock`, which the test
// clock moves. What a fault delays is real time, except the delay of a notification, which is owed at an instant.
#ifndef TILL_SANDBOX_SANDBOX_H
#define TILL_SANDBOX_SANDBOX_H

#include "port/clock.h"
#include <stdbool.h>

struct sandbox;

struct sandbox_options {
    const char *listen;    // "127.0.0.1:8081"; port 0 for any
    const char *keys_dir;  // made, with fresh key pairs, when it does not exist or is empty
    const char *data_path; // the SQLite file; its directory must exist
    struct clock *clock;   // borrowed; outlives the sandbox
    bool fresh;            // forget keys, trades, ledger, owed notifications, faults and the clock first
    // The sandbox alone in its process: it serves /dev/clock (on a loopback address only), keeps the clock's offset in
    // its file and restores it at opening. False where somebody else moves the clock.
    bool owns_clock;
    // Besides this machine's own addresses the wallet opens payment pages below this one; NULL for none.
    const char *pages_below;
};

// Who the merchant and the platforms are, as in sandbox.json.
struct sandbox_identity {
    char app_id[33], seller_id[33];
    char mchid[33], appid[33], merchant_serial[65], platform_serial[65], platform_key_id[65];
};

// Listens but does not serve yet. NULL with a one-line reason in `why` on failure. The options' texts are copied.
struct sandbox *sandbox_open(const struct sandbox_options *o, char why[200]);
bool sandbox_start(struct sandbox *s); // false: no thread; free it then
void sandbox_stop(struct sandbox *s);  // ends both threads; what is owed stays owed in the file
void sandbox_free(struct sandbox *s);  // after stop (or without start); NULL allowed

// What a key directory says, without a sandbox. False with a reason.
bool sandbox_identity_read(const char *keys_dir, struct sandbox_identity *id, char why[200]);

unsigned sandbox_port(const struct sandbox *s);
const struct sandbox_identity *sandbox_identity(const struct sandbox *s);

// For whoever moves the clock.
int64_t sandbox_next_due_ms(struct sandbox *s); // earliest owed notification or trade expiry; INT64_MAX: none
bool sandbox_idle(struct sandbox *s);           // no notification in flight, nothing due now
void sandbox_poke(struct sandbox *s);           // the clock moved: look again

#endif
