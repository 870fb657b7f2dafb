/* grad.c: the way of a request for derivatives: what its options are, the network with its objective, one estimator after
 * another.
 */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "compiler/engine/grad.h"
#include "compiler/method/control.h"
#include "compiler/target/program_abi.h"
#include "runtime/control.h"

static u64
memory_of_machine(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (u64)pages * (u64)size : UINT64_C(1) << 30;
}

bool
rxn__grad_tape_memory(Grad *grad)
{
    const GradOptions *o = &grad->options;
    if (o->tape_memory && grad->engine->built) {
        rxn__engine_error(grad->engine,
                          "the tapes of this program were given their size when it was "
                          "built: 'rxn build --tape BYTES'%s",
                          grad->engine->cuda_tape_bytes ? ", on GPUs '--cuda-tape BYTES'" : "");
        return false;
    }
    grad->tape_memory = memory_of_machine() / 4;
    if (o->tape_memory && !rxn__parse_bytes(o->tape_memory, &grad->tape_memory)) {
        rxn__engine_error(
            grad->engine, "--tape-memory takes a number of bytes as 500M or 2G, not '%s'",
            rxn__shown(&grad->engine->session.arena, o->tape_memory, strlen(o->tape_memory)));
        return false;
    }
    return true;
}

void
rxn__grad_defaults(GradOptions *options)
{
    *options = (GradOptions){.ensemble = rxn__ensemble_defaults(),
                             .draws = 1,
                             .tau = 1,
                             .difference = 0.01,
                             .estimators = "auto"};
}

bool
rxn__grad_check_objective(Engine *engine, const GradOptions *options)
{
    u32 errors = engine->session.diagnostics.error_count;
    if (options->of.count == 0) {
        rxn__engine_error(engine, "nothing says what to differentiate");
        rxn__engine_note(engine, "give --of EXPR, an expression of what the model has, and --at T");
    }
    for (u32 k = 0; k < options->at.count; k++)
        if (!(options->at.items[k] >= 0))
            rxn__engine_error(engine, "--at %g is before the start, which is 0",
                              options->at.items[k]);
    rxn__grad_check_estimators(engine, options->estimators);
    return engine->session.diagnostics.error_count == errors;
}

/* A program that was built for an objective differentiates that if nothing else is said. */
static void
take_objective_of_program(Grad *grad)
{
    const RxnProgram *built = grad->engine->built;
    GradOptions *o = &grad->options, usual;
    Arena *arena = &grad->engine->session.arena;
    if (!built || built->of_count == 0 || o->of.count > 0)
        return;
    rxn__grad_defaults(&usual);
    for (u32 k = 0; k < built->of_count; k++)
        vec_push(arena, &o->of, built->of[k]);
    bool own_times = o->at.count > 0, own_params = o->wrt.count > 0;
    for (u32 k = 0; !own_times && k < built->at_count; k++)
        vec_push(arena, &o->at, built->at[k]);
    for (u32 k = 0; !own_params && k < built->wrt_count; k++)
        vec_push(arena, &o->wrt, built->wrt[k]);
    if (strcmp(o->estimators, usual.estimators) == 0)
        o->estimators = built->estimators;
    if (!o->form)
        o->form = built->form;
    o->draws = o->draws == usual.draws ? built->draws : o->draws;
    o->bins = o->bins == usual.bins ? built->bins : o->bins;
    o->degree = o->degree == usual.degree ? built->degree : o->degree;
    o->tau = o->tau == usual.tau ? built->tau : o->tau;
    o->difference = o->difference == usual.difference ? built->difference : o->difference;
}

