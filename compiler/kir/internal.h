/* internal.h: what the files of compiler/kir share among themselves and with nobody else. */
#ifndef RXN_KIR_INTERNAL_H
#define RXN_KIR_INTERNAL_H

#include "compiler/kir/kir.h"

#include <string.h>

typedef float f32;
typedef double f64;
__extension__ typedef __int128 i128;
__extension__ typedef unsigned __int128 u128;

enum {
    KIR_MAX_DEPTH = 1024,             /* of nested blocks: the walks of a kernel are recursive */
    KIR_MAX_LOCAL_ELEMENTS = 1 << 24, /* of all locals together, tapes apart */
    KIR_MAX_TAPES = 1 << 16,          /* so that sizes in bytes stay far from overflow */
};

/* What an i32 index can reach. */
#define KIR_MAX_TAPE_LENGTH (UINT32_C(1) << 31)

/* ---- ops.c */

/* An op on constants of one argument type; select, cast and bits are not among them. */
typedef u64 (*KirRule)(u64 x, u64 y, u64 z);

KirRule rxn__kir_rule(KirOp op, KirType arg_type);

u64 rxn__kir_cast_bits(KirType type, KirType arg_type, u64 bits);

/* The one form of a constant of this type: extended as KirNode says, and one NaN for all. */
u64 rxn__kir_canonical(KirType type, u64 bits);

double rxn__kir_as_double(KirType type, u64 bits);

u64 rxn__kir_f32_bits(float value);

u64 rxn__kir_f64_bits(double value);

static inline bool
kir_is_int(KirType type)
{
    return type >= KIR_I32 && type <= KIR_U64;
}

static inline bool
kir_is_signed(KirType type)
{
    return type == KIR_I32 || type == KIR_I64;
}

/* ---- names.c */

typedef struct KirNameSlot {
    Name name;
    u32 number;
} KirNameSlot;

typedef struct KirNameMap {
    KirNameSlot *slots;
    u32 count, capacity; /* capacity: 0 or a power of two */
} KirNameMap;

bool rxn__kir_name_find(const KirNameMap *map, Name name, u32 *ret_number);

/* False, and nothing changed, if the name was there. */
bool rxn__kir_name_add(KirNameMap *map, Arena *arena, Name name, u32 number);

/* ---- build.c */

typedef struct KirFrame {
    KirStatementKind
        kind; /* of the statement whose block is open; unused for a region's top block */
    bool in_else;
    KirStatement *statement; /* NULL for a region's top block */
    KirBlock *block;
    u32 mark; /* how many entries were visible when it was opened */
} KirFrame;

/* A value that can be found again, while its block is open. */
typedef struct KirEntry {
    KirValue value;
    u32 hash;
    u32 next; /* in its bucket: number + 1 of an older entry, or 0 */
    u8 region;
} KirEntry;

struct KirBuilder {
    KirKernel *kernel;
    bool raw; /* append what is asked for: no folding, no sharing (readers, some passes) */
    KirRegion region;
    u32 origin;           /* of new values */
    VEC(KirFrame) frames; /* [0] is the region's top block */
    VEC(KirEntry) entries;
    u32 *buckets; /* number + 1 of the newest entry, or 0 */
    u32 bucket_count;
    KirNameMap local_names;
    u32 named_locals;  /* how many locals' names local_names has */
    const char *error; /* the first misuse, or NULL */
};

KirBuilder *rxn__kir_begin_raw(Arena *arena, NameTable *names, const char *name, KirType precision);

/* A builder whose kernel has the declarations (not the regions) of this one. */
KirBuilder *rxn__kir_begin_like(const KirKernel *kernel, bool raw);

/* Folds and shares any pure node (unless raw), appends others. The node's type must be set. */
KirValue rxn__kir_node(KirBuilder *builder, KirNode node);

void rxn__kir_builder_fail(KirBuilder *builder, const char *format, ...) RXN_PRINTF(2, 3);

/* ---- simplify.c */

/* The value that this op always equals, or 0; may bring the node into its canonical form. */
KirValue rxn__kir_simplify(KirBuilder *builder, KirNode *node);

/* ---- check.c */

/* What is wrong with a node by itself (not where it stands), or NULL. */
const char *rxn__kir_node_error(const KirKernel *kernel, const KirNode *node);

/* ---- print.c */

extern const char *const rxn__kir_fault_names[];
extern const u32 rxn__kir_fault_name_count;

/* ---- rewrite.c */

/* Copies a kernel statement by statement through a builder; a pass steps in where it wants to. */
typedef struct KirRewriter KirRewriter;
struct KirRewriter {
    const KirKernel *from;
    KirBuilder *to;
    KirValue *map; /* value of `from` -> value of `to` */
    void *context;

    /* May replace a value: 0 keeps the node, whose arguments and indices are mapped already. */
    KirValue (*value)(KirRewriter *rewriter, const KirNode *mapped);

    /* May write the statement itself and return true. */
    bool (*statement)(KirRewriter *rewriter, const KirStatement *statement);
};

void rxn__kir_rewriter_init(KirRewriter *rewriter, const KirKernel *from, bool raw);

void rxn__kir_rewrite_block(KirRewriter *rewriter, const KirBlock *block);

/* As it is, its blocks through rxn__kir_rewrite_block. */
void rxn__kir_rewrite_statement(KirRewriter *rewriter, const KirStatement *statement);

/* All four regions; returns the new kernel. */
KirKernel *rxn__kir_rewrite_all(KirRewriter *rewriter);

/* Equal up to the numbers of the values. */
bool rxn__kir_same(const KirKernel *a, const KirKernel *b);

/* Puts the new kernel in the place of the old one, unless they are the same; says whether. */
bool rxn__kir_replace(KirKernel *kernel, const KirKernel *with);

/* True if nothing after this statement in its block can run. */
bool rxn__kir_ends_block(const KirStatement *statement);

#endif
