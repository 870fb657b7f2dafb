/* expand_math_exp.c: exp and what is made of it: expm1, sigmoid, softplus, tanh.
 *
 * x = k ln 2 + r with |r| <= ln(2)/2, e^x = 2^k e^r. k is rounded by adding a large number, so it
 * stands in the low mantissa bits of that sum, and a shift makes it the exponent field of 2^k. The
 * large number includes the exponent's bias: no further integer operation.
 *
 * Subnormal results and overflow come from ordinary multiplications (rounding once, as they should);
 * a NaN goes through all of it as a NaN, since 2^k is multiplied and not added to the exponent.
 *
 * kir_min(c, x) and kir_max(c, x) are x where x is NaN; so the constant comes first here.
 */
#include "compiler/kir/expand_math.h"

#include <math.h>

typedef struct Reduced {
    KirValue k;       /* a real */
    KirValue shifted; /* the word k + offset, shifted into the exponent field */
    KirValue high, r; /* x - k ln2_high, exact; and less k ln2_low, rounded */
} Reduced;

/* offset: what is added to the exponent field; k + offset must not be negative. */
static Reduced
reduce(const Math *m, KirValue x, double offset, const KirValue *low)
{
    KirBuilder *b = m->builder;
    const MathFormat *format = m->format;
    const KirValue magic = math_real(m, math_magic(m) + offset);
    const KirValue sum = kir_fma(b, x, math_real(m, format->log2_e), magic);
    const KirValue k = kir_sub(b, sum, magic);
    const KirValue minus_low = math_real(m, -format->ln2_low);
    const KirValue high = kir_fma(b, k, math_real(m, -format->ln2_high), x);
    const KirValue r =
        low ? kir_add(b, high, kir_fma(b, k, minus_low, *low)) : kir_fma(b, k, minus_low, high);
    return (Reduced){
        .k = k,
        .shifted = math_shift_left(m, math_as_word(m, sum), format->mantissa_bits),
        .high = high,
        .r = r,
    };
}

/* e^r, as 1 + r (1 + r P(r)): the last two steps are Horner's, for their rounding errors are the
 * ones that count. */
static KirValue
exp_of_reduced(const Math *m, KirValue r)
{
    KirBuilder *b = m->builder;
    const KirValue one = math_real(m, 1);
    const KirValue p = math_polynomial(m, r, m->format->exp);
    return kir_fma(b, kir_fma(b, p, r, one), r, one);
}

/* 2^k in two factors, neither of which under- or overflows where 2^k e^r does not: `second` is 2, or
 * a power far below 1 where the result may be subnormal. */
static void
split_power(const Math *m, const Reduced *reduced, KirValue x, KirValue *ret_first,
            KirValue *ret_second)
{
    KirBuilder *b = m->builder;
    const double down = -2.0 * m->format->mantissa_bits;
    const KirValue small = kir_lt(b, x, math_real(m, m->format->small_from));
    const KirValue second =
        kir_select(b, small, math_real(m, ldexp(1, (int)down)), math_real(m, 2));
    *ret_first = math_as_real(m, kir_sub(b, reduced->shifted, math_as_word(m, second)));
    *ret_second = second;
}

KirValue
rxn__math_exp_sum(const Math *m, KirValue x, const KirValue *low)
{
    KirBuilder *b = m->builder;
    const MathFormat *format = m->format;
    const KirValue bounded = kir_min(b, math_real(m, format->infinity_from),
                                     kir_max(b, math_real(m, format->zero_from), x));
    /* Twice the bias: one is for the factor that split_power divides by. */
    const Reduced reduced = reduce(m, bounded, 2 * format->bias, low);
    KirValue first, second;
    split_power(m, &reduced, bounded, &first, &second);
    return kir_mul(b, kir_mul(b, exp_of_reduced(m, reduced.r), first), second);
}

KirValue
rxn__math_exp(const Math *m, KirValue x)
{
    return rxn__math_exp_sum(m, x, NULL);
}

/* e^r - 1 - r for the exact r, of which reduced->r has lost a little. */
static KirValue
expm1_rest(const Math *m, const Reduced *reduced)
{
    KirBuilder *b = m->builder;
    const KirValue lost = kir_fma(b, reduced->k, math_real(m, -m->format->ln2_low),
                                  kir_sub(b, reduced->high, reduced->r));
    const KirValue r2 = kir_mul(b, reduced->r, reduced->r);
    return kir_fma(b, r2, math_polynomial(m, reduced->r, m->format->expm1), lost);
}

/* 2^k (e^r - 1) + (2^k - 1), at half its size until the end, for k = 1024 to be no special case. */
KirValue
rxn__math_expm1(const Math *m, KirValue x)
{
    KirBuilder *b = m->builder;
    const MathFormat *format = m->format;
    const KirValue bounded = kir_min(b, math_real(m, format->infinity_from),
                                     kir_max(b, math_real(m, -format->one_from), x));
    const Reduced reduced = reduce(m, bounded, format->bias - 1, NULL);
    const KirValue rest = expm1_rest(m, &reduced);
    const KirValue half_power = math_as_real(m, reduced.shifted);
    const KirValue start =
        kir_fma(b, half_power, reduced.r, kir_sub(b, half_power, math_real(m, 0.5)));
    const KirValue half = kir_fma(b, half_power, rest, start);

    /* Below the square root of an ulp's half x is its own expm1 (and its half may not be exact). */
    const KirValue tiny = math_real(m, ldexp(1, -(int)format->mantissa_bits - 2));
    return kir_select(b, kir_lt(b, kir_abs(b, x), tiny), x, kir_add(b, half, half));
}

