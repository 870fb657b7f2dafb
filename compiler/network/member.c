/* member.c: single members of families: their variables, changes, propensities, and their names. */
#include "compiler/network/internal.h"

#include <assert.h>
#include <stdlib.h>

void
rxn__reaction_variables(const Network *network, const Reaction *reaction, u32 member,
                        i64 ret_values[RXN_MAX_RANK])
{
    for (u32 i = reaction->variable_count; i-- > 0;) {
        const Variable *variable = &network->variables.items[reaction->variables[i]];
        u32 extent = (u32)(variable->high - variable->low + 1);
        ret_values[i] = variable->low + member % extent;
        member /= extent;
    }
}

/* The index's value where the reaction's variables have these values (in the reaction's order). */
static i64
index_value(const Network *network, const Reaction *reaction, const i64 *values, Expr index)
{
    Affine affine;
    bool is_affine = rxn__expr_affine(network, index, &affine);
    assert(is_affine);
    (void)is_affine;
    i64 value = affine.constant;
    for (u32 i = 0; i < affine.count; i++)
        for (u32 k = 0; k < reaction->variable_count; k++)
            if (affine.variable[i] == reaction->variables[k])
                value += affine.coefficient[i] * values[k];
    return value;
}

u32
rxn__flat_member(const Shape *shape, u32 first_flat, const i64 *indices)
{
    u32 member = 0;
    for (u32 i = 0; i < shape->rank; i++) {
        assert(indices[i] >= 0 && indices[i] < shape->extent[i]);
        member = member * shape->extent[i] + (u32)indices[i];
    }
    return first_flat + member;
}

static u32
term_species(const Network *network, const Reaction *reaction, const i64 *values, const Term *term)
{
    const Species *species = &network->species.items[term->species];
    i64 indices[RXN_MAX_RANK];
    for (u32 i = 0; i < species->shape.rank; i++)
        indices[i] = index_value(network, reaction, values, term->index[i]);
    return rxn__flat_member(&species->shape, species->flat, indices);
}

enum { FEW_CHANGES = 32 };

static int
compare_changes(const void *a, const void *b)
{
    const Change *x = a, *y = b;
    return (x->species > y->species) - (x->species < y->species);
}

u32
rxn__reaction_changes(const Network *network, const Reaction *reaction, u32 member, u32 capacity,
                      Change *ret_changes)
{
    i64 values[RXN_MAX_RANK] = {0};
    rxn__reaction_variables(network, reaction, member, values);

    u32 terms = reaction->reactants.count + reaction->products.count;
    Change few[FEW_CHANGES];
    Change *changes = few;
    if (terms > FEW_CHANGES)
        changes = NEW_ARRAY(network_for_tables(network)->arena, Change, terms);
    for (u32 i = 0; i < terms; i++) {
        bool consumed = i < reaction->reactants.count;
        const Term *term = consumed ? &reaction->reactants.items[i]
                                    : &reaction->products.items[i - reaction->reactants.count];
        i32 coefficient = (i32)term->coefficient;
        changes[i] = (Change){.species = term_species(network, reaction, values, term),
                              .delta = consumed ? -coefficient : coefficient};
    }
    qsort(changes, terms, sizeof *changes, compare_changes);

    u32 count = 0;
    for (u32 i = 0; i < terms;) {
        Change sum = changes[i++];
        while (i < terms && changes[i].species == sum.species)
            sum.delta += changes[i++].delta;
        if (sum.delta == 0)
            continue;
        if (count < capacity)
            ret_changes[count] = sum;
        count++;
    }
    return count;
}

Expr
rxn__reaction_member_propensity(Network *network, const Reaction *reaction, u32 member)
{
    if (reaction->variable_count == 0)
        return reaction->propensity;
    i64 values[RXN_MAX_RANK] = {0};
    Expr numbers[RXN_MAX_RANK];
    rxn__reaction_variables(network, reaction, member, values);
    for (u32 i = 0; i < reaction->variable_count; i++)
        numbers[i] = rxn__expr_number(network, (double)values[i]);
    return rxn__expr_substitute(network, reaction->propensity, reaction->variable_count,
                                reaction->variables, numbers);
}

/* ---- Labels ---------------------------------------------------------------------------------- */

static const char *
member_label(Arena *arena, Name name, u32 rank, const i64 *indices)
{
    if (rank == 0)
        return name->text;
    Text text;
    rxn__text_init(&text, arena);
    rxn__text_append(&text, name->text, name->length);
    for (u32 i = 0; i < rank; i++)
        rxn__text_printf(&text, "%c%lld", i == 0 ? '[' : ',', (long long)indices[i]);
    rxn__text_append(&text, "]", 1);
    return text.data;
}

static const char *
shaped_label(Arena *arena, Name name, const Shape *shape, u32 member)
{
    i64 indices[RXN_MAX_RANK] = {0};
    for (u32 i = shape->rank; i-- > 0;) {
        indices[i] = member % shape->extent[i];
        member /= shape->extent[i];
    }
    return member_label(arena, name, shape->rank, indices);
}

/* The last item whose first flat number is not above `flat`: families without members share their
 * first number with the next one, and the last of them is the one that has it. */
#define FIND_FLAT(list, number, ret_item)                                                          \
    do {                                                                                           \
        u32 low_ = 0, high_ = (list).count;                                                        \
        while (high_ - low_ > 1) {                                                                 \
            u32 middle_ = low_ + (high_ - low_) / 2;                                               \
            if ((list).items[middle_].flat <= (number))                                            \
                low_ = middle_;                                                                    \
            else                                                                                   \
                high_ = middle_;                                                                   \
        }                                                                                          \
        (ret_item) = &(list).items[low_];                                                          \
    } while (0)

const char *
rxn__species_label(const Network *network, u32 flat, Arena *arena)
{
    const Species *species;
    FIND_FLAT(network->species, flat, species);
    return shaped_label(arena, species->name, &species->shape, flat - species->flat);
}

const Param *
rxn__param_of_flat(const Network *network, u32 flat)
{
    const Param *param;
    FIND_FLAT(network->params, flat, param);
    return param;
}

const char *
rxn__param_label(const Network *network, u32 flat, Arena *arena)
{
    const Param *param = rxn__param_of_flat(network, flat);
    return shaped_label(arena, param->name, &param->shape, flat - param->flat);
}

const Reaction *
rxn__reaction_of_flat(const Network *network, u32 flat, u32 *ret_member)
{
    const Reaction *reaction;
    FIND_FLAT(network->reactions, flat, reaction);
    *ret_member = flat - reaction->flat;
    return reaction;
}

const char *
rxn__reaction_label(const Network *network, u32 flat, Arena *arena)
{
    u32 member;
    const Reaction *reaction = rxn__reaction_of_flat(network, flat, &member);
    i64 values[RXN_MAX_RANK] = {0};
    rxn__reaction_variables(network, reaction, member, values);
    return member_label(arena, reaction->label, reaction->variable_count, values);
}

const char *
rxn__column_label(const Network *network, u32 column, Arena *arena)
{
    const Observable *observable;
    FIND_FLAT(network->observables, column, observable);
    return shaped_label(arena, observable->name, &observable->shape, column - observable->flat);
}
