// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

// What is answered survives: a sandbox that ends, or is killed, comes back whole; a fresh one is empty.

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int setup(void **state)
{
    static struct rig rig;
    rig_open(&rig);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_close(*state);
    return 0;
}

static void restart(struct rig *r)
{
    rig_stop(r);
    atomic_store(&r->clock.offset_ms, 0);
    rig_start(r, false);
}

static void trades_ledger_faults_and_clock_come_back(void **state)
{
    struct rig *r = *state;
    char paid[128], waiting[128], unscanned[128];
    rig_precreate(r, "paid", "3.00", NULL, paid);
    rig_precreate(r, "waiting", "1.00", NULL, waiting);
    rig_precreate(r, "unscanned", "1.00", NULL, unscanned);
    rig_pay(r, paid);
    rig_scan(r, waiting);
    json_decref(rig_call(r, "alipay.trade.refund",
                         "{\"out_trade_no\":\"paid\",\"refund_amount\":\"1\",\"out_request_no\":\"r1\"}"));
    json_t *faults = rig_json(r, "PUT", "/wallet/faults", "{\"notify\":{\"drop\":0.3},\"seed\":9}", 200);
    rig_advance(r, "1h");
    json_t *trades = rig_json(r, "GET", "/wallet/trades", NULL, 200);
    json_t *ledger = rig_json(r, "GET", "/wallet/ledger", NULL, 200);
    int64_t offset_ms = atomic_load(&r->clock.offset_ms);
    restart(r);
    assert_int_equal(atomic_load(&r->clock.offset_ms), offset_ms);
    json_t *trades_now = rig_json(r, "GET", "/wallet/trades", NULL, 200);
    json_t *ledger_now = rig_json(r, "GET", "/wallet/ledger", NULL, 200);
    json_t *faults_now = rig_json(r, "GET", "/wallet/faults", NULL, 200);
    assert_true(json_equal(trades, trades_now));
    assert_true(json_equal(ledger, ledger_now));
    assert_true(json_equal(faults, faults_now));
    rig_pay(r, unscanned);
    json_t *o = rig_call(r, "alipay.trade.refund",
                         "{\"out_trade_no\":\"paid\",\"refund_amount\":\"1\",\"out_request_no\":\"r1\"}");
    expect_text(o, "fund_change", "N");
    json_decref(o);
    json_decref(trades);
    json_decref(ledger);
    json_decref(faults);
    json_decref(trades_now);
    json_decref(ledger_now);
    json_decref(faults_now);
}

static void owed_notifications_come_back_under_their_id(void **state)
{
    struct rig *r = *state;
    char code[128], id[64];
    rig_reply(r, 200, "fail");
    rig_precreate(r, "N1", "1.00", NULL, code);
    rig_pay(r, code);
    expect_posts(r, 3);
    (void)snprintf(id, sizeof id, "%s", post_get(rig_post(r, 0), "notify_id"));
    restart(r);
    rig_reply(r, 200, "success");
    rig_advance(r, "4m");
    expect_posts(r, 4);
    assert_string_equal(post_get(rig_post(r, 3), "notify_id"), id);
    assert_true(post_is_genuine(r, rig_post(r, 3)));
}

static void the_dice_go_on_where_they_stood(void **state)
{
    struct rig *r = *state;
    char once[31] = "", twice[31] = "";
    for (int round = 0; round < 2; round++) {
        json_decref(rig_json(r, "PUT", "/wallet/faults", "{\"gateway\":{\"error\":0.5}}", 200));
        for (int i = 0; i < 30; i++) {
            json_t *o = rig_call(r, "alipay.trade.query", "{\"out_trade_no\":\"x\"}");
            const char *sub = json_string_value(json_object_get(o, "sub_code"));
            (round ? twice : once)[i] = sub[4]; // ACQ.T..., ACQ.S..., isp.u...
            json_decref(o);
            if (round && i == 14) restart(r);
        }
    }
    assert_string_equal(once, twice);
}

static void keys_stay_and_their_files_are_as_promised(void **state)
{
    struct rig *r = *state;
    static const struct {
        const char *file;
        unsigned mode;
    } rows[] = {{"app_private_key.pem", 0600},
                {"app_private_key_pkcs1.pem", 0600},
                {"app_public_key.pem", 0644},
                {"alipay_public_key.pem", 0644},
                {"merchant_private_key.pem", 0600},
                {"merchant_cert.pem", 0644},
                {"platform_public_key.pem", 0644},
                {"platform_cert.pem", 0644},
                {"apiv3_key", 0600},
                {"sandbox.json", 0644},
                {"sandbox_alipay_private_key.pem", 0600},
                {"sandbox_platform_private_key.pem", 0600}};
    char path[160], why[160], app_id[33];
    struct stat st;
    (void)umask(022);
    memcpy(app_id, r->app_id, sizeof app_id);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", r->keys, rows[i].file);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, rows[i].mode);
        if (strcmp(rows[i].file, "apiv3_key") == 0) assert_int_equal(st.st_size, 32);
    }
    static const char *const publics[] = {"app_public_key.pem", "alipay_public_key.pem", "merchant_cert.pem",
                                          "platform_cert.pem", "platform_public_key.pem"};
    struct crypto_key *keys[5];
    for (int i = 0; i < 5; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", r->keys, publics[i]);
        keys[i] = crypto_public_key_load(path, why);
        assert_non_null(keys[i]);
        for (int j = 0; j < i; j++) // the platform's certificate and key are one pair, all others differ
            assert_int_equal(crypto_same_pair(keys[i], keys[j]), i == 4 && j == 3);
    }
    for (int i = 0; i < 5; i++)
        crypto_key_free(keys[i]);
    const struct sandbox_identity *id = sandbox_identity(r->sandbox);
    assert_int_equal(strlen(id->platform_serial), 40);
    assert_int_equal(strspn(id->merchant_serial, "0123456789ABCDEF"), 40);
    assert_int_equal(strncmp(id->platform_key_id, "PUB_KEY_ID_", 11), 0);
    restart(r);
    rig_clients_open(r);
    assert_string_equal(r->app_id, app_id);
}

