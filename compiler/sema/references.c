/* references: names that stand for values, with their indices.
 *
 * An index must be affine in the loop variables with whole coefficients (`i + 1`, `2*i + j`, `N - 1`),
 * so that its least and greatest value over the whole loop are known: what leaves the array is an error
 * here, and no running kernel checks an index.
 */
#include <string.h>

#include "compiler/sema/private.h"

static const char *
allowed_text(u32 allowed)
{
    switch (allowed) {
    case 0: return "it must be known at compile time: numbers, consts, and lets made of these";
    case ALLOW_VARIABLES: return "it may use numbers, consts and loop variables";
    case ALLOW_PARAMS: return "it may use numbers and parameters";
    case ALLOW_PARAMS | ALLOW_INPUTS: return "it may use numbers, parameters and inputs";
    case ALLOW_PARAMS | ALLOW_INPUTS | ALLOW_VARIABLES:
        return "it may use numbers, parameters, inputs and loop variables";
    case ALLOW_PARAMS | ALLOW_VARIABLES: return "it may use numbers, parameters and loop variables";
    case ALLOW_ALL & ~(u32)ALLOW_TIME: return "it may use everything but the time";
    case ALLOW_ALL & ~(u32)ALLOW_SPECIES:
        return "what reads the state has to stand inside of one of them, as in 'mean(X)'";
    }
    return "it may use less than that";
}

/* Whether a thing of this kind may stand here; says so if not. */
static bool
allows(Sema *sema, const Scope *scope, u32 needed, Span span, const char *subject, const char *why)
{
    if ((scope->allowed & needed) == needed)
        return true;
    rxn__sema_error(sema, scope->module, span, "%s cannot depend on %s%s", scope->what, subject,
                    why);
    rxn__sema_note(sema, (Span){0}, "%s", allowed_text(scope->allowed));
    return false;
}

bool
rxn__sema_allows(Sema *sema, const Scope *scope, ExprUses uses, Span span, const char *subject)
{
    static const struct {
        u32 needed;
        const char *why;
    } rows[] = {
        {ALLOW_SPECIES, ", which depends on species"},
        {ALLOW_TIME, ", which depends on the time"},
        {ALLOW_INPUTS, ", which depends on inputs"},
        {ALLOW_PARAMS, ", which depends on parameters"},
        {ALLOW_VARIABLES, ", which depends on loop variables"},
    };
    bool used[] = {uses.species, uses.time, uses.inputs, uses.params, uses.variables};
    for (u32 i = 0; i < COUNT_OF(rows); i++)
        if (used[i] && !allows(sema, scope, rows[i].needed, span, subject, rows[i].why))
            return false;
    return true;
}

const Shape *
rxn__sema_shape_of(const Sema *sema, const Symbol *symbol)
{
    static const Shape scalar = {0};
    if (symbol->kind == SYMBOL_SPECIES)
        return &sema->network->species.items[symbol->object].shape;
    if (symbol->kind == SYMBOL_PARAM && symbol->is_object)
        return &sema->network->params.items[symbol->object].shape;
    if (symbol->kind == SYMBOL_INPUT && symbol->is_object)
        return &sema->network->inputs.items[symbol->object].shape;
    return &scalar;
}

/* "W[gene, pixel]", from the declaration. */
static const char *
declared_form(Sema *sema, const Symbol *symbol)
{
    u32 first = symbol->kind == SYMBOL_SPECIES ? 1 : symbol->kind == SYMBOL_PARAM ? 3 : 0;
    Text text;
    rxn__text_init(&text, sema->arena);
    rxn__text_printf(&text, "%s[", rxn__sema_show(sema, symbol->label));
    for (u32 i = first; i < symbol->node->kid_count; i++) {
        if (i > first)
            rxn__text_append(&text, ", ", 2);
        rxn__text_printf(&text, "%s", rxn__sema_show_source(sema, symbol->node->kids[i]));
    }
    rxn__text_append(&text, "]", 1);
    return text.data;
}

/* "s = 99", "i = 9 and j = 0": where the affine form is greatest (or least). */
static const char *
extreme_place(Sema *sema, const Affine *affine, bool greatest)
{
    Text text;
    rxn__text_init(&text, sema->arena);
    const char *join = "";
    for (u32 i = 0; i < affine->count; i++) {
        const Variable *variable = &sema->network->variables.items[affine->variable[i]];
        if (affine->coefficient[i] == 0)
            continue;
        i64 value = (affine->coefficient[i] > 0) == greatest ? variable->high : variable->low;
        rxn__text_printf(&text, "%s%s = %lld", join, rxn__sema_show(sema, variable->name),
                         (long long)value);
        join = " and ";
    }
    return text.data;
}

