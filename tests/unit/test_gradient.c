/* test_gradient.c: the reducer of gradient kernels' rows, on made-up rows, against the formulas written
 * out as they stand in gradient.h: every leave-one-out mean a sum of its own.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/gradient.h"
#include "runtime/philox.h"

enum { FUNCTIONALS = 2, LEAVES = 3, ROWS = 240, COLUMNS = 2 + 2 + 6 + 6 + 2 };

/* ---- outputs: m0; m0 - m1²; p1² m0 m1 ---------------------------------------------------------- */

static const double parameter_values[] = {0.5, 1.5, -2};
static const uint32_t first_only[] = {0}, both[] = {0, 1}, own[] = {1};
static const RxnPair square[] = {{1, 1}}, product[] = {{0, 1}, {1, 0}}, mixed[] = {{1, 0}, {1, 1}};
static const RxnOutput outputs[] = {
    {.first_count = 1, .first = first_only},
    {.first_count = 2, .first = both, .second_count = 1, .second = square},
    {.first_count = 2,
     .first = both,
     .second_count = 2,
     .second = product,
     .direct_count = 1,
     .direct = own,
     .mixed_count = 2,
     .mixed = mixed},
};
enum { OUTPUTS = 3 };

static void
linearize(void *context, uint32_t output, const double *m, RxnOutputValues *values)
{
    double p = parameter_values[1];
    (void)context;
    switch (output) {
    case 0:
        values->value = m[0];
        values->first[0] = 1;
        break;
    case 1:
        values->value = m[0] - m[1] * m[1];
        values->first[0] = 1;
        values->first[1] = -2 * m[1];
        values->second[0] = -2;
        break;
    default:
        values->value = p * p * m[0] * m[1];
        values->first[0] = p * p * m[1];
        values->first[1] = p * p * m[0];
        values->second[0] = values->second[1] = p * p;
        values->direct[0] = 2 * p * m[0] * m[1];
        values->mixed[0] = 2 * p * m[1];
        values->mixed[1] = 2 * p * m[0];
    }
}

/* ---- rows -------------------------------------------------------------------------------------- */

static const bool diagnostic_is_max[] = {false, true};

/* F, M, S, D, diagnostics: all there is. */
static RxnGradientSpec
whole_spec(uint64_t trajectories)
{
    return (RxnGradientSpec){
        .layout = {.functionals = FUNCTIONALS,
                   .leaves = LEAVES,
                   .has_control = true,
                   .has_score = true,
                   .has_direct = true,
                   .columns = COLUMNS,
                   .value = 0,
                   .control = 2,
                   .score = 4,
                   .direct = 10,
                   .diagnostic = 16,
                   .diagnostics = 2,
                   .is_max = diagnostic_is_max},
        .map = {.parameters = LEAVES},
        .output_count = OUTPUTS,
        .outputs = outputs,
        .linearize = linearize,
        .trajectories = trajectories,
    };
}

static double *
make_rows(uint64_t rows, uint32_t columns, uint64_t seed)
{
    double *made = malloc(rows * columns * sizeof *made);
    assert_non_null(made);
    for (uint64_t k = 0; k < rows * columns; k++)
        made[k] = rxn__random_normal(seed, 1, k) + (double)(k % columns);
    return made;
}

/* Runs the reducer with rows in pieces of so many; the result is the caller's to free. */
static RxnGradient *
reduce(const RxnGradientSpec *spec, const double *rows, uint64_t piece,
       const RxnGradientResult **ret_result)
{
    RxnGradient *gradient = rxn__gradient_new(spec);
    uint64_t wanted = rxn__gradient_rows_wanted(spec);
    assert_non_null(gradient);
    for (uint64_t first = 0; first < wanted; first += piece) {
        uint64_t count = wanted - first < piece ? wanted - first : piece;
        assert_true(
            rxn__gradient_take(gradient, first, count, rows + first * spec->layout.columns, NULL));
    }
    *ret_result = rxn__gradient_finish(gradient);
    return gradient;
}

static void
assert_close(double got, double expected)
{
    if (!(fabs(got - expected) <= 1e-10 * (1 + fabs(expected))))
        fail_msg("%.17g is not %.17g", got, expected);
}

/* ---- the formulas as they stand ---------------------------------------------------------------- */

typedef struct Naive {
    double value[OUTPUTS], value_se[OUTPUTS], plain_value[OUTPUTS];
    double gradient[OUTPUTS][LEAVES], sd[OUTPUTS][LEAVES];
} Naive;

