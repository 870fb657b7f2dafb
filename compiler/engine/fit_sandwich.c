/* fit_sandwich.c: standard errors of fits of samples, whose loss is a mean over rows of data, L = 1/n Σ_r E ℓ_r, the
 * expectation being that over trajectories. Were the rows drawn anew, the minimum would be elsewhere, with the
 * covariance
 *
 *     H⁻¹ J H⁻¹ / n,    H the second derivatives of L, J the covariance over rows of the gradients of E ℓ_r
 *
 * (P. J. Huber, Proc. Fifth Berkeley Symp. Math. Stat. Prob. 1 (1967) 221; H. White, Econometrica 50 (1982) 1),
 * whatever the loss is and whether the model is right or not. That J were H is true of -log p(row) alone, and so of no
 * loss that is one trajectory's: not of cross_entropy either, the mean of a logarithm being no logarithm of a mean.
 *
 * J: all rows are evaluated R times at the result, by trajectories of their own each time, with the gradients of G
 * groups of neighbouring rows kept. How the groups' means over the R evaluations differ is due to the rows and to 1/R
 * of the noise of the trajectories; how a group differs from evaluation to evaluation, to that noise alone, which is
 * subtracted (the analysis of variance of random effects).
 *
 * H: central differences of the gradient over ±h and ±2h, of the same rows and random numbers, of which (4 D_h - D_2h)
 * / 3 has an error of the order h⁴ (L. F. Richardson, Phil. Trans. R. Soc. A 210 (1911) 307). They are replicated with
 * other random numbers (and other rows, where not all can be afforded), and what that noise does to the standard errors
 * is found by leaving out one replicate after the other (the jackknife: B. Efron, Ann. Stat. 7 (1979) 1); what is left
 * of the h², by what D_h alone would give. Where it is too much, or H is not that of a minimum, that is said, and no
 * number is given.
 *
 * It costs about half the events of the fit, or 5e7 where that is more, and never less than four replicates.
 */
#include <math.h>
#include <string.h>

#include "compiler/engine/fit.h"
#include "runtime/dense.h"
#include "runtime/sample_gradient.h"

enum {
    MOST_GROUPS = 4096,
    FEWEST = 4, /* replicates of either kind */
    MOST = 64,
};

static const double least_events = 5e7;
/* h is so much of the change that would change a row's loss as much as rows differ; and no more than that of a positive
 * parameter, or of its distance from a bound. */
static const double step_share = 0.15, largest_part = 0.1;
/* Relative errors of a standard error. */
static const double good_enough = 0.05, too_bad = 1.0 / 3;

typedef struct Sandwich {
    FitRun *fit;
    Arena *arena, *scratch; /* until the result is told; of one computation */
    u32 n;
    const double *point; /* [n]: the result */
    bool *left_out;      /* [n]: without influence, or at a bound */
    double events;
    u64 trajectories;

    /* Rows. */
    u32 evaluations;
    u64 *groups;    /* [parts] */
    double **means; /* [parts]: [groups][wrt]: over the evaluations, of the sums of a group */
    double *within, *observed,
        *of_rows; /* [n][n]; of the mean gradient: its variance by one evaluation's trajectories; that
                                           * of the groups' means; what of it is due to the rows */
    double *loss, *gradient, *loss_noise; /* means over evaluations; [n] by parameters */
    double loss_spread2;                  /* of the mean loss, by how rows differ */
    u64 fewest_groups;

    /* Second derivatives. */
    double *steps; /* [n]: h */
    u32 replicates;
    double *each; /* [MOST][n][n] */
    double *sum;  /* [n][n] */
    double *bent; /* [n][n]: sum of D_h - (4 D_h - D_2h) / 3 */
} Sandwich;

bool
rxn__fit_has_sandwich(const FitRun *fit)
{
    bool has = fit->has_samples && fit->count <= FIT_SANDWICH_MOST;
    for (u32 k = 0; k < fit->trained_count; k++)
        has = has && fit->parts[k]->sampled && rxn__samples_rows(fit->parts[k]->samples) > 1;
    return has;
}

/* ---- at a point -------------------------------------------------------------------------------- */

