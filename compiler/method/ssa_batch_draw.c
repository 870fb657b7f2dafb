/* ssa_batch_draw.c: geometric, gamma and binomial numbers (see ssa_batch_draw.h).
 *
 *   geometric  by inversion
 *   gamma      G. Marsaglia, W. W. Tsang 2000, ACM Trans. Math. Softw. 26, 363: a cube of a normal number, rejected once in
 *              some hundred; the normal by G. E. P. Box, M. E. Muller 1958
 *   binomial   inversion by search from 0 where the mean is below 10; else W. Hörmann 1993, J. Stat. Comput. Simul. 46,
 *              101: transformed rejection with squeeze (BTRS), some 1.2 to 1.5 tries
 *
 * All are exact up to the rounding of f64: rejection compares with the density itself, and the factorials in it come from
 * Stirling's series with as many terms as f64 can tell.
 */
#include "compiler/method/ssa_batch_draw.h"
#include "compiler/method/ssa_shared.h"

#include <math.h>

static KirValue
f64(BatchDraws *draws, double value)
{
    return rxn__kir_const(draws->frame->builder, KIR_F64, value);
}

/* log k! - (log(2 pi)/2 + (k + 1/2) log(k + 1) - (k + 1)) for k = 0 … 9: what is left of Stirling's formula. */
enum { STIRLING_ROWS = 10 };
static const double stirling_rest[STIRLING_ROWS] = {
    0.08106146679532726,  0.04134069595540929,  0.02767792568499834, 0.02079067210376509,
    0.01664469118982119,  0.01387612882307075,  0.01189670994589177, 0.010411265261972096,
    0.009255462182712733, 0.008330563433362871,
};

void
rxn__batch_draws_begin(BatchDraws *draws, SsaFrame *frame)
{
    KirBuilder *b = frame->builder;
    draws->frame = frame;
    draws->next = rxn__kir_local(b, "next_block", KIR_U64, 0);
    draws->drawn = rxn__kir_local(b, "drawn", KIR_F64, 0);
    draws->term = rxn__kir_local(b, "drawn_term", KIR_F64, 0);
    draws->left = rxn__kir_local(b, "drawn_left", KIR_F64, 0);
    draws->stirling = rxn__ssa_constants_f64(frame, "stirling_rest", stirling_rest, STIRLING_ROWS);
}

void
rxn__batch_uniforms(BatchDraws *draws, KirValue *ret_u, KirValue *ret_v)
{
    KirBuilder *b = draws->frame->builder;
    KirValue number = rxn__kir_get(b, draws->next, 0);
    KirValue low = kir_cast(b, KIR_U32, number);
    KirValue high = kir_cast(b, KIR_U32, kir_shr(b, number, rxn__kir_const(b, KIR_U64, 32)));
    rxn__ssa_uniforms(draws->frame, low, high, ret_u, ret_v);
    rxn__kir_set(b, draws->next, 0, kir_add(b, number, rxn__kir_const(b, KIR_U64, 1)));
}

KirValue
rxn__batch_geometric(BatchDraws *draws, KirValue p)
{
    KirBuilder *b = draws->frame->builder;
    KirValue u, v;
    rxn__batch_uniforms(draws, &u, &v);
    KirValue sure = kir_ge(b, p, f64(draws, 1));
    KirValue failure = rxn__kir_op(b, KIR_LOG1P, kir_neg(b, p), 0, 0);
    KirValue waited = kir_floor(b, kir_div(b, kir_log_unit(b, u), failure));
    waited = kir_select(b, kir_gt(b, p, f64(draws, 0)), waited, f64(draws, INFINITY));
    return kir_select(b, sure, f64(draws, 0), waited);
}

