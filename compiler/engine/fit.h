/* fit.h: fits. fit.c goes the way of one; the others are its steps: fit_setup.c makes the experiments, fit_settings.c says
 * how it is done, fit_evaluate.c answers the loop of runtime/fit_loop.h, fit_errors.c (of samples:
 * fit_sandwich.c) looks at the result, fit_json.c writes it.
 *
 * An experiment is a network of its own (network/fit.h), with a kernel that is compiled once and run at many values of
 * the parameters.
 */
#ifndef RXN_ENGINE_FIT_H
#define RXN_ENGINE_FIT_H

#include "compiler/engine/grad.h"
#include "compiler/engine/samples.h"
#include "runtime/fit_loop.h"
#include "runtime/report.h"

typedef struct FitOptions {
    EnsembleOptions ensemble;
    u64 steps, starts, checkpoint_steps;
    double rate;
    const char *data, *estimator, *optimizer, *schedule, *checkpoint, *resume, *tape_memory;
} FitOptions;

#define FIT_NOT_GIVEN UINT64_MAX /* of counts on the command line */

typedef struct FitRun FitRun;

/* One experiment. */
typedef struct FitPart {
    FitRun *fit;
    u32 number;
    const char *name; /* "" where there is one alone */
    bool validation;
    FitRequest request;
    Fit spec;
    Grad grad;
    u32 *place;    /* [grad.request.wrt_count]: number among the fit's parameters */
    bool is_open;  /* the pipeline has to be closed */
    bool has_loss; /* a validation may have measures alone */
    bool sampled;
    bool exact;                 /* by the master equation */
    const Estimator *estimator; /* else by this one; of a validation the values alone */
    const char *estimator_name;
    GradRunner runner;
    Samples *samples;
    SampleRun *sample_run;
    u64 *order, *rows; /* of a batch */
    u64 epoch, batch;
    Arena scratch; /* of one evaluation of the master equation */
    Objective *
        expectations; /* of the master equation: outputs are those of the functionals; NULL: not needed */
    const double *means; /* their values */
    /* The last evaluation: */
    const double *value, *value_se; /* [outputs] */
    const double *gradient;         /* [outputs][wrt_count], of samples [wrt_count]; or NULL */
    const double *se;               /* [wrt_count], of the loss; NULL: not known one by one */
    double noise2;
    double *se_room;
    double *weights;          /* [points]: their curvature; NaN: not to be had */
    u64 groups;               /* of samples, where they were asked for (samples.h) */
    const double *group_sums; /* [groups][wrt_count] */
    u64 trajectories, events;
    u64 not_finite; /* trajectory; UINT64_MAX: none */
} FitPart;

/* What is said of the result. Arrays are [parameters], but for those of points. */
typedef struct FitErrors {
    bool known; /* the replicates were run */
    u64 replicates, trajectories;
    double loss, loss_se;
    double *gradient, *gradient_se; /* by the parameters, of the mean over the replicates */
    double *simulation; /* standard errors that stem from simulated trajectories; NaN: not known */
    double *data;       /* and from the data; NaN: not known */
    double *data_error; /* how well that is known; NaN: not said */
    double *away;       /* H⁻¹ gradient: how far the minimum is, and its error; NaN: not known */
    double *away_se;
    bool *no_influence;
} FitErrors;

/* Of one series: data, and the model at the result. */
typedef struct FitSeriesFigures {
    const FitPart *part;
    u32 series;
    u32 count;
    double *x, *data, *sd, *model, *model_se; /* [count] */
    double r2;
} FitSeriesFigures;

typedef struct FitMeasured {
    const FitPart *part;
    const char *name;
    double value, se;
} FitMeasured;

struct FitRun {
    Engine *engine;
    FitOptions options;
    u32 file;                /* the model's, in the session's sources */
    PipelineCompile compile; /* of all kernels, or NULL */
    void *compile_context;
    const FitRun *decided; /* as Grad has it */
    FitTables tables;
    FitPart **parts; /* those to train on first */
    u32 part_count, trained_count;
    FitPart **measures; /* [part_count]: with measures as outputs; NULL: it has none */
    const char *model;
    Network *network; /* of the first part: parameters and penalty */
    Expr penalty;

    u32 count; /* parameters */
    u32 *flat;
    const char **labels;
    double *start;
    RxnScale *scales;
    bool *acts; /* on a loss or the penalty */

