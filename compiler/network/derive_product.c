/* derive_product.c: the algebra that derivatives are written in: products with their factors sorted,
 * their sums, sums over variables, and sums that need another variable.
 *
 * It is what makes a derivative look as one writes it. The chain rule by itself says
 *
 *     d/dx of v*x/(K+x):   1 * (1/(K+x)) * v + 1 * (-(v*x)/((K+x)*(K+x)))
 *
 * and products with sorted factors and common denominators say (v - v*x/(K+x)) / (K+x). Factors are
 * reordered and like terms are joined, which moves a result by roundings; so it is for derivatives
 * and not for fold.c, whose results are those of the expression as written, to the bit.
 */
#include "compiler/network/derive.h"

#include <math.h>

/* ---- Products -------------------------------------------------------------------------------- */

/* The same for every state, time and value of a variable. */
static bool
is_fixed(const Network *network, Expr expr)
{
    const u16 moves = USES_SPECIES | USES_TIME | USES_WINDOW | USES_QUANTITY;
    const ExprNode *node = expr_node(network, expr);
    return !(node->uses & moves) && node->free_set == 0;
}

static Expr
times(Network *network, Expr a, Expr b)
{
    if (a == 0 || b == 0)
        return a == 0 ? b : a;
    return expr_binary(network, EXPR_MUL, a, b);
}

static Expr
or_one(Network *network, Expr expr)
{
    return expr == 0 ? rxn__expr_number(network, 1) : expr;
}

Product
rxn__product_times(Network *network, Product product, Expr factor)
{
    double value;
    while (expr_node(network, factor)->op == EXPR_NEG) {
        product.number = -product.number;
        factor = expr_node(network, factor)->args[0];
    }
    const ExprNode node = *expr_node(network, factor);
    if (rxn__expr_is_number(network, factor, &value)) {
        product.number *= value;
    } else if (is_fixed(network, factor)) {
        product.fixed = times(network, product.fixed, factor);
    } else if (node.op == EXPR_MUL &&
               is_fixed(network, node.args[0])) { /* numbers are fixed, too */
        product = rxn__product_times(network, product, node.args[0]);
        product.moving = times(network, product.moving, node.args[1]);
    } else {
        product.moving = times(network, product.moving, factor);
    }
    return product;
}

Product
rxn__product_over(Network *network, Product product, Expr divisor)
{
    double value;
    if (rxn__expr_is_number(network, divisor, &value)) {
        product.number /= value;
    } else if (is_fixed(network, divisor)) {
        product.fixed_over = times(network, product.fixed_over, divisor);
    } else {
        if (product.over[1] != 0)
            product.moving =
                expr_binary(network, EXPR_DIV, or_one(network, product.moving), product.over[0]);
        else
            product.over[1] = product.over[0];
        product.over[0] = divisor;
    }
    return product;
}

/* One after the other: the product of two denominators may overflow. */
static Expr
divided(Network *network, Expr expr, const Expr *over)
{
    for (u32 i = 0; i < 2 && over[i] != 0; i++)
        expr = expr_binary(network, EXPR_DIV, expr, over[i]);
    return expr;
}

static bool
same_over(const Product *a, const Product *b)
{
    return a->over[0] == b->over[0] && a->over[1] == b->over[1];
}

/* |number| * fixed / fixed_over */
static Expr
fixed_part(Network *network, const Product *product)
{
    Expr part = rxn__expr_number(network, fabs(product->number));
    if (product->fixed != 0)
        part = expr_binary(network, EXPR_MUL, part, product->fixed);
    if (product->fixed_over != 0)
        part = expr_binary(network, EXPR_DIV, part, product->fixed_over);
    return part;
}

Expr
rxn__product_expr(Network *network, Product product)
{
    if (product.number == 0)
        return rxn__expr_number(network, 0);
    Expr expr = fixed_part(network, &product);
    if (product.moving != 0)
        expr = expr_binary(network, EXPR_MUL, expr, product.moving);
    expr = divided(network, expr, product.over);
    return product.number < 0 ? expr_unary(network, EXPR_NEG, expr) : expr;
}

static bool
same_fixed(const Product *a, const Product *b)
{
    return a->fixed == b->fixed && a->fixed_over == b->fixed_over;
}

