// SPDX-License-Identifier: Apache-2.0
// The simulator as a program of its own, for tests and for the planted bugs.
#include "sim.h"

int main(int argc, char **argv)
{
    return sim_main(argc - 1, argv + 1);
}
