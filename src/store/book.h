// SPDX-License-Identifier: Apache-2.0
// What the store says of money that moved, for whoever compares it with a provider's bill: one snapshot, read only; may
// be taken beside a server.
#ifndef TILL_STORE_BOOK_H
#define TILL_STORE_BOOK_H

#include "core/order.h"

struct book_row {
    enum channel_id channel;
    bool is_refund; // else an attempt to pay
    uint64_t order_key, payment_key;
    uint64_t number_key; // is_refund: the key whose text is its number at the provider
    int64_t amount_fen;  // captured, 0 as long as nothing was; of a refund what goes back
    // The money moved somewhere between these two: the provider's own instant is not kept.
    int64_t began_ms;   // before this it cannot have moved
    int64_t settled_ms; // when we came to know; 0: not yet
    bool is_failed;     // a refund that came to nothing
};

struct book;
struct book *book_open(const char *path, char why[200]); // NULL with a reason
void book_close(struct book *b);                         // NULL allowed
const uint8_t *book_secret(const struct book *b);        // of the ids
int64_t book_last_ms(const struct book *b);              // of its last commit

// False: it cannot be read.
bool book_payment(struct book *b, uint64_t payment_key, struct book_row *out, bool *found);
// The refund of this payment under that number; with number_key 0 one of this amount that the provider made by itself,
// whose number we need not know.
bool book_refund(struct book *b, uint64_t payment_key, uint64_t number_key, int64_t amount_fen, struct book_row *out,
                 bool *found);
// Every capture and every refund of a channel that we came to know of in this time.
bool book_settled(struct book *b, enum channel_id channel, int64_t from_ms, int64_t until_ms,
                  bool (*row)(void *ctx, const struct book_row *r), void *ctx);

#endif
