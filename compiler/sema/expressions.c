/* expressions: from the tree to the network's shared expressions, with types.
 *
 * There are two types, numbers and conditions, and they never mix: `k + (A > 3)` is a slip more often
 * than it is meant. Folding and sharing happen in rxn__expr. A long chain `a + b + c + …` leans to the
 * left in the tree and is walked in a loop, so that only real nesting costs stack.
 */
#include <math.h>

#include "compiler/sema/private.h"

bool
rxn__sema_is_number(Sema *sema, const Scope *scope, Expr value, const AstNode *node,
                    const char *by_whom)
{
    if (value == 0)
        return false;
    if (!expr_node(sema->network, value)->is_bool)
        return true;
    rxn__sema_error(sema, scope->module, node->span, "%s must be a number, and this is a condition",
                    by_whom);
    rxn__sema_note(sema, (Span){0}, "to make it a number, write 'if %s then 1 else 0'",
                   rxn__sema_show_source(sema, node));
    return false;
}

static bool
is_condition(Sema *sema, const Scope *scope, Expr value, const AstNode *node, const char *by_whom)
{
    if (value == 0)
        return false;
    if (expr_node(sema->network, value)->is_bool)
        return true;
    rxn__sema_error(sema, scope->module, node->span, "%s must be a condition, and this is a number",
                    by_whom);
    rxn__sema_note(sema, (Span){0}, "compare it, as in '%s > 0'",
                   rxn__sema_show_source(sema, node));
    return false;
}

Expr
rxn__sema_number(Sema *sema, const Scope *scope, const AstNode *node)
{
    Expr value = rxn__sema_expression(sema, scope, node);
    return rxn__sema_is_number(sema, scope, value, node, scope->what) ? value : 0;
}

Expr
rxn__sema_condition(Sema *sema, const Scope *scope, const AstNode *node)
{
    Expr value = rxn__sema_expression(sema, scope, node);
    return is_condition(sema, scope, value, node, scope->what) ? value : 0;
}

/* One operator of a chain, its left side being done. */
static Expr
binary(Sema *sema, const Scope *scope, const AstNode *node, Expr left)
{
    static const struct {
        ExprOp op;
        bool swap;
        const char *symbol;
    } rows[] = {
        [AST_ADD] = {EXPR_ADD, false, "+"}, [AST_SUB] = {EXPR_SUB, false, "-"},
        [AST_MUL] = {EXPR_MUL, false, "*"}, [AST_DIV] = {EXPR_DIV, false, "/"},
        [AST_POW] = {EXPR_POW, false, "^"}, [AST_LT] = {EXPR_LT, false, "<"},
        [AST_LE] = {EXPR_LE, false, "<="},  [AST_GT] = {EXPR_LT, true, ">"},
        [AST_GE] = {EXPR_LE, true, ">="},   [AST_EQ] = {EXPR_EQ, false, "=="},
        [AST_NE] = {EXPR_NE, false, "!="},  [AST_AND] = {EXPR_AND, false, "and"},
        [AST_OR] = {EXPR_OR, false, "or"},
    };
    const AstNode *left_node = node->kids[0], *right_node = node->kids[1];
    Expr right = rxn__sema_expression(sema, scope, right_node);
    if (node->op >= COUNT_OF(rows))
        return 0;
    Text side;
    rxn__text_init(&side, sema->arena);
    rxn__text_printf(&side, "a side of '%s'", rows[node->op].symbol);
    bool good;
    if (node->op == AST_AND || node->op == AST_OR) {
        good = is_condition(sema, scope, left, left_node, side.data);
        good &= is_condition(sema, scope, right, right_node, side.data);
    } else {
        good = rxn__sema_is_number(sema, scope, left, left_node, side.data);
        good &= rxn__sema_is_number(sema, scope, right, right_node, side.data);
    }
    if (!good)
        return 0;
    double divisor;
    if (node->op == AST_DIV && rxn__sema_folded(sema, right, &divisor) && divisor == 0) {
        rxn__sema_error(sema, scope->module, right_node->span, "division by zero");
        return 0;
    }
    return rows[node->op].swap ? expr_binary(sema->network, rows[node->op].op, right, left)
                               : expr_binary(sema->network, rows[node->op].op, left, right);
}

