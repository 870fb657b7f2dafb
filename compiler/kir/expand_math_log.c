/* expand_math_log.c: log, log of a uniform, log1p.
 *
 * x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)); log x = k ln 2 + log(1 + f).
 *
 * In f64, s = f/(2 + f) and log(1 + f) = 2 atanh s = f + s (z P(z) - f), z = s^2: one division and
 * seven coefficients. Without a division there are twenty; beside a simulation step's random numbers
 * and its other division, that took 3 to 8 % more of the whole step (AVX-512), and as long on a GPU.
 * In f32, nine coefficients do without: log(1 + f) = f + f^2 P(f).
 *
 * Why the error stays below 1 ulp. f is exact. What is added to it is at most 0.2 |log(1 + f)| in
 * size and has the error of three roundings, or four: below 0.4 ulp of the result, where it is worst
 * (x near sqrt(1/2)). Adding it to f is half an ulp. k ln2_high is exact inside the last fma. For
 * k = 0 that fma is exact; for k = 1 and -1 where the terms cancel it is, too; otherwise its half ulp
 * comes on top of errors that are at most half as large, for the result is at least twice log(1 + f).
 */
#include "compiler/kir/expand_math.h"

#include <math.h>

KirValue
rxn__math_field_as_real(const Math *m, KirValue field, KirValue bias)
{
    KirBuilder *b = m->builder;
    const KirValue power = math_word(m, math_power_bits(m, m->format->mantissa_bits));
    return kir_sub(b, math_as_real(m, kir_or(b, field, power)), bias);
}

KirValue
rxn__math_log_rest(const Math *m, KirValue f, KirValue low)
{
    KirBuilder *b = m->builder;
    const MathFormat *format = m->format;
    if (format->real == KIR_F64) {
        const KirValue s = kir_div(b, f, kir_add(b, f, math_real(m, 2)));
        const KirValue z = kir_mul(b, s, s);
        const KirValue p = math_polynomial(m, z, format->log);
        return kir_fma(b, s, kir_fma(b, z, p, kir_neg(b, f)), low);
    }
    const KirValue q = kir_mul(b, f, math_polynomial(m, f, format->log));
    return kir_fma(b, f, q, low);
}

/* k ln 2 + log(1 + f). */
static KirValue
log_sum(const Math *m, KirValue k, KirValue f)
{
    KirBuilder *b = m->builder;
    const KirValue low = kir_mul(b, k, math_real(m, m->format->ln2_low));
    const KirValue sum = kir_add(b, f, rxn__math_log_rest(m, f, low));
    return kir_fma(b, k, math_real(m, m->format->ln2_high), sum);
}

/* 2^mantissa_bits + bias, for rxn__math_field_as_real. */
static double
field_bias(const Math *m, double bias)
{
    return (double)((u64)1 << m->format->mantissa_bits) + bias;
}

/* The word of x, less that of sqrt(1/2), plus that of 1: its exponent field is that of the k with
 * x / 2^k in [sqrt(1/2), sqrt(2)), and its mantissa that of x / 2^k counted from sqrt(1/2). */
static KirValue
centered_word(const Math *m, KirValue x)
{
    const u64 distance = math_power_bits(m, 0) - m->format->root_half;
    return kir_add(m->builder, math_as_word(m, x), math_word(m, distance));
}

static KirValue
centered_field(const Math *m, KirValue centered)
{
    return kir_shr(m->builder, centered, math_word(m, m->format->mantissa_bits));
}

/* x / 2^k - 1, exact, from the centered word. */
static KirValue
centered_fraction(const Math *m, KirValue centered)
{
    KirBuilder *b = m->builder;
    const KirValue mantissa = kir_and(b, centered, math_word(m, math_mantissa_mask(m)));
    const KirValue word = kir_add(b, mantissa, math_word(m, m->format->root_half));
    return kir_sub(b, math_as_real(m, word), math_real(m, 1));
}

/* The hottest function of a simulation. In f32 1 + f is in [1/2, 1): x < 1, so k ln 2 and log(1 + f)
 * have one sign, nothing cancels, x's fields are used as they are, and ln2_low (2^-5 ulp of ln 2) is
 * not missed. In f64 that range would ask for too many coefficients. */
