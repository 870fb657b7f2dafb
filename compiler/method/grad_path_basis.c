/* grad_path_basis.c: the coordinates of the pathwise adjoint, and its derivatives in them (see grad_path.c). */
#include "compiler/method/grad_path.h"

#include <stdlib.h>
#include <string.h>

/* ---- coordinates ------------------------------------------------------------------------------- */

static i64
common_divisor(i64 a, i64 b)
{
    while (b) {
        i64 rest = a % b;
        a = b;
        b = rest;
    }
    return a < 0 ? -a : a;
}

/* row -= factor * pivot row, without fractions; false where numbers grow out of hand. */
static bool
eliminate(i64 *row, const i64 *pivot_row, u32 pivot, u32 count)
{
    if (!row[pivot])
        return true;
    i64 a = pivot_row[pivot], b = row[pivot], divisor = 0;
    for (u32 s = 0; s < count; s++) {
        row[s] = row[s] * a - pivot_row[s] * b;
        if (row[s] > INT32_MAX || row[s] < -INT32_MAX)
            return false;
        divisor = common_divisor(row[s], divisor);
    }
    for (u32 s = 0; divisor > 1 && s < count; s++)
        row[s] /= divisor;
    return true;
}

/* A species with a change of one, if there is one: then the basis has no fractions from this row. */
static u32
pivot_of(const i64 *row, u32 count)
{
    u32 found = count;
    for (u32 s = 0; s < count; s++)
        if (row[s] && (found == count || (llabs(row[s]) == 1 && llabs(row[found]) != 1)))
            found = s;
    return found;
}

/* Gauss-Jordan elimination of the change vectors, in whole numbers. */
static bool
find_basis(Path *path, Arena *arena, const Network *network, i32 *const *changes)
{
    enum { MOST_SPECIES = 256 };
    u32 count = network->species_count, rank = 0;
    if (count > MOST_SPECIES)
        return false;
    i64 **rows = NEW_ARRAY(arena, i64 *, count + 1);
    u32 *pivots = NEW_ARRAY(arena, u32, count + 1);
    for (u32 j = 0; j < network->reaction_count; j++) {
        i64 *row = NEW_ARRAY(arena, i64, count + 1);
        for (u32 s = 0; s < count; s++)
            row[s] = changes[j][s];
        for (u32 k = 0; k < rank; k++)
            if (!eliminate(row, rows[k], pivots[k], count))
                return false;
        u32 pivot = pivot_of(row, count);
        if (pivot == count)
            continue;
        for (u32 k = 0; k < rank; k++)
            if (!eliminate(rows[k], row, pivot, count))
                return false;
        rows[rank] = row;
        pivots[rank++] = pivot;
    }
    path->coordinates = rank;
    path->species = pivots;
    path->basis = NEW_ARRAY(arena, double, (size_t)rank *count + 1);
    for (u32 c = 0; c < rank; c++)
        for (u32 s = 0; s < count; s++)
            path->basis[(size_t)c * count + s] = (double)rows[c][s] / (double)rows[c][pivots[c]];
    return true;
}

static void
take_species(Path *path, Arena *arena, const Network *network)
{
    u32 count = network->species_count;
    path->coordinates = count;
    path->species = NEW_ARRAY(arena, u32, count + 1);
    path->basis = NEW_ARRAY(arena, double, (size_t)count *count + 1);
    for (u32 s = 0; s < count; s++) {
        path->species[s] = s;
        path->basis[(size_t)s * count + s] = 1;
    }
}

/* ---- derivatives ------------------------------------------------------------------------------- */

static Expr
scaled(Network *network, double factor, Expr value)
{
    if (factor == 1)
        return value;
    if (factor == -1)
        return expr_unary(network, EXPR_NEG, value);
    return expr_binary(network, EXPR_MUL, rxn__expr_number(network, factor), value);
}

/* sum + factor * value; 0 is zero. */
static Expr
plus(Network *network, Expr sum, double factor, Expr value)
{
    if (!value || factor == 0)
        return sum;
    if (!sum)
        return scaled(network, factor, value);
    if (factor < 0)
        return expr_binary(network, EXPR_SUB, sum, scaled(network, -factor, value));
    return expr_binary(network, EXPR_ADD, sum, scaled(network, factor, value));
}

