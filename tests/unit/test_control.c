/* test_control.c: least squares with columns that depend on each other, and the backward fit of control
 * variates, on random walks whose conditional expectations are known.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/control.h"
#include "runtime/philox.h"

static double
normal(uint64_t element)
{
    return rxn__random_normal(11, 5, element);
}

/* ---- least squares ----------------------------------------------------------------------------- */

enum { ROWS = 60, COLUMNS = 5 };

static void
fill(double matrix[COLUMNS][ROWS])
{
    for (int j = 0; j < COLUMNS; j++)
        for (int i = 0; i < ROWS; i++)
            matrix[j][i] = 1000 + (j + 1) * normal((uint64_t)(j * ROWS + i));
}

static void
test_recovers_slopes(void **state)
{
    (void)state;
    double matrix[COLUMNS][ROWS], y[ROWS], scratch[ROWS], slopes[COLUMNS];
    const double truth[COLUMNS] = {3, -2, 0.5, 0, 1e-3};
    fill(matrix);
    for (int i = 0; i < ROWS; i++) {
        y[i] = 77;
        for (int j = 0; j < COLUMNS; j++)
            y[i] += truth[j] * matrix[j][i];
    }
    RxnFactor factor;
    assert_true(rxn__factor(&matrix[0][0], ROWS, ROWS, COLUMNS, &factor));
    assert_int_equal(factor.rank, COLUMNS);
    rxn__factor_solve(&factor, y, scratch, slopes);
    for (int j = 0; j < COLUMNS; j++)
        assert_true(fabs(slopes[j] - truth[j]) < 1e-9);
    rxn__factor_free(&factor);
}

/* The residual of a least-squares fit is orthogonal to the columns and to the constant. */
static void
test_residual_is_orthogonal(void **state)
{
    (void)state;
    double matrix[COLUMNS][ROWS], y[ROWS], scratch[ROWS], slopes[COLUMNS], residual[ROWS];
    fill(matrix);
    double mean = 0;
    for (int i = 0; i < ROWS; i++)
        y[i] = normal(10000 + (uint64_t)i);
    RxnFactor factor;
    assert_true(rxn__factor(&matrix[0][0], ROWS, ROWS, COLUMNS, &factor));
    rxn__factor_solve(&factor, y, scratch, slopes);
    for (int i = 0; i < ROWS; i++) {
        residual[i] = y[i];
        for (int j = 0; j < COLUMNS; j++)
            residual[i] -= slopes[j] * matrix[j][i];
        mean += residual[i] / ROWS;
    }
    for (int j = 0; j < COLUMNS; j++) {
        double product = 0;
        for (int i = 0; i < ROWS; i++)
            product += (residual[i] - mean) * (matrix[j][i] - 1000);
        assert_true(fabs(product) < 1e-9);
    }
    rxn__factor_free(&factor);
}

/* A constant column, and one that is a combination of two others: the fit is as good without them. */
static void
test_dependent_columns(void **state)
{
    (void)state;
    double matrix[COLUMNS][ROWS], y[ROWS], scratch[ROWS], slopes[COLUMNS];
    fill(matrix);
    for (int i = 0; i < ROWS; i++) {
        matrix[1][i] = 4;
        matrix[3][i] = 100 - 2 * matrix[0][i] + matrix[2][i];
        y[i] = matrix[0][i] - 3 * matrix[4][i];
    }
    RxnFactor factor;
    assert_true(rxn__factor(&matrix[0][0], ROWS, ROWS, COLUMNS, &factor));
    assert_int_equal(factor.rank, 3);
    rxn__factor_solve(&factor, y, scratch, slopes);
    assert_true(slopes[1] == 0);
    assert_true((slopes[0] == 0) + (slopes[2] == 0) + (slopes[3] == 0) >= 1);
    double first = 0;
    for (int i = 0; i < ROWS; i++) {
        double fitted = -y[i];
        for (int j = 0; j < COLUMNS; j++)
            fitted += slopes[j] * matrix[j][i];
        first = i == 0 ? fitted : first;
        assert_true(fabs(fitted - first) < 1e-8);
    }
    rxn__factor_free(&factor);
}

