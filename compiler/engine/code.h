/* code.h: compiled code that several may hold: whose kernel is the same to the last letter as that of an older one takes its
 * code over, and compiles nothing.
 */
#ifndef RXN_ENGINE_CODE_H
#define RXN_ENGINE_CODE_H

#include "compiler/engine/engine.h"

/* One kernel's, in memory of its own. It is counted who holds it, by whatever thread. */
typedef struct Code Code;

/* NULL stays NULL. */
Code *rxn__code_hold(Code *code);
void rxn__code_release(Code *code);

typedef struct CodeRequest {
    Code *like;   /* or NULL */
    size_t limit; /* bytes for it; 0: none */
    /* What comes of it: */
    Code *
        code; /* that the compiled kernel is of: to be released; NULL: it is in the pipeline's arena */
    bool reused;
} CodeRequest;

/* As PipelineRequest.compile; context: the CodeRequest. */
RxnStatus rxn__code_compile(void *context, const Target *target, const KirKernel *kernel,
                            const TargetOptions *options, Arena *arena, CompiledKernel *ret_kernel,
                            const char **ret_error);

#endif
