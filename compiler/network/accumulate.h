/* accumulate.h: the weighted sums over families that rate laws read.
 *
 *     make over k: beta * sigmoid(c[k] + 0.1 * sum(g in gene: V[k,g] * H[g]))
 *
 * A sum like this one is affine in counts, with weights that hold for a whole trajectory, and one reaction changes
 * few of its terms. So a kernel need not add up 256 products after every event: it keeps the ten sums, and an
 * event of H[g] adds its change times V[k,g] to each. Which sums these are is found in the expressions, however they
 * are phrased (0.1 * sum(…), sum(0.1 * …), a let): nobody declares them.
 */
#ifndef RXN_NETWORK_ACCUMULATE_H
#define RXN_NETWORK_ACCUMULATE_H

#include "compiler/network/network.h"

/* Σ over `inner` of weight · species[index], for each value of the variables of the place where it stands.
 * A sum of several terms, Σ_g (V[k,g]·H[g] + U[k,g]·G[g]), gives an accumulator for each of them, one behind the
 * other with the same `sum`: the value of the node is what these add up to. */
typedef struct Accumulator {
    Expr sum;     /* the SUM node, as it stands in a law; of nested ones the outermost */
    u32 reaction; /* the first family in whose law it stands */
    Shape shape;  /* one number for each value of its variables */
    u32 variables
        [RXN_MAX_RANK]; /* free in `sum`: variables of the reaction, or of a sum or product around it; in
                                  * order of their numbers */
    u32 inner_count;
    u32 inner[RXN_MAX_RANK]; /* bound by the sum, outermost first */
    u32 species;             /* the array that is summed over */
    Expr index
        [RXN_MAX_RANK]; /* its indices: each is one of `inner` plus a constant, or, if `local`, one of
                                  * `variables` plus a constant, or a constant. Each of `inner` stands in one. */
    bool
        local; /* a member of the array is in few of the sums (Σ_g V[k,g]·H[k,g]) or stands twice */
    Expr
        weight; /* of parameters, inputs, hoisted values, `variables` and `inner`: neither state nor
                                  * time */
} Accumulator;

typedef struct Accumulators {
    u32 count;
    Accumulator *items;
} Accumulators;

/* Those of all laws, in order of reactions and of their expressions. A sum is one if its body is, multiplied out,
 * made of weight · species alone: see accumulate.c for what is recognised. Fewer than `least` terms: none. */
void rxn__network_accumulators(Network *network, Arena *arena, u32 least, Accumulators *ret_list);

/* The expression with every accumulator's SUM node replaced by replacements[number], or by their sum where
 * several have the same node. */
Expr rxn__accumulators_replace(Network *network, const Accumulators *list, Expr expr,
                               const Expr *replacements, Arena *arena);

/* What an error in the value of a sum, small against the terms that the sum has had, does to the propensities. */
typedef enum AccumulatorUse {
    /* It is a relative error of the same size in each: they are exp, sigmoid or softplus of an expression that is
     * smooth in the sum, times or divided by what does not read it, and the like. */
    ACCUMULATOR_SMOOTH,
    /* It is harmless only where the sum's relative error is small, and a sum that is zero is zero exactly. */
    ACCUMULATOR_RELATIVE,
    /* Any error may matter: the sum is compared with something, or rounded, or a propensity is zero where something
     * made of it is equal to something else that depends on the state. */
    ACCUMULATOR_DECIDES,
} AccumulatorUse;

/* One for each accumulator; the worst over all laws and their bounds. Equal for those of one sum. */
void rxn__accumulator_uses(Network *network, const Accumulators *list, Arena *arena,
                           AccumulatorUse *ret_uses);

#endif
