/* grad_path_flow.c: how the pathwise adjoint goes back over one wait (see grad_path.c for what it is).
 *
 * Over a wait of length t in which the state is held, h' = -M h - g. With S = t M and f = S h + t g,
 *
 *   mean of h = h + φ₂(S) f,   h at the start = h + f + S φ₂(S) f,   φ₂(z) = (e^z - 1 - z)/z² = Σ z^k/(k+2)!.
 *
 * φ₂ of the matrix is taken by Newton's interpolation, as v₁ = f, v_{k+1} = (S - z_k) v_k and Σ c_k v_k. With all
 * nodes z_k at 0 that is the Taylor series, c_k = 1/(k+1)!. But waits are stiff where one species is lost far
 * faster than all else happens: S has one eigenvalue near -σ, σ being the largest loss of a coordinate, and the Taylor
 * series of e^-σ is long and cancels. So two of the nodes are at -σ: there the fast part of v vanishes, whatever σ is,
 * and the rest is as short as without it. Such a c_k is a divided difference of the exponential at zeros and -σ,
 *
 *   φ_n(-σ) = ((1/(n-1)!) - φ_{n-1}(-σ))/σ at n zeros and one -σ;   φ_n' = φ_n - n φ_{n+1} at two of them.
 *
 * The recurrence loses digits where σ is small, but only what the fast part of v is multiplied with, which is small
 * then; with σ >= LEAST_NODE nothing of it is seen, and the node may as well be there as at a smaller σ.
 *
 * All this is f32, since it is small against h: a register then has twice as many lanes. h itself, and ν_j · h, in
 * which large numbers cancel, are f64. When the last term is below TOLERANCE of h, the rest is left out. If it is not,
 * there are four more terms, with the second node at -σ; and if they are not enough either, or if the numbers are not
 * for f32, the wait is crossed in parts with ‖S‖ <= CUT_REACH, by a Taylor series in f64.
 */
#include "compiler/method/grad_path.h"

#include <string.h>

/* The relative size of the last term that is taken to be enough; numbers of terms: at first, and where these are not
 * enough. A step is for f32 where h is between LEAST_SINGLE and MOST_SINGLE and the step is not shorter than
 * SHORTEST_SINGLE: so its terms, and what it adds to gradients, stay away from the ends of f32 (1e±38). And |f| σ must
 * be below MOST_STIFF of h: f loses as much to rounding. */
#define TOLERANCE       1e-9
#define LEAST_SINGLE    1e-25
#define MOST_SINGLE     1e9
#define SHORTEST_SINGLE 1e-20
#define MOST_STIFF      1.0
#define LEAST_NODE      0.25
enum { FIRST_TERMS = 7, ALL_TERMS = 11, FAST_NODE = 2, SECOND_FAST_NODE = 8 };

/* Parts: the reach of one; its Taylor series, 2^24/25! = 1e-18 at the end of it. */
#define CUT_REACH     2.0
#define CUT_TOLERANCE 1e-12
enum { CUT_TERMS = 24 };

static KirValue
f64(Path *path, double value)
{
    return rxn__kir_const(path->tape->frame->builder, KIR_F64, value);
}

static KirValue
f32(Path *path, double value)
{
    return rxn__kir_const(path->tape->frame->builder, KIR_F32, value);
}

static KirValue *
new_vector(Path *path)
{
    return NEW_ARRAY(path->tape->frame->arena, KirValue, path->coordinates + 1);
}

void
rxn__path_declare_flow(Path *path)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates ? path->coordinates : 1;
    path->tail = rxn__kir_local(b, "tail", KIR_F32, n);
    path->settled = rxn__kir_local(b, "settled", KIR_BOOL, 0);
    static const char *const names[] = {"exp_s", "phi1_s", "phi2_s"};
    for (u32 k = 0; k < 3; k++)
        path->line[k] = rxn__kir_local(b, names[k], KIR_F64, 0);
    path->cut_adjoint = rxn__kir_local(b, "cut_adjoint", KIR_F64, n);
    path->cut_area = rxn__kir_local(b, "cut_area", KIR_F64, n);
    path->cut_term = rxn__kir_local(b, "cut_term", KIR_F64, n);
    path->cut_sum = rxn__kir_local(b, "cut_sum", KIR_F64, n);
    path->cut_left = rxn__kir_local(b, "cut_left", KIR_F64, 0);
}

