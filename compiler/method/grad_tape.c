/* grad_tape.c: see grad_tape.h. */
#include "compiler/method/grad_tape.h"

#include <math.h>
#include <stdio.h>

/* Weights beyond this many (sets * times * columns) belong to an estimator that goes forward. */
enum { MOST_WEIGHTS = 1 << 20 };

/* A local of the frame that lives from step to step, its value at the start of the block, and its
 * checkpoints. */
typedef struct StateLocal {
    u32 local, kept, checkpoints;
} StateLocal;

/* The same of an array: the counts of the table form, and sums that it keeps. */
typedef struct StateArray {
    u32 local, length, kept, checkpoints;
} StateArray;

typedef struct TapeLocals {
    VEC(StateLocal) state;
    VEC(StateArray) arrays;
    u32 kept_n, kept_n_high;                   /* kept values of frame's n and n_high */
    u32 over;                                  /* bool: the kernel's done; true from the start */
    u32 code, time;                            /* the tape: u32, f64 */
    u32 count;                                 /* i32: steps on the tape */
    u32 block;                                 /* i32: checkpoints that there are, or are left */
    u32 returning;                             /* bool: the end has been seen */
    u32 later;                                 /* f64: when the step behind the present one began */
    u32 weight;                                /* f64[sets * times * width] */
    u32 last_n, last_n_high, last_missed;      /* at the end of the trajectory */
    u32 event_count, event_step, event_number; /* events of the block: i32; tapes u32 */
    u32 event_old; /* tape f64[events * assigned]: what the species were */
    u32 assigned;  /* most assignments of one event */
    u32 timed_events;
    u32 log, share, next_log, next_share; /* what this step and the next one draw: see draw */
    SsaUnrolled *steps;
    KirValue step; /* number in the block of the step that is being written */
} TapeLocals;

static KirValue
f64(Tape *tape, double value)
{
    return rxn__kir_const(tape->frame->builder, KIR_F64, value);
}

static KirValue
index_of(Tape *tape, double value)
{
    return rxn__kir_const(tape->frame->builder, KIR_I32, value);
}

/* ---- how the memory is spent ------------------------------------------------------------------- */

TapePlan
rxn__tape_plan(u64 tape_bytes, u32 step_bytes, u32 state_bytes, u32 event_bytes, u32 timed_events)
{
    /* So many steps are to be had with the checkpoints; if half of the memory is not enough for that, the
     * product of both is greatest at half and half. */
    const double wanted = 0x1p33;
    const u64 most = 1u << 30;
    TapePlan plan = {0};
    u64 half = tape_bytes / 2;
    u64 checkpoints = half / (state_bytes + 1);
    double enough = wanted * step_bytes / ((double)half + 1) + 1;
    if (enough < (double)checkpoints)
        checkpoints = (u64)enough;
    checkpoints = checkpoints < 1 ? 1 : checkpoints > most ? most : checkpoints;
    u64 left = tape_bytes > checkpoints * state_bytes ? tape_bytes - checkpoints * state_bytes : 0;
    if (timed_events) {
        u64 events = left / 8 / event_bytes;
        events = events > 65536 ? 65536 : events;
        left -= events * event_bytes;
        plan.events = (u32)events + 2 * timed_events;
    }
    u64 capacity = left / step_bytes;
    capacity = capacity < 8 ? 8 : capacity > most ? most : capacity;
    plan.capacity = (u32)capacity;
    plan.checkpoints = (u32)checkpoints;
    return plan;
}

/* ---- declarations ------------------------------------------------------------------------------ */

static bool
outlives_a_step(SsaFrame *frame, u32 local)
{
    const KirLocal *declared = &rxn__kir_kernel(frame->builder)->locals.items[local];
    return !declared->uniform && !declared->length && local != frame->arrival &&
           local != frame->threshold;
}

/* In the table form counts are an array, and so are their checkpoints. */
static bool
in_tables(const Tape *tape)
{
    return !tape->frame->lower.species_local;
}

static u32
code_bytes(const Tape *tape)
{
    u32 codes = tape->frame->network->reaction_count; /* and one for none */
    return codes < 256 ? 1 : codes < 65536 ? 2 : 4;
}

static u32
tape_local(Tape *tape, const char *name, KirType type, u32 bytes, u32 length)
{
    return rxn__kir_tape_local(tape->frame->builder, name, type, bytes, length);
}

