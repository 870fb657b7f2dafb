/* expand_math_tables.c: the constants of the math expansion, per precision.
 *
 * Every polynomial is a minimax one under the constraint that its coefficients are f64 (or f32)
 * numbers, made with Sollya 8.0 (S. Chevillard, M. Joldes, C. Lauter, 2010): for
 *
 *     f(x) = exact leading terms + sum of c_i x^i
 *
 * the c_i are those of
 *
 *     fpminimax((f(x) - leading terms)/f(x), [|x^i/f(x), ...|], [|D...|], range, absolute);
 *
 * ([|SG...|] for f32), so that the RELATIVE error of f is what is least. That error stands above each
 * table; half an ulp is a relative error of 2^-54 to 2^-53 (f64), 2^-25 to 2^-24 (f32).
 *
 *     table     f             leading terms       powers i         range
 *     log       log(1+x)      x                   2, 3, 4, ...     [-1/4, 1/2]
 *     log_unit  log(1+x)      x                   2, 3, 4, ...     [-1/2, 0)
 *     exp       exp(x)        1 + x               2, 3, 4, ...     [-ln2/2, ln2/2]
 *     expm1     expm1(x)      x                   2, 3, 4, ...     [-ln2/2, ln2/2]
 *     sin       sin(x)        x                   3, 5, 7, ...     (0, pi/4]
 *     cos       cos(x)        1 - x^2/2           4, 6, 8, ...     (0, pi/4]
 *     tan       tan(x)        x                   3, 5, 7, ...     (0, pi/4]
 *     atanh     atanh(x)      x + x^3/3           5, 7, 9, ...     (0, 0.17158]
 *     short     2 atanh(x)    2 x                 3, 5, 7, ...     (0, 0.17158]
 */
#include "compiler/kir/expand_math.h"

/* 2^-59.5 */
static const double log_f64[] = {0x1.5555555555592p-1, 0x1.999999997ff58p-2, 0x1.24924941dc60cp-2,
                                 0x1.c71c5218e1397p-3, 0x1.74663bf2767dcp-3, 0x1.39a2024df361ep-3,
                                 0x1.2f02bc121aa16p-3};

/* 2^-27.8 */
static const double log_f32[] = {-0x1.fffff8p-2, 0x1.55555p-2,   -0x1.000432p-2,
                                 0x1.99a41ap-3,  -0x1.5425c4p-3, 0x1.226dfcp-3,
                                 -0x1.0f3fa6p-3, 0x1.0860dp-3,   -0x1.384734p-4};

/* 2^-28.0 */
static const double log_unit_f32[] = {-0x1.00001ep-1, 0x1.5542fcp-2,  -0x1.01e912p-2,
                                      0x1.684526p-3,  -0x1.5bf774p-2, -0x1.2ebf56p-1,
                                      -0x1.f8079cp0,  -0x1.3caf4ep1,  -0x1.be09cap0};

/* 2^-57.9 */
static const double exp_f64[] = {
    0x1.000000000000ap-1,  0x1.55555555554fep-3,  0x1.55555555506cp-5,   0x1.1111111126b37p-7,
    0x1.6c16c18475a18p-10, 0x1.a01a012fec2f2p-13, 0x1.a0199963c9cf2p-16, 0x1.71df18fbc7a28p-19,
    0x1.28adf7a19f09bp-22, 0x1.ad92c7dd35f49p-26};

/* 2^-28.2 */
static const double exp_f32[] = {0x1.fffffap-2, 0x1.555492p-3, 0x1.555a26p-5, 0x1.123982p-7,
                                 0x1.694caep-10};

/* 2^-55.5 */
static const double expm1_f64[] = {
    0x1.0000000000005p-1,  0x1.555555555553bp-3,  0x1.5555555552111p-5,  0x1.1111111118833p-7,
    0x1.6c16c17f2d326p-10, 0x1.a01a0177ef8e3p-13, 0x1.a019a6a84ab5fp-16, 0x1.71de8115c1eb9p-19,
    0x1.28a2879fe604bp-22, 0x1.ae775915d594bp-26};

/* 2^-26.1 */
static const double expm1_f32[] = {0x1.fffffep-2, 0x1.5554bp-3, 0x1.555716p-5, 0x1.122796p-7,
                                   0x1.6b7358p-10};

/* 2^-57.9 */
static const double sin_f64[] = {-0x1.5555555555548p-3,  0x1.111111110f76p-7,
                                 -0x1.a01a019bf2b7dp-13, 0x1.71de355fa4c72p-19,
                                 -0x1.ae5e550039428p-26, 0x1.5d8e624f8bcbap-33};

/* 2^-27.9 */
static const double sin_f32[] = {-0x1.555546p-3, 0x1.110778p-7, -0x1.9953fp-13};

