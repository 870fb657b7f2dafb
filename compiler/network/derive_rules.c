/* derive_rules.c: one rule for each operation: what its arguments get of what has reached it.
 *
 * A rule never divides by what may be zero at a state where the value is fine: powers and square roots
 * at zero are told apart by a `select`. Where the derivative is infinite there (x^h for 0 < h < 1, sqrt)
 * it is taken as 0: such a law is zero itself at that state, so nothing flows that could be moved.
 * Values that the operation has made already (`self`) are used again wherever they serve.
 */
#include "compiler/network/derive.h"

#include <math.h>

/* ---- Short forms ----------------------------------------------------------------------------- */

static Expr
number(Derivation *d, double value)
{
    return rxn__expr_number(d->network, value);
}

static Product
times(Derivation *d, Product product, Expr factor)
{
    return rxn__product_times(d->network, product, factor);
}

static Product
over(Derivation *d, Product product, Expr divisor)
{
    return rxn__product_over(d->network, product, divisor);
}

static Product
scaled(Product product, double factor)
{
    product.number *= factor;
    return product;
}

static Expr
select_of(Derivation *d, Expr condition, Expr yes, Expr no)
{
    return rxn__expr(d->network, EXPR_SELECT, (Expr[]){condition, yes, no});
}

/* To an argument, with no variable between. */
static void
flow(Derivation *d, Expr to, Product product, Expr guard)
{
    rxn__derive_flow(d, to, product, guard, expr_node(d->network, d->self)->free_set);
}

static ExprNode
self(const Derivation *d)
{
    return *expr_node(d->network, d->self);
}

static bool
is_wanted(const Derivation *d, Expr expr)
{
    return expr_node(d->network, expr)->uses & d->wanted;
}

/* ---- Slopes that are zero ---------------------------------------------------------------------- */

/* Where this function is flat the argument may be infinite, as in exp(-K/X) at X = 0, or overflow, as in
 * 1/(1+exp(K-X)): then its slope is not to be met by the infinity behind it. The condition that it is not
 * flat, or 0 where nothing infinite can come. */
static Expr
not_flat(Derivation *d, Expr argument, Product slope)
{
    u32 place = 0;
    if (!rxn__derive_place(d, argument, &place) || !d->steep[place])
        return 0;
    return expr_binary(d->network, EXPR_NE, rxn__product_expr(d->network, slope), number(d, 0));
}

/* ---- Functions of one argument: the product times the slope at x, where the value is f -------- */

typedef Product Slope(Derivation *d, Product product, Expr x, Expr f);

static Product
slope_neg(Derivation *d, Product product, Expr x, Expr f)
{
    (void)d, (void)x, (void)f;
    return scaled(product, -1);
}

static Product
slope_abs(Derivation *d, Product product, Expr x, Expr f)
{
    (void)f;
    Expr negative = expr_binary(d->network, EXPR_LT, x, number(d, 0));
    return times(d, product, select_of(d, negative, number(d, -1), number(d, 1)));
}

/* Zero between the steps; the steps themselves are not seen. */
static Product
slope_zero(Derivation *d, Product product, Expr x, Expr f)
{
    (void)d, (void)x, (void)f;
    return scaled(product, 0);
}

static Product
slope_sqrt(Derivation *d, Product product, Expr x, Expr f)
{
    (void)x;
    Expr at_zero = expr_binary(d->network, EXPR_EQ, f, number(d, 0));
    Expr half = expr_binary(d->network, EXPR_DIV, number(d, 0.5), f);
    return times(d, product, select_of(d, at_zero, number(d, 0), half));
}

static Product
slope_exp(Derivation *d, Product product, Expr x, Expr f)
{
    (void)x;
    return times(d, product, f);
}

static Product
slope_log(Derivation *d, Product product, Expr x, Expr f)
{
    (void)f;
    return over(d, product, x);
}