static void a_fresh_sandbox_is_empty_and_has_new_keys(void **state)
{
    struct rig *r = *state;
    char code[128], app_id[33];
    rig_precreate(r, "N1", "1.00", NULL, code);
    rig_pay(r, code);
    rig_advance(r, "1h");
    memcpy(app_id, r->app_id, sizeof app_id);
    rig_stop(r);
    atomic_store(&r->clock.offset_ms, 0);
    rig_start(r, true);
    rig_clients_open(r);
    assert_string_not_equal(r->app_id, app_id);
    assert_int_equal(atomic_load(&r->clock.offset_ms), 0);
    json_t *o = rig_json(r, "GET", "/wallet/ledger", NULL, 200);
    expect_int(o, "trades", 0);
    expect_int(json_object_get(o, "calls"), "alipay", 0);
    json_decref(o);
    expect(r, "alipay.trade.query", "{\"out_trade_no\":\"N1\"}", "40004", "ACQ.TRADE_NOT_EXIST");
}

static void a_directory_with_other_files_is_left_alone(void **state)
{
    struct rig *r = *state;
    char why[200], path[160];
    struct clock clock = {0};
    char dir[96], data[96];
    (void)snprintf(dir, sizeof dir, "%s/other", r->dir);
    (void)snprintf(data, sizeof data, "%s/other.db", r->dir);
    (void)snprintf(path, sizeof path, "%s/app_private_key.pem", dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    (void)fputs("somebody's own", f);
    (void)fclose(f);
    struct sandbox_options o = {.listen = "127.0.0.1:0", .keys_dir = dir, .data_path = data, .clock = &clock};
    assert_null(sandbox_open(&o, why));
    assert_non_null(strstr(why, "empty directory"));
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 14);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void a_second_sandbox_cannot_have_the_same_file(void **state)
{
    struct rig *r = *state;
    char why[200];
    struct sandbox_options o = {.listen = "127.0.0.1:0", .keys_dir = r->keys, .data_path = r->data, .clock = &r->clock};
    assert_null(sandbox_open(&o, why));
    assert_non_null(strstr(why, "locked"));
}

// The child of a kill: a sandbox of its own over the rig's files, on a port it tells.
static void serve_until_killed(struct rig *r, int port_fd)
{
    char why[200];
    struct sandbox_options o = {.listen = "127.0.0.1:0", .keys_dir = r->keys, .data_path = r->data, .clock = &r->clock};
    struct sandbox *s = sandbox_open(&o, why);
    if (!s || !sandbox_start(s)) _exit(1);
    unsigned port = sandbox_port(s);
    if (write(port_fd, &port, sizeof port) != sizeof port) _exit(1);
    for (;;)
        pause();
}

static void what_was_answered_survives_a_kill(void **state)
{
    struct rig *r = *state;
    char code[128];
    int fd[2];
    rig_stop(r);
    http_server_stop(r->merchant, 0); // no thread may run while we fork
    assert_int_equal(pipe(fd), 0);
    pid_t child = fork();
    if (child == 0) serve_until_killed(r, fd[1]);
    assert_int_equal(read(fd[0], &r->port, sizeof r->port), sizeof r->port);
    for (int i = 0; i < 20; i++) {
        char number[8];
        (void)snprintf(number, sizeof number, "N%d", i);
        rig_precreate(r, number, "1.00", NULL, code);
        rig_pay(r, code);
    }
    json_decref(rig_json(r, "PUT", "/wallet/faults", "{\"seed\":5}", 200));
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(fd[0]);
    close(fd[1]);
    rig_start(r, false);
    json_t *o = rig_json(r, "GET", "/wallet/ledger", NULL, 200);
    expect_int(o, "captured", 2000);
    json_decref(o);
    o = rig_json(r, "GET", "/wallet/faults", NULL, 200);
    expect_int(o, "seed", 5);
    json_decref(o);
    assert_true(sandbox_next_due_ms(r->sandbox) != INT64_MAX); // the merchant was away: all is owed still
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(trades_ledger_faults_and_clock_come_back),
        T(owed_notifications_come_back_under_their_id),
        T(the_dice_go_on_where_they_stood),
        T(keys_stay_and_their_files_are_as_promised),
        T(a_fresh_sandbox_is_empty_and_has_new_keys),
        T(a_directory_with_other_files_is_left_alone),
        T(a_second_sandbox_cannot_have_the_same_file),
        T(what_was_answered_survives_a_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
