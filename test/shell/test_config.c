// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka needs the four above first
#include <cmocka.h>

#include "shell/config.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARGS_MAX 12

static char path[] = "/tmp/till-config-XXXXXX";

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int drop_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_file(const char *text, size_t n)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

// Loads with the given environment line (or NULL) and arguments up to NULL.
static bool load(struct config *c, char why[CONFIG_WHY_SIZE], const char *env, ...)
{
    char *argv[ARGS_MAX], *envp[] = {"PATH=/bin", (char *)(uintptr_t)env, NULL};
    struct config_input in = {.argv = argv, .envp = envp};
    va_list args;
    va_start(args, env);
    for (char *arg = va_arg(args, char *); arg; arg = va_arg(args, char *)) {
        assert_true(in.argc < ARGS_MAX);
        argv[in.argc++] = arg;
    }
    va_end(args);
    *why = 0;
    return config_load(c, &in, why);
}

#define LOAD(c, ...) assert_true(load(c, why, __VA_ARGS__, NULL))

static void assert_refused(const char *expected, const char *env, const char *flag, const char *value)
{
    struct config c;
    char why[CONFIG_WHY_SIZE];
    if (load(&c, why, env, flag, value, NULL)) fail_msg("accepted, expected: %s", expected);
    assert_string_equal(why, expected);
    assert_null(strchr(why, '\n'));
    config_free(&c);
}

// Refused, and all of these are in the line.
static void assert_flag_refused(const char *key, const char *value)
{
    struct config c;
    char why[CONFIG_WHY_SIZE], flag[80];
    (void)snprintf(flag, sizeof flag, "--%s", key);
    if (load(&c, why, NULL, flag, value, NULL)) fail_msg("%s accepted %s", key, value);
    assert_memory_equal(why, key, strlen(key));
    assert_non_null(strstr(why, "is not allowed: expected "));
    config_free(&c);
}

static void assert_flag_taken(const char *key, const char *value)
{
    struct config c;
    char why[CONFIG_WHY_SIZE], flag[80];
    (void)snprintf(flag, sizeof flag, "--%s", key);
    if (!load(&c, why, NULL, flag, value, NULL)) fail_msg("%s", why);
    config_free(&c);
}

static void defaults_are_those_of_the_contract(void **state)
{
    (void)state;
    struct config c;
    char why[CONFIG_WHY_SIZE];
    LOAD(&c, NULL);
    assert_string_equal(c.server.listen, "127.0.0.1:8080");
    assert_string_equal(c.store.url, "sqlite:till-data/till.db");
    assert_string_equal(c.broker.url, "embedded:");
    assert_int_equal(c.order.pay_within_ms, 300000);
    assert_int_equal(c.order.close_grace_ms, 30000);
    assert_int_equal(c.order.release, RELEASE_PROOF);
    assert_int_equal(c.order.late_payment, LATE_REFUND);
    assert_int_equal(c.checkback.policy, POLICY_REVERSE);
    assert_int_equal(c.checkback.schedule, SCHEDULE_ADAPTIVE);
    assert_int_equal(c.checkback.first_ms, 30000);
    assert_int_equal(c.checkback.interval_ms, 30000);
    assert_int_equal(c.checkback.max, 0);
    assert_string_equal(c.sweep.cron, "0 0/10 * ? * ?");
    assert_false(c.webhook.allow_private);
    assert_int_equal(c.log.level, LOG_INFO);
    assert_string_equal(c.alipay.gateway, ""); // its channel is off
    assert_string_equal(c.wechatpay.base_url, "");
    assert_true(config_check(&c, why));
    config_free(&c);
}

static void dev_allows_private_webhooks_and_fills_in_its_own_addresses(void **state)
{
    (void)state;
    struct config c;
    char why[CONFIG_WHY_SIZE];
    char *argv[] = {"--store.url=sqlite:mine.db"};
    struct config_input in = {.is_dev = true, .argc = 1, .argv = argv};
    assert_true(config_load(&c, &in, why));
    assert_true(c.webhook.allow_private);
    assert_true(config_set_default(&c, "alipay.gateway", "http://127.0.0.1:8081/gateway.do", why));
    assert_string_equal(c.alipay.gateway, "http://127.0.0.1:8081/gateway.do");
    assert_true(config_set_default(&c, "store.url", "sqlite:other.db", why));
    assert_string_equal(c.store.url, "sqlite:mine.db");
    assert_int_equal(config_source_of(&c, "store.url"), FROM_FLAG);
    assert_int_equal(config_source_of(&c, "alipay.gateway"), FROM_DEFAULT);
    assert_false(config_set_default(&c, "alipay.gatewy", "x", why));
    config_free(&c);
}