KirValue *
rxn__path_lower_all(Path *path, const Expr *exprs, size_t count)
{
    SsaFrame *frame = path->tape->frame;
    KirValue *values = NEW_ARRAY(frame->arena, KirValue, count + 1);
    for (size_t k = 0; k < count; k++)
        if (exprs[k])
            values[k] = rxn__lower_as(&frame->lower, exprs[k], KIR_F64);
    return values;
}

/* ---- vectors; an element that is 0 is zero ----------------------------------------------------- */

/* sum + x y. */
static KirValue
plus_product(Path *path, KirValue sum, KirValue x, KirValue y)
{
    KirBuilder *b = path->tape->frame->builder;
    if (!x || !y)
        return sum;
    return sum ? kir_fma(b, x, y, sum) : kir_mul(b, x, y);
}

/* Elements of a row, the cheapest of the vector first: of a power's rows the long ones are known last, and no other has
 * to wait for them from its first element on. Returns their number. */
static u32
order_row(const Path *path, const KirValue *matrix, u32 row, u32 *ret_columns)
{
    u32 n = path->coordinates, count = 0;
    for (u32 length = 0; length <= n; length++)
        for (u32 d = 0; d < n; d++) {
            u32 elements = 0;
            for (u32 e = 0; e < n; e++)
                elements += matrix[d * n + e] != 0;
            if (elements == length && (matrix[row * n + d] || d == row))
                ret_columns[count++] = d;
        }
    return count;
}

/* ret = matrix · vector, with another diagonal where there is one. */
static void
apply(Path *path, const KirValue *matrix, const KirValue *diagonal, const KirValue *vector,
      KirValue *ret)
{
    u32 n = path->coordinates;
    u32 *columns = NEW_ARRAY(path->tape->frame->arena, u32, n + 1);
    for (u32 c = 0; c < n; c++) {
        u32 count = order_row(path, matrix, c, columns);
        ret[c] = 0;
        for (u32 k = 0; k < count; k++) {
            u32 d = columns[k];
            KirValue entry = diagonal && c == d ? diagonal[c] : matrix[c * n + d];
            ret[c] = plus_product(path, ret[c], entry, vector[d]);
        }
    }
}

/* The greatest of some values, or the least, pair by pair; 0: there are none. */
static KirValue
extreme_of(Path *path, KirOp op, KirValue *values, u32 count)
{
    for (; count > 1; count = (count + 1) / 2)
        for (u32 k = 0; 2 * k < count; k++)
            values[k] = 2 * k + 1 == count ? values[2 * k]
                                           : rxn__kir_op(path->tape->frame->builder, op,
                                                         values[2 * k], values[2 * k + 1], 0);
    return count ? values[0] : 0;
}

/* The greatest absolute value. */
static KirValue
size_of(Path *path, const KirValue *vector)
{
    KirValue *sizes = new_vector(path);
    u32 count = 0;
    for (u32 c = 0; c < path->coordinates; c++)
        if (vector[c])
            sizes[count++] = kir_abs(path->tape->frame->builder, vector[c]);
    return extreme_of(path, KIR_MAX, sizes, count);
}

/* sum + factor * value, for the whole numbers of change vectors. */
static KirValue
plus_scaled(Path *path, KirType type, KirValue sum, i32 factor, KirValue value)
{
    KirBuilder *b = path->tape->frame->builder;
    if (!value)
        return sum;
    if (factor != 1 && factor != -1) {
        value = kir_mul(b, value, rxn__kir_const(b, type, factor));
        factor = 1;
    }
    if (!sum)
        return factor < 0 ? kir_neg(b, value) : value;
    return factor < 0 ? kir_sub(b, sum, value) : kir_add(b, sum, value);
}

