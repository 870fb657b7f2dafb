/* launch.c: what all commands that run an ensemble share: the flags' limits, data for the kernel's buffers,
 * and what the outcome means for the user.
 */
#include <string.h>

#include "compiler/driver/driver.h"

#define AT(field) offsetof(EnsembleOptions, field)
const Option rxn__ensemble_options[ENSEMBLE_OPTION_COUNT] = {
    {"-n", "N", OPTION_COUNT, AT(trajectories), "trajectories (default 1000)"},
    {"--seed", "S", OPTION_COUNT, AT(seed), "which random numbers (default 1)"},
    {"--set", "NAME=VALUE", OPTION_TEXTS, AT(sets),
     "value of a param or input; also NAME[3]=VALUE"},
    {"--input", "FILE.csv", OPTION_TEXT, AT(input), "values of inputs and params"},
    {"--params", "FILE.json", OPTION_TEXT, AT(params),
     "values of params as 'rxn fit -o' wrote them"},
    {"--device", "NAME", OPTION_TEXT, AT(device), "auto (default), cpu, cuda, cuda:0,1, cuda:all"},
    {"--threads", "K", OPTION_COUNT, AT(threads), "threads (default: one per processor)"},
    {"--precision", "P", OPTION_TEXT, AT(precision), "f64 (default), f32: of the trajectories"},
    {"--step-limit", "N", OPTION_COUNT, AT(step_limit),
     "most steps of a trajectory (default 2^47)"},
    {"--cache", "DIR", OPTION_TEXT, AT(cache),
     "keep compiled kernels there, to start at once next time; 'none': not those of GPUs either"},
    {"--quiet", NULL, OPTION_FLAG, AT(quiet), "no table, no progress bar"},
    {"--lanes", "W", OPTION_COUNT, AT(lanes), NULL},
};
#undef AT

EnsembleOptions
rxn__ensemble_defaults(void)
{
    return (EnsembleOptions){.trajectories = UINT64_MAX, /* not given */
                             .seed = 1,
                             .step_limit = UINT64_C(1) << 47,
                             .precision = "f64"};
}

static bool
is_stdout(const char *path)
{
    return path && strcmp(path, "-") == 0;
}

bool
rxn__takes_stdout(const EnsembleOptions *options)
{
    return is_stdout(options->csv) || is_stdout(options->json);
}

bool
rxn__check_ensemble(Driver *driver, EnsembleOptions *options)
{
    enum { DEFAULT_TRAJECTORIES = 1000 };
    u32 errors = driver->session.diagnostics.error_count;
    options->counted = options->trajectories != UINT64_MAX;
    if (!options->counted)
        options->trajectories = DEFAULT_TRAJECTORIES;
    if (options->trajectories == 0)
        rxn__driver_error(driver, "-n is 0; at least one trajectory is needed");
    if (options->threads > 4096)
        rxn__driver_error(driver, "--threads %llu is more than 4096",
                          (unsigned long long)options->threads);
    rxn__check_precision(driver, options->precision);
    options->chose_device = options->device != NULL;
    if (!options->device)
        options->device = "auto";
    rxn__check_device(driver, options);
    rxn__check_lanes(driver, options->lanes);
    if (options->step_limit == 0)
        rxn__driver_error(driver, "--step-limit is 0");
    if (options->step_limit > UINT64_C(1) << 47)
        rxn__driver_error(driver, "--step-limit is more than 2^47");
    if (is_stdout(options->csv) && is_stdout(options->json))
        rxn__driver_error(driver, "-o and --json cannot both go to standard output");
    return driver->session.diagnostics.error_count == errors;
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
rxn__launch_outcome(Driver *driver, const Launch *launch, RxnOutcome outcome,
                    const RxnEnsembleResult *result, u64 trajectories)
{
    switch (outcome) {
    case RXN_DONE: return RXN_OK;
    case RXN_FAULTED:
        rxn__report_fault(driver, &(FaultContext){.pipeline = launch->pipeline,
                                                  .values = launch->values,
                                                  .fault = &result->fault,
                                                  .precision = launch->precision,
                                                  .seed = launch->seed,
                                                  .step_limit = launch->step_limit,
                                                  .pair = launch->pair});
        return RXN_ERROR_INPUT;
    case RXN_STOPPED:
        rxn__driver_error(driver, "%s after %llu of %llu trajectories%s",
                          driver->is_library ? "cancelled" : "interrupted",
                          (unsigned long long)result->trajectories,
                          (unsigned long long)trajectories,
                          driver->is_library ? "" : "; nothing was written");
        return RXN_CANCELLED;
    case RXN_REFUSED:
    case RXN_NO_MEMORY: rxn__driver_error(driver, "%s", result->error); return RXN_ERROR_INPUT;
    case RXN_REJECTED: return RXN_ERROR_INPUT; /* whoever rejected says why */
    case RXN_BROKEN:
        driver->internal_error =
            rxn__arena_copy_text(&driver->session.arena, result->error, strlen(result->error));
        return RXN_ERROR_INTERNAL;
    }
    return RXN_ERROR_INTERNAL;
}
