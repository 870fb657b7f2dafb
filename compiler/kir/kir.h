/* KIR: the kernel IR, the scalar program of ONE trajectory.
 *
 * Why an IR of our own. An algorithm (compiler/method) is written once, as the program of a single
 * trajectory without lanes, threads, masks or pointers; each target (compiler/target) only renders
 * it: the LLVM target gives it W lanes of a vector, the CUDA target one thread; the interpreter
 * runs it as written and is the oracle of both.
 *
 * A kernel has declarations (buffers, locals) and four regions of statements:
 *
 *   launch   once per call, before any trajectory; reads per-launch buffers only, may set `uniform`
 *            locals. Its values are visible in the other regions. (rxn__kir_hoist moves there what
 *            depends on nothing else: rate constants, sums over parameters.)
 *   init     starts trajectory i: sets the locals.
 *   step     one iteration; repeated while the bool local named by `kernel->done` is false, which is
 *            looked at after init and after every step.
 *   finish   after the last step; stores what is left to store.
 *
 * All non-uniform locals start a trajectory as zero (init needs to set only the others); so a
 * trajectory never sees its predecessor in the same lane. But tapes are not cleared: of a tape a
 * trajectory may read only what it has written itself.
 *
 * Values are pure and written in order: `%7 = add.f64 %3, %6`. A value is visible from its line to
 * the end of its block, in the blocks nested there, and launch's top block is visible in the other
 * regions. Reading a mutable local (`get`) or a writable buffer (`load`) is a value too: it is read
 * at its line, and that is the value ever after, so there are no phis: what changes lives in locals.
 *
 * Statements: value definition; `set local[, index]`; `store`; `if`/`else` (an if may be `seldom`); `for` (an i32 counter
 * from lo to hi, hi excluded, or down from hi - 1 to lo; the bounds are read at its start only); `loop`;
 * `break`, which leaves the innermost `for` or `loop`; `trap`. No pointers, no calls, no phi.
 *
 * `trap code, detail` ends the trajectory as a fault: nothing more of it runs, finish neither. The
 * target records the code, the detail (a u32), the trajectory and the kernel's witness locals (time and
 * state), of the trapped trajectory with the lowest number; see runtime/kernel_abi.h.
 *
 * Buffers are typed and shaped, per launch (read-only) or per trajectory (each trajectory has its own
 * row: it cannot reach another's; read-only or read-write). The first extent may be KIR_DYNAMIC: only the
 * launch knows it. Rank 0 is a scalar. Out-of-range indices are a bug of the method: the
 * interpreter reports them, targets do not check.
 */
#ifndef RXN_KIR_H
#define RXN_KIR_H

#include "compiler/base/base.h"
#include "runtime/kernel_abi.h"

typedef enum KirType { KIR_BOOL, KIR_I32, KIR_U32, KIR_I64, KIR_U64, KIR_F32, KIR_F64 } KirType;
enum { KIR_TYPE_COUNT = KIR_F64 + 1 };

typedef enum KirOp {
#define KIR_OP(id, text, arity, takes, gives, flags, float_rule, int_rule, cuda) KIR_##id,
#include "compiler/kir/kir.def"
#undef KIR_OP
    KIR_OP_COUNT
} KirOp;

typedef enum KirTakes {
    KIR_TAKES_NONE,
    KIR_TAKES_FLOAT,
    KIR_TAKES_INT,
    KIR_TAKES_UINT,
    KIR_TAKES_NUMBER,
    KIR_TAKES_BOOL,
    KIR_TAKES_INT_OR_BOOL,
    KIR_TAKES_ANY,
} KirTakes;

typedef enum KirGives {
    KIR_GIVES_SAME,
    KIR_GIVES_BOOL,
    KIR_GIVES_TYPED,
    KIR_GIVES_SELECT
} KirGives;

