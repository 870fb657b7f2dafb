/* driver.h: what those files of the program share that know the engine. Nothing outside this folder includes it.
 *
 * All that goes wrong is put into the session's diagnostics, which main prints, and the status becomes the exit status.
 */
#ifndef RXN_DRIVER_H
#define RXN_DRIVER_H

#include "compiler/driver/command.h"
#include "compiler/engine/engine.h"
#include "runtime/report.h"

struct Driver {
    const Program *program;
    Engine engine;
    RxnModel *model;      /* of a command that stands on the library */
    RxnProgress progress; /* of what runs now */
    TextList read, texts; /* files: of values and data; what is a model, or is made one of */
    bool quiet_failure;   /* the reader of our output is gone: nothing is worth saying */
};

/* As rxn__driver_flush at the end of something, where there may be an internal error too, and memory may be out. */
void rxn__driver_say(Driver *driver);

/* Prints the messages that are left, which may name things of the pipeline, and closes it. */
void rxn__driver_close(Driver *driver, Pipeline *pipeline);

#endif
