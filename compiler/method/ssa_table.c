/* ssa_table.c: the direct method over arrays, for families and mid-size networks. The code is as long
 * as the network has laws, not reactions: what a reaction reads and changes stands in tables.
 *
 * Locals: count[S], propensity[R], group_sum[G] (groups of B neighbours in order). One step:
 *
 *   update   for each reaction that depends on the last one (or all of them after an event, at the
 *            start, at a new window): evaluate its law, store propensity; then the sums of the groups
 *            concerned, each summed anew, so nothing drifts.
 *   total    group sums in order; draw; rare
 *   select   the group where the running sum passes the threshold, then the member in it
 *   refuse   a time-dependent law is evaluated at the proposed time; the part of the threshold that is
 *            left over is uniform below the bound, so it decides (Lewis & Shedler 1979)
 *   apply    the changes of the reaction, from the table
 *
 * Within a group the left-over threshold may, by rounding, reach the sum of the group: then the last
 * member of non-zero propensity is taken; a zero one never.
 *
 * Mass-action reactions share one law: rate[r] times the falling factorials of up to `order` species. Each
 * other reaction family is a law of its own, with its variables decoded from the reaction's number.
 */
#include "compiler/method/ssa_private.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LAW_MASS_ACTION = 0 };

struct SsaTable {
    SsaFrame *frame;
    DependencyGraph graph;
    u32 group_size, group_count;
    u32 order;        /* most distinct reactants of a mass-action reaction */
    u32 multiplicity; /* highest coefficient of one */
    bool has_laws, may_drop, timed;
    u32 laws;        /* number of laws */
    u32 *law_family; /* law -> reaction family; [0] unused */

    /* locals */
    u32 propensity, group_sum, rate, last, law_value;

    /* constant buffers */
    u32 change_start, change_species, change_delta;
    u32 update_start, update_target, group_start, group_target;
    u32 law, slot_species, slot_count, guarded; /* guarded: reactions whose bound the user gave */
    u32 guarded_count;
};

typedef SsaTable Table;

static KirValue
i32v(Table *table, i64 value)
{
    return rxn__kir_const(table->frame->builder, KIR_I32, (double)value);
}

/* ---- tables ------------------------------------------------------------------------------------ */

typedef VEC(i32) IntList;

static u32
add_table(Table *table, const char *name, const IntList *list)
{
    SsaFrame *frame = table->frame;
    u32 extent = list->count + !list->count; /* no buffer of zero elements */
    i32 *data = NEW_ARRAY(frame->arena, i32, extent);
    if (list->count)
        memcpy(data, list->items, list->count * sizeof *data);
    MethodTable entry = {name, data, extent};
    vec_push(frame->arena, &frame->output->tables, entry);
    return rxn__kir_buffer(frame->builder, name, KIR_I32, KIR_PER_LAUNCH, false, 1, &extent);
}

static bool
generic_mass_action(const Reaction *reaction)
{
    if (!reaction->mass_action)
        return false;
    for (u32 i = 0; i < reaction->reactants.count; i++)
        for (u32 j = i + 1; j < reaction->reactants.count; j++)
            if (reaction->reactants.items[i].species == reaction->reactants.items[j].species)
                return false; /* they may meet in some member: see rxn__lower_propensity */
    return true;
}

/* Flat species of a term for given values of the reaction's variables. */
static u32
term_species(const Network *network, const Reaction *reaction, const Term *term, const i64 *values)
{
    const Species *species = &network->species.items[term->species];
    i64 indices[RXN_MAX_RANK] = {0};
    for (u32 k = 0; k < species->shape.rank; k++) {
        Affine affine;
        rxn__expr_affine(network, term->index[k], &affine);
        indices[k] = affine.constant;
        for (u32 a = 0; a < affine.count; a++)
            for (u32 v = 0; v < reaction->variable_count; v++)
                if (reaction->variables[v] == affine.variable[a])
                    indices[k] += affine.coefficient[a] * values[v];
    }
    return rxn__flat_member(&species->shape, species->flat, indices);
}

