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
 * It begins with φ_3(-σ), a fraction of polynomials. The recurrence loses digits where σ is small, but only what the fast
 * part of v is multiplied with, which is small then; with σ >= LEAST_NODE nothing of it is seen, and the node may as well be
 * there as at a smaller σ.
 *
 * All this is f32, since it is small against h: a register then has twice as many lanes. h itself, and ν_j · h, in
 * which large numbers cancel, are f64. When the last term is below TOLERANCE of h, the rest is left out. If it is not,
 * there are five more terms, with the second node at -σ; and if they are not enough either, or if the numbers are not
 * for f32, the wait is crossed in parts with ‖S‖ <= CUT_REACH, by a Taylor series in f64.
 *
 * What the code is made for: nearly all of the time goes into the six terms and what is around them, and there into
 * arithmetic (two vectors a cycle) and into stores of what has no register (0.7 of a cycle each). So nothing is computed
 * before the series that only its end needs, or that only few steps need; and |h| is taken every PATH_SIZING steps.
 */
#include "compiler/method/grad_path.h"

#include <string.h>

/* The relative size of the last term that is taken to be enough (what is left out is smaller by about ten); numbers of
 * terms: at first, and where these are not enough. A step is for f32 where |h|² is between LEAST_SQUARE and MOST_SQUARE;
 * and |f| σ must be below MOST_STIFF of |h|: f loses as much to rounding. f is carried such that |h| would be about UNIT, which
 * keeps its series away from the ends of f32 (1e±38): terms that fade out below are slow (denormal). What the series is
 * multiplied with in the end is not to be smaller than LEAST_BACK. */
#define TOLERANCE    1e-8
#define LEAST_SQUARE 1e-36
#define MOST_SQUARE  1e36
#define LEAST_BACK   1e-37
#define MOST_STIFF   1.0
#define LEAST_NODE   0.25
#define MOST_NODE    3e4
#define UNIT         0x1p52
enum { FIRST_TERMS = 6, ALL_TERMS = 11, FAST_NODE = 2, SECOND_FAST_NODE = 8, UNIT_EXPONENT = 52 };

/* Parts: the reach of one; its Taylor series, 4^36/37! = 3e-22 at the end of it. Longer parts need fewer terms for the same wait;
 * what cancels in one of 4 costs e^8 of 1e-16, which is less than the tolerance. */
#define CUT_REACH     4.0
#define CUT_TOLERANCE 1e-10
enum { CUT_TERMS = 36 };

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

