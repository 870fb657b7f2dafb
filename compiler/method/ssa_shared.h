/* ssa_shared.h: many scalars of few kinds.
 *
 * A network that a program wrote has thousands of reactions and species with a declaration each, and few different
 * constants among them. Code for each would take longer to compile than to run; here it is code for each different
 * expression, and a loop over a table.
 */
#ifndef RXN_METHOD_SSA_SHARED_H
#define RXN_METHOD_SSA_SHARED_H

#include "compiler/method/ssa.h"

/* So many are worth a loop. */
enum { SSA_SHARED_LEAST = 32 };

/* The values of `count` expressions without free variables. */
typedef struct SsaShared {
    u32 count;
    const u32 *class_of; /* [count] */
    const Expr *classes; /* [class_count]; the first number_count are numbers */
    u32 class_count, number_count;
    u32 value, number, of; /* local [class_count]; buffers: the numbers; an item's class */
    KirType type;
} SsaShared;

/* The tables and the local. name: theirs, with endings. */
void rxn__ssa_shared_begin(SsaFrame *frame, const char *name, const Expr *exprs, u32 count,
                           KirType type, bool uniform, SsaShared *ret_shared);

/* Evaluates the different ones where the builder stands. */
void rxn__ssa_shared_evaluate(SsaFrame *frame, const SsaShared *shared);

/* The value of an item (i32), from then on. */
KirValue rxn__ssa_shared_get(SsaFrame *frame, const SsaShared *shared, KirValue item);

/* Constant buffers of one dimension; no element: one of 0. */
u32 rxn__ssa_constants_i32(SsaFrame *frame, const char *name, const i32 *items, u32 count);
u32 rxn__ssa_constants_f64(SsaFrame *frame, const char *name, const double *items, u32 count);

/* A sum of counts with whole weights, as the groups of a BioNetGen network are, as a row of a table. False: it is
 * something else, or short. */
typedef VEC(i32) SsaSpeciesList;
typedef VEC(double) SsaWeightList;
bool rxn__ssa_linear(const SsaFrame *frame, Expr expr, SsaSpeciesList *species,
                     SsaWeightList *weights);

#endif
