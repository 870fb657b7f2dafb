/* ssa_rejection_full.c: full trees (see ssa_rejection_trees.c), for networks of few groups.
 *
 * Each group and each bound has its leaf. A tree of n leaves has the nodes 1 … 2n-1, the leaves from n on; the children of j are 2j and
 * 2j+1. The upper one has as many leaves of 0 as make their number a power of two, so that all are equally deep, and ways through it
 * straight code, in which nothing is mispredicted.
 */
#include "compiler/method/ssa_rejection_trees.h"

typedef SsaRejection Rejection;
typedef SsaTree Tree;

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

/* From a leaf, which has a new value, up to the root, whose sum is then in `left`. */
static void
full_raise(Rejection *rejection, const Tree *tree, KirValue leaf, KirValue value)
{
    KirBuilder *b = rejection->builder;
    rxn__ssa_node_set(rejection, tree, leaf, value);
    rxn__kir_set(b, rejection->node, 0, leaf);
    rxn__kir_set(b, rejection->left, 0, value);
    rxn__kir_loop(b);
    KirValue at = rxn__kir_get(b, rejection->node, 0);
    rxn__kir_if(b, kir_lt(b, at, i32v(rejection, 2)));
    rxn__kir_break(b);
    rxn__kir_close(b);
    KirValue sibling = kir_xor(b, at, i32v(rejection, 1)),
             above = kir_shr(b, at, i32v(rejection, 1));
    KirValue beside = rxn__ssa_node_get(rejection, tree, sibling);
    KirValue sum = kir_add(b, rxn__kir_get(b, rejection->left, 0), beside);
    rxn__ssa_node_set(rejection, tree, above, sum);
    rxn__kir_set(b, rejection->left, 0, sum);
    rxn__kir_set(b, rejection->node, 0, above);
    rxn__kir_close(b);
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
    KirValue right = rxn__ssa_turn_right(rejection, rxn__ssa_node_get(rejection, tree, child));
    rxn__kir_set(b, rejection->node, 0, kir_select(b, right, next(rejection, child), child));
    rxn__kir_close(b);
    return kir_sub(b, rxn__kir_get(b, rejection->node, 0), tree->leaves);
}

/* A leaf of the upper tree has a new value: so have all above it. Many have the old one: the group of a species that is not
 * there. */
static void
full_top_set(Rejection *rejection, KirValue group, KirValue value)
{
    KirBuilder *b = rejection->builder;
    Tree top = rxn__ssa_top_tree(rejection);
    KirValue node = kir_add(b, top.leaves, group);
    rxn__kir_if(b, kir_ne(b, value, rxn__ssa_node_get(rejection, &top, node)));
    rxn__ssa_node_set(rejection, &top, node, value);
    for (u32 level = 0; level < rejection->top_depth; level++) {
        KirValue sibling = kir_xor(b, node, i32v(rejection, 1));
        value = kir_add(b, value, rxn__ssa_node_get(rejection, &top, sibling));
        node = kir_shr(b, node, i32v(rejection, 1));
        rxn__ssa_node_set(rejection, &top, node, value);
    }
    rxn__kir_close(b);
}

static void
full_bound_set(Rejection *rejection, const SsaBound *bound, KirValue value)
{
    KirBuilder *b = rejection->builder;
    const Tree tree = {rejection->sum, bound->base, 0, 0};
    rxn__kir_if(b, kir_ne(b, value, rxn__ssa_node_get(rejection, &tree, bound->node)));
    full_raise(rejection, &tree, bound->node, value);
    factor_set(rejection, bound->group, FACTOR_SUM, rxn__kir_get(b, rejection->left, 0));
    rxn__kir_close(b);
}