static void
report_range(Sema *sema, const Scope *scope, const AstNode *node, const AstNode *reference,
             const Symbol *symbol, const Shape *shape, u32 position, const Affine *affine, i64 low,
             i64 high)
{
    static const char *const ordinals[] = {"first", "second", "third", "fourth"};
    const char *name = rxn__sema_show(sema, reference->name);
    long long last = (long long)shape->extent[position] - 1;
    long long reached = high > last ? high : low;
    const char *where = extreme_place(sema, affine, high > last);
    if (shape->rank == 1 && *where)
        rxn__sema_error(sema, scope->module, node->span,
                        "'%s' reaches %s[%lld] when %s, but %s has 0 .. %lld",
                        rxn__sema_show_source(sema, reference), name, reached, where, name, last);
    else if (shape->rank == 1)
        rxn__sema_error(sema, scope->module, node->span, "there is no %s[%lld]: %s has 0 .. %lld",
                        name, reached, name, last);
    else if (*where)
        rxn__sema_error(sema, scope->module, node->span,
                        "the %s index of '%s' reaches %lld when %s, but it has 0 .. %lld",
                        ordinals[position], name, reached, where, last);
    else
        rxn__sema_error(sema, scope->module, node->span,
                        "the %s index of '%s' is %lld, but it has 0 .. %lld", ordinals[position],
                        name, reached, last);
    rxn__sema_note(sema, symbol->node->name_span, "'%s' is declared here", name);
}

bool
rxn__sema_indices(Sema *sema, const Scope *scope, const AstNode *reference, const Symbol *symbol,
                  const Shape *shape, Expr ret_indices[RXN_MAX_RANK])
{
    const char *name = rxn__sema_show(sema, reference->name);
    if (reference->kid_count != shape->rank) {
        if (shape->rank == 0) {
            rxn__sema_error(sema, scope->module, reference->span, "'%s' is %s, not an array", name,
                            rxn__sema_kind_text(symbol->kind));
        } else {
            static const char *const counts[] = {"none is", "1 is", "2 are", "3 are", "4 are"};
            u32 given = reference->kid_count;
            rxn__sema_error(sema, scope->module, reference->span,
                            "'%s' is an array with %u %s, and %s given", name, shape->rank,
                            shape->rank == 1 ? "index" : "indices",
                            given < COUNT_OF(counts) ? counts[given] : "more are");
            rxn__sema_note(sema, symbol->node->name_span, "it is declared as '%s'",
                           declared_form(sema, symbol));
        }
        return false;
    }
    Scope inner = *scope;
    inner.allowed = ALLOW_VARIABLES;
    inner.what = "an index";
    bool good = true;
    for (u32 i = 0; i < shape->rank; i++) {
        const AstNode *node = reference->kids[i];
        Expr index = rxn__sema_number(sema, &inner, node);
        ret_indices[i] = index;
        good &= index != 0;
        if (index == 0)
            continue;
        Affine affine;
        if (!rxn__expr_affine(sema->network, index, &affine)) {
            double number;
            rxn__sema_error(sema, scope->module, node->span,
                            rxn__sema_folded(sema, index, &number)
                                ? "an index must be a whole number"
                                : "an index must be a whole multiple of loop variables plus a "
                                  "whole number");
            rxn__sema_note(sema, (Span){0}, "as in 'i', 'i + 1', '2*i + j' or 'N - 1'");
            good = false;
            continue;
        }
        i64 low, high;
        rxn__affine_range(sema->network, &affine, &low, &high);
        if (low < 0 || high >= (i64)shape->extent[i]) {
            report_range(sema, scope, node, reference, symbol, shape, i, &affine, low, high);
            good = false;
        }
    }
    return good;
}

static Expr
local_value(Sema *sema, const Scope *scope, const AstNode *node, const Local *local)
{
    const char *name = rxn__sema_show(sema, node->name);
    if (node->kid_count > 0) {
        rxn__sema_error(sema, scope->module, node->span, "'%s' is %s, not an array", name,
                        local->is_argument ? "a parameter of the function" : "a loop variable");
        return 0;
    }
    if (local->value == 0 || scope->allowed == ALLOW_ALL)
        return local->value;
    Text subject;
    rxn__text_init(&subject, sema->arena);
    if (!local->is_argument) {
        rxn__text_printf(&subject, "the loop variable '%s'", name);
        return allows(sema, scope, ALLOW_VARIABLES, node->span, subject.data, "") ? local->value
                                                                                  : 0;
    }
    rxn__text_printf(&subject, "'%s'", name);
    ExprUses uses = rxn__expr_uses(sema->network, local->value);
    return rxn__sema_allows(sema, scope, uses, node->span, subject.data) ? local->value : 0;
}

