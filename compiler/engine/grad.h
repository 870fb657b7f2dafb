/* grad.h: derivatives: grad.c goes the way of a request; the other grad_….c files are its steps.
 */
#ifndef RXN_ENGINE_GRAD_H
#define RXN_ENGINE_GRAD_H

#include "compiler/engine/engine.h"
#include "compiler/engine/pilot.h"
#include "compiler/network/objective.h"
#include "runtime/gradient.h"

typedef struct GradOptions {
    EnsembleOptions ensemble;
    u64 draws, bins, degree, pilot;
    double tau, difference;
    NumberList at;
    TextList of, wrt;
    const char *estimators, *tape_memory, *form;
} GradOptions;

/* What one estimator found. Arrays are [outputs] or [outputs][parameters]. */
typedef struct GradEstimate {
    const char *estimator;
    bool unbiased, exact;
    const char *remarks; /* or NULL */
    u64 trajectories;    /* for each parameter, where they are estimated one by one */
    u64 pilot;           /* trajectories that ran before, to fit a control variate */
    u64 rows, events;    /* that ran in all */
    bool one_leaf;       /* rows = trajectories * parameters */
    double seconds, seconds_compile;
    const double *value, *value_se;
    const double *plain_value,
        *plain_value_se; /* without the control variate; NULL: there is none */
    const double *gradient, *se, *sd;
    const double *value_error, *gradient_error; /* of the exact one: bounds */
    u32 diagnostic_count;
    const RowDiagnostic *diagnostics;
    const double *diagnostic_values;
} GradEstimate;

/* An estimator that began and could not end. */
typedef struct GradFailure {
    const char *estimator;
    const char *error; /* what was reported, without its notes */
} GradFailure;

/* The derivatives of an output's expression, in the order of its RxnOutput. */
typedef struct OutputDerivatives {
    Expr value;
    const Expr *first, *second, *direct, *mixed;
} OutputDerivatives;

enum { MOST_LANES = 32 };

typedef struct Grad {
    Engine *engine;
    GradOptions options;
    u32 file; /* the model's, in the session's sources */
    PipelineRequest stages;
    ObjectiveRequest objective;
    Pipeline pipeline;
    ModelValues values;
    SampleTimes times; /* those of the objective */
    GradientRequest request;
    u64 tape_memory;     /* of all tapes at once */
    const char **labels; /* of the parameters */

    RxnOutput *outputs;
    OutputDerivatives *derivatives;
    u32 output_count;

    bool misnamed;      /* --wrt names something that is no param */
    bool fits;          /* a part of a fit: a trained param may be without a use in it */
    bool all;           /* estimators that cannot do it are left out, not an error */
    const char *choice; /* why auto took what it took; NULL: the user chose */
    VEC(const char *) estimators;
    /* The same request without open numbers, whose estimators are taken; NULL: chosen here. Until it is prepared. */
    const struct Grad *decided;
    u32 running;                /* number of the estimator */
    struct GradRunner *runners; /* [estimators.count]: their kernels, once they have run */
    u64 state_limit;            /* of `exact`, as CmeOptions has them; 0: its own */
    double work_limit;
    u64 trajectories; /* to be run; options.ensemble.trajectories are the most that ever will be */
    /* What came of it: */
    Arena *found; /* where it is */
    VEC(GradEstimate) estimates;
    VEC(GradFailure) failures;
} Grad;

/* grad.c: what the options are where nothing is said; whether they are in range; the
 * way to the network, as `stages` has it (the goal and the objective are set here). */
void rxn__grad_defaults(GradOptions *options);
bool rxn__grad_check_objective(Engine *engine, const GradOptions *options);
RxnStatus rxn__grad_network(Grad *grad);
bool rxn__grad_check_options(Grad *grad); /* all of them, once they are read */

/* From the options to all that estimators need; then all of these, one after another, of which several may fail: RXN_OK
 * where one has found something. May be called again, at other values. */
RxnStatus rxn__grad_prepare(Grad *grad);
RxnStatus rxn__grad_estimate(Grad *grad);

/* What estimators have in hand. */
void rxn__grad_close(Grad *grad);

/* Sets tape_memory, by --tape-memory; false after an error. Sets times, by the network's objective. */
bool rxn__grad_tape_memory(Grad *grad);
void rxn__grad_times(Grad *grad);

/* grad_parameters.c: what is differentiated by: --wrt, else what is marked `fit`, else everything that
 * acts on trajectories. Fills request.wrt and labels; false after errors. */
bool rxn__grad_parameters(Grad *grad);

/* grad_estimators.c: from --estimator to names; and the choice of `auto`, for which the request has to be
 * whole. False after errors, of which one is that an estimator that was asked for by name cannot do it. */
bool rxn__grad_check_estimators(Engine *engine, const char *list);
bool rxn__grad_estimators(Grad *grad);

/* Whether numbers of the text may be open in its kernels (sema/open_numbers.c), once estimators are chosen. Not in f32: derivatives
 * multiply numbers of the model with others in f64, which a kernel would do in f32. Not for the master equation, which has no
 * kernel. */
bool rxn__grad_may_open(const Grad *grad);

/* grad.c: these two. RXN_ERROR_USAGE where --wrt names what there is not. */
RxnStatus rxn__grad_choose(Grad *grad);

/* grad_outputs.c: derivatives of the outputs by the functionals' expectations and by parameters. */
void rxn__grad_outputs(Grad *grad);

/* As RxnGradientSpec.linearize; context: the Grad. */
void rxn__grad_linearize(void *context, u32 output, const double *means, RxnOutputValues *values);

/* The parameters behind the leaves of the pipeline's kernel, in the arena; false where there are too many. */
bool rxn__grad_leaf_map(Grad *grad, Arena *arena, RxnLeafMap *ret_map);

