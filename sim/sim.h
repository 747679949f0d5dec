// SPDX-License-Identifier: Apache-2.0
// `till sim`: the whole service in one virtual world, seed after seed.
#ifndef TILL_SIM_SIM_H
#define TILL_SIM_SIM_H

// Takes the arguments behind the command's name. Exit status: 0 nothing was violated, 1 something was, 2 wrong usage.
int sim_main(int argc, char **argv);

#endif
