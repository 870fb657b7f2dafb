/* ssa_frame.c: the frame of the exact methods (see ssa.h): its declarations, the start of a trajectory,
 * and the end of a step. What a step draws is in ssa_draw.c, the rare block in ssa_rare.c, events in ssa_events.c.
 */
#include "compiler/method/ssa_private.h"
#include "compiler/method/ssa_shared.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

KirValue
rxn__ssa_real(SsaFrame *frame, double value)
{
    return rxn__kir_const(frame->builder, frame->real, value);
}

static u32
scalar_buffer(SsaFrame *frame, const char *name, KirType type, bool per_trajectory)
{
    return rxn__kir_buffer(frame->builder, name, type,
                           per_trajectory ? KIR_PER_TRAJECTORY : KIR_PER_LAUNCH, per_trajectory, 0,
                           NULL);
}

static u32
vector_buffer(SsaFrame *frame, const char *name, u32 extent)
{
    return rxn__kir_buffer(frame->builder, name, KIR_F64, KIR_PER_LAUNCH, false, 1, &extent);
}

static u32
f64_local(SsaFrame *frame, const char *name)
{
    return rxn__kir_local(frame->builder, name, KIR_F64, 0);
}

static u32
bool_local(SsaFrame *frame, const char *name)
{
    return rxn__kir_local(frame->builder, name, KIR_BOOL, 0);
}

static void
declare_buffers(SsaFrame *frame)
{
    const Network *network = frame->network;
    frame->seed = scalar_buffer(frame, "seed", KIR_U64, false);
    frame->parameter =
        vector_buffer(frame, "parameter", network->param_count + !network->param_count);
    u32 inputs = network->input_count + !network->input_count;
    frame->sampled = rxn__hoisted_sampled(network, frame->arena);
    bool sampled = network->objective && network->objective->sampled;
    frame->input =
        rxn__kir_buffer(frame->builder, "input", KIR_F64,
                        sampled ? KIR_PER_TRAJECTORY : KIR_PER_LAUNCH, false, 1, &inputs);
    if (frame->sampled.columns)
        frame->hoisted = rxn__kir_buffer(frame->builder, "hoisted", KIR_F64, KIR_PER_TRAJECTORY,
                                         false, 1, &frame->sampled.columns);
    frame->sample_time = vector_buffer(frame, "sample_time", KIR_DYNAMIC);
    frame->sample_count = scalar_buffer(frame, "sample_count", KIR_I32, false);
    frame->sample_step = scalar_buffer(frame, "sample_step", KIR_F64, false);
    frame->end_time = scalar_buffer(frame, "end_time", KIR_F64, false);
    frame->step_limit = scalar_buffer(frame, "step_limit", KIR_U64, false);
    u32 columns = frame->extension ? frame->extension->columns : network->column_count;
    u32 extents[2] = {KIR_DYNAMIC, columns};
    frame->sample =
        rxn__kir_buffer(frame->builder, "sample", KIR_F64, KIR_PER_TRAJECTORY, true, 2, extents);
    frame->events = scalar_buffer(frame, "events", KIR_U64, true);
}

static void
declare_counts(SsaFrame *frame, bool unrolled)
{
    const Network *network = frame->network;
    KirKernel *kernel = rxn__kir_kernel(frame->builder);
    vec_push(kernel->arena, &kernel->witness, frame->t);
    if (!unrolled) {
        frame->lower.species_array =
            rxn__kir_local(frame->builder, "count", frame->real, network->species_count);
        vec_push(kernel->arena, &kernel->witness, frame->lower.species_array);
        return;
    }
    frame->lower.species_local = NEW_ARRAY(frame->arena, u32, network->species_count);
    for (u32 s = 0; s < network->species_count; s++) {
        /* Labels such as gene1.H[3] are no words of the IR: locals are numbered, and named for one index. */
        char name[32];
        snprintf(name, sizeof name, "x%u", s);
        frame->lower.species_local[s] = rxn__kir_local(frame->builder, name, frame->real, 0);
        vec_push(kernel->arena, &kernel->witness, frame->lower.species_local[s]);
    }
}