/* grad_run.c: what the tape of one trajectory may take where each thread has so many lanes. */
u64 rxn__grad_tape_bytes(const Grad *grad, u32 lanes);

/* The kernel of one estimator, by grad->request, in the pipeline. May be called again for another. */
RxnStatus rxn__grad_compile(Grad *grad, const Estimator *estimator);

/* The row as the reducer sees it; is_max: room for RXN_MAX_DIAGNOSTICS. */
RxnGradientLayout rxn__grad_layout(const GradientRow *row, bool *is_max);

/* grad_runner.c: one estimator, compiled once, to be run at many values of the parameters (those of grad->values). */
typedef struct GradRunner {
    Grad *grad;
    bool is_open; /* it can be run */
    const Estimator *estimator;
    KeptKernel kept;
    RxnKernel kernel;
    bool is_max[RXN_MAX_DIAGNOSTICS];
    RxnGradientSpec spec;
    bool
        weights_move; /* those of the leaf map depend on parameters: it is made anew for each evaluation */
    Arena map;        /* there */
    SampleTimes times; /* that the kernel wants */
    PairRun pair;
    Launch launch;
    RxnBinding *bindings;
    u32 binding_count;
    double *means;    /* [functionals]: their expectations, of the last evaluation */
    u64 most_threads; /* that its tapes were given their size for; 0: any number */
    u64 most_on_gpu;  /* bytes of all tapes of a GPU; 0: any number */
    bool has_pilot;
    PilotRequest pilot_request;
    PilotProgram pilot_program;
    Pilot pilot; /* the last one */
    double seconds_compile;
    RxnGradient *reducer; /* of the evaluation that is running, or whose result is looked at */
} GradRunner;

typedef struct GradEvaluation {
    u64 seed, trajectories;
    const char *name; /* of what is going on, for an interruption; or NULL */
    bool attenuated;  /* derivatives count by what is known of them: runtime/gradient.h */
    bool progress;    /* shows how far it is, where standard error is a terminal */
    /* What comes of it: */
    const RxnGradientResult *result; /* until the next evaluation */
    u64 rows, events;
    u64 not_finite; /* the first trajectory with a value or a derivative that is not finite; UINT64_MAX: none */
    bool cancelled;
} GradEvaluation;

/* Compiles (and runs the first pilot, with its seed, where the estimator wants one). grad->options.ensemble.trajectories
 * are the most that will run. */
RxnStatus rxn__grad_runner_open(Grad *grad, const Estimator *estimator, u64 seed,
                                GradRunner *ret_runner);
void rxn__grad_runner_close(GradRunner *runner); /* one that was never opened, too, if it is zero */

/* Gives back what only an evaluation needs, its result included. */
void rxn__grad_runner_rest(GradRunner *runner);

/* Where there is a pilot: again, at the present values. */
RxnStatus rxn__grad_runner_refresh(GradRunner *runner, u64 seed);

RxnStatus rxn__grad_runner_evaluate(GradRunner *runner, GradEvaluation *evaluation);

/* grad_run.c: runs one estimator, with what `runner` has of it or gets, and appends what it found. */
RxnStatus rxn__grad_run(Grad *grad, const Estimator *estimator, GradRunner *runner);

/* Where its kernel is one that a program does not have: warns, and says how to build one that does. */
void rxn__grad_warn_interpreted(Grad *grad, const Estimator *estimator);

/* grad_ahead.c: goes the way to the kernel of each estimator as far as the goal says, and runs none. What is not wanted is
 * NULL. */
typedef struct GradAhead {
    void *context;
    void (*read)(void *context);                   /* the model has been read */
    void (*next)(void *context, const char *what); /* the kernel that is made now */
    RxnStatus (*each)(void *context, Grad *grad);  /* with one in grad->pipeline */
} GradAhead;

RxnStatus rxn__grad_ahead(Grad *grad, PipelineGoal goal, const GradAhead *ahead);

/* What to do where an estimator cannot do it, and why: an error, or nothing. */
typedef RxnStatus (*GradRefuse)(Grad *grad, const char *name, const char *reason);

/* grad_exact.c: as rxn__grad_run, from the master equation. */
RxnStatus rxn__grad_exact(Grad *grad, GradRefuse refuse);

/* What stands in the way of it by the request's form, before anything is solved; NULL: nothing. The values have to
 * be bound. */
const char *rxn__grad_exact_obstacle(Grad *grad);

/* ---- grad_figures.c ----------------------------------------------------------------------------- */

typedef struct GradCell {
    const GradEstimate *estimate;
    u32 output, parameter;
    double gradient, se, sd;
} GradCell;

GradCell rxn__grad_cell(const Grad *grad, const GradEstimate *estimate, u32 output, u32 parameter);

/* What the estimator of this name found; NULL: it has not run. */
const GradEstimate *rxn__grad_found(const Grad *grad, const char *name);

/* Standard error by derivative; NaN where it says nothing: 0 ± 0, and what has no error. */
double rxn__grad_relative_error(const GradCell *cell);

/* Difference to `exact` in standard errors; NaN where that has not run. */
double rxn__grad_bias(const Grad *grad, const GradCell *cell);

/* Variance times time, in units of what score needs: how much more work a given error costs; or NaN. */
double rxn__grad_work(const Grad *grad, const GradCell *cell);

/* Whether this diagnostic says that the score saw less than there is (method/grad_score.h). */
bool rxn__grad_blind(const GradEstimate *estimate, u32 diagnostic);

/* Sentences on what is not to be trusted without a second look; in the arena. */
TextList rxn__grad_warnings(const Grad *grad, Arena *arena);

#endif
