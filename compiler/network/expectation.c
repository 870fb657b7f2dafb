/* expectation.c: the normal form of an objective (objective.h) from what the user wrote.
 *
 * What sema hands over reads the state in three ways, all in one expression:
 *
 *     at(X, 1)*X + k          species and time stand for the --at time; QUANTITY n for reading n
 *
 * For one --at time it is brought to an expression of atoms: whole parts that read the state at that
 * time become one atom each, readings become theirs.
 *
 *     %q0*%q1 + k             q0 = X at 1, q1 = X at 2
 *
 * Then the expectation is taken, which is linear: factors and terms that are free of the state go
 * outside, and terms that end at different times are taken apart.
 *
 *     E[q0*q1] + k
 *
 * Variances are E[F^2] - E[F]^2, covariances E[F G] - E[F] E[G]. Where F is large at the start, or there are two times, they are
 * those of F - c, c being F at the start.
 *
 * Sums over a range stay rolled inside of an atom. One that joins readings has no rolled form, since a
 * QUANTITY has no index: it is written out, up to RXN_MAX_UNROLLED terms.
 */
#include "compiler/network/internal.h"
#include "compiler/network/objective.h"
#include "compiler/network/start.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STATE = USES_SPECIES | USES_TIME };

/* Numbers of equal things, by hash; open addressing. */
typedef struct Index {
    u64 *hashes;
    u32 *numbers; /* plus 1; 0: free */
    u32 count, capacity;
} Index;

struct ObjectiveBuilder {
    Network *network;
    Arena *arena;
    Arena *scratch; /* released after each output */
    Objective *objective;
    Index atoms, readings_index;
    VEC(Reading) readings;
    VEC(Expr) totals;   /* of readings that are TOTAL: their sum, once it is made; else 0 */
    u32 *functional_of; /* by expression: plus 1 */
    u32 functional_capacity;
    u32 unrolled;
    double time;          /* the --at time */
    NetworkStart *start;  /* once somebody has asked; no counts where the model leaves any open */
    VEC(double) at_start; /* of the first readings, what they are at the start; NaN: not known */
    ObjectiveProblem problem;
};

/* ---- Equal things ------------------------------------------------------------------------------ */

static u32
index_slot(const Index *index, u64 hash, u32 start)
{
    u32 slot = start;
    while (index->numbers[slot] != 0 && index->hashes[slot] != hash)
        slot = (slot + 1) & (index->capacity - 1);
    return slot;
}

static void
index_add(Arena *arena, Index *index, u64 hash, u32 number)
{
    if (index->count * 2 >= index->capacity) {
        Index larger = {.capacity = index->capacity ? index->capacity * 2 : 64};
        larger.hashes = NEW_ARRAY(arena, u64, larger.capacity);
        larger.numbers = NEW_ARRAY(arena, u32, larger.capacity);
        for (u32 i = 0; i < index->capacity; i++)
            if (index->numbers[i])
                index_add(arena, &larger, index->hashes[i], index->numbers[i] - 1);
        *index = larger;
    }
    u32 slot = (u32)hash & (index->capacity - 1);
    while (index->numbers[slot] != 0)
        slot = (slot + 1) & (index->capacity - 1);
    index->hashes[slot] = hash;
    index->numbers[slot] = number + 1;
    index->count++;
}

static u64
hash_double(u64 hash, double value)
{
    u64 bits;
    memcpy(&bits, &value, sizeof bits);
    return hash_mix(hash, bits);
}

static Expr
quantity(Network *network, u32 number)
{
    return rxn__expr_object(network, EXPR_QUANTITY, number, 0, NULL);
}

static Expr
atom(ObjectiveBuilder *builder, const Atom *wanted)
{
    Objective *objective = builder->objective;
    Index *index = &builder->atoms;
    u64 hash = hash_mix(wanted->kind, wanted->value);
    hash = hash_double(hash_double(hash, wanted->from), wanted->to);
    if (index->capacity > 0) {
        u32 slot = index_slot(index, hash, (u32)hash & (index->capacity - 1));
        for (; index->numbers[slot] != 0;
             slot = index_slot(index, hash, (slot + 1) & (index->capacity - 1))) {
            const Atom *known = &objective->atoms.items[index->numbers[slot] - 1];
            if (known->kind == wanted->kind && known->value == wanted->value &&
                known->from == wanted->from && known->to == wanted->to)
                return quantity(builder->network, index->numbers[slot] - 1);
        }
    }
    if (objective->atoms.count == RXN_MAX_ATOMS) {
        builder->problem = OBJECTIVE_TOO_MANY;
        return rxn__expr_number(builder->network, 0);
    }
    vec_push(builder->arena, &objective->atoms, *wanted);
    index_add(builder->arena, index, hash, objective->atoms.count - 1);
    return quantity(builder->network, objective->atoms.count - 1);
}

