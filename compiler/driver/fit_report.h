/* fit_report.h: what `rxn fit` shows. */
#ifndef RXN_DRIVER_FIT_REPORT_H
#define RXN_DRIVER_FIT_REPORT_H

#include "compiler/driver/driver.h"
#include "compiler/engine/fit.h"

typedef struct FitCommand {
    Driver *driver;
    FitRun fit;
    OutputFile json, history;
    bool has_line; /* of progress, which stands on the terminal */
    double shown;
    u64 lines;
} FitCommand;

/* As RxnFitLoopOptions.report; context: the FitCommand. */
void rxn__fit_show_step(void *command, const RxnFitRecord *record);
void rxn__fit_table(FILE *file, const FitRun *fit);

/* fit_plot.c: draws to options.plot. */
RxnStatus rxn__fit_draw(FitRun *fit);

#endif
