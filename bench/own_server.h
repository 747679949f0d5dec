// SPDX-License-Identifier: Apache-2.0
// A server for a benchmark: `till dev` of this same binary, in a fresh directory, ended and removed afterwards.
#ifndef TILL_BENCH_OWN_SERVER_H
#define TILL_BENCH_OWN_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct own_server {
    pid_t pid;
    unsigned port;
    char dir[64]; // below TMPDIR or the working directory: on a real disk, or durability would cost nothing
};

bool own_server_start(struct own_server *s, char why[200]);
void own_server_stop(struct own_server *s); // SIGTERM, wait, remove the directory
void dir_remove(const char *dir);           // with all that is in it

#endif