/* start + ν · vector, of each distinct change vector. */
static void
find_worths(Path *path, KirType type, const KirValue *start, const KirValue *vector, KirValue *ret)
{
    for (u32 w = 0; w < path->worths; w++) {
        const PathReaction *reaction = &path->reactions[path->worth_of[w]];
        ret[w] = start ? start[w] : 0;
        for (u32 k = 0; k < reaction->count; k++)
            ret[w] = plus_scaled(path, type, ret[w], path->worth_sign[w] * reaction->delta[k],
                                 vector[reaction->coordinate[k]]);
    }
}

/* Σ weight v_c · ∇g over the integrands in force, of a set. */
static void
find_forces(Path *path, const KirValue *slopes, u32 set, KirValue *ret)
{
    u32 n = path->coordinates, integrals = path->tape->recorder.integrals.count;
    for (u32 c = 0; c < n; c++) {
        ret[c] = 0;
        for (u32 k = 0; k < integrals; k++)
            if (slopes[k * n + c])
                ret[c] = plus_product(path, ret[c], slopes[k * n + c],
                                      path_get(path, path->force, set * integrals + k));
    }
}

/* gradient += Σ_j da_j/dp · area of ν_j · h, of a set. */
static void
add_gradient(Path *path, const KirValue *source, const KirValue *area, u32 set)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 leaves = path->row.leaves, reactions = path->tape->frame->network->reaction_count;
    for (u32 p = 0; p < leaves; p++) {
        KirValue before = path_get(path, path->gradient, set * leaves + p), sum = before;
        for (u32 j = 0; j < reactions; j++) {
            const PathReaction *reaction = &path->reactions[j];
            KirValue slope = source[(size_t)j * leaves + p], worth = area[reaction->worth];
            if (slope && worth && reaction->sign < 0)
                slope = kir_neg(b, slope);
            sum = plus_product(path, sum, slope, worth);
        }
        if (sum != before)
            path_set(path, path->gradient, set * leaves + p, sum);
    }
}

/* ---- the series -------------------------------------------------------------------------------- */

/* ret[n] = φ_n(-σ), n = first … last, given the one before. */
static void
continue_phi(Path *path, KirValue inverse, u32 first, u32 last, KirValue *phi)
{
    KirBuilder *b = path->tape->frame->builder;
    for (u32 n = first; n <= last; n++) {
        KirValue at_zero = kir_mul(b, inverse, f32(path, 1 / rxn__factorial(n - 1)));
        phi[n] = kir_fma(b, kir_neg(b, phi[n - 1]), inverse, at_zero);
    }
}

/* In f32: products factor by factor, since counts have few digits to lose there; all else is computed in f64 first. */
static KirValue
lower_single(Path *path, Expr expr)
{
    SsaFrame *frame = path->tape->frame;
    KirBuilder *b = frame->builder;
    ExprNode node = *expr_node(frame->network, expr);
    if (!rxn__expr_uses(frame->network, expr).species)
        return kir_cast(b, KIR_F32, rxn__lower_as(&frame->lower, expr, KIR_F64));
    if (node.op == EXPR_NEG)
        return kir_neg(b, lower_single(path, node.args[0]));
    if (node.op == EXPR_MUL)
        return kir_mul(b, lower_single(path, node.args[0]), lower_single(path, node.args[1]));
    return kir_cast(b, KIR_F32, rxn__lower_as(&frame->lower, expr, KIR_F64));
}

/* With one coordinate S is a number, and there is a closed form, in f64, of e^S, φ₁(S) = (e^S - 1)/S and φ₂(S); up to
 * |S| = 1 by the Taylor series of φ₂. */
