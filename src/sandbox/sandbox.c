// SPDX-License-Identifier: Apache-2.0
#include "sandbox/sandbox.h"
#include "base/json_in.h"
#include "base/log.h"
#include "sandbox/alipay_cashier.h"
#include "sandbox/bill.h"
#include "sandbox/inside.h"
#include "sandbox/notifier.h"
#include "sandbox/provider.h"
#include "sandbox/visit.h"
#include "sandbox/wechat_nonces.h"
#include "sandbox/wechat_oauth.h"
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECTIONS_MAX 1024u
#define STOP_GRACE_MS   1000u

// --- Answers

static void answer_link(struct answer *a)
{
    struct sandbox *s = a->sandbox;
    a->next = s->answers;
    a->link = &s->answers;
    if (a->next) a->next->link = &a->next;
    s->answers = a;
}

static void answer_free(struct answer *a)
{
    *a->link = a->next;
    if (a->next) a->next->link = a->link;
    buf_free(&a->headers);
    buf_free(&a->body);
    free(a);
}

static void answer_send(struct answer *a)
{
    if (a->body.failed || a->headers.failed) {
        http_problem(a->x, 503, "overloaded", "out of memory", NULL);
    } else {
        buf_char(&a->headers, 0);
        http_respond(a->x, a->status, a->content_type, a->headers.p, buf_view(&a->body));
    }
    answer_free(a);
}

static void on_delay_over(void *arg)
{
    struct answer *a = arg;
    a->timer = NULL;
    answer_send(a);
}

void answer_release(struct answer *a)
{
    if (a->delay_ms) a->timer = http_timer_after(a->x->worker, a->delay_ms, on_delay_over, a);
    if (!a->timer) answer_send(a);
}

void answer_json(struct answer *a, int status)
{
    a->status = status;
    a->content_type = "application/json";
}

void answer_problem(struct answer *a, int status, const char *code, const char *detail, const char *pointer)
{
    buf_clear(&a->body);
    http_problem_json(&a->body, status, code, detail, pointer);
    a->status = status;
    a->content_type = "application/problem+json";
}

// --- Routes

static bool is_at(const struct http_exchange *x, const char *path)
{
    return str_eq(x->path, str_of(path));
}

static void show_start(struct answer *a)
{
    a->status = 302;
    a->content_type = "text/plain";
    buf_z(&a->headers, "Location: /wallet\r\n");
}

static void gateway(struct sandbox *s, const struct http_exchange *x, struct answer *a)
{
    if (x->method == HTTP_GET || x->method == HTTP_POST) {
        alipay_gateway_request(s, x, a);
        return;
    }
    answer_problem(a, 405, "method_not_allowed", "the gateway takes GET and POST", NULL);
    buf_z(&a->headers, "Allow: GET, POST\r\n");
}

static void alipay_v3(struct sandbox *s, const struct http_exchange *x, struct answer *a)
{
    if (x->method == HTTP_GET || x->method == HTTP_POST) {
        alipay_v3_request(s, x, a);
        return;
    }
    answer_problem(a, 405, "method_not_allowed", "the gateway takes GET and POST", NULL);
    buf_z(&a->headers, "Allow: GET, POST\r\n");
}

static void cashier(struct sandbox *s, const struct http_exchange *x, struct answer *a)
{
    if (x->method == HTTP_POST) {
        alipay_cashier_request(s, x, a);
        return;
    }
    answer_problem(a, 405, "method_not_allowed", "the cashier's form is posted", NULL);
    buf_z(&a->headers, "Allow: POST\r\n");
}

static void route(struct sandbox *s, const struct http_exchange *x, struct answer *a)
{
    if (is_at(x, "/gateway.do"))
        gateway(s, x, a);
    else if (str_starts(x->path, STR("/v3/alipay/")))
        alipay_v3(s, x, a);
    else if (str_starts(x->path, STR("/v3/")))
        wechat_gateway_request(s, x, a);
    else if (is_at(x, WECHAT_AUTHORIZE) || is_at(x, WECHAT_ACCESS_TOKEN))
        wechat_oauth_request(s, x, a);
    else if (is_at(x, ALIPAY_BILL_DOWNLOAD))
        alipay_bill_download(s, x, a);
    else if (is_at(x, "/cashier"))
        cashier(s, x, a);
    else if (is_at(x, "/wallet") || str_starts(x->path, STR("/wallet/")))
        wallet_request(s, x, a);
    else if (str_starts(x->path, STR("/fake/")))
        fake_bank_request(s, x, a);
    else if (is_at(x, "/dev/clock") && s->owns_clock && s->on_loopback)
        devclock_request(s, x, a);
    else if (is_at(x, "/"))
        show_start(a);
    else
        answer_problem(a, 404, "not_found", "nothing is here", NULL);
}