static void a_stronger_source_wins(void **state)
{
    (void)state;
    struct config c;
    char why[CONFIG_WHY_SIZE];
    static const char text[] = "\xef\xbb\xbf# ours\r\n[order]\r\n  pay_within = 10m \r\n; more\r\nclose_grace=5s\r\n"
                               "[checkback]\nfirst = 7s\n[order]\nrelease = deadline\n";
    write_file(text, sizeof text - 1);
    LOAD(&c, NULL, "--config", path);
    assert_int_equal(c.order.pay_within_ms, 600000);
    assert_int_equal(c.order.close_grace_ms, 5000);
    assert_int_equal(c.checkback.first_ms, 7000);
    assert_int_equal(c.order.release, RELEASE_DEADLINE);
    assert_int_equal(config_source_of(&c, "order.release"), FROM_FILE);
    config_free(&c);
    LOAD(&c, "TILL_ORDER_PAY_WITHIN=11m", "--config", path);
    assert_int_equal(c.order.pay_within_ms, 660000);
    config_free(&c);
    LOAD(&c, "TILL_ORDER_PAY_WITHIN=11m", "--order.pay_within", "12m", "--config", path);
    assert_int_equal(c.order.pay_within_ms, 720000);
    assert_int_equal(config_source_of(&c, "order.pay_within"), FROM_FLAG);
    config_free(&c);
    LOAD(&c, NULL, "--order.pay_within=12m", "--order.pay_within=13m");
    assert_int_equal(c.order.pay_within_ms, 780000);
    config_free(&c);
}

static void a_losing_value_must_be_good_as_well(void **state)
{
    (void)state;
    assert_refused("order.pay_within: \"soon\" is not allowed: expected a duration from 1s to 15d "
                   "(500ms, 90s, 5m, 2h, 15d) (TILL_ORDER_PAY_WITHIN)",
                   "TILL_ORDER_PAY_WITHIN=soon", "--order.pay_within", "12m");
}

static void a_bad_value_is_named_with_what_is_allowed(void **state)
{
    (void)state;
    assert_refused("checkback.policy: \"revers\" is not allowed: expected delay, poll, reverse or forward (flag)", NULL,
                   "--checkback.policy", "revers");
    assert_refused("broker.tls: \"yes\" is not allowed: expected true or false (TILL_BROKER_TLS)",
                   "TILL_BROKER_TLS=yes", NULL, NULL);
    assert_refused("order.pay_within: \"a?b\" is not allowed: expected a duration from 1s to 15d "
                   "(500ms, 90s, 5m, 2h, 15d) (flag)",
                   NULL, "--order.pay_within", "a\nb");
}

static void an_unknown_key_is_named_with_its_neighbours(void **state)
{
    (void)state;
    static const char allowed[] = "allowed there pay_within, close_grace, release, late_payment";
    char expected[CONFIG_WHY_SIZE];
    (void)snprintf(expected, sizeof expected, "unknown key \"order.pay_withn\" with value \"5m\" (flag): %s", allowed);
    assert_refused(expected, NULL, "--order.pay_withn", "5m");
    (void)snprintf(expected, sizeof expected,
                   "unknown key \"order.pay_withn\" with value \"5m\" (TILL_ORDER_PAY_WITHN): %s", allowed);
    assert_refused(expected, "TILL_ORDER_PAY_WITHN=5m", NULL, NULL);
    write_file("[order]\n\npay_withn = 5m\n", 23);
    (void)snprintf(expected, sizeof expected, "unknown key \"order.pay_withn\" with value \"5m\" (%s:3): %s", path,
                   allowed);
    assert_refused(expected, NULL, "--config", path);
    assert_refused("unknown key \"orders.pay\" with value \"5m\" (flag): allowed are the sections server, store, "
                   "broker, order, checkback, sweep, alipay, wechatpay, fake, webhook, log",
                   NULL, "--orders.pay", "5m");
}

static void an_environment_name_of_no_section_is_not_ours(void **state)
{
    (void)state;
    struct config c;
    char why[CONFIG_WHY_SIZE];
    LOAD(&c, "TILL_KEY=abc");
    config_free(&c);
    LOAD(&c, "TILL_SERVICE_HOST=10.0.0.1");
    config_free(&c);
}

