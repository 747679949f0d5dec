// SPDX-License-Identifier: Apache-2.0
// A sandbox in a directory of its own, with time that the test moves, and a merchant beside it: a client that signs as
// an SDK does and a server that is notified. Everything goes over real loopback HTTP.
#ifndef TILL_TEST_SANDBOX_FIXTURE_H
#define TILL_TEST_SANDBOX_FIXTURE_H

#include "base/crypto.h"
#include "base/json_in.h"
#include "http/http.h"
#include "sandbox/sandbox.h"
#include <curl/curl.h>
#include <pthread.h>

#define WAIT_MS   5000 // the longest a test waits for anything that must come
#define POSTS_MAX 64

// What a merchant was sent: the decoded fields of one form.
struct post {
    unsigned n;
    struct {
        char name[32], value[1600];
    } fields[40];
};

struct rig {
    char dir[64], keys[96], data[96];
    struct clock clock;
    struct sandbox *sandbox;
    unsigned port;
    CURL *easy;
    struct crypto_key *app_key, *alipay_key;
    char app_id[33], seller_id[33];

    struct http_server *merchant;
    char notify_url[64];
    pthread_mutex_t lock; // the following
    struct post *posts;
    unsigned n_posts;
    int reply_status;
    char reply[64]; // what the merchant answers; "success" at first
};

void merchant_open(struct rig *r); // by rig_open()
void rig_open(struct rig *r);
void rig_close(struct rig *r);
// The sandbox alone ends and comes back over the same files.
void rig_stop(struct rig *r);
void rig_start(struct rig *r, bool fresh);
void rig_clients_open(struct rig *r); // keys and identity anew, after the files were made

// One request; returns the status, 0 when there was no answer. `answer` is the caller's to free.
int rig_http(struct rig *r, const char *method, const char *path, const char *body, struct buf *answer);
// The same with JSON; the status must be `status`. The caller decrefs.
json_t *rig_json(struct rig *r, const char *method, const char *path, const char *body, int status);
void rig_advance(struct rig *r, const char *duration); // must settle

// The form of a signed call: extra parameters as "&name=value" (already encoded, unsigned when `unsigned_extra`).
struct ask {
    const char *method, *biz, *notify_url, *app_id, *timestamp, *charset, *sign_type, *version, *format;
    const char *unsigned_extra; // appended to the body as it is
    const char *drop;           // a parameter left out
    bool spoil_text, keep_empty_notify_url, all_in_query, spoil_sign;
};
// Sends it; checks that the answer stands under the method's key, response object first, signed. The object; decref it.
json_t *rig_ask(struct rig *r, const struct ask *a, const char *key_name);
json_t *rig_call(struct rig *r, const char *method, const char *biz);
// Calls and wants this code and sub_code (NULL: none).
void expect(struct rig *r, const char *method, const char *biz, const char *code, const char *sub_code);
void expect_text(const json_t *o, const char *name, const char *value); // NULL: absent
void expect_int(const json_t *o, const char *name, int64_t value);

// Precreates `amount` under `number` with the merchant's notify_url; extra biz members as ",\"a\":\"b\"". The code.
void rig_precreate(struct rig *r, const char *number, const char *amount, const char *extra, char code[128]);
void rig_scan(struct rig *r, const char *code);
void rig_pay(struct rig *r, const char *code);

// Waits until the sandbox has nothing in flight and nothing due, then the merchant must have been sent n posts.
void expect_posts(struct rig *r, unsigned n);
void wait_idle(struct rig *r);
const struct post *rig_post(struct rig *r, unsigned i);
const char *post_get(const struct post *p, const char *name); // NULL: absent
bool post_is_genuine(const struct rig *r, const struct post *p);
void rig_reply(struct rig *r, int status, const char *text);

#endif
