/* cme: the chemical master equation: the exact distribution of a network, and exact sensitivities.
 *
 * Nothing is sampled. P(x, t) of all states x that hold probability is integrated on a truncated state
 * space, the finite state projection (B. Munsky, M. Khammash, J. Chem. Phys. 124 (2006) 044104): what
 * leaves the truncated space is lost, and how much it was is known, since every P(x, t) computed is at
 * most the true one and their sum falls short of 1 by just that. The space grows where probability
 * leaks until the mass lost by the last time is below the tolerance. So this is the oracle of all
 * methods and estimators, for models with up to some million states.
 *
 * Taken are all events (`at`, `every`, `when`), rates that jump or glide in time, and every parameter as
 * a direction of differentiation, where the result has a derivative. What is not taken is refused with
 * a reason in words for the user.
 */
#ifndef RXN_CME_H
#define RXN_CME_H

#include "compiler/base/base.h"
#include "compiler/network/network.h"
#include "compiler/network/objective.h"

typedef struct CmeOptions {
    double tolerance;           /* most probability lost by the last time; 0: 1e-10 */
    u64 state_limit;            /* most states; 0: 2,000,000 */
    u64 memory_limit;           /* most bytes; 0: 2 GiB */
    double work_limit;          /* most multiplications; 0: 1e13, some hours */
    const volatile int *cancel; /* or NULL; once it is not 0 the call ends soon */
    /* Or NULL: told now and then how much of `total` steps of time is done. */
    void (*progress)(void *context, u64 done, u64 total);
    void *progress_context;
} CmeOptions;

/* The model's values, by flat number, as rxn__expr_evaluate takes them. */
typedef struct CmeModel {
    Network *network; /* after its passes; derivatives add expressions to it */
    const double *params, *inputs;
} CmeModel;

typedef struct CmeCost {
    u64 states, transitions; /* of the truncated space at the end */
    u64 products;            /* of the generator with the vectors */
} CmeCost;

/* Mean and variance of each column of the observables at each time. */
typedef struct CmeMoments {
    double *mean, *variance; /* [times][network->column_count] */
    double lost; /* probability not accounted for at the last time: at most the tolerance */
    CmeCost cost;
} CmeMoments;

/* times: increasing, >= 0. RXN_ERROR_INPUT: *ret_reason says what stands in the way. RXN_CANCELLED. The
 * results live in the arena; what was needed on the way is given back. */
RxnStatus rxn__cme_moments(const CmeModel *model, const double *times, u32 count,
                           const CmeOptions *options, Arena *arena, CmeMoments *ret_moments,
                           const char **ret_reason);

/* Values of an objective's outputs and their derivatives with respect to params. The errors are the mass
 * lost (of a derivative: the absolute mass of the sensitivities that was lost) times the largest value
 * that the function takes on the truncated space: bounds where it grows no further outside. */
typedef struct CmeGradient {
    double *value, *value_error;       /* [outputs] */
    double *gradient, *gradient_error; /* [outputs][count] */
    double lost;
    CmeCost cost;
} CmeGradient;

/* wrt: flat params, `count` of them (0: values alone); each costs one more vector. Taken are functions of
 * the state at one time, products of such at several times, integrals over a span where they enter
 * linearly, and passage times where they enter linearly, with sums and multiples of all these. */
RxnStatus rxn__cme_gradient(const CmeModel *model, const Objective *objective, const u32 *wrt,
                            u32 count, const CmeOptions *options, Arena *arena,
                            CmeGradient *ret_gradient, const char **ret_reason);

#endif
