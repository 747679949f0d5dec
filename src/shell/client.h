// SPDX-License-Identifier: Apache-2.0
// `till order`, `till sku`, `till event`: a running server, operated from a terminal over its HTTP API.
#ifndef TILL_SHELL_CLIENT_H
#define TILL_SHELL_CLIENT_H

// argv[0] is "order", "sku" or "event". Data goes to stdout, talk to stderr. Exit status: 0 done, 1 failed
// (the server refused or cannot be reached), 2 wrong usage.
int client_main(int argc, char **argv);

#endif
