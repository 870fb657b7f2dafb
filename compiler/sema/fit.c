/* fit: the block that says how parameters are trained. Its meaning belongs to whoever trains; here its
 * entries are checked for shape, so that a misspelt key is found before anything runs, and kept as text.
 */
#include <math.h>
#include <string.h>

#include "compiler/sema/private.h"

typedef struct Words {
    const char *const *items;
    u32 count;
} Words;

#define WORDS(...)                                                                                 \
    {(const char *const[]){__VA_ARGS__}, COUNT_OF(((const char *const[]){__VA_ARGS__}))}

/* What an entry's values are. */
typedef enum EntryShape { A_FILE, AN_EXPRESSION, A_CHOICE, A_COUNT, A_NUMBER } EntryShape;

typedef struct EntryRule {
    const char *key;
    EntryShape shape;
    Words choices; /* A_CHOICE: the words; they may take the settings below in brackets */
    Words settings;
} EntryRule;

static const EntryRule rules[] = {
    {"data", A_FILE, {0}, {0}},
    {"loss", AN_EXPRESSION, {0}, {0}},
    {"estimator", A_CHOICE,
     WORDS("auto", "path", "gumbel", "score", "finite_difference", "coupled", "adjoint"),
     WORDS("temperature", "step", "baseline", "samples")},
    {"optimizer", A_CHOICE, WORDS("adam", "adamw", "sgd", "lbfgs"),
     WORDS("rate", "beta1", "beta2", "epsilon", "momentum", "decay", "weight_decay", "memory")},
    {"trajectories", A_COUNT, {0}, {0}},
    {"steps", A_COUNT, {0}, {0}},
    {"batch", A_COUNT, {0}, {0}},
    {"epochs", A_COUNT, {0}, {0}},
    {"seed", A_NUMBER, {0}, {0}},
    {"until", A_NUMBER, {0}, {0}},
    {"tolerance", A_NUMBER, {0}, {0}},
};

/* Functions of a loss, beside the builtins. */
static const char *const loss_functions[] = {
    "mse", "mae", "nll",     "likelihood", "cross_entropy", "mean", "var",
    "sd",  "cov", "softmax", "at",         "final",
};

static bool
is_among(const char *word, Words words)
{
    for (u32 i = 0; i < words.count; i++)
        if (strcmp(words.items[i], word) == 0)
            return true;
    return false;
}

static void
note_nearest(Sema *sema, Name name, Words words, const char *intro)
{
    Suggestion suggestion = rxn__suggestion(name);
    for (u32 i = 0; i < words.count; i++)
        rxn__suggestion_try(&suggestion, rxn__name_z(sema->names, words.items[i]));
    if (suggestion.best) {
        rxn__suggestion_note(sema, &suggestion);
        return;
    }
    Text text;
    rxn__text_init(&text, sema->arena);
    for (u32 i = 0; i < words.count; i++)
        rxn__text_printf(&text, "%s%s", i == 0 ? "" : ", ", words.items[i]);
    rxn__sema_note(sema, (Span){0}, "%s: %s", intro, text.data);
}

/* ---- The loss ----------------------------------------------------------------------------- */

static void
check_loss_reference(Sema *sema, Module *module, const AstNode *node)
{
    const NameText *name = node->name;
    if (!name || name == sema->time_name)
        return;
    bool is_column = name->length > 5 && memcmp(name->text, "data.", 5) == 0;
    if (is_column || rxn__symbols_find(&sema->observables, name))
        return;
    Symbol *symbol = rxn__sema_lookup(sema, module, name);
    if (!symbol) {
        Scope scope = {.module = module};
        rxn__sema_unknown_name(sema, &scope, name, node->span, WANT_VALUE);
    } else if (symbol->kind == SYMBOL_FUNCTION || symbol->kind == SYMBOL_MODULE ||
               symbol->kind == SYMBOL_INDEX) {
        rxn__sema_error(sema, module, node->span, "'%s' is %s, not something to fit",
                        rxn__sema_show(sema, name), rxn__sema_kind_text(symbol->kind));
    }
}

