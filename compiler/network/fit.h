/* fit.h: how parameters are trained, as the model's `fit` block says it, checked and with its data.
 *
 * A fit has experiments: each is the model under its own conditions (initial values, events, settings, inputs) with
 * its own data and loss. Each is a network of its own, elaborated for it (FitRequest in sema.h), whose
 * parameters have the same flat numbers in all of them; the loss of the fit is the sum of the experiments' losses
 * and of the penalty.
 *
 * The loss of an experiment is an output of its network's objective (objective.h), so that every estimator's
 * derivatives, and their errors by the delta method, are had as for `rxn grad`: loss functions are written out over
 * the rows of the data, `mse(mean(D), data.D)` as
 *
 *     1/n · Σ_k n_k ((E[D at t_k] - d_k)² + v_k)        over distinct times, n_k rows at t_k with mean d_k, variance v_k
 *
 * The outputs of the objective, in this order:
 *   0                     the loss
 *   1 … points            what the model says at each distinct row of a loss function that compares (plots,
 *                         Gauss–Newton); left out of networks for samples
 *   then, where measures were asked for instead of points: one for each measure
 */
#ifndef RXN_NETWORK_FIT_H
#define RXN_NETWORK_FIT_H

#include "compiler/network/network.h"

/* A value for parameters or inputs that an experiment fixes. */
typedef struct FitSetting {
    bool is_input;
    u32 first, count; /* flat */
    double value;
    Span span;
} FitSetting;

/* An input whose values are rows of an array in a file, one row a sample: `data x = "images.gz"`. */
typedef struct FitSample {
    u32 input;        /* number in network->inputs */
    const char *path; /* as it is to be opened */
    u32 classes;      /* 0, or: its rows are labels, whole numbers from 0 to classes - 1 */
    Span span;
} FitSample;

typedef struct FitSeries {
    const char *model, *data; /* "mean(D)", "data.D" */
    bool aside;               /* of use to find a minimum, but nothing to look at */
    const char
        *axis; /* what x is: "time", or the first column of data that the times are made of */
} FitSeries;

/* One distinct row of a comparison: output `1 + its number` against data. */
typedef struct FitPoint {
    u32 series;
    double x, data, sd; /* sd: of the data's mean, where it is known; else NaN */
    double rows;        /* of the file that it stands for */
    bool
        cumulative; /* the data of its series are the distribution function of `rows` rows at rising x, and so not
                         * independent of each other */
    Expr
        curvature; /* second derivative of the loss by the model's value, its expectation where the model is true
                     * (Gauss–Newton, Fisher scoring); of parameters, inputs and expectations. 0: not to be had */
} FitPoint;

typedef struct FitMeasure {
    const char *name; /* "accuracy" */
} FitMeasure;

typedef enum FitNumber { /* of Fit.numbers; NaN: not given */
                         FIT_STEPS,
                         FIT_EPOCHS,
                         FIT_BATCH,        /* samples a step */
                         FIT_TRAJECTORIES, /* a step and experiment (a sample, where there are samples) */
                         FIT_MOST_TRAJECTORIES, /* `trajectories 256 .. 65536`: grows to this when the gradient's noise asks for it */
                         FIT_SEED,
                         FIT_TOLERANCE, /* ends when the loss improves by less, relatively, over `patience` steps */
                         FIT_PATIENCE, /* evaluations of the validation (or of the loss) without a new best before it ends */
                         FIT_STARTS, /* multi-start: from so many points drawn between the bounds, the model's own first */
                         FIT_CLIP_NORM,
                         FIT_CLIP_VALUE,
                         FIT_AVERAGE, /* the result is the mean of the coordinates over so many last steps */
                         FIT_NUMBER_COUNT
} FitNumber;

/* `adam(rate = 0.05)`, `path`, `cosine(floor = 0.01)` */
typedef struct FitChoice {
    const char *name; /* NULL: not given */
    u32 count;
    struct FitOption {
        const char *name;
        double value;
    } options[8];
    Span span;
} FitChoice;

typedef enum FitScaleWish { FIT_SCALE_AUTO, FIT_SCALE_LOG, FIT_SCALE_LINEAR } FitScaleWish;

typedef struct FitExperiment {
    Name name; /* NULL: the fit block itself */
    bool
        validation; /* not trained on: its loss and measures are reported, and decide when to stop */
    Span span;
} FitExperiment;

typedef struct Fit {
    /* Of the whole fit; the same whichever experiment was asked for. */
    u32 experiment_count; /* at least 1 */
    FitExperiment *experiments;
    double numbers[FIT_NUMBER_COUNT];
    FitChoice estimator, optimizer, schedule;
    bool common_noise; /* every step sees the same random numbers */
    u8 *scales;        /* [param_count]: FitScaleWish */
    Expr
        penalty; /* of parameters alone: penalties and -log of priors, added to the loss once; 0: none */
    /* Of the experiment that was asked for. */
    VEC(FitSetting) settings;
    VEC(FitSample) samples; /* none: the network's inputs are the same for all trajectories */
    VEC(FitSeries) series;
    VEC(FitPoint) points;
    VEC(FitMeasure) measures;
    const char *data_path; /* of its table; NULL: none */
} Fit;

#endif
