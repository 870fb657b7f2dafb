/* ssa_rejection_trees.c: the sums of the rejection method (ssa_rejection.c): a tree for each group, and above them one of the groups.
 *
 *   sum     a tree for each group, one behind the other; its leaves are bounds without the outer factor
 *   top     the upper tree; its leaves are groups, high(outer) times the sum of each
 *
 * They are binary trees, in which a node is the sum of its two children whenever one of them has changed: nothing drifts, and finding
 * a leaf takes as many steps as there are levels. There are two kinds: full ones, for networks of few groups (ssa_rejection_full.c),
 * and sparse ones, for networks of many groups of which few are there at a time (ssa_rejection_sparse.c).
 */
#include "compiler/method/ssa_rejection_trees.h"

typedef SsaRejection Rejection;
typedef SsaTree Tree;

Tree
rxn__ssa_top_tree(Rejection *rejection)
{
    return (Tree){rejection->top, i32v(rejection, 0), i32v(rejection, 1 << rejection->top_depth),
                  0};
}

Tree
rxn__ssa_group_tree(Rejection *rejection, KirValue group)
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

KirValue
rxn__ssa_node_get(Rejection *rejection, const Tree *tree, KirValue node)
{
    KirBuilder *b = rejection->builder;
    return rxn__kir_get(b, tree->local, kir_add(b, tree->base, node));
}

void
rxn__ssa_node_set(Rejection *rejection, const Tree *tree, KirValue node, KirValue value)
{
    KirBuilder *b = rejection->builder;
    rxn__kir_set(b, tree->local, kir_add(b, tree->base, node), value);
}

KirValue
rxn__ssa_turn_right(Rejection *rejection, KirValue below)
{
    KirBuilder *b = rejection->builder;
    KirValue left = rxn__kir_get(b, rejection->left, 0), right = kir_ge(b, left, below);
    rxn__kir_set(b, rejection->left, 0, kir_select(b, right, kir_sub(b, left, below), left));
    return right;
}

KirValue
rxn__ssa_first_levels(Rejection *rejection, const Tree *top, const i32 left[FIRST_LEFT])
{
    KirBuilder *b = rejection->builder;
    KirValue sums[FIRST_LEFT], way = i32v(rejection, 0);
    for (u32 k = 0; k < FIRST_LEFT; k++)
        sums[k] = rxn__ssa_node_get(rejection, top, i32v(rejection, left[k]));
    for (u32 count = FIRST_LEFT; count > 0; count /= 2) {
        /* The sums of the levels that are left, by each level's first: half of each is not on the way. */
        KirValue right = rxn__ssa_turn_right(rejection, sums[0]);
        way = kir_add(b, kir_add(b, way, way), kir_cast(b, KIR_I32, right));
        u32 kept = 0;
        for (u32 width = 1, at = 1; at < count; at += 2 * width, width *= 2)
            for (u32 k = 0; k < width; k++)
                sums[kept++] = kir_select(b, right, sums[at + width + k], sums[at + k]);
    }
    return way;
}

void
rxn__ssa_trees_declare(Rejection *rejection)
{
    KirBuilder *b = rejection->builder;
    KirType real = rejection->frame->real;
    rejection->sum = rxn__kir_local(b, "sum", real, rejection->node_count + 2);
    rejection->top = rxn__kir_local(b, "top", real, 2u << rejection->top_depth);
    rejection->node = rxn__kir_local(b, "node", KIR_I32, 0);
    rejection->left = rxn__kir_local(b, "left", real, 0);
    (rejection->sparse ? rxn__ssa_sparse_declare : rxn__ssa_full_declare)(rejection);
}

KirValue
rxn__ssa_trees_total(Rejection *rejection)
{
    KirBuilder *b = rejection->builder;
    return rejection->sparse ? rxn__ssa_sparse_total(rejection)
                             : rxn__kir_get(b, rejection->top, i32v(rejection, 1));
}

void
rxn__ssa_trees_set(Rejection *rejection, const SsaBound *bound, SsaSlot known, KirValue value)
{
    if (rejection->sparse)
        rxn__ssa_sparse_set(rejection, bound, known, value);
    else
        rxn__ssa_full_set(rejection, bound, value);
}

void
rxn__ssa_trees_rebuild(Rejection *rejection, SsaBoundValue *value_of)
{
    (rejection->sparse ? rxn__ssa_sparse_rebuild : rxn__ssa_full_rebuild)(rejection, value_of);
}

void
rxn__ssa_trees_outer(Rejection *rejection, KirValue group, SsaSlot known, KirValue outer,
                     SsaBoundValue *value_of)
{
    if (rejection->sparse)
        rxn__ssa_sparse_outer(rejection, group, known, outer, value_of);
    else
        rxn__ssa_full_outer(rejection, group, outer);
}

SsaBound
rxn__ssa_trees_bound(Rejection *rejection, KirValue reaction)
{
    KirBuilder *b = rejection->builder;
    KirValue group = rxn__kir_load(b, rejection->group, &reaction);
    Tree tree = rxn__ssa_group_tree(rejection, group);
    if (rejection->sparse)
        return (SsaBound){group, tree.base, 0, reaction};
    KirValue place = rxn__kir_load(b, rejection->place, &reaction);
    KirValue leaf = kir_sub(b, place, rxn__ssa_group_word(rejection, group, GROUP_FIRST));
    return (SsaBound){group, tree.base, kir_add(b, tree.leaves, leaf), reaction};
}

KirValue
rxn__ssa_trees_get(Rejection *rejection, KirValue reaction)
{
    SsaBound bound = rxn__ssa_trees_bound(rejection, reaction);
    const Tree tree = {rejection->sum, bound.base, 0, bound.group};
    return rejection->sparse ? rxn__ssa_sparse_get(rejection, &bound)
                             : rxn__ssa_node_get(rejection, &tree, bound.node);
}

KirValue
rxn__ssa_trees_find(Rejection *rejection, KirValue threshold, KirValue *ret_rest)
{
    rxn__kir_set(rejection->builder, rejection->left, 0, threshold);
    return (rejection->sparse ? rxn__ssa_sparse_find : rxn__ssa_full_find)(rejection, ret_rest);
}
