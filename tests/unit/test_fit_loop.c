/* test_fit_loop.c: Gauss–Newton against closed forms, with noise and without; the loop of a fit on losses that are known: where
 * it ends and why, and that one which was stopped anywhere goes on to the same bits.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/checkpoint.h"
#include "runtime/dense.h"
#include "runtime/fit_loop.h"
#include "runtime/philox.h"

enum { MOST = 4 };

static double
normal(uint64_t seed, uint64_t number)
{
    return rxn__random_normal(seed, 99, number);
}

/* ---- dense ------------------------------------------------------------------------------------- */

static void
test_cholesky(void **state)
{
    (void)state;
    enum { N = 5 };
    double root[N][N], matrix[N * N], factor[N * N], inverse[N * N];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            root[i][j] = normal(1, (uint64_t)(i * N + j));
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            matrix[i * N + j] = 0;
            for (int k = 0; k < N; k++)
                matrix[i * N + j] += root[i][k] * root[j][k];
        }
    memcpy(factor, matrix, sizeof factor);
    assert_true(rxn__cholesky(N, factor));
    rxn__cholesky_inverse(N, factor, inverse);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double sum = 0;
            for (int k = 0; k < N; k++)
                sum += matrix[i * N + k] * inverse[k * N + j];
            assert_true(fabs(sum - (i == j)) < 1e-9);
        }
    /* The last row a multiple of the first. */
    for (int j = 0; j < N; j++)
        matrix[(N - 1) * N + j] = 2 * matrix[j];
    for (int i = 0; i < N; i++)
        matrix[i * N + N - 1] = matrix[(N - 1) * N + i];
    matrix[N * N - 1] = 4 * matrix[0];
    assert_false(rxn__cholesky(N, matrix));
}

/* ---- Gauss–Newton ------------------------------------------------------------------------------ */

/* |A x - y|², 6 equations for 3 unknowns. */
static const double equations[6][3] = {{1, 2, 0.5}, {0.3, -1, 2},   {2, 0.1, 1},
                                       {1, 1, 1},   {-1, 0.4, 0.2}, {0.7, -2, 1.5}};
static const double right[6] = {1, -2, 0.5, 3, 0.25, -1};

static double
squares(const double *x, double gradient[3], double curvature[9])
{
    double loss = 0;
    memset(gradient, 0, 3 * sizeof(double));
    memset(curvature, 0, 9 * sizeof(double));
    for (int e = 0; e < 6; e++) {
        double residual = -right[e];
        for (int i = 0; i < 3; i++)
            residual += equations[e][i] * x[i];
        loss += residual * residual;
        for (int i = 0; i < 3; i++) {
            gradient[i] += 2 * residual * equations[e][i];
            for (int j = 0; j < 3; j++)
                curvature[i * 3 + j] += 2 * equations[e][i] * equations[e][j];
        }
    }
    return loss;
}

/* From the normal equations. */
static void
least_squares(double ret_x[3])
{
    double origin[3] = {0}, gradient[3], matrix[9];
    squares(origin, gradient, matrix);
    assert_true(rxn__cholesky(3, matrix));
    for (int i = 0; i < 3; i++)
        ret_x[i] = -gradient[i];
    rxn__cholesky_solve(3, matrix, ret_x);
}

static void
test_newton_solves_least_squares(void **state)
{
    (void)state;
    RxnGaussNewtonOptions options;
    rxn__gauss_newton_defaults(&options);
    double start[3] = {40, -3, 7}, solution[3], gradient[3], curvature[9];
    least_squares(solution);
    RxnGaussNewton *newton = rxn__gauss_newton_new(&options, 3, start, NULL);
    const double *x;
    int evaluations = 0;
    while ((x = rxn__gauss_newton_ask(newton)) && evaluations++ < 200) {
        RxnGaussNewtonFacts facts = {.weight = 1, .gradient = gradient, .curvature = curvature};
        facts.loss = squares(x, gradient, curvature);
        assert_true(rxn__gauss_newton_tell(newton, &facts));
    }
    uint64_t averaged;
    x = rxn__gauss_newton_point(newton, &averaged);
    assert_int_equal(averaged, 0);
    /* 40 away with steps of 1 at most, then a few. */
    assert_true(evaluations > 40 && evaluations < 60);
    for (int i = 0; i < 3; i++)
        assert_true(fabs(x[i] - solution[i]) < 1e-9);
    assert_string_equal(rxn__gauss_newton_state(newton).why, "the loss is at its minimum");
    rxn__gauss_newton_free(newton);
}