/* Species of one member, where there are many: their initial values come by a table. */
static void
declare_starts(SsaFrame *frame)
{
    const Network *network = frame->network;
    VEC(Expr) starts = {0};
    VEC(i32) targets = {0};
    for (u32 s = 0; s < network->species.count; s++) {
        const Species *species = &network->species.items[s];
        if (species->shape.rank > 0)
            continue;
        vec_push(frame->arena, &starts, species->initial);
        vec_push(frame->arena, &targets, (i32)species->flat);
    }
    if (starts.count < SSA_SHARED_LEAST)
        return;
    frame->starts = NEW(frame->arena, SsaShared);
    rxn__ssa_shared_begin(frame, "start", starts.items, starts.count, KIR_F64, false,
                          frame->starts);
    frame->start_target =
        rxn__ssa_constants_i32(frame, "start_target", targets.items, targets.count);
}

static void
declare_events(SsaFrame *frame)
{
    const Network *network = frame->network;
    u32 count = network->events.count;
    frame->event_next = NEW_ARRAY(frame->arena, u32, count + 1);
    frame->event_turn = NEW_ARRAY(frame->arena, u32, count + 1);
    frame->event_was = NEW_ARRAY(frame->arena, u32, count + 1);
    for (u32 e = 0; e < count; e++) {
        char name[32];
        switch (network->events.items[e].kind) {
        case EVENT_EVERY:
            snprintf(name, sizeof name, "turn%u", e);
            frame->event_turn[e] = f64_local(frame, name);
            /* fall through */
        case EVENT_AT:
            snprintf(name, sizeof name, "next%u", e);
            frame->event_next[e] = f64_local(frame, name);
            break;
        case EVENT_WHEN:
            snprintf(name, sizeof name, "was%u", e);
            frame->event_was[e] = bool_local(frame, name);
            frame->has_when = true;
            break;
        }
    }
}

typedef struct WindowSearch {
    const Network *network;
    bool found;
} WindowSearch;

static void
visit_window(void *context, Expr expr)
{
    WindowSearch *search = context;
    ExprOp op = (ExprOp)expr_node(search->network, expr)->op;
    search->found |= op == EXPR_TIME_LOW || op == EXPR_TIME_HIGH;
}

/* The bounds that the compiler derives hold for [TIME_LOW, TIME_HIGH]; a user's holds for ever. */
static bool
uses_window(SsaFrame *frame, Expr bound)
{
    WindowSearch search = {frame->network, false};
    rxn__expr_walk(frame->network, bound, frame->arena, visit_window, &search);
    return search.found;
}

void
rxn__ssa_note_gains(SsaFrame *frame, u32 count, const Change *changes)
{
    for (u32 k = 0; k < count; k++) {
        i32 *gain = &frame->gains[changes[k].species];
        *gain = changes[k].delta > *gain ? changes[k].delta : *gain;
    }
}

/* The table form notes them as it makes its tables: networks may be so large that looking twice would be seen. */
static void
find_gains(SsaFrame *frame, const Reaction *reaction)
{
    u32 most = reaction->reactants.count + reaction->products.count;
    Change *changes = NEW_ARRAY(frame->arena, Change, most + 1);
    for (u32 member = 0; member < reaction->count; member++) {
        u32 count = rxn__reaction_changes(frame->network, reaction, member, most, changes);
        rxn__ssa_note_gains(frame, count, changes);
    }
}

static void
examine_reactions(SsaFrame *frame, bool unrolled)
{
    const Network *network = frame->network;
    frame->gains = NEW_ARRAY(frame->arena, i32, network->species_count + 1);
    for (u32 r = 0; r < network->reactions.count; r++) {
        const Reaction *reaction = &network->reactions.items[r];
        if (unrolled)
            find_gains(frame, reaction);
        if (reaction->bound && uses_window(frame, reaction->bound))
            frame->has_windows = true;
    }
    frame->has_breakpoints = network->breakpoints.count > 0;
    frame->only_ends = !frame->in_batches && !frame->extension && network->events.count == 0 &&
                       !frame->has_breakpoints && !frame->has_windows;
}

