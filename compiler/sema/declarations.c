/* declarations: what the declared names stand for.
 *
 * Species and inputs come first, since whatever is evaluated later may name them. Parameters follow in
 * order of declaration, except that one whose initial value names another comes after that one: so
 * initial values can be computed in the order of the numbers. Lets, consts and index sets are evaluated
 * when first used, or at the end, so that an unused one is checked too.
 */
#include <math.h>
#include <string.h>

#include "compiler/sema/private.h"

static const char *const index_names[RXN_MAX_RANK] = {"i", "j", "k", "l"};

/* Room for the members among all of the kind; false (reported) where they are too many. */
static bool
take_flat(Sema *sema, const Symbol *symbol, const Shape *shape, const char *kind, u32 *total,
          u32 *ret_flat)
{
    u32 members = rxn__shape_members(shape);
    *ret_flat = *total;
    if (members <= RXN_MAX_FLAT - *total) {
        *total += members;
        return true;
    }
    rxn__sema_error(sema, symbol->module, symbol->node->name_span,
                    "with '%s' there are %llu %s, and at most %u are possible",
                    rxn__sema_show(sema, symbol->label), (unsigned long long)*total + members, kind,
                    RXN_MAX_FLAT);
    return false;
}

static void
make_variables(Sema *sema, const Shape *shape, u32 *ret_variables)
{
    for (u32 i = 0; i < shape->rank; i++)
        ret_variables[i] = rxn__network_add_variable(
            sema->network, rxn__name_z(sema->names, index_names[i]), 0, (i64)shape->extent[i] - 1);
}

/* ---- Species and inputs ------------------------------------------------------------------- */

static void
declare_species(Sema *sema, Symbol *symbol)
{
    Network *network = sema->network;
    Species species = {.name = symbol->name, .span = symbol->node->name_span};
    symbol->state = SYMBOL_POISONED;
    if (!rxn__sema_shape(sema, symbol->module, symbol->node, 1, &species.shape) ||
        !take_flat(sema, symbol, &species.shape, "species", &network->species_count, &species.flat))
        return;
    make_variables(sema, &species.shape, species.variables);
    const AstNode *initial = symbol->node->kids[0];
    species.initial_span = initial ? initial->span : symbol->node->name_span;
    symbol->object = network->species.count;
    symbol->is_object = true;
    symbol->state = SYMBOL_READY;
    vec_push(network->arena, &network->species, species);
}

static void
set_species_initial(Sema *sema, const Symbol *symbol)
{
    const AstNode *initial = symbol->node->kids[0];
    Scope scope = {.module = symbol->module,
                   .allowed = ALLOW_PARAMS | ALLOW_INPUTS,
                   .what = "the initial value of a species"};
    Expr value =
        initial ? rxn__sema_number(sema, &scope, initial) : rxn__expr_number(sema->network, 0);
    if (initial)
        rxn__sema_check_count(sema, symbol->module, value, initial->span, scope.what);
    if (symbol->state == SYMBOL_READY)
        sema->network->species.items[symbol->object].initial =
            rxn__sema_open_count(sema, initial, value);
}

static void
declare_input(Sema *sema, Symbol *symbol)
{
    Network *network = sema->network;
    Input input = {.name = symbol->name, .span = symbol->node->name_span};
    symbol->state = SYMBOL_POISONED;
    if (!rxn__sema_shape(sema, symbol->module, symbol->node, 0, &input.shape) ||
        !take_flat(sema, symbol, &input.shape, "inputs", &network->input_count, &input.flat))
        return;
    symbol->object = network->inputs.count;
    symbol->is_object = true;
    symbol->state = SYMBOL_READY;
    vec_push(network->arena, &network->inputs, input);
}

static void
declare_objects(Sema *sema, Module *module)
{
    for (u32 i = 0; i < module->symbols.count; i++) {
        Symbol *symbol = module->symbols.items[i];
        if (symbol->kind == SYMBOL_SPECIES)
            declare_species(sema, symbol);
        else if (symbol->kind == SYMBOL_INPUT && !symbol->binding)
            declare_input(sema, symbol);
        else if (symbol->kind == SYMBOL_MODULE && symbol->inner)
            declare_objects(sema, symbol->inner);
    }
}