/* Walks the expression; its functions are the loss's own, so it is not an expression of the model. */
static void
check_loss(Sema *sema, Module *module, const AstNode *root)
{
    VEC(const AstNode *) pending = {0};
    vec_push(sema->arena, &pending, root);
    while (pending.count > 0) {
        const AstNode *node = pending.items[--pending.count];
        if (!node || node->kind == AST_POISON)
            continue;
        if (node->kind == AST_SUM || node->kind == AST_PROD)
            continue; /* has names of its own; whoever trains elaborates it */
        if (node->kind == AST_REFERENCE)
            check_loss_reference(sema, module, node);
        if (node->kind == AST_CALL) {
            Words known = {loss_functions, COUNT_OF(loss_functions)};
            Symbol *symbol = rxn__sema_lookup(sema, module, node->name);
            bool is_function = symbol && symbol->kind == SYMBOL_FUNCTION;
            if (!is_function && !rxn__sema_is_builtin(node->name) &&
                !is_among(node->name->text, known)) {
                rxn__sema_error(sema, module, node->name_span, "unknown function '%s' in a loss",
                                rxn__sema_show(sema, node->name));
                note_nearest(sema, node->name, known, "a loss may use");
            }
        }
        for (u32 i = node->kid_count; i > 0; i--)
            vec_push(sema->arena, &pending, node->kids[i - 1]);
    }
}

/* ---- The other entries -------------------------------------------------------------------- */

static const char *
quoted(Sema *sema, const char *word)
{
    Text text;
    rxn__text_init(&text, sema->arena);
    rxn__text_printf(&text, "'%s'", rxn__shown(sema->arena, word, strlen(word)));
    return text.data;
}

static void
check_setting(Sema *sema, Module *module, const AstNode *setting, const EntryRule *rule)
{
    if (!setting || setting->kind == AST_POISON)
        return;
    if (setting->kind != AST_NAMED) {
        rxn__sema_error(sema, module, setting->span, "a setting needs its name");
        rxn__sema_note(sema, (Span){0}, "as in '%s = %s'", rule->settings.items[0],
                       rxn__sema_show_source(sema, setting));
        return;
    }
    if (!is_among(setting->name->text, rule->settings)) {
        rxn__sema_error(sema, module, setting->name_span, "unknown setting '%s' of an %s",
                        rxn__sema_show(sema, setting->name), rule->key);
        note_nearest(sema, setting->name, rule->settings, "there are");
    }
    Scope scope = {.module = module};
    double value;
    const AstNode *number = setting->kid_count > 0 ? setting->kids[0] : NULL;
    const char *name = quoted(sema, setting->name->text);
    if (number && rxn__sema_constant(sema, &scope, number, name, &value) && value < 0)
        rxn__sema_error(sema, module, number->span, "%s cannot be negative", name);
}

/* `path`, `adam(rate = 0.05)`. */
static void
check_choice(Sema *sema, Module *module, const AstNode *value, const EntryRule *rule)
{
    bool is_word =
        (value->kind == AST_REFERENCE && value->kid_count == 0) || value->kind == AST_CALL;
    if (!is_word) {
        rxn__sema_error(sema, module, value->span, "'%s' takes a name", rule->key);
        note_nearest(sema, rxn__name_z(sema->names, ""), rule->choices, "there are");
        return;
    }
    if (!is_among(value->name->text, rule->choices)) {
        rxn__sema_error(sema, module, value->kind == AST_CALL ? value->name_span : value->span,
                        "unknown %s '%s'", rule->key, rxn__sema_show(sema, value->name));
        note_nearest(sema, value->name, rule->choices, "there are");
    }
    for (u32 i = 0; value->kind == AST_CALL && i < value->kid_count; i++)
        check_setting(sema, module, value->kids[i], rule);
}

