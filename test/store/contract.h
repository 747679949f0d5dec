// SPDX-License-Identifier: Apache-2.0
// The contract of port/store.h as tests. Any adapter runs them: it says how it is opened.
#ifndef TILL_TEST_STORE_CONTRACT_H
#define TILL_TEST_STORE_CONTRACT_H

#include "shop.h"

// Runs all of them; the number that failed.
int store_contract_run(const char *adapter, const struct store_maker *maker);

#endif
