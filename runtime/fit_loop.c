/* fit_loop.c: see fit_loop.h. A step is one evaluation, whatever the optimizer makes of it.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/fit_private.h"
#include "runtime/report.h"

enum {
    WINDOW = 10,       /* steps over which noise is compared with the gradient */
    FEWEST_STEPS = 10, /* of a short fit of multi-start, of which there are a tenth of all */
};

/* ---- making ------------------------------------------------------------------------------------ */

static RxnOptimizerOptions
optimizer_options(const RxnFitLoopOptions *options, uint64_t steps)
{
    RxnOptimizerOptions optimizer = options->optimizer;
    optimizer.steps = steps;
    if (optimizer.warmup >= steps) /* a short fit of multi-start */
        optimizer.warmup = steps / 2;
    return optimizer;
}

const char *
rxn__fit_refuses(const RxnFitProblem *problem, const RxnFitLoopOptions *options)
{
    if (problem->count == 0)
        return "there is nothing to fit";
    for (size_t i = 0; i < problem->count; i++) {
        const char *why = rxn__scale_refuses(&problem->scales[i], problem->start[i]);
        if (why)
            return why;
    }
    if (options->starts == 0)
        return "there has to be a start";
    if (options->trajectories == 0)
        return "there have to be trajectories";
    if (options->most_trajectories < options->trajectories)
        return "the most trajectories are fewer than those to begin with";
    if (options->newton)
        return rxn__gauss_newton_refuses(&options->gauss_newton, problem->count);
    if (options->steps == 0)
        return NULL;
    RxnOptimizerOptions optimizer = options->optimizer;
    optimizer.steps = options->steps;
    return rxn__optimizer_refuses(&optimizer, problem->count, NULL, problem->scales);
}

uint64_t
rxn__fit_phase_steps(const RxnFitLoop *fit)
{
    uint64_t steps = fit->options.steps;
    if (fit->counts.main)
        return steps;
    return steps / 10 > FEWEST_STEPS ? steps / 10 : FEWEST_STEPS;
}

bool
rxn__fit_begin_phase(RxnFitLoop *fit)
{
    const RxnFitProblem *problem = &fit->problem;
    rxn__optimizer_free(fit->optimizer);
    rxn__gauss_newton_free(fit->newton);
    fit->optimizer = NULL;
    fit->newton = NULL;
    fit->counts.step = fit->counts.window = fit->counts.averaged = 0;
    fit->counts.has_best = fit->counts.since_best = fit->counts.has_anchor = 0;
    fit->counts.trajectories = fit->options.trajectories;
    fit->sums.window_norm2 = fit->sums.window_noise2 = 0;
    memcpy(fit->good, fit->origin, fit->n * sizeof(double));
    uint64_t steps = rxn__fit_phase_steps(fit);
    if (fit->options.newton) {
        fit->newton =
            rxn__gauss_newton_new(&fit->options.gauss_newton, fit->n, fit->origin, problem->scales);
        return fit->newton != NULL;
    }
    RxnOptimizerOptions options = optimizer_options(&fit->options, steps ? steps : 1);
    fit->optimizer = rxn__optimizer_new(&options, fit->n, fit->origin, problem->scales);
    return fit->optimizer != NULL;
}