static void
find_line(Path *path, PathWait *wait)
{
    enum { TERMS = 16 }; /* 1/18! = 2e-16 is left out */
    KirBuilder *b = path->tape->frame->builder;
    KirValue one = f64(path, 1), phi[3] = {0, 0, 0};
    KirValue slope = path->slope[0] ? rxn__path_lower_all(path, path->slope, 1)[0] : 0;
    KirValue line = slope ? kir_mul(b, slope, wait->length) : f64(path, 0);
    for (u32 k = TERMS; k-- > 0;) {
        KirValue share = f64(path, 1 / rxn__factorial(k + 2));
        phi[2] = phi[2] ? kir_fma(b, phi[2], line, share) : share;
    }
    phi[1] = kir_fma(b, line, phi[2], one);
    phi[0] = kir_fma(b, line, phi[1], one);
    for (u32 k = 0; k < 3; k++)
        rxn__kir_set(b, path->line[k], 0, phi[k]);
    rxn__kir_if(b, kir_not(b, kir_le(b, kir_abs(b, line), one)));
    phi[0] = rxn__kir_op(b, KIR_EXP, line, 0, 0);
    phi[1] = kir_div(b, kir_sub(b, phi[0], one), line);
    phi[2] = kir_div(b, kir_sub(b, phi[1], one), line);
    for (u32 k = 0; k < 3; k++)
        rxn__kir_set(b, path->line[k], 0, phi[k]);
    rxn__kir_close(b);
    wait->line = line;
}

void
rxn__path_wait(Path *path, KirValue length, PathWait *ret_wait)
{
    SsaFrame *frame = path->tape->frame;
    KirBuilder *b = frame->builder;
    u32 n = path->coordinates, reactions = frame->network->reaction_count;
    u32 integrals = path->tape->recorder.integrals.count;
    size_t squares = (size_t)n * n;
    *ret_wait = (PathWait){
        .length = length,
        .length_single = kir_cast(b, KIR_F32, length),
        .along = rxn__path_lower_all(path, path->along, (size_t)reactions * n),
        .source = rxn__path_lower_all(path, path->source, (size_t)reactions * path->row.leaves),
        .force =
            rxn__path_lower_all(path, &path->kept[(size_t)path->tape->recorder.columns.count * n],
                                (size_t)integrals * n),
        .matrix = NEW_ARRAY(frame->arena, KirValue, squares + 1),
        .shifted = new_vector(path),
        .phi = NEW_ARRAY(frame->arena, KirValue, ALL_TERMS + 2),
    };
    if (n == 1) {
        find_line(path, ret_wait);
        return;
    }
    for (u32 j = 0; j < reactions; j++)
        for (u32 c = 0; c < n; c++) {
            const PathReaction *reaction = &path->reactions[j];
            Expr slope = path->along[(size_t)j * n + c];
            if (!slope)
                continue;
            KirValue along = kir_mul(b, lower_single(path, slope), ret_wait->length_single);
            for (u32 k = 0; k < reaction->count; k++) {
                KirValue *entry = &ret_wait->matrix[(size_t)c * n + reaction->coordinate[k]];
                *entry = plus_scaled(path, KIR_F32, *entry, reaction->delta[k], along);
            }
        }
    KirValue *losses = new_vector(path);
    u32 count = 0;
    losses[count++] = f32(path, -LEAST_NODE);
    for (u32 c = 0; c < n; c++)
        if (ret_wait->matrix[c * n + c])
            losses[count++] = ret_wait->matrix[c * n + c];
    KirValue sigma = extreme_of(path, KIR_MIN, losses, count);
    sigma = kir_neg(b, sigma);
    for (u32 c = 0; c < n; c++) {
        KirValue entry = ret_wait->matrix[c * n + c];
        ret_wait->shifted[c] = entry ? kir_add(b, entry, sigma) : sigma;
    }
    ret_wait->sigma = sigma;
    ret_wait->inverse = kir_div(b, f32(path, 1), sigma);
    ret_wait->phi[0] = rxn__kir_op(b, KIR_EXP, kir_neg(b, sigma), 0, 0);
    continue_phi(path, ret_wait->inverse, 1, FIRST_TERMS + 1, ret_wait->phi);
}

