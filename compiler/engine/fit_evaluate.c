/* fit_evaluate.c: loss, gradient and Gauss–Newton matrix at a point: those of all experiments, and of the penalty.
 *
 * With c_k the second derivative of an experiment's loss by what the model says at point k of its data (m_k), the
 * matrix is Σ_k c_k ∇m_k ∇m_kᵀ: for gaussian losses with known sd the Fisher information (R. A. Fisher's scoring; J.
 * Nocedal, S. J. Wright, "Numerical Optimization", 2nd ed., section 10.3). For Gauss–Newton both ∇m_k and the gradient
 * are made of derivatives that count by what is known of them above their noise (`attenuated`, runtime/gradient.h):
 * noise would count as steepness otherwise, most of all where derivatives have a heavy tail, and steps would be too
 * short.
 */
#include <math.h>
#include <string.h>

#include "compiler/cme/cme.h"
#include "compiler/engine/fit.h"

/* ---- before the first evaluation --------------------------------------------------------------- */

/* With samples a backward pass is the only one that many parameters can pay; and no pilot serves all of them. */
static void
choose_for_samples(FitPart *part)
{
    Grad *grad = &part->grad;
    Text reason;
    rxn__text_init(&reason, &grad->pipeline.arena);
    if (strcmp(grad->options.estimators, "auto") != 0)
        return;
    bool path = rxn__estimator_find("path")->applies(&grad->request, &reason);
    grad->options.estimators = path ? "path" : "score";
}

/* Of the fit without open numbers the same experiment, which has chosen; NULL: there is no such fit. */
static const Grad *
decided_of(const FitRun *fit, u32 number)
{
    const FitRun *decided = fit->decided;
    for (u32 k = 0; decided && k < decided->part_count; k++)
        if (decided->parts[k]->number == number)
            return &decided->parts[k]->grad;
    return NULL;
}

static RxnStatus
choose_estimator(FitRun *fit, FitPart *part)
{
    Grad *grad = &part->grad;
    if (!rxn__fit_estimator(fit, &grad->options, &fit->parts[0]->spec))
        return RXN_ERROR_INPUT;
    grad->request.tau = grad->options.tau;
    grad->request.draws = (u32)grad->options.draws;
    grad->request.difference = grad->options.difference;
    grad->request.bins = (u32)grad->options.bins;
    grad->request.degree = (u32)grad->options.degree;
    if (part->validation) {
        part->estimator = &rxn__estimator_value;
    } else {
        if (part->sampled)
            choose_for_samples(part);
        grad->decided = decided_of(fit, part->number);
        const bool good = rxn__grad_estimators(grad);
        grad->decided = NULL;
        if (!good)
            return RXN_ERROR_INPUT;
        part->estimator = rxn__estimator_find(grad->estimators.items[0]);
        part->exact = part->estimator == NULL;
        if (part->exact && part->sampled) {
            rxn__engine_error(fit->engine, "the estimator 'exact' does not take samples");
            return RXN_ERROR_INPUT;
        }
    }
    part->estimator_name = part->exact ? "exact" : part->estimator->name;
    return RXN_OK;
}

static RxnStatus
prepare(FitRun *fit, FitPart *part)
{
    Arena *arena = &part->grad.pipeline.arena;
    RxnStatus status = choose_estimator(fit, part);
    if (status != RXN_OK)
        return status;
    rxn__grad_outputs(&part->grad);
    part->se_room = NEW_ARRAY(arena, double, (size_t)part->grad.request.wrt_count + 1);
    part->weights = NEW_ARRAY(arena, double, (size_t)part->spec.points.count + 1);
    if (part->sampled &&
        !rxn__samples_open(fit->engine, &part->grad.pipeline, &part->spec, &part->samples))
        return RXN_ERROR_INPUT;
    return RXN_OK;
}

RxnStatus
rxn__fit_choose(FitRun *fit)
{
    RxnStatus status = RXN_OK;
    for (u32 k = 0; k < fit->part_count && status == RXN_OK; k++) {
        status = prepare(fit, fit->parts[k]);
        if (status == RXN_OK && fit->measures[k]) {
            fit->measures[k]->validation = true;
            status = prepare(fit, fit->measures[k]);
        }
    }
    return status;
}

