/* ssa_batch_bounds.c: interval arithmetic over expressions, written as kernel values (see ssa_batch_bounds.h).
 *
 * What does not read a count is itself, at both ends. Everything else is made of its arguments' ends:
 *
 *     k A B                     k low(A) low(B) … k high(A) high(B)
 *     v A / (K + A)             v low(A) / (K + high(A)) … v high(A) / (K + low(A))
 *     if A < 3 then f else g    f's ends where high(A) < 3, g's where low(A) >= 3, else both together
 *
 * An argument that occurs twice is taken as two, so that bounds are wider than they need be, by a factor that does not
 * depend on the box: that costs some more refusals, nothing else.
 *
 * The four operations, square root, minimum and maximum are monotone in floating point as they are in numbers: the value at
 * a state of the box, computed, is between the ends, computed. Of exp, log, pow and their like that holds but for some units
 * of the last place.
 */
#include "compiler/method/ssa_batch_bounds.h"

#include <float.h>
#include <math.h>

static KirValue
f64(BatchBox *box, double value)
{
    return rxn__kir_const(box->frame->builder, KIR_F64, value);
}

static BatchInterval
point(KirValue value, bool not_negative)
{
    return (BatchInterval){value, value, not_negative};
}

/* Known for certain of what reads no count: numbers, and parameters with bounds. */
static bool
never_negative(const Network *network, Expr expr)
{
    const ExprNode *node = expr_node(network, expr);
    switch ((ExprOp)node->op) {
    case EXPR_NUMBER: return node->number >= 0;
    case EXPR_PARAM:
        return network->params.items[node->object].has_bounds &&
               network->params.items[node->object].low >= 0;
    case EXPR_MUL:
    case EXPR_ADD:
    case EXPR_DIV:
        return never_negative(network, node->args[0]) && never_negative(network, node->args[1]);
    default: return false;
    }
}

static KirValue
least_of(KirBuilder *b, const KirValue *values, u32 count)
{
    KirValue least = values[0];
    for (u32 k = 1; k < count; k++)
        least = kir_min(b, least, values[k]);
    return least;
}

static KirValue
greatest_of(KirBuilder *b, const KirValue *values, u32 count)
{
    KirValue greatest = values[0];
    for (u32 k = 1; k < count; k++)
        greatest = kir_max(b, greatest, values[k]);
    return greatest;
}

/* Monotone in each argument, whatever the other is: the extremes are at corners. */
static BatchInterval
corners(BatchBox *box, KirOp op, BatchInterval x, BatchInterval y, bool not_negative)
{
    KirBuilder *b = box->frame->builder;
    KirValue values[4] = {rxn__kir_op(b, op, x.low, y.low, 0), rxn__kir_op(b, op, x.low, y.high, 0),
                          rxn__kir_op(b, op, x.high, y.low, 0),
                          rxn__kir_op(b, op, x.high, y.high, 0)};
    return (BatchInterval){least_of(b, values, 4), greatest_of(b, values, 4), not_negative};
}

/* The box is of use only where this holds. */
static void
require(BatchBox *box, KirValue holds)
{
    box->sound = box->sound ? kir_and(box->frame->builder, box->sound, holds) : holds;
}

/* No end of an interval is ever infinite or no number: so nothing that is made of them is wrong. */
static BatchInterval
in_range(BatchBox *box, BatchInterval x)
{
    KirBuilder *b = box->frame->builder;
    require(box,
            kir_and(b, kir_ge(b, x.low, f64(box, -DBL_MAX)), kir_le(b, x.high, f64(box, DBL_MAX))));
    return x;
}

static BatchInterval
product(BatchBox *box, BatchInterval x, BatchInterval y)
{
    KirBuilder *b = box->frame->builder;
    if (x.not_negative && y.not_negative)
        return (BatchInterval){kir_mul(b, x.low, y.low), kir_mul(b, x.high, y.high), true};
    return corners(box, KIR_MUL, x, y, false);
}

