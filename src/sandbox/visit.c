// SPDX-License-Identifier: Apache-2.0
#include "sandbox/visit.h"
#include "base/json_in.h"
#include "base/mono.h"
#include "sandbox/loopback.h"
#include "sandbox/wechat_oauth.h"
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#define VISITS_MAX 16u
#define HOPS_MAX   8u
#define PAGE_MAX   (256u * 1024)
#define VISIT_MS   5000

static const char *const BROWSERS[SANDBOX_N_CHANNELS] = {
    [SANDBOX_ALIPAY] = "Mozilla/5.0 (Linux; Android 13; sandbox) AppleWebKit/537.36 Mobile Safari/537.36 "
                       "AlipayClient/10.5.0 Language/zh-Hans",
    [SANDBOX_WECHATPAY] = "Mozilla/5.0 (Linux; Android 13; sandbox) AppleWebKit/537.36 Mobile Safari/537.36 "
                          "MicroMessenger/8.0.40 Language/zh_CN",
};

// --- Addresses

static bool is_below(const char *url, const char *base)
{
    size_t n = strlen(base);
    return n > 0 && strncmp(url, base, n) == 0 && (base[n - 1] == '/' || url[n] == '/');
}

static bool may_open(const struct visit *v)
{
    return url_is_loopback(v->url) || is_below(v->url, v->sandbox->pages_below);
}

// The sandbox itself, at this path; its query then.
static bool is_own(const struct visit *v, const char *path, struct buf *query)
{
    char *port = NULL, *there = NULL, *q = NULL, ours[8];
    CURLU *u = curl_url();
    (void)snprintf(ours, sizeof ours, "%u", sandbox_port(v->sandbox));
    bool own = url_is_loopback(v->url) && u && curl_url_set(u, CURLUPART_URL, v->url, 0) == CURLUE_OK &&
               curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK && strcmp(port, ours) == 0 &&
               curl_url_get(u, CURLUPART_PATH, &there, 0) == CURLUE_OK && strcmp(there, path) == 0;
    if (own && query && curl_url_get(u, CURLUPART_QUERY, &q, 0) == CURLUE_OK) buf_z(query, q);
    curl_free(port);
    curl_free(there);
    curl_free(q);
    curl_url_cleanup(u);
    return own;
}

// --- One page

static size_t take_body(char *p, size_t size, size_t count, void *user)
{
    struct buf *body = user;
    size_t n = size * count;
    if (body->n + n > PAGE_MAX) return 0;
    buf_add(body, p, n);
    return body->failed ? 0 : n;
}

static int watch(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct visit *v = user;
    (void)a, (void)b, (void)c, (void)d;
    return atomic_load(&v->sandbox->visits_hurry) ? 1 : 0;
}

static bool easy_prepare(CURL *e, struct visit *v, struct curl_slist *headers, struct buf *body)
{
    long left_ms = (long)(v->give_up_ms - mono_ms());
    return left_ms > 0 && curl_easy_setopt(e, CURLOPT_URL, v->url) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_USERAGENT, BROWSERS[v->wallet]) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEDATA, body) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, watch) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_XFERINFODATA, v) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, left_ms) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
}

// Where the server sends us next, into v->url; false when it does not.
static bool take_redirect(CURL *e, long status, struct visit *v)
{
    const char *next = NULL;
    if (status < 300 || status > 399 || curl_easy_getinfo(e, CURLINFO_REDIRECT_URL, &next) != CURLE_OK || !next)
        return false;
    if (strlen(next) >= sizeof v->url) return false;
    memcpy(v->url, next, strlen(next) + 1);
    return true;
}

// The status, 0 when there was no answer; on a redirect v->url has moved on.
static long fetch(struct visit *v, struct buf *body, bool *moved)
{
    char line[80];
    long status = 0;
    CURL *e = curl_easy_init();
    struct curl_slist *headers = NULL;
    if (v->user[0] && is_own(v, WECHAT_AUTHORIZE, NULL)) {
        (void)snprintf(line, sizeof line, "%s: %s", WECHAT_USER_HEADER, v->user);
        headers = curl_slist_append(NULL, line);
    }
    if (e && easy_prepare(e, v, headers, body) && curl_easy_perform(e) == CURLE_OK)
        (void)curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &status);
    *moved = take_redirect(e, status, v);
    curl_easy_cleanup(e);
    curl_slist_free_all(headers);
    return status;
}

// --- What a page offers

static bool found(struct visit *v, enum visit_find find, struct str text)
{
    if (text.n == 0 || text.n >= sizeof v->text || memchr(text.p, 0, text.n)) return false;
    memcpy(v->text, text.p, text.n);
    v->text[text.n] = 0;
    v->find = find;
    return true;
}

static bool is_provider_code(const char *url)
{
    return strncmp(url, "https://qr.alipay.com/", 22) == 0 || strncmp(url, "weixin://", 9) == 0;
}

// The address of the gateway's own wap.pay, which is whole by itself. The page shows a cashier.
static bool find_wap(struct visit *v)
{
    struct buf query = {0}, method = {0};
    bool ok = v->wallet == SANDBOX_ALIPAY && is_own(v, "/gateway.do", &query) && !query.failed &&
              http_query(buf_view(&query), "method", &method) && str_eq(buf_view(&method), STR("alipay.trade.wap.pay"));
    if (ok) v->find = FIND_WAP;
    buf_free(&query);
    buf_free(&method);
    return ok;
}

