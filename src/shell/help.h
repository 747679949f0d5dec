// SPDX-License-Identifier: Apache-2.0
// What `till help` and `till version` say, and what a command says of wrong usage.
#ifndef TILL_SHELL_HELP_H
#define TILL_SHELL_HELP_H

#include <stdbool.h>
#include <stdio.h>

// Whatever is no command with a file of its own: argv[0] is help, version, --help, --version, or a word nobody knows;
// argc 0: nothing was said. `help [COMMAND]`, `help config [--markdown]`. Exit status.
int help_main(int argc, char **argv);

// The text of one command, "" or NULL for the overview. False: there is no such command, nothing was written.
bool help_write(const char *command, FILE *out);
// One line on stderr, "till: ... (see: till help COMMAND)". Returns 2, the exit status of wrong usage.
int usage_error(const char *command, const char *what);
// Whether the arguments ask for help: --help or -h among those before "--".
bool help_is_asked(int argc, char *const *argv);
// Whether colour may be written to `out`: a terminal that is not dumb, and no NO_COLOR.
bool colour_is_wanted(FILE *out);

#endif
