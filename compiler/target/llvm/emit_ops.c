/* emit_ops.c: one function per KIR op, on scalars and on vectors alike.
 *
 * kir.def names the ops; the table at the end is made from it, so an op without its emit_<ID> here
 * does not compile. Each function renders exactly the rule of kir.def: no fast-math flags, nothing
 * contracted or reassociated, and integer overflow, division by zero and out-of-range conversions
 * are numbers, never poison. (Poison would be worse than a wrong number: a lane that is off computes
 * with garbage, and a branch on a mask that garbage has poisoned is undefined.)
 *
 * The one thing left open is which NaN a NaN is: its sign and payload are whatever the processor
 * gives. No rule of KIR but `bits` and `copysign` can see it.
 */
#include "compiler/target/llvm/llvm.h"

/* The operands of an op, all scalars (uniform) or all vectors. */
typedef struct Operands {
    KirValue number;
    const KirNode *node;
    KirType type, from; /* of the result, of x */
    LLVMTypeRef result; /* type as a scalar or a vector */
    bool uniform;       /* scalars */
    LLVMValueRef x, y, z;
} Operands;

static bool
is_signed(KirType type)
{
    return type == KIR_I32 || type == KIR_I64;
}

static LLVMValueRef
constant_like(Emit *e, const Operands *o, KirType type, u64 bits)
{
    LLVMValueRef constant = rxn__llvm_constant(e, type, bits);
    return o->uniform ? constant : rxn__llvm_splat(e, constant);
}

static LLVMTypeRef
type_like(Emit *e, const Operands *o, KirType type)
{
    return o->uniform ? e->scalar[type] : e->vector[type];
}

static LLVMValueRef
call1(Emit *e, const Operands *o, const char *name)
{
    LLVMTypeRef type = LLVMTypeOf(o->x);
    LLVMValueRef arguments[3] = {o->x, o->y, o->z};
    return rxn__llvm_intrinsic(e, name, &type, 1, arguments, rxn__kir_ops[o->node->op].arity);
}

/* ---- leaves ------------------------------------------------------------------------------------ */

static LLVMValueRef
emit_CONST(Emit *e, const Operands *o)
{
    return rxn__llvm_constant(e, o->type, o->node->bits);
}

static LLVMValueRef
emit_TRAJECTORY(Emit *e, const Operands *o)
{
    (void)o;
    LLVMValueRef row = rxn__llvm_load(e, e->row_type, e->row_slot);
    return LLVMBuildAdd(e->builder, row, rxn__llvm_splat(e, e->first), "");
}

static LLVMValueRef
emit_COUNTER(Emit *e, const Operands *o)
{
    return e->values[o->number]; /* set when its `for` was emitted */
}

static LLVMValueRef
emit_GET(Emit *e, const Operands *o)
{
    return rxn__llvm_emit_get(e, o->node);
}

static LLVMValueRef
emit_LOAD(Emit *e, const Operands *o)
{
    return rxn__llvm_emit_load(e, o->node, o->uniform);
}

/* ---- arithmetic -------------------------------------------------------------------------------- */

static LLVMValueRef
emit_ADD(Emit *e, const Operands *o)
{
    return kir_is_float(o->type) ? LLVMBuildFAdd(e->builder, o->x, o->y, "")
                                 : LLVMBuildAdd(e->builder, o->x, o->y, "");
}

static LLVMValueRef
emit_SUB(Emit *e, const Operands *o)
{
    return kir_is_float(o->type) ? LLVMBuildFSub(e->builder, o->x, o->y, "")
                                 : LLVMBuildSub(e->builder, o->x, o->y, "");
}

static LLVMValueRef
emit_MUL(Emit *e, const Operands *o)
{
    if (kir_is_float(o->type))
        return LLVMBuildFMul(e->builder, o->x, o->y, "");
    LLVMValueRef words = rxn__llvm_emit_halves(e, o->number);
    return words ? words : LLVMBuildMul(e->builder, o->x, o->y, "");
}

static LLVMValueRef
emit_MULHI(Emit *e, const Operands *o)
{
    LLVMValueRef words = rxn__llvm_emit_halves(e, o->number);
    if (words)
        return words;
    u32 bits = 8u * rxn__kir_type_bytes[o->type];
    LLVMTypeRef wide = LLVMIntTypeInContext(e->context, 2 * bits);
    LLVMValueRef shift = LLVMConstInt(wide, bits, false);
    if (!o->uniform) {
        wide = LLVMVectorType(wide, e->lanes);
        shift = rxn__llvm_splat(e, shift);
    }
    LLVMValueRef x = LLVMBuildZExt(e->builder, o->x, wide, "");
    LLVMValueRef y = LLVMBuildZExt(e->builder, o->y, wide, "");
    LLVMValueRef product = LLVMBuildMul(e->builder, x, y, "");
    product = LLVMBuildLShr(e->builder, product, shift, "");
    return LLVMBuildTrunc(e->builder, product, o->result, "");
}

