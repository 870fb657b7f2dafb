/* depend.c: who depends on whom. Firing reaction j changes some species; every reaction whose
 * propensity (or bound) reads one of them has to be refreshed. All of it is derived from the
 * expressions, member by member.
 *
 * Indices are affine, so what a member reads is found by putting numbers into affine forms; no
 * member is expanded into expressions of its own. (Except where a family's propensity selects by
 * its variables, `if s == 0 then …`: then expanding tells which branch a member has.) A sum over
 * species reads all its members.
 *
 * The edges are then collected through an index from species to the reactions that read them, so
 * the work is proportional to the edges.
 */
#include "compiler/network/internal.h"

#include <stdlib.h>
#include <string.h>

/* One reference to a species in a propensity. */
typedef struct Pattern {
    u32 species;
    Affine index[RXN_MAX_RANK];
    u32 sum_count; /* variables of sums in the indices: all their values count */
    u32 sums[RXN_MAX_RANK * RXN_MAX_AFFINE];
} Pattern;

typedef struct Reader {
    Network *network;
    Arena *arena;
    i64 *values; /* of the variables */
    u32 *seen;   /* by flat species: the round in which it was read last */
    u32 seen_round;
    VEC(Pattern) patterns;
    bool by_member; /* the patterns differ between members */
    VEC(u32) reads; /* of the member at hand */
} Reader;

static Reader
reader_new(Network *network, Arena *arena)
{
    return (Reader){.network = network,
                    .arena = arena,
                    .values = NEW_ARRAY(arena, i64, network->variables.count + 1),
                    .seen = NEW_ARRAY(arena, u32, network->species_count + 1)};
}

static bool
belongs_to(const Reaction *reaction, u32 variable)
{
    for (u32 i = 0; i < reaction->variable_count; i++)
        if (reaction->variables[i] == variable)
            return true;
    return false;
}

static void
add_pattern(Reader *reader, const Reaction *reaction, const ExprNode *node)
{
    Pattern pattern = {.species = node->object};
    for (u32 i = 0; i < node->arg_count; i++) {
        Affine *index = &pattern.index[i];
        rxn__expr_affine(reader->network, node->args[i], index);
        for (u32 k = 0; k < index->count; k++) {
            bool known = belongs_to(reaction, index->variable[k]);
            for (u32 m = 0; m < pattern.sum_count; m++)
                known |= pattern.sums[m] == index->variable[k];
            if (!known)
                pattern.sums[pattern.sum_count++] = index->variable[k];
        }
    }
    vec_push(reader->arena, &reader->patterns, pattern);
}

static void
read_patterns(Reader *reader, const Reaction *reaction, Expr propensity, Expr bound)
{
    Network *network = reader->network;
    ExprList list = {0};
    reader->patterns.count = 0;
    rxn__expr_collect_begin(network);
    rxn__expr_collect(network, propensity, reader->arena, &list);
    rxn__expr_collect(network, bound, reader->arena, &list);
    for (u32 i = 0; i < list.count; i++) {
        const ExprNode *node = expr_node(network, list.items[i]);
        if (node->op == EXPR_SPECIES)
            add_pattern(reader, reaction, node);
        if (node->op == EXPR_SELECT && expr_node(network, node->args[0])->free_set != 0)
            reader->by_member = true;
    }
}

static void
start_reaction(Reader *reader, const Reaction *reaction)
{
    reader->by_member = false;
    read_patterns(reader, reaction, reaction->propensity, reaction->bound);
    reader->by_member = reader->by_member && reaction->variable_count > 0;
}

static void
note_read(Reader *reader, u32 flat)
{
    if (reader->seen[flat] == reader->seen_round)
        return;
    reader->seen[flat] = reader->seen_round;
    vec_push(reader->arena, &reader->reads, flat);
}

