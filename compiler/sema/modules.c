/* modules: files, and the names they declare. `use "telegraph.rxn" as gene1 (kon = 0.1)` reads the file,
 * enters its names as `gene1.…`, and remembers the values in brackets for the symbols they are to replace.
 * What a module says about runs (`simulate`, `observe`, `fit`) is for running it alone, and is not
 * looked at when another model uses it.
 *
 * A file is parsed once however often it is used. A file that uses itself, over whatever way round, is an
 * error that shows the way; so are more than SEMA_MAX_MODULES uses in all, which a few files that use
 * one another twice each would reach.
 */
#include <string.h>

#include "compiler/sema/private.h"

/* The names in statements that a syntax error has cost: they may have been declared there. */
static void
collect_lost_names(Sema *sema, ParsedFile *parsed, const AstNode *poison)
{
    for (u32 i = 0; i < poison->kid_count; i++) {
        Name name = poison->kids[i]->name;
        if (!name || rxn__symbols_find(&parsed->lost_names, name))
            continue;
        Symbol *symbol = NEW(sema->arena, Symbol);
        symbol->name = name;
        rxn__symbols_add(sema, &parsed->lost_names, symbol);
    }
}

ParsedFile *
rxn__sema_parse(Sema *sema, u32 file, Name resolved)
{
    ParsedFile *parsed = NEW(sema->arena, ParsedFile);
    *parsed = (ParsedFile){.resolved = resolved, .file = file};
    vec_push(sema->arena, &sema->files, parsed);
    parsed->tree = rxn__parse(sema->arena, sema->names, sema->diagnostics, file);
    for (u32 i = 0; i < parsed->tree->kid_count; i++)
        if (parsed->tree->kids[i]->kind == AST_POISON)
            collect_lost_names(sema, parsed, parsed->tree->kids[i]);
    return parsed;
}

/* ---- `use` -------------------------------------------------------------------------------- */

/* The files that use one another on the way to this one, or NULL when it is not among them. */
static const char *
find_circle(Sema *sema, const Module *user, Name resolved)
{
    const Module *way[SEMA_MAX_MODULE_DEPTH + 1];
    u32 length = 0;
    for (const Module *module = user; module; module = module->parent) {
        way[length++] = module;
        if (module->source->resolved == resolved)
            break;
        if (!module->parent)
            return NULL;
    }
    Text text;
    rxn__text_init(&text, sema->arena);
    while (length > 0) {
        Name path = way[--length]->source->resolved;
        rxn__text_printf(&text, "%s -> ", rxn__shown(sema->arena, path->text, path->length));
    }
    rxn__text_printf(&text, "%s", rxn__shown(sema->arena, resolved->text, resolved->length));
    return text.data;
}

/* Finds, reads and parses the file, unless that was done. NULL: reported. */
static const ParsedFile *
load(Sema *sema, const Module *user, const AstNode *use, Span path_span)
{
    const char *path = use->name2->text, *reason = "there is no such file";
    const char *shown = rxn__sema_show(sema, use->name2);
    const char *resolved_path = NULL, *text = NULL;
    size_t length = 0;
    const SourceFile *from = &sema->sources->files.items[user->source->file];
    if (!sema->loader) {
        rxn__sema_error(sema, user, path_span, "cannot read '%s': no other files are at hand here",
                        shown);
        return NULL;
    }
    if (!sema->loader->load(sema->loader->context, from->path, path, sema->arena, &resolved_path,
                            &text, &length, &reason)) {
        rxn__sema_error(sema, user, path_span, "cannot read '%s': %s", shown, reason);
        rxn__sema_note(sema, (Span){0},
                       "a path starts at the folder of the file that names it; "
                       "the models that come with rxn need only their name");
        return NULL;
    }
    Name resolved = rxn__name_z(sema->names, resolved_path);
    const char *circle = find_circle(sema, user, resolved);
    if (circle) {
        rxn__sema_error(sema, user, path_span, "'%s' uses itself", shown);
        rxn__sema_note(sema, (Span){0}, "%s", circle);
        return NULL;
    }
    for (u32 i = 0; i < sema->files.count; i++)
        if (sema->files.items[i]->resolved == resolved)
            return sema->files.items[i];
    if (length > RXN_MAX_SOURCE_BYTES) {
        rxn__sema_error(sema, user, path_span, "'%s' is larger than %d MiB", shown,
                        RXN_MAX_SOURCE_BYTES >> 20);
        return NULL;
    }
    u32 file = rxn__sources_add(sema->sources, resolved_path, text, length);
    if (file == UINT32_MAX) {
        rxn__sema_error(sema, user, path_span, "the files of this model are too large together");
        return NULL;
    }
    return rxn__sema_parse(sema, file, resolved);
}

