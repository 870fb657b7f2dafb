/* affine.c: index expressions. An index is a whole number plus whole multiples of bound variables,
 * which is what lets bounds be proved, members be numbered and dependencies be found without
 * expanding a family.
 */
#include "compiler/network/internal.h"

#include <math.h>

/* Whole numbers up to here are exact as doubles, and products of two of them as i64 are checked. */
static const double whole_limit = 9007199254740992.0; /* 2^53 */

static bool
affine_add(Affine *to, const Affine *from, i64 factor)
{
    i64 scaled;
    if (__builtin_mul_overflow(from->constant, factor, &scaled) ||
        __builtin_add_overflow(to->constant, scaled, &to->constant))
        return false;
    for (u32 i = 0; i < from->count; i++) {
        if (__builtin_mul_overflow(from->coefficient[i], factor, &scaled))
            return false;
        if (scaled == 0)
            continue;
        u32 at = 0;
        while (at < to->count && to->variable[at] < from->variable[i])
            at++;
        if (at < to->count && to->variable[at] == from->variable[i]) {
            if (__builtin_add_overflow(to->coefficient[at], scaled, &to->coefficient[at]))
                return false;
            if (to->coefficient[at] != 0)
                continue;
            to->count--;
            for (u32 k = at; k < to->count; k++) {
                to->variable[k] = to->variable[k + 1];
                to->coefficient[k] = to->coefficient[k + 1];
            }
            to->variable[to->count] = 0;
            to->coefficient[to->count] = 0;
            continue;
        }
        if (to->count == RXN_MAX_AFFINE)
            return false;
        for (u32 k = to->count; k > at; k--) {
            to->variable[k] = to->variable[k - 1];
            to->coefficient[k] = to->coefficient[k - 1];
        }
        to->variable[at] = from->variable[i];
        to->coefficient[at] = scaled;
        to->count++;
    }
    return true;
}

/* An index is written by hand, so its tree is small; what is deeper or larger than this is none.
 * The budget also keeps a DAG with much sharing from being walked as the tree it stands for. */
enum { MAX_INDEX_DEPTH = 64, MAX_INDEX_NODES = 4096 };

static bool
read_affine(const Network *network, Expr expr, u32 depth, u32 *budget, Affine *ret)
{
    *ret = (Affine){0};
    if (depth == MAX_INDEX_DEPTH || *budget == 0)
        return false;
    --*budget;
    const ExprNode *node = expr_node(network, expr);
    Affine a, b;
    switch (node->op) {
    case EXPR_NUMBER:
        if (!(fabs(node->number) <= whole_limit) || node->number != floor(node->number))
            return false;
        ret->constant = (i64)node->number;
        return true;
    case EXPR_VARIABLE:
        ret->count = 1;
        ret->variable[0] = node->object;
        ret->coefficient[0] = 1;
        return true;
    case EXPR_NEG:
        return read_affine(network, node->args[0], depth + 1, budget, &a) &&
               affine_add(ret, &a, -1);
    case EXPR_ADD:
    case EXPR_SUB:
        return read_affine(network, node->args[0], depth + 1, budget, ret) &&
               read_affine(network, node->args[1], depth + 1, budget, &a) &&
               affine_add(ret, &a, node->op == EXPR_ADD ? 1 : -1);
    case EXPR_MUL:
        if (!read_affine(network, node->args[0], depth + 1, budget, &a) ||
            !read_affine(network, node->args[1], depth + 1, budget, &b))
            return false;
        if (a.count == 0)
            return affine_add(ret, &b, a.constant);
        return b.count == 0 && affine_add(ret, &a, b.constant);
    default: return false;
    }
}

bool
rxn__expr_affine(const Network *network, Expr expr, Affine *ret_affine)
{
    *ret_affine = (Affine){0};
    u32 budget = MAX_INDEX_NODES;
    return expr != 0 && read_affine(network, expr, 0, &budget, ret_affine);
}

Expr
rxn__expr_of_affine(Network *network, const Affine *affine)
{
    Expr sum = 0;
    for (u32 i = 0; i < affine->count; i++) {
        Expr variable = rxn__expr_object(network, EXPR_VARIABLE, affine->variable[i], 0, NULL);
        i64 c = affine->coefficient[i];
        bool subtract = sum != 0 && c < 0;
        double size = subtract ? -(double)c : (double)c;
        Expr term = expr_binary(network, EXPR_MUL, rxn__expr_number(network, size), variable);
        if (sum == 0)
            sum = term;
        else
            sum = expr_binary(network, subtract ? EXPR_SUB : EXPR_ADD, sum, term);
    }
    if (sum == 0)
        return rxn__expr_number(network, (double)affine->constant);
    if (affine->constant < 0)
        return expr_binary(network, EXPR_SUB, sum,
                           rxn__expr_number(network, -(double)affine->constant));
    return expr_binary(network, EXPR_ADD, sum, rxn__expr_number(network, (double)affine->constant));
}

i64
rxn__affine_evaluate(const Affine *affine, const i64 *variable_values)
{
    i64 value = affine->constant;
    for (u32 i = 0; i < affine->count; i++)
        value += affine->coefficient[i] * variable_values[affine->variable[i]];
    return value;
}

static i64
saturating_add(i64 a, i64 b)
{
    i64 sum;
    if (!__builtin_add_overflow(a, b, &sum))
        return sum;
    return a < 0 ? INT64_MIN : INT64_MAX;
}

static i64
saturating_mul(i64 a, i64 b)
{
    i64 product;
    if (!__builtin_mul_overflow(a, b, &product))
        return product;
    return (a < 0) != (b < 0) ? INT64_MIN : INT64_MAX;
}

void
rxn__affine_range(const Network *network, const Affine *affine, i64 *ret_low, i64 *ret_high)
{
    i64 low = affine->constant, high = affine->constant;
    for (u32 i = 0; i < affine->count; i++) {
        const Variable *variable = &network->variables.items[affine->variable[i]];
        i64 c = affine->coefficient[i];
        i64 at_low = saturating_mul(c, variable->low), at_high = saturating_mul(c, variable->high);
        low = saturating_add(low, c < 0 ? at_high : at_low);
        high = saturating_add(high, c < 0 ? at_low : at_high);
    }
    *ret_low = low;
    *ret_high = high;
}
