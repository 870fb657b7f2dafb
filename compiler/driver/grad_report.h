/* grad_report.h: what `rxn grad` shows. */
#ifndef RXN_DRIVER_GRAD_REPORT_H
#define RXN_DRIVER_GRAD_REPORT_H

#include "compiler/engine/grad.h"

void rxn__grad_json(FILE *file, const Grad *grad);
void rxn__grad_csv(FILE *file, const Grad *grad);
void rxn__grad_table(FILE *file, const Grad *grad);

#endif
