/* grad_value.c: the values of an objective's functionals and nothing else: no derivatives, so it takes every functional and
 * every network that can be simulated. For losses that are only looked at (a validation), for measures, and for optimizers
 * that do without derivatives.
 *
 * What a trajectory does is the same to the last bit as under the estimators: the recorder only looks.
 */
#include "compiler/method/grad_record.h"

typedef struct ValueKernel {
    GradientRow row;
    const Objective *objective;
    Recorder recorder;
} ValueKernel;

static void
declare(SsaFrame *frame, void *context)
{
    ValueKernel *kernel = context;
    rxn__recorder_declare(&kernel->recorder, frame, kernel->objective, "");
}

static void
start(SsaFrame *frame, void *context)
{
    ValueKernel *kernel = context;
    (void)frame;
    rxn__recorder_start(&kernel->recorder);
}

static void
rates(SsaFrame *frame, void *context, const KirValue *propensities, KirValue span)
{
    ValueKernel *kernel = context;
    (void)frame;
    (void)propensities;
    rxn__recorder_rates(&kernel->recorder, span);
}

static void
record(SsaFrame *frame, void *context, KirValue row, KirValue time)
{
    ValueKernel *kernel = context;
    (void)frame;
    rxn__recorder_record(&kernel->recorder, row, time);
}

static void
elapse(SsaFrame *frame, void *context, const KirValue *below)
{
    ValueKernel *kernel = context;
    (void)frame;
    (void)below;
    rxn__recorder_elapse(&kernel->recorder);
}

static void
finish(SsaFrame *frame, void *context)
{
    ValueKernel *kernel = context;
    rxn__recorder_finish(&kernel->recorder);
    for (u32 i = 0; i < kernel->row.functionals; i++)
        rxn__row_store(frame, rxn__row_value(&kernel->row, i),
                       rxn__recorder_functional(&kernel->recorder, i));
}

/* AUTO: neither. */
static GradientForm
form_of(const GradientRequest *request, Text *ret_reason)
{
    Text why;
    rxn__text_init(&why, request->network->arena);
    bool unrolled = rxn__ssa_unrolled_applies(request->network, &why);
    bool wanted = request->form == GRADIENT_FORM_UNROLLED ||
                  (request->form == GRADIENT_FORM_AUTO && rxn__ssa_is_small(request->network));
    if (unrolled && wanted)
        return GRADIENT_FORM_UNROLLED;
    if (request->form != GRADIENT_FORM_UNROLLED &&
        rxn__ssa_table_applies(request->network, ret_reason))
        return GRADIENT_FORM_TABLE;
    if (unrolled && request->form == GRADIENT_FORM_AUTO)
        return GRADIENT_FORM_UNROLLED;
    if (request->form == GRADIENT_FORM_UNROLLED)
        rxn__text_append(ret_reason, why.data, why.length);
    return GRADIENT_FORM_AUTO;
}

static bool
applies(const GradientRequest *request, Text *ret_reason)
{
    return form_of(request, ret_reason) != GRADIENT_FORM_AUTO;
}

static const char *
write_kernel(const GradientRequest *request, Arena *arena, NameTable *names,
             GradientKernel *ret_kernel)
{
    Network *network = request->network;
    ValueKernel kernel = {.objective = network->objective};
    kernel.row = (GradientRow){.functionals = network->objective->functionals.count,
                               .outputs = network->objective->outputs.count};
    SsaExtension extension = {.context = &kernel,
                              .columns = rxn__row_columns(&kernel.row),
                              .declare = declare,
                              .start = start,
                              .rates = rates,
                              .record = record,
                              .elapse = elapse,
                              .finish = finish};
    MethodOptions options = {.precision = request->precision};
    Text ignored;
    rxn__text_init(&ignored, arena);
    bool table = form_of(request, &ignored) == GRADIENT_FORM_TABLE;
    ret_kernel->row = kernel.row;
    ret_kernel->leaves = NEW_ARRAY(arena, GradientLeaf, 1);
    ret_kernel->unbiased = true;
    return table ? rxn__ssa_write_table_extended(network, &options, arena, names, &extension,
                                                 &ret_kernel->kernel)
                 : rxn__ssa_write_extended(network, &options, arena, names, &extension,
                                           &ret_kernel->kernel);
}

const Estimator rxn__estimator_value = {
    .name = "value",
    .summary = "the values alone, no derivatives",
    .applies = applies,
    .write = write_kernel,
};
