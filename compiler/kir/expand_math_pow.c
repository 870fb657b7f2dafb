/* expand_math_pow.c: x^y = e^(y log x).
 *
 * The relative error of e^z is the absolute error of z, and |z| goes up to 745 (104 in f32); so
 * log x is needed with some ten bits (seven) more than a real has. In f32 all of it is done in f64.
 * In f64 the logarithm is a sum of two numbers, with a relative error below 2^-64.
 *
 * Special cases are those of C's pow (C11 F.10.4.4), by selection at the end.
 */
#include "compiler/kir/expand_math.h"

#include <math.h>

/* The number a*b has beyond its rounded product. */
static KirValue
product_low(KirBuilder *b, KirValue x, KirValue y, KirValue product)
{
    return kir_fma(b, x, y, kir_neg(b, product));
}

/* What was lost by sum = larger + smaller. */
static KirValue
sum_low(KirBuilder *b, KirValue larger, KirValue smaller, KirValue sum)
{
    return kir_sub(b, smaller, kir_sub(b, sum, larger));
}

/* x = 2^k m with m in [sqrt(1/2), sqrt(2)), for f64. */
static void
split(const Math *m, KirValue x, KirValue bias, KirValue *ret_k, KirValue *ret_mantissa)
{
    KirBuilder *b = m->builder;
    const u64 root_half = m->format->root_half;
    const u64 distance = math_power_bits(m, 0) - root_half;
    const KirValue word = kir_add(b, math_as_word(m, x), math_word(m, distance));
    *ret_k = rxn__math_field_as_real(m, kir_shr(b, word, math_word(m, 52)), bias);
    const KirValue mantissa = kir_and(b, word, math_word(m, math_mantissa_mask(m)));
    *ret_mantissa = math_as_real(m, kir_add(b, mantissa, math_word(m, root_half)));
}

/* log(0), log(infinity), log(NaN), where the logarithm of a normal number was taken. */
static KirValue
log_or_special(const Math *m, KirValue magnitude, KirValue regular)
{
    KirBuilder *b = m->builder;
    const KirValue zero = kir_eq(b, magnitude, math_real(m, 0));
    const KirValue finite = kir_lt(b, magnitude, math_real(m, INFINITY));
    return kir_select(b, finite, kir_select(b, zero, math_real(m, -INFINITY), regular), magnitude);
}

/* Signs and NaN; `magnitude` is |x|^y. Both precisions. */
static KirValue
finish(const Math *m, KirValue x, KirValue y, KirValue magnitude)
{
    KirBuilder *b = m->builder;
    const KirValue zero = math_real(m, 0);
    const KirValue half = kir_mul(b, y, math_real(m, 0.5));
    const KirValue whole = kir_eq(b, kir_floor(b, y), y);
    const KirValue even = kir_eq(b, kir_floor(b, half), half);
    const KirValue odd = kir_and(b, whole, kir_not(b, even));
    const KirValue result = kir_select(b, odd, kir_copysign(b, magnitude, x), magnitude);

    const KirValue negative = kir_and(b, kir_lt(b, x, zero), kir_gt(b, x, math_real(m, -INFINITY)));
    const KirValue undefined = kir_and(b, negative, kir_not(b, whole));
    const KirValue one = kir_or(b, kir_eq(b, y, zero), kir_eq(b, x, math_real(m, 1)));
    return kir_select(b, one, math_real(m, 1), kir_select(b, undefined, math_real(m, NAN), result));
}

