// SPDX-License-Identifier: Apache-2.0
#include "fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

// --- Being notified

static void take_text(struct str *rest, char end, char *out, size_t size)
{
    const char *stop = memchr(rest->p, end, rest->n);
    size_t n = stop ? (size_t)(stop - rest->p) : rest->n;
    char *raw = strndup(rest->p, n);
    for (char *c = raw; *c; c++)
        if (*c == '+') *c = ' ';
    char *plain = curl_easy_unescape(NULL, raw, 0, NULL);
    (void)snprintf(out, size, "%s", plain);
    curl_free(plain);
    free(raw);
    rest->p += n + (stop ? 1 : 0);
    rest->n -= n + (stop ? 1 : 0);
}

static void on_notify(void *ctx, struct http_exchange *x)
{
    struct rig *r = ctx;
    pthread_mutex_lock(&r->lock);
    if (r->n_posts < POSTS_MAX) {
        struct post *p = &r->posts[r->n_posts++];
        p->n = 0;
        for (struct str rest = x->body; rest.n > 0 && p->n < 40; p->n++) {
            take_text(&rest, '=', p->fields[p->n].name, sizeof p->fields[0].name);
            take_text(&rest, '&', p->fields[p->n].value, sizeof p->fields[0].value);
        }
    }
    int status = r->reply_status;
    char reply[64];
    memcpy(reply, r->reply, sizeof reply);
    pthread_mutex_unlock(&r->lock);
    http_respond(x, status, "text/plain", NULL, str_of(reply));
}

static void on_closed(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    (void)x;
}

void merchant_open(struct rig *r)
{
    char why[200];
    struct http_options o = {.listen = "127.0.0.1:0", .n_workers = 1, .max_connections = 64};
    struct http_handler h = {.ctx = r, .request = on_notify, .closed = on_closed};
    pthread_mutex_init(&r->lock, NULL);
    r->posts = calloc(POSTS_MAX, sizeof *r->posts);
    rig_reply(r, 200, "success");
    r->merchant = http_server_new(&o, &h, why);
    assert_non_null(r->merchant);
    assert_true(http_server_start(r->merchant));
    (void)snprintf(r->notify_url, sizeof r->notify_url, "http://127.0.0.1:%u/notify", http_server_port(r->merchant));
}

void rig_reply(struct rig *r, int status, const char *text)
{
    pthread_mutex_lock(&r->lock);
    r->reply_status = status;
    (void)snprintf(r->reply, sizeof r->reply, "%s", text);
    pthread_mutex_unlock(&r->lock);
}

void wait_idle(struct rig *r)
{
    for (int64_t until = clock_real_ms() + WAIT_MS; !sandbox_idle(r->sandbox); usleep(1000))
        assert_true(clock_real_ms() < until);
}

void expect_posts(struct rig *r, unsigned n)
{
    wait_idle(r);
    pthread_mutex_lock(&r->lock);
    unsigned got = r->n_posts;
    pthread_mutex_unlock(&r->lock);
    assert_int_equal(got, n);
}

const struct post *rig_post(struct rig *r, unsigned i)
{
    pthread_mutex_lock(&r->lock);
    bool there = i < r->n_posts;
    pthread_mutex_unlock(&r->lock);
    assert_true(there);
    return &r->posts[i];
}

const char *post_get(const struct post *p, const char *name)
{
    for (unsigned i = 0; i < p->n; i++)
        if (strcmp(p->fields[i].name, name) == 0) return p->fields[i].value;
    return NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool post_is_genuine(const struct rig *r, const struct post *p)
{
    const char *names[40];
    unsigned n = 0;
    struct buf text = {0};
    const char *sign = post_get(p, "sign");
    if (!sign) return false;
    for (unsigned i = 0; i < p->n; i++)
        if (strcmp(p->fields[i].name, "sign") != 0 && strcmp(p->fields[i].name, "sign_type") != 0)
            names[n++] = p->fields[i].name;
    qsort(names, n, sizeof names[0], by_name);
    for (unsigned i = 0; i < n; i++)
        buf_printf(&text, "%s%s=%s", i ? "&" : "", names[i], post_get(p, names[i]));
    bool good = crypto_rsa2_verify(r->alipay_key, buf_view(&text), str_of(sign));
    buf_free(&text);
    return good;
}

// --- Asking

struct pair {
    const char *name, *value;
    bool in_body;
};

static int pair_order(const void *a, const void *b)
{
    return strcmp(((const struct pair *)a)->name, ((const struct pair *)b)->name);
}

static void add_encoded(struct buf *out, const char *name, const char *value)
{
    char *v = value[0] ? curl_easy_escape(NULL, value, 0) : NULL;
    buf_printf(out, "%s%s=%s", out->n ? "&" : "", name, v ? v : "");
    curl_free(v);
}

static const char *either(const char *given, const char *usual)
{
    return given ? given : usual;
}

static unsigned list_pairs(struct rig *r, const struct ask *a, struct pair *list)
{
    const struct pair all[] = {
        {"app_id", either(a->app_id, r->app_id), false},
        {"method", a->method, false},
        {"charset", either(a->charset, "utf-8"), false},
        {"format", a->format, false},
        {"sign_type", either(a->sign_type, "RSA2"), false},
        {"timestamp", either(a->timestamp, "2026-11-23 10:05:00"), false},
        {"version", either(a->version, "1.0"), false},
        {"notify_url", a->keep_empty_notify_url ? "" : a->notify_url, false},
        {"biz_content", a->biz, true},
    };
    unsigned n = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].value && !(a->drop && strcmp(a->drop, all[i].name) == 0)) list[n++] = all[i];
    qsort(list, n, sizeof list[0], pair_order);
    return n;
}