/* An objective whose outputs are the expectations of the functionals themselves, where second derivatives read them. */
static void
prepare_expectations(FitPart *part)
{
    Network *network = part->grad.pipeline.network;
    Arena *arena = &part->grad.pipeline.arena;
    bool read = false;
    for (u32 k = 0; k < part->spec.points.count; k++) {
        Expr curvature = part->spec.points.items[k].curvature;
        read = read || (curvature && rxn__expr_uses(network, curvature).quantities);
    }
    if (!read)
        return;
    part->expectations = NEW(arena, Objective);
    *part->expectations = *network->objective;
    memset(&part->expectations->outputs, 0, sizeof part->expectations->outputs);
    for (u32 i = 0; i < network->objective->functionals.count; i++) {
        Output output = {.label = "",
                         .time = NAN,
                         .value = rxn__expr_object(network, EXPR_QUANTITY, i, 0, NULL)};
        vec_push(arena, &part->expectations->outputs, output);
    }
}

static RxnStatus
compile(FitRun *fit, FitPart *part)
{
    Grad *grad = &part->grad;
    const RxnFitLoopOptions *loop = &fit->loop_options;
    grad->options.ensemble.trajectories = loop->most_trajectories;
    grad->options.ensemble.seed = loop->seed;
    grad->stages.goal = PIPELINE_COMPILED;
    if (part->sampled) {
        u64 rows = rxn__samples_rows(part->samples);
        part->order = NEW_ARRAY(&grad->pipeline.arena, u64, rows);
        part->rows = NEW_ARRAY(&grad->pipeline.arena, u64, rows);
        u64 most = part->validation ? rows : part->batch;
        grad->options.ensemble.trajectories = most * loop->most_trajectories;
        grad->stages.trajectories = grad->options.ensemble.trajectories;
        return rxn__sample_run_new(grad, part->validation ? NULL : part->estimator, part->samples,
                                   &part->sample_run);
    }
    grad->stages.trajectories = loop->most_trajectories;
    if (part->exact) {
        prepare_expectations(part);
        return RXN_OK;
    }
    u64 seed = rxn__fit_seed(loop->seed, RXN_FIT_PILOT, UINT64_MAX - part->number);
    return rxn__grad_runner_open(grad, part->estimator, seed, &part->runner);
}

static void
make_room(FitRun *fit)
{
    Arena *arena = &fit->engine->session.arena;
    bool matrix = fit->count <= RXN_GAUSS_NEWTON_MOST;
    fit->gradient = NEW_ARRAY(arena, double, fit->count);
    fit->gradient_se = NEW_ARRAY(arena, double, fit->count);
    fit->curvature = matrix ? NEW_ARRAY(arena, double, (size_t)fit->count * fit->count) : NULL;
}

static void
warn_interpreted(FitRun *fit, const FitPart *part)
{
    const Pipeline *pipeline = &part->grad.pipeline;
    rxn__warn_interpreted(fit->engine, pipeline, NULL);
    if (pipeline->why_interpreted)
        rxn__engine_note(fit->engine,
                         "a program is built for a fit with the estimator of the block, and "
                         "with data of the same times as were there then");
}

RxnStatus
rxn__fit_compile(FitRun *fit)
{
    RxnStatus status = RXN_OK;
    make_room(fit);
    for (u32 k = 0; k < fit->part_count && status == RXN_OK; k++) {
        status = compile(fit, fit->parts[k]);
        if (status == RXN_OK && fit->measures[k])
            status = compile(fit, fit->measures[k]);
        if (status == RXN_OK)
            warn_interpreted(fit, fit->parts[k]);
        if (status == RXN_OK && fit->parts[k]->runner.has_pilot)
            fit->problem.refresh = rxn__fit_refresh;
    }
    bool validates = false;
    for (u32 k = fit->trained_count; k < fit->part_count; k++)
        validates = validates || fit->parts[k]->has_loss;
    fit->problem.context = fit;
    fit->problem.evaluate = rxn__fit_evaluate;
    fit->problem.validate = validates ? rxn__fit_validate : NULL;
    return status;
}

