/* fit_errors.c: what is to be said of the point that a fit has come to: loss, the model beside the data, standard errors,
 * and which parameters the data do not determine.
 *
 * Fits of samples are for fit_sandwich.c. Of others, the experiments are evaluated R times there (8 to 16), with random
 * numbers that no step has seen. With ḡ the mean and C the covariance of the R gradients, H the mean of the
 * Gauss–Newton matrices, and m the evaluations over which the fit averaged its point (1: none), the delta method gives
 *
 *   simulation   sqrt(diag(H⁻¹ C H⁻¹) / m)     the spread of the result over seeds
 *   data         sqrt(diag(H⁻¹ B H⁻¹)), B = Σ_k c_k² s_k² ∇m_k ∇m_kᵀ
 *                the spread over repetitions of the measurement, s_k being the standard error of datum k where the
 *                table has it (data of one distribution are not independent: with their covariances in the place of
 *                s_k²); for gaussian losses with the right sd it is sqrt(diag H⁻¹). The second derivatives of priors
 *                and penalties are added to B: what was known before counts as data
 *   away         -H⁻¹ ḡ ± sqrt(diag(H⁻¹ C H⁻¹) / R): how far the minimum is from here
 */
#include <math.h>
#include <string.h>

#include "compiler/engine/fit.h"
#include "runtime/dense.h"

enum { FEWEST_REPLICATES = 8, MOST_REPLICATES = 16 };

/* Looking at the result is to cost less than finding it. */
static u32
replicates_of(const FitRun *fit)
{
    u64 wanted = fit->state.step / 4;
    if (fit->noiseless)
        return 1;
    return wanted < FEWEST_REPLICATES ? FEWEST_REPLICATES
           : wanted > MOST_REPLICATES ? MOST_REPLICATES
                                      : (u32)wanted;
}

typedef struct Examination {
    FitRun *fit;
    Arena *arena;
    u32 n, replicates;
    double *gradients; /* [replicates][n] */
    double *matrix;    /* [n][n]: mean; NULL: not to be had */
    double *prior;     /* [n][n]: of penalties and priors alone; NULL: there are none */
    double *losses;    /* [replicates] */
    double **points;   /* [parts]: [points]: mean of the model's values */
    double **squares;  /* [parts]: [points]: of deviations */
    double **slopes;   /* [parts]: [points][wrt]: mean */
    double *noise;     /* [n]: largest error that an evaluation gave */
} Examination;

static RxnFitQuery
query_of(const FitRun *fit, RxnFitPurpose purpose, u64 number)
{
    return (RxnFitQuery){.parameters = fit->state.parameters,
                         .seed = rxn__fit_seed(fit->loop_options.seed, purpose, number),
                         .trajectories = fit->state.trajectories,
                         .curvature = true};
}

/* Running means and sums of squares (B. P. Welford, Technometrics 4 (1962) 419). */
static void
take_points(Examination *e, u32 number, u32 replicate)
{
    const FitPart *part = e->fit->parts[number];
    u32 own = part->grad.request.wrt_count;
    for (u32 k = 0; k < part->spec.points.count; k++) {
        double value = part->value[1 + k], before = value - e->points[number][k];
        e->points[number][k] += before / (replicate + 1);
        e->squares[number][k] += before * (value - e->points[number][k]);
        for (u32 p = 0; part->gradient && p < own; p++) {
            double *slope = &e->slopes[number][(size_t)k * own + p];
            *slope += (part->gradient[(size_t)(1 + k) * own + p] - *slope) / (replicate + 1);
        }
    }
}

static RxnStatus
run_replicates(Examination *e)
{
    FitRun *fit = e->fit;
    RxnFitQuery pilot = query_of(fit, RXN_FIT_PILOT, UINT64_MAX / 2);
    if (fit->problem.refresh && fit->problem.refresh(fit, &pilot) != RXN_FIT_DONE)
        return fit->status;
    for (u32 r = 0; r < e->replicates; r++) {
        RxnFitQuery query = query_of(fit, RXN_FIT_ERRORS, r);
        RxnFitEvaluation evaluation;
        if (rxn__fit_evaluate(fit, &query, &evaluation) != RXN_FIT_DONE)
            return fit->status;
        e->losses[r] = evaluation.loss;
        memcpy(e->gradients + (size_t)r * e->n, evaluation.gradient, e->n * sizeof(double));
        for (u32 i = 0; i < e->n; i++)
            e->noise[i] = fmax(e->noise[i], fit->gradient_se[i]);
        for (size_t k = 0; e->matrix && k < (size_t)e->n * e->n; k++)
            e->matrix[k] += evaluation.curvature[k] / e->replicates;
        for (u32 k = 0; k < fit->trained_count; k++)
            take_points(e, k, r);
    }
    return RXN_OK;
}

