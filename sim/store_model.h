// SPDX-License-Identifier: Apache-2.0
// A store that stands elsewhere, for one node: behind port/store.h the real SQLite adapter, in front of it a connection
// that can be lost during COMMIT, and a server that refuses a batch (serialization failure, no connection to be had).
#ifndef TILL_SIM_STORE_MODEL_H
#define TILL_SIM_STORE_MODEL_H

#include "world.h"

// Owns `inner`, which close() closes too. Aborts without memory, as the rest of the world.
struct store *store_model_new(struct world *w, struct store *inner);

#endif