enum { KIR_FLAG_0 = 0, KIR_FLAG_COMMUTES = 1, KIR_FLAG_MATH = 2, KIR_FLAG_LEAF = 4 };

typedef struct KirOpInfo {
    const char *text;
    u8 arity, takes, gives, flags;
    const char *cuda;
} KirOpInfo;

extern const KirOpInfo rxn__kir_ops[KIR_OP_COUNT];
extern const char *const rxn__kir_type_names[KIR_TYPE_COUNT]; /* "bool", "i32", … "f64" */
extern const u8 rxn__kir_type_bytes[KIR_TYPE_COUNT];          /* 1 4 4 8 8 4 8 */

static inline bool
kir_is_float(KirType type)
{
    return type == KIR_F32 || type == KIR_F64;
}

/* A value's number; 0 is no value. Values are numbered from 1 in order of definition. */
typedef u32 KirValue;

/* The bits of a constant: integers sign- or zero-extended to 64, f64 its bits, f32 its 32 bits. */
typedef struct KirNode {
    u8 op, type; /* KirOp, KirType */
    KirValue args[3];
    u64 bits;       /* CONST */
    u32 object;     /* GET: local; LOAD: buffer; otherwise 0 */
    u8 index_count; /* GET: 0 or 1; LOAD: rank */
    KirValue index[3];
    u32 origin; /* the position in the model's text that it was written for (source map); 0: none. Not part of
                 * the text form, and no difference between nodes: it is for what compilers say of the code */
} KirNode;

enum { KIR_MAX_RANK = 3 };
enum { KIR_DYNAMIC = 0 }; /* as an extent */

typedef enum KirScope { KIR_PER_LAUNCH, KIR_PER_TRAJECTORY } KirScope;

typedef struct KirBuffer {
    Name name;
    u8 type, scope, rank;
    bool writable;
    u32 extent[KIR_MAX_RANK]; /* extent[0] may be KIR_DYNAMIC */
} KirBuffer;

typedef struct KirLocal {
    Name name;
    u8 type;
    bool uniform; /* one per launch, set in launch only; otherwise one per trajectory */
    u8 storage;   /* 0, or it is a tape: the bytes that an element takes in memory */
    u32 length;   /* 0: a scalar; else an array of this constant size */
} KirLocal;

typedef enum KirStatementKind {
    KIR_DEFINE, /* value */
    KIR_SET,    /* object (local), index[0] or 0, value */
    KIR_STORE,  /* object (buffer), index[], value */
    KIR_IF,     /* value (bool), body, otherwise */
    KIR_FOR,   /* value: its COUNTER value; index[0] = lo, index[1] = hi (i32 values); down; body */
    KIR_LOOP,  /* body */
    KIR_BREAK, /* leaves the innermost for or loop; may stand in ifs inside it */
    KIR_TRAP,  /* code, value: the detail (u32) */
} KirStatementKind;

typedef struct KirStatement KirStatement;
typedef struct KirBlock {
    KirStatement *items;
    u32 count, capacity;
} KirBlock;

struct KirStatement {
    u8 kind, index_count;
    bool down;   /* a for that counts down */
    bool seldom; /* an if that few trajectories enter at a time */
    u16 code;    /* RxnFaultCode of a trap */
    u32 object;
    KirValue value;
    KirValue index[KIR_MAX_RANK];
    KirBlock body, otherwise;
};

typedef enum KirRegion { KIR_LAUNCH, KIR_INIT, KIR_STEP, KIR_FINISH } KirRegion;
enum { KIR_REGION_COUNT = KIR_FINISH + 1 };

typedef struct KirKernel {
    Arena *arena;
    NameTable *names;
    Name name;
    VEC(KirBuffer) buffers;
    VEC(KirLocal) locals;
    VEC(KirNode) values; /* [0] is unused */
    KirBlock regions[KIR_REGION_COUNT];
    u32 done;         /* local */
    VEC(u32) witness; /* locals a fault records: time first, then the state */
    u8 precision;     /* KIR_F64 or KIR_F32: the type that the method calls real */
    u8 lanes; /* how many lanes suit this kernel at most, because of its large state; 0: any */
} KirKernel;

