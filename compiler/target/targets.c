/* targets.c: the targets that this build has. */
#include "compiler/target/target.h"

#include <string.h>

extern const Target rxn__target_cuda;
#ifdef RXN_HAVE_LLVM
extern const Target rxn__target_llvm;
#endif

const Target *const rxn__targets[] = {
#ifdef RXN_HAVE_LLVM
    &rxn__target_llvm,
#endif
    &rxn__target_cuda,
    NULL,
};

const Target *
rxn__target_find(const char *name)
{
    for (const Target *const *target = rxn__targets; *target != NULL; target++)
        if (strcmp((*target)->name, name) == 0)
            return *target;
    return NULL;
}