static void sign_pairs(struct rig *r, const struct ask *a, const struct pair *list, unsigned n, struct buf *sign)
{
    struct buf text = {0};
    for (unsigned i = 0; i < n; i++)
        buf_printf(&text, "%s%s=%s", i ? "&" : "", list[i].name, list[i].value);
    if (a->spoil_text) buf_z(&text, "&");
    assert_true(crypto_rsa2_sign(r->app_key, buf_view(&text), sign));
    buf_free(&text);
}

static json_t *check_envelope(struct rig *r, const struct buf *answer, const char *key_name)
{
    char want[128], why[200];
    (void)snprintf(want, sizeof want, "{\"%s\":{", key_name);
    if (answer->n < strlen(want) || memcmp(answer->p, want, strlen(want)) != 0) {
        (void)snprintf(why, sizeof why, "%.*s", (int)answer->n, answer->p);
        assert_string_equal(why, want);
    }
    const char *start = answer->p + strlen(want) - 1;
    const char *mark = ",\"sign\":\"";
    const char *end = memmem(start, answer->n - (size_t)(start - answer->p), mark, strlen(mark));
    assert_non_null(end);
    struct str object = {start, (size_t)(end - start)};
    struct str sign = {end + strlen(mark), (size_t)(answer->p + answer->n - end) - strlen(mark) - 2};
    assert_true(crypto_rsa2_verify(r->alipay_key, object, sign));
    struct json_fault fault;
    json_t *o = json_read_object(object, &fault);
    assert_non_null(o);
    return o;
}

json_t *rig_ask(struct rig *r, const struct ask *a, const char *key_name)
{
    struct pair list[16];
    struct buf sign = {0}, query = {0}, body = {0}, answer = {0};
    unsigned n = list_pairs(r, a, list);
    sign_pairs(r, a, list, n, &sign);
    if (a->spoil_sign) sign.p[5] = sign.p[5] == 'A' ? 'B' : 'A';
    buf_char(&sign, 0);
    for (unsigned i = 0; i < n; i++)
        add_encoded(list[i].in_body && !a->all_in_query ? &body : &query, list[i].name, list[i].value);
    if (!(a->drop && strcmp(a->drop, "sign") == 0)) add_encoded(&query, "sign", sign.p);
    if (a->unsigned_extra) buf_z(&body, a->unsigned_extra);
    struct buf path = {0};
    buf_printf(&path, "/gateway.do?%.*s", (int)query.n, query.p);
    buf_char(&path, 0);
    buf_char(&body, 0);
    assert_int_equal(rig_http(r, a->all_in_query ? "GET" : "POST", path.p, a->all_in_query ? NULL : body.p, &answer),
                     200);
    json_t *o = check_envelope(r, &answer, key_name);
    buf_free(&sign);
    buf_free(&query);
    buf_free(&body);
    buf_free(&path);
    buf_free(&answer);
    return o;
}

json_t *rig_call(struct rig *r, const char *method, const char *biz)
{
    char key_name[96];
    (void)snprintf(key_name, sizeof key_name, "%s_response", method);
    for (char *c = key_name; *c; c++)
        if (*c == '.') *c = '_';
    struct ask a = {.method = method, .biz = biz};
    return rig_ask(r, &a, key_name);
}

void expect_text(const json_t *o, const char *name, const char *value)
{
    const json_t *v = json_object_get(o, name);
    if (!value) {
        assert_null(v);
        return;
    }
    if (!json_is_string(v)) fail_msg("%s is absent", name);
    assert_string_equal(json_string_value(v), value);
}

void expect_int(const json_t *o, const char *name, int64_t value)
{
    const json_t *v = json_object_get(o, name);
    if (!json_is_integer(v)) fail_msg("%s is absent", name);
    assert_int_equal(json_integer_value(v), value);
}

void expect(struct rig *r, const char *method, const char *biz, const char *code, const char *sub_code)
{
    json_t *o = rig_call(r, method, biz);
    expect_text(o, "code", code);
    expect_text(o, "sub_code", sub_code);
    json_decref(o);
}
