/* fit_report.h: what `rxn fit` shows. */
#ifndef RXN_DRIVER_FIT_REPORT_H
#define RXN_DRIVER_FIT_REPORT_H

#include "compiler/driver/command.h"
#include "runtime/report.h"

typedef struct FitFlags {
    EnsembleFlags ensemble;                   /* json: the result; csv: the history */
    uint64_t steps, starts, checkpoint_steps; /* UINT64_MAX: not given, but for the last */
    double rate;
    const char *data, *estimator, *optimizer, *schedule, *plot, *checkpoint, *resume, *tape_memory;
} FitFlags;

typedef struct FitCommand {
    Driver *driver;
    const char *path; /* of the model */
    FitFlags flags;
    RxnFitOptions wanted;
    RxnModel *model;
    RxnValues *values;
    RxnFit *fit;
    RxnFitted fitted; /* zero until there is a result */
    OutputFile json, history;
    double begun;  /* training */
    bool has_line; /* of progress, which stands on the terminal */
    double shown;
    uint64_t lines;
} FitCommand;

/* As RxnFitOptions.step; context: the FitCommand. */
void rxn__fit_show_step(void *command, const RxnFitStep *step);
void rxn__fit_table(FILE *file, const FitCommand *command);

/* fit_plot.c: draws to flags.plot. */
RxnStatus rxn__fit_draw(const FitCommand *command);

#endif