void
rxn__sema_declare_objects(Sema *sema)
{
    declare_objects(sema, sema->modules.items[0]);
}

/* ---- Parameters --------------------------------------------------------------------------- */

static void
set_distribution(Sema *sema, const Scope *scope, const AstNode *call, Param *param)
{
    if (!call || call->kind == AST_POISON)
        return;
    bool is_normal = call->kind == AST_CALL && strcmp(call->name->text, "normal") == 0;
    bool is_uniform = call->kind == AST_CALL && strcmp(call->name->text, "uniform") == 0;
    if (!is_normal && !is_uniform) {
        if (call->kind != AST_CALL)
            return; /* reported by the grammar */
        rxn__sema_error(sema, scope->module, call->name_span, "unknown distribution '%s'",
                        rxn__sema_show(sema, call->name));
        rxn__sema_note(sema, (Span){0}, "there are normal(mean, sd) and uniform(low, high)");
        return;
    }
    if (call->kid_count != 2) {
        rxn__sema_error(sema, scope->module, call->span, "'%s' takes 2 arguments",
                        is_normal ? "normal" : "uniform");
        rxn__sema_note(sema, (Span){0}, is_normal ? "normal(mean, sd)" : "uniform(low, high)");
        return;
    }
    param->distribution = is_normal ? DISTRIBUTION_NORMAL : DISTRIBUTION_UNIFORM;
    for (u32 i = 0; i < 2; i++)
        param->distribution_args[i] = rxn__sema_number(sema, scope, call->kids[i]);
    double first, second;
    bool known_first = rxn__sema_folded(sema, param->distribution_args[0], &first);
    bool known_second = rxn__sema_folded(sema, param->distribution_args[1], &second);
    if (is_normal && known_second && !(second > 0))
        rxn__sema_error(sema, scope->module, call->kids[1]->span,
                        "a standard deviation must be positive");
    if (is_uniform && known_first && known_second && !(first < second))
        rxn__sema_error(sema, scope->module, call->span,
                        "the range of 'uniform' is empty: its first end must be the smaller one");
}

static void
set_bounds(Sema *sema, const Scope *scope, const AstNode *node, Param *param)
{
    const AstNode *low = node->kids[1], *high = node->kids[2];
    if (!low || !high)
        return;
    bool good = rxn__sema_constant(sema, scope, low, "a bound of a parameter", &param->low);
    good &= rxn__sema_constant(sema, scope, high, "a bound of a parameter", &param->high);
    if (good && !(param->low < param->high)) {
        rxn__sema_error(sema, scope->module, span_join(low->span, high->span),
                        "these bounds leave nothing: the lower one must come first");
        good = false;
    }
    param->has_bounds = good;
    double initial;
    if (good && rxn__sema_folded(sema, param->initial, &initial) &&
        !(initial >= param->low && initial <= param->high)) {
        rxn__sema_error(sema, scope->module, node->kids[0]->span,
                        "the initial value of '%s' lies outside its bounds",
                        rxn__sema_show(sema, node->name));
        rxn__sema_note(sema, span_join(low->span, high->span), "they are given here");
    }
}

static bool
resolve_param(Sema *sema, Symbol *symbol)
{
    Network *network = sema->network;
    const AstNode *node = symbol->node;
    Scope scope = {.module = symbol->module,
                   .allowed = ALLOW_PARAMS,
                   .what = "the initial value of a parameter"};
    Param param = {
        .name = symbol->name, .span = node->name_span, .fit = (node->op & AST_PARAM_FIT) != 0};
    bool good = rxn__sema_shape(sema, symbol->module, node, 3, &param.shape);
    if (node->op & AST_PARAM_DISTRIBUTED)
        set_distribution(sema, &scope, node->kids[0], &param);
    else if (node->kids[0])
        param.initial = rxn__sema_number(sema, &scope, node->kids[0]);
    set_bounds(sema, &scope, node, &param);
    if (!good || symbol->state != SYMBOL_IN_PROGRESS ||
        !take_flat(sema, symbol, &param.shape, "parameters", &network->param_count, &param.flat))
        return false;
    make_variables(sema, &param.shape, param.variables);
    symbol->object = network->params.count;
    symbol->is_object = true;
    vec_push(network->arena, &network->params, param);
    return true;
}

