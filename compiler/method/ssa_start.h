/* ssa_start.h: the initial state, for choices that depend on it. */
#ifndef RXN_METHOD_SSA_START_H
#define RXN_METHOD_SSA_START_H

#include "compiler/network/network.h"

/* With the values that the model gives its parameters. */
typedef struct SsaStart {
    Network *network; /* only its tables are written */
    Arena *arena;
    double *params, *counts; /* by flat number */
    i64 *variables;          /* by number; what is being evaluated has set them */
} SsaStart;

/* False where the model leaves a number open. */
bool rxn__ssa_start(const Network *network, Arena *arena, SsaStart *ret_start);

#endif
