/* ssa_guard.c: which reactions can take more than there is.
 *
 * A mass-action reaction cannot: its propensity is zero below the reactants it needs. A law written
 * with `=>` may, and then every firing must test for a negative count, unless the law has the count
 * itself as a factor (`A => B @ vmax*A/(K + A)`), which makes it zero at zero.
 */
#include "compiler/method/ssa.h"

static bool
is_member(const Network *network, const Reaction *reaction, const ExprNode *node, u32 flat,
          const i64 *values)
{
    const Species *species = &network->species.items[node->object];
    i64 indices[RXN_MAX_RANK];
    for (u32 k = 0; k < species->shape.rank; k++) {
        Affine affine;
        if (!rxn__expr_affine(network, node->args[k], &affine))
            return false;
        i64 index = affine.constant;
        for (u32 v = 0; v < affine.count; v++) {
            u32 which = 0;
            while (which < reaction->variable_count &&
                   reaction->variables[which] != affine.variable[v])
                which++;
            if (which == reaction->variable_count)
                return false;
            index += affine.coefficient[v] * values[which];
        }
        indices[k] = index;
    }
    return rxn__flat_member(&species->shape, species->flat, indices) == flat;
}

/* Whether the expression is zero (or not a number) when the count is below `taken`. */
static bool
vanishes(const Network *network, const Reaction *reaction, Expr expr, u32 flat, const i64 *values,
         i32 taken)
{
    const ExprNode *node = expr_node(network, expr);
    switch ((ExprOp)node->op) {
    case EXPR_SPECIES: return taken == 1 && is_member(network, reaction, node, flat, values);
    case EXPR_CHOOSE: {
        const ExprNode *count = expr_node(network, node->args[0]);
        return taken <= (i32)node->number && count->op == EXPR_SPECIES &&
               is_member(network, reaction, count, flat, values);
    }
    case EXPR_MUL:
        return vanishes(network, reaction, node->args[0], flat, values, taken) ||
               vanishes(network, reaction, node->args[1], flat, values, taken);
    case EXPR_DIV: return vanishes(network, reaction, node->args[0], flat, values, taken);
    case EXPR_SELECT:
        return vanishes(network, reaction, node->args[1], flat, values, taken) &&
               vanishes(network, reaction, node->args[2], flat, values, taken);
    default: return false;
    }
}

bool
rxn__ssa_guarded(const Network *network, const Reaction *reaction, u32 species_flat, u32 member,
                 i32 taken)
{
    i64 values[RXN_MAX_RANK];
    if (reaction->mass_action)
        return true;
    rxn__reaction_variables(network, reaction, member, values);
    return vanishes(network, reaction, reaction->propensity, species_flat, values, taken);
}