/* The expectation of this expression of atoms. */
static Expr
functional(ObjectiveBuilder *builder, Expr value)
{
    Network *network = builder->network;
    Objective *objective = builder->objective;
    if (value >= builder->functional_capacity) {
        u32 capacity = network->exprs.capacity;
        GROW_ZEROED(builder->arena, builder->functional_of, builder->functional_capacity, capacity);
        builder->functional_capacity = capacity;
    }
    if (builder->functional_of[value] == 0) {
        vec_push(builder->arena, &objective->functionals, ((Functional){.value = value}));
        builder->functional_of[value] = objective->functionals.count;
    }
    return quantity(network, builder->functional_of[value] - 1);
}

/* ---- Readings ---------------------------------------------------------------------------------- */

static bool
readings_equal(const Reading *a, const Reading *b)
{
    return a->kind == b->kind && a->has_span == b->has_span && a->value[0] == b->value[0] &&
           a->value[1] == b->value[1] && a->from == b->from && a->to == b->to && a->step == b->step;
}

Expr
rxn__objective_reading(ObjectiveBuilder *builder, const Reading *reading)
{
    if (reading->value[0] == 0 || (reading->kind == READING_COV && reading->value[1] == 0))
        return 0;
    Index *index = &builder->readings_index;
    u64 hash = hash_mix(hash_mix(reading->kind, reading->value[0]), reading->value[1]);
    hash = hash_double(hash_double(hash_double(hash, reading->from), reading->to), reading->step);
    if (index->capacity > 0) {
        u32 slot = index_slot(index, hash, (u32)hash & (index->capacity - 1));
        for (; index->numbers[slot] != 0;
             slot = index_slot(index, hash, (slot + 1) & (index->capacity - 1)))
            if (readings_equal(&builder->readings.items[index->numbers[slot] - 1], reading))
                return quantity(builder->network, index->numbers[slot] - 1);
    }
    vec_push(builder->arena, &builder->readings, *reading);
    vec_push(builder->arena, &builder->totals, 0);
    index_add(builder->arena, index, hash, builder->readings.count - 1);
    return quantity(builder->network, builder->readings.count - 1);
}

double
rxn__grid_points(double from, double to, double step)
{
    const double end_tolerance = 1e-9; /* of a step: as the sample times of a run have it */
    return floor((to - from) / step + end_tolerance) + 1;
}

static double
grid_time(const Reading *reading, u32 k)
{
    double time = reading->from + k * reading->step;
    return time > reading->to ? reading->to : time;
}

/* Added up in pairs, so that the sum of a long grid is not a deep expression. */
static Expr
pairwise_sum(Network *network, Expr *terms, u32 count)
{
    while (count > 1) {
        u32 half = count / 2;
        for (u32 i = 0; i < half; i++)
            terms[i] = expr_binary(network, EXPR_ADD, terms[2 * i], terms[2 * i + 1]);
        if (count % 2 != 0)
            terms[half] = terms[count - 1];
        count = half + count % 2;
    }
    return terms[0];
}

Expr
rxn__objective_sum(Network *network, Expr *terms, u32 count)
{
    return count > 0 ? pairwise_sum(network, terms, count) : rxn__expr_number(network, 0);
}

static Expr
total_over_grid(ObjectiveBuilder *builder, u32 number)
{
    Network *network = builder->network;
    const Reading reading = builder->readings.items[number];
    if (builder->totals.items[number] != 0)
        return builder->totals.items[number];
    u32 count = (u32)rxn__grid_points(reading.from, reading.to, reading.step);
    Expr *terms = NEW_ARRAY(builder->scratch, Expr, count);
    for (u32 k = 0; k < count; k++) {
        double time = grid_time(&reading, k);
        terms[k] = atom(builder, &(Atom){ATOM_STATE, reading.value[0], time, time});
    }
    Expr sum = pairwise_sum(network, terms, count);
    builder->totals.items[number] = sum;
    return sum;
}