static KirValue
pow_f64(const Math *m, KirValue x, KirValue y)
{
    KirBuilder *b = m->builder;
    const MathFormat *format = m->format;
    const KirValue one = math_real(m, 1);
    const KirValue third_high = math_real(m, 0x1.5555555555555p-2);
    const KirValue third_low = math_real(m, 0x1.5555555555555p-56);
    /* ln 2 / 2 as a sum whose first part has 42 bits: its product with k is exact. */
    const KirValue half_ln2_high = math_real(m, 0x1.62e42fefa38p-2);
    const KirValue half_ln2_low = math_real(m, 0x1.ef35793c7673p-46);

    const KirValue magnitude = kir_abs(b, x);
    const KirValue small = kir_lt(b, magnitude, math_real(m, 0x1p-1022));
    const KirValue scaled =
        kir_select(b, small, kir_mul(b, magnitude, math_real(m, format->scale_up)), magnitude);
    const KirValue bias =
        kir_select(b, small, math_real(m, 0x1p52 + format->bias + format->scale_up_exponent),
                   math_real(m, 0x1p52 + format->bias));
    KirValue k, mantissa;
    split(m, scaled, bias, &k, &mantissa);

    /* s + s_low = (m - 1)/(m + 1); log m = 2 atanh s. */
    const KirValue numerator = kir_sub(b, mantissa, one);
    const KirValue denominator = kir_add(b, one, mantissa);
    const KirValue denominator_low = sum_low(b, one, mantissa, denominator);
    const KirValue inverse = kir_div(b, one, denominator);
    const KirValue s = kir_mul(b, numerator, inverse);
    const KirValue minus_s = kir_neg(b, s);
    const KirValue rest =
        kir_fma(b, minus_s, denominator_low, kir_fma(b, minus_s, denominator, numerator));
    const KirValue s_low = kir_mul(b, rest, inverse);

    /* z + z_low = s^2; t + t_low = 1/3 + z U(z); w + w_low = z t: atanh s = s + s w. */
    const KirValue z = kir_mul(b, s, s);
    const KirValue z_low = kir_fma(b, kir_add(b, s, s), s_low, product_low(b, s, s, z));
    const KirValue zu = kir_mul(b, z, math_polynomial(m, z, rxn__math_atanh_f64));
    const KirValue t = kir_add(b, third_high, zu);
    const KirValue t_low = kir_add(b, sum_low(b, third_high, zu, t), third_low);
    const KirValue w = kir_mul(b, z, t);
    const KirValue w_low = kir_fma(b, z_low, t, kir_fma(b, z, t_low, product_low(b, z, t, w)));
    const KirValue sw = kir_mul(b, s, w);
    const KirValue sw_low = kir_fma(b, s_low, w, kir_fma(b, s, w_low, product_low(b, s, w, sw)));
    const KirValue a = kir_add(b, s, sw);
    const KirValue a_low = kir_add(b, sum_low(b, s, sw, a), kir_add(b, s_low, sw_low));

    /* Half the logarithm, h + h_low. */
    const KirValue kh = kir_mul(b, k, half_ln2_high);
    const KirValue h_regular = kir_add(b, kh, a);
    const KirValue h_low =
        kir_fma(b, k, half_ln2_low, kir_add(b, sum_low(b, kh, a, h_regular), a_low));
    const KirValue h = log_or_special(m, magnitude, h_regular);

    /* y is bounded: beyond, only x = 1 gives other than 0 or infinity, and it gives 1. */
    const KirValue bounded = kir_min(b, math_real(m, 0x1p65), kir_max(b, math_real(m, -0x1p65), y));
    const KirValue y2 = kir_add(b, bounded, bounded);
    const KirValue e = kir_mul(b, y2, h);
    const KirValue e_low = kir_fma(b, y2, h_low, product_low(b, y2, h, e));
    /* Where e overflows the exponential, e_low is no longer small, or not a number. */
    const KirValue usable = kir_lt(b, kir_abs(b, e), math_real(m, 1000));
    const KirValue low = kir_select(b, usable, e_low, math_real(m, 0));
    return finish(m, x, y, rxn__math_exp_sum(m, e, &low));
}

static KirValue
pow_f32(const Math *m, KirValue x, KirValue y)
{
    KirBuilder *b = m->builder;
    const MathFormat *format = &rxn__math_f64;
    const Math wide = {b, format};
    const KirValue one = math_real(&wide, 1);
    const KirValue x_wide = kir_cast(b, KIR_F64, x);
    const KirValue y_wide = kir_cast(b, KIR_F64, y);

    const KirValue magnitude = kir_abs(b, x_wide);
    KirValue k, mantissa;
    split(&wide, magnitude, math_real(&wide, 0x1p52 + format->bias), &k, &mantissa);
    const KirValue s = kir_div(b, kir_sub(b, mantissa, one), kir_add(b, mantissa, one));
    const KirValue z = kir_mul(b, s, s);
    const KirValue factor =
        kir_fma(b, z, math_polynomial(&wide, z, rxn__math_atanh_short), math_real(&wide, 2));
    const KirValue regular =
        kir_fma(b, k, math_real(&wide, format->ln2_high), kir_mul(b, s, factor));
    const KirValue logarithm = log_or_special(&wide, magnitude, regular);

    /* Bounded, for an infinite y times a zero logarithm; then so that the power of two exists. */
    const KirValue y_bounded =
        kir_min(b, math_real(&wide, 0x1p200), kir_max(b, math_real(&wide, -0x1p200), y_wide));
    const KirValue e =
        kir_min(b, math_real(&wide, 200),
                kir_max(b, math_real(&wide, -200), kir_mul(b, y_bounded, logarithm)));
    const KirValue magic = math_real(&wide, math_magic(&wide) + format->bias);
    const KirValue sum = kir_fma(b, e, math_real(&wide, format->log2_e), magic);
    const KirValue n = kir_sub(b, sum, magic);
    const KirValue r = kir_fma(b, n, math_real(&wide, -format->ln2_high), e);
    const KirValue p = math_polynomial(&wide, r, rxn__math_expm1_short);
    const KirValue exponential = kir_fma(b, kir_fma(b, p, r, one), r, one);
    const KirValue power =
        math_as_real(&wide, math_shift_left(&wide, math_as_word(&wide, sum), 52));
    const KirValue result = kir_cast(b, KIR_F32, kir_mul(b, exponential, power));
    return finish(m, x, y, result);
}

KirValue
rxn__math_pow(const Math *m, KirValue x, KirValue y)
{
    return m->format->real == KIR_F64 ? pow_f64(m, x, y) : pow_f32(m, x, y);
}
