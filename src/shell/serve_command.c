// SPDX-License-Identifier: Apache-2.0
// `till dev`, `till serve` and `till sandbox`: what runs until it is told to stop.
#include "base/log.h"
#include "sandbox/sandbox.h"
#include "shell/commands.h"
#include "shell/help.h"
#include "shell/service.h"
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static int print_config(const struct config *c)
{
    struct buf out = {0};
    config_print(c, &out);
    (void)printf("%.*s", (int)out.n, out.p);
    buf_free(&out);
    return 0;
}

int dev_command(int argc, char **argv)
{
    const char *data = "till-data", *sandbox_listen = "127.0.0.1:8081";
    bool fresh = false, print = false;
    const struct flag flags[] = {
        {.name = "--data", .kind = FLAG_TEXT, .out = &data},
        {.name = "--sandbox-listen", .kind = FLAG_TEXT, .out = &sandbox_listen},
        {.name = "--pay-within", .kind = FLAG_KEY, .key = "order.pay_within"},
        {.name = "--fresh", .kind = FLAG_SWITCH, .out = &fresh},
        {.name = "--print-config", .kind = FLAG_SWITCH, .out = &print},
        {.name = NULL},
    };
    struct config config;
    char why[CONFIG_WHY_SIZE];
    struct config_input in = {.is_dev = true, .argc = argc, .argv = argv, .envp = environ, .flags = flags};
    int status;
    if (!config_load(&config, &in, why)) {
        status = usage_error("dev", why);
    } else if (print) {
        status = print_config(&config);
    } else if (!config_has_loopback_listen(&config)) {
        status = usage_error("dev", "--listen: the development server moves clocks and plays money, on loopback only");
    } else {
        struct service_options o = {.config = &config,
                                    .is_dev = true,
                                    .test_clock = true,
                                    .fresh = fresh,
                                    .data_dir = data,
                                    .sandbox_listen = sandbox_listen};
        status = service_run(&o);
    }
    config_free(&config);
    return status;
}

int serve_command(int argc, char **argv)
{
    bool test_clock = false, print = false;
    const struct flag flags[] = {
        {.name = "--test-clock", .kind = FLAG_SWITCH, .out = &test_clock},
        {.name = "--print-config", .kind = FLAG_SWITCH, .out = &print},
        {.name = NULL},
    };
    struct config config;
    char why[CONFIG_WHY_SIZE];
    struct config_input in = {.argc = argc, .argv = argv, .envp = environ, .flags = flags};
    int status;
    if (!config_load(&config, &in, why)) {
        status = usage_error("serve", why);
    } else if (print) {
        status = print_config(&config);
    } else if (test_clock && !config_has_loopback_listen(&config)) {
        status = usage_error("serve", "--test-clock is for loopback addresses only");
    } else {
        struct service_options o = {.config = &config, .test_clock = test_clock};
        status = service_run(&o);
    }
    config_free(&config);
    return status;
}

int sandbox_command(int argc, char **argv)
{
    const char *listen = "127.0.0.1:8081", *keys = "till-data/keys", *pages = "";
    const struct flag flags[] = {
        {.name = "--listen", .kind = FLAG_TEXT, .out = &listen},
        {.name = "--keys", .kind = FLAG_TEXT, .out = &keys},
        {.name = "--pages", .kind = FLAG_TEXT, .out = &pages},
        {.name = NULL},
    };
    struct flag_input in = {.argc = argc, .argv = argv, .flags = flags};
    char why[FLAG_WHY_SIZE], open_why[200], data[PATH_MAX];
    if (!flags_read(&in, why)) return usage_error("sandbox", why);
    (void)snprintf(data, sizeof data, "%s/sandbox.db", keys);
    struct clock clock = {0};
    struct sandbox_options o = {.listen = listen,
                                .keys_dir = keys,
                                .data_path = data,
                                .clock = &clock,
                                .owns_clock = true,
                                .pages_below = pages};
    sigset_t stops;
    stop_signals_block(&stops);
    struct sandbox *s = sandbox_open(&o, open_why);
    if (!s || !sandbox_start(s)) {
        (void)fprintf(stderr, "till sandbox: %s\n", s ? "cannot start its threads" : open_why);
        sandbox_free(s);
        return 1;
    }
    (void)printf("The sandbox is ready.\n  wallet 钱包   http://127.0.0.1:%u/wallet\n  gateway       "
                 "http://127.0.0.1:%u/gateway.do\n  keys          %s\n",
                 sandbox_port(s), sandbox_port(s), keys);
    (void)fflush(stdout);
    int which;
    (void)sigwait(&stops, &which);
    sandbox_stop(s);
    sandbox_free(s);
    return 0;
}
