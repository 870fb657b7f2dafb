/* run_cme.h: `rxn run --method cme`, for cmd_run.c. */
#ifndef RXN_ENGINE_RUN_CME_H
#define RXN_ENGINE_RUN_CME_H

#include "compiler/cme/cme.h"
#include "compiler/engine/engine.h"

/* What there is to say of means and variances that were computed, not sampled. */
typedef struct CmeFigures {
    double lost;                       /* probability that is not accounted for, at most */
    u64 states, transitions, products; /* of the equation that was solved */
} CmeFigures;

typedef struct CmeRun {
    Pipeline *pipeline; /* with a network */
    const ModelValues *values;
    const SampleTimes *times;
    u64 state_limit; /* as CmeOptions has them */
    double work_limit;
    bool quiet;
} CmeRun;

/* Solves; *ret_result has variances as m2. Says what went wrong. */
RxnStatus rxn__run_cme(Engine *engine, const CmeRun *run, RxnEnsembleResult *ret_result,
                       CmeFigures *ret_figures);

#endif