RxnFitLoop *
rxn__fit_new(const RxnFitProblem *problem, const RxnFitLoopOptions *options)
{
    if (rxn__fit_refuses(problem, options))
        return NULL;
    RxnFitLoop *fit = calloc(1, sizeof *fit);
    if (!fit)
        return NULL;
    size_t n = problem->count, starts = options->starts > 1 ? options->starts : 0;
    *fit = (RxnFitLoop){.problem = *problem, .options = *options, .n = n, .is_fresh = true};
    double **vectors[] = {&fit->own_start, &fit->origin,   &fit->average,    &fit->best,
                          &fit->good,      &fit->anchor,   &fit->parameters, &fit->coordinates,
                          &fit->slopes,    &fit->gradient, &fit->gradient_se};
    size_t count = sizeof vectors / sizeof *vectors, square = options->newton ? n * n : 0;
    fit->storage = calloc(count * n + square + starts * (n + 1) + 1, sizeof(double));
    double *at = fit->storage;
    if (!at) {
        rxn__fit_free(fit);
        return NULL;
    }
    for (size_t k = 0; k < count; k++, at += n)
        *vectors[k] = at;
    fit->curvature = at;
    fit->start_loss = at + square;
    fit->start_point = fit->start_loss + starts;
    fit->counts.main = starts == 0;
    rxn__fit_draw_start(fit, 0, fit->own_start);
    memcpy(fit->origin, fit->own_start, n * sizeof(double));
    if (!rxn__fit_begin_phase(fit)) {
        rxn__fit_free(fit);
        return NULL;
    }
    return fit;
}

void
rxn__fit_free(RxnFitLoop *fit)
{
    if (!fit)
        return;
    rxn__optimizer_free(fit->optimizer);
    rxn__gauss_newton_free(fit->newton);
    free(fit->records);
    free(fit->storage);
    free(fit);
}

double
rxn__fit_elapsed(const RxnFitLoop *fit)
{
    return fit->sums.seconds + (fit->clock > 0 ? rxn__seconds() - fit->clock : 0);
}

/* ---- one evaluation ---------------------------------------------------------------------------- */

/* Every fit of multi-start has random numbers of its own. */
static uint64_t
seed_of_step(const RxnFitLoop *fit, RxnFitPurpose purpose, uint64_t step)
{
    uint64_t phase = fit->counts.main ? 0 : fit->counts.start + 1;
    uint64_t number = fit->options.common_noise ? 0 : phase << 40 | step;
    return rxn__fit_seed(fit->options.seed, purpose, number);
}

static void
to_parameters(const RxnFitLoop *fit, const double *coordinates, double *ret_parameters)
{
    /* What has not moved is what it was, to the last bit. */
    for (size_t i = 0; i < fit->n; i++)
        ret_parameters[i] = coordinates[i] == fit->own_start[i]
                                ? fit->problem.start[i]
                                : rxn__scale_parameter(&fit->problem.scales[i], coordinates[i]);
}

static RxnFitAnswer
refresh(RxnFitLoop *fit, const double *parameters, uint64_t step)
{
    RxnFitQuery query = {.parameters = parameters,
                         .seed = seed_of_step(fit, RXN_FIT_PILOT, step),
                         .step = step,
                         .trial = !fit->counts.main,
                         .trajectories = fit->options.most_trajectories};
    return fit->problem.refresh(fit->problem.context, &query);
}

/* How far the coordinates are from where something was learned, at most. */
static double
distance_from_anchor(const RxnFitLoop *fit)
{
    double most = 0;
    for (size_t i = 0; i < fit->n; i++) {
        double there = rxn__scale_coordinate(&fit->problem.scales[i], fit->anchor[i]);
        most = fmax(most, fabs(fit->coordinates[i] - there));
    }
    return most;
}

/* What was learned last has to be learned again by a process that did not do so. */
static RxnFitAnswer
refresh_where_due(RxnFitLoop *fit)
{
    FitCounts *counts = &fit->counts;
    if (!fit->problem.refresh)
        return RXN_FIT_DONE;
    bool due = !counts->has_anchor || counts->step % fit->options.refresh == 0 ||
               distance_from_anchor(fit) > fit->options.refresh_distance;
    if (!due && !fit->is_fresh)
        return RXN_FIT_DONE;
    if (due) {
        memcpy(fit->anchor, fit->parameters, fit->n * sizeof(double));
        counts->anchor_step = counts->step;
        counts->has_anchor = 1;
    }
    RxnFitAnswer answer = refresh(fit, fit->anchor, counts->anchor_step);
    if (answer == RXN_FIT_DONE)
        fit->is_fresh = false;
    return answer;
}

