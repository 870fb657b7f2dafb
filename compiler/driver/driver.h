/* driver.h: what those files of the program share that know the engine. Nothing outside this folder includes it.
 *
 * All that goes wrong is put into the session's diagnostics, which main prints, and the status becomes the exit status.
 */
#ifndef RXN_DRIVER_H
#define RXN_DRIVER_H

#include "compiler/driver/command.h"
#include "compiler/engine/engine.h"
#include "runtime/report.h"

/* What is being run: rxn, or a program that it built. */
typedef struct Program {
    const char *name, *headline;
    const CommandRow *commands;
    u32 command_count;
    Command alone; /* what is run where no command is given; NULL: the help is shown */
    const struct RxnProgram *built; /* its model and kernels; NULL: this is rxn */
} Program;

struct Driver {
    const Program *program;
    Engine engine;
    RxnModel *model;      /* of a command that stands on the library */
    RxnProgress progress; /* of what runs now */
    bool quiet_failure;   /* the reader of our output is gone: nothing is worth saying */
};

/* invoke.c: the whole of a program: its exit status. */
int rxn__invoke(const Program *program, int argc, char **argv);

/* The same at the end of something, where there may be an internal error too, and memory may be out. */
void rxn__driver_say(Driver *driver);

/* Prints the messages that are left, which may name things of the pipeline, and closes it. */
void rxn__driver_close(Driver *driver, Pipeline *pipeline);

#endif
