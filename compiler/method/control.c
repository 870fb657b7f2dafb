/* control.c: which features, which bins, and the integrals that they need (see control.h).
 */
#include "compiler/method/control.h"
#include "compiler/method/lower.h"

#include <math.h>
#include <stdlib.h>

enum {
    DEFAULT_BINS = 40,
    HALVINGS = 4,       /* of the last bin before a time that is read, where few are */
    MOST_HALVED = 4,    /* such times */
    MOST_EDGES = 128,   /* times that are read, for each to be the edge of a bin */
    FEW_FEATURES = 20,  /* of degree 2, if nobody asks for it */
    MOST_FEATURES = 60, /* of degree 2 and more */
    MOST_LINEAR = 200,  /* of degree 1: a pilot of some thousand trajectories can tell them apart */
    MOST_KEPT = 200000, /* numbers kept of one trajectory: by every lane of every thread */
    MOST_WEIGHTS = 1 << 25, /* of all functionals */
};

/* ---- species ----------------------------------------------------------------------------------- */

static Expr
species_expr(Network *network, u32 flat)
{
    u32 s = network->species.count - 1;
    while (network->species.items[s].flat > flat)
        s--;
    const Species *species = &network->species.items[s];
    u32 member = flat - species->flat, rank = species->shape.rank;
    Expr indices[RXN_MAX_RANK];
    for (u32 k = rank; k-- > 0;) {
        indices[k] = rxn__expr_number(network, member % species->shape.extent[k]);
        member /= species->shape.extent[k];
    }
    return rxn__expr_object(network, EXPR_SPECIES, s, rank, indices);
}

Expr
rxn__control_species(const ControlPlan *plan, u32 flat)
{
    return species_expr(plan->request->network, flat);
}

static Change *
changes_of(Network *network, u32 flat, Arena *arena, u32 *ret_count)
{
    u32 member;
    const Reaction *reaction = rxn__reaction_of_flat(network, flat, &member);
    u32 most = reaction->reactants.count + reaction->products.count;
    Change *changes = NEW_ARRAY(arena, Change, most + 1);
    *ret_count = rxn__reaction_changes(network, reaction, member, most, changes);
    return changes;
}

/* Each law gives one species from the others: the one with the largest coefficient once the laws before
 * it are used. Gaussian elimination on the laws. */
static void
drop_conserved(const Network *network, Arena *arena, bool *varies)
{
    u32 laws = network->laws.count, species = network->species_count;
    double *matrix = NEW_ARRAY(arena, double, (size_t)laws *species + 1);
    for (u32 l = 0; l < laws; l++)
        for (u32 k = 0; k < network->laws.items[l].terms.count; k++) {
            u32 member = network->laws.items[l].terms.items[k].member;
            if (varies[member])
                matrix[(size_t)l * species + member] =
                    (double)network->laws.items[l].terms.items[k].coefficient;
        }
    for (u32 l = 0; l < laws; l++) {
        double *row = matrix + (size_t)l * species;
        u32 pivot = 0;
        for (u32 s = 0; s < species; s++)
            if (fabs(row[s]) >= fabs(row[pivot]))
                pivot = s;
        if (fabs(row[pivot]) < 1e-9)
            continue;
        varies[pivot] = false;
        for (u32 m = l + 1; m < laws; m++) {
            double *other = matrix + (size_t)m * species;
            double factor = other[pivot] / row[pivot];
            for (u32 s = 0; s < species; s++)
                other[s] = s == pivot ? 0 : other[s] - factor * row[s];
        }
    }
}

static void
find_species(ControlPlan *plan)
{
    Network *network = plan->request->network;
    bool *varies = NEW_ARRAY(plan->arena, bool, network->species_count + 1);
    for (u32 j = 0; j < network->reaction_count; j++) {
        u32 count;
        Change *changes = changes_of(network, j, plan->arena, &count);
        for (u32 k = 0; k < count; k++)
            varies[changes[k].species] = true;
    }
    if (!plan->by_jumps && !network->laws_skipped)
        drop_conserved(network, plan->arena, varies);
    for (u32 s = 0; s < network->species_count; s++)
        if (varies[s])
            vec_push(plan->arena, &plan->species, s);
}

/* ---- features ---------------------------------------------------------------------------------- */

double
rxn__monomial_value(const Monomial *monomial, const double *species)
{
    double value = 1;
    for (u32 k = 0; k < monomial->count; k++)
        for (u32 p = 0; p < monomial->factors[k].power; p++)
            value *= species[monomial->factors[k].species];
    return value;
}

