/* simplify.c: the identities, each with what it requires.
 *
 * The rule of the file: no float result may change, not in its last bit and not in the sign of a
 * zero. So x + 0 stays unless x cannot be -0, x * 0 and x - x stay, nothing is reassociated. (Of a
 * NaN only its being one is kept: the bits of a NaN are no result.) Integers wrap, so they have the
 * laws of a ring. Every op is total, so an op may also be dropped or made to run.
 *
 * A rule answers with a value that is there already, or makes one through the builder, which folds
 * again; each such step has fewer or cheaper ops, so this ends.
 */
#include "compiler/kir/internal.h"

static const KirNode *
node_at(const KirBuilder *b, KirValue value)
{
    return &b->kernel->values.items[value];
}

static bool
is_op(const KirBuilder *b, KirValue value, KirOp op)
{
    return node_at(b, value)->op == op;
}

static bool
is_constant(const KirBuilder *b, KirValue value)
{
    return is_op(b, value, KIR_CONST);
}

/* This very integer or boolean: extended to 64 bits, as constants are kept. */
static bool
is_bits(const KirBuilder *b, KirValue value, u64 bits)
{
    return is_constant(b, value) && node_at(b, value)->bits == bits;
}

static bool
is_all_ones(const KirBuilder *b, KirValue value)
{
    const KirNode *node = node_at(b, value);
    return node->op == KIR_CONST &&
           node->bits == rxn__kir_canonical((KirType)node->type, UINT64_MAX);
}

/* This very number, the sign of zero included. */
static bool
is_float(const KirBuilder *b, KirValue value, double number)
{
    const KirNode *node = node_at(b, value);
    const KirType type = (KirType)node->type;
    return node->op == KIR_CONST &&
           node->bits == rxn__kir_cast_bits(type, KIR_F64, rxn__kir_f64_bits(number));
}

static KirValue
integer(KirBuilder *b, KirType type, u64 bits)
{
    return rxn__kir_const_bits(b, type, bits);
}

/* ---- What is known of a value */

/* Never -0. Looked into a few ops deep only, as every op asks anew. */
static bool
is_never_negative_zero(const KirBuilder *b, KirValue value, int depth)
{
    const KirNode *node = node_at(b, value);
    switch (node->op) {
    case KIR_CONST: return !is_float(b, value, -0.0);
    case KIR_CAST: /* an integer has no -0; from float the sign stays, or the value underflows */
        return !kir_is_float(rxn__kir_type(b, node->args[0]));
    case KIR_ABS:
    case KIR_EXP:
    case KIR_SIGMOID:
    case KIR_SOFTPLUS: return true;
    case KIR_ADD: /* -0 only as -0 + -0: x + -x is +0 when rounding to nearest */
        return depth > 0 && (is_never_negative_zero(b, node->args[0], depth - 1) ||
                             is_never_negative_zero(b, node->args[1], depth - 1));
    case KIR_SELECT:
        return depth > 0 && is_never_negative_zero(b, node->args[1], depth - 1) &&
               is_never_negative_zero(b, node->args[2], depth - 1);
    default: return false;
    }
}

/* Whole or infinite (or NaN): what rounding to a whole number leaves as it is. */
static bool
is_whole(const KirBuilder *b, KirValue value)
{
    const KirNode *node = node_at(b, value);
    return node->op == KIR_FLOOR || node->op == KIR_CEIL || node->op == KIR_RINT ||
           (node->op == KIR_CAST && !kir_is_float(rxn__kir_type(b, node->args[0])));
}

/* Every value of `from` is one of `to`. */
static bool
holds_exactly(KirType to, KirType from)
{
    static const u8 fits[KIR_TYPE_COUNT][KIR_TYPE_COUNT] = {
        /*                from: bool i32 u32 i64 u64 f32 f64 */
        [KIR_BOOL] = {1, 0, 0, 0, 0, 0, 0}, [KIR_I32] = {1, 1, 0, 0, 0, 0, 0},
        [KIR_U32] = {1, 0, 1, 0, 0, 0, 0},  [KIR_I64] = {1, 1, 1, 1, 0, 0, 0},
        [KIR_U64] = {1, 0, 1, 0, 1, 0, 0},  [KIR_F32] = {1, 0, 0, 0, 0, 1, 0},
        [KIR_F64] = {1, 1, 1, 0, 0, 1, 1},
    };
    return fits[to][from];
}

/* ---- Integers */

static bool
is_power_of_two(u64 bits)
{
    return bits != 0 && (bits & (bits - 1)) == 0;
}