/* ---- one experiment ---------------------------------------------------------------------------- */

static void
set_parameters(FitPart *part, const double *parameters)
{
    /* A param that an experiment fixes by a setting is not trained, says sema: all are those of the fit. */
    for (u32 k = 0; k < part->fit->count; k++)
        part->grad.values.params[part->fit->flat[k]] = parameters[k];
}

static RxnStatus
find_expectations(FitPart *part, const CmeModel *model, const CmeOptions *options,
                  const char **ret_reason)
{
    CmeGradient found = {0};
    part->means = NULL;
    if (!part->expectations)
        return RXN_OK;
    RxnStatus status = rxn__cme_gradient(model, part->expectations, NULL, 0, options,
                                         &part->scratch, &found, ret_reason);
    part->means = found.value;
    return status;
}

static RxnStatus
evaluate_exactly(FitPart *part)
{
    Grad *grad = &part->grad;
    rxn__arena_release(&part->scratch);
    CmeModel model = {grad->pipeline.network, grad->values.params, grad->values.inputs};
    CmeOptions options = {.cancel = rxn__watch_begin(grad->engine, false, true).cancel};
    CmeGradient gradient = {0};
    const char *reason = NULL;
    RxnStatus status =
        rxn__cme_gradient(&model, grad->pipeline.network->objective, grad->request.wrt,
                          grad->request.wrt_count, &options, &part->scratch, &gradient, &reason);
    if (status == RXN_OK)
        status = find_expectations(part, &model, &options, &reason);
    rxn__watch_end(grad->engine);
    if (status == RXN_ERROR_INPUT)
        rxn__engine_error(grad->engine, "the estimator 'exact' cannot differentiate this: %s",
                          reason ? reason : "no reason given");
    if (status == RXN_ERROR_INTERNAL)
        grad->engine->internal_error = reason;
    if (status != RXN_OK)
        return status;
    part->value = gradient.value;
    part->value_se = NEW_ARRAY(&part->scratch, double, (size_t)grad->output_count + 1);
    part->gradient = gradient.gradient;
    memset(part->se_room, 0, grad->request.wrt_count * sizeof(double));
    part->se = part->se_room;
    part->noise2 = 0;
    part->trajectories = part->events = 0;
    return RXN_OK;
}

static RxnStatus
evaluate_ensemble(FitPart *part, const RxnFitQuery *query, u64 seed)
{
    const u64 trajectories = query->trajectories;
    GradEvaluation evaluation = {.seed = seed,
                                 .trajectories = trajectories,
                                 .attenuated =
                                     query->curvature && !part->fit->loop_options.common_noise};
    RxnStatus status = rxn__grad_runner_evaluate(&part->runner, &evaluation);
    part->not_finite = evaluation.not_finite;
    if (status != RXN_OK)
        return status;
    const RxnGradientResult *result = evaluation.result;
    part->value = result->value;
    part->value_se = result->value_se;
    part->gradient = result->gradient;
    part->se = part->se_room;
    part->noise2 = 0;
    for (u32 p = 0; p < part->grad.request.wrt_count; p++) {
        double se = result->sd[p] / sqrt((double)trajectories);
        part->se_room[p] = isnan(se) ? 0 : se; /* of one trajectory */
        part->noise2 += part->se_room[p] * part->se_room[p];
    }
    part->trajectories = evaluation.rows;
    part->events = evaluation.events;
    return RXN_OK;
}

static RxnStatus
evaluate_rows(FitPart *part, const RxnFitQuery *query, u64 seed, const u64 *rows, u64 count)
{
    SampleResult result;
    RxnStatus status =
        rxn__sample_run_evaluate(part->sample_run, seed, rows, count, query->trajectories, &result);
    if (status != RXN_OK)
        return status;
    part->value = result.value;
    part->value_se = result.value_se;
    part->gradient = result.gradient;
    part->se = NULL;
    part->noise2 = result.gradient_norm2_noise;
    part->not_finite = result.not_finite;
    part->groups = result.groups;
    part->group_sums = result.group_sums;
    part->trajectories = result.trajectories;
    part->events = result.events;
    return RXN_OK;
}