static void
build_change_tables(Table *table)
{
    SsaFrame *frame = table->frame;
    Network *network = frame->network;
    IntList start = {0}, species = {0}, delta = {0};
    for (u32 r = 0; r < network->reactions.count; r++) {
        const Reaction *reaction = &network->reactions.items[r];
        u32 most = reaction->reactants.count + reaction->products.count;
        Change *changes = NEW_ARRAY(frame->arena, Change, most + 1);
        for (u32 member = 0; member < reaction->count; member++) {
            vec_push(frame->arena, &start, (i32)species.count);
            u32 count = rxn__reaction_changes(network, reaction, member, most, changes);
            for (u32 k = 0; k < count; k++) {
                vec_push(frame->arena, &species, (i32)changes[k].species);
                vec_push(frame->arena, &delta, changes[k].delta);
                if (!table->may_drop && changes[k].delta < 0)
                    table->may_drop = !rxn__ssa_guarded(network, reaction, changes[k].species,
                                                        member, -changes[k].delta);
            }
        }
    }
    for (u32 k = 0; k < 2; k++) /* the end of the last row, and an empty row for "no reaction" */
        vec_push(frame->arena, &start, (i32)species.count);
    table->change_start = add_table(table, "change_start", &start);
    table->change_species = add_table(table, "change_species", &species);
    table->change_delta = add_table(table, "change_delta", &delta);
}

static void
build_update_tables(Table *table)
{
    SsaFrame *frame = table->frame;
    const DependencyGraph *graph = &table->graph;
    IntList start = {0}, target = {0}, group_start = {0}, group = {0};
    for (u32 j = 0; j < graph->reaction_count; j++) {
        vec_push(frame->arena, &start, (i32)target.count);
        vec_push(frame->arena, &group_start, (i32)group.count);
        i32 last = -1;
        for (u32 e = graph->start[j]; e < graph->start[j + 1]; e++) {
            i32 reaction = (i32)graph->target[e];
            i32 its_group = reaction / (i32)table->group_size;
            vec_push(frame->arena, &target, reaction);
            if (its_group != last)
                vec_push(frame->arena, &group, its_group);
            last = its_group;
        }
    }
    for (u32 k = 0; k < 2; k++) { /* as above */
        vec_push(frame->arena, &start, (i32)target.count);
        vec_push(frame->arena, &group_start, (i32)group.count);
    }
    table->update_start = add_table(table, "update_start", &start);
    table->update_target = add_table(table, "update_target", &target);
    table->group_start = add_table(table, "group_start", &group_start);
    table->group_target = add_table(table, "group_target", &group);
}

static void
build_law_tables(Table *table)
{
    SsaFrame *frame = table->frame;
    const Network *network = frame->network;
    table->law_family = NEW_ARRAY(frame->arena, u32, network->reactions.count + 1);
    table->laws = 1;
    for (u32 r = 0; r < network->reactions.count; r++) {
        const Reaction *reaction = &network->reactions.items[r];
        if (!generic_mass_action(reaction)) {
            table->law_family[table->laws++] = r;
            table->timed |= rxn__expr_uses(network, reaction->propensity).time;
            continue;
        }
        if (reaction->reactants.count > table->order)
            table->order = reaction->reactants.count;
        for (u32 k = 0; k < reaction->reactants.count; k++)
            if (reaction->reactants.items[k].coefficient > table->multiplicity)
                table->multiplicity = reaction->reactants.items[k].coefficient;
    }
    IntList law = {0}, species = {0}, count = {0}, guarded = {0};
    u32 next_law = 1;
    for (u32 r = 0; r < network->reactions.count; r++) {
        const Reaction *reaction = &network->reactions.items[r];
        bool generic = generic_mass_action(reaction);
        for (u32 member = 0; member < reaction->count; member++) {
            i64 values[RXN_MAX_RANK];
            rxn__reaction_variables(network, reaction, member, values);
            vec_push(frame->arena, &law, generic ? LAW_MASS_ACTION : (i32)next_law);
            if (reaction->bound && reaction->bound_span.end)
                vec_push(frame->arena, &guarded, (i32)(reaction->flat + member));
            for (u32 k = 0; k < table->order; k++) {
                bool used = generic && k < reaction->reactants.count;
                const Term *term = used ? &reaction->reactants.items[k] : NULL;
                vec_push(frame->arena, &species,
                         used ? (i32)term_species(network, reaction, term, values) : 0);
                vec_push(frame->arena, &count, used ? (i32)term->coefficient : 0);
            }
        }
        next_law += !generic;
    }
    table->has_laws = table->laws > 1;
    table->law = add_table(table, "law", &law);
    table->slot_species = add_table(table, "slot_species", &species);
    table->slot_count = add_table(table, "slot_count", &count);
    table->guarded_count = guarded.count;
    if (guarded.count)
        table->guarded = add_table(table, "guarded", &guarded);
}

