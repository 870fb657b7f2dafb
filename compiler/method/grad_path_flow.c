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
 * All this is f32: a register then has twice as many lanes. h itself is carried in f32 so that nothing of it is lost
 * (grad_path_carry.c). When the last term is below TOLERANCE of h, the rest is left out. If it is not, there are five more
 * terms, with the second node at -σ; and if they are not enough either, or if the numbers are not for f32, the wait is
 * crossed in parts, in f64 (grad_path_parts.c).
 *
 * What the code is made for: nearly all of the time goes into the six terms and what is around them, and there into
 * arithmetic (two vectors a cycle) and into stores of what has no register (0.7 of a cycle each). So nothing is computed
 * before the series that only its end needs, or that only few steps need.
 */
#include "compiler/method/grad_path.h"

#include <string.h>

/* The relative size of the last term that is taken to be enough (what is left out is smaller by about ten); numbers of
 * terms: at first, and where these are not enough. |f| σ must be below MOST_STIFF of |h|: f loses as much to rounding. What the
 * series is multiplied with in the end is not to be smaller than LEAST_BACK. */
#define TOLERANCE  1e-8
#define LEAST_BACK 1e-37
#define MOST_STIFF 1.0
#define LEAST_NODE 0.25
#define MOST_NODE  3e4
enum { FIRST_TERMS = 6, ALL_TERMS = 11, FAST_NODE = 2, SECOND_FAST_NODE = 8 };

void
rxn__path_declare_flow(Path *path)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates ? path->coordinates : 1;
    u32 sets = path->tape->sets;
    path->scale = rxn__kir_local(b, "scale", KIR_F32, sets);
    path->back = rxn__kir_local(b, "back", KIR_F32, sets);
    path->high = rxn__kir_local(b, "high", KIR_F32, sets * n);
    path->low = rxn__kir_local(b, "low", KIR_F32, sets * n);
    path->recent = rxn__kir_local(b, "recent", KIR_F32, sets * (path->sum_count + 1));
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

/* ---- the series -------------------------------------------------------------------------------- */

