/* constants: numbers known at compile time. Consts, sizes of index sets, dimensions, ranges of loops,
 * bounds of parameters: what decides how large things are, so it is checked before anything is made.
 *
 * Whole numbers are computed as doubles, as everything else, and must then be whole and below 2^53:
 * so no overflow passes unseen, and consts and rates follow one arithmetic.
 */
#include <math.h>
#include <string.h>

#include "compiler/sema/private.h"

static const double largest_whole = 9007199254740992.0; /* 2^53: doubles are exact up to it */

typedef struct LoopSearch {
    const Network *network;
    bool found;
} LoopSearch;

static void
note_loop(void *context, Expr expr)
{
    LoopSearch *search = context;
    ExprOp op = expr_node(search->network, expr)->op;
    search->found |= op == EXPR_SUM || op == EXPR_PROD;
}

bool
rxn__sema_folded(const Sema *sema, Expr value, double *ret_number)
{
    if (value == 0 || expr_node(sema->network, value)->op != EXPR_NUMBER)
        return false;
    *ret_number = expr_node(sema->network, value)->number;
    return true;
}

bool
rxn__sema_constant(Sema *sema, const Scope *scope, const AstNode *node, const char *what,
                   double *ret_value)
{
    const Module *module = scope->module;
    /* Locals stay known, so that a message can say why a loop variable cannot stand here. */
    Scope inner = {.module = scope->module,
                   .locals = scope->locals,
                   .allowed = sema->is_unrolling ? ALLOW_VARIABLES : 0,
                   .what = what};
    Expr value = rxn__sema_number(sema, &inner, node);
    if (value == 0)
        return false;
    if (!rxn__sema_folded(sema, value, ret_value)) {
        LoopSearch search = {.network = sema->network};
        rxn__expr_walk(sema->network, value, sema->arena, note_loop, &search);
        if (search.found) { /* could take any time to add up */
            rxn__sema_error(sema, module, node->span,
                            "%s cannot be a sum or a product over a range", what);
            return false;
        }
        *ret_value = rxn__expr_evaluate(sema->network, value, &(ExprValues){0});
    }
    if (!isfinite(*ret_value)) {
        rxn__sema_error(sema, module, node->span, "%s must be a number, and this is %s", what,
                        isnan(*ret_value) ? "undefined" : "infinite");
        return false;
    }
    return true;
}

bool
rxn__sema_whole(Sema *sema, const Scope *scope, const AstNode *node, const char *what,
                i64 *ret_value)
{
    const Module *module = scope->module;
    double value;
    if (!rxn__sema_constant(sema, scope, node, what, &value))
        return false;
    if (value != floor(value)) {
        Text text;
        rxn__text_init(&text, sema->arena);
        rxn__text_f64(&text, value);
        rxn__sema_error(sema, module, node->span, "%s must be a whole number, and this is %s", what,
                        text.data);
        if (node->kind == AST_BINARY && node->op == AST_DIV)
            rxn__sema_note(sema, (Span){0}, "round it, as in 'floor(%s)'",
                           rxn__sema_show_source(sema, node));
        else if (strcmp(what, "a const") == 0)
            rxn__sema_note(sema, (Span){0}, "other numbers are named with 'let'");
        return false;
    }
    if (fabs(value) > largest_whole) {
        rxn__sema_error(sema, module, node->span, "this number is too large to be %s", what);
        rxn__sema_note(sema, (Span){0}, "whole numbers are exact up to 2^53 = 9007199254740992");
        return false;
    }
    *ret_value = (i64)value;
    return true;
}

static bool
index_set_range(Sema *sema, const Scope *scope, const AstNode *node, i64 *ret_low, i64 *ret_high)
{
    Symbol *symbol = rxn__sema_lookup(sema, scope->module, node->name);
    if (!symbol) {
        rxn__sema_unknown_name(sema, scope, node->name, node->span, WANT_INDEX_SET);
        return false;
    }
    if (!rxn__sema_resolve(sema, symbol, node->span))
        return false;
    if (symbol->kind != SYMBOL_INDEX) {
        const char *shown = rxn__sema_show(sema, node->name);
        rxn__sema_error(sema, scope->module, node->span, "'%s' is %s, not an index set", shown,
                        rxn__sema_kind_text(symbol->kind));
        if (symbol->kind == SYMBOL_CONST)
            rxn__sema_note(sema, (Span){0}, "write a range, as in '0 .. %s-1'", shown);
        return false;
    }
    *ret_low = 0;
    *ret_high = symbol->whole - 1;
    return true;
}

