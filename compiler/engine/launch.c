/* launch.c: what all commands that run an ensemble share: the flags' limits, data for the kernel's buffers,
 * and what the outcome means for the user.
 */
#include <string.h>

#include "compiler/engine/engine.h"

EnsembleOptions
rxn__ensemble_defaults(void)
{
    return (EnsembleOptions){.trajectories = UINT64_MAX, /* not given */
                             .seed = 1,
                             .step_limit = UINT64_C(1) << 47,
                             .precision = "f64"};
}

bool
rxn__check_precision(Engine *engine, const char *precision)
{
    if (strcmp(precision, "f64") == 0 || strcmp(precision, "f32") == 0)
        return true;
    rxn__engine_error(engine, "there is no precision '%s'",
                      rxn__shown(&engine->session.arena, precision, strlen(precision)));
    rxn__engine_note(engine, "precisions: f64, f32");
    return false;
}

bool
rxn__check_lanes(Engine *engine, u64 lanes)
{
    if (lanes <= 32 && (lanes & (lanes - 1)) == 0)
        return true;
    rxn__engine_error(engine, "--lanes takes 1, 2, 4, 8, 16 or 32");
    return false;
}

bool
rxn__check_ensemble(Engine *engine, EnsembleOptions *options)
{
    enum { DEFAULT_TRAJECTORIES = 1000 };
    u32 errors = engine->session.diagnostics.error_count;
    options->counted = options->trajectories != UINT64_MAX;
    if (!options->counted)
        options->trajectories = DEFAULT_TRAJECTORIES;
    if (options->trajectories == 0)
        rxn__engine_error(engine, "-n is 0; at least one trajectory is needed");
    if (options->threads > 4096)
        rxn__engine_error(engine, "--threads %llu is more than 4096",
                          (unsigned long long)options->threads);
    rxn__check_precision(engine, options->precision);
    options->chose_device = options->device != NULL;
    if (!options->device)
        options->device = "auto";
    rxn__check_device(engine, options);
    rxn__check_lanes(engine, options->lanes);
    if (options->step_limit == 0)
        rxn__engine_error(engine, "--step-limit is 0");
    if (options->step_limit > UINT64_C(1) << 47)
        rxn__engine_error(engine, "--step-limit is more than 2^47");
    return engine->session.diagnostics.error_count == errors;
}

KeptKernel
rxn__kernel_keep(const Pipeline *pipeline)
{
    return (KeptKernel){pipeline->kernel, pipeline->gradient, pipeline->compiled,
                        pipeline->interpreted};
}

void
rxn__kernel_put(Pipeline *pipeline, const KeptKernel *kept)
{
    pipeline->kernel = kept->kernel;
    pipeline->gradient = kept->gradient;
    pipeline->compiled = kept->compiled;
    pipeline->interpreted = kept->interpreted;
}

RxnBinding *
rxn__launch_bindings(Launch *launch, u32 *ret_count)
{
    Pipeline *pipeline = launch->pipeline;
    launch->sample_count = (i32)launch->times->count;
    const RxnBinding fixed[] = {
        {"seed", &launch->seed, 0},
        {"parameter", launch->values->params, 0},
        {"input", launch->values->inputs, 0},
        {"sample_time", launch->times->times, launch->times->count + 1},
        {"sample_count", &launch->sample_count, 0},
        {"end_time", &launch->times->end, 0},
        {"step_limit", &launch->step_limit, 0},
        {"sample_step", &launch->times->step, 0},
    };
    u32 tables = pipeline->kernel.tables.count, count = 0;
    RxnBinding *bindings = NEW_ARRAY(&pipeline->arena, RxnBinding, COUNT_OF(fixed) + tables);
    for (u32 k = 0; k < COUNT_OF(fixed); k++)
        bindings[count++] = fixed[k];
    for (u32 k = 0; k < tables; k++) {
        const MethodTable *constant = &pipeline->kernel.tables.items[k];
        bindings[count++] = (RxnBinding){constant->buffer, constant->data, constant->count};
    }
    *ret_count = count;
    return bindings;
}

RxnStatus
rxn__launch_outcome(Engine *engine, const Launch *launch, RxnOutcome outcome,
                    const RxnEnsembleResult *result, u64 trajectories)
{
    switch (outcome) {
    case RXN_DONE: return RXN_OK;
    case RXN_FAULTED:
        rxn__report_fault(engine, &(FaultContext){.pipeline = launch->pipeline,
                                                  .values = launch->values,
                                                  .fault = &result->fault,
                                                  .precision = launch->precision,
                                                  .seed = launch->seed,
                                                  .step_limit = launch->step_limit,
                                                  .pair = launch->pair});
        return RXN_ERROR_INPUT;
    case RXN_STOPPED:
        rxn__engine_error(engine, "%s after %llu of %llu trajectories%s",
                          engine->is_library ? "cancelled" : "interrupted",
                          (unsigned long long)result->trajectories,
                          (unsigned long long)trajectories,
                          engine->is_library ? "" : "; nothing was written");
        return RXN_CANCELLED;
    case RXN_NO_MEMORY:
        engine->is_out_of_memory = true;
        rxn__engine_error(engine, "%s", result->error);
        return RXN_ERROR_INPUT;
    case RXN_REFUSED: rxn__engine_error(engine, "%s", result->error); return RXN_ERROR_INPUT;
    case RXN_REJECTED: return RXN_ERROR_INPUT; /* whoever rejected says why */
    case RXN_BROKEN:
        engine->internal_error =
            rxn__arena_copy_text(&engine->session.arena, result->error, strlen(result->error));
        return RXN_ERROR_INTERNAL;
    }
    return RXN_ERROR_INTERNAL;
}
