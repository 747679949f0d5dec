// SPDX-License-Identifier: Apache-2.0
// What a buyer's phone meets that opens an order's payment page: the cashier of the wallet that opened it.
//
//    GET  /pay/{order}            by Alipay   an attempt, then 302 to its cashier
//                                 by WeChat   302 to WeChat's authorization, which comes back to
//    GET  /pay/{order}/wechat     ?code=&state=: the buyer's openid, an attempt for it, and the page that pays it
//    POST /pay/{order}/open       {"channel"}: another browser's buyer chose his wallet; {"url"} of its cashier
//
// A User-Agent can be forged, so it chooses a presentation and nothing else: price, state and number are the order's.
// Whatever does not work out (the order is closing, the provider is away) leads to the page itself, which says so.
#include "channel/wechatpay.h"
#include "shell/shell.h"
#include <stdio.h>
#include <stdlib.h>

#define STATE_SIZE 17 // 16 hex digits

// --- Who opens it

static bool agent_has(const struct http_exchange *x, struct str word)
{
    struct str agent = http_header(x, "User-Agent");
    return agent.n >= word.n && memmem(agent.p, agent.n, word.p, word.n);
}

static enum channel_id wallet_of(const struct http_exchange *x)
{
    if (agent_has(x, STR("AlipayClient"))) return CHANNEL_ALIPAY;
    if (agent_has(x, STR("MicroMessenger"))) return CHANNEL_WECHATPAY;
    return CHANNEL_ANY;
}

// The order, when it can be paid through this channel now.
static bool order_for(struct worker *w, uint64_t key, enum channel_id channel, struct order_doc *doc)
{
    bool found = false;
    if (!w->shell->channels[channel]) return false;
    if (!w->reader->ops->order(w->reader, key, doc, &found, &w->arena) || !found) return false;
    bool payable = doc->order.state == ORDER_PLACED || doc->order.state == ORDER_AWAITING_PAYMENT;
    return payable && (doc->order.channel == CHANNEL_ANY || doc->order.channel == channel);
}

// --- Ways out

// A provider's address goes into a header and a prepay_id into a page: neither takes anything but what it should be.
static bool is_address(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '"' || s.p[i] == '<' || s.p[i] == '\\') return false;
    return s.n >= 8 && (memcmp(s.p, "https://", 8) == 0 || memcmp(s.p, "http://", 7) == 0);
}

static bool is_prepay_id(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!memchr("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-=", s.p[i], 65)) return false;
    return s.n > 0 && s.n <= 128;
}

static void redirect(struct http_exchange *x, struct str url)
{
    struct buf b = {0};
    buf_z(&b, "Cache-Control: no-store\r\nLocation: ");
    buf_str(&b, url);
    buf_z(&b, "\r\n");
    buf_char(&b, 0);
    if (b.failed)
        http_problem(x, 503, "overloaded", "out of memory", NULL);
    else
        http_respond(x, 302, "text/plain", b.p, STR(""));
    buf_free(&b);
}

static void wechat_page_respond(struct worker *w, struct http_exchange *x, struct str prepay_id)
{
    struct buf json = {0};
    bool good = is_prepay_id(prepay_id) && wechatpay_page(w->shell->channels[CHANNEL_WECHATPAY], prepay_id, &json);
    if (good && !json.failed)
        page_wechat(w, x, buf_view(&json));
    else
        page_pay(w, x);
    buf_free(&json);
}

static void address_respond(struct worker *w, struct http_exchange *x, struct str url)
{
    json_open(&w->out, '{');
    json_kstr(&w->out, "url", url);
    json_close(&w->out, '}');
    api_respond_json(x, 200, &w->out);
}

// The attempt that was asked for, as it is stored now. False: there is none that can be paid.
static bool attempt_read(struct worker *w, const struct request *r, struct payment *p)
{
    struct order_doc doc;
    if (r->reply.code || !order_for(w, r->order_key, r->pay.channel, &doc) || !doc.has_payment) return false;
    *p = doc.payment;
    return p->state == PAYMENT_WAITING && p->channel == r->pay.channel && p->product == r->pay.product && p->code.n > 0;
}

bool cashier_reply(struct api_request *q)
{
    if (q->answered_as == AS_API || q->answered_as == AS_PAY_STATE) return false;
    struct worker *w = q->worker;
    struct payment p;
    bool has_code = attempt_read(w, &q->r, &p), has_address = has_code && is_address(p.code);
    switch (q->answered_as) {
    case AS_CASHIER:
        if (has_address)
            redirect(q->x, p.code);
        else
            page_pay(w, q->x);
        return true;
    case AS_WECHAT_PAGE:
        if (has_code)
            wechat_page_respond(w, q->x, p.code);
        else
            page_pay(w, q->x);
        return true;
    case AS_ADDRESS:
        if (!q->r.reply.code && !has_address) {
            http_problem(q->x, 409, "no_cashier", "the provider has not answered; try again", NULL);
            return true;
        }
        if (has_address) address_respond(w, q->x, p.code);
        return has_address;
    case AS_API:
    case AS_PAY_STATE: break;
    }
    return false;
}

// --- Alipay

