/* resolve: names. The symbol table, the look-up through modules, what to say about a name that nothing
 * declares, and the wrappers that put names and modules into messages.
 *
 * There is one table for all modules: a name of the module `gene1` is entered as "gene1.mRNA", so
 * the model that uses it finds it under the very text the user writes, and a module sees its own names
 * alone. Labels of reactions have a table of their own: `decay` may be a reaction and a parameter.
 */
#include <string.h>
#include <strings.h>

#include "compiler/sema/private.h"

void
rxn__sema_error(Sema *sema, const Module *module, Span span, const char *format, ...)
{
    sema->is_muted = sema->is_inlining && sema->diagnostics->error_count > sema->errors_before_call;
    if (sema->is_muted)
        return;
    Text text;
    rxn__text_init(&text, sema->arena);
    va_list args;
    va_start(args, format);
    rxn__text_vprintf(&text, format, args);
    va_end(args);
    rxn__error(sema->diagnostics, span, "%s", text.data);
    if (module && module->parent)
        rxn__note(sema->diagnostics, module->use_span, "in the module '%s', which is used here",
                  rxn__sema_show(sema, module->alias));
}

void
rxn__sema_note(Sema *sema, Span span, const char *format, ...)
{
    if (sema->is_muted)
        return;
    Text text;
    rxn__text_init(&text, sema->arena);
    va_list args;
    va_start(args, format);
    rxn__text_vprintf(&text, format, args);
    va_end(args);
    rxn__note(sema->diagnostics, span, "%s", text.data);
}

const char *
rxn__sema_show(Sema *sema, Name name)
{
    return name ? rxn__shown(sema->arena, name->text, name->length) : "";
}

const char *
rxn__sema_show_source(Sema *sema, const AstNode *node)
{
    Text text;
    rxn__text_init(&text, sema->arena);
    rxn__ast_print_source(node, &text);
    return rxn__shown(sema->arena, text.data, text.length);
}

const char *
rxn__sema_kind_text(SymbolKind kind)
{
    switch (kind) {
    case SYMBOL_CONST: return "a const";
    case SYMBOL_INDEX: return "an index set";
    case SYMBOL_SPECIES: return "a species";
    case SYMBOL_PARAM: return "a parameter";
    case SYMBOL_INPUT: return "an input";
    case SYMBOL_LET: return "a let";
    case SYMBOL_FUNCTION: return "a function";
    case SYMBOL_MODULE: return "a module";
    case SYMBOL_UNKNOWN: break;
    }
    return "unknown";
}

/* ---- The table ---------------------------------------------------------------------------- */

static Symbol **
table_slot(const SymbolTable *table, Name name)
{
    u32 mask = table->capacity - 1;
    for (u32 i = name->hash & mask;; i = (i + 1) & mask)
        if (!table->slots[i] || table->slots[i]->name == name)
            return &table->slots[i];
}

Symbol *
rxn__symbols_find(const SymbolTable *table, Name name)
{
    return table->capacity && name ? *table_slot(table, name) : NULL;
}

void
rxn__symbols_add(Sema *sema, SymbolTable *table, Symbol *symbol)
{
    if (table->count * 2 >= table->capacity) {
        SymbolTable larger = {.capacity = table->capacity ? table->capacity * 2 : 64,
                              .count = table->count};
        larger.slots = NEW_ARRAY(sema->arena, Symbol *, larger.capacity);
        for (u32 i = 0; i < table->capacity; i++)
            if (table->slots[i])
                *table_slot(&larger, table->slots[i]->name) = table->slots[i];
        *table = larger;
    }
    *table_slot(table, symbol->name) = symbol;
    table->count++;
}

Name
rxn__sema_full_name(Sema *sema, const Module *module, Name label)
{
    if (!module->prefix || !label)
        return label;
    sema->scratch.length = 0;
    rxn__text_append(&sema->scratch, module->prefix->text, module->prefix->length);
    rxn__text_append(&sema->scratch, ".", 1);
    rxn__text_append(&sema->scratch, label->text, label->length);
    return rxn__name(sema->names, sema->scratch.data, sema->scratch.length);
}

