/* bound.c: upper bounds of rates that depend on time.
 *
 * Thinning (Lewis and Shedler 1979, Nav. Res. Logist. Q. 26, 403) is exact for any bound that the
 * rate does not exceed until the next event or the end of the window, whichever comes first.
 * Between events the state does not change, so the bound is an expression of the state, of
 * parameters, and of the window's ends TIME_LOW and TIME_HIGH. It is found by interval arithmetic
 * on the DAG: each node that depends on time gets an expression for its least and one for its
 * greatest value over the window, from those of its arguments:
 *
 *     k (1 + a sin(w t))                     sin(w t) in [-1, 1]
 *                                            a sin(w t) in [-|a|, |a|]
 *     bound = k (1 + |a|) (1 + 2^-20)        1 + a sin(w t) in [1 - |a|, 1 + |a|]; k >= 0
 *
 * Products and quotients are taken by sign where signs are certain (range.c), otherwise over all
 * their corners. Where a bound exists under a condition that is known only when running (a
 * denominator that stays away from zero over the window), the bound is infinite when the condition
 * fails, and the kernel reports that as a fault. Where there is none (the tangent of time, a
 * division by sin(t)) the rate is an error that says how to give a bound.
 *
 * A rate that depends on time only through comparisons that windows.c has settled is constant in
 * each window: its bound is the rate itself, and thinning accepts always.
 *
 * Rounding. The four operations, square root, minimum and maximum are monotone in floating point
 * too; the bound's other functions may be off by some units of the last place. So a bound is
 * widened by 2^-20, which costs one proposal in a million and covers f32 as well. Were it ever
 * exceeded (by cancellation between huge terms), the kernel notices and reports it: never a wrong
 * trajectory.
 */
#include "compiler/network/internal.h"

#include <math.h>

static const double widening = 1 + 0x1p-20;

typedef struct Interval {
    Expr low, high;      /* 0: none */
    const char *failure; /* why there is none */
} Interval;

typedef struct Bounder {
    Network *network;
    Arena *scratch;
    RangeTable ranges;
    Interval *intervals; /* by node */
    u32 capacity;
} Bounder;

/* ---- Small expressions ----------------------------------------------------------------------- */

static Expr
binary(Bounder *bounder, ExprOp op, Expr a, Expr b)
{
    return expr_binary(bounder->network, op, a, b);
}

static Expr
unary(Bounder *bounder, ExprOp op, Expr a)
{
    return expr_unary(bounder->network, op, a);
}

static Expr
number(Bounder *bounder, double value)
{
    return rxn__expr_number(bounder->network, value);
}

static Range
range_of(Bounder *bounder, Expr expr)
{
    return rxn__expr_range(&bounder->ranges, expr);
}

static Expr
least(Bounder *bounder, Expr a, Expr b)
{
    if (range_of(bounder, a).high <= range_of(bounder, b).low)
        return a;
    if (range_of(bounder, b).high <= range_of(bounder, a).low)
        return b;
    return binary(bounder, EXPR_MIN, a, b);
}

static Expr
greatest(Bounder *bounder, Expr a, Expr b)
{
    if (range_of(bounder, a).low >= range_of(bounder, b).high)
        return a;
    if (range_of(bounder, b).low >= range_of(bounder, a).high)
        return b;
    return binary(bounder, EXPR_MAX, a, b);
}

static bool
never_negative(Bounder *bounder, Expr expr)
{
    return range_of(bounder, expr).low >= 0;
}

static bool
never_positive(Bounder *bounder, Expr expr)
{
    return range_of(bounder, expr).high <= 0;
}

static Interval
fails(const char *why)
{
    return (Interval){.failure = why};
}

static Interval
negated(Bounder *bounder, Interval a)
{
    return (Interval){.low = unary(bounder, EXPR_NEG, a.high),
                      .high = unary(bounder, EXPR_NEG, a.low)};
}

/* ---- Products and quotients ------------------------------------------------------------------ */

/* b in [-c, c] for a number c, as of a sine */
static bool
is_symmetric(const Bounder *bounder, Interval b, double *ret_size)
{
    double low, high;
    if (!rxn__expr_is_number(bounder->network, b.low, &low) ||
        !rxn__expr_is_number(bounder->network, b.high, &high) || low != -high)
        return false;
    *ret_size = high;
    return true;
}