/* What has no influence stays, and a bound holds. */
static void
test_newton_holds(void **state)
{
    (void)state;
    RxnGaussNewtonOptions options;
    rxn__gauss_newton_defaults(&options);
    RxnScale scales[2] = {{RXN_SCALE_LINEAR, -INFINITY, 2, true},
                          {RXN_SCALE_LINEAR, -INFINITY, INFINITY, false}};
    double start[2] = {0, 5};
    RxnGaussNewton *newton = rxn__gauss_newton_new(&options, 2, start, scales);
    const double *x;
    for (int k = 0; k < 100 && (x = rxn__gauss_newton_ask(newton)); k++) {
        double gradient[2] = {2 * (x[0] - 3), 0}, curvature[4] = {2, 0, 0, 0};
        RxnGaussNewtonFacts facts = {(x[0] - 3) * (x[0] - 3), 0, 1, gradient, NULL, curvature};
        assert_true(rxn__gauss_newton_tell(newton, &facts));
    }
    uint64_t averaged;
    x = rxn__gauss_newton_point(newton, &averaged);
    assert_true(x[0] == 2 && x[1] == 5);
    assert_true(rxn__gauss_newton_state(newton).ended);
    rxn__gauss_newton_free(newton);
}

/* With noise: unbiased, and as good as the mean of so many Newton steps can be. */
static void
test_newton_averages_noise(void **state)
{
    (void)state;
    enum { RUNS = 300, STEPS = 120 };
    const double sd = 0.5;
    double solution[3], origin[3] = {0}, gradient[3], curvature[9], inverse[9];
    least_squares(solution);
    squares(origin, gradient, curvature);
    assert_true(rxn__cholesky(3, curvature));
    rxn__cholesky_inverse(3, curvature, inverse);
    double sum[3] = {0}, sum2[3] = {0}, least = 1e9;
    for (uint64_t run = 0; run < RUNS; run++) {
        RxnGaussNewtonOptions options;
        rxn__gauss_newton_defaults(&options);
        options.noisy = true;
        double start[3] = {4, -3, 7}, errors[3] = {sd, sd, sd};
        RxnGaussNewton *newton = rxn__gauss_newton_new(&options, 3, start, NULL);
        for (uint64_t k = 0; k < STEPS; k++) {
            RxnGaussNewtonFacts facts = {.loss_se = 0.1,
                                         .weight = 1,
                                         .gradient = gradient,
                                         .gradient_se = errors,
                                         .curvature = curvature};
            facts.loss = squares(rxn__gauss_newton_ask(newton), gradient, curvature) +
                         0.1 * normal(run + 2, 4 * k);
            for (uint64_t i = 0; i < 3; i++)
                gradient[i] += sd * normal(run + 2, 4 * k + i + 1);
            assert_true(rxn__gauss_newton_tell(newton, &facts));
        }
        uint64_t averaged;
        const double *x = rxn__gauss_newton_point(newton, &averaged);
        least = fmin(least, (double)averaged);
        for (int i = 0; i < 3; i++) {
            sum[i] += (x[i] - solution[i]) / RUNS;
            sum2[i] += pow(x[i] - solution[i], 2) / RUNS;
        }
        rxn__gauss_newton_free(newton);
    }
    assert_true(least > 60);
    for (int i = 0; i < 3; i++) {
        double variance = 0;
        for (int j = 0; j < 3; j++)
            variance += pow(sd * inverse[i * 3 + j], 2) / (0.75 * 105); /* some 105 are averaged */
        /* 300 runs: the mean within 4.5 of its errors; the variance is known to 8 % (one sigma), and is some 1.1 times
         * the limit that many steps have. */
        assert_true(fabs(sum[i]) < 4.5 * sqrt(variance / RUNS) * 1.1);
        assert_true(sum2[i] > 0.7 * variance && sum2[i] < 1.7 * variance);
    }
}