void
rxn__ssa_begin(SsaFrame *frame, Network *network, const MethodOptions *options, Arena *arena,
               NameTable *names, bool unrolled, MethodKernel *output)
{
    *frame = (SsaFrame){.extension = frame->extension, .in_batches = frame->in_batches};
    frame->network = network;
    frame->arena = arena;
    frame->real = options->precision;
    frame->count_limit = options->precision == KIR_F32 ? 0x1p24 : 0x1p53;
    frame->output = output;
    frame->builder = rxn__kir_begin(arena, names, "ssa_direct", options->precision);
    frame->tracks_jumps = !unrolled;
    rxn__lower_init(&frame->lower, frame->builder, network, arena, frame->real);
    declare_buffers(frame);
    frame->lower.parameter_buffer = frame->parameter;
    frame->lower.input_buffer = frame->input;

    examine_reactions(frame, unrolled);
    frame->t = f64_local(frame, "t");
    declare_counts(frame, unrolled);
    if (!unrolled)
        declare_starts(frame);
    frame->arrival = f64_local(frame, "arrival");
    frame->threshold = rxn__kir_local(frame->builder, "threshold", frame->real, 0);
    frame->next_time = f64_local(frame, "next_time");
    if (!frame->only_ends)
        frame->stop = f64_local(frame, "stop");
    frame->sample_index = rxn__kir_local(frame->builder, "sample_index", KIR_I32, 0);
    if (!frame->only_ends)
        frame->next_sample = f64_local(frame, "next_sample");
    frame->n = rxn__kir_local(frame->builder, "n", KIR_U32, 0);
    frame->n_high = rxn__kir_local(frame->builder, "n_high", KIR_U32, 0);
    frame->n_check = rxn__kir_local(frame->builder, "n_check", KIR_U32, 0);
    frame->missed = rxn__kir_local(frame->builder, "missed", KIR_U64, 0);
    frame->ended = bool_local(frame, "ended");
    frame->done = bool_local(frame, "done");
    if (frame->has_breakpoints)
        frame->middle = f64_local(frame, "middle");
    if (frame->has_windows) {
        frame->window_end = f64_local(frame, "window_end");
        frame->window_length = f64_local(frame, "window_length");
        frame->fresh = bool_local(frame, "fresh");
    }
    if (frame->tracks_jumps)
        frame->jumped = bool_local(frame, "jumped");
    rxn__ssa_draw_declare(frame, unrolled);
    if (frame->extension && frame->extension->limit) {
        frame->waits = bool_local(frame, "waits");
        frame->drawn_arrival = f64_local(frame, "drawn_arrival");
        frame->drawn_threshold = rxn__kir_local(frame->builder, "drawn_threshold", frame->real, 0);
    }
    declare_events(frame);
    if (!unrolled && !options->full_sums)
        rxn__ssa_sums_declare(frame);
    rxn__kir_kernel(frame->builder)->done = frame->done;
    if (frame->extension && frame->extension->declare)
        frame->extension->declare(frame, frame->extension->context);
}

/* ---- loops over the members of a family -------------------------------------------------------- */

enum { UNROLL_MEMBERS = 16 };

static void
each_member(SsaFrame *frame, u32 rank, const u32 *variables, const i64 *low, const i64 *high,
            u32 depth, bool unroll, const MemberVisit *visit)
{
    KirBuilder *b = frame->builder;
    if (depth == rank) {
        visit->body(frame, visit->context);
        return;
    }
    if (unroll) {
        for (i64 k = low[depth]; k <= high[depth]; k++) {
            rxn__lower_bind(&frame->lower, variables[depth], rxn__kir_const(b, KIR_I32, (double)k));
            each_member(frame, rank, variables, low, high, depth + 1, unroll, visit);
        }
    } else {
        KirValue counter = rxn__kir_for(b, rxn__kir_const(b, KIR_I32, (double)low[depth]),
                                        rxn__kir_const(b, KIR_I32, (double)high[depth] + 1));
        rxn__lower_bind(&frame->lower, variables[depth], counter);
        each_member(frame, rank, variables, low, high, depth + 1, unroll, visit);
        rxn__kir_close(b);
    }
    rxn__lower_bind(&frame->lower, variables[depth], 0);
    rxn__lower_forget(&frame->lower);
}

