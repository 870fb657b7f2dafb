/* expand_math.c: the pass that writes elementary functions out.
 *
 * Why. A call of libm does not vectorise, gives other bits on another host, and others again on a
 * GPU. So no target of ours knows a logarithm: this pass replaces each op of kir.def that has the
 * flag MATH by a straight line of add, mul, fma, div, compare, select and bit operations. Each of
 * these is exact or correctly rounded, on every target; so the functions have the same bits
 * everywhere, and a vector of lanes runs them as it runs any other arithmetic. There are no
 * branches, no tables in memory and no conversions between f64 and i64.
 *
 * How. Four files write the functions, each with its reasons and its error bounds:
 *
 *     expand_math_log.c     log, log_unit, log1p
 *     expand_math_exp.c     exp, expm1, sigmoid, softplus, tanh
 *     expand_math_trig.c    sin, cos, tan
 *     expand_math_pow.c     pow
 *     expand_math_tables.c  the coefficients and how they were made
 *
 * The kernel is made anew through the folding builder; so a function of constants folds to a
 * constant, with the bits that it would have had at run time, and two functions that start alike
 * (sin x and cos x) share what they share.
 *
 * Before:
 *
 *     %1 = load.f32 u
 *     %2 = log_unit.f32 %1
 *
 * After (the lines of the constants left out, and their values written in place): the exponent field
 * as a real, %9; the mantissa less 1, %16; its polynomial, even and odd powers apart, %34; the sum.
 *
 *     %1 = load.f32 u
 *     %2 = bits.u32 %1
 *     %4 = shr.u32 %2, 23
 *     %7 = or.u32 %4, 0x4b000000
 *     %8 = bits.f32 %7
 *     %9 = sub.f32 %8, 0x1.0000fcp+23
 *     %11 = and.u32 %2, 0x7fffff
 *     %14 = or.u32 %11, 0x3f000000
 *     %15 = bits.f32 %14
 *     %16 = sub.f32 %15, 0x1p+0
 *     %18 = mul.f32 %16, %16
 *     %21 = fma.f32 %18, -0x1.be09cap+0, -0x1.f8079cp+0
 *     %23 = fma.f32 %18, -0x1.3caf4ep+1, -0x1.2ebf56p-1
 *     %25 = fma.f32 %18, %21, -0x1.5bf774p-2
 *     %27 = fma.f32 %18, %23, 0x1.684526p-3
 *     %28 = fma.f32 %16, %25, %27
 *     %30 = fma.f32 %16, %28, -0x1.01e912p-2
 *     %32 = fma.f32 %16, %30, 0x1.5542fcp-2
 *     %34 = fma.f32 %16, %32, -0x1.00001ep-1
 *     %35 = mul.f32 %16, %34
 *     %36 = fma.f32 %16, %35, %16
 *     %38 = fma.f32 %9, 0x1.62e43p-1, %36
 *
 * Accuracy and cost. `largest`: the largest error seen, in ulp of the exact result; `promised`: what
 * tests/unit/test_math.c asserts. `ops`: KIR operations without constants, bits and neg, none of
 * which costs an instruction.
 *
 *                  ops       largest     promised
 *               f64  f32    f64   f32
 *     log_unit   21   18    0.88  0.93*       1
 *     log        31   31    0.91  0.87*       1
 *     exp        24   18    0.87  0.90*       1
 *     log1p      38   38    1.41  1.44        2
 *     expm1      27   22    1.37  1.32        2
 *     sigmoid    36   30    1.48  1.46        2
 *     softplus   57   52    1.48  1.26        2
 *     tanh       40   35    1.42  1.42        2
 *     sin        31   25    1.49  1.53        2
 *     cos        30   24    1.47  1.57        2
 *     tan        47   39    1.35  1.35        2
 *     pow       112   60    0.89  0.51        2
 *
 * The f64 column is of ten million arguments each, against MPFR, dense where it is hard: near 1,
 * subnormal, near overflow, near multiples of pi/2. In f32, * marks a run through all 2^32 floats;
 * the others took every 17th to 41st, pow 70 million pairs.
 *
 * Where they are defined: everywhere, with the special values of C (C11 F.10); but sin, cos and tan
 * are NaN beyond |x| = 2^40 (f64) and 2^18 (f32), never a wrong number, and log_unit is only for a
 * normal x with 0 < x < 1.
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
