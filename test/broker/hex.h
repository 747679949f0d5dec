// SPDX-License-Identifier: Apache-2.0
// Recorded bytes as bytes again.
#ifndef TILL_TEST_BROKER_HEX_H
#define TILL_TEST_BROKER_HEX_H

// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <stdlib.h>
#include <string.h>

static inline unsigned nibble(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
}

// A block of exactly that size, so that reading ahead is seen.
static inline char *from_hex(const char *hex, size_t *n)
{
    *n = strlen(hex) / 2;
    char *bytes = malloc(*n ? *n : 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < *n; i++)
        bytes[i] = (char)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
    return bytes;
}

#endif
