/* fit_experiment: the conditions of one experiment of a fit: initial values of species, values of parameters and
 * inputs, events beside the model's own; and where its data is.
 */
#include <string.h>

#include "compiler/sema/fit_private.h"

/* ---- Data -------------------------------------------------------------------------------------- */

const char *
rxn__fit_path(Sema *sema, const Module *module, const char *path)
{
    const char *from = sema->sources->files.items[module->source->file].path;
    const char *slash = strrchr(from, '/');
    Text text;
    rxn__text_init(&text, sema->network->arena);
    if (slash && path[0] != '/')
        rxn__text_append(&text, from, (size_t)(slash - from) + 1);
    rxn__text_printf(&text, "%s", path);
    return text.data;
}

static void
read_sample(Sema *sema, Module *module, const AstNode *named, Fit *fit)
{
    const AstNode *path = named->kid_count > 0 ? named->kids[0] : NULL;
    const char *shown = rxn__sema_show(sema, named->name);
    if (!path || path->kind == AST_POISON)
        return;
    if (path->kind != AST_STRING) {
        rxn__sema_error(sema, module, path->span, "the data of '%s' is the name of a file", shown);
        rxn__sema_note(sema, (Span){0}, "in quotes, as in 'data %s = \"images.npy\"'", shown);
        return;
    }
    const Scope scope = {.module = module};
    const Symbol *symbol = rxn__sema_lookup(sema, module, named->name);
    if (!symbol) {
        rxn__sema_unknown_name(sema, &scope, named->name, named->name_span, WANT_VALUE);
        return;
    }
    if (symbol->state == SYMBOL_POISONED)
        return;
    if (symbol->kind != SYMBOL_INPUT || !symbol->is_object) {
        rxn__sema_error(sema, module, named->name_span,
                        "'%s' is %s, and the rows of a file are values of an input", shown,
                        symbol->kind == SYMBOL_INPUT ? "bound to a value"
                                                     : rxn__sema_kind_text(symbol->kind));
        rxn__sema_note(sema, (Span){0}, "a table has no name here, as in 'data \"measured.csv\"'");
        return;
    }
    for (u32 i = 0; i < fit->samples.count; i++)
        if (fit->samples.items[i].input == symbol->object) {
            rxn__sema_error(sema, module, named->span, "'%s' is given twice", shown);
            rxn__sema_note(sema, fit->samples.items[i].span, "the first is here");
            return;
        }
    FitSample sample = {.input = symbol->object,
                        .path = rxn__fit_path(sema, module, path->name->text),
                        .span = named->span};
    vec_push(sema->network->arena, &fit->samples, sample);
}

void
rxn__fit_data(Sema *sema, Module *module, const AstNode *entry, Fit *fit, const AstNode **ret_table)
{
    *ret_table = NULL;
    for (u32 i = 0; i < entry->kid_count; i++) {
        const AstNode *value = entry->kids[i];
        if (!value || value->kind == AST_POISON)
            continue;
        if (value->kind == AST_NAMED) {
            read_sample(sema, module, value, fit);
        } else if (value->kind != AST_STRING) {
            rxn__sema_error(sema, module, value->span, "'data' takes the name of a file");
            rxn__sema_note(sema, (Span){0}, "in quotes, as in 'data \"table.csv\"'");
        } else if (entry->kid_count > 1) {
            rxn__sema_error(sema, module, entry->span,
                            "'data' takes one table, or arrays as the values of inputs");
            rxn__sema_note(sema, (Span){0},
                           "tables of different experiments belong in 'experiment' blocks; arrays "
                           "are written 'data x = \"images.npy\", label = \"labels.npy\"'");
            return;
        } else {
            *ret_table = value;
        }
    }
}

/* ---- Values ------------------------------------------------------------------------------------ */

/* What an experiment has set: flat numbers of one kind. */
typedef struct Setting {
    SymbolKind kind;
    u32 first, count;
    Span span;
} Setting;

typedef struct Conditions {
    Sema *sema;
    Module *module;
    Fit *fit;
    bool keep;
    VEC(Setting) settings;
} Conditions;

/* The flat members that the reference means; its indices as numbers. False: reported. */
static bool
members_of(Conditions *conditions, const AstNode *reference, const Symbol *symbol, u32 first,
           u32 *ret_first, u32 *ret_count, i64 *ret_indices)
{
    Sema *sema = conditions->sema;
    const Scope scope = {.module = conditions->module};
    const Shape *shape = rxn__sema_shape_of(sema, symbol);
    *ret_first = first;
    *ret_count = rxn__shape_members(shape);
    if (reference->kid_count == 0)
        return true;
    Expr indices[RXN_MAX_RANK];
    if (!rxn__sema_indices(sema, &scope, reference, symbol, shape, indices))
        return false;
    for (u32 i = 0; i < shape->rank; i++) {
        Affine affine;
        rxn__expr_affine(sema->network, indices[i], &affine);
        ret_indices[i] = affine.constant;
    }
    *ret_first = rxn__flat_member(shape, first, ret_indices);
    *ret_count = 1;
    return true;
}

static bool
is_set_once(Conditions *conditions, const AstNode *target, Setting setting)
{
    for (u32 i = 0; i < conditions->settings.count; i++) {
        const Setting *other = &conditions->settings.items[i];
        if (other->kind != setting.kind || other->first >= setting.first + setting.count ||
            setting.first >= other->first + other->count)
            continue;
        rxn__sema_error(conditions->sema, conditions->module, setting.span,
                        "this experiment sets '%s' twice",
                        rxn__sema_show(conditions->sema, target->name));
        rxn__sema_note(conditions->sema, other->span, "the first is here");
        return false;
    }
    vec_push(conditions->sema->arena, &conditions->settings, setting);
    return true;
}

