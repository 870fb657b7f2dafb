/* start.c: see start.h. */
#include "compiler/network/start.h"

static void
set_indices(NetworkStart *start, const Shape *shape, const u32 *variables, u64 member)
{
    for (u32 d = shape->rank; d-- > 0;) {
        start->variables[variables[d]] = (i64)(member % shape->extent[d]);
        member /= shape->extent[d];
    }
}

bool
rxn__network_start(const Network *network, Arena *arena, NetworkStart *ret_start)
{
    NetworkStart *start = ret_start;
    *start = (NetworkStart){.network = (Network *)network,
                            .arena = arena,
                            .params = NEW_ARRAY(arena, double, network->param_count + 1),
                            .counts = NEW_ARRAY(arena, double, network->species_count + 1),
                            .variables = NEW_ARRAY(arena, i64, network->variables.count + 1)};
    const ExprValues values = {.params = start->params, .variables = start->variables};
    if (network->inputs.count > 0)
        return false;
    for (u32 p = 0; p < network->params.count; p++) {
        const Param *param = &network->params.items[p];
        if (!param->initial || param->distribution != DISTRIBUTION_NONE)
            return false;
        for (u64 k = 0; k < rxn__shape_count(&param->shape); k++) {
            set_indices(start, &param->shape, param->variables, k);
            start->params[param->flat + k] = rxn__expr_evaluate(network, param->initial, &values);
        }
    }
    for (u32 s = 0; s < network->species.count; s++) {
        const Species *species = &network->species.items[s];
        for (u64 k = 0; k < rxn__shape_count(&species->shape); k++) {
            set_indices(start, &species->shape, species->variables, k);
            start->counts[species->flat + k] =
                rxn__expr_evaluate(network, species->initial, &values);
        }
    }
    return true;
}