/* ---- standard errors --------------------------------------------------------------------------- */

/* What moves the loss in no evaluation, or next to nothing against the others (by coordinates, which are of one
 * size). */
static void
find_idle(Examination *e)
{
    const FitRun *fit = e->fit;
    double most = 0;
    for (u32 i = 0; i < e->n; i++) {
        double slope = rxn__scale_slope(&fit->scales[i], fit->state.coordinates[i]);
        if (e->matrix)
            most = fmax(most, slope * slope * e->matrix[(size_t)i * e->n + i]);
    }
    for (u32 i = 0; i < e->n; i++) {
        double slope = rxn__scale_slope(&fit->scales[i], fit->state.coordinates[i]);
        bool idle = e->noise[i] == 0 && !fit->penalty_first[i];
        for (u32 r = 0; r < e->replicates; r++)
            idle = idle && e->gradients[(size_t)r * e->n + i] == 0;
        if (e->matrix && most > 0 && !fit->penalty_first[i] &&
            slope * slope * e->matrix[(size_t)i * e->n + i] <= 1e-14 * most)
            idle = true;
        fit->errors.no_influence[i] = idle;
    }
}

/* The factor of H scaled to a diagonal of 1 (in e->matrix), and the scales; false where it is singular. */
static bool
factor(Examination *e, double *scales)
{
    u32 n = e->n;
    for (u32 i = 0; i < n; i++)
        scales[i] = e->fit->errors.no_influence[i] ? 0 : 1 / sqrt(e->matrix[(size_t)i * n + i]);
    for (u32 i = 0; i < n; i++)
        for (u32 j = 0; j < n; j++) {
            double *cell = &e->matrix[(size_t)i * n + j];
            *cell = scales[i] == 0 || scales[j] == 0 ? i == j : *cell * scales[i] * scales[j];
            if (!isfinite(*cell))
                return false;
        }
    return rxn__cholesky(n, e->matrix);
}

/* vector := H⁻¹ vector */
static void
solve(const Examination *e, const double *scales, double *vector)
{
    for (u32 i = 0; i < e->n; i++)
        vector[i] *= scales[i];
    rxn__cholesky_solve(e->n, e->matrix, vector);
    for (u32 i = 0; i < e->n; i++)
        vector[i] *= scales[i];
}

static void
find_simulation_errors(Examination *e, const double *scales, double *vector)
{
    FitErrors *errors = &e->fit->errors;
    u32 n = e->n, r_count = e->replicates;
    double averaged = e->fit->state.averaged > 1 ? (double)e->fit->state.averaged : 1;
    for (u32 i = 0; i < n; i++)
        errors->simulation[i] = 0;
    for (u32 r = 0; r_count > 1 && r < r_count; r++) {
        for (u32 i = 0; i < n; i++)
            vector[i] = e->gradients[(size_t)r * n + i] - errors->gradient[i];
        solve(e, scales, vector);
        for (u32 i = 0; i < n; i++)
            errors->simulation[i] += vector[i] * vector[i] / (r_count - 1);
    }
    memcpy(vector, errors->gradient, n * sizeof(double));
    solve(e, scales, vector);
    for (u32 i = 0; i < n; i++) {
        errors->away[i] = -vector[i];
        errors->away_se[i] = sqrt(errors->simulation[i] / r_count);
        errors->simulation[i] = sqrt(errors->simulation[i] / averaged);
    }
}

/* vectorᵀ P vector, P the second derivatives of penalties and priors. */
static double
product(const Examination *e, const double *vector)
{
    double sum = 0;
    for (size_t i = 0; e->prior && i < e->n; i++)
        for (size_t j = 0; j < e->n; j++)
            sum += vector[i] * e->prior[i * e->n + j] * vector[j];
    return fmax(sum, 0);
}