/* By coordinates: gradient, its errors where they are known, and the matrix. Returns the sum of squared errors. */
static double
carry_over(RxnFitLoop *fit, const RxnFitEvaluation *evaluation)
{
    size_t n = fit->n;
    double squares = 0, noise2 = 0, plain = 0;
    for (size_t i = 0; i < n; i++) {
        double slope = rxn__scale_slope(&fit->problem.scales[i], fit->coordinates[i]);
        fit->slopes[i] = slope;
        fit->gradient[i] = slope * evaluation->gradient[i];
        plain += evaluation->gradient[i] * evaluation->gradient[i];
        squares += fit->gradient[i] * fit->gradient[i];
        if (evaluation->gradient_se) {
            fit->gradient_se[i] = slope * evaluation->gradient_se[i];
            noise2 += fit->gradient_se[i] * fit->gradient_se[i];
        }
    }
    for (size_t i = 0; fit->newton && evaluation->curvature && i < n; i++)
        for (size_t j = 0; j < n; j++)
            fit->curvature[i * n + j] =
                fit->slopes[i] * evaluation->curvature[i * n + j] * fit->slopes[j];
    /* Errors of single elements being unknown, they are taken to be as the gradient is. */
    return evaluation->gradient_se ? noise2
           : plain > 0             ? evaluation->noise2 * squares / plain
                                   : evaluation->noise2;
}

static bool
tell(RxnFitLoop *fit, const RxnFitEvaluation *evaluation)
{
    if (!fit->newton)
        return rxn__optimizer_tell(fit->optimizer, evaluation->loss, fit->gradient);
    RxnGaussNewtonFacts facts = {
        .loss = evaluation->loss,
        .loss_se = isnan(evaluation->loss_se) ? 0 : evaluation->loss_se,
        .weight = evaluation->trajectories ? (double)evaluation->trajectories : 1,
        .gradient = fit->gradient,
        .gradient_se = evaluation->gradient_se ? fit->gradient_se : NULL,
        .curvature = fit->curvature,
    };
    return rxn__gauss_newton_tell(fit->newton, &facts);
}

static const double *
ask(const RxnFitLoop *fit)
{
    return fit->newton ? rxn__gauss_newton_ask(fit->newton) : rxn__optimizer_ask(fit->optimizer);
}

static const double *
present_point(const RxnFitLoop *fit)
{
    uint64_t ignored;
    return fit->newton ? rxn__gauss_newton_point(fit->newton, &ignored)
                       : rxn__optimizer_point(fit->optimizer);
}

static RxnOptimizerState
optimizer_state(const RxnFitLoop *fit)
{
    return fit->newton ? rxn__gauss_newton_state(fit->newton)
                       : rxn__optimizer_state(fit->optimizer);
}

/* ---- what follows on an evaluation ------------------------------------------------------------- */

static void
grow(RxnFitLoop *fit, double norm2, double noise2)
{
    FitCounts *counts = &fit->counts;
    fit->sums.window_norm2 += norm2;
    fit->sums.window_noise2 += noise2;
    if (++counts->window < WINDOW)
        return;
    double signal = fit->sums.window_norm2 - fit->sums.window_noise2;
    if (fit->sums.window_noise2 > signal && counts->trajectories < fit->options.most_trajectories) {
        bool room = counts->trajectories <= fit->options.most_trajectories / 2;
        counts->trajectories = room ? 2 * counts->trajectories : fit->options.most_trajectories;
    }
    counts->window = 0;
    fit->sums.window_norm2 = fit->sums.window_noise2 = 0;
}

static void
note_best(RxnFitLoop *fit, double loss, const double *point)
{
    FitCounts *counts = &fit->counts;
    if (!counts->has_best || loss < fit->sums.best) {
        counts->has_best = 1;
        counts->since_best = 0;
        fit->sums.best = loss;
        memcpy(fit->best, point, fit->n * sizeof(double));
    } else {
        counts->since_best++;
    }
}