/* c_k. */
static KirValue
share_of(Path *path, const PathWait *wait, u32 k)
{
    KirBuilder *b = path->tape->frame->builder;
    if (k < SECOND_FAST_NODE)
        return wait->phi[k + 1];
    return kir_sub(b, wait->phi[k], kir_mul(b, wait->phi[k + 1], f32(path, k)));
}

/* Terms first … last of the series: term = v_{first-1}, and v_last on return; tail += their sum. Returns the size of
 * the last one; 0: it is zero. */
static KirValue
add_terms(Path *path, const PathWait *wait, u32 first, u32 last, KirValue *term, KirValue *tail)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates;
    KirValue *next = new_vector(path);
    for (u32 k = first; k <= last; k++) {
        bool fast = k - 1 == FAST_NODE || k - 1 == SECOND_FAST_NODE;
        apply(path, wait->matrix, fast ? wait->shifted : NULL, term, next);
        KirValue share = share_of(path, wait, k);
        for (u32 c = 0; c < n; c++) {
            term[c] = next[c];
            tail[c] = plus_product(path, tail[c], next[c], share);
        }
    }
    KirValue size = size_of(path, term);
    return size ? kir_mul(b, size, kir_abs(b, share_of(path, wait, last))) : 0;
}

/* The series from its third term on: to path->tail; whether it is good, to path->settled. first: f = v_1. */
static void
sum_series(Path *path, const PathWait *wait, const KirValue *first, KirValue size, KirValue usable)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates;
    KirValue *term = new_vector(path), *tail = new_vector(path);
    memcpy(term, first, n * sizeof *term);
    KirValue last = add_terms(path, wait, 2, FIRST_TERMS, term, tail);
    for (u32 c = 0; c < n; c++)
        path_set(path, path->tail, c, tail[c] ? tail[c] : f32(path, 0));
    if (!last) {
        rxn__kir_set(b, path->settled, 0, usable);
        return;
    }
    KirValue enough = kir_mul(b, size, f32(path, TOLERANCE));
    KirValue good = kir_and(b, kir_le(b, last, enough), usable);
    rxn__kir_set(b, path->settled, 0, good);
    rxn__kir_if(b, kir_not(b, good));
    for (u32 c = 0; c < n; c++) /* of others nothing is left that would be slow (denormal) */
        term[c] = term[c] ? kir_select(b, good, f32(path, 0), term[c]) : 0;
    continue_phi(path, wait->inverse, FIRST_TERMS + 2, ALL_TERMS + 1, wait->phi);
    last = add_terms(path, wait, FIRST_TERMS + 1, ALL_TERMS, term, tail);
    for (u32 c = 0; c < n; c++)
        if (tail[c])
            path_set(path, path->tail, c, tail[c]);
    good = last ? kir_and(b, kir_le(b, last, enough), usable) : usable;
    rxn__kir_set(b, path->settled, 0, good);
    rxn__kir_close(b);
}

/* Whether f32 holds what the step computes with. */
static KirValue
find_usable(Path *path, const PathWait *wait, KirValue size, KirValue first)
{
    KirBuilder *b = path->tape->frame->builder;
    KirValue held = kir_and(b, kir_ge(b, size, f32(path, LEAST_SINGLE * PATH_LIFT)),
                            kir_le(b, size, f32(path, MOST_SINGLE * PATH_LIFT)));
    held = kir_or(b, held, kir_eq(b, size, f32(path, 0)));
    held = kir_and(b, held, kir_ge(b, wait->length_single, f32(path, SHORTEST_SINGLE)));
    if (!first)
        return held;
    KirValue stiff = kir_mul(b, first, kir_mul(b, wait->sigma, f32(path, 1 / MOST_STIFF)));
    return kir_and(b, held, kir_le(b, stiff, size));
}

