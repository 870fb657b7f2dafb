/* cuda.h: the CUDA target: a kernel of KIR as the text of a kernel in CUDA C.
 *
 * The text is for NVRTC and for people: locals and buffers keep their names, a value that is used once stands
 * where it is used. It is C11 as well, so that a host compiler, with a small header that defines __global__
 * and its kin, runs the very same text in tests. What text and launcher agree on is in runtime/cuda_abi.h.
 *
 * KIR is the program of one trajectory; three shapes bring it to many threads:
 *
 *   thread   One thread a trajectory. Each thread goes round one loop, { if done: finish, take the next row,
 *            init;  step }: a thread whose trajectory ends takes another one while its neighbours go on.
 *   warp     32 threads a trajectory. All threads execute the scalar program with equal scalars; arrays are
 *            in shared memory and written by one thread; loops whose iterations are independent (loops.c
 *            proves it) are shared out over the threads.
 *   block    The same with a whole block.
 *
 * The region `launch` is run once, by the kernel rxn_uniform, like a trajectory of shape block. Of what it
 * makes, scalars go to __constant__ memory (struct RxnConstants) and arrays to launch.uniform.
 *
 *     plan.c        the shape, and where each local lives
 *     loops.c       which loops can be shared out
 *     uses.c        which values can stand where they are used
 *     names.c       identifiers
 *     prelude.c     the functions that the text calls, and rxn_reduce
 *     values.c      constants, ops, reads
 *     statements.c  statements and barriers
 *     kernel.c      the frames of rxn_uniform and rxn_kernel
 *     module.c      the whole text
 *     cuda.c        the target's table
 */
#ifndef RXN_TARGET_CUDA_H
#define RXN_TARGET_CUDA_H

#include "compiler/target/target.h"

/* ---- plan.c ----------------------------------------------------------------------------------- */

typedef enum CudaPlace {
    CUDA_SCALAR,    /* a variable */
    CUDA_SPLIT,     /* an array that only constants index: a variable per element */
    CUDA_SHARED,    /* an array in the block's dynamic shared memory */
    CUDA_WORKSPACE, /* an array in launch.workspace */
    CUDA_TAPE,      /* likewise, in its storage width, and never cleared */
    CUDA_UNIFORM,   /* an array in launch.uniform, written by rxn_uniform only */
} CudaPlace;

typedef struct CudaLocal {
    u8 place;
    u64 offset; /* bytes: in a trajectory's shared memory or workspace, or in launch.uniform */
} CudaLocal;

typedef struct CudaPlan {
    const KirKernel *kernel;
    RxnCudaShape shape;
    u32 block_threads, team_threads, uniform_threads;
    u32 shared_bytes; /* of a block */
    u32 team_bytes;   /* of them, of a trajectory of shape warp or block */
    u64 workspace_bytes, uniform_bytes;
    u64 constants_size; /* of RxnConstants */
    u64 constant_bytes; /* likewise, if it is in __constant__ memory; else 0 */
    CudaLocal *locals;
    bool *is_constant; /* per value: launch's, and used in other regions */
    bool is_crowded;   /* by its size a thread's registers are taken to be too few for it */
    bool has_launch;   /* there is something for rxn_uniform to do */
    bool *shared_out;  /* per value: the counter of a `for` that is shared out */
    bool *buffer_read; /* per buffer: the kernel loads from it */
} CudaPlan;

/* Elements, where it is an array; a scalar is one. */
static inline u32
rxn__cuda_length(const KirLocal *local)
{
    return local->length ? local->length : 1;
}

/* force: a shape + 1, or 0 for what suits the kernel. */
CudaPlan *rxn__cuda_plan(const KirKernel *kernel, u32 force, Arena *arena);

/* Whether the shared memory is a variable of the module and not what a launch asks for: only then may registers be spilled to what is
 * left of it (kernel.c). */
bool rxn__cuda_shares_statically(const CudaPlan *plan, const TargetOptions *options);

/* ---- loops.c ---------------------------------------------------------------------------------- */

/* Sets plan->shared_out for the loops of one region. */
void rxn__cuda_share_loops(CudaPlan *plan, KirRegion region, Arena *arena);

/* ---- uses.c ----------------------------------------------------------------------------------- */

typedef struct CudaUses {
    u32 *count;    /* per value */
    bool *movable; /* per value: used once, in no deeper loop than it is defined in */
    bool
        *steady; /* per value (a get): its local is not set until the last use has been evaluated */
    KirValue
        *twin; /* per value: `mul.u32` and `mulhi.u32` of the same operands, in one block; or 0 */
} CudaUses;

