/* fold.c: simplification of one operation whose arguments are already simple.
 *
 * Only what is exact for every value of the arguments: the simplified form gives the same number
 * (or a NaN where there was a NaN). So x*1 becomes x, but x*0 stays, for it would hide an infinity
 * or a NaN that a run must report; and x - x stays. The sign of a zero is not kept (x + 0 is x): no
 * count, rate or time tells the two zeros apart.
 *
 * Operations on numbers are done here where IEEE arithmetic defines their result to the bit: the
 * four basic ones, square root, rounding, comparison, and powers that come out exact. log, exp and
 * their kind are left for the kernel, so that a number does not depend on the mathematics library
 * of the machine that compiled it.
 */
#include "compiler/network/internal.h"

#include <math.h>

typedef struct Fold {
    Network *network;
    Expr a, b, c;
    bool a_known, b_known; /* are numbers: */
    double x, y;
} Fold;

static Expr
number(const Fold *fold, double value)
{
    return rxn__expr_number(fold->network, value);
}

static Expr
boolean(const Fold *fold, bool value)
{
    return rxn__expr_boolean(fold->network, value);
}

static bool
is_op(const Fold *fold, Expr expr, ExprOp op)
{
    return expr_node(fold->network, expr)->op == op;
}

static Expr
first_arg(const Fold *fold, Expr expr)
{
    return expr_node(fold->network, expr)->args[0];
}

/* x^n for whole x and n where every intermediate product is exact in a double. */
static bool
exact_power(double x, double n, double *ret_power)
{
    const double exact_limit = 9007199254740992.0; /* 2^53 */
    if (n < 0 || n > 64 || n != floor(n) || x != floor(x))
        return false;
    double power = 1;
    for (int i = 0; i < (int)n; i++) {
        power *= x;
        if (!(fabs(power) <= exact_limit))
            return false;
    }
    *ret_power = power;
    return true;
}

static Expr
fold_add(const Fold *fold)
{
    if (fold->a_known && fold->b_known)
        return number(fold, fold->x + fold->y);
    if (fold->a_known && fold->x == 0)
        return fold->b;
    if (fold->b_known && fold->y == 0)
        return fold->a;
    if (is_op(fold, fold->b, EXPR_NEG))
        return expr_binary(fold->network, EXPR_SUB, fold->a, first_arg(fold, fold->b));
    if (is_op(fold, fold->a, EXPR_NEG))
        return expr_binary(fold->network, EXPR_SUB, fold->b, first_arg(fold, fold->a));
    return 0;
}

static Expr
fold_sub(const Fold *fold)
{
    if (fold->a_known && fold->b_known)
        return number(fold, fold->x - fold->y);
    if (fold->b_known && fold->y == 0)
        return fold->a;
    if (fold->a_known && fold->x == 0)
        return expr_unary(fold->network, EXPR_NEG, fold->b);
    if (is_op(fold, fold->b, EXPR_NEG))
        return expr_binary(fold->network, EXPR_ADD, fold->a, first_arg(fold, fold->b));
    return 0;
}

static Expr
fold_mul(const Fold *fold)
{
    if (fold->a_known && fold->b_known)
        return number(fold, fold->x * fold->y);
    if (fold->a_known && fold->x == 1)
        return fold->b;
    if (fold->b_known && fold->y == 1)
        return fold->a;
    if (fold->a_known && fold->x == -1)
        return expr_unary(fold->network, EXPR_NEG, fold->b);
    if (fold->b_known && fold->y == -1)
        return expr_unary(fold->network, EXPR_NEG, fold->a);
    return 0;
}

static Expr
fold_div(const Fold *fold)
{
    if (fold->a_known && fold->b_known)
        return number(fold, fold->x / fold->y);
    if (fold->b_known && fold->y == 1)
        return fold->a;
    if (fold->b_known && fold->y == -1)
        return expr_unary(fold->network, EXPR_NEG, fold->a);
    return 0;
}

static Expr
fold_pow(const Fold *fold)
{
    double power;
    if (fold->a_known && fold->b_known && exact_power(fold->x, fold->y, &power))
        return number(fold, power);
    if (!fold->b_known)
        return fold->a_known && fold->x == 1 ? fold->a : 0;
    if (fold->y == 0)
        return number(fold, 1);
    if (fold->y == 1)
        return fold->a;
    if (fold->y == 2) /* one rounding: the correctly rounded square */
        return expr_binary(fold->network, EXPR_MUL, fold->a, fold->a);
    if (fold->y == -1)
        return expr_binary(fold->network, EXPR_DIV, number(fold, 1), fold->a);
    return 0;
}