/* Σ value², and `sum` where there is one; 0: zero. */
static KirValue
add_squares(Path *path, KirValue sum, const KirValue *vector)
{
    for (u32 c = 0; c < path->coordinates; c++)
        sum = plus_product(path, sum, vector[c], vector[c]);
    return sum;
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
add_gradient(Path *path, const KirValue *area, u32 set)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 leaves = path->row.leaves, reactions = path->tape->frame->network->reaction_count;
    KirValue *source = rxn__path_lower_all(path, path->source, (size_t)reactions * leaves);
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

/* Σ factor[k] x^k, k < 8: pair by pair, since nothing else can be done before it is known. */
static KirValue
polynomial(Path *path, const double *factors, u32 count, KirValue x)
{
    KirBuilder *b = path->tape->frame->builder;
    KirValue sums[4];
    for (u32 k = 0; 2 * k < count; k++) {
        sums[k] = f32(path, factors[2 * k]);
        if (2 * k + 1 < count)
            sums[k] = kir_fma(b, f32(path, factors[2 * k + 1]), x, sums[k]);
    }
    for (count = (count + 1) / 2; count > 1; count = (count + 1) / 2) {
        x = kir_mul(b, x, x);
        for (u32 k = 0; 2 * k < count; k++)
            sums[k] = 2 * k + 1 < count ? kir_fma(b, sums[2 * k + 1], x, sums[2 * k]) : sums[2 * k];
    }
    return sums[0];
}

/* φ_3(-σ) as a fraction of two polynomials with a relative error of 3e-8, and 1/σ, by one division. What is far out goes
 * with 1/σ: the error 2/MOST_NODE that is left is one of what fades away within 1/MOST_NODE of the wait. */
static void
find_phi(Path *path, PathWait *wait)
{
    static const double above[] = {0.16666666227032043,    0.06365825288443186,
                                   0.013600892407982594,   0.0018797822074129653,
                                   0.00017424272431352468, 1.1054049939348726e-05};
    static const double below[] = {1,
                                   0.6319486886617618,
                                   0.18959667519692844,
                                   0.03540574898201364,
                                   0.004500911298363428,
                                   0.00039270086852534946,
                                   2.2108100482829775e-05};
    KirBuilder *b = path->tape->frame->builder;
    KirValue near = kir_min(b, wait->sigma, f32(path, MOST_NODE));
    KirValue over = polynomial(path, above, 6, near), under = polynomial(path, below, 7, near);
    KirValue fraction = kir_div(b, f32(path, 1), kir_mul(b, under, wait->sigma));
    wait->phi[3] = kir_mul(b, kir_mul(b, over, near), fraction);
    wait->inverse = kir_mul(b, under, fraction);
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

/* What a change vector's worth adds to -M h: of all reactions that change the state so, what is the same throughout the
 * trajectory first. */
static void
find_flow(Path *path, KirValue *ret_flow)
{
    SsaFrame *frame = path->tape->frame;
    u32 n = path->coordinates, reactions = frame->network->reaction_count;
    for (u32 varies = 0; varies < 2; varies++)
        for (u32 j = 0; j < reactions; j++)
            for (u32 c = 0; c < n; c++) {
                const PathReaction *reaction = &path->reactions[j];
                Expr slope = path->along[(size_t)j * n + c];
                if (!slope || rxn__expr_uses(frame->network, slope).species != (varies != 0))
                    continue;
                KirValue *entry = &ret_flow[(size_t)c * path->worths + reaction->worth];
                *entry = plus_scaled(path, KIR_F64, *entry, reaction->sign,
                                     rxn__lower_as(&frame->lower, slope, KIR_F64));
            }
}

/* The most negative element of the diagonal, or -LEAST_NODE: those that are sums last, as they are known last. */
static KirValue
find_loss(Path *path, const KirValue *matrix)
{
    u32 n = path->coordinates, reactions = path->tape->frame->network->reaction_count;
    KirValue *single = new_vector(path), *sums = new_vector(path);
    u32 count = 0, sum_count = 0;
    single[count++] = f32(path, -LEAST_NODE);
    for (u32 c = 0; c < n; c++) {
        u32 terms = 0;
        for (u32 j = 0; j < reactions; j++)
            for (u32 k = 0; k < path->reactions[j].count; k++)
                terms += path->reactions[j].coordinate[k] == c && path->along[(size_t)j * n + c];
        if (terms == 1)
            single[count++] = matrix[c * n + c];
        else if (terms)
            sums[sum_count++] = matrix[c * n + c];
    }
    KirValue least = extreme_of(path, KIR_MIN, single, count);
    sums[sum_count++] = least;
    return extreme_of(path, KIR_MIN, sums, sum_count);
}

/* S, the node and what the coefficients are made of. */
static void
find_series(Path *path, PathWait *wait)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates, reactions = path->tape->frame->network->reaction_count;
    for (u32 j = 0; j < reactions; j++)
        for (u32 c = 0; c < n; c++) {
            const PathReaction *reaction = &path->reactions[j];
            Expr slope = path->along[(size_t)j * n + c];
            if (!slope)
                continue;
            KirValue along = kir_mul(b, lower_single(path, slope), wait->length_single);
            for (u32 k = 0; k < reaction->count; k++) {
                KirValue *entry = &wait->matrix[(size_t)c * n + reaction->coordinate[k]];
                *entry = plus_scaled(path, KIR_F32, *entry, reaction->delta[k], along);
            }
        }
    KirValue sigma = kir_neg(b, find_loss(path, wait->matrix));
    for (u32 c = 0; c < n; c++) {
        KirValue entry = wait->matrix[c * n + c];
        wait->shifted[c] = entry ? kir_add(b, entry, sigma) : sigma;
    }
    wait->sigma = sigma;
    find_phi(path, wait);
    continue_phi(path, wait->inverse, 4, FIRST_TERMS + 1, wait->phi);
}

void
rxn__path_wait(Path *path, KirValue length, PathWait *ret_wait)
{
    SsaFrame *frame = path->tape->frame;
    KirBuilder *b = frame->builder;
    u32 n = path->coordinates;
    u32 integrals = path->tape->recorder.integrals.count;
    size_t squares = (size_t)n * n;
    *ret_wait = (PathWait){
        .length = length,
        .length_single = kir_cast(b, KIR_F32, length),
        .flow = NEW_ARRAY(frame->arena, KirValue, (size_t)n * path->worths + 1),
        .matrix = NEW_ARRAY(frame->arena, KirValue, squares + 1),
        .shifted = new_vector(path),
        .phi = NEW_ARRAY(frame->arena, KirValue, ALL_TERMS + 2),
    };
    if (n > 1)
        find_series(path, ret_wait);
    ret_wait->force = rxn__path_lower_all(
        path, &path->kept[(size_t)path->tape->recorder.columns.count * n], (size_t)integrals * n);
    if (n == 1)
        find_line(path, ret_wait);
    else
        find_flow(path, ret_wait->flow);
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
 * the last one; 0: it is zero. (Its square would be the first to get lost at the end of f32.) */
static KirValue
add_terms(Path *path, const PathWait *wait, u32 first, u32 last, KirValue *term, KirValue *tail)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates;
    KirValue *next = new_vector(path);
    for (u32 k = first; k <= last; k++) {
        apply(path, wait->matrix, k - 1 == FAST_NODE ? wait->shifted : NULL, term, next);
        for (u32 c = 0; k - 1 == SECOND_FAST_NODE && c < n;
             c++) /* the first sums are not kept for these few */
            next[c] = plus_product(path, next[c], wait->sigma, term[c]);
        KirValue share = share_of(path, wait, k);
        for (u32 c = 0; c < n; c++) {
            term[c] = next[c];
            tail[c] = plus_product(path, tail[c], next[c], share);
        }
    }
    KirValue size = size_of(path, term);
    return size ? kir_mul(b, size, kir_abs(b, share_of(path, wait, last))) : 0;
}

/* The wait in parts, for those that the series is nothing for. */
static void
cross_unsettled(Path *path, const PathWait *wait, u32 set, KirValue settled)
{
    KirBuilder *b = path->tape->frame->builder;
    rxn__kir_if(b, kir_not(b, settled));
    rxn__path_cross_in_parts(path, wait->length, set);
    rxn__path_size(path, set);
    rxn__kir_close(b);
}

/* The series: to path->tail; whether it is good, to path->settled. first: f = v_1. */
static void
sum_series(Path *path, const PathWait *wait, u32 set, const KirValue *first, KirValue usable)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates;
    KirValue *term = new_vector(path), *tail = new_vector(path);
    memcpy(term, first, n * sizeof *term);
    for (u32 c = 0; c < n; c++)
        tail[c] = first[c] ? kir_mul(b, first[c], f32(path, 0.5)) : 0;
    KirValue last = add_terms(path, wait, 2, FIRST_TERMS, term, tail);
    for (u32 c = 0; c < n; c++)
        path_set(path, path->tail, c, tail[c] ? tail[c] : f32(path, 0));
    if (!last) {
        rxn__kir_set(b, path->settled, 0, usable);
        cross_unsettled(path, wait, set, usable);
        return;
    }
    KirValue enough = f32(path, TOLERANCE * UNIT);
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
    cross_unsettled(path, wait, set, good);
    rxn__kir_close(b);
}