CudaUses *rxn__cuda_uses(const KirKernel *kernel, Arena *arena);

/* ---- names.c ---------------------------------------------------------------------------------- */

typedef struct CudaNames {
    Arena *arena;
    const char **slots;
    u32 count, capacity;
} CudaNames;

void rxn__cuda_names_init(CudaNames *names, Arena *arena);

/* An identifier made of the text that nothing else is called. */
const char *rxn__cuda_identifier(CudaNames *names, const char *text);

/* ---- prelude.c -------------------------------------------------------------------------------- */

/* Appends those functions that the body names. */
void rxn__cuda_prelude(Text *out, const char *body, Arena *arena);

/* Whether the text has this word as a whole. */
bool rxn__cuda_mentions(const char *text, const char *word);

/* rxn_reduce. */
void rxn__cuda_reduce(Text *out);

/* ---- values.c, statements.c, kernel.c, module.c --------------------------------------------------------- */

enum { CUDA_MARK = 1 }; /* begins a line of the body that stands for a #line */

enum { TOUCHED_READ = 1, TOUCHED_BY_ONE = 2, TOUCHED_BY_ALL = 4 };

/* What is being written. */
typedef struct CudaText {
    Arena *arena;
    const KirKernel *kernel;
    const CudaPlan *plan;
    const CudaUses *uses;
    CudaNames names;
    Text body;
    u32 indent;
    u32 origin,
        marked; /* of the lines that are being written, and what was said of the one before */

    KirRegion region;
    bool team;             /* several threads execute this together (not so in shape thread) */
    bool differentiates;   /* as TargetOptions has it */
    bool shared_static;    /* rxn__cuda_shares_statically */
    u32 loops;             /* how many are around */
    u32 label;             /* of the loop that is shared out */
    const char *order;     /* in a loop that is shared out: which iteration it is; else NULL */
    const char *constants; /* what comes before a member of RxnConstants */
    const char *barrier;

    const char **expression; /* per value; NULL: not defined so far */
    bool *compound;          /* per value: it needs parentheses as an operand */
    u32 *stands_for;       /* per value that stands where it is used: its origin, or an operand's */
    const char **constant; /* per value of plan->is_constant: what it is called */
    const char **local, **buffer;
    const char ***element;              /* per local of CUDA_SPLIT: per element */
    bool **is_read;                     /* likewise: whether anybody reads it */
    u8 *touched_local, *touched_buffer; /* TOUCHED_…: since the last barrier */
    bool needs_order;                   /* a trap in a loop that is shared out was written */
} CudaText;

/* Appends an indented line. */
void rxn__cuda_line(CudaText *c, const char *format, ...) RXN_PRINTF(2, 3);

const char *rxn__cuda_format(CudaText *c, const char *format, ...) RXN_PRINTF(2, 3);

const char *rxn__cuda_type(KirType type);

const char *rxn__cuda_constant(CudaText *c, KirType type, u64 bits);

/* The value's expression; as an operand, in parentheses where it needs them. */
const char *rxn__cuda_operand(CudaText *c, KirValue value);

void rxn__cuda_define(CudaText *c, KirValue value);

/* Which element of a CUDA_SPLIT a constant index means. */
u32 rxn__cuda_split_element(const CudaText *c, u32 local, KirValue index);

/* The place of an array's element. */
const char *rxn__cuda_element(CudaText *c, u32 local, const char *index);

/* The place of a buffer's element, of the row that is run. */
const char *rxn__cuda_buffer_element(CudaText *c, u32 buffer, const KirValue *index);

/* The type of an array's or a buffer's elements in memory. */
const char *rxn__cuda_memory_type(KirType type, u32 bytes);

/* Whether the array is one that is only read: launch's, in the other regions. */
bool rxn__cuda_is_fixed(const CudaText *c, u32 local);

/* Before a read in a team: a barrier, where it is needed. */
void rxn__cuda_before_read(CudaText *c, u8 *touched);

void rxn__cuda_barrier(CudaText *c);

void rxn__cuda_region(CudaText *c, KirRegion region);

bool rxn__cuda_has_trap(const KirBlock *block);

/* Append the functions. */
void rxn__cuda_write_uniform(CudaText *c, Text *out);

void rxn__cuda_write_kernel(CudaText *c, Text *out);

/* A scalar or a split array of launch: among RxnConstants. */
bool rxn__cuda_is_constant_local(const CudaText *c, u32 local);

/* The whole text. */
void rxn__cuda_render(const KirKernel *kernel, const CudaPlan *plan, const TargetOptions *options,
                      Arena *arena, Text *out);

#endif
