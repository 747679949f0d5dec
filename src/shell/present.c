// SPDX-License-Identifier: Apache-2.0
// Rows as the JSON of the API. One function per shape; nothing else writes these shapes.
#include "shell/shell.h"

static void json_id(const struct shell *s, struct buf *out, const char *key, const char *prefix, uint64_t row_key)
{
    char text[ID_TEXT_SIZE];
    id_format(s->secret, prefix, row_key, text);
    json_kz(out, key, text);
}

static void pay_url(const struct shell *s, uint64_t order_key, struct buf *out)
{
    char text[ID_TEXT_SIZE];
    id_format(s->secret, "ord_", order_key, text);
    buf_printf(out, "%s/pay/%s", s->public_url, text);
}

static bool is_shown(const struct payment *p)
{
    return p->code.n > 0 && p->product == PRODUCT_QR;
}

static bool has_qr_code(const struct payment *p)
{
    return is_shown(p) && !channel_traits(p->channel)->shows_text;
}

static bool has_instructions(const struct payment *p)
{
    return is_shown(p) && channel_traits(p->channel)->shows_text;
}

bool order_code(const struct shell *s, const struct order_doc *doc, struct buf *out)
{
    bool has_code = doc->has_payment && has_qr_code(&doc->payment);
    // For any wallet it goes on being Till's page, but where the merchant asked for one provider's code.
    if (doc->order.channel == CHANNEL_ANY && (!has_code || doc->payment.payer.n > 0)) {
        pay_url(s, doc->order.key, out);
        return !out->failed;
    }
    if (!has_code) return false;
    buf_str(out, doc->payment.code);
    return !out->failed;
}

void present_payment(const struct shell *s, const struct payment *p, uint64_t order_key, struct buf *out)
{
    char order_id[ID_TEXT_SIZE];
    id_format(s->secret, "ord_", order_key, order_id);
    json_open(out, '{');
    json_id(s, out, "id", "pay_", p->key);
    json_kz(out, "channel", channel_name(p->channel));
    json_kz(out, "state", payment_state_name(p->state));
    json_id(s, out, "out_trade_no", "", p->key);
    if (p->provider_trade_no[0]) json_kz(out, "provider_trade_no", p->provider_trade_no);
    if (p->product != PRODUCT_QR) json_kz(out, "product", product_name(p->product));
    if (has_qr_code(p) && p->state != PAYMENT_CREATING) {
        json_kstr(out, "qr_code", p->code);
        struct buf url = {0};
        buf_printf(&url, "%s/v1/orders/%s/qr.png", s->public_url, order_id);
        json_kstr(out, "qr_image", buf_view(&url));
        buf_free(&url);
    }
    if (has_instructions(p) && p->state != PAYMENT_CREATING) json_kstr(out, "instructions", p->code);
    json_close(out, '}');
}

static bool is_ending(const struct order *o)
{
    return o->state == ORDER_CLOSING || o->state == ORDER_CANCELLED;
}

// The order and its first attempt as the answer to the placing showed them, put together from what stays: a request
// that comes again, even after a crash, gets the same bytes. Where an order went on from there is taken back.
static struct order_doc doc_as_placed(const struct order_doc *now)
{
    struct order_doc then = *now;
    struct order *o = &then.order;
    struct payment *p = &then.payment;
    if (then.has_payment) o->channel = p->channel;
    if (o->reply_state == ORDER_STATE_0) return then; // being answered this moment
    bool is_paid = o->reply_state == ORDER_PAID, is_cancelled = o->reply_state == ORDER_CANCELLED;

    o->state = o->reply_state;
    o->version = o->reply_version;
    o->paid_fen = is_paid ? o->amount_fen : 0;
    o->refunded_fen = 0;
    if (!is_paid) o->paid_ms = 0;
    if (!is_cancelled) o->cancelled_ms = 0;

    if (!is_paid) p->provider_trade_no[0] = 0;
    if (o->reply_state == ORDER_PLACED) p->state = PAYMENT_CREATING;
    if (o->reply_state == ORDER_AWAITING_PAYMENT) p->state = PAYMENT_WAITING;
    if (o->reply_state == ORDER_CLOSING) p->state = PAYMENT_CLOSING;
    if (is_paid) p->state = PAYMENT_CAPTURED;
    if (is_cancelled) p->state = p->proof == PROOF_REFUSED ? PAYMENT_FAILED : PAYMENT_CLOSING;
    return then;
}

