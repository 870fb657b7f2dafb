/* grad_path.c: the pathwise adjoint (path-adjoint), and the choice between it and its forward mode (path).
 *
 * Along the exact path, with x constant between jumps, backward from the end:
 *
 *   λ' = -J(x)ᵀ λ - Σ ∇g  (g: the integrands in force),  J = Σ_j ν_j ∇a_jᵀ,  λ += ∇F at each observation,
 *   dE[F]/dp = Σ over steps of Σ_j da_j/dp (ν_j · Λ),  Λ = ∫ λ dt over the step.
 *
 * λ only ever meets the changes ν_j. So it is carried in the coordinates of a basis of the space that they
 * span, h_c = v_c · λ: one number for dimerisation, seven for the oscillator of Vilar and others with nine
 * species. The basis is in reduced echelon form: v_c is 1 at its own species, which is 0 in the other vectors, so
 * that ν_j = Σ_c ν_j[species of c] v_c, and
 *
 *   h' = -M h - g,   M_cd = v_c · ∇f_d,   f_d = Σ_j ν_j[species of d] a_j:  the drift of that species.
 *
 * (Where an event assigns, λ itself is wanted: the basis is then that of the species.)
 *
 * A step of length t: with S = t M, the mean of h over it is Λ/t = Σ_k S^k (h + S⁻¹ t g)/(k+1)!, a Taylor series; then
 * h(start) = h(end) + S Λ/t + t g. A few terms do in nearly every step, since h changes little between two
 * events: when the last one is below TOLERANCE of h, the rest, smaller by ‖S‖/(k+2) and more, is left out.
 * Otherwise more terms are added, and if they are not enough either, the step is cut.
 *
 * Nothing is masked where a propensity is zero: at a count of 0 the gradient of k x is still k, and an affine
 * network is differentiated without bias only so.
 */
#include "compiler/method/grad_family.h"
#include "compiler/method/grad_tape.h"
#include "compiler/method/pathwise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

extern const Estimator rxn__estimator_path_forward;

/* The relative size of the last term of the series that is taken to be enough; the terms that are always
 * computed, and pairs of terms where these are not enough (36 reach to some ‖S‖ = 10, where cancellation costs
 * four of sixteen digits). Then the step is cut into parts with ‖S‖ <= CUT_REACH; 2^18/19! = 2e-12. What is
 * smaller than LEAST_SINGLE is not left to f32, whose numbers end at 1e-38; and FLOOR_SINGLE, which is nothing
 * against that, is added to each term, since terms that fade out below 1e-38 are slow (denormal). */
#define TOLERANCE    1e-9
#define LEAST_SINGLE 1e-15
#define FLOOR_SINGLE 1e-30
#define CUT_REACH    2.0
enum { FIRST_TERMS = 10, MORE_TURNS = 17, CUT_TERMS = 18 };

/* Numbers that a gradient kernel keeps per trajectory. */
enum { MOST_SUMS = 1 << 20 };

/* One reaction changes what the estimator sees of the state, and how. */
typedef struct PathReaction {
    Expr propensity;
    u32 count; /* coordinates that it changes */
    u32 *coordinate;
    i32 *delta;
} PathReaction;

typedef struct Path {
    Tape *tape;
    const GradientRequest *request;
    GradientRow row;

    u32 coordinates;
    u32 *species;  /* of each coordinate */
    double *basis; /* [coordinate * species_count + species] */
    PathReaction *reactions;
    Expr *slope;  /* M: [c * coordinates + d]; 0: zero */
    Expr *source; /* da_j/dp: [reaction * leaves + leaf]; 0: zero */
    Expr *kept;   /* v_c · ∇ of what the recorder keeps: [column * coordinates + c]; 0: zero */

    u32 adjoint;  /* f64[sets * coordinates] locals, one each: h */
    u32 area;     /* the same: its integral over the step */
    u32 mean;     /* f64 per coordinate: its mean over a piece of the step */
    u32 force;    /* f64[sets * integrals]: weight of each integrand that is in force */
    u32 gradient; /* f64[sets * leaves] */
    u32 largest;  /* |h| */
    u32 at;       /* f64: where in the step the adjoint stands */
    u32 settled;  /* bool: the series has converged */
    u32 cut_adjoint, cut_area, cut_term, cut_sum, cut_left; /* of a step that is cut */
} Path;

static KirValue
f64(Path *path, double value)
{
    return rxn__kir_const(path->tape->frame->builder, KIR_F64, value);
}