static Product
slope_log1p(Derivation *d, Product product, Expr x, Expr f)
{
    (void)f;
    return over(d, product, expr_binary(d->network, EXPR_ADD, number(d, 1), x));
}

/* Not f + 1, which has no digits left where f is close to -1. */
static Product
slope_expm1(Derivation *d, Product product, Expr x, Expr f)
{
    (void)f;
    return times(d, product, expr_unary(d->network, EXPR_EXP, x));
}

static Product
slope_sin(Derivation *d, Product product, Expr x, Expr f)
{
    (void)f;
    return times(d, product, expr_unary(d->network, EXPR_COS, x));
}

static Product
slope_cos(Derivation *d, Product product, Expr x, Expr f)
{
    (void)f;
    return scaled(times(d, product, expr_unary(d->network, EXPR_SIN, x)), -1);
}

/* c + sign * f * f */
static Product
times_square(Derivation *d, Product product, Expr f, ExprOp op)
{
    Expr square = expr_binary(d->network, EXPR_MUL, f, f);
    return times(d, product, expr_binary(d->network, op, number(d, 1), square));
}

static Product
slope_tan(Derivation *d, Product product, Expr x, Expr f)
{
    (void)x;
    return times_square(d, product, f, EXPR_ADD);
}

static Product
slope_tanh(Derivation *d, Product product, Expr x, Expr f)
{
    (void)x;
    return times_square(d, product, f, EXPR_SUB);
}

/* s (1 - s): 0 where it saturates */
static Product
slope_sigmoid(Derivation *d, Product product, Expr x, Expr f)
{
    (void)x;
    return times(d, times(d, product, f), expr_binary(d->network, EXPR_SUB, number(d, 1), f));
}

static Product
slope_softplus(Derivation *d, Product product, Expr x, Expr f)
{
    (void)f;
    return times(d, product, expr_unary(d->network, EXPR_SIGMOID, x));
}

/* The polynomial's own derivative, in whole numbers up to the last step, so that it is right at small
 * counts. From p' of p = x (x-1) … (x-k): (p (x-k-1))' = p' (x-k-1) + p. */
static Product
slope_choose(Derivation *d, Product product, Expr x, Expr f)
{
    Network *network = d->network;
    const u32 n = (u32)expr_node(network, f)->number;
    if (n == 2) /* (2x - 1) / 2 */
        return times(d, product, expr_binary(network, EXPR_SUB, x, number(d, 0.5)));
    if (n == 3) { /* (3 x (x-2) + 2) / 6 */
        Expr thrice = expr_binary(network, EXPR_MUL, number(d, 3), x);
        Expr less = expr_binary(network, EXPR_SUB, x, number(d, 2));
        thrice = expr_binary(network, EXPR_MUL, thrice, less);
        return times(d, scaled(product, 1.0 / 6),
                     expr_binary(network, EXPR_ADD, thrice, number(d, 2)));
    }
    Expr falling = x, slope = number(d, 1);
    double factorial = 1;
    for (u32 k = 1; k < n; k++) {
        Expr factor = expr_binary(network, EXPR_SUB, x, number(d, k));
        slope =
            expr_binary(network, EXPR_ADD, expr_binary(network, EXPR_MUL, slope, factor), falling);
        falling = expr_binary(network, EXPR_MUL, falling, factor);
        factorial *= k + 1;
    }
    return times(d, scaled(product, 1 / factorial), slope);
}

/* ---- Functions of several ---------------------------------------------------------------------- */

static void
flow_nothing(Derivation *d)
{
    (void)d;
}

static void
flow_add(Derivation *d)
{
    const ExprNode node = self(d);
    flow(d, node.args[0], d->product, 0);
    flow(d, node.args[1], d->product, 0);
}

static void
flow_sub(Derivation *d)
{
    const ExprNode node = self(d);
    flow(d, node.args[0], d->product, 0);
    flow(d, node.args[1], scaled(d->product, -1), 0);
}

