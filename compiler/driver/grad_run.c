/* grad_run.c: one estimator: its kernel, its ensemble, what comes out of the rows.
 */
#include <math.h>
#include <string.h>

#include "compiler/driver/grad.h"
#include "compiler/driver/pilot.h"
#include "runtime/report.h"

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
run_ensemble(Grad *grad, const RxnKernel *kernel, const RxnGradientSpec *spec,
             RxnGradient *gradient, GradEstimate *estimate)
{
    /* Most kernels want the objective's times. */
    const GradientKernel *wanted = &grad->pipeline.gradient;
    /* Only pairs have one leaf each; those of gk do not differ in it. */
    bool by_value = strcmp(estimate->estimator, "coupled") == 0;
    PairRun pair = {grad->request.wrt, by_value ? grad->request.wrt_count : 0,
                    grad->request.difference};
    SampleTimes own = {wanted->times, wanted->time_count, grad->times.end, 0};
    Launch launch = {
        .pipeline = &grad->pipeline,
        .values = &grad->values,
        .times = wanted->times ? &own : &grad->times,
        .precision = grad->stages.precision,
        .seed = grad->options.ensemble.seed,
        .step_limit = grad->options.ensemble.step_limit,
        .pair = wanted->row.one_leaf ? &pair : NULL,
    };
    u32 count;
    RxnBinding *bindings = rxn__launch_bindings(&launch, &count);
    RxnProgress progress;
    rxn__progress_begin(&progress, grad->options.ensemble.quiet ? NULL : stderr);
    RxnEnsemble ensemble = {
        .kernel = kernel,
        .bindings = bindings,
        .binding_count = count,
        .trajectories = rxn__gradient_rows_wanted(spec),
        .sample_count = 1,
        .columns = spec->layout.columns,
        .threads = (u32)grad->options.ensemble.threads,
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
                         estimate->estimator, grad->running + 1, grad->estimators.count);
    rxn_ensemble_release(&result);
    return status;
}

static RxnStatus
run_and_reduce(Grad *grad, const RxnKernel *loaded, GradEstimate *estimate)
{
    const GradientKernel *kernel = &grad->pipeline.gradient;
    bool is_max[RXN_MAX_DIAGNOSTICS];
    RxnGradientSpec spec = {
        .layout = layout_of(&kernel->row, is_max),
        .output_count = grad->output_count,
        .outputs = grad->outputs,
        .linearize = rxn__grad_linearize,
        .linearize_context = grad,
        .trajectories = grad->options.ensemble.trajectories,
    };
    if (!rxn__grad_leaf_map(grad, &spec.map))
        return RXN_ERROR_INPUT;
    rehearse(grad);
    grad->reducer = rxn__gradient_new(&spec);
    if (!grad->reducer)
        return RXN_ERROR_MEMORY;
    RxnStatus status = run_ensemble(grad, loaded, &spec, grad->reducer, estimate);
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
        .trajectories = o->ensemble.trajectories,
        .pilot = o->pilot,
        .seed = o->ensemble.seed,
        .threads = o->ensemble.threads,
        .step_limit = o->ensemble.step_limit,
    };
    return rxn__pilot_run(grad->driver, &request, ret_pilot);
}

/* ---- the kernel -------------------------------------------------------------------------------- */

static bool
is_on_gpus(const Grad *grad)
{
    return strcmp(grad->stages.device, "cuda") == 0;
}

/* A GPU's own memory, of which a quarter is for tapes as it is of the machine's; a trajectory in flight has one. */
static u64
tape_bytes_on_gpus(const Grad *grad)
{
    enum {
        FEWEST_WORKERS = 1024
    }; /* whole blocks are in flight, however few trajectories there are */
    u64 workers, memory = rxn__gpu_memory(grad->driver, &workers) / 4;
    if (grad->options.tape_memory)
        memory = grad->tape_memory / rxn__cuda_device_count(grad->driver->cuda);
    if (workers > grad->options.ensemble.trajectories)
        workers = grad->options.ensemble.trajectories;
    return memory / (workers > FEWEST_WORKERS ? workers : FEWEST_WORKERS);
}

