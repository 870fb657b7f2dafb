/* ssa_rejection.c: an exact method for large networks, whose cost per event hardly grows with the network. Two ideas in
 * one:
 *
 *   intervals  Propensities are bounded, not kept: by counts from an interval around each count, so that
 *              nothing is to be updated as long as a count stays in its interval. A reaction is proposed
 *              by its bound and then stands or is refused by its true propensity (Thanh, Priami, Zunino
 *              2014, J. Chem. Phys. 141, 134116: RSSA). That is thinning (Lewis & Shedler 1979): time goes
 *              by with each proposal.
 *   factors    Reactions are grouped by one of their reactants, the `outer` one, and a group holds their
 *              propensities without its factor (Ramaswamy, González-Segredo, Sbalzarini 2009, J. Chem.
 *              Phys. 130, 244104: partial propensities). When the outer count changes, one number changes
 *              however many reactions there are. Outer is the reactant with more reactions.
 *
 * Of the networks of rules that this is for, a species at a membrane reacts with hundreds of others; the first
 * idea alone updates hundreds of bounds where it is there in a few copies, the second alone where it is the other
 * factor.
 *
 * Sums are binary trees, in which a node is the sum of its two children whenever one of them has changed: nothing
 * drifts, and finding a reaction takes as many steps as there are levels. A tree of n leaves has the nodes 1 … 2n-1, the
 * leaves from n on, the children of j are 2j and 2j+1.
 *
 *   top     a leaf for each group: high(outer) times the sum of the group; and as many of 0 as make them a power of two, so
 *           that all are equally deep, and ways through it straight code, in which nothing is mispredicted
 *   sum     a tree for each group, one behind the other: bounds without the outer factor
 *   factor  of each group high(outer) and the sum, the two that its leaf in top is the product of
 *
 * Laws that are no mass action, and reactions of nothing, stand in one more group, whose factor is 1. Laws are not bounded
 * by intervals: they are evaluated when what they read changes, as in the table form. Time-dependent ones have the
 * bounds of their windows.
 *
 * Within a tree a threshold may, by rounding, reach the sum that it was drawn below. It then ends at the last leaf, beyond
 * its bound, and is refused like any that is not below the true propensity: what is impossible never fires.
 */
#include "compiler/method/ssa_rejection.h"

#include <float.h>
#include <math.h>

/* Half the interval, of the count. Measured: see docs/benchmarks.md. */
#define INTERVAL 0.15

typedef SsaRejection Rejection;

static KirValue
i32v(Rejection *rejection, i64 value)
{
    return rxn__kir_const(rejection->builder, KIR_I32, (double)value);
}

static KirValue
load(Rejection *rejection, u32 buffer, KirValue index)
{
    return rxn__kir_load(rejection->builder, buffer, &index);
}

static KirValue
next(Rejection *rejection, KirValue index)
{
    return kir_add(rejection->builder, index, i32v(rejection, 1));
}

/* ---- trees ------------------------------------------------------------------------------------- */

/* One tree in an array: where it begins, and how many leaves it has. */
typedef struct Tree {
    u32 local;
    KirValue base, leaves;
} Tree;

static Tree
top_tree(Rejection *rejection)
{
    return (Tree){rejection->top, i32v(rejection, 0), i32v(rejection, 1 << rejection->top_depth)};
}

static Tree
group_tree(Rejection *rejection, KirValue group)
{
    KirBuilder *b = rejection->builder;
    KirValue first = load(rejection, rejection->group_first, group);
    KirValue end = load(rejection, rejection->group_first, next(rejection, group));
    return (Tree){rejection->sum, kir_mul(b, first, i32v(rejection, 2)), kir_sub(b, end, first)};
}

static KirValue
node_get(Rejection *rejection, const Tree *tree, KirValue node)
{
    KirBuilder *b = rejection->builder;
    return rxn__kir_get(b, tree->local, kir_add(b, tree->base, node));
}

