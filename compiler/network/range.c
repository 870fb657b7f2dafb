/* range.c: in which range a value lies whatever happens. Intervals of numbers, from what is known
 * for certain: counts and times are not negative, parameters keep to their bounds, variables to
 * their ranges. bound.c asks it for signs.
 *
 * It is about real numbers: rounding may carry a value an ulp over an end, which no question about
 * a sign minds, because rounding never carries a value over zero.
 */
#include "compiler/network/internal.h"

#include <math.h>

static const Range anything = {-INFINITY, INFINITY};
static const Range not_negative = {0, INFINITY};

static void
cover(RangeTable *table)
{
    u32 count = table->network->exprs.count;
    if (table->capacity >= count)
        return;
    u32 capacity = table->network->exprs.capacity;
    GROW_ZEROED(table->scratch, table->ranges, table->capacity, capacity);
    GROW_ZEROED(table->scratch, table->known, table->capacity, capacity);
    table->capacity = capacity;
}

/* 0 times infinity is 0 at the end of an interval: the infinity is only approached. */
static double
end_product(double a, double b)
{
    return a == 0 || b == 0 ? 0 : a * b;
}

static Range
hull4(double a, double b, double c, double d)
{
    return (Range){fmin(fmin(a, b), fmin(c, d)), fmax(fmax(a, b), fmax(c, d))};
}

static Range
product(Range a, Range b)
{
    return hull4(end_product(a.low, b.low), end_product(a.low, b.high), end_product(a.high, b.low),
                 end_product(a.high, b.high));
}

static Range
quotient(Range a, Range b)
{
    if (b.high <= 0) {
        a = (Range){-a.high, -a.low};
        b = (Range){-b.high, -b.low};
    }
    if (b.low < 0)
        return anything;
    Range reciprocal = {b.high == 0 ? INFINITY : 1 / b.high, b.low == 0 ? INFINITY : 1 / b.low};
    return product(a, reciprocal);
}

/* A function that rises with its argument. */
static Range
rising(Range a, double (*f)(double))
{
    double low = f(a.low), high = f(a.high);
    return (Range){isnan(low) ? -INFINITY : low, isnan(high) ? INFINITY : high};
}

static double
sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double
softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static Range
power(const RangeTable *table, const ExprNode *node, Range a, Range b)
{
    double p;
    if (rxn__expr_is_number(table->network, node->args[1], &p)) {
        if (a.low >= 0)
            return p >= 0 ? (Range){pow(a.low, p), pow(a.high, p)}
                          : (Range){pow(a.high, p), pow(a.low, p)};
        if (p == floor(p) && fmod(p, 2) == 0)
            return not_negative;
        return anything;
    }
    (void)b;
    return a.low >= 0 ? not_negative : anything;
}

static double
extent_of(const RangeTable *table, const ExprNode *node)
{
    const Variable *variable = &table->network->variables.items[node->object];
    return variable->high < variable->low ? 0 : (double)variable->high - (double)variable->low + 1;
}

static Range
repeated(const RangeTable *table, const ExprNode *node, Range a)
{
    double n = extent_of(table, node);
    if (node->op == EXPR_SUM)
        return (Range){end_product(a.low, n), end_product(a.high, n)};
    return a.low >= 0 ? (Range){pow(a.low, n), pow(a.high, n)} : anything;
}

static Range
leaf_range(const RangeTable *table, const ExprNode *node)
{
    const Network *network = table->network;
    switch (node->op) {
    case EXPR_NUMBER:
    case EXPR_BOOLEAN: return isnan(node->number) ? anything : (Range){node->number, node->number};
    case EXPR_TIME:
    case EXPR_TIME_LOW:
    case EXPR_TIME_HIGH:
    case EXPR_TIME_MIDDLE:
    case EXPR_SPECIES: return not_negative;
    case EXPR_VARIABLE: {
        const Variable *variable = &network->variables.items[node->object];
        return (Range){(double)variable->low, (double)variable->high};
    }
    case EXPR_PARAM: {
        const Param *param = &network->params.items[node->object];
        return param->has_bounds ? (Range){param->low, param->high} : anything;
    }
    case EXPR_HOISTED: return table->ranges[network->hoisted.items[node->object].value];
    default: return anything;
    }
}

