/* run_cme.h: `rxn run --method cme`, for cmd_run.c. */
#ifndef RXN_ENGINE_RUN_CME_H
#define RXN_ENGINE_RUN_CME_H

#include "compiler/cme/cme.h"
#include "compiler/engine/engine.h"
#include "runtime/report.h"

typedef struct CmeRun {
    Pipeline *pipeline; /* with a network */
    const ModelValues *values;
    const SampleTimes *times;
    bool quiet;
} CmeRun;

/* Solves; *ret_result and *ret_figures are as RxnReport has them. Says what went wrong. */
RxnStatus rxn__run_cme(Engine *engine, const CmeRun *run, RxnEnsembleResult *ret_result,
                       RxnExactFigures *ret_figures);

#endif
