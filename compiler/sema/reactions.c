/* reactions: labels, the two sides, and the law.
 *
 * `->` is mass action: the propensity is the rate times, for every species of the left side, the number
 * of ways to choose as many as are consumed. `=>` has exactly the propensity that is written. `<->` is
 * two reactions, the second of which has "_reverse" behind its label.
 *
 * A `bound` says what the expression behind `@` cannot exceed while species stay as they are; with
 * mass action it is multiplied by the same numbers of ways as the rate.
 */
#include <math.h>

#include "compiler/sema/mass_action.h"
#include "compiler/sema/private.h"

/* ---- Labels ------------------------------------------------------------------------------- */

static Name
joined(Sema *sema, Name name, const char *suffix)
{
    Text text;
    rxn__text_init(&text, sema->arena);
    rxn__text_append(&text, name->text, name->length);
    rxn__text_printf(&text, "%s", suffix);
    return rxn__name(sema->names, text.data, text.length);
}

static void
take_label(Sema *sema, Module *module, const AstNode *node, Name label, bool is_reverse)
{
    Name full = rxn__sema_full_name(sema, module, label);
    const Symbol *taken = rxn__symbols_find(&sema->labels, full);
    if (taken) {
        rxn__sema_error(sema, module, node->name_span, "two reactions are called '%s'",
                        rxn__sema_show(sema, label));
        rxn__sema_note(sema, taken->node->name_span, "the first is here");
        if (is_reverse || taken->label != taken->node->name)
            rxn__sema_note(sema, (Span){0},
                           "the way back of '<->' is called as the way forth, with '_reverse' "
                           "behind it");
        return;
    }
    Symbol *symbol = NEW(sema->arena, Symbol);
    *symbol = (Symbol){.name = full, .label = label, .node = node, .module = module};
    rxn__symbols_add(sema, &sema->labels, symbol);
}

static void
collect_labels(Sema *sema, Module *module, const AstNode *block, u32 first)
{
    for (u32 i = first; i < block->kid_count; i++) {
        const AstNode *node = block->kids[i];
        if (!node)
            continue;
        if (node->kind == AST_FOR) {
            collect_labels(sema, module, node, 1);
        } else if (node->kind == AST_REACTION && node->name) {
            take_label(sema, module, node, node->name, false);
            if (node->op == AST_ARROW_BOTH)
                take_label(sema, module, node, joined(sema, node->name, "_reverse"), true);
        } else if (node->kind == AST_USE) {
            Symbol *use =
                rxn__symbols_find(&sema->symbols, rxn__sema_full_name(sema, module, node->name));
            if (use && use->kind == SYMBOL_MODULE && use->node == node && use->inner)
                rxn__sema_collect_labels(sema, use->inner);
        }
    }
}

void
rxn__sema_collect_labels(Sema *sema, Module *module)
{
    collect_labels(sema, module, module->source->tree, 0);
}

/* "r3" for the third reaction of its file, or that with as many '_' as make it unique. */
static Name
default_label(Sema *sema, Module *module)
{
    Text text;
    rxn__text_init(&text, sema->arena);
    rxn__text_printf(&text, "r%u", module->reaction_position);
    for (;;) {
        Name label = rxn__name(sema->names, text.data, text.length);
        if (!rxn__symbols_find(&sema->labels, rxn__sema_full_name(sema, module, label)) &&
            !rxn__symbols_find(&sema->labels,
                               rxn__sema_full_name(sema, module, joined(sema, label, "_reverse"))))
            return label;
        rxn__text_append(&text, "_", 1);
    }
}

/* ---- The two sides ------------------------------------------------------------------------ */

static bool
same_member(const Network *network, const Term *a, const Term *b)
{
    if (a->species != b->species)
        return false;
    for (u32 i = 0; i < network->species.items[a->species].shape.rank; i++)
        if (!rxn__same_index(network, a->index[i], b->index[i]))
            return false;
    return true;
}

