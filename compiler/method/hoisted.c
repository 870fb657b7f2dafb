/* hoisted.c: see hoisted.h. */
#include "compiler/method/hoisted.h"
#include "compiler/method/lower.h"

#include <stdio.h>

enum { TILE = 4 }; /* elements that are summed up together */

SampledHoisted
rxn__hoisted_sampled(const Network *network, Arena *arena)
{
    SampledHoisted sampled = {.first = NEW_ARRAY(arena, u32, network->hoisted.count + 1)};
    bool any = network->objective && network->objective->sampled;
    for (u32 h = 0; h < network->hoisted.count; h++) {
        sampled.first[h] = UINT32_MAX;
        if (!any || !rxn__hoisted_reads_inputs(network, h, arena))
            continue;
        sampled.first[h] = sampled.columns;
        sampled.columns += (u32)rxn__shape_count(&network->hoisted.items[h].shape);
    }
    return sampled;
}

typedef struct Writer {
    KirBuilder *builder;
    Network *network;
    Lowering lower;
    u32 input, sample;
    const Hoisted *hoisted; /* that is being written */
    u32 column;             /* its first */
    u32 totals[TILE];       /* f64 locals */
} Writer;

static KirValue
i32v(Writer *writer, double value)
{
    return rxn__kir_const(writer->builder, KIR_I32, value);
}

/* Copies what the lanes read of their rows, so that a lane's element lies beside those of the others. */
static void
copy_inputs(Writer *writer)
{
    KirBuilder *b = writer->builder;
    const Network *network = writer->network;
    for (u32 k = 0; k < network->inputs.count; k++) {
        const Input *input = &network->inputs.items[k];
        u32 count = (u32)rxn__shape_count(&input->shape), local = writer->lower.input_local[k];
        KirValue place = i32v(writer, input->flat);
        if (!input->shape.rank) {
            rxn__kir_set(b, local, 0, rxn__kir_load(b, writer->input, &place));
            continue;
        }
        KirValue element = rxn__kir_for(b, i32v(writer, 0), i32v(writer, count));
        place = kir_add(b, element, place);
        rxn__kir_set(b, local, element, rxn__kir_load(b, writer->input, &place));
        rxn__kir_close(b);
    }
}

/* For the element whose indices the bound variables are. */
static KirValue
column_of(Writer *writer)
{
    KirBuilder *b = writer->builder;
    const Hoisted *hoisted = writer->hoisted;
    KirValue place = i32v(writer, 0);
    for (u32 k = 0; k < hoisted->shape.rank; k++) {
        i64 low = writer->network->variables.items[hoisted->variables[k]].low;
        KirValue value = writer->lower.variable_value[hoisted->variables[k]];
        place = kir_mul(b, place, i32v(writer, hoisted->shape.extent[k]));
        place = kir_add(b, place, kir_sub(b, value, i32v(writer, (double)low)));
    }
    return kir_add(b, place, i32v(writer, writer->column));
}

static void
store(Writer *writer, KirValue value)
{
    KirValue index[2] = {i32v(writer, 0), column_of(writer)};
    rxn__kir_store(writer->builder, writer->sample, index, value);
}

static void
write_element(Writer *writer)
{
    rxn__lower_forget(&writer->lower);
    store(writer, rxn__lower_as(&writer->lower, writer->hoisted->value, KIR_F64));
}

/* Elements first, first + 1, … of the last dimension: one loop over the terms of their sums. The terms of each are added in
 * the order in which rxn__lower adds them, and with the same operations: the same bits. */
static void
write_tile(Writer *writer, u32 variable, KirValue first)
{
    KirBuilder *b = writer->builder;
    Lowering *lower = &writer->lower;
    const ExprNode sum = *expr_node(writer->network, writer->hoisted->value);
    Variable range = writer->network->variables.items[sum.object];
    for (u32 t = 0; t < TILE; t++)
        rxn__kir_set(b, writer->totals[t], 0, rxn__kir_const(b, KIR_F64, 0));
    KirValue term =
        rxn__kir_for(b, i32v(writer, (double)range.low), i32v(writer, (double)range.high + 1));
    rxn__lower_bind(lower, sum.object, term);
    for (u32 t = 0; t < TILE; t++) {
        rxn__lower_bind(lower, variable, kir_add(b, first, i32v(writer, t)));
        rxn__lower_forget(lower);
        KirValue total = rxn__kir_get(b, writer->totals[t], 0);
        rxn__kir_set(b, writer->totals[t], 0, rxn__lower_term(lower, total, sum.args[0], KIR_F64));
    }
    rxn__kir_close(b);
    rxn__lower_bind(lower, sum.object, 0);
    for (u32 t = 0; t < TILE; t++) {
        rxn__lower_bind(lower, variable, kir_add(b, first, i32v(writer, t)));
        store(writer, rxn__kir_get(b, writer->totals[t], 0));
    }
    rxn__lower_forget(lower);
}