static RxnFitAnswer
validate_where_due(RxnFitLoop *fit, RxnFitRecord *record)
{
    uint64_t done = fit->counts.step + 1;
    bool due = done % fit->options.validate == 0 || done == rxn__fit_phase_steps(fit);
    record->validation = NAN;
    if (!fit->problem.validate || !fit->counts.main || !due)
        return RXN_FIT_DONE;
    to_parameters(fit, present_point(fit), fit->parameters);
    RxnFitQuery query = {.parameters = fit->parameters,
                         .seed = rxn__fit_seed(fit->options.seed, RXN_FIT_VALIDATION, 0),
                         .step = fit->counts.step,
                         .trajectories = fit->counts.trajectories};
    return fit->problem.validate(fit->problem.context, &query, &record->validation);
}

static void
add_to_average(RxnFitLoop *fit)
{
    uint64_t steps = rxn__fit_phase_steps(fit), wanted = fit->options.average;
    if (!fit->counts.main || wanted == 0 || fit->newton || fit->counts.step + wanted < steps)
        return;
    double share = 1 / (double)++fit->counts.averaged;
    const double *point = present_point(fit);
    for (size_t i = 0; i < fit->n; i++)
        fit->average[i] += (point[i] - fit->average[i]) * share;
}

/* Whether the mean loss of the last `window` steps of the main fit is hardly below that of the `window` before. */
static bool
is_settled(const RxnFitLoop *fit)
{
    uint64_t window = fit->options.window;
    if (!(fit->options.tolerance > 0) || !fit->counts.main || fit->counts.step + 1 < 2 * window)
        return false;
    double before = 0, after = 0;
    const RxnFitRecord *end = fit->records + fit->record_count;
    for (uint64_t k = 1; k <= window; k++) {
        after += end[-(ptrdiff_t)k].loss;
        before += end[-(ptrdiff_t)(window + k)].loss;
    }
    return before - after < fit->options.tolerance * fabs(before);
}

static RxnFitEnding
ending_of(RxnFitLoop *fit, const RxnFitRecord *record)
{
    bool validates = fit->problem.validate != NULL;
    if (fit->counts.main && validates && !isnan(record->validation))
        note_best(fit, record->validation, present_point(fit));
    else if (fit->counts.main && !validates && fit->options.patience)
        note_best(fit, record->loss, fit->coordinates);
    if (is_settled(fit))
        return RXN_FIT_TOLERANCE;
    if (fit->counts.main && fit->options.patience &&
        fit->counts.since_best >= fit->options.patience)
        return RXN_FIT_PATIENCE;
    return RXN_FIT_RUNNING;
}

/* ---- the loop ---------------------------------------------------------------------------------- */

static RxnFitEnding
ending_of_answer(RxnFitLoop *fit, RxnFitAnswer answer)
{
    fit->failed = answer == RXN_FIT_FAILED;
    return answer == RXN_FIT_CANCELLED  ? RXN_FIT_INTERRUPTED
           : answer == RXN_FIT_FAILED   ? RXN_FIT_FAULT
           : answer == RXN_FIT_UNUSABLE ? RXN_FIT_NOT_FINITE
                                        : RXN_FIT_RUNNING;
}

