// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka needs the four above first
#include <cmocka.h>

#include "base/buf.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static void assert_text(const struct buf *b, const char *expected)
{
    assert_false(b->failed);
    assert_int_equal(b->n, strlen(expected));
    assert_memory_equal(b->p, expected, b->n);
}

static void appends_keep_every_byte_while_growing(void **state)
{
    (void)state;
    struct buf b = {0};
    for (unsigned i = 0; i < 100000; i++)
        buf_char(&b, (char)(i * 31 & 255));
    assert_false(b.failed);
    assert_int_equal(b.n, 100000);
    assert_true(b.cap >= b.n);
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal((unsigned char)b.p[i], i * 31 & 255);
    buf_free(&b);
    assert_null(b.p);
    assert_int_equal(b.cap, 0);
}

static void reserved_room_is_not_moved(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_true(buf_reserve(&b, 5000));
    const char *p = b.p;
    for (int i = 0; i < 5000; i++)
        buf_char(&b, 'x');
    assert_ptr_equal(b.p, p);
    buf_clear(&b);
    assert_int_equal(b.n, 0);
    assert_ptr_equal(b.p, p);
    buf_free(&b);
}

static void integers_are_written_to_their_limits(void **state)
{
    (void)state;
    static const int64_t values[] = {0, 7, -1, 10, 99, -100, INT64_MAX, INT64_MIN, INT64_MIN + 1};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char expected[32];
        struct buf b = {0};
        (void)snprintf(expected, sizeof expected, "%lld", (long long)values[i]);
        buf_i64(&b, values[i]);
        assert_text(&b, expected);
        buf_free(&b);
    }
}

static void printf_appends_longer_texts_than_there_is_room(void **state)
{
    (void)state;
    char long_text[1001];
    memset(long_text, 'y', 1000);
    long_text[1000] = 0;
    struct buf b = {0};
    buf_z(&b, "a");
    buf_printf(&b, "%d-%s-%d", 12, long_text, 34);
    assert_int_equal(b.n, 1 + 3 + 1000 + 3);
    assert_memory_equal(b.p, "a12-yyy", 7);
    assert_memory_equal(b.p + b.n - 4, "y-34", 4);
    buf_free(&b);
}

static void a_failed_allocation_makes_every_append_a_no_op(void **state)
{
    (void)state;
    struct buf b = {0};
    buf_z(&b, "kept");
    assert_false(buf_reserve(&b, SIZE_MAX - 8));
    assert_true(b.failed);
    buf_z(&b, "x");
    buf_char(&b, 'x');
    buf_i64(&b, 1);
    buf_printf(&b, "%d", 1);
    json_open(&b, '{');
    json_kz(&b, "a", "b");
    assert_false(buf_reserve(&b, 1));
    assert_true(b.failed);
    assert_int_equal(b.n, 4);
    assert_memory_equal(b.p, "kept", 4);
    buf_clear(&b);
    buf_z(&b, "again");
    assert_text(&b, "again");
    buf_free(&b);
}

static void an_impossible_size_fails_without_overflow(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_false(buf_reserve(&b, SIZE_MAX));
    assert_true(b.failed);
    assert_null(b.p);
    buf_free(&b);
}

static void commas_stand_between_and_nowhere_else(void **state)
{
    (void)state;
    struct buf b = {0};
    json_open(&b, '{');
    json_kz(&b, "a", "x");
    json_ki64(&b, "b", -5);
    json_key(&b, "c");
    json_open(&b, '[');
    json_i64(&b, 1);
    json_bool(&b, true);
    json_nil(&b);
    json_open(&b, '[');
    json_close(&b, ']');
    json_open(&b, '{');
    json_close(&b, '}');
    json_z(&b, "");
    json_close(&b, ']');
    json_key(&b, "d");
    json_raw(&b, STR("{\"e\":1}"));
    json_key(&b, "f");
    json_bool(&b, false);
    json_kstr(&b, "g", STR("[{:"));
    json_ktime(&b, "h", INT64_C(1795399500123));
    json_close(&b, '}');
    assert_text(&b, "{\"a\":\"x\",\"b\":-5,\"c\":[1,true,null,[],{},\"\"],\"d\":{\"e\":1},\"f\":false,"
                    "\"g\":\"[{:\",\"h\":\"2026-11-23T02:05:00.123Z\"}");
    buf_free(&b);
}