/* A value in the brackets of `use` replaces what the module declares under that name. */
static void
bind(Sema *sema, Module *user, Module *module, const AstNode *binding)
{
    if (!binding || binding->kind != AST_NAMED)
        return;
    Symbol *symbol =
        rxn__symbols_find(&sema->symbols, rxn__sema_full_name(sema, module, binding->name));
    const char *name = rxn__sema_show(sema, binding->name);
    const char *alias = rxn__sema_show(sema, module->alias);
    if (!symbol || symbol->kind == SYMBOL_UNKNOWN) {
        if (rxn__symbols_find(&module->source->lost_names, binding->name) || symbol)
            return;
        rxn__sema_error(sema, user, binding->name_span, "the module '%s' has no '%s'", alias, name);
        Suggestion suggestion = rxn__suggestion(binding->name);
        for (u32 i = 0; i < module->symbols.count; i++) {
            const Symbol *candidate = module->symbols.items[i];
            if (candidate->kind == SYMBOL_PARAM || candidate->kind == SYMBOL_CONST ||
                candidate->kind == SYMBOL_INDEX || candidate->kind == SYMBOL_INPUT)
                rxn__suggestion_try(&suggestion, candidate->label);
        }
        rxn__suggestion_note(sema, &suggestion);
        return;
    }
    switch (symbol->kind) {
    case SYMBOL_PARAM:
    case SYMBOL_CONST:
    case SYMBOL_INDEX:
    case SYMBOL_INPUT: break;
    default:
        rxn__sema_error(sema, user, binding->name_span, "'%s' is %s of '%s' and cannot be replaced",
                        name, rxn__sema_kind_text(symbol->kind), alias);
        if (symbol->kind == SYMBOL_SPECIES)
            rxn__sema_note(sema, (Span){0}, "name it in the reactions of this model, as '%s.%s'",
                           alias, name);
        else
            rxn__sema_note(sema, (Span){0},
                           "parameters, inputs, consts and index sets can be given a value");
        return;
    }
    if (symbol->binding) {
        rxn__sema_error(sema, user, binding->name_span, "'%s' is given a value twice", name);
        return;
    }
    symbol->binding = binding->kid_count > 0 ? binding->kids[0] : NULL;
}

static void
declare_use(Sema *sema, Module *user, const AstNode *node)
{
    Symbol *symbol = rxn__sema_declare(sema, user, SYMBOL_MODULE, node);
    if (!symbol || !node->name2)
        return;
    symbol->state = SYMBOL_POISONED;
    if (user->depth >= SEMA_MAX_MODULE_DEPTH || sema->modules.count > SEMA_MAX_MODULES) {
        if (sema->too_many_modules)
            return; /* once is enough: there may be thousands */
        sema->too_many_modules = true;
        if (user->depth >= SEMA_MAX_MODULE_DEPTH)
            rxn__sema_error(sema, user, node->span, "files use one another more than %d deep",
                            SEMA_MAX_MODULE_DEPTH);
        else
            rxn__sema_error(sema, user, node->span, "this model uses more than %d modules",
                            SEMA_MAX_MODULES);
        return;
    }
    const ParsedFile *source = load(sema, user, node, node->span);
    if (!source)
        return;
    Module *module = NEW(sema->arena, Module);
    *module = (Module){.parent = user,
                       .alias = node->name,
                       .prefix = symbol->name,
                       .use_span = node->span,
                       .source = source,
                       .depth = user->depth + 1};
    vec_push(sema->arena, &sema->modules, module);
    symbol->inner = module;
    symbol->state = SYMBOL_READY;
    rxn__sema_declare_module(sema, module);
    for (u32 i = 0; i < node->kid_count; i++)
        bind(sema, user, module, node->kids[i]);
}

/* ---- The statements of one file ----------------------------------------------------------- */

static void
declare_function(Sema *sema, Module *module, const AstNode *node)
{
    if (!rxn__sema_declare(sema, module, SYMBOL_FUNCTION, node))
        return;
    SymbolTable seen = {0};
    for (u32 i = 1; i < node->kid_count; i++) {
        const AstNode *parameter = node->kids[i];
        const char *name = rxn__sema_show(sema, parameter->name);
        if (parameter->name == sema->time_name) {
            rxn__sema_error(sema, module, parameter->span,
                            "'t' is the time: a parameter of a function cannot be called so");
            rxn__sema_note(sema, (Span){0}, "choose another name");
        } else if (rxn__symbols_find(&seen, parameter->name)) {
            rxn__sema_error(sema, module, parameter->span,
                            "the function has two parameters called '%s'", name);
        } else {
            Symbol *symbol = NEW(sema->arena, Symbol);
            symbol->name = parameter->name;
            rxn__symbols_add(sema, &seen, symbol);
        }
    }
}

/* What a file holds once at most: `model`, `simulate` and `fit`. */
static void
keep_first(Sema *sema, Module *module, const AstNode *node, const AstNode **first, const char *what)
{
    if (*first) {
        rxn__sema_error(sema, module, node->span, "a second '%s' in one file", what);
        rxn__sema_note(sema, (*first)->span, "the first is here");
        return;
    }
    *first = node;
}

void
rxn__sema_declare_module(Sema *sema, Module *module)
{
    const AstNode *file = module->source->tree;
    const AstNode *model = NULL, *simulate = NULL, *fit = NULL;
    for (u32 i = 0; file && i < file->kid_count; i++) {
        const AstNode *node = file->kids[i];
        switch (node->kind) {
        case AST_MODEL: keep_first(sema, module, node, &model, "model"); break;
        case AST_SIMULATE: keep_first(sema, module, node, &simulate, "simulate"); break;
        case AST_FIT: keep_first(sema, module, node, &fit, "fit"); break;
        case AST_USE: declare_use(sema, module, node); break;
        case AST_CONST: rxn__sema_declare(sema, module, SYMBOL_CONST, node); break;
        case AST_INDEX: rxn__sema_declare(sema, module, SYMBOL_INDEX, node); break;
        case AST_SPECIES: rxn__sema_declare(sema, module, SYMBOL_SPECIES, node); break;
        case AST_PARAM: rxn__sema_declare(sema, module, SYMBOL_PARAM, node); break;
        case AST_INPUT: rxn__sema_declare(sema, module, SYMBOL_INPUT, node); break;
        case AST_LET: rxn__sema_declare(sema, module, SYMBOL_LET, node); break;
        case AST_FUNCTION: declare_function(sema, module, node); break;
        default: break;
        }
    }
    if (!module->parent) {
        sema->model = model;
        sema->simulate = simulate;
        sema->fit = fit;
    }
}
