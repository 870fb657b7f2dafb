/* windows.c: comparisons of time with times.
 *
 * `if t < t0 then k else 0` changes at one time, which does not depend on the state. Between two
 * such times every comparison of this kind is settled, so nothing about it is random: the
 * trajectory is cut at those times (breakpoints), and inside a piece the comparison is decided at
 * the piece's middle. A rate that depends on time in this way only is then constant on each piece,
 * and exact without thinning:
 *
 *     %2 = time                                     breakpoint %3
 *     %4 = lt %2 %3        (%3: parameters)   ⇒     %5 = time_middle
 *     %6 = select %4 %7 %8                          %4 = lt %5 %3
 *
 * Taken are comparisons whose two sides are affine in time, with coefficients and constants of
 * parameters, inputs and variables: a t + b < c changes at (c − b)/a. In a family, the breakpoints
 * of all members are listed. The middle of a piece is far from its ends, so rounding in (c − b)/a
 * cannot decide a comparison wrongly. Where the coefficient turns out as zero the breakpoint is not
 * finite, and stands for "never".
 *
 * It is done in propensities, their bounds, and conditions of `when`. There, t >= 25 turns true at
 * the start of the piece from 25 on, thus at 25. An equality with a time holds at an instant only,
 * which no piece has in its middle: in a condition it is left as it is, and bound.c reports it.
 * Assignments and observables are evaluated at a time, and keep it.
 *
 * What is not taken (a comparison with the state, or of sin(t)) keeps TIME; bound.c and thinning
 * deal with it.
 */
#include "compiler/network/internal.h"

#include <math.h>

enum {
    MAX_FAMILY_BREAKPOINTS =
        4096, /* of one comparison in a family; with more it is left to thinning */
    MAX_LINEAR_DEPTH = 128,
    MAX_LINEAR_NODES = 4096,
};

/* slope * t + constant; slope 0 (no node): no time in it */
typedef struct LinearInTime {
    Expr slope, constant;
} LinearInTime;

typedef struct Windows {
    Network *network;
    Arena *scratch;
    ExprRewrite rewrite;
    bool in_condition;
    Expr middle;
    bool *is_breakpoint; /* by node */
    u32 is_breakpoint_capacity;
} Windows;

/* ---- Linear in time -------------------------------------------------------------------------- */

static Expr
negate_part(Network *network, Expr part)
{
    return part == 0 ? 0 : expr_unary(network, EXPR_NEG, part);
}

static Expr
add_parts(Network *network, Expr a, Expr b)
{
    return a == 0 ? b : b == 0 ? a : expr_binary(network, EXPR_ADD, a, b);
}

static Expr
scale_part(Network *network, ExprOp op, Expr part, Expr factor)
{
    return part == 0 ? 0 : expr_binary(network, op, part, factor);
}

/* False where the expression is not linear in time with parts that are free of the state. */
static bool
read_linear(Network *network, Expr expr, u32 depth, u32 *budget, LinearInTime *ret)
{
    *ret = (LinearInTime){0};
    const ExprNode node = *expr_node(network, expr);
    if (!(node.uses & USES_TIME)) {
        ret->constant = expr;
        return !(node.uses & (USES_SPECIES | USES_WINDOW));
    }
    if (depth == MAX_LINEAR_DEPTH || *budget == 0)
        return false;
    --*budget;
    LinearInTime a, b;
    switch (node.op) {
    case EXPR_TIME: ret->slope = rxn__expr_number(network, 1); return true;
    case EXPR_NEG:
        if (!read_linear(network, node.args[0], depth + 1, budget, &a))
            return false;
        ret->slope = negate_part(network, a.slope);
        ret->constant = negate_part(network, a.constant);
        return true;
    case EXPR_ADD:
    case EXPR_SUB:
        if (!read_linear(network, node.args[0], depth + 1, budget, &a) ||
            !read_linear(network, node.args[1], depth + 1, budget, &b))
            return false;
        if (node.op == EXPR_SUB)
            b = (LinearInTime){negate_part(network, b.slope), negate_part(network, b.constant)};
        ret->slope = add_parts(network, a.slope, b.slope);
        ret->constant = add_parts(network, a.constant, b.constant);
        return true;
    case EXPR_MUL:
    case EXPR_DIV:
        if (!read_linear(network, node.args[0], depth + 1, budget, &a) ||
            !read_linear(network, node.args[1], depth + 1, budget, &b))
            return false;
        if (node.op == EXPR_MUL && a.slope == 0) {
            LinearInTime swap = a;
            a = b;
            b = swap;
        }
        if (b.slope != 0)
            return false;
        ret->slope = scale_part(network, (ExprOp)node.op, a.slope, b.constant);
        ret->constant = scale_part(network, (ExprOp)node.op, a.constant, b.constant);
        return true;
    default: return false;
    }
}

/* ---- Breakpoints ----------------------------------------------------------------------------- */

