/* api_gradient.c: differentiators: one estimator's kernel, compiled once, and evaluated at any values. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/cme/cme.h"
#include "compiler/engine/api.h"
#include "compiler/engine/grad.h"
#include "runtime/report.h"

struct RxnDifferentiator {
    ApiPart part;
    Grad grad;
    const Estimator *estimator; /* NULL: the master equation */
    GradRunner runner;
    const char **outputs;
    Pipeline scratch; /* that of the differentiator, with an arena of one evaluation's own */
    double seconds_compile;
    double *value, *value_se; /* [outputs] */
    double *gradient, *se;    /* [outputs][parameters] */
};

RxnDifferentiatorOptions
rxn_differentiator_options(void)
{
    GradOptions usual;
    rxn__grad_defaults(&usual);
    return (RxnDifferentiatorOptions){.estimator = usual.estimators,
                                      .draws = usual.draws,
                                      .tau = usual.tau,
                                      .difference = usual.difference,
                                      .kernel = rxn_simulator_options()};
}

/* ---- making ------------------------------------------------------------------------------------ */

typedef struct Making {
    RxnDifferentiator *differentiator;
    const RxnDifferentiatorOptions *options;
    const RxnValues *values;
} Making;

static RxnStatus
take_options(Making *making)
{
    RxnDifferentiator *d = making->differentiator;
    const RxnDifferentiatorOptions *from = making->options;
    Engine *engine = &d->part.engine;
    Arena *arena = &engine->session.arena;
    GradOptions *o = &d->grad.options;
    rxn__grad_defaults(o);
    RxnStatus status = rxn__api_kernel_options(&d->part, &from->kernel, &o->ensemble);
    if (status != RXN_OK)
        return status;
    for (size_t k = 0; k < from->of_count; k++)
        vec_push(arena, &o->of, rxn__arena_copy_text(arena, from->of[k], strlen(from->of[k])));
    for (size_t k = 0; k < from->at_count; k++)
        vec_push(arena, &o->at, from->at[k]);
    for (size_t k = 0; k < from->wrt_count; k++)
        vec_push(arena, &o->wrt, rxn__arena_copy_text(arena, from->wrt[k], strlen(from->wrt[k])));
    if (from->estimator)
        o->estimators = rxn__arena_copy_text(arena, from->estimator, strlen(from->estimator));
    o->draws = from->draws ? from->draws : o->draws;
    o->bins = from->bins;
    o->degree = from->degree;
    o->pilot = from->pilot;
    o->tau = from->tau != 0 ? from->tau : o->tau;
    o->difference = from->difference != 0 ? from->difference : o->difference;
    if (from->tape_memory) {
        Text bytes;
        rxn__text_init(&bytes, arena);
        rxn__text_printf(&bytes, "%llu", (unsigned long long)from->tape_memory);
        o->tape_memory = bytes.data;
    }
    if (strchr(o->estimators, ',') || strcmp(o->estimators, "all") == 0)
        return rxn__api_refuse(engine, "a differentiator has one estimator, not '%s'",
                               o->estimators);
    if (making->values->model != d->part.model)
        return rxn__api_refuse(engine, "these values are of another model");
    const EnsembleOptions opened = o->ensemble; /* its device is settled */
    if (!rxn__grad_check_options(&d->grad))
        return RXN_ERROR_USAGE;
    o->ensemble = opened;
    o->ensemble.seed = making->values->seed;
    o->ensemble.given = &making->values->given;
    return RXN_OK;
}

/* "var(A) at 10"; one that has its times in itself is not at one. */
static const char *
output_label(const Output *output, Arena *arena)
{
    Text text;
    rxn__text_init(&text, arena);
    rxn__text_printf(&text, "%s", output->label);
    if (!isnan(output->time))
        rxn__text_printf(&text, " at %.10g", output->time);
    return text.data;
}

static void
label_outputs(RxnDifferentiator *d)
{
    const Grad *grad = &d->grad;
    Arena *arena = &d->part.engine.session.arena;
    d->outputs = NEW_ARRAY(arena, const char *, (size_t)grad->output_count + 1);
    for (u32 k = 0; k < grad->output_count; k++)
        d->outputs[k] = output_label(&grad->pipeline.network->objective->outputs.items[k], arena);
}