/* ---- launch: the constants of mass action ------------------------------------------------------ */

typedef struct RateContext {
    Table *table;
    u32 family;
} RateContext;

KirValue
rxn__ssa_reaction_flat(SsaFrame *frame, const Reaction *reaction)
{
    Table *table = frame->table;
    KirBuilder *b = frame->builder;
    KirValue flat = i32v(table, 0);
    for (u32 k = 0; k < reaction->variable_count; k++) {
        Variable v = frame->network->variables.items[reaction->variables[k]];
        flat = kir_mul(b, flat, i32v(table, v.high - v.low + 1));
        flat = kir_add(
            b, flat,
            kir_sub(b, frame->lower.variable_value[reaction->variables[k]], i32v(table, v.low)));
    }
    return kir_add(b, flat, i32v(table, reaction->flat));
}

static void
store_rate(SsaFrame *frame, void *context)
{
    RateContext *rate = context;
    Reaction reaction = frame->network->reactions.items[rate->family];
    double divisor = 1;
    for (u32 k = 0; k < reaction.reactants.count; k++)
        divisor *= rxn__factorial(reaction.reactants.items[k].coefficient);
    KirValue value = rxn__lower(&frame->lower, reaction.rate);
    value = kir_mul(frame->builder, value, rxn__ssa_real(frame, 1 / divisor));
    rxn__kir_set(frame->builder, rate->table->rate, rxn__ssa_reaction_flat(frame, &reaction),
                 value);
}

static void
store_rates(Table *table)
{
    SsaFrame *frame = table->frame;
    rxn__kir_region(frame->builder, KIR_LAUNCH);
    frame->lower.launching = true;
    for (u32 r = 0; r < frame->network->reactions.count; r++) {
        Reaction reaction = frame->network->reactions.items[r];
        if (!generic_mass_action(&reaction) || !reaction.count)
            continue;
        i64 low[RXN_MAX_RANK], high[RXN_MAX_RANK];
        for (u32 k = 0; k < reaction.variable_count; k++) {
            Variable v = frame->network->variables.items[reaction.variables[k]];
            low[k] = v.low;
            high[k] = v.high;
        }
        RateContext context = {table, r};
        MemberVisit visit = {store_rate, &context};
        rxn__lower_forget(&frame->lower);
        rxn__ssa_each_member(frame, reaction.variable_count, reaction.variables, low, high, &visit);
    }
    frame->lower.launching = false;
    rxn__lower_forget(&frame->lower);
}

/* ---- update ------------------------------------------------------------------------------------ */

static KirValue
load1(Table *table, u32 buffer, KirValue index)
{
    return rxn__kir_load(table->frame->builder, buffer, &index);
}

static KirValue
mass_action_value(Table *table, KirValue reaction)
{
    SsaFrame *frame = table->frame;
    KirBuilder *b = frame->builder;
    KirValue value = rxn__kir_get(b, table->rate, reaction);
    for (u32 k = 0; k < table->order; k++) {
        KirValue slot = kir_add(b, kir_mul(b, reaction, i32v(table, table->order)), i32v(table, k));
        KirValue count = load1(table, table->slot_count, slot);
        KirValue x =
            rxn__kir_get(b, frame->lower.species_array, load1(table, table->slot_species, slot));
        for (u32 m = 0; m < table->multiplicity; m++) {
            KirValue factor = kir_sub(b, x, rxn__ssa_real(frame, m));
            value = kir_mul(
                b, value,
                kir_select(b, kir_gt(b, count, i32v(table, m)), factor, rxn__ssa_real(frame, 1)));
        }
    }
    return value;
}