/* C(count + degree, degree) - 1, saturating. */
static u32
feature_count(u32 count, u32 degree)
{
    double features = 1;
    for (u32 d = 1; d <= degree; d++)
        features = features * (count + d) / d;
    return features > 1e9 ? 1000000000 : (u32)lround(features) - 1;
}

/* All monomials of this degree that extend `monomial` by species from number `first` on. */
static void
add_monomials(ControlPlan *plan, Monomial monomial, u32 first, u32 degree)
{
    if (degree == 0) {
        vec_push(plan->arena, &plan->features, monomial);
        return;
    }
    for (u32 s = first; s < plan->species.count; s++)
        for (u32 power = degree; power > 0; power--) {
            Monomial longer = monomial;
            longer.factors[longer.count].species = plan->species.items[s];
            longer.factors[longer.count++].power = power;
            add_monomials(plan, longer, s + 1, degree - power);
        }
}

/* Where V is affine in the counts, linear features are all there is to know. */
static bool
is_affine(const GradientRequest *request, Arena *arena)
{
    const Network *network = request->network;
    bool affine = network->traits.affine && network->events.count == 0;
    for (u32 i = 0; affine && i < network->objective->functionals.count; i++) {
        FunctionalFacts facts;
        rxn__functional_facts(network, i, arena, &facts);
        affine = facts.affine;
    }
    return affine;
}

static u32
choose_degree(const ControlPlan *plan)
{
    u32 asked = plan->request->degree;
    if (asked)
        return asked < RXN_MAX_DEGREE ? asked : RXN_MAX_DEGREE;
    if (is_affine(plan->request, plan->arena))
        return 1;
    return feature_count(plan->species.count, 2) <= FEW_FEATURES ? 2 : 1;
}

static bool
find_features(ControlPlan *plan, Text *ret_reason)
{
    plan->degree = choose_degree(plan);
    u32 count = feature_count(plan->species.count, plan->degree);
    if (plan->degree > 1 && count > MOST_FEATURES) {
        rxn__text_printf(ret_reason,
                         "products of the counts up to degree %u would be %u features, more than "
                         "%u; --degree 1 takes the counts alone",
                         plan->degree, count, MOST_FEATURES);
        return false;
    }
    if (count > MOST_LINEAR) {
        rxn__text_printf(ret_reason,
                         "it takes up to %u species that change, of which no conservation law "
                         "gives the count; here are %u%s",
                         MOST_LINEAR, count,
                         plan->request->wrt_count ? ". 'score' and 'path' take any number" : "");
        return false;
    }
    for (u32 d = 1; d <= plan->degree; d++) {
        add_monomials(plan, (Monomial){0}, 0, d);
        plan->grade_end[d - 1] = plan->features.count;
    }
    return true;
}

/* ---- how features change ----------------------------------------------------------------------- */

static Expr
power_of(Network *network, Expr base, u32 power)
{
    Expr product = rxn__expr_number(network, 1);
    for (u32 k = 0; k < power; k++)
        product = expr_binary(network, EXPR_MUL, product, base);
    return product;
}

static double
binomial(u32 n, u32 k)
{
    return rxn__factorial(n) / (rxn__factorial(k) * rxn__factorial(n - k));
}

static Expr
add_to(Network *network, Expr sum, Expr term)
{
    return sum ? expr_binary(network, EXPR_ADD, sum, term) : term;
}

/* Adds up the terms of Π (x + ν)^power, expanded so that nothing cancels when Π x^power is left out. */
static Expr
expand(Network *network, const Monomial *monomial, const i32 *deltas, u32 factor, double number,
       Expr product, bool is_leading, Expr sum)
{
    if (factor == monomial->count) {
        if (is_leading)
            return sum;
        Expr term = expr_binary(network, EXPR_MUL, rxn__expr_number(network, number), product);
        return add_to(network, sum, term);
    }
    u32 power = monomial->factors[factor].power;
    Expr x = species_expr(network, monomial->factors[factor].species);
    for (u32 k = 0; k <= power; k++) {
        double coefficient = binomial(power, k) * pow(deltas[factor], power - k);
        if (coefficient == 0)
            continue;
        Expr longer = expr_binary(network, EXPR_MUL, product, power_of(network, x, k));
        sum = expand(network, monomial, deltas, factor + 1, number * coefficient, longer,
                     is_leading && k == power, sum);
    }
    return sum;
}

/* phi(x + ν_j) - phi(x); 0 where it is nothing. */
static Expr
change_of(Network *network, const Monomial *monomial, const Change *changes, u32 count)
{
    i32 deltas[RXN_MAX_DEGREE] = {0};
    bool any = false;
    for (u32 k = 0; k < monomial->count; k++)
        for (u32 c = 0; c < count; c++)
            if (changes[c].species == monomial->factors[k].species) {
                deltas[k] = changes[c].delta;
                any = true;
            }
    if (!any)
        return 0;
    return expand(network, monomial, deltas, 0, 1, rxn__expr_number(network, 1), true, 0);
}

