/* sample_gradient.h: from the rows of a gradient kernel to one derivative, where every trajectory has inputs of its own
 * (a row of data): the loss is a mean over rows and trajectories.
 *
 * As in gradient.h, c_il = (F_i - b_i) S_il + D_il is what a trajectory says of the derivative of E[F_i] by leaf l, and
 * c_l = Σ_i w_i c_il of that of the loss Σ_i w_i E[F_i] (or the kernel gives c_l itself). From leaves to parameters:
 *
 *   - a leaf that is a parameter adds its c_l;
 *   - leaves first … first + E - 1 that are elements of sums over inputs, h[e] = Σ_b W[e,b] u[b], u[b] = f_b x[b], add
 *     c_e f_e u[b] to W[e,b]: an outer product for each row, summed over a block of rows as a product of matrices.
 *     Inputs that are 0 are left out of it (most of an image is black), wherever c is finite;
 *   - any others are left to functions of the caller.
 *
 * Units. The trajectories of one row are not independent, so what is summed up before anything is squared is a unit: the
 * `repeats` trajectories of a row. With T_s the sum of the gradients of n_s units, n units in all, and ḡ = Σ T_s / n, the
 * variance of the mean is estimated by
 *
 *     E|ḡ - E ḡ|²  ≈  (Σ_s |T_s|² / n_s - n |ḡ|²) / ((S - 1) n)
 *
 * over S sub-batches of neighbouring units, which is unbiased for independent units. Where each parameter is behind one
 * leaf or one outer product, sub-batches are single units (S = n), since |c uᵀ|² = |c|² |u|²; else there are
 * RXN_SAMPLE_PARTS of them. Who wants to know how gradients differ from row to row asks for groups: sub-batches are then
 * these, and their sums are kept.
 *
 * Rows come in order and blocks are of fixed places, so that the bits do not depend on threads, and not on the processor's
 * vectors either: no product is fused with a sum.
 */
#ifndef RXN_RUNTIME_SAMPLE_GRADIENT_H
#define RXN_RUNTIME_SAMPLE_GRADIENT_H

#include "runtime/gradient.h"

enum { RXN_SAMPLE_PARTS = 8 };

/* Leaves that are sums over inputs. */
typedef struct RxnSampleProduct {
    uint32_t first, elements;     /* leaves */
    const double *element_factor; /* [elements]: f_e; NULL: 1 */
    uint32_t terms;
    const uint32_t
        *input; /* [terms]: x[b] is input input[b] of the row; NULL: the caller's (spec.terms) */
    const double *term_factor; /* [terms]: f_b; NULL: 1 */
    /* The parameter of W[e,b] is number element_place[e] + term_place[b], modulo 2^32. */
    const uint32_t *element_place, *term_place;
} RxnSampleProduct;

typedef struct RxnSampleSpec {
    RxnGradientLayout layout; /* neither has_control nor one_leaf; neither S nor D: values alone */
    const double *
        weights; /* [functionals]: w; looked at when rows come. With by_output the row's D of output 0 counts */
    uint32_t inputs;        /* of a row */
    uint32_t parameters;    /* that there are */
    const uint32_t *wanted; /* [wanted_count]: the parameters to differentiate by, distinct */
    uint32_t wanted_count;
    const uint32_t *leaf_parameter; /* [leaves]; UINT32_MAX: it is none itself */
    const RxnSampleProduct *products;
    uint32_t product_count;
    /* u[b], before its factor, of a product without `input`. */
    void (*terms)(void *context, uint32_t product, const double *inputs, double *ret_terms);
    /* Or NULL: adds to the gradient what the leaves have beside; of one unit with its inputs, and of the sum of a
     * sub-batch, where inputs are NULL. */
    void (*others)(void *context, const double *inputs, const double *leaves, double *gradient);
    void *context;
} RxnSampleSpec;

typedef struct RxnSampleGradientResult {
    uint64_t units, trajectories;
    const double *values;      /* [units][functionals]: means over the unit's trajectories */
    const double *gradient;    /* [wanted_count]; NULL where there is none */
    double norm2_noise;        /* NaN with fewer than two sub-batches */
    uint64_t groups;           /* 0: none were asked for */
    const double *group_sums;  /* [groups][wanted_count]: of the gradients of the group's units */
    const double *diagnostics; /* of all trajectories */
    uint64_t
        not_finite; /* the first trajectory with a value or a derivative that is not finite; UINT64_MAX: none */
} RxnSampleGradientResult;

typedef struct RxnSampleGradient RxnSampleGradient;

/* What the spec points at has to outlive it. NULL: out of memory. */
RxnSampleGradient *rxn__sample_gradient_new(const RxnSampleSpec *spec);

/* Where a group of so many ends among the units: at the first of the next. */
uint64_t rxn__sample_group_end(uint64_t units, uint64_t groups, uint64_t group);

/* From the next beginning on: so many groups of neighbouring units, at most as many as there are; 0: none. */
void rxn__sample_gradient_group(RxnSampleGradient *gradient, uint64_t groups);

/* Begins anew: `units` times `repeats` trajectories will come. False: out of memory. */
bool rxn__sample_gradient_begin(RxnSampleGradient *gradient, uint64_t units, uint64_t repeats);

/* inputs[k * spec.inputs …] are those of trajectory first + k, for the next `count` that come (a piece). Scores are centred
 * within a piece. */
void rxn__sample_gradient_inputs(RxnSampleGradient *gradient, uint64_t first, uint64_t count,
                                 const double *inputs);

/* As RxnEnsemble.rows. */
bool rxn__sample_gradient_take(void *gradient, uint64_t first, uint64_t count, const double *rows,
                               const uint64_t *events);

/* After all rows. The result lives until the next beginning. */
const RxnSampleGradientResult *rxn__sample_gradient_finish(RxnSampleGradient *gradient);

void rxn__sample_gradient_free(RxnSampleGradient *gradient); /* may be NULL */

#endif
