/* gradient.c: values and derivatives of an objective's outputs: the plan carried out, its numbers put
 * together.
 */
#include "compiler/cme/plan.h"

#include <math.h>
#include <string.h>

typedef struct Solver {
    Plan plan;
    const Objective *objective;
    CmeGradient *result;
} Solver;

/* ---- reading ----------------------------------------------------------------------------------- */

/* The largest |f| and derivative of it over the truncated space, to ret[width]. */
static void
largest_values(const Cme *cme, const CmeFunction *function, double *ret)
{
    const double *values = function->values.items;
    memset(ret, 0, cme->width * sizeof *ret);
    for (u64 state = 0; state < cme->state_count; state++)
        for (u32 i = 0; i <= cme->wrt_count && cme_is_active(cme, state); i++)
            ret[i] = fmax(ret[i], fabs(values[state * cme->width + i]));
}

/* What of a read may be wrong for what was lost; `duration` of an integral, else 1. */
static void
add_error(Cme *cme, const CmeFunction *function, Read *read, double bound, double duration)
{
    double *largest = cme->sums;
    largest_values(cme, function, largest);
    double lost = cme->lost + (cme->smooth ? cme->options.tolerance : 0);
    read->error[0] += bound * duration * lost * largest[0];
    for (u32 i = 0; i < cme->wrt_count; i++)
        read->error[i + 1] +=
            bound * duration * (cme->lost_sensitivity[i] * largest[0] + lost * largest[i + 1]);
}

static void
add_read(Cme *cme, const Node *node, Read *read, const double *vector, double time, double duration)
{
    const CmeFunction *function = rxn__cme_function(cme, read->value, time);
    rxn__cme_dot(cme, function, vector, cme->row);
    for (u32 i = 0; i <= cme->wrt_count; i++)
        read->result[i] += cme->row[i];
    add_error(cme, function, read, node->bound, duration);
}

static bool
spans(const Read *read, double before, double after)
{
    return read->integral && read->from <= before && after <= read->to;
}

/* ---- the tree ---------------------------------------------------------------------------------- */

static CmeChain *
start_multiply(Cme *cme, const Node *parent, Node *node, double time)
{
    CmeFunction *function = rxn__cme_function(cme, node->value, time);
    CmeChain *chain = rxn__cme_add_chain(cme);
    double *to = rxn__cme_vector(cme, chain, SLOT_NOW);
    const double *from = rxn__cme_vector(cme, parent->chain, SLOT_NOW);
    const double *values = function->values.items;
    u32 width = cme->width;
    for (u64 state = 0; state < cme->state_count; state++) {
        const double *f = values + state * width, *v = from + state * width;
        if (!cme_is_active(cme, state))
            continue;
        for (u32 i = 0; i <= cme->wrt_count; i++) {
            double sum = v[i] != 0 ? f[0] * v[i] : 0;
            if (i > 0 && v[0] != 0)
                sum += f[i] * v[0];
            to[state * width + i] = sum;
        }
    }
    largest_values(cme, function, cme->row);
    node->bound = parent->bound * cme->row[0];
    return chain;
}

static CmeChain *
start_carry(Cme *cme, const Node *parent, Node *node)
{
    CmeChain *chain = rxn__cme_add_chain(cme);
    chain->source = parent->chain;
    chain->feed = rxn__cme_function(cme, node->value, node->start);
    largest_values(cme, chain->feed, cme->row);
    node->bound = parent->bound * cme->row[0] * (node->feed_end - node->start);
    return chain;
}

static CmeChain *
start_absorb(Cme *cme, const Node *parent, Node *node)
{
    CmeChain *chain = rxn__cme_add_chain(cme);
    chain->absorb = rxn__cme_function(cme, node->value, 0);
    const double *holds = chain->absorb->values.items;
    const double *from = rxn__cme_vector(cme, parent->chain, SLOT_NOW);
    double *to = rxn__cme_vector(cme, chain, SLOT_NOW);
    for (u64 state = 0; state < cme->state_count; state++)
        if (holds[state * cme->width] == 0)
            memcpy(to + state * cme->width, from + state * cme->width, cme->width * sizeof *to);
    node->bound = parent->bound;
    return chain;
}

