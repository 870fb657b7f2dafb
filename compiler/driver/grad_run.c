/* grad_run.c: one estimator: its kernel, its ensemble, what comes out of the rows.
 */
#include <math.h>
#include <string.h>
#include <time.h>

#include "compiler/driver/grad.h"
#include "compiler/driver/pilot.h"
#include "runtime/report.h"

static double
now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static RxnGradientLayout
layout_of(const GradientRow *row, bool *is_max)
{
    for (u32 d = 0; d < row->diagnostic_count; d++)
        is_max[d] = row->diagnostics[d].kind == SUMMARY_MAX;
    return (RxnGradientLayout){
        .functionals = row->functionals,
        .leaves = row->leaves,
        .has_control = row->has_control,
        .has_score = row->has_score,
        .has_direct = row->has_direct,
        .one_leaf = row->one_leaf,
        .by_output = row->by_output,
        .columns = rxn__row_columns(row),
        .value = rxn__row_value(row, 0),
        .control = rxn__row_control(row, 0),
        .score = rxn__row_score(row, 0, 0),
        .direct = rxn__row_direct(row, 0, 0),
        .diagnostic = rxn__row_diagnostic(row, 0),
        .diagnostics = row->diagnostic_count,
        .is_max = is_max,
    };
}

static const double *
copy(Arena *arena, const double *values, size_t count)
{
    double *copied = NEW_ARRAY(arena, double, count + 1);
    if (count)
        memcpy(copied, values, count * sizeof *values);
    return copied;
}

static void
keep(Grad *grad, GradEstimate *estimate, const RxnGradientResult *result)
{
    Arena *arena = &grad->pipeline.arena;
    const GradientKernel *kernel = &grad->pipeline.gradient;
    u32 outputs = grad->output_count;
    size_t cells = (size_t)outputs * grad->request.wrt_count;
    double *se = NEW_ARRAY(arena, double, cells + 1);
    for (size_t c = 0; c < cells; c++)
        se[c] = result->sd[c] / sqrt((double)estimate->trajectories);
    /* With the control variate, which is nearly always a help: to take whichever error is smaller would make
     * it too small. */
    estimate->value = copy(arena, result->value, outputs);
    estimate->value_se = copy(arena, result->value_se, outputs);
    if (kernel->row.has_control) {
        estimate->plain_value = copy(arena, result->plain_value, outputs);
        estimate->plain_value_se = copy(arena, result->plain_value_se, outputs);
    }
    estimate->gradient = copy(arena, result->gradient, cells);
    estimate->sd = copy(arena, result->sd, cells);
    estimate->se = se;
    estimate->diagnostic_count = kernel->row.diagnostic_count;
    RowDiagnostic *diagnostics = NEW_ARRAY(arena, RowDiagnostic, RXN_MAX_DIAGNOSTICS);
    memcpy(diagnostics, kernel->row.diagnostics, sizeof kernel->row.diagnostics);
    estimate->diagnostics = diagnostics;
    estimate->diagnostic_values = copy(arena, result->diagnostics, estimate->diagnostic_count);
    for (u32 d = 0; d < estimate->diagnostic_count; d++)
        estimate->unbiased &= !rxn__grad_blind(estimate, d);
}

/* Evaluates everything once here, where memory may run out: the ensemble's threads then find all the
 * room that evaluation needs. */
static void
rehearse(Grad *grad)
{
    Arena *arena = &grad->pipeline.arena;
    const Objective *objective = grad->pipeline.network->objective;
    double *means = NEW_ARRAY(arena, double, objective->functionals.count + 1);
    for (u32 o = 0; o < grad->output_count; o++) {
        const RxnOutput *output = &grad->outputs[o];
        RxnOutputValues values = {.first = NEW_ARRAY(arena, double, output->first_count + 1),
                                  .second = NEW_ARRAY(arena, double, output->second_count + 1),
                                  .direct = NEW_ARRAY(arena, double, output->direct_count + 1),
                                  .mixed = NEW_ARRAY(arena, double, output->mixed_count + 1)};
        rxn__grad_linearize(grad, o, means, &values);
    }
}

