// SPDX-License-Identifier: Apache-2.0
#include "shell/remote_clock.h"
#include "base/buf.h"
#include "base/json_in.h"
#include "base/timetext.h"
#include <curl/curl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define ANSWER_MAX   4096
#define OPEN_WAIT_MS 2000

struct remote_clock {
    CURL *curl;
    struct curl_slist *json;
    char url[256];
    const _Atomic bool *stops;
    struct buf answer;
};

static size_t collect(char *p, size_t size, size_t n, void *ctx)
{
    struct buf *b = ctx;
    if (b->n + size * n > ANSWER_MAX) return 0;
    buf_add(b, p, size * n);
    return b->failed ? 0 : size * n;
}

static int look_up(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a, (void)b, (void)c, (void)d;
    const struct remote_clock *r = ctx;
    return atomic_load(r->stops); // not zero ends the call
}

static json_t *ask(struct remote_clock *r, int64_t wait_ms, const char *body)
{
    struct json_fault fault = {0};
    long status = 0;
    buf_clear(&r->answer);
    curl_easy_setopt(r->curl, CURLOPT_TIMEOUT_MS, (long)(wait_ms > 1 ? wait_ms : 1));
    curl_easy_setopt(r->curl, CURLOPT_POSTFIELDS, body); // NULL makes no difference to what follows
    curl_easy_setopt(r->curl, body ? CURLOPT_POST : CURLOPT_HTTPGET, 1L);
    if (curl_easy_perform(r->curl) != CURLE_OK) return NULL;
    curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &status);
    return status == 200 ? json_read_object(buf_view(&r->answer), &fault) : NULL;
}

static bool is_loopback(const char *url)
{
    return strncmp(url, "http://127.", 11) == 0 || strncmp(url, "http://localhost", 16) == 0 ||
           strncmp(url, "http://[::1]", 12) == 0;
}

struct remote_clock *remote_clock_open(const char *gateway, const _Atomic bool *stops)
{
    struct remote_clock *r = is_loopback(gateway) ? calloc(1, sizeof *r) : NULL;
    if (!r) return NULL;
    size_t n = 7 + strcspn(gateway + 7, "/");
    (void)snprintf(r->url, sizeof r->url, "%.*s/dev/clock", (int)n, gateway);
    r->stops = stops;
    r->curl = curl_easy_init();
    r->json = curl_slist_append(NULL, "Content-Type: application/json");
    struct remote_time t;
    if (r->curl && r->json) {
        curl_easy_setopt(r->curl, CURLOPT_URL, r->url);
        curl_easy_setopt(r->curl, CURLOPT_HTTPHEADER, r->json);
        curl_easy_setopt(r->curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(r->curl, CURLOPT_XFERINFOFUNCTION, look_up);
        curl_easy_setopt(r->curl, CURLOPT_XFERINFODATA, r);
        curl_easy_setopt(r->curl, CURLOPT_PROXY, "");
        curl_easy_setopt(r->curl, CURLOPT_WRITEFUNCTION, collect);
        curl_easy_setopt(r->curl, CURLOPT_WRITEDATA, &r->answer);
        if (remote_clock_read(r, OPEN_WAIT_MS, &t)) return r;
    }
    remote_clock_free(r);
    return NULL;
}

void remote_clock_free(struct remote_clock *r)
{
    if (!r) return;
    if (r->curl) curl_easy_cleanup(r->curl);
    curl_slist_free_all(r->json);
    buf_free(&r->answer);
    free(r);
}

bool remote_clock_read(struct remote_clock *r, int64_t wait_ms, struct remote_time *out)
{
    json_t *root = ask(r, wait_ms, NULL);
    const char *now = json_string_value(json_object_get(root, "now"));
    const char *due = json_string_value(json_object_get(root, "next_due"));
    *out = (struct remote_time){.next_due_ms = INT64_MAX, .is_idle = json_is_true(json_object_get(root, "idle"))};
    bool ok = now && time_from_rfc3339(str_of(now), &out->now_ms);
    if (ok && due) ok = time_from_rfc3339(str_of(due), &out->next_due_ms);
    json_decref(root);
    return ok;
}

bool remote_clock_advance(struct remote_clock *r, int64_t wait_ms, int64_t by_ms)
{
    char body[64];
    (void)snprintf(body, sizeof body, "{\"advance\":\"%lldms\"}", (long long)by_ms);
    json_t *root = ask(r, wait_ms, body);
    bool settled = json_is_true(json_object_get(root, "settled"));
    json_decref(root);
    return settled;
}
