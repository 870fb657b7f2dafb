/* target.h: what a target is. A target renders checked, expanded KIR and nothing else: it never
 * sees a species, a reaction or a method. An op that it cannot do is an error with a message, never
 * a silent fallback.
 */
#ifndef RXN_TARGET_H
#define RXN_TARGET_H

#include "compiler/base/base.h"
#include "compiler/kir/kir.h"
#include "runtime/cuda_abi.h"

typedef struct TargetOptions {
    u32 lanes; /* trajectories side by side: 1, 2, 4, 8, 16, 32; 0: what suits the kernel and the CPU */
    bool many; /* many trajectories will run: code that takes longer to compile may pay */
    bool
        differentiates; /* the kernel is an estimator's, which has more numbers alive than one that simulates */
    const char *cpu;      /* LLVM's name of the processor; NULL: the host's */
    const char *features; /* LLVM's feature string; NULL: the host's */
    bool fast_math;       /* hardware approximations; results then differ between targets */
    bool debug_checks;    /* verify the target's own IR after rendering (tests, debug builds) */
    const char *cache;    /* directory of the compile cache; NULL: none */
    /* Or NULL: file (a name, without its folders) and line of a KirNode.origin; NULL where there is none. */
    const char *(*locate)(void *context, u32 origin, u32 *ret_line);
    void *locate_context;
    const char
        *symbol; /* of the function in TARGET_OBJECT; NULL: one that is made of the kernel's name */
    void *context; /* of a target that has something of its own (frozen.h, ahead.h) */
    u32 shape; /* of a CUDA kernel: RxnCudaShape + 1; 0: what suits the kernel (tests ask for one) */
} TargetOptions;

/* Either `run` or `cuda` is set; neither: see compile. */
typedef struct CompiledKernel {
    RxnKernelFunction run;
    size_t workspace_bytes; /* what a launch's workspace must hold (one per concurrent launch) */
    size_t table_bytes;     /* of them, at its beginning; see RxnKernel */
    u32 lanes;
    const char *isa;      /* "avx512", "avx2", "sse2", "neon"…; of CUDA the shape: for reports */
    const char *features; /* LLVM's, that the code may use; NULL: not told */
    const RxnCudaKernel *cuda; /* its text and what the launcher has to know; see runtime/cuda.h */
    bool from_cache;
} CompiledKernel;

/* Forms that a kernel can be written out in. */
typedef enum TargetForm {
    TARGET_IR,
    TARGET_IR_OPTIMIZED,
    TARGET_ASSEMBLY,
    TARGET_OBJECT
} TargetForm;

typedef struct Target {
    const char *name; /* "llvm", "cuda" */

    /* Compiles for use in this process. What it makes lives as long as the arena. A target that has no code for this
     * kernel, but no objection to it either, returns RXN_OK without a function: the kernel is then interpreted, and
     * *ret_error, where it is set, is a warning that says so. */
    RxnStatus (*compile)(const KirKernel *kernel, const TargetOptions *options, Arena *arena,
                         CompiledKernel *ret_kernel, const char **ret_error);

    /* Writes one form of the kernel (text, or the bytes of an object file). */
    RxnStatus (*emit)(const KirKernel *kernel, const TargetOptions *options, TargetForm form,
                      Arena *arena, Text *out, const char **ret_error);

    /* Or NULL: what `compile` would say of the kernel, all but the function, without compiling it. */
    RxnStatus (*describe)(const KirKernel *kernel, const TargetOptions *options, Arena *arena,
                          CompiledKernel *ret_kernel, const char **ret_error);
} Target;

/* The targets of this build, NULL at the end. */
extern const Target *const rxn__targets[];

const Target *rxn__target_find(const char *name);

#endif
