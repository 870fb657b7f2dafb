/* plan.c: from functionals that are multiplied out to what has to be carried along.
 *
 *     E[f1(x(t1)) f2(x(t2)) f3(x(t3))]:  from t1 on carry f1 ∘ P, at t2 multiply it by f2, read f3 at t3
 *     E[∫_a^b f dt · g(x(t))], t >= b:   over a … b carry w' = A w + f ∘ P, read g · w at t
 *
 * Factors within a … b cut the span into pieces: those before a piece come first, those after it later.
 * Equal beginnings are carried once.
 */
#include "compiler/cme/plan.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_NODES = 64 };

typedef struct Planner {
    Cme *cme;
    Plan *plan;
    VEC(double) times;
} Planner;

static void
needed_until(Plan *plan, u32 node, double time)
{
    plan->nodes.items[node].end = fmax(plan->nodes.items[node].end, time);
}

static u32
add_node(Planner *planner, Node node)
{
    Plan *plan = planner->plan;
    for (u32 k = 1; k < plan->nodes.count; k++) {
        const Node *other = &plan->nodes.items[k];
        if (other->kind == node.kind && other->parent == node.parent &&
            other->value == node.value && other->start == node.start &&
            other->feed_end == node.feed_end)
            return k;
    }
    if (plan->nodes.count == MOST_NODES)
        rxn__cme_fail(planner->cme,
                      "exact would have to carry more than %d products of what reads "
                      "several times",
                      MOST_NODES);
    needed_until(plan, node.parent, fmax(node.start, node.feed_end));
    node.end = fmax(node.start, node.feed_end);
    vec_push(planner->cme->arena, &planner->times, node.start);
    if (node.kind == NODE_CARRY)
        vec_push(planner->cme->arena, &planner->times, node.feed_end);
    vec_push(planner->cme->arena, &plan->nodes, node);
    return plan->nodes.count - 1;
}

static u32
multiply(Planner *planner, u32 parent, const CmeFactor *factor)
{
    return add_node(planner, (Node){.kind = NODE_MULTIPLY,
                                    .parent = parent,
                                    .value = factor->value,
                                    .start = factor->time});
}

static u32
add_read(Planner *planner, Read read)
{
    Plan *plan = planner->plan;
    Arena *arena = planner->cme->arena;
    for (u32 k = 0; k < plan->reads.count; k++) {
        const Read *other = &plan->reads.items[k];
        if (other->node == read.node && other->value == read.value &&
            other->integral == read.integral && other->from == read.from && other->to == read.to)
            return k;
    }
    needed_until(plan, read.node, read.to);
    vec_push(arena, &planner->times, read.from);
    vec_push(arena, &planner->times, read.to);
    read.result = NEW_ARRAY(arena, double, planner->cme->width);
    read.error = NEW_ARRAY(arena, double, planner->cme->width);
    vec_push(arena, &plan->reads, read);
    return plan->reads.count - 1;
}

static void
add_term(Planner *planner, u32 functional, Expr coefficient, u32 read)
{
    vec_push(planner->cme->arena, &planner->plan->terms,
             ((PlanTerm){functional, coefficient, read}));
}

static Expr
one(Cme *cme)
{
    return rxn__expr_number(cme->network, 1);
}

/* The last factor is read, the others are carried; `node` is where they start. */
static u32
read_factors(Planner *planner, u32 node, u32 count, const CmeFactor *factors)
{
    for (u32 k = 0; k + 1 < count; k++)
        node = multiply(planner, node, &factors[k]);
    const CmeFactor *last = &factors[count - 1];
    return add_read(
        planner, (Read){.node = node, .value = last->value, .from = last->time, .to = last->time});
}

/* The integral over one piece of its span, which no factor's time is inside of. */
static u32
plan_piece(Planner *planner, const CmeMonomial *monomial, Expr value, double from, double to)
{
    u32 node = 0, next = 0;
    while (next < monomial->factor_count && monomial->factors[next].time <= from)
        node = multiply(planner, node, &monomial->factors[next++]);
    if (next == monomial->factor_count)
        return add_read(
            planner,
            (Read){.node = node, .value = value, .integral = true, .from = from, .to = to});
    node = add_node(
        planner,
        (Node){.kind = NODE_CARRY, .parent = node, .value = value, .start = from, .feed_end = to});
    return read_factors(planner, node, monomial->factor_count - next, monomial->factors + next);
}

static void
plan_integral(Planner *planner, u32 functional, const CmeMonomial *monomial)
{
    const Atom *atom = &planner->plan->objective->atoms.items[monomial->integral - 1];
    double from = atom->from;
    while (from < atom->to) {
        double to = atom->to;
        for (u32 f = 0; f < monomial->factor_count; f++)
            if (monomial->factors[f].time > from)
                to = fmin(to, monomial->factors[f].time);
        add_term(planner, functional, monomial->coefficient,
                 plan_piece(planner, monomial, atom->value, from, to) + 1);
        from = to;
    }
}

static void
plan_passage(Planner *planner, u32 functional, const CmeMonomial *monomial)
{
    Cme *cme = planner->cme;
    Network *network = cme->network;
    const Atom *atom = &planner->plan->objective->atoms.items[monomial->passage - 1];
    Expr holds = rxn__expr(network, EXPR_SELECT,
                           (Expr[]){atom->value, one(cme), rxn__expr_number(network, 0)});
    u32 node = add_node(planner, (Node){.kind = NODE_ABSORB, .value = holds});
    u32 read = add_read(
        planner,
        (Read){
            .node = node, .value = one(cme), .integral = true, .from = atom->from, .to = atom->to});
    add_term(planner, functional, monomial->coefficient, read + 1);
}

static int
compare_times(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

void
rxn__cme_plan(Cme *cme, const Objective *objective, Plan *ret_plan)
{
    *ret_plan = (Plan){.objective = objective};
    Planner planner = {.cme = cme, .plan = ret_plan};
    vec_push(cme->arena, &ret_plan->nodes, ((Node){.kind = NODE_ROOT}));
    vec_push(cme->arena, &planner.times, 0.0);
    for (u32 k = 0; k < objective->functionals.count; k++) {
        CmePolynomial polynomial;
        rxn__cme_multiply_out(cme, objective, objective->functionals.items[k].value, &polynomial);
        for (u32 m = 0; m < polynomial.count; m++) {
            const CmeMonomial *monomial = &polynomial.items[m];
            if (monomial->passage)
                plan_passage(&planner, k, monomial);
            else if (monomial->integral)
                plan_integral(&planner, k, monomial);
            else if (monomial->factor_count)
                add_term(&planner, k, monomial->coefficient,
                         read_factors(&planner, 0, monomial->factor_count, monomial->factors) + 1);
            else
                add_term(&planner, k, monomial->coefficient, 0);
        }
    }
    qsort(planner.times.items, planner.times.count, sizeof(double), compare_times);
    u32 distinct = 0;
    for (u32 k = 0; k < planner.times.count; k++)
        if (distinct == 0 || planner.times.items[k] != planner.times.items[distinct - 1])
            planner.times.items[distinct++] = planner.times.items[k];
    ret_plan->times = planner.times.items;
    ret_plan->time_count = distinct;
}
