/* run_control.c: means of an ensemble with less noise: `rxn run --control-variates`.
 *
 * Every observable at every sample time is a functional F of the trajectory; its control variate M is that
 * of the martingale estimator, fitted to a pilot ensemble, and has the mean zero. So the mean of F - M is an
 * unbiased estimate of E[F], with the standard error of F - M. The standard deviation is that of F.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/engine/pilot.h"
#include "runtime/reduce.h"
#include "runtime/report.h"

enum { MOST_CONTROLLED = 5000 }; /* functionals: their fits and sums take some milliseconds each */

/* ---- the objective ----------------------------------------------------------------------------- */

/* The expression of one column. */
static Expr
column_value(Network *network, const Observable *observable, u32 member)
{
    Expr numbers[RXN_MAX_RANK];
    for (u32 k = observable->shape.rank; k-- > 0;) {
        numbers[k] = rxn__expr_number(network, member % observable->shape.extent[k]);
        member /= observable->shape.extent[k];
    }
    return rxn__expr_substitute(network, observable->value, observable->shape.rank,
                                observable->variables, numbers);
}

/* Functional number time * columns + column. */
static void
set_objective(Network *network, const SampleTimes *times, Arena *arena)
{
    Objective *objective = NEW_ARRAY(arena, Objective, 1);
    Expr *values = NEW_ARRAY(arena, Expr, network->column_count + 1);
    for (u32 k = 0; k < network->observables.count; k++) {
        Observable observable = network->observables.items[k];
        u64 members = rxn__shape_count(&observable.shape);
        for (u64 m = 0; m < members; m++)
            values[observable.flat + m] = column_value(network, &observable, (u32)m);
    }
    for (u32 t = 0; t < times->count; t++)
        for (u32 c = 0; c < network->column_count; c++) {
            Atom atom = {ATOM_STATE, values[c], times->times[t], times->times[t]};
            Expr number = rxn__expr_object(network, EXPR_QUANTITY, objective->atoms.count, 0, NULL);
            vec_push(arena, &objective->atoms, atom);
            Functional functional = {.value = number};
            vec_push(arena, &objective->functionals, functional);
        }
    network->objective = objective;
    rxn__objective_finish(network);
    objective->end = times->end;
}

static RxnStatus
refuse(Engine *engine, const char *reason)
{
    rxn__engine_error(engine, "--control-variates cannot be used here: %s", reason);
    return RXN_ERROR_INPUT;
}

RxnStatus
rxn__control_prepare(Engine *engine, ControlledRun *run)
{
    Pipeline *pipeline = run->pilot.pipeline;
    Network *network = pipeline->network;
    Text reason;
    rxn__text_init(&reason, &pipeline->arena);
    u64 cells = (u64)run->times->count * network->column_count;
    if (cells > MOST_CONTROLLED) {
        rxn__text_printf(
            &reason, "%u sample times of %u observables are %llu means, and it takes up to %d",
            run->times->count, network->column_count, (unsigned long long)cells, MOST_CONTROLLED);
        refuse(engine, reason.data);
        rxn__engine_note(engine, "fewer sample times (--every, --at) or observables will do");
        return RXN_ERROR_INPUT;
    }
    set_objective(network, run->times, &pipeline->arena);
    const Estimator *martingale = rxn__estimator_find("martingale");
    run->request = (GradientRequest){.network = network, .precision = run->pilot.stages->precision};
    run->pilot.estimator = martingale;
    run->pilot.request = &run->request;
    if (!martingale->applies(&run->request, &reason))
        return refuse(engine, reason.data);
    RxnStatus status = rxn__pilot_run(engine, &run->pilot, &run->found);
    if (status != RXN_OK)
        return status;
    status = rxn__pipeline_gradient(&engine->session, run->pilot.stages, martingale, &run->request,
                                    pipeline);
    engine->internal_error = pipeline->internal_error;
    return status;
}

/* ---- the ensemble ------------------------------------------------------------------------------ */

typedef struct Collector {
    size_t cells;
    double *rows; /* of F - M, of one block */
    size_t room;
    Moments block, all;
    bool failed;
} Collector;

