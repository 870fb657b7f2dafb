/* builtins: calls. The functions of the language, and those of the user, which are inlined.
 *
 * A user's function is elaborated anew for each distinct list of arguments: so it may take conditions as
 * well as numbers, and an index (`fn left(i) = X[i-1]`) is checked for the very loop that calls it. The
 * same function of the same arguments is done once, so calls of calls cost no more than they share. Before
 * its first call, or if nobody calls it, a function is looked at with arguments of which nothing is known.
 */
#include <string.h>

#include "compiler/sema/private.h"

typedef struct Builtin {
    const char *name;
    u32 arguments; /* 0: two or more */
    ExprOp op;     /* of one or two arguments; `hill` has a rule of its own */
} Builtin;

static const Builtin builtins[] = {
    {"exp", 1, EXPR_EXP},         {"log", 1, EXPR_LOG},           {"log1p", 1, EXPR_LOG1P},
    {"expm1", 1, EXPR_EXPM1},     {"sqrt", 1, EXPR_SQRT},         {"pow", 2, EXPR_POW},
    {"min", 0, EXPR_MIN},         {"max", 0, EXPR_MAX},           {"abs", 1, EXPR_ABS},
    {"floor", 1, EXPR_FLOOR},     {"ceil", 1, EXPR_CEIL},         {"sin", 1, EXPR_SIN},
    {"cos", 1, EXPR_COS},         {"tan", 1, EXPR_TAN},           {"tanh", 1, EXPR_TANH},
    {"sigmoid", 1, EXPR_SIGMOID}, {"softplus", 1, EXPR_SOFTPLUS}, {"hill", 3, EXPR_DIV},
};

static const Builtin *
find_builtin(Name name)
{
    for (u32 i = 0; name && i < COUNT_OF(builtins); i++)
        if (strcmp(builtins[i].name, name->text) == 0)
            return &builtins[i];
    return NULL;
}

bool
rxn__sema_is_builtin(Name name)
{
    return find_builtin(name) != NULL;
}

void
rxn__suggestion_try_builtins(Sema *sema, Suggestion *suggestion)
{
    for (u32 i = 0; i < COUNT_OF(builtins); i++)
        rxn__suggestion_try(suggestion, rxn__name_z(sema->names, builtins[i].name));
}

/* hill(x, k, h) = x^h / (k^h + x^h) */
static Expr
hill(Sema *sema, const Expr *arguments)
{
    Network *network = sema->network;
    Expr x = expr_binary(network, EXPR_POW, arguments[0], arguments[2]);
    Expr k = expr_binary(network, EXPR_POW, arguments[1], arguments[2]);
    return expr_binary(network, EXPR_DIV, x, expr_binary(network, EXPR_ADD, k, x));
}

static const char *
arguments_text(Sema *sema, u32 count)
{
    Text text;
    rxn__text_init(&text, sema->arena);
    rxn__text_printf(&text, "%u argument%s", count, count == 1 ? "" : "s");
    return text.data;
}

static Expr
call_builtin(Sema *sema, const Scope *scope, const AstNode *node, const Builtin *builtin,
             const Expr *arguments)
{
    u32 count = node->kid_count;
    if (builtin->arguments ? count != builtin->arguments : count < 2) {
        rxn__sema_error(sema, scope->module, node->span, "'%s' takes %s%s, and %u %s given",
                        builtin->name, builtin->arguments ? "" : "at least ",
                        arguments_text(sema, builtin->arguments ? builtin->arguments : 2), count,
                        count == 1 ? "is" : "are");
        if (strcmp(builtin->name, "hill") == 0)
            rxn__sema_note(sema, (Span){0}, "hill(x, k, h) is x^h / (k^h + x^h)");
        else if (strcmp(builtin->name, "log") == 0 && count == 2)
            rxn__sema_note(sema, (Span){0},
                           "'log' is the natural one; divide by the log of a base");
        return 0;
    }
    Text whose;
    rxn__text_init(&whose, sema->arena);
    rxn__text_printf(&whose, "an argument of '%s'", builtin->name);
    bool good = true;
    for (u32 i = 0; i < count; i++)
        good &= rxn__sema_is_number(sema, scope, arguments[i], node->kids[i], whose.data);
    if (!good)
        return 0;
    if (strcmp(builtin->name, "hill") == 0)
        return hill(sema, arguments);
    if (builtin->arguments)
        return rxn__expr(sema->network, builtin->op, arguments);
    Expr value = arguments[0];
    for (u32 i = 1; i < count; i++)
        value = expr_binary(sema->network, builtin->op, value, arguments[i]);
    return value;
}