/* For each scalar that outlives a step: a copy, and a tape of copies. */
static void
declare_state(Tape *tape, u32 count)
{
    SsaFrame *frame = tape->frame;
    TapeLocals *locals = tape->locals;
    for (u32 k = 0; k < count; k++) {
        if (!outlives_a_step(frame, k))
            continue;
        char name[96];
        const KirLocal declared = rxn__kir_kernel(frame->builder)->locals.items[k];
        StateLocal state = {.local = k};
        snprintf(name, sizeof name, "kept_%s", declared.name->text);
        state.kept = rxn__kir_local(frame->builder, name, (KirType)declared.type, 0);
        snprintf(name, sizeof name, "checkpoint_%s", declared.name->text);
        state.checkpoints = tape_local(tape, name, (KirType)declared.type,
                                       rxn__kir_type_bytes[declared.type], tape->plan.checkpoints);
        if (k == frame->n)
            locals->kept_n = state.kept;
        if (k == frame->n_high)
            locals->kept_n_high = state.kept;
        vec_push(frame->arena, &locals->state, state);
    }
    for (u32 k = 0; k < locals->arrays.count; k++) {
        StateArray *array = &locals->arrays.items[k];
        char name[96];
        const KirLocal declared = rxn__kir_kernel(frame->builder)->locals.items[array->local];
        KirType type = (KirType)declared.type;
        snprintf(name, sizeof name, "kept_%s", declared.name->text);
        array->kept = rxn__kir_local(frame->builder, name, type, array->length);
        snprintf(name, sizeof name, "checkpoint_%s", declared.name->text);
        array->checkpoints = tape_local(tape, name, type, rxn__kir_type_bytes[type],
                                        tape->plan.checkpoints * array->length);
    }
}

/* The arrays of the table form that outlive a step. */
static void
list_arrays(Tape *tape)
{
    SsaFrame *frame = tape->frame;
    if (!in_tables(tape))
        return;
    StateArray counts = {.local = frame->lower.species_array,
                         .length = frame->network->species_count};
    vec_push(frame->arena, &tape->locals->arrays, counts);
    for (u32 k = 0; k < frame->kept_arrays.count; k++) {
        u32 local = frame->kept_arrays.items[k];
        StateArray array = {.local = local,
                            .length = rxn__kir_kernel(frame->builder)->locals.items[local].length};
        vec_push(frame->arena, &tape->locals->arrays, array);
    }
}

static void
plan_memory(Tape *tape, u32 count)
{
    SsaFrame *frame = tape->frame;
    TapeLocals *locals = tape->locals;
    const Network *network = frame->network;
    u32 state_bytes = 0, longest = 1;
    for (u32 k = 0; k < count; k++)
        if (outlives_a_step(frame, k))
            state_bytes +=
                rxn__kir_type_bytes[rxn__kir_kernel(frame->builder)->locals.items[k].type];
    for (u32 e = 0; e < network->events.count; e++) {
        u32 assignments = network->events.items[e].assignments.count;
        locals->timed_events++;
        locals->assigned = assignments > locals->assigned ? assignments : locals->assigned;
    }
    for (u32 k = 0; k < locals->arrays.count; k++) {
        const StateArray *array = &locals->arrays.items[k];
        KirType type = (KirType)rxn__kir_kernel(frame->builder)->locals.items[array->local].type;
        state_bytes += array->length * rxn__kir_type_bytes[type];
        longest = array->length > longest ? array->length : longest;
    }
    tape->plan = rxn__tape_plan(tape->request->tape_bytes, code_bytes(tape) + 8, state_bytes,
                                8 + 8 * locals->assigned, locals->timed_events);
    if (tape->plan.checkpoints > INT32_MAX / longest)
        tape->plan.checkpoints = INT32_MAX / longest;
}

static void
declare(SsaFrame *frame, void *context)
{
    Tape *tape = context;
    TapeLocals *locals = tape->locals;
    KirBuilder *b = frame->builder;
    tape->frame = frame;
    rxn__recorder_declare(&tape->recorder, frame, tape->objective, "");
    u32 count = rxn__kir_kernel(b)->locals.count;
    list_arrays(tape);
    plan_memory(tape, count);
    const TapePlan *plan = &tape->plan;

    locals->over = rxn__kir_local(b, "over", KIR_BOOL, 0);
    locals->count = rxn__kir_local(b, "steps", KIR_I32, 0);
    locals->block = rxn__kir_local(b, "block", KIR_I32, 0);
    locals->returning = rxn__kir_local(b, "returning", KIR_BOOL, 0);
    locals->later = rxn__kir_local(b, "later", KIR_F64, 0);
    if (!in_tables(tape)) {
        locals->log = rxn__kir_local(b, "log", frame->real, 0);
        locals->share = rxn__kir_local(b, "share", frame->real, 0);
        locals->next_log = rxn__kir_local(b, "next_log", frame->real, 0);
        locals->next_share = rxn__kir_local(b, "next_share", frame->real, 0);
    }
    locals->last_n = rxn__kir_local(b, "last_n", KIR_U32, 0);
    locals->last_n_high = rxn__kir_local(b, "last_n_high", KIR_U32, 0);
    locals->last_missed = rxn__kir_local(b, "last_missed", KIR_U64, 0);
    tape->observation = rxn__kir_local(b, "observation", KIR_I32, 0);
    tape->observation_time = rxn__kir_local(b, "observation_time", KIR_F64, 0);
    u32 weights = tape->sets * tape->objective->times.count * tape->recorder.width;
    if (weights)
        locals->weight = rxn__kir_local(b, "weight", KIR_F64, weights);
    if (tape->method->declare)
        tape->method->declare(tape, tape->method->context);

    locals->code = tape_local(tape, "tape_code", KIR_U32, code_bytes(tape), plan->capacity);
    locals->time = tape_local(tape, "tape_time", KIR_F64, 8, plan->capacity);
    if (locals->timed_events) {
        locals->event_count = rxn__kir_local(b, "event_count", KIR_I32, 0);
        locals->event_step = tape_local(tape, "tape_event_step", KIR_U32, 4, plan->events);
        locals->event_number = tape_local(tape, "tape_event", KIR_U32, 4, plan->events);
        if (locals->assigned)
            locals->event_old =
                tape_local(tape, "tape_event_old", KIR_F64, 8, plan->events * locals->assigned);
    }
    declare_state(tape, count);
}