static void
flow_mul(Derivation *d)
{
    const ExprNode node = self(d);
    Expr a = node.args[0], b = node.args[1];
    if (a == b) {
        flow(d, a, times(d, scaled(d->product, 2), a), 0);
        return;
    }
    flow(d, a, times(d, d->product, b), 0);
    flow(d, b, times(d, d->product, a), 0);
}

/* u / (c + w), where u is w or m w (or w m): hill, Michaelis-Menten. */
typedef struct Saturation {
    Expr w, m, c; /* m: 0 where u is w */
} Saturation;

static bool
read_saturation(const Derivation *d, Expr u, Expr v, Saturation *ret)
{
    const ExprNode *top = expr_node(d->network, u), *bottom = expr_node(d->network, v);
    if (bottom->op != EXPR_ADD)
        return false;
    for (u32 i = 0; i < 2; i++) {
        Expr w = bottom->args[i], c = bottom->args[1 - i], m = 0;
        bool found = w == u;
        for (u32 k = 0; k < 2 && top->op == EXPR_MUL && !found; k++) {
            found = w == top->args[k];
            m = top->args[1 - k];
        }
        *ret = (Saturation){.w = w, .m = m, .c = c};
        if (found && is_wanted(d, w))
            return true;
    }
    return false;
}

/* By v: -f / v, f the quotient; of a number u it is -f f / u. */
static Product
times_slope_below(Derivation *d, Product product, Expr u, Expr v)
{
    double top;
    product = scaled(times(d, product, d->self), -1);
    if (rxn__expr_is_number(d->network, u, &top) && top != 0)
        return times(d, scaled(product, 1 / top), d->self);
    return over(d, product, v);
}

static void
flow_div(Derivation *d)
{
    const ExprNode node = self(d);
    Expr u = node.args[0], v = node.args[1];
    Saturation s;
    if (read_saturation(d, u, v, &s)) {
        /* m c / v / v, and not m / v - m w / v / v: the two cancel where w is large */
        Product to_w = times(d, d->product, s.c);
        if (s.m != 0) {
            to_w = times(d, to_w, s.m);
            flow(d, s.m, over(d, times(d, d->product, s.w), v), 0);
        }
        flow(d, s.w, over(d, over(d, to_w, v), v), 0);
        flow(d, s.c, over(d, scaled(times(d, d->product, d->self), -1), v), 0);
        return;
    }
    flow(d, u, over(d, d->product, v), 0);
    flow(d, v, times_slope_below(d, d->product, u, v),
         not_flat(d, v, times_slope_below(d, product_one(), u, v)));
}

/* e x^e / x serves every x but 0; there the derivative is 1 for e = 1, and 0 otherwise (for e < 1 by
 * the convention above). With respect to e: x^e log x, whose limit at 0 is 0. */
static void
flow_pow(Derivation *d)
{
    Network *network = d->network;
    const ExprNode node = self(d);
    Expr x = node.args[0], e = node.args[1], zero = number(d, 0), one = number(d, 1);
    double n;
    bool known = rxn__expr_is_number(network, e, &n);
    if (known && n == floor(n)) {
        Expr power = expr_binary(network, EXPR_POW, x, number(d, n - 1));
        flow(d, x, times(d, scaled(d->product, n), power), 0);
        return;
    }
    Expr ratio = expr_binary(network, EXPR_DIV, d->self, x);
    if (!rxn__expr_is_positive(d->network, x)) {
        Expr at_zero = zero;
        if (!known)
            at_zero = select_of(d, expr_binary(network, EXPR_EQ, e, one), one, zero);
        ratio = select_of(d, expr_binary(network, EXPR_EQ, x, zero), at_zero, ratio);
    }
    flow(d, x, times(d, times(d, d->product, e), ratio), 0);
    if (!is_wanted(d, e))
        return;
    Expr log_x = expr_unary(network, EXPR_LOG, x);
    if (rxn__expr_is_positive(d->network, x)) {
        flow(d, e, times(d, times(d, d->product, d->self), log_x), 0);
        return;
    }
    Expr slope = expr_binary(network, EXPR_MUL, d->self, log_x);
    slope = select_of(d, expr_binary(network, EXPR_LT, zero, x), slope, zero);
    flow(d, e, times(d, d->product, slope), 0);
}

