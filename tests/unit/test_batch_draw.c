/* test_batch_draw.c: geometric, gamma and binomial numbers of the batch method against their distributions.
 *
 * A kernel draws one number for each trajectory; the interpreter runs it. The numbers fall into bins of about equal
 * probability, by the exact distribution, and the chi-square of the bins is turned into a normal deviate (Wilson & Hilferty
 * 1931), which may reach 6: a false alarm in 10^9 tests. With 40,000 numbers in 50 bins an error of 4% of the probability
 * mass of one half against the other is seen with certainty.
 */
#include "compiler/method/ssa_batch_draw.h"
#include "kir_fixture.h"

#include <math.h>

enum { DRAWS = 40000, BINS = 50 };

#define MOST_DEVIATE 6.0

typedef enum Kind { GEOMETRIC, GAMMA, BINOMIAL, RATIO } Kind;

/* ret_drawn: DRAWS numbers of this kind; n: trials or shape. RATIO draws none: of the trajectory's number. */
static void
draw(Fixture *f, Kind kind, double n, double p, double *ret_drawn)
{
    KirBuilder *b = rxn__kir_begin(&f->arena, &f->names, "draw", KIR_F64);
    MethodKernel kernel = {0};
    SsaFrame frame = {.builder = b, .arena = &f->arena, .real = KIR_F64, .output = &kernel};
    frame.seed = rxn__kir_buffer(b, "seed", KIR_U64, KIR_PER_LAUNCH, false, 0, NULL);
    const u32 extent[1] = {2};
    const u32 in = rxn__kir_buffer(b, "in", KIR_F64, KIR_PER_LAUNCH, false, 1, extent);
    const u32 out = rxn__kir_buffer(b, "out", KIR_F64, KIR_PER_TRAJECTORY, true, 0, NULL);
    const u32 done = rxn__kir_local(b, "done", KIR_BOOL, 0);
    rxn__kir_kernel(b)->done = done;
    BatchDraws draws;
    rxn__batch_draws_begin(&draws, &frame);
    rxn__kir_region(b, KIR_STEP);
    KirValue first = rxn__kir_load(b, in, (KirValue[]){rxn__kir_const(b, KIR_I32, 0)}),
             second = rxn__kir_load(b, in, (KirValue[]){rxn__kir_const(b, KIR_I32, 1)});
    KirValue value = 0, one = rxn__kir_const(b, KIR_F64, 1);
    switch (kind) {
    case GEOMETRIC: value = rxn__batch_geometric(&draws, second); break;
    case GAMMA: value = rxn__batch_gamma(&draws, first); break;
    case BINOMIAL: value = rxn__batch_binomial(&draws, first, second); break;
    case RATIO: {
        KirValue mode = kir_floor(b, kir_mul(b, kir_add(b, first, one), second));
        KirValue odds = kir_div(b, second, kir_sub(b, one, second));
        KirValue k = kir_min(b, kir_cast(b, KIR_F64, kir_trajectory(b)), first);
        value = rxn__batch_binomial_ratio(&draws, first, odds, mode, k);
    }
    }
    rxn__kir_store(b, out, NULL, value);
    rxn__kir_set(b, done, 0, rxn__kir_const(b, KIR_BOOL, 1));
    KirKernel *built;
    const char *error = rxn__kir_end(b, &built);
    assert_null(error);
    u64 seed = 20;
    double input[2] = {n, p};
    void *buffers[] = {&seed, input, ret_drawn, NULL};
    const int64_t strides[] = {0, 0, 1, 0};
    buffers[3] = (void *)kernel.tables.items[0].data;
    const int cancel = 0;
    RxnFault fault = {.trajectory = UINT64_MAX};
    RxnLaunch launch = {
        .count = DRAWS, .buffers = buffers, .strides = strides, .fault = &fault, .cancel = &cancel};
    assert_int_equal(rxn__kir_interpret(built, &launch, 0, &f->arena, &error), RXN_OK);
}

