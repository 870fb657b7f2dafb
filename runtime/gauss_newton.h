/* gauss_newton.h: steps down a loss by its gradient g and its Gauss–Newton matrix H, for some tens of parameters.
 *
 * A step is d = -(H + damping diag H)⁻¹ g (Levenberg; Marquardt's scaling), shortened so that no coordinate changes by
 * more than a radius. How it is judged depends on the noise:
 *
 *   smooth   The same random numbers are behind every evaluation, or none. A step counts where the loss falls; the
 *            damping follows the ratio of the decrease to that which was predicted (H. B. Nielsen, "Damping
 *            parameter in Marquardt's method", IMM-REP-1999-05, eq. 2.4).
 *   noisy    Every evaluation has random numbers of its own. Far from the minimum a step counts unless the loss
 *            rose by more than its noise explains. Once the loss no longer falls visibly, the Newton decrement gᵀH⁻¹g
 *            is no more than what noise makes of it, and a step has gone too far, steps are d = -k^-power H⁻¹ g, k = 1,
 *            2, … (stochastic approximation: H. Robbins, S. Monro, Ann. Math. Stat. 22 (1951) 400), and the point is
 *            the mean of all points since, later ones weighing more (O. Shamir, T. Zhang, ICML 2013, section 4): its
 *            variance is 4/3 of the least that there is, however the gain falls (B. T. Polyak, A. B. Juditsky, SIAM J.
 *            Control Optim. 30 (1992) 838, theorem 1).
 *
 * It asks and is told, and is saved, as the optimizers of optimizer.h.
 */
#ifndef RXN_RUNTIME_GAUSS_NEWTON_H
#define RXN_RUNTIME_GAUSS_NEWTON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/optimizer.h"

enum { RXN_GAUSS_NEWTON_MOST = 256 }; /* coordinates */

typedef struct RxnGaussNewtonOptions {
    bool noisy;
    double radius;  /* most that a coordinate changes in a step: 1, a factor of e on a log scale */
    double damping; /* at the start: 1e-3 */
    double power;   /* of the gain, between 0.5 and 1: 0.6 */
    double tolerance; /* smooth: ends where no coordinate would change by more: 1e-9 */
} RxnGaussNewtonOptions;

void rxn__gauss_newton_defaults(RxnGaussNewtonOptions *ret_options);

/* Why there is no such optimizer, in words; NULL: there is. */
const char *rxn__gauss_newton_refuses(const RxnGaussNewtonOptions *options, size_t count);

typedef struct RxnGaussNewton RxnGaussNewton;

/* start: [count] coordinates. scales: NULL or [count], for `project`. NULL: out of memory, or refused. */
RxnGaussNewton *rxn__gauss_newton_new(const RxnGaussNewtonOptions *options, size_t count,
                                      const double *start, const RxnScale *scales);
void rxn__gauss_newton_free(RxnGaussNewton *newton); /* may be NULL */

/* Where an evaluation is wanted; NULL: it has ended. */
const double *rxn__gauss_newton_ask(const RxnGaussNewton *newton);

/* The best point so far: the mean, once there is one. ret_averaged: of how many evaluations (as the last one
 * was) a mean with equal weights would have the same variance, 0 before. */
const double *rxn__gauss_newton_point(const RxnGaussNewton *newton, uint64_t *ret_averaged);

/* What was found at the point asked for, by coordinates. gradient_se may be NULL, the noise being unknown: then steps
 * count as in the smooth case while the loss falls. False: it is not finite at the first point; elsewhere a step that
 * leads there was too long. */
typedef struct RxnGaussNewtonFacts {
    double loss, loss_se, weight; /* weight > 0: of the evaluation, in means: its trajectories */
    const double *gradient, *gradient_se; /* [count] */
    const double *curvature;              /* [count][count] */
} RxnGaussNewtonFacts;

bool rxn__gauss_newton_tell(RxnGaussNewton *newton, const RxnGaussNewtonFacts *facts);

/* steps: that counted. */
RxnOptimizerState rxn__gauss_newton_state(const RxnGaussNewton *newton);

size_t rxn__gauss_newton_saved_size(const RxnGaussNewton *newton);
void rxn__gauss_newton_save(const RxnGaussNewton *newton, double *ret_numbers);
bool rxn__gauss_newton_restore(RxnGaussNewton *newton, const double *numbers, size_t count);

#endif