static bool
take_rows(void *context, uint64_t first, uint64_t count, const double *rows, const uint64_t *events)
{
    Collector *collector = context;
    size_t cells = collector->cells, wanted = count * cells;
    (void)first;
    (void)events;
    if (wanted > collector->room) {
        double *grown = realloc(collector->rows, wanted * sizeof *grown);
        if (!grown) {
            collector->failed = true;
            return false;
        }
        collector->rows = grown;
        collector->room = wanted;
    }
    for (uint64_t k = 0; k < count; k++)
        for (size_t c = 0; c < cells; c++)
            collector->rows[k * cells + c] =
                rows[2 * k * cells + c] - rows[(2 * k + 1) * cells + c];
    rxn__moments_of_rows(&collector->block, cells, count, collector->rows);
    rxn__moments_merge(&collector->all, cells, &collector->block);
    return true;
}

static void
finish(ControlledRun *run, const Collector *collector, RxnEnsembleResult *result)
{
    double n = (double)result->trajectories;
    run->least_gain = INFINITY;
    run->most_gain = 0;
    for (size_t c = 0; c < collector->cells; c++) {
        double m2 = collector->all.m2[c];
        result->mean[c] = collector->all.mean[c];
        run->se[c] = n > 1 ? sqrt(m2 / (n - 1) / n) : NAN;
        if (!(result->m2[c] > 0 && m2 > 0))
            continue;
        run->least_gain = fmin(run->least_gain, result->m2[c] / m2);
        run->most_gain = fmax(run->most_gain, result->m2[c] / m2);
    }
}

static RxnStatus
run_ensemble(Engine *engine, ControlledRun *run, Collector *collector,
             RxnEnsembleResult *ret_result)
{
    const PilotRequest *pilot = &run->pilot;
    const GradientKernel *gradient = &pilot->pipeline->gradient;
    SampleTimes times = {gradient->times, gradient->time_count, run->times->end, 0};
    Launch launch = {
        .pipeline = pilot->pipeline,
        .values = pilot->values,
        .times = &times,
        .precision = run->request.precision,
        .seed = pilot->seed,
        .step_limit = pilot->step_limit,
    };
    RxnKernel kernel;
    RxnStatus described = rxn__describe_kernel(engine, pilot->pipeline, &kernel);
    if (described != RXN_OK)
        return described;
    u32 count;
    RxnBinding *bindings = rxn__launch_bindings(&launch, &count);
    Watched watched = rxn__watch_begin(engine, true, run->quiet);
    RxnEnsemble ensemble = {
        .kernel = &kernel,
        .bindings = bindings,
        .binding_count = count,
        .trajectories = pilot->trajectories,
        .sample_count = 1,
        .columns = rxn__row_columns(&gradient->row),
        .threads = (u32)pilot->threads,
        .statistics = true,
        .rows = take_rows,
        .rows_context = collector,
        .cancel = watched.cancel,
        .progress = watched.progress,
        .progress_context = watched.progress_context,
    };
    RxnOutcome outcome = rxn__ensemble_run(&ensemble, ret_result);
    rxn__watch_end(engine);
    if (collector->failed)
        return RXN_ERROR_MEMORY;
    return rxn__launch_outcome(engine, &launch, outcome, ret_result, pilot->trajectories);
}

RxnStatus
rxn__control_simulate(Engine *engine, ControlledRun *run, RxnEnsembleResult *ret_result)
{
    Arena *arena = &run->pilot.pipeline->arena;
    size_t cells = run->pilot.pipeline->gradient.row.functionals;
    Collector collector = {.cells = cells};
    collector.block =
        (Moments){0, NEW_ARRAY(arena, double, cells), NEW_ARRAY(arena, double, cells)};
    collector.all = (Moments){0, NEW_ARRAY(arena, double, cells), NEW_ARRAY(arena, double, cells)};
    run->se = NEW_ARRAY(arena, double, cells);
    RxnStatus status = run_ensemble(engine, run, &collector, ret_result);
    if (status == RXN_OK)
        finish(run, &collector, ret_result);
    ret_result->seconds += run->found.seconds;
    free(collector.rows);
    return status;
}
