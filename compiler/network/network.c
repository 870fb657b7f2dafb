/* network.c: making a network, and the numbering of its members.
 *
 * Sema and the reader of the text form fill the lists; rxn__network_number then derives every flat
 * number and every total from shapes and ranges, so that this arithmetic stands in one place.
 */
#include "compiler/network/internal.h"
#include "compiler/network/objective.h"

#include <math.h>
#include <string.h>

static void
release_scratch(void *object)
{
    rxn__arena_release(object);
}

Network *
rxn__network_new(Arena *arena, NameTable *names)
{
    Network *network = NEW(arena, Network);
    network->arena = arena;
    network->names = names;
    network->simulate_until = NAN;
    network->simulate_every = NAN;

    ExprTables *tables = NEW(arena, ExprTables);
    rxn__arena_init(&tables->scratch, arena->memory);
    rxn__arena_on_release(arena, release_scratch, &tables->scratch);
    rxn__arena_init(&tables->derive, arena->memory);
    rxn__arena_on_release(arena, release_scratch, &tables->derive);
    vec_push(arena, &tables->sets, ((VariableSet){0}));
    network->tables = tables;

    vec_push(arena, &network->exprs, ((ExprNode){0}));
    return network;
}

u64
rxn__shape_count(const Shape *shape)
{
    u64 count = 1;
    for (u32 i = 0; i < shape->rank; i++)
        if (__builtin_mul_overflow(count, (u64)shape->extent[i], &count))
            return UINT64_MAX;
    return count;
}

u32
rxn__network_add_variable(Network *network, Name name, i64 low, i64 high)
{
    vec_push(network->arena, &network->variables,
             ((Variable){.name = name, .low = low, .high = high}));
    return network->variables.count - 1;
}

/* Members of a reaction family, saturating. */
static u64
reaction_member_count(const Network *network, const Reaction *reaction)
{
    u64 count = 1;
    for (u32 i = 0; i < reaction->variable_count; i++) {
        const Variable *variable = &network->variables.items[reaction->variables[i]];
        i64 extent = 0;
        if (variable->high < variable->low)
            return 0;
        if (__builtin_sub_overflow(variable->high, variable->low, &extent) ||
            __builtin_mul_overflow(count, (u64)extent + 1, &count))
            return UINT64_MAX;
    }
    return count;
}

/* Takes `count` numbers from *next; false when they run out. */
static bool
take_numbers(u32 *next, u64 count, u32 *ret_first)
{
    *ret_first = *next;
    if (count > RXN_MAX_FLAT - *next)
        return false;
    *next += (u32)count;
    return true;
}

bool
rxn__network_number(Network *network)
{
    bool fits = true;
    u32 species = 0, params = 0, inputs = 0, reactions = 0, columns = 0;
    for (u32 i = 0; i < network->species.count; i++) {
        Species *s = &network->species.items[i];
        fits &= take_numbers(&species, rxn__shape_count(&s->shape), &s->flat);
    }
    for (u32 i = 0; i < network->params.count; i++) {
        Param *p = &network->params.items[i];
        fits &= take_numbers(&params, rxn__shape_count(&p->shape), &p->flat);
    }
    for (u32 i = 0; i < network->inputs.count; i++) {
        Input *input = &network->inputs.items[i];
        fits &= take_numbers(&inputs, rxn__shape_count(&input->shape), &input->flat);
    }
    for (u32 i = 0; i < network->reactions.count; i++) {
        Reaction *r = &network->reactions.items[i];
        u64 count = reaction_member_count(network, r);
        bool ok = take_numbers(&reactions, count, &r->flat);
        r->count = ok ? (u32)count : 0;
        fits &= ok;
    }
    for (u32 i = 0; i < network->observables.count; i++) {
        Observable *o = &network->observables.items[i];
        fits &= take_numbers(&columns, rxn__shape_count(&o->shape), &o->flat);
    }
    network->species_count = species;
    network->param_count = params;
    network->input_count = inputs;
    network->reaction_count = reactions;
    network->column_count = columns;
    return fits;
}

void
rxn__reaction_each_expr(Reaction *reaction, ExprVisitSlot *visit, void *context)
{
    for (u32 i = 0; i < reaction->reactants.count; i++)
        for (u32 k = 0; k < RXN_MAX_RANK; k++)
            visit(context, &reaction->reactants.items[i].index[k]);
    for (u32 i = 0; i < reaction->products.count; i++)
        for (u32 k = 0; k < RXN_MAX_RANK; k++)
            visit(context, &reaction->products.items[i].index[k]);
    visit(context, &reaction->rate);
    visit(context, &reaction->propensity);
    visit(context, &reaction->bound);
}

void
rxn__network_each_expr(Network *network, ExprVisitSlot *visit, void *context)
{
    for (u32 i = 0; i < network->params.count; i++) {
        Param *p = &network->params.items[i];
        visit(context, &p->initial);
        visit(context, &p->distribution_args[0]);
        visit(context, &p->distribution_args[1]);
    }
    for (u32 i = 0; i < network->species.count; i++)
        visit(context, &network->species.items[i].initial);
    for (u32 i = 0; i < network->hoisted.count; i++)
        visit(context, &network->hoisted.items[i].value);
    for (u32 i = 0; i < network->reactions.count; i++)
        rxn__reaction_each_expr(&network->reactions.items[i], visit, context);
    for (u32 i = 0; i < network->events.count; i++) {
        Event *event = &network->events.items[i];
        visit(context, &event->time);
        visit(context, &event->period);
        visit(context, &event->until);
        visit(context, &event->condition);
        for (u32 k = 0; k < event->assignments.count; k++)
            visit(context, &event->assignments.items[k].value);
    }
    for (u32 i = 0; i < network->observables.count; i++)
        visit(context, &network->observables.items[i].value);
    for (u32 i = 0; i < network->breakpoints.count; i++)
        visit(context, &network->breakpoints.items[i]);
    Objective *objective = network->objective;
    for (u32 i = 0; objective != NULL && i < objective->atoms.count; i++)
        visit(context, &objective->atoms.items[i].value);
    for (u32 i = 0; objective != NULL && i < objective->functionals.count; i++)
        visit(context, &objective->functionals.items[i].value);
    for (u32 i = 0; objective != NULL && i < objective->outputs.count; i++)
        visit(context, &objective->outputs.items[i].value);
    for (u32 i = 0; objective != NULL && i < objective->followers.count; i++)
        visit(context, objective->followers.items[i]);
}

void
rxn__tables_push(Network *network, u32 item)
{
    ExprTables *tables = network->tables;
    if (tables->stack_count == tables->stack_capacity) {
        u32 capacity = tables->stack_capacity == 0 ? 64 : tables->stack_capacity * 2;
        GROW_ZEROED(network->arena, tables->stack, tables->stack_capacity, capacity);
        tables->stack_capacity = capacity;
    }
    tables->stack[tables->stack_count++] = item;
}

void
rxn__tables_cover(Network *network)
{
    ExprTables *tables = network->tables;
    Arena *arena = network->arena;
    if (tables->mark_capacity < network->exprs.count) {
        u32 capacity = network->exprs.capacity;
        GROW_ZEROED(arena, tables->marks, tables->mark_capacity, capacity);
        tables->mark_capacity = capacity;
    }
    if (tables->binding_capacity < network->variables.count) {
        u32 capacity = network->variables.capacity;
        GROW_ZEROED(arena, tables->binding_rounds, tables->binding_capacity, capacity);
        GROW_ZEROED(arena, tables->bindings, tables->binding_capacity, capacity);
        tables->binding_capacity = capacity;
    }
}