    RxnFitProblem problem;
    RxnFitLoopOptions loop_options;
    const char *optimizer, *schedule, *noise; /* names */
    const char *why_optimizer;                /* it was chosen; NULL: the user did */
    bool has_exact, has_samples, noiseless;
    RxnFitLoop *loop;
    RxnFitState state;
    FitErrors errors;
    VEC(FitSeriesFigures) series;
    VEC(FitMeasured) measured;

    /* Of one evaluation: */
    double *gradient, *gradient_se, *curvature; /* [count], [count], [count][count] */
    Expr *penalty_first;                        /* [count]; 0: zero */
    Expr *penalty_second;                       /* [count][count], where curvature is wanted */
    RxnStatus status;                           /* of the last experiment that was evaluated */

    double begun;    /* training, of this session */
    u64 resumed_at;  /* record */
    bool is_watched; /* the watch's end is to come */
    bool has_result; /* for whatever reason it ended */
};

/* fit.c: all that does not write anything; the checkpoint, and kernels; training, whose result is looked at. A status that is
 * not RXN_OK may leave a result too: has_result. */
RxnStatus rxn__fit_prepare(FitRun *fit);
RxnStatus rxn__fit_open(FitRun *fit);
RxnStatus rxn__fit_train(FitRun *fit);
/* Whether derivatives of a loss may have a bias that does not vanish with trajectories; not known of samples. */
bool rxn__fit_is_biased(const FitRun *fit);
const char *rxn__fit_ending_text(const FitRun *fit, Arena *arena);
/* Whether it came to its end: not interrupted, no fault. */
bool rxn__fit_is_complete(const RxnFitState *state);

/* Whether numbers of the text may be open in its kernels, once it is prepared: see rxn__grad_may_open. Not with samples, which
 * would be read twice. */
bool rxn__fit_may_open(const FitRun *fit);

/* fit_setup.c: elaborates all experiments, binds their values, finds the parameters with their scales. */
RxnStatus rxn__fit_setup(FitRun *fit);
void
rxn__fit_put_away(FitRun *fit); /* messages may name things of it: they are to be shown before */

/* fit_settings.c: by what estimator and optimizer, how long: from the block and the command line. False after errors. */
/* Nothing is given. */
FitOptions rxn__fit_defaults(void);
bool rxn__fit_check_options(Engine *engine, const FitOptions *options);
bool rxn__fit_settings(FitRun *fit);
bool rxn__fit_estimator(FitRun *fit, GradOptions *options, const Fit *spec);

/* What a checkpoint belongs to: lines "what: value". */
const char *rxn__fit_key(FitRun *fit);
/* The first line in which they differ, as a sentence. */
const char *rxn__fit_key_difference(Arena *arena, const char *saved, const char *own);

/* fit_evaluate.c: which estimator for each experiment, and its samples; then (with the settings) its kernel; then evaluate,
 * refresh and validate of the problem. */
RxnStatus rxn__fit_choose(FitRun *fit);
RxnStatus rxn__fit_compile(FitRun *fit);
RxnFitAnswer rxn__fit_evaluate(void *fit, const RxnFitQuery *query, RxnFitEvaluation *ret);
RxnFitAnswer rxn__fit_refresh(void *fit, const RxnFitQuery *query);
RxnFitAnswer rxn__fit_validate(void *fit, const RxnFitQuery *query, double *ret_loss);
/* One experiment; all_rows: of samples, not a batch. Its values are then in the part. */
RxnStatus rxn__fit_part_evaluate(FitPart *part, const RxnFitQuery *query, bool all_rows);
/* The same of one with samples, of these rows of the data. */
RxnStatus rxn__fit_part_rows(FitPart *part, const RxnFitQuery *query, const u64 *rows, u64 count);
/* Penalty and its derivatives, added to the loss and to what is not NULL. */
double rxn__fit_penalty(FitRun *fit, const double *parameters, double *gradient, double *curvature);

/* fit_errors.c */
RxnStatus rxn__fit_examine(FitRun *fit);

/* fit_sandwich.c: loss, gradient and standard errors of a fit of samples, where it has no more parameters than that, and
 * no experiment without samples. */
enum { FIT_SANDWICH_MOST = 64 };
bool rxn__fit_has_sandwich(const FitRun *fit);
RxnStatus rxn__fit_sandwich(FitRun *fit);

/* fit_json.c */
void rxn__fit_json(FILE *file, FitRun *fit);
void rxn__fit_history(FILE *file, FitRun *fit);

#endif