static void
add_pair(ControlPlan *plan, u32 feature, u32 leaf, Expr slope)
{
    if (!slope || rxn__expr_is_zero(plan->request->network, slope))
        return;
    ControlPair pair = {feature, leaf, slope};
    vec_push(plan->arena, &plan->pairs, pair);
}

static void
find_integrals(ControlPlan *plan)
{
    const GradientRequest *request = plan->request;
    Network *network = request->network;
    u32 features = plan->features.count, reactions = network->reaction_count;
    u32 leaves = request->wrt_count;
    plan->change = NEW_ARRAY(plan->arena, Expr, (size_t)features * reactions + 1);
    plan->generator = NEW_ARRAY(plan->arena, Expr, features + 1);
    Expr *covariance = NEW_ARRAY(plan->arena, Expr, (size_t)features * leaves + 1);
    for (u32 j = 0; j < reactions; j++) {
        u32 count, member;
        Change *changes = changes_of(network, j, plan->arena, &count);
        Reaction reaction = *rxn__reaction_of_flat(network, j, &member);
        Expr propensity = rxn__reaction_member_propensity(network, &reaction, member);
        Expr *derivative = NEW_ARRAY(plan->arena, Expr, leaves + 1);
        for (u32 p = 0; p < leaves; p++)
            derivative[p] = rxn__expr_derivative(network, propensity, EXPR_PARAM, request->wrt[p]);
        for (u32 f = 0; f < features; f++) {
            Expr change = change_of(network, &plan->features.items[f], changes, count);
            plan->change[(size_t)f * reactions + j] = change;
            if (!change)
                continue;
            plan->generator[f] = add_to(network, plan->generator[f],
                                        expr_binary(network, EXPR_MUL, change, propensity));
            for (u32 p = 0; p < leaves; p++) {
                if (rxn__expr_is_zero(network, derivative[p]))
                    continue;
                Expr *sum = &covariance[(size_t)f * leaves + p];
                *sum = add_to(network, *sum, expr_binary(network, EXPR_MUL, change, derivative[p]));
            }
        }
    }
    for (u32 f = 0; f < features; f++)
        for (u32 p = 0; p < leaves; p++)
            add_pair(plan, f, p, covariance[(size_t)f * leaves + p]);
}

/* ---- times ------------------------------------------------------------------------------------- */

typedef VEC(double) Times;