/* Where the denominator keeps off zero. */
static BatchInterval
quotient(BatchBox *box, BatchInterval x, BatchInterval y)
{
    KirBuilder *b = box->frame->builder;
    KirValue zero = f64(box, 0);
    require(box, kir_or(b, kir_gt(b, y.low, zero), kir_lt(b, y.high, zero)));
    if (x.not_negative && y.not_negative)
        return (BatchInterval){kir_div(b, x.low, y.high), kir_div(b, x.high, y.low), true};
    return corners(box, KIR_DIV, x, y, false);
}

static KirValue
whole_power(KirBuilder *b, KirValue x, double n)
{
    KirValue square = kir_mul(b, x, x);
    return n == 2 ? square : n == 3 ? kir_mul(b, square, x) : kir_mul(b, square, square);
}

/* A base that may be negative has only the whole powers 2 to 4. */
static BatchInterval
power(BatchBox *box, BatchInterval x, BatchInterval y, double exponent)
{
    KirBuilder *b = box->frame->builder;
    KirValue zero = f64(box, 0);
    if (exponent == 1)
        return x;
    if (exponent == 2 || exponent == 3 || exponent == 4) { /* as lower.c has them */
        KirValue low = whole_power(b, x.low, exponent), high = whole_power(b, x.high, exponent);
        if (x.not_negative || exponent == 3)
            return (BatchInterval){low, high, x.not_negative};
        KirValue around = kir_and(b, kir_lt(b, x.low, zero), kir_gt(b, x.high, zero));
        return (BatchInterval){kir_select(b, around, zero, kir_min(b, low, high)),
                               kir_max(b, low, high), true};
    }
    if (!x.not_negative)
        require(box, kir_ge(b, x.low, zero));
    return corners(box, KIR_POW, x, y, true);
}

static BatchInterval
absolute(BatchBox *box, BatchInterval x)
{
    KirBuilder *b = box->frame->builder;
    KirValue zero = f64(box, 0);
    if (x.not_negative)
        return x;
    KirValue low = kir_abs(b, x.low), high = kir_abs(b, x.high);
    KirValue around = kir_and(b, kir_lt(b, x.low, zero), kir_gt(b, x.high, zero));
    return (BatchInterval){kir_select(b, around, zero, kir_min(b, low, high)),
                           kir_max(b, low, high), true};
}

/* x(x-1)…(x-n+1)/n! of a count: rises, and is zero up to n - 1. */
static KirValue
choose(BatchBox *box, KirValue x, u32 n)
{
    KirBuilder *b = box->frame->builder;
    KirValue value = x;
    for (u32 k = 1; k < n; k++)
        value = kir_mul(b, value, kir_max(b, kir_sub(b, x, f64(box, k)), f64(box, 0)));
    return kir_mul(b, value, f64(box, 1 / rxn__factorial(n)));
}

static BatchInterval
condition(BatchBox *box, ExprOp op, BatchInterval x, BatchInterval y)
{
    KirBuilder *b = box->frame->builder;
    KirValue overlap = kir_and(b, kir_le(b, x.low, y.high), kir_le(b, y.low, x.high));
    KirValue same = kir_and(b, kir_eq(b, x.low, y.high), kir_eq(b, x.high, y.low));
    switch (op) {
    case EXPR_LT: return (BatchInterval){kir_lt(b, x.high, y.low), kir_lt(b, x.low, y.high), false};
    case EXPR_LE: return (BatchInterval){kir_le(b, x.high, y.low), kir_le(b, x.low, y.high), false};
    case EXPR_EQ: return (BatchInterval){same, overlap, false};
    default: return (BatchInterval){kir_not(b, overlap), kir_not(b, same), false}; /* NE */
    }
}