static bool
read_term(Sema *sema, const Scope *scope, const AstNode *node, Term *ret_term)
{
    const AstNode *reference = node->kid_count > 0 ? node->kids[0] : NULL;
    if (!reference || reference->kind != AST_REFERENCE)
        return false;
    ret_term->coefficient = (u32)node->number; /* a whole number in range, says the grammar */
    const char *name = rxn__sema_show(sema, reference->name);
    for (const Local *local = scope->locals; local; local = local->outer)
        if (local->name == reference->name) {
            rxn__sema_error(sema, scope->module, reference->span,
                            "'%s' is a loop variable, not a species", name);
            return false;
        }
    Symbol *symbol = rxn__sema_lookup(sema, scope->module, reference->name);
    if (!symbol && reference->name != sema->time_name) {
        rxn__sema_unknown_name(sema, scope, reference->name, reference->span, WANT_SPECIES);
        return false;
    }
    if (!symbol || (symbol->kind != SYMBOL_SPECIES && symbol->kind != SYMBOL_UNKNOWN)) {
        rxn__sema_error(sema, scope->module, reference->span, "'%s' is %s, not a species", name,
                        symbol ? rxn__sema_kind_text(symbol->kind) : "the time");
        if (symbol && (symbol->kind == SYMBOL_PARAM || symbol->kind == SYMBOL_CONST))
            rxn__sema_note(sema, (Span){0},
                           "a side of a reaction names species; rates stand behind '@'");
        return false;
    }
    if (symbol->kind == SYMBOL_UNKNOWN || !rxn__sema_resolve(sema, symbol, reference->span))
        return false;
    ret_term->species = symbol->object;
    ret_term->span = node->span;
    const Shape *shape = rxn__sema_shape_of(sema, symbol);
    return rxn__sema_indices(sema, scope, reference, symbol, shape, ret_term->index);
}

typedef VEC(Term) Terms;

static bool
read_side(Sema *sema, const Scope *scope, const AstNode *side, Terms *terms)
{
    if (!side || side->kind != AST_COMPLEX)
        return false;
    bool good = true;
    for (u32 i = 0; i < side->kid_count; i++) {
        Term term = {0};
        if (!side->kids[i] || !read_term(sema, scope, side->kids[i], &term)) {
            good = false;
            continue;
        }
        u32 same = 0;
        while (same < terms->count && !same_member(sema->network, &terms->items[same], &term))
            same++;
        if (same == SEMA_MAX_TERMS) {
            rxn__sema_error(sema, scope->module, side->span,
                            "a side of a reaction names at most %d different species",
                            SEMA_MAX_TERMS);
            return false;
        } else if (same == terms->count) {
            vec_push(sema->network->arena, terms, term);
        } else if (terms->items[same].coefficient + term.coefficient > SEMA_MAX_COEFFICIENT) {
            rxn__sema_error(sema, scope->module, term.span, "a coefficient is at most %d",
                            SEMA_MAX_COEFFICIENT);
            good = false;
        } else {
            terms->items[same].coefficient += term.coefficient;
            terms->items[same].span = span_join(terms->items[same].span, term.span);
        }
    }
    return good;
}

static bool
changes_nothing(const Network *network, const Terms *left, const Terms *right)
{
    if (left->count != right->count)
        return false;
    for (u32 i = 0; i < left->count; i++) {
        bool found = false;
        for (u32 k = 0; k < right->count && !found; k++)
            found = left->items[i].coefficient == right->items[k].coefficient &&
                    same_member(network, &left->items[i], &right->items[k]);
        if (!found)
            return false;
    }
    return true;
}

/* ---- The law ------------------------------------------------------------------------------ */

/* What stands behind '@'. */
static Expr
read_rate(Sema *sema, const Scope *scope, const AstNode *node, const char *what)
{
    Scope inner = *scope;
    inner.what = what;
    Expr rate = rxn__sema_number(sema, &inner, node);
    double number;
    if (!rxn__sema_folded(sema, rate, &number))
        return rate;
    if (number < 0) {
        rxn__sema_error(sema, scope->module, node->span, "%s cannot be negative", what);
        return 0;
    }
    if (!isfinite(number)) {
        rxn__sema_error(sema, scope->module, node->span, "%s is %s here", what,
                        isnan(number) ? "undefined" : "infinite");
        return 0;
    }
    return rate;
}

