/* grad_report.h: what `rxn grad` shows. */
#ifndef RXN_DRIVER_GRAD_REPORT_H
#define RXN_DRIVER_GRAD_REPORT_H

#include "compiler/driver/command.h"

typedef struct GradReport {
    RxnModel *model;
    RxnDifferentiatorInfo info;
    const RxnDerivatives *found;
    uint64_t seed;
} GradReport;

void rxn__grad_json(FILE *file, const GradReport *report);
void rxn__grad_csv(FILE *file, const GradReport *report);

/* False: out of memory. */
bool rxn__grad_table(FILE *file, const GradReport *report);

#endif