KirValue
rxn__math_log_unit(const Math *m, KirValue x)
{
    KirBuilder *b = m->builder;
    const MathFormat *format = m->format;
    if (format->real == KIR_F64) {
        const KirValue centered = centered_word(m, x);
        const KirValue bias = math_real(m, field_bias(m, format->bias));
        const KirValue k = rxn__math_field_as_real(m, centered_field(m, centered), bias);
        return log_sum(m, k, centered_fraction(m, centered));
    }
    const KirValue word = math_as_word(m, x);
    const KirValue field = kir_shr(b, word, math_word(m, format->mantissa_bits));
    const KirValue k =
        rxn__math_field_as_real(m, field, math_real(m, field_bias(m, format->bias - 1)));
    const KirValue mantissa = kir_and(b, word, math_word(m, math_mantissa_mask(m)));
    const KirValue half = math_word(m, math_power_bits(m, -1));
    const KirValue f = kir_sub(b, math_as_real(m, kir_or(b, mantissa, half)), math_real(m, 1));
    const KirValue q = kir_mul(b, f, math_polynomial(m, f, format->log_unit));
    return kir_fma(b, k, math_real(m, format->ln2_high), kir_fma(b, f, q, f));
}

KirValue
rxn__math_log(const Math *m, KirValue x)
{
    KirBuilder *b = m->builder;
    const MathFormat *format = m->format;
    const KirValue zero = math_real(m, 0);
    const KirValue infinity = math_real(m, INFINITY);

    /* Subnormals are scaled up. (So are negative numbers, of which nothing is used.) */
    const KirValue small = kir_lt(b, x, math_real(m, ldexp(1, 1 - (int)format->bias)));
    const KirValue scaled = kir_select(b, small, kir_mul(b, x, math_real(m, format->scale_up)), x);
    const KirValue bias =
        kir_select(b, small, math_real(m, field_bias(m, format->bias + format->scale_up_exponent)),
                   math_real(m, field_bias(m, format->bias)));

    const KirValue centered = centered_word(m, scaled);
    const KirValue k = rxn__math_field_as_real(m, centered_field(m, centered), bias);
    const KirValue regular = log_sum(m, k, centered_fraction(m, centered));

    const KirValue positive = kir_select(b, kir_lt(b, x, infinity), regular, infinity);
    const KirValue other =
        kir_select(b, kir_eq(b, x, zero), math_real(m, -INFINITY), math_real(m, NAN));
    return kir_select(b, kir_gt(b, x, zero), positive, other);
}

/* s + d = 1 + x exactly (s rounded); s = 2^k (1 + ...), and f = (s + d)/2^k - 1, rounded once: where
 * k = 0, f is x itself. */
KirValue
rxn__math_log1p(const Math *m, KirValue x)
{
    KirBuilder *b = m->builder;
    const MathFormat *format = m->format;
    const KirValue one = math_real(m, 1);

    const KirValue s = kir_add(b, one, x);
    const KirValue x_part = kir_sub(b, s, one);
    const KirValue one_part = kir_sub(b, s, x_part);
    const KirValue d = kir_add(b, kir_sub(b, one, one_part), kir_sub(b, x, x_part));

    const KirValue centered = centered_word(m, s);
    const KirValue field = centered_field(m, centered);
    const KirValue k = rxn__math_field_as_real(m, field, math_real(m, field_bias(m, format->bias)));
    /* The bits of 2^-k: the field of 1 less k. For the greatest k that is the pattern of -infinity,
     * hence the max; d no longer counts then. */
    const KirValue power =
        math_as_real(m, kir_sub(b, math_word(m, 2 * math_power_bits(m, 0)),
                                math_shift_left(m, field, format->mantissa_bits)));
    const KirValue scale = kir_max(b, math_real(m, 0), power);
    const KirValue f = kir_fma(b, d, scale, centered_fraction(m, centered));
    const KirValue regular = log_sum(m, k, f);

    /* 0, -0 and infinity are their own log1p, and the only ones above -1 that equal their double. */
    const KirValue above = kir_select(b, kir_eq(b, x, kir_add(b, x, x)), x, regular);
    const KirValue other =
        kir_select(b, kir_eq(b, x, math_real(m, -1)), math_real(m, -INFINITY), math_real(m, NAN));
    return kir_select(b, kir_gt(b, x, math_real(m, -1)), above, other);
}