void present_order(const struct shell *s, const struct order_doc *doc, struct buf *out)
{
    const struct order *o = &doc->order;
    json_open(out, '{');
    json_id(s, out, "id", "ord_", o->key);
    json_kz(out, "state", order_state_name(o->state));
    if (is_ending(o)) json_kz(out, "reason", cancel_reason_name(o->reason));
    if (doc->text.merchant_order_no.n) json_kstr(out, "merchant_order_no", doc->text.merchant_order_no);
    if (doc->text.buyer.n) json_kstr(out, "buyer", doc->text.buyer);
    json_kz(out, "channel", channel_name(o->channel));
    json_key(out, "items");
    json_raw(out, doc->text.items.n ? doc->text.items : STR("[]"));
    if (!o->holds_stock) json_kstr(out, "subject", doc->text.subject);
    json_ki64(out, "amount", o->amount_fen);
    json_kstr(out, "currency", doc->text.currency);
    json_ki64(out, "paid_amount", o->paid_fen);
    json_ki64(out, "refunded_amount", o->refunded_fen);
    json_ktime(out, "created_at", o->created_ms);
    json_ktime(out, "expires_at", o->expires_ms);
    if (o->paid_ms) json_ktime(out, "paid_at", o->paid_ms);
    if (o->cancelled_ms) json_ktime(out, "cancelled_at", o->cancelled_ms);
    if (doc->has_payment) {
        json_key(out, "payment");
        present_payment(s, &doc->payment, o->key, out);
    }
    struct buf url = {0};
    pay_url(s, o->key, &url);
    json_kstr(out, "pay_url", buf_view(&url));
    buf_free(&url);
    json_kz(out, "policy", policy_name(o->policy));
    if (doc->text.metadata.n) {
        json_key(out, "metadata");
        json_raw(out, doc->text.metadata);
    }
    json_ki64(out, "version", o->version);
    json_close(out, '}');
}

void present_pay_state(const struct shell *s, const struct order_doc *doc, struct buf *out)
{
    const struct order *o = &doc->order;
    bool is_open = o->state == ORDER_PLACED || o->state == ORDER_AWAITING_PAYMENT;
    struct buf code = {0};
    json_open(out, '{');
    json_kz(out, "state", order_state_name(o->state));
    if (is_ending(o)) json_kz(out, "reason", cancel_reason_name(o->reason));
    json_ki64(out, "amount", o->amount_fen);
    json_kstr(out, "currency", doc->text.currency);
    json_kstr(out, "subject", doc->text.subject);
    json_kz(out, "channel", channel_name(o->channel));
    json_ktime(out, "now", clock_now_ms(s->clock));
    json_ktime(out, "expires_at", o->expires_ms);
    json_key(out, "wallets"); // whose cashier a phone can be sent to
    json_open(out, '[');
    for (unsigned c = CHANNEL_ANY + 1; c < N_CHANNELS; c++)
        if (s->channels[c] && channel_traits(c)->has_cashier && (o->channel == CHANNEL_ANY || o->channel == c))
            json_str(out, str_of(channel_name((enum channel_id)c)));
    json_close(out, ']');
    json_key(out, "has_code");
    json_bool(out, order_code(s, doc, &code) && is_open);
    if (is_open && doc->has_payment && has_instructions(&doc->payment))
        json_kstr(out, "instructions", doc->payment.code);
    json_close(out, '}');
    buf_free(&code);
}

void present_refund(const struct shell *s, uint64_t order_key, const struct refund *f, struct buf *out)
{
    json_open(out, '{');
    json_id(s, out, "id", "ref_", f->key);
    json_id(s, out, "order", "ord_", order_key);
    json_id(s, out, "payment", "pay_", f->payment_key);
    json_ki64(out, "amount", f->amount_fen);
    json_kz(out, "state", refund_state_name(f->state));
    json_kz(out, "cause", refund_cause_name(f->cause));
    if (f->is_abnormal && f->state == REFUND_PENDING) {
        json_key(out, "abnormal"); // somebody must act at the provider
        json_bool(out, true);
    }
    if (f->replaces_key) json_id(s, out, "replaces", "ref_", f->replaces_key);
    json_ktime(out, "created_at", f->created_ms);
    if (f->finished_ms) json_ktime(out, "finished_at", f->finished_ms);
    json_close(out, '}');
}

void present_sku(const struct sku *k, struct buf *out)
{
    json_open(out, '{');
    json_kstr(out, "sku", k->sku);
    json_kstr(out, "title", k->title);
    json_ki64(out, "price", k->price_fen);
    json_kstr(out, "currency", k->currency);
    json_ki64(out, "available", k->stock.available);
    json_ki64(out, "held", k->stock.held);
    json_ki64(out, "sold", k->stock.sold);
    json_close(out, '}');
}