Product
rxn__product_add(Network *network, Product a, Product b)
{
    if (a.number == 0 || b.number == 0)
        return a.number == 0 ? b : a;
    if (same_over(&a, &b) && a.moving == b.moving && same_fixed(&a, &b)) {
        a.number += b.number;
        return a;
    }
    if (a.number < 0 && b.number < 0) {
        a.number = -a.number;
        b.number = -b.number;
        Product sum = rxn__product_add(network, a, b);
        sum.number = -sum.number;
        return sum;
    }
    if (a.number < 0) {
        Product first = b;
        b = a;
        a = first;
    }
    /* a > 0 from here on */
    const ExprOp op = b.number < 0 ? EXPR_SUB : EXPR_ADD;
    b.number = fabs(b.number);
    Product sum = product_one();
    Expr rest;
    if (same_over(&a, &b) && same_fixed(&a, &b) && a.number == b.number) {
        sum = a;
        sum.moving = 0;
        rest = expr_binary(network, op, or_one(network, a.moving), or_one(network, b.moving));
    } else if (same_over(&a, &b) && a.moving == b.moving) {
        sum.moving = a.moving;
        sum.over[0] = a.over[0];
        sum.over[1] = a.over[1];
        rest = expr_binary(network, op, fixed_part(network, &a), fixed_part(network, &b));
    } else {
        if (a.over[0] == b.over[0]) {
            sum.over[0] = a.over[0];
            a.over[0] = a.over[1];
            b.over[0] = b.over[1];
            a.over[1] = b.over[1] = 0;
        }
        rest =
            expr_binary(network, op, rxn__product_expr(network, a), rxn__product_expr(network, b));
    }
    return rxn__product_times(network, sum, rest);
}

Product
rxn__product_mask(Network *network, Product product, Expr guard)
{
    if (guard == 0 || product.number == 0)
        return product;
    Product masked = product_one();
    if (isfinite(product.number)) {
        masked.number = product.number;
        product.number = 1;
    }
    Expr select[] = {guard, rxn__product_expr(network, product), rxn__expr_number(network, 0)};
    return rxn__product_times(network, masked, rxn__expr(network, EXPR_SELECT, select));
}

/* ---- Sums over a variable -------------------------------------------------------------------- */

enum { MAX_FACTORS = 32 }; /* of a product that are looked at one by one */

Product
rxn__product_sum(Network *network, Product product, u32 variable, Arena *scratch)
{
    const Variable v = network->variables.items[variable];
    if (v.high < v.low || product.number == 0)
        return (Product){0};
    Product outer = product;
    Expr stack[MAX_FACTORS], inner = 0;
    u32 count = 0;
    outer.moving = 0;
    outer.over[0] = outer.over[1] = 0;
    for (u32 i = 0; i < 2 && product.over[i] != 0; i++) {
        if (expr_is_free_of(network, product.over[i], variable))
            outer = rxn__product_over(network, outer, product.over[i]);
        else
            product.moving =
                expr_binary(network, EXPR_DIV, or_one(network, product.moving), product.over[i]);
    }
    if (product.moving != 0)
        stack[count++] = product.moving;
    while (count > 0) {
        Expr factor = stack[--count];
        const ExprNode *node = expr_node(network, factor);
        if (expr_is_free_of(network, factor, variable)) {
            outer = rxn__product_times(network, outer, factor);
        } else if (node->op == EXPR_MUL && count + 2 <= MAX_FACTORS) {
            stack[count++] = node->args[1];
            stack[count++] = node->args[0];
        } else if (node->op == EXPR_DIV && expr_is_free_of(network, node->args[1], variable)) {
            stack[count++] = node->args[0];
            outer = rxn__product_over(network, outer, node->args[1]);
        } else {
            inner = times(network, inner, factor);
        }
    }
    if (inner == 0) {
        outer.number *= (double)(v.high - v.low) + 1;
        return outer;
    }
    inner = rxn__expr_apart(network, inner, 1, &variable, scratch);
    return rxn__product_times(network, outer,
                              rxn__expr_object(network, EXPR_SUM, variable, 1, &inner));
}

/* ---- Binders --------------------------------------------------------------------------------- */

static bool
has_variable(u32 count, const u32 *items, u32 variable)
{
    for (u32 i = 0; i < count; i++)
        if (items[i] == variable)
            return true;
    return false;
}

