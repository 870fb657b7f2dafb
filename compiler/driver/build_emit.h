/* build_emit.h: `rxn build --emit FORM`: single stages, which the library makes. */
#ifndef RXN_DRIVER_BUILD_EMIT_H
#define RXN_DRIVER_BUILD_EMIT_H

#include "compiler/driver/command.h"

/* Whether the form is one of these; whether it is for GPUs, and whether NVRTC makes it. */
bool rxn__build_emits(const char *form);
bool rxn__build_emits_for_gpus(const char *form);
bool rxn__build_emits_by_nvrtc(const char *form);

/* Their names, with commas between. */
extern const char rxn__build_forms[];

/* One stage of the model to the file, or, where the path is NULL, to standard output. */
RxnStatus rxn__build_emit(Driver *driver, const char *model, const char *form,
                          const RxnEmitOptions *options, const char *path);

#endif