static BatchInterval
choice(BatchBox *box, BatchInterval c, BatchInterval x, BatchInterval y)
{
    KirBuilder *b = box->frame->builder;
    bool is_bool = rxn__kir_type(b, x.low) == KIR_BOOL;
    KirValue low = is_bool ? kir_and(b, x.low, y.low) : kir_min(b, x.low, y.low);
    KirValue high = is_bool ? kir_or(b, x.high, y.high) : kir_max(b, x.high, y.high);
    low = kir_select(b, c.high, low, y.low);
    high = kir_select(b, c.high, high, y.high);
    return (BatchInterval){kir_select(b, c.low, x.low, low), kir_select(b, c.low, x.high, high),
                           x.not_negative && y.not_negative};
}

static BatchInterval
repeated(BatchBox *box, const ExprNode *node)
{
    KirBuilder *b = box->frame->builder;
    Lowering *lower = &box->frame->lower;
    Variable range = lower->network->variables.items[node->object];
    bool sums = node->op == EXPR_SUM;
    BatchInterval total = point(f64(box, sums ? 0 : 1), true);
    for (i64 k = range.low; k <= range.high; k++) {
        rxn__lower_bind(lower, node->object, rxn__kir_const(b, KIR_I32, (double)k));
        BatchInterval term = rxn__batch_bound(box, node->args[0]);
        if (sums)
            total =
                (BatchInterval){kir_add(b, total.low, term.low), kir_add(b, total.high, term.high),
                                total.not_negative && term.not_negative};
        else
            total = in_range(box, product(box, total, term));
    }
    rxn__lower_bind(lower, node->object, 0);
    return total;
}

static BatchInterval
both_ends(BatchBox *box, KirOp op, BatchInterval x, bool not_negative)
{
    KirBuilder *b = box->frame->builder;
    return (BatchInterval){rxn__kir_op(b, op, x.low, 0, 0), rxn__kir_op(b, op, x.high, 0, 0),
                           not_negative};
}

static BatchInterval
pairwise(BatchBox *box, KirOp op, BatchInterval x, BatchInterval y, bool not_negative)
{
    KirBuilder *b = box->frame->builder;
    return (BatchInterval){rxn__kir_op(b, op, x.low, y.low, 0),
                           rxn__kir_op(b, op, x.high, y.high, 0), not_negative};
}

static BatchInterval
bound_count(BatchBox *box, const ExprNode *node)
{
    SsaFrame *frame = box->frame;
    const Species *species = &frame->network->species.items[node->object];
    KirValue flat = rxn__lower_flat(&frame->lower, &species->shape, species->flat, node->args);
    /* A constant: there are no free variables, and those of sums are written out. */
    u32 number = (u32)rxn__kir_kernel(frame->builder)->values.items[flat].bits;
    return (BatchInterval){box->low[number], box->high[number], true};
}

