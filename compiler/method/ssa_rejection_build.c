/* ssa_rejection_build.c: the constant tables of the rejection method: groups, places, who reads whose interval. */
#include "compiler/method/ssa_rejection.h"
#include "compiler/network/start.h"

#include <math.h>

/* Half the interval of a species of which n other bounds read: this times the square root of n. */
#define SLACK 0.1

/* From so many groups on, with no more than one in so many whose outer species is there at the start, most are taken to be empty later,
 * too. Where all are there sparse trees take a quarter to a half more time: see docs/benchmarks.md. */
enum { MANY_GROUPS = 512, FEW_AT_START = 128 };

typedef SsaRejection Rejection;

/* Of how many mass-action reactions each species is a reactant. */
static u32 *
count_uses(const SsaTable *table)
{
    u32 *uses = NEW_ARRAY(table->frame->arena, u32, table->frame->network->species_count + 1);
    for (u32 r = 0; r < table->frame->network->reaction_count; r++)
        for (u32 k = 0; k < table->order; k++) {
            TableSlot slot = table->slots[(size_t)r * table->order + k];
            if (slot.count > 0)
                uses[slot.species]++;
        }
    return uses;
}

/* The reactant with most reactions comes first: it is the outer one. */
static void
order_reactants(SsaTable *table, const u32 *uses)
{
    for (u32 r = 0; r < table->frame->network->reaction_count; r++) {
        TableSlot *slots = &table->slots[(size_t)r * table->order];
        u32 outer = 0;
        for (u32 k = 1; k < table->order; k++)
            if (slots[k].count > 0 && uses[slots[k].species] > uses[slots[outer].species])
                outer = k;
        if (outer == 0)
            continue;
        TableSlot first = slots[0];
        slots[0] = slots[outer];
        slots[outer] = first;
    }
}

static u32
outer_of(const SsaTable *table, u32 reaction)
{
    const TableSlot *slots = &table->slots[(size_t)reaction * table->order];
    bool has = table->order > 0 && slots[0].count > 0;
    return has ? (u32)slots[0].species : table->frame->network->species_count;
}

/* The row of a group, which has so many reactions from this place on. */
static void
add_group(Rejection *rejection, IntList *of_group, u32 species, u32 first, u32 size)
{
    u32 leaves = size;
    if (rejection->sparse)
        for (leaves = size > 0; leaves < size;)
            leaves *= 2;
    const i32 row[GROUP_WORDS] = {
        [GROUP_BASE] = (i32)rejection->node_count,
        [GROUP_LEAVES] = (i32)leaves,
        [GROUP_FIRST] = (i32)first,
        [GROUP_SPECIES] = (i32)species,
    };
    for (u32 k = 0; k < GROUP_WORDS; k++)
        vec_push(rejection->frame->arena, of_group, row[k]);
    rejection->node_count += 2 * leaves;
}

/* size: of each species, and of none, its group. */
static bool
are_mostly_empty(const Rejection *rejection, const u32 *size)
{
    const SsaFrame *frame = rejection->frame;
    NetworkStart start;
    if (rejection->group_count < MANY_GROUPS ||
        !rxn__network_start(frame->network, frame->arena, &start))
        return false;
    u64 there = 0;
    for (u32 s = 0; s < frame->network->species_count; s++)
        there += size[s] > 0 && start.counts[s] > 0;
    return there * FEW_AT_START <= rejection->group_count;
}

