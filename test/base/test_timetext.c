// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka needs the four above first
#include <cmocka.h>

#include "base/timetext.h"

#define DAY_MS INT64_C(86400000)

static void known_instants_are_written_as_everyone_writes_them(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *utc, *beijing;
    } table[] = {
        {0, "1970-01-01T00:00:00.000Z", "1970-01-01 08:00:00"},
        {-1, "1969-12-31T23:59:59.999Z", "1970-01-01 07:59:59"},
        {INT64_C(951782400000), "2000-02-29T00:00:00.000Z", "2000-02-29 08:00:00"},
        {INT64_C(951868799999), "2000-02-29T23:59:59.999Z", "2000-03-01 07:59:59"},
        {INT64_C(1709164800000), "2024-02-29T00:00:00.000Z", "2024-02-29 08:00:00"},
        {INT64_C(1795399500123), "2026-11-23T02:05:00.123Z", "2026-11-23 10:05:00"},
        {INT64_C(4107542400000), "2100-03-01T00:00:00.000Z", "2100-03-01 08:00:00"},
        {INT64_C(4107542399000), "2100-02-28T23:59:59.000Z", "2100-03-01 07:59:59"},
        {INT64_C(253402300799999), "9999-12-31T23:59:59.999Z", "9999-12-31 23:59:59"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z", "9999-12-31 23:59:59"},
        {INT64_MIN, "0000-01-01T00:00:00.000Z", "0000-01-01 08:00:00"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char text[TIME_TEXT_SIZE];
        time_to_rfc3339(table[i].ms, text);
        assert_string_equal(text, table[i].utc);
        time_to_beijing(table[i].ms, text);
        assert_string_equal(text, table[i].beijing);
    }
}

static void every_day_of_five_centuries_reads_back(void **state)
{
    (void)state;
    int64_t from = INT64_C(-5364662400000); // 1800-01-01
    for (int64_t day = 0; day < 500 * 366; day++) {
        int64_t ms = from + day * DAY_MS + day * 7919 % DAY_MS, got = -1;
        char text[TIME_TEXT_SIZE];
        time_to_rfc3339(ms, text);
        assert_true(time_from_rfc3339(str_of(text), &got));
        assert_int_equal(got, ms);
        time_to_beijing(ms, text);
        assert_true(time_from_beijing(str_of(text), &got));
        int64_t whole_second = ms - ((ms % 1000) + 1000) % 1000;
        assert_int_equal(got, whole_second);
    }
}

static void offsets_and_fractions_name_the_same_instant(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "2026-11-23T02:05:00.12Z",          "2026-11-23T10:05:00.120+08:00", "2026-11-22T21:05:00.1200-05:00",
        "2026-11-23T07:50:00.120999+05:45", "2026-11-23T02:05:00.120-00:00", "2026-11-24T02:04:00.12+23:59",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int64_t ms = 0;
        if (!time_from_rfc3339(str_of(texts[i]), &ms)) fail_msg("%s was refused", texts[i]);
        assert_int_equal(ms, INT64_C(1795399500120));
    }
}

static void bad_texts_are_refused_and_change_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "2026",
        "2026-11-23",
        "2026-11-23T02:05:00",
        "2026-11-23 02:05:00Z",
        "2026-11-23T02:05:00.Z",
        "2026-11-23T02:05:00.123",
        "2026-11-23T02:05:00.123Zx",
        "2026-11-23T02:05:00.123Z ",
        " 2026-11-23T02:05:00.123Z",
        "2026-11-23T02:05Z",
        "2026-00-23T02:05:00Z",
        "2026-13-23T02:05:00Z",
        "2026-11-00T02:05:00Z",
        "2026-11-31T02:05:00Z",
        "2026-02-29T02:05:00Z",
        "2100-02-29T02:05:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T02:60:00Z",
        "2026-11-23T02:05:60Z",
        "2026-11-23T02:05:00+8:00",
        "2026-11-23T02:05:00+0800",
        "2026-11-23T02:05:00+24:00",
        "2026-11-23T02:05:00+08:60",
        "2026-11-23T02:05:00+08",
        "2026-11-23T02:05:00Z+08:00",
        "+026-11-23T02:05:00Z",
        "-026-11-23T02:05:00Z",
        "2026-1-23T02:05:00Z",
        "20261-11-23T02:05:00Z",
        "2026-11-23T02:05:00,5Z",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int64_t ms = 42;
        if (time_from_rfc3339(str_of(texts[i]), &ms)) fail_msg("'%s' was accepted", texts[i]);
        assert_int_equal(ms, 42);
    }
}