/* ---- forward ----------------------------------------------------------------------------------- */

static void
start(SsaFrame *frame, void *context)
{
    Tape *tape = context;
    KirBuilder *b = frame->builder;
    rxn__recorder_start(&tape->recorder);
    rxn__kir_set(b, tape->locals->over, 0, rxn__kir_const(b, KIR_BOOL, 1));
}

static void
rates(SsaFrame *frame, void *context, const KirValue *propensities, KirValue span)
{
    Tape *tape = context;
    KirBuilder *b = frame->builder;
    (void)propensities;
    rxn__kir_set(b, tape->locals->time, tape->locals->step, rxn__kir_get(b, frame->t, 0));
    rxn__recorder_rates(&tape->recorder, span);
}

static void
record(SsaFrame *frame, void *context, KirValue row, KirValue time)
{
    Tape *tape = context;
    (void)frame;
    rxn__recorder_record(&tape->recorder, row, time);
}

static void
fires(SsaFrame *frame, void *context, KirValue code)
{
    Tape *tape = context;
    rxn__kir_set(frame->builder, tape->locals->code, tape->locals->step, code);
    rxn__recorder_elapse(&tape->recorder);
}

/* An event is about to assign: what it replaces goes onto a tape of its own. */
static void
assign(SsaFrame *frame, void *context, u32 number)
{
    Tape *tape = context;
    TapeLocals *locals = tape->locals;
    KirBuilder *b = frame->builder;
    const Event *event = &frame->network->events.items[number];
    KirValue at = rxn__kir_get(b, locals->event_count, 0);
    rxn__kir_set(b, locals->event_step, at, kir_cast(b, KIR_U32, locals->step));
    rxn__kir_set(b, locals->event_number, at, rxn__kir_const(b, KIR_U32, number));
    KirValue first = kir_mul(b, at, index_of(tape, locals->assigned));
    for (u32 k = 0; k < event->assignments.count; k++) {
        KirValue species = index_of(tape, event->assignments.items[k].member);
        rxn__kir_set(b, locals->event_old, kir_add(b, first, index_of(tape, k)),
                     kir_cast(b, KIR_F64, rxn__lower_species(&frame->lower, species)));
    }
    rxn__kir_set(b, locals->event_count, 0, kir_add(b, at, index_of(tape, 1)));
}

/* to[…] = from[…]; which of both is a tape of checkpoints begins at its `first`. */
static void
copy_array(Tape *tape, u32 length, u32 to, KirValue to_first, u32 from, KirValue from_first)
{
    KirBuilder *b = tape->frame->builder;
    KirValue k = rxn__kir_for(b, index_of(tape, 0), index_of(tape, length));
    KirValue there = to_first ? kir_add(b, to_first, k) : k;
    KirValue here = from_first ? kir_add(b, from_first, k) : k;
    rxn__kir_set(b, to, there, rxn__kir_get(b, from, here));
    rxn__kir_close(b);
}

/* Random numbers, which no step has to wait for, for every second one and the next: a block and its logarithm are a chain
 * of 200 cycles, as long as all else of a step, and two chains that are written side by side take hardly longer. */
static void
draw(Tape *tape)
{
    SsaFrame *frame = tape->frame;
    TapeLocals *locals = tape->locals;
    KirBuilder *b = frame->builder;
    SsaDrawn drawn[2];
    rxn__kir_if(b, kir_eq(b, kir_and(b, locals->step, index_of(tape, 1)), index_of(tape, 0)));
    rxn__ssa_draw_two(frame, drawn);
    rxn__kir_set(b, locals->log, 0, drawn[0].log);
    rxn__kir_set(b, locals->share, 0, drawn[0].share);
    rxn__kir_set(b, locals->next_log, 0, drawn[1].log);
    rxn__kir_set(b, locals->next_share, 0, drawn[1].share);
    rxn__kir_else(b);
    rxn__kir_set(b, locals->log, 0, rxn__kir_get(b, locals->next_log, 0));
    rxn__kir_set(b, locals->share, 0, rxn__kir_get(b, locals->next_share, 0));
    rxn__kir_close(b);
    frame->drawn_log = rxn__kir_get(b, locals->log, 0);
    frame->drawn_share = rxn__kir_get(b, locals->share, 0);
}