static void
add_reaction(Sema *sema, const Scope *scope, const AstNode *node, Name label, const Terms *left,
             const Terms *right, const AstNode *rate_node, const AstNode *bound_node)
{
    Network *network = sema->network;
    bool is_law = node->op == AST_ARROW_LAW;
    Reaction reaction = {.label = rxn__sema_full_name(sema, scope->module, label),
                         .span = node->span,
                         .rate_span = rate_node ? rate_node->span : node->span,
                         .count = 1};
    Expr rate = read_rate(sema, scope, rate_node, is_law ? "a propensity" : "a rate");
    Scope bound_scope = *scope;
    bound_scope.allowed = ALLOW_ALL & ~(u32)ALLOW_TIME;
    Expr bound = bound_node ? read_rate(sema, &bound_scope, bound_node, "a bound") : 0;
    if (!left || !right || rate == 0 || (bound_node && bound == 0))
        return;

    for (u32 i = 0; i < left->count; i++)
        vec_push(network->arena, &reaction.reactants, left->items[i]);
    for (u32 i = 0; i < right->count; i++)
        vec_push(network->arena, &reaction.products, right->items[i]);
    if (is_law) {
        reaction.propensity = rate;
        reaction.bound = bound;
    } else {
        bool may_coincide = false;
        Expr ways =
            rxn__mass_action_ways(sema, scope->module, left->items, left->count, &may_coincide);
        if (ways == 0)
            return;
        ExprUses uses = rxn__expr_uses(network, rate);
        reaction.mass_action = !uses.species && !uses.time && !may_coincide;
        if (reaction.mass_action)
            rate = rxn__sema_open_rate(sema, rate_node, rate);
        reaction.rate = reaction.mass_action ? rate : 0;
        reaction.propensity = expr_binary(network, EXPR_MUL, rate, ways);
        reaction.bound = bound ? expr_binary(network, EXPR_MUL, bound, ways) : 0;
    }
    if (bound_node)
        reaction.bound_span = bound_node->span;

    reaction.variable_count = sema->loop_variables.count;
    u64 members = 1;
    for (u32 i = 0; i < reaction.variable_count; i++) {
        reaction.variables[i] = sema->loop_variables.items[i];
        const Variable *variable = &network->variables.items[reaction.variables[i]];
        members *= (u64)(variable->high - variable->low + 1);
        if (members > RXN_MAX_FLAT)
            break;
    }
    if (members > RXN_MAX_FLAT - network->reaction_count) {
        rxn__sema_error(sema, scope->module, node->span,
                        "with this one there are more than %u reactions", RXN_MAX_FLAT);
        return;
    }
    reaction.count = (u32)members;
    reaction.flat = network->reaction_count;
    network->reaction_count += reaction.count;
    vec_push(network->arena, &network->reactions, reaction);
}

void
rxn__sema_reaction(Sema *sema, const Scope *scope, const AstNode *node)
{
    scope->module->reaction_position++;
    Terms left = {0}, right = {0};
    bool good_left = read_side(sema, scope, node->kids[0], &left);
    bool good_right = read_side(sema, scope, node->kids[1], &right);
    bool good = good_left && good_right;
    const AstNode *rate = node->kids[2], *reverse_rate = node->kids[3];
    const AstNode *bound = node->kids[4], *reverse_bound = node->kids[5];
    /* A coefficient that is wrong has been taken as 1. */
    if (good && sema->diagnostics->error_count == 0 &&
        changes_nothing(sema->network, &left, &right))
        rxn__warning(sema->diagnostics, node->span, "this reaction changes nothing");
    Name label = node->name ? node->name : default_label(sema, scope->module);
    /* The rates are looked at even where a side is wrong. */
    const Terms *known_left = good ? &left : NULL, *known_right = good ? &right : NULL;
    add_reaction(sema, scope, node, label, known_left, known_right, rate, bound);
    if (node->op == AST_ARROW_BOTH)
        add_reaction(sema, scope, node, joined(sema, label, "_reverse"), known_right, known_left,
                     reverse_rate, reverse_bound);
}
