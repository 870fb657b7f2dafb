/* ops.c: the tables of ops, made from kir.def, and what an op does to constants.
 *
 * The interpreter and the constant folder both call the functions made here, so they cannot differ
 * from each other; every target is tested against the interpreter. A rule is plain C, evaluated in
 * the op's own precision: this needs a C compiler that neither keeps excess precision nor contracts
 * a*b + c (the build passes -ffp-contract=off; the precision is asserted below).
 */
#include "compiler/kir/internal.h"

#include <float.h>
#include <math.h>
#include <string.h>

_Static_assert(FLT_EVAL_METHOD == 0, "f32 rules must be evaluated in f32");

const KirOpInfo rxn__kir_ops[KIR_OP_COUNT] = {
#define KIR_OP(id, text, arity, takes, gives, flags, float_rule, int_rule, cuda)                   \
    {text, arity, KIR_TAKES_##takes, KIR_GIVES_##gives, KIR_FLAG_##flags, cuda},
#include "compiler/kir/kir.def"
#undef KIR_OP
};

const char *const rxn__kir_type_names[KIR_TYPE_COUNT] = {"bool", "i32", "u32", "i64",
                                                         "u64",  "f32", "f64"};
const u8 rxn__kir_type_bytes[KIR_TYPE_COUNT] = {1, 4, 4, 8, 8, 4, 8};

static f32
unpack_f32(u64 bits)
{
    u32 word = (u32)bits;
    f32 value;
    memcpy(&value, &word, sizeof value);
    return value;
}

static u64
pack_f32(f32 value)
{
    u32 word;
    memcpy(&word, &value, sizeof word);
    return word;
}

static f64
unpack_f64(u64 bits)
{
    f64 value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static u64
pack_f64(f64 value)
{
    u64 bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* What the rules of kir.def are written with. */
#define KIR_CHOOSE(function, x)   _Generic((x), f32: function##f, default: function)
#define KIR_FMA(x, y, z)          KIR_CHOOSE(fma, x)(x, y, z)
#define KIR_ABS(x)                KIR_CHOOSE(fabs, x)(x)
#define KIR_SQRT(x)               KIR_CHOOSE(sqrt, x)(x)
#define KIR_FLOOR(x)              KIR_CHOOSE(floor, x)(x)
#define KIR_CEIL(x)               KIR_CHOOSE(ceil, x)(x)
#define KIR_RINT(x)               KIR_CHOOSE(rint, x)(x)
#define KIR_COPYSIGN(x, y)        KIR_CHOOSE(copysign, x)(x, y)
#define KIR_LIBM(function, x)     KIR_CHOOSE(function, x)(x)
#define KIR_LIBM2(function, x, y) KIR_CHOOSE(function, x)(x, y)
#define KIR_SIGMOID(x)            (1 / (1 + KIR_LIBM(exp, -x)))
#define KIR_SOFTPLUS(x)                                                                            \
    (x > 0 ? x + KIR_LIBM(log1p, KIR_LIBM(exp, -x)) : KIR_LIBM(log1p, KIR_LIBM(exp, x)))

/* The one quotient that overflows: the least integer by -1. */
#define KIR_NO_QUOTIENT(x, y)                                                                      \
    (y == 0 || (RULES_SIGNED && y + 1 == 0 && x == -((RULES_WIDE)1 << (RULES_BITS - 1))))
#define KIR_DIV(x, y)   (KIR_NO_QUOTIENT(x, y) ? 0 : x / y)
#define KIR_REM(x, y)   (KIR_NO_QUOTIENT(x, y) ? 0 : x % y)
#define KIR_MULHI(x, y) ((x * y) >> RULES_BITS)
#define KIR_COUNT_OF(y) ((u32)((u64)y & (RULES_BITS - 1)))
#define KIR_SHL(x, y)   ((u64)x << KIR_COUNT_OF(y))
#define KIR_SHR(x, y)   (x >> KIR_COUNT_OF(y))
#define KIR_NOT(x)      (RULES_BITS == 1 ? (RULES_WIDE)!x : ~x)

#define RULES_PREFIX       boolean
#define RULES_COLUMN       RULES_INT
#define RULES_WIDE         u64
#define RULES_BITS         1
#define RULES_SIGNED       0
#define RULES_UNPACK(bits) ((bits) & 1)
#define RULES_PACK(value)  ((u64)(value) & 1)
#include "compiler/kir/rules.inc"

#define RULES_PREFIX       i32
#define RULES_COLUMN       RULES_INT
#define RULES_WIDE         i64
#define RULES_BITS         32
#define RULES_SIGNED       1
#define RULES_UNPACK(bits) ((i32)(u32)(bits))
#define RULES_PACK(value)  ((u64)(i64)(i32)(u32)(value))
#include "compiler/kir/rules.inc"

#define RULES_PREFIX       u32
#define RULES_COLUMN       RULES_INT
#define RULES_WIDE         u64
#define RULES_BITS         32
#define RULES_SIGNED       0
#define RULES_UNPACK(bits) ((u32)(bits))
#define RULES_PACK(value)  ((u64)(u32)(value))
#include "compiler/kir/rules.inc"

#define RULES_PREFIX       i64
#define RULES_COLUMN       RULES_INT
#define RULES_WIDE         i128
#define RULES_BITS         64
#define RULES_SIGNED       1
#define RULES_UNPACK(bits) ((i64)(bits))
#define RULES_PACK(value)  ((u64)(value))
#include "compiler/kir/rules.inc"

#define RULES_PREFIX       u64
#define RULES_COLUMN       RULES_INT
#define RULES_WIDE         u128
#define RULES_BITS         64
#define RULES_SIGNED       0
#define RULES_UNPACK(bits) (bits)
#define RULES_PACK(value)  ((u64)(value))
#include "compiler/kir/rules.inc"

#define RULES_PREFIX f32
#define RULES_COLUMN RULES_FLOAT
#define RULES_WIDE   f32
#define RULES_UNPACK unpack_f32
#define RULES_PACK   pack_f32
#include "compiler/kir/rules.inc"

#define RULES_PREFIX f64
#define RULES_COLUMN RULES_FLOAT
#define RULES_WIDE   f64
#define RULES_UNPACK unpack_f64
#define RULES_PACK   pack_f64
#include "compiler/kir/rules.inc"

KirRule
rxn__kir_rule(KirOp op, KirType arg_type)
{
    switch (arg_type) {
    case KIR_BOOL: return boolean_rules[op];
    case KIR_I32: return i32_rules[op];
    case KIR_U32: return u32_rules[op];
    case KIR_I64: return i64_rules[op];
    case KIR_U64: return u64_rules[op];
    case KIR_F32: return f32_rules[op];
    case KIR_F64: return f64_rules[op];
    }
    return NULL;
}

u64
rxn__kir_canonical(KirType type, u64 bits)
{
    switch (type) {
    case KIR_BOOL: return bits != 0;
    case KIR_I32: return (u64)(i64)(i32)(u32)bits;
    case KIR_U32: return (u32)bits;
    case KIR_F32: return isnan(unpack_f32(bits)) ? 0x7fc00000u : (u32)bits;
    case KIR_F64: return isnan(unpack_f64(bits)) ? 0x7ff8000000000000u : bits;
    case KIR_I64:
    case KIR_U64: break;
    }
    return bits;
}

double
rxn__kir_as_double(KirType type, u64 bits)
{
    switch (type) {
    case KIR_F32: return unpack_f32(bits);
    case KIR_F64: return unpack_f64(bits);
    case KIR_I32:
    case KIR_I64: return (double)(i64)bits;
    case KIR_BOOL:
    case KIR_U32:
    case KIR_U64: break;
    }
    return (double)bits;
}

u64
rxn__kir_f32_bits(float value)
{
    return pack_f32(value);
}

u64
rxn__kir_f64_bits(double value)
{
    return pack_f64(value);
}

/* Truncates; 0 where the integer type does not have the result. The comparisons are with powers of
 * two, which are exact, and false for NaN. */
static u64
cast_from_float(KirType type, f64 value)
{
    const f64 whole = trunc(value);
    switch (type) {
    case KIR_I32: return whole >= -0x1p31 && whole < 0x1p31 ? (u64)(i64)whole : 0;
    case KIR_U32: return whole >= 0 && whole < 0x1p32 ? (u64)whole : 0;
    case KIR_I64: return whole >= -0x1p63 && whole < 0x1p63 ? (u64)(i64)whole : 0;
    case KIR_U64: return whole >= 0 && whole < 0x1p64 ? (u64)whole : 0;
    case KIR_F32: return pack_f32((f32)value);
    case KIR_F64: return pack_f64(value);
    case KIR_BOOL: break;
    }
    return value != 0;
}

static u64
cast_from_int(KirType type, bool is_signed, u64 bits)
{
    switch (type) {
    case KIR_F32: return pack_f32(is_signed ? (f32)(i64)bits : (f32)bits);
    case KIR_F64: return pack_f64(is_signed ? (f64)(i64)bits : (f64)bits);
    default: return rxn__kir_canonical(type, bits);
    }
}

u64
rxn__kir_cast_bits(KirType type, KirType arg_type, u64 bits)
{
    if (arg_type == KIR_F32)
        return cast_from_float(type, unpack_f32(bits));
    if (arg_type == KIR_F64)
        return cast_from_float(type, unpack_f64(bits));
    return cast_from_int(type, arg_type == KIR_I32 || arg_type == KIR_I64, bits);
}

/* Reinterprets; differs from canonical in that a NaN's bits stay as they are. */
static u64
reinterpret_bits(KirType type, u64 bits)
{
    return type == KIR_I32 || type == KIR_U32 ? rxn__kir_canonical(type, bits)
           : type == KIR_F32                  ? (u32)bits
                                              : bits;
}

u64
rxn__kir_evaluate(KirOp op, KirType type, KirType arg_type, const u64 args[3])
{
    switch (op) {
    case KIR_SELECT: return args[0] ? args[1] : args[2];
    case KIR_CAST: return rxn__kir_cast_bits(type, arg_type, args[0]);
    case KIR_BITS: return reinterpret_bits(type, args[0]);
    default: return rxn__kir_rule(op, arg_type)(args[0], args[1], args[2]);
    }
}
