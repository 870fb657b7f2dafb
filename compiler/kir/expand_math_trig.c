/* expand_math_trig.c: sin, cos, tan.
 *
 * x = q pi/2 + r, |r| <= pi/4 or hardly more. pi/2 is a sum of three parts, subtracted one after
 * another with fma. The first difference is exact (its terms are multiples of one ulp of the first
 * part, and it is small), so r has the error of two roundings, one of which is exact unless x is
 * very near a multiple of pi/2; what the three parts leave of pi/2 is below an ulp of r, however
 * near x is to a multiple, as long as |x| is below the format's limit. Beyond it the answer is NaN:
 * never a wrong number. The limits are 2^40 (f64) and 2^18 (f32).
 */
#include "compiler/kir/expand_math.h"

#include <math.h>

typedef struct Quadrant {
    KirValue word; /* q in its low bits */
    KirValue r;    /* x - q pi/2 */
    KirValue low;  /* what r has lost by rounding; only where it was asked for */
} Quadrant;

static Quadrant
reduce(const Math *m, KirValue x, bool with_low)
{
    KirBuilder *b = m->builder;
    const MathFormat *format = m->format;
    const KirValue magic = math_real(m, math_magic(m));
    const KirValue sum = kir_fma(b, x, math_real(m, format->two_over_pi), magic);
    const KirValue q = kir_sub(b, sum, magic);
    const KirValue minus_first = math_real(m, -format->half_pi[0]);
    const KirValue second = math_real(m, format->half_pi[1]);
    const KirValue third = math_real(m, format->half_pi[2]);
    const KirValue exact = kir_fma(b, q, minus_first, x);
    Quadrant result = {.word = math_as_word(m, sum)};
    if (with_low) {
        const KirValue product = kir_mul(b, q, second);
        const KirValue product_low = kir_fma(b, q, second, kir_neg(b, product));
        const KirValue nearly = kir_sub(b, exact, product);
        const KirValue lost = kir_sub(b, kir_sub(b, exact, nearly), product);
        const KirValue rest = kir_sub(b, lost, kir_fma(b, q, third, product_low));
        result.r = kir_add(b, nearly, rest);
        result.low = kir_sub(b, rest, kir_sub(b, result.r, nearly));
    } else {
        const KirValue minus_q = kir_neg(b, q);
        const KirValue nearly = kir_fma(b, minus_q, second, exact);
        result.r = kir_fma(b, minus_q, third, nearly);
    }
    return result;
}

static KirValue
within_limit(const Math *m, KirValue x, KirValue result)
{
    KirBuilder *b = m->builder;
    const KirValue limit = math_real(m, m->format->trigonometric_limit);
    return kir_select(b, kir_le(b, kir_abs(b, x), limit), result, math_real(m, NAN));
}

static KirValue
is_odd(const Math *m, KirValue word)
{
    KirBuilder *b = m->builder;
    return kir_ne(b, kir_and(b, word, math_word(m, 1)), math_word(m, 0));
}

/* sin(x + shift pi/2): sin r or cos r, by the lowest bit of the quadrant; the next bit is the sign.
 * (The shift comes after the reduction: so sin x and cos x share all but the last lines.) */
static KirValue
sine(const Math *m, KirValue x, u32 shift)
{
    KirBuilder *b = m->builder;
    const MathFormat *format = m->format;
    const Quadrant quadrant = reduce(m, x, false);
    const KirValue word = shift ? kir_add(b, quadrant.word, math_word(m, shift)) : quadrant.word;
    const KirValue r = quadrant.r;
    const KirValue z = kir_mul(b, r, r);

    const KirValue sin_factor = kir_mul(b, z, math_polynomial(m, z, format->sin));
    const KirValue sin_r = kir_fma(b, r, sin_factor, r);
    const KirValue cos_rest = kir_fma(b, z, math_polynomial(m, z, format->cos), math_real(m, -0.5));
    const KirValue cos_r = kir_fma(b, z, cos_rest, math_real(m, 1));

    const KirValue chosen = kir_select(b, is_odd(m, word), cos_r, sin_r);
    const u32 sign_bit = format->real == KIR_F64 ? 63 : 31;
    const KirValue sign = math_shift_left(m, kir_and(b, word, math_word(m, 2)), sign_bit - 1);
    return within_limit(m, x, math_as_real(m, kir_xor(b, math_as_word(m, chosen), sign)));
}

/* r + r^3 S(r^2) makes 0 of -0, hence the selection; and so does the reduction for tan. */
KirValue
rxn__math_sin(const Math *m, KirValue x)
{
    KirBuilder *b = m->builder;
    return kir_select(b, kir_eq(b, x, math_real(m, 0)), x, sine(m, x, 0));
}

KirValue
rxn__math_cos(const Math *m, KirValue x)
{
    return sine(m, x, 1);
}

/* tan r, or -1/tan r in odd quadrants. The derivative of tan is above 1, so what r has lost counts:
 * 1 + r^2 is the derivative as far as that needs it. t + t_low carries it into the inverse. */
KirValue
rxn__math_tan(const Math *m, KirValue x)
{
    KirBuilder *b = m->builder;
    const KirValue one = math_real(m, 1);
    const Quadrant quadrant = reduce(m, x, true);
    const KirValue r = quadrant.r;
    const KirValue z = kir_mul(b, r, r);
    const KirValue curved = kir_mul(b, r, kir_mul(b, z, math_polynomial(m, z, m->format->tan)));
    const KirValue rest = kir_fma(b, quadrant.low, kir_add(b, one, z), curved);
    const KirValue t = kir_add(b, r, rest);
    const KirValue t_low = kir_sub(b, rest, kir_sub(b, t, r));

    const KirValue minus_inverse = kir_div(b, math_real(m, -1), t);
    const KirValue error = kir_fma(b, minus_inverse, t_low, kir_fma(b, minus_inverse, t, one));
    const KirValue inverse = kir_fma(b, minus_inverse, error, minus_inverse);
    const KirValue result = kir_select(b, is_odd(m, quadrant.word), inverse, t);
    return kir_select(b, kir_eq(b, x, math_real(m, 0)), x, within_limit(m, x, result));
}
