/* grad_runner.c: one estimator: its kernel, which is compiled once; its ensemble, at values of the parameters; what comes
 * out of the rows. For `rxn grad`, which wants one evaluation, and `rxn fit`, which wants many.
 */
#include <math.h>
#include <string.h>

#include "compiler/engine/grad.h"
#include "runtime/report.h"

RxnGradientLayout
rxn__grad_layout(const GradientRow *row, bool *is_max)
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

/* ---- one evaluation ---------------------------------------------------------------------------- */

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

/* As RxnGradientSpec.linearize; the last means that are asked for are those of the result. */
static void
linearize(void *context, uint32_t output, const double *means, RxnOutputValues *values)
{
    GradRunner *runner = context;
    memcpy(runner->means, means, runner->spec.layout.functionals * sizeof *means);
    rxn__grad_linearize(runner->grad, output, means, values);
}

typedef struct Intake {
    GradRunner *runner;
    GradEvaluation *evaluation;
} Intake;

static bool
take_rows(void *context, uint64_t first, uint64_t count, const double *rows, const uint64_t *events)
{
    Intake *intake = context;
    GradRunner *runner = intake->runner;
    u64 *bad = &intake->evaluation->not_finite;
    u32 columns = runner->spec.layout.columns, looked_at = runner->spec.layout.diagnostic;
    for (u64 k = 0; k < count && *bad == UINT64_MAX; k++) {
        double sum = 0; /* of zeros, unless one of them is not finite */
        for (u32 c = 0; c < looked_at; c++)
            sum += rows[k * columns + c] * 0;
        if (isnan(sum))
            *bad = first + k;
    }
    return rxn__gradient_take(runner->reducer, first, count, rows, events);
}

static RxnStatus
renew_map(GradRunner *runner)
{
    RxnLeafMap map;
    if (!runner->weights_move)
        return RXN_OK;
    rxn__arena_release(&runner->map);
    if (!rxn__grad_leaf_map(runner->grad, &runner->map, &map))
        return RXN_ERROR_INPUT;
    runner->spec.map = map;
    return RXN_OK;
}

/* What is asked for now may be more than what the tapes were made for: fewer threads have the same results in the memory that
 * was allowed. */
static u32
threads_of(const GradRunner *runner)
{
    u64 wanted = runner->grad->options.ensemble.threads;
    if (runner->most_threads == 0)
        return (u32)wanted;
    wanted = wanted ? wanted : rxn_processors();
    return (u32)(wanted < runner->most_threads ? wanted : runner->most_threads);
}

RxnStatus
rxn__grad_runner_evaluate(GradRunner *runner, GradEvaluation *evaluation)
{
    Grad *grad = runner->grad;
    rxn__gradient_free(runner->reducer);
    runner->reducer = NULL;
    evaluation->not_finite = UINT64_MAX;
    evaluation->cancelled = false;
    RxnStatus status = renew_map(runner);
    if (status != RXN_OK)
        return status;
    rxn__kernel_put(&grad->pipeline, &runner->kept);
    runner->spec.trajectories = evaluation->trajectories;
    runner->spec.attenuated = evaluation->attenuated && !runner->spec.layout.by_output;
    runner->launch.seed = evaluation->seed;
    runner->reducer = rxn__gradient_new(&runner->spec);
    if (!runner->reducer)
        return RXN_ERROR_MEMORY;
    Intake intake = {runner, evaluation};
    Watched watched = rxn__watch_begin(grad->engine, true, !evaluation->progress);
    RxnEnsemble ensemble = {
        .kernel = &runner->kernel,
        .bindings = runner->bindings,
        .binding_count = runner->binding_count,
        .trajectories = rxn__gradient_rows_wanted(&runner->spec),
        .sample_count = 1,
        .columns = runner->spec.layout.columns,
        .threads = threads_of(runner),
        .workspace_limit = runner->most_on_gpu,
        .rows = take_rows,
        .rows_context = &intake,
        .cancel = watched.cancel,
        .progress = watched.progress,
        .progress_context = watched.progress_context,
    };
    RxnEnsembleResult result;
    RxnOutcome outcome = rxn__ensemble_run(&ensemble, &result);
    rxn__watch_end(grad->engine);
    evaluation->rows = result.trajectories;
    evaluation->events = result.events;
    evaluation->cancelled = outcome == RXN_STOPPED;
    if (outcome == RXN_STOPPED && !evaluation->name) {
        rxn__ensemble_release(&result);
        return RXN_CANCELLED; /* whoever has many of them says so himself */
    }
    status =
        rxn__launch_outcome(grad->engine, &runner->launch, outcome, &result, ensemble.trajectories);
    rxn__ensemble_release(&result);
    if (status == RXN_OK)
        evaluation->result = rxn__gradient_finish(runner->reducer);
    return status;
}

