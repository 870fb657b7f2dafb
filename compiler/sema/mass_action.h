/* mass_action: in how many ways the reactants of a mass-action reaction can be chosen. */
#ifndef RXN_SEMA_MASS_ACTION_H
#define RXN_SEMA_MASS_ACTION_H

#include "compiler/sema/private.h"

/* Whether two index expressions are provably the same. */
bool rxn__same_index(const Network *network, Expr a, Expr b);

/* The product of choose(x, n) over the reactants. *ret_may_coincide: two of them may be the same member
 * for some values of the loop variables; the expression then selects. 0: reported. */
Expr rxn__mass_action_ways(Sema *sema, const Module *module, const Term *terms, u32 count,
                           bool *ret_may_coincide);

#endif