static double
y_of(const double *row, int i)
{
    return row[i] - row[2 + i];
}

static double
contribution(const double *rows, uint64_t n, uint64_t k, int i, int p)
{
    const double *row = rows + k * COLUMNS;
    double others = 0;
    for (uint64_t o = 0; o < n; o++)
        if (o != k)
            others += y_of(rows + o * COLUMNS, i);
    double b = n > 1 ? others / (double)(n - 1) : 0;
    return (y_of(row, i) - b) * row[4 + i * LEAVES + p] + row[10 + i * LEAVES + p];
}

static void
naive(const double *rows, uint64_t n, bool attenuated, Naive *ret)
{
    double first_room[2], second_room[2], direct_room[1], mixed_room[2];
    RxnOutputValues values = {0, first_room, second_room, direct_room, mixed_room};
    double y[FUNCTIONALS] = {0}, f[FUNCTIONALS] = {0};
    double(*c)[FUNCTIONALS][LEAVES] = calloc(n, sizeof *c);
    double mean[FUNCTIONALS][LEAVES] = {{0}}, known[FUNCTIONALS][LEAVES];
    assert_non_null(c);
    for (uint64_t k = 0; k < n; k++)
        for (int i = 0; i < FUNCTIONALS; i++) {
            y[i] += y_of(rows + k * COLUMNS, i) / (double)n;
            f[i] += rows[k * COLUMNS + i] / (double)n;
            for (int p = 0; p < LEAVES; p++) {
                c[k][i][p] = contribution(rows, n, k, i, p);
                mean[i][p] += c[k][i][p] / (double)n;
            }
        }
    for (int i = 0; i < FUNCTIONALS; i++)
        for (int p = 0; p < LEAVES; p++) {
            double squares = 0;
            for (uint64_t k = 0; k < n; k++)
                squares += (c[k][i][p] - mean[i][p]) * (c[k][i][p] - mean[i][p]);
            double t = mean[i][p] / sqrt(squares / (double)(n - 1) / (double)n);
            known[i][p] = !attenuated ? 1 : fabs(t) < 2 ? 0 : 1 - 16 / pow(t, 4);
        }
    for (int o = 0; o < OUTPUTS; o++) {
        const RxnOutput *output = &outputs[o];
        linearize(NULL, o, f, &values);
        ret->plain_value[o] = values.value;
        linearize(NULL, o, y, &values);
        ret->value[o] = values.value;
        double square_sum = 0;
        for (uint64_t k = 0; k < n; k++) {
            double influence = 0;
            for (uint32_t e = 0; e < output->first_count; e++)
                influence += values.first[e] *
                             (y_of(rows + k * COLUMNS, output->first[e]) - y[output->first[e]]);
            square_sum += influence * influence;
        }
        ret->value_se[o] = sqrt(square_sum / (double)(n - 1) / (double)n);
        for (int p = 0; p < LEAVES; p++) {
            ret->gradient[o][p] = 0;
            for (uint32_t e = 0; e < output->first_count; e++)
                ret->gradient[o][p] +=
                    values.first[e] * known[output->first[e]][p] * mean[output->first[e]][p];
            for (uint32_t e = 0; e < output->direct_count; e++)
                if (output->direct[e] == (uint32_t)p)
                    ret->gradient[o][p] += values.direct[e];
            double squares = 0;
            for (uint64_t k = 0; k < n; k++) {
                const double *row = rows + k * COLUMNS;
                double influence = 0;
                for (uint32_t e = 0; e < output->first_count; e++) {
                    uint32_t i = output->first[e];
                    influence += values.first[e] * (known[i][p] > 0 ? 4 - 3 * known[i][p] : 0) *
                                 (c[k][i][p] - mean[i][p]);
                }
                for (uint32_t e = 0; e < output->second_count; e++) {
                    uint32_t i = output->second[e].a, j = output->second[e].b;
                    influence +=
                        values.second[e] * known[i][p] * mean[i][p] * (y_of(row, j) - y[j]);
                }
                for (uint32_t e = 0; e < output->mixed_count; e++)
                    if (output->mixed[e].a == (uint32_t)p)
                        influence += values.mixed[e] *
                                     (y_of(row, output->mixed[e].b) - y[output->mixed[e].b]);
                squares += influence * influence;
            }
            ret->sd[o][p] = sqrt(squares / (double)(n - 1));
        }
    }
    free(c);
}