void
rxn__ssa_each_member(SsaFrame *frame, u32 rank, const u32 *variables, const i64 *low,
                     const i64 *high, const MemberVisit *visit)
{
    u64 count = 1;
    for (u32 k = 0; k < rank; k++)
        count *= (u64)(high[k] - low[k] + 1);
    bool unroll = frame->lower.species_local || count <= UNROLL_MEMBERS;
    each_member(frame, rank, variables, low, high, 0, unroll, visit);
}

void
rxn__ssa_each_element(SsaFrame *frame, const Shape *shape, const u32 *variables,
                      const MemberVisit *visit)
{
    i64 low[RXN_MAX_RANK] = {0}, high[RXN_MAX_RANK];
    for (u32 k = 0; k < shape->rank; k++)
        high[k] = (i64)shape->extent[k] - 1;
    rxn__ssa_each_member(frame, shape->rank, variables, low, high, visit);
}

/* Row-major number of the element whose indices the bound variables are. */
KirValue
rxn__ssa_element(SsaFrame *frame, const Shape *shape, const u32 *variables, u32 first)
{
    KirBuilder *b = frame->builder;
    KirValue flat = rxn__kir_const(b, KIR_I32, 0);
    for (u32 k = 0; k < shape->rank; k++)
        flat = kir_add(b, kir_mul(b, flat, rxn__kir_const(b, KIR_I32, shape->extent[k])),
                       frame->lower.variable_value[variables[k]]);
    return kir_add(b, flat, rxn__kir_const(b, KIR_I32, first));
}

/* ---- launch and init --------------------------------------------------------------------------- */

/* An element for each value of the variables; the first is that of their least values, which need not be 0. */
static void
store_hoisted(SsaFrame *frame, void *context)
{
    u32 number = *(u32 *)context;
    KirBuilder *b = frame->builder;
    const Network *network = frame->network;
    Hoisted hoisted = network->hoisted.items[number];
    /* f64 whatever the precision: done once, and a sum of hundreds of terms deserves it. */
    KirValue value = rxn__lower_as(&frame->lower, hoisted.value, KIR_F64);
    KirValue element = hoisted.shape.rank ? rxn__kir_const(b, KIR_I32, 0) : 0;
    for (u32 k = 0; k < hoisted.shape.rank; k++) {
        i64 low = network->variables.items[hoisted.variables[k]].low;
        KirValue index = kir_sub(b, frame->lower.variable_value[hoisted.variables[k]],
                                 rxn__kir_const(b, KIR_I32, (double)low));
        element = kir_mul(b, element, rxn__kir_const(b, KIR_I32, hoisted.shape.extent[k]));
        element = kir_add(b, element, index);
    }
    rxn__kir_set(b, frame->lower.hoisted_local[number], element, kir_cast(b, frame->real, value));
}

/* local = from[first …]: of the trajectory's own row. length 0: a scalar. */
static void
copy_row(SsaFrame *frame, u32 local, KirType type, u32 from, u32 first, u32 length)
{
    KirBuilder *b = frame->builder;
    KirValue place = rxn__kir_const(b, KIR_I32, first);
    if (length == 0) {
        rxn__kir_set(b, local, 0, kir_cast(b, type, rxn__kir_load(b, from, &place)));
        return;
    }
    KirValue element =
        rxn__kir_for(b, rxn__kir_const(b, KIR_I32, 0), rxn__kir_const(b, KIR_I32, length));
    place = kir_add(b, element, place);
    rxn__kir_set(b, local, element, kir_cast(b, type, rxn__kir_load(b, from, &place)));
    rxn__kir_close(b);
}

static u32
length_of(const Shape *shape)
{
    return shape->rank ? (u32)rxn__shape_count(shape) : 0;
}