static void
node_set(Rejection *rejection, const Tree *tree, KirValue node, KirValue value)
{
    KirBuilder *b = rejection->builder;
    rxn__kir_set(b, tree->local, kir_add(b, tree->base, node), value);
}

static void
node_sum(Rejection *rejection, const Tree *tree, KirValue node)
{
    KirBuilder *b = rejection->builder;
    KirValue left = kir_mul(b, node, i32v(rejection, 2));
    node_set(rejection, tree, node,
             kir_add(b, node_get(rejection, tree, left),
                     node_get(rejection, tree, next(rejection, left))));
}

/* Where one of the two factors of a group's bound stands. */
static KirValue
factor_place(Rejection *rejection, KirValue group, u32 which)
{
    KirBuilder *b = rejection->builder;
    return kir_add(b, kir_mul(b, group, i32v(rejection, 2)), i32v(rejection, which));
}

static KirValue
factor_get(Rejection *rejection, KirValue group, u32 which)
{
    KirValue place = factor_place(rejection, group, which);
    return rxn__kir_get(rejection->builder, rejection->factor, place);
}

static void
factor_set(Rejection *rejection, KirValue group, u32 which, KirValue value)
{
    KirValue place = factor_place(rejection, group, which);
    rxn__kir_set(rejection->builder, rejection->factor, place, value);
}

/* A leaf of the upper tree has a new value: so have all above it. Many have the old one: the group of a species that is not
 * there. */
static void
top_set(Rejection *rejection, KirValue group, KirValue value)
{
    KirBuilder *b = rejection->builder;
    Tree top = top_tree(rejection);
    KirValue node = kir_add(b, top.leaves, group);
    rxn__kir_if(b, kir_ne(b, value, node_get(rejection, &top, node)));
    node_set(rejection, &top, node, value);
    for (u32 level = 0; level < rejection->top_depth; level++) {
        KirValue sibling = kir_xor(b, node, i32v(rejection, 1));
        value = kir_add(b, value, node_get(rejection, &top, sibling));
        node = kir_shr(b, node, i32v(rejection, 1));
        node_set(rejection, &top, node, value);
    }
    rxn__kir_close(b);
}

/* The same in the tree of a group, which begins at `base`. */
static void
leaf_set(Rejection *rejection, KirValue group, KirValue base, KirValue node, KirValue value)
{
    KirBuilder *b = rejection->builder;
    const Tree tree = {rejection->sum, base, 0};
    rxn__kir_if(b, kir_ne(b, value, node_get(rejection, &tree, node)));
    node_set(rejection, &tree, node, value);
    rxn__kir_set(b, rejection->node, 0, node);
    rxn__kir_set(b, rejection->left, 0, value);
    rxn__kir_loop(b);
    KirValue at = rxn__kir_get(b, rejection->node, 0);
    rxn__kir_if(b, kir_lt(b, at, i32v(rejection, 2)));
    rxn__kir_break(b);
    rxn__kir_close(b);
    KirValue sibling = kir_xor(b, at, i32v(rejection, 1)),
             above = kir_shr(b, at, i32v(rejection, 1));
    KirValue beside = node_get(rejection, &tree, sibling);
    KirValue sum = kir_add(b, rxn__kir_get(b, rejection->left, 0), beside);
    node_set(rejection, &tree, above, sum);
    rxn__kir_set(b, rejection->left, 0, sum);
    rxn__kir_set(b, rejection->node, 0, above);
    rxn__kir_close(b);
    factor_set(rejection, group, FACTOR_SUM, rxn__kir_get(b, rejection->left, 0));
    rxn__kir_close(b);
}

/* All nodes above the leaves. */
static void
tree_sum(Rejection *rejection, const Tree *tree)
{
    KirBuilder *b = rejection->builder;
    KirValue node = rxn__kir_for_down(b, i32v(rejection, 1), tree->leaves);
    node_sum(rejection, tree, node);
    rxn__kir_close(b);
}