static void
start_node(Cme *cme, Plan *plan, Node *node, double time)
{
    const Node *parent = &plan->nodes.items[node->parent];
    switch (node->kind) {
    case NODE_ROOT:
        node->chain = cme->chains.items[0];
        node->bound = 1;
        break;
    case NODE_MULTIPLY: node->chain = start_multiply(cme, parent, node, time); break;
    case NODE_CARRY: node->chain = start_carry(cme, parent, node); break;
    case NODE_ABSORB: node->chain = start_absorb(cme, parent, node); break;
    }
}

/* ---- the listener ------------------------------------------------------------------------------ */

static void
end_piece(void *context, Cme *cme, const CmeStop *stop)
{
    Plan *plan = &((Solver *)context)->plan;
    double before = (stop - 1)->time;
    for (u32 k = 0; k < plan->reads.count; k++) {
        Read *read = &plan->reads.items[k];
        const Node *node = &plan->nodes.items[read->node];
        if (spans(read, before, stop->time))
            add_read(cme, node, read, rxn__cme_integral(cme, node->chain, INTEGRAL_TOTAL),
                     stop->time, stop->time - before);
    }
}

/* An integral over an instant that moves gains there what is read before it and loses what is read after. */
static void
move_instant(void *context, Cme *cme, const CmeStop *stop, bool before)
{
    Plan *plan = &((Solver *)context)->plan;
    for (u32 k = 0; k < plan->reads.count; k++) {
        Read *read = &plan->reads.items[k];
        const Node *node = &plan->nodes.items[read->node];
        if (!read->integral || !(read->from < stop->time && stop->time < read->to))
            continue;
        const CmeFunction *function = rxn__cme_function(cme, read->value, stop->time);
        rxn__cme_dot(cme, function, rxn__cme_vector(cme, node->chain, SLOT_NOW), cme->row);
        for (u32 i = 0; i < cme->wrt_count; i++)
            read->result[i + 1] += (before ? 1 : -1) * stop->movement[i] * cme->row[0];
    }
}

static void
read_stop(void *context, Cme *cme, const CmeStop *stop)
{
    Plan *plan = &((Solver *)context)->plan;
    double time = stop->time;
    if (time == 0)
        start_node(cme, plan, &plan->nodes.items[0], time);
    for (u32 k = 0; k < plan->reads.count; k++) {
        Read *read = &plan->reads.items[k];
        const Node *node = &plan->nodes.items[read->node];
        if (!read->integral && read->from == time)
            add_read(cme, node, read, rxn__cme_vector(cme, node->chain, SLOT_NOW), time, 1);
    }
    for (u32 k = 1; k < plan->nodes.count; k++)
        if (plan->nodes.items[k].start == time)
            start_node(cme, plan, &plan->nodes.items[k], time);
    for (u32 k = 0; k < plan->nodes.count; k++) {
        Node *node = &plan->nodes.items[k];
        if (!node->chain)
            continue;
        if (node->kind == NODE_CARRY && node->feed_end <= time)
            node->chain->source = NULL;
        if (k > 0 && node->end <= time && node->chain->live)
            rxn__cme_drop_chain(cme, node->chain);
        node->chain->integrates = false;
    }
    for (u32 k = 0; k < plan->reads.count; k++) {
        const Read *read = &plan->reads.items[k];
        if (read->integral && read->from <= time && time < read->to)
            plan->nodes.items[read->node].chain->integrates = true;
    }
}

/* ---- putting together -------------------------------------------------------------------------- */

static Expr
derivative_by(Cme *cme, Expr expr, u32 i)
{
    return rxn__expr_derivative(cme->network, expr, EXPR_PARAM, cme->wrt[i]);
}

/* Expectations of the functionals: [functional][width], and the errors. */
static void
sum_terms(Cme *cme, const Plan *plan, double *values, double *errors)
{
    u32 width = cme->width;
    ExprValues at = {.params = cme->params, .inputs = cme->inputs};
    for (u32 k = 0; k < plan->terms.count; k++) {
        const PlanTerm *term = &plan->terms.items[k];
        const Read *read = term->read ? &plan->reads.items[term->read - 1] : NULL;
        double *value = values + (u64)term->functional * width;
        double *error = errors + (u64)term->functional * width;
        double coefficient = rxn__expr_evaluate(cme->network, term->coefficient, &at);
        value[0] += coefficient * (read ? read->result[0] : 1);
        error[0] += read ? fabs(coefficient) * read->error[0] : 0;
        for (u32 i = 0; i < cme->wrt_count; i++) {
            Expr derivative = derivative_by(cme, term->coefficient, i);
            double slope = rxn__expr_evaluate(cme->network, derivative, &at);
            value[i + 1] += slope * (read ? read->result[0] : 1);
            if (!read)
                continue;
            value[i + 1] += coefficient * read->result[i + 1];
            error[i + 1] += fabs(coefficient) * read->error[i + 1] + fabs(slope) * read->error[0];
        }
    }
}

