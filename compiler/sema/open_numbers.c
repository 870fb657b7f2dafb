/* open_numbers: numbers of the text that are left open, for models that someone is editing.
 *
 * In `2 M -> D @ 0.002` the number is all that stands behind the '@', and in `species M = 100` all of the initial value.
 * Such a number becomes a parameter that starts from it:
 *
 *     reaction r1  %5 = mul 0.002 %4      ⇒      param number.1 = 0.002 in 0 .. 1e12
 *                                                %5 = mul (param number.1) %4
 *
 * The kernel then reads it, as it reads what the model calls its parameters, and a text that differs in such numbers alone
 * has the same kernel to the last letter. Nobody can name these parameters, and they stand behind all others.
 *
 * Results stay what they are to the last bit: the number meets the same operations in the same order, only at run time.
 * Numbers elsewhere (exponents, Hill constants) stay numbers, since much is decided by them. So do those that would be
 * outside of the bounds here: by these a kernel knows, as it does of a number, that the constant is not negative and
 * cannot overflow.
 */
#include "compiler/sema/private.h"

enum { MOST_NUMBERS = 256 }; /* in a larger model each would cost more than it is worth */

static const double most_rate = 1e12, most_count = 0x1p53;

static Expr
open_number(Sema *sema, const AstNode *node, Expr expr, double most)
{
    Network *network = sema->network;
    double number;
    if (!sema->opens_numbers || !node || node->kind != AST_NUMBER ||
        !rxn__sema_folded(sema, expr, &number) || !(number > 0 && number <= most) ||
        network->open_count >= MOST_NUMBERS)
        return expr;
    Text name;
    rxn__text_init(&name, sema->arena);
    rxn__text_printf(&name, "number.%u", ++network->open_count);
    const Param param = {.name = rxn__name(sema->names, name.data, name.length),
                         .span = node->span,
                         .flat = network->param_count++,
                         .initial = expr,
                         .has_bounds = true,
                         .low = 0,
                         .high = most};
    vec_push(network->arena, &network->params, param);
    return rxn__expr_object(network, EXPR_PARAM, network->params.count - 1, 0, NULL);
}

Expr
rxn__sema_open_rate(Sema *sema, const AstNode *node, Expr rate)
{
    return open_number(sema, node, rate, most_rate);
}

Expr
rxn__sema_open_count(Sema *sema, const AstNode *node, Expr count)
{
    return open_number(sema, node, count, most_count);
}