/* The functions being inlined, from this one on, as "f -> g -> f". */
static void
report_recursion(Sema *sema, const Scope *scope, const Symbol *function, Span span)
{
    Text chain;
    rxn__text_init(&chain, sema->arena);
    bool inside = false;
    for (u32 i = 0; i < sema->pending.count; i++) {
        inside |= sema->pending.items[i] == function;
        if (inside && chain.length < 400)
            rxn__text_printf(&chain, "%s -> ", rxn__sema_show(sema, sema->pending.items[i]->label));
    }
    const char *name = rxn__sema_show(sema, function->label);
    rxn__sema_error(sema, scope->module, span, "the function '%s' calls itself: %s%s", name,
                    chain.data, name);
    rxn__sema_note(sema, (Span){0},
                   "functions are inlined, so they cannot recurse; "
                   "use 'sum' or 'prod' over a range");
}

static CallMemo **
memo_slot(Sema *sema, const Symbol *function, u32 allowed, u32 count, const Expr *arguments)
{
    u64 hash = hash_mix((u64)(uintptr_t)function, allowed);
    for (u32 i = 0; i < count; i++)
        hash = hash_mix(hash, arguments[i]);
    CallMemo **slot = &sema->memo[hash % COUNT_OF(sema->memo)];
    for (; *slot; slot = &(*slot)->next)
        if ((*slot)->function == function && (*slot)->allowed == allowed &&
            (*slot)->argument_count == count &&
            memcmp((*slot)->arguments, arguments, count * sizeof *arguments) == 0)
            break;
    return slot;
}

/* The body with these arguments. */
static Expr
inlined(Sema *sema, u32 allowed, const char *what, Symbol *function, const Expr *arguments)
{
    const AstNode *definition = function->node;
    u32 count = definition->kid_count - 1;
    CallMemo **slot = memo_slot(sema, function, allowed, count, arguments);
    if (*slot)
        return (*slot)->value;

    Local *locals = NEW_ARRAY(sema->arena, Local, count + 1);
    for (u32 i = 0; i < count; i++) {
        const AstNode *parameter = definition->kids[i + 1];
        locals[i] = (Local){.outer = i > 0 ? &locals[i - 1] : NULL,
                            .name = parameter->name,
                            .span = parameter->span,
                            .value = arguments[i],
                            .is_argument = true};
    }
    Scope inner = {.module = function->module,
                   .locals = count > 0 ? &locals[count - 1] : NULL,
                   .allowed = allowed,
                   .what = what};
    function->state = SYMBOL_IN_PROGRESS;
    vec_push(sema->arena, &sema->pending, function);
    Expr value = rxn__sema_expression(sema, &inner, definition->kids[0]);
    sema->pending.count--;
    if (function->state == SYMBOL_IN_PROGRESS) /* else it was found to call itself */
        function->state = SYMBOL_READY;

    CallMemo *memo = NEW(sema->arena, CallMemo);
    *memo = (CallMemo){.function = function,
                       .allowed = allowed,
                       .argument_count = count,
                       .arguments = arguments,
                       .value = value};
    /* Looked up again, since inlining may have made entries of its own. */
    slot = memo_slot(sema, function, allowed, count, arguments);
    if (!*slot)
        *slot = memo;
    return value;
}

void
rxn__sema_check_function(Sema *sema, Symbol *function)
{
    bool was_inlining = sema->is_inlining;
    sema->is_inlining = false;
    Expr *unknown = NEW_ARRAY(sema->arena, Expr, function->node->kid_count);
    inlined(sema, ALLOW_ALL, "a function", function, unknown);
    sema->is_inlining = was_inlining;
}

