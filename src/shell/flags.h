// SPDX-License-Identifier: Apache-2.0
// Flags of the command line, by a table per command: `--name VALUE`, `--name=VALUE`, or a switch. One reader
// for every command, so that all of them say the same thing about the same mistake.
#ifndef TILL_SHELL_FLAGS_H
#define TILL_SHELL_FLAGS_H

#include <stdbool.h>
#include <stdint.h>

enum flag_kind {
    FLAG_SWITCH,   // bool *: takes no value
    FLAG_TEXT,     // const char **: borrowed from argv, not empty
    FLAG_NUMBER,   // int64_t *, min..max
    FLAG_DURATION, // int64_t * in ms, min..max
    FLAG_KEY,      // short for the configuration key `key`; its rules apply; out is not used
    FLAG_EACH,     // hands each value to each(ctx, value): may come several times
};

struct flag {
    const char *name; // "--pay-within"; NULL ends the table
    enum flag_kind kind;
    void *out;
    int64_t min, max;
    const char *key;
    bool (*each)(void *ctx, const char *value); // false: the value is bad
    void *ctx;
    const char *allowed; // FLAG_EACH, and FLAG_TEXT if it has a form: what to say of a bad value
};

#define FLAG_WHY_SIZE 400

// What the configuration does with `--section.name VALUE`; false with a line in `why`. NULL where a command
// has none.
typedef bool flag_set_key(void *ctx, const char *key, const char *value, char why[FLAG_WHY_SIZE]);

struct flag_input {
    int argc; // arguments only, without the program's and the command's names
    char **argv;
    const struct flag *flags; // may be NULL
    flag_set_key *set_key;    // may be NULL
    void *ctx;
    // Arguments that are no flags, in order; at most words_max, more are an error. Borrowed from argv.
    const char **words;
    int words_max, n_words;
};

// Reads them all. A later flag wins over an earlier one; FLAG_EACH collects. After "--" everything is a word.
// False: wrong usage, with one line for people in `why`.
bool flags_read(struct flag_input *in, char why[FLAG_WHY_SIZE]);

// Whole decimal numbers, an optional minus, nothing else.
bool number_parse(const char *text, int64_t *out);
// A value inside quotes as messages show it: cut, and without control characters.
#define SHOWN_SIZE 96
const char *value_shown(const char *value, char out[SHOWN_SIZE]);

#endif
