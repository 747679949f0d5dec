// SPDX-License-Identifier: Apache-2.0
// `till sim --crash-points`, `--io-errors`, `--no-memory`: every place a flow (flows.h) can be struck at, one run each.
//
//   crash-points  the power fails inside each call that changes the disk, with every outcome a power loss can have; a
//                 fresh process recovers from what is left, the flow goes on to its end, and the checker judges
//   io-errors     each call to the disk, reading as well, fails: EIO, no room left, a failed sync; once, or until the
//                 process has died and somebody has mended the disk
//   no-memory     each allocation fails, once, or from then on until the process dies. Only a program that hands in
//                 an allocator to fail can do that: build/sim/test_sim_memory
//
// What is asked for is always the same: nothing that was promised is lost. The process may die and may answer 503.
#ifndef TILL_SIM_CRASH_H
#define TILL_SIM_CRASH_H

#include <stdbool.h>
#include <stdint.h>

struct failing_memory {
    void (*fail_at)(uint64_t at, bool for_good); // the at-th allocation from now; UINT64_MAX: none
    uint64_t (*count)(void);                     // allocations the product made since fail_at()
    bool (*failed)(void);                        // whether one has failed
};

bool crash_is_asked_for(int argc, char **argv);
// As sim_main(), which gives it its arguments when one of the words above is among them. `memory` may be NULL.
int crash_main(int argc, char **argv, const struct failing_memory *memory);

#endif
