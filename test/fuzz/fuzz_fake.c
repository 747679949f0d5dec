// SPDX-License-Identifier: Apache-2.0
// Strangers' bytes as an answer of the bank for tests, and as its notification. The first byte chooses the method, and
// whether the body is signed; the rest is the body. Nothing unsigned proves anything, and what is said behind a good
// signature must be consistent.
#include "channel/fake.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

static const struct fake FAKE = {.base_url = "http://127.0.0.1:1", .account = "1", .key = "k"};

static struct str header(void *ctx, const char *name)
{
    (void)name;
    return str_of(ctx);
}

static void judge_answer(enum call_method method, struct str body, bool is_signed)
{
    struct call call = {.method = method, .payment_key = 1, .number_key = 2, .amount_fen = 100, .total_fen = 100};
    struct answer a = {0};
    struct buf text = {0};
    char mac[MAC_TEXT] = "", headers[96] = "";
    require(sign(&FAKE, "answer", body, mac));
    if (is_signed) (void)snprintf(headers, sizeof headers, "Fake-Signature: %s\r\n", mac);
    struct call_reply reply = {.status = 200, .headers = str_of(headers), .body = body};
    fake_judge((void *)&FAKE, &call, &reply, &a, &text);
    require(is_signed || a.outcome == OUTCOME_UNKNOWN);
    require(a.outcome == OUTCOME_DONE || a.outcome == OUTCOME_REFUSED || a.outcome == OUTCOME_UNKNOWN);
    require(a.outcome != OUTCOME_UNKNOWN || a.fact == FACT_NONE);
    require((a.fact == FACT_PAID) == (a.captured_fen > 0) && a.captured_fen <= AMOUNT_MAX_FEN);
    require((a.fact == FACT_PAID) == (a.provider_trade_no[0] != 0));
    require((a.fact == FACT_CODE) == (a.code.n > 0) && a.code.n <= CHANNEL_CODE_MAX);
    require(memchr(a.detail, 0, sizeof a.detail) && memchr(a.provider_trade_no, 0, sizeof a.provider_trade_no));
    buf_free(&text);
}

static void judge_notice(struct str body, bool is_signed)
{
    struct notice n;
    char mac[MAC_TEXT] = "";
    if (is_signed) require(sign(&FAKE, "notice", body, mac));
    struct notice_in in = {.body = body, .header = header, .header_ctx = mac};
    enum notice_verdict v = fake_channel_judge((struct channel *)&FAKE, &in, &n);
    require(is_signed || v == NOTICE_FORGED || v == NOTICE_MALFORMED);
    require((v == NOTICE_GOOD) == (n.answer.captured_fen > 0));
    require((v == NOTICE_GOOD) == (n.answer.provider_trade_no[0] != 0));
    require(v == NOTICE_GOOD || n.answer.payment_key == 0);
    require(memchr(n.number, 0, sizeof n.number) && memchr(n.why, 0, sizeof n.why));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    struct str body = {(const char *)data + 1, size - 1};
    judge_answer((enum call_method)(data[0] / 2 % 7), body, data[0] & 1);
    judge_notice(body, data[0] & 1);
    return 0;
}