/* Of the replicate with this number: J's come first, then H's. */
static RxnFitQuery
query_of(const Sandwich *s, const double *parameters, u64 number)
{
    return (RxnFitQuery){.parameters = parameters,
                         .seed = rxn__fit_seed(s->fit->loop_options.seed, RXN_FIT_ERRORS, number),
                         .trajectories = s->fit->state.trajectories};
}

static RxnStatus
evaluate(Sandwich *s, FitPart *part, const RxnFitQuery *query, const u64 *rows, u64 count)
{
    RxnStatus status = rxn__fit_part_rows(part, query, rows, count);
    if (status != RXN_OK)
        return status;
    s->events += (double)part->events;
    s->trajectories += part->trajectories;
    return RXN_OK;
}

/* ---- how rows differ --------------------------------------------------------------------------- */

/* means, within: those of one more evaluation taken in (B. P. Welford, Technometrics 4 (1962) 419). */
static void
take_groups(Sandwich *s, u32 number)
{
    const FitPart *part = s->fit->parts[number];
    u32 own = part->grad.request.wrt_count, r = s->evaluations + 1;
    double rows = (double)rxn__samples_rows(part->samples);
    double *change = NEW_ARRAY(s->scratch, double, (size_t)own + 1);
    for (u64 g = 0; g < part->groups; g++) {
        double *mean = s->means[number] + g * own;
        for (u32 i = 0; i < own; i++) {
            change[i] = part->group_sums[g * own + i] - mean[i];
            mean[i] += change[i] / r;
        }
        for (u32 i = 0; i < own; i++)
            for (u32 j = 0; j < own; j++)
                s->within[(size_t)part->place[i] * s->n + part->place[j]] +=
                    change[i] * change[j] * (r - 1) / r / (rows * rows);
    }
    rxn__arena_release(s->scratch);
}

static RxnStatus
evaluate_rows(Sandwich *s)
{
    FitRun *fit = s->fit;
    RxnFitQuery query = query_of(s, fit->state.parameters, s->evaluations);
    double loss = 0;
    double *gradient = fit->gradient;
    memset(gradient, 0, s->n * sizeof(double));
    s->loss_spread2 = 0;
    for (u32 k = 0; k < fit->trained_count; k++) {
        FitPart *part = fit->parts[k];
        u64 rows = rxn__samples_rows(part->samples);
        for (u64 row = 0; row < rows; row++)
            part->rows[row] = row;
        rxn__sample_run_group(part->sample_run, rows < MOST_GROUPS ? rows : MOST_GROUPS);
        RxnStatus status = evaluate(s, part, &query, part->rows, rows);
        rxn__sample_run_group(part->sample_run, 0);
        if (status != RXN_OK)
            return status;
        if (!s->means[k])
            s->means[k] =
                NEW_ARRAY(s->arena, double, part->groups * part->grad.request.wrt_count + 1);
        s->groups[k] = part->groups;
        take_groups(s, k);
        loss += part->value[0];
        s->loss_spread2 += part->value_se[0] * part->value_se[0];
        for (u32 p = 0; p < part->grad.request.wrt_count; p++)
            gradient[part->place[p]] += part->gradient[p];
    }
    loss += rxn__fit_penalty(fit, fit->state.parameters, gradient, NULL);
    s->loss[s->evaluations++] = loss;
    for (u32 i = 0; i < s->n; i++)
        s->gradient[i] += (gradient[i] - s->gradient[i]) / s->evaluations;
    return RXN_OK;
}