/* Whether `left` goes to the right child, and is then less by the left one. */
static KirValue
turn_right(Rejection *rejection, KirValue below)
{
    KirBuilder *b = rejection->builder;
    KirValue left = rxn__kir_get(b, rejection->left, 0), right = kir_ge(b, left, below);
    rxn__kir_set(b, rejection->left, 0, kir_select(b, right, kir_sub(b, left, below), left));
    return right;
}

enum { FIRST_LEVELS = 3 };

/* So many levels down from the root of the upper tree. There are so few nodes that all are read, each at its place, and chosen
 * between: that takes no gather. */
static KirValue
first_levels(Rejection *rejection, const Tree *tree)
{
    KirBuilder *b = rejection->builder;
    KirValue sums[2 << FIRST_LEVELS], right[FIRST_LEVELS], node = i32v(rejection, 1);
    for (u32 k = 2; k < 2 << FIRST_LEVELS; k += 2)
        sums[k] = node_get(rejection, tree, i32v(rejection, k));
    right[0] = turn_right(rejection, sums[2]);
    right[1] = turn_right(rejection, kir_select(b, right[0], sums[6], sums[4]));
    KirValue low = kir_select(b, right[1], sums[10], sums[8]);
    KirValue high = kir_select(b, right[1], sums[14], sums[12]);
    right[2] = turn_right(rejection, kir_select(b, right[0], high, low));
    for (u32 k = 0; k < FIRST_LEVELS; k++) {
        KirValue left = kir_mul(b, node, i32v(rejection, 2));
        node = kir_select(b, right[k], next(rejection, left), left);
    }
    return node;
}

/* The group where `left` ends up, less what stands before it. */
static KirValue
top_find(Rejection *rejection)
{
    KirBuilder *b = rejection->builder;
    Tree top = top_tree(rejection);
    KirValue node = i32v(rejection, 1);
    u32 level = 0;
    if (rejection->top_depth >= FIRST_LEVELS) {
        node = first_levels(rejection, &top);
        level = FIRST_LEVELS;
    }
    for (; level < rejection->top_depth; level++) {
        KirValue left = kir_mul(b, node, i32v(rejection, 2));
        KirValue right = turn_right(rejection, node_get(rejection, &top, left));
        node = kir_select(b, right, next(rejection, left), left);
    }
    KirValue last = i32v(rejection, rejection->group_count - 1); /* those behind it are no groups */
    return kir_min(b, kir_sub(b, node, top.leaves), last);
}

/* The leaf of a group's tree where `left` ends up, less what stands before it. Of two children the left one alone is read: whether
 * the right one is 0 matters only to a threshold that rounding has put at the sum of both, and such are refused. */
static KirValue
tree_find(Rejection *rejection, const Tree *tree)
{
    KirBuilder *b = rejection->builder;
    rxn__kir_set(b, rejection->node, 0, i32v(rejection, 1));
    rxn__kir_loop(b);
    KirValue node = rxn__kir_get(b, rejection->node, 0);
    rxn__kir_if(b, kir_ge(b, node, tree->leaves));
    rxn__kir_break(b);
    rxn__kir_close(b);
    KirValue child = kir_mul(b, node, i32v(rejection, 2));
    KirValue right = turn_right(rejection, node_get(rejection, tree, child));
    rxn__kir_set(b, rejection->node, 0, kir_select(b, right, next(rejection, child), child));
    rxn__kir_close(b);
    return kir_sub(b, rxn__kir_get(b, rejection->node, 0), tree->leaves);
}

/* ---- bounds ------------------------------------------------------------------------------------ */