static void
check_value(Sema *sema, Module *module, const AstNode *value, const EntryRule *rule)
{
    Scope scope = {.module = module};
    i64 whole;
    double number;
    if (!value || value->kind == AST_POISON)
        return;
    if (value->kind == AST_STRING && rule->shape != A_FILE) {
        rxn__sema_error(sema, module, value->span, "'%s' does not take a text", rule->key);
        return;
    }
    switch (rule->shape) {
    case A_FILE:
        if (value->kind != AST_STRING) {
            rxn__sema_error(sema, module, value->span, "'%s' takes the name of a file", rule->key);
            rxn__sema_note(sema, (Span){0}, "in quotes, as in '%s \"table.csv\"'", rule->key);
        }
        break;
    case AN_EXPRESSION: check_loss(sema, module, value); break;
    case A_CHOICE: check_choice(sema, module, value, rule); break;
    case A_COUNT:
        if (rxn__sema_whole(sema, &scope, value, quoted(sema, rule->key), &whole) && whole < 1)
            rxn__sema_error(sema, module, value->span, "'%s' must be at least 1", rule->key);
        break;
    case A_NUMBER:
        if (rxn__sema_constant(sema, &scope, value, quoted(sema, rule->key), &number) && number < 0)
            rxn__sema_error(sema, module, value->span, "'%s' cannot be negative", rule->key);
        break;
    }
}

static void
check_entry(Sema *sema, Module *module, const AstNode *entry)
{
    const char *keys[COUNT_OF(rules)];
    const EntryRule *rule = NULL;
    for (u32 i = 0; i < COUNT_OF(rules); i++) {
        keys[i] = rules[i].key;
        if (strcmp(rules[i].key, entry->name->text) == 0)
            rule = &rules[i];
    }
    if (!rule) {
        rxn__sema_error(sema, module, entry->name_span, "unknown entry '%s' in 'fit'",
                        rxn__sema_show(sema, entry->name));
        note_nearest(sema, entry->name, (Words){keys, COUNT_OF(keys)}, "there are");
        return;
    }
    if (entry->kid_count == 0)
        rxn__sema_error(sema, module, entry->span, "'%s' needs a value", rule->key);
    else if (entry->kid_count > 1 && rule->shape != A_FILE)
        rxn__sema_error(sema, module, entry->kids[1]->span, "'%s' takes one value", rule->key);
    for (u32 i = 0; i < entry->kid_count; i++)
        check_value(sema, module, entry->kids[i], rule);
}

void
rxn__sema_fit(Sema *sema, Module *module, const AstNode *node)
{
    Network *network = sema->network;
    for (u32 i = 0; i < node->kid_count; i++) {
        const AstNode *entry = node->kids[i];
        if (!entry || entry->kind != AST_ENTRY || !entry->name)
            continue;
        bool seen = false;
        for (u32 k = 0; k < network->fit.count && !seen; k++) {
            if (network->fit.items[k].key != entry->name)
                continue;
            rxn__sema_error(sema, module, entry->name_span, "'%s' is given twice",
                            rxn__sema_show(sema, entry->name));
            rxn__sema_note(sema, network->fit.items[k].span, "the first is here");
            seen = true;
        }
        u32 errors = sema->diagnostics->error_count;
        check_entry(sema, module, entry);
        if (seen || sema->diagnostics->error_count > errors)
            continue; /* so unknown keys, however many, are not kept either */
        Text text;
        rxn__text_init(&text, network->arena);
        for (u32 k = 0; k < entry->kid_count; k++) {
            if (k > 0)
                rxn__text_append(&text, ", ", 2);
            rxn__ast_print_source(entry->kids[k], &text);
        }
        vec_push(network->arena, &network->fit,
                 ((FitEntry){.key = entry->name, .text = text.data, .span = entry->span}));
    }
}