/* What a reading of a trajectory is where its expression has turned out as free of the state, as a
 * member of a sum may. */
static Expr
read_nothing(ObjectiveBuilder *builder, const Reading *reading, double from, double to)
{
    Network *network = builder->network;
    Expr value = reading->value[0];
    double factor = 1;
    if (reading->kind == READING_PASSAGE)
        return rxn__expr(
            network, EXPR_SELECT,
            (Expr[]){value, rxn__expr_number(network, 0), rxn__expr_number(network, to)});
    if (reading->kind == READING_INTEGRAL)
        factor = to - from;
    if (reading->kind == READING_TOTAL)
        factor = rxn__grid_points(reading->from, reading->to, reading->step);
    return expr_binary(network, EXPR_MUL, rxn__expr_number(network, factor), value);
}

static Expr
read_trajectory(ObjectiveBuilder *builder, u32 number)
{
    Network *network = builder->network;
    const Reading reading = builder->readings.items[number];
    double from = reading.has_span ? reading.from : 0;
    double to = reading.has_span ? reading.to : builder->time;
    if (reading.kind == READING_GIVEN)
        return reading.value[0];
    if (reading.kind != READING_AT && reading.kind != READING_TOTAL && !(from < to)) {
        builder->problem = OBJECTIVE_EMPTY_SPAN;
        return rxn__expr_number(network, 0);
    }
    if (!(expr_node(network, reading.value[0])->uses & USES_SPECIES))
        return read_nothing(builder, &reading, from, to);
    switch (reading.kind) {
    case READING_AT: return atom(builder, &(Atom){ATOM_STATE, reading.value[0], from, from});
    case READING_TOTAL: return total_over_grid(builder, number);
    case READING_PASSAGE: return atom(builder, &(Atom){ATOM_PASSAGE, reading.value[0], 0, to});
    default: break;
    }
    Expr integral = atom(builder, &(Atom){ATOM_INTEGRAL, reading.value[0], from, to});
    return reading.kind == READING_INTEGRAL
               ? integral
               : expr_binary(network, EXPR_DIV, integral, rxn__expr_number(network, to - from));
}

/* ---- Sums that join readings ------------------------------------------------------------------- */

static Expr unroll(ObjectiveBuilder *builder, Expr expr);

static Expr
unroll_rule(void *context, Expr expr)
{
    ObjectiveBuilder *builder = context;
    Network *network = builder->network;
    const ExprNode node = *expr_node(network, expr);
    if (!(node.uses & USES_QUANTITY))
        return expr;
    if (!expr_is_over((ExprOp)node.op))
        return 0;
    const Variable variable = network->variables.items[node.object];
    if (variable.high - variable.low >= RXN_MAX_UNROLLED - (i64)builder->unrolled) {
        builder->problem = OBJECTIVE_LONG_SUM;
        return rxn__expr_number(network, 0);
    }
    builder->unrolled += (u32)(variable.high - variable.low + 1);
    Expr result = 0;
    for (i64 i = variable.low; i <= variable.high; i++) {
        Expr value = rxn__expr_number(network, (double)i);
        Expr term = rxn__expr_substitute(network, node.args[0], 1, &node.object, &value);
        ExprOp op = node.op == EXPR_SUM ? EXPR_ADD : EXPR_MUL;
        result = result ? expr_binary(network, op, result, term) : term;
    }
    return unroll(builder, result);
}

/* Recurses on the C stack for sums inside sums only. */
static Expr
unroll(ObjectiveBuilder *builder, Expr expr)
{
    const u16 uses = expr_node(builder->network, expr)->uses;
    if (!(uses & USES_QUANTITY) || !(uses & USES_SUMS))
        return expr;
    ExprRewrite rewrite = {.network = builder->network,
                           .scratch = builder->scratch,
                           .rule = unroll_rule,
                           .context = builder};
    return rxn__expr_rewrite(&rewrite, expr);
}

/* ---- To atoms ---------------------------------------------------------------------------------- */

/* A part that reads the state at the --at time and nothing else. */
static Expr
state_atom(ObjectiveBuilder *builder, Expr expr)
{
    Network *network = builder->network;
    const bool is_bool = expr_node(network, expr)->is_bool;
    Expr zero = rxn__expr_number(network, 0), one = rxn__expr_number(network, 1);
    Expr value = is_bool ? rxn__expr(network, EXPR_SELECT, (Expr[]){expr, one, zero}) : expr;
    Expr read = atom(builder, &(Atom){ATOM_STATE, value, builder->time, builder->time});
    return is_bool ? expr_binary(network, EXPR_NE, read, zero) : read;
}

