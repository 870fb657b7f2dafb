/* ahead.h: the target of `rxn build`: kernels are compiled for the processors that are wanted, and kept as object files.
 *
 * The commands of rxn go their way to the kernels that they would run, with this target in the place of the one that
 * compiles for use; so what a program is built with is what it will look for.
 */
#ifndef RXN_TARGET_AHEAD_H
#define RXN_TARGET_AHEAD_H

#include "compiler/target/kernel_key.h"
#include "compiler/target/target.h"

typedef struct March {
    const char *name;     /* "x86-64-v3", "native" */
    const char *cpu;      /* LLVM's; NULL: of this machine */
    const char *features; /* LLVM's; NULL: of this machine */
} March;

/* The levels of the x86-64 psABI, and `native`; NULL: there is none of this name for this machine. */
const March *rxn__march_find(const char *name);

/* What a list may hold, for messages; and the usual one. */
extern const char rxn__march_names[], rxn__march_default[];

typedef struct AheadCode {
    const March *march;
    const char *needs, *symbol, *object;
    size_t size;
    CompiledKernel facts;
} AheadCode;

enum { MOST_MARCHES = 8 };

typedef struct AheadKernel {
    u8 key[KERNEL_KEY_BYTES];
    const char *what;
    AheadCode codes[MOST_MARCHES];
} AheadKernel;

/* TargetOptions.context. */
typedef struct Ahead {
    Arena *arena;
    const Target *compiler;
    const March *marches[MOST_MARCHES]; /* the best first */
    u32 march_count;
    const char *what; /* what the kernels that come now are for */
    VEC(AheadKernel) kernels;
} Ahead;

extern const Target rxn__target_ahead;

#endif
