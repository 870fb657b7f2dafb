/* ssa_rejection.h: between ssa_rejection.c and ssa_rejection_build.c. */
#ifndef RXN_METHOD_SSA_REJECTION_H
#define RXN_METHOD_SSA_REJECTION_H

#include "compiler/method/ssa_table_private.h"

/* A bound that reads a species' interval, in `inner`. */
enum {
    INNER_GROUP,
    INNER_BASE, /* where the tree of the group begins */
    INNER_LEAF, /* the bound's node in it */
    INNER_REACTION,
    INNER_WORDS,
};

/* Of a group's bound, in `factor`. */
enum { FACTOR_OUTER, FACTOR_SUM };

typedef struct SsaRejection {
    SsaFrame *frame;
    KirBuilder *builder;
    SsaTable *table;
    u32 group_count;
    u32 top_depth;                             /* levels of the upper tree */
    const i32 *first_of, *group_of, *place_of; /* what group_first, group and place hold */
    bool has_inner; /* some bound reads an interval besides that of its group */

    /* constant buffers */
    u32 group_species; /* group -> its outer species; the number of species: none, its factor is 1 */
    u32 group_first;   /* group -> its first place; [group_count]: the number of reactions */
    u32 reaction;      /* place -> reaction */
    u32 place, group;  /* reaction -> its place, its group */
    u32 own_group;     /* species -> the group whose outer species it is, or -1 */
    u32 inner_start, inner; /* species -> bounds that read its interval; INNER_WORDS each */
    u32 slack;              /* species -> half its interval, at least */

    /* locals */
    u32 low, high; /* intervals of the counts; high[number of species] = 1 */
    u32 sum, top;  /* trees */
    u32 factor;    /* group -> the two factors of its bound */
    u32 node, left;

    TableBounds bounds;
} SsaRejection;

/* Begins the table and makes the constant buffers. NULL, or what is broken. */
const char *rxn__ssa_rejection_begin(SsaRejection *rejection);

/* ssa_rejection.c: the bound of a law. */
KirValue rxn__ssa_rejection_bound(SsaTable *table, KirValue reaction);

#endif