/* The interval around a count: [x - w, x + w] with w = max(INTERVAL x, slack of the species). */
static void
set_interval(Rejection *rejection, KirValue species, KirValue x)
{
    KirBuilder *b = rejection->builder;
    SsaFrame *frame = rejection->frame;
    KirValue slack = kir_cast(b, frame->real, load(rejection, rejection->slack, species));
    KirValue part = kir_floor(b, kir_mul(b, x, rxn__ssa_real(frame, INTERVAL)));
    KirValue width = kir_max(b, part, slack);
    /* What is not there is bounded by nothing: most of what may be there never is. */
    width = kir_select(b, kir_gt(b, x, rxn__ssa_real(frame, 0)), width, rxn__ssa_real(frame, 0));
    rxn__kir_set(b, rejection->low, species, kir_sub(b, x, width));
    rxn__kir_set(b, rejection->high, species, kir_add(b, x, width));
}

/* Mass action with the upper ends of the intervals, without one factor of the outer reactant, which stands first. */
static KirValue
partial_bound(Rejection *rejection, KirValue reaction)
{
    KirBuilder *b = rejection->builder;
    SsaTable *table = rejection->table;
    SsaFrame *frame = rejection->frame;
    KirValue value = rxn__kir_get(b, table->rate, reaction), one = rxn__ssa_real(frame, 1);
    for (u32 k = 0; k < table->order; k++) {
        if (k == 0 && table->multiplicity < 2)
            continue;
        KirValue slot =
            kir_add(b, kir_mul(b, reaction, i32v(rejection, table->order)), i32v(rejection, k));
        KirValue x = rxn__kir_get(b, rejection->high, load(rejection, table->slot_species, slot));
        if (table->multiplicity < 2) { /* where there is no reactant, x is 1 */
            value = kir_mul(b, value, x);
            continue;
        }
        KirValue count = load(rejection, table->slot_count, slot);
        for (u32 m = k == 0; m < table->multiplicity; m++) {
            KirValue factor =
                kir_max(b, kir_sub(b, x, rxn__ssa_real(frame, m)), rxn__ssa_real(frame, 0));
            value =
                kir_mul(b, value, kir_select(b, kir_gt(b, count, i32v(rejection, m)), factor, one));
        }
    }
    return value;
}

static void
refresh_group(Rejection *rejection, KirValue group)
{
    KirValue outer = factor_get(rejection, group, FACTOR_OUTER);
    KirValue sum = factor_get(rejection, group, FACTOR_SUM);
    top_set(rejection, group, kir_mul(rejection->builder, outer, sum));
}

/* The reaction's own bound in its group, and all above it. */
static void
set_bound(Rejection *rejection, KirValue reaction, KirValue value)
{
    KirBuilder *b = rejection->builder;
    KirValue group = load(rejection, rejection->group, reaction);
    Tree tree = group_tree(rejection, group);
    KirValue first = load(rejection, rejection->group_first, group);
    KirValue leaf = kir_sub(b, load(rejection, rejection->place, reaction), first);
    leaf_set(rejection, group, tree.base, kir_add(b, tree.leaves, leaf), value);
    refresh_group(rejection, group);
}

static KirValue
entry_word(Rejection *rejection, KirValue entry, u32 word)
{
    KirBuilder *b = rejection->builder;
    KirValue at = kir_mul(b, entry, i32v(rejection, INNER_WORDS));
    return load(rejection, rejection->inner, kir_add(b, at, i32v(rejection, word)));
}

/* The bounds in groups that read a species' interval. */
static void
move_inner(Rejection *rejection, KirValue species)
{
    KirBuilder *b = rejection->builder;
    KirValue first = load(rejection, rejection->inner_start, species);
    KirValue end = load(rejection, rejection->inner_start, next(rejection, species));
    KirValue e = rxn__kir_for(b, first, end);
    KirValue group = entry_word(rejection, e, INNER_GROUP);
    KirValue base = entry_word(rejection, e, INNER_BASE);
    KirValue leaf = entry_word(rejection, e, INNER_LEAF);
    KirValue reaction = entry_word(rejection, e, INNER_REACTION), value;
    if (rejection->table->order == 2 && rejection->table->multiplicity < 2) {
        value = rxn__kir_get(b, rejection->table->rate, reaction);
        value = kir_mul(b, value, rxn__kir_get(b, rejection->high, species));
    } else {
        value = partial_bound(rejection, reaction);
    }
    leaf_set(rejection, group, base, leaf, value);
    refresh_group(rejection, group);
    rxn__kir_close(b);
}