static void secrets_never_appear(void **state)
{
    (void)state;
    struct config c;
    char why[CONFIG_WHY_SIZE];
    static const char *const urls[] = {
        "postgres://till:s3cret@db/till", "postgresql://till:s3cret@[::1]:5432/till?sslmode=require",
        "postgres://till@db/till?password=s3cret&sslmode=require", "postgres://till@db/till?ssl%70assword=s3cret",
        "postgres://till:p@s3cret@db/till"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct buf out = {0};
        LOAD(&c, NULL, "--store.url", urls[i], "--broker.access_key", "s3cret", "--broker.secret_key_file", "/k");
        assert_string_equal(c.store.url, urls[i]);
        config_print(&c, &out);
        buf_char(&out, 0);
        assert_null(strstr(out.p, "s3cret"));
        assert_non_null(strstr(out.p, "***"));
        assert_non_null(strstr(out.p, "access_key = ***\n"));
        assert_non_null(strstr(out.p, "secret_key_file = /k\n"));
        buf_free(&out);
        config_free(&c);
    }
    static const char *const bad[] = {
        "--store.url",   "pstgres://till:s3cret@db", "--store.url", "host=db password=s3cret", "--broker.access_key",
        "s3cret s3cret", "--broker.secret_key",      "s3cret",      "--store.password",        "s3cret"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i += 2) {
        assert_false(load(&c, why, NULL, bad[i], bad[i + 1], NULL));
        assert_null(strstr(why, "s3cret"));
        assert_non_null(strstr(why, "***"));
        config_free(&c);
    }
}

