// SPDX-License-Identifier: Apache-2.0
// A call on the wire: libcurl's options, what it brings back, and the headers of a reply.
#include "channel/caller_inside.h"
#include <stdlib.h>
#include <strings.h>

#define HEADERS_MAX (32 * 1024)
#define USER_AGENT  "till"

// --- Headers of a reply

static bool same_letters(struct str s, const char *name)
{
    return strlen(name) == s.n && strncasecmp(s.p, name, s.n) == 0;
}

static struct str trimmed(struct str s)
{
    while (s.n > 0 && strchr(" \t\r\n", s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && strchr(" \t\r\n", s.p[s.n - 1]))
        s.n--;
    return s;
}

struct str call_reply_header(const struct call_reply *reply, const char *name)
{
    struct str rest = reply->headers, found = {"", 0};
    unsigned n = 0;
    while (rest.n > 0) {
        const char *end = memchr(rest.p, '\n', rest.n);
        struct str line = {rest.p, end ? (size_t)(end - rest.p) + 1 : rest.n};
        rest.p += line.n;
        rest.n -= line.n;
        const char *colon = memchr(line.p, ':', line.n);
        if (!colon || !same_letters((struct str){line.p, (size_t)(colon - line.p)}, name)) continue;
        found = trimmed((struct str){colon + 1, line.n - (size_t)(colon - line.p) - 1});
        n++;
    }
    return n == 1 ? found : (struct str){"", 0};
}

static int64_t http_date_ms(struct str date)
{
    char text[64];
    if (date.n == 0 || date.n >= sizeof text) return 0;
    memcpy(text, date.p, date.n);
    text[date.n] = 0;
    time_t seconds = curl_getdate(text, NULL);
    return seconds > 0 ? (int64_t)seconds * 1000 : 0;
}

int64_t reply_date_ms(const struct call_reply *reply)
{
    return http_date_ms(call_reply_header(reply, "Date"));
}

// Seconds, or a date by the provider's clock.
int64_t reply_hold_ms(const struct call_reply *reply)
{
    if (reply->status != 429 && reply->status != 503) return 0;
    struct str after = call_reply_header(reply, "Retry-After");
    int64_t seconds = 0, date_ms = reply_date_ms(reply);
    size_t i = 0;
    for (; i < after.n && i < 6 && after.p[i] >= '0' && after.p[i] <= '9'; i++)
        seconds = seconds * 10 + (after.p[i] - '0');
    if (i > 0) return i == after.n ? seconds * 1000 : 0;
    int64_t until_ms = http_date_ms(after);
    return until_ms && date_ms ? until_ms - date_ms : 0;
}

// --- On the wire

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    struct job *j = ctx;
    if (n * size > CALL_REPLY_MAX - j->reply_body.n) {
        j->too_long = true;
        return 0;
    }
    buf_add(&j->reply_body, p, n * size);
    return j->reply_body.failed ? 0 : n * size;
}

static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
    struct job *j = ctx;
    struct str line = {p, n * size};
    if (str_starts(line, STR("HTTP/"))) buf_clear(&j->reply_headers); // after a "100 Continue" the real one
    if (line.n > HEADERS_MAX - j->reply_headers.n) {
        j->too_long = true;
        return 0;
    }
    buf_str(&j->reply_headers, line);
    return j->reply_headers.failed ? 0 : line.n;
}

static struct curl_slist *header_list(struct str lines)
{
    struct curl_slist *list = NULL;
    while (lines.n > 0) {
        const char *end = memchr(lines.p, '\n', lines.n);
        size_t n = end ? (size_t)(end - lines.p) : lines.n;
        char *line = strndup(lines.p, n);
        struct curl_slist *longer = line ? curl_slist_append(list, line) : NULL;
        free(line);
        if (!longer) {
            curl_slist_free_all(list);
            return NULL;
        }
        list = longer;
        lines.p += end ? n + 1 : n;
        lines.n -= end ? n + 1 : n;
    }
    return list;
}

// The curl calls that set options fail only for want of memory or for an option this libcurl does not know.
static bool easy_prepare(struct job *j)
{
    struct call_request *r = &j->request;
    CURL *e = j->easy;
    buf_char(&r->url, '\0');
    if (r->url.failed || r->body.failed || r->headers.failed) return false;
    j->header_list = header_list(buf_view(&r->headers));
    if (!j->header_list && r->headers.n > 0) return false;
    CURLcode rc = curl_easy_setopt(e, CURLOPT_URL, r->url.p);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_HTTPHEADER, j->header_list);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_USERAGENT, USER_AGENT);
    if (rc == CURLE_OK && r->is_post) rc = curl_easy_setopt(e, CURLOPT_POST, 1L);
    if (rc == CURLE_OK && r->is_post) rc = curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)r->body.n);
    if (rc == CURLE_OK && r->is_post) rc = curl_easy_setopt(e, CURLOPT_POSTFIELDS, r->body.n ? r->body.p : "");
    // Plain http is for sandboxes on this machine: never through a proxy that the environment names.
    if (rc == CURLE_OK && strncmp(r->url.p, "http:", 5) == 0) rc = curl_easy_setopt(e, CURLOPT_PROXY, "");
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    // A call given up while its host is being resolved must not make the loop wait for the resolver.
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_WRITEDATA, j);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_HEADERDATA, j);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_PRIVATE, j);
    return rc == CURLE_OK;
}

static void spare_easy(struct caller *c, CURL *easy)
{
    if (!easy) return;
    if (c->n_spare == EASY_SPARE_MAX) {
        curl_easy_cleanup(easy);
        return;
    }
    curl_easy_reset(easy);
    c->spare[c->n_spare++] = easy;
}

static CURL *take_easy(struct caller *c)
{
    return c->n_spare > 0 ? c->spare[--c->n_spare] : curl_easy_init();
}

bool flight_start(struct job *j)
{
    struct caller *c = j->lane->caller;
    j->easy = take_easy(c);
    if (j->easy && easy_prepare(j) && curl_multi_add_handle(c->multi, j->easy) == CURLM_OK) return true;
    curl_slist_free_all(j->header_list);
    spare_easy(c, j->easy);
    j->easy = NULL;
    j->header_list = NULL;
    return false;
}

void flight_leave(struct job *j)
{
    struct caller *c = j->lane->caller;
    curl_multi_remove_handle(c->multi, j->easy);
    spare_easy(c, j->easy);
    curl_slist_free_all(j->header_list);
    j->easy = NULL;
    j->header_list = NULL;
}

void flights_free(struct caller *c)
{
    while (c->n_spare > 0)
        curl_easy_cleanup(c->spare[--c->n_spare]);
}

// --- When it went wrong

const char *failure_text(const struct job *j, CURLcode rc)
{
    if (j->too_long) return "answer too long";
    switch ((int)rc) {
    case CURLE_OPERATION_TIMEDOUT: return "timeout";
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY: return "cannot resolve the host";
    case CURLE_COULDNT_CONNECT: return "cannot connect";
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR: return "connection broken";
    case CURLE_PARTIAL_FILE: return "answer cut short";
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE: return "tls";
    default: return curl_easy_strerror(rc);
    }
}

enum care_end failure_end(const struct job *j, CURLcode rc)
{
    if (j->too_long) return CARE_UNCLEAR;
    switch ((int)rc) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_FAILED_INIT:
    case CURLE_OUT_OF_MEMORY: return CARE_UNSENT; // our own fault
    default: return CARE_FAILED;
    }
}