static void bad_beijing_texts_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "2026-11-23T10:05:00",
        "2026-11-23 10:05",
        "2026-11-23 10:05:00 ",
        "2026-11-23 10:05:00.5",
        "2026-11-23 10:05:00Z",
        "2023-02-29 10:05:00",
        "2026/11/23 10:05:00",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int64_t ms = 42;
        if (time_from_beijing(str_of(texts[i]), &ms)) fail_msg("'%s' was accepted", texts[i]);
        assert_int_equal(ms, 42);
    }
}

static void no_prefix_of_an_instant_is_an_instant(void **state)
{
    (void)state;
    struct str whole = STR("2026-11-23T10:05:00.123+08:00");
    int64_t ms = 42;
    for (size_t n = 0; n < whole.n; n++)
        assert_false(time_from_rfc3339((struct str){whole.p, n}, &ms));
    assert_int_equal(ms, 42);
    assert_true(time_from_rfc3339(whole, &ms));
}

static void durations_read_back_in_their_shortest_form(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
        const char *shortest;
    } table[] = {
        {"90s", 90000, "90s"},
        {"5m", 300000, "5m"},
        {"2h", 7200000, "2h"},
        {"15d", 15 * DAY_MS, "15d"},
        {"500ms", 500, "500ms"},
        {"0s", 0, "0s"},
        {"0ms", 0, "0s"},
        {"60s", 60000, "1m"},
        {"24h", DAY_MS, "1d"},
        {"1000ms", 1000, "1s"},
        {"007s", 7000, "7s"},
        {"90m", 5400000, "90m"},
        {"9223372036854775799ms", INT64_C(9223372036854775799), "9223372036854775799ms"},
        {"106751991167d", 106751991167 * DAY_MS, "106751991167d"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        int64_t ms = -1;
        char text[TIME_TEXT_SIZE];
        if (!duration_parse(str_of(table[i].text), &ms)) fail_msg("'%s' was refused", table[i].text);
        assert_int_equal(ms, table[i].ms);
        duration_text(ms, text);
        assert_string_equal(text, table[i].shortest);
    }
}

static void bad_durations_are_refused_and_change_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "5",
        "s",
        "-5s",
        "+5s",
        "5 s",
        " 5s",
        "5s ",
        "1.5h",
        "5S",
        "5min",
        "5mm",
        "1h30m",
        "5sec ",
        "0x5s",
        "5w",
        "ms",
        "d",
        "5d5",
        "106751991168d",
        "99999999999999999999s",
        "9223372036854775808ms",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        int64_t ms = 42;
        if (duration_parse(str_of(texts[i]), &ms)) fail_msg("'%s' was accepted", texts[i]);
        assert_int_equal(ms, 42);
    }
}

static void instants_are_written_for_http(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } known[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {784111777000, "Sun, 06 Nov 1994 08:49:37 GMT"}, // the example of RFC 9110
        {1795744799999, "Fri, 27 Nov 2026 01:59:59 GMT"},
        {-1, "Thu, 01 Jan 1970 00:00:00 GMT"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        char text[TIME_TEXT_SIZE];
        time_to_http(known[i].ms, text);
        assert_string_equal(text, known[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_instants_are_written_as_everyone_writes_them),
        cmocka_unit_test(every_day_of_five_centuries_reads_back),
        cmocka_unit_test(offsets_and_fractions_name_the_same_instant),
        cmocka_unit_test(bad_texts_are_refused_and_change_nothing),
        cmocka_unit_test(bad_beijing_texts_are_refused),
        cmocka_unit_test(no_prefix_of_an_instant_is_an_instant),
        cmocka_unit_test(durations_read_back_in_their_shortest_form),
        cmocka_unit_test(bad_durations_are_refused_and_change_nothing),
        cmocka_unit_test(instants_are_written_for_http),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
