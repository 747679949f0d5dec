// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka needs the four above first
#include <cmocka.h>

#include "base/id.h"
#include <pthread.h>

#define NOW_MS INT64_C(1795399500123)

static const uint8_t SECRET[ID_SECRET_SIZE] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const uint8_t OTHER_SECRET[ID_SECRET_SIZE] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17};
static const char *const PREFIXES[] = {"ord_", "pay_", "ref_", "evt_", "whk_", ""};

static void a_key_says_when_it_was_made(void **state)
{
    (void)state;
    struct keygen g = {.node = 7};
    uint64_t key = keygen_take(&g, NOW_MS, 1);
    assert_int_equal(key_ms(key), NOW_MS);
    assert_int_equal(key >> 14 & 255, 7);
    assert_int_equal(key >> 63, 0);
}

static void keys_grow_whatever_the_clock_does(void **state)
{
    (void)state;
    struct keygen g = {.node = 255};
    uint64_t last = 0;
    uint32_t random = 12345;
    for (int i = 0; i < 200000; i++) {
        random = random * 1664525 + 1013904223;
        int64_t now_ms = NOW_MS + (int64_t)(random >> 20) - 2048; // back and forth by two seconds
        unsigned n = 1 + (random >> 8) % 64;
        uint64_t first = keygen_take(&g, now_ms, n);
        assert_true(first > last);
        assert_int_equal(first >> 14 & 255, 255);
        assert_int_equal((first + n - 1) >> 14, first >> 14); // consecutive: no carry into node or time
        last = first + n - 1;
    }
}

static void a_clock_gone_back_years_does_not_take_keys_with_it(void **state)
{
    (void)state;
    struct keygen g = {.node = 1};
    uint64_t a = keygen_take(&g, NOW_MS, 64);
    uint64_t b = keygen_take(&g, 0, 1);
    uint64_t c = keygen_take(&g, INT64_MIN, 1);
    assert_int_equal(b, a + 64);
    assert_int_equal(c, b + 1);
    assert_int_equal(key_ms(keygen_take(&g, NOW_MS + 1, 1)), NOW_MS + 1);
}

static void the_first_key_of_a_clock_before_the_epoch_is_not_zero(void **state)
{
    (void)state;
    struct keygen g = {0};
    assert_true(keygen_take(&g, 0, 1) > 0);
}

static void a_full_counter_borrows_from_the_next_millisecond(void **state)
{
    (void)state;
    struct keygen g = {.node = 3};
    uint64_t first = keygen_take(&g, NOW_MS, 64);
    for (int i = 1; i < 256; i++)
        assert_int_equal(keygen_take(&g, NOW_MS, 64), first + 64 * (uint64_t)i);
    assert_int_equal(g.last & 16383, 16383); // every counter of the millisecond was used
    uint64_t next = keygen_take(&g, NOW_MS, 64);
    assert_int_equal(key_ms(next), NOW_MS + 1);
    assert_int_equal(next & 16383, 0);
    assert_int_equal(next >> 14 & 255, 3);
}

static void a_range_that_does_not_fit_starts_a_new_millisecond_whole(void **state)
{
    (void)state;
    struct keygen g = {.node = 3};
    for (int i = 0; i < 16383; i++)
        (void)keygen_take(&g, NOW_MS, 1);
    uint64_t pair = keygen_take(&g, NOW_MS, 2);
    assert_int_equal(key_ms(pair), NOW_MS + 1);
    assert_int_equal(key_ms(pair + 1), NOW_MS + 1);
}

static void keys_grow_past_those_of_a_higher_node(void **state)
{
    (void)state;
    struct keygen high = {.node = 200};
    struct keygen low = {.node = 3};
    low.last = keygen_take(&high, NOW_MS, 5) + 4;
    uint64_t before = low.last, key = keygen_take(&low, NOW_MS, 1);
    assert_true(key > before);
    assert_int_equal(key >> 14 & 255, 3);
}

static void parsing_undoes_formatting(void **state)
{
    (void)state;
    static const uint64_t keys[] = {0, 1, 31, 32, UINT64_C(0x7fffffffffffffff), UINT64_C(0x4000000000000000)};
    struct keygen g = {.node = 9};
    for (size_t p = 0; p < sizeof PREFIXES / sizeof PREFIXES[0]; p++) {
        for (size_t i = 0; i < 1000; i++) {
            uint64_t key = i < 6 ? keys[i] : keygen_take(&g, NOW_MS, 1), got = 42;
            char text[ID_TEXT_SIZE];
            id_format(SECRET, PREFIXES[p], key, text);
            assert_int_equal(strlen(text), strlen(PREFIXES[p]) + ID_TEXT_LEN);
            assert_true(id_parse(SECRET, PREFIXES[p], str_of(text), &got));
            assert_int_equal(got, key);
        }
    }
}