/* 2^-63.9 */
static const double cos_f64[] = {0x1.555555555554bp-5,  -0x1.6c16c16c15018p-10,
                                 0x1.a01a019c8f944p-16, -0x1.27e4f7f1ee757p-22,
                                 0x1.1ee9dc12a7aafp-29, -0x1.8fa6a88f8de3fp-37};

/* 2^-33.0 */
static const double cos_f32[] = {0x1.55554ap-5, -0x1.6c0c2ap-10, 0x1.99e90ap-16};

/* 2^-56.2 */
static const double tan_f64[] = {
    0x1.55555555554f2p-2,   0x1.11111111182c5p-3,  0x1.ba1ba1b46c378p-5,   0x1.664f49a847872p-6,
    0x1.226e125e7ca5dp-7,   0x1.d6d9332925cep-9,   0x1.7d5b6342af6c4p-10,  0x1.37fa5353dfb19p-11,
    0x1.d273583e7e191p-13,  0x1.1e23c8c16b2d8p-13, -0x1.b8bc48903f5fep-16, 0x1.76bef8d855a13p-14,
    -0x1.77f9b5e0e8389p-15, 0x1.5dccaa5e63a4cp-16};

/* 2^-29.5 */
static const double tan_f32[] = {0x1.55556p-2,  0x1.110d9ep-3,  0x1.bad9c6p-5, 0x1.5cc078p-6,
                                 0x1.62ce16p-7, 0x1.999822p-14, 0x1.1e97c4p-8};

/* 2^-73.5 */
static const double atanh_f64[] = {0x1.9999999999996p-3, 0x1.2492492492f4bp-3, 0x1.c71c71c59796ap-4,
                                   0x1.745d1828c79ebp-4, 0x1.3b1364f1016b4p-4, 0x1.1120692f23eb2p-4,
                                   0x1.de3e606605b35p-5, 0x1.eabe236a2466ap-5};

/* 2^-44.9 */
static const double atanh_short[] = {0x1.555555561d92fp-1, 0x1.999996ab11f08p-2,
                                     0x1.24941137014bbp-2, 0x1.c62b4eb818c46p-3,
                                     0x1.9112625c015e1p-3};

/* 2^-32.0 */
static const double expm1_short[] = {0x1.00000025e9ep-1,    0x1.555554ef9f433p-3,
                                     0x1.5554b13fd5de1p-5,  0x1.1111895a41702p-7,
                                     0x1.6d71e57df4562p-10, 0x1.a032bdb1f9371p-13};

#define TABLE(items) {items, COUNT_OF(items)}

const MathTable rxn__math_atanh_f64 = TABLE(atanh_f64);
const MathTable rxn__math_atanh_short = TABLE(atanh_short);
const MathTable rxn__math_expm1_short = TABLE(expm1_short);

const MathFormat rxn__math_f64 = {
    .real = KIR_F64,
    .word = KIR_U64,
    .mantissa_bits = 52,
    .bias = 1023,
    .infinity_from = 710,
    .zero_from = -746,
    .small_from = -690,
    .one_from = 40,
    .log2_e = 0x1.71547652b82fep0,
    .ln2_high = 0x1.62e42fefa39efp-1,
    .ln2_low = 0x1.abc9e3b39803fp-56,
    .two_over_pi = 0x1.45f306dc9c883p-1,
    .half_pi = {0x1.921fb54442d18p0, 0x1.1a62633145c06p-54, 0x1.c1cd129024e08p-107},
    .trigonometric_limit = 0x1p40,
    .root_half = 0x3fe6a09e667f3bcd,
    .scale_up = 0x1p54,
    .scale_up_exponent = 54,
    .log = TABLE(log_f64),
    .exp = TABLE(exp_f64),
    .expm1 = TABLE(expm1_f64),
    .sin = TABLE(sin_f64),
    .cos = TABLE(cos_f64),
    .tan = TABLE(tan_f64),
};

const MathFormat rxn__math_f32 = {
    .real = KIR_F32,
    .word = KIR_U32,
    .mantissa_bits = 23,
    .bias = 127,
    .infinity_from = 89,
    .zero_from = -104,
    .small_from = -80,
    .one_from = 18,
    .log2_e = 0x1.715476p0,
    .ln2_high = 0x1.62e43p-1,
    .ln2_low = -0x1.05c61p-29,
    .two_over_pi = 0x1.45f306p-1,
    .half_pi = {0x1.921fb4p0, 0x1.4442dp-24, 0x1.846988p-48},
    .trigonometric_limit = 0x1p18,
    .root_half = 0x3f3504f3,
    .scale_up = 0x1p25,
    .scale_up_exponent = 25,
    .log = TABLE(log_f32),
    .log_unit = TABLE(log_unit_f32),
    .exp = TABLE(exp_f32),
    .expm1 = TABLE(expm1_f32),
    .sin = TABLE(sin_f32),
    .cos = TABLE(cos_f32),
    .tan = TABLE(tan_f32),
};