/* Where every trajectory has inputs of its own: what it may read of them, in locals. What nobody reads goes by itself. */
static void
copy_inputs(SsaFrame *frame)
{
    const Network *network = frame->network;
    if (!network->objective || !network->objective->sampled)
        return;
    frame->lower.input_local = NEW_ARRAY(frame->arena, u32, network->inputs.count + 1);
    for (u32 k = 0; k < network->inputs.count; k++) {
        const Input *input = &network->inputs.items[k];
        u32 length = length_of(&input->shape);
        char name[32];
        snprintf(name, sizeof name, "input%u", k);
        frame->lower.input_local[k] = rxn__kir_local(frame->builder, name, KIR_F64, length);
        copy_row(frame, frame->lower.input_local[k], KIR_F64, frame->input, input->flat, length);
    }
    for (u32 h = 0; h < network->hoisted.count; h++)
        if (frame->sampled.first[h] != UINT32_MAX)
            copy_row(frame, frame->lower.hoisted_local[h], frame->real, frame->hoisted,
                     frame->sampled.first[h], length_of(&network->hoisted.items[h].shape));
}

static void
write_launch(SsaFrame *frame)
{
    const Network *network = frame->network;
    rxn__kir_region(frame->builder, KIR_LAUNCH);
    frame->lower.launching = frame->lower.fuses = true;
    frame->lower.hoisted_local = NEW_ARRAY(frame->arena, u32, network->hoisted.count + 1);
    for (u32 h = 0; h < network->hoisted.count; h++) {
        const Hoisted hoisted = network->hoisted.items[h];
        u32 length = hoisted.shape.rank ? 1 : 0;
        i64 low[RXN_MAX_RANK] = {0}, high[RXN_MAX_RANK] = {0};
        for (u32 k = 0; k < hoisted.shape.rank; k++) {
            length *= hoisted.shape.extent[k];
            low[k] = network->variables.items[hoisted.variables[k]].low;
            high[k] = low[k] + (i64)hoisted.shape.extent[k] - 1;
        }
        char name[32];
        snprintf(name, sizeof name, "hoisted%u", h);
        if (frame->sampled.first[h] != UINT32_MAX) {
            frame->lower.hoisted_local[h] =
                rxn__kir_local(frame->builder, name, frame->real, length);
            continue;
        }
        frame->lower.hoisted_local[h] =
            rxn__kir_uniform_local(frame->builder, name, frame->real, length);
        rxn__lower_forget(&frame->lower);
        MemberVisit visit = {store_hoisted, &h};
        rxn__ssa_each_member(frame, hoisted.shape.rank, hoisted.variables, low, high, &visit);
    }
    frame->lower.launching = frame->lower.fuses = false;
}

void
rxn__ssa_set_species(SsaFrame *frame, u32 flat, KirValue value)
{
    if (frame->lower.species_local)
        rxn__kir_set(frame->builder, frame->lower.species_local[flat], 0, value);
    else
        rxn__kir_set(frame->builder, frame->lower.species_array,
                     rxn__kir_const(frame->builder, KIR_I32, flat), value);
}

/* Not a whole number from 0 to the limit (a NaN included). */
KirValue
rxn__ssa_not_a_count(SsaFrame *frame, KirValue value)
{
    KirBuilder *b = frame->builder;
    KirType type = rxn__kir_type(b, value);
    KirValue whole =
        kir_and(b, kir_ge(b, value, rxn__kir_const(b, type, 0)),
                kir_and(b, kir_eq(b, value, kir_floor(b, value)),
                        kir_le(b, value, rxn__kir_const(b, type, frame->count_limit))));
    return kir_not(b, whole);
}

static void
start_species(SsaFrame *frame, void *context)
{
    KirBuilder *b = frame->builder;
    Species species = frame->network->species.items[*(u32 *)context];
    KirValue flat = rxn__ssa_element(frame, &species.shape, species.variables, species.flat);
    KirValue value = rxn__lower_as(&frame->lower, species.initial, KIR_F64);
    rxn__kir_if(b, rxn__ssa_not_a_count(frame, value));
    rxn__kir_trap(b, RXN_FAULT_INITIAL_VALUE, kir_cast(b, KIR_U32, flat));
    rxn__kir_close(b);
    value = kir_cast(b, frame->real, value);
    if (frame->lower.species_local)
        rxn__ssa_set_species(frame, (u32)rxn__kir_kernel(b)->values.items[flat].bits, value);
    else
        rxn__kir_set(b, frame->lower.species_array, flat, value);
}

