/* ssa_rejection_trees.h: between the files of the rejection method's trees: what both kinds share, and each kind. */
#ifndef RXN_METHOD_SSA_REJECTION_TREES_H
#define RXN_METHOD_SSA_REJECTION_TREES_H

#include "compiler/method/ssa_rejection.h"

/* One tree in an array of nodes. */
typedef struct SsaTree {
    u32 local;
    KirValue base;   /* where it begins */
    KirValue leaves; /* full: how many it has */
    KirValue group;  /* sparse: whose tree it is; 0: the upper one */
} SsaTree;

static inline KirValue
next(SsaRejection *rejection, KirValue index)
{
    return kir_add(rejection->builder, index, i32v(rejection, 1));
}

SsaTree rxn__ssa_top_tree(SsaRejection *rejection);

SsaTree rxn__ssa_group_tree(SsaRejection *rejection, KirValue group);

KirValue rxn__ssa_node_get(SsaRejection *rejection, const SsaTree *tree, KirValue node);

void rxn__ssa_node_set(SsaRejection *rejection, const SsaTree *tree, KirValue node, KirValue value);

/* Whether `left` goes to the right child, and is then less by the left one, `below`. Of two children the left one alone is read:
 * whether the right one is 0 matters only to a threshold that rounding has put at the sum of both, and such are refused. */
KirValue rxn__ssa_turn_right(SsaRejection *rejection, KirValue below);

/* So many levels down from the root of the upper tree. There are so few nodes that all are read, each at its place, and chosen
 * between: that takes no gather. left: the left children of the nodes of these levels, from the root on. Returns the number of the
 * node below, counted from the left. */
enum { FIRST_LEVELS = 3, FIRST_LEFT = (1 << FIRST_LEVELS) - 1 };
KirValue rxn__ssa_first_levels(SsaRejection *rejection, const SsaTree *top,
                               const i32 left[FIRST_LEFT]);

/* ---- full trees: ssa_rejection_full.c ----------------------------------------------------------- */

void rxn__ssa_full_declare(SsaRejection *rejection);

void rxn__ssa_full_rebuild(SsaRejection *rejection, SsaBoundValue *value_of);

KirValue rxn__ssa_full_find(SsaRejection *rejection, KirValue *ret_rest);

void rxn__ssa_full_set(SsaRejection *rejection, const SsaBound *bound, KirValue value);

void rxn__ssa_full_outer(SsaRejection *rejection, KirValue group, KirValue outer);

/* ---- sparse trees: ssa_rejection_sparse.c ------------------------------------------------------- */

void rxn__ssa_sparse_declare(SsaRejection *rejection);

void rxn__ssa_sparse_rebuild(SsaRejection *rejection, SsaBoundValue *value_of);

/* The sum of all groups, after what changed. */
KirValue rxn__ssa_sparse_total(SsaRejection *rejection);

KirValue rxn__ssa_sparse_find(SsaRejection *rejection, KirValue *ret_rest);

KirValue rxn__ssa_sparse_get(SsaRejection *rejection, const SsaBound *bound);

void rxn__ssa_sparse_set(SsaRejection *rejection, const SsaBound *bound, SsaSlot known,
                         KirValue value);

void rxn__ssa_sparse_outer(SsaRejection *rejection, KirValue group, SsaSlot known, KirValue outer,
                           SsaBoundValue *value_of);

#endif
