/* ssa_table_build.c: the constant tables of the table form (see ssa_table.c): what each reaction changes, which
 * propensities it makes stale, which law it has, and the constants of mass action.
 *
 * What is stale after a reaction is a list of reactions, and of the groups that they stand in. Where a reaction makes
 * every member of a family stale, as H[3] does for all `make` whose laws have the sum over H, they are not in the
 * list: whole[reaction] has a bit for each such family, and the update goes through it from the first to the last,
 * which is the same for all lanes of a vector.
 */
#include "compiler/method/ssa_table_private.h"

#include <math.h>

/* A family of fewer members is as well updated one by one; and there are 31 bits. */
enum { LEAST_WHOLE = 4, MOST_WHOLES = 31 };

typedef SsaTable Table;

static KirValue
i32v(Table *table, i64 value)
{
    return rxn__kir_const(table->frame->builder, KIR_I32, (double)value);
}

/* ---- tables ------------------------------------------------------------------------------------ */

u32
rxn__ssa_table_add(Table *table, const char *name, const IntList *list)
{
    return rxn__ssa_constants_i32(table->frame, name, list->items, list->count);
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

bool
rxn__ssa_table_is_law(const Reaction *reaction)
{
    return !generic_mass_action(reaction);
}

bool
rxn__ssa_table_mostly_mass_action(const Network *network)
{
    const double least_part = 0.9;
    u64 reactions = network->reaction_count, mass_action = 0;
    for (u32 r = 0; r < network->reactions.count; r++)
        if (!rxn__ssa_table_is_law(&network->reactions.items[r]))
            mass_action += network->reactions.items[r].count;
    return reactions > 0 && (double)mass_action >= least_part * (double)reactions;
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
    IntList start = {0}, change = {0};
    u32 total = 0;
    for (u32 r = 0; r < network->reactions.count; r++) {
        const Reaction *reaction = &network->reactions.items[r];
        u32 most = reaction->reactants.count + reaction->products.count;
        Change *changes = NEW_ARRAY(frame->arena, Change, most + 1);
        for (u32 member = 0; member < reaction->count; member++) {
            vec_push(frame->arena, &start, (i32)total);
            u32 count = rxn__reaction_changes(network, reaction, member, most, changes);
            rxn__ssa_note_gains(frame, count, changes);
            total += count;
            for (u32 k = 0; k < count; k++) {
                vec_push(frame->arena, &change, (i32)changes[k].species);
                vec_push(frame->arena, &change, changes[k].delta);
                if (!table->may_drop && changes[k].delta < 0)
                    table->may_drop = !rxn__ssa_guarded(network, reaction, changes[k].species,
                                                        member, -changes[k].delta);
            }
        }
    }
    for (u32 k = 0; k < 2; k++) /* the end of the last row, and an empty row for "no reaction" */
        vec_push(frame->arena, &start, (i32)total);
    table->change_start = rxn__ssa_table_add(table, "change_start", &start);
    table->change = rxn__ssa_table_add(table, "change", &change);
}

/* The first entry of a row, which is sorted, that is not below `least`. */
static u32
entry_from(const DependencyGraph *graph, u32 row, u32 least)
{
    u32 low = graph->start[row], high = graph->start[row + 1];
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        if (graph->target[middle] < least)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Which laws are updated as a whole, and by which reactions: bits of wholes[reaction]. */
static void
find_wholes(Table *table, u32 *bits)
{
    const Network *network = table->frame->network;
    const DependencyGraph *graph = &table->graph;
    for (u32 l = 1; l < table->laws && table->wholes.count < MOST_WHOLES; l++) {
        const Reaction *family = &network->reactions.items[table->law_family[l]];
        u64 whole = 0, part = 0;
        for (u32 j = 0; family->count >= LEAST_WHOLE && j < graph->reaction_count; j++) {
            u32 entries = entry_from(graph, j, family->flat + family->count) -
                          entry_from(graph, j, family->flat);
            whole += entries == family->count;
            part += entries > 0 && entries < family->count;
            if (entries == family->count)
                bits[j] |= 1u << table->wholes.count;
        }
        if (whole == 0)
            continue;
        table->law_whole[l] = part == 0;
        vec_push(table->frame->arena, &table->wholes, l);
    }
}

static bool
in_a_whole(const Table *table, u32 bits, u32 reaction)
{
    for (u32 k = 0; k < table->wholes.count; k++) {
        u32 law = table->wholes.items[k];
        const Reaction *family = &table->frame->network->reactions.items[table->law_family[law]];
        if (bits >> k & 1 && reaction >= family->flat && reaction < family->flat + family->count)
            return true;
    }
    return false;
}

static void
build_update_tables(Table *table)
{
    SsaFrame *frame = table->frame;
    const DependencyGraph *graph = &table->graph;
    IntList start = {0}, target = {0}, group_start = {0}, group = {0}, whole = {0};
    u32 *bits = NEW_ARRAY(frame->arena, u32, graph->reaction_count + 1);
    table->law_whole = NEW_ARRAY(frame->arena, bool, table->laws);
    if (!table->bounds)
        find_wholes(table, bits);
    for (u32 j = 0; j < graph->reaction_count; j++) {
        vec_push(frame->arena, &start, (i32)target.count);
        vec_push(frame->arena, &group_start, (i32)group.count);
        vec_push(frame->arena, &whole, (i32)bits[j]);
        i32 last = -1;
        for (u32 e = graph->start[j]; e < graph->start[j + 1]; e++) {
            i32 reaction = (i32)graph->target[e];
            i32 its_group = reaction / (i32)table->group_size;
            if (bits[j] && in_a_whole(table, bits[j], (u32)reaction))
                continue;
            vec_push(frame->arena, &target, reaction);
            if (its_group != last)
                vec_push(frame->arena, &group, its_group);
            last = its_group;
        }
    }
    vec_push(frame->arena, &whole, 0);
    for (u32 k = 0; k < 2; k++) { /* as above */
        vec_push(frame->arena, &start, (i32)target.count);
        vec_push(frame->arena, &group_start, (i32)group.count);
    }
    table->update_start = rxn__ssa_table_add(table, "update_start", &start);
    table->update_target = rxn__ssa_table_add(table, "update_target", &target);
    table->group_start = rxn__ssa_table_add(table, "group_start", &group_start);
    table->group_target = rxn__ssa_table_add(table, "group_target", &group);
    if (table->wholes.count)
        table->whole = rxn__ssa_table_add(table, "whole", &whole);
}

void
rxn__ssa_table_list_dependents(Table *table)
{
    SsaFrame *frame = table->frame;
    const DependencyGraph *graph = &table->graph;
    if (table->has_dependents)
        return;
    table->has_dependents = true;
    table->dependent_start = table->update_start;
    table->dependent_target = table->update_target;
    if (!table->wholes.count)
        return;
    IntList start = {0}, target = {0};
    for (u32 j = 0; j <= graph->reaction_count; j++)
        vec_push(frame->arena, &start, (i32)graph->start[j]);
    vec_push(frame->arena, &start, (i32)graph->start[graph->reaction_count]);
    for (u32 e = 0; e < graph->start[graph->reaction_count]; e++)
        vec_push(frame->arena, &target, (i32)graph->target[e]);
    table->dependent_start = rxn__ssa_table_add(table, "dependent_start", &start);
    table->dependent_target = rxn__ssa_table_add(table, "dependent_target", &target);
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
    IntList law = {0}, guarded = {0};
    u32 next_law = 1, at = 0;
    table->slots =
        NEW_ARRAY(frame->arena, TableSlot, (size_t)network->reaction_count * table->order + 1);
    for (u32 r = 0; r < network->reactions.count; r++) {
        const Reaction *reaction = &network->reactions.items[r];
        bool generic = generic_mass_action(reaction);
        for (u32 member = 0; member < reaction->count; member++) {
            i64 values[RXN_MAX_RANK];
            rxn__reaction_variables(network, reaction, member, values);
            vec_push(frame->arena, &law, generic ? LAW_MASS_ACTION : (i32)next_law);
            if (reaction->bound && reaction->bound_span.end)
                vec_push(frame->arena, &guarded, (i32)(reaction->flat + member));
            for (u32 k = 0; k < table->order; k++, at++) {
                table->slots[at] = (TableSlot){(i32)network->species_count, 0};
                if (!generic || k >= reaction->reactants.count)
                    continue;
                const Term *term = &reaction->reactants.items[k];
                table->slots[at] = (TableSlot){(i32)term_species(network, reaction, term, values),
                                               (i32)term->coefficient};
            }
        }
        next_law += !generic;
    }
    table->has_laws = table->laws > 1;
    table->law_of = law.items;
    table->law = rxn__ssa_table_add(table, "law", &law);
    table->guarded_count = guarded.count;
    if (guarded.count)
        table->guarded = rxn__ssa_table_add(table, "guarded", &guarded);
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

static double
divisor_of(const Reaction *reaction)
{
    double divisor = 1;
    for (u32 k = 0; k < reaction->reactants.count; k++)
        divisor *= rxn__factorial(reaction->reactants.items[k].coefficient);
    return divisor;
}

static void
store_rate(SsaFrame *frame, void *context)
{
    RateContext *rate = context;
    Reaction reaction = frame->network->reactions.items[rate->family];
    KirValue value = rxn__lower(&frame->lower, reaction.rate);
    value = kir_mul(frame->builder, value, rxn__ssa_real(frame, 1 / divisor_of(&reaction)));
    rxn__kir_set(frame->builder, rate->table->rate, rxn__ssa_reaction_flat(frame, &reaction),
                 value);
}

static bool
has_shared_rate(const Table *table, u32 family)
{
    return table->frame->rates_shared && table->frame->rates_shared[family];
}

/* Which constants come by a table. */
static void
build_rate_tables(Table *table)
{
    SsaFrame *frame = table->frame;
    const Network *network = frame->network;
    VEC(Expr) rates = {0};
    VEC(i32) targets = {0};
    VEC(double) factors = {0}, limits = {0};
    bool *shared = NEW_ARRAY(frame->arena, bool, network->reactions.count + 1);
    for (u32 r = 0; r < network->reactions.count; r++) {
        const Reaction *reaction = &network->reactions.items[r];
        if (!generic_mass_action(reaction) || reaction->variable_count > 0)
            continue;
        bool sound = rxn__ssa_sound_by_constants(frame, reaction);
        shared[r] = true;
        vec_push(frame->arena, &rates, reaction->rate);
        vec_push(frame->arena, &targets, (i32)reaction->flat);
        vec_push(frame->arena, &factors, 1 / divisor_of(reaction));
        vec_push(frame->arena, &limits, sound ? rxn__ssa_largest_rate(frame, reaction) : INFINITY);
    }
    if (rates.count < SSA_SHARED_LEAST)
        return;
    frame->rates_shared = shared;
    rxn__ssa_shared_begin(frame, "rate", rates.items, rates.count, frame->real, true,
                          &table->rates);
    table->rate_target = rxn__ssa_constants_i32(frame, "rate_target", targets.items, targets.count);
    table->rate_factor = rxn__ssa_constants_f64(frame, "rate_factor", factors.items, factors.count);
    table->rate_limit = rxn__ssa_constants_f64(frame, "rate_limit", limits.items, limits.count);
}

static KirValue
each_shared_rate(Table *table)
{
    return rxn__kir_for(table->frame->builder, i32v(table, 0), i32v(table, table->rates.count));
}

static void
store_shared_rates(Table *table)
{
    SsaFrame *frame = table->frame;
    KirBuilder *b = frame->builder;
    rxn__ssa_shared_evaluate(frame, &table->rates);
    KirValue item = each_shared_rate(table);
    KirValue value = rxn__ssa_shared_get(frame, &table->rates, item);
    KirValue factor = rxn__kir_load(b, table->rate_factor, &item);
    rxn__kir_set(b, table->rate, rxn__kir_load(b, table->rate_target, &item),
                 kir_mul(b, value, kir_cast(b, frame->real, factor)));
    rxn__kir_close(b);
}

void
rxn__ssa_table_check_rates(Table *table)
{
    SsaFrame *frame = table->frame;
    KirBuilder *b = frame->builder;
    if (!frame->rates_shared)
        return;
    KirValue item = each_shared_rate(table);
    KirValue rate = rxn__ssa_shared_get(frame, &table->rates, item);
    KirValue limit = kir_cast(b, frame->real, rxn__kir_load(b, table->rate_limit, &item));
    KirValue sound = kir_and(b, kir_ge(b, rate, rxn__ssa_real(frame, 0)), kir_le(b, rate, limit));
    rxn__kir_if(b, kir_not(b, sound));
    KirValue detail = kir_cast(b, KIR_U32, rxn__kir_load(b, table->rate_target, &item));
    rxn__kir_if(b, kir_ne(b, rate, rate));
    rxn__kir_trap(b, RXN_FAULT_NAN_PROPENSITY, detail);
    rxn__kir_close(b);
    rxn__kir_if(b, kir_lt(b, rate, rxn__ssa_real(frame, 0)));
    rxn__kir_trap(b, RXN_FAULT_NEGATIVE_PROPENSITY, detail);
    rxn__kir_close(b);
    rxn__kir_trap(b, RXN_FAULT_INFINITE_PROPENSITY, detail);
    rxn__kir_close(b);
    rxn__kir_close(b);
}

void
rxn__ssa_table_rates(Table *table)
{
    SsaFrame *frame = table->frame;
    rxn__kir_region(frame->builder, KIR_LAUNCH);
    frame->lower.launching = true;
    rxn__lower_forget(&frame->lower);
    if (frame->rates_shared)
        store_shared_rates(table);
    for (u32 r = 0; r < frame->network->reactions.count; r++) {
        Reaction reaction = frame->network->reactions.items[r];
        if (!generic_mass_action(&reaction) || !reaction.count || has_shared_rate(table, r))
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

/* ---- the whole --------------------------------------------------------------------------------- */

static void
add_slots(Table *table)
{
    Arena *arena = table->frame->arena;
    IntList species = {0}, count = {0};
    for (u64 k = 0; k < (u64)table->frame->network->reaction_count * table->order; k++) {
        vec_push(arena, &species, table->slots[k].species);
        vec_push(arena, &count, table->slots[k].count);
    }
    table->slot_species = rxn__ssa_table_add(table, "slot_species", &species);
    table->slot_count = rxn__ssa_table_add(table, "slot_count", &count);
}

void
rxn__ssa_table_build(Table *table)
{
    build_change_tables(table);
    build_law_tables(table);
    if (table->bounds && table->bounds->order_slots)
        table->bounds->order_slots(table);
    add_slots(table);
    build_rate_tables(table);
    build_update_tables(table);
}
