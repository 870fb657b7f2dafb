/* weigh.h: many functionals as one.
 *
 * A loss of hundreds of expectations has the gradient
 *
 *     dL/dθ = ∂L/∂θ + Σ_i (∂L/∂E[F_i]) dE[F_i]/dθ,
 *
 * and its second part is the derivative of one expectation, E[Σ_i w_i F_i], where w_i are numbers: ∂L/∂E[F_i] at the
 * means that have been found. So an estimator needs one backward sweep however many functionals there are, and one column
 * for each leaf, not one for each leaf and functional. The weights are inputs of the network, so that its kernel serves
 * all of them.
 */
#ifndef RXN_NETWORK_WEIGH_H
#define RXN_NETWORK_WEIGH_H

#include "compiler/network/objective.h"

typedef struct Weighing {
    Objective *whole;    /* the network's */
    Objective *weighted; /* one functional, one output: its expectation */
    u32 first, count;    /* flat inputs: the weights, one for each functional of the whole */
} Weighing;

/* Adds the inputs, behind all others, and makes the weighted objective; the network has the whole one afterwards as
 * before: whoever wants the other one sets network->objective. Not for objectives of samples, whose inputs are
 * data. */
void rxn__objective_weigh(Network *network, Weighing *ret_weighing);

#endif