static void forms_are_checked(void **state)
{
    (void)state;
    static const char *const good[][2] = {
        {"server.listen", "0.0.0.0:0"},
        {"server.listen", "[::1]:8080"},
        {"server.listen", "localhost:65535"},
        {"server.public_url", "https://pay.example.com/till"},
        {"server.public_url", "http://[::1]:8"},
        {"server.public_url", "http://[::1]"},
        {"server.public_url", ""},
        {"store.url", "sqlite:/var/lib/till/till.db"},
        {"store.url", "postgres:///till"},
        {"broker.url", "rocketmq://a:9876;b:9876?group=till"},
        {"broker.url", "rocketmq://[::1]:9876"},
        {"order.pay_within", "15d"},
        {"order.pay_within", "1s"},
        {"order.close_grace", "0s"},
        {"checkback.max", "0"},
        {"sweep.cron", "0 0/10 * ? * ?"},
        {"sweep.cron", "0 0 3 ? * 6#3 2026-2030"},
        {"sweep.cron", "*  *  *  *  *  MON-FRI"},
        {"alipay.any_product", "wap"},
        {"server.workers", "64"},
    };
    static const char *const bad[][2] = {
        {"server.listen", ":8080"},
        {"server.listen", "8080"},
        {"server.listen", "127.0.0.1"},
        {"server.listen", "127.0.0.1:65536"},
        {"server.listen", "127.0.0.1:8o80"},
        {"server.listen", "::1:8080"},
        {"server.listen", "[::1:8080"},
        {"server.listen", "[zz]:8080"},
        {"server.listen", ""},
        {"server.listen", "a b:1"},
        {"server.public_url", "ftp://a"},
        {"server.public_url", "http://"},
        {"server.public_url", "http://a?b"},
        {"server.public_url", "http://u:p@a"},
        {"server.public_url", "http://a\r\nX:y"},
        {"server.public_url", "http://a:0"},
        {"server.public_url", "http://[::1"},
        {"server.public_url", "http://[::1]x"},
        {"store.url", "sqlite:"},
        {"store.url", "mysql://a"},
        {"store.url", "till.db"},
        {"broker.url", "rocketmq://"},
        {"broker.url", "rocketmq://a"},
        {"broker.url", "rocketmq://a:1;"},
        {"broker.url", "rocketmq://a:1?grp=x"},
        {"broker.url", "rocketmq://a:1?group="},
        {"broker.url", "embedded"},
        {"order.pay_within", "999ms"},
        {"order.pay_within", "361h"},
        {"order.pay_within", "5"},
        {"order.pay_within", "-5m"},
        {"order.pay_within", "5m "},
        {"checkback.interval", "0s"},
        {"checkback.max", "-1"},
        {"checkback.max", "1x"},
        {"checkback.max", "99999999999999999999"},
        {"checkback.max", ""},
        {"sweep.cron", "0/10 * ? * ?"},
        {"sweep.cron", "0 0 0 0 0 0 0 0"},
        {"sweep.cron", "0 0 0 ; ? *"},
        {"sweep.cron", ""},
        {"broker.tls", "TRUE"},
        {"order.release", "proof|deadline"},
        {"order.release", ""},
        {"alipay.app_id", "a b"},
        {"alipay.private_key_file", "a\nb"},
        {"log.level", "loud"},
        {"server.max_connections", "0"},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_flag_taken(good[i][0], good[i][1]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_flag_refused(bad[i][0], bad[i][1]);
}

static void a_bad_file_is_named_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *what;
    } cases[] = {
        {"\n[order]\npay_within\n", "3: expected name = value, [section], or a comment"},
        {"pay_within = 5m\n", "1: expected a [section] before the first value"},
        {"[order\n", "1: expected [section]"},
        {"[order]\npay_within = 5m\n\npay_within = 5m", "4: order.pay_within is given twice, first in line 2"},
        {"[order]\npay_within = 5m\n[log]\n[order]\npay_within = 6m",
         "5: order.pay_within is given twice, first in line 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char expected[CONFIG_WHY_SIZE];
        write_file(cases[i].text, strlen(cases[i].text));
        (void)snprintf(expected, sizeof expected, "%s:%s", path, cases[i].what);
        assert_refused(expected, NULL, "--config", path);
    }
    char expected[CONFIG_WHY_SIZE];
    write_file("[order]\npay_within = 5m # five\n", 31);
    (void)snprintf(expected, sizeof expected,
                   "order.pay_within: \"5m # five\" is not allowed: expected a duration from 1s to 15d "
                   "(500ms, 90s, 5m, 2h, 15d) (%s:2)",
                   path);
    assert_refused(expected, NULL, "--config", path);
    write_file("[order]\npay\0within = 5m\n", 24);
    (void)snprintf(expected, sizeof expected, "%s:2: a zero byte: this is no text file", path);
    assert_refused(expected, NULL, "--config", path);
    write_file("[orders]\n", 9);
    struct config c;
    char why[CONFIG_WHY_SIZE];
    assert_false(load(&c, why, NULL, "--config", path, NULL));
    assert_non_null(strstr(why, "orders"));
    assert_non_null(strstr(why, "allowed are the sections server, store"));
    config_free(&c);
    assert_refused("--config: cannot read /nowhere/till.ini: No such file or directory", NULL, "--config",
                   "/nowhere/till.ini");
    assert_refused("--config: cannot read /tmp: Is a directory", NULL, "--config", "/tmp");
}

static void a_file_has_a_largest_size(void **state)
{
    (void)state;
    struct config c;
    char why[CONFIG_WHY_SIZE];
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 65537; i++)
        (void)fputc('#', f);
    assert_int_equal(fclose(f), 0);
    assert_false(load(&c, why, NULL, "--config", path, NULL));
    assert_non_null(strstr(why, "larger than 64 KiB"));
    config_free(&c);
}

static void what_is_printed_can_be_read_again(void **state)
{
    (void)state;
    struct config c;
    char why[CONFIG_WHY_SIZE];
    struct buf first = {0}, second = {0};
    LOAD(&c, NULL, "--order.pay_within", "90s", "--broker.url", "rocketmq://a:1;b:2?group=g", "--alipay.gateway",
         "http://127.0.0.1:8081/gateway.do/", "--checkback.policy=poll", "--webhook.allow_private", "true");
    assert_string_equal(c.alipay.gateway, "http://127.0.0.1:8081/gateway.do");
    config_print(&c, &first);
    config_free(&c);
    write_file(first.p, first.n);
    LOAD(&c, NULL, "--config", path);
    assert_int_equal(c.order.pay_within_ms, 90000);
    assert_int_equal(c.checkback.policy, POLICY_POLL);
    config_print(&c, &second);
    assert_int_equal(first.n, second.n);
    assert_memory_equal(first.p, second.p, first.n);
    buf_char(&first, 0);
    assert_non_null(strstr(first.p, "[order]\npay_within = 90s\nclose_grace = 30s\nrelease = proof\n"));
    assert_non_null(strstr(first.p, "\napp_id =\n"));
    assert_non_null(strstr(first.p, "\npublic_url = http://127.0.0.1:8080\n"));
    buf_free(&first);
    buf_free(&second);
    config_free(&c);
}