static void
check_formulas(bool attenuated)
{
    static const uint64_t sizes[] = {2, 3, 17, ROWS};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        RxnGradientSpec spec = whole_spec(sizes[s]);
        spec.attenuated = attenuated;
        double *rows = make_rows(sizes[s], COLUMNS, 3 + s);
        Naive expected;
        const RxnGradientResult *got;
        naive(rows, sizes[s], attenuated, &expected);
        RxnGradient *gradient = reduce(&spec, rows, 50, &got);
        double mean = 0, most = -INFINITY;
        for (uint64_t k = 0; k < sizes[s]; k++) {
            mean += rows[k * COLUMNS + 16] / (double)sizes[s];
            most = fmax(most, rows[k * COLUMNS + 17]);
        }
        assert_close(got->diagnostics[0], mean);
        assert_true(got->diagnostics[1] == most);
        for (int o = 0; o < OUTPUTS; o++) {
            assert_close(got->value[o], expected.value[o]);
            assert_close(got->plain_value[o], expected.plain_value[o]);
            assert_close(got->value_se[o], expected.value_se[o]);
            for (int p = 0; p < LEAVES; p++) {
                assert_close(got->gradient[o * LEAVES + p], expected.gradient[o][p]);
                assert_close(got->sd[o * LEAVES + p], expected.sd[o][p]);
            }
        }
        rxn__gradient_free(gradient);
        free(rows);
    }
}

static void
test_against_the_formulas(void **state)
{
    (void)state;
    check_formulas(false);
}

static void
test_attenuated(void **state)
{
    (void)state;
    check_formulas(true);
}

/* In batches each is centred by itself: the estimate of m0's derivative is the mean of the batches'. */
static void
test_batches(void **state)
{
    (void)state;
    RxnGradientSpec spec = whole_spec(ROWS);
    spec.batch_bytes = 61 * COLUMNS * sizeof(double); /* so 4 batches of 60 */
    double *rows = make_rows(ROWS, COLUMNS, 8), mean[LEAVES] = {0};
    const RxnGradientResult *got;
    RxnGradient *gradient = reduce(&spec, rows, 7, &got);
    for (int b = 0; b < 4; b++) {
        Naive part;
        naive(rows + b * 60 * COLUMNS, 60, false, &part);
        for (int p = 0; p < LEAVES; p++)
            mean[p] += part.gradient[0][p] / 4;
    }
    Naive whole;
    naive(rows, ROWS, false, &whole);
    for (int p = 0; p < LEAVES; p++) {
        assert_close(got->gradient[p], mean[p]);
        assert_true(fabs(got->gradient[p] - whole.gradient[0][p]) > 1e-6);
        /* The errors of the nonlinear outputs are taken at the means so far, here those of 60 rows. */
        for (int o = 0; o < OUTPUTS; o++)
            assert_true(fabs(got->sd[o * LEAVES + p] / whole.sd[o][p] - 1) < (o == 0 ? 0.02 : 0.3));
    }
    assert_close(got->value[1], whole.value[1]);
    rxn__gradient_free(gradient);
    free(rows);
}

/* How rows arrive is a matter of threads; nothing may depend on it. */
static void
test_pieces_do_not_matter(void **state)
{
    (void)state;
    static const uint64_t pieces[] = {1, 13, 64, ROWS};
    RxnGradientSpec spec = whole_spec(ROWS);
    spec.batch_bytes = 50 * COLUMNS * sizeof(double);
    double *rows = make_rows(ROWS, COLUMNS, 21), gradient[OUTPUTS * LEAVES], sd[OUTPUTS * LEAVES];
    for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++) {
        const RxnGradientResult *got;
        RxnGradient *reducer = reduce(&spec, rows, pieces[k], &got);
        if (k == 0) {
            memcpy(gradient, got->gradient, sizeof gradient);
            memcpy(sd, got->sd, sizeof sd);
        }
        assert_memory_equal(gradient, got->gradient, sizeof gradient);
        assert_memory_equal(sd, got->sd, sizeof sd);
        rxn__gradient_free(reducer);
    }
    free(rows);
}

