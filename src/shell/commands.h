// SPDX-License-Identifier: Apache-2.0
// The commands of the one binary. Each takes the arguments behind its name and returns the exit status:
// 0 done, 1 failed, 2 wrong usage.
#ifndef TILL_SHELL_COMMANDS_H
#define TILL_SHELL_COMMANDS_H

int dev_command(int argc, char **argv);
int serve_command(int argc, char **argv);
int sandbox_command(int argc, char **argv);
int audit_command(int argc, char **argv);
int reconcile_command(int argc, char **argv);
// In folders of their own beside src/, which the rest of it does not know.
int sim_main(int argc, char **argv);
int bench_main(int argc, char **argv);

#endif
