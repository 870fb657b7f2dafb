/* llvm.h: what the files of the LLVM target share. Nothing outside this folder includes it.
 *
 * The scheme (SPMD on SIMD). KIR is the program of one trajectory. This target runs W of them side
 * by side: where KIR has an f64, the machine code has a vector of W f64, and lane k of every vector
 * belongs to the trajectory that is in lane k. So
 *
 *     %3 = get.f64 t                      %3 = load <8 x double>, ptr %t
 *     %5 = add.f64 %3, %4        becomes  %5 = fadd <8 x double> %3, %4
 *     set t, %5                           store <8 x double> %5, ptr %t
 *
 * Control flow is where lanes disagree. A mask, a vector of W bits, says which lanes execute:
 *
 *     %7 = lt.f64 %5, %6                  %7 = fcmp olt <8 x double> %5, %6
 *     if %7 {                             %m = and <8 x i1> %mask, %7
 *                                         br (any bit of %m), body, after
 *                                  body:
 *         set n, %9                       %old = load <8 x i32>, ptr %n
 *     }                                   %new = select <8 x i1> %m, %9, %old; store %new
 *                                  after:
 *
 * The files, in reading order:
 *
 *     layout.c    what is one for all lanes ("uniform") and where each local lives
 *     liveness.c  which locals are still read, so that lanes that are off must keep them
 *     emit.c      LLVM types, constants, small things
 *     memory.c    one element per lane: gather, scatter, bools as bytes
 *     locals.c    reading and writing locals
 *     tapes.c     the same for tapes
 *     buffers.c   loads and stores
 *     halves.c    products of 32-bit words
 *     emit_ops.c  one function per KIR op
 *     control.c   statements and masks
 *     loops.c     loops
 *     exits.c     the locals of lanes that have left a loop, or not entered it yet
 *     lanes.c     the loop around the regions: takes rows, refills lanes, records faults
 *     module.c    a whole module: rendering, LLVM's passes, object code
 *     host.c      which processor, how many lanes
 *     jit.c       object code into this process
 *     cache.c     what object code depends on
 *     llvm.c      the target's table
 */
#ifndef RXN_TARGET_LLVM_H
#define RXN_TARGET_LLVM_H

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

#include "compiler/target/target.h"

/* ---- host.c ----------------------------------------------------------------------------------- */

typedef struct LlvmHost {
    const char *triple, *cpu, *features;
    const char *isa;  /* "avx512", "avx2", "sse2", "neon", "scalar" */
    u32 vector_bits;  /* width of the widest vector register that is worth using */
    bool has_scatter; /* scatter and cheap masked stores */
} LlvmHost;

/* Fills ret_host for the processor that the options name; strings live in the arena. */
/* LLVM's code generator for this machine, by however many threads at once; false: it has none. */
bool rxn__llvm_initialize(void);

void rxn__llvm_host(const TargetOptions *options, Arena *arena, LlvmHost *ret_host);

/* How many lanes to give a kernel: the options' wish, else the kernel's, else by the processor. */
u32 rxn__llvm_lanes(const KirKernel *kernel, const TargetOptions *options, const LlvmHost *host);

/* ---- layout.c --------------------------------------------------------------------------------- */

typedef enum LocalPlace {
    LOCAL_SCALAR,    /* one stack slot, which LLVM turns into registers */
    LOCAL_SPLIT,     /* an array that only constants index: one such slot per element */
    LOCAL_STACK,     /* an array in the stack frame */
    LOCAL_WORKSPACE, /* an array in launch->workspace */
    LOCAL_TAPE,      /* likewise, in its storage width, and never cleared */
} LocalPlace;

typedef struct LocalLayout {
    u8 place;
    bool uniform;  /* one for all lanes */
    size_t offset; /* of LOCAL_WORKSPACE and LOCAL_TAPE, bytes */
} LocalLayout;

typedef struct Layout {
    u32 lanes;
    bool *uniform; /* per KIR value: the same in all lanes, so a scalar */
    KirValue
        *product_twin; /* per value: for `mul` the `mulhi` of the same operands and back; or 0 */
    LocalLayout *locals;
    u32 witness_scalars;   /* numbers that a fault records, without those of arrays in memory */
    bool witness_on_stack; /* where those of all lanes are put for that */
    size_t witness_offset; /* in the workspace otherwise */
    size_t workspace_bytes;
    size_t table_bytes; /* of them, before the first tape */
} Layout;