static Expr
to_atoms_rule(void *context, Expr expr)
{
    ObjectiveBuilder *builder = context;
    const ExprNode *node = expr_node(builder->network, expr);
    if (!(node->uses & (STATE | USES_QUANTITY)))
        return expr;
    if (node->op == EXPR_QUANTITY)
        return read_trajectory(builder, node->object);
    if (node->uses & USES_QUANTITY)
        return 0;
    if (node->uses & USES_SPECIES)
        return state_atom(builder, expr);
    return node->op == EXPR_TIME ? rxn__expr_number(builder->network, builder->time) : 0;
}

/* A reading, or a reading and a number. 0: it is neither. */
static Expr
read_simple(ObjectiveBuilder *builder, Expr expr)
{
    Network *network = builder->network;
    const ExprNode node = *expr_node(network, expr);
    if (node.op == EXPR_QUANTITY)
        return read_trajectory(builder, node.object);
    if (node.op != EXPR_ADD && node.op != EXPR_SUB)
        return 0;
    const ExprNode a = *expr_node(network, node.args[0]), b = *expr_node(network, node.args[1]);
    if (a.op == EXPR_QUANTITY && b.op == EXPR_NUMBER)
        return expr_binary(network, (ExprOp)node.op, read_trajectory(builder, a.object),
                           node.args[1]);
    if (a.op == EXPR_NUMBER && b.op == EXPR_QUANTITY)
        return expr_binary(network, (ExprOp)node.op, node.args[0],
                           read_trajectory(builder, b.object));
    return 0;
}

static Expr
to_atoms(ObjectiveBuilder *builder, Expr expr)
{
    Network *network = builder->network;
    const ExprNode node = *expr_node(network, expr);
    if (node.uses & USES_SPECIES && !(node.uses & USES_QUANTITY))
        return state_atom(builder, expr);
    /* A reading alone, less a number, or the product of two as covariances have it, is no case for a walk: a loss has
     * one for every row of the data. */
    Expr simple = read_simple(builder, expr);
    if (simple)
        return simple;
    if (node.op == EXPR_MUL) {
        Expr left = read_simple(builder, node.args[0]);
        Expr right = left ? read_simple(builder, node.args[1]) : 0;
        if (right)
            return expr_binary(network, EXPR_MUL, left, right);
    }
    ExprRewrite rewrite = {.network = builder->network,
                           .scratch = builder->scratch,
                           .rule = to_atoms_rule,
                           .context = builder};
    return rxn__expr_rewrite(&rewrite, unroll(builder, expr));
}

/* ---- Expectations ------------------------------------------------------------------------------ */

/* The times at which a part of an expression of atoms ends, first and last; first > last: free of atoms. */
typedef struct Ends {
    double first, last;
} Ends;

typedef struct Splitting {
    Network *network;
    Ends *ends; /* by expression */
    bool by_time;
    bool
        sampled; /* what depends on inputs differs from trajectory to trajectory, and stays inside */
} Splitting;

static Ends *
find_ends(ObjectiveBuilder *builder, Expr root)
{
    Network *network = builder->network;
    ExprList list = {0};
    rxn__expr_collect_begin(network);
    rxn__expr_collect(network, root, builder->scratch, &list);
    Ends *ends = NEW_ARRAY(builder->scratch, Ends, network->exprs.count);
    for (u32 i = 0; i < list.count; i++) {
        const ExprNode *node = expr_node(network, list.items[i]);
        Ends own = {INFINITY, -INFINITY};
        if (node->op == EXPR_QUANTITY)
            own.first = own.last = builder->objective->atoms.items[node->object].to;
        for (u32 k = 0; k < node->arg_count; k++) {
            own.first = fmin(own.first, ends[node->args[k]].first);
            own.last = fmax(own.last, ends[node->args[k]].last);
        }
        ends[list.items[i]] = own;
    }
    return ends;
}