static Range
node_range(const RangeTable *table, Expr expr)
{
    const ExprNode *node = expr_node(table->network, expr);
    if (node->arg_count == 0 || expr_is_reference((ExprOp)node->op))
        return leaf_range(table, node);
    Range a = table->ranges[node->args[0]], b = anything, c = anything;
    if (node->arg_count > 1)
        b = table->ranges[node->args[1]];
    if (node->arg_count > 2)
        c = table->ranges[node->args[2]];
    switch (node->op) {
    case EXPR_NEG: return (Range){-a.high, -a.low};
    case EXPR_ADD: return (Range){a.low + b.low, a.high + b.high};
    case EXPR_SUB: return (Range){a.low - b.high, a.high - b.low};
    case EXPR_MUL:
        if (node->args[0] == node->args[1]) {
            Range square = product(a, a);
            return (Range){fmax(square.low, 0), square.high};
        }
        return product(a, b);
    case EXPR_DIV: return quotient(a, b);
    case EXPR_POW: return power(table, node, a, b);
    case EXPR_MIN: return (Range){fmin(a.low, b.low), fmin(a.high, b.high)};
    case EXPR_MAX: return (Range){fmax(a.low, b.low), fmax(a.high, b.high)};
    case EXPR_ABS:
        return (Range){a.low >= 0    ? a.low
                       : a.high <= 0 ? -a.high
                                     : 0,
                       fmax(fabs(a.low), fabs(a.high))};
    case EXPR_FLOOR: return (Range){floor(a.low), floor(a.high)};
    case EXPR_CEIL: return (Range){ceil(a.low), ceil(a.high)};
    case EXPR_SQRT: return (Range){a.low > 0 ? sqrt(a.low) : 0, a.high > 0 ? sqrt(a.high) : 0};
    case EXPR_EXP: return rising(a, exp);
    case EXPR_LOG: return rising(a, log);
    case EXPR_LOG1P: return rising(a, log1p);
    case EXPR_EXPM1: return rising(a, expm1);
    case EXPR_SIN:
    case EXPR_COS: return (Range){-1, 1};
    case EXPR_TANH: return rising(a, tanh);
    case EXPR_SIGMOID: return rising(a, sigmoid);
    case EXPR_SOFTPLUS: return rising(a, softplus);
    case EXPR_CHOOSE: return a.low >= 0 ? not_negative : anything; /* of counts, whole numbers */
    case EXPR_SELECT: return (Range){fmin(b.low, c.low), fmax(b.high, c.high)};
    case EXPR_SUM:
    case EXPR_PROD: return repeated(table, node, a);
    default: return node->is_bool ? (Range){0, 1} : anything;
    }
}

Range
rxn__expr_range(RangeTable *table, Expr expr)
{
    Network *network = table->network;
    ExprTables *tables = network->tables;
    cover(table);
    const u32 bottom = tables->stack_count;
    rxn__tables_push(network, expr);
    while (tables->stack_count > bottom) {
        Expr top = tables->stack[tables->stack_count - 1];
        if (table->known[top]) {
            tables->stack_count--;
            continue;
        }
        const ExprNode *node = expr_node(network, top);
        bool ready = true;
        for (u32 i = 0; i < node->arg_count; i++) {
            if (table->known[node->args[i]])
                continue;
            ready = false;
            rxn__tables_push(network, node->args[i]);
        }
        if (node->op == EXPR_HOISTED && !table->known[network->hoisted.items[node->object].value]) {
            ready = false;
            rxn__tables_push(network, network->hoisted.items[node->object].value);
        }
        if (!ready)
            continue;
        Range range = node_range(table, top);
        bool settled = !isnan(range.low) && !isnan(range.high);
        table->ranges[top] = settled ? range : anything;
        table->known[top] = true;
        tables->stack_count--;
    }
    return table->ranges[expr];
}