/* Depends on the kernel and the number of lanes alone, so it can be had without compiling. */
Layout *rxn__llvm_layout(const KirKernel *kernel, u32 lanes, Arena *arena);

/* ---- liveness.c ------------------------------------------------------------------------------- */

/* A unit is a local that is kept in registers: a scalar, or one element of a LOCAL_SPLIT. Sets of units are
 * arrays of bits. None of these is had where all is scalar. */
typedef struct Liveness Liveness;

/* Of an `if`, `for` or `loop`. */
typedef struct LiveAround {
    const KirStatement *statement;
    u64 *after;  /* the units that are live behind it */
    u64 *inside; /* loops: at the head; if: at the begin of its `otherwise` */
    u64 *begin;  /* if: at the begin of its body */
    u64 *sets;   /* those that the body sets */
} LiveAround;

/* ---- emission --------------------------------------------------------------------------------- */

/* The state of one local: `slots` has one entry, or one per element of a LOCAL_SPLIT. */
typedef struct LocalSlots {
    LLVMValueRef *slots;
} LocalSlots;

/* A `for` or `loop` that is being emitted, or the region itself: `alive` holds the mask of the lanes
 * that have not left it by break or trap, or by the end of their `for`. */
typedef struct Live {
    struct Live *outer;
    LLVMValueRef alive;
    bool is_loop; /* a break ends here */
    bool is_for;
    bool uniform; /* all lanes leave together, by a branch to `leave` */
    LLVMBasicBlockRef leave;
    struct LoopExits *exits; /* where lanes that leave put their locals; NULL: sets are blends */
} Live;

typedef enum AfterTrap {
    LANES_TRAPPED = 1, /* lanes may have trapped */
    WITNESS_OPEN = 2,  /* and the scalar witnesses of some of them are saved nowhere */
} AfterTrap;

/* Who executes, and what the others keep: see Emit. */
typedef struct Standing {
    LLVMValueRef mask;
    bool blend, open;
    const u64 *parked;
} Standing;

/* Where a region's traps that take all its lanes come together; see control.c. */
typedef struct SharedTrap {
    LLVMBasicBlockRef block; /* NULL: none so far */
    LLVMValueRef code, detail;
} SharedTrap;

/* A vector's place on the stack, while its lanes are stored one by one. */
typedef struct SpillPlace {
    LLVMTypeRef type;
    LLVMValueRef slot;
    bool taken;
} SpillPlace;

typedef struct StoreLog StoreLog; /* see logs.c */

/* The even and the odd words of a vector, each in the lower half of 64 bits; NULL: not had. See halves.c. */
typedef struct Halves {
    LLVMValueRef even, odd;
} Halves;

typedef struct Emit {
    Arena *arena;
    const KirKernel *kernel;
    const Layout *layout;
    const LlvmHost *host;
    u32 lanes;

    LLVMContextRef context; /* owned by the caller, as is the builder */
    LLVMModuleRef module;
    LLVMBuilderRef builder;
    LLVMValueRef function;
    LLVMBasicBlockRef entry; /* holds nothing but the stack slots */

    LLVMTypeRef i1, i8, i32, i64, f32, f64, pointer;
    LLVMTypeRef scalar[KIR_TYPE_COUNT];
    LLVMTypeRef vector[KIR_TYPE_COUNT];      /* the scalar types when lanes is 1 */
    LLVMTypeRef mask_type, row_type;         /* W bits; W 64-bit integers */
    LLVMValueRef lane_numbers;               /* 0 … W-1, i32 */
    unsigned invariant_load, branch_weights; /* kinds of metadata */

    /* Per KIR value: what stands for it, its vector form where that was needed, and in which
     * scope the vector form may be used; its halves, where it has them; and its whole products, where those were
     * formed for the other of a `mul` and a `mulhi`, with their scope. */
    LLVMValueRef *values, *splats;
    Halves *halves, *products;
    u32 *splat_scope, *product_scope;
    VEC(u32) open_scopes;
    u32 scope_count;

    LocalSlots *locals;
    Liveness *liveness;
    u32 unit_count;
    const u64 *witness_units, *step_units; /* of traps; live in front of step */
    VEC(LLVMValueRef *) exit_slots;        /* per depth and unit; see exits.c */
    LLVMValueRef *buffers, *strides;       /* per buffer */
    LLVMValueRef workspace, fault, cancel, first, count;

    /* Where emission stands. mask: the lanes that execute, NULL where all values are scalars.
     * blend: whether the lanes outside the mask must keep their arrays in memory. parked: of the units,
     * those that they must keep. open: no trap leaves its lanes' witnesses to the code behind it. */
    LLVMValueRef mask;
    bool blend, open;
    const u64 *parked;
    u8 after_trap;  /* AfterTrap: of the code before */
    u32 divergence; /* how many blocks around that not all lanes of the region have entered */
    u32 loop_depth; /* how many fors and loops around */
    KirRegion region;
    Live *live;
    SharedTrap shared_trap;
    LLVMBasicBlockRef block_end; /* where the current KIR block goes when no lane of it is left */

    VEC(const KirStatement *) pending; /* stores that have not been written yet; see buffers.c */
    VEC(SpillPlace) spill_places;
    StoreLog *log; /* NULL: none */

    /* Per lane: row of the launch; the trajectory's fault, and its witness where that is kept: number
     * k of lane l at witness_area[k*W + l]. saved_slot: the lanes for which that has been done. */
    LLVMValueRef row_slot, code_slot, detail_slot, witness_area, saved_slot;
    LLVMValueRef
        alone; /* i64: the one lane that code is written for, in scalars; see alone.c. NULL: for all */
    const Layout *layout_of_one;
    bool saves_witness; /* traps where `open` do so at once; see control.c */

    bool has_vector_loops; /* loops.c: some whose turns LLVM is to make vectors of */

    LLVMValueRef polls;          /* i32 slot: turns to the next look at *cancel */
    LLVMBasicBlockRef cancelled; /* where a cancelled run goes */

    const char *error; /* what this target cannot do, in words; the first one */
} Emit;