/* ---- What `use` bound --------------------------------------------------------------------- */

static bool
same_shape(const Shape *a, const Shape *b)
{
    return a->rank == b->rank && memcmp(a->extent, b->extent, a->rank * sizeof a->extent[0]) == 0;
}

/* A whole array bound to another: the name then means that one. */
static bool
bind_array(Sema *sema, Symbol *symbol, Symbol *target)
{
    Shape shape;
    u32 first = symbol->kind == SYMBOL_PARAM ? 3 : 0;
    if (!rxn__sema_resolve(sema, target, symbol->binding->span) ||
        !rxn__sema_shape(sema, symbol->module, symbol->node, first, &shape))
        return false;
    if (!same_shape(&shape, rxn__sema_shape_of(sema, target))) {
        rxn__sema_error(sema, symbol->module->parent, symbol->binding->span,
                        "'%s' does not have the shape of '%s'",
                        rxn__sema_show(sema, symbol->binding->name),
                        rxn__sema_show(sema, symbol->label));
        rxn__sema_note(sema, symbol->node->name_span, "'%s' is declared here",
                       rxn__sema_show(sema, symbol->label));
        return false;
    }
    symbol->object = target->object;
    symbol->is_object = true;
    return true;
}

static bool
resolve_binding(Sema *sema, Symbol *symbol)
{
    const AstNode *value = symbol->binding;
    Module *user = symbol->module->parent;
    if (value->kind == AST_REFERENCE && value->kid_count == 0) {
        Symbol *target = rxn__sema_lookup(sema, user, value->name);
        if (target && target->kind == symbol->kind &&
            rxn__sema_resolve(sema, target, value->span) && target->is_object &&
            rxn__sema_shape_of(sema, target)->rank > 0)
            return bind_array(sema, symbol, target);
    }
    Scope scope = {.module = user, .allowed = ALLOW_ALL, .what = "the value of a parameter"};
    symbol->value = rxn__sema_number(sema, &scope, value);
    if (symbol->value)
        symbol->uses = rxn__expr_uses(sema->network, symbol->value);
    return symbol->value != 0;
}

/* ---- Names on first use ------------------------------------------------------------------- */

static bool
resolve_const(Sema *sema, Symbol *symbol)
{
    Scope scope = {.module = symbol->binding ? symbol->module->parent : symbol->module};
    const AstNode *value = symbol->binding ? symbol->binding : symbol->node->kids[0];
    bool is_index = symbol->kind == SYMBOL_INDEX;
    if (!rxn__sema_whole(sema, &scope, value, is_index ? "the size of an index set" : "a const",
                         &symbol->whole)) {
        return false;
    }
    if (is_index && (symbol->whole < 1 || symbol->whole > (i64)RXN_MAX_FLAT)) {
        rxn__sema_error(sema, scope.module, value->span,
                        "an index set has 1 to %u members, not %lld", RXN_MAX_FLAT,
                        (long long)symbol->whole);
        return false;
    }
    if (is_index)
        vec_push(sema->network->arena, &sema->network->index_sets,
                 ((IndexSet){.name = symbol->name, .size = (u32)symbol->whole}));
    return true;
}

static bool
resolve_let(Sema *sema, Symbol *symbol)
{
    Scope scope = {.module = symbol->module, .allowed = ALLOW_ALL, .what = "a let"};
    symbol->value = rxn__sema_expression(sema, &scope, symbol->node->kids[0]);
    if (symbol->value)
        symbol->uses = rxn__expr_uses(sema->network, symbol->value);
    return symbol->value != 0;
}