/* The group where `left` ends up, less what stands before it. */
static KirValue
full_top_find(Rejection *rejection)
{
    KirBuilder *b = rejection->builder;
    Tree top = rxn__ssa_top_tree(rejection);
    KirValue node = i32v(rejection, 1);
    u32 level = 0;
    if (rejection->top_depth >= FIRST_LEVELS) {
        const i32 left[] = {2, 4, 6, 8, 10, 12, 14};
        KirValue way = rxn__ssa_first_levels(rejection, &top, left);
        node = kir_add(b, way, i32v(rejection, 1 << FIRST_LEVELS));
        level = FIRST_LEVELS;
    }
    for (; level < rejection->top_depth; level++) {
        KirValue left = kir_mul(b, node, i32v(rejection, 2));
        KirValue right = rxn__ssa_turn_right(rejection, rxn__ssa_node_get(rejection, &top, left));
        node = kir_select(b, right, next(rejection, left), left);
    }
    KirValue last = i32v(rejection, rejection->group_count - 1); /* those behind it are no groups */
    return kir_min(b, kir_sub(b, node, top.leaves), last);
}

KirValue
rxn__ssa_full_find(Rejection *rejection, KirValue *ret_rest)
{
    KirBuilder *b = rejection->builder;
    KirValue group = full_top_find(rejection), outer = factor_get(rejection, group, FACTOR_OUTER);
    rxn__kir_set(b, rejection->left, 0, kir_div(b, rxn__kir_get(b, rejection->left, 0), outer));
    Tree tree = rxn__ssa_group_tree(rejection, group);
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
    KirValue first = rxn__ssa_node_get(rejection, tree, left);
    KirValue second = rxn__ssa_node_get(rejection, tree, next(rejection, left));
    rxn__ssa_node_set(rejection, tree, node, kir_add(b, first, second));
    rxn__kir_close(b);
}

void
rxn__ssa_full_rebuild(Rejection *rejection, SsaBoundValue *value_of)
{
    KirBuilder *b = rejection->builder;
    Tree top = rxn__ssa_top_tree(rejection);
    KirValue group = rxn__kir_for(b, i32v(rejection, 0), i32v(rejection, rejection->group_count));
    Tree tree = rxn__ssa_group_tree(rejection, group);
    KirValue first = rxn__ssa_group_word(rejection, group, GROUP_FIRST);
    KirValue leaf = rxn__kir_for(b, i32v(rejection, 0), tree.leaves);
    KirValue place = kir_add(b, first, leaf);
    KirValue value = value_of(rejection, rxn__kir_load(b, rejection->reaction, &place));
    rxn__ssa_node_set(rejection, &tree, kir_add(b, tree.leaves, leaf), value);
    rxn__kir_close(b);
    sum_all(rejection, &tree);
    KirValue species = rxn__ssa_group_word(rejection, group, GROUP_SPECIES);
    KirValue outer = rxn__kir_get(b, rejection->high, species);
    factor_set(rejection, group, FACTOR_OUTER, outer);
    KirValue sum = rxn__ssa_node_get(rejection, &tree, i32v(rejection, 1));
    factor_set(rejection, group, FACTOR_SUM, sum);
    rxn__ssa_node_set(rejection, &top, kir_add(b, top.leaves, group), kir_mul(b, outer, sum));
    rxn__kir_close(b);
    sum_all(rejection, &top);
}

void
rxn__ssa_full_declare(Rejection *rejection)
{
    rejection->factor = rxn__kir_local(rejection->builder, "factor", rejection->frame->real,
                                       2 * rejection->group_count);
}

void
rxn__ssa_full_set(Rejection *rejection, const SsaBound *bound, KirValue value)
{
    full_bound_set(rejection, bound, value);
    KirValue outer = factor_get(rejection, bound->group, FACTOR_OUTER);
    KirValue sum = factor_get(rejection, bound->group, FACTOR_SUM);
    full_top_set(rejection, bound->group, kir_mul(rejection->builder, outer, sum));
}

void
rxn__ssa_full_outer(Rejection *rejection, KirValue group, KirValue outer)
{
    factor_set(rejection, group, FACTOR_OUTER, outer);
    KirValue sum = factor_get(rejection, group, FACTOR_SUM);
    full_top_set(rejection, group, kir_mul(rejection->builder, outer, sum));
}
