/* fit_loop.h: the loop of a fit: it asks an optimizer where to look, has loss and gradient evaluated there, tells, and
 * keeps all that decides what comes next, so that a fit that was killed goes on to the same bits.
 *
 * What is evaluated is the caller's: a sum over experiments of a simulated ensemble's losses, in `rxn fit`. Parameters
 * are turned into coordinates (RxnScale) and gradients with them, by the chain rule.
 *
 * Random numbers: every evaluation gets a seed of its own, by the fit's seed, a purpose and a number, so that no two
 * share anything; with common noise the number is always 0, and every step sees the same trajectories as far as
 * its parameters let it.
 *
 * Trajectories grow: over windows of 10 steps the estimated variances of the gradient, summed over the coordinates,
 * are compared with its squared norm (less that variance, which is in it). Where noise is the larger of the two, the
 * number is doubled, up to the most (the norm test of R. H. Byrd, G. M. Chin, J. Nocedal, Y. Wu, Math. Program. 134
 * (2012) 127, eq. 3.3, with theta = 1).
 *
 * Multi-start: from each of several points (the caller's own first, the others drawn between the bounds on the
 * parameter's scale) a tenth of the steps, at least 10; the one with the least mean loss over the last fifth of these
 * goes on, with all steps.
 */
#ifndef RXN_RUNTIME_FIT_LOOP_H
#define RXN_RUNTIME_FIT_LOOP_H

#include "runtime/gauss_newton.h"
#include "runtime/optimizer.h"
#include "runtime/rxn.h"

/* ---- seeds ------------------------------------------------------------------------------------- */

typedef enum RxnFitPurpose {
    RXN_FIT_STEP,
    RXN_FIT_VALIDATION,
    RXN_FIT_ERRORS,     /* of standard errors, after the fit */
    RXN_FIT_EXPERIMENT, /* from an evaluation's seed to that of one of its experiments */
    RXN_FIT_SHUFFLE,
    RXN_FIT_START, /* points of multi-start */
    RXN_FIT_PILOT, /* of control variates */
} RxnFitPurpose;

/* The first two words of the Philox4x32 block with the key `seed` and the counter (number, 4 << 16 | purpose,
 * number >> 32, 0): stream 4, which no kernel uses. */
uint64_t rxn__fit_seed(uint64_t seed, RxnFitPurpose purpose, uint64_t number);

/* The rows of a step: `count` numbers below `rows`, those from place step * count on in a sequence that has all rows once
 * (an epoch), shuffled, and again, shuffled otherwise. scratch: [rows]; it and *epoch (UINT64_MAX at first) are kept
 * between calls. */
void rxn__fit_batch(uint64_t seed, uint64_t rows, uint64_t step, uint64_t count, uint64_t *scratch,
                    uint64_t *epoch, uint64_t *ret_rows);

/* ---- what is fitted ---------------------------------------------------------------------------- */

typedef struct RxnFitQuery {
    const double *parameters; /* [count] */
    uint64_t seed;
    uint64_t step;         /* in its fit: which batch */
    uint64_t trajectories; /* of each experiment, or of each sample */
    bool curvature;        /* the Gauss–Newton matrix is wanted */
    bool trial;            /* of a short fit of multi-start, which may come to nothing */
} RxnFitQuery;

typedef struct RxnFitEvaluation {
    double loss, loss_se;
    const double *gradient;    /* [count] by the parameters */
    const double *gradient_se; /* [count]; NULL: only this is known: */
    double noise2;             /* sum of squared errors of the gradient's elements */
    const double *curvature;   /* [count][count] */
    uint64_t trajectories, events;
} RxnFitEvaluation;

typedef enum RxnFitAnswer {
    RXN_FIT_DONE,
    RXN_FIT_CANCELLED,
    RXN_FIT_UNUSABLE, /* nothing can be simulated there: the end of a trial, and of nothing else */
    RXN_FIT_FAILED,   /* whoever evaluates has said why */
} RxnFitAnswer;