static void
add_breakpoint(Windows *windows, Expr time)
{
    Network *network = windows->network;
    double number;
    if (rxn__expr_is_number(network, time, &number) && !isfinite(number))
        return; /* never */
    if (time >= windows->is_breakpoint_capacity) {
        u32 capacity = network->exprs.capacity;
        GROW_ZEROED(windows->scratch, windows->is_breakpoint, windows->is_breakpoint_capacity,
                    capacity);
        windows->is_breakpoint_capacity = capacity;
    }
    if (windows->is_breakpoint[time])
        return;
    windows->is_breakpoint[time] = true;
    vec_push(network->arena, &network->breakpoints, time);
}

/* The breakpoint of every member of a family; false, with nothing added, where there are too many.
 * */
static bool
add_breakpoints(Windows *windows, Expr time)
{
    Network *network = windows->network;
    u32 count;
    const u32 *variables = rxn__expr_free_variables(network, time, &count);
    u64 members = 1;
    if (count > RXN_MAX_RANK)
        return false;
    for (u32 i = 0; i < count; i++) {
        const Variable *variable = &network->variables.items[variables[i]];
        if (variable->high < variable->low)
            return true;
        if (variable->high - variable->low >= MAX_FAMILY_BREAKPOINTS)
            return false;
        members *= (u64)(variable->high - variable->low + 1);
        if (members > MAX_FAMILY_BREAKPOINTS)
            return false;
    }
    for (u64 member = 0; member < members; member++) {
        Expr values[RXN_MAX_RANK];
        u64 rest = member;
        for (u32 i = count; i-- > 0;) {
            const Variable *variable = &network->variables.items[variables[i]];
            u64 extent = (u64)(variable->high - variable->low + 1);
            values[i] = rxn__expr_number(network, (double)(variable->low + (i64)(rest % extent)));
            rest /= extent;
        }
        add_breakpoint(windows, rxn__expr_substitute(network, time, count, variables, values));
    }
    return true;
}

/* When a t + b crosses c t + d. */
static Expr
crossing(Network *network, LinearInTime left, LinearInTime right)
{
    Expr slope = add_parts(network, left.slope, negate_part(network, right.slope));
    Expr rest;
    if (right.constant == 0)
        rest = negate_part(network, left.constant);
    else if (left.constant == 0)
        rest = right.constant;
    else
        rest = expr_binary(network, EXPR_SUB, right.constant, left.constant);
    if (rest == 0)
        return rxn__expr_number(network, 0);
    return expr_binary(network, EXPR_DIV, rest, slope);
}

/* ---- The rewriting --------------------------------------------------------------------------- */

static Expr
time_to_middle(void *context, Expr expr)
{
    const Windows *windows = context;
    const ExprNode *node = expr_node(windows->network, expr);
    if (node->op == EXPR_TIME)
        return windows->middle;
    return node->uses & USES_TIME ? 0 : expr;
}

static Expr
windows_rule(void *context, Expr expr)
{
    Windows *windows = context;
    Network *network = windows->network;
    const ExprNode node = *expr_node(network, expr);
    if (!(node.uses & USES_TIME) || node.op == EXPR_TIME)
        return expr;
    if (!expr_is_comparison((ExprOp)node.op))
        return 0;
    if (windows->in_condition && (node.op == EXPR_EQ || node.op == EXPR_NE))
        return 0;

    LinearInTime left, right;
    u32 budget = MAX_LINEAR_NODES;
    if (!read_linear(network, node.args[0], 0, &budget, &left) ||
        !read_linear(network, node.args[1], 0, &budget, &right))
        return 0;
    if (!add_breakpoints(windows, crossing(network, left, right)))
        return 0;

    ExprRewrite inner = {.network = network,
                         .scratch = windows->scratch,
                         .rule = time_to_middle,
                         .context = windows};
    Expr args[2];
    args[0] = rxn__expr_rewrite(&inner, node.args[0]);
    args[1] = rxn__expr_rewrite(&inner, node.args[1]);
    return rxn__expr(network, (ExprOp)node.op, args);
}

static bool
rewrite_slot(Windows *windows, Expr *slot)
{
    Expr old = *slot;
    *slot = rxn__expr_rewrite(&windows->rewrite, old);
    return *slot != old;
}

bool
rxn__network_windows(Network *network)
{
    Windows windows = {.network = network, .scratch = &network->tables->scratch};
    windows.middle = rxn__expr(network, EXPR_TIME_MIDDLE, NULL);
    u32 known = network->breakpoints.count;
    network->breakpoints.count = 0;
    for (u32 i = 0; i < known; i++)
        add_breakpoint(&windows, network->breakpoints.items[i]);
    const ExprRewrite fresh = {
        .network = network, .scratch = windows.scratch, .rule = windows_rule, .context = &windows};
    bool changed = false;
    windows.rewrite = fresh;
    for (u32 i = 0; i < network->reactions.count; i++) {
        Reaction *reaction = &network->reactions.items[i];
        changed |= rewrite_slot(&windows, &reaction->rate);
        changed |= rewrite_slot(&windows, &reaction->propensity);
        changed |= rewrite_slot(&windows, &reaction->bound);
    }
    windows.in_condition = true;
    windows.rewrite = fresh;
    for (u32 i = 0; i < network->events.count; i++)
        changed |= rewrite_slot(&windows, &network->events.items[i].condition);
    rxn__arena_release(windows.scratch);
    return changed;
}