/* How far the counts in the bins are from what was expected, as a normal deviate. */
static double
deviate(const double *expected, const double *seen, u32 bins)
{
    double square = 0, freedom = bins - 1.0;
    if (bins < 2)
        return 0;
    for (u32 k = 0; k < bins; k++)
        square += (seen[k] - expected[k]) * (seen[k] - expected[k]) / expected[k];
    const double spread = 2 / (9 * freedom);
    return (cbrt(square / freedom) - (1 - spread)) / sqrt(spread);
}

/* ---- whole numbers ------------------------------------------------------------------------------ */

static double
log_probability(Kind kind, double n, double p, double k)
{
    if (kind == GEOMETRIC)
        return k * log1p(-p) + log(p);
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(p) + (n - k) * log1p(-p);
}

static int
compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Bins from the least number up, each of the 50th part of all or of one number that has more. */
static double
whole_deviate(Kind kind, double n, double p, double *drawn)
{
    static double expected[DRAWS], seen[DRAWS];
    qsort(drawn, DRAWS, sizeof *drawn, compare);
    const double mean = kind == GEOMETRIC ? 1 / p : n * p;
    const double width = kind == GEOMETRIC ? 60 / p : 12 * sqrt(n * p * (1 - p)) + 30;
    const double from = floor(fmax(0, mean - width));
    const double to = kind == GEOMETRIC ? mean + width : fmin(n, mean + width);
    u32 bins = 0, at = 0;
    double sum = 0;
    assert_true(drawn[0] >= from && drawn[DRAWS - 1] <= to);
    for (double k = from; k <= to; k++) {
        sum += DRAWS * exp(log_probability(kind, n, p, k));
        if (sum < (double)DRAWS / BINS && k < to)
            continue;
        u32 end = at;
        while (end < DRAWS && drawn[end] <= k) {
            assert_true(drawn[end] == floor(drawn[end]));
            end++;
        }
        expected[bins] = sum;
        seen[bins++] = end - at;
        at = end;
        sum = 0;
    }
    if (bins > 1 && expected[bins - 1] < 20) { /* the last one is what was left */
        expected[bins - 2] += expected[bins - 1];
        seen[bins - 2] += seen[bins - 1];
        bins--;
    }
    return deviate(expected, seen, bins);
}

static void
test_binomial(void **state)
{
    /* Around the mean of 10, where the algorithm changes; either side of 1/2; few and many trials; a large mode. */
    static const double cases[][2] = {
        {1, 0.5},      {2, 0.1},    {19, 0.5},     {20, 0.5},       {21, 0.49},       {100, 0.0999},
        {100, 0.1001}, {40, 0.7},   {30, 0.99},    {1000, 0.3},     {1000, 0.985},    {1e6, 9.9e-6},
        {1e6, 1.1e-5}, {1e6, 0.25}, {1e6, 0.9999}, {16777216, 0.6}, {16777216, 1e-3},
    };
    static double drawn[DRAWS];
    for (u32 k = 0; k < sizeof cases / sizeof *cases; k++) {
        draw(*state, BINOMIAL, cases[k][0], cases[k][1], drawn);
        double z = whole_deviate(BINOMIAL, cases[k][0], cases[k][1], drawn);
        if (!(z < MOST_DEVIATE))
            fail_msg("binomial(%g, %g): a deviate of %g", cases[k][0], cases[k][1], z);
    }
}

