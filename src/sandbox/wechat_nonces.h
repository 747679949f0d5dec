// SPDX-License-Identifier: Apache-2.0
// Which signed requests were here before. Remembered in memory only, as long as a timestamp stays good: after a restart
// the same request would pass once more, and do what a repetition does.
#ifndef TILL_SANDBOX_WECHAT_NONCES_H
#define TILL_SANDBOX_WECHAT_NONCES_H

#include "base/str.h"
#include <stdint.h>

struct wechat_nonces;

struct wechat_nonces *wechat_nonces_new(void);    // NULL: no memory
void wechat_nonces_free(struct wechat_nonces *n); // NULL allowed
// False: this text was taken before.
bool wechat_nonces_take(struct wechat_nonces *n, struct str sign_text, int64_t real_ms);

#endif