static KirValue
element(Path *path, u32 number)
{
    return rxn__kir_const(path->tape->frame->builder, KIR_I32, number);
}

static KirValue
get(Path *path, u32 local, u32 number)
{
    return rxn__kir_get(path->tape->frame->builder, local, element(path, number));
}

static void
set(Path *path, u32 local, u32 number, KirValue value)
{
    rxn__kir_set(path->tape->frame->builder, local, element(path, number), value);
}

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

static Expr
derivative(Network *network, Expr value, ExprOp op, u32 flat)
{
    Expr result = rxn__expr_derivative(network, value, op, flat);
    return rxn__expr_is_zero(network, result) ? 0 : result;
}

static void
find_coordinates(Path *path, Arena *arena, Network *network)
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
}

/* v_c · ∇ of an expression of the state, for all coordinates. */
static void
along_basis(Path *path, Network *network, Expr value, Expr *ret_slopes)
{
    u32 count = network->species_count;
    for (u32 s = 0; s < count; s++) {
        Expr slope = derivative(network, value, EXPR_SPECIES, s);
        for (u32 c = 0; slope && c < path->coordinates; c++)
            ret_slopes[c] = plus(network, ret_slopes[c], path->basis[(size_t)c * count + s], slope);
    }
}

static void
differentiate(Path *path, Arena *arena, Network *network)
{
    u32 n = path->coordinates, leaves = path->row.leaves, reactions = network->reaction_count;
    path->slope = NEW_ARRAY(arena, Expr, (size_t)n * n + 1);
    path->source = NEW_ARRAY(arena, Expr, (size_t)reactions * leaves + 1);
    Expr *along = NEW_ARRAY(arena, Expr, n + 1);
    for (u32 j = 0; j < reactions; j++) {
        const PathReaction *reaction = &path->reactions[j];
        for (u32 p = 0; reaction->count && p < leaves; p++)
            path->source[(size_t)j * leaves + p] =
                derivative(network, reaction->propensity, EXPR_PARAM, path->request->wrt[p]);
        if (!reaction->count)
            continue;
        memset(along, 0, n * sizeof *along);
        along_basis(path, network, reaction->propensity, along);
        for (u32 c = 0; c < n; c++)
            for (u32 k = 0; k < reaction->count; k++) {
                Expr *slope = &path->slope[(size_t)c * n + reaction->coordinate[k]];
                *slope = plus(network, *slope, reaction->delta[k], along[c]);
            }
    }
}

/* ---- declarations ------------------------------------------------------------------------------ */

static u32
array_local(Path *path, const char *name, u32 length)
{
    return rxn__kir_local(path->tape->frame->builder, name, KIR_F64, length ? length : 1);
}

static void
declare(Tape *tape, void *context)
{
    Path *path = context;
    SsaFrame *frame = tape->frame;
    Network *network = frame->network;
    Recorder *recorder = &tape->recorder;
    path->tape = tape;
    find_coordinates(path, frame->arena, network);
    differentiate(path, frame->arena, network);
    u32 n = path->coordinates, columns = recorder->columns.count;
    path->kept = NEW_ARRAY(frame->arena, Expr, (size_t)recorder->width * n + 1);
    for (u32 k = 0; k < recorder->width; k++)
        along_basis(path, network,
                    k < columns ? recorder->columns.items[k]
                                : recorder->integrals.items[k - columns].slope,
                    &path->kept[(size_t)k * n]);
    path->adjoint = array_local(path, "adjoint", tape->sets * n);
    path->area = array_local(path, "area", tape->sets * n);
    path->mean = array_local(path, "mean", n);
    path->force = array_local(path, "force", tape->sets * recorder->integrals.count);
    path->gradient = array_local(path, "gradient", tape->sets * tape->row.leaves);
    path->largest = rxn__kir_local(frame->builder, "largest", KIR_F64, 0);
    path->at = rxn__kir_local(frame->builder, "at", KIR_F64, 0);
    path->settled = rxn__kir_local(frame->builder, "settled", KIR_BOOL, 0);
    path->cut_adjoint = array_local(path, "cut_adjoint", n);
    path->cut_area = array_local(path, "cut_area", n);
    path->cut_term = array_local(path, "cut_term", n);
    path->cut_sum = array_local(path, "cut_sum", n);
    path->cut_left = rxn__kir_local(frame->builder, "cut_left", KIR_F64, 0);
}