static int
compare_times(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void
sort_times(Times *times)
{
    u32 kept = 0;
    qsort(times->items, times->count, sizeof *times->items, compare_times);
    for (u32 k = 0; k < times->count; k++)
        if (k == 0 || times->items[k] != times->items[kept - 1])
            times->items[kept++] = times->items[k];
    times->count = kept;
}

/* Even bins from 0 to the end; with edges at the times that are read, if they are few. Before the last
 * of them bins get shorter: there V turns into F, at the pace of the fastest species. */
static void
find_edges(const ControlPlan *plan, Times *edges)
{
    const Objective *objective = plan->request->network->objective;
    u32 bins = plan->request->bins ? plan->request->bins : DEFAULT_BINS;
    for (u32 b = 0; b < bins; b++)
        vec_push(plan->arena, edges, objective->end * b / bins);
    for (u32 k = 0; objective->times.count <= MOST_EDGES && k < objective->times.count; k++)
        vec_push(plan->arena, edges, objective->times.items[k]);
    Times lasts = {0};
    for (u32 i = 0; i < objective->functionals.count; i++)
        vec_push(plan->arena, &lasts, objective->functionals.items[i].last);
    sort_times(&lasts);
    sort_times(edges);
    for (u32 k = 0; lasts.count <= MOST_HALVED && k < lasts.count; k++) {
        double last = lasts.items[k], before = 0;
        for (u32 e = 0; e < edges->count && edges->items[e] < last; e++)
            before = edges->items[e];
        for (u32 h = 0; h < HALVINGS && last > 0; h++) {
            before = 0.5 * (before + last);
            vec_push(plan->arena, edges, before);
        }
    }
    sort_times(edges);
}

static i32
row_of(const ControlPlan *plan, double time)
{
    i32 row = 0;
    while ((u32)row + 1 < plan->time_count && plan->times[row] != time)
        row++;
    return row;
}

static void
find_times(ControlPlan *plan)
{
    const Objective *objective = plan->request->network->objective;
    Arena *arena = plan->arena;
    Times edges = {0}, all = {0};
    find_edges(plan, &edges);
    for (u32 e = 0; e < edges.count; e++)
        vec_push(arena, &all, edges.items[e]);
    for (u32 k = 0; k < objective->times.count; k++)
        vec_push(arena, &all, objective->times.items[k]);
    sort_times(&all);
    plan->time_count = all.count;
    vec_push(arena, &all, INFINITY);
    plan->times = all.items;
    plan->edge_count = edges.count;
    plan->edge = NEW_ARRAY(arena, i32, edges.count + 1);
    for (u32 e = 0; e < edges.count; e++)
        plan->edge[e] = row_of(plan, edges.items[e]);
    u32 functionals = objective->functionals.count;
    plan->last = NEW_ARRAY(arena, i32, functionals + 1);
    plan->edges_before = NEW_ARRAY(arena, i32, functionals + 1);
    for (u32 i = 0; i < functionals; i++) {
        plan->last[i] = row_of(plan, objective->functionals.items[i].last);
        while ((u32)plan->edges_before[i] < edges.count &&
               plan->edge[plan->edges_before[i]] < plan->last[i])
            plan->edges_before[i]++;
    }
}

static void
find_recorded(ControlPlan *plan)
{
    const Objective *objective = plan->request->network->objective;
    const Objective *extended = rxn__gradient_explicit(plan->request, plan->arena, &plan->partial);
    plan->recorded = NEW_ARRAY(plan->arena, Objective, 1);
    *plan->recorded = extended ? *extended : *objective;
    plan->recorded->times.items = plan->times;
    plan->recorded->times.count = plan->recorded->times.capacity = plan->time_count;
    for (u32 k = 0; k < objective->atoms.count; k++)
        plan->integrals += objective->atoms.items[k].kind == ATOM_INTEGRAL;
    plan->plain = !plan->partial;
    for (u32 i = 0; i < objective->functionals.count; i++) {
        const ExprNode *node =
            expr_node(plan->request->network, objective->functionals.items[i].value);
        plan->plain &=
            node->op == EXPR_QUANTITY && objective->atoms.items[node->object].kind == ATOM_STATE;
    }
}

/* ---- the plan ---------------------------------------------------------------------------------- */

size_t
rxn__control_size(const ControlPlan *plan)
{
    return ((size_t)plan->edge_count + 1) * plan->features.count;
}

static bool
is_affordable(const ControlPlan *plan, Text *ret_reason)
{
    size_t functionals = plan->request->network->objective->functionals.count;
    size_t width = plan->features.count + plan->pairs.count + plan->request->wrt_count;
    if (width * plan->time_count > MOST_KEPT) {
        rxn__text_printf(
            ret_reason, "%zu integrals at %u times are more than can be kept; %s would do", width,
            plan->time_count,
            plan->request->wrt_count
                ? "fewer parameters (--wrt) or bins (--bins), or the estimator 'score',"
                : "fewer sample times");
        return false;
    }
    if (functionals * (plan->request->wrt_count + 1) * rxn__control_size(plan) > MOST_WEIGHTS) {
        rxn__text_printf(ret_reason,
                         "%zu functionals with %zu weights each are too many; fewer times would do",
                         functionals, rxn__control_size(plan));
        return false;
    }
    return true;
}

const ControlPlan *
rxn__control_plan(const GradientRequest *request, Arena *arena, Text *ret_reason)
{
    ControlPlan *plan = NEW_ARRAY(arena, ControlPlan, 1);
    *plan = (ControlPlan){
        .request = request, .arena = arena, .by_jumps = request->network->events.count > 0};
    find_species(plan);
    if (!find_features(plan, ret_reason))
        return NULL;
    find_integrals(plan);
    find_times(plan);
    find_recorded(plan);
    return is_affordable(plan, ret_reason) ? plan : NULL;
}

/* ---- the pilot's rows -------------------------------------------------------------------------- */

u32
rxn__pilot_atoms(const ControlPlan *plan)
{
    return plan->plain ? 0 : plan->request->network->objective->atoms.count;
}

u32
rxn__pilot_partials(const ControlPlan *plan)
{
    const GradientRequest *request = plan->request;
    return plan->partial ? request->network->objective->functionals.count * request->wrt_count : 0;
}

u32
rxn__pilot_row(const ControlPlan *plan, u32 time)
{
    const Objective *objective = plan->request->network->objective;
    u32 width = plan->species.count + plan->features.count + plan->pairs.count + plan->integrals;
    return objective->functionals.count + rxn__pilot_atoms(plan) + rxn__pilot_partials(plan) +
           time * width;
}

u32
rxn__pilot_columns(const ControlPlan *plan)
{
    return rxn__pilot_row(plan, plan->time_count);
}