/* Library functions that are mere shorthand: a model may write its own under the same name. */
static bool
may_be_redefined(Name name)
{
    return strcmp(name->text, "hill") == 0 || strcmp(name->text, "sigmoid") == 0 ||
           strcmp(name->text, "softplus") == 0;
}

/* From now on nothing is said about this name. */
static void
poison_name(Sema *sema, Name full, Name label)
{
    if (rxn__symbols_find(&sema->symbols, full))
        return;
    Symbol *symbol = NEW(sema->arena, Symbol);
    *symbol =
        (Symbol){.kind = SYMBOL_UNKNOWN, .state = SYMBOL_POISONED, .name = full, .label = label};
    rxn__symbols_add(sema, &sema->symbols, symbol);
}

Symbol *
rxn__sema_declare(Sema *sema, Module *module, SymbolKind kind, const AstNode *node)
{
    if (!node->name)
        return NULL;
    const char *shown = rxn__sema_show(sema, node->name);
    Name full = rxn__sema_full_name(sema, module, node->name);
    Symbol *taken = rxn__symbols_find(&sema->symbols, full);
    if (node->name == sema->time_name) {
        rxn__sema_error(sema, module, node->name_span, "'t' is the time: it cannot be declared");
        rxn__sema_note(sema, (Span){0}, "choose another name");
        poison_name(sema, full, node->name);
        return NULL;
    }
    if (node->name == sema->data_name && kind == SYMBOL_MODULE) {
        rxn__sema_error(sema, module, node->name_span,
                        "'data' stands for the columns of the data in 'fit'");
        rxn__sema_note(sema, (Span){0}, "choose another name for the module");
        return NULL;
    }
    if (taken) {
        if (taken->kind == SYMBOL_UNKNOWN)
            return NULL;
        rxn__sema_error(sema, module, node->name_span, "'%s' is declared twice", shown);
        rxn__sema_note(sema, taken->node->name_span, "it is %s here",
                       rxn__sema_kind_text(taken->kind));
        return NULL;
    }
    Symbol *symbol = NEW(sema->arena, Symbol);
    *symbol =
        (Symbol){.kind = kind, .name = full, .label = node->name, .node = node, .module = module};
    if (rxn__sema_is_builtin(node->name) &&
        !(kind == SYMBOL_FUNCTION && may_be_redefined(node->name))) {
        rxn__sema_error(sema, module, node->name_span, "'%s' is a builtin function", shown);
        rxn__sema_note(sema, (Span){0}, "choose another name");
        poison_name(sema, full, node->name);
        return NULL;
    }
    rxn__symbols_add(sema, &sema->symbols, symbol);
    vec_push(sema->arena, &module->symbols, symbol);
    return symbol;
}

Symbol *
rxn__sema_lookup(Sema *sema, const Module *module, Name name)
{
    Symbol *symbol = rxn__symbols_find(&sema->symbols, rxn__sema_full_name(sema, module, name));
    if (symbol)
        symbol->used = true;
    return symbol;
}

/* ---- Suggestions -------------------------------------------------------------------------- */

/* Distances are doubled, so that a difference of case alone can count as half an edit. */
static u32
suggestion_limit(Name name)
{
    u32 length = name->length;
    return length == 1 ? 1 : length <= 4 ? 2 : length <= 8 ? 4 : 6;
}

Suggestion
rxn__suggestion(Name name)
{
    return (Suggestion){.name = name, .distance = UINT32_MAX};
}

/* Slips are rarer at the start of a word: of two candidates as near, this one decides. */
static u32
shared_start(Name a, Name b)
{
    u32 length = 0;
    while (length < a->length && length < b->length && a->text[length] == b->text[length])
        length++;
    return length;
}