/* ---- Builder (build.c) -------------------------------------------------------------------------
 *
 * Appends to the region that was selected last. Each op folds constants and identities and reuses an
 * equal pure value that is visible (scoped hash-consing), so a method writes what it means and the
 * kernel stays small. Misuse (types, scopes, an unclosed block) is a bug of the caller: kept, and
 * returned by rxn__kir_end as an error text. */
typedef struct KirBuilder KirBuilder;

KirBuilder *rxn__kir_begin(Arena *arena, NameTable *names, const char *name, KirType precision);

/* Checks the whole kernel. NULL on success; else what is wrong (an internal error of the caller). */
const char *rxn__kir_end(KirBuilder *builder, KirKernel **ret_kernel);

KirKernel *
rxn__kir_kernel(KirBuilder *builder); /* the one being built: to set done, witness, lanes */

u32 rxn__kir_buffer(KirBuilder *builder, const char *name, KirType type, KirScope scope,
                    bool writable, u32 rank, const u32 *extents);

/* length 0: a scalar. */
u32 rxn__kir_local(KirBuilder *builder, const char *name, KirType type, u32 length);

u32 rxn__kir_uniform_local(KirBuilder *builder, const char *name, KirType type, u32 length);

/* An array for what is written first and read later: by a forward run for a backward one. It is not
 * cleared for a trajectory, memory is used only as far as it is written, and length may be up to 2^31.
 * Reading an element that this trajectory has not written is a bug of the method: the interpreter
 * reports it, targets do not check. storage_bytes: the type's own size; for a u32 also 1 or 2: a set
 * then keeps the low 8 or 16 bits. Written and read at the counter of a `for`, it costs plain vector
 * stores and loads. */
u32 rxn__kir_tape_local(KirBuilder *builder, const char *name, KirType type, u32 storage_bytes,
                        u32 length);

void rxn__kir_region(KirBuilder *builder, KirRegion region);

KirValue rxn__kir_const_bits(KirBuilder *builder, KirType type, u64 bits);

/* value is converted to type (rounded once for f32); must be exact for integer types. */
KirValue rxn__kir_const(KirBuilder *builder, KirType type, double value);

KirValue rxn__kir_op(KirBuilder *builder, KirOp op, KirValue a, KirValue b, KirValue c);

/* For ops that give TYPED (cast, bits, trajectory). A cast to its own type is the value itself; a cast
 * to bool, which is no op, becomes `ne x, 0`. */
KirValue rxn__kir_typed(KirBuilder *builder, KirOp op, KirType type, KirValue a);

/* index: 0 for a scalar. */
KirValue rxn__kir_get(KirBuilder *builder, u32 local, KirValue index);

void rxn__kir_set(KirBuilder *builder, u32 local, KirValue index, KirValue value);

/* index: `rank` i32 values. */
KirValue rxn__kir_load(KirBuilder *builder, u32 buffer, const KirValue *index);

void rxn__kir_store(KirBuilder *builder, u32 buffer, const KirValue *index, KirValue value);

void rxn__kir_if(KirBuilder *builder, KirValue condition);

/* The same, of which it is known that few trajectories enter it at a time, or that they agree about little in it. It means nothing else:
 * targets may write it for one after another. */
void rxn__kir_if_seldom(KirBuilder *builder, KirValue condition);

void rxn__kir_else(KirBuilder *builder);

KirValue rxn__kir_for(KirBuilder *builder, KirValue lo, KirValue hi);

/* The counter takes hi - 1, hi - 2, … lo. */
KirValue rxn__kir_for_down(KirBuilder *builder, KirValue lo, KirValue hi);

void rxn__kir_loop(KirBuilder *builder);

void rxn__kir_break(KirBuilder *builder);

