/* launch.c: what all commands that run an ensemble share: the flags' limits, data for the kernel's buffers,
 * and what the outcome means for the user.
 */
#include <string.h>

#include "compiler/driver/driver.h"

bool
rxn__check_ensemble(Driver *driver, EnsembleFlags *flags)
{
    u32 errors = driver->session.diagnostics.error_count;
    if (flags->trajectories == 0)
        rxn__driver_error(driver, "-n is 0; at least one trajectory is needed");
    if (flags->threads > 4096)
        rxn__driver_error(driver, "--threads %llu is more than 4096",
                          (unsigned long long)flags->threads);
    rxn__check_precision(driver, flags->precision);
    if (strcmp(flags->device, "auto") == 0)
        flags->device = "cpu";
    rxn__check_lanes(driver, flags->lanes);
    if (flags->step_limit == 0)
        rxn__driver_error(driver, "--step-limit is 0");
    if (flags->step_limit > UINT64_C(1) << 47)
        rxn__driver_error(driver, "--step-limit is more than 2^47");
    return driver->session.diagnostics.error_count == errors;
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
        rxn__report_fault(driver,
                          &(FaultContext){launch->pipeline, launch->values, &result->fault,
                                          launch->precision, launch->seed, launch->step_limit});
        return RXN_ERROR_INPUT;
    case RXN_STOPPED:
        rxn__driver_error(
            driver, "interrupted after %llu of %llu trajectories; nothing was written",
            (unsigned long long)result->trajectories, (unsigned long long)trajectories);
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