static void
seed(Tape *tape, void *context)
{
    Path *path = context;
    for (u32 k = 0; k < tape->sets; k++)
        for (u32 p = 0; p < tape->row.leaves; p++) {
            KirValue direct = rxn__tape_explicit(tape, k, p);
            if (direct)
                set(path, path->gradient, k * tape->row.leaves + p, direct);
        }
}

/* ---- a step ------------------------------------------------------------------------------------ */

/* Of the step, as values; 0: zero. */
typedef struct StepValues {
    KirValue *slope;  /* M */
    KirValue *scaled; /* S: M times the length of the piece; where it is wanted in f64 */
    KirValue *single; /* the same in f32 */
    KirValue *source; /* da_j/dp */
    KirValue *force;  /* v_c · ∇ of integrand k: [integral * coordinates + c] */
    KirValue length;  /* of the piece */
} StepValues;

static KirValue *
lower_all(Path *path, const Expr *exprs, size_t count)
{
    SsaFrame *frame = path->tape->frame;
    KirValue *values = NEW_ARRAY(frame->arena, KirValue, count + 1);
    for (size_t k = 0; k < count; k++)
        if (exprs[k])
            values[k] = rxn__lower_as(&frame->lower, exprs[k], KIR_F64);
    return values;
}

/* sum + x y; 0 is zero. */
static KirValue
plus_product(Path *path, KirValue sum, KirValue x, KirValue y)
{
    KirBuilder *b = path->tape->frame->builder;
    if (!x || !y)
        return sum;
    return sum ? kir_fma(b, x, y, sum) : kir_mul(b, x, y);
}

static void
apply(Path *path, const KirValue *matrix, const KirValue *vector, KirValue *ret)
{
    u32 n = path->coordinates;
    for (u32 c = 0; c < n; c++) {
        ret[c] = 0;
        for (u32 d = 0; d < n; d++)
            ret[c] = plus_product(path, ret[c], matrix[c * n + d], vector[d]);
    }
}

/* The greatest absolute value; 0: all are zero. */
static KirValue
size_of(Path *path, const KirValue *vector)
{
    KirBuilder *b = path->tape->frame->builder;
    KirValue size = 0;
    for (u32 c = 0; c < path->coordinates; c++)
        if (vector[c]) {
            KirValue magnitude = kir_abs(b, vector[c]);
            size = size ? kir_max(b, size, magnitude) : magnitude;
        }
    return size;
}

/* S v + t g: how much the adjoint changes over the piece where v is its mean. */
static void
change_over(Path *path, const StepValues *step, const KirValue *mean, const KirValue *force,
            KirValue *ret)
{
    KirBuilder *b = path->tape->frame->builder;
    apply(path, step->slope, mean, ret);
    for (u32 c = 0; c < path->coordinates; c++) {
        if (!ret[c])
            ret[c] = force[c];
        else
            ret[c] = force[c] ? kir_fma(b, step->length, ret[c], force[c])
                              : kir_mul(b, step->length, ret[c]);
    }
}

/* t Σ weight v_c · ∇g over the integrands in force, of a set; 0: zero. */
static void
forces(Path *path, const StepValues *step, u32 number, KirValue *ret)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates, integrals = path->tape->recorder.integrals.count;
    for (u32 c = 0; c < n; c++) {
        ret[c] = 0;
        for (u32 k = 0; k < integrals; k++)
            if (step->force[k * n + c])
                ret[c] = plus_product(path, ret[c], step->force[k * n + c],
                                      get(path, path->force, number * integrals + k));
        if (ret[c])
            ret[c] = kir_mul(b, ret[c], step->length);
    }
}

/* The largest sum of a row of |S|. */
static KirValue
size_of_matrix(Path *path, const KirValue *matrix)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates;
    KirValue size = f64(path, 0);
    for (u32 c = 0; c < n; c++) {
        KirValue row = f64(path, 0);
        for (u32 d = 0; d < n; d++)
            if (matrix[c * n + d])
                row = kir_add(b, row, kir_abs(b, matrix[c * n + d]));
        size = kir_max(b, size, row);
    }
    return size;
}