KirValue
rxn__batch_gamma(BatchDraws *draws, KirValue shape)
{
    KirBuilder *b = draws->frame->builder;
    const double two_pi = 6.283185307179586;
    KirValue d = kir_sub(b, shape, f64(draws, 1.0 / 3));
    KirValue c = kir_div(b, f64(draws, 1), kir_sqrt(b, kir_mul(b, f64(draws, 9), d)));
    rxn__kir_loop(b);
    KirValue u, v, decision, unused;
    rxn__batch_uniforms(draws, &u, &v);
    rxn__batch_uniforms(draws, &decision, &unused);
    KirValue square = kir_mul(b, f64(draws, -2), kir_log_unit(b, u)); /* of the radius */
    KirValue cosine = rxn__kir_op(b, KIR_COS, kir_mul(b, f64(draws, two_pi), v), 0, 0);
    KirValue normal = kir_mul(b, kir_sqrt(b, square), cosine);
    KirValue root = kir_fma(b, c, normal, f64(draws, 1));
    KirValue cube = kir_mul(b, root, kir_mul(b, root, root));
    rxn__kir_set(b, draws->drawn, 0, kir_mul(b, d, cube));
    /* log decision < normal²/2 + d (1 - cube + log cube) */
    KirValue inner = kir_add(b, kir_sub(b, f64(draws, 1), cube), kir_log(b, cube));
    KirValue most = kir_fma(b, d, inner, kir_mul(b, f64(draws, 0.5), kir_mul(b, normal, normal)));
    KirValue accepted =
        kir_and(b, kir_gt(b, root, f64(draws, 0)), kir_lt(b, kir_log_unit(b, decision), most));
    rxn__kir_if(b, accepted);
    rxn__kir_break(b);
    rxn__kir_close(b);
    rxn__kir_close(b);
    return rxn__kir_get(b, draws->drawn, 0);
}

/* ---- binomial ---------------------------------------------------------------------------------- */

/* The probabilities of 0, 1, 2 … are taken off u until it is used up. The mean is below 10: so are the steps, on average. */
static void
search_from_zero(BatchDraws *draws, KirValue n, KirValue p)
{
    KirBuilder *b = draws->frame->builder;
    KirValue u, v, one = f64(draws, 1);
    rxn__batch_uniforms(draws, &u, &v);
    KirValue odds = kir_div(b, p, kir_sub(b, one, p));
    KirValue log_failure = rxn__kir_op(b, KIR_LOG1P, kir_neg(b, p), 0, 0);
    rxn__kir_set(b, draws->drawn, 0, f64(draws, 0));
    rxn__kir_set(b, draws->left, 0, u);
    rxn__kir_set(b, draws->term, 0, kir_exp(b, kir_mul(b, n, log_failure)));
    rxn__kir_loop(b);
    KirValue left = rxn__kir_get(b, draws->left, 0), term = rxn__kir_get(b, draws->term, 0),
             k = rxn__kir_get(b, draws->drawn, 0);
    /* A term is 0 beyond n. It is far below, too, where rounding of the sum has left some of u: that stops there. */
    rxn__kir_if(b, kir_or(b, kir_lt(b, left, term), kir_lt(b, term, f64(draws, 0x1p-200))));
    rxn__kir_break(b);
    rxn__kir_close(b);
    KirValue next = kir_add(b, k, one);
    rxn__kir_set(b, draws->left, 0, kir_sub(b, left, term));
    rxn__kir_set(b, draws->term, 0,
                 kir_mul(b, term, kir_mul(b, odds, kir_div(b, kir_sub(b, n, k), next))));
    rxn__kir_set(b, draws->drawn, 0, next);
    rxn__kir_close(b);
    /* Then it may have gone one too far. */
    rxn__kir_set(b, draws->drawn, 0, kir_min(b, rxn__kir_get(b, draws->drawn, 0), n));
}

static KirValue
stirling(BatchDraws *draws, KirValue k)
{
    KirBuilder *b = draws->frame->builder;
    KirValue row = kir_cast(b, KIR_I32, kir_min(b, k, f64(draws, STIRLING_ROWS - 1)));
    row = kir_max(b, row, rxn__kir_const(b, KIR_I32, 0)); /* of a k that is refused */
    KirValue x = kir_add(b, k, f64(draws, 1));
    KirValue inverse = kir_div(b, f64(draws, 1), x), square = kir_mul(b, inverse, inverse);
    KirValue series = f64(draws, 1.0 / 1188);
    series = kir_fma(b, kir_neg(b, square), series, f64(draws, 1.0 / 1680));
    series = kir_fma(b, kir_neg(b, square), series, f64(draws, 1.0 / 1260));
    series = kir_fma(b, kir_neg(b, square), series, f64(draws, 1.0 / 360));
    series = kir_fma(b, kir_neg(b, square), series, f64(draws, 1.0 / 12));
    KirValue few = kir_lt(b, k, f64(draws, STIRLING_ROWS));
    return kir_select(b, few, rxn__kir_load(b, draws->stirling, &row), kir_mul(b, series, inverse));
}

