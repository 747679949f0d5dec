// SPDX-License-Identifier: Apache-2.0
// The pages that are built in, and what they load. They ask the API for everything else, so they are the same
// bytes for everybody; only config.js is written here.
//
// No page holds a script or a style of its own: the policy below then forbids whatever a text might smuggle
// in.
#include "sandbox/sandbox.h"
#include "shell/shell.h"

#define FILES(X)                                                                                                       \
    X(shop_html) X(shop_js) X(pay_html) X(pay_js) X(till_js) X(till_css) X(icon_svg) X(wechat_html) X(wechat_js)
#define X_DECLARE(name)                                                                                                \
    extern const unsigned char page_##name[];                                                                          \
    extern const unsigned page_##name##_size;
FILES(X_DECLARE)

// no-cache: asked for again each time, so that page and script are of one version after an upgrade.
static const char HEADERS[] =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cache-Control: no-cache\r\n";

static const char HTML[] = "text/html; charset=utf-8", SCRIPT[] = "text/javascript; charset=utf-8",
                  STYLE[] = "text/css; charset=utf-8", PICTURE[] = "image/svg+xml";

struct page {
    const char *path, *type;
    const unsigned char *bytes;
    const unsigned *size;
    bool only_dev;
};

static const struct page PAGES[] = {
    {"/", HTML, page_shop_html, &page_shop_html_size, true},
    {"/assets/shop.js", SCRIPT, page_shop_js, &page_shop_js_size, true},
    {"/assets/pay.js", SCRIPT, page_pay_js, &page_pay_js_size, false},
    {"/assets/wechat.js", SCRIPT, page_wechat_js, &page_wechat_js_size, false},
    {"/assets/till.js", SCRIPT, page_till_js, &page_till_js_size, false},
    {"/assets/till.css", STYLE, page_till_css, &page_till_css_size, false},
    {"/assets/icon.svg", PICTURE, page_icon_svg, &page_icon_svg_size, false},
};

static void page_respond(struct http_exchange *x, const char *type, const unsigned char *bytes, unsigned size)
{
    http_respond(x, 200, type, HEADERS, (struct str){(const char *)bytes, size});
}

// What the shop has to be told: where the wallet is (null: no sandbox in this process), and whether time can
// be moved.
static void config_respond(struct worker *w, struct http_exchange *x)
{
    const struct shell *s = w->shell;
    struct buf json = {0};
    json_open(&json, '{');
    json_key(&json, "sandbox_port");
    if (s->sandbox)
        json_i64(&json, sandbox_port(s->sandbox));
    else
        json_nil(&json);
    json_key(&json, "has_test_clock");
    json_bool(&json, s->test_clock != NULL);
    json_close(&json, '}');
    buf_z(&w->out, "window.till_config = ");
    buf_str(&w->out, buf_view(&json));
    buf_z(&w->out, ";\n");
    bool failed = json.failed || w->out.failed;
    buf_free(&json);
    if (failed)
        http_problem(x, 503, "overloaded", "out of memory", NULL);
    else
        http_respond(x, 200, SCRIPT, HEADERS, buf_view(&w->out));
}

bool pages_serve(struct worker *w, struct http_exchange *x)
{
    bool is_dev = w->shell->is_dev;
    if (is_dev && str_eq(x->path, STR("/assets/config.js"))) {
        config_respond(w, x);
        return true;
    }
    for (size_t i = 0; i < sizeof PAGES / sizeof PAGES[0]; i++) {
        const struct page *p = &PAGES[i];
        if (!str_eq(x->path, str_of(p->path)) || (p->only_dev && !is_dev)) continue;
        page_respond(x, p->type, p->bytes, *p->size);
        return true;
    }
    return false;
}

// The same page for every order: it looks up by itself whether there is one.
void page_pay(struct worker *w, struct http_exchange *x)
{
    (void)w;
    page_respond(x, HTML, page_pay_html, page_pay_html_size);
}

// The same page again, with what WeChat wants to be handed in the middle: data, no script, so the policy holds.
void page_wechat(struct worker *w, struct http_exchange *x, struct str jsapi)
{
    static const struct str MARK = STR("{}");
    struct str page = {(const char *)page_wechat_html, page_wechat_html_size};
    const char *at = memmem(page.p, page.n, MARK.p, MARK.n);
    buf_str(&w->out, (struct str){page.p, (size_t)(at - page.p)});
    buf_str(&w->out, jsapi);
    buf_str(&w->out, (struct str){at + MARK.n, page.n - MARK.n - (size_t)(at - page.p)});
    if (w->out.failed)
        http_problem(x, 503, "overloaded", "out of memory", NULL);
    else
        page_respond(x, HTML, (const unsigned char *)w->out.p, (unsigned)w->out.n);
}