static RxnStatus
evaluate_samples(FitPart *part, const RxnFitQuery *query, u64 seed, bool all_rows)
{
    u64 rows = rxn__samples_rows(part->samples), count = all_rows ? rows : part->batch;
    if (all_rows)
        for (u64 k = 0; k < rows; k++)
            part->rows[k] = k;
    else
        rxn__fit_batch(part->fit->loop_options.seed, rows, query->step, count, part->order,
                       &part->epoch, part->rows);
    return evaluate_rows(part, query, seed, part->rows, count);
}

/* Second derivatives of the loss by what the model says at the points, at the expectations that were just found. */
static void
weigh_points(FitPart *part)
{
    const Grad *grad = &part->grad;
    ExprValues at = {.params = grad->values.params,
                     .inputs = grad->values.inputs,
                     .quantities = part->exact ? part->means : part->runner.means};
    for (u32 k = 0; k < part->spec.points.count; k++) {
        Expr curvature = part->spec.points.items[k].curvature;
        part->weights[k] =
            curvature ? rxn__expr_evaluate(grad->pipeline.network, curvature, &at) : NAN;
    }
}

/* Puts the part where the query is; the seed of its trajectories. */
static u64
go_to(FitPart *part, const RxnFitQuery *query)
{
    part->not_finite = UINT64_MAX;
    set_parameters(part, query->parameters);
    return rxn__fit_seed(query->seed, RXN_FIT_EXPERIMENT, part->number);
}

RxnStatus
rxn__fit_part_rows(FitPart *part, const RxnFitQuery *query, const u64 *rows, u64 count)
{
    u64 seed = go_to(part, query);
    return evaluate_rows(part, query, seed, rows, count);
}

RxnStatus
rxn__fit_part_evaluate(FitPart *part, const RxnFitQuery *query, bool all_rows)
{
    u64 seed = go_to(part, query);
    if (part->sampled)
        return evaluate_samples(part, query, seed, all_rows);
    RxnStatus status = part->exact ? evaluate_exactly(part) : evaluate_ensemble(part, query, seed);
    if (status == RXN_OK && !part->validation && !part->request.measures)
        weigh_points(part);
    return status;
}

/* ---- the whole --------------------------------------------------------------------------------- */

double
rxn__fit_penalty(FitRun *fit, const double *parameters, double *gradient, double *curvature)
{
    if (fit->penalty == 0)
        return 0;
    u32 n = fit->count;
    double *values = fit->parts[0]->grad.values.params;
    for (u32 k = 0; k < n; k++)
        values[fit->flat[k]] = parameters[k];
    ExprValues at = {.params = values, .inputs = fit->parts[0]->grad.values.inputs};
    for (u32 k = 0; k < n && gradient; k++)
        if (fit->penalty_first[k])
            gradient[k] += rxn__expr_evaluate(fit->network, fit->penalty_first[k], &at);
    for (size_t k = 0; k < (size_t)n * n && curvature && fit->penalty_second; k++)
        if (fit->penalty_second[k])
            curvature[k] += rxn__expr_evaluate(fit->network, fit->penalty_second[k], &at);
    return rxn__expr_evaluate(fit->network, fit->penalty, &at);
}

static void
add_curvature(FitRun *fit, const FitPart *part)
{
    u32 own = part->grad.request.wrt_count, n = fit->count;
    for (u32 k = 0; k < part->spec.points.count; k++) {
        const double *slope = part->gradient + (size_t)(1 + k) * own;
        for (u32 i = 0; i < own; i++)
            for (u32 j = 0; j < own; j++)
                fit->curvature[(size_t)part->place[i] * n + part->place[j]] +=
                    part->weights[k] * slope[i] * slope[j];
    }
}

