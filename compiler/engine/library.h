/* library.h: what library_fit.c needs of the library of one model (library.c). Apart, so that libraries of models without a fit
 * have nothing of fits in them.
 */
#ifndef RXN_ENGINE_LIBRARY_H
#define RXN_ENGINE_LIBRARY_H

#include "compiler/target/program_abi.h"
#include "runtime/rxn.h"

const RxnProgram *rxn__library_program(const struct RxnLibrary *library);

/* The end of a call: its number, and its message, in malloc's memory, which is the library's from then on. NULL: memory is out. */
int rxn__library_end(struct RxnLibrary *library, RxnStatus status, char *message);

#endif