/* Of data p and q, F at two places of one distribution of `rows` numbers: (min(F_p, F_q) - F_p F_q) / rows. */
static double
covariance(const FitPoint *p, const FitPoint *q)
{
    return (fmin(p->data, q->data) - p->data * q->data) / p->rows;
}

/* Adds the variances by the data of the points first … end - 1 of one series to sums; false: one is not known. */
static bool
add_series(Examination *e, u32 number, u32 first, u32 end, const double *scales, double *sums)
{
    const FitPart *part = e->fit->parts[number];
    const FitPoint *points = part->spec.points.items;
    u32 own = part->grad.request.wrt_count, n = e->n;
    bool joined = points[first].cumulative;
    Arena *arena = &e->fit->parts[0]->scratch;
    double *vectors = NEW_ARRAY(arena, double, (joined ? (size_t)end - first : 1) * n);
    bool known = true;
    for (u32 p = first; p < end && known; p++) {
        double *vector = vectors + (joined ? (size_t)(p - first) * n : 0);
        double sd = points[p].sd;
        known = !isnan(sd);
        memset(vector, 0, n * sizeof(double));
        for (u32 i = 0; i < own; i++)
            vector[part->place[i]] = part->weights[p] * e->slopes[number][(size_t)p * own + i];
        solve(e, scales, vector);
        for (u32 i = 0; i < n; i++)
            sums[i] += sd * sd * vector[i] * vector[i];
        for (u32 q = first; q < p && joined; q++)
            for (u32 i = 0; i < n; i++)
                sums[i] += 2 * covariance(&points[p], &points[q]) * vector[i] *
                           vectors[(size_t)(q - first) * n + i];
    }
    rxn__arena_release(arena);
    return known;
}

static void
find_data_errors(Examination *e, const double *scales, double *vector)
{
    FitErrors *errors = &e->fit->errors;
    u32 n = e->n;
    double *sums = NEW_ARRAY(e->arena, double, n);
    for (u32 k = 0; k < e->fit->trained_count; k++) {
        const FitPart *part = e->fit->parts[k];
        const FitPoint *points = part->spec.points.items;
        for (u32 first = 0, end; first < part->spec.points.count; first = end) {
            for (end = first + 1;
                 end < part->spec.points.count && points[end].series == points[first].series;
                 end++) {
            }
            if (!add_series(e, k, first, end, scales, sums))
                return; /* then nothing is known of the whole */
        }
    }
    for (u32 i = 0; i < n; i++) {
        if (errors->no_influence[i])
            continue;
        memset(vector, 0, n * sizeof(double));
        vector[i] = 1;
        solve(e, scales, vector);
        errors->data[i] = sqrt(sums[i] + product(e, vector));
    }
}

static void
find_errors(Examination *e)
{
    FitErrors *errors = &e->fit->errors;
    u32 n = e->n;
    double *scales = NEW_ARRAY(e->arena, double, n), *vector = NEW_ARRAY(e->arena, double, n);
    for (u32 i = 0; i < n; i++) {
        double sum = 0, squares = 0;
        for (u32 r = 0; r < e->replicates; r++)
            sum += e->gradients[(size_t)r * n + i];
        double mean = errors->gradient[i] = sum / e->replicates;
        for (u32 r = 0; r < e->replicates; r++)
            squares += pow(e->gradients[(size_t)r * n + i] - mean, 2);
        errors->gradient_se[i] =
            e->replicates > 1 ? sqrt(squares / (e->replicates - 1) / e->replicates) : 0;
    }
    find_idle(e);
    if (!e->matrix)
        return;
    if (!factor(e, scales)) {
        if (n > 1)
            rxn__warning(
                &e->fit->engine->session.diagnostics, (Span){0, 0},
                "there are combinations of the params that do not change the loss: these are "
                "not identifiable from these data, and standard errors cannot be given");
        return;
    }
    find_simulation_errors(e, scales, vector);
    find_data_errors(e, scales, vector);
    for (u32 i = 0; i < n; i++)
        if (errors->no_influence[i])
            errors->simulation[i] = errors->away[i] = errors->away_se[i] = NAN;
}

/* ---- the model beside the data ----------------------------------------------------------------- */