/* i1: the quotient is not defined (then it is 0): x / 0, and the smallest integer / -1. */
static LLVMValueRef
undefined_quotient(Emit *e, const Operands *o)
{
    LLVMValueRef zero = LLVMConstNull(o->result);
    LLVMValueRef bad = LLVMBuildICmp(e->builder, LLVMIntEQ, o->y, zero, "");
    if (!is_signed(o->type))
        return bad;
    u64 smallest = o->type == KIR_I32 ? UINT64_C(1) << 31 : UINT64_C(1) << 63;
    LLVMValueRef minus_one = LLVMConstAllOnes(o->result);
    LLVMValueRef over = LLVMBuildAnd(
        e->builder,
        LLVMBuildICmp(e->builder, LLVMIntEQ, o->x, constant_like(e, o, o->type, smallest), ""),
        LLVMBuildICmp(e->builder, LLVMIntEQ, o->y, minus_one, ""), "");
    return LLVMBuildOr(e->builder, bad, over, "");
}

/* Processors have no vector division of integers. A 32-bit one through f64 is exact: a quotient that
 * is no integer is at least 1/y away from the next one, and the f64 nearest to it is off by less than
 * x/y * 2^-53 < 2^-21 / y. */
static LLVMValueRef
quotient(Emit *e, const Operands *o, LLVMValueRef bad)
{
    LLVMBuilderRef b = e->builder;
    bool s = is_signed(o->type);
    LLVMValueRef zero = LLVMConstNull(o->result), result;
    if (!o->uniform && rxn__kir_type_bytes[o->type] == 4) {
        LLVMTypeRef wide = e->vector[KIR_F64];
        LLVMValueRef x =
            s ? LLVMBuildSIToFP(b, o->x, wide, "") : LLVMBuildUIToFP(b, o->x, wide, "");
        LLVMValueRef y =
            s ? LLVMBuildSIToFP(b, o->y, wide, "") : LLVMBuildUIToFP(b, o->y, wide, "");
        LLVMValueRef ratio = LLVMBuildFDiv(b, x, y, "");
        result =
            s ? LLVMBuildFPToSI(b, ratio, o->result, "") : LLVMBuildFPToUI(b, ratio, o->result, "");
    } else {
        LLVMValueRef y = LLVMBuildSelect(b, bad, constant_like(e, o, o->type, 1), o->y, "");
        result = s ? LLVMBuildSDiv(b, o->x, y, "") : LLVMBuildUDiv(b, o->x, y, "");
    }
    return LLVMBuildSelect(b, bad, zero, result, "");
}

static LLVMValueRef
emit_DIV(Emit *e, const Operands *o)
{
    if (kir_is_float(o->type))
        return LLVMBuildFDiv(e->builder, o->x, o->y, "");
    return quotient(e, o, undefined_quotient(e, o));
}

static LLVMValueRef
emit_REM(Emit *e, const Operands *o)
{
    LLVMValueRef bad = undefined_quotient(e, o);
    LLVMValueRef whole = LLVMBuildMul(e->builder, quotient(e, o, bad), o->y, "");
    LLVMValueRef rest = LLVMBuildSub(e->builder, o->x, whole, "");
    return LLVMBuildSelect(e->builder, bad, LLVMConstNull(o->result), rest, "");
}

static LLVMValueRef
emit_FMA(Emit *e, const Operands *o)
{
    return call1(e, o, "llvm.fma");
}

static LLVMValueRef
emit_NEG(Emit *e, const Operands *o)
{
    return kir_is_float(o->type) ? LLVMBuildFNeg(e->builder, o->x, "")
                                 : LLVMBuildNeg(e->builder, o->x, "");
}

static LLVMValueRef
emit_ABS(Emit *e, const Operands *o)
{
    return call1(e, o, "llvm.fabs");
}

static LLVMValueRef
compare(Emit *e, const Operands *o, LLVMRealPredicate real, LLVMIntPredicate s, LLVMIntPredicate u)
{
    if (kir_is_float(o->from))
        return LLVMBuildFCmp(e->builder, real, o->x, o->y, "");
    return LLVMBuildICmp(e->builder, is_signed(o->from) ? s : u, o->x, o->y, "");
}

static LLVMValueRef
emit_MIN(Emit *e, const Operands *o)
{
    LLVMValueRef less = compare(e, o, LLVMRealOLT, LLVMIntSLT, LLVMIntULT);
    return LLVMBuildSelect(e->builder, less, o->x, o->y, "");
}

