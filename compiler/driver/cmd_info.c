/* cmd_info.c: `./model info`: what a program that `rxn build` made has in it: model, parameters, species, kernels. */
#include <math.h>
#include <string.h>

#include "compiler/driver/driver.h"
#include "compiler/target/frozen.h"
#include "runtime/report.h"

enum { MOST_ROWS = 40 }; /* of parameters or species; more are counted */

const OptionTable rxn__usage_info = {
    .command = "rxn info",
    .synopsis = "rxn info",
    .summary = "Tells what is in this program: the model with its parameters and species, which "
               "kernels it\n"
               "has code for, and for which processors and GPUs.",
    .operand = "MODEL",
};

typedef struct Info {
    Driver *driver;
    Pipeline pipeline;
} Info;

static void
print_value(const char *label, double value, bool has_bounds, double low, double high, bool fit)
{
    if (isnan(value))
        printf("  %-24s (no value)", label);
    else
        printf("  %-24s %.17g", label, value);
    if (has_bounds)
        printf("  in %g .. %g", low, high);
    printf("%s\n", fit ? "  fit" : "");
}

static void
print_rest(u64 count)
{
    if (count > MOST_ROWS)
        printf("  … and %llu more\n", (unsigned long long)(count - MOST_ROWS));
}

static void
print_params(const Pipeline *pipeline, const ModelValues *values, Arena *arena)
{
    const Network *network = pipeline->network;
    printf("\nparameters (%u)\n", network->param_count);
    u32 shown = 0;
    for (u32 k = 0; k < network->params.count; k++) {
        const Param *param = &network->params.items[k];
        u64 members = rxn__shape_count(&param->shape);
        for (u64 m = 0; m < members && shown < MOST_ROWS; m++, shown++) {
            u32 flat = param->flat + (u32)m;
            print_value(rxn__param_label(network, flat, arena), values->params[flat],
                        param->has_bounds, param->low, param->high, param->fit);
        }
    }
    print_rest(network->param_count);
    if (network->input_count > 0)
        printf("\ninputs: %u\n", network->input_count);
    printf("\nspecies (%u)\n", network->species_count);
    for (u32 s = 0; s < network->species_count && s < MOST_ROWS; s++)
        printf("  %s\n", rxn__species_label(network, s, arena));
    print_rest(network->species_count);
}

static void
print_kernels(const RxnProgram *built)
{
    printf("\nkernels (%u)\n", built->kernel_count);
    for (u32 k = 0; k < built->kernel_count; k++) {
        const RxnProgramKernel *kernel = &built->kernels[k];
        const RxnProgramCode *used = rxn__program_code(kernel, 0, NULL);
        const RxnProgramCode *narrow = rxn__program_code(kernel, 1, NULL);
        printf("  %s\n", kernel->what);
        for (u32 c = 0; c < kernel->code_count; c++)
            printf("    %-12s %2u lane%s, %s%s\n", kernel->codes[c].march, kernel->codes[c].lanes,
                   kernel->codes[c].lanes == 1 ? "" : "s", kernel->codes[c].isa,
                   &kernel->codes[c] == used     ? "  (used here)"
                   : &kernel->codes[c] == narrow ? "  (used here for one trajectory)"
                                                 : "");
        if (!used)
            printf("    none of them runs on this processor\n");
    }
}

static void
print_cuda_kernels(const RxnProgram *built)
{
    if (built->cuda_kernel_count == 0)
        return;
    printf("\nkernels for GPUs (%u), compiled by NVRTC %u.%u\n", built->cuda_kernel_count,
           built->nvrtc / 1000, built->nvrtc / 10 % 100);
    for (u32 k = 0; k < built->cuda_kernel_count; k++) {
        const RxnProgramCudaKernel *kernel = &built->cuda_kernels[k];
        printf("  %s\n", kernel->what);
        for (u32 c = 0; c < kernel->code_count; c++) {
            const RxnProgramCudaCode *code = &kernel->codes[c];
            char name[40], bytes[32];
            snprintf(name, sizeof name, code->is_ptx ? "PTX, sm_%u or newer" : "sm_%u",
                     code->architecture);
            rxn__format_grouped(bytes, sizeof bytes, code->size);
            printf("    %-20s %s bytes\n", name, bytes);
        }
    }
}

static void
print_objective(const RxnProgram *built)
{
    if (built->of_count == 0)
        return;
    printf("\ngrad differentiates\n ");
    for (u32 k = 0; k < built->of_count; k++)
        printf(" --of '%s'", built->of[k]);
    for (u32 k = 0; k < built->at_count; k++)
        printf("%s%.17g", k ? "," : " --at ", built->at[k]);
    for (u32 k = 0; k < built->wrt_count; k++)
        printf(" --wrt %s", built->wrt[k]);
    printf(" --estimator %s\n", built->estimators);
}

static RxnStatus
tell(void *context)
{
    Info *info = context;
    Driver *driver = info->driver;
    const RxnProgram *built = driver->program->built;
    PipelineRequest request = {.loader = &driver->engine.loader,
                               .goal = PIPELINE_NETWORK,
                               .method = "auto",
                               .device = "cpu",
                               .precision = KIR_F64};
    ModelValues values;
    if (!rxn__load_model(&driver->engine, NULL, &request.file))
        return RXN_ERROR_INPUT;
    RxnStatus status = rxn__pipeline_run(&driver->engine.session, &request, &info->pipeline);
    driver->engine.internal_error = info->pipeline.internal_error;
    if (status != RXN_OK)
        return status;
    if (!rxn__bind_defaults(&driver->engine, &info->pipeline, NULL, &values))
        return RXN_ERROR_INPUT;
    printf("model %s, of %s\nbuilt by rxn %s\n", built->model, built->files[0].resolved,
           built->version);
    print_params(&info->pipeline, &values, &info->pipeline.arena);
    print_kernels(built);
    print_cuda_kernels(built);
    print_objective(built);
    return RXN_OK;
}

RxnStatus
rxn__cmd_info(Driver *driver, int argc, char **argv)
{
    Info info = {.driver = driver};
    const char *model;
    bool help;
    if (!rxn__options_parse(driver, &rxn__usage_info, argc, argv, NULL, &model, &help))
        return RXN_ERROR_USAGE;
    if (help) {
        rxn__options_help(driver, &rxn__usage_info, stdout);
        return RXN_OK;
    }
    RxnStatus status = rxn__session_guard(&driver->engine.session, tell, &info);
    rxn__driver_close(driver, &info.pipeline);
    return status;
}
