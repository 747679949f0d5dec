// SPDX-License-Identifier: Apache-2.0
#include "shell/remote_clock.h"
#include "base/buf.h"
#include "base/json_in.h"
#include "base/timetext.h"
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#define ANSWER_MAX 4096
#define WAIT_MS    12000L // the sandbox gives up settling after ten seconds

struct remote_clock {
    CURL *curl;
    struct curl_slist *json;
    char url[256];
    struct buf answer;
};

static size_t collect(char *p, size_t size, size_t n, void *ctx)
{
    struct buf *b = ctx;
    if (b->n + size * n > ANSWER_MAX) return 0;
    buf_add(b, p, size * n);
    return b->failed ? 0 : size * n;
}

static json_t *ask(struct remote_clock *r, const char *body)
{
    struct json_fault fault = {0};
    long status = 0;
    buf_clear(&r->answer);
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

struct remote_clock *remote_clock_open(const char *gateway)
{
    const char *path = is_loopback(gateway) ? strchr(gateway + 7, '/') : NULL;
    struct remote_clock *r = path ? calloc(1, sizeof *r) : NULL;
    if (!r) return NULL;
    (void)snprintf(r->url, sizeof r->url, "%.*s/dev/clock", (int)(path - gateway), gateway);
    r->curl = curl_easy_init();
    r->json = curl_slist_append(NULL, "Content-Type: application/json");
    struct remote_time t;
    if (r->curl && r->json) {
        curl_easy_setopt(r->curl, CURLOPT_URL, r->url);
        curl_easy_setopt(r->curl, CURLOPT_HTTPHEADER, r->json);
        curl_easy_setopt(r->curl, CURLOPT_TIMEOUT_MS, WAIT_MS);
        curl_easy_setopt(r->curl, CURLOPT_PROXY, "");
        curl_easy_setopt(r->curl, CURLOPT_WRITEFUNCTION, collect);
        curl_easy_setopt(r->curl, CURLOPT_WRITEDATA, &r->answer);
        if (remote_clock_read(r, &t)) return r;
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

bool remote_clock_read(struct remote_clock *r, struct remote_time *out)
{
    json_t *root = ask(r, NULL);
    const char *now = json_string_value(json_object_get(root, "now"));
    const char *due = json_string_value(json_object_get(root, "next_due"));
    *out = (struct remote_time){.next_due_ms = INT64_MAX, .is_idle = json_is_true(json_object_get(root, "idle"))};
    bool ok = now && time_from_rfc3339(str_of(now), &out->now_ms);
    if (ok && due) ok = time_from_rfc3339(str_of(due), &out->next_due_ms);
    json_decref(root);
    return ok;
}

bool remote_clock_advance(struct remote_clock *r, int64_t by_ms)
{
    char body[64];
    (void)snprintf(body, sizeof body, "{\"advance\":\"%lldms\"}", (long long)by_ms);
    json_t *root = ask(r, body);
    bool settled = json_is_true(json_object_get(root, "settled"));
    json_decref(root);
    return settled;
}
