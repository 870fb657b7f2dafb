/* ssa_classes.h: a choice among many in proportion to bounds that change one at a time (see ssa_classes.c). */
#ifndef RXN_METHOD_SSA_CLASSES_H
#define RXN_METHOD_SSA_CLASSES_H

#include "compiler/method/ssa.h"

typedef struct SsaClasses {
    SsaFrame *frame;
    u32 members;
    KirType bits; /* as wide as real */
    u32 shift;    /* from the bits of a number to its key */
    void *context;
    KirValue (*value_of)(void *context, KirValue member); /* not negative; as it is now */

    /* locals */
    u32 least;    /* uniform: a key; nothing positive is below */
    u32 expected; /* uniform: see rxn__ssa_classes_expect */
    u32 base;     /* key of the first class */
    u32 highest;  /* no class above this has members */
    u32 mass;     /* u64: of all classes, in parts of the octave of the first */
    u32 first;    /* class -> its first place; [classes]: the number of members */
    u32 member;   /* place -> member, in order of classes */
    u32 where;    /* member -> its place and its class */
    u32 place, class, left, most, fewest;
} SsaClasses;

/* The locals. `frame`, `members`, `context` and `value_of` are set. */
void rxn__ssa_classes_declare(SsaClasses *classes);

/* In launch: `value` (real) is the least that a member may have, apart from zero; unless sure, a guess. */
void rxn__ssa_classes_expect(SsaClasses *classes, KirValue value, bool sure);

/* Puts all members where they belong. */
void rxn__ssa_classes_build(SsaClasses *classes);

/* A member has a new value. Where that is too large for the classes there are, sets `jumped` of the frame: they are to be
 * built before the next choice. */
void rxn__ssa_classes_set(SsaClasses *classes, KirValue member, KirValue value);

/* Before a choice: the sum of the bounds. */
KirValue rxn__ssa_classes_total(SsaClasses *classes);

/* The member where the threshold, which is below the total, ends up; what is left of it is in [0, the member's bound), so the
 * member stands if that is below its value. `members`: none, which happens by rounding. */
KirValue rxn__ssa_classes_choose(SsaClasses *classes, KirValue threshold, KirValue *ret_left);

#endif
