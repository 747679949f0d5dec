// SPDX-License-Identifier: Apache-2.0
// The command as its users meet it: what it prints, how it ends, and that a seed is a seed.
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

#define OUTPUT_MAX ((size_t)4 << 20)

// Runs the command with these words (split at blanks); what it wrote to `fd` is the caller's to free.
static char *say(const char *words, int fd, int *status)
{
    char copy[256], *argv[16];
    int argc = 0;
    (void)snprintf(copy, sizeof copy, "%s", words);
    for (char *save = NULL, *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
        argv[argc++] = word;
    FILE *to = tmpfile();
    assert_non_null(to);
    (void)fflush(NULL);
    int before = dup(fd);
    assert_true(before >= 0 && dup2(fileno(to), fd) == fd);
    *status = sim_main(argc, argv);
    (void)fflush(NULL);
    (void)dup2(before, fd);
    (void)close(before);
    char *text = calloc(1, OUTPUT_MAX);
    assert_non_null(text);
    rewind(to);
    (void)!fread(text, 1, OUTPUT_MAX - 1, to);
    (void)fclose(to);
    return text;
}

static void the_same_seeds_give_the_same_story(void **state)
{
    (void)state;
    int first_status, second_status;
    char *first = say("--seed 7 --runs 60", STDOUT_FILENO, &first_status);
    char *between = say("--seed 900 --runs 3", STDOUT_FILENO, &second_status); // leaves its traces in memory
    char *second = say("--seed 7 --runs 60", STDOUT_FILENO, &second_status);
    assert_int_equal(first_status, 0);
    assert_string_equal(first, second);
    assert_non_null(strstr(first, "\"violations\":0,\"trace_hash\":\""));
    assert_string_not_equal(first, between);
    free(first);
    free(between);
    free(second);
}

static void a_seed_does_not_depend_on_what_ran_before_it(void **state)
{
    (void)state;
    int status;
    char *alone = say("--seed 12 --runs 1 --trace", STDOUT_FILENO, &status);
    char *later = say("--seed 10 --runs 3 --trace", STDOUT_FILENO, &status);
    char *end = strrchr(alone, '{');
    assert_non_null(end);
    end = strstr(alone, "{\"seed\"");
    assert_non_null(end);
    *end = 0;
    assert_non_null(strstr(later, alone));
    free(alone);
    free(later);
}

static void the_story_is_for_people(void **state)
{
    (void)state;
    int status;
    char *text = say("--seed 3 --runs 1 --faults none --trace", STDOUT_FILENO, &status);
    assert_int_equal(status, 0);
    assert_non_null(strstr(text, "00:00:01."));
    assert_non_null(strstr(text, "asks to place"));
    assert_non_null(strstr(text, "alipay carries out create"));
    assert_non_null(strstr(text, "faults and buyers stop"));
    free(text);
}

static void a_disk_that_lies_is_a_violation_with_its_replay(void **state)
{
    (void)state;
    int status;
    char *text = say("--seed 1 --runs 200 --faults power --disk-lies", STDERR_FILENO, &status);
    assert_int_equal(status, 1);
    assert_non_null(strstr(text, " is violated: "));
    assert_non_null(strstr(text, "again: till sim --seed "));
    assert_non_null(strstr(text, "--faults power --trace --disk-lies"));
    free(text);
}

static void without_faults_nothing_breaks(void **state)
{
    (void)state;
    int status;
    char *text = say("--seed 1 --runs 40 --faults none", STDOUT_FILENO, &status);
    assert_int_equal(status, 0);
    assert_non_null(strstr(text, "\"crashes\":0,\"faults\":0,"));
    free(text);
}

static void wrong_words_are_wrong_usage(void **state)
{
    (void)state;
    static const char *const wrong[] = {"--seed",   "--seed x",      "--runs 0", "--runs -1",
                                        "--faults", "--faults rain", "--what",   "--faults ,all"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int status;
        char *text = say(wrong[i], STDERR_FILENO, &status);
        assert_int_equal(status, 2);
        assert_non_null(strstr(text, "usage: till sim"));
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seeds_give_the_same_story),
        cmocka_unit_test(a_seed_does_not_depend_on_what_ran_before_it),
        cmocka_unit_test(the_story_is_for_people),
        cmocka_unit_test(a_disk_that_lies_is_a_violation_with_its_replay),
        cmocka_unit_test(without_faults_nothing_breaks),
        cmocka_unit_test(wrong_words_are_wrong_usage),
    };
    return cmocka_run_group_tests_name("till sim", tests, NULL, NULL);
}