/* A sum is taken apart where a side is free of atoms, or its sides end at different times. */
static bool
stays_whole(void *context, Expr expr)
{
    const Splitting *splitting = context;
    const ExprNode *node = expr_node(splitting->network, expr);
    for (u32 k = 0; splitting->sampled && k < node->arg_count; k++) {
        const u16 uses = expr_node(splitting->network, node->args[k])->uses;
        if (uses & USES_INPUTS && !(uses & USES_QUANTITY))
            return true;
    }
    if (node->op != EXPR_ADD && node->op != EXPR_SUB)
        return false;
    for (u32 k = 0; k < 2; k++)
        if (!(expr_node(splitting->network, node->args[k])->uses & USES_QUANTITY))
            return false;
    const Ends *ends = &splitting->ends[expr];
    return !splitting->by_time || ends->first == ends->last;
}

typedef struct EndedTerm {
    LinearTerm term;
    double last;
    u32 place;
} EndedTerm;

static int
compare_ended(const void *a, const void *b)
{
    const EndedTerm *x = a, *y = b;
    if (x->last != y->last)
        return x->last > y->last ? 1 : -1;
    return (x->place < y->place) - (x->place > y->place); /* the list is from the last term on */
}

/* The terms of an expression of atoms in order of the times at which they end; how many times. */
static u32
split(ObjectiveBuilder *builder, Splitting *splitting, Expr expr, LinearForm *ret_form,
      EndedTerm **ret_terms)
{
    rxn__expr_linear_form(builder->network, expr, stays_whole, splitting, builder->scratch,
                          ret_form);
    u32 count = ret_form->terms.count, times = 0;
    EndedTerm *terms = NEW_ARRAY(builder->scratch, EndedTerm, count);
    for (u32 i = 0; i < count; i++) {
        LinearTerm term = ret_form->terms.items[i];
        terms[i] = (EndedTerm){term, splitting->ends[term.node].last, i};
    }
    qsort(terms, count, sizeof *terms, compare_ended);
    for (u32 i = 0; i < count; i++)
        times += i == 0 || terms[i].last != terms[i - 1].last;
    *ret_terms = terms;
    return times;
}

/* E of an expression of atoms, as an expression of expectations. */
static Expr
expectation(ObjectiveBuilder *builder, Expr expr)
{
    Network *network = builder->network;
    const ExprNode *node = expr_node(network, expr);
    if (node->op == EXPR_QUANTITY)
        return functional(builder, expr);
    if (!(node->uses & USES_QUANTITY))
        return expr;
    if (node->op == EXPR_MUL && expr_node(network, node->args[0])->uses & USES_QUANTITY &&
        expr_node(network, node->args[1])->uses & USES_QUANTITY)
        return functional(builder, expr);
    Splitting splitting = {.network = network,
                           .ends = find_ends(builder, expr),
                           .by_time = true,
                           .sampled = builder->objective->sampled};
    LinearForm form;
    EndedTerm *terms;
    if (split(builder, &splitting, expr, &form, &terms) > RXN_MAX_SPLIT) {
        splitting.by_time = false;
        split(builder, &splitting, expr, &form, &terms);
    }
    Expr result = 0;
    for (u32 i = 0; i < form.terms.count;) {
        u32 end = i + 1;
        while (end < form.terms.count && terms[end].last == terms[i].last)
            end++;
        Expr coefficient = terms[i].term.coefficient, value = terms[i].term.node;
        if (end - i > 1) {
            Expr *parts = NEW_ARRAY(builder->scratch, Expr, end - i);
            for (u32 k = i; k < end; k++)
                parts[k - i] =
                    expr_binary(network, EXPR_MUL, terms[k].term.coefficient, terms[k].term.node);
            coefficient = rxn__expr_number(network, 1);
            value = pairwise_sum(network, parts, end - i);
        }
        Expr part = expr_binary(network, EXPR_MUL, coefficient, functional(builder, value));
        result = result ? expr_binary(network, EXPR_ADD, result, part) : part;
        i = end;
    }
    return expr_binary(network, EXPR_ADD, result, form.constant);
}

static Expr
expected(ObjectiveBuilder *builder, Expr expr)
{
    return expectation(builder, to_atoms(builder, expr));
}

/* What readings are at the start, by number. */
static const double *
readings_at_start(ObjectiveBuilder *builder, ExprValues values)
{
    for (u32 k = builder->at_start.count; k < builder->readings.count; k++) {
        const Reading *reading = &builder->readings.items[k];
        values.time = reading->to;
        const double value = reading->kind == READING_AT
                                 ? rxn__expr_evaluate(builder->network, reading->value[0], &values)
                                 : NAN;
        vec_push(builder->arena, &builder->at_start, value);
    }
    return builder->at_start.items;
}