/* ret += Σ_j (v_c · ∇a_j) worth of ν_j. */
static void
add_flow(Path *path, const KirValue *along, const KirValue *worth, KirValue *ret)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates, reactions = path->tape->frame->network->reaction_count;
    for (u32 j = 0; j < reactions; j++)
        for (u32 c = 0; c < n; c++) {
            const PathReaction *reaction = &path->reactions[j];
            KirValue slope = along[(size_t)j * n + c];
            if (slope && reaction->sign < 0)
                slope = kir_neg(b, slope);
            ret[c] = plus_product(path, ret[c], slope, worth[reaction->worth]);
        }
}

static void
cross_line(Path *path, const PathWait *wait, u32 set)
{
    KirBuilder *b = path->tape->frame->builder;
    KirValue adjoint = path_get(path, path->adjoint, set), force;
    KirValue *worth = NEW_ARRAY(path->tape->frame->arena, KirValue, path->worths + 1);
    KirValue largest = rxn__kir_get(b, path->largest_double, 0);
    rxn__kir_set(b, path->largest_double, 0, kir_max(b, kir_abs(b, adjoint), largest));
    rxn__kir_if(b, kir_ne(b, wait->line, wait->line)); /* no number: a fault */
    rxn__path_cross_in_parts(path, wait->length, set);
    rxn__kir_close(b);
    find_forces(path, wait->force, set, &force);
    force = force ? kir_mul(b, wait->length, force) : 0;
    KirValue there = kir_mul(b, rxn__kir_get(b, path->line[0], 0), adjoint);
    KirValue mean = kir_mul(b, rxn__kir_get(b, path->line[1], 0), adjoint);
    if (force) {
        there = kir_fma(b, rxn__kir_get(b, path->line[1], 0), force, there);
        mean = kir_fma(b, rxn__kir_get(b, path->line[2], 0), force, mean);
    }
    path_set(path, path->adjoint, set, there);
    KirValue area = kir_mul(b, mean, wait->length);
    find_worths(path, KIR_F64, NULL, &area, worth);
    add_gradient(path, wait->source, worth, set);
}

void
rxn__path_cross(Path *path, const PathWait *wait, u32 set)
{
    SsaFrame *frame = path->tape->frame;
    KirBuilder *b = frame->builder;
    u32 n = path->coordinates;
    if (n == 1) {
        cross_line(path, wait, set);
        return;
    }
    KirValue *adjoint = new_vector(path), *force = new_vector(path), *single = new_vector(path);
    KirValue *first = new_vector(path), *rest = new_vector(path);
    KirValue *worth = NEW_ARRAY(frame->arena, KirValue, path->worths + 1);
    KirValue *more = NEW_ARRAY(frame->arena, KirValue, path->worths + 1);
    for (u32 c = 0; c < n; c++) {
        adjoint[c] = path_get(path, path->adjoint, set * n + c);
        single[c] = kir_cast(b, KIR_F32, adjoint[c]);
    }
    KirValue size = size_of(path, single), whole = size;
    find_forces(path, wait->force, set, force);
    for (u32 c = 0; c < n; c++) {
        force[c] = force[c] ? kir_mul(b, wait->length, force[c]) : 0;
        first[c] = force[c];
        single[c] = force[c] ? kir_cast(b, KIR_F32, force[c]) : 0;
    }
    /* What integrands force on h does not make it larger than t g, nor than t g/σ where it is lost at σ. */
    KirValue forced = size_of(path, single);
    if (forced)
        whole = kir_fma(b, forced, kir_min(b, wait->inverse, f32(path, 1)), size);
    find_worths(path, KIR_F64, NULL, adjoint, worth);
    for (u32 w = 0; w < path->worths; w++)
        worth[w] = worth[w] ? kir_mul(b, worth[w], wait->length) : 0;
    add_flow(path, wait->along, worth, first);
    for (u32 c = 0; c < n; c++)
        single[c] = first[c] ? kir_cast(b, KIR_F32, first[c]) : 0;
    KirValue usable = find_usable(path, wait, whole, size_of(path, single));
    KirValue largest = rxn__kir_get(b, path->largest, 0);
    rxn__kir_set(b, path->largest, 0, kir_select(b, usable, kir_max(b, size, largest), largest));
    sum_series(path, wait, single, whole, usable);
    KirValue settled = rxn__kir_get(b, path->settled, 0);
    rxn__kir_if(b, kir_not(b, settled));
    rxn__path_cross_in_parts(path, wait->length, set);
    rxn__kir_close(b);

    /* ∫ ν_j · h; the change of h and of the gradient with it, none where it was crossed in parts. */
    for (u32 c = 0; c < n; c++)
        rest[c] = plus_product(path, path_get(path, path->tail, c), single[c], f32(path, 0.5));
    find_worths(path, KIR_F32, NULL, rest, more);
    for (u32 w = 0; w < path->worths; w++)
        if (worth[w]) {
            KirValue area = kir_mul(b, more[w], wait->length_single);
            area = kir_cast(b, KIR_F64, kir_select(b, settled, area, f32(path, 0)));
            KirValue own = kir_select(b, settled, worth[w], f64(path, 0));
            worth[w] = kir_add(b, own, area);
        }
    for (u32 c = 0; c < n; c++) {
        KirValue there = path_get(path, path->adjoint, set * n + c);
        if (force[c])
            there = kir_add(b, there, kir_select(b, settled, force[c], f64(path, 0)));
        adjoint[c] = there;
    }
    add_flow(path, wait->along, worth, adjoint);
    for (u32 c = 0; c < n; c++)
        path_set(path, path->adjoint, set * n + c, adjoint[c]);
    add_gradient(path, wait->source, worth, set);
}

