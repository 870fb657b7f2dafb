/* ssa_direct.c: the direct method (Gillespie 1977, J. Phys. Chem. 81, 2340): draw the waiting time from
 * the sum of the propensities, then the reaction in proportion to its own. Two forms of one algorithm:
 * unrolled in registers for small networks, over tables for the others.
 */
#include "compiler/method/ssa.h"

/* Where the table form overtakes the unrolled one (docs/performance.md has the measurement). */
enum { UNROLL_REACTIONS = 48, UNROLL_SPECIES = 64 };

/* The table form's own limits: indices are i32, and the working set of a lane should stay sane. */
enum { TABLE_REACTIONS = 1000000, TABLE_SPECIES = 1000000 };

typedef struct SumSearch {
    const Network *network;
    u64 longest; /* terms of the longest sum */
} SumSearch;

static void
visit_sum(void *context, Expr expr)
{
    SumSearch *search = context;
    const ExprNode *node = expr_node(search->network, expr);
    if (node->op != EXPR_SUM && node->op != EXPR_PROD)
        return;
    Variable v = search->network->variables.items[node->object];
    u64 terms = v.high < v.low ? 0 : (u64)(v.high - v.low) + 1;
    if (terms > search->longest)
        search->longest = terms;
}

/* Small enough for registers, sums over species included, which the unrolled form writes out. */
static bool
is_small(Network *network)
{
    if (network->reaction_count > UNROLL_REACTIONS || network->species_count > UNROLL_SPECIES)
        return false;
    SumSearch search = {network, 0};
    for (u32 r = 0; r < network->reactions.count; r++)
        rxn__expr_walk(network, network->reactions.items[r].propensity, network->arena, visit_sum,
                       &search);
    for (u32 k = 0; k < network->observables.count; k++)
        rxn__expr_walk(network, network->observables.items[k].value, network->arena, visit_sum,
                       &search);
    return search.longest <= UNROLL_SPECIES;
}

static bool
applies(const Network *network, Text *ret_reason)
{
    if (network->reaction_count > TABLE_REACTIONS || network->species_count > TABLE_SPECIES) {
        rxn__text_printf(ret_reason,
                         "the direct method takes up to %u reactions and %u species; "
                         "this network has %u and %u",
                         TABLE_REACTIONS, TABLE_SPECIES, network->reaction_count,
                         network->species_count);
        return false;
    }
    if (network->traits.dependency_edges > RXN_MAX_TABLE_EDGES) {
        rxn__text_printf(ret_reason,
                         "its dependency graph has %llu edges, more than the %u that the direct "
                         "method takes",
                         (unsigned long long)network->traits.dependency_edges,
                         RXN_MAX_TABLE_EDGES);
        return false;
    }
    return true;
}

static const char *
write_kernel(Network *network, const MethodOptions *options, Arena *arena, NameTable *names,
             MethodKernel *ret_kernel)
{
    return is_small(network) ? rxn__ssa_write_unrolled(network, options, arena, names, ret_kernel)
                             : rxn__ssa_write_table(network, options, arena, names, ret_kernel);
}

const Method rxn__method_ssa_direct = {
    .name = "direct",
    .summary = "exact, one event at a time (Gillespie's direct method)",
    .applies = applies,
    .write = write_kernel,
};