/* emit.c */
void rxn__llvm_emit_types(Emit *e);

bool rxn__llvm_scope_is_open(const Emit *e, u32 scope);

LLVMTypeRef rxn__llvm_array_type(LLVMTypeRef element, u64 count);

LLVMValueRef rxn__llvm_constant(Emit *e, KirType type, u64 bits);

LLVMValueRef rxn__llvm_splat(Emit *e, LLVMValueRef scalar);

/* The value as a vector (splat where it is uniform; itself with one lane). */
LLVMValueRef rxn__llvm_lanes_of(Emit *e, KirValue value);

/* The value as scalar or vector, as `uniform` says. */
LLVMValueRef rxn__llvm_value(Emit *e, KirValue value, bool uniform);

LLVMValueRef rxn__llvm_stack_slot(Emit *e, LLVMTypeRef type, const char *name);

LLVMBasicBlockRef rxn__llvm_block(Emit *e, const char *name);

LLVMValueRef rxn__llvm_intrinsic(Emit *e, const char *name, LLVMTypeRef *overloads,
                                 u32 overload_count, LLVMValueRef *arguments, u32 argument_count);

LLVMValueRef rxn__llvm_load(Emit *e, LLVMTypeRef type, LLVMValueRef address);

void rxn__llvm_store(Emit *e, LLVMValueRef value, LLVMValueRef address);

/* i1: whether any lane of the mask is on. */
LLVMValueRef rxn__llvm_any(Emit *e, LLVMValueRef mask);

/* A conditional branch that is taken once in about `odds` times (1: nothing is known). */
void rxn__llvm_branch(Emit *e, LLVMValueRef condition, LLVMBasicBlockRef then,
                      LLVMBasicBlockRef otherwise, u32 odds);

/* memory.c */
LLVMTypeRef rxn__llvm_memory_type(Emit *e, KirType type);

LLVMTypeRef rxn__llvm_memory_vector(Emit *e, KirType type);

LLVMValueRef rxn__llvm_from_memory(Emit *e, KirType type, LLVMValueRef value);

LLVMValueRef rxn__llvm_to_memory(Emit *e, KirType type, LLVMValueRef value, bool uniform);

/* base[index]; for a vector of indices a vector of addresses. */
LLVMValueRef rxn__llvm_element(Emit *e, KirType type, LLVMValueRef base, LLVMValueRef index);

LLVMValueRef rxn__llvm_gather(Emit *e, KirType type, LLVMValueRef addresses);

void rxn__llvm_scatter(Emit *e, KirType type, LLVMValueRef value, LLVMValueRef addresses);

/* One vector, lane after lane, of which the lanes of the mask are written: a masked store, or where the
 * processor has none for `value`'s type, a load, a blend and a store. */
void rxn__llvm_masked_store(Emit *e, LLVMValueRef value, LLVMValueRef address, u32 alignment);