typedef struct RxnFitProblem {
    void *context;
    size_t count;           /* parameters */
    const double *start;    /* [count] */
    const RxnScale *scales; /* [count] */
    RxnFitAnswer (*evaluate)(void *context, const RxnFitQuery *query, RxnFitEvaluation *ret);
    /* Or NULL: something that is learned at a point and serves for steps after it (control variates). A function
     * of the query alone. */
    RxnFitAnswer (*refresh)(void *context, const RxnFitQuery *query);
    /* Or NULL: the loss of what is not trained on. */
    RxnFitAnswer (*validate)(void *context, const RxnFitQuery *query, double *ret_loss);
} RxnFitProblem;

/* ---- the loop ---------------------------------------------------------------------------------- */

/* One evaluation, for history and progress. Doubles, to be saved as they are. */
typedef struct RxnFitRecord {
    double
        start; /* of multi-start: 0 …; the fit that goes on has the number of the point it goes on from */
    double main; /* 1: that one */
    double step; /* 0 … in its fit */
    double loss, loss_se;
    double norm, noise; /* of the gradient by coordinates, and of its error */
    double rate, trajectories, events, validation; /* NaN: was not asked for */
    double seconds; /* since the fit began, all of its sessions together */
} RxnFitRecord;

typedef struct RxnFitLoopOptions {
    bool newton; /* gauss_newton instead of optimizer */
    RxnOptimizerOptions optimizer;
    RxnGaussNewtonOptions gauss_newton;
    uint64_t steps;
    uint64_t seed;
    bool common_noise;
    uint64_t trajectories, most_trajectories;
    uint64_t refresh;        /* steps from one refresh to the next, at most */
    double refresh_distance; /* sooner, where a coordinate has changed by more */
    uint64_t validate;       /* steps from one validation to the next */
    double
        tolerance; /* 0: none. Ends where the mean loss of the last `window` steps is not lower than that of
                          * the `window` before by this part */
    uint64_t window;   /* of tolerance */
    uint64_t patience; /* 0: none. Ends after so many validations (or losses) without a new best */
    uint64_t
        average; /* the result is the mean of the coordinates over so many last steps; 0: none */
    uint64_t starts;        /* at least 1 */
    const char *checkpoint; /* or NULL */
    const char *key;
    double checkpoint_seconds; /* between two */
    uint64_t checkpoint_steps; /* likewise, or 0 */
    const volatile int *cancel;
    void (*report)(void *context, const RxnFitRecord *record); /* or NULL */
    void *report_context;
} RxnFitLoopOptions;

typedef struct RxnFitLoop RxnFitLoop;

/* Why such a fit cannot be, in words; NULL: it can. */
const char *rxn__fit_refuses(const RxnFitProblem *problem, const RxnFitLoopOptions *options);

/* What both point to has to outlive it. NULL: out of memory, or refused. */
RxnFitLoop *rxn__fit_new(const RxnFitProblem *problem, const RxnFitLoopOptions *options);
void rxn__fit_free(RxnFitLoop *fit); /* may be NULL */

/* Puts the fit where the checkpoint left it; its key has been compared. False, with the reason: the fit is then of no use,
 * for the checkpoint's numbers are not those of such a fit. */
struct RxnCheckpoint;
bool rxn__fit_restore(RxnFitLoop *fit, const struct RxnCheckpoint *checkpoint, char *error,
                      size_t error_size);

/* Goes on to the end, whichever it is, and leaves a checkpoint where one is wanted. */
RxnFitEnding rxn__fit_run(RxnFitLoop *fit);

typedef struct RxnFitState {
    RxnFitEnding ending;
    char why[512];            /* of the ending, in words; "" where the ending says it all */
    const double *parameters; /* [count]: the result, or the last good point */
    const double *coordinates;
    uint64_t averaged;     /* evaluations that the result is the mean of; 0: it is of one */
    bool by_validation;    /* the result is the point with the best validation */
    uint64_t step, steps;  /* evaluations of the fit that went on: done, and to be done */
    uint64_t trajectories; /* of a step now */
    uint64_t best_start;   /* of multi-start */
    bool main;             /* multi-start has chosen */
    uint64_t record_count;
    const RxnFitRecord *records;
    double total_trajectories, total_events, seconds;
    const double *failed_at; /* parameters at which it went wrong; NULL: it did not */
} RxnFitState;

/* Until the next call of run. */
void rxn__fit_state(RxnFitLoop *fit, RxnFitState *ret_state);

#endif