void
rxn__suggestion_try(Suggestion *suggestion, Name candidate)
{
    Name name = suggestion->name;
    u32 limit = suggestion_limit(name);
    if (!candidate || candidate->length > name->length + 3 || name->length > candidate->length + 3)
        return;
    if (name->length == 2 && (candidate->text[0] | 32) != (name->text[0] | 32))
        return; /* else any two letters were near any others */
    u32 distance = 1;
    if (candidate->length != name->length || strcasecmp(candidate->text, name->text) != 0)
        distance = 2 * rxn__name_distance(name->text, name->length, candidate->text,
                                          candidate->length, limit / 2);
    bool nearer = distance < suggestion->distance ||
                  (distance == suggestion->distance &&
                   shared_start(name, candidate) > shared_start(name, suggestion->best));
    if (distance <= limit && nearer) {
        suggestion->best = candidate;
        suggestion->distance = distance;
    }
}

void
rxn__suggestion_note(Sema *sema, const Suggestion *suggestion)
{
    if (suggestion->best)
        rxn__sema_note(sema, (Span){0}, "did you mean '%s'?",
                       rxn__sema_show(sema, suggestion->best));
}

static bool
is_wanted(SymbolKind kind, Wanted wanted)
{
    switch (wanted) {
    case WANT_SPECIES: return kind == SYMBOL_SPECIES;
    case WANT_FUNCTION: return kind == SYMBOL_FUNCTION;
    case WANT_INDEX_SET: return kind == SYMBOL_INDEX;
    case WANT_VALUE: break;
    }
    return kind != SYMBOL_FUNCTION && kind != SYMBOL_MODULE && kind != SYMBOL_INDEX;
}

static Name
dotted(Sema *sema, Name head, Name member)
{
    Text text;
    rxn__text_init(&text, sema->arena);
    rxn__text_append(&text, head->text, head->length);
    rxn__text_append(&text, ".", 1);
    rxn__text_append(&text, member->text, member->length);
    return rxn__name(sema->names, text.data, text.length);
}

/* Names of the module `inner`, under the path that leads to it; a name that was written without
 * its path is found as well. */
static void
try_members(Sema *sema, Suggestion *suggestion, const Symbol *module, Wanted wanted)
{
    if (!module->inner)
        return;
    for (u32 i = 0; i < module->inner->symbols.count; i++) {
        const Symbol *member = module->inner->symbols.items[i];
        if (!is_wanted(member->kind, wanted))
            continue;
        Name path = dotted(sema, module->label, member->label);
        if (member->label == suggestion->name) {
            suggestion->best = path;
            suggestion->distance = 1;
        } else {
            rxn__suggestion_try(suggestion, path);
        }
    }
}

/* Whether its declaration may have been lost to a syntax error. */
static bool
may_have_been_lost(const Module *module, Name name)
{
    return module->source && rxn__symbols_find(&module->source->lost_names, name);
}

static Name
head_of(Sema *sema, Name name)
{
    const char *dot = memchr(name->text, '.', name->length);
    return dot ? rxn__name(sema->names, name->text, (size_t)(dot - name->text)) : NULL;
}

