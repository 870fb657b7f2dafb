/* expand_math.h: what the files of the math expansion share; see the essay in expand_math.c.
 *
 * Each rxn__math_… below appends the straight-line program of one function to a builder and returns
 * its result. They are written once for both precisions: a MathFormat holds what differs.
 */
#ifndef RXN_EXPAND_MATH_H
#define RXN_EXPAND_MATH_H

#include "compiler/kir/kir.h"

/* A polynomial, lowest power first. */
typedef struct MathTable {
    const double *items;
    u32 count;
} MathTable;

typedef struct MathFormat {
    KirType real, word; /* f64 and u64, or f32 and u32 */
    u32 mantissa_bits;  /* without the hidden one */
    double bias;        /* of the exponent field */

    double infinity_from; /* exp(x) is infinite at this x, */
    double zero_from;     /* zero at this, */
    double small_from;    /* and surely normal above this */
    double one_from;      /* from this x > 0 on: expm1(-x) = -1 and tanh(x) = 1 */
    double log2_e, ln2_high, ln2_low;
    double two_over_pi, half_pi[3]; /* pi/2 as a sum, each part rounded down */
    double trigonometric_limit;
    u64 root_half;                      /* the bits of sqrt(1/2) */
    double scale_up, scale_up_exponent; /* 2^exponent: lifts the least subnormal to a normal */

    MathTable log, log_unit, exp, expm1, sin, cos, tan;
} MathFormat;

extern const MathFormat rxn__math_f64, rxn__math_f32;

/* For pow: atanh in f64, and log and exp of the accuracy that an f32 result needs. */
extern const MathTable rxn__math_atanh_f64, rxn__math_atanh_short, rxn__math_expm1_short;

/* A builder, and the precision that is being written. */
typedef struct Math {
    KirBuilder *builder;
    const MathFormat *format;
} Math;

static inline KirValue
math_real(const Math *m, double value)
{
    return rxn__kir_const(m->builder, m->format->real, value);
}

static inline KirValue
math_word(const Math *m, u64 value)
{
    return rxn__kir_const_bits(m->builder, m->format->word, value);
}

static inline u64
math_mantissa_mask(const Math *m)
{
    return ((u64)1 << m->format->mantissa_bits) - 1;
}

/* The bits of 2^exponent. */
static inline u64
math_power_bits(const Math *m, double exponent)
{
    return (u64)(exponent + m->format->bias) << m->format->mantissa_bits;
}

/* 1.5 * 2^mantissa_bits. Adding it to a small real rounds that to an integer, which then stands in
 * the low bits of the sum's mantissa: the conversion that every vector unit does fast. */
static inline double
math_magic(const Math *m)
{
    return 1.5 * (double)((u64)1 << m->format->mantissa_bits);
}

static inline KirValue
math_as_real(const Math *m, KirValue word)
{
    return kir_bits(m->builder, m->format->real, word);
}

static inline KirValue
math_as_word(const Math *m, KirValue real)
{
    return kir_bits(m->builder, m->format->word, real);
}

static inline KirValue
math_shift_left(const Math *m, KirValue word, u32 count)
{
    return kir_shl(m->builder, word, math_word(m, count));
}

/* The polynomial at x. A long one is taken as two, of the even and of the odd powers: half the latency
 * for one multiplication more, x*x, which is mostly there already. But the two lowest coefficients
 * are always added by Horner's rule, for it is the last roundings that count. */
static inline KirValue
math_polynomial(const Math *m, KirValue x, MathTable table)
{
    KirBuilder *b = m->builder;
    const bool two_chains = table.count >= 8;
    KirValue sum = math_real(m, table.items[table.count - 1]);
    u32 i = table.count - 1;
    if (two_chains) {
        const KirValue x2 = kir_mul(b, x, x);
        KirValue other = math_real(m, table.items[--i]);
        while (i >= 4) {
            sum = kir_fma(b, sum, x2, math_real(m, table.items[--i]));
            other = kir_fma(b, other, x2, math_real(m, table.items[--i]));
        }
        /* `sum` begins at power i + 1, `other` at i, which is 2 or 3. */
        sum = kir_fma(b, sum, x, other);
    }
    while (i > 0) {
        sum = kir_fma(b, sum, x, math_real(m, table.items[--i]));
    }
    return sum;
}

/* expand_math_log.c */
KirValue rxn__math_log_unit(const Math *m, KirValue x);

KirValue rxn__math_log(const Math *m, KirValue x);

KirValue rxn__math_log1p(const Math *m, KirValue x);

/* log(1 + f) - f + low, for 1 + f from sqrt(1/2) to sqrt(2). */
KirValue rxn__math_log_rest(const Math *m, KirValue f, KirValue low);

/* The integer in the low bits of `field` (at most 12), as a real, less the constant `bias`, which
 * includes the 2^mantissa_bits that this adds. */
KirValue rxn__math_field_as_real(const Math *m, KirValue field, KirValue bias);

/* expand_math_exp.c */
KirValue rxn__math_exp(const Math *m, KirValue x);

/* exp(x + low), low an ulp of x or so at most; NULL for none. */
KirValue rxn__math_exp_sum(const Math *m, KirValue x, const KirValue *low);

KirValue rxn__math_expm1(const Math *m, KirValue x);

KirValue rxn__math_sigmoid(const Math *m, KirValue x);

KirValue rxn__math_softplus(const Math *m, KirValue x);

KirValue rxn__math_tanh(const Math *m, KirValue x);

/* expand_math_trig.c */
KirValue rxn__math_sin(const Math *m, KirValue x);

KirValue rxn__math_cos(const Math *m, KirValue x);

KirValue rxn__math_tan(const Math *m, KirValue x);

/* expand_math_pow.c */
KirValue rxn__math_pow(const Math *m, KirValue x, KirValue y);

#endif