/* A sum that becomes a loop, over a last dimension of at least a tile. */
static bool
is_tiled(const Writer *writer)
{
    const Hoisted *hoisted = writer->hoisted;
    const ExprNode *node = expr_node(writer->network, hoisted->value);
    if (node->op != EXPR_SUM || !hoisted->shape.rank ||
        hoisted->shape.extent[hoisted->shape.rank - 1] < TILE)
        return false;
    Variable range = writer->network->variables.items[node->object];
    return range.high - range.low >= RXN_UNROLL_SUM;
}

static void
write_elements(Writer *writer, u32 depth)
{
    KirBuilder *b = writer->builder;
    const Hoisted *hoisted = writer->hoisted;
    if (depth == hoisted->shape.rank) {
        write_element(writer);
        return;
    }
    u32 variable = hoisted->variables[depth];
    Variable range = writer->network->variables.items[variable];
    i64 low = range.low, behind = low + (i64)hoisted->shape.extent[depth];
    if (depth + 1 == hoisted->shape.rank && is_tiled(writer)) {
        i64 tiles = (behind - low) / TILE;
        KirValue tile = rxn__kir_for(b, i32v(writer, 0), i32v(writer, (double)tiles));
        KirValue first = kir_mul(b, tile, i32v(writer, TILE));
        write_tile(writer, variable, kir_add(b, first, i32v(writer, (double)low)));
        rxn__kir_close(b);
        low += tiles * TILE;
    }
    if (low < behind) {
        KirValue counter = rxn__kir_for(b, i32v(writer, (double)low), i32v(writer, (double)behind));
        rxn__lower_bind(&writer->lower, variable, counter);
        write_elements(writer, depth + 1);
        rxn__kir_close(b);
    }
    rxn__lower_bind(&writer->lower, variable, 0);
    rxn__lower_forget(&writer->lower);
}

static void
declare(Writer *writer, u32 columns, NameTable *names, Arena *arena)
{
    const Network *network = writer->network;
    u32 params = network->param_count + !network->param_count;
    u32 inputs = network->input_count + !network->input_count;
    u32 extents[2] = {KIR_DYNAMIC, columns};
    KirBuilder *b = rxn__kir_begin(arena, names, "hoisted", KIR_F64);
    writer->builder = b;
    rxn__lower_init(&writer->lower, b, writer->network, arena, KIR_F64);
    writer->lower.parameter_buffer =
        rxn__kir_buffer(b, "parameter", KIR_F64, KIR_PER_LAUNCH, false, 1, &params);
    writer->input = rxn__kir_buffer(b, "input", KIR_F64, KIR_PER_TRAJECTORY, false, 1, &inputs);
    writer->sample = rxn__kir_buffer(b, "sample", KIR_F64, KIR_PER_TRAJECTORY, true, 2, extents);
    writer->lower.fuses = true;
    writer->lower.input_local = NEW_ARRAY(arena, u32, network->inputs.count + 1);
    for (u32 k = 0; k < network->inputs.count; k++) {
        const Input *input = &network->inputs.items[k];
        char name[32];
        snprintf(name, sizeof name, "input%u", k);
        writer->lower.input_local[k] = rxn__kir_local(
            b, name, KIR_F64, input->shape.rank ? (u32)rxn__shape_count(&input->shape) : 0);
    }
    for (u32 t = 0; t < TILE; t++) {
        char name[32];
        snprintf(name, sizeof name, "total%u", t);
        writer->totals[t] = rxn__kir_local(b, name, KIR_F64, 0);
    }
}

static const char *
write_kernel(const GradientRequest *request, Arena *arena, NameTable *names,
             GradientKernel *ret_kernel)
{
    Network *network = request->network;
    Writer writer = {.network = network};
    SampledHoisted sampled = rxn__hoisted_sampled(network, arena);
    declare(&writer, sampled.columns, names, arena);
    KirBuilder *b = writer.builder;
    u32 done = rxn__kir_local(b, "done", KIR_BOOL, 0);
    rxn__kir_kernel(b)->done = done;
    rxn__kir_region(b, KIR_INIT);
    copy_inputs(&writer);
    /* All is done at the end, where all lanes go in step. */
    rxn__kir_set(b, done, 0, rxn__kir_const(b, KIR_BOOL, 1));
    rxn__kir_region(b, KIR_FINISH);
    for (u32 h = 0; h < network->hoisted.count; h++) {
        if (sampled.first[h] == UINT32_MAX)
            continue;
        if (rxn__expr_uses(network, network->hoisted.items[h].value).hoisted)
            return "a hoisted value that reads inputs is made of others";
        writer.hoisted = &network->hoisted.items[h];
        writer.column = sampled.first[h];
        write_elements(&writer, 0);
    }
    return rxn__kir_end(b, &ret_kernel->kernel.kernel);
}

static bool
applies(const GradientRequest *request, Text *ret_reason)
{
    Arena *arena = request->network->arena;
    if (rxn__hoisted_sampled(request->network, arena).columns > 0)
        return true;
    rxn__text_printf(ret_reason, "nothing that is hoisted reads inputs of a trajectory's own");
    return false;
}

const Estimator rxn__estimator_hoisted = {
    .name = "hoisted",
    .summary = "what is hoisted and reads a trajectory's own inputs",
    .applies = applies,
    .write = write_kernel,
};
