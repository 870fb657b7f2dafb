/* ssa_batch.h: between the files of the batch method. */
#ifndef RXN_METHOD_SSA_BATCH_H
#define RXN_METHOD_SSA_BATCH_H

#include "compiler/method/ssa_batch_bounds.h"
#include "compiler/method/ssa_batch_draw.h"

/* What a box costs, its first batch included, over what a further batch does. */
#define BATCH_LENGTH_FACTOR 2.5

/* A held species that changes within the box costs a box, an unsure candidate a batch: their ratio. */
#define BATCH_BOX_COST 1.5

/* A species that changes less often than once in so many boxes is held in any case. */
#define BATCH_RARELY (1.0 / 16)

/* Changes of held species that a box is made for: most of what is beyond the first is wasted. */
#define BATCH_HELD_CHANGES 2.0

typedef struct BatchReaction {
    const Reaction *reaction;
    u32 member;
    Expr propensity;              /* of flat species */
    u32 change_first, change_end; /* in Batch.changes */
    bool guarded; /* its propensity is zero where it would take more than there is */
    bool checked; /* its propensity may be negative or not finite */
} BatchReaction;

typedef struct BatchSpecies {
    double most_taken, most_added; /* by one reaction */
} BatchSpecies;

typedef struct Batch {
    SsaFrame *frame;
    KirBuilder *builder;
    BatchDraws draws;
    BatchBox box;
    bool is_short; /* short boxes even where they do not pay: to compare with */
    u32 reaction_count;
    BatchReaction *reactions; /* [reaction_count] */
    BatchSpecies *species;
    VEC(Change) changes;
    VEC(u32) change_reaction; /* of each change */

    /* constant buffers: reaction -> its changes */
    u32 change_start, change_species, change_delta;

    /* locals: arrays by reaction */
    u32 propensity; /* at the state where it was last evaluated */
    u32 low, gap;   /* in the box: low is sure, low + gap the most it can be */
    u32 share;      /* low over the sum of it and all that follow */
    u32 ends;       /* i32: 1 where it changes a held species */

    /* locals */
    u32 length; /* candidates of the box; as a whole number, f64 */
    u32 left;   /* of them; 0: there is no box */
    u32 rate;   /* of candidates */
    u32 gaps;   /* sum of gap */
    u32 candidates, sure, part, times, span, reached, sum, chosen, unsure, cut;
    u32 fired; /* u64 */
} Batch;

/* Fills in reactions, species, changes and the constant buffers. */
void rxn__batch_plan(Batch *batch);

/* All propensities at the present state, into the array; and faults where one is none. */
void rxn__batch_propensities(Batch *batch);

/* The same as values: their running sums; returns the last. */
KirValue rxn__batch_running_sums(Batch *batch, KirValue *ret_sums);

/* One reaction of them, the one where the threshold is below its running sum. */
void rxn__batch_fire_single(Batch *batch, const KirValue *sums, KirValue threshold);

/* The same decisions in plain numbers, for ssa_batch_choice.c: candidates of a box, with kappa and the probability that one
 * changes a held species; whether a species is held, which changes with probability `change`, and makes unsure with `unsure`
 * for each candidate of the length. */
double rxn__batch_length(double kappa, double ends);
bool rxn__batch_is_held(double change, double unsure, double length);

/* Faults where a count (of species, u32) has left its limits: below 0, or grown (adds: bool) to 2^53 or past it, to which one
 * more than it is rounded. A model may begin with 2^53; what begins there and only falls, or stays, is no fault. */
void rxn__batch_check_count(Batch *batch, KirValue species, KirValue count, KirValue adds);

/* A box of the present state and how many candidates are in it, or left = 0 where single events are faster. */
void rxn__batch_make_box(Batch *batch);

#endif
