// SPDX-License-Identifier: Apache-2.0
// What the files of the contract's tests share.
#ifndef TILL_TEST_STORE_CONTRACT_INSIDE_H
#define TILL_TEST_STORE_CONTRACT_INSIDE_H

#include "contract.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

// Of the test that runs.
extern struct shop shop;
extern struct reader *reader;

int contract_set_up(void **state); // a new store and a reader of it
int contract_tear_down(void **state);
void contract_reopen(void);
#define TEST(f) cmocka_unit_test_setup_teardown(f, contract_set_up, contract_tear_down)

#define LINES(...)                                                                                                     \
    (const struct line[])                                                                                              \
    {                                                                                                                  \
        __VA_ARGS__,                                                                                                   \
        {                                                                                                              \
            .sku = { NULL, 0 }                                                                                         \
        }                                                                                                              \
    }
#define LINE(name, quantity)                                                                                           \
    {                                                                                                                  \
        STR(name), STR("A thing"), quantity, 100                                                                       \
    }

void assert_str(struct str a, const char *z);
void assert_order_equal(const struct order *a, const struct order *b);
void assert_payment_equal(const struct payment *a, const struct payment *b);

int contract_run_reads(const char *adapter);    // contract_read.c; the number that failed
int contract_run_messages(const char *adapter); // contract_messages.c; likewise

#endif