static Expr
binary_chain(Sema *sema, const Scope *scope, const AstNode *node)
{
    u32 length = 0;
    const AstNode *leftmost = node;
    for (; leftmost && leftmost->kind == AST_BINARY; leftmost = leftmost->kids[0])
        length++;
    const AstNode **chain = NEW_ARRAY(sema->arena, const AstNode *, length);
    u32 at = length;
    for (const AstNode *link = node; at > 0; link = link->kids[0])
        chain[--at] = link;
    Expr value = rxn__sema_expression(sema, scope, leftmost);
    for (u32 i = 0; i < length; i++)
        value = binary(sema, scope, chain[i], value);
    return value;
}

static Expr
unary(Sema *sema, const Scope *scope, const AstNode *node)
{
    Expr operand = rxn__sema_expression(sema, scope, node->kids[0]);
    if (node->op == AST_LOGICAL_NOT)
        return is_condition(sema, scope, operand, node->kids[0], "what 'not' turns round")
                   ? expr_unary(sema->network, EXPR_NOT, operand)
                   : 0;
    return rxn__sema_is_number(sema, scope, operand, node->kids[0], "what '-' negates")
               ? expr_unary(sema->network, EXPR_NEG, operand)
               : 0;
}

static Expr
selection(Sema *sema, const Scope *scope, const AstNode *node)
{
    Expr condition = rxn__sema_expression(sema, scope, node->kids[0]);
    bool good = is_condition(sema, scope, condition, node->kids[0], "what follows 'if'");
    Expr yes = rxn__sema_expression(sema, scope, node->kids[1]);
    Expr no = rxn__sema_expression(sema, scope, node->kids[2]);
    if (yes && no &&
        expr_node(sema->network, yes)->is_bool != expr_node(sema->network, no)->is_bool) {
        rxn__sema_error(sema, scope->module, node->span,
                        "one branch of this 'if' is a number, and the other a condition");
        rxn__sema_note(sema, (Span){0}, "make both of them numbers, or both conditions");
        return 0;
    }
    return good ? rxn__expr(sema->network, EXPR_SELECT, (Expr[]){condition, yes, no}) : 0;
}

bool
rxn__sema_loop_name(Sema *sema, const Scope *scope, const AstNode *node)
{
    const char *name = rxn__sema_show(sema, node->name);
    if (node->name == sema->time_name) {
        rxn__sema_error(sema, scope->module, node->name_span, "'t' is the time: it cannot count");
        rxn__sema_note(sema, (Span){0}, "choose another name");
        return false;
    }
    for (const Local *local = scope->locals; local; local = local->outer)
        if (local->name == node->name) {
            rxn__sema_error(sema, scope->module, node->name_span, "'%s' is already %s", name,
                            local->is_argument ? "a parameter of this function"
                                               : "the variable of an enclosing loop");
            rxn__sema_note(sema, local->span, "it is declared here");
            return false;
        }
    const Symbol *other =
        rxn__symbols_find(&sema->symbols, rxn__sema_full_name(sema, scope->module, node->name));
    if (other && other->kind != SYMBOL_UNKNOWN) {
        rxn__sema_error(sema, scope->module, node->name_span, "'%s' is already %s", name,
                        rxn__sema_kind_text(other->kind));
        rxn__sema_note(sema, other->node->name_span, "it is declared here");
        return false;
    }
    return true;
}