static LLVMValueRef
emit_MAX(Emit *e, const Operands *o)
{
    LLVMValueRef more = compare(e, o, LLVMRealOGT, LLVMIntSGT, LLVMIntUGT);
    return LLVMBuildSelect(e->builder, more, o->x, o->y, "");
}

static LLVMValueRef
emit_SQRT(Emit *e, const Operands *o)
{
    return call1(e, o, "llvm.sqrt");
}

static LLVMValueRef
emit_FLOOR(Emit *e, const Operands *o)
{
    return call1(e, o, "llvm.floor");
}

static LLVMValueRef
emit_CEIL(Emit *e, const Operands *o)
{
    return call1(e, o, "llvm.ceil");
}

static LLVMValueRef
emit_RINT(Emit *e, const Operands *o)
{
    return call1(e, o, "llvm.rint");
}

static LLVMValueRef
emit_COPYSIGN(Emit *e, const Operands *o)
{
    return call1(e, o, "llvm.copysign");
}

/* ---- bits and booleans ------------------------------------------------------------------------- */

static LLVMValueRef
emit_AND(Emit *e, const Operands *o)
{
    return LLVMBuildAnd(e->builder, o->x, o->y, "");
}

static LLVMValueRef
emit_OR(Emit *e, const Operands *o)
{
    return LLVMBuildOr(e->builder, o->x, o->y, "");
}

static LLVMValueRef
emit_XOR(Emit *e, const Operands *o)
{
    LLVMValueRef words = rxn__llvm_emit_halves(e, o->number);
    return words ? words : LLVMBuildXor(e->builder, o->x, o->y, "");
}

static LLVMValueRef
emit_NOT(Emit *e, const Operands *o)
{
    return LLVMBuildNot(e->builder, o->x, "");
}

static LLVMValueRef
shift_count(Emit *e, const Operands *o)
{
    u64 most = 8u * rxn__kir_type_bytes[o->type] - 1;
    return LLVMBuildAnd(e->builder, o->y, constant_like(e, o, o->type, most), "");
}

static LLVMValueRef
emit_SHL(Emit *e, const Operands *o)
{
    return LLVMBuildShl(e->builder, o->x, shift_count(e, o), "");
}

static LLVMValueRef
emit_SHR(Emit *e, const Operands *o)
{
    LLVMValueRef count = shift_count(e, o);
    return is_signed(o->type) ? LLVMBuildAShr(e->builder, o->x, count, "")
                              : LLVMBuildLShr(e->builder, o->x, count, "");
}

/* ---- comparison -------------------------------------------------------------------------------- */

static LLVMValueRef
emit_EQ(Emit *e, const Operands *o)
{
    return compare(e, o, LLVMRealOEQ, LLVMIntEQ, LLVMIntEQ);
}

static LLVMValueRef
emit_NE(Emit *e, const Operands *o)
{
    return compare(e, o, LLVMRealUNE, LLVMIntNE, LLVMIntNE);
}

static LLVMValueRef
emit_LT(Emit *e, const Operands *o)
{
    return compare(e, o, LLVMRealOLT, LLVMIntSLT, LLVMIntULT);
}

static LLVMValueRef
emit_LE(Emit *e, const Operands *o)
{
    return compare(e, o, LLVMRealOLE, LLVMIntSLE, LLVMIntULE);
}

static LLVMValueRef
emit_GT(Emit *e, const Operands *o)
{
    return compare(e, o, LLVMRealOGT, LLVMIntSGT, LLVMIntUGT);
}

static LLVMValueRef
emit_GE(Emit *e, const Operands *o)
{
    return compare(e, o, LLVMRealOGE, LLVMIntSGE, LLVMIntUGE);
}

static LLVMValueRef
emit_SELECT(Emit *e, const Operands *o)
{
    return LLVMBuildSelect(e->builder, o->x, o->y, o->z, "");
}

/* ---- conversion -------------------------------------------------------------------------------- */

/* Truncates; what does not fit (a NaN too) gives 0. The bounds are the numbers of the float type
 * next to those that fit: exclusive where they can be represented, else the smallest itself. */
static LLVMValueRef
float_to_int(Emit *e, const Operands *o)
{
    double below = -1, above = 0;
    bool inclusive = false;
    switch (o->type) {
    case KIR_I32:
        inclusive = o->from == KIR_F32;
        below = inclusive ? -0x1p31 : -0x1p31 - 1;
        above = 0x1p31;
        break;
    case KIR_I64:
        inclusive = true;
        below = -0x1p63;
        above = 0x1p63;
        break;
    case KIR_U32: above = 0x1p32; break;
    default: above = 0x1p64; break;
    }
    LLVMBuilderRef b = e->builder;
    LLVMValueRef low = LLVMConstReal(e->scalar[o->from], below);
    LLVMValueRef high = LLVMConstReal(e->scalar[o->from], above);
    if (!o->uniform) {
        low = rxn__llvm_splat(e, low);
        high = rxn__llvm_splat(e, high);
    }
    LLVMValueRef fits =
        LLVMBuildAnd(b, LLVMBuildFCmp(b, inclusive ? LLVMRealOGE : LLVMRealOGT, o->x, low, ""),
                     LLVMBuildFCmp(b, LLVMRealOLT, o->x, high, ""), "");
    /* The conversion of a number that does not fit is poison, which select does not let through. */
    LLVMValueRef converted = is_signed(o->type) ? LLVMBuildFPToSI(b, o->x, o->result, "")
                                                : LLVMBuildFPToUI(b, o->x, o->result, "");
    return LLVMBuildSelect(b, fits, converted, LLVMConstNull(o->result), "");
}