/* One block of steps from the present state. */
static void
write_forward(Tape *tape)
{
    SsaFrame *frame = tape->frame;
    TapeLocals *locals = tape->locals;
    KirBuilder *b = frame->builder;
    for (u32 k = 0; k < locals->state.count; k++) {
        const StateLocal *state = &locals->state.items[k];
        rxn__kir_set(b, state->kept, 0, rxn__kir_get(b, state->local, 0));
    }
    for (u32 k = 0; k < locals->arrays.count; k++) {
        const StateArray *array = &locals->arrays.items[k];
        copy_array(tape, array->length, array->kept, 0, array->local, 0);
    }
    rxn__kir_set(b, locals->count, 0, index_of(tape, tape->plan.capacity));
    if (locals->timed_events)
        rxn__kir_set(b, locals->event_count, 0, index_of(tape, 0));
    rxn__lower_forget(&frame->lower);
    locals->step = rxn__kir_for(b, index_of(tape, 0), index_of(tape, tape->plan.capacity));
    if (in_tables(tape)) {
        rxn__ssa_table_step(frame);
    } else {
        draw(tape);
        rxn__ssa_unrolled_step(frame, locals->steps);
        frame->drawn_log = frame->drawn_share = 0;
    }
    rxn__lower_forget(&frame->lower);
    KirValue leaves = rxn__kir_get(b, frame->done, 0);
    if (locals->timed_events) {
        u32 room = tape->plan.events - locals->timed_events;
        KirValue full = kir_gt(b, rxn__kir_get(b, locals->event_count, 0), index_of(tape, room));
        leaves = kir_or(b, leaves, full);
    }
    rxn__kir_if(b, leaves);
    rxn__kir_set(b, locals->count, 0, kir_add(b, locals->step, index_of(tape, 1)));
    rxn__kir_break(b);
    rxn__kir_close(b);
    rxn__kir_close(b);
    rxn__lower_forget(&frame->lower);
}

static void
store_checkpoint(Tape *tape)
{
    KirBuilder *b = tape->frame->builder;
    TapeLocals *locals = tape->locals;
    KirValue block = rxn__kir_get(b, locals->block, 0);
    rxn__kir_if(b, kir_ge(b, block, index_of(tape, tape->plan.checkpoints)));
    rxn__kir_trap(b, RXN_FAULT_TAPE_FULL, rxn__kir_const(b, KIR_U32, 0));
    rxn__kir_close(b);
    for (u32 k = 0; k < locals->state.count; k++) {
        const StateLocal *state = &locals->state.items[k];
        rxn__kir_set(b, state->checkpoints, block, rxn__kir_get(b, state->kept, 0));
    }
    for (u32 k = 0; k < locals->arrays.count; k++) {
        const StateArray *array = &locals->arrays.items[k];
        KirValue first = kir_mul(b, block, index_of(tape, array->length));
        copy_array(tape, array->length, array->checkpoints, first, array->kept, 0);
    }
    rxn__kir_set(b, locals->block, 0, kir_add(b, block, index_of(tape, 1)));
}

static void
restore_checkpoint(Tape *tape)
{
    KirBuilder *b = tape->frame->builder;
    TapeLocals *locals = tape->locals;
    KirValue block = kir_sub(b, rxn__kir_get(b, locals->block, 0), index_of(tape, 1));
    rxn__kir_set(b, locals->block, 0, block);
    for (u32 k = 0; k < locals->state.count; k++) {
        const StateLocal *state = &locals->state.items[k];
        rxn__kir_set(b, state->local, 0, rxn__kir_get(b, state->checkpoints, block));
    }
    if (!in_tables(tape))
        return;
    for (u32 k = 0; k < locals->arrays.count; k++) {
        const StateArray *array = &locals->arrays.items[k];
        KirValue first = kir_mul(b, block, index_of(tape, array->length));
        copy_array(tape, array->length, array->local, 0, array->checkpoints, first);
    }
    /* The propensities are those of another state: the next step has to compute them all. */
    rxn__kir_set(b, tape->frame->jumped, 0, rxn__kir_const(b, KIR_BOOL, 1));
}

/* ---- the weights ------------------------------------------------------------------------------- */

static u32
weight_place(const Tape *tape, u32 set, u32 row, u32 column)
{
    u32 width = tape->recorder.width, rows = tape->objective->times.count;
    return (set * rows + row) * width + column;
}

static void
add_weight(Tape *tape, KirValue *weights, u32 place, KirValue value)
{
    weights[place] = weights[place] ? kir_add(tape->frame->builder, weights[place], value) : value;
}