static void
flow_min_max(Derivation *d)
{
    const ExprNode node = self(d);
    Expr a = node.args[0], b = node.args[1];
    Expr takes_a = node.op == EXPR_MIN ? expr_binary(d->network, EXPR_LT, a, b)
                                       : expr_binary(d->network, EXPR_LT, b, a);
    flow(d, a, d->product, takes_a);
    flow(d, b, d->product, expr_unary(d->network, EXPR_NOT, takes_a));
}

static void
flow_select(Derivation *d)
{
    const ExprNode node = self(d);
    flow(d, node.args[1], d->product, node.args[0]);
    flow(d, node.args[2], d->product, expr_unary(d->network, EXPR_NOT, node.args[0]));
}

static double
extent_of(const Derivation *d, u32 variable)
{
    const Variable *v = &d->network->variables.items[variable];
    return v->high < v->low ? 0 : (double)(v->high - v->low) + 1;
}

static void
flow_sum(Derivation *d)
{
    const ExprNode node = self(d);
    Expr body = node.args[0];
    bool varies = !expr_is_free_of(d->network, body, node.object);
    rxn__derive_flow(d, body, varies ? d->product : scaled(d->product, extent_of(d, node.object)),
                     0, expr_node(d->network, body)->free_set);
}

/* Each factor gets the product of the others, made without dividing: right with zeros, too. */
static void
flow_prod(Derivation *d)
{
    Network *network = d->network;
    const ExprNode node = self(d);
    Expr body = node.args[0], others;
    const u32 free_set = expr_node(network, body)->free_set;
    Product product = d->product;
    if (expr_is_free_of(network, body, node.object)) {
        double n = extent_of(d, node.object);
        others = expr_binary(network, EXPR_POW, body, number(d, n - 1));
        product = scaled(product, n);
    } else {
        VEC(u32) taken = {0};
        for (u32 i = 0; i < d->live.count; i++) {
            const ExprNode *live = expr_node(network, d->live.items[i]);
            if (live->op == EXPR_VARIABLE || expr_is_over((ExprOp)live->op))
                vec_push(d->arena, &taken, live->object);
        }
        u32 other = rxn__spare_variable(network, node.object, taken.count, taken.items);
        Expr mine = rxn__expr_object(network, EXPR_VARIABLE, node.object, 0, NULL);
        Expr its = rxn__expr_object(network, EXPR_VARIABLE, other, 0, NULL);
        Expr factor = rxn__expr_substitute(network, body, 1, &node.object, &its);
        factor = select_of(d, expr_binary(network, EXPR_EQ, its, mine), number(d, 1), factor);
        others = rxn__expr_object(network, EXPR_PROD, other, 1, &factor);
    }
    rxn__derive_flow(d, body, times(d, product, others), 0, free_set);
}

/* ---- The table ------------------------------------------------------------------------------- */

typedef struct Rule {
    Slope *slope; /* of one argument; or: */
    void (*flow)(Derivation *d);
    bool leaf;
    bool flattens; /* slope: it may be 0 where the argument is infinite */
    bool steep;    /* see Derivation.steep; DIV and POW have conditions of their own */
} Rule;

/* clang-format off */
#define RULE_NUMBER      {.flow = flow_nothing}
#define RULE_BOOLEAN     {.flow = flow_nothing}
#define RULE_TIME        {.flow = flow_nothing}
#define RULE_TIME_LOW    {.flow = flow_nothing}
#define RULE_TIME_HIGH   {.flow = flow_nothing}
#define RULE_TIME_MIDDLE {.flow = flow_nothing}
#define RULE_VARIABLE    {.flow = flow_nothing}
#define RULE_INPUT       {.flow = flow_nothing}
#define RULE_SPECIES     {.flow = flow_nothing, .leaf = true}
#define RULE_PARAM       {.flow = flow_nothing, .leaf = true}
#define RULE_HOISTED     {.flow = flow_nothing, .leaf = true}
#define RULE_QUANTITY    {.flow = flow_nothing, .leaf = true}

