/* contents.c: what a program or library that rxn built has in it, for a person to read: model, parameters, species, kernels. */
#include <math.h>
#include <stdio.h>

#include "compiler/engine/engine.h"
#include "compiler/target/frozen.h"
#include "runtime/report.h"

enum { MOST_ROWS = 40 }; /* of parameters or species; more are counted */

static void
print_value(Text *out, const char *label, double value, bool has_bounds, double low, double high,
            bool fit)
{
    if (isnan(value))
        rxn__text_printf(out, "  %-24s (no value)", label);
    else
        rxn__text_printf(out, "  %-24s %.17g", label, value);
    if (has_bounds)
        rxn__text_printf(out, "  in %g .. %g", low, high);
    rxn__text_printf(out, "%s\n", fit ? "  fit" : "");
}

static void
print_rest(Text *out, u64 count)
{
    if (count > MOST_ROWS)
        rxn__text_printf(out, "  … and %llu more\n", (unsigned long long)(count - MOST_ROWS));
}

static void
print_params(Text *out, const Pipeline *pipeline, const ModelValues *values)
{
    const Network *network = pipeline->network;
    Arena *arena = out->arena;
    rxn__text_printf(out, "\nparameters (%u)\n", network->param_count);
    u32 shown = 0;
    for (u32 k = 0; k < network->params.count; k++) {
        const Param *param = &network->params.items[k];
        u64 members = rxn__shape_count(&param->shape);
        for (u64 m = 0; m < members && shown < MOST_ROWS; m++, shown++) {
            u32 flat = param->flat + (u32)m;
            print_value(out, rxn__param_label(network, flat, arena), values->params[flat],
                        param->has_bounds, param->low, param->high, param->fit);
        }
    }
    print_rest(out, network->param_count);
    if (network->input_count > 0)
        rxn__text_printf(out, "\ninputs: %u\n", network->input_count);
    rxn__text_printf(out, "\nspecies (%u)\n", network->species_count);
    for (u32 s = 0; s < network->species_count && s < MOST_ROWS; s++)
        rxn__text_printf(out, "  %s\n", rxn__species_label(network, s, arena));
    print_rest(out, network->species_count);
}

static void
print_kernels(Text *out, const RxnProgram *built)
{
    rxn__text_printf(out, "\nkernels (%u)\n", built->kernel_count);
    for (u32 k = 0; k < built->kernel_count; k++) {
        const RxnProgramKernel *kernel = &built->kernels[k];
        const RxnProgramCode *used = rxn__program_code(kernel, 0, NULL);
        const RxnProgramCode *narrow = rxn__program_code(kernel, 1, NULL);
        rxn__text_printf(out, "  %s\n", kernel->what);
        for (u32 c = 0; c < kernel->code_count; c++)
            rxn__text_printf(out, "    %-12s %2u lane%s, %s%s\n", kernel->codes[c].march,
                             kernel->codes[c].lanes, kernel->codes[c].lanes == 1 ? "" : "s",
                             kernel->codes[c].isa,
                             &kernel->codes[c] == used     ? "  (used here)"
                             : &kernel->codes[c] == narrow ? "  (used here for one trajectory)"
                                                           : "");
        if (!used)
            rxn__text_printf(out, "    none of them runs on this processor\n");
    }
}

static void
print_cuda_kernels(Text *out, const RxnProgram *built)
{
    if (built->cuda_kernel_count == 0)
        return;
    rxn__text_printf(out, "\nkernels for GPUs (%u), compiled by NVRTC %u.%u\n",
                     built->cuda_kernel_count, built->nvrtc / 1000, built->nvrtc / 10 % 100);
    for (u32 k = 0; k < built->cuda_kernel_count; k++) {
        const RxnProgramCudaKernel *kernel = &built->cuda_kernels[k];
        rxn__text_printf(out, "  %s\n", kernel->what);
        for (u32 c = 0; c < kernel->code_count; c++) {
            const RxnProgramCudaCode *code = &kernel->codes[c];
            char name[40], bytes[32];
            snprintf(name, sizeof name, code->is_ptx ? "PTX, sm_%u or newer" : "sm_%u",
                     code->architecture);
            rxn__format_grouped(bytes, sizeof bytes, code->size);
            rxn__text_printf(out, "    %-20s %s bytes\n", name, bytes);
        }
    }
}

static void
print_objective(Text *out, const RxnProgram *built)
{
    if (built->of_count == 0)
        return;
    rxn__text_printf(out, "\ngrad differentiates\n ");
    for (u32 k = 0; k < built->of_count; k++)
        rxn__text_printf(out, " --of '%s'", built->of[k]);
    for (u32 k = 0; k < built->at_count; k++)
        rxn__text_printf(out, "%s%.17g", k ? "," : " --at ", built->at[k]);
    for (u32 k = 0; k < built->wrt_count; k++)
        rxn__text_printf(out, " --wrt %s", built->wrt[k]);
    rxn__text_printf(out, " --estimator %s\n", built->estimators);
}

void
rxn__contents(const Engine *engine, const Pipeline *pipeline, const ModelValues *values, Text *out)
{
    const RxnProgram *built = engine->built;
    rxn__text_printf(out, "model %s, of %s\nbuilt by rxn %s\n", built->model,
                     built->files[0].resolved, built->version);
    print_params(out, pipeline, values);
    print_kernels(out, built);
    print_cuda_kernels(out, built);
    print_objective(out, built);
}