/* ret[n] = φ_n(-σ), n = first … last, given the one before. */
static void
continue_phi(Path *path, KirValue inverse, u32 first, u32 last, KirValue *phi)
{
    KirBuilder *b = path->tape->frame->builder;
    for (u32 n = first; n <= last; n++) {
        KirValue at_zero = kir_mul(b, inverse, path_f32(path, 1 / rxn__factorial(n - 1)));
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
        sums[k] = path_f32(path, factors[2 * k]);
        if (2 * k + 1 < count)
            sums[k] = kir_fma(b, path_f32(path, factors[2 * k + 1]), x, sums[k]);
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
    KirValue near = kir_min(b, wait->sigma, path_f32(path, MOST_NODE));
    KirValue over = polynomial(path, above, 6, near), under = polynomial(path, below, 7, near);
    KirValue fraction = kir_div(b, path_f32(path, 1), kir_mul(b, under, wait->sigma));
    wait->phi[3] = kir_mul(b, kir_mul(b, over, near), fraction);
    wait->inverse = kir_mul(b, under, fraction);
}

/* With one coordinate S is a number, and there is a closed form, in f64, of e^S, φ₁(S) = (e^S - 1)/S and φ₂(S); up to
 * |S| = 1 by the Taylor series of φ₂. */
static void
find_line(Path *path, PathWait *wait)
{
    enum { TERMS = 16 }; /* 1/18! = 2e-16 is left out */
    KirBuilder *b = path->tape->frame->builder;
    KirValue one = path_f64(path, 1), phi[3] = {0, 0, 0};
    KirValue slope = path->slope[0] ? rxn__path_lower_all(path, path->slope, 1)[0] : 0;
    KirValue line = slope ? kir_mul(b, slope, wait->length) : path_f64(path, 0);
    for (u32 k = TERMS; k-- > 0;) {
        KirValue share = path_f64(path, 1 / rxn__factorial(k + 2));
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

/* The most negative element of the diagonal, or -LEAST_NODE: those that are sums last, as they are known last. */
static KirValue
find_loss(Path *path, const KirValue *matrix)
{
    u32 n = path->coordinates, reactions = path->tape->frame->network->reaction_count;
    KirValue *single = path_vector(path), *sums = path_vector(path);
    u32 count = 0, sum_count = 0;
    single[count++] = path_f32(path, -LEAST_NODE);
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
    KirValue least = rxn__path_extreme_of(path, KIR_MIN, single, count);
    sums[sum_count++] = least;
    return rxn__path_extreme_of(path, KIR_MIN, sums, sum_count);
}

/* S; and what a change vector's worth adds to S h, of all reactions that change the state so: first what is the same
 * throughout the trajectory. */
static void
find_matrix(Path *path, PathWait *wait)
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
                KirValue along = rxn__path_plus_times(path, 0, slope, wait->length_single, false);
                KirValue *flow = &wait->flow[(size_t)c * path->worths + reaction->worth];
                *flow = rxn__path_plus_scaled(path, KIR_F32, *flow, reaction->sign, along);
                for (u32 k = 0; k < reaction->count; k++) {
                    KirValue *entry = &wait->matrix[(size_t)c * n + reaction->coordinate[k]];
                    *entry =
                        rxn__path_plus_scaled(path, KIR_F32, *entry, reaction->delta[k], along);
                }
            }
}

/* S, the node and what the coefficients are made of. */
static void
find_series(Path *path, PathWait *wait)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates;
    find_matrix(path, wait);
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
rxn__path_wait(Path *path, const TapeStep *step, PathWait *ret_wait)
{
    SsaFrame *frame = path->tape->frame;
    KirBuilder *b = frame->builder;
    KirValue length = kir_sub(b, rxn__kir_get(b, path->at, 0), step->start);
    KirValue number = kir_cast(b, KIR_U32, step->number);
    KirValue place = kir_and(b, number, rxn__kir_const(b, KIR_U32, PATH_SIZING - 1));
    u32 n = path->coordinates;
    u32 integrals = path->tape->recorder.integrals.count;
    size_t squares = (size_t)n * n;
    *ret_wait = (PathWait){
        .length = length,
        .turn = kir_eq(b, place, rxn__kir_const(b, KIR_U32, 0)),
        .length_single = kir_cast(b, KIR_F32, length),
        .flow = NEW_ARRAY(frame->arena, KirValue, (size_t)n * path->worths + 1),
        .matrix = NEW_ARRAY(frame->arena, KirValue, squares + 1),
        .shifted = path_vector(path),
        .phi = NEW_ARRAY(frame->arena, KirValue, ALL_TERMS + 2),
    };
    if (n > 1)
        find_series(path, ret_wait);
    if (n == 1) {
        ret_wait->force = rxn__path_lower_all(
            path, &path->kept[(size_t)path->tape->recorder.columns.count * n], integrals);
        find_line(path, ret_wait);
    }
}

/* c_k. */
static KirValue
share_of(Path *path, const PathWait *wait, u32 k)
{
    KirBuilder *b = path->tape->frame->builder;
    if (k < SECOND_FAST_NODE)
        return wait->phi[k + 1];
    return kir_sub(b, wait->phi[k], kir_mul(b, wait->phi[k + 1], path_f32(path, k)));
}

/* Terms first … last of the series: term = v_{first-1}, and v_last on return; tail += their sum. Returns the size of
 * the last one; 0: it is zero. (Its square would be the first to get lost at the end of f32.) */
static KirValue
add_terms(Path *path, const PathWait *wait, u32 first, u32 last, KirValue *term, KirValue *tail)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates;
    KirValue *next = path_vector(path);
    for (u32 k = first; k <= last; k++) {
        rxn__path_apply(path, wait->matrix, k - 1 == FAST_NODE ? wait->shifted : NULL, term, next);
        for (u32 c = 0; k - 1 == SECOND_FAST_NODE && c < n;
             c++) /* the first sums are not kept for these few */
            next[c] = rxn__path_plus_product(path, next[c], wait->sigma, term[c]);
        KirValue share = share_of(path, wait, k);
        for (u32 c = 0; c < n; c++) {
            term[c] = next[c];
            tail[c] = rxn__path_plus_product(path, tail[c], next[c], share);
        }
    }
    KirValue size = rxn__path_size_of(path, term);
    return size ? kir_mul(b, size, kir_abs(b, share_of(path, wait, last))) : 0;
}