// The text of the first <script ... id="jsapi" ...>.
static struct str script_find(struct str page)
{
    static const char begin[] = "<script", mark[] = "id=\"jsapi\"", end[] = "</script>";
    const char *at = page.p, *stop = page.p + page.n;
    while (at && (at = memmem(at, (size_t)(stop - at), begin, sizeof begin - 1))) {
        const char *close = memchr(at, '>', (size_t)(stop - at));
        if (!close) break;
        if (memmem(at, (size_t)(close - at), mark, sizeof mark - 1)) {
            const char *last = memmem(close, (size_t)(stop - close), end, sizeof end - 1);
            return last ? (struct str){close + 1, (size_t)(last - close - 1)} : (struct str){0};
        }
        at = close;
    }
    return (struct str){0};
}

struct jsapi {
    struct str app_id, time_stamp, nonce, package, sign_type, pay_sign;
};

static bool jsapi_read(const json_t *root, struct jsapi *j)
{
    struct json_fault fault = {0};
    struct json_in in = {.object = root, .at = "", .fault = &fault};
    return json_in_str(&in, "appId", true, 32, &j->app_id) && json_in_str(&in, "timeStamp", true, 32, &j->time_stamp) &&
           json_in_str(&in, "nonceStr", true, 32, &j->nonce) && json_in_str(&in, "package", true, 128, &j->package) &&
           json_in_str(&in, "signType", true, 32, &j->sign_type) &&
           json_in_str(&in, "paySign", true, 1024, &j->pay_sign);
}

static bool jsapi_is_genuine(const struct keys *k, const struct jsapi *j)
{
    const struct str lines[] = {j->app_id, j->time_stamp, j->nonce, j->package};
    struct buf text = {0};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        buf_str(&text, lines[i]);
        buf_char(&text, '\n');
    }
    bool good = !text.failed && str_eq(j->app_id, str_of(k->identity.appid)) && str_eq(j->sign_type, STR("RSA")) &&
                crypto_rsa2_verify(k->merchant_public, buf_view(&text), j->pay_sign);
    buf_free(&text);
    return good;
}

// What the page would hand to WeixinJSBridge.
static enum refusal find_jsapi(struct visit *v, struct str page)
{
    static const struct str prefix = {"prepay_id=", 10};
    struct str text = v->wallet == SANDBOX_WECHATPAY ? script_find(page) : (struct str){0};
    struct json_fault fault;
    struct jsapi j = {0};
    if (text.n == 0) return REFUSAL_PAGE_EMPTY;
    json_t *root = json_read_object(text, &fault);
    bool good = root && jsapi_read(root, &j) && jsapi_is_genuine(&v->sandbox->keys, &j) &&
                str_starts(j.package, prefix) &&
                found(v, FIND_JSAPI, (struct str){j.package.p + prefix.n, j.package.n - prefix.n});
    json_decref(root);
    return good ? REFUSAL_NONE : REFUSAL_PAGE_FALSE;
}

// --- The way there

static enum refusal walk(struct visit *v)
{
    for (unsigned hop = 0; hop < HOPS_MAX; hop++) {
        if (is_provider_code(v->url)) return found(v, FIND_CODE, str_of(v->url)) ? REFUSAL_NONE : REFUSAL_PAGE_EMPTY;
        if (!may_open(v)) return REFUSAL_PAGE_ELSEWHERE;
        bool is_cashier = find_wap(v), moved = false;
        struct buf page = {0};
        long status = fetch(v, &page, &moved);
        enum refusal end = status == 0 ? REFUSAL_PAGE_AWAY : REFUSAL_PAGE_EMPTY;
        if (is_cashier && status == 200)
            end = REFUSAL_NONE;
        else if (status == 200)
            end = find_jsapi(v, buf_view(&page));
        buf_free(&page);
        if (!moved) return end;
    }
    return REFUSAL_PAGE_EMPTY;
}

static void visit_unlink(struct visit *v)
{
    *v->link = v->next;
    if (v->next) v->next->link = v->link;
    v->sandbox->n_visits--;
}

static void visit_fill(struct sandbox *s, struct answer *a, void *arg)
{
    wallet_visited(s, arg, a);
}

static void visit_done(void *arg)
{
    struct visit *v = arg;
    pthread_join(v->thread, NULL); // it has nothing left to do
    visit_unlink(v);
    if (v->answer) sandbox_answer_later(v->answer, visit_fill, v);
    free(v);
}

static void *visit_run(void *arg)
{
    struct visit *v = arg;
    v->refusal = walk(v);
    // Without a server there is nobody to tell: visits_end() frees it.
    (void)http_worker_post(v->worker, visit_done, v);
    return NULL;
}

bool visit_begin(struct sandbox *s, const struct visit *asked, const struct http_exchange *x, struct answer *a)
{
    struct visit *v = s->n_visits < VISITS_MAX ? malloc(sizeof *v) : NULL;
    if (!v) return false;
    *v = *asked;
    v->sandbox = s;
    v->worker = x->worker;
    v->answer = a;
    v->give_up_ms = mono_ms() + VISIT_MS;
    v->next = s->visits;
    v->link = &s->visits;
    if (v->next) v->next->link = &v->next;
    s->visits = v;
    s->n_visits++;
    a->later = pthread_create(&v->thread, NULL, visit_run, v) == 0;
    if (a->later) return true;
    visit_unlink(v);
    free(v);
    return false;
}

void visits_forget(struct sandbox *s, const struct answer *a)
{
    for (struct visit *v = s->visits; v; v = v->next)
        if (v->answer == a) v->answer = NULL;
}

void visits_hurry(struct sandbox *s)
{
    atomic_store(&s->visits_hurry, true);
}

void visits_end(struct sandbox *s)
{
    for (struct visit *v; (v = s->visits);) {
        pthread_join(v->thread, NULL);
        visit_unlink(v);
        free(v);
    }
}