void
rxn__ssa_bind_reaction(SsaFrame *frame, const Reaction *reaction, KirValue flat)
{
    Table *table = frame->table;
    KirBuilder *b = frame->builder;
    KirValue rest = kir_sub(b, flat, i32v(table, reaction->flat));
    for (u32 k = reaction->variable_count; k-- > 0;) {
        Variable v = frame->network->variables.items[reaction->variables[k]];
        KirValue extent = i32v(table, v.high - v.low + 1);
        KirValue digit = k ? kir_rem(b, rest, extent) : rest;
        rxn__lower_bind(&frame->lower, reaction->variables[k],
                        kir_add(b, digit, i32v(table, v.low)));
        rest = k ? kir_div(b, rest, extent) : rest;
    }
}

static void
trap_unless_sound(Table *table, KirValue value, KirValue reaction, bool is_bound)
{
    SsaFrame *frame = table->frame;
    KirBuilder *b = frame->builder;
    KirValue most = rxn__ssa_real(frame, frame->real == KIR_F32 ? (double)FLT_MAX : DBL_MAX);
    KirValue detail = kir_cast(b, KIR_U32, reaction), zero = rxn__ssa_real(frame, 0);
    KirValue sound = kir_and(b, kir_ge(b, value, zero), kir_le(b, value, most));
    /* After the end the propensities of the final state are nobody's business. */
    rxn__kir_if(b, kir_and(b, kir_not(b, sound), kir_not(b, rxn__kir_get(b, frame->ended, 0))));
    rxn__kir_if(b, kir_lt(b, value, zero));
    rxn__kir_trap(b, RXN_FAULT_NEGATIVE_PROPENSITY, detail);
    rxn__kir_close(b);
    if (!is_bound) {
        rxn__kir_if(b, kir_ne(b, value, value));
        rxn__kir_trap(b, RXN_FAULT_NAN_PROPENSITY, detail);
        rxn__kir_close(b);
        rxn__kir_trap(b, RXN_FAULT_INFINITE_PROPENSITY, detail);
    } else if (!frame->has_windows) {
        rxn__kir_trap(b, RXN_FAULT_BOUND_INFINITE, detail);
    } else {
        /* A shorter window may have a finite bound: the total says so, and the rare block retries. */
        KirValue least = kir_add(
            b, kir_mul(b, rxn__kir_get(b, frame->t, 0), rxn__kir_const(b, KIR_F64, 0x1p-39)),
            rxn__kir_const(b, KIR_F64, 1e-200));
        rxn__kir_if(b, kir_le(b, rxn__kir_get(b, frame->window_length, 0), least));
        rxn__kir_trap(b, RXN_FAULT_BOUND_INFINITE, detail);
        rxn__kir_close(b);
    }
    rxn__kir_close(b);
}

/* law_value = the value of reaction's law (its bound if it depends on time and `bounds`). */
static void
evaluate_laws(Table *table, KirValue reaction, KirValue law, bool bounds)
{
    SsaFrame *frame = table->frame;
    KirBuilder *b = frame->builder;
    for (u32 l = 1; l < table->laws; l++) {
        Reaction family = frame->network->reactions.items[table->law_family[l]];
        bool timed = rxn__expr_uses(frame->network, family.propensity).time;
        if (!bounds && !timed)
            continue;
        rxn__kir_if(b, kir_eq(b, law, i32v(table, l)));
        rxn__lower_forget(&frame->lower);
        rxn__ssa_bind_reaction(frame, &family, reaction);
        bool use_bound = bounds && timed && family.bound;
        KirValue value = rxn__lower(&frame->lower, use_bound ? family.bound : family.propensity);
        rxn__kir_set(b, table->law_value, 0, value);
        trap_unless_sound(table, value, reaction, use_bound);
        rxn__kir_close(b);
        rxn__lower_forget(&frame->lower);
    }
}