/* One part of a piece that is cut, of `part` of its length. */
static void
cross_part(Path *path, const StepValues *step, const KirValue *force, KirValue part)
{
    KirBuilder *b = path->tape->frame->builder;
    Arena *arena = path->tape->frame->arena;
    u32 n = path->coordinates;
    KirValue *now = NEW_ARRAY(arena, KirValue, n + 1), *next = NEW_ARRAY(arena, KirValue, n + 1);
    for (u32 c = 0; c < n; c++) {
        KirValue value = get(path, path->cut_adjoint, c);
        set(path, path->cut_term, c, value);
        set(path, path->cut_sum, c, value);
    }
    KirValue order = rxn__kir_for(b, element(path, 1), element(path, CUT_TERMS + 1));
    KirValue k = kir_cast(b, KIR_F64, order);
    KirValue factor = kir_mul(b, part, kir_div(b, f64(path, 1), k));
    KirValue share = kir_div(b, f64(path, 1), kir_add(b, k, f64(path, 1)));
    KirValue first = kir_eq(b, order, element(path, 1));
    for (u32 c = 0; c < n; c++)
        now[c] = get(path, path->cut_term, c);
    apply(path, step->scaled, now, next);
    for (u32 c = 0; c < n; c++) {
        if (force[c]) {
            KirValue forced = kir_select(b, first, force[c], f64(path, 0));
            next[c] = next[c] ? kir_add(b, next[c], forced) : forced;
        }
        KirValue term = next[c] ? kir_mul(b, next[c], factor) : f64(path, 0);
        set(path, path->cut_term, c, term);
        set(path, path->cut_sum, c, kir_fma(b, term, share, get(path, path->cut_sum, c)));
    }
    rxn__kir_close(b);
    for (u32 c = 0; c < n; c++)
        now[c] = kir_mul(b, part, get(path, path->cut_sum, c));
    apply(path, step->scaled, now, next);
    for (u32 c = 0; c < n; c++) {
        KirValue value = get(path, path->cut_adjoint, c);
        value = next[c] ? kir_add(b, value, next[c]) : value;
        set(path, path->cut_adjoint, c, plus_product(path, value, part, force[c]));
        set(path, path->cut_area, c, kir_add(b, get(path, path->cut_area, c), now[c]));
    }
}

/* A piece in which rates of change are large against its length: in equal parts. */
static void
cross_in_parts(Path *path, const StepValues *step, const KirValue *adjoint, const KirValue *force)
{
    const double most_parts = 1e6; /* beyond that, and for what is no number, it is a fault */
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates;
    KirValue size = size_of_matrix(path, step->scaled);
    KirValue parts =
        kir_max(b, f64(path, 1), kir_ceil(b, kir_mul(b, size, f64(path, 1 / CUT_REACH))));
    KirValue possible = kir_and(b, kir_eq(b, size, size), kir_lt(b, parts, f64(path, most_parts)));
    rxn__kir_if(b, kir_not(b, possible));
    rxn__kir_set(b, path->tape->frame->t, 0, rxn__kir_get(b, path->at, 0));
    rxn__kir_trap(b, RXN_FAULT_STIFF, rxn__kir_const(b, KIR_U32, 0));
    rxn__kir_close(b);
    KirValue part = kir_div(b, f64(path, 1), parts);
    for (u32 c = 0; c < n; c++) {
        set(path, path->cut_adjoint, c, adjoint[c]);
        set(path, path->cut_area, c, f64(path, 0));
    }
    rxn__kir_set(b, path->cut_left, 0, parts);
    rxn__kir_loop(b);
    cross_part(path, step, force, part);
    KirValue left = kir_sub(b, rxn__kir_get(b, path->cut_left, 0), f64(path, 1));
    rxn__kir_set(b, path->cut_left, 0, left);
    rxn__kir_if(b, kir_not(b, kir_gt(b, left, f64(path, 0.5))));
    rxn__kir_break(b);
    rxn__kir_close(b);
    rxn__kir_close(b);
    for (u32 c = 0; c < n; c++)
        set(path, path->mean, c, get(path, path->cut_area, c));
}

/* The terms from the second on, straight, in f32: they are small against h, so that 24 bits of them are enough,
 * and a register holds twice as many. change: the first, S h + t g. ret_mean: h + all. Returns the size of the last
 * term, f64; 0: exact. A number that f32 does not hold makes it infinite or no number. */
