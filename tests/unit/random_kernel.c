/* random_kernel.c: see random_kernel.h.
 *
 * The generator keeps the values that are visible where it writes, picks ops at random for which it
 * has operands, and now and then opens a block. What makes a kernel end: the steps of a trajectory
 * are counted, and so is every loop. What keeps indices in range: they are remainders by the length.
 * Tapes are written from end to end by init, so that any element may be read.
 */
#include "random_kernel.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SMALL = 5,   /* arrays: indexed by constants only, */
    MEDIUM = 11, /* by anything, on the stack, */
    LARGE = 150, /* by anything, too large for the stack, */
    TAPE = 9,    /* not cleared, */
    TABLE = 13,  /* of the launch */
    OUTPUTS = 6, /* columns of the two-dimensional output */
    DEPTH = 4,   /* nesting of blocks */
    TAPES = 8,
    VISIBLE = 4096,
};

typedef struct Generator {
    Arena *arena;
    KirBuilder *builder;
    u64 random;
    KirRegion region;
    struct {
        KirValue value;
        KirType type;
    } visible[VISIBLE];
    u32 visible_count, depth, left; /* left: statements to write */
    u32 loop_depth;
    u32 scalar[KIR_TYPE_COUNT][2], uniform_scalar[KIR_TYPE_COUNT];
    u32 small[KIR_TYPE_COUNT], medium[KIR_TYPE_COUNT], large, uniform_table, uniform_large;
    u32 tape[TAPES];
    u32 loop_counter[DEPTH + 1], steps, done;
    u32 rates, counts, flag, seed, matrix;          /* per launch */
    u32 start, out_f64, out_u32, out_bool, out_i64; /* per trajectory */
} Generator;

static u32
below(Generator *g, u32 limit)
{
    return (u32)(random_u64(&g->random) % limit);
}

static u64
float_bits(KirType type, double value)
{
    float narrow = (float)value;
    u32 word;
    u64 bits;
    memcpy(&word, &narrow, sizeof word);
    memcpy(&bits, &value, sizeof bits);
    return type == KIR_F32 ? word : bits;
}