static void
write_update(Table *table)
{
    SsaFrame *frame = table->frame;
    KirBuilder *b = frame->builder;
    u32 reactions = frame->network->reaction_count;
    KirValue all = rxn__kir_get(b, frame->jumped, 0);
    KirValue last = rxn__kir_get(b, table->last, 0); /* `reactions`: none; its row is empty */
    KirValue next = kir_add(b, last, i32v(table, 1));

    KirValue from = load1(table, table->update_start, last);
    KirValue to = load1(table, table->update_start, next);
    KirValue e = rxn__kir_for(b, kir_select(b, all, i32v(table, 0), from),
                              kir_select(b, all, i32v(table, reactions), to));
    /* With `all`, e is the reaction itself; the table is then read in range, and not used. */
    KirValue entry = kir_select(b, all, i32v(table, 0), e);
    KirValue reaction = kir_select(b, all, e, load1(table, table->update_target, entry));
    KirValue value = mass_action_value(table, reaction);
    if (table->has_laws) {
        KirValue law = load1(table, table->law, reaction);
        rxn__kir_set(b, table->law_value, 0, value);
        evaluate_laws(table, reaction, law, true);
        value = rxn__kir_get(b, table->law_value, 0);
    }
    rxn__kir_set(b, table->propensity, reaction, value);
    rxn__kir_close(b);

    from = load1(table, table->group_start, last);
    to = load1(table, table->group_start, next);
    e = rxn__kir_for(b, kir_select(b, all, i32v(table, 0), from),
                     kir_select(b, all, i32v(table, table->group_count), to));
    entry = kir_select(b, all, i32v(table, 0), e);
    KirValue group = kir_select(b, all, e, load1(table, table->group_target, entry));
    KirValue first = kir_mul(b, group, i32v(table, table->group_size)), sum = 0;
    for (u32 k = 0; k < table->group_size; k++) {
        KirValue a = rxn__kir_get(b, table->propensity, kir_add(b, first, i32v(table, k)));
        sum = sum ? kir_add(b, sum, a) : a;
    }
    rxn__kir_set(b, table->group_sum, group, sum);
    rxn__kir_close(b);
    rxn__kir_set(b, frame->jumped, 0, rxn__kir_const(b, KIR_BOOL, 0));
}

/* ---- select and apply -------------------------------------------------------------------------- */

static KirValue
write_total(Table *table)
{
    SsaFrame *frame = table->frame;
    KirBuilder *b = frame->builder;
    u32 total = rxn__kir_local(b, "total", frame->real, 0);
    rxn__kir_set(b, total, 0, rxn__ssa_real(frame, 0));
    KirValue g = rxn__kir_for(b, i32v(table, 0), i32v(table, table->group_count));
    rxn__kir_set(b, total, 0,
                 kir_add(b, rxn__kir_get(b, total, 0), rxn__kir_get(b, table->group_sum, g)));
    rxn__kir_close(b);
    return rxn__kir_get(b, total, 0);
}