u32
rxn__spare_variable(Network *network, u32 like, u32 taken_count, const u32 *taken)
{
    ExprTables *tables = network->tables;
    const Variable model = network->variables.items[like];
    for (u32 i = 0; i < tables->spares.count; i++) {
        u32 spare = tables->spares.items[i];
        const Variable *variable = &network->variables.items[spare];
        if (variable->low == model.low && variable->high == model.high &&
            !has_variable(taken_count, taken, spare))
            return spare;
    }
    u32 fresh = rxn__network_add_variable(network, model.name, model.low, model.high);
    vec_push(network->arena, &tables->spares, fresh);
    return fresh;
}

/* A variable of sums with so many sums nested in their bodies; sums of one height never nest. */
typedef struct Binder {
    u32 variable, height, replacement;
} Binder;

typedef struct Apart {
    Network *network;
    Arena *scratch;
    ExprList list;
    VEC(Binder) binders;
    VEC(u32) taken; /* all variables that stand somewhere in it, and the caller's */
} Apart;

static Binder *
find_binder(const Apart *apart, u32 variable, u32 height)
{
    for (u32 i = 0; i < apart->binders.count; i++) {
        Binder *binder = &apart->binders.items[i];
        if (binder->variable == variable && binder->height == height)
            return binder;
    }
    return NULL;
}

/* Fills the binders and, by node, the heights. Returns whether one of them has to change: a binder
 * keeps its variable where no other height has it and the caller has not taken it. */
static bool
find_binders(Apart *apart, u32 *heights, u32 taken_count, const u32 *taken)
{
    Network *network = apart->network;
    bool any = false;
    for (u32 i = 0; i < apart->list.count; i++) {
        Expr expr = apart->list.items[i];
        const ExprNode node = *expr_node(network, expr);
        u32 height = 0;
        for (u32 k = 0; k < node.arg_count; k++)
            height = heights[node.args[k]] > height ? heights[node.args[k]] : height;
        if (expr_is_over((ExprOp)node.op) && find_binder(apart, node.object, ++height) == NULL) {
            bool clash = has_variable(taken_count, taken, node.object);
            for (u32 k = 0; k < apart->binders.count; k++)
                clash |= apart->binders.items[k].variable == node.object;
            any |= clash;
            vec_push(apart->scratch, &apart->binders,
                     ((Binder){node.object, height, clash ? UINT32_MAX : node.object}));
        }
        if (node.op == EXPR_VARIABLE || expr_is_over((ExprOp)node.op))
            vec_push(apart->scratch, &apart->taken, node.object);
        heights[expr] = height;
    }
    return any;
}

Expr
rxn__expr_apart(Network *network, Expr expr, u32 taken_count, const u32 *taken, Arena *scratch)
{
    if (!(expr_node(network, expr)->uses & USES_SUMS))
        return expr;
    Apart apart = {.network = network, .scratch = scratch};
    rxn__expr_collect_begin(network);
    rxn__expr_collect(network, expr, scratch, &apart.list);
    u32 *heights = NEW_ARRAY(scratch, u32, expr + 1);
    if (!find_binders(&apart, heights, taken_count, taken))
        return expr;

    for (u32 i = 0; i < taken_count; i++)
        vec_push(scratch, &apart.taken, taken[i]);
    for (u32 i = 0; i < apart.binders.count; i++) {
        Binder *binder = &apart.binders.items[i];
        if (binder->replacement != UINT32_MAX)
            continue;
        binder->replacement =
            rxn__spare_variable(network, binder->variable, apart.taken.count, apart.taken.items);
        vec_push(scratch, &apart.taken, binder->replacement);
    }
    Expr *map = NEW_ARRAY(scratch, Expr, expr + 1);
    for (u32 i = 0; i < apart.list.count; i++) {
        Expr old = apart.list.items[i];
        const ExprNode node = *expr_node(network, old);
        Expr args[RXN_MAX_RANK] = {0};
        bool same = true;
        for (u32 k = 0; k < node.arg_count; k++) {
            args[k] = map[node.args[k]];
            same &= args[k] == node.args[k];
        }
        u32 variable = node.object;
        if (expr_is_over((ExprOp)node.op))
            variable = find_binder(&apart, node.object, heights[old])->replacement;
        if (variable != node.object) {
            Expr by = rxn__expr_object(network, EXPR_VARIABLE, variable, 0, NULL);
            args[0] = rxn__expr_substitute(network, args[0], 1, &node.object, &by);
            map[old] = rxn__expr_object(network, (ExprOp)node.op, variable, 1, args);
        } else {
            map[old] = same ? old : rxn__expr_like(network, &node, args);
        }
    }
    return map[expr];
}