/* Parameters behind leaves: the same as rows in which the leaves' numbers are already summed up. */
static void
check_map(const RxnLeafMap *map, const RxnOutput *shown, uint32_t output_count)
{
    RxnGradientSpec spec = whole_spec(ROWS), plain = whole_spec(ROWS);
    double *rows = make_rows(ROWS, COLUMNS, 5), *mapped = make_rows(ROWS, COLUMNS, 5);
    spec.map = *map;
    spec.outputs = plain.outputs = shown;
    spec.output_count = plain.output_count = output_count;
    for (uint64_t k = 0; k < ROWS; k++)
        for (int i = 0; i < 2 * FUNCTIONALS; i++)
            for (uint32_t p = 0; p < LEAVES; p++) {
                double sum = 0;
                for (uint64_t e = map->start[p]; e < map->start[p + 1]; e++)
                    sum += map->weight[e] * rows[k * COLUMNS + 4 + i * LEAVES + map->leaf[e]];
                mapped[k * COLUMNS + 4 + i * LEAVES + p] = sum;
            }
    const RxnGradientResult *got, *expected;
    RxnGradient *a = reduce(&spec, rows, 32, &got), *b = reduce(&plain, mapped, 32, &expected);
    for (uint32_t k = 0; k < output_count * LEAVES; k++) {
        assert_close(got->gradient[k], expected->gradient[k]);
        assert_close(got->sd[k], expected->sd[k]);
    }
    rxn__gradient_free(a);
    rxn__gradient_free(b);
    free(rows);
    free(mapped);
}

static void
test_leaf_maps(void **state)
{
    (void)state;
    static const uint64_t several[] = {0, 2, 3, 5}, single[] = {0, 1, 1, 2};
    static const uint32_t several_leaf[] = {0, 2, 1, 1, 0}, single_leaf[] = {2, 0};
    static const double several_weight[] = {2, -1, 0.5, 3, 1}, single_weight[] = {-4, 0.25};
    check_map(&(RxnLeafMap){LEAVES, several, several_leaf, several_weight}, outputs, OUTPUTS);
    check_map(&(RxnLeafMap){LEAVES, single, single_leaf, single_weight}, outputs, OUTPUTS);
    /* Without an output that depends on a parameter itself, the sums are over leaves. */
    check_map(&(RxnLeafMap){LEAVES, single, single_leaf, single_weight}, outputs, 2);
}

/* Row t serves leaf t mod 3: as three ensembles, F from all of them together. */
static void
test_one_leaf(void **state)
{
    (void)state;
    enum { N = 40, WIDE = FUNCTIONALS + FUNCTIONALS };
    RxnGradientSpec spec = whole_spec(N);
    spec.layout = (RxnGradientLayout){.functionals = FUNCTIONALS,
                                      .leaves = LEAVES,
                                      .has_direct = true,
                                      .one_leaf = true,
                                      .columns = WIDE,
                                      .direct = FUNCTIONALS,
                                      .diagnostic = WIDE};
    assert_int_equal(rxn__gradient_rows_wanted(&spec), N * LEAVES);
    double *rows = make_rows(N * LEAVES, WIDE, 77);
    const RxnGradientResult *got;
    RxnGradient *gradient = reduce(&spec, rows, 11, &got);
    double f[FUNCTIONALS] = {0}, c[FUNCTIONALS][LEAVES] = {{0}}, squares[LEAVES] = {0};
    for (int t = 0; t < N * LEAVES; t++)
        for (int i = 0; i < FUNCTIONALS; i++) {
            f[i] += rows[t * WIDE + i] / (N * LEAVES);
            c[i][t % LEAVES] += rows[t * WIDE + FUNCTIONALS + i] / N;
        }
    for (int t = 0; t < N * LEAVES; t++)
        for (int p = 0; p < LEAVES; p++) {
            const double *row = rows + t * WIDE;
            double influence = -2 * c[1][p] * (row[1] - f[1]) / LEAVES;
            if (t % LEAVES == p)
                influence += row[2] - c[0][p] - 2 * f[1] * (row[3] - c[1][p]);
            squares[p] += influence * influence;
        }
    for (int p = 0; p < LEAVES; p++) {
        assert_close(got->gradient[p], c[0][p]);
        assert_close(got->gradient[LEAVES + p], c[0][p] - 2 * f[1] * c[1][p]);
        assert_close(got->sd[LEAVES + p], sqrt(squares[p] / (N - 1)));
    }
    assert_close(got->value[1], f[0] - f[1] * f[1]);
    rxn__gradient_free(gradient);
    free(rows);
}

