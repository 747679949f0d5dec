// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"
#include "sandbox/keys.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct crypto_key *key_load(const struct rig *r, const char *file, bool is_private)
{
    char path[160], why[160];
    (void)snprintf(path, sizeof path, "%s/%s", r->keys, file);
    struct crypto_key *k = is_private ? crypto_private_key_load(path, why) : crypto_public_key_load(path, why);
    assert_non_null(k);
    return k;
}

void rig_clients_open(struct rig *r)
{
    crypto_key_free(r->app_key);
    crypto_key_free(r->alipay_key);
    r->app_key = key_load(r, "app_private_key.pem", true);
    r->alipay_key = key_load(r, "alipay_public_key.pem", false);
    (void)snprintf(r->app_id, sizeof r->app_id, "%s", sandbox_identity(r->sandbox)->app_id);
    (void)snprintf(r->seller_id, sizeof r->seller_id, "%s", sandbox_identity(r->sandbox)->seller_id);
}

void rig_start(struct rig *r, bool fresh)
{
    char why[200] = "";
    struct sandbox_options o = {.listen = "127.0.0.1:0",
                                .keys_dir = r->keys,
                                .data_path = r->data,
                                .clock = &r->clock,
                                .fresh = fresh,
                                .owns_clock = true};
    r->sandbox = sandbox_open(&o, why);
    assert_string_equal(why, "");
    assert_non_null(r->sandbox);
    assert_true(sandbox_start(r->sandbox));
    r->port = sandbox_port(r->sandbox);
}

void rig_stop(struct rig *r)
{
    sandbox_stop(r->sandbox);
    sandbox_free(r->sandbox);
    r->sandbox = NULL;
}

static char shared_keys[64];

static void remove_keys(void)
{
    char why[200];
    if (!keys_forget(shared_keys, why) || rmdir(shared_keys) != 0) (void)fprintf(stderr, "%s stays\n", shared_keys);
}

// Generating eight primes takes longer than most tests: all tests of one program share the key directory.
static const char *keys_dir(void)
{
    if (!shared_keys[0]) {
        (void)snprintf(shared_keys, sizeof shared_keys, "/tmp/sandbox-keys-XXXXXX");
        assert_non_null(mkdtemp(shared_keys));
        assert_int_equal(atexit(remove_keys), 0);
    }
    return shared_keys;
}

void rig_open(struct rig *r)
{
    memset(r, 0, sizeof *r);
    (void)snprintf(r->dir, sizeof r->dir, "/tmp/sandbox-test-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    (void)snprintf(r->keys, sizeof r->keys, "%s", keys_dir());
    (void)snprintf(r->data, sizeof r->data, "%s/sandbox.db", r->dir);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    r->easy = curl_easy_init();
    rig_start(r, false);
    rig_clients_open(r);
    merchant_open(r);
}

static void remove_files(const struct rig *r)
{
    static const char *const files[] = {"sandbox.db", "sandbox.db-wal", "sandbox.db-shm"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[160];
        (void)snprintf(path, sizeof path, "%s/%s", r->dir, files[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(r->dir), 0); // nothing else was made
}

void rig_close(struct rig *r)
{
    if (r->sandbox) rig_stop(r);
    http_server_stop(r->merchant, 100);
    http_server_free(r->merchant);
    crypto_key_free(r->app_key);
    crypto_key_free(r->alipay_key);
    curl_easy_cleanup(r->easy);
    free(r->posts);
    remove_files(r);
}

static size_t take(char *p, size_t size, size_t count, void *user)
{
    buf_add(user, p, size * count);
    return size * count;
}

int rig_http(struct rig *r, const char *method, const char *path, const char *body, struct buf *answer)
{
    struct buf url = {0};
    long status = 0;
    buf_printf(&url, "http://127.0.0.1:%u%s", r->port, path);
    buf_char(&url, 0);
    curl_easy_reset(r->easy);
    curl_easy_setopt(r->easy, CURLOPT_URL, url.p);
    curl_easy_setopt(r->easy, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(r->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(r->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(r->easy, CURLOPT_TIMEOUT_MS, 15000L);
    if (body) curl_easy_setopt(r->easy, CURLOPT_COPYPOSTFIELDS, body);
    curl_easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(r->easy, CURLOPT_WRITEDATA, answer);
    if (curl_easy_perform(r->easy) == CURLE_OK) curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    buf_free(&url);
    return (int)status;
}

json_t *rig_json(struct rig *r, const char *method, const char *path, const char *body, int status)
{
    struct buf answer = {0};
    struct json_fault fault;
    int got = rig_http(r, method, path, body, &answer);
    if (got != status)
        fail_msg("%s %s: %d, not %d: %.*s", method, path, got, status, (int)answer.n, answer.p ? answer.p : "");
    json_t *o = json_read_object(buf_view(&answer), &fault);
    assert_non_null(o);
    buf_free(&answer);
    return o;
}

void rig_advance(struct rig *r, const char *duration)
{
    char body[64];
    (void)snprintf(body, sizeof body, "{\"advance\":\"%s\"}", duration);
    json_t *o = rig_json(r, "POST", "/dev/clock", body, 200);
    assert_true(json_is_true(json_object_get(o, "settled")));
    json_decref(o);
}

void rig_precreate(struct rig *r, const char *number, const char *amount, const char *extra, char code[128])
{
    char biz[1024];
    (void)snprintf(biz, sizeof biz, "{\"out_trade_no\":\"%s\",\"total_amount\":\"%s\",\"subject\":\"Tea\"%s}", number,
                   amount, extra ? extra : "");
    struct ask a = {.method = "alipay.trade.precreate", .biz = biz, .notify_url = r->notify_url};
    json_t *o = rig_ask(r, &a, "alipay_trade_precreate_response");
    expect_text(o, "code", "10000");
    expect_text(o, "out_trade_no", number);
    (void)snprintf(code, 128, "%s", json_string_value(json_object_get(o, "qr_code")));
    json_decref(o);
}

static void wallet_post(struct rig *r, const char *path, const char *code, const char *state)
{
    char body[256];
    (void)snprintf(body, sizeof body, "{\"code\":\"%s\"}", code);
    json_t *o = rig_json(r, "POST", path, body, 200);
    expect_text(o, "state", state);
    json_decref(o);
}

void rig_scan(struct rig *r, const char *code)
{
    wallet_post(r, "/wallet/scan", code, "waiting");
}

void rig_pay(struct rig *r, const char *code)
{
    wallet_post(r, "/wallet/pay", code, "paid");
}
