/* start.h: the initial state, for choices that depend on it. */
#ifndef RXN_NETWORK_START_H
#define RXN_NETWORK_START_H

#include "compiler/network/network.h"

/* With the values that the model gives its parameters. */
typedef struct NetworkStart {
    Network *network; /* only its tables are written */
    Arena *arena;
    double *params, *counts; /* by flat number */
    i64 *variables;          /* by number; what is being evaluated has set them */
} NetworkStart;

/* False where the model leaves a number open. */
bool rxn__network_start(const Network *network, Arena *arena, NetworkStart *ret_start);

#endif
