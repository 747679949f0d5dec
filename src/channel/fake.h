// SPDX-License-Identifier: Apache-2.0
// A channel for tests and for whoever writes the next one: bank transfer, without a QR code. The buyer is shown an
// account and a reference; a bank (src/sandbox/fake_bank.c) takes the money and tells of it. No money is real.
#ifndef TILL_CHANNEL_FAKE_H
#define TILL_CHANNEL_FAKE_H

#include "base/id.h"
#include "channel/caller.h"

struct fake_options {        // all borrowed for the time of fake_open(); NULL is as good as ""
    const char *base_url;    // "http://127.0.0.1:8081/fake"; nothing but this machine is taken
    const char *secret_file; // both sides sign with it
    const char *account;     // where buyers are to transfer to: digits and "-"
    const char *notify_url;  // "": none is sent
};

// As the other channels': `sink` is copied, the caller outlives the channel; NULL with a reason that names the option.
struct channel *fake_open(const struct fake_options *options, struct caller *caller, const struct answer_sink *sink,
                          const uint8_t secret[ID_SECRET_SIZE], char why[200]);

#endif
