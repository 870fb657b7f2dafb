/* reduce.h: from the samples of many trajectories to means and variances.
 *
 * A chunk of trajectories is summed up in trajectory order, then chunks are merged in order: the result
 * does not depend on which thread was faster.
 */
#ifndef RXN_RUNTIME_REDUCE_H
#define RXN_RUNTIME_REDUCE_H

#include <stddef.h>
#include <stdint.h>

/* Per cell (one observable at one sample time): the mean and the sum of squared differences from it,
 * of `count` trajectories. */
typedef struct Moments {
    uint64_t count;
    double *mean, *m2; /* [cells] */
} Moments;

/* Of `rows` >= 1 rows of `cells` doubles each. Exact for counts up to the rounding of one division
 * each; a cell that is the same in all rows, and finite, has a variance of exactly zero. Where a value is infinite the mean is
 * so too (NaN where both signs are there), and m2 is NaN, as numpy's mean and var have it. */
void rxn__moments_of_rows(Moments *moments, size_t cells, uint64_t rows, const double *samples);

/* Adds the chunk `other` (T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise
 * algorithm for computing sample variances", COMPSTAT 1982, eq. 2.1). */
void rxn__moments_merge(Moments *moments, size_t cells, const Moments *other);

#endif