static bool collect(void *ctx, const char *value)
{
    unsigned *n = ctx;
    ++*n;
    return strcmp(value, "bad") != 0;
}

static void a_command_has_flags_of_its_own(void **state)
{
    (void)state;
    struct config c;
    char why[CONFIG_WHY_SIZE];
    bool fresh = false;
    const char *data = "till-data";
    int64_t orders = 0;
    unsigned n = 0;
    const struct flag flags[] = {
        {.name = "--fresh", .kind = FLAG_SWITCH, .out = &fresh},
        {.name = "--data", .kind = FLAG_TEXT, .out = &data},
        {.name = "--orders", .kind = FLAG_NUMBER, .out = &orders, .min = 1, .max = 10},
        {.name = "--pay-within", .kind = FLAG_KEY, .key = "order.pay_within"},
        {.name = "--sku", .kind = FLAG_EACH, .each = collect, .ctx = &n, .allowed = "SKU:QUANTITY"},
        {0}};
    static const struct {
        const char *arg[2], *why;
    } bad[] = {
        {{"--fresh=yes"}, "--fresh: \"yes\" is not allowed: expected no value: it is a switch"},
        {{"--orders", "11"}, "--orders: \"11\" is not allowed: expected a whole number from 1 to 10"},
        {{"--orders", "+1"}, "--orders: \"+1\" is not allowed: expected a whole number from 1 to 10"},
        {{"--orders"}, "--orders needs a value"},
        {{"--orders", "--fresh"}, "--orders needs a value"},
        {{"--sku", "bad"}, "--sku: \"bad\" is not allowed: expected SKU:QUANTITY"},
        {{"--dta=s3cret"}, "unknown flag \"--dta\""},
        {{"word"}, "unexpected argument \"word\""},
        {{"-x"}, "unexpected argument \"-x\""},
        {{"--data="}, "--data: \"\" is not allowed: expected some text"},
    };
    char *argv[] = {"--fresh", "--data", "d",         "--orders=7", "--pay-within", "2m",
                    "--sku",   "A:1",    "--sku=B:2", "--listen",   "127.0.0.1:0"};
    struct config_input in = {.argc = 11, .argv = argv, .flags = flags};
    if (!config_load(&c, &in, why)) fail_msg("%s", why);
    assert_true(fresh);
    assert_string_equal(data, "d");
    assert_int_equal(orders, 7);
    assert_int_equal(n, 2);
    assert_int_equal(c.order.pay_within_ms, 120000);
    assert_string_equal(c.server.listen, "127.0.0.1:0");
    config_free(&c);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char *args[] = {(char *)(uintptr_t)bad[i].arg[0], (char *)(uintptr_t)bad[i].arg[1]};
        in.argv = args;
        in.argc = args[1] ? 2 : 1;
        assert_false(config_load(&c, &in, why));
        assert_string_equal(why, bad[i].why);
        config_free(&c);
    }
}

static void words_are_bounded_and_follow_two_dashes(void **state)
{
    (void)state;
    char why[FLAG_WHY_SIZE];
    const char *words[2];
    char *argv[] = {"a", "--", "--b", "c"};
    struct flag_input in = {.argc = 3, .argv = argv, .words = words, .words_max = 2};
    assert_true(flags_read(&in, why));
    assert_int_equal(in.n_words, 2);
    assert_string_equal(words[1], "--b");
    in.argc = 4;
    assert_false(flags_read(&in, why));
    assert_string_equal(why, "unexpected argument \"c\"");
}

