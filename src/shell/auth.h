// SPDX-License-Identifier: Apache-2.0
// API keys: who may do what. A key file has one line per key: name, scope, SHA-256 of the key in hex, made by
// `till key add`. The key itself is shown once and stored nowhere.
#ifndef TILL_SHELL_AUTH_H
#define TILL_SHELL_AUTH_H

#include "base/str.h"

// Each scope may do what those before it may, but for `order` and `refund`, which differ.
enum scope { SCOPE_NONE, SCOPE_READ, SCOPE_ORDER, SCOPE_REFUND, SCOPE_ADMIN };

struct auth;
// An empty path means no keys: then everything is allowed. NULL with a reason in `why` when a file that is named cannot
// be read.
struct auth *auth_open(const char *path, char why[200]);
void auth_free(struct auth *a);
bool auth_has_keys(const struct auth *a);
// Whose key the Authorization header carries; SCOPE_NONE when it is not one of ours. Without keys: admin, named "".
// `name` is borrowed from `a`. Constant time in the key.
enum scope auth_check(const struct auth *a, struct str authorization, struct str *name);
bool scope_allows(enum scope has, enum scope needs);

// `till key add NAME --scope S --file PATH`: appends a fresh key and prints it. 0, 1 or 2 (exit status).
int auth_key_command(int argc, char **argv);

#endif
