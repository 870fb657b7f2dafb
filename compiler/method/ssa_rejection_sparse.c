/* ssa_rejection_sparse.c: sparse trees (see ssa_rejection_trees.c), for networks of many groups, of which few are there at a time.
 *
 * Of the 3,743 groups of fceri_gamma2, 58,276 reactions, 24 are there on average and 34 at most, and of 3,468 bounds of one group some
 * ten. What is there has a slot, which is a leaf; and slots that have become free are taken first. So the slots that are in use, or have
 * been, are the first of their tree, and its root is the lowest node above all of them: a tree is as deep as what was there at a time
 * asks for, however many leaves it could have. Its nodes stand in order, the leaf of slot i at 2i - 1, and between two subtrees of equal
 * size the node above them, so that what is in use is the beginning of its memory: a few lines of the cache. A group has the number of
 * its outer species, whether that has any reactions or not.
 *
 * A bound in a group whose outer species is not there is nobody's business until that appears, and most never do: of the bounds that an
 * event of that network changes half are such, and one of 300 is needed later. So they lose their slots and are listed.
 */
#include "compiler/method/ssa_rejection_trees.h"

#include <math.h>

typedef SsaRejection Rejection;
typedef SsaTree Tree;

static KirValue
zero(Rejection *rejection)
{
    return rxn__ssa_real(rejection->frame, 0);
}

/* What a sparse tree has of its own, as whole numbers. */
static KirValue
state_get(Rejection *rejection, const Tree *tree, u32 which)
{
    KirBuilder *b = rejection->builder;
    if (!tree->group)
        return rxn__kir_get(b, rejection->top_state[which], 0);
    return rxn__kir_get(b, rejection->state[which], tree->group);
}