static RxnStatus
run_ensemble(Grad *grad, const RxnGradientSpec *spec, RxnGradient *gradient, GradEstimate *estimate)
{
    /* Most kernels want the objective's times. */
    const GradientKernel *wanted = &grad->pipeline.gradient;
    SampleTimes own = {wanted->times, wanted->time_count, grad->times.end, 0};
    Launch launch = {
        .pipeline = &grad->pipeline,
        .values = &grad->values,
        .times = wanted->times ? &own : &grad->times,
        .precision = grad->stages.precision,
        .seed = grad->options.seed,
        .step_limit = grad->options.step_limit,
    };
    RxnKernel kernel;
    rxn__describe_kernel(&grad->pipeline, &kernel);
    u32 count;
    RxnBinding *bindings = rxn__launch_bindings(&launch, &count);
    RxnProgress progress;
    rxn__progress_begin(&progress, grad->options.quiet ? NULL : stderr);
    RxnEnsemble ensemble = {
        .kernel = &kernel,
        .bindings = bindings,
        .binding_count = count,
        .trajectories = rxn__gradient_rows_wanted(spec),
        .sample_count = 1,
        .columns = spec->layout.columns,
        .threads = (u32)grad->options.threads,
        .rows = rxn__gradient_take,
        .rows_context = gradient,
        .cancel = rxn__interrupt_begin(),
        .progress = progress.file ? rxn__progress_show : NULL,
        .progress_context = &progress,
    };
    RxnEnsembleResult result;
    RxnOutcome outcome = rxn_ensemble_run(&ensemble, &result);
    rxn__interrupt_end();
    rxn__progress_end(&progress);
    estimate->rows = result.trajectories;
    estimate->events = result.events;
    RxnStatus status =
        rxn__launch_outcome(grad->driver, &launch, outcome, &result, ensemble.trajectories);
    if (outcome == RXN_STOPPED && grad->estimators.count > 1)
        rxn__driver_note(grad->driver, "that was the estimator '%s', number %u of %u",
                         estimate->estimator, grad->estimates.count + 1, grad->estimators.count);
    rxn_ensemble_release(&result);
    return status;
}

static RxnStatus
run_and_reduce(Grad *grad, GradEstimate *estimate)
{
    const GradientKernel *kernel = &grad->pipeline.gradient;
    bool is_max[RXN_MAX_DIAGNOSTICS];
    RxnGradientSpec spec = {
        .layout = layout_of(&kernel->row, is_max),
        .output_count = grad->output_count,
        .outputs = grad->outputs,
        .linearize = rxn__grad_linearize,
        .linearize_context = grad,
        .trajectories = grad->options.trajectories,
    };
    if (!rxn__grad_leaf_map(grad, &spec.map))
        return RXN_ERROR_INPUT;
    rehearse(grad);
    grad->reducer = rxn__gradient_new(&spec);
    if (!grad->reducer)
        return RXN_ERROR_MEMORY;
    RxnStatus status = run_ensemble(grad, &spec, grad->reducer, estimate);
    if (status == RXN_OK)
        keep(grad, estimate, rxn__gradient_finish(grad->reducer));
    rxn__gradient_free(grad->reducer);
    grad->reducer = NULL;
    return status;
}

static RxnStatus
run_pilot(Grad *grad, const Estimator *estimator, Pilot *ret_pilot)
{
    const GradOptions *o = &grad->options;
    PilotRequest request = {
        .stages = &grad->stages,
        .pipeline = &grad->pipeline,
        .estimator = estimator,
        .request = &grad->request,
        .values = &grad->values,
        .trajectories = o->trajectories,
        .pilot = o->pilot,
        .seed = o->seed,
        .threads = o->threads,
        .step_limit = o->step_limit,
    };
    return rxn__pilot_run(grad->driver, &request, ret_pilot);
}

RxnStatus
rxn__grad_run(Grad *grad, const Estimator *estimator)
{
    Driver *driver = grad->driver;
    Pipeline *pipeline = &grad->pipeline;
    Pilot pilot = {0};
    RxnStatus status = RXN_OK;
    if (estimator->pilot)
        status = run_pilot(grad, estimator, &pilot);
    if (status != RXN_OK)
        return status;
    double start = now();
    status = rxn__pipeline_gradient(&driver->session, &grad->stages, estimator, &grad->request,
                                    pipeline);
    grad->request.control = NULL;
    driver->internal_error = pipeline->internal_error;
    if (status != RXN_OK)
        return status;
    double compiled = now();
    GradEstimate estimate = {
        .estimator = estimator->name,
        .unbiased = pipeline->gradient.unbiased,
        .remarks = pilot.remark ? pilot.remark : pipeline->gradient.remarks,
        .pilot = pilot.trajectories,
        .trajectories = grad->options.trajectories,
        .one_leaf = pipeline->gradient.row.one_leaf,
        .seconds_compile = compiled - start + pilot.seconds_compile,
    };
    status = run_and_reduce(grad, &estimate);
    estimate.seconds = now() - compiled + pilot.seconds;
    estimate.events += pilot.events;
    if (status == RXN_OK)
        vec_push(&pipeline->arena, &grad->estimates, estimate);
    return status;
}
