/* code.h: compiled code that several may hold: whose kernel is the same to the last letter as that of an older one takes its
 * code over, and compiles nothing.
 */
#ifndef RXN_ENGINE_CODE_H
#define RXN_ENGINE_CODE_H

#include "compiler/engine/engine.h"

/* One kernel's, in memory of its own. It is counted who holds it, by whatever thread. */
typedef struct Code Code;

typedef struct CodeEntry {
    Code *code;
    u32 unused; /* how many objects have had it and not used it, this one included; 0: it is that of a kernel of this one */
} CodeEntry;

/* The code of all kernels that one object has, and that which it may take over. */
typedef struct CodeShelf {
    size_t limit; /* bytes for each; 0: none */
    CodeEntry *entries;
    u32 count, room;
    u32 compiled, reused; /* kernels so far */
} CodeShelf;

/* like: of an older object, whose code is held from here on, so that it may be gone before anything is compiled; or NULL. To be
 * closed whatever the status. */
RxnStatus rxn__code_shelf_open(CodeShelf *shelf, size_t limit, const CodeShelf *like);
void rxn__code_shelf_close(CodeShelf *shelf); /* one that is zero, too */

/* Whether all that was needed so far was there. */
bool rxn__code_shelf_reuses(const CodeShelf *shelf);

/* A PipelineCompile; context: the CodeShelf. */
RxnStatus rxn__code_compile(void *context, const Target *target, const KirKernel *kernel,
                            const TargetOptions *options, Arena *arena, CompiledKernel *ret_kernel,
                            const char **ret_error);

#endif
