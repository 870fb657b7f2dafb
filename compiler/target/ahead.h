/* ahead.h: the targets of `rxn build`: kernels are compiled for the processors that are wanted, and kept as object files;
 * and for the GPUs.
 *
 * The commands of rxn go their way to the kernels that they would run, with this target in the place of the one that
 * compiles for use; so what a program is built with is what it will look for.
 */
#ifndef RXN_TARGET_AHEAD_H
#define RXN_TARGET_AHEAD_H

#include "compiler/target/kernel_key.h"
#include "compiler/target/target.h"
#include "runtime/nvrtc.h"

typedef struct March {
    const char *name;     /* "x86-64-v3", "native" */
    const char *cpu;      /* LLVM's; NULL: of this machine */
    const char *features; /* LLVM's; NULL: of this machine */
} March;

/* The levels of the x86-64 psABI, and `native`; NULL: there is none of this name for this machine. */
const March *rxn__march_find(const char *name);

/* Number k of them; NULL behind the last. */
const March *rxn__march_at(u32 k);

/* What programs are usually made for: names with commas between, the best first. */
extern const char rxn__march_default[];

typedef struct AheadCode {
    const March *march;
    const char *needs, *symbol, *object;
    size_t size;
    CompiledKernel facts;
} AheadCode;

/* NARROW_LANES: of a second code, for a single trajectory, which would leave all lanes of the first one but one empty: it
 * takes half of the time. (4 lanes, for up to 4 trajectories, would save it a third.) */
enum { MOST_MARCHES = 8, NARROW_LANES = 1 };

typedef struct AheadKernel {
    u8 key[KERNEL_KEY_BYTES];
    const char *what;
    AheadCode codes[2 * MOST_MARCHES];
    u32 code_count;
} AheadKernel;

/* Machine code for one architecture of GPUs, or PTX, which ends with a zero byte. */
typedef struct AheadCudaCode {
    u32 architecture; /* 90: sm_90 */
    bool is_ptx;
    const void *bytes;
    size_t size;
} AheadCudaCode;

enum { MOST_ARCHITECTURES = 32 };

typedef struct AheadCudaKernel {
    u8 key[KERNEL_KEY_BYTES];
    const char *what;
    AheadCudaCode *codes; /* [architecture_count + 1]: the last is PTX */
} AheadCudaKernel;

/* TargetOptions.context of both targets. */
typedef struct Ahead {
    Arena *arena;
    const Target *compiler;
    const March *marches[MOST_MARCHES]; /* the best first */
    u32 march_count;
    RxnNvrtc *nvrtc; /* or NULL */
    u32 architectures[MOST_ARCHITECTURES], architecture_count;
    const char *what; /* what the kernels that come now are for */
    bool for_one;     /* and whether they may run a single trajectory: a narrow code too */
    VEC(AheadKernel) kernels;
    VEC(AheadCudaKernel) cuda_kernels;
} Ahead;

extern const Target rxn__target_ahead;

/* ahead_cuda.c: the same for GPUs: machine code for each architecture, and PTX for the oldest of them, from which drivers
 * make code for all that are newer. */
extern const Target rxn__target_ahead_cuda;

/* One of them, in ahead->arena. */
RxnStatus rxn__ahead_cuda_code(Ahead *ahead, const RxnCudaKernel *kernel, u32 architecture,
                               bool is_ptx, AheadCudaCode *ret_code, const char **ret_error);

#endif