/* A count has left its interval. */
static void
move_interval(Rejection *rejection, KirValue species, KirValue x)
{
    KirBuilder *b = rejection->builder;
    set_interval(rejection, species, x);
    if (rejection->has_inner)
        move_inner(rejection, species);
    KirValue group = load(rejection, rejection->own_group, species);
    rxn__kir_if(b, kir_ge(b, group, i32v(rejection, 0)));
    factor_set(rejection, group, FACTOR_OUTER, rxn__kir_get(b, rejection->high, species));
    refresh_group(rejection, group);
    rxn__kir_close(b);
}

KirValue
rxn__ssa_rejection_bound(SsaTable *table, KirValue reaction)
{
    Rejection *rejection = table->bounds->method;
    KirBuilder *b = rejection->builder;
    KirValue group = load(rejection, rejection->group, reaction);
    Tree tree = group_tree(rejection, group);
    KirValue place = load(rejection, rejection->place, reaction);
    KirValue leaf = kir_sub(b, place, load(rejection, rejection->group_first, group));
    return node_get(rejection, &tree, kir_add(b, tree.leaves, leaf));
}

/* ---- update ------------------------------------------------------------------------------------ */

/* Everything anew: at the start, and where an event has changed counts. */
static void
rebuild(Rejection *rejection)
{
    KirBuilder *b = rejection->builder;
    SsaFrame *frame = rejection->frame;
    u32 species_count = frame->network->species_count;
    KirValue species = rxn__kir_for(b, i32v(rejection, 0), i32v(rejection, species_count));
    set_interval(rejection, species, rxn__kir_get(b, frame->lower.species_array, species));
    rxn__kir_close(b);
    rxn__kir_set(b, rejection->high, i32v(rejection, species_count), rxn__ssa_real(frame, 1));
    Tree top = top_tree(rejection);
    KirValue group = rxn__kir_for(b, i32v(rejection, 0), i32v(rejection, rejection->group_count));
    Tree tree = group_tree(rejection, group);
    KirValue first = load(rejection, rejection->group_first, group);
    KirValue leaf = rxn__kir_for(b, i32v(rejection, 0), tree.leaves);
    KirValue reaction = load(rejection, rejection->reaction, kir_add(b, first, leaf));
    KirValue value =
        rxn__ssa_table_law(rejection->table, reaction, partial_bound(rejection, reaction));
    node_set(rejection, &tree, kir_add(b, tree.leaves, leaf), value);
    rxn__kir_close(b);
    tree_sum(rejection, &tree);
    KirValue outer =
        rxn__kir_get(b, rejection->high, load(rejection, rejection->group_species, group));
    KirValue sum = node_get(rejection, &tree, i32v(rejection, 1));
    factor_set(rejection, group, FACTOR_OUTER, outer);
    factor_set(rejection, group, FACTOR_SUM, sum);
    node_set(rejection, &top, kir_add(b, top.leaves, group), kir_mul(b, outer, sum));
    rxn__kir_close(b);
    tree_sum(rejection, &top);
}

/* Laws that the last reaction made stale. */
static void
update_laws(Rejection *rejection)
{
    KirBuilder *b = rejection->builder;
    SsaTable *table = rejection->table;
    KirValue last = rxn__kir_get(b, table->last, 0);
    KirValue e = rxn__kir_for(b, load(rejection, table->update_start, last),
                              load(rejection, table->update_start, next(rejection, last)));
    KirValue reaction = load(rejection, table->update_target, e);
    set_bound(rejection, reaction,
              rxn__ssa_table_law(table, reaction, rxn__ssa_real(rejection->frame, 0)));
    rxn__kir_close(b);
}