/* Σ r² of residuals that are measured with noise, by derivatives of which now and then one is a thousand times too
 * large, in a direction of which little is known: the third unknown counts a hundredth. */
static double
squares_by_outliers(const double *x, const double *truth, uint64_t seed, uint64_t step,
                    double gradient[3], double curvature[9], double errors[3])
{
    double loss = 0;
    memset(gradient, 0, 3 * sizeof(double));
    memset(curvature, 0, 9 * sizeof(double));
    memset(errors, 0, 3 * sizeof(double));
    for (uint64_t e = 0; e < 6; e++) {
        double residual = 0.01 * normal(seed, step * 64 + e), slope[3];
        for (int i = 0; i < 3; i++) {
            double exact = equations[e][i] * (i == 2 ? 0.01 : 1);
            double odd = normal(seed, step * 64 + 8 + 3 * e + (uint64_t)i);
            bool outlies = fabs(normal(seed, step * 64 + 32 + 3 * e + (uint64_t)i)) > 2;
            residual += exact * (x[i] - truth[i]);
            slope[i] = exact * (1 + 0.05 * odd) + (outlies ? 1000 * exact * odd : 0);
            errors[i] += pow(2 * residual * (slope[i] - exact), 2) + pow(2 * 0.01 * slope[i], 2);
        }
        loss += residual * residual;
        for (int i = 0; i < 3; i++) {
            gradient[i] += 2 * residual * slope[i];
            for (int j = 0; j < 3; j++)
                curvature[i * 3 + j] += 2 * slope[i] * slope[j];
        }
    }
    for (int i = 0; i < 3; i++)
        errors[i] = sqrt(errors[i]);
    return loss;
}

/* Outliers of derivatives do not stop it: in a mean of matrices they would stay, and the third unknown with them. */
static void
test_newton_outlives_outliers(void **state)
{
    (void)state;
    enum { RUNS = 40, STEPS = 40 };
    const double truth[3] = {1, -2, 3};
    double third = 0, others = 0;
    for (uint64_t run = 0; run < RUNS; run++) {
        RxnGaussNewtonOptions options;
        rxn__gauss_newton_defaults(&options);
        options.noisy = true;
        double start[3] = {2, -1, 7}, gradient[3], curvature[9], errors[3];
        RxnGaussNewton *newton = rxn__gauss_newton_new(&options, 3, start, NULL);
        for (uint64_t k = 0; k < STEPS; k++) {
            RxnGaussNewtonFacts facts = {.loss_se = 1e-3,
                                         .weight = 1,
                                         .gradient = gradient,
                                         .gradient_se = errors,
                                         .curvature = curvature};
            facts.loss = squares_by_outliers(rxn__gauss_newton_ask(newton), truth, run + 900, k,
                                             gradient, curvature, errors);
            assert_true(rxn__gauss_newton_tell(newton, &facts));
        }
        uint64_t averaged;
        const double *x = rxn__gauss_newton_point(newton, &averaged);
        third += pow(x[2] - truth[2], 2) / RUNS;
        others += (pow(x[0] - truth[0], 2) + pow(x[1] - truth[1], 2)) / RUNS;
        rxn__gauss_newton_free(newton);
    }
    assert_true(sqrt(third) < 0.5 && sqrt(others) < 0.01);
}