/* ---- in parts ---------------------------------------------------------------------------------- */

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

/* One part, of `part` of the length: a Taylor series. */
static void
cross_part(Path *path, const KirValue *matrix, const KirValue *force, KirValue part)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates;
    KirValue *now = new_vector(path), *next = new_vector(path);
    for (u32 c = 0; c < n; c++) {
        now[c] = path_get(path, path->cut_adjoint, c);
        path_set(path, path->cut_term, c, now[c]);
        path_set(path, path->cut_sum, c, now[c]);
    }
    KirValue size = size_of(path, now), forced = size_of(path, force);
    size = forced ? kir_add(b, size, forced) : size;
    KirValue enough = kir_mul(b, size, f64(path, CUT_TOLERANCE));
    KirValue order = rxn__kir_for(b, path_element(path, 1), path_element(path, CUT_TERMS + 1));
    KirValue k = kir_cast(b, KIR_F64, order);
    KirValue factor = kir_mul(b, part, kir_div(b, f64(path, 1), k));
    KirValue share = kir_div(b, f64(path, 1), kir_add(b, k, f64(path, 1)));
    KirValue first = kir_eq(b, order, path_element(path, 1));
    for (u32 c = 0; c < n; c++)
        now[c] = path_get(path, path->cut_term, c);
    apply(path, matrix, NULL, now, next);
    for (u32 c = 0; c < n; c++) {
        if (force[c]) {
            KirValue forced_now = kir_select(b, first, force[c], f64(path, 0));
            next[c] = next[c] ? kir_add(b, next[c], forced_now) : forced_now;
        }
        next[c] = next[c] ? kir_mul(b, next[c], factor) : f64(path, 0);
        path_set(path, path->cut_term, c, next[c]);
        path_set(path, path->cut_sum, c,
                 kir_fma(b, next[c], share, path_get(path, path->cut_sum, c)));
    }
    rxn__kir_if(b, kir_le(b, size_of(path, next), enough));
    rxn__kir_break(b);
    rxn__kir_close(b);
    rxn__kir_close(b);
    for (u32 c = 0; c < n; c++)
        now[c] = kir_mul(b, part, path_get(path, path->cut_sum, c));
    apply(path, matrix, NULL, now, next);
    for (u32 c = 0; c < n; c++) {
        KirValue value = path_get(path, path->cut_adjoint, c);
        value = next[c] ? kir_add(b, value, next[c]) : value;
        path_set(path, path->cut_adjoint, c, plus_product(path, value, part, force[c]));
        path_set(path, path->cut_area, c, kir_add(b, path_get(path, path->cut_area, c), now[c]));
    }
}