static Expr
greatest_size(Bounder *bounder, Interval a)
{
    if (never_negative(bounder, a.low))
        return a.high;
    if (a.low == a.high)
        return unary(bounder, EXPR_ABS, a.high);
    return greatest(bounder, unary(bounder, EXPR_ABS, a.low), unary(bounder, EXPR_ABS, a.high));
}

/* The least and greatest of op over the four corners. */
static Interval
corners(Bounder *bounder, ExprOp op, Interval a, Interval b)
{
    Expr ll = binary(bounder, op, a.low, b.low), lh = binary(bounder, op, a.low, b.high);
    Expr hl = binary(bounder, op, a.high, b.low), hh = binary(bounder, op, a.high, b.high);
    return (Interval){
        .low = least(bounder, least(bounder, ll, lh), least(bounder, hl, hh)),
        .high = greatest(bounder, greatest(bounder, ll, lh), greatest(bounder, hl, hh)),
    };
}

/* a >= 0 */
static Interval
product_with_positive(Bounder *bounder, Interval a, Interval b)
{
    Interval result;
    Expr at_low = binary(bounder, EXPR_MUL, a.low, b.high);
    Expr at_high = binary(bounder, EXPR_MUL, a.high, b.high);
    if (never_negative(bounder, b.high))
        result.high = at_high;
    else
        result.high = never_positive(bounder, b.high) ? at_low : greatest(bounder, at_low, at_high);
    at_low = binary(bounder, EXPR_MUL, a.low, b.low);
    at_high = binary(bounder, EXPR_MUL, a.high, b.low);
    if (never_negative(bounder, b.low))
        result.low = at_low;
    else
        result.low = never_positive(bounder, b.low) ? at_high : least(bounder, at_low, at_high);
    result.failure = NULL;
    return result;
}

static Interval
product(Bounder *bounder, Interval a, Interval b)
{
    double size;
    if (is_symmetric(bounder, a, &size)) {
        Interval swap = a;
        a = b;
        b = swap;
    }
    if (is_symmetric(bounder, b, &size)) {
        Expr high = binary(bounder, EXPR_MUL, greatest_size(bounder, a), number(bounder, size));
        return (Interval){.low = unary(bounder, EXPR_NEG, high), .high = high};
    }
    if (never_negative(bounder, a.low))
        return product_with_positive(bounder, a, b);
    if (never_negative(bounder, b.low))
        return product_with_positive(bounder, b, a);
    if (never_positive(bounder, a.high))
        return negated(bounder, product_with_positive(bounder, negated(bounder, a), b));
    if (never_positive(bounder, b.high))
        return negated(bounder, product_with_positive(bounder, negated(bounder, b), a));
    return corners(bounder, EXPR_MUL, a, b);
}

static Interval
square(Bounder *bounder, Interval a)
{
    Expr low = binary(bounder, EXPR_MUL, a.low, a.low);
    Expr high = binary(bounder, EXPR_MUL, a.high, a.high);
    if (never_negative(bounder, a.low))
        return (Interval){.low = low, .high = high};
    if (never_positive(bounder, a.high))
        return (Interval){.low = high, .high = low};
    return (Interval){.low = number(bounder, 0), .high = greatest(bounder, low, high)};
}

/* b >= 0; where it reaches zero the quotient is infinite, as it should be */
static Interval
quotient_by_positive(Bounder *bounder, Interval a, Interval b)
{
    Interval result = {0};
    Expr by_low = binary(bounder, EXPR_DIV, a.high, b.low);
    Expr by_high = binary(bounder, EXPR_DIV, a.high, b.high);
    if (never_negative(bounder, a.high))
        result.high = by_low;
    else
        result.high =
            never_positive(bounder, a.high) ? by_high : greatest(bounder, by_low, by_high);
    by_low = binary(bounder, EXPR_DIV, a.low, b.low);
    by_high = binary(bounder, EXPR_DIV, a.low, b.high);
    if (never_negative(bounder, a.low))
        result.low = by_high;
    else
        result.low = never_positive(bounder, a.low) ? by_low : least(bounder, by_low, by_high);
    return result;
}