/* `sum` and `prod` stay rolled whatever their extent. Over an empty range they are 0 and 1. */
static Expr
over_range(Sema *sema, const Scope *scope, const AstNode *node)
{
    bool is_sum = node->kind == AST_SUM;
    i64 low = 0, high = 0;
    bool good = rxn__sema_range(sema, scope, node->kids[0], &low, &high);
    if (!rxn__sema_loop_name(sema, scope, node))
        return 0;
    /* The body is looked at even where there is nothing to add up, for its errors. */
    u32 variable =
        rxn__network_add_variable(sema->network, node->name, low, high < low ? low : high);
    Local local = {
        .outer = scope->locals,
        .name = node->name,
        .span = node->name_span,
        .value = good ? rxn__expr_object(sema->network, EXPR_VARIABLE, variable, 0, NULL) : 0,
    };
    bool is_empty = good && high < low;
    if (is_empty)
        local.value = 0;
    Scope inner = *scope;
    inner.locals = &local;
    inner.allowed |= ALLOW_VARIABLES;
    if (good && !is_empty && rxn__sema_reads(scope, node->kids[1]))
        return rxn__sema_unrolled(sema, &inner, &local, node, low, high);
    Expr body = rxn__sema_expression(sema, &inner, node->kids[1]);
    if (is_empty)
        return rxn__expr_number(sema->network, is_sum ? 0 : 1);
    if (!rxn__sema_is_number(sema, scope, body, node->kids[1],
                             is_sum ? "what 'sum' adds up" : "what 'prod' multiplies") ||
        !good)
        return 0;
    return rxn__expr_object(sema->network, is_sum ? EXPR_SUM : EXPR_PROD, variable, 1,
                            (Expr[]){body});
}

static Expr
number(Sema *sema, const Scope *scope, const AstNode *node)
{
    if (!isfinite(node->number)) {
        rxn__sema_error(sema, scope->module, node->span, "this number is too large");
        rxn__sema_note(sema, (Span){0}, "the largest is about 1.8e308");
        return 0;
    }
    return rxn__expr_number(sema->network, node->number);
}

static Expr
expression(Sema *sema, const Scope *scope, const AstNode *node)
{
    switch (node->kind) {
    case AST_NUMBER: return number(sema, scope, node);
    case AST_BOOLEAN: return rxn__expr_boolean(sema->network, node->number != 0);
    case AST_REFERENCE: return rxn__sema_reference(sema, scope, node);
    case AST_UNARY: return unary(sema, scope, node);
    case AST_BINARY: return binary_chain(sema, scope, node);
    case AST_IF: return selection(sema, scope, node);
    case AST_CALL: return rxn__sema_call(sema, scope, node);
    case AST_SUM:
    case AST_PROD: return over_range(sema, scope, node);
    case AST_NAMED:
        rxn__sema_error(sema, scope->module, node->span, "arguments have no names here");
        rxn__sema_note(sema, (Span){0}, "to compare, write '=='");
        return 0;
    case AST_EACH:
        rxn__sema_error(sema, scope->module, node->span,
                        "'%s in' can only stand in 'sum', 'prod', 'cross_entropy' and 'accuracy'",
                        rxn__sema_show(sema, node->name));
        return 0;
    case AST_RANGE:
        rxn__sema_error(sema, scope->module, node->span, "a range is not a number");
        return 0;
    case AST_STRING:
        rxn__sema_error(sema, scope->module, node->span, "a text is not a number");
        return 0;
    }
    return 0;
}

Expr
rxn__sema_expression(Sema *sema, const Scope *scope, const AstNode *node)
{
    if (!node)
        return 0;
    if (sema->depth >= SEMA_MAX_DEPTH) {
        if (!sema->too_deep) {
            rxn__sema_error(sema, scope->module, node->span,
                            "expressions, lets and functions nest more than %d deep here",
                            SEMA_MAX_DEPTH);
            rxn__sema_note(sema, (Span){0}, "declare a let before what uses it, or nest less");
        }
        sema->too_deep = true;
        return 0;
    }
    sema->depth++;
    Expr value = expression(sema, scope, node);
    sema->depth--;
    return value;
}

bool
rxn__sema_check_count(Sema *sema, const Module *module, Expr value, Span span, const char *what)
{
    double number;
    if (value == 0)
        return false;
    if (!rxn__sema_folded(sema, value, &number) ||
        (number >= 0 && number == floor(number) && isfinite(number)))
        return true;
    Text text;
    rxn__text_init(&text, sema->arena);
    rxn__text_f64(&text, number);
    rxn__sema_error(sema, module, span, "%s must be a whole number >= 0, and this is %s", what,
                    text.data);
    return false;
}