/* ---- the kernel -------------------------------------------------------------------------------- */

static bool
is_on_gpus(const Grad *grad)
{
    return strcmp(grad->stages.device, "cuda") == 0;
}

/* What all tapes of one GPU may take: a quarter of its own memory, as it is of the machine's. */
static u64
tape_memory_of_gpu(const Grad *grad, u64 *ret_workers)
{
    u64 memory = rxn__gpu_memory(grad->engine, ret_workers) / 4;
    return grad->options.tape_memory
               ? grad->tape_memory / rxn__cuda_device_count(grad->engine->cuda)
               : memory;
}

/* A trajectory in flight has one. */
static u64
tape_bytes_on_gpus(const Grad *grad)
{
    enum {
        FEWEST_WORKERS = 1024
    }; /* whole blocks are in flight, however few trajectories there are */
    u64 workers, memory = tape_memory_of_gpu(grad, &workers);
    if (workers > grad->options.ensemble.trajectories)
        workers = grad->options.ensemble.trajectories;
    return memory / (workers > FEWEST_WORKERS ? workers : FEWEST_WORKERS);
}

/* A thread without a trajectory has no tape. */
static u64
threads_with_tapes(const Grad *grad)
{
    const EnsembleOptions *o = &grad->options.ensemble;
    u64 threads = o->threads ? o->threads : rxn_processors();
    return threads < o->trajectories ? threads : o->trajectories;
}