/* In equal parts; beyond so many, and for what is no number, it is a fault. */
static void
cross_parts(Path *path, const KirValue *matrix, const KirValue *force)
{
    const double most_parts = 1e6;
    KirBuilder *b = path->tape->frame->builder;
    KirValue size = size_of_matrix(path, matrix);
    KirValue parts =
        kir_max(b, f64(path, 1), kir_ceil(b, kir_mul(b, size, f64(path, 1 / CUT_REACH))));
    KirValue possible = kir_and(b, kir_eq(b, size, size), kir_lt(b, parts, f64(path, most_parts)));
    rxn__kir_if(b, kir_not(b, possible));
    rxn__kir_set(b, path->tape->frame->t, 0, rxn__kir_get(b, path->at, 0));
    rxn__kir_trap(b, RXN_FAULT_STIFF, rxn__kir_const(b, KIR_U32, 0));
    rxn__kir_close(b);
    KirValue part = kir_div(b, f64(path, 1), parts);
    rxn__kir_set(b, path->cut_left, 0, parts);
    rxn__kir_loop(b);
    cross_part(path, matrix, force, part);
    KirValue left = kir_sub(b, rxn__kir_get(b, path->cut_left, 0), f64(path, 1));
    rxn__kir_set(b, path->cut_left, 0, left);
    rxn__kir_if(b, kir_not(b, kir_gt(b, left, f64(path, 0.5))));
    rxn__kir_break(b);
    rxn__kir_close(b);
    rxn__kir_close(b);
}

void
rxn__path_cross_in_parts(Path *path, KirValue length, u32 set)
{
    SsaFrame *frame = path->tape->frame;
    KirBuilder *b = frame->builder;
    u32 n = path->coordinates, reactions = frame->network->reaction_count;
    u32 integrals = path->tape->recorder.integrals.count;
    size_t squares = (size_t)n * n;
    u32 mark = rxn__lower_mark(&frame->lower);
    KirValue *matrix = rxn__path_lower_all(path, path->slope, squares);
    KirValue *source =
        rxn__path_lower_all(path, path->source, (size_t)reactions * path->row.leaves);
    KirValue *slopes = rxn__path_lower_all(
        path, &path->kept[(size_t)path->tape->recorder.columns.count * n], (size_t)integrals * n);
    KirValue *adjoint = new_vector(path), *force = new_vector(path), *area = new_vector(path);
    KirValue *worth = NEW_ARRAY(frame->arena, KirValue, path->worths + 1);
    for (size_t k = 0; k < squares; k++)
        matrix[k] = matrix[k] ? kir_mul(b, matrix[k], length) : 0;
    find_forces(path, slopes, set, force);
    for (u32 c = 0; c < n; c++) {
        adjoint[c] = path_get(path, path->adjoint, set * n + c);
        force[c] = force[c] ? kir_mul(b, force[c], length) : 0;
        path_set(path, path->cut_adjoint, c, adjoint[c]);
        path_set(path, path->cut_area, c, f64(path, 0));
    }
    KirValue largest = rxn__kir_get(b, path->largest_double, 0);
    rxn__kir_set(b, path->largest_double, 0, kir_max(b, size_of(path, adjoint), largest));
    cross_parts(path, matrix, force);
    for (u32 c = 0; c < n; c++) {
        path_set(path, path->adjoint, set * n + c, path_get(path, path->cut_adjoint, c));
        area[c] = kir_mul(b, length, path_get(path, path->cut_area, c));
    }
    find_worths(path, KIR_F64, NULL, area, worth);
    add_gradient(path, source, worth, set);
    rxn__lower_forget_since(&frame->lower, mark);
}