// --- The round

static void round_join(struct sandbox *s)
{
    if (!s->in_round) ledger_lock(s->ledger);
    s->in_round = true;
}

static void on_request(void *ctx, struct http_exchange *x)
{
    struct sandbox *s = ctx;
    struct answer *a = calloc(1, sizeof *a);
    if (!a) {
        http_problem(x, 503, "overloaded", "out of memory", NULL);
        return;
    }
    a->sandbox = s;
    a->x = x;
    x->user = a;
    answer_link(a);
    round_join(s);
    route(s, x, a);
}

// The one place where answers leave: after the commit of everything their round did and read.
static void on_round_end(void *ctx, struct http_worker *w)
{
    struct sandbox *s = ctx;
    (void)w;
    if (!s->in_round) return;
    sandbox_values_store(s);
    bool stored = ledger_commit(s->ledger), woke = s->woke;
    s->woke = false;
    ledger_unlock(s->ledger);
    s->in_round = false;
    if (woke) notifier_wake(s->notifier);
    for (struct answer *a = s->answers, *next; a; a = next) {
        next = a->next;
        if (a->timer || a->later) continue;
        if (!stored) {
            answer_problem(a, 503, "store_failed", "the sandbox cannot write its ledger", NULL);
            a->delay_ms = 0;
        }
        answer_release(a);
    }
}

void sandbox_answer_later(struct answer *a, void (*fill)(struct sandbox *s, struct answer *a, void *arg), void *arg)
{
    struct sandbox *s = a->sandbox;
    bool is_alone = !s->in_round; // else the round that is under way ends by itself
    round_join(s);
    a->later = false;
    fill(s, a, arg);
    if (is_alone) on_round_end(s, NULL);
}

static void on_closed(void *ctx, struct http_exchange *x)
{
    struct answer *a = x->user;
    if (!a) return;
    devclock_forget(ctx, a);
    visits_forget(ctx, a);
    http_timer_cancel(a->timer);
    answer_free(a);
}

// --- Values

static int64_t value_read(struct sandbox *s, const char *name)
{
    struct buf text = {0};
    int64_t v = 0;
    if (ledger_value_get(s->ledger, name, &text)) {
        buf_char(&text, 0);
        if (!text.failed) v = strtoll(text.p, NULL, 10);
    }
    buf_free(&text);
    return v;
}

static void value_store(struct sandbox *s, const char *name, uint64_t v)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%llu", (unsigned long long)v);
    ledger_value_set(s->ledger, name, (struct str){text, (size_t)n});
}

#define CALLS_NAME 32
static const char *calls_name(unsigned ch, char out[CALLS_NAME])
{
    (void)snprintf(out, CALLS_NAME, "calls_%s", PROVIDERS[ch].name);
    return out;
}

void sandbox_values_store(struct sandbox *s)
{
    if (!s->counters_changed) return;
    s->counters_changed = false;
    for (unsigned ch = 0; ch < SANDBOX_N_CHANNELS; ch++) {
        char name[CALLS_NAME];
        value_store(s, calls_name(ch, name), s->calls[ch]);
    }
    value_store(s, "gateway_draws", s->gateway_draws);
    value_store(s, "notice_draws", s->notice_draws);
}

static bool values_load(struct sandbox *s, char why[200])
{
    struct buf text = {0};
    struct json_fault fault = {0};
    s->faults = FAULTS_NONE;
    for (unsigned ch = 0; ch < SANDBOX_N_CHANNELS; ch++) {
        char name[CALLS_NAME];
        s->calls[ch] = (uint64_t)value_read(s, calls_name(ch, name));
    }
    s->gateway_draws = (uint64_t)value_read(s, "gateway_draws");
    s->notice_draws = (uint64_t)value_read(s, "notice_draws");
    bool ok = !ledger_value_get(s->ledger, "faults", &text) || faults_read(&s->faults, buf_view(&text), &fault);
    if (!ok) (void)snprintf(why, 200, "sandbox store: the faults cannot be read: %.140s", fault.detail);
    buf_free(&text);
    if (ok && s->owns_clock && !devclock_restore(s)) {
        (void)snprintf(why, 200, "sandbox store: out of memory");
        ok = false;
    }
    return ok;
}

