/* kernels.c: which kernels a program gets. Each command is gone the way that it goes when it is run, with a target
 * that keeps kernels (target/ahead.h); so what the program looks up later is what was kept.
 */
#include <string.h>

#include "compiler/ahead/private.h"

/* The same model has the same warnings each time. */
static void
drop_warnings(Build *build)
{
    Diagnostics *diagnostics = &build->job.engine->session.diagnostics;
    if (diagnostics->error_count == 0)
        diagnostics->list.count = 0;
}

/* The kernels of GPUs come second. */
static bool
is_again(const Build *build)
{
    return strcmp(build->device, "cuda") == 0;
}

/* ---- run --------------------------------------------------------------------------------------- */

static RxnStatus
collect_run(Build *build, KirType precision)
{
    Engine *engine = build->job.engine;
    Ahead *ahead = &build->job.ahead;
    PipelineRequest request = rxn__job_request(&build->job, build->device, precision);
    request.goal = PIPELINE_COMPILED;
    request.trajectories = UINT64_MAX; /* whoever builds a program means to use it */
    ahead->what = precision == KIR_F32 ? "run --precision f32" : "run";
    ahead->for_one = true;
    RxnStatus status = rxn__pipeline_run(&engine->session, &request, &build->pipeline);
    ahead->for_one = false;
    engine->internal_error = build->pipeline.internal_error;
    if (status != RXN_OK)
        return status;
    if (precision != KIR_F64 || is_again(build))
        drop_warnings(build);
    else
        rxn__engine_tell(engine);
    rxn__pipeline_close(&build->pipeline);
    build->pipeline = (Pipeline){0};
    return RXN_OK;
}

/* ---- grad -------------------------------------------------------------------------------------- */

static void
name_kernel(void *context, const char *what)
{
    ((Build *)context)->job.ahead.what = what;
}

static void
forget_warnings(void *context)
{
    drop_warnings(context);
}

static RxnStatus
collect_gradients(Build *build)
{
    const GradAhead ahead = {.context = build, .read = forget_warnings, .next = name_kernel};
    build->grad = rxn__job_grad(&build->job, build->device, build->job.precision);
    build->grad.stages.trajectories = UINT64_MAX;
    RxnStatus status = rxn__grad_ahead(&build->grad, PIPELINE_COMPILED, &ahead);
    if (status != RXN_OK)
        return status;
    rxn__pipeline_close(&build->grad.pipeline);
    build->grad = (Grad){0};
    return RXN_OK;
}

/* ---- fit --------------------------------------------------------------------------------------- */

static RxnStatus
compile_fit(FitRun *fit)
{
    RxnStatus status = rxn__fit_setup(fit);
    if (status == RXN_OK)
        status = rxn__fit_choose(fit);
    if (status == RXN_OK && !rxn__fit_settings(fit))
        status = RXN_ERROR_INPUT;
    return status == RXN_OK ? rxn__fit_compile(fit) : status;
}

/* Data that are not there now may be there when the program runs: a program without kernels for its fit is better than
 * none. */
static void
tell_of_no_fit(Build *build)
{
    Engine *engine = build->job.engine;
    Diagnostics *diagnostics = &engine->session.diagnostics;
    if (is_again(build)) {
        diagnostics->list.count = diagnostics->error_count = 0;
        return;
    }
    rxn__diagnostics_soften(diagnostics, 0);
    rxn__engine_note(engine, "so the %s has no kernels for 'fit', which it will interpret",
                     build->options->kind == RXN_BUILD_LIBRARY ? "library" : "program");
}

static RxnStatus
collect_fit(Build *build)
{
    Engine *engine = build->job.engine;
    FitRun *fit = &build->fit;
    *fit = (FitRun){.engine = engine, .file = build->job.file, .options = rxn__fit_defaults()};
    rxn__check_ensemble(engine, &fit->options.ensemble);
    fit->options.ensemble.device = build->device;
    build->job.ahead.what = "fit";
    const RxnStatus status = compile_fit(fit);
    const bool lacks =
        (status == RXN_ERROR_INPUT || status == RXN_ERROR_USAGE) && !engine->is_out_of_memory;
    drop_warnings(build);
    if (lacks)
        tell_of_no_fit(build);
    else if (status != RXN_OK)
        return status;
    rxn__fit_put_away(fit);
    *fit = (FitRun){0};
    return RXN_OK;
}

/* ---- all of them ------------------------------------------------------------------------------- */

static RxnStatus
collect(Build *build, const char *device)
{
    build->device = device;
    RxnStatus status = collect_run(build, KIR_F64);
    if (status == RXN_OK)
        status = collect_run(build, KIR_F32);
    if (status == RXN_OK && build->job.gradient.of.count > 0)
        status = collect_gradients(build);
    if (status == RXN_OK && build->part.model->pipeline.network->fit.count > 0)
        status = collect_fit(build);
    return status;
}

/* A kernel with a tape is another one on a GPU, whose tapes are shorter; so both go the whole way. */
RxnStatus
rxn__build_kernels(Build *build)
{
    RxnStatus status = collect(build, "cpu");
    if (status != RXN_OK || build->job.ahead.architecture_count == 0)
        return status;
    return collect(build, "cuda");
}