/* Every lane of every thread has a tape; a thread without a trajectory has none. */
u64
rxn__grad_tape_bytes(const Grad *grad, u32 lanes)
{
    const GradOptions *o = &grad->options;
    if (is_on_gpus(grad))
        return tape_bytes_on_gpus(grad);
    u64 threads = o->ensemble.threads ? o->ensemble.threads : rxn_processors();
    threads = threads < o->ensemble.trajectories ? threads : o->ensemble.trajectories;
    u64 tapes = threads * lanes;
    return grad->tape_memory / (tapes ? tapes : 1);
}

/* How many lanes there will be is the target's choice, which it makes when it sees the kernel, tape included. */
static u32
assumed_lanes(const Grad *grad)
{
    if (strcmp(grad->stages.device, "interpreter") == 0)
        return 1;
    if (grad->options.ensemble.lanes)
        return (u32)grad->options.ensemble.lanes;
    if (!grad->options.tape_memory)
        return MOST_LANES;
    /* Those of the kernel before, or what is usual. */
    return grad->pipeline.compiled.lanes ? grad->pipeline.compiled.lanes : MOST_LANES / 2;
}

static bool
has_tape(const KirKernel *kernel)
{
    for (u32 k = 0; k < kernel->locals.count; k++)
        if (kernel->locals.items[k].storage)
            return true;
    return false;
}

/* A share of the machine's memory is a lot, and how much of it is used does not matter; but a --tape-memory is meant,
 * so where another number of lanes was assumed the kernel is made again. */
static RxnStatus
compile(Grad *grad, const Estimator *estimator)
{
    Session *session = &grad->driver->session;
    Pipeline *pipeline = &grad->pipeline;
    PipelineRequest stages = grad->stages;
    u32 assumed = assumed_lanes(grad);
    grad->request.tape_bytes = rxn__grad_tape_bytes(grad, assumed);
    RxnStatus status =
        rxn__pipeline_gradient(session, &stages, estimator, &grad->request, pipeline);
    u32 lanes = pipeline->compiled.lanes;
    bool fits = !grad->options.tape_memory || lanes == assumed || lanes == 0 || is_on_gpus(grad);
    if (status == RXN_OK && !fits && has_tape(pipeline->kernel.kernel)) {
        stages.target.lanes = lanes;
        grad->request.tape_bytes = rxn__grad_tape_bytes(grad, lanes);
        status = rxn__pipeline_gradient(session, &stages, estimator, &grad->request, pipeline);
    }
    grad->driver->internal_error = pipeline->internal_error;
    return status;
}

RxnStatus
rxn__grad_run(Grad *grad, const Estimator *estimator)
{
    Pipeline *pipeline = &grad->pipeline;
    Pilot pilot = {0};
    RxnStatus status = RXN_OK;
    if (estimator->pilot)
        status = run_pilot(grad, estimator, &pilot);
    if (status != RXN_OK)
        return status;
    double start = rxn__seconds();
    RxnKernel kernel;
    status = compile(grad, estimator);
    grad->request.control = NULL;
    if (status == RXN_OK)
        status = rxn__describe_kernel(grad->driver, pipeline, &kernel);
    if (status != RXN_OK)
        return status;
    double compiled = rxn__seconds();
    GradEstimate estimate = {
        .estimator = estimator->name,
        .unbiased = pipeline->gradient.unbiased,
        .remarks = pilot.remark ? pilot.remark : pipeline->gradient.remarks,
        .pilot = pilot.trajectories,
        .trajectories = grad->options.ensemble.trajectories,
        .one_leaf = pipeline->gradient.row.one_leaf,
        .seconds_compile = compiled - start + pilot.seconds_compile,
    };
    status = run_and_reduce(grad, &kernel, &estimate);
    estimate.seconds = rxn__seconds() - compiled + pilot.seconds;
    estimate.events += pilot.events;
    if (status == RXN_OK)
        vec_push(&pipeline->arena, &grad->estimates, estimate);
    return status;
}