/* One of many: by a table. */
static bool
is_shared_start(const SsaFrame *frame, const Species *species)
{
    return frame->starts && species->shape.rank == 0;
}

static void
start_shared(SsaFrame *frame)
{
    KirBuilder *b = frame->builder;
    rxn__ssa_shared_evaluate(frame, frame->starts);
    KirValue item = rxn__kir_for(b, rxn__kir_const(b, KIR_I32, 0),
                                 rxn__kir_const(b, KIR_I32, frame->starts->count));
    KirValue flat = rxn__kir_load(b, frame->start_target, &item);
    KirValue value = rxn__ssa_shared_get(frame, frame->starts, item);
    rxn__kir_if(b, rxn__ssa_not_a_count(frame, value));
    rxn__kir_trap(b, RXN_FAULT_INITIAL_VALUE, kir_cast(b, KIR_U32, flat));
    rxn__kir_close(b);
    rxn__kir_set(b, frame->lower.species_array, flat, kir_cast(b, frame->real, value));
    rxn__kir_close(b);
}

double
rxn__ssa_largest_rate(const SsaFrame *frame, const Reaction *reaction)
{
    double order = 0;
    for (u32 k = 0; k < reaction->reactants.count; k++)
        order += reaction->reactants.items[k].coefficient;
    return (frame->real == KIR_F32 ? 3e38 : 1e308) / pow(frame->count_limit, order) /
           (frame->network->reaction_count + 1.0);
}

bool
rxn__ssa_sound_by_constants(const SsaFrame *frame, const Reaction *reaction)
{
    return reaction->mass_action && rxn__ssa_largest_rate(frame, reaction) > 1e12;
}

KirValue
rxn__ssa_exceeds(SsaFrame *frame, KirValue actual, KirValue bound)
{
    KirBuilder *b = frame->builder;
    return kir_not(b, kir_le(b, kir_mul(b, actual, rxn__ssa_real(frame, 1 - 0x1p-20)), bound));
}

/* The constants of mass action are checked once, so that steps need not check their propensities: not
 * negative, and small enough that no product with counts overflows. */
static void
check_rate(SsaFrame *frame, void *context)
{
    KirBuilder *b = frame->builder;
    const Network *network = frame->network;
    u32 number = *(u32 *)context;
    Reaction reaction = network->reactions.items[number];
    /* The flat number: row-major in the reaction's variables, each from its own low bound. */
    KirValue flat = rxn__kir_const(b, KIR_I32, 0);
    for (u32 k = 0; k < reaction.variable_count; k++) {
        Variable v = network->variables.items[reaction.variables[k]];
        flat = kir_mul(b, flat, rxn__kir_const(b, KIR_I32, (double)(v.high - v.low + 1)));
        flat = kir_add(b, flat,
                       kir_sub(b, frame->lower.variable_value[reaction.variables[k]],
                               rxn__kir_const(b, KIR_I32, (double)v.low)));
    }
    flat = kir_cast(b, KIR_U32, kir_add(b, flat, rxn__kir_const(b, KIR_I32, reaction.flat)));
    KirValue rate = rxn__lower(&frame->lower, reaction.rate);
    rxn__kir_if(b, kir_ne(b, rate, rate));
    rxn__kir_trap(b, RXN_FAULT_NAN_PROPENSITY, flat);
    rxn__kir_close(b);
    rxn__kir_if(b, kir_lt(b, rate, rxn__ssa_real(frame, 0)));
    rxn__kir_trap(b, RXN_FAULT_NEGATIVE_PROPENSITY, flat);
    rxn__kir_close(b);
    if (!rxn__ssa_sound_by_constants(frame, &reaction))
        return;
    rxn__kir_if(b, kir_gt(b, rate, rxn__ssa_real(frame, rxn__ssa_largest_rate(frame, &reaction))));
    rxn__kir_trap(b, RXN_FAULT_INFINITE_PROPENSITY, flat);
    rxn__kir_close(b);
}

