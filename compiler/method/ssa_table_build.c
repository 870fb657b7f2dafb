/* ssa_table_build.c: the constant tables of the table form (see ssa_table.c): what each reaction changes, which
 * propensities it makes stale, which law it has, and the constants of mass action.
 *
 * What is stale after a reaction is a list of reactions, and of the groups that they stand in. Where a reaction makes
 * every member of a family stale, as H[3] does for all `make` whose laws have the sum over H, they are not in the
 * list: whole[reaction] has a bit for each such family, and the update goes through it from the first to the last,
 * which is the same for all lanes of a vector.
 */
#include "compiler/method/ssa_table_private.h"

#include <string.h>

/* A family of fewer members is as well updated one by one; and there are 31 bits. */
enum { LEAST_WHOLE = 4, MOST_WHOLES = 31 };

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
    table->law_whole = NEW_ARRAY(table->frame->arena, bool, table->laws);
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
    table->update_start = add_table(table, "update_start", &start);
    table->update_target = add_table(table, "update_target", &target);
    table->group_start = add_table(table, "group_start", &group_start);
    table->group_target = add_table(table, "group_target", &group);
    if (table->wholes.count)
        table->whole = add_table(table, "whole", &whole);
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
    table->dependent_start = add_table(table, "dependent_start", &start);
    table->dependent_target = add_table(table, "dependent_target", &target);
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

void
rxn__ssa_table_rates(Table *table)
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

/* ---- the whole --------------------------------------------------------------------------------- */

void
rxn__ssa_table_build(Table *table)
{
    build_change_tables(table);
    build_law_tables(table);
    build_update_tables(table);
}