static void
report_cycle(Sema *sema, const Symbol *symbol, Span use_span)
{
    enum { LONGEST_CHAIN = 400 };
    Text chain;
    rxn__text_init(&chain, sema->arena);
    bool inside = false, cut = false;
    for (u32 i = 0; i < sema->pending.count; i++) {
        inside |= sema->pending.items[i] == symbol;
        cut |= inside && chain.length >= LONGEST_CHAIN;
        if (inside && !cut)
            rxn__text_printf(&chain, "%s -> ", rxn__sema_show(sema, sema->pending.items[i]->label));
    }
    const char *name = rxn__sema_show(sema, symbol->label);
    rxn__sema_error(sema, symbol->module, symbol->node->name_span, "'%s' depends on itself: %s%s%s",
                    name, chain.data, cut ? "... -> " : "", name);
    if (use_span.begin < symbol->node->span.begin || use_span.end > symbol->node->span.end)
        rxn__sema_note(sema, use_span, "the circle closes here");
}

bool
rxn__sema_resolve(Sema *sema, Symbol *symbol, Span use_span)
{
    switch (symbol->state) {
    case SYMBOL_READY: return true;
    case SYMBOL_POISONED: return false;
    case SYMBOL_IN_PROGRESS:
        if (symbol->kind == SYMBOL_FUNCTION)
            return true; /* being inlined; only a call would recurse */
        report_cycle(sema, symbol, use_span);
        symbol->state = SYMBOL_POISONED;
        return false;
    case SYMBOL_NEW: break;
    }
    if (symbol->kind == SYMBOL_FUNCTION || symbol->kind == SYMBOL_MODULE)
        return true;
    symbol->state = SYMBOL_IN_PROGRESS;
    vec_push(sema->arena, &sema->pending, symbol);
    bool good = false;
    switch (symbol->kind) {
    case SYMBOL_CONST:
    case SYMBOL_INDEX: good = resolve_const(sema, symbol); break;
    case SYMBOL_LET: good = resolve_let(sema, symbol); break;
    case SYMBOL_PARAM:
        good = symbol->binding ? resolve_binding(sema, symbol) : resolve_param(sema, symbol);
        break;
    case SYMBOL_INPUT: good = symbol->binding && resolve_binding(sema, symbol); break;
    default: break; /* species are made ready at once, and what is unknown is poisoned */
    }
    sema->pending.count--;
    if (symbol->state == SYMBOL_IN_PROGRESS) /* else it was found to depend on itself */
        symbol->state = good ? SYMBOL_READY : SYMBOL_POISONED;
    return symbol->state == SYMBOL_READY;
}

static void
resolve_params(Sema *sema, Module *module)
{
    for (u32 i = 0; i < module->symbols.count; i++) {
        Symbol *symbol = module->symbols.items[i];
        if (symbol->kind == SYMBOL_PARAM)
            rxn__sema_resolve(sema, symbol, symbol->node->name_span);
        else if (symbol->kind == SYMBOL_MODULE && symbol->inner)
            resolve_params(sema, symbol->inner);
    }
}

static void
resolve_rest(Sema *sema, Module *module)
{
    for (u32 i = 0; i < module->symbols.count; i++) {
        Symbol *symbol = module->symbols.items[i];
        switch (symbol->kind) {
        case SYMBOL_SPECIES: set_species_initial(sema, symbol); break;
        case SYMBOL_FUNCTION:
            if (symbol->state == SYMBOL_NEW)
                rxn__sema_check_function(sema, symbol);
            break;
        case SYMBOL_MODULE:
            if (symbol->inner)
                resolve_rest(sema, symbol->inner);
            break;
        default: rxn__sema_resolve(sema, symbol, symbol->node->name_span);
        }
    }
}

void
rxn__sema_resolve_all(Sema *sema)
{
    resolve_params(sema, sema->modules.items[0]);
    resolve_rest(sema, sema->modules.items[0]);
}

void
rxn__sema_warn_unused(Sema *sema)
{
    const Module *module = sema->modules.items[0];
    for (u32 i = 0; i < module->symbols.count; i++) {
        const Symbol *symbol = module->symbols.items[i];
        if (symbol->used || (symbol->kind != SYMBOL_SPECIES && symbol->kind != SYMBOL_PARAM))
            continue;
        rxn__warning(sema->diagnostics, symbol->node->name_span, "the %s '%s' is never used",
                     symbol->kind == SYMBOL_SPECIES ? "species" : "parameter",
                     rxn__sema_show(sema, symbol->label));
    }
}