static void
take_series(Examination *e, u32 number)
{
    FitRun *fit = e->fit;
    const FitPart *part = fit->parts[number];
    u32 replicates = part->validation ? 1 : e->replicates;
    for (u32 s = 0; s < part->spec.series.count; s++) {
        FitSeriesFigures figures = {.part = part, .series = s};
        for (u32 k = 0; k < part->spec.points.count; k++)
            figures.count += part->spec.points.items[k].series == s;
        double **columns[] = {&figures.x, &figures.data, &figures.sd, &figures.model,
                              &figures.model_se};
        for (u32 c = 0; c < COUNT_OF(columns); c++)
            *columns[c] = NEW_ARRAY(e->arena, double, figures.count + 1);
        double mean = 0, residuals = 0, total = 0;
        for (u32 k = 0, at = 0; k < part->spec.points.count; k++) {
            const FitPoint *point = &part->spec.points.items[k];
            if (point->series != s)
                continue;
            figures.x[at] = point->x;
            figures.data[at] = point->data;
            figures.sd[at] = point->sd;
            figures.model[at] = e->points[number][k];
            double squares = e->squares[number][k];
            figures.model_se[at] = replicates > 1 ? sqrt(squares / (replicates - 1) / replicates)
                                   : part->validation && part->value_se ? part->value_se[1 + k]
                                                                        : 0;
            mean += point->data / figures.count;
            residuals += pow(figures.model[at] - figures.data[at], 2);
            at++;
        }
        for (u32 k = 0; k < figures.count; k++)
            total += pow(figures.data[k] - mean, 2);
        figures.r2 = total > 0 ? 1 - residuals / total : NAN;
        vec_push(e->arena, &fit->series, figures);
    }
}

static RxnStatus
take_measures(FitRun *fit)
{
    bool validates = fit->part_count > fit->trained_count;
    for (u32 k = 0; k < fit->part_count; k++) {
        FitPart *part = fit->measures[k];
        /* All samples that were trained on, once more, only where nothing else says how good it is. */
        if (!part || (part->sampled && validates && !fit->parts[k]->validation))
            continue;
        RxnFitQuery query = query_of(fit, RXN_FIT_VALIDATION, 0);
        RxnStatus status = rxn__fit_part_evaluate(part, &query, true);
        if (status != RXN_OK)
            return status;
        for (u32 m = 0; m < part->spec.measures.count; m++) {
            FitMeasured measured = {.part = fit->parts[k],
                                    .name = part->spec.measures.items[m].name,
                                    .value = part->value[part->has_loss + m],
                                    .se = part->value_se[part->has_loss + m]};
            vec_push(&fit->engine->session.arena, &fit->measured, measured);
        }
    }
    return RXN_OK;
}

/* ---- the whole --------------------------------------------------------------------------------- */

static double *
unknown(Arena *arena, u32 count)
{
    double *values = NEW_ARRAY(arena, double, (size_t)count + 1);
    for (u32 k = 0; k < count; k++)
        values[k] = NAN;
    return values;
}

static bool
has_matrix(const FitRun *fit)
{
    if (!fit->curvature || fit->has_samples)
        return false;
    for (u32 k = 0; k < fit->trained_count; k++) {
        const Fit *spec = &fit->parts[k]->spec;
        for (u32 p = 0; p < spec->points.count; p++)
            if (spec->points.items[p].curvature == 0)
                return false;
        if (spec->points.count == 0)
            return false;
    }
    return true;
}

static void
open_examination(Examination *e)
{
    FitRun *fit = e->fit;
    u32 n = e->n;
    e->gradients = NEW_ARRAY(e->arena, double, (size_t)e->replicates *n + 1);
    e->losses = NEW_ARRAY(e->arena, double, e->replicates);
    e->noise = NEW_ARRAY(e->arena, double, n);
    e->matrix = has_matrix(fit) ? NEW_ARRAY(e->arena, double, (size_t)n *n) : NULL;
    if (e->matrix && fit->penalty) {
        e->prior = NEW_ARRAY(e->arena, double, (size_t)n *n);
        rxn__fit_penalty(fit, fit->state.parameters, NULL, e->prior);
    }
    double ***lists[] = {&e->points, &e->squares, &e->slopes};
    for (u32 k = 0; k < COUNT_OF(lists); k++)
        *lists[k] = NEW_ARRAY(e->arena, double *, fit->part_count);
    for (u32 k = 0; k < fit->part_count; k++) {
        const FitPart *part = fit->parts[k];
        size_t points = part->spec.points.count;
        e->points[k] = NEW_ARRAY(e->arena, double, points + 1);
        e->squares[k] = NEW_ARRAY(e->arena, double, points + 1);
        e->slopes[k] = NEW_ARRAY(e->arena, double, points * part->grad.request.wrt_count + 1);
    }
}