/* x + c1 + c2 = x + (c1 + c2), as integers wrap; likewise for * & | ^. Index arithmetic is full of
 * these. Requires: a constant second argument; the first the same op with a constant. */
static KirValue
regroup(KirBuilder *b, const KirNode *node)
{
    if (!is_constant(b, node->args[1]) || !is_op(b, node->args[0], (KirOp)node->op))
        return 0;
    const KirNode *inner = node_at(b, node->args[0]);
    if (!is_constant(b, inner->args[1]))
        return 0;
    const KirValue x = inner->args[0];
    const KirValue c = rxn__kir_op(b, (KirOp)node->op, inner->args[1], node->args[1], 0);
    return rxn__kir_op(b, (KirOp)node->op, x, c, 0);
}

static KirValue
simplify_integer(KirBuilder *b, KirNode *node)
{
    const KirType type = (KirType)node->type;
    const KirValue x = node->args[0], y = node->args[1];
    switch (node->op) {
    case KIR_ADD:
        if (is_bits(b, y, 0))
            return x;
        if (is_op(b, y, KIR_NEG)) /* x + -z = x - z */
            return kir_sub(b, x, node_at(b, y)->args[0]);
        if (is_op(b, x, KIR_NEG))
            return kir_sub(b, y, node_at(b, x)->args[0]);
        return regroup(b, node);
    case KIR_SUB:
        if (is_bits(b, y, 0))
            return x;
        if (x == y)
            return integer(b, type, 0);
        if (is_constant(b, y)) /* x - c = x + -c, so that constants meet in one form */
            return kir_add(b, x, integer(b, type, 0 - node_at(b, y)->bits));
        return is_bits(b, x, 0) ? kir_neg(b, y) : 0;
    case KIR_MUL:
        if (is_bits(b, y, 0))
            return y;
        if (is_bits(b, y, 1))
            return x;
        return regroup(b, node);
    case KIR_MULHI: /* unsigned: 0 * x and 1 * x have no high half */
        return is_bits(b, y, 0) || is_bits(b, y, 1) ? integer(b, type, 0) : 0;
    case KIR_DIV:
        if (is_bits(b, y, 1))
            return x;
        return is_bits(b, x, 0) || is_bits(b, y, 0) ? integer(b, type, 0) : 0;
    case KIR_REM:
        if (is_bits(b, x, 0) || is_bits(b, y, 0) || is_bits(b, y, 1))
            return integer(b, type, 0);
        if (!kir_is_signed(type) && is_constant(b, y) && is_power_of_two(node_at(b, y)->bits))
            return kir_and(b, x, integer(b, type, node_at(b, y)->bits - 1));
        return 0;
    case KIR_NEG: return is_op(b, x, KIR_NEG) ? node_at(b, x)->args[0] : 0;
    case KIR_MIN:
    case KIR_MAX: return x == y ? x : 0;
    case KIR_SHL:
    case KIR_SHR:
        if (is_bits(b, x, 0))
            return x;
        /* The count is taken modulo the width. */
        if (is_constant(b, y) && (node_at(b, y)->bits & (8u * rxn__kir_type_bytes[type] - 1)) == 0)
            return x;
        return 0;
    default: return 0;
    }
}

/* and, or, xor, not: of integers and of booleans (whose all-ones is `true`). */
static KirValue
simplify_bits(KirBuilder *b, KirNode *node)
{
    const KirType type = (KirType)node->type;
    const KirValue x = node->args[0], y = node->args[1];
    if (node->op == KIR_NOT) {
        const KirNode inner = *node_at(b, x);
        if (inner.op == KIR_NOT)
            return inner.args[0];
        /* eq and ne are each other's opposite with NaN too; an order is only without NaN. */
        if (inner.op == KIR_EQ)
            return kir_ne(b, inner.args[0], inner.args[1]);
        if (inner.op == KIR_NE)
            return kir_eq(b, inner.args[0], inner.args[1]);
        static const u8 opposite[KIR_OP_COUNT] = {
            [KIR_LT] = KIR_GE, [KIR_GE] = KIR_LT, [KIR_LE] = KIR_GT, [KIR_GT] = KIR_LE};
        if (opposite[inner.op] && kir_is_int(rxn__kir_type(b, inner.args[0])))
            return rxn__kir_op(b, (KirOp)opposite[inner.op], inner.args[0], inner.args[1], 0);
        return 0;
    }
    const bool opposites = (is_op(b, y, KIR_NOT) && node_at(b, y)->args[0] == x) ||
                           (is_op(b, x, KIR_NOT) && node_at(b, x)->args[0] == y);
    switch (node->op) {
    case KIR_AND:
        if (x == y || is_all_ones(b, y))
            return x;
        if (is_bits(b, y, 0))
            return y;
        return opposites ? integer(b, type, 0) : regroup(b, node);
    case KIR_OR:
        if (x == y || is_bits(b, y, 0))
            return x;
        if (is_all_ones(b, y))
            return y;
        return opposites ? integer(b, type, UINT64_MAX) : regroup(b, node);
    case KIR_XOR:
        if (is_bits(b, y, 0))
            return x;
        if (x == y)
            return integer(b, type, 0);
        if (is_all_ones(b, y))
            return kir_not(b, x);
        return opposites ? integer(b, type, UINT64_MAX) : regroup(b, node);
    default: return 0;
    }
}

