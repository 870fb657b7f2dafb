/* couple.h: two coupled trajectories of a network as one network, its pair.
 *
 * Whatever can simulate a network can then simulate the pair: the estimators by differences do.
 */
#ifndef RXN_NETWORK_COUPLE_H
#define RXN_NETWORK_COUPLE_H

#include "compiler/network/objective.h"

/* How an expression of the pair sees things: the state of one copy, and that copy's own values of the chosen
 * parameters; or, with PAIR_HELD added, the parameters as they are. */
enum { PAIR_FIRST = 0, PAIR_SECOND = 1, PAIR_HELD = 2 };
enum { PAIR_COPIES = 2, PAIR_VIEWS = 4 };

/* The value of the k-th chosen parameter in a copy is QUANTITY number PAIR_CHOSEN + 2 k + copy. */
enum { PAIR_CHOSEN = 1 << 30 };

typedef struct Pair {
    Network *origin, *network;
    Arena *arena;
    const u32 *chosen; /* flat parameters, distinct */
    u32 chosen_count;
    bool *hoisted_varies; /* per hoisted value of the origin: a chosen parameter acts through it */
    struct {
        Expr *items; /* by number in the origin; 0: not yet */
        u32 capacity;
    } maps[PAIR_VIEWS];
} Pair;

/* Makes the pair of a network that has been through the passes; it shares nothing with it but names.
 *
 * Each species X is there twice, X first and X' behind all first ones: flat numbers of the second copy
 * are those of the first plus the origin's species_count. Inputs and parameters are shared, except that
 * each copy reads its own value of the `chosen` parameters, which whoever lowers the network gives as
 * quantities. Held as they are, because they act in steps there: parameters in initial and assigned counts,
 * in comparisons (save those of time with times) and in what is rounded to whole numbers. The pair has no
 * objective, no fit and no laws. NULL, or what went wrong. Source: D. F. Anderson, SIAM J. Numer. Anal. 50
 * (2012) 2237. */
const char *rxn__network_pair(Network *origin, const u32 *chosen, u32 chosen_count, Arena *arena,
                              NameTable *names, Pair *ret_pair);

/* The pair's expression for one of the origin's (also one that was made since). */
Expr rxn__pair_expr(Pair *pair, u32 view, Expr expr);

/* An objective of the origin, read off one copy. Labels and times are shared with it. */
Objective *rxn__pair_objective(Pair *pair, u32 copy, const Objective *objective);

/* Whether the value of an expression of the origin may change with this parameter, conditions
 * included. */
bool rxn__expr_reads_param(Network *network, Expr expr, u32 flat);

#endif
