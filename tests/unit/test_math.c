/* test_math.c: the accuracy and the special values of the expanded elementary functions.
 *
 * A kernel y = op(x) is built, expanded, and run by the interpreter over many arguments. In f64 the
 * reference is MPFR with 140 bits; in f32 it is libm's f64, whose own error is 2^-29 ulp here. The
 * bounds are what expand_math.c promises: 1 ulp for log, log_unit and exp, 2 for the others.
 *
 * f32 goes through every 4,099th of all floats; RXN_TEST_EXHAUSTIVE=1 takes every one (hours).
 */
#include "kir_fixture.h"

#include <math.h>
#include <mpfr.h>

enum { BATCH = 1 << 14, POINTS = 200000, STRIDE = 4099, REFERENCE_BITS = 140 };

typedef enum Spread {
    NOWHERE,
    UNIFORM,      /* between low and high */
    ORDERS,       /* all orders of magnitude from low to high alike; either sign */
    BESIDE_ONE,   /* 1 + such a number */
    NEAR_QUARTER, /* at most two neighbours from a multiple of pi/2, up to high */
} Spread;

typedef struct Range {
    Spread spread;
    double low, high;
} Range;

typedef struct Function {
    const char *name;
    KirOp op;
    double bound; /* ulp */
    double (*libm)(double x);
    void (*reference)(mpfr_t result, const mpfr_t x);
    double from, to;             /* where it is tested, in both precisions */
    double limit_f32, limit_f64; /* beyond this |x| the answer is NaN; 0: nowhere */
    Range ranges[6];
} Function;

/* ---- References --------------------------------------------------------------------------------- */

