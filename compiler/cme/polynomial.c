/* polynomial.c: multiplies a functional out, so that the master equation can take it.
 *
 * A part that reads the state at one time only is a function of the state there, whatever it is:
 *
 *     exp(-(X at 2)^2) * (Y at 2) * (Z at 4) / k   ⇒   1/k · f(x(2)) · z(4)
 *
 * Products of parts at different times, and of at most one integral, are monomials; sums, differences,
 * whole powers and choices by a condition at one time are multiplied out until only such are left.
 */
#include "compiler/cme/private.h"

#include <math.h>

enum { MOST_MONOMIALS = 10000, MOST_POWER = 16 };

/* Which times a part reads. */
typedef enum Reach { REACH_NOTHING, REACH_ONE_TIME, REACH_MORE } Reach;

typedef struct Summary {
    Reach reach;
    double time;
} Summary;

typedef struct Expansion {
    Cme *cme;
    const Objective *objective;
    Summary *summaries; /* by node */
    Expr *states;       /* by node: the part as an expression of the state; 0: not yet */
} Expansion;

static void
add_reach(Summary *sum, Summary other)
{
    if (other.reach == REACH_NOTHING)
        return;
    if (sum->reach == REACH_NOTHING)
        *sum = other;
    else if (other.reach == REACH_MORE || other.time != sum->time)
        sum->reach = REACH_MORE;
}

static void
summarize(void *context, Expr expr)
{
    Expansion *expansion = context;
    const ExprNode *node = expr_node(expansion->cme->network, expr);
    Summary summary = {REACH_NOTHING, 0};
    if (node->op == EXPR_QUANTITY) {
        const Atom *atom = &expansion->objective->atoms.items[node->object];
        summary = (Summary){atom->kind == ATOM_STATE ? REACH_ONE_TIME : REACH_MORE, atom->to};
    }
    for (u32 k = 0; k < node->arg_count; k++)
        add_reach(&summary, expansion->summaries[node->args[k]]);
    expansion->summaries[expr] = summary;
}

/* The part with each quantity replaced by what it is of the state. */
static Expr
of_state(Expansion *expansion, Expr expr)
{
    Network *network = expansion->cme->network;
    if (expansion->states[expr])
        return expansion->states[expr];
    const ExprNode node = *expr_node(network, expr);
    Expr result = expr;
    if (node.op == EXPR_QUANTITY) {
        result = expansion->objective->atoms.items[node.object].value;
    } else if (expansion->summaries[expr].reach != REACH_NOTHING) {
        Expr args[RXN_MAX_RANK] = {0};
        for (u32 k = 0; k < node.arg_count; k++)
            args[k] = of_state(expansion, node.args[k]);
        if (node.op == EXPR_CHOOSE)
            result = rxn__expr_choose(network, args[0], (u32)node.number);
        else if (node.op == EXPR_SUM || node.op == EXPR_PROD)
            result = rxn__expr_object(network, (ExprOp)node.op, node.object, 1, args);
        else
            result = rxn__expr(network, (ExprOp)node.op, args);
    }
    return expansion->states[expr] = result;
}

/* ---- polynomials ------------------------------------------------------------------------------- */

static CmePolynomial
one_monomial(Cme *cme, CmeMonomial monomial)
{
    CmePolynomial result = {0};
    vec_push(cme->arena, &result, monomial);
    return result;
}

static CmePolynomial
constant(Cme *cme, Expr coefficient)
{
    return one_monomial(cme, (CmeMonomial){.coefficient = coefficient});
}

static CmePolynomial
state_function(Cme *cme, double time, Expr value)
{
    CmeFactor *factor = NEW(cme->arena, CmeFactor);
    *factor = (CmeFactor){time, value};
    return one_monomial(cme, (CmeMonomial){.coefficient = rxn__expr_number(cme->network, 1),
                                           .factor_count = 1,
                                           .factors = factor});
}

static void
add_polynomial(Cme *cme, CmePolynomial *sum, const CmePolynomial *more)
{
    for (u32 k = 0; k < more->count; k++) {
        if (sum->count == MOST_MONOMIALS)
            rxn__cme_fail(cme, "exact would have to multiply out more than %d products",
                          MOST_MONOMIALS);
        vec_push(cme->arena, sum, more->items[k]);
    }
}

