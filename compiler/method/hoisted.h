/* hoisted.h: hoisted values where every trajectory has inputs of its own (Objective.sampled).
 *
 * What depends on parameters alone is computed in the launch region of the kernel that uses it. What depends on inputs is
 * computed before, by a kernel of its own, once for each row of the data: trajectory i of it writes all elements of all
 * such values, in order of their numbers, row-major, into row i of `sample`. The main kernels read them from the buffer
 *
 *     hoisted    f64[columns]    per trajectory, read
 *
 * and `input` too is then a buffer per trajectory.
 *
 * A sum over hundreds of inputs for each of hundreds of elements is a matrix times a vector, and one over the rows of
 * a batch a product of matrices. Trajectories are in lanes, and all go in step: a lane's inputs are a local array, so that the
 * innermost loop is a weight for all lanes times a vector of inputs, and four elements share each of these.
 */
#ifndef RXN_METHOD_HOISTED_H
#define RXN_METHOD_HOISTED_H

#include "compiler/method/gradient.h"

/* The network's hoisted values that come with the trajectories. */
typedef struct SampledHoisted {
    u32 columns;
    u32 *first; /* [hoisted]: its first column; UINT32_MAX: it depends on parameters alone */
} SampledHoisted;

/* None where the objective is not sampled. */
SampledHoisted rxn__hoisted_sampled(const Network *network, Arena *arena);

/* Its kernel computes them; the row is not that of an estimator: `columns` numbers. For networks that have such values. */
extern const Estimator rxn__estimator_hoisted;

#endif