bool
rxn__grad_check_options(Grad *grad)
{
    Engine *engine = grad->engine;
    GradOptions *o = &grad->options;
    u32 errors = engine->session.diagnostics.error_count;
    take_objective_of_program(grad);
    rxn__check_ensemble(engine, &o->ensemble);
    rxn__grad_check_objective(engine, o);
    if (!(o->tau > 0))
        rxn__engine_error(engine, "--tau is %g; it has to be positive", o->tau);
    if (o->draws == 0 || o->draws > 1000)
        rxn__engine_error(engine, "--draws takes 1 .. 1000");
    if (!(o->difference > 0 && o->difference < 1))
        rxn__engine_error(engine, "--difference is %g; it has to be between 0 and 1",
                          o->difference);
    if (o->bins > 10000)
        rxn__engine_error(engine, "--bins takes 1 .. 10000");
    if (o->degree > RXN_MAX_GRADES)
        rxn__engine_error(engine, "--degree takes 1 .. %d", (int)RXN_MAX_GRADES);
    if (o->pilot == 1 || o->pilot > 1000000)
        rxn__engine_error(engine, "--pilot takes 2 .. 1000000");
    if (o->form && strcmp(o->form, "unrolled") != 0 && strcmp(o->form, "table") != 0 &&
        strcmp(o->form, "dense") != 0)
        rxn__engine_error(engine, "--form takes unrolled, table and dense");
    rxn__grad_tape_memory(grad);
    return engine->session.diagnostics.error_count == errors;
}

/* ---- the way of a request ---------------------------------------------------------------------- */

void
rxn__grad_times(Grad *grad)
{
    const Objective *objective = grad->pipeline.network->objective;
    u32 count = objective->times.count;
    double *times = NEW_ARRAY(&grad->pipeline.arena, double, (size_t)count + 1);
    for (u32 k = 0; k < count; k++)
        times[k] = objective->times.items[k];
    times[count] = INFINITY;
    grad->times = (SampleTimes){times, count, objective->end, 0};
}

RxnStatus
rxn__grad_network(Grad *grad)
{
    const GradOptions *o = &grad->options;
    grad->objective = (ObjectiveRequest){o->of.items, o->of.count, o->at.items, o->at.count};
    grad->stages.objective = grad->stages.fit ? NULL : &grad->objective;
    grad->stages.goal = PIPELINE_NETWORK;
    RxnStatus status = rxn__pipeline_run(&grad->engine->session, &grad->stages, &grad->pipeline);
    grad->engine->internal_error = grad->pipeline.internal_error;
    grad->request = (GradientRequest){
        .network = grad->pipeline.network,
        .precision = grad->stages.precision,
        .form = !o->form                        ? GRADIENT_FORM_AUTO
                : strcmp(o->form, "table") == 0 ? GRADIENT_FORM_TABLE
                : strcmp(o->form, "dense") == 0 ? GRADIENT_FORM_DENSE
                                                : GRADIENT_FORM_UNROLLED,
        .tape_bytes =
            rxn__grad_tape_bytes(grad, o->ensemble.lanes ? (u32)o->ensemble.lanes : MOST_LANES),
        .tau = o->tau,
        .draws = (u32)o->draws,
        .difference = o->difference,
        .bins = (u32)o->bins,
        .degree = (u32)o->degree,
    };
    return status;
}

/* With `all`, an estimator that cannot do it is passed over. One that was named has been asked before (but for what
 * shows only while the master equation is solved). */
static RxnStatus
refuse(Grad *grad, const char *name, const char *reason)
{
    if (grad->all) {
        rxn__engine_note(grad->engine, "%s is left out: %s", name, reason);
        return RXN_OK;
    }
    rxn__engine_error(grad->engine, "the estimator '%s' cannot differentiate this: %s", name,
                      reason);
    return RXN_ERROR_INPUT;
}

static RxnStatus
estimate(Grad *grad, const char *name)
{
    const Estimator *estimator = rxn__estimator_find(name);
    if (!estimator)
        return rxn__grad_exact(grad, refuse);
    Text reason;
    rxn__text_init(&reason, &grad->pipeline.arena);
    if (grad->all && !estimator->applies(&grad->request, &reason))
        return refuse(grad, name, reason.data);
    return rxn__grad_run(grad, estimator, &grad->runners[grad->running]);
}

/* An estimator of several that could not end is kept with what was reported, at once, for the others may take long.
 * Trajectories are the same for many of them: the same fault is told once. */