/* observed, of_rows: from the groups as they are now. */
static void
compare_groups(Sandwich *s)
{
    const FitRun *fit = s->fit;
    size_t n = s->n;
    memset(s->observed, 0, n * n * sizeof(double));
    s->fewest_groups = UINT64_MAX;
    for (u32 k = 0; k < fit->trained_count; k++) {
        const FitPart *part = fit->parts[k];
        u32 own = part->grad.request.wrt_count;
        u64 groups = s->groups[k], rows = rxn__samples_rows(part->samples);
        s->fewest_groups = groups < s->fewest_groups ? groups : s->fewest_groups;
        double *mean = NEW_ARRAY(s->scratch, double, (size_t)own + 1);
        double *away = NEW_ARRAY(s->scratch, double, (size_t)own + 1);
        for (u64 g = 0; g < groups; g++)
            for (u32 i = 0; i < own; i++)
                mean[i] += s->means[k][g * own + i] / (double)rows;
        for (u64 g = 0; g < groups; g++) {
            double in_group = (double)rxn__sample_group_end(rows, groups, g) -
                              (g ? (double)rxn__sample_group_end(rows, groups, g - 1) : 0);
            for (u32 i = 0; i < own; i++)
                away[i] = (s->means[k][g * own + i] - in_group * mean[i]) / (double)rows;
            for (u32 i = 0; i < own; i++)
                for (u32 j = 0; j < own; j++)
                    s->observed[part->place[i] * n + part->place[j]] +=
                        away[i] * away[j] * (double)groups / ((double)groups - 1);
        }
    }
    rxn__arena_release(s->scratch);
    double r = s->evaluations;
    for (size_t k = 0; k < n * n; k++)
        s->of_rows[k] = s->observed[k] - s->within[k] / (r - 1) / r;
}

/* The variance of one evaluation's gradient by its trajectories. */
static double
noise_of(const Sandwich *s, u32 i)
{
    return s->within[(size_t)i * s->n + i] / (s->evaluations - 1);
}

static bool
rows_are_known(const Sandwich *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->observed[i * s->n + i] > 1.5 * s->of_rows[i * s->n + i])
            return false;
    return true;
}

static RxnStatus
look_at_rows(Sandwich *s, double budget)
{
    do {
        RxnStatus status = evaluate_rows(s);
        if (status != RXN_OK)
            return status;
        if (s->evaluations >= FEWEST)
            compare_groups(s);
    } while (s->evaluations < FEWEST ||
             (s->evaluations < MOST && s->events < budget / 4 && !rows_are_known(s)));
    return RXN_OK;
}

/* ---- second derivatives ------------------------------------------------------------------------ */

static void
choose_steps(Sandwich *s)
{
    for (u32 i = 0; i < s->n; i++) {
        const RxnScale *scale = &s->fit->scales[i];
        double x = s->point[i], variance = s->of_rows[(size_t)i * s->n + i] + noise_of(s, i);
        double room = fmin(x - scale->low, scale->high - x);
        if (scale->kind == RXN_SCALE_LOG || scale->kind == RXN_SCALE_LOG_LOGIT)
            room = fmin(room / 2, largest_part * x); /* 2 h stays inside */
        else
            room = room / 2;
        s->steps[i] = fmin(step_share * sqrt(s->loss_spread2 / variance), room);
        s->left_out[i] = s->fit->errors.no_influence[i] || !(s->steps[i] > 1e-9 * fabs(x));
    }
}

/* The gradient where parameter i is x, of the replicate's rows (in part->rows), in fit->gradient. */
static RxnStatus
gradient_at(Sandwich *s, u32 i, double x, const u64 *counts)
{
    FitRun *fit = s->fit;
    double *parameters = fit->gradient_se; /* room that is free here */
    memcpy(parameters, fit->state.parameters, s->n * sizeof(double));
    parameters[i] = x;
    RxnFitQuery query = query_of(s, parameters, ((u64)1 << 32) + s->replicates);
    memset(fit->gradient, 0, s->n * sizeof(double));
    for (u32 k = 0; k < fit->trained_count; k++) {
        FitPart *part = fit->parts[k];
        RxnStatus status = evaluate(s, part, &query, part->rows, counts[k]);
        if (status != RXN_OK)
            return status;
        for (u32 p = 0; p < part->grad.request.wrt_count; p++)
            fit->gradient[part->place[p]] += part->gradient[p];
    }
    rxn__fit_penalty(fit, parameters, fit->gradient, NULL);
    return RXN_OK;
}