static struct api_request *pay_request(struct worker *w, struct http_exchange *x, uint64_t key, enum channel_id channel,
                                       enum product product, struct str payer, enum answered_as as)
{
    struct api_request *q = api_request_new(w, x, REQUEST_PAY);
    if (!q) return NULL;
    q->r.order_key = key;
    q->r.pay.channel = channel;
    q->r.pay.product = product;
    q->r.pay.payer = arena_copy(&q->arena, payer);
    q->r.pay.by_buyer = true;
    q->answered_as = as;
    return q;
}

static void alipay_enter(struct worker *w, struct http_exchange *x, const struct order_doc *doc, enum answered_as as)
{
    const struct payment *p = &doc->payment;
    // A code that is shown already is the cashier's address as well.
    if (as == AS_CASHIER && doc->has_payment && p->state == PAYMENT_WAITING && p->channel == CHANNEL_ALIPAY &&
        p->product == PRODUCT_QR && is_address(p->code))
        return redirect(x, p->code);
    struct api_request *q =
        pay_request(w, x, doc->order.key, CHANNEL_ALIPAY, w->shell->alipay_product, STR("phone"), as);
    if (q) api_request_send(q);
}

// --- WeChat

// Ties the way back to the order it began with.
static void state_of(const struct shell *s, uint64_t key, char out[STATE_SIZE])
{
    struct str parts[] = {STR("oauth"), {(const char *)&key, sizeof key}};
    (void)snprintf(out, STATE_SIZE, "%016llx", (unsigned long long)id_hash(s->secret, parts, 2).a);
}

// False: WeChat cannot be asked who it is.
static bool wechat_enter(struct worker *w, struct http_exchange *x, uint64_t key)
{
    const struct shell *s = w->shell;
    char state[STATE_SIZE], id[ID_TEXT_SIZE];
    struct buf back = {0}, url = {0};
    state_of(s, key, state);
    id_format(s->secret, "ord_", key, id);
    buf_printf(&back, "%s/pay/%s/wechat", s->public_url, id);
    bool good =
        !back.failed && wechatpay_authorize_url(s->channels[CHANNEL_WECHATPAY], buf_view(&back), str_of(state), &url);
    if (good) redirect(x, buf_view(&url));
    buf_free(&back);
    buf_free(&url);
    return good;
}

// On the worker's thread again.
static void openid_arrived(void *arg)
{
    struct api_request *q = arg;
    if (!q->x) { // the client went away
        api_request_free(q);
    } else if (q->r.pay.payer.n == 0) {
        page_pay(q->worker, q->x);
        api_request_free(q);
    } else {
        q->r.next = NULL;
        engine_post(q->worker->shell->engine, &q->r, &q->r, 1);
    }
}

// On the channel's thread, which owns `q` until it hands it back.
static void openid_known(void *ctx, const char *openid, const char *why)
{
    (void)why;
    struct api_request *q = ctx;
    if (openid && strlen(openid) <= PAYER_MAX) q->r.pay.payer = arena_copy(&q->arena, str_of(openid));
    if (!http_worker_post(q->worker->http, openid_arrived, q)) api_request_free(q); // the server has ended
}

void cashier_wechat(struct worker *w, struct http_exchange *x, uint64_t key)
{
    struct str code, state;
    struct order_doc doc;
    char expected[STATE_SIZE];
    state_of(w->shell, key, expected);
    if (!param(w, x, "code", &code) || !param(w, x, "state", &state)) return;
    if (!str_eq(state, str_of(expected)))
        return http_problem(x, 400, "invalid_parameter", "state is not the one this order's way began with", NULL);
    if (code.n == 0 || !order_for(w, key, CHANNEL_WECHATPAY, &doc)) return page_pay(w, x);
    struct api_request *q = pay_request(w, x, key, CHANNEL_WECHATPAY, PRODUCT_JSAPI, STR(""), AS_WECHAT_PAGE);
    if (!q) return;
    x->user = q;
    if (wechatpay_openid(w->shell->channels[CHANNEL_WECHATPAY], code, openid_known, q)) return;
    x->user = NULL;
    page_pay(w, x);
    api_request_free(q);
}

// --- The doors

bool cashier_serve(struct worker *w, struct http_exchange *x, uint64_t key)
{
    struct order_doc doc;
    enum channel_id channel = wallet_of(x);
    if (channel == CHANNEL_ANY || x->method != HTTP_GET || !order_for(w, key, channel, &doc)) return false;
    if (channel == CHANNEL_WECHATPAY) return wechat_enter(w, x, key);
    alipay_enter(w, x, &doc, AS_CASHIER);
    return true;
}

void cashier_open(struct worker *w, struct http_exchange *x, uint64_t key)
{
    enum channel_id channel;
    struct order_doc doc;
    char peer[HTTP_PEER_SIZE];
    if (!parse_open(x, &channel)) return;
    if (!w->shell->channels[channel])
        return http_problem(x, 422, "channel_unavailable", "this channel is not configured here", "/channel");
    if (!channel_traits(channel)->has_cashier)
        return http_problem(x, 409, "no_cashier", "a phone cannot be sent to this channel", "/channel");
    if (!order_for(w, key, channel, &doc))
        return http_problem(x, 409, "order_not_payable", "this order cannot be paid through this channel", NULL);
    if (channel == CHANNEL_ALIPAY) return alipay_enter(w, x, &doc, AS_ADDRESS);
    http_peer(x, peer);
    struct api_request *q = pay_request(w, x, key, channel, PRODUCT_WAP, str_of(peer), AS_ADDRESS);
    if (q) api_request_send(q);
}