/* min and max as the kernel IR has them: the second where the comparison fails. */
static Expr
fold_min_max(const Fold *fold, bool is_min)
{
    if (fold->a_known && fold->b_known) {
        bool first = is_min ? fold->x < fold->y : fold->x > fold->y;
        return first ? fold->a : fold->b;
    }
    return fold->a == fold->b ? fold->a : 0;
}

static Expr
fold_unary(const Fold *fold, ExprOp op)
{
    if (fold->a_known) {
        switch (op) {
        case EXPR_NEG: return number(fold, -fold->x);
        case EXPR_ABS: return number(fold, fabs(fold->x));
        case EXPR_FLOOR: return number(fold, floor(fold->x));
        case EXPR_CEIL: return number(fold, ceil(fold->x));
        case EXPR_SQRT: return number(fold, sqrt(fold->x));
        case EXPR_NOT: return boolean(fold, fold->x == 0);
        default: return 0;
        }
    }
    switch (op) {
    case EXPR_NEG:
        if (is_op(fold, fold->a, EXPR_NEG))
            return first_arg(fold, fold->a);
        if (is_op(fold, fold->a, EXPR_SUB)) {
            const ExprNode *sub = expr_node(fold->network, fold->a);
            return expr_binary(fold->network, EXPR_SUB, sub->args[1], sub->args[0]);
        }
        return 0;
    case EXPR_ABS:
        if (is_op(fold, fold->a, EXPR_NEG))
            return expr_unary(fold->network, EXPR_ABS, first_arg(fold, fold->a));
        return is_op(fold, fold->a, EXPR_ABS) ? fold->a : 0;
    case EXPR_FLOOR:
    case EXPR_CEIL:
        return is_op(fold, fold->a, EXPR_FLOOR) || is_op(fold, fold->a, EXPR_CEIL) ? fold->a : 0;
    case EXPR_NOT: return is_op(fold, fold->a, EXPR_NOT) ? first_arg(fold, fold->a) : 0;
    default: return 0;
    }
}

static Expr
fold_comparison(const Fold *fold, ExprOp op)
{
    if (fold->a_known && fold->b_known) {
        switch (op) {
        case EXPR_LT: return boolean(fold, fold->x < fold->y);
        case EXPR_LE: return boolean(fold, fold->x <= fold->y);
        case EXPR_EQ: return boolean(fold, fold->x == fold->y);
        default: return boolean(fold, fold->x != fold->y);
        }
    }
    /* x < x is false for a NaN too; the other three are not settled for it */
    return op == EXPR_LT && fold->a == fold->b ? boolean(fold, false) : 0;
}

static Expr
fold_logic(const Fold *fold, bool is_and)
{
    if (fold->a == fold->b)
        return fold->a;
    if (fold->a_known)
        return (fold->x != 0) == is_and ? fold->b : fold->a;
    if (fold->b_known)
        return (fold->y != 0) == is_and ? fold->a : fold->b;
    return 0;
}

static Expr
fold_select(const Fold *fold)
{
    if (fold->a_known)
        return fold->x != 0 ? fold->b : fold->c;
    if (fold->b == fold->c)
        return fold->b;
    if (is_op(fold, fold->a, EXPR_NOT))
        return rxn__expr(fold->network, EXPR_SELECT,
                         (Expr[]){first_arg(fold, fold->a), fold->c, fold->b});
    return 0;
}

Expr
rxn__expr_fold(Network *network, ExprOp op, const Expr *args)
{
    Fold fold = {.network = network, .a = args[0]};
    fold.a_known = rxn__expr_is_number(network, fold.a, &fold.x);
    if (rxn__expr_ops[op].arity >= 2) {
        fold.b = args[1];
        fold.b_known = rxn__expr_is_number(network, fold.b, &fold.y);
    }
    if (rxn__expr_ops[op].arity == 3)
        fold.c = args[2];

    switch (op) {
    case EXPR_ADD: return fold_add(&fold);
    case EXPR_SUB: return fold_sub(&fold);
    case EXPR_MUL: return fold_mul(&fold);
    case EXPR_DIV: return fold_div(&fold);
    case EXPR_POW: return fold_pow(&fold);
    case EXPR_MIN: return fold_min_max(&fold, true);
    case EXPR_MAX: return fold_min_max(&fold, false);
    case EXPR_LT:
    case EXPR_LE:
    case EXPR_EQ:
    case EXPR_NE: return fold_comparison(&fold, op);
    case EXPR_AND: return fold_logic(&fold, true);
    case EXPR_OR: return fold_logic(&fold, false);
    case EXPR_SELECT: return fold_select(&fold);
    default: return rxn__expr_ops[op].arity == 1 ? fold_unary(&fold, op) : 0;
    }
}
