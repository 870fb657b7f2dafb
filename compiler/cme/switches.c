/* switches.c: where rates that glide in time jump.
 *
 * Comparisons of time with times are cut out as breakpoints of the network. What is left compares time
 * with the state (`if A > 2*t`), or a curve with a level (`if sin(t) > 0.5`), or is a floor or ceil of time. A
 * step across such a jump would look smooth if all its nodes fell on one side, so steps end at jumps: for
 * each distinct rate the switch is looked at in some points of the step, and a change is bisected. A
 * curve that crosses its level twice between two points is seen by the step's error estimate, or not at all.
 */
#include "compiler/cme/private.h"

#include <math.h>

enum { POINTS = 16 };

typedef struct Search {
    Cme *cme;
    VEC(Expr) found;
} Search;

static void
visit(void *context, Expr expr)
{
    Search *search = context;
    if (rxn__expr_uses(search->cme->network, expr).time)
        vec_push(search->cme->arena, &search->found, expr);
}

/* A jump whose time moves with a param, and differently for each state, has a derivative that is not one of
 * the rate. */
static void
check_movement(Cme *cme, Expr part)
{
    Network *network = cme->network;
    const ExprNode node = *expr_node(network, part);
    Expr crossing = node.arg_count == 2 ? expr_binary(network, EXPR_SUB, node.args[0], node.args[1])
                                        : node.args[0];
    for (u32 i = 0; i < cme->wrt_count; i++)
        if (!rxn__expr_is_zero(network,
                               rxn__expr_derivative(network, crossing, EXPR_PARAM, cme->wrt[i])))
            rxn__cme_fail(cme,
                          "'%s' moves the time at which a rate jumps, which differs between states",
                          rxn__param_label(network, cme->wrt[i], cme->arena));
}

/* A corner (abs, min, max) is no jump, but the error estimate may miss it just as well. */
void
rxn__cme_find_switches(Cme *cme, CmeReaction *reaction)
{
    Network *network = cme->network;
    Search search = {.cme = cme};
    rxn__expr_walk(network, reaction->propensity, cme->arena, visit, &search);
    reaction->switches = NEW_ARRAY(cme->arena, Expr, search.found.count + 1);
    for (u32 k = 0; k < search.found.count; k++) {
        Expr part = search.found.items[k], other;
        const ExprNode node = *expr_node(network, part);
        switch (node.op) {
        case EXPR_LT:
        case EXPR_LE:
        case EXPR_FLOOR:
        case EXPR_CEIL: check_movement(cme, part); break;
        case EXPR_ABS:
        case EXPR_MIN:
        case EXPR_MAX:
            other = node.op == EXPR_ABS ? rxn__expr_number(network, 0) : node.args[1];
            part = expr_binary(network, EXPR_LT, node.args[0], other);
            break;
        default: continue;
        }
        reaction->switches[reaction->switch_count++] = part;
    }
    cme->switches |= reaction->switch_count > 0;
}

/* The first point after `from` where the value is not that at `from`; `to` if there is none. */
static double
first_change(Cme *cme, Expr expr, ExprValues *values, double from, double to)
{
    values->time = from;
    double before = rxn__expr_evaluate(cme->network, expr, values), low = from;
    for (u32 k = 1; k <= POINTS; k++) {
        double high = k == POINTS ? to : from + (to - from) * k / POINTS;
        values->time = high;
        if (rxn__expr_evaluate(cme->network, expr, values) == before) {
            low = high;
            continue;
        }
        for (;;) {
            double middle = low + (high - low) / 2;
            if (!(middle > low && middle < high))
                return high;
            values->time = middle;
            if (rxn__expr_evaluate(cme->network, expr, values) == before)
                low = middle;
            else
                high = middle;
        }
    }
    return to;
}

double
rxn__cme_next_switch(Cme *cme, double from, double to)
{
    /* What jumps just now, or was reached but for rounding, is behind us. */
    double start = from + 1e-14 * cme->end;
    const u32 *reactions = cme->rate_reaction.items, *states = cme->rate_state.items;
    for (u64 rate = 0; rate < cme->rate_count; rate++) {
        const CmeReaction *reaction = &cme->reactions[reactions[rate]];
        if (reaction->switch_count == 0)
            continue;
        for (u32 s = 0; s < cme->species_count; s++)
            cme->to[s] = cme_counts(cme, states[rate])[s];
        ExprValues values = {.species = cme->to,
                             .params = cme->params,
                             .inputs = cme->inputs,
                             .window = true,
                             .time_middle = cme->middle};
        for (u32 k = 0; k < reaction->switch_count && start < to; k++)
            to = first_change(cme, reaction->switches[k], &values, start, to);
    }
    return to;
}