void
rxn__sema_unknown_name(Sema *sema, const Scope *scope, Name name, Span span, Wanted wanted)
{
    static const char *const words[] = {"name", "species", "function", "index set"};
    const Module *module = scope->module;
    const char *shown = rxn__sema_show(sema, name);
    Name head = head_of(sema, name);
    Symbol *owner = head ? rxn__sema_lookup(sema, module, head) : NULL;
    bool owner_is_lost =
        owner && (owner->kind != SYMBOL_MODULE || !owner->inner) && owner->state == SYMBOL_POISONED;

    if (!owner_is_lost && !may_have_been_lost(module, name) &&
        !(head && may_have_been_lost(module, head))) {
        if (owner && owner->kind == SYMBOL_MODULE)
            rxn__sema_error(sema, module, span, "the module '%s' has no '%s'",
                            rxn__sema_show(sema, head),
                            rxn__shown(sema->arena, name->text + head->length + 1,
                                       name->length - head->length - 1));
        else if (head && head == sema->data_name && !owner) {
            rxn__sema_error(sema, module, span, "'%s' is a column of data, and there is none here",
                            shown);
            rxn__sema_note(sema, (Span){0}, "data is read in the loss of 'fit' alone");
            poison_name(sema, rxn__sema_full_name(sema, module, name), name);
            return;
        } else if (head && !owner)
            rxn__sema_error(sema, module, span, "unknown module '%s'", rxn__sema_show(sema, head));
        else
            rxn__sema_error(sema, module, span, "unknown %s '%s'", words[wanted], shown);

        Suggestion suggestion = rxn__suggestion(name);
        if (!sema->diagnostics->dropping) { /* else nobody would see it, and it takes time */
            for (u32 i = 0; i < module->symbols.count; i++) {
                const Symbol *symbol = module->symbols.items[i];
                if (is_wanted(symbol->kind, wanted))
                    rxn__suggestion_try(&suggestion, symbol->label);
                else if (symbol->kind == SYMBOL_MODULE)
                    try_members(sema, &suggestion, symbol, wanted);
            }
            if (wanted == WANT_VALUE)
                for (const Local *local = scope->locals; local; local = local->outer)
                    rxn__suggestion_try(&suggestion, local->name);
            if (wanted == WANT_FUNCTION)
                rxn__suggestion_try_builtins(sema, &suggestion);
            if (scope->place != PLACE_MODEL)
                rxn__suggestion_try_objective(sema, &suggestion, wanted == WANT_FUNCTION);
            if (sema->loss && scope->place != PLACE_MODEL && wanted == WANT_FUNCTION)
                rxn__suggestion_try_loss(sema, &suggestion);
        }
        if (suggestion.best)
            rxn__suggestion_note(sema, &suggestion);
        else if (sema->loss && scope->place != PLACE_MODEL && wanted == WANT_VALUE && !head)
            rxn__sema_note(
                sema, (Span){0},
                "a loss knows the names of the model's file, and 'data.%s' for the column "
                "'%s' of the data",
                shown, shown);
        else if (sema->loss && scope->place != PLACE_MODEL && wanted == WANT_FUNCTION && !head)
            rxn__sema_note(sema, (Span){0},
                           "beside the model's own and the builtin ones, a loss has: mse, mae, "
                           "gaussian, cramer, chi_square, cross_entropy, accuracy, mean, var, sd, "
                           "cov, probability, "
                           "autocov, at, integral, average, total, passage");
        else if (scope->place != PLACE_MODEL && wanted == WANT_VALUE && !head)
            rxn__sema_note(sema, (Span){0}, "'--of' knows the names of the model's file");
        else if (scope->place != PLACE_MODEL && wanted == WANT_FUNCTION && !head)
            rxn__sema_note(sema, (Span){0},
                           "beside the model's own and the builtin ones, '--of' has: at, integral, "
                           "average, total, passage, mean, var, sd, cov, probability, autocov");
        else if (wanted == WANT_SPECIES && !head)
            rxn__sema_note(sema, (Span){0}, "declare it, as in 'species %s = 0'", shown);
        else if (wanted == WANT_VALUE && !head)
            rxn__sema_note(sema, (Span){0}, "declare it, as in 'param %s = 1'", shown);
        else if (wanted == WANT_INDEX_SET && !head)
            rxn__sema_note(sema, (Span){0}, "declare it, as in 'index %s = 10'", shown);
        else if (wanted == WANT_FUNCTION)
            rxn__sema_note(sema, (Span){0}, "define it, as in 'fn %s(x) = x^2'", shown);
    }

    poison_name(sema, rxn__sema_full_name(sema, module, name), name);
}
