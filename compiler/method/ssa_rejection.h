/* ssa_rejection.h: between the files of the rejection method. */
#ifndef RXN_METHOD_SSA_REJECTION_H
#define RXN_METHOD_SSA_REJECTION_H

#include "compiler/method/ssa_table_private.h"

/* A bound that reads a species' interval, in `inner`. */
enum {
    INNER_GROUP,
    INNER_BASE, /* where the tree of the group begins */
    INNER_NODE, /* full: the bound's node in it; sparse: 0 */
    INNER_REACTION,
    INNER_WORDS,
};

/* A group, in `of_group`. One more follows, of which there is GROUP_FIRST alone. */
enum {
    GROUP_BASE,    /* where its tree begins in `sum` */
    GROUP_LEAVES,  /* of how many leaves it is, or, sparse, could be */
    GROUP_FIRST,   /* its first place */
    GROUP_SPECIES, /* its outer species; the number of species: none, its factor is 1 */
    GROUP_WORDS,
};

/* A species, in `of_species`. */
enum {
    SPECIES_SLACK,     /* half its interval, at least */
    SPECIES_GROUP,     /* whose outer species it is, or -1 */
    SPECIES_INNER,     /* the bounds that read its interval: the first in `inner`, */
    SPECIES_INNER_END, /* and where they end */
    SPECIES_WORDS,
};

/* Of a group's bound, in `factor`. */
enum { FACTOR_OUTER, FACTOR_SUM };

/* Of a sparse tree, in `state`. Slots and reactions are counted from 1. */
enum {
    STATE_ROOT,  /* the lowest node above all slots; 0: nobody asked for the tree's bounds yet */
    STATE_USED,  /* how many slots are in use or have been */
    STATE_FREE,  /* the first free one of those; 0: none */
    STATE_STALE, /* the first reaction whose bound is stale; 0: none */
    STATE_WORDS,
};

typedef struct SsaRejection {
    SsaFrame *frame;
    KirBuilder *builder;
    SsaTable *table;
    u32 group_count; /* sparse: of all species, and of none */
    bool sparse;     /* the kind of trees, full where it is not set: see ssa_rejection_trees.c */
    bool
        simple; /* at most two reactants, not of one kind: bounds are constants times one interval */
    bool has_inner; /* some bound reads an interval besides that of its group */
    u32 top_depth;  /* levels of the upper tree */
    u32 node_count; /* of all groups' trees */

    /* what the constant buffers hold */
    const i32 *rows_of_group, *group_of, *place_of;
    const i32 *own_group; /* species -> the group whose outer species it is, or -1 */

    /* constant buffers */
    u32 of_group;     /* group -> GROUP_WORDS */
    u32 group_first;  /* full trees: GROUP_FIRST alone, of which more stay in the cache */
    u32 of_species;   /* species -> SPECIES_WORDS */
    u32 inner;        /* bounds that read the interval of a species; INNER_WORDS each */
    u32 reaction;     /* place -> reaction */
    u32 place, group; /* reaction -> its place, its group */

    /* locals */
    u32 high; /* the upper ends of the counts' intervals, and 1; behind them the lower ends, negated */
    u32 sum, top; /* trees */
    u32 node, left;

    /* locals of full trees */
    u32 factor; /* group -> the two factors of its bound */

    /* locals of sparse trees */
    u32 group_sum; /* group -> the sum of its tree */
    u32 total;     /* of all groups */
    u32 moved; /* whether a group's leaf of the upper tree has a new value since the total was made */
    u32 size;                   /* of `node` */
    u32 slot;                   /* the one in hand */
    u32 slot_of;                /* reaction -> its slot; 0: none; below 0: it is stale */
    u32 slot_of_group;          /* group -> its slot */
    u32 holder;                 /* slot -> reaction; below 0: it is free; 0: it never was in use */
    u32 top_holder;             /* slot -> group */
    u32 state[STATE_WORDS];     /* of each group */
    u32 top_state[STATE_WORDS]; /* of the upper tree, in which nothing is stale */

    TableBounds bounds;
} SsaRejection;

static inline KirValue
i32v(SsaRejection *rejection, i64 value)
{
    return rxn__kir_const(rejection->builder, KIR_I32, (double)value);
}

/* Begins the table and makes the constant buffers. NULL, or what is broken. */
const char *rxn__ssa_rejection_begin(SsaRejection *rejection);

/* ssa_rejection.c: a number of a row of `of_group`; the bound of a law. */
KirValue rxn__ssa_group_word(SsaRejection *rejection, KirValue group, u32 word);
KirValue rxn__ssa_rejection_bound(SsaTable *table, KirValue reaction);

/* ---- ssa_rejection_trees.c ---------------------------------------------------------------------- */

/* A bound in its group, by the words of `inner`. */
typedef struct SsaBound {
    KirValue group, base, node, reaction;
} SsaBound;

/* What a reaction's bound without the outer factor is now. */
typedef KirValue SsaBoundValue(SsaRejection *rejection, KirValue reaction);

void rxn__ssa_trees_declare(SsaRejection *rejection);

/* Everything anew, from the intervals. */
void rxn__ssa_trees_rebuild(SsaRejection *rejection, SsaBoundValue *value_of);

/* The sum of all bounds: once an event, after what changed. */
KirValue rxn__ssa_trees_total(SsaRejection *rejection);

/* The reaction where the threshold ends up, and what is left of it in its bound: +inf where rounding has led it to none. */
KirValue rxn__ssa_trees_find(SsaRejection *rejection, KirValue threshold, KirValue *ret_rest);

SsaBound rxn__ssa_trees_bound(SsaRejection *rejection, KirValue reaction);
KirValue rxn__ssa_trees_get(SsaRejection *rejection, KirValue reaction);

/* What is known, of sparse trees, about the slot of what has a new value: nothing; that it has none and will have one, since what was not
 * there is there; that it has one; or that it will have none. */
typedef enum SsaSlot { SLOT_ANY, SLOT_TAKE, SLOT_KEEP, SLOT_GIVE } SsaSlot;

/* A new value of a bound in a group whose outer species is there, up to the total. */
void rxn__ssa_trees_set(SsaRejection *rejection, const SsaBound *bound, SsaSlot known,
                        KirValue value);

/* A new outer factor, up to the total; the interval is there. */
void rxn__ssa_trees_outer(SsaRejection *rejection, KirValue group, SsaSlot known, KirValue outer,
                          SsaBoundValue *value_of);

/* Sparse: whether anybody ever asked for a group's bounds; if so, whether they matter. Where they do not, a new value is put off. */
KirValue rxn__ssa_trees_asked(SsaRejection *rejection, const SsaBound *bound);
KirValue rxn__ssa_trees_wants(SsaRejection *rejection, const SsaBound *bound);
void rxn__ssa_trees_put_off(SsaRejection *rejection, const SsaBound *bound);

#endif
