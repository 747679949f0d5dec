// SPDX-License-Identifier: Apache-2.0
// The sandbox calls nobody but the machine it runs on.
#ifndef TILL_SANDBOX_LOOPBACK_H
#define TILL_SANDBOX_LOOPBACK_H

#include <stdbool.h>

// An absolute http or https address whose host is 127.0.0.0/8, ::1 or localhost, however it is written.
bool url_is_loopback(const char *url);

#endif
