/* ssa_rejection_trees.c: the sums of the rejection method (ssa_rejection.c): a tree for each group, and above them one of the groups.
 *
 *   sum     a tree for each group, one behind the other; its leaves are bounds without the outer factor
 *   top     the upper tree; its leaves are groups, high(outer) times the sum of each
 *
 * They are binary trees, in which a node is the sum of its two children whenever one of them has changed: nothing drifts, and finding
 * a leaf takes as many steps as there are levels. There are two kinds.
 *
 * Full trees, for networks of few groups: each group and each bound has its leaf. A tree of n leaves has the nodes 1 … 2n-1, the
 * leaves from n on, the children of j are 2j and 2j+1. The upper one has as many of 0 as make the number of its leaves a power of two, so
 * that all are equally deep, and ways through it straight code, in which nothing is mispredicted.
 *
 * Sparse trees, for networks of many groups, of which few are there at a time: of the 3,743 groups of fceri_gamma2, 58,276 reactions,
 * 24 on average and 34 at most, and of 3,468 bounds of one group some ten. What is there has a slot, which is a leaf; and slots that have
 * become free are taken first. So the slots that are in use, or have been, are the first of their tree, and its root is the lowest node
 * above all of them: a tree is as deep as what was there at a time asks for, however many leaves it could have. Its nodes stand in
 * order, the leaf of slot i at 2i - 1, and between two subtrees of equal size the node above them, so that what is in use is the beginning of
 * its memory: a few lines of the cache.
 * A bound in a group whose outer species is not there is nobody's business until that appears, and most never do: of the bounds that an event of
 * that network changes half are such, and one of 300 is needed later. So they lose their slots and are listed.
 */
#include "compiler/method/ssa_rejection.h"

#include <math.h>

typedef SsaRejection Rejection;

static KirValue
i32v(Rejection *rejection, i64 value)
{
    return rxn__kir_const(rejection->builder, KIR_I32, (double)value);
}

static KirValue
zero(Rejection *rejection)
{
    return rxn__ssa_real(rejection->frame, 0);
}

static KirValue
next(Rejection *rejection, KirValue index)
{
    return kir_add(rejection->builder, index, i32v(rejection, 1));
}

/* One tree in an array of nodes. */
typedef struct Tree {
    u32 local;
    KirValue base;   /* where it begins */
    KirValue leaves; /* full: how many it has */
    KirValue group;  /* sparse: whose tree it is; 0: the upper one */
} Tree;

static Tree
top_tree(Rejection *rejection)
{
    return (Tree){rejection->top, i32v(rejection, 0), i32v(rejection, 1 << rejection->top_depth),
                  0};
}