/* The initial value of the whole array, or of the member with these indices. */
static void
set_initial(Conditions *conditions, const Symbol *symbol, const AstNode *target, const i64 *indices,
            Expr value)
{
    Network *network = conditions->sema->network;
    Species *species = &network->species.items[symbol->object];
    if (target->kid_count == 0) {
        species->initial = value;
        return;
    }
    Expr here = 0;
    for (u32 i = 0; i < species->shape.rank; i++) {
        Expr variable = rxn__expr_object(network, EXPR_VARIABLE, species->variables[i], 0, NULL);
        Expr is =
            expr_binary(network, EXPR_EQ, variable, rxn__expr_number(network, (double)indices[i]));
        here = here ? expr_binary(network, EXPR_AND, here, is) : is;
    }
    species->initial = rxn__expr(network, EXPR_SELECT, (Expr[]){here, value, species->initial});
}

static void
set_species(Conditions *conditions, const AstNode *node, const Symbol *symbol)
{
    Sema *sema = conditions->sema;
    const AstNode *target = node->kids[0];
    Scope scope = {.module = conditions->module,
                   .allowed = ALLOW_PARAMS | ALLOW_INPUTS,
                   .what = "the initial value of a species"};
    u32 first, count;
    i64 indices[RXN_MAX_RANK];
    Expr value = rxn__sema_number(sema, &scope, node->kids[1]);
    if (!rxn__sema_check_count(sema, conditions->module, value, node->kids[1]->span, scope.what) ||
        !members_of(conditions, target, symbol, sema->network->species.items[symbol->object].flat,
                    &first, &count, indices) ||
        !is_set_once(conditions, target, (Setting){SYMBOL_SPECIES, first, count, node->span}))
        return;
    if (conditions->keep)
        set_initial(conditions, symbol, target, indices, value);
}

static void
set_value(Conditions *conditions, const AstNode *node, const Symbol *symbol)
{
    Sema *sema = conditions->sema;
    const AstNode *target = node->kids[0];
    const bool is_input = symbol->kind == SYMBOL_INPUT;
    const char *name = rxn__sema_show(sema, target->name);
    if (!symbol->is_object) {
        rxn__sema_error(sema, conditions->module, target->span,
                        "'%s' has a value from 'use', and an experiment cannot change it", name);
        return;
    }
    const Param *param = is_input ? NULL : &sema->network->params.items[symbol->object];
    if (param && param->fit) {
        rxn__sema_error(sema, conditions->module, target->span,
                        "'%s' is trained, and has one value in all experiments", name);
        rxn__sema_note(sema, param->span, "it is marked 'fit' here");
        return;
    }
    Scope scope = {.module = conditions->module};
    double value;
    u32 first, count;
    i64 indices[RXN_MAX_RANK];
    if (!rxn__sema_constant(sema, &scope, node->kids[1], "a value in an experiment", &value) ||
        !members_of(conditions, target, symbol,
                    is_input ? sema->network->inputs.items[symbol->object].flat : param->flat,
                    &first, &count, indices))
        return;
    if (param && param->has_bounds && !(value >= param->low && value <= param->high)) {
        rxn__sema_error(sema, conditions->module, node->kids[1]->span,
                        "this value of '%s' lies outside of its bounds", name);
        rxn__sema_note(sema, param->span, "it is declared here");
        return;
    }
    if (!is_set_once(conditions, target, (Setting){symbol->kind, first, count, node->span}))
        return;
    FitSetting setting = {
        .is_input = is_input, .first = first, .count = count, .value = value, .span = node->span};
    if (conditions->keep)
        vec_push(sema->network->arena, &conditions->fit->settings, setting);
}

static void
assign(Conditions *conditions, const AstNode *node)
{
    Sema *sema = conditions->sema;
    const AstNode *target = node->kid_count == 2 ? node->kids[0] : NULL;
    if (!target || target->kind != AST_REFERENCE || !node->kids[1])
        return;
    const Scope scope = {.module = conditions->module};
    const char *name = rxn__sema_show(sema, target->name);
    Symbol *symbol = rxn__sema_lookup(sema, conditions->module, target->name);
    if (!symbol) {
        rxn__sema_unknown_name(sema, &scope, target->name, target->span, WANT_VALUE);
        return;
    }
    if (symbol->kind == SYMBOL_UNKNOWN || !rxn__sema_resolve(sema, symbol, target->span))
        return;
    switch (symbol->kind) {
    case SYMBOL_SPECIES: set_species(conditions, node, symbol); return;
    case SYMBOL_PARAM:
    case SYMBOL_INPUT: set_value(conditions, node, symbol); return;
    default: break;
    }
    rxn__sema_error(sema, conditions->module, target->span,
                    "'%s' is %s, and an experiment sets species, parameters and inputs", name,
                    rxn__sema_kind_text(symbol->kind));
    if (symbol->kind == SYMBOL_CONST || symbol->kind == SYMBOL_LET)
        rxn__sema_note(sema, (Span){0}, "make it a parameter, as in 'param %s = ...'", name);
}

void
rxn__fit_conditions(Sema *sema, Module *module, const FitScene *scene, Fit *fit, bool keep)
{
    Conditions conditions = {.sema = sema, .module = module, .fit = fit, .keep = keep};
    const Scope scope = {.module = module, .allowed = ALLOW_ALL};
    const u32 events = sema->network->events.count;
    for (u32 i = 0; i < scene->conditions.count; i++) {
        const AstNode *node = scene->conditions.items[i];
        if (node->kind == AST_ASSIGN)
            assign(&conditions, node);
        else if (node->kind == AST_AT || node->kind == AST_EVERY || node->kind == AST_WHEN)
            rxn__sema_event(sema, &scope, node);
    }
    if (!keep)
        sema->network->events.count = events;
}