/* ---- Floats */

/* 1/c where x * (1/c) is x / c to the bit: c is a power of two and its reciprocal a normal number,
 * so that both round the same real number. 0 otherwise. */
static KirValue
exact_reciprocal(KirBuilder *b, KirType type, KirValue value)
{
    if (!is_constant(b, value))
        return 0;
    const u64 bits = node_at(b, value)->bits;
    const bool wide = type == KIR_F64;
    const u32 fraction_bits = wide ? 52 : 23, exponent_top = wide ? 2047 : 255;
    const u64 fraction = bits & ((1ull << fraction_bits) - 1);
    const u64 exponent = (bits >> fraction_bits) & exponent_top;
    if (fraction != 0 || exponent < 1 || exponent >= exponent_top - 1)
        return 0;
    const u64 sign = bits >> (wide ? 63 : 31) << (wide ? 63 : 31);
    return rxn__kir_const_bits(b, type, sign | (exponent_top - 1 - exponent) << fraction_bits);
}

static KirValue
simplify_float(KirBuilder *b, KirNode *node)
{
    const KirType type = (KirType)node->type;
    const KirValue x = node->args[0], y = node->args[1], z = node->args[2];
    switch (node->op) {
    case KIR_ADD:
        if (is_float(b, y, -0.0))
            return x;
        if (is_float(b, y, 0.0) && is_never_negative_zero(b, x, 4))
            return x;
        if (is_op(b, y, KIR_NEG)) /* x + -z is x - z by definition */
            return kir_sub(b, x, node_at(b, y)->args[0]);
        return is_op(b, x, KIR_NEG) ? kir_sub(b, y, node_at(b, x)->args[0]) : 0;
    case KIR_SUB:
        if (is_float(b, y, 0.0)) /* -0 - +0 = -0 */
            return x;
        return is_op(b, y, KIR_NEG) ? kir_add(b, x, node_at(b, y)->args[0]) : 0;
    case KIR_MUL:
        if (is_float(b, y, 1.0))
            return x;
        if (is_op(b, x, KIR_NEG) && is_op(b, y, KIR_NEG))
            return kir_mul(b, node_at(b, x)->args[0], node_at(b, y)->args[0]);
        return 0;
    case KIR_DIV: {
        if (is_float(b, y, 1.0))
            return x;
        const KirValue reciprocal = exact_reciprocal(b, type, y);
        return reciprocal ? kir_mul(b, x, reciprocal) : 0;
    }
    case KIR_FMA:
        if (is_float(b, y, 1.0))
            return kir_add(b, x, z);
        /* The product, rounded once: adding -0 alters nothing, not even a zero's sign. */
        return is_float(b, z, -0.0) ? kir_mul(b, x, y) : 0;
    case KIR_NEG: return is_op(b, x, KIR_NEG) ? node_at(b, x)->args[0] : 0;
    case KIR_ABS:
        if (is_op(b, x, KIR_ABS))
            return x;
        return is_op(b, x, KIR_NEG) ? kir_abs(b, node_at(b, x)->args[0]) : 0;
    case KIR_MIN:
    case KIR_MAX: return x == y ? x : 0; /* the second argument, when one is NaN: x */
    case KIR_FLOOR:
    case KIR_CEIL:
    case KIR_RINT: return is_whole(b, x) ? x : 0;
    case KIR_COPYSIGN: return x == y ? x : 0;
    default: return 0;
    }
}

/* ---- Comparison, select, conversion */