/* With Stirling's formula, the largest terms of the factorials against each other: their logarithms are small. */
KirValue
rxn__batch_binomial_ratio(BatchDraws *draws, KirValue n, KirValue odds, KirValue mode, KirValue k)
{
    KirBuilder *b = draws->frame->builder;
    KirValue one = f64(draws, 1), half = f64(draws, 0.5);
    KirValue rest = kir_sub(b, n, k), rest_mode = kir_sub(b, n, mode);
    KirValue mode1 = kir_add(b, mode, one), k1 = kir_add(b, k, one);
    KirValue rest1 = kir_add(b, rest, one), rest_mode1 = kir_add(b, rest_mode, one);
    KirValue sum = kir_mul(b, kir_add(b, mode, half),
                           kir_log(b, kir_div(b, mode1, kir_mul(b, odds, rest_mode1))));
    sum = kir_fma(b, kir_add(b, n, one), kir_log(b, kir_div(b, rest_mode1, rest1)), sum);
    sum = kir_fma(b, kir_add(b, k, half), kir_log(b, kir_div(b, kir_mul(b, odds, rest1), k1)), sum);
    sum = kir_add(b, sum, kir_add(b, stirling(draws, mode), stirling(draws, rest_mode)));
    return kir_sub(b, sum, kir_add(b, stirling(draws, k), stirling(draws, rest)));
}

/* p at most 1/2, n·p at least 10. The letters are Hörmann's. */
static void
transformed_rejection(BatchDraws *draws, KirValue n, KirValue p)
{
    KirBuilder *b = draws->frame->builder;
    KirValue one = f64(draws, 1), half = f64(draws, 0.5);
    KirValue q = kir_sub(b, one, p), mean = kir_mul(b, n, p);
    KirValue deviation = kir_sqrt(b, kir_mul(b, mean, q));
    KirValue width = kir_fma(b, deviation, f64(draws, 2.53), f64(draws, 1.15)); /* b */
    KirValue a = kir_fma(b, width, f64(draws, 0.0248), f64(draws, -0.0873));
    a = kir_fma(b, p, f64(draws, 0.01), a);
    KirValue c = kir_add(b, mean, half);
    KirValue alpha =
        kir_mul(b, kir_add(b, f64(draws, 2.83), kir_div(b, f64(draws, 5.1), width)), deviation);
    KirValue squeeze = kir_sub(b, f64(draws, 0.92), kir_div(b, f64(draws, 4.2), width));
    KirValue odds = kir_div(b, p, q);
    KirValue mode = kir_floor(b, kir_mul(b, kir_add(b, n, one), p));
    rxn__kir_loop(b);
    KirValue uniform, v;
    rxn__batch_uniforms(draws, &uniform, &v);
    KirValue u = kir_sub(b, uniform, half);
    KirValue us = kir_sub(b, half, kir_abs(b, u));
    KirValue slope = kir_add(b, kir_div(b, kir_add(b, a, a), us), width);
    KirValue k = kir_floor(b, kir_fma(b, slope, u, c));
    rxn__kir_set(b, draws->drawn, 0, k);
    rxn__kir_if(b, kir_and(b, kir_ge(b, us, f64(draws, 0.07)), kir_le(b, v, squeeze)));
    rxn__kir_break(b);
    rxn__kir_close(b);
    KirValue possible = kir_and(b, kir_ge(b, k, f64(draws, 0)), kir_le(b, k, n));
    rxn__kir_if(b, possible);
    KirValue height = kir_log(
        b, kir_div(b, kir_mul(b, v, alpha), kir_add(b, kir_div(b, a, kir_mul(b, us, us)), width)));
    KirValue ratio = rxn__batch_binomial_ratio(draws, n, odds, mode, k);
    rxn__kir_if(b, kir_le(b, height, ratio));
    rxn__kir_break(b);
    rxn__kir_close(b);
    rxn__kir_close(b);
    rxn__kir_close(b);
}

KirValue
rxn__batch_binomial(BatchDraws *draws, KirValue n, KirValue p)
{
    const double least_mean = 10; /* of BTRS, for which its constants are made */
    KirBuilder *b = draws->frame->builder;
    KirValue other = kir_gt(b, p, f64(draws, 0.5));
    KirValue least =
        kir_max(b, kir_select(b, other, kir_sub(b, f64(draws, 1), p), p), f64(draws, 0));
    KirValue few = kir_lt(b, kir_mul(b, n, least), f64(draws, least_mean));
    rxn__kir_if(b, few);
    search_from_zero(draws, n, least);
    rxn__kir_else(b);
    transformed_rejection(draws, n, least);
    rxn__kir_close(b);
    KirValue k = rxn__kir_get(b, draws->drawn, 0);
    return kir_select(b, other, kir_sub(b, n, k), k);
}