/* Sets `last` to the reaction chosen (reactions: none) and returns what is left of the threshold. */
static KirValue
write_selection(Table *table)
{
    SsaFrame *frame = table->frame;
    KirBuilder *b = frame->builder;
    KirValue threshold = rxn__kir_get(b, frame->threshold, 0);
    KirValue zero = rxn__ssa_real(frame, 0);
    u32 sum = rxn__kir_local(b, "sum", frame->real, 0);
    u32 found = rxn__kir_local(b, "found", KIR_BOOL, 0);
    u32 group = rxn__kir_local(b, "group", KIR_I32, 0);
    u32 left = rxn__kir_local(b, "left", frame->real, 0);
    rxn__kir_set(b, sum, 0, zero);
    rxn__kir_set(b, found, 0, rxn__kir_const(b, KIR_BOOL, 0));
    rxn__kir_set(b, group, 0, i32v(table, 0));
    rxn__kir_set(b, left, 0, zero);
    KirValue g = rxn__kir_for(b, i32v(table, 0), i32v(table, table->group_count));
    KirValue before = rxn__kir_get(b, sum, 0);
    KirValue after = kir_add(b, before, rxn__kir_get(b, table->group_sum, g));
    KirValue already = rxn__kir_get(b, found, 0);
    KirValue here = kir_and(b, kir_lt(b, threshold, after), kir_not(b, already));
    rxn__kir_set(b, group, 0, kir_select(b, here, g, rxn__kir_get(b, group, 0)));
    rxn__kir_set(b, left, 0,
                 kir_select(b, here, kir_sub(b, threshold, before), rxn__kir_get(b, left, 0)));
    rxn__kir_set(b, found, 0, kir_or(b, already, here));
    rxn__kir_set(b, sum, 0, after);
    rxn__kir_close(b);

    /* In the group: the member where the running sum passes what is left, or the last possible one. */
    KirValue first = kir_mul(b, rxn__kir_get(b, group, 0), i32v(table, table->group_size));
    KirValue remaining = rxn__kir_get(b, left, 0), running = zero;
    KirValue chosen = first, rest = remaining, passed = rxn__kir_const(b, KIR_BOOL, 0);
    for (u32 k = 0; k < table->group_size; k++) {
        KirValue member = kir_add(b, first, i32v(table, k));
        KirValue a = rxn__kir_get(b, table->propensity, member);
        KirValue possible = kir_and(b, kir_gt(b, a, zero), kir_not(b, passed));
        chosen = kir_select(b, possible, member, chosen);
        rest = kir_select(b, possible, kir_sub(b, remaining, running), rest);
        running = kir_add(b, running, a);
        passed = kir_or(b, passed, kir_and(b, possible, kir_lt(b, remaining, running)));
    }
    rxn__kir_set(b, table->last, 0,
                 kir_select(b, rxn__kir_get(b, found, 0), chosen,
                            i32v(table, frame->network->reaction_count)));
    return rest;
}

/* Time-dependent laws: the proposal stands if what is left of the threshold is below the true value. */
static void
write_refusal(Table *table, KirValue total, KirValue rest)
{
    SsaFrame *frame = table->frame;
    KirBuilder *b = frame->builder;
    KirValue none = i32v(table, frame->network->reaction_count);
    KirValue reaction = rxn__kir_get(b, table->last, 0);
    KirValue infinite = rxn__ssa_real(frame, INFINITY);
    rxn__kir_if(b, kir_lt(b, reaction, none));
    if (frame->has_windows)
        rxn__kir_set(b, frame->fresh, 0, rxn__kir_const(b, KIR_BOOL, 0));
    rxn__kir_set(b, table->law_value, 0, infinite);
    frame->lower.time = rxn__kir_get(b, frame->arrival, 0);
    evaluate_laws(table, reaction, load1(table, table->law, reaction), false);
    frame->lower.time = 0;
    KirValue value = rxn__kir_get(b, table->law_value, 0);
    KirValue bound = rxn__kir_get(b, table->propensity, reaction);
    rxn__kir_if(b, kir_and(b, kir_lt(b, value, infinite), rxn__ssa_exceeds(frame, value, bound)));
    rxn__kir_set(b, frame->t, 0,
                 rxn__kir_get(b, frame->arrival, 0)); /* the fault is at that time */
    rxn__kir_trap(b, RXN_FAULT_BOUND_EXCEEDED, kir_cast(b, KIR_U32, reaction));
    rxn__kir_close(b);
    rxn__kir_if(b, kir_not(b, kir_lt(b, rest, value)));
    rxn__kir_set(b, table->last, 0, none);
    rxn__ssa_refused(frame, total);
    rxn__kir_close(b);
    rxn__kir_close(b);
    rxn__lower_forget(&frame->lower);
}

/* A bound that the user gave may be wrong, and one that is too low hides its own fault: the reaction is
 * proposed too rarely, or never. So these rates are compared with their bounds at every arrival. */