static void
scale(Cme *cme, CmePolynomial *polynomial, Expr factor)
{
    for (u32 k = 0; k < polynomial->count; k++)
        polynomial->items[k].coefficient =
            expr_binary(cme->network, EXPR_MUL, polynomial->items[k].coefficient, factor);
}

/* Factors in order of time, those of one time as one. */
static CmeMonomial
multiply_monomials(Cme *cme, const CmeMonomial *a, const CmeMonomial *b)
{
    CmeMonomial result = {
        .coefficient = expr_binary(cme->network, EXPR_MUL, a->coefficient, b->coefficient),
        .factors = NEW_ARRAY(cme->arena, CmeFactor, a->factor_count + b->factor_count + 1),
        .integral = a->integral ? a->integral : b->integral,
        .passage = a->passage ? a->passage : b->passage};
    if ((a->integral || a->passage) && (b->integral || b->passage))
        rxn__cme_fail(cme,
                      "exact takes an integral or a passage time as it is, not products or powers "
                      "of such");
    if (result.passage && (a->factor_count || b->factor_count))
        rxn__cme_fail(cme,
                      "exact takes a passage time as it is, not its product with other things of "
                      "the same trajectory");
    for (u32 i = 0, k = 0; i < a->factor_count || k < b->factor_count;) {
        const CmeFactor *x = i < a->factor_count ? &a->factors[i] : NULL;
        const CmeFactor *y = k < b->factor_count ? &b->factors[k] : NULL;
        CmeFactor *next = &result.factors[result.factor_count++];
        if (x && y && x->time == y->time)
            *next = (CmeFactor){x->time, expr_binary(cme->network, EXPR_MUL, x->value, y->value)};
        else
            *next = !y || (x && x->time < y->time) ? *x : *y;
        i += x && x->time == next->time;
        k += y && y->time == next->time;
    }
    return result;
}

static CmePolynomial
multiply(Cme *cme, const CmePolynomial *a, const CmePolynomial *b)
{
    CmePolynomial result = {0};
    for (u32 i = 0; i < a->count; i++)
        for (u32 k = 0; k < b->count; k++) {
            CmePolynomial one =
                one_monomial(cme, multiply_monomials(cme, &a->items[i], &b->items[k]));
            add_polynomial(cme, &result, &one);
        }
    return result;
}

/* ---- expressions ------------------------------------------------------------------------------- */

static CmePolynomial expand(Expansion *expansion, Expr expr);

/* f where it is a part that reads at most one time. */
static CmePolynomial
simple_part(Expansion *expansion, Expr expr)
{
    Summary summary = expansion->summaries[expr];
    if (summary.reach == REACH_NOTHING)
        return constant(expansion->cme, expr);
    return state_function(expansion->cme, summary.time, of_state(expansion, expr));
}

static CmePolynomial
quantity(Expansion *expansion, const ExprNode *node)
{
    Cme *cme = expansion->cme;
    const Atom *atom = &expansion->objective->atoms.items[node->object];
    ExprUses uses = rxn__expr_uses(cme->network, atom->value);
    if (uses.time || uses.window)
        rxn__cme_fail(cme,
                      atom->kind == ATOM_INTEGRAL
                          ? "exact takes integrals of functions of the state, not of time"
                          : "exact takes passage times of conditions on the state, not on time");
    CmeMonomial monomial = {.coefficient = rxn__expr_number(cme->network, 1)};
    if (atom->kind == ATOM_INTEGRAL)
        monomial.integral = node->object + 1;
    else
        monomial.passage = node->object + 1;
    return one_monomial(cme, monomial);
}

static CmePolynomial
divide(Expansion *expansion, Expr numerator, Expr denominator)
{
    Cme *cme = expansion->cme;
    Network *network = cme->network;
    Summary summary = expansion->summaries[denominator];
    CmePolynomial result = expand(expansion, numerator);
    Expr one = rxn__expr_number(network, 1);
    if (summary.reach == REACH_MORE)
        rxn__cme_fail(cme, "exact divides by what reads one time only");
    Expr inverse = expr_binary(network, EXPR_DIV, one, of_state(expansion, denominator));
    if (summary.reach == REACH_NOTHING) {
        scale(cme, &result, inverse);
        return result;
    }
    CmePolynomial factor = state_function(cme, summary.time, inverse);
    return multiply(cme, &result, &factor);
}

