// SPDX-License-Identifier: Apache-2.0
// The service as a whole: what is opened in which order, and closed in the reverse.
#ifndef TILL_SHELL_SERVICE_H
#define TILL_SHELL_SERVICE_H

#include "shell/config.h"
#include <signal.h>

struct service_options {
    struct config *config; // loaded; defaults that depend on the rest are set here
    bool is_dev;           // sandbox in the same process, demo catalogue, pages
    bool test_clock;
    bool fresh;                 // is_dev: start empty
    const char *data_dir;       // is_dev
    const char *sandbox_listen; // is_dev
};

// Runs until SIGTERM or SIGINT. Exit status: 0 stopped cleanly, 1 failed (told on stderr), 2 wrong configuration.
int service_run(const struct service_options *o);

// SIGTERM and SIGINT are blocked from here on, in this thread and all it starts, and left in `stops` for sigwait();
// a peer that went away is no signal.
void stop_signals_block(sigset_t *stops);

// The file behind a store address, or NULL with a reason: "sqlite:till-data/till.db" -> "till-data/till.db".
const char *store_path(const char *url, char why[200]);

#endif