/* ---- seeds and batches ------------------------------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void
test_seeds_differ(void **state)
{
    (void)state;
    enum { NUMBERS = 20000, PURPOSES = RXN_FIT_PILOT + 1 };
    uint64_t *seeds = malloc(NUMBERS * PURPOSES * sizeof *seeds);
    size_t count = 0;
    for (uint64_t k = 0; k < NUMBERS; k++)
        for (int p = 0; p < PURPOSES; p++)
            seeds[count++] = rxn__fit_seed(7, (RxnFitPurpose)p, k);
    qsort(seeds, count, sizeof *seeds, compare);
    for (size_t k = 1; k < count; k++)
        assert_true(seeds[k] != seeds[k - 1]);
    free(seeds);
}

static void
test_batches_are_epochs(void **state)
{
    (void)state;
    enum { ROWS = 103, BATCH = 10, STEPS = 103 }; /* ten epochs */
    uint64_t scratch[ROWS], rows[BATCH], again[BATCH], epoch = UINT64_MAX, seen[10][ROWS] = {{0}};
    bool differs = false;
    for (uint64_t step = 0; step < STEPS; step++) {
        rxn__fit_batch(3, ROWS, step, BATCH, scratch, &epoch, rows);
        for (uint64_t k = 0; k < BATCH; k++) {
            assert_true(rows[k] < ROWS);
            seen[(step * BATCH + k) / ROWS][rows[k]]++;
            differs = differs || (step >= 11 && rows[k] != (step * BATCH + k) % ROWS);
        }
    }
    for (int e = 0; e < 10; e++)
        for (int r = 0; r < ROWS; r++)
            assert_int_equal(seen[e][r], 1);
    assert_true(differs);
    /* A step's rows are the same for who comes from nowhere. */
    uint64_t other = UINT64_MAX, fresh[ROWS];
    rxn__fit_batch(3, ROWS, 57, BATCH, fresh, &other, again);
    rxn__fit_batch(3, ROWS, 57, BATCH, scratch, &epoch, rows);
    assert_memory_equal(rows, again, sizeof rows);
}

/* ---- the loop ---------------------------------------------------------------------------------- */

/* Σ c_i (log p_i - a_i)² with noise in loss and gradient. */
typedef struct Bowl {
    size_t count;
    double noise;
    uint64_t bad_from;   /* this evaluation on, the loss is NaN */
    uint64_t stop_after; /* evaluations until `cancel` is set; 0: never */
    volatile int cancel;
    uint64_t evaluations, refreshes, validations;
    double gradient[MOST], se[MOST], curvature[MOST * MOST], learned;
    double validation_rises; /* from which validation on */
} Bowl;

static const double targets[MOST] = {0.5, -1, 2, 0}, weights[MOST] = {1, 4, 0.5, 2};

static RxnFitAnswer
evaluate(void *context, const RxnFitQuery *query, RxnFitEvaluation *ret)
{
    Bowl *bowl = context;
    double noise = bowl->noise / sqrt((double)query->trajectories);
    *ret = (RxnFitEvaluation){.gradient = bowl->gradient,
                              .gradient_se = bowl->se,
                              .curvature = bowl->curvature,
                              .trajectories = query->trajectories,
                              .events = 10 * query->trajectories};
    memset(bowl->curvature, 0, sizeof bowl->curvature);
    for (size_t i = 0; i < bowl->count; i++) {
        double p = query->parameters[i], away = log(p) - targets[i];
        ret->loss += weights[i] * away * away + bowl->learned * 0;
        bowl->gradient[i] = (2 * weights[i] * away + noise * normal(query->seed, i + 1)) / p;
        bowl->se[i] = noise / p;
        bowl->curvature[i * bowl->count + i] = 2 * weights[i] / (p * p);
    }
    ret->loss += noise * normal(query->seed, 0);
    ret->loss_se = noise;
    if (++bowl->evaluations >= bowl->bad_from && bowl->bad_from)
        ret->loss = NAN;
    if (bowl->stop_after && bowl->evaluations >= bowl->stop_after)
        bowl->cancel = 1;
    return RXN_FIT_DONE;
}

static RxnFitAnswer
refresh(void *context, const RxnFitQuery *query)
{
    Bowl *bowl = context;
    bowl->refreshes++;
    bowl->learned = query->parameters[0];
    return RXN_FIT_DONE;
}