static Expr
call_function(Sema *sema, const Scope *scope, const AstNode *node, Symbol *function,
              const Expr *arguments)
{
    const AstNode *definition = function->node;
    u32 parameters = definition->kid_count - 1, count = node->kid_count;
    if (function->state == SYMBOL_NEW)
        rxn__sema_check_function(sema, function);
    if (function->state == SYMBOL_POISONED)
        return 0;
    if (count != parameters) {
        rxn__sema_error(sema, scope->module, node->span, "'%s' takes %s, and %u %s given",
                        rxn__sema_show(sema, node->name), arguments_text(sema, parameters), count,
                        count == 1 ? "is" : "are");
        rxn__sema_note(sema, definition->name_span, "it is defined here");
        return 0;
    }
    if (function->state == SYMBOL_IN_PROGRESS) {
        report_recursion(sema, scope, function, node->span);
        function->state = SYMBOL_POISONED;
        return 0;
    }
    /* What is wrong in the function whatever it is called with has been reported. What is wrong with
     * these arguments may show in every line of it and of what it calls: the first place will do. */
    bool is_outermost = !sema->is_inlining;
    u32 errors = sema->diagnostics->error_count;
    if (is_outermost)
        sema->errors_before_call = errors;
    sema->is_inlining = true;
    Expr value = inlined(sema, scope->allowed, scope->what, function, arguments);
    sema->is_inlining = !is_outermost;
    if (is_outermost && sema->diagnostics->error_count > errors) {
        sema->is_muted = false;
        rxn__sema_note(sema, node->span, "in this call of '%s'", rxn__sema_show(sema, node->name));
    }
    return value;
}

static bool
is_local(const Scope *scope, Name name)
{
    for (const Local *local = scope->locals; local; local = local->outer)
        if (local->name == name)
            return true;
    return false;
}

Expr
rxn__sema_call(Sema *sema, const Scope *scope, const AstNode *node)
{
    const bool of_objective = sema->objective && rxn__sema_is_objective_function(node->name) &&
                              !is_local(scope, node->name);
    if (of_objective && scope->place != PLACE_MODEL)
        return rxn__sema_objective_call(sema, scope, node);
    if (of_objective && !rxn__symbols_find(&sema->symbols, node->name)) {
        rxn__sema_error(sema, scope->module, node->span, "%s cannot depend on '%s'", scope->what,
                        rxn__sema_show(sema, node->name));
        rxn__sema_note(sema, (Span){0},
                       "it must be known at compile time: numbers, consts, and lets made of these");
        return 0;
    }
    if (sema->loss && scope->place != PLACE_MODEL && !is_local(scope, node->name) &&
        rxn__sema_is_loss_function(node->name))
        return rxn__sema_loss_call(sema, scope, node);
    /* What would be wrong with its arguments outside of a loss function is not news then. */
    if (scope->place == PLACE_LOSS && !is_local(scope, node->name) && !find_builtin(node->name) &&
        !rxn__sema_lookup(sema, scope->module, node->name)) {
        rxn__sema_unknown_name(sema, scope, node->name, node->name_span, WANT_FUNCTION);
        return 0;
    }
    Expr *arguments = NEW_ARRAY(sema->arena, Expr, node->kid_count + 1);
    for (u32 i = 0; i < node->kid_count; i++)
        arguments[i] = rxn__sema_expression(sema, scope, node->kids[i]);
    const char *name = rxn__sema_show(sema, node->name);
    for (const Local *local = scope->locals; local; local = local->outer)
        if (local->name == node->name) {
            rxn__sema_error(sema, scope->module, node->span, "'%s' is %s, not a function", name,
                            local->is_argument ? "a parameter of the function" : "a loop variable");
            return 0;
        }
    Symbol *symbol = rxn__sema_lookup(sema, scope->module, node->name);
    const Builtin *builtin = find_builtin(node->name);
    if (symbol && symbol->kind == SYMBOL_FUNCTION)
        return call_function(sema, scope, node, symbol, arguments);
    if (builtin)
        return call_builtin(sema, scope, node, builtin, arguments);
    if (!symbol &&
        (strcmp(node->name->text, "normal") == 0 || strcmp(node->name->text, "uniform") == 0)) {
        rxn__sema_error(sema, scope->module, node->span,
                        "'%s' can only follow the '~' of a parameter", name);
        rxn__sema_note(sema, (Span){0}, "as in 'param k ~ %s'", rxn__sema_show_source(sema, node));
        return 0;
    }
    if (!symbol) {
        rxn__sema_unknown_name(sema, scope, node->name, node->name_span, WANT_FUNCTION);
        return 0;
    }
    if (symbol->kind == SYMBOL_UNKNOWN || symbol->state == SYMBOL_POISONED)
        return 0;
    rxn__sema_error(sema, scope->module, node->span, "'%s' is %s, not a function", name,
                    rxn__sema_kind_text(symbol->kind));
    if (node->kid_count == 1)
        rxn__sema_note(sema, (Span){0},
                       "to multiply, write '*'; a member of an array is written '%s[%s]'", name,
                       rxn__sema_show_source(sema, node->kids[0]));
    return 0;
}
