/* run_cme.h: `rxn run --method cme`, for cmd_run.c. */
#ifndef RXN_DRIVER_RUN_CME_H
#define RXN_DRIVER_RUN_CME_H

#include "compiler/cme/cme.h"
#include "compiler/driver/driver.h"
#include "runtime/report.h"

typedef struct CmeRun {
    Pipeline *pipeline; /* with a network */
    const ModelValues *values;
    const SampleTimes *times;
    bool quiet;
    CmeMoments moments; /* the result */
} CmeRun;

/* Solves; *ret_result gets means and variances as rxn_ensemble_sd reads them, and the time it took. Says
 * what went wrong. */
RxnStatus rxn__run_cme(Driver *driver, CmeRun *run, RxnEnsembleResult *ret_result);

/* As rxn__json_run: without trajectories; with lost_mass, states, transitions, products. */
void rxn__json_cme(FILE *file, const CmeRun *run, const RxnReport *report);

/* As rxn__table_run. */
void rxn__table_cme(FILE *file, const CmeRun *run, const RxnReport *report);

#endif
