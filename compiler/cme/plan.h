/* plan.h: between plan.c, which makes of an objective what has to be carried along and read when, and
 * gradient.c, which does it.
 */
#ifndef RXN_CME_PLAN_H
#define RXN_CME_PLAN_H

#include "compiler/cme/private.h"

/* What is carried along, a tree whose root is the distribution itself:
 *
 *   MULTIPLY  f ∘ (the parent at the start): from there E[f(x(start)) …; x(t)]
 *   CARRY     from zero at the start; until feed_end it takes up f ∘ parent: E[∫ f dt …; x(t)]
 *   ABSORB    the distribution of those for whom a condition has never held */
typedef enum NodeKind { NODE_ROOT, NODE_MULTIPLY, NODE_CARRY, NODE_ABSORB } NodeKind;

typedef struct Node {
    NodeKind kind;
    u32 parent;
    Expr value; /* f, or 1 where the condition holds */
    double start, feed_end;
    double end;   /* after this it is not needed */
    double bound; /* the largest it can be relative to the distribution, as far as is seen */
    CmeChain *chain;
} Node;

/* Σ f · node, at a time or integrated over a span. */
typedef struct Read {
    u32 node;
    Expr value;
    bool integral;
    double from, to; /* the time: both the same */
    double *result;  /* [width]: the number, then its derivatives */
    double *error;   /* [width] */
} Read;

/* coefficient * read, or coefficient alone, is a part of a functional. */
typedef struct PlanTerm {
    u32 functional;
    Expr coefficient;
    u32 read; /* number + 1; 0: none */
} PlanTerm;

typedef struct Plan {
    const Objective *objective;
    VEC(Node) nodes;
    VEC(Read) reads;
    VEC(PlanTerm) terms;
    double *times; /* of everything in it, increasing, distinct; the first is 0 */
    u32 time_count;
} Plan;

void rxn__cme_plan(Cme *cme, const Objective *objective, Plan *ret_plan);

#endif