static void
test_nothing_to_fit(void **state)
{
    (void)state;
    double matrix[2][ROWS], y[ROWS], scratch[ROWS], slopes[2] = {1, 1};
    for (int i = 0; i < ROWS; i++) {
        matrix[0][i] = matrix[1][i] = 1e15;
        y[i] = i;
    }
    RxnFactor factor;
    assert_true(rxn__factor(&matrix[0][0], ROWS, ROWS, 2, &factor));
    assert_int_equal(factor.rank, 0);
    rxn__factor_solve(&factor, y, scratch, slopes);
    assert_true(slopes[0] == 0 && slopes[1] == 0);
    rxn__factor_free(&factor);
}

/* Fewer rows than columns: no more than rows - 1 of them can be told from each other. */
static void
test_few_rows(void **state)
{
    (void)state;
    double matrix[COLUMNS][ROWS], scratch[ROWS], slopes[COLUMNS];
    const double y[3] = {1, 5, 2};
    fill(matrix);
    RxnFactor factor;
    assert_true(rxn__factor(&matrix[0][0], ROWS, 3, COLUMNS, &factor));
    assert_int_equal(factor.rank, 2);
    rxn__factor_solve(&factor, y, scratch, slopes);
    for (int j = 0; j < COLUMNS; j++)
        assert_true(isfinite(slopes[j]));
    rxn__factor_free(&factor);
}

/* ---- the fit ----------------------------------------------------------------------------------- */

/* A random walk x with unit normal steps. Features x and x^2; x is a martingale, x^2 - t is one. */
enum { WALKS = 2000, STEPS = 8, TIMES = STEPS + 1 };

typedef struct Walk {
    double feature[TIMES][2][WALKS], martingale[TIMES][2][WALKS];
    double value[WALKS], known[TIMES][WALKS], known_before[TIMES][WALKS];
} Walk;

static const uint32_t edges[STEPS] = {0, 1, 2, 3, 4, 5, 6, 7};

static Walk *
make_walk(uint64_t seed)
{
    Walk *walk = calloc(1, sizeof *walk);
    assert_non_null(walk);
    for (int i = 0; i < WALKS; i++) {
        double x = 3;
        for (int t = 0; t < TIMES; t++) {
            x += t ? normal(seed * 1000000 + (uint64_t)(i * TIMES + t)) : 0;
            walk->feature[t][0][i] = walk->martingale[t][0][i] = x;
            walk->feature[t][1][i] = x * x;
            walk->martingale[t][1][i] = x * x - t;
        }
    }
    return walk;
}

static RxnPilot
pilot_of(const Walk *walk)
{
    return (RxnPilot){.trajectories = WALKS,
                      .rows = TIMES,
                      .features = 2,
                      .feature = &walk->feature[0][0][0],
                      .martingale = &walk->martingale[0][0][0],
                      .grades = 2,
                      .grade_end = {1, 2},
                      .edges = STEPS,
                      .edge = edges};
}

/* Mean and variance of F - M on another walk, with weights in the form that kernels take. */
static void
apply(const Walk *walk, double weight[STEPS + 1][2], uint32_t last, double *ret_mean,
      double *ret_variance)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < WALKS; i++) {
        double rest = walk->value[i];
        for (int f = 0; f < 2; f++) {
            for (int b = 0; b < STEPS; b++)
                rest -= weight[b][f] * walk->martingale[edges[b]][f][i];
            rest -= weight[STEPS][f] * walk->martingale[last][f][i];
        }
        sum += rest;
        squares += rest * rest;
    }
    *ret_mean = sum / WALKS;
    *ret_variance = squares / WALKS - *ret_mean * *ret_mean;
}

/* The slopes at the starts of bins have the noise of 1 / sqrt(WALKS): F - M is not without noise, but has
 * less than a 500th of the variance, and its mean is that of F. */
static void
check_controlled(const Walk *other, double weight[STEPS + 1][2], uint32_t last, double expected)
{
    double none[STEPS + 1][2] = {{0}};
    double mean, variance, plain;
    apply(other, none, last, &mean, &plain);
    apply(other, weight, last, &mean, &variance);
    assert_true(fabs(mean - expected) < 5 * sqrt(variance / WALKS));
    assert_true(variance < plain / 500);
}

