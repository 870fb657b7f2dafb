/* classify.c: what kind of network it is. Methods and `rxn check` ask; nothing is changed but the
 * traits.
 *
 * Affine is decided by structure: a propensity is affine in the species if it is built from them by
 * sums, differences, and products with (or divisions by) what is free of species. x(x-1)/2 is not;
 * neither is min(x, 10). A choice (`if`) is affine if its branches are and the state has no part in
 * the condition.
 */
#include "compiler/network/internal.h"

#include <string.h>

enum {
    MAX_COUNTED_REACTIONS = 100000, /* beyond, dependency edges are not counted */
    MAX_COUNTED_EDGES = 1 << 25,
    MAX_WIDTH_MEMBERS = 100000, /* of one family whose changes are looked at */
};

/* ---- Degree: 0 free of them, 1 affine, 2 anything else ---------------------------------------- */

u8
rxn__node_degree(const Network *network, const u8 *degrees, Expr expr, u16 in)
{
    const ExprNode *node = expr_node(network, expr);
    if (!(node->uses & in))
        return 0;
    u8 a = node->arg_count > 0 ? degrees[node->args[0]] : 0;
    u8 b = node->arg_count > 1 ? degrees[node->args[1]] : 0;
    u8 c = node->arg_count > 2 ? degrees[node->args[2]] : 0;
    u8 larger = a > b ? a : b;
    switch (node->op) {
    case EXPR_SPECIES:
    case EXPR_QUANTITY: return 1;
    case EXPR_NEG:
    case EXPR_SUM: return a;
    case EXPR_ADD:
    case EXPR_SUB: return larger;
    case EXPR_MUL: return a == 0 || b == 0 ? larger : 2;
    case EXPR_DIV: return b == 0 ? a : 2;
    case EXPR_SELECT: return a > 0 ? 2 : b > c ? b : c;
    default: return 2;
    }
}

bool
rxn__expr_is_affine(Network *network, Expr expr, Arena *arena)
{
    u8 *degrees = NEW_ARRAY(arena, u8, network->exprs.count);
    ExprList list = {0};
    rxn__expr_collect_begin(network);
    rxn__expr_collect(network, expr, arena, &list);
    for (u32 i = 0; i < list.count; i++)
        degrees[list.items[i]] = rxn__node_degree(network, degrees, list.items[i], USES_SPECIES);
    return degrees[expr] <= 1;
}

static bool
all_affine(Network *network, Arena *arena)
{
    u8 *degrees = NEW_ARRAY(arena, u8, network->exprs.count);
    ExprList list = {0};
    rxn__expr_collect_begin(network);
    for (u32 i = 0; i < network->reactions.count; i++)
        rxn__expr_collect(network, network->reactions.items[i].propensity, arena, &list);
    for (u32 i = 0; i < list.count; i++)
        degrees[list.items[i]] = rxn__node_degree(network, degrees, list.items[i], USES_SPECIES);
    for (u32 i = 0; i < network->reactions.count; i++)
        if (degrees[network->reactions.items[i].propensity] > 1)
            return false;
    return true;
}

/* ---- The rest -------------------------------------------------------------------------------- */

static u64
reactant_count(const Reaction *reaction)
{
    u64 count = 0;
    for (u32 i = 0; i < reaction->reactants.count; i++)
        count += reaction->reactants.items[i].coefficient;
    return count;
}

static u32
widest_change(const Network *network, const Reaction *reaction)
{
    u32 widest = 0;
    u32 members = reaction->count < MAX_WIDTH_MEMBERS ? reaction->count : MAX_WIDTH_MEMBERS;
    for (u32 member = 0; member < members; member++) {
        u32 count = rxn__reaction_changes(network, reaction, member, 0, NULL);
        widest = count > widest ? count : widest;
    }
    return widest;
}

static u64
count_edges(Network *network, Arena *arena)
{
    u64 count;
    return network->reaction_count <= MAX_COUNTED_REACTIONS &&
                   rxn__network_count_dependencies(network, arena, MAX_COUNTED_EDGES, &count)
               ? count
               : 0;
}

static bool
has_families(const Network *network)
{
    for (u32 i = 0; i < network->species.count; i++)
        if (network->species.items[i].shape.rank > 0)
            return true;
    for (u32 i = 0; i < network->reactions.count; i++)
        if (network->reactions.items[i].variable_count > 0)
            return true;
    return false;
}

static bool
traits_equal(const NetworkTraits *a, const NetworkTraits *b)
{
    return a->all_mass_action == b->all_mass_action && a->monomolecular == b->monomolecular &&
           a->affine == b->affine && a->time_dependent == b->time_dependent &&
           a->has_families == b->has_families && a->dependency_edges == b->dependency_edges &&
           a->widest_change == b->widest_change;
}

bool
rxn__network_classify(Network *network)
{
    Arena *scratch = &network->tables->scratch;
    NetworkTraits traits = {.all_mass_action = true, .monomolecular = true};
    for (u32 i = 0; i < network->reactions.count; i++) {
        const Reaction *reaction = &network->reactions.items[i];
        const u16 uses = expr_node(network, reaction->propensity)->uses;
        traits.all_mass_action &= reaction->mass_action;
        traits.monomolecular &= reaction->mass_action && reactant_count(reaction) <= 1;
        traits.time_dependent |= (uses & (USES_TIME | USES_WINDOW)) != 0;
        u32 width = widest_change(network, reaction);
        traits.widest_change = width > traits.widest_change ? width : traits.widest_change;
    }
    traits.affine = all_affine(network, scratch);
    traits.has_families = has_families(network);
    traits.dependency_edges = count_edges(network, scratch);
    rxn__arena_release(scratch);
    bool changed = !traits_equal(&traits, &network->traits);
    network->traits = traits;
    return changed;
}
