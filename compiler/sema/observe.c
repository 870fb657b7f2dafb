/* observe: what a run reports, and `simulate`: when. An array that is observed whole is a family of
 * columns; a plain reference keeps its name (`H[3]`), anything else needs one.
 */
#include "compiler/sema/private.h"

/* Enters the name of a column; false (reported) where there is one of that name. */
static bool
take_name(Sema *sema, Module *module, const AstNode *node, Name name, Span span)
{
    const Symbol *taken = rxn__symbols_find(&sema->observables, name);
    if (taken) {
        rxn__sema_error(sema, module, span, "'%s' is observed twice", rxn__sema_show(sema, name));
        rxn__sema_note(sema, taken->node->span, "the first is here");
        return false;
    }
    Symbol *symbol = NEW(sema->arena, Symbol);
    *symbol = (Symbol){.name = name, .label = name, .node = node, .module = module};
    rxn__symbols_add(sema, &sema->observables, symbol);
    return true;
}

/* `observe H, H[3]` would have two columns called H[3]. "H[" stands for some member, "H[]" for all. */
static bool
take_members(Sema *sema, Module *module, const AstNode *node, bool is_whole)
{
    const AstNode *value = node->kids[0];
    if (value->kind != AST_REFERENCE || (value->kid_count == 0 && !is_whole))
        return true;
    const char *const suffixes[] = {"[", "[]"};
    Name names[2];
    for (u32 i = 0; i < 2; i++) {
        Text text;
        rxn__text_init(&text, sema->arena);
        rxn__text_append(&text, value->name->text, value->name->length);
        rxn__text_printf(&text, "%s", suffixes[i]);
        names[i] = rxn__name(sema->names, text.data, text.length);
    }
    const Symbol *other = rxn__symbols_find(&sema->observables, names[!is_whole]);
    if (other) {
        rxn__sema_error(sema, module, node->span, "a member of '%s' is observed twice",
                        rxn__sema_show(sema, value->name));
        rxn__sema_note(sema, other->node->span, "here it is observed as well");
        return false;
    }
    if (rxn__symbols_find(&sema->observables, names[is_whole]))
        return true; /* another member */
    Symbol *symbol = NEW(sema->arena, Symbol);
    *symbol = (Symbol){.name = names[is_whole], .node = node, .module = module};
    rxn__symbols_add(sema, &sema->observables, symbol);
    return true;
}

static void
add_observable(Sema *sema, Module *module, Observable observable, Span span)
{
    Network *network = sema->network;
    u32 members = rxn__shape_members(&observable.shape);
    if (members > RXN_MAX_FLAT - network->column_count) {
        rxn__sema_error(sema, module, span, "more than %u numbers are observed", RXN_MAX_FLAT);
        return;
    }
    observable.flat = network->column_count;
    network->column_count += members;
    vec_push(network->arena, &network->observables, observable);
}

/* One member of an array as an expression of variables of its own. */
static Expr
member_expression(Sema *sema, ExprOp op, u32 object, const Shape *shape, u32 *ret_variables)
{
    static const char *const names[RXN_MAX_RANK] = {"i", "j", "k", "l"};
    Expr indices[RXN_MAX_RANK] = {0};
    for (u32 i = 0; i < shape->rank; i++) {
        ret_variables[i] = rxn__network_add_variable(
            sema->network, rxn__name_z(sema->names, names[i]), 0, (i64)shape->extent[i] - 1);
        indices[i] = rxn__expr_object(sema->network, EXPR_VARIABLE, ret_variables[i], 0, NULL);
    }
    return rxn__expr_object(sema->network, op, object, shape->rank, indices);
}

/* The array that a bare name stands for, or NULL. */
static Symbol *
whole_array(Sema *sema, Module *module, const AstNode *value)
{
    if (value->kind != AST_REFERENCE || value->kid_count > 0)
        return NULL;
    Symbol *symbol = rxn__sema_lookup(sema, module, value->name);
    if (!symbol || !rxn__sema_resolve(sema, symbol, value->span) || !symbol->is_object)
        return NULL;
    return rxn__sema_shape_of(sema, symbol)->rank > 0 ? symbol : NULL;
}

/* "H[3]" as the user wrote it, with the indices as numbers. */
static Name
reference_name(Sema *sema, Module *module, const AstNode *value)
{
    if (value->kid_count == 0)
        return value->name;
    Text text;
    rxn__text_init(&text, sema->arena);
    rxn__text_append(&text, value->name->text, value->name->length);
    Scope scope = {.module = module};
    for (u32 i = 0; i < value->kid_count; i++) {
        i64 index = 0;
        rxn__sema_whole(sema, &scope, value->kids[i], "an index", &index);
        rxn__text_printf(&text, "%s%lld", i == 0 ? "[" : ",", (long long)index);
    }
    rxn__text_append(&text, "]", 1);
    return rxn__name(sema->names, text.data, text.length);
}