BatchInterval
rxn__batch_bound(BatchBox *box, Expr expr)
{
    SsaFrame *frame = box->frame;
    KirBuilder *b = frame->builder;
    const Network *network = frame->network;
    const ExprNode node = *expr_node(network, expr);
    if (!rxn__expr_uses(network, expr).species)
        return point(node.is_bool ? rxn__lower(&frame->lower, expr)
                                  : rxn__lower_as(&frame->lower, expr, KIR_F64),
                     expr == box->constant || (!node.is_bool && never_negative(network, expr)));
    if (node.op == EXPR_SPECIES)
        return bound_count(box, &node);
    if (node.op == EXPR_SUM || node.op == EXPR_PROD)
        return repeated(box, &node);
    BatchInterval args[3] = {{0}};
    for (u32 k = 0; k < node.arg_count; k++)
        args[k] = rxn__batch_bound(box, node.args[k]);
    const BatchInterval x = args[0], y = args[1];
    const bool neither = x.not_negative && y.not_negative;
    double exponent = NAN;
    switch ((ExprOp)node.op) {
    case EXPR_NEG: return (BatchInterval){kir_neg(b, x.high), kir_neg(b, x.low), false};
    case EXPR_ADD: return pairwise(box, KIR_ADD, x, y, neither);
    case EXPR_SUB:
        return (BatchInterval){kir_sub(b, x.low, y.high), kir_sub(b, x.high, y.low), false};
    case EXPR_MUL: return in_range(box, product(box, x, y));
    case EXPR_DIV: return in_range(box, quotient(box, x, y));
    case EXPR_MIN: return pairwise(box, KIR_MIN, x, y, neither);
    case EXPR_MAX: return pairwise(box, KIR_MAX, x, y, x.not_negative || y.not_negative);
    case EXPR_POW:
        if (expr_node(network, node.args[1])->op == EXPR_NUMBER)
            exponent = expr_node(network, node.args[1])->number;
        return in_range(box, power(box, x, y, exponent));
    case EXPR_ABS: return absolute(box, x);
    case EXPR_FLOOR: return both_ends(box, KIR_FLOOR, x, x.not_negative);
    case EXPR_CEIL: return both_ends(box, KIR_CEIL, x, x.not_negative);
    case EXPR_SQRT: return in_range(box, both_ends(box, KIR_SQRT, x, true));
    case EXPR_EXP: return in_range(box, both_ends(box, KIR_EXP, x, true));
    case EXPR_LOG: return in_range(box, both_ends(box, KIR_LOG, x, false));
    case EXPR_LOG1P: return in_range(box, both_ends(box, KIR_LOG1P, x, x.not_negative));
    case EXPR_EXPM1: return in_range(box, both_ends(box, KIR_EXPM1, x, x.not_negative));
    case EXPR_TANH: return both_ends(box, KIR_TANH, x, x.not_negative);
    case EXPR_SIGMOID: return both_ends(box, KIR_SIGMOID, x, true);
    case EXPR_SOFTPLUS: return both_ends(box, KIR_SOFTPLUS, x, true);
    case EXPR_CHOOSE:
        return (BatchInterval){choose(box, x.low, (u32)node.number),
                               choose(box, x.high, (u32)node.number), true};
    case EXPR_LT:
    case EXPR_LE:
    case EXPR_EQ:
    case EXPR_NE: return condition(box, (ExprOp)node.op, x, y);
    case EXPR_NOT: return (BatchInterval){kir_not(b, x.high), kir_not(b, x.low), false};
    case EXPR_AND: return pairwise(box, KIR_AND, x, y, false);
    case EXPR_OR: return pairwise(box, KIR_OR, x, y, false);
    case EXPR_SELECT: return choice(box, x, y, args[2]);
    default: /* rxn__batch_has_bounds has refused it */
        return (BatchInterval){f64(box, -INFINITY), f64(box, INFINITY), false};
    }
}

/* ---- what has bounds --------------------------------------------------------------------------- */

typedef struct BoundSearch {
    const Network *network;
    const char *missing; /* or NULL */
} BoundSearch;

enum { LONGEST_SUM = 64 }; /* of counts, written out */

static void
visit_bound(void *context, Expr expr)
{
    BoundSearch *search = context;
    const ExprNode *node = expr_node(search->network, expr);
    if (!rxn__expr_uses(search->network, expr).species)
        return;
    if (node->op == EXPR_SIN || node->op == EXPR_COS || node->op == EXPR_TAN)
        search->missing = "a sine, cosine or tangent of a count";
    if (node->op != EXPR_SUM && node->op != EXPR_PROD)
        return;
    Variable range = search->network->variables.items[node->object];
    if (range.high - range.low >= LONGEST_SUM)
        search->missing = "a long sum of counts";
}

bool
rxn__batch_has_bounds(const Network *network, Expr expr, Arena *scratch, Text *ret_reason)
{
    BoundSearch search = {network, NULL};
    rxn__expr_walk(network, expr, scratch, visit_bound, &search);
    if (search.missing)
        rxn__text_printf(ret_reason,
                         "it draws reactions together while their rates keep to bounds, "
                         "and a rate has %s",
                         search.missing);
    return !search.missing;
}
