// SPDX-License-Identifier: Apache-2.0
// Who holds the phone, for WeChat's OAuth.
#ifndef TILL_SANDBOX_WECHAT_OAUTH_H
#define TILL_SANDBOX_WECHAT_OAUTH_H

#include "sandbox/ledger.h"

#define WECHAT_AUTHORIZE    "/connect/oauth2/authorize"
#define WECHAT_ACCESS_TOKEN "/sns/oauth2/access_token"
#define WECHAT_DEMO_USER    "demo"
// How the wallet says whose phone it is; a browser says nothing and is the demo user's.
#define WECHAT_USER_HEADER "Sandbox-Wallet-User"

// The same user always has the same; empty for the demo user.
void wechat_openid(struct str user, char out[OPENID_MAX + 1]);

#endif