/* factor * dF/datom of one functional, to the weights of a set. */
static void
weigh_functional(Tape *tape, KirValue *weights, u32 set, u32 functional, double factor)
{
    SsaFrame *frame = tape->frame;
    KirBuilder *b = frame->builder;
    Network *network = frame->network;
    const Objective *objective = network->objective;
    Expr value = objective->functionals.items[functional].value;
    FunctionalFacts facts;
    rxn__functional_facts(network, functional, frame->arena, &facts);
    for (u32 k = 0; k < facts.atom_count; k++) {
        Atom atom = objective->atoms.items[facts.atoms[k]];
        Expr slope = rxn__expr_derivative(network, value, EXPR_QUANTITY, facts.atoms[k]);
        if (rxn__expr_is_zero(network, slope) || atom.kind == ATOM_PASSAGE)
            continue;
        KirValue weight =
            kir_mul(b, rxn__recorder_value(&tape->recorder, slope), f64(tape, factor));
        u32 column = rxn__recorder_column(&tape->recorder, &atom);
        u32 row = rxn__objective_row(tape->objective, atom.to);
        add_weight(tape, weights, weight_place(tape, set, row, column), weight);
        if (atom.kind == ATOM_INTEGRAL && atom.from > 0) {
            row = rxn__objective_row(tape->objective, atom.from);
            add_weight(tape, weights, weight_place(tape, set, row, column), kir_neg(b, weight));
        }
    }
}

/* The factor of a term whose coefficient is a number. */
static double
term_factor(const Tape *tape, const OutputTerm *term)
{
    return expr_node(tape->frame->network, term->coefficient)->number;
}

static void
set_weights(Tape *tape)
{
    SsaFrame *frame = tape->frame;
    u32 total = tape->sets * tape->objective->times.count * tape->recorder.width;
    KirValue *weights = NEW_ARRAY(frame->arena, KirValue, total + 1);
    for (u32 set = 0; set < tape->sets; set++) {
        if (!tape->row.by_output) {
            weigh_functional(tape, weights, set, set, 1);
            continue;
        }
        for (u32 k = 0; k < tape->terms[set].terms.count; k++) {
            const OutputTerm *term = &tape->terms[set].terms.items[k];
            weigh_functional(tape, weights, set, term->functional, term_factor(tape, term));
        }
    }
    for (u32 k = 0; k < total; k++)
        if (weights[k])
            rxn__kir_set(frame->builder, tape->locals->weight, index_of(tape, k), weights[k]);
}

KirValue
rxn__tape_explicit(Tape *tape, u32 set, u32 param)
{
    KirBuilder *b = tape->frame->builder;
    const Network *network = tape->frame->network;
    u32 count = tape->partial_count;
    if (!tape->partial)
        return 0;
    if (!tape->row.by_output) {
        Expr partial = tape->partial[set * count + param];
        return rxn__expr_is_zero(network, partial) ? 0
                                                   : rxn__recorder_value(&tape->recorder, partial);
    }
    KirValue total = 0;
    for (u32 k = 0; k < tape->terms[set].terms.count; k++) {
        const OutputTerm *term = &tape->terms[set].terms.items[k];
        Expr partial = tape->partial[term->functional * count + param];
        if (rxn__expr_is_zero(network, partial))
            continue;
        KirValue value = rxn__recorder_value(&tape->recorder, partial);
        value = kir_mul(b, value, f64(tape, term_factor(tape, term)));
        total = total ? kir_add(b, total, value) : value;
    }
    return total;
}

KirValue
rxn__tape_weight(Tape *tape, u32 set, u32 column)
{
    KirBuilder *b = tape->frame->builder;
    u32 first = weight_place(tape, set, 0, column);
    if (tape->objective->times.count == 1)
        return rxn__kir_get(b, tape->locals->weight, index_of(tape, first));
    KirValue row = rxn__kir_get(b, tape->observation, 0);
    KirValue place =
        kir_add(b, kir_mul(b, row, index_of(tape, tape->recorder.width)), index_of(tape, first));
    return rxn__kir_get(b, tape->locals->weight, place);
}

static void
set_observation(Tape *tape, KirValue row)
{
    KirBuilder *b = tape->frame->builder;
    KirValue none = f64(tape, -INFINITY);
    KirValue there = kir_ge(b, row, index_of(tape, 0));
    KirValue index = kir_max(b, row, index_of(tape, 0));
    rxn__kir_set(b, tape->observation, 0, row);
    rxn__kir_set(b, tape->observation_time, 0,
                 kir_select(b, there, rxn__kir_load(b, tape->frame->sample_time, &index), none));
}

void
rxn__tape_observed(Tape *tape)
{
    KirBuilder *b = tape->frame->builder;
    set_observation(tape, kir_sub(b, rxn__kir_get(b, tape->observation, 0), index_of(tape, 1)));
}

/* ---- backward ---------------------------------------------------------------------------------- */

KirValue
rxn__tape_fired(Tape *tape, const TapeStep *step, u32 first, u32 last)
{
    KirBuilder *b = tape->frame->builder;
    u32 reactions = tape->frame->network->reaction_count;
    KirValue low = rxn__kir_const(b, KIR_U32, first), high = rxn__kir_const(b, KIR_U32, last);
    if (first == last)
        return kir_eq(b, step->code, low);
    if (first == 0)
        return kir_le(b, step->code, high);
    KirValue from = kir_ge(b, step->code, low);
    return last == reactions ? from : kir_and(b, from, kir_le(b, step->code, high));
}