static void
keep_failure(Grad *grad, const char *name)
{
    Engine *engine = grad->engine;
    Diagnostics *diagnostics = &engine->session.diagnostics;
    GradFailure failure = {.estimator = name, .error = "too many errors before"};
    const char *same = NULL;
    for (u32 k = diagnostics->list.count; k-- > 0;)
        if (diagnostics->list.items[k].kind == DIAGNOSTIC_ERROR)
            failure.error = diagnostics->list.items[k].message;
    for (u32 k = 0; k < grad->failures.count && !same; k++)
        if (strcmp(grad->failures.items[k].error, failure.error) == 0)
            same = grad->failures.items[k].estimator;
    if (same) {
        diagnostics->list.count = 0;
        rxn__engine_error(engine, "the estimator '%s' failed as '%s' did", name, same);
    } else {
        rxn__engine_note(engine, "that was the estimator '%s', number %u of %u", name,
                         grad->running + 1, grad->estimators.count);
    }
    failure.error = rxn__arena_copy_text(grad->found, failure.error, strlen(failure.error));
    vec_push(grad->found, &grad->failures, failure);
    rxn__engine_tell(engine);
}

RxnStatus
rxn__grad_estimate(Grad *grad)
{
    u32 count = grad->estimators.count;
    memset(&grad->estimates, 0, sizeof grad->estimates); /* those of a call before are gone */
    memset(&grad->failures, 0, sizeof grad->failures);
    for (grad->running = 0; grad->running < count; grad->running++) {
        const char *name = grad->estimators.items[grad->running];
        RxnStatus status = estimate(grad, name);
        if (status == RXN_ERROR_INPUT && count > 1)
            keep_failure(grad, name);
        else if (status != RXN_OK)
            return status;
    }
    if (grad->estimates.count > 0)
        return RXN_OK;
    if (grad->failures.count == 0)
        rxn__engine_error(grad->engine, "no estimator can differentiate this");
    return RXN_ERROR_INPUT;
}

/* ---- the way of a request, to the first estimator ----------------------------------------------- */

RxnStatus
rxn__grad_choose(Grad *grad)
{
    if (!rxn__grad_parameters(grad))
        return grad->misnamed ? RXN_ERROR_USAGE : RXN_ERROR_INPUT;
    return rxn__grad_estimators(grad) ? RXN_OK : RXN_ERROR_INPUT;
}

RxnStatus
rxn__grad_prepare(Grad *grad)
{
    Engine *engine = grad->engine;
    const GradOptions *o = &grad->options;
    grad->stages = (PipelineRequest){
        .file = grad->file,
        .loader = &engine->loader,
        .device = o->ensemble.device,
        .precision = strcmp(o->ensemble.precision, "f32") == 0 ? KIR_F32 : KIR_F64,
        .target = {.lanes = (u32)o->ensemble.lanes, .cache = o->ensemble.cache},
        .trajectories = o->ensemble.trajectories,
        .open_numbers = grad->decided != NULL,
    };
    RxnStatus status = rxn__grad_network(grad);
    if (status != RXN_OK)
        return status;
    rxn__engine_tell(engine);
    grad->stages.goal = PIPELINE_COMPILED;
    BindRequest bind = {.given = o->ensemble.given, .seed = o->ensemble.seed};
    if (!rxn__bind(engine, &grad->pipeline, &bind, &grad->values))
        return RXN_ERROR_INPUT;
    rxn__grad_times(grad);
    status = rxn__grad_choose(grad);
    if (status != RXN_OK)
        return status;
    rxn__grad_outputs(grad);
    grad->runners = NEW_ARRAY(&grad->pipeline.arena, GradRunner, grad->estimators.count);
    grad->trajectories = o->ensemble.trajectories;
    grad->found = &grad->pipeline.arena;
    return RXN_OK;
}

void
rxn__grad_close(Grad *grad)
{
    for (u32 k = 0; grad->runners && k < grad->estimators.count; k++)
        rxn__grad_runner_close(&grad->runners[k]);
}