/* Every lane of every thread has a tape. */
u64
rxn__grad_tape_bytes(const Grad *grad, u32 lanes)
{
    if (is_on_gpus(grad) && grad->engine->cuda_tape_bytes)
        return grad->engine->cuda_tape_bytes;
    if (is_on_gpus(grad))
        return tape_bytes_on_gpus(grad);
    if (grad->engine->tape_bytes)
        return grad->engine->tape_bytes;
    u64 tapes = threads_with_tapes(grad) * lanes;
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
RxnStatus
rxn__grad_compile(Grad *grad, const Estimator *estimator)
{
    Session *session = &grad->engine->session;
    Pipeline *pipeline = &grad->pipeline;
    PipelineRequest stages = grad->stages;
    u32 assumed = assumed_lanes(grad);
    grad->request.tape_bytes = rxn__grad_tape_bytes(grad, assumed);
    RxnStatus status =
        rxn__pipeline_gradient(session, &stages, estimator, &grad->request, pipeline);
    u32 lanes = pipeline->compiled.lanes;
    bool fits = !grad->options.tape_memory || grad->engine->tape_bytes || lanes == assumed ||
                lanes == 0 || is_on_gpus(grad);
    if (status == RXN_OK && !fits && has_tape(pipeline->kernel.kernel)) {
        stages.target.lanes = lanes;
        grad->request.tape_bytes = rxn__grad_tape_bytes(grad, lanes);
        status = rxn__pipeline_gradient(session, &stages, estimator, &grad->request, pipeline);
    }
    grad->engine->internal_error = pipeline->internal_error;
    return status;
}

/* ---- opening ----------------------------------------------------------------------------------- */

static RxnStatus
open_pilot(GradRunner *runner, u64 seed)
{
    Grad *grad = runner->grad;
    const GradOptions *o = &grad->options;
    double start = rxn__seconds();
    runner->has_pilot = true;
    runner->pilot_request = (PilotRequest){
        .stages = &grad->stages,
        .pipeline = &grad->pipeline,
        .estimator = runner->estimator,
        .request = &grad->request,
        .values = &grad->values,
        .trajectories = o->ensemble.trajectories,
        .pilot = o->pilot,
        .seed = seed,
        .threads = o->ensemble.threads,
        .step_limit = o->ensemble.step_limit,
    };
    RxnStatus status =
        rxn__pilot_compile(grad->engine, &runner->pilot_request, &runner->pilot_program);
    runner->seconds_compile = rxn__seconds() - start;
    return status == RXN_OK ? rxn__grad_runner_refresh(runner, seed) : status;
}

RxnStatus
rxn__grad_runner_refresh(GradRunner *runner, u64 seed)
{
    if (!runner->has_pilot)
        return RXN_OK;
    runner->pilot_request.seed = seed;
    return rxn__pilot_fit(runner->grad->engine, &runner->pilot_request, &runner->pilot_program,
                          &runner->pilot);
}

static void
prepare_launch(GradRunner *runner)
{
    Grad *grad = runner->grad;
    /* Most kernels want the objective's times. */
    const GradientKernel *wanted = &grad->pipeline.gradient;
    /* Only pairs have one leaf each; those of gk do not differ in it. */
    bool by_value = strcmp(runner->estimator->name, "coupled") == 0;
    runner->times = wanted->times
                        ? (SampleTimes){wanted->times, wanted->time_count, grad->times.end, 0}
                        : grad->times;
    runner->pair = (PairRun){grad->request.wrt, by_value ? grad->request.wrt_count : 0,
                             grad->request.difference};
    runner->launch = (Launch){
        .pipeline = &grad->pipeline,
        .values = &grad->values,
        .times = &runner->times,
        .precision = grad->stages.precision,
        .step_limit = grad->options.ensemble.step_limit,
        .pair = wanted->row.one_leaf ? &runner->pair : NULL,
    };
    runner->bindings = rxn__launch_bindings(&runner->launch, &runner->binding_count);
}

static bool
has_hoisted_leaves(const GradientKernel *kernel)
{
    for (u32 l = 0; kernel->leaves && l < kernel->row.leaves; l++)
        if (kernel->leaves[l].op != EXPR_PARAM)
            return true;
    return false;
}

/* Tapes whose size was a share of the memory there is: later evaluations, of more trajectories or threads, keep to it. */
static void
limit_tapes(GradRunner *runner)
{
    const Grad *grad = runner->grad;
    u64 workers;
    if (!has_tape(grad->pipeline.kernel.kernel))
        return;
    if (!is_on_gpus(grad))
        runner->most_threads = grad->engine->tape_bytes ? 0 : threads_with_tapes(grad);
    else if (!grad->engine->cuda_tape_bytes)
        runner->most_on_gpu = tape_memory_of_gpu(grad, &workers);
}

RxnStatus
rxn__grad_runner_open(Grad *grad, const Estimator *estimator, u64 seed, GradRunner *ret_runner)
{
    GradRunner *runner = ret_runner;
    *runner = (GradRunner){.grad = grad, .estimator = estimator};
    rxn__arena_init(&runner->map, grad->engine->session.memory);
    RxnStatus status = estimator->pilot ? open_pilot(runner, seed) : RXN_OK;
    if (status != RXN_OK)
        return status;
    double start = rxn__seconds();
    status = rxn__grad_compile(grad, estimator);
    grad->request.control = NULL;
    if (status == RXN_OK)
        status = rxn__describe_kernel(grad->engine, &grad->pipeline, &runner->kernel);
    if (status != RXN_OK)
        return status;
    runner->seconds_compile += rxn__seconds() - start;
    const GradientKernel *kernel = &grad->pipeline.gradient;
    runner->kept = rxn__kernel_keep(&grad->pipeline);
    limit_tapes(runner);
    runner->weights_move = has_hoisted_leaves(kernel);
    runner->means = NEW_ARRAY(&grad->pipeline.arena, double, (size_t)kernel->row.functionals + 1);
    runner->spec = (RxnGradientSpec){
        .layout = rxn__grad_layout(&kernel->row, runner->is_max),
        .output_count = grad->output_count,
        .outputs = grad->outputs,
        .linearize = linearize,
        .linearize_context = runner,
    };
    if (!runner->weights_move &&
        !rxn__grad_leaf_map(grad, &grad->pipeline.arena, &runner->spec.map))
        return RXN_ERROR_INPUT;
    prepare_launch(runner);
    rehearse(grad);
    runner->is_open = true;
    return RXN_OK;
}

void
rxn__grad_runner_rest(GradRunner *runner)
{
    rxn__gradient_free(runner->reducer);
    runner->reducer = NULL;
}

void
rxn__grad_runner_close(GradRunner *runner)
{
    if (!runner->grad)
        return;
    rxn__grad_runner_rest(runner);
    rxn__arena_release(&runner->map);
    runner->is_open = false;
}