void
rxn__tape_bind(Tape *tape, const TapeStep *step)
{
    SsaFrame *frame = tape->frame;
    rxn__lower_forget(&frame->lower);
    if (frame->has_breakpoints)
        frame->lower.time_middle = rxn__ssa_middle(frame, step->start);
}

/* What each reaction changes: [species * reactions + reaction]. */
static i32 *
find_changes(const Tape *tape)
{
    SsaFrame *frame = tape->frame;
    const Network *network = frame->network;
    u32 reactions = network->reaction_count;
    i32 *delta = NEW_ARRAY(frame->arena, i32, (size_t)reactions * network->species_count + 1);
    for (u32 j = 0; j < reactions; j++) {
        u32 member;
        const Reaction *reaction = rxn__reaction_of_flat(network, j, &member);
        u32 most = reaction->reactants.count + reaction->products.count;
        Change *changes = NEW_ARRAY(frame->arena, Change, most + 1);
        u32 count = rxn__reaction_changes(network, reaction, member, most, changes);
        for (u32 k = 0; k < count; k++)
            delta[(size_t)changes[k].species * reactions + j] = changes[k].delta;
    }
    return delta;
}

/* Runs of neighbouring reactions with the same change of a species are one comparison. */
static void
undo_reaction(Tape *tape, const TapeStep *step)
{
    SsaFrame *frame = tape->frame;
    KirBuilder *b = frame->builder;
    u32 reactions = frame->network->reaction_count, species = frame->network->species_count;
    if (in_tables(tape)) {
        rxn__ssa_table_undo(frame, kir_cast(b, KIR_I32, step->code));
        return;
    }
    const i32 *delta = find_changes(tape);
    for (u32 s = 0; s < species; s++) {
        const i32 *changes = &delta[(size_t)s * reactions];
        KirValue element = tape->singles ? index_of(tape, s) : 0;
        u32 local = tape->singles ? tape->offset : frame->lower.species_local[s];
        KirType type = tape->singles ? KIR_F32 : frame->real;
        KirValue x = rxn__kir_get(b, local, element), before = x;
        for (u32 j = 0; j < reactions; j++) {
            u32 first = j;
            if (!changes[j])
                continue;
            while (j + 1 < reactions && changes[j + 1] == changes[first])
                j++;
            KirValue moved = kir_sub(b, before, rxn__kir_const(b, type, changes[first]));
            before = kir_select(b, rxn__tape_fired(tape, step, first, j), moved, before);
        }
        if (before != x)
            rxn__kir_set(b, local, element, before);
    }
}

void
rxn__tape_count_in_singles(Tape *tape)
{
    SsaFrame *frame = tape->frame;
    const i32 most = 1 << 16; /* of some steps still far below 2^24 */
    u32 species = frame->network->species_count, reactions = frame->network->reaction_count;
    if (in_tables(tape) || frame->real != KIR_F64)
        return;
    const i32 *delta = find_changes(tape);
    for (size_t k = 0; k < (size_t)species * reactions; k++)
        if (delta[k] > most || delta[k] < -most)
            return;
    tape->singles = true;
    tape->base = rxn__kir_local(frame->builder, "base", KIR_F32, species);
    tape->offset = rxn__kir_local(frame->builder, "offset", KIR_F32, species);
}

void
rxn__tape_settle(Tape *tape)
{
    SsaFrame *frame = tape->frame;
    KirBuilder *b = frame->builder;
    for (u32 s = 0; tape->singles && s < frame->network->species_count; s++) {
        KirValue element = index_of(tape, s);
        KirValue offset = kir_cast(b, KIR_F64, rxn__kir_get(b, tape->offset, element));
        KirValue count = rxn__kir_get(b, frame->lower.species_local[s], 0);
        count = kir_add(b, count, offset);
        rxn__kir_set(b, frame->lower.species_local[s], 0, count);
        rxn__kir_set(b, tape->base, element, kir_cast(b, KIR_F32, count));
        rxn__kir_set(b, tape->offset, element, rxn__kir_const(b, KIR_F32, 0));
    }
    rxn__lower_forget(&frame->lower);
}

KirValue
rxn__tape_single_count(Tape *tape, Expr species)
{
    SsaFrame *frame = tape->frame;
    KirBuilder *b = frame->builder;
    if (!tape->singles)
        return kir_cast(b, KIR_F32, rxn__lower_as(&frame->lower, species, KIR_F64));
    const ExprNode *node = expr_node(frame->network, species);
    const Species *declared = &frame->network->species.items[node->object];
    KirValue flat = rxn__lower_flat(&frame->lower, &declared->shape, declared->flat, node->args);
    return kir_add(b, rxn__kir_get(b, tape->base, flat), rxn__kir_get(b, tape->offset, flat));
}

