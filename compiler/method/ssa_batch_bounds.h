/* ssa_batch_bounds.h: between which values a propensity stays while each count stays in an interval of its own. */
#ifndef RXN_METHOD_SSA_BATCH_BOUNDS_H
#define RXN_METHOD_SSA_BATCH_BOUNDS_H

#include "compiler/method/ssa.h"

/* The least and the greatest value; of a condition (bool): whether it holds for certain, and whether it may. */
typedef struct BatchInterval {
    KirValue low, high;
    bool not_negative; /* known when compiling */
} BatchInterval;

/* The intervals of the counts: f64 values by flat species. */
typedef struct BatchBox {
    SsaFrame *frame;
    KirValue *low, *high;
    Expr constant; /* is not negative: the constant of mass action, which init has checked; or 0 */
    KirValue
        sound; /* bool: nothing that was bounded has failed, such as a denominator near zero; 0: nothing could */
} BatchBox;

/* Of an expression without free variables; good for use where `sound`. */
BatchInterval rxn__batch_bound(BatchBox *box, Expr expr);

/* Whether the expression has bounds that grow narrow with the box; if not, why. */
bool rxn__batch_has_bounds(const Network *network, Expr expr, Arena *scratch, Text *ret_reason);

#endif
