/* elaborate: the passes in their order, and the walk over the statements of the body. */
#include <math.h>
#include <string.h>

#include "compiler/sema/private.h"

static void body(Sema *sema, const Scope *scope, const AstNode *block, u32 first);

/* Nothing happens for an empty range (`for i in 0 .. N-2` with N = 1), and that is no mistake. */
static void
loop(Sema *sema, const Scope *scope, const AstNode *node)
{
    i64 low, high;
    bool good = rxn__sema_range(sema, scope, node->kids[0], &low, &high);
    good &= rxn__sema_loop_name(sema, scope, node);
    if (sema->loop_variables.count == RXN_MAX_RANK) {
        rxn__sema_error(sema, scope->module, node->span, "at most %d loops can be nested",
                        RXN_MAX_RANK);
        return;
    }
    if (good && high < low)
        return;
    /* Where the range is wrong the body is still looked at, with a variable of which nothing is known;
     * what depends on it says nothing. */
    u32 variable =
        rxn__network_add_variable(sema->network, node->name, good ? low : 0, good ? high : 0);
    Local local = {.outer = scope->locals, .name = node->name, .span = node->name_span};
    if (good)
        local.value = rxn__expr_object(sema->network, EXPR_VARIABLE, variable, 0, NULL);
    Scope inner = *scope;
    inner.locals = &local;
    vec_push(sema->arena, &sema->loop_variables, variable);
    body(sema, &inner, node, 1);
    sema->loop_variables.count--;
}

static void
statement(Sema *sema, const Scope *scope, const AstNode *node)
{
    switch (node->kind) {
    case AST_REACTION: rxn__sema_reaction(sema, scope, node); return;
    case AST_FOR: loop(sema, scope, node); return;
    case AST_AT:
    case AST_EVERY:
    case AST_WHEN: rxn__sema_event(sema, scope, node); return;
    case AST_POISON: return;
    default: break;
    }
    if (scope->locals) {
        rxn__sema_error(sema, scope->module, node->span,
                        "a 'for' holds reactions, events and other 'for's only");
        rxn__sema_note(sema, (Span){0}, "move this out of the 'for'");
        return;
    }
    if (node->kind == AST_USE) {
        Symbol *use =
            rxn__symbols_find(&sema->symbols, rxn__sema_full_name(sema, scope->module, node->name));
        if (!use || use->kind != SYMBOL_MODULE || use->node != node || !use->inner)
            return;
        Scope inner = {.module = use->inner, .allowed = ALLOW_ALL};
        body(sema, &inner, use->inner->source->tree, 0);
    } else if (node->kind == AST_OBSERVE && !scope->module->parent) {
        rxn__sema_observe(sema, scope->module, node);
    }
}

static void
body(Sema *sema, const Scope *scope, const AstNode *block, u32 first)
{
    for (u32 i = first; i < block->kid_count; i++)
        if (block->kids[i])
            statement(sema, scope, block->kids[i]);
}

/* "dir/toggle.rxn" is the model `toggle` where it does not say. */
static Name
default_name(Sema *sema, const SourceFile *file)
{
    const char *name = strrchr(file->path, '/') ? strrchr(file->path, '/') + 1 : file->path;
    const char *dot = strrchr(name, '.');
    size_t length = dot && dot > name ? (size_t)(dot - name) : strlen(name);
    if (length == 0 || name[0] == '<' || name[0] == '-')
        return rxn__name_z(sema->names, "model");
    return rxn__name(sema->names, name, length);
}

static Sema *
new_sema(const SemaInput *input)
{
    Sema *sema = NEW(input->arena, Sema);
    *sema = (Sema){.arena = input->arena,
                   .names = input->names,
                   .sources = input->sources,
                   .diagnostics = input->diagnostics,
                   .loader = input->loader,
                   .network = rxn__network_new(input->arena, input->names),
                   .time_name = rxn__name_z(input->names, "t"),
                   .data_name = rxn__name_z(input->names, "data"),
                   .opens_numbers = input->open_numbers};
    rxn__text_init(&sema->scratch, input->arena);
    sema->network->simulate_until = NAN;
    sema->network->simulate_every = NAN;
    return sema;
}

Network *
rxn__elaborate(const SemaInput *input, u32 file, AstNode **ret_ast)
{
    Sema *sema = new_sema(input);
    const SourceFile *source = &input->sources->files.items[file];
    Module *module = NEW(input->arena, Module);
    module->source = rxn__sema_parse(sema, file, rxn__name_z(input->names, source->path));
    if (ret_ast)
        *ret_ast = (AstNode *)module->source->tree;
    vec_push(input->arena, &sema->modules, module);

    rxn__sema_declare_module(sema, module);
    rxn__sema_declare_objects(sema);
    rxn__sema_resolve_all(sema);
    rxn__sema_collect_labels(sema, module);
    Scope scope = {.module = module, .allowed = ALLOW_ALL};
    body(sema, &scope, module->source->tree, 0);
    if (sema->simulate)
        rxn__sema_simulate(sema, module, sema->simulate);
    if (sema->fit)
        rxn__sema_fit(sema, module, sema->fit);

    Network *network = sema->network;
    network->name =
        sema->model && sema->model->name ? sema->model->name : default_name(sema, source);
    Span whole = {source->base, source->base};
    if (input->diagnostics->error_count == 0 && network->species.count == 0) {
        rxn__error(input->diagnostics, whole, "this file holds no model");
        rxn__note(input->diagnostics, (Span){0},
                  "declare at least one species, as in 'species A = 100'");
    }
    if (input->diagnostics->error_count > 0)
        return NULL;
    if (network->reactions.count == 0 && network->events.count == 0)
        rxn__warning(input->diagnostics, whole,
                     "this model has no reactions: nothing will happen in it");
    if (network->observables.count == 0)
        rxn__sema_observe_all(sema);
    if (input->fit) {
        rxn__sema_fit_request(sema, module, input->fit);
        if (input->diagnostics->error_count > 0)
            return NULL;
    } else if (input->objective) {
        rxn__sema_objective(sema, module, input->objective);
        if (input->diagnostics->error_count > 0) {
            if (input->objective_is_wrong)
                *input->objective_is_wrong = true;
            return NULL;
        }
    }
    rxn__sema_warn_unused(sema);
    const char *broken = rxn__network_check(network, input->arena);
    if (broken) {
        rxn__error(input->diagnostics, whole, "internal error: %s", broken);
        rxn__note(input->diagnostics, (Span){0},
                  "this is a bug in rxn; please report it with this model");
        return NULL;
    }
    return network;
}
