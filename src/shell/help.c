// SPDX-License-Identifier: Apache-2.0
#include "shell/help.h"
#include "shell/config.h"
#include <stdlib.h>
#include <unistd.h>

#ifndef TILL_VERSION
#define TILL_VERSION "0.1.0" // the build gives the project's
#endif

struct command {
    const char *name, *brief, *usage, *text;
};

#define CLIENT_FLAGS                                                                                                   \
    "  --url URL            the server (http://127.0.0.1:8080)\n"                                                      \
    "  --key KEY            API key; better in the environment, as TILL_KEY\n"                                         \
    "  --json               the server's own JSON\n"

static const struct command COMMANDS[] = {
    {"dev", "everything on this machine: service, sandbox wallets, shop", "till dev [FLAGS]",
     "Runs the service with an embedded SQLite store, the two sandbox gateways, a small demo catalogue and "
     "the web\n"
     "pages, and prints their addresses. What it keeps lies under --data, so that a killed `till dev` comes "
     "back whole.\n"
     "\n"
     "  --listen HOST:PORT          the service (127.0.0.1:8080)\n"
     "  --sandbox-listen HOST:PORT  the sandbox gateways (127.0.0.1:8081)\n"
     "  --data DIR                  where everything is kept (till-data)\n"
     "  --pay-within DURATION       payment window (5m)\n"
     "  --fresh                     start empty\n"
     "  --config FILE               a configuration file\n"
     "  --section.name VALUE        any key of the configuration: till help config\n"},
    {"serve", "the service alone", "till serve [FLAGS]",
     "  --listen HOST:PORT    where to serve (127.0.0.1:8080)\n"
     "  --config FILE         a configuration file\n"
     "  --section.name VALUE  any key of the configuration: till help config\n"
     "  --print-config        show the effective values, secrets masked, and end\n"
     "  --test-clock          let POST /dev/clock move time; on loopback only\n"
     "\n"
     "The environment is read too: TILL_ORDER_PAY_WITHIN=10m is --order.pay_within 10m. SIGTERM drains and "
     "ends.\n"},
    {"sandbox", "the simulated Alipay and WeChat Pay gateways alone", "till sandbox [FLAGS]",
     "  --listen HOST:PORT  where to serve (127.0.0.1:8081)\n"
     "  --keys DIR          the key files; fresh pairs are made if it is empty\n"
     "  --pages URL         the wallet opens payment pages below this address too, not only this machine's\n"},
    {"audit", "check every invariant over a store", "till audit [FLAGS]",
     "One line for each invariant: holds, pending or BROKEN, with counts and examples. Exit status 1 only "
     "for BROKEN.\n"
     "May run beside a live server.\n"
     "\n"
     "  --store URL    the store (sqlite:till-data/till.db)\n"
     "  --sandbox URL  compare with the provider's own ledger as well\n"
     "  --json         for programs\n"},
    {"reconcile", "compare the providers' daily bills with the store", "till reconcile [--date D] [FLAGS]",
     "Fetches each provider's bill of a day in Shanghai, checks it, and lists what differs: missing here, missing\n"
     "there, amount differs. Each difference is an open case (GET /v1/cases), once, until somebody closes it; nothing\n"
     "is mended. Exit status 0 when all match, 1 when something differs or a bill cannot be had.\n"
     "\n"
     "  --date D         the day, as 2026-11-23; it must be over (yesterday)\n"
     "  --channel C      alipay or wechatpay; without it all that are configured\n"
     "  --data DIR       of a `till dev`: its store and its sandbox's keys\n"
     "  --sandbox URL    with --data, where its sandbox is (http://127.0.0.1:8081)\n"
     "  --store URL      the store (sqlite:till-data/till.db); may be a live server's\n"
     "  --url URL        the server that has the store open and takes the cases (server.public_url or .listen)\n"
     "  --key KEY        its API key, of scope admin; better in the environment, as TILL_KEY\n"
     "  --json           for programs\n"
     "  --config FILE, --section.name VALUE, TILL_SECTION_NAME: the channels' keys, as for `till serve`\n"},
    {"bench", "built-in load", "till bench NAME [FLAGS]",
     "Names: place, noop, notify, expire, pending, mixed, policies, txmsg. The last line is one JSON "
     "object.\n"
     "\n"
     "  --url URL        the server\n"
     "  --orders N       how many\n"
     "  --connections N  over how many connections\n"
     "  --json           nothing but the last line\n"
     "\n"
     "policies needs no server: the four check-back policies and the two schedules over the same buyers, in the\n"
     "simulator's world, on a virtual clock. Shares are in percent.\n"
     "\n"
     "  --orders N       how many (20000)\n"
     "  --pay P          of the orders, are paid (70)\n"
     "  --lost L         of notifications, never arrive (5)\n"
     "  --duplicates D   of notifications, arrive twice (5)\n"
     "  --late T         of payments, at the window's end: from 10 s before to 5 s after (2)\n"
     "  --window 5m      how long every order may be paid; without it 5, 15 and 30 minutes for 50, 30 and 20\n"
     "                   of a hundred orders\n"
     "  --seed N         of the buyers (1)\n"
     "  --svg FILE       draws it\n"
     "\n"
     "The buyers are a model, our assumption. From code to scan: half within 20 s, 90 of 100 within 56 s, one in\n"
     "100 later than 129 s. From scan to payment: half within 8 s, 90 of 100 within 22 s, one in 100 later than\n"
     "51 s. Of those who do not pay one in three scans all the same. Notifications take up to 0.3 s, calls up to\n"
     "0.6 s.\n"
     "\n"
     "txmsg: transaction messages against a RocketMQ broker whose topic is there, END one-way and acknowledged.\n"
     "\n"
     "  --namesrv HOST:PORT  (127.0.0.1:9876); --topic NAME (BenchmarkTest)\n"
     "  --messages N         of each mode (200000), or --seconds N\n"
     "  --in-flight N        transactions under way (32)\n"
     "  --size N             bytes of a body (2048)\n"
     "  --mode oneway|acked|both\n"
     "  --rollback P, --unknown P  percent that end so; --check-unknown P, of check-backs\n"
     "  --stay N             seconds to answer check-backs afterwards\n"
     "\n"
     "pending: orders that wait, in a store and an engine of its own: bytes of each, and what waiting costs.\n"
     "\n"
     "  --orders N           how many (1000000)\n"
     "  --channel any|alipay with alipay each has a code, of a channel that answers at once\n"
     "  --data DIR           where its directory is made (.)\n"
     "  --idle N             seconds to wait while nothing is due (5)\n"
     "  --keys               with an Idempotency-Key each\n"},
    {"sim", "deterministic simulation", "till sim [FLAGS]",
     "A failure prints the seed and the command that replays it; exit status 1. The last line is one JSON "
     "object.\n"
     "\n"
     "  --seed N                first seed\n"
     "  --runs N                how many seeds\n"
     "  --faults all|none|LIST  what goes wrong\n"
     "  --crash-points          scripted flows instead: the power fails in each call to the disk in turn\n"
     "  --io-errors             the same, and the call fails\n"},
    {"order", "place, look at, cancel, refund orders of a running server", "till order ACTION [ARGUMENTS] [FLAGS]",
     "  list                          --state STATE, --buyer BUYER, --limit N, --cursor TEXT\n"
     "  show ID\n"
     "  timeline ID                   what happened to it, and why\n"
     "  place                         --sku SKU:QUANTITY (several times) | --cart CART | --amount FEN "
     "--subject TEXT;\n"
     "                                --channel alipay|wechatpay|any, --buyer BUYER, --pay-within DURATION,\n"
     "                                --policy delay|poll|reverse|forward, --merchant-order-no NO,\n"
     "                                --idempotency-key KEY\n"
     "  cancel ID                     --reason buyer|merchant, --note TEXT\n"
     "  check ID                      ask the provider now\n"
     "  refund ID                     --amount FEN (all that is left), --reason TEXT, --idempotency-key KEY\n"
     "  qr ID                         the code, drawn in the terminal\n"
     "\n" CLIENT_FLAGS},
    {"sku", "the catalogue of a running server", "till sku ACTION [ARGUMENTS] [FLAGS]",
     "  list                          --limit N, --cursor TEXT\n"
     "  show SKU\n"
     "  put SKU                       --title TEXT --price FEN, --stock N (only for a new one), --currency "
     "CNY\n"
     "  stock SKU --add N             N may be negative\n"
     "\n" CLIENT_FLAGS},
    {"event", "the events of a running server", "till event ACTION [FLAGS]",
     "  list                          --after ID, --limit N\n"
     "  follow                        --after ID, --limit N: waits for more, ends after N events; --json is "
     "one\n"
     "                                object a line\n"
     "\n"
     "Without --after both begin with the oldest event kept.\n"
     "\n" CLIENT_FLAGS},
    {"key", "make an API key", "till key add NAME --scope read|order|refund|admin [--file PATH]",
     "Prints the key, once. Its hash goes into the file, which a server reads as server.api_keys_file.\n"},
    {"config", "every key of the configuration", "till help config [--markdown]", NULL},
    {"version", "the version", "till version", ""},
    {"help", "this", "till help [COMMAND]", ""},
};