void present_event(const struct shell *s, const struct event_row *e, struct buf *out)
{
    const struct public_event *p = &e->event;
    json_open(out, '{');
    json_id(s, out, "id", "evt_", e->key);
    json_kz(out, "type", event_type_name(p->type));
    json_ktime(out, "created_at", e->at_ms);
    json_id(s, out, "order", "ord_", e->order_key);
    json_ki64(out, "sequence", p->sequence);
    json_key(out, "data");
    json_open(out, '{');
    json_kz(out, "state", order_state_name(p->state));
    if (p->reason != REASON_NONE) json_kz(out, "reason", cancel_reason_name(p->reason));
    json_ki64(out, "amount", p->amount_fen);
    json_kstr(out, "currency", e->currency);
    if (p->payment_key) json_id(s, out, "payment", "pay_", p->payment_key);
    if (p->refund_key) json_id(s, out, "refund", "ref_", p->refund_key);
    json_close(out, '}');
    json_close(out, '}');
}

static const char *message_answer_name(enum message_answer a)
{
    static const char *const names[] = {"", "UNKNOWN", "COMMIT", "ROLLBACK"};
    return names[a];
}

void present_trace(const struct trace_row *row, struct buf *out)
{
    const struct trace *t = &row->trace;
    json_open(out, '{');
    json_ktime(out, "at", row->at_ms);
    json_kz(out, "kind", trace_kind_name(t->kind));
    if (t->kind == TRACE_STATE && row->from != ORDER_STATE_0) json_kz(out, "from", order_state_name(row->from));
    if (t->kind == TRACE_STATE) json_kz(out, "to", order_state_name(row->to));
    if (t->kind == TRACE_CHECKBACK) json_ki64(out, "n", t->n);
    if (t->answer != ANSWER_NONE) json_kz(out, "answer", message_answer_name(t->answer));
    if (t->channel != CHANNEL_ANY) json_kz(out, "channel", channel_name(t->channel));
    if (t->method != CALL_NONE) json_kz(out, "method", call_method_name(t->method));
    if (t->outcome != OUTCOME_0 && t->kind == TRACE_PROVIDER) {
        json_kz(out, "outcome", outcome_name(t->outcome));
        json_ki64(out, "ms", t->took_ms);
    }
    struct buf detail = {0};
    if (t->fact != FACT_NONE) buf_z(&detail, fact_name(t->fact));
    if (t->fact != FACT_NONE && t->detail[0]) buf_z(&detail, " ");
    buf_z(&detail, t->detail);
    if (detail.n) json_kstr(out, "detail", buf_view(&detail));
    buf_free(&detail);
    json_close(out, '}');
}

void present_cart(struct str cart, const struct cart_line *lines, unsigned n, struct buf *out)
{
    int64_t amount_fen = 0;
    json_open(out, '{');
    json_kstr(out, "cart", cart);
    json_key(out, "items");
    json_open(out, '[');
    for (unsigned i = 0; i < n; i++) {
        const struct cart_line *l = &lines[i];
        json_open(out, '{');
        json_kstr(out, "sku", l->sku.sku);
        json_kstr(out, "title", l->sku.title);
        json_ki64(out, "quantity", l->quantity);
        json_ki64(out, "price", l->sku.price_fen);
        json_close(out, '}');
        // Both are bounded (10^6 and 10^10), and 50 lines of 10^16 fit; only an order refuses what is too much to pay.
        amount_fen += l->quantity * l->sku.price_fen;
    }
    json_close(out, ']');
    json_ki64(out, "amount", amount_fen);
    json_kstr(out, "currency", n ? lines[0].sku.currency : STR("CNY"));
    json_close(out, '}');
}

void present_document(void *shell, const struct document *d, struct buf *out)
{
    switch (d->kind) {
    case DOCUMENT_ORDER: present_order(shell, d->order, out); break;
    case DOCUMENT_ORDER_AS_PLACED: {
        struct order_doc then = doc_as_placed(d->order);
        present_order(shell, &then, out);
        break;
    }
    case DOCUMENT_REFUND: present_refund(shell, d->order_key, d->refund, out); break;
    case DOCUMENT_SKU: present_sku(d->sku, out); break;
    case DOCUMENT_PAYMENT: present_payment(shell, d->payment, d->order_key, out); break;
    }
}