typedef struct Leaves {
    const Network *network;
    bool *present; /* by functional */
} Leaves;

static void
visit_leaf(void *context, Expr expr)
{
    Leaves *leaves = context;
    const ExprNode *node = expr_node(leaves->network, expr);
    if (node->op == EXPR_QUANTITY)
        leaves->present[node->object] = true;
}

static void
put_output(Cme *cme, Solver *solver, u32 o, const double *values, const double *errors)
{
    const Objective *objective = solver->objective;
    CmeGradient *result = solver->result;
    u32 functionals = objective->functionals.count, count = cme->wrt_count;
    Expr expr = objective->outputs.items[o].value;
    double *quantities = NEW_ARRAY(cme->arena, double, functionals + 1);
    for (u32 f = 0; f < functionals; f++)
        quantities[f] = values[(u64)f * cme->width];
    ExprValues at = {.params = cme->params, .inputs = cme->inputs, .quantities = quantities};
    result->value[o] = rxn__expr_evaluate(cme->network, expr, &at);
    for (u32 i = 0; i < count; i++)
        result->gradient[(u64)o * count + i] =
            rxn__expr_evaluate(cme->network, derivative_by(cme, expr, i), &at);
    Leaves leaves = {cme->network, NEW_ARRAY(cme->arena, bool, functionals + 1)};
    rxn__expr_walk(cme->network, expr, cme->arena, visit_leaf, &leaves);
    for (u32 f = 0; f < functionals; f++) {
        if (!leaves.present[f])
            continue;
        double slope = rxn__expr_evaluate(
            cme->network, rxn__expr_derivative(cme->network, expr, EXPR_QUANTITY, f), &at);
        const double *value = values + (u64)f * cme->width, *error = errors + (u64)f * cme->width;
        result->value_error[o] += fabs(slope) * error[0];
        for (u32 i = 0; i < count; i++) {
            result->gradient[(u64)o * count + i] += slope * value[i + 1];
            result->gradient_error[(u64)o * count + i] += fabs(slope) * error[i + 1];
        }
    }
    if (!isfinite(result->value[o]))
        rxn__cme_fail(cme, "'%s' is not a finite number", objective->outputs.items[o].label);
}

static void
solve(void *context, Cme *cme)
{
    Solver *solver = context;
    u32 functionals = solver->objective->functionals.count;
    rxn__cme_plan(cme, solver->objective, &solver->plan);
    rxn__cme_timeline(cme, solver->plan.times, solver->plan.time_count);
    cme->listener = (CmeListener){end_piece, read_stop, move_instant, solver};
    rxn__cme_march(cme);
    double *values = NEW_ARRAY(cme->arena, double, (size_t)functionals * cme->width + 1);
    double *errors = NEW_ARRAY(cme->arena, double, (size_t)functionals * cme->width + 1);
    sum_terms(cme, &solver->plan, values, errors);
    for (u32 o = 0; o < solver->objective->outputs.count; o++)
        put_output(cme, solver, o, values, errors);
    solver->result->lost = cme->lost;
    solver->result->cost = (CmeCost){cme->active_count, cme->edge_count, cme->products};
}

RxnStatus
rxn__cme_gradient(const CmeModel *model, const Objective *objective, const u32 *wrt, u32 count,
                  const CmeOptions *options, Arena *arena, CmeGradient *ret_gradient,
                  const char **ret_reason)
{
    size_t outputs = objective->outputs.count, cells = outputs * count + 1;
    *ret_gradient = (CmeGradient){.value = NEW_ARRAY(arena, double, outputs + 1),
                                  .value_error = NEW_ARRAY(arena, double, outputs + 1),
                                  .gradient = NEW_ARRAY(arena, double, cells),
                                  .gradient_error = NEW_ARRAY(arena, double, cells)};
    Solver solver = {.objective = objective, .result = ret_gradient};
    return rxn__cme_solve(model, options, wrt, count, arena, solve, &solver, ret_reason);
}