// --- Life

static bool is_loopback(const char *listen)
{
    struct str s = str_of(listen);
    return str_starts(s, STR("127.")) || str_starts(s, STR("[::1]:")) || str_starts(s, STR("localhost:"));
}

static bool open_all(struct sandbox *s, const struct sandbox_options *o, char why[200])
{
    struct http_options http = {.listen = o->listen, .n_workers = 1, .max_connections = CONNECTIONS_MAX};
    struct http_handler handler = {.ctx = s, .request = on_request, .closed = on_closed, .round_end = on_round_end};
    if (o->fresh && !keys_forget(o->keys_dir, why)) return false;
    if (!keys_open(&s->keys, o->keys_dir, why)) return false;
    s->ledger = ledger_open(o->data_path, o->fresh, why);
    if (!s->ledger) return false;
    ledger_lock(s->ledger);
    bool loaded = values_load(s, why);
    ledger_unlock(s->ledger);
    if (!loaded) return false;
    s->notifier = notifier_new(s);
    s->wechat_nonces = wechat_nonces_new();
    if (!s->notifier || !s->wechat_nonces) {
        (void)snprintf(why, 200, "sandbox: out of memory");
        return false;
    }
    s->http = http_server_new(&http, &handler, why);
    return s->http != NULL;
}

struct sandbox *sandbox_open(const struct sandbox_options *o, char why[200])
{
    struct sandbox *s = calloc(1, sizeof *s);
    if (!s || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        (void)snprintf(why, 200, "sandbox: out of memory");
        free(s);
        return NULL;
    }
    s->clock = o->clock;
    s->owns_clock = o->owns_clock;
    s->on_loopback = is_loopback(o->listen);
    (void)snprintf(s->pages_below, sizeof s->pages_below, "%s", o->pages_below ? o->pages_below : "");
    if (open_all(s, o, why)) return s;
    sandbox_free(s);
    return NULL;
}

bool sandbox_start(struct sandbox *s)
{
    if (!notifier_start(s->notifier)) return false;
    s->started = true;
    if (http_server_start(s->http)) return true;
    sandbox_stop(s);
    return false;
}

// What a fault delays is answered now, so that the end need not wait for it.
static void release_delayed(void *arg)
{
    struct sandbox *s = arg;
    for (struct answer *a = s->answers, *next; a; a = next) {
        next = a->next;
        if (!a->timer) continue;
        http_timer_cancel(a->timer);
        a->timer = NULL;
        answer_send(a);
    }
}

void sandbox_stop(struct sandbox *s)
{
    if (!s->started) return;
    s->started = false;
    visits_hurry(s);
    (void)http_worker_post(http_server_worker(s->http, 0), release_delayed, s);
    http_server_stop(s->http, STOP_GRACE_MS);
    visits_end(s);
    notifier_stop(s->notifier);
    ledger_lock(s->ledger);
    sandbox_values_store(s);
    (void)ledger_commit(s->ledger);
    ledger_unlock(s->ledger);
}

void sandbox_free(struct sandbox *s)
{
    if (!s) return;
    http_server_free(s->http);
    notifier_free(s->notifier);
    wechat_nonces_free(s->wechat_nonces);
    devclock_free(s);
    ledger_close(s->ledger);
    keys_close(&s->keys);
    curl_global_cleanup();
    free(s);
}

unsigned sandbox_port(const struct sandbox *s)
{
    return http_server_port(s->http);
}

const struct sandbox_identity *sandbox_identity(const struct sandbox *s)
{
    return &s->keys.identity;
}

int64_t sandbox_next_due_ms(struct sandbox *s)
{
    ledger_lock(s->ledger);
    int64_t due_ms = ledger_next_due_ms(s->ledger);
    ledger_unlock(s->ledger);
    return due_ms;
}

bool sandbox_idle(struct sandbox *s)
{
    ledger_lock(s->ledger);
    bool idle = notifier_in_flight(s->notifier) == 0 && ledger_next_due_ms(s->ledger) > clock_now_ms(s->clock);
    ledger_unlock(s->ledger);
    return idle;
}

void sandbox_poke(struct sandbox *s)
{
    notifier_wake(s->notifier);
}