Expr
rxn__path_derivative(Network *network, Expr value, ExprOp op, u32 flat)
{
    Expr result = rxn__expr_derivative(network, value, op, flat);
    return rxn__expr_is_zero(network, result) ? 0 : result;
}

/* 1 where both change the same, -1 where one undoes the other, 0 else. */
static i32
sign_between(const PathReaction *a, const PathReaction *b)
{
    if (a->count != b->count)
        return 0;
    bool same = true, opposite = true;
    for (u32 k = 0; k < a->count; k++) {
        if (a->coordinate[k] != b->coordinate[k])
            return 0;
        same &= a->delta[k] == b->delta[k];
        opposite &= a->delta[k] == -b->delta[k];
    }
    return same ? 1 : opposite ? -1 : 0;
}

/* What a distinct change vector is worth is taken with the sign that makes its first number positive. */
static void
find_worths(Path *path, Arena *arena, u32 reactions)
{
    path->worth_of = NEW_ARRAY(arena, u32, reactions + 1);
    path->worth_sign = NEW_ARRAY(arena, i32, reactions + 1);
    for (u32 j = 0; j < reactions; j++) {
        PathReaction *reaction = &path->reactions[j];
        i32 first = reaction->count && reaction->delta[0] < 0 ? -1 : 1;
        u32 k = 0;
        while (k < path->worths && !sign_between(reaction, &path->reactions[path->worth_of[k]]))
            k++;
        reaction->worth = k;
        reaction->sign = first;
        if (k < path->worths)
            continue;
        path->worth_sign[path->worths] = first;
        path->worth_of[path->worths++] = j;
    }
}

void
rxn__path_coordinates(Path *path, Arena *arena, Network *network)
{
    u32 count = network->species_count, reactions = network->reaction_count;
    i32 **changes = NEW_ARRAY(arena, i32 *, reactions + 1);
    path->reactions = NEW_ARRAY(arena, PathReaction, reactions + 1);
    for (u32 j = 0; j < reactions; j++) {
        u32 member;
        Reaction reaction = *rxn__reaction_of_flat(network, j, &member);
        u32 most = reaction.reactants.count + reaction.products.count;
        Change *list = NEW_ARRAY(arena, Change, most + 1);
        u32 length = rxn__reaction_changes(network, &reaction, member, most, list);
        changes[j] = NEW_ARRAY(arena, i32, count + 1);
        for (u32 k = 0; k < length; k++)
            changes[j][list[k].species] = list[k].delta;
        path->reactions[j].propensity = rxn__reaction_member_propensity(network, &reaction, member);
    }
    if (network->events.count || !find_basis(path, arena, network, changes))
        take_species(path, arena, network);
    for (u32 j = 0; j < reactions; j++) {
        PathReaction *reaction = &path->reactions[j];
        reaction->coordinate = NEW_ARRAY(arena, u32, path->coordinates + 1);
        reaction->delta = NEW_ARRAY(arena, i32, path->coordinates + 1);
        for (u32 c = 0; c < path->coordinates; c++) {
            if (!changes[j][path->species[c]])
                continue;
            reaction->coordinate[reaction->count] = c;
            reaction->delta[reaction->count++] = changes[j][path->species[c]];
        }
    }
    find_worths(path, arena, reactions);
}

/* v_c · ∇ of an expression of the state, for all coordinates. */
void
rxn__path_along_basis(Path *path, Network *network, Expr value, Expr *ret_slopes)
{
    u32 count = network->species_count;
    for (u32 s = 0; s < count; s++) {
        Expr slope = rxn__path_derivative(network, value, EXPR_SPECIES, s);
        for (u32 c = 0; slope && c < path->coordinates; c++)
            ret_slopes[c] = plus(network, ret_slopes[c], path->basis[(size_t)c * count + s], slope);
    }
}

/* The degree of a polynomial of counts, up to what is the same throughout the trajectory; more than the limit: it is none, or of
 * a higher one. */