static void control_characters_quote_and_backslash_are_escaped(void **state)
{
    (void)state;
    struct buf b = {0};
    json_str(&b, STR("a\"b\\c\nd\re\tf\001g\033h\177i/é"));
    assert_text(&b, "\"a\\\"b\\\\c\\nd\\re\\tf\\u0001g\\u001bh\\u007fi/é\"");
    buf_free(&b);
}

static void every_ascii_character_reads_back_as_it_was(void **state)
{
    (void)state;
    char text[127];
    for (int i = 0; i < 127; i++)
        text[i] = (char)(i + 1);
    struct buf b = {0};
    json_open(&b, '[');
    json_str(&b, (struct str){text, sizeof text});
    json_str(&b, (struct str){0});
    json_close(&b, ']');
    json_t *read = json_loadb(b.p, b.n, 0, NULL);
    assert_non_null(read);
    const json_t *first = json_array_get(read, 0);
    assert_int_equal(json_string_length(first), sizeof text);
    assert_memory_equal(json_string_value(first), text, sizeof text);
    assert_int_equal(json_string_length(json_array_get(read, 1)), 0);
    json_decref(read);
    buf_free(&b);
}

static void utf8_characters_are_told_from_what_only_looks_like_them(void **state)
{
    (void)state;
    static const struct {
        struct str bytes;
        size_t length;
    } table[] = {
        {STR("a"), 1},
        {STR("\x7f"), 1},
        {STR(""), 0},
        {STR("\x80"), 0},
        {STR("\xc0\x80"), 0}, // overlong NUL
        {STR("\xc1\xbf"), 0},
        {STR("\xc2\x80"), 2},
        {STR("\xdf\xbf"), 2},
        {STR("\xc2"), 0},
        {STR("\xc2\x41"), 0},
        {STR("\xe0\x9f\xbf"), 0},
        {STR("\xe0\xa0\x80"), 3},
        {STR("\xed\x9f\xbf"), 3},
        {STR("\xed\xa0\x80"), 0}, // a surrogate
        {STR("\xef\xbf\xbf"), 3},
        {STR("\xe4\xb8"), 0},
        {STR("\xf0\x8f\xbf\xbf"), 0},
        {STR("\xf0\x90\x80\x80"), 4},
        {STR("\xf4\x8f\xbf\xbf"), 4},
        {STR("\xf4\x90\x80\x80"), 0}, // beyond U+10FFFF
        {STR("\xf5\x80\x80\x80"), 0},
        {STR("\xff"), 0},
        {STR("\xf0\x9f\x98"), 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        size_t got = str_utf8_len(table[i].bytes);
        if (got != table[i].length) fail_msg("row %zu: %zu, expected %zu", i, got, table[i].length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_keep_every_byte_while_growing),
        cmocka_unit_test(reserved_room_is_not_moved),
        cmocka_unit_test(integers_are_written_to_their_limits),
        cmocka_unit_test(printf_appends_longer_texts_than_there_is_room),
        cmocka_unit_test(a_failed_allocation_makes_every_append_a_no_op),
        cmocka_unit_test(an_impossible_size_fails_without_overflow),
        cmocka_unit_test(commas_stand_between_and_nowhere_else),
        cmocka_unit_test(control_characters_quote_and_backslash_are_escaped),
        cmocka_unit_test(every_ascii_character_reads_back_as_it_was),
        cmocka_unit_test(utf8_characters_are_told_from_what_only_looks_like_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
