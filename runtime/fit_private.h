/* fit_private.h: what fit_loop.c and fit_state.c share. */
#ifndef RXN_RUNTIME_FIT_PRIVATE_H
#define RXN_RUNTIME_FIT_PRIVATE_H

#include "runtime/fit_loop.h"

/* Counts that decide what comes next, to be saved as they are. */
typedef struct FitCounts {
    uint64_t start; /* of multi-start: which one runs, or, in the main fit, was chosen */
    uint64_t main;  /* 1: the fit that goes on */
    uint64_t step;
    uint64_t trajectories;
    uint64_t window;   /* evaluations in the sums by which trajectories grow */
    uint64_t averaged; /* points in the average */
    uint64_t has_best, since_best;
    uint64_t has_anchor, anchor_step; /* of the last refresh, in this fit */
    uint64_t ending;
} FitCounts;

typedef struct FitSums {
    double window_norm2, window_noise2;
    double best;
    double trajectories, events; /* in all */
    double seconds;              /* of earlier sessions */
} FitSums;

struct RxnFitLoop {
    RxnFitProblem problem;
    RxnFitLoopOptions options;
    size_t n;
    RxnOptimizer *optimizer; /* one of the two */
    RxnGaussNewton *newton;
    FitCounts counts;
    FitSums sums;
    /* [n] */
    double *own_start;   /* coordinates of the caller's start */
    double *origin;      /* coordinates from which this fit began */
    double *average;     /* of coordinates */
    double *best, *good; /* coordinates: of the best validation; of the last finite evaluation */
    double *anchor;      /* parameters of the last refresh */
    double *parameters, *coordinates, *slopes, *gradient, *gradient_se; /* scratch */
    double *curvature;   /* [n][n], scratch, where it is wanted */
    double *start_loss;  /* [starts] */
    double *start_point; /* [starts][n] */
    double *storage;
    RxnFitRecord *records;
    size_t record_count, record_room;
    bool is_fresh; /* nothing was refreshed in this session yet */
    bool failed;   /* parameters are those at which it went wrong */
    double clock, saved_at;
    uint64_t saved_step;
    char why[512];
};

/* The optimizer for a fit from `origin` of so many steps, in the place of the one before. */
bool rxn__fit_begin_phase(RxnFitLoop *fit);

uint64_t rxn__fit_phase_steps(const RxnFitLoop *fit);

/* Whether a checkpoint is due, and if so, or if it has to be, writes it. */
bool rxn__fit_save(RxnFitLoop *fit, bool now);

/* Whether there is nothing left to do. */
bool rxn__fit_is_over(const RxnFitLoop *fit);

bool rxn__fit_make_records(RxnFitLoop *fit, size_t count);

double rxn__fit_elapsed(const RxnFitLoop *fit);

/* Coordinates of start `number`: the caller's, or drawn. */
void rxn__fit_draw_start(const RxnFitLoop *fit, uint64_t number, double *ret_coordinates);

#endif