static u32
degree_of(const Network *network, Expr value, u32 limit)
{
    const ExprNode *node = expr_node(network, value);
    if (!rxn__expr_uses(network, value).species)
        return 0;
    u32 degree[2] = {0, 0};
    for (u32 k = 0; k < 2 && k < node->arg_count && node->op != EXPR_SPECIES; k++) {
        degree[k] = degree_of(network, node->args[k], limit);
        if (degree[k] > limit)
            return limit + 1;
    }
    switch (node->op) {
    case EXPR_SPECIES: return 1;
    case EXPR_NEG: return degree[0];
    case EXPR_CHOOSE: return node->number == 2 ? 2 * degree[0] : limit + 1;
    case EXPR_DIV: return degree[1] == 0 ? degree[0] : limit + 1;
    case EXPR_ADD:
    case EXPR_SUB: return degree[0] > degree[1] ? degree[0] : degree[1];
    case EXPR_MUL: return degree[0] + degree[1];
    default: return limit + 1;
    }
}

static bool
are_polynomials(const Network *network, const Expr *values, size_t count, u32 limit)
{
    for (size_t k = 0; k < count; k++)
        if (values[k] && degree_of(network, values[k], limit) > limit)
            return false;
    return true;
}

static bool
varies_with_time(const Network *network, Expr value)
{
    ExprUses uses = rxn__expr_uses(network, value);
    return uses.time || uses.window;
}

/* Sources that are polynomials that f32 holds: a product of two counts is below 2^106. Their sums leave constants out, which may
 * be anything. */
static void
find_sums(Path *path, Arena *arena, const Network *network)
{
    enum { MOST = 2 };
    u32 leaves = path->row.leaves, reactions = network->reaction_count;
    size_t count = (size_t)reactions * leaves;
    path->sum_of = NEW_ARRAY(arena, u32, count + 1);
    path->sums = NEW_ARRAY(arena, PathSum, count + 1);
    for (size_t k = 0; k < count; k++) {
        Expr source = path->source[k];
        bool suits = source && path->coordinates > 1 && !varies_with_time(network, source) &&
                     are_polynomials(network, &source, 1, MOST);
        path->sum_of[k] = suits ? path->sum_count : NO_SUM;
        if (suits)
            path->sums[path->sum_count++] = (PathSum){.leaf = (u32)(k % leaves), .source = source};
    }
}

bool
rxn__path_is_polynomial(const Path *path, const Network *network)
{
    enum { MOST = 100 };
    const Recorder *recorder = &path->tape->recorder;
    u32 n = path->coordinates, leaves = path->row.leaves, reactions = network->reaction_count;
    for (size_t k = 0; k < (size_t)reactions * leaves; k++)
        if (path->source[k] && path->sum_of[k] == NO_SUM &&
            rxn__expr_uses(network, path->source[k]).species)
            return false;
    return n > 1 &&
           are_polynomials(network, &path->kept[(size_t)recorder->columns.count * n],
                           (size_t)recorder->integrals.count * n, MOST) &&
           are_polynomials(network, path->along, (size_t)reactions * n, MOST);
}

void
rxn__path_differentiate(Path *path, Arena *arena, Network *network)
{
    u32 n = path->coordinates, leaves = path->row.leaves, reactions = network->reaction_count;
    path->slope = NEW_ARRAY(arena, Expr, (size_t)n * n + 1);
    path->source = NEW_ARRAY(arena, Expr, (size_t)reactions * leaves + 1);
    path->along = NEW_ARRAY(arena, Expr, (size_t)reactions * n + 1);
    for (u32 j = 0; j < reactions; j++) {
        const PathReaction *reaction = &path->reactions[j];
        for (u32 p = 0; reaction->count && p < leaves; p++)
            path->source[(size_t)j * leaves + p] = rxn__path_derivative(
                network, reaction->propensity, EXPR_PARAM, path->request->wrt[p]);
        if (!reaction->count)
            continue;
        Expr *along = &path->along[(size_t)j * n];
        rxn__path_along_basis(path, network, reaction->propensity, along);
        for (u32 c = 0; c < n; c++)
            for (u32 k = 0; k < reaction->count; k++) {
                Expr *slope = &path->slope[(size_t)c * n + reaction->coordinate[k]];
                *slope = plus(network, *slope, reaction->delta[k], along[c]);
            }
    }
    find_sums(path, arena, network);
}