static void
undo_event(Tape *tape, const TapeStep *step, u32 number, KirValue at)
{
    SsaFrame *frame = tape->frame;
    TapeLocals *locals = tape->locals;
    KirBuilder *b = frame->builder;
    const Event *event = &frame->network->events.items[number];
    KirValue first = kir_mul(b, at, index_of(tape, locals->assigned));
    for (u32 k = 0; k < event->assignments.count; k++) {
        KirValue old = rxn__kir_get(b, locals->event_old, kir_add(b, first, index_of(tape, k)));
        rxn__ssa_set_species(frame, event->assignments.items[k].member,
                             kir_cast(b, frame->real, old));
    }
    rxn__lower_forget(&frame->lower);
    if (tape->method->assigned)
        tape->method->assigned(tape, tape->method->context, number, step->end);
    rxn__lower_forget(&frame->lower);
}

/* The events at the end of the step, the last one first. */
static void
undo_events(Tape *tape, const TapeStep *step)
{
    SsaFrame *frame = tape->frame;
    TapeLocals *locals = tape->locals;
    KirBuilder *b = frame->builder;
    u32 reactions = frame->network->reaction_count;
    rxn__kir_if(b, rxn__tape_fired(tape, step, reactions, reactions));
    rxn__tape_settle(tape);
    rxn__kir_loop(b);
    KirValue count = rxn__kir_get(b, locals->event_count, 0);
    rxn__kir_if(b, kir_le(b, count, index_of(tape, 0)));
    rxn__kir_break(b);
    rxn__kir_close(b);
    KirValue at = kir_sub(b, count, index_of(tape, 1));
    KirValue when = rxn__kir_get(b, locals->event_step, at);
    rxn__kir_if(b, kir_ne(b, when, kir_cast(b, KIR_U32, locals->step)));
    rxn__kir_break(b);
    rxn__kir_close(b);
    KirValue number = rxn__kir_get(b, locals->event_number, at);
    for (u32 e = 0; e < frame->network->events.count; e++) {
        rxn__kir_if(b, kir_eq(b, number, rxn__kir_const(b, KIR_U32, e)));
        undo_event(tape, step, e, at);
        rxn__kir_close(b);
    }
    rxn__kir_set(b, locals->event_count, 0, at);
    rxn__kir_close(b);
    rxn__tape_settle(tape);
    rxn__kir_close(b);
    rxn__lower_forget(&frame->lower);
}

static KirValue
step_number(Tape *tape)
{
    KirBuilder *b = tape->frame->builder;
    TapeLocals *locals = tape->locals;
    KirValue high = kir_cast(b, KIR_U64, rxn__kir_get(b, locals->kept_n_high, 0));
    KirValue low = kir_cast(b, KIR_U64, rxn__kir_get(b, locals->kept_n, 0));
    KirValue first = kir_or(b, kir_shl(b, high, rxn__kir_const(b, KIR_U64, 32)), low);
    return kir_add(b, first, kir_cast(b, KIR_U64, locals->step));
}

static void
write_backward(Tape *tape)
{
    SsaFrame *frame = tape->frame;
    TapeLocals *locals = tape->locals;
    KirBuilder *b = frame->builder;
    rxn__lower_forget(&frame->lower);
    rxn__tape_settle(tape);
    KirValue count = rxn__kir_get(b, locals->count, 0);
    locals->step = rxn__kir_for_down(b, index_of(tape, 0), count);
    TapeStep step = {.code = rxn__kir_get(b, locals->code, locals->step),
                     .start = rxn__kir_get(b, locals->time, locals->step),
                     .end = rxn__kir_get(b, locals->later, 0),
                     .number = step_number(tape)};
    if (locals->timed_events)
        undo_events(tape, &step);
    undo_reaction(tape, &step);
    rxn__lower_forget(&frame->lower);
    tape->method->backward(tape, tape->method->context, &step);
    rxn__kir_set(b, locals->later, 0, step.start);
    rxn__kir_close(b);
    rxn__tape_settle(tape);
}

/* At the end of the trajectory, once. */
static void
write_seed(Tape *tape)
{
    SsaFrame *frame = tape->frame;
    TapeLocals *locals = tape->locals;
    KirBuilder *b = frame->builder;
    rxn__kir_set(b, locals->returning, 0, rxn__kir_const(b, KIR_BOOL, 1));
    rxn__kir_set(b, locals->last_n, 0, rxn__kir_get(b, frame->n, 0));
    rxn__kir_set(b, locals->last_n_high, 0, rxn__kir_get(b, frame->n_high, 0));
    rxn__kir_set(b, locals->last_missed, 0, rxn__kir_get(b, frame->missed, 0));
    rxn__kir_set(b, locals->later, 0, rxn__kir_get(b, frame->t, 0));
    rxn__recorder_finish(&tape->recorder);
    for (u32 k = 0; k < tape->row.functionals; k++)
        rxn__row_store(frame, rxn__row_value(&tape->row, k),
                       rxn__recorder_functional(&tape->recorder, k));
    set_weights(tape);
    set_observation(tape, index_of(tape, tape->objective->times.count - 1.0));
    if (tape->method->seed)
        tape->method->seed(tape, tape->method->context);
    rxn__lower_forget(&frame->lower);
}