static RxnStatus
differentiate(Sandwich *s, const u64 *counts)
{
    FitRun *fit = s->fit;
    size_t n = s->n;
    double *matrix = s->each + s->replicates * n * n;
    u64 shuffle = rxn__fit_seed(fit->loop_options.seed, RXN_FIT_ERRORS, UINT64_MAX);
    for (u32 k = 0; k < fit->trained_count; k++) {
        FitPart *part = fit->parts[k];
        part->epoch = UINT64_MAX;
        rxn__fit_batch(shuffle, rxn__samples_rows(part->samples), s->replicates, counts[k],
                       part->order, &part->epoch, part->rows);
    }
    memset(matrix, 0, n * n * sizeof(double));
    for (u32 i = 0; i < n; i++) {
        /* Half of it for each half of a symmetric matrix. */
        static const struct {
            double at, richardson, plain;
        } sides[] = {{-2, 1.0 / 24, 0},
                     {-1, -8.0 / 24, -1.0 / 4},
                     {1, 8.0 / 24, 1.0 / 4},
                     {2, -1.0 / 24, 0}};
        for (u32 k = 0; k < COUNT_OF(sides) && !s->left_out[i]; k++) {
            RxnStatus status = gradient_at(s, i, s->point[i] + sides[k].at * s->steps[i], counts);
            if (status != RXN_OK)
                return status;
            double share = sides[k].richardson / s->steps[i];
            double other = sides[k].plain / s->steps[i] - share;
            for (u32 j = 0; j < n; j++) {
                matrix[i * n + j] += share * fit->gradient[j];
                matrix[j * n + i] += share * fit->gradient[j];
                s->bent[i * n + j] += other * fit->gradient[j];
                s->bent[j * n + i] += other * fit->gradient[j];
            }
        }
    }
    for (size_t k = 0; k < n * n; k++)
        s->sum[k] += matrix[k];
    s->replicates++;
    return RXN_OK;
}

/* ---- both together ----------------------------------------------------------------------------- */

typedef struct Covariance {
    double *inverse;             /* [n][n]: H⁻¹ */
    double *variance, *observed; /* [n]: by rows, and by what is seen of them */
} Covariance;

/* Of the mean of the replicates but one (MOST: of all); bent: of D_h. False: it is not that of a minimum. */
static bool
find_covariance(const Sandwich *s, u32 without, bool bent, Covariance *ret)
{
    size_t n = s->n;
    double count = s->replicates - (without < s->replicates);
    double *matrix = NEW_ARRAY(s->scratch, double, n *n);
    double *scales = NEW_ARRAY(s->scratch, double, n);
    *ret = (Covariance){.inverse = NEW_ARRAY(s->scratch, double, n *n),
                        .variance = NEW_ARRAY(s->scratch, double, n),
                        .observed = NEW_ARRAY(s->scratch, double, n)};
    for (size_t k = 0; k < n * n; k++) {
        double left_out = without < s->replicates ? s->each[without * n * n + k] : 0;
        matrix[k] = (s->sum[k] - left_out + (bent ? s->bent[k] : 0)) / count;
    }
    for (size_t i = 0; i < n; i++)
        scales[i] = s->left_out[i] ? 0 : 1 / sqrt(matrix[i * n + i]);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double *cell = &matrix[i * n + j];
            *cell = scales[i] == 0 || scales[j] == 0 ? i == j : *cell * scales[i] * scales[j];
            if (!isfinite(*cell))
                return false;
        }
    if (!rxn__cholesky(n, matrix))
        return false;
    rxn__cholesky_inverse(n, matrix, ret->inverse);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            ret->inverse[i * n + j] *= scales[i] * scales[j];
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            for (size_t k = 0; k < n; k++) {
                double by = ret->inverse[i * n + j] * ret->inverse[i * n + k];
                ret->variance[i] += by * s->of_rows[j * n + k];
                ret->observed[i] += by * s->observed[j * n + k];
            }
    return true;
}

/* Relative errors of the standard errors, by the noise of H and by its differences alone: ½ of those of the variances. False:
 * a replicate alone decides whether H is that of a minimum, or how long h is. */
static bool
jackknife(const Sandwich *s, double *ret_errors)
{
    u32 r = s->replicates, n = s->n;
    double *logs = NEW_ARRAY(s->scratch, double, (size_t)r *n);
    Covariance all, bent;
    if (!find_covariance(s, MOST, false, &all) || !find_covariance(s, MOST, true, &bent))
        return false;
    for (u32 k = 0; k < r; k++) {
        Covariance one;
        if (!find_covariance(s, k, false, &one))
            return false;
        for (u32 i = 0; i < n; i++)
            logs[(size_t)k * n + i] = one.variance[i] > 0 ? log(one.variance[i]) : INFINITY;
    }
    for (u32 i = 0; i < n; i++) {
        double mean = 0, squares = 0;
        for (u32 k = 0; k < r; k++)
            mean += logs[(size_t)k * n + i] / r;
        for (u32 k = 0; k < r; k++)
            squares += pow(logs[(size_t)k * n + i] - mean, 2);
        /* D_h - (4 D_h - D_2h) / 3 is by far the larger part of what the latter may be off. */
        double off = log(bent.variance[i] / all.variance[i]) / 4;
        ret_errors[i] = 0.5 * sqrt(squares * (r - 1) / r + off * off);
    }
    return true;
}