static KirValue
simplify_comparison(KirBuilder *b, KirNode *node)
{
    const KirValue x = node->args[0], y = node->args[1];
    if (x == y) {
        /* Holds with NaN too: nothing is less than itself. */
        if (node->op == KIR_LT || node->op == KIR_GT)
            return integer(b, KIR_BOOL, 0);
        if (kir_is_int(rxn__kir_type(b, x)))
            return integer(b, KIR_BOOL, node->op != KIR_NE);
        return 0;
    }
    /* A constant stands right: c < x is x > c. */
    static const u8 mirrored[KIR_OP_COUNT] = {
        [KIR_LT] = KIR_GT, [KIR_GT] = KIR_LT, [KIR_LE] = KIR_GE, [KIR_GE] = KIR_LE};
    if (mirrored[node->op] && is_constant(b, x))
        return rxn__kir_op(b, (KirOp)mirrored[node->op], y, x, 0);
    return 0;
}

static KirValue
simplify_select(KirBuilder *b, KirNode *node)
{
    const KirValue condition = node->args[0], x = node->args[1], y = node->args[2];
    if (is_constant(b, condition))
        return node_at(b, condition)->bits ? x : y;
    if (x == y)
        return x;
    if (is_op(b, condition, KIR_NOT))
        return kir_select(b, node_at(b, condition)->args[0], y, x);
    if (node->type != KIR_BOOL)
        return 0;
    if (is_bits(b, x, 1)) /* c ? true : y */
        return kir_or(b, condition, y);
    if (is_bits(b, y, 0)) /* c ? x : false */
        return kir_and(b, condition, x);
    if (is_bits(b, x, 0)) /* c ? false : y */
        return kir_and(b, kir_not(b, condition), y);
    return is_bits(b, y, 1) ? kir_or(b, kir_not(b, condition), x) : 0;
}

static KirValue
simplify_cast(KirBuilder *b, KirNode *node)
{
    const KirType to = (KirType)node->type, through = rxn__kir_type(b, node->args[0]);
    if (to == through)
        return node->args[0];
    if (!is_op(b, node->args[0], KIR_CAST))
        return 0;
    const KirValue x = node_at(b, node->args[0])->args[0];
    const KirType from = rxn__kir_type(b, x);
    /* Integers: the middle type may drop bits, if only such as the last drops too. */
    const bool wraps = !kir_is_float(from) && !kir_is_float(through) && !kir_is_float(to) &&
                       rxn__kir_type_bytes[to] <= rxn__kir_type_bytes[through];
    /* The middle type alters nothing. But a float to an integer that lacks the value gives 0 where
     * integer to integer wraps. */
    const bool exact =
        holds_exactly(through, from) && (!kir_is_float(through) || kir_is_float(to) ||
                                         kir_is_float(from) || holds_exactly(to, from));
    if (to == KIR_BOOL || through == KIR_BOOL || (!wraps && !exact))
        return 0;
    return kir_cast(b, to, x);
}

static KirValue
simplify_reinterpretation(KirBuilder *b, KirNode *node)
{
    const KirValue x = node->args[0];
    if (rxn__kir_type(b, x) == (KirType)node->type)
        return x;
    return is_op(b, x, KIR_BITS) ? kir_bits(b, (KirType)node->type, node_at(b, x)->args[0]) : 0;
}

/* One order for the arguments of a commutative op: a constant second, else the older value first.
 * So equal values look equal, and the rules above look for a constant in one place only. */
static void
order_arguments(const KirBuilder *b, KirNode *node)
{
    const KirValue x = node->args[0], y = node->args[1];
    const bool x_constant = is_constant(b, x), y_constant = is_constant(b, y);
    if ((x_constant && !y_constant) || (x_constant == y_constant && x > y)) {
        node->args[0] = y;
        node->args[1] = x;
    }
}

KirValue
rxn__kir_simplify(KirBuilder *builder, KirNode *node)
{
    if (rxn__kir_ops[node->op].flags & KIR_FLAG_COMMUTES)
        order_arguments(builder, node);
    switch (node->op) {
    case KIR_AND:
    case KIR_OR:
    case KIR_XOR:
    case KIR_NOT: return simplify_bits(builder, node);
    case KIR_EQ:
    case KIR_NE:
    case KIR_LT:
    case KIR_LE:
    case KIR_GT:
    case KIR_GE: return simplify_comparison(builder, node);
    case KIR_SELECT: return simplify_select(builder, node);
    case KIR_CAST: return simplify_cast(builder, node);
    case KIR_BITS: return simplify_reinterpretation(builder, node);
    default: break;
    }
    return kir_is_float((KirType)node->type) ? simplify_float(builder, node)
                                             : simplify_integer(builder, node);
}