static void
state_set(Rejection *rejection, const Tree *tree, u32 which, KirValue value)
{
    KirBuilder *b = rejection->builder;
    if (!tree->group)
        rxn__kir_set(b, rejection->top_state[which], 0, value);
    else
        rxn__kir_set(b, rejection->state[which], tree->group, value);
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

/* The first slots of the upper tree, which in most networks are all: a new value there changes its leaf alone, and the sums above are
 * made together, once an event (rxn__ssa_sparse_total). An event of fceri_gamma2 changes 3.4 leaves, six levels below the root; for 16
 * trajectories side by side all 63 sums take a third of the instructions of so many ways up, one trajectory after another. */
static i32
first_slots(const Rejection *rejection)
{
    enum { FIRST_DEPTH = 6 };
    return 1 << (rejection->top_depth < FIRST_DEPTH ? rejection->top_depth : FIRST_DEPTH);
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

/* From a node of this size, which has a new value, up to the root, whose sum is then in `left`. A node's size is its last bit of 1: 1 of
 * leaves, twice as much with each level. That of the root is the root. */
static void
sparse_climb(Rejection *rejection, const Tree *tree, KirValue from, KirValue from_size,
             KirValue value)
{
    KirBuilder *b = rejection->builder;
    KirValue root = state_get(rejection, tree, STATE_ROOT);
    rxn__kir_set(b, rejection->node, 0, from);
    rxn__kir_set(b, rejection->left, 0, value);
    rxn__kir_set(b, rejection->size, 0, from_size);
    rxn__kir_loop(b);
    KirValue size = rxn__kir_get(b, rejection->size, 0), node = rxn__kir_get(b, rejection->node, 0);
    rxn__kir_if(b, kir_ge(b, size, root));
    rxn__kir_break(b);
    rxn__kir_close(b);
    KirValue above = kir_add(b, size, size);
    KirValue beside = rxn__ssa_node_get(rejection, tree, kir_xor(b, node, above));
    KirValue sum = kir_add(b, rxn__kir_get(b, rejection->left, 0), beside);
    node = kir_or(b, kir_xor(b, node, size), above);
    rxn__ssa_node_set(rejection, tree, node, sum);
    rxn__kir_set(b, rejection->left, 0, sum);
    rxn__kir_set(b, rejection->node, 0, node);
    rxn__kir_set(b, rejection->size, 0, above);
    rxn__kir_close(b);
}

/* A slot has a new value; above the first slots of the upper tree the sums are left as they are. */
static void
sparse_raise(Rejection *rejection, const Tree *tree, KirValue slot, KirValue value)
{
    KirBuilder *b = rejection->builder;
    KirValue one = i32v(rejection, 1);
    KirValue leaf = kir_sub(b, kir_mul(b, slot, i32v(rejection, 2)), one);
    rxn__ssa_node_set(rejection, tree, leaf, value);
    if (!tree->group)
        rxn__kir_if(b, kir_gt(b, slot, i32v(rejection, first_slots(rejection))));
    sparse_climb(rejection, tree, leaf, one, value);
    if (!tree->group)
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
    KirValue right = rxn__ssa_turn_right(rejection, rxn__ssa_node_get(rejection, tree, child));
    rxn__kir_set(b, rejection->node, 0, kir_select(b, right, kir_add(b, node, half), child));
    rxn__kir_set(b, rejection->size, 0, half);
    rxn__kir_close(b);
    KirValue leaf = rxn__kir_get(b, rejection->node, 0);
    return kir_max(b, kir_shr(b, kir_add(b, leaf, one), one), one);
}

/* The same of the upper tree, whose root is above its first slots seldom. */
static KirValue
top_descend(Rejection *rejection, const Tree *top)
{
    KirBuilder *b = rejection->builder;
    i32 size = first_slots(rejection), left[FIRST_LEFT];
    if (size < 1 << FIRST_LEVELS)
        return sparse_descend(rejection, top);
    KirValue threshold = rxn__kir_get(b, rejection->left, 0);
    for (u32 level = 0, k = 0; level < FIRST_LEVELS; level++, size /= 2)
        for (i32 child = size / 2; k < (2u << level) - 1; child += 2 * size)
            left[k++] = child;
    KirValue way = rxn__ssa_first_levels(rejection, top, left);
    KirValue node = kir_add(b, kir_mul(b, way, i32v(rejection, 2 * size)), i32v(rejection, size));
    for (; size > 1; size /= 2) {
        KirValue half = i32v(rejection, size / 2), child = kir_sub(b, node, half);
        KirValue right = rxn__ssa_turn_right(rejection, rxn__ssa_node_get(rejection, top, child));
        node = kir_select(b, right, kir_add(b, node, half), child);
    }
    rxn__kir_set(b, rejection->slot, 0, kir_shr(b, next(rejection, node), i32v(rejection, 1)));
    KirValue first = i32v(rejection, first_slots(rejection));
    rxn__kir_if_seldom(b, kir_gt(b, state_get(rejection, top, STATE_ROOT), first));
    rxn__kir_set(b, rejection->left, 0, threshold);
    rxn__kir_set(b, rejection->slot, 0, sparse_descend(rejection, top));
    rxn__kir_close(b);
    return rxn__kir_get(b, rejection->slot, 0);
}

/* `item`, which has its place in `slots` and is not listed as stale, has this value; what is known of its slot is known. there: of
 * SLOT_ANY, whether it has one from now on. The new sum of a group's tree is in `left`. */
static void
sparse_set(Rejection *rejection, const Tree *tree, u32 slots, KirValue item, SsaSlot known,
           KirValue there, KirValue value)
{
    KirBuilder *b = rejection->builder;
    KirValue none = i32v(rejection, 0);
    if (known != SLOT_TAKE)
        rxn__kir_set(b, rejection->slot, 0, rxn__kir_get(b, slots, item));
    if (known == SLOT_ANY) {
        KirValue missing = kir_eq(b, rxn__kir_get(b, rejection->slot, 0), none);
        rxn__kir_if(b, kir_and(b, there, missing));
    }
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
        rxn__kir_set(b, rejection->left, 0, rxn__ssa_node_get(rejection, tree, root));
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
    Tree top = rxn__ssa_top_tree(rejection);
    KirValue there = kir_gt(b, outer, zero(rejection));
    KirValue value = kir_mul(b, outer, rxn__kir_get(b, rejection->group_sum, group));
    sparse_set(rejection, &top, rejection->slot_of_group, group, known, there, value);
    rxn__kir_set(b, rejection->moved, 0, rxn__kir_const(b, KIR_BOOL, 1));
}

/* The sum of a subtree of the upper tree's first slots. */
static KirValue
first_sum(Rejection *rejection, const Tree *top, i32 node, i32 size)
{
    KirBuilder *b = rejection->builder;
    if (size == 1)
        return rxn__ssa_node_get(rejection, top, i32v(rejection, node));
    KirValue left = first_sum(rejection, top, node - size / 2, size / 2);
    KirValue right = first_sum(rejection, top, node + size / 2, size / 2);
    KirValue sum = kir_add(b, left, right);
    rxn__ssa_node_set(rejection, top, i32v(rejection, node), sum);
    return sum;
}

KirValue
rxn__ssa_sparse_total(Rejection *rejection)
{
    KirBuilder *b = rejection->builder;
    Tree top = rxn__ssa_top_tree(rejection);
    i32 size = first_slots(rejection);
    KirValue first = i32v(rejection, size);
    rxn__kir_if(b, rxn__kir_get(b, rejection->moved, 0));
    KirValue sum = first_sum(rejection, &top, size, size);
    rxn__kir_set(b, rejection->total, 0, sum);
    rxn__kir_set(b, rejection->moved, 0, rxn__kir_const(b, KIR_BOOL, 0));
    if (1u << rejection->top_depth > (u32)size) {
        rxn__kir_if_seldom(b, kir_gt(b, state_get(rejection, &top, STATE_ROOT), first));
        sparse_climb(rejection, &top, first, first, sum);
        rxn__kir_set(b, rejection->total, 0, rxn__kir_get(b, rejection->left, 0));
        rxn__kir_close(b);
    }
    rxn__kir_close(b);
    return rxn__kir_get(b, rejection->total, 0);
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

KirValue
rxn__ssa_trees_asked(Rejection *rejection, const SsaBound *bound)
{
    KirBuilder *b = rejection->builder;
    const Tree tree = {rejection->sum, bound->base, 0, bound->group};
    return kir_ne(b, state_get(rejection, &tree, STATE_ROOT), i32v(rejection, 0));
}

/* A bound of a group whose outer species is not there any more has a new value. */
void
rxn__ssa_trees_put_off(Rejection *rejection, const SsaBound *bound)
{
    KirBuilder *b = rejection->builder;
    const Tree tree = {rejection->sum, bound->base, 0, bound->group};
    KirValue none = i32v(rejection, 0);
    KirValue slot = rxn__kir_get(b, rejection->slot_of, bound->reaction);
    rxn__kir_if(b, kir_ge(b, slot, none));
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
    Tree tree = rxn__ssa_group_tree(rejection, group);
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
    Tree tree = rxn__ssa_group_tree(rejection, group);
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

KirValue
rxn__ssa_sparse_find(Rejection *rejection, KirValue *ret_rest)
{
    KirBuilder *b = rejection->builder;
    KirValue none = i32v(rejection, 0), one = i32v(rejection, 1);
    Tree top = rxn__ssa_top_tree(rejection);
    KirValue slot = top_descend(rejection, &top);
    KirValue place = holder_place(rejection, &top, slot);
    KirValue holder = rxn__kir_get(b, rejection->top_holder, place);
    KirValue group = kir_sub(b, kir_max(b, holder, one), one),
             outer = rxn__kir_get(b, rejection->high, group);
    rxn__kir_set(b, rejection->left, 0, kir_div(b, rxn__kir_get(b, rejection->left, 0), outer));
    Tree tree = rxn__ssa_group_tree(rejection, group);
    slot = sparse_descend(rejection, &tree);
    place = holder_place(rejection, &tree, slot);
    KirValue held = rxn__kir_get(b, rejection->holder, place);
    KirValue found = kir_gt(b, holder, none), holds = kir_gt(b, held, none);
    found = kir_and(b, found, holds);
    KirValue rest = kir_mul(b, rxn__kir_get(b, rejection->left, 0), outer);
    *ret_rest = kir_select(b, found, rest, rxn__ssa_real(rejection->frame, INFINITY));
    return kir_sub(b, kir_max(b, held, one), one);
}

void
rxn__ssa_sparse_rebuild(Rejection *rejection, SsaBoundValue *value_of)
{
    KirBuilder *b = rejection->builder;
    Tree top = rxn__ssa_top_tree(rejection);
    KirValue none = i32v(rejection, 0), root = state_get(rejection, &top, STATE_ROOT);
    state_set(rejection, &top, STATE_ROOT,
              kir_max(b, root, i32v(rejection, first_slots(rejection))));
    KirValue group = rxn__kir_for(b, none, i32v(rejection, rejection->group_count));
    Tree tree = rxn__ssa_group_tree(rejection, group);
    KirValue leaves = rxn__ssa_group_word(rejection, group, GROUP_LEAVES);
    rxn__kir_if(b, kir_gt(b, leaves, none));
    KirValue outer = rxn__kir_get(b, rejection->high, group);
    KirValue there = kir_gt(b, outer, zero(rejection));
    KirValue asked = kir_ne(b, state_get(rejection, &tree, STATE_ROOT), none);
    rxn__kir_if(b, kir_or(b, there, asked));
    sparse_build(rejection, group, value_of);
    sparse_top_set(rejection, group, SLOT_ANY, outer);
    rxn__kir_close(b);
    rxn__kir_close(b);
    rxn__kir_close(b);
}

void
rxn__ssa_sparse_declare(Rejection *rejection)
{
    KirBuilder *b = rejection->builder;
    KirType real = rejection->frame->real;
    u32 reactions = rejection->frame->network->reaction_count, groups = rejection->group_count;
    rejection->group_sum = rxn__kir_local(b, "group_sum", real, groups);
    rejection->size = rxn__kir_local(b, "size", KIR_I32, 0);
    rejection->total = rxn__kir_local(b, "total", real, 0);
    rejection->moved = rxn__kir_local(b, "moved", KIR_BOOL, 0);
    rejection->slot = rxn__kir_local(b, "slot", KIR_I32, 0);
    rejection->slot_of = rxn__kir_local(b, "slot_of", KIR_I32, reactions + !reactions);
    rejection->slot_of_group = rxn__kir_local(b, "slot_of_group", KIR_I32, groups);
    rejection->holder = rxn__kir_local(b, "holder", KIR_I32, rejection->node_count / 2);
    rejection->top_holder = rxn__kir_local(b, "top_holder", KIR_I32, 1u << rejection->top_depth);
    static const char *const names[STATE_WORDS] = {"root", "used", "free", "stale"};
    static const char *const top_names[STATE_STALE] = {"top_root", "top_used", "top_free"};
    for (u32 k = 0; k < STATE_WORDS; k++)
        rejection->state[k] = rxn__kir_local(b, names[k], KIR_I32, groups);
    for (u32 k = 0; k < STATE_STALE; k++)
        rejection->top_state[k] = rxn__kir_local(b, top_names[k], KIR_I32, 0);
}

void
rxn__ssa_sparse_set(Rejection *rejection, const SsaBound *bound, SsaSlot known, KirValue value)
{
    KirBuilder *b = rejection->builder;
    KirValue there = kir_ne(b, value, zero(rejection));
    sparse_bound_set(rejection, bound, rejection->simple ? known : SLOT_ANY, there, value);
    sparse_top_set(rejection, bound->group, SLOT_KEEP,
                   rxn__kir_get(b, rejection->high, bound->group));
}

void
rxn__ssa_sparse_outer(Rejection *rejection, KirValue group, SsaSlot known, KirValue outer,
                      SsaBoundValue *value_of)
{
    KirBuilder *b = rejection->builder;
    if (known == SLOT_TAKE) {
        Tree tree = rxn__ssa_group_tree(rejection, group);
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
    return kir_gt(b, rxn__kir_get(b, rejection->high, bound->group), zero(rejection));
}

KirValue
rxn__ssa_sparse_get(Rejection *rejection, const SsaBound *bound)
{
    KirBuilder *b = rejection->builder;
    const Tree tree = {rejection->sum, bound->base, 0, bound->group};
    KirValue slot = rxn__kir_get(b, rejection->slot_of, bound->reaction), one = i32v(rejection, 1);
    KirValue some = kir_max(b, slot, one); /* one slot's leaf is there in any case */
    KirValue value = rxn__ssa_node_get(rejection, &tree, kir_sub(b, kir_add(b, some, some), one));
    return kir_select(b, kir_ge(b, slot, one), value, zero(rejection));
}