/* The series: to path->tail; whether it is good, to path->settled. first: f = v_1. */
static void
sum_series(Path *path, const PathWait *wait, const KirValue *first, KirValue usable)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates;
    KirValue *term = path_vector(path), *tail = path_vector(path);
    memcpy(term, first, n * sizeof *term);
    for (u32 c = 0; c < n; c++)
        tail[c] = first[c] ? kir_mul(b, first[c], path_f32(path, 0.5)) : 0;
    KirValue last = add_terms(path, wait, 2, FIRST_TERMS, term, tail);
    for (u32 c = 0; c < n; c++)
        path_set(path, path->tail, c, tail[c] ? tail[c] : path_f32(path, 0));
    if (!last) {
        rxn__kir_set(b, path->settled, 0, usable);
        return;
    }
    KirValue enough = path_f32(path, TOLERANCE * PATH_UNIT);
    KirValue good = kir_and(b, kir_le(b, last, enough), usable);
    rxn__kir_set(b, path->settled, 0, good);
    rxn__kir_if(b, kir_not(b, good));
    for (u32 c = 0; c < n; c++) /* of others nothing is left that would be slow (denormal) */
        term[c] = term[c] ? kir_select(b, good, path_f32(path, 0), term[c]) : 0;
    continue_phi(path, wait->inverse, FIRST_TERMS + 2, ALL_TERMS + 1, wait->phi);
    last = add_terms(path, wait, FIRST_TERMS + 1, ALL_TERMS, term, tail);
    for (u32 c = 0; c < n; c++)
        if (tail[c])
            path_set(path, path->tail, c, tail[c]);
    good = last ? kir_and(b, kir_le(b, last, enough), usable) : usable;
    rxn__kir_set(b, path->settled, 0, good);
    rxn__kir_close(b);
}

/* Whether f, of which `square` is the square, is small enough where it is stiff. */
static KirValue
is_soft(Path *path, const PathWait *wait, KirValue square)
{
    KirBuilder *b = path->tape->frame->builder;
    KirValue stiff = kir_mul(b, square, kir_mul(b, wait->sigma, wait->sigma));
    return kir_le(b, stiff, path_f32(path, MOST_STIFF * PATH_UNIT * MOST_STIFF * PATH_UNIT));
}

/* ret += Σ over change vectors of flow times their worth. */
static void
add_flow(Path *path, const KirValue *flow, const KirValue *worth, KirValue *ret)
{
    u32 n = path->coordinates;
    for (u32 w = 0; w < path->worths; w++)
        for (u32 c = 0; c < n; c++)
            ret[c] =
                rxn__path_plus_product(path, ret[c], flow[(size_t)c * path->worths + w], worth[w]);
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
    rxn__path_find_forces(path, wait->force, set, &force);
    force = force ? kir_mul(b, wait->length, force) : 0;
    KirValue there = kir_mul(b, rxn__kir_get(b, path->line[0], 0), adjoint);
    KirValue mean = kir_mul(b, rxn__kir_get(b, path->line[1], 0), adjoint);
    if (force) {
        there = kir_fma(b, rxn__kir_get(b, path->line[1], 0), force, there);
        mean = kir_fma(b, rxn__kir_get(b, path->line[2], 0), force, mean);
    }
    path_set(path, path->adjoint, set, there);
    KirValue area = kir_mul(b, mean, wait->length);
    rxn__path_find_worths(path, KIR_F64, NULL, &area, worth);
    rxn__path_add_gradient(path, true, worth, set);
}