static bool
rate_varies_in_family(const Network *network, const Reaction *reaction)
{
    return rxn__expr_uses(network, reaction->rate).variables;
}

void
rxn__ssa_init(SsaFrame *frame)
{
    KirBuilder *b = frame->builder;
    const Network *network = frame->network;
    write_launch(frame);
    rxn__kir_region(b, KIR_INIT);
    rxn__lower_forget(&frame->lower);
    copy_inputs(frame);
    if (frame->starts)
        start_shared(frame);
    for (u32 s = 0; s < network->species.count; s++) {
        Species species = network->species.items[s];
        if (is_shared_start(frame, &species))
            continue;
        MemberVisit visit = {start_species, &s};
        rxn__ssa_each_element(frame, &species.shape, species.variables, &visit);
        rxn__lower_forget(&frame->lower);
    }
    for (u32 r = 0; r < network->reactions.count; r++) {
        Reaction reaction = network->reactions.items[r];
        if (!reaction.mass_action || (frame->rates_shared && frame->rates_shared[r]))
            continue;
        i64 low[RXN_MAX_RANK], high[RXN_MAX_RANK];
        bool varies = rate_varies_in_family(network, &reaction);
        for (u32 k = 0; k < reaction.variable_count; k++) {
            Variable v = network->variables.items[reaction.variables[k]];
            low[k] = v.low;
            high[k] = varies ? v.high : v.low; /* one member stands for all */
        }
        if (reaction.count == 0)
            continue;
        MemberVisit visit = {check_rate, &r};
        rxn__ssa_each_member(frame, reaction.variable_count, reaction.variables, low, high, &visit);
        rxn__lower_forget(&frame->lower);
    }
    rxn__ssa_draw_start(frame);
    rxn__ssa_init_events(frame);
    rxn__ssa_sums_start(frame);
    rxn__lower_forget(&frame->lower);
    if (frame->extension && frame->extension->start)
        frame->extension->start(frame, frame->extension->context);
    rxn__lower_forget(&frame->lower);
}

/* ---- step -------------------------------------------------------------------------------------- */

void
rxn__ssa_bind_window(SsaFrame *frame)
{
    KirBuilder *b = frame->builder;
    rxn__lower_forget(&frame->lower);
    frame->lower.time = 0;
    frame->lower.time_low = rxn__kir_get(b, frame->t, 0);
    if (frame->has_windows)
        frame->lower.time_high = rxn__kir_get(b, frame->window_end, 0);
    if (frame->has_breakpoints)
        frame->lower.time_middle = rxn__kir_get(b, frame->middle, 0);
}

void
rxn__ssa_close(SsaFrame *frame)
{
    KirBuilder *b = frame->builder;
    rxn__kir_set(b, frame->t, 0, rxn__kir_get(b, frame->arrival, 0));
    if (frame->has_when)
        rxn__ssa_when_events(frame);
    KirValue one = rxn__kir_const(b, KIR_U32, 1);
    if (frame->waits) /* the step goes on */
        one = kir_select(b, rxn__kir_get(b, frame->waits, 0), rxn__kir_const(b, KIR_U32, 0), one);
    rxn__kir_set(b, frame->n, 0, kir_add(b, rxn__kir_get(b, frame->n, 0), one));
}

const char *
rxn__ssa_end(SsaFrame *frame)
{
    KirBuilder *b = frame->builder;
    rxn__kir_region(b, KIR_FINISH);
    rxn__lower_forget(&frame->lower);
    if (frame->extension)
        frame->extension->finish(frame, frame->extension->context);
    KirValue n = rxn__kir_get(b, frame->n, 0);
    KirValue high = rxn__kir_get(b, frame->n_high, 0);
    KirValue steps =
        kir_or(b, kir_shl(b, kir_cast(b, KIR_U64, high), rxn__kir_const(b, KIR_U64, 32)),
               kir_cast(b, KIR_U64, n));
    rxn__kir_store(b, frame->events, NULL, kir_sub(b, steps, rxn__kir_get(b, frame->missed, 0)));
    return rxn__kir_end(b, &frame->output->kernel);
}
