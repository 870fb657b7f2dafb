/* samples.c: the rows of data that are inputs of trajectories. */
#include <stdlib.h>

#include "compiler/engine/samples_private.h"

static void
describe_rows(const RxnArray *array, Text *ret_text)
{
    rxn__text_printf(ret_text, "%llu row%s of ", (unsigned long long)array->extent[0],
                     array->extent[0] == 1 ? "" : "s");
    for (u32 d = 1; d < array->rank; d++)
        rxn__text_printf(ret_text, "%s%llu", d > 1 ? "x" : "",
                         (unsigned long long)array->extent[d]);
    rxn__text_printf(ret_text, "%s number%s", array->rank > 1 ? "" : "1",
                     array->row_elements == 1 ? "" : "s");
}

static void
describe_input(const Input *input, Text *ret_text)
{
    rxn__text_printf(ret_text, "'%s", input->name->text);
    for (u32 d = 0; d < input->shape.rank; d++)
        rxn__text_printf(ret_text, "%s%u", d > 0 ? "," : "[", input->shape.extent[d]);
    rxn__text_printf(ret_text, "%s'", input->shape.rank ? "]" : "");
}

static bool
check_shape(Engine *engine, Pipeline *pipeline, const FitSample *sample, const RxnArray *array)
{
    const Input *input = &pipeline->network->inputs.items[sample->input];
    u64 wanted = rxn__shape_count(&input->shape);
    if (array->row_elements == wanted)
        return true;
    Text rows, takes;
    rxn__text_init(&rows, &pipeline->arena);
    rxn__text_init(&takes, &pipeline->arena);
    describe_rows(array, &rows);
    describe_input(input, &takes);
    rxn__error(&engine->session.diagnostics, sample->span,
               "%s has %s, and the input %s takes %llu a row", sample->path, rows.data, takes.data,
               (unsigned long long)wanted);
    return false;
}

/* The rows of one array. */
static bool
open_array(Engine *engine, Pipeline *pipeline, const FitSample *sample, Samples *samples)
{
    Diagnostics *diagnostics = &engine->session.diagnostics;
    SampleArray *kept = &samples->arrays[samples->count];
    char error[512];
    rxn__engine_reads(engine, sample->path);
    if (!rxn__array_read(sample->path, &kept->array, error, sizeof error)) {
        rxn__error(diagnostics, sample->span, "%s", error);
        return false;
    }
    kept->flat = pipeline->network->inputs.items[sample->input].flat;
    samples->count++;
    if (!check_shape(engine, pipeline, sample, &kept->array))
        return false;
    if (!rxn__array_check(&kept->array, RXN_DATA_FINITE, error, sizeof error)) {
        rxn__error(diagnostics, sample->span, "%s", error);
        return false;
    }
    u64 rows = kept->array.extent[0];
    if (samples->count > 1 && rows != samples->rows) {
        rxn__error(diagnostics, sample->span, "%s has %llu rows, and %s has %llu", sample->path,
                   (unsigned long long)rows, samples->arrays[0].array.path,
                   (unsigned long long)samples->rows);
        rxn__note(diagnostics, (Span){0, 0}, "row k of each of them is one sample");
        return false;
    }
    samples->rows = rows;
    return true;
}

bool
rxn__samples_open(Engine *engine, Pipeline *pipeline, const Fit *fit, Samples **ret_samples)
{
    u32 count = fit->samples.count;
    Samples *samples = calloc(1, sizeof *samples + (count + 1) * sizeof samples->arrays[0]);
    *ret_samples = NULL;
    if (!samples) {
        rxn__engine_error(engine, "out of memory for the data");
        return false;
    }
    bool good = true;
    for (u32 k = 0; good && k < count; k++)
        good = open_array(engine, pipeline, &fit->samples.items[k], samples);
    if (!good) {
        rxn__samples_close(samples);
        return false;
    }
    *ret_samples = samples;
    return true;
}

u64
rxn__samples_rows(const Samples *samples)
{
    return samples->rows;
}

void
rxn__samples_close(Samples *samples)
{
    for (u32 k = 0; samples && k < samples->count; k++)
        rxn__array_release(&samples->arrays[k].array);
    free(samples);
}