/* `inside` where the condition holds, everything where it does not. */
static Interval
guarded(Bounder *bounder, Expr condition, Interval inside)
{
    Network *network = bounder->network;
    return (Interval){
        .low = rxn__expr(network, EXPR_SELECT,
                         (Expr[]){condition, inside.low, number(bounder, -INFINITY)}),
        .high = rxn__expr(network, EXPR_SELECT,
                          (Expr[]){condition, inside.high, number(bounder, INFINITY)}),
    };
}

static Interval
quotient(Bounder *bounder, Interval a, Interval b)
{
    if (never_negative(bounder, b.low))
        return quotient_by_positive(bounder, a, b);
    if (never_positive(bounder, b.high))
        return quotient_by_positive(bounder, negated(bounder, a), negated(bounder, b));
    Interval inside = corners(bounder, EXPR_DIV, a, b);
    if (b.low == b.high)
        return inside; /* no time in it: of either sign, but the same over the window */
    if (never_positive(bounder, b.low) && never_negative(bounder, b.high))
        return fails("it divides by an expression of time that passes through zero");
    Expr zero = number(bounder, 0);
    Expr away = binary(bounder, EXPR_OR, binary(bounder, EXPR_LT, zero, b.low),
                       binary(bounder, EXPR_LT, b.high, zero));
    return guarded(bounder, away, inside);
}

/* ---- Powers ---------------------------------------------------------------------------------- */

static Interval
whole_power(Bounder *bounder, Interval a, double n)
{
    Expr exponent = number(bounder, fabs(n));
    Expr low = binary(bounder, EXPR_POW, a.low, exponent);
    Expr high = binary(bounder, EXPR_POW, a.high, exponent);
    Interval result = {.low = low, .high = high};
    if (fmod(n, 2) == 0 && !never_negative(bounder, a.low)) {
        if (never_positive(bounder, a.high))
            result = (Interval){.low = high, .high = low};
        else
            result = (Interval){.low = number(bounder, 0), .high = greatest(bounder, low, high)};
    }
    if (n >= 0)
        return result;
    Interval one = {.low = number(bounder, 1), .high = number(bounder, 1)};
    return quotient(bounder, one, result);
}

