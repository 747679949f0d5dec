// SPDX-License-Identifier: Apache-2.0
// `till bench NAME`: load against a running server (--url), or against one it starts for itself in a directory that
// goes with it.
#ifndef TILL_BENCH_BENCH_H
#define TILL_BENCH_BENCH_H

int bench_main(int argc, char **argv); // exit status 0, 1, 2

#endif
