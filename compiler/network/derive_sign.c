/* derive_sign.c: which values are greater than zero in every state. Derivatives of powers and quotients
 * need no precaution there. range.c knows more, from a table of the whole network; this asks one value,
 * and sees only what stands close to it.
 */
#include "compiler/network/derive.h"

typedef enum Sign { SIGN_ANY, SIGN_NOT_NEGATIVE, SIGN_POSITIVE } Sign;

enum { SIGN_DEPTH = 6 }; /* a law's factors; what lies deeper may have any sign */

/* What is known of a value whatever the state: counts and times are not negative, parameters keep to
 * their bounds. */
static Sign
sign_of(const Network *network, Expr expr, u32 depth)
{
    const ExprNode *node = expr_node(network, expr);
    Sign a = SIGN_ANY, b = SIGN_ANY;
    if (depth > 0 && node->arg_count > 0 && !expr_is_reference((ExprOp)node->op)) {
        a = sign_of(network, node->args[0], depth - 1);
        b = sign_of(network, node->args[node->arg_count - 1], depth - 1);
    }
    const Sign lesser = a < b ? a : b, greater = a < b ? b : a;
    switch ((ExprOp)node->op) {
    case EXPR_NUMBER:
        return node->number > 0 ? SIGN_POSITIVE : node->number == 0 ? SIGN_NOT_NEGATIVE : SIGN_ANY;
    case EXPR_PARAM: {
        const Param *param = &network->params.items[node->object];
        return !param->has_bounds || param->low < 0 ? SIGN_ANY
               : param->low > 0                     ? SIGN_POSITIVE
                                                    : SIGN_NOT_NEGATIVE;
    }
    case EXPR_SPECIES:
    case EXPR_TIME:
    case EXPR_TIME_LOW:
    case EXPR_TIME_HIGH:
    case EXPR_TIME_MIDDLE:
    case EXPR_ABS:
    case EXPR_EXP: /* may underflow */
    case EXPR_SIGMOID:
    case EXPR_SOFTPLUS: return SIGN_NOT_NEGATIVE;
    case EXPR_ADD: return lesser == SIGN_ANY ? SIGN_ANY : greater;
    case EXPR_MUL:
        return node->args[0] == node->args[1] && a == SIGN_ANY ? SIGN_NOT_NEGATIVE : lesser;
    case EXPR_DIV: return b == SIGN_POSITIVE ? a : SIGN_ANY;
    case EXPR_POW:
    case EXPR_SQRT: return a;
    default: return SIGN_ANY;
    }
}

bool
rxn__expr_is_positive(const Network *network, Expr expr)
{
    return sign_of(network, expr, SIGN_DEPTH) == SIGN_POSITIVE;
}