static void
find_loss(Examination *e)
{
    FitErrors *errors = &e->fit->errors;
    double sum = 0, squares = 0;
    for (u32 r = 0; r < e->replicates; r++)
        sum += e->losses[r];
    errors->loss = sum / e->replicates;
    for (u32 r = 0; r < e->replicates; r++)
        squares += pow(e->losses[r] - errors->loss, 2);
    errors->loss_se = e->replicates > 1 ? sqrt(squares / (e->replicates - 1) / e->replicates) : 0;
}

static void
warn(FitRun *fit)
{
    const FitErrors *errors = &fit->errors;
    Diagnostics *diagnostics = &fit->engine->session.diagnostics;
    u32 told = 0;
    for (u32 i = 0; i < fit->count; i++) {
        if (errors->no_influence[i] && fit->acts[i] && told++ < 10)
            rxn__warning(
                diagnostics, (Span){0, 0},
                "'%s' is not identifiable from these data: at the result it does not change "
                "the loss",
                fit->labels[i]);
        /* What moves a fit of samples from one seed to the next is not known: that it is not off by more than the data
         * leave open is what counts there. */
        double usual = fit->has_samples ? errors->data[i] : 3 * errors->simulation[i];
        bool away = fabs(errors->away[i]) > 4 * errors->away_se[i] &&
                    fabs(errors->away[i]) > usual &&
                    fabs(errors->away[i]) > 1e-6 * fabs(fit->state.parameters[i]);
        if (away && !fit->noiseless && fit->state.step > 0 &&
            fit->state.ending != RXN_FIT_INTERRUPTED && told++ < 10)
            rxn__warning(
                diagnostics, (Span){0, 0},
                "'%s' is not at the minimum: by the gradient that lies %.2g away; more steps "
                "would help",
                fit->labels[i], errors->away[i]);
    }
}

static RxnStatus
examine(FitRun *fit)
{
    Examination e = {.fit = fit,
                     .arena = &fit->engine->session.arena,
                     .n = fit->count,
                     .replicates = replicates_of(fit)};
    FitErrors *errors = &fit->errors;
    if (!fit->has_samples) {
        open_examination(&e);
        RxnStatus status = run_replicates(&e);
        if (status != RXN_OK)
            return status;
        errors->known = true;
        errors->replicates = e.replicates;
        errors->trajectories = fit->state.trajectories;
        find_loss(&e);
        find_errors(&e);
        for (u32 k = fit->trained_count; k < fit->part_count; k++) {
            RxnFitQuery query = query_of(fit, RXN_FIT_VALIDATION, 0);
            if (!fit->parts[k]->has_loss)
                continue;
            status = rxn__fit_part_evaluate(fit->parts[k], &query, true);
            if (status != RXN_OK)
                return status;
            take_points(&e, k, 0);
        }
        for (u32 k = 0; k < fit->part_count; k++)
            take_series(&e, k);
        warn(fit);
    } else if (rxn__fit_has_sandwich(fit)) {
        RxnStatus status = rxn__fit_sandwich(fit);
        if (status != RXN_OK)
            return status;
        warn(fit);
    }
    return take_measures(fit);
}

RxnStatus
rxn__fit_examine(FitRun *fit)
{
    Arena *arena = &fit->engine->session.arena;
    u32 n = fit->count;
    fit->errors = (FitErrors){.loss = NAN, .loss_se = NAN};
    double **columns[] = {&fit->errors.gradient, &fit->errors.gradient_se, &fit->errors.simulation,
                          &fit->errors.data,     &fit->errors.data_error,  &fit->errors.away,
                          &fit->errors.away_se};
    for (u32 k = 0; k < COUNT_OF(columns); k++)
        *columns[k] = unknown(arena, n);
    fit->errors.no_influence = NEW_ARRAY(arena, bool, (size_t)n + 1);
    bool whole = fit->state.ending != RXN_FIT_INTERRUPTED &&
                 fit->state.ending != RXN_FIT_NOT_FINITE && fit->state.ending != RXN_FIT_FAULT;
    return whole ? examine(fit) : RXN_OK;
}