static bool
derivatives_are_known(const Sandwich *s)
{
    double *errors = NEW_ARRAY(s->scratch, double, s->n);
    bool known = jackknife(s, errors);
    for (u32 i = 0; i < s->n && known; i++)
        known = s->left_out[i] || errors[i] <= good_enough;
    rxn__arena_release(s->scratch);
    return known;
}

/* How many rows of each part a replicate has: all, or what can be afforded; a batch of the fit at least. */
static void
choose_counts(const Sandwich *s, double budget, u64 *ret_counts)
{
    const FitRun *fit = s->fit;
    double of_all = s->events / s->evaluations;
    double share = fmax(budget - s->events, 0) / (2.0 * s->n * FEWEST * fmax(of_all, 1));
    for (u32 k = 0; k < fit->trained_count; k++) {
        const FitPart *part = fit->parts[k];
        u64 rows = rxn__samples_rows(part->samples);
        double own = share * (double)rows;
        ret_counts[k] = own >= (double)rows         ? rows
                        : own < (double)part->batch ? part->batch
                                                    : (u64)own;
    }
}

static RxnStatus
look_at_derivatives(Sandwich *s, double budget)
{
    u64 *counts = NEW_ARRAY(s->arena, u64, s->fit->trained_count);
    choose_counts(s, budget, counts);
    choose_steps(s);
    do {
        RxnStatus status = differentiate(s, counts);
        if (status != RXN_OK)
            return status;
    } while (s->replicates < FEWEST ||
             (s->replicates < MOST && s->events < budget && !derivatives_are_known(s)));
    return RXN_OK;
}

/* ---- what is said ------------------------------------------------------------------------------ */

static void
find_idle(Sandwich *s)
{
    for (u32 i = 0; i < s->n; i++)
        s->fit->errors.no_influence[i] =
            s->observed[(size_t)i * s->n + i] == 0 && noise_of(s, i) == 0 && s->gradient[i] == 0;
    /* Of a penalty alone: there is no datum whose error could move it. */
    for (u32 i = 0; i < s->n; i++)
        if (s->observed[(size_t)i * s->n + i] == 0 && noise_of(s, i) == 0)
            s->fit->errors.no_influence[i] = true;
}

/* A direction in which the loss visibly falls; UINT32_MAX: none is known. */
static u32
falls_along(const Sandwich *s)
{
    size_t n = s->n;
    for (size_t i = 0; i < n; i++) {
        double mean = s->sum[i * n + i] / s->replicates, squares = 0;
        for (u32 k = 0; k < s->replicates; k++)
            squares += pow(s->each[(k * n + i) * n + i] - mean, 2);
        double se = sqrt(squares / (s->replicates - 1) / s->replicates);
        if (!s->left_out[i] && mean < -4 * se)
            return (u32)i;
    }
    return UINT32_MAX;
}

static void
warn_unknown(const Sandwich *s)
{
    const FitRun *fit = s->fit;
    Diagnostics *diagnostics = &fit->engine->session.diagnostics;
    u32 down = falls_along(s);
    if (down != UINT32_MAX)
        rxn__warning(diagnostics, (Span){0, 0},
                     "the result is not at a minimum: the loss curves downwards along '%s', and "
                     "standard errors cannot be given; more steps would help",
                     fit->labels[down]);
    else
        rxn__warning(diagnostics, (Span){0, 0},
                     "standard errors cannot be given: as far as second derivatives of the loss "
                     "are known (%u replicates), some combination of the params may leave it as it "
                     "is; more trajectories a sample would show them better",
                     s->replicates);
}