bool
rxn__sema_range(Sema *sema, const Scope *scope, const AstNode *range, i64 *ret_low, i64 *ret_high)
{
    if (!range || range->kind == AST_POISON)
        return false;
    if (range->kind == AST_REFERENCE && range->kid_count == 0)
        return index_set_range(sema, scope, range, ret_low, ret_high);
    if (range->kind != AST_RANGE)
        return false; /* reported by the grammar */
    i64 *rets[2] = {ret_low, ret_high};
    bool good = range->kid_count == 2;
    for (u32 i = 0; i < range->kid_count && i < 2; i++)
        good &= rxn__sema_whole(sema, scope, range->kids[i], "an end of a range", rets[i]);
    if (!good)
        return false;
    if (*ret_high - *ret_low >= (i64)RXN_MAX_FLAT) {
        rxn__sema_error(sema, scope->module, range->span,
                        "this range has %lld members, and at most %u are possible",
                        (long long)(*ret_high - *ret_low + 1), RXN_MAX_FLAT);
        return false;
    }
    return true;
}

u32
rxn__shape_members(const Shape *shape)
{
    u64 members = 1;
    for (u32 i = 0; i < shape->rank; i++) {
        members *= shape->extent[i];
        if (members > RXN_MAX_FLAT)
            return RXN_MAX_FLAT + 1;
    }
    return (u32)members;
}

/* One dimension: an index set, or a whole number. */
static bool
dimension(Sema *sema, Module *module, const AstNode *node, u32 *ret_extent)
{
    if (!node || node->kind == AST_POISON)
        return false;
    i64 size;
    Scope scope = {.module = module};
    if (node->kind == AST_REFERENCE && node->kid_count == 0) {
        Symbol *symbol = rxn__sema_lookup(sema, module, node->name);
        if (!symbol) {
            rxn__sema_unknown_name(sema, &scope, node->name, node->span, WANT_INDEX_SET);
            return false;
        }
        if (symbol->kind == SYMBOL_INDEX) {
            if (!rxn__sema_resolve(sema, symbol, node->span))
                return false;
            *ret_extent = (u32)symbol->whole;
            return true;
        }
    }
    if (!rxn__sema_whole(sema, &scope, node, "the size of an array", &size))
        return false;
    if (size < 1 || size > (i64)RXN_MAX_FLAT) {
        rxn__sema_error(sema, module, node->span, "an array has 1 to %u members, not %lld",
                        RXN_MAX_FLAT, (long long)size);
        return false;
    }
    *ret_extent = (u32)size;
    return true;
}

bool
rxn__sema_shape(Sema *sema, Module *module, const AstNode *declaration, u32 first_dimension,
                Shape *ret_shape)
{
    *ret_shape = (Shape){0};
    u32 rank =
        declaration->kid_count > first_dimension ? declaration->kid_count - first_dimension : 0;
    if (rank > RXN_MAX_RANK) {
        rxn__sema_error(sema, module, declaration->name_span,
                        "an array has at most %d dimensions, not %u", RXN_MAX_RANK, rank);
        return false;
    }
    bool good = true;
    for (u32 i = 0; i < rank; i++)
        good &=
            dimension(sema, module, declaration->kids[first_dimension + i], &ret_shape->extent[i]);
    ret_shape->rank = rank;
    if (good && rxn__shape_members(ret_shape) > RXN_MAX_FLAT) {
        double members = 1;
        for (u32 i = 0; i < rank; i++)
            members *= ret_shape->extent[i];
        rxn__sema_error(sema, module, declaration->name_span,
                        "'%s' would have %.0f members, and at most %u are possible",
                        rxn__sema_show(sema, declaration->name), members, RXN_MAX_FLAT);
        good = false;
    }
    return good;
}