void rxn__kir_close(KirBuilder *builder); /* ends the innermost if, for or loop */

void rxn__kir_trap(KirBuilder *builder, RxnFaultCode code, KirValue detail);

KirType rxn__kir_type(const KirBuilder *builder, KirValue value);

/* New values are written for this position of the model's text (0: none). Returns what it was before. */
u32 rxn__kir_origin(KirBuilder *builder, u32 position);

/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, Random123), all u32: key[2], counter[4] -> out[4].
 * Expands to mul and mulhi; with a uniform key the key schedule is hoisted to launch. */
void rxn__kir_philox(KirBuilder *builder, const KirValue key[2], const KirValue counter[4],
                     KirValue ret_words[4]);

/* Several blocks side by side, which takes less time than one behind the other. words: the counters, which become what
 * they give. */
void rxn__kir_philox_blocks(KirBuilder *builder, const KirValue key[2], u32 blocks,
                            KirValue (*words)[4]);

/* Of them the rounds first … end - 1, for who spreads a block's work over other code. */
enum { KIR_PHILOX_ROUNDS = 10 };
void rxn__kir_philox_rounds(KirBuilder *builder, const KirValue key[2], u32 first, u32 end,
                            u32 blocks, KirValue (*words)[4]);

/* Short spellings for methods: kir_add(b, x, y), kir_lt(b, x, y), kir_select(b, c, x, y) … */
#define KIR_SHORT1(name, OP)                                                                       \
    static inline KirValue kir_##name(KirBuilder *b, KirValue x)                                   \
    {                                                                                              \
        return rxn__kir_op(b, KIR_##OP, x, 0, 0);                                                  \
    }
#define KIR_SHORT2(name, OP)                                                                       \
    static inline KirValue kir_##name(KirBuilder *b, KirValue x, KirValue y)                       \
    {                                                                                              \
        return rxn__kir_op(b, KIR_##OP, x, y, 0);                                                  \
    }
#define KIR_SHORT3(name, OP)                                                                       \
    static inline KirValue kir_##name(KirBuilder *b, KirValue x, KirValue y, KirValue z)           \
    {                                                                                              \
        return rxn__kir_op(b, KIR_##OP, x, y, z);                                                  \
    }
KIR_SHORT2(add, ADD)
KIR_SHORT2(sub, SUB)
KIR_SHORT2(mul, MUL)
KIR_SHORT2(mulhi, MULHI)
KIR_SHORT2(div, DIV)
KIR_SHORT2(rem, REM)
KIR_SHORT3(fma, FMA)
KIR_SHORT1(neg, NEG)
KIR_SHORT1(abs, ABS)
KIR_SHORT2(min, MIN)
KIR_SHORT2(max, MAX)
KIR_SHORT1(sqrt, SQRT)
KIR_SHORT1(floor, FLOOR)
KIR_SHORT1(ceil, CEIL)
KIR_SHORT1(rint, RINT)
KIR_SHORT2(copysign, COPYSIGN)
KIR_SHORT2(and, AND)
KIR_SHORT2(or, OR)
KIR_SHORT2(xor, XOR)
KIR_SHORT1(not, NOT)
KIR_SHORT2(shl, SHL)
KIR_SHORT2(shr, SHR)
KIR_SHORT2(eq, EQ)
KIR_SHORT2(ne, NE)
KIR_SHORT2(lt, LT)
KIR_SHORT2(le, LE)
KIR_SHORT2(gt, GT)
KIR_SHORT2(ge, GE)
KIR_SHORT3(select, SELECT)
KIR_SHORT1(log, LOG)
KIR_SHORT1(log_unit, LOG_UNIT)
KIR_SHORT1(exp, EXP)
static inline KirValue
kir_cast(KirBuilder *b, KirType type, KirValue x)
{
    return rxn__kir_typed(b, KIR_CAST, type, x);
}
static inline KirValue
kir_bits(KirBuilder *b, KirType type, KirValue x)
{
    return rxn__kir_typed(b, KIR_BITS, type, x);
}
static inline KirValue
kir_trajectory(KirBuilder *b)
{
    return rxn__kir_typed(b, KIR_TRAJECTORY, KIR_U64, 0);
}

/* ---- Text form (print.c, read.c), checker (check.c) -------------------------------------------- */

/* Canonical: reading it and printing again gives the same bytes. Values are renumbered in order of
 * definition, unused ones are not printed. */
void rxn__kir_print(const KirKernel *kernel, Text *out);

/* NULL on success; else "line 3: …". Reads exactly what print writes (and comments); checks it. */
const char *rxn__kir_read(Arena *arena, NameTable *names, const char *text, size_t length,
                          KirKernel **ret_kernel);

/* Types, scopes, regions, indices' types, breaks inside loops, uniform rules, tapes, witness, done.
 * `expanded`: also that no MATH op is left. NULL when all is well. */
const char *rxn__kir_check(const KirKernel *kernel, bool expanded, Arena *arena);

/* ---- Interpreter (interpret.c): the oracle --------------------------------------------------- */

/* Runs a launch exactly as a target would, one trajectory after another, with every index checked.
 * RXN_ERROR_INTERNAL with *ret_error set when the kernel itself is at fault (index out of range, an
 * element of a tape read before it is written, more than step_guard steps in one trajectory; 0: no
 * guard). A trap is no error: see the launch. */
RxnStatus rxn__kir_interpret(const KirKernel *kernel, RxnLaunch *launch, u64 step_guard,
                             Arena *arena, const char **ret_error);

/* One op on constants, as the rules of kir.def have it; what the folder uses too. */
u64 rxn__kir_evaluate(KirOp op, KirType type, KirType arg_type, const u64 args[3]);

/* ---- Passes: one file each. A pass returns true only if it changed something. ---------------- */

typedef struct KirPass {
    const char *name;
    bool (*run)(KirKernel *kernel);
    bool expands_math; /* after it, check with expanded = true */
} KirPass;

bool rxn__kir_fold(KirKernel *kernel); /* constants and identities; also `if` on a constant */

bool rxn__kir_cse(KirKernel *kernel); /* equal pure values, and equal gets with no set between */

bool rxn__kir_dce(KirKernel *kernel); /* values, locals, buffers never read; empty ifs and loops */

bool
rxn__kir_hoist(KirKernel *kernel); /* launch-invariant values to launch; loop-invariant ones out */

bool rxn__kir_expand_math(KirKernel *kernel); /* MATH ops into fma polynomials */

/* The whole sequence, with a check (and in debug builds print → read → print and the "changed"
 * promise) after each pass. NULL, or an internal error that names the pass. `after`, where not
 * NULL, is called with each pass's result, for `rxn trace`. */
const char *rxn__kir_optimize(KirKernel *kernel, Arena *scratch,
                              void (*after)(void *context, const char *pass,
                                            const KirKernel *kernel),
                              void *context);

/* ahead.c: a kernel of the same meaning that computes what depends on the number of the step alone for several steps at once; NULL
 * where there is nothing of the kind. For a trajectory that has no others beside it; behind rxn__kir_optimize. */
KirKernel *rxn__kir_ahead(const KirKernel *kernel);

/* True if a break in this block leaves the for or loop around it. */
bool rxn__kir_has_break(const KirBlock *block);

/* Rebuilds a kernel through the builder (thus folded and shared), letting `value` replace a value
 * (return 0 to keep the op as it is, with its arguments already mapped). For passes. */
typedef KirValue (*KirRewriteValue)(void *context, KirBuilder *builder, const KirNode *node,
                                    const KirValue mapped_args[3]);

KirKernel *rxn__kir_rewrite(const KirKernel *kernel, KirRewriteValue value, void *context);

#endif