/* Reads for all values of the pattern's sum variables, like an odometer. */
static void
read_pattern(Reader *reader, const Pattern *pattern)
{
    const Network *network = reader->network;
    const Species *species = &network->species.items[pattern->species];
    i64 *values = reader->values;
    for (u32 i = 0; i < pattern->sum_count; i++) {
        const Variable *variable = &network->variables.items[pattern->sums[i]];
        if (variable->high < variable->low)
            return;
        values[pattern->sums[i]] = variable->low;
    }
    for (;;) {
        i64 indices[RXN_MAX_RANK];
        for (u32 i = 0; i < species->shape.rank; i++)
            indices[i] = rxn__affine_evaluate(&pattern->index[i], values);
        note_read(reader, rxn__flat_member(&species->shape, species->flat, indices));
        u32 i = pattern->sum_count;
        while (i > 0) {
            const Variable *variable = &network->variables.items[pattern->sums[i - 1]];
            if (values[pattern->sums[i - 1]]++ < variable->high)
                break;
            values[pattern->sums[--i]] = variable->low;
        }
        if (i == 0)
            return;
    }
}

static int
compare_numbers(const void *a, const void *b)
{
    u32 x = *(const u32 *)a, y = *(const u32 *)b;
    return (x > y) - (x < y);
}

static void
sort_numbers(u32 *numbers, u32 count)
{
    bool sorted = true;
    for (u32 i = 1; i < count && sorted; i++)
        sorted = numbers[i - 1] <= numbers[i];
    if (!sorted)
        qsort(numbers, count, sizeof *numbers, compare_numbers);
}

/* What the member reads, sorted, in reader->reads. */
static void
read_member(Reader *reader, const Reaction *reaction, u32 member)
{
    Network *network = reader->network;
    i64 values[RXN_MAX_RANK] = {0};
    rxn__reaction_variables(network, reaction, member, values);
    if (reader->by_member) {
        Expr numbers[RXN_MAX_RANK];
        for (u32 i = 0; i < reaction->variable_count; i++)
            numbers[i] = rxn__expr_number(network, (double)values[i]);
        read_patterns(reader, reaction,
                      rxn__expr_substitute(network, reaction->propensity, reaction->variable_count,
                                           reaction->variables, numbers),
                      rxn__expr_substitute(network, reaction->bound, reaction->variable_count,
                                           reaction->variables, numbers));
        reader->by_member = true;
    }
    for (u32 i = 0; i < reaction->variable_count; i++)
        reader->values[reaction->variables[i]] = values[i];
    reader->seen_round++;
    reader->reads.count = 0;
    for (u32 i = 0; i < reader->patterns.count; i++)
        read_pattern(reader, &reader->patterns.items[i]);
    if (reader->reads.count > 0)
        sort_numbers(reader->reads.items, reader->reads.count);
}

u32
rxn__reaction_reads(Network *network, const Reaction *reaction, u32 member, Arena *arena,
                    u32 **ret_species)
{
    Reader reader = reader_new(network, arena);
    start_reaction(&reader, reaction);
    read_member(&reader, reaction, member);
    *ret_species = reader.reads.items;
    return reader.reads.count;
}

/* ---- The graph ------------------------------------------------------------------------------- */

enum { MAX_READS = 1 << 27 };

/* Which reactions read each species, as compressed rows. */
typedef struct Index {
    u32 *start, *reaction;
} Index;

static bool
index_readers(Network *network, Arena *arena, DependencyFilter filter, Index *ret_index)
{
    Reader reader = reader_new(network, arena);
    VEC(u32) species = {0};
    u32 *read_start = NEW_ARRAY(arena, u32, network->reaction_count + 1);
    u32 *start = NEW_ARRAY(arena, u32, network->species_count + 2);
    for (u32 i = 0; i < network->reactions.count; i++) {
        const Reaction *reaction = &network->reactions.items[i];
        bool wanted = !filter || filter(reaction);
        if (wanted)
            start_reaction(&reader, reaction);
        for (u32 member = 0; member < reaction->count; member++) {
            reader.reads.count = 0;
            if (wanted)
                read_member(&reader, reaction, member);
            if (species.count + reader.reads.count > MAX_READS)
                return false;
            for (u32 k = 0; k < reader.reads.count; k++) {
                vec_push(arena, &species, reader.reads.items[k]);
                start[reader.reads.items[k] + 2]++;
            }
            read_start[reaction->flat + member + 1] = species.count;
        }
    }
    for (u32 s = 2; s < network->species_count + 2; s++)
        start[s] += start[s - 1];
    u32 *readers = NEW_ARRAY(arena, u32, species.count + 1);
    for (u32 r = 0; r < network->reaction_count; r++)
        for (u32 k = read_start[r]; k < read_start[r + 1]; k++)
            readers[start[species.items[k] + 1]++] = r;
    *ret_index = (Index){.start = start, .reaction = readers};
    return true;
}

