/* accumulate_use.c: how laws read their accumulators, and so what an error in one may do.
 *
 * A sum that is kept from event to event has another rounding error than one that is added up anew: some 1e-13 of
 * what it has been, not of what it is. To sigmoid(c + 0.1·sum) that is nothing: its relative error is at most that
 * absolute one. To a propensity that is the sum itself it is something when the sum returns to zero: a propensity
 * that must be zero would be 1e-17, or -1e-17. And to `if sum > 0.3` it may be everything.
 *
 * For each value, from its arguments: whether an absolute error e in the sums below it, e → 0, is
 *
 *     RELATIVE_ERROR   a relative error of at most L·e
 *     ABSOLUTE_ERROR   an absolute error of at most L·e
 *
 * with a constant L (of parameters, inputs and times, but not of counts). What reads no sum has both. A law is smooth
 * in its sums if the propensity has RELATIVE_ERROR. Where terms of it may cancel, it is lost: so signs matter.
 *
 * A law that is not smooth may be zero because one value that depends on the state is taken from an equal one:
 * f(sum) - min(f(sum), f(other)), the rate at which two coupled copies part. Then both have to be right to the bit.
 */
#include "compiler/network/accumulate.h"
#include "compiler/network/internal.h"

enum { RELATIVE_ERROR = 1, ABSOLUTE_ERROR = 2, BOTH_ERRORS = 3 };

typedef struct Uses {
    Network *network;
    const Accumulators *list;
    AccumulatorUse *uses;
    RangeTable ranges;
    u8 *errors;  /* by node */
    bool *reads; /* by node: a sum stands in it, or it is one */
    bool *
        parts; /* by node: it is zero where two values that depend on the state are equal, or is made of such */
} Uses;

static bool
is_accumulator(const Uses *uses, Expr expr)
{
    for (u32 i = 0; i < uses->list->count; i++)
        if (uses->list->items[i].sum == expr)
            return true;
    return false;
}

static bool
is_constant(const Uses *uses, Expr expr)
{
    const u16 varies = USES_SPECIES | USES_QUANTITY;
    return !(expr_node(uses->network, expr)->uses & varies);
}

static bool
not_negative(Uses *uses, Expr expr)
{
    return rxn__expr_range(&uses->ranges, expr).low >= 0;
}

static u8
product_errors(const Uses *uses, const ExprNode *node, u8 a, u8 b)
{
    u8 errors = a & b & RELATIVE_ERROR;
    if ((a & ABSOLUTE_ERROR && is_constant(uses, node->args[1])) ||
        (b & ABSOLUTE_ERROR && is_constant(uses, node->args[0])))
        errors |= ABSOLUTE_ERROR;
    return errors;
}

/* Of a node that reads a sum but is none, from those of its arguments. */
static u8
node_errors(Uses *uses, Expr expr)
{
    const ExprNode node = *expr_node(uses->network, expr);
    u8 arg[RXN_MAX_RANK] = {0}, all = BOTH_ERRORS;
    bool same_sign = true;
    for (u32 k = 0; k < node.arg_count; k++) {
        arg[k] = uses->errors[node.args[k]];
        all &= arg[k];
        same_sign &= node.is_bool || not_negative(uses, node.args[k]);
    }
    u8 absolute = arg[0] & ABSOLUTE_ERROR;
    switch ((ExprOp)node.op) {
    case EXPR_NEG:
    case EXPR_ABS: return arg[0];
    case EXPR_ADD: return same_sign ? all : all & ABSOLUTE_ERROR;
    case EXPR_SUB: return all & ABSOLUTE_ERROR;
    case EXPR_MUL: return product_errors(uses, &node, arg[0], arg[1]);
    case EXPR_DIV: return (all & RELATIVE_ERROR) | (is_constant(uses, node.args[1]) ? absolute : 0);
    case EXPR_POW: return is_constant(uses, node.args[1]) ? arg[0] & RELATIVE_ERROR : 0;
    case EXPR_SQRT: return arg[0] & RELATIVE_ERROR;
    case EXPR_MIN:
    case EXPR_MAX: return same_sign ? all : all & ABSOLUTE_ERROR;
    case EXPR_EXP: return absolute ? RELATIVE_ERROR : 0;
    case EXPR_SIGMOID:
    case EXPR_SOFTPLUS: return absolute ? BOTH_ERRORS : 0; /* log' and slope are at most 1 */
    case EXPR_TANH:
    case EXPR_SIN:
    case EXPR_COS: return absolute;
    case EXPR_SELECT: return uses->reads[node.args[0]] ? 0 : arg[1] & arg[2];
    case EXPR_SUM: return same_sign ? all : all & ABSOLUTE_ERROR;
    case EXPR_PROD: return all & RELATIVE_ERROR;
    default: return 0;
    }
}