/* What could not be simulated in a trial is warned of: the others go on. `said`: diagnostics before. */
static RxnFitAnswer
answer_of(FitRun *fit, const RxnFitQuery *query, u32 said)
{
    Diagnostics *diagnostics = &fit->engine->session.diagnostics;
    if (fit->status == RXN_OK)
        return RXN_FIT_DONE;
    if (fit->status == RXN_CANCELLED)
        return RXN_FIT_CANCELLED;
    if (!query->trial || fit->status != RXN_ERROR_INPUT)
        return RXN_FIT_FAILED;
    rxn__diagnostics_soften(diagnostics, said);
    rxn__engine_note(fit->engine, "one of the starts led there, and ends with it");
    fit->status = RXN_OK;
    return RXN_FIT_UNUSABLE;
}

RxnFitAnswer
rxn__fit_evaluate(void *context, const RxnFitQuery *query, RxnFitEvaluation *ret)
{
    FitRun *fit = context;
    bool curvature = query->curvature && fit->curvature, has_errors = true;
    const u32 said = fit->engine->session.diagnostics.list.count;
    double variance = 0;
    *ret = (RxnFitEvaluation){.gradient = fit->gradient};
    memset(fit->gradient, 0, fit->count * sizeof(double));
    memset(fit->gradient_se, 0, fit->count * sizeof(double));
    if (curvature)
        memset(fit->curvature, 0, (size_t)fit->count * fit->count * sizeof(double));
    for (u32 k = 0; k < fit->trained_count; k++) {
        FitPart *part = fit->parts[k];
        fit->status = rxn__fit_part_evaluate(part, query, false);
        if (fit->status != RXN_OK)
            return answer_of(fit, query, said);
        ret->loss += part->value[0];
        variance += part->value_se[0] * part->value_se[0];
        ret->noise2 += part->noise2;
        ret->trajectories += part->trajectories;
        ret->events += part->events;
        has_errors = has_errors && part->se;
        for (u32 p = 0; p < part->grad.request.wrt_count; p++) {
            fit->gradient[part->place[p]] += part->gradient[p];
            if (part->se)
                fit->gradient_se[part->place[p]] += part->se[p] * part->se[p];
        }
        if (curvature)
            add_curvature(fit, part);
    }
    for (u32 k = 0; has_errors && k < fit->count; k++)
        fit->gradient_se[k] = sqrt(fit->gradient_se[k]);
    ret->loss +=
        rxn__fit_penalty(fit, query->parameters, fit->gradient, curvature ? fit->curvature : NULL);
    ret->loss_se = sqrt(variance);
    ret->gradient_se = has_errors ? fit->gradient_se : NULL;
    ret->curvature = curvature ? fit->curvature : NULL;
    return RXN_FIT_DONE;
}

RxnFitAnswer
rxn__fit_refresh(void *context, const RxnFitQuery *query)
{
    FitRun *fit = context;
    const u32 said = fit->engine->session.diagnostics.list.count;
    for (u32 k = 0; k < fit->trained_count; k++) {
        FitPart *part = fit->parts[k];
        set_parameters(part, query->parameters);
        fit->status = rxn__grad_runner_refresh(
            &part->runner, rxn__fit_seed(query->seed, RXN_FIT_EXPERIMENT, part->number));
        if (fit->status != RXN_OK)
            return answer_of(fit, query, said);
    }
    return RXN_FIT_DONE;
}

RxnFitAnswer
rxn__fit_validate(void *context, const RxnFitQuery *query, double *ret_loss)
{
    FitRun *fit = context;
    const u32 said = fit->engine->session.diagnostics.list.count;
    *ret_loss = 0;
    for (u32 k = fit->trained_count; k < fit->part_count; k++) {
        if (!fit->parts[k]->has_loss)
            continue;
        fit->status = rxn__fit_part_evaluate(fit->parts[k], query, true);
        if (fit->status != RXN_OK)
            return answer_of(fit, query, said);
        *ret_loss += fit->parts[k]->value[0];
    }
    return RXN_FIT_DONE;
}