static RxnFitEnding
one_step(RxnFitLoop *fit)
{
    FitCounts *counts = &fit->counts;
    size_t n = fit->n;
    memcpy(fit->coordinates, ask(fit), n * sizeof(double));
    to_parameters(fit, fit->coordinates, fit->parameters);
    if (!rxn__fit_make_records(fit, fit->record_count + 1)) {
        snprintf(fit->why, sizeof fit->why, "out of memory");
        return RXN_FIT_NOT_SAVED;
    }
    RxnFitQuery query = {.parameters = fit->parameters,
                         .seed = seed_of_step(fit, RXN_FIT_STEP, counts->step),
                         .step = counts->step,
                         .trajectories = counts->trajectories,
                         .curvature = fit->newton != NULL,
                         .trial = !counts->main};
    RxnFitEvaluation evaluation = {0};
    RxnFitAnswer answer = refresh_where_due(fit);
    if (answer == RXN_FIT_DONE)
        answer = fit->problem.evaluate(fit->problem.context, &query, &evaluation);
    if (answer != RXN_FIT_DONE)
        return ending_of_answer(fit, answer);
    double noise2 = carry_over(fit, &evaluation);
    if (!tell(fit, &evaluation)) {
        fit->failed = true;
        snprintf(fit->why, sizeof fit->why, "%s",
                 isfinite(evaluation.loss) ? "a derivative of the loss is not a finite number"
                                           : "the loss is not a finite number");
        return RXN_FIT_NOT_FINITE;
    }
    RxnOptimizerState state = optimizer_state(fit);
    RxnFitRecord record = {
        .start = (double)counts->start,
        .main = (double)counts->main,
        .step = (double)counts->step,
        .loss = evaluation.loss,
        .loss_se = evaluation.loss_se,
        .norm = state.gradient_norm,
        .noise = sqrt(noise2),
        .rate = state.rate,
        .trajectories = (double)counts->trajectories,
        .validation = NAN,
    };
    fit->sums.trajectories += (double)evaluation.trajectories;
    fit->sums.events += (double)evaluation.events;
    record.events = fit->sums.events;
    if (isfinite(evaluation.loss) && isfinite(state.gradient_norm)) {
        memcpy(fit->good, fit->coordinates, n * sizeof(double));
        grow(fit, state.gradient_norm * state.gradient_norm, noise2);
    }
    add_to_average(fit);
    answer = validate_where_due(fit, &record);
    if (answer == RXN_FIT_FAILED) /* one that was cancelled is only without its figure */
        return ending_of_answer(fit, answer);
    record.seconds = rxn__fit_elapsed(fit);
    fit->records[fit->record_count++] = record;
    RxnFitEnding ending = ending_of(fit, &record);
    counts->step++;
    if (fit->options.report)
        fit->options.report(fit->options.report_context, &record);
    return ending;
}

/* The mean loss over the last fifth of a short fit; infinite for one that did not come far. */
static double
score_of_phase(const RxnFitLoop *fit)
{
    uint64_t done = fit->counts.step, last = done / 5 ? done / 5 : 1;
    double sum = 0;
    if (done == 0)
        return INFINITY;
    for (uint64_t k = 1; k <= last; k++)
        sum += fit->records[fit->record_count - k].loss;
    return isfinite(sum) ? sum / (double)last : INFINITY;
}

/* At the end of a short fit: the next one, or the choice. */
static RxnFitEnding
next_phase(RxnFitLoop *fit, RxnFitEnding ending)
{
    FitCounts *counts = &fit->counts;
    size_t n = fit->n;
    fit->start_loss[counts->start] = ending == RXN_FIT_NOT_FINITE ? INFINITY : score_of_phase(fit);
    memcpy(fit->start_point + counts->start * n, present_point(fit), n * sizeof(double));
    fit->failed = false;
    fit->why[0] = '\0';
    if (++counts->start < fit->options.starts) {
        rxn__fit_draw_start(fit, counts->start, fit->origin);
    } else {
        counts->main = 1;
        counts->start = 0;
        for (uint64_t s = 1; s < fit->options.starts; s++)
            if (fit->start_loss[s] < fit->start_loss[counts->start])
                counts->start = s;
        if (!isfinite(fit->start_loss[counts->start])) {
            snprintf(fit->why, sizeof fit->why, "none of the starts has a finite loss");
            return RXN_FIT_NOT_FINITE;
        }
        memcpy(fit->origin, fit->start_point + counts->start * n, n * sizeof(double));
    }
    if (rxn__fit_begin_phase(fit))
        return RXN_FIT_RUNNING;
    snprintf(fit->why, sizeof fit->why, "out of memory");
    return RXN_FIT_NOT_SAVED;
}