static void texts_sort_as_their_keys_do(void **state)
{
    (void)state;
    struct keygen g = {.node = 9};
    char last[ID_TEXT_SIZE] = "", text[ID_TEXT_SIZE];
    for (int i = 0; i < 2000; i++) {
        id_format(SECRET, "ord_", keygen_take(&g, NOW_MS + i / 3, 17), text);
        assert_true(strcmp(text, last) > 0);
        memcpy(last, text, sizeof text);
    }
}

static void every_single_character_change_is_refused(void **state)
{
    (void)state;
    char text[ID_TEXT_SIZE];
    id_format(SECRET, "ord_", (UINT64_C(217562700123) << 22) | 77, text);
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        char good = text[i];
        for (int c = 0; c < 256; c++) {
            if ((char)c == good) continue;
            uint64_t key = 42;
            text[i] = (char)c;
            if (id_parse(SECRET, "ord_", (struct str){text, n}, &key)) fail_msg("byte %d at %zu was accepted", c, i);
            assert_int_equal(key, 42);
        }
        text[i] = good;
    }
}

static void an_id_of_another_length_prefix_or_secret_is_refused(void **state)
{
    (void)state;
    char text[ID_TEXT_SIZE + 1] = "";
    uint64_t key = 42;
    id_format(SECRET, "ord_", 123456789, text);
    size_t n = strlen(text);
    assert_true(id_parse(SECRET, "ord_", (struct str){text, n}, &key));
    key = 42;
    assert_false(id_parse(SECRET, "pay_", (struct str){text, n}, &key));
    assert_false(id_parse(SECRET, "", (struct str){text, n}, &key));
    assert_false(id_parse(SECRET, "ord_", (struct str){text + 4, n - 4}, &key));
    assert_false(id_parse(SECRET, "ord_", (struct str){text, n + 1}, &key));
    for (size_t shorter = 0; shorter < n; shorter++)
        assert_false(id_parse(SECRET, "ord_", (struct str){text, shorter}, &key));
    assert_false(id_parse(SECRET, "ord_", (struct str){0}, &key));
    assert_false(id_parse(OTHER_SECRET, "ord_", (struct str){text, n}, &key));
    assert_int_equal(key, 42);
}

static void bits_beyond_a_key_are_refused(void **state)
{
    (void)state;
    char good[ID_TEXT_SIZE], wrapped[ID_TEXT_SIZE];
    uint64_t key = 42;
    id_format(SECRET, "", 5, good);
    memcpy(wrapped, good, sizeof good);
    wrapped[0] = 'g'; // bit 64: dropped by a careless reader, and the key would be 5 again
    assert_false(id_parse(SECRET, "", str_of(wrapped), &key));
    assert_int_equal(key, 42);
}

static void hashes_depend_on_where_parts_end(void **state)
{
    (void)state;
    const struct str a[] = {STR("ab"), STR("c")}, b[] = {STR("a"), STR("bc")}, c[] = {STR("abc")};
    const struct str d[] = {STR("abc"), STR("")};
    struct hash128 h[] = {id_hash(SECRET, a, 2), id_hash(SECRET, b, 2), id_hash(SECRET, c, 1),
                          id_hash(SECRET, d, 2), id_hash(SECRET, a, 0), id_hash(OTHER_SECRET, a, 2)};
    for (size_t i = 0; i < 6; i++)
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(&h[i], &h[j], sizeof h[i]);
    struct hash128 again = id_hash(SECRET, a, 2);
    assert_memory_equal(&again, &h[0], sizeof again);
}

static void *format_many(void *arg)
{
    uintptr_t wrong = 0;
    for (uint64_t i = 0; i < 5000; i++) {
        char text[ID_TEXT_SIZE];
        uint64_t key = i * 7 + *(uint64_t *)arg, got = 0;
        id_format(SECRET, "ord_", key, text);
        wrong += !id_parse(SECRET, "ord_", str_of(text), &got) || got != key;
    }
    return (void *)wrong;
}

static void threads_do_not_disturb_each_other(void **state)
{
    (void)state;
    pthread_t threads[4];
    uint64_t starts[4] = {0, 1000000, 2000000, 3000000};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, format_many, &starts[i]), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_says_when_it_was_made),
        cmocka_unit_test(keys_grow_whatever_the_clock_does),
        cmocka_unit_test(a_clock_gone_back_years_does_not_take_keys_with_it),
        cmocka_unit_test(the_first_key_of_a_clock_before_the_epoch_is_not_zero),
        cmocka_unit_test(a_full_counter_borrows_from_the_next_millisecond),
        cmocka_unit_test(a_range_that_does_not_fit_starts_a_new_millisecond_whole),
        cmocka_unit_test(keys_grow_past_those_of_a_higher_node),
        cmocka_unit_test(parsing_undoes_formatting),
        cmocka_unit_test(texts_sort_as_their_keys_do),
        cmocka_unit_test(every_single_character_change_is_refused),
        cmocka_unit_test(an_id_of_another_length_prefix_or_secret_is_refused),
        cmocka_unit_test(bits_beyond_a_key_are_refused),
        cmocka_unit_test(hashes_depend_on_where_parts_end),
        cmocka_unit_test(threads_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
