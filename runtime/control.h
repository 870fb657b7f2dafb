/* control.h: fits control variates: from a pilot ensemble to the weights of martingales.
 *
 * For features phi_f of the state, W_f(t) = phi_f(x(t)) - integral of L phi_f (L the generator) is a
 * martingale, and so is every M = sum over bins of beta_bf (W_f(end of bin) - W_f(start)), whatever the
 * numbers beta. Where sum_f beta_bf phi_f is close to V(x, t) = E[F | x(t) = x] in each bin (up to a
 * constant), F - M varies little. The numbers come from a pilot ensemble that shares nothing with the main
 * one, so that the mean of M there stays zero exactly.
 *
 * The fit goes backward in time. R = F minus what M has collected in the later bins has the mean V given
 * the state at either end of a bin, and little noise: most of the noise of F was of the later bins and is
 * gone. beta is the mean of the least-squares slopes of R on the features at the two ends (that is, to second
 * order, the slope in the middle). Regression on basis functions, backward: F. A. Longstaff, E. S.
 * Schwartz, Rev. Financ. Stud. 14 (2001) 113; martingales made so: D. Belomestny, C. Bender, J.
 * Schoenmakers, Math. Finance 19 (2009) 53.
 */
#ifndef RXN_RUNTIME_CONTROL_H
#define RXN_RUNTIME_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RXN_MAX_GRADES = 5 };

/* What the pilot ensemble gave. At a row's time: [row][feature][trajectory]. */
typedef struct RxnPilot {
    uint32_t trajectories, rows, features;
    const double *feature;    /* phi_f */
    const double *martingale; /* W_f, up to a constant */
    /* Features come in grades (degrees), lower ones first; grade_end[g] features are in the first g + 1. */
    uint32_t grades;
    uint32_t grade_end[RXN_MAX_GRADES];
    uint32_t edges;
    const uint32_t *edge; /* rows at which bins begin, increasing; the first is row 0 */
} RxnPilot;

/* What is to be controlled. */
typedef struct RxnTarget {
    const double *value; /* [trajectory] */
    uint32_t last;       /* the row from which on it does not change any more */
    /* [row][trajectory]: what of it is settled just before that time, and by then; the guess of what is
     * not settled, the same for all trajectories, may be in it. NULL: nothing is. */
    const double *known_before, *known;
} RxnTarget;

typedef struct RxnControlFit {
    uint32_t grade; /* how many grades are used; 0: none helped, and all weights are zero */
    double
        gain; /* variance without over variance with, on trajectories that the fit had not seen */
} RxnControlFit;

typedef struct RxnControl RxnControl;

/* NULL: out of memory. The pilot has to outlive it. */
RxnControl *rxn__control_new(const RxnPilot *pilot);

/* Weights so that M = sum over edges b, features f of weight[b][f] W_f(edge b)
 *                     + sum over f of weight[edges][f] W_f(last).
 * How many grades are used is decided on half of the pilot, fitted on the other. False: out of memory. */
bool rxn__control_fit(RxnControl *control, const RxnTarget *target, double *ret_weight,
                      RxnControlFit *ret_fit);

void rxn__control_free(RxnControl *control);

/* ---- Least squares (least_squares.c) ----------------------------------------------------------- */

/* Householder QR with column pivoting of the centred and scaled columns of a matrix; columns that are
 * constant, or combinations of others up to rounding, get no part. G. H. Golub, C. F. Van Loan, "Matrix
 * Computations", 4th ed., section 5.4.2. */
typedef struct RxnFactor {
    uint32_t rows, columns, rank;
    double *vectors;  /* [rank][rows]: Householder vectors, of the norm sqrt(2) */
    double *triangle; /* [rank][rank], row-major */
    double *scale;    /* [columns]: norm of the centred column */
    uint32_t *pivot;  /* [columns]: the first `rank` are in use */
} RxnFactor;

/* column(j) = matrix + j * stride. False: out of memory. */
bool rxn__factor(const double *matrix, size_t stride, uint32_t rows, uint32_t columns,
                 RxnFactor *ret_factor);

/* Slopes of the least-squares fit of y by the columns and a constant; 0 for columns without a part.
 * scratch: [rows]. */
void rxn__factor_solve(const RxnFactor *factor, const double *y, double *scratch,
                       double *ret_slopes);

void rxn__factor_free(RxnFactor *factor);

#endif