/* e = e^-|x|, s = 1 + e; the answer is 1/s or e/s. Both s and the quotient are corrected for what
 * their roundings lost, which leaves e's error and the last rounding. */
KirValue
rxn__math_sigmoid(const Math *m, KirValue x)
{
    KirBuilder *b = m->builder;
    const KirValue one = math_real(m, 1);
    const KirValue e = rxn__math_exp(m, kir_neg(b, kir_abs(b, x)));
    const KirValue s = kir_add(b, one, e);
    const KirValue s_low = kir_sub(b, e, kir_sub(b, s, one));
    const KirValue inverse = kir_div(b, one, s);
    const KirValue minus_inverse = kir_neg(b, inverse);
    const KirValue error = kir_fma(b, minus_inverse, s_low, kir_fma(b, minus_inverse, s, one));
    const KirValue inverse_low = kir_mul(b, error, inverse);
    const KirValue numerator = kir_select(b, kir_lt(b, x, math_real(m, 0)), e, one);
    return kir_fma(b, numerator, inverse, kir_mul(b, numerator, inverse_low));
}

/* max(x, 0) + log(1 + e), e = e^-|x| as a sum of two. 1 + e is halved where it is above sqrt(2), the
 * range that rxn__math_log_rest has. */
KirValue
rxn__math_softplus(const Math *m, KirValue x)
{
    KirBuilder *b = m->builder;
    const MathFormat *format = m->format;
    const KirValue zero = math_real(m, 0);
    const KirValue one = math_real(m, 1);
    const KirValue half = math_real(m, 0.5);

    const KirValue bounded = kir_max(b, math_real(m, format->zero_from), kir_neg(b, kir_abs(b, x)));
    const Reduced reduced = reduce(m, bounded, 2 * format->bias, NULL);
    KirValue first, second;
    split_power(m, &reduced, bounded, &first, &second);
    const KirValue lead = kir_add(b, one, reduced.r);
    const KirValue lead_low = kir_sub(b, reduced.r, kir_sub(b, lead, one));
    const KirValue rest = kir_add(b, expm1_rest(m, &reduced), lead_low);
    const KirValue sum = kir_add(b, lead, rest);
    const KirValue sum_low = kir_sub(b, rest, kir_sub(b, sum, lead));
    const KirValue e = kir_mul(b, kir_mul(b, sum, first), second);
    const KirValue e_low = kir_mul(b, kir_mul(b, sum_low, first), second);

    /* (1 + e)/2 - 1, and what it loses by rounding where e < 1/2. */
    const KirValue halved = kir_fma(b, half, e, math_real(m, -0.5));
    const KirValue lost = kir_fma(b, half, e, kir_neg(b, kir_add(b, halved, half)));
    const KirValue halved_low = kir_fma(b, half, e_low, lost);

    const KirValue large = kir_gt(b, e, math_real(m, 0.4142135));
    const KirValue f = kir_select(b, large, halved, e);
    const KirValue f_low = kir_select(b, large, halved_low, e_low);
    const KirValue k_log2 = kir_select(b, large, math_real(m, format->ln2_high), zero);
    const KirValue tail = rxn__math_log_rest(m, f, f_low);
    const KirValue logarithm = kir_add(b, k_log2, kir_add(b, f, tail));
    return kir_add(b, kir_max(b, zero, x), logarithm);
}

/* With F = expm1(-2|x|) in (-1, 0]: tanh |x| = -F / (2 + F). F and 2 + F are sums of two, and the
 * quotient is corrected. */
KirValue
rxn__math_tanh(const Math *m, KirValue x)
{
    KirBuilder *b = m->builder;
    const MathFormat *format = m->format;
    const KirValue one = math_real(m, 1);
    const KirValue two = math_real(m, 2);

    const KirValue magnitude = kir_abs(b, x);
    const KirValue bounded = kir_min(b, math_real(m, format->one_from), magnitude);
    const Reduced reduced = reduce(m, kir_mul(b, bounded, math_real(m, -2)), format->bias, NULL);
    const KirValue rest = expm1_rest(m, &reduced);
    const KirValue power = math_as_real(m, reduced.shifted);
    const KirValue power_less_one = kir_sub(b, power, one);
    const KirValue start = kir_fma(b, power, reduced.r, power_less_one);
    const KirValue start_low = kir_fma(b, power, reduced.r, kir_sub(b, power_less_one, start));
    const KirValue f = kir_fma(b, power, rest, start);
    const KirValue f_low = kir_add(b, kir_fma(b, power, rest, kir_sub(b, start, f)), start_low);

    const KirValue d = kir_add(b, two, f);
    const KirValue d_low = kir_add(b, kir_sub(b, f, kir_sub(b, d, two)), f_low);
    const KirValue inverse = kir_div(b, one, d);
    const KirValue quotient = kir_mul(b, f, inverse);
    const KirValue minus_quotient = kir_neg(b, quotient);
    const KirValue error =
        kir_fma(b, minus_quotient, d_low, kir_add(b, kir_fma(b, minus_quotient, d, f), f_low));
    return kir_copysign(b, kir_fma(b, error, inverse, quotient), x);
}
