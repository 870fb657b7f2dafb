/* build_kernels.c: which kernels a program gets. Each command is gone the way that it goes when it is run, with a target
 * that keeps kernels (target/ahead.h); so what the program looks up later is what was kept.
 */
#include <math.h>
#include <string.h>

#include "compiler/driver/build.h"
#include "compiler/engine/fit.h"

PipelineRequest
rxn__build_stages(Build *build, KirType precision)
{
    return (PipelineRequest){
        .file = build->file,
        .loader = &build->driver->engine.loader,
        .goal = PIPELINE_COMPILED,
        .method = build->options.method,
        .device = build->device,
        .precision = precision,
        .target = {.lanes = (u32)build->options.grad.ensemble.lanes},
        .trajectories = UINT64_MAX, /* whoever builds a program means to use it */
    };
}

/* The same model has the same warnings each time. */
static void
drop_warnings(Driver *driver)
{
    Diagnostics *diagnostics = &driver->engine.session.diagnostics;
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
collect_run(Build *build, KirType precision, bool *ret_has_fit)
{
    Driver *driver = build->driver;
    Pipeline pipeline;
    PipelineRequest request = rxn__build_stages(build, precision);
    build->ahead.what = precision == KIR_F32 ? "run --precision f32" : "run";
    build->ahead.for_one = true;
    RxnStatus status = rxn__pipeline_run(&driver->engine.session, &request, &pipeline);
    build->ahead.for_one = false;
    driver->engine.internal_error = pipeline.internal_error;
    if (status == RXN_OK) {
        const char *name = pipeline.network->name ? pipeline.network->name->text : "model";
        build->name = rxn__arena_copy_text(&driver->engine.session.arena, name, strlen(name));
        *ret_has_fit = pipeline.network->fit.count > 0;
        if (precision != KIR_F64 || is_again(build))
            drop_warnings(driver);
    }
    rxn__driver_close(driver, &pipeline);
    return status;
}

/* ---- grad -------------------------------------------------------------------------------------- */

static void
name_kernel(void *context, const char *what)
{
    ((Build *)context)->ahead.what = what;
}

static void
forget_warnings(void *context)
{
    drop_warnings(((Build *)context)->driver);
}

static RxnStatus
collect_gradients(Build *build)
{
    Grad grad = {
        .engine = &build->driver->engine, .options = build->options.grad, .file = build->file};
    grad.stages =
        rxn__build_stages(build, strcmp(build->options.precision, "f32") == 0 ? KIR_F32 : KIR_F64);
    const GradAhead ahead = {.context = build, .read = forget_warnings, .next = name_kernel};
    RxnStatus status = rxn__grad_ahead(&grad, PIPELINE_COMPILED, &ahead);
    rxn__driver_close(build->driver, &grad.pipeline);
    return status;
}

/* ---- fit --------------------------------------------------------------------------------------- */

static RxnStatus
prepare_fit(void *context)
{
    FitRun *fit = context;
    RxnStatus status = rxn__fit_setup(fit);
    if (status == RXN_OK)
        status = rxn__fit_choose(fit);
    if (status == RXN_OK && !rxn__fit_settings(fit))
        status = RXN_ERROR_INPUT;
    return status == RXN_OK ? rxn__fit_compile(fit) : status;
}

/* Data that are not there now may be there when the program runs: a program without kernels for its fit is better than
 * none. */
static RxnStatus
collect_fit(Build *build)
{
    Driver *driver = build->driver;
    FitRun fit = {.engine = &driver->engine, .file = build->file, .options = rxn__fit_defaults()};
    rxn__check_ensemble(&driver->engine, &fit.options.ensemble);
    fit.options.ensemble.device = build->device;
    build->ahead.what = "fit";
    RxnStatus status = rxn__session_guard(&driver->engine.session, prepare_fit, &fit);
    drop_warnings(driver);
    bool lacks = status == RXN_ERROR_INPUT || status == RXN_ERROR_USAGE;
    if (lacks && is_again(build)) {
        driver->engine.session.diagnostics.list.count =
            driver->engine.session.diagnostics.error_count = 0;
        status = RXN_OK;
    } else if (lacks) {
        rxn__diagnostics_soften(&driver->engine.session.diagnostics, 0);
        rxn__driver_note(driver,
                         "so the program has no kernels for 'fit', which it will interpret");
        status = RXN_OK;
    }
    rxn__fit_put_away(&fit);
    return status;
}

static RxnStatus
collect(Build *build)
{
    bool has_fit = false;
    RxnStatus status = collect_run(build, KIR_F64, &has_fit);
    if (status == RXN_OK)
        status = collect_run(build, KIR_F32, &has_fit);
    if (status == RXN_OK && build->options.grad.of.count > 0)
        status = collect_gradients(build);
    if (status == RXN_OK && has_fit)
        status = collect_fit(build);
    return status;
}

/* A kernel with a tape is another one on a GPU, whose tapes are shorter; so both go the whole way. */
RxnStatus
rxn__build_kernels(Build *build)
{
    build->device = "cpu";
    RxnStatus status = collect(build);
    if (status != RXN_OK || build->ahead.architecture_count == 0)
        return status;
    build->device = "cuda";
    return collect(build);
}