static Interval
power(Bounder *bounder, Interval a, Interval b)
{
    double n;
    const double largest_whole = 1024; /* beyond, the sign rules of whole powers are of no use */
    bool constant = b.low == b.high && rxn__expr_is_number(bounder->network, b.low, &n);
    if (constant && n == floor(n) && fabs(n) <= largest_whole)
        return whole_power(bounder, a, n);
    if (never_positive(bounder, a.high) && !never_negative(bounder, a.high))
        return fails("it takes a power of a negative number");
    /* x^y = exp(y log x) is monotone in y for each x, and in x for each y: its extremes are at the
     * corners. */
    Interval inside = corners(bounder, EXPR_POW, a, b);
    if (never_negative(bounder, a.low))
        return inside;
    if (range_of(bounder, a.low).high < 0)
        return fails("it takes a power of what may be negative");
    Expr condition = binary(bounder, EXPR_LE, number(bounder, 0), a.low);
    return guarded(bounder, condition, inside);
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

static Interval
rising(Bounder *bounder, ExprOp op, Interval a)
{
    return (Interval){.low = unary(bounder, op, a.low), .high = unary(bounder, op, a.high)};
}

/* sqrt and log of what may be negative: there the rate is no number at all, which a run reports. */
static Interval
rising_from_zero(Bounder *bounder, ExprOp op, Interval a)
{
    if (!never_negative(bounder, a.low))
        a.low = greatest(bounder, a.low, number(bounder, 0));
    return rising(bounder, op, a);
}

static Interval
absolute(Bounder *bounder, Interval a)
{
    if (never_negative(bounder, a.low))
        return a;
    if (never_positive(bounder, a.high))
        return negated(bounder, a);
    Expr below = unary(bounder, EXPR_NEG, a.high);
    return (Interval){
        .low = greatest(bounder, greatest(bounder, a.low, below), number(bounder, 0)),
        .high = greatest_size(bounder, a),
    };
}

static Interval
chosen(Bounder *bounder, Expr condition, Interval a, Interval b)
{
    Network *network = bounder->network;
    if (expr_node(network, condition)->uses & USES_TIME)
        return (Interval){.low = least(bounder, a.low, b.low),
                          .high = greatest(bounder, a.high, b.high)};
    return (Interval){
        .low = rxn__expr(network, EXPR_SELECT, (Expr[]){condition, a.low, b.low}),
        .high = rxn__expr(network, EXPR_SELECT, (Expr[]){condition, a.high, b.high}),
    };
}

static Interval
repeated(Bounder *bounder, const ExprNode *node, Interval a)
{
    ExprOp op = (ExprOp)node->op;
    if (op == EXPR_PROD && !never_negative(bounder, a.low)) {
        Expr size = greatest_size(bounder, a);
        Expr high = rxn__expr_object(bounder->network, op, node->object, 1, &size);
        return (Interval){.low = unary(bounder, EXPR_NEG, high), .high = high};
    }
    return (Interval){.low = rxn__expr_object(bounder->network, op, node->object, 1, &a.low),
                      .high = rxn__expr_object(bounder->network, op, node->object, 1, &a.high)};
}

static Interval
node_interval(Bounder *bounder, const ExprNode *node, const Interval *args)
{
    const Interval a = args[0], b = args[1];
    switch (node->op) {
    case EXPR_TIME:
        return (Interval){.low = rxn__expr(bounder->network, EXPR_TIME_LOW, NULL),
                          .high = rxn__expr(bounder->network, EXPR_TIME_HIGH, NULL)};
    case EXPR_NEG: return negated(bounder, a);
    case EXPR_ADD:
        return (Interval){.low = binary(bounder, EXPR_ADD, a.low, b.low),
                          .high = binary(bounder, EXPR_ADD, a.high, b.high)};
    case EXPR_SUB:
        return (Interval){.low = binary(bounder, EXPR_SUB, a.low, b.high),
                          .high = binary(bounder, EXPR_SUB, a.high, b.low)};
    case EXPR_MUL:
        return node->args[0] == node->args[1] ? square(bounder, a) : product(bounder, a, b);
    case EXPR_DIV: return quotient(bounder, a, b);
    case EXPR_POW: return power(bounder, a, b);
    case EXPR_MIN:
        return (Interval){.low = least(bounder, a.low, b.low),
                          .high = least(bounder, a.high, b.high)};
    case EXPR_MAX:
        return (Interval){.low = greatest(bounder, a.low, b.low),
                          .high = greatest(bounder, a.high, b.high)};
    case EXPR_ABS: return absolute(bounder, a);
    case EXPR_SQRT:
    case EXPR_LOG: return rising_from_zero(bounder, (ExprOp)node->op, a);
    case EXPR_FLOOR:
    case EXPR_CEIL:
    case EXPR_EXP:
    case EXPR_LOG1P:
    case EXPR_EXPM1:
    case EXPR_TANH:
    case EXPR_SIGMOID:
    case EXPR_SOFTPLUS: return rising(bounder, (ExprOp)node->op, a);
    case EXPR_SIN:
    case EXPR_COS: return (Interval){.low = number(bounder, -1), .high = number(bounder, 1)};
    case EXPR_TAN: return fails("the tangent of an expression of time has no bound");
    case EXPR_SELECT: return chosen(bounder, node->args[0], args[1], args[2]);
    case EXPR_SUM:
    case EXPR_PROD: return repeated(bounder, node, a);
    default: return fails("it counts combinations of an expression of time");
    }
}

static void
find_interval(Bounder *bounder, Expr expr)
{
    Network *network = bounder->network;
    const ExprNode node = *expr_node(network, expr);
    Interval args[RXN_MAX_RANK] = {0}, result = {0};
    if (!(node.uses & USES_TIME)) {
        bounder->intervals[expr] = (Interval){.low = expr, .high = expr};
        return;
    }
    if (node.is_bool)
        return; /* only chosen() meets it, and looks at the condition itself */
    for (u32 i = 0; i < node.arg_count; i++) {
        args[i] = bounder->intervals[node.args[i]];
        if (args[i].failure != NULL && result.failure == NULL && node.op != EXPR_SIN &&
            node.op != EXPR_COS)
            result = args[i];
    }
    if (result.failure == NULL)
        result = node_interval(bounder, &node, args);
    /* What is known of the node itself may be more than its parts tell: x - x/2 >= 0. */
    if (result.failure == NULL && range_of(bounder, expr).low >= 0 &&
        !never_negative(bounder, result.low))
        result.low = greatest(bounder, result.low, number(bounder, 0));
    bounder->intervals[expr] = result;
}

static Interval
interval_of(Bounder *bounder, Expr root)
{
    Network *network = bounder->network;
    ExprList list = {0};
    if (root >= bounder->capacity) {
        u32 capacity = network->exprs.count;
        GROW_ZEROED(bounder->scratch, bounder->intervals, bounder->capacity, capacity);
        bounder->capacity = capacity;
    }
    rxn__expr_collect_begin(network);
    rxn__expr_collect(network, root, bounder->scratch, &list);
    for (u32 i = 0; i < list.count; i++) {
        const Interval *known = &bounder->intervals[list.items[i]];
        if (known->low == 0 && known->failure == NULL)
            find_interval(bounder, list.items[i]);
    }
    return bounder->intervals[root];
}

/* ---- Reactions and conditions ---------------------------------------------------------------- */

static void
report_no_bound(Diagnostics *diagnostics, const Reaction *reaction, const char *why)
{
    rxn__error(diagnostics, reaction->rate_span,
               "cannot derive an upper bound of this time-dependent rate");
    rxn__note(diagnostics, (Span){0}, "%s", why);
    rxn__note(diagnostics, (Span){0},
              "give one: '@ rate bound B', with B at least the rate at every time");
}

/* The bound that this reaction needs; 0 where it needs none or has none (then reported). */
static Expr
reaction_bound(Bounder *bounder, const Reaction *reaction, Diagnostics *diagnostics)
{
    const u16 uses = expr_node(bounder->network, reaction->propensity)->uses;
    if (!(uses & (USES_TIME | USES_WINDOW)))
        return 0;
    if (!(uses & USES_TIME))
        return reaction->propensity;
    if (reaction->bound != 0)
        return reaction->bound;
    Interval interval = interval_of(bounder, reaction->propensity);
    if (interval.failure != NULL) {
        report_no_bound(diagnostics, reaction, interval.failure);
        return 0;
    }
    double value;
    if (rxn__expr_is_number(bounder->network, interval.high, &value) && !isfinite(value)) {
        report_no_bound(diagnostics, reaction, "it can be arbitrarily large");
        return 0;
    }
    return binary(bounder, EXPR_MUL, interval.high, number(bounder, widening));
}

static void
check_condition(const Network *network, const Event *event, Diagnostics *diagnostics)
{
    if (event->condition == 0 || !(expr_node(network, event->condition)->uses & USES_TIME))
        return;
    rxn__error(diagnostics, event->span, "cannot tell when this condition turns true");
    rxn__note(diagnostics, (Span){0},
              "in a condition, time can be compared (< <= > >=) with expressions of parameters");
    rxn__note(diagnostics, (Span){0}, "for an event at a given time write 'at TIME: …'");
}

bool
rxn__network_bounds(Network *network, Diagnostics *diagnostics)
{
    Bounder bounder = {.network = network, .scratch = &network->tables->scratch};
    bounder.ranges = (RangeTable){.network = network, .scratch = bounder.scratch};
    bool changed = false;
    for (u32 i = 0; i < network->reactions.count; i++) {
        Reaction *reaction = &network->reactions.items[i];
        if (reaction->bound != 0 && expr_node(network, reaction->bound)->uses & USES_TIME) {
            rxn__error(diagnostics, reaction->bound_span, "a bound must not depend on time");
            rxn__note(diagnostics, (Span){0}, "it has to hold at every time");
            continue;
        }
        Expr bound = reaction_bound(&bounder, reaction, diagnostics);
        changed |= bound != reaction->bound;
        reaction->bound = bound;
    }
    for (u32 i = 0; i < network->events.count; i++)
        check_condition(network, &network->events.items[i], diagnostics);
    rxn__arena_release(bounder.scratch);
    return changed;
}