/* Notes the scale for f, given |h|². A power of two near UNIT/|h|: half of the exponent's negative. (127 is the exponent
 * of 1; 23 bits are below it.) */
static void
set_scale(Path *path, u32 set, KirValue square)
{
    KirBuilder *b = path->tape->frame->builder;
    square = kir_select(b, kir_eq(b, square, f32(path, 0)), f32(path, 1), square);
    KirValue held = kir_and(b, kir_ge(b, square, f32(path, LEAST_SQUARE)),
                            kir_le(b, square, f32(path, MOST_SQUARE)));
    const u32 one = 127u << 23;
    KirValue half = kir_shr(b, kir_bits(b, KIR_U32, square), rxn__kir_const(b, KIR_U32, 1));
    KirValue exponent =
        kir_sub(b, rxn__kir_const(b, KIR_U32, one + one / 2 + (UNIT_EXPONENT << 23)), half);
    exponent = kir_and(b, exponent, rxn__kir_const(b, KIR_U32, 255u << 23));
    KirValue back = kir_sub(b, rxn__kir_const(b, KIR_U32, 2 * one), exponent);
    path_set(path, path->scale, set, kir_bits(b, KIR_F32, exponent));
    path_set(path, path->back, set, kir_select(b, held, kir_bits(b, KIR_F32, back), f32(path, 0)));
}

/* |h|², in f32; the largest is kept. */
static KirValue
find_square(Path *path, u32 set)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates;
    KirValue *adjoint = new_vector(path);
    for (u32 c = 0; c < n; c++)
        adjoint[c] = path_get(path, path->adjoint, set * n + c);
    KirValue square = kir_cast(b, KIR_F32, add_squares(path, 0, adjoint));
    KirValue largest = rxn__kir_get(b, path->largest, 0);
    KirValue held = kir_le(b, square, f32(path, MOST_SQUARE));
    rxn__kir_set(b, path->largest, 0, kir_select(b, held, kir_max(b, square, largest), largest));
    return square;
}

void
rxn__path_size(Path *path, u32 set)
{
    if (path->coordinates > 1)
        set_scale(path, set, find_square(path, set));
}