static RxnStatus
compile(void *context)
{
    Making *making = context;
    RxnDifferentiator *d = making->differentiator;
    Grad *grad = &d->grad;
    RxnStatus status = take_options(making);
    if (status != RXN_OK)
        return status;
    grad->file = d->part.file;
    status = rxn__grad_prepare(grad);
    grad->options.ensemble.given = NULL;
    if (status != RXN_OK)
        return status;
    d->estimator = rxn__estimator_find(grad->estimators.items[0]);
    Arena *arena = &d->part.engine.session.arena;
    size_t outputs = grad->output_count, cells = outputs * grad->request.wrt_count;
    d->value = NEW_ARRAY(arena, double, outputs + 1);
    d->value_se = NEW_ARRAY(arena, double, outputs + 1);
    d->gradient = NEW_ARRAY(arena, double, cells + 1);
    d->se = NEW_ARRAY(arena, double, cells + 1);
    label_outputs(d);
    if (!d->estimator)
        return RXN_OK;
    status = rxn__grad_runner_open(grad, d->estimator, making->values->seed, &d->runner);
    if (status == RXN_OK)
        rxn__warn_interpreted(grad->engine, &grad->pipeline, NULL);
    d->seconds_compile = d->runner.seconds_compile;
    return status;
}

RxnStatus
rxn_differentiator_new(RxnModel *model, const RxnDifferentiatorOptions *options,
                       const RxnValues *values, RxnDifferentiator **ret_differentiator,
                       RxnError **ret_error)
{
    *ret_differentiator = NULL;
    RxnDifferentiator *d = calloc(1, sizeof *d);
    if (!d)
        return rxn__api_no_memory(ret_error);
    const RxnDifferentiatorOptions usual = rxn_differentiator_options();
    Making making = {d, options ? options : &usual, values};
    RxnStatus status = rxn__part_open(&d->part, model);
    rxn__arena_init(&d->scratch.arena, &d->part.engine.session.memory);
    d->grad.engine = &d->part.engine;
    if (status == RXN_OK)
        status = rxn__api_guard(&d->part.engine, compile, &making);
    status = rxn__part_finish(&d->part, status, ret_error);
    if (status == RXN_OK)
        *ret_differentiator = d;
    else
        rxn_differentiator_free(d);
    return status;
}

void
rxn_differentiator_free(RxnDifferentiator *d)
{
    if (!d)
        return;
    if (d->runner.grad)
        rxn__grad_runner_close(&d->runner);
    rxn__arena_release(&d->scratch.arena);
    if (d->grad.pipeline.arena.memory)
        rxn__pipeline_close(&d->grad.pipeline);
    rxn__part_close(&d->part);
    free(d);
}

RxnDifferentiatorInfo
rxn_differentiator_info(const RxnDifferentiator *d)
{
    const Grad *grad = &d->grad;
    const GradientKernel *kernel = &d->runner.kept.gradient;
    return (RxnDifferentiatorInfo){
        .estimator = grad->estimators.items[0],
        .why = grad->choice,
        .remarks = d->runner.pilot.remark ? d->runner.pilot.remark : kernel->remarks,
        .unbiased = d->estimator ? kernel->unbiased : true,
        .exact = !d->estimator,
        .output_count = grad->output_count,
        .parameter_count = grad->request.wrt_count,
        .outputs = d->outputs,
        .parameters = grad->labels,
        .seconds_compile = d->seconds_compile,
    };
}

/* ---- evaluation -------------------------------------------------------------------------------- */

typedef struct Evaluating {
    RxnDifferentiator *differentiator;
    const RxnValues *values;
    const RxnRunOptions *options;
    RxnDerivatives *derivatives;
} Evaluating;

/* The values' numbers in the place of those of the call before. */
static RxnStatus
take_values(Evaluating *evaluating)
{
    RxnDifferentiator *d = evaluating->differentiator;
    const RxnValues *values = evaluating->values;
    Engine *engine = &d->part.engine;
    const Network *network = d->grad.pipeline.network;
    if (values->model != d->part.model)
        return rxn__api_refuse(engine, "these values are of another model");
    rxn__arena_release(&d->scratch.arena);
    const Arena arena = d->scratch.arena;
    d->scratch = d->grad.pipeline;
    d->scratch.arena = arena;
    TextList none = {0};
    ModelValues numbers;
    BindRequest bind = {.sets = &none, .seed = values->seed, .given = &values->given};
    bool good = rxn__bind(engine, &d->scratch, &bind, &numbers);
    if (good) {
        memcpy(d->grad.values.params, numbers.params, network->param_count * sizeof(double));
        memcpy(d->grad.values.inputs, numbers.inputs, network->input_count * sizeof(double));
    }
    return good ? RXN_OK : RXN_ERROR_INPUT;
}