/* The value of an expression at the start; 0 where it is below `least`, or not known. */
static double
shift_of(ObjectiveBuilder *builder, Expr expr, double least)
{
    Network *network = builder->network;
    const u16 uses = expr_node(network, expr)->uses;
    if (!(uses & (USES_SPECIES | USES_QUANTITY)))
        return 0;
    if (!builder->start) {
        builder->start = NEW(builder->arena, NetworkStart);
        if (!rxn__network_start(network, builder->arena, builder->start))
            builder->start->counts = NULL;
    }
    const NetworkStart *start = builder->start;
    if (!start->counts)
        return 0;
    ExprValues values = {.species = start->counts,
                         .params = start->params,
                         .variables = start->variables,
                         .time = builder->time};
    if (uses & USES_QUANTITY)
        values.quantities = readings_at_start(builder, values);
    const double value = rxn__expr_evaluate(network, expr, &values);
    return isfinite(value) && fabs(value) >= least ? value : 0;
}

static Expr
less(Network *network, Expr expr, double shift)
{
    return shift == 0 ? expr
                      : expr_binary(network, EXPR_SUB, expr, rxn__expr_number(network, shift));
}

/* E[F - shift]: of what is read at the --at time as it stands there, so that no digit is lost where F is large; of readings E[F] - shift,
 * since an E of them may be there already. */
static Expr
mean_less(ObjectiveBuilder *builder, Expr expr, double shift)
{
    Network *network = builder->network;
    if (expr_node(network, expr)->uses & USES_QUANTITY)
        return less(network, expected(builder, expr), shift);
    return expected(builder, less(network, expr, shift));
}

/* What both differ from the start by is taken where the difference of two large squares would have few digits; and where there are
 * two times, since scores have the product as their factor. Up to the first time the score of a covariance comes out
 * as if counts had been taken from their means, whatever they are taken from; the score of the time in between does not (dimerisation,
 * Schlögl: half to a quarter of the standard error, of score and martingale). */
static Expr
covariance(ObjectiveBuilder *builder, Expr a, Expr b)
{
    Network *network = builder->network;
    const double large = 1e4; /* its square has eight digits behind the point */
    const u16 uses = expr_node(network, a)->uses | expr_node(network, b)->uses;
    const double least = a != b && uses & USES_QUANTITY ? 0 : large;
    const double a_shift = shift_of(builder, a, least), b_shift = shift_of(builder, b, least);
    Expr product =
        expr_binary(network, EXPR_MUL, less(network, a, a_shift), less(network, b, b_shift));
    product = expected(builder, product);
    Expr a_mean = mean_less(builder, a, a_shift), b_mean = mean_less(builder, b, b_shift);
    return expr_binary(network, EXPR_SUB, product, expr_binary(network, EXPR_MUL, a_mean, b_mean));
}

static Expr
read_ensemble(ObjectiveBuilder *builder, u32 number)
{
    const Reading reading = builder->readings.items[number];
    const Expr a = reading.value[0], b = reading.value[1];
    switch (reading.kind) {
    case READING_VAR: return covariance(builder, a, a);
    case READING_SD: return expr_unary(builder->network, EXPR_SQRT, covariance(builder, a, a));
    case READING_COV: return covariance(builder, a, b);
    case READING_GIVEN: return a;
    default: return expected(builder, a);
    }
}

static Expr
mixed_rule(void *context, Expr expr)
{
    ObjectiveBuilder *builder = context;
    const ExprNode *node = expr_node(builder->network, expr);
    if (!(node->uses & (STATE | USES_QUANTITY)))
        return expr;
    if (node->op == EXPR_QUANTITY)
        return read_ensemble(builder, node->object);
    return node->op == EXPR_TIME ? rxn__expr_number(builder->network, builder->time) : 0;
}

/* ---- The entries ------------------------------------------------------------------------------- */

ObjectiveBuilder *
rxn__objective_begin(Network *network)
{
    ObjectiveBuilder *builder = NEW(network->arena, ObjectiveBuilder);
    builder->network = network;
    builder->arena = network->arena;
    builder->scratch = &network->tables->scratch;
    builder->objective = NEW(network->arena, Objective);
    return builder;
}