static void
build_groups(Rejection *rejection)
{
    SsaTable *table = rejection->table;
    Arena *arena = rejection->frame->arena;
    u32 species = rejection->frame->network->species_count;
    u32 reactions = rejection->frame->network->reaction_count;
    u32 *size = NEW_ARRAY(arena, u32, species + 1);
    i32 *own = NEW_ARRAY(arena, i32, species + 1);
    u32 *next = NEW_ARRAY(arena, u32, species + 1);
    IntList of_group = {0}, group = {0}, place = {0}, order = {0};
    for (u32 r = 0; r < reactions; r++)
        size[outer_of(table, r)]++;
    u32 at = 0;
    for (u32 s = 0; s <= species; s++) {
        own[s] = size[s] ? (i32)rejection->group_count++ : -1;
        next[s] = at;
        at += size[s];
    }
    rejection->sparse |= are_mostly_empty(rejection, size);
    if (rejection->sparse) { /* each species has its group, with its number */
        rejection->group_count = species + 1;
        for (u32 s = 0; s <= species; s++)
            own[s] = size[s] ? (i32)s : -1;
    }
    for (u32 s = 0; s <= species; s++)
        if (size[s] || rejection->sparse)
            add_group(rejection, &of_group, s, next[s], size[s]);
    if (rejection->node_count == 0 && rejection->sparse)
        rejection->node_count = 2;     /* a network without reactions: a leaf to look at */
    if (rejection->group_count == 0) { /* a network without reactions: one group, of none */
        rejection->group_count = 1;
        add_group(rejection, &of_group, species, 0, 0);
    }
    for (u32 k = 0; k < GROUP_WORDS; k++)
        vec_push(arena, &of_group, k == GROUP_FIRST ? (i32)at : 0);
    while (1u << rejection->top_depth < rejection->group_count)
        rejection->top_depth++;
    for (u32 r = 0; r < reactions; r++)
        vec_push(arena, &order, 0);
    for (u32 r = 0; r < reactions; r++) {
        u32 s = outer_of(table, r);
        vec_push(arena, &group, own[s]);
        vec_push(arena, &place, (i32)next[s]);
        order.items[next[s]++] = (i32)r;
    }
    rejection->of_group = rxn__ssa_table_add(table, "of_group", &of_group);
    if (!rejection->sparse) {
        IntList first = {0};
        for (u32 g = 0; g <= rejection->group_count; g++)
            vec_push(arena, &first, of_group.items[g * GROUP_WORDS + GROUP_FIRST]);
        rejection->group_first = rxn__ssa_table_add(table, "group_first", &first);
    }
    rejection->group = rxn__ssa_table_add(table, "group", &group);
    rejection->place = rxn__ssa_table_add(table, "place", &place);
    rejection->reaction = rxn__ssa_table_add(table, "reaction", &order);
    rejection->rows_of_group = of_group.items;
    rejection->group_of = group.items;
    rejection->place_of = place.items;
    rejection->own_group = own;
}

/* What a reaction's bound in its group reads: all reactants but the first; and that, if it is there more than once. */
static bool
reads_interval(const TableSlot *slots, u32 k)
{
    return k == 0 ? slots[k].count > 1 : slots[k].count > 0;
}

static void
build_inner(Rejection *rejection)
{
    SsaTable *table = rejection->table;
    Arena *arena = rejection->frame->arena;
    u32 species = rejection->frame->network->species_count;
    u32 reactions = rejection->frame->network->reaction_count;
    u32 *start = NEW_ARRAY(arena, u32, species + 2);
    IntList of_species = {0}, inner = {0};
    const i32 *group_of = rejection->group_of;
    for (u32 r = 0; r < reactions; r++)
        for (u32 k = 0; k < table->order; k++) {
            const TableSlot *slots = &table->slots[(size_t)r * table->order];
            if (reads_interval(slots, k))
                start[slots[k].species + 1]++;
        }
    for (u32 s = 0; s < species; s++) {
        i32 slack = (i32)(SLACK * sqrt((double)start[s + 1]));
        start[s + 1] += start[s];
        vec_push(arena, &of_species, slack);
        vec_push(arena, &of_species, rejection->own_group[s]);
        vec_push(arena, &of_species, (i32)start[s]);
        vec_push(arena, &of_species, (i32)start[s + 1]);
    }
    for (u32 e = 0; e < INNER_WORDS * start[species]; e++)
        vec_push(arena, &inner, 0);
    for (u32 r = 0; r < reactions; r++)
        for (u32 k = 0; k < table->order; k++) {
            const TableSlot *slots = &table->slots[(size_t)r * table->order];
            if (reads_interval(slots, k)) {
                i32 *entry = &inner.items[INNER_WORDS * start[slots[k].species]++];
                const i32 *row = &rejection->rows_of_group[GROUP_WORDS * group_of[r]];
                i32 leaf = rejection->place_of[r] - row[GROUP_FIRST];
                entry[INNER_GROUP] = group_of[r];
                entry[INNER_BASE] = row[GROUP_BASE];
                entry[INNER_NODE] = rejection->sparse ? 0 : row[GROUP_LEAVES] + leaf;
                entry[INNER_REACTION] = (i32)r;
            }
        }
    rejection->has_inner = inner.count > 0;
    rejection->of_species = rxn__ssa_table_add(table, "of_species", &of_species);
    rejection->inner = rxn__ssa_table_add(table, "inner", &inner);
}

static void
order_slots(SsaTable *table)
{
    order_reactants(table, count_uses(table));
}

const char *
rxn__ssa_rejection_begin(SsaRejection *rejection)
{
    rejection->bounds = (TableBounds){rejection, order_slots, rxn__ssa_rejection_bound};
    const char *broken = rxn__ssa_table_prepare(rejection->frame, &rejection->bounds);
    rejection->table = rejection->frame->table;
    if (broken)
        return broken;
    build_groups(rejection);
    build_inner(rejection);
    return NULL;
}