/* t g, as h is carried. */
static void
find_pushes(Path *path, const PathWait *wait, KirValue scale, u32 set, KirValue *ret)
{
    KirBuilder *b = path->tape->frame->builder;
    u32 n = path->coordinates, integrals = path->tape->recorder.integrals.count;
    const Expr *slopes = &path->kept[(size_t)path->tape->recorder.columns.count * n];
    memset(ret, 0, n * sizeof *ret);
    for (u32 k = 0; k < integrals; k++) {
        KirValue weight = path_get(path, path->force, set * integrals + k);
        weight = kir_mul(b, weight, kir_cast(b, KIR_F64, scale));
        weight = rxn__path_times_constant(path, weight, wait->length_single);
        for (u32 c = 0; c < n; c++)
            if (slopes[k * n + c])
                ret[c] = rxn__path_plus_times(path, ret[c], slopes[k * n + c], weight, false);
    }
}

/* The wait in parts, where the series is nothing for it; and every PATH_SIZING steps what is carried is set anew. */
static void
come_to_rest(Path *path, const PathWait *wait, u32 set)
{
    KirBuilder *b = path->tape->frame->builder;
    KirValue unsettled = kir_not(b, rxn__kir_get(b, path->settled, 0));
    rxn__kir_if(b, kir_or(b, wait->turn, unsettled));
    rxn__tape_settle(path->tape);
    rxn__path_rest(path, set);
    rxn__kir_if(b, unsettled);
    rxn__path_cross_in_parts(path, wait->length, set);
    rxn__kir_close(b);
    rxn__path_carry(path, set);
    rxn__kir_close(b);
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
    KirValue *force = path_vector(path), *first = path_vector(path);
    KirValue *tail = path_vector(path), *change = path_vector(path);
    KirValue *worth = NEW_ARRAY(frame->arena, KirValue, path->worths + 1);
    KirValue *mean = NEW_ARRAY(frame->arena, KirValue, path->worths + 1);
    rxn__path_find_carried(path, set, worth);
    KirValue scale = path_get(path, path->scale, set), back = path_get(path, path->back, set);
    KirValue usable = kir_ge(b, kir_mul(b, back, wait->length_single), path_f32(path, LEAST_BACK));
    find_pushes(path, wait, scale, set, force);
    memcpy(first, force, n * sizeof *first);
    add_flow(path, wait->flow, worth, first);
    KirValue steepness = rxn__path_add_squares(path, 0, first);
    if (steepness)
        usable = kir_and(b, usable, is_soft(path, wait, steepness));
    sum_series(path, wait, first, usable);
    KirValue settled = rxn__kir_get(b, path->settled, 0);

    /* The mean of ν_j · h; the change of h and of the gradient with it, none where it was crossed in parts. */
    for (u32 c = 0; c < n; c++)
        tail[c] = path_get(path, path->tail, c);
    rxn__path_find_worths(path, KIR_F32, worth, tail, mean);
    for (u32 w = 0; w < path->worths; w++)
        mean[w] = kir_select(b, settled, mean[w], path_f32(path, 0));
    memcpy(change, force, n * sizeof *change);
    add_flow(path, wait->flow, mean, change);
    for (u32 c = 0; c < n; c++) /* S may be none of f32's numbers */
        change[c] = change[c] ? kir_select(b, settled, change[c], path_f32(path, 0)) : 0;
    rxn__path_move(path, change, set);
    rxn__path_add_wait(path, wait, mean, set);
    come_to_rest(path, wait, set);
}
