/* pilot.h: the pilot ensemble of the martingale estimator: for `rxn grad` and `rxn run`.
 */
#ifndef RXN_ENGINE_PILOT_H
#define RXN_ENGINE_PILOT_H

#include "compiler/engine/engine.h"
#include "compiler/method/control.h"

typedef struct PilotRequest {
    const PipelineRequest *stages;
    Pipeline *pipeline;
    const Estimator *estimator; /* whose `pilot` is to run */
    GradientRequest *request;
    const ModelValues *values;
    u64 trajectories; /* of the main ensemble */
    u64 pilot;        /* wanted of the pilot; 0: rxn__pilot_size */
    u64 seed, threads, step_limit;
} PilotRequest;

typedef struct Pilot {
    u64 trajectories, events;
    const char *remark; /* a sentence on what was found; in the program, until it is run again */
    double seconds, seconds_compile;
} Pilot;

/* A tenth of the main ensemble, but at least 250 and at most 1000; more for many features. */
u64 rxn__pilot_size(const ControlPlan *plan, u64 trajectories);

/* Compiles the pilot's kernel (it takes the place of the one that the pipeline has), runs it, fits the
 * weights and puts them into request->control, in the pipeline's arena.
 *
 * The pilot shares nothing with the main ensemble: the key of its random numbers is the block of
 * Philox4x32 with the seed as key and the counter (0, RXN_STREAM_PILOT << 16, 0, 0), the first two words. */
RxnStatus rxn__pilot_run(Engine *engine, const PilotRequest *pilot, Pilot *ret_pilot);

enum { PILOT_REMARK = 160 };

/* The same in two parts, for who needs weights at several values of the parameters. Each run takes the place of the one
 * before: its weights are written over those that request->control points to, and the main kernel's tables with it. */
typedef struct PilotProgram {
    KeptKernel kept;
    RxnKernel kernel;
    const ControlPlan *plan;
    u32 trajectories;
    double *values, *directs; /* the weights */
    ControlWeights *weights;
    char *remark; /* [PILOT_REMARK]: room for it, as a fit has a pilot every few steps */
} PilotProgram;

RxnStatus rxn__pilot_compile(Engine *engine, const PilotRequest *pilot, PilotProgram *ret_program);
RxnStatus rxn__pilot_fit(Engine *engine, const PilotRequest *pilot, PilotProgram *program,
                         Pilot *ret_pilot);

/* ---- run_control.c: `rxn run --control-variates` ------------------------------------------------ */

typedef struct ControlledRun {
    PilotRequest pilot; /* all but estimator and request are the caller's to set */
    const SampleTimes *times;
    bool quiet;
    /* what comes of it: */
    GradientRequest request;
    Pilot found;
    double *se;                   /* [times][columns]: of the means */
    double least_gain, most_gain; /* plain variance over controlled, where there is any */
} ControlledRun;

/* Makes every observable at every sample time a functional, runs the pilot, and leaves the main kernel in
 * the pipeline. */
RxnStatus rxn__control_prepare(Engine *engine, ControlledRun *run);

/* Runs the main ensemble. ret_result: mean, of F - M, and m2, of F itself, are [times][columns]. */
RxnStatus rxn__control_simulate(Engine *engine, ControlledRun *run, RxnEnsembleResult *ret_result);

#endif