static Tree
group_tree(Rejection *rejection, KirValue group)
{
    KirBuilder *b = rejection->builder;
    if (!rejection->sparse) {
        KirValue after = next(rejection, group);
        KirValue first = rxn__kir_load(b, rejection->group_first, &group);
        KirValue end = rxn__kir_load(b, rejection->group_first, &after);
        KirValue base = kir_mul(b, first, i32v(rejection, 2));
        return (Tree){rejection->sum, base, kir_sub(b, end, first), group};
    }
    KirValue base = rxn__ssa_group_word(rejection, group, GROUP_BASE);
    return (Tree){rejection->sum, base, 0, group};
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

/* Full trees have the two factors of a group's bound side by side. */
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

/* The outer factor, from its interval. */
static KirValue
outer_of(Rejection *rejection, KirValue group)
{
    KirValue species = rxn__ssa_group_word(rejection, group, GROUP_SPECIES);
    return rxn__kir_get(rejection->builder, rejection->high, species);
}

/* From a leaf, which has a new value, up to the root, whose sum is then in `left`. */
static void
full_raise(Rejection *rejection, const Tree *tree, KirValue leaf, KirValue value)
{
    KirBuilder *b = rejection->builder;
    node_set(rejection, tree, leaf, value);
    rxn__kir_set(b, rejection->node, 0, leaf);
    rxn__kir_set(b, rejection->left, 0, value);
    rxn__kir_loop(b);
    KirValue at = rxn__kir_get(b, rejection->node, 0);
    rxn__kir_if(b, kir_lt(b, at, i32v(rejection, 2)));
    rxn__kir_break(b);
    rxn__kir_close(b);
    KirValue sibling = kir_xor(b, at, i32v(rejection, 1)),
             above = kir_shr(b, at, i32v(rejection, 1));
    KirValue beside = node_get(rejection, tree, sibling);
    KirValue sum = kir_add(b, rxn__kir_get(b, rejection->left, 0), beside);
    node_set(rejection, tree, above, sum);
    rxn__kir_set(b, rejection->left, 0, sum);
    rxn__kir_set(b, rejection->node, 0, above);
    rxn__kir_close(b);
}

/* Whether `left` goes to the right child, and is then less by the left one. Of two children the left one alone is read: whether
 * the right one is 0 matters only to a threshold that rounding has put at the sum of both, and such are refused. */
static KirValue
turn_right(Rejection *rejection, KirValue below)
{
    KirBuilder *b = rejection->builder;
    KirValue left = rxn__kir_get(b, rejection->left, 0), right = kir_ge(b, left, below);
    rxn__kir_set(b, rejection->left, 0, kir_select(b, right, kir_sub(b, left, below), left));
    return right;
}

/* The leaf where `left` ends up, less what stands before it. */
static KirValue
full_descend(Rejection *rejection, const Tree *tree)
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

/* ---- full trees -------------------------------------------------------------------------------- */

/* A leaf of the upper tree has a new value: so have all above it. Many have the old one: the group of a species that is not
 * there. */
static void
full_top_set(Rejection *rejection, KirValue group, KirValue value)
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

static void
full_bound_set(Rejection *rejection, const SsaBound *bound, KirValue value)
{
    KirBuilder *b = rejection->builder;
    const Tree tree = {rejection->sum, bound->base, 0, 0};
    rxn__kir_if(b, kir_ne(b, value, node_get(rejection, &tree, bound->node)));
    full_raise(rejection, &tree, bound->node, value);
    factor_set(rejection, bound->group, FACTOR_SUM, rxn__kir_get(b, rejection->left, 0));
    rxn__kir_close(b);
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
full_top_find(Rejection *rejection)
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

static KirValue
full_find(Rejection *rejection, KirValue *ret_rest)
{
    KirBuilder *b = rejection->builder;
    KirValue group = full_top_find(rejection), outer = factor_get(rejection, group, FACTOR_OUTER);
    rxn__kir_set(b, rejection->left, 0, kir_div(b, rxn__kir_get(b, rejection->left, 0), outer));
    Tree tree = group_tree(rejection, group);
    KirValue leaf = full_descend(rejection, &tree);
    KirValue first = rxn__kir_load(b, rejection->group_first, &group);
    KirValue place = kir_add(b, first, leaf);
    *ret_rest = kir_mul(b, rxn__kir_get(b, rejection->left, 0), outer);
    return rxn__kir_load(b, rejection->reaction, &place);
}

/* All nodes above the leaves. */
static void
sum_all(Rejection *rejection, const Tree *tree)
{
    KirBuilder *b = rejection->builder;
    KirValue node = rxn__kir_for_down(b, i32v(rejection, 1), tree->leaves);
    KirValue left = kir_mul(b, node, i32v(rejection, 2));
    KirValue first = node_get(rejection, tree, left);
    KirValue second = node_get(rejection, tree, next(rejection, left));
    node_set(rejection, tree, node, kir_add(b, first, second));
    rxn__kir_close(b);
}

static void
full_rebuild(Rejection *rejection, SsaBoundValue *value_of)
{
    KirBuilder *b = rejection->builder;
    Tree top = top_tree(rejection);
    KirValue group = rxn__kir_for(b, i32v(rejection, 0), i32v(rejection, rejection->group_count));
    Tree tree = group_tree(rejection, group);
    KirValue first = rxn__ssa_group_word(rejection, group, GROUP_FIRST);
    KirValue leaf = rxn__kir_for(b, i32v(rejection, 0), tree.leaves);
    KirValue place = kir_add(b, first, leaf);
    KirValue value = value_of(rejection, rxn__kir_load(b, rejection->reaction, &place));
    node_set(rejection, &tree, kir_add(b, tree.leaves, leaf), value);
    rxn__kir_close(b);
    sum_all(rejection, &tree);
    KirValue outer = outer_of(rejection, group);
    factor_set(rejection, group, FACTOR_OUTER, outer);
    KirValue sum = node_get(rejection, &tree, i32v(rejection, 1));
    factor_set(rejection, group, FACTOR_SUM, sum);
    node_set(rejection, &top, kir_add(b, top.leaves, group), kir_mul(b, outer, sum));
    rxn__kir_close(b);
    sum_all(rejection, &top);
}

/* ---- sparse trees ------------------------------------------------------------------------------ */

/* What a sparse tree has of its own, as whole numbers. That of the groups has it in locals of its own. */
static KirValue
state_place(Rejection *rejection, const Tree *tree, u32 which)
{
    KirBuilder *b = rejection->builder;
    return kir_add(b, kir_mul(b, tree->group, i32v(rejection, STATE_WORDS)),
                   i32v(rejection, which));
}

static KirValue
state_get(Rejection *rejection, const Tree *tree, u32 which)
{
    KirBuilder *b = rejection->builder;
    if (!tree->group)
        return rxn__kir_get(b, rejection->top_state[which], 0);
    return rxn__kir_get(b, rejection->state, state_place(rejection, tree, which));
}

static void
state_set(Rejection *rejection, const Tree *tree, u32 which, KirValue value)
{
    KirBuilder *b = rejection->builder;
    if (!tree->group)
        rxn__kir_set(b, rejection->top_state[which], 0, value);
    else
        rxn__kir_set(b, rejection->state, state_place(rejection, tree, which), value);
}

/* Slots are counted from 1, as are what they hold, so that 0 is none, everywhere; and a list goes on at -1 less the number that it goes
 * on with, where a number of something else could stand. */
static KirValue
chain(Rejection *rejection, KirValue number)
{
    KirBuilder *b = rejection->builder;
    return kir_sub(b, i32v(rejection, -1), number); /* its own inverse */
}

/* Of each slot what it holds, a reaction or a group, or the next free slot. */
static KirValue
holder_place(Rejection *rejection, const Tree *tree, KirValue slot)
{
    KirBuilder *b = rejection->builder;
    KirValue begin = kir_sub(b, kir_shr(b, tree->base, i32v(rejection, 1)), i32v(rejection, 1));
    return kir_add(b, begin, slot);
}

static u32
holders(const Rejection *rejection, const Tree *tree)
{
    return tree->group ? rejection->holder : rejection->top_holder;
}

/* A slot for what has none. */
static KirValue
slot_take(Rejection *rejection, const Tree *tree)
{
    KirBuilder *b = rejection->builder;
    KirValue first = state_get(rejection, tree, STATE_FREE);
    rxn__kir_set(b, rejection->slot, 0, first);
    rxn__kir_if(b, kir_gt(b, first, i32v(rejection, 0)));
    KirValue after =
        rxn__kir_get(b, holders(rejection, tree), holder_place(rejection, tree, first));
    state_set(rejection, tree, STATE_FREE, chain(rejection, after));
    rxn__kir_else(b);
    KirValue used = state_get(rejection, tree, STATE_USED),
             root = state_get(rejection, tree, STATE_ROOT);
    rxn__kir_set(b, rejection->slot, 0, next(rejection, used));
    state_set(rejection, tree, STATE_USED, next(rejection, used));
    /* A root has as many slots below it as it is large. */
    KirValue full = kir_ge(b, used, root);
    state_set(rejection, tree, STATE_ROOT, kir_select(b, full, kir_add(b, root, root), root));
    rxn__kir_close(b);
    return rxn__kir_get(b, rejection->slot, 0);
}

static void
slot_give(Rejection *rejection, const Tree *tree, KirValue slot)
{
    KirBuilder *b = rejection->builder;
    KirValue first = state_get(rejection, tree, STATE_FREE);
    rxn__kir_set(b, holders(rejection, tree), holder_place(rejection, tree, slot),
                 chain(rejection, first));
    state_set(rejection, tree, STATE_FREE, slot);
}

/* From a slot, which has a new value, up to the root, whose sum is then in `left`. A node's size is its last bit of 1: 1 of leaves,
 * twice as much with each level. That of the root is the root. */
static void
sparse_raise(Rejection *rejection, const Tree *tree, KirValue slot, KirValue value)
{
    KirBuilder *b = rejection->builder;
    KirValue root = state_get(rejection, tree, STATE_ROOT), one = i32v(rejection, 1);
    KirValue leaf = kir_sub(b, kir_mul(b, slot, i32v(rejection, 2)), one);
    node_set(rejection, tree, leaf, value);
    rxn__kir_set(b, rejection->node, 0, leaf);
    rxn__kir_set(b, rejection->left, 0, value);
    rxn__kir_set(b, rejection->size, 0, one);
    rxn__kir_loop(b);
    KirValue size = rxn__kir_get(b, rejection->size, 0), node = rxn__kir_get(b, rejection->node, 0);
    rxn__kir_if(b, kir_ge(b, size, root));
    rxn__kir_break(b);
    rxn__kir_close(b);
    KirValue above = kir_add(b, size, size);
    KirValue beside = node_get(rejection, tree, kir_xor(b, node, above));
    KirValue sum = kir_add(b, rxn__kir_get(b, rejection->left, 0), beside);
    node = kir_or(b, kir_xor(b, node, size), above);
    node_set(rejection, tree, node, sum);
    rxn__kir_set(b, rejection->left, 0, sum);
    rxn__kir_set(b, rejection->node, 0, node);
    rxn__kir_set(b, rejection->size, 0, above);
    rxn__kir_close(b);
}

/* The slot where `left` ends up, less what stands before it. */
static KirValue
sparse_descend(Rejection *rejection, const Tree *tree)
{
    KirBuilder *b = rejection->builder;
    KirValue root = state_get(rejection, tree, STATE_ROOT), one = i32v(rejection, 1);
    rxn__kir_set(b, rejection->node, 0, root);
    rxn__kir_set(b, rejection->size, 0, root);
    rxn__kir_loop(b);
    KirValue size = rxn__kir_get(b, rejection->size, 0), node = rxn__kir_get(b, rejection->node, 0);
    rxn__kir_if(b, kir_le(b, size, one)); /* a tree without any slot has the root 0 */
    rxn__kir_break(b);
    rxn__kir_close(b);
    KirValue half = kir_shr(b, size, one), child = kir_sub(b, node, half);
    KirValue right = turn_right(rejection, node_get(rejection, tree, child));
    rxn__kir_set(b, rejection->node, 0, kir_select(b, right, kir_add(b, node, half), child));
    rxn__kir_set(b, rejection->size, 0, half);
    rxn__kir_close(b);
    KirValue leaf = rxn__kir_get(b, rejection->node, 0);
    return kir_max(b, kir_shr(b, kir_add(b, leaf, one), one), one);
}

/* `item`, which has its place in `slots` and is not listed as stale, has this value; what is known of its slot is known. there: of
 * SLOT_ANY, whether it has one from now on. The new sum is in `left`. */
static void
sparse_set(Rejection *rejection, const Tree *tree, u32 slots, KirValue item, SsaSlot known,
           KirValue there, KirValue value)
{
    KirBuilder *b = rejection->builder;
    KirValue none = i32v(rejection, 0);
    if (known != SLOT_TAKE)
        rxn__kir_set(b, rejection->slot, 0, rxn__kir_get(b, slots, item));
    if (known == SLOT_ANY)
        rxn__kir_if(b, kir_and(b, there, kir_eq(b, rxn__kir_get(b, rejection->slot, 0), none)));
    if (known == SLOT_ANY || known == SLOT_TAKE) {
        KirValue slot = slot_take(rejection, tree);
        rxn__kir_set(b, slots, item, slot);
        rxn__kir_set(b, holders(rejection, tree), holder_place(rejection, tree, slot),
                     next(rejection, item));
    }
    KirValue slot;
    if (known == SLOT_ANY) {
        rxn__kir_close(b);
        slot = rxn__kir_get(b, rejection->slot, 0);
        rxn__kir_if(b, kir_ne(b, slot, none));
    } else {
        slot = rxn__kir_get(b, rejection->slot, 0);
    }
    sparse_raise(rejection, tree, slot, value);
    if (known == SLOT_ANY)
        rxn__kir_if(b, kir_not(b, there));
    if (known == SLOT_ANY || known == SLOT_GIVE) {
        slot_give(rejection, tree, slot);
        rxn__kir_set(b, slots, item, none);
    }
    if (known == SLOT_ANY) {
        rxn__kir_close(b);
        rxn__kir_else(b);
        KirValue root = state_get(rejection, tree, STATE_ROOT);
        rxn__kir_set(b, rejection->left, 0, node_get(rejection, tree, root));
        rxn__kir_close(b);
    }
}

static void
sparse_bound_set(Rejection *rejection, const SsaBound *bound, SsaSlot known, KirValue there,
                 KirValue value)
{
    KirBuilder *b = rejection->builder;
    const Tree tree = {rejection->sum, bound->base, 0, bound->group};
    sparse_set(rejection, &tree, rejection->slot_of, bound->reaction, known, there, value);
    rxn__kir_set(b, rejection->group_sum, bound->group, rxn__kir_get(b, rejection->left, 0));
}

/* The group's leaf of the upper tree, which has a slot where the outer species is there. */
static void
sparse_top_set(Rejection *rejection, KirValue group, SsaSlot known, KirValue outer)
{
    KirBuilder *b = rejection->builder;
    Tree top = top_tree(rejection);
    KirValue there = kir_gt(b, outer, zero(rejection));
    KirValue value = kir_mul(b, outer, rxn__kir_get(b, rejection->group_sum, group));
    sparse_set(rejection, &top, rejection->slot_of_group, group, known, there, value);
    rxn__kir_set(b, rejection->total, 0, rxn__kir_get(b, rejection->left, 0));
}

/* Whether a bound has a slot: by its value, or, where that is a factor for one species that is not the outer one, by that. */
static KirValue
has_slot(Rejection *rejection, KirValue reaction, KirValue value)
{
    KirBuilder *b = rejection->builder;
    if (!rejection->simple)
        return kir_ne(b, value, zero(rejection));
    KirValue last = kir_add(b, kir_mul(b, reaction, i32v(rejection, rejection->table->order)),
                            i32v(rejection, rejection->table->order - 1));
    KirValue species = rxn__kir_load(b, rejection->table->slot_species, &last);
    return kir_gt(b, rxn__kir_get(b, rejection->high, species), zero(rejection));
}

/* A bound of a group whose outer species is not there has a new value. Where nobody ever asked for the group's bounds (its root is 0)
 * all are to be made in any case. */
void
rxn__ssa_trees_put_off(Rejection *rejection, const SsaBound *bound)
{
    KirBuilder *b = rejection->builder;
    const Tree tree = {rejection->sum, bound->base, 0, bound->group};
    KirValue none = i32v(rejection, 0);
    KirValue asked = kir_ne(b, state_get(rejection, &tree, STATE_ROOT), none);
    KirValue slot = rxn__kir_get(b, rejection->slot_of, bound->reaction);
    rxn__kir_if(b, kir_and(b, asked, kir_ge(b, slot, none)));
    KirValue no = rxn__kir_const(b, KIR_BOOL, 0);
    sparse_bound_set(rejection, bound, SLOT_ANY, no, zero(rejection));
    KirValue first = state_get(rejection, &tree, STATE_STALE);
    rxn__kir_set(b, rejection->slot_of, bound->reaction, chain(rejection, first));
    state_set(rejection, &tree, STATE_STALE, next(rejection, bound->reaction));
    rxn__kir_close(b);
}

/* All bounds of a group. */
static void
sparse_build(Rejection *rejection, KirValue group, SsaBoundValue *value_of)
{
    KirBuilder *b = rejection->builder;
    Tree tree = group_tree(rejection, group);
    KirValue root = state_get(rejection, &tree, STATE_ROOT), none = i32v(rejection, 0);
    state_set(rejection, &tree, STATE_ROOT, kir_max(b, root, i32v(rejection, 1)));
    state_set(rejection, &tree, STATE_STALE, none);
    KirValue first = rxn__ssa_group_word(rejection, group, GROUP_FIRST);
    KirValue end = rxn__ssa_group_word(rejection, next(rejection, group), GROUP_FIRST);
    KirValue place = rxn__kir_for(b, first, end);
    KirValue reaction = rxn__kir_load(b, rejection->reaction, &place);
    KirValue slot = rxn__kir_get(b, rejection->slot_of, reaction);
    rxn__kir_set(b, rejection->slot_of, reaction, kir_max(b, slot, none));
    const SsaBound bound = {group, tree.base, 0, reaction};
    KirValue value = value_of(rejection, reaction), there = has_slot(rejection, reaction, value);
    sparse_bound_set(rejection, &bound, SLOT_ANY, there, value);
    rxn__kir_close(b);
}

/* Those that are listed. */
static void
stale_renew(Rejection *rejection, KirValue group, SsaBoundValue *value_of)
{
    KirBuilder *b = rejection->builder;
    Tree tree = group_tree(rejection, group);
    KirValue none = i32v(rejection, 0);
    rxn__kir_loop(b);
    KirValue first = state_get(rejection, &tree, STATE_STALE);
    rxn__kir_if(b, kir_eq(b, first, none));
    rxn__kir_break(b);
    rxn__kir_close(b);
    KirValue reaction = kir_sub(b, first, i32v(rejection, 1));
    KirValue after = chain(rejection, rxn__kir_get(b, rejection->slot_of, reaction));
    state_set(rejection, &tree, STATE_STALE, after);
    rxn__kir_set(b, rejection->slot_of, reaction, none);
    const SsaBound bound = {group, tree.base, 0, reaction};
    KirValue value = value_of(rejection, reaction), there = has_slot(rejection, reaction, value);
    sparse_bound_set(rejection, &bound, SLOT_ANY, there, value);
    rxn__kir_close(b);
}

static KirValue
sparse_find(Rejection *rejection, KirValue *ret_rest)
{
    KirBuilder *b = rejection->builder;
    KirValue none = i32v(rejection, 0), one = i32v(rejection, 1);
    Tree top = top_tree(rejection);
    KirValue slot = sparse_descend(rejection, &top);
    KirValue place = holder_place(rejection, &top, slot);
    KirValue holder = rxn__kir_get(b, rejection->top_holder, place);
    KirValue group = kir_sub(b, kir_max(b, holder, one), one), outer = outer_of(rejection, group);
    rxn__kir_set(b, rejection->left, 0, kir_div(b, rxn__kir_get(b, rejection->left, 0), outer));
    Tree tree = group_tree(rejection, group);
    slot = sparse_descend(rejection, &tree);
    place = holder_place(rejection, &tree, slot);
    KirValue held = rxn__kir_get(b, rejection->holder, place);
    KirValue found = kir_and(b, kir_gt(b, holder, none), kir_gt(b, held, none));
    KirValue rest = kir_mul(b, rxn__kir_get(b, rejection->left, 0), outer);
    *ret_rest = kir_select(b, found, rest, rxn__ssa_real(rejection->frame, INFINITY));
    return kir_sub(b, kir_max(b, held, one), one);
}

static void
sparse_rebuild(Rejection *rejection, SsaBoundValue *value_of)
{
    KirBuilder *b = rejection->builder;
    Tree top = top_tree(rejection);
    KirValue none = i32v(rejection, 0), root = state_get(rejection, &top, STATE_ROOT);
    state_set(rejection, &top, STATE_ROOT, kir_max(b, root, i32v(rejection, 1)));
    KirValue group = rxn__kir_for(b, none, i32v(rejection, rejection->group_count));
    Tree tree = group_tree(rejection, group);
    KirValue outer = outer_of(rejection, group), there = kir_gt(b, outer, zero(rejection));
    KirValue asked = kir_ne(b, state_get(rejection, &tree, STATE_ROOT), none);
    rxn__kir_if(b, kir_or(b, there, asked));
    sparse_build(rejection, group, value_of);
    sparse_top_set(rejection, group, SLOT_ANY, outer);
    rxn__kir_close(b);
    rxn__kir_close(b);
}

/* ---- both -------------------------------------------------------------------------------------- */

void
rxn__ssa_trees_declare(Rejection *rejection)
{
    KirBuilder *b = rejection->builder;
    KirType real = rejection->frame->real;
    u32 reactions = rejection->frame->network->reaction_count, groups = rejection->group_count;
    rejection->sum = rxn__kir_local(b, "sum", real, rejection->node_count + 2);
    rejection->top = rxn__kir_local(b, "top", real, 2u << rejection->top_depth);
    rejection->node = rxn__kir_local(b, "node", KIR_I32, 0);
    rejection->left = rxn__kir_local(b, "left", real, 0);
    if (!rejection->sparse) {
        rejection->factor = rxn__kir_local(b, "factor", real, 2 * groups);
        return;
    }
    rejection->group_sum = rxn__kir_local(b, "group_sum", real, groups);
    rejection->size = rxn__kir_local(b, "size", KIR_I32, 0);
    rejection->total = rxn__kir_local(b, "total", real, 0);
    rejection->slot = rxn__kir_local(b, "slot", KIR_I32, 0);
    rejection->slot_of = rxn__kir_local(b, "slot_of", KIR_I32, reactions + !reactions);
    rejection->slot_of_group = rxn__kir_local(b, "slot_of_group", KIR_I32, groups);
    rejection->holder = rxn__kir_local(b, "holder", KIR_I32, rejection->node_count / 2);
    rejection->top_holder = rxn__kir_local(b, "top_holder", KIR_I32, 1u << rejection->top_depth);
    rejection->state = rxn__kir_local(b, "state", KIR_I32, STATE_WORDS * groups);
    static const char *const names[] = {"top_root", "top_used", "top_free"};
    for (u32 k = 0; k < STATE_STALE; k++)
        rejection->top_state[k] = rxn__kir_local(b, names[k], KIR_I32, 0);
}

KirValue
rxn__ssa_trees_total(Rejection *rejection)
{
    KirBuilder *b = rejection->builder;
    return rejection->sparse ? rxn__kir_get(b, rejection->total, 0)
                             : rxn__kir_get(b, rejection->top, i32v(rejection, 1));
}

void
rxn__ssa_trees_set(Rejection *rejection, const SsaBound *bound, SsaSlot known, KirValue value)
{
    KirBuilder *b = rejection->builder;
    if (!rejection->sparse) {
        full_bound_set(rejection, bound, value);
        KirValue outer = factor_get(rejection, bound->group, FACTOR_OUTER);
        KirValue sum = factor_get(rejection, bound->group, FACTOR_SUM);
        full_top_set(rejection, bound->group, kir_mul(b, outer, sum));
        return;
    }
    KirValue there = kir_ne(b, value, zero(rejection));
    sparse_bound_set(rejection, bound, rejection->simple ? known : SLOT_ANY, there, value);
    sparse_top_set(rejection, bound->group, SLOT_KEEP,
                   rxn__kir_get(b, rejection->high, bound->node));
}

void
rxn__ssa_trees_rebuild(Rejection *rejection, SsaBoundValue *value_of)
{
    (rejection->sparse ? sparse_rebuild : full_rebuild)(rejection, value_of);
}

void
rxn__ssa_trees_outer(Rejection *rejection, KirValue group, SsaSlot known, KirValue outer,
                     SsaBoundValue *value_of)
{
    KirBuilder *b = rejection->builder;
    if (!rejection->sparse) {
        factor_set(rejection, group, FACTOR_OUTER, outer);
        KirValue sum = factor_get(rejection, group, FACTOR_SUM);
        full_top_set(rejection, group, kir_mul(b, outer, sum));
        return;
    }
    if (known == SLOT_TAKE) {
        Tree tree = group_tree(rejection, group);
        KirValue asked = kir_ne(b, state_get(rejection, &tree, STATE_ROOT), i32v(rejection, 0));
        rxn__kir_if(b, asked);
        stale_renew(rejection, group, value_of);
        rxn__kir_else(b);
        sparse_build(rejection, group, value_of);
        rxn__kir_close(b);
    }
    sparse_top_set(rejection, group, known, outer);
}

KirValue
rxn__ssa_trees_wants(Rejection *rejection, const SsaBound *bound)
{
    KirBuilder *b = rejection->builder;
    return kir_gt(b, rxn__kir_get(b, rejection->high, bound->node), zero(rejection));
}

SsaBound
rxn__ssa_trees_bound(Rejection *rejection, KirValue reaction)
{
    KirBuilder *b = rejection->builder;
    KirValue group = rxn__kir_load(b, rejection->group, &reaction);
    Tree tree = group_tree(rejection, group);
    if (rejection->sparse)
        return (SsaBound){group, tree.base, rxn__ssa_group_word(rejection, group, GROUP_SPECIES),
                          reaction};
    KirValue place = rxn__kir_load(b, rejection->place, &reaction);
    KirValue leaf = kir_sub(b, place, rxn__ssa_group_word(rejection, group, GROUP_FIRST));
    return (SsaBound){group, tree.base, kir_add(b, tree.leaves, leaf), reaction};
}

KirValue
rxn__ssa_trees_get(Rejection *rejection, KirValue reaction)
{
    KirBuilder *b = rejection->builder;
    SsaBound bound = rxn__ssa_trees_bound(rejection, reaction);
    const Tree tree = {rejection->sum, bound.base, 0, bound.group};
    if (!rejection->sparse)
        return node_get(rejection, &tree, bound.node);
    KirValue slot = rxn__kir_get(b, rejection->slot_of, reaction), one = i32v(rejection, 1);
    KirValue some = kir_max(b, slot, one); /* one slot's leaf is there in any case */
    KirValue value = node_get(rejection, &tree, kir_sub(b, kir_add(b, some, some), one));
    return kir_select(b, kir_ge(b, slot, one), value, zero(rejection));
}

KirValue
rxn__ssa_trees_find(Rejection *rejection, KirValue threshold, KirValue *ret_rest)
{
    rxn__kir_set(rejection->builder, rejection->left, 0, threshold);
    return (rejection->sparse ? sparse_find : full_find)(rejection, ret_rest);
}