/* Calls `holds` for the readings in an expression until one does. */
static bool
some_reading(ObjectiveBuilder *builder, Expr expr,
             bool (*holds)(ObjectiveBuilder *builder, const Reading *reading))
{
    Network *network = builder->network;
    ExprList list = {0};
    if (!(expr_node(network, expr)->uses & USES_QUANTITY))
        return false;
    rxn__expr_collect_begin(network);
    rxn__expr_collect(network, expr, builder->scratch, &list);
    for (u32 i = 0; i < list.count; i++) {
        const ExprNode *node = expr_node(network, list.items[i]);
        if (node->op == EXPR_QUANTITY && holds(builder, &builder->readings.items[node->object]))
            return true;
    }
    return false;
}

static bool
reading_needs_time(ObjectiveBuilder *builder, const Reading *reading)
{
    if (reading->kind < READING_MEAN)
        return !reading->has_span;
    if (reading->kind == READING_GIVEN)
        return false;
    return rxn__objective_needs_time(builder, reading->value[0]) ||
           (reading->kind == READING_COV && rxn__objective_needs_time(builder, reading->value[1]));
}

bool
rxn__objective_needs_time(ObjectiveBuilder *builder, Expr value)
{
    return expr_node(builder->network, value)->uses & STATE ||
           some_reading(builder, value, reading_needs_time);
}

static bool
is_of_ensemble(ObjectiveBuilder *builder, const Reading *reading)
{
    (void)builder;
    return reading->kind >= READING_MEAN;
}

bool
rxn__objective_is_mixed(ObjectiveBuilder *builder, Expr value)
{
    return some_reading(builder, value, is_of_ensemble);
}

static ObjectiveProblem
begin_value(ObjectiveBuilder *builder, double time)
{
    builder->time = time;
    builder->unrolled = 0;
    return builder->problem = OBJECTIVE_GOOD;
}

ObjectiveProblem
rxn__objective_value(ObjectiveBuilder *builder, Expr value, double time, Expr *ret_value)
{
    begin_value(builder, time);
    const ExprNode node = *expr_node(builder->network, value);
    if (node.op == EXPR_QUANTITY && builder->readings.items[node.object].kind >= READING_MEAN) {
        *ret_value = read_ensemble(builder, node.object);
    } else if (rxn__objective_is_mixed(builder, value)) {
        ExprRewrite rewrite = {.network = builder->network,
                               .scratch = builder->scratch,
                               .rule = mixed_rule,
                               .context = builder};
        *ret_value = rxn__expr_rewrite(&rewrite, unroll(builder, value));
    } else {
        *ret_value = expected(builder, value);
    }
    rxn__arena_release(builder->scratch);
    return builder->problem;
}

ObjectiveProblem
rxn__objective_of_trajectory(ObjectiveBuilder *builder, Expr value, double time, Expr *ret_atoms)
{
    begin_value(builder, time);
    *ret_atoms = to_atoms(builder, value);
    rxn__arena_release(builder->scratch);
    return builder->problem;
}

Expr
rxn__objective_expected(ObjectiveBuilder *builder, Expr atoms)
{
    Expr value = expectation(builder, atoms);
    rxn__arena_release(builder->scratch);
    return value;
}

Expr
rxn__objective_given(ObjectiveBuilder *builder, Expr value)
{
    Reading reading = {.kind = READING_GIVEN, .value = {value}};
    vec_push(builder->arena, &builder->readings, reading);
    vec_push(builder->arena, &builder->totals, 0);
    return quantity(builder->network, builder->readings.count - 1);
}

void
rxn__objective_output(ObjectiveBuilder *builder, const char *label, double time, Expr value)
{
    Output output = {.label = label, .time = time, .value = value};
    vec_push(builder->arena, &builder->objective->outputs, output);
}

void
rxn__objective_samples(ObjectiveBuilder *builder)
{
    builder->objective->sampled = true;
}

ObjectiveProblem
rxn__objective_add(ObjectiveBuilder *builder, const char *label, Expr value, double time)
{
    Expr result;
    ObjectiveProblem problem = rxn__objective_value(builder, value, time, &result);
    if (problem == OBJECTIVE_GOOD && !(expr_node(builder->network, result)->uses & USES_QUANTITY))
        problem = OBJECTIVE_NO_STATE;
    if (problem == OBJECTIVE_GOOD)
        rxn__objective_output(builder, label, time, result);
    return problem;
}

void
rxn__objective_end(ObjectiveBuilder *builder)
{
    builder->network->objective = builder->objective;
    rxn__objective_finish(builder->network);
}