static double
sigmoid(double x)
{
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static double
softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

#define MPFR_REFERENCE(name)                                                                       \
    static void exact_##name(mpfr_t result, const mpfr_t x)                                        \
    {                                                                                              \
        mpfr_##name(result, x, MPFR_RNDN);                                                         \
    }
MPFR_REFERENCE(log)
MPFR_REFERENCE(log1p)
MPFR_REFERENCE(exp)
MPFR_REFERENCE(expm1)
MPFR_REFERENCE(sin)
MPFR_REFERENCE(cos)
MPFR_REFERENCE(tan)
MPFR_REFERENCE(tanh)

static void
exact_sigmoid(mpfr_t result, const mpfr_t x)
{
    mpfr_neg(result, x, MPFR_RNDN);
    mpfr_exp(result, result, MPFR_RNDN);
    mpfr_add_ui(result, result, 1, MPFR_RNDN);
    mpfr_ui_div(result, 1, result, MPFR_RNDN);
}

static void
exact_softplus(mpfr_t result, const mpfr_t x)
{
    mpfr_exp(result, x, MPFR_RNDN);
    mpfr_log1p(result, result, MPFR_RNDN);
}

static const double infinity = INFINITY;

#define EVERYWHERE -INFINITY, INFINITY, 0, 0
static const Function functions[] = {
    {"log_unit",
     KIR_LOG_UNIT,
     1,
     log,
     exact_log,
     0x1p-126,
     0x1.fffffep-1,
     0,
     0,
     {{UNIFORM, 0x1p-60, 1},
      {UNIFORM, 0.5, 1},
      {ORDERS, 0x1p-126, 0.9},
      {UNIFORM, 0.69, 0.72},
      {UNIFORM, 0.999, 1}}},
    {"log",
     KIR_LOG,
     1,
     log,
     exact_log,
     EVERYWHERE,
     {{ORDERS, 0x1p-1074, 0x1p1023},
      {BESIDE_ONE, 0x1p-52, 0.4},
      {UNIFORM, 0.6, 0.8},
      {UNIFORM, 1.3, 1.5},
      {UNIFORM, 0, 100}}},
    {"log1p",
     KIR_LOG1P,
     2,
     log1p,
     exact_log1p,
     EVERYWHERE,
     {{ORDERS, 0x1p-1074, 0x1p1023},
      {ORDERS, 0x1p-60, 0.5},
      {UNIFORM, -1, -0.9},
      {UNIFORM, -1, 3}}},
    {"exp",
     KIR_EXP,
     1,
     exp,
     exact_exp,
     EVERYWHERE,
     {{ORDERS, 0x1p-60, 0x1p10},
      {UNIFORM, -1, 1},
      {UNIFORM, -750, 711},
      {UNIFORM, -746, -708},
      {UNIFORM, 709, 710}}},
    {"expm1",
     KIR_EXPM1,
     2,
     expm1,
     exact_expm1,
     EVERYWHERE,
     {{ORDERS, 0x1p-1074, 0x1p10},
      {ORDERS, 0x1p-60, 1},
      {UNIFORM, -2, 2},
      {UNIFORM, -50, 50},
      {UNIFORM, -1, 710}}},
    {"sigmoid",
     KIR_SIGMOID,
     2,
     sigmoid,
     exact_sigmoid,
     EVERYWHERE,
     {{ORDERS, 0x1p-60, 0x1p10}, {UNIFORM, -6, 6}, {UNIFORM, -50, 50}, {UNIFORM, -746, -700}}},
    {"softplus",
     KIR_SOFTPLUS,
     2,
     softplus,
     exact_softplus,
     EVERYWHERE,
     {{ORDERS, 0x1p-60, 0x1p20},
      {UNIFORM, -2, 2},
      {UNIFORM, -50, 50},
      {UNIFORM, -746, -700},
      {UNIFORM, -0.9, -0.8}}},
    {"tanh",
     KIR_TANH,
     2,
     tanh,
     exact_tanh,
     EVERYWHERE,
     {{ORDERS, 0x1p-1074, 0x1p10}, {ORDERS, 0x1p-60, 1}, {UNIFORM, -3, 3}, {UNIFORM, -22, 22}}},
    {"sin",
     KIR_SIN,
     2,
     sin,
     exact_sin,
     -INFINITY,
     INFINITY,
     0x1p18,
     0x1p40,
     {{UNIFORM, -7, 7},
      {ORDERS, 0x1p-1074, 0x1p40},
      {UNIFORM, -1000, 1000},
      {NEAR_QUARTER, 0, 1000},
      {NEAR_QUARTER, 0, 0x1p39}}},
    {"cos",
     KIR_COS,
     2,
     cos,
     exact_cos,
     -INFINITY,
     INFINITY,
     0x1p18,
     0x1p40,
     {{UNIFORM, -7, 7},
      {ORDERS, 0x1p-1074, 0x1p40},
      {UNIFORM, -1000, 1000},
      {NEAR_QUARTER, 0, 1000},
      {NEAR_QUARTER, 0, 0x1p39}}},
    {"tan",
     KIR_TAN,
     2,
     tan,
     exact_tan,
     -INFINITY,
     INFINITY,
     0x1p18,
     0x1p40,
     {{UNIFORM, -7, 7},
      {ORDERS, 0x1p-1074, 0x1p40},
      {UNIFORM, -1000, 1000},
      {NEAR_QUARTER, 0, 1000},
      {NEAR_QUARTER, 0, 0x1p39}}},
};
enum { FUNCTION_COUNT = COUNT_OF(functions) };

/* ---- Running an op over a batch ------------------------------------------------------------------ */

typedef struct Runner {
    Fixture *fixture;
    KirKernel *kernel;
    KirType type;
    double x[BATCH], y[BATCH], result[BATCH]; /* for f32 converted on the way */
    float narrow[3][BATCH];
    u32 count;
    double worst, worst_x, worst_y;
} Runner;

/* result = op(x, y), where op is unary y is not read. The kernel is expanded. */
static Runner *
new_runner(Fixture *f, KirOp op, KirType type)
{
    Runner *runner = NEW(&f->arena, Runner);
    runner->fixture = f;
    runner->type = type;
    KirBuilder *b = rxn__kir_begin(&f->arena, &f->names, "function", type);
    const u32 x = rxn__kir_buffer(b, "x", type, KIR_PER_TRAJECTORY, false, 0, NULL);
    const u32 y = rxn__kir_buffer(b, "y", type, KIR_PER_TRAJECTORY, false, 0, NULL);
    const u32 result = rxn__kir_buffer(b, "result", type, KIR_PER_TRAJECTORY, true, 0, NULL);
    const u32 done = rxn__kir_local(b, "done", KIR_BOOL, 0);
    rxn__kir_kernel(b)->done = done;
    rxn__kir_region(b, KIR_STEP);
    const KirValue second = rxn__kir_ops[op].arity == 2 ? rxn__kir_load(b, y, NULL) : 0;
    const KirValue value = rxn__kir_op(b, op, rxn__kir_load(b, x, NULL), second, 0);
    rxn__kir_store(b, result, NULL, value);
    rxn__kir_set(b, done, 0, rxn__kir_const(b, KIR_BOOL, 1));
    const char *error = rxn__kir_end(b, &runner->kernel);
    assert_null(error);
    assert_true(rxn__kir_expand_math(runner->kernel));
    assert_null(rxn__kir_check(runner->kernel, true, &f->arena));
    return runner;
}

static void
run_batch(Runner *runner)
{
    const bool wide = runner->type == KIR_F64;
    for (u32 i = 0; !wide && i < runner->count; i++) {
        runner->narrow[0][i] = (float)runner->x[i];
        runner->narrow[1][i] = (float)runner->y[i];
    }
    void *buffers[3] = {runner->narrow[0], runner->narrow[1], runner->narrow[2]};
    void *wide_buffers[3] = {runner->x, runner->y, runner->result};
    const int64_t strides[3] = {1, 1, 1};
    const volatile int cancel = 0;
    RxnFault fault = {.trajectory = UINT64_MAX};
    RxnLaunch launch = {
        .count = runner->count,
        .buffers = wide ? wide_buffers : buffers,
        .strides = strides,
        .fault = &fault,
        .cancel = &cancel,
    };
    Arena scratch;
    rxn__arena_init(&scratch, &runner->fixture->memory);
    const char *error = NULL;
    const RxnStatus status = rxn__kir_interpret(runner->kernel, &launch, 2, &scratch, &error);
    rxn__arena_release(&scratch);
    if (status != RXN_OK)
        fail_msg("%s", error ? error : "the interpreter failed");
    for (u32 i = 0; !wide && i < runner->count; i++)
        runner->result[i] = (double)runner->narrow[2][i];
}

static double
run_one(Runner *runner, double x, double y)
{
    runner->count = 1;
    runner->x[0] = x;
    runner->y[0] = y;
    run_batch(runner);
    return runner->result[0];
}

static void
record(Runner *runner, u32 i, double error)
{
    if (!(error <= runner->worst)) {
        runner->worst = error;
        runner->worst_x = runner->x[i];
        runner->worst_y = runner->y[i];
    }
}

static void
report(const Runner *runner, const char *name, double bound)
{
    if (!(runner->worst <= bound))
        fail_msg("%s.%s: %g ulp at x = %a, y = %a; the bound is %g", name,
                 rxn__kir_type_names[runner->type], runner->worst, runner->worst_x, runner->worst_y,
                 bound);
    print_message("# %s.%s: at most %.4f ulp (%.9g)\n", name, rxn__kir_type_names[runner->type],
                  runner->worst, runner->worst_x);
}

/* ---- Errors in ulp -------------------------------------------------------------------------------- */

/* `got` is of the type with this precision and least exponent; overflow to infinity is right where
 * the exact result rounds to it. */
static double
error_in_ulp(double got, mpfr_t exact, KirType type)
{
    const mpfr_exp_t precision = type == KIR_F64 ? 53 : 24;
    const mpfr_exp_t least = type == KIR_F64 ? -1074 : -149;
    const mpfr_exp_t greatest = type == KIR_F64 ? 1024 : 128;
    if (mpfr_nan_p(exact) || isnan(got))
        return mpfr_nan_p(exact) && isnan(got) ? 0 : infinity;
    if (mpfr_inf_p(exact))
        return got == mpfr_get_d(exact, MPFR_RNDN) ? 0 : infinity;
    if (got == 0 && (signbit(got) != 0) != (mpfr_signbit(exact) != 0))
        return infinity;
    mpfr_exp_t ulp = mpfr_zero_p(exact) ? least : mpfr_get_exp(exact) - precision;
    ulp = ulp < least ? least : ulp;
    ulp = ulp > greatest - precision ? greatest - precision : ulp;
    mpfr_t difference;
    mpfr_init2(difference, REFERENCE_BITS);
    if (isinf(got) && (got < 0) == (mpfr_signbit(exact) != 0) && mpfr_get_exp(exact) > greatest)
        mpfr_set(difference, exact, MPFR_RNDN);
    else if (isinf(got)) /* taken for the number after the greatest */
        mpfr_set_si_2exp(difference, got > 0 ? 1 : -1, greatest, MPFR_RNDN);
    else
        mpfr_set_d(difference, got, MPFR_RNDN);
    mpfr_sub(difference, difference, exact, MPFR_RNDN);
    mpfr_mul_2si(difference, difference, -ulp, MPFR_RNDN);
    const double error = fabs(mpfr_get_d(difference, MPFR_RNDN));
    mpfr_clear(difference);
    return error;
}

/* The same for f32, fast: the reference is an f64. */
static double
error_in_ulp_f32(double got, double exact)
{
    if (isnan(exact) || isnan(got))
        return isnan(exact) && isnan(got) ? 0 : infinity;
    if ((double)(float)exact == got)
        return got == 0 && signbit(got) != signbit(exact) ? infinity
               : fabs(got - exact) > 0                    ? 0.5
                                                          : 0;
    if (isinf(exact))
        return infinity;
    int exponent;
    frexp(exact, &exponent);
    exponent = exact == 0 || exponent < -125 ? -125 : exponent > 128 ? 128 : exponent;
    const double finite = isinf(got) ? copysign(0x1p128, got) : got;
    return fabs(finite - exact) / ldexp(1, exponent - 24);
}

/* ---- Arguments ------------------------------------------------------------------------------------ */

static u64
next_random(u64 *state)
{
    *state += 0x9e3779b97f4a7c15; /* splitmix64 (Steele, Lea, Flood 2014) */
    u64 z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static double
next_uniform(u64 *state)
{
    return ((double)(next_random(state) >> 11) + 0.5) * 0x1p-53;
}

static double
next_of_orders(u64 *state, double low, double high)
{
    const double exponent = log2(low) + (log2(high) - log2(low)) * next_uniform(state);
    const double x = ldexp(1 + next_uniform(state), (int)floor(exponent));
    return next_random(state) & 1 ? fmin(x, high) : -fmin(x, high);
}

static double
next_argument(u64 *state, const Range *range)
{
    const double low = range->low, high = range->high;
    double x;
    switch (range->spread) {
    case UNIFORM: return low + (high - low) * next_uniform(state);
    case ORDERS: return next_of_orders(state, low, high);
    case BESIDE_ONE: return 1 + next_of_orders(state, low, high);
    case NEAR_QUARTER:
        x = floor(exp2(log2(high) * next_uniform(state))) * 0x1.921fb54442d18p0;
        for (u64 n = next_random(state) % 5; n-- > 2;)
            x = nextafter(x, infinity);
        return next_random(state) & 1 ? x : -x;
    default: return 0;
    }
}

/* ---- The tests ------------------------------------------------------------------------------------ */

static void
check_batch(Runner *runner, const Function *function, mpfr_t x, mpfr_t exact)
{
    run_batch(runner);
    for (u32 i = 0; i < runner->count; i++) {
        mpfr_set_d(x, runner->x[i], MPFR_RNDN);
        function->reference(exact, x);
        record(runner, i, error_in_ulp(runner->result[i], exact, runner->type));
    }
    runner->count = 0;
}

static void
test_f64(void **state)
{
    Fixture *f = *state;
    mpfr_t x, exact;
    mpfr_inits2(REFERENCE_BITS, x, exact, (mpfr_ptr)0);
    for (u32 k = 0; k < FUNCTION_COUNT; k++) {
        const Function *function = &functions[k];
        u32 range_count = 0;
        while (function->ranges[range_count].spread)
            range_count++;
        Runner *runner = new_runner(f, function->op, KIR_F64);
        u64 random = 1;
        for (u32 point = 0; point < POINTS; point++) {
            double argument = next_argument(&random, &function->ranges[point % range_count]);
            if (function->op == KIR_LOG_UNIT)
                argument = fabs(argument);
            if (function->op == KIR_LOG_UNIT && argument >= 1)
                continue;
            runner->x[runner->count++] = argument;
            if (runner->count == BATCH)
                check_batch(runner, function, x, exact);
        }
        check_batch(runner, function, x, exact);
        report(runner, function->name, function->bound);
    }
    mpfr_clears(x, exact, (mpfr_ptr)0);
    mpfr_free_cache();
}

static float
float_of(u32 bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void
check_batch_f32(Runner *runner, const Function *function)
{
    run_batch(runner);
    for (u32 i = 0; i < runner->count; i++) {
        const double x = runner->x[i];
        const bool beyond = function->limit_f32 > 0 && fabs(x) > function->limit_f32;
        record(runner, i, error_in_ulp_f32(runner->result[i], beyond ? NAN : function->libm(x)));
    }
    runner->count = 0;
}

static void
test_f32(void **state)
{
    Fixture *f = *state;
    const char *exhaustive = getenv("RXN_TEST_EXHAUSTIVE");
    const u64 stride = exhaustive && exhaustive[0] == '1' ? 1 : STRIDE;
    for (u32 k = 0; k < FUNCTION_COUNT; k++) {
        const Function *function = &functions[k];
        Runner *runner = new_runner(f, function->op, KIR_F32);
        for (u64 bits = 0; bits <= UINT32_MAX; bits += stride) {
            const double x = (double)float_of((u32)bits);
            if (!isnan(x) && (x < function->from || x > function->to))
                continue;
            if (isnan(x) && function->op == KIR_LOG_UNIT)
                continue;
            runner->x[runner->count++] = x;
            if (runner->count == BATCH)
                check_batch_f32(runner, function);
        }
        check_batch_f32(runner, function);
        report(runner, function->name, function->bound);
    }
}

/* Both arguments so that the power is representable, mostly, and all kinds of bases. */
static void
next_power(u64 *random, u32 point, KirType type, double *ret_x, double *ret_y)
{
    const double greatest_log = type == KIR_F64 ? 745 : 104;
    double x, y = 0;
    switch (point % 5) {
    case 0: x = fabs(next_of_orders(random, 0x1p-40, 0x1p40)); break;
    case 1: x = 1 + next_of_orders(random, type == KIR_F64 ? 0x1p-52 : 0x1p-23, 0.3); break;
    case 2:
        x = fabs(type == KIR_F64 ? next_of_orders(random, 0x1p-1074, 0x1p1023)
                                 : next_of_orders(random, 0x1p-149, 0x1p127));
        break;
    case 3:
        x = -floor(50 * next_uniform(random)) - 1;
        y = floor(200 * next_uniform(random)) - 100;
        break;
    default:
        x = floor(1000 * next_uniform(random));
        y = floor(21 * next_uniform(random)) / 2;
        break;
    }
    x = type == KIR_F64 ? x : (double)(float)x;
    if (point % 5 < 3) {
        y = (2 * next_uniform(random) - 1) * greatest_log / log(x);
        y = isfinite(y) ? y : 2;
    }
    *ret_x = x;
    *ret_y = type == KIR_F64 ? y : (double)(float)y;
}

static void
check_powers(Runner *runner, mpfr_t x, mpfr_t y, mpfr_t exact)
{
    run_batch(runner);
    for (u32 i = 0; i < runner->count; i++) {
        mpfr_set_d(x, runner->x[i], MPFR_RNDN);
        mpfr_set_d(y, runner->y[i], MPFR_RNDN);
        mpfr_pow(exact, x, y, MPFR_RNDN);
        record(runner, i, error_in_ulp(runner->result[i], exact, runner->type));
    }
    runner->count = 0;
}

static void
test_pow(void **state)
{
    Fixture *f = *state;
    mpfr_t x, y, exact;
    mpfr_inits2(REFERENCE_BITS, x, y, exact, (mpfr_ptr)0);
    for (KirType type = KIR_F32; type <= KIR_F64; type++) {
        Runner *runner = new_runner(f, KIR_POW, type);
        u64 random = 2;
        for (u32 point = 0; point < POINTS; point++) {
            const u32 i = runner->count++;
            next_power(&random, point, type, &runner->x[i], &runner->y[i]);
            if (runner->count == BATCH)
                check_powers(runner, x, y, exact);
        }
        check_powers(runner, x, y, exact);
        report(runner, "pow", 2);
    }
    mpfr_clears(x, y, exact, (mpfr_ptr)0);
    mpfr_free_cache();
}

typedef struct Special {
    KirOp op;
    double x, y, expected;
} Special;

/* C11 F.10; and what our own functions are at the ends of their range. */
static const Special specials[] = {
    {KIR_LOG, 0, 0, -INFINITY},
    {KIR_LOG, -0.0, 0, -INFINITY},
    {KIR_LOG, 1, 0, 0},
    {KIR_LOG, -1, 0, NAN},
    {KIR_LOG, -0x1p-149, 0, NAN},
    {KIR_LOG, INFINITY, 0, INFINITY},
    {KIR_LOG, -INFINITY, 0, NAN},
    {KIR_LOG, NAN, 0, NAN},
    {KIR_EXP, 0, 0, 1},
    {KIR_EXP, -0.0, 0, 1},
    {KIR_EXP, INFINITY, 0, INFINITY},
    {KIR_EXP, 1e30, 0, INFINITY},
    {KIR_EXP, -INFINITY, 0, 0},
    {KIR_EXP, -1e30, 0, 0},
    {KIR_EXP, NAN, 0, NAN},
    {KIR_LOG1P, 0, 0, 0},
    {KIR_LOG1P, -0.0, 0, -0.0},
    {KIR_LOG1P, 0x1p-140, 0, 0x1p-140},
    {KIR_LOG1P, -1, 0, -INFINITY},
    {KIR_LOG1P, -1.5, 0, NAN},
    {KIR_LOG1P, INFINITY, 0, INFINITY},
    {KIR_LOG1P, -INFINITY, 0, NAN},
    {KIR_LOG1P, NAN, 0, NAN},
    {KIR_EXPM1, 0, 0, 0},
    {KIR_EXPM1, -0.0, 0, -0.0},
    {KIR_EXPM1, -0x1p-149, 0, -0x1p-149},
    {KIR_EXPM1, INFINITY, 0, INFINITY},
    {KIR_EXPM1, -INFINITY, 0, -1},
    {KIR_EXPM1, NAN, 0, NAN},
    {KIR_SIN, 0, 0, 0},
    {KIR_SIN, -0.0, 0, -0.0},
    {KIR_SIN, INFINITY, 0, NAN},
    {KIR_SIN, 0x1p41, 0, NAN},
    {KIR_SIN, NAN, 0, NAN},
    {KIR_COS, 0, 0, 1},
    {KIR_COS, -0.0, 0, 1},
    {KIR_COS, -INFINITY, 0, NAN},
    {KIR_COS, -0x1p41, 0, NAN},
    {KIR_TAN, 0, 0, 0},
    {KIR_TAN, -0.0, 0, -0.0},
    {KIR_TAN, INFINITY, 0, NAN},
    {KIR_TANH, 0, 0, 0},
    {KIR_TANH, -0.0, 0, -0.0},
    {KIR_TANH, INFINITY, 0, 1},
    {KIR_TANH, -INFINITY, 0, -1},
    {KIR_TANH, 50, 0, 1},
    {KIR_TANH, NAN, 0, NAN},
    {KIR_SIGMOID, 0, 0, 0.5},
    {KIR_SIGMOID, INFINITY, 0, 1},
    {KIR_SIGMOID, -INFINITY, 0, 0},
    {KIR_SIGMOID, -1e30, 0, 0},
    {KIR_SIGMOID, NAN, 0, NAN},
    {KIR_SOFTPLUS, INFINITY, 0, INFINITY},
    {KIR_SOFTPLUS, 0x1p100, 0, 0x1p100},
    {KIR_SOFTPLUS, -INFINITY, 0, 0},
    {KIR_SOFTPLUS, NAN, 0, NAN},
    {KIR_POW, 3, 0, 1},
    {KIR_POW, 0, 0, 1},
    {KIR_POW, -INFINITY, -0.0, 1},
    {KIR_POW, NAN, 0, 1},
    {KIR_POW, 1, NAN, 1},
    {KIR_POW, 1, INFINITY, 1},
    {KIR_POW, 2, 10, 1024},
    {KIR_POW, -2, 3, -8},
    {KIR_POW, -2, 4, 16},
    {KIR_POW, -2, 0.5, NAN},
    {KIR_POW, -2, -3, -0.125},
    {KIR_POW, 0, 2, 0},
    {KIR_POW, -0.0, 3, -0.0},
    {KIR_POW, -0.0, 2, 0},
    {KIR_POW, -0.0, 0.5, 0},
    {KIR_POW, 0, -2, INFINITY},
    {KIR_POW, -0.0, -3, -INFINITY},
    {KIR_POW, -0.0, -2, INFINITY},
    {KIR_POW, 0, INFINITY, 0},
    {KIR_POW, 0, -INFINITY, INFINITY},
    {KIR_POW, -1, INFINITY, 1},
    {KIR_POW, -1, -INFINITY, 1},
    {KIR_POW, 0.5, INFINITY, 0},
    {KIR_POW, 0.5, -INFINITY, INFINITY},
    {KIR_POW, -2, INFINITY, INFINITY},
    {KIR_POW, -2, -INFINITY, 0},
    {KIR_POW, INFINITY, 0.5, INFINITY},
    {KIR_POW, INFINITY, -0.5, 0},
    {KIR_POW, -INFINITY, 3, -INFINITY},
    {KIR_POW, -INFINITY, 0.5, INFINITY},
    {KIR_POW, -INFINITY, -3, -0.0},
    {KIR_POW, -INFINITY, -2, 0},
    {KIR_POW, -1, 0x1p100, 1},
    {KIR_POW, 1.5, 0x1p120, INFINITY},
    {KIR_POW, 1.5, -0x1p120, 0},
    {KIR_POW, NAN, 1, NAN},
    {KIR_POW, 2, NAN, NAN},
};

static void
test_special_values(void **state)
{
    Fixture *f = *state;
    for (KirType type = KIR_F32; type <= KIR_F64; type++) {
        Runner *runner = NULL;
        for (u32 i = 0; i < COUNT_OF(specials); i++) {
            const Special *special = &specials[i];
            if (i == 0 || specials[i - 1].op != special->op)
                runner = new_runner(f, special->op, type);
            const double got = run_one(runner, special->x, special->y);
            const bool same =
                isnan(special->expected)
                    ? isnan(got)
                    : got == special->expected && signbit(got) == signbit(special->expected);
            if (!same)
                fail_msg("%s.%s(%g, %g) is %g, not %g", rxn__kir_ops[special->op].text,
                         rxn__kir_type_names[type], special->x, special->y, got, special->expected);
        }
    }
}

/* A function of a constant is a constant after the pass, with the bits that it has at run time. */
static void
test_constants_fold_to_the_same_bits(void **state)
{
    Fixture *f = *state;
    for (u32 k = 0; k < FUNCTION_COUNT; k++) {
        Runner *runner = new_runner(f, functions[k].op, KIR_F64);
        const double at_run_time = run_one(runner, 0.7, 0);
        Text step_text;
        rxn__text_init(&step_text, &f->arena);
        rxn__text_printf(&step_text,
                         "%%9 = const.f64 0x1.6666666666666p-1 %%10 = %s.f64 %%9 set x, %%10",
                         rxn__kir_ops[functions[k].op].text);
        KirKernel *kernel = read_kernel(f, with_step(f, "", step_text.data));
        assert_true(rxn__kir_expand_math(kernel));
        assert_null(rxn__kir_check(kernel, true, &f->arena));
        const KirBlock *step = &kernel->regions[KIR_STEP];
        const KirNode *value = &kernel->values.items[step->items[step->count - 1].value];
        assert_int_equal(value->op, KIR_CONST);
        u64 bits;
        memcpy(&bits, &at_run_time, sizeof bits);
        assert_int_equal(value->bits, bits);
    }
}

static void
test_nothing_to_expand(void **state)
{
    Fixture *f = *state;
    const char *step = "%9 = get.f64 x\n%10 = add.f64 %9, %9\nset x, %10\n";
    KirKernel *kernel = read_kernel(f, with_step(f, "", step));
    const char *before = printed(f, kernel);
    assert_false(rxn__kir_expand_math(kernel));
    assert_string_equal(printed(f, kernel), before);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_f64),
        TEST(test_f32),
        TEST(test_pow),
        TEST(test_special_values),
        TEST(test_constants_fold_to_the_same_bits),
        TEST(test_nothing_to_expand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