u64
number_from_environment(const char *variable, u64 otherwise)
{
    const char *text = getenv(variable);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

u64
random_special_bits(u64 *state, KirType type)
{
    static const double special[] = {
        0.0,        -0.0,          1,      -1,         0.5,       -0.5,           1.5,
        2.5,        -2.5,          3,      1e-300,     1e300,     0x1p31,         -0x1p31,
        0x1p31 - 1, -0x1p31 - 1,   0x1p32, 0x1p32 - 1, 0x1p53,    0x1p63,         -0x1p63,
        0x1p64,     0x1.fffffep62, -0.999, 0x1p-149,   0x1p-1074, 0x1.fffffep127, INFINITY,
        -INFINITY,  NAN,           1e10,   7};
    static const u64 whole[] = {0,
                                1,
                                2,
                                3,
                                5,
                                7,
                                31,
                                32,
                                33,
                                63,
                                64,
                                100,
                                0x7fffffff,
                                0x80000000u,
                                0xffffffffu,
                                0xfffffffeu,
                                0x7fffffffffffffff,
                                0x8000000000000000,
                                0xffffffffffffffff,
                                0xfffffffffffffffe,
                                0x100000000,
                                12345678901};
    u64 r = random_u64(state);
    if (type == KIR_BOOL)
        return r & 1;
    if (kir_is_float(type)) {
        double value = r & 1 ? special[(r >> 1) % COUNT_OF(special)]
                             : ((double)(i64)r) * 0x1p-63 * (double)(1 << (r >> 8 & 15));
        return float_bits(type, value);
    }
    u64 value = r & 1 ? whole[(r >> 1) % COUNT_OF(whole)] : r >> (r >> 1 & 63);
    if (type == KIR_I32)
        return (u64)(i64)(i32)value;
    return type == KIR_U32 ? (u32)value : value;
}

static void
push(Generator *g, KirValue value)
{
    if (g->visible_count < VISIBLE && value != 0) {
        g->visible[g->visible_count].value = value;
        g->visible[g->visible_count].type = rxn__kir_type(g->builder, value);
        g->visible_count++;
    }
}

/* A visible value of the type, the newer the likelier; or a local; seldom a constant, because the
 * builder folds what is made of constants alone, and with it the kernel. */
static KirValue
pick(Generator *g, KirType type)
{
    u32 candidates[8], count = 0;
    for (u32 i = g->visible_count; i-- > 0 && count < COUNT_OF(candidates);)
        if (g->visible[i].type == type && below(g, 3) != 0)
            candidates[count++] = i;
    if (below(g, 12) == 0)
        return rxn__kir_const_bits(g->builder, type, random_special_bits(&g->random, type));
    if (count > 0)
        return g->visible[candidates[below(g, count)]].value;
    if (g->region == KIR_LAUNCH || below(g, 4) == 0)
        return rxn__kir_get(g->builder, g->uniform_scalar[type], 0);
    return rxn__kir_get(g->builder, g->scalar[type][below(g, 2)], 0);
}

static KirType
any_type(Generator *g)
{
    /* f64, u32, i32 and bool are what kernels mostly hold. */
    static const KirType types[] = {KIR_F64, KIR_F64,  KIR_F64, KIR_U32, KIR_U32,
                                    KIR_I32, KIR_BOOL, KIR_F32, KIR_I64, KIR_U64};
    return types[below(g, COUNT_OF(types))];
}

static KirValue
constant(Generator *g, KirType type, double value)
{
    return rxn__kir_const(g->builder, type, value);
}

/* An i32 from 0 to length - 1: of a lane, or the same for all. */
static KirValue
index_below(Generator *g, u32 length)
{
    if (below(g, 4) == 0)
        return constant(g, KIR_I32, below(g, length));
    KirValue word = kir_rem(g->builder, pick(g, KIR_U32), constant(g, KIR_U32, length));
    return kir_cast(g->builder, KIR_I32, word);
}

/* An i32 from 0 to TAPE - 1: what counts a for, often, so that lanes in step write side by side. */
static KirValue
tape_index(Generator *g)
{
    if (below(g, 3) == 0)
        return index_below(g, TAPE);
    return kir_and(g->builder, pick(g, KIR_I32), constant(g, KIR_I32, 7));
}

static KirValue
without_nan(Generator *g, KirValue value)
{
    KirBuilder *b = g->builder;
    KirType type = rxn__kir_type(b, value);
    return kir_select(b, kir_eq(b, value, value), value, constant(g, type, 2));
}

static bool
accepts(const KirOpInfo *op, KirType type)
{
    switch ((KirTakes)op->takes) {
    case KIR_TAKES_NONE: return false;
    case KIR_TAKES_FLOAT: return kir_is_float(type);
    case KIR_TAKES_INT: return type != KIR_BOOL && !kir_is_float(type);
    case KIR_TAKES_UINT: return type == KIR_U32 || type == KIR_U64;
    case KIR_TAKES_NUMBER: return type != KIR_BOOL;
    case KIR_TAKES_BOOL: return type == KIR_BOOL;
    case KIR_TAKES_INT_OR_BOOL: return !kir_is_float(type);
    case KIR_TAKES_ANY: return true;
    }
    return false;
}

static KirValue
random_op(Generator *g)
{
    KirBuilder *b = g->builder;
    KirType type = any_type(g);
    KirOp op = (KirOp)below(g, KIR_OP_COUNT);
    const KirOpInfo *info = &rxn__kir_ops[op];
    if (info->flags & (KIR_FLAG_LEAF | KIR_FLAG_MATH))
        return 0;
    if (op == KIR_SELECT)
        return kir_select(b, pick(g, KIR_BOOL), pick(g, type), pick(g, type));
    if (!accepts(info, type))
        return 0;
    if (op == KIR_CAST) {
        KirType to = any_type(g);
        return to == KIR_BOOL ? 0 : kir_cast(b, to, pick(g, type));
    }
    if (op == KIR_BITS) {
        static const KirType alike[KIR_TYPE_COUNT][2] = {
            [KIR_I32] = {KIR_U32, KIR_F32}, [KIR_U32] = {KIR_I32, KIR_F32},
            [KIR_F32] = {KIR_U32, KIR_I32}, [KIR_I64] = {KIR_U64, KIR_F64},
            [KIR_U64] = {KIR_F64, KIR_I64}, [KIR_F64] = {KIR_U64, KIR_I64}};
        KirValue x = pick(g, type);
        return kir_bits(b, alike[type][below(g, 2)], kir_is_float(type) ? without_nan(g, x) : x);
    }
    KirValue x = pick(g, type), y = pick(g, type), z = pick(g, type);
    if (op == KIR_COPYSIGN)
        y = without_nan(g, y);
    if (op == KIR_MULHI && below(g, 2))
        push(g, kir_mul(b, y, x)); /* the pair that random numbers are made of */
    return rxn__kir_op(b, op, x, info->arity > 1 ? y : 0, info->arity > 2 ? z : 0);
}

static KirValue
random_leaf(Generator *g)
{
    KirBuilder *b = g->builder;
    KirType type = any_type(g);
    bool launch = g->region == KIR_LAUNCH;
    KirValue index[3];
    switch (below(g, launch ? 5 : 16)) {
    case 0: index[0] = index_below(g, TABLE); return rxn__kir_load(b, g->rates, index);
    case 1: index[0] = index_below(g, TABLE); return rxn__kir_load(b, g->counts, index);
    case 2: index[0] = index_below(g, TABLE); return rxn__kir_load(b, g->flag, index);
    case 3:
        index[0] = index_below(g, TABLE);
        index[1] = index_below(g, 3);
        return rxn__kir_load(b, g->matrix, index);
    case 4: return rxn__kir_load(b, g->seed, NULL);
    case 5: return kir_trajectory(b);
    case 6: return rxn__kir_get(b, g->small[type], constant(g, KIR_I32, below(g, SMALL)));
    case 7: return rxn__kir_get(b, g->medium[type], index_below(g, MEDIUM));
    case 8: return rxn__kir_get(b, g->large, index_below(g, LARGE));
    case 9: return rxn__kir_get(b, g->uniform_table, index_below(g, TABLE));
    case 10: return rxn__kir_get(b, g->uniform_large, index_below(g, 4 * LARGE));
    case 11: return rxn__kir_get(b, g->uniform_scalar[type], 0);
    case 12: index[0] = index_below(g, TABLE); return rxn__kir_load(b, g->start, index);
    case 13:
    case 14: return rxn__kir_get(b, g->tape[below(g, TAPES)], tape_index(g));
    default: return rxn__kir_get(b, g->scalar[type][below(g, 2)], 0);
    }
}

/* Values, a few at a time. */
static void
write_values(Generator *g)
{
    for (u32 i = 1 + below(g, 4); i-- > 0;) {
        push(g, below(g, 3) == 0 ? random_leaf(g) : random_op(g));
    }
}

static void
write_set(Generator *g)
{
    KirBuilder *b = g->builder;
    KirType type = any_type(g);
    if (g->region == KIR_LAUNCH) {
        switch (below(g, 3)) {
        case 0: rxn__kir_set(b, g->uniform_scalar[type], 0, pick(g, type)); break;
        case 1: rxn__kir_set(b, g->uniform_table, index_below(g, TABLE), pick(g, KIR_F64)); break;
        default:
            rxn__kir_set(b, g->uniform_large, index_below(g, 4 * LARGE), pick(g, KIR_I32));
            break;
        }
        return;
    }
    switch (below(g, 8)) {
    case 0: {
        KirValue at = constant(g, KIR_I32, below(g, SMALL));
        rxn__kir_set(b, g->small[type], at, pick(g, type));
        break;
    }
    case 1: rxn__kir_set(b, g->medium[type], index_below(g, MEDIUM), pick(g, type)); break;
    case 2: rxn__kir_set(b, g->large, index_below(g, LARGE), pick(g, KIR_F64)); break;
    case 3:
    case 4: {
        u32 tape = g->tape[below(g, TAPES)];
        KirValue index = tape_index(g);
        type = (KirType)rxn__kir_kernel(b)->locals.items[tape].type;
        rxn__kir_set(b, tape, index, pick(g, type));
        break;
    }
    default: rxn__kir_set(b, g->scalar[type][below(g, 2)], 0, pick(g, type)); break;
    }
}

static void
write_store(Generator *g)
{
    KirBuilder *b = g->builder;
    KirValue index[3] = {index_below(g, TABLE), index_below(g, OUTPUTS), 0};
    switch (below(g, 4)) {
    case 0: rxn__kir_store(b, g->out_f64, index, pick(g, KIR_F64)); break;
    case 1: rxn__kir_store(b, g->out_u32, &index[1], pick(g, KIR_U32)); break;
    case 2: rxn__kir_store(b, g->out_bool, &index[1], pick(g, KIR_BOOL)); break;
    default: rxn__kir_store(b, g->out_i64, NULL, pick(g, KIR_I64)); break;
    }
}

static void write_statement(Generator *g);

static void
write_block(Generator *g)
{
    u32 count = g->visible_count;
    g->depth++;
    for (u32 i = 1 + below(g, 4); i-- > 0;)
        write_statement(g);
    g->depth--;
    g->visible_count = count;
}

/* A comparison of numbers, mostly. */
static KirValue
condition(Generator *g)
{
    KirType type = any_type(g);
    if (type == KIR_BOOL)
        return pick(g, KIR_BOOL);
    KirOp op = (KirOp)(KIR_EQ + below(g, 6));
    return rxn__kir_op(g->builder, op, pick(g, type), pick(g, type), 0);
}

static void
write_if(Generator *g)
{
    KirValue enters = condition(g);
    bool seldom = below(g, 3) == 0;
    (seldom ? rxn__kir_if_seldom : rxn__kir_if)(g->builder, enters);
    write_block(g);
    if (below(g, seldom ? 8 : 2) == 0) {
        rxn__kir_else(g->builder);
        write_block(g);
    }
    rxn__kir_close(g->builder);
}

static void
write_for(Generator *g)
{
    KirBuilder *b = g->builder;
    KirValue low = constant(g, KIR_I32, (double)below(g, 4) - 1), high;
    if (below(g, 2))
        low = index_below(g, 4);
    high = below(g, 2) ? index_below(g, 6) : constant(g, KIR_I32, below(g, 6));
    u32 count = g->visible_count, loops = g->loop_depth;
    g->loop_depth = 1;
    push(g, below(g, 2) ? rxn__kir_for(b, low, high) : rxn__kir_for_down(b, low, high));
    write_block(g);
    if (below(g, 8) == 0)
        rxn__kir_break(b);
    rxn__kir_close(b);
    g->loop_depth = loops;
    g->visible_count = count;
}

/* One that lanes leave at different times, or one that all leave together. */
static void
write_loop(Generator *g)
{
    KirBuilder *b = g->builder;
    u32 loops = g->loop_depth, visible = g->visible_count;
    if (g->region == KIR_LAUNCH || below(g, 5) == 0) {
        KirValue leaves = condition(g);
        rxn__kir_loop(b);
        g->loop_depth = 0;
        write_block(g);
        rxn__kir_if(b, leaves);
        write_block(g);
        rxn__kir_break(b);
        rxn__kir_close(b);
        write_block(g);
        rxn__kir_break(b);
        rxn__kir_close(b);
    } else {
        u32 counter = g->loop_counter[g->depth];
        KirValue limit = kir_rem(b, pick(g, KIR_U32), constant(g, KIR_U32, 5));
        rxn__kir_set(b, counter, 0, constant(g, KIR_U32, 0));
        rxn__kir_loop(b);
        g->loop_depth = 1;
        write_block(g);
        KirValue turns = rxn__kir_get(b, counter, 0);
        rxn__kir_if(b, kir_ge(b, turns, limit));
        if (below(g, 2))
            write_block(g);
        rxn__kir_break(b);
        rxn__kir_close(b);
        rxn__kir_set(b, counter, 0, kir_add(b, turns, constant(g, KIR_U32, 1)));
        push(g, turns);
        write_block(g);
        rxn__kir_close(b);
    }
    g->loop_depth = loops;
    g->visible_count = visible;
}

static void
write_trap(Generator *g)
{
    KirBuilder *b = g->builder;
    u32 visible = g->visible_count;
    if (below(g, 3) != 0) {
        KirValue hash = kir_rem(b, pick(g, KIR_U32), constant(g, KIR_U32, 257));
        rxn__kir_if(b, kir_eq(b, hash, constant(g, KIR_U32, below(g, 257))));
        if (below(g, 3) == 0)
            write_values(g);
        rxn__kir_trap(b, (RxnFaultCode)(1 + below(g, 8)), pick(g, KIR_U32));
    } else {
        rxn__kir_if(b, kir_and(b, condition(g), condition(g)));
        rxn__kir_trap(b, (RxnFaultCode)(1 + below(g, 8)), pick(g, KIR_U32));
    }
    rxn__kir_close(b);
    g->visible_count = visible;
}

static void
write_break(Generator *g)
{
    u32 visible = g->visible_count;
    rxn__kir_if(g->builder, condition(g));
    if (below(g, 2))
        write_values(g);
    rxn__kir_break(g->builder);
    rxn__kir_close(g->builder);
    g->visible_count = visible;
}

static void
write_statement(Generator *g)
{
    bool deeper = g->depth < DEPTH && g->left > 0;
    bool launch = g->region == KIR_LAUNCH;
    if (g->left > 0)
        g->left--;
    switch (below(g, 20)) {
    case 0:
    case 1:
    case 2:
        if (deeper)
            write_if(g);
        break;
    case 3:
        if (deeper)
            write_for(g);
        break;
    case 4:
        if (deeper)
            write_loop(g);
        break;
    case 5:
        if (!launch)
            write_trap(g);
        break;
    case 6:
        if (g->loop_depth > 0)
            write_break(g);
        break;
    case 7:
    case 8:
        if (!launch)
            write_store(g);
        break;
    case 9:
    case 10:
    case 11:
    case 12:
    case 13: write_set(g); break;
    default: write_values(g); break;
    }
}

/* ---- declarations ------------------------------------------------------------------------------ */

static u32
named_local(Generator *g, const char *what, u32 number, KirType type, u32 length, bool uniform)
{
    char name[32];
    snprintf(name, sizeof name, "%s%u", what, number);
    return uniform ? rxn__kir_uniform_local(g->builder, name, type, length)
                   : rxn__kir_local(g->builder, name, type, length);
}

static void
declare(Generator *g)
{
    KirBuilder *b = g->builder;
    const u32 table[3] = {TABLE, 3, 1}, dynamic[3] = {KIR_DYNAMIC, OUTPUTS, 1},
              outputs[1] = {OUTPUTS};
    g->rates = rxn__kir_buffer(b, "rates", KIR_F64, KIR_PER_LAUNCH, false, 1, table);
    g->counts = rxn__kir_buffer(b, "counts", KIR_U32, KIR_PER_LAUNCH, false, 1, table);
    g->flag = rxn__kir_buffer(b, "flag", KIR_BOOL, KIR_PER_LAUNCH, false, 1, table);
    g->matrix = rxn__kir_buffer(b, "matrix", KIR_F32, KIR_PER_LAUNCH, false, 2, table);
    g->seed = rxn__kir_buffer(b, "seed", KIR_I64, KIR_PER_LAUNCH, false, 0, table);
    g->start = rxn__kir_buffer(b, "start", KIR_I32, KIR_PER_TRAJECTORY, false, 1, table);
    g->out_f64 = rxn__kir_buffer(b, "out_f64", KIR_F64, KIR_PER_TRAJECTORY, true, 2, dynamic);
    g->out_u32 = rxn__kir_buffer(b, "out_u32", KIR_U32, KIR_PER_TRAJECTORY, true, 1, outputs);
    g->out_bool = rxn__kir_buffer(b, "out_bool", KIR_BOOL, KIR_PER_TRAJECTORY, true, 1, outputs);
    g->out_i64 = rxn__kir_buffer(b, "out_i64", KIR_I64, KIR_PER_TRAJECTORY, true, 0, outputs);
    for (u32 type = 0; type < KIR_TYPE_COUNT; type++) {
        g->scalar[type][0] = named_local(g, "first", type, (KirType)type, 0, false);
        g->scalar[type][1] = named_local(g, "second", type, (KirType)type, 0, false);
        g->small[type] = named_local(g, "small", type, (KirType)type, SMALL, false);
        g->medium[type] = named_local(g, "medium", type, (KirType)type, MEDIUM, false);
        g->uniform_scalar[type] = named_local(g, "shared", type, (KirType)type, 0, true);
    }
    g->large = rxn__kir_local(b, "large", KIR_F64, LARGE);
    static const struct {
        KirType type;
        u32 storage;
    } tapes[TAPES] = {{KIR_U32, 1}, {KIR_U32, 2}, {KIR_U32, 4},  {KIR_F64, 8},
                      {KIR_F32, 4}, {KIR_I64, 8}, {KIR_BOOL, 1}, {KIR_I32, 4}};
    for (u32 i = 0; i < TAPES; i++)
        g->tape[i] = rxn__kir_tape_local(b, "tape", tapes[i].type, tapes[i].storage, TAPE);
    g->uniform_table = rxn__kir_uniform_local(b, "uniform_table", KIR_F64, TABLE);
    g->uniform_large = rxn__kir_uniform_local(b, "uniform_large", KIR_I32, 4 * LARGE);
    for (u32 i = 0; i <= DEPTH; i++)
        g->loop_counter[i] = named_local(g, "turn", i, KIR_U32, 0, false);
    g->steps = rxn__kir_local(b, "steps", KIR_U32, 0);
    g->done = rxn__kir_local(b, "done", KIR_BOOL, 0);
    KirKernel *kernel = rxn__kir_kernel(b);
    kernel->done = g->done;
    const u32 witness[] = {g->scalar[KIR_F64][0],
                           g->small[KIR_I32],
                           g->scalar[KIR_I64][1],
                           g->medium[KIR_BOOL],
                           g->scalar[KIR_F32][0],
                           g->scalar[KIR_BOOL][0],
                           g->large,
                           g->scalar[KIR_U64][0],
                           g->medium[KIR_U32]};
    u32 first = below(g, COUNT_OF(witness));
    for (u32 i = first; i < COUNT_OF(witness); i++)
        vec_push(kernel->arena, &kernel->witness, witness[i]);
}

/* Numbers that differ: between trajectories in init, between launches in launch. */
static void
write_start(Generator *g)
{
    KirBuilder *b = g->builder;
    bool launch = g->region == KIR_LAUNCH;
    for (u32 type = 0; type < KIR_TYPE_COUNT; type++) {
        KirValue index = constant(g, KIR_I32, below(g, TABLE)), source;
        if (launch)
            source = rxn__kir_load(b, below(g, 2) ? g->counts : g->rates, &index);
        else
            source = below(g, 2) ? rxn__kir_load(b, g->start, &index) : kir_trajectory(b);
        KirValue value = type == KIR_BOOL ? kir_ne(b, source, pick(g, rxn__kir_type(b, source)))
                                          : kir_cast(b, (KirType)type, source);
        rxn__kir_set(b, launch ? g->uniform_scalar[type] : g->scalar[type][below(g, 2)], 0, value);
        push(g, value);
    }
}

/* Every element, each of another value. */
static void
write_tapes(Generator *g)
{
    KirBuilder *b = g->builder;
    KirValue low = constant(g, KIR_I32, 0), high = constant(g, KIR_I32, TAPE);
    KirValue i = below(g, 2) ? rxn__kir_for(b, low, high) : rxn__kir_for_down(b, low, high);
    KirValue number = kir_mul(b, kir_add(b, kir_trajectory(b), kir_cast(b, KIR_U64, i)),
                              rxn__kir_const_bits(b, KIR_U64, 0x9E3779B97F4A7C15));
    for (u32 t = 0; t < TAPES; t++) {
        KirType type = (KirType)rxn__kir_kernel(b)->locals.items[g->tape[t]].type;
        rxn__kir_set(b, g->tape[t], i, kir_cast(b, type, number));
    }
    rxn__kir_close(b);
}

static void
write_region(Generator *g, KirRegion region, u32 size)
{
    g->region = region;
    g->loop_depth = g->depth = 0;
    g->left = size;
    rxn__kir_region(g->builder, region);
    if (region == KIR_INIT)
        write_tapes(g);
    if (region == KIR_LAUNCH || region == KIR_INIT)
        write_start(g);
    else
        for (u32 type = 0; type < KIR_TYPE_COUNT; type++)
            push(g, rxn__kir_get(g->builder, g->scalar[type][below(g, 2)], 0));
    while (g->left > 0)
        write_statement(g);
}

/* At the end of finish: stores what else nobody would look at. */
static KirKernel *
end_kernel(Generator *g, const char **ret_error)
{
    KirBuilder *b = g->builder;
    for (u32 i = 0; i < OUTPUTS; i++) {
        KirValue index[2] = {constant(g, KIR_I32, 0), constant(g, KIR_I32, i)};
        KirValue value = rxn__kir_get(b, g->medium[KIR_F64], index[1]);
        value = kir_add(b, value, rxn__kir_get(b, g->large, index[1]));
        rxn__kir_store(b, g->out_f64, index, value);
        rxn__kir_store(b, g->out_u32, &index[1], rxn__kir_get(b, g->tape[i % 3], index[1]));
    }
    rxn__kir_store(b, g->out_i64, NULL, rxn__kir_get(b, g->scalar[KIR_I64][0], 0));
    KirKernel *kernel = NULL;
    *ret_error = rxn__kir_end(b, &kernel);
    return *ret_error == NULL ? kernel : NULL;
}

KirKernel *
random_kernel(Arena *arena, NameTable *names, u64 seed, u32 size, const char **ret_error)
{
    Generator *g = NEW(arena, Generator);
    g->arena = arena;
    g->random = seed;
    g->builder = rxn__kir_begin(arena, names, "random", below(g, 2) ? KIR_F64 : KIR_F32);
    KirBuilder *b = g->builder;
    declare(g);
    write_region(g, KIR_LAUNCH, size / 5);
    u32 shared = g->visible_count;
    write_region(g, KIR_INIT, size / 5);
    /* The number of steps of a trajectory: from 1 to 7, for most kernels. */
    KirValue number = kir_cast(b, KIR_U32, kir_trajectory(b));
    KirValue hash = kir_mulhi(b, kir_mul(b, number, rxn__kir_const_bits(b, KIR_U32, 2654435769u)),
                              constant(g, KIR_U32, 1 + below(g, 7)));
    rxn__kir_set(b, g->steps, 0, hash);
    g->visible_count = shared;
    if (below(g, 4) == 0) {
        /* All is done in finish. */
        rxn__kir_set(b, g->done, 0, constant(g, KIR_BOOL, 1));
        write_region(g, KIR_FINISH, size / 2);
        return end_kernel(g, ret_error);
    }
    write_region(g, KIR_STEP, size / 2);
    KirValue left = rxn__kir_get(b, g->steps, 0);
    KirValue none = kir_eq(b, left, constant(g, KIR_U32, 0));
    rxn__kir_set(b, g->steps, 0, kir_sub(b, left, constant(g, KIR_U32, 1)));
    rxn__kir_set(b, g->done, 0, below(g, 3) ? none : kir_or(b, none, condition(g)));
    g->visible_count = shared;
    write_region(g, KIR_FINISH, size / 10);
    return end_kernel(g, ret_error);
}

/* ---- launches ---------------------------------------------------------------------------------- */

RandomLaunch *
random_launch(Arena *arena, const KirKernel *kernel, u64 seed, u64 first, u64 count, u32 dynamic)
{
    RandomLaunch *l = NEW(arena, RandomLaunch);
    void **buffers = NEW_ARRAY(arena, void *, kernel->buffers.count + 1);
    int64_t *strides = NEW_ARRAY(arena, int64_t, kernel->buffers.count + 1);
    l->sizes = NEW_ARRAY(arena, size_t, kernel->buffers.count + 1);
    for (u32 i = 0; i < kernel->buffers.count; i++) {
        const KirBuffer *buffer = &kernel->buffers.items[i];
        u32 bytes = rxn__kir_type_bytes[buffer->type];
        size_t elements = 1;
        for (u32 k = 0; k < buffer->rank; k++)
            elements *= buffer->extent[k] == KIR_DYNAMIC ? dynamic : buffer->extent[k];
        strides[i] = (int64_t)elements;
        if (buffer->scope == KIR_PER_TRAJECTORY)
            elements *= count;
        l->sizes[i] = elements * bytes;
        u8 *data = NEW_ARRAY(arena, u8, l->sizes[i] + 1);
        for (size_t k = 0; k < elements; k++) {
            u64 bits = random_special_bits(&seed, (KirType)buffer->type);
            memcpy(data + k * bytes, &bits, bytes);
        }
        buffers[i] = data;
    }
    for (u32 i = 0; i < kernel->witness.count; i++) {
        u32 length = kernel->locals.items[kernel->witness.items[i]].length;
        l->witness_count += length ? length : 1;
    }
    l->witness = NEW_ARRAY(arena, double, l->witness_count + 1);
    l->fault = (RxnFault){.trajectory = UINT64_MAX, .witness = l->witness};
    l->launch = (RxnLaunch){.first = first,
                            .count = count,
                            .buffers = buffers,
                            .strides = strides,
                            .fault = &l->fault,
                            .cancel = &l->cancel};
    return l;
}

/* Whether two elements hold the same; any NaN is like any other. */
static bool
same_element(KirType type, const u8 *a, const u8 *b)
{
    if (memcmp(a, b, rxn__kir_type_bytes[type]) == 0)
        return true;
    if (type == KIR_F64) {
        double x, y;
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        return isnan(x) && isnan(y);
    }
    if (type == KIR_F32) {
        float x, y;
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        return isnan(x) && isnan(y);
    }
    return false;
}

const char *
launch_difference(Arena *arena, const KirKernel *kernel, const RandomLaunch *a,
                  const RandomLaunch *b)
{
    Text text;
    rxn__text_init(&text, arena);
    for (u32 i = 0; i < kernel->buffers.count; i++) {
        KirType type = (KirType)kernel->buffers.items[i].type;
        u32 bytes = rxn__kir_type_bytes[type];
        const u8 *x = a->launch.buffers[i], *y = b->launch.buffers[i];
        for (size_t k = 0; k < a->sizes[i]; k += bytes) {
            if (same_element(type, x + k, y + k))
                continue;
            u64 p = 0, q = 0;
            memcpy(&p, x + k, bytes);
            memcpy(&q, y + k, bytes);
            rxn__text_printf(&text, "buffer %s, row %lld, element %lld: %#llx and %#llx",
                             kernel->buffers.items[i].name->text,
                             (long long)(k / bytes) / a->launch.strides[i],
                             (long long)(k / bytes) % a->launch.strides[i], (unsigned long long)p,
                             (unsigned long long)q);
            return text.data;
        }
    }
    if (a->fault.trajectory != b->fault.trajectory || a->fault.code != b->fault.code ||
        a->fault.detail != b->fault.detail) {
        rxn__text_printf(&text, "fault: trajectory %llu code %u detail %u, and %llu %u %u",
                         (unsigned long long)a->fault.trajectory, a->fault.code, a->fault.detail,
                         (unsigned long long)b->fault.trajectory, b->fault.code, b->fault.detail);
        return text.data;
    }
    for (u32 i = 0; i < a->witness_count; i++)
        if (!same_element(KIR_F64, (const u8 *)&a->witness[i], (const u8 *)&b->witness[i])) {
            rxn__text_printf(&text, "witness %u: %.17g and %.17g", i, a->witness[i], b->witness[i]);
            return text.data;
        }
    return NULL;
}
