// SPDX-License-Identifier: Apache-2.0
// `till bench pending`: so many orders that wait for money, in the embedded store and broker: what each takes on the
// disk and in memory, what the engine does while none of them is due, and how long a start takes with all of them
// there.
//
// The product's engine and SQLite store, without HTTP and without providers, in a directory that goes with the run. One
// process places the orders and ends; another starts on what it left, so that memory is a fresh start's.
#ifndef TILL_BENCH_PENDING_H
#define TILL_BENCH_PENDING_H

int pending_main(int argc, char **argv); // arguments after the name; exit status

#endif