static void a_channel_needs_its_keys(void **state)
{
    (void)state;
    static const struct {
        const char *arg[5], *why;
    } cases[] = {
        {{"--alipay.gateway=http://g"},
         "alipay.app_id: \"\" is not allowed: it is needed because alipay.gateway is set"},
        {{"--alipay.app_id=1"}, "alipay.gateway: \"\" is not allowed: it is needed because alipay.app_id is set"},
        {{"--alipay.gateway=http://g", "--alipay.app_id=1", "--alipay.private_key_file=k"},
         "alipay.alipay_public_key_file: \"\" is not allowed: alipay.gateway is set, which needs it or the "
         "three "
         "certificates"},
        {{"--alipay.gateway=http://g", "--alipay.app_id=1", "--alipay.private_key_file=k", "--alipay.app_cert_file=c"},
         "alipay.alipay_cert_file: \"\" is not allowed: it is needed because alipay.app_cert_file is set"},
        {{"--alipay.gateway=http://g", "--alipay.app_id=1", "--alipay.private_key_file=k",
          "--alipay.alipay_public_key_file=p"},
         NULL},
        {{"--wechatpay.base_url=http://w"},
         "wechatpay.mchid: \"\" is not allowed: it is needed because wechatpay.base_url is set"},
        {{"--wechatpay.base_url=http://w", "--wechatpay.mchid=1", "--wechatpay.appid=1"},
         "wechatpay.serial: \"\" is not allowed: it is needed because wechatpay.base_url is set"},
        {{"--broker.access_key=a"},
         "broker.secret_key_file: \"\" is not allowed: it is needed because broker.access_key is set"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct config c;
        char why[CONFIG_WHY_SIZE];
        LOAD(&c, NULL, cases[i].arg[0], cases[i].arg[1], cases[i].arg[2], cases[i].arg[3]);
        bool is_good = config_check(&c, why);
        assert_int_equal(is_good, cases[i].why == NULL);
        if (!is_good) assert_string_equal(why, cases[i].why);
        config_free(&c);
    }
}

static void assert_public_url(const char *flag, unsigned port, const char *expected, bool is_loopback)
{
    struct config c;
    char why[CONFIG_WHY_SIZE];
    struct buf out = {0};
    LOAD(&c, NULL, flag);
    config_public_url(&c, port, &out);
    buf_char(&out, 0);
    assert_string_equal(out.p, expected);
    assert_int_equal(config_has_loopback_listen(&c), is_loopback);
    buf_free(&out);
    config_free(&c);
}

static void the_public_address_comes_from_listen_unless_set(void **state)
{
    (void)state;
    assert_public_url("--listen=127.0.0.1:0", 4711, "http://127.0.0.1:4711", true);
    assert_public_url("--listen=0.0.0.0:80", 80, "http://127.0.0.1:80", false);
    assert_public_url("--listen=[::]:80", 80, "http://[::1]:80", false);
    assert_public_url("--listen=[::1]:80", 80, "http://[::1]:80", true);
    assert_public_url("--listen=localhost:80", 80, "http://localhost:80", true);
    assert_public_url("--listen=10.0.0.1:80", 80, "http://10.0.0.1:80", false);
    assert_public_url("--listen=127.evil.example:80", 80, "http://127.evil.example:80", false);
    assert_public_url("--server.public_url=https://till.example/pay//", 80, "https://till.example/pay", true);
}

static void the_page_about_configuration_is_made_from_the_table(void **state)
{
    (void)state;
    struct buf made = {0}, page = {0};
    FILE *f = fopen(TILL_SOURCE_ROOT "/docs/config.md", "r");
    assert_non_null(f);
    assert_true(buf_reserve(&page, 65536));
    page.n = fread(page.p, 1, 65536, f);
    assert_int_equal(fclose(f), 0);
    config_markdown(&made);
    buf_char(&made, 0);
    buf_char(&page, 0);
    assert_string_equal(page.p, made.p);
    buf_free(&made);
    buf_free(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_contract),
        cmocka_unit_test(dev_allows_private_webhooks_and_fills_in_its_own_addresses),
        cmocka_unit_test(a_stronger_source_wins),
        cmocka_unit_test(a_losing_value_must_be_good_as_well),
        cmocka_unit_test(a_bad_value_is_named_with_what_is_allowed),
        cmocka_unit_test(an_unknown_key_is_named_with_its_neighbours),
        cmocka_unit_test(an_environment_name_of_no_section_is_not_ours),
        cmocka_unit_test(secrets_never_appear),
        cmocka_unit_test(forms_are_checked),
        cmocka_unit_test(a_bad_file_is_named_with_its_line),
        cmocka_unit_test(a_file_has_a_largest_size),
        cmocka_unit_test(what_is_printed_can_be_read_again),
        cmocka_unit_test(a_command_has_flags_of_its_own),
        cmocka_unit_test(words_are_bounded_and_follow_two_dashes),
        cmocka_unit_test(a_channel_needs_its_keys),
        cmocka_unit_test(the_public_address_comes_from_listen_unless_set),
        cmocka_unit_test(the_page_about_configuration_is_made_from_the_table),
    };
    return cmocka_run_group_tests(tests, make_file, drop_file);
}