#define RULE_NEG         {.slope = slope_neg}
#define RULE_ADD         {.flow = flow_add}
#define RULE_SUB         {.flow = flow_sub}
#define RULE_MUL         {.flow = flow_mul}
#define RULE_DIV         {.flow = flow_div}
#define RULE_POW         {.flow = flow_pow}
#define RULE_MIN         {.flow = flow_min_max}
#define RULE_MAX         {.flow = flow_min_max}
#define RULE_ABS         {.slope = slope_abs}
#define RULE_FLOOR       {.slope = slope_zero}
#define RULE_CEIL        {.slope = slope_zero}
#define RULE_SQRT        {.slope = slope_sqrt}
#define RULE_EXP         {.slope = slope_exp, .flattens = true, .steep = true}
#define RULE_LOG         {.slope = slope_log, .steep = true}
#define RULE_LOG1P       {.slope = slope_log1p, .steep = true}
#define RULE_EXPM1       {.slope = slope_expm1, .flattens = true, .steep = true}
#define RULE_SIN         {.slope = slope_sin}
#define RULE_COS         {.slope = slope_cos}
#define RULE_TAN         {.slope = slope_tan}
#define RULE_TANH        {.slope = slope_tanh, .flattens = true}
#define RULE_SIGMOID     {.slope = slope_sigmoid, .flattens = true}
#define RULE_SOFTPLUS    {.slope = slope_softplus, .flattens = true}
#define RULE_CHOOSE      {.slope = slope_choose}

/* of booleans: what depends on a condition has no derivative by it */
#define RULE_LT          {.flow = flow_nothing}
#define RULE_LE          {.flow = flow_nothing}
#define RULE_EQ          {.flow = flow_nothing}
#define RULE_NE          {.flow = flow_nothing}
#define RULE_NOT         {.flow = flow_nothing}
#define RULE_AND         {.flow = flow_nothing}
#define RULE_OR          {.flow = flow_nothing}
#define RULE_SELECT      {.flow = flow_select}

#define RULE_SUM         {.flow = flow_sum}
#define RULE_PROD        {.flow = flow_prod}
/* clang-format on */

/* An operation without a rule does not compile. */
static const Rule rules[EXPR_OP_COUNT] = {
#define EXPR(id, text, arity, takes, gives) [EXPR_##id] = RULE_##id,
#include "compiler/network/expr.def"
#undef EXPR
};

bool
rxn__expr_is_leaf(ExprOp op)
{
    return rules[op].leaf;
}

bool
rxn__derive_is_steep(const Derivation *derivation, const ExprNode *node)
{
    const u16 moves = USES_SPECIES | USES_TIME | USES_WINDOW | USES_QUANTITY;
    double exponent;
    if (node->op == EXPR_DIV)
        return expr_node(derivation->network, node->args[1])->uses & (derivation->wanted | moves) &&
               !rxn__expr_is_positive(derivation->network, node->args[1]);
    if (node->op == EXPR_POW)
        return rxn__expr_is_number(derivation->network, node->args[1], &exponent) && exponent < 0 &&
               !rxn__expr_is_positive(derivation->network, node->args[0]);
    return rules[node->op].steep;
}

void
rxn__derive_node(Derivation *derivation)
{
    const ExprNode node = self(derivation);
    const Rule *rule = &rules[node.op];
    if (rule->slope == NULL) {
        rule->flow(derivation);
        return;
    }
    Expr x = node.args[0], guard = 0;
    if (rule->flattens)
        guard =
            not_flat(derivation, x, rule->slope(derivation, product_one(), x, derivation->self));
    flow(derivation, x, rule->slope(derivation, derivation->product, x, derivation->self), guard);
}