static void
write_update(Rejection *rejection)
{
    KirBuilder *b = rejection->builder;
    SsaFrame *frame = rejection->frame;
    rxn__kir_if(b, rxn__kir_get(b, frame->jumped, 0));
    rebuild(rejection);
    rxn__kir_set(b, frame->jumped, 0, rxn__kir_const(b, KIR_BOOL, 0));
    if (rejection->table->has_laws) {
        rxn__kir_else(b);
        update_laws(rejection);
    }
    rxn__kir_close(b);
    rxn__lower_forget(&frame->lower);
}

/* ---- select, refuse, apply --------------------------------------------------------------------- */

/* Sets `last` to the reaction proposed (reactions: none); returns what is left of the threshold in its bound. */
static KirValue
write_selection(Rejection *rejection)
{
    KirBuilder *b = rejection->builder;
    SsaFrame *frame = rejection->frame;
    SsaTable *table = rejection->table;
    KirValue threshold = rxn__kir_get(b, frame->threshold, 0);
    KirValue found = kir_lt(b, threshold, rxn__ssa_real(frame, INFINITY));
    rxn__kir_set(b, rejection->left, 0, threshold);
    KirValue group = top_find(rejection), outer = factor_get(rejection, group, FACTOR_OUTER);
    rxn__kir_set(b, rejection->left, 0, kir_div(b, rxn__kir_get(b, rejection->left, 0), outer));
    Tree tree = group_tree(rejection, group);
    KirValue leaf = tree_find(rejection, &tree);
    KirValue place = kir_add(b, load(rejection, rejection->group_first, group), leaf);
    rxn__kir_set(b, table->last, 0,
                 kir_select(b, found, load(rejection, rejection->reaction, place),
                            i32v(rejection, frame->network->reaction_count)));
    return kir_mul(b, rxn__kir_get(b, rejection->left, 0), outer);
}

/* Mass action stands if what is left of the threshold is below the true propensity. A law that is not
 * time-dependent is its own bound. */
static void
write_refusal(Rejection *rejection, KirValue total, KirValue rest)
{
    KirBuilder *b = rejection->builder;
    SsaFrame *frame = rejection->frame;
    SsaTable *table = rejection->table;
    KirValue none = i32v(rejection, frame->network->reaction_count);
    KirValue reaction = rxn__kir_get(b, table->last, 0);
    rxn__kir_if(b, kir_lt(b, reaction, none));
    KirValue value = rxn__ssa_table_mass_action(table, reaction);
    if (table->has_laws) {
        KirValue law =
            kir_ne(b, load(rejection, table->law, reaction), i32v(rejection, LAW_MASS_ACTION));
        value = kir_select(b, law, rxn__ssa_rejection_bound(table, reaction), value);
    }
    KirValue stands = kir_lt(b, rest, value);
    rxn__kir_if(b, kir_not(b, stands));
    rxn__kir_set(b, table->last, 0, none);
    rxn__kir_set(b, frame->missed, 0,
                 kir_add(b, rxn__kir_get(b, frame->missed, 0), rxn__kir_const(b, KIR_U64, 1)));
    rxn__kir_close(b);
    rxn__kir_close(b);
    if (table->timed)
        rxn__ssa_table_refuse(table, total, rest);
}

static void
count_changed(SsaTable *table, KirValue species, KirValue x)
{
    Rejection *rejection = table->bounds->method;
    KirBuilder *b = rejection->builder;
    KirValue below = kir_lt(b, x, rxn__kir_get(b, rejection->low, species));
    KirValue above = kir_gt(b, x, rxn__kir_get(b, rejection->high, species));
    rxn__kir_if_seldom(b, kir_or(b, below, above));
    move_interval(rejection, species, x);
    rxn__kir_close(b);
}

/* ---- the choice -------------------------------------------------------------------------------- */

/* Measured by tests/bench/large, the tables are in docs/benchmarks.md: the table form of the direct method pays for each
 * propensity that an event makes stale, and for each group of propensities that it sums and searches. */