static LLVMValueRef
emit_CAST(Emit *e, const Operands *o)
{
    LLVMBuilderRef b = e->builder;
    LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(o->x));
    u32 from_bytes = rxn__kir_type_bytes[o->from], bytes = rxn__kir_type_bytes[o->type];
    if (o->from == o->type)
        return o->x;
    if (o->type == KIR_BOOL)
        return kir_is_float(o->from) ? LLVMBuildFCmp(b, LLVMRealUNE, o->x, zero, "")
                                     : LLVMBuildICmp(b, LLVMIntNE, o->x, zero, "");
    if (kir_is_float(o->type)) {
        if (kir_is_float(o->from))
            return bytes > from_bytes ? LLVMBuildFPExt(b, o->x, o->result, "")
                                      : LLVMBuildFPTrunc(b, o->x, o->result, "");
        return is_signed(o->from) ? LLVMBuildSIToFP(b, o->x, o->result, "")
                                  : LLVMBuildUIToFP(b, o->x, o->result, "");
    }
    if (kir_is_float(o->from))
        return float_to_int(e, o);
    if (o->from == KIR_BOOL)
        return LLVMBuildZExt(b, o->x, o->result, "");
    if (bytes == from_bytes)
        return o->x;
    if (bytes < from_bytes)
        return LLVMBuildTrunc(b, o->x, o->result, "");
    return is_signed(o->from) ? LLVMBuildSExt(b, o->x, o->result, "")
                              : LLVMBuildZExt(b, o->x, o->result, "");
}

static LLVMValueRef
emit_BITS(Emit *e, const Operands *o)
{
    return LLVMBuildBitCast(e->builder, o->x, type_like(e, o, o->type), "");
}

/* ---- mathematics: rxn__kir_expand_math comes before any target --------------------------------- */

static LLVMValueRef
not_expanded(Emit *e, const Operands *o)
{
    if (e->error == NULL)
        e->error = "a mathematical function reached the LLVM target unexpanded";
    return LLVMConstNull(o->result);
}

#define emit_LOG      not_expanded
#define emit_LOG_UNIT not_expanded
#define emit_EXP      not_expanded
#define emit_LOG1P    not_expanded
#define emit_EXPM1    not_expanded
#define emit_POW      not_expanded
#define emit_SIN      not_expanded
#define emit_COS      not_expanded
#define emit_TAN      not_expanded
#define emit_TANH     not_expanded
#define emit_SIGMOID  not_expanded
#define emit_SOFTPLUS not_expanded

/* ------------------------------------------------------------------------------------------------ */

typedef LLVMValueRef (*EmitOp)(Emit *e, const Operands *o);

static const EmitOp emitters[KIR_OP_COUNT] = {
#define KIR_OP(id, text, arity, takes, gives, flags, float_rule, int_rule, cuda)                   \
    [KIR_##id] = emit_##id,
#include "compiler/kir/kir.def"
#undef KIR_OP
};

void
rxn__llvm_emit_value(Emit *e, KirValue value)
{
    const KirNode *node = &e->kernel->values.items[value];
    bool uniform = e->layout->uniform[value] || e->lanes == 1;
    Operands o = {.number = value,
                  .node = node,
                  .type = (KirType)node->type,
                  .from = (KirType)node->type,
                  .uniform = uniform,
                  .result = uniform ? e->scalar[node->type] : e->vector[node->type]};
    LLVMValueRef *operands[3] = {&o.x, &o.y, &o.z};
    u32 arity = rxn__kir_ops[node->op].arity;
    for (u32 i = 0; i < arity; i++) {
        /* One condition for all lanes chooses between whole vectors. */
        bool scalar =
            uniform || (i == 0 && node->op == KIR_SELECT && e->layout->uniform[node->args[0]]);
        *operands[i] = rxn__llvm_value(e, node->args[i], scalar);
    }
    if (arity > 0)
        o.from = (KirType)e->kernel->values.items[node->args[0]].type;
    e->values[value] = emitters[node->op](e, &o);
}