/* The same for elements of a given LLVM type, `bytes` wide, without any conversion. */
LLVMValueRef rxn__llvm_gather_raw(Emit *e, LLVMTypeRef vector, LLVMValueRef addresses, u32 bytes);

void rxn__llvm_scatter_raw(Emit *e, LLVMValueRef value, LLVMValueRef addresses, u32 bytes);

/* liveness.c */
void rxn__llvm_emit_liveness(Emit *e);

/* UINT32_MAX for what is no unit. */
u32 rxn__llvm_unit(const Liveness *liveness, u32 local, u32 index_count, KirValue index);

/* What a unit is. There are Emit.unit_count. */
typedef struct LiveUnit {
    u32 local, element;
} LiveUnit;

LiveUnit rxn__llvm_unit_at(const Liveness *liveness, u32 unit);

bool rxn__llvm_has_unit(const u64 *set, u32 unit);

/* A new set: empty, or as `initial`. */
u64 *rxn__llvm_units(const Liveness *liveness, const u64 *initial);

void rxn__llvm_add_units(const Liveness *liveness, u64 *to, const u64 *from);

/* Of a set, those that are in `these` and not in `without`. */
void rxn__llvm_keep_units(const Liveness *liveness, u64 *of, const u64 *these, const u64 *without);

const LiveAround *rxn__llvm_live_around(const Liveness *liveness, const KirStatement *statement);

/* locals.c */
void rxn__llvm_emit_locals(Emit *e);

/* All locals of the lanes in `mask` become zero. */
void rxn__llvm_zero_locals(Emit *e, LLVMValueRef mask);

LLVMValueRef rxn__llvm_emit_get(Emit *e, const KirNode *node);

void rxn__llvm_emit_set(Emit *e, const KirStatement *statement);

/* Address of element `index` (an i32 or i64 scalar) of a local array that lives in memory. */
/* The address of one lane's element of an array. index, lane: i64. */
LLVMValueRef rxn__llvm_lane_element(Emit *e, u32 local, LLVMValueRef index, LLVMValueRef lane);

/* Whether a set has to leave the other lanes' elements of an array in memory as they are. */
bool rxn__llvm_must_blend(const Emit *e, u32 local);

/* tapes.c */
LLVMValueRef rxn__llvm_tape_get(Emit *e, const KirNode *node);

void rxn__llvm_tape_set(Emit *e, const KirStatement *statement);

/* buffers.c */
LLVMValueRef rxn__llvm_emit_load(Emit *e, const KirNode *node, bool uniform);

void rxn__llvm_emit_store(Emit *e, const KirStatement *statement);

/* Writes the pending stores; to be called before anything that changes the mask or reads a buffer that
 * is written. */
void rxn__llvm_flush_stores(Emit *e);

/* Pending, at most: each may need a vector on the stack. */
enum { RXN_LLVM_MOST_PENDING = 32 };

/* The lanes' places of an element in a buffer of rows; no value as an index stands for 0. */
LLVMValueRef rxn__llvm_place(Emit *e, u32 object, const KirValue *index);

/* logs.c: whether the kernel keeps a log of stores: e->log. */
void rxn__llvm_plan_log(Emit *e);

/* Puts the pending stores into the log, if that is where they belong. Returns whether. */
bool rxn__llvm_log_stores(Emit *e);

/* Writes the log, where there is one, and empties it. */
void rxn__llvm_write_log(Emit *e);

/* halves.c: a `mul`, `mulhi` or `xor` of u32 vectors whose words are kept apart, if it is one of these; else NULL. */
LLVMValueRef rxn__llvm_emit_halves(Emit *e, KirValue value);

/* emit_ops.c: defines a value. */
void rxn__llvm_emit_value(Emit *e, KirValue value);

/* lanes.c: keeps the scalar witnesses of the lanes in the mask. */
void rxn__llvm_save_witness(Emit *e, LLVMValueRef mask);

/* control.c: emits a region for the lanes in mask (NULL: all is scalar). `alive` is the slot from
 * which lanes that trap are removed; it must hold the mask already. */
void rxn__llvm_emit_region(Emit *e, KirRegion region, LLVMValueRef mask, LLVMValueRef alive,
                           bool blend);

bool rxn__llvm_has_trap(const KirBlock *block);

/* Whether stores before and behind the statement may be written together, behind it. */
bool rxn__llvm_between_stores(const Emit *e, const KirStatement *statement);

Standing rxn__llvm_standing(const Emit *e);

void rxn__llvm_stand(Emit *e, Standing at);