/* What rejection compares with: an error here is too small to be seen in so few numbers. */
static void
test_binomial_ratio(void **state)
{
    static const double cases[][2] = {
        {20, 0.5}, {100, 0.11}, {1e5, 1e-4}, {4e4, 0.25}, {1e6, 0.01}};
    static double ratio[DRAWS];
    for (u32 c = 0; c < sizeof cases / sizeof *cases; c++) {
        const long double n = cases[c][0], p = cases[c][1], mode = floorl((n + 1) * p);
        draw(*state, RATIO, cases[c][0], cases[c][1], ratio);
        for (u32 i = 0; i < DRAWS && i <= n; i++) {
            const long double k = i;
            long double exact = lgammal(mode + 1) + lgammal(n - mode + 1) - lgammal(k + 1) -
                                lgammal(n - k + 1) + (k - mode) * (logl(p) - log1pl(-p));
            if (!(fabsl(exact - ratio[i]) < 1e-11L * (1 + n * p + fabsl(exact))))
                fail_msg("binomial(%g, %g) at %u: %.17g, not %.17Lg", cases[c][0], cases[c][1], i,
                         ratio[i], exact);
        }
    }
}

static void
test_binomial_edges(void **state)
{
    static const double cases[][3] = {{0, 0.3, 0}, {0, 1, 0},     {5, 0, 0},       {5, 1, 5},
                                      {1e6, 0, 0}, {1e6, 1, 1e6}, {1e6, 1e-300, 0}};
    static double drawn[DRAWS];
    for (u32 k = 0; k < sizeof cases / sizeof *cases; k++) {
        draw(*state, BINOMIAL, cases[k][0], cases[k][1], drawn);
        for (u32 i = 0; i < DRAWS; i++)
            assert_true(drawn[i] == cases[k][2]);
    }
}

static void
test_geometric(void **state)
{
    static const double cases[] = {0.9, 0.3, 0.01, 1e-3};
    static double drawn[DRAWS];
    for (u32 k = 0; k < sizeof cases / sizeof *cases; k++) {
        draw(*state, GEOMETRIC, 0, cases[k], drawn);
        double z = whole_deviate(GEOMETRIC, 0, cases[k], drawn);
        if (!(z < MOST_DEVIATE))
            fail_msg("geometric(%g): a deviate of %g", cases[k], z);
    }
    draw(*state, GEOMETRIC, 0, 0, drawn);
    assert_true(drawn[0] == INFINITY && drawn[DRAWS - 1] == INFINITY);
    draw(*state, GEOMETRIC, 0, 1, drawn);
    for (u32 i = 0; i < DRAWS; i++)
        assert_true(drawn[i] == 0);
}

/* ---- gamma -------------------------------------------------------------------------------------- */

/* P(a, x): its series below a + 1, its continued fraction (modified Lentz) above. Abramowitz & Stegun 6.5.29, 6.5.31. */
static double
gamma_below(double a, double x)
{
    const double front = exp(-x + a * log(x) - lgamma(a));
    if (x < a + 1) {
        double term = 1 / a, total = term;
        for (double k = a + 1; term > total * 1e-17; k++)
            total += term *= x / k;
        return total * front;
    }
    double b = x + 1 - a, c = 1e300, d = 1 / b, h = d;
    for (double i = 1; i < 1e6; i++) {
        const double an = -i * (i - a);
        b += 2;
        d = 1 / (an * d + b);
        c = b + an / c;
        h *= d * c;
        if (fabs(d * c - 1) < 1e-15)
            break;
    }
    return 1 - front * h;
}

static void
test_gamma(void **state)
{
    static const double shapes[] = {1, 2, 3, 17, 400, 1e6};
    static double drawn[DRAWS];
    for (u32 k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        double expected[BINS], seen[BINS] = {0};
        draw(*state, GAMMA, shapes[k], 0, drawn);
        for (u32 i = 0; i < DRAWS; i++) {
            assert_true(drawn[i] > 0);
            u32 bin = (u32)(BINS * gamma_below(shapes[k], drawn[i]));
            seen[bin < BINS ? bin : BINS - 1]++;
        }
        for (u32 i = 0; i < BINS; i++)
            expected[i] = (double)DRAWS / BINS;
        double z = deviate(expected, seen, BINS);
        if (!(z < MOST_DEVIATE))
            fail_msg("gamma(%g): a deviate of %g", shapes[k], z);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_binomial),  TEST(test_binomial_ratio), TEST(test_binomial_edges),
        TEST(test_geometric), TEST(test_gamma),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