static void
check_given_bounds(Table *table)
{
    SsaFrame *frame = table->frame;
    KirBuilder *b = frame->builder;
    KirValue time = kir_min(b, rxn__kir_get(b, frame->arrival, 0), rxn__kir_get(b, frame->stop, 0));
    KirValue e = rxn__kir_for(b, i32v(table, 0), i32v(table, table->guarded_count));
    KirValue reaction = load1(table, table->guarded, e);
    rxn__lower_forget(&frame->lower);
    frame->lower.time = time;
    evaluate_laws(table, reaction, load1(table, table->law, reaction), false);
    frame->lower.time = 0;
    KirValue bound = rxn__kir_get(b, table->propensity, reaction);
    KirValue exceeds = rxn__ssa_exceeds(frame, rxn__kir_get(b, table->law_value, 0), bound);
    rxn__kir_if(b, kir_and(b, exceeds, kir_not(b, rxn__kir_get(b, frame->ended, 0))));
    rxn__kir_set(b, frame->t, 0, time);
    rxn__kir_trap(b, RXN_FAULT_BOUND_EXCEEDED, kir_cast(b, KIR_U32, reaction));
    rxn__kir_close(b);
    rxn__kir_close(b);
    rxn__lower_forget(&frame->lower);
}

static void
write_apply(Table *table)
{
    SsaFrame *frame = table->frame;
    KirBuilder *b = frame->builder;
    KirValue reaction = rxn__kir_get(b, table->last, 0); /* `none` has an empty row as well */
    KirValue e =
        rxn__kir_for(b, load1(table, table->change_start, reaction),
                     load1(table, table->change_start, kir_add(b, reaction, i32v(table, 1))));
    KirValue species = load1(table, table->change_species, e);
    KirValue delta = kir_cast(b, frame->real, load1(table, table->change_delta, e));
    KirValue x = kir_add(b, rxn__kir_get(b, frame->lower.species_array, species), delta);
    rxn__kir_set(b, frame->lower.species_array, species, x);
    if (table->may_drop) {
        rxn__kir_if(b, kir_lt(b, x, rxn__ssa_real(frame, 0)));
        rxn__kir_trap(b, RXN_FAULT_NEGATIVE_COUNT, kir_cast(b, KIR_U32, species));
        rxn__kir_close(b);
    }
    rxn__kir_close(b);
    rxn__lower_forget(&frame->lower);
}

/* ---- the whole --------------------------------------------------------------------------------- */

static void
explain_total(SsaFrame *frame, void *context)
{
    /* Laws are tested where they are evaluated; what is left is a sum that overflows. */
    (void)context;
    rxn__kir_trap(frame->builder, RXN_FAULT_INFINITE_PROPENSITY,
                  rxn__kir_const(frame->builder, KIR_U32, 0));
}

const char *
rxn__ssa_table_begin(SsaFrame *frame)
{
    Network *network = frame->network;
    Table *table = NEW_ARRAY(frame->arena, Table, 1);
    u32 reactions = network->reaction_count;
    *table = (Table){.frame = frame};
    if (!rxn__network_dependencies(network, frame->arena, RXN_MAX_TABLE_EDGES, &table->graph))
        return "the dependency graph is larger than the method's test allows";
    table->group_size = reactions <= 1024 ? 16 : 32;
    table->group_count = (reactions + table->group_size - 1) / table->group_size;
    table->group_count += !table->group_count;
    frame->table = table;

    KirBuilder *b = frame->builder;
    table->propensity =
        rxn__kir_local(b, "propensity", frame->real, table->group_count * table->group_size);
    table->group_sum = rxn__kir_local(b, "group_sum", frame->real, table->group_count);
    table->last = rxn__kir_local(b, "last", KIR_I32, 0);
    table->law_value = rxn__kir_local(b, "law_value", frame->real, 0);
    table->rate = rxn__kir_uniform_local(b, "rate", frame->real, reactions + !reactions);
    build_change_tables(table);
    build_update_tables(table);
    build_law_tables(table);
    return NULL;
}

void
rxn__ssa_table_init(SsaFrame *frame)
{
    Table *table = frame->table;
    rxn__ssa_init(frame);
    rxn__kir_set(frame->builder, table->last, 0, i32v(table, frame->network->reaction_count));
    store_rates(table);
}