/* Rows of the graph, one after another. */
typedef struct Rows {
    Network *network;
    Index index;
    u32 *seen; /* by target: the row in which it was met last, and one */
    Change *changes;
} Rows;

static bool
rows_begin(Network *network, Arena *arena, DependencyFilter filter, Rows *ret_rows)
{
    ret_rows->network = network;
    if (!index_readers(network, arena, filter, &ret_rows->index))
        return false;
    ret_rows->seen = NEW_ARRAY(arena, u32, network->reaction_count + 1);
    ret_rows->changes = NEW_ARRAY(arena, Change, network->species_count + 1);
    return true;
}

/* Calls for each reaction of a row, once; ends early where that returns false. */
static bool
rows_visit(Rows *rows, const Reaction *reaction, u32 member, bool (*visit)(void *, u32),
           void *context)
{
    const Index *index = &rows->index;
    u32 flat = reaction->flat + member;
    u32 count = rxn__reaction_changes(rows->network, reaction, member, rows->network->species_count,
                                      rows->changes);
    for (u32 c = 0; c < count; c++) {
        u32 species = rows->changes[c].species;
        for (u32 k = index->start[species]; k < index->start[species + 1]; k++) {
            u32 target = index->reaction[k];
            if (rows->seen[target] == flat + 1)
                continue;
            rows->seen[target] = flat + 1;
            if (!visit(context, target))
                return false;
        }
    }
    return true;
}

typedef struct Edges {
    Arena *arena; /* NULL: they are counted */
    u64 count, limit;
    VEC(u32) targets;
} Edges;

static bool
add_edge(void *context, u32 target)
{
    Edges *edges = context;
    if (edges->count >= edges->limit)
        return false;
    edges->count++;
    if (edges->arena)
        vec_push(edges->arena, &edges->targets, target);
    return true;
}

bool
rxn__network_dependencies(Network *network, Arena *arena, u64 limit, DependencyFilter filter,
                          DependencyGraph *ret_graph)
{
    Rows rows;
    Edges edges = {.arena = arena, .limit = limit < UINT32_MAX - 1 ? limit : UINT32_MAX - 1};
    if (!rows_begin(network, arena, filter, &rows))
        return false;
    u32 *start = NEW_ARRAY(arena, u32, network->reaction_count + 1);
    for (u32 i = 0; i < network->reactions.count; i++) {
        const Reaction *reaction = &network->reactions.items[i];
        for (u32 member = 0; member < reaction->count; member++) {
            u32 first = edges.targets.count;
            if (!rows_visit(&rows, reaction, member, add_edge, &edges))
                return false;
            if (edges.targets.count > first)
                sort_numbers(edges.targets.items + first, edges.targets.count - first);
            start[reaction->flat + member + 1] = edges.targets.count;
        }
    }
    *ret_graph = (DependencyGraph){
        .reaction_count = network->reaction_count, .start = start, .target = edges.targets.items};
    return true;
}

bool
rxn__network_count_dependencies(Network *network, Arena *arena, u64 limit, u64 *ret_count)
{
    Rows rows;
    Edges edges = {.limit = limit};
    if (!rows_begin(network, arena, NULL, &rows))
        return false;
    for (u32 i = 0; i < network->reactions.count; i++)
        for (u32 member = 0; member < network->reactions.items[i].count; member++)
            if (!rows_visit(&rows, &network->reactions.items[i], member, add_edge, &edges))
                return false;
    *ret_count = edges.count;
    return true;
}