static RxnControlFit
fit(const Walk *walk, const RxnTarget *target, double weight[STEPS + 1][2])
{
    RxnPilot pilot = pilot_of(walk);
    RxnControl *control = rxn__control_new(&pilot);
    RxnControlFit found;
    assert_non_null(control);
    assert_true(rxn__control_fit(control, target, &weight[0][0], &found));
    rxn__control_free(control);
    return found;
}

/* F = x(6): M takes its noise, and no feature of degree 2 is used. */
static void
test_linear(void **state)
{
    (void)state;
    Walk *pilot = make_walk(1), *other = make_walk(2);
    double weight[STEPS + 1][2];
    memcpy(pilot->value, pilot->feature[6][0], sizeof pilot->value);
    memcpy(other->value, other->feature[6][0], sizeof other->value);
    RxnTarget target = {.value = pilot->value, .last = 6};
    RxnControlFit found = fit(pilot, &target, weight);
    assert_int_equal(found.grade, 1);
    assert_true(found.gain > 500);
    check_controlled(other, weight, 6, 3);
    assert_true(weight[6][0] == 0 && weight[7][0] == 0); /* edges behind the last time */
    free(pilot);
    free(other);
}

/* F = x(8)^2, E = 9 + 8: needs both features. */
static void
test_square(void **state)
{
    (void)state;
    Walk *pilot = make_walk(3), *other = make_walk(4);
    double weight[STEPS + 1][2];
    memcpy(pilot->value, pilot->feature[8][1], sizeof pilot->value);
    memcpy(other->value, other->feature[8][1], sizeof other->value);
    RxnTarget target = {.value = pilot->value, .last = 8};
    RxnControlFit found = fit(pilot, &target, weight);
    assert_int_equal(found.grade, 2);
    check_controlled(other, weight, 8, 17);
    free(pilot);
    free(other);
}

/* F = x(3) + x(8): until 3 its slope is 2, behind it 1, which the fit finds because x(3) is known then. */
static void
test_known_parts(void **state)
{
    (void)state;
    Walk *pilot = make_walk(5), *other = make_walk(6);
    double weight[STEPS + 1][2];
    for (int i = 0; i < WALKS; i++) {
        pilot->value[i] = pilot->feature[3][0][i] + pilot->feature[8][0][i];
        other->value[i] = other->feature[3][0][i] + other->feature[8][0][i];
        for (int t = 0; t < TIMES; t++) {
            pilot->known[t][i] = t >= 3 ? pilot->feature[3][0][i] : 0;
            pilot->known_before[t][i] = t > 3 ? pilot->feature[3][0][i] : 0;
        }
    }
    RxnTarget target = {pilot->value, 8, &pilot->known_before[0][0], &pilot->known[0][0]};
    RxnControlFit found = fit(pilot, &target, weight);
    assert_int_equal(found.grade, 1);
    check_controlled(other, weight, 8, 6);
    free(pilot);
    free(other);
}

/* Noise that the walk knows nothing of: nothing is gained, and nothing is done. */
static void
test_no_help(void **state)
{
    (void)state;
    Walk *pilot = make_walk(7);
    double weight[STEPS + 1][2];
    for (int i = 0; i < WALKS; i++)
        pilot->value[i] = normal(99000000 + (uint64_t)i);
    RxnTarget target = {.value = pilot->value, .last = 8};
    RxnControlFit found = fit(pilot, &target, weight);
    assert_int_equal(found.grade, 0);
    assert_true(found.gain == 1);
    for (int b = 0; b <= STEPS; b++)
        assert_true(weight[b][0] == 0 && weight[b][1] == 0);
    for (int i = 0; i < WALKS; i++)
        pilot->value[i] = 5;
    found = fit(pilot, &target, weight);
    assert_int_equal(found.grade, 0);
    free(pilot);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recovers_slopes),
        cmocka_unit_test(test_residual_is_orthogonal),
        cmocka_unit_test(test_dependent_columns),
        cmocka_unit_test(test_nothing_to_fit),
        cmocka_unit_test(test_few_rows),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_square),
        cmocka_unit_test(test_known_parts),
        cmocka_unit_test(test_no_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
