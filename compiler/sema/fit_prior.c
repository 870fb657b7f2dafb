/* fit_prior: what a fit says of parameters alone: penalties, priors, and on which scale they are trained.
 *
 * Penalties and priors are one expression of parameters that is added to the loss once, whatever the number of
 * experiments. A prior adds -log of its density without what does not depend on the parameter:
 *
 *     normal(m, s)     (x - m)^2 / (2 s^2)
 *     lognormal(m, s)  log x + (log x - m)^2 / (2 s^2)
 *     uniform(a, b)    nothing: it says that the bounds are meant so
 */
#include <math.h>
#include <string.h>

#include "compiler/sema/fit_private.h"

/* The parameter that the reference names, which is trained. NULL: reported. */
static const Param *
trained_param(Sema *sema, Module *module, const AstNode *reference, const char *what)
{
    const Scope scope = {.module = module};
    const char *name = rxn__sema_show(sema, reference->name);
    if (reference->kind != AST_REFERENCE) {
        rxn__sema_error(sema, module, reference->span, "'%s' takes names of parameters", what);
        return NULL;
    }
    Symbol *symbol = rxn__sema_lookup(sema, module, reference->name);
    if (!symbol) {
        rxn__sema_unknown_name(sema, &scope, reference->name, reference->span, WANT_VALUE);
        return NULL;
    }
    if (symbol->kind == SYMBOL_UNKNOWN || !rxn__sema_resolve(sema, symbol, reference->span))
        return NULL;
    if (symbol->kind != SYMBOL_PARAM || !symbol->is_object) {
        rxn__sema_error(
            sema, module, reference->span, "'%s' is %s, and '%s' is of parameters", name,
            symbol->kind == SYMBOL_PARAM ? "bound to a value" : rxn__sema_kind_text(symbol->kind),
            what);
        return NULL;
    }
    const Param *param = &sema->network->params.items[symbol->object];
    if (!param->fit) {
        rxn__sema_error(sema, module, reference->span,
                        "'%s' is not trained, so there is nothing for '%s' to say", name, what);
        rxn__sema_note(sema, param->span, "mark it 'fit' here");
        return NULL;
    }
    return param;
}

/* ---- Scales ------------------------------------------------------------------------------------ */

static void
read_scales(Sema *sema, Module *module, const FitNodes *names, const char *key, FitScaleWish wish,
            Fit *fit)
{
    for (u32 i = 0; i < names->count; i++) {
        const AstNode *node = names->items[i];
        const Param *param = trained_param(sema, module, node, key);
        if (!param)
            continue;
        if (node->kid_count > 0) {
            rxn__sema_error(sema, module, node->span, "'%s' takes whole arrays", key);
            continue;
        }
        if (wish == FIT_SCALE_LOG && param->has_bounds && param->high <= 0) {
            rxn__sema_error(sema, module, node->span,
                            "'%s' is never positive, and has no logarithm",
                            rxn__sema_show(sema, node->name));
            rxn__sema_note(sema, param->span, "its bounds are given here");
            continue;
        }
        const u32 members = rxn__shape_members(&param->shape);
        if (fit->scales[param->flat] != FIT_SCALE_AUTO) {
            rxn__sema_error(sema, module, node->span, "the scale of '%s' is given twice",
                            rxn__sema_show(sema, node->name));
            continue;
        }
        memset(fit->scales + param->flat, wish, members);
    }
}

/* ---- Priors ------------------------------------------------------------------------------------ */

/* -log density of one member; 0: nothing to add. */
static Expr
prior_of(Network *network, const char *name, Expr x, const double *arguments)
{
    const bool is_log = strcmp(name, "lognormal") == 0;
    Expr at = is_log ? expr_unary(network, EXPR_LOG, x) : x;
    Expr difference = expr_binary(network, EXPR_SUB, at, rxn__expr_number(network, arguments[0]));
    Expr factor = rxn__expr_number(network, 1 / (2 * arguments[1] * arguments[1]));
    Expr square = expr_binary(network, EXPR_MUL, factor,
                              expr_binary(network, EXPR_MUL, difference, difference));
    return is_log ? expr_binary(network, EXPR_ADD, at, square) : square;
}