static RxnFitAnswer
validate(void *context, const RxnFitQuery *query, double *ret_loss)
{
    Bowl *bowl = context;
    (void)query;
    bowl->validations++;
    *ret_loss = fabs((double)bowl->validations - bowl->validation_rises);
    return RXN_FIT_DONE;
}

static const double bowl_start[MOST] = {10, 5, 0.1, 3};

static RxnFitProblem
problem_of(Bowl *bowl, RxnScale *scales)
{
    for (size_t i = 0; i < bowl->count; i++)
        scales[i] = rxn__scale_for(0, INFINITY);
    return (RxnFitProblem){.context = bowl,
                           .count = bowl->count,
                           .start = bowl_start,
                           .scales = scales,
                           .evaluate = evaluate};
}

static RxnFitLoopOptions
options_of(Bowl *bowl, uint64_t steps)
{
    RxnFitLoopOptions options = {.steps = steps,
                                 .seed = 11,
                                 .trajectories = 100,
                                 .most_trajectories = 100,
                                 .refresh = 7,
                                 .refresh_distance = INFINITY,
                                 .validate = 5,
                                 .window = 5,
                                 .starts = 1,
                                 .checkpoint_seconds = INFINITY,
                                 .cancel = &bowl->cancel};
    rxn__optimizer_defaults(RXN_ADAM, &options.optimizer);
    options.optimizer.rate = 0.1;
    rxn__gauss_newton_defaults(&options.gauss_newton);
    return options;
}

static void
test_loop_finds_the_minimum(void **state)
{
    (void)state;
    for (int newton = 0; newton < 2; newton++) {
        Bowl bowl = {.count = 3};
        RxnScale scales[MOST];
        RxnFitProblem problem = problem_of(&bowl, scales);
        RxnFitLoopOptions options = options_of(&bowl, 600);
        options.newton = newton;
        RxnFitLoop *fit = rxn__fit_new(&problem, &options);
        RxnFitEnding ending = rxn__fit_run(fit);
        assert_int_equal(ending, newton ? RXN_FIT_CONVERGED : RXN_FIT_STEPS);
        RxnFitState found;
        rxn__fit_state(fit, &found);
        for (size_t i = 0; i < 3; i++)
            assert_true(fabs(log(found.parameters[i]) - targets[i]) < 1e-6);
        assert_int_equal(found.total_events, 1000 * bowl.evaluations);
        assert_int_equal(found.record_count, bowl.evaluations);
        rxn__fit_free(fit);
    }
}

/* All that a fit leaves but its seconds. */
typedef struct Outcome {
    double parameters[MOST];
    uint64_t ending, averaged, records, step;
    RxnFitRecord last;
} Outcome;

static Outcome
outcome_of(RxnFitLoop *fit)
{
    RxnFitState found;
    rxn__fit_state(fit, &found);
    Outcome outcome = {.ending = found.ending,
                       .averaged = found.averaged,
                       .records = found.record_count,
                       .step = found.step,
                       .last = found.records[found.record_count - 1]};
    memcpy(outcome.parameters, found.parameters, 3 * sizeof(double));
    outcome.last.seconds = 0;
    return outcome;
}

/* Stops a fit after so many evaluations, again and again, each time going on from what is on disk. */
static Outcome
run_in_pieces(RxnFitLoopOptions options, Bowl bowl, uint64_t piece, const char *path)
{
    RxnScale scales[MOST];
    options.checkpoint = path;
    options.key = "bowl";
    for (int session = 0; session < 1000; session++) {
        Bowl own = bowl;
        own.stop_after = piece;
        options.cancel = &own.cancel;
        RxnFitProblem problem = problem_of(&own, scales);
        problem.refresh = refresh;
        RxnFitLoop *fit = rxn__fit_new(&problem, &options);
        char error[200];
        if (session > 0) {
            RxnCheckpoint *checkpoint = rxn__checkpoint_read(path, error, sizeof error);
            assert_non_null(checkpoint);
            assert_true(rxn__fit_restore(fit, checkpoint, error, sizeof error));
            rxn__checkpoint_free(checkpoint);
        }
        RxnFitEnding ending = rxn__fit_run(fit);
        Outcome outcome = outcome_of(fit);
        rxn__fit_free(fit);
        if (ending != RXN_FIT_INTERRUPTED)
            return outcome;
    }
    fail();
    return (Outcome){0};
}