static RxnFitEnding
advance(RxnFitLoop *fit)
{
    if (fit->options.cancel && *fit->options.cancel)
        return RXN_FIT_INTERRUPTED;
    RxnFitEnding ending = RXN_FIT_RUNNING;
    if (fit->counts.step >= rxn__fit_phase_steps(fit)) {
        ending = RXN_FIT_STEPS;
    } else if (!ask(fit)) {
        ending = RXN_FIT_CONVERGED;
        snprintf(fit->why, sizeof fit->why, "%s", optimizer_state(fit).why);
    } else {
        ending = one_step(fit);
    }
    bool ends_phase =
        ending == RXN_FIT_STEPS || ending == RXN_FIT_CONVERGED || ending == RXN_FIT_NOT_FINITE;
    return !fit->counts.main && ends_phase ? next_phase(fit, ending) : ending;
}

bool
rxn__fit_is_over(const RxnFitLoop *fit)
{
    RxnFitEnding ending = (RxnFitEnding)fit->counts.ending;
    return ending == RXN_FIT_STEPS || ending == RXN_FIT_CONVERGED || ending == RXN_FIT_TOLERANCE ||
           ending == RXN_FIT_PATIENCE;
}

RxnFitEnding
rxn__fit_run(RxnFitLoop *fit)
{
    RxnFitEnding before = (RxnFitEnding)fit->counts.ending;
    if (before == RXN_FIT_TOLERANCE || before == RXN_FIT_PATIENCE)
        return before;
    RxnFitEnding ending = RXN_FIT_RUNNING;
    fit->counts.ending = ending;
    fit->clock = fit->saved_at = rxn__seconds();
    while (ending == RXN_FIT_RUNNING) {
        ending = advance(fit);
        if (ending == RXN_FIT_RUNNING && !rxn__fit_save(fit, false))
            ending = RXN_FIT_NOT_SAVED;
    }
    fit->sums.seconds = rxn__fit_elapsed(fit);
    fit->clock = 0;
    fit->counts.ending = ending;
    if (ending != RXN_FIT_NOT_SAVED && !rxn__fit_save(fit, true))
        fit->counts.ending = ending = RXN_FIT_NOT_SAVED;
    return ending;
}

/* ---- the result -------------------------------------------------------------------------------- */

static const double *
result_of(const RxnFitLoop *fit, RxnFitState *state)
{
    RxnFitEnding ending = (RxnFitEnding)fit->counts.ending;
    if (fit->newton && ending != RXN_FIT_NOT_FINITE && ending != RXN_FIT_FAULT)
        return rxn__gauss_newton_point(fit->newton, &state->averaged);
    if (fit->counts.has_best && fit->problem.validate && fit->options.patience) {
        state->by_validation = true;
        return fit->best;
    }
    if (fit->counts.averaged) {
        state->averaged = fit->counts.averaged;
        return fit->average;
    }
    return fit->failed ? fit->good : present_point(fit);
}

void
rxn__fit_state(RxnFitLoop *fit, RxnFitState *ret_state)
{
    *ret_state = (RxnFitState){
        .ending = (RxnFitEnding)fit->counts.ending,
        .step = fit->counts.main ? fit->counts.step : 0,
        .steps = fit->options.steps,
        .trajectories = fit->counts.trajectories,
        .best_start = fit->counts.start,
        .main = fit->counts.main != 0,
        .record_count = fit->record_count,
        .records = fit->records,
        .total_trajectories = fit->sums.trajectories,
        .total_events = fit->sums.events,
        .seconds = rxn__fit_elapsed(fit),
    };
    snprintf(ret_state->why, sizeof ret_state->why, "%s", fit->why);
    if (fit->failed) {
        memcpy(fit->slopes, fit->parameters, fit->n * sizeof(double));
        ret_state->failed_at = fit->slopes;
    }
    memcpy(fit->coordinates, result_of(fit, ret_state), fit->n * sizeof(double));
    to_parameters(fit, fit->coordinates, fit->parameters);
    ret_state->coordinates = fit->coordinates;
    ret_state->parameters = fit->parameters;
}