/* Species, parameters and inputs. */
static Expr
object_value(Sema *sema, const Scope *scope, const AstNode *node, const Symbol *symbol)
{
    static const struct {
        SymbolKind kind;
        u32 needed;
        ExprOp op;
        const char *text;
    } rows[] = {
        {SYMBOL_SPECIES, ALLOW_SPECIES, EXPR_SPECIES, "species"},
        {SYMBOL_PARAM, ALLOW_PARAMS, EXPR_PARAM, "parameter"},
        {SYMBOL_INPUT, ALLOW_INPUTS, EXPR_INPUT, "input"},
    };
    const char *name = rxn__sema_show(sema, node->name);
    for (u32 i = 0; i < COUNT_OF(rows); i++) {
        if (rows[i].kind != symbol->kind)
            continue;
        Text subject;
        rxn__text_init(&subject, sema->arena);
        rxn__text_printf(&subject, "the %s '%s'", rows[i].text, name);
        if (scope->allowed != ALLOW_ALL &&
            !allows(sema, scope, rows[i].needed, node->span, subject.data, ""))
            return 0;
        const Shape *shape = rxn__sema_shape_of(sema, symbol);
        Expr indices[RXN_MAX_RANK] = {0};
        if (!rxn__sema_indices(sema, scope, node, symbol, shape, indices))
            return 0;
        return rxn__expr_object(sema->network, rows[i].op, symbol->object, shape->rank, indices);
    }
    return 0;
}

/* A let, or what is bound to an expression. An array that is bound to one value has that value in
 * every member. */
static Expr
alias_value(Sema *sema, const Scope *scope, const AstNode *node, const Symbol *symbol)
{
    if (node->kid_count > 0 && symbol->kind == SYMBOL_LET) {
        rxn__sema_error(sema, scope->module, node->span, "'%s' is a let, not an array",
                        rxn__sema_show(sema, node->name));
        return 0;
    }
    if (scope->allowed == ALLOW_ALL)
        return symbol->value;
    Text subject;
    rxn__text_init(&subject, sema->arena);
    rxn__text_printf(&subject, "'%s'", rxn__sema_show(sema, node->name));
    return rxn__sema_allows(sema, scope, symbol->uses, node->span, subject.data) ? symbol->value
                                                                                 : 0;
}

static Expr
symbol_value(Sema *sema, const Scope *scope, const AstNode *node, Symbol *symbol)
{
    const char *name = rxn__sema_show(sema, node->name);
    switch (symbol->kind) {
    case SYMBOL_CONST:
        if (node->kid_count > 0) {
            rxn__sema_error(sema, scope->module, node->span, "'%s' is a const, not an array", name);
            return 0;
        }
        return rxn__expr_number(sema->network, (double)symbol->whole);
    case SYMBOL_LET: return alias_value(sema, scope, node, symbol);
    case SYMBOL_SPECIES: return object_value(sema, scope, node, symbol);
    case SYMBOL_PARAM:
    case SYMBOL_INPUT:
        return symbol->is_object ? object_value(sema, scope, node, symbol)
                                 : alias_value(sema, scope, node, symbol);
    case SYMBOL_FUNCTION:
        rxn__sema_error(sema, scope->module, node->span, "'%s' is a function and needs arguments",
                        name);
        rxn__sema_note(sema, (Span){0}, "call it, as in '%s(x)'", name);
        return 0;
    case SYMBOL_INDEX:
        rxn__sema_error(sema, scope->module, node->span, "'%s' is an index set, not a number",
                        name);
        rxn__sema_note(sema, (Span){0}, "name its size with a const, as in 'const N = %lld'",
                       (long long)symbol->whole);
        return 0;
    case SYMBOL_MODULE:
        rxn__sema_error(sema, scope->module, node->span, "'%s' is a module, not a number", name);
        rxn__sema_note(sema, (Span){0}, "name one of its members, as in '%s.X'", name);
        return 0;
    case SYMBOL_UNKNOWN: break;
    }
    return 0;
}

Expr
rxn__sema_reference(Sema *sema, const Scope *scope, const AstNode *node)
{
    for (const Local *local = scope->locals; local; local = local->outer)
        if (local->name == node->name)
            return local_value(sema, scope, node, local);
    if (node->name == sema->time_name) {
        if (node->kid_count > 0) {
            rxn__sema_error(sema, scope->module, node->span, "'t' is the time, not an array");
            return 0;
        }
        if (!allows(sema, scope, ALLOW_TIME, node->span, "the time 't'", ""))
            return 0;
        return rxn__expr(sema->network, EXPR_TIME, NULL);
    }
    if (sema->loss && scope->module == sema->modules.items[0] && rxn__sema_is_data(node->name))
        return rxn__sema_data(sema, scope, node);
    Symbol *symbol = rxn__sema_lookup(sema, scope->module, node->name);
    const bool of_objective = !symbol && scope->place != PLACE_MODEL;
    Expr observed;
    if (of_objective && rxn__sema_observable(sema, scope, node, &observed))
        return observed;
    if (!symbol && (rxn__sema_is_builtin(node->name) ||
                    (of_objective && rxn__sema_is_objective_function(node->name)))) {
        const char *name = rxn__sema_show(sema, node->name);
        rxn__sema_error(sema, scope->module, node->span, "'%s' is a function and needs arguments",
                        name);
        rxn__sema_note(sema, (Span){0}, "call it, as in '%s(x)'", name);
        return 0;
    }
    if (!symbol) {
        rxn__sema_unknown_name(sema, scope, node->name, node->span, WANT_VALUE);
        return 0;
    }
    if (!rxn__sema_resolve(sema, symbol, node->span))
        return 0;
    return symbol_value(sema, scope, node, symbol);
}