static CmePolynomial
raise(Expansion *expansion, Expr base, Expr exponent)
{
    Cme *cme = expansion->cme;
    const ExprNode node = *expr_node(cme->network, exponent);
    double power = node.op == EXPR_NUMBER ? node.number : NAN;
    if (!(power >= 1 && power <= MOST_POWER && power == floor(power)))
        rxn__cme_fail(cme, "exact takes whole powers from 1 to %d of what reads several times",
                      MOST_POWER);
    CmePolynomial factor = expand(expansion, base), result = factor;
    for (u32 k = 1; k < power; k++)
        result = multiply(cme, &result, &factor);
    return result;
}

static CmePolynomial
choose_by(Expansion *expansion, const ExprNode *node)
{
    Cme *cme = expansion->cme;
    Network *network = cme->network;
    Expr condition = node->args[0];
    Summary summary = expansion->summaries[condition];
    if (summary.reach == REACH_MORE)
        rxn__cme_fail(cme, "exact takes 'if' with a condition that reads one time only");
    Expr one = rxn__expr_number(network, 1), zero = rxn__expr_number(network, 0);
    Expr inside = of_state(expansion, condition);
    CmePolynomial result = {0};
    for (u32 k = 0; k < 2; k++) {
        Expr chosen = rxn__expr(network, EXPR_SELECT,
                                (Expr[]){inside, k == 0 ? one : zero, k == 0 ? zero : one});
        CmePolynomial branch = expand(expansion, node->args[k + 1]);
        CmePolynomial factor = summary.reach == REACH_NOTHING
                                   ? constant(cme, chosen)
                                   : state_function(cme, summary.time, chosen);
        branch = multiply(cme, &branch, &factor);
        add_polynomial(cme, &result, &branch);
    }
    return result;
}

static CmePolynomial
expand(Expansion *expansion, Expr expr)
{
    Cme *cme = expansion->cme;
    if (expansion->summaries[expr].reach != REACH_MORE)
        return simple_part(expansion, expr);
    const ExprNode node = *expr_node(cme->network, expr);
    CmePolynomial a, b;
    switch (node.op) {
    case EXPR_QUANTITY: return quantity(expansion, &node);
    case EXPR_ADD:
    case EXPR_SUB:
        a = expand(expansion, node.args[0]);
        b = expand(expansion, node.args[1]);
        if (node.op == EXPR_SUB)
            scale(cme, &b, rxn__expr_number(cme->network, -1));
        add_polynomial(cme, &a, &b);
        return a;
    case EXPR_NEG:
        a = expand(expansion, node.args[0]);
        scale(cme, &a, rxn__expr_number(cme->network, -1));
        return a;
    case EXPR_MUL:
        a = expand(expansion, node.args[0]);
        b = expand(expansion, node.args[1]);
        return multiply(cme, &a, &b);
    case EXPR_DIV: return divide(expansion, node.args[0], node.args[1]);
    case EXPR_POW: return raise(expansion, node.args[0], node.args[1]);
    case EXPR_SELECT: return choose_by(expansion, &node);
    default:
        rxn__cme_fail(cme,
                      "exact takes sums and products of what reads several times, an integral or a "
                      "passage time, not '%s' of it",
                      rxn__expr_ops[node.op].text);
    }
}

void
rxn__cme_multiply_out(Cme *cme, const Objective *objective, Expr value, CmePolynomial *ret)
{
    Expansion expansion = {.cme = cme,
                           .objective = objective,
                           .summaries = NEW_ARRAY(cme->arena, Summary, cme->network->exprs.count),
                           .states = NEW_ARRAY(cme->arena, Expr, cme->network->exprs.count)};
    rxn__expr_walk(cme->network, value, cme->arena, summarize, &expansion);
    *ret = expand(&expansion, value);
}