/* Whether f, of which `square` is the square, is small enough where it is stiff. */
static KirValue
is_soft(Path *path, const PathWait *wait, KirValue square)
{
    KirBuilder *b = path->tape->frame->builder;
    KirValue stiff = kir_mul(b, square, kir_mul(b, wait->sigma, wait->sigma));
    return kir_le(b, stiff, f32(path, MOST_STIFF * UNIT * MOST_STIFF * UNIT));
}

/* ret += Σ over change vectors of flow times their worth. */
static void
add_flow(Path *path, const KirValue *flow, const KirValue *worth, KirValue *ret)
{
    u32 n = path->coordinates;
    for (u32 w = 0; w < path->worths; w++)
        for (u32 c = 0; c < n; c++)
            ret[c] = plus_product(path, ret[c], flow[(size_t)c * path->worths + w], worth[w]);
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
    add_gradient(path, worth, set);
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
    KirValue *adjoint = new_vector(path), *force = new_vector(path), *first = new_vector(path);
    KirValue *rest = new_vector(path), *single = new_vector(path);
    KirValue *worth = NEW_ARRAY(frame->arena, KirValue, path->worths + 1);
    KirValue *more = NEW_ARRAY(frame->arena, KirValue, path->worths + 1);
    for (u32 c = 0; c < n; c++)
        adjoint[c] = path_get(path, path->adjoint, set * n + c);
    find_forces(path, wait->force, set, force);
    for (u32 c = 0; c < n; c++) {
        first[c] = force[c];
        force[c] = force[c] ? kir_mul(b, wait->length, force[c]) : 0;
    }
    /* What integrands force on h does not make it larger than t g, nor than t g/σ where it is lost at σ. */
    KirValue forced = add_squares(path, 0, force);
    if (forced) {
        KirValue reach = kir_min(b, wait->inverse, f32(path, 1));
        forced = kir_mul(b, kir_cast(b, KIR_F32, forced), kir_mul(b, reach, reach));
        set_scale(path, set, kir_add(b, find_square(path, set), forced));
    }
    KirValue scale = kir_mul(b, path_get(path, path->scale, set), wait->length_single);
    KirValue back = kir_mul(b, path_get(path, path->back, set), wait->length_single);
    KirValue usable = kir_ge(b, back, f32(path, LEAST_BACK));
    find_worths(path, KIR_F64, NULL, adjoint, worth);
    add_flow(path, wait->flow, worth, first);
    for (u32 c = 0; c < n; c++)
        single[c] = first[c] ? kir_mul(b, kir_cast(b, KIR_F32, first[c]), scale) : 0;
    KirValue steepness = add_squares(path, 0, single);
    if (steepness)
        usable = kir_and(b, usable, is_soft(path, wait, steepness));
    sum_series(path, wait, set, single, usable);
    KirValue settled = rxn__kir_get(b, path->settled, 0);

    /* ∫ ν_j · h; the change of h and of the gradient with it, none where it was crossed in parts. */
    for (u32 c = 0; c < n; c++)
        rest[c] = path_get(path, path->tail, c);
    find_worths(path, KIR_F32, NULL, rest, more);
    for (u32 w = 0; w < path->worths; w++)
        if (worth[w]) {
            KirValue area = kir_cast(b, KIR_F64, kir_mul(b, more[w], back));
            area = kir_fma(b, worth[w], wait->length, area);
            worth[w] = kir_select(b, settled, area, f64(path, 0));
        }
    for (u32 c = 0; c < n; c++) {
        KirValue there = path_get(path, path->adjoint, set * n + c);
        if (force[c])
            there = kir_add(b, there, kir_select(b, settled, force[c], f64(path, 0)));
        adjoint[c] = there;
    }
    add_flow(path, wait->flow, worth, adjoint);
    for (u32 c = 0; c < n; c++)
        path_set(path, path->adjoint, set * n + c, adjoint[c]);
    add_gradient(path, worth, set);
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
    u32 n = path->coordinates;
    u32 integrals = path->tape->recorder.integrals.count;
    size_t squares = (size_t)n * n;
    u32 mark = rxn__lower_mark(&frame->lower);
    KirValue *matrix = rxn__path_lower_all(path, path->slope, squares);
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
    KirValue size = kir_sqrt(b, add_squares(path, 0, adjoint));
    rxn__kir_set(b, path->largest_double, 0, kir_max(b, size, largest));
    cross_parts(path, matrix, force);
    for (u32 c = 0; c < n; c++) {
        path_set(path, path->adjoint, set * n + c, path_get(path, path->cut_adjoint, c));
        area[c] = kir_mul(b, length, path_get(path, path->cut_area, c));
    }
    find_worths(path, KIR_F64, NULL, area, worth);
    add_gradient(path, worth, set);
    rxn__lower_forget_since(&frame->lower, mark);
}
