// SPDX-License-Identifier: Apache-2.0
// The providers' channels out of the configuration: for whoever serves, and for whoever only asks for bills.
#ifndef TILL_SHELL_CHANNELS_H
#define TILL_SHELL_CHANNELS_H

#include "channel/caller.h"
#include "engine/engine.h"
#include "shell/config.h"

struct sandbox_identity;
struct test_clock;

// Opens those that are configured; `channels` is by enum channel_id. False with a reason, and the caller frees what was
// opened. `public_url` is where notifications come to.
bool channels_open(const struct config *c, struct caller *caller, const struct answer_sink *sink,
                   const char *public_url, const uint8_t secret[ID_SECRET_SIZE], struct channel *channels[N_CHANNELS],
                   char why[CONFIG_WHY_SIZE]);

bool channel_is_configured(const struct config *c, enum channel_id id);

// What a sandbox at `base_url` with this key directory makes of keys nobody has set.
bool channels_default_sandbox(struct config *c, const struct sandbox_identity *id, const char *base_url,
                              const char *keys_dir, char why[CONFIG_WHY_SIZE]);

// The test clock takes along a sandbox that is among the gateways.
void channels_follow_clock(const struct config *c, struct test_clock *clock);

#endif
