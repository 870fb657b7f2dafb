/* ssa_batch_draw.h: random numbers that are not uniform, as values of a kernel: how many trials until something happens, how
 * long many events take, how many of them are of a kind.
 *
 * All are f64 and come from the trajectory's own Philox counter: block number `next`, which counts them. They loop until they
 * accept, so a trajectory takes as many blocks as it needs and no other is told.
 */
#ifndef RXN_METHOD_SSA_BATCH_DRAW_H
#define RXN_METHOD_SSA_BATCH_DRAW_H

#include "compiler/method/ssa.h"

typedef struct BatchDraws {
    SsaFrame *frame;       /* its builder and its seed are read, and constants added to it */
    u32 next;              /* u64 local: the number of the next block */
    u32 drawn, term, left; /* f64 locals */
    u32 stirling;          /* constants */
} BatchDraws;

void rxn__batch_draws_begin(BatchDraws *draws, SsaFrame *frame);

/* u in (0, 1), v in [0, 1), of the next block. */
void rxn__batch_uniforms(BatchDraws *draws, KirValue *ret_u, KirValue *ret_v);

/* Failures before the first success of probability p: in 0, 1, …; +inf where p is 0. */
KirValue rxn__batch_geometric(BatchDraws *draws, KirValue p);

/* The sum of `shape` >= 1 exponential times of mean 1. */
KirValue rxn__batch_gamma(BatchDraws *draws, KirValue shape);

/* Successes among n trials (a whole number, at most 2^30) of probability p. */
KirValue rxn__batch_binomial(BatchDraws *draws, KirValue n, KirValue p);

/* log P(k) - log P(mode) of that number, with odds = p / (1 - p). */
KirValue rxn__batch_binomial_ratio(BatchDraws *draws, KirValue n, KirValue odds, KirValue mode,
                                   KirValue k);

#endif