static KirValue
first_terms(Path *path, const StepValues *step, const KirValue *adjoint, const KirValue *change,
            KirValue *ret_mean)
{
    KirBuilder *b = path->tape->frame->builder;
    Arena *arena = path->tape->frame->arena;
    u32 n = path->coordinates;
    KirValue *term = NEW_ARRAY(arena, KirValue, n + 1), *next = NEW_ARRAY(arena, KirValue, n + 1);
    KirValue *tail = NEW_ARRAY(arena, KirValue, n + 1);
    for (u32 c = 0; c < n; c++)
        term[c] = change[c] ? kir_cast(b, KIR_F32, change[c]) : 0;
    for (u32 k = 2; k <= FIRST_TERMS; k++) {
        KirValue share = rxn__kir_const(b, KIR_F32, 1 / rxn__factorial(k + 1));
        for (u32 c = 0; c < n; c++) {
            next[c] = 0;
            for (u32 d = 0; d < n; d++)
                if (step->single[c * n + d] && term[d])
                    next[c] = kir_fma(b, step->single[c * n + d], term[d],
                                      next[c] ? next[c] : rxn__kir_const(b, KIR_F32, FLOOR_SINGLE));
        }
        for (u32 c = 0; c < n; c++) {
            term[c] = next[c];
            tail[c] = !next[c]  ? tail[c]
                      : tail[c] ? kir_fma(b, next[c], share, tail[c])
                                : kir_mul(b, next[c], share);
        }
    }
    for (u32 c = 0; c < n; c++) {
        KirValue mean = plus_product(path, adjoint[c], f64(path, 0.5), change[c]);
        ret_mean[c] = tail[c] ? kir_add(b, mean, kir_cast(b, KIR_F64, tail[c])) : mean;
    }
    KirValue last = size_of(path, term);
    if (!last)
        return 0;
    return kir_mul(b, kir_cast(b, KIR_F64, last), f64(path, 1 / rxn__factorial(FIRST_TERMS + 1)));
}

/* All terms anew, in f64, two a turn, until the last one is small enough. */
static void
more_terms(Path *path, const StepValues *step, const KirValue *adjoint, const KirValue *change,
           KirValue enough)
{
    KirBuilder *b = path->tape->frame->builder;
    Arena *arena = path->tape->frame->arena;
    u32 n = path->coordinates;
    KirValue *now = NEW_ARRAY(arena, KirValue, n + 1), *next = NEW_ARRAY(arena, KirValue, n + 1);
    KirValue *total = NEW_ARRAY(arena, KirValue, n + 1);
    for (u32 c = 0; c < n; c++) {
        KirValue half = change[c] ? kir_mul(b, change[c], f64(path, 0.5)) : f64(path, 0);
        set(path, path->cut_term, c, half);
        set(path, path->mean, c, kir_add(b, adjoint[c], half));
    }
    KirValue turn = rxn__kir_for(b, element(path, 0), element(path, MORE_TURNS));
    KirValue order = kir_cast(b, KIR_F64, kir_add(b, turn, turn));
    for (u32 c = 0; c < n; c++) {
        now[c] = get(path, path->cut_term, c);
        total[c] = get(path, path->mean, c);
    }
    for (u32 k = 2; k <= 3; k++) {
        KirValue factor = kir_div(b, f64(path, 1), kir_add(b, order, f64(path, k + 1)));
        apply(path, step->scaled, now, next);
        for (u32 c = 0; c < n; c++) {
            now[c] = next[c] ? kir_mul(b, next[c], factor) : 0;
            total[c] = now[c] ? kir_add(b, total[c], now[c]) : total[c];
        }
    }
    for (u32 c = 0; c < n; c++) {
        set(path, path->cut_term, c, now[c] ? now[c] : f64(path, 0));
        set(path, path->mean, c, total[c]);
    }
    KirValue last = size_of(path, now);
    KirValue small = kir_le(b, last ? last : f64(path, 0), enough);
    rxn__kir_set(b, path->settled, 0, small);
    rxn__kir_if(b, small);
    rxn__kir_break(b);
    rxn__kir_close(b);
    rxn__kir_close(b);
}

