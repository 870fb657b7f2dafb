/* weigh.c: see weigh.h. */
#include "compiler/network/weigh.h"

static Expr
weight(Network *network, u32 input, u32 functional)
{
    Expr index = rxn__expr_number(network, functional);
    return rxn__expr_object(network, EXPR_INPUT, input, 1, &index);
}

/* Adds neighbours, then their sums: as deep as the logarithm of how many there are. */
static Expr
sum_of(Network *network, Expr *terms, u32 count)
{
    while (count > 1) {
        u32 kept = 0;
        for (u32 k = 0; k < count; k += 2)
            terms[kept++] =
                k + 1 < count ? expr_binary(network, EXPR_ADD, terms[k], terms[k + 1]) : terms[k];
        count = kept;
    }
    return terms[0];
}

void
rxn__objective_weigh(Network *network, Weighing *ret_weighing)
{
    Arena *arena = network->arena;
    Objective *whole = network->objective;
    u32 count = whole->functionals.count;
    Input weights = {.name = rxn__name_z(network->names, "weight of functional"),
                     .shape = {1, {count}},
                     .flat = network->input_count};
    u32 input = network->inputs.count;
    vec_push(arena, &network->inputs, weights);
    network->input_count += count;
    Objective *weighted = NEW(arena, Objective);
    weighted->atoms = whole->atoms;
    Expr *terms = NEW_ARRAY(arena, Expr, count);
    for (u32 i = 0; i < count; i++)
        terms[i] = expr_binary(network, EXPR_MUL, weight(network, input, i),
                               whole->functionals.items[i].value);
    Functional functional = {.value = sum_of(network, terms, count)};
    vec_push(arena, &weighted->functionals, functional);
    Output output = {.label = "weighted sum",
                     .time = whole->end,
                     .value = rxn__expr_object(network, EXPR_QUANTITY, 0, 0, NULL)};
    vec_push(arena, &weighted->outputs, output);
    network->objective = weighted;
    rxn__objective_finish(network);
    network->objective = whole;
    *ret_weighing = (Weighing){whole, weighted, weights.flat, count};
}
