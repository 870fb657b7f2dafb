/* driver.h: the program's frame: what the files share that make commands out of a command line and the library.
 *
 * What the program itself has to say is put into diagnostics, which are printed when a command ends, or before anything else is;
 * the status becomes the exit status. What the library says is printed at once.
 */
#ifndef RXN_DRIVER_DRIVER_H
#define RXN_DRIVER_DRIVER_H

#include "compiler/driver/command.h"
#include "runtime/report.h"

struct Driver {
    const Program *program;
    Memory memory;
    Arena arena;
    SourceMap sources; /* without a file: no message of the program's own is about a place */
    Diagnostics messages;
    RxnModel *model;      /* of the command */
    RxnProgress progress; /* of what runs now */
    TextList read, texts; /* files: of values and data; what is a model, or is made one of */
    bool quiet_failure;   /* the reader of our output is gone: nothing is worth saying */
};

#endif
