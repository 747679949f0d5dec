// SPDX-License-Identifier: Apache-2.0
// Anything at all as a bill: either it is refused with a reason and nothing handed out, or every row is a positive
// amount under a number.
#include "base/timetext.h"
#include "channel/bill.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

static void check(bool ok, struct bill_rows *rows, const char *why)
{
    require(memchr(why, 0, BILL_WHY_SIZE));
    require(ok || (why[0] && !rows->rows && rows->n == 0));
    for (unsigned i = 0; i < rows->n; i++) {
        const struct bill_row *r = &rows->rows[i];
        require(r->amount_fen > 0 && r->amount_fen <= AMOUNT_MAX_FEN && r->at_ms > 0);
        require(r->number[0] && r->provider_trade_no[0] && memchr(r->number, 0, sizeof r->number));
        require(r->kind == BILL_CAPTURE || r->kind == BILL_REFUND);
    }
    bill_rows_free(rows);
}

// The table in GBK, and the archive around it.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bill_rows rows;
    char why[BILL_WHY_SIZE] = "";
    int64_t day_ms = 0;
    struct str in = {(const char *)data, size};
    require(day_from_beijing(STR("2026-11-23"), &day_ms));
    bool ok = alipay_bill_read_text(in, day_ms, &rows, why);
    check(ok, &rows, why);
    why[0] = 0;
    ok = alipay_bill_read(in, day_ms, &rows, why);
    check(ok, &rows, why);
    return 0;
}