/* Goes back over one piece of the step with one set. */
static void
cross_piece(Path *path, const StepValues *step, u32 number)
{
    SsaFrame *frame = path->tape->frame;
    KirBuilder *b = frame->builder;
    u32 n = path->coordinates;
    KirValue *adjoint = NEW_ARRAY(frame->arena, KirValue, n + 1);
    KirValue *force = NEW_ARRAY(frame->arena, KirValue, n + 1);
    KirValue *change = NEW_ARRAY(frame->arena, KirValue, n + 1);
    KirValue *mean = NEW_ARRAY(frame->arena, KirValue, n + 1);
    for (u32 c = 0; c < n; c++)
        adjoint[c] = get(path, path->adjoint, number * n + c);
    forces(path, step, number, force);
    KirValue size = size_of(path, adjoint), forced = size_of(path, force);
    KirValue largest = rxn__kir_get(b, path->largest, 0);
    rxn__kir_set(b, path->largest, 0, kir_max(b, size, largest));
    if (forced)
        size = kir_add(b, size, forced);

    change_over(path, step, adjoint, force, change);
    KirValue last = first_terms(path, step, adjoint, change, mean);
    for (u32 c = 0; c < n; c++)
        set(path, path->mean, c, mean[c]);
    if (last) {
        KirValue enough = kir_mul(b, size, f64(path, TOLERANCE));
        KirValue held =
            kir_or(b, kir_ge(b, size, f64(path, LEAST_SINGLE)), kir_le(b, size, f64(path, 0)));
        rxn__kir_if(b, kir_not(b, kir_and(b, kir_le(b, last, enough), held)));
        for (size_t k = 0; k < (size_t)n * n; k++)
            step->scaled[k] = step->slope[k] ? kir_mul(b, step->slope[k], step->length) : 0;
        more_terms(path, step, adjoint, change, enough);
        rxn__kir_if(b, kir_not(b, rxn__kir_get(b, path->settled, 0)));
        cross_in_parts(path, step, adjoint, force);
        rxn__kir_close(b);
        rxn__kir_close(b);
    }

    for (u32 c = 0; c < n; c++)
        mean[c] = get(path, path->mean, c);
    change_over(path, step, mean, force, change);
    for (u32 c = 0; c < n; c++) {
        if (change[c])
            set(path, path->adjoint, number * n + c, kir_add(b, adjoint[c], change[c]));
        KirValue area = get(path, path->area, number * n + c);
        set(path, path->area, number * n + c, kir_fma(b, step->length, mean[c], area));
    }
}

/* What is observed at the latest observation joins the adjoints; integrals that end or begin there come into
 * force or leave it. */
static void
observe(Path *path)
{
    Tape *tape = path->tape;
    SsaFrame *frame = tape->frame;
    KirBuilder *b = frame->builder;
    u32 n = path->coordinates, columns = tape->recorder.columns.count;
    u32 integrals = tape->recorder.integrals.count;
    rxn__lower_forget(&frame->lower);
    frame->lower.time = rxn__kir_get(b, tape->observation_time, 0);
    KirValue *kept = lower_all(path, path->kept, (size_t)columns * n);
    for (u32 s = 0; s < tape->sets; s++) {
        for (u32 k = 0; k < columns; k++) {
            KirValue weight = rxn__tape_weight(tape, s, k);
            for (u32 c = 0; c < n; c++)
                if (kept[k * n + c])
                    set(path, path->adjoint, s * n + c,
                        kir_fma(b, weight, kept[k * n + c], get(path, path->adjoint, s * n + c)));
        }
        for (u32 k = 0; k < integrals; k++) {
            KirValue weight = rxn__tape_weight(tape, s, columns + k);
            KirValue before = get(path, path->force, s * integrals + k);
            set(path, path->force, s * integrals + k, kir_add(b, before, weight));
        }
    }
    rxn__tape_observed(tape);
    frame->lower.time = 0;
    rxn__lower_forget(&frame->lower);
}

/* gradient += Σ_j da_j/dp (ν_j · Λ). */
static void
add_gradient(Path *path, const StepValues *step)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates, leaves = path->row.leaves;
    u32 reactions = path->tape->frame->network->reaction_count;
    KirValue *worth = NEW_ARRAY(path->tape->frame->arena, KirValue, reactions + 1);
    for (u32 s = 0; s < path->tape->sets; s++) {
        for (u32 j = 0; j < reactions; j++) {
            const PathReaction *reaction = &path->reactions[j];
            worth[j] = 0;
            for (u32 k = 0; k < reaction->count; k++) {
                KirValue area = get(path, path->area, s * n + reaction->coordinate[k]);
                i32 delta = reaction->delta[k];
                if (delta != 1 && delta != -1) {
                    area = kir_mul(b, area, f64(path, delta));
                    delta = 1;
                }
                worth[j] = !worth[j]   ? (delta < 0 ? kir_neg(b, area) : area)
                           : delta < 0 ? kir_sub(b, worth[j], area)
                                       : kir_add(b, worth[j], area);
            }
        }
        for (u32 p = 0; p < leaves; p++) {
            KirValue before = get(path, path->gradient, s * leaves + p), sum = before;
            for (u32 j = 0; j < reactions; j++)
                sum = plus_product(path, sum, step->source[(size_t)j * leaves + p], worth[j]);
            if (sum != before)
                set(path, path->gradient, s * leaves + p, sum);
        }
    }
}

