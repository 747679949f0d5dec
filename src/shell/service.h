// SPDX-License-Identifier: Apache-2.0
// The service as a whole: what is opened in which order, and closed in the reverse.
#ifndef TILL_SHELL_SERVICE_H
#define TILL_SHELL_SERVICE_H

#include "shell/config.h"

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

// The file behind a store address, or NULL with a reason: "sqlite:till-data/till.db" -> "till-data/till.db".
const char *store_path(const char *url, char why[200]);

#endif