/* Of a node that reads a sum but is none, when its errors are known. */
static bool
is_parting(const Uses *uses, Expr expr)
{
    const ExprNode *node = expr_node(uses->network, expr);
    bool parts = node->op == EXPR_SUB && !is_constant(uses, node->args[0]) &&
                 !is_constant(uses, node->args[1]);
    for (u32 k = 0; k < node->arg_count; k++)
        parts |= uses->parts[node->args[k]];
    return parts && !(uses->errors[expr] & RELATIVE_ERROR);
}

static bool
decides(ExprOp op)
{
    return expr_is_comparison(op) || op == EXPR_FLOOR || op == EXPR_CEIL;
}

static void
worsen(Uses *uses, Arena *arena, Expr root, AccumulatorUse use)
{
    ExprList below = {0};
    rxn__expr_collect_begin(uses->network);
    rxn__expr_collect(uses->network, root, arena, &below);
    for (u32 n = 0; n < below.count; n++)
        for (u32 i = 0; i < uses->list->count; i++)
            if (uses->list->items[i].sum == below.items[n] && uses->uses[i] < use)
                uses->uses[i] = use;
}

static void
look_at_law(Uses *uses, Arena *arena, Expr law)
{
    ExprList nodes = {0};
    if (law == 0)
        return;
    rxn__expr_collect_begin(uses->network);
    rxn__expr_collect(uses->network, law, arena, &nodes);
    for (u32 n = 0; n < nodes.count; n++) {
        Expr expr = nodes.items[n];
        const ExprNode *node = expr_node(uses->network, expr);
        if (is_accumulator(uses, expr)) {
            uses->reads[expr] = true;
            uses->errors[expr] = ABSOLUTE_ERROR;
            continue;
        }
        bool reads = false;
        for (u32 k = 0; k < node->arg_count; k++)
            reads |= uses->reads[node->args[k]];
        uses->reads[expr] = reads;
        uses->errors[expr] = reads ? node_errors(uses, expr) : BOTH_ERRORS;
        uses->parts[expr] = reads && is_parting(uses, expr);
    }
    for (u32 n = 0; n < nodes.count; n++)
        if (uses->reads[nodes.items[n]] &&
            decides((ExprOp)expr_node(uses->network, nodes.items[n])->op))
            worsen(uses, arena, nodes.items[n], ACCUMULATOR_DECIDES);
    if (!(uses->errors[law] & RELATIVE_ERROR))
        worsen(uses, arena, law, uses->parts[law] ? ACCUMULATOR_DECIDES : ACCUMULATOR_RELATIVE);
}

void
rxn__accumulator_uses(Network *network, const Accumulators *list, Arena *arena,
                      AccumulatorUse *ret_uses)
{
    u32 count = network->exprs.count;
    Uses uses = {.network = network,
                 .list = list,
                 .uses = ret_uses,
                 .ranges = {.network = network, .scratch = arena},
                 .errors = NEW_ARRAY(arena, u8, count),
                 .reads = NEW_ARRAY(arena, bool, count),
                 .parts = NEW_ARRAY(arena, bool, count)};
    for (u32 i = 0; i < list->count; i++)
        ret_uses[i] = ACCUMULATOR_SMOOTH;
    for (u32 r = 0; r < network->reactions.count; r++) {
        look_at_law(&uses, arena, network->reactions.items[r].propensity);
        look_at_law(&uses, arena, network->reactions.items[r].bound);
    }
}