enum { STALE_LIMIT = 3, REACTIONS_FOR_ONE = 1000 };

/* Beyond, a lane's trees do not fit in a share of the caches, and fewer lanes are faster. */
enum { MANY_REACTIONS = 40000, FEW_LANES = 8 };

bool
rxn__ssa_rejection_suits(const Network *network, Text *ret_why)
{
    u64 reactions = network->reaction_count, edges = network->traits.dependency_edges;
    if (!rxn__ssa_table_mostly_mass_action(network))
        return false;
    /* Edges that nobody counted are too many. */
    u64 stale = edges ? edges / reactions : STALE_LIMIT;
    if (stale + reactions / REACTIONS_FOR_ONE < STALE_LIMIT)
        return false;
    if (edges)
        rxn__text_printf(ret_why, "of %llu propensities an event changes %llu, about",
                         (unsigned long long)reactions, (unsigned long long)stale);
    else
        rxn__text_printf(ret_why, "an event changes very many of %llu propensities",
                         (unsigned long long)reactions);
    return true;
}

/* ---- the whole --------------------------------------------------------------------------------- */

static void
declare(Rejection *rejection)
{
    KirBuilder *b = rejection->builder;
    SsaFrame *frame = rejection->frame;
    u32 species = frame->network->species_count, reactions = frame->network->reaction_count;
    rejection->low = rxn__kir_local(b, "low", frame->real, species + !species);
    rejection->high = rxn__kir_local(b, "high", frame->real, species + 1);
    rejection->sum = rxn__kir_local(b, "sum", frame->real, 2 * reactions + 2);
    rejection->top = rxn__kir_local(b, "top", frame->real, 2u << rejection->top_depth);
    rejection->factor = rxn__kir_local(b, "factor", frame->real, 2 * rejection->group_count);
    rejection->node = rxn__kir_local(b, "node", KIR_I32, 0);
    rejection->left = rxn__kir_local(b, "left", frame->real, 0);
}

static const char *
write_kernel(Network *network, const MethodOptions *options, Arena *arena, NameTable *names,
             MethodKernel *ret_kernel)
{
    SsaFrame frame = {0};
    Rejection rejection = {.frame = &frame};
    rxn__ssa_begin(&frame, network, options, arena, names, false, ret_kernel);
    rejection.builder = frame.builder;
    const char *broken = rxn__ssa_rejection_begin(&rejection);
    if (broken)
        return broken;
    declare(&rejection);
    KirBuilder *b = frame.builder;
    rxn__ssa_table_init(&frame);
    rxn__kir_region(b, KIR_STEP);
    rxn__ssa_sums_refresh(&frame);
    rxn__ssa_bind_window(&frame);
    write_update(&rejection);
    KirValue total = rxn__kir_get(b, rejection.top, i32v(&rejection, 1));
    rxn__ssa_draw(&frame, total, 0);
    rxn__ssa_table_check_bounds(rejection.table);
    KirValue most = rxn__ssa_real(&frame, frame.real == KIR_F32 ? (double)FLT_MAX : DBL_MAX);
    rxn__ssa_rare(&frame, total, kir_le(b, total, most), rxn__ssa_table_explain, NULL);
    KirValue rest = write_selection(&rejection);
    write_refusal(&rejection, total, rest);
    rxn__ssa_table_apply(rejection.table, count_changed);
    rxn__ssa_close(&frame);
    if (network->reaction_count > MANY_REACTIONS)
        rxn__kir_kernel(b)->lanes = FEW_LANES;
    ret_kernel->form = "bounds of propensities in trees";
    return rxn__ssa_end(&frame);
}

const Method rxn__method_ssa_rejection = {
    .name = "rejection",
    .summary =
        "exact, one event at a time, for large networks (rejection from intervals of counts)",
    .applies = rxn__ssa_table_applies,
    .write = write_kernel,
};