/* D of whole outputs: their means, whatever the outputs' own derivatives. */
static void
test_by_output(void **state)
{
    (void)state;
    enum { N = 50, SUMS = 2, WIDE = FUNCTIONALS + SUMS * LEAVES };
    RxnGradientSpec spec = whole_spec(N);
    spec.output_count = SUMS;
    spec.layout = (RxnGradientLayout){.functionals = FUNCTIONALS,
                                      .leaves = LEAVES,
                                      .has_direct = true,
                                      .by_output = true,
                                      .columns = WIDE,
                                      .direct = FUNCTIONALS,
                                      .diagnostic = WIDE};
    double *rows = make_rows(N, WIDE, 31);
    const RxnGradientResult *got;
    RxnGradient *gradient = reduce(&spec, rows, 9, &got);
    for (int cell = 0; cell < SUMS * LEAVES; cell++) {
        double mean = 0, squares = 0;
        for (int k = 0; k < N; k++)
            mean += rows[k * WIDE + FUNCTIONALS + cell] / N;
        for (int k = 0; k < N; k++)
            squares += pow(rows[k * WIDE + FUNCTIONALS + cell] - mean, 2);
        assert_close(got->gradient[cell], mean);
        assert_close(got->sd[cell], sqrt(squares / (N - 1)));
    }
    rxn__gradient_free(gradient);
    free(rows);
}

/* One trajectory: an estimate without an error; nothing to centre by. */
static void
test_one_trajectory(void **state)
{
    (void)state;
    RxnGradientSpec spec = whole_spec(1);
    double *rows = make_rows(1, COLUMNS, 4);
    const RxnGradientResult *got;
    RxnGradient *gradient = reduce(&spec, rows, 1, &got);
    assert_close(got->gradient[0], (rows[0] - rows[2]) * rows[4] + rows[10]);
    assert_true(isnan(got->sd[0]));
    assert_true(isnan(got->value_se[0]));
    rxn__gradient_free(gradient);
    free(rows);
}

/* The standard error is the spread of the estimates: X ~ N(θ, 1), score X - θ, F = X², X. The variance
 * does not depend on θ; d E[X²]/dθ = 2θ. */
static void
test_the_error_is_the_spread(void **state)
{
    (void)state;
    enum { REPEATS = 1000, N = 200 };
    const double theta = 1.5;
    double sums[2] = {0}, squares[2] = {0}, claimed[2] = {0}, values = 0, value_claimed = 0;
    double value_sum = 0;
    for (int r = 0; r < REPEATS; r++) {
        double rows[N][4];
        for (int k = 0; k < N; k++) {
            double x = theta + rxn__random_normal(12, 2, (uint64_t)(r * N + k));
            rows[k][0] = x * x;
            rows[k][1] = x;
            rows[k][2] = rows[k][3] = x - theta;
        }
        RxnGradientSpec spec = {.layout = {.functionals = 2,
                                           .leaves = 1,
                                           .has_score = true,
                                           .columns = 4,
                                           .score = 2,
                                           .direct = 4,
                                           .diagnostic = 4},
                                .map = {.parameters = 1},
                                .output_count = 2,
                                .outputs = outputs,
                                .linearize = linearize,
                                .trajectories = N};
        const RxnGradientResult *got;
        RxnGradient *gradient = reduce(&spec, rows[0], N, &got);
        for (int o = 0; o < 2; o++) {
            sums[o] += got->gradient[o];
            squares[o] += got->gradient[o] * got->gradient[o];
            claimed[o] += got->sd[o] * got->sd[o] / N;
        }
        value_sum += got->value[1];
        values += got->value[1] * got->value[1];
        value_claimed += got->value_se[1] * got->value_se[1];
        rxn__gradient_free(gradient);
    }
    static const double expected[] = {3, 0};
    for (int o = 0; o < 2; o++) {
        double mean = sums[o] / REPEATS, variance = squares[o] / REPEATS - mean * mean;
        /* Six standard errors of the mean; a variance of 1000 is known to some 5 %, and the claimed one is
         * right but for terms of the order 1/N. */
        assert_true(fabs(mean - expected[o]) < 6 * sqrt(variance / REPEATS));
        assert_true(fabs(variance / (claimed[o] / REPEATS) - 1) < 0.3);
    }
    double mean = value_sum / REPEATS, variance = values / REPEATS - mean * mean;
    assert_true(fabs(variance / (value_claimed / REPEATS) - 1) < 0.3);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_the_formulas),
        cmocka_unit_test(test_attenuated),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_pieces_do_not_matter),
        cmocka_unit_test(test_leaf_maps),
        cmocka_unit_test(test_by_output),
        cmocka_unit_test(test_one_leaf),
        cmocka_unit_test(test_one_trajectory),
        cmocka_unit_test(test_the_error_is_the_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