static RxnStatus
solve(Evaluating *evaluating)
{
    RxnDifferentiator *d = evaluating->differentiator;
    Grad *grad = &d->grad;
    size_t outputs = grad->output_count, cells = outputs * grad->request.wrt_count;
    Watched watched = rxn__watch_begin(grad->engine, false, !evaluating->options->progress);
    CmeModel model = {grad->pipeline.network, grad->values.params, grad->values.inputs};
    CmeOptions options = {.cancel = watched.cancel,
                          .progress = watched.progress,
                          .progress_context = watched.progress_context};
    CmeGradient found = {0};
    const char *reason = NULL;
    RxnStatus status =
        rxn__cme_gradient(&model, grad->pipeline.network->objective, grad->request.wrt,
                          grad->request.wrt_count, &options, &d->scratch.arena, &found, &reason);
    rxn__watch_end(grad->engine);
    if (status == RXN_ERROR_INPUT)
        rxn__engine_error(grad->engine, "the estimator 'exact' cannot differentiate this: %s",
                          reason ? reason : "no reason given");
    if (status == RXN_CANCELLED)
        rxn__engine_error(grad->engine, "interrupted in the master equation");
    if (status == RXN_ERROR_INTERNAL)
        grad->engine->internal_error = reason;
    if (status != RXN_OK)
        return status;
    memcpy(d->value, found.value, outputs * sizeof(double));
    memcpy(d->gradient, found.gradient, cells * sizeof(double));
    memset(d->value_se, 0, outputs * sizeof(double));
    memset(d->se, 0, cells * sizeof(double));
    return RXN_OK;
}

static RxnStatus
estimate(Evaluating *evaluating)
{
    RxnDifferentiator *d = evaluating->differentiator;
    Grad *grad = &d->grad;
    GradRunner *runner = &d->runner;
    const RxnRunOptions *o = evaluating->options;
    u64 n = o->trajectories;
    if (runner->has_pilot) {
        runner->pilot_request.threads = o->threads;
        runner->pilot_request.step_limit = o->step_limit;
        runner->pilot_program.trajectories =
            grad->options.pilot ? (u32)grad->options.pilot
                                : (u32)rxn__pilot_size(runner->pilot_program.plan, n);
        RxnStatus status = rxn__grad_runner_refresh(runner, o->seed);
        if (status != RXN_OK)
            return status;
    }
    runner->launch.step_limit = o->step_limit;
    GradEvaluation evaluation = {.seed = o->seed,
                                 .trajectories = n,
                                 .name = runner->estimator->name,
                                 .progress = o->progress != NULL};
    RxnStatus status = rxn__grad_runner_evaluate(runner, &evaluation);
    if (status != RXN_OK)
        return status;
    const RxnGradientResult *result = evaluation.result;
    size_t outputs = grad->output_count, cells = outputs * grad->request.wrt_count;
    memcpy(d->value, result->value, outputs * sizeof(double));
    memcpy(d->value_se, result->value_se, outputs * sizeof(double));
    memcpy(d->gradient, result->gradient, cells * sizeof(double));
    for (size_t c = 0; c < cells; c++)
        d->se[c] = result->sd[c] / sqrt((double)n);
    evaluating->derivatives->trajectories = n;
    evaluating->derivatives->events = evaluation.events + runner->pilot.events;
    return RXN_OK;
}

static RxnStatus
evaluate(void *context)
{
    Evaluating *evaluating = context;
    RxnDifferentiator *d = evaluating->differentiator;
    double start = rxn__seconds();
    EnsembleOptions checked = d->grad.options.ensemble;
    RxnStatus status = rxn__api_run_options(&d->part, evaluating->options, &checked);
    if (status != RXN_OK)
        return status;
    u64 most = d->grad.options.ensemble.trajectories;
    d->grad.options.ensemble = checked;
    d->grad.options.ensemble.trajectories = most; /* by which tapes were given their size */
    status = take_values(evaluating);
    if (status == RXN_OK)
        status = d->estimator ? estimate(evaluating) : solve(evaluating);
    RxnDerivatives *derivatives = evaluating->derivatives;
    derivatives->seconds = rxn__seconds() - start;
    derivatives->output_count = d->grad.output_count;
    derivatives->parameter_count = d->grad.request.wrt_count;
    derivatives->value = d->value;
    derivatives->value_se = d->value_se;
    derivatives->gradient = d->gradient;
    derivatives->se = d->se;
    return status;
}

RxnStatus
rxn_differentiate(RxnDifferentiator *d, const RxnValues *values, const RxnRunOptions *options,
                  RxnDerivatives *ret_derivatives, RxnError **ret_error)
{
    const RxnRunOptions usual = rxn_run_options();
    Evaluating evaluating = {d, values, options ? options : &usual, ret_derivatives};
    *ret_derivatives = (RxnDerivatives){0};
    rxn__part_watch(&d->part, evaluating.options);
    RxnStatus status = rxn__api_guard(&d->part.engine, evaluate, &evaluating);
    rxn__part_watch(&d->part, NULL);
    status = rxn__part_finish(&d->part, status, ret_error);
    if (status != RXN_OK)
        *ret_derivatives = (RxnDerivatives){0};
    return status;
}