static void
backward(Tape *tape, void *context, const TapeStep *step)
{
    Path *path = context;
    SsaFrame *frame = tape->frame;
    KirBuilder *b = frame->builder;
    u32 n = path->coordinates, columns = tape->recorder.columns.count;
    u32 integrals = tape->recorder.integrals.count;
    size_t squares = (size_t)n * n;
    rxn__tape_bind(tape, step);
    StepValues values = {
        .slope = lower_all(path, path->slope, squares),
        .source = lower_all(path, path->source,
                            (size_t)frame->network->reaction_count * path->row.leaves),
        .force = lower_all(path, &path->kept[(size_t)columns * n], (size_t)integrals * n),
        .scaled = NEW_ARRAY(frame->arena, KirValue, squares + 1),
        .single = NEW_ARRAY(frame->arena, KirValue, squares + 1),
    };
    KirValue *single = NEW_ARRAY(frame->arena, KirValue, squares + 1);
    for (size_t k = 0; k < squares; k++)
        single[k] = values.slope[k] ? kir_cast(b, KIR_F32, values.slope[k]) : 0;
    for (u32 k = 0; k < tape->sets * n; k++)
        set(path, path->area, k, f64(path, 0));
    rxn__kir_set(b, path->at, 0, step->end);

    /* From one observation to the next: in most steps there is none, and one turn. */
    rxn__kir_loop(b);
    KirValue observation = rxn__kir_get(b, tape->observation_time, 0);
    KirValue to = kir_max(b, observation, step->start);
    values.length = kir_sub(b, rxn__kir_get(b, path->at, 0), to);
    KirValue length = kir_cast(b, KIR_F32, values.length);
    for (size_t k = 0; k < squares; k++)
        values.single[k] = single[k] ? kir_mul(b, single[k], length) : 0;
    for (u32 s = 0; n && s < tape->sets; s++)
        cross_piece(path, &values, s);
    rxn__kir_if(b, kir_lt(b, observation, step->start));
    rxn__kir_break(b);
    rxn__kir_close(b);
    observe(path);
    rxn__kir_set(b, path->at, 0, to);
    rxn__kir_close(b);

    if (n)
        add_gradient(path, &values);
    rxn__lower_forget(&frame->lower);
}

/* λ before = (∂ of what it assigns)ᵀ λ after; what is assigned was worth nothing before. Parameters in it are held:
 * counts are whole numbers. */
static void
assigned(Tape *tape, void *context, u32 number, KirValue time)
{
    Path *path = context;
    SsaFrame *frame = tape->frame;
    KirBuilder *b = frame->builder;
    Network *network = frame->network;
    Event event = network->events.items[number];
    u32 n = path->coordinates, count = event.assignments.count;
    KirValue *after = NEW_ARRAY(frame->arena, KirValue, count + 1);
    frame->lower.time = time;
    for (u32 set_number = 0; set_number < tape->sets; set_number++) {
        u32 first = set_number * n;
        for (u32 k = 0; k < count; k++)
            after[k] = get(path, path->adjoint, first + event.assignments.items[k].member);
        for (u32 k = 0; k < count; k++)
            set(path, path->adjoint, first + event.assignments.items[k].member, f64(path, 0));
        for (u32 k = 0; k < count; k++) {
            Expr value = event.assignments.items[k].value;
            for (u32 s = 0; s < network->species_count; s++) {
                Expr slope = derivative(network, value, EXPR_SPECIES, s);
                if (slope)
                    set(path, path->adjoint, first + s,
                        kir_fma(b, rxn__lower_as(&frame->lower, slope, KIR_F64), after[k],
                                get(path, path->adjoint, first + s)));
            }
        }
    }
    frame->lower.time = 0;
}

static void
finish(Tape *tape, void *context)
{
    Path *path = context;
    SsaFrame *frame = tape->frame;
    u32 leaves = path->row.leaves;
    for (u32 s = 0; s < tape->sets; s++)
        for (u32 p = 0; p < leaves; p++)
            rxn__row_store(frame, rxn__row_direct(&tape->row, s, p),
                           get(path, path->gradient, s * leaves + p));
    rxn__row_store(frame, rxn__row_diagnostic(&tape->row, 0),
                   rxn__kir_get(frame->builder, path->largest, 0));
}