/* ---- the trajectory ---------------------------------------------------------------------------- */

static void
finish(SsaFrame *frame, void *context)
{
    Tape *tape = context;
    TapeLocals *locals = tape->locals;
    KirBuilder *b = frame->builder;
    rxn__kir_loop(b);
    write_forward(tape);
    KirValue returning = rxn__kir_get(b, locals->returning, 0);
    KirValue ended = rxn__kir_get(b, frame->done, 0);
    rxn__kir_if(b, kir_not(b, kir_or(b, returning, ended)));
    store_checkpoint(tape);
    rxn__kir_else(b);
    rxn__kir_if(b, kir_not(b, returning));
    write_seed(tape);
    rxn__kir_close(b);
    write_backward(tape);
    rxn__kir_if(b, kir_le(b, rxn__kir_get(b, locals->block, 0), index_of(tape, 0)));
    rxn__kir_break(b);
    rxn__kir_close(b);
    restore_checkpoint(tape);
    rxn__kir_close(b);
    rxn__kir_close(b);
    rxn__lower_forget(&frame->lower);
    if (tape->method->finish)
        tape->method->finish(tape, tape->method->context);
    rxn__lower_forget(&frame->lower);
    rxn__kir_set(b, frame->n, 0, rxn__kir_get(b, locals->last_n, 0));
    rxn__kir_set(b, frame->n_high, 0, rxn__kir_get(b, locals->last_n_high, 0));
    rxn__kir_set(b, frame->missed, 0, rxn__kir_get(b, locals->last_missed, 0));
}

bool
rxn__tape_by_output(const GradientRequest *request, Arena *arena)
{
    Network *network = request->network;
    const Objective *objective = network->objective;
    if (objective->outputs.count >= objective->functionals.count)
        return false;
    for (u32 k = 0; k < objective->outputs.count; k++) {
        OutputTerms terms;
        if (!rxn__output_terms(network, k, arena, &terms) || !terms.numbers)
            return false;
    }
    return true;
}

bool
rxn__tape_applies(const GradientRequest *request, Text *ret_reason)
{
    return rxn__gradient_unrolls(request, ret_reason) && rxn__tape_weights_fit(request, ret_reason);
}

bool
rxn__tape_weights_fit(const GradientRequest *request, Text *ret_reason)
{
    const Objective *objective = request->network->objective;
    u64 sets = objective->functionals.count;
    if (sets * objective->times.count * objective->atoms.count <= MOST_WEIGHTS)
        return true;
    rxn__text_printf(
        ret_reason,
        "%llu functionals at %u times are too many to go backward from; path-forward and "
        "score go forward only",
        (unsigned long long)sets, objective->times.count);
    return false;
}

const char *
rxn__tape_write(const GradientRequest *request, const TapeMethod *method, GradientRow *row,
                Arena *arena, NameTable *names, MethodKernel *ret_kernel)
{
    Network *network = request->network;
    Tape tape = {.request = request, .method = method, .objective = network->objective};
    const GradientRequest *direct = method->direct ? method->direct : request;
    tape.partial_count = direct->wrt_count;
    const Objective *extended = rxn__gradient_explicit(direct, arena, &tape.partial);
    if (extended)
        tape.objective = extended;
    row->has_direct = true;
    tape.row = *row;
    tape.sets = row->by_output ? row->outputs : row->functionals;
    tape.locals = NEW_ARRAY(arena, TapeLocals, 1);
    if (row->by_output) {
        OutputTerms *terms = NEW_ARRAY(arena, OutputTerms, row->outputs + 1);
        for (u32 k = 0; k < row->outputs; k++)
            rxn__output_terms(network, k, arena, &terms[k]);
        tape.terms = terms;
    }
    SsaExtension extension = {.context = &tape,
                              .columns = rxn__row_columns(row),
                              .declare = declare,
                              .start = start,
                              .rates = rates,
                              .record = record,
                              .fires = fires,
                              .assign = assign,
                              .finish = finish};
    SsaFrame frame = {.extension = &extension};
    MethodOptions options = {.precision = request->precision};
    rxn__ssa_begin(&frame, network, &options, arena, names, !method->tables, ret_kernel);
    frame.turns = 1; /* in f32, too: a block's tape has whole steps */
    rxn__kir_kernel(frame.builder)->done = tape.locals->over;
    if (method->tables) {
        const char *broken = rxn__ssa_table_begin(&frame);
        if (broken)
            return broken;
        rxn__ssa_table_init(&frame);
    } else {
        tape.locals->steps = rxn__ssa_unrolled_begin(&frame);
        rxn__ssa_init(&frame);
    }
    rxn__kir_region(frame.builder, KIR_STEP);
    ret_kernel->form =
        method->tables ? "table of propensities, with tape" : "unrolled in registers, with tape";
    return rxn__ssa_end(&frame);
}
