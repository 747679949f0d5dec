// SPDX-License-Identifier: Apache-2.0
// Strangers' bytes as an answer of the gateway. Unsigned ones are unknown, always. Half of the runs go on
// behind the signature: the input becomes the signed node, and what is then said must be consistent. The
// second byte chooses the method.
#include "channel/alipay_wire.h"
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

static struct crypto_key *signer;
static struct alipay_app app = {.gateway = "", .app_id = "1", .seller_id = "", .notify_url = ""};

// By whatever runs this, libFuzzer or replay.c.
static void prepare(void)
{
    struct buf pkcs8 = {0}, pkcs1 = {0}, spki = {0};
    char why[160];
    if (signer) return;
    require(crypto_rsa_generate(&pkcs8, &pkcs1, &spki));
    signer = crypto_private_key_parse(buf_view(&pkcs8), why);
    app.alipay_key = crypto_public_key_parse(buf_view(&spki), why);
    require(signer && app.alipay_key);
    buf_free(&pkcs8);
    buf_free(&pkcs1);
    buf_free(&spki);
}

static void check(const struct answer *a)
{
    bool money = a->fact == FACT_PAID || a->fact == FACT_PAID_AND_REFUNDED;
    require(a->outcome == OUTCOME_DONE || a->outcome == OUTCOME_REFUSED || a->outcome == OUTCOME_UNKNOWN);
    require(a->outcome != OUTCOME_UNKNOWN || a->fact == FACT_NONE);
    require(a->outcome != OUTCOME_DONE || a->fact != FACT_NONE);
    require(money == (a->captured_fen > 0));
    require(a->captured_fen <= AMOUNT_MAX_FEN);
    require(memchr(a->detail, 0, sizeof a->detail));
    require(memchr(a->provider_trade_no, 0, sizeof a->provider_trade_no));
    require((a->fact == FACT_CODE) == (a->code.n > 0));
}

static void signed_body(enum call_method method, struct str node, struct buf *body)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s", alipay_method(method));
    for (char *p = name; *p; p++)
        if (*p == '.') *p = '_';
    buf_printf(body, "{\"%s_response\":", name);
    buf_str(body, node);
    buf_z(body, ",\"sign\":\"");
    require(crypto_rsa2_sign(signer, node, body));
    buf_z(body, "\"}");
}

// Whatever the bytes, a member found lies inside them.
static void check_member(struct str in)
{
    struct str value = {0};
    if (!alipay_member_raw(in, "sign", &value)) return;
    require(value.n > 0 && value.p >= in.p && value.p + value.n <= in.p + in.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct answer a = {0};
    struct buf body = {0}, text = {0};
    if (size < 2) return 0;
    prepare();
    struct str in = {(const char *)data + 2, size - 2};
    struct call call = {.method = CALL_CREATE + data[1] % 6, .amount_fen = 100, .total_fen = 100};
    bool behind = data[0] & 1;
    if (behind) signed_body(call.method, in, &body);
    struct call_reply reply = {.status = 200, .body = behind ? buf_view(&body) : in};
    alipay_answer(&app, &call, &reply, &a, &text);
    require(behind || a.outcome == OUTCOME_UNKNOWN);
    check(&a);
    check_member(in);
    buf_free(&body);
    buf_free(&text);
    return 0;
}