#define N_COMMANDS (sizeof COMMANDS / sizeof COMMANDS[0])

static void write_overview(FILE *out)
{
    (void)fputs("Till takes orders, holds stock, gets orders paid by QR code, and otherwise cancels them in time.\n\n"
                "usage: till COMMAND [ARGUMENTS] [FLAGS]\n\n",
                out);
    for (size_t i = 0; i < N_COMMANDS; i++)
        (void)fprintf(out, "  %-9s %s\n", COMMANDS[i].name, COMMANDS[i].brief);
    (void)fputs("\nBegin with `till dev`. Data goes to stdout, talk to stderr; exit status 0 done, 1 failed, "
                "2 wrong usage.\n",
                out);
}

static void write_config(FILE *out, bool as_markdown)
{
    struct buf text = {0};
    if (as_markdown)
        config_markdown(&text);
    else
        config_keys_print(&text);
    if (!text.failed) (void)fwrite(text.p, 1, text.n, out);
    buf_free(&text);
}

bool help_write(const char *command, FILE *out)
{
    if (!command || !*command) {
        write_overview(out);
        return true;
    }
    for (size_t i = 0; i < N_COMMANDS; i++) {
        const struct command *c = &COMMANDS[i];
        if (strcmp(command, c->name) != 0) continue;
        (void)fprintf(out, "usage: %s\n%s: %s\n", c->usage, c->name, c->brief);
        if (!c->text || *c->text) (void)fputc('\n', out);
        if (c->text)
            (void)fputs(c->text, out);
        else
            write_config(out, false);
        return true;
    }
    return false;
}

