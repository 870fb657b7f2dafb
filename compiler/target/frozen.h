/* frozen.h: the target of a standalone program: code that was compiled when the program was built.
 *
 * A standalone program goes the whole way of a model up to the kernel, as rxn does; so flags, checks and messages are
 * the same. The last step, from the kernel to code, is to look it up.
 */
#ifndef RXN_TARGET_FROZEN_H
#define RXN_TARGET_FROZEN_H

#include "compiler/target/program_abi.h"
#include "compiler/target/target.h"

/* TargetOptions.context is the RxnProgram. A wish for lanes is heard as far as there is code: results do not depend on it.
 * A kernel that it has no code for is left to the interpreter, with a warning. */
extern const Target rxn__target_frozen;

/* For GPUs; the same context. A kernel that it has no code for has its text, for NVRTC. */
extern const Target rxn__target_frozen_cuda;

/* Whether there is code for a GPU of this architecture. (All kernels have code for the same ones.) */
bool rxn__program_has_gpu(const RxnProgram *program, u32 architecture);

/* The first of a kernel's codes that this processor can run, or, of those for the same processors, the one with the
 * fewest lanes that are at least `lanes` (0: any); NULL: none. ret_missing, or NULL: a feature that it lacks. */
const RxnProgramCode *rxn__program_code(const RxnProgramKernel *kernel, u32 lanes,
                                        const char **ret_missing);

/* Whether this processor has the feature that LLVM calls so. What no code of ours uses is taken for there. */
bool rxn__processor_has(const char *name, size_t length);

#endif