void
rxn__ssa_table_step(SsaFrame *frame)
{
    Table *table = frame->table;
    KirBuilder *b = frame->builder;
    const SsaExtension *extension = frame->extension;
    rxn__ssa_bind_window(frame);
    write_update(table);
    KirValue total = write_total(table);
    rxn__ssa_draw(frame, total, 0);
    if (table->guarded_count)
        check_given_bounds(table);
    if (extension && extension->rates) {
        /* Both ends are at -inf once it has ended. */
        KirValue end =
            kir_min(b, rxn__kir_get(b, frame->arrival, 0), rxn__kir_get(b, frame->stop, 0));
        KirValue span = kir_max(b, kir_sub(b, end, rxn__kir_get(b, frame->t, 0)),
                                rxn__kir_const(b, KIR_F64, 0));
        rxn__lower_forget(&frame->lower);
        extension->rates(frame, extension->context, NULL, span);
        rxn__lower_forget(&frame->lower);
    }
    KirValue most = rxn__ssa_real(frame, frame->real == KIR_F32 ? (double)FLT_MAX : DBL_MAX);
    rxn__ssa_rare(frame, total, kir_le(b, total, most), explain_total, NULL);
    KirValue rest = write_selection(table);
    if (table->timed)
        write_refusal(table, total, rest);
    if (extension && extension->elapse) {
        rxn__lower_forget(&frame->lower);
        extension->elapse(frame, extension->context, NULL);
        rxn__lower_forget(&frame->lower);
    }
    write_apply(table);
    rxn__ssa_close(frame);
}

const char *
rxn__ssa_write_table_extended(Network *network, const MethodOptions *options, Arena *arena,
                              NameTable *names, const SsaExtension *extension,
                              MethodKernel *ret_kernel)
{
    SsaFrame frame = {.extension = extension};
    rxn__ssa_begin(&frame, network, options, arena, names, false, ret_kernel);
    const char *broken = rxn__ssa_table_begin(&frame);
    if (broken)
        return broken;
    rxn__ssa_table_init(&frame);
    rxn__kir_region(frame.builder, KIR_STEP);
    rxn__ssa_table_step(&frame);
    ret_kernel->form = "table of propensities";
    return rxn__ssa_end(&frame);
}

const char *
rxn__ssa_write_table(Network *network, const MethodOptions *options, Arena *arena, NameTable *names,
                     MethodKernel *ret_kernel)
{
    return rxn__ssa_write_table_extended(network, options, arena, names, NULL, ret_kernel);
}

/* ---- for extensions ---------------------------------------------------------------------------- */

KirValue
rxn__ssa_table_fired(SsaFrame *frame)
{
    return rxn__kir_get(frame->builder, frame->table->last, 0);
}

KirValue
rxn__ssa_table_propensity(SsaFrame *frame, KirValue reaction)
{
    return rxn__kir_get(frame->builder, frame->table->propensity, reaction);
}

KirValue
rxn__ssa_table_dependents(SsaFrame *frame, KirValue reaction)
{
    Table *table = frame->table;
    KirBuilder *b = frame->builder;
    KirValue e =
        rxn__kir_for(b, load1(table, table->update_start, reaction),
                     load1(table, table->update_start, kir_add(b, reaction, i32v(table, 1))));
    return load1(table, table->update_target, e);
}

void
rxn__ssa_table_undo(SsaFrame *frame, KirValue reaction)
{
    Table *table = frame->table;
    KirBuilder *b = frame->builder;
    KirValue e =
        rxn__kir_for(b, load1(table, table->change_start, reaction),
                     load1(table, table->change_start, kir_add(b, reaction, i32v(table, 1))));
    KirValue species = load1(table, table->change_species, e);
    KirValue delta = kir_cast(b, frame->real, load1(table, table->change_delta, e));
    KirValue x = kir_sub(b, rxn__kir_get(b, frame->lower.species_array, species), delta);
    rxn__kir_set(b, frame->lower.species_array, species, x);
    rxn__kir_close(b);
    rxn__lower_forget(&frame->lower);
}
