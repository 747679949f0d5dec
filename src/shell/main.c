// SPDX-License-Identifier: Apache-2.0
// One binary, many commands.
#include "shell/auth.h"
#include "shell/client.h"
#include "shell/commands.h"
#include "shell/help.h"
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

// These three take their own name too: they are one client.
static const char *const CLIENT[] = {"order", "sku", "event"};

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} COMMANDS[] = {
    {"dev", dev_command},     {"serve", serve_command},         {"sandbox", sandbox_command},
    {"audit", audit_command}, {"reconcile", reconcile_command}, {"sim", sim_main},
    {"bench", bench_main},    {"key", auth_key_command},
};

static int run(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "help";
    if (argc > 2 && help_is_asked(argc - 2, argv + 2) && help_write(command, stdout)) return 0;
    for (size_t i = 0; i < sizeof CLIENT / sizeof CLIENT[0]; i++)
        if (strcmp(command, CLIENT[i]) == 0) return client_main(argc - 1, argv + 1);
    for (size_t i = 0; i < sizeof COMMANDS / sizeof COMMANDS[0]; i++) {
        if (strcmp(command, COMMANDS[i].name) == 0) return COMMANDS[i].run(argc - 2, argv + 2);
    }
    return help_main(argc - 1, argv + 1);
}

// libcurl's beginning brings up TLS: 2 MiB that what speaks no HTTPS need not have.
static bool needs_curl(const char *command)
{
    return strcmp(command, "bench") != 0 && strcmp(command, "sim") != 0;
}

int main(int argc, char **argv)
{
    bool has_curl = argc > 1 && needs_curl(argv[1]);
    if (has_curl && curl_global_init(CURL_GLOBAL_DEFAULT) != 0) return 1;
    int status = run(argc, argv);
    if (has_curl) curl_global_cleanup();
    // What was printed and could not be written is a failure too.
    return fflush(stdout) != 0 && status == 0 ? 1 : status;
}
