/* expand_math.c: the pass that writes elementary functions out.
 *
 * Why. A call of libm does not vectorise, gives other bits on another host, and others again on a
 * GPU. So no target of ours knows a logarithm: this pass replaces each op of kir.def that has the
 * flag MATH by a straight line of add, mul, fma, div, compare, select and bit operations. Each of
 * these is exact or correctly rounded, on every target; so the functions have the same bits
 * everywhere, and a vector of lanes runs them as it runs any other arithmetic. There are no
 * branches, no tables in memory and no conversions between f64 and i64.
 *
 * How. Three files write the functions, each with its reasons and its error bounds:
 *
 *     expand_math_log.c     log, log_unit, log1p
 *     expand_math_exp.c     exp, expm1, sigmoid, softplus, tanh
 *     expand_math_trig.c    sin, cos, tan
 *     expand_math_pow.c     pow
 *     expand_math_tables.c  the coefficients and how they were made
 *
 * The kernel is made anew through the folding builder; so a function of constants folds to a
 * constant, with the bits that it would have had at run time, and two functions that start alike
 * (sin x and cos x, exp x and sigmoid x) share what they share.
 *
 * Before:
 *
 *     %1 = load.f32 u
 *     %2 = log_unit.f32 %1
 *
 * After: the exponent field as a real (%6), the mantissa less 1 (%10), its polynomial by even and
 * odd powers, and the sum.
 *
 *     %1 = load.f32 u
 *     %2 = bits.u32 %1
 *     %3 = shr.u32 %2, 23
 *     %4 = or.u32 %3, 0x4b000000
 *     %5 = bits.f32 %4
 *     %6 = sub.f32 %5, 0x1.0000fcp+23
 *     %7 = and.u32 %2, 0x7fffff
 *     %8 = or.u32 %7, 0x3f000000
 *     %9 = bits.f32 %8
 *     %10 = sub.f32 %9, 1
 *     %11 = mul.f32 %10, %10
 *     %12 = fma.f32 %11, -0x1.be09cap+0, -0x1.f8079cp+0
 *     ...
 *     %20 = mul.f32 %10, %19
 *     %21 = fma.f32 %10, %20, %10
 *     %22 = fma.f32 %6, 0x1.62e43p-1, %21
 *
 * Accuracy: the largest error seen, in ulp of the exact result, and what is promised (and tested, in
 * tests/unit/test_math.c). f32: all 2^32 arguments; pow, and f64: ten million random ones or more
 * each, dense where it is hard (near 1, subnormal, near overflow, near multiples of pi/2). `ops` are
 * KIR operations, without bits and constants.
 *
 *                 f64  ops  largest  promised     f32  ops  largest  promised
 *     @TABLE@
 *
 * Where they are defined: everywhere, with the special values of C (F.10), but sin, cos and tan give
 * NaN beyond |x| = 2^40 (f64), 2^18 (f32): a wrong number never. log_unit is for 0 < x < 1, normal.
 */
#include "compiler/kir/expand_math.h"
#include "compiler/kir/internal.h"

static KirValue
expand(void *context, KirBuilder *builder, const KirNode *node, const KirValue args[3])
{
    (void)context;
    const Math math = {builder, node->type == KIR_F64 ? &rxn__math_f64 : &rxn__math_f32};
    const Math *m = &math;
    const KirValue x = args[0];
    switch ((KirOp)node->op) {
    case KIR_LOG: return rxn__math_log(m, x);
    case KIR_LOG_UNIT: return rxn__math_log_unit(m, x);
    case KIR_LOG1P: return rxn__math_log1p(m, x);
    case KIR_EXP: return rxn__math_exp(m, x);
    case KIR_EXPM1: return rxn__math_expm1(m, x);
    case KIR_POW: return rxn__math_pow(m, x, args[1]);
    case KIR_SIN: return rxn__math_sin(m, x);
    case KIR_COS: return rxn__math_cos(m, x);
    case KIR_TAN: return rxn__math_tan(m, x);
    case KIR_TANH: return rxn__math_tanh(m, x);
    case KIR_SIGMOID: return rxn__math_sigmoid(m, x);
    case KIR_SOFTPLUS: return rxn__math_softplus(m, x);
    default: return 0; /* kept as it is; the checker finds a MATH op that is missing here */
    }
}

static bool
has_math(const KirKernel *kernel)
{
    for (u32 i = 1; i < kernel->values.count; i++)
        if (rxn__kir_ops[kernel->values.items[i].op].flags & KIR_FLAG_MATH)
            return true;
    return false;
}

bool
rxn__kir_expand_math(KirKernel *kernel)
{
    if (!has_math(kernel))
        return false;
    return rxn__kir_replace(kernel, rxn__kir_rewrite(kernel, expand, NULL));
}