static void
test_resumed_is_the_same(void **state)
{
    (void)state;
    char path[] = "/tmp/rxn-fit-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    for (int variant = 0; variant < 5; variant++) {
        Bowl bowl = {.count = 3, .noise = 100};
        RxnScale scales[MOST];
        RxnFitLoopOptions options = options_of(&bowl, 60);
        options.average = 20;
        options.most_trajectories = 1600;
        options.newton = variant == 1;
        options.gauss_newton.noisy = true;
        options.starts = variant == 2 ? 3 : 1;
        options.optimizer.schedule = variant == 3 ? RXN_SCHEDULE_COSINE : RXN_SCHEDULE_CONSTANT;
        options.refresh_distance = variant == 4 ? 0.2 : INFINITY;
        RxnFitProblem problem = problem_of(&bowl, scales);
        problem.refresh = refresh;
        RxnFitLoop *fit = rxn__fit_new(&problem, &options);
        assert_int_equal(rxn__fit_run(fit), RXN_FIT_STEPS);
        Outcome whole = outcome_of(fit);
        assert_int_equal(whole.step, 60);
        assert_true(whole.last.trajectories > 100); /* they have grown */
        rxn__fit_free(fit);
        for (uint64_t piece = 1; piece < 60; piece = piece * 2 + 1) {
            assert_int_equal(truncate(path, 0), 0);
            Bowl fresh = {.count = 3, .noise = 100};
            Outcome pieces = run_in_pieces(options, fresh, piece, path);
            assert_memory_equal(&pieces, &whole, sizeof whole);
        }
    }
    unlink(path);
}

static void
test_not_finite_keeps_the_last_good_point(void **state)
{
    (void)state;
    Bowl bowl = {.count = 2, .bad_from = 8};
    RxnScale scales[MOST];
    RxnFitProblem problem = problem_of(&bowl, scales);
    RxnFitLoopOptions options = options_of(&bowl, 50);
    RxnFitLoop *fit = rxn__fit_new(&problem, &options);
    assert_int_equal(rxn__fit_run(fit), RXN_FIT_NOT_FINITE);
    RxnFitState found;
    rxn__fit_state(fit, &found);
    assert_int_equal(found.step, 7);
    assert_non_null(found.failed_at);
    assert_string_equal(found.why, "the loss is not a finite number");
    /* The loss at the result is that of the last record. */
    RxnFitEvaluation evaluation;
    bowl.bad_from = 0;
    RxnFitQuery query = {.parameters = found.parameters, .trajectories = 1};
    evaluate(&bowl, &query, &evaluation);
    assert_true(fabs(evaluation.loss - found.records[6].loss) < 1e-12);
    rxn__fit_free(fit);
}

static void
test_patience_takes_the_best_validation(void **state)
{
    (void)state;
    Bowl bowl = {.count = 2, .validation_rises = 4};
    RxnScale scales[MOST];
    RxnFitProblem problem = problem_of(&bowl, scales);
    problem.validate = validate;
    RxnFitLoopOptions options = options_of(&bowl, 500);
    options.patience = 3;
    RxnFitLoop *fit = rxn__fit_new(&problem, &options);
    assert_int_equal(rxn__fit_run(fit), RXN_FIT_PATIENCE);
    RxnFitState found;
    rxn__fit_state(fit, &found);
    assert_int_equal(bowl.validations, 7);
    assert_int_equal(found.step, 35);
    assert_true(found.by_validation);
    /* After 20 steps the next point is the validated one: that of evaluation 21. */
    RxnFitEvaluation evaluation;
    RxnFitQuery query = {.parameters = found.parameters, .trajectories = 1};
    evaluate(&bowl, &query, &evaluation);
    assert_true(fabs(evaluation.loss - found.records[20].loss) < 1e-12);
    rxn__fit_free(fit);
}