static bool
read_distribution(Sema *sema, Module *module, const AstNode *call, double *ret_arguments)
{
    static const char *const names[] = {"normal", "lognormal", "uniform"};
    static const FitWords words = {names, COUNT_OF(names)};
    static const char *const forms[] = {
        "normal(mean, sd)", "lognormal(mean, sd), both of the logarithm", "uniform(low, high)"};
    if (call->kind != AST_CALL)
        return false; /* reported by the grammar */
    u32 which = 0;
    while (which < COUNT_OF(names) && strcmp(names[which], call->name->text) != 0)
        which++;
    if (which == COUNT_OF(names)) {
        rxn__sema_error(sema, module, call->name_span, "unknown distribution '%s'",
                        rxn__sema_show(sema, call->name));
        rxn__fit_note_nearest(sema, call->name, words, "there are");
        return false;
    }
    if (call->kid_count != 2) {
        rxn__sema_error(sema, module, call->span, "'%s' takes 2 arguments", names[which]);
        rxn__sema_note(sema, (Span){0}, "%s", forms[which]);
        return false;
    }
    const Scope scope = {.module = module};
    bool good = true;
    for (u32 i = 0; i < 2; i++)
        good &= rxn__sema_constant(sema, &scope, call->kids[i], "an argument of a prior",
                                   &ret_arguments[i]);
    if (!good)
        return false;
    const bool is_uniform = strcmp(names[which], "uniform") == 0;
    if (!is_uniform && !(ret_arguments[1] > 0)) {
        rxn__sema_error(sema, module, call->kids[1]->span, "a standard deviation must be positive");
        return false;
    }
    if (is_uniform && !(ret_arguments[0] < ret_arguments[1])) {
        rxn__sema_error(sema, module, call->span,
                        "the range of 'uniform' is empty: its first end must be the smaller one");
        return false;
    }
    return true;
}

static bool
check_support(Sema *sema, Module *module, const AstNode *prior, const Param *param,
              const double *arguments)
{
    const char *distribution = prior->kids[1]->name->text;
    const char *name = rxn__sema_show(sema, prior->kids[0]->name);
    if (strcmp(distribution, "lognormal") == 0 && !(param->has_bounds && param->low >= 0)) {
        rxn__sema_error(sema, module, prior->span,
                        "'%s' could become negative, and 'lognormal' is of positive numbers", name);
        rxn__sema_note(sema, param->span, "give it bounds here, as in 'in 0.001 .. 1000'");
        return false;
    }
    if (strcmp(distribution, "uniform") == 0 &&
        !(param->has_bounds && param->low >= arguments[0] && param->high <= arguments[1])) {
        rxn__sema_error(sema, module, prior->span,
                        "a uniform prior is what bounds are, and those of '%s' go beyond it", name);
        rxn__sema_note(sema, param->span, "give it these bounds here");
        return false;
    }
    return true;
}

static Expr
read_prior(Sema *sema, Module *module, const AstNode *prior)
{
    Network *network = sema->network;
    const AstNode *target = prior->kids[0];
    double arguments[2];
    const Param *param = trained_param(sema, module, target, "prior");
    if (!prior->kids[1] || !read_distribution(sema, module, prior->kids[1], arguments) || !param ||
        !check_support(sema, module, prior, param, arguments))
        return 0;
    const char *name = prior->kids[1]->name->text;
    if (strcmp(name, "uniform") == 0)
        return rxn__expr_number(network, 0);
    const Shape shape = param->shape;
    const u32 number = (u32)(param - network->params.items);
    if (target->kid_count > 0) {
        Scope scope = {.module = module, .allowed = ALLOW_PARAMS, .what = "a prior"};
        Expr x = rxn__sema_number(sema, &scope, target);
        return x ? prior_of(network, name, x, arguments) : 0;
    }
    Expr indices[RXN_MAX_RANK];
    u32 variables[RXN_MAX_RANK];
    for (u32 i = 0; i < shape.rank; i++) {
        variables[i] = rxn__network_add_variable(network, rxn__name_z(sema->names, "i"), 0,
                                                 (i64)shape.extent[i] - 1);
        indices[i] = rxn__expr_object(network, EXPR_VARIABLE, variables[i], 0, NULL);
    }
    Expr x = rxn__expr_object(network, EXPR_PARAM, number, shape.rank, indices);
    Expr value = prior_of(network, name, x, arguments);
    for (u32 i = shape.rank; i-- > 0;)
        value = rxn__expr_object(network, EXPR_SUM, variables[i], 1, (Expr[]){value});
    return value;
}

/* ---- All of them ------------------------------------------------------------------------------- */

void
rxn__fit_parameters(Sema *sema, FitPlan *plan, Fit *fit)
{
    Network *network = sema->network;
    Module *module = plan->module;
    fit->scales = NEW_ARRAY(network->arena, u8, (size_t)network->param_count + 1);
    fit->penalty = 0;
    read_scales(sema, module, &plan->logs, "log", FIT_SCALE_LOG, fit);
    read_scales(sema, module, &plan->linears, "linear", FIT_SCALE_LINEAR, fit);
    Scope scope = {.module = module, .allowed = ALLOW_PARAMS, .what = "a penalty"};
    Expr sum = 0;
    const u32 count = plan->penalties.count + plan->priors.count;
    for (u32 i = 0; i < count; i++) {
        Expr term = i < plan->penalties.count
                        ? rxn__sema_number(sema, &scope, plan->penalties.items[i])
                        : read_prior(sema, module, plan->priors.items[i - plan->penalties.count]);
        if (term != 0)
            sum = sum ? expr_binary(network, EXPR_ADD, sum, term) : term;
    }
    if (sum != 0 && rxn__expr_uses(network, sum).params)
        fit->penalty = sum;
}
