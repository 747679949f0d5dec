// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka needs the four above first
#include <cmocka.h>

#include "base/log.h"
#include "base/timetext.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define HEAD_LEN       (24 + 1 + 5 + 1) // time, level
#define LINE_MAX_BYTES 2048

static int real_stderr, capture[2];

static void capture_start(void)
{
    real_stderr = dup(STDERR_FILENO);
    assert_int_equal(pipe2(capture, O_CLOEXEC | O_NONBLOCK), 0);
    assert_true(dup2(capture[1], STDERR_FILENO) == STDERR_FILENO);
}

// What has been written since capture_start(), NUL-terminated. Its length.
static size_t capture_end(char *out, size_t size)
{
    (void)dup2(real_stderr, STDERR_FILENO);
    ssize_t n = read(capture[0], out, size - 1);
    close(real_stderr);
    close(capture[0]);
    close(capture[1]);
    size_t got = n > 0 ? (size_t)n : 0;
    out[got] = 0;
    return got;
}

static void stranger_bytes_are_escaped(void **state)
{
    (void)state;
    static const struct {
        const char *sent, *seen;
    } table[] = {
        {"plain text=1", "plain text=1"},
        {"", ""},
        {"a\r\n2026-11-23T02:05:00.123Z ERROR forged", "a\\r\\n2026-11-23T02:05:00.123Z ERROR forged"},
        {"\033[31mred\033[0m", "\\x1b[31mred\\x1b[0m"},
        {"\a\b\t\177", "\\x07\\x08\\t\\x7f"},
        {"say=\"hi\" \\n", "say=\\\"hi\\\" \\\\n"},
        {"\xff\xfe", "\\xff\\xfe"},
        {"\xc0\xaf", "\\xc0\\xaf"},
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"},
        {"cut \xe6\x94", "cut \\xe6\\x94"},
        {"\xe6\x94\xaf\xe4\xbb\x98 \xf0\x9f\x98\x80", "\xe6\x94\xaf\xe4\xbb\x98 \xf0\x9f\x98\x80"},
        {"\xc2\x9b"
         "31m",
         "\\xc2\\x9b31m"},                                              // CSI, as one character
        {"\xc2\x85\xc2\xa0", "\\xc2\\x85\xc2\xa0"},                     // NEL is one, the no-break space is not
        {"\xe2\x80\xa8\xe2\x80\xa9", "\\xe2\\x80\\xa8\\xe2\\x80\\xa9"}, // line and paragraph separator
        {"\xe2\x80\xae"
         "txt",
         "\\xe2\\x80\\xaetxt"}, // right to left
        {"\xe2\x81\xa6\xe2\x80\xa7", "\\xe2\\x81\\xa6\xe2\x80\xa7"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char out[4096], expected[4096];
        capture_start();
        log_error("http", "%s", table[i].sent);
        size_t n = capture_end(out, sizeof out);
        (void)snprintf(expected, sizeof expected, " ERROR http %s\n", table[i].seen);
        assert_true(n > 24);
        assert_string_equal(out + 24, expected);
    }
}

static void a_line_begins_with_time_level_and_area(void **state)
{
    (void)state;
    char out[4096];
    int64_t ms = 0;
    capture_start();
    log_info("engine", "started workers=%d", 4);
    log_warn("store", "slow");
    (void)capture_end(out, sizeof out);
    assert_true(time_from_rfc3339((struct str){out, 24}, &ms));
    assert_true(ms > INT64_C(1577836800000));
    char *second = strchr(out, '\n');
    assert_non_null(second);
    *second++ = 0;
    assert_string_equal(out + 24, " INFO  engine started workers=4");
    assert_string_equal(second + 24, " WARN  store slow\n");
}

static void levels_below_the_least_are_silent(void **state)
{
    (void)state;
    char out[4096];
    capture_start();
    log_debug("x", "not yet");
    assert_int_equal(capture_end(out, sizeof out), 0);
    log_set_level(LOG_ERROR);
    capture_start();
    log_warn("x", "no");
    log_error("x", "yes");
    (void)capture_end(out, sizeof out);
    assert_null(strstr(out, "no"));
    assert_non_null(strstr(out, "yes"));
    log_set_level(LOG_DEBUG);
    capture_start();
    log_debug("x", "now");
    assert_true(capture_end(out, sizeof out) > 0);
    log_set_level(LOG_INFO);
}

static void long_lines_are_cut_between_characters(void **state)
{
    (void)state;
    static const struct {
        const char *unit, *seen;
    } table[] = {{"a", "a"}, {"\n", "\\n"}, {"\xff", "\\xff"}, {"\xe6\x94\xaf", "\xe6\x94\xaf"}};
    for (size_t u = 0; u < sizeof table / sizeof table[0]; u++) {
        for (size_t shift = 0; shift < 4; shift++) {
            char sent[8192], out[8192];
            size_t n = 0, seen = strlen(table[u].seen);
            for (; n < shift; n++)
                sent[n] = '-';
            for (; n + 4 < sizeof sent; n += strlen(table[u].unit))
                memcpy(sent + n, table[u].unit, strlen(table[u].unit) + 1);
            capture_start();
            log_info("x", "%s", sent);
            size_t got = capture_end(out, sizeof out);
            assert_true(got <= LINE_MAX_BYTES && got > LINE_MAX_BYTES - 8);
            assert_memory_equal(out + got - 4, "...\n", 4);
            size_t body = got - 4 - (HEAD_LEN + 2 + shift);
            assert_int_equal(body % seen, 0);
            for (size_t i = 0; i < body; i += seen)
                assert_memory_equal(out + HEAD_LEN + 2 + shift + i, table[u].seen, seen);
        }
    }
}

static void a_line_that_just_fits_is_not_cut(void **state)
{
    (void)state;
    char sent[LINE_MAX_BYTES], out[8192];
    size_t room = LINE_MAX_BYTES - 4 - (HEAD_LEN + 2);
    memset(sent, 'a', sizeof sent);
    sent[room] = 0;
    capture_start();
    log_info("x", "%s", sent);
    size_t n = capture_end(out, sizeof out);
    assert_int_equal(n, LINE_MAX_BYTES - 3);
    assert_memory_equal(out + n - 2, "a\n", 2);
}

static void errno_survives(void **state)
{
    (void)state;
    char out[4096];
    capture_start();
    errno = ENOENT;
    log_error("x", "%m");
    int after = errno;
    (void)capture_end(out, sizeof out);
    assert_int_equal(after, ENOENT);
    assert_non_null(strstr(out, "No such file"));
    capture_start();
    close(STDERR_FILENO); // now the write itself fails
    errno = ENOENT;
    log_error("x", "y");
    after = errno;
    assert_int_equal(capture_end(out, sizeof out), 0);
    assert_int_equal(after, ENOENT);
}

static void *log_some(void *arg)
{
    for (int i = 0; i < 50; i++)
        log_info("thread", "who=%s end", (const char *)arg);
    return NULL;
}

static void lines_of_several_threads_never_mix(void **state)
{
    (void)state;
    static char out[65536];
    static char *names[] = {"aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", "cccccccccccccccc", "dddddddddddddddd"};
    pthread_t threads[4];
    capture_start();
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_some, names[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    (void)capture_end(out, sizeof out);
    int lines = 0;
    for (char *line = out, *end; (end = strchr(line, '\n')); line = end + 1, lines++) {
        *end = 0;
        char expected[64];
        assert_true(strlen(line) > HEAD_LEN + 11);
        (void)snprintf(expected, sizeof expected, "thread who=%s end", names[(line[HEAD_LEN + 11] - 'a') & 3]);
        assert_string_equal(line + HEAD_LEN, expected);
    }
    assert_int_equal(lines, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stranger_bytes_are_escaped),         cmocka_unit_test(a_line_begins_with_time_level_and_area),
        cmocka_unit_test(levels_below_the_least_are_silent),  cmocka_unit_test(long_lines_are_cut_between_characters),
        cmocka_unit_test(a_line_that_just_fits_is_not_cut),   cmocka_unit_test(errno_survives),
        cmocka_unit_test(lines_of_several_threads_never_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
