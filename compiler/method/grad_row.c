/* grad_row.c: the layout of a gradient kernel's row (see gradient.h). */
#include "compiler/method/gradient.h"

static u32
leaves_of(const GradientRow *row)
{
    return row->one_leaf ? 1 : row->leaves;
}

u32
rxn__row_value(const GradientRow *row, u32 functional)
{
    (void)row;
    return functional;
}

u32
rxn__row_control(const GradientRow *row, u32 functional)
{
    return row->functionals + functional;
}

u32
rxn__row_score(const GradientRow *row, u32 functional, u32 leaf)
{
    return row->functionals * (row->has_control ? 2 : 1) + functional * leaves_of(row) + leaf;
}

u32
rxn__row_direct(const GradientRow *row, u32 functional_or_output, u32 leaf)
{
    u32 scores = row->has_score ? row->functionals * leaves_of(row) : 0;
    return rxn__row_score(row, 0, 0) + scores + functional_or_output * leaves_of(row) + leaf;
}

u32
rxn__row_diagnostic(const GradientRow *row, u32 number)
{
    u32 sets = !row->has_direct ? 0 : row->by_output ? row->outputs : row->functionals;
    return rxn__row_direct(row, sets, 0) + number;
}

u32
rxn__row_columns(const GradientRow *row)
{
    return rxn__row_diagnostic(row, row->diagnostic_count);
}

/* ---- functionals that depend on parameters ------------------------------------------------------ */

static bool
is_explicit(const GradientRequest *request)
{
    const Network *network = request->network;
    const Objective *objective = network->objective;
    bool found = false;
    for (u32 k = 0; k < objective->functionals.count; k++) {
        ExprUses uses = rxn__expr_uses(network, objective->functionals.items[k].value);
        found |= uses.params || uses.hoisted;
    }
    for (u32 k = 0; k < objective->atoms.count; k++) {
        ExprUses uses = rxn__expr_uses(network, objective->atoms.items[k].value);
        found |= uses.params || uses.hoisted;
    }
    return found;
}

/* dF/dp = ∂F/∂p + Σ over atoms of ∂F/∂atom · ∂atom/∂p, where ∂atom/∂p is read as the atom is. */
static Expr
partial(const GradientRequest *request, Objective *extended, u32 atoms, Expr value, u32 param,
        Arena *arena)
{
    Network *network = request->network;
    Expr total = rxn__expr_derivative(network, value, EXPR_PARAM, param);
    for (u32 k = 0; k < atoms; k++) {
        Atom atom = extended->atoms.items[k];
        if (atom.kind == ATOM_PASSAGE)
            continue;
        Expr outer = rxn__expr_derivative(network, value, EXPR_QUANTITY, k);
        Expr inner = rxn__expr_derivative(network, atom.value, EXPR_PARAM, param);
        if (rxn__expr_is_zero(network, outer) || rxn__expr_is_zero(network, inner))
            continue;
        u32 number = extended->atoms.count;
        atom.value = inner;
        vec_push(arena, &extended->atoms, atom);
        Expr quantity = rxn__expr_object(network, EXPR_QUANTITY, number, 0, NULL);
        total =
            expr_binary(network, EXPR_ADD, total, expr_binary(network, EXPR_MUL, outer, quantity));
    }
    return total;
}

const Objective *
rxn__gradient_explicit(const GradientRequest *request, Arena *arena, Expr **ret_partial)
{
    *ret_partial = NULL;
    if (!is_explicit(request))
        return NULL;
    const Objective *objective = request->network->objective;
    Objective *extended = NEW_ARRAY(arena, Objective, 1);
    *extended = *objective;
    extended->atoms.items = NULL;
    extended->atoms.count = extended->atoms.capacity = 0;
    for (u32 k = 0; k < objective->atoms.count; k++)
        vec_push(arena, &extended->atoms, objective->atoms.items[k]);
    u32 count = objective->functionals.count;
    *ret_partial = NEW_ARRAY(arena, Expr, count * request->wrt_count + 1);
    for (u32 i = 0; i < count; i++)
        for (u32 p = 0; p < request->wrt_count; p++)
            (*ret_partial)[i * request->wrt_count + p] =
                partial(request, extended, objective->atoms.count,
                        objective->functionals.items[i].value, request->wrt[p], arena);
    return extended;
}

GradientLeaf *
rxn__gradient_param_leaves(const GradientRequest *request, Arena *arena)
{
    GradientLeaf *leaves = NEW_ARRAY(arena, GradientLeaf, request->wrt_count + 1);
    for (u32 p = 0; p < request->wrt_count; p++)
        leaves[p] = (GradientLeaf){.op = EXPR_PARAM, .flat = request->wrt[p]};
    return leaves;
}