/* ---- the estimators ---------------------------------------------------------------------------- */

static bool
applies(const GradientRequest *request, Text *ret_reason)
{
    if (!rxn__pathwise_takes(request, ret_reason) || !rxn__tape_weights_fit(request, ret_reason))
        return false;
    GradientForm form = rxn__family_form(request, ret_reason);
    if (form != GRADIENT_FORM_UNROLLED)
        return form == GRADIENT_FORM_TABLE;
    u64 sums = (u64)request->network->objective->functionals.count * request->wrt_count;
    if (sums <= MOST_SUMS)
        return true;
    rxn__text_printf(ret_reason,
                     "%u functionals of %u parameters are too many sums for one trajectory",
                     request->network->objective->functionals.count, request->wrt_count);
    return false;
}

static bool
takes_tables(const GradientRequest *request, Arena *arena)
{
    Text ignored;
    rxn__text_init(&ignored, arena);
    return rxn__family_form(request, &ignored) == GRADIENT_FORM_TABLE;
}

static const char *
write_adjoint(const GradientRequest *request, Arena *arena, NameTable *names,
              GradientKernel *ret_kernel)
{
    const Objective *objective = request->network->objective;
    if (takes_tables(request, arena))
        return rxn__family_path_write(request, arena, names, ret_kernel);
    Path path = {.request = request,
                 .row = {.functionals = objective->functionals.count,
                         .outputs = objective->outputs.count,
                         .leaves = request->wrt_count,
                         .has_direct = true,
                         .by_output = rxn__tape_by_output(request, arena),
                         .diagnostic_count = 1,
                         .diagnostics = {{"largest |lambda|", SUMMARY_MAX}}}};
    TapeMethod method = {.context = &path,
                         .declare = declare,
                         .seed = seed,
                         .backward = backward,
                         .assigned = assigned,
                         .finish = finish};
    ret_kernel->leaves = rxn__gradient_param_leaves(request, arena);
    ret_kernel->unbiased = rxn__pathwise_is_unbiased(request, &ret_kernel->remarks);
    const char *broken =
        rxn__tape_write(request, &method, &path.row, arena, names, &ret_kernel->kernel);
    ret_kernel->row = path.row;
    return broken;
}

const Estimator rxn__estimator_path_adjoint = {
    .name = "path-adjoint",
    .summary = "pathwise derivative along the exact path, backward",
    .applies = applies,
    .write = write_adjoint,
};

/* Forward mode carries one vector per parameter, the adjoint one per output and a tape. */
static bool
goes_backward(const GradientRequest *request, Arena *arena)
{
    const Objective *objective = request->network->objective;
    u32 sets = rxn__tape_by_output(request, arena) ? objective->outputs.count
                                                   : objective->functionals.count;
    Text reason;
    rxn__text_init(&reason, arena);
    if (takes_tables(request, arena))
        return true;
    return request->wrt_count > sets && applies(request, &reason);
}

static bool
path_applies(const GradientRequest *request, Text *ret_reason)
{
    if (takes_tables(request, request->network->arena))
        return applies(request, ret_reason);
    return rxn__pathwise_applies(request, ret_reason);
}

static const char *
write_path(const GradientRequest *request, Arena *arena, NameTable *names,
           GradientKernel *ret_kernel)
{
    bool adjoint = goes_backward(request, arena);
    const Estimator *chosen = adjoint ? &rxn__estimator_path_adjoint : &rxn__estimator_path_forward;
    const char *broken = chosen->write(request, arena, names, ret_kernel);
    if (broken)
        return broken;
    Text text;
    if (takes_tables(request, arena))
        return NULL; /* backward is then the only way */
    rxn__text_init(&text, arena);
    rxn__text_printf(&text, "%s; %s, since there %s %u parameter%s and %u functional%s",
                     ret_kernel->remarks, adjoint ? "backward" : "forward",
                     request->wrt_count == 1 ? "is" : "are", request->wrt_count,
                     request->wrt_count == 1 ? "" : "s", ret_kernel->row.functionals,
                     ret_kernel->row.functionals == 1 ? "" : "s");
    ret_kernel->remarks = text.data;
    return NULL;
}

const Estimator rxn__estimator_path = {
    .name = "path",
    .summary =
        "pathwise derivative along the exact path: forward or backward, whichever is less work",
    .applies = path_applies,
    .write = write_path,
};
