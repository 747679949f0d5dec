// SPDX-License-Identifier: Apache-2.0
#include "shell/client_http.h"
#include "shell/client_show.h"
#include <stdio.h>

#define ANSWER_MAX        (8u << 20)
#define CONNECT_WITHIN_MS 5000L
#define ANSWER_WITHIN_MS  40000L // longer than a long poll takes

static size_t take_body(char *p, size_t size, size_t n, void *user)
{
    struct buf *answer = user;
    size_t more = size * n;
    if (more > ANSWER_MAX - answer->n) return 0;
    buf_add(answer, p, more);
    return answer->failed ? 0 : more;
}

// A proxy of the environment has no way to this machine's own loopback.
static void skip_proxy_on_loopback(CURL *curl, const char *url)
{
    CURLU *u = curl_url();
    char *host = NULL;
    if (u && !curl_url_set(u, CURLUPART_URL, url, 0) && !curl_url_get(u, CURLUPART_HOST, &host, 0))
        if (strncmp(host, "127.", 4) == 0 || strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
            curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_free(host);
    curl_url_cleanup(u);
}

static bool is_server_url(const char *url)
{
    bool known = strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
    return known && !strpbrk(url, "?# \t\r\n");
}

bool client_open(struct client *c, const char *url, const char *key)
{
    *c = (struct client){.url = url, .key = key};
    if (!is_server_url(url)) {
        (void)fprintf(stderr, "till: --url: expected http://host:port or https://host:port\n");
        return false;
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) == 0) c->curl = curl_easy_init();
    if (!c->curl) (void)fprintf(stderr, "till: libcurl cannot be set up\n");
    return c->curl != NULL;
}

void client_close(struct client *c)
{
    if (!c->curl) return;
    curl_easy_cleanup(c->curl);
    curl_global_cleanup();
    *c = (struct client){0};
}

void client_escape(struct client *c, const char *text, struct buf *path)
{
    char *escaped = curl_easy_escape(c->curl, text, 0);
    if (!escaped) path->failed = true;
    buf_z(path, escaped ? escaped : "");
    curl_free(escaped);
}

static void add_header(struct curl_slist **list, const char *name, const char *value)
{
    struct buf line = {0};
    buf_printf(&line, "%s: %s", name, value);
    buf_char(&line, 0);
    struct curl_slist *longer = line.failed ? NULL : curl_slist_append(*list, line.p);
    if (longer) *list = longer;
    buf_free(&line);
}

static struct curl_slist *headers_of(const struct client *c, bool has_body, const char *once)
{
    struct curl_slist *list = NULL;
    add_header(&list, "Accept", "application/json");
    add_header(&list, "Expect", ""); // libcurl would wait for a 100 before larger bodies
    if (has_body) add_header(&list, "Content-Type", "application/json");
    if (c->key) {
        struct buf bearer = {0};
        buf_printf(&bearer, "Bearer %s", c->key);
        buf_char(&bearer, 0);
        if (!bearer.failed) add_header(&list, "Authorization", bearer.p);
        buf_free(&bearer);
    }
    if (once) add_header(&list, "Idempotency-Key", once);
    return list;
}

static void prepare(struct client *c, const char *method, const char *url, const struct buf *body, struct buf *answer)
{
    CURL *h = c->curl;
    curl_easy_reset(h);
    skip_proxy_on_loopback(h, url);
    curl_easy_setopt(h, CURLOPT_URL, url);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_WITHIN_MS);
    curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, ANSWER_WITHIN_MS);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, answer);
    if (strcmp(method, "GET") == 0) return;
    curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(h, CURLOPT_POSTFIELDS, body ? body->p : "");
    curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE, body ? (long)body->n : 0L);
}

bool client_ask(struct client *c, const char *method, const char *path, const struct buf *body, const char *once,
                struct buf *answer)
{
    struct buf url = {0};
    size_t n = strlen(c->url);
    while (n > 0 && c->url[n - 1] == '/')
        n--;
    buf_add(&url, c->url, n);
    buf_z(&url, path);
    buf_char(&url, 0);
    buf_clear(answer);
    if (url.failed || (body && body->failed)) {
        (void)fprintf(stderr, "till: out of memory\n");
        buf_free(&url);
        return false;
    }
    struct curl_slist *headers = headers_of(c, body != NULL, once);
    long status = 0;
    prepare(c, method, url.p, body, answer);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    CURLcode result = curl_easy_perform(c->curl);
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    buf_free(&url);
    if (result != CURLE_OK)
        (void)fprintf(stderr, "till: no answer from %s: %s\n", c->url,
                      result == CURLE_WRITE_ERROR ? "it is larger than 8 MiB" : curl_easy_strerror(result));
    else if (status < 200 || status > 299)
        show_problem(status, buf_view(answer), stderr);
    return result == CURLE_OK && status >= 200 && status <= 299;
}
