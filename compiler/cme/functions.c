/* functions.c: values of expressions in all states, kept while the space grows; scalar products. */
#include "compiler/cme/private.h"

#include <math.h>

double *
rxn__cme_vector(Cme *cme, CmeChain *chain, u32 slot)
{
    return rxn__cme_reserve(cme, &chain->slots[slot], cme->state_count * cme->width,
                            sizeof(double));
}

double *
rxn__cme_integral(Cme *cme, CmeChain *chain, u32 which)
{
    return rxn__cme_reserve(cme, &chain->integrals[which], cme->state_count * cme->width,
                            sizeof(double));
}

/* States of the frontier have no weight, and may be such that the function has no value there. */
void
rxn__cme_function_update(Cme *cme, CmeFunction *function)
{
    u32 width = cme->width;
    double *values =
        rxn__cme_reserve(cme, &function->values, cme->state_count * width, sizeof *values);
    double *counts = cme->to;
    ExprValues at = {
        .species = counts, .params = cme->params, .inputs = cme->inputs, .time = function->time};
    for (u64 state = function->done; state < cme->state_count; state++) {
        double *mine = values + state * width;
        for (u32 s = 0; s < cme->species_count; s++)
            counts[s] = cme_counts(cme, state)[s];
        mine[0] = rxn__expr_evaluate(cme->network, function->expr, &at);
        for (u32 i = 0; i < cme->wrt_count; i++)
            mine[i + 1] = function->derivatives[i]
                              ? rxn__expr_evaluate(cme->network, function->derivatives[i], &at)
                              : 0;
    }
    function->done = cme->state_count;
}

CmeFunction *
rxn__cme_function(Cme *cme, Expr expr, double time)
{
    ExprUses uses = rxn__expr_uses(cme->network, expr);
    CmeFunction *function = NULL;
    for (u32 k = 0; k < cme->functions.count && !function; k++)
        if (cme->functions.items[k]->expr == expr)
            function = cme->functions.items[k];
    if (!function) {
        function = NEW(cme->arena, CmeFunction);
        function->expr = expr;
        function->time = time;
        function->derivatives = NEW_ARRAY(cme->arena, Expr, cme->wrt_count + 1);
        for (u32 i = 0; i < cme->wrt_count && (uses.params || uses.hoisted); i++) {
            Expr derivative = rxn__expr_derivative(cme->network, expr, EXPR_PARAM, cme->wrt[i]);
            if (!rxn__expr_is_zero(cme->network, derivative))
                function->derivatives[i] = derivative;
        }
        vec_push(cme->arena, &cme->functions, function);
    }
    if ((uses.time || uses.window) && function->time != time) {
        function->time = time;
        function->done = 0;
    }
    rxn__cme_function_update(cme, function);
    return function;
}

void
rxn__cme_dot(Cme *cme, const CmeFunction *function, const double *vector, double *ret)
{
    u32 width = cme->width;
    const double *values = function->values.items;
    for (u32 i = 0; i < width; i++)
        ret[i] = 0;
    for (u64 state = 0; state < cme->state_count; state++) {
        const double *f = values + state * width, *v = vector + state * width;
        if (!cme_is_active(cme, state))
            continue;
        if (v[0] != 0)
            ret[0] += f[0] * v[0];
        for (u32 i = 1; i <= cme->wrt_count; i++) {
            if (v[i] != 0)
                ret[i] += f[0] * v[i];
            if (v[0] != 0)
                ret[i] += f[i] * v[0];
        }
    }
}
