// SPDX-License-Identifier: Apache-2.0
// Striking the flows must have teeth, and what it once found stays found.
#include "sim.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
// after the above:
#include <cmocka.h>

#define OUTPUT_MAX ((size_t)1 << 20)

// Runs the command with these words (split at blanks); what it wrote, to either stream, is the caller's to free.
static char *say(const char *words, int *status)
{
    char copy[256], *argv[24];
    int argc = 0, fds[2] = {STDOUT_FILENO, STDERR_FILENO}, before[2];
    (void)snprintf(copy, sizeof copy, "%s", words);
    for (char *save = NULL, *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        argv[argc++] = word;
    FILE *to = tmpfile();
    assert_non_null(to);
    (void)fflush(NULL);
    for (int i = 0; i < 2; i++) {
        before[i] = dup(fds[i]);
        assert_true(before[i] >= 0 && dup2(fileno(to), fds[i]) == fds[i]);
    }
    *status = sim_main(argc, argv);
    (void)fflush(NULL);
    for (int i = 0; i < 2; i++) {
        (void)dup2(before[i], fds[i]);
        (void)close(before[i]);
    }
    char *text = calloc(1, OUTPUT_MAX);
    assert_non_null(text);
    rewind(to);
    (void)!fread(text, 1, OUTPUT_MAX - 1, to);
    (void)fclose(to);
    return text;
}

static void assert_survives(const char *words)
{
    int status;
    char *text = say(words, &status);
    assert_int_equal(status, 0);
    assert_non_null(strstr(text, "\"violations\":0}"));
    free(text);
}

static void every_place_of_a_flow_survives_a_power_loss(void **state)
{
    (void)state;
    assert_survives("--crash-points --flow new-store --journal wal --each 2");
}

// A read that failed while a turn was applied took the transaction back; what was written after it stayed.
static void a_failed_read_leaves_no_part_of_a_turn(void **state)
{
    (void)state;
    assert_survives("--io-errors --flow broker-elsewhere-paid --way eio --jobs 1");
}

// What was seen of the log after a failed sync was copied home, and the log itself was not on the disk.
static void a_failed_sync_and_a_power_loss_later_lose_nothing(void **state)
{
    (void)state;
    assert_survives("--io-errors --flow killed-often --way sync-then-power --each 9 --jobs 1");
}

// A new store took the change to a log for done, and it was not.
static void a_store_that_could_not_get_its_log_does_not_open(void **state)
{
    (void)state;
    assert_survives("--io-errors --flow new-store-first-order --way sync-then-power --jobs 1");
}

static void an_unlink_that_is_not_durable_is_caught_with_its_replay(void **state)
{
    (void)state;
    int status;
    char *text =
        say("--crash-points --flow paid --journal delete --lazy-unlink --way lost-all --each 4 --jobs 1", &status);
    assert_int_equal(status, 1);
    char *again = strstr(text, "again: till sim ");
    assert_non_null(strstr(text, " is violated: "));
    assert_non_null(again);
    char words[200];
    (void)snprintf(words, sizeof words, "%.*s", (int)strcspn(again + 16, "\n"), again + 16);
    free(text);
    text = say(words, &status);
    assert_int_equal(status, 1);
    assert_non_null(strstr(text, "the power fails, all unsynced writes are lost, inside a write"));
    free(text);
}

static void the_same_places_are_struck_the_same_way(void **state)
{
    (void)state;
    int status;
    const char *words = "--crash-points --flow cancelled --journal wal --way twice --point 30 --seed 5 --trace";
    char *first = say(words, &status), *second = say(words, &status);
    assert_string_equal(first, second);
    assert_non_null(strstr(first, "00:00:0"));
    free(first);
    free(second);
}

static void wrong_words_are_wrong_usage(void **state)
{
    (void)state;
    static const char *const wrong[] = {"--crash-points --what",  "--crash-points --way eio",
                                        "--io-errors --way torn", "--crash-points --journal of",
                                        "--io-errors --each 0",   "--no-memory",
                                        "--crash-points --point", "--crash-points --jobs 99"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int status;
        char *text = say(wrong[i], &status);
        assert_int_equal(status, 2);
        assert_non_null(strstr(text, "usage: till sim --crash-points"));
        free(text);
    }
}

static void a_flow_nobody_knows_is_no_success(void **state)
{
    (void)state;
    int status;
    free(say("--crash-points --flow nothing-like-it", &status));
    assert_int_equal(status, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_place_of_a_flow_survives_a_power_loss),
        cmocka_unit_test(a_failed_read_leaves_no_part_of_a_turn),
        cmocka_unit_test(a_failed_sync_and_a_power_loss_later_lose_nothing),
        cmocka_unit_test(a_store_that_could_not_get_its_log_does_not_open),
        cmocka_unit_test(an_unlink_that_is_not_durable_is_caught_with_its_replay),
        cmocka_unit_test(the_same_places_are_struck_the_same_way),
        cmocka_unit_test(wrong_words_are_wrong_usage),
        cmocka_unit_test(a_flow_nobody_knows_is_no_success),
    };
    return cmocka_run_group_tests_name("till sim --crash-points", tests, NULL, NULL);
}
