/* ssa_batch.h: between the files of the batch method. */
#ifndef RXN_METHOD_SSA_BATCH_H
#define RXN_METHOD_SSA_BATCH_H

#include "compiler/method/ssa_batch_bounds.h"
#include "compiler/method/ssa_batch_draw.h"

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

    /* constant buffers: reaction -> its changes */
    u32 change_start, change_species, change_delta;

    /* locals: arrays by reaction */
    u32 propensity; /* at the state where it was last evaluated */
    u32 low, gap;   /* in the box: low is sure, low + gap the most it can be */
    u32 share;      /* low over the sum of it and all that follow */
    u32 ends;       /* bool: changes a held species */

    /* locals */
    u32 length; /* candidates of the box; as a whole number, f64 */
    u32 left;   /* of them; 0: there is no box */
    u32 rate;   /* of candidates; without a box, of reactions */
    u32 gaps;   /* sum of gap */
    u32 run;    /* single events until a box is looked for */
    u32 candidates, sure, part, span, threshold, stop, sum, chosen, in_box, unsure, cut, stands;
    u32 fired; /* u64 */
} Batch;

/* Fills in reactions, species, changes and the constant buffers. */
void rxn__batch_plan(Batch *batch);

/* All propensities at the present state, and faults where one is none. sums: their sum is the rate. */
void rxn__batch_propensities(Batch *batch, bool sums);

/* With those propensities: a box and how many candidates are in it, or left = 0 where single events are faster. */
void rxn__batch_make_box(Batch *batch);

#endif