int usage_error(const char *command, const char *what)
{
    bool has_name = command && *command;
    (void)fprintf(stderr, "till: %s (see: till help%s%s)\n", what, has_name ? " " : "", has_name ? command : "");
    return 2;
}

bool help_is_asked(int argc, char *const *argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    return false;
}

bool colour_is_wanted(FILE *out)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    if (no_color && *no_color) return false;
    return term && strcmp(term, "dumb") != 0 && isatty(fileno(out));
}

// Whether everything really went out: a full disk must not look like success.
static int end_output(void)
{
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}

static int unknown_command(const char *word)
{
    char shown[SHOWN_SIZE], what[SHOWN_SIZE + 32];
    (void)snprintf(what, sizeof what, "there is no command %s", value_shown(word, shown));
    return usage_error("", what);
}

static int help_command(int argc, char **argv)
{
    bool as_markdown = false;
    const char *word = NULL;
    char why[FLAG_WHY_SIZE];
    const struct flag flags[] = {{.name = "--markdown", .kind = FLAG_SWITCH, .out = &as_markdown}, {0}};
    struct flag_input in = {.argc = argc, .argv = argv, .flags = flags, .words = &word, .words_max = 1};
    if (!flags_read(&in, why)) return usage_error("help", why);
    if (as_markdown) {
        if (!word || strcmp(word, "config") != 0) return usage_error("help", "--markdown goes with: till help config");
        write_config(stdout, true);
    } else if (!help_write(word, stdout)) {
        return unknown_command(word);
    }
    return end_output();
}

static int version_command(int argc, char **argv)
{
    char why[FLAG_WHY_SIZE];
    struct flag_input in = {.argc = argc, .argv = argv};
    if (!flags_read(&in, why)) return usage_error("version", why);
    (void)puts("till " TILL_VERSION);
    return end_output();
}

static bool is_one_of(const char *word, const char *name, const char *flag, const char *letter)
{
    return strcmp(word, name) == 0 || strcmp(word, flag) == 0 || strcmp(word, letter) == 0;
}

int help_main(int argc, char **argv)
{
    if (argc < 1) {
        write_overview(stderr);
        return 2;
    }
    if (is_one_of(argv[0], "help", "--help", "-h")) return help_command(argc - 1, argv + 1);
    if (is_one_of(argv[0], "version", "--version", "-V")) return version_command(argc - 1, argv + 1);
    return unknown_command(argv[0]);
}