static void
tell(Sandwich *s)
{
    FitRun *fit = s->fit;
    FitErrors *errors = &fit->errors;
    Covariance all;
    double *noise = NEW_ARRAY(s->arena, double, s->n), squares = 0, r = s->evaluations;
    for (u32 k = 0; k < s->evaluations; k++)
        errors->loss += s->loss[k] / r;
    for (u32 k = 0; k < s->evaluations; k++)
        squares += pow(s->loss[k] - errors->loss, 2);
    errors->loss_se = sqrt(squares / (r - 1) / r);
    for (u32 i = 0; i < s->n; i++) {
        errors->gradient[i] = s->gradient[i];
        errors->gradient_se[i] = sqrt(noise_of(s, i) / r);
    }
    if (!find_covariance(s, MOST, false, &all) || !jackknife(s, noise)) {
        warn_unknown(s);
        return;
    }
    u32 unknown = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->left_out[i])
            continue;
        double away = 0, away2 = 0;
        for (size_t j = 0; j < s->n; j++) {
            const double *row = all.inverse + i * s->n;
            away -= row[j] * s->gradient[j];
            for (size_t k = 0; k < s->n; k++)
                away2 += row[j] * row[k] * s->within[j * s->n + k] / (r - 1) / r;
        }
        errors->away[i] = away;
        errors->away_se[i] = sqrt(fmax(away2, 0));
        /* A variance of G groups, less noise that is known much better. */
        double of_groups =
            0.5 * sqrt(2 / ((double)s->fewest_groups - 1)) * all.observed[i] / all.variance[i];
        double relative = sqrt(noise[i] * noise[i] + of_groups * of_groups);
        if (all.variance[i] > 0 && relative <= too_bad) {
            errors->data[i] = sqrt(all.variance[i]);
            errors->data_error[i] = relative * errors->data[i];
        } else if (unknown++ < 10) {
            rxn__warning(&fit->engine->session.diagnostics, (Span){0, 0},
                         "the standard error of '%s' cannot be given: the noise of the "
                         "trajectories hides it; more trajectories a sample would help",
                         fit->labels[i]);
        }
    }
}

/* ---- the whole --------------------------------------------------------------------------------- */

static void
make_room(Sandwich *s)
{
    size_t n = s->n;
    u32 parts = s->fit->trained_count;
    double **matrices[] = {&s->within, &s->observed, &s->of_rows, &s->sum, &s->bent};
    double **vectors[] = {&s->gradient, &s->steps};
    for (u32 k = 0; k < COUNT_OF(matrices); k++)
        *matrices[k] = NEW_ARRAY(s->arena, double, n *n);
    for (u32 k = 0; k < COUNT_OF(vectors); k++)
        *vectors[k] = NEW_ARRAY(s->arena, double, n);
    s->left_out = NEW_ARRAY(s->arena, bool, n);
    s->loss = NEW_ARRAY(s->arena, double, MOST);
    s->each = NEW_ARRAY(s->arena, double, MOST *n *n);
    s->groups = NEW_ARRAY(s->arena, u64, parts);
    s->means = NEW_ARRAY(s->arena, double *, parts);
}

RxnStatus
rxn__fit_sandwich(FitRun *fit)
{
    Diagnostics *diagnostics = &fit->engine->session.diagnostics;
    Sandwich s = {.fit = fit,
                  .arena = &fit->engine->session.arena,
                  .scratch = &fit->parts[0]->scratch,
                  .n = fit->count,
                  .point = fit->state.parameters};
    double budget = fmax(fit->state.total_events / 2, least_events);
    make_room(&s);
    RxnStatus status = look_at_rows(&s, budget);
    if (status != RXN_OK)
        return status;
    find_idle(&s);
    u32 said = diagnostics->list.count;
    status = look_at_derivatives(&s, budget);
    if (status == RXN_ERROR_INPUT) {
        rxn__diagnostics_soften(diagnostics, said);
        rxn__engine_note(fit->engine, "that was near the result, whose standard errors cannot be "
                                      "given therefore");
        return RXN_OK;
    }
    if (status != RXN_OK)
        return status;
    fit->errors.known = true;
    fit->errors.replicates = s.evaluations;
    fit->errors.trajectories = fit->state.trajectories;
    fit->errors.loss = 0;
    tell(&s);
    return RXN_OK;
}