static void
test_tolerance(void **state)
{
    (void)state;
    Bowl bowl = {.count = 2};
    RxnScale scales[MOST];
    RxnFitProblem problem = problem_of(&bowl, scales);
    RxnFitLoopOptions options = options_of(&bowl, 5000);
    options.optimizer.kind = RXN_SGD;
    options.optimizer.rate = 0.01;
    options.tolerance = 0.05;
    RxnFitLoop *fit = rxn__fit_new(&problem, &options);
    assert_int_equal(rxn__fit_run(fit), RXN_FIT_TOLERANCE);
    rxn__fit_free(fit);
}

/* A loss with two minima; the one near the caller's start is the worse. */
static RxnFitAnswer
two_wells(void *context, const RxnFitQuery *query, RxnFitEvaluation *ret)
{
    double *gradient = context, x = query->parameters[0];
    *gradient = 4 * x * (x * x - 1) + 0.3;
    *ret = (RxnFitEvaluation){
        .loss = pow(x * x - 1, 2) + 0.3 * x, .gradient = gradient, .trajectories = 1};
    return RXN_FIT_DONE;
}

static void
test_multi_start(void **state)
{
    (void)state;
    double gradient, start = 1.2;
    RxnScale scale = rxn__scale_for(-3, 3);
    RxnFitProblem problem = {
        .context = &gradient, .count = 1, .start = &start, .scales = &scale, .evaluate = two_wells};
    Bowl none = {0};
    for (uint64_t starts = 1; starts <= 8; starts += 7) {
        RxnFitLoopOptions options = options_of(&none, 300);
        options.starts = starts;
        RxnFitLoop *fit = rxn__fit_new(&problem, &options);
        assert_int_equal(rxn__fit_run(fit), RXN_FIT_STEPS);
        RxnFitState found;
        rxn__fit_state(fit, &found);
        assert_true(starts == 1 ? found.parameters[0] > 0.5 : found.parameters[0] < -0.9);
        assert_int_equal(found.record_count, starts == 1 ? 300 : 8 * 30 + 300);
        rxn__fit_free(fit);
    }
}

static void
test_common_noise(void **state)
{
    (void)state;
    /* The same random numbers at every step: the loss falls from step to step without any noise in the differences. */
    Bowl bowl = {.count = 1, .noise = 1000};
    RxnScale scales[MOST];
    RxnFitProblem problem = problem_of(&bowl, scales);
    RxnFitLoopOptions options = options_of(&bowl, 2);
    options.common_noise = true;
    options.optimizer.rate = 1e-9; /* as good as none */
    RxnFitLoop *fit = rxn__fit_new(&problem, &options);
    rxn__fit_run(fit);
    RxnFitState found;
    rxn__fit_state(fit, &found);
    assert_true(fabs(found.records[0].loss - found.records[1].loss) < 1e-6);
    rxn__fit_free(fit);
    options.common_noise = false;
    fit = rxn__fit_new(&problem, &options);
    rxn__fit_run(fit);
    rxn__fit_state(fit, &found);
    assert_true(fabs(found.records[0].loss - found.records[1].loss) > 1e-3);
    rxn__fit_free(fit);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cholesky),
        cmocka_unit_test(test_newton_solves_least_squares),
        cmocka_unit_test(test_newton_holds),
        cmocka_unit_test(test_newton_averages_noise),
        cmocka_unit_test(test_newton_outlives_outliers),
        cmocka_unit_test(test_seeds_differ),
        cmocka_unit_test(test_batches_are_epochs),
        cmocka_unit_test(test_loop_finds_the_minimum),
        cmocka_unit_test(test_resumed_is_the_same),
        cmocka_unit_test(test_not_finite_keeps_the_last_good_point),
        cmocka_unit_test(test_patience_takes_the_best_validation),
        cmocka_unit_test(test_tolerance),
        cmocka_unit_test(test_multi_start),
        cmocka_unit_test(test_common_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