static void
observe_one(Sema *sema, Module *module, const AstNode *node)
{
    const AstNode *value = node->kid_count > 0 ? node->kids[0] : NULL;
    if (!value || value->kind == AST_POISON)
        return;
    bool plain = value->kind == AST_REFERENCE;
    if (!node->name && !plain)
        return; /* reported by the grammar */
    if (node->name && !(plain && value->name == node->name)) {
        const Symbol *other = rxn__symbols_find(&sema->symbols, node->name);
        const char *name = rxn__sema_show(sema, node->name);
        if (node->name == sema->time_name || (other && other->kind != SYMBOL_UNKNOWN)) {
            rxn__sema_error(sema, module, node->name_span, "'%s' is already %s", name,
                            other ? rxn__sema_kind_text(other->kind) : "the time");
            rxn__sema_note(sema, other ? other->node->name_span : (Span){0},
                           other ? "declared here" : "choose another name");
            return;
        }
    }
    Observable observable = {.span = node->span};
    Symbol *array = whole_array(sema, module, value);
    if (array) {
        ExprOp op = array->kind == SYMBOL_SPECIES ? EXPR_SPECIES
                    : array->kind == SYMBOL_PARAM ? EXPR_PARAM
                                                  : EXPR_INPUT;
        observable.shape = *rxn__sema_shape_of(sema, array);
        observable.value =
            member_expression(sema, op, array->object, &observable.shape, observable.variables);
    } else {
        Scope scope = {.module = module, .allowed = ALLOW_ALL, .what = "what is observed"};
        observable.value = rxn__sema_number(sema, &scope, value);
        if (observable.value == 0)
            return;
    }
    observable.name = node->name ? node->name : reference_name(sema, module, value);
    Span span = node->name ? node->name_span : value->span;
    if (take_name(sema, module, node, observable.name, span) &&
        (node->name || take_members(sema, module, node, array != NULL)))
        add_observable(sema, module, observable, node->span);
}

void
rxn__sema_observe(Sema *sema, Module *module, const AstNode *node)
{
    for (u32 i = 0; i < node->kid_count; i++)
        if (node->kids[i] && node->kids[i]->kind == AST_OBSERVABLE)
            observe_one(sema, module, node->kids[i]);
}

void
rxn__sema_observe_all(Sema *sema)
{
    Network *network = sema->network;
    for (u32 i = 0; i < network->species.count; i++) {
        Observable observable = {.name = network->species.items[i].name,
                                 .span = network->species.items[i].span,
                                 .shape = network->species.items[i].shape};
        observable.value =
            member_expression(sema, EXPR_SPECIES, i, &observable.shape, observable.variables);
        add_observable(sema, sema->modules.items[0], observable, observable.span);
    }
}

/* ---- simulate ----------------------------------------------------------------------------- */

static bool
read_positive(Sema *sema, const Scope *scope, const AstNode *node, const char *what,
              double *ret_value)
{
    double value;
    if (!node || !rxn__sema_constant(sema, scope, node, what, &value))
        return false;
    if (!(value > 0)) {
        rxn__sema_error(sema, scope->module, node->span, "%s must be positive", what);
        return false;
    }
    *ret_value = value;
    return true;
}

void
rxn__sema_simulate(Sema *sema, Module *module, const AstNode *node)
{
    Network *network = sema->network;
    Scope scope = {.module = module};
    const AstNode *until = node->kid_count > 0 ? node->kids[0] : NULL;
    const AstNode *every = node->kid_count > 1 ? node->kids[1] : NULL;
    bool has_until =
        read_positive(sema, &scope, until, "the end of a run", &network->simulate_until);
    bool has_every =
        read_positive(sema, &scope, every, "the time between samples", &network->simulate_every);
    if (has_until && has_every && network->simulate_every > network->simulate_until)
        rxn__sema_error(sema, module, every->span,
                        "the time between samples is longer than the run");
    double last = -1;
    for (u32 i = 2; i < node->kid_count; i++) {
        double time;
        const AstNode *at = node->kids[i];
        if (!at || !rxn__sema_constant(sema, &scope, at, "a sample time", &time))
            continue;
        if (time < 0) {
            rxn__sema_error(sema, module, at->span, "a sample time cannot be negative");
        } else if (time <= last) {
            rxn__sema_error(sema, module, at->span, "sample times must increase");
        } else if (has_until && time > network->simulate_until) {
            rxn__sema_error(sema, module, at->span, "this sample time is after the end of the run");
            rxn__sema_note(sema, until->span, "which is here");
        } else {
            vec_push(network->arena, &network->simulate_at, time);
        }
        if (time > last)
            last = time;
    }
    if (!until && last == 0)
        rxn__sema_error(sema, module, node->kids[node->kid_count - 1]->span,
                        "the last sample time is the end of a run, which must be positive");
}