/* The lanes that have left neither the loop around nor the region. */
LLVMValueRef rxn__llvm_alive_mask(Emit *e);

/* After a block that lanes may have left: who is still here of those in `before`? If nobody, the
 * enclosing block is over too. */
void rxn__llvm_reform_mask(Emit *e, LLVMValueRef before);

/* Emits a block that begins at `begin`. Who comes to its end goes on `through`, with a mask that is not
 * empty; a block whose last lane has left before goes to `end`. */
void rxn__llvm_emit_body(Emit *e, const KirBlock *block, LLVMBasicBlockRef begin,
                         LLVMBasicBlockRef through, LLVMBasicBlockRef end);

/* loops.c: a `for` or `loop`. */
void rxn__llvm_emit_loop(Emit *e, const KirStatement *statement);

/* exits.c */

/* In front of a loop that lanes leave, or enter, one by one: how they keep their locals. Sets what is
 * parked in the body. `own_start`: they enter one by one; `own_turns`: some may take no turn at all. */
struct LoopExits *rxn__llvm_begin_exits(Emit *e, const KirStatement *loop, bool own_start,
                                        bool own_turns, LLVMBasicBlockRef leave);

/* The locals of the lanes in the mask, as the loop leaves them. */
void rxn__llvm_save_exits(Emit *e, const struct LoopExits *exits, LLVMValueRef mask);

/* At a break of the lanes that execute. */
void rxn__llvm_leave_by_break(Emit *e, const Live *loop);

/* The lanes in the mask begin now: with the locals that they had in front of the loop. */
void rxn__llvm_join_loop(Emit *e, const struct LoopExits *exits, LLVMValueRef mask);

/* Behind the loop: the locals of all lanes but those in `stayed` (NULL: of all) are what was saved. */
void rxn__llvm_restore_exits(Emit *e, const struct LoopExits *exits, LLVMValueRef stayed);

/* alone.c: whether an `if` that lanes enter seldom is of a kind that can be written for one lane after another. */
bool rxn__llvm_can_be_alone(const Emit *e, const KirStatement *statement);

void rxn__llvm_emit_alone(Emit *e, const KirStatement *statement);

/* lanes.c: looks at *cancel once in many calls, and if it is set goes to e->cancelled, else on to
 * `next`. Ends the block. */
void rxn__llvm_emit_poll(Emit *e, LLVMBasicBlockRef next);

/* lanes.c: the body of the function. */
void rxn__llvm_emit_function(Emit *e);

/* ---- module.c --------------------------------------------------------------------------------- */

/* A module and the machine that it is for. Released with the arena, or before by
 * rxn__llvm_module_release (which may be called twice). */
typedef struct LlvmModule {
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef builder;
    LLVMTargetMachineRef machine;
    LLVMMemoryBufferRef output;
    char *message;
    Arena *arena;
    LLVMValueRef function;
    bool reads_constants; /* see constants.c */
    bool has_vector_loops;
} LlvmModule;

/* KIR to LLVM IR, not optimised. */
RxnStatus rxn__llvm_render(const KirKernel *kernel, const TargetOptions *options,
                           const LlvmHost *host, const Layout *layout, Arena *arena,
                           LlvmModule **ret_module, const char **ret_error);

RxnStatus rxn__llvm_optimize(LlvmModule *module, const TargetOptions *options,
                             const char **ret_error);

/* Object code (or assembly): in module->output until the module is released. */
RxnStatus rxn__llvm_generate(LlvmModule *module, LLVMCodeGenFileType kind, const char **ret_error);

void rxn__llvm_module_release(void *module);

/* ---- constants.c ------------------------------------------------------------------------------ */

/* Constants of all lanes are read from memory where they are used. Behind LLVM's passes. */
void rxn__llvm_read_constants(LlvmModule *module);

/* The symbol of the kernel's function: the options', else "rxn_kernel_" and the kernel's name. */
const char *rxn__llvm_symbol(const KirKernel *kernel, const TargetOptions *options, Arena *arena);

/* ---- jit.c, cache.c --------------------------------------------------------------------------- */

/* Links an object file into this process, for as long as the arena lives. */
RxnStatus rxn__llvm_link(const void *object, size_t size, const char *symbol, Arena *arena,
                         RxnKernelFunction *ret_function, const char **ret_error);

/* All that the object code depends on, as text. */
const char *rxn__llvm_cache_key(const KirKernel *kernel, const LlvmHost *host, u32 lanes,
                                Arena *arena, size_t *ret_length);

#endif
